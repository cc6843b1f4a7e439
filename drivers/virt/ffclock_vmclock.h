/* SPDX-License-Identifier: GPL-2.0-only */
/* ffclock_vmclock: VMClock pages, wherever the hypervisor put them. */
#ifndef _FFCLOCK_VMCLOCK_H
#define _FFCLOCK_VMCLOCK_H

#include <linux/irq_work.h>
#include <linux/ffclock.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>

/**
 * struct ffv_page - a VMClock page that is watched
 * @page: the page; the host writes it at any time, so nothing on it is believed
 *	before it was copied
 * @marker: detector on disruption_marker; its check() watches seq_count too
 * @generation: detector on vm_generation_counter
 * @has_generation: the page had one when it was found
 * @source: host-time source over the time fields
 * @seq: seq_count that was last taken in
 * @lock: protects @line and @line_marker; sleeps
 * @line: the host's line that was last looked at: counter_value, period, time
 * @line_marker: disruption_marker that it was under
 * @irq: from the timekeeping notifier to @work
 * @work: takes the host's parameters over
 */
struct ffv_page {
	const struct ffclock_vmclock	*page;
	struct ffclock_detector		marker;
	struct ffclock_detector		generation;
	bool				has_generation;
	struct ffclock_source		source;
	u32				seq;
	struct mutex			lock;
	u64				line[4];
	u64				line_marker;
	struct irq_work			irq;
	struct work_struct		work;
};

struct ffv_page *ffv_page_add(phys_addr_t start, resource_size_t size, const char *name,
			      int rating);
void ffv_page_remove(struct ffv_page *p);
void ffv_page_notified(struct ffv_page *p);

int ffv_acpi_init(void);
void ffv_acpi_exit(void);
int ffv_pci_init(void);
void ffv_pci_exit(void);

#endif /* _FFCLOCK_VMCLOCK_H */
