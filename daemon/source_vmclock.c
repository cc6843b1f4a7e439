// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VMClock page as a stamp source: /dev/vmclockN (ptp_vmclock), the BAR of an ivshmem
 * device in sysfs, a file.
 *
 * The page tells the host's time as a function of this machine's TSC.  A reading of
 * the TSC between two of CLOCK_REALTIME, which become counter readings, makes an
 * exchange with a server that answers at once.  Of several the quickest is taken.
 *
 * A new disruption marker means that the counter is another one.  Where the kernel
 * module watches the page it has said so by then; elsewhere this is how the daemon
 * learns of it.
 *
 * The page is the hypervisor's: it is copied, by the kernel, whose copying fails where
 * ours would end in SIGBUS (a device that is unplugged, a file that is cut); a writer
 * that died in the middle costs a limited number of looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "log.h"
#include "source_local.h"
#include "vmclock_page.h"

#define NSEC		INT64_C(1000000000)
#define SAMPLES		10
/* Both readings of CLOCK_REALTIME may be the same */
#define HALF_NS		20

/* The marker is looked at that often; asking for the time may be rarer */
#define WATCH_NS	NSEC

/* A writer that was scheduled away comes back in ms: 2 ms of looks, then next time */
#define COPY_TRIES	20
#define COPY_NAP_NS	100000

/*
 * The TSC's period, to recognise a page about another counter: to 10 % only, so 20 ms
 * between two pairs would do many times over, but that a process may be held up within
 * a pair.  So it is measured again and again, from the same beginning.
 */
#define PERIOD_NS	20000000

/* Says Y while the kernel module follows pages; tests have their own */
static const char *follow_path = "/sys/module/ffclock_vmclock/parameters/follow";

/**
 * struct vmclock - a page
 * @local: common part
 * @map: where it is mapped; NULL: it is read
 * @pipe: the kernel's copies of a mapping go through it
 * @seen: what was there before
 * @due_ns: when the time is to be asked for next, on loop_now()'s scale [ns]
 * @flags: announcements that were told
 * @tsc0: TSC when the page was opened
 * @raw0_ns: CLOCK_MONOTONIC_RAW then [ns]
 * @period_ns: of the TSC, as measured since then [ns]
 */
struct vmclock {
	struct local		local;
	void			*map;
	int			pipe[2];
	struct vmclock_seen	seen;
	int64_t			due_ns;
	uint64_t		flags;
	uint64_t		tsc0;
	int64_t			raw0_ns;
	double			period_ns;
};

static int64_t now_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

/* Not before earlier instructions have finished, nor after later ones begin */
static uint64_t read_tsc(void)
{
#if defined(__x86_64__)
	uint64_t v;

	_mm_lfence();
	v = __rdtsc();
	_mm_lfence();
	return v;
#else
	return 0;
#endif
}

/* The page -------------------------------------------------------------------- */

/* @len bytes of the page from @at on.  Return: 0 or -errno */
static int page_read(struct vmclock *p, size_t at, void *buf, size_t len)
{
	ssize_t n;

	if (!p->map) {
		n = pread(p->local.fd, buf, len, (off_t)at);
	} else {
		n = write(p->pipe[1], (char *)p->map + at, len);
		if (n > 0)
			n = read(p->pipe[0], buf, (size_t)n);
	}
	if (n < 0)
		return -errno;
	/* a part may have come through, which is of no use either */
	return (size_t)n == len ? 0 : -ENODATA;
}

/* A consistent copy.  Return: 0, -ETIMEDOUT, -errno */
static int page_copy(struct vmclock *p, struct ffclock_vmclock *v)
{
	const size_t at = offsetof(struct ffclock_vmclock, seq_count);
	struct timespec nap = { .tv_nsec = COPY_NAP_NS };
	uint32_t before, after;
	int i, err;

	for (i = 0; i < COPY_TRIES; i++) {
		if (i)
			nanosleep(&nap, NULL);
		/* system calls are as good as barriers here: one ends before the next begins */
		err = page_read(p, at, &before, sizeof(before));
		if (!err)
			err = page_read(p, 0, v, sizeof(*v));
		if (!err)
			err = page_read(p, at, &after, sizeof(after));
		if (err)
			return err;
		if (!(before & 1) && before == after)
			return 0;
	}
	return -ETIMEDOUT;
}

static void page_close(struct vmclock *p)
{
	if (p->map)
		munmap(p->map, FFCLOCK_PAGE_SIZE);
	p->map = NULL;
	if (p->pipe[0] >= 0) {
		close(p->pipe[0]);
		close(p->pipe[1]);
	}
	p->pipe[0] = -1;
	if (p->local.fd >= 0)
		close(p->local.fd);
	p->local.fd = -1;
}

/*
 * Files are read; devices, whose reading may wait for the hypervisor, and the BARs in
 * sysfs, which cannot be read, are mapped.
 */
static int page_map(struct vmclock *p)
{
	struct ffclock_vmclock v;
	struct stat st;

	if (fstat(p->local.fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode) &&
	    pread(p->local.fd, &v, sizeof(v), 0) == (ssize_t)sizeof(v))
		return 0;
	p->map = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, p->local.fd, 0);
	if (p->map == MAP_FAILED) {
		p->map = NULL;
		return -errno;
	}
	if (pipe2(p->pipe, O_CLOEXEC | O_NONBLOCK)) {
		p->pipe[0] = -1;
		return -errno;
	}
	return 0;
}

/* Following our own clock would be following nobody */
static bool page_is_ours(struct vmclock *p)
{
	uint32_t magic;

	return !page_read(p, FFCLOCK_EXT_OFFSET, &magic, sizeof(magic)) &&
	       magic == FFCLOCK_EXT_MAGIC;
}

static int page_open(struct vmclock *p)
{
	int err;

	p->local.fd = open(p->local.cfg->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (p->local.fd < 0)
		return -errno;
	err = page_map(p);
	if (!err && page_is_ours(p))
		err = -ELOOP;
	if (err) {
		page_close(p);
		return err;
	}
	p->tsc0 = read_tsc();
	p->raw0_ns = now_ns(CLOCK_MONOTONIC_RAW);
	return 0;
}

/* Comparing ------------------------------------------------------------------- */

/* Return: whether the TSC's period is known */
static bool learn_period(struct vmclock *p)
{
	int64_t span = now_ns(CLOCK_MONOTONIC_RAW) - p->raw0_ns;
	uint64_t counts = read_tsc() - p->tsc0;

	if (counts >> 62) {
		/* it went back: begin again */
		p->tsc0 += counts;
		p->raw0_ns += span;
		return false;
	}
	if (span < PERIOD_NS || !counts)
		return false;
	p->period_ns = (double)span / (double)counts;
	return true;
}

/* The TSC between two readings of CLOCK_REALTIME, the quickest of several */
static void read_sandwich(int64_t *before, uint64_t *tsc, int64_t *after)
{
	int64_t best = INT64_MAX, a, b;
	uint64_t c;
	int i;

	for (i = 0; i < SAMPLES; i++) {
		a = now_ns(CLOCK_REALTIME);
		c = read_tsc();
		b = now_ns(CLOCK_REALTIME);
		if (b < a || b - a >= best)
			continue;
		best = b - a;
		*before = a;
		*tsc = c;
		*after = b;
	}
}

/* @v: the page as it was just now */
static int compare(struct vmclock *p, const struct ffclock_vmclock *v, struct source_stamp *st)
{
	struct local *l = &p->local;
	int64_t before = 0, after = -1;
	struct ffclock_vmclock again;
	struct counter_mark a, b;
	struct vmclock_time t;
	uint64_t tsc = 0;
	int err;

	err = counter_mark(l->counter, &a);
	if (err)
		return err;
	read_sandwich(&before, &tsc, &after);
	err = counter_mark(l->counter, &b);
	if (err)
		return err;
	if (after < before)
		return -EAGAIN;
	err = vmclock_page_time(v, tsc, p->period_ns, l->cfg->error_ns, &t);
	if (!err)
		err = vmclock_seen_line(&p->seen, v);
	/* the machine may have moved between the copy and the reading of the TSC */
	if (!err)
		err = page_copy(p, &again);
	if (!err && again.disruption_marker != v->disruption_marker)
		err = -ESTALE;
	if (!err)
		err = local_invert(l, &a, &b, before, after, HALF_NS, &st->ffe);
	if (err)
		return err;
	st->ffe.tb = t.utc_ns;
	st->ffe.te = t.utc_ns;
	st->ffe.root_disp_ns = t.bound_ns;
	st->ffe.leap = t.leap;
	st->ffe.stratum = 1;
	if (st->ffe.client_err_ns < t.noise_ns)
		st->ffe.client_err_ns = t.noise_ns;
	st->epoch = b.epoch;
	st->tx_kernel = true;
	st->rx_kernel = true;
	return 0;
}

static const char *advice(int err)
{
	switch (err) {
	case -EBUSY:
		return ": ffclock_vmclock has the kernel's clocks follow the host already (to "
		       "leave that to ffclockd: its parameter follow=N)";
	case -ELOOP:
		return ": that is the page of this machine's own clock";
	case -EPROTO:
		return ": no VMClock page, or one that contradicts itself";
	case -EOPNOTSUPP:
		return ": it tells no time that can be used (the host has to write it: "
		       "ffclock-hostd)";
	case -EAGAIN:
		return ": the host says that its clock is not to be used";
	case -ESTALE:
		return ": the host has not told the time since the machine was moved, or for an "
		       "hour";
	case -ETIMEDOUT:
		return ": the host does not end its update of the page";
	case -ENOSYS:
		return ": only the TSC of x86-64 is known here";
	default:
		return "";
	}
}

static void tell_announcement(struct vmclock *p, uint64_t flags)
{
	const uint64_t mask = FFCLOCK_VF_DISRUPTION_SOON | FFCLOCK_VF_DISRUPTION_IMMINENT;

	if ((flags & mask) == p->flags)
		return;
	p->flags = flags & mask;
	log_notice("vmclock %s: the host %s", p->local.cfg->name,
		   p->flags & FFCLOCK_VF_DISRUPTION_IMMINENT ? "is about to disrupt this machine" :
		   p->flags ? "will soon disrupt this machine" :
		   "no longer announces a disruption");
}

/* Return: 0, -errno, or -ECANCELED: the machine was disrupted, all begins anew */
static int look(struct vmclock *p, bool time, struct source_stamp *st)
{
	struct ffclock_vmclock v;
	int err;

#if !defined(__x86_64__)
	return -ENOSYS;
#endif
	err = page_copy(p, &v);
	if (!err)
		err = vmclock_page_check(&v);
	if (err)
		return err;
	tell_announcement(p, v.flags);
	if (vmclock_seen_moved(&p->seen, &v)) {
		p->local.base.sink.broke(p->local.base.sink.arg, "VMClock's disruption marker "
					 "is another one: this machine was moved or restored");
		return -ECANCELED;
	}
	if (!time)
		return 0;
	if (local_kernel_follows(&p->local, follow_path))
		return -EBUSY;
	return compare(p, &v, st);
}

static void measure(void *arg)
{
	struct vmclock *p = arg;
	struct local *l = &p->local;
	struct source_stamp st = { 0 };
	int64_t now = loop_now();
	bool time;
	int err;

	if (l->fd < 0) {
		err = page_open(p);
		if (err) {
			local_absent(l, err, advice(err));
			return;
		}
	}
	if (!learn_period(p)) {
		loop_timer_set(l->loop, &l->next, PERIOD_NS);
		return;
	}
	time = l->burst_left || now >= p->due_ns;
	if (time)
		p->due_ns = now + local_begin(l);
	loop_timer_set(l->loop, &l->next, p->due_ns - now < WATCH_NS ? p->due_ns - now : WATCH_NS);
	err = look(p, time, &st);
	if (err == -ECANCELED || (!time && !err))
		return;
	if (err == -ENODATA || err == -EFAULT || err == -ENXIO || err == -ENODEV) {
		/* cut short, unplugged */
		page_close(p);
		loop_timer_set(l->loop, &l->next, LOCAL_REOPEN_NS);
	}
	if (err) {
		/* without a good page the marker's watch is blind, too */
		if (time || l->silent != err)
			local_failed(l, err, advice(err));
		return;
	}
	if (!l->count.good || l->silent)
		log_info("vmclock %s: compared, window %lld ns, the host's bound %u ns",
			 l->cfg->name, (long long)((double)(st.ffe.tf - st.ffe.ta) *
			 counter_period_ns(l->counter)), st.ffe.root_disp_ns);
	local_stamp(l, &st);
}

/* Whoever saw the counter break: what is on the page now belongs to the new one */
static void vmclock_restart(struct source *s)
{
	struct vmclock *p = (struct vmclock *)s;

	p->seen.have = false;
	p->tsc0 = read_tsc();
	p->raw0_ns = now_ns(CLOCK_MONOTONIC_RAW);
	local_restart(s);
}

static void vmclock_destroy(struct source *s)
{
	page_close((struct vmclock *)s);
	local_destroy(s);
}

static const struct source_ops vmclock_ops = {
	.kind		= "vmclock",
	.start		= local_start,
	.burst		= local_burst,
	.restart	= vmclock_restart,
	.pace		= local_pace,
	.report		= local_report,
	.destroy	= vmclock_destroy,
};

struct source *source_vmclock_new(const struct config_source *cfg, struct counter *counter,
				  struct loop *loop, const struct source_sink *sink)
{
	struct vmclock *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	local_init(&p->local, &vmclock_ops, cfg, counter, loop, sink, measure, "VMCL");
	p->pipe[0] = -1;
	/* now, while there are the privileges that the page may need; measure() says why not */
	page_open(p);
	return &p->local.base;
}
