// SPDX-License-Identifier: GPL-2.0-only
/* Figures of a live migration: plain, net and true ones, with whatever clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "migstats.h"

#define MS	1000000LL
#define S	1000000000LL

/* True times of a migration; the destination's clock is ahead by shift */
static struct mig_stamps stamps(int64_t shift)
{
	struct mig_stamps s = {
		.started = 100 * S, .stopped = 101 * S, .sent = 101 * S + 50 * MS,
		.received = 101 * S + 58 * MS + shift, .resumed = 101 * S + 60 * MS + shift,
		.seen_sent = 7 * S, .seen_received = 7 * S + 8 * MS,
	};

	return s;
}

static void test_together(void **state)
{
	struct mig_stamps s = stamps(0);
	struct mig_figures f;

	(void)state;
	s.same_host = true;
	mig_compute(&s, &f);
	assert_true(f.elapsed == 1060 * MS && f.downtime == 60 * MS && f.delta == 8 * MS);
	assert_true(f.elapsed_net == 1052 * MS && f.downtime_net == 52 * MS);
	assert_true(f.plain == MIG_PLAIN_GOOD && f.downtime_true == MIG_NONE);
	s.same_host = false;
	mig_compute(&s, &f);
	assert_true(f.plain == MIG_PLAIN_UNVERIFIED);
}

/* The net form does not know of the shift; whoever watches sees a large one */
static void test_apart(void **state)
{
	int64_t shift;

	(void)state;
	for (shift = -5 * S; shift <= 5 * S; shift += 37 * MS) {
		struct mig_stamps s = stamps(shift);
		struct mig_figures f;

		mig_compute(&s, &f);
		assert_true(f.downtime == 60 * MS + shift);
		assert_true(f.downtime_net == 52 * MS && f.elapsed_net == 1052 * MS);
		assert_true((f.plain == MIG_PLAIN_UNUSABLE) == (llabs(shift) > 200 * MS));
		if (f.plain == MIG_PLAIN_UNUSABLE)
			assert_true(f.clock_difference == shift);

		/* both clocks: the truth, whatever the shift */
		s.source = (struct mig_clock){ true, 5 * MS, 2000 };
		s.dest = (struct mig_clock){ true, 5 * MS - shift, 3000 };
		mig_compute(&s, &f);
		assert_true(f.downtime_true == 60 * MS && f.elapsed_true == 1060 * MS);
		assert_true(f.true_bound == 6000);
		assert_true(f.clock_difference == shift && f.clock_difference_bound == 5000);
		assert_true((f.plain == MIG_PLAIN_UNUSABLE) == (llabs(shift) > MS + 5000));
		/* one of them is not enough */
		s.dest.known = false;
		mig_compute(&s, &f);
		assert_true(f.downtime_true == MIG_NONE);
	}
}

static void test_missing(void **state)
{
	struct mig_stamps s = stamps(0);
	struct mig_figures f;

	(void)state;
	s.stopped = MIG_NONE;
	s.sent = MIG_NONE;
	mig_compute(&s, &f);
	assert_true(f.downtime == MIG_NONE && f.downtime_net == MIG_NONE);
	assert_true(f.elapsed == 1060 * MS && f.elapsed_net == MIG_NONE && f.delta == MIG_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
