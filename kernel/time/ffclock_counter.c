// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: the cumulative counter and its epochs.
 *
 * The counter runs over the clocksource that the timekeeping core uses, as the
 * core's own updates see it (pvclock_gtod notifier), so it is valid wherever the
 * core's time is: narrow counters are extended at every update, and the core
 * never lets one wrap in between, NO_HZ or not.  Or it bypasses the clocksource
 * and runs over a hardware counter of the administrator's choice.
 *
 * An epoch is a stretch in which one oscillator was counted without a gap.
 */
#include <linux/clocksource.h>
#include <linux/errno.h>
#include <linux/irq_work.h>
#include <linux/pvclock_gtod.h>
#include <linux/stop_machine.h>
#include <linux/string.h>
#include <linux/syscore_ops.h>
#include <linux/timekeeper_internal.h>
#include <linux/timer.h>

#include "ffclock_internal.h"
#include "ffclock_trace.h"

/* serialises configuration from sysfs; sleeps */
DEFINE_MUTEX(ffc_config_mutex);

/**
 * struct ffc_sys - the counter over the timekeeper's clocksource ("sys")
 * @base: how to read it; base.last is the core's cycle_last, base.value the
 *	counter there
 * @shift_to_counter: ffclock counter - sys counter, if @related
 * @related: both count the same hardware: not bypassed, or by the very counter
 *	that is under the clocksource
 * @offs_boot: CLOCK_BOOTTIME - CLOCK_MONOTONIC at the last update: grows by
 *	what the machine slept
 * @slept: what @offs_boot grew by while @frozen
 * @bypass: hardware counter that the ffclock counter runs over instead, or NULL
 * @frozen: between syscore suspend and resume: the ffclock counter stands still
 * @stalled: the clocksource went back and the core's clocks stand still, until it
 *	takes up a reading other than @stalled_at
 * @stalled_at: the core's cycle_last then
 * @nominal_period: nominal period of the ffclock counter
 * @nominal_shift: its shift
 *
 * Protected by ffc_lock; @bypass is changed with ffc_config_mutex held as well.
 */
static struct ffc_sys {
	struct ffc_base		base;
	u64			shift_to_counter;
	bool			related;
	ktime_t			offs_boot;
	ktime_t			slept;
	const struct ffc_hw	*bypass;
	bool			frozen;
	bool			stalled;
	u64			stalled_at;
	u64			nominal_period;
	u32			nominal_shift;
} ffc_sys;

/* The counter at the latest timekeeping update or later.  Written under ffc_lock */
u64 ffc_floor;

/* What is left of narrow bypassed counters' range when they are looked at */
#define FFC_BYPASS_WRAP_DIV	4

static void ffc_counter_back(void);
static void ffc_bypass_timer_fn(struct timer_list *timer);
static DEFINE_TIMER(ffc_bypass_timer, ffc_bypass_timer_fn);
static unsigned long ffc_bypass_interval;	/* jiffies; 0: not needed */

static u64 ffc_sys_read(void)
{
	return ffc_base_read(&ffc_sys.base);
}

static bool ffc_narrow(const struct ffc_base *base)
{
	return base->mask != CLOCKSOURCE_MASK(64);
}

/* Nominal period of a clocksource or, better known, of the counter under it */
static void ffc_nominal(const struct ffc_base *base, u64 *period, u32 *shift)
{
	u64 hz = base->hw ? base->hw->hz() : 0;

	if (hz)
		*period = ffclock_period_from_hz(hz, shift);
	else
		/* mult / 2^shift ns; clocksources have shift <= 32, so < 2^62 */
		*period = ffclock_period_from_ratio(base->cs->mult,
						    (u64)NSEC_PER_SEC << base->cs->shift, shift);
}

/**
 * ffc_counter_nominal() - nominal period of the present counter
 * @period: where it goes, 2^-(64 + @shift) s per count
 * @shift: where its shift goes
 *
 * Context: ffc_lock held.
 */
void ffc_counter_nominal(u64 *period, u32 *shift)
{
	lockdep_assert_held(&ffc_lock);
	*period = ffc_sys.nominal_period;
	*shift = ffc_sys.nominal_shift;
}

/**
 * ffc_counter_pair_locked() - both counters at one instant
 * @sys: the counter over the clocksource
 * @counter: the ffclock counter
 *
 * Context: ffc_lock held.
 * Return: whether the two had to be read one after the other; @counter then
 * belongs to @sys to within half the time of that
 */
bool ffc_counter_pair_locked(u64 *sys, u64 *counter)
{
	u64 before, after;

	lockdep_assert_held(&ffc_lock);
	before = ffc_sys_read();
	if (ffc_sys.related && !ffc_sys.frozen) {
		*sys = before;
		*counter = before + ffc_sys.shift_to_counter;
		return false;
	}
	*counter = ffc_base_read(&ffc_state_locked()->base);
	after = ffc_sys_read();
	*sys = before + (after - before) / 2;
	return true;
}

/* Whether the counter as it is has gone back by itself */
static bool ffc_is_back(void)
{
	return ffc_below_floor(ffc_base_read(&ffc_state_locked()->base), ffc_floor);
}

/*
 * Where to go on after the counter went back, @counter being its value at the latest
 * update: readers may have got a tick further since, and a tenth of a second is more.
 */
static u64 ffc_past_readers(u64 counter)
{
	struct ffclock_time tenth = ffclock_ns_to_time(NSEC_PER_SEC / 10);
	u64 slack;

	if (!ffclock_unscale(tenth, ffc_sys.nominal_period, ffc_sys.nominal_shift, true, &slack))
		slack = 0;
	return counter + slack;
}

/**
 * ffc_new_epoch() - begin an epoch, possibly on another counter
 * @next: the present state, to be changed and published
 * @to: the counter from now on; last and value are filled in
 * @why: for the trace
 * @disrupted: the machine was: what is true of time is not known any more
 * @slept: time that the counter has not seen, or 0
 *
 * The counter goes on from its present value, or above the latest if it went back,
 * which is a disruption whatever it was taken for.  Context: ffc_lock held; for
 * another counter also with all other CPUs stopped or in the timekeeping
 * notifier, so that nobody reads the old counter after this did.
 */
static void ffc_new_epoch(struct ffc_state *next, struct ffc_base *to, const char *why,
			  bool disrupted, ktime_t slept)
{
	bool same = to->hw == next->base.hw && to->cs == next->base.cs;
	u64 before, after, now, gap;
	u64 period = ffc_sys.nominal_period;
	u32 shift = ffc_sys.nominal_shift;

	ffc_ring_epoch_ends();

	/* read the new counter around the old one */
	before = ffc_base_raw(to);
	now = ffc_base_read(&next->base);
	after = ffc_base_raw(to);
	gap = (after - before) & to->mask;
	if (ffc_below_floor(now, ffc_floor)) {
		now = ffc_past_readers(ffc_floor);
		WRITE_ONCE(ffc_floor, now);
		disrupted = true;
		same = false;
	}
	if (same) {
		/* others read it meanwhile: not a count may be lost between the readings */
		to->last = next->base.last;
		to->value = next->base.value;
	} else {
		to->last = (before + gap / 2) & to->mask;
		to->value = now;
	}

	next->epoch++;
	if (to->hw != next->base.hw || to->cs != next->base.cs) {
		ffc_nominal(to, &period, &shift);
		ffc_sys.nominal_period = period;
		ffc_sys.nominal_shift = shift;
		ffc_clock_new_epoch(next, now, now, period, shift,
				    ffclock_bound_grow(0, gap, period, shift));
	}
	next->clock.est.epoch = next->epoch;
	if (disrupted) {
		ffc_event_sequence_inc();
		ffc_migration_begin(why, now, &next->clock.est, next->epoch);
		ffc_clock_disrupted(next, now, ffclock_ns_to_time(ktime_to_ns(slept)));
	}
	next->base = *to;

	ffc_page_write_begin();
	ffc_state_publish(next);
	ffc_page_write_end(next);
	ffc_event_raise(FFCLOCK_EVENT_EPOCH | (disrupted ? FFCLOCK_EVENT_DISRUPTION : 0));
	trace_ffclock_epoch(next->epoch, now,
			    to->hw ? to->hw->name : to->cs ? to->cs->name : "none", why);
}

/* The sys base for a clocksource */
static struct ffc_base ffc_base_of(struct clocksource *cs)
{
	struct ffc_base base = {
		.hw	= ffc_hw_of_clocksource(cs),
		.cs	= cs,
		.mask	= cs->mask,
	};

	return base;
}

/*
 * How the ffclock counter relates to sys, after either got a new base.  The
 * ffclock counter's is as new as sys's or newer.
 */
static void ffc_sys_relate(void)
{
	const struct ffc_base *base = &ffc_state_locked()->base;
	u64 sys = ffc_sys.base.value + ((base->last - ffc_sys.base.last) & ffc_sys.base.mask);

	ffc_sys.related = !ffc_sys.bypass || ffc_sys.bypass == ffc_sys.base.hw;
	ffc_sys.shift_to_counter = base->value - sys;
}

/* The timekeeping core has changed its clocksource */
static void ffc_sys_switch(const struct timekeeper *tk)
{
	struct ffc_base to = ffc_base_of(tk->tkr_mono.clock);
	struct ffc_state next = *ffc_state_locked();
	bool same = to.hw && to.hw == ffc_sys.base.hw;
	u64 cycles = tk->tkr_mono.cycle_last & to.mask;
	u64 sys;

	/* reckon from the core's last cycle, as every update from now on will */
	if (same)
		sys = ffc_sys.base.value + ((cycles - ffc_sys.base.last) & to.mask);
	else
		sys = ffc_sys_read();
	/* the old one may have been left because it went back */
	if ((s64)(sys - ffc_sys.base.value) < 0)
		sys = ffc_sys.base.value;
	ffc_sys.stalled = false;
	ffc_sys.base = to;
	ffc_sys.base.last = cycles;
	ffc_sys.base.value = sys;
	if (!same)
		ffc_ring_new_unit();
	if (ffc_sys.bypass) {
		/* the counter is another one and goes on */
	} else if (same) {
		/* tsc-early to tsc: the same counter under another name */
		next.base.cs = to.cs;
		ffc_state_publish_base(&next.base);
		ffc_nominal(&to, &ffc_sys.nominal_period, &ffc_sys.nominal_shift);
	} else {
		ffc_new_epoch(&next, &to, "clocksource", false, 0);
	}
	ffc_sys_relate();
}

/* Stop bypassing, with all other CPUs stopped or because the counter is bad */
static void ffc_bypass_drop(const char *why)
{
	struct ffc_state next = *ffc_state_locked();
	struct ffc_base to = ffc_sys.base;

	ffc_sys.bypass = NULL;
	ffc_new_epoch(&next, &to, why, false, 0);
	ffc_sys_relate();
}

/* The first update, from pvclock_gtod_register_notifier() itself */
static void ffc_first_update(const struct timekeeper *tk)
{
	const struct tk_read_base *tkr = &tk->tkr_mono;
	struct ffc_state next = { .epoch = 1 };
	struct ffclock_time utc, mono;

	next.base = ffc_base_of(tkr->clock);
	next.base.last = tkr->cycle_last & tkr->mask;
	next.base.value = next.base.last;
	ffc_sys.base = next.base;
	ffc_floor = next.base.value;
	ffc_sys.related = true;
	ffc_sys.offs_boot = tk->offs_boot;
	ffc_nominal(&next.base, &ffc_sys.nominal_period, &ffc_sys.nominal_shift);

	utc = ffclock_ns_to_time((s64)(tkr->xtime_nsec >> tkr->shift));
	utc.sec += tk->xtime_sec;
	mono = ffclock_time_sub(utc, ffclock_ns_to_time(ktime_to_ns(tk->offs_real)));
	ffc_clock_init(&next, next.base.value, utc, mono, tk->tai_offset,
		       ffc_sys.nominal_period, ffc_sys.nominal_shift);
	ffc_page_write_begin();
	ffc_state_publish(&next);
	ffc_page_write_end(&next);
}

/* The core's counter has jumped: go on from the last value there was */
static void ffc_sys_jumped(u64 cycles, const char *why, ktime_t slept)
{
	struct ffc_state next = *ffc_state_locked();
	struct ffc_base to = next.base;

	ffc_sys.base.last = cycles;
	if (!ffc_sys.bypass) {
		next.base.hw = NULL;
		next.base.cs = NULL;
		next.base.value = ffc_sys.base.value + ffc_sys.shift_to_counter;
		/* readers got further, if it did not sleep */
		if (!slept)
			next.base.value = ffc_past_readers(next.base.value);
	}
	ffc_new_epoch(&next, &to, why, true, slept);
	ffc_sys_relate();
	ffc_detect_own(to.value);
}

/* What the core calls an ordinary update: it has counted on */
static void ffc_sys_advance(const struct timekeeper *tk)
{
	struct ffc_base *base = &ffc_sys.base;
	u64 cycles = tk->tkr_mono.cycle_last & base->mask;
	s64 delta = ffc_base_delta(base, cycles);
	bool slept = tk->offs_boot != ffc_sys.offs_boot;

	/*
	 * After sleep a wide counter that never stops has simply counted on.  Of
	 * any other nobody knows how far it got or how often it wrapped.
	 */
	if (unlikely(slept) && (ffc_narrow(base) ||
				!(base->cs->flags & CLOCK_SOURCE_SUSPEND_NONSTOP))) {
		ffc_sys_jumped(cycles, "sleep", ktime_sub(tk->offs_boot, ffc_sys.offs_boot));
		return;
	}
	/*
	 * A wide counter never wraps, so this one went back by itself.  A narrow one
	 * is back where it was by the next reading, if this one was torn: the core
	 * has taken it as it was, so the base goes back with it, which readers do
	 * not see.
	 */
	if (unlikely(!ffc_narrow(base) && delta < 0)) {
		ffc_sys_jumped(cycles, "backward", 0);
		return;
	}

	base->value += delta;
	base->last = cycles;
	if (!ffc_sys.bypass && ffc_narrow(base)) {
		struct ffc_base next = *base;

		next.value += ffc_sys.shift_to_counter;
		ffc_state_publish_base(&next);
	}
}

/**
 * ffc_tk_notify() - a timekeeping update
 * @nb: ours
 * @was_set: the clock was set; told by the data as well
 * @data: the timekeeper, as it will be
 *
 * Context: under the timekeeper lock with its sequence held for writing, irqs
 * off.  No timekeeping reads, no wake-ups, no printk.
 */
static int ffc_tk_notify(struct notifier_block *nb, unsigned long was_set, void *data)
{
	const struct timekeeper *tk = data;
	u64 counter;

	raw_spin_lock(&ffc_lock);
	if (unlikely(!ffc_sys.base.cs)) {
		ffc_first_update(tk);
	} else if (unlikely(tk->tkr_mono.clock != ffc_sys.base.cs)) {
		ffc_sys_switch(tk);
	} else if (unlikely(ffc_sys.frozen)) {
		/* suspending or resuming: ffc_resume() takes it up from here */
		ffc_sys.base.last = tk->tkr_mono.cycle_last & ffc_sys.base.mask;
		ffc_sys.slept = ktime_add(ffc_sys.slept,
					  ktime_sub(tk->offs_boot, ffc_sys.offs_boot));
	} else if (unlikely(ffc_sys.stalled) &&
		   (tk->tkr_mono.cycle_last & ffc_sys.base.mask) == ffc_sys.stalled_at) {
		/* the core has not counted on: somebody set TAI - UTC, say */
		goto out;
	} else {
		ffc_sys.stalled = false;
		ffc_sys_advance(tk);
		if (unlikely(ffc_sys.bypass) && !ffc_sys.bypass->usable())
			ffc_bypass_drop("unusable");
		if (ffc_sys.related) {
			counter = ffc_sys.base.value + ffc_sys.shift_to_counter;
		} else {
			counter = ffc_base_read(&ffc_state_locked()->base);
			if (!ffc_narrow(&ffc_state_locked()->base) &&
			    ffc_below_floor(counter, ffc_floor))
				ffc_counter_back();
		}
		ffc_detect();
		/* the core's cycles lag up to a tick, and an epoch may have begun since */
		if ((s64)(counter - ffc_floor) > 0)
			WRITE_ONCE(ffc_floor, counter);
	}
	ffc_sys.offs_boot = tk->offs_boot;
	ffc_ring_update(tk, ffc_sys.base.value, !ffc_sys.related || ffc_sys.frozen);
out:
	raw_spin_unlock(&ffc_lock);
	return NOTIFY_OK;
}

static struct notifier_block ffc_tk_nb = {
	.notifier_call = ffc_tk_notify,
};

/* Suspend ------------------------------------------------------------------ */

/*
 * Syscore operations are suspended in the reverse order of their registration
 * and resumed in order; ours come after timekeeping's.  So the counter is frozen
 * before the core stops its clocksource, and goes on after the core has started
 * it again, whatever the hardware did to it in between.  One CPU, irqs off.
 */
static int ffc_suspend(void *data)
{
	struct ffc_state next;

	raw_spin_lock(&ffc_lock);
	next = *ffc_state_locked();
	next.base.value = ffc_base_read(&next.base);
	next.base.hw = NULL;
	next.base.cs = NULL;
	ffc_sys.frozen = true;
	ffc_sys.slept = 0;
	ffc_page_write_begin();
	ffc_state_publish(&next);
	ffc_page_write_end(&next);
	raw_spin_unlock(&ffc_lock);
	return 0;
}

static void ffc_resume(void *data)
{
	struct ffc_base to;
	struct ffc_state next;

	raw_spin_lock(&ffc_lock);
	next = *ffc_state_locked();
	to = ffc_sys.base;
	if (ffc_sys.bypass) {
		to.hw = ffc_sys.bypass;
		to.cs = NULL;
		to.mask = ffc_sys.bypass->mask;
	}
	ffc_new_epoch(&next, &to, "suspend", true, ffc_sys.slept);
	ffc_sys.frozen = false;
	ffc_sys_relate();
	ffc_ring_new_epoch(!ffc_sys.related);
	ffc_detect_own(to.value);
	raw_spin_unlock(&ffc_lock);
}

static const struct syscore_ops ffc_syscore_ops = {
	.suspend	= ffc_suspend,
	.resume		= ffc_resume,
};

static struct syscore ffc_syscore = {
	.ops = &ffc_syscore_ops,
};

/* Bypass ------------------------------------------------------------------- */

/* A narrow bypassed counter has to be looked at more often than it wraps */
static void ffc_bypass_timer_fn(struct timer_list *timer)
{
	struct ffc_base base;
	unsigned long flags;
	u64 value;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	base = ffc_state_locked()->base;
	if (ffc_sys.bypass && base.hw && ffc_narrow(&base)) {
		value = ffc_base_read(&base);
		base.last = (base.last + (value - base.value)) & base.mask;
		base.value = value;
		ffc_state_publish_base(&base);
	}
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	if (READ_ONCE(ffc_bypass_interval))
		mod_timer(&ffc_bypass_timer, jiffies + READ_ONCE(ffc_bypass_interval));
}

/* With all other CPUs stopped: nobody reads the old counter after we did */
static int ffc_bypass_stopped(void *data)
{
	const struct ffc_hw *hw = data;
	struct ffc_state next;
	struct ffc_base to = {};

	raw_spin_lock(&ffc_lock);
	if (!hw) {
		ffc_bypass_drop("bypass off");
	} else {
		next = *ffc_state_locked();
		to.hw = hw;
		to.mask = hw->mask;
		ffc_new_epoch(&next, &to, "bypass", false, 0);
		ffc_sys.bypass = hw;
		ffc_sys_relate();
	}
	ffc_ring_new_epoch(!ffc_sys.related);
	raw_spin_unlock(&ffc_lock);
	return 0;
}

/**
 * ffc_counter_set_bypass() - read a hardware counter, not the clocksource
 * @name: of the hardware counter, or "none"
 *
 * Context: process, sleeps.
 * Return: 0; -EINVAL if there is no counter of that name, -ENODEV if it is not
 * usable on this machine or not steady
 */
int ffc_counter_set_bypass(const char *name)
{
	const struct ffc_hw *hw = NULL;
	unsigned long interval = 0;

	if (strcmp(name, "none")) {
		hw = ffc_hw_find(name);
		if (!hw)
			return -EINVAL;
		if (!hw->usable() || !hw->hz())
			return -ENODEV;
		if (hw->mask != CLOCKSOURCE_MASK(64))
			interval = max_t(u64, 1, div64_u64(hw->mask, hw->hz()) * HZ /
						 FFC_BYPASS_WRAP_DIV);
	}

	mutex_lock(&ffc_config_mutex);
	WRITE_ONCE(ffc_bypass_interval, 0);
	timer_delete_sync(&ffc_bypass_timer);
	if (READ_ONCE(ffc_sys.bypass) != hw)
		stop_machine(ffc_bypass_stopped, (void *)hw, NULL);
	if (interval) {
		WRITE_ONCE(ffc_bypass_interval, interval);
		mod_timer(&ffc_bypass_timer, jiffies + interval);
	}
	mutex_unlock(&ffc_config_mutex);
	return 0;
}

/* Name of the counter in use, for people; valid while the module is loaded */
void ffc_counter_name(char *buf, size_t size)
{
	unsigned long flags;
	struct ffc_base base;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	base = ffc_state_locked()->base;
	strscpy(buf, base.hw ? base.hw->name : base.cs ? base.cs->name : "none", size);
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
}

const char *ffc_counter_bypass(void)
{
	const struct ffc_hw *hw = READ_ONCE(ffc_sys.bypass);

	return hw ? hw->name : "none";
}

/**
 * ffc_counter_disrupted() - begin an epoch: no old time is good any more
 * @detector: who noticed
 *
 * Context: ffc_lock held.
 */
void ffc_counter_disrupted(const char *detector)
{
	struct ffc_state next = *ffc_state_locked();
	struct ffc_base to = next.base;

	if (ffc_sys.frozen)
		return;		/* ffc_resume() will say it */
	/* the core's clocks stand still where they are, CLOCK_REALTIME too */
	if (ffc_sys.related && ffc_is_back()) {
		ffc_sys.stalled = true;
		ffc_sys.stalled_at = ffc_sys.base.last;
		ffc_sys.base.last = ffc_base_raw(&ffc_sys.base);
		ffc_ring_stall();
	}
	ffc_new_epoch(&next, &to, detector, true, 0);
	ffc_sys_relate();
	ffc_ring_new_epoch(!ffc_sys.related);
}

/* The counter went back by itself; ffc_lock held */
static void ffc_counter_back(void)
{
	ffc_counter_disrupted("backward");
	ffc_detect_own(ffc_floor);
}

static void ffc_back_irq_work(struct irq_work *work)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	if (ffc_is_back())
		ffc_counter_back();
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
}

static struct irq_work ffc_back_work = IRQ_WORK_INIT(ffc_back_irq_work);

/**
 * ffc_counter_seen_back() - a reader has found the counter below ffc_floor
 *
 * The timekeeping core takes such a counter for one that stands still and makes no
 * more updates, so readers are the first to notice.
 *
 * Context: any, NMI included.
 */
void ffc_counter_seen_back(void)
{
	irq_work_queue(&ffc_back_work);
}

/**
 * ffc_counter_doubt() - the clocks are not to be used, without another epoch
 *
 * Context: ffc_lock held.
 */
void ffc_counter_doubt(void)
{
	const struct ffc_state *state = ffc_state_locked();
	struct ffc_state next;

	if (state->clock.est.status == FFCLOCK_STATUS_UNKNOWN ||
	    state->clock.est.status == FFCLOCK_STATUS_UNRELIABLE)
		return;
	next = *state;
	ffc_clock_disrupted(&next, ffc_base_read(&next.base), (struct ffclock_time){});
	ffc_page_write_begin();
	ffc_state_publish(&next);
	ffc_page_write_end(&next);
	ffc_event_raise(FFCLOCK_EVENT_UPDATE);
}

/**
 * ffclock_counter_of_tsc() - the cumulative counter at a TSC reading
 * @tsc: what RDTSC returns, in the present epoch
 * @counter: where the cumulative counter goes
 * @epoch: where its epoch goes
 *
 * Context: any, NMI included.  Lock-free.
 * Return: whether the counter runs over the TSC; nothing is filled in otherwise
 */
bool ffclock_counter_of_tsc(u64 tsc, u64 *counter, u32 *epoch)
{
	struct ffc_state s;

	ffc_state_get(&s);
	if (!s.base.hw || s.base.hw->id != FFCLOCK_COUNTER_X86_TSC)
		return false;
	*counter = s.base.value + (tsc - s.base.last);
	*epoch = s.epoch;
	return true;
}
EXPORT_SYMBOL_GPL(ffclock_counter_of_tsc);

/**
 * ffclock_counter_over() - does the counter run over this one, and how?
 * @name: of a clocksource or hardware counter: "tsc", "xen"
 * @offset: cumulative counter - raw reading, modulo 2^64
 * @epoch: the epoch in which that holds
 *
 * Context: any but NMI and the timekeeping notifier.
 * Return: whether it does, with all 64 bits; nothing is filled in otherwise
 */
bool ffclock_counter_over(const char *name, u64 *offset, u32 *epoch)
{
	unsigned long flags;
	const char *is = "";
	struct ffc_base base;
	bool over;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	base = ffc_state_locked()->base;
	if (base.hw)
		is = base.hw->name;
	else if (base.cs)
		is = base.cs->name;
	over = !strcmp(is, name) && base.mask == CLOCKSOURCE_MASK(64);
	if (over) {
		*offset = base.value - base.last;
		*epoch = ffc_state_locked()->epoch;
	}
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	return over;
}
EXPORT_SYMBOL_GPL(ffclock_counter_over);

int ffc_counter_init(void)
{
	int ret = pvclock_gtod_register_notifier(&ffc_tk_nb);

	if (ret)
		return ret;
	register_syscore(&ffc_syscore);
	return 0;
}

void ffc_counter_exit(void)
{
	ffc_counter_set_bypass("none");
	unregister_syscore(&ffc_syscore);
	pvclock_gtod_unregister_notifier(&ffc_tk_nb);
	irq_work_sync(&ffc_back_work);
}
