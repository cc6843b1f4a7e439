// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record that Dom0's ffclock-xenpublish writes for this domain into Xenstore, as a
 * stamp source: for guests that shall weigh their host's word against others', in place
 * of ffclock_xen.ko, which takes it for the truth.
 *
 * The record is the host's clock as a line in Xen system time, in the host's TSC, or in
 * both (include/linux/ffclock_record.h).  The daemon's counter must be that very counter:
 *
 *	Xen system time		the module's, over clocksource xen
 *	TSC			the module's over clocksource tsc, or tsc of user space,
 *				where the guest's TSC is the host's own: nothing here can
 *				tell, so somebody has to say so (trusttsc)
 *
 * Nothing is measured, so a stamp is one instant: the counter now, and the line there.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <linux/ffclock_record.h>

#include "log.h"
#include "source_local.h"
#include "word.h"
#include "xenbus.h"

#define NSEC		INT64_C(1000000000)
#define HALF_NS		20

/* As in drivers/xen/ffclock_xen.h */
#define NODE		"ffclock/clock"
#define DOMAIN		"domid"

/* xenstored is another domain's process: an answer that takes longer does not come */
#define ANSWER_NS	(5 * NSEC)

/* As for VMClock pages */
#define MAX_AGE_NS	(3600e9)
#define MAX_AHEAD_NS	1e9
#define SIGMAS		4
#define NOISE_MAX_NS	10000

/* Where Xen runs on no stable TSC, processors differ by so much in Xen system time [ns] */
#define XEN_CPU_NS	1000

static const char *current_path = "/sys/kernel/ffclock/counter/current";
static const char *follow_path = "/sys/module/ffclock_xen/parameters/follow";

/**
 * struct xen - the source
 * @local: common part
 * @bus: connection
 * @watch: its descriptor in the loop
 * @guest: this is known to be no Dom0
 * @asked: an answer is to come
 * @asked_ns: since when [ns]
 * @asked_epoch: counter epoch then: an answer of before a migration is another host's
 * @host: host id of the last record in this epoch, or empty
 */
struct xen {
	struct local	local;
	struct xenbus	bus;
	struct loop_fd	watch;
	bool		guest;
	bool		asked;
	int64_t		asked_ns;
	uint32_t	asked_epoch;
	char		host[FFCLOCK_RECORD_HOST];
};

/* The line in the daemon's counter, and what to subtract from that to get at the line's */
static int choose_line(struct xen *x, const struct ffclock_record *r, uint32_t epoch,
		       const struct ffclock_record_line **line, uint64_t *offset)
{
	int fd = counter_device_fd(x->local.counter);
	struct ffclock_page page;
	char over[32] = "tsc";

	*offset = 0;
	if (fd >= 0) {
		read_word(current_path, over, sizeof(over));
		if (pread(fd, &page, sizeof(page), 0) != (ssize_t)sizeof(page))
			return -EPROTO;
		if (page.ext.epoch != epoch)
			return -ESTALE;
		*offset = page.ext.counter_offset;
	} else if (strcmp(counter_name(x->local.counter), "tsc")) {
		return -EOPNOTSUPP;
	}
	if (!strcmp(over, "xen"))
		*line = &r->xen;
	else if (!strcmp(over, "tsc") && x->local.cfg->trust_tsc)
		*line = &r->tsc;
	else
		return -EOPNOTSUPP;
	return (*line)->valid ? 0 : -EOPNOTSUPP;
}

/* The record at counter value @c of its line.  Return: 0 or -errno */
static int record_time(const struct ffclock_record *r, const struct ffclock_record_line *l,
		       uint64_t c, double period_ns, struct ffe_stamp *s)
{
	double line_ns = ldexp((double)l->period, -64 - (int)l->shift) * 1e9, age, bound, noise;
	struct ffclock_time t;
	int64_t utc;

	if (r->status != FFCLOCK_STATUS_SYNCHRONIZED && r->status != FFCLOCK_STATUS_FREERUNNING)
		return -EAGAIN;
	if (r->maxerror_ns == FFCLOCK_BOUND_UNKNOWN)
		return -EDOM;
	if (!(fabs(line_ns - period_ns) <= period_ns / 10))
		return -ERANGE;
	age = (double)(int64_t)(c - l->counter) * period_ns;
	if (age < -MAX_AHEAD_NS)
		return -ERANGE;
	if (age > MAX_AGE_NS)
		return -ESTALE;
	t = ffclock_line_at(c, l->counter, r->time, l->period, l->shift);
	if (t.sec <= 0 || t.sec > INT64_C(1) << 33)
		return -ERANGE;
	bound = (double)r->maxerror_ns +
		fabs(age) * fmin((double)l->maxerror / (double)l->period, 1) +
		(l == &r->xen ? XEN_CPU_NS : 0);
	if (!(bound < UINT32_MAX))
		return -EDOM;
	noise = r->esterror_ns == FFCLOCK_BOUND_UNKNOWN ? fmin(bound / 3, NOISE_MAX_NS) :
		fmin((double)r->esterror_ns, bound);
	utc = ffclock_time_to_ns(t);
	/* the second that is left out is the one before */
	if (r->leap_change && utc >= ((int64_t)r->leap_utc_sec - (r->leap_change < 0)) * NSEC)
		utc -= r->leap_change * NSEC;
	else if (r->leap_change)
		s->leap = r->leap_change > 0 ? 1 : 2;
	s->tb = utc;
	s->te = utc;
	s->root_disp_ns = (uint32_t)ceil(bound);
	s->client_err_ns = (uint32_t)ceil(noise);
	s->stratum = 1;
	return 0;
}

static int compare(struct xen *x, const char *text, size_t len, struct source_stamp *st)
{
	struct local *l = &x->local;
	double period = counter_period_ns(l->counter);
	const struct ffclock_record_line *line;
	uint64_t offset, half = (uint64_t)(HALF_NS / period) + 1;
	struct ffclock_record r;
	struct counter_mark now;
	int err;

	err = ffclock_record_parse(text, len, &r);
	if (!err)
		err = counter_mark(l->counter, &now);
	if (err)
		return err;
	if (now.epoch != x->asked_epoch)
		return -ESTALE;
	if (*x->host && strcmp(x->host, r.host)) {
		*x->host = '\0';
		l->base.sink.broke(l->base.sink.arg, "Xenstore tells of another host: this "
				   "machine was moved");
		return -ECANCELED;
	}
	err = choose_line(x, &r, now.epoch, &line, &offset);
	if (!err)
		err = record_time(&r, line, now.value - offset, period, &st->ffe);
	if (err)
		return err;
	memcpy(x->host, r.host, sizeof(x->host));
	st->ffe.ta = now.value - half;
	st->ffe.tf = now.value + half;
	st->epoch = now.epoch;
	st->tx_kernel = true;
	st->rx_kernel = true;
	return 0;
}

static const char *advice(int err)
{
	switch (err) {
	case -ENOENT:
		return ": Dom0 tells no clock (ffclock-xenpublish there)";
	case -EPERM:
		return ": this is Dom0, which has no host to follow";
	case -EBUSY:
		return ": ffclock_xen has the kernel's clocks follow Dom0 already (to leave that to "
		       "ffclockd: its parameter follow=N)";
	case -EOPNOTSUPP:
		return ": the record has no line in this counter: clocksource xen here and in Dom0, "
		       "and counter device; or trusttsc";
	case -EAGAIN:
		return ": Dom0's clock is not to be used now";
	case -EDOM:
		return ": Dom0 does not know how good its clock is";
	case -EBADMSG:
	case -EMSGSIZE:
	case -EPROTO:
	case -EPROTONOSUPPORT:
		return ": not a record that this version understands";
	case -ESTALE:
		return ": the record is of before a disruption, or an hour old";
	case -ETIMEDOUT:
		return ": xenstored does not answer";
	default:
		return "";
	}
}

static void bus_close(struct xen *x)
{
	loop_del(x->local.loop, &x->watch);
	if (x->local.fd >= 0)
		close(x->local.fd);
	x->local.fd = -1;
	x->bus.fd = -1;
	x->asked = false;
}

static int bus_open(struct xen *x)
{
	int fd = open(x->local.cfg->name, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	x->local.fd = fd;
	x->bus = (struct xenbus){ .fd = fd };
	x->guest = false;
	x->asked = false;
	return 0;
}

/* The next question: who are we, then again and again the record */
static int ask(struct xen *x)
{
	struct counter_mark now;
	int err = counter_mark(x->local.counter, &now);

	if (!err)
		err = xenbus_read(&x->bus, x->guest ? NODE : DOMAIN);
	if (err)
		return err;
	x->asked = true;
	x->asked_ns = loop_now();
	x->asked_epoch = now.epoch;
	return 0;
}

/* A failure; of the connection itself too: it is made anew, if it can be, later */
static void failed(struct xen *x, int err, bool broken)
{
	if (broken || err == -EPERM) {
		bus_close(x);
		loop_timer_set(x->local.loop, &x->local.next, LOCAL_REOPEN_NS);
	}
	local_failed(&x->local, err, advice(err));
}

/* Did xenstored say so?  Anything else is the connection's end */
static bool told(int err)
{
	return err == -ENOENT || err == -EACCES || err == -EINVAL || err == -ENOMEM ||
	       err == -EREMOTEIO;
}

static void answered(void *arg, uint32_t events)
{
	struct xen *x = arg;
	struct local *l = &x->local;
	struct source_stamp st = { 0 };
	const char *text = NULL;
	size_t len = 0;
	int err;

	(void)events;
	err = xenbus_answer(&x->bus, &text, &len);
	if (err == -EAGAIN)
		return;
	if (err && !told(err)) {
		failed(x, err, true);
		return;
	}
	x->asked = false;
	if (!x->guest) {
		/*
		 * Whoever may write Dom0's Xenstore rules every guest: not from here.
		 * Guests always have that node.
		 */
		if (err == -ENOENT || (!err && len == 1 && *text == '0'))
			err = -EPERM;
		if (!err) {
			x->guest = true;
			err = local_kernel_follows(l, follow_path) ? -EBUSY : ask(x);
		}
		if (err)
			failed(x, err, false);
		return;
	}
	if (!err)
		err = compare(x, text, len, &st);
	if (err == -ECANCELED)
		return;
	if (err) {
		failed(x, err, false);
		return;
	}
	if (!l->count.good || l->silent)
		log_info("xenstore: host %s, bound %u ns", x->host, st.ffe.root_disp_ns);
	local_stamp(l, &st);
}

static void measure(void *arg)
{
	struct xen *x = arg;
	struct local *l = &x->local;
	int err = 0;

	if (l->fd < 0)
		err = bus_open(x);
	if (!err && x->watch.fd < 0) {
		x->watch.fd = l->fd;
		err = loop_add(l->loop, &x->watch, EPOLLIN);
		if (err)
			bus_close(x);
	}
	if (err) {
		local_absent(l, err, err == -ENOENT ? ": this is no Xen domain, or xenfs is not "
			     "loaded" : "");
		return;
	}
	if (x->asked && loop_now() - x->asked_ns < ANSWER_NS) {
		loop_timer_set(l->loop, &l->next, LOCAL_BURST_GAP_NS);
		return;
	}
	if (x->asked)
		failed(x, -ETIMEDOUT, false);
	loop_timer_set(l->loop, &l->next, local_begin(l));
	/* who we are comes first, whatever else is to be said */
	err = x->guest && local_kernel_follows(l, follow_path) ? -EBUSY : ask(x);
	if (err)
		failed(x, err, err == -EIO || err == -EPIPE);
}

static void xen_restart(struct source *s)
{
	struct xen *x = (struct xen *)s;

	/* an answer that is under way is void by its epoch, or by its number */
	x->asked = false;
	*x->host = '\0';
	local_restart(s);
}

static void xen_destroy(struct source *s)
{
	bus_close((struct xen *)s);
	local_destroy(s);
}

static const struct source_ops xen_ops = {
	.kind		= "xenstore",
	.start		= local_start,
	.burst		= local_burst,
	.restart	= xen_restart,
	.pace		= local_pace,
	.report		= local_report,
	.destroy	= xen_destroy,
};

struct source *source_xenstore_new(const struct config_source *cfg, struct counter *counter,
				   struct loop *loop, const struct source_sink *sink)
{
	struct xen *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	local_init(&x->local, &xen_ops, cfg, counter, loop, sink, measure, "XENS");
	x->bus.fd = -1;
	x->watch = (struct loop_fd){ .fd = -1, .cb = answered, .arg = x };
	/* now, while there are the privileges that the device needs; measure() says why not */
	bus_open(x);
	return &x->local.base;
}
