/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 6.19 split struct syscore_ops into constant operations with a data argument
 * and struct syscore, and renamed the registration.  Stable releases took that
 * over (6.12.117 has it, 6.12.95 had not), so Kbuild looks into the header and
 * tells.  Older: wrap them.
 */
#ifndef _FFCLOCK_COMPAT_LINUX_SYSCORE_OPS_H
#define _FFCLOCK_COMPAT_LINUX_SYSCORE_OPS_H

#include_next <linux/syscore_ops.h>

#ifndef FFCLOCK_HAVE_SYSCORE

struct ffclock_compat_syscore_ops {
	int (*suspend)(void *data);
	void (*resume)(void *data);
};

/* one user a module: the old callbacks have no argument to tell more apart */
struct syscore {
	const struct ffclock_compat_syscore_ops *ops;
	void *data;
};

static struct syscore *ffclock_compat_syscore;

static inline int ffclock_compat_suspend(void)
{
	return ffclock_compat_syscore->ops->suspend(ffclock_compat_syscore->data);
}

static inline void ffclock_compat_resume(void)
{
	ffclock_compat_syscore->ops->resume(ffclock_compat_syscore->data);
}

static struct syscore_ops ffclock_compat_registered = {
	.suspend	= ffclock_compat_suspend,
	.resume		= ffclock_compat_resume,
};

static inline void register_syscore(struct syscore *syscore)
{
	ffclock_compat_syscore = syscore;
	register_syscore_ops(&ffclock_compat_registered);
}

static inline void unregister_syscore(struct syscore *syscore)
{
	unregister_syscore_ops(&ffclock_compat_registered);
}

/* from here on the old name means the new structure */
#define syscore_ops ffclock_compat_syscore_ops

#endif
#endif /* _FFCLOCK_COMPAT_LINUX_SYSCORE_OPS_H */
