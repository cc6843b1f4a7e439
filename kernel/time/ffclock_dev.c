// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: /dev/ffclock, the page and the queries.
 *
 * Readable by everybody; what changes the clock needs CAP_SYS_TIME.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "ffclock_internal.h"

/**
 * struct ffc_file - an open /dev/ffclock
 * @seq: the page's sequence that was last read through this file
 */
struct ffc_file {
	atomic_t seq;
};

static int ffc_dev_open(struct inode *inode, struct file *file)
{
	struct ffc_file *f = kzalloc_obj(*f);

	if (!f)
		return -ENOMEM;
	atomic_set(&f->seq, ffc_page_seq());
	file->private_data = f;
	return 0;
}

static int ffc_dev_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static int ffc_dev_mmap(struct file *file, struct vm_area_struct *vma)
{
	return ffc_page_mmap(vma);
}

static ssize_t ffc_dev_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	struct ffc_file *f = file->private_data;
	struct ffclock_page page;
	ssize_t ret;

	ffc_page_copy(&page);
	ret = simple_read_from_buffer(buf, count, pos, &page, sizeof(page));
	if (ret >= 0)
		atomic_set(&f->seq, page.vmclock.seq_count);
	return ret;
}

static __poll_t ffc_dev_poll(struct file *file, poll_table *wait)
{
	struct ffc_file *f = file->private_data;

	poll_wait(file, ffc_event_wait(), wait);
	return atomic_read(&f->seq) != ffc_page_seq() ? EPOLLIN | EPOLLRDNORM : 0;
}

/* ioctls ------------------------------------------------------------------- */

static int ffc_ioc_counter(void __user *arg)
{
	struct ffclock_counter c = {};

	c.value = ffclock_counter(&c.epoch);
	return copy_to_user(arg, &c, sizeof(c)) ? -EFAULT : 0;
}

static int ffc_ioc_snapshot(void __user *arg)
{
	struct ffclock_snapshot snap;

	ffclock_snapshot(&snap);
	return copy_to_user(arg, &snap, sizeof(snap)) ? -EFAULT : 0;
}

static int ffc_ioc_getest(void __user *arg)
{
	struct ffclock_estimate est;

	ffclock_get_estimate(&est);
	return copy_to_user(arg, &est, sizeof(est)) ? -EFAULT : 0;
}

static int ffc_ioc_setest(void __user *arg)
{
	struct ffclock_estimate est;

	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	if (copy_from_user(&est, arg, sizeof(est)))
		return -EFAULT;
	return ffclock_set_estimate(&est);
}

static int ffc_ioc_read(void __user *arg)
{
	struct ffclock_reading r;
	int ret;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	if (r.clock >= FFCLOCK_NR || r.reserved[0] || r.reserved[1])
		return -EINVAL;

	switch (r.flags) {
	case FFCLOCK_READ_NOW:
		ret = ffclock_read(r.clock, &r);
		break;
	case FFCLOCK_READ_AT:
		ret = ffclock_read_at(r.clock, r.counter, &r);
		break;
	case FFCLOCK_READ_INVERSE:
		ret = ffclock_read_inverse(r.clock, r.time, &r);
		break;
	default:
		return -EINVAL;
	}
	if (ret)
		return ret;
	return copy_to_user(arg, &r, sizeof(r)) ? -EFAULT : 0;
}

static int ffc_ioc_convert(void __user *arg)
{
	struct ffclock_stamp __user *ustamp;
	struct ffclock_convert conv;
	struct ffclock_stamp stamp;
	u32 i;

	if (copy_from_user(&conv, arg, sizeof(conv)))
		return -EFAULT;
	if (conv.flags || !conv.count || conv.count > FFCLOCK_CONVERT_MAX)
		return -EINVAL;

	ustamp = u64_to_user_ptr(conv.stamps);
	for (i = 0; i < conv.count; i++, ustamp++) {
		if (copy_from_user(&stamp, ustamp, sizeof(stamp)))
			return -EFAULT;
		ffclock_realtime_to_counter(&stamp);	/* says how it went in result */
		if (copy_to_user(ustamp, &stamp, sizeof(stamp)))
			return -EFAULT;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int ffc_ioc_migration(void __user *arg)
{
	struct ffclock_migration m;
	int ret;

	if (copy_from_user(&m, arg, sizeof(m)))
		return -EFAULT;
	if (memchr_inv(m.reserved, 0, sizeof(m.reserved)))
		return -EINVAL;
	ret = ffclock_get_migration(&m);
	if (ret)
		return ret;
	return copy_to_user(arg, &m, sizeof(m)) ? -EFAULT : 0;
}

static long ffc_dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case FFCLOCK_IOC_COUNTER:
		return ffc_ioc_counter(uarg);
	case FFCLOCK_IOC_SNAPSHOT:
		return ffc_ioc_snapshot(uarg);
	case FFCLOCK_IOC_GETEST:
		return ffc_ioc_getest(uarg);
	case FFCLOCK_IOC_SETEST:
		return ffc_ioc_setest(uarg);
	case FFCLOCK_IOC_READ:
		return ffc_ioc_read(uarg);
	case FFCLOCK_IOC_CONVERT:
		return ffc_ioc_convert(uarg);
	case FFCLOCK_IOC_MIGRATION:
		return ffc_ioc_migration(uarg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations ffc_dev_fops = {
	.owner		= THIS_MODULE,
	.open		= ffc_dev_open,
	.release	= ffc_dev_release,
	.read		= ffc_dev_read,
	.poll		= ffc_dev_poll,
	.mmap		= ffc_dev_mmap,
	.unlocked_ioctl	= ffc_dev_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= default_llseek,
};

static struct miscdevice ffc_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "ffclock",
	.fops	= &ffc_dev_fops,
	.mode	= 0444,
};

/* whether this_device is there; uevents come from a work item */
static bool ffc_dev_registered;

/**
 * ffc_dev_uevent() - tell udev
 * @event: value of FFCLOCK_EVENT in the uevent
 * @sequence: value of FFCLOCK_SEQUENCE
 * @more: another NAME=VALUE, or NULL
 *
 * A "change" of /dev/ffclock.
 *
 * Context: process, sleeps.
 */
void ffc_dev_uevent(const char *event, u64 sequence, const char *more)
{
	char what[32], seq[40];
	char *env[4] = { what, seq, (char *)more };	/* ended by NULL */

	snprintf(what, sizeof(what), "FFCLOCK_EVENT=%s", event);
	snprintf(seq, sizeof(seq), "FFCLOCK_SEQUENCE=%llu", sequence);
	if (ffc_dev_registered)
		kobject_uevent_env(&ffc_misc.this_device->kobj, KOBJ_CHANGE, env);
}

int ffc_dev_init(void)
{
	int ret = misc_register(&ffc_misc);

	ffc_dev_registered = !ret;
	return ret;
}

void ffc_dev_exit(void)
{
	ffc_dev_registered = false;
	ffc_event_flush();
	misc_deregister(&ffc_misc);
}
