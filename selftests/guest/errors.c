// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every invalid argument of every ioctl and sysfs file: its errno, and that
 * nothing changed: the estimate, every sysfs file that does not change by
 * itself, and every byte of the page before and after.
 */
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "lib/ffc.h"

static int fd;
static const volatile struct ffclock_page *page;
static int bad_errno, bad_change, cases;

/* State -------------------------------------------------------------------- */

/* What must not change; values that move by themselves are not in it */
static const char * const files[] = {
	"version", "counter/current", "counter/available", "counter/epoch", "counter/frequency",
	"counter/bypass", "clock/status", "clock/period", "clock/period_shift", "clock/tai_offset",
	"clock/updates", "migration/sequence", "migration/policy",
	"migration/tolerable_threshold_ns", "migration/max_tout_ns", "migration/min_interval_ms",
	"migration/suppressed", "migration/detectors", "migration/sources", "migration/history",
};

#define NR_FILES	(sizeof(files) / sizeof(*files))

struct state {
	struct ffclock_estimate est;
	struct ffclock_page page;
	char text[NR_FILES][256];
};

static void take_state(struct state *s)
{
	char path[128];
	unsigned int i;

	memset(s, 0, sizeof(*s));
	s->est = ffc_estimate(fd);
	memcpy(&s->page, (const void *)page, sizeof(s->page));
	for (i = 0; i < NR_FILES; i++) {
		snprintf(path, sizeof(path), FFC_SYSFS "%s", files[i]);
		if (!read_text(path, s->text[i], sizeof(s->text[i])))
			bail("cannot read %s", path);
	}
}

static struct state before, after;

/* One case: the errno that came, and what the state is now */
static void expect(const char *what, int got, int wanted)
{
	unsigned int i;

	cases++;
	if (got != wanted) {
		bad_errno++;
		diag("%s: %s, wanted %s", what, strerror(got), strerror(wanted));
	}
	take_state(&after);
	if (!memcmp(&before, &after, sizeof(before)))
		return;
	bad_change++;
	if (memcmp(&before.est, &after.est, sizeof(before.est)))
		diag("%s: the estimate changed", what);
	if (memcmp(&before.page, &after.page, sizeof(before.page)))
		diag("%s: the page changed", what);
	for (i = 0; i < NR_FILES; i++)
		if (strcmp(before.text[i], after.text[i]))
			diag("%s: %s went from '%s' to '%s'", what, files[i], before.text[i],
			     after.text[i]);
	before = after;
}

static void verdict(const char *what)
{
	ok(!bad_errno && !bad_change, "%s: %d cases, %d wrong errnos, %d changes", what, cases,
	   bad_errno, bad_change);
	cases = bad_errno = bad_change = 0;
}

static int do_ioctl(unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? errno : 0;
}

/* SETEST ------------------------------------------------------------------- */

#define SET_BAD(wanted, change) do {				\
	struct ffclock_estimate e = ffc_good_estimate(fd);	\
								\
	change;							\
	expect(#change, do_ioctl(FFCLOCK_IOC_SETEST, &e), wanted); \
} while (0)

static void test_setest(void)
{
	uint64_t second;

	SET_BAD(EINVAL, e.period = 0);
	SET_BAD(EINVAL, e.period = 1);
	SET_BAD(EINVAL, e.period = ~0ULL; e.period_shift = 0);
	SET_BAD(EINVAL, e.period += e.period / 10 + e.period / 1000);
	SET_BAD(EINVAL, e.period -= e.period / 10 + e.period / 1000);
	SET_BAD(EINVAL, e.period_shift++);
	SET_BAD(EINVAL, e.period_shift--);
	SET_BAD(EINVAL, e.period_shift = 0);
	SET_BAD(EINVAL, e.period_shift = 63);
	SET_BAD(EINVAL, e.period_shift = 64);
	SET_BAD(EINVAL, e.period_shift = 255);
	SET_BAD(EINVAL, e.period_esterror = e.period + 1);
	SET_BAD(EINVAL, e.period_maxerror = e.period + 1);
	SET_BAD(EINVAL, e.period_maxerror = ~0ULL);
	SET_BAD(EINVAL, e.esterror_ns = FFCLOCK_BOUND_UNKNOWN - 1);
	SET_BAD(EINVAL, e.maxerror_ns = FFCLOCK_BOUND_UNKNOWN - 1);
	SET_BAD(EINVAL, e.maxerror_ns = 1ULL << 63);
	SET_BAD(EINVAL, e.time.sec = -1);
	SET_BAD(EINVAL, e.time.sec = INT64_MIN);
	SET_BAD(EINVAL, e.time.sec = INT64_MAX);
	SET_BAD(EINVAL, e.time.sec = (1LL << 34) + 1);
	SET_BAD(EINVAL, e.status = FFCLOCK_STATUS_UNRELIABLE + 1);
	SET_BAD(EINVAL, e.status = 255);
	SET_BAD(EINVAL, e.leap_indicator = FFCLOCK_LEAP_POST_NEG + 1);
	SET_BAD(EINVAL, e.leap_indicator = 255);
	SET_BAD(EINVAL, e.reserved0 = 1);
	SET_BAD(EINVAL, e.reserved1 = 1);
	SET_BAD(EINVAL, e.reserved[0] = 1);
	SET_BAD(EINVAL, e.reserved[1] = 1ULL << 63);
	SET_BAD(EINVAL, e.reserved[2] = 1);
	SET_BAD(EINVAL, e.reserved[3] = 1ULL << 63);
	SET_BAD(EINVAL, e.tai_offset_sec = -1);
	SET_BAD(EINVAL, e.tai_offset_sec = -37);
	SET_BAD(EINVAL, e.tai_offset_sec = 1001);
	SET_BAD(EINVAL, e.tai_offset_sec = INT32_MIN);
	SET_BAD(EINVAL, e.leap_change = 1);			/* without a time */
	SET_BAD(EINVAL, e.leap_utc_sec = e.time.sec + 10);	/* without a change */
	SET_BAD(EINVAL, e.leap_change = 2; e.leap_utc_sec = e.time.sec + 10);
	SET_BAD(EINVAL, e.leap_change = -2; e.leap_utc_sec = e.time.sec + 10);
	SET_BAD(EINVAL, e.leap_change = INT32_MIN; e.leap_utc_sec = e.time.sec + 10);
	SET_BAD(EINVAL, e.leap_change = 1; e.leap_utc_sec = ~0ULL);
	SET_BAD(EINVAL, e.leap_change = 1; e.leap_utc_sec = 1);
	SET_BAD(EINVAL, e.leap_change = 1; e.leap_utc_sec = e.time.sec + 400 * 86400LL);
	SET_BAD(EINVAL, e.leap_change = 1; e.leap_utc_sec = e.time.sec - 2 * 86400LL);
	SET_BAD(EINVAL, e.next_update_sec = 0);
	SET_BAD(EINVAL, e.next_update_sec = 131073);
	SET_BAD(EINVAL, e.next_update_sec = ~0U);
	SET_BAD(EINVAL, e.stale_sec = ~0U);
	SET_BAD(EINVAL, e.flags = 2);
	SET_BAD(EINVAL, e.flags = ~0U);

	/* counts per second by the counter's own frequency file */
	second = read_u64(FFC_SYSFS "counter/frequency");
	SET_BAD(EINVAL, e.counter += second + second / 10);
	SET_BAD(EINVAL, e.counter += 1ULL << 62);
	SET_BAD(EINVAL, e.counter += 1ULL << 63);
	SET_BAD(EINVAL, e.counter -= 86410 * second);
	SET_BAD(ESTALE, e.epoch++);
	SET_BAD(ESTALE, e.epoch--);
	SET_BAD(ESTALE, e.epoch = ~0U);
	expect("SETEST of NULL", do_ioctl(FFCLOCK_IOC_SETEST, NULL), EFAULT);
	expect("SETEST of nowhere", do_ioctl(FFCLOCK_IOC_SETEST, nowhere), EFAULT);
	verdict("SETEST");
}

/* A valid one changes it, or nothing above proves anything */
static void test_setest_valid(void)
{
	struct ffclock_estimate e = ffc_good_estimate(fd), now;
	uint64_t second = read_u64(FFC_SYSFS "counter/frequency");
	int err = do_ioctl(FFCLOCK_IOC_SETEST, &e);

	now = ffc_estimate(fd);
	ok(!err && !memcmp(&e, &now, sizeof(e)), "a valid estimate is taken and given back whole: %s",
	   strerror(err));
#define SET_GOOD(change) do {					\
	int error;						\
								\
	e = ffc_good_estimate(fd);				\
	change;							\
	error = do_ioctl(FFCLOCK_IOC_SETEST, &e);		\
	cases++;						\
	if (error) {						\
		bad_errno++;					\
		diag(#change ": %s", strerror(error));		\
	}							\
} while (0)
	SET_GOOD(e.period += e.period / 11);
	SET_GOOD(e.period -= e.period / 11);
	SET_GOOD(e.period = now.period >> 1; e.period_shift = now.period_shift - 1;
		 e.period_esterror = e.period_maxerror = e.period);
	SET_GOOD(e.period = now.period; e.period_shift = now.period_shift;
		 e.period_esterror = e.period_maxerror = 0);
	SET_GOOD(e.maxerror_ns = e.esterror_ns = FFCLOCK_BOUND_UNKNOWN);
	SET_GOOD(e.maxerror_ns = e.esterror_ns = 0);
	SET_GOOD(e.time.sec = 0; e.time.frac = 0);
	SET_GOOD(e.time.sec = 1LL << 34; e.time.frac = ~0ULL);
	SET_GOOD(e.tai_offset_sec = 0);
	SET_GOOD(e.tai_offset_sec = 1000);
	SET_GOOD(e.leap_change = -1; e.leap_utc_sec = e.time.sec + 100);
	SET_GOOD(e.leap_change = 1; e.leap_utc_sec = e.time.sec - 100);
	SET_GOOD(e.next_update_sec = 131072);
	SET_GOOD(e.stale_sec = 1);
	SET_GOOD(e.counter += second / 2);
	SET_GOOD(e.counter -= second * 3600);
	SET_GOOD(e.flags = FFCLOCK_EST_F_STEP_MONO);
	SET_GOOD(e.status = FFCLOCK_STATUS_UNRELIABLE; e.leap_indicator = FFCLOCK_LEAP_POST_NEG);
	ok(!bad_errno, "values at the edges of what is valid: %d of %d refused", bad_errno, cases);
	cases = bad_errno = 0;
	e = ffc_good_estimate(fd);
	if (do_ioctl(FFCLOCK_IOC_SETEST, &e))
		bail("SETEST");
	take_state(&before);
}

/* READ ---------------------------------------------------------------------- */

static void test_read(void)
{
	static const struct {
		const char *what;
		struct ffclock_reading r;
		int err;
	} bad[] = {
		{ "clock 4", { .clock = 4 }, EINVAL },
		{ "clock ~0", { .clock = ~0U }, EINVAL },
		{ "clock INT_MIN", { .clock = 1U << 31 }, EINVAL },
		{ "flags 3", { .flags = 3 }, EINVAL },
		{ "flags 4", { .flags = 4 }, EINVAL },
		{ "flags ~0", { .flags = ~0U }, EINVAL },
		{ "reserved[0]", { .reserved = { 1 } }, EINVAL },
		{ "reserved[1]", { .reserved = { 0, 1ULL << 63 } }, EINVAL },
		{ "inverse of the far future", { .flags = FFCLOCK_READ_INVERSE,
		  .time = { INT64_MAX, ~0ULL } }, ERANGE },
		{ "inverse of the far past", { .flags = FFCLOCK_READ_INVERSE,
		  .time = { INT64_MIN, 0 } }, ERANGE },
		{ "inverse of mono, far", { .clock = FFCLOCK_MONO, .flags = FFCLOCK_READ_INVERSE,
		  .time = { INT64_MAX, 0 } }, ERANGE },
		{ "inverse of diff, far", { .clock = FFCLOCK_DIFF, .flags = FFCLOCK_READ_INVERSE,
		  .time = { INT64_MIN, 0 } }, ERANGE },
	};
	struct ffclock_reading r;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		r = bad[i].r;
		expect(bad[i].what, do_ioctl(FFCLOCK_IOC_READ, &r), bad[i].err);
		if (memcmp(&r, &bad[i].r, sizeof(r))) {
			bad_change++;
			diag("%s: the caller's reading was changed", bad[i].what);
		}
	}
	expect("READ of NULL", do_ioctl(FFCLOCK_IOC_READ, NULL), EFAULT);
	/* readable, not writable: the page's first bytes are clock 0x4b4c4356 */
	expect("READ in place of read-only memory that is invalid",
	       do_ioctl(FFCLOCK_IOC_READ, (void *)(uintptr_t)page), EINVAL);
	verdict("READ");
}

/* Queries ------------------------------------------------------------------- */

static void test_queries(void)
{
	struct ffclock_migration m;
	struct ffclock_counter c;
	unsigned int i;
	void *readonly;

	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect("COUNTER to NULL", do_ioctl(FFCLOCK_IOC_COUNTER, NULL), EFAULT);
	expect("COUNTER to read-only", do_ioctl(FFCLOCK_IOC_COUNTER, readonly), EFAULT);
	expect("SNAPSHOT to nowhere", do_ioctl(FFCLOCK_IOC_SNAPSHOT, nowhere), EFAULT);
	expect("SNAPSHOT to read-only", do_ioctl(FFCLOCK_IOC_SNAPSHOT, readonly), EFAULT);
	expect("GETEST to NULL", do_ioctl(FFCLOCK_IOC_GETEST, NULL), EFAULT);
	expect("GETEST to read-only", do_ioctl(FFCLOCK_IOC_GETEST, readonly), EFAULT);
	expect("READ of read-only zeroes", do_ioctl(FFCLOCK_IOC_READ, readonly), EFAULT);
	expect("MIGRATION of nowhere", do_ioctl(FFCLOCK_IOC_MIGRATION, nowhere), EFAULT);
	memset(&m, 0, sizeof(m));
	expect("MIGRATION, there was none", do_ioctl(FFCLOCK_IOC_MIGRATION, &m), ENOENT);
	m.sequence = 5;
	expect("MIGRATION 5", do_ioctl(FFCLOCK_IOC_MIGRATION, &m), ENOENT);
	m.sequence = ~0ULL;
	expect("MIGRATION ~0", do_ioctl(FFCLOCK_IOC_MIGRATION, &m), ENOENT);
	m.sequence = 0;
	for (i = 0; i < sizeof(m.reserved) / sizeof(*m.reserved); i++) {
		memset(m.reserved, 0, sizeof(m.reserved));
		m.reserved[i] = 1ULL << (i * 21);
		expect("MIGRATION, reserved word", do_ioctl(FFCLOCK_IOC_MIGRATION, &m), EINVAL);
	}
	expect("unknown number", do_ioctl(_IOR(FFCLOCK_IOC_MAGIC, 0x7f, int), &c), ENOTTY);
	expect("number 0", do_ioctl(_IO(FFCLOCK_IOC_MAGIC, 0), &c), ENOTTY);
	expect("wrong size", do_ioctl(_IOR(FFCLOCK_IOC_MAGIC, 0x01, int), &c), ENOTTY);
	expect("wrong direction", do_ioctl(_IOW(FFCLOCK_IOC_MAGIC, 0x01, struct ffclock_counter),
					   &c), ENOTTY);
	expect("wrong magic", do_ioctl(_IOR('t', 0x01, struct ffclock_counter), &c), ENOTTY);
	verdict("COUNTER, SNAPSHOT, GETEST, MIGRATION, unknown");
	munmap(readonly, 4096);
}

/* CONVERT ------------------------------------------------------------------- */

static void test_convert(void)
{
	struct ffclock_stamp *stamps = calloc(FFCLOCK_CONVERT_MAX + 1, sizeof(*stamps));
	struct ffclock_convert c, good = {
		.stamps = (uintptr_t)stamps, .count = 1,
	};
	uint8_t *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

#define CONVERT_BAD(wanted, change) do {			\
	c = good;						\
	change;							\
	expect(#change, do_ioctl(FFCLOCK_IOC_CONVERT, &c), wanted); \
} while (0)
	stamps[0].realtime_ns = now_ns(CLOCK_REALTIME);
	CONVERT_BAD(EINVAL, c.count = 0);
	CONVERT_BAD(EINVAL, c.count = FFCLOCK_CONVERT_MAX + 1);
	CONVERT_BAD(EINVAL, c.count = ~0U);
	CONVERT_BAD(EINVAL, c.flags = 1);
	CONVERT_BAD(EINVAL, c.flags = 1U << 31);
	CONVERT_BAD(EFAULT, c.stamps = 0);
	CONVERT_BAD(EFAULT, c.stamps = ~0ULL);
	CONVERT_BAD(EFAULT, c.stamps = 0xffff888000000000ULL);	/* the kernel's memory */
	/* the second stamp of two lies in a hole */
	munmap(edge + 4096, 4096);
	CONVERT_BAD(EFAULT, c.stamps = (uintptr_t)(edge + 4096 - sizeof(*stamps)); c.count = 2);
	CONVERT_BAD(EFAULT, c.stamps = (uintptr_t)page);	/* read-only */
	expect("CONVERT of NULL", do_ioctl(FFCLOCK_IOC_CONVERT, NULL), EFAULT);
	CONVERT_BAD(0, c.count = FFCLOCK_CONVERT_MAX);
	verdict("CONVERT");
	munmap(edge, 4096);
	free(stamps);
}

/* read(), write(), lseek() ---------------------------------------------------- */

static void test_file(void)
{
	uint8_t buf[8192];
	ssize_t n;
	int rw;

	expect("read() to nowhere", pread(fd, nowhere, 4096, 0) < 0 ? errno : 0, EFAULT);
	expect("read() before the beginning", pread(fd, buf, 1, -1) < 0 ? errno : 0, EINVAL);
	expect("lseek() before the beginning", lseek(fd, -1, SEEK_SET) < 0 ? errno : 0, EINVAL);
	expect("lseek() from nowhere", lseek(fd, 0, 99) < 0 ? errno : 0, EINVAL);
	expect("write() to a file open for reading", pwrite(fd, buf, 8, 0) < 0 ? errno : 0, EBADF);
	n = pread(fd, buf, sizeof(buf), FFCLOCK_PAGE_SIZE);
	expect("read() behind the page: nothing", n ? EIO : 0, 0);
	n = pread(fd, buf, sizeof(buf), INT64_MAX - 8192);
	expect("read() far behind the page: nothing", n ? EIO : 0, 0);
	n = pread(fd, buf, 0, 0);
	expect("read() of no bytes: nothing", n ? EIO : 0, 0);
	rw = open(FFCLOCK_DEV, O_RDWR | O_CLOEXEC);	/* root may */
	expect("open for writing, as root", rw < 0 ? errno : 0, 0);
	expect("write()", pwrite(rw, buf, 8, 0) < 0 ? errno : 0, EINVAL);
	close(rw);
	verdict("read, write, lseek");
}

/* Clock ids ------------------------------------------------------------------- */

static int do_adjtime(clockid_t id, unsigned int modes)
{
	struct timex tx = { .modes = modes };

	return syscall(SYS_clock_adjtime, id, &tx) < 0 ? errno : 0;
}

static void test_clock_ids(void)
{
	static const char * const names[] = {
		FFCLOCK_DEV_UTC, FFCLOCK_DEV_TAI, FFCLOCK_DEV_MONO, FFCLOCK_DEV_DIFF,
	};
	static const unsigned int modes[] = {
		ADJ_OFFSET, ADJ_FREQUENCY, ADJ_STATUS, ADJ_TAI, ADJ_SETOFFSET, ADJ_TICK,
		ADJ_OFFSET_SINGLESHOT, ADJ_OFFSET_SS_READ, 1U << 31,
	};
	struct timespec ts = { .tv_sec = 1 }, bad = { .tv_nsec = 1000000000 };
	unsigned int i, m;
	int ro, rw;

	for (i = 0; i < 4; i++) {
		ro = open(names[i], O_RDONLY | O_CLOEXEC);
		rw = open(names[i], O_RDWR | O_CLOEXEC);	/* root may */
		if (ro < 0 || rw < 0)
			bail("%s: %s", names[i], strerror(errno));
		expect("settime, open for reading", clock_settime(CLOCK_OF_FD(ro), &ts) ? errno : 0,
		       EACCES);
		expect("settime", clock_settime(CLOCK_OF_FD(rw), &ts) ? errno : 0, EOPNOTSUPP);
		expect("settime, no valid time",
		       clock_settime(CLOCK_OF_FD(rw), &bad) ? errno : 0, EINVAL);
		for (m = 0; m < sizeof(modes) / sizeof(*modes); m++) {
			expect("adjtime, open for reading", do_adjtime(CLOCK_OF_FD(ro), modes[m]),
			       EACCES);
			expect("adjtime", do_adjtime(CLOCK_OF_FD(rw), modes[m]), EOPNOTSUPP);
		}
		expect("adjtime of nothing", do_adjtime(CLOCK_OF_FD(ro), 0), 0);
		expect("gettime to nowhere",
		       syscall(SYS_clock_gettime, CLOCK_OF_FD(ro), nowhere) ? errno : 0, EFAULT);
		expect("getres to nowhere",
		       syscall(SYS_clock_getres, CLOCK_OF_FD(ro), nowhere) ? errno : 0, EFAULT);
		expect("ioctl", ioctl(ro, FFCLOCK_IOC_COUNTER, &ts) ? errno : 0, ENOTTY);
		expect("mmap", mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 0) == MAP_FAILED ?
		       errno : 0, ENODEV);
		close(ro);
		close(rw);
		expect("gettime of a closed file",
		       clock_gettime(CLOCK_OF_FD(ro), &ts) ? errno : 0, EINVAL);
	}
	verdict("clock ids");
}

/* sysfs --------------------------------------------------------------------- */

static void test_sysfs(void)
{
	static const struct {
		const char *file, *text;
		int err;
	} bad[] = {
		{ "counter/bypass", "nonsense", EINVAL },
		{ "counter/bypass", "", 0 },	/* a write of nothing is not passed on */
		{ "counter/bypass", "\n", EINVAL },
		{ "counter/bypass", "tsc hpet", EINVAL },
		{ "counter/bypass", "tscc", EINVAL },
		{ "counter/bypass", "a_name_longer_than_any_counter_has_ever_had", EINVAL },
		{ "migration/policy", "nonsense", EINVAL },
		{ "migration/policy", "\n", EINVAL },
		{ "migration/policy", "inject notify", EINVAL },
		{ "migration/tolerable_threshold_ns", "-1", EINVAL },
		{ "migration/tolerable_threshold_ns", "x", EINVAL },
		{ "migration/tolerable_threshold_ns", "1x", EINVAL },
		{ "migration/tolerable_threshold_ns", "\n", EINVAL },
		{ "migration/tolerable_threshold_ns", "0x10", EINVAL },
		{ "migration/tolerable_threshold_ns", "9223372036854775808", ERANGE },
		{ "migration/tolerable_threshold_ns", "18446744073709551616", ERANGE },
		{ "migration/max_tout_ns", "-1", EINVAL },
		{ "migration/max_tout_ns", "1e9", EINVAL },
		{ "migration/max_tout_ns", "9223372036854775808", ERANGE },
		{ "migration/min_interval_ms", "0", ERANGE },
		{ "migration/min_interval_ms", "60001", ERANGE },
		{ "migration/min_interval_ms", "-5", EINVAL },
		{ "migration/min_interval_ms", "five", EINVAL },
	};
	char path[128], what[160];
	struct stat st;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(path, sizeof(path), FFC_SYSFS "%s", bad[i].file);
		snprintf(what, sizeof(what), "'%s' into %s", bad[i].text, bad[i].file);
		expect(what, write_text(path, bad[i].text), bad[i].err);
	}
	verdict("sysfs, invalid text");

	/* what is not to be written says so by its mode, and kernfs refuses even root */
	for (i = 0; i < NR_FILES; i++) {
		snprintf(path, sizeof(path), FFC_SYSFS "%s", files[i]);
		if (stat(path, &st))
			bail("%s: %s", path, strerror(errno));
		if ((st.st_mode & 0777) == 0644)
			continue;
		if ((st.st_mode & 0777) != 0444) {
			bad_change++;
			diag("%s has mode %o", files[i], st.st_mode & 0777);
		}
		expect(files[i], write_text(path, "1"), EACCES);
	}
	verdict("sysfs, read-only files");
}

/* Without the capability ----------------------------------------------------- */

/* Run in a child; its points of failure become the exit code */
static int as_child(int (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		status = fn();
		fflush(stdout);
		_exit(status);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int drop_cap_sys_time(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d))
		return -1;
	d[0].effective &= ~(1U << CAP_SYS_TIME);
	d[0].permitted &= ~(1U << CAP_SYS_TIME);
	return syscall(SYS_capset, &h, d);
}

static int privileged_ops(bool files_writable)
{
	static const struct {
		const char *file, *text;
	} writes[] = {
		{ "counter/bypass", "hpet" },
		{ "migration/policy", "notify" },
		{ "migration/tolerable_threshold_ns", "5" },
		{ "migration/max_tout_ns", "5" },
		{ "migration/min_interval_ms", "5" },
	};
	struct ffclock_estimate e = ffc_good_estimate(fd);
	char path[128];
	unsigned int i;

	expect("SETEST", do_ioctl(FFCLOCK_IOC_SETEST, &e), EPERM);
	/* the capability comes first: nothing is told about the rest */
	expect("SETEST of NULL", do_ioctl(FFCLOCK_IOC_SETEST, NULL), EPERM);
	e.period = 0;
	expect("SETEST, invalid", do_ioctl(FFCLOCK_IOC_SETEST, &e), EPERM);
	for (i = 0; i < sizeof(writes) / sizeof(*writes); i++) {
		snprintf(path, sizeof(path), FFC_SYSFS "%s", writes[i].file);
		expect(writes[i].file, write_text(path, writes[i].text),
		       files_writable ? EPERM : EACCES);
	}
	return bad_errno + bad_change;
}

static int without_cap(void)
{
	if (drop_cap_sys_time()) {
		diag("capset: %s", strerror(errno));
		return 254;
	}
	return privileged_ops(true);
}

static int as_nobody(void)
{
	struct ffclock_convert c;
	struct ffclock_stamp stamp = { .realtime_ns = now_ns(CLOCK_REALTIME) };
	void *p;
	int f;

	if (setgroups(0, NULL) || setgid(65534) || setuid(65534)) {
		diag("setuid: %s", strerror(errno));
		return 254;
	}
	/* reading is everybody's: open, map, query, convert */
	f = open(FFCLOCK_DEV, O_RDWR);
	expect("open O_RDWR", f < 0 ? errno : 0, EACCES);
	f = open(FFCLOCK_DEV, O_RDONLY);
	expect("open O_RDONLY", f < 0 ? errno : 0, 0);
	if (f < 0)
		return 253;
	fd = f;
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, f, 0);
	expect("mmap", p == MAP_FAILED ? errno : 0, 0);
	ffc_read(f, FFCLOCK_UTC);
	ffc_snapshot(f);
	c = (struct ffclock_convert){ .stamps = (uintptr_t)&stamp, .count = 1 };
	expect("CONVERT", do_ioctl(FFCLOCK_IOC_CONVERT, &c), 0);
	expect("CONVERT's result", stamp.result, FFCLOCK_STAMP_OK);
	f = open(FFCLOCK_DEV_UTC, O_RDONLY);
	expect("open " FFCLOCK_DEV_UTC, f < 0 ? errno : 0, 0);
	return privileged_ops(false);
}

int main(void)
{
	int code;

	plan(13);
	cs_set("tsc");
	ffc_load();
	fd = ffc_open();
	page = ffc_map(fd);
	take_state(&before);

	test_setest();		/* on a clock that was never set */
	test_setest_valid();
	test_setest();		/* and on one that runs */
	test_read();
	test_queries();
	test_convert();
	test_file();
	test_clock_ids();
	test_sysfs();
	code = as_child(without_cap);
	ok(!code, "root without CAP_SYS_TIME: EPERM for SETEST and every writable file: %d wrong",
	   code);
	/* a new file of nobody's own has the same page: state is compared there */
	code = as_child(as_nobody);
	ok(!code, "nobody: may open, map, query, convert, and change nothing: %d wrong", code);

	munmap((void *)(uintptr_t)page, 4096);
	close(fd);
	return finish();
}
