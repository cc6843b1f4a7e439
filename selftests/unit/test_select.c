// SPDX-License-Identifier: GPL-2.0-only
/* Unit tests of selection (intersection of intervals) and combination (mean). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "combine.h"
#include "select.h"

static struct select_span s[16];
static struct select_region r;

static void span(unsigned int i, double lo, double hi)
{
	s[i] = (struct select_span){ .lo = lo, .hi = hi, .vote = true };
}

static unsigned int good(unsigned int n)
{
	unsigned int i, bits = 0;

	for (i = 0; i < n; i++)
		bits |= (unsigned int)s[i].good << i;
	return bits;
}

static void test_majority(void **state)
{
	(void)state;
	assert_int_equal(select_majority(s, 0, NAN, &r), 0);
	span(0, -1, 1);
	assert_int_equal(select_majority(s, 1, NAN, &r), 1);
	assert_int_equal(good(1), 1);
	/* two that agree, two that do not */
	span(1, 0.5, 3);
	assert_int_equal(select_majority(s, 2, NAN, &r), 2);
	assert_true(r.lo == 0.5 && r.hi == 1);
	span(1, 2, 3);
	assert_int_equal(select_majority(s, 2, NAN, &r), 0);
	assert_int_equal(good(2), 0);
	/* touching is agreeing */
	span(1, 1, 3);
	assert_int_equal(select_majority(s, 2, NAN, &r), 2);
	/* one of three lies, wherever it is in the list */
	span(0, -1, 1);
	span(1, 100, 101);
	span(2, 0, 2);
	assert_int_equal(select_majority(s, 3, NAN, &r), 2);
	assert_int_equal(good(3), 5);
	assert_true(r.lo == 0 && r.hi == 1 && !r.others);
	/* two of four are no majority */
	span(3, 100, 102);
	assert_int_equal(select_majority(s, 4, NAN, &r), 0);
	/* one that only watches does not change that, and is judged */
	span(4, 0, 1);
	s[4].vote = false;
	assert_int_equal(select_majority(s, 5, NAN, &r), 0);
	s[3].vote = false;
	assert_int_equal(select_majority(s, 5, NAN, &r), 2);
	assert_int_equal(good(5), 0x15);
	/* who is not a number is nobody */
	span(3, NAN, NAN);
	span(4, 5, -5);
	assert_int_equal(select_majority(s, 5, NAN, &r), 2);
	assert_int_equal(good(5), 5);
}

static void test_ambiguous(void **state)
{
	(void)state;
	/* a wide one agrees with two that exclude each other */
	span(0, -1, 1);
	span(1, -100, 100);
	span(2, 50, 53);
	assert_int_equal(select_majority(s, 3, 51, &r), 2);
	assert_int_equal(r.others, 1);
	assert_int_equal(good(3), 6);
	assert_int_equal(select_majority(s, 3, 10, &r), 2);
	assert_int_equal(good(3), 3);
	/* nobody knows where time was: the narrower one */
	assert_int_equal(select_majority(s, 3, NAN, &r), 2);
	assert_int_equal(good(3), 3);
}

/* Whatever they are: truth wins as long as more than half have it inside */
static void test_random(void **state)
{
	unsigned int round, i;

	(void)state;
	srand(4);
	for (round = 0; round < 20000; round++) {
		unsigned int n = 1 + (unsigned int)rand() % 16, liars = (unsigned int)rand() % n;

		if (2 * liars >= n)
			liars = (n - 1) / 2;
		for (i = 0; i < n; i++) {
			double half = 1 + rand() % 1000, off = half * (2.0 * rand() / RAND_MAX - 1);

			/* liars may be narrow and far, all in different places */
			if (i < liars)
				off = 5000 + 10000.0 * i;
			span(i, off - half, off + half);
		}
		assert_true(select_majority(s, n, NAN, &r) >= n - liars);
		assert_true(r.lo <= 0 && r.hi >= 0 && !r.others);
		for (i = 0; i < n; i++)
			assert_int_equal(s[i].good, i >= liars);
	}
}

static struct combine_clock c[4];
static struct combine_result res;

static void clock_is(unsigned int i, double x, double bound)
{
	c[i] = (struct combine_clock){
		.x = x, .x_old = NAN, .period = 1, .bound = bound, .est = 1,
		.rate_bound = 1e-8, .rate_est = 1e-9,
	};
}

static void test_one(void **state)
{
	(void)state;
	clock_is(0, 123.25, 1000);
	c[0].period = 1.0000125;
	combine(c, 1, NAN, INFINITY, 0, &res);
	assert_true(res.x == 123.25 && res.bound == 1000 && res.period == 1.0000125);
	assert_true(res.rate_bound == 1e-8 && res.est == 1 && !res.moved && res.rest == 0);
	assert_true(fabs(res.rate_est - 1e-9) < 1e-20);
	/* it alone is the clock: what it does, the clock does */
	c[0].x_old = 100;
	combine(c, 1, 100, 1000, 16, &res);
	assert_true(res.x == 123.25 && res.rest == 0);
}

static void test_weights(void **state)
{
	(void)state;
	clock_is(0, 0, 1000);
	clock_is(1, 100, 1000);
	clock_is(2, 5000, 2900);
	clock_is(3, 5000, 3000);
	combine(c, 4, NAN, INFINITY, 0, &res);
	assert_true(c[0].weight == c[1].weight && c[3].weight == 0);
	assert_true(c[2].weight > 0 && c[2].weight < 0.01);
	assert_true(fabs(c[0].weight + c[1].weight + c[2].weight - 1) < 1e-12);
	assert_true(res.x > 49 && res.x < 100);
	/* the bound holds for any errors within theirs */
	assert_true(res.bound >= 1000);
	/* the rate is that of who knows it */
	clock_is(0, 0, 1000);
	clock_is(1, 0, 1000);
	c[0].period = 1 + 1e-6;
	c[0].rate_est = 1e-7;
	combine(c, 2, NAN, INFINITY, 0, &res);
	assert_true(fabs(res.period - 1) < 2e-10);
	/* and the bound grows by what that differs from the mean's own */
	assert_true(fabs(res.rate_bound - 1e-8 - 0.5e-6) < 1e-9);
}

static void test_no_jump(void **state)
{
	double x, last;
	int i;

	(void)state;
	/* the clock was one's; another of the same quality, 400 ns off, comes */
	clock_is(0, 0, 1000);
	c[0].x_old = 0;
	clock_is(1, 400, 1000);
	combine(c, 2, 0, 1000, 16, &res);
	assert_true(fabs(res.x) < 4 && !res.moved);
	assert_true(res.bound > 1190 && res.bound < 1201);
	/* over time it goes to the mean, never faster than 1 ppm */
	x = res.x;
	for (i = 0; i < 500; i++) {
		last = x;
		clock_is(0, 0, 1000);
		clock_is(1, 400, 1000);
		c[0].x_old = 0;
		c[1].x_old = 400;
		combine(c, 2, x, 1000, 16, &res);
		x = res.x;
		assert_true(x >= last && x - last <= 16 * COMBINE_SETTLE_RATE);
	}
	assert_true(fabs(x - 200) < 1);
	/* a stamp of one moves the clock by its weight */
	c[0].x = 50;
	combine(c, 2, x, 1000, 0, &res);
	assert_true(fabs(res.x - 225) < 1);

	/* the clock before is beyond what a new, better one allows: to that, at once */
	clock_is(0, 0, 10);
	combine(c, 1, 500, 1000, 16, &res);
	assert_true(res.x == 0 && res.bound == 10 && !res.moved);
	/* and if it could not have been there by its own bound, it was wrong */
	combine(c, 1, 500, 100, 16, &res);
	assert_true(res.x == 0 && res.moved);

	/* far off, but within bounds: slowly */
	clock_is(0, 0, 1e7);
	c[0].x_old = 0;
	combine(c, 1, 5e6, 1e7, 16, &res);
	assert_true(fabs(5e6 - res.x - 16 * COMBINE_SETTLE_RATE) < 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_majority),
		cmocka_unit_test(test_ambiguous),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_no_jump),
	};

	return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
