// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the system clock as output, against a model of the kernel's:
 * CLOCK_REALTIME runs as adjtimex() makes it run, on an oscillator that is 40 ppm
 * off, and time passes as the test wants.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <syslog.h>

#include <cmocka.h>

#include "log.h"
#include "output.h"
#include "system_rivals.h"

#define NSEC	INT64_C(1000000000)
#define START	(INT64_C(1795000000) * NSEC)

/* The model --------------------------------------------------------------- */

struct counter {
	int	unused;
};

static struct counter the_counter;
static int64_t boot;			/* true time since the start [ns] */
static double realtime;			/* CLOCK_REALTIME - START - raw at frequency 0 [ns] */
static const double osc = -40e-6;	/* a count lasts longer by this: RAW is slow by it */
static double period = 1;		/* as the daemon has measured it [ns] */
static uint32_t epoch;
static struct timex kernel;
static int steps, calls, denied;
static double rate_est, rate_bound;	/* what the daemon knows of @period */
static uint32_t mark_err;		/* of a mark [ns] */
static enum ffe_status status;

static double raw_at(int64_t t)
{
	return (double)t * (1 + osc);
}

/* Frequency that adjtimex was given */
static double given(void)
{
	return (double)kernel.freq / 65536e6 + (double)(kernel.tick - 10000) * 1e-4;
}

static double realtime_now(void)
{
	return realtime + raw_at(boot);
}

static void pass(int64_t ns)
{
	realtime += raw_at(ns) * given();
	boot += ns;
}

int counter_mark(struct counter *c, struct counter_mark *m)
{
	(void)c;
	memset(m, 0, sizeof(*m));
	m->value = (uint64_t)llround(raw_at(boot));
	m->raw_ns = (int64_t)m->value;
	m->realtime_ns = START + (int64_t)llround(realtime_now());
	m->err_ns = mark_err;
	m->epoch = epoch;
	return 0;
}

int adjtimex(struct timex *tx)
{
	calls++;
	if (denied && tx->modes) {
		errno = EPERM;
		return -1;
	}
	if (tx->modes & ADJ_SETOFFSET) {
		assert_true(tx->modes & ADJ_NANO);
		assert_true(tx->time.tv_usec >= 0 && tx->time.tv_usec < NSEC);
		realtime += (double)tx->time.tv_sec * 1e9 + (double)tx->time.tv_usec;
		steps++;
	}
	if (tx->modes & ADJ_FREQUENCY) {
		assert_true(labs(tx->freq) <= 500 << 16);
		kernel.freq = tx->freq;
	}
	if (tx->modes & ADJ_TICK) {
		assert_true(tx->tick >= 9000 && tx->tick <= 11000);
		kernel.tick = tx->tick;
	}
	if (tx->modes & ADJ_STATUS)
		kernel.status = tx->status;
	if (tx->modes & ADJ_MAXERROR)
		kernel.maxerror = tx->maxerror;
	if (tx->modes & ADJ_TAI)
		kernel.tai = (int)tx->constant;
	tx->freq = kernel.freq;
	tx->tick = kernel.tick;
	tx->offset = kernel.offset;
	return 0;
}

static struct loop_timer *timer;

int64_t loop_now(void)
{
	return boot;
}

void loop_timer_set(struct loop *loop, struct loop_timer *t, int64_t delay_ns)
{
	(void)loop;
	t->due_ns = boot + delay_ns;
	t->armed = true;
	timer = t;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *t)
{
	(void)loop;
	t->armed = false;
	timer = NULL;
}

static const char *rival;

bool system_rival(char *who, size_t len)
{
	if (rival)
		snprintf(who, len, "%s", rival);
	return rival;
}

/* Driving it --------------------------------------------------------------- */

static struct config cfg;
static struct output *out;
static struct output_update update;

static int set_up(void **state)
{
	(void)state;
	log_setup(LOG_EMERG, false);
	boot = 0;
	realtime = 0;
	epoch = 1;
	steps = 0;
	denied = 0;
	rival = NULL;
	timer = NULL;
	rate_est = 1e-8;
	rate_bound = 1e-7;
	mark_err = 3;
	status = FFE_SYNC;
	memset(&kernel, 0, sizeof(kernel));
	kernel.tick = 10000;
	memset(&cfg, 0, sizeof(cfg));
	cfg.system = (struct config_system){
		.on = true, .step_s = 0.1, .step_updates = 3, .slew_ppm = 500,
	};
	memset(&update, 0, sizeof(update));
	update.next_s = 16;
	period = 1 / (1 + osc);
	out = output_system_new(&cfg, &the_counter, NULL);
	assert_non_null(out);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (out)
		out->ops->destroy(out);
	out = NULL;
	return 0;
}

/* Our clock is right, to the ns */
static void tell(void)
{
	update.epoch = epoch;
	update.map = (struct ffe_map){
		.counter = (uint64_t)llround(raw_at(boot)), .time_ns = START + boot,
		.period_ns = period, .bound_ns = 1000, .rate_bound = rate_bound,
		.rate_est = rate_est, .status = status,
	};
	out->ops->update(out, &update);
}

/* CLOCK_REALTIME - true time [ns] */
static double error(void)
{
	return realtime_now() - (double)boot;
}

/* Let time pass, an update every 16 s */
static void run(int seconds)
{
	int i;

	for (i = 0; i < seconds * 10; i++) {
		pass(NSEC / 10);
		if (!(i % 160))
			tell();
		if (timer && timer->armed && timer->due_ns <= boot) {
			timer->armed = false;
			timer->cb(timer->arg);
		}
	}
}

static void test_frequency(void **state)
{
	(void)state;
	run(100);
	/* RAW is slow by 40 ppm, so CLOCK_REALTIME is told to go faster by as much */
	assert_true(fabs(given() - 40e-6) < 0.01e-6);
	assert_true(fabs(error()) < 20);
	assert_int_equal(steps, 0);
	assert_int_equal(kernel.status & STA_UNSYNC, 0);
	assert_true(kernel.maxerror >= 1 && kernel.maxerror <= 3);
}

static void test_slew(void **state)
{
	double before;
	int i;

	(void)state;
	run(50);
	realtime += 20e6;	/* below the step: 20 ms at 500 ppm are 40 s */
	for (i = 0; i < 38; i++) {
		before = error();
		run(1);
		/* a straight line, no faster than allowed and no slower than possible */
		if (i > 1 && i < 36)
			assert_true(fabs(error() - before + 500e3) < 5e3);
	}
	run(40);
	assert_true(fabs(error()) < 50);
	assert_int_equal(steps, 0);
	/* a small one is gone within a span, without overshoot */
	realtime -= 1e5;
	for (i = 0; i < 40; i++) {
		run(1);
		assert_true(error() < 100);
	}
	assert_true(fabs(error()) < 50);
}

static void test_step(void **state)
{
	(void)state;
	realtime = -7.25e9;
	pass(NSEC);
	tell();
	assert_int_equal(steps, 1);
	run(60);
	assert_true(fabs(error()) < 50);
	assert_int_equal(steps, 1);
	/* beyond the first updates it is slewed, or never */
	realtime += 1e9;
	run(10);
	assert_int_equal(steps, 1);
	cfg.system.step_updates = -1;
	out->ops->reload(out, &cfg);
	run(60);
	assert_int_equal(steps, 2);
	assert_true(fabs(error()) < 50);
	cfg.system.step_updates = 0;
	out->ops->reload(out, &cfg);
	realtime -= 1e9;
	run(10);
	assert_int_equal(steps, 2);
}

/* More than 500 ppm in all go into the tick */
static void test_fast(void **state)
{
	(void)state;
	cfg.system.slew_ppm = 5000;
	out->ops->reload(out, &cfg);
	run(20);
	realtime -= 90e6;	/* 18 s at 5000 ppm */
	run(4);
	assert_true(fabs(given() - 5040e-6) < 1e-6);
	run(40);
	assert_true(fabs(error()) < 100);
	assert_int_equal(kernel.tick, 10000);
}

static void test_migration(void **state)
{
	(void)state;
	run(50);
	realtime += 50e6;
	run(3);
	assert_true(given() < -400e-6);
	out->ops->broke(out, true);
	assert_true(given() == 0);
	/* nothing until there is a clock again, whatever the hook injects */
	realtime += 3e9;
	pass(30 * NSEC);
	if (timer && timer->armed)
		timer->cb(timer->arg);
	assert_true(given() == 0);
	epoch++;
	realtime = 40e-6 * (double)boot;	/* injected: right */
	run(60);
	assert_int_equal(steps, 0);
	assert_true(fabs(error()) < 50);
	/* a break that is no migration: the slew ends, the frequency stays */
	realtime += 50e6;
	run(3);
	out->ops->broke(out, false);
	assert_true(fabs(given() - 40e-6) < 0.01e-6);
}

/* A reading of another epoch than the clock's is not compared with it */
static void test_epoch(void **state)
{
	long freq;

	(void)state;
	run(50);
	freq = kernel.freq;
	epoch++;
	realtime += 1e9;
	pass(5 * NSEC);
	timer->cb(timer->arg);
	assert_int_equal(kernel.freq, freq);
	assert_int_equal(steps, 0);
}

static void test_exit(void **state)
{
	(void)state;
	run(50);
	realtime += 50e6;
	run(3);
	out->ops->destroy(out);
	out = NULL;
	assert_true(fabs(given() - 40e-6) < 0.01e-6);
}

/* From now on the clock is 300 ppm off, and CLOCK_REALTIME goes along with it */
static void go_fast(void)
{
	period = (1 + 300e-6) / (1 + osc);
	tell();
	pass(3 * NSEC);
	tell();
	assert_true(given() > 200e-6);
}

/*
 * The clock has just jumped and its rate is hundreds of ppm off: CLOCK_REALTIME
 * goes along with it, but nobody gets that for later.
 */
static void test_exit_jumped(void **state)
{
	static const struct {
		double		rate_est, rate_bound;
		enum ffe_status	status;
		uint32_t	mark_err;
	} bad[] = {
		{ 2e-4, 1e-3, FFE_WARMUP, 3 },
		{ 2e-6, 1e-5, FFE_SYNC, 3 },
		/* what the filters believe, against what is proven */
		{ 1e-7, 1e-4, FFE_SYNC, 3 },
		{ 1e-8, 1e-7, FFE_SUSPECT, 3 },
		{ 1e-8, 1e-7, FFE_HOLDOVER, 3 },
		/* RAW compared too badly: a ms in a minute */
		{ 1e-8, 1e-7, FFE_SYNC, 1000000 },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		run(50);
		rate_est = bad[i].rate_est;
		rate_bound = bad[i].rate_bound;
		status = bad[i].status;
		mark_err = bad[i].mark_err;
		go_fast();
		out->ops->destroy(out);
		out = NULL;
		assert_true(fabs(given() - 40e-6) < 0.01e-6);
		set_up(state);
	}
}

/* Nothing was ever known well: what is known best */
static void test_exit_young(void **state)
{
	rate_est = 7e-5;
	status = FFE_WARMUP;
	run(20);
	assert_true(fabs(given() - 40e-6) < 0.01e-6);
	out->ops->destroy(out);
	out = NULL;
	assert_int_equal(kernel.freq, 0);

	set_up(state);
	out->ops->destroy(out);
	kernel.freq = 25 << 16;
	kernel.tick = 10001;
	out = output_system_new(&cfg, &the_counter, NULL);
	assert_non_null(out);
	rate_est = 2e-5;
	run(20);
	out->ops->destroy(out);
	out = NULL;
	assert_true(fabs(given() - 125e-6) < 0.01e-6);

	/* to 12 ppm: better than what nobody measured, and than what was found */
	set_up(state);
	rate_est = 4e-6;
	rate_bound = 12e-6;
	status = FFE_WARMUP;
	run(20);
	/* and worse than that again: 300 ppm off, known to 40 */
	rate_bound = 40e-6;
	go_fast();
	out->ops->destroy(out);
	out = NULL;
	assert_true(fabs(given() - 40e-6) < 0.01e-6);
}

/* After a migration the last good one is another oscillator's */
static void test_exit_migrated(void **state)
{
	(void)state;
	run(50);
	out->ops->broke(out, true);
	epoch++;
	realtime = 40e-6 * (double)boot;
	rate_est = 2e-4;
	go_fast();
	out->ops->destroy(out);
	out = NULL;
	assert_true(given() == 0);
}

/* A break that is no migration, while the rate is bad: likewise */
static void test_broke_jumped(void **state)
{
	(void)state;
	run(50);
	rate_est = 2e-4;
	go_fast();
	out->ops->broke(out, false);
	assert_true(fabs(given() - 40e-6) < 0.01e-6);
}

static void test_foreign(void **state)
{
	int i, seen;

	(void)state;
	run(50);
	kernel.freq = 0;	/* once: a tool */
	run(2);
	assert_true(fabs(given() - 40e-6) < 1e-6);
	for (i = 0; i < 5; i++) {
		kernel.freq = -(i + 1) * 65536;
		run(2);
	}
	/* left alone, also at the end */
	assert_int_equal(kernel.freq, -5 * 65536);
	seen = calls;
	run(60);
	assert_int_equal(calls, seen);
	out->ops->destroy(out);
	out = NULL;
	assert_int_equal(kernel.freq, -5 * 65536);
}

static void test_rival(void **state)
{
	(void)state;
	rival = "chronyd (process 7)";
	assert_null(output_system_new(&cfg, &the_counter, NULL));
	rival = NULL;
	denied = 1;
	assert_null(output_system_new(&cfg, &the_counter, NULL));
}

static void test_leap(void **state)
{
	(void)state;
	update.tai_offset = 37;
	update.leap_change = 1;
	update.leap_utc_sec = START / NSEC + 86400 + 100;
	run(20);
	assert_int_equal(kernel.status & (STA_INS | STA_DEL), 0);
	assert_int_equal(kernel.tai, 37);
	update.leap_utc_sec = START / NSEC + 86400;
	run(20);
	assert_int_equal(kernel.status & (STA_INS | STA_DEL), STA_INS);
	update.leap_change = -1;
	run(20);
	assert_int_equal(kernel.status & (STA_INS | STA_DEL), STA_DEL);
}

static void test_rivals(void **state)
{
	static const char has[] = "Name:\tchronyd\nState:\tS\nCapEff:\t0000000002000400\n";
	static const char hasnt[] = "Name:\tchronyd\nState:\tS\nCapEff:\t0000000000000400\n";
	static const char phc[] = "Name:\tphc2sys\nCapEff:\t000001ffffffffff\n";
	static const char cat[] = "Name:\tcat\nCapEff:\t000001ffffffffff\n";

	(void)state;
	assert_string_equal(rival_check(has, "chronyd\0-d", 11), "chronyd");
	assert_null(rival_check(has, "chronyd\0-x\0-d", 14));
	assert_non_null(rival_check(has, "-x\0-d", 6));
	assert_null(rival_check(hasnt, "chronyd", 8));
	assert_null(rival_check(cat, "cat", 4));
	assert_non_null(rival_check(phc, "phc2sys\0-s\0eth0", 16));
	assert_null(rival_check(phc, "phc2sys\0-c\0/dev/ptp1", 21));
	assert_non_null(rival_check(phc, "phc2sys\0-c\0CLOCK_REALTIME", 26));
	assert_null(rival_check("", "", 0));
	assert_null(rival_check("Name:\t\n", "x", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frequency, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_step, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fast, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_migration, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_epoch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exit_jumped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exit_young, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exit_migrated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broke_jumped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rival, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_leap, set_up, tear_down),
		cmocka_unit_test(test_rivals),
	};

	return cmocka_run_group_tests_name("output_system", tests, NULL, NULL);
}
