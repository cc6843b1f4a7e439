// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=120
/*
 * The tracepoints fire once for each event, with fields that agree with what the
 * interfaces tell: an estimate, a clocksource switch, a bypass.  (The one of
 * migrations is compared with the record by the migration tests.)
 */
#include <sys/mount.h>

#include "lib/ffc.h"

#define TRACEFS	"/sys/kernel/tracing/"

static char text[65536];

static void tracing(const char *file, const char *value)
{
	char path[128];
	int err;

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	err = write_text(path, value);
	if (err)
		bail("%s into %s: %s", value, path, strerror(err));
}

/* Events of that name in the buffer; the last one's fields */
static int events(const char *name, char **fields)
{
	char pattern[64], *at = text;
	int n = 0;

	if (!read_text(TRACEFS "trace", text, sizeof(text)))
		bail("cannot read the trace");
	snprintf(pattern, sizeof(pattern), ": %s: ", name);
	*fields = "";
	while ((at = strstr(at, pattern))) {
		at += strlen(pattern);
		*fields = at;
		n++;
	}
	return n;
}

static uint64_t field(const char *fields, const char *name)
{
	char pattern[64];
	const char *at;

	snprintf(pattern, sizeof(pattern), " %s=", name);
	if (!strncmp(fields, pattern + 1, strlen(pattern) - 1))
		return strtoull(fields + strlen(pattern) - 1, NULL, 0);
	at = strstr(fields, pattern);
	if (!at)
		bail("no field %s in: %.200s", name, fields);
	return strtoull(at + strlen(pattern), NULL, 0);
}

static bool says(const char *fields, const char *word)
{
	const char *end = strchrnul(fields, '\n');
	const char *at = strstr(fields, word);

	return at && at < end;
}

int main(void)
{
	static const char * const names[] = { "update", "epoch", "migration", "notice" };
	struct ffclock_estimate e;
	uint64_t before, after;
	char path[128], *f;
	uint32_t epoch;
	unsigned int i;
	int fd, n;

	plan(10);
	cs_set("tsc");
	ffc_load();
	fd = ffc_open();
	if (access(TRACEFS "events", F_OK) && mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		skip_all("no tracefs");
	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), TRACEFS "events/ffclock/ffclock_%s/format", names[i]);
		ok(!access(path, R_OK), "ffclock_%s has a format", names[i]);
	}
	tracing("trace", "");
	tracing("events/ffclock/enable", "1");

	e = ffc_good_estimate(fd);
	e.maxerror_ns = 4711;
	before = ffc_counter(fd, NULL);
	if (ioctl(fd, FFCLOCK_IOC_SETEST, &e))
		bail("SETEST: %s", strerror(errno));
	after = ffc_counter(fd, NULL);
	n = events("ffclock_update", &f);
	ok(n == 1 && field(f, "counter") == e.counter && field(f, "period") == e.period &&
	   field(f, "shift") == e.period_shift && field(f, "maxerror_ns") == 4711 &&
	   field(f, "status") == FFCLOCK_STATUS_SYNCHRONIZED &&
	   field(f, "sec") == (uint64_t)e.time.sec && field(f, "frac") == e.time.frac,
	   "an estimate: %d ffclock_update, with its values", n);
	ok(field(f, "now") >= before && field(f, "now") <= after,
	   "applied between the counter before and after");

	cs_set("hpet");
	after = ffc_counter(fd, &epoch);
	n = events("ffclock_epoch", &f);
	ok(n == 1 && field(f, "epoch") == epoch && field(f, "value") >= before &&
	   field(f, "value") <= after && says(f, "counter=hpet") && says(f, "why=clocksource"),
	   "a clocksource switch: %d ffclock_epoch: %.90s", n, strtok(f, "\n"));
	write_text(FFC_SYSFS "counter/bypass", "acpi_pm");
	n = events("ffclock_epoch", &f);
	ok(n == 2 && field(f, "epoch") == epoch + 1 && says(f, "counter=acpi_pm") &&
	   says(f, "why=bypass"), "a bypass: ffclock_epoch number %d: %.90s", n, strtok(f, "\n"));
	write_text(FFC_SYSFS "counter/bypass", "none");
	cs_set("tsc");
	n = events("ffclock_epoch", &f);
	ok(n == 4 && field(f, "epoch") == epoch + 3 && says(f, "counter=tsc"),
	   "and back: ffclock_epoch number %d: %.90s", n, strtok(f, "\n"));
	n = events("ffclock_update", &f) + events("ffclock_migration", &f) +
	    events("ffclock_notice", &f);
	ok(n == 1, "and no other events");
	tracing("events/ffclock/enable", "0");
	tracing("trace", "");
	close(fd);
	return finish();
}
