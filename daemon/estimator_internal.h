/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private seam between the parts of the estimator.  Nothing outside
 * daemon/estimator*.c and its unit test includes this.
 *
 * Units inside: offsets and delays in ns (double, always small differences
 * from a moving reference), elapsed time in s, rates in ns/s (that is, parts
 * in 1e9), wander in ns/s per square root of a second.
 */
#ifndef FFCLOCKD_ESTIMATOR_INTERNAL_H
#define FFCLOCKD_ESTIMATOR_INTERNAL_H

#include <stdbool.h>

#include "estimator.h"

/* ---- delay likelihood: estimator_likelihood.c ---- */

/**
 * struct ffe_box - one exchange as a statement about the offset
 * @lo: smallest offset the answer's delay allows [ns]
 * @hi: largest offset the request's delay allows [ns]; >= @lo
 * @var: variance of what blurs both edges alike: stamping, the minimum's own
 *	uncertainty [ns^2]; > 0
 * @tau: mean excess delay of a normal packet, [0] request, [1] answer [ns]
 * @tail: mean excess delay of a packet that met a queue [ns]
 * @eps: probability of meeting one
 * @mid_var: variance of the box's middle about the offset, when the edges are
 *	not what matters [ns^2]; > 0
 * @far: the round trip was longer than noise makes it
 */
struct ffe_box {
	double	lo;
	double	hi;
	double	var;
	double	tau[2];
	double	tail[2];
	double	eps[2];
	double	mid_var;
	bool	far;
};

/**
 * struct ffe_fit - a Gaussian belief confronted with a box
 * @loglik: log probability density of the box given the belief and its
 *	width
 * @mean: of the blurred offset afterwards [ns]
 * @var: of the blurred offset afterwards [ns^2]
 * @heavy: probability that the packet met a queue, per direction
 * @excess: expected excess delay given that it did not, per direction [ns]
 * @excess_tail: expected excess delay given that it did [ns]
 * @inside: log probability that the belief is inside the box at all
 * @alien: probability that the exchange says nothing about the offset
 */
struct ffe_fit {
	double	loglik;
	double	mean;
	double	var;
	double	heavy[2];
	double	excess[2];
	double	excess_tail[2];
	double	inside;
	double	alien;
};

/* Moments of a standard normal variable kept inside [a, b]; a < b. */
void ffe_truncated(double a, double b, double *logz, double *mean, double *var);

/* Confront the belief N(mean, var) about the offset with a box. */
void ffe_box_fit(const struct ffe_box *box, double mean, double var,
		 struct ffe_fit *fit);

/* The same when the delays jitter about a mean that matters more. */
void ffe_middle_fit(const struct ffe_box *box, double mean, double var,
		    struct ffe_fit *fit);

/* ---- bank of oscillator filters: estimator_bank.c ---- */

/*
 * Wander hypotheses: 1e-11 to 1e-7 per square root of a second in half
 * decades.  The lower end is a good ovenised oscillator, the upper one worse
 * than any clock crystal in a machine whose fan has just come on.
 */
#define FFE_BANK	9

/* What an exchange's noise is like: FFE_EDGES or FFE_MIDDLE. */
enum ffe_noise {
	FFE_EDGES,	/* delays have a minimum: the box */
	FFE_MIDDLE,	/* delays jitter about a mean: the box's middle */
	FFE_NOISES
};

/**
 * struct ffe_kalman - belief about the oscillator under one wander
 * @x: offset of the reference map [ns]
 * @y: rate against nominal [ns/s]
 * @pxx: variance of @x [ns^2]
 * @pxy: covariance [ns^2/s]
 * @pyy: variance of @y [ns^2/s^2]
 * @logw: log of the hypothesis' weight, normalised over the bank
 */
struct ffe_kalman {
	double	x;
	double	y;
	double	pxx;
	double	pxy;
	double	pyy;
	double	logw;
};

/**
 * struct ffe_belief - the bank as one Gaussian
 * @x: offset of the reference map [ns]
 * @y: rate [ns/s]
 * @pxx: variance [ns^2]
 * @pxy: covariance [ns^2/s]
 * @pyy: variance [ns^2/s^2]
 * @q2: mean square wander [ns^2/s^3]
 */
struct ffe_belief {
	double	x;
	double	y;
	double	pxx;
	double	pxy;
	double	pyy;
	double	q2;
};

/**
 * struct ffe_bank - one filter per noise and wander
 * @k: filters
 */
struct ffe_bank {
	struct ffe_kalman	k[FFE_NOISES][FFE_BANK];
};

void ffe_bank_start(struct ffe_bank *bank, double pxx, double y, double pyy,
		    double wander);
void ffe_bank_predict(struct ffe_bank *bank, double dt);
void ffe_bank_update(struct ffe_bank *bank, const struct ffe_box *box,
		     struct ffe_fit *fit);
void ffe_bank_shift(struct ffe_bank *bank, double dx);
void ffe_bank_widen(struct ffe_bank *bank, double pxx, double pyy);
void ffe_bank_collapse(const struct ffe_bank *bank, struct ffe_belief *out);

/* How far a box lies off every belief, in sigma; 0 when one reaches it. */
double ffe_bank_off(const struct ffe_bank *bank, const struct ffe_box *box);

/* Variance of the offset @dt seconds after the belief [ns^2]. */
double ffe_belief_pxx(const struct ffe_belief *b, double dt);

/* ---- memory of the rate: estimator_wander.c ---- */

/* Samples of the rate kept. */
#define FFE_HISTORY	96
/* Lags its change is known for: 1, 2, 4, ... 32 samples. */
#define FFE_LAGS	6

/**
 * struct ffe_rate - the rate at one time
 * @at: when [s], own count
 * @y: rate [ns/s]
 * @var: its variance [ns^2/s^2]
 */
struct ffe_rate {
	double	at;
	double	y;
	double	var;
};

/**
 * struct ffe_wander - the rate over the last day
 * @now: time [s], own count
 * @last: of the newest sample
 * @rate: samples, @n of them, next one goes to @at
 * @change: mean square change per lag [ns^2/s^2]; 0 when not known
 */
struct ffe_wander {
	double		now;
	double		last;
	struct ffe_rate	rate[FFE_HISTORY];
	unsigned int	n;
	unsigned int	at;
	double		change[FFE_LAGS];
};

void ffe_wander_reset(struct ffe_wander *w);
void ffe_wander_note(struct ffe_wander *w, const struct ffe_belief *b);
double ffe_wander_hold(const struct ffe_wander *w, const struct ffe_belief *b,
		       double dt);

/* ---- path: estimator_path.c ---- */

/* Exchanges kept to decide on a risen minimum. */
#define FFE_RING	64
/* Blocks of FFE_RING exchanges over which the minimum is remembered. */
#define FFE_BLOCKS	64
/* Exchanges faster than the path allows that are kept. */
#define FFE_SHORTS	8
/* Former routes remembered, to recognise one that comes back. */
#define FFE_LEVELS	8

/**
 * struct ffe_level - one route of the path
 * @d: delay of a packet that waits nowhere, [0] to the server, [1] back [ns];
 *	their sum is the minimum RTT, their difference the booked asymmetry
 * @tau: mean excess delay per direction [ns]
 * @n: exchanges behind each direction's minimum (at least 1)
 * @used: slot in use
 */
struct ffe_level {
	double	d[2];
	double	tau[2];
	double	n[2];
	bool	used;
};

/**
 * struct ffe_past - what the path remembers of an exchange
 * @rtt: its round-trip time, in true ns
 * @leg: delay of each direction by the clock as it was then [ns]
 */
struct ffe_past {
	double	rtt;
	double	leg[2];
};

/**
 * struct ffe_path - delays between here and the server
 * @level: present route
 * @age: exchanges since the present route was found
 * @tau_n: weight behind each tau
 * @tau_fast: the same mean over the last few exchanges [ns]
 * @tail: mean excess delay of packets that met a queue [ns]
 * @eps: recent probability of that
 * @floor: usual stamping noise, 1 sigma [ns]
 * @mid_var: variance of a normal exchange's middle about the offset [ns^2]
 * @asym_held: what the unseen asymmetry could make of the clock at best so
 *	far, on routes seen for long; holding the clock carries it on [ns]
 * @ring: last exchanges; @ring_n of them since the route was found, next
 *	one goes to @ring_at
 * @block: minimum RTT per block of FFE_RING exchanges [ns]; @block_n of them
 *	are full, the next one goes to @block_at
 * @block_fill: exchanges in the block being filled
 * @past: former routes; next one goes to @past_at
 * @shorts: last exchanges faster than the path allows; next one goes to
 *	@short_at, and @short_seq is when they were; @short_run of them in a
 *	row
 * @seq: exchanges seen, used or not
 */
struct ffe_path {
	struct ffe_level	level;
	uint64_t		age;
	double			tau_n[2];
	double			tau_fast[2];
	double			tail[2];
	double			eps[2];
	double			floor;
	double			mid_var;
	double			asym_held;
	struct ffe_past		ring[FFE_RING];
	unsigned int		ring_n;
	unsigned int		ring_at;
	double			block[FFE_BLOCKS];
	unsigned int		block_n;
	unsigned int		block_at;
	unsigned int		block_fill;
	struct ffe_level	past[FFE_LEVELS];
	unsigned int		past_at;
	struct ffe_past		shorts[FFE_SHORTS];
	uint64_t		short_seq[FFE_SHORTS];
	unsigned int		short_at;
	unsigned int		short_run;
	uint64_t		seq;
};

/**
 * struct ffe_exchange - a stamp in small numbers
 * @dt: since the reference reading, to tf [s]
 * @rtt: round-trip time without the server's part [ns]
 * @out: server's arrival time minus the reference map's at ta, carried to tf
 *	at the believed rate [ns]: offset plus the request's delay
 * @in: server's departure time minus the reference map's at tf [ns]: offset
 *	minus the answer's delay
 * @span: from ta to tf [s]
 * @var: variance of stamping [ns^2]
 */
struct ffe_exchange {
	double	dt;
	double	rtt;
	double	span;
	double	out;
	double	in;
	double	var;
};

/**
 * struct ffe_clock - what the path may use of the clock
 * @x: offset of the reference map [ns]
 * @sigma: its 1 sigma [ns]; infinite when the clock is too young to judge a
 *	route by
 */
struct ffe_clock {
	double	x;
	double	sigma;
};

void ffe_path_start(struct ffe_path *p, const struct ffe_exchange *e,
		    const struct ffe_clock *c, double asym);
bool ffe_path_short(struct ffe_path *p, const struct ffe_exchange *e,
		    const struct ffe_clock *c);
uint32_t ffe_path_before(struct ffe_path *p, const struct ffe_exchange *e,
			 const struct ffe_clock *c);
void ffe_path_box(const struct ffe_path *p, const struct ffe_exchange *e,
		  struct ffe_box *box);
void ffe_path_learn(struct ffe_path *p, const struct ffe_exchange *e,
		    const struct ffe_box *box, const struct ffe_fit *fit,
		    const struct ffe_belief *before);
uint32_t ffe_path_after(struct ffe_path *p, const struct ffe_exchange *e,
			const struct ffe_clock *c);
uint32_t ffe_path_book(struct ffe_path *p, unsigned int n,
		       const struct ffe_clock *c);
bool ffe_path_far(const struct ffe_path *p, const struct ffe_exchange *e);
bool ffe_path_rejoin(struct ffe_path *p, double rtt);
bool ffe_path_drifts(const struct ffe_path *p, unsigned int n, double sigma);
bool ffe_path_withdraw(struct ffe_path *p, const struct ffe_exchange *e,
		       const struct ffe_clock *c);

double ffe_path_asym(const struct ffe_path *p);

static inline double ffe_path_min_rtt(const struct ffe_path *p)
{
	return p->level.d[0] + p->level.d[1];
}

/* ---- what exchanges prove: estimator_proof.c ---- */

/* Exchanges kept; when it is full every other one goes. */
#define FFE_EDGES_KEPT	32
/*
 * Corners of the polygon.  A cut adds one at most, and most cut nothing away: five
 * to ten are usual.  The newest exchanges cut first; what there is no room for is
 * left out, and the polygon is a little larger than it could be.
 */
#define FFE_CORNERS	24

/**
 * struct ffe_edge - what one exchange proves
 * @at: its tf, after the reference [s], <= 0
 * @span: from ta to tf [s]
 * @hi: most that the offset can have been at ta [ns]
 * @lo: least that it can have been at tf [ns]
 */
struct ffe_edge {
	double	at;
	double	span;
	double	hi;
	double	lo;
};

/**
 * struct ffe_corner - of the polygon of what can be true
 * @x: offset at the reference [ns]
 * @y: rate [ns/s]
 */
struct ffe_corner {
	double	x;
	double	y;
};

/**
 * struct ffe_proof - what the first exchanges prove about offset and rate
 * @on: the bound has to heed it
 * @agreed: exchanges in a row that proved no more than is believed
 * @y: middle of the possible rates [ns/s]
 * @skew: how far from it they may be [ns/s]
 * @edge: exchanges, @n of them, the newest last
 * @corner: polygon at the reference, @corners of them in order
 * @least: the bound's least since exchanges disagreed [ns]
 * @doubt: exchanges until that is over
 */
struct ffe_proof {
	bool			on;
	unsigned int		agreed;
	double			y;
	double			skew;
	struct ffe_edge		edge[FFE_EDGES_KEPT];
	unsigned int		n;
	struct ffe_corner	corner[FFE_CORNERS];
	unsigned int		corners;
	double			least;
	unsigned int		doubt;
};

void ffe_proof_start(struct ffe_proof *p, double y, double skew);
void ffe_proof_move(struct ffe_proof *p, double dt, double dx);
bool ffe_proof_add(struct ffe_proof *p, const struct ffe_exchange *e, double y,
		   const struct ffe_belief *b);
double ffe_proof_bound(const struct ffe_proof *p, const struct ffe_belief *b,
		       double age);
double ffe_proof_rate(const struct ffe_proof *p, const struct ffe_belief *b);

#endif /* FFCLOCKD_ESTIMATOR_INTERNAL_H */
