/* SPDX-License-Identifier: GPL-2.0-only */
/* The ffclock command: what its subcommands share. */
#ifndef TOOLS_FFCLOCK_H
#define TOOLS_FFCLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <json-c/json.h>

#include "../lib/ffclock.h"

/* exit codes, documented in ffclock(1) */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNSYNC = 3 };

/**
 * struct options - what every subcommand may use
 * @page: a page file to read instead of the device, or NULL
 * @socket: control socket of ffclockd, or NULL for the usual one
 * @json: print JSON
 */
struct options {
	const char *page;
	const char *socket;
	bool json;
};

struct ffclock *open_clock(const struct options *o);
int fail(int err, const char *what);
void print_json(struct json_object *obj);
int parse_clock(const char *name);
extern const char *const clock_names[FFCLOCK_NR];

/* 2026-11-21 10:00:00.000000000; seconds.nanoseconds */
const char *iso(const struct ffclock_time *t, char *buf, size_t size);
const char *plain(const struct ffclock_time *t, char *buf, size_t size);

/* CLOCK_REALTIME - utc in ns, 0 if utc cannot be read */
int64_t realtime_minus_utc(const struct ffclock *h);

/* a number of decimal digits, all of the text: 0 or -EINVAL */
int parse_u64(const char *text, uint64_t *value);

/* ffclockd's sources for the live view */
void daemon_sources(const struct options *o, FILE *f);

/* path of the library that "run" preloads: 0 or -ENOENT */
int find_preload(char *path, size_t size);

/* bound in ns as text; "unknown" */
const char *bound_text(uint64_t bound_ns, char *buf, size_t size);
struct json_object *json_bound(uint64_t bound_ns);

int cmd_status(const struct options *o, int argc, char **argv);
int cmd_read(const struct options *o, int argc, char **argv);
int cmd_watch(const struct options *o, int argc, char **argv);
int cmd_convert(const struct options *o, int argc, char **argv);
int cmd_wait(const struct options *o, int argc, char **argv);
int cmd_migration(const struct options *o, int argc, char **argv);
int cmd_frequency(const struct options *o, int argc, char **argv);
int cmd_run(const struct options *o, int argc, char **argv);
int cmd_tracking(const struct options *o, int argc, char **argv);
int cmd_sources(const struct options *o, int argc, char **argv);
int cmd_stamps(const struct options *o, int argc, char **argv);
int cmd_reload(const struct options *o, int argc, char **argv);
int cmd_vm(const struct options *o, int argc, char **argv);
int cmd_doctor(const struct options *o, int argc, char **argv);
int cmd_plot(const struct options *o, int argc, char **argv);
int cmd_bench(const struct options *o, int argc, char **argv);

#endif /* TOOLS_FFCLOCK_H */
