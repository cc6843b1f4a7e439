// SPDX-License-Identifier: GPL-2.0-only
/* The kernel module's clock as output: FFCLOCK_IOC_SETEST. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timex.h>
#include <unistd.h>

#include <linux/ffclock.h>

#include "log.h"
#include "output.h"

#define NSEC		1000000000LL
#define SHIFT_MAX	63
#define NEXT_MAX_S	131072	/* struct ffclock_estimate.next_update_sec */

#ifndef POLICY_FILE
#define POLICY_FILE	"/sys/kernel/ffclock/migration/policy"
#endif

struct output_kernel {
	struct output	base;
	int		fd;
	int		last_err;
	uint64_t	sequence;	/* disruptions that were dealt with */
};

/*
 * Seconds per count as integer and shift: the shift that leaves most digits.
 * A double has 53 of them, 1e-16: a nanosecond in a hundred days.
 */
static uint64_t to_period(double period_s, uint8_t *shift)
{
	int e;

	frexp(period_s, &e);		/* period_s = [0.5, 1) * 2^e, e <= 0 */
	*shift = (uint8_t)(-e < 0 ? 0 : -e > SHIFT_MAX ? SHIFT_MAX : -e);
	return (uint64_t)ldexp(period_s, 64 + *shift);
}

/*
 * Less than a second in 2^-64 s.  The first term is at most 2^64 - 18446744074
 * (rounded down from 999999999 ns), the second at most 18446744073.
 */
static uint64_t to_frac(uint32_t ns, double below_ns)
{
	return (uint64_t)(((unsigned __int128)ns << 64) / NSEC) +
	       (uint64_t)(below_ns * 18446744073.709551616);
}

/* An error rate in the period's unit, rounded up; what is absurd saturates */
static uint64_t to_rate(double rate, double period_s, uint8_t shift)
{
	double v = ceil(ldexp(rate * period_s, 64 + shift));

	/* not below 2^64, or not a number */
	if (!(v < 18446744073709551616.0))
		return ~0ULL;
	return v > 0 ? (uint64_t)v : 0;
}

static uint64_t to_bound(double ns)
{
	double v = ceil(ns);

	if (!(v >= 0 && v < 1.8e19))
		return FFCLOCK_BOUND_UNKNOWN;
	return (uint64_t)v;
}

static uint8_t to_status(enum ffe_status status)
{
	switch (status) {
	case FFE_WARMUP:
		return FFCLOCK_STATUS_INITIALIZING;
	case FFE_SYNC:
		return FFCLOCK_STATUS_SYNCHRONIZED;
	/* in doubt: the bound covers both possibilities, no server confirms either */
	case FFE_SUSPECT:
	case FFE_HOLDOVER:
		return FFCLOCK_STATUS_FREERUNNING;
	default:
		return FFCLOCK_STATUS_UNKNOWN;
	}
}

static int kernel_update(struct output *o, const struct output_update *u)
{
	struct output_kernel *k = (struct output_kernel *)o;
	struct ffclock_estimate e = { 0 };
	double period_s = u->map.period_ns * 1e-9;
	int64_t rest;
	int err;

	if (u->map.status == FFE_UNSYNC)
		return 0;
	e.counter = u->map.counter;
	e.time.sec = u->map.time_ns / NSEC;
	rest = u->map.time_ns % NSEC;
	if (rest < 0) {
		rest += NSEC;
		e.time.sec--;
	}
	e.time.frac = to_frac((uint32_t)rest, u->map.time_frac_ns);
	e.period = to_period(period_s, &e.period_shift);
	e.period_esterror = to_rate(u->map.rate_est, period_s, e.period_shift);
	e.period_maxerror = to_rate(u->map.rate_bound, period_s, e.period_shift);
	e.esterror_ns = to_bound(u->map.est_error_ns);
	e.maxerror_ns = to_bound(u->map.bound_ns);
	e.epoch = u->epoch;
	e.status = to_status(u->map.status);
	e.leap_indicator = u->leap_change > 0 ? FFCLOCK_LEAP_PRE_POS :
			   u->leap_change < 0 ? FFCLOCK_LEAP_PRE_NEG : FFCLOCK_LEAP_NONE;
	e.leap_change = u->leap_change;
	e.leap_utc_sec = u->leap_change ? (uint64_t)u->leap_utc_sec : 0;
	e.tai_offset_sec = u->tai_offset;
	e.next_update_sec = u->next_s < 1 ? 1 : u->next_s > NEXT_MAX_S ? NEXT_MAX_S : u->next_s;
	if (u->moved)
		e.flags |= FFCLOCK_EST_F_STEP_MONO;

	err = ioctl(k->fd, FFCLOCK_IOC_SETEST, &e) ? -errno : 0;
	/* said once, not at every update */
	if (err && err != -ESTALE && err != k->last_err)
		log_err("cannot set the kernel's clock: %s%s", strerror(-err),
			err == -EPERM ? " (run with CAP_SYS_TIME, or set 'output none')" : "");
	if (!err && k->last_err)
		log_notice("the kernel takes the clock's parameters again");
	if (err != -ESTALE)
		k->last_err = err;
	return err;
}

/* The administrator wants CLOCK_REALTIME and NTP's state left alone */
static bool only_notify(void)
{
	int fd = open(POLICY_FILE, O_RDONLY | O_CLOEXEC);
	char text[16] = "";
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n >= 6 && !strncmp(text, "notify", 6);
}

static uint64_t migration_sequence(int fd)
{
	struct ffclock_migration m = { 0 };

	return ioctl(fd, FFCLOCK_IOC_MIGRATION, &m) ? 0 : m.sequence;
}

/*
 * A disruption has left CLOCK_REALTIME at the frequency of the old oscillator.
 * The module has cleared the rest of NTP's state; this it cannot.
 */
static void kernel_note(struct output *o, const char *text)
{
	struct output_kernel *k = (struct output_kernel *)o;
	uint64_t sequence = migration_sequence(k->fd);
	struct timex tx = { 0 };
	double was;

	(void)text;
	if (sequence == k->sequence)
		return;
	k->sequence = sequence;
	if (only_notify() || adjtimex(&tx) < 0 || !tx.freq)
		return;
	was = (double)tx.freq / 65536;
	memset(&tx, 0, sizeof(tx));
	tx.modes = ADJ_FREQUENCY;
	if (adjtimex(&tx) < 0)
		log_warn("cannot drop CLOCK_REALTIME's old frequency: %s", strerror(errno));
	else
		log_notice("CLOCK_REALTIME's frequency of %+.3f ppm was the old oscillator's: dropped",
			   was);
}

static void kernel_destroy(struct output *o)
{
	free(o);
}

static const struct output_ops kernel_ops = {
	.name		= "kernel",
	.update		= kernel_update,
	.note		= kernel_note,
	.destroy	= kernel_destroy,
};

struct output *output_kernel_new(int fd)
{
	struct output_kernel *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->base.ops = &kernel_ops;
	k->fd = fd;
	k->sequence = migration_sequence(fd);
	return &k->base;
}
