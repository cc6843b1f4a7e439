// SPDX-License-Identifier: GPL-2.0-only
/*
 * How far the rate really strayed: memory for holdover.
 *
 * The bank's wander is what matters over its averaging window, minutes, and
 * it follows the oscillator within an hour.  Without stamps for hours the
 * question is another one, and the honest answer is in the past: how much did
 * the rate change over such times?  Temperature over a day changes it more
 * than any random walk that fits the minutes.
 *
 * So the rate is kept every SAMPLE seconds for a day, and its mean square
 * change is taken at lags of 1, 2, 4, ... samples: a structure function, kin
 * to Allan's.
 */
#include <math.h>
#include <string.h>

#include "estimator_internal.h"

/* Spacing of the samples [s]; FFE_HISTORY of them are a day. */
#define SAMPLE		900.0

/*
 * A rate that changed by D over the time T it was not watched has moved the
 * offset by T D / sqrt(3) when it walked and T D / 2 when it drifted.
 */
#define WALK_OFFSET	(1 / 3.0)	/* square of the larger */

/* Pairs a lag needs before its mean square is believed. */
#define PAIRS_MIN	4

/**
 * ffe_wander_reset - another oscillator
 * @w: history
 */
void ffe_wander_reset(struct ffe_wander *w)
{
	memset(w, 0, sizeof(*w));
}

/* Mean square change per lag, from all pairs about that far apart. */
static void wander_lags(struct ffe_wander *w)
{
	unsigned int l, i, j;

	for (l = 0; l < FFE_LAGS; l++) {
		double lag = SAMPLE * (1u << l), sum = 0, noise = 0;
		unsigned int n = 0;

		for (i = 0; i < w->n; i++)
			for (j = i + 1; j < w->n; j++) {
				const struct ffe_rate *a = &w->rate[i];
				const struct ffe_rate *b = &w->rate[j];
				double dt = fabs(a->at - b->at);

				if (dt < 0.75 * lag || dt > 1.25 * lag)
					continue;
				sum += (a->y - b->y) * (a->y - b->y) * lag / dt;
				noise += a->var + b->var;
				n++;
			}
		/* the estimates' own noise is no wander, but may hide some */
		w->change[l] = n < PAIRS_MIN ? 0 :
			       fmax(sum - noise, 0) / n;
	}
}

/**
 * ffe_wander_note - a stamp was used
 * @w: history; its now is the time of the stamp
 * @b: belief with it
 */
void ffe_wander_note(struct ffe_wander *w, const struct ffe_belief *b)
{
	struct ffe_rate *r;

	if (w->n && w->now - w->last < SAMPLE)
		return;
	w->last = w->now;
	r = &w->rate[w->at];
	r->at = w->now;
	r->y = b->y;
	r->var = b->pyy;
	w->at = (w->at + 1) % FFE_HISTORY;
	if (w->n < FFE_HISTORY)
		w->n++;
	wander_lags(w);
}

/**
 * ffe_wander_hold - variance of the offset after a time without stamps
 * @w: history
 * @b: belief when they ceased
 * @dt: time since [s]
 *
 * Return: the larger of what the belief and what the past make of it [ns^2].
 */
double ffe_wander_hold(const struct ffe_wander *w, const struct ffe_belief *b,
		       double dt)
{
	double belief = ffe_belief_pxx(b, dt), past = 0;
	unsigned int l;

	for (l = 0; l < FFE_LAGS; l++) {
		double lag = SAMPLE * (1u << l), c = w->change[l];

		/* from another lag: longer as a walk, shorter as a drift */
		if (lag > dt)
			c *= dt / lag * (dt / lag);
		else
			c *= dt / lag;
		/* the nearest lag that is known from below, all from above */
		if (lag <= dt && w->change[l] > 0)
			past = c;
		else if (lag > dt)
			past = fmax(past, c);
	}
	past = b->pxx + dt * (2 * b->pxy + dt * b->pyy) +
	       past * dt * dt * WALK_OFFSET;
	return fmax(belief, past);
}
