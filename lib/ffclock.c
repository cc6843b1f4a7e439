// SPDX-License-Identifier: MIT
/*
 * libffclock: the page and what is computed from it.
 *
 * The page is written by the kernel (or, opened as a file, by anybody): nothing
 * on it can make a reader loop for ever or read outside of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/ffclock_math.h>

#include "ffclock.h"

/*
 * Tries before a page that stays odd is given up: with the pause some 100 us,
 * a hundred times what an update takes.  A writer that the hypervisor took away
 * is waited for in the kernel instead.
 */
#define PAGE_TRIES	2000

/**
 * struct ffclock - a handle; constant after open
 * @page: the page, mapped read-only
 * @fd: the device, or -1 for a page from a file
 * @ext: the page has ffclock's own part
 * @clocks: the clocks that the page has, a bit each
 */
struct ffclock {
	const struct ffclock_page *page;
	int fd;
	bool ext;
	unsigned int clocks;
};

#define VMCLOCK_TIME_TAI	1	/* time_type of a foreign page */

/* As the vDSO reads it: ordered after earlier loads */
static inline uint64_t counter_read(void)
{
	_mm_lfence();
	return __rdtsc();
}

/* What of the page is constant; @h gets what it says */
static int page_check(const struct ffclock_page *p, struct ffclock *h)
{
	const struct ffclock_vmclock *v = &p->vmclock;

	if (v->magic != FFCLOCK_VMCLOCK_MAGIC || v->version != FFCLOCK_VMCLOCK_VERSION ||
	    v->size < sizeof(*v))
		return -EPROTO;
	h->ext = v->size >= sizeof(*p) && p->ext.magic == FFCLOCK_EXT_MAGIC &&
		 p->ext.version == FFCLOCK_EXT_VERSION && p->ext.size >= sizeof(p->ext);
	h->clocks = 0;
	/* VMClock also has times that are neither: since boot, or smeared */
	if (v->time_type == FFCLOCK_VMCLOCK_TIME_UTC || v->time_type == VMCLOCK_TIME_TAI)
		h->clocks |= 1U << FFCLOCK_UTC | 1U << FFCLOCK_TAI;
	if (h->ext)
		h->clocks |= 1U << FFCLOCK_MONO | 1U << FFCLOCK_DIFF;
	return 0;
}

static int open_fd(struct ffclock **handle, int fd, bool device)
{
	struct ffclock *h;
	void *page;
	int ret;

	page = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		ret = -errno;
		goto close;
	}
	h = malloc(sizeof(*h));
	if (!h) {
		ret = -ENOMEM;
		goto unmap;
	}
	h->page = page;
	h->fd = device ? fd : -1;
	ret = page_check(page, h);
	if (ret)
		goto free;
	if (!device)
		close(fd);
	*handle = h;
	return 0;
free:
	free(h);
unmap:
	munmap(page, FFCLOCK_PAGE_SIZE);
close:
	close(fd);
	return ret;
}

/**
 * ffclock_open() - open the machine's feed-forward clocks
 * @handle: where the handle goes
 *
 * Return: 0; -ENOENT if the module is not loaded; -EPROTO if its page is of a
 * version that this library does not know; another negative errno
 */
int ffclock_open(struct ffclock **handle)
{
	int fd = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : open_fd(handle, fd, true);
}

/**
 * ffclock_open_page() - open a VMClock page from a file or device
 * @handle: where the handle goes
 * @path: at least a page long; ffclock's own part is used if it is there
 *
 * Such a handle has no system call to fall back on: what needs one is
 * -EOPNOTSUPP.  A file that somebody cuts short while it is open is SIGBUS to
 * its readers, as every mapping is.
 *
 * Return: as ffclock_open(); -ENODATA for a file shorter than a page
 */
int ffclock_open_page(struct ffclock **handle, const char *path)
{
	/* non-blocking: a FIFO without a writer is to be an error, not a wait */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return -errno;
	/* reading past a file's end would be SIGBUS, not an error */
	if (fstat(fd, &st) || (S_ISREG(st.st_mode) && st.st_size < FFCLOCK_PAGE_SIZE)) {
		close(fd);
		return -ENODATA;
	}
	return open_fd(handle, fd, false);
}

/**
 * ffclock_close() - close a handle
 * @handle: as opened; NULL is allowed
 */
void ffclock_close(struct ffclock *handle)
{
	if (!handle)
		return;
	munmap((void *)handle->page, FFCLOCK_PAGE_SIZE);
	if (handle->fd >= 0)
		close(handle->fd);
	free(handle);
}

static int device_call(const struct ffclock *h, unsigned long cmd, void *arg)
{
	if (h->fd < 0)
		return -EOPNOTSUPP;
	return ioctl(h->fd, cmd, arg) ? -errno : 0;
}

/* Sections ----------------------------------------------------------------- */

static inline bool read_begin(const struct ffclock_page *p, uint32_t *seq, int *tries)
{
	for (;;) {
		/* acquire: the data are not older than this; the kernel's pair is
		 * the release in ffc_page_write_end()
		 */
		*seq = __atomic_load_n(&p->vmclock.seq_count, __ATOMIC_ACQUIRE);
		if (__builtin_expect(!(*seq & 1), 1))
			return true;
		if (--*tries < 0)
			return false;
		_mm_pause();
	}
}

static inline bool read_again(const struct ffclock_page *p, uint32_t seq, int *tries)
{
	/* the data are not newer than this */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__builtin_expect(__atomic_load_n(&p->vmclock.seq_count, __ATOMIC_RELAXED) == seq, 1))
		return false;
	return --*tries >= 0;
}

/* TAI - UTC as the page has it, 0 if it does not */
static inline int32_t page_tai(const struct ffclock_vmclock *v)
{
	return v->flags & FFCLOCK_VF_TAI_OFFSET_VALID ? -v->tai_offset_sec : 0;
}

/* Seconds modulo 2^64: a page may hold any */
static inline int64_t sec_add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* UTC of a page on TAI that does not know the difference: nobody does */
static inline bool page_lacks(const struct ffclock_vmclock *v, enum ffclock_id clock)
{
	return clock == FFCLOCK_UTC && v->time_type != FFCLOCK_VMCLOCK_TIME_UTC &&
	       !(v->flags & FFCLOCK_VF_TAI_OFFSET_VALID);
}

static inline struct ffclock_time page_time(const struct ffclock *h, enum ffclock_id clock,
					    uint64_t c)
{
	const struct ffclock_vmclock *v = &h->page->vmclock;
	const struct ffclock_ext *x = &h->page->ext;
	struct ffclock_time t = { (int64_t)v->time_sec, v->time_frac_sec };

	if (clock == FFCLOCK_MONO)
		return ffclock_slew_at(&x->mono, c);
	if (clock == FFCLOCK_DIFF)
		return ffclock_slew_at(&x->diff, c);
	t = ffclock_line_at(c, v->counter_value, t, v->counter_period_frac_sec,
			    v->counter_period_shift);
	if (__builtin_expect(v->time_type != FFCLOCK_VMCLOCK_TIME_UTC, 0))
		t.sec = sec_add(t.sec, -page_tai(v));	/* a foreign page may be on TAI */
	if (clock == FFCLOCK_TAI)
		t.sec = sec_add(t.sec, page_tai(v));
	else if (h->ext && __builtin_expect(x->leap_change, 0) &&
		 t.sec >= (int64_t)x->leap_utc_sec)
		t.sec = sec_add(t.sec, -(int64_t)x->leap_change);
	return t;
}

static inline bool page_has(const struct ffclock *h, enum ffclock_id clock)
{
	return (unsigned int)clock < FFCLOCK_NR && (h->clocks >> clock & 1);
}

static uint32_t page_status(const struct ffclock *h, uint64_t c)
{
	const struct ffclock_vmclock *v = &h->page->vmclock;
	uint64_t stale = h->ext ? h->page->ext.stale_after : 0;

	if (v->clock_status == FFCLOCK_STATUS_SYNCHRONIZED && stale &&
	    (int64_t)(c - v->counter_value) > (int64_t)stale)
		return FFCLOCK_STATUS_FREERUNNING;
	return v->clock_status;
}

static uint64_t page_bound(const struct ffclock *h, enum ffclock_id clock, uint64_t c)
{
	const struct ffclock_vmclock *v = &h->page->vmclock;
	const struct ffclock_ext *x = &h->page->ext;
	struct ffclock_time behind;
	uint64_t bound, away;

	if (clock == FFCLOCK_DIFF || !(v->flags & FFCLOCK_VF_TIME_MAXERROR_VALID) ||
	    !(v->flags & FFCLOCK_VF_PERIOD_MAXERROR_VALID))
		return FFCLOCK_BOUND_UNKNOWN;
	bound = ffclock_bound_grow(v->time_maxerror_nanosec,
				   ffclock_counts_between(c, v->counter_value),
				   v->counter_period_maxerror_rate_frac_sec,
				   v->counter_period_shift);
	if (clock != FFCLOCK_MONO)
		return bound;
	if (!(x->flags & FFCLOCK_EXT_F_SYNCED_ONCE))
		return FFCLOCK_BOUND_UNKNOWN;
	/*
	 * What mono still has to catch up: the line it is to meet runs through
	 * (c1, t1) with the absolute clock's period, as mono itself does after.
	 */
	behind = ffclock_line_at(c, x->mono.c1, x->mono.t1, x->mono.period_after,
				 x->mono.period_shift);
	away = ffclock_time_absdiff_ns(ffclock_slew_at(&x->mono, c), behind);
	return bound > FFCLOCK_BOUND_UNKNOWN - 1 - away ? FFCLOCK_BOUND_UNKNOWN - 1 : bound + away;
}

/* Reading ------------------------------------------------------------------ */

/*
 * The page's constant bytes from 8 on with seq_count behind them, as one word:
 * version, counter_id, time_type, then seq_count in the upper half.
 */
typedef uint64_t __attribute__((may_alias)) page_word;

#define HEAD_OFFSET	offsetof(struct ffclock_vmclock, version)
#define HEAD_SEQ_ODD	(1ULL << 32)
#define HEAD_FAST	(FFCLOCK_VMCLOCK_VERSION | FFCLOCK_COUNTER_X86_TSC << 16 | \
			 (uint64_t)FFCLOCK_VMCLOCK_TIME_UTC << 24)

_Static_assert(offsetof(struct ffclock_vmclock, counter_id) == HEAD_OFFSET + 2 &&
	       offsetof(struct ffclock_vmclock, time_type) == HEAD_OFFSET + 3 &&
	       offsetof(struct ffclock_vmclock, seq_count) == HEAD_OFFSET + 4 &&
	       HEAD_OFFSET % sizeof(page_word) == 0, "the head is one word");

static __attribute__((noinline, cold)) int gettime_slow(const struct ffclock *h,
							enum ffclock_id clock,
							struct timespec *ts, bool good)
{
	struct ffclock_reading r;
	int ret = ffclock_read(h, clock, &r);

	if (ret)
		return ret;
	if (good && r.status != FFCLOCK_STATUS_SYNCHRONIZED)
		return -ENODATA;
	ts->tv_sec = r.time.sec;
	ts->tv_nsec = ffclock_frac_to_ns(r.time.frac);
	return 0;
}

/*
 * The common case, without a loop: the page is whole before and after, on UTC,
 * its counter is the TSC, no leap second is about, and the counter is past the
 * parameters'; and, if @good, it is synchronised and not stale.  Anything else:
 * false.
 *
 * What follows RDTSC is all that a read costs beyond the counter's own time, the
 * rest runs ahead of it.  Hence a product without ffclock_line_at()'s test, and
 * two stores: as a vector they would wait for each other.
 */
static inline __attribute__((always_inline)) bool gettime_fast(const struct ffclock *h,
							       enum ffclock_id clock,
							       struct timespec *ts, bool good)
{
	const struct ffclock_page *p = h->page;
	const page_word *head = (const page_word *)((const char *)p + HEAD_OFFSET);
	const struct ffclock_vmclock *v = &p->vmclock;
	uint64_t before, counter;
	struct ffclock_time t;

	/* acquire: pairs with the release in ffc_page_write_end() */
	before = __atomic_load_n(head, __ATOMIC_ACQUIRE);
	if (__builtin_expect((before & (HEAD_SEQ_ODD | 0xffffffff)) != HEAD_FAST, 0))
		return false;
	if (good && __builtin_expect(v->clock_status != FFCLOCK_STATUS_SYNCHRONIZED, 0))
		return false;
	counter = counter_read();
	/* of a page without ffclock's part stale_after is anything: the slow way, then */
	if (good && __builtin_expect(p->ext.stale_after &&
				     (int64_t)(counter - v->counter_value) >
				     (int64_t)p->ext.stale_after, 0))
		return false;
	if (clock == FFCLOCK_MONO || clock == FFCLOCK_DIFF) {
		t = ffclock_slew_at(clock == FFCLOCK_MONO ? &p->ext.mono : &p->ext.diff, counter);
	} else {
		counter -= v->counter_value;
		if (__builtin_expect((int64_t)counter < 0, 0))
			return false;
		t = ffclock_time_add((struct ffclock_time){ (int64_t)v->time_sec, v->time_frac_sec },
				     ffclock_scale(counter, v->counter_period_frac_sec,
						   v->counter_period_shift));
		if (clock == FFCLOCK_TAI)
			t.sec = sec_add(t.sec, page_tai(v));
		/* of a page without ffclock's part this is any byte: then the slow way */
		else if (__builtin_expect(p->ext.leap_change, 0))
			return false;
	}
	ts->tv_sec = t.sec;
	__asm__("" : : : "memory");
	ts->tv_nsec = ffclock_frac_to_ns(t.frac);
	/* the data are not newer than this */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __builtin_expect(__atomic_load_n(head, __ATOMIC_RELAXED) == before, true);
}

/* A function of its own: what these keep in registers, utc need not save */
static __attribute__((noinline)) int gettime_other(const struct ffclock *h, enum ffclock_id clock,
						   struct timespec *ts)
{
	bool done;

	if (clock == FFCLOCK_TAI)
		done = gettime_fast(h, FFCLOCK_TAI, ts, false);
	else
		done = gettime_fast(h, clock, ts, false);
	return done ? 0 : gettime_slow(h, clock, ts, false);
}

/**
 * ffclock_gettime() - read a clock
 * @h: handle
 * @clock: which one
 * @ts: where the time goes; undefined on error
 *
 * The fast way: neither bound nor status.  A clock that is not synchronised is
 * read as well; ask ffclock_read() or ffclock_now() where that matters.
 *
 * Return: 0; -EINVAL if there is no such clock; for a page without a device also
 * -EAGAIN if it is in the middle of an update that does not end, -EOPNOTSUPP if
 * its counter cannot be read here, -ENODATA for UTC of a page that is on TAI and
 * does not know the difference
 */
int ffclock_gettime(const struct ffclock *h, enum ffclock_id clock, struct timespec *ts)
{
	if (__builtin_expect(!page_has(h, clock), 0))
		return -EINVAL;
	if (clock == FFCLOCK_UTC)
		return gettime_fast(h, FFCLOCK_UTC, ts, false) ? 0 : gettime_slow(h, clock, ts, false);
	return gettime_other(h, clock, ts);
}

/**
 * ffclock_gettime_synchronized() - read a clock if it is synchronised
 * @h: handle
 * @clock: which one
 * @ts: where the time goes; undefined on error
 *
 * As fast as ffclock_gettime(), for who has another clock to fall back on.
 *
 * Return: -ENODATA unless the clock is synchronised and its parameters are not
 * stale, and for TAI while the difference to UTC is unknown; else as
 * ffclock_gettime()
 */
int ffclock_gettime_synchronized(const struct ffclock *h, enum ffclock_id clock,
				 struct timespec *ts)
{
	bool done;

	if (__builtin_expect(!page_has(h, clock), 0))
		return -EINVAL;
	if (clock == FFCLOCK_UTC)
		done = gettime_fast(h, FFCLOCK_UTC, ts, true);
	else
		done = gettime_fast(h, clock, ts, true);
	if (clock == FFCLOCK_TAI && !(h->page->vmclock.flags & FFCLOCK_VF_TAI_OFFSET_VALID) &&
	    h->page->vmclock.time_type == FFCLOCK_VMCLOCK_TIME_UTC)
		return -ENODATA;
	return done ? 0 : gettime_slow(h, clock, ts, true);
}

/* now, or at r->counter; the counter on the page is the hardware's */
static int read_page(const struct ffclock *h, struct ffclock_reading *r, bool now)
{
	const struct ffclock_page *p = h->page;
	int tries = PAGE_TRIES;
	uint64_t offset, raw;
	uint32_t seq;

	do {
		if (!read_begin(p, &seq, &tries))
			return -EAGAIN;
		if (p->vmclock.counter_id != FFCLOCK_COUNTER_X86_TSC)
			return -EOPNOTSUPP;
		if (page_lacks(&p->vmclock, r->clock))
			return -ENODATA;
		offset = h->ext ? p->ext.counter_offset : 0;
		raw = now ? counter_read() : r->counter - offset;
		r->time = page_time(h, r->clock, raw);
		r->bound_ns = page_bound(h, r->clock, raw);
		r->status = page_status(h, raw);
		r->epoch = h->ext ? p->ext.epoch : (uint32_t)p->vmclock.disruption_marker;
	} while (read_again(p, seq, &tries));
	if (tries < 0)
		return -EAGAIN;
	r->counter = raw + offset;
	return 0;
}

/**
 * ffclock_read() - read a clock, with its error bound and status
 * @h: handle
 * @clock: which one
 * @r: where the reading goes
 *
 * Return: as ffclock_gettime(); @r is undefined on error
 */
int ffclock_read(const struct ffclock *h, enum ffclock_id clock, struct ffclock_reading *r)
{
	int ret;

	if (!page_has(h, clock))
		return -EINVAL;
	memset(r, 0, sizeof(*r));
	r->clock = clock;
	ret = read_page(h, r, true);
	if (ret && h->fd >= 0) {
		memset(r, 0, sizeof(*r));
		r->clock = clock;
		ret = device_call(h, FFCLOCK_IOC_READ, r);
	}
	return ret;
}

/**
 * ffclock_read_at() - a clock at a given counter value
 * @h: handle
 * @clock: which one
 * @counter: counter value, of the present epoch
 * @r: where the reading goes
 *
 * Return: as ffclock_gettime()
 */
int ffclock_read_at(const struct ffclock *h, enum ffclock_id clock, uint64_t counter,
		    struct ffclock_reading *r)
{
	int ret;

	if (!page_has(h, clock))
		return -EINVAL;
	memset(r, 0, sizeof(*r));
	r->clock = clock;
	r->flags = FFCLOCK_READ_AT;
	r->counter = counter;
	ret = read_page(h, r, false);
	if (ret && h->fd >= 0) {
		r->counter = counter;
		r->bound_ns = 0;
		ret = device_call(h, FFCLOCK_IOC_READ, r);
	}
	return ret;
}

/* The first hardware reading at which a clock reads @time or more */
static bool page_inverse(const struct ffclock *h, enum ffclock_id clock,
			 struct ffclock_time time, __u64 *raw)
{
	const struct ffclock_vmclock *v = &h->page->vmclock;
	const struct ffclock_ext *x = &h->page->ext;
	struct ffclock_time t0 = { (int64_t)v->time_sec, v->time_frac_sec };
	int64_t leap, change;

	if (clock == FFCLOCK_MONO)
		return ffclock_slew_inverse(&x->mono, time, raw);
	if (clock == FFCLOCK_DIFF)
		return ffclock_slew_inverse(&x->diff, time, raw);
	change = h->ext ? x->leap_change : 0;
	leap = (int64_t)x->leap_utc_sec;
	if (clock == FFCLOCK_TAI)
		time.sec = sec_add(time.sec, -page_tai(v));
	else if (change && time.sec >= leap)
		time.sec = sec_add(time.sec, change);
	else if (change < 0 && time.sec >= sec_add(leap, change))
		/* in a deleted second: its times are first reached where it was */
		time = (struct ffclock_time){ .sec = leap };
	if (v->time_type != FFCLOCK_VMCLOCK_TIME_UTC)
		time.sec = sec_add(time.sec, page_tai(v));
	return ffclock_line_inverse(time, v->counter_value, t0, v->counter_period_frac_sec,
				    v->counter_period_shift, raw);
}

/*
 * On a copy: a division must not have its divisor changed after it was checked,
 * and a file's writer need not keep to the sequence.
 */
static int inverse_page(const struct ffclock *h, struct ffclock_reading *r)
{
	struct ffclock_page copy;
	const struct ffclock on_copy = { .page = &copy, .ext = h->ext, .clocks = h->clocks };
	int tries = PAGE_TRIES;
	uint32_t seq;
	__u64 raw;

	do {
		if (!read_begin(h->page, &seq, &tries))
			return -EAGAIN;
		memcpy(&copy, h->page, sizeof(copy));
		__asm__ __volatile__("" : : "r" (&copy) : "memory");
	} while (read_again(h->page, seq, &tries));
	if (tries < 0)
		return -EAGAIN;
	/* no counter is read, but one that is not ours has no values */
	if (copy.vmclock.counter_id != FFCLOCK_COUNTER_X86_TSC)
		return -EOPNOTSUPP;
	if (page_lacks(&copy.vmclock, r->clock))
		return -ENODATA;
	if (!page_inverse(&on_copy, r->clock, r->time, &raw))
		return -ERANGE;
	r->bound_ns = page_bound(&on_copy, r->clock, raw);
	r->status = page_status(&on_copy, raw);
	r->epoch = h->ext ? copy.ext.epoch : (uint32_t)copy.vmclock.disruption_marker;
	r->counter = raw + (h->ext ? copy.ext.counter_offset : 0);
	return 0;
}

/**
 * ffclock_read_inverse() - the first counter value at which a clock reads a time
 * @h: handle
 * @clock: which one
 * @time: the time
 * @r: counter, bound, status and epoch are filled in
 *
 * Return: -ERANGE if no counter value reads that time; else as ffclock_gettime()
 */
int ffclock_read_inverse(const struct ffclock *h, enum ffclock_id clock,
			 struct ffclock_time time, struct ffclock_reading *r)
{
	const struct ffclock_reading in = {
		.clock = clock, .flags = FFCLOCK_READ_INVERSE, .time = time,
	};
	int ret;

	if (!page_has(h, clock))
		return -EINVAL;
	*r = in;
	ret = inverse_page(h, r);
	if (ret && ret != -ERANGE && h->fd >= 0) {
		*r = in;
		ret = device_call(h, FFCLOCK_IOC_READ, r);
	}
	return ret;
}

/**
 * ffclock_now() - the interval that UTC is in
 * @h: handle
 * @now: where it goes
 *
 * With an unknown bound earliest is the beginning and latest the end of time as
 * a timespec has it: correct, and impossible to overlook.
 *
 * Return: as ffclock_gettime()
 */
int ffclock_now(const struct ffclock *h, struct ffclock_interval *now)
{
	struct ffclock_reading r;
	struct ffclock_time b, t;
	int ret = ffclock_read(h, FFCLOCK_UTC, &r);

	if (ret)
		return ret;
	now->status = r.status;
	if (r.bound_ns > (uint64_t)INT64_MAX) {
		now->earliest = (struct timespec){ 0, 0 };
		now->latest = (struct timespec){ INT64_MAX, 999999999 };
		return 0;
	}
	b = ffclock_ns_to_time((int64_t)r.bound_ns);
	t = ffclock_time_sub(r.time, b);
	now->earliest = (struct timespec){ t.sec, ffclock_frac_to_ns(t.frac) };
	/* rounded up, as the other end is rounded down */
	t = ffclock_time_add(ffclock_time_add(r.time, b), ffclock_ns_to_time(1));
	now->latest = (struct timespec){ t.sec, ffclock_frac_to_ns(t.frac) };
	return 0;
}

/**
 * ffclock_counter() - read the cumulative counter
 * @h: handle
 * @counter: where the counter goes
 * @epoch: where its epoch goes, or NULL
 *
 * Return: as ffclock_gettime()
 */
int ffclock_counter(const struct ffclock *h, uint64_t *counter, uint32_t *epoch)
{
	const struct ffclock_page *p = h->page;
	int tries = PAGE_TRIES, ret;
	struct ffclock_counter c;
	uint32_t seq, e;
	uint64_t value;

	do {
		if (!read_begin(p, &seq, &tries) ||
		    p->vmclock.counter_id != FFCLOCK_COUNTER_X86_TSC)
			goto slow;
		value = counter_read() + (h->ext ? p->ext.counter_offset : 0);
		e = h->ext ? p->ext.epoch : (uint32_t)p->vmclock.disruption_marker;
	} while (read_again(p, seq, &tries));
	if (tries < 0)
		goto slow;
	*counter = value;
	if (epoch)
		*epoch = e;
	return 0;
slow:
	ret = device_call(h, FFCLOCK_IOC_COUNTER, &c);
	if (ret)
		return ret;
	*counter = c.value;
	if (epoch)
		*epoch = c.epoch;
	return 0;
}

/**
 * ffclock_diff() - the time between two counter values, by the rate alone
 * @h: handle
 * @from: counter value
 * @to: counter value of the same epoch
 * @ns: where the difference goes, negative if @to is the earlier one
 * @bound_ns: where the bound of its error goes, or NULL
 *
 * Return: 0, or -EAGAIN if the page's update does not end
 */
int ffclock_diff(const struct ffclock *h, uint64_t from, uint64_t to, int64_t *ns,
		 uint64_t *bound_ns)
{
	const struct ffclock_vmclock *v = &h->page->vmclock;
	const struct ffclock_time zero = { 0, 0 };
	uint64_t period, rate;
	int tries = PAGE_TRIES;
	uint32_t seq, shift;

	do {
		if (!read_begin(h->page, &seq, &tries))
			return -EAGAIN;
		period = v->counter_period_frac_sec;
		rate = v->flags & FFCLOCK_VF_PERIOD_MAXERROR_VALID ?
			v->counter_period_maxerror_rate_frac_sec : period;
		shift = v->counter_period_shift;
	} while (read_again(h->page, seq, &tries));
	if (tries < 0)
		return -EAGAIN;
	*ns = ffclock_time_to_ns(ffclock_line_at(to, from, zero, period, shift));
	if (bound_ns)
		*bound_ns = ffclock_bound_grow(0, ffclock_counts_between(from, to), rate, shift);
	return 0;
}

/**
 * ffclock_status() - whether the clocks are synchronised
 * @h: handle
 *
 * Return: FFCLOCK_STATUS_*, or a negative errno
 */
int ffclock_status(const struct ffclock *h)
{
	struct ffclock_reading r;
	int ret = ffclock_read(h, FFCLOCK_UTC, &r);

	return ret ? ret : (int)r.status;
}

/**
 * ffclock_migration_sequence() - disruptions acted on; one load
 * @h: handle
 *
 * Take it, work with times, take it again: if it has changed, redo.
 *
 * Return: the sequence, 0 for a page that has none
 */
uint64_t ffclock_migration_sequence(const struct ffclock *h)
{
	return h->ext ? __atomic_load_n(&h->page->ext.migration_sequence, __ATOMIC_ACQUIRE) : 0;
}

/**
 * ffclock_wait() - until the parameters change, a new epoch or a disruption comes
 * @h: handle on a device; the first call returns at once
 * @timeout_ms: at most this long, -1: for ever
 *
 * Every handle has one reader of changes: threads that wait on the same handle
 * take them from each other.
 *
 * Return: 1 if there was a change, 0 on time-out, or a negative errno
 */
int ffclock_wait(const struct ffclock *h, int timeout_ms)
{
	struct pollfd p = { .fd = h->fd, .events = POLLIN };
	uint32_t magic;
	int ret;

	if (h->fd < 0)
		return -EOPNOTSUPP;
	ret = poll(&p, 1, timeout_ms);
	if (ret < 0)
		return -errno;
	/* reading, wherever, is what marks the change as seen */
	if (ret && pread(h->fd, &magic, sizeof(magic), 0) < 0)
		return -errno;
	return ret;
}

/* Calls -------------------------------------------------------------------- */

/* The counter and all system clocks at one instant: FFCLOCK_IOC_SNAPSHOT */
int ffclock_snapshot(const struct ffclock *h, struct ffclock_snapshot *snap)
{
	return device_call(h, FFCLOCK_IOC_SNAPSHOT, snap);
}

/* CLOCK_REALTIME stamps to counter values, any number: FFCLOCK_IOC_CONVERT */
int ffclock_convert(const struct ffclock *h, struct ffclock_stamp *stamps, uint32_t count)
{
	struct ffclock_convert c;
	uint32_t n;
	int ret;

	for (; count; count -= n, stamps += n) {
		n = count < FFCLOCK_CONVERT_MAX ? count : FFCLOCK_CONVERT_MAX;
		c = (struct ffclock_convert){ .stamps = (uintptr_t)stamps, .count = n };
		ret = device_call(h, FFCLOCK_IOC_CONVERT, &c);
		if (ret)
			return ret;
	}
	return 0;
}

/* The parameters in force: FFCLOCK_IOC_GETEST */
int ffclock_get_estimate(const struct ffclock *h, struct ffclock_estimate *est)
{
	return device_call(h, FFCLOCK_IOC_GETEST, est);
}

/* Replace the parameters; needs CAP_SYS_TIME: FFCLOCK_IOC_SETEST */
int ffclock_set_estimate(const struct ffclock *h, const struct ffclock_estimate *est)
{
	return device_call(h, FFCLOCK_IOC_SETEST, (void *)est);
}

/* A disruption and what was done about it: FFCLOCK_IOC_MIGRATION */
int ffclock_migration(const struct ffclock *h, struct ffclock_migration *m)
{
	return device_call(h, FFCLOCK_IOC_MIGRATION, m);
}

/* A status in words; "invalid" for a number that is none */
const char *ffclock_status_name(uint32_t status)
{
	static const char *const names[] = {
		[FFCLOCK_STATUS_UNKNOWN]	= "unknown",
		[FFCLOCK_STATUS_INITIALIZING]	= "initializing",
		[FFCLOCK_STATUS_SYNCHRONIZED]	= "synchronized",
		[FFCLOCK_STATUS_FREERUNNING]	= "freerunning",
		[FFCLOCK_STATUS_UNRELIABLE]	= "unreliable",
	};

	return status < sizeof(names) / sizeof(names[0]) ? names[status] : "invalid";
}

/* Whether reads take no system call at the moment: 1 or 0 */
int ffclock_reads_without_syscall(const struct ffclock *h)
{
	return __atomic_load_n(&h->page->vmclock.counter_id, __ATOMIC_RELAXED) ==
	       FFCLOCK_COUNTER_X86_TSC;
}
