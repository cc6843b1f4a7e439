// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_math.h against exact integers of any size (GMP).
 *
 * Nothing here repeats a formula of the header: results are compared with the
 * exact value, or with what defines them (the first count at which, the largest
 * for which).  The overflow budget is checked on the same operands.
 *
 * FFCLOCK_CASES (or the first argument) is the number of random cases, 10^7
 * unless ASan slows everything down; FFCLOCK_SEED (or the second) the seed, which
 * is printed.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <gmp.h>

#include <linux/ffclock_math.h>

#include "math_digest.h"
#include "math_generic.h"
#include "math_random.h"

#ifdef __SANITIZE_ADDRESS__
#define DEFAULT_CASES	2000000
#else
#define DEFAULT_CASES	10000000
#endif

#define U64_MAX		(~0ULL)
#define NS		1000000000UL

static uint64_t cases = DEFAULT_CASES, seed = 1;

static void report(const char *what, int line, const struct operands *o)
{
	print_error("line %d: %s: delta %#" PRIx64 " c0 %#" PRIx64 " period %#" PRIx64
		    " rate %#" PRIx64 " shift %u to %u bound %" PRIu64 " ns %" PRId64
		    " t0 %lld+%#llx t %lld+%#llx\n", line, what, o->delta, o->c0, o->period,
		    o->rate, o->shift, o->to, o->bound, o->ns, o->t0.sec, o->t0.frac, o->t.sec,
		    o->t.frac);
	fail();
}

#define CHECK(o, cond)	do { if (!(cond)) report(#cond, __LINE__, (o)); } while (0)

/* Exact numbers ------------------------------------------------------------- */

static mpz_t P127, P128, P64;

static void set_time(mpz_t z, struct ffclock_time t)
{
	mpz_set_si(z, t.sec);
	mpz_mul_2exp(z, z, 64);
	mpz_add_ui(z, z, t.frac);
}

/* z is what t says, modulo 2^128 */
static bool same_bits(mpz_t z, struct ffclock_time t)
{
	static mpz_t a;
	static bool ready;

	if (!ready)
		mpz_init(a);
	ready = true;
	set_time(a, t);
	mpz_sub(a, a, z);
	return mpz_divisible_2exp_p(a, 128);
}

/* floor(d * period / 2^shift), d of either sign: minus floor of the size */
static void set_scaled(mpz_t z, const mpz_t d, uint64_t period, uint32_t shift)
{
	mpz_mul_ui(z, d, period);
	mpz_tdiv_q_2exp(z, z, shift);
}

/* Cases --------------------------------------------------------------------- */

static void check_div(const struct operands *o)
{
	uint64_t d = o->period ? o->period : 1, hi = o->delta % d, lo = o->rate;
	static mpz_t n, q, r;
	static bool ready;
	__u64 rem, quot;
	uint64_t grem;

	if (!ready)
		mpz_inits(n, q, r, NULL);
	ready = true;
	mpz_set_ui(n, hi);
	mpz_mul_2exp(n, n, 64);
	mpz_add_ui(n, n, lo);
	mpz_fdiv_qr_ui(q, r, n, d);
	quot = ffclock_udiv128(hi, lo, d, &rem);
	CHECK(o, mpz_cmp_ui(q, quot) == 0 && mpz_cmp_ui(r, rem) == 0);
	/* the generic one takes 64 steps: every 16th will do */
	if (!(lo & 15)) {
		CHECK(o, generic_udiv128(hi, lo, d, &grem) == quot);
		CHECK(o, grem == rem);
	}
	mpz_set_ui(n, o->delta);
	mpz_mul_ui(n, n, o->period);
	mpz_fdiv_q_2exp(n, n, 64);
	CHECK(o, mpz_cmp_ui(n, ffclock_mulhi(o->delta, o->period)) == 0);
}

static void check_scale(const struct operands *o)
{
	struct ffclock_time t = ffclock_scale(o->delta, o->period, o->shift);
	static mpz_t d, e, s;
	static bool ready;

	if (!ready)
		mpz_inits(d, e, s, NULL);
	ready = true;
	mpz_set_ui(d, o->delta);
	set_scaled(e, d, o->period, o->shift);
	CHECK(o, same_bits(e, t));
	if (ffclock_period_valid(o->period, o->shift)) {
		/* the overflow budget: any 64-bit delta has a span that fits */
		CHECK(o, mpz_cmp(e, P127) < 0);
		CHECK(o, t.sec >= 0);
		set_time(s, t);
		CHECK(o, mpz_cmp(s, e) == 0);
	} else {
		CHECK(o, !o->period || o->shift > FFCLOCK_MAX_SHIFT ||
		      (!o->shift && o->period > 1ULL << 63));
	}

	/* forwards and backwards from a point */
	t = ffclock_line_at(o->delta, o->c0, o->t0, o->period, o->shift);
	mpz_set_si(d, (int64_t)(o->delta - o->c0));
	set_scaled(e, d, o->period, o->shift);
	set_time(s, o->t0);
	mpz_add(e, e, s);
	CHECK(o, same_bits(e, t));

	CHECK(o, ffclock_counts_between(o->delta, o->c0) ==
	      ffclock_counts_between(o->c0, o->delta));
	mpz_abs(d, d);
	CHECK(o, mpz_cmp_ui(d, ffclock_counts_between(o->delta, o->c0)) == 0);
}

/* floor(n * period / 2^shift) compared with @to */
static int compare_scaled(uint64_t n, const struct operands *o, const mpz_t to)
{
	static mpz_t a;
	static bool ready;

	if (!ready)
		mpz_init(a);
	ready = true;
	mpz_set_ui(a, n);
	set_scaled(a, a, o->period, o->shift);
	return mpz_cmp(a, to);
}

static void check_unscale(const struct operands *o)
{
	static mpz_t t;
	static bool ready;
	__u64 d = 12345;

	if (!ready)
		mpz_init(t);
	ready = true;
	set_time(t, o->t);
	if (o->t.sec < 0 || !o->period) {
		CHECK(o, !ffclock_unscale(o->t, o->period, o->shift, true, &d) &&
		      !ffclock_unscale(o->t, o->period, o->shift, false, &d) && d == 12345);
		return;
	}
	/* up: the first count at which it has passed */
	if (ffclock_unscale(o->t, o->period, o->shift, true, &d)) {
		CHECK(o, !(d >> 63) && compare_scaled(d, o, t) >= 0);
		CHECK(o, !d || compare_scaled(d - 1, o, t) < 0);
	} else {
		CHECK(o, d == 12345 && compare_scaled((1ULL << 63) - 1, o, t) < 0);
	}
	/* down: the last count that is not past it */
	d = 12345;
	if (ffclock_unscale(o->t, o->period, o->shift, false, &d)) {
		CHECK(o, !(d >> 63) && compare_scaled(d, o, t) <= 0);
		CHECK(o, compare_scaled(d + 1, o, t) > 0);
	} else {
		CHECK(o, d == 12345 && compare_scaled(1ULL << 63, o, t) <= 0);
	}
}

/* The line at c0 + d, exactly, compared with @to */
static int compare_line(int64_t d, const struct operands *o, const mpz_t to)
{
	static mpz_t a, b;
	static bool ready;

	if (!ready)
		mpz_inits(a, b, NULL);
	ready = true;
	mpz_set_si(a, d);
	set_scaled(a, a, o->period, o->shift);
	set_time(b, o->t0);
	mpz_add(a, a, b);
	return mpz_cmp(a, to);
}

static void check_inverse(const struct operands *o)
{
	static mpz_t t;
	static bool ready;
	__u64 c = 12345;

	if (!ready)
		mpz_init(t);
	ready = true;
	if (!ffclock_period_valid(o->period, o->shift))
		return;
	set_time(t, o->t);
	if (ffclock_line_inverse(o->t, o->c0, o->t0, o->period, o->shift, &c)) {
		int64_t d = (int64_t)(c - o->c0);

		CHECK(o, d > INT64_MIN);
		CHECK(o, compare_line(d, o, t) >= 0 && compare_line(d - 1, o, t) < 0);
	} else {
		CHECK(o, c == 12345);
		CHECK(o, compare_line(INT64_MAX, o, t) < 0 || compare_line(INT64_MIN, o, t) >= 0);
	}
}

/* z * 10^9 / 2^64, rounded down or up */
static void to_ns(mpz_t z, bool up)
{
	mpz_mul_ui(z, z, NS);
	if (up)
		mpz_cdiv_q_2exp(z, z, 64);
	else
		mpz_fdiv_q_2exp(z, z, 64);
}

static void check_ns(const struct operands *o)
{
	uint32_t ns = (uint64_t)o->ns % NS;
	struct ffclock_time t;
	static mpz_t a, b;
	static bool ready;
	uint64_t got;
	int sign;

	if (!ready)
		mpz_inits(a, b, NULL);
	ready = true;
	mpz_set_ui(a, o->t.frac);
	to_ns(a, false);
	CHECK(o, mpz_cmp_ui(a, ffclock_frac_to_ns(o->t.frac)) == 0);
	CHECK(o, ffclock_frac_to_ns(ffclock_ns_to_frac(ns)) == ns);
	/* rounded up: the next smaller fraction is the ns before */
	CHECK(o, !ns || ffclock_frac_to_ns(ffclock_ns_to_frac(ns) - 1) == ns - 1);
	CHECK(o, ffclock_ns_to_frac(NS) == U64_MAX);

	set_time(a, o->t);
	to_ns(a, false);
	if (mpz_cmp_si(a, INT64_MAX) > 0)
		mpz_set_si(a, INT64_MAX);
	if (mpz_cmp_si(a, INT64_MIN) < 0)
		mpz_set_si(a, INT64_MIN);
	CHECK(o, mpz_cmp_si(a, ffclock_time_to_ns(o->t)) == 0);
	t = ffclock_ns_to_time(o->ns);
	CHECK(o, ffclock_time_to_ns(t) == o->ns);

	set_time(a, o->t);
	set_time(b, o->t0);
	CHECK(o, ffclock_time_cmp(o->t, o->t0) == (mpz_cmp(a, b) > 0) - (mpz_cmp(a, b) < 0));
	mpz_sub(b, a, b);
	CHECK(o, same_bits(b, ffclock_time_sub(o->t, o->t0)));
	sign = mpz_sgn(b);
	mpz_abs(b, b);
	to_ns(b, true);
	got = ffclock_time_absdiff_ns(o->t, o->t0);
	/* what is less than 18446744073 s, but not by a ns, need not saturate */
	if (mpz_cmp_ui(b, 18446744073UL * NS) > 0) {
		CHECK(o, got == FFCLOCK_BOUND_UNKNOWN - 1);
	} else if (got != FFCLOCK_BOUND_UNKNOWN - 1 || mpz_cmp_ui(b, 18446744073UL * NS)) {
		CHECK(o, mpz_cmp_ui(b, got) <= 0);
		mpz_add_ui(b, b, 1);
		CHECK(o, mpz_cmp_ui(b, got) >= 0);
		CHECK(o, sign || !got);
	}
	set_time(b, o->t0);
	mpz_add(b, a, b);
	CHECK(o, same_bits(b, ffclock_time_add(o->t, o->t0)));
}

static void check_period(const struct operands *o)
{
	uint64_t num = o->delta, den = o->period, got;
	static mpz_t a, b, c;
	static bool ready;
	__u32 shift;

	if (!ready)
		mpz_inits(a, b, c, NULL);
	ready = true;

	if (num && num < den - num && num < den) {
		got = ffclock_period_from_ratio(num, den, &shift);
		mpz_set_ui(a, num);
		mpz_mul_2exp(a, a, 64 + shift);
		mpz_fdiv_q_ui(b, a, den);
		CHECK(o, shift <= FFCLOCK_MAX_SHIFT && mpz_cmp_ui(b, got) == 0);
		CHECK(o, ffclock_period_valid(got, shift));
		CHECK(o, shift == FFCLOCK_MAX_SHIFT || got >> 63);
		/* its resolution: half a count in 2^62 (exact - rounded < 1 unit) */
		if (got >> 63) {
			mpz_mul_ui(b, b, den);
			mpz_sub(b, a, b);	/* (exact - rounded) * den */
			mpz_mul_2exp(b, b, 63);
			CHECK(o, mpz_cmp(b, a) <= 0);
		}
	}
	if (o->delta >= 3) {
		got = ffclock_period_from_hz(o->delta, &shift);
		mpz_set_ui(a, 1);
		mpz_mul_2exp(a, a, 64 + shift);
		mpz_fdiv_q_ui(a, a, o->delta);
		CHECK(o, mpz_cmp_ui(a, got) == 0);
	}

	/* rescaled: floor, or all ones where it does not fit */
	got = ffclock_period_rescale(o->period, o->shift, o->to);
	mpz_set_ui(a, o->period);
	mpz_mul_2exp(a, a, o->to);
	mpz_fdiv_q_2exp(a, a, o->shift);
	if (mpz_cmp(a, P64) >= 0) {
		CHECK(o, got == U64_MAX);
	} else {
		CHECK(o, mpz_cmp_ui(a, got) == 0);
	}

	got = ffclock_period_to_mhz(o->period, o->shift);
	if (o->period) {
		mpz_set_ui(a, 1000);
		mpz_mul_2exp(a, a, 64 + o->shift);
		mpz_fdiv_q_ui(a, a, o->period);
		if (mpz_cmp(a, P64) >= 0) {
			CHECK(o, got == U64_MAX);
		} else {
			/* 1000 * 2^54: what the largest shifts saturate at */
			CHECK(o, mpz_cmp_ui(a, got) == 0 ||
			      (o->shift > 53 && got == U64_MAX));
		}
	} else {
		CHECK(o, got == U64_MAX);
	}
}

/*
 * The bound's promise: with a clock that was off by at most bound at c0, and a
 * period by at most rate, nobody's time is off by more than what it has grown to.
 */
static void check_bound(const struct operands *o)
{
	uint64_t counts = ffclock_counts_between(o->delta, o->c0);
	uint64_t got = ffclock_bound_grow(o->bound, counts, o->rate, o->shift);
	static mpz_t e, lim, line;
	static bool ready;

	if (!ready)
		mpz_inits(e, lim, line, NULL);
	ready = true;
	if (o->bound == FFCLOCK_BOUND_UNKNOWN) {
		CHECK(o, got == FFCLOCK_BOUND_UNKNOWN);
		return;
	}
	CHECK(o, got != FFCLOCK_BOUND_UNKNOWN && got >= o->bound);

	/* the growth in ns * 2^(64 + shift), exactly */
	mpz_set_ui(e, counts);
	mpz_mul_ui(e, e, o->rate);
	mpz_mul_ui(e, e, NS);
	mpz_set_ui(lim, got - o->bound);
	mpz_mul_2exp(lim, lim, 64 + o->shift);
	if (got == FFCLOCK_BOUND_UNKNOWN - 1) {
		/* saturated: not earlier than at 2^63 s or 2^64 - 2 s of ns */
		mpz_set_ui(lim, o->bound);
		mpz_add_ui(lim, lim, NS);
		mpz_mul_2exp(lim, lim, 64 + o->shift);
		mpz_add(lim, lim, e);
		mpz_fdiv_q_2exp(lim, lim, 64 + o->shift);
		CHECK(o, mpz_cmp_ui(lim, U64_MAX - 3) > 0);
		return;
	}
	CHECK(o, mpz_cmp(lim, e) >= 0);
	/* and no more than 2 ns too much */
	mpz_set_ui(line, 2);
	mpz_mul_2exp(line, line, 64 + o->shift);
	mpz_sub(lim, lim, line);
	CHECK(o, mpz_cmp(lim, e) <= 0);

	/*
	 * The line itself, as computed, against the truth at its worst: time off
	 * by bound and period by rate, both the same way.  In units of
	 * ns * 2^-(64 + shift).
	 */
	if (o->rate > o->period || !ffclock_period_valid(o->period, o->shift))
		return;
	mpz_set_si(line, (int64_t)(o->delta - o->c0));
	set_scaled(line, line, o->period, o->shift);
	mpz_mul_2exp(line, line, o->shift);
	mpz_set_si(lim, (int64_t)(o->delta - o->c0));
	mpz_mul_ui(lim, lim, o->period + (U64_MAX - o->period >= o->rate ? o->rate : 0));
	mpz_sub(e, lim, line);
	mpz_abs(e, e);
	mpz_mul_ui(e, e, NS);
	mpz_set_ui(lim, got - o->bound);
	mpz_mul_2exp(lim, lim, 64 + o->shift);
	/* a rate of 0 promises an exact period: only the product's rounding is left */
	if (!o->rate || !counts) {
		mpz_set_ui(lim, NS);
		mpz_mul_2exp(lim, lim, o->shift);
	}
	CHECK(o, mpz_cmp(e, lim) <= 0);
}

static void check_all(const struct operands *o)
{
	check_div(o);
	check_scale(o);
	check_unscale(o);
	check_inverse(o);
	check_ns(o);
	check_period(o);
	check_bound(o);
}

/* Tests --------------------------------------------------------------------- */

static void test_random(void **state)
{
	uint64_t rng = seed, i;
	struct operands o;

	(void)state;
	for (i = 0; i < cases; i++) {
		random_operands(&rng, &o);
		check_all(&o);
		/* an inverse that exists: what the line reads somewhere */
		if (i & 1) {
			o.t = ffclock_line_at(o.delta, o.c0, o.t0, o.period, o.shift);
			check_inverse(&o);
			o.t = ffclock_scale(o.delta >> 1, o.period, o.shift);
			o.t.frac += random_below(&rng, 3) - 1;
			check_unscale(&o);
		}
	}
	print_message("# %" PRIu64 " random cases\n", i);
}

/* The cases whose digest the kernel compares: right here, and the same ones */
static void test_digest(void **state)
{
	uint64_t rng = MATH_DIGEST_SEED, d = 0, i;
	struct operands o;

	(void)state;
	for (i = 0; i < MATH_DIGEST_CASES; i++) {
		random_operands(&rng, &o);
		check_all(&o);
		digest_case(&d, &o);
	}
	print_message("# digests %#" PRIx64 ", %#" PRIx64 "\n", d, slew_digest());
	assert_true(d == MATH_DIGEST);
	assert_true(slew_digest() == SLEW_DIGEST);
}

static const uint64_t edge[] = {
	0, 1, 2, 3, 199, 200, 201, 999999999, 1000000000, 1000000001, (1ULL << 31) - 1, 1ULL << 31,
	(1ULL << 32) - 1, 1ULL << 32, (1ULL << 32) + 1, 2150000000, 9223372036, 9223372037,
	18446744073, (1ULL << 62) - 1, 1ULL << 62, (1ULL << 62) + 1, (1ULL << 63) - 1, 1ULL << 63,
	(1ULL << 63) + 1, U64_MAX - U64_MAX / 201, U64_MAX - 1000000000, U64_MAX - 2, U64_MAX - 1,
	U64_MAX,
};

#define EDGES	(sizeof(edge) / sizeof(edge[0]))

static void test_edges(void **state)
{
	static const uint32_t shifts[] = { 0, 1, 2, 30, 31, 32, 53, 54, 62, 63 };
	uint64_t n = 0;
	size_t i, j, k, l;

	(void)state;
	for (i = 0; i < EDGES; i++) {
		for (j = 0; j < EDGES; j++) {
			for (k = 0; k < EDGES; k++) {
				for (l = 0; l < sizeof(shifts) / sizeof(shifts[0]); l++, n++) {
					size_t m = (i + j + k + l) % EDGES;
					struct operands o = {
						.delta = edge[i], .period = edge[j], .c0 = edge[k],
						.rate = edge[m], .bound = edge[(k + 3 * l) % EDGES],
						.ns = (int64_t)edge[m],
						.t0 = { (int64_t)edge[m], edge[k] },
						.t = { (int64_t)edge[k], edge[(m + i) % EDGES] },
						.shift = shifts[l], .to = shifts[(l + i) % 10],
					};

					check_all(&o);
				}
			}
		}
	}
	print_message("# %" PRIu64 " edge cases\n", n);
}

/* Every time at the ends of ns in 64 bits, one by one */
static void test_ns_ends(void **state)
{
	static const int64_t around[] = { 0, 1, -1, 9223372036, -9223372036, -9223372037,
					  9223372037, INT64_MAX, INT64_MIN };
	struct operands o = { .period = 1, .delta = 1 };
	size_t i;
	int f;

	(void)state;
	for (i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
		for (f = -2000; f <= 2000; f++) {
			/* the fraction of 2^63 ns, of -2^63 ns, and 0 */
			static const uint32_t ends[] = { 854775807, 145224192, 0 };

			o.t.sec = around[i];
			o.t.frac = ffclock_ns_to_frac(ends[(f + 2000) % 3]) + (int64_t)f / 3;
			o.ns = (int64_t)((uint64_t)around[i] * NS + (uint64_t)(int64_t)f);
			check_ns(&o);
		}
	}
}

static void test_invalid(void **state)
{
	struct ffclock_time t = { 1, 0 };
	__u64 d = 7;

	(void)state;
	assert_false(ffclock_period_valid(0, 0));
	assert_false(ffclock_period_valid(1, 64));
	assert_false(ffclock_period_valid((1ULL << 63) + 1, 0));
	assert_true(ffclock_period_valid(1ULL << 63, 0));
	assert_true(ffclock_period_valid(U64_MAX, 1));
	assert_true(ffclock_period_valid(1, 63));
	assert_false(ffclock_unscale(t, 1, 64, true, &d));
	assert_false(ffclock_unscale(t, 0, 0, false, &d));
	assert_int_equal(d, 7);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_ns_ends),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_random),
	};

	random_arguments(argc, argv, &cases, &seed);
	mpz_inits(P64, P127, P128, NULL);
	mpz_setbit(P64, 64);
	mpz_setbit(P127, 127);
	mpz_setbit(P128, 128);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
