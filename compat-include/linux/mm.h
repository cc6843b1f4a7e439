/* SPDX-License-Identifier: GPL-2.0-only */
/* vm_flags became private in 6.3, with accessors. */
#ifndef _FFCLOCK_COMPAT_LINUX_MM_H
#define _FFCLOCK_COMPAT_LINUX_MM_H

#include <linux/version.h>
#include_next <linux/mm.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_clear(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags &= ~flags;
}
#endif
#endif /* _FFCLOCK_COMPAT_LINUX_MM_H */
