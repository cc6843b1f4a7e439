// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run the estimator through the simulator: every scenario, many seeds.
 *
 * usage: simulator [-n SEEDS] [-s FIRST_SEED] [-o SCENARIO] [-v] [-w FILE] [-l]
 *
 * TAP on standard output.  What is tested, and the statistic each limit is
 * meant for, is in scenarios.h.  The bound must cover 99.9 % of all samples of
 * all seeds, from each one's first map on.  A seed fails by itself when its
 * bound covers less than 95 %, when an error in a window exceeds the
 * scenario's worst case, or when it does not recover; none is accepted but
 * where scenarios.c says so, and each is printed so that -s -n 1 -o -v shows
 * it.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../replay/score.h"
#include "../tap.h"
#include "options.h"
#include "scenarios.h"

/*
 * The part of all samples of all seeds the error bound has to cover, and the
 * part of each seed's.  Errors of one seed are not independent (an outage is
 * one draw, not 900), so a single seed may do worse.
 */
#define COVERAGE	0.999
#define COVERAGE_SEED	0.95

/* Clock minus truth [us]. */
static double map_error(const struct ffe_map *map, uint64_t counter, double true_s,
			double *bound_us)
{
	double frac, whole = floor(true_s), bound;
	int64_t t = ffe_map_read(map, counter, &frac, &bound) - SIM_EPOCH -
		    (int64_t)whole * 1000000000;

	*bound_us = bound / 1e3;
	return ((double)t + frac - (true_s - whole) * 1e9) / 1e3;
}

/**
 * struct oracle - a clock that knows the rate when answers cease
 * @counter: last answered reading
 * @true_s: true time there [s]
 * @rate: true rate there [ns/s]
 */
struct oracle {
	uint64_t	counter;
	double		true_s;
	double		rate;
};

static double oracle_error(const struct oracle *o, const struct sim_out *out,
			   double period_ns)
{
	double gone = (double)(out->tf - o->counter) * period_ns / (1 + o->rate * 1e-9);

	return (gone - (out->true_tf_s - o->true_s) * 1e9) / 1e3;
}

static void run_print(const struct sim_out *out, const struct ffe *f,
		      const struct ffe_map *map, uint32_t ev, double err,
		      double bound)
{
	struct ffe_track t;
	char text[128];

	ffe_tracking(f, &t);
	printf("# %9.1f err %10.3f bound %10.3f est %8.3f offset %10.3f rtt %10.3f min %10.3f asym %9.3f noise %.1f %.1f wander %.1e rate %+.4f+-%.4f %s %s\n",
	       out->true_tf_s, err, bound, map->est_error_ns / 1e3,
	       t.last_offset_ns / 1e3, t.last_rtt_ns / 1e3, t.min_rtt_ns / 1e3,
	       t.asym_ns / 1e3, t.noise_out_ns / 1e3, t.noise_in_ns / 1e3,
	       t.wander, t.rate * 1e6, t.rate_sigma * 1e6,
	       ffe_status_name(map->status), ffe_events_print(ev, text, sizeof(text)));
}

/*
 * One run.  @run gets the clock's error at every exchange, answered or not;
 * @outage the error against the oracle where there was no answer.
 */
static void run_one(const struct sim_case *c, uint64_t seed, struct ffe *f,
		    struct score_run *run, struct score_run *outage, int verbose,
		    FILE *trace)
{
	struct ffe_config cfg = { .nominal_period_ns = c->sc.period_ns };
	struct oracle oracle = { 0 };
	double first = -1;
	struct sim_out out;
	struct ffe_map map;
	struct sim s;

	score_reset(run);
	score_reset(outage);
	if (ffe_init(f, &cfg) < 0) {
		printf("Bail out! ffe_init refused the scenario's period\n");
		exit(1);
	}
	sim_start(&s, &c->sc, seed);
	while (sim_next(&s, &out)) {
		double err, bound, rtt;
		uint32_t ev = 0;

		if (out.told) {
			struct ffe_restart why = { .why = FFE_RESTART_MIGRATION };

			ffe_restart(f, &why);
		}
		if (out.answered) {
			ev = ffe_process(f, &out.stamp, &map);
			rtt = (out.true_tf_s - out.true_ta_s) * 1e6;
			if (!run->min_rtt_us || rtt < run->min_rtt_us)
				run->min_rtt_us = rtt;
			oracle.counter = out.tf;
			oracle.true_s = out.true_tf_s;
			oracle.rate = out.rate;
			if (trace)
				fprintf(trace, "%" PRIu64 " %" PRId64 ".%09" PRId64 " %" PRId64 ".%09" PRId64 " %" PRIu64 " %" PRId64 ".%09d %" PRId64 ".%09d\n",
					out.stamp.ta, out.stamp.tb / 1000000000,
					out.stamp.tb % 1000000000,
					out.stamp.te / 1000000000,
					out.stamp.te % 1000000000, out.stamp.tf,
					SIM_EPOCH / 1000000000 + (int64_t)out.true_ta_s,
					(int)((out.true_ta_s - floor(out.true_ta_s)) * 1e9),
					SIM_EPOCH / 1000000000 + (int64_t)out.true_tf_s,
					(int)((out.true_tf_s - floor(out.true_tf_s)) * 1e9));
		} else {
			ffe_map_at(f, out.tf, &map);
		}
		if (map.status == FFE_UNSYNC)
			continue;
		if (first < 0)
			first = out.true_tf_s;
		err = map_error(&map, out.tf, out.true_tf_s, &bound);
		if (verbose > 1 || (verbose && ev & ~(uint32_t)FFE_EV_CONGESTED))
			run_print(&out, f, &map, ev, err, bound);
		score_add(run, out.true_tf_s, err, bound);
		if (!out.answered)
			score_add(outage, out.true_tf_s,
				  err - oracle_error(&oracle, &out, c->sc.period_ns),
				  bound);
	}
}

/**
 * struct tally - statistics over the seeds of one window
 * @median: every seed's median error, likewise the others
 */
struct tally {
	double	median[SEEDS_MAX];
	double	iqr[SEEDS_MAX];
	double	p99[SEEDS_MAX];
	double	max[SEEDS_MAX];
	double	bound[SEEDS_MAX];
};

static void window_check(const struct sim_case *c, const struct sim_window *w,
			 struct tally *t, unsigned int seeds, double min_rtt)
{
	double median = score_median(t->median, seeds);
	double p99 = score_median(t->p99, seeds);
	double bound = score_median(t->bound, seeds);
	double room = 5 * median + min_rtt / 2 + w->bound_slack_us;

	printf("# %-10s %-7s %9.2f %9.2f %9.2f %9.2f %10.1f  limits %g / %g (%s)\n",
	       c->sc.name, w->label, median, score_median(t->iqr, seeds), p99,
	       score_median(t->max, seeds), bound, w->median_us, w->p99_us,
	       c->sources);
	ok(median <= w->median_us && p99 <= w->p99_us,
	   "%s %s: median %.2f <= %g us, p99 %.2f <= %g us", c->sc.name, w->label, median,
	   w->median_us, p99, w->p99_us);
	ok(bound <= room,
	   "%s %s: bound %.1f <= 5 medians + half RTT%s = %.1f us", c->sc.name, w->label, bound,
	   w->bound_slack_us > 0 ? " + slack" : "", room);
}

static void case_run(const struct sim_case *c, unsigned int seeds, uint64_t first,
		     int verbose, FILE *trace)
{
	static struct score_run run, outage;
	static struct tally tally[SIM_WINDOWS];
	static double recovery[SEEDS_MAX], rtt[SEEDS_MAX];
	struct ffe *f = malloc(ffe_size());
	double worst_cover = 1, samples = 0, covered = 0;
	unsigned int i, w, bad = 0, accepted;

	if (!f)
		bail("out of memory");
	for (i = 0; i < seeds; i++) {
		const char *why = NULL;
		struct score all;

		run_one(c, first + i, f, &run, &outage, verbose, trace);
		rtt[i] = run.min_rtt_us;
		all = score_window(&run, 0, INFINITY);
		worst_cover = fmin(worst_cover, all.covered);
		samples += (double)all.n;
		covered += all.covered * (double)all.n;
		if (all.covered < COVERAGE_SEED)
			why = "bound covers too little";
		for (w = 0; w < SIM_WINDOWS && c->win[w].label; w++) {
			const struct sim_window *win = &c->win[w];
			struct score sc = score_window(win->oracle ? &outage : &run,
						       win->from,
						       win->to > 0 ? win->to : INFINITY);

			tally[w].median[i] = sc.median;
			tally[w].iqr[i] = sc.iqr;
			tally[w].p99[i] = sc.p99;
			tally[w].max[i] = sc.max;
			tally[w].bound[i] = sc.bound;
			if (!sc.n)
				why = "no sample in a window";
			else if (win->worst_us > 0 && sc.max > win->worst_us)
				why = "error beyond the worst case";
		}
		if (c->recover_at > 0) {
			recovery[i] = score_recovery(&run, c->recover_at,
						     c->recover_to > 0 ?
						     c->recover_to : INFINITY,
						     c->recover_us);
			if (recovery[i] < 0) {
				why = "does not recover";
				recovery[i] = INFINITY;
			}
		}
		if (why) {
			bad++;
			printf("# %s seed %" PRIu64 ": %s (coverage %.5f, largest error %.2f us)\n",
			       c->sc.name, first + i, why, all.covered,
			       tally[0].max[i]);
		}
	}
	free(f);

	for (w = 0; w < SIM_WINDOWS && c->win[w].label; w++)
		window_check(c, &c->win[w], &tally[w], seeds,
			     score_median(rtt, seeds));
	accepted = (unsigned int)ceil(c->bad_ok * seeds);
	ok(bad <= accepted,
	   "%s: %u failing seeds of %u, at most %u", c->sc.name, bad, seeds, accepted);
	ok(covered >= (c->cover > 0 ? c->cover : COVERAGE) * samples,
	   "%s: bound covers %.5f (worst seed %.5f) >= %g", c->sc.name, covered / samples,
	   worst_cover, c->cover > 0 ? c->cover : COVERAGE);
	if (c->recover_at > 0) {
		double t = score_median(recovery, seeds);

		ok(t <= c->recover_s,
		   "%s: below %g us for good %.0f <= %g s after the event", c->sc.name,
		   c->recover_us, t, c->recover_s);
	}
}

int main(int argc, char **argv)
{
	/* not a seed anything was developed with unless asked for */
	struct sim_options o = { .seeds = 10, .first = 1000 };
	unsigned int i, ran = 0;
	FILE *trace = NULL;

	sim_options(argc, argv, true, &o);
	for (i = 0; o.list && i < sim_case_count; i++)
		printf("%-11s %s\n", sim_cases[i].sc.name, sim_cases[i].sc.what);
	if (o.list)
		return 0;
	if (o.write) {
		trace = fopen(o.write, "w");
		if (!trace) {
			perror(o.write);
			return 2;
		}
	}

	plan_later();
	printf("# seeds %" PRIu64 " to %" PRIu64 "; medians over seeds, us\n", o.first,
	       o.first + o.seeds - 1);
	printf("# %-10s %-7s %9s %9s %9s %9s %10s\n", "scenario", "window",
	       "median", "IQR", "p99", "max", "bound");
	for (i = 0; i < sim_case_count; i++) {
		if (o.only && strcmp(o.only, sim_cases[i].sc.name))
			continue;
		case_run(&sim_cases[i], o.seeds, o.first, o.verbose, trace);
		ran++;
	}
	if (trace && fclose(trace)) {
		perror(o.write);
		return 2;
	}
	if (!ran) {
		fprintf(stderr, "simulator: no scenario '%s'; -l lists them\n", o.only);
		return 2;
	}
	return finish();
}
