/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several sources, one clock: an estimator for each source, selection, leap
 * seconds by majority, combination.
 *
 * Pure: no I/O, no timers, no clock of the system's; counters and stamps in,
 * a function of the counter out.  The simulator runs it as the daemon does.
 *
 *	stamp -> leap seconds removed -> estimator --+
 *	stamp -> leap seconds removed -> estimator --+-> selection -> combination
 */
#ifndef FFCLOCKD_ENSEMBLE_H
#define FFCLOCKD_ENSEMBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "estimator.h"
#include "leap.h"

#define ENSEMBLE_MAX	16

struct ensemble;

/**
 * enum ens_state - what a source counts for
 * @ENS_NO_CLOCK: it has not given a clock (yet, or since a restart)
 * @ENS_UNREACHABLE: it does not answer
 * @ENS_DISTANT: its error bound is beyond the limit
 * @ENS_UNDECIDED: there is no majority, and the clock so far speaks against it
 * @ENS_FALSE: outvoted: its interval does not contain the time of the majority
 * @ENS_NOT_WANTED: it agrees, but is only to be watched (noselect), or others
 *	are preferred
 * @ENS_AGREES: it agrees and is too wide to add anything
 * @ENS_USED: it is part of the clock
 */
enum ens_state {
	ENS_NO_CLOCK,
	ENS_UNREACHABLE,
	ENS_DISTANT,
	ENS_UNDECIDED,
	ENS_FALSE,
	ENS_NOT_WANTED,
	ENS_AGREES,
	ENS_USED,
};

/**
 * struct ens_config - facts, given once
 * @nominal_period_ns: of the counter [ns]
 * @max_distance_ns: largest error bound of a usable source [ns]
 * @min_sources: so many must agree before there is a clock; 0 takes 1
 */
struct ens_config {
	double		nominal_period_ns;
	double		max_distance_ns;
	unsigned int	min_sources;
};

/**
 * struct ens_source - one source
 * @poll_min_s: as &ffe_config.poll_min_s
 * @poll_max_s: likewise
 * @prior: rate known from an earlier run, or NULL; used during the call only
 * @prefer: while it agrees with the majority, only such sources make the clock
 * @trust: while such sources have clocks, only they vote
 * @noselect: watch it only
 * @numbered: it tells where a second begins, and the clock of all which one: whole
 *	seconds of its time are nobody's word.  It has no vote, unless nobody else is
 *	left, and none on leap seconds
 */
struct ens_source {
	double				poll_min_s;
	double				poll_max_s;
	const struct ffe_prior		*prior;
	bool				prefer;
	bool				trust;
	bool				noselect;
	bool				numbered;
};

/* What a stamp did, beside FFE_EV_*; bits */
#define ENS_EV_LEAP_ANNOUNCED	(1u << 0)	/* a majority announces one now, or withdrew it */
#define ENS_EV_LEAP_DONE	(1u << 1)	/* this source has applied it */
#define ENS_EV_LEAP_NOT_DONE	(1u << 2)	/* this source let it pass */
#define ENS_EV_LEAP_OVER	(1u << 3)	/* a majority has applied it, or let it pass */

/**
 * struct ens_stamp_result - what became of a stamp
 * @used: the stamp as the estimator got it, leap seconds removed
 * @map: the source's own clock after it, on its continuous scale
 * @events: FFE_EV_* bits
 * @leap: ENS_EV_* bits
 */
struct ens_stamp_result {
	struct ffe_stamp	used;
	struct ffe_map		map;
	uint32_t		events;
	uint32_t		leap;
};

/**
 * struct ens_clock - the clock
 * @map: in UTC, without a leap second that is still pending
 * @leap_change: pending leap second: +1, -1 or 0
 * @leap_utc_sec: first UTC second after it [s]
 * @leader: the source with most weight; of those used last when none is
 * @used: sources that are part of it now
 * @disputed: no majority agrees on the time: the clock runs on with those that
 *	fit it so far, or by itself, and the bound covers what everybody says
 * @moved: it was set anew since the last call, not refined
 */
struct ens_clock {
	struct ffe_map	map;
	int		leap_change;
	int64_t		leap_utc_sec;
	unsigned int	leader;
	unsigned int	used;
	bool		disputed;
	bool		moved;
};

/**
 * struct ens_look - one source, for tracking output
 * @state: see &enum ens_state
 * @weight: part of it in the clock, 0 to 1
 * @has_clock: the members below are valid
 * @offset_ns: its clock minus the clock of all [ns]; positive: it is ahead
 * @bound_ns: error bound of its own clock [ns]
 * @map: its own clock at the reading asked for, in UTC
 * @leap_vote: leap second it announces
 */
struct ens_look {
	enum ens_state	state;
	double		weight;
	bool		has_clock;
	double		offset_ns;
	double		bound_ns;
	struct ffe_map	map;
	int		leap_vote;
};

/**
 * ens_new() - an ensemble without sources
 * @cfg: facts; copied
 *
 * Return: NULL when out of memory or a value is out of its range
 */
struct ensemble *ens_new(const struct ens_config *cfg);
void ens_free(struct ensemble *e);

/**
 * ens_add() - another source
 * @e: ensemble
 * @s: see there
 *
 * Return: its number; -ENOSPC, -ENOMEM, -EINVAL (a value the estimator refuses)
 */
int ens_add(struct ensemble *e, const struct ens_source *s);

/**
 * ens_stamp() - a source has made a comparison
 * @e: ensemble
 * @i: source
 * @s: it; times in UTC as the source tells it
 * @r: receives what became of it
 */
void ens_stamp(struct ensemble *e, unsigned int i, const struct ffe_stamp *s,
	       struct ens_stamp_result *r);

/**
 * ens_pace() - is it asked often enough?
 * @e: ensemble
 * @i: source
 * @r: what became of its last stamp
 * @interval_s: present interval between its stamps [s]
 *
 * The interval may become twice as long while that leaves ENS_WINDOW_STAMPS
 * stamps in the averaging window: with fewer the oscillator's wander, not the
 * path, makes the error.  (Simulated, one near server and three far ones: 4, 8
 * and 16 stamps give 2.1, 1.4 and 0.95 us, and 60, 30 and 18 us, at mean
 * intervals of 65, 31 and 16 s, and 724, 257 and 114 s.)
 *
 * Return: +1: less often will do, 0: it is right, -1: more often
 */
int ens_pace(const struct ensemble *e, unsigned int i, const struct ens_stamp_result *r,
	     double interval_s);
#define ENS_WINDOW_STAMPS	8

/* Does source @i answer at present?  Not known: yes */
void ens_set_reachable(struct ensemble *e, unsigned int i, bool reachable);

/* Source @i now is another server or path: keep its clock, forget the path */
void ens_source_moved(struct ensemble *e, unsigned int i);

/**
 * ens_restart() - the counter broke: every source starts over
 * @e: ensemble
 * @why: as ffe_restart()
 */
void ens_restart(struct ensemble *e, const struct ffe_restart *why);

/**
 * ens_update() - select and combine
 * @e: ensemble
 * @counter: present reading, not before any stamp's
 * @out: receives the clock
 *
 * At first, and after a restart, a clock is given when more than half of the
 * sources have one, or ENS_PATIENCE_S after the first had: the quickest to
 * answer need not be the truest.
 *
 * Return: 0, or -EAGAIN while there is no clock
 */
int ens_update(struct ensemble *e, uint64_t counter, struct ens_clock *out);
#define ENS_PATIENCE_S	4.0

/**
 * ens_clock_at() - the clock of the last update, moved to a later reading
 * @e: ensemble
 * @counter: reading
 * @out: as in ens_update(), @out->moved is false
 *
 * Return: 0, or -EAGAIN while there is no clock
 */
int ens_clock_at(const struct ensemble *e, uint64_t counter, struct ens_clock *out);

/* How source @i stands at @counter, as of the last update */
void ens_look_at(const struct ensemble *e, unsigned int i, uint64_t counter, struct ens_look *l);

/* The estimator of source @i, for ffe_tracking() and ffe_save_prior() */
const struct ffe *ens_estimator(const struct ensemble *e, unsigned int i);

/* "used", "outvoted": for output */
const char *ens_state_name(enum ens_state state);

#endif /* FFCLOCKD_ENSEMBLE_H */
