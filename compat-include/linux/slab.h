/* SPDX-License-Identifier: GPL-2.0-only */
/* 7.0 added kzalloc_obj() and friends: typed, GFP_KERNEL unless told otherwise. */
#ifndef _FFCLOCK_COMPAT_LINUX_SLAB_H
#define _FFCLOCK_COMPAT_LINUX_SLAB_H

#include_next <linux/slab.h>

#ifndef kzalloc_obj
#define kzalloc_obj(obj)	kzalloc(sizeof(obj), GFP_KERNEL)
#endif
#endif /* _FFCLOCK_COMPAT_LINUX_SLAB_H */
