// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=240 programs=chronyd,phc2sys,phc_ctl
/*
 * ptp_ffclock: what a PHC promises, what it refuses, and the programs that
 * follow it: chronyd, phc2sys, phc_ctl and testptp, each for real.
 *
 * The test itself sets ffclock's parameters, from snapshots, so that the truth
 * is known to the nanosecond: the distance from FFCLOCK_UTC to CLOCK_REALTIME at
 * one counter value.
 */
#include <linux/ptp_clock.h>
#include <signal.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "lib/ffc.h"

#define TAI_OFFSET	37
#define TEMP		"/tmp/ptp-test/"

/* What a follower is to reach, and how long it may take on a busy machine */
#define FOLLOW_NS	1000
#define FOLLOW_SEC	90

static int fd, ptp = -1;
static char dev[64];

static bool find_clock(void)
{
	struct dirent *d;
	bool found = false;
	DIR *dir = opendir("/sys/class/ptp");

	while (dir && !found && (d = readdir(dir))) {
		char path[PATH_MAX], name[64];

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/class/ptp/%s/clock_name", d->d_name);
		if (read_text(path, name, sizeof(name)) && !strcmp(name, "ffclock")) {
			snprintf(dev, sizeof(dev), "/dev/%.32s", d->d_name);
			found = true;
		}
	}
	if (dir)
		closedir(dir);
	return found;
}

static void set_estimate(const struct ffclock_estimate *e)
{
	if (ioctl(fd, FFCLOCK_IOC_SETEST, e))
		bail("SETEST: %s", strerror(errno));
}

/* FFCLOCK_UTC is CLOCK_REALTIME of now plus @ahead_ns, for @stale_sec */
static void synchronise(int64_t ahead_ns, uint32_t stale_sec)
{
	struct ffclock_estimate e = ffc_good_estimate(fd);

	e.time = ffclock_time_add(e.time, ffclock_ns_to_time(ahead_ns));
	e.stale_sec = stale_sec;
	set_estimate(&e);
}

/* FFCLOCK_UTC - CLOCK_REALTIME at one counter value */
static int64_t away_ns(void)
{
	struct ffclock_snapshot s = ffc_snapshot(fd);

	return ffclock_time_to_ns(ffc_read_at(fd, FFCLOCK_UTC, s.counter).time) - s.realtime_ns;
}

static int64_t ptp_ns(const struct ptp_clock_time *t)
{
	return t->sec * NSEC_PER_SEC + t->nsec;
}

static int err(int ret)
{
	return ret ? errno : 0;
}

/* Reading fails with @want, by every way there is */
static bool refuses(int want)
{
	struct ptp_sys_offset_extended ext = { .n_samples = 3 };
	struct ptp_sys_offset_precise precise = {};
	struct ptp_sys_offset basic = { .n_samples = 3 };
	struct timespec ts;
	int a = err(clock_gettime(CLOCK_OF_FD(ptp), &ts));
	int b = err(ioctl(ptp, PTP_SYS_OFFSET_EXTENDED, &ext));
	int c = err(ioctl(ptp, PTP_SYS_OFFSET_PRECISE, &precise));
	int d = err(ioctl(ptp, PTP_SYS_OFFSET, &basic));

	/* kernels before 6.13 drop the error of the basic one, and all know this */
	if (a != want || b != want || c != want)
		diag("errnos: gettime %d, extended %d, precise %d, basic %d", a, b, c, d);
	return a == want && b == want && c == want;
}

static void test_refusal(void)
{
	struct ffclock_estimate e;

	ok(refuses(ENODATA), "an unsynchronised clock: ENODATA");
	synchronise(0, 0);
	ok(refuses(0), "a synchronised one can be read");

	e = ffc_good_estimate(fd);
	e.tai_offset_sec = 0;
	set_estimate(&e);
	ok(refuses(ENODATA), "TAI is not known: ENODATA");

	e = ffc_good_estimate(fd);
	e.maxerror_ns = 200000000;
	set_estimate(&e);
	ok(refuses(ENODATA), "bound of 200 ms, limit of 100: ENODATA");
	write_text("/sys/module/ptp_ffclock/parameters/max_error_us", "300000");
	ok(refuses(0), "limit of 300 ms: can be read");
	write_text("/sys/module/ptp_ffclock/parameters/max_error_us", "100000");

	e = ffc_good_estimate(fd);
	e.status = FFCLOCK_STATUS_UNRELIABLE;
	set_estimate(&e);
	ok(refuses(ENODATA), "status unreliable: ENODATA");

	synchronise(0, 1);
	sleep_ms(1500);
	ok(ffc_read(fd, FFCLOCK_UTC).status == FFCLOCK_STATUS_FREERUNNING && refuses(0),
	   "in holdover with a small bound it can be read");
}

static void test_readonly(void)
{
	struct timex tx = { .modes = ADJ_SETOFFSET | ADJ_NANO, .time.tv_sec = 1 };
	struct timespec ts = { .tv_sec = 1 };
	clockid_t id;
	int rw = open(dev, O_RDWR | O_CLOEXEC);

	if (rw < 0)
		bail("cannot open %s: %s", dev, strerror(errno));
	id = CLOCK_OF_FD(rw);
	synchronise(0, 0);
	ok(clock_settime(id, &ts) && errno == EOPNOTSUPP, "settime: EOPNOTSUPP");
	ok(clock_adjtime(id, &tx) && errno == EOPNOTSUPP, "adjtime of an offset: EOPNOTSUPP");
	tx = (struct timex){ .modes = ADJ_FREQUENCY };
	ok(clock_adjtime(id, &tx) && errno == EOPNOTSUPP, "adjtime of frequency 0: EOPNOTSUPP");
	tx = (struct timex){ .modes = ADJ_FREQUENCY, .freq = 65536 };
	ok(clock_adjtime(id, &tx) && (errno == EOPNOTSUPP || errno == ERANGE),
	   "adjtime of a frequency: refused");
	close(rw);
}

static void test_values(void)
{
	struct ptp_sys_offset_extended ext = { .n_samples = 10 };
	int64_t low, high, before, after, got, worst = 0;
	struct ptp_sys_offset_precise precise = {};
	int i, bad = 0, disordered = 0;
	struct timespec ts;

	synchronise(123456789, 0);
	for (i = 0; i < 1000; i++) {
		before = ffclock_time_to_ns(ffc_read(fd, FFCLOCK_TAI).time);
		if (clock_gettime(CLOCK_OF_FD(ptp), &ts))
			bail("gettime: %s", strerror(errno));
		after = ffclock_time_to_ns(ffc_read(fd, FFCLOCK_TAI).time);
		got = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
		bad += got < before || got > after;
	}
	ok(!bad, "1000 readings lie between two of FFCLOCK_TAI: %d do not", bad);

	for (i = 0, bad = 0; i < 1000; i++) {
		low = away_ns();
		if (ioctl(ptp, PTP_SYS_OFFSET_PRECISE, &precise))
			bail("PRECISE: %s", strerror(errno));
		high = away_ns();
		got = ptp_ns(&precise.device) - ptp_ns(&precise.sys_realtime) -
		      TAI_OFFSET * NSEC_PER_SEC;
		if (low > high) {
			int64_t t = low;

			low = high;
			high = t;
		}
		/* each of four values is rounded to a nanosecond */
		if (got < low - 2 || got > high + 2) {
			bad++;
			worst = llabs(got - low) > worst ? llabs(got - low) : worst;
		}
	}
	ok(!bad, "1000 cross timestamps are those of one counter reading: %d not, worst %lld ns",
	   bad, (long long)worst);

	if (ioctl(ptp, PTP_SYS_OFFSET_EXTENDED, &ext))
		bail("EXTENDED: %s", strerror(errno));
	for (i = 0, bad = 0; i < 10; i++) {
		int64_t pre = ptp_ns(&ext.ts[i][0]), post = ptp_ns(&ext.ts[i][2]);
		int64_t now = ptp_ns(&ext.ts[i][1]) - TAI_OFFSET * NSEC_PER_SEC - 123456789;

		disordered += pre > post;
		/* the rates differ by far less than 1 us in the time this takes */
		bad += now < pre - 1000 || now > post + 1000;
	}
	ok(!bad && !disordered, "extended offsets bracket the reading");
}

static void follow(const char *who, const char *log, char *const argv[], int64_t ahead_ns)
{
	int64_t away = 0, best = INT64_MAX;
	char tell[256];
	int i, good = 0;
	pid_t pid;

	synchronise(ahead_ns, 3600);
	pid = spawn(log, argv);
	/* within the limit at ten looks in a row, a quarter of a second apart */
	for (i = 0; i < FOLLOW_SEC * 4 && good < 10; i++) {
		sleep_ms(250);
		away = away_ns();
		best = llabs(away) < best ? llabs(away) : best;
		good = llabs(away) <= FOLLOW_NS ? good + 1 : 0;
	}
	ok(good == 10, "%s brings CLOCK_REALTIME to FFCLOCK_UTC: %lld ns off after %d.%02d s "
	   "(from %lld)", who, (long long)away, i / 4, i % 4 * 25, (long long)ahead_ns);
	if (good < 10) {
		diag("nearest was %lld ns", (long long)best);
		snprintf(tell, sizeof(tell), "tail -n 20 %s | sed 's/^/# /'", log);
		run(tell);
	}
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

static void test_followers(void)
{
	char *const phc2sys[] = {
		"phc2sys", "-s", dev, "-c", "CLOCK_REALTIME", "-O", "-37", "-R", "4",
		"-S", "0.1", "-m", NULL
	};
	char *const chronyd[] = { "chronyd", "-d", "-f", TEMP "chrony.conf", "-u", "root", NULL };
	FILE *f;

	if (mkdir(TEMP, 0755) && errno != EEXIST)
		bail("mkdir: %s", strerror(errno));
	f = fopen(TEMP "chrony.conf", "w");
	if (!f)
		bail("cannot write " TEMP "chrony.conf");
	fprintf(f, "refclock PHC %s poll 0 dpoll -2 offset -37\n"
		   "makestep 0.1 3\npidfile %s\nbindcmdaddress /\ncmdport 0\n",
		dev, TEMP "chronyd.pid");
	fclose(f);

	follow("chronyd", TEMP "chronyd.log", chronyd, 400000000);
	follow("phc2sys", TEMP "phc2sys.log", phc2sys, -300000000);
}

static void test_phc_ctl(void)
{
	char command[192];

	synchronise(0, 0);
	snprintf(command, sizeof(command), "phc_ctl -q %s get cmp > " TEMP "phc_ctl.log 2>&1", dev);
	ok(run(command) == 0 && run("grep -q 'clock time' " TEMP "phc_ctl.log") == 0 &&
	   run("grep -Eq 'offset from CLOCK_REALTIME is -3[67]' " TEMP "phc_ctl.log") == 0,
	   "phc_ctl reads it, 37 s ahead of CLOCK_REALTIME");
	run("sed 's/^/# /' " TEMP "phc_ctl.log");
	snprintf(command, sizeof(command), "phc_ctl -q %s adj 1 > " TEMP "phc_ctl.log 2>&1", dev);
	run(command);
	ok(llabs(away_ns()) < 1000000, "phc_ctl cannot move it");
}

/* The kernel's own test program: no package has it, selftests/debug/build makes it */
static const struct {
	const char	*option, *wanted, *text;
} testptp[] = {
	{ "-c", "  1 cross timestamping", "says that it has cross timestamps" },
	{ "-c", "  0 maximum frequency adjustment (ppb)", "says that it is not adjusted" },
	{ "-g", "clock time: [1-9][0-9]*\\.[0-9]* or ", "gets the time" },
	{ "-x 5", "extended timestamp request returned 5 samples", "gets extended ones" },
	{ "-X", "crosstimestamping request okay", "gets a cross timestamp" },
	{ "-f 100", "clock_adjtime: .* not supported\\|out of range", "cannot change the frequency" },
	{ "-t 1", "clock_adjtime: Operation not supported", "cannot shift it" },
	{ "-T 5", "clock_settime: Operation not supported", "cannot set it" },
};

#define TESTPTP	((int)(sizeof(testptp) / sizeof(*testptp)))

static bool have_testptp(void)
{
	return !run("which testptp > /dev/null");
}

static void test_testptp(void)
{
	char command[256];
	int i;

	if (!have_testptp()) {
		skip("testptp", "it is not there: selftests/debug/build makes it");
		return;
	}
	synchronise(0, 0);
	for (i = 0; i < TESTPTP; i++) {
		snprintf(command, sizeof(command), "testptp -d %s %s > " TEMP "testptp.log 2>&1",
			 dev, testptp[i].option);
		run(command);
		snprintf(command, sizeof(command), "grep -q '%s' " TEMP "testptp.log",
			 testptp[i].wanted);
		if (!ok(!run(command), "testptp %s %s", testptp[i].option, testptp[i].text))
			run("sed 's/^/# /' " TEMP "testptp.log");
	}
}

static void unload(void)
{
	if (ptp >= 0)
		close(ptp);
	close(fd);
	run("rmmod ptp_ffclock");
}

int main(void)
{
	if (run("[ -e /lib/modules/$(uname -r)/ptp_ffclock.ko ]"))
		skip_all("no ptp_ffclock in the image: kernel without PTP");
	plan(18 + (have_testptp() ? TESTPTP : 1));
	ffc_load();
	fd = ffc_open();
	atexit(unload);
	if (run("modprobe ptp_ffclock"))
		bail("modprobe ptp_ffclock failed");
	if (!find_clock())
		bail("no PTP clock is called ffclock");
	ptp = open(dev, O_RDONLY | O_CLOEXEC);
	if (ptp < 0)
		bail("cannot open %s: %s", dev, strerror(errno));
	diag("%s", dev);

	test_refusal();
	test_readonly();
	test_values();
	test_followers();
	test_phc_ctl();
	test_testptp();
	return finish();
}
