/* SPDX-License-Identifier: GPL-2.0-only */
/* The TSC, for programs that compare it with clocks. */
#ifndef _GUEST_TSC_H
#define _GUEST_TSC_H

#include <stdint.h>
#include <x86intrin.h>

/* After all earlier loads and before all later ones */
static inline uint64_t tsc_ordered(void)
{
	uint64_t tsc;

	_mm_lfence();
	tsc = __rdtsc();
	_mm_lfence();
	return tsc;
}

#endif /* _GUEST_TSC_H */
