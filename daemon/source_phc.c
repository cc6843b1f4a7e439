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
#include "source.h"
#include "tai.h"

#define NSEC		INT64_C(1000000000)
#define SAMPLES		10
/* A precise pair is one instant; half a width for the estimator, which wants two [ns] */
#define PRECISE_HALF_NS	20
/* At the start and after disruptions: readings so far apart */
#define BURST_LEN	4
#define BURST_GAP_NS	(NSEC / 4)
/* A device that went away (driver unloaded) may come again */
#define REOPEN_NS	(16 * NSEC)

enum method {
	PRECISE,
	EXTENDED,
	BASIC,
	N_METHODS,
};

static const char *const method_names[] = { "precise", "extended", "basic" };

struct phc {
	struct source			base;
	const struct config_source	*cfg;
	struct counter			*counter;
	struct loop			*loop;
	struct loop_timer		next;
	int				fd;
	enum method			method;
	int				poll;
	int				calm;
	int				burst_left;
	bool				silent;		/* said that it does not work */
	struct source_report		count;
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
		err = ways[p->method](p->fd, r);
		if (!err)
			return r->after == INT64_MAX ? -EAGAIN : 0;
		/* only "cannot" leads to another way; what else fails may pass */
		if (err != -EOPNOTSUPP && err != -ENOTTY && err != -EINVAL)
			return err;
	}
	p->method = PRECISE;
	return err;
}

/* Both stamps as counter readings.  Return: 0 or -errno */
static int invert(struct phc *p, const struct reading *r, const struct counter_mark *a,
		  const struct counter_mark *b, struct ffe_stamp *s)
{
	double period = counter_period_ns(p->counter);
	uint32_t err_a = 0, err_b = 0;
	uint64_t half;
	int err;

	err = counter_invert(p->counter, a, b, r->before, &s->ta, &err_a);
	if (!err)
		err = counter_invert(p->counter, a, b, r->after, &s->tf, &err_b);
	if (err)
		return err;
	if (p->method == PRECISE) {
		half = (uint64_t)(PRECISE_HALF_NS / period) + 1;
		s->ta -= half;
		s->tf += half;
	}
	/* limits of errors, as one sigma: a third */
	s->client_err_ns = (err_a > err_b ? err_a : err_b) / 3;
	return s->tf > s->ta ? 0 : -ERANGE;
}

static int compare(struct phc *p, struct source_stamp *st)
{
	struct counter_mark a, b;
	struct reading r;
	int err, tai;

	err = counter_mark(p->counter, &a);
	if (!err)
		err = read_device(p, &r);
	if (!err)
		err = counter_mark(p->counter, &b);
	if (err)
		return err;
	if (a.epoch != b.epoch)
		return -ESTALE;
	err = invert(p, &r, &a, &b, &st->ffe);
	if (err)
		return err;
	if (p->cfg->tai) {
		tai = tai_offset(r.device / NSEC);
		if (!tai)
			return -ENODATA;
		r.device -= tai * NSEC;
	}
	st->ffe.tb = r.device;
	st->ffe.te = r.device;
	st->ffe.root_disp_ns = p->cfg->error_ns;
	st->ffe.stratum = 1;
	st->epoch = b.epoch;
	st->tx_kernel = true;
	st->rx_kernel = true;
	return 0;
}

static void complain(struct phc *p, int err)
{
	log_msg(p->silent ? LOG_DEBUG : LOG_WARNING, "phc %s: %s%s", p->cfg->name, strerror(-err),
		err == -EACCES ? " (give ffclockd's user read access, by a udev rule)" :
		err == -ENODATA ? ": TAI - UTC is not known (install tzdata)" :
		err == -EOPNOTSUPP ? ": it cannot be compared with the system clock" : "");
	p->silent = true;
}

static void open_device(struct phc *p)
{
	p->fd = open(p->cfg->name, O_RDONLY | O_CLOEXEC);
	p->method = p->cfg->phc_basic ? BASIC : PRECISE;
	if (p->fd < 0)
		complain(p, -errno);
}

static void measure(void *arg)
{
	struct phc *p = arg;
	enum method was = p->method;
	struct source_stamp st = { 0 };
	int err;

	if (p->fd < 0)
		open_device(p);
	if (p->fd < 0) {
		p->count.reach = (uint8_t)(p->count.reach << 1);
		loop_timer_set(p->loop, &p->next, REOPEN_NS);
		p->base.sink.missed(p->base.sink.arg);
		return;
	}
	p->burst_left -= p->burst_left > 0;
	loop_timer_set(p->loop, &p->next, p->burst_left ? BURST_GAP_NS : NSEC << p->poll);
	p->count.sent++;
	p->count.reach = (uint8_t)(p->count.reach << 1);
	err = compare(p, &st);
	if (err) {
		p->count.bad++;
		complain(p, err);
		if (err == -ENODEV) {
			close(p->fd);
			p->fd = -1;
		}
		p->base.sink.missed(p->base.sink.arg);
		return;
	}
	if (!p->count.good || p->silent || p->method != was)
		log_info("phc %s: %s comparison, window %lld ns", p->cfg->name,
			 method_names[p->method], (long long)((double)(st.ffe.tf - st.ffe.ta) *
			 counter_period_ns(p->counter)));
	p->silent = false;
	p->count.good++;
	p->count.reach |= 1;
	p->base.sink.stamp(p->base.sink.arg, &st);
}

static struct phc *to_phc(struct source *s)
{
	return (struct phc *)s;
}

static void phc_burst(struct source *s)
{
	struct phc *p = to_phc(s);

	if (p->burst_left)
		return;
	p->burst_left = BURST_LEN;
	loop_timer_set(p->loop, &p->next, BURST_GAP_NS);
}

static void phc_restart(struct source *s)
{
	struct phc *p = to_phc(s);

	p->poll = p->cfg->minpoll;
	p->burst_left = BURST_LEN;
	loop_timer_set(p->loop, &p->next, 0);
}

static void phc_start(struct source *s)
{
	phc_restart(s);
}

static void phc_pace(struct source *s, int direction)
{
	struct phc *p = to_phc(s);

	/* as eager at once, less eager after some time of agreement */
	if (direction < 0)
		p->poll = p->cfg->minpoll;
	p->calm = direction > 0 ? p->calm + 1 : 0;
	if (p->calm < 8)
		return;
	p->calm = 0;
	if (p->poll < p->cfg->maxpoll)
		p->poll++;
}

static void phc_report(const struct source *s, struct source_report *r)
{
	const struct phc *p = (const struct phc *)s;

	*r = p->count;
	r->interval_s = (double)(1 << p->poll);
	memcpy(&r->refid, "PHC", sizeof(r->refid));
}

static void phc_destroy(struct source *s)
{
	struct phc *p = to_phc(s);

	loop_timer_cancel(p->loop, &p->next);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static const struct source_ops phc_ops = {
	.kind		= "phc",
	.start		= phc_start,
	.burst		= phc_burst,
	.restart	= phc_restart,
	.pace		= phc_pace,
	.report		= phc_report,
	.destroy	= phc_destroy,
};

struct source *source_phc_new(const struct config_source *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink)
{
	struct phc *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->base = (struct source){ .ops = &phc_ops, .name = cfg->name, .sink = *sink };
	p->cfg = cfg;
	p->counter = counter;
	p->loop = loop;
	p->poll = cfg->minpoll;
	p->next = (struct loop_timer){ .cb = measure, .arg = p };
	/* now, while there are the privileges that the device may need */
	open_device(p);
	return &p->base;
}
