/* SPDX-License-Identifier: GPL-2.0-only */
/* What a service manager wants to hear (sd_notify(3)); silent without one. */
#ifndef FFCLOCKD_NOTIFY_H
#define FFCLOCKD_NOTIFY_H

#include <stdint.h>

/**
 * notify_send() - tell the service manager
 * @state: newline-separated assignments: "READY=1", "STATUS=...", "WATCHDOG=1"
 */
void notify_send(const char *state);

/**
 * notify_watchdog_ns() - how often it wants to hear WATCHDOG=1
 *
 * Return: half the time after which it would act [ns]; 0: not at all
 */
int64_t notify_watchdog_ns(void);

#endif /* FFCLOCKD_NOTIFY_H */
