// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMClock source: what a page says, pages that say what cannot be, and pages that
 * change, are cut and die under its hands, with the real TSC, clocks and loop.
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A file that is treated as a device is: mapped */
static bool as_device;
#undef S_ISREG
#define S_ISREG(mode)	(!as_device && ((mode) & S_IFMT) == S_IFREG)

#include "../../daemon/source_vmclock.c"
#undef NSEC
#include "../../daemon/vmclock_page.c"

#include "counter_internal.h"

/* 2021-06-15 12:00:00 UTC, and the end of that month */
#define JUNE		INT64_C(1623758400)
#define JULY		INT64_C(1625097600)
/* A TSC of 2.5 GHz: 0.4 ns, in 2^-(64 + 31) s */
#define PERIOD		0.4
#define SHIFT		31
#define COUNTER		UINT64_C(1000000000000)

static struct ffclock_vmclock good_page(void)
{
	return (struct ffclock_vmclock){
		.magic = FFCLOCK_VMCLOCK_MAGIC, .size = 4096, .version = 1,
		.counter_id = FFCLOCK_COUNTER_X86_TSC, .seq_count = 2, .disruption_marker = 7,
		.flags = FFCLOCK_VF_TIME_MAXERROR_VALID | FFCLOCK_VF_PERIOD_MAXERROR_VALID,
		.clock_status = FFCLOCK_STATUS_SYNCHRONIZED, .counter_period_shift = SHIFT,
		.counter_value = COUNTER,
		.counter_period_frac_sec = (uint64_t)ldexp(PERIOD * 1e-9, 64 + SHIFT),
		.counter_period_maxerror_rate_frac_sec =
			(uint64_t)ldexp(PERIOD * 1e-9 * 1e-6, 64 + SHIFT),
		.time_sec = JUNE, .time_maxerror_nanosec = 500,
	};
}

static int time_at(const struct ffclock_vmclock *v, double s, struct vmclock_time *t)
{
	return vmclock_page_time(v, COUNTER + (uint64_t)(int64_t)llrint(s * 1e9 / PERIOD), PERIOD,
				 1000000000, t);
}

/* What a page says -------------------------------------------------------------- */

static void test_time(void **state)
{
	struct ffclock_vmclock v = good_page();
	struct vmclock_time t;

	(void)state;
	assert_int_equal(vmclock_page_check(&v), 0);
	assert_int_equal(time_at(&v, 10, &t), 0);
	assert_true(llabs(t.utc_ns - (JUNE + 10) * NSEC) <= 1);
	/* 500 ns, and 1 ppm of 10 s; noise: a third, but no more than 10 us */
	assert_in_range(t.bound_ns, 10499, 10502);
	assert_in_range(t.noise_ns, 166, 168);
	assert_int_equal(t.leap, 0);
	assert_int_equal(time_at(&v, -0.5, &t), 0);
	assert_true(llabs(t.utc_ns - JUNE * NSEC + NSEC / 2) <= 1);
	assert_in_range(t.bound_ns, 999, 1002);

	v.time_maxerror_nanosec = 90000000;
	assert_int_equal(time_at(&v, 0, &t), 0);
	assert_int_equal(t.noise_ns, NOISE_MAX_NS);

	/* an estimate beside the bound, and alone */
	v.flags |= FFCLOCK_VF_TIME_ESTERROR_VALID | FFCLOCK_VF_PERIOD_ESTERROR_VALID;
	v.time_esterror_nanosec = 77;
	v.counter_period_esterror_rate_frac_sec = v.counter_period_maxerror_rate_frac_sec / 2;
	assert_int_equal(time_at(&v, 0, &t), 0);
	assert_int_equal(t.noise_ns, 77);
	assert_int_equal(t.bound_ns, 90000000);
	v.flags &= ~(uint64_t)(FFCLOCK_VF_TIME_MAXERROR_VALID | FFCLOCK_VF_PERIOD_MAXERROR_VALID);
	assert_int_equal(time_at(&v, 10, &t), 0);
	assert_in_range(t.bound_ns, 4 * 77 + 19999, 4 * 77 + 20002);

	/* nothing: what the configuration assumes, and 500 ppm */
	v.flags = 0;
	assert_int_equal(time_at(&v, 10, &t), 0);
	assert_in_range(t.bound_ns, 1004999999, 1005000002);

	v.clock_status = FFCLOCK_STATUS_FREERUNNING;
	assert_int_equal(time_at(&v, 1, &t), 0);
}

static void test_tai(void **state)
{
	struct ffclock_vmclock v = good_page();
	struct vmclock_time t;

	(void)state;
	v.time_type = TYPE_TAI;
	v.time_sec = JUNE + 37;
	v.tai_offset_sec = -37;
	assert_int_equal(time_at(&v, 1, &t), -EOPNOTSUPP);
	v.flags |= FFCLOCK_VF_TAI_OFFSET_VALID;
	assert_int_equal(time_at(&v, 1, &t), 0);
	assert_true(llabs(t.utc_ns - (JUNE + 1) * NSEC) <= 1);
}

static void test_leap(void **state)
{
	struct ffclock_vmclock v = good_page();
	struct vmclock_time t;

	(void)state;
	v.time_sec = JULY - 10;
	v.leap_indicator = FFCLOCK_LEAP_PRE_POS;
	assert_int_equal(time_at(&v, 9.5, &t), 0);
	assert_int_equal(t.leap, 1);
	assert_true(llabs(t.utc_ns - JULY * NSEC + NSEC / 2) <= 1);
	/* 23:59:60.5 is 23:59:59.5 a second time, and 0:00:00.5 comes a second later */
	assert_int_equal(time_at(&v, 10.5, &t), 0);
	assert_int_equal(t.leap, 0);
	assert_true(llabs(t.utc_ns - JULY * NSEC + NSEC / 2) <= 1);
	assert_int_equal(time_at(&v, 11.5, &t), 0);
	assert_true(llabs(t.utc_ns - JULY * NSEC - NSEC / 2) <= 1);

	v.leap_indicator = FFCLOCK_LEAP_PRE_NEG;
	assert_int_equal(time_at(&v, 8.5, &t), 0);
	assert_int_equal(t.leap, 2);
	assert_true(llabs(t.utc_ns - JULY * NSEC + 3 * NSEC / 2) <= 1);
	assert_int_equal(time_at(&v, 9.5, &t), 0);
	assert_true(llabs(t.utc_ns - JULY * NSEC - NSEC / 2) <= 1);

	v.leap_indicator = FFCLOCK_LEAP_POS;
	assert_int_equal(time_at(&v, 1, &t), -EAGAIN);
	v.leap_indicator = FFCLOCK_LEAP_POST_POS;
	assert_int_equal(time_at(&v, 1, &t), 0);
	assert_int_equal(t.leap, 0);
	v.leap_indicator = 6;
	assert_int_equal(time_at(&v, 1, &t), -EPROTO);
}

static void test_refusals(void **state)
{
	static const struct {
		int	err;
		double	at;
		size_t	offset;
		size_t	len;
		int64_t	value;
	} cases[] = {
#define SET(member, value)	offsetof(struct ffclock_vmclock, member), \
				sizeof(((struct ffclock_vmclock *)0)->member), (int64_t)(value)
		{ -EOPNOTSUPP, 1, SET(counter_id, FFCLOCK_COUNTER_INVALID) },
		{ -EOPNOTSUPP, 1, SET(counter_id, FFCLOCK_COUNTER_ARM_VCNT) },
		{ -EOPNOTSUPP, 1, SET(time_type, 2) },
		{ -EOPNOTSUPP, 1, SET(time_type, 4) },
		{ -EOPNOTSUPP, 1, SET(time_type, 200) },
		{ -EAGAIN, 1, SET(clock_status, FFCLOCK_STATUS_UNKNOWN) },
		{ -EAGAIN, 1, SET(clock_status, FFCLOCK_STATUS_INITIALIZING) },
		{ -EAGAIN, 1, SET(clock_status, FFCLOCK_STATUS_UNRELIABLE) },
		{ -EAGAIN, 1, SET(clock_status, 200) },
		{ -EPROTO, 1, SET(counter_period_frac_sec, 0) },
		{ -EPROTO, 1, SET(counter_period_frac_sec, ~UINT64_C(0)) },
		{ -EPROTO, 1, SET(counter_period_shift, SHIFT - 1) },
		{ -EPROTO, 1, SET(counter_period_shift, SHIFT + 1) },
		{ -EPROTO, 1, SET(counter_period_shift, 255) },
		{ -ERANGE, 1, SET(time_sec, ~UINT64_C(0)) },
		{ -ERANGE, 1, SET(time_sec, MAX_SEC + 1) },
		{ -ERANGE, -1e-3, SET(time_sec, 0) },
		{ -ERANGE, -1.1, SET(magic, FFCLOCK_VMCLOCK_MAGIC) },
		{ -ESTALE, 3601, SET(magic, FFCLOCK_VMCLOCK_MAGIC) },
		{ -EDOM, 1, SET(time_maxerror_nanosec, UINT64_C(5000000000)) },
		{ -EDOM, 1, SET(time_maxerror_nanosec, ~UINT64_C(0)) },
		{ -EDOM, 100, SET(counter_period_maxerror_rate_frac_sec, ~UINT64_C(0)) },
#undef SET
	};
	struct ffclock_vmclock v;
	struct vmclock_time t;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		v = good_page();
		memcpy((char *)&v + cases[i].offset, &cases[i].value, cases[i].len);
		if (time_at(&v, cases[i].at, &t) != cases[i].err)
			fail_msg("case %zu: %d, not %d", i, time_at(&v, cases[i].at, &t),
				 cases[i].err);
	}
	v = good_page();
	v.flags |= FFCLOCK_VF_TAI_OFFSET_VALID;
	v.tai_offset_sec = 37;
	assert_int_equal(time_at(&v, 1, &t), -ERANGE);
	v.tai_offset_sec = -1001;
	assert_int_equal(time_at(&v, 1, &t), -ERANGE);
	/* stock QEMU: a marker and nothing else */
	v = (struct ffclock_vmclock){ .magic = FFCLOCK_VMCLOCK_MAGIC, .size = 4096, .version = 1,
				      .counter_id = FFCLOCK_COUNTER_X86_TSC };
	assert_int_equal(vmclock_page_check(&v), 0);
	assert_int_equal(time_at(&v, 1, &t), -EOPNOTSUPP);
	v.size = sizeof(v) - 1;
	assert_int_equal(vmclock_page_check(&v), -EPROTO);
	v.size = 4096;
	v.version = 2;
	assert_int_equal(vmclock_page_check(&v), -EPROTO);
	v.version = 1;
	v.magic++;
	assert_int_equal(vmclock_page_check(&v), -EPROTO);
}

/* Any bytes: no undefined behaviour, and what is accepted is within what is promised */
static void test_noise(void **state)
{
	unsigned int seed = (unsigned int)time(NULL), i, taken = 0;
	struct ffclock_vmclock v;
	struct vmclock_time t;

	(void)state;
	print_message("# seed %u\n", seed);
	srandom(seed);
	for (i = 0; i < 300000; i++) {
		size_t n = 1 + (size_t)random() % 4;
		uint64_t tsc = COUNTER + ((uint64_t)random() << (random() % 34));

		v = good_page();
		while (n--)
			((unsigned char *)&v)[(size_t)random() % sizeof(v)] =
				(unsigned char)random();
		if (vmclock_page_check(&v) || vmclock_page_time(&v, tsc, PERIOD, 1000, &t))
			continue;
		taken++;
		assert_true(t.utc_ns > 0 && t.utc_ns <= ((int64_t)MAX_SEC + 5000) * NSEC);
		assert_true(t.noise_ns <= t.bound_ns && t.leap <= 2);
		assert_true(fabs((double)(int64_t)(tsc - v.counter_value)) * PERIOD <= 3600e9 + 1);
	}
	assert_true(taken > 1000);
}

static void test_seen(void **state)
{
	struct ffclock_vmclock v = good_page();
	struct vmclock_seen s = { 0 };

	(void)state;
	assert_false(vmclock_seen_moved(&s, &v));
	assert_int_equal(vmclock_seen_line(&s, &v), 0);
	assert_false(vmclock_seen_moved(&s, &v));
	assert_int_equal(vmclock_seen_line(&s, &v), 0);
	/* moved, and the new host has not told the time yet */
	v.disruption_marker++;
	assert_true(vmclock_seen_moved(&s, &v));
	assert_false(vmclock_seen_moved(&s, &v));
	assert_int_equal(vmclock_seen_line(&s, &v), -ESTALE);
	assert_int_equal(vmclock_seen_line(&s, &v), -ESTALE);
	v.time_frac_sec++;
	assert_int_equal(vmclock_seen_line(&s, &v), 0);
	/* a copy of the machine: counts only where the page has that field */
	v.vm_generation_counter = 1;
	assert_false(vmclock_seen_moved(&s, &v));
	v.flags |= FFCLOCK_VF_VM_GEN_COUNTER_PRESENT;
	assert_true(vmclock_seen_moved(&s, &v));
	v.vm_generation_counter = 2;
	assert_true(vmclock_seen_moved(&s, &v));
	assert_int_equal(vmclock_seen_line(&s, &v), -ESTALE);
}

/* The source ---------------------------------------------------------------------- */

static struct {
	struct counter		*counter;
	struct loop		*loop;
	struct source		*source;
	struct config_source	cfg;
	int			fd;
	double			tsc_ns;
	/* what it told */
	unsigned int		stamps;
	unsigned int		missed;
	unsigned int		broke;
	double			worst;		/* error against its bound */
	struct source_stamp	last;
} v1;

static void on_stamp(void *arg, const struct source_stamp *st)
{
	struct counter_mark now;
	double ns, off;

	(void)arg;
	assert_int_equal(counter_mark(v1.counter, &now), 0);
	/* the page tells CLOCK_REALTIME, so truth is that clock at the stamp's middle */
	ns = ((double)(now.value - st->ffe.ta) + (double)(now.value - st->ffe.tf)) / 2 *
	     counter_period_ns(v1.counter);
	off = fabs((double)(now.realtime_ns - st->ffe.tb) - ns);
	ns = (double)(st->ffe.tf - st->ffe.ta) * counter_period_ns(v1.counter) / 2 +
	     st->ffe.root_disp_ns + now.err_ns;
	v1.worst = fmax(v1.worst, off / ns);
	v1.last = *st;
	v1.stamps++;
}

static void on_missed(void *arg)
{
	(void)arg;
	v1.missed++;
}

static void on_broke(void *arg, const char *why)
{
	(void)arg;
	assert_non_null(strstr(why, "marker"));
	v1.broke++;
	v1.source->ops->restart(v1.source);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void run_ms(int ms)
{
	struct loop_timer t = { .cb = stop, .arg = v1.loop };

	loop_timer_set(v1.loop, &t, ms * INT64_C(1000000));
	assert_int_equal(loop_run(v1.loop), 0);
}

/* Both clocks at one instant, and the TSC's period, well enough for a page */
static struct ffclock_vmclock true_page(uint64_t marker)
{
	struct ffclock_vmclock v = good_page();
	int64_t a = 0, b = 0;
	uint64_t tsc = 0;

	read_sandwich(&a, &tsc, &b);
	v.disruption_marker = marker;
	v.counter_value = tsc;
	v.time_sec = (uint64_t)(((a + b) / 2) / NSEC);
	v.time_frac_sec = ffclock_ns_to_frac((uint32_t)(((a + b) / 2) % NSEC));
	v.counter_period_shift = (uint8_t)-ilogb(v1.tsc_ns * 1e-9) - 1;
	v.counter_period_frac_sec = (uint64_t)ldexp(v1.tsc_ns * 1e-9, 64 + v.counter_period_shift);
	/* 20 ms of calibration are good to some ppm; REALTIME is slewed by 500 ppm at most */
	v.counter_period_maxerror_rate_frac_sec = v.counter_period_frac_sec / 1000;
	v.time_maxerror_nanosec = (uint64_t)(b - a) + 1000;
	return v;
}

static void put(struct ffclock_vmclock v)
{
	assert_int_equal(pwrite(v1.fd, &v, sizeof(v), 0), sizeof(v));
}

static void begin(bool device)
{
	static const struct source_sink sink = {
		.stamp = on_stamp, .missed = on_missed, .broke = on_broke,
	};
	char why[256];
	int64_t raw;
	uint64_t tsc;

	memset(&v1, 0, sizeof(v1));
	as_device = device;
	log_setup(LOG_ERR, false);
	v1.counter = counter_raw_open(why, sizeof(why));
	v1.loop = loop_new();
	assert_true(v1.counter && v1.loop);
	raw = now_ns(CLOCK_MONOTONIC_RAW);
	tsc = read_tsc();
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	v1.tsc_ns = (double)(now_ns(CLOCK_MONOTONIC_RAW) - raw) / (double)(read_tsc() - tsc);
	v1.cfg = (struct config_source){ .kind = CONFIG_SOURCE_VMCLOCK, .error_ns = 1000000000 };
	strcpy(v1.cfg.name, "/tmp/ffclock-vmclock-XXXXXX");
	v1.fd = mkstemp(v1.cfg.name);
	assert_true(v1.fd >= 0);
	assert_int_equal(ftruncate(v1.fd, 4096), 0);
	put(true_page(1));
	v1.source = source_vmclock_new(&v1.cfg, v1.counter, v1.loop, &sink);
	assert_non_null(v1.source);
	v1.source->ops->start(v1.source);
}

static void end(void)
{
	v1.source->ops->destroy(v1.source);
	loop_free(v1.loop);
	counter_close(v1.counter);
	close(v1.fd);
	unlink(v1.cfg.name);
}

static uint8_t reach(void)
{
	struct source_report r;

	v1.source->ops->report(v1.source, &r);
	assert_memory_equal(&r.refid, "VMCL", 4);
	return r.reach;
}

static void life(bool device)
{
	struct ffclock_vmclock v;
	struct timespec t0, t1;

	begin(device);
	run_ms(1500);
	print_message("# %u stamps, worst error %.2f of its bound, window %.0f ns, bound %u ns\n",
		      v1.stamps, v1.worst, (double)(v1.last.ffe.tf - v1.last.ffe.ta) *
		      counter_period_ns(v1.counter), v1.last.ffe.root_disp_ns);
	assert_true(v1.stamps >= 3 && !v1.missed && v1.worst <= 1 && reach() & 1);
	assert_true(v1.last.ffe.stratum == 1 && v1.last.ffe.client_err_ns);

	/* moved: everything begins anew, but not with the old host's line */
	v = true_page(1);
	put(v);
	run_ms(1500);
	v.disruption_marker = 2;
	v1.stamps = 0;
	put(v);
	run_ms(2300);
	assert_int_equal(v1.broke, 1);
	assert_true(!v1.stamps && v1.missed && !(reach() & 1));
	put(true_page(2));
	run_ms(1500);
	assert_true(v1.broke == 1 && v1.stamps && v1.worst <= 1);

	/* a writer that died in the middle: bounded, and not for good */
	v.seq_count = 5;
	put(v);
	v1.missed = 0;
	v1.stamps = 0;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
	run_ms(2100);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
	assert_true(v1.missed && !v1.stamps);
	assert_true((double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9 < 1);
	put(true_page(2));
	run_ms(1500);
	assert_true(v1.stamps);

	/* cut to nothing under its hands, then there again */
	assert_int_equal(ftruncate(v1.fd, 0), 0);
	v1.missed = 0;
	run_ms(1500);
	assert_true(v1.missed);
	assert_int_equal(((struct vmclock *)v1.source)->local.fd, -1);
	assert_int_equal(ftruncate(v1.fd, 4096), 0);
	put(true_page(2));
	v1.stamps = 0;
	/* as a counter's break does: no waiting for the next try */
	v1.source->ops->restart(v1.source);
	run_ms(500);
	assert_true(v1.stamps);
	end();
}

static void test_life_file(void **state)
{
	(void)state;
	life(false);
}

static void test_life_device(void **state)
{
	(void)state;
	life(true);
}

/* Our own page, and a kernel that follows the host already */
static void test_loops(void **state)
{
	struct counter with_device;
	uint32_t magic = FFCLOCK_EXT_MAGIC;
	char path[] = "/tmp/ffclock-follow-XXXXXX";
	int fd = mkstemp(path), err;
	struct vmclock *p;

	(void)state;
	assert_true(fd >= 0);
	begin(false);
	p = (struct vmclock *)v1.source;
	follow_path = path;
	assert_int_equal(pwrite(fd, "Y\n", 2, 0), 2);
	/* a counter of our own: the module's clocks are none of ours */
	assert_false(local_kernel_follows(&p->local, follow_path));
	with_device = *v1.counter;
	with_device.fd = 0;
	p->local.counter = &with_device;
	assert_true(local_kernel_follows(&p->local, follow_path));
	assert_int_equal(pwrite(fd, "N\n", 2, 0), 2);
	assert_false(local_kernel_follows(&p->local, follow_path));
	unlink(path);
	assert_false(local_kernel_follows(&p->local, follow_path));
	p->local.counter = v1.counter;
	close(fd);

	page_close(p);
	assert_int_equal(pwrite(v1.fd, &magic, sizeof(magic), FFCLOCK_EXT_OFFSET), sizeof(magic));
	err = page_open(p);
	assert_int_equal(err, -ELOOP);
	run_ms(300);
	assert_true(!v1.stamps && v1.missed);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_tai),
		cmocka_unit_test(test_leap),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_seen),
#if defined(__x86_64__)
		cmocka_unit_test(test_life_file),
		cmocka_unit_test(test_life_device),
		cmocka_unit_test(test_loops),
#endif
	};

	return cmocka_run_group_tests_name("source_vmclock", tests, NULL, NULL);
}
