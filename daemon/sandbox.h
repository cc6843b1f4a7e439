/* SPDX-License-Identifier: GPL-2.0-only */
/* Giving up the system calls that the daemon does not need (seccomp). */
#ifndef FFCLOCKD_SANDBOX_H
#define FFCLOCKD_SANDBOX_H

/**
 * sandbox_enter() - from now on only the system calls on the list
 *
 * All others return EPERM, in every thread.  Some are allowed in part: new threads
 * but no new processes, sockets of the families that name resolution, NTP and the
 * service manager need, ioctls of the devices that are clocks.
 *
 * Return: 0, or -errno after a warning: then nothing is given up
 */
int sandbox_enter(void);

#endif /* FFCLOCKD_SANDBOX_H */
