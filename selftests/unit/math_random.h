/* SPDX-License-Identifier: GPL-2.0-only */
/* Random operands for tests of arithmetic: repeatable, and fond of the ends. */
#ifndef MATH_RANDOM_H
#define MATH_RANDOM_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#endif

/* splitmix64: every seed gives another sequence of full length */
static inline uint64_t random_bits(uint64_t *state)
{
	uint64_t v = *state += 0x9e3779b97f4a7c15ULL;

	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ULL;
	v = (v ^ v >> 27) * 0x94d049bb133111ebULL;
	return v ^ v >> 31;
}

/* 0..n - 1, n nonzero */
static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
	return random_bits(state) % n;
}

/* Any size equally likely; one in eight near a power of two */
static inline uint64_t random_u64(uint64_t *state)
{
	uint64_t how = random_bits(state), v = random_bits(state);

	if (!(how & 7))
		return (1ULL << (how >> 3 & 63)) + (v & 7) - 4;
	return v >> (how >> 3 & 63);
}

/*
 * A counter's frequency: 14.318 MHz to 5 GHz, an eighth of them where a power of
 * two lies just below, so that the period has hardly any room (2150 MHz).
 */
static inline uint64_t random_hz(uint64_t *state)
{
	static const uint64_t known[] = {
		3579545, 14318180, 10000000, 1000000000, 2147483648, 2150000000, 2158221065,
		2599998000, 3000000000, 4294967296, 4300000000, 5000000000,
	};
	uint64_t how = random_bits(state), base;

	switch (how & 7) {
	case 0:
		return known[(how >> 3) % (sizeof(known) / sizeof(known[0]))];
	case 1:
		base = 1ULL << (24 + (how >> 3) % 9);	/* 16.8 MHz to 4.3 GHz */
		return base + random_below(state, base / 190);
	default:
		return 14318180 + random_below(state, 5000000000ULL - 14318180);
	}
}

#ifndef __KERNEL__
/* CASES and SEED from arguments or environment, and say which they are */
static inline void random_arguments(int argc, char **argv, uint64_t *cases, uint64_t *seed)
{
	const char *c = argc > 1 ? argv[1] : getenv("FFCLOCK_CASES");
	const char *s = argc > 2 ? argv[2] : getenv("FFCLOCK_SEED");

	if (c)
		*cases = strtoull(c, NULL, 0);
	if (s)
		*seed = strtoull(s, NULL, 0);
	printf("# FFCLOCK_CASES=%" PRIu64 " FFCLOCK_SEED=%" PRIu64 "\n", *cases, *seed);
	fflush(stdout);
}
#endif /* __KERNEL__ */

#endif /* MATH_RANDOM_H */
