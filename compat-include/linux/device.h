/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 6.2 made the device argument of struct class's devnode() const.  Older: call
 * the const version through the old type; the arguments are passed alike.
 *
 * 6.4 took the owner away from class_create().
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

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#undef class_create
#define class_create(name)					\
({								\
	static struct lock_class_key __class_key;		\
								\
	__class_create(THIS_MODULE, name, &__class_key);	\
})
#endif
#endif /* _FFCLOCK_COMPAT_LINUX_DEVICE_H */
