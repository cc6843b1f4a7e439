// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: telling pollers, the migration policy, the notifier chain and udev.
 *
 * Events are raised under ffc_lock, often inside the timekeeper lock with the
 * timekeeper's sequence held, where nothing may be woken.  So: an irq_work, which
 * runs a moment later on the same CPU with neither held, wakes pollers, and hands
 * the rest to a work item in process context.  Not one of those that PREEMPT_RT too
 * runs with interrupts off: the lock of a wait queue may sleep there.
 */
#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/kobject.h>
#include <linux/notifier.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "ffclock_internal.h"

static DECLARE_WAIT_QUEUE_HEAD(ffc_wait);
static BLOCKING_NOTIFIER_HEAD(ffc_chain);
static atomic_t ffc_pending;		/* enum ffclock_event bits not yet told */
static atomic64_t ffc_sequence;		/* disruptions */
static u64 ffc_updates;			/* parameter updates; under ffc_lock */
static u64 ffc_told;			/* sequence of the last "migration"; the work's */

/* What is announced, for uevents */
static const char *ffc_event_notice(void)
{
	u64 notice = ffc_page_notice();

	if (notice & FFCLOCK_VF_DISRUPTION_IMMINENT)
		return "FFCLOCK_NOTICE=imminent";
	return notice ? "FFCLOCK_NOTICE=soon" : "FFCLOCK_NOTICE=none";
}

static void ffc_event_work(struct work_struct *work)
{
	unsigned int events = atomic_xchg(&ffc_pending, 0);
	u64 sequence;

	if (events & (FFCLOCK_EVENT_DISRUPTION | FFCLOCK_EVENT_UPDATE | FFC_EVENT_SOURCE))
		ffc_migration_work(events);
	events &= ~FFC_EVENT_SOURCE;
	if (!events)
		return;
	blocking_notifier_call_chain(&ffc_chain, events, NULL);
	sequence = ffclock_migration_sequence();
	if (events & FFCLOCK_EVENT_DISRUPTION) {
		/* one that came while the last was told has been told with it */
		if (sequence != ffc_told)
			ffc_dev_uevent("migration", sequence, NULL);
		ffc_told = sequence;
	} else if (events & FFCLOCK_EVENT_EPOCH) {
		ffc_dev_uevent("epoch", sequence, NULL);
	}
	if (events & FFCLOCK_EVENT_SETTLED)
		ffc_dev_uevent("settled", sequence, NULL);
	if (events & FFCLOCK_EVENT_NOTICE)
		ffc_dev_uevent("notice", sequence, ffc_event_notice());
}

static DECLARE_WORK(ffc_work, ffc_event_work);

static void ffc_event_irq_work(struct irq_work *work)
{
	wake_up_interruptible_all(&ffc_wait);
	/* highpri: the sooner the time is right again, the less goes wrong */
	queue_work(system_highpri_wq, &ffc_work);
}

static struct irq_work ffc_irq_work = IRQ_WORK_INIT(ffc_event_irq_work);

/* Wait for events that are being told */
void ffc_event_flush(void)
{
	irq_work_sync(&ffc_irq_work);
	flush_work(&ffc_work);
}

/* After the last source of events is gone */
void ffc_event_exit(void)
{
	irq_work_sync(&ffc_irq_work);
	cancel_work_sync(&ffc_work);
}

/**
 * ffc_event_raise() - tell everybody, soon
 * @events: enum ffclock_event bits
 *
 * Context: any but NMI.
 */
void ffc_event_raise(unsigned int events)
{
	atomic_or(events, &ffc_pending);
	irq_work_queue(&ffc_irq_work);
}

struct wait_queue_head *ffc_event_wait(void)
{
	return &ffc_wait;
}

void ffc_event_sequence_inc(void)
{
	atomic64_inc(&ffc_sequence);
}

void ffc_event_updates_inc(void)
{
	lockdep_assert_held(&ffc_lock);
	ffc_updates++;
}

u64 ffc_event_updates(void)
{
	lockdep_assert_held(&ffc_lock);
	return ffc_updates;
}

/**
 * ffclock_migration_sequence() - number of disruptions acted on since load
 *
 * The pattern: take it, work with times, take it again; if it changed, redo.
 *
 * Context: any, NMI included.
 * Return: the sequence; it only grows
 */
u64 ffclock_migration_sequence(void)
{
	return atomic64_read(&ffc_sequence);
}
EXPORT_SYMBOL_GPL(ffclock_migration_sequence);

/**
 * ffclock_register_notifier() - be told of clock events
 * @nb: called from a work item with enum ffclock_event bits as the action; may
 *	sleep.  Events that come close together are told in one call
 *
 * Context: process, may sleep.
 * Return: 0, or -EEXIST if @nb is registered already
 */
int ffclock_register_notifier(struct notifier_block *nb)
{
	return blocking_notifier_chain_register(&ffc_chain, nb);
}
EXPORT_SYMBOL_GPL(ffclock_register_notifier);

/**
 * ffclock_unregister_notifier() - no longer be told
 * @nb: as registered
 *
 * Context: process, may sleep.
 * Return: 0, or -ENOENT if @nb was not registered
 */
int ffclock_unregister_notifier(struct notifier_block *nb)
{
	return blocking_notifier_chain_unregister(&ffc_chain, nb);
}
EXPORT_SYMBOL_GPL(ffclock_unregister_notifier);
