// SPDX-License-Identifier: GPL-2.0-only
/*
 * The unit tests' cases of what the kernel computes, computed by the kernel: KUnit,
 * where there is CONFIG_KUNIT.
 *
 * Arithmetic: the digest of the cases that selftests/unit/test_math.c compares with
 * exact integers.  Records: the good and the bad ones of test_record.c.
 */
#include <kunit/test.h>
#include <linux/module.h>
#include <linux/slab.h>

#include <linux/ffclock_math.h>
#include <linux/ffclock_record.h>

#include "../unit/math_digest.h"
#include "../unit/record_cases.h"

static void math_digest_test(struct kunit *test)
{
	u64 rng = MATH_DIGEST_SEED, d = 0;
	struct operands o;
	int i;

	for (i = 0; i < MATH_DIGEST_CASES; i++) {
		random_operands(&rng, &o);
		digest_case(&d, &o);
	}
	KUNIT_EXPECT_EQ(test, d, MATH_DIGEST);
}

static void slew_digest_test(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, slew_digest(), SLEW_DIGEST);
}

/* @body and its checksum, parsed from memory of exactly that length */
static int record_parse(struct kunit *test, const char *body, struct ffclock_record *r)
{
	size_t len = strlen(body);
	char *text = kunit_kmalloc(test, len + 16, GFP_KERNEL), *copy;

	KUNIT_ASSERT_NOT_NULL(test, text);
	len = sprintf(text, "%s crc=%08x\n", body, ffclock_record_crc(body, len));
	copy = kunit_kmalloc(test, len, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, copy);
	memcpy(copy, text, len);
	return ffclock_record_parse(copy, len, r);
}

static void record_good_test(struct kunit *test)
{
	struct ffclock_record r;

	KUNIT_EXPECT_EQ(test, ffclock_record_crc("123456789", 9), 0xcbf43926);
	KUNIT_ASSERT_EQ(test, record_parse(test, BODY, &r), 0);
	KUNIT_EXPECT_STREQ(test, r.host, HOST);
	KUNIT_EXPECT_EQ(test, r.seq, 7);
	KUNIT_EXPECT_EQ(test, r.time.sec, 1795256983);
	KUNIT_EXPECT_EQ(test, r.time.frac, 1ULL << 63);
	KUNIT_EXPECT_EQ(test, r.tai_offset_sec, 37);
	KUNIT_EXPECT_TRUE(test, r.xen.valid);
	KUNIT_EXPECT_EQ(test, r.xen.period, 0x89705f4136b4a597ULL);
	KUNIT_EXPECT_FALSE(test, r.tsc.valid);
}

static void record_wrong_test(struct kunit *test)
{
	char *body = kunit_kmalloc(test, 2 * sizeof(BODY), GFP_KERNEL);
	struct ffclock_record r;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, body);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		const char *at = strstr(BODY, wrong[i].from);

		KUNIT_ASSERT_NOT_NULL(test, at);
		snprintf(body, 2 * sizeof(BODY), "%.*s%s%s", (int)(at - BODY), BODY, wrong[i].to,
			 at + strlen(wrong[i].from));
		KUNIT_EXPECT_EQ_MSG(test, record_parse(test, body, &r), wrong[i].ret,
				    "'%s' for '%s'", wrong[i].to, wrong[i].from);
	}
}

static struct kunit_case ffclock_cases[] = {
	KUNIT_CASE(math_digest_test),
	KUNIT_CASE(slew_digest_test),
	KUNIT_CASE(record_good_test),
	KUNIT_CASE(record_wrong_test),
	{}
};

static struct kunit_suite ffclock_suite = {
	.name		= "ffclock",
	.test_cases	= ffclock_cases,
};

kunit_test_suite(ffclock_suite);
MODULE_DESCRIPTION("KUnit tests of ffclock");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
