// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replay the shared stamp traces and compare with what others reach there.
 *
 * usage: traces [-v] [DIRECTORY]
 *
 * TAP on standard output.  The traces are not part of this tree: they are
 * looked for in DIRECTORY, $FFCLOCK_TRACES, or ../shared/traces beside the
 * tree; without them everything is skipped, aloud.
 *
 * Statistics are those of the traces' own scorer: the error at every stamp's
 * arrival, of the map in force then (the one that stamp gave); per row the
 * median over the seeds.  The others' figures are the table in the traces'
 * README.
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tap.h"
#include "replay.h"
#include "score.h"

#define SEEDS		3
#define COVERAGE	0.999
#define HOUR		3600.0
/* Others that have figures: chrony, chrony-mdr, ntpsec, RADclock. */
#define OTHERS		4

static const char *const other_names[OTHERS] = {
	"chrony", "chrony-mdr", "ntpsec", "RADclock",
};

/**
 * struct row - a scenario, a poll interval and a window
 * @name: file name up to the seed
 * @label: of the window
 * @from: [s]
 * @to: [s]; 0 for the end
 * @median: of each other, 0 where there is none [us]
 * @p99: likewise [us]
 * @aim: median to aim at, 0 for none [us]
 */
struct row {
	const char	*name;
	const char	*label;
	double		from;
	double		to;
	double		median[OTHERS];
	double		p99[OTHERS];
	double		aim;
};

static const struct row rows[] = {
	{ "A_p16", "", 4 * HOUR, 0, { 2.54, 2.72, 2.32, 10.1 },
	  { 10, 9.8, 9.3, 39 }, 1.5 },
	{ "A_p64", "", 4 * HOUR, 0, { 5.41, 5.47, 10.9, 11.8 },
	  { 27, 27, 41, 48 }, 2.7 },
	{ "Aq_p16", "", 4 * HOUR, 0, { 1.40, 1.23, 1.76, 1.46 },
	  { 6.1, 5.5, 7.7, 5.9 }, 0.85 },
	{ "Aq_p64", "", 4 * HOUR, 0, { 0 }, { 0 }, 0 },
	{ "B_p16", "", 4 * HOUR, 0, { 72, 30.1, 104, 33.1 },
	  { 316, 148, 7069, 185 }, 28 },
	{ "B_p64", "", 4 * HOUR, 0, { 71.5, 79, 116, 84.8 },
	  { 316, 355, 2246, 358 }, 0 },
	{ "C_p16", "before", 4 * HOUR, 8 * HOUR, { 12.6, 10.4, 18.4, 9.4 },
	  { 59, 41, 75, 38 }, 0 },
	{ "C_p16", "during", 8 * HOUR, 16 * HOUR, { 2505, 1905, 2500, 2510 },
	  { 3897, 3579, 2570, 2673 }, 12 },
	{ "C_p16", "after", 16 * HOUR, 0, { 0 }, { 0 }, 0 },
	{ "C_p64", "during", 8 * HOUR, 16 * HOUR, { 2475, 2178, 2512, 2502 },
	  { 2821, 3523, 2611, 2647 }, 0 },
	{ "C_p64", "after", 16 * HOUR, 0, { 0 }, { 0 }, 0 },
	{ "D_p16", "", 8 * HOUR, 0, { 2.74, 2.48, 2.39, 10071 },
	  { 9.2, 9.7, 9.0, 79941 }, 0 },
	{ "D_p64", "", 8 * HOUR, 0, { 0 }, { 0 }, 0 },
	{ "F_p16", "", 4 * HOUR, 0, { 2.93, 2.90, 3.32, 49.3 },
	  { 12, 12, 12, 107 }, 1.8 },
	{ "F_p64", "", 4 * HOUR, 0, { 6.70, 6.53, 47, 52.8 },
	  { 29, 30, 91, 138 }, 0 },
};

/**
 * struct recovery - time to come back after D's event at 6 h
 * @name: file name up to the seed
 * @limit_us: error to get below for good
 * @others_s: best of the others [s]
 * @aim_s: to aim at [s]
 */
static const struct recovery {
	const char	*name;
	double		limit_us;
	double		others_s;
	double		aim_s;
} recoveries[] = {
	{ "D_p16", 1000, 94, 50 },
	{ "D_p16", 100, 117, 50 },
	{ "D_p64", 1000, 444, 0 },
	{ "D_p64", 100, 445, 0 },
};

/* E: median |e - oracle| over the outage: chrony 227, ntpsec 219, RADclock 1097. */
#define E_OTHERS	219.0
#define E_AIM		110.0

static int verbose;

/**
 * struct replayed - a trace after its replay
 * @run: error and bound at every stamp
 * @oracle: median difference to the oracle over the longest gap [us]; E only
 */
struct replayed {
	struct score_run	run;
	double			oracle;
};

/*
 * A clock that knows the rate exactly when the gap begins: true time over raw
 * time of the last interval before it.  Both clocks are linear in the counter
 * over the gap, so the median of their difference is that at its middle.
 */
static double oracle_median(const struct replay_file *file, size_t last,
			    const struct ffe_map *map)
{
	const struct replay_stamp *a = &file->stamps[last - 1];
	const struct replay_stamp *b = &file->stamps[last], *c = b + 1;
	double raw = (double)(b->stamp.tf - a->stamp.tf);
	double rate = (double)(b->true_tf_ps - a->true_tf_ps) * 1e-3 / raw;
	double span = (double)(c->stamp.tf - b->stamp.tf), frac;
	int64_t at = ffe_map_read(map, b->stamp.tf, &frac, NULL) - file->epoch_ns;
	double start = (double)(at - b->true_tf_ps / 1000) + frac -
		       (double)(b->true_tf_ps % 1000) * 1e-3;

	return fabs(start + (map->period_ns - rate) * span / 2) / 1e3;
}

/* Replay one trace; false after a message. */
static bool replay(const char *dir, const char *name, int seed, struct replayed *out)
{
	struct ffe_config cfg = { .nominal_period_ns = 1 };
	struct ffe *f = malloc(ffe_size());
	struct replay_file file;
	struct ffe_map map;
	uint64_t gap = 0;
	char path[4096];
	size_t i;

	snprintf(path, sizeof(path), "%s/%s_s%d.stamps.gz", dir, name, seed);
	if (!f || ffe_init(f, &cfg) < 0 || replay_load(path, &file, stderr) < 0) {
		free(f);
		return false;
	}
	score_reset(&out->run);
	for (i = 0; i < file.n; i++) {
		const struct replay_stamp *s = &file.stamps[i];
		double frac, bound, rtt = (double)(s->true_tf_ps - s->true_ta_ps) / 1e6;
		int64_t t;

		ffe_process(f, &s->stamp, &map);
		if (map.status == FFE_UNSYNC)
			continue;
		t = ffe_map_read(&map, s->stamp.tf, &frac, &bound) - file.epoch_ns;
		score_add(&out->run,
			  (double)(s->true_tf_ps - file.stamps[0].true_tf_ps) * 1e-12,
			  ((double)(t - s->true_tf_ps / 1000) + frac -
			   (double)(s->true_tf_ps % 1000) * 1e-3) / 1e3,
			  bound / 1e3);
		if (!out->run.min_rtt_us || rtt < out->run.min_rtt_us)
			out->run.min_rtt_us = rtt;
		if (i > 0 && i + 1 < file.n && s[1].stamp.tf - s->stamp.tf > gap) {
			gap = s[1].stamp.tf - s->stamp.tf;
			out->oracle = oracle_median(&file, i, &map);
		}
	}
	replay_free(&file);
	free(f);
	return true;
}

static double best_of(const double *v, int *who)
{
	double best = 0;
	int i;

	for (i = 0; i < OTHERS; i++)
		if (v[i] > 0 && (best == 0 || v[i] < best)) {
			best = v[i];
			*who = i;
		}
	return best;
}

static void row_check(const struct row *r, const struct replayed *runs)
{
	double median[SEEDS], iqr[SEEDS], p99[SEEDS], max[SEEDS], bound[SEEDS];
	double rtt[SEEDS], covered = 1, m, p, best_m, best_p, room;
	char seen[64], others[96] = "-";
	int i, who_m = 0, who_p = 0;

	for (i = 0; i < SEEDS; i++) {
		struct score s = score_window(&runs[i].run, r->from,
					      r->to > 0 ? r->to : INFINITY);

		median[i] = s.median;
		iqr[i] = s.iqr;
		p99[i] = s.p99;
		max[i] = s.max;
		bound[i] = s.bound;
		covered = fmin(covered, s.n ? s.covered : 0);
		rtt[i] = runs[i].run.min_rtt_us;
		if (verbose)
			printf("#   seed %d: n %zu median %.2f IQR %.2f p99 %.2f max %.2f bound %.1f covered %.5f\n",
			       i + 1, s.n, s.median, s.iqr, s.p99, s.max, s.bound,
			       s.covered);
	}
	m = score_median(median, SEEDS);
	p = score_median(p99, SEEDS);
	best_m = best_of(r->median, &who_m);
	best_p = best_of(r->p99, &who_p);
	if (best_m > 0)
		snprintf(others, sizeof(others), "%g %s / %g %s", best_m,
			 other_names[who_m], best_p, other_names[who_p]);
	snprintf(seen, sizeof(seen), "%s%s%s", r->name, *r->label ? " " : "", r->label);
	printf("# %-14s %8.2f %8.2f %8.2f %8.2f  %9.1f %8.5f  %s\n", seen, m,
	       score_median(iqr, SEEDS), p, score_median(max, SEEDS),
	       score_median(bound, SEEDS), covered, others);
	if (best_m > 0)
		ok(m < best_m && p < best_p,
		   "%s: median %.2f < %g us, p99 %.2f < %g us (best of the others)", seen, m,
		   best_m, p, best_p);
	if (r->aim > 0)
		ok(m <= r->aim, "%s: median %.2f <= %g us (aim)", seen, m, r->aim);
	/* every seed: 5 medians and half the minimum RTT; and the coverage */
	room = 5 * m + score_median(rtt, SEEDS) / 2;
	ok(covered >= COVERAGE && score_median(bound, SEEDS) <= room,
	   "%s: bound covers %.5f >= %g and is %.1f <= %.1f us", seen, covered, COVERAGE,
	   score_median(bound, SEEDS), room);
}

static bool seeds_replay(const char *dir, const char *name, struct replayed *runs)
{
	int i;

	for (i = 0; i < SEEDS; i++)
		if (!replay(dir, name, i + 1, &runs[i]))
			return false;
	return true;
}

static bool whole_check(const char *name, const struct replayed *runs)
{
	double covered = 1;
	int i;

	for (i = 0; i < SEEDS; i++)
		covered = fmin(covered, score_window(&runs[i].run, 0, INFINITY).covered);
	ok(covered >= COVERAGE,
	   "%s: bound covers %.5f >= %g from the first stamp on, every seed", name, covered,
	   COVERAGE);
	return covered >= COVERAGE;
}

static void recovery_check(const struct recovery *r, const struct replayed *runs)
{
	double t[SEEDS], m, limit = r->aim_s > 0 ? r->aim_s : r->others_s;
	int i;

	for (i = 0; i < SEEDS; i++) {
		t[i] = score_recovery(&runs[i].run, 6 * HOUR, INFINITY, r->limit_us);
		if (t[i] < 0)
			t[i] = INFINITY;
	}
	m = score_median(t, SEEDS);
	/* the event is a fraction of a second before a stamp: compare whole ones */
	ok(floor(m) <= limit,
	   "%s: below %g us for good %.0f s after the event, at most %g (others %g)", r->name,
	   r->limit_us, m, limit, r->others_s);
}

static void outage_check(const char *name, const struct replayed *runs, double limit)
{
	double v[SEEDS], m;
	int i;

	for (i = 0; i < SEEDS; i++)
		v[i] = runs[i].oracle;
	m = score_median(v, SEEDS);
	printf("# %-14s %8.2f  median |e - oracle| over the outage (others %g at poll 16)\n",
	       name, m, E_OTHERS);
	if (limit > 0)
		ok(m <= limit,
		   "%s: |e - oracle| %.1f <= %g us (aim; others %g)", name, m, limit, E_OTHERS);
}

int main(int argc, char **argv)
{
	static struct replayed runs[SEEDS];
	const char *dir = NULL, *top = getenv("TOP"), *loaded = "";
	char beside[4096], probe[4200];
	size_t i;
	int o;

	while ((o = getopt(argc, argv, "v")) != -1) {
		if (o != 'v') {
			fprintf(stderr, "usage: traces [-v] [DIRECTORY]\n");
			return 2;
		}
		verbose++;
	}
	if (optind < argc)
		dir = argv[optind];
	if (!dir)
		dir = getenv("FFCLOCK_TRACES");
	if (!dir) {
		snprintf(beside, sizeof(beside), "%s/../shared/traces", top ? top : ".");
		dir = beside;
	}

	plan_later();
	snprintf(probe, sizeof(probe), "%s/%s_s1.stamps.gz", dir, rows[0].name);
	if (access(probe, R_OK)) {
		printf("1..0 # SKIP no traces in %s: set FFCLOCK_TRACES\n", dir);
		return 0;
	}
	printf("# medians over seeds 1 to %d; us\n", SEEDS);
	printf("# %-14s %8s %8s %8s %8s  %9s %8s  %s\n", "trace", "median", "IQR", "p99",
	       "max", "bound", "covered", "best of the others, median / p99");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(loaded, rows[i].name)) {
			if (!seeds_replay(dir, rows[i].name, runs))
				goto broken;
			whole_check(rows[i].name, runs);
		}
		loaded = rows[i].name;
		row_check(&rows[i], runs);
	}
	for (i = 0; i < sizeof(recoveries) / sizeof(recoveries[0]); i++) {
		if (strcmp(loaded, recoveries[i].name) &&
		    !seeds_replay(dir, recoveries[i].name, runs))
			goto broken;
		loaded = recoveries[i].name;
		recovery_check(&recoveries[i], runs);
	}
	if (!seeds_replay(dir, "E_p16", runs))
		goto broken;
	whole_check("E_p16", runs);
	outage_check("E_p16", runs, E_AIM);
	if (!seeds_replay(dir, "E_p64", runs))
		goto broken;
	whole_check("E_p64", runs);
	outage_check("E_p64", runs, 0);

	for (i = 0; i < SEEDS; i++)
		free(runs[i].run.s);
	return finish();

broken:
	printf("Bail out! a trace cannot be read; see standard error\n");
	return 1;
}
