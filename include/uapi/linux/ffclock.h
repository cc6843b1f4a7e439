/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * ffclock: feed-forward clocks on a raw hardware counter.
 *
 * A feed-forward clock is a function of a counter that nobody adjusts:
 *
 *	time(c) = time + (c - counter_value) * period
 *
 * Synchronisation replaces the parameters; reading is stateless.  This header
 * is the contract between the ffclock kernel module and everything else: the
 * page that user space maps, the ioctls of /dev/ffclock, and the names of the
 * dynamic POSIX clocks.  All values are in host byte order (x86-64: little
 * endian, as VMClock requires).
 *
 * Promises that hold for every interface below:
 *
 *  - The counter is 64 bits wide, cumulative, and never goes back.  Within one
 *    epoch it advances at the rate of one oscillator.  The epoch changes when
 *    that is no longer so: clocksource switch, suspend, live migration.
 *  - A clock that is not synchronised, stale, or past a disruption says so in
 *    its status, and its error bound is FFCLOCK_BOUND_UNKNOWN or honest.
 *  - Growth: structures grow at their end or in reserved words.  Reserved
 *    words are zero; a nonzero one on input is EINVAL.  A reader checks size
 *    (and version) before it uses a field.
 */
#ifndef _UAPI_LINUX_FFCLOCK_H
#define _UAPI_LINUX_FFCLOCK_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* An error bound that nothing is known about, in nanoseconds. */
#define FFCLOCK_BOUND_UNKNOWN		(~(__u64)0)

/**
 * enum ffclock_id - the clocks
 * @FFCLOCK_UTC: UTC since 1970-01-01, leap seconds as POSIX counts them; may
 *	jump when parameters are replaced
 * @FFCLOCK_TAI: TAI since 1970-01-01 (UTC + 37 s in 2026); may jump when
 *	parameters are replaced; reads as UTC while the offset is unknown
 * @FFCLOCK_MONO: continuous, never steps back, follows TAI by slope; its zero
 *	is CLOCK_MONOTONIC's as it was when the module was loaded
 * @FFCLOCK_DIFF: rate only, for intervals; phase corrections never touch it;
 *	same zero as FFCLOCK_MONO
 * @FFCLOCK_NR: number of clocks
 */
enum ffclock_id {
	FFCLOCK_UTC	= 0,
	FFCLOCK_TAI	= 1,
	FFCLOCK_MONO	= 2,
	FFCLOCK_DIFF	= 3,
	FFCLOCK_NR	= 4,
};

/* Clock status: the values of VMClock's clock_status. */
#define FFCLOCK_STATUS_UNKNOWN		0 /* never synchronised */
#define FFCLOCK_STATUS_INITIALIZING	1 /* first estimates, not yet trusted */
#define FFCLOCK_STATUS_SYNCHRONIZED	2
#define FFCLOCK_STATUS_FREERUNNING	3 /* holdover: bound grows with age */
#define FFCLOCK_STATUS_UNRELIABLE	4 /* disrupted: do not use the time */

/* Hardware counters, the values of VMClock's counter_id. */
#define FFCLOCK_COUNTER_ARM_VCNT	0
#define FFCLOCK_COUNTER_X86_TSC		1
#define FFCLOCK_COUNTER_INVALID		0xff /* user space cannot read it */

/* Leap indicator, the values of VMClock's leap_indicator. */
#define FFCLOCK_LEAP_NONE		0
#define FFCLOCK_LEAP_PRE_POS		1 /* insertion at the end of the month */
#define FFCLOCK_LEAP_PRE_NEG		2 /* deletion at the end of the month */
#define FFCLOCK_LEAP_POS		3 /* now: 23:59:60 */
#define FFCLOCK_LEAP_POST_POS		4
#define FFCLOCK_LEAP_POST_NEG		5

/* The user page ----------------------------------------------------------- */

#define FFCLOCK_PAGE_SIZE		4096
#define FFCLOCK_EXT_OFFSET		0x100

#define FFCLOCK_VMCLOCK_MAGIC		0x4b4c4356 /* "VCLK" */
#define FFCLOCK_VMCLOCK_VERSION		1
#define FFCLOCK_VMCLOCK_TIME_UTC	0	/* time_type */

/* flags of the VMClock part */
#define FFCLOCK_VF_TAI_OFFSET_VALID		(1ULL << 0)
#define FFCLOCK_VF_DISRUPTION_SOON		(1ULL << 1)
#define FFCLOCK_VF_DISRUPTION_IMMINENT		(1ULL << 2)
#define FFCLOCK_VF_PERIOD_ESTERROR_VALID	(1ULL << 3)
#define FFCLOCK_VF_PERIOD_MAXERROR_VALID	(1ULL << 4)
#define FFCLOCK_VF_TIME_ESTERROR_VALID		(1ULL << 5)
#define FFCLOCK_VF_TIME_MAXERROR_VALID		(1ULL << 6)
#define FFCLOCK_VF_TIME_MONOTONIC		(1ULL << 7)
#define FFCLOCK_VF_VM_GEN_COUNTER_PRESENT	(1ULL << 8)
#define FFCLOCK_VF_NOTIFICATION_PRESENT		(1ULL << 9)

/**
 * struct ffclock_vmclock - the VMClock structure, version 1
 *
 * Field for field the layout of struct vmclock_abi of linux/vmclock-abi.h
 * (uapi-group VMClock specification 1.1), repeated here because kernels before
 * 6.13 do not ship that header.  Periods and their error rates are in units of
 * 2^-(64 + counter_period_shift) s per count; time_frac_sec in 2^-64 s.  Beware
 * the sign: tai_offset_sec is what is added to TAI to get UTC, so -37 in 2026.
 *
 * On ffclock's own page counter_id may change with the clocksource; look at it
 * in the same seq_count section as the rest.
 */
struct ffclock_vmclock {
	/* constant */
	__u32	magic;
	__u32	size;
	__u16	version;
	__u8	counter_id;
	__u8	time_type;
	/* changing, consistent while seq_count is even and does not move */
	__u32	seq_count;
	__u64	disruption_marker;
	__u64	flags;
	__u8	pad[2];
	__u8	clock_status;
	__u8	leap_second_smearing_hint;
	__s16	tai_offset_sec;
	__u8	leap_indicator;
	__u8	counter_period_shift;
	__u64	counter_value;
	__u64	counter_period_frac_sec;
	__u64	counter_period_esterror_rate_frac_sec;
	__u64	counter_period_maxerror_rate_frac_sec;
	__u64	time_sec;
	__u64	time_frac_sec;
	__u64	time_esterror_nanosec;
	__u64	time_maxerror_nanosec;
	__u64	vm_generation_counter;
};

/**
 * struct ffclock_time - a time or a span with 2^-64 s resolution
 * @sec: seconds, two's complement for negative spans
 * @frac: fraction of a second in units of 2^-64 s, always counted upwards
 */
struct ffclock_time {
	__s64	sec;
	__u64	frac;
};

/**
 * struct ffclock_slew - a continuous clock: three lines that join
 * @c0: counter value where the old slope ends
 * @c1: counter value where the catching-up slope ends, @c1 >= @c0
 * @t0: clock at @c0
 * @t1: clock at @c1
 * @period_before: slope for c < @c0
 * @period_slew: slope for @c0 <= c < @c1
 * @period_after: slope for c >= @c1
 * @period_shift: unit of the slopes is 2^-(64 + shift) s per count; 0..63
 * @reserved: zero
 *
 *	            after  /
 *	              ____/ c1,t1
 *	        slew /
 *	            / c0,t0
 *	   before  /
 */
struct ffclock_slew {
	__u64	c0;
	__u64	c1;
	struct ffclock_time t0;
	struct ffclock_time t1;
	__u64	period_before;
	__u64	period_slew;
	__u64	period_after;
	__u32	period_shift;
	__u32	reserved;
};

#define FFCLOCK_EXT_MAGIC		0x58434646 /* "FFCX" */
#define FFCLOCK_EXT_VERSION		1

/**
 * struct ffclock_ext - ffclock's own part of the page
 * @magic: FFCLOCK_EXT_MAGIC (constant)
 * @size: bytes of this structure that the kernel fills (constant)
 * @version: FFCLOCK_EXT_VERSION (constant)
 * @reserved0: zero
 * @epoch: id of the counter epoch, from 1; changes with every discontinuity
 * @flags: FFCLOCK_EXT_F_*
 * @counter_offset: ffclock counter = hardware counter + this, modulo 2^64; also where
 *	counter_id says that user space cannot read it; 0 for counters of less than 64 bits
 * @migration_sequence: disruptions since boot that the module acted on; one
 *	aligned load of it is a consistent read without seq_count
 * @updates: number of times the clock parameters were replaced
 * @stale_after: hardware counts past counter_value after which the parameters
 *	are stale: SYNCHRONIZED is then to be read as FREERUNNING; 0: never
 * @leap_utc_sec: first UTC second after a pending leap second, 0: none
 * @leap_change: seconds that leap inserts: +1 or -1, 0: none.  A UTC reader
 *	subtracts @leap_change from its seconds once they reach @leap_utc_sec;
 *	a TAI reader does not
 * @tai_offset_sec: TAI - UTC at counter_value (37 in 2026), 0 while unknown.
 *	TAI = UTC line before the leap correction + this
 * @mono: FFCLOCK_MONO, in hardware counts
 * @diff: FFCLOCK_DIFF, in hardware counts
 * @reserved: zero
 *
 * All but the constant fields change only while ffclock_vmclock.seq_count is
 * odd, so one sequence covers the whole page.  Counter values on the page are
 * hardware readings (what RDTSC returns), usable when counter_id says so.
 */
struct ffclock_ext {
	__u32	magic;
	__u32	size;
	__u16	version;
	__u16	reserved0[3];

	__u32	epoch;
	__u32	flags;
#define FFCLOCK_EXT_F_SYNCED_ONCE	(1U << 0) /* mono has its final origin */
	__u64	counter_offset;
	__u64	migration_sequence;
	__u64	updates;
	__u64	stale_after;
	__u64	leap_utc_sec;
	__s32	leap_change;
	__s32	tai_offset_sec;
	struct ffclock_slew mono;
	struct ffclock_slew diff;
	__u64	reserved[8];
};

/**
 * struct ffclock_page - what mmap() of /dev/ffclock shows, read-only
 * @vmclock: a valid VMClock structure, so that any VMClock reader works here
 * @pad: zero
 * @ext: ffclock's own part, at FFCLOCK_EXT_OFFSET
 */
struct ffclock_page {
	struct ffclock_vmclock vmclock;
	__u8	pad[FFCLOCK_EXT_OFFSET - sizeof(struct ffclock_vmclock)];
	struct ffclock_ext ext;
};

/* ioctls of /dev/ffclock --------------------------------------------------- */

/**
 * struct ffclock_counter - a counter reading
 * @value: the cumulative counter
 * @epoch: the epoch it belongs to
 * @reserved: zero
 */
struct ffclock_counter {
	__u64	value;
	__u32	epoch;
	__u32	reserved;
};

/**
 * struct ffclock_snapshot - the counter and the system clocks at one instant
 * @counter: cumulative counter
 * @realtime_ns: CLOCK_REALTIME
 * @monotonic_ns: CLOCK_MONOTONIC
 * @raw_ns: CLOCK_MONOTONIC_RAW
 * @boottime_ns: CLOCK_BOOTTIME
 * @tai_ns: CLOCK_TAI
 * @epoch: counter epoch
 * @flags: FFCLOCK_SNAP_F_*
 * @reserved: zero
 *
 * The system clocks are exactly those of one clocksource reading.  @counter is
 * that same reading, except with a bypassed counter (FFCLOCK_SNAP_F_PAIRED),
 * which is then read between two clocksource readings and paired with their
 * midpoint.
 */
struct ffclock_snapshot {
	__u64	counter;
	__s64	realtime_ns;
	__s64	monotonic_ns;
	__s64	raw_ns;
	__s64	boottime_ns;
	__s64	tai_ns;
	__u32	epoch;
	__u32	flags;
#define FFCLOCK_SNAP_F_PAIRED		(1U << 0)
	__u64	reserved[4];
};

/**
 * struct ffclock_estimate - the parameters of the absolute clock
 * @counter: cumulative counter value the rest belongs to
 * @time: UTC at @counter, without a leap second that is still pending
 * @period: seconds per count, in 2^-(64 + @period_shift) s; within 10 % of the
 *	counter's nominal period
 * @period_esterror: estimated error of @period, same unit
 * @period_maxerror: bound of the error of @period, same unit
 * @esterror_ns: estimated error of @time in ns
 * @maxerror_ns: bound of the error of @time in ns; FFCLOCK_BOUND_UNKNOWN: none
 * @epoch: the epoch of @counter.  On set: must be the present one (ESTALE
 *	otherwise: the counter was disrupted after the estimate was made)
 * @period_shift: 0..63
 * @status: FFCLOCK_STATUS_*
 * @leap_indicator: FFCLOCK_LEAP_*
 * @reserved0: zero
 * @tai_offset_sec: TAI - UTC in s, 0..1000; 0: unknown
 * @leap_change: +1, -1 or 0: a leap second pending at @leap_utc_sec
 * @leap_utc_sec: as in struct ffclock_ext
 * @next_update_sec: when the next estimate is expected, 1..131072 s; mono meets
 *	the absolute clock by then if 5000 ppm suffice for it
 * @stale_sec: age at which the estimate is stale, 0: 8 * @next_update_sec
 * @flags: FFCLOCK_EST_F_*
 * @reserved1: zero
 * @reserved: zero
 *
 * FFCLOCK_IOC_SETEST needs CAP_SYS_TIME and changes nothing when it fails:
 * EPERM, EFAULT, ESTALE as above, EINVAL for anything out of the ranges here,
 * a @counter more than 1 s ahead of or a day behind the present, or a nonzero
 * reserved word.
 */
struct ffclock_estimate {
	__u64	counter;
	struct ffclock_time time;
	__u64	period;
	__u64	period_esterror;
	__u64	period_maxerror;
	__u64	esterror_ns;
	__u64	maxerror_ns;
	__u32	epoch;
	__u8	period_shift;
	__u8	status;
	__u8	leap_indicator;
	__u8	reserved0;
	__s32	tai_offset_sec;
	__s32	leap_change;
	__u64	leap_utc_sec;
	__u32	next_update_sec;
	__u32	stale_sec;
	__u32	flags;
/* do not slew mono to this estimate: move its origin instead */
#define FFCLOCK_EST_F_STEP_MONO		(1U << 0)
	__u32	reserved1;
	__u64	reserved[4];
};

/**
 * struct ffclock_reading - one clock at one counter value
 * @clock: in: enum ffclock_id
 * @flags: in: FFCLOCK_READ_*
 * @counter: the counter value; in with FFCLOCK_READ_AT, else out
 * @time: the clock at @counter; in with FFCLOCK_READ_INVERSE, else out
 * @bound_ns: out: bound of the error of @time (of @counter's time if inverse);
 *	FFCLOCK_BOUND_UNKNOWN for FFCLOCK_DIFF, whose zero means nothing
 * @status: out: FFCLOCK_STATUS_*, staleness already taken into account
 * @epoch: out: counter epoch.  @counter values of another epoch give nonsense:
 *	compare
 * @reserved: zero
 *
 * The inverse is the first counter value at which the clock reads @time or
 * more.  Its error: ERANGE when no counter value does.
 */
struct ffclock_reading {
	__u32	clock;
	__u32	flags;
#define FFCLOCK_READ_NOW		0
#define FFCLOCK_READ_AT			(1U << 0)
#define FFCLOCK_READ_INVERSE		(1U << 1)
	__u64	counter;
	struct ffclock_time time;
	__u64	bound_ns;
	__u32	status;
	__u32	epoch;
	__u64	reserved[2];
};

/**
 * struct ffclock_stamp - a CLOCK_REALTIME stamp and its counter value
 * @realtime_ns: in: the stamp, ns since 1970
 * @counter: out: the counter when CLOCK_REALTIME first read that
 * @epoch: out: epoch of @counter
 * @result: out: FFCLOCK_STAMP_*
 */
struct ffclock_stamp {
	__s64	realtime_ns;
	__u64	counter;
	__u32	epoch;
	__u32	result;
};

#define FFCLOCK_STAMP_OK		0
#define FFCLOCK_STAMP_TOO_OLD		1 /* older than what is remembered */
#define FFCLOCK_STAMP_FUTURE		2 /* CLOCK_REALTIME is not there yet */
#define FFCLOCK_STAMP_GAP		3 /* REALTIME was stepped over it */
/* REALTIME read so more than once; counter is the latest of these */
#define FFCLOCK_STAMP_AMBIGUOUS		4

#define FFCLOCK_CONVERT_MAX		4096

/**
 * struct ffclock_convert - invert a batch of CLOCK_REALTIME stamps
 * @stamps: user address of an array of struct ffclock_stamp
 * @count: entries, 1..FFCLOCK_CONVERT_MAX
 * @flags: zero
 *
 * At least the last 16 s of CLOCK_REALTIME are remembered, through steps and
 * slews, so any kernel software timestamp (SO_TIMESTAMPING, pcap, PPS) can be
 * turned into the raw counter value it was taken at.
 */
struct ffclock_convert {
	__u64	stamps;
	__u32	count;
	__u32	flags;
};

/**
 * struct ffclock_migration - what a disruption was and what was done about it
 * @sequence: in: which one, 0 for the latest; out: its migration sequence
 * @counter: cumulative counter when it was noticed
 * @epoch: the epoch that began with it
 * @flags: FFCLOCK_MIG_F_*
 * @policy: FFCLOCK_MIG_* that was carried out
 * @settings: how often CLOCK_REALTIME was set for it, each of which cancels
 *	TFD_TIMER_CANCEL_ON_SET timers: when it was noticed, unless by FFCLOCK_MIG_
 *	NOTIFY; again if a source of time came later; and once more for each time
 *	that the kernel was interrupted between reckoning and setting
 * @tout_ns: what CLOCK_REALTIME had to be moved by: host time - guest time
 * @bound_ns: bound of the error of @tout_ns; FFCLOCK_BOUND_UNKNOWN
 * @error_left_ns: CLOCK_REALTIME - host time as measured after it was set
 * @lost_ns: how far the feed-forward clock itself was behind the host's time,
 *	that is what the counter did not see of the disruption
 * @freq_change_ppb: change of the counter's frequency, once it is known again
 * @delay_ns: from noticing to having set CLOCK_REALTIME
 * @detector: who noticed, NUL-terminated
 * @source: where the host's time came from, NUL-terminated; empty: nowhere yet
 * @downtime_ns: how long the machine stood still as far as it can tell: the time
 *	without a timekeeping update before it was noticed, by the counter (an
 *	idle machine makes few updates, so this part is an upper bound), and
 *	@lost_ns on top once that is known
 * @reserved: zero
 *
 * The last FFCLOCK_MIG_HISTORY are remembered; ENOENT for any other.
 */
struct ffclock_migration {
	__u64	sequence;
	__u64	counter;
	__u32	epoch;
	__u32	flags;
#define FFCLOCK_MIG_F_TOUT		(1U << 0) /* tout_ns, bound_ns valid */
#define FFCLOCK_MIG_F_SET		(1U << 1) /* error_left_ns, delay_ns valid */
#define FFCLOCK_MIG_F_LOST		(1U << 2) /* lost_ns valid */
#define FFCLOCK_MIG_F_FREQ		(1U << 3) /* freq_change_ppb valid */
#define FFCLOCK_MIG_F_REFUSED		(1U << 4) /* tout_ns beyond max_tout_ns */
	__u32	policy;
#define FFCLOCK_MIG_PENDING		0 /* waits for a source of time */
#define FFCLOCK_MIG_INJECT		1
#define FFCLOCK_MIG_NTP_RESET		2
#define FFCLOCK_MIG_NOTIFY		3
	__u32	settings;
	__s64	tout_ns;
	__u64	bound_ns;
	__s64	error_left_ns;
	__s64	lost_ns;
	__s64	freq_change_ppb;
	__u64	delay_ns;
	char	detector[16];
	char	source[16];
	__u64	downtime_ns;
	__u64	reserved[3];
};

#define FFCLOCK_MIG_HISTORY	16

#define FFCLOCK_IOC_MAGIC	0xfc

#define FFCLOCK_IOC_COUNTER	_IOR(FFCLOCK_IOC_MAGIC, 0x01, struct ffclock_counter)
#define FFCLOCK_IOC_SNAPSHOT	_IOR(FFCLOCK_IOC_MAGIC, 0x02, struct ffclock_snapshot)
#define FFCLOCK_IOC_GETEST	_IOR(FFCLOCK_IOC_MAGIC, 0x03, struct ffclock_estimate)
#define FFCLOCK_IOC_SETEST	_IOW(FFCLOCK_IOC_MAGIC, 0x04, struct ffclock_estimate)
#define FFCLOCK_IOC_READ	_IOWR(FFCLOCK_IOC_MAGIC, 0x05, struct ffclock_reading)
#define FFCLOCK_IOC_CONVERT	_IOWR(FFCLOCK_IOC_MAGIC, 0x06, struct ffclock_convert)
#define FFCLOCK_IOC_MIGRATION	_IOWR(FFCLOCK_IOC_MAGIC, 0x07, struct ffclock_migration)

/* /dev/ffclock read() and poll() --------------------------------------------
 *
 * read() at file position 0 copies the first bytes of a consistent page;
 * poll() reports EPOLLIN when the page has changed since this file's last
 * read() (or since open()): new parameters, a new epoch, a disruption.
 *
 * Dynamic POSIX clocks ------------------------------------------------------
 *
 * open() one of these; its clock id for clock_gettime() is
 *	((~(clockid_t)fd) << 3) | 3
 * clock_settime() is EOPNOTSUPP; clock_adjtime() with modes 0 reports offset 0,
 * maxerror and esterror in us (at most FFCLOCK_TIMEX_ERROR_MAX), status
 * (STA_UNSYNC or not), tai, and freq: the counter's rate against nominal.
 */
#define FFCLOCK_DEV		"/dev/ffclock"
#define FFCLOCK_DEV_UTC		"/dev/ffclock_utc"
#define FFCLOCK_DEV_TAI		"/dev/ffclock_tai"
#define FFCLOCK_DEV_MONO	"/dev/ffclock_mono"
#define FFCLOCK_DEV_DIFF	"/dev/ffclock_diff"

#define FFCLOCK_TIMEX_ERROR_MAX	16000000 /* us: the kernel's NTP_PHASE_LIMIT */

#endif /* _UAPI_LINUX_FFCLOCK_H */
