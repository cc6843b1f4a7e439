// SPDX-License-Identifier: GPL-2.0-only
/* Statistics of a run; see score.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "score.h"

static void *grow(void *mem, size_t size)
{
	void *more = realloc(mem, size);

	if (!more) {
		fprintf(stderr, "Bail out! out of memory\n");
		exit(1);
	}
	return more;
}

void score_add(struct score_run *run, double at_s, double err_us, double bound_us)
{
	if (run->n == run->room) {
		run->room = run->room ? 2 * run->room : 4096;
		run->s = grow(run->s, run->room * sizeof(*run->s));
	}
	run->s[run->n++] = (struct score_sample){ at_s, err_us, bound_us };
}

void score_reset(struct score_run *run)
{
	run->n = 0;
	run->min_rtt_us = 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double score_quantile(double *values, size_t n, double p)
{
	size_t at;

	if (!n)
		return NAN;
	qsort(values, n, sizeof(*values), by_value);
	at = (size_t)(p * (double)n);
	return values[at < n ? at : n - 1];
}

double score_median(double *values, size_t n)
{
	return score_quantile(values, n, 0.5);
}

struct score score_window(const struct score_run *run, double from_s, double to_s)
{
	struct score out = { 0 };
	size_t i, n = 0, in = 0;
	double *v;

	if (!run->n)
		return out;
	v = grow(NULL, run->n * sizeof(*v));

	for (i = 0; i < run->n; i++) {
		const struct score_sample *s = &run->s[i];

		if (s->at_s < from_s || s->at_s > to_s)
			continue;
		v[n++] = s->err_us;
		if (fabs(s->err_us) <= s->bound_us)
			in++;
	}
	if (!n)
		goto out;
	out.n = n;
	out.covered = (double)in / (double)n;
	out.bias = score_quantile(v, n, 0.5);
	out.iqr = score_quantile(v, n, 0.75) - score_quantile(v, n, 0.25);
	for (i = 0; i < n; i++)
		v[i] = fabs(v[i]);
	out.median = score_quantile(v, n, 0.5);
	out.p99 = score_quantile(v, n, 0.99);
	out.max = v[n - 1];
	for (i = 0, n = 0; i < run->n; i++)
		if (run->s[i].at_s >= from_s && run->s[i].at_s <= to_s)
			v[n++] = run->s[i].bound_us;
	out.bound = score_median(v, n);
out:
	free(v);
	return out;
}

double score_recovery(const struct score_run *run, double event_s, double to_s,
		      double limit_us)
{
	double last = event_s;
	size_t i;

	for (i = 0; i < run->n; i++) {
		const struct score_sample *s = &run->s[i];

		if (s->at_s < event_s || s->at_s > to_s)
			continue;
		if (fabs(s->err_us) >= limit_us)
			last = INFINITY;
		else if (isinf(last))
			last = s->at_s;
	}
	return isinf(last) ? -1 : last - event_s;
}
