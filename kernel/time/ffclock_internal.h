/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ffclock: what the files of ffclock.ko share.
 *
 * Locking, in one place
 *
 *   ffc_lock (raw spinlock, irqs off) serialises every writer: the timekeeping
 *   notifier, estimates, epoch changes.  It nests inside the timekeeper lock,
 *   because the notifier is called under that one.  Hence: no timekeeping
 *   function (ktime_get*(), even lock-free ones) and no wake-up may be called
 *   with ffc_lock held.  A reader of the timekeeper would spin on a sequence
 *   count whose writer waits for ffc_lock.
 *
 *   ffc_latch (seqcount_latch_t) carries the readers: two copies of struct
 *   ffc_state, one of them always whole, so that an NMI on the writer's CPU
 *   reads too.  Written under ffc_lock only.
 *
 *   The user page has VMClock's seq_count; written under ffc_lock only.
 *
 *   ffc_config_mutex serialises configuration from sysfs (sleeps).
 */
#ifndef _FFCLOCK_INTERNAL_H
#define _FFCLOCK_INTERNAL_H

#include <linux/clocksource.h>
#include <linux/ffclock.h>
#include <linux/ffclock_math.h>
#include <linux/mutex.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>

#include "ffclock_hw.h"

struct timekeeper;
struct vm_area_struct;

/**
 * struct ffc_base - how to read the counter
 * @hw: hardware counter to read directly, or NULL: through @cs
 * @cs: clocksource to read, or NULL with @hw NULL: frozen at @value
 * @mask: bits the reading has
 * @last: masked reading at which the counter was @value
 * @value: the counter then
 *
 * counter = @value + ((reading - @last) & @mask).  With a full mask this is the
 * reading plus a constant, so only narrow counters need a new base at each tick.
 * A narrow reading may also lie before @last: see ffc_base_delta().
 */
struct ffc_base {
	const struct ffc_hw	*hw;
	struct clocksource	*cs;
	u64			mask;
	u64			last;
	u64			value;
};

/*
 * Counts from base.last to a reading, negative if that lies before.  The core
 * never lets more than half a narrow counter's range (and some lateness) pass
 * between updates, and takes more than 7/8 of it for motion backwards; so do we.
 */
static inline s64 ffc_base_delta(const struct ffc_base *base, u64 raw)
{
	u64 delta = (raw - base->last) & base->mask;

	if (unlikely(delta > base->mask - (base->mask >> 3)))
		return -(s64)((base->last - raw) & base->mask);
	return delta;
}

/**
 * struct ffc_clock - the clock data
 * @est: the parameters as they were set, in counts of the cumulative counter
 * @stale_after: counts after est.counter at which they are stale, 0: never
 * @mono: FFCLOCK_MONO
 * @diff: FFCLOCK_DIFF
 * @mono_origin: TAI at the zero of mono; meaningful if @mono_attached
 * @mono_attached: mono follows the absolute clock.  Not so before the first
 *	synchronisation and after a disruption: mono then runs on its rate, and
 *	the next good estimate moves its origin instead of slewing it
 */
struct ffc_clock {
	struct ffclock_estimate	est;
	u64			stale_after;
	struct ffclock_slew	mono;
	struct ffclock_slew	diff;
	struct ffclock_time	mono_origin;
	bool			mono_attached;
};

/**
 * struct ffc_state - everything a reader needs
 * @base: the counter
 * @epoch: its epoch
 * @clock: the clock data
 */
struct ffc_state {
	struct ffc_base		base;
	u32			epoch;
	struct ffc_clock	clock;
};

/* Time we believe anybody about: until 2514.  Keeps every sum from overflow. */
#define FFC_MAX_SEC		17179869184LL	/* 2^34 */

/*
 * Rate error to assume of a counter that nobody has measured: calibration of
 * the TSC, tolerance of HPET and PM timer crystals (the HPET specification
 * allows 500 ppm), and the kernel's own limit for NTP's frequency (MAXFREQ).
 */
#define FFC_NOMINAL_ERROR_DIV	2000	/* 500 ppm */

enum ffc_policy {
	FFC_POLICY_INJECT,	/* set CLOCK_REALTIME to the host's time */
	FFC_POLICY_NTP_RESET,	/* leave the time, clear NTP's state */
	FFC_POLICY_NOTIFY,	/* tell only */
};

/**
 * struct ffc_tunables - /sys/kernel/ffclock/migration
 * @policy: what to do about a disruption
 * @tolerable_ns: |Tout| up to which the time is left as it is
 * @max_tout_ns: |Tout| beyond which the host is not believed
 * @min_interval_ms: disruptions closer than this become one
 *
 * Each is read and written with READ_ONCE() and WRITE_ONCE().
 */
struct ffc_tunables {
	enum ffc_policy	policy;
	u64		tolerable_ns;
	u64		max_tout_ns;
	u64		min_interval_ms;
};

extern struct ffc_tunables ffc_tunables;
extern raw_spinlock_t ffc_lock;
extern struct mutex ffc_config_mutex;

extern u64 ffc_floor;

/*
 * How far readings may lie below ffc_floor without a fault: TSCs of two processors
 * may differ by a little.  Of a TSC, less than a millisecond.
 */
#define FFC_BELOW_COUNTS	(1LL << 20)

/*
 * Whether the counter, read after @floor was, has gone back by itself.  A narrow one's
 * readings never do: ffc_base_read() sees to that.
 */
static __always_inline bool ffc_below_floor(u64 counter, u64 floor)
{
	return unlikely((s64)(counter - floor) < -FFC_BELOW_COUNTS);
}

/* ffclock_state.c: publication to readers */
const struct ffc_state *ffc_state_locked(void);
void ffc_state_publish(const struct ffc_state *state);
void ffc_state_publish_base(const struct ffc_base *base);
void ffc_state_get(struct ffc_state *state);
u64 ffc_base_raw(const struct ffc_base *base);
u64 ffc_base_read(const struct ffc_base *base);

/* ffclock_counter.c: the counter and its epochs */
int ffc_counter_init(void);
void ffc_counter_exit(void);
int ffc_counter_set_bypass(const char *name);
void ffc_counter_name(char *buf, size_t size);
const char *ffc_counter_bypass(void);
void ffc_counter_nominal(u64 *period, u32 *shift);
bool ffc_counter_pair_locked(u64 *sys, u64 *counter);
void ffc_counter_disrupted(const char *detector);
void ffc_counter_doubt(void);
void ffc_counter_seen_back(void);

/* ffclock_ring.c: what CLOCK_REALTIME was */
int ffc_ring_init(void);
void ffc_ring_exit(void);
void ffc_ring_new_unit(void);
void ffc_ring_epoch_ends(void);
void ffc_ring_new_epoch(bool pair);
void ffc_ring_stall(void);
void ffc_ring_update(const struct timekeeper *tk, u64 sys_base, bool pair);

/* ffclock_clock.c: clock data and readers */
void ffc_clock_init(struct ffc_state *state, u64 counter, struct ffclock_time utc,
		    struct ffclock_time mono, s32 tai, u64 period, u32 shift);
void ffc_clock_new_epoch(struct ffc_state *next, u64 old_counter, u64 new_counter, u64 period,
			 u32 shift, u64 gap_ns);
void ffc_clock_disrupted(struct ffc_state *next, u64 counter, struct ffclock_time advance);
void ffc_clock_eval(const struct ffc_state *s, struct ffclock_reading *r);

/* A clock at a counter value, without bound or status: the fast path */
static __always_inline struct ffclock_time ffc_clock_time(const struct ffc_clock *c,
							  enum ffclock_id clock, u64 counter)
{
	const struct ffclock_estimate *e = &c->est;
	struct ffclock_time t;

	if (clock == FFCLOCK_MONO)
		return ffclock_slew_at(&c->mono, counter);
	if (clock == FFCLOCK_DIFF)
		return ffclock_slew_at(&c->diff, counter);

	t = ffclock_line_at(counter, e->counter, e->time, e->period, e->period_shift);
	if (clock == FFCLOCK_TAI)
		t.sec += e->tai_offset_sec;
	else if (unlikely(e->leap_change) && t.sec >= (s64)e->leap_utc_sec)
		t.sec -= e->leap_change;
	return t;
}

/* ffclock_detect.c: noticing disruptions */
void ffc_detect(void);
u64 ffc_detect_gap_ns(u64 counter);
bool ffc_detect_pending(void);
void ffc_detect_own(u64 counter);
u64 ffc_detect_suppressed(void);
ssize_t ffc_detect_show(char *buf);

/* ffclock_migration.c: what is done about them */
void ffc_migration_begin(const char *detector, u64 counter, const struct ffclock_estimate *old,
			 u32 epoch);
void ffc_migration_exit(void);
void ffc_migration_work(unsigned int events);
ssize_t ffc_source_show(char *buf);

/* ffclock_vmfork.c: the kernel's own news of a restored snapshot */
int ffc_vmfork_init(void);
void ffc_vmfork_exit(void);

/* ffclock_page.c: the user page */
int ffc_page_init(void);
void ffc_page_exit(void);
void ffc_page_write_begin(void);
void ffc_page_write_end(const struct ffc_state *s);
u32 ffc_page_seq(void);
u64 ffc_page_notice(void);
void ffc_page_copy(struct ffclock_page *copy);
int ffc_page_mmap(struct vm_area_struct *vma);

/* ffclock_event.c: telling the world */

/* a source may have become good; not told to others */
#define FFC_EVENT_SOURCE	(1U << 31)

void ffc_event_exit(void);
void ffc_event_flush(void);
void ffc_event_raise(unsigned int events);
struct wait_queue_head *ffc_event_wait(void);
void ffc_event_sequence_inc(void);
void ffc_event_updates_inc(void);
u64 ffc_event_updates(void);

/* the rest: interfaces */
int ffc_dev_init(void);
void ffc_dev_exit(void);
void ffc_dev_uevent(const char *event, u64 sequence, const char *more);
int ffc_posix_init(void);
void ffc_posix_exit(void);
int ffc_sysfs_init(void);
void ffc_sysfs_exit(void);

#endif /* _FFCLOCK_INTERNAL_H */
