/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the host's clock to a guest's: exact arithmetic, no state.
 *
 * A clock is a line over a counter.  KVM gives a guest
 *
 *	guest TSC = ((host TSC * ratio) >> frac_bits) + offset	(modulo 2^64)
 *
 * so the host's line over the host's TSC is another line over the guest's, with
 * the period times 2^frac_bits / ratio.  QEMU's TCG gives the host's TSC plus an
 * offset: no ratio.
 */
#ifndef HOSTD_COMPOSE_H
#define HOSTD_COMPOSE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/ffclock_math.h>

/**
 * struct host_line - a clock over some TSC
 * @counter: TSC value the rest belongs to
 * @time: UTC at @counter
 * @period: 2^-(64 + @shift) s per count
 * @period_esterror: estimated error of @period, same unit, rounded up
 * @period_maxerror: bound of the error of @period, same unit, rounded up
 * @esterror_ns: estimated error of @time; FFCLOCK_BOUND_UNKNOWN: not known
 * @maxerror_ns: bound of the error of @time; FFCLOCK_BOUND_UNKNOWN: none
 * @tai_offset_sec: TAI - UTC at @counter [s], 0: unknown
 * @leap_utc_sec: first UTC second after a pending leap second, 0: none
 * @leap_change: what it inserts: +1, -1, 0: none
 * @shift: see @period
 * @status: FFCLOCK_STATUS_*
 * @leap_indicator: FFCLOCK_LEAP_*
 */
struct host_line {
	uint64_t		counter;
	struct ffclock_time	time;
	uint64_t		period;
	uint64_t		period_esterror;
	uint64_t		period_maxerror;
	uint64_t		esterror_ns;
	uint64_t		maxerror_ns;
	int32_t			tai_offset_sec;
	uint64_t		leap_utc_sec;
	int8_t			leap_change;
	uint8_t			shift;
	uint8_t			status;
	uint8_t			leap_indicator;
};

/**
 * struct tsc_map - what a guest's TSC is of the host's
 * @offset: added, modulo 2^64
 * @ratio: multiplied by, in 2^-@frac_bits; 0: 1, no scaling
 * @frac_bits: 48 on Intel, 32 on AMD; 0 with @ratio 0
 * @bound_counts: what @offset may be off, in guest counts; 0 for KVM's, which
 *	is exact
 */
struct tsc_map {
	uint64_t	offset;
	uint64_t	ratio;
	uint32_t	frac_bits;
	uint32_t	bound_counts;
};

bool tsc_map_equal(const struct tsc_map *a, const struct tsc_map *b);

/* Ratio and fraction bits that compose_line() takes: a factor of 2^-16 to 2^16 */
bool tsc_map_valid(const struct tsc_map *map);

/* The guest's TSC when the host's is @host; what RDTSC gives there */
uint64_t tsc_map_guest(const struct tsc_map *map, uint64_t host);

/**
 * line_move() - the same line, given at another counter value
 * @line: the line
 * @counter: where to, within 2^62 counts
 *
 * The bounds grow by the distance.  Across the pending leap second the line is
 * stepped, the TAI offset changed and the indicator set, so that what comes out
 * is UTC again.
 *
 * Return: the line at @counter
 */
struct host_line line_move(const struct host_line *line, uint64_t counter);

/**
 * compose_line() - the host's line in a guest's counter units
 * @host: over the host's TSC
 * @map: the guest's TSC
 * @guest: where the line over the guest's TSC goes
 *
 * @guest->counter is the guest's TSC, a whole number, at @host->counter; its
 * time is that of the moment at which the guest's scaled TSC reached the whole
 * number, which is less than a guest count earlier.  The period is rounded down
 * in the last of at least 63 bits and its error bound rounded up with one unit
 * added; time and its bound are widened by what was rounded and by @map's bound.
 *
 * Return: 0; -ERANGE if period or ratio are out of range, then @guest is not
 * touched
 */
int compose_line(const struct host_line *host, const struct tsc_map *map, struct host_line *guest);

#endif /* HOSTD_COMPOSE_H */
