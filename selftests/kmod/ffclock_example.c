// SPDX-License-Identifier: GPL-2.0-only
/* The in-kernel interface in one small module: Documentation/programming.rst. */
#include <linux/ffclock.h>
#include <linux/ffclock_math.h>
#include <linux/module.h>

/* from any context, an interrupt handler or NMI too */
static void stamp_event(void)
{
	struct ffclock_reading r;

	if (!ffclock_read(FFCLOCK_UTC, &r) && r.status == FFCLOCK_STATUS_SYNCHRONIZED)
		pr_info("event at %lld.%09u, +-%llu ns, counter %llu\n", r.time.sec,
			ffclock_frac_to_ns(r.time.frac), r.bound_ns, r.counter);
}

static int clock_event(struct notifier_block *nb, unsigned long events, void *data)
{
	if (events & FFCLOCK_EVENT_DISRUPTION)
		pr_info("disruption %llu: times from before do not compare\n",
			ffclock_migration_sequence());
	return NOTIFY_OK;
}

static struct notifier_block clock_nb = { .notifier_call = clock_event };

static int __init example_init(void)
{
	stamp_event();
	return ffclock_register_notifier(&clock_nb);
}
module_init(example_init);

static void __exit example_exit(void)
{
	ffclock_unregister_notifier(&clock_nb);
}
module_exit(example_exit);

MODULE_DESCRIPTION("Example of the in-kernel interface of ffclock");
MODULE_LICENSE("GPL");
