// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: what CLOCK_REALTIME was, as a function of the counter.
 *
 * CLOCK_REALTIME is piecewise linear in the clocksource, and the timekeeping
 * notifier sees every piece.  A ring of the last pieces turns any CLOCK_REALTIME
 * stamp that the kernel took into the counter value it was taken at, through
 * slews and steps, without a change to whoever takes the stamps.
 *
 * Two counters appear here.  "sys" is the cumulative counter over the
 * timekeeper's clocksource, in whose terms the pieces are exact.  The ffclock
 * counter is the same plus a constant, unless it bypasses the clocksource; then
 * each piece carries a reading of it, and what lies between is interpolated.
 */
#include <linux/log2.h>
#include <linux/timekeeper_internal.h>
#include <linux/vmalloc.h>

#include "ffclock_internal.h"

/* Seconds of CLOCK_REALTIME to remember at one new piece per tick (the most
 * there is: NTP's dithering of mult), with room for extra updates.
 */
#define FFC_RING_SEC	20

/* Pieces meet to within rounding of ns when there was no step */
#define FFC_JOINT_NS	4

/* Steps to look behind for one stamp: bounds the time with interrupts off */
#define FFC_MAX_RUNS	64

/**
 * struct ffc_piece - one line of CLOCK_REALTIME
 * @start: sys counter from which it is valid, until the next piece's @before
 * @before: sys counter where the piece before ended, in that one's unit: @start,
 *	but for a switch of clocksources in between
 * @counter: ffclock counter at @start
 * @end_sys: sys counter where the epoch before ended, if this one begins another
 * @end_counter: ffclock counter there, as the epoch before had it
 * @base: sys counter at which the time is @sec and @nsec; may be before @start
 * @sec: seconds
 * @nsec: nanoseconds << @shift
 * @mult: slope, ns << @shift per count; 0: it stands still, a run of its own
 * @shift: its shift
 * @run: index of the first piece of a run without steps
 * @epoch: epoch of @counter
 * @paired: @counter was read beside @start, and so will the next piece's be:
 *	interpolate.  Otherwise the two counters differ by a constant
 */
struct ffc_piece {
	u64	start;
	u64	before;
	u64	counter;
	u64	end_sys;
	u64	end_counter;
	u64	base;
	u64	sec;
	u64	nsec;
	u32	mult;
	u32	shift;
	u64	run;
	u32	epoch;
	bool	paired;
};

/* The system clocks as of the latest timekeeping update */
struct ffc_tail {
	u64	base;		/* sys counter the rest belongs to */
	u64	sec;
	u64	nsec;
	u32	mult;
	u32	shift;
	u64	raw_sec;
	u64	raw_nsec;
	u32	raw_mult;
	u32	raw_shift;
	s64	offs_real;
	s64	offs_boot;
	s64	offs_tai;
};

/* Protected by ffc_lock. Indices count up for ever. */
static struct ffc_piece *ffc_ring;
static u32 ffc_ring_size;	/* power of two */
static u64 ffc_ring_head;	/* index of the next piece */
static u32 ffc_ring_count;	/* pieces there are */
static struct ffc_tail ffc_tail;
static bool ffc_ring_unit_changed;
static u64 ffc_ring_end_sys;	/* of the latest epoch that ended, */
static u64 ffc_ring_end_counter;	/* as a piece's */

static struct ffc_piece *ffc_ring_at(u64 index)
{
	return &ffc_ring[index & (ffc_ring_size - 1)];
}

int ffc_ring_init(void)
{
	ffc_ring_size = roundup_pow_of_two(FFC_RING_SEC * HZ);
	ffc_ring = vzalloc(array_size(ffc_ring_size, sizeof(*ffc_ring)));
	return ffc_ring ? 0 : -ENOMEM;
}

void ffc_ring_exit(void)
{
	vfree(ffc_ring);
	ffc_ring = NULL;
	ffc_ring_head = 0;
	ffc_ring_count = 0;
}

/* (delta * mult + nsec) >> shift for delta of either sign: ns after the second */
static s64 ffc_line_ns(u64 delta, u32 mult, u32 shift, u64 nsec)
{
	__int128 v = (__int128)(s64)delta * mult + nsec;

	return (s64)(v >> shift);
}

/* CLOCK_REALTIME in ns on a piece's line */
static s64 ffc_piece_real(const struct ffc_piece *p, u64 sys)
{
	return (s64)p->sec * NSEC_PER_SEC +
	       ffc_line_ns(sys - p->base, p->mult, p->shift, p->nsec);
}

/* First sys counter value at which a line reads @real_ns or more */
static u64 ffc_piece_inverse(const struct ffc_piece *p, s64 real_ns)
{
	__int128 n = (__int128)(real_ns - (s64)p->sec * NSEC_PER_SEC) << p->shift;
	u64 q, rem;

	n -= p->nsec;
	if (n >= 0) {
		if ((u64)(n >> 64) >= p->mult)
			return p->base + (1ULL << 62);
		q = ffclock_udiv128((u64)(n >> 64), (u64)n, p->mult, &rem);
		return p->base + q + (rem != 0);
	}
	n = -n;
	if ((u64)(n >> 64) >= p->mult)
		return p->base - (1ULL << 62);
	return p->base - ffclock_udiv128((u64)(n >> 64), (u64)n, p->mult, NULL);
}

/*
 * Whether the update just goes on along the line of the one before.  Modulo
 * 2^64, which makes a false match as likely as 2^-64.
 */
static bool ffc_same_line(const struct ffc_tail *was, const struct ffc_tail *is)
{
	u64 moved;

	if (was->mult != is->mult || was->shift != is->shift)
		return false;
	moved = (is->sec - was->sec) * ((u64)NSEC_PER_SEC << is->shift) + is->nsec - was->nsec;
	return moved == (is->base - was->base) * is->mult;
}

/**
 * ffc_ring_new_unit() - the sys counter counts another clocksource from now on
 *
 * The next update's sys_base is where the old one ended, in its own unit.
 *
 * Context: ffc_lock held, in the timekeeping notifier.
 */
void ffc_ring_new_unit(void)
{
	ffc_ring_unit_changed = true;
}

/*
 * A piece from now on, along the line of the latest update, as a run of its own;
 * the caller fills in where the one before ended
 */
static struct ffc_piece *ffc_ring_add(bool pair)
{
	struct ffc_piece *p = ffc_ring_at(ffc_ring_head);

	ffc_counter_pair_locked(&p->start, &p->counter);
	p->end_sys = ffc_ring_end_sys;
	p->end_counter = ffc_ring_end_counter;
	p->base = ffc_tail.base;
	p->sec = ffc_tail.sec;
	p->nsec = ffc_tail.nsec;
	p->mult = ffc_tail.mult;
	p->shift = ffc_tail.shift;
	p->epoch = ffc_state_locked()->epoch;
	p->paired = pair;
	p->run = ffc_ring_head;
	ffc_ring_head++;
	if (ffc_ring_count < ffc_ring_size)
		ffc_ring_count++;
	return p;
}

/**
 * ffc_ring_update() - take in a timekeeping update
 * @tk: the timekeeper, as the notifier gets it
 * @sys_base: sys counter at tk's cycle_last
 * @pair: the ffclock counter is not sys plus a constant: record a pair
 *
 * Context: ffc_lock held, in the timekeeping notifier.  Reads the clocksource
 * only if CLOCK_REALTIME changed its line: some 20 ns on others.
 */
void ffc_ring_update(const struct timekeeper *tk, u64 sys_base, bool pair)
{
	const struct tk_read_base *tkr = &tk->tkr_mono;
	struct ffc_tail was = ffc_tail;
	bool changed = ffc_ring_unit_changed;
	struct ffc_piece *p, *prev;

	ffc_ring_unit_changed = false;
	ffc_tail = (struct ffc_tail) {
		.base		= sys_base,
		.sec		= tk->xtime_sec,
		.nsec		= tkr->xtime_nsec,
		.mult		= tkr->mult,
		.shift		= tkr->shift,
		.raw_sec	= tk->raw_sec,
		.raw_nsec	= tk->tkr_raw.xtime_nsec,
		.raw_mult	= tk->tkr_raw.mult,
		.raw_shift	= tk->tkr_raw.shift,
		.offs_real	= tk->offs_real,
		.offs_boot	= tk->offs_boot,
		.offs_tai	= tk->offs_tai,
	};
	prev = ffc_ring_at(ffc_ring_head - 1);
	if (ffc_ring_count && !changed && !pair && prev->epoch == ffc_state_locked()->epoch &&
	    ffc_same_line(&was, &ffc_tail))
		return;

	/*
	 * The old line was read up to this moment, the new one will be from
	 * here: cycle_last lies up to a tick before.
	 */
	p = ffc_ring_add(pair);
	p->before = changed ? sys_base : p->start;
	/*
	 * Of a clocksource that was left, sys_base is our reading, which came after
	 * the core's last one: by as much as a slow one takes, or a host that gave the
	 * processor to somebody else.  The line was read up to the core's.  A pair
	 * needs ours.
	 */
	if (changed && ffc_ring_count > 1 && !prev->paired) {
		u64 end = ffc_piece_inverse(prev, (s64)ffc_tail.sec * NSEC_PER_SEC +
						  (s64)(ffc_tail.nsec >> ffc_tail.shift));

		if ((s64)(end - prev->start) >= 0 && (s64)(sys_base - end) > 0)
			p->before = end;
	}
	if (ffc_ring_count > 1 && !changed && prev->epoch == p->epoch && prev->mult &&
	    abs(ffc_piece_real(p, p->start) - ffc_piece_real(prev, p->start)) <= FFC_JOINT_NS)
		p->run = prev->run;
}

/**
 * ffc_ring_epoch_ends() - the epoch is about to end, the counter about to change
 *
 * Context: ffc_lock held.
 */
void ffc_ring_epoch_ends(void)
{
	ffc_counter_pair_locked(&ffc_ring_end_sys, &ffc_ring_end_counter);
}

/**
 * ffc_ring_new_epoch() - an epoch has begun, not by a timekeeping update
 * @pair: the ffclock counter is not sys plus a constant any more
 *
 * CLOCK_REALTIME goes on along its line, but what is read from here on belongs
 * to the new epoch and to the new relation of the two counters.
 *
 * Context: ffc_lock held.
 */
void ffc_ring_new_epoch(bool pair)
{
	const struct ffc_piece *prev = ffc_ring_at(ffc_ring_head - 1);
	struct ffc_piece *p;

	if (!ffc_ring_count)
		return;
	p = ffc_ring_add(pair);
	p->before = p->start;
	if (p->mult)
		p->run = prev->run;
}

/**
 * ffc_ring_stall() - the system clocks stand still until the next update
 *
 * Context: ffc_lock held, and soon ffc_ring_new_epoch().
 */
void ffc_ring_stall(void)
{
	ffc_tail.mult = 0;
	ffc_tail.raw_mult = 0;
}

/*
 * The ffclock counter at a sys counter value that lies on piece @index; @end and
 * @end_counter are a pair of now
 */
static u64 ffc_piece_counter(u64 index, u64 sys, u64 end, u64 end_counter)
{
	const struct ffc_piece *p = ffc_ring_at(index);
	const struct ffc_piece *next = ffc_ring_at(index + 1);
	u64 run_sys, run_counter;
	ffclock_u128 product;

	if (!p->paired)
		return p->counter + (sys - p->start);
	if (index + 1 == ffc_ring_head) {
		run_sys = end - p->start;
		run_counter = end_counter - p->counter;
	} else if (next->epoch == p->epoch) {
		run_sys = next->before - p->start;
		run_counter = next->counter - p->counter;
	} else {
		run_sys = next->end_sys - p->start;
		run_counter = next->end_counter - p->counter;
	}
	if ((s64)run_sys <= 0)
		return p->counter;
	product = (ffclock_u128)(sys - p->start) * run_counter;
	if ((u64)(product >> 64) >= run_sys)
		return p->counter;
	return p->counter + ffclock_udiv128((u64)(product >> 64), (u64)product, run_sys, NULL);
}

/*
 * Look for a stamp among the pieces first..last of one run, which ends at @end;
 * @now and @now_counter are a pair of now.  False: not there
 */
static bool ffc_run_invert(u64 first, u64 last, u64 end, u64 now, u64 now_counter,
			   struct ffclock_stamp *stamp)
{
	s64 real = stamp->realtime_ns;
	const struct ffc_piece *p;
	u64 lo = first, hi = last;
	u64 from, to;

	if (real < ffc_piece_real(ffc_ring_at(first), ffc_ring_at(first)->start) ||
	    real > ffc_piece_real(ffc_ring_at(last), end))
		return false;

	/* the last piece that begins at or before the stamp */
	while (lo != hi) {
		u64 mid = hi - (hi - lo) / 2;

		p = ffc_ring_at(mid);
		if (ffc_piece_real(p, p->start) <= real)
			lo = mid;
		else
			hi = mid - 1;
	}
	p = ffc_ring_at(lo);
	/* the middle of the counter values that read this nanosecond */
	if (p->mult) {
		from = ffc_piece_inverse(p, real);
		to = ffc_piece_inverse(p, real + 1) - 1;
	} else {
		from = p->start;
		to = end;
	}
	if ((s64)(to - from) > 0)
		from += (to - from) / 2;
	if ((s64)(from - p->start) < 0)
		from = p->start;
	stamp->counter = ffc_piece_counter(lo, from, now, now_counter);
	stamp->epoch = p->epoch;
	return true;
}

static void ffc_ring_invert_locked(struct ffclock_stamp *stamp)
{
	u64 oldest = ffc_ring_head - ffc_ring_count;
	u64 last = ffc_ring_head - 1;
	struct ffclock_stamp found;
	bool have = false;
	u64 end, now, counter;
	int runs;

	ffc_counter_pair_locked(&now, &counter);
	end = now;
	if (stamp->realtime_ns > ffc_piece_real(ffc_ring_at(last), end))
		stamp->result = FFCLOCK_STAMP_FUTURE;
	else
		stamp->result = FFCLOCK_STAMP_TOO_OLD;

	for (runs = 0; runs < FFC_MAX_RUNS; runs++) {
		const struct ffc_piece *p = ffc_ring_at(last);
		u64 first = p->run;
		struct ffclock_stamp try = *stamp;

		/* the beginning of the run may have been overwritten */
		if (first < oldest)
			first = oldest;
		if (ffc_run_invert(first, last, end, now, counter, &try)) {
			if (have) {
				found.result = FFCLOCK_STAMP_AMBIGUOUS;
				break;
			}
			found = try;
			found.result = FFCLOCK_STAMP_OK;
			have = true;
		} else if (!have && runs && stamp->result == FFCLOCK_STAMP_TOO_OLD &&
			   try.realtime_ns > ffc_piece_real(p, end)) {
			/* after this run's end, before the next one's start */
			stamp->result = FFCLOCK_STAMP_GAP;
		}
		if (first == oldest)
			break;
		last = first - 1;
		end = ffc_ring_at(first)->before;
	}
	if (have)
		*stamp = found;
}

/**
 * ffclock_realtime_to_counter() - the counter when a CLOCK_REALTIME stamp was taken
 * @stamp: realtime_ns is the stamp; counter, epoch and result are filled in
 *
 * Any CLOCK_REALTIME value the kernel gave within the last 16 s, across steps
 * and slews.  Exact to the counter values that share the stamp's nanosecond, of
 * which the middle one is given; with a bypassed counter to about a microsecond,
 * the time it takes to read two counters.
 *
 * Context: any but NMI and the timekeeping notifier.
 * Return: 0 if result is FFCLOCK_STAMP_OK or FFCLOCK_STAMP_AMBIGUOUS, -ERANGE
 * otherwise
 */
int ffclock_realtime_to_counter(struct ffclock_stamp *stamp)
{
	unsigned long flags;

	stamp->counter = 0;
	stamp->epoch = 0;
	raw_spin_lock_irqsave(&ffc_lock, flags);
	ffc_ring_invert_locked(stamp);
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	return stamp->result == FFCLOCK_STAMP_OK || stamp->result == FFCLOCK_STAMP_AMBIGUOUS ?
		0 : -ERANGE;
}
EXPORT_SYMBOL_GPL(ffclock_realtime_to_counter);

/**
 * ffclock_snapshot() - the counter and the system clocks at one instant
 * @snap: where they go
 *
 * Context: any but NMI and the timekeeping notifier.
 * Return: 0
 */
int ffclock_snapshot(struct ffclock_snapshot *snap)
{
	struct ffc_tail tail;
	unsigned long flags;
	u64 sys, counter;
	s64 raw_ns;
	u32 epoch;
	bool pair;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	pair = ffc_counter_pair_locked(&sys, &counter);
	tail = ffc_tail;
	epoch = ffc_state_locked()->epoch;
	raw_spin_unlock_irqrestore(&ffc_lock, flags);

	raw_ns = ffc_line_ns(sys - tail.base, tail.raw_mult, tail.raw_shift, tail.raw_nsec);
	memset(snap, 0, sizeof(*snap));
	snap->counter = counter;
	snap->realtime_ns = (s64)tail.sec * NSEC_PER_SEC +
			    ffc_line_ns(sys - tail.base, tail.mult, tail.shift, tail.nsec);
	snap->monotonic_ns = snap->realtime_ns - tail.offs_real;
	snap->boottime_ns = snap->monotonic_ns + tail.offs_boot;
	snap->tai_ns = snap->monotonic_ns + tail.offs_tai;
	snap->raw_ns = (s64)tail.raw_sec * NSEC_PER_SEC + raw_ns;
	snap->epoch = epoch;
	snap->flags = pair ? FFCLOCK_SNAP_F_PAIRED : 0;
	return 0;
}
EXPORT_SYMBOL_GPL(ffclock_snapshot);
