// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of leap seconds: announcements, a server's second inserted, deleted
 * or forgotten, and the list that TAI - UTC comes from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "leap.h"
#include "ntp_packet.h"
#include "tai.h"

#define NSEC	INT64_C(1000000000)
#define END	INT64_C(1483228800)	/* 2017-01-01, after the last leap second */

static void test_month_end(void **state)
{
	(void)state;
	assert_true(leap_month_end(END - 1) == END);
	assert_true(leap_month_end(END) == END + 31 * 86400);
	assert_true(leap_month_end(END - 31 * 86400) == END);
	/* February of 2024, of 2026 */
	assert_true(leap_month_end(1708000000) == 1709251200);
	assert_true(leap_month_end(1771500000) == 1772323200);
	leap_month_end(INT64_MAX);
	leap_month_end(INT64_MIN);
}

static void test_announce(void **state)
{
	struct leap l = { 0 };

	(void)state;
	assert_false(leap_announce(&l, NTP_LEAP_NONE, (END - 86400) * NSEC));
	assert_true(leap_announce(&l, NTP_LEAP_ADD, (END - 86400) * NSEC));
	assert_int_equal(l.change, 1);
	assert_true(l.utc_sec == END);
	assert_false(leap_announce(&l, NTP_LEAP_ADD, (END - 80000) * NSEC));
	/* withdrawn, and the other way round */
	assert_true(leap_announce(&l, NTP_LEAP_NONE, (END - 70000) * NSEC));
	assert_int_equal(l.change, 0);
	assert_true(leap_announce(&l, NTP_LEAP_DEL, (END - 70000) * NSEC));
	assert_int_equal(l.change, -1);
	/* in the last minute nothing changes any more */
	assert_false(leap_announce(&l, NTP_LEAP_NONE, (END - 30) * NSEC));
	assert_int_equal(l.change, -1);
	/* nor does one begin there, or just after a month's end */
	memset(&l, 0, sizeof(l));
	assert_false(leap_announce(&l, NTP_LEAP_ADD, (END - 30) * NSEC));
	assert_false(leap_announce(&l, NTP_LEAP_ADD, (END + 30) * NSEC));
	assert_true(leap_announce(&l, NTP_LEAP_ADD, (END + 61) * NSEC));
	assert_true(l.utc_sec == END + 31 * 86400);
}

/*
 * A server asked every @gap seconds through the leap; what it tells is the
 * continuous time minus the leaps it has applied.  The continuous time that
 * comes out must be true throughout.
 */
static void through(int change, bool applies, int64_t start, int64_t gap, int *applied,
		    enum leap_outcome *last)
{
	struct leap l = { 0 };
	int64_t cont;

	*last = LEAP_QUIET;
	for (cont = start; cont < END + 100; cont += gap) {
		bool after = change > 0 ? cont >= END : cont >= END - 1;
		int64_t utc = cont - (applies && after ? change : 0), out;
		uint8_t li = cont >= END ? NTP_LEAP_NONE :
			     change > 0 ? NTP_LEAP_ADD : NTP_LEAP_DEL;
		enum leap_outcome o;

		leap_announce(&l, li, utc * NSEC);
		/* a client's clock 0.1 s wrong */
		o = leap_unfold(&l, utc * NSEC, cont * NSEC + NSEC / 10, &out);
		assert_true(out == cont * NSEC);
		if (o != LEAP_QUIET) {
			assert_int_equal(*last, LEAP_QUIET);
			*last = o;
		}
	}
	assert_int_equal(l.change, 0);
	*applied = l.applied;
}

static void test_through(void **state)
{
	enum leap_outcome o;
	int64_t gap, phase;
	int applied;

	(void)state;
	for (gap = 1; gap <= 64; gap *= 4) {
		for (phase = 0; phase < gap; phase++) {
			int64_t start = END - 4 * 3600 + phase;

			through(1, true, start, gap, &applied, &o);
			assert_int_equal(applied, 1);
			assert_int_equal(o, LEAP_DONE);
			through(-1, true, start, gap, &applied, &o);
			assert_int_equal(applied, -1);
			assert_int_equal(o, LEAP_DONE);
			through(1, false, start, gap, &applied, &o);
			assert_int_equal(applied, 0);
			assert_int_equal(o, LEAP_NOT_DONE);
			through(-1, false, start, gap, &applied, &o);
			assert_int_equal(applied, 0);
			assert_int_equal(o, LEAP_NOT_DONE);
		}
	}
}

static void test_no_prediction(void **state)
{
	struct leap l = { .change = 1, .utc_sec = END };
	int64_t out;

	(void)state;
	assert_int_equal(leap_unfold(&l, (END + 50) * NSEC, INT64_MIN, &out), LEAP_QUIET);
	assert_true(out == (END + 50) * NSEC);
	/* and resolved by the first prediction there is */
	assert_int_equal(leap_unfold(&l, (END + 60) * NSEC, (END + 61) * NSEC, &out), LEAP_DONE);
	assert_true(out == (END + 61) * NSEC);
}

static const char list[] =
	"#\tcomment\n"
	"#$\t 3929093563\n"
	"#@\t3975955200\n"		/* expires 2025-12-29 */
	"2272060800      10      # 1 Jan 1972\n"
	"3644697600\t36\t# 1 Jul 2015\r\n"
	"3692217600      37      # 1 Jan 2017\n"
	"#h\t16edd0f0 3666784f 37db6bdd e74ced87 59af48f1\n";

static int look(const char *text, int64_t utc)
{
	return tai_parse(text, strlen(text), utc);
}

static void test_tai(void **state)
{
	char torn[sizeof(list)];
	uint64_t x = 1;
	size_t i;

	(void)state;
	assert_int_equal(look(list, END), 37);
	assert_int_equal(look(list, END - 1), 36);
	assert_int_equal(look(list, 1700000000), 37);
	assert_int_equal(look(list, 3975955200 - NTP_UNIX_OFFSET - 1), 37);
	assert_int_equal(look(list, 3975955200 - NTP_UNIX_OFFSET), 0);
	assert_int_equal(look(list, 0), 0);
	/* without a date of expiry it is not to be trusted */
	assert_int_equal(look("3692217600 37\n", END), 0);
	assert_int_equal(look("#@ 3975955200\n3692217600 -37\n", END), 0);
	assert_int_equal(look("#@ 3975955200\n3692217600 9999\n", END), 0);
	assert_int_equal(look("", END), 0);
	assert_int_equal(look("\n\n\n", END), 0);
	/* damaged lists do no damage */
	for (i = 0; i < 20000; i++) {
		size_t n = x % sizeof(list);

		memcpy(torn, list, sizeof(list));
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		torn[(x >> 33) % sizeof(list)] = (char)(x >> 56);
		assert_in_range(tai_parse(torn, n, END), 0, 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_month_end),
		cmocka_unit_test(test_announce),
		cmocka_unit_test(test_through),
		cmocka_unit_test(test_no_prediction),
		cmocka_unit_test(test_tai),
	};

	return cmocka_run_group_tests_name("leap", tests, NULL, NULL);
}
