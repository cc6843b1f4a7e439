// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page of /dev/ffclock: a valid VMClock structure for a reader that knows
 * nothing of ffclock, the rules of mmap(), and read() and poll() beside it.
 *
 * The VMClock reader here is written from the specification's table of offsets,
 * not from any header.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

#include "lib/ffc.h"

/* VMClock, from the specification ------------------------------------------- */

struct vmclock_reading {
	uint32_t magic, size, seq;
	uint16_t version;
	uint8_t counter_id, time_type, status, leap, shift, smear;
	int16_t tai_offset;
	uint64_t marker, flags, value, period, time_sec, time_frac;
	uint64_t period_est, period_max, est_ns, max_ns;
	uint64_t tsc;			/* read together with the rest */
	uint64_t sec, frac;		/* the time then */
};

#define FIELD(type, offset)	(*(const volatile type *)(page + (offset)))

static void vmclock_read(const volatile uint8_t *page, struct vmclock_reading *r)
{
	unsigned __int128 t;
	uint32_t seq;

	do {
		while ((seq = FIELD(uint32_t, 0x0c)) & 1)
			_mm_pause();
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		r->magic = FIELD(uint32_t, 0x00);
		r->size = FIELD(uint32_t, 0x04);
		r->version = FIELD(uint16_t, 0x08);
		r->counter_id = FIELD(uint8_t, 0x0a);
		r->time_type = FIELD(uint8_t, 0x0b);
		r->marker = FIELD(uint64_t, 0x10);
		r->flags = FIELD(uint64_t, 0x18);
		r->status = FIELD(uint8_t, 0x22);
		r->smear = FIELD(uint8_t, 0x23);
		r->tai_offset = FIELD(int16_t, 0x24);
		r->leap = FIELD(uint8_t, 0x26);
		r->shift = FIELD(uint8_t, 0x27);
		r->value = FIELD(uint64_t, 0x28);
		r->period = FIELD(uint64_t, 0x30);
		r->period_est = FIELD(uint64_t, 0x38);
		r->period_max = FIELD(uint64_t, 0x40);
		r->time_sec = FIELD(uint64_t, 0x48);
		r->time_frac = FIELD(uint64_t, 0x50);
		r->est_ns = FIELD(uint64_t, 0x58);
		r->max_ns = FIELD(uint64_t, 0x60);
		_mm_lfence();
		r->tsc = __rdtsc();
		_mm_lfence();
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (FIELD(uint32_t, 0x0c) != seq);
	r->seq = seq;
	t = ((unsigned __int128)r->time_sec << 64) | r->time_frac;
	t += ((unsigned __int128)(r->tsc - r->value) * r->period) >> r->shift;
	r->sec = t >> 64;
	r->frac = t;
}

static int time_cmp(uint64_t as, uint64_t af, uint64_t bs, uint64_t bf)
{
	if (as != bs)
		return as < bs ? -1 : 1;
	return af < bf ? -1 : af > bf;
}

static int fd;
static const volatile struct ffclock_page *page;
static const volatile uint8_t *bytes;

static void test_vmclock(void)
{
	struct ffclock_estimate e;
	struct vmclock_reading r, after;
	struct ffclock_reading k;
	int i, inside = 0, tries = 2000;
	bool zero = true;

	vmclock_read(bytes, &r);
	ok(r.magic == 0x4b4c4356 && r.version == 1 && r.size == 4096,
	   "magic %#x, version %u, size %u", r.magic, r.version, r.size);
	ok(r.counter_id == 1 && r.time_type == 0, "counter_id %u (TSC), time_type %u (UTC)",
	   r.counter_id, r.time_type);
	ok(r.status == 0 && !(r.flags & (1 << 5 | 1 << 6)) && r.smear == 0,
	   "never synchronised: status %u, no time error claimed (flags %#" PRIx64 ")", r.status,
	   r.flags);
	for (i = 0x70; i < 0x100; i++)
		zero &= !bytes[i];
	zero &= !bytes[0x20] && !bytes[0x21];
	ok(zero, "padding is zero");

	e = ffc_good_estimate(fd);
	if (ioctl(fd, FFCLOCK_IOC_SETEST, &e))
		bail("SETEST: %s", strerror(errno));
	vmclock_read(bytes, &after);
	ok(after.seq - r.seq == 2, "sequence moved by %u, even", after.seq - r.seq);
	ok(after.status == 2 && after.leap == 0 && after.shift == e.period_shift &&
	   after.period == e.period && after.time_sec == (uint64_t)e.time.sec &&
	   after.time_frac == e.time.frac,
	   "parameters are those that were set: status %u, shift %u", after.status, after.shift);
	ok((after.flags & 1) && after.tai_offset == -37, "TAI offset %d, valid", after.tai_offset);
	ok((after.flags & 0x78) == 0x78 && after.est_ns == 1000 && after.max_ns == 10000 &&
	   after.period_est == e.period_esterror && after.period_max == e.period_maxerror,
	   "errors: %" PRIu64 ", %" PRIu64 " ns, flags %#" PRIx64, after.est_ns, after.max_ns,
	   after.flags);

	for (i = 0; i < tries; i++) {
		vmclock_read(bytes, &r);
		k = ffc_read(fd, FFCLOCK_UTC);
		vmclock_read(bytes, &after);
		inside += time_cmp(r.sec, r.frac, k.time.sec, k.time.frac) <= 0 &&
			  time_cmp(k.time.sec, k.time.frac, after.sec, after.frac) <= 0;
	}
	ok(inside == tries, "kernel's UTC lies between two of the VMClock reader: %d of %d", inside,
	   tries);
	i = now_ns(CLOCK_REALTIME) / NSEC_PER_SEC - (int64_t)after.sec;
	ok(i >= -1 && i <= 1, "VMClock reader's time is CLOCK_REALTIME's to %d s", i);
}

static void test_ext(void)
{
	const volatile struct ffclock_ext *x = &page->ext;
	struct ffclock_slew mono;
	uint64_t before, after, tsc;
	struct ffclock_reading k;
	int i, inside = 0, same = 0, tries = 2000;
	uint32_t epoch;
	bool zero = true;

	for (i = 0; i < 8; i++)
		zero &= !x->reserved[i];
	ok(x->magic == FFCLOCK_EXT_MAGIC && x->version == 1 && x->size == sizeof(*x) && zero,
	   "ext: magic, version %u, size %u, reserved words zero", x->version, x->size);
	ffc_counter(fd, &epoch);
	ok(x->epoch == epoch && page->vmclock.disruption_marker == epoch, "epoch %u is ext's and the marker", epoch);
	for (i = 0; i < tries; i++) {
		before = ffc_counter(fd, NULL);
		_mm_lfence();
		tsc = __rdtsc() + x->counter_offset;
		_mm_lfence();
		after = ffc_counter(fd, NULL);
		inside += before <= tsc && tsc <= after;
	}
	ok(inside == tries, "rdtsc + offset lies between two kernel counters: %d of %d", inside,
	   tries);

	memcpy(&mono, (const void *)&x->mono, sizeof(mono));
	for (i = 0; i < tries; i++) {
		k = ffc_read(fd, FFCLOCK_MONO);
		same += !ffclock_time_cmp(ffclock_slew_at(&mono, k.counter - x->counter_offset),
					  k.time);
	}
	ok(same == tries, "mono by the page's slopes is the kernel's to 2^-64 s: %d of %d", same,
	   tries);
}

static void test_mmap(void)
{
	int rw = open(FFCLOCK_DEV, O_RDWR | O_CLOEXEC), err, status;
	const struct {
		const char *what;
		size_t size;
		int prot, flags, fd;
		off_t offset;
		int err;
	} bad[] = {
		{ "writable", 4096, PROT_READ | PROT_WRITE, MAP_SHARED, rw, 0, EPERM },
		{ "write only", 4096, PROT_WRITE, MAP_SHARED, rw, 0, EPERM },
		{ "private and writable", 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, rw, 0, EPERM },
		{ "writable, of a read-only file", 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0,
		  EACCES },
		{ "executable", 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0, EPERM },
		{ "two pages", 8192, PROT_READ, MAP_SHARED, fd, 0, EINVAL },
		{ "second page", 4096, PROT_READ, MAP_SHARED, fd, 4096, EINVAL },
		{ "far page", 4096, PROT_READ, MAP_SHARED, fd, 1L << 40, EINVAL },
	};
	unsigned int i;
	pid_t pid;
	void *p;

	if (rw < 0)
		bail("root cannot open it O_RDWR: %s", strerror(errno));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		errno = 0;
		p = mmap(NULL, bad[i].size, bad[i].prot, bad[i].flags, bad[i].fd, bad[i].offset);
		err = errno;
		ok(p == MAP_FAILED && err == bad[i].err, "mmap %s: %s", bad[i].what, strerror(err));
		if (p != MAP_FAILED)
			munmap(p, bad[i].size);
	}

	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, rw, 0);
	close(rw);
	if (p == MAP_FAILED)
		bail("mmap of an O_RDWR file: %s", strerror(errno));
	err = mprotect(p, 4096, PROT_READ | PROT_WRITE) ? errno : 0;
	ok(err == EACCES, "mprotect to writable: %s", strerror(err));
	err = mprotect(p, 4096, PROT_READ | PROT_EXEC) ? errno : 0;
	ok(err == EACCES, "mprotect to executable: %s", strerror(err));

	/* a store through it must kill */
	pid = fork();
	if (!pid) {
		*(volatile uint32_t *)p = 0;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "a store to the page: signal %d",
	   WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	/* a child sees the same page, and its exit does not disturb the parent's */
	pid = fork();
	if (!pid)
		_exit(*(volatile uint32_t *)p != 0x4b4c4356);
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status) && *(volatile uint32_t *)p == 0x4b4c4356,
	   "a child reads the mapping, the parent still does");
	munmap(p, 4096);
}

static void test_read(void)
{
	uint8_t whole[4096], part[4096];
	int f = ffc_open();
	ssize_t n, m;

	n = read(f, whole, sizeof(whole));
	ok(n == (ssize_t)sizeof(struct ffclock_page) && !memcmp(whole, (const void *)bytes, n),
	   "read() gives the page: %zd bytes", n);
	m = read(f, part, sizeof(part));
	ok(m == 0, "then end of file: %zd", m);
	m = pread(f, part, 16, 0x48);
	ok(m == 16 && !memcmp(part, whole + 0x48, 16), "pread() of 16 bytes at 0x48: %zd", m);
	m = pread(f, part, 16, n - 4);
	ok(m == 4, "pread() over the end: %zd bytes", m);
	m = pread(f, nowhere, 16, 0);
	ok(m == -1 && errno == EFAULT, "read() into nowhere: %s", strerror(errno));
	m = write(f, whole, 1);
	ok(m == -1 && errno == EBADF, "write() on a read-only file: %s", strerror(errno));
	close(f);
	f = open(FFCLOCK_DEV, O_RDWR | O_CLOEXEC);
	m = write(f, whole, 1);
	ok(m == -1 && errno == EINVAL, "write() on an O_RDWR file: %s", strerror(errno));
	close(f);
}

static int poll_ms(int f, int ms)
{
	struct pollfd p = { .fd = f, .events = POLLIN };

	if (poll(&p, 1, ms) < 0)
		bail("poll: %s", strerror(errno));
	return p.revents;
}

static void *update_later(void *arg)
{
	struct ffclock_estimate e;

	sleep_ms(200);
	e = ffc_good_estimate(fd);
	if (ioctl(fd, FFCLOCK_IOC_SETEST, &e))
		return NULL;
	*(int64_t *)arg = now_ns(CLOCK_MONOTONIC);
	return NULL;
}

static void *switch_later(void *arg)
{
	sleep_ms(200);
	cs_set("hpet");
	*(int64_t *)arg = now_ns(CLOCK_MONOTONIC);
	return NULL;
}

/* 0: woken by what the thread does, and nothing is pending before and after */
static void test_wake(const char *what, void *(*fn)(void *))
{
	int f = ffc_open(), g = ffc_open(), before, during, again, other;
	int64_t done = 0, woken;
	uint8_t buf[4096];
	pthread_t t;

	before = poll_ms(f, 0);
	pthread_create(&t, NULL, fn, &done);
	during = poll_ms(f, 10000);
	woken = now_ns(CLOCK_MONOTONIC);
	pthread_join(t, NULL);
	sleep_ms(50);		/* what belongs to the same event has come */
	other = poll_ms(g, 0);
	ok(!before && (during & POLLIN) && (other & POLLIN),
	   "%s wakes poll(): %#x before, %#x after, %" PRId64 " us after it was done", what, before,
	   during, (woken - done) / 1000);
	if (read(f, buf, sizeof(buf)) <= 0)
		bail("read: %s", strerror(errno));
	again = poll_ms(f, 0);
	ok(!again && (poll_ms(g, 0) & POLLIN), "read() clears it for that file only: %#x", again);
	close(f);
	close(g);
}

/*
 * A counter that user space cannot read: of 64 bits, the offset is told all the same,
 * for who has a line in it from elsewhere; of fewer, there is none.
 */
static void test_unreadable(unsigned int bits)
{
	static const char freeze[] = FAKE_DEBUGFS "freeze", truth[] = FAKE_DEBUGFS "truth";
	uint64_t raw, counter, offset;
	uint8_t id;
	int err;

	if (!fake_load(bits)) {
		skip("a counter that cannot be read", "no ffclock_fakecs");
		return;
	}
	cs_set("ffclock-fake");
	sleep_ms(20);	/* some updates of the page */
	err = write_text(freeze, "1");
	raw = read_u64(truth);
	counter = ffc_counter(fd, NULL);
	offset = page->ext.counter_offset;
	id = page->vmclock.counter_id;
	if (err || write_text(freeze, "0"))
		bail("%s: %s", freeze, strerror(err ? err : errno));
	ok(id == 0xff && offset == (bits == 64 ? counter - raw : 0),
	   "counter_id %#x, %u bits: offset %" PRId64 ", ffclock %" PRIu64 " at %" PRIu64, id, bits,
	   (int64_t)offset, counter, raw);
	cs_set("tsc");
	run("rmmod ffclock_fakecs");
}

int main(void)
{
	uint64_t marker;

	plan(10 + 4 + 12 + 7 + 4 + 4 + 2);
	cs_set("tsc");
	ffc_load();
	fd = ffc_open();
	page = ffc_map(fd);
	bytes = (const volatile uint8_t *)page;

	test_vmclock();
	test_ext();
	test_mmap();
	test_read();
	test_wake("an update", update_later);
	marker = page->vmclock.disruption_marker;
	test_wake("an epoch", switch_later);
	ok(page->vmclock.disruption_marker != marker, "disruption_marker went from %" PRIu64
	   " to %" PRIu64, marker, (uint64_t)page->vmclock.disruption_marker);
	ok(page->vmclock.counter_id == 0xff, "counter_id %#x: not to be read in user space",
	   page->vmclock.counter_id);
	ok(page->vmclock.clock_status == FFCLOCK_STATUS_FREERUNNING, "status %u: holdover",
	   page->vmclock.clock_status);
	cs_set("tsc");
	ok(page->vmclock.counter_id == 1, "counter_id %u again with tsc", page->vmclock.counter_id);
	test_unreadable(64);
	test_unreadable(32);

	munmap((void *)(uintptr_t)page, 4096);
	close(fd);
	return finish();
}
