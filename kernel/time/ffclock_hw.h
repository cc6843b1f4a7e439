/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ffclock: hardware counters that can be read directly.
 *
 * The architecture's list; see arch/x86/kernel/ffclock_hw.c.
 */
#ifndef _FFCLOCK_HW_H
#define _FFCLOCK_HW_H

#include <linux/types.h>

/**
 * struct ffc_hw - a hardware counter
 * @name: as the clocksource of this counter is called
 * @id: VMClock's counter_id: what user space reads it with, or
 *	FFCLOCK_COUNTER_INVALID
 * @mask: the bits a reading has; constant once ffc_hw_init() has run
 * @read: the reading.  Any context, NMI included; no locks
 * @usable: whether the counter is there and steady at this moment.  Any context
 * @hz: nominal frequency in Hz; process context
 */
struct ffc_hw {
	const char	*name;
	u8		id;
	u64		mask;
	u64		(*read)(void);
	bool		(*usable)(void);
	u64		(*hz)(void);
};

int ffc_hw_init(void);
void ffc_hw_exit(void);

/* the list, ended by NULL, best first */
const struct ffc_hw *const *ffc_hw_list(void);

/* by name; NULL if there is no such counter on this machine */
const struct ffc_hw *ffc_hw_find(const char *name);

/*
 * The counter below a clocksource, if read() here is a reading of the very same
 * counter and never behind one that the clocksource's read() gave before; else
 * NULL.
 */
struct clocksource;
const struct ffc_hw *ffc_hw_of_clocksource(struct clocksource *cs);

#endif /* _FFCLOCK_HW_H */
