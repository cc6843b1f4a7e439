// SPDX-License-Identifier: GPL-2.0-only
/* The raw counter: choosing one, and what all of them share; see counter.h. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "counter_internal.h"
#include "log.h"

/*
 * Two marks 20 ms apart, each good to some 30 ns, give the period to 2 ppm.
 * The oscillator itself is off by tens of ppm, which is what is left to find.
 */
#define CALIBRATE_NS	20000000L

int counter_calibrate(struct counter *c)
{
	struct timespec nap = { .tv_nsec = CALIBRATE_NS };
	struct counter_mark a, b;
	int err, tries;

	for (tries = 0; tries < 5; tries++) {
		err = c->ops->mark(c, &a);
		if (err)
			return err;
		nanosleep(&nap, NULL);
		err = c->ops->mark(c, &b);
		if (err)
			return err;
		if (a.epoch != b.epoch || b.value <= a.value || b.raw_ns <= a.raw_ns)
			continue;
		c->period_ns = (double)(b.raw_ns - a.raw_ns) / (double)(b.value - a.value);
		/* what the estimator takes: 100 GHz to 1 kHz */
		if (c->period_ns >= 0.01 && c->period_ns <= 1e6)
			return 0;
	}
	return -ERANGE;
}

static struct counter *announce(struct counter *c, const char *reason)
{
	log_info("counter: %s, %.6f MHz%s%s", c->ops->name, 1e3 / c->period_ns,
		 reason ? ": " : "", reason ? reason : "");
	return c;
}

struct counter *counter_open(enum config_counter want)
{
	struct counter *c;
	char why[256];
	char reasons[600];

	switch (want) {
	case CONFIG_COUNTER_DEVICE:
		c = counter_device_open(why, sizeof(why));
		break;
	case CONFIG_COUNTER_TSC:
		c = counter_tsc_open(why, sizeof(why));
		break;
	case CONFIG_COUNTER_RAW:
		c = counter_raw_open(why, sizeof(why));
		break;
	default:
		c = counter_device_open(why, sizeof(why));
		if (c)
			return announce(c, NULL);
		snprintf(reasons, sizeof(reasons), "device: %s", why);
		c = counter_tsc_open(why, sizeof(why));
		if (c)
			return announce(c, reasons);
		log_info("counter: %s; tsc: %s", reasons, why);
		c = counter_raw_open(why, sizeof(why));
		break;
	}
	if (!c) {
		log_err("no counter: %s", why);
		return NULL;
	}
	return announce(c, NULL);
}

void counter_close(struct counter *c)
{
	if (c)
		c->ops->close(c);
}

const char *counter_name(const struct counter *c)
{
	return c->ops->name;
}

int counter_device_fd(const struct counter *c)
{
	return c->fd;
}

double counter_period_ns(const struct counter *c)
{
	return c->period_ns;
}

int counter_mark(struct counter *c, struct counter_mark *m)
{
	return c->ops->mark(c, m);
}

int counter_invert(struct counter *c, const struct counter_mark *a, const struct counter_mark *b,
		   int64_t realtime_ns, uint64_t *value, uint32_t *err_ns)
{
	int err;

	if (a->epoch != b->epoch)
		return -ESTALE;
	err = c->ops->invert(c, a, b, realtime_ns, value, err_ns);
	if (err)
		return err;
	if (*value - a->value > b->value - a->value)
		return -ERANGE;
	return 0;
}

static void calibrate_again(struct counter *c)
{
	if (counter_calibrate(c))
		log_warn("counter %s: cannot measure its period after the break, keeping %.6f ns",
			 c->ops->name, c->period_ns);
}

unsigned int counter_check(struct counter *c, char *why, size_t why_len)
{
	unsigned int ev = c->ops->check(c, why, why_len);

	if (ev)
		calibrate_again(c);
	return ev;
}

void counter_broke(struct counter *c)
{
	if (c->ops->broke)
		c->ops->broke(c);
	calibrate_again(c);
}
