// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: noticing disruptions, each one once.
 *
 * Several detectors tell of the same disruption: VMClock's marker at the first
 * timekeeping update, the generation id by an ACPI notification some ms later.
 * The first one makes the event; others join it if they come within
 * FFC_JOIN_NS and have not told of it yet.  The same detector again is another
 * disruption, unless it comes so fast that it is a broken host: then time is
 * marked unusable at once, and the event follows when min_interval is over.
 */
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/sysfs.h>

#include "ffclock_internal.h"

/*
 * Detectors that come later than this after the first one mean another event.
 * Who is told by an interrupt may come late: the VM generation id by more than 1 s on
 * a host with a load of 13 a processor.  To miss one costs more than to tell of one
 * twice, so it is not more.  A word in memory changes with the
 * disruption itself and is looked at by every update: 100 ms is some tens of
 * these, or a host that writes two pages one after the other.
 */
#define FFC_JOIN_NS		(5ULL * NSEC_PER_SEC)
#define FFC_JOIN_WORD_NS	100000000U

/* Words that readers look at; more detectors are looked at by updates only */
#define FFC_MAX_WORDS		4

/* Protected by ffc_lock */
static LIST_HEAD(ffc_detectors);
static u64 ffc_event_counter;		/* counter at the latest event */
static bool ffc_event_any;		/* there was one */
static struct ffclock_detector *ffc_held_back;	/* waits for min_interval */
static u64 ffc_suppressed;			/* times an event was held back */

/* Written under ffc_lock, read by readers */
static const struct ffclock_detector *ffc_words[FFC_MAX_WORDS];

/**
 * ffc_detect_pending() - has the machine been disrupted since the last update?
 *
 * For readers.  Context: any, NMI included, preemption off.
 */
bool ffc_detect_pending(void)
{
	const struct ffclock_detector *d;
	int i;

	for (i = 0; i < FFC_MAX_WORDS; i++) {
		d = READ_ONCE(ffc_words[i]);
		if (!d)
			return false;
		/* seen changes under ffc_lock: a stale one is told as pending */
		if (READ_ONCE(*d->word) != READ_ONCE(d->seen))
			return true;
	}
	return false;
}

/* Counts between two instants in ns, by the nominal rate */
static u64 ffc_counts_to_ns(u64 counts)
{
	struct ffclock_time t;
	u64 period;
	u32 shift;

	ffc_counter_nominal(&period, &shift);
	t = ffclock_scale(counts, period, shift);
	return ffclock_time_to_ns(t);
}

static u64 ffc_min_interval_ns(void)
{
	return (u64)READ_ONCE(ffc_tunables.min_interval_ms) * NSEC_PER_MSEC;
}

/* ffc_lock held: make an event of what @d noticed, or let it join the last */
static void ffc_detected(struct ffclock_detector *d, u64 now)
{
	u64 age = ffc_event_any ? ffc_counts_to_ns(now - ffc_event_counter) : U64_MAX;
	bool told = d->last == ffc_event_counter;
	/* no update since: a word may have changed with the event, however long ago */
	bool first = (s64)(ffc_floor - ffc_event_counter) <= 0;

	if (ffc_event_any && !told &&
	    (age < (d->word ? FFC_JOIN_WORD_NS : FFC_JOIN_NS) || (d->word && first))) {
		d->last = ffc_event_counter;
		return;
	}
	if (ffc_event_any && age < ffc_min_interval_ns()) {
		ffc_suppressed++;
		ffc_held_back = d;
		ffc_counter_doubt();
		return;
	}
	ffc_held_back = NULL;
	ffc_counter_disrupted(d->name);
	ffc_event_counter = now;
	ffc_event_any = true;
	d->last = now;
}

/*
 * @d's word is accounted for.  Pairs with the barrier in a reader's
 * read_seqcount_latch_retry(): who sees this also sees that the state has changed.
 */
static void ffc_seen(struct ffclock_detector *d, u64 word)
{
	smp_store_release(&d->seen, word);	/* as above */
}

/**
 * ffc_detect() - look at all detectors
 *
 * Context: the timekeeping notifier, ffc_lock held.
 */
void ffc_detect(void)
{
	struct ffclock_detector *d;
	u64 word, now;
	bool changed;

	list_for_each_entry(d, &ffc_detectors, node) {
		changed = false;
		if (d->word) {
			word = READ_ONCE(*d->word);
			changed = word != d->seen;
		}
		if (d->check && d->check(d))
			changed = true;
		if (unlikely(changed)) {
			ffc_detected(d, ffc_base_read(&ffc_state_locked()->base));
			if (d->word)
				ffc_seen(d, word);
		}
	}
	if (unlikely(ffc_held_back)) {
		now = ffc_base_read(&ffc_state_locked()->base);
		if (ffc_counts_to_ns(now - ffc_event_counter) >= ffc_min_interval_ns())
			ffc_detected(ffc_held_back, now);
	}
}

/**
 * ffc_detect_gap_ns() - how long nothing was looked at
 * @counter: the counter now
 *
 * Context: ffc_lock held.
 * Return: ns by the counter since the timekeeping update before
 */
u64 ffc_detect_gap_ns(u64 counter)
{
	s64 gap = counter - ffc_floor;

	/* negative: a counter that was set back to its last value */
	return gap > 0 ? ffc_counts_to_ns(gap) : 0;
}

/**
 * ffc_detect_own() - the core itself noticed: sleep, a counter that jumped
 * @counter: the counter then
 *
 * Detectors that tell of the same join.  Context: ffc_lock held.
 */
void ffc_detect_own(u64 counter)
{
	ffc_event_counter = counter;
	ffc_event_any = true;
}

u64 ffc_detect_suppressed(void)
{
	return READ_ONCE(ffc_suppressed);
}

/* The detectors' names, one a line */
ssize_t ffc_detect_show(char *buf)
{
	const struct ffclock_detector *d;
	unsigned long flags;
	ssize_t len = 0;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	list_for_each_entry(d, &ffc_detectors, node)
		len += sysfs_emit_at(buf, len, "%s\n", d->name);
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	return len;
}

/**
 * ffclock_disrupt() - the machine was disrupted: no old time is good any more
 * @d: who noticed; registered
 *
 * For detectors that are told, by an interrupt or a resume: a live migration, a
 * restore from a snapshot.  Begins an epoch, makes every clock say so, counts
 * ffclock_migration_sequence() on and has the host's time looked for.
 *
 * Context: any but NMI and the timekeeping notifier.
 */
void ffclock_disrupt(struct ffclock_detector *d)
{
	unsigned long flags;
	u64 word = 0;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	if (d->word)
		word = READ_ONCE(*d->word);
	ffc_detected(d, ffc_base_read(&ffc_state_locked()->base));
	if (d->word)
		ffc_seen(d, word);
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
}
EXPORT_SYMBOL_GPL(ffclock_disrupt);

/* Rebuild what readers look at; ffc_lock held */
static void ffc_words_update(void)
{
	const struct ffclock_detector *d;
	int i = 0;

	list_for_each_entry(d, &ffc_detectors, node)
		if (d->word && i < FFC_MAX_WORDS)
			WRITE_ONCE(ffc_words[i++], d);
	while (i < FFC_MAX_WORDS)
		WRITE_ONCE(ffc_words[i++], NULL);
}

/**
 * ffclock_register_detector() - look at @d from now on
 * @d: name, and word or check or neither, filled in; stays until unregistered
 *
 * The present value of @d->word is taken as seen.
 *
 * Context: process.
 * Return: 0
 */
int ffclock_register_detector(struct ffclock_detector *d)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	if (d->word)
		d->seen = READ_ONCE(*d->word);
	d->last = ffc_event_counter - 1;	/* has told of no event */
	list_add_tail(&d->node, &ffc_detectors);
	ffc_words_update();
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	return 0;
}
EXPORT_SYMBOL_GPL(ffclock_register_detector);

/**
 * ffclock_unregister_detector() - no longer look at @d
 * @d: as registered; may go away when this returns
 *
 * Context: process, sleeps.
 */
void ffclock_unregister_detector(struct ffclock_detector *d)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	list_del(&d->node);
	if (ffc_held_back == d)
		ffc_held_back = NULL;
	ffc_words_update();
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	/* readers have preemption off */
	synchronize_rcu();
}
EXPORT_SYMBOL_GPL(ffclock_unregister_detector);
