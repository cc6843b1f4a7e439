/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared files that their owner may shorten under our feet.
 *
 * Touching a mapped page behind a file's end raises SIGBUS.  Whoever runs a QEMU
 * must not be able to end the daemon that serves all guests, so the handler puts
 * an empty page there instead and counts.
 */
#ifndef HOSTD_GUARD_H
#define HOSTD_GUARD_H

/* Install the handler.  Return: 0 or -errno */
int guard_setup(void);

/* How often it has run: when it moves, some mapping is no longer what it was */
unsigned int guard_count(void);

#endif /* HOSTD_GUARD_H */
