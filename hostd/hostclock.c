// SPDX-License-Identifier: GPL-2.0-only
/* The host's clock: see hostclock.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "hostclock.h"

#define NSEC		1000000000LL

/* A page's writer needs a microsecond; whoever takes longer was scheduled away */
#define PAGE_TRIES	1000

/* Attempts at a pair of TSC and CLOCK_REALTIME; the closest one counts */
#define PAIR_TRIES	10

/*
 * The rate of CLOCK_REALTIME over the TSC: pairs good to some 30 ns over this
 * much time tell it to 0.03 ppm.
 */
#define SPAN_MIN_NS	NSEC
#define FIRST_SPAN_NS	(NSEC / 10)
#define SPAN_MAX_NS	(60 * NSEC)

/* How old the system clock's line may get before it is made anew */
#define SYSTEM_AGE_NS	NSEC

/*
 * What the system clock's rate may be changed by until then: adjtimex() takes up
 * to 500 ppm, and so does the phase-locked loop.  (A tick adjustment may do more;
 * then the line is seen to be off and made anew.)
 */
#define SYSTEM_RATE_DIV	2000

/*
 * A line of the system clock that is off by more than this, beyond what the pair
 * is good for, is replaced at once: 100 ns, what two guests may differ by.
 */
#define SYSTEM_OFF_NS	100

struct pair {
	uint64_t	tsc;
	int64_t		realtime_ns;
	uint64_t	width;		/* TSC counts between the reads around it */
};

struct hostclock {
	char				name[256];
	const struct ffclock_page	*page;	/* NULL: the system clock */
	int				fd;	/* of a device, else -1 */
	uint32_t			seq;	/* at the last read */
	uint64_t			system_bound_ns;
	int				system_tai;
	struct pair			from;	/* where the rate is measured from */
	struct host_line		last;	/* the system clock's line */
	bool				have_last;
	bool				was_set; /* and not measured since */
};

uint64_t hostclock_tsc(void)
{
	uint64_t tsc;

	_mm_lfence();
	tsc = __rdtsc();
	_mm_lfence();
	return tsc;
}

static struct pair take_pair(void)
{
	struct pair best = { .width = ~0ULL };
	struct timespec ts;
	int i;

	for (i = 0; i < PAIR_TRIES; i++) {
		uint64_t a = hostclock_tsc(), b;

		clock_gettime(CLOCK_REALTIME, &ts);
		b = hostclock_tsc();
		if (b - a >= best.width)
			continue;
		best = (struct pair){
			.tsc = a + (b - a) / 2,
			.realtime_ns = ts.tv_sec * NSEC + ts.tv_nsec,
			.width = b - a,
		};
	}
	return best;
}

/* Pages --------------------------------------------------------------------- */

static int page_copy(const struct ffclock_page *from, struct ffclock_page *to, uint32_t *seq)
{
	const uint64_t *f = (const uint64_t *)from;
	uint64_t *t = (uint64_t *)to;
	int tries;
	size_t i;

	for (tries = 0; tries < PAGE_TRIES; tries++) {
		/* acquire: pairs with the writer's release of the even number */
		*seq = __atomic_load_n(&from->vmclock.seq_count, __ATOMIC_ACQUIRE);
		if (!(*seq & 1)) {
			for (i = 0; i < sizeof(*to) / 8; i++)
				t[i] = __atomic_load_n(&f[i], __ATOMIC_RELAXED);
			/* pairs with the writer's barrier after the odd number */
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			if (__atomic_load_n(&from->vmclock.seq_count, __ATOMIC_RELAXED) == *seq)
				return 0;
		}
		_mm_pause();
	}
	return -EBUSY;
}

int page_to_line(const struct ffclock_page *page, uint64_t now, struct host_line *line)
{
	const struct ffclock_vmclock *v = &page->vmclock;
	const struct ffclock_ext *x = &page->ext;
	bool ext;

	if (v->magic != FFCLOCK_VMCLOCK_MAGIC || v->version != FFCLOCK_VMCLOCK_VERSION ||
	    v->size < sizeof(*v))
		return -EPROTO;
	ext = v->size >= sizeof(*page) && x->magic == FFCLOCK_EXT_MAGIC &&
	      x->version == FFCLOCK_EXT_VERSION && x->size >= sizeof(*x);
	if (v->counter_id != FFCLOCK_COUNTER_X86_TSC)
		return -EOPNOTSUPP;
	if (v->clock_status != FFCLOCK_STATUS_SYNCHRONIZED &&
	    v->clock_status != FFCLOCK_STATUS_FREERUNNING)
		return -EAGAIN;
	if (!ffclock_period_valid(v->counter_period_frac_sec, v->counter_period_shift) ||
	    v->time_sec > INT64_MAX)
		return -EPROTO;
	/* smeared time, or none: not ours to pass on as UTC */
	if (v->time_type > 1 ||
	    (v->time_type == 1 && !(v->flags & FFCLOCK_VF_TAI_OFFSET_VALID)))
		return -EOPNOTSUPP;

	*line = (struct host_line){
		.counter = v->counter_value,
		.time = { (int64_t)v->time_sec, v->time_frac_sec },
		.period = v->counter_period_frac_sec,
		.shift = v->counter_period_shift,
		.status = v->clock_status,
		.leap_indicator = v->leap_indicator,
		.esterror_ns = FFCLOCK_BOUND_UNKNOWN,
		.maxerror_ns = FFCLOCK_BOUND_UNKNOWN,
	};
	if (v->flags & FFCLOCK_VF_TAI_OFFSET_VALID)
		line->tai_offset_sec = -v->tai_offset_sec;
	if (v->time_type == 1)
		line->time.sec -= line->tai_offset_sec;
	/* a bound without that of the rate holds at one instant only */
	if (v->flags & FFCLOCK_VF_TIME_MAXERROR_VALID &&
	    v->flags & FFCLOCK_VF_PERIOD_MAXERROR_VALID) {
		line->maxerror_ns = v->time_maxerror_nanosec;
		line->period_maxerror = v->counter_period_maxerror_rate_frac_sec;
	}
	if (v->flags & FFCLOCK_VF_TIME_ESTERROR_VALID &&
	    v->flags & FFCLOCK_VF_PERIOD_ESTERROR_VALID) {
		line->esterror_ns = v->time_esterror_nanosec;
		line->period_esterror = v->counter_period_esterror_rate_frac_sec;
	}
	if (!ext)
		return 0;
	if (x->leap_change == 1 || x->leap_change == -1) {
		line->leap_change = (int8_t)x->leap_change;
		line->leap_utc_sec = x->leap_utc_sec;
	}
	if (x->stale_after && line->status == FFCLOCK_STATUS_SYNCHRONIZED &&
	    (int64_t)(now - v->counter_value) > (int64_t)x->stale_after)
		line->status = FFCLOCK_STATUS_FREERUNNING;
	return 0;
}

static struct hostclock *open_page(struct hostclock *h, const char *path, char *why,
				   size_t why_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct ffclock_page copy;
	struct host_line line;
	struct stat st;
	uint32_t seq;
	void *map;
	int ret;

	if (fd < 0) {
		snprintf(why, why_len, "%s: %s", path, strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) || (!S_ISCHR(st.st_mode) && !S_ISREG(st.st_mode)) ||
	    (S_ISREG(st.st_mode) && st.st_size < FFCLOCK_PAGE_SIZE)) {
		snprintf(why, why_len, "%s: neither a device nor a file of a page or more", path);
		goto close;
	}
	map = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		snprintf(why, why_len, "%s: cannot be mapped: %s", path, strerror(errno));
		goto close;
	}
	h->page = map;
	if (S_ISREG(st.st_mode)) {
		close(fd);
		fd = -1;
	}
	h->fd = fd;
	ret = page_copy(h->page, &copy, &seq);
	if (!ret)
		ret = page_to_line(&copy, hostclock_tsc(), &line);
	/* what will pass is no reason: a page in mid-update, a clock not yet synchronised */
	if (!ret || ret == -EAGAIN || ret == -EBUSY)
		return h;
	snprintf(why, why_len, ret == -EPROTO ? "%s: no VMClock page" :
		 "%s: its counter is not the TSC, or its time not UTC", path);
	munmap(map, FFCLOCK_PAGE_SIZE);
	if (fd < 0)
		return NULL;
close:
	close(fd);
	return NULL;
}

/* The system clock ---------------------------------------------------------- */

static int system_read(struct hostclock *h, struct host_line *line)
{
	struct timex tx = { 0 };
	struct pair now = take_pair();
	int64_t span = now.realtime_ns - h->from.realtime_ns;
	uint64_t counts = now.tsc - h->from.tsc, width, num;
	ffclock_u128 den;
	uint32_t shift;
	int state;

	state = adjtimex(&tx);
	if (state < 0)
		return -errno;
	if (tx.status & STA_UNSYNC && !h->system_bound_ns)
		return -EAGAIN;
	/* the clock was set in between: measure anew, from here */
	if (span < FIRST_SPAN_NS || !counts || span > SPAN_MAX_NS) {
		if (span < 0 || span > SPAN_MAX_NS)
			h->from = now;
		return h->was_set ? -EAGAIN : -EBUSY;
	}
	*line = (struct host_line){
		.counter = now.tsc,
		.time = ffclock_ns_to_time(now.realtime_ns),
		.status = FFCLOCK_STATUS_SYNCHRONIZED,
		.tai_offset_sec = tx.tai ? tx.tai : h->system_tai,
	};
	/* seconds per count: span ns / 10^9 over counts */
	num = (uint64_t)span;
	for (den = (ffclock_u128)counts * NSEC; den >> 63; den >>= 1)
		num >>= 1;
	/* 36 bits of ns in a minute, of which a 3 GHz counter takes 4: 2^-32 are left */
	if (!num || num >= den / 2)
		return -EAGAIN;
	line->period = ffclock_period_from_ratio(num, (uint64_t)den, &shift);
	line->shift = (uint8_t)shift;
	if (!ffclock_period_valid(line->period, line->shift))
		return -EAGAIN;
	line->period_maxerror = line->period / SYSTEM_RATE_DIV + 1;
	line->period_esterror = line->period_maxerror / 100 + 1;
	width = (uint64_t)ffclock_time_to_ns(ffclock_scale(now.width, line->period, line->shift)) + 1;
	line->maxerror_ns = (tx.status & STA_UNSYNC ? h->system_bound_ns :
			     (uint64_t)tx.maxerror * 1000) + width;
	line->esterror_ns = (tx.status & STA_UNSYNC ? h->system_bound_ns :
			     (uint64_t)tx.esterror * 1000) + width;
	if (state == TIME_INS || state == TIME_DEL) {
		line->leap_change = state == TIME_INS ? 1 : -1;
		line->leap_indicator = state == TIME_INS ? FFCLOCK_LEAP_PRE_POS :
			FFCLOCK_LEAP_PRE_NEG;
		/* the kernel steps at the end of the UTC day */
		line->leap_utc_sec = ((uint64_t)line->time.sec / 86400 + 1) * 86400;
	}
	if (span >= SPAN_MIN_NS)
		h->from = now;
	h->last = *line;
	h->have_last = true;
	h->was_set = false;
	return 0;
}

static bool system_changed(struct hostclock *h)
{
	struct ffclock_time t;
	struct pair now;
	uint64_t off, width;
	int64_t age;

	if (!h->have_last)
		return true;
	now = take_pair();
	t = ffclock_line_at(now.tsc, h->last.counter, h->last.time, h->last.period,
			    h->last.shift);
	off = ffclock_time_absdiff_ns(t, ffclock_ns_to_time(now.realtime_ns));
	width = (uint64_t)ffclock_time_to_ns(ffclock_scale(now.width, h->last.period,
							   h->last.shift));
	age = now.realtime_ns - ffclock_time_to_ns(h->last.time);
	if (off > NSEC) {
		/* set: its rate has to be measured again */
		h->from = now;
		h->have_last = false;
		h->was_set = true;
	}
	return off > SYSTEM_OFF_NS + width || age > SYSTEM_AGE_NS;
}

static struct hostclock *open_system(struct hostclock *h, char *why, size_t why_len)
{
	struct timex tx = { 0 };
	unsigned int a, b, c, d;

	/* CPUID 0x80000007, EDX bit 8: constant rate in all P-, C- and T-states */
	__asm__("cpuid" : "=a" (a), "=b" (b), "=c" (c), "=d" (d) : "a" (0x80000000));
	if (a >= 0x80000007)
		__asm__("cpuid" : "=a" (a), "=b" (b), "=c" (c), "=d" (d) : "a" (0x80000007));
	else
		d = 0;
	if (!(d & 1u << 8) && !h->system_bound_ns) {
		snprintf(why, why_len, "system clock: this processor's TSC is not invariant "
			 "(system-bound overrules)");
		return NULL;
	}
	if (adjtimex(&tx) < 0) {
		snprintf(why, why_len, "adjtimex: %s", strerror(errno));
		return NULL;
	}
	h->from = take_pair();
	return h;
}

/* Both ---------------------------------------------------------------------- */

struct hostclock *hostclock_open(const char *what, uint64_t system_bound_ns, int system_tai,
				 char *why, size_t why_len)
{
	struct hostclock *h = calloc(1, sizeof(*h));
	bool automatic = !strcmp(what, "auto");

	if (!h) {
		snprintf(why, why_len, "out of memory");
		return NULL;
	}
	h->fd = -1;
	h->system_bound_ns = system_bound_ns;
	h->system_tai = system_tai;
	if (automatic || !strcmp(what, "device")) {
		snprintf(h->name, sizeof(h->name), "%s", FFCLOCK_DEV);
		if (open_page(h, FFCLOCK_DEV, why, why_len))
			return h;
	} else if (strcmp(what, "system")) {
		snprintf(h->name, sizeof(h->name), "%s", what);
		if (open_page(h, what, why, why_len))
			return h;
	}
	if (automatic || !strcmp(what, "system")) {
		snprintf(h->name, sizeof(h->name), "system clock");
		if (open_system(h, why, why_len))
			return h;
	}
	free(h);
	return NULL;
}

void hostclock_close(struct hostclock *h)
{
	if (!h)
		return;
	if (h->page)
		munmap((void *)h->page, FFCLOCK_PAGE_SIZE);
	if (h->fd >= 0)
		close(h->fd);
	free(h);
}

const char *hostclock_name(const struct hostclock *h)
{
	return h->name;
}

int hostclock_fd(const struct hostclock *h)
{
	return h->fd;
}

bool hostclock_cheap(const struct hostclock *h)
{
	return h->page;
}

bool hostclock_changed(struct hostclock *h)
{
	if (!h->page)
		return system_changed(h);
	return __atomic_load_n(&h->page->vmclock.seq_count, __ATOMIC_RELAXED) != h->seq;
}

int hostclock_read(struct hostclock *h, struct host_line *line)
{
	struct ffclock_page copy;
	int ret;

	if (!h->page)
		return system_read(h, line);
	/* a device's poll() is quiet again after a read() */
	if (h->fd >= 0 && pread(h->fd, &copy, sizeof(copy), 0) < 0 && errno != EAGAIN)
		return -errno;
	ret = page_copy(h->page, &copy, &h->seq);
	return ret ? ret : page_to_line(&copy, hostclock_tsc(), line);
}
