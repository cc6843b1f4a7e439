/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 6.2 made the device argument of struct class's devnode() const.  Older: call
 * the const version through the old type; the arguments are passed alike.
 */
#ifndef _FFCLOCK_COMPAT_LINUX_DEVICE_H
#define _FFCLOCK_COMPAT_LINUX_DEVICE_H

#include <linux/version.h>
#include_next <linux/device.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define ffclock_devnode(fn)	((char *(*)(struct device *, umode_t *))(void *)(fn))
#else
#define ffclock_devnode(fn)	(fn)
#endif
#endif /* _FFCLOCK_COMPAT_LINUX_DEVICE_H */
