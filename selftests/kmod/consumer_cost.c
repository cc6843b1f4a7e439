// SPDX-License-Identifier: GPL-2.0-only
/*
 * What readings cost in the kernel, and the timekeeping notifier.
 *
 * In TSC counts, which under an emulator are time, not instructions: what means
 * something is the ratio of two of them from the same run.
 */
#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/pvclock_gtod.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/timekeeping.h>

#include <asm/msr.h>
#include <asm/tsc.h>

#include "consumer.h"

/* Calls in a batch: some us, so that most batches see no interruption */
#define COST_BATCH	64
#define COST_MAX	10000

static u64 *cost_samples;	/* room for COST_MAX */

static int cost_cmp(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* Keeps a result alive */
static u64 cost_sink;

#define COST_FN(name, statement)				\
static noinline u64 cost_##name(void)				\
{								\
	u64 begin = rdtsc_ordered();				\
	int i;							\
								\
	for (i = 0; i < COST_BATCH; i++) {			\
		statement;					\
	}							\
	return rdtsc_ordered() - begin;				\
}

static struct timespec64 cost_ts;
static struct ffclock_reading cost_reading;
static struct ffclock_snapshot cost_snap;
static struct system_time_snapshot cost_ksnap;
static struct ffclock_stamp cost_stamp;

COST_FN(rdtsc, WRITE_ONCE(cost_sink, rdtsc_ordered()))
COST_FN(ktime_get_real_ts64, ktime_get_real_ts64(&cost_ts))
COST_FN(ktime_get_ts64, ktime_get_ts64(&cost_ts))
COST_FN(ktime_get_real_fast_ns, WRITE_ONCE(cost_sink, ktime_get_real_fast_ns()))
COST_FN(ktime_get_snapshot, ktime_get_snapshot_id(CLOCK_REALTIME, &cost_ksnap))
COST_FN(ffclock_counter, WRITE_ONCE(cost_sink, ffclock_counter(NULL)))
COST_FN(ffclock_get_ts64_utc, ffclock_get_ts64(FFCLOCK_UTC, &cost_ts))
COST_FN(ffclock_get_ts64_mono, ffclock_get_ts64(FFCLOCK_MONO, &cost_ts))
COST_FN(ffclock_read_utc, ffclock_read(FFCLOCK_UTC, &cost_reading))
COST_FN(ffclock_snapshot, ffclock_snapshot(&cost_snap))
COST_FN(ffclock_realtime_to_counter, cost_stamp.realtime_ns = cost_snap.realtime_ns;
	ffclock_realtime_to_counter(&cost_stamp))

static struct cost {
	const char *name;
	u64 (*fn)(void);
	u64 min;
	u64 median;
} costs[] = {
#define COST(name)	{ #name, cost_##name }
	COST(rdtsc),
	COST(ktime_get_real_ts64),
	COST(ktime_get_ts64),
	COST(ktime_get_real_fast_ns),
	COST(ktime_get_snapshot),
	COST(ffclock_counter),
	COST(ffclock_get_ts64_utc),
	COST(ffclock_get_ts64_mono),
	COST(ffclock_read_utc),
	COST(ffclock_snapshot),
	COST(ffclock_realtime_to_counter),
};

int consumer_cost_run(unsigned int batches)
{
	unsigned long flags;
	unsigned int i;
	struct cost *c;

	batches = min_t(unsigned int, batches, COST_MAX);
	cost_samples = kcalloc(COST_MAX, sizeof(*cost_samples), GFP_KERNEL);
	if (!cost_samples)
		return -ENOMEM;
	for (c = costs; c < costs + ARRAY_SIZE(costs); c++) {
		for (i = 0; i < batches; i++) {
			local_irq_save(flags);
			cost_samples[i] = c->fn();
			local_irq_restore(flags);
			cond_resched();
		}
		sort(cost_samples, batches, sizeof(*cost_samples), cost_cmp, NULL);
		c->min = cost_samples[0];
		c->median = cost_samples[batches / 2];
	}
	kfree(cost_samples);
	return 0;
}

void consumer_cost_show(struct seq_file *m)
{
	const struct cost *c;

	/* hundredths of TSC counts per call */
	seq_puts(m, "# name min median, TSC counts per call x 100\n");
	for (c = costs; c < costs + ARRAY_SIZE(costs); c++)
		seq_printf(m, "%s %llu %llu\n", c->name, c->min * 100 / COST_BATCH,
			   c->median * 100 / COST_BATCH);
	seq_printf(m, "tsc_khz %u\n", tsc_khz);
}

/* The notifier ---------------------------------------------------------------- */

/*
 * Three notifiers of our own in the chain of timekeeping updates: two in front
 * of ffclock's, one behind.  The first two tell what a notifier that only reads
 * the TSC costs.
 */
static u64 tick_at[2];
static u64 *tick_base, *tick_span;	/* samples */
static unsigned int tick_count, tick_wanted;
static u64 tick_min[2], tick_median[2], tick_max;

static int tick_first(struct notifier_block *nb, unsigned long set, void *tk)
{
	tick_at[0] = rdtsc_ordered();
	return NOTIFY_OK;
}

static int tick_second(struct notifier_block *nb, unsigned long set, void *tk)
{
	tick_at[1] = rdtsc_ordered();
	return NOTIFY_OK;
}

static int tick_last(struct notifier_block *nb, unsigned long set, void *tk)
{
	u64 now = rdtsc_ordered();

	if (tick_count < tick_wanted && tick_at[0] && tick_at[1]) {
		tick_base[tick_count] = tick_at[1] - tick_at[0];
		tick_span[tick_count] = now - tick_at[1];
		tick_count++;
	}
	return NOTIFY_OK;
}

static struct notifier_block tick_first_nb = {
	.notifier_call = tick_first, .priority = INT_MAX,
};

static struct notifier_block tick_second_nb = {
	.notifier_call = tick_second, .priority = INT_MAX - 1,
};

static struct notifier_block tick_last_nb = {
	.notifier_call = tick_last, .priority = INT_MIN,
};

int consumer_tick_run(unsigned int ticks)
{
	ticks = min_t(unsigned int, ticks, COST_MAX);
	tick_base = kcalloc(2 * ticks, sizeof(*tick_base), GFP_KERNEL);
	if (!tick_base)
		return -ENOMEM;
	tick_span = tick_base + ticks;
	tick_count = 0;
	tick_at[0] = 0;
	tick_at[1] = 0;
	tick_wanted = ticks;

	/* registering calls the new one, and no other */
	pvclock_gtod_register_notifier(&tick_first_nb);
	pvclock_gtod_register_notifier(&tick_second_nb);
	pvclock_gtod_register_notifier(&tick_last_nb);
	while (READ_ONCE(tick_count) < ticks && !signal_pending(current))
		schedule_timeout_interruptible(HZ / 10);
	pvclock_gtod_unregister_notifier(&tick_last_nb);
	pvclock_gtod_unregister_notifier(&tick_second_nb);
	pvclock_gtod_unregister_notifier(&tick_first_nb);

	ticks = tick_count;
	if (ticks) {
		sort(tick_base, ticks, sizeof(*tick_base), cost_cmp, NULL);
		sort(tick_span, ticks, sizeof(*tick_span), cost_cmp, NULL);
		tick_min[0] = tick_base[0];
		tick_min[1] = tick_span[0];
		tick_median[0] = tick_base[ticks / 2];
		tick_median[1] = tick_span[ticks / 2];
		tick_max = tick_span[ticks - 1];
	}
	kfree(tick_base);
	return ticks ? 0 : -EINTR;
}

void consumer_tick_show(struct seq_file *m)
{
	seq_puts(m, "# name min median, TSC counts per update\n");
	seq_printf(m, "empty_notifier %llu %llu\n", tick_min[0], tick_median[0]);
	seq_printf(m, "with_ffclock %llu %llu\n", tick_min[1], tick_median[1]);
	seq_printf(m, "longest %llu\nupdates %u\ntsc_khz %u\n", tick_max, tick_count, tsc_khz);
}
