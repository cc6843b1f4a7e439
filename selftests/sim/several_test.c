// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several servers through the simulator: the ensemble (estimators, selection,
 * leap seconds, combination) as the daemon runs it.
 *
 * usage: several [-n SEEDS] [-s FIRST_SEED] [-o SCENARIO] [-v] [-l]
 *
 * One oscillator, a path and a clock for every server.  After every exchange,
 * answered or not, the clock of all is compared with the truth and with what it
 * said for this instant before: a difference between these two is a jump.
 *
 * A seed fails when the bound covers less than 95 % of its samples, an error in
 * the scored window is beyond the worst case, the clock jumps further than the
 * scenario allows, or it does not recover; each is printed, so that
 * -o SCENARIO -s SEED -n 1 -v shows it.  Of all samples of all seeds the bound
 * must cover 99.9 %.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../replay/score.h"
#include "../tap.h"
#include "ensemble.h"
#include "ntp_packet.h"
#include "options.h"
#include "sim.h"

#define NSEC		INT64_C(1000000000)
#define HOUR		3600.0
#define SERVERS_MAX	8
#define COVERAGE	0.999
#define COVERAGE_SEED	0.95

/* A leap second 6 h after the start of those scenarios that have one */
#define LEAP_AT		(6 * HOUR)
#define LEAP_UTC	INT64_C(1769904000)	/* 1 February 2026 */

/**
 * struct server - a server and the path to it
 * @base_us: delay without queue, to the server and back [us]
 * @queue_us: mean queueing delay, likewise [us]
 * @events: what happens to it, ended by SIM_END, or NULL
 * @ramp_from: its clock runs away from then on [s]; 0 for never
 * @ramp_ppm: that fast
 * @silent_about_leap: does not announce the leap second
 * @ignores_leap: does not apply it
 * @announces_nothing: announces one that nobody applies (scenarios without leap)
 */
struct server {
	double			base_us[2];
	double			queue_us[2];
	const struct sim_event	*events;
	double			ramp_from;
	double			ramp_ppm;
	bool			silent_about_leap;
	bool			ignores_leap;
	bool			announces_nothing;
};

/**
 * struct scenario - everything but the seed
 * @name: short
 * @what: one line for people
 * @length_h: duration [h]
 * @poll_s: interval of each server [s]
 * @poll_max_s: if not 0 the interval adapts, @poll_s to this [s]
 * @n: servers
 * @srv: they
 * @leap: leap second at LEAP_AT: +1, -1 or 0
 * @events: of the oscillator; the servers' events lists have to hold them too
 * @from: start of the scored window [s]
 * @to: its end [s]; 0 for the end
 * @median_us: limit of the median over seeds [us]
 * @p99_us: likewise
 * @worst_us: limit of any seed's largest error [us]; 0 for none
 * @jump_from: from then on jumps count [s]
 * @jump_us: largest allowed jump [us]
 * @recover_at: event to recover from [s]; 0 for none
 * @recover_us: error to get below for good [us]
 * @recover_s: limit of the median over seeds [s]
 * @lied_to: the majority is wrong: there is nothing to cover
 * @used: sources that must be part of the clock at the end, a bit each; 0: any
 */
struct scenario {
	const char		*name;
	const char		*what;
	double			length_h;
	double			poll_s;
	double			poll_max_s;
	unsigned int		n;
	struct server		srv[SERVERS_MAX];
	int			leap;
	double			from;
	double			to;
	double			median_us;
	double			p99_us;
	double			worst_us;
	double			jump_from;
	double			jump_us;
	double			recover_at;
	double			recover_us;
	double			recover_s;
	bool			lied_to;
	unsigned int		used;
};

#define NEAR	.base_us = { 100, 100 }, .queue_us = { 20, 20 }
#define MID	.base_us = { 2000, 2000 }, .queue_us = { 100, 100 }
#define FAR	.base_us = { 10000, 10000 }, .queue_us = { 500, 500 }
/* Paths whose two directions differ: half of the difference is the clock's error */
#define MID_PLUS	.base_us = { 2300, 1700 }, .queue_us = { 100, 100 }
#define MID_MINUS	.base_us = { 1800, 2200 }, .queue_us = { 100, 100 }

static const struct sim_event lies_later[] = {
	{ SIM_SERVER, 6 * HOUR, 1e9, 100e3, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event lies_always[] = {
	{ SIM_SERVER, 0, 1e9, 20e3, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

/* Inside of its own bound, so nobody can call it a lie */
static const struct sim_event lies_a_little[] = {
	{ SIM_SERVER, 3 * HOUR, 1e9, 1500, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event lies_in_turns[] = {
	{ SIM_SERVER, 1 * HOUR, 1 * HOUR + 1200, 50e3, 0, 2 * HOUR },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event goes_and_comes[] = {
	{ SIM_OUTAGE, 2 * HOUR, 3 * HOUR, 1, 0, 2 * HOUR },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event comes_late[] = {
	{ SIM_OUTAGE, 0, 2 * HOUR, 1, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event outage[] = {
	{ SIM_OUTAGE, 6 * HOUR, 8 * HOUR, 1, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event migration[] = {
	{ SIM_LOSE, 6 * HOUR, 0, 300e6, 0, 0 },
	{ SIM_RATE, 6 * HOUR, 0, 30, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event told_migration[] = {
	{ SIM_LOSE, 6 * HOUR, 0, 300e6, 0, 0 },
	{ SIM_RATE, 6 * HOUR, 0, 30, 0, 0 },
	{ SIM_TOLD, 6 * HOUR + 3, 0, 0, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event route[] = {
	{ SIM_ROUTE, 4 * HOUR, 8 * HOUR, 5000, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event congested[] = {
	{ SIM_QUEUE, 3 * HOUR, 3 * HOUR + 600, 10000, 10000, 3 * HOUR },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct scenario scenarios[] = {
	{
		.name = "three", .what = "three servers like the traces' path C, nothing happens",
		.length_h = 12, .poll_s = 16, .n = 3, .srv = { { MID }, { MID }, { MID } },
		.from = 4 * HOUR, .median_us = 4, .p99_us = 20, .worst_us = 60,
		.jump_from = HOUR, .jump_us = 40, .used = 7,
	}, {
		.name = "liar", .what = "one of three is 100 ms off from 6 h on",
		.length_h = 12, .poll_s = 16, .n = 3,
		.srv = { { MID }, { MID, .events = lies_later }, { MID } },
		.from = 4 * HOUR, .median_us = 4, .p99_us = 20, .worst_us = 100,
		.jump_from = HOUR, .jump_us = 40, .used = 5,
	}, {
		.name = "firstliar", .what = "of three the quickest and nearest lies from the start",
		.length_h = 8, .poll_s = 16, .n = 3,
		.srv = { { NEAR, .events = lies_always }, { MID }, { MID } },
		.from = 0, .median_us = 8, .p99_us = 200, .worst_us = 2500,
		.jump_from = HOUR, .jump_us = 40, .used = 6,
	}, {
		.name = "turns", .what = "each of three lies for 20 min every 2 h, one at a time",
		.length_h = 12, .poll_s = 16, .n = 3,
		.srv = { { MID, .events = lies_in_turns }, { MID }, { MID } },
		.from = 4 * HOUR, .median_us = 5, .p99_us = 60, .worst_us = 600,
		.jump_from = HOUR, .jump_us = 60,
	}, {
		.name = "creep", .what = "one of three runs away at 0.3 ppm from 2 h on",
		.length_h = 12, .poll_s = 16, .n = 3,
		.srv = { { MID }, { MID }, { MID, .ramp_from = 2 * HOUR, .ramp_ppm = 0.3 } },
		/* while it is within bounds it counts: a third of 4 ms */
		.from = 4 * HOUR, .median_us = 900, .p99_us = 2000, .worst_us = 2700,
		.jump_from = HOUR, .jump_us = 40, .used = 3,
	}, {
		.name = "halftruth", .what = "one of three is 1.5 ms off, within its bound of 2 ms",
		.length_h = 12, .poll_s = 16, .n = 3,
		.srv = { { MID }, { MID, .events = lies_a_little }, { MID } },
		.from = 4 * HOUR, .median_us = 520, .p99_us = 560, .worst_us = 1600,
		.jump_from = HOUR, .jump_us = 40,
	}, {
		.name = "groups", .what = "four servers: two of them go 100 ms off together",
		.length_h = 10, .poll_s = 16, .n = 4,
		.srv = { { MID }, { MID }, { MID, .events = lies_later },
			 { MID, .events = lies_later } },
		/* nobody can tell; the clock stays with those that fit what it was */
		.from = 4 * HOUR, .median_us = 5, .p99_us = 30, .worst_us = 150,
		.jump_from = HOUR, .jump_us = 60, .used = 3,
	}, {
		.name = "majority", .what = "five servers: three of them go 100 ms off together",
		.length_h = 10, .poll_s = 16, .n = 5,
		.srv = { { MID }, { MID }, { MID, .events = lies_later },
			 { MID, .events = lies_later }, { MID, .events = lies_later } },
		/* three of five are the truth, whatever it was before */
		.from = 4 * HOUR, .to = 6 * HOUR, .median_us = 4, .p99_us = 20, .worst_us = 60,
		.jump_from = HOUR, .jump_us = 101e3, .lied_to = true, .used = 0x1c,
	}, {
		.name = "comesgoes", .what = "two unlike paths; one is silent every other hour",
		.length_h = 16, .poll_s = 16, .n = 2,
		.srv = { { MID_PLUS }, { MID_MINUS, .events = goes_and_comes } },
		/* one exchange of a returning server: half of its noise */
		.from = 4 * HOUR, .median_us = 320, .p99_us = 350, .worst_us = 500,
		.jump_from = 1 * HOUR, .jump_us = 200,
	}, {
		.name = "joins", .what = "a server with a 600 us unlike path joins after 2 h",
		.length_h = 10, .poll_s = 16, .n = 2,
		.srv = { { MID_PLUS }, { MID_MINUS, .events = comes_late } },
		.from = 5 * HOUR, .median_us = 70, .p99_us = 150, .worst_us = 350,
		.jump_from = 1 * HOUR, .jump_us = 150, .used = 3,
	}, {
		.name = "near+far", .what = "one near, two far: the near one makes the clock",
		.length_h = 12, .poll_s = 16, .n = 3, .srv = { { FAR }, { NEAR }, { FAR } },
		.from = 4 * HOUR, .median_us = 2.3, .p99_us = 9.3, .worst_us = 25,
		.jump_from = HOUR, .jump_us = 40, .used = 2,
	}, {
		.name = "nearlies", .what = "one near, two far; the near one goes 100 ms off",
		.length_h = 12, .poll_s = 16, .n = 3,
		.srv = { { FAR }, { NEAR, .events = lies_later }, { FAR } },
		.from = 7 * HOUR, .median_us = 12, .p99_us = 60, .worst_us = 300,
		.jump_from = HOUR, .jump_us = 80, .used = 5,
	}, {
		.name = "outage", .what = "all of three silent from 6 h to 8 h",
		.length_h = 12, .poll_s = 16, .n = 3,
		.srv = { { MID, .events = outage }, { MID, .events = outage },
			 { MID, .events = outage } },
		/* the wander of two hours, as in scenario E */
		.from = 6 * HOUR, .to = 8 * HOUR, .median_us = 200, .p99_us = 900,
		.jump_from = HOUR, .jump_us = 2000, .used = 7,
	}, {
		.name = "migrated", .what = "three servers, the traces' migration, unannounced",
		.length_h = 10, .poll_s = 16, .n = 3,
		.srv = { { NEAR, .events = migration }, { NEAR, .events = migration },
			 { NEAR, .events = migration } },
		.from = 8 * HOUR, .median_us = 2.4, .p99_us = 9, .worst_us = 25,
		.jump_from = 7 * HOUR, .jump_us = 40,
		.recover_at = 6 * HOUR, .recover_us = 100, .recover_s = 50, .used = 7,
	}, {
		.name = "told", .what = "the same, announced 3 s later",
		.length_h = 10, .poll_s = 16, .n = 3,
		.srv = { { NEAR, .events = told_migration }, { NEAR, .events = told_migration },
			 { NEAR, .events = told_migration } },
		.from = 8 * HOUR, .median_us = 2.4, .p99_us = 9, .worst_us = 25,
		.jump_from = 7 * HOUR, .jump_us = 40,
		.recover_at = 6 * HOUR, .recover_us = 100, .recover_s = 50, .used = 7,
	}, {
		.name = "route", .what = "one of three: asymmetric route change for 4 h",
		.length_h = 12, .poll_s = 16, .n = 3,
		.srv = { { MID, .events = route }, { MID }, { MID } },
		.from = 4 * HOUR, .median_us = 12, .p99_us = 60, .worst_us = 200,
		.jump_from = HOUR, .jump_us = 60,
	}, {
		.name = "congested", .what = "five far servers, each congested as the traces' B",
		.length_h = 12, .poll_s = 16, .n = 5,
		.srv = { { FAR, .events = congested }, { FAR, .events = congested },
			 { FAR, .events = congested }, { FAR, .events = congested },
			 { FAR, .events = congested } },
		.from = 4 * HOUR, .median_us = 28, .p99_us = 118, .worst_us = 500,
		.jump_from = HOUR, .jump_us = 300, .used = 0x1f,
	}, {
		.name = "eight", .what = "eight servers, three of them liars of different sorts",
		.length_h = 10, .poll_s = 64, .n = 8,
		.srv = { { MID }, { MID, .events = lies_always }, { MID }, { FAR },
			 { MID, .events = lies_later }, { MID }, { MID, .ramp_from = 2 * HOUR,
			 .ramp_ppm = 5 }, { MID } },
		.from = 4 * HOUR, .median_us = 8, .p99_us = 60, .worst_us = 300,
		.jump_from = 3 * HOUR, .jump_us = 60,
	}, {
		.name = "adapt", .what = "one near server, interval as it likes from 16 s on",
		.length_h = 24, .poll_s = 16, .poll_max_s = 1024, .n = 1, .srv = { { NEAR } },
		.from = 4 * HOUR, .median_us = 5.4, .p99_us = 27, .worst_us = 80,
		.jump_from = HOUR, .jump_us = 60, .used = 1,
	}, {
		.name = "adaptfar", .what = "three far servers, intervals as they like from 64 s on",
		.length_h = 48, .poll_s = 64, .poll_max_s = 1024, .n = 3,
		.srv = { { FAR }, { FAR }, { FAR } },
		.from = 8 * HOUR, .median_us = 40, .p99_us = 160, .worst_us = 400,
		.jump_from = 2 * HOUR, .jump_us = 400, .used = 7,
	}, {
		.name = "leap", .what = "three servers, a second inserted at 6 h",
		.length_h = 10, .poll_s = 16, .n = 3, .srv = { { MID }, { MID }, { MID } },
		.leap = 1, .from = 4 * HOUR, .median_us = 5, .p99_us = 25, .worst_us = 100,
		.jump_from = HOUR, .jump_us = 40, .used = 7,
	}, {
		.name = "leapless", .what = "three servers, a second omitted at 6 h",
		.length_h = 10, .poll_s = 16, .n = 3, .srv = { { MID }, { MID }, { MID } },
		.leap = -1, .from = 4 * HOUR, .median_us = 5, .p99_us = 25, .worst_us = 100,
		.jump_from = HOUR, .jump_us = 40, .used = 7,
	}, {
		.name = "leapmix", .what = "five: one says nothing of the leap, one does not do it",
		.length_h = 10, .poll_s = 64, .n = 5,
		.srv = { { MID }, { MID, .silent_about_leap = true }, { MID },
			 { MID, .ignores_leap = true }, { MID } },
		.leap = 1, .from = 4 * HOUR, .median_us = 8, .p99_us = 60, .worst_us = 200,
		.jump_from = HOUR, .jump_us = 60, .used = 0x17,
	}, {
		.name = "falseleap", .what = "one of three announces a leap second that is none",
		.length_h = 10, .poll_s = 16, .n = 3,
		.srv = { { MID, .announces_nothing = true }, { MID }, { MID } },
		.from = 4 * HOUR, .median_us = 5, .p99_us = 25, .worst_us = 100,
		.jump_from = HOUR, .jump_us = 40, .used = 7,
	}, {
		.name = "nobodyleaps", .what = "all of three announce a leap second that is none",
		.length_h = 10, .poll_s = 16, .n = 3,
		.srv = { { MID, .announces_nothing = true }, { MID, .announces_nothing = true },
			 { MID, .announces_nothing = true } },
		.from = 4 * HOUR, .median_us = 5, .p99_us = 25, .worst_us = 1e6 + 100,
		.jump_from = HOUR, .jump_us = 1e6 + 60, .lied_to = true, .used = 7,
	},
};
#define N_SCENARIOS	(sizeof(scenarios) / sizeof(scenarios[0]))

/**
 * struct world - one run
 * @sc: scenario
 * @path: the simulator's scenario of each server
 * @sim: oscillator, random numbers, time
 * @ens: what is tested
 * @reach: of each server, one bit per attempt
 * @start_utc: UTC at the start [s]
 * @calm: of each server, stamps in favour of a longer interval, as source_ntp.c
 *	counts them
 * @asked: exchanges of all
 * @verbose: print
 */
struct world {
	const struct scenario	*sc;
	struct sim_scenario	path[SERVERS_MAX];
	struct sim		sim;
	struct ensemble		*ens;
	uint8_t			reach[SERVERS_MAX];
	int64_t			start_utc;
	int			calm[SERVERS_MAX];
	unsigned long		asked;
	int			verbose;
};

static void world_start(struct world *w, const struct scenario *sc, uint64_t seed, int verbose)
{
	struct ens_config ec = { .nominal_period_ns = 1, .max_distance_ns = 3e9 };
	struct ens_source es = {
		.poll_min_s = sc->poll_s, .poll_max_s = fmax(sc->poll_s, sc->poll_max_s),
	};
	unsigned int i;

	memset(w, 0, sizeof(*w));
	w->sc = sc;
	w->verbose = verbose;
	/* a leap second is at a month's end, so the start is 6 h before one */
	w->start_utc = LEAP_UTC - (int64_t)LEAP_AT;
	w->ens = ens_new(&ec);
	if (!w->ens) {
		printf("Bail out! out of memory\n");
		exit(1);
	}
	for (i = 0; i < sc->n; i++) {
		w->path[i] = (struct sim_scenario){
			.name = sc->name, .length_h = sc->length_h, .poll_s = sc->poll_s / sc->n,
			.period_ns = 1, .skew_ppm = 12.5, .wander = 1e-9,
			.base_us = { sc->srv[i].base_us[0], sc->srv[i].base_us[1] },
			.queue_us = { sc->srv[i].queue_us[0], sc->srv[i].queue_us[1] },
			.events = sc->srv[i].events,
		};
		if (ens_add(w->ens, &es) != (int)i) {
			printf("Bail out! ens_add failed\n");
			exit(1);
		}
	}
	sim_start(&w->sim, &w->path[0], seed);
}

/* UTC on a server's clock that is right, from time since the start [ns] */
static int64_t utc_of(const struct world *w, int64_t since_ns, bool ignores_leap)
{
	int64_t utc = w->start_utc * NSEC + since_ns;
	int64_t edge = (int64_t)LEAP_AT * NSEC - (w->sc->leap < 0 ? NSEC : 0);

	if (w->sc->leap && since_ns >= edge && !ignores_leap)
		utc -= w->sc->leap * NSEC;
	return utc;
}

/* What the server says: the simulator's stamp, with its own faults added */
static void serve(const struct world *w, unsigned int i, struct sim_out *out)
{
	const struct server *srv = &w->sc->srv[i];
	int64_t tb = out->stamp.tb - SIM_EPOCH, te = out->stamp.te - SIM_EPOCH;
	double t = out->true_ta_s, ramp = 0;

	if (srv->ramp_from > 0 && t > srv->ramp_from)
		ramp = (t - srv->ramp_from) * srv->ramp_ppm * 1e3;
	out->stamp.tb = utc_of(w, tb + (int64_t)ramp, srv->ignores_leap);
	out->stamp.te = utc_of(w, te + (int64_t)ramp, srv->ignores_leap);
	if (t >= LEAP_AT - 1)
		return;
	if (srv->announces_nothing)
		out->stamp.leap = NTP_LEAP_ADD;
	else if (w->sc->leap && !srv->silent_about_leap)
		out->stamp.leap = w->sc->leap > 0 ? NTP_LEAP_ADD : NTP_LEAP_DEL;
}

/* Eight quiet stamps for a longer interval; all servers of a scenario have one */
static void pace(struct world *w, unsigned int i, const struct ens_stamp_result *res)
{
	double *poll = &w->path[i].poll_s, now = *poll * w->sc->n;
	int direction = ens_pace(w->ens, i, res, now);

	if (direction < 0) {
		w->calm[i] = 0;
		*poll = fmax(now / 2, w->sc->poll_s) / w->sc->n;
	} else if (direction > 0 && ++w->calm[i] >= 8) {
		w->calm[i] = 0;
		*poll = fmin(now * 2, w->sc->poll_max_s) / w->sc->n;
	}
}

/* UTC by the clock at a reading, as a reader gets it [ns], with the bound [ns] */
static int64_t read_clock(const struct ens_clock *c, uint64_t counter, double *frac, double *bound)
{
	int64_t utc = ffe_map_read(&c->map, counter, frac, bound);
	int64_t edge = c->leap_utc_sec * NSEC - (c->leap_change < 0 ? NSEC : 0);

	if (c->leap_change && utc >= edge)
		utc -= c->leap_change * NSEC;
	return utc;
}

static void print_step(const struct world *w, unsigned int i, const struct sim_out *out,
		       const struct ens_clock *c, double err, double bound, double jump)
{
	unsigned int j;

	printf("# %9.1f s%u err %10.3f bound %10.3f jump %8.3f %s%s%s leap %d", out->true_tf_s, i,
	       err, bound, jump, ffe_status_name(c->map.status), c->disputed ? " disputed" : "",
	       c->moved ? " moved" : "", c->leap_change);
	for (j = 0; j < w->sc->n; j++) {
		struct ens_look l;

		ens_look_at(w->ens, j, out->tf, &l);
		printf(" | %s %.2f %+.1f+-%.1f", ens_state_name(l.state), l.weight,
		       l.offset_ns * 1e-3, l.bound_ns * 1e-3);
	}
	printf("\n");
}

/* One run; returns the largest jump after jump_from [us] */
static double run_one(struct world *w, struct score_run *run, unsigned int *used)
{
	const struct scenario *sc = w->sc;
	double worst = 0, jump;
	struct ens_clock c, before = { 0 };
	bool have = false;
	struct sim_out out;
	unsigned int i, k;

	score_reset(run);
	for (k = 0; ; k++) {
		struct ens_stamp_result res = { .events = 0 };
		double err, bound, frac, old_frac;
		int64_t utc, truth;

		i = k % sc->n;
		w->sim.sc = &w->path[i];
		if (!sim_next(&w->sim, &out))
			break;
		if (out.told) {
			struct ffe_restart why = { .why = FFE_RESTART_MIGRATION };

			ens_restart(w->ens, &why);
			have = false;
		}
		w->reach[i] = (uint8_t)(w->reach[i] << 1 | out.answered);
		ens_set_reachable(w->ens, i, w->reach[i]);
		if (out.answered) {
			serve(w, i, &out);
			ens_stamp(w->ens, i, &out.stamp, &res);
			if (sc->poll_max_s > 0)
				pace(w, i, &res);
		}
		w->asked++;
		if (ens_update(w->ens, out.tf, &c))
			continue;
		truth = (int64_t)floor(out.true_tf_s * 1e9);
		utc = read_clock(&c, out.tf, &frac, &bound);
		err = ((double)(utc - utc_of(w, truth, false)) + frac) * 1e-3;
		jump = 0;
		if (have)
			jump = ((double)(utc - read_clock(&before, out.tf, &old_frac, NULL)) +
				frac - old_frac) * 1e-3;
		before = c;
		have = true;
		score_add(run, out.true_tf_s, err, bound * 1e-3);
		if (out.true_tf_s >= sc->jump_from)
			worst = fmax(worst, fabs(jump));
		if (w->verbose > 1 || (w->verbose && (res.events & ~(uint32_t)FFE_EV_CONGESTED ||
						      res.leap || fabs(jump) > sc->jump_us)))
			print_step(w, i, &out, &c, err, bound * 1e-3, jump);
	}
	*used = 0;
	for (i = 0; i < sc->n; i++) {
		struct ens_look l;

		ens_look_at(w->ens, i, out.tf, &l);
		*used |= (unsigned int)(l.state == ENS_USED) << i;
	}
	return worst;
}

static void scenario_run(const struct scenario *sc, unsigned int seeds, uint64_t first, int verbose)
{
	static double median[SEEDS_MAX], p99[SEEDS_MAX], max[SEEDS_MAX], bound[SEEDS_MAX];
	static double recovery[SEEDS_MAX], jumps[SEEDS_MAX];
	double samples = 0, covered = 0, worst_cover = 1, asked = 0;
	static struct score_run run;
	unsigned int i, bad = 0;

	for (i = 0; i < seeds; i++) {
		const char *why = NULL;
		unsigned int used;
		struct score win, all;
		struct world w;

		world_start(&w, sc, first + i, verbose);
		jumps[i] = run_one(&w, &run, &used);
		ens_free(w.ens);
		asked += (double)w.asked;
		all = score_window(&run, 0, INFINITY);
		win = score_window(&run, sc->from, sc->to > 0 ? sc->to : INFINITY);
		median[i] = win.median;
		p99[i] = win.p99;
		max[i] = win.max;
		bound[i] = win.bound;
		samples += (double)all.n;
		covered += all.covered * (double)all.n;
		worst_cover = fmin(worst_cover, all.covered);
		if (!sc->lied_to && all.covered < COVERAGE_SEED)
			why = "bound covers too little";
		else if (!win.n)
			why = "no clock in the window";
		else if (sc->worst_us > 0 && win.max > sc->worst_us)
			why = "error beyond the worst case";
		else if (jumps[i] > sc->jump_us)
			why = "the clock jumped";
		else if (sc->used && used != sc->used)
			why = "not those sources used at the end that should be";
		if (sc->recover_at > 0) {
			recovery[i] = score_recovery(&run, sc->recover_at, INFINITY, sc->recover_us);
			if (recovery[i] < 0) {
				why = "does not recover";
				recovery[i] = INFINITY;
			}
		}
		if (!why)
			continue;
		bad++;
		printf("# %s seed %" PRIu64 ": %s (coverage %.5f, largest error %.2f us, largest jump %.2f us, used %#x)\n",
		       sc->name, first + i, why, all.covered, win.max, jumps[i], used);
	}
	printf("# %-11s %9.2f %9.2f %9.2f %10.1f %9.2f\n", sc->name, score_median(median, seeds),
	       score_median(p99, seeds), score_median(max, seeds), score_median(bound, seeds),
	       score_quantile(jumps, seeds, 1));
	if (sc->poll_max_s > 0)
		printf("# %s: mean interval %.0f s\n", sc->name,
		       sc->length_h * 3600 * sc->n * seeds / asked);
	ok(score_median(median, seeds) <= sc->median_us &&
	   score_median(p99, seeds) <= sc->p99_us,
	   "%s: median %.2f <= %g us, p99 %.2f <= %g us", sc->name, score_median(median, seeds),
	   sc->median_us, score_median(p99, seeds), sc->p99_us);
	ok(!bad, "%s: %u failing seeds of %u", sc->name, bad, seeds);
	if (!sc->lied_to)
		ok(covered >= COVERAGE * samples,
		   "%s: bound covers %.5f (worst seed %.5f) >= %g", sc->name, covered / samples,
		   worst_cover, COVERAGE);
	if (sc->recover_at > 0)
		ok(score_median(recovery, seeds) <= sc->recover_s,
		   "%s: below %g us for good %.0f <= %g s after the event", sc->name,
		   sc->recover_us, score_median(recovery, seeds), sc->recover_s);
}

int main(int argc, char **argv)
{
	struct sim_options o = { .seeds = 5, .first = 2000 };
	unsigned int i, ran = 0;

	sim_options(argc, argv, false, &o);
	for (i = 0; o.list && i < N_SCENARIOS; i++)
		printf("%-11s %s\n", scenarios[i].name, scenarios[i].what);
	if (o.list)
		return 0;
	plan_later();
	printf("# seeds %" PRIu64 " to %" PRIu64 "; medians over seeds, us; largest jump of all\n",
	       o.first, o.first + o.seeds - 1);
	printf("# %-11s %9s %9s %9s %10s %9s\n", "scenario", "median", "p99", "max", "bound", "jump");
	for (i = 0; i < N_SCENARIOS; i++) {
		if (o.only && strcmp(o.only, scenarios[i].name))
			continue;
		scenario_run(&scenarios[i], o.seeds, o.first, o.verbose);
		ran++;
	}
	if (!ran) {
		fprintf(stderr, "several: no scenario '%s'; -l lists them\n", o.only);
		return 2;
	}
	return finish();
}
