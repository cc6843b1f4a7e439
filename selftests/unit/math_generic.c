// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_math.h as a machine without the DIV instruction compiles it.
 *
 * The headers that need to know the machine come first; their guards keep them
 * out when the arithmetic is included.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/ffclock.h>

#undef __x86_64__
#include <linux/ffclock_math.h>

#include "math_generic.h"

uint64_t generic_udiv128(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *rem)
{
	__u64 r, q = ffclock_udiv128(hi, lo, d, &r);

	*rem = r;
	return q;
}
