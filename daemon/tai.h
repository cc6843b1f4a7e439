/* SPDX-License-Identifier: GPL-2.0-only */
/* TAI - UTC, from what this host knows. */
#ifndef FFCLOCKD_TAI_H
#define FFCLOCKD_TAI_H

#include <stddef.h>
#include <stdint.h>

/**
 * tai_parse() - look a date up in a leap-seconds.list
 * @text: content of the file (IERS or NIST format); any bytes
 * @len: its length
 * @utc_sec: date [s since the Unix epoch]
 *
 * Return: TAI - UTC in s at that date; 0 if the list has expired by then, does
 * not reach back so far, or is not such a list
 */
int tai_parse(const char *text, size_t len, int64_t utc_sec);

/**
 * tai_offset() - TAI - UTC now
 * @utc_sec: the date [s since the Unix epoch]
 *
 * From the kernel (adjtimex) if somebody has set it there, else from the time
 * zone package's leap-seconds.list.
 *
 * Return: s, or 0 while unknown
 */
int tai_offset(int64_t utc_sec);

#endif /* FFCLOCKD_TAI_H */
