// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: clock data, what is done to it, and how it is evaluated.
 *
 * Everything here is arithmetic on struct ffc_clock; who may read or write it
 * when is ffclock_state.c's business.
 */
#include <linux/errno.h>
#include <linux/string.h>

#include "ffclock_internal.h"

#define CREATE_TRACE_POINTS
#include "ffclock_trace.h"

/* An error of more than 31 years is not a bound but a mistake. */
#define FFC_MAX_ERROR_NS	1000000000000000000ULL
#define FFC_MAX_TAI_SEC		1000
#define FFC_MAX_INTERVAL_SEC	131072	/* 2^17 s, NTP's longest poll interval */
#define FFC_MAX_STALE_SEC	31536000 /* a year */
#define FFC_LEAP_AHEAD_SEC	(366 * 86400LL)
#define FFC_LEAP_BEHIND_SEC	86400LL
#define FFC_MAX_AGE_SEC		86400
#define FFC_MAX_AHEAD_SEC	1

/*
 * A new slope begins this long after it is published, so that no reader that
 * still has the old data reads past the joint.  What is needed is the time from
 * the counter reading below to the end of the publication, some 500 ns with
 * interrupts off; a millisecond leaves room for a vCPU that the hypervisor
 * takes away in between, and costs a correction nothing.
 */
#define FFC_LEAD_NS		1000000

/* Seconds in counts of a clock's counter, at least 1, at most 2^62 */
static u64 ffc_sec_to_counts(u64 sec, u64 period, u32 shift)
{
	struct ffclock_time t = { .sec = sec };
	u64 counts;

	if (!ffclock_unscale(t, period, shift, true, &counts) || counts >> 62)
		return 1ULL << 62;
	return counts ?: 1;
}

static u64 ffc_lead_counts(u64 period, u32 shift)
{
	u64 counts;

	if (!ffclock_unscale(ffclock_ns_to_time(FFC_LEAD_NS), period, shift, true, &counts))
		return 1;
	return counts;
}

static u64 ffc_stale_counts(const struct ffclock_estimate *e)
{
	u64 sec = e->stale_sec ?: 8ULL * e->next_update_sec;

	return sec ? ffc_sec_to_counts(sec, e->period, e->period_shift) : 0;
}

static bool ffc_status_good(u8 status)
{
	return status == FFCLOCK_STATUS_SYNCHRONIZED || status == FFCLOCK_STATUS_FREERUNNING;
}

/* The absolute clock on the TAI scale at @counter: what mono follows */
static struct ffclock_time ffc_tai_at(const struct ffclock_estimate *e, u64 counter)
{
	struct ffclock_time t;

	t = ffclock_line_at(counter, e->counter, e->time, e->period, e->period_shift);
	t.sec += e->tai_offset_sec;
	return t;
}

/**
 * ffc_clock_init() - clock data at load: never synchronised
 * @state: epoch set; the clock is filled in
 * @counter: the counter at the instant of @utc and @mono
 * @utc: CLOCK_REALTIME, to begin with something near
 * @mono: CLOCK_MONOTONIC, the zero of mono and diff
 * @tai: the kernel's TAI - UTC, 0 if it was not told
 * @period: nominal period of the counter, 2^-(64 + @shift) s
 * @shift: its shift
 */
void ffc_clock_init(struct ffc_state *state, u64 counter, struct ffclock_time utc,
		    struct ffclock_time mono, s32 tai, u64 period, u32 shift)
{
	struct ffc_clock *c = &state->clock;

	memset(c, 0, sizeof(*c));
	c->est.counter = counter;
	c->est.time = utc;
	c->est.period = period;
	c->est.period_shift = shift;
	c->est.period_esterror = period / FFC_NOMINAL_ERROR_DIV;
	c->est.period_maxerror = period / FFC_NOMINAL_ERROR_DIV;
	c->est.esterror_ns = FFCLOCK_BOUND_UNKNOWN;
	c->est.maxerror_ns = FFCLOCK_BOUND_UNKNOWN;
	c->est.epoch = state->epoch;
	c->est.status = FFCLOCK_STATUS_UNKNOWN;
	if (tai > 0 && tai <= FFC_MAX_TAI_SEC)
		c->est.tai_offset_sec = tai;
	c->mono = ffclock_slew_line(counter, mono, period, shift);
	c->diff = c->mono;
}

/* The error bound of the absolute clock at @counter, in ns */
static u64 ffc_bound_at(const struct ffclock_estimate *e, u64 counter)
{
	return ffclock_bound_grow(e->maxerror_ns, ffclock_counts_between(counter, e->counter),
				  e->period_maxerror, e->period_shift);
}

/**
 * ffc_clock_new_epoch() - carry the clocks over to another counter
 * @next: state with the new epoch; its clock still in terms of the old counter
 * @old_counter: reading of the old counter at the change
 * @new_counter: reading of the new one at the same instant
 * @period: nominal period of the new counter
 * @shift: its shift
 * @gap_ns: how exactly "the same instant" is known
 *
 * Times go on from where they are: holdover, at the new counter's nominal rate.
 */
void ffc_clock_new_epoch(struct ffc_state *next, u64 old_counter, u64 new_counter, u64 period,
			 u32 shift, u64 gap_ns)
{
	struct ffc_clock *c = &next->clock;
	struct ffclock_estimate *e = &c->est;
	u64 bound = ffc_bound_at(e, old_counter);

	c->mono = ffclock_slew_line(new_counter, ffclock_slew_at(&c->mono, old_counter),
				    period, shift);
	c->diff = ffclock_slew_line(new_counter, ffclock_slew_at(&c->diff, old_counter),
				    period, shift);
	e->time = ffclock_line_at(old_counter, e->counter, e->time, e->period, e->period_shift);
	if (bound != FFCLOCK_BOUND_UNKNOWN && check_add_overflow(bound, gap_ns, &bound))
		bound = FFCLOCK_BOUND_UNKNOWN;
	e->maxerror_ns = bound;
	e->counter = new_counter;
	e->period = period;
	e->period_shift = shift;
	e->period_esterror = period / FFC_NOMINAL_ERROR_DIV;
	e->period_maxerror = period / FFC_NOMINAL_ERROR_DIV;
	e->epoch = next->epoch;
	if (e->status == FFCLOCK_STATUS_SYNCHRONIZED)
		e->status = FFCLOCK_STATUS_FREERUNNING;
	c->stale_after = ffc_stale_counts(e);
}

/**
 * ffc_clock_disrupted() - the counter may have lost touch with time
 * @next: state with the new epoch
 * @counter: the counter now
 * @advance: time known to have passed that the counter did not see, or 0
 *
 * The time is no longer to be used, and says so; diff keeps its rate.  Mono
 * goes on from where it is and will be re-attached, not slewed, by the next
 * good estimate.
 */
void ffc_clock_disrupted(struct ffc_state *next, u64 counter, struct ffclock_time advance)
{
	struct ffc_clock *c = &next->clock;
	struct ffclock_estimate *e = &c->est;

	e->time = ffclock_line_at(counter, e->counter, e->time, e->period, e->period_shift);
	e->time = ffclock_time_add(e->time, advance);
	e->counter = counter;
	e->period_esterror = e->period / FFC_NOMINAL_ERROR_DIV;
	e->period_maxerror = e->period / FFC_NOMINAL_ERROR_DIV;
	e->esterror_ns = FFCLOCK_BOUND_UNKNOWN;
	e->maxerror_ns = FFCLOCK_BOUND_UNKNOWN;
	e->epoch = next->epoch;
	if (e->status != FFCLOCK_STATUS_UNKNOWN)
		e->status = FFCLOCK_STATUS_UNRELIABLE;
	c->mono_attached = false;
}

/* Evaluation ---------------------------------------------------------------- */

static u32 ffc_status_at(const struct ffc_clock *c, u64 counter)
{
	if (c->est.status == FFCLOCK_STATUS_SYNCHRONIZED && c->stale_after &&
	    (s64)(counter - c->est.counter) > (s64)c->stale_after)
		return FFCLOCK_STATUS_FREERUNNING;
	return c->est.status;
}

static u64 ffc_clock_bound(const struct ffc_clock *c, enum ffclock_id clock, u64 counter,
			   struct ffclock_time t)
{
	u64 bound, away;

	if (clock == FFCLOCK_DIFF)
		return FFCLOCK_BOUND_UNKNOWN;
	bound = ffc_bound_at(&c->est, counter);
	if (clock != FFCLOCK_MONO || bound == FFCLOCK_BOUND_UNKNOWN)
		return bound;
	if (!c->mono_attached)
		return FFCLOCK_BOUND_UNKNOWN;

	/* mono is off by what it still has to catch up, on top */
	away = ffclock_time_absdiff_ns(t, ffclock_time_sub(ffc_tai_at(&c->est, counter),
							   c->mono_origin));
	if (check_add_overflow(bound, away, &bound))
		return FFCLOCK_BOUND_UNKNOWN - 1;
	return bound;
}

/**
 * ffc_clock_eval() - everything about a clock at a counter value
 * @s: the state, which may be changing: no loop or trap depends on it
 * @r: clock (in range) and counter are inputs, the rest is filled in
 *
 * Context: any.
 */
void ffc_clock_eval(const struct ffc_state *s, struct ffclock_reading *r)
{
	r->time = ffc_clock_time(&s->clock, r->clock, r->counter);
	r->bound_ns = ffc_clock_bound(&s->clock, r->clock, r->counter, r->time);
	r->status = ffc_status_at(&s->clock, r->counter);
	r->epoch = s->epoch;
}

/**
 * ffclock_read_at() - a clock at a given counter value
 * @clock: which one
 * @counter: counter value, of the present epoch, past or future
 * @r: where the reading goes
 *
 * Before the latest update mono and diff follow their last slope backwards,
 * which is what they read then unless there were several updates in between.
 *
 * Context: any, NMI included.  Lock-free.
 * Return: 0; -EINVAL if there is no such clock, with @r unchanged
 */
int ffclock_read_at(enum ffclock_id clock, u64 counter, struct ffclock_reading *r)
{
	struct ffclock_reading at = {
		.clock = clock, .flags = FFCLOCK_READ_AT, .counter = counter,
	};
	struct ffc_state s;

	if ((unsigned int)clock >= FFCLOCK_NR)
		return -EINVAL;
	ffc_state_get(&s);
	ffc_clock_eval(&s, &at);
	*r = at;
	return 0;
}
EXPORT_SYMBOL_GPL(ffclock_read_at);

/**
 * ffclock_read_inverse() - when a clock reads a given time
 * @clock: which one
 * @time: the time
 * @r: counter is the first counter value at which @clock reads @time or more;
 *	the bound is that of the clock there
 *
 * UTC in an inserted leap second happens twice: the first time is meant.
 *
 * Context: any, NMI included.  Lock-free.
 * Return: 0; -EINVAL if there is no such clock; -ERANGE if no counter value
 * within 2^63 counts reads that time.  @r is unchanged on error
 */
int ffclock_read_inverse(enum ffclock_id clock, struct ffclock_time time,
			 struct ffclock_reading *r)
{
	struct ffclock_reading inv = {
		.clock = clock, .flags = FFCLOCK_READ_INVERSE, .time = time,
	};
	const struct ffclock_estimate *e;
	struct ffclock_time line = time;
	struct ffc_state s;
	bool found;

	if ((unsigned int)clock >= FFCLOCK_NR)
		return -EINVAL;
	ffc_state_get(&s);
	e = &s.clock.est;

	switch (clock) {
	case FFCLOCK_MONO:
		found = ffclock_slew_inverse(&s.clock.mono, time, &inv.counter);
		break;
	case FFCLOCK_DIFF:
		found = ffclock_slew_inverse(&s.clock.diff, time, &inv.counter);
		break;
	default:
		if (clock == FFCLOCK_TAI)
			line.sec -= e->tai_offset_sec;
		else if (e->leap_change && time.sec >= (s64)e->leap_utc_sec)
			line.sec += e->leap_change;
		/* a deleted second: its times are first reached where it was */
		else if (e->leap_change < 0 && time.sec >= (s64)e->leap_utc_sec + e->leap_change)
			line = (struct ffclock_time){ .sec = e->leap_utc_sec };
		found = ffclock_line_inverse(line, e->counter, e->time, e->period,
					     e->period_shift, &inv.counter);
	}
	if (!found)
		return -ERANGE;
	inv.bound_ns = ffc_clock_bound(&s.clock, clock, inv.counter, time);
	inv.status = ffc_status_at(&s.clock, inv.counter);
	inv.epoch = s.epoch;
	*r = inv;
	return 0;
}
EXPORT_SYMBOL_GPL(ffclock_read_inverse);

/**
 * ffclock_diff_ns() - the time between two counter values
 * @from: counter value
 * @to: counter value of the same epoch
 * @bound_ns: where the bound of the error goes, in ns, or NULL
 *
 * By the present rate alone: the difference clock of the RADclock papers.
 *
 * Context: any, NMI included.  Lock-free.
 * Return: @to - @from in ns, negative if @to is earlier; saturates at 292 years
 */
s64 ffclock_diff_ns(u64 from, u64 to, u64 *bound_ns)
{
	struct ffclock_time zero = { 0, 0 };
	const struct ffclock_estimate *e;
	struct ffc_state s;

	ffc_state_get(&s);
	e = &s.clock.est;
	if (bound_ns)
		*bound_ns = ffclock_bound_grow(0, ffclock_counts_between(from, to),
					       e->period_maxerror, e->period_shift);
	return ffclock_time_to_ns(ffclock_line_at(to, from, zero, e->period, e->period_shift));
}
EXPORT_SYMBOL_GPL(ffclock_diff_ns);

/* Estimates ----------------------------------------------------------------- */

/* What can be judged without the clock's present state */
static bool ffc_estimate_sane(const struct ffclock_estimate *e)
{
	s64 leap_in = (s64)e->leap_utc_sec - e->time.sec;

	if (e->reserved0 || e->reserved1 || memchr_inv(e->reserved, 0, sizeof(e->reserved)))
		return false;
	if (e->flags & ~FFCLOCK_EST_F_STEP_MONO)
		return false;
	if (e->time.sec < 0 || e->time.sec > FFC_MAX_SEC)
		return false;
	if (!ffclock_period_valid(e->period, e->period_shift) ||
	    e->period_esterror > e->period || e->period_maxerror > e->period)
		return false;
	if (e->esterror_ns > FFC_MAX_ERROR_NS && e->esterror_ns != FFCLOCK_BOUND_UNKNOWN)
		return false;
	if (e->maxerror_ns > FFC_MAX_ERROR_NS && e->maxerror_ns != FFCLOCK_BOUND_UNKNOWN)
		return false;
	if (e->status > FFCLOCK_STATUS_UNRELIABLE || e->leap_indicator > FFCLOCK_LEAP_POST_NEG)
		return false;
	if (e->tai_offset_sec < 0 || e->tai_offset_sec > FFC_MAX_TAI_SEC)
		return false;
	if (e->leap_change < -1 || e->leap_change > 1 || !e->leap_change != !e->leap_utc_sec)
		return false;
	if (e->leap_change && (e->leap_utc_sec > FFC_MAX_SEC || leap_in > FFC_LEAP_AHEAD_SEC ||
			       leap_in < -FFC_LEAP_BEHIND_SEC))
		return false;
	if (!e->next_update_sec || e->next_update_sec > FFC_MAX_INTERVAL_SEC ||
	    e->stale_sec > FFC_MAX_STALE_SEC)
		return false;
	return true;
}

/* Within 10 % of nominal: more is not an oscillator's error but a unit's */
static bool ffc_period_plausible(const struct ffclock_estimate *e)
{
	u64 period, nominal;
	u32 shift;

	ffc_counter_nominal(&nominal, &shift);
	/*
	 * One bit to spare: what saturates when rescaled is then at least twice
	 * the nominal period, and refused.
	 */
	if (shift) {
		nominal >>= 1;
		shift--;
	}
	period = ffclock_period_rescale(e->period, e->period_shift, shift);
	return period >= nominal - nominal / 10 && period <= nominal + nominal / 10;
}

static bool ffc_counter_plausible(const struct ffclock_estimate *e, u64 now)
{
	s64 ahead = e->counter - now;

	if (ahead > 0)
		return (u64)ahead <= ffc_sec_to_counts(FFC_MAX_AHEAD_SEC, e->period,
						       e->period_shift);
	return (u64)-ahead <= ffc_sec_to_counts(FFC_MAX_AGE_SEC, e->period, e->period_shift);
}

/* Replace the parameters of @c by @e as of counter value @now */
static void ffc_clock_apply(struct ffc_clock *c, const struct ffclock_estimate *e, u64 now)
{
	u64 c0 = now + ffc_lead_counts(e->period, e->period_shift);
	bool good = ffc_status_good(e->status);
	struct ffclock_time tai = ffc_tai_at(e, c0);
	struct ffclock_slew rate_only;

	rate_only = ffclock_slew_rate(&c->mono, now, c0, e->period, e->period_shift);
	if (c->mono_attached && !c->est.tai_offset_sec != !e->tai_offset_sec)
		/* the offset was learned or lost: no time has passed by that */
		c->mono_origin.sec += e->tai_offset_sec - c->est.tai_offset_sec;

	if (c->mono_attached && good && !(e->flags & FFCLOCK_EST_F_STEP_MONO)) {
		c->mono = ffclock_slew_plan(&c->mono, now, c0,
					    ffclock_time_sub(tai, c->mono_origin),
					    e->period, e->period_shift,
					    ffc_sec_to_counts(e->next_update_sec, e->period,
							      e->period_shift));
	} else {
		c->mono = rate_only;
		if (good) {
			c->mono_origin = ffclock_time_sub(tai, rate_only.t0);
			c->mono_attached = true;
		}
	}
	c->diff = ffclock_slew_rate(&c->diff, now, c0, e->period, e->period_shift);
	c->est = *e;
	c->est.flags = 0;
	c->stale_after = ffc_stale_counts(e);
}

/**
 * ffclock_set_estimate() - replace the parameters of the absolute clock
 * @est: the estimate; ranges in the description of struct ffclock_estimate
 *
 * UTC and TAI follow it at once; mono meets them by slope; diff takes the rate.
 * The caller has checked CAP_SYS_TIME if user space asked.
 *
 * Context: any but NMI and the timekeeping notifier.
 * Return: 0; -EINVAL for a value out of range, -ESTALE if the counter's epoch
 * has changed since.  Nothing is changed on error
 */
int ffclock_set_estimate(const struct ffclock_estimate *est)
{
	struct ffc_state next;
	unsigned long flags;
	int ret = 0;
	u64 now;

	if (!ffc_estimate_sane(est))
		return -EINVAL;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	next = *ffc_state_locked();
	if (est->epoch != next.epoch) {
		ret = -ESTALE;
		goto unlock;
	}
	if (!ffc_period_plausible(est) ||
	    !ffc_counter_plausible(est, ffc_base_read(&next.base))) {
		ret = -EINVAL;
		goto unlock;
	}
	/*
	 * Page readers wait from here on, so this reading is one that no reader
	 * of the old data is past by more than FFC_LEAD_NS when we are done.
	 */
	ffc_page_write_begin();
	now = ffc_base_read(&next.base);
	ffc_clock_apply(&next.clock, est, now);
	ffc_state_publish(&next);
	ffc_event_updates_inc();
	ffc_page_write_end(&next);
	ffc_event_raise(FFCLOCK_EVENT_UPDATE);
	trace_ffclock_update(&next.clock.est, now);
unlock:
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	return ret;
}
EXPORT_SYMBOL_GPL(ffclock_set_estimate);

/**
 * ffclock_get_estimate() - the parameters in force
 * @est: where they go; flags is 0
 *
 * Context: any, NMI included.  Lock-free.
 */
void ffclock_get_estimate(struct ffclock_estimate *est)
{
	struct ffc_state s;

	ffc_state_get(&s);
	*est = s.clock.est;
}
EXPORT_SYMBOL_GPL(ffclock_get_estimate);
