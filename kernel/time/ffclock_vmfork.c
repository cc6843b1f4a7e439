// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: the VM generation id as a detector.
 *
 * The kernel's vmgenid driver binds the device and reseeds the random number
 * generator when the hypervisor changes the id: the machine was restored from a
 * snapshot, or cloned.  Modules may listen to that; the id itself they do not
 * see.  It comes by an ACPI notification, so some milliseconds after VMClock's
 * marker if there is one, and joins its event.
 */
#include <linux/notifier.h>
#include <linux/random.h>

#include "ffclock_internal.h"

static struct ffclock_detector ffc_vmfork = {
	.name	= "vmgenid",
};

static int ffc_vmfork_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	ffclock_disrupt(&ffc_vmfork);
	return NOTIFY_OK;
}

static struct notifier_block ffc_vmfork_nb = {
	.notifier_call = ffc_vmfork_notify,
};

int ffc_vmfork_init(void)
{
	int ret = ffclock_register_detector(&ffc_vmfork);

	if (ret)
		return ret;
	ret = register_random_vmfork_notifier(&ffc_vmfork_nb);
	if (ret)
		ffclock_unregister_detector(&ffc_vmfork);
	return ret;
}

void ffc_vmfork_exit(void)
{
	unregister_random_vmfork_notifier(&ffc_vmfork_nb);
	ffclock_unregister_detector(&ffc_vmfork);
}
