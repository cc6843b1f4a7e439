// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock run: this program runs itself through it, on a page whose UTC is 10^9 s
 * ahead, so that nobody can mistake one clock for the other.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib_page.h"

#define AHEAD		1000000000LL
#define NEAR		5		/* s: machine busy, page not steered */

static struct ffclock_page *page;
static char build[1024];

static int64_t kernel_sec(clockid_t id)
{
	struct timespec ts;

	assert_int_equal(syscall(SYS_clock_gettime, id, &ts), 0);
	return ts.tv_sec;
}

static void near(int64_t a, int64_t b)
{
	if (a < b - NEAR || a > b + NEAR)
		fail_msg("%lld is not near %lld", (long long)a, (long long)b);
}

static void all_are(int64_t ahead, int64_t tai_ahead)
{
	struct timespec ts;
	struct timeval tv;
	time_t t;

	assert_int_equal(clock_gettime(CLOCK_REALTIME, &ts), 0);
	near(ts.tv_sec, kernel_sec(CLOCK_REALTIME) + ahead);
	assert_in_range(ts.tv_nsec, 0, 999999999);
	assert_int_equal(clock_gettime(CLOCK_TAI, &ts), 0);
	near(ts.tv_sec, kernel_sec(CLOCK_REALTIME) + tai_ahead);
	assert_int_equal(gettimeofday(&tv, NULL), 0);
	near(tv.tv_sec, kernel_sec(CLOCK_REALTIME) + ahead);
	assert_in_range(tv.tv_usec, 0, 999999);
	near(time(&t), kernel_sec(CLOCK_REALTIME) + ahead);
	near(t, kernel_sec(CLOCK_REALTIME) + ahead);
	assert_int_equal(timespec_get(&ts, TIME_UTC), TIME_UTC);
	near(ts.tv_sec, kernel_sec(CLOCK_REALTIME) + ahead);
}

static int64_t kernel_tai_ahead(void)
{
	return kernel_sec(CLOCK_TAI) - kernel_sec(CLOCK_REALTIME);
}

static void test_served(void **state)
{
	(void)state;
	all_are(AHEAD, AHEAD + 37);
}

static void test_others_untouched(void **state)
{
	static const clockid_t ids[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
					 CLOCK_MONOTONIC_RAW };
	struct timespec ts;
	struct timeval tv;
	struct timezone tz;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_int_equal(clock_gettime(ids[i], &ts), 0);
		near(ts.tv_sec, kernel_sec(ids[i]));
	}
	assert_int_equal(clock_gettime(12345, &ts), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(timespec_get(&ts, 12345), 0);
	/* who asks for the time zone asks the kernel */
	assert_int_equal(gettimeofday(&tv, &tz), 0);
	near(tv.tv_sec, kernel_sec(CLOCK_REALTIME));
}

static void test_fallback(void **state)
{
	uint32_t stale = page->vmclock.seq_count;
	uint64_t value = page->vmclock.counter_value;

	(void)state;
	page->vmclock.clock_status = FFCLOCK_STATUS_UNRELIABLE;
	all_are(0, kernel_tai_ahead());
	page->vmclock.clock_status = FFCLOCK_STATUS_FREERUNNING;
	all_are(0, kernel_tai_ahead());
	page->vmclock.clock_status = FFCLOCK_STATUS_SYNCHRONIZED;
	all_are(AHEAD, AHEAD + 37);
	/* parameters of an hour ago, good for a second */
	page->ext.stale_after = 3000000000;
	page->vmclock.counter_value -= 3600 * page->ext.stale_after;
	all_are(0, kernel_tai_ahead());
	page->ext.stale_after = 0;
	page->vmclock.counter_value = value;
	/* no TAI - UTC known */
	page->vmclock.flags &= ~(__u64)FFCLOCK_VF_TAI_OFFSET_VALID;
	all_are(AHEAD, kernel_tai_ahead());
	page->vmclock.flags |= FFCLOCK_VF_TAI_OFFSET_VALID;
	/* a writer that died; another counter */
	page->vmclock.seq_count = 1;
	all_are(0, kernel_tai_ahead());
	page->vmclock.seq_count = stale;
	page->vmclock.counter_id = FFCLOCK_COUNTER_INVALID;
	all_are(0, kernel_tai_ahead());
	page->vmclock.counter_id = FFCLOCK_COUNTER_X86_TSC;
	all_are(AHEAD, AHEAD + 37);
}

/* Programs close what they do not know: nothing of ours may be among it */
static void test_closed_files(void **state)
{
	int fd;

	(void)state;
	for (fd = 3; fd < 256; fd++)
		close(fd);
	all_are(AHEAD, AHEAD + 37);
}

static volatile sig_atomic_t handled;

static void on_alarm(int sig)
{
	struct timespec ts;

	(void)sig;
	clock_gettime(CLOCK_REALTIME, &ts);
	handled += ts.tv_sec > AHEAD;
}

static void *thread(void *arg)
{
	struct timespec ts, last = { 0, 0 };
	int i;

	for (i = 0; i < 200000; i++) {
		if (clock_gettime(CLOCK_REALTIME, &ts) || ts.tv_sec < AHEAD ||
		    ts.tv_sec < last.tv_sec)
			*(bool *)arg = false;
		last = ts;
	}
	return NULL;
}

static void test_threads_fork_signals(void **state)
{
	struct itimerval tick = { { 0, 500 }, { 0, 500 } }, none = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	bool good[3] = { true, true, true };
	pthread_t t[3];
	int i, status;
	pid_t pid;

	(void)state;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, thread, &good[i]), 0);
	for (i = 0; i < 5; i++) {
		pid = fork();
		if (!pid)
			_exit(time(NULL) > AHEAD + 1000000 ? 0 : 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	}
	for (i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		assert_true(good[i]);
	}
	while (!handled)
		;
	setitimer(ITIMER_REAL, &none, NULL);
}

static long long output_of(const char *command, const char *args)
{
	char line[2400], out[64] = "";
	FILE *f;

	snprintf(line, sizeof(line), "LD_PRELOAD= '%s/bin/ffclock' %s", build, command);
	snprintf(line + strlen(line), sizeof(line) - strlen(line), " %s", args);
	f = popen(line, "r");
	assert_non_null(f);
	assert_non_null(fgets(out, sizeof(out), f));
	pclose(f);
	return atoll(out);
}

/* Other people's programs */
static void test_programs(void **state)
{
	char command[200];

	(void)state;
	snprintf(command, sizeof(command), "--page '%s' run --", getenv("FFCLOCK_PAGE"));
	near(output_of(command, "date +%s"), kernel_sec(CLOCK_REALTIME) + AHEAD);
	near(output_of(command, "python3 -c 'import time; print(int(time.time()))'"),
	     kernel_sec(CLOCK_REALTIME) + AHEAD);
	/* a child of a child; and options that are the program's, not ours */
	near(output_of(command, "sh -c 'cd /; date +%s'"), kernel_sec(CLOCK_REALTIME) + AHEAD);
	assert_int_equal(output_of(command, "echo 7 --json 2>&1"), 7);
	/* a page that was asked for and is not there is an error */
	assert_int_equal(output_of("--page /nonexistent run", "date 2>/dev/null; echo $?"), 1);
	assert_int_equal(output_of(command, "/nonexistent 2>/dev/null; echo $?"), 127);
	assert_int_equal(output_of(command, "/dev/null 2>/dev/null; echo $?"), 126);
	assert_int_equal(output_of("run", "2>/dev/null; echo $?"), 2);
}

static int child(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_served),
		cmocka_unit_test(test_others_untouched),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_threads_fork_signals),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_closed_files),
	};
	const char *path = getenv("FFCLOCK_PAGE");
	int fd, ret;

	fd = path ? open(path, O_RDWR) : -1;
	page = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		printf("Bail out! no page in FFCLOCK_PAGE\n");
		return 1;
	}
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return ret;
}

int main(void)
{
	struct page_file file;
	char self[1024], ffclock[1100];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return 1;
	self[n] = '\0';
	strcpy(build, self);
	*strrchr(build, '/') = '\0';
	*strrchr(build, '/') = '\0';
	if (getenv("TEST_RUN_CHILD"))
		return child();

	if (page_file_make(&file))
		return 1;
	page_fill(file.page, page_measure_hz(), 0);
	page_set_realtime(file.page, AHEAD);
	setenv("TEST_RUN_CHILD", "1", 1);
	/* the preload comes before ASan's library, and does not mind */
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
	snprintf(ffclock, sizeof(ffclock), "%s/bin/ffclock", build);
	execl(ffclock, "ffclock", "--page", file.path, "run", self, (char *)NULL);
	perror(ffclock);
	page_file_remove(&file);
	return 1;
}
