/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's own clock, as a line over its TSC.
 *
 * It is a VMClock page (/dev/ffclock's, or a file that ffclockd or anybody else
 * keeps), or, without any, the system clock: CLOCK_REALTIME paired with the TSC,
 * with the error that the kernel states.  The latter serves hosts that run chrony
 * and nothing of ours.
 */
#ifndef HOSTD_HOSTCLOCK_H
#define HOSTD_HOSTCLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compose.h"

struct hostclock;

/**
 * hostclock_open() - choose and open a clock
 * @what: "device" (/dev/ffclock), "system", a page's path, or "auto": the first
 *	of device and system that works
 * @system_bound_ns: error bound to assume for the system clock when the kernel
 *	calls it unsynchronised; 0: then it is no clock
 * @system_tai: TAI - UTC [s] where the kernel does not know it; 0: unknown
 * @why: receives a reason
 * @why_len: size of @why
 *
 * Return: the clock or NULL
 */
struct hostclock *hostclock_open(const char *what, uint64_t system_bound_ns, int system_tai,
				 char *why, size_t why_len);
void hostclock_close(struct hostclock *h);

/* For messages */
const char *hostclock_name(const struct hostclock *h);

/* A descriptor that polls readable when the clock has changed, or -1: look at times */
int hostclock_fd(const struct hostclock *h);

/**
 * hostclock_changed() - has it changed since the last hostclock_read()?
 * @h: clock
 *
 * A load and a comparison for a page.  The system clock has changed when its
 * line is older than a second, or off the clock by more than it was good for.
 */
bool hostclock_changed(struct hostclock *h);

/* Whether hostclock_changed() is a load and nothing more */
bool hostclock_cheap(const struct hostclock *h);

/**
 * hostclock_read() - the clock
 * @h: clock
 * @line: receives it
 *
 * Return: 0; -EAGAIN: not synchronised; -EBUSY: its page is being written, or
 * its rate is still being measured; -EOPNOTSUPP: its counter is not the TSC; -EPROTO: not a VMClock page
 */
int hostclock_read(struct hostclock *h, struct host_line *line);

/* The TSC; not before earlier loads, nor after later ones */
uint64_t hostclock_tsc(void);

/**
 * page_to_line() - a consistent copy of a VMClock page as a line
 * @page: the copy
 * @now: the TSC, to tell whether the page is stale
 * @line: receives the line
 *
 * Return: as hostclock_read()
 */
int page_to_line(const struct ffclock_page *page, uint64_t now, struct host_line *line);

#endif /* HOSTD_HOSTCLOCK_H */
