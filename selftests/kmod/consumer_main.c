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
 *	source N	a disruption, and a source that refuses N times first
 *	stress start	readers on every CPU, until
 *	stress stop
 *	unstable	have the kernel mark the TSC as unstable, for good
 */
#include <linux/module.h>
#include <linux/string.h>

#include <asm/tsc.h>

#include "consumer.h"
#include "run_file.h"

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
	{ "source",	consumer_source_run,	consumer_source_show },
};

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

static void consumer_show(struct seq_file *m)
{
	if (consumer_last)
		consumer_last(m);
}

static struct run_file consumer_run = {
	.command	= consumer_command,
	.show		= consumer_show,
};

static int __init consumer_init(void)
{
	run_file_create(&consumer_run, "ffclock_consumer");
	return 0;
}

static void __exit consumer_exit(void)
{
	run_file_remove(&consumer_run);
	consumer_stress_stop();
}

module_init(consumer_init);
module_exit(consumer_exit);
MODULE_DESCRIPTION("Uses ffclock's in-kernel interface, for tests");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
