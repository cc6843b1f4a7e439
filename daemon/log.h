/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages: to standard error, marked with their priority when that is the
 * journal, or to syslog.
 */
#ifndef FFCLOCKD_LOG_H
#define FFCLOCKD_LOG_H

#include <stdbool.h>
#include <syslog.h>

/**
 * log_setup() - where messages go and which; before that: stderr, LOG_NOTICE
 * @level: least important priority to show, LOG_ERR .. LOG_DEBUG
 * @use_syslog: syslog instead of standard error
 */
void log_setup(int level, bool use_syslog);

/* Whether a message of this priority would be shown */
bool log_wants(int priority);

/**
 * log_msg() - one line
 * @priority: LOG_ERR .. LOG_DEBUG of syslog.h
 * @fmt: without a newline
 */
void log_msg(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...)	log_msg(LOG_ERR, __VA_ARGS__)
#define log_warn(...)	log_msg(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	log_msg(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	log_msg(LOG_DEBUG, __VA_ARGS__)

#endif /* FFCLOCKD_LOG_H */
