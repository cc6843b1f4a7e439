/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What C tests of ffclock.ko share: files and programs, the module and its devices,
 * the clocksource, estimates, random numbers.  Anything that cannot be had ends the
 * test with "Bail out!".
 */
#ifndef _GUEST_FFC_H
#define _GUEST_FFC_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/ffclock.h>
#include <linux/ffclock_math.h>

#include "../../tap.h"

#define NSEC_PER_SEC	1000000000LL
#define FFC_SYSFS	"/sys/kernel/ffclock/"
#define CS_SYSFS	"/sys/devices/system/clocksource/clocksource0/"

/* An address that nothing is mapped at; volatile, or the compiler objects */
static TAP_UNUSED void *volatile nowhere = (void *)8;

/* Files --------------------------------------------------------------------- */

/* The file's text without the last newline; false if it cannot be read */
static TAP_UNUSED bool read_text(const char *path, char *buf, size_t size)
{
	ssize_t n, got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while ((n = read(fd, buf + got, size - 1 - got)) > 0)
		got += n;
	close(fd);
	if (n < 0)
		return false;
	while (got && buf[got - 1] == '\n')
		got--;
	buf[got] = '\0';
	return true;
}

/* 0 or the errno of writing the text in one write() */
static TAP_UNUSED int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;
	int err;

	if (fd < 0)
		return errno;
	n = write(fd, text, strlen(text));
	err = n < 0 ? errno : n != (ssize_t)strlen(text) ? EIO : 0;
	close(fd);
	return err;
}

/* The file, made anew, with this text */
static TAP_UNUSED void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) < 0 || fclose(f))
		bail("cannot write %s: %s", path, strerror(errno));
}

static TAP_UNUSED uint64_t read_u64(const char *path)
{
	char buf[64];

	if (!read_text(path, buf, sizeof(buf)))
		bail("cannot read %s: %s", path, strerror(errno));
	return strtoull(buf, NULL, 10);
}

static TAP_UNUSED int run(const char *command)
{
	fflush(stdout);
	return system(command);
}

/* A program of the path, its output at the end of the file @log */
static TAP_UNUSED pid_t spawn(const char *log, char *const argv[])
{
	pid_t pid = fork();
	int out;

	if (pid < 0)
		bail("fork: %s", strerror(errno));
	if (pid)
		return pid;
	out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (out >= 0) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
	}
	execvp(argv[0], argv);
	_exit(127);
}

/* Module -------------------------------------------------------------------- */

static void ffc_unload(void)
{
	if (run("! grep -q '^ffclock ' /proc/modules || rmmod ffclock"))
		printf("# cannot unload ffclock\n");
}

static TAP_UNUSED void ffc_load(void)
{
	if (run("modprobe ffclock"))
		bail("modprobe ffclock failed");
	atexit(ffc_unload);
}

static TAP_UNUSED int ffc_open(void)
{
	int fd = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		bail("cannot open %s: %s", FFCLOCK_DEV, strerror(errno));
	return fd;
}

static TAP_UNUSED const volatile struct ffclock_page *ffc_map(int fd)
{
	void *p = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		bail("mmap: %s", strerror(errno));
	return p;
}

#define CLOCK_OF_FD(fd)	((~(clockid_t)(fd) << 3) | 3)

/* Every regular file in the folders of ffclock's sysfs */
static TAP_UNUSED void ffc_each_sysfs(void (*each)(const char *path, const struct stat *st))
{
	static const char * const folders[] = { "", "counter/", "clock/", "migration/" };
	char path[512];
	unsigned int i;

	for (i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		struct dirent *d;
		struct stat st;
		DIR *dir;

		snprintf(path, sizeof(path), FFC_SYSFS "%s", folders[i]);
		dir = opendir(path);
		if (!dir)
			bail("cannot open %s: %s", path, strerror(errno));
		while ((d = readdir(dir))) {
			snprintf(path, sizeof(path), FFC_SYSFS "%s%s", folders[i], d->d_name);
			if (!stat(path, &st) && S_ISREG(st.st_mode))
				each(path, &st);
		}
		closedir(dir);
	}
}

/* Clocksource ---------------------------------------------------------------- */

/* Names of the clocksources there are, ended by NULL; the count */
static TAP_UNUSED int cs_available(char *buf, size_t size, char **names, int max)
{
	char *save, *word;
	int n = 0;

	if (!read_text(CS_SYSFS "available_clocksource", buf, size))
		bail("no clocksource in sysfs");
	for (word = strtok_r(buf, " ", &save); word && n < max - 1; word = strtok_r(NULL, " ", &save))
		names[n++] = word;
	names[n] = NULL;
	return n;
}

static TAP_UNUSED void cs_set(const char *name)
{
	char now[64];
	int err = write_text(CS_SYSFS "current_clocksource", name);

	if (err)
		bail("cannot choose clocksource %s: %s", name, strerror(err));
	if (!read_text(CS_SYSFS "current_clocksource", now, sizeof(now)) || strcmp(now, name))
		bail("clocksource is %s, wanted %s", now, name);
}

/* Our clocksource that does what a test says: "ffclock-fake", and its files */
#define FAKE_DEBUGFS	"/sys/kernel/debug/ffclock_fakecs/"
#define FAKE_HZ		20000000

/* Load it, so wide; whether it could be */
static TAP_UNUSED bool fake_load(unsigned int bits)
{
	char command[80];

	snprintf(command, sizeof(command), "modprobe ffclock_fakecs bits=%u hz=%u", bits, FAKE_HZ);
	return !run(command);
}

/* Estimates ------------------------------------------------------------------ */

static TAP_UNUSED struct ffclock_estimate ffc_estimate(int fd)
{
	struct ffclock_estimate e;

	if (ioctl(fd, FFCLOCK_IOC_GETEST, &e))
		bail("GETEST: %s", strerror(errno));
	return e;
}

static TAP_UNUSED struct ffclock_snapshot ffc_snapshot(int fd)
{
	struct ffclock_snapshot s;

	if (ioctl(fd, FFCLOCK_IOC_SNAPSHOT, &s))
		bail("SNAPSHOT: %s", strerror(errno));
	return s;
}

/* Invert CLOCK_REALTIME stamps, however many */
static TAP_UNUSED void ffc_convert(int fd, struct ffclock_stamp *stamps, int count)
{
	struct ffclock_convert c;
	int n;

	for (; count; count -= n, stamps += n) {
		n = count < FFCLOCK_CONVERT_MAX ? count : FFCLOCK_CONVERT_MAX;
		c = (struct ffclock_convert){ .stamps = (uintptr_t)stamps, .count = n };
		if (ioctl(fd, FFCLOCK_IOC_CONVERT, &c))
			bail("CONVERT: %s", strerror(errno));
	}
}

static TAP_UNUSED struct ffclock_stamp ffc_convert_one(int fd, int64_t realtime_ns)
{
	struct ffclock_stamp s = { .realtime_ns = realtime_ns };

	ffc_convert(fd, &s, 1);
	return s;
}

static TAP_UNUSED uint64_t ffc_counter(int fd, uint32_t *epoch)
{
	struct ffclock_counter c;

	if (ioctl(fd, FFCLOCK_IOC_COUNTER, &c))
		bail("COUNTER: %s", strerror(errno));
	if (epoch)
		*epoch = c.epoch;
	return c.value;
}

/* A good estimate: CLOCK_REALTIME now, the rate in force, synchronised */
static TAP_UNUSED struct ffclock_estimate ffc_good_estimate(int fd)
{
	struct ffclock_estimate was = ffc_estimate(fd);
	struct ffclock_snapshot snap = ffc_snapshot(fd);
	struct ffclock_estimate e = {
		.counter = snap.counter,
		.time = ffclock_ns_to_time(snap.realtime_ns),
		.period = was.period,
		.period_shift = was.period_shift,
		.period_esterror = was.period / 100000000,
		.period_maxerror = was.period / 10000000,
		.esterror_ns = 1000,
		.maxerror_ns = 10000,
		.epoch = snap.epoch,
		.status = FFCLOCK_STATUS_SYNCHRONIZED,
		.tai_offset_sec = 37,
		.next_update_sec = 16,
	};

	return e;
}

static TAP_UNUSED struct ffclock_reading ffc_read(int fd, enum ffclock_id clock)
{
	struct ffclock_reading r = { .clock = clock };

	if (ioctl(fd, FFCLOCK_IOC_READ, &r))
		bail("READ: %s", strerror(errno));
	return r;
}

/* The same at a counter value */
static TAP_UNUSED struct ffclock_reading ffc_read_at(int fd, enum ffclock_id clock, uint64_t counter)
{
	struct ffclock_reading r = {
		.clock = clock, .flags = FFCLOCK_READ_AT, .counter = counter,
	};

	if (ioctl(fd, FFCLOCK_IOC_READ, &r))
		bail("READ: %s", strerror(errno));
	return r;
}

/* Time ----------------------------------------------------------------------- */

static TAP_UNUSED int64_t now_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts))
		bail("clock_gettime(%d): %s", (int)id, strerror(errno));
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static TAP_UNUSED void sleep_ms(long ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* Random numbers: xorshift64*, seeded from the TSC or SEED= ------------------ */

static uint64_t rng_state;

static TAP_UNUSED void rng_seed(void)
{
	const char *env = getenv("SEED");

	rng_state = env ? strtoull(env, NULL, 0) : __rdtsc() * 0x9e3779b97f4a7c15ULL;
	if (!rng_state)
		rng_state = 1;
	diag("seed %#" PRIx64 " (SEED= repeats it)", rng_state);
}

static TAP_UNUSED uint64_t rng(void)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return rng_state * 0x2545f4914f6cdd1dULL;
}

/* 0..n-1 */
static TAP_UNUSED uint64_t rng_below(uint64_t n)
{
	return (uint64_t)(((unsigned __int128)rng() * n) >> 64);
}

#endif /* _GUEST_FFC_H */
