// SPDX-License-Identifier: GPL-2.0-only
/* The text of the metrics: see metrics_text.h. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "metrics_text.h"

static void head(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP ffclockd_%s %s\n# TYPE ffclockd_%s %s\n", name, help, name, type);
}

static void value(FILE *f, double v)
{
	if (isnan(v))
		fputs("NaN\n", f);
	else if (isinf(v))
		fputs(v > 0 ? "+Inf\n" : "-Inf\n", f);
	else
		fprintf(f, "%.12g\n", v);
}

static void one(FILE *f, const char *name, const char *type, const char *help, double v)
{
	head(f, name, type, help);
	fprintf(f, "ffclockd_%s ", name);
	value(f, v);
}

/* A label's value: the format has three escapes */
static void label(FILE *f, const char *text)
{
	fputc('"', f);
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			fputc('\\', f);
		if (*text == '\n')
			fputs("\\n", f);
		else
			fputc(*text, f);
	}
	fputc('"', f);
}

/* Per source */

static double of_weight(const struct sync_source *v)
{
	return v->look.weight;
}

static double of_reach(const struct sync_source *v)
{
	return __builtin_popcount(v->report.reach) / 8.0;
}

static double of_offset(const struct sync_source *v)
{
	return v->look.has_clock ? v->look.offset_ns * 1e-9 : NAN;
}

static double of_bound(const struct sync_source *v)
{
	return v->look.has_clock ? v->look.bound_ns * 1e-9 : NAN;
}

static double of_rtt(const struct sync_source *v)
{
	return v->track.stamps ? v->track.last_rtt_ns * 1e-9 : NAN;
}

static double of_min_rtt(const struct sync_source *v)
{
	return v->track.stamps ? v->track.min_rtt_ns * 1e-9 : NAN;
}

static double of_interval(const struct sync_source *v)
{
	return v->report.interval_s;
}

static double of_stratum(const struct sync_source *v)
{
	return v->report.stratum;
}

static double of_sent(const struct sync_source *v)
{
	return (double)v->report.sent;
}

static double of_good(const struct sync_source *v)
{
	return (double)v->report.good;
}

static double of_bad(const struct sync_source *v)
{
	return (double)v->report.bad;
}

static double of_used(const struct sync_source *v)
{
	return v->look.state == ENS_USED;
}

static double of_false(const struct sync_source *v)
{
	return v->look.state == ENS_FALSE;
}

static const struct {
	const char	*name;
	const char	*type;
	const char	*help;
	double		(*get)(const struct sync_source *v);
} per_source[] = {
	{ "source_used", "gauge", "1 while the source is part of the clock.", of_used },
	{ "source_outvoted", "gauge", "1 while the majority says that it is wrong.", of_false },
	{ "source_weight", "gauge", "Its part in the clock, 0 to 1.", of_weight },
	{ "source_reach", "gauge", "Part of the last 8 attempts that succeeded.", of_reach },
	{ "source_offset_seconds", "gauge", "Its clock minus the clock of all.", of_offset },
	{ "source_bound_seconds", "gauge", "Error bound of its own clock.", of_bound },
	{ "source_rtt_seconds", "gauge", "Round-trip time of the last stamp.", of_rtt },
	{ "source_min_rtt_seconds", "gauge", "Least round-trip time of its path.", of_min_rtt },
	{ "source_interval_seconds", "gauge", "Present interval between attempts.", of_interval },
	{ "source_stratum", "gauge", "Its stratum, 0 for what is no server.", of_stratum },
	{ "source_attempts_total", "counter", "Attempts.", of_sent },
	{ "source_stamps_total", "counter", "Attempts that gave a stamp.", of_good },
	{ "source_bad_total", "counter", "Datagrams that were of no use.", of_bad },
};

static void write_sources(FILE *f, struct sync *sync)
{
	struct sync_source v;
	unsigned int i;
	size_t k;

	for (k = 0; k < sizeof(per_source) / sizeof(per_source[0]); k++) {
		head(f, per_source[k].name, per_source[k].type, per_source[k].help);
		for (i = 0; !sync_look_source(sync, i, &v); i++) {
			fprintf(f, "ffclockd_%s{source=", per_source[k].name);
			label(f, v.cfg->name);
			/* two of a pool, or two ports of a host, are two */
			fprintf(f, ",number=\"%u\"} ", i);
			value(f, per_source[k].get(&v));
		}
	}
}

void metrics_write(FILE *f, const struct metrics_count *c, struct sync *sync)
{
	struct sync_view v;
	bool have = !sync_look(sync, &v);

	one(f, "start_time_seconds", "gauge", "When the daemon began, Unix time.", c->start_s);
	one(f, "updates_total", "counter", "Updates of the clock.", (double)c->updates);
	one(f, "counter_breaks_total", "counter", "Breaks of the raw counter.",
	    (double)c->breaks);
	one(f, "migrations_total", "counter", "Of these, known to be migrations.",
	    (double)c->migrations);
	one(f, "synchronized", "gauge", "1 while the clock is synchronised.",
	    have && v.map.status == FFE_SYNC);
	one(f, "holdover", "gauge", "1 while no stamps come and the clock runs on.",
	    have && v.map.status == FFE_HOLDOVER);
	write_sources(f, sync);
	if (!have)
		return;
	one(f, "bound_seconds", "gauge", "Largest error of the clock.", v.map.bound_ns * 1e-9);
	one(f, "error_seconds", "gauge", "Estimated error of the clock, 1 sigma.",
	    v.map.est_error_ns * 1e-9);
	one(f, "rate_ratio", "gauge", "How much longer a count lasts than nominally.",
	    v.track.rate);
	one(f, "rate_error_ratio", "gauge", "Estimated error of that, 1 sigma.", v.map.rate_est);
	one(f, "wander_ratio", "gauge", "Random walk of the rate in a second.", v.track.wander);
	one(f, "window_seconds", "gauge", "Averaging window.", v.track.window_s);
	one(f, "sources_used", "gauge", "Sources that are part of the clock.", v.used);
	one(f, "system_offset_seconds", "gauge",
	    "CLOCK_REALTIME minus this clock; positive: ahead.", (double)v.system_ns * 1e-9);
}
