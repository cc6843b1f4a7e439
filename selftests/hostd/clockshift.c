// SPDX-License-Identifier: GPL-2.0-only
/*
 * Another host's wall clock: CLOCK_REALTIME is CLOCKSHIFT_NS ahead.
 *
 * CLOCK_REALTIME has no namespaces, so a second host on one machine needs this in
 * LD_PRELOAD: its QEMU stamps its events by it, and its daemons read it.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NSEC	1000000000LL

static long long shift_ns(void)
{
	static long long shift;
	static int known;

	if (!known) {
		const char *text = getenv("CLOCKSHIFT_NS");

		shift = text ? atoll(text) : 0;
		known = 1;
	}
	return shift;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	long ret = syscall(SYS_clock_gettime, id, ts);
	long long ns;

	if (ret || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return (int)ret;
	ns = ts->tv_nsec + shift_ns() % NSEC;
	ts->tv_sec += shift_ns() / NSEC + (ns >= NSEC) - (ns < 0);
	ts->tv_nsec = (long)((ns + NSEC) % NSEC);
	return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
