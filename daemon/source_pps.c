// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pulse per second as a stamp source: /dev/ppsN, of a serial port's line (pps_ldisc),
 * a GPIO, a network card.
 *
 * The kernel stamps a pulse with CLOCK_REALTIME; the stamp becomes a counter reading, as
 * those of network packets do.  Which second begins there the clock of all sources says
 * (pulse.h): this source gives nothing before another one has.
 *
 * Asked a moment after each pulse is to come: waiting for it (PPS_FETCH with a time-out)
 * would block, and poll() on /dev/ppsN returns at once on most kernels.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pps.h>

#include "log.h"
#include "pulse.h"
#include "source_local.h"

#define NSEC		INT64_C(1000000000)
/* A pulse is one instant; half a width for the estimator, which wants two [ns] */
#define HALF_NS		20
/*
 * So long after it a pulse is fetched: longer than an interrupt is late, short enough
 * for user space's counters, which know CLOCK_REALTIME's slope at both ends only.
 */
#define LAG_NS		10000000

/**
 * struct pps - a device
 * @local: common part
 * @train: of its pulses
 * @have_mark: @mark is of this epoch
 * @mark: counter and CLOCK_REALTIME before the next pulse
 * @slope: CLOCK_REALTIME's between the two marks before, 0: not known [ns per count]
 * @told: verdict that was told
 */
struct pps {
	struct local		local;
	struct pulse_train	train;
	bool			have_mark;
	struct counter_mark	mark;
	double			slope;
	enum pulse_verdict	told;
};

static int open_device(struct pps *p)
{
	int edge = p->local.cfg->pps_clear ? PPS_CAPTURECLEAR : PPS_CAPTUREASSERT;
	int fd = open(p->local.cfg->name, O_RDONLY | O_CLOEXEC), modes = 0, err = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, PPS_GETCAP, &modes))
		err = -errno;
	else if (!(modes & edge))
		err = -EOPNOTSUPP;
	if (err) {
		close(fd);
		return err;
	}
	p->local.fd = fd;
	memset(&p->train, 0, sizeof(p->train));
	p->have_mark = false;
	return 0;
}

/* The latest pulse: its number, and CLOCK_REALTIME then [ns] */
static int fetch(struct pps *p, uint32_t *seq, int64_t *at)
{
	/* time-out 0: what is there already */
	struct pps_fdata d = { .timeout = { .flags = 0 } };
	const struct pps_ktime *t;

	if (ioctl(p->local.fd, PPS_FETCH, &d))
		return -errno;
	*seq = p->local.cfg->pps_clear ? d.info.clear_sequence : d.info.assert_sequence;
	t = p->local.cfg->pps_clear ? &d.info.clear_tu : &d.info.assert_tu;
	/* year 2242, as everywhere */
	if (t->sec <= 0 || t->sec > INT64_C(1) << 33 || t->nsec < 0 || t->nsec >= NSEC)
		return *seq ? -ERANGE : -ENODATA;
	*at = t->sec * NSEC + t->nsec;
	return 0;
}

/*
 * What CLOCK_REALTIME's changing slope may be worth: its last change, over the distance
 * from the nearer mark.  The kernel's own inversion knows every slope.
 */
static double slope_error(struct pps *p, const struct counter_mark *now, int64_t at)
{
	double slope = (double)(now->realtime_ns - p->mark.realtime_ns) /
		       (double)(now->value - p->mark.value);
	double before = p->slope;

	p->slope = slope;
	if (counter_device_fd(p->local.counter) >= 0 || !(before > 0) || !(slope > 0))
		return 0;
	return fabs(slope / before - 1) *
	       fmin((double)(now->realtime_ns - at), (double)(at - p->mark.realtime_ns));
}

/*
 * Return: 0; PULSE_* as -(1000 + verdict); -EAGAIN: not yet; -ENODATA: no pulse; -errno.
 * @next: when to look again, from now [ns]
 */
#define VERDICT(v)	(-(1000 + (int)(v)))
static int compare(struct pps *p, struct source_stamp *st, int64_t *next)
{
	struct local *l = &p->local;
	struct pulse pulse = {
		.period_ns = counter_period_ns(l->counter), .late_ns = l->cfg->offset_ns,
		.error_ns = l->cfg->error_ns,
	};
	struct pulse_second second = { 0 };
	struct counter_mark a = p->mark, b;
	enum pulse_verdict verdict;
	bool had = p->have_mark;
	struct ffe_map map;
	int64_t at = 0;
	double extra;
	int err;

	err = fetch(p, &pulse.seq, &at);
	if (err == -ENODATA)
		return err;
	if (!err)
		err = counter_mark(l->counter, &b);
	if (err)
		return err;
	/* pulses come a whole number of seconds after this one; the clock may have been set */
	if (at <= b.realtime_ns)
		*next += LAG_NS - (b.realtime_ns - at) % NSEC;
	else
		*next = at - b.realtime_ns < NSEC ? at - b.realtime_ns + LAG_NS : NSEC;
	if (p->train.have && pulse.seq == p->train.seq)
		return VERDICT(PULSE_NONE);
	extra = had && a.epoch == b.epoch ? slope_error(p, &b, at) : 0;
	p->mark = b;
	p->have_mark = true;
	if (!had || a.epoch != b.epoch || at < a.realtime_ns)
		return -EAGAIN;
	err = local_invert(l, &a, &b, at, at, HALF_NS, &st->ffe);
	if (err)
		return err;
	pulse.counter = st->ffe.ta + (st->ffe.tf - st->ffe.ta) / 2;
	err = l->base.sink.clock(l->base.sink.arg, pulse.counter, b.epoch, &map);
	if (err)
		return err == -EAGAIN ? VERDICT(PULSE_UNNUMBERED) : err;
	verdict = pulse_judge(&p->train, &pulse, &map, &second);
	if (verdict != PULSE_GOOD) {
		log_debug("pps %s: pulse %u refused (%d), %+.3f us off the clock", l->cfg->name,
			  pulse.seq, (int)verdict, (double)second.off_ns * 1e-3);
		return VERDICT(verdict);
	}
	st->ffe.tb = second.utc_ns;
	st->ffe.te = second.utc_ns;
	st->ffe.client_err_ns = (uint32_t)fmin(1e9, ceil(hypot(hypot(st->ffe.client_err_ns,
				second.noise_ns), extra)));
	/* scatter beyond the bound that was promised: the bound is larger than that */
	st->ffe.root_disp_ns = (uint32_t)fmax(pulse.error_ns, 3.0 * st->ffe.client_err_ns);
	st->ffe.stratum = 1;
	st->epoch = b.epoch;
	st->tx_kernel = true;
	st->rx_kernel = true;
	return 0;
}

/* What is wrong with three pulses in a row is told, when it is something else than before */
static void tell_verdict(struct pps *p, enum pulse_verdict v)
{
	static const char *const what[] = {
		[PULSE_GOOD]		= "",
		[PULSE_NONE]		= ": no pulse",
		[PULSE_TWICE]		= ": more pulses than seconds",
		[PULSE_UNNUMBERED]	= ": waiting for a clock good enough to tell which "
					  "second a pulse begins (another source)",
		[PULSE_OFF]		= ": by the clock no second begins with the pulse "
					  "(the other edge? the option offset?)",
	};

	if (v == p->told || p->local.count.reach & 7)
		return;
	p->told = v;
	log_msg(v == PULSE_UNNUMBERED ? LOG_INFO : LOG_WARNING, "pps %s%s", p->local.cfg->name,
		what[v]);
}

static void measure(void *arg)
{
	struct pps *p = arg;
	struct local *l = &p->local;
	struct source_stamp st = { 0 };
	int64_t next;
	int err;

	if (l->fd < 0) {
		err = open_device(p);
		if (err) {
			local_absent(l, err, err == -EOPNOTSUPP ?
				     ": it does not capture that edge" :
				     err == -ENOTTY || err == -EINVAL ? ": no PPS device" : "");
			return;
		}
	}
	next = NSEC << l->poll;
	l->burst_left = 0;
	local_begin(l);
	err = compare(p, &st, &next);
	loop_timer_set(l->loop, &l->next, next);
	if (!err) {
		if (!l->count.good || l->silent || p->told != PULSE_GOOD)
			log_info("pps %s: pulses, scatter %u ns", l->cfg->name,
				 st.ffe.client_err_ns);
		p->told = PULSE_GOOD;
		local_stamp(l, &st);
		return;
	}
	if (err == -ENODEV || err == -EIO) {
		close(l->fd);
		l->fd = -1;
	}
	if (err == -ENODATA)
		err = VERDICT(PULSE_NONE);
	if (err > VERDICT(0) && err != -EAGAIN && err != -ERANGE && err != -ESTALE) {
		local_failed(l, err, "");
		return;
	}
	if (err <= VERDICT(0))
		tell_verdict(p, (enum pulse_verdict)(VERDICT(0) - err));
	l->count.bad += err != -EAGAIN;
	l->base.sink.missed(l->base.sink.arg);
}

/* Pulses do not come sooner for being asked for */
static void pps_burst(struct source *s)
{
	((struct local *)s)->poll = ((struct local *)s)->cfg->minpoll;
}

static void pps_restart(struct source *s)
{
	struct pps *p = (struct pps *)s;

	memset(&p->train, 0, sizeof(p->train));
	p->have_mark = false;
	p->slope = 0;
	local_restart(s);
}

static const struct source_ops pps_ops = {
	.kind		= "pps",
	.start		= local_start,
	.burst		= pps_burst,
	.restart	= pps_restart,
	.pace		= local_pace,
	.report		= local_report,
	.destroy	= local_destroy,
};

struct source *source_pps_new(const struct config_source *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink)
{
	struct pps *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	local_init(&p->local, &pps_ops, cfg, counter, loop, sink, measure, "PPS");
	/* now, while there are the privileges that the device may need; measure() says why not */
	open_device(p);
	return &p->local.base;
}
