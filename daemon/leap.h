/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Leap seconds: a continuous time scale under a server's UTC.
 *
 * POSIX UTC repeats or omits a second; the estimator needs a scale that does
 * not.  Per server:
 *
 *	continuous = the server's UTC + applied
 *
 * where applied counts the leap seconds that went by since start (+1 for an
 * inserted one).  Pure.
 */
#ifndef FFCLOCKD_LEAP_H
#define FFCLOCKD_LEAP_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct leap - what is known of leap seconds, from one server
 * @change: seconds the pending one inserts, +1 or -1; 0: none
 * @utc_sec: first UTC second after the pending one: the month's end
 * @applied: leap seconds passed
 */
struct leap {
	int	change;
	int64_t	utc_sec;
	int	applied;
};

/**
 * leap_announce() - take note of a leap indicator
 * @l: state; zeroed at start
 * @indicator: NTP_LEAP_* of an answer
 * @utc_ns: the answer's time [ns since the Unix epoch, UTC]
 *
 * An indicator stands for the end of the present month.  It is believed once
 * it is withdrawn too, but not in the minute around the leap, where servers
 * already look ahead or behind.
 *
 * Return: true if the pending leap second changed
 */
bool leap_announce(struct leap *l, uint8_t indicator, int64_t utc_ns);

/**
 * leap_await() - expect a leap second that others have announced
 * @l: state; what it expected itself is forgotten
 * @from: whose pending leap second it is from now on
 */
void leap_await(struct leap *l, const struct leap *from);

/**
 * leap_passed() - is UTC by now the other side of the pending leap second?
 * @l: state
 * @plain_ns: UTC as it would be without it [ns]
 *
 * Return: false too if none is pending
 */
bool leap_passed(const struct leap *l, int64_t plain_ns);

/* Is its time near (a minute before) or past?  @plain_ns as in leap_passed() */
bool leap_imminent(const struct leap *l, int64_t plain_ns);

/* What became of a server's time in leap_unfold() */
enum leap_outcome {
	LEAP_QUIET,	/* nothing to tell */
	LEAP_DONE,	/* the server has applied the pending leap second */
	LEAP_NOT_DONE,	/* the server let it pass: the announcement was wrong */
};

/**
 * leap_unfold() - a server's UTC on the continuous scale
 * @l: state; a pending leap second is resolved when its time has passed
 * @utc_ns: the server's time [ns]
 * @predicted_ns: about that time on the continuous scale by the client's own
 *	clock, to better than 0.5 s; INT64_MIN if there is none
 * @out_ns: receives the continuous time
 *
 * Whether the server has applied the leap second shows in its time alone: it is
 * a second off the prediction or not.
 *
 * Return: see &enum leap_outcome
 */
enum leap_outcome leap_unfold(struct leap *l, int64_t utc_ns, int64_t predicted_ns,
			      int64_t *out_ns);

/**
 * leap_month_end() - the first second of the next month
 * @utc_sec: UTC [s]
 *
 * Return: UTC [s]; 0 for times that have no calendar
 */
int64_t leap_month_end(int64_t utc_sec);

#endif /* FFCLOCKD_LEAP_H */
