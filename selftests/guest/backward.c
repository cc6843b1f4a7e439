// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=90 own=1
/*
 * A counter of 64 bits that goes back by itself, as when a hypervisor gives a guest
 * another TSC and tells nobody.  The kernel takes that for no time at all, so none of its
 * clocks moves, no timer fires and no sleep ends until somebody sets CLOCK_REALTIME.
 * Ffclock begins an epoch and gives the time up as soon as anybody reads it, or with that
 * setting, and its counter goes on above what was read before.
 */
#include <sys/timex.h>

#include "lib/ffc.h"

static int fd;

static uint64_t disruptions(void)
{
	return read_u64(FFC_SYSFS "migration/sequence");
}

static void step_back(int ms)
{
	char text[32];
	int err;

	snprintf(text, sizeof(text), "%" PRId64, -(int64_t)ms * (FAKE_HZ / 1000));
	err = write_text(FAKE_DEBUGFS "step", text);
	if (err)
		bail("step: %s", strerror(err));
}

static void synchronise(void)
{
	struct ffclock_estimate e = ffc_good_estimate(fd);

	if (ioctl(fd, FFCLOCK_IOC_SETEST, &e))
		bail("SETEST: %s", strerror(errno));
}

/* Set CLOCK_REALTIME to what it says */
static void set_realtime(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) || clock_settime(CLOCK_REALTIME, &ts))
		bail("CLOCK_REALTIME: %s", strerror(errno));
}

/* The kernel's clocks stand still, from @after on, @sequence being the disruption's */
static void standstill(int ms, const struct ffclock_reading *after, uint64_t sequence)
{
	struct timex tai = { .modes = ADJ_TAI, .constant = 37 };
	int64_t real = now_ns(CLOCK_REALTIME);
	struct ffclock_snapshot snap = ffc_snapshot(fd);
	struct ffclock_stamp stamp = ffc_convert_one(fd, real);
	uint64_t later = ffc_counter(fd, NULL);

	ok(now_ns(CLOCK_REALTIME) == real && llabs(snap.realtime_ns - real) <= 1,
	   "%d ms back: CLOCK_REALTIME stands still, a snapshot says so: %" PRId64 " ns off", ms,
	   (int64_t)(snap.realtime_ns - real));
	ok((stamp.result == FFCLOCK_STAMP_OK || stamp.result == FFCLOCK_STAMP_AMBIGUOUS) &&
	   stamp.epoch == after->epoch && later - stamp.counter < FAKE_HZ * 10ULL,
	   "%d ms back: a stamp of now is of the new epoch: result %u, %" PRId64 " counts ago", ms,
	   stamp.result, (int64_t)(later - stamp.counter));
	if (adjtimex(&tai) < 0)
		bail("adjtimex: %s", strerror(errno));
	later = ffc_counter(fd, NULL);
	ok(later - snap.counter < FAKE_HZ * 10ULL && disruptions() == sequence,
	   "%d ms back: an update that is none (TAI - UTC set) changes nothing", ms);
	set_realtime();
}

/*
 * @ms back, and nobody does anything but read the clock.  By the policy inject the
 * kernel's clocks are set, and go on with that.
 */
static void read_on(int ms, const char *policy)
{
	struct ffclock_reading before, first, after;
	uint64_t sequence, counter, earlier, later;
	struct ffclock_stamp stamp;
	int64_t real, moved_ms;
	uint32_t epoch;
	int i;

	put(FFC_SYSFS "migration/policy", policy);
	synchronise();
	ffc_counter(fd, &epoch);
	sequence = disruptions();
	before = ffc_read(fd, FFCLOCK_UTC);
	step_back(ms);
	first = ffc_read(fd, FFCLOCK_UTC);
	moved_ms = ((int64_t)(first.counter - before.counter)) / (FAKE_HZ / 1000);
	ok(before.status == FFCLOCK_STATUS_SYNCHRONIZED &&
	   first.status == FFCLOCK_STATUS_UNRELIABLE && first.bound_ns == FFCLOCK_BOUND_UNKNOWN,
	   "%d ms back: the first reading says it: status %u, then %u", ms, before.status,
	   first.status);
	ok(moved_ms > -1000 && moved_ms < 4000 && llabs(first.time.sec - before.time.sec) <= 1,
	   "%d ms back: it stays where it was: %" PRId64 " ms on", ms, moved_ms);

	/* nothing sleeps now */
	for (i = 0; i < 100000 && disruptions() == sequence; i++)
		;
	after = ffc_read(fd, FFCLOCK_UTC);
	for (i = 0; i < 1000; i++)
		counter = ffc_counter(fd, NULL);
	ok(disruptions() == sequence + 1 && after.epoch == epoch + 1 &&
	   after.status == FFCLOCK_STATUS_UNRELIABLE,
	   "%d ms back: one disruption; epoch %u, then %u", ms, epoch, after.epoch);
	ok(after.counter > before.counter && after.counter - before.counter < FAKE_HZ * 10ULL &&
	   counter > after.counter && counter - after.counter < FAKE_HZ * 10ULL,
	   "%d ms back: the counter goes on: %" PRId64 ", %" PRId64 " counts", ms,
	   (int64_t)(after.counter - before.counter), (int64_t)(counter - after.counter));

	if (!strcmp(policy, "notify"))
		standstill(ms, &after, sequence + 1);
	sleep_ms(100);
	earlier = ffc_counter(fd, NULL);
	real = now_ns(CLOCK_REALTIME);
	later = ffc_counter(fd, &epoch);
	stamp = ffc_convert_one(fd, real);
	ok(disruptions() == sequence + 1 && epoch == after.epoch,
	   "%d ms back, %s: the clocks go on, and it was one disruption", ms, policy);
	ok(stamp.result == FFCLOCK_STAMP_OK && stamp.epoch == epoch &&
	   stamp.counter - earlier <= later - earlier,
	   "%d ms back: then stamps are as ever: result %u, %" PRId64 " counts ago, of %" PRIu64,
	   ms, stamp.result, (int64_t)(later - stamp.counter), later - earlier);
}

/* @ms back, and somebody sets the clock before anybody reads it */
static void go_back(int ms)
{
	struct ffclock_reading before, after;
	uint64_t sequence;
	uint32_t epoch;

	synchronise();
	ffc_counter(fd, &epoch);
	sequence = disruptions();
	before = ffc_read(fd, FFCLOCK_UTC);
	step_back(ms);
	set_realtime();
	after = ffc_read(fd, FFCLOCK_UTC);
	ok(before.status == FFCLOCK_STATUS_SYNCHRONIZED &&
	   after.status == FFCLOCK_STATUS_UNRELIABLE && after.epoch == epoch + 1,
	   "%d ms back: status %u, then %u; epoch %u, then %u", ms, before.status, after.status,
	   epoch, after.epoch);
	ok(after.counter - before.counter < (uint64_t)FAKE_HZ * 10,
	   "%d ms back: the counter goes on: %" PRId64 " counts", ms,
	   (int64_t)(after.counter - before.counter));
	ok(disruptions() == sequence + 1, "%d ms back: one disruption", ms);
}

/*
 * From a clocksource whose reading takes long while it is left, the core's last or one of
 * ours after it: the core's first reading of the next one lies before ours, and updates lag
 * up to a tick behind.  That is not back.
 */
static void leave_slow(void)
{
	uint64_t sequence = disruptions();
	uint32_t epoch, after;
	int pass, ms, n = 0;
	char text[16];

	ffc_counter(fd, &epoch);
	for (pass = 0; pass < 4; pass++) {
		for (ms = 1; ms <= 15; ms++, n++) {
			cs_set("ffclock-fake");
			snprintf(text, sizeof(text), "%d", pass);
			put(FAKE_DEBUGFS "stop_pass", text);
			snprintf(text, sizeof(text), "%d", ms * 1000000);
			put(FAKE_DEBUGFS "stop_ns", text);
			cs_set("tsc");
			put(FAKE_DEBUGFS "stop_ns", "0");
		}
	}
	sleep_ms(20);
	ffc_counter(fd, &after);
	ok(disruptions() == sequence && after == epoch + 2 * n,
	   "clocksources that take up to 15 ms to read are left, %d times: %" PRIu64
	   " disruptions, %u epochs", n, disruptions() - sequence, after - epoch);
}

int main(void)
{
	plan(32);
	ffc_load();
	if (!fake_load(64))
		bail("no ffclock_fakecs");
	fd = ffc_open();
	cs_set("ffclock-fake");
	sleep_ms(100);
	go_back(5000);
	sleep_ms(200);
	go_back(3600000);
	sleep_ms(200);
	read_on(5000, "notify");
	sleep_ms(200);
	read_on(3600000, "notify");
	sleep_ms(200);
	read_on(3600000, "inject");
	cs_set("tsc");
	leave_slow();
	close(fd);
	ok(!run("rmmod ffclock_fakecs && rmmod ffclock"), "nothing is left");
	return finish();
}
