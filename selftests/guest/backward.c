// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=90 own=1
/*
 * A counter of 64 bits that goes back by itself, as when a hypervisor gives a guest
 * another TSC and tells nobody.  The kernel takes that for no time at all, so no clock
 * moves until somebody sets CLOCK_REALTIME.  Then ffclock begins an epoch and gives the
 * time up, and its counter goes on above what was read before.
 */
#include "lib/ffc.h"

static int fd;

/* @ms back, and somebody sets the clock to what it says */
static void go_back(int ms)
{
	struct ffclock_estimate e = ffc_good_estimate(fd);
	struct ffclock_reading before, after;
	struct timespec ts;
	uint64_t sequence;
	char text[32];
	uint32_t epoch;
	int err;

	if (ioctl(fd, FFCLOCK_IOC_SETEST, &e))
		bail("SETEST: %s", strerror(errno));
	ffc_counter(fd, &epoch);
	sequence = read_u64(FFC_SYSFS "migration/sequence");
	before = ffc_read(fd, FFCLOCK_UTC);
	snprintf(text, sizeof(text), "%" PRId64, -(int64_t)ms * (FAKE_HZ / 1000));
	err = write_text(FAKE_DEBUGFS "step", text);
	if (err)
		bail("step: %s", strerror(err));
	if (clock_gettime(CLOCK_REALTIME, &ts) || clock_settime(CLOCK_REALTIME, &ts))
		bail("CLOCK_REALTIME: %s", strerror(errno));
	after = ffc_read(fd, FFCLOCK_UTC);
	ok(before.status == FFCLOCK_STATUS_SYNCHRONIZED &&
	   after.status == FFCLOCK_STATUS_UNRELIABLE && after.epoch == epoch + 1,
	   "%d ms back: status %u, then %u; epoch %u, then %u", ms, before.status, after.status,
	   epoch, after.epoch);
	ok(after.counter - before.counter < (uint64_t)FAKE_HZ * 10,
	   "%d ms back: the counter goes on: %" PRId64 " counts", ms,
	   (int64_t)(after.counter - before.counter));
	ok(read_u64(FFC_SYSFS "migration/sequence") == sequence + 1, "%d ms back: one disruption",
	   ms);
}

int main(void)
{
	plan(7);
	ffc_load();
	if (!fake_load(64))
		bail("no ffclock_fakecs");
	fd = ffc_open();
	cs_set("ffclock-fake");
	sleep_ms(100);
	go_back(5000);
	sleep_ms(200);
	go_back(3600000);
	close(fd);
	cs_set("tsc");
	ok(!run("rmmod ffclock_fakecs && rmmod ffclock"), "nothing is left");
	return finish();
}
