// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_wraps: does ffclock count a wrapping counter exactly?
 *
 * Compares ffclock_counter() with the 64-bit truth of ffclock_fakecs, which must
 * be the current clocksource: the truth is read before (t0) and after (t1) the
 * counter c, so t0 - c <= constant <= t1 - c.  One wrap too many or too few and
 * no constant satisfies all readings any more.
 *
 * In debugfs, /sys/kernel/debug/ffclock_wraps/run, a command is written and its
 * results are read:
 *
 *	hand WRAPS	freeze must be 1: count by hand, in random steps of up to
 *			half the mask, each accounted for by a timekeeping update,
 *			with readers on all other CPUs
 *	watch MS	readers on all CPUs for so long; the count runs by itself
 *	glitch N	N readings that come early by up to an eighth of the mask, as
 *			from a torn register: alternately our own and the core's
 *	idle MS		one reading every 100 ms for so long; CPUs sleep in between
 */
#include <linux/delay.h>
#include <linux/ffclock.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/timekeeping.h>

#include "ffclock_fakecs.h"
#include "run_file.h"

/* What is left between half the mask and the largest step by hand */
#define WRAPS_MARGIN	65536

/**
 * struct wraps_result - of the last command
 * @lo: the constant is no less than this
 * @hi: the constant is no more than this
 * @epoch: of the counter
 * @readings: compared
 * @bad: that contradicted those before
 * @epochs: that belonged to another epoch
 * @inexact: comparisons at a standstill that were not exact
 * @steps: by hand
 * @glitches: readings that came too early
 * @glitch_bad: after which the counter was off by more than such a reading
 * @wraps: of the mask
 * @standstill: most that was counted between two looks of one task, which are meant
 *	to be 100 ms apart at most
 */
struct wraps_result {
	s64	lo;
	s64	hi;
	u32	epoch;
	u64	readings;
	u64	bad;
	u64	epochs;
	u64	inexact;
	u64	steps;
	u64	glitches;
	u64	glitch_bad;
	u64	wraps;
	u64	standstill;
};

/* While nobody counts by hand: the core's latest jiffy, and the count when it was new */
static bool wraps_by_itself;
static unsigned long wraps_jiffy;
static u64 wraps_jiffy_count;

static struct wraps_result wraps_result;
static DEFINE_SPINLOCK(wraps_lock);		/* wraps_result, wraps_jiffy* */

static void wraps_compare(void)
{
	u64 t0, c, t1;
	s64 lo, hi;
	u32 epoch;

	preempt_disable();
	t0 = ffclock_fakecs_wide();
	c = ffclock_counter(&epoch);
	t1 = ffclock_fakecs_wide();
	preempt_enable();

	spin_lock(&wraps_lock);
	wraps_result.readings++;
	lo = max(wraps_result.lo, (s64)(t0 - c));
	hi = min(wraps_result.hi, (s64)(t1 - c));
	if (epoch != wraps_result.epoch) {
		wraps_result.epochs++;
	} else if (lo > hi) {
		if (!wraps_result.bad++)
			pr_info("ffclock_wraps: t0 %llu c %llu t1 %llu, %lld..%lld\n", t0, c, t1,
				wraps_result.lo, wraps_result.hi);
	} else {
		wraps_result.lo = lo;
		wraps_result.hi = hi;
	}
	spin_unlock(&wraps_lock);
}

/*
 * Compare, and see how long this task was away since @last: a host may stop a
 * virtual CPU for longer than a narrow counter takes to wrap, and then nobody counts
 * that wrap, the timekeeping core neither.
 */
static void wraps_look(u64 *last)
{
	u64 now;

	wraps_compare();
	now = ffclock_fakecs_wide();
	if (now - *last > READ_ONCE(wraps_result.standstill)) {
		spin_lock(&wraps_lock);
		wraps_result.standstill = max(wraps_result.standstill, now - *last);
		spin_unlock(&wraps_lock);
	}
	*last = now;
}

/*
 * A wrap that nobody counted leaves the core's clocks behind its own timers by just
 * that much.  It waits for so long, and then the count is back where it was and next to
 * no time has passed: for ever.  A quarter of a wrap more gets it out of step.
 */
static void wraps_nudge(void)
{
	u64 mask = ffclock_fakecs_mask();
	u64 now = ffclock_fakecs_wide();
	unsigned long jiffy = jiffies;

	spin_lock(&wraps_lock);
	if (wraps_jiffy != jiffy) {
		wraps_jiffy = jiffy;
		wraps_jiffy_count = now;
	} else if (wraps_by_itself && (s64)(now - wraps_jiffy_count) > (s64)mask) {
		wraps_result.standstill = max(wraps_result.standstill, now - wraps_jiffy_count);
		wraps_jiffy_count = now;
		ffclock_fakecs_step(mask / 4);
	}
	spin_unlock(&wraps_lock);
}

static int wraps_reader(void *cpu)
{
	u64 last = ffclock_fakecs_wide();

	/*
	 * Not by kthread_bind(), which may sleep for a tick until the new thread sleeps:
	 * for ever, where time stands still.
	 */
	WARN_ON_ONCE(set_cpus_allowed_ptr(current, cpumask_of((unsigned long)cpu)));
	while (!kthread_should_stop()) {
		wraps_look(&last);
		wraps_nudge();
		cond_resched();
	}
	return 0;
}

static DEFINE_PER_CPU(struct task_struct *, wraps_readers);

static void wraps_readers_stop(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		if (per_cpu(wraps_readers, cpu))
			kthread_stop(per_cpu(wraps_readers, cpu));
		per_cpu(wraps_readers, cpu) = NULL;
	}
}

static int wraps_readers_start(int except)
{
	struct task_struct *task;
	int cpu;

	for_each_online_cpu(cpu) {
		if (cpu == except)
			continue;
		task = kthread_run(wraps_reader, (void *)(unsigned long)cpu, "ffclock_wraps/%d",
				   cpu);
		if (IS_ERR(task)) {
			wraps_readers_stop();
			return PTR_ERR(task);
		}
		per_cpu(wraps_readers, cpu) = task;
	}
	return 0;
}

/* Count by hand; the core learns of each step by the clock being set */
static void wraps_hand(u64 wraps)
{
	u64 mask = ffclock_fakecs_mask();
	u64 begin = ffclock_fakecs_wide();
	u32 limit = (mask >> 1) - WRAPS_MARGIN;
	struct timespec64 ts;
	u64 k, truth;

	k = begin - ffclock_counter(NULL);
	while (((ffclock_fakecs_wide() & ~mask) - (begin & ~mask)) / (mask + 1) < wraps) {
		ffclock_fakecs_step(1 + get_random_u32() % limit);
		ktime_get_real_ts64(&ts);
		do_settimeofday64(&ts);
		truth = ffclock_fakecs_wide();
		wraps_result.inexact += ffclock_counter(NULL) + k != truth;
		wraps_result.steps++;
		cond_resched();
	}
}

/*
 * An early reading of our own: the counter may be that much too early, but it is
 * not a wrap too late, and the next reading is as if nothing had been.
 */
static bool wraps_glitch_reader(u64 early)
{
	u64 before, torn, after;

	preempt_disable();
	before = ffclock_counter(NULL);
	ffclock_fakecs_glitch(early);
	torn = ffclock_counter(NULL);
	after = ffclock_counter(NULL);
	ffclock_fakecs_glitch(0);
	preempt_enable();
	return before <= after && torn <= after && after - torn <= after - before + early;
}

/* The core's: its base goes back; when it counts on from there, nothing is off */
static bool wraps_glitch_core(u64 early)
{
	u64 before = ffclock_counter(NULL), after;
	struct timespec64 ts;

	ktime_get_real_ts64(&ts);
	ffclock_fakecs_glitch(early);
	do_settimeofday64(&ts);
	ffclock_fakecs_glitch(0);
	after = ffclock_counter(NULL);
	return before <= after;
}

static void wraps_glitch(u64 n)
{
	u32 limit = (ffclock_fakecs_mask() >> 3) - WRAPS_MARGIN;

	for (; n; n--) {
		u64 early = 1 + get_random_u32() % limit;
		bool good = n & 1 ? wraps_glitch_core(early) : wraps_glitch_reader(early);

		wraps_result.glitches++;
		wraps_result.glitch_bad += !good;
		wraps_compare();
		cond_resched();
	}
}

static int wraps_command(const char *text)
{
	struct wraps_result *r = &wraps_result;
	unsigned long long n;
	u64 begin, mask;
	int ret = 0;

	memset(r, 0, sizeof(*r));
	r->lo = S64_MIN;
	r->hi = S64_MAX;
	ffclock_counter(&r->epoch);
	mask = ffclock_fakecs_mask();
	begin = ffclock_fakecs_wide();

	if (sscanf(text, "hand %llu", &n) == 1) {
		if (mask > U32_MAX || mask >> 1 <= WRAPS_MARGIN)
			return -EINVAL;
		/*
		 * Time stands still while we do not run, and so does the tick: on
		 * a reader's CPU we would never get our turn again.
		 */
		migrate_disable();
		ret = wraps_readers_start(smp_processor_id());
		if (!ret)
			wraps_hand(n);
		wraps_readers_stop();
		migrate_enable();
	} else if (sscanf(text, "glitch %llu", &n) == 1) {
		if (mask > U32_MAX || mask >> 3 <= WRAPS_MARGIN)
			return -EINVAL;
		wraps_glitch(n);
	} else if (sscanf(text, "watch %llu", &n) == 1) {
		if (mask > U32_MAX)
			return -EINVAL;
		wraps_by_itself = true;
		ret = wraps_readers_start(-1);
		if (!ret)
			msleep_interruptible(n);
		wraps_readers_stop();
		wraps_by_itself = false;
	} else if (sscanf(text, "idle %llu", &n) == 1) {
		u64 last = begin;

		for (; n >= 100; n -= 100) {
			wraps_look(&last);
			msleep_interruptible(100);
		}
	} else {
		ret = -EINVAL;
	}
	if (mask != U64_MAX)
		r->wraps = div64_u64((ffclock_fakecs_wide() & ~mask) - (begin & ~mask), mask + 1);
	return ret;
}

static void wraps_show(struct seq_file *m)
{
	const struct wraps_result *r = &wraps_result;

	seq_printf(m, "readings %llu\nbad %llu\nepochs %llu\ninexact %llu\nsteps %llu\nwraps %llu\n",
		   r->readings, r->bad, r->epochs, r->inexact, r->steps, r->wraps);
	seq_printf(m, "glitches %llu\nglitch_bad %llu\nstandstill %llu\n", r->glitches,
		   r->glitch_bad, r->standstill);
	seq_printf(m, "interval %lld\nlo %lld\nhi %lld\n", r->readings ? r->hi - r->lo : -1,
		   r->lo, r->hi);
}

static struct run_file wraps_run = {
	.command	= wraps_command,
	.show		= wraps_show,
};

static int __init wraps_init(void)
{
	run_file_create(&wraps_run, "ffclock_wraps");
	return 0;
}

static void __exit wraps_exit(void)
{
	run_file_remove(&wraps_run);
}

module_init(wraps_init);
module_exit(wraps_exit);
MODULE_DESCRIPTION("Compares ffclock with a counter that wraps");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
