/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 7.x replaced ktime_get_snapshot() by ktime_get_snapshot_id(), which takes the
 * clock, and renamed the members of what it fills in.  Only tests use it; their
 * Kbuild looks into the header and says when it is the old one.
 */
#ifndef _FFCLOCK_COMPAT_LINUX_TIMEKEEPING_H
#define _FFCLOCK_COMPAT_LINUX_TIMEKEEPING_H

#include_next <linux/timekeeping.h>

#ifdef FFCLOCK_OLD_SNAPSHOT
#include <uapi/linux/time.h>

#define systime real
#define monoraw raw

/* the old one knows CLOCK_REALTIME (and BOOTTIME) only */
static inline void ktime_get_snapshot_id(clockid_t id, struct system_time_snapshot *snap)
{
	WARN_ON_ONCE(id != CLOCK_REALTIME);
	ktime_get_snapshot(snap);
}
#endif
#endif /* _FFCLOCK_COMPAT_LINUX_TIMEKEEPING_H */
