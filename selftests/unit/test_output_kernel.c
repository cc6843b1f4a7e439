// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of ffclockd's output to the kernel: what the kernel is given is the
 * estimator's clock, to a nanosecond, and within the ranges the contract has.
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
#include <sys/ioctl.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/ffclock.h>

/* The kernel's side: keeps what was set */
static struct ffclock_estimate set;
static int set_calls, set_error;
static uint64_t disruptions;
static long frequency;		/* CLOCK_REALTIME's, 2^-16 ppm */
static int frequency_calls;
static char policy_file[] = "/tmp/ffclock-policy-XXXXXX";

static int fake_adjtimex(struct timex *tx)
{
	if (tx->modes) {
		assert_int_equal(tx->modes, ADJ_FREQUENCY);
		frequency = tx->freq;
		frequency_calls++;
	}
	tx->freq = frequency;
	return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	assert_int_equal(fd, 7);
	if (request == FFCLOCK_IOC_MIGRATION) {
		((struct ffclock_migration *)arg)->sequence = disruptions;
		errno = ENOENT;
		return disruptions ? 0 : -1;
	}
	assert_true(request == FFCLOCK_IOC_SETEST);
	memcpy(&set, arg, sizeof(set));
	set_calls++;
	if (!set_error)
		return 0;
	errno = set_error;
	return -1;
}

#define ioctl(fd, req, arg) fake_ioctl(fd, req, arg)
#define adjtimex(tx) fake_adjtimex(tx)
#define POLICY_FILE policy_file
#include "../../daemon/output_kernel.c"
#undef ioctl
#undef adjtimex

#include <linux/ffclock_math.h>

static struct output *out;

static struct output_update update(double period_ns)
{
	struct output_update u = {
		.map = {
			.counter = UINT64_C(0x7123456789abcdef),
			.time_ns = INT64_C(1795000000123456789),
			.time_frac_ns = 0.625,
			.period_ns = period_ns,
			.bound_ns = 12345.6,
			.est_error_ns = 789.1,
			.rate_bound = 2e-7,
			.rate_est = 1e-8,
			.status = FFE_SYNC,
		},
		.epoch = 3, .tai_offset = 37, .next_s = 16,
	};

	return u;
}

static void test_same_clock(void **state)
{
	/* 10 GHz, 2.6 GHz, HPET, ACPI PM, 1 GHz counted in ns, 1 kHz */
	static const double periods[] = { 0.1, 0.385190173, 10, 279.365114840, 1, 1e6 };
	size_t i;
	int j;

	(void)state;
	for (i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		struct output_update u = update(periods[i] * (1 + 12.5e-6));

		assert_int_equal(out->ops->update(out, &u), 0);
		assert_true(ffclock_period_valid(set.period, set.period_shift));
		assert_true(set.counter == u.map.counter);
		for (j = -10; j <= 10; j++) {
			/* up to 10 000 s away */
			int64_t c = (int64_t)(j * 1e12 / periods[i]);
			struct ffclock_time t = ffclock_line_at(set.counter + (uint64_t)c,
				set.counter, set.time, set.period, set.period_shift);
			double dt;
			int64_t got, want = ffe_map_read(&u.map, u.map.counter + (uint64_t)c,
							 NULL, NULL);

			got = ffclock_time_to_ns(t);
			dt = fabs((double)(got - want));
			if (dt > 1)
				fail_msg("period %g: off by %g ns at %d000 s", periods[i], dt, j);
		}
		/* the errors, in the period's unit: rounded up, by little */
		double unit = ldexp(1, -64 - set.period_shift) * 1e9 / u.map.period_ns;
		double rate = (double)set.period_maxerror * unit;

		assert_true(rate >= 2e-7 * (1 - 1e-12) && rate < 2.001e-7);
		rate = (double)set.period_esterror * unit;
		assert_true(rate >= 1e-8 * (1 - 1e-12) && rate < 1.001e-8);
		assert_int_equal(set.maxerror_ns, 12346);
		assert_int_equal(set.esterror_ns, 790);
	}
}

static void test_fields(void **state)
{
	struct output_update u = update(0.385);

	(void)state;
	assert_int_equal(out->ops->update(out, &u), 0);
	assert_int_equal(set.epoch, 3);
	assert_int_equal(set.status, FFCLOCK_STATUS_SYNCHRONIZED);
	assert_int_equal(set.leap_indicator, FFCLOCK_LEAP_NONE);
	assert_int_equal(set.leap_change, 0);
	assert_true(set.leap_utc_sec == 0);
	assert_int_equal(set.tai_offset_sec, 37);
	assert_int_equal(set.next_update_sec, 16);
	assert_int_equal(set.flags, 0);
	assert_int_equal(set.reserved0, 0);
	assert_int_equal(set.reserved1, 0);

	u.leap_change = 1;
	u.leap_utc_sec = 1483228800;
	u.moved = true;
	u.next_s = 0;
	u.map.status = FFE_WARMUP;
	assert_int_equal(out->ops->update(out, &u), 0);
	assert_int_equal(set.leap_indicator, FFCLOCK_LEAP_PRE_POS);
	assert_int_equal(set.leap_change, 1);
	assert_true(set.leap_utc_sec == 1483228800);
	assert_int_equal(set.flags, FFCLOCK_EST_F_STEP_MONO);
	assert_int_equal(set.next_update_sec, 1);
	assert_int_equal(set.status, FFCLOCK_STATUS_INITIALIZING);

	u.leap_change = -1;
	u.next_s = 1u << 30;
	u.map.status = FFE_HOLDOVER;
	u.map.bound_ns = INFINITY;
	u.map.est_error_ns = NAN;
	u.map.rate_bound = INFINITY;
	u.map.rate_est = NAN;
	assert_int_equal(out->ops->update(out, &u), 0);
	assert_int_equal(set.leap_indicator, FFCLOCK_LEAP_PRE_NEG);
	assert_int_equal(set.leap_change, -1);
	assert_int_equal(set.next_update_sec, 131072);
	assert_int_equal(set.status, FFCLOCK_STATUS_FREERUNNING);
	assert_true(set.maxerror_ns == FFCLOCK_BOUND_UNKNOWN);
	assert_true(set.esterror_ns == FFCLOCK_BOUND_UNKNOWN);
	assert_true(set.period_maxerror == ~0ULL);
	assert_true(set.period_esterror == ~0ULL);

	u.map.status = FFE_SUSPECT;
	assert_int_equal(out->ops->update(out, &u), 0);
	assert_int_equal(set.status, FFCLOCK_STATUS_FREERUNNING);

	/* nothing known: nothing set */
	set_calls = 0;
	u.map.status = FFE_UNSYNC;
	assert_int_equal(out->ops->update(out, &u), 0);
	assert_int_equal(set_calls, 0);
}

static void test_times(void **state)
{
	struct output_update u = update(0.385);

	(void)state;
	u.map.time_ns = -1;	/* a second's last nanosecond before 1970 */
	u.map.time_frac_ns = 0;
	assert_int_equal(out->ops->update(out, &u), 0);
	assert_true(set.time.sec == -1);
	assert_true(ffclock_time_to_ns(set.time) == -1 || ffclock_time_to_ns(set.time) == -2);
	u.map.time_ns = NSEC - 1;
	u.map.time_frac_ns = nextafter(1, 0);
	assert_int_equal(out->ops->update(out, &u), 0);
	assert_true(set.time.sec == 0 && set.time.frac > UINT64_C(0xffffffffffff0000));
}

static void test_errors(void **state)
{
	struct output_update u = update(0.385);

	(void)state;
	set_error = ESTALE;
	assert_int_equal(out->ops->update(out, &u), -ESTALE);
	set_error = EPERM;
	assert_int_equal(out->ops->update(out, &u), -EPERM);
	assert_int_equal(out->ops->update(out, &u), -EPERM);
	set_error = 0;
	assert_int_equal(out->ops->update(out, &u), 0);
}

static void policy(const char *text)
{
	FILE *f = fopen(policy_file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* CLOCK_REALTIME's frequency goes with each disruption, once, unless by notify */
static void test_frequency(void **state)
{
	(void)state;
	policy("inject\n");
	frequency = 25 << 16;
	out->ops->note(out, "another counter");
	assert_int_equal(frequency_calls, 0);

	disruptions = 1;
	out->ops->note(out, "migrated");
	assert_int_equal(frequency_calls, 1);
	assert_int_equal(frequency, 0);
	frequency = 30 << 16;	/* what another daemon found since */
	out->ops->note(out, "another counter");
	assert_int_equal(frequency, 30 << 16);

	policy("notify\n");
	disruptions = 2;
	out->ops->note(out, "migrated");
	assert_int_equal(frequency, 30 << 16);
	policy("ntp-reset\n");
	disruptions = 4;
	out->ops->note(out, "migrated twice");
	assert_int_equal(frequency, 0);
	assert_int_equal(frequency_calls, 2);

	/* nothing to drop */
	disruptions = 5;
	out->ops->note(out, "migrated");
	assert_int_equal(frequency_calls, 2);
}

static int setup(void **state)
{
	int fd = mkstemp(policy_file);

	(void)state;
	if (fd < 0)
		return 1;
	close(fd);
	out = output_kernel_new(7);
	return !out;
}

static int teardown(void **state)
{
	(void)state;
	out->ops->destroy(out);
	unlink(policy_file);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_clock),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_frequency),
	};

	return cmocka_run_group_tests_name("output_kernel", tests, setup, teardown);
}
