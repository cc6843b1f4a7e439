// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=300 programs=chronyd
/*
 * ffclockd in a guest: it synchronises the module's clock to a real chronyd, and
 * keeps its head through what breaks a clock.
 *
 * chronyd serves the guest's own CLOCK_REALTIME (it does not control it), so the
 * truth is known exactly: a snapshot pairs a counter value with CLOCK_REALTIME,
 * and the clock at that value can be asked for.
 */
#include <signal.h>
#include <sys/wait.h>

#include "lib/ffc.h"

#define DIR		"/tmp/ffclockd-test/"
#define CONF		DIR "ffclockd.conf"
#define LOG		DIR "log"

/* TCG shares two host processors among all guests: round trips vary by this */
#define GOOD_NS		1000000

static int fd;
static pid_t chronyd = -1, ffclockd = -1;

static void start_chronyd(void)
{
	char *const argv[] = { "chronyd", "-x", "-d", "-f", DIR "chrony.conf", "-u", "root", NULL };

	chronyd = spawn(DIR "chronyd.log", argv);
}

static void start_ffclockd(void)
{
	char *const argv[] = { "ffclockd", "-c", CONF, "-d", NULL };

	ffclockd = spawn(LOG, argv);
}

/* Exit status of a child that was sent a signal, -1 for another end */
static int end(pid_t *pid, int sig)
{
	int status = -1, i;

	kill(*pid, sig);
	for (i = 0; i < 100; i++) {
		pid_t got = waitpid(*pid, &status, WNOHANG);

		if (got == *pid) {
			*pid = -1;
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		}
		sleep_ms(100);
	}
	kill(*pid, SIGKILL);
	waitpid(*pid, &status, 0);
	*pid = -1;
	return -1;
}

static void clean_up(void)
{
	if (ffclockd > 0)
		end(&ffclockd, SIGTERM);
	if (chronyd > 0)
		end(&chronyd, SIGTERM);
	close(fd);	/* or the module cannot be unloaded */
}

static bool alive(void)
{
	return !waitpid(ffclockd, NULL, WNOHANG);
}

static bool said(const char *what)
{
	static char text[1 << 20];

	return read_text(LOG, text, sizeof(text)) && strstr(text, what);
}

static void tell_log(void)
{
	run("tail -n 25 " LOG " | sed 's/^/# /'");
}

struct look {
	int64_t		error_ns;	/* FFCLOCK_UTC - CLOCK_REALTIME */
	uint64_t	bound_ns;
	uint32_t	status;
	uint32_t	epoch;
};

static struct look look(void)
{
	struct ffclock_snapshot s = ffc_snapshot(fd);
	struct ffclock_reading r = ffc_read_at(fd, FFCLOCK_UTC, s.counter);
	struct look l;

	l.error_ns = ffclock_time_to_ns(r.time) - s.realtime_ns;
	l.bound_ns = r.bound_ns;
	l.status = r.status;
	l.epoch = r.epoch;
	return l;
}

/* Wait until the clock is synchronised and @good_ns near; how it is then */
static bool wait_good(int seconds, uint32_t not_epoch, struct look *l)
{
	int i;

	for (i = 0; i < seconds * 4; i++) {
		*l = look();
		if (l->status == FFCLOCK_STATUS_SYNCHRONIZED && l->epoch != not_epoch &&
		    llabs(l->error_ns) < GOOD_NS && (uint64_t)llabs(l->error_ns) <= l->bound_ns) {
			diag("after %d.%02d s: error %lld ns, bound %llu ns", i / 4, i % 4 * 25,
			     (long long)l->error_ns, (unsigned long long)l->bound_ns);
			return true;
		}
		sleep_ms(250);
	}
	diag("status %u, epoch %u, error %lld ns, bound %llu ns", l->status, l->epoch,
	     (long long)l->error_ns, (unsigned long long)l->bound_ns);
	tell_log();
	return false;
}

static uint64_t effective_caps(pid_t pid)
{
	char path[64], text[8192], *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (!read_text(path, text, sizeof(text)))
		return ~0ULL;
	line = strstr(text, "\nCapEff:");
	return line ? strtoull(line + 8, NULL, 16) : ~0ULL;
}

static bool runs_as_nobody(pid_t pid)
{
	char path[64], text[8192];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return read_text(path, text, sizeof(text)) &&
	       strstr(text, "\nUid:\t65534\t65534\t65534\t65534\n") &&
	       strstr(text, "\nNoNewPrivs:\t1\n");
}

static void test_sync(void)
{
	struct look l;
	int i, covered = 0;

	ok(wait_good(40, ~0U, &l), "synchronises to chronyd within 40 s");
	for (i = 0; i < 40; i++) {
		l = look();
		covered += (uint64_t)llabs(l.error_ns) <= l.bound_ns;
		sleep_ms(100);
	}
	ok(covered == 40, "its error bound holds: %d of 40 looks", covered);
	ok(runs_as_nobody(ffclockd), "runs as nobody, without new privileges");
	/* CAP_SYS_TIME is 25 */
	ok(effective_caps(ffclockd) == 1ULL << 25, "has CAP_SYS_TIME and nothing else");
	ok(run("grep -q '^[0-9]' " DIR "stamps && grep -q '^[0-9]' " DIR "map") == 0,
	   "writes stamp and map logs");
	ok(!said("no kernel timestamps"), "has kernel timestamps for requests and answers");
}

static void test_clocksource(void)
{
	struct look before = look(), l;
	char was[64];

	if (!read_text(CS_SYSFS "current_clocksource", was, sizeof(was)))
		bail("no clocksource");
	cs_set("hpet");
	ok(wait_good(60, before.epoch, &l), "synchronises anew on clocksource hpet");
	before = look();
	cs_set(was);
	ok(wait_good(60, before.epoch, &l), "and again on %s", was);
	ok(alive() && said("broke"), "still runs, and said what happened");
}

static void test_step(void)
{
	struct timespec ts;
	struct look l;

	/* the server's time jumps: to a client it has gone wrong, or come right */
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 5;
	if (clock_settime(CLOCK_REALTIME, &ts))
		bail("clock_settime: %s", strerror(errno));
	l = look();
	ok(l.error_ns < -4000000000LL, "a step of CLOCK_REALTIME does not touch the clock (%lld ns)",
	   (long long)l.error_ns);
	ok(wait_good(120, ~0U, &l), "follows a server that stays 5 s off, in time");
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec -= 5;
	clock_settime(CLOCK_REALTIME, &ts);
	ok(wait_good(120, ~0U, &l), "and back");
}

static void test_outage(void)
{
	struct look before, l;
	int i;

	end(&chronyd, SIGKILL);
	before = look();
	sleep_ms(15000);
	l = look();
	ok(l.bound_ns > before.bound_ns && (uint64_t)llabs(l.error_ns) <= l.bound_ns,
	   "without server the bound grows and holds: %llu to %llu ns, error %lld ns",
	   (unsigned long long)before.bound_ns, (unsigned long long)l.bound_ns,
	   (long long)l.error_ns);
	start_chronyd();
	for (i = 0; i < 30 && !said("answers again"); i++)
		sleep_ms(1000);
	ok(said("answers again") && wait_good(60, ~0U, &l) && alive(),
	   "goes on when the server is back");
}

int main(void)
{
	struct look l;

	if (run("command -v ffclockd >/dev/null"))
		skip_all("ffclockd is not in the image");
	if (run("command -v chronyd >/dev/null"))
		skip_all("chronyd is not in the image");
	plan(18);
	ffc_load();
	fd = ffc_open();
	atexit(clean_up);
	run("rm -rf " DIR "; mkdir -p " DIR " /var/lib/chrony /run/chrony");
	put(DIR "chrony.conf", "port 11123\nlocal stratum 1\nallow 127.0.0.1\ncmdport 0\n"
	    "bindaddress 127.0.0.1\npidfile " DIR "chronyd.pid\n");
	put(CONF, "server 127.0.0.1 port 11123 minpoll 0 maxpoll 0 iburst\ncounter device\n"
	    "output kernel\nuser nobody\nlog stamps " DIR "stamps\nlog map " DIR "map\n");
	ok(run("ffclockd --check -c " CONF " >/dev/null") == 0, "its configuration is good");

	start_chronyd();
	start_ffclockd();
	test_sync();
	test_clocksource();
	test_step();
	test_outage();

	ok(alive() && end(&ffclockd, SIGTERM) == 0, "ends with 0 on SIGTERM");
	l = look();
	ok((uint64_t)llabs(l.error_ns) <= l.bound_ns, "the clock runs on within its bound");
	/* chronyd serves the system clock itself: what is printed is the error */
	ok(run("ffclockd -Q -c " CONF " >" DIR "query 2>&1 && awk '/^system clock/ { "
	       "o = $3 < 0 ? -$3 : $3; exit !(o <= $10) } ' " DIR "query") == 0,
	   "-Q prints the system clock's offset, which is within the bound");
	run("sed 's/^/# /' " DIR "query");
	return finish();
}
