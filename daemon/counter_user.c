// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters that user space reads itself: the TSC and CLOCK_MONOTONIC_RAW.
 *
 * Nothing tells user space when such a counter breaks, so counter_check()
 * compares what it can: CLOCK_BOOTTIME against CLOCK_MONOTONIC (suspend), the
 * TSC against CLOCK_MONOTONIC_RAW (a jump of either), and the kernel's choice
 * of clocksource.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

#include "counter_internal.h"

#define NSEC		1000000000LL

/* Attempts at a pair; an interrupt in one does not matter then */
#define PAIR_TRIES	8

/*
 * CLOCK_REALTIME - CLOCK_MONOTONIC is constant between steps; read one after
 * the other it seems to move by the time that takes, some 50 ns, or more when
 * interrupted.  Steps below this pass, as at most this much error.
 */
#define STEP_NS		1000

/*
 * Over this much the slope of CLOCK_REALTIME follows from the two marks (30 ns
 * of 1 ms are 30 ppm, what a shorter exchange would suffer more from than from
 * the last slope known).
 */
#define SLOPE_MIN_NS	1000000LL

/* A suspend shows as a step of BOOTTIME against MONOTONIC; reading noise as us */
#define SUSPEND_NS	1000000LL

/*
 * TSC against CLOCK_MONOTONIC_RAW.  On one oscillator they differ by how well
 * the 20 ms calibration was, on two (hpet, kvm-clock) by their ppm: 500 ppm is
 * what the kernel's own watchdog lets pass (62.5 us in 125 ms).
 */
#define DRIFT_MAX	500e-6
#define DRIFT_BASE_NS	1000000.0

struct counter_user {
	struct counter		base;
	uint64_t		(*read)(void);
	bool			is_tsc;
	uint32_t		epoch;
	double			slope;		/* CLOCK_REALTIME ns per count */
	bool			have_last;
	struct counter_mark	last;		/* at the last check */
	int64_t			suspended_ns;	/* BOOTTIME - MONOTONIC then */
	char			clocksource[32];
};

/* where the kernel tells of its clocksources; tests have their own */
static const char *clocksource_dir = "/sys/devices/system/clocksource/clocksource0";

static int64_t now_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

static uint64_t read_raw(void)
{
	return (uint64_t)now_ns(CLOCK_MONOTONIC_RAW);
}

#if defined(__x86_64__)
/* Not before earlier instructions have finished, nor after later ones begin */
static uint64_t read_tsc(void)
{
	uint64_t v;

	_mm_lfence();
	v = __rdtsc();
	_mm_lfence();
	return v;
}

static bool tsc_invariant(void)
{
	unsigned int a, b, c, d;

	/* CPUID 0x80000007, EDX bit 8: constant rate in all P-, C- and T-states */
	return __get_cpuid(0x80000007, &a, &b, &c, &d) && d & 1u << 8;
}
#endif

/* Asked before every exchange, so the file stays open: sysfs shows it anew each time */
struct sysfs_file {
	const char	*name;
	int		fd;	/* -1: not open yet, or not there */
	const char	*dir;	/* where it was opened: the tests change clocksource_dir */
};

static struct sysfs_file current_clocksource = { "current_clocksource", -1, NULL };
static struct sysfs_file available_clocksource = { "available_clocksource", -1, NULL };

static void read_clocksource(struct sysfs_file *f, char *buf, size_t len)
{
	ssize_t n = -1;
	char path[128];

	if (f->fd >= 0 && f->dir != clocksource_dir) {
		close(f->fd);
		f->fd = -1;
	}
	if (f->fd < 0) {
		snprintf(path, sizeof(path), "%s/%s", clocksource_dir, f->name);
		f->fd = open(path, O_RDONLY | O_CLOEXEC);
		f->dir = clocksource_dir;
	}
	if (f->fd >= 0)
		n = pread(f->fd, buf, len - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}

static bool word_in(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (; (list = strstr(list, word)); list += n)
		if (list[n] == ' ' || !list[n])
			return true;
	return false;
}

static int user_mark(struct counter *c, struct counter_mark *m)
{
	struct counter_user *u = (struct counter_user *)c;
	uint64_t best = ~0ULL;
	int i;

	for (i = 0; i < PAIR_TRIES; i++) {
		uint64_t c0 = u->read();
		int64_t rt = now_ns(CLOCK_REALTIME);
		uint64_t c1 = u->read();

		if (c1 - c0 >= best)
			continue;
		best = c1 - c0;
		m->value = c0 + best / 2;
		m->realtime_ns = rt;
	}
	m->err_ns = (uint32_t)fmin((double)best * c->period_ns / 2 + 1, 1e9);
	best = ~0ULL;
	for (i = 0; i < PAIR_TRIES; i++) {
		int64_t r0 = now_ns(CLOCK_REALTIME);
		int64_t mono = now_ns(CLOCK_MONOTONIC);
		int64_t r1 = now_ns(CLOCK_REALTIME);

		if ((uint64_t)(r1 - r0) >= best)
			continue;
		best = (uint64_t)(r1 - r0);
		m->step_ns = r0 + (int64_t)(best / 2) - mono;
	}
	m->epoch = u->epoch;
	/* the pair once more, now against RAW: only calibration and checks use it */
	best = ~0ULL;
	for (i = 0; i < PAIR_TRIES; i++) {
		uint64_t c0 = u->read();
		int64_t raw = now_ns(CLOCK_MONOTONIC_RAW);
		uint64_t c1 = u->read();
		double ns;

		if (c1 - c0 >= best)
			continue;
		best = c1 - c0;
		/* RAW as it was at m->value: less than 10 us ago, so any period will do */
		ns = ((double)(c0 - m->value) + (double)best / 2) * c->period_ns;
		m->raw_ns = raw - (int64_t)ns;
	}
	return 0;
}

static int user_invert(struct counter *c, const struct counter_mark *a,
		       const struct counter_mark *b, int64_t realtime_ns, uint64_t *value,
		       uint32_t *err_ns)
{
	struct counter_user *u = (struct counter_user *)c;
	int64_t span = b->realtime_ns - a->realtime_ns;
	int64_t from_a = realtime_ns - a->realtime_ns;
	int64_t from_b = realtime_ns - b->realtime_ns;

	if (llabs(b->step_ns - a->step_ns) > STEP_NS)
		return -ERANGE;
	/* a mark is good to its error, so the stamp may seem to precede it by that */
	if (from_a < -(int64_t)a->err_ns || from_b > (int64_t)b->err_ns || span <= 0)
		return -ERANGE;
	if (span >= SLOPE_MIN_NS)
		u->slope = (double)span / (double)(b->value - a->value);
	if (from_a < 0)
		*value = a->value;
	else if (from_b > 0)
		*value = b->value;
	else if (from_a <= -from_b)
		*value = a->value + (uint64_t)llrint((double)from_a / u->slope);
	else
		*value = b->value - (uint64_t)llrint((double)-from_b / u->slope);
	*err_ns = from_a <= -from_b ? a->err_ns : b->err_ns;
	return 0;
}

/* Whether the counter is no longer what it was */
static bool broke(struct counter_user *u, const struct counter_mark *m, int64_t suspended,
		  const char *source, char *why, size_t why_len)
{
	double counts = (double)(int64_t)(m->value - u->last.value) * u->base.period_ns;
	double raw = (double)(m->raw_ns - u->last.raw_ns);

	if (llabs(suspended - u->suspended_ns) > SUSPEND_NS) {
		snprintf(why, why_len, "the machine was suspended for %.3f s",
			 (double)(suspended - u->suspended_ns) * 1e-9);
		return true;
	}
	if (fabs(counts - raw) > DRIFT_BASE_NS + DRIFT_MAX * fabs(raw)) {
		snprintf(why, why_len, "%s moved %.6f s while CLOCK_MONOTONIC_RAW moved %.6f s",
			 u->base.ops->name, counts * 1e-9, raw * 1e-9);
		return true;
	}
	if (u->read == read_raw && strcmp(source, u->clocksource)) {
		snprintf(why, why_len, "the kernel's clocksource is %s, was %s", source,
			 u->clocksource);
		return true;
	}
	return false;
}

static const struct counter_ops raw_ops;

/*
 * The kernel hides the TSC from the available clocksources once its watchdog has
 * found it unstable: leave it then, whoever chose it.
 */
static bool tsc_lost(struct counter_user *u, char *why, size_t why_len)
{
	char list[256];

	if (!u->is_tsc)
		return false;
	read_clocksource(&available_clocksource, list, sizeof(list));
	if (!*list || word_in(list, "tsc"))
		return false;
	snprintf(why, why_len, "the kernel found the tsc unstable (available: %s); "
		 "monotonic_raw instead", list);
	u->is_tsc = false;
	u->read = read_raw;
	u->base.ops = &raw_ops;
	u->base.period_ns = 1;
	return true;
}

static void user_broke(struct counter *c)
{
	struct counter_user *u = (struct counter_user *)c;

	u->epoch++;
	u->slope = c->period_ns;
	u->have_last = false;
}

static unsigned int user_check(struct counter *c, char *why, size_t why_len)
{
	struct counter_user *u = (struct counter_user *)c;
	int64_t mono0 = now_ns(CLOCK_MONOTONIC), boot = now_ns(CLOCK_BOOTTIME);
	int64_t suspended = boot - (mono0 + now_ns(CLOCK_MONOTONIC)) / 2;
	struct counter_mark m;
	char source[32];
	bool b;

	read_clocksource(&current_clocksource, source, sizeof(source));
	b = u->have_last && tsc_lost(u, why, why_len);
	user_mark(c, &m);
	b = b || (u->have_last && broke(u, &m, suspended, source, why, why_len));
	if (!b && u->have_last) {
		int64_t span = m.realtime_ns - u->last.realtime_ns;

		/* the slope for the short exchange that follows */
		if (span >= SLOPE_MIN_NS && llabs(m.step_ns - u->last.step_ns) <= STEP_NS)
			u->slope = (double)span / (double)(m.value - u->last.value);
	}
	if (b)
		user_broke(c);
	u->last = m;
	u->last.epoch = u->epoch;
	u->suspended_ns = suspended;
	memcpy(u->clocksource, source, sizeof(source));
	u->have_last = true;
	return b ? COUNTER_EV_EPOCH : 0;
}

static void user_close(struct counter *c)
{
	free(c);
}

static const struct counter_ops raw_ops = {
	.name	= "monotonic_raw",
	.mark	= user_mark,
	.invert	= user_invert,
	.check	= user_check,
	.broke	= user_broke,
	.close	= user_close,
};

static struct counter *user_open(const struct counter_ops *ops, uint64_t (*read_counter)(void),
				 char *why, size_t why_len)
{
	struct counter_user *u = calloc(1, sizeof(*u));
	int err;

	if (!u) {
		snprintf(why, why_len, "out of memory");
		return NULL;
	}
	u->base.ops = ops;
	u->base.fd = -1;
	u->base.period_ns = 1;
	u->read = read_counter;
	u->epoch = 1;
	err = counter_calibrate(&u->base);
	/* again: the first time, marks were placed with a period of 1 ns */
	if (!err)
		err = counter_calibrate(&u->base);
	if (err) {
		snprintf(why, why_len, "cannot measure its period: %s", strerror(-err));
		free(u);
		return NULL;
	}
	u->slope = u->base.period_ns;
	user_check(&u->base, why, why_len);
	return &u->base;
}

struct counter *counter_raw_open(char *why, size_t why_len)
{
	return user_open(&raw_ops, read_raw, why, why_len);
}

#if defined(__x86_64__)
static const struct counter_ops tsc_ops = {
	.name	= "tsc",
	.mark	= user_mark,
	.invert	= user_invert,
	.check	= user_check,
	.broke	= user_broke,
	.close	= user_close,
};

struct counter *counter_tsc_open(char *why, size_t why_len)
{
	struct counter *c;
	char list[256];

	if (!tsc_invariant()) {
		snprintf(why, why_len, "the processor does not promise a constant rate "
			 "(CPUID 0x80000007, EDX bit 8)");
		return NULL;
	}
	read_clocksource(&available_clocksource, list, sizeof(list));
	if (*list && !word_in(list, "tsc")) {
		snprintf(why, why_len, "the kernel found it unstable (available: %s)", list);
		return NULL;
	}
	c = user_open(&tsc_ops, read_tsc, why, why_len);
	if (c)
		((struct counter_user *)c)->is_tsc = true;
	return c;
}
#else
struct counter *counter_tsc_open(char *why, size_t why_len)
{
	snprintf(why, why_len, "this is not an x86-64 machine");
	return NULL;
}
#endif
