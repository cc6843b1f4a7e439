/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Fixed-point arithmetic of feed-forward clocks.
 *
 * Pure functions without state, for the kernel and for user space alike.
 *
 * Formats
 *   counter    u64, counts
 *   period     u64, 2^-(64 + shift) s per count, 0 <= shift <= 63
 *   time       struct ffclock_time: s64 seconds, u64 in 2^-64 s
 *
 * Overflow budget
 *   delta * period < 2^64 * 2^64 = 2^128: exact in 128 bits for any operands.
 *   The product is in 2^-(64 + shift) s; shifted right by shift, its upper word
 *   is whole seconds, which fit s64 as long as delta * period < 2^(127 + shift).
 *   With a period of at most 2^(63 + shift) (half a second a count: the slowest
 *   counter anybody would call one) that holds for every 64-bit delta.
 *   ffclock_period_valid() enforces it.
 *
 * Rounding
 *   A product is rounded down by less than 2^-64 s (5e-20 s).  A period has a
 *   relative resolution of 2^-63 or better if shift is chosen as
 *   ffclock_period_from_hz() does, so over a delta of 2^62 counts (49 years at
 *   3 GHz) the rounding of the period is worth at most half a count.
 */
#ifndef _LINUX_FFCLOCK_MATH_H
#define _LINUX_FFCLOCK_MATH_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <uapi/linux/ffclock.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <linux/ffclock.h>
#endif

#define ffclock_u128		unsigned __int128

#define FFCLOCK_NSEC_PER_SEC	1000000000ULL
#define FFCLOCK_MAX_SHIFT	63

/*
 * Fastest and slowest slope of the continuous clock against the rate of the
 * counter: 1 +- 1/200, the 5000 ppm that keep a slewed second looking like one.
 */
#define FFCLOCK_SLEW_DIV	200

/* a * b >> 64, the integer part of an integer times a 0.64 fraction */
static inline __u64 ffclock_mulhi(__u64 a, __u64 b)
{
	return (__u64)(((ffclock_u128)a * b) >> 64);
}

/**
 * ffclock_udiv128() - 128 by 64 bit division
 * @hi: upper word of the dividend, less than @d
 * @lo: lower word of the dividend
 * @d: divisor, nonzero
 * @rem: where the remainder goes, or NULL
 *
 * The kernel has no 128-bit division (libgcc's is not linked), and the DIV
 * instruction traps when the quotient does not fit, hence the condition on @hi.
 *
 * Return: the 64-bit quotient
 */
static inline __u64 ffclock_udiv128(__u64 hi, __u64 lo, __u64 d, __u64 *rem)
{
#if defined(__x86_64__)
	__u64 q, r;

	__asm__("divq %4" : "=a" (q), "=d" (r) : "0" (lo), "1" (hi), "rm" (d)
		: "cc");
#else
	__u64 q = 0, r = hi;
	int i;

	for (i = 63; i >= 0; i--) {
		__u64 carry = r >> 63;

		r = (r << 1) | ((lo >> i) & 1);
		if (carry || r >= d) {
			r -= d;
			q |= 1ULL << i;
		}
	}
#endif
	if (rem)
		*rem = r;
	return q;
}

/* Times ------------------------------------------------------------------- */

static inline ffclock_u128 ffclock_time_bits(struct ffclock_time t)
{
	return ((ffclock_u128)(__u64)t.sec << 64) | t.frac;
}

static inline struct ffclock_time ffclock_time_from_bits(ffclock_u128 v)
{
	struct ffclock_time t = { .sec = (__s64)(__u64)(v >> 64), .frac = (__u64)v };

	return t;
}

/* a + b and a - b, modulo 2^64 s: no undefined behaviour for any operands */
static inline struct ffclock_time ffclock_time_add(struct ffclock_time a, struct ffclock_time b)
{
	return ffclock_time_from_bits(ffclock_time_bits(a) + ffclock_time_bits(b));
}

static inline struct ffclock_time ffclock_time_sub(struct ffclock_time a, struct ffclock_time b)
{
	return ffclock_time_from_bits(ffclock_time_bits(a) - ffclock_time_bits(b));
}

/* less than, equal to, greater than 0 as a is before, at, after b */
static inline int ffclock_time_cmp(struct ffclock_time a, struct ffclock_time b)
{
	if (a.sec != b.sec)
		return a.sec < b.sec ? -1 : 1;
	if (a.frac != b.frac)
		return a.frac < b.frac ? -1 : 1;
	return 0;
}

/* 2^-64 s to ns, rounded down: 0..999999999 */
static inline __u32 ffclock_frac_to_ns(__u64 frac)
{
	return (__u32)ffclock_mulhi(frac, FFCLOCK_NSEC_PER_SEC);
}

/* ns to 2^-64 s, rounded up, so that ffclock_frac_to_ns() gives @ns back */
static inline __u64 ffclock_ns_to_frac(__u32 ns)
{
	__u64 rem, q;

	if (ns >= FFCLOCK_NSEC_PER_SEC)
		return ~0ULL;
	q = ffclock_udiv128(ns, 0, FFCLOCK_NSEC_PER_SEC, &rem);
	return q + (rem != 0);
}

/**
 * ffclock_time_to_ns() - a time or span in nanoseconds
 * @t: within +-292 years of 0; beyond, the result saturates
 *
 * Return: ns, rounded towards minus infinity
 */
static inline __s64 ffclock_time_to_ns(struct ffclock_time t)
{
	/*
	 * 2^63 ns are 9223372036.854775808 s.  Before 0, count from the second
	 * above: the whole seconds alone may not fit.
	 */
	__s64 ns = ffclock_frac_to_ns(t.frac);

	if (t.sec > 9223372036LL || (t.sec == 9223372036LL && ns > 854775807))
		return 0x7fffffffffffffffLL;
	if (t.sec < -9223372037LL || (t.sec == -9223372037LL && ns < 145224192))
		return -0x7fffffffffffffffLL - 1;
	if (t.sec < 0)
		return (t.sec + 1) * (__s64)FFCLOCK_NSEC_PER_SEC +
		       (ns - (__s64)FFCLOCK_NSEC_PER_SEC);
	return t.sec * (__s64)FFCLOCK_NSEC_PER_SEC + ns;
}

/* ns (either sign) to a time; ffclock_time_to_ns() gives @ns back */
static inline struct ffclock_time ffclock_ns_to_time(__s64 ns)
{
	struct ffclock_time t;
	__s64 rest;

	t.sec = ns / (__s64)FFCLOCK_NSEC_PER_SEC;
	rest = ns % (__s64)FFCLOCK_NSEC_PER_SEC;
	if (rest < 0) {
		rest += FFCLOCK_NSEC_PER_SEC;
		t.sec--;
	}
	t.frac = ffclock_ns_to_frac((__u32)rest);
	return t;
}

/* |a - b| in ns, rounded up, saturating at FFCLOCK_BOUND_UNKNOWN - 1 */
static inline __u64 ffclock_time_absdiff_ns(struct ffclock_time a, struct ffclock_time b)
{
	struct ffclock_time d = ffclock_time_cmp(a, b) < 0 ?
		ffclock_time_sub(b, a) : ffclock_time_sub(a, b);
	/* 2^64 - 2 ns are 18446744073.7 s */
	if ((__u64)d.sec >= 18446744073ULL)
		return FFCLOCK_BOUND_UNKNOWN - 1;
	return (__u64)d.sec * FFCLOCK_NSEC_PER_SEC + ffclock_frac_to_ns(d.frac) + (d.frac != 0);
}

/* Periods ----------------------------------------------------------------- */

/* A period that keeps the overflow budget above: nonzero, at most half a second */
static inline bool ffclock_period_valid(__u64 period, __u32 shift)
{
	if (!period || shift > FFCLOCK_MAX_SHIFT)
		return false;
	/* period <= 2^(63 + shift): always so for shift >= 1 */
	return shift || period <= (1ULL << 63);
}

/**
 * ffclock_period_from_ratio() - period of @num / @den seconds a count
 * @num: numerator, nonzero
 * @den: denominator, greater than 2 * @num: periods of less than half a second
 * @shift: where the shift goes that leaves the most digits
 *
 * Return: the period in 2^-(64 + @shift) s, rounded down; its top bit is set
 * unless the shift is at its limit
 */
static inline __u64 ffclock_period_from_ratio(__u64 num, __u64 den, __u32 *shift)
{
	__u32 s = 0;

	/* the largest s with num * 2^s < den, that is a quotient below 2^64 */
	while (s < FFCLOCK_MAX_SHIFT && !(num >> 63) && (num << 1) < den) {
		num <<= 1;
		s++;
	}
	*shift = s;
	return ffclock_udiv128(num, 0, den, NULL);
}

/* Period of a counter of @hz Hz, 3 Hz or more */
static inline __u64 ffclock_period_from_hz(__u64 hz, __u32 *shift)
{
	return ffclock_period_from_ratio(1, hz, shift);
}

/* @period given with shift @from, with shift @to; saturates; rounds down */
static inline __u64 ffclock_period_rescale(__u64 period, __u32 from, __u32 to)
{
	if (to <= from)
		return from - to > 63 ? 0 : period >> (from - to);
	if (to - from > 63 || period >> (64 - (to - from)))
		return ~0ULL;
	return period << (to - from);
}

/* Frequency in mHz of a counter with this period; saturates from 2^54 Hz at the latest */
static inline __u64 ffclock_period_to_mhz(__u64 period, __u32 shift)
{
	/* 1000 * 2^(64 + shift) / period = (1000 << shift) * 2^64 / period */
	ffclock_u128 n;

	if (shift > 53 || !period)
		return ~0ULL;	/* 1000 << 53 still fits 64 bits */
	n = (ffclock_u128)1000 << shift;
	if ((__u64)n >= period)
		return ~0ULL;
	return ffclock_udiv128((__u64)n, 0, period, NULL);
}

/* Lines ------------------------------------------------------------------- */

/**
 * ffclock_scale() - duration of a number of counts
 * @delta: counts
 * @period: 2^-(64 + @shift) s per count
 * @shift: 0..63
 *
 * Return: the duration, rounded down to 2^-64 s
 */
static inline struct ffclock_time ffclock_scale(__u64 delta, __u64 period, __u32 shift)
{
	return ffclock_time_from_bits(((ffclock_u128)delta * period) >> (shift & 63));
}

/**
 * ffclock_line_at() - a clock line at a counter value
 * @c: counter value, before or after @c0
 * @c0: counter value the line is given at
 * @t0: clock at @c0
 * @period: slope, 2^-(64 + @shift) s per count
 * @shift: 0..63
 *
 * Counter values are compared modulo 2^64: @c is "after" @c0 when it is less
 * than 2^63 counts ahead of it.  Monotonic in @c.
 *
 * Return: @t0 + (@c - @c0) * @period
 */
static inline struct ffclock_time ffclock_line_at(__u64 c, __u64 c0, struct ffclock_time t0,
						  __u64 period, __u32 shift)
{
	if ((__s64)(c - c0) >= 0)
		return ffclock_time_add(t0, ffclock_scale(c - c0, period, shift));
	return ffclock_time_sub(t0, ffclock_scale(c0 - c, period, shift));
}

/**
 * ffclock_unscale() - counts in a duration
 * @t: duration, not negative
 * @period: 2^-(64 + @shift) s per count, nonzero
 * @shift: 0..63
 * @up: round up: the first count at which the duration has passed; else the
 *	last count for which ffclock_scale() is not past it
 * @delta: where the counts go
 *
 * Return: true, or false if @t is negative or the counts do not fit 63 bits
 */
static inline bool ffclock_unscale(struct ffclock_time t, __u64 period, __u32 shift, bool up,
				   __u64 *delta)
{
	ffclock_u128 n;
	__u64 q, rem;

	if (t.sec < 0 || !period || shift > FFCLOCK_MAX_SHIFT)
		return false;
	/*
	 * scale(d) >= t  <=>  d * period >= t << shift: round up.
	 * scale(d) <= t  <=>  d * period < (t + 1) << shift: subtract one after
	 * the shift and round down.
	 */
	n = ffclock_time_bits(t);
	if (!up)
		n++;
	if (shift && (n >> (128 - shift)))
		return false;
	n <<= shift;
	if (!up)
		n--;
	if ((__u64)(n >> 64) >= period)
		return false;
	q = ffclock_udiv128((__u64)(n >> 64), (__u64)n, period, &rem);
	if (up && rem && !++q)
		return false;
	if (q >> 63)
		return false;
	*delta = q;
	return true;
}

/**
 * ffclock_line_inverse() - first counter value at which a line reads a time
 * @t: the time
 * @c0: counter value the line is given at
 * @t0: clock at @c0
 * @period: slope, 2^-(64 + @shift) s per count, nonzero
 * @shift: 0..63
 * @c: where the first counter value goes with ffclock_line_at() >= @t
 *
 * Return: true, or false if there is none within 2^63 counts of @c0
 */
static inline bool ffclock_line_inverse(struct ffclock_time t, __u64 c0, struct ffclock_time t0,
					__u64 period, __u32 shift, __u64 *c)
{
	__u64 d;

	/* at t0 itself backwards: the counts before may read the same */
	if (ffclock_time_cmp(t, t0) > 0) {
		if (!ffclock_unscale(ffclock_time_sub(t, t0), period, shift, true, &d))
			return false;
		*c = c0 + d;
	} else {
		if (!ffclock_unscale(ffclock_time_sub(t0, t), period, shift, false, &d))
			return false;
		*c = c0 - d;
	}
	return true;
}

/* The continuous clock ---------------------------------------------------- */

/**
 * ffclock_slew_at() - a continuous clock at a counter value
 * @s: the clock
 * @c: counter value
 *
 * Monotonic in @c: the three lines join at c0 and c1.
 *
 * Return: the clock
 */
static inline struct ffclock_time ffclock_slew_at(const struct ffclock_slew *s, __u64 c)
{
	if ((__s64)(c - s->c1) >= 0)
		return ffclock_line_at(c, s->c1, s->t1, s->period_after, s->period_shift);
	if ((__s64)(c - s->c0) >= 0)
		return ffclock_line_at(c, s->c0, s->t0, s->period_slew, s->period_shift);
	return ffclock_line_at(c, s->c0, s->t0, s->period_before, s->period_shift);
}

/* Slope of a continuous clock at @c, 2^-(64 + period_shift) s per count */
static inline __u64 ffclock_slew_period(const struct ffclock_slew *s, __u64 c)
{
	if ((__s64)(c - s->c1) >= 0)
		return s->period_after;
	return (__s64)(c - s->c0) >= 0 ? s->period_slew : s->period_before;
}

/* First counter value at which a continuous clock reads @t; see ffclock_line_inverse() */
static inline bool ffclock_slew_inverse(const struct ffclock_slew *s, struct ffclock_time t,
					__u64 *c)
{
	if (ffclock_time_cmp(t, s->t0) <= 0)
		return ffclock_line_inverse(t, s->c0, s->t0, s->period_before, s->period_shift, c);
	/*
	 * t1 is the slewing line at c1 (ffclock_slew_plan() makes it so), hence
	 * that line reaches any t <= t1 at c1 at the latest.
	 */
	if (ffclock_time_cmp(t, s->t1) <= 0)
		return ffclock_line_inverse(t, s->c0, s->t0, s->period_slew, s->period_shift, c);
	return ffclock_line_inverse(t, s->c1, s->t1, s->period_after, s->period_shift, c);
}

/* A continuous clock that is one line through (@c, @t) */
static inline struct ffclock_slew ffclock_slew_line(__u64 c, struct ffclock_time t, __u64 period,
						    __u32 shift)
{
	struct ffclock_slew s = {
		.c0 = c, .c1 = c, .t0 = t, .t1 = t,
		.period_before = period, .period_slew = period, .period_after = period,
		.period_shift = shift,
	};

	return s;
}

/**
 * ffclock_slew_plan() - continue a continuous clock towards a new line
 * @old: the clock as it is
 * @now: a counter value no earlier than any that @old has been read at
 * @c0: where the new slope begins, at or a little after @now
 * @target: the new line at @c0
 * @period: the slope of the new line, 2^-(64 + @shift) s per count, valid
 * @shift: 0..63
 * @horizon: counts after @c0 in which to meet the line, 1..2^62
 *
 * The result equals @old at @c0, never runs backwards against a reading of
 * @old at or before @now, and has slopes within 1 / FFCLOCK_SLEW_DIV (5000 ppm)
 * of @period after @c0.  It meets the target line at c1, at @c0 + @horizon at the
 * latest, or later if 5000 ppm do not suffice; to within what a count of the
 * catching-up is worth, at most 1 / FFCLOCK_SLEW_DIV of a @period.
 *
 * For a counter value before @c0 at which @old had already been read, and with a
 * corner of @old between the two, the result may be 2^-64 s less: two roundings
 * against one.  For any later value it is not, a count being longer than that.
 *
 * Return: the new clock
 */
static inline struct ffclock_slew ffclock_slew_plan(const struct ffclock_slew *old, __u64 now,
						    __u64 c0, struct ffclock_time target,
						    __u64 period, __u32 shift, __u64 horizon)
{
	struct ffclock_time m0 = ffclock_slew_at(old, c0);
	int sign = ffclock_time_cmp(target, m0);
	__u64 before = ffclock_slew_period(old, c0);
	struct ffclock_time err;
	struct ffclock_slew s;
	__u64 adj, need, limit;
	bool in_time = false;
	ffclock_u128 n;

	/*
	 * A reader may still hold a counter value between now and c0.  Where old
	 * has corners in there, the smallest of its slopes keeps the new clock
	 * at or above what old gave for any earlier value.
	 */
	if (ffclock_slew_period(old, now) < before)
		before = ffclock_slew_period(old, now);
	if ((__s64)(old->c1 - now) > 0 && (__s64)(c0 - old->c1) > 0 && old->period_slew < before)
		before = old->period_slew;
	/*
	 * A period with its top bit set may leave no room for a steeper slope
	 * (2150 MHz is such a frequency), the next one's or the one before.  A bit
	 * less of it does no harm: at shift 0 a valid period has that bit clear.
	 */
	if (shift && (period > ~0ULL - period / FFCLOCK_SLEW_DIV ||
		      ffclock_period_rescale(before, old->period_shift, shift) == ~0ULL)) {
		period >>= 1;
		shift--;
	}
	limit = period / FFCLOCK_SLEW_DIV;
	s = ffclock_slew_line(c0, m0, period, shift);
	s.period_before = ffclock_period_rescale(before, old->period_shift, shift);
	if (!sign || !limit)
		return s;

	err = sign > 0 ? ffclock_time_sub(target, m0) : ffclock_time_sub(m0, target);
	/* adj = err / horizon in units of 2^-(64 + shift) s, rounded up */
	n = ffclock_time_bits(err);
	if ((shift && (n >> (128 - shift))) || (__u64)((n << shift) >> 64) >= horizon) {
		adj = limit;
	} else {
		__u64 rem;

		n <<= shift;
		adj = ffclock_udiv128((__u64)(n >> 64), (__u64)n, horizon, &rem);
		in_time = adj < limit || (adj == limit && !rem);
		adj = in_time ? adj + (rem != 0) : limit;
	}
	/*
	 * err / adj counts.  That is no more than the horizon unless the limit
	 * ruled, but for ffclock_unscale(), which takes err for up to 2^-64 s more.
	 */
	if (!ffclock_unscale(err, adj, shift, false, &need) || need >> 62)
		need = 1ULL << 62;
	if (in_time && need > horizon)
		need = horizon;
	if (!need)
		return s;

	s.c1 = c0 + need;
	s.period_slew = sign > 0 ? period + adj : period - adj;
	s.t1 = ffclock_line_at(s.c1, c0, m0, s.period_slew, shift);
	return s;
}

/**
 * ffclock_slew_rate() - change the rate of a continuous clock, not its phase
 * @old: the clock as it is
 * @now: as for ffclock_slew_plan()
 * @c0: where the new rate begins
 * @period: the new rate, 2^-(64 + @shift) s per count
 * @shift: 0..63
 *
 * Return: the new clock, equal to @old at @c0
 */
static inline struct ffclock_slew ffclock_slew_rate(const struct ffclock_slew *old, __u64 now,
						    __u64 c0, __u64 period, __u32 shift)
{
	return ffclock_slew_plan(old, now, c0, ffclock_slew_at(old, c0), period, shift, 1);
}

/* Bounds ------------------------------------------------------------------ */

/**
 * ffclock_bound_grow() - an error bound some counts later
 * @bound_ns: the bound then, in ns
 * @counts: distance in counts, either direction
 * @rate: bound of the period's error, 2^-(64 + @shift) s per count
 * @shift: 0..63
 *
 * bound(t) = bound + rate error * age, rounded up, saturating below
 * FFCLOCK_BOUND_UNKNOWN, which stays what it is.
 *
 * Return: the bound in ns
 */
static inline __u64 ffclock_bound_grow(__u64 bound_ns, __u64 counts, __u64 rate, __u32 shift)
{
	struct ffclock_time t = ffclock_scale(counts, rate, shift);
	struct ffclock_time zero = { 0, 0 };
	__u64 growth, sum;

	if (bound_ns == FFCLOCK_BOUND_UNKNOWN)
		return bound_ns;
	if (t.sec < 0)
		return FFCLOCK_BOUND_UNKNOWN - 1;
	/* + 1: what ffclock_scale() rounded away */
	growth = ffclock_time_absdiff_ns(t, zero) + (counts && rate);
	sum = bound_ns + growth;
	return sum < growth || sum == FFCLOCK_BOUND_UNKNOWN ? FFCLOCK_BOUND_UNKNOWN - 1 : sum;
}

/* |a - b| of two counter values */
static inline __u64 ffclock_counts_between(__u64 a, __u64 b)
{
	__u64 d = a - b;

	return (__s64)d < 0 ? -d : d;
}

#endif /* _LINUX_FFCLOCK_MATH_H */
