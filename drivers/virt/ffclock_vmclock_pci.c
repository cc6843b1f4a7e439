// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_vmclock: a VMClock page behind QEMU's ivshmem-plain.
 *
 * For hypervisors without the ACPI device: the shared memory's first page.  The
 * device is claimed only if a VMClock structure is there, so other uses of
 * ivshmem are left alone.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "ffclock_vmclock.h"

#define FFV_IVSHMEM_VENDOR	0x1af4
#define FFV_IVSHMEM_DEVICE	0x1110
#define FFV_IVSHMEM_BAR		2	/* QEMU docs/specs/ivshmem-spec */
#define FFV_IVSHMEM_RATING	480	/* after the device made for it */

static int ffv_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct ffv_page *p;
	int ret;

	ret = pci_enable_device(pdev);
	if (ret)
		return ret;
	p = ffv_page_add(pci_resource_start(pdev, FFV_IVSHMEM_BAR),
			 pci_resource_len(pdev, FFV_IVSHMEM_BAR), "ivshmem", FFV_IVSHMEM_RATING);
	if (IS_ERR(p)) {
		pci_disable_device(pdev);
		return PTR_ERR(p);
	}
	pci_set_drvdata(pdev, p);
	return 0;
}

static void ffv_pci_remove(struct pci_dev *pdev)
{
	ffv_page_remove(pci_get_drvdata(pdev));
	pci_disable_device(pdev);
}

static const struct pci_device_id ffv_pci_ids[] = {
	{ PCI_DEVICE(FFV_IVSHMEM_VENDOR, FFV_IVSHMEM_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, ffv_pci_ids);

static struct pci_driver ffv_pci_driver = {
	.name		= "ffclock_vmclock",
	.id_table	= ffv_pci_ids,
	.probe		= ffv_pci_probe,
	.remove		= ffv_pci_remove,
};

int ffv_pci_init(void)
{
	return pci_register_driver(&ffv_pci_driver);
}

void ffv_pci_exit(void)
{
	pci_unregister_driver(&ffv_pci_driver);
}
