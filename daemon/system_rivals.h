/* SPDX-License-Identifier: GPL-2.0-only */
/* Other programs that discipline the system clock. */
#ifndef FFCLOCKD_SYSTEM_RIVALS_H
#define FFCLOCKD_SYSTEM_RIVALS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * system_rival() - does another time daemon discipline the system clock?
 * @who: receives "NAME (process PID)" if so
 * @len: its size
 *
 * Looks for processes of the known names that hold CAP_SYS_TIME; one that was told
 * to leave the clock alone (chronyd -x, phc2sys to another clock) is none.
 * Processes that /proc hides are not seen.
 *
 * Return: whether there is one
 */
bool system_rival(char *who, size_t len);

/**
 * rival_check() - the part of it that judges, for tests
 * @status: text of /proc/PID/status
 * @cmdline: of /proc/PID/cmdline: words that end with zero bytes
 * @cmdline_len: its length
 *
 * Return: the program's name if it disciplines the system clock, else NULL
 */
const char *rival_check(const char *status, const char *cmdline, size_t cmdline_len);

#endif /* FFCLOCKD_SYSTEM_RIVALS_H */
