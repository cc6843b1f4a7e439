// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=2400
/*
 * Everything of ffclock.ko that user space can reach, with arguments from a random
 * number generator: ioctls, mmap, read, poll, clock ids, sysfs, while the
 * clocksource is switched and CLOCK_REALTIME is stepped and slewed.
 *
 * Arguments are noise, or valid ones with a few bits, words or limits changed,
 * since noise alone does not get past the first check.  Watched meanwhile: the
 * counter never goes back, the page is consistent, what is read is in range;
 * and by the lab, the kernel's log.
 *
 * FUZZ_SECONDS= says how long (default 8), SEED= repeats a run's choices (not its
 * timing).  FUZZ_FAULTS=1 has allocations and copies fail now and then, where the
 * kernel can (selftests/debug).
 */
#include <poll.h>
#include <stddef.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "lib/ffc.h"

#define WORKERS		4
#define CHECKERS	1

static const char * const devices[] = {
	FFCLOCK_DEV, FFCLOCK_DEV_UTC, FFCLOCK_DEV_TAI, FFCLOCK_DEV_MONO, FFCLOCK_DEV_DIFF,
};

#define NR_DEVICES	(sizeof(devices) / sizeof(*devices))

/* shared by all processes */
static struct shared {
	volatile bool stop;
	volatile uint64_t calls, accepted, looks, faults;
	char why[256];
} *shared;

#define NR_SYSFS	64
static char sysfs[NR_SYSFS][128];	/* the writable files first */
static int nr_sysfs, nr_writable;
static char cs_buf[256], *cs_names[8];
static int nr_cs;

static bool chance(unsigned int in)
{
	return !rng_below(in);
}

static void noise(void *p, size_t size)
{
	uint8_t *b = p;
	size_t i;

	for (i = 0; i < size; i++)
		b[i] = rng();
}

/* Numbers at which something may change its mind */
static uint64_t edge(void)
{
	static const uint64_t edges[] = {
		0, 1, 2, 3, 4, 5, 15, 16, 17, 36, 37, 63, 64, 65, 127, 128, 255, 256, 999, 1000,
		1001, 4095, 4096, 4097, 65535, 65536, 86400, 131072, 131073, 999999999,
		1000000000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 1ULL << 34,
		(1ULL << 34) + 1, 1ULL << 62, 0x7fffffffffffffff, 0x8000000000000000,
		0xffffffffffffffff,
	};
	uint64_t v = edges[rng_below(sizeof(edges) / sizeof(*edges))];

	return chance(4) ? v + rng_below(3) - 1 : v;
}

/* Change a few things about a structure */
static void mutate(void *p, size_t size)
{
	uint8_t *b = p;
	int n = 1 + rng_below(3);
	size_t at;

	while (n--) {
		uint64_t v = chance(2) ? edge() : rng();
		size_t width = 1 << rng_below(4);

		switch (rng_below(3)) {
		case 0:		/* a bit */
			b[rng_below(size)] ^= 1 << rng_below(8);
			break;
		case 1:		/* an aligned word */
			at = rng_below(size) / width * width;
			memcpy(b + at, &v, width);
			break;
		case 2:		/* a word that was near */
			at = rng_below(size / 8) * 8;
			memcpy(&v, b + at, 8);
			v += rng_below(17) - 8;
			memcpy(b + at, &v, 8);
		}
	}
}

static void count(int ret)
{
	__atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
	if (ret >= 0)
		__atomic_add_fetch(&shared->accepted, 1, __ATOMIC_RELAXED);
}

/* An address: mostly @good, else none, read-only or half of a mapping's end */
static void *address(void *good, size_t size)
{
	static uint8_t *last_page;

	if (!last_page) {
		last_page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
		if (last_page == MAP_FAILED || munmap(last_page + 4096, 4096))
			bail("mmap: %s", strerror(errno));
	}
	switch (rng_below(24)) {
	case 0:
		return NULL;
	case 1:
		return (void *)(uintptr_t)rng();
	case 2:		/* the end is not there */
		return last_page + 4096 - rng_below(size + 1);
	case 3:		/* not ours to write */
		return (void *)(uintptr_t)"read-only";
	default:
		return good;
	}
}

static void fuzz_setest(int fd)
{
	struct ffclock_snapshot snap;
	struct ffclock_estimate e;

	if (ioctl(fd, FFCLOCK_IOC_GETEST, &e) || ioctl(fd, FFCLOCK_IOC_SNAPSHOT, &snap))
		return;
	if (!chance(8)) {
		e.counter = snap.counter - rng_below(1000000);
		e.time = ffclock_ns_to_time(snap.realtime_ns);
		e.epoch = snap.epoch;
		e.status = FFCLOCK_STATUS_SYNCHRONIZED;
		e.maxerror_ns = rng_below(1000000);
		e.next_update_sec = 1 + rng_below(100);
		e.tai_offset_sec = chance(4) ? 0 : 37;
		e.period += (int64_t)rng_below(e.period / 1000 + 1) - (int64_t)(e.period / 2000);
		if (chance(4)) {
			e.leap_change = chance(2) ? 1 : -1;
			e.leap_utc_sec = snap.realtime_ns / NSEC_PER_SEC + rng_below(20) - 10;
		}
		if (chance(4))
			e.flags = FFCLOCK_EST_F_STEP_MONO;
	}
	if (!chance(3))
		mutate(&e, sizeof(e));
	if (chance(20))
		noise(&e, sizeof(e));
	count(ioctl(fd, FFCLOCK_IOC_SETEST, address(&e, sizeof(e))));
}

/* CLOCK_REALTIME, however often the reading is made to fail */
static int64_t wall_ns(void)
{
	struct timespec ts;

	while (clock_gettime(CLOCK_REALTIME, &ts))
		;
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void fuzz_convert(int fd)
{
	static struct ffclock_stamp stamps[FFCLOCK_CONVERT_MAX];
	int64_t now = wall_ns();
	struct ffclock_convert c = { .count = 1 + rng_below(chance(4) ? FFCLOCK_CONVERT_MAX : 16) };
	uint32_t i;

	for (i = 0; i < c.count; i++)
		stamps[i].realtime_ns = chance(16) ? (int64_t)rng() :
					now - (int64_t)rng_below(20 * NSEC_PER_SEC);
	c.stamps = (uintptr_t)address(stamps, sizeof(stamps[0]) * c.count);
	/* not the address: the kernel would rightly write wherever we can */
	if (chance(8))
		mutate(&c.count, sizeof(c) - offsetof(struct ffclock_convert, count));
	count(ioctl(fd, FFCLOCK_IOC_CONVERT, address(&c, sizeof(c))));
}

static void fuzz_read(int fd)
{
	struct ffclock_counter now = {};
	struct ffclock_reading r = {
		.clock = rng_below(FFCLOCK_NR), .flags = rng_below(3),
		.time = { .sec = chance(2) ? (int64_t)edge() : wall_ns() / NSEC_PER_SEC,
			  .frac = rng() },
	};

	/* fails on a clock's file; zero is as good a counter value then */
	count(ioctl(fd, FFCLOCK_IOC_COUNTER, &now));
	r.counter = chance(2) ? rng() : now.value;
	if (chance(4))
		mutate(&r, sizeof(r));
	count(ioctl(fd, FFCLOCK_IOC_READ, address(&r, sizeof(r))));
}

static void fuzz_ioctl(int fd)
{
	static const unsigned int known[] = {
		FFCLOCK_IOC_COUNTER, FFCLOCK_IOC_SNAPSHOT, FFCLOCK_IOC_GETEST, FFCLOCK_IOC_SETEST,
		FFCLOCK_IOC_READ, FFCLOCK_IOC_CONVERT, FFCLOCK_IOC_MIGRATION,
	};
	struct ffclock_migration m = { .sequence = rng_below(40) };
	uint8_t buf[4096];
	unsigned long cmd;

	switch (rng_below(8)) {
	case 0:
	case 1:
		fuzz_setest(fd);
		return;
	case 2:
		fuzz_convert(fd);
		return;
	case 3:
	case 4:
		fuzz_read(fd);
		return;
	case 5:
		if (chance(4))
			mutate(&m, sizeof(m));
		count(ioctl(fd, FFCLOCK_IOC_MIGRATION, address(&m, sizeof(m))));
		return;
	default:
		cmd = known[rng_below(sizeof(known) / sizeof(*known))];
		if (chance(3))
			cmd ^= 1UL << rng_below(32);
		if (chance(8))
			cmd = rng();
		noise(buf, sizeof(buf));
		if (chance(2))
			memset(buf, 0, sizeof(buf));
		count(ioctl(fd, cmd, address(buf, 512)));
	}
}

static void fuzz_map(int fd)
{
	size_t size = chance(2) ? 4096 : 4096 << rng_below(6);
	off_t at = chance(2) ? 0 : (off_t)(edge() & ~4095ULL & 0x7fffffffffff);
	int prot = chance(2) ? PROT_READ : (int)rng_below(8);
	void *p = mmap(NULL, size, prot, chance(4) ? MAP_PRIVATE : MAP_SHARED, fd, at);

	count(p == MAP_FAILED ? -1 : 0);
	if (p == MAP_FAILED)
		return;
	mprotect(p, size, rng_below(8));
	if (chance(2))
		mremap(p, size, size * (1 + rng_below(3)), MREMAP_MAYMOVE);
	munmap(p, size);
}

static void fuzz_file(int fd)
{
	struct pollfd p = { .fd = fd, .events = rng() };
	uint8_t buf[8192] = "";

	switch (rng_below(5)) {
	case 0:
		count(read(fd, address(buf, 64), rng_below(sizeof(buf))));
		break;
	case 1:
		count(pread(fd, buf, rng_below(sizeof(buf)), (off_t)(edge() >> 1)));
		break;
	case 2:
		count(poll(&p, 1, 0));
		break;
	case 3:
		count(write(fd, buf, rng_below(64)));
		break;
	case 4:
		count(lseek(fd, (off_t)edge(), rng_below(5)));
	}
}

static void fuzz_clock(int fd)
{
	clockid_t id = CLOCK_OF_FD(fd);
	struct timex tx = { .modes = chance(2) ? 0 : rng() };
	struct timespec ts = { .tv_sec = edge(), .tv_nsec = edge() };

	switch (rng_below(5)) {
	case 0:
		count(clock_gettime(id, &ts));
		break;
	case 1:
		count(clock_getres(id, &ts));
		break;
	case 2:
		count(clock_settime(id, &ts));
		break;
	case 3:
		if (chance(2))
			noise(&tx, sizeof(tx));
		count(clock_adjtime(id, &tx));
		break;
	case 4:
		ts.tv_sec = 0;
		ts.tv_nsec = 1;
		count(clock_nanosleep(id, 0, &ts, NULL) ? -1 : 0);
	}
}

static void fuzz_sysfs(void)
{
	static const char * const words[] = {
		"inject", "ntp-reset", "notify", "none", "tsc", "hpet", "acpi_pm", "-1", "0", "1",
		"1000", "18446744073709551615", "18446744073709551616", "0x10", "", "\n", " ", "1 2",
		"9223372036854775808",
	};
	char text[4200];
	int i;

	if (chance(2)) {
		read_text(sysfs[rng_below(nr_sysfs)], text, sizeof(text));
		return;
	}
	i = rng_below(nr_writable);
	if (chance(4)) {
		noise(text, sizeof(text));
		text[rng_below(sizeof(text))] = '\0';
		text[sizeof(text) - 1] = '\0';
	} else if (chance(3)) {
		snprintf(text, sizeof(text), "%" PRIu64 "\n", chance(2) ? edge() : rng());
	} else {
		snprintf(text, sizeof(text), "%s",
			 words[rng_below(sizeof(words) / sizeof(*words))]);
	}
	count(write_text(sysfs[i], text) ? -1 : 0);
}

/* What the system does by itself, only more often */
static void fuzz_system(void)
{
	struct timex tx = { .modes = ADJ_FREQUENCY | ADJ_TICK | ADJ_STATUS };
	struct timespec ts;

	switch (rng_below(4)) {
	case 0:
		write_text(CS_SYSFS "current_clocksource", cs_names[rng_below(nr_cs)]);
		break;
	case 1:
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_sec += (int64_t)rng_below(7) - 3;
		clock_settime(CLOCK_REALTIME, &ts);
		break;
	case 2:
		tx.freq = (int64_t)rng_below(500 << 17) - (500 << 16);
		tx.tick = 9000 + rng_below(2001);
		adjtimex(&tx);
		break;
	case 3:
		tx.modes = ADJ_STATUS | ADJ_TAI;
		tx.status = chance(2) ? STA_INS : chance(2) ? STA_DEL : STA_UNSYNC;
		tx.constant = rng_below(60);
		adjtimex(&tx);
	}
}

/* The kernel's fail-nth of this process, or -1 */
static int fault_file(void)
{
	return getenv("FUZZ_FAULTS") ? open("/proc/thread-self/fail-nth", O_WRONLY | O_CLOEXEC) :
				       -1;
}

static void worker(uint64_t seed)
{
	int fds[8], n = 0, fd, faults = fault_file();

	rng_state = seed | 1;
	while (!shared->stop) {
		if (faults >= 0 && chance(16)) {
			static const char * const nth[] = { "1", "2", "3", "4", "6", "9" };

			if (pwrite(faults, nth[rng_below(6)], 1, 0) < 0)
				continue;	/* it failed by itself */
		}
		if (n < 2 || (n < 8 && chance(64))) {
			static const int flags[] = { O_RDONLY, O_RDWR, O_WRONLY };

			fd = open(devices[chance(2) ? 0 : rng_below(NR_DEVICES)],
				  chance(2) ? O_RDONLY : flags[rng_below(3)] | (chance(4) ?
				  O_NONBLOCK : 0));
			if (fd >= 0)
				fds[n++] = fd;
			continue;
		}
		fd = fds[rng_below(n)];
		switch (rng_below(16)) {
		case 0 ... 6:
			fuzz_ioctl(fd);
			break;
		case 7:
			fuzz_map(fd);
			break;
		case 8 ... 9:
			fuzz_file(fd);
			break;
		case 10 ... 12:
			fuzz_clock(fd);
			break;
		case 13 ... 14:
			fuzz_sysfs();
			break;
		case 15:
			if (chance(50))
				fuzz_system();
			if (chance(32)) {
				close(fd);
				for (int i = 0; i < n; i++)
					if (fds[i] == fd)
						fds[i] = fds[--n];
			}
		}
	}
	_exit(0);
}

static void fault(const char *what, uint64_t a, uint64_t b)
{
	if (!__atomic_fetch_add(&shared->faults, 1, __ATOMIC_RELAXED))
		snprintf(shared->why, sizeof(shared->why), "%s: %" PRIu64 ", %" PRIu64, what, a, b);
}

/* What must hold whatever the workers do */
static void checker(void)
{
	int fd = ffc_open();
	const volatile struct ffclock_page *page = ffc_map(fd);
	uint64_t last = 0;

	while (!shared->stop) {
		uint64_t now = ffc_counter(fd, NULL);
		struct ffclock_page copy;
		uint32_t seq;
		ssize_t n;

		if (now < last)
			fault("counter went back", last, now);
		last = now;

		seq = page->vmclock.seq_count;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		memcpy(&copy, (const void *)page, sizeof(copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(seq & 1) && page->vmclock.seq_count == seq) {
			if (copy.vmclock.magic != FFCLOCK_VMCLOCK_MAGIC ||
			    copy.ext.magic != FFCLOCK_EXT_MAGIC)
				fault("page lost its magic", copy.vmclock.magic, copy.ext.magic);
			if (copy.vmclock.counter_period_shift > 63 ||
			    !copy.vmclock.counter_period_frac_sec ||
			    copy.ext.mono.c1 - copy.ext.mono.c0 > 1ULL << 63)
				fault("page is not sane", copy.vmclock.counter_period_shift,
				      copy.vmclock.counter_period_frac_sec);
		}
		n = pread(fd, &copy, sizeof(copy), 0);
		if (n > 0 && (copy.vmclock.seq_count & 1))
			fault("read() gave half a page", copy.vmclock.seq_count, n);
		__atomic_add_fetch(&shared->looks, 1, __ATOMIC_RELAXED);
	}
	_exit(0);
}

/* The writable ones go to the front */
static void take_sysfs(const char *path, const struct stat *st)
{
	int at = nr_sysfs;

	if (at == NR_SYSFS || strlen(path) >= sizeof(sysfs[0]))
		bail("%s: one file more than this test has room for", path);
	nr_sysfs++;
	if (st->st_mode & 0222) {
		memmove(sysfs[at], sysfs[nr_writable], sizeof(sysfs[0]));
		at = nr_writable++;
	}
	strcpy(sysfs[at], path);
}

static void reset_kernel(void)
{
	struct timex tx = {
		.modes = ADJ_FREQUENCY | ADJ_TICK | ADJ_STATUS, .tick = 10000, .status = STA_UNSYNC,
	};

	adjtimex(&tx);
	write_text(FFC_SYSFS "counter/bypass", "none");
	write_text(CS_SYSFS "current_clocksource", cs_names[0]);
}

int main(void)
{
	int seconds = getenv("FUZZ_SECONDS") ? atoi(getenv("FUZZ_SECONDS")) : 8;
	pid_t pids[WORKERS + CHECKERS];
	int i, fd, status, died = 0;
	struct ffclock_reading r;

	plan(4);
	rng_seed();
	ffc_load();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		bail("mmap: %s", strerror(errno));
	nr_cs = cs_available(cs_buf, sizeof(cs_buf), cs_names, 8);
	ffc_each_sysfs(take_sysfs);
	diag("%d s, %d sysfs files, %d of them writable; faults %s", seconds, nr_sysfs,
	     nr_writable, fault_file() >= 0 ? "injected" : "not injected");
	if (fault_file() >= 0)
		run("for f in failslab fail_page_alloc fail_usercopy; do "
		    "echo 0 > /sys/kernel/debug/$f/verbose; done; "
		    "echo N > /sys/kernel/debug/failslab/ignore-gfp-wait; "
		    "echo N > /sys/kernel/debug/fail_page_alloc/ignore-gfp-wait; "
		    "echo 0 > /sys/kernel/debug/fail_page_alloc/min-order");

	for (i = 0; i < WORKERS + CHECKERS; i++) {
		uint64_t seed = rng();

		pids[i] = fork();
		if (pids[i] < 0)
			bail("fork: %s", strerror(errno));
		if (!pids[i] && i < WORKERS)
			worker(seed);
		if (!pids[i])
			checker();
	}
	for (i = 0; i < seconds; i++) {
		sleep_ms(1000);
		if (i % 60 == 59)
			diag("%d s: %" PRIu64 " calls, %" PRIu64 " accepted", i + 1, shared->calls,
			     shared->accepted);
	}
	shared->stop = true;
	for (i = 0; i < WORKERS + CHECKERS; i++) {
		waitpid(pids[i], &status, 0);
		died += !WIFEXITED(status) || WEXITSTATUS(status);
	}
	ok(!died, "no process died");
	ok(shared->accepted > 100 && shared->accepted < shared->calls,
	   "%" PRIu64 " calls, of which %" PRIu64 " were accepted", shared->calls,
	   shared->accepted);
	ok(!shared->faults, "counter and page were whole at %" PRIu64 " looks%s%s", shared->looks,
	   shared->faults ? ": " : "", shared->why);
	reset_kernel();
	fd = ffc_open();
	r = ffc_read(fd, FFCLOCK_MONO);
	ok(r.counter > 0, "the clocks still answer");
	close(fd);
	return finish();
}
