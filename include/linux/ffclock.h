/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ffclock: the in-kernel interface.
 *
 * For modules that want time as a function of a raw counter: drivers that stamp
 * events, hypervisor guests that bring host time, consumers of migration events.
 * All readers are lock-free and may be called from any context, NMI included,
 * unless stated otherwise.
 */
#ifndef _LINUX_FFCLOCK_H
#define _LINUX_FFCLOCK_H

#include <linux/notifier.h>
#include <linux/time64.h>
#include <linux/types.h>
#include <uapi/linux/ffclock.h>

u64 ffclock_counter(u32 *epoch);
int ffclock_read(enum ffclock_id clock, struct ffclock_reading *r);
int ffclock_read_at(enum ffclock_id clock, u64 counter, struct ffclock_reading *r);
int ffclock_read_inverse(enum ffclock_id clock, struct ffclock_time time,
			 struct ffclock_reading *r);
void ffclock_get_ts64(enum ffclock_id clock, struct timespec64 *ts);
ktime_t ffclock_get(enum ffclock_id clock);
s64 ffclock_diff_ns(u64 from, u64 to, u64 *bound_ns);

void ffclock_get_estimate(struct ffclock_estimate *est);
int ffclock_set_estimate(const struct ffclock_estimate *est);

int ffclock_snapshot(struct ffclock_snapshot *snap);
int ffclock_realtime_to_counter(struct ffclock_stamp *stamp);

u64 ffclock_migration_sequence(void);
int ffclock_get_migration(struct ffclock_migration *m);

/**
 * struct ffclock_detector - somebody who notices disruptions
 * @name: at most 15 characters
 * @word: a word in memory that changes with a disruption, or NULL.  Looked at
 *	by every timekeeping update and by every reader that reports status
 * @check: called at every timekeeping update after @word, or NULL; true: there
 *	was a disruption since the last call.  Runs in the timekeeping notifier:
 *	no timekeeping reads, no wake-ups, no printk, some ns at most
 * @seen: the value of @word that is accounted for (private)
 * @last: counter at this detector's latest event (private)
 * @node: list of detectors (private)
 */
struct ffclock_detector {
	const char		*name;
	const u64		*word;
	bool			(*check)(struct ffclock_detector *d);
	u64			seen;
	u64			last;
	struct list_head	node;
};

int ffclock_register_detector(struct ffclock_detector *d);
void ffclock_unregister_detector(struct ffclock_detector *d);
void ffclock_disrupt(struct ffclock_detector *d);

/**
 * struct ffclock_host_time - the host's time at a counter value
 * @counter: cumulative counter, of the present epoch
 * @utc: UTC at @counter
 * @bound_ns: bound of the error of @utc against the host's clock, and of that
 *	against UTC as far as the host tells it
 * @tai_offset_sec: TAI - UTC, 0: the source does not know
 * @synchronized: the host says that its clock is
 * @period: the counter's period by the host's clock, 2^-(64 + @period_shift) s,
 *	0: the source does not know
 * @period_esterror: estimated error of @period, same unit
 * @period_maxerror: bound of the error of @period, same unit
 * @period_shift: shift of @period
 * @leap_change: a leap second pending at @leap_utc_sec, as in
 *	struct ffclock_estimate; 0: none
 * @leap_utc_sec: see there
 * @epoch: the counter's epoch when the source was asked; filled in by ffclock, which
 *	refuses an answer that another epoch has begun in (private)
 */
struct ffclock_host_time {
	u64			counter;
	struct ffclock_time	utc;
	u64			bound_ns;
	s32			tai_offset_sec;
	bool			synchronized;
	u64			period;
	u64			period_esterror;
	u64			period_maxerror;
	u32			period_shift;
	s32			leap_change;
	u64			leap_utc_sec;
	u32			epoch;
};

/**
 * struct ffclock_source - somebody who knows the host's time
 * @name: at most 15 characters
 * @rating: the higher the better; asked in this order
 * @read: fill in a struct ffclock_host_time: 0 or a negative errno.  Process
 *	context, may sleep; called with the list of sources locked, and by
 *	ffclock_source_news() at any time, so maybe twice at once
 * @owner: the module
 * @state: what became of it last: 0 or the errno (private)
 * @node: list of sources (private)
 *
 * Ratings in use: 500 VMClock's time fields, 400 KVM clock pairing, 300 Xen
 * wallclock, 200 KVM wallclock, 100 CMOS RTC.
 */
struct ffclock_source {
	const char		*name;
	int			rating;
	int			(*read)(struct ffclock_source *s, struct ffclock_host_time *t);
	struct module		*owner;
	int			state;
	struct list_head	node;
};

int ffclock_register_source(struct ffclock_source *s);
void ffclock_unregister_source(struct ffclock_source *s);
int ffclock_source_news(struct ffclock_source *s, u32 follow_sec);
bool ffclock_counter_of_tsc(u64 tsc, u64 *counter, u32 *epoch);
bool ffclock_counter_over(const char *name, u64 *offset, u32 *epoch);
void ffclock_notice(u64 vmclock_flags);

/**
 * enum ffclock_event - what the notifier chain tells
 * @FFCLOCK_EVENT_UPDATE: the clock parameters were replaced
 * @FFCLOCK_EVENT_EPOCH: the counter began a new epoch
 * @FFCLOCK_EVENT_DISRUPTION: the machine was disrupted (migration, restore,
 *	suspend); comes with a new epoch
 * @FFCLOCK_EVENT_NOTICE: the hypervisor announced a disruption, or took it back
 * @FFCLOCK_EVENT_SETTLED: the policy has been carried out with the host's time
 *	for the latest disruption; see its record
 */
enum ffclock_event {
	FFCLOCK_EVENT_UPDATE		= 1 << 0,
	FFCLOCK_EVENT_EPOCH		= 1 << 1,
	FFCLOCK_EVENT_DISRUPTION	= 1 << 2,
	FFCLOCK_EVENT_NOTICE		= 1 << 3,
	FFCLOCK_EVENT_SETTLED		= 1 << 4,
};

int ffclock_register_notifier(struct notifier_block *nb);
int ffclock_unregister_notifier(struct notifier_block *nb);

#endif /* _LINUX_FFCLOCK_H */
