// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=300 programs=chronyd own=1
/*
 * What ffclockd gives to others: the system clock, NTP, a reference clock in shared
 * memory, metrics.
 *
 * The server it follows must not be CLOCK_REALTIME, which it steers.  It is this
 * program: an NTP server whose time is CLOCK_MONOTONIC_RAW, made 30 ppm faster.  So
 * the truth is known to everybody who reads that clock.
 */
#include <arpa/inet.h>
#include <math.h>
#include <signal.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "lib/ffc.h"

#define DIR	"/tmp/ffclockd-outputs/"
#define CONF	DIR "ffclockd.conf"
#define LOG	DIR "log"
#define PORT	11125
#define RATE	30e-6
#define UNIX_NTP	2208988800LL
#define SHM_UNIT	2

/* TCG shares two host processors among all guests: round trips vary by this */
#define GOOD_NS	1000000

static int64_t *shift;		/* shared: what truth is off the line [ns] */
static int64_t base;
static pid_t server, ffclockd = -1;

static int64_t truth_at(int64_t raw)
{
	return base + raw + (int64_t)((double)raw * RATE) + *shift;
}

/* CLOCK_REALTIME - truth, of the closest of some readings [ns] */
static int64_t error_ns(void)
{
	int64_t best = INT64_MAX, err = 0;
	int i;

	for (i = 0; i < 20; i++) {
		int64_t a = now_ns(CLOCK_MONOTONIC_RAW), r = now_ns(CLOCK_REALTIME);
		int64_t b = now_ns(CLOCK_MONOTONIC_RAW);

		if (b - a >= best)
			continue;
		best = b - a;
		err = r - truth_at(a + (b - a) / 2);
	}
	return err;
}

static void put_time(uint8_t *p, int64_t ns)
{
	uint32_t sec = htonl((uint32_t)(ns / 1000000000 + UNIX_NTP));
	uint32_t frac = htonl((uint32_t)(((uint64_t)(ns % 1000000000) << 32) / 1000000000));

	memcpy(p, &sec, 4);
	memcpy(p + 4, &frac, 4);
}

static void serve(void)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)))
		_exit(1);
	for (;;) {
		uint8_t q[512], r[48] = { 0x24, 1, 0, (uint8_t)-20 };
		socklen_t len = sizeof(a);
		ssize_t n = recvfrom(fd, q, sizeof(q), 0, (struct sockaddr *)&a, &len);
		int64_t t = truth_at(now_ns(CLOCK_MONOTONIC_RAW));

		if (n < 48)
			continue;
		memcpy(r + 12, "RAW", 4);
		put_time(r + 16, t - 1000000000);
		memcpy(r + 24, q + 40, 8);
		put_time(r + 32, t);
		put_time(r + 40, truth_at(now_ns(CLOCK_MONOTONIC_RAW)));
		sendto(fd, r, sizeof(r), 0, (struct sockaddr *)&a, len);
	}
}

static void start(void)
{
	char *const argv[] = { "ffclockd", "-c", CONF, "-d", NULL };

	ffclockd = spawn(LOG, argv);
}

static void clean_up(void)
{
	kill(server, SIGKILL);
	if (ffclockd > 0)
		kill(ffclockd, SIGKILL);
}

static bool wait_good(int seconds)
{
	int64_t e = 0;
	int i, good = 0;

	for (i = 0; i < seconds * 10 && good < 20; i++) {
		e = error_ns();
		good = llabs(e) < GOOD_NS ? good + 1 : 0;
		sleep_ms(100);
	}
	diag("after %d s: CLOCK_REALTIME - truth %lld ns", i / 10, (long long)e);
	if (good < 20)
		run("tail -n 20 " LOG " | sed 's/^/# /'");
	return good == 20;
}

/* Layout of ntpd's refclock_shm */
struct shm_time {
	int mode, count;
	time_t clock_sec;
	int clock_usec;
	time_t receive_sec;
	int receive_usec, leap, precision, nsamples, valid;
	unsigned int clock_nsec, receive_nsec;
	int dummy[8];
};

static void test_shm(void)
{
	int id = shmget(0x4e545030 + SHM_UNIT, sizeof(struct shm_time), 0);
	struct shm_time *t = id < 0 ? (void *)-1 : shmat(id, NULL, SHM_RDONLY);
	int64_t told = INT64_MAX, real;
	int i;

	if (t == (void *)-1) {
		ok(false, "shared memory: %s", strerror(errno));
		return;
	}
	for (i = 0; i < 50 && !t->valid; i++)
		sleep_ms(100);
	told = (t->clock_sec - t->receive_sec) * 1000000000LL + (int)t->clock_nsec -
	       (int)t->receive_nsec;
	real = -error_ns();
	ok(t->valid && t->mode == 1 && llabs(told - real) < GOOD_NS,
	   "shared memory tells what CLOCK_REALTIME is off: %lld ns (it is %lld)",
	   (long long)told, (long long)real);
}

static void test_metrics(void)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(9123),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	static const char ask[] = "GET /metrics HTTP/1.1\r\n\r\n";
	static char text[65536];
	int s = socket(AF_INET, SOCK_STREAM, 0);
	size_t have = 0;
	ssize_t n;

	if (connect(s, (struct sockaddr *)&a, sizeof(a)) || write(s, ask, sizeof(ask) - 1) < 0)
		diag("metrics: %s", strerror(errno));
	while ((n = read(s, text + have, sizeof(text) - 1 - have)) > 0)
		have += (size_t)n;
	close(s);
	ok(strstr(text, "HTTP/1.1 200 OK") && strstr(text, "\nffclockd_bound_seconds ") &&
	   strstr(text, "\nffclockd_source_used{source=\"127.0.0.1\",number=\"0\"} 1\n"),
	   "metrics by HTTP, %zu bytes", have);
}

int main(void)
{
	char *const rival[] = { "chronyd", "-d", "-f", DIR "rival.conf", "-u", "root", NULL };
	struct timex tx = { 0 };
	int64_t before, after, last = 0, back = 0, t;
	pid_t chronyd;
	int i, status;

	if (run("command -v ffclockd >/dev/null"))
		skip_all("ffclockd is not in the image");
	if (run("command -v chronyd >/dev/null"))
		skip_all("chronyd is not in the image");
	plan(13);
	ffc_load();
	run("rm -rf " DIR "; mkdir -p " DIR " /var/lib/chrony /run/chrony");
	shift = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shift == MAP_FAILED)
		bail("mmap: %s", strerror(errno));
	/* CLOCK_REALTIME begins 50 ms behind */
	base = 0;
	base = error_ns() + 50000000;
	server = fork();
	if (!server)
		serve();
	atexit(clean_up);
	put(CONF, "server 127.0.0.1 port 11125 minpoll 0 maxpoll 0 iburst\ncounter device\n"
	    "user nobody\ncontrol none\nstate none\n"
	    "systemclock yes step 1 steplimit always slew 5000\n"
	    "serve 127.0.0.1 port 11126\nshm 2\nmetrics 9123\n");

	/* another daemon that disciplines the clock */
	put(DIR "rival.conf", "port 0\ncmdport 0\npidfile " DIR "rival.pid\n");
	chronyd = spawn(DIR "rival.log", rival);
	for (i = 0; i < 100 && access(DIR "rival.pid", F_OK); i++)
		sleep_ms(100);
	start();
	waitpid(ffclockd, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 1, "refuses to run beside chronyd");
	ok(run("grep -q 'system clock: chronyd (process [0-9]*) runs and adjusts it' " LOG) == 0,
	   "and says so");
	kill(chronyd, SIGTERM);
	waitpid(chronyd, NULL, 0);

	start();
	before = now_ns(CLOCK_MONOTONIC_RAW);
	for (i = 0; now_ns(CLOCK_MONOTONIC_RAW) - before < 15000000000LL; i++) {
		t = now_ns(CLOCK_REALTIME);
		back += t < last;
		last = t;
		if (!(i % 1000))
			sleep_ms(10);
	}
	ok(wait_good(90), "50 ms behind: CLOCK_REALTIME comes right");
	ok(!back, "and never went back on the way");
	ok(run("grep -q 'system clock: stepped' " LOG) != 0, "without a step");
	/* the frequency's part that is not slew: a while later */
	sleep_ms(3000);
	adjtimex(&tx);
	ok(!(tx.status & STA_UNSYNC) && tx.maxerror < 100000, "the kernel calls it synchronised, "
	   "error at most %ld us", tx.maxerror);

	ok(run("chronyd -Q -t 20 -u root -f /dev/null 'server 127.0.0.1 port 11126 iburst' 'cmdport 0' "
	       "'pidfile " DIR "q.pid' >" DIR "query 2>&1; sed 's/^/# /' " DIR "query; "
	       "awk '/System clock wrong by/ { e = $(NF-2) < 0 ? -$(NF-2) : $(NF-2); "
	       "if (e < 0.002) found = 1 } END { exit !found }' " DIR "query") == 0,
	   "chronyd gets the time from it");
	test_shm();
	test_metrics();

	*shift += 3000000000LL;
	ok(wait_good(120) && !run("grep -q 'system clock: stepped by +[23]' " LOG),
	   "3 s behind: it is stepped");
	/* time to find the rate again */
	sleep_ms(30000);
	kill(ffclockd, SIGTERM);
	waitpid(ffclockd, &status, 0);
	ffclockd = -1;
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "ends with 0");
	tx.modes = 0;
	adjtimex(&tx);
	run("grep -h 'system clock: ' " LOG " | sed 's/^/# /'; tail -n 4 " LOG " | sed 's/^/# /'");
	diag("frequency left: %.3f ppm", (double)tx.freq / 65536);
	before = error_ns();
	sleep_ms(10000);
	after = error_ns();
	/* RAW's rate is known to 30 ppm - what a path of 100 us tells in seconds */
	ok(llabs(after - before) < 300000, "the clock keeps pace alone: %lld ns in 10 s",
	   (long long)(after - before));
	ok(fabs((double)tx.freq / 65536 - RATE * 1e6) < 30 && tx.tick == 10000,
	   "with the frequency that the oscillator needs, and no slew");
	tx = (struct timex){ .modes = ADJ_FREQUENCY | ADJ_STATUS, .status = STA_UNSYNC };
	adjtimex(&tx);
	return finish();
}
