// SPDX-License-Identifier: GPL-2.0-only
/* Pulses: see pulse.h. */
#include <math.h>
#include <stdlib.h>

#include "pulse.h"

#define NSEC		INT64_C(1000000000)

/*
 * A pulse this far beyond the clock's bound and its own is none: an echo, the other edge,
 * a wrong offset.  Less might be a clock whose bound is not as honest as it should be,
 * which the estimator finds out; a counter that breaks by more without notice is noticed
 * (counter_user.c).
 */
#define OFF_NS		1000000

/* Beyond that many seconds since the last pulse the rate, not the jitter, is what shows */
#define JITTER_SPAN	16
/* Pulses that the jitter is a mean of */
#define JITTER_MEAN	8
/*
 * Mean magnitude of a normal error to its sigma: sqrt(pi / 2).  Of a second difference, in
 * which the counter's rate, not known well at first, cancels: / sqrt(1 + 4 + 1).
 */
#define JITTER_SIGMA	(1.2533 / 2.4495)

/* What its distance from the last one says of the scatter; returns the whole seconds between */
static uint32_t follow(struct pulse_train *t, const struct pulse *p)
{
	double apart = (double)(int64_t)(p->counter - t->counter) * p->period_ns;
	double seconds = round(apart / NSEC), rate, off;

	/* hostile or broken: nothing to learn */
	if (!(seconds >= 1 && seconds <= 1e9))
		return 0;
	if (seconds > JITTER_SPAN)
		return (uint32_t)seconds;
	rate = apart / seconds - NSEC;
	off = fabs(rate - t->rate_ns) * JITTER_SIGMA;
	t->rate_ns = rate;
	/* nothing to compare with, or an echo, which is no scatter */
	if (!t->have_rate || off > OFF_NS) {
		t->have_rate = true;
		return (uint32_t)seconds;
	}
	t->jitter_ns = t->have_jitter ? t->jitter_ns + (off - t->jitter_ns) / JITTER_MEAN : off;
	t->have_jitter = true;
	return (uint32_t)seconds;
}

enum pulse_verdict pulse_judge(struct pulse_train *t, const struct pulse *p,
			       const struct ffe_map *map, struct pulse_second *s)
{
	uint32_t pulses = p->seq - t->seq, seconds = 0;
	bool had = t->have;
	int64_t at, second;
	double bound;

	if (had && !pulses)
		return PULSE_NONE;
	if (had)
		seconds = follow(t, p);
	t->have = true;
	t->seq = p->seq;
	t->counter = p->counter;

	at = ffe_map_read(map, p->counter, NULL, &bound) - p->late_ns;
	if (at < 0)
		return PULSE_UNNUMBERED;
	second = (at + NSEC / 2) / NSEC;
	s->off_ns = at - second * NSEC;
	/* true time at the pulse is within the bound of what the clock says: one second only */
	if (!(llabs(s->off_ns) + bound + p->error_ns < NSEC / 2))
		return PULSE_UNNUMBERED;
	if (llabs(s->off_ns) > bound + p->error_ns + OFF_NS)
		return PULSE_OFF;
	if (had && pulses > seconds)
		return PULSE_TWICE;
	s->utc_ns = second * NSEC + p->late_ns;
	/* before it is known: a third of the limit */
	s->noise_ns = (uint32_t)ceil(t->have_jitter ? t->jitter_ns : p->error_ns / 3.0);
	return PULSE_GOOD;
}
