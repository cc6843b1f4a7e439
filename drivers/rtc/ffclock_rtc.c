// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_rtc: the real-time clock as a host-time source of last resort.
 *
 * Hypervisors keep the emulated CMOS clock on the host's time.  It has whole
 * seconds, so the instant at which they change is waited for, which takes a
 * second.  When that is tells little more than the second, though: QEMU starts
 * the device on a whole second, whatever fraction of the host's had passed, and
 * keeps it late by that (seen: 655 ms); and who sets it may be off by half of one.
 */
#include <linux/delay.h>
#include <linux/ffclock.h>
#include <linux/ffclock_math.h>
#include <linux/module.h>
#include <linux/rtc.h>

static char *device = "rtc0";
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "RTC to read (default rtc0); must run on UTC");

#define FFR_RATING		100

/* The RTC is looked at this often, for this long: a second and some */
#define FFR_POLL_US		1000
#define FFR_POLLS		1500

/*
 * Update-in-progress of an MC146818 lasts up to 2.2 ms, in which it may not be
 * read: the new second may be seen by that much late.
 */
#define FFR_UPDATE_NS		(2200 * NSEC_PER_USEC)

/* By what its seconds may be late */
#define FFR_PHASE_NS		NSEC_PER_SEC

/* What the host's own clock may be off by, as ffclock_kvm assumes too */
#define FFR_HOST_ERROR_NS	NSEC_PER_MSEC

static int ffr_read(struct ffclock_source *s, struct ffclock_host_time *t)
{
	struct rtc_device *rtc = rtc_class_open(device);
	u64 before, after = 0;
	time64_t first, now;
	struct rtc_time tm;
	int i, ret;

	if (!rtc)
		return -ENODEV;
	ret = rtc_read_time(rtc, &tm);
	if (ret)
		goto close;
	first = rtc_tm_to_time64(&tm);
	after = ffclock_counter(NULL);
	ret = -ETIMEDOUT;
	for (i = 0; i < FFR_POLLS; i++) {
		usleep_range(FFR_POLL_US / 2, FFR_POLL_US);
		before = after;
		ret = rtc_read_time(rtc, &tm);
		after = ffclock_counter(NULL);
		if (ret)
			goto close;
		now = rtc_tm_to_time64(&tm);
		ret = -ETIMEDOUT;
		if (now == first)
			continue;
		if (now != first + 1) {		/* set in between, or nonsense */
			ret = -EILSEQ;
			goto close;
		}
		t->counter = before + (after - before) / 2;
		t->utc.sec = now;
		t->bound_ns = abs(ffclock_diff_ns(before, after, NULL)) + FFR_UPDATE_NS +
			      FFR_PHASE_NS + FFR_HOST_ERROR_NS;
		ret = 0;
		break;
	}
close:
	rtc_class_close(rtc);
	return ret;
}

static struct ffclock_source ffr_source = {
	.name	= "rtc",
	.rating	= FFR_RATING,
	.read	= ffr_read,
	.owner	= THIS_MODULE,
};

static int __init ffr_init(void)
{
	struct rtc_device *rtc = rtc_class_open(device);

	if (!rtc)
		return -ENODEV;
	rtc_class_close(rtc);
	return ffclock_register_source(&ffr_source);
}

static void __exit ffr_exit(void)
{
	ffclock_unregister_source(&ffr_source);
}

module_init(ffr_init);
module_exit(ffr_exit);
MODULE_DESCRIPTION("The real-time clock as host time for ffclock");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
