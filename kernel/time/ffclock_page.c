// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: the page that user space reads without a system call.
 *
 * One page of kernel memory, mapped read-only.  Writers hold ffc_lock and keep
 * interrupts off, so readers find seq_count odd for about a microsecond.
 */
#include <linux/gfp.h>
#include <linux/mm.h>

#include "ffclock_internal.h"
#include "ffclock_trace.h"

#define FFC_NOTICE_FLAGS	(FFCLOCK_VF_DISRUPTION_SOON | FFCLOCK_VF_DISRUPTION_IMMINENT)

static struct ffclock_page *ffc_page;	/* written under ffc_lock */
static u64 ffc_notice;			/* FFC_NOTICE_FLAGS; under ffc_lock */

static_assert(sizeof(struct ffclock_vmclock) == 0x70);
static_assert(offsetof(struct ffclock_page, ext) == FFCLOCK_EXT_OFFSET);
static_assert(sizeof(struct ffclock_page) <= FFCLOCK_PAGE_SIZE);
static_assert(FFCLOCK_PAGE_SIZE <= PAGE_SIZE);

int ffc_page_init(void)
{
	struct ffclock_vmclock *v;
	struct ffclock_ext *x;

	ffc_page = (void *)get_zeroed_page(GFP_KERNEL);
	if (!ffc_page)
		return -ENOMEM;

	v = &ffc_page->vmclock;
	v->magic = FFCLOCK_VMCLOCK_MAGIC;
	v->size = FFCLOCK_PAGE_SIZE;
	v->version = FFCLOCK_VMCLOCK_VERSION;
	v->counter_id = FFCLOCK_COUNTER_INVALID;
	v->time_type = FFCLOCK_VMCLOCK_TIME_UTC;
	x = &ffc_page->ext;
	x->magic = FFCLOCK_EXT_MAGIC;
	x->size = sizeof(*x);
	x->version = FFCLOCK_EXT_VERSION;
	return 0;
}

/* Mappings hold their own reference to the page, and their file one to us */
void ffc_page_exit(void)
{
	free_page((unsigned long)ffc_page);
	ffc_page = NULL;
}

/**
 * ffc_page_write_begin() - make readers of the page wait
 *
 * Context: ffc_lock held, and soon ffc_page_write_end().
 */
void ffc_page_write_begin(void)
{
	struct ffclock_vmclock *v = &ffc_page->vmclock;

	lockdep_assert_held(&ffc_lock);
	WRITE_ONCE(v->seq_count, v->seq_count + 1);
	/*
	 * Pairs with the reader's load barrier after its data: data of this
	 * section are seen only by who also sees the odd count.  A full barrier,
	 * because the writer goes on to read the counter: a reader that has read
	 * a later counter value must not have missed the odd count.
	 */
	smp_mb();
}

static void ffc_page_fill_slew(struct ffclock_slew *to, const struct ffclock_slew *from,
			       u64 offset)
{
	*to = *from;
	to->c0 -= offset;
	to->c1 -= offset;
}

/**
 * ffc_page_write_end() - fill the page in and let readers go on
 * @s: the state just published
 *
 * Context: ffc_lock held, after ffc_page_write_begin().
 */
void ffc_page_write_end(const struct ffc_state *s)
{
	const struct ffclock_estimate *e = &s->clock.est;
	struct ffclock_vmclock *v = &ffc_page->vmclock;
	struct ffclock_ext *x = &ffc_page->ext;
	const struct ffc_hw *hw = s->base.hw;
	bool readable = hw && hw->id != FFCLOCK_COUNTER_INVALID;
	/*
	 * Cumulative counter to raw reading: only a full mask allows it.  Also for
	 * counters that user space cannot read: who has a line in one of these from
	 * elsewhere (Xen system time, a host's TSC) needs it.
	 */
	bool full = s->base.mask == CLOCKSOURCE_MASK(64);
	u64 offset = full ? s->base.value - s->base.last : 0;

	v->counter_id = readable ? hw->id : FFCLOCK_COUNTER_INVALID;
	v->disruption_marker = s->epoch;
	v->flags = ffc_notice | FFCLOCK_VF_NOTIFICATION_PRESENT | FFCLOCK_VF_PERIOD_ESTERROR_VALID |
		   FFCLOCK_VF_PERIOD_MAXERROR_VALID;
	if (e->tai_offset_sec)
		v->flags |= FFCLOCK_VF_TAI_OFFSET_VALID;
	if (e->esterror_ns != FFCLOCK_BOUND_UNKNOWN)
		v->flags |= FFCLOCK_VF_TIME_ESTERROR_VALID;
	if (e->maxerror_ns != FFCLOCK_BOUND_UNKNOWN)
		v->flags |= FFCLOCK_VF_TIME_MAXERROR_VALID;
	v->clock_status = e->status;
	v->tai_offset_sec = -e->tai_offset_sec;
	v->leap_indicator = e->leap_indicator;
	v->counter_period_shift = e->period_shift;
	v->counter_value = e->counter - offset;
	v->counter_period_frac_sec = e->period;
	v->counter_period_esterror_rate_frac_sec = e->period_esterror;
	v->counter_period_maxerror_rate_frac_sec = e->period_maxerror;
	v->time_sec = e->time.sec;
	v->time_frac_sec = e->time.frac;
	v->time_esterror_nanosec = e->esterror_ns;
	v->time_maxerror_nanosec = e->maxerror_ns;

	x->epoch = s->epoch;
	x->flags = s->clock.mono_attached ? FFCLOCK_EXT_F_SYNCED_ONCE : 0;
	x->counter_offset = offset;
	WRITE_ONCE(x->migration_sequence, ffclock_migration_sequence());
	x->updates = ffc_event_updates();
	x->stale_after = s->clock.stale_after;
	x->leap_utc_sec = e->leap_utc_sec;
	x->leap_change = e->leap_change;
	x->tai_offset_sec = e->tai_offset_sec;
	ffc_page_fill_slew(&x->mono, &s->clock.mono, offset);
	ffc_page_fill_slew(&x->diff, &s->clock.diff, offset);

	/* Pairs with the reader's load barrier after seq_count: even is whole */
	smp_store_release(&v->seq_count, v->seq_count + 1);
}

/**
 * ffclock_notice() - the hypervisor announced a disruption, or took it back
 * @vmclock_flags: FFCLOCK_VF_DISRUPTION_SOON, FFCLOCK_VF_DISRUPTION_IMMINENT or
 *	neither; other bits are ignored
 *
 * The page passes it on, and pollers and udev are told.
 *
 * Context: any but NMI and the timekeeping notifier.
 */
void ffclock_notice(u64 vmclock_flags)
{
	unsigned long flags;
	bool changed;

	vmclock_flags &= FFC_NOTICE_FLAGS;
	raw_spin_lock_irqsave(&ffc_lock, flags);
	changed = vmclock_flags != ffc_notice;
	if (changed) {
		ffc_page_write_begin();
		WRITE_ONCE(ffc_notice, vmclock_flags);
		ffc_page_write_end(ffc_state_locked());
		ffc_event_raise(FFCLOCK_EVENT_NOTICE);
		trace_ffclock_notice(vmclock_flags);
	}
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
}
EXPORT_SYMBOL_GPL(ffclock_notice);

/* What is announced: FFC_NOTICE_FLAGS; a racy value is told again when it changes */
u64 ffc_page_notice(void)
{
	return READ_ONCE(ffc_notice);
}

/* Sequence of the page, for poll: a racy value only makes poll() look again */
u32 ffc_page_seq(void)
{
	return READ_ONCE(ffc_page->vmclock.seq_count) & ~1U;
}

/**
 * ffc_page_copy() - a consistent copy of the page
 * @copy: where to
 *
 * Context: any but NMI and the timekeeping notifier.
 */
void ffc_page_copy(struct ffclock_page *copy)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	*copy = *ffc_page;
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
}

/**
 * ffc_page_mmap() - map the page read-only
 * @vma: one page at offset 0, not writable now or later
 *
 * Return: 0, -EINVAL for another size or offset, -EPERM for a writable mapping
 */
int ffc_page_mmap(struct vm_area_struct *vma)
{
	if (vma->vm_end - vma->vm_start != PAGE_SIZE || vma->vm_pgoff)
		return -EINVAL;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EPERM;
	vm_flags_clear(vma, VM_MAYWRITE | VM_MAYEXEC);
	return vm_insert_page(vma, vma->vm_start, virt_to_page(ffc_page));
}
