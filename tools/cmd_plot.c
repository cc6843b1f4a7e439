// SPDX-License-Identifier: GPL-2.0-only
/*
 * plot: ffclockd's tracking log as one SVG.
 *
 * Four charts over one time axis: offsets of stamps between the error bounds,
 * round-trip times, error bound and estimated error (logarithmic), rate.  Events
 * are lines through all of them; what the clock's status was is the strip below.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ffclock.h"

/* Lines: a week of stamps every second of one source, with their updates */
#define LINES_MAX	1300000
#define SOURCES_MAX	16
#define EVENTS_MAX	200
#define NAME_MAX_LEN	64

/* Picture [px] */
#define WIDTH		1200
#define LEFT		90
#define RIGHT		20
#define TOP		50
#define CHART		170
#define GAP		38
#define CHARTS		4
#define STRIP		14
#define HEIGHT		(TOP + CHARTS * (CHART + GAP) + STRIP + 70)
#define PLOT_W		(WIDTH - LEFT - RIGHT)

struct stamp {
	double		t;	/* s since the first line */
	double		rtt;	/* ns */
	double		offset;	/* ns */
	unsigned int	source;
};

struct update {
	double	t;
	double	bound;		/* ns */
	double	error;		/* ns */
	double	rate;		/* ppm */
	int	status;		/* of status_names */
};

struct event {
	double	t;
	char	text[120];
};

struct log {
	bool		have_base;
	int64_t		base;	/* unix s of the first line */
	struct stamp	*stamps;
	struct update	*updates;
	struct event	events[EVENTS_MAX];
	size_t		n_stamps, n_updates, n_events, bad, lines;
	char		source[SOURCES_MAX][NAME_MAX_LEN];
	unsigned int	n_sources;
	double		last;	/* newest time so far */
};

static const char *const status_names[] = { "unsync", "warmup", "sync", "suspect", "holdover" };
static const char *const status_colors[] = {
	"#999999", "#e6b800", "#2e8b57", "#d9822b", "#7a5fb5",
};
#define N_STATUS	(sizeof(status_names) / sizeof(status_names[0]))

static const char *const colors[] = {
	"#1f6fb2", "#c8553d", "#3a8f4d", "#8a5aa8", "#b5892f", "#3d9fa8", "#a83d74", "#5f6b7a",
};
#define N_COLORS	(sizeof(colors) / sizeof(colors[0]))

/* Reading ----------------------------------------------------------------- */

/* Seconds and nine decimals, exactly; relative to the first line */
static bool parse_time(struct log *l, const char *s, double *t)
{
	int64_t sec;
	long ns;
	int used = 0;

	if (sscanf(s, "%12" SCNd64 ".%9ld%n", &sec, &ns, &used) != 2 || used < 3 || sec < 0 || ns < 0)
		return false;
	if (!l->have_base) {
		l->base = sec;
		l->have_base = true;
	}
	*t = (double)(sec - l->base) + (double)ns * 1e-9;
	return true;
}

static int source_number(struct log *l, const char *name)
{
	unsigned int i;

	for (i = 0; i < l->n_sources; i++)
		if (!strcmp(l->source[i], name))
			return (int)i;
	if (l->n_sources == SOURCES_MAX)
		return -1;
	snprintf(l->source[l->n_sources], NAME_MAX_LEN, "%s", name);
	return (int)l->n_sources++;
}

static bool parse_stamp(struct log *l, const char *line)
{
	struct stamp *s = &l->stamps[l->n_stamps];
	char time[32], name[NAME_MAX_LEN];
	int n;

	if (sscanf(line, "S %31s %63s %lf %lf", time, name, &s->rtt, &s->offset) != 4 ||
	    !parse_time(l, time, &s->t) || !isfinite(s->rtt) || !isfinite(s->offset))
		return false;
	n = source_number(l, name);
	if (n < 0)
		return false;
	s->source = (unsigned int)n;
	l->n_stamps++;
	l->last = fmax(l->last, s->t);
	return true;
}

static bool parse_update(struct log *l, const char *line)
{
	struct update *u = &l->updates[l->n_updates];
	char time[32], status[16];
	size_t i;

	if (sscanf(line, "U %31s %lf %lf %lf %15s", time, &u->bound, &u->error, &u->rate,
		   status) != 5 || !parse_time(l, time, &u->t) || !isfinite(u->bound) ||
	    !isfinite(u->error) || !isfinite(u->rate))
		return false;
	for (i = 0; i < N_STATUS; i++)
		if (!strcmp(status, status_names[i]))
			break;
	if (i == N_STATUS)
		return false;
	u->status = (int)i;
	l->n_updates++;
	l->last = fmax(l->last, u->t);
	return true;
}

/* An event's own time is CLOCK_REALTIME's: where it stands in the file is surer */
static bool parse_event(struct log *l, const char *line)
{
	char time[32];
	struct event *e = &l->events[l->n_events % EVENTS_MAX];
	double t;

	if (sscanf(line, "E %31s %119[^\n]", time, e->text) != 2 || !parse_time(l, time, &t))
		return false;
	e->t = l->last;
	l->n_events++;
	return true;
}

static int read_log(struct log *l, const char *path)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char line[512];

	if (!f) {
		fprintf(stderr, "ffclock: %s: %s\n", path, strerror(errno));
		return EXIT_FAILED;
	}
	l->stamps = calloc(LINES_MAX, sizeof(*l->stamps));
	l->updates = calloc(LINES_MAX, sizeof(*l->updates));
	if (!l->stamps || !l->updates) {
		fprintf(stderr, "ffclock: out of memory\n");
		if (f != stdin)
			fclose(f);
		return EXIT_FAILED;
	}
	while (fgets(line, sizeof(line), f) && l->lines++ < LINES_MAX) {
		bool good = *line == '#' || *line == '\n' ||
			    (*line == 'S' && parse_stamp(l, line)) ||
			    (*line == 'U' && parse_update(l, line)) ||
			    (*line == 'E' && parse_event(l, line));

		l->bad += !good;
	}
	if (f != stdin)
		fclose(f);
	if (l->lines > LINES_MAX)
		fprintf(stderr, "ffclock: %s: only the first %d lines are drawn\n", path, LINES_MAX);
	if (l->bad)
		fprintf(stderr, "ffclock: %s: %zu lines that are none of a tracking log\n", path,
			l->bad);
	if (l->n_updates + l->n_stamps < 2) {
		fprintf(stderr, "ffclock: %s: nothing to draw: not a file of 'log tracking'?\n", path);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

/* Drawing ----------------------------------------------------------------- */

/**
 * struct axis - a vertical axis
 * @lo: value at the bottom; its log10 if @log
 * @hi: at the top
 * @top: of the chart [px]
 * @unit: divides values for the labels
 */
struct axis {
	double		lo, hi;
	double		top;
	bool		log;
	double		unit;
	const char	*unit_name;
};

static double x_of(const struct log *l, double t)
{
	return LEFT + PLOT_W * fmin(fmax(t / fmax(l->last, 1e-9), 0), 1);
}

static double y_of(const struct axis *a, double v)
{
	double w = a->log ? log10(fmax(v, 1e-3)) : v;

	return a->top + CHART * (1 - fmin(fmax((w - a->lo) / (a->hi - a->lo), 0), 1));
}

static void put_text(FILE *f, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			/* XML has no place for control characters, nor for broken UTF-8 */
			fputc(*s >= ' ' && *s < 0x7f ? *s : '?', f);
		}
	}
}

/* 1, 2 or 5 times a power of ten, for some five lines */
static double nice_step(double span)
{
	double raw = span / 5, p = pow(10, floor(log10(raw)));

	return raw / p < 1.5 ? p : raw / p < 3.5 ? 2 * p : raw / p < 7.5 ? 5 * p : 10 * p;
}

static void choose_unit(struct axis *a, double largest)
{
	static const struct { double size; const char *name; } units[] = {
		{ 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" },
	};
	size_t i = 0;

	while (i < 3 && largest < units[i].size)
		i++;
	a->unit = units[i].size;
	a->unit_name = units[i].name;
}

static void grid_line(FILE *f, const struct axis *a, double v, const char *label)
{
	double y = y_of(a, v);

	fprintf(f, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" class=\"g\"/>"
		"<text x=\"%d\" y=\"%.1f\" class=\"t\" text-anchor=\"end\">%s</text>\n", LEFT,
		WIDTH - RIGHT, y, y, LEFT - 6, y + 4, label);
}

static const char *span_text(double ns, char *buf, size_t size)
{
	if (ns < 999.5)
		snprintf(buf, size, "%g ns", ns);
	else if (ns < 999.5e3)
		snprintf(buf, size, "%g us", ns / 1e3);
	else if (ns < 999.5e6)
		snprintf(buf, size, "%g ms", ns / 1e6);
	else
		snprintf(buf, size, "%g s", ns / 1e9);
	return buf;
}

static void draw_axis(FILE *f, const struct axis *a, const char *title)
{
	double step, v;
	char label[48];

	fprintf(f, "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%d\" class=\"f\"/>"
		"<text x=\"%d\" y=\"%.1f\" class=\"h\">%s</text>\n", LEFT, a->top, PLOT_W, CHART,
		LEFT, a->top - 7, title);
	if (a->log) {
		for (v = ceil(a->lo); v <= a->hi + 1e-9; v++)
			grid_line(f, a, pow(10, v), span_text(pow(10, v), label, sizeof(label)));
		return;
	}
	step = nice_step((a->hi - a->lo) / a->unit) * a->unit;
	for (v = ceil(a->lo / step) * step; v <= a->hi + step * 1e-9; v += step) {
		snprintf(label, sizeof(label), "%.6g %s", fabs(v) < step * 1e-6 ? 0 : v / a->unit,
			 a->unit_name);
		grid_line(f, a, v, label);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Value below which a part @q of @n values lies; one wild value must not flatten the rest */
static double quantile(double *v, size_t n, double q)
{
	if (!n)
		return 1;
	qsort(v, n, sizeof(*v), by_value);
	return v[(size_t)(q * (double)(n - 1))];
}

static void draw_offsets(FILE *f, const struct log *l, double *tmp)
{
	struct axis a = { .top = TOP };
	double reach;
	size_t i;

	for (i = 0; i < l->n_stamps; i++)
		tmp[i] = fabs(l->stamps[i].offset);
	reach = quantile(tmp, l->n_stamps, 0.98);
	for (i = 0; i < l->n_updates; i++)
		tmp[i] = l->updates[i].bound;
	reach = 1.15 * fmax(fmax(reach, quantile(tmp, l->n_updates, 0.5)), 1);
	a.lo = -reach;
	a.hi = reach;
	choose_unit(&a, reach);
	draw_axis(f, &a, "offset of the stamps from the clock before them; shaded: within the "
		  "error bound");
	if (l->n_updates > 1) {
		fputs("<path class=\"b\" d=\"", f);
		for (i = 0; i < l->n_updates; i++)
			fprintf(f, "%c%.1f %.1f", i ? 'L' : 'M', x_of(l, l->updates[i].t),
				y_of(&a, l->updates[i].bound));
		for (i = l->n_updates; i-- > 0;)
			fprintf(f, "L%.1f %.1f", x_of(l, l->updates[i].t),
				y_of(&a, -l->updates[i].bound));
		fputs("Z\"/>\n", f);
	}
	for (i = 0; i < l->n_stamps; i++)
		fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.8\" fill=\"%s\"/>\n",
			x_of(l, l->stamps[i].t), y_of(&a, l->stamps[i].offset),
			colors[l->stamps[i].source % N_COLORS]);
}

static void draw_rtts(FILE *f, const struct log *l, double *tmp)
{
	struct axis a = { .top = TOP + CHART + GAP };
	size_t i;

	for (i = 0; i < l->n_stamps; i++)
		tmp[i] = l->stamps[i].rtt;
	a.hi = 1.1 * fmax(quantile(tmp, l->n_stamps, 0.99), 1);
	choose_unit(&a, a.hi);
	draw_axis(f, &a, "round-trip time of the stamps");
	for (i = 0; i < l->n_stamps; i++)
		fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.8\" fill=\"%s\"/>\n",
			x_of(l, l->stamps[i].t), y_of(&a, l->stamps[i].rtt),
			colors[l->stamps[i].source % N_COLORS]);
}

static void draw_line(FILE *f, const struct log *l, const struct axis *a, const char *class,
		      double (*get)(const struct update *u))
{
	size_t i;

	if (l->n_updates < 2)
		return;
	fprintf(f, "<path class=\"%s\" d=\"", class);
	for (i = 0; i < l->n_updates; i++)
		fprintf(f, "%c%.1f %.1f", i ? 'L' : 'M', x_of(l, l->updates[i].t),
			y_of(a, get(&l->updates[i])));
	fputs("\"/>\n", f);
}

static double get_bound(const struct update *u)
{
	return u->bound;
}

static double get_error(const struct update *u)
{
	return u->error;
}

static double get_rate(const struct update *u)
{
	return u->rate;
}

static void draw_bounds(FILE *f, const struct log *l)
{
	struct axis a = { .top = TOP + 2 * (CHART + GAP), .log = true, .unit = 1 };
	double lo = INFINITY, hi = 1;
	size_t i;

	for (i = 0; i < l->n_updates; i++) {
		lo = fmin(lo, fmax(fmin(l->updates[i].error, l->updates[i].bound), 1));
		hi = fmax(hi, l->updates[i].bound);
	}
	a.lo = isfinite(lo) ? floor(log10(lo)) : 0;
	a.hi = fmax(ceil(log10(hi)), a.lo + 1);
	draw_axis(f, &a, "error bound (dark) and estimated error, 1 sigma (light)");
	draw_line(f, l, &a, "e", get_error);
	draw_line(f, l, &a, "d", get_bound);
}

static void draw_rate(FILE *f, const struct log *l, double *tmp)
{
	struct axis a = {
		.top = TOP + 3 * (CHART + GAP), .unit = 1, .unit_name = "ppm",
	};
	double mid, reach;
	size_t i;

	for (i = 0; i < l->n_updates; i++)
		tmp[i] = l->updates[i].rate;
	mid = quantile(tmp, l->n_updates, 0.5);
	for (i = 0; i < l->n_updates; i++)
		tmp[i] = fabs(l->updates[i].rate - mid);
	reach = fmax(1.2 * quantile(tmp, l->n_updates, 0.97), 1e-4);
	a.lo = mid - reach;
	a.hi = mid + reach;
	draw_axis(f, &a, "rate of the counter against nominal; positive: it is slow");
	draw_line(f, l, &a, "d", get_rate);
}

static void draw_status(FILE *f, const struct log *l)
{
	double y = TOP + CHARTS * (CHART + GAP) - GAP + 8, x = LEFT;
	size_t i, from = 0;

	for (i = 0; i < l->n_updates; i++) {
		if (i + 1 < l->n_updates && l->updates[i + 1].status == l->updates[from].status)
			continue;
		fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n",
			x_of(l, l->updates[from].t), y, fmax(x_of(l, i + 1 < l->n_updates ?
			l->updates[i + 1].t : l->last) - x_of(l, l->updates[from].t), 0.5), STRIP,
			status_colors[l->updates[from].status]);
		from = i + 1;
	}
	/* legend: status, then sources */
	y = HEIGHT - 14;
	for (i = 0; i < N_STATUS; i++, x += 95)
		fprintf(f, "<rect x=\"%.0f\" y=\"%.0f\" width=\"11\" height=\"11\" fill=\"%s\"/>"
			"<text x=\"%.0f\" y=\"%.0f\" class=\"t\">%s</text>\n", x, y - 10,
			status_colors[i], x + 16, y, status_names[i]);
	for (i = 0; i < l->n_sources && x < WIDTH - 150; i++, x += 150) {
		fprintf(f, "<circle cx=\"%.0f\" cy=\"%.0f\" r=\"4\" fill=\"%s\"/>"
			"<text x=\"%.0f\" y=\"%.0f\" class=\"t\">", x + 5, y - 4,
			colors[i % N_COLORS], x + 14, y);
		put_text(f, l->source[i]);
		fputs("</text>\n", f);
	}
}

/* Time of day below; seconds, minutes, hours or days apart */
static void draw_time(FILE *f, const struct log *l)
{
	static const int steps[] = {
		1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800,
		604800,
	};
	double y = TOP + CHARTS * (CHART + GAP) - GAP, bottom = y;
	int64_t t, step = 604800;
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (l->last / steps[i] <= 12) {
			step = steps[i];
			break;
		}
	for (t = (l->base + step - 1) / step * step; (double)(t - l->base) <= l->last; t += step) {
		double x = x_of(l, (double)(t - l->base));
		time_t when = (time_t)t;
		char label[32];
		struct tm tm;

		gmtime_r(&when, &tm);
		strftime(label, sizeof(label), step >= 86400 ? "%m-%d" : step >= 60 ? "%H:%M" :
			 "%H:%M:%S", &tm);
		fprintf(f, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\" class=\"g\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" class=\"t\" text-anchor=\"middle\">%s</text>\n",
			x, x, TOP, bottom, x, bottom + STRIP + 24, label);
		if (step >= 604800 && t - l->base > 100 * step)
			break;
	}
}

static void draw_events(FILE *f, const struct log *l)
{
	size_t i, n = l->n_events < EVENTS_MAX ? l->n_events : EVENTS_MAX;
	double bottom = TOP + CHARTS * (CHART + GAP) - GAP;

	for (i = 0; i < n; i++) {
		double x = x_of(l, l->events[i].t);

		fprintf(f, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\" class=\"v\"/>", x, x,
			TOP, bottom);
		/* as far apart as there is room; all of it is in the tooltip */
		fprintf(f, "<text transform=\"translate(%.1f %d) rotate(90)\" class=\"ev\"><title>",
			x + 4, TOP + 6);
		put_text(f, l->events[i].text);
		fputs("</title>", f);
		put_text(f, l->events[i].text);
		fputs("</text>\n", f);
	}
}

static void draw(FILE *f, const struct log *l, double *tmp)
{
	time_t when = (time_t)l->base;
	char from[40];
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(from, sizeof(from), "%Y-%m-%d %H:%M:%S UTC", &tm);
	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" font-family=\"sans-serif\">\n"
		"<style>.t{font-size:11px;fill:#444}.h{font-size:12px;fill:#222}"
		".g{stroke:#e4e4e4}.f{fill:none;stroke:#bbb}"
		".b{fill:#dce9f5;stroke:none}"
		".d{fill:none;stroke:#1c3f60;stroke-width:1.3}"
		".e{fill:none;stroke:#7fb2dc;stroke-width:1.3}"
		".v{stroke:#b3261e;stroke-dasharray:4 3}.ev{font-size:10px;fill:#b3261e}</style>\n"
		"<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n"
		"<text x=\"%d\" y=\"22\" font-size=\"15\">ffclockd from %s: %zu stamps, %zu updates, "
		"%zu events in %.0f s</text>\n", WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT,
		from, l->n_stamps, l->n_updates, l->n_events, l->last);
	draw_time(f, l);
	draw_offsets(f, l, tmp);
	draw_rtts(f, l, tmp);
	draw_bounds(f, l);
	draw_rate(f, l, tmp);
	draw_status(f, l);
	draw_events(f, l);
	fputs("</svg>\n", f);
}

int cmd_plot(const struct options *o, int argc, char **argv)
{
	static struct log l;
	double *tmp = NULL;
	FILE *f = NULL;
	int ret;

	(void)o;
	if (argc < 2 || argc > 3) {
		fprintf(stderr, "ffclock: plot LOG [SVG]: a file of 'log tracking', and where the "
			"picture goes (standard output)\n");
		return EXIT_USAGE;
	}
	ret = read_log(&l, argv[1]);
	if (ret)
		goto out;
	ret = EXIT_FAILED;
	tmp = calloc(l.n_stamps + l.n_updates + 1, sizeof(*tmp));
	f = argc == 3 ? fopen(argv[2], "we") : stdout;
	if (!f || !tmp) {
		fprintf(stderr, "ffclock: %s: %s\n", argc == 3 ? argv[2] : "plot", strerror(errno));
		goto out;
	}
	draw(f, &l, tmp);
	if ((f == stdout ? fflush(f) : fclose(f)) || (f == stdout && ferror(f)))
		fprintf(stderr, "ffclock: cannot write the picture: %s\n", strerror(errno));
	else
		ret = EXIT_OK;
out:
	free(tmp);
	free(l.stamps);
	free(l.updates);
	return ret;
}
