// SPDX-License-Identifier: GPL-2.0-only
/*
 * Composition of the host's clock with a guest's TSC, against exact integers.
 *
 * The true guest clock is the rational function that follows from the host's line
 * and KVM's formula, computed with GMP; the composed line has to be within what it
 * says of itself, at the anchor and far away from it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <errno.h>

#include <cmocka.h>
#include <gmp.h>

#include "compose.h"

#define RUNS	20000

static uint64_t seed;

static uint64_t rnd(void)
{
	/* xorshift64*, Vigna 2016 */
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

static void set_u64(mpz_t z, uint64_t v)
{
	mpz_import(z, 1, 1, sizeof(v), 0, 0, &v);
}

/* time as an integer of 2^-64 s */
static void set_time(mpz_t z, struct ffclock_time t)
{
	mpz_t f;

	mpz_init(f);
	mpz_set_si(z, t.sec);
	mpz_mul_2exp(z, z, 64);
	set_u64(f, t.frac);
	mpz_add(z, z, f);
	mpz_clear(f);
}

static struct host_line random_line(void)
{
	uint64_t hz = 500000000 + rnd() % 5000000000ULL;
	struct host_line l = {
		.counter = rnd() >> (rnd() % 32),
		.time = { 1700000000 + (int64_t)(rnd() % 1000000000), rnd() },
		.maxerror_ns = rnd() % 1000000, .esterror_ns = rnd() % 1000,
		.status = FFCLOCK_STATUS_SYNCHRONIZED, .tai_offset_sec = 37,
	};
	uint32_t shift;

	l.period = ffclock_period_from_hz(hz, &shift);
	l.shift = (uint8_t)shift;
	l.period_maxerror = l.period / (1 + rnd() % 100000000);
	l.period_esterror = l.period_maxerror / 10;
	return l;
}

static struct tsc_map random_map(void)
{
	struct tsc_map m = { .offset = rnd() };

	switch (rnd() % 4) {
	case 0:
		return m;
	case 1:		/* Intel, a factor of 1/16 to 16 */
		m.frac_bits = 48;
		break;
	case 2:		/* AMD */
		m.frac_bits = 32;
		break;
	default:	/* anything that is allowed */
		m.frac_bits = 16 + rnd() % 32;
		break;
	}
	m.ratio = (1ULL << m.frac_bits >> 4) + rnd() % (1ULL << m.frac_bits << 4);
	return m;
}

/*
 * |composed(guest TSC) - true time|, for the host's TSC c: what the guest reads is
 * floor(c * ratio / 2^frac) + offset, and the true time is the host's line at c.
 */
static void check_at(const struct host_line *host, const struct tsc_map *map,
		     const struct host_line *guest, uint64_t c)
{
	uint64_t g = tsc_map_guest(map, c), away;
	mpz_t truth, got, bound, z;
	struct ffclock_time t;

	mpz_inits(truth, got, bound, z, NULL);
	/* truth * 2^shift, so that it is whole: (time << shift) + (c - counter) * period */
	set_time(truth, host->time);
	mpz_mul_2exp(truth, truth, host->shift);
	set_u64(z, c - host->counter);
	mpz_t p;
	mpz_init(p);
	set_u64(p, host->period);
	mpz_mul(z, z, p);
	mpz_add(truth, truth, z);
	mpz_fdiv_q_2exp(truth, truth, host->shift);

	t = ffclock_line_at(g, guest->counter, guest->time, guest->period, guest->shift);
	set_time(got, t);
	mpz_sub(got, truth, got);
	/* a reading is late by up to a guest count, never early: 0 <= truth - got */
	set_u64(p, guest->period);
	mpz_fdiv_q_2exp(bound, p, guest->shift);
	mpz_add_ui(bound, bound, 4);
	/* and the rounded period: less than a unit of it per count */
	away = g - guest->counter;
	set_u64(z, away);
	mpz_cdiv_q_2exp(z, z, guest->shift);
	mpz_add(bound, bound, z);
	mpz_add_ui(bound, bound, 4);
	if (mpz_cmp_si(got, -4) < 0 || mpz_cmp(got, bound) > 0)
		fail_msg("seed state %llx: off by %s of %s units of 2^-64 s",
			 (unsigned long long)seed, mpz_get_str(NULL, 10, got),
			 mpz_get_str(NULL, 10, bound));
	mpz_clears(truth, got, bound, z, p, NULL);
}

static void test_random(void **state)
{
	(void)state;
	for (int i = 0; i < RUNS; i++) {
		struct host_line host = random_line(), guest;
		struct tsc_map map = random_map();

		assert_int_equal(compose_line(&host, &map, &guest), 0);
		assert_true(ffclock_period_valid(guest.period, guest.shift));
		/* the digits: never fewer than 62 bits, unless the host had fewer */
		assert_true(guest.period >> 61 || !map.ratio);
		check_at(&host, &map, &guest, host.counter);
		check_at(&host, &map, &guest, host.counter + 1);
		check_at(&host, &map, &guest, host.counter + rnd() % (1ULL << 40));
		assert_true(guest.maxerror_ns >= host.maxerror_ns);
		assert_true(guest.maxerror_ns <= host.maxerror_ns + 1);
	}
}

/* No scaling: the very same line, digit for digit, moved by the offset */
static void test_offset_only(void **state)
{
	(void)state;
	for (int i = 0; i < RUNS; i++) {
		struct host_line host = random_line(), guest;
		struct tsc_map map = { .offset = rnd() };

		assert_int_equal(compose_line(&host, &map, &guest), 0);
		assert_int_equal(guest.counter, host.counter + map.offset);
		guest.counter = host.counter;
		assert_memory_equal(&guest, &host, sizeof(host));
	}
}

/* Two guests with whatever ratio and offset read the same at the same instant */
static void test_dependent(void **state)
{
	(void)state;
	for (int i = 0; i < RUNS; i++) {
		struct host_line host = random_line(), a, b;
		struct tsc_map ma = random_map(), mb = random_map();
		uint64_t c = host.counter + rnd() % (1ULL << 36);
		struct ffclock_time ta, tb;
		uint64_t off, grain;

		assert_int_equal(compose_line(&host, &ma, &a), 0);
		assert_int_equal(compose_line(&host, &mb, &b), 0);
		ta = ffclock_line_at(tsc_map_guest(&ma, c), a.counter, a.time, a.period, a.shift);
		tb = ffclock_line_at(tsc_map_guest(&mb, c), b.counter, b.time, b.period, b.shift);
		off = ffclock_time_absdiff_ns(ta, tb);
		/* the coarser guest's count */
		grain = (uint64_t)ffclock_time_to_ns(ffclock_scale(1, a.period, a.shift)) +
			(uint64_t)ffclock_time_to_ns(ffclock_scale(1, b.period, b.shift)) + 2;
		assert_true(off <= grain);
	}
}

static void test_bounds(void **state)
{
	struct host_line host = random_line(), guest;
	struct tsc_map map = { .offset = 5, .bound_counts = 1000 };

	(void)state;
	assert_int_equal(compose_line(&host, &map, &guest), 0);
	/* 1000 counts of 0.5 to 5.5 GHz are 181 to 2000 ns, rounded up */
	assert_true(guest.maxerror_ns >= host.maxerror_ns + 181);
	assert_true(guest.maxerror_ns <= host.maxerror_ns + 2001);
	host.maxerror_ns = FFCLOCK_BOUND_UNKNOWN;
	assert_int_equal(compose_line(&host, &map, &guest), 0);
	assert_true(guest.maxerror_ns == FFCLOCK_BOUND_UNKNOWN);

	/* a rate's bound is never less for having been scaled: compare as fractions */
	for (int i = 0; i < RUNS; i++) {
		mpz_t l, r, z;

		host = random_line();
		map = random_map();
		assert_int_equal(compose_line(&host, &map, &guest), 0);
		if (!map.ratio)
			continue;
		mpz_inits(l, r, z, NULL);
		/* maxerror_g / 2^shift_g >= maxerror_h * 2^frac / ratio / 2^shift_h */
		set_u64(l, guest.period_maxerror);
		set_u64(z, map.ratio);
		mpz_mul(l, l, z);
		mpz_mul_2exp(l, l, host.shift);
		set_u64(r, host.period_maxerror);
		mpz_mul_2exp(r, r, map.frac_bits);
		mpz_mul_2exp(r, r, guest.shift);
		assert_true(mpz_cmp(l, r) >= 0);
		mpz_clears(l, r, z, NULL);
	}
}

static void test_range(void **state)
{
	static const struct tsc_map bad[] = {
		{ .ratio = 0, .frac_bits = 48 },
		{ .ratio = 1, .frac_bits = 48 },
		{ .ratio = ~0ULL, .frac_bits = 32 },
		{ .ratio = 1ULL << 40, .frac_bits = 64 },
		{ .ratio = 1ULL << 40, .frac_bits = ~0u },
	};
	static const struct tsc_map edge[] = {
		{ .ratio = 1ULL << 32, .frac_bits = 48 },	/* 2^-16 */
		{ .ratio = ~0ULL, .frac_bits = 48 },		/* 2^16 */
		{ .ratio = 1ULL << 48, .frac_bits = 32 },
		{ .ratio = 1ULL << 16, .frac_bits = 32 },
		{ .ratio = 1, .frac_bits = 0 },
		{ .ratio = 1ULL << 63, .frac_bits = 63 },
	};
	struct host_line host = random_line(), guest, was = { .counter = 99 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		guest = was;
		assert_int_equal(compose_line(&host, &bad[i], &guest), -ERANGE);
		assert_memory_equal(&guest, &was, sizeof(was));
	}
	for (i = 0; i < sizeof(edge) / sizeof(edge[0]); i++) {
		assert_int_equal(compose_line(&host, &edge[i], &guest), 0);
		check_at(&host, &edge[i], &guest, host.counter);
	}
	host.period = 0;
	assert_int_equal(compose_line(&host, &edge[0], &guest), -ERANGE);
}

static void test_leap(void **state)
{
	struct host_line host = random_line(), m;
	uint64_t hz, c;

	(void)state;
	/* 2016-12-31 23:59:59.5, one to come: 1483228800 is the first second after it */
	host.time = (struct ffclock_time){ 1483228799, 1ULL << 63 };
	host.leap_change = 1;
	host.leap_utc_sec = 1483228800;
	host.tai_offset_sec = 36;
	host.leap_indicator = FFCLOCK_LEAP_PRE_POS;
	hz = ffclock_period_to_mhz(host.period, host.shift) / 1000;
	m = line_move(&host, host.counter + hz / 4);
	assert_int_equal(m.leap_indicator, FFCLOCK_LEAP_PRE_POS);
	assert_int_equal(m.time.sec, 1483228799);
	assert_int_equal(m.tai_offset_sec, 36);
	/* in it: 23:59:59 once more */
	m = line_move(&host, host.counter + hz);
	assert_int_equal(m.leap_indicator, FFCLOCK_LEAP_POS);
	assert_int_equal(m.time.sec, 1483228799);
	assert_int_equal(m.tai_offset_sec, 37);
	assert_int_equal(m.leap_change, 0);
	/* after it */
	c = host.counter + 2 * hz;
	m = line_move(&host, c);
	assert_int_equal(m.leap_indicator, FFCLOCK_LEAP_POST_POS);
	assert_int_equal(m.time.sec, 1483228800);
	assert_int_equal(m.tai_offset_sec, 37);
	/* one taken out: 23:59:59 does not come */
	host.time.sec = 1483228798;
	host.leap_change = -1;
	host.leap_utc_sec = 1483228799;
	m = line_move(&host, host.counter + hz);
	assert_int_equal(m.leap_indicator, FFCLOCK_LEAP_POST_NEG);
	assert_int_equal(m.time.sec, 1483228800);
	assert_int_equal(m.tai_offset_sec, 35);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_offset_only),
		cmocka_unit_test(test_dependent),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_leap),
	};
	const char *given = getenv("SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2 + 1;
	print_message("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
