// SPDX-License-Identifier: GPL-2.0-only
/* Unit tests of ffclockd's state file: what is written is read, and nothing else. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"
#include "state.h"

struct counter {
	int	unused;
};

static struct counter the_counter;
static uint32_t epoch = 3;
static int64_t boottime = 5000000000;

int counter_mark(struct counter *c, struct counter_mark *m)
{
	(void)c;
	memset(m, 0, sizeof(*m));
	m->epoch = epoch;
	return 0;
}

const char *counter_name(const struct counter *c)
{
	(void)c;
	return "test";
}

int counter_device_fd(const struct counter *c)
{
	(void)c;
	return -1;
}

int64_t loop_now(void)
{
	return boottime;
}

static struct state example(void)
{
	struct state s;

	assert_int_equal(state_here(&s, &the_counter), 0);
	s.n = 2;
	strcpy(s.source[0].name, "ntp1.example");
	s.source[0].port = 123;
	s.source[0].min_rtt_ns = 123456.5;
	s.source[0].have_prior = true;
	s.source[0].prior = (struct ffe_prior){ 0.40000123456789, 2e-8, 1e-9 };
	strcpy(s.source[1].name, "/dev/ptp0");
	return s;
}

static void test_round_trip(void **state)
{
	struct state s = example(), t;
	char text[STATE_SIZE_MAX];
	size_t len = state_format(&s, text);

	(void)state;
	assert_int_equal(state_parse(&t, text, len), 0);
	assert_string_equal(t.boot_id, s.boot_id);
	assert_string_equal(t.clocksource, s.clocksource);
	assert_string_equal(t.counter, "test");
	assert_int_equal(t.epoch, 3);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.source[0].name, "ntp1.example");
	assert_int_equal(t.source[0].port, 123);
	assert_true(t.source[0].min_rtt_ns == 123456.5);
	assert_true(t.source[0].have_prior);
	assert_true(t.source[0].prior.period_ns == s.source[0].prior.period_ns);
	assert_true(fabs(t.source[0].prior.period_sigma / 2e-8 - 1) < 1e-5);
	assert_false(t.source[1].have_prior);
	assert_null(state_differs(&t, &s));
}

/* All sources with the longest names fit */
static void test_largest(void **state)
{
	struct state s = example(), t;
	char text[STATE_SIZE_MAX];
	size_t len;
	int i;

	(void)state;
	s.n = CONFIG_SOURCES_MAX;
	for (i = 0; i < CONFIG_SOURCES_MAX; i++) {
		s.source[i] = s.source[0];
		memset(s.source[i].name, 'x', CONFIG_HOST_MAX - 1);
		s.source[i].name[CONFIG_HOST_MAX - 1] = '\0';
		s.source[i].min_rtt_ns = 1e12;
	}
	len = state_format(&s, text);
	assert_true(len < STATE_SIZE_MAX);
	assert_int_equal(state_parse(&t, text, len), 0);
	assert_int_equal(t.n, CONFIG_SOURCES_MAX);
}

/* Every part missing, every byte changed: refused, or still within its ranges */
static void test_damage(void **state)
{
	struct state s = example(), t;
	char text[STATE_SIZE_MAX], bad[STATE_SIZE_MAX];
	size_t len = state_format(&s, text), i, j;
	unsigned int byte;

	(void)state;
	for (i = 0; i < len; i++)
		assert_int_not_equal(state_parse(&t, text, i), 0);
	for (i = 0; i < len; i++) {
		for (byte = 0; byte < 256; byte += 5) {
			memcpy(bad, text, len);
			bad[i] = (char)byte;
			if (state_parse(&t, bad, len))
				continue;
			assert_true(t.n <= CONFIG_SOURCES_MAX);
			for (j = 0; j < t.n; j++) {
				assert_true(t.source[j].min_rtt_ns >= 0);
				if (t.source[j].have_prior)
					assert_true(t.source[j].prior.period_ns >= 0.01 &&
						    t.source[j].prior.period_sigma <= 1e-2);
			}
		}
	}
}

static void refuse(const char *source)
{
	struct state s = example(), t;
	char text[STATE_SIZE_MAX];

	s.n = 0;
	state_format(&s, text);
	/* replaces "end" */
	sprintf(text + strlen(text) - 4, "%s\nend\n", source);
	if (!state_parse(&t, text, strlen(text)))
		fail_msg("taken: %s", source);
}

static void test_refusals(void **state)
{
	(void)state;
	refuse("source a 123 1 nan 0 0");
	refuse("source a 123 1 inf 0 0");
	refuse("source a 123 1 2e6 0 0");
	refuse("source a 123 -1 0.4 0 0");
	refuse("source a 123 1 0.4 1 0");
	refuse("source a 123 1 0.4 -1e-9 0");
	refuse("source a 123 1 0.4 0 1");
	refuse("source a 65536 1 0.4 0 0");
	refuse("source a 123 1 0.4 0 0 0");
	refuse("source a 123 1 0.4 0");
	refuse("sauce a 123 1 0.4 0 0");
	refuse("");
}

static void test_differs(void **state)
{
	struct state s = example(), here = example();

	(void)state;
	strcpy(s.boot_id, "x");
	assert_non_null(strstr(state_differs(&s, &here), "booted"));
	s = example();
	s.migrations = 1;
	assert_non_null(strstr(state_differs(&s, &here), "migrated"));
	s = example();
	strcpy(s.counter, "tsc");
	assert_non_null(strstr(state_differs(&s, &here), "counter"));
	s = example();
	strcpy(s.clocksource, "x");
	assert_non_null(strstr(state_differs(&s, &here), "clocksource"));
	s = example();
	s.epoch++;
	assert_non_null(strstr(state_differs(&s, &here), "broke"));
	s = example();
	s.boottime_ns++;
	assert_non_null(strstr(state_differs(&s, &here), "future"));
}

static void test_prior(void **state)
{
	struct config_source known = { .name = "ntp1.example", .port = 123 };
	struct config_source other = { .name = "ntp2.example", .port = 123 };
	struct state s = example();
	struct ffe_prior p;

	(void)state;
	assert_true(state_prior(&s, &known, s.boottime_ns, &p));
	assert_true(p.period_sigma == 2e-8);
	/* another source has the same oscillator below it */
	assert_true(state_prior(&s, &other, s.boottime_ns, &p));
	assert_true(p.period_ns == s.source[0].prior.period_ns);
	/* 10000 s of 1e-9 per root second: 1e-7, and what it was */
	assert_true(state_prior(&s, &known, s.boottime_ns + 10000000000000, &p));
	assert_true(fabs(p.period_sigma / hypot(2e-8, 1e-7) - 1) < 1e-9);
	s.source[0].have_prior = false;
	assert_false(state_prior(&s, &known, s.boottime_ns, &p));
	assert_false(state_prior(NULL, &known, 0, &p));
}

static void test_file(void **state)
{
	char folder[] = "/tmp/ffclock-test-state-XXXXXX", path[64], other[80];
	struct state s = example(), t;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/state", folder);
	snprintf(other, sizeof(other), "%s.new", path);
	assert_false(state_load(&t, path, &the_counter));
	/* what an interrupted save left is no obstacle, and no way to another file */
	assert_int_equal(symlink("/dev/full", other), 0);
	assert_int_equal(state_save(&s, path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_not_equal(lstat(other, &st), 0);
	assert_true(state_load(&t, path, &the_counter));
	assert_int_equal(t.n, 2);
	epoch++;
	assert_false(state_load(&t, path, &the_counter));
	epoch--;
	assert_int_equal(truncate(path, 50), 0);
	assert_false(state_load(&t, path, &the_counter));
	assert_int_not_equal(state_save(&s, "/nonexistent/state"), 0);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_differs),
		cmocka_unit_test(test_prior),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
