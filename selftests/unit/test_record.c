// SPDX-License-Identifier: GPL-2.0-only
/* The record that Dom0 gives its guests: include/linux/ffclock_record.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <linux/ffclock_record.h>

#include "record_cases.h"

static size_t sealed(char *text, const char *body)
{
	return (size_t)sprintf(text, "%s crc=%08x\n", body,
			       ffclock_record_crc(body, strlen(body)));
}

static int parse(const char *body, struct ffclock_record *r)
{
	char text[4096];
	/* of exactly its length, so that ASan sees the end */
	size_t len = sealed(text, body);
	char *copy = malloc(len);
	int ret;

	assert_non_null(copy);
	memcpy(copy, text, len);
	ret = ffclock_record_parse(copy, len, r);
	free(copy);
	return ret;
}

/* The check value that every description of CRC-32 gives */
static void test_crc(void **state)
{
	(void)state;
	assert_int_equal(ffclock_record_crc("123456789", 9), 0xcbf43926);
}

static void test_good(void **state)
{
	struct ffclock_record r;

	(void)state;
	assert_int_equal(parse(BODY, &r), 0);
	assert_string_equal(r.host, HOST);
	assert_int_equal(r.seq, 7);
	assert_int_equal(r.status, FFCLOCK_STATUS_SYNCHRONIZED);
	assert_int_equal(r.next_update_sec, 16);
	assert_int_equal(r.time.sec, 1795256983);
	assert_true(r.time.frac == 1ULL << 63);
	assert_int_equal(r.esterror_ns, 500);
	assert_int_equal(r.maxerror_ns, 1000);
	assert_int_equal(r.tai_offset_sec, 37);
	assert_true(r.xen.valid);
	assert_true(r.xen.counter == 28507830913ULL);
	assert_true(r.xen.period == 0x89705f4136b4a597ULL);
	assert_int_equal(r.xen.shift, 29);
	assert_false(r.tsc.valid);
}

/* Words to come are skipped; what looks like none is refused */
static void test_growth(void **state)
{
	struct ffclock_record r;

	(void)state;
	assert_int_equal(parse(BODY " smear=none x_y=", &r), 0);
	assert_int_equal(parse(BODY " smear", &r), -EPROTO);
	assert_int_equal(parse(BODY "  smear=1", &r), -EPROTO);
	assert_int_equal(parse(BODY " smear=a\tb", &r), -EPROTO);
	assert_int_equal(parse(BODY " Smear=1", &r), -EPROTO);
	assert_int_equal(parse(BODY " =1", &r), -EPROTO);
	assert_int_equal(parse(BODY " ", &r), -EPROTO);
}

static void test_wrong(void **state)
{
	struct ffclock_record r;
	char body[2048];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *at = strstr(BODY, wrong[i].from);

		assert_non_null(at);
		snprintf(body, sizeof(body), "%.*s%s%s", (int)(at - BODY), BODY, wrong[i].to,
			 at + strlen(wrong[i].from));
		if (parse(body, &r) != wrong[i].ret)
			fail_msg("'%s' for '%s' is not refused with %d", wrong[i].to,
				 wrong[i].from, wrong[i].ret);
	}
}

static void test_seal(void **state)
{
	struct ffclock_record r;
	char text[2048], big[2 * FFCLOCK_RECORD_MAX];
	size_t len = sealed(text, BODY), i;

	(void)state;
	/* every byte counts, and every length but the right one is wrong */
	for (i = 0; i < len; i++) {
		text[i] ^= 1;
		assert_int_not_equal(ffclock_record_parse(text, len, &r), 0);
		text[i] ^= 1;
		assert_int_not_equal(ffclock_record_parse(text, i, &r), 0);
	}
	assert_int_equal(ffclock_record_parse(text, len, &r), 0);
	text[len] = '\n';
	assert_int_equal(ffclock_record_parse(text, len + 1, &r), -EBADMSG);
	assert_int_equal(ffclock_record_parse(text, 0, &r), -EPROTO);

	snprintf(big, sizeof(big), "%s %0*d", BODY, FFCLOCK_RECORD_MAX, 0);
	assert_int_equal(ffclock_record_parse(big, strlen(big), &r), -EMSGSIZE);
}

static uint64_t any(void)
{
	return (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
}

static struct ffclock_record_line any_line(void)
{
	struct ffclock_record_line l = { .valid = true, .shift = (uint32_t)random() % 64 };

	l.counter = any();
	l.period = any() >> 1 | 1;
	l.esterror = any() % l.period;
	l.maxerror = any() % l.period;
	return l;
}

/* What is written is read as it was, whatever it is; and it always fits */
static void test_both_ways(void **state)
{
	unsigned int seed = (unsigned int)time(NULL), i;
	char text[FFCLOCK_RECORD_MAX];
	struct ffclock_record r, back;
	int len, longest = 0;

	(void)state;
	print_message("# seed %u\n", seed);
	srandom(seed);
	for (i = 0; i < 20000; i++) {
		memset(&r, 0, sizeof(r));
		strcpy(r.host, HOST);
		r.seq = any();
		r.status = (uint32_t)random() % 5;
		r.next_update_sec = 1 + (uint32_t)random() % FFCLOCK_RECORD_MAX_NEXT;
		r.stale_sec = (uint32_t)random() % (FFCLOCK_RECORD_MAX_STALE + 1);
		r.time.sec = (int64_t)(any() % (uint64_t)FFCLOCK_RECORD_MAX_SEC);
		r.time.frac = any();
		r.esterror_ns = any() % FFCLOCK_RECORD_MAX_ERROR_NS;
		r.maxerror_ns = i % 3 ? any() % FFCLOCK_RECORD_MAX_ERROR_NS : FFCLOCK_BOUND_UNKNOWN;
		r.tai_offset_sec = (int)(random() % (FFCLOCK_RECORD_MAX_TAI + 1));
		r.leap_change = (int)(random() % 3) - 1;
		if (r.leap_change)
			r.leap_utc_sec = 1 + any() % (uint64_t)FFCLOCK_RECORD_MAX_SEC;
		if (i % 4)
			r.xen = any_line();
		if (i % 4 != 1)
			r.tsc = any_line();
		len = ffclock_record_format(text, sizeof(text), &r);
		assert_true(len > 0);
		longest = len > longest ? len : longest;
		assert_int_equal(ffclock_record_parse(text, (size_t)len, &back), 0);
		assert_memory_equal(&back, &r, sizeof(r));
		/* no room, no record */
		assert_int_equal(ffclock_record_format(text, (size_t)len, &r), -EMSGSIZE);
	}
	print_message("# longest: %d bytes\n", longest);
}

/* A record that a reader would refuse is not written */
static void test_unwritable(void **state)
{
	char text[FFCLOCK_RECORD_MAX];
	struct ffclock_record r;

	(void)state;
	assert_int_equal(parse(BODY, &r), 0);
	r.xen.valid = false;
	assert_int_equal(ffclock_record_format(text, sizeof(text), &r), -EPROTO);
	r.xen.valid = true;
	r.status = 9;
	assert_int_equal(ffclock_record_format(text, sizeof(text), &r), -EPROTO);
	r.status = 2;
	strcpy(r.host, "here");
	assert_int_equal(ffclock_record_format(text, sizeof(text), &r), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_seal),
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_unwritable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
