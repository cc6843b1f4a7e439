// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock watch: clocks, bound, rate, sources and events as they change.
 *
 * On a terminal a picture five times a second; into a file or pipe one a second,
 * plain; with --json one object a line.
 */
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/ffclock_math.h>

#include "ffclock.h"

#define EVENTS		8
#define HISTORY		60	/* seconds that the curves show */
#define FRAME_MS	200	/* quick enough to look alive, 0.1 % of a processor */
#define PLAIN_MS	1000
#define ASK_S		2	/* sources change with a poll, 8 s or more */
#define MIN_COLUMNS	20
#define MAX_COLUMNS	200
#define FILE_MAX	512

#define BOLD	"\033[1m"
#define DIM	"\033[2m"
#define RED	"\033[31m"
#define GREEN	"\033[32m"
#define YELLOW	"\033[33m"
#define PLAIN	"\033[0m"

/**
 * struct watch - what is shown, and remembered for it
 * @h: the clocks
 * @tty: on a terminal
 * @utf8: which shows more than ASCII
 * @now: utc with bound and status, as of this frame
 * @last: as of the frame before
 * @est: parameters in force
 * @have_est: a page file does not tell them
 * @updates: replacements seen so far
 * @sequence: migration sequence
 * @events: newest first
 * @nevents: how many
 * @offset: CLOCK_REALTIME - utc, a value a second, newest last
 * @bound: utc's bound in ns, likewise
 * @samples: how many of both
 * @sampled: when the last was taken, s of CLOCK_MONOTONIC
 * @difference: CLOCK_REALTIME - utc now, ns
 * @o: where ffclockd is
 * @sources: what it said last, a line each; NULL: nothing
 * @asked: when, s of CLOCK_MONOTONIC
 */
struct watch {
	struct ffclock *h;
	bool tty;
	bool utf8;
	struct ffclock_reading now;
	struct ffclock_reading last;
	struct ffclock_estimate est;
	bool have_est;
	unsigned int updates;
	uint64_t sequence;
	char events[EVENTS][160];
	int nevents;
	double offset[HISTORY];
	double bound[HISTORY];
	int samples;
	time_t sampled;
	int64_t difference;
	const struct options *o;
	char *sources;
	time_t asked;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

/* Events ------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3)))
event(struct watch *w, const char *format, ...)
{
	struct ffclock_time t = w->now.time;
	char when[64];
	va_list args;
	size_t n;

	memmove(w->events[1], w->events[0], sizeof(w->events[0]) * (EVENTS - 1));
	if (w->nevents < EVENTS)
		w->nevents++;
	/* time of day to the millisecond, behind the date */
	n = snprintf(w->events[0], sizeof(w->events[0]), "%.12s  ",
		     iso(&t, when, sizeof(when)) + strlen("2026-11-21 "));
	va_start(args, format);
	vsnprintf(w->events[0] + n, sizeof(w->events[0]) - n, format, args);
	va_end(args);
}

static void migration_event(struct watch *w)
{
	struct ffclock_migration m = { .sequence = 0 };

	if (ffclock_migration(w->h, &m)) {
		event(w, "migration %" PRIu64, w->sequence);
		return;
	}
	if (m.flags & FFCLOCK_MIG_F_TOUT)
		event(w, "migration %llu, noticed by %.15s: CLOCK_REALTIME off by %+.3f us, time from %.15s",
		      (unsigned long long)m.sequence, m.detector, (double)m.tout_ns / 1e3, m.source);
	else
		event(w, "migration %llu, noticed by %.15s: no time yet",
		      (unsigned long long)m.sequence, m.detector);
}

/* What the new parameters made of utc, and of the rate */
static void update_event(struct watch *w, const struct ffclock_estimate *old)
{
	const struct ffclock_estimate *e = &w->est;
	uint64_t period = ffclock_period_rescale(e->period, e->period_shift, old->period_shift);
	struct ffclock_time a, b;

	if (e->epoch != old->epoch)
		return;
	a = ffclock_line_at(w->now.counter, old->counter, old->time, old->period,
			    old->period_shift);
	b = ffclock_line_at(w->now.counter, e->counter, e->time, e->period, e->period_shift);
	event(w, "update: utc %+lld ns, rate %+.4f ppm",
	      (long long)ffclock_time_to_ns(ffclock_time_sub(b, a)),
	      ((double)old->period - (double)period) / (double)period * 1e6);
}

static void look_for_events(struct watch *w)
{
	struct ffclock_estimate old = w->est;
	uint64_t sequence = ffclock_migration_sequence(w->h);

	if (w->have_est && !ffclock_get_estimate(w->h, &w->est) &&
	    (w->est.counter != old.counter || w->est.period != old.period)) {
		w->updates++;
		update_event(w, &old);
	}
	if (sequence != w->sequence) {
		w->sequence = sequence;
		migration_event(w);
	}
	if (w->now.epoch != w->last.epoch)
		event(w, "epoch %u begins: another counter, or a disruption", w->now.epoch);
	if (w->now.status != w->last.status)
		event(w, "%s, was %s", ffclock_status_name(w->now.status),
		      ffclock_status_name(w->last.status));
	w->last = w->now;
}

/* The picture ---------------------------------------------------------------- */

static void sample(struct watch *w)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (w->samples && ts.tv_sec == w->sampled)
		return;
	w->sampled = ts.tv_sec;
	if (w->samples == HISTORY) {
		memmove(w->offset, w->offset + 1, sizeof(w->offset[0]) * --w->samples);
		memmove(w->bound, w->bound + 1, sizeof(w->bound[0]) * w->samples);
	}
	w->offset[w->samples] = (double)w->difference;
	w->bound[w->samples++] = w->now.bound_ns == FFCLOCK_BOUND_UNKNOWN ?
		NAN : (double)w->now.bound_ns;
}

/* ffclockd is asked now and then, not for every picture */
static void ask_daemon(struct watch *w)
{
	struct timespec ts;
	size_t size;
	FILE *f;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	/* a page file may be another machine's: ours has no say in it, unless named */
	if ((w->o->page && !w->o->socket) ||
	    (w->asked && ts.tv_sec < w->asked + ASK_S))
		return;
	w->asked = ts.tv_sec;
	free(w->sources);
	w->sources = NULL;
	f = open_memstream(&w->sources, &size);
	if (!f)
		return;
	daemon_sources(w->o, f);
	fclose(f);
}

/* A minute as one line of eight heights, from the least to the greatest value */
static void curve(FILE *f, const struct watch *w, const double *v)
{
	static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const marks[] = { "_", ".", "-", "~", "=", "+", "*", "#" };
	double low = INFINITY, high = -INFINITY;
	int i, level;

	for (i = 0; i < w->samples; i++) {
		low = fmin(low, v[i]);
		high = fmax(high, v[i]);
	}
	for (i = 0; i < w->samples; i++) {
		if (isnan(v[i])) {
			fputc(' ', f);
			continue;
		}
		level = high > low ? (int)((v[i] - low) / (high - low) * 7.999) : 0;
		fputs(w->utf8 ? blocks[level] : marks[level], f);
	}
	fputc('\n', f);
}

static const char *span_text(double ns, char *buf, size_t size)
{
	if (fabs(ns) < 1e5)
		snprintf(buf, size, "%+.0f ns", ns);
	else if (fabs(ns) < 1e8)
		snprintf(buf, size, "%+.1f us", ns / 1e3);
	else
		snprintf(buf, size, "%+.3f s", ns / 1e9);
	return buf;
}

static void range(FILE *f, const struct watch *w, const double *v)
{
	double low = INFINITY, high = -INFINITY;
	char a[32], b[32];
	int i;

	for (i = 0; i < w->samples; i++) {
		low = fmin(low, v[i]);
		high = fmax(high, v[i]);
	}
	if (low <= high && v == w->bound)	/* these have no sign */
		fprintf(f, "%s .. %s in %d s", bound_text((uint64_t)low, a, sizeof(a)),
			bound_text((uint64_t)high, b, sizeof(b)), w->samples);
	else if (low <= high)
		fprintf(f, "%s .. %s in %d s", span_text(low, a, sizeof(a)),
			span_text(high, b, sizeof(b)), w->samples);
	fputc('\n', f);
}

/* A file of sysfs, its lines with @between in between; false: not there */
static bool sysfs(const char *name, const char *between, char *text, size_t size)
{
	char path[128], raw[FILE_MAX];
	size_t n, i, out = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/ffclock/%s", name);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(raw, 1, sizeof(raw) - 1, f);
	fclose(f);
	while (n && raw[n - 1] == '\n')
		n--;
	for (i = 0; i < n && out + strlen(between) + 1 < size; i++) {
		if (raw[i] == '\n')
			out += sprintf(text + out, "%s", between);
		else
			text[out++] = raw[i] < ' ' ? '?' : raw[i];
	}
	text[out] = '\0';
	return true;
}

/* The counter's rate as the page has it: by what 2^40 of it last */
static void show_rate(FILE *f, const struct watch *w)
{
	double hz, nominal, ppm;
	char name[32], text[64];
	uint64_t bound;
	int64_t ns;

	if (ffclock_diff(w->h, 0, 1ULL << 40, &ns, &bound) || ns <= 0)
		return;
	hz = 0x1p40 / (double)ns * 1e9;
	ppm = (double)bound / (double)ns * 1e6;
	fprintf(f, "rate      %.3f Hz", hz);
	if (ppm < 1e5)
		fprintf(f, " %s %.4f ppm", w->utf8 ? "±" : "+-", ppm);
	if (w->have_est && sysfs("counter/frequency", "", text, sizeof(text)) &&
	    (nominal = strtod(text, NULL)) > 0)
		fprintf(f, ", %+.4f ppm of nominal", (hz - nominal) / nominal * 1e6);
	if (w->have_est && sysfs("counter/current", "", name, sizeof(name)))
		fprintf(f, " (%s)", name);
	fputc('\n', f);
}

static void picture(FILE *f, struct watch *w)
{
	const char *pm = w->utf8 ? "±" : "+-";
	char text[64], bound[32], list[FILE_MAX];
	bool good = w->now.status == FFCLOCK_STATUS_SYNCHRONIZED;
	struct ffclock_reading r;
	int i;

	if (w->tty)
		fprintf(f, BOLD "ffclock" PLAIN "  %s%s%s  epoch %u, migrations %" PRIu64
			DIM "   Ctrl-C ends" PLAIN "\n\n", good ? GREEN : RED,
			ffclock_status_name(w->now.status), PLAIN, w->now.epoch, w->sequence);
	else
		fprintf(f, "status    %s   epoch %u   migrations %" PRIu64 "\n",
			ffclock_status_name(w->now.status), w->now.epoch, w->sequence);
	for (i = 0; i < FFCLOCK_NR; i++) {
		if (i == FFCLOCK_UTC)
			r = w->now;
		else if (ffclock_read(w->h, i, &r))
			continue;
		fprintf(f, "%-9s %-30s", clock_names[i], i < FFCLOCK_MONO ?
			iso(&r.time, text, sizeof(text)) : plain(&r.time, text, sizeof(text)));
		if (i == FFCLOCK_DIFF)
			fputs("  for intervals\n", f);
		else
			fprintf(f, "  %s %s\n", pm, bound_text(r.bound_ns, bound, sizeof(bound)));
	}
	fprintf(f, "REALTIME  utc %s\n", span_text((double)w->difference, text, sizeof(text)));
	show_rate(f, w);
	fprintf(f, "counter   %" PRIu64 ", read %s\n", (uint64_t)w->now.counter,
		ffclock_reads_without_syscall(w->h) ? "without a system call" :
		"through the kernel");
	if (w->have_est) {
		double age;
		int64_t ns = 0;

		ffclock_diff(w->h, w->est.counter, w->now.counter, &ns, NULL);
		age = (double)ns / 1e9;
		fprintf(f, "update    %.1f s ago, the next within %u s%s; %u since watching\n", age,
			w->est.next_update_sec, age > w->est.next_update_sec * 1.5 &&
			w->est.next_update_sec ? " is overdue" : "", w->updates);
	}
	if (w->tty && w->samples > 1) {
		fprintf(f, "\n" DIM "REALTIME - utc  " PLAIN);
		range(f, w, w->offset);
		fputs("  " YELLOW, f);
		curve(f, w, w->offset);
		fprintf(f, PLAIN DIM "bound of utc    " PLAIN);
		range(f, w, w->bound);
		fputs("  " GREEN, f);
		curve(f, w, w->bound);
		fputs(PLAIN, f);
	}
	if (w->have_est) {
		if (w->tty)
			fputc('\n', f);
		if (sysfs("migration/detectors", ", ", list, sizeof(list)))
			fprintf(f, "notice    %s\n", *list ? list : "nobody");
		if (sysfs("migration/sources", "\n          ", list, sizeof(list)))
			fprintf(f, "host time %s\n", *list ? list : "nobody knows it");
	}
	if (w->sources)
		fputs(w->sources, f);
	for (i = 0; i < w->nevents; i++)
		fprintf(f, "%s%s\n", i ? "          " : w->tty ? "\nevents    " : "events    ",
			w->events[i]);
}

/* Write @text cut to the terminal: a line that wraps would push the rest down */
static void put_cut(const char *text, int columns, int rows)
{
	int column = 0, row = 1;
	const char *p;

	for (p = text; *p && row < rows; p++) {
		if (*p == '\033') {
			/* to its letter; it takes no place */
			while (*p && *p != 'm')
				putchar(*p++);
			if (!*p)
				break;
			putchar(*p);
		} else if (*p == '\n') {
			fputs("\033[K\n", stdout);
			column = 0;
			row++;
		} else if (((unsigned char)*p & 0xc0) == 0x80) {
			/* the rest of a character that was let through, or not */
			if (column <= columns)
				putchar(*p);
		} else if (column++ < columns) {
			putchar(*p);
		}
	}
	fputs(PLAIN "\033[J", stdout);
}

static void show(struct watch *w)
{
	struct winsize size = { .ws_col = 80, .ws_row = 24 };
	char *text = NULL;
	size_t length;
	FILE *f;

	f = open_memstream(&text, &length);
	if (!f)
		return;
	picture(f, w);
	fclose(f);
	if (w->tty) {
		if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < MIN_COLUMNS)
			size.ws_col = 80;
		fputs("\033[H", stdout);
		put_cut(text, size.ws_col < MAX_COLUMNS ? size.ws_col : MAX_COLUMNS,
			size.ws_row > 4 ? size.ws_row : 24);
	} else {
		printf("%s\n", text);
	}
	fflush(stdout);
	free(text);
}

static void show_json(struct watch *w)
{
	struct json_object *obj = json_object_new_object(), *events = json_object_new_array();
	char text[64];
	uint64_t bound;
	int64_t ns;

	json_object_object_add(obj, "utc", json_object_new_string(plain(&w->now.time, text,
									sizeof(text))));
	json_object_object_add(obj, "bound_ns", json_bound(w->now.bound_ns));
	json_object_object_add(obj, "status",
			       json_object_new_string(ffclock_status_name(w->now.status)));
	json_object_object_add(obj, "epoch", json_object_new_int64(w->now.epoch));
	json_object_object_add(obj, "counter", json_object_new_uint64(w->now.counter));
	json_object_object_add(obj, "migration_sequence", json_object_new_uint64(w->sequence));
	json_object_object_add(obj, "realtime_minus_utc_ns", json_object_new_int64(w->difference));
	if (!ffclock_diff(w->h, 0, 1ULL << 40, &ns, &bound) && ns > 0) {
		json_object_object_add(obj, "rate_hz",
				       json_object_new_double(0x1p40 / (double)ns * 1e9));
		json_object_object_add(obj, "rate_error_ppm",
				       json_object_new_double((double)bound / (double)ns * 1e6));
	}
	/* each event once: newest last, as they came */
	while (w->nevents)
		json_object_array_add(events, json_object_new_string(w->events[--w->nevents]));
	json_object_object_add(obj, "events", events);
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN));
	json_object_put(obj);
	fflush(stdout);
}

int cmd_watch(const struct options *o, int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct watch w = { .tty = !o->json && isatty(STDOUT_FILENO), .o = o };
	struct timespec start, now;
	uint64_t seconds = 0;
	int ret;

	if (argc > 2 || (argc == 2 && (parse_u64(argv[1], &seconds) || !seconds ||
				       seconds > 86400))) {
		fprintf(stderr, "usage: ffclock watch [SECONDS], 1 to 86400\n");
		return EXIT_USAGE;
	}
	w.h = open_clock(o);
	if (!w.h)
		return EXIT_FAILED;
	ret = ffclock_read(w.h, FFCLOCK_UTC, &w.last);
	if (ret) {
		ffclock_close(w.h);
		return fail(ret, "reading");
	}
	setlocale(LC_CTYPE, "");
	w.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	w.have_est = !ffclock_get_estimate(w.h, &w.est);
	w.sequence = ffclock_migration_sequence(w.h);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (w.tty)		/* a screen of its own, without a cursor */
		fputs("\033[?1049h\033[?25l", stdout);
	while (!stop) {
		ret = ffclock_read(w.h, FFCLOCK_UTC, &w.now);
		if (ret)
			break;
		w.difference = realtime_minus_utc(w.h);
		look_for_events(&w);
		sample(&w);
		if (!o->json)
			ask_daemon(&w);
		if (o->json)
			show_json(&w);
		else
			show(&w);
		if (ferror(stdout))
			break;		/* nobody looks any more */
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (seconds && (uint64_t)(now.tv_sec - start.tv_sec) >= seconds)
			break;
		usleep((w.tty ? FRAME_MS : PLAIN_MS) * 1000);
	}
	if (w.tty)
		fputs("\033[?25h\033[?1049l", stdout);
	free(w.sources);
	ffclock_close(w.h);
	return ret ? fail(ret, "reading") : EXIT_OK;
}
