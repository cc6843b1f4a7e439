// SPDX-License-Identifier: GPL-2.0-only
/*
 * libffclock on page files: what it reads, what it says when the page is old,
 * disrupted, foreign, hostile or changing, and what it falls back to.
 *
 * The library's source is linked in with open() and ioctl() wrapped, so that a
 * page file can stand for the device too.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "ffclock.h"
#include "lib_page.h"
#include "math_random.h"

#define NS		1000000000ULL
#define TORN_READS	200000	/* of each reader, while the page is rewritten */

static struct page_file file;
static uint64_t seed = 1, hostile_pages = 100000;

/* The device ---------------------------------------------------------------- */

/* errno of open(FFCLOCK_DEV); 0: the page file is the device */
static int device_errno = ENOENT;
static int call_errno;		/* of every ioctl */
static unsigned long last_call;
static unsigned int calls;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long cmd, void *arg);

int __wrap_open(const char *path, int flags, ...)
{
	if (strcmp(path, FFCLOCK_DEV))
		return __real_open(path, flags, 0600);
	if (!device_errno)
		return __real_open(file.path, flags);
	errno = device_errno;
	return -1;
}

int __wrap_ioctl(int fd, unsigned long cmd, void *arg)
{
	struct ffclock_reading *r = arg;
	struct ffclock_convert *c = arg;
	struct ffclock_stamp *s;
	uint32_t i;

	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	calls++;
	last_call = cmd;
	if (call_errno) {
		errno = call_errno;
		return -1;
	}
	switch (cmd) {
	case FFCLOCK_IOC_READ:
		/* the kernel refuses what is not zero */
		assert_true(!r->bound_ns && !r->status && !r->epoch);
		assert_true(!r->reserved[0] && !r->reserved[1]);
		r->time = (struct ffclock_time){ 12345, 1ULL << 63 };
		r->bound_ns = 99;
		r->status = FFCLOCK_STATUS_FREERUNNING;
		r->epoch = 8;
		r->counter = r->flags & FFCLOCK_READ_AT ? r->counter : 777;
		return 0;
	case FFCLOCK_IOC_COUNTER:
		*(struct ffclock_counter *)arg = (struct ffclock_counter){ .value = 4711,
									   .epoch = 9 };
		return 0;
	case FFCLOCK_IOC_CONVERT:
		assert_in_range(c->count, 1, FFCLOCK_CONVERT_MAX);
		assert_int_equal(c->flags, 0);
		s = (struct ffclock_stamp *)(uintptr_t)c->stamps;
		for (i = 0; i < c->count; i++)
			s[i].counter = (uint64_t)s[i].realtime_ns * 3;
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}

/* Helpers ------------------------------------------------------------------- */

static struct ffclock *open_page(void)
{
	struct ffclock *h = NULL;

	assert_int_equal(ffclock_open_page(&h, file.path), 0);
	return h;
}

static int fill(void **state)
{
	(void)state;
	page_fill(file.page, 2600000000, 1800000000);
	device_errno = ENOENT;
	call_errno = 0;
	return 0;
}

static struct ffclock_time plus_sec(struct ffclock_time t, int64_t sec)
{
	t.sec += sec;
	return t;
}

/* UTC's line at a raw counter value */
static struct ffclock_time line_at(const struct ffclock_page *p, uint64_t raw)
{
	const struct ffclock_vmclock *v = &p->vmclock;
	struct ffclock_time t = { (int64_t)v->time_sec, v->time_frac_sec };

	return ffclock_line_at(raw, v->counter_value, t, v->counter_period_frac_sec,
			       v->counter_period_shift);
}

static void same_time(struct ffclock_time a, struct ffclock_time b)
{
	assert_int_equal(a.sec, b.sec);
	assert_int_equal(a.frac, b.frac);
}

/* Opening ------------------------------------------------------------------- */

static void test_open_errors(void **state)
{
	char path[96];
	struct ffclock *h = NULL;
	int fd, size;

	(void)state;
	assert_int_equal(ffclock_open(&h), -ENOENT);
	device_errno = EACCES;
	assert_int_equal(ffclock_open(&h), -EACCES);
	assert_int_equal(ffclock_open_page(&h, "/nonexistent/page"), -ENOENT);
	assert_true(ffclock_open_page(&h, "/tmp") < 0);
	assert_true(ffclock_open_page(&h, "/dev/null") < 0);

	/* nobody writes to it: must not wait */
	snprintf(path, sizeof(path), "%s.fifo", file.path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(ffclock_open_page(&h, path) < 0);
	unlink(path);

	/* files that end too early, the last one by a byte */
	snprintf(path, sizeof(path), "%s.short", file.path);
	for (size = 0; size < FFCLOCK_PAGE_SIZE; size += 819) {
		fd = __real_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		assert_true(fd >= 0 && write(fd, file.page, size) == size);
		close(fd);
		assert_int_equal(ffclock_open_page(&h, path), -ENODATA);
	}
	unlink(path);

	file.page->vmclock.magic++;
	assert_int_equal(ffclock_open_page(&h, file.path), -EPROTO);
	file.page->vmclock.magic--;
	file.page->vmclock.version = 2;
	assert_int_equal(ffclock_open_page(&h, file.path), -EPROTO);
	file.page->vmclock.version = 1;
	file.page->vmclock.size = sizeof(struct ffclock_vmclock) - 1;
	assert_int_equal(ffclock_open_page(&h, file.path), -EPROTO);
	file.page->vmclock.size = 0;
	assert_int_equal(ffclock_open_page(&h, file.path), -EPROTO);
	assert_null(h);
	ffclock_close(NULL);
}

static void test_sizes(void **state)
{
	struct ffclock_reading r;
	struct ffclock *h;

	(void)state;
	/* larger than anything: what is known is used, nothing else is touched */
	file.page->vmclock.size = UINT32_MAX;
	file.page->ext.size = UINT32_MAX;
	h = open_page();
	assert_int_equal(ffclock_read(h, FFCLOCK_MONO, &r), 0);
	ffclock_close(h);
	/* a plain VMClock page: no ffclock part, so no mono and no diff */
	file.page->vmclock.size = sizeof(struct ffclock_vmclock);
	h = open_page();
	assert_int_equal(ffclock_read(h, FFCLOCK_UTC, &r), 0);
	assert_int_equal(r.epoch, 7);
	same_time(r.time, line_at(file.page, r.counter));
	assert_int_equal(ffclock_read(h, FFCLOCK_MONO, &r), -EINVAL);
	assert_int_equal(ffclock_migration_sequence(h), 0);
	ffclock_close(h);
	/* an ffclock part of another version or shorter is none */
	fill(NULL);
	file.page->ext.version++;
	h = open_page();
	assert_int_equal(ffclock_read(h, FFCLOCK_DIFF, &r), -EINVAL);
	ffclock_close(h);
	fill(NULL);
	file.page->ext.size--;
	h = open_page();
	assert_int_equal(ffclock_read(h, FFCLOCK_MONO, &r), -EINVAL);
	assert_int_equal(ffclock_read(h, FFCLOCK_TAI, &r), 0);
	ffclock_close(h);
}

/* Reading ------------------------------------------------------------------- */

static void test_read(void **state)
{
	const struct ffclock_page *p = file.page;
	struct ffclock_reading r, again;
	struct ffclock *h = open_page();
	struct timespec ts;
	uint64_t raw, c;
	uint32_t epoch;
	int i, clock;

	(void)state;
	for (i = 0; i < 1000; i++) {
		for (clock = 0; clock < FFCLOCK_NR; clock++) {
			assert_int_equal(ffclock_read(h, clock, &r), 0);
			raw = r.counter - p->ext.counter_offset;
			same_time(r.time, clock == FFCLOCK_UTC ? line_at(p, raw) :
				  clock == FFCLOCK_TAI ? plus_sec(line_at(p, raw), 37) :
				  ffclock_slew_at(clock == FFCLOCK_MONO ? &p->ext.mono :
						  &p->ext.diff, raw));
			assert_int_equal(r.clock, clock);
			assert_int_equal(r.epoch, 3);
			assert_int_equal(r.status, FFCLOCK_STATUS_SYNCHRONIZED);
			assert_int_equal(ffclock_gettime(h, clock, &ts), 0);
			assert_int_equal(ffclock_counter(h, &c, &epoch), 0);
			assert_int_equal(epoch, 3);
			assert_true(c >= r.counter);
			assert_int_equal(ffclock_read(h, clock, &again), 0);
			assert_true(again.counter >= c);
			/* gettime() is between the two readings, to the ns it rounds to */
			assert_true(ts.tv_sec * (int64_t)NS + ts.tv_nsec >= ffclock_time_to_ns(r.time));
			assert_true(ts.tv_sec * (int64_t)NS + ts.tv_nsec <=
				    ffclock_time_to_ns(again.time));
		}
	}
	assert_int_equal(ffclock_gettime(h, FFCLOCK_NR, &ts), -EINVAL);
	assert_int_equal(ffclock_gettime(h, (enum ffclock_id)-1, &ts), -EINVAL);
	assert_int_equal(ffclock_read(h, 77, &r), -EINVAL);
	assert_int_equal(ffclock_read_at(h, 77, 0, &r), -EINVAL);
	assert_int_equal(ffclock_read_inverse(h, 77, r.time, &r), -EINVAL);
	assert_int_equal(ffclock_migration_sequence(h), 5);
	assert_int_equal(ffclock_status(h), FFCLOCK_STATUS_SYNCHRONIZED);
	assert_int_equal(ffclock_reads_without_syscall(h), 1);
	/* without a device */
	assert_int_equal(ffclock_wait(h, 0), -EOPNOTSUPP);
	assert_int_equal(ffclock_snapshot(h, NULL), -EOPNOTSUPP);
	assert_int_equal(ffclock_migration(h, NULL), -EOPNOTSUPP);
	ffclock_close(h);
}

static void test_bounds(void **state)
{
	struct ffclock_vmclock *v = &file.page->vmclock;
	struct ffclock_ext *x = &file.page->ext;
	struct ffclock_reading r, m;
	struct ffclock *h = open_page();
	uint64_t hour = 2600000000ULL * 3600, at = v->counter_value + x->counter_offset;
	struct ffclock_time target;

	(void)state;
	/* 1000 ns + 3600 s * 1 ppm, rounded up by at most 2 ns, either way in time */
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at + hour, &r), 0);
	assert_in_range(r.bound_ns, 1000 + 3600000, 1000 + 3600000 + 3);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_TAI, at - hour, &r), 0);
	assert_in_range(r.bound_ns, 1000 + 3600000, 1000 + 3600000 + 3);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at, &r), 0);
	assert_int_equal(r.bound_ns, 1000);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_DIFF, at, &r), 0);
	assert_true(r.bound_ns == FFCLOCK_BOUND_UNKNOWN);

	/* mono: what it still has to catch up comes on top */
	target = plus_sec(x->mono.t0, 0);
	target = ffclock_time_add(target, ffclock_ns_to_time(500000));
	x->mono = ffclock_slew_plan(&x->mono, v->counter_value, v->counter_value, target,
				    v->counter_period_frac_sec, v->counter_period_shift, hour);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_MONO, at, &m), 0);
	assert_in_range(m.bound_ns, 501000, 501002);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_MONO, at + hour / 2, &m), 0);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at + hour / 2, &r), 0);
	assert_in_range(m.bound_ns - r.bound_ns, 249999, 250002);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_MONO, at + hour, &m), 0);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at + hour, &r), 0);
	assert_in_range(m.bound_ns - r.bound_ns, 0, 1);

	x->flags = 0;
	assert_int_equal(ffclock_read(h, FFCLOCK_MONO, &m), 0);
	assert_true(m.bound_ns == FFCLOCK_BOUND_UNKNOWN);
	v->flags &= ~(__u64)FFCLOCK_VF_PERIOD_MAXERROR_VALID;
	assert_int_equal(ffclock_read(h, FFCLOCK_UTC, &r), 0);
	assert_true(r.bound_ns == FFCLOCK_BOUND_UNKNOWN);
	v->flags = FFCLOCK_VF_PERIOD_MAXERROR_VALID;
	assert_int_equal(ffclock_read(h, FFCLOCK_UTC, &r), 0);
	assert_true(r.bound_ns == FFCLOCK_BOUND_UNKNOWN);
	ffclock_close(h);
}

static void test_now(void **state)
{
	struct ffclock_vmclock *v = &file.page->vmclock;
	struct ffclock_interval now;
	struct ffclock_reading a, b;
	struct ffclock *h = open_page();
	int64_t from, to;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		v->time_maxerror_nanosec = i * 1000003ULL;
		assert_int_equal(ffclock_read(h, FFCLOCK_UTC, &a), 0);
		assert_int_equal(ffclock_now(h, &now), 0);
		assert_int_equal(ffclock_read(h, FFCLOCK_UTC, &b), 0);
		from = now.earliest.tv_sec * (int64_t)NS + now.earliest.tv_nsec;
		to = now.latest.tv_sec * (int64_t)NS + now.latest.tv_nsec;
		/* what UTC may be, from the first reading on; and no wider than needed */
		assert_true(from >= ffclock_time_to_ns(a.time) - (int64_t)b.bound_ns - 1);
		assert_true(from <= ffclock_time_to_ns(b.time) - (int64_t)a.bound_ns);
		assert_true(to >= ffclock_time_to_ns(a.time) + (int64_t)a.bound_ns);
		assert_true(to <= ffclock_time_to_ns(b.time) + (int64_t)b.bound_ns + 2);
		assert_int_equal(now.status, FFCLOCK_STATUS_SYNCHRONIZED);
	}
	v->flags = 0;
	assert_int_equal(ffclock_now(h, &now), 0);
	assert_int_equal(now.earliest.tv_sec, 0);
	assert_true(now.latest.tv_sec == INT64_MAX);
	ffclock_close(h);
}

/* A leap second, inserted and deleted, as UTC and TAI readers see it */
static void test_leap(void **state)
{
	struct ffclock_vmclock *v = &file.page->vmclock;
	struct ffclock_ext *x = &file.page->ext;
	uint64_t hz = 2600000000, at = v->counter_value + x->counter_offset;
	struct ffclock_time leap = { 1800000010, 0 };
	struct ffclock *h = open_page();
	struct ffclock_reading r;

	(void)state;
	v->time_frac_sec = 1ULL << 63;
	x->leap_utc_sec = 1800000010;
	x->leap_change = 1;
	/* 9.5 s later it is 10.0: the inserted second repeats ..09 */
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at + hz * 9, &r), 0);
	assert_int_equal(r.time.sec, 1800000009);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at + hz * 10, &r), 0);
	assert_int_equal(r.time.sec, 1800000009);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at + hz * 11, &r), 0);
	assert_int_equal(r.time.sec, 1800000010);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_TAI, at + hz * 11, &r), 0);
	assert_int_equal(r.time.sec, 1800000011 + 37);
	/* the first time at which it is ..10 is after the inserted second */
	assert_int_equal(ffclock_read_inverse(h, FFCLOCK_UTC, leap, &r), 0);
	assert_in_range(r.counter, at + hz * 21 / 2 - 1, at + hz * 21 / 2 + 1);

	x->leap_change = -1;
	x->leap_utc_sec = 1800000010;
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at + hz * 9, &r), 0);
	assert_int_equal(r.time.sec, 1800000009);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, at + hz * 10, &r), 0);
	assert_int_equal(r.time.sec, 1800000011);
	ffclock_close(h);
}

static void test_conversions(void **state)
{
	const struct ffclock_page *p = file.page;
	struct ffclock_time t, far = { INT64_MAX, 0 };
	struct ffclock *h = open_page();
	struct ffclock_reading r, at;
	uint64_t rng = seed, c;
	int64_t ns;
	uint64_t bound;
	int i, clock;

	(void)state;
	/* mono with all its three slopes */
	file.page->ext.mono = ffclock_slew_plan(&p->ext.mono, p->vmclock.counter_value,
						p->vmclock.counter_value + 2600000,
						(struct ffclock_time){ 101, 0 },
						p->vmclock.counter_period_frac_sec,
						p->vmclock.counter_period_shift, 26000000000ULL);
	for (i = 0; i < 100000; i++) {
		c = p->vmclock.counter_value + p->ext.counter_offset;
		c += random_below(&rng, 2) ? random_u64(&rng) >> 3 : -(random_u64(&rng) >> 3);
		clock = i % FFCLOCK_NR;
		assert_int_equal(ffclock_read_at(h, clock, c, &at), 0);
		assert_true(at.counter == c);
		/* the first count that reads a time not before this is this */
		assert_int_equal(ffclock_read_inverse(h, clock, at.time, &r), 0);
		assert_true(r.counter == c && r.epoch == 3 && r.bound_ns == at.bound_ns);
		t = ffclock_time_add(at.time, (struct ffclock_time){ 0, 1 });
		assert_int_equal(ffclock_read_inverse(h, clock, t, &r), 0);
		assert_true(r.counter == c + 1);
	}
	assert_int_equal(ffclock_read_inverse(h, FFCLOCK_UTC, far, &r), -ERANGE);

	assert_int_equal(ffclock_diff(h, 1000, 1000 + 2600000000, &ns, &bound), 0);
	assert_in_range(ns, NS - 1, NS);
	assert_in_range(bound, 1000, 1002);
	assert_int_equal(ffclock_diff(h, 2600000000, 0, &ns, NULL), 0);
	assert_in_range(-ns, NS - 1, NS);
	file.page->vmclock.flags = 0;
	/* a rate that nobody knows: off by all of itself */
	assert_int_equal(ffclock_diff(h, 0, 2600000000, &ns, &bound), 0);
	assert_in_range(bound, NS, NS + 2);
	ffclock_close(h);
}

/* Pages that are not fine ---------------------------------------------------- */

static void test_status(void **state)
{
	struct ffclock_vmclock *v = &file.page->vmclock;
	struct ffclock *h = open_page();
	struct ffclock_reading r;
	int s;

	(void)state;
	for (s = FFCLOCK_STATUS_UNKNOWN; s <= FFCLOCK_STATUS_UNRELIABLE; s++) {
		v->clock_status = s;
		assert_int_equal(ffclock_status(h), s);
		assert_string_not_equal(ffclock_status_name(s), "invalid");
	}
	assert_string_equal(ffclock_status_name(5), "invalid");
	assert_string_equal(ffclock_status_name(UINT32_MAX), "invalid");

	/* stale after a second's counts: synchronised before, no longer after */
	v->clock_status = FFCLOCK_STATUS_SYNCHRONIZED;
	file.page->ext.stale_after = 2600000000;
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, v->counter_value + 1000000 + 2600000000,
					 &r), 0);
	assert_int_equal(r.status, FFCLOCK_STATUS_SYNCHRONIZED);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, v->counter_value + 1000000 + 2600000001,
					 &r), 0);
	assert_int_equal(r.status, FFCLOCK_STATUS_FREERUNNING);
	v->counter_value -= 2600000000ULL * 10;
	assert_int_equal(ffclock_status(h), FFCLOCK_STATUS_FREERUNNING);
	/* a disruption is not made better by age */
	v->clock_status = FFCLOCK_STATUS_UNRELIABLE;
	assert_int_equal(ffclock_status(h), FFCLOCK_STATUS_UNRELIABLE);

	/* what a disruption looks like to who keeps the sequence */
	assert_int_equal(ffclock_migration_sequence(h), 5);
	file.page->ext.migration_sequence++;
	assert_int_equal(ffclock_migration_sequence(h), 6);
	ffclock_close(h);
}

static void test_foreign(void **state)
{
	struct ffclock_vmclock *v = &file.page->vmclock;
	struct ffclock_reading r;
	struct timespec ts;
	struct ffclock *h;
	uint64_t c;
	int type;

	(void)state;
	/* on TAI: UTC by the difference, and not at all without it */
	v->time_type = 1;
	h = open_page();
	assert_int_equal(ffclock_read(h, FFCLOCK_UTC, &r), 0);
	same_time(plus_sec(r.time, 37), line_at(file.page, r.counter - 1000000));
	assert_int_equal(ffclock_read(h, FFCLOCK_TAI, &r), 0);
	same_time(r.time, line_at(file.page, r.counter - 1000000));
	c = r.counter;
	assert_int_equal(ffclock_read_inverse(h, FFCLOCK_TAI, r.time, &r), 0);
	assert_true(r.counter == c);
	v->flags &= ~(__u64)FFCLOCK_VF_TAI_OFFSET_VALID;
	assert_int_equal(ffclock_read(h, FFCLOCK_UTC, &r), -ENODATA);
	assert_int_equal(ffclock_gettime(h, FFCLOCK_UTC, &ts), -ENODATA);
	assert_int_equal(ffclock_read_inverse(h, FFCLOCK_UTC, r.time, &r), -ENODATA);
	assert_int_equal(ffclock_gettime(h, FFCLOCK_TAI, &ts), 0);
	ffclock_close(h);
	/* since boot, smeared, or what is not defined yet: neither UTC nor TAI */
	for (type = 2; type < 256; type++) {
		v->time_type = type;
		h = open_page();
		assert_int_equal(ffclock_read(h, FFCLOCK_UTC, &r), -EINVAL);
		assert_int_equal(ffclock_gettime(h, FFCLOCK_TAI, &ts), -EINVAL);
		ffclock_close(h);
	}
	/* another machine's counter, or none */
	fill(NULL);
	h = open_page();
	v->counter_id = FFCLOCK_COUNTER_INVALID;
	assert_int_equal(ffclock_gettime(h, FFCLOCK_UTC, &ts), -EOPNOTSUPP);
	assert_int_equal(ffclock_reads_without_syscall(h), 0);
	v->counter_id = FFCLOCK_COUNTER_ARM_VCNT;
	assert_int_equal(ffclock_read(h, FFCLOCK_MONO, &r), -EOPNOTSUPP);
	assert_int_equal(ffclock_counter(h, &c, NULL), -EOPNOTSUPP);
	assert_int_equal(ffclock_read_inverse(h, FFCLOCK_UTC, r.time, &r), -EOPNOTSUPP);
	ffclock_close(h);
}

/* Its writer died in the middle: every call comes back and says so */
static void test_stuck(void **state)
{
	struct ffclock_interval now;
	struct ffclock *h = open_page();
	struct ffclock_reading r;
	struct timespec ts;
	uint64_t c;
	int64_t ns;

	(void)state;
	file.page->vmclock.seq_count = 4711;
	assert_int_equal(ffclock_gettime(h, FFCLOCK_UTC, &ts), -EAGAIN);
	assert_int_equal(ffclock_read(h, FFCLOCK_MONO, &r), -EAGAIN);
	assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, 1, &r), -EAGAIN);
	assert_int_equal(ffclock_read_inverse(h, FFCLOCK_UTC, r.time, &r), -EAGAIN);
	assert_int_equal(ffclock_now(h, &now), -EAGAIN);
	assert_true(ffclock_counter(h, &c, NULL) < 0);
	assert_int_equal(ffclock_diff(h, 0, 1, &ns, NULL), -EAGAIN);
	assert_int_equal(ffclock_status(h), -EAGAIN);
	assert_int_equal(ffclock_migration_sequence(h), 5);
	ffclock_close(h);
}

/* Anything may be on a page: no call crashes, loops, or (UBSan) overflows */
static void test_hostile(void **state)
{
	uint64_t rng = seed, i, *words = (uint64_t *)file.page, c, bound;
	struct ffclock_vmclock *v = &file.page->vmclock;
	struct ffclock_ext *x = &file.page->ext;
	struct ffclock_interval now;
	struct ffclock_reading r;
	struct timespec ts;
	struct ffclock *h;
	int64_t ns;
	size_t w;
	int clock;

	(void)state;
	for (i = 0; i < hostile_pages; i++) {
		for (w = 0; w < sizeof(struct ffclock_page) / 8; w++)
			words[w] = random_bits(&rng) & 1 ? random_bits(&rng) : random_u64(&rng);
		v->magic = FFCLOCK_VMCLOCK_MAGIC;
		v->version = FFCLOCK_VMCLOCK_VERSION;
		v->size |= 0x70;
		if (random_bits(&rng) & 63)	/* each try at an odd one takes 0.1 ms */
			v->seq_count &= ~1U;
		if (random_bits(&rng) & 3)
			v->counter_id = FFCLOCK_COUNTER_X86_TSC;
		if (random_bits(&rng) & 3)
			v->time_type &= 1;
		if (random_bits(&rng) & 7) {
			v->size |= 0x1000;
			x->magic = FFCLOCK_EXT_MAGIC;
			x->version = FFCLOCK_EXT_VERSION;
			x->size |= 0x1000;
		}
		if (random_bits(&rng) & 1)
			x->mono.period_shift &= 63;
		h = open_page();
		for (clock = 0; clock < FFCLOCK_NR; clock++) {
			ffclock_gettime(h, clock, &ts);
			r.time = (struct ffclock_time){ (int64_t)random_u64(&rng),
							random_u64(&rng) };
			ffclock_read_inverse(h, clock, r.time, &r);
			ffclock_read_at(h, clock, random_u64(&rng), &r);
			if (!ffclock_read(h, clock, &r))
				ffclock_status_name(r.status);
		}
		ffclock_now(h, &now);
		ffclock_counter(h, &c, NULL);
		ffclock_diff(h, random_u64(&rng), random_u64(&rng), &ns, &bound);
		ffclock_status(h);
		ffclock_migration_sequence(h);
		ffclock_close(h);
	}
}

/* Writers and readers at once ------------------------------------------------- */

static struct ffclock_page sets[2];
static bool writer_stop;

/* As ffc_page_write_begin() and ffc_page_write_end() do it */
static void *writer(void *arg)
{
	struct ffclock_vmclock *v = &file.page->vmclock;
	unsigned int n = 0;
	size_t skip = offsetof(struct ffclock_vmclock, disruption_marker);
	int i;

	(void)arg;
	while (!__atomic_load_n(&writer_stop, __ATOMIC_RELAXED)) {
		const struct ffclock_page *s = &sets[++n & 1];

		__atomic_store_n(&v->seq_count, v->seq_count + 1, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		memcpy((char *)file.page + skip, (const char *)s + skip, sizeof(*s) - skip);
		__atomic_store_n(&v->seq_count, v->seq_count + 1, __ATOMIC_RELEASE);
		for (i = 0; i < 100; i++)
			_mm_pause();
	}
	return NULL;
}

/* Nothing of one set with anything of the other */
static void check_set(const struct ffclock_reading *r)
{
	const struct ffclock_page *s = &sets[r->epoch & 1];
	uint64_t raw = r->counter - s->ext.counter_offset;
	struct ffclock_time t;

	if (r->clock == FFCLOCK_MONO)
		t = ffclock_slew_at(&s->ext.mono, raw);
	else
		t = plus_sec(line_at(s, raw), r->clock == FFCLOCK_TAI ? 37 : 0);
	if (t.sec != r->time.sec || t.frac != r->time.frac ||
	    r->status != s->vmclock.clock_status) {
		printf("# torn: epoch %u clock %u\n", r->epoch, r->clock);
		abort();
	}
}

static uint64_t busy;	/* reads that gave up: the writer was not running */

static void *reader(void *arg)
{
	struct ffclock *h = arg;
	struct ffclock_reading r;
	struct ffclock_interval now;
	uint64_t c, last = 0;
	uint32_t epoch;
	int i, ret;

	for (i = 0; i < TORN_READS; i++) {
		ret = i % 7 == 3 ? ffclock_read_at(h, FFCLOCK_UTC, last, &r) :
			ffclock_read(h, i % 3, &r);
		if (ret == -EAGAIN) {
			__atomic_add_fetch(&busy, 1, __ATOMIC_RELAXED);
			continue;
		}
		if (ret)
			abort();
		if (i % 7 != 3) {
			check_set(&r);
			/* per set, the cumulative counter goes on */
			last = r.counter;
		}
		if (!ffclock_counter(h, &c, &epoch) && (epoch != 2 && epoch != 3))
			abort();
		ret = ffclock_now(h, &now);
		if (!ret && now.status != sets[0].vmclock.clock_status &&
		    now.status != sets[1].vmclock.clock_status)
			abort();
	}
	return NULL;
}

static void make_sets(void)
{
	page_fill(&sets[0], 2600000000, 1800000000);
	page_fill(&sets[1], 3100000000, 1200000000);
	sets[0].ext.epoch = 2;
	sets[1].ext.epoch = 3;
	sets[1].ext.counter_offset = 1ULL << 50;
	sets[1].ext.mono.t0.sec = sets[1].ext.mono.t1.sec = 7000000;
	sets[1].vmclock.clock_status = FFCLOCK_STATUS_FREERUNNING;
	memcpy(file.page, &sets[0], sizeof(sets[0]));
	writer_stop = false;
	busy = 0;
}

static void test_torn(void **state)
{
	struct ffclock *h;
	pthread_t w, readers[3];
	size_t i;

	(void)state;
	make_sets();
	h = open_page();
	assert_int_equal(pthread_create(&w, NULL, writer, NULL), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader, h), 0);
	for (i = 0; i < 3; i++)
		pthread_join(readers[i], NULL);
	__atomic_store_n(&writer_stop, true, __ATOMIC_RELAXED);
	pthread_join(w, NULL);
	ffclock_close(h);
	print_message("# %d reads by 3 threads beside a writer, %" PRIu64 " gave up\n",
		      3 * TORN_READS, busy);
	/* a writer that is preempted while it writes is rare, not the rule */
	assert_true(busy < 3 * TORN_READS / 4);
}

static void *open_and_close(void *arg)
{
	struct ffclock_reading r;
	struct ffclock *h;
	int i;

	(void)arg;
	for (i = 0; i < 2000; i++) {
		if (ffclock_open_page(&h, file.path) || ffclock_read(h, FFCLOCK_UTC, &r))
			abort();
		check_set(&r);
		ffclock_close(h);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct ffclock *h;
	pthread_t t[4];
	size_t i;

	(void)state;
	make_sets();
	h = open_page();
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i & 1 ? reader : open_and_close, h), 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(busy, 0);
	ffclock_close(h);
}

/* A child's handle is its own: it may read it, and close it */
static void test_fork(void **state)
{
	struct ffclock *h;
	pthread_t w;
	int i, status;
	pid_t pid;

	(void)state;
	make_sets();
	h = open_page();
	assert_int_equal(pthread_create(&w, NULL, writer, NULL), 0);
	for (i = 0; i < 20; i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			struct ffclock_reading r;
			int n, ret;

			for (n = 0; n < 1000; n++) {
				ret = ffclock_read(h, n % 3, &r);
				if (ret && ret != -EAGAIN)
					_exit(1);
				if (!ret)
					check_set(&r);
			}
			ffclock_close(h);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	}
	__atomic_store_n(&writer_stop, true, __ATOMIC_RELAXED);
	pthread_join(w, NULL);
	reader(h);
	ffclock_close(h);
}

/* From here on the calling thread may exit, and nothing else (it dies of SIGSYS) */
static int forbid_syscalls(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {
		.len = sizeof(filter) / sizeof(filter[0]), .filter = filter,
	};

	/* not the strict mode: that one forbids RDTSC as well */
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void test_no_syscall(void **state)
{
	struct ffclock *h = open_page();
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct ffclock_interval now;
		struct ffclock_reading r;
		struct timespec ts;
		uint64_t c, bound;
		int64_t ns;
		int i, bad = 0;

		if (forbid_syscalls())
			syscall(SYS_exit, 77);
		for (i = 0; i < 100000; i++) {
			bad |= ffclock_gettime(h, i & 3, &ts);
			bad |= ffclock_read(h, i & 3, &r);
			bad |= ffclock_read_at(h, i & 3, r.counter, &r);
			bad |= ffclock_read_inverse(h, i & 3, r.time, &r);
			bad |= ffclock_now(h, &now);
			bad |= ffclock_counter(h, &c, NULL);
			bad |= ffclock_diff(h, c, c + 1000, &ns, &bound);
			bad |= ffclock_status(h) < 0;
			bad |= ffclock_migration_sequence(h) != 5;
		}
		syscall(SYS_exit, !!bad);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ffclock_close(h);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("# SKIP no seccomp here\n");
		skip();
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);

	/* and that filter does notice a system call */
	pid = fork();
	if (!pid) {
		forbid_syscalls();
		syscall(SYS_getppid);
		syscall(SYS_exit, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* The device ----------------------------------------------------------------- */

static void test_fallback(void **state)
{
	struct ffclock_stamp stamps[FFCLOCK_CONVERT_MAX * 2 + 5];
	struct ffclock_interval now;
	struct ffclock_reading r;
	struct timespec ts;
	struct ffclock *h;
	uint32_t epoch, i;
	uint64_t c;
	int round;

	(void)state;
	device_errno = 0;
	assert_int_equal(ffclock_open(&h), 0);
	/* the page is good: no call at all */
	calls = 0;
	assert_int_equal(ffclock_gettime(h, FFCLOCK_UTC, &ts), 0);
	assert_int_equal(ffclock_read(h, FFCLOCK_MONO, &r), 0);
	assert_int_equal(calls, 0);
	/* no counter for us, then a writer that does not come back */
	for (round = 0; round < 2; round++) {
		if (round) {
			fill(NULL);
			file.page->vmclock.seq_count = 1;
		} else {
			file.page->vmclock.counter_id = FFCLOCK_COUNTER_INVALID;
		}
		calls = 0;
		assert_int_equal(ffclock_gettime(h, FFCLOCK_TAI, &ts), 0);
		assert_true(ts.tv_sec == 12345 && ts.tv_nsec == 500000000);
		assert_int_equal(ffclock_read(h, FFCLOCK_DIFF, &r), 0);
		assert_true(r.clock == FFCLOCK_DIFF && r.bound_ns == 99 && r.epoch == 8 &&
			    r.counter == 777);
		assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, 1234567, &r), 0);
		assert_true(r.counter == 1234567 && r.flags == FFCLOCK_READ_AT);
		assert_int_equal(ffclock_read_inverse(h, FFCLOCK_UTC, r.time, &r), 0);
		assert_true(r.counter == 777 && r.flags == FFCLOCK_READ_INVERSE);
		assert_int_equal(ffclock_now(h, &now), 0);
		assert_int_equal(now.status, FFCLOCK_STATUS_FREERUNNING);
		assert_int_equal(calls, 5);
		assert_int_equal(ffclock_counter(h, &c, &epoch), 0);
		assert_true(c == 4711 && epoch == 9 && last_call == FFCLOCK_IOC_COUNTER);
		/* and what the kernel refuses comes through */
		call_errno = EPERM;
		assert_int_equal(ffclock_gettime(h, FFCLOCK_UTC, &ts), -EPERM);
		assert_int_equal(ffclock_read_at(h, FFCLOCK_UTC, 1, &r), -EPERM);
		assert_int_equal(ffclock_set_estimate(h, NULL), -EPERM);
		call_errno = 0;
	}
	/* any number of stamps, in portions that the kernel takes */
	for (i = 0; i < sizeof(stamps) / sizeof(stamps[0]); i++)
		stamps[i] = (struct ffclock_stamp){ .realtime_ns = i };
	calls = 0;
	assert_int_equal(ffclock_convert(h, stamps, i), 0);
	assert_int_equal(calls, 3);
	while (i--)
		assert_int_equal(stamps[i].counter, 3 * i);
	ffclock_close(h);
}

/* The examples, as somebody would run them ----------------------------------- */

static int run_example(const char *name, const char *page, char *out, size_t size)
{
	char self[1024], command[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	FILE *f;

	assert_true(n > 0);
	self[n] = '\0';
	for (n = 0; n < 2; n++)		/* OUT/unit/test_lib: OUT */
		*strrchr(self, '/') = '\0';
	snprintf(command, sizeof(command), "LD_LIBRARY_PATH='%s/lib' '%s/examples/%s' '%s' 2>&1",
		 self, self, name, page);
	f = popen(command, "r");
	assert_non_null(f);
	if (!fgets(out, size, f))
		*out = '\0';
	n = pclose(f);
	return WIFEXITED(n) ? WEXITSTATUS(n) : -1;
}

static void test_examples(void **state)
{
	char out[256];
	long long ns;

	(void)state;
	assert_int_equal(run_example("now", file.path, out, sizeof(out)), 0);
	assert_non_null(strstr(out, "1800000"));
	assert_non_null(strstr(out, "synchronized"));
	assert_int_equal(run_example("redo", file.path, out, sizeof(out)), 0);
	assert_int_equal(sscanf(out, "%lld ns", &ns), 1);
	assert_in_range(ns, 0, NS);
	assert_int_equal(run_example("now", "/nonexistent", out, sizeof(out)), 1);
	assert_non_null(strstr(out, "No such file"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_open_errors, fill),
		cmocka_unit_test_setup(test_sizes, fill),
		cmocka_unit_test_setup(test_read, fill),
		cmocka_unit_test_setup(test_bounds, fill),
		cmocka_unit_test_setup(test_now, fill),
		cmocka_unit_test_setup(test_leap, fill),
		cmocka_unit_test_setup(test_conversions, fill),
		cmocka_unit_test_setup(test_status, fill),
		cmocka_unit_test_setup(test_foreign, fill),
		cmocka_unit_test_setup(test_stuck, fill),
		cmocka_unit_test_setup(test_hostile, fill),
		cmocka_unit_test_setup(test_torn, fill),
		cmocka_unit_test_setup(test_threads, fill),
		/* ThreadSanitizer does not follow fork() with threads: not these */
		cmocka_unit_test_setup(test_fork, fill),
		cmocka_unit_test_setup(test_no_syscall, fill),
		cmocka_unit_test_setup(test_fallback, fill),
		cmocka_unit_test_setup(test_examples, fill),
	};
	size_t n = sizeof(tests) / sizeof(tests[0]);
	int ret;

#ifdef __SANITIZE_THREAD__
	n -= 4;
#endif

	random_arguments(argc, argv, &hostile_pages, &seed);
	if (page_file_make(&file))
		return 1;
	ret = _cmocka_run_group_tests("tests", tests, n, NULL, NULL);
	page_file_remove(&file);
	return ret;
}
