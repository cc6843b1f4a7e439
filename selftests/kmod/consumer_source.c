// SPDX-License-Identifier: GPL-2.0-only
/*
 * A source of the host's time that does not know it at first, and a disruption.
 */
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/timekeeping.h>

#include <linux/ffclock_math.h>

#include "consumer.h"

/* Longest wait for the disruption to be settled, s */
#define CONSUMER_SOURCE_SEC	30

/* What CLOCK_REALTIME is to be behind by: more than anything else here makes of it */
#define CONSUMER_AHEAD_NS	(3 * NSEC_PER_SEC)

static struct {
	unsigned int refusals;	/* left */
	unsigned int asked;
	bool settled;
	unsigned int waited_ms;
	s64 tout_ns;
} result;

/* CLOCK_REALTIME as of loading, and three seconds */
static s64 source_offset_ns;

static int source_read(struct ffclock_source *s, struct ffclock_host_time *t)
{
	struct ffclock_snapshot snap;

	result.asked++;
	if (result.refusals) {
		result.refusals--;
		return -EAGAIN;
	}
	ffclock_snapshot(&snap);
	t->counter = snap.counter;
	t->utc = ffclock_ns_to_time(snap.monotonic_ns + source_offset_ns);
	t->bound_ns = NSEC_PER_USEC;
	return 0;
}

static struct ffclock_source source = {
	.name	= "consumer",
	.rating	= 600,
	.read	= source_read,
	.owner	= THIS_MODULE,
};

static struct ffclock_detector detector = {
	.name	= "consumer",
};

int consumer_source_run(unsigned int refusals)
{
	struct ffclock_migration m = {};
	unsigned long begin = jiffies;
	struct ffclock_snapshot snap;

	memset(&result, 0, sizeof(result));
	result.refusals = refusals;
	ffclock_snapshot(&snap);
	source_offset_ns = snap.realtime_ns - snap.monotonic_ns + CONSUMER_AHEAD_NS;
	ffclock_register_source(&source);
	ffclock_register_detector(&detector);
	ffclock_disrupt(&detector);
	while (time_before(jiffies, begin + CONSUMER_SOURCE_SEC * HZ)) {
		msleep(20);
		m.sequence = 0;
		if (!ffclock_get_migration(&m) && (m.flags & FFCLOCK_MIG_F_SET)) {
			result.settled = true;
			break;
		}
	}
	result.waited_ms = jiffies_to_msecs(jiffies - begin);
	result.tout_ns = m.tout_ns;
	ffclock_unregister_detector(&detector);
	ffclock_unregister_source(&source);
	return 0;
}

void consumer_source_show(struct seq_file *m)
{
	seq_printf(m, "asked %u\nsettled %d\nwaited_ms %u\ntout_ns %lld\n", result.asked,
		   result.settled, result.waited_ms, result.tout_ns);
}
