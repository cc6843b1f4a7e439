// SPDX-License-Identifier: GPL-2.0-only
/* The kernel module's counter, through /dev/ffclock. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/ffclock.h>

#include "counter_internal.h"

/* Stamp inversion is exact to 2 ns (ffclock.h), the stamps are whole ns */
#define INVERT_ERR_NS	3

struct counter_device {
	struct counter	base;
	uint32_t	epoch;
	uint64_t	migration_sequence;
};

static int device_mark(struct counter *c, struct counter_mark *m)
{
	struct ffclock_snapshot snap = { 0 };

	if (ioctl(c->fd, FFCLOCK_IOC_SNAPSHOT, &snap))
		return -errno;
	m->value = snap.counter;
	m->realtime_ns = snap.realtime_ns;
	m->raw_ns = snap.raw_ns;
	m->step_ns = snap.realtime_ns - snap.monotonic_ns;
	m->err_ns = snap.flags & FFCLOCK_SNAP_F_PAIRED ? 100 : INVERT_ERR_NS;
	m->epoch = snap.epoch;
	return 0;
}

/*
 * The kernel knows every piece of CLOCK_REALTIME, steps included, so only the
 * epoch of the result matters.
 */
static int device_invert(struct counter *c, const struct counter_mark *a,
			 const struct counter_mark *b, int64_t realtime_ns, uint64_t *value,
			 uint32_t *err_ns)
{
	struct ffclock_stamp stamp = { .realtime_ns = realtime_ns };
	struct ffclock_convert conv = { .stamps = (uintptr_t)&stamp, .count = 1 };

	if (ioctl(c->fd, FFCLOCK_IOC_CONVERT, &conv))
		return -errno;
	if (stamp.result != FFCLOCK_STAMP_OK && stamp.result != FFCLOCK_STAMP_AMBIGUOUS)
		return -ERANGE;
	if (stamp.epoch != b->epoch)
		return -ESTALE;
	*value = stamp.counter;
	*err_ns = a->err_ns > b->err_ns ? a->err_ns : b->err_ns;
	return 0;
}

/* The page's state; reading it also makes poll() wait for the next change */
static int read_page(struct counter_device *d, struct ffclock_page *page)
{
	ssize_t n = pread(d->base.fd, page, sizeof(*page), 0);

	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(*page))
		return -EPROTO;
	if (page->vmclock.magic != FFCLOCK_VMCLOCK_MAGIC || page->ext.magic != FFCLOCK_EXT_MAGIC ||
	    page->ext.size < offsetof(struct ffclock_ext, reserved))
		return -EPROTO;
	return 0;
}

static unsigned int device_check(struct counter *c, char *why, size_t why_len)
{
	struct counter_device *d = (struct counter_device *)c;
	unsigned int ev = 0;
	struct ffclock_page page;

	if (read_page(d, &page))
		return 0;
	if (page.ext.epoch != d->epoch) {
		snprintf(why, why_len, "counter epoch %u follows %u", page.ext.epoch, d->epoch);
		ev |= COUNTER_EV_EPOCH;
	}
	if (page.ext.migration_sequence != d->migration_sequence) {
		snprintf(why, why_len, "migration %llu (epoch %u follows %u)",
			 (unsigned long long)page.ext.migration_sequence, page.ext.epoch, d->epoch);
		ev |= COUNTER_EV_EPOCH | COUNTER_EV_MIGRATION;
	}
	d->epoch = page.ext.epoch;
	d->migration_sequence = page.ext.migration_sequence;
	return ev;
}

static void device_close(struct counter *c)
{
	close(c->fd);
	free(c);
}

static const struct counter_ops device_ops = {
	.name	= "device",
	.mark	= device_mark,
	.invert	= device_invert,
	.check	= device_check,
	.close	= device_close,
};

struct counter *counter_device_open(char *why, size_t why_len)
{
	struct counter_device *d = calloc(1, sizeof(*d));
	struct ffclock_page page;
	int err;

	if (!d) {
		snprintf(why, why_len, "out of memory");
		return NULL;
	}
	d->base.ops = &device_ops;
	d->base.fd = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);
	if (d->base.fd < 0) {
		snprintf(why, why_len, "%s: %s%s", FFCLOCK_DEV, strerror(errno),
			 errno == ENOENT ? " (modprobe ffclock)" : "");
		goto free_counter;
	}
	err = read_page(d, &page);
	if (err) {
		snprintf(why, why_len, "%s: no page that this version understands: %s",
			 FFCLOCK_DEV, strerror(-err));
		goto close_fd;
	}
	d->epoch = page.ext.epoch;
	d->migration_sequence = page.ext.migration_sequence;
	err = counter_calibrate(&d->base);
	if (err) {
		snprintf(why, why_len, "%s: cannot measure its period: %s", FFCLOCK_DEV,
			 strerror(-err));
		goto close_fd;
	}
	return &d->base;

close_fd:
	close(d->base.fd);
free_counter:
	free(d);
	return NULL;
}
