// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the NTP packet code: what a request shows, and what becomes of
 * every kind of bad answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "ntp_packet.h"

#define COOKIE	UINT64_C(0x123456789abcdef0)
#define NSEC	INT64_C(1000000000)
#define NOW	INT64_C(1795000000)	/* November 2026 */

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)(v >> 32));
	put32(p + 4, (uint32_t)v);
}

static uint64_t ntp_time(int64_t sec, uint32_t frac)
{
	return (uint64_t)(uint32_t)(sec + NTP_UNIX_OFFSET) << 32 | frac;
}

/* A good answer, received at NOW.25, sent at NOW.5 */
static void good(uint8_t *p)
{
	memset(p, 0, NTP_PACKET_LEN);
	p[0] = 0 << 6 | 4 << 3 | 4;
	p[1] = 2;
	p[2] = 6;
	p[3] = (uint8_t)-20;
	put32(p + 4, 0x00008000);	/* 0.5 s */
	put32(p + 8, 0x00000001);	/* 15.26 us */
	put32(p + 12, 0x7f000001);
	put64(p + 16, ntp_time(NOW - 100, 0));
	put64(p + 24, COOKIE);
	put64(p + 32, ntp_time(NOW, 0x40000000));
	put64(p + 40, ntp_time(NOW, 0x80000000));
}

static enum ntp_verdict judge(const uint8_t *p, size_t len)
{
	struct ntp_answer a;

	return ntp_answer_decode(p, len, COOKIE, NOW, &a);
}

static void test_request(void **state)
{
	uint8_t p[NTP_PACKET_LEN], zero[NTP_PACKET_LEN] = { 0 };

	(void)state;
	memset(p, 0xff, sizeof(p));
	ntp_request_encode(p, COOKIE);
	assert_int_equal(p[0], 0x23);	/* leap 0, version 4, client */
	assert_int_equal(p[3], 32);
	put64(zero + 40, COOKIE);
	assert_memory_equal(p + 40, zero + 40, 8);
	/* nothing else tells anything */
	assert_memory_equal(p + 4, zero + 4, 36);
	assert_int_equal(p[1], 0);
	assert_int_equal(p[2], 0);
}

static void test_good(void **state)
{
	uint8_t p[NTP_PACKET_LEN];
	struct ntp_answer a;
	char text[16];

	(void)state;
	good(p);
	assert_int_equal(ntp_answer_decode(p, sizeof(p), COOKIE, NOW, &a), NTP_OK);
	assert_true(a.tb == NOW * NSEC + NSEC / 4);
	assert_true(a.te == NOW * NSEC + NSEC / 2);
	assert_int_equal(a.root_delay_ns, 500000000);
	assert_int_equal(a.root_disp_ns, 15259);	/* 2^-16 s rounded up */
	assert_int_equal(a.stratum, 2);
	assert_int_equal(a.precision, -20);
	assert_int_equal(a.version, 4);
	assert_string_equal(a.kod, "");
	assert_string_equal(ntp_refid_print(a.refid, a.stratum, text), "127.0.0.1");
	p[0] = 1 << 6 | 3 << 3 | 4;
	assert_int_equal(ntp_answer_decode(p, sizeof(p), COOKIE, NOW, &a), NTP_OK);
	assert_int_equal(a.leap, NTP_LEAP_ADD);
	assert_int_equal(a.version, 3);
}

static void test_bad(void **state)
{
	uint8_t p[NTP_PACKET_LEN + 20];
	struct ntp_answer a;
	int mode, version;
	size_t len;

	(void)state;
	for (len = 0; len <= sizeof(p); len++) {
		memset(p, 0, sizeof(p));
		good(p);
		assert_int_equal(judge(p, len), len == NTP_PACKET_LEN ? NTP_OK : NTP_BAD_LENGTH);
	}
	for (mode = 0; mode < 8; mode++) {
		good(p);
		p[0] = (uint8_t)(4 << 3 | mode);
		assert_int_equal(judge(p, NTP_PACKET_LEN), mode == 4 ? NTP_OK : NTP_BAD_MODE);
	}
	for (version = 0; version < 8; version++) {
		good(p);
		p[0] = (uint8_t)(version << 3 | 4);
		assert_int_equal(judge(p, NTP_PACKET_LEN),
				 version == 3 || version == 4 ? NTP_OK : NTP_BAD_VERSION);
	}
	/* each bit of the origin matters; without a cookie nothing is an answer */
	for (len = 0; len < 64; len++) {
		good(p);
		p[24 + len / 8] ^= (uint8_t)(1 << len % 8);
		assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_BAD_ORIGIN);
	}
	good(p);
	put64(p + 24, 0);
	assert_int_equal(ntp_answer_decode(p, NTP_PACKET_LEN, 0, NOW, &a), NTP_BAD_ORIGIN);

	good(p);
	p[0] |= 3 << 6;
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_UNSYNC);
	for (len = 1; len < 256; len++) {
		good(p);
		p[1] = (uint8_t)len;
		assert_int_equal(judge(p, NTP_PACKET_LEN), len < 16 ? NTP_OK : NTP_UNSYNC);
	}
	good(p);
	put64(p + 32, 0);
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_BAD_STAMP);
	good(p);
	put64(p + 40, 0);
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_BAD_STAMP);
	/* 2^-14 s, 61 us, too early; 2^-17 s, 7.6 us, may be two clocks */
	good(p);
	put64(p + 40, ntp_time(NOW, 0x40000000) - (1u << 18));
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_BAD_ORDER);
	good(p);
	put64(p + 40, ntp_time(NOW, 0x40000000) - (1u << 15));
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_OK);
	good(p);
	put64(p + 16, ntp_time(NOW + 10, 0));
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_BAD_REFTIME);
	good(p);
	put64(p + 16, 0);
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_OK);
	good(p);
	put32(p + 4, 0xffffffff);
	put32(p + 8, 0xffffffff);
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_BAD_ROOT);
	good(p);
	put32(p + 8, 15 << 16);
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_OK);
	put32(p + 8, 16 << 16);
	assert_int_equal(judge(p, NTP_PACKET_LEN), NTP_BAD_ROOT);
}

static void test_kod(void **state)
{
	uint8_t p[NTP_PACKET_LEN];
	struct ntp_answer a;

	(void)state;
	good(p);
	p[0] |= 3 << 6;
	p[1] = 0;
	memcpy(p + 12, "RATE", 4);
	assert_int_equal(ntp_answer_decode(p, sizeof(p), COOKIE, NOW, &a), NTP_KOD);
	assert_string_equal(a.kod, "RATE");
	/* not to a terminal */
	memcpy(p + 12, "\033[2J", 4);
	assert_int_equal(ntp_answer_decode(p, sizeof(p), COOKIE, NOW, &a), NTP_KOD);
	assert_string_equal(a.kod, "?[2J");
	put32(p + 12, 0);
	assert_int_equal(judge(p, sizeof(p)), NTP_UNSYNC);
	/* forged: the origin first */
	memcpy(p + 12, "DENY", 4);
	p[24] ^= 1;
	assert_int_equal(judge(p, sizeof(p)), NTP_BAD_ORIGIN);
}

/* Every era: what goes in comes out, for a client anywhere within 68 years */
static void test_eras(void **state)
{
	/* 2026, either side of the first rollover (2036-02-07 06:28:16), 2100 */
	static const int64_t times[] = {
		NTP_ERA_PIVOT_MIN, NOW, 2085978495, 2085978496, 2085978497, 4102444800,
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		static const int64_t off[] = { -2000000000, -1, 0, 1, 2000000000 };
		uint64_t stamp = ntp_time(times[i], 0x80000000);

		for (j = 0; j < sizeof(off) / sizeof(off[0]); j++) {
			if (times[i] + off[j] < NTP_ERA_PIVOT_MIN)
				continue;
			assert_true(ntp_stamp_to_unix_ns(stamp, times[i] + off[j]) ==
				    times[i] * NSEC + NSEC / 2);
		}
	}
	/* a clock in 1970 or 1900 still reads a server's 2026 and 2040 */
	assert_true(ntp_stamp_to_unix_ns(ntp_time(NOW, 0), 0) == NOW * NSEC);
	assert_true(ntp_stamp_to_unix_ns(ntp_time(2208988800, 0), -NTP_UNIX_OFFSET) ==
		    2208988800 * NSEC);
	/* absurd clocks do not overflow */
	ntp_stamp_to_unix_ns(~UINT64_C(0), INT64_MAX);
	ntp_stamp_to_unix_ns(0, INT64_MIN);
	/* a nanosecond survives: 2^-32 s are 0.23 ns */
	for (i = 0; i < 1000000000; i += 999983) {
		uint64_t frac = (((uint64_t)i << 32) + 500000000) / 1000000000;

		assert_true(ntp_stamp_to_unix_ns(ntp_time(NOW, (uint32_t)frac), NOW) ==
			    NOW * NSEC + (int64_t)i);
	}
}

static void test_short(void **state)
{
	(void)state;
	assert_true(ntp_short_to_ns(0) == 0);
	assert_true(ntp_short_to_ns(1) == 15259);
	assert_true(ntp_short_to_ns(0x10000) == 1000000000);
	assert_true(ntp_short_to_ns(0xffffffff) == UINT64_C(65535999984742));
}

/* Anything at all: no crash, and no good verdict without the cookie */
static void test_noise(void **state)
{
	uint64_t seed = (uint64_t)time(NULL), x = seed;
	uint8_t p[NTP_PACKET_LEN];
	struct ntp_answer a;
	char text[16];
	int i, j, ok = 0;

	(void)state;
	print_message("# seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < 300000; i++) {
		enum ntp_verdict v;

		for (j = 0; j < NTP_PACKET_LEN; j++) {
			x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
			p[j] = (uint8_t)(x >> 56);
		}
		p[0] = (uint8_t)((p[0] & 0xc0) | 4 << 3 | 4);
		p[1] &= 15;
		/* root delay and dispersion of less than 4 s */
		p[4] = p[8] = 0;
		p[5] = p[9] &= 3;
		if (i & 1)
			put64(p + 24, COOKIE);
		v = ntp_answer_decode(p, sizeof(p), COOKIE, (int64_t)x >> (x & 63), &a);
		assert_non_null(ntp_verdict_name(v));
		ntp_refid_print(a.refid, a.stratum, text);
		if (!(i & 1))
			assert_int_equal(v, NTP_BAD_ORIGIN);
		if (v != NTP_OK)
			continue;
		ok++;
		assert_true(a.te >= a.tb - 20000);
		assert_true(a.root_delay_ns / 2 + a.root_disp_ns < 16 * (uint64_t)NSEC);
		assert_in_range(a.stratum, 1, 15);
	}
	/* it is not that nothing gets through */
	print_message("# %d of %d would have been used\n", ok, i);
	assert_true(ok > i / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_kod),
		cmocka_unit_test(test_eras),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests_name("ntp_packet", tests, NULL, NULL);
}
