// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_xen: the dependent clock on Xen.
 *
 * Dom0 runs the one clock that is synchronised; every other domain reads the same
 * counter and takes the parameters from Xenstore.  Nothing of the clock migrates
 * with a domain but the function.
 *
 * In sysfs, /sys/devices/platform/ffclock_xen/:
 *	record	the latest record: Dom0's own, or as read from Xenstore; poll()
 *		tells when it changes
 *	status	what becomes of it, one "name: value" a line
 */
#include <linux/device.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#include <xen/xen.h>
#include <xen/xenbus.h>

#include "ffclock_xen.h"

static struct platform_device *ffx_device;
static bool ffx_ready;

static ssize_t record_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return xen_initial_domain() ? ffx_dom0_record(buf) : ffx_guest_record(buf);
}

static ssize_t status_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return xen_initial_domain() ? ffx_dom0_status(buf) : ffx_guest_status(buf);
}

static DEVICE_ATTR_RO(record);
static DEVICE_ATTR_RO(status);

static struct attribute *ffx_attrs[] = {
	&dev_attr_record.attr,
	&dev_attr_status.attr,
	NULL
};

static const struct attribute_group ffx_group = {
	.attrs = ffx_attrs,
};

/**
 * ffx_record_changed() - wake who polls the record
 *
 * Context: process, sleeps.
 */
void ffx_record_changed(void)
{
	sysfs_notify(&ffx_device->dev.kobj, NULL, "record");
}

/* Xenstore answers: at once in a domain, in Dom0 when its daemon runs */
static int ffx_xenstore(struct notifier_block *nb, unsigned long action, void *data)
{
	if (ffx_ready)
		return NOTIFY_DONE;
	ffx_ready = true;
	if (xen_initial_domain())
		ffx_dom0_ready();
	else
		ffx_guest_ready();
	return NOTIFY_DONE;
}

static struct notifier_block ffx_xenstore_nb = {
	.notifier_call = ffx_xenstore,
};

static int __init ffx_init(void)
{
	int ret;

	if (!xen_domain())
		return -ENODEV;

	ffx_device = platform_device_register_simple("ffclock_xen", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(ffx_device))
		return PTR_ERR(ffx_device);
	ret = sysfs_create_group(&ffx_device->dev.kobj, &ffx_group);
	if (ret)
		goto device;
	if (xen_initial_domain()) {
		ret = ffx_dom0_init();
		if (ret)
			goto group;
	} else {
		ret = ffx_wallclock_init();
		if (ret)
			goto group;
		ret = ffx_guest_init();
		if (ret)
			goto wallclock;
	}
	ret = register_xenstore_notifier(&ffx_xenstore_nb);
	if (ret)
		goto role;
	pr_info("ffclock_xen: %s\n", xen_initial_domain() ? "Dom0" :
		xen_pv_domain() ? "PV domain" : xen_pvh_domain() ? "PVH domain" : "HVM domain");
	return 0;
role:
	if (xen_initial_domain())
		goto group;
	ffx_guest_exit();
wallclock:
	ffx_wallclock_exit();
group:
	sysfs_remove_group(&ffx_device->dev.kobj, &ffx_group);
device:
	platform_device_unregister(ffx_device);
	return ret;
}

static void __exit ffx_exit(void)
{
	unregister_xenstore_notifier(&ffx_xenstore_nb);
	if (xen_initial_domain()) {
		ffx_dom0_exit();
	} else {
		ffx_guest_exit();
		ffx_wallclock_exit();
	}
	sysfs_remove_group(&ffx_device->dev.kobj, &ffx_group);
	platform_device_unregister(ffx_device);
}

module_init(ffx_init);
module_exit(ffx_exit);
MODULE_DESCRIPTION("Dependent clock on Xen for ffclock");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
