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
void ffclock_disrupt(const char *source);

/**
 * enum ffclock_event - what the notifier chain tells
 * @FFCLOCK_EVENT_UPDATE: the clock parameters were replaced
 * @FFCLOCK_EVENT_EPOCH: the counter began a new epoch
 * @FFCLOCK_EVENT_DISRUPTION: the machine was disrupted (migration, restore,
 *	suspend); comes with a new epoch
 */
enum ffclock_event {
	FFCLOCK_EVENT_UPDATE		= 1 << 0,
	FFCLOCK_EVENT_EPOCH		= 1 << 1,
	FFCLOCK_EVENT_DISRUPTION	= 1 << 2,
};

int ffclock_register_notifier(struct notifier_block *nb);
int ffclock_unregister_notifier(struct notifier_block *nb);

#endif /* _LINUX_FFCLOCK_H */
