/* SPDX-License-Identifier: GPL-2.0-only */
/* ffclock_udiv128() without the DIV instruction: see there */
#ifndef MATH_GENERIC_H
#define MATH_GENERIC_H

#include <stdint.h>

uint64_t generic_udiv128(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *rem);

#endif /* MATH_GENERIC_H */
