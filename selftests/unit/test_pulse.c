// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pulses: which second they begin, those that are missing, doubled, or none; and
 * the source that fetches them, from a device that the test makes up.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/pps.h>

/* The device ---------------------------------------------------------------------- */

static int fake_ioctl(int fd, unsigned long request, void *arg);
#define ioctl(fd, request, arg)	fake_ioctl(fd, (unsigned long)(request), arg)
#include "../../daemon/source_pps.c"
#undef ioctl

#include "counter_internal.h"

#define S		INT64_C(1000000000)
#define UTC		(INT64_C(1795000000) * S)
#define PERIOD		0.4
#define COUNTER		UINT64_C(1000000000000)

static struct {
	struct pps_kinfo	info;
	int			caps;
	int			err;
	unsigned int		fetched;
} dev;

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	struct pps_fdata *d = arg;

	(void)fd;
	if (dev.err) {
		errno = dev.err;
		return -1;
	}
	if (request == PPS_GETCAP) {
		*(int *)arg = dev.caps;
		return 0;
	}
	assert_true(request == PPS_FETCH);
	/* never waits: the loop has one thread */
	assert_true(!d->timeout.sec && !d->timeout.nsec && !d->timeout.flags);
	dev.fetched++;
	d->info = dev.info;
	return 0;
}

/* Judging -------------------------------------------------------------------------- */

/* A clock that reads UTC + off at COUNTER */
static struct ffe_map clock_off(int64_t off, double bound)
{
	return (struct ffe_map){
		.counter = COUNTER, .time_ns = UTC + off, .period_ns = PERIOD, .bound_ns = bound,
		.status = FFE_SYNC,
	};
}

static struct pulse_train train;
static struct pulse_second sec;

/* A pulse that truly comes @at seconds after UTC */
static enum pulse_verdict judge(uint32_t seq, double at, const struct ffe_map *map, int32_t late,
				uint32_t error)
{
	struct pulse p = {
		.seq = seq, .period_ns = PERIOD, .late_ns = late, .error_ns = error,
		.counter = COUNTER + (uint64_t)(int64_t)llrint(at * 1e9 / PERIOD),
	};

	return pulse_judge(&train, &p, map, &sec);
}

static void fresh(void)
{
	memset(&train, 0, sizeof(train));
}

static void test_second(void **state)
{
	struct ffe_map map = clock_off(0, 1000);

	(void)state;
	fresh();
	assert_int_equal(judge(1, 0, &map, 0, 10000), PULSE_GOOD);
	assert_true(sec.utc_ns == UTC && !sec.off_ns);
	assert_int_equal(sec.noise_ns, 3334);	/* a third of the limit, nothing is measured yet */
	/* the clock is 300 us off within its bound: the second is the same */
	map = clock_off(300000, 400000);
	assert_int_equal(judge(2, 1, &map, 0, 10000), PULSE_GOOD);
	assert_true(sec.utc_ns == UTC + S && llabs(sec.off_ns - 300000) <= 1);
	map = clock_off(-300000, 400000);
	assert_int_equal(judge(3, 2, &map, 0, 10000), PULSE_GOOD);
	assert_true(sec.utc_ns == UTC + 2 * S && llabs(sec.off_ns + 300000) <= 1);
	/* stamps that are late by 100 ms (the clear edge), and early */
	fresh();
	map = clock_off(0, 1000);
	assert_int_equal(judge(1, 0.1, &map, 100000000, 10000), PULSE_GOOD);
	assert_true(sec.utc_ns == UTC + 100000000);
	assert_int_equal(judge(2, 1 - 2e-3, &map, -2000000, 10000), PULSE_GOOD);
	assert_true(sec.utc_ns == UTC + S - 2000000);
}

static void test_number(void **state)
{
	struct ffe_map map;

	(void)state;
	/* a bound of 0.45 s tells which second, unless the clock is at its end */
	fresh();
	map = clock_off(0, 450000000);
	assert_int_equal(judge(1, 0, &map, 0, 10000), PULSE_GOOD);
	map = clock_off(60000000, 450000000);
	assert_int_equal(judge(2, 1, &map, 0, 10000), PULSE_UNNUMBERED);
	map = clock_off(0, 500000000);
	assert_int_equal(judge(3, 2, &map, 0, 10000), PULSE_UNNUMBERED);
	map = clock_off(0, INFINITY);
	assert_int_equal(judge(4, 3, &map, 0, 10000), PULSE_UNNUMBERED);
	map = clock_off(0, NAN);
	assert_int_equal(judge(5, 4, &map, 0, 10000), PULSE_UNNUMBERED);
	map = clock_off(-UTC - 100 * S, 1000);
	assert_int_equal(judge(6, 5, &map, 0, 10000), PULSE_UNNUMBERED);
}

static void test_off(void **state)
{
	struct ffe_map map = clock_off(0, 1000);

	(void)state;
	fresh();
	/* the other edge: 100 ms late */
	assert_int_equal(judge(1, 0.1, &map, 0, 10000), PULSE_OFF);
	assert_true(llabs(sec.off_ns - 100000000) <= 1);
	/* a little more than the bounds is for the estimator to judge */
	assert_int_equal(judge(2, 1 + 1.0e-3, &map, 0, 10000), PULSE_GOOD);
	assert_int_equal(judge(3, 2 + 1.1e-3, &map, 0, 10000), PULSE_OFF);
}

static void test_count(void **state)
{
	struct ffe_map map = clock_off(0, 1000);

	(void)state;
	fresh();
	assert_int_equal(judge(1, 0, &map, 0, 10000), PULSE_GOOD);
	assert_int_equal(judge(1, 0, &map, 0, 10000), PULSE_NONE);
	/* missed ones do no harm to the next */
	assert_int_equal(judge(2, 4, &map, 0, 10000), PULSE_GOOD);
	assert_true(sec.utc_ns == UTC + 4 * S);
	/* an echo, fetched instead of the pulse; then seen by itself */
	assert_int_equal(judge(4, 5 + 2e-4, &map, 0, 10000), PULSE_TWICE);
	assert_int_equal(judge(5, 6, &map, 0, 10000), PULSE_GOOD);
	assert_int_equal(judge(6, 6 + 2e-4, &map, 0, 10000), PULSE_TWICE);
	assert_int_equal(judge(7, 7, &map, 0, 10000), PULSE_GOOD);
	/* the number wraps; another device's number */
	train.seq = UINT32_MAX;
	assert_int_equal(judge(0, 8, &map, 0, 10000), PULSE_GOOD);
	train.seq = 1000;
	assert_int_equal(judge(1, 9, &map, 0, 10000), PULSE_TWICE);
	assert_int_equal(judge(2, 10, &map, 0, 10000), PULSE_GOOD);
}

/* Scatter that the test knows: 2 us to either side, uniform: 1.15 us of sigma */
static void test_jitter(void **state)
{
	struct ffe_map map = clock_off(0, 100000);
	unsigned int i;
	double sum = 0;

	(void)state;
	fresh();
	srandom(1);
	for (i = 0; i < 500; i++) {
		/* and a counter that is 0.5 ppm off nominal, a rate that nobody knows yet */
		double late = ((double)random() / RAND_MAX - 0.5) * 4e-6 + i * 0.5e-6;

		assert_int_equal(judge(i + 1, i + late, &map, 0, 10000), PULSE_GOOD);
		if (i >= 100)
			sum += sec.noise_ns / 400.0;
	}
	assert_true(sum > 1150 * 0.8 && sum < 1150 * 1.25);
}

/* Anything for pulse and clock: what is good is near a whole second */
static void test_random(void **state)
{
	unsigned int seed = (unsigned int)time(NULL), i, good = 0;
	struct ffe_map map;

	(void)state;
	print_message("# seed %u\n", seed);
	srandom(seed);
	fresh();
	for (i = 0; i < 200000; i++) {
		int32_t late = (int32_t)(random() % 1000000001 - 500000000);
		double at = (double)(random() % 1000000) + (random() % 3 ? 0 : random() * 1e-9);

		map = clock_off((random() - (1 << 30)) * (random() % 4), (double)random());
		map.period_ns *= 1 + (double)(random() % 2001 - 1000) * 1e-6;
		if (judge((uint32_t)random() >> (random() % 31), at, &map, late, 10000) != PULSE_GOOD)
			continue;
		good++;
		assert_true((sec.utc_ns - late) % S == 0);
		assert_true(llabs(sec.off_ns) < S / 2);
	}
	assert_true(good > 100);
}

/* The source ------------------------------------------------------------------------ */

static struct {
	struct counter		*counter;
	struct loop		*loop;
	struct source		*source;
	struct config_source	cfg;
	int64_t			offset;		/* of the pulses from CLOCK_REALTIME's seconds */
	int			clock_err;
	double			clock_bound;
	unsigned int		stamps, missed;
	double			worst_ns;
} w;

/* The clock of all is CLOCK_REALTIME */
static int on_clock(void *arg, uint64_t counter, uint32_t epoch, struct ffe_map *map)
{
	struct counter_mark now;

	(void)arg;
	if (w.clock_err)
		return w.clock_err;
	assert_int_equal(counter_mark(w.counter, &now), 0);
	assert_int_equal(epoch, now.epoch);
	*map = (struct ffe_map){
		.counter = counter, .period_ns = counter_period_ns(w.counter),
		.bound_ns = w.clock_bound, .status = FFE_SYNC,
	};
	map->time_ns = now.realtime_ns -
		       (int64_t)((double)(now.value - counter) * counter_period_ns(w.counter));
	return 0;
}

static void on_stamp(void *arg, const struct source_stamp *st)
{
	struct counter_mark now;
	double off;

	(void)arg;
	assert_int_equal(counter_mark(w.counter, &now), 0);
	off = (double)(now.realtime_ns - st->ffe.tb) -
	      (double)(now.value - (st->ffe.ta / 2 + st->ffe.tf / 2)) * counter_period_ns(w.counter);
	w.worst_ns = fmax(w.worst_ns, fabs(off));
	assert_true(st->ffe.root_disp_ns >= w.cfg.error_ns && st->ffe.tf > st->ffe.ta);
	assert_true((st->ffe.tb - w.cfg.offset_ns) % S == 0);
	w.stamps++;
}

static void on_missed(void *arg)
{
	(void)arg;
	w.missed++;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* Pulses of CLOCK_REALTIME itself: at the next second, then fetched by the loop */
static struct loop_timer pulse_timer;
static unsigned int per_second = 1;

static void pulse_now(void *arg)
{
	struct counter_mark now;
	int64_t at;

	(void)arg;
	assert_int_equal(counter_mark(w.counter, &now), 0);
	at = (now.realtime_ns - w.offset) / S * S + w.offset;
	if (per_second) {
		dev.info.assert_sequence += per_second;
		dev.info.assert_tu = (struct pps_ktime){ .sec = at / S, .nsec = (int32_t)(at % S) };
		dev.info.clear_sequence += per_second;
		at += S / 10;
		dev.info.clear_tu = (struct pps_ktime){ .sec = at / S, .nsec = (int32_t)(at % S) };
	}
	loop_timer_set(w.loop, &pulse_timer, at % S > 0 ? S - (now.realtime_ns - w.offset) % S : S);
}

static void run_s(double s)
{
	struct loop_timer t = { .cb = stop, .arg = w.loop };

	loop_timer_set(w.loop, &t, (int64_t)(s * 1e9));
	assert_int_equal(loop_run(w.loop), 0);
}

static void begin(void)
{
	static const struct source_sink sink = {
		.stamp = on_stamp, .missed = on_missed, .clock = on_clock,
	};
	struct counter_mark now;
	char why[256];

	memset(&w, 0, sizeof(w));
	memset(&dev, 0, sizeof(dev));
	per_second = 1;
	dev.caps = PPS_CAPTUREASSERT;
	w.clock_bound = 100000;
	log_setup(LOG_EMERG, false);
	w.counter = counter_raw_open(why, sizeof(why));
	w.loop = loop_new();
	assert_true(w.counter && w.loop);
	w.cfg = (struct config_source){ .kind = CONFIG_SOURCE_PPS, .error_ns = 10000 };
	strcpy(w.cfg.name, "/dev/null");
	w.source = source_pps_new(&w.cfg, w.counter, w.loop, &sink);
	assert_non_null(w.source);
	assert_int_equal(counter_mark(w.counter, &now), 0);
	pulse_timer = (struct loop_timer){ .cb = pulse_now };
	loop_timer_set(w.loop, &pulse_timer, S - now.realtime_ns % S);
	w.source->ops->start(w.source);
}

static void end(void)
{
	w.source->ops->destroy(w.source);
	loop_free(w.loop);
	counter_close(w.counter);
}

static void test_source(void **state)
{
	struct source_report r;

	(void)state;
	begin();
	/* no pulse, then a clock that is none, then one that is too wide */
	w.clock_err = -EAGAIN;
	run_s(2.5);
	assert_true(!w.stamps && w.missed);
	w.clock_err = 0;
	w.clock_bound = 6e8;
	run_s(2);
	assert_int_equal(w.stamps, 0);
	w.clock_bound = 1e5;
	run_s(4);
	w.source->ops->report(w.source, &r);
	print_message("# %u stamps, worst %.0f ns off, reach %x\n", w.stamps, w.worst_ns, r.reach);
	assert_true(w.stamps >= 3 && w.worst_ns < 100000 && (r.reach & 7) == 7);
	assert_memory_equal(&r.refid, "PPS", 4);

	/* no more pulses: said by reachability */
	per_second = 0;
	w.missed = 0;
	run_s(2.5);
	w.stamps = 0;
	run_s(2);
	w.source->ops->report(w.source, &r);
	assert_true(!w.stamps && w.missed >= 2 && !(r.reach & 3));
	/* doubled ones; only the first, after a pause, might be two of several seconds */
	per_second = 2;
	run_s(4);
	assert_true(w.stamps <= 1);
	w.stamps = 0;
	per_second = 1;
	run_s(3);
	assert_true(w.stamps >= 2);
	/* the counter broke: the pulse before it is of no use */
	w.stamps = 0;
	w.source->ops->restart(w.source);
	run_s(3.5);
	assert_true(w.stamps >= 2);
	end();
}

static void test_hostile(void **state)
{
	static const struct pps_ktime bad[] = {
		{ .sec = -1 }, { .sec = INT64_MAX }, { .sec = INT64_MIN }, { .sec = 1, .nsec = -1 },
		{ .sec = 1, .nsec = 1000000000 }, { .sec = 1, .nsec = INT32_MIN }, { .sec = 0 },
		{ .sec = 1 }, { .sec = INT64_C(1) << 33 },
	};
	struct pps *p;
	size_t i;

	(void)state;
	begin();
	loop_timer_cancel(w.loop, &pulse_timer);
	p = (struct pps *)w.source;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct source_stamp st = { 0 };
		int64_t next = S;

		dev.info.assert_sequence = (uint32_t)random();
		dev.info.assert_tu = bad[i];
		assert_int_not_equal(compare(p, &st, &next), 0);
		assert_true(next > 0 && next <= 2 * S);
	}
	/* an edge that it does not have; a device that is gone */
	w.cfg.pps_clear = true;
	close(p->local.fd);
	p->local.fd = -1;
	assert_int_equal(open_device(p), -EOPNOTSUPP);
	w.cfg.pps_clear = false;
	assert_int_equal(open_device(p), 0);
	dev.err = ENODEV;
	run_s(0.2);
	assert_int_equal(p->local.fd, -1);
	end();
}

static void test_clear(void **state)
{
	(void)state;
	begin();
	dev.caps = PPS_CAPTUREBOTH;
	w.cfg.pps_clear = true;
	w.cfg.offset_ns = 100000000;
	run_s(4.5);
	assert_true(w.stamps >= 2 && w.worst_ns < 100000);
	/* taken for the second's beginning it is none */
	w.cfg.offset_ns = 0;
	w.stamps = 0;
	run_s(2.5);
	assert_int_equal(w.stamps, 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_clear),
	};

	return cmocka_run_group_tests_name("pulse", tests, NULL, NULL);
}
