/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One clock out of several that agree: a weighted mean that never jumps only
 * because the weights, or who takes part, changed.
 *
 * Pure.  All offsets are from one common reference at one reading of the
 * counter.  A clock's own error has two parts: noise, and an asymmetry of its
 * path that stays.  The bound holds both, so weights follow the bounds.
 *
 *	mean  = sum w_i x_i		w_i = 1/b_i^2 - 1/(3 b_best)^2, normed
 *	clock = mean + rest
 *
 * The rest is whatever keeps the clock where it was when weights change.  It
 * goes to zero slowly: clocks that agree differ by asymmetries, nobody knows
 * whose, and there is no hurry between two places that are both within bounds.
 */
#ifndef FFCLOCKD_COMBINE_H
#define FFCLOCKD_COMBINE_H

#include <stdbool.h>

/* The rest shrinks by 1/e in that time [s] ... */
#define COMBINE_SETTLE_S	1000.0
/* ... but never faster than this [ns per s]: 1 ppm disturbs nobody's intervals */
#define COMBINE_SETTLE_RATE	1000.0
/* Clocks with bounds beyond so many times the best one's add nothing */
#define COMBINE_REACH		3.0

/**
 * struct combine_clock - one of the clocks
 * @x: offset now [ns]
 * @x_old: offset now, as it was before the newest stamps; NAN if it had none [ns]
 * @period: length of a count [ns]
 * @bound: of @x [ns]
 * @est: 1 sigma of @x without asymmetry [ns]
 * @rate_bound: growth of @bound [ns per ns]
 * @rate_est: 1 sigma of the rate
 * @weight: result, 0 to 1
 */
struct combine_clock {
	double	x;
	double	x_old;
	double	period;
	double	bound;
	double	est;
	double	rate_bound;
	double	rate_est;
	double	weight;
};

/**
 * struct combine_result - the clock
 * @x: offset [ns]
 * @period: [ns]
 * @bound: [ns]
 * @est: 1 sigma without asymmetry [ns]
 * @rate_bound: [ns per ns]
 * @rate_est: 1 sigma of the rate
 * @rest: what is left of earlier changes of weights [ns]
 * @moved: the clock before was further from the mean than both bounds allow
 */
struct combine_result {
	double	x;
	double	period;
	double	bound;
	double	est;
	double	rate_bound;
	double	rate_est;
	double	rest;
	bool	moved;
};

/**
 * combine() - the clock of several
 * @c: clocks; .weight is written
 * @n: how many, at least 1; bounds and sigmas positive and finite
 * @x_before: offset now of the clock given out before; NAN if there is none [ns]
 * @bound_before: its bound now [ns]
 * @dt: time since that was made [s]
 * @r: receives the clock
 */
void combine(struct combine_clock *c, unsigned int n, double x_before, double bound_before,
	     double dt, struct combine_result *r);

#endif /* FFCLOCKD_COMBINE_H */
