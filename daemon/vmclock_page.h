/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VMClock page (uapi-group VMClock specification 1.1), as a copy: what it says, and
 * whether to believe it.
 *
 * Pure.  Whatever is on the page was written by somebody else: all of it may be
 * anything.
 */
#ifndef FFCLOCKD_VMCLOCK_PAGE_H
#define FFCLOCKD_VMCLOCK_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/ffclock.h>

/**
 * struct vmclock_time - the host's time at a reading of the TSC
 * @utc_ns: UTC [ns]; a leap second that the page announces is applied
 * @bound_ns: largest error [ns], as the page tells it or as the caller assumes
 * @noise_ns: error to expect of one reading, 1 sigma [ns]
 * @leap: NTP leap indicator
 */
struct vmclock_time {
	int64_t		utc_ns;
	uint32_t	bound_ns;
	uint32_t	noise_ns;
	uint8_t		leap;
};

/**
 * vmclock_page_check() - is it a VMClock page at all?
 * @v: copy
 *
 * Return: 0, or -EPROTO: magic, version or size is another
 */
int vmclock_page_check(const struct ffclock_vmclock *v);

/**
 * vmclock_page_time() - what it says
 * @v: copy, consistent, past vmclock_page_check()
 * @tsc: reading of this machine's TSC
 * @tsc_period_ns: its period as measured here, to 10 % [ns]
 * @assume_ns: bound of the time's error if the page tells none [ns]
 * @t: receives it
 *
 * Return: 0; -EOPNOTSUPP: it tells no time, or by another counter than the TSC, or on
 * a smeared time scale; -EAGAIN: the host says that its clock is not to be used now,
 * or a leap second is on; -EPROTO: a period that the TSC cannot have; -ERANGE: a time
 * or counter value that cannot be; -ESTALE: nobody has written it for an hour;
 * -EDOM: the error bound is 4 s or more
 */
int vmclock_page_time(const struct ffclock_vmclock *v, uint64_t tsc, double tsc_period_ns,
		      uint32_t assume_ns, struct vmclock_time *t);

/**
 * struct vmclock_seen - what was on the page before; zeroed at start
 * @have: @marker and @generation are valid
 * @marker: disruption_marker
 * @generation: vm_generation_counter, 0 while the page has none
 * @have_line: the members below are valid
 * @line: the line that was used last: counter value, period, time
 * @line_marker: marker it was seen under
 * @line_generation: likewise
 */
struct vmclock_seen {
	bool		have;
	uint64_t	marker;
	uint64_t	generation;
	bool		have_line;
	uint64_t	line[4];
	uint64_t	line_marker;
	uint64_t	line_generation;
};

/**
 * vmclock_seen_moved() - has the machine been disrupted since the last look?
 * @s: memory; takes note
 * @v: copy
 *
 * Return: true if marker or generation are others; not at the first look
 */
bool vmclock_seen_moved(struct vmclock_seen *s, const struct ffclock_vmclock *v);

/**
 * vmclock_seen_line() - is this line one of before a disruption?
 * @s: memory; takes note
 * @v: copy
 *
 * The page moves with the guest, so until the new host has written it, it shows the old
 * host's line under the new marker, and by the counter, which has not seen the gap
 * either, that line looks fresh.
 *
 * Return: 0, or -ESTALE
 */
int vmclock_seen_line(struct vmclock_seen *s, const struct ffclock_vmclock *v);

#endif /* FFCLOCKD_VMCLOCK_PAGE_H */
