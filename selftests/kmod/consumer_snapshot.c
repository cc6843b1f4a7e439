// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_snapshot() against the kernel's own snapshot.
 *
 * The kernel's pairs its clocksource's reading with CLOCK_REALTIME and
 * CLOCK_MONOTONIC_RAW; ours is taken between two of those.  With the counter
 * known to be the clocksource's reading plus a constant, both clocks at our
 * counter follow from the kernel's pair by its own slope, found from the two.
 */
#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "consumer.h"

/**
 * struct snapshot_result - of comparisons
 * @compared: rounds without an update in between
 * @skipped: rounds with one
 * @worst: largest difference in ns: CLOCK_REALTIME, CLOCK_MONOTONIC_RAW, and
 *	CLOCK_REALTIME of the kernel's snapshot by inversion to its counter
 * @inverted: stamps inverted
 * @failed: that could not be
 * @worst_counts: largest error of these in counts
 */
static struct snapshot_result {
	u64 compared;
	u64 skipped;
	u64 worst[3];
	u64 inverted;
	u64 failed;
	u64 worst_counts;
} result;

/* Value at @at between (c1, v1) and (c2, v2), rounded down */
static s64 between(u64 at, u64 c1, s64 v1, u64 c2, s64 v2)
{
	return v1 + div64_u64((at - c1) * (v2 - v1), c2 - c1);
}

static void worse(u64 *worst, s64 off)
{
	*worst = max_t(u64, *worst, abs(off));
}

static void compare(void)
{
	struct system_time_snapshot k1, k2;
	struct ffclock_snapshot s;
	struct ffclock_stamp stamp;
	u64 counter, constant, spacing;
	unsigned long flags;
	u32 epoch;

	memset(&k1, 0, sizeof(k1));
	memset(&k2, 0, sizeof(k2));
	local_irq_save(flags);
	ktime_get_snapshot_id(CLOCK_REALTIME, &k1);
	ffclock_snapshot(&s);
	ktime_get_snapshot_id(CLOCK_REALTIME, &k2);
	local_irq_restore(flags);
	if (k1.clock_was_set_seq != k2.clock_was_set_seq || k1.cycles == k2.cycles ||
	    k1.cs_was_changed_seq != k2.cs_was_changed_seq) {
		result.skipped++;
		return;
	}
	/* the counter's constant against the clocksource: only for the TSC */
	if (!ffclock_counter_of_tsc(k1.cycles, &counter, &epoch) || epoch != s.epoch) {
		result.skipped++;
		return;
	}
	constant = counter - k1.cycles;
	counter = s.counter - constant;
	result.compared++;
	worse(&result.worst[0], s.realtime_ns - between(counter, k1.cycles, k1.systime,
							k2.cycles, k2.systime));
	worse(&result.worst[1], s.raw_ns - between(counter, k1.cycles, k1.monoraw,
						   k2.cycles, k2.monoraw));

	/* the kernel's own stamp, inverted, is the kernel's own counter */
	stamp.realtime_ns = k1.systime;
	if (ffclock_realtime_to_counter(&stamp)) {
		result.failed++;
		return;
	}
	result.inverted++;
	spacing = abs((s64)(stamp.counter - (k1.cycles + constant)));
	result.worst_counts = max(result.worst_counts, spacing);
	worse(&result.worst[2], ffclock_diff_ns(k1.cycles + constant, stamp.counter, NULL));
}

int consumer_snapshot_run(unsigned int rounds)
{
	memset(&result, 0, sizeof(result));
	while (rounds--)
		compare();
	return 0;
}

void consumer_snapshot_show(struct seq_file *m)
{
	seq_printf(m, "compared %llu\nskipped %llu\nworst_realtime_ns %llu\nworst_raw_ns %llu\n",
		   result.compared, result.skipped, result.worst[0], result.worst[1]);
	seq_printf(m, "inverted %llu\nfailed %llu\nworst_inverse_ns %llu\nworst_inverse_counts %llu\n",
		   result.inverted, result.failed, result.worst[2], result.worst_counts);
}
