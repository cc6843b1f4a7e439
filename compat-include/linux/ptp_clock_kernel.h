/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 7.x lets the caller of getcrosststamp() choose the system clock (clock_id) and
 * renamed sys_realtime to sys_systime.  Kbuild looks into the header and says
 * when it is the old one.
 */
#ifndef _FFCLOCK_COMPAT_LINUX_PTP_CLOCK_KERNEL_H
#define _FFCLOCK_COMPAT_LINUX_PTP_CLOCK_KERNEL_H

#include <linux/timekeeping.h>
#include_next <linux/ptp_clock_kernel.h>
#include <uapi/linux/ffclock.h>

/*
 * The system's side of a cross timestamp, from a snapshot.  0, or -EOPNOTSUPP for
 * a clock that snapshots do not have.
 */
static inline int ffclock_crosststamp_fill(struct system_device_crosststamp *xt,
					   const struct ffclock_snapshot *snap)
{
#ifdef FFCLOCK_OLD_CROSSTSTAMP
	xt->sys_realtime = ns_to_ktime(snap->realtime_ns);
#else
	switch (xt->clock_id) {
	case CLOCK_REALTIME:
		xt->sys_systime = ns_to_ktime(snap->realtime_ns);
		break;
	case CLOCK_MONOTONIC:
		xt->sys_systime = ns_to_ktime(snap->monotonic_ns);
		break;
	case CLOCK_MONOTONIC_RAW:
		xt->sys_systime = ns_to_ktime(snap->raw_ns);
		break;
	case CLOCK_BOOTTIME:
		xt->sys_systime = ns_to_ktime(snap->boottime_ns);
		break;
	case CLOCK_TAI:
		xt->sys_systime = ns_to_ktime(snap->tai_ns);
		break;
	default:
		return -EOPNOTSUPP;
	}
#endif
	xt->sys_monoraw = ns_to_ktime(snap->raw_ns);
	return 0;
}
#endif /* _FFCLOCK_COMPAT_LINUX_PTP_CLOCK_KERNEL_H */
