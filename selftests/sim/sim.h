/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deterministic simulator of a client's oscillator and its path to a server.
 *
 * One scenario and one seed give one sequence of exchanges and truth, the
 * same on every machine with IEEE doubles.  The server is perfect except
 * where the scenario makes it lie.
 */
#ifndef SELFTESTS_SIM_H
#define SELFTESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "estimator.h"

/* Distribution of a queueing delay with the scale q. */
enum sim_delay {
	SIM_EXP,	/* exponential of mean q */
	SIM_GAMMA2,	/* sum of two exponentials of mean q: no delay at the minimum */
	SIM_LOGNORMAL,	/* q times exp(N(0, 1)): long tail */
	SIM_PARETO,	/* q times a Pareto variable of index 1.5: no variance */
	SIM_GAUSS,	/* 8 q + q N(0, 1), cut at 0: jitter around a mean */
};

enum sim_kind {
	SIM_END,	/* ends a list */
	SIM_ROUTE,	/* a: extra delay to the server [us], b: back [us] */
	SIM_QUEUE,	/* a: extra delay [us], b: exponential mean [us]; to the server */
	SIM_QUEUE_BACK,	/* the same, from the server */
	SIM_OUTAGE,	/* no answers */
	SIM_LOSE,	/* a: ns the counter loses within 2 s at @from; @to unused */
	SIM_RATE,	/* a: ppm the oscillator is faster from @from on */
	SIM_SERVER,	/* a: us the server's clock is ahead */
	SIM_GARBAGE,	/* probability a: every field of the stamp random */
	SIM_SHORT,	/* probability a: request stamped b us late */
	SIM_TOLD,	/* a restart is announced to the estimator at @from */
};

/**
 * struct sim_event - something that happens
 * @kind: what
 * @from: start [s]
 * @to: end [s]
 * @a: see &enum sim_kind
 * @b: see &enum sim_kind
 * @every: repeats with this period [s]; 0 for once
 */
struct sim_event {
	enum sim_kind	kind;
	double		from;
	double		to;
	double		a;
	double		b;
	double		every;
};

/**
 * struct sim_scenario - everything but the seed
 * @name: short
 * @what: one line for people
 * @length_h: duration [h]
 * @poll_s: interval between requests [s]
 * @period_ns: length of a count [ns]
 * @skew_ppm: oscillator's constant rate, positive is fast
 * @wander: random walk of the rate [per square root of a second]
 * @flicker: flicker floor of the rate (Allan deviation, about)
 * @temp_ppm: amplitude of a sinusoid on the rate
 * @temp_s: its period [s]
 * @base_us: delay without queue, to the server and back [us]
 * @queue_us: scale of the queueing delay, likewise
 * @delay: its distribution
 * @spike_p: probability that either direction meets a spike
 * @spike_lo_us: uniform from [us]
 * @spike_hi_us: to [us]
 * @loss_p: probability of no answer
 * @read_ns: 1 sigma of stamping at the client [ns]
 * @wake_us: mean of an exponential delay of the receive stamp [us]
 * @events: list, ended by SIM_END
 */
struct sim_scenario {
	const char		*name;
	const char		*what;
	double			length_h;
	double			poll_s;
	double			period_ns;
	double			skew_ppm;
	double			wander;
	double			flicker;
	double			temp_ppm;
	double			temp_s;
	double			base_us[2];
	double			queue_us[2];
	enum sim_delay		delay;
	double			spike_p;
	double			spike_lo_us;
	double			spike_hi_us;
	double			loss_p;
	double			read_ns;
	double			wake_us;
	const struct sim_event	*events;
};

/* Decades of relaxation time that make up flicker noise: 10 s to 1e6 s. */
#define SIM_FLICKER	6

/**
 * struct sim - a running simulation
 * @sc: scenario
 * @rng: state of the generator
 * @t: true time [s since the start]
 * @x: what the counter has gained against true time [ns]
 * @y: rate of the random walk [ns/s]
 * @ou: flicker components [ns/s]
 * @raw0: counter at the start
 * @spare: second normal variable of a pair
 * @have_spare: it is valid
 */
struct sim {
	const struct sim_scenario	*sc;
	uint64_t			rng[4];
	double				t;
	double				x;
	double				y;
	double				ou[SIM_FLICKER];
	uint64_t			raw0;
	double				spare;
	bool				have_spare;
};

/**
 * struct sim_out - one exchange, or its absence
 * @answered: @stamp is valid
 * @stamp: what the client sees
 * @tf: counter when the answer came, or would have come
 * @true_ta_s: true time of the request [s since the start]
 * @true_tf_s: true time of @tf, likewise
 * @rate: the oscillator's true rate at @tf, positive is fast [ns/s]
 * @told: a restart is announced before this exchange
 */
struct sim_out {
	bool			answered;
	struct ffe_stamp	stamp;
	uint64_t		tf;
	double			true_ta_s;
	double			true_tf_s;
	double			rate;
	bool			told;
};

/* Unix time of the start [ns]: 1 January 2026. */
#define SIM_EPOCH	(INT64_C(1767225600) * 1000000000)

void sim_start(struct sim *s, const struct sim_scenario *sc, uint64_t seed);

/* Next exchange; false at the end of the scenario. */
bool sim_next(struct sim *s, struct sim_out *out);

#endif /* SELFTESTS_SIM_H */
