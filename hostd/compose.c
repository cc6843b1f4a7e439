// SPDX-License-Identifier: GPL-2.0-only
/* Composition of clocks and counters: see compose.h. */
#include <errno.h>

#include "compose.h"

/*
 * A scaled TSC within this factor either way of the host's: far more than any
 * hardware offers, and few enough bits for the sums below.
 */
#define FACTOR_BITS	16

bool tsc_map_equal(const struct tsc_map *a, const struct tsc_map *b)
{
	return a->offset == b->offset && a->ratio == b->ratio && a->frac_bits == b->frac_bits &&
	       a->bound_counts == b->bound_counts;
}

bool tsc_map_valid(const struct tsc_map *map)
{
	ffclock_u128 one;

	if (!map->ratio)
		return !map->frac_bits;
	/* frac_bits at most 63: 1 << (63 + 16) fits */
	if (map->frac_bits > 63)
		return false;
	one = (ffclock_u128)1 << map->frac_bits;
	return (ffclock_u128)map->ratio <= one << FACTOR_BITS &&
	       (ffclock_u128)map->ratio << FACTOR_BITS >= one;
}

uint64_t tsc_map_guest(const struct tsc_map *map, uint64_t host)
{
	if (!map->ratio)
		return host + map->offset;
	return (uint64_t)((ffclock_u128)host * map->ratio >> map->frac_bits) + map->offset;
}

static uint64_t add_ns(uint64_t bound_ns, uint64_t more)
{
	uint64_t sum = bound_ns + more;

	if (bound_ns == FFCLOCK_BOUND_UNKNOWN)
		return bound_ns;
	return sum < more || sum == FFCLOCK_BOUND_UNKNOWN ? FFCLOCK_BOUND_UNKNOWN - 1 : sum;
}

struct host_line line_move(const struct host_line *line, uint64_t counter)
{
	uint64_t away = ffclock_counts_between(counter, line->counter);
	struct host_line out = *line;

	if (!away)
		return out;
	out.counter = counter;
	out.time = ffclock_line_at(counter, line->counter, line->time, line->period, line->shift);
	out.maxerror_ns = ffclock_bound_grow(line->maxerror_ns, away, line->period_maxerror,
					     line->shift);
	out.esterror_ns = ffclock_bound_grow(line->esterror_ns, away, line->period_esterror,
					     line->shift);
	if (out.leap_change && out.time.sec >= (int64_t)out.leap_utc_sec) {
		out.time.sec -= out.leap_change;
		if (out.tai_offset_sec)
			out.tai_offset_sec += out.leap_change;
		/* the inserted second itself: UTC reads 23:59:59 for a second time */
		if (out.leap_change > 0 && out.time.sec < (int64_t)out.leap_utc_sec)
			out.leap_indicator = FFCLOCK_LEAP_POS;
		else
			out.leap_indicator = out.leap_change > 0 ? FFCLOCK_LEAP_POST_POS :
				FFCLOCK_LEAP_POST_NEG;
		out.leap_change = 0;
		out.leap_utc_sec = 0;
	}
	return out;
}

/*
 * value * 2^frac_bits / ratio in 2^-shift of value's unit; rounded down, or up.
 * Return: false if it does not fit 64 bits
 */
static bool divide(uint64_t value, const struct tsc_map *map, int shift, bool up, uint64_t *out)
{
	ffclock_u128 n = value, q;
	int left = (int)map->frac_bits + shift;

	/* value < 2^64, so up to 64 places to the left are exact */
	if (left > 64)
		return false;
	if (left >= 0)
		n <<= left;
	else
		n = (n >> -left) + (up && -left < 64 && (value & ((1ULL << -left) - 1)));
	q = n / map->ratio;
	if (up && n % map->ratio)
		q++;
	if (q >> 64)
		return false;
	*out = (uint64_t)q;
	return true;
}

static int scale_period(const struct host_line *host, const struct tsc_map *map,
			struct host_line *guest)
{
	int shift, best = -FACTOR_BITS - 1;
	uint64_t period = 0, p;

	/* the most digits: the largest shift at which the quotient fits 64 bits */
	for (shift = -FACTOR_BITS - 1; shift <= FACTOR_BITS + 1; shift++) {
		if (host->shift + shift < 0)
			continue;
		if (host->shift + shift > FFCLOCK_MAX_SHIFT || (int)map->frac_bits + shift > 64)
			break;
		if (!divide(host->period, map, shift, false, &p))
			break;
		best = shift;
		period = p;
	}
	if (!period)
		return -ERANGE;
	guest->shift = (uint8_t)(host->shift + best);
	guest->period = period;
	if (!ffclock_period_valid(guest->period, guest->shift))
		return -ERANGE;
	if (!divide(host->period_maxerror, map, best, true, &guest->period_maxerror))
		guest->period_maxerror = ~0ULL;
	if (!divide(host->period_esterror, map, best, true, &guest->period_esterror))
		guest->period_esterror = ~0ULL;
	/* what rounding the period down took */
	if (guest->period_maxerror != ~0ULL)
		guest->period_maxerror++;
	if (guest->period_esterror != ~0ULL)
		guest->period_esterror++;
	return 0;
}

int compose_line(const struct host_line *host, const struct tsc_map *map, struct host_line *guest)
{
	struct host_line out = *host;
	struct ffclock_time slack;
	uint64_t counts;
	int ret;

	if (!tsc_map_valid(map) || !ffclock_period_valid(host->period, host->shift))
		return -ERANGE;
	out.counter = tsc_map_guest(map, host->counter);
	if (map->ratio) {
		ffclock_u128 mask = ((ffclock_u128)1 << map->frac_bits) - 1;
		/* the part of a guest count that had passed, in 2^-frac_bits */
		uint64_t part = (uint64_t)((ffclock_u128)host->counter * map->ratio & mask);

		ret = scale_period(host, map, &out);
		if (ret)
			return ret;
		/*
		 * part * period < 2^(63 + 64), exact; in 2^-(64 + shift + frac_bits) s.
		 * Two shifts, since together they may exceed 127.
		 */
		out.time = ffclock_time_sub(out.time, ffclock_time_from_bits(
			(ffclock_u128)part * out.period >> map->frac_bits >> out.shift));
		/* the rounding of this and of ffclock_line_at(): 2^-63 s, never a ns */
		out.maxerror_ns = add_ns(out.maxerror_ns, 1);
		out.esterror_ns = add_ns(out.esterror_ns, 1);
	}
	counts = map->bound_counts;
	if (counts) {
		slack = ffclock_scale(counts, out.period, out.shift);
		out.maxerror_ns = add_ns(out.maxerror_ns,
					 ffclock_time_absdiff_ns(slack, (struct ffclock_time){ 0 }));
		out.esterror_ns = add_ns(out.esterror_ns,
					 ffclock_time_absdiff_ns(slack, (struct ffclock_time){ 0 }));
	}
	*guest = out;
	return 0;
}
