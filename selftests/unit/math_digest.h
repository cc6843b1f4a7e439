/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ffclock_math.h makes of random operands, as one number.
 *
 * test_math.c compares the result of each of these cases with exact integers, and
 * their digest with the constant.  The kernel, which has no such integers, computes
 * the digest: if it is the same, then so is every bit (selftests/kmod/ffclock_kunit.c).
 */
#ifndef MATH_DIGEST_H
#define MATH_DIGEST_H

#include <linux/ffclock_math.h>

#include "math_random.h"

#define MATH_DIGEST_SEED	20260
#define MATH_DIGEST_CASES	20000
#define MATH_DIGEST		0x2131b459c19d41fdULL	/* of those cases */
#define SLEW_DIGEST		0x25a618a1edb9cda3ULL

/**
 * struct operands - what a case is about
 * @delta: counts, or a counter value
 * @c0: another counter value
 * @period: slope
 * @rate: error of the slope, same unit
 * @bound: ns
 * @ns: ns
 * @t0: time at @c0
 * @t: another time
 * @shift: 0..63
 * @to: 0..63
 */
struct operands {
	uint64_t delta, c0, period, rate, bound;
	int64_t ns;
	struct ffclock_time t0, t;
	uint32_t shift, to;
};

static inline struct ffclock_time random_time(uint64_t *rng)
{
	struct ffclock_time t = { .frac = random_u64(rng) };

	/* mostly times and spans of this world, some of the whole range */
	if (random_below(rng, 8))
		t.sec = (int64_t)random_below(rng, 1ULL << random_below(rng, 36));
	else
		t.sec = (int64_t)random_u64(rng);
	if (!random_below(rng, 8))
		t.sec = ~t.sec;
	return t;
}

static inline void random_operands(uint64_t *rng, struct operands *o)
{
	o->delta = random_u64(rng);
	o->c0 = random_u64(rng);
	o->shift = random_below(rng, 64);
	o->to = random_below(rng, 64);
	if (random_below(rng, 2)) {
		/* a counter as there are, and a rate as it errs */
		o->period = ffclock_period_from_hz(random_hz(rng), &o->shift);
		o->rate = o->period / (1 + random_below(rng, 1ULL << 40));
	} else {
		o->period = random_u64(rng);
		o->rate = random_u64(rng);
	}
	o->bound = random_u64(rng);
	o->ns = (int64_t)random_u64(rng);
	o->t0 = random_time(rng);
	o->t = random_time(rng);
}

/* FNV-1a with words for bytes, and the upper half brought down */
static inline void digest(uint64_t *d, uint64_t v)
{
	*d = (*d ^ v) * 0x100000001b3ULL;
	*d ^= *d >> 32;
}

static inline void digest_time(uint64_t *d, struct ffclock_time t)
{
	digest(d, (uint64_t)t.sec);
	digest(d, t.frac);
}

static inline void digest_case(uint64_t *d, const struct operands *o)
{
	uint64_t div = o->period ? o->period : 1;
	__u64 r = 0;
	__u32 shift = 0;

	digest(d, ffclock_udiv128(o->delta % div, o->rate, div, &r));
	digest(d, r);
	digest(d, ffclock_mulhi(o->delta, o->period));
	digest_time(d, ffclock_scale(o->delta, o->period, o->shift));
	digest_time(d, ffclock_line_at(o->delta, o->c0, o->t0, o->period, o->shift));
	digest(d, ffclock_counts_between(o->delta, o->c0));
	digest(d, ffclock_period_valid(o->period, o->shift));
	r = 0;
	digest(d, ffclock_unscale(o->t, o->period, o->shift, true, &r));
	digest(d, r);
	digest(d, ffclock_unscale(o->t, o->period, o->shift, false, &r));
	digest(d, r);
	if (ffclock_period_valid(o->period, o->shift)) {
		digest(d, ffclock_line_inverse(o->t, o->c0, o->t0, o->period, o->shift, &r));
		digest(d, r);
	}
	digest(d, ffclock_frac_to_ns(o->t.frac));
	digest(d, ffclock_ns_to_frac((uint64_t)o->ns % FFCLOCK_NSEC_PER_SEC));
	digest(d, (uint64_t)ffclock_time_to_ns(o->t));
	digest_time(d, ffclock_ns_to_time(o->ns));
	digest(d, (uint64_t)(int64_t)ffclock_time_cmp(o->t, o->t0));
	digest(d, ffclock_time_absdiff_ns(o->t, o->t0));
	if (o->delta >= 3)
		digest(d, ffclock_period_from_hz(o->delta, &shift));
	digest(d, ffclock_period_rescale(o->period, o->shift, o->to));
	digest(d, ffclock_period_to_mhz(o->period, o->shift));
	digest(d, ffclock_bound_grow(o->bound, ffclock_counts_between(o->delta, o->c0), o->rate,
				     o->shift));
}

/* A clock that is set again and again, and what it reads between */
static inline uint64_t slew_digest(void)
{
	uint64_t rng = MATH_DIGEST_SEED, d = 0, now, hz, period, i;
	struct ffclock_slew s;
	__u64 back = 0;
	__u32 shift;

	hz = random_hz(&rng);
	period = ffclock_period_from_hz(hz, &shift);
	now = random_bits(&rng);
	s = ffclock_slew_line(now, random_time(&rng), period, shift);
	for (i = 0; i < MATH_DIGEST_CASES; i++) {
		struct ffclock_time target, ahead = { 0, random_u64(&rng) };

		now += random_below(&rng, hz * 20);
		target = ffclock_slew_at(&s, now);
		if (random_bits(&rng) & 1)
			target = ffclock_time_add(target, ahead);
		else
			target = ffclock_time_sub(target, ahead);
		s = ffclock_slew_plan(&s, now - random_below(&rng, hz / 1000), now, target,
				      period - period / 2000 + random_below(&rng, period / 1000),
				      shift, 1 + random_below(&rng, hz * 16));
		digest(&d, s.c1 - s.c0);
		digest(&d, s.period_before);
		digest(&d, s.period_slew);
		digest(&d, s.period_after);
		digest_time(&d, s.t1);
		target = ffclock_slew_at(&s, now + random_below(&rng, hz * 20));
		digest_time(&d, target);
		digest(&d, ffclock_slew_inverse(&s, target, &back));
		digest(&d, back);
	}
	return d;
}

#endif /* MATH_DIGEST_H */
