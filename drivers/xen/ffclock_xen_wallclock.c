// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_xen: Xen's wallclock as a source of the host's time.
 *
 * UTC at the hypervisor's start, to which the kernel adds Xen system time.  Dom0
 * sets it when its own time is set, and every 11 minutes; in between it does not
 * follow Dom0's slews.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/time64.h>

#include <asm/x86_init.h>

#include "ffclock_xen.h"

#define FFX_WALLCLOCK_RATING	300

/*
 * Between two of Dom0's settings, 11 min apart, its time parts from Xen's by at
 * most what NTP may slew, 500 ppm: 0.33 s.  Twice that, because a setting of
 * less than a second is itself a slew for some daemons.
 */
#define FFX_WALLCLOCK_NS	(660 * NSEC_PER_MSEC)

static int ffx_wallclock_read(struct ffclock_source *s, struct ffclock_host_time *t)
{
	struct timespec64 now;
	u64 before, after;

	before = ffclock_counter(NULL);
	x86_platform.get_wallclock(&now);
	after = ffclock_counter(NULL);
	if (now.tv_sec <= 0 || now.tv_sec > FFCLOCK_RECORD_MAX_SEC)
		return -ERANGE;
	t->counter = before + (after - before) / 2;
	t->utc.sec = now.tv_sec;
	t->utc.frac = ffclock_ns_to_frac(now.tv_nsec);
	t->bound_ns = FFX_WALLCLOCK_NS + abs(ffclock_diff_ns(before, after, NULL));
	return 0;
}

static struct ffclock_source ffx_wallclock = {
	.name	= "xen-wallclock",
	.rating	= FFX_WALLCLOCK_RATING,
	.read	= ffx_wallclock_read,
	.owner	= THIS_MODULE,
};

int ffx_wallclock_init(void)
{
	return ffclock_register_source(&ffx_wallclock);
}

void ffx_wallclock_exit(void)
{
	ffclock_unregister_source(&ffx_wallclock);
}
