// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first minutes of the estimator in the simulator: is the bound honest
 * when the first exchanges are slow and one-sided, and how long does it take
 * until the clock is called synchronised?
 *
 * usage: warmup [-n SEEDS] [-s FIRST_SEED] [-o CASE] [-t] [-v] [-l]
 *
 * TAP on standard output.  Each seed draws its own path, oscillator and poll
 * interval within its case.  Scored are the first EARLY exchanges after the
 * start, and after a disruption if the case has one; twice each: the new map
 * at the answer's arrival, and the map before it at the same instant, which is
 * what a reader had until then.  Of each kind, all seeds together, the bound
 * must cover 99.9 %.
 *
 * Then times: 95 % of the seeds must be synchronised within twelve polls, on every
 * path and poll interval, and the bound must be as good as the word promises: two
 * polls later no more than twice the longer direction, unless the rate is known.
 *
 * -t prints the table of times only.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../replay/score.h"
#include "estimator.h"
#include "sim.h"

/*
 * Exchanges that are the first ones.  The filters take 32 at least to be
 * believed without proof, and it shows later if that was too early.
 */
#define EARLY		256

/*
 * After a disruption that nobody told, so many exchanges may pass before the
 * estimator knows: eight that contradict it win whatever they say.
 */
#define DEAF		8

#define COVERAGE	0.999
#define SEEDS_MAX	5000

static unsigned int test_no, test_failed;

static void tap(bool ok, const char *name)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++test_no, name);
	fflush(stdout);
	if (!ok)
		test_failed++;
}

/* ---- what a seed draws: splitmix64, apart from the simulator's own ---- */

static uint64_t draw_state;

static double draw(double lo, double hi)
{
	uint64_t v = draw_state += UINT64_C(0x9e3779b97f4a7c15);

	v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
	v ^= v >> 31;
	return lo + (hi - lo) * ((double)(v >> 11) + 0.5) * 0x1p-53;
}

/* One of the polls a daemon begins with, or keeps on a long path. */
static double draw_poll(void)
{
	static const double polls[] = { 1, 1, 2, 4, 16 };

	return polls[(int)draw(0, 5)];
}

/**
 * struct early - a scenario of one seed
 * @sc: scenario; its events are @ev
 * @ev: events
 * @n: of them
 * @again_s: a disruption happens then [s]; 0 for none
 * @known: the rate is known from an earlier run
 * @times: only until the clock is called synchronised
 */
struct early {
	struct sim_scenario	sc;
	struct sim_event	ev[8];
	unsigned int		n;
	double			again_s;
	bool			known;
	bool			times;
};

static void event(struct early *e, enum sim_kind kind, double from, double to, double a,
		  double b)
{
	e->ev[e->n++] = (struct sim_event){ kind, from, to, a, b, 0 };
}

/* Anything a machine has: within 100 ppm, wander of a good to a bad crystal. */
static void draw_oscillator(struct early *e, const char *name)
{
	e->sc = (struct sim_scenario){
		.name = name, .period_ns = 1, .poll_s = draw_poll(),
		.skew_ppm = draw(-100, 100), .wander = 1e-9 * pow(10, draw(-1, 1)),
	};
	/* the disrupted ones need twice as long */
	e->sc.length_h = 2.2 * EARLY * e->sc.poll_s / 3600;
}

/* A quiet path of a round trip between lo and hi [us]. */
static void draw_path(struct early *e, double lo, double hi)
{
	double rtt = lo * pow(hi / lo, draw(0, 1)), part = draw(0.3, 0.7);

	e->sc.base_us[0] = rtt * part;
	e->sc.base_us[1] = rtt * (1 - part);
	e->sc.queue_us[0] = rtt * draw(0.01, 0.1);
	e->sc.queue_us[1] = rtt * draw(0.01, 0.1);
}

/* The first exchanges queue one way: 10 to 50 ms of round trip. */
static void draw_slow(struct early *e, double from)
{
	enum sim_kind kind = draw(0, 1) < 0.5 ? SIM_QUEUE : SIM_QUEUE_BACK;
	double base = draw(10e3, 25e3), mean = draw(1e3, 15e3);

	event(e, kind, from, from + e->sc.poll_s * draw(1, 30), base, mean);
}

static void draw_slowfirst(struct early *e)
{
	draw_oscillator(e, "slow");
	draw_path(e, 200, 5000);
	draw_slow(e, 0);
}

static void draw_longpath(struct early *e)
{
	draw_oscillator(e, "long");
	draw_path(e, 10e3, 50e3);
	draw_slow(e, 0);
}

/* A guest on a host with ten times the work it can do. */
static void draw_busy(struct early *e)
{
	draw_oscillator(e, "busy");
	draw_path(e, 200, 1000);
	e->sc.queue_us[0] = draw(500, 8000);
	e->sc.queue_us[1] = draw(500, 8000);
}

static void draw_heavy(struct early *e)
{
	draw_busy(e);
	e->sc.name = "tail";
	e->sc.delay = SIM_LOGNORMAL;
}

/* The counter loses time and the oscillator is another one. */
static void draw_jump(struct early *e)
{
	double at = EARLY * 1.1 * e->sc.poll_s;

	e->again_s = at;
	event(e, SIM_LOSE, at, 0, draw(50e6, 500e6), 0);
	event(e, SIM_RATE, at, 0, draw(-60, 60), 0);
}

static void draw_told(struct early *e)
{
	draw_slowfirst(e);
	e->sc.name = "told";
	draw_jump(e);
	/* the counter has settled by then, and the next request is still out */
	event(e, SIM_TOLD, e->again_s + 2.1, 0, 0, 0);
	draw_slow(e, e->again_s);
}

static void draw_untold(struct early *e)
{
	draw_busy(e);
	e->sc.name = "untold";
	draw_jump(e);
}

/* A state file tells the rate; the estimator is sure of it from the start. */
static void draw_known(struct early *e)
{
	if (draw(0, 1) < 0.5)
		draw_slowfirst(e);
	else
		draw_busy(e);
	e->sc.name = "known";
	e->known = true;
}

static void draw_quiet(struct early *e)
{
	draw_oscillator(e, "quiet");
	draw_path(e, 100, 50e3);
}

/**
 * struct early_case - a family of scenarios
 * @name: short
 * @what: one line for people
 * @make: draws one from draw_state
 * @end: limit for the bound after EARLY exchanges, in 95 % of the seeds [half the
 *	least round trip]; 0 for none, where queues do not end
 */
static const struct early_case {
	const char	*name;
	const char	*what;
	void		(*make)(struct early *e);
	double		end;
} cases[] = {
	{ "quiet", "0.1 to 50 ms of round trip, unequal by up to 2:1", draw_quiet, 1.5 },
	{ "slow", "0.2 to 5 ms, the first 1 to 30 exchanges 10 to 50 ms, one way", draw_slowfirst, 1.5 },
	{ "long", "10 to 50 ms, the first 1 to 30 exchanges twice that, one way", draw_longpath, 0 },
	{ "busy", "0.2 to 1 ms, waits of 0.5 to 8 ms each way", draw_busy, 0 },
	{ "tail", "the same with a long tail", draw_heavy, 0 },
	{ "told", "slow, and again after a migration that is told", draw_told, 1.5 },
	{ "untold", "busy, and again after a migration that nobody told", draw_untold, 0 },
	{ "known", "slow or busy, the rate known from an earlier run", draw_known, 0 },
};

#define CASES	(sizeof(cases) / sizeof(cases[0]))

/* Clock minus truth, and the bound [ns]. */
static double map_error(const struct ffe_map *map, const struct sim_out *out, double *bound)
{
	double frac, whole = floor(out->true_tf_s);
	int64_t t = ffe_map_read(map, out->tf, &frac, bound) - SIM_EPOCH -
		    (int64_t)whole * 1000000000;

	return (double)t + frac - (out->true_tf_s - whole) * 1e9;
}

/**
 * struct cover - how often the bound held
 * @n: samples
 * @good: of them within the bound
 * @worst: largest error over bound
 * @ratio: bounds in units of half the least round trip so far, at most @room
 * @room: of them
 * @kept: of them
 * @last: bound of the newest sample in that unit
 * @broken: clocks called synchronised whose bound does not hold what that says
 */
struct cover {
	unsigned long	n;
	unsigned long	good;
	double		worst;
	double		*ratio;
	size_t		room;
	size_t		kept;
	double		last;
	unsigned long	broken;
};

static void cover_add(struct cover *c, double err, double bound, double unit)
{
	c->n++;
	c->good += fabs(err) <= bound;
	c->worst = fmax(c->worst, fabs(err) / bound);
	c->last = bound / unit;
	if (c->kept < c->room)
		c->ratio[c->kept++] = c->last;
}

/* Is the bound as good as "synchronised" says?  Two polls on, and the error with it. */
static bool promise_kept(const struct early *e, const struct ffe *f, const struct ffe_map *map,
			 const struct sim_out *out)
{
	struct ffe_track t;
	double bound, err;

	ffe_tracking(f, &t);
	err = map_error(map, out, &bound);
	ffe_map_read(map, out->tf + (uint64_t)(2e9 * e->sc.poll_s / e->sc.period_ns), NULL, &bound);
	/* the longer direction's part of the least round trip; and a poll comes late */
	return fabs(err) <= map->bound_ns &&
	       (t.rate_sigma <= FFE_RATE_KNOWN ||
		bound <= 2.02 * (t.min_rtt_ns + fabs(t.asym_ns)) / 2);
}

/*
 * One run; at[] gets the new maps, before[] the old ones.  Returns when the
 * clock was first called synchronised [s since the start], INFINITY if never.
 */
static double run_one(const struct early *e, uint64_t seed, struct ffe *f, struct cover *at,
		      struct cover *before, int verbose)
{
	struct ffe_prior prior = {
		.period_ns = e->sc.period_ns / (1 + e->sc.skew_ppm * 1e-6),
		.period_sigma = 3e-8, .wander = e->sc.wander,
	};
	struct ffe_config cfg = {
		.nominal_period_ns = e->sc.period_ns, .prior = e->known ? &prior : NULL,
	};
	double synced = INFINITY, least = INFINITY, err, bound;
	struct ffe_map map = { .status = FFE_UNSYNC };
	bool again = false, gone = false;
	unsigned int since = 0, deaf = 0;
	struct ffe_track t;
	struct sim_out out;
	char text[128];
	struct sim s;
	uint32_t ev;

	if (ffe_init(f, &cfg) < 0) {
		printf("Bail out! ffe_init refused the scenario's period\n");
		exit(1);
	}
	sim_start(&s, &e->sc, seed);
	while (sim_next(&s, &out)) {
		if (e->again_s > 0 && !again && out.true_tf_s > e->again_s) {
			again = true;
			gone = true;
			since = 0;
		}
		if (out.told) {
			struct ffe_restart why = { .why = FFE_RESTART_MIGRATION };

			ffe_restart(f, &why);
			map.status = FFE_UNSYNC;
			gone = false;
			least = INFINITY;
		}
		least = fmin(least, (out.true_tf_s - out.true_ta_s) * 1e9);
		if (map.status != FFE_UNSYNC && !gone && since < EARLY) {
			err = map_error(&map, &out, &bound);
			cover_add(before, err, bound, least / 2);
			if (verbose && fabs(err) > bound)
				printf("# %9.1f before: err %.1f us bound %.1f us\n", out.true_tf_s,
				       err / 1e3, bound / 1e3);
		}
		ev = ffe_process(f, &out.stamp, &map);
		if (map.status == FFE_UNSYNC)
			continue;
		err = map_error(&map, &out, &bound);
		ffe_tracking(f, &t);
		if (gone && (ev & (FFE_EV_JUMP | FFE_EV_RESTART) || ++deaf > DEAF))
			gone = false;
		if (gone)
			continue;
		if (since < EARLY) {
			cover_add(at, err, bound, least / 2);
			if (verbose > 1 || (verbose && fabs(err) > bound))
				printf("# %9.1f err %.1f us bound %.1f us + %.1f ppm rtt %.1f min %.1f rate %+.2f (%+.2f) +- %.2f ppm %s %s\n",
				       out.true_tf_s, err / 1e3, bound / 1e3, map.rate_bound * 1e6,
				       t.last_rtt_ns / 1e3, t.min_rtt_ns / 1e3, t.rate * 1e6,
				       -out.rate / 1e3, t.rate_sigma * 1e6,
				       ffe_status_name(map.status),
				       ffe_events_print(ev, text, sizeof(text)));
		}
		since++;
		if (map.status == FFE_SYNC && !isfinite(synced)) {
			synced = out.true_tf_s;
			at->broken += !promise_kept(e, f, &map, &out);
			if (e->times)
				break;
		}
	}
	return synced;
}

static void cover_tap(const struct early_case *c, const char *what, struct cover *v)
{
	char name[200];

	snprintf(name, sizeof(name), "%s, %s: bound covers %.5f of %lu (>= %g), at worst %.2f of it, median %.2f half round trips",
		 c->name, what, (double)v->good / (double)v->n, v->n, COVERAGE, v->worst,
		 score_median(v->ratio, v->kept));
	tap((double)v->good >= COVERAGE * (double)v->n, name);
}

static void case_run(const struct early_case *c, unsigned int seeds, uint64_t first,
		     struct ffe *f, int verbose)
{
	size_t room = (size_t)seeds * 2 * EARLY;
	struct cover at = { .room = room, .ratio = calloc(room, sizeof(double)) };
	struct cover before = { .room = room, .ratio = calloc(room, sizeof(double)) };
	double *end = calloc(seeds, sizeof(*end));
	unsigned int i, failing = 0;
	char name[200];

	if (!at.ratio || !before.ratio || !end) {
		printf("Bail out! out of memory\n");
		exit(1);
	}
	for (i = 0; i < seeds; i++) {
		unsigned long bad = at.n - at.good + before.n - before.good;
		struct early e = { .n = 0 };

		draw_state = first + i;
		c->make(&e);
		e.sc.events = e.ev;
		run_one(&e, first + i, f, &at, &before, verbose);
		end[i] = at.last;
		bad = at.n - at.good + before.n - before.good - bad;
		if (bad && ++failing <= 20)
			printf("# %s seed %" PRIu64 ": %lu samples beyond the bound (poll %g s)\n",
			       c->name, first + i, bad, e.sc.poll_s);
	}
	printf("# %s: %s; %u of %u seeds with a sample beyond the bound\n", c->name, c->what,
	       failing, seeds);
	cover_tap(c, "at the stamps", &at);
	cover_tap(c, "just before", &before);
	if (c->end > 0) {
		double most = score_quantile(end, seeds, 0.95);

		snprintf(name, sizeof(name), "%s: in the end the bound is %.2f half round trips in 95 %% of the seeds (<= %g)",
			 c->name, most, c->end);
		tap(most <= c->end, name);
	}
	free(end);
	free(at.ratio);
	free(before.ratio);
}

/* ---- time to synchronised ---- */

/* Queueing of the table's paths: part of one direction's delay. */
#define QUIET	0.02
#define NOISY	0.2

/* Polls that it may take. */
#define TIMES_POLLS	12

static void times_row(struct ffe *f, unsigned int seeds, uint64_t first, double poll,
		      double noise)
{
	const char *path = noise > QUIET ? "noisy" : "quiet";
	static const double rtts_us[] = { 200, 1000, 10e3, 50e3 };
	static double when[SEEDS_MAX];
	struct cover none = { .room = 0 };
	double slowest = 0;
	unsigned int i, j;
	char name[200];

	printf("# %4g s  %-5s", poll, path);
	for (j = 0; j < sizeof(rtts_us) / sizeof(rtts_us[0]); j++) {
		double leg = rtts_us[j] / 2;

		for (i = 0; i < seeds; i++) {
			struct early e = { .times = true };

			e.sc = (struct sim_scenario){
				.name = "times", .length_h = 2, .poll_s = poll, .period_ns = 1,
				.skew_ppm = 12.5, .wander = 1e-9, .base_us = { leg, leg },
				.queue_us = { leg * noise, leg * noise },
			};
			e.sc.events = e.ev;
			when[i] = run_one(&e, first + i, f, &none, &none, 0);
		}
		slowest = fmax(slowest, score_quantile(when, seeds, 0.95));
		printf("  %7.0f /%6.0f", score_median(when, seeds),
		       score_quantile(when, seeds, 0.95));
	}
	printf("\n");
	snprintf(name, sizeof(name), "poll %g s, %s: 95 %% of the seeds synchronised in %.0f s, at most %d polls",
		 poll, path, slowest, TIMES_POLLS);
	tap(slowest <= TIMES_POLLS * poll, name);
	snprintf(name, sizeof(name), "poll %g s, %s: the bound then is what it promises, %lu exceptions",
		 poll, path, none.broken);
	tap(!none.broken, name);
}

static void times(struct ffe *f, unsigned int seeds, uint64_t first)
{
	static const double polls[] = { 1, 4, 16 };
	unsigned int i;

	printf("# seconds until synchronised, median / 95 %% of the seeds; queueing of 2 %% (quiet) and 20 %% (noisy) of a direction's delay\n");
	printf("#  poll  path            0.2 ms            1 ms           10 ms           50 ms\n");
	for (i = 0; i < sizeof(polls) / sizeof(polls[0]); i++) {
		times_row(f, seeds, first, polls[i], QUIET);
		times_row(f, seeds, first, polls[i], NOISY);
	}
}

static void usage(void)
{
	fprintf(stderr, "usage: warmup [-n SEEDS] [-s FIRST_SEED] [-o CASE] [-t] [-v] [-l]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	unsigned int seeds = 200, i, ran = 0;
	struct ffe *f = malloc(ffe_size());
	const char *only = NULL;
	uint64_t first = 1000;
	bool table = false;
	int verbose = 0, o;
	char *end;

	while ((o = getopt(argc, argv, "n:s:o:tvl")) != -1) {
		switch (o) {
		case 'n':
			seeds = (unsigned int)strtoul(optarg, &end, 10);
			if (*end || !seeds || seeds > SEEDS_MAX)
				usage();
			break;
		case 's':
			first = strtoull(optarg, &end, 10);
			if (*end)
				usage();
			break;
		case 'o':
			only = optarg;
			break;
		case 't':
			table = true;
			break;
		case 'v':
			verbose++;
			break;
		case 'l':
			for (i = 0; i < CASES; i++)
				printf("%-8s %s\n", cases[i].name, cases[i].what);
			return 0;
		default:
			usage();
		}
	}
	if (!f) {
		printf("Bail out! out of memory\n");
		return 1;
	}
	if (table) {
		times(f, seeds, first);
		free(f);
		printf("1..%u\n", test_no);
		return test_failed ? 1 : 0;
	}

	printf("TAP version 13\n");
	printf("# seeds %" PRIu64 " to %" PRIu64 "\n", first, first + seeds - 1);
	for (i = 0; i < CASES; i++) {
		if (only && strcmp(only, cases[i].name))
			continue;
		case_run(&cases[i], seeds, first, f, verbose);
		ran++;
	}
	if (!only)
		times(f, seeds, first);
	free(f);
	if (!ran) {
		fprintf(stderr, "warmup: no case '%s'; -l lists them\n", only);
		return 2;
	}
	printf("1..%u\n", test_no);
	printf("# %u tests, %u failed\n", test_no, test_failed);
	return test_failed ? 1 : 0;
}
