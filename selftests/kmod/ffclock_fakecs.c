// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_fakecs: a clocksource that does what a script says.
 *
 * A narrow counter made of the TSC, whose true 64-bit value stays known.  In
 * debugfs, /sys/kernel/debug/ffclock_fakecs/:
 *
 *	truth		the 64-bit count
 *	rate_ppm	run this much faster or slower from now on
 *	freeze		1: stand still; 0: go on from there
 *	step		count this many at once, backwards if negative
 *	delay_ns	spin so long in each reading after the count was taken
 *	stop_ns		the same, once, in the next reading with the machine stopped
 *	stop_pass	readings with the machine stopped to let pass before
 *
 * Its rating of 50 keeps the kernel from choosing it by itself.
 */
#include <linux/atomic.h>
#include <linux/clocksource.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/stop_machine.h>

#include <asm/msr.h>
#include <asm/tsc.h>

#include <linux/ffclock_math.h>

#include "ffclock_fakecs.h"

static unsigned int bits = 24;
module_param(bits, uint, 0444);
MODULE_PARM_DESC(bits, "width of the counter, 8 to 64 (default 24)");

static unsigned int hz = 16000000;
module_param(hz, uint, 0444);
MODULE_PARM_DESC(hz, "its frequency, less than the TSC's (default 16000000)");

static bool verify;
module_param(verify, bool, 0444);
MODULE_PARM_DESC(verify, "have the clocksource watchdog look at it");

/**
 * struct fakecs_line - how the count follows from the TSC
 * @tsc: TSC at which the count was @count
 * @count: see there
 * @rate: counts per TSC count, 2^-64
 *
 * Replaced with all CPUs stopped; nobody reads it meanwhile but NMIs, for which
 * the old one stays whole.
 */
struct fakecs_line {
	u64 tsc;
	u64 count;
	u64 rate;
};

static struct fakecs_line fakecs_lines[2];
static unsigned int fakecs_current;
static u64 fakecs_rate;			/* of @hz */
static s64 fakecs_ppm;
static bool fakecs_frozen;
static atomic64_t fakecs_stepped;
static DEFINE_MUTEX(fakecs_mutex);	/* changes of the line */

static u64 fakecs_delay_ns;
static u64 fakecs_stop_ns;
static u64 fakecs_stop_pass;
static u64 fakecs_glitch_counts;
static struct task_struct *fakecs_glitch_task;	/* only compared */

static u64 fakecs_line_at(const struct fakecs_line *line, u64 tsc)
{
	/* an NMI may have read the TSC just before the line was changed */
	u64 since = (s64)(tsc - line->tsc) > 0 ? tsc - line->tsc : 0;

	return line->count + ffclock_mulhi(since, line->rate);
}

u64 ffclock_fakecs_wide(void)
{
	const struct fakecs_line *line = &fakecs_lines[READ_ONCE(fakecs_current)];

	return fakecs_line_at(line, rdtsc_ordered()) + atomic64_read(&fakecs_stepped);
}
EXPORT_SYMBOL_GPL(ffclock_fakecs_wide);

void ffclock_fakecs_step(u64 counts)
{
	atomic64_add(counts, &fakecs_stepped);
}
EXPORT_SYMBOL_GPL(ffclock_fakecs_step);

static u64 fakecs_read(struct clocksource *cs)
{
	u64 count = ffclock_fakecs_wide();
	u64 delay = READ_ONCE(fakecs_delay_ns);

	/* clocksources are switched by the threads that stop the machine */
	if (unlikely(READ_ONCE(fakecs_stop_ns)) && strstarts(current->comm, "migration/") &&
	    !fakecs_stop_pass--) {
		delay += fakecs_stop_ns;
		fakecs_stop_pass = 0;
		WRITE_ONCE(fakecs_stop_ns, 0);
	}
	if (unlikely(delay)) {
		u64 end = rdtsc_ordered() + div_u64(delay * (tsc_khz / 1000), 1000);

		while ((s64)(rdtsc_ordered() - end) < 0)
			cpu_relax();
	}
	if (unlikely(READ_ONCE(fakecs_glitch_task)) && in_task() &&
	    READ_ONCE(fakecs_glitch_task) == current) {
		WRITE_ONCE(fakecs_glitch_task, NULL);
		count -= fakecs_glitch_counts;
	}
	return count & cs->mask;
}

static struct clocksource fakecs = {
	.name	= "ffclock-fake",
	.rating	= 50,
	.read	= fakecs_read,
	.flags	= CLOCK_SOURCE_IS_CONTINUOUS | CLOCK_SOURCE_VALID_FOR_HRES,
	.owner	= THIS_MODULE,
};

u64 ffclock_fakecs_mask(void)
{
	return fakecs.mask;
}
EXPORT_SYMBOL_GPL(ffclock_fakecs_mask);

void ffclock_fakecs_glitch(u64 counts)
{
	fakecs_glitch_counts = counts;
	WRITE_ONCE(fakecs_glitch_task, counts ? current : NULL);
}
EXPORT_SYMBOL_GPL(ffclock_fakecs_glitch);

/* Go on from the present count with the rate as configured */
static int fakecs_change(void *unused)
{
	unsigned int next = !fakecs_current;
	struct fakecs_line *line = &fakecs_lines[next];
	u64 rate = fakecs_frozen ? 0 : fakecs_rate;

	line->tsc = rdtsc_ordered();
	line->count = fakecs_line_at(&fakecs_lines[fakecs_current], line->tsc);
	if (fakecs_ppm >= 0)
		rate += div_u64(rate, 1000000) * fakecs_ppm;
	else
		rate -= div_u64(rate, 1000000) * -fakecs_ppm;
	line->rate = rate;
	WRITE_ONCE(fakecs_current, next);
	return 0;
}

/* debugfs ------------------------------------------------------------------- */

static int truth_get(void *data, u64 *val)
{
	*val = ffclock_fakecs_wide();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(truth_fops, truth_get, NULL, "%llu\n");

static int rate_ppm_get(void *data, u64 *val)
{
	*val = fakecs_ppm;
	return 0;
}

static int rate_ppm_set(void *data, u64 val)
{
	s64 ppm = val;

	if (ppm < -900000 || ppm > 900000)
		return -EINVAL;
	mutex_lock(&fakecs_mutex);
	fakecs_ppm = ppm;
	stop_machine(fakecs_change, NULL, NULL);
	mutex_unlock(&fakecs_mutex);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(rate_ppm_fops, rate_ppm_get, rate_ppm_set, "%lld\n");

static int freeze_get(void *data, u64 *val)
{
	*val = fakecs_frozen;
	return 0;
}

static int freeze_set(void *data, u64 val)
{
	mutex_lock(&fakecs_mutex);
	fakecs_frozen = val;
	stop_machine(fakecs_change, NULL, NULL);
	mutex_unlock(&fakecs_mutex);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(freeze_fops, freeze_get, freeze_set, "%llu\n");

static int step_set(void *data, u64 val)
{
	ffclock_fakecs_step(val);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(step_fops, NULL, step_set, "%lld\n");

static struct dentry *fakecs_dir;

static int __init fakecs_init(void)
{
	u64 tsc_hz = (u64)tsc_khz * 1000;
	int ret;

	if (!tsc_khz || bits < 8 || bits > 64 || !hz || hz >= tsc_hz / 2)
		return -EINVAL;
	/* hz / tsc_hz < 1/2: room for +900000 ppm */
	fakecs_rate = ffclock_udiv128(hz, 0, tsc_hz, NULL);
	fakecs_lines[0].tsc = rdtsc_ordered();
	fakecs_lines[0].rate = fakecs_rate;
	fakecs.mask = CLOCKSOURCE_MASK(bits);
	if (verify)
		fakecs.flags |= CLOCK_SOURCE_MUST_VERIFY;
	ret = clocksource_register_hz(&fakecs, hz);
	if (ret)
		return ret;

	fakecs_dir = debugfs_create_dir("ffclock_fakecs", NULL);
	debugfs_create_file_unsafe("truth", 0444, fakecs_dir, NULL, &truth_fops);
	debugfs_create_file_unsafe("rate_ppm", 0644, fakecs_dir, NULL, &rate_ppm_fops);
	debugfs_create_file_unsafe("freeze", 0644, fakecs_dir, NULL, &freeze_fops);
	debugfs_create_file_unsafe("step", 0200, fakecs_dir, NULL, &step_fops);
	debugfs_create_u64("delay_ns", 0644, fakecs_dir, &fakecs_delay_ns);
	debugfs_create_u64("stop_ns", 0644, fakecs_dir, &fakecs_stop_ns);
	debugfs_create_u64("stop_pass", 0644, fakecs_dir, &fakecs_stop_pass);
	return 0;
}

/* While it is the current clocksource, that holds a reference to the module */
static void __exit fakecs_exit(void)
{
	debugfs_remove(fakecs_dir);
	clocksource_unregister(&fakecs);
}

module_init(fakecs_init);
module_exit(fakecs_exit);
MODULE_DESCRIPTION("Scriptable clocksource for tests of ffclock");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
