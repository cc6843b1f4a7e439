// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_vmclock: the ACPI device VMCLOCK (Amazon's and QEMU's AMZNC10C).
 *
 * The page is mapped beside whoever has bound the device: ptp_vmclock does since
 * 6.13, and reads it too.
 */
#include <linux/acpi.h>
#include <linux/err.h>
#include <linux/ioport.h>
#include <linux/module.h>

#include "ffclock_vmclock.h"

#define FFV_ACPI_RATING		500

static const char * const ffv_acpi_ids[] = { "AMZNC10C", "VMCLOCK" };

static const struct acpi_device_id ffv_acpi_table[] = {
	{ "AMZNC10C" },
	{ "VMCLOCK" },
	{ }
};
MODULE_DEVICE_TABLE(acpi, ffv_acpi_table);

static struct acpi_device *ffv_acpi_dev;
static struct ffv_page *ffv_acpi_page;

static void ffv_acpi_notify(acpi_handle handle, u32 event, void *data)
{
	ffv_page_notified(data);
}

static int ffv_acpi_add(struct acpi_device *adev)
{
	struct resource_entry *entry;
	LIST_HEAD(resources);
	phys_addr_t start = 0;
	u64 size = 0;
	int ret;

	ret = acpi_dev_get_resources(adev, &resources, NULL, NULL);
	if (ret < 0)
		return ret;
	list_for_each_entry(entry, &resources, node) {
		if (resource_type(entry->res) == IORESOURCE_MEM) {
			start = entry->res->start;
			size = resource_size(entry->res);
			break;
		}
	}
	acpi_dev_free_resource_list(&resources);

	ffv_acpi_page = ffv_page_add(start, size, "vmclock", FFV_ACPI_RATING);
	if (IS_ERR(ffv_acpi_page)) {
		ret = PTR_ERR(ffv_acpi_page);
		ffv_acpi_page = NULL;
		return ret;
	}
	/*
	 * Not every hypervisor notifies, and another driver may have taken the
	 * notification: then the timekeeping update is what notices.
	 */
	if (ACPI_FAILURE(acpi_install_notify_handler(adev->handle, ACPI_DEVICE_NOTIFY,
						     ffv_acpi_notify, ffv_acpi_page)))
		pr_debug("ffclock_vmclock: no ACPI notification\n");
	return 0;
}

int ffv_acpi_init(void)
{
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(ffv_acpi_ids) && !ffv_acpi_dev; i++)
		ffv_acpi_dev = acpi_dev_get_first_match_dev(ffv_acpi_ids[i], NULL, -1);
	if (!ffv_acpi_dev)
		return 0;	/* there may still be a page behind ivshmem */
	ret = ffv_acpi_add(ffv_acpi_dev);
	if (ret) {
		pr_warn("ffclock_vmclock: %s has no usable page (%d)\n",
			dev_name(&ffv_acpi_dev->dev), ret);
		acpi_dev_put(ffv_acpi_dev);
		ffv_acpi_dev = NULL;
	}
	return 0;
}

void ffv_acpi_exit(void)
{
	if (!ffv_acpi_dev)
		return;
	acpi_remove_notify_handler(ffv_acpi_dev->handle, ACPI_DEVICE_NOTIFY, ffv_acpi_notify);
	ffv_page_remove(ffv_acpi_page);
	acpi_dev_put(ffv_acpi_dev);
	ffv_acpi_dev = NULL;
}
