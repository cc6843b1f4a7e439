// SPDX-License-Identifier: GPL-2.0-only
/*
 * A PTP hardware clock (/dev/ptpN) as a stamp source: of a network card, of the
 * host (ptp_kvm, ptp_vmclock), of a test.
 *
 * The kernel reads CLOCK_REALTIME, the device, CLOCK_REALTIME again.  The two stamps
 * become counter readings, and the whole is an exchange with a server that answers
 * at once:
 *
 *	ta (system)   tb = te (device)   tf (system)
 *
 * Three ways, the best that the device has:
 *
 *	precise		the device was latched with the counter by hardware: one
 *			instant
 *	extended	system clock right before and after the reading of the device's
 *			lowest register
 *	basic		around the whole access
 *
 * Of several readings the quickest is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/ptp_clock.h>

#include "log.h"
#include "source_local.h"
#include "tai.h"

#define NSEC		INT64_C(1000000000)
#define SAMPLES		10
/* A precise pair is one instant; half a width for the estimator, which wants two [ns] */
#define PRECISE_HALF_NS	20

enum method {
	PRECISE,
	EXTENDED,
	BASIC,
	N_METHODS,
};

static const char *const method_names[] = { "precise", "extended", "basic" };

struct phc {
	struct local	local;
	enum method	method;
};

/* One reading: system clock before and after [ns], device [ns] */
struct reading {
	int64_t	before;
	int64_t	device;
	int64_t	after;
};

static int64_t to_ns(const struct ptp_clock_time *t)
{
	return t->sec * NSEC + t->nsec;
}

static int read_precise(int fd, struct reading *r)
{
	struct ptp_sys_offset_precise p = { 0 };

	if (ioctl(fd, PTP_SYS_OFFSET_PRECISE, &p))
		return -errno;
	r->before = to_ns(&p.sys_realtime);
	r->after = r->before;
	r->device = to_ns(&p.device);
	return 0;
}

static void take_quicker(struct reading *r, const struct ptp_clock_time *a,
			 const struct ptp_clock_time *d, const struct ptp_clock_time *b)
{
	int64_t before = to_ns(a), after = to_ns(b);

	if (after < before || after - before >= r->after - r->before)
		return;
	r->before = before;
	r->device = to_ns(d);
	r->after = after;
}

static int read_extended(int fd, struct reading *r)
{
	struct ptp_sys_offset_extended x = { .n_samples = SAMPLES };
	unsigned int i;

	if (ioctl(fd, PTP_SYS_OFFSET_EXTENDED, &x))
		return -errno;
	for (i = 0; i < SAMPLES; i++)
		take_quicker(r, &x.ts[i][0], &x.ts[i][1], &x.ts[i][2]);
	return 0;
}

static int read_basic(int fd, struct reading *r)
{
	struct ptp_sys_offset x = { .n_samples = SAMPLES };
	unsigned int i;

	if (ioctl(fd, PTP_SYS_OFFSET, &x))
		return -errno;
	for (i = 0; i < SAMPLES; i++)
		take_quicker(r, &x.ts[2 * i], &x.ts[2 * i + 1], &x.ts[2 * i + 2]);
	return 0;
}

/* By the present method, or the next that the device has */
static int read_device(struct phc *p, struct reading *r)
{
	static int (*const ways[])(int fd, struct reading *r) = {
		read_precise, read_extended, read_basic,
	};
	int err = -EOPNOTSUPP;

	for (; p->method < N_METHODS; p->method++) {
		*r = (struct reading){ .after = INT64_MAX };
		err = ways[p->method](p->local.fd, r);
		if (!err)
			return r->after == INT64_MAX ? -EAGAIN : 0;
		/* only "cannot" leads to another way; what else fails may pass */
		if (err != -EOPNOTSUPP && err != -ENOTTY && err != -EINVAL)
			return err;
	}
	p->method = PRECISE;
	return err;
}

static int compare(struct phc *p, struct source_stamp *st)
{
	struct counter_mark a, b;
	struct reading r;
	int err, tai;

	err = counter_mark(p->local.counter, &a);
	if (!err)
		err = read_device(p, &r);
	if (!err)
		err = counter_mark(p->local.counter, &b);
	if (!err)
		err = local_invert(&p->local, &a, &b, r.before, r.after,
				   p->method == PRECISE ? PRECISE_HALF_NS : 0, &st->ffe);
	if (err)
		return err;
	if (p->local.cfg->tai) {
		tai = tai_offset(r.device / NSEC);
		if (!tai)
			return -ENODATA;
		r.device -= tai * NSEC;
	}
	st->ffe.tb = r.device;
	st->ffe.te = r.device;
	st->ffe.root_disp_ns = p->local.cfg->error_ns;
	st->ffe.stratum = 1;
	st->epoch = b.epoch;
	st->tx_kernel = true;
	st->rx_kernel = true;
	return 0;
}

static int open_device(struct phc *p)
{
	p->local.fd = open(p->local.cfg->name, O_RDONLY | O_CLOEXEC);
	p->method = p->local.cfg->phc_basic ? BASIC : PRECISE;
	return p->local.fd < 0 ? -errno : 0;
}

static void measure(void *arg)
{
	struct phc *p = arg;
	struct local *l = &p->local;
	enum method was = p->method;
	struct source_stamp st = { 0 };
	int err;

	if (l->fd < 0) {
		err = open_device(p);
		if (err) {
			local_absent(l, err, "");
			return;
		}
	}
	loop_timer_set(l->loop, &l->next, local_begin(l));
	err = compare(p, &st);
	if (err) {
		if (err == -ENODEV) {
			close(l->fd);
			l->fd = -1;
		}
		local_failed(l, err,
			     err == -ENODATA ? ": TAI - UTC is not known (install tzdata)" :
			     err == -EOPNOTSUPP ? ": it cannot be compared with the system clock" :
			     "");
		return;
	}
	if (!l->count.good || l->silent || p->method != was)
		log_info("phc %s: %s comparison, window %lld ns", l->cfg->name,
			 method_names[p->method], (long long)((double)(st.ffe.tf - st.ffe.ta) *
			 counter_period_ns(l->counter)));
	local_stamp(l, &st);
}

static const struct source_ops phc_ops = {
	.kind		= "phc",
	.start		= local_start,
	.burst		= local_burst,
	.restart	= local_restart,
	.pace		= local_pace,
	.report		= local_report,
	.destroy	= local_destroy,
};

struct source *source_phc_new(const struct config_source *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink)
{
	struct phc *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	local_init(&p->local, &phc_ops, cfg, counter, loop, sink, measure, "PHC");
	/* now, while there are the privileges that the device may need; measure() says why not */
	open_device(p);
	return &p->local.base;
}
