// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: publication of the counter and clock data to lock-free readers.
 *
 * A seqcount_latch_t with two copies: writers change the one nobody is sent to,
 * so readers never wait, whatever they interrupted.
 */
#include <linux/string.h>

#include "ffclock_internal.h"

DEFINE_RAW_SPINLOCK(ffc_lock);

static struct {
	seqcount_latch_t	seq;
	struct ffc_state	copy[2];
} ffc_latch ____cacheline_aligned_in_smp = {
	.seq = SEQCNT_LATCH_ZERO(ffc_latch.seq),
};

/**
 * ffc_state_locked() - the present state, for writers
 *
 * Context: ffc_lock held.
 */
const struct ffc_state *ffc_state_locked(void)
{
	lockdep_assert_held(&ffc_lock);
	return &ffc_latch.copy[0];
}

/**
 * ffc_state_publish() - replace the whole state
 * @state: the new one; not the latch's own
 *
 * Context: ffc_lock held.
 */
void ffc_state_publish(const struct ffc_state *state)
{
	lockdep_assert_held(&ffc_lock);
	write_seqcount_latch_begin(&ffc_latch.seq);	/* readers use copy[1] */
	ffc_latch.copy[0] = *state;
	write_seqcount_latch(&ffc_latch.seq);		/* readers use copy[0] */
	ffc_latch.copy[1] = *state;
	write_seqcount_latch_end(&ffc_latch.seq);
}

/**
 * ffc_state_publish_base() - move the base of a narrow counter on
 * @base: the new base, which gives the same counter as the present one
 *
 * The tick's version of ffc_state_publish().  Context: ffc_lock held.
 */
void ffc_state_publish_base(const struct ffc_base *base)
{
	lockdep_assert_held(&ffc_lock);
	write_seqcount_latch_begin(&ffc_latch.seq);
	ffc_latch.copy[0].base = *base;
	write_seqcount_latch(&ffc_latch.seq);
	ffc_latch.copy[1].base = *base;
	write_seqcount_latch_end(&ffc_latch.seq);
}

/**
 * ffc_base_raw() - read what is below the counter
 * @base: how; not frozen
 *
 * Context: as ffc_base_read().
 * Return: the reading, masked
 */
u64 ffc_base_raw(const struct ffc_base *base)
{
	const struct ffc_hw *hw = READ_ONCE(base->hw);
	struct clocksource *cs = READ_ONCE(base->cs);

	return (hw ? hw->read() : cs->read(cs)) & base->mask;
}

/**
 * ffc_base_read() - read the counter
 * @base: how; may be a latch copy that is being overwritten, as long as the
 *	caller then finds that out and tries again
 *
 * A narrow reading that lies before @base->last by up to an eighth of its range
 * (torn, or late in coming) counts as that, not as nearly a whole wrap.
 *
 * Context: any.  With preemption off if @base->cs may go away: a clocksource
 * is replaced in stop_machine(), which waits for such sections.
 *
 * Return: the cumulative counter
 */
u64 ffc_base_read(const struct ffc_base *base)
{
	const struct ffc_hw *hw = READ_ONCE(base->hw);
	struct clocksource *cs = READ_ONCE(base->cs);
	s64 delta;
	u64 raw;

	if (hw && hw->id == FFCLOCK_COUNTER_X86_TSC)	/* spares an indirect call */
		return base->value + (rdtsc_ordered() - base->last);
	if (hw)
		raw = hw->read();
	else if (cs)
		raw = cs->read(cs);
	else
		return READ_ONCE(base->value);

	delta = ffc_base_delta(base, raw);
	if (unlikely(delta < 0) && base->mask != U64_MAX)
		delta = 0;
	return base->value + delta;
}

/**
 * ffc_state_get() - copy the present state
 * @state: where to
 *
 * Context: any.
 */
void ffc_state_get(struct ffc_state *state)
{
	unsigned int seq;

	do {
		seq = read_seqcount_latch(&ffc_latch.seq);
		*state = ffc_latch.copy[seq & 1];
	} while (read_seqcount_latch_retry(&ffc_latch.seq, seq));
}

/*
 * Readers take ffc_floor before they read the counter, which is at least that, but for
 * a fault.  Then they stay at the floor, until ffc_counter_seen_back() has had its effect.
 */
static __always_inline u64 ffc_floor_before(void)
{
	u64 floor = READ_ONCE(ffc_floor);

	smp_rmb();	/* the floor is an earlier reading than ours: read it earlier */
	return floor;
}

/* @r's clock, where the counter was at the latest update */
static noinline void ffc_read_at_floor(struct ffclock_reading *r, u64 floor)
{
	struct ffc_state s;

	ffc_counter_seen_back();
	ffc_state_get(&s);
	r->counter = floor;
	ffc_clock_eval(&s, r);
}

/* By itself, so that ffclock_get_ts64() needs no object in memory, and no canary */
static noinline struct ffclock_time ffc_time_at_floor(enum ffclock_id clock, u64 floor)
{
	struct ffclock_reading r = { .clock = clock };

	ffc_read_at_floor(&r, floor);
	return r.time;
}

/**
 * ffclock_counter() - read the cumulative counter
 * @epoch: where the counter's epoch goes, or NULL
 *
 * The counter never goes back, but for a fault: if what is below it does, this is what
 * timekeeping saw last (up to a tick before the latest reading), and soon another epoch.
 * Counts of different epochs do not measure a time between them.
 *
 * Context: any, NMI included.  Lock-free.
 * Return: the counter, in counts; frozen while the machine is suspended
 */
u64 ffclock_counter(u32 *epoch)
{
	const struct ffc_state *s;
	u64 counter, floor;
	unsigned int seq;
	u32 e;

	preempt_disable_notrace();
	floor = ffc_floor_before();
	do {
		seq = read_seqcount_latch(&ffc_latch.seq);
		s = &ffc_latch.copy[seq & 1];
		counter = ffc_base_read(&s->base);
		e = s->epoch;
	} while (read_seqcount_latch_retry(&ffc_latch.seq, seq));
	if (ffc_below_floor(counter, floor)) {
		ffc_counter_seen_back();
		counter = floor;
	}
	preempt_enable_notrace();

	if (epoch)
		*epoch = e;
	return counter;
}
EXPORT_SYMBOL_GPL(ffclock_counter);

/**
 * ffclock_read() - read a clock, with its error bound and status
 * @clock: which one
 * @r: where the reading goes
 *
 * Context: any, NMI included.  Lock-free.
 * Return: 0; -EINVAL if there is no such clock, with @r unchanged
 */
int ffclock_read(enum ffclock_id clock, struct ffclock_reading *r)
{
	struct ffclock_reading now = { .clock = clock };
	const struct ffc_state *s;
	unsigned int seq;
	bool pending;
	u64 floor;

	if ((unsigned int)clock >= FFCLOCK_NR)
		return -EINVAL;

	preempt_disable_notrace();
	floor = ffc_floor_before();
	do {
		seq = read_seqcount_latch(&ffc_latch.seq);
		s = &ffc_latch.copy[seq & 1];
		now.counter = ffc_base_read(&s->base);
		ffc_clock_eval(s, &now);
		/*
		 * After the counter, and in the loop: who is no longer told of a
		 * disruption here finds that the state has changed.
		 */
		pending = ffc_detect_pending();
	} while (read_seqcount_latch_retry(&ffc_latch.seq, seq));
	if (ffc_below_floor(now.counter, floor)) {
		ffc_read_at_floor(&now, floor);
		pending = true;
	}
	if (unlikely(pending)) {
		/* disrupted, and no timekeeping update has seen it yet */
		now.status = FFCLOCK_STATUS_UNRELIABLE;
		now.bound_ns = FFCLOCK_BOUND_UNKNOWN;
	}
	preempt_enable_notrace();

	*r = now;
	return 0;
}
EXPORT_SYMBOL_GPL(ffclock_read);

/**
 * ffclock_get_ts64() - read a clock as a timespec, fast
 * @clock: which one; a value out of range reads FFCLOCK_UTC
 * @ts: where the time goes
 *
 * Context: any, NMI included.  Lock-free.
 */
void ffclock_get_ts64(enum ffclock_id clock, struct timespec64 *ts)
{
	const struct ffc_state *s;
	struct ffclock_time t;
	u64 counter, floor;
	unsigned int seq;

	preempt_disable_notrace();
	floor = ffc_floor_before();
	do {
		seq = read_seqcount_latch(&ffc_latch.seq);
		s = &ffc_latch.copy[seq & 1];
		counter = ffc_base_read(&s->base);
		t = ffc_clock_time(&s->clock, clock, counter);
	} while (read_seqcount_latch_retry(&ffc_latch.seq, seq));
	if (ffc_below_floor(counter, floor))
		t = ffc_time_at_floor(clock, floor);
	preempt_enable_notrace();

	ts->tv_sec = t.sec;
	ts->tv_nsec = ffclock_frac_to_ns(t.frac);
}
EXPORT_SYMBOL_GPL(ffclock_get_ts64);

/**
 * ffclock_get() - read a clock in nanoseconds
 * @clock: which one; a value out of range reads FFCLOCK_UTC
 *
 * Context: any, NMI included.  Lock-free.
 * Return: the clock in ns; until the year 2262
 */
ktime_t ffclock_get(enum ffclock_id clock)
{
	struct timespec64 ts;

	ffclock_get_ts64(clock, &ts);
	return timespec64_to_ktime(ts);
}
EXPORT_SYMBOL_GPL(ffclock_get);
