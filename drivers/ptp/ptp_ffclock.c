// SPDX-License-Identifier: GPL-2.0-only
/*
 * ptp_ffclock: the feed-forward clock as a PTP hardware clock.
 *
 * For programs that know PHCs and not ffclock: chronyd's "refclock PHC",
 * phc2sys, ptp4l's tools.  Shows TAI, as PHCs do.  Read-only: whoever
 * synchronises ffclock does so through /dev/ffclock.
 *
 * A PHC has no way to say that its time is not good, so reading fails instead
 * while it is not.
 */
#include <linux/err.h>
#include <linux/ffclock.h>
#include <linux/ffclock_math.h>
#include <linux/module.h>
#include <linux/ptp_clock_kernel.h>

/*
 * A program that follows a PHC does not learn its error bound.  The default lets
 * pass what NTP reaches over any usable path (half the round trip, and what the
 * server says of itself); a clock in holdover at 10^-7 s/s gets there in days.
 */
static unsigned int max_error_us = 100000;
module_param(max_error_us, uint, 0644);
MODULE_PARM_DESC(max_error_us,
		 "reading fails while the error bound is larger, in us (default 100000; 0: no limit)");

static struct ptp_clock *ffp_clock;

/* Is this a reading of TAI that somebody may follow?  0 or -ENODATA */
static int ffp_check(const struct ffclock_reading *r)
{
	u64 limit = (u64)READ_ONCE(max_error_us) * NSEC_PER_USEC;
	struct ffclock_estimate est;

	if (r->status != FFCLOCK_STATUS_SYNCHRONIZED && r->status != FFCLOCK_STATUS_FREERUNNING)
		return -ENODATA;
	if (r->bound_ns == FFCLOCK_BOUND_UNKNOWN || (limit && r->bound_ns > limit))
		return -ENODATA;
	/* the difference between UTC and TAI does not go away once it is known */
	ffclock_get_estimate(&est);
	return est.tai_offset_sec ? 0 : -ENODATA;
}

static int ffp_gettimex(struct ptp_clock_info *info, struct timespec64 *ts,
			struct ptp_system_timestamp *sts)
{
	struct ffclock_reading r;
	int ret;

	ptp_read_system_prets(sts);
	ret = ffclock_read(FFCLOCK_TAI, &r);
	ptp_read_system_postts(sts);
	if (!ret)
		ret = ffp_check(&r);
	if (!ret)
		*ts = ns_to_timespec64(ffclock_time_to_ns(r.time));
	return ret;
}

/* All of one counter reading, so there is nothing to interpolate */
static int ffp_getcrosststamp(struct ptp_clock_info *info, struct system_device_crosststamp *xt)
{
	struct ffclock_snapshot snap;
	struct ffclock_reading r;
	int ret;

	ffclock_snapshot(&snap);
	ret = ffclock_read_at(FFCLOCK_TAI, snap.counter, &r);
	if (!ret && r.epoch != snap.epoch)
		ret = -EAGAIN;		/* a new epoch began just now */
	if (!ret)
		ret = ffp_check(&r);
	if (!ret)
		ret = ffclock_crosststamp_fill(xt, &snap);
	if (!ret)
		xt->device = ns_to_ktime(ffclock_time_to_ns(r.time));
	return ret;
}

static int ffp_adjfine(struct ptp_clock_info *info, long scaled_ppm)
{
	return -EOPNOTSUPP;
}

static int ffp_adjtime(struct ptp_clock_info *info, s64 delta)
{
	return -EOPNOTSUPP;
}

static int ffp_settime(struct ptp_clock_info *info, const struct timespec64 *ts)
{
	return -EOPNOTSUPP;
}

static int ffp_enable(struct ptp_clock_info *info, struct ptp_clock_request *request, int on)
{
	return -EOPNOTSUPP;
}

static struct ptp_clock_info ffp_info = {
	.owner		= THIS_MODULE,
	.name		= "ffclock",
	.adjfine	= ffp_adjfine,
	.adjtime	= ffp_adjtime,
	.settime64	= ffp_settime,
	.gettimex64	= ffp_gettimex,
	.getcrosststamp	= ffp_getcrosststamp,
	.enable		= ffp_enable,
};

static int __init ffp_init(void)
{
	ffp_clock = ptp_clock_register(&ffp_info, NULL);
	if (!ffp_clock)			/* a kernel without PTP */
		return -EOPNOTSUPP;
	return PTR_ERR_OR_ZERO(ffp_clock);
}

static void __exit ffp_exit(void)
{
	ptp_clock_unregister(ffp_clock);
}

module_init(ffp_init);
module_exit(ffp_exit);
MODULE_DESCRIPTION("Feed-forward clock as a PTP hardware clock");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
