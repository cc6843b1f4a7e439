// SPDX-License-Identifier: GPL-2.0-only
/*
 * Properties of the continuous clocks over long random histories of updates.
 *
 * A history is what the kernel does: every now and then the parameters are
 * replaced (phase steps of any size, new rates, short and long intervals, two
 * updates within the lead time), and readers read before, at, between and after.
 * Exactness is judged in units of 2^-64 s with 128-bit integers; the arithmetic
 * below has its own test against exact integers, test_math.c.
 *
 * FFCLOCK_CASES (or the first argument) is the number of updates, FFCLOCK_SEED
 * (or the second) the seed, which is printed.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <linux/ffclock_math.h>

#include "math_random.h"

typedef __int128 s128;

#define HISTORY		200	/* updates of one clock before the next one is made */

static uint64_t cases = 5000000, seed = 1;

/**
 * struct history - one machine's clocks
 * @rng: random state
 * @nominal: its counter's nominal period
 * @shift: shift of @nominal
 * @now: the counter
 * @mono: the continuous clock
 * @diff: the difference clock
 * @read: highest reading of @mono so far
 * @read_at: counter value of it
 * @diff_read: highest reading of @diff
 * @hz: its frequency
 * @update: number of the update, for reports
 */
struct history {
	uint64_t rng;
	uint64_t nominal;
	uint32_t shift;
	uint64_t now;
	struct ffclock_slew mono;
	struct ffclock_slew diff;
	s128 read;
	uint64_t read_at;
	s128 diff_read;
	uint64_t hz;
	int update;
};

/* what was found, for the summary */
static uint64_t steps_limited, steps_in_time, steps_none, corners;
static double worst_miss, worst_lead_ns;

static s128 bits(struct ffclock_time t)
{
	return (s128)ffclock_time_bits(t);
}

static double to_ns(s128 span)
{
	return (double)span / 18446744073.709551616;
}

static void report(const char *what, int line, const struct history *h)
{
	print_error("line %d: %s: %" PRIu64 " Hz update %d now %#" PRIx64 " c0 %#llx c1 %#llx "
		    "before %#llx slew %#llx after %#llx shift %u\n", line, what, h->hz, h->update,
		    h->now, h->mono.c0, h->mono.c1, h->mono.period_before, h->mono.period_slew,
		    h->mono.period_after, h->mono.period_shift);
	fail();
}

#define CHECK(h, cond)	do { if (!(cond)) report(#cond, __LINE__, (h)); } while (0)

static uint64_t ms_in_counts(const struct history *h, uint64_t ms)
{
	return h->hz / 1000 * ms + h->hz % 1000 * ms / 1000;
}

static void history_begin(struct history *h, uint64_t *rng)
{
	struct ffclock_time zero = { .sec = random_below(rng, 100000), .frac = random_u64(rng) };

	h->rng = random_bits(rng);
	h->hz = random_hz(rng);
	h->nominal = ffclock_period_from_hz(h->hz, &h->shift);
	/* one in four begins shortly before the counter wraps, or its sign does */
	h->now = random_bits(rng);
	if (!random_below(rng, 4))
		h->now = (random_bits(rng) & 1 ? 0 : 1ULL << 63) - random_below(rng, h->hz * 1000);
	h->mono = ffclock_slew_line(h->now, zero, h->nominal, h->shift);
	h->diff = h->mono;
	h->read = bits(zero);
	h->diff_read = bits(zero);
	h->read_at = h->now;
}

/* Somebody reads both clocks at @c, no earlier than anybody has before */
static void read_clocks(struct history *h, uint64_t c)
{
	s128 t = bits(ffclock_slew_at(&h->mono, c));

	CHECK(h, (int64_t)(c - h->read_at) >= 0);
	/* the same count again: two roundings against one, at a corner's joint */
	CHECK(h, t >= h->read - (c == h->read_at));
	h->read = t;
	t = bits(ffclock_slew_at(&h->diff, c));
	CHECK(h, t >= h->diff_read - (c == h->read_at));
	h->diff_read = t;
	h->read_at = c;
}

/* |slope between a and b - period| <= period / 200, but for 2 units of rounding */
static void check_slope(const struct history *h, const struct ffclock_slew *s, uint64_t a,
			uint64_t b, uint64_t period, uint32_t shift)
{
	s128 dt = bits(ffclock_slew_at(s, b)) - bits(ffclock_slew_at(s, a));
	s128 span = bits(ffclock_scale(b - a, period, shift));

	CHECK(h, dt >= span - span / FFCLOCK_SLEW_DIV - 2);
	CHECK(h, dt <= span + span / FFCLOCK_SLEW_DIV + 2);
}

/* slew_at and its inverse are each other's */
static void check_inverse(const struct history *h, const struct ffclock_slew *s, uint64_t c)
{
	struct ffclock_time t = ffclock_slew_at(s, c);
	__u64 back;

	CHECK(h, ffclock_slew_inverse(s, t, &back));
	CHECK(h, back == c);
	t = ffclock_time_from_bits(ffclock_time_bits(t) + 1);
	CHECK(h, ffclock_slew_inverse(s, t, &back));
	CHECK(h, back == c + 1);
}

/* What the fastest and the slowest slope of @s between @a and @b make of the way, in ns */
static double corner_ns(const struct ffclock_slew *s, uint64_t a, uint64_t b)
{
	uint64_t low = ffclock_slew_period(s, a), high = low;
	uint64_t p[2] = { s->period_slew, ffclock_slew_period(s, b) };
	int i;

	for (i = 0; i < 2; i++) {
		if (p[i] < low)
			low = p[i];
		if (p[i] > high)
			high = p[i];
	}
	return to_ns(bits(ffclock_scale(b - a, high - low, s->period_shift)));
}

/* Random new parameters: how far off the clock is, in 2^-64 s */
static s128 random_error(uint64_t *rng)
{
	s128 e;

	switch (random_below(rng, 8)) {
	case 0:		/* none, or a few units */
		e = random_below(rng, 4);
		break;
	case 1:		/* up to a microsecond */
		e = random_below(rng, 18446744073709ULL);
		break;
	case 2:		/* up to a day */
		e = (s128)random_below(rng, 86400) << 64;
		e += random_bits(rng);
		break;
	case 3:		/* up to a century */
		e = (s128)random_below(rng, 3155760000ULL) << 64;
		break;
	default:	/* up to a second, all magnitudes */
		e = random_bits(rng) >> random_below(rng, 60);
	}
	return random_bits(rng) & 1 ? e : -e;
}

static void update(struct history *h)
{
	uint64_t lead = ms_in_counts(h, 1), horizon, period, c0, c, met, reach, i;
	uint32_t shift = h->shift, less;
	struct ffclock_slew old = h->mono, old_diff = h->diff;
	struct ffclock_time target;
	s128 err, left, tolerance, jump;
	int64_t off;

	if (!random_below(&h->rng, 4))
		lead = random_below(&h->rng, 2 * lead);
	c0 = h->now + lead;
	/* rate: up to 500 ppm off nominal, sometimes the 10 % that the kernel takes */
	off = (int64_t)random_below(&h->rng, 1001) - 500;
	if (!random_below(&h->rng, 16))
		off = (int64_t)random_below(&h->rng, 200001) - 100000;
	period = h->nominal >> 1;
	period += (int64_t)(period / 1000000) * off + (int64_t)random_below(&h->rng, 1000);
	shift--;
	/* as many digits as fit, or fewer: a daemon may give any shift */
	less = random_below(&h->rng, 4) ? 0 : random_below(&h->rng, 20);
	if (!less && !(period >> 63)) {
		period <<= 1;
		shift++;
	} else if (less < shift) {
		period >>= less;
		shift -= less;
	}
	horizon = ms_in_counts(h, 1000ULL << random_below(&h->rng, 18));
	err = random_error(&h->rng);
	target = ffclock_time_from_bits(ffclock_time_bits(ffclock_slew_at(&old, c0)) + err);

	h->mono = ffclock_slew_plan(&old, h->now, c0, target, period, shift, horizon);
	h->diff = ffclock_slew_rate(&old_diff, h->now, c0, period, shift);

	/* continuous */
	CHECK(h, h->mono.c0 == c0 && bits(h->mono.t0) == bits(ffclock_slew_at(&old, c0)));
	CHECK(h, bits(ffclock_slew_at(&h->mono, c0)) == bits(ffclock_slew_at(&old, c0)));
	CHECK(h, bits(ffclock_slew_at(&h->diff, c0)) == bits(ffclock_slew_at(&old_diff, c0)));
	CHECK(h, bits(ffclock_slew_at(&h->mono, h->mono.c1)) == bits(h->mono.t1));

	/* who reads between now and c0 sees no more than a corner rounded off */
	if (lead) {
		for (i = 0; i < 3; i++) {
			c = h->now + random_below(&h->rng, lead);
			jump = bits(ffclock_slew_at(&h->mono, c)) - bits(ffclock_slew_at(&old, c));
			CHECK(h, jump >= -1);
			if (to_ns(jump) > worst_lead_ns)
				worst_lead_ns = to_ns(jump);
			CHECK(h, to_ns(jump) <= corner_ns(&old, h->now, c0) + 1e-3);
			jump = bits(ffclock_slew_at(&h->diff, c)) -
				bits(ffclock_slew_at(&old_diff, c));
			CHECK(h, jump >= -1);
			CHECK(h, to_ns(jump) <= corner_ns(&old_diff, h->now, c0) + 1e-3);
		}
		if ((int64_t)(old.c1 - h->now) > 0 && (int64_t)(c0 - old.c1) > 0)
			corners++;
	}

	/* slopes, in the clock's own terms and as read */
	CHECK(h, h->mono.period_shift <= shift && shift - h->mono.period_shift <= 1);
	CHECK(h, h->mono.period_after == period >> (shift - h->mono.period_shift));
	CHECK(h, h->mono.period_slew <= h->mono.period_after +
	      h->mono.period_after / FFCLOCK_SLEW_DIV);
	CHECK(h, h->mono.period_slew >= h->mono.period_after -
	      h->mono.period_after / FFCLOCK_SLEW_DIV);
	CHECK(h, h->diff.period_slew == h->diff.period_after && h->diff.c0 == h->diff.c1);
	reach = horizon + random_below(&h->rng, horizon);
	check_slope(h, &h->mono, c0, c0 + 1 + random_below(&h->rng, reach), period, shift);
	c = c0 + random_below(&h->rng, reach);
	check_slope(h, &h->mono, c, c + 1 + random_below(&h->rng, reach), period, shift);

	/*
	 * Meets the absolute clock at c0 + horizon if 5000 ppm do for it: to within
	 * a count's catching-up, the rounding of four products, and (where the plan
	 * gave up a bit of the period) half a unit of the slope a count.
	 */
	met = c0 + horizon;
	left = bits(ffclock_slew_at(&h->mono, met)) -
		bits(ffclock_line_at(met, c0, target, period, shift));
	if (left < 0)
		left = -left;
	err = err < 0 ? -err : err;
	tolerance = (s128)(h->mono.period_after / FFCLOCK_SLEW_DIV >> h->mono.period_shift) + 4 +
		(horizon >> shift);
	if (err && err <= bits(ffclock_scale(horizon, h->mono.period_after / FFCLOCK_SLEW_DIV,
					     h->mono.period_shift))) {
		CHECK(h, h->mono.c1 - c0 <= horizon);
		CHECK(h, left <= tolerance);
		if ((double)left / (double)tolerance > worst_miss)
			worst_miss = (double)left / (double)tolerance;
		steps_in_time++;
	} else if (err) {
		/* as fast as allowed, until it is met: err / (period / 200) counts */
		s128 slew = (s128)h->mono.period_slew - (s128)h->mono.period_after;

		CHECK(h, (slew < 0 ? -slew : slew) == h->mono.period_after / FFCLOCK_SLEW_DIV);
		if (h->mono.c1 - c0 < 1ULL << 62) {
			met = h->mono.c1 + random_below(&h->rng, horizon);
			left = bits(ffclock_slew_at(&h->mono, met)) -
				bits(ffclock_line_at(met, c0, target, period, shift));
			tolerance += (h->mono.c1 - c0 + horizon) >> shift;
			CHECK(h, (left < 0 ? -left : left) <= tolerance);
		}
		steps_limited++;
	} else {
		CHECK(h, h->mono.c1 == c0);
		steps_none++;
	}

	/* the difference clock has the new rate, whatever the phase did */
	c = c0 + random_below(&h->rng, reach);
	left = bits(ffclock_slew_at(&h->diff, c)) - bits(h->diff.t0) -
		bits(ffclock_scale(c - c0, period, shift));
	CHECK(h, left <= 0 && left >= -(s128)((c - c0) >> shift) - 1);

	for (i = 0; i < 2; i++)
		check_inverse(h, &h->mono, h->now + random_below(&h->rng, reach));
	check_inverse(h, &h->mono, h->mono.c1 - 1);
	check_inverse(h, &h->mono, h->mono.c1);
	check_inverse(h, &h->mono, c0);
}

static void test_histories(void **state)
{
	uint64_t rng = seed, n = 0, wait, c;
	struct history h = { 0 };
	int i;

	(void)state;
	while (n < cases) {
		history_begin(&h, &rng);
		for (h.update = 0; h.update < HISTORY && n < cases; h.update++, n++) {
			read_clocks(&h, h.now);
			update(&h);
			/* readers at the same count, in the lead, at the joints, later */
			read_clocks(&h, h.now);
			read_clocks(&h, h.now + random_below(&h.rng, 3));
			switch (random_below(&h.rng, 8)) {
			case 0:		/* the next update comes within the lead */
				wait = 1 + random_below(&h.rng, h.hz / 1000);
				break;
			case 1:
				wait = h.mono.c1 - h.now + random_below(&h.rng, 3);
				if (wait >> 50)
					wait = h.hz;
				break;
			default:	/* 1 ms to 36 hours */
				wait = ms_in_counts(&h, 1ULL << random_below(&h.rng, 27));
			}
			c = h.read_at;
			h.now += wait + 4;
			for (i = 0; i < 4; i++) {
				c += random_below(&h.rng, (h.now - c) / 2 + 1);
				read_clocks(&h, c);
			}
			if ((int64_t)(h.now - h.mono.c0) > 0 &&
			    (int64_t)(h.mono.c0 - c) >= 0)
				read_clocks(&h, h.mono.c0);
			if ((int64_t)(h.now - h.mono.c1) > 0 && (int64_t)(h.mono.c1 - h.read_at) > 0) {
				read_clocks(&h, h.mono.c1 - 1);
				read_clocks(&h, h.mono.c1);
			}
		}
	}
	print_message("# %" PRIu64 " updates: %" PRIu64 " met in time (worst %.3f of the tolerance), "
		      "%" PRIu64 " limited by 5000 ppm, %" PRIu64 " without error\n", n,
		      steps_in_time, worst_miss, steps_limited, steps_none);
	print_message("# %" PRIu64 " with a corner of the old clock in the lead, "
		      "at most %.1f ns forward\n", corners, worst_lead_ns);
	/* the histories are what they are said to be */
	assert_true(steps_in_time > n / 4);
	assert_true(steps_limited > n / 16);
	assert_true(steps_none > n / 100);
	assert_true(corners > n / 1000);
}

/* The frequency that once overflowed: a steep slope just above a power of two */
static void test_2150_mhz(void **state)
{
	static const uint64_t hz[] = { 2147483649, 2150000000, 2158000000, 4300000000, 14318180 };
	struct ffclock_time zero = { 0, 0 }, target = { 3600, 0 }, before, after;
	struct ffclock_slew s, next;
	__u32 shift;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(hz) / sizeof(hz[0]); i++) {
		uint64_t period = ffclock_period_from_hz(hz[i], &shift);

		s = ffclock_slew_line(0, zero, period, shift);
		next = ffclock_slew_plan(&s, 0, hz[i] / 1000, target, period, shift, hz[i] * 16);
		before = ffclock_slew_at(&next, hz[i]);
		after = ffclock_slew_at(&next, hz[i] * 101);
		/* 100 s later: 100.5 s on the clock, to a microsecond */
		assert_in_range(ffclock_time_to_ns(ffclock_time_sub(after, before)),
				100499999000, 100500001000);
	}
}

/*
 * A corner of the old clock in the lead, the slope between slower than both
 * sides: an update that comes before the one before has taken effect.
 */
static void test_slow_between(void **state)
{
	struct ffclock_time t = { 100, 0 }, target;
	uint64_t lead = 1000000, c;
	struct ffclock_slew s, next, last;
	__u32 shift;
	uint64_t period = ffclock_period_from_hz(1000000000, &shift);

	(void)state;
	s = ffclock_slew_line(0, t, period, shift);
	/* 1 us fast, to be met within 200 us from 1 ms on, at 5000 ppm */
	target = ffclock_time_sub(ffclock_slew_at(&s, lead), ffclock_ns_to_time(1000));
	next = ffclock_slew_plan(&s, 0, lead, target, period, shift, 200000);
	assert_true(next.period_slew < period && next.c1 < 2 * lead);
	/* the next update half a millisecond later: both corners are in its lead */
	target = ffclock_slew_at(&next, lead + lead / 2);
	last = ffclock_slew_plan(&next, lead / 2, lead + lead / 2, target, period, shift, lead);
	for (c = lead / 2; c < lead + lead / 2; c++)
		if (bits(ffclock_slew_at(&last, c)) < bits(ffclock_slew_at(&next, c)) - 1)
			fail_msg("steps back at %" PRIu64, c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_2150_mhz),
		cmocka_unit_test(test_slow_between),
		cmocka_unit_test(test_histories),
	};

	random_arguments(argc, argv, &cases, &seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
