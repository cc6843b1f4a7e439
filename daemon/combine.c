// SPDX-License-Identifier: GPL-2.0-only
/* A mean of clocks: see combine.h. */
#include <math.h>
#include <string.h>

#include "combine.h"

/* A thousandth of what can be measured [ns] */
#define REST_MIN_NS	1e-3

static void weigh(struct combine_clock *c, unsigned int n)
{
	double best = INFINITY, sum = 0, edge;
	unsigned int i;

	for (i = 0; i < n; i++)
		best = fmin(best, c[i].bound);
	/* zero where the reach ends, so that nobody comes or goes with a step */
	edge = 1 / (COMBINE_REACH * COMBINE_REACH);
	for (i = 0; i < n; i++) {
		double ratio = best / c[i].bound;

		c[i].weight = fmax(ratio * ratio - edge, 0);
		sum += c[i].weight;
	}
	for (i = 0; i < n; i++)
		c[i].weight /= sum;
}

/* The rest, that much later */
static double settle(double rest, double dt)
{
	double step = rest * -expm1(-fmax(dt, 0) / COMBINE_SETTLE_S);
	double most = COMBINE_SETTLE_RATE * fmax(dt, 0);

	return rest - fmax(fmin(step, most), -most);
}

void combine(struct combine_clock *c, unsigned int n, double x_before, double bound_before,
	     double dt, struct combine_result *r)
{
	double mean = 0, old = 0, bound = 0, rate_bound = 0, var = 0;
	double period = 0, period_w = 0, info = 0;
	unsigned int i;

	memset(r, 0, sizeof(*r));
	weigh(c, n);
	for (i = 0; i < n; i++) {
		double w = c[i].weight, v = w > 0 ? 1 / (c[i].rate_est * c[i].rate_est) : 0;

		mean += w * c[i].x;
		/* one that joins says nothing of how the clock moved */
		old += w * (isnan(c[i].x_old) ? c[i].x : c[i].x_old);
		/* of errors that may be anything within their bounds, the worst sum */
		bound += w * c[i].bound;
		rate_bound += w * c[i].rate_bound;
		var += w * w * c[i].est * c[i].est;
		/* one oscillator: who knows its rate best says most */
		period += v * c[i].period;
		info += v;
		period_w += w * c[i].period;
	}
	r->period = n == 1 ? c[0].period : period / info;
	r->rate_est = sqrt(1 / info);
	/* offsets and rate weighed differently: the bound grows by that, too */
	r->rate_bound = rate_bound + fabs(r->period / period_w - 1);
	r->est = sqrt(var);

	if (!isnan(x_before)) {
		r->moved = fabs(x_before - mean) > bound_before + bound;
		r->rest = settle(x_before - old, dt);
		/*
		 * Beyond the bound the clock before was the worse one: no reason to
		 * stay near it.  And rounding is nothing to remember.
		 */
		if (r->moved || fabs(r->rest) > bound || fabs(r->rest) < REST_MIN_NS)
			r->rest = 0;
	}
	r->x = mean + r->rest;
	r->bound = bound + fabs(r->rest);
}
