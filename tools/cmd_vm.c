// SPDX-License-Identifier: GPL-2.0-only
/* ffclock vm: guests of this host, and what their live migrations took. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../hostd/ask.h"
#include "ffclock.h"
#include "guestrecord.h"
#include "migstats.h"
#include "qmp.h"

#define NSEC		1000000000LL

/* Between looks at both ends */
#define LOOK_NS		2000000L

/* From the source's end to the guest's running on the destination */
#define RESUME_NS	(60 * NSEC)

/* stats: lines of a log */
#define LOG_LINE_MAX	(1 << 18)

enum { KEY_SOURCE_CONTROL = 256, KEY_DEST_CONTROL, KEY_RECORD, KEY_LOG, KEY_TIMEOUT,
	KEY_NO_PREPARE, KEY_SAME };

static const struct argp_option vm_options[] = {
	{ "source", 's', "QMP", 0, "Source's QMP: path of a Unix socket, or HOST:PORT", 0 },
	{ "dest", 'd', "QMP", 0, "Destination's QMP", 0 },
	{ "uri", 'u', "URI", 0, "Where to (migrate): as for QEMU, tcp:HOST:PORT", 0 },
	{ "control", 'c', "SOCKET", 0, "ffclock-hostd of both hosts, if they are one", 0 },
	{ "source-control", KEY_SOURCE_CONTROL, "SOCKET", 0, "ffclock-hostd of the source", 0 },
	{ "dest-control", KEY_DEST_CONTROL, "SOCKET", 0, "ffclock-hostd of the destination", 0 },
	{ "no-prepare", KEY_NO_PREPARE, NULL, 0, "Leave the time on the guest's page", 0 },
	{ "guest-record", KEY_RECORD, "COMMAND", 0,
	  "Shell command that prints the guest's own record, as \"ffclock --json migration\" "
	  "does there", 0 },
	{ "log", KEY_LOG, "FILE", 0, "Append the figures to FILE, for stats", 0 },
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0, "Give up after this (3600)", 0 },
	{ "different-hosts", KEY_SAME, NULL, 0,
	  "Unix sockets lead to different hosts (forwarded ones)", 0 },
	{ 0 }
};

struct vm_arguments {
	const struct options	*o;
	const char		*command;
	const char		*source;
	const char		*dest;
	const char		*uri;
	const char		*source_control;
	const char		*dest_control;
	const char		*record;
	const char		*log;
	bool			prepare;
	bool			forwarded;
	int64_t			timeout_ns;
	char			**files;
	int			n_files;
};

static error_t vm_parse(int key, char *arg, struct argp_state *state)
{
	struct vm_arguments *a = state->input;
	char *end;
	double v;

	switch (key) {
	case 's':
		a->source = arg;
		return 0;
	case 'd':
		a->dest = arg;
		return 0;
	case 'u':
		a->uri = arg;
		return 0;
	case 'c':
		a->source_control = arg;
		a->dest_control = arg;
		return 0;
	case KEY_SOURCE_CONTROL:
		a->source_control = arg;
		return 0;
	case KEY_DEST_CONTROL:
		a->dest_control = arg;
		return 0;
	case KEY_RECORD:
		a->record = arg;
		return 0;
	case KEY_LOG:
		a->log = arg;
		return 0;
	case KEY_NO_PREPARE:
		a->prepare = false;
		return 0;
	case KEY_SAME:
		a->forwarded = true;
		return 0;
	case KEY_TIMEOUT:
		v = strtod(arg, &end);
		if (end == arg || *end || !(v >= 1 && v <= 1e6))
			argp_error(state, "--timeout: '%s' is not a number of seconds", arg);
		a->timeout_ns = (int64_t)(v * 1e9);
		return 0;
	case ARGP_KEY_ARG:
		if (!a->command) {
			a->command = arg;
			return 0;
		}
		return ARGP_ERR_UNKNOWN;
	case ARGP_KEY_ARGS:
		a->files = state->argv + state->next;
		a->n_files = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

/* ffclock-hostd ------------------------------------------------------------- */

static struct json_object *hostd(const char *socket, const char *command, int *err)
{
	struct json_object *o = NULL;
	char *answer;

	*err = ask_hostd(socket, command, &answer);
	if (*err)
		return NULL;
	o = json_tokener_parse(answer);
	free(answer);
	if (!o)
		*err = -EPROTO;
	return o;
}

/* The host's clock against its CLOCK_REALTIME, now */
static struct mig_clock host_clock(const char *socket)
{
	struct mig_clock c = { .known = false };
	struct json_object *o;
	int64_t real, utc;
	int err;

	if (!socket)
		return c;
	o = hostd(socket, "clock", &err);
	if (!o) {
		fprintf(stderr, "ffclock: %s: %s: without this host's clock\n", socket,
			strerror(-err));
		return c;
	}
	real = json_int(o, "realtime_ns", MIG_NONE);
	utc = json_int(o, "utc_ns", MIG_NONE);
	c.bound_ns = json_int(o, "bound_ns", MIG_NONE);
	if (real != MIG_NONE && utc != MIG_NONE && c.bound_ns >= 0) {
		c.offset_ns = utc - real;
		c.known = true;
	}
	json_object_put(o);
	return c;
}

/*
 * CLOCK_REALTIME may have been slewed or stepped between two looks: the stamps
 * are from somewhere in between.
 */
static struct mig_clock both(struct mig_clock a, struct mig_clock b)
{
	if (!a.known || !b.known)
		return (struct mig_clock){ .known = false };
	b.bound_ns = (a.bound_ns > b.bound_ns ? a.bound_ns : b.bound_ns) +
		llabs(a.offset_ns - b.offset_ns);
	return b;
}

static int list(const struct vm_arguments *a)
{
	const char *socket = a->source_control ? a->source_control : ASK_SOCKET;
	struct json_object *o, *guests, *clock, *pages;
	size_t i;
	int err;

	o = hostd(socket, "status", &err);
	if (!o) {
		fprintf(stderr, "ffclock: %s: %s%s\n", socket, strerror(-err),
			err == -ENOENT || err == -ECONNREFUSED ? ": ffclock-hostd does not run" :
			"");
		return EXIT_FAILED;
	}
	if (a->o->json) {
		print_json(o);
		return EXIT_OK;
	}
	if (!json_object_object_get_ex(o, "clock", &clock) ||
	    !json_object_object_get_ex(o, "guests", &guests)) {
		fprintf(stderr, "ffclock: %s: not an answer of ffclock-hostd's\n", socket);
		json_object_put(o);
		return EXIT_FAILED;
	}
	printf("clock: %s, %s%s\n", json_string(clock, "source"), json_string(clock, "status"),
	       json_string(clock, "problem"));
	printf("%-20s %8s %-8s %-14s %8s %8s %s\n", "guest", "pid", "page", "status", "marker",
	       "repairs", "");
	for (i = 0; i < json_object_array_length(guests); i++) {
		struct json_object *g = json_object_array_get_idx(guests, i), *p = NULL;

		if (json_object_object_get_ex(g, "pages", &pages) &&
		    json_object_array_length(pages))
			p = json_object_array_get_idx(pages, 0);
		printf("%-20s %8lld %-8s %-14s %8lld %8lld %s\n", json_string(g, "name"),
		       (long long)json_int(g, "pid", 0), p ? json_string(p, "kind") : "-",
		       p ? json_string(p, "status") : "-",
		       (long long)(p ? json_int(p, "marker", 0) : 0),
		       (long long)json_int(g, "repairs", 0), json_string(g, "problem"));
	}
	json_object_put(o);
	return EXIT_OK;
}

/* A migration --------------------------------------------------------------- */

/**
 * struct run - a migration that is watched
 * @a: arguments
 * @s: its stamps
 * @source: QMP
 * @dest: QMP
 * @record: the guest's own
 * @failed: what the source called its end, or NULL
 * @done: the source is done
 */
struct run {
	const struct vm_arguments	*a;
	struct mig_stamps		s;
	struct qmp			source;
	struct qmp			dest;
	struct guest_record		record;
	char				failed[32];
	bool				done;
};

static void source_event(void *arg, const char *name, int64_t ns, struct json_object *data)
{
	struct run *r = arg;
	const char *status = json_string(data, "status");

	if (!strcmp(name, "STOP"))
		r->s.stopped = ns;
	if (strcmp(name, "MIGRATION"))
		return;
	if (!strcmp(status, "setup"))
		r->s.started = ns;
	if (!strcmp(status, "completed")) {
		r->s.sent = ns;
		r->s.seen_sent = mono_ns();
		r->done = true;
	}
	if (!strcmp(status, "failed") || !strcmp(status, "cancelled"))
		snprintf(r->failed, sizeof(r->failed), "%s", status);
}

static void dest_event(void *arg, const char *name, int64_t ns, struct json_object *data)
{
	struct run *r = arg;

	if (!strcmp(name, "RESUME"))
		r->s.resumed = ns;
	if (!strcmp(name, "MIGRATION") && !strcmp(json_string(data, "status"), "completed")) {
		r->s.received = ns;
		r->s.seen_received = mono_ns();
	}
}

static int call_failed(const struct qmp *q, const char *command, int err)
{
	fprintf(stderr, "ffclock: %s: %s: %s\n", q->where, command,
		err == -EREMOTEIO ? qmp_error() : strerror(-err));
	return EXIT_FAILED;
}

/* Stamped events of a migration are a capability, off by default */
static int want_events(struct qmp *q)
{
	struct json_object *args = json_object_new_object(), *caps = json_object_new_array();
	struct json_object *cap = json_object_new_object();
	int ret;

	json_object_object_add(cap, "capability", json_object_new_string("events"));
	json_object_object_add(cap, "state", json_object_new_boolean(1));
	json_object_array_add(caps, cap);
	json_object_object_add(args, "capabilities", caps);
	ret = qmp_call(q, "migrate-set-capabilities", args, NULL);
	return ret ? call_failed(q, "migrate-set-capabilities", ret) : 0;
}

static int status_of(struct qmp *q, const char *command, char *status, size_t size)
{
	struct json_object *o = NULL;
	int ret = qmp_call(q, command, NULL, &o);

	status[0] = '\0';
	if (!ret)
		snprintf(status, size, "%s", json_string(o, "status"));
	json_object_put(o);
	return ret;
}

static void prepare(struct run *r, const char *word)
{
	char command[64];
	int err;

	if (!r->a->prepare || !r->a->source_control || !r->source.pid)
		return;
	snprintf(command, sizeof(command), "%s %d", word, (int)r->source.pid);
	json_object_put(hostd(r->a->source_control, command, &err));
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
}

/* Until the source is done.  Return: exit code */
static int follow_source(struct run *r)
{
	int64_t until = mono_ns() + r->a->timeout_ns, look = 0;
	char status[32];
	int ret;

	while (!r->done) {
		if (qmp_poll(&r->source)) {
			fprintf(stderr, "ffclock: %s: QEMU is gone\n", r->source.where);
			return EXIT_FAILED;
		}
		qmp_poll(&r->dest);
		if (r->failed[0]) {
			fprintf(stderr, "ffclock: migration %s\n", r->failed);
			return EXIT_FAILED;
		}
		if (mono_ns() > until) {
			fprintf(stderr, "ffclock: no end of the migration: given up\n");
			return EXIT_FAILED;
		}
		/* some failures come without an event: as if none were heard */
		if (mono_ns() > look) {
			look = mono_ns() + NSEC;
			ret = status_of(&r->source, "query-migrate", status, sizeof(status));
			if (ret)
				return call_failed(&r->source, "query-migrate", ret);
			if (!strcmp(status, "failed") || !strcmp(status, "cancelled"))
				snprintf(r->failed, sizeof(r->failed), "%s", status);
		}
		nap();
	}
	return EXIT_OK;
}

/* Until the guest runs on the destination.  Return: exit code */
static int follow_dest(struct run *r)
{
	int64_t until = mono_ns() + RESUME_NS;
	char status[32];
	int ret;

	while (r->s.resumed == MIG_NONE || r->s.received == MIG_NONE) {
		if (qmp_poll(&r->dest)) {
			fprintf(stderr, "ffclock: %s: QEMU is gone\n", r->dest.where);
			return EXIT_FAILED;
		}
		if (mono_ns() > until) {
			fprintf(stderr, "ffclock: the guest does not run on the destination\n");
			return EXIT_FAILED;
		}
		/* started with -S, as libvirt does: ours to let it run */
		if (r->s.received != MIG_NONE && r->s.resumed == MIG_NONE && r->a->uri) {
			ret = status_of(&r->dest, "query-status", status, sizeof(status));
			if (!ret && (!strcmp(status, "paused") || !strcmp(status, "prelaunch") ||
				     !strcmp(status, "postmigrate")))
				ret = qmp_call(&r->dest, "cont", NULL, NULL);
			if (ret)
				return call_failed(&r->dest, "cont", ret);
		}
		nap();
	}
	return EXIT_OK;
}

static void add_ms(struct json_object *o, const char *key, int64_t ns)
{
	char text[32];

	if (ns == MIG_NONE) {
		json_object_object_add(o, key, NULL);
		return;
	}
	/* microseconds are what QEMU stamps */
	snprintf(text, sizeof(text), "%.3f", (double)ns / 1e6);
	json_object_object_add(o, key, json_object_new_double_s((double)ns / 1e6, text));
}

static const char *plain_name(enum mig_plain plain)
{
	return plain == MIG_PLAIN_GOOD ? "good" :
		plain == MIG_PLAIN_UNUSABLE ? "unusable" : "unverified";
}

static struct json_object *figures_json(const struct run *r, const struct mig_figures *f,
					struct json_object *qemu)
{
	struct json_object *o = json_object_new_object(), *q = json_object_new_object(), *ram;

	add_ms(o, "time_elapsed", f->elapsed);
	add_ms(o, "time_elapsed_net", f->elapsed_net);
	add_ms(o, "downtime", f->downtime);
	add_ms(o, "downtime_net", f->downtime_net);
	add_ms(o, "delta", f->delta);
	json_object_object_add(o, "plain", json_object_new_string(plain_name(f->plain)));
	add_ms(o, "time_elapsed_true", f->elapsed_true);
	add_ms(o, "downtime_true", f->downtime_true);
	add_ms(o, "true_bound", f->true_bound);
	add_ms(o, "clock_difference", f->clock_difference);
	add_ms(o, "clock_difference_bound", f->clock_difference_bound);
	json_object_object_add(o, "setup_time", json_object_new_int64(
		json_int(qemu, "setup-time", -1)));
	json_object_object_add(q, "total_time", json_object_new_int64(
		json_int(qemu, "total-time", -1)));
	json_object_object_add(q, "downtime", json_object_new_int64(
		json_int(qemu, "downtime", -1)));
	if (json_object_object_get_ex(qemu, "ram", &ram)) {
		json_object_object_add(q, "transferred", json_object_new_int64(
			json_int(ram, "transferred", -1)));
		json_object_object_add(q, "dirty_syncs", json_object_new_int64(
			json_int(ram, "dirty-sync-count", -1)));
	}
	json_object_object_add(o, "qemu", q);
	json_object_object_add(o, "stopped_ns", json_object_new_int64(r->s.stopped));
	json_object_object_add(o, "resumed_ns", json_object_new_int64(r->s.resumed));
	return o;
}

static void row(const char *name, int64_t ns, const char *note)
{
	if (ns == MIG_NONE)
		printf("%-22s %12s     %s\n", name, "-", note);
	else
		printf("%-22s %12.3f ms  %s\n", name, (double)ns / 1e6, note);
}

static void print_table(const struct mig_figures *f, struct json_object *o)
{
	const char *plain = f->plain == MIG_PLAIN_GOOD ? "" : f->plain == MIG_PLAIN_UNUSABLE ?
		"UNUSABLE: the hosts' clocks differ" : "unverified: are the hosts synchronised?";
	struct json_object *q = NULL, *guest = NULL;
	char note[64] = "";
	int64_t lost;

	json_object_object_get_ex(o, "qemu", &q);
	row("time_elapsed", f->elapsed, plain);
	row("time_elapsed_net", f->elapsed_net, "without the hand-over");
	row("downtime", f->downtime, plain);
	row("downtime_net", f->downtime_net, "without the hand-over");
	row("delta", f->delta, "hand-over and difference of the clocks");
	if (f->true_bound != MIG_NONE) {
		snprintf(note, sizeof(note), "+- %.6f ms", (double)f->true_bound / 1e6);
		row("downtime_true", f->downtime_true, note);
		row("time_elapsed_true", f->elapsed_true, note);
	}
	if (f->clock_difference != MIG_NONE) {
		snprintf(note, sizeof(note), "+- %.6f ms, destination - source",
			 (double)f->clock_difference_bound / 1e6);
		row("clock_difference", f->clock_difference, note);
	}
	if (json_object_object_get_ex(o, "guest", &guest) && guest &&
	    json_object_array_length(guest)) {
		guest = json_object_array_get_idx(guest, 0);
		lost = json_int(guest, "lost_ns", MIG_NONE);
		snprintf(note, sizeof(note), "its own record: %s %s", json_string(guest, "action"),
			 json_string(guest, "source"));
		row("guest lost", lost, note);
	}
	printf("%-22s %8lld     ms  QEMU's\n", "setup_time",
	       (long long)json_int(o, "setup_time", -1));
	printf("%-22s %8lld     ms  query-migrate\n", "QEMU total-time",
	       (long long)json_int(q, "total_time", -1));
	printf("%-22s %8lld     ms  query-migrate\n", "QEMU downtime",
	       (long long)json_int(q, "downtime", -1));
}

static int append(const char *path, struct json_object *o)
{
	FILE *f = fopen(path, "ae");

	if (!f || fprintf(f, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN)) < 0 ||
	    fclose(f)) {
		fprintf(stderr, "ffclock: %s: %s\n", path, strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int report(struct run *r)
{
	struct json_object *qemu = NULL, *o, *record = NULL;
	struct mig_figures f;
	int ret = EXIT_OK;

	if (qmp_call(&r->source, "query-migrate", NULL, &qemu))
		qemu = json_object_new_object();
	mig_compute(&r->s, &f);
	o = figures_json(r, &f, qemu);
	json_object_put(qemu);
	if (r->a->record) {
		record = guest_record_end(&r->record);
		json_object_object_add(o, "guest", record);
	}
	if (r->a->log)
		ret = append(r->a->log, o);
	if (r->a->o->json) {
		print_json(o);
		return ret;
	}
	print_table(&f, o);
	if (record)
		printf("guest's own record:\n%s\n", json_object_to_json_string_ext(
			record, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
	json_object_put(o);
	return ret;
}

static int migration(const struct vm_arguments *a)
{
	struct run r = {
		.a = a,
		.s = { MIG_NONE, MIG_NONE, MIG_NONE, MIG_NONE, MIG_NONE, MIG_NONE, MIG_NONE,
		       { 0 }, { 0 }, false },
		.source = { .fd = -1, .event = source_event },
		.dest = { .fd = -1, .event = dest_event },
	};
	struct mig_clock source, dest;
	struct json_object *args;
	int ret = EXIT_FAILED, err;

	r.source.arg = &r;
	r.dest.arg = &r;
	if (qmp_open(&r.source, a->source) || qmp_open(&r.dest, a->dest))
		goto out;
	r.s.same_host = r.source.pid && r.dest.pid && !a->forwarded;
	if (want_events(&r.source) || want_events(&r.dest))
		goto out;
	r.record.command = a->record;
	guest_record_begin(&r.record);
	source = host_clock(a->source_control);
	dest = host_clock(a->dest_control);
	if (a->uri) {
		prepare(&r, "prepare");
		args = json_object_new_object();
		json_object_object_add(args, "uri", json_object_new_string(a->uri));
		err = qmp_call(&r.source, "migrate", args, NULL);
		if (err) {
			call_failed(&r.source, "migrate", err);
			prepare(&r, "resume");
			goto out;
		}
	}
	ret = follow_source(&r);
	if (!ret)
		ret = follow_dest(&r);
	else
		prepare(&r, "resume");
	if (!ret) {
		r.s.source = both(source, host_clock(a->source_control));
		r.s.dest = both(dest, host_clock(a->dest_control));
		ret = report(&r);
	}
out:
	qmp_close(&r.source);
	qmp_close(&r.dest);
	return ret;
}

/* Statistics of many -------------------------------------------------------- */

static const char *const columns[] = {
	"time_elapsed", "time_elapsed_net", "downtime", "downtime_net", "downtime_true", "delta",
};
#define N_COLUMNS	(sizeof(columns) / sizeof(columns[0]))

struct column {
	double	*values;
	size_t	n;
	size_t	room;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static bool plain_column(size_t i)
{
	return i == 0 || i == 2;
}

static int stats_line(struct column *c, const char *line, size_t *unusable)
{
	struct json_object *o = json_tokener_parse(line), *v;
	bool good;
	size_t i;

	if (!o || !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return -EINVAL;
	}
	good = strcmp(json_string(o, "plain"), "unusable");
	*unusable += !good;
	for (i = 0; i < N_COLUMNS; i++) {
		double *more;

		if ((plain_column(i) && !good) ||
		    !json_object_object_get_ex(o, columns[i], &v) || !v)
			continue;
		if (c[i].n == c[i].room) {
			more = realloc(c[i].values, (c[i].room + 256) * sizeof(*more));
			if (!more)
				break;
			c[i].values = more;
			c[i].room += 256;
		}
		c[i].values[c[i].n++] = json_object_get_double(v);
	}
	json_object_put(o);
	return 0;
}

static int stats(const struct vm_arguments *a)
{
	struct column c[N_COLUMNS] = { { NULL, 0, 0 } };
	struct json_object *out = json_object_new_object();
	size_t i, n = 0, unusable = 0, bad = 0;
	char *line = malloc(LOG_LINE_MAX);
	int f, ret = EXIT_OK;
	FILE *in;

	for (f = 0; line && f < a->n_files; f++) {
		in = strcmp(a->files[f], "-") ? fopen(a->files[f], "re") : stdin;
		if (!in) {
			fprintf(stderr, "ffclock: %s: %s\n", a->files[f], strerror(errno));
			ret = EXIT_FAILED;
			continue;
		}
		while (fgets(line, LOG_LINE_MAX, in)) {
			if (stats_line(c, line, &unusable))
				bad++;
			else
				n++;
		}
		if (in != stdin)
			fclose(in);
	}
	free(line);
	if (bad) {
		fprintf(stderr, "ffclock: %zu lines are not of \"vm migrate --log\"\n", bad);
		ret = EXIT_FAILED;
	}
	json_object_object_add(out, "migrations", json_object_new_int64((int64_t)n));
	json_object_object_add(out, "plain_unusable", json_object_new_int64((int64_t)unusable));
	if (!a->o->json) {
		printf("%zu migrations; plain figures of %zu unusable and left out [ms]\n", n,
		       unusable);
		printf("%-18s %6s %12s %12s %12s %12s\n", "", "number", "least", "median", "99 %",
		       "most");
	}
	for (i = 0; i < N_COLUMNS; i++) {
		struct json_object *o = json_object_new_object();
		double *v = c[i].values;
		size_t m = c[i].n;

		json_object_object_add(o, "number", json_object_new_int64((int64_t)m));
		if (m) {
			qsort(v, m, sizeof(*v), by_value);
			json_object_object_add(o, "least", json_object_new_double(v[0]));
			json_object_object_add(o, "median", json_object_new_double(v[m / 2]));
			json_object_object_add(o, "p99", json_object_new_double(v[m * 99 / 100]));
			json_object_object_add(o, "most", json_object_new_double(v[m - 1]));
		}
		if (!a->o->json && m)
			printf("%-18s %6zu %12.3f %12.3f %12.3f %12.3f\n", columns[i], m, v[0],
			       v[m / 2], v[m * 99 / 100], v[m - 1]);
		json_object_object_add(out, columns[i], o);
		free(v);
	}
	if (a->o->json)
		print_json(out);
	else
		json_object_put(out);
	return ret;
}

int cmd_vm(const struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		.options = vm_options,
		.parser = vm_parse,
		.args_doc = "list\nmigrate --source QMP --dest QMP --uri URI\n"
			"watch --source QMP --dest QMP\nstats FILE...",
		.doc = "Guests of this host, and what their live migrations took.",
	};
	struct vm_arguments a = {
		.o = o, .prepare = true, .timeout_ns = 3600 * NSEC,
	};
	static char name[] = "ffclock vm";

	argv[0] = name;
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &a))
		return EXIT_USAGE;
	if (!strcmp(a.command, "list"))
		return list(&a);
	if (!strcmp(a.command, "stats")) {
		if (a.n_files)
			return stats(&a);
		fprintf(stderr, "ffclock vm stats: which files? (- is standard input)\n");
		return EXIT_USAGE;
	}
	if (strcmp(a.command, "migrate") && strcmp(a.command, "watch")) {
		fprintf(stderr, "ffclock vm: no command \"%s\": list, migrate, watch, stats\n",
			a.command);
		return EXIT_USAGE;
	}
	if (!a.source || !a.dest || (*a.command == 'm') != !!a.uri) {
		fprintf(stderr, "ffclock vm %s: needs --source and --dest%s\n", a.command,
			*a.command == 'm' ? " and --uri" : ", and no --uri");
		return EXIT_USAGE;
	}
	return migration(&a);
}
