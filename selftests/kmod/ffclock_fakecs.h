/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ffclock_fakecs: a clocksource that does what a script says.
 */
#ifndef _FFCLOCK_FAKECS_H
#define _FFCLOCK_FAKECS_H

#include <linux/types.h>

/* The count in 64 bits, of which the clocksource shows the low ones.  Any context */
u64 ffclock_fakecs_wide(void);

/* Count @counts more at once.  Any context; nobody sees it go back */
void ffclock_fakecs_step(u64 counts);

/*
 * Give the calling task's next reading, be it for itself or for the timekeeping
 * core on its behalf, so many counts too early; 0: no more.  Only one task at a
 * time, and only readings in process context: a clocksource that is early at
 * random, without a full mask, makes the core's own readers see a whole wrap.
 */
void ffclock_fakecs_glitch(u64 counts);

/* The clocksource's mask */
u64 ffclock_fakecs_mask(void);

#endif /* _FFCLOCK_FAKECS_H */
