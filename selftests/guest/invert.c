// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=180
/*
 * Any CLOCK_REALTIME stamp of the last 16 s gives back the counter value it was
 * taken at, to 2 ns, whatever was done to CLOCK_REALTIME since: steps, frequency,
 * tick length, single-shot and PLL slews, clocksource switches.  The truth are
 * snapshots, which pair both by construction (contexts.sh compares those with the
 * kernel's own).  What has no answer or two says so.
 */
#include <sys/timex.h>

#include "lib/ffc.h"

#define MAX_SNAPS	100000
#define EXACT_NS	2
#define AGE_NS		(16 * NSEC_PER_SEC)

/* What may have become of the stamps taken so far */
struct snap {
	struct ffclock_snapshot s;
	uint64_t hz;		/* of the counter */
	int segment;		/* between two actions */
};

static struct snap snaps[MAX_SNAPS];
static int nr_snaps, segment;
static int fd;

static uint64_t counter_hz(void)
{
	return read_u64(FFC_SYSFS "counter/frequency");
}

/* A snapshot every 0.5 ms or so for that long */
static void watch(int ms)
{
	int64_t end = now_ns(CLOCK_MONOTONIC_RAW) + ms * 1000000LL;
	uint64_t hz = counter_hz();

	while (now_ns(CLOCK_MONOTONIC_RAW) < end && nr_snaps < MAX_SNAPS) {
		snaps[nr_snaps].s = ffc_snapshot(fd);
		snaps[nr_snaps].hz = hz;
		snaps[nr_snaps++].segment = segment;
		usleep(rng_below(1000));
	}
	segment++;
}

static int64_t counts_to_ns(int64_t counts, uint64_t hz)
{
	return (__int128)counts * NSEC_PER_SEC / (int64_t)hz;
}

static int64_t worst_ns, oldest_ns;
static int by_result[5];

/* All snapshots from index @from on, as far as they are young enough: the wrong ones */
static int check_all(int from, bool ambiguous_too)
{
	static struct ffclock_stamp stamps[MAX_SNAPS];
	int64_t now = ffc_snapshot(fd).raw_ns, off;
	int i, wrong = 0;

	for (i = from; i < nr_snaps; i++)
		stamps[i] = (struct ffclock_stamp){ .realtime_ns = snaps[i].s.realtime_ns };
	ffc_convert(fd, stamps + from, nr_snaps - from);
	memset(by_result, 0, sizeof(by_result));
	worst_ns = oldest_ns = 0;
	for (i = from; i < nr_snaps; i++) {
		const struct snap *s = &snaps[i];

		if (now - s->s.raw_ns > AGE_NS)
			continue;
		if (now - s->s.raw_ns > oldest_ns)
			oldest_ns = now - s->s.raw_ns;
		if (stamps[i].result > FFCLOCK_STAMP_AMBIGUOUS)
			bail("result %u", stamps[i].result);
		by_result[stamps[i].result]++;
		if (stamps[i].result == FFCLOCK_STAMP_AMBIGUOUS && ambiguous_too)
			continue;
		off = counts_to_ns(stamps[i].counter - s->s.counter, s->hz);
		if (llabs(off) > worst_ns)
			worst_ns = llabs(off);
		if (stamps[i].result != FFCLOCK_STAMP_OK || llabs(off) > EXACT_NS ||
		    stamps[i].epoch != s->s.epoch) {
			if (!wrong++)
				diag("snapshot %d of segment %d, %.3f s old: result %u, off by %" PRId64
				     " ns, epoch %u, wanted %u", i, s->segment,
				     (now - s->s.raw_ns) / 1e9, stamps[i].result, off,
				     stamps[i].epoch, s->s.epoch);
		}
	}
	return wrong;
}

static void verdict(const char *what, int from)
{
	int wrong = check_all(from, false);

	ok(!wrong && by_result[FFCLOCK_STAMP_OK] > 0,
	   "%s: %d stamps up to %.1f s old, worst %" PRId64 " ns, %d wrong", what,
	   by_result[FFCLOCK_STAMP_OK], oldest_ns / 1e9, worst_ns, wrong);
}

static void adjust(struct timex tx)
{
	if (adjtimex(&tx) < 0)
		bail("adjtimex(modes %#x): %s", tx.modes, strerror(errno));
}

static void step(int64_t ns)
{
	struct timespec ts;

	ns += now_ns(CLOCK_REALTIME);
	ts.tv_sec = ns / NSEC_PER_SEC;
	ts.tv_nsec = ns % NSEC_PER_SEC;
	if (clock_settime(CLOCK_REALTIME, &ts))
		bail("clock_settime: %s", strerror(errno));
}

/* Slews: frequency, tick, single shot, PLL; one piece of the line per tick */
static void test_slews(void)
{
	int from = nr_snaps, slot;
	static const long freqs[] = { 400, -500, 0 }, ticks[] = { 10100, 9000, 11000, 10000 };

	watch(300);
	for (slot = 0; slot < 3; slot++) {
		adjust((struct timex){ .modes = ADJ_FREQUENCY, .freq = freqs[slot] * 65536 });
		watch(300);
	}
	for (slot = 0; slot < 4; slot++) {
		adjust((struct timex){ .modes = ADJ_TICK, .tick = ticks[slot] });
		watch(300);
	}
	verdict("frequency to 500 ppm, tick to 10 %", from);
	from = nr_snaps;
	adjust((struct timex){ .modes = ADJ_OFFSET_SINGLESHOT, .offset = 300 });
	watch(500);
	adjust((struct timex){ .modes = ADJ_OFFSET_SINGLESHOT, .offset = -300 });
	watch(500);
	adjust((struct timex){ .modes = ADJ_OFFSET_SINGLESHOT, .offset = 0 });
	adjust((struct timex){ .modes = ADJ_STATUS, .status = STA_PLL });
	adjust((struct timex){ .modes = ADJ_OFFSET | ADJ_TIMECONST | ADJ_NANO, .offset = 400000000,
			       .constant = 0 });
	watch(1500);
	adjust((struct timex){ .modes = ADJ_OFFSET | ADJ_NANO, .offset = 0 });
	adjust((struct timex){ .modes = ADJ_STATUS, .status = STA_UNSYNC });
	adjust((struct timex){ .modes = ADJ_FREQUENCY, .freq = 0 });
	verdict("single shot and PLL", from);
}

/* A step back: its stamps are ambiguous, and the later reading is the answer */
static void test_back(void)
{
	struct ffclock_stamp s;
	int last_before, i, j, wrong = 0, ambiguous = 0;
	int64_t off, worst = 0;

	watch(700);
	last_before = nr_snaps - 1;
	step(-NSEC_PER_SEC / 2);
	watch(700);
	/* stamps from before that were read again afterwards */
	for (i = 0; i <= last_before; i++) {
		const struct ffclock_snapshot *b = &snaps[i].s, *lo = NULL, *hi = NULL;

		if (snaps[i].segment != snaps[last_before].segment ||
		    b->realtime_ns <= snaps[last_before + 1].s.realtime_ns)
			continue;
		for (j = last_before + 1; j < nr_snaps; j++) {
			if (snaps[j].s.realtime_ns <= b->realtime_ns) {
				lo = &snaps[j].s;
			} else {
				hi = &snaps[j].s;
				break;
			}
		}
		if (!lo || !hi)
			continue;
		s = ffc_convert_one(fd, b->realtime_ns);
		/* where the line through its neighbours has it: they are 1 ms apart */
		off = counts_to_ns(s.counter - lo->counter -
				   (uint64_t)((unsigned __int128)(b->realtime_ns - lo->realtime_ns) *
					      (hi->counter - lo->counter) /
					      (hi->realtime_ns - lo->realtime_ns)), snaps[i].hz);
		ambiguous++;
		if (llabs(off) > worst)
			worst = llabs(off);
		/* the neighbours' readings are rounded to 1 ns each */
		if (s.result != FFCLOCK_STAMP_AMBIGUOUS || llabs(off) > EXACT_NS + 2) {
			if (!wrong++)
				diag("result %u, off by %" PRId64 " ns", s.result, off);
		}
	}
	ok(ambiguous > 10 && !wrong, "set back by 0.5 s: %d stamps read twice say so and give the "
	   "later counter, to %" PRId64 " ns; %d wrong", ambiguous, worst, wrong);
	wrong = check_all(last_before + 1, true);
	ok(!wrong, "set back: the others as ever: %d ok, %d ambiguous, worst %" PRId64
	   " ns, %d wrong", by_result[FFCLOCK_STAMP_OK], by_result[FFCLOCK_STAMP_AMBIGUOUS],
	   worst_ns, wrong);
}

static void test_forward(void)
{
	int64_t before, after, stamp;
	int from = nr_snaps, i, gaps = 0, wrong = 0;
	struct ffclock_stamp s;

	watch(300);
	before = ffc_snapshot(fd).realtime_ns;
	step(3 * NSEC_PER_SEC / 2);
	after = ffc_snapshot(fd).realtime_ns;
	watch(300);
	verdict("set forward by 1.5 s", from);
	/* nobody read what lies between; leave the step's own duration out */
	for (i = 0; i < 1000; i++) {
		stamp = before + 200000000 + rng_below(1200000000);
		s = ffc_convert_one(fd, stamp);
		gaps += s.result == FFCLOCK_STAMP_GAP;
		wrong += s.result != FFCLOCK_STAMP_GAP;
	}
	ok(!wrong && after - before > NSEC_PER_SEC, "set forward: %d stamps stepped over say so, "
	   "%d do not", gaps, wrong);
}

static void test_clocksources(void)
{
	char text[256], *cs[8], what[64];
	int n = cs_available(text, sizeof(text), cs, 8), i, from = nr_snaps;

	for (i = 0; i < 2 * n; i++) {
		cs_set(cs[i % n]);
		watch(300);
	}
	cs_set("tsc");
	watch(200);
	snprintf(what, sizeof(what), "%d clocksources, twice each", n);
	verdict(what, from);
}

/* As fast as they come, so that some fall between a change and the next tick */
static void watch_closely(int count)
{
	uint64_t hz = counter_hz();

	for (; count && nr_snaps < MAX_SNAPS; count--) {
		snaps[nr_snaps].s = ffc_snapshot(fd);
		snaps[nr_snaps].hz = hz;
		snaps[nr_snaps++].segment = segment;
	}
	segment++;
}

/* Every stamp belongs to the epoch it was taken in, from its first moment on */
static void test_bypass_edges(void)
{
	struct ffclock_stamp stamp;
	int from = nr_snaps, i, exact = 0, wrong = 0;
	int64_t off;

	for (i = 0; i < 20; i++) {
		write_text(FFC_SYSFS "counter/bypass", i & 1 ? "none" : "hpet");
		watch_closely(20);
	}
	for (i = from; i < nr_snaps; i++) {
		const struct snap *s = &snaps[i];

		stamp = ffc_convert_one(fd, s->s.realtime_ns);
		off = counts_to_ns(stamp.counter - s->s.counter, s->hz);
		/* a pair of readings may lie apart as far as a busy host likes */
		if (s->s.flags & FFCLOCK_SNAP_F_PAIRED)
			off = 0;
		else
			exact++;
		if (stamp.result != FFCLOCK_STAMP_OK || stamp.epoch != s->s.epoch ||
		    llabs(off) > EXACT_NS) {
			if (!wrong++)
				diag("snapshot %d after change %d: result %u, off by %" PRId64
				     " ns, epoch %u, wanted %u", (i - from) % 20, (i - from) / 20,
				     stamp.result, off, stamp.epoch, s->s.epoch);
		}
	}
	ok(!wrong && exact, "bypass on and off, ten times: %d stamps, %d of them without, "
	   "%d wrong", nr_snaps - from, exact, wrong);
}

/* The core's last reading of a clocksource, long before we are told that it was left */
static void test_slow_switch(void)
{
	int from = nr_snaps, i;

	if (!fake_load(64)) {
		skip("switches from a slow clocksource", "no ffclock_fakecs");
		return;
	}
	for (i = 0; i < 10; i++) {
		cs_set("ffclock-fake");
		watch_closely(20);
		write_text(FAKE_DEBUGFS "stop_ns", "5000000");
		cs_set("tsc");
		watch_closely(50);
	}
	verdict("ten switches from a slow clocksource", from);
	run("rmmod ffclock_fakecs");
}

/* With a bypassed counter two readings are paired: to their distance */
static void test_bypass(void)
{
	int err, i, from = nr_snaps, others = 0;

	err = write_text(FFC_SYSFS "counter/bypass", "hpet");
	if (err) {
		skip("bypass", strerror(err));
		skip("bypass on and off", strerror(err));
		return;
	}
	watch(1000);
	check_all(from, false);
	for (i = 0; i < 5; i++)
		others += i == FFCLOCK_STAMP_OK ? 0 : by_result[i];
	ok(by_result[FFCLOCK_STAMP_OK] && !others, "bypass to hpet: %d stamps, %d refused, worst %"
	   PRId64 " ns from the snapshot's own pair", by_result[FFCLOCK_STAMP_OK], others, worst_ns);
	write_text(FFC_SYSFS "counter/bypass", "none");
	test_bypass_edges();
}

static void test_edges(void)
{
	int64_t now = ffc_snapshot(fd).realtime_ns;
	struct {
		const char *what;
		int64_t ns;
		uint32_t result;
	} edge[] = {
		{ "1 ms ahead", 0, FFCLOCK_STAMP_FUTURE },
		{ "1 s ahead", now + NSEC_PER_SEC, FFCLOCK_STAMP_FUTURE },
		{ "the end of time", INT64_MAX, FFCLOCK_STAMP_FUTURE },
		{ "a day ago", now - 86400 * NSEC_PER_SEC, FFCLOCK_STAMP_TOO_OLD },
		{ "1970", 0, FFCLOCK_STAMP_TOO_OLD },
		{ "before 1970", -1, FFCLOCK_STAMP_TOO_OLD },
		{ "the beginning of time", INT64_MIN, FFCLOCK_STAMP_TOO_OLD },
	};
	struct ffclock_stamp s;
	unsigned int i, wrong = 0, tries;

	for (i = 0; i < sizeof(edge) / sizeof(*edge); i++) {
		for (tries = 0; tries < 100; tries++) {
			/* a busy host may keep us from asking within that millisecond */
			if (!i)
				edge[i].ns = ffc_snapshot(fd).realtime_ns + 1000000;
			s = ffc_convert_one(fd, edge[i].ns);
			if (s.result == edge[i].result || i)
				break;
		}
		if (s.result != edge[i].result || s.counter || s.epoch) {
			wrong++;
			diag("%s: result %u, counter %" PRIu64 ", epoch %u", edge[i].what, s.result,
			     (uint64_t)s.counter, s.epoch);
		}
	}
	ok(!wrong, "future and too old say so, with no counter: %u wrong", wrong);
}

/* It looks through 64 runs at most: then it says too old, and nothing wrong */
static void test_many_steps(void)
{
	struct ffclock_snapshot old, young;
	struct ffclock_stamp s;
	int i;

	watch(20);
	old = ffc_snapshot(fd);
	for (i = 0; i < 70; i++) {
		step(2000000);
		sleep_ms(1);
	}
	young = ffc_snapshot(fd);
	for (i = 0; i < 30; i++) {
		step(2000000);
		sleep_ms(1);
	}
	s = ffc_convert_one(fd, old.realtime_ns);
	ok(s.result == FFCLOCK_STAMP_TOO_OLD, "a stamp 100 steps ago: result %u", s.result);
	s = ffc_convert_one(fd, young.realtime_ns);
	ok(s.result == FFCLOCK_STAMP_OK &&
	   llabs(counts_to_ns(s.counter - young.counter, counter_hz())) <= EXACT_NS,
	   "a stamp 30 steps ago: result %u, %" PRId64 " ns off", s.result,
	   counts_to_ns(s.counter - young.counter, counter_hz()));
}

int main(void)
{
	int from;

	plan(14);
	rng_seed();
	cs_set("tsc");
	ffc_load();
	fd = ffc_open();
	sleep_ms(100);		/* the ring begins at loading */

	test_edges();
	test_slews();
	test_clocksources();
	test_slow_switch();
	test_forward();
	test_bypass();
	/* all of it once more, as old as is promised: up to 16 s */
	from = nr_snaps;
	watch(1000);
	while (ffc_snapshot(fd).raw_ns - snaps[from].s.raw_ns < AGE_NS - NSEC_PER_SEC)
		watch(200);
	verdict("16 s later", from);
	test_back();
	test_many_steps();
	adjust((struct timex){ .modes = ADJ_FREQUENCY | ADJ_TICK, .freq = 0, .tick = 10000 });
	close(fd);
	return finish();
}
