// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the counters of user space: stamps inverted to readings, and
 * breaks noticed, with the real clocks and with a counter the test can bend.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../daemon/counter_user.c"

#include "log.h"
#include "put.h"

/* CLOCK_MONOTONIC_RAW seen through a scale and an offset that tests change */
static double bend_scale = 1;
static int64_t bend_offset;

static uint64_t read_bent(void)
{
	return (uint64_t)((double)now_ns(CLOCK_MONOTONIC_RAW) * bend_scale) +
	       (uint64_t)bend_offset;
}

static const struct counter_ops bent_ops = {
	.name	= "bent",
	.mark	= user_mark,
	.invert	= user_invert,
	.check	= user_check,
	.close	= user_close,
};

/*
 * A stamp taken by user space between two readings must invert to between them.
 * @span_us: time between the marks
 */
static void inverts(struct counter *c, unsigned int span_us)
{
	struct counter_user *u = (struct counter_user *)c;
	int i, tight = 0;

	for (i = 0; i < 200; i++) {
		struct counter_mark a, b;
		struct timespec nap = { .tv_nsec = span_us * 500L };
		uint64_t c0, c1, v, slack;
		uint32_t err;
		int64_t rt;

		assert_int_equal(counter_mark(c, &a), 0);
		nanosleep(&nap, NULL);
		c0 = u->read();
		rt = now_ns(CLOCK_REALTIME);
		c1 = u->read();
		nanosleep(&nap, NULL);
		assert_int_equal(counter_mark(c, &b), 0);
		assert_int_equal(counter_invert(c, &a, &b, rt, &v, &err), 0);
		assert_true(v - a.value <= b.value - a.value);
		/*
		 * Both marks' errors enter the slope, and a slew of 500 ppm may
		 * begin in between.
		 */
		slack = (uint64_t)((a.err_ns + b.err_ns + 20 + 500e-6 * span_us * 1e3) /
				   c->period_ns);
		if (v + slack < c0 || v > c1 + slack)
			fail_msg("%s: %lld counts before, %lld after (slack %llu), marks +- %u and "
				 "%u ns", c->ops->name, (long long)(c0 - v), (long long)(v - c1),
				 (unsigned long long)slack, a.err_ns, b.err_ns);
		tight += err < 200;
	}
	/* pairs are read in some 50 ns where nobody interrupts eight times in a row */
	assert_true(tight > 100);
}

static void test_invert_raw(void **state)
{
	char why[256];
	struct counter *c = counter_raw_open(why, sizeof(why));

	(void)state;
	assert_non_null(c);
	assert_true(c->period_ns > 0.999 && c->period_ns < 1.001);
	inverts(c, 50);
	inverts(c, 5000);
	counter_close(c);
}

static void test_invert_tsc(void **state)
{
	char why[256];
	struct counter *c = counter_tsc_open(why, sizeof(why));

	(void)state;
	if (!c) {
		print_message("# no tsc: %s\n", why);
		skip();
	}
	inverts(c, 50);
	inverts(c, 5000);
	counter_close(c);
}

static void test_refuse(void **state)
{
	char why[256];
	struct counter *c = counter_raw_open(why, sizeof(why));
	struct counter_mark a, b, step;
	uint64_t v;
	uint32_t err;

	(void)state;
	assert_non_null(c);
	counter_mark(c, &a);
	usleep(1000);
	counter_mark(c, &b);
	/* not from between the marks */
	assert_int_equal(counter_invert(c, &a, &b, a.realtime_ns - 10000, &v, &err), -ERANGE);
	assert_int_equal(counter_invert(c, &a, &b, b.realtime_ns + 10000, &v, &err), -ERANGE);
	assert_int_equal(counter_invert(c, &a, &b, 0, &v, &err), -ERANGE);
	assert_int_equal(counter_invert(c, &a, &b, INT64_MAX, &v, &err), -ERANGE);
	assert_int_equal(counter_invert(c, &b, &a, a.realtime_ns, &v, &err), -ERANGE);
	/* CLOCK_REALTIME was stepped meanwhile */
	step = b;
	step.step_ns += 5000;
	step.realtime_ns += 5000;
	assert_int_equal(counter_invert(c, &a, &step, a.realtime_ns + 500, &v, &err), -ERANGE);
	/* another epoch */
	step = b;
	step.epoch++;
	assert_int_equal(counter_invert(c, &a, &step, a.realtime_ns + 500, &v, &err), -ESTALE);
	counter_close(c);
}

static void test_breaks(void **state)
{
	char why[256];
	struct counter *c;
	struct counter_user *u;
	struct counter_mark m;
	uint32_t epoch;
	int i;

	(void)state;
	bend_scale = 2.5;
	c = user_open(&bent_ops, read_bent, why, sizeof(why));
	assert_non_null(c);
	u = (struct counter_user *)c;
	assert_true(c->period_ns > 0.3999 && c->period_ns < 0.4001);
	counter_mark(c, &m);
	epoch = m.epoch;

	/* left alone it is sound */
	for (i = 0; i < 20; i++) {
		usleep(5000);
		if (counter_check(c, why, sizeof(why)))
			fail_msg("%s", why);
	}
	/* a jump of 300 ms either way, as live migrations make; 2.5 counts a ns */
	for (i = 0; i < 2; i++) {
		bend_offset += (i ? 1 : -1) * INT64_C(750000000);
		assert_int_equal(counter_check(c, why, sizeof(why)), COUNTER_EV_EPOCH);
		assert_non_null(strstr(why, "CLOCK_MONOTONIC_RAW"));
		counter_mark(c, &m);
		assert_int_equal(m.epoch, ++epoch);
		assert_int_equal(counter_check(c, why, sizeof(why)), 0);
	}
	/* another oscillator: 3 % faster.  Its period is measured anew. */
	bend_scale = 2.575;
	assert_int_equal(counter_check(c, why, sizeof(why)), COUNTER_EV_EPOCH);
	assert_true(c->period_ns > 0.3883 && c->period_ns < 0.3884);
	usleep(5000);
	assert_int_equal(counter_check(c, why, sizeof(why)), 0);
	/* a counter that was reset */
	bend_offset = -(int64_t)read_bent();
	assert_int_equal(counter_check(c, why, sizeof(why)), COUNTER_EV_EPOCH);
	/* a suspend, which only CLOCK_BOOTTIME shows */
	u->suspended_ns -= 3 * NSEC;
	assert_int_equal(counter_check(c, why, sizeof(why)), COUNTER_EV_EPOCH);
	assert_non_null(strstr(why, "suspended for 3.0"));
	assert_int_equal(counter_check(c, why, sizeof(why)), 0);
	counter_close(c);
	bend_scale = 1;
	bend_offset = 0;
}

static void test_clocksource(void **state)
{
	char why[256];
	struct counter *c = counter_raw_open(why, sizeof(why));
	struct counter_user *u = (struct counter_user *)c;

	(void)state;
	assert_non_null(c);
	/* CLOCK_MONOTONIC_RAW runs on the clocksource: another one is a break */
	strcpy(u->clocksource, "hpet-of-old");
	assert_int_equal(counter_check(c, why, sizeof(why)), COUNTER_EV_EPOCH);
	assert_non_null(strstr(why, "was hpet-of-old"));
	assert_int_equal(counter_check(c, why, sizeof(why)), 0);
	counter_close(c);

	assert_true(word_in("tsc hpet acpi_pm ", "tsc"));
	assert_true(word_in("hpet tsc", "tsc"));
	assert_false(word_in("tsc-early hpet", "tsc"));
	assert_false(word_in("", "tsc"));
}

static void test_tsc_lost(void **state)
{
	const char *was = clocksource_dir;
	char dir[] = "/tmp/ffclock-test-counter-XXXXXX";
	char why[256], path[128];
	struct counter *c;
	struct counter_mark m;

	(void)state;
	assert_non_null(mkdtemp(dir));
	clocksource_dir = dir;
	put(dir, "available_clocksource", "hpet acpi_pm \n");
	put(dir, "current_clocksource", "tsc\n");
	assert_null(counter_tsc_open(why, sizeof(why)));
	put(dir, "available_clocksource", "tsc hpet acpi_pm \n");
	c = counter_tsc_open(why, sizeof(why));
	if (c) {
		assert_int_equal(counter_check(c, why, sizeof(why)), 0);
		/* the watchdog's verdict */
		put(dir, "available_clocksource", "hpet acpi_pm \n");
		put(dir, "current_clocksource", "hpet\n");
		assert_int_equal(counter_check(c, why, sizeof(why)), COUNTER_EV_EPOCH);
		assert_non_null(strstr(why, "unstable"));
		assert_string_equal(counter_name(c), "monotonic_raw");
		assert_true(c->period_ns > 0.999 && c->period_ns < 1.001);
		counter_mark(c, &m);
		assert_int_equal(m.epoch, 2);
		assert_int_equal(counter_check(c, why, sizeof(why)), 0);
		inverts(c, 50);
		counter_close(c);
	} else {
		print_message("# no tsc: %s\n", why);
	}
	clocksource_dir = was;
	snprintf(path, sizeof(path), "%s/available_clocksource", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/current_clocksource", dir);
	unlink(path);
	rmdir(dir);
	if (!c)
		skip();
}

static void test_open(void **state)
{
	struct counter *c;

	(void)state;
	log_setup(LOG_EMERG, false);
	/* auto always finds one: the last resort is there on any machine */
	c = counter_open(CONFIG_COUNTER_AUTO);
	assert_non_null(c);
	assert_true(counter_period_ns(c) > 0);
	assert_non_null(counter_name(c));
	counter_close(c);
	if (access("/dev/ffclock", F_OK))
		assert_null(counter_open(CONFIG_COUNTER_DEVICE));
	counter_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invert_raw),
		cmocka_unit_test(test_invert_tsc),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_breaks),
		cmocka_unit_test(test_clocksource),
		cmocka_unit_test(test_tsc_lost),
		cmocka_unit_test(test_open),
	};

	return cmocka_run_group_tests_name("counter", tests, NULL, NULL);
}
