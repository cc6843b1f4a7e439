// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: feed-forward clocks on a raw counter.  Loading and unloading.
 */
#include <linux/module.h>

#include "ffclock_internal.h"

/* In this order; undone in reverse.  Nothing is visible before it all works. */
static const struct {
	const char *what;
	int (*init)(void);
	void (*exit)(void);
} ffc_parts[] = {
	{ "hardware counters",	ffc_hw_init,		ffc_hw_exit },
	{ "user page",		ffc_page_init,		ffc_page_exit },
	{ "events",		NULL,			ffc_event_exit },
	{ "migration",		NULL,			ffc_migration_exit },
	{ "realtime ring",	ffc_ring_init,		ffc_ring_exit },
	{ "counter",		ffc_counter_init,	ffc_counter_exit },
	{ "sysfs",		ffc_sysfs_init,		ffc_sysfs_exit },
	{ "clock ids",		ffc_posix_init,		ffc_posix_exit },
	{ "device",		ffc_dev_init,		ffc_dev_exit },
	{ "vm generation",	ffc_vmfork_init,	ffc_vmfork_exit },
};

static int __init ffclock_init(void)
{
	char name[32];
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(ffc_parts); i++) {
		ret = ffc_parts[i].init ? ffc_parts[i].init() : 0;
		if (ret) {
			pr_err("ffclock: %s: error %d\n", ffc_parts[i].what, ret);
			goto undo;
		}
	}
	ffc_counter_name(name, sizeof(name));
	pr_info("ffclock: version %s, counter %s\n", THIS_MODULE->version, name);
	return 0;
undo:
	while (i--)
		ffc_parts[i].exit();
	return ret;
}

static void __exit ffclock_exit(void)
{
	int i = ARRAY_SIZE(ffc_parts);

	while (i--)
		ffc_parts[i].exit();
}

module_init(ffclock_init);
module_exit(ffclock_exit);
MODULE_DESCRIPTION("Feed-forward clocks on a raw counter");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
