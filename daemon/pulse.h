/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pulses that begin seconds: which second, and whether it is one.
 *
 * Pure.  A pulse says when a second begins, to a microsecond or so, and not which;
 * the number comes from the clock that all sources make.
 */
#ifndef FFCLOCKD_PULSE_H
#define FFCLOCKD_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#include "estimator.h"

/**
 * struct pulse_train - what is known of a pulse's forerunners; zeroed at start, after a
 *	break of the counter, and when another device is opened
 * @have: the two below are valid
 * @seq: the device's number of the latest pulse
 * @counter: counter at it
 * @have_rate: @rate_ns is valid
 * @rate_ns: by how much more than a second the counter went from pulse to pulse, by its
 *	nominal period [ns/s]
 * @have_jitter: @jitter_ns is measured
 * @jitter_ns: 1 sigma of a pulse [ns]
 */
struct pulse_train {
	bool		have;
	uint32_t	seq;
	uint64_t	counter;
	bool		have_rate;
	double		rate_ns;
	bool		have_jitter;
	double		jitter_ns;
};

/**
 * struct pulse - one pulse
 * @seq: the device's number of it, modulo 2^32
 * @counter: at its stamp
 * @period_ns: nominal, the same for all pulses of a train [ns per count]
 * @late_ns: how long after the beginning of the second it is stamped: configured [ns]
 * @error_ns: bound of the error of that [ns]
 */
struct pulse {
	uint32_t	seq;
	uint64_t	counter;
	double		period_ns;
	int32_t		late_ns;
	uint32_t	error_ns;
};

/**
 * enum pulse_verdict - what it is worth
 * @PULSE_GOOD: a second begins
 * @PULSE_NONE: no pulse since the last one
 * @PULSE_TWICE: more pulses than seconds since the last one: this may be an echo
 * @PULSE_UNNUMBERED: the clock is not good enough to tell which second
 * @PULSE_OFF: by the clock no second begins here, its error considered
 */
enum pulse_verdict {
	PULSE_GOOD,
	PULSE_NONE,
	PULSE_TWICE,
	PULSE_UNNUMBERED,
	PULSE_OFF,
};

/**
 * struct pulse_second - a good pulse
 * @utc_ns: UTC when it was stamped [ns]
 * @noise_ns: 1 sigma of what pulses scatter by [ns]
 * @off_ns: how far it is from the clock [ns]; positive: the pulse came late, or the
 *	clock is ahead; valid for PULSE_OFF too
 */
struct pulse_second {
	int64_t		utc_ns;
	uint32_t	noise_ns;
	int64_t		off_ns;
};

/**
 * pulse_judge() - is it a second's beginning, and of which?
 * @t: forerunners; takes note of every pulse
 * @p: pulse
 * @map: the clock of all, as near to the pulse as it can be
 * @s: receives it
 *
 * Return: see &enum pulse_verdict
 */
enum pulse_verdict pulse_judge(struct pulse_train *t, const struct pulse *p,
			       const struct ffe_map *map, struct pulse_second *s);

#endif /* FFCLOCKD_PULSE_H */
