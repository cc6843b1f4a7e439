/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel tells of disruptions, as one event of the loop. */
#ifndef FFCLOCKD_DISRUPTION_H
#define FFCLOCKD_DISRUPTION_H

#include "loop.h"

struct disruption;

/**
 * disruption_watch() - watch for changes that may have broken the counter
 * @loop: loop
 * @device_fd: of /dev/ffclock, remains the caller's; -1: none
 * @cb: called after any of them; it has to look what happened and, for the
 *	device, to read its page
 * @arg: for @cb
 *
 * Watches /dev/ffclock (epoch, migration) and CLOCK_REALTIME being set, which
 * also happens after a suspend and where a migration is compensated.
 *
 * Return: handle, or NULL with errno
 */
struct disruption *disruption_watch(struct loop *loop, int device_fd, void (*cb)(void *arg),
				    void *arg);
void disruption_free(struct disruption *d);

#endif /* FFCLOCKD_DISRUPTION_H */
