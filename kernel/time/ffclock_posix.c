// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: the clocks as dynamic POSIX clocks, for clock_gettime() and friends.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/posix-clock.h>
#include <linux/slab.h>
#include <linux/timex.h>

#include "ffclock_internal.h"

/**
 * struct ffc_posix - one of the clocks
 * @pc: the clock
 * @id: which
 *
 * The platform data of its device, which frees it.
 */
struct ffc_posix {
	struct posix_clock	pc;
	enum ffclock_id		id;
};

static const char * const ffc_posix_names[FFCLOCK_NR] = {
	[FFCLOCK_UTC]	= "ffclock_utc",
	[FFCLOCK_TAI]	= "ffclock_tai",
	[FFCLOCK_MONO]	= "ffclock_mono",
	[FFCLOCK_DIFF]	= "ffclock_diff",
};

static struct ffc_posix *ffc_posix[FFCLOCK_NR];
static dev_t ffc_posix_devt;

/*
 * Asked for the node's name before there is one.  posix_clock_register() sets the
 * cdev's owner and the clock's device when anybody can open it already: who does so
 * at that moment takes no references and gives them back when he closes (seen under
 * readers: BUG in delete_module(), underflow of the device's count).  So they are
 * set here, where cdev_init() is over.
 */
static char *ffc_posix_devnode(const struct device *dev, umode_t *mode)
{
	struct ffc_posix *clk = dev_get_platdata(dev);

	clk->pc.cdev.owner = THIS_MODULE;
	clk->pc.dev = (struct device *)dev;
	if (mode)
		*mode = 0444;
	return NULL;
}

static struct class *ffc_posix_class;

static int ffc_posix_gettime(struct posix_clock *pc, struct timespec64 *ts)
{
	ffclock_get_ts64(container_of(pc, struct ffc_posix, pc)->id, ts);
	return 0;
}

static int ffc_posix_getres(struct posix_clock *pc, struct timespec64 *ts)
{
	struct ffclock_estimate est;
	struct ffclock_time t;

	/* one count, rounded up to whole ns: a timespec has no finer */
	ffclock_get_estimate(&est);
	t = ffclock_scale(1, est.period, est.period_shift);
	ts->tv_sec = 0;
	ts->tv_nsec = ffclock_frac_to_ns(t.frac) + 1;
	return 0;
}

static int ffc_posix_settime(struct posix_clock *pc, const struct timespec64 *ts)
{
	return -EOPNOTSUPP;
}

/* Deviation of the counter's period from nominal as a timex frequency */
static long ffc_timex_freq(const struct ffclock_estimate *est)
{
	u64 nominal, period;
	unsigned long flags;
	u32 shift;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	ffc_counter_nominal(&nominal, &shift);
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	if (shift) {	/* a bit to spare for a longer period than nominal */
		nominal >>= 1;
		shift--;
	}
	period = ffclock_period_rescale(est->period, est->period_shift, shift);
	/*
	 * Within 10 %: the difference is below 2^61, so that 1e6 * 2^16 of it,
	 * divided by nominal, takes the 128-bit way.
	 */
	if (period >= nominal)
		return ffclock_udiv128(ffclock_mulhi(period - nominal, 1000000ULL << 16),
				       (period - nominal) * (1000000ULL << 16), nominal, NULL);
	return -(long)ffclock_udiv128(ffclock_mulhi(nominal - period, 1000000ULL << 16),
				      (nominal - period) * (1000000ULL << 16), nominal, NULL);
}

/* ns to the us that a timex has for errors, up to the kernel's own limit */
static long ffc_timex_error(u64 ns)
{
	if (ns > FFCLOCK_TIMEX_ERROR_MAX * 1000ULL)
		return FFCLOCK_TIMEX_ERROR_MAX;
	return div_u64(ns + 999, 1000);
}

static int ffc_posix_adjtime(struct posix_clock *pc, struct __kernel_timex *tx)
{
	struct ffc_posix *clk = container_of(pc, struct ffc_posix, pc);
	struct ffclock_reading now;
	struct ffclock_estimate est;

	if (tx->modes)
		return -EOPNOTSUPP;

	ffclock_read(clk->id, &now);
	ffclock_get_estimate(&est);
	memset(tx, 0, sizeof(*tx));
	tx->status = STA_NANO;
	if (now.status != FFCLOCK_STATUS_SYNCHRONIZED)
		tx->status |= STA_UNSYNC;
	if (est.leap_change)
		tx->status |= est.leap_change > 0 ? STA_INS : STA_DEL;
	tx->freq = ffc_timex_freq(&est);
	tx->maxerror = ffc_timex_error(now.bound_ns);
	tx->esterror = ffc_timex_error(est.esterror_ns);
	tx->precision = 1;
	tx->tolerance = MAXFREQ_SCALED / PPM_SCALE;
	tx->tick = USEC_PER_SEC / USER_HZ;
	tx->tai = est.tai_offset_sec;
	tx->time.tv_sec = now.time.sec;
	tx->time.tv_usec = ffclock_frac_to_ns(now.time.frac);	/* ns: STA_NANO */
	return now.status == FFCLOCK_STATUS_SYNCHRONIZED ? TIME_OK : TIME_ERROR;
}

static const struct posix_clock_operations ffc_posix_ops = {
	.owner		= THIS_MODULE,
	.clock_gettime	= ffc_posix_gettime,
	.clock_getres	= ffc_posix_getres,
	.clock_settime	= ffc_posix_settime,
	.clock_adjtime	= ffc_posix_adjtime,
};

/*
 * The last reference to a device, or to the class, may be given back when we are
 * unloaded (seen with DEBUG_KOBJECT_RELEASE: a call into the module that was).  So
 * what happens then must be the kernel's code, not ours: the class is one of
 * class_create(), and the devices are allocated as platform devices, whose release
 * frees their platform data too; nothing else of a platform device is used.
 */
static int ffc_posix_add(enum ffclock_id id)
{
	struct platform_device *pdev = platform_device_alloc("ffclock", id);
	struct ffc_posix *clk;
	struct device *dev;
	int ret = -ENOMEM;

	if (!pdev)
		return ret;
	dev = &pdev->dev;
	clk = kzalloc_obj(*clk);
	if (!clk)
		goto put;
	dev->platform_data = clk;
	clk->id = id;
	clk->pc.ops = ffc_posix_ops;
	dev->class = ffc_posix_class;
	dev->devt = MKDEV(MAJOR(ffc_posix_devt), id);
	ret = dev_set_name(dev, "%s", ffc_posix_names[id]);
	if (!ret)
		ret = posix_clock_register(&clk->pc, dev);
	if (ret)
		goto put;
	ffc_posix[id] = clk;
	return 0;
put:
	put_device(&pdev->dev);
	return ret;
}

void ffc_posix_exit(void)
{
	int id;

	for (id = 0; id < FFCLOCK_NR; id++) {
		if (ffc_posix[id])
			posix_clock_unregister(&ffc_posix[id]->pc);
		ffc_posix[id] = NULL;
	}
	class_destroy(ffc_posix_class);
	unregister_chrdev_region(ffc_posix_devt, FFCLOCK_NR);
}

int ffc_posix_init(void)
{
	int ret, id;

	ret = alloc_chrdev_region(&ffc_posix_devt, 0, FFCLOCK_NR, "ffclock");
	if (ret)
		return ret;
	ffc_posix_class = class_create("ffclock");
	if (IS_ERR(ffc_posix_class)) {
		unregister_chrdev_region(ffc_posix_devt, FFCLOCK_NR);
		return PTR_ERR(ffc_posix_class);
	}
	ffc_posix_class->devnode = ffclock_devnode(ffc_posix_devnode);
	for (id = 0; id < FFCLOCK_NR; id++) {
		ret = ffc_posix_add(id);
		if (ret) {
			ffc_posix_exit();
			return ret;
		}
	}
	return 0;
}
