// SPDX-License-Identifier: MIT
/*
 * ffclock run: CLOCK_REALTIME, CLOCK_TAI and what is made of them, from the page.
 *
 * Preloaded into programs that know nothing of feed-forward clocks.  Reads take
 * no lock, no memory and no system call, so they are what the functions that they
 * stand for are: safe in threads, signal handlers and after fork().  While the
 * page's clock is not synchronised, or there is no page, the C library's own
 * functions answer, and so do they for all other clocks.
 *
 * No file stays open: programs close what they do not know, and would have given
 * the number to another file by then.  The mapping is all that is needed.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "ffclock.h"

/*
 * Written once, by the constructor, before there are threads.  Whoever comes
 * earlier (other libraries' constructors, an allocator that dlsym() calls) finds
 * NULL and gets a system call: there is nothing here to recurse into.
 */
static struct ffclock *page;
static int (*real_gettime)(clockid_t id, struct timespec *ts);
static int (*real_gettimeofday)(struct timeval *tv, void *tz);

static __attribute__((constructor)) void preload_init(void)
{
	const char *path = secure_getenv("FFCLOCK_PAGE");
	struct ffclock *h;

	real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	real_gettimeofday = dlsym(RTLD_NEXT, "gettimeofday");
	if (!ffclock_open_page(&h, path && *path ? path : FFCLOCK_DEV))
		page = h;
}

static inline int fallback(clockid_t id, struct timespec *ts)
{
	return real_gettime ? real_gettime(id, ts) : (int)syscall(SYS_clock_gettime, id, ts);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	/* a time is an address that is written to, or a fault as of the kernel */
	if (id == CLOCK_REALTIME && page && !ffclock_gettime_synchronized(page, FFCLOCK_UTC, ts))
		return 0;
	if (id == CLOCK_TAI && page && !ffclock_gettime_synchronized(page, FFCLOCK_TAI, ts))
		return 0;
	return fallback(id, ts);
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;

	/* declared not to be NULL, which does not keep anybody from it */
	__asm__("" : "+r" (tv));
	/* the time zone is the kernel's matter, and nobody asks for it any more */
	if (tz || !tv || !page || ffclock_gettime_synchronized(page, FFCLOCK_UTC, &ts)) {
		if (real_gettimeofday)
			return real_gettimeofday(tv, tz);
		return (int)syscall(SYS_gettimeofday, tv, tz);
	}
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *where)
{
	struct timespec ts;

	if (!page || ffclock_gettime_synchronized(page, FFCLOCK_UTC, &ts))
		fallback(CLOCK_REALTIME, &ts);
	if (where)
		*where = ts.tv_sec;
	return ts.tv_sec;
}

int timespec_get(struct timespec *ts, int base)
{
	if (base != TIME_UTC)
		return 0;
	return clock_gettime(CLOCK_REALTIME, ts) ? 0 : base;
}
