/* SPDX-License-Identifier: GPL-2.0-only */
/* Giving up what the daemon does not need. */
#ifndef FFCLOCKD_PRIVS_H
#define FFCLOCKD_PRIVS_H

#include <stdbool.h>

/**
 * privs_drop() - keep CAP_SYS_TIME or nothing
 * @user: user to become when running as root, "" to stay
 * @set_time: the kernel's clock is to be set: keep CAP_SYS_TIME
 *
 * Also sets no_new_privs.  Without any capability to begin with, there is
 * nothing to drop and that is no error.
 *
 * Return: 0, or -1 after an error message
 */
int privs_drop(const char *user, bool set_time);

#endif /* FFCLOCKD_PRIVS_H */
