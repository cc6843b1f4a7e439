// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=180
/*
 * A leap second, inserted and deleted: utc does what CLOCK_REALTIME does, at the
 * very second and not up to a tick later; tai does what CLOCK_TAI does, which is
 * nothing; mono and diff do not notice.
 *
 * The kernel's NTP code inserts its own (STA_INS, STA_DEL) while we look on.
 */
#include <sys/timex.h>

#include "lib/ffc.h"

#ifndef CLOCK_TAI
#define CLOCK_TAI 11
#endif

/*
 * The kernel's clocks leap with the first timekeeping update after midnight: a
 * tick, and what a busy host adds by not running us.  There the two clocks may
 * be a second apart; that moment is left out.
 */
#define TICK_NS		(500 * 1000000LL)
/* Rate of CLOCK_REALTIME after settime against the nominal one, over some seconds */
#define CLOSE_NS	20000

static int fd;

static int adjust(struct timex tx)
{
	int ret = adjtimex(&tx);

	if (ret < 0)
		bail("adjtimex(modes %#x): %s", tx.modes, strerror(errno));
	return ret;
}

static int64_t at(enum ffclock_id clock, uint64_t counter)
{
	struct ffclock_reading r = ffc_read_at(fd, clock, counter);

	return r.time.sec * NSEC_PER_SEC + ffclock_frac_to_ns(r.time.frac);
}

static void leap(int change)
{
	const char *name = change > 0 ? "inserted" : "deleted";
	/* 2026-12-31 23:59:57, and the first second of 2027 */
	int64_t start = 1798761597, midnight = 1798761600;
	/* a deleted second is the last of the day: UTC goes from :58 to midnight */
	int64_t leap_utc = change > 0 ? midnight : midnight - 1;
	struct timespec ts = { .tv_sec = start };
	int64_t worst_utc = 0, worst_tai = 0, worst_rate = 0, off;
	int64_t tai0, mono0, diff0, raw0, left_out = 0, before = 0, after = 0, back = 0;
	struct ffclock_estimate e;
	struct ffclock_snapshot s;
	int64_t utc, tai, mono, last_mono = 0;
	int state;

	/* the kernel forgets its last leap second when it begins one without STA_INS */
	adjust((struct timex){ .modes = ADJ_STATUS, .status = 0 });
	sleep_ms(1500);
	adjust((struct timex){ .modes = ADJ_TAI, .constant = 37 });
	if (clock_settime(CLOCK_REALTIME, &ts))
		bail("clock_settime: %s", strerror(errno));
	/* without a small maxerror it calls itself unsynchronised in a second */
	adjust((struct timex){ .modes = ADJ_STATUS | ADJ_MAXERROR, .maxerror = 1000,
			       .status = change > 0 ? STA_INS : STA_DEL });
	e = ffc_good_estimate(fd);
	e.leap_change = change;
	e.leap_utc_sec = leap_utc;
	e.leap_indicator = change > 0 ? FFCLOCK_LEAP_PRE_POS : FFCLOCK_LEAP_PRE_NEG;
	e.flags = FFCLOCK_EST_F_STEP_MONO;
	if (ioctl(fd, FFCLOCK_IOC_SETEST, &e))
		bail("SETEST: %s", strerror(errno));
	sleep_ms(20);		/* mono's joint is 1 ms ahead */

	s = ffc_snapshot(fd);
	tai0 = at(FFCLOCK_TAI, s.counter);
	mono0 = at(FFCLOCK_MONO, s.counter);
	diff0 = at(FFCLOCK_DIFF, s.counter);
	raw0 = s.raw_ns;
	do {
		s = ffc_snapshot(fd);
		utc = at(FFCLOCK_UTC, s.counter);
		tai = at(FFCLOCK_TAI, s.counter);
		mono = at(FFCLOCK_MONO, s.counter);
		back += mono < last_mono;
		last_mono = mono;
		off = llabs(tai - s.tai_ns);
		if (off > worst_tai)
			worst_tai = off;
		off = llabs((mono - mono0) - (tai - tai0));
		if (off > worst_rate)
			worst_rate = off;
		off = llabs((at(FFCLOCK_DIFF, s.counter) - diff0) - (tai - tai0));
		if (off > worst_rate)
			worst_rate = off;
		/* tai does not leap, so it says how far midnight is */
		off = tai - 37 * NSEC_PER_SEC - leap_utc * NSEC_PER_SEC;
		if (off >= 0 && off < TICK_NS) {
			/* ours leaps exactly there; the kernel's has, or is about to */
			left_out++;
			if (utc != tai - (37 + change) * NSEC_PER_SEC)
				worst_utc = INT64_MAX;
		} else {
			if (llabs(utc - s.realtime_ns) > worst_utc)
				worst_utc = llabs(utc - s.realtime_ns);
			if (off < 0)
				before++;
			else
				after++;
			if (utc != tai - (37 + (off < 0 ? 0 : change)) * NSEC_PER_SEC)
				worst_utc = INT64_MAX;
		}
		usleep(500);
		/* a busy host may keep us from looking for the seconds after the leap */
	} while (s.raw_ns - raw0 < (after > 100 ? 6 : 60) * NSEC_PER_SEC);

	state = adjust((struct timex){ 0 });
	diag("%s: %" PRId64 " readings before, %" PRId64 " after, %" PRId64
	     " within the tick that the kernel may be late; adjtimex says %d (4: done)", name,
	     before, after, left_out, state);
	ok(before > 100 && after > 100 && worst_utc < CLOSE_NS,
	   "%s: utc is CLOCK_REALTIME, before and after: worst %" PRId64 " ns", name, worst_utc);
	ok(worst_tai < CLOSE_NS, "%s: tai is CLOCK_TAI throughout: worst %" PRId64 " ns", name,
	   worst_tai);
	ok(!back && worst_rate <= 2, "%s: mono and diff go as tai does: worst %" PRId64
	   " ns, %" PRId64 " steps back", name, worst_rate, back);
	ok(state == TIME_WAIT, "%s: the kernel's own is done too", name);
	adjust((struct timex){ .modes = ADJ_STATUS, .status = STA_UNSYNC });
}

int main(void)
{
	struct timespec was;
	int64_t raw;

	plan(8);
	cs_set("tsc");
	ffc_load();
	fd = ffc_open();
	clock_gettime(CLOCK_REALTIME, &was);
	raw = now_ns(CLOCK_MONOTONIC_RAW);
	leap(1);
	leap(-1);
	was.tv_sec += (now_ns(CLOCK_MONOTONIC_RAW) - raw) / NSEC_PER_SEC;
	clock_settime(CLOCK_REALTIME, &was);
	adjust((struct timex){ .modes = ADJ_TAI, .constant = 0 });
	close(fd);
	return finish();
}
