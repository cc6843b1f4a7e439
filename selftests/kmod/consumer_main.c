// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_consumer: a module that uses ffclock's in-kernel interface.
 *
 * In debugfs, /sys/kernel/debug/ffclock_consumer/run: a command is written, which
 * returns when it is done, and its results are read as "key value" lines.
 *
 *	contexts N	N rounds of reading in every kind of context
 *	snapshot N	N snapshots compared with the kernel's own
 *	cost N		cycles per call, N batches
 *	tick N		cycles of the timekeeping notifier, N updates
 *	stress start	readers on every CPU, until
 *	stress stop
 *	unstable	have the kernel mark the TSC as unstable, for good
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <asm/tsc.h>

#include "consumer.h"

/* Most rounds of anything: bounds the time of one write() */
#define CONSUMER_MAX	10000000

static const struct consumer_command {
	const char *name;
	int (*run)(unsigned int n);
	void (*show)(struct seq_file *m);
} consumer_commands[] = {
	{ "contexts",	consumer_contexts_run,	consumer_contexts_show },
	{ "snapshot",	consumer_snapshot_run,	consumer_snapshot_show },
	{ "cost",	consumer_cost_run,	consumer_cost_show },
	{ "tick",	consumer_tick_run,	consumer_tick_show },
};

static DEFINE_MUTEX(consumer_mutex);
static void (*consumer_last)(struct seq_file *m);

static int consumer_command(const char *text)
{
	char name[16];
	unsigned int n;
	int i;

	if (!strcmp(text, "stress start"))
		return consumer_stress_start();
	if (!strcmp(text, "stress stop")) {
		consumer_stress_stop();
		consumer_last = consumer_stress_show;
		return 0;
	}
	if (!strcmp(text, "unstable")) {
		mark_tsc_unstable("test of ffclock");
		return 0;
	}
	if (sscanf(text, "%15s %u", name, &n) != 2 || !n || n > CONSUMER_MAX)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(consumer_commands); i++) {
		if (strcmp(name, consumer_commands[i].name))
			continue;
		consumer_last = consumer_commands[i].show;
		return consumer_commands[i].run(n);
	}
	return -EINVAL;
}

static ssize_t run_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	char text[64];
	int ret;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	text[count] = '\0';
	mutex_lock(&consumer_mutex);
	ret = consumer_command(strim(text));
	mutex_unlock(&consumer_mutex);
	return ret ?: count;
}

static int run_show(struct seq_file *m, void *unused)
{
	mutex_lock(&consumer_mutex);
	if (consumer_last)
		consumer_last(m);
	mutex_unlock(&consumer_mutex);
	return 0;
}

static int run_open(struct inode *inode, struct file *file)
{
	return single_open(file, run_show, NULL);
}

static const struct file_operations run_fops = {
	.owner		= THIS_MODULE,
	.open		= run_open,
	.read		= seq_read,
	.write		= run_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static struct dentry *consumer_dir;

static int __init consumer_init(void)
{
	consumer_dir = debugfs_create_dir("ffclock_consumer", NULL);
	debugfs_create_file("run", 0600, consumer_dir, NULL, &run_fops);
	return 0;
}

static void __exit consumer_exit(void)
{
	debugfs_remove(consumer_dir);
	consumer_stress_stop();
}

module_init(consumer_init);
module_exit(consumer_exit);
MODULE_DESCRIPTION("Uses ffclock's in-kernel interface, for tests");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
