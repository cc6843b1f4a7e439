// SPDX-License-Identifier: GPL-2.0-only
/* Leap seconds: see leap.h. */
#include <stdlib.h>
#include <time.h>

#include "leap.h"
#include "ntp_packet.h"

#define NSEC		1000000000LL

/* Around the leap, indicators say nothing reliable */
#define QUIET_SEC	60

/*
 * Resolve only when the prediction is a second past it: then an exchange under
 * way at the leap is over, and the server has made up its mind.
 */
#define SETTLE_NS	NSEC

int64_t leap_month_end(int64_t utc_sec)
{
	time_t t = (time_t)utc_sec;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return 0;
	tm.tm_mon++;
	tm.tm_mday = 1;
	tm.tm_hour = 0;
	tm.tm_min = 0;
	tm.tm_sec = 0;
	return timegm(&tm);
}

bool leap_announce(struct leap *l, uint8_t indicator, int64_t utc_ns)
{
	int change = indicator == NTP_LEAP_ADD ? 1 : indicator == NTP_LEAP_DEL ? -1 : 0;
	int64_t sec = utc_ns / NSEC, end;

	/* still to be resolved, or just about to be */
	if (l->change && sec >= l->utc_sec - QUIET_SEC)
		return false;
	if (change == l->change)
		return false;
	if (!change) {
		l->change = 0;
		l->utc_sec = 0;
		return true;
	}
	end = leap_month_end(sec);
	/* too late to prepare for, or a server that forgets to take it back */
	if (!end || sec >= end - QUIET_SEC || leap_month_end(sec - QUIET_SEC) <= sec)
		return false;
	l->change = change;
	l->utc_sec = end;
	return true;
}

void leap_await(struct leap *l, const struct leap *from)
{
	l->change = from->change;
	l->utc_sec = from->utc_sec;
}

bool leap_passed(const struct leap *l, int64_t plain_ns)
{
	/* an omitted second is the one before utc_sec */
	return l->change && plain_ns >= (l->utc_sec + (l->change < 0 ? -1 : 0)) * NSEC;
}

bool leap_imminent(const struct leap *l, int64_t plain_ns)
{
	return l->change && plain_ns >= (l->utc_sec - QUIET_SEC) * NSEC;
}

enum leap_outcome leap_unfold(struct leap *l, int64_t utc_ns, int64_t predicted_ns,
			      int64_t *out_ns)
{
	int64_t plain = utc_ns + l->applied * NSEC;
	int64_t leaped;
	bool done;

	*out_ns = plain;
	if (!l->change || predicted_ns == INT64_MIN)
		return LEAP_QUIET;
	/* the UTC that the continuous scale stands for, if there were no leap */
	if (predicted_ns - l->applied * NSEC < l->utc_sec * NSEC - SETTLE_NS)
		return LEAP_QUIET;
	leaped = plain + l->change * NSEC;
	done = llabs(leaped - predicted_ns) < llabs(plain - predicted_ns);
	if (done)
		*out_ns = leaped;
	if (predicted_ns - l->applied * NSEC < l->utc_sec * NSEC + SETTLE_NS)
		return LEAP_QUIET;

	if (done)
		l->applied += l->change;
	l->change = 0;
	l->utc_sec = 0;
	return done ? LEAP_DONE : LEAP_NOT_DONE;
}
