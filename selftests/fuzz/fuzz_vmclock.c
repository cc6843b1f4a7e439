// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer: a VMClock page as ffclockd reads it.
 *
 * Input: two bytes of options, 8 bytes of TSC after the page's counter value, a page.
 * The first option's bits put right what a random page has wrong, one by one, so that
 * what comes after it is reached.  Whatever is believed must be within what
 * vmclock_page.h promises, and an old line under a new marker is never believed.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmclock_page.h"

#define CHECK(x) do { if (!(x)) abort(); } while (0)

/* 2.5 GHz, and that as a VMClock period: 2^-(64 + 31) s, 0.4e-9 * 2^95 */
#define PERIOD_NS	0.4
#define PERIOD_SHIFT	31
#define PERIOD_FRAC	UINT64_C(15845632502852868096)

/* The estimator takes 2^33 s; what is read may be an hour past the line */
#define MAX_NS		(((INT64_C(1) << 33) + 7200) * 1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void repair(struct ffclock_vmclock *v, uint8_t what)
{
	if (what & 1) {
		v->magic = FFCLOCK_VMCLOCK_MAGIC;
		v->version = FFCLOCK_VMCLOCK_VERSION;
		v->size = 4096;
	}
	if (what & 2)
		v->counter_id = FFCLOCK_COUNTER_X86_TSC;
	if (what & 4)
		v->time_type &= 1;
	if (what & 8)
		v->clock_status = FFCLOCK_STATUS_SYNCHRONIZED;
	if (what & 16) {
		v->counter_period_shift = PERIOD_SHIFT;
		v->counter_period_frac_sec = PERIOD_FRAC;
	}
	if (what & 32)
		v->time_sec &= (UINT64_C(1) << 33) - 1;
	if (what & 64)
		v->leap_indicator %= 7;
	if (what & 128)
		v->tai_offset_sec = -37;
}

static void check_time(const struct ffclock_vmclock *v, uint64_t tsc)
{
	struct vmclock_time t;
	int ret = vmclock_page_time(v, tsc, PERIOD_NS, 1000000000, &t);

	if (ret) {
		CHECK(ret == -EOPNOTSUPP || ret == -EAGAIN || ret == -EPROTO || ret == -ERANGE ||
		      ret == -ESTALE || ret == -EDOM);
		return;
	}
	CHECK(t.utc_ns > -1000000000 && t.utc_ns < MAX_NS);
	CHECK(t.noise_ns <= t.bound_ns);
	CHECK(t.leap <= 2);
}

static void check_seen(const struct ffclock_vmclock *v)
{
	struct ffclock_vmclock moved = *v;
	struct vmclock_seen s = { 0 };

	CHECK(!vmclock_seen_moved(&s, v) && !vmclock_seen_line(&s, v));
	CHECK(!vmclock_seen_moved(&s, v) && !vmclock_seen_line(&s, v));
	moved.disruption_marker++;
	CHECK(vmclock_seen_moved(&s, &moved) && vmclock_seen_line(&s, &moved) == -ESTALE);
	moved.time_frac_sec++;
	CHECK(!vmclock_seen_moved(&s, &moved) && !vmclock_seen_line(&s, &moved));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ffclock_vmclock v = { 0 };
	int64_t since;

	if (size < 2 + sizeof(since))
		return 0;
	memcpy(&since, data + 2, sizeof(since));
	memcpy(&v, data + 2 + sizeof(since),
	       size - 2 - sizeof(since) < sizeof(v) ? size - 2 - sizeof(since) : sizeof(v));
	repair(&v, data[0]);
	/* within an hour or so, or anywhere */
	if (data[1] & 1)
		since %= INT64_C(10000000000000);
	if (!vmclock_page_check(&v))
		check_time(&v, v.counter_value + (uint64_t)since);
	check_seen(&v);
	return 0;
}
