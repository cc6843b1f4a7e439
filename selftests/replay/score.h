/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Score a run of the estimator against the truth, with the statistics of the
 * traces' own scorer, plus what it does not have: coverage and size of the
 * error bound.
 */
#ifndef SELFTESTS_SCORE_H
#define SELFTESTS_SCORE_H

#include <stddef.h>

/**
 * struct score_sample - the clock at one instant
 * @at_s: since the first stamp [s]
 * @err_us: clock minus truth [us]
 * @bound_us: error bound in force [us]
 */
struct score_sample {
	double	at_s;
	double	err_us;
	double	bound_us;
};

/**
 * struct score_run - samples of one run, in order of time
 * @s: array
 * @n: samples in it
 * @room: size of the array
 * @min_rtt_us: smallest round-trip time among the stamps [us]
 */
struct score_run {
	struct score_sample	*s;
	size_t			n;
	size_t			room;
	double			min_rtt_us;
};

/**
 * struct score - statistics over a window; microseconds
 * @n: samples
 * @median: of the absolute error
 * @iqr: interquartile range of the signed error
 * @p99: of the absolute error
 * @max: of the absolute error
 * @bias: median of the signed error
 * @covered: part of the samples whose error is within the bound
 * @bound: median bound
 */
struct score {
	size_t	n;
	double	median;
	double	iqr;
	double	p99;
	double	max;
	double	bias;
	double	covered;
	double	bound;
};

/* Add a sample; exits with a message when memory is out. */
void score_add(struct score_run *run, double at_s, double err_us, double bound_us);

/* Statistics over from_s <= at_s <= to_s; all zero without samples. */
struct score score_window(const struct score_run *run, double from_s, double to_s);

/*
 * Seconds from @event_s until the error stays below @limit_us for the rest of
 * the run (up to @to_s); negative when it never does.
 */
double score_recovery(const struct score_run *run, double event_s, double to_s,
		      double limit_us);

/* Middle value of @n values; sorts them. */
double score_median(double *values, size_t n);

/* Value below which the part @p of @n values lies; sorts them. */
double score_quantile(double *values, size_t n, double p);

/* Forget the samples, keep the memory. */
void score_reset(struct score_run *run);

#endif /* SELFTESTS_SCORE_H */
