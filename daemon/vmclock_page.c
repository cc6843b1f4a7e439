// SPDX-License-Identifier: GPL-2.0-only
/* A VMClock page: see vmclock_page.h. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include <linux/ffclock_math.h>

#include "leap.h"
#include "vmclock_page.h"

#define NSEC		INT64_C(1000000000)

/* time_type */
#define TYPE_UTC	0
#define TYPE_TAI	1

/* Older parameters are a host's that has died; the kernel module's limits, too */
#define MAX_AGE_NS	(3600e9)
#define MAX_AHEAD_NS	1e9
/* What the estimator takes: 2^33 s, the year 2242 */
#define MAX_SEC		(UINT64_C(1) << 33)
#define MAX_TAI		1000

/* When the host tells no bound of its rate's error: 500 ppm, a bad oscillator */
#define ASSUME_RATE_DIV	2000
/* Sigmas to call a bound, where the host tells an estimate only */
#define SIGMAS		4
/*
 * Without an estimated error: what its updates may differ by from one line.  The bound
 * says nothing about that (a host that is certain to 1 ms may be good to 100 ns), so
 * no more than a host with a decent NTP server shows.
 */
#define NOISE_MAX_NS	10000

int vmclock_page_check(const struct ffclock_vmclock *v)
{
	if (v->magic != FFCLOCK_VMCLOCK_MAGIC || v->version != FFCLOCK_VMCLOCK_VERSION ||
	    v->size < sizeof(*v))
		return -EPROTO;
	return 0;
}

/* Fields that have nothing to do with now */
static int check_fields(const struct ffclock_vmclock *v, double tsc_period_ns)
{
	double period_ns;

	if (v->counter_id != FFCLOCK_COUNTER_X86_TSC)
		return -EOPNOTSUPP;
	if (v->time_type > TYPE_TAI)	/* monotonic, smeared, or not known */
		return -EOPNOTSUPP;
	switch (v->clock_status) {
	case FFCLOCK_STATUS_SYNCHRONIZED:
	case FFCLOCK_STATUS_FREERUNNING:
		break;
	default:
		/* QEMU's own page has marker and nothing else */
		return v->counter_period_frac_sec ? -EAGAIN : -EOPNOTSUPP;
	}
	if (v->flags & FFCLOCK_VF_TAI_OFFSET_VALID) {
		if (v->tai_offset_sec > 0 || v->tai_offset_sec < -MAX_TAI)
			return -ERANGE;
	} else if (v->time_type == TYPE_TAI) {
		return -EOPNOTSUPP;
	}
	if (v->leap_indicator == FFCLOCK_LEAP_POS)
		return -EAGAIN;
	if (v->leap_indicator > FFCLOCK_LEAP_POST_NEG)
		return -EPROTO;
	if (!ffclock_period_valid(v->counter_period_frac_sec, v->counter_period_shift))
		return -EPROTO;
	period_ns = ldexp((double)v->counter_period_frac_sec, -64 - v->counter_period_shift) * 1e9;
	if (!(fabs(period_ns - tsc_period_ns) <= tsc_period_ns / 10))
		return -EPROTO;
	if (v->time_sec > MAX_SEC)
		return -ERANGE;
	return 0;
}

/* Bound at counter_value, and what to expect of it [ns] */
static double bound_at_line(const struct ffclock_vmclock *v, uint32_t assume_ns, double *noise)
{
	bool max = v->flags & FFCLOCK_VF_TIME_MAXERROR_VALID;
	bool est = v->flags & FFCLOCK_VF_TIME_ESTERROR_VALID;
	double bound = max ? (double)v->time_maxerror_nanosec :
		       est ? (double)v->time_esterror_nanosec * SIGMAS : assume_ns;

	*noise = est ? (double)v->time_esterror_nanosec : fmin(bound / 3, NOISE_MAX_NS);
	/* an estimate above the bound: the bound is the promise */
	*noise = fmin(*noise, bound);
	return bound;
}

/* Growth of the bound since counter_value: error of the rate [ns] */
static double bound_growth(const struct ffclock_vmclock *v, double age_ns)
{
	double period = (double)v->counter_period_frac_sec, rate;

	if (v->flags & FFCLOCK_VF_PERIOD_MAXERROR_VALID)
		rate = (double)v->counter_period_maxerror_rate_frac_sec / period;
	else if (v->flags & FFCLOCK_VF_PERIOD_ESTERROR_VALID)
		rate = (double)v->counter_period_esterror_rate_frac_sec / period * SIGMAS;
	else
		rate = 1.0 / ASSUME_RATE_DIV;
	return fabs(age_ns) * fmin(rate, 1);
}

/* UTC that is past an announced leap second has it applied; says the indicator too */
static int64_t apply_leap(const struct ffclock_vmclock *v, int64_t line_sec, int64_t utc_ns,
			  uint8_t *leap)
{
	int64_t end;
	int change;

	*leap = 0;
	if (v->leap_indicator != FFCLOCK_LEAP_PRE_POS && v->leap_indicator != FFCLOCK_LEAP_PRE_NEG)
		return utc_ns;
	change = v->leap_indicator == FFCLOCK_LEAP_PRE_POS ? 1 : -1;
	end = leap_month_end(line_sec);
	/* the second that is left out is the month's last */
	if (!end || utc_ns < (change > 0 ? end : end - 1) * NSEC) {
		*leap = change > 0 ? 1 : 2;
		return utc_ns;
	}
	return utc_ns - change * NSEC;
}

int vmclock_page_time(const struct ffclock_vmclock *v, uint64_t tsc, double tsc_period_ns,
		      uint32_t assume_ns, struct vmclock_time *t)
{
	struct ffclock_time at = { .sec = (int64_t)v->time_sec, .frac = v->time_frac_sec };
	double age_ns, bound, noise;
	int64_t line_sec;
	int err;

	err = check_fields(v, tsc_period_ns);
	if (err)
		return err;
	age_ns = (double)(int64_t)(tsc - v->counter_value) * tsc_period_ns;
	if (age_ns < -MAX_AHEAD_NS)
		return -ERANGE;
	if (age_ns > MAX_AGE_NS)
		return -ESTALE;
	if (v->time_type == TYPE_TAI)
		at.sec += v->tai_offset_sec;
	line_sec = at.sec;
	at = ffclock_line_at(tsc, v->counter_value, at, v->counter_period_frac_sec,
			     v->counter_period_shift);
	if (at.sec <= 0)
		return -ERANGE;
	bound = bound_at_line(v, assume_ns, &noise) + bound_growth(v, age_ns);
	if (!(bound < UINT32_MAX))
		return -EDOM;
	t->utc_ns = apply_leap(v, line_sec, ffclock_time_to_ns(at), &t->leap);
	t->bound_ns = (uint32_t)ceil(bound);
	t->noise_ns = (uint32_t)ceil(noise);
	return 0;
}

static uint64_t generation(const struct ffclock_vmclock *v)
{
	return v->flags & FFCLOCK_VF_VM_GEN_COUNTER_PRESENT ? v->vm_generation_counter : 0;
}

bool vmclock_seen_moved(struct vmclock_seen *s, const struct ffclock_vmclock *v)
{
	uint64_t now = generation(v);
	bool moved = s->have && (v->disruption_marker != s->marker || now != s->generation);

	s->have = true;
	s->marker = v->disruption_marker;
	s->generation = now;
	return moved;
}

int vmclock_seen_line(struct vmclock_seen *s, const struct ffclock_vmclock *v)
{
	uint64_t line[4] = {
		v->counter_value, v->counter_period_frac_sec, v->time_sec, v->time_frac_sec,
	};

	if (s->have_line && !memcmp(line, s->line, sizeof(line)) &&
	    (v->disruption_marker != s->line_marker || generation(v) != s->line_generation))
		return -ESTALE;
	s->have_line = true;
	memcpy(s->line, line, sizeof(line));
	s->line_marker = v->disruption_marker;
	s->line_generation = generation(v);
	return 0;
}
