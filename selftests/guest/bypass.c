// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=240 own=1
/*
 * The counter over each hardware counter by choice, whatever clocksource the
 * kernel's timekeeping uses: it goes on from its value in a new epoch, advances at
 * that counter's rate across its wraps, and does not mind clocksource switches.
 * A counter that gets bad is left by itself; one that is bad is refused.
 *
 * A guest of its own: in the end its TSC is marked unstable, for good.
 */
#include "lib/ffc.h"

#define CONSUMER	"/sys/kernel/debug/ffclock_consumer/run"

static int fd;

static int bypass(const char *name)
{
	return write_text(FFC_SYSFS "counter/bypass", name);
}

static bool file_is(const char *file, const char *wanted)
{
	char path[128], text[256];

	snprintf(path, sizeof(path), FFC_SYSFS "%s", file);
	if (!read_text(path, text, sizeof(text)))
		bail("cannot read %s", path);
	if (strcmp(text, wanted))
		diag("%s is %s, wanted %s", file, text, wanted);
	return !strcmp(text, wanted);
}

/* Deviation from the nominal rate against CLOCK_MONOTONIC_RAW, in ppm */
static double rate_ppm(int ms)
{
	uint64_t hz = read_u64(FFC_SYSFS "counter/frequency");
	struct ffclock_snapshot a = ffc_snapshot(fd), b;

	sleep_ms(ms);
	b = ffc_snapshot(fd);
	if (a.epoch != b.epoch)
		return 1e9;
	return ((double)(b.counter - a.counter) / hz * 1e9 / (b.raw_ns - a.raw_ns) - 1) * 1e6;
}

static void one(const char *name, char **cs)
{
	uint64_t before, after, last, now;
	uint32_t epoch, other;
	double ppm, worst = 0;
	int i, back = 0;

	before = ffc_counter(fd, &epoch);
	if (bypass(name)) {
		ok(false, "%s cannot be chosen", name);
		return;
	}
	after = ffc_counter(fd, &other);
	ok(after >= before && other == epoch + 1 && file_is("counter/current", name) &&
	   file_is("counter/bypass", name), "%s: chosen, next epoch, the value goes on", name);
	last = after;
	for (i = 0; cs[i]; i++) {
		cs_set(cs[i]);
		ppm = rate_ppm(1000);
		if (ppm > worst || -ppm > worst)
			worst = ppm < 0 ? -ppm : ppm;
		now = ffc_counter(fd, &epoch);
		back += now < last;
		last = now;
	}
	/*
	 * Two readings, each paired to the time that it takes to read three
	 * registers under an emulator on a busy host: some ms of a second.
	 */
	ok(worst < 20000 && !back && epoch == other,
	   "%s: its rate and one epoch under every clocksource: worst %.1f ppm over 1 s", name, worst);
}

int main(void)
{
	char hw_text[256], cs_text[256], *hw[8], *cs[8], *save, *word;
	const volatile struct ffclock_page *page;
	uint64_t before, after;
	uint32_t epoch, other;
	int n = 0, i, err;
	double ppm;

	ffc_load();
	fd = ffc_open();
	page = ffc_map(fd);
	if (!read_text(FFC_SYSFS "counter/available", hw_text, sizeof(hw_text)))
		bail("no counters");
	for (word = strtok_r(hw_text, " ", &save); word && n < 8; word = strtok_r(NULL, " ", &save))
		hw[n++] = word;
	cs_available(cs_text, sizeof(cs_text), cs, 8);
	plan(2 * n + 9);
	ok(n == 3, "tsc, hpet and acpi_pm are there: %d counters", n);
	cs_set("tsc");
	for (i = 0; i < n; i++)
		one(hw[i], cs);

	/* asleep for two wraps of 24 bits at 3.58 MHz, with nothing else that ticks */
	cs_set("tsc");
	if (bypass("acpi_pm"))
		bail("bypass acpi_pm");
	ppm = rate_ppm(12000);
	ok(ppm < 2000 && ppm > -2000, "acpi_pm: no wrap lost in 12 s of sleep: %.1f ppm", ppm);
	bypass("none");
	ok(file_is("counter/current", "tsc") && file_is("counter/bypass", "none"), "none: back to tsc");

	/* the TSC gets bad while it is bypassed to */
	if (run("modprobe ffclock_consumer"))
		bail("no ffclock_consumer");
	cs_set("hpet");
	if (bypass("tsc"))
		bail("bypass tsc");
	before = ffc_counter(fd, &epoch);
	ok(page->vmclock.counter_id == FFCLOCK_COUNTER_X86_TSC, "bypassed tsc is on the page");
	if (write_text(CONSUMER, "unstable"))
		bail("cannot mark the TSC");
	for (i = 0; i < 100 && !(ffc_counter(fd, &other), other != epoch); i++)
		sleep_ms(50);
	after = ffc_counter(fd, &other);
	ok(other == epoch + 1 && after >= before && file_is("counter/bypass", "none") &&
	   file_is("counter/current", "hpet"),
	   "tsc marked unstable: left by itself, %d ms later, next epoch, no step back", i * 50);
	ok(page->vmclock.counter_id == FFCLOCK_COUNTER_INVALID, "and user space is told not to read it");
	ok(file_is("counter/available", "hpet acpi_pm"), "and it is not available any more");
	err = bypass("tsc");
	ok(err == ENODEV && file_is("counter/bypass", "none") && file_is("counter/current", "hpet") &&
	   (ffc_counter(fd, &epoch), epoch == other), "tsc is refused now, and nothing changed: %s",
	   strerror(err));
	ppm = rate_ppm(1000);
	ok(ppm < 2000 && ppm > -2000, "hpet goes on at its rate: %.1f ppm", ppm);

	munmap((void *)(uintptr_t)page, FFCLOCK_PAGE_SIZE);
	close(fd);
	run("rmmod ffclock_consumer");
	return finish();
}
