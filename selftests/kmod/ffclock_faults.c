// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on purpose, one of each kind that a debug kernel is there to find: does it,
 * and does the lab notice?
 *
 *	/sys/kernel/debug/ffclock_faults/run	kasan, ubsan, lockdep, rcu, sleep, leak,
 *						race
 *
 * On a kernel without the options they do what such faults do: only for
 * selftests/debug.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "run_file.h"

/* Reads memory that was given back */
static int fault_kasan(void)
{
	u8 *p = kmalloc(64, GFP_KERNEL);
	u8 *gone = p;

	if (!p)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(gone);
	kfree(p);
	return READ_ONCE(gone[8]) & 0;
}

/* Shifts by as many bits as there are */
static int fault_ubsan(void)
{
	int bits = 32;

	OPTIMIZER_HIDE_VAR(bits);
	bits = 1 << bits;
	OPTIMIZER_HIDE_VAR(bits);
	return bits & 0;
}

static DEFINE_SPINLOCK(fault_a);
static DEFINE_SPINLOCK(fault_b);

/* Takes two locks in both orders */
static int fault_lockdep(void)
{
	spin_lock(&fault_a);
	spin_lock(&fault_b);
	spin_unlock(&fault_b);
	spin_unlock(&fault_a);

	spin_lock(&fault_b);
	spin_lock(&fault_a);
	spin_unlock(&fault_a);
	spin_unlock(&fault_b);
	return 0;
}

static int fault_target;
static int __rcu *fault_pointer;

/* Looks at what RCU protects, unprotected */
static int fault_rcu(void)
{
	int *p;

	RCU_INIT_POINTER(fault_pointer, &fault_target);
	p = rcu_dereference(fault_pointer);
	return READ_ONCE(*p) & 0;
}

/* Sleeps under a spinlock */
static int fault_sleep(void)
{
	spin_lock(&fault_a);
	msleep(20);
	spin_unlock(&fault_a);
	return 0;
}

/* Forgets memory */
static int fault_leak(void)
{
	u8 *p = kmalloc(200, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	return p ? 0 : -ENOMEM;
}

static long fault_raced;

static int fault_racer(void *unused)
{
	while (!kthread_should_stop()) {
		fault_raced++;
		cond_resched();
	}
	return 0;
}

/* Two threads count in one place, for two seconds */
static int fault_race(void)
{
	struct task_struct *racer = kthread_run(fault_racer, NULL, "ffclock_racer");
	unsigned long end = jiffies + 2 * HZ;

	if (IS_ERR(racer))
		return PTR_ERR(racer);
	while (time_before(jiffies, end)) {
		fault_raced++;
		cond_resched();
	}
	kthread_stop(racer);
	return 0;
}

static const struct {
	const char *name;
	int (*make)(void);
} faults[] = {
	{ "kasan", fault_kasan },
	{ "ubsan", fault_ubsan },
	{ "lockdep", fault_lockdep },
	{ "rcu", fault_rcu },
	{ "sleep", fault_sleep },
	{ "leak", fault_leak },
	{ "race", fault_race },
};

static int faults_command(const char *text)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(faults); i++)
		if (!strcmp(text, faults[i].name))
			return faults[i].make();
	return -EINVAL;
}

static void faults_show(struct seq_file *m)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(faults); i++)
		seq_printf(m, "%s\n", faults[i].name);
}

static struct run_file faults_run = {
	.command	= faults_command,
	.show		= faults_show,
};

static int __init faults_init(void)
{
	run_file_create(&faults_run, "ffclock_faults");
	return 0;
}

static void __exit faults_exit(void)
{
	run_file_remove(&faults_run);
}

module_init(faults_init);
module_exit(faults_exit);
MODULE_DESCRIPTION("Faults on purpose, for debug kernels to find");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
