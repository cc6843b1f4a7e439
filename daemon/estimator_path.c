// SPDX-License-Identifier: GPL-2.0-only
/*
 * The path: minimum delays, their changes, and how noisy each direction is.
 *
 * The round-trip time needs no synchronised clock, so its minimum D is known
 * whatever the clock does.  How D divides into the two directions cannot be
 * seen at all from here; it starts as halves.  When D changes later, though,
 * a clock that has been right to microseconds all along shows which direction
 * changed, and the change is booked there (asymmetry) instead of moving the
 * clock.  Routes are remembered, so one that comes back is recognised and the
 * clock is exactly where it would have been.
 */
#include <math.h>
#include <string.h>

#include "estimator_internal.h"

/*
 * Prior of the mean excess delay as a part of the first RTT, with the weight
 * of PRIOR_N exchanges.  Only for the first handful: a tenth is between a
 * quiet LAN (a fifth) and a long line (a fiftieth).
 */
#define PRIOR_TAU	0.1
#define PRIOR_N		2.0

/*
 * Exchanges the mean excess delay is averaged over.  100 give it to 10 %,
 * which the likelihood does not notice, and follow a path's daily load.
 */
#define TAU_N		100.0

/* Same for the probability of meeting a queue: queues last for minutes. */
#define EPS_N		20.0
#define EPS_MIN		0.02
#define EPS_MAX		0.9

/* A queue's mean excess delay is at least so many times the normal one. */
#define TAIL_MIN	20.0

/*
 * A level has authority (a lower RTT later is a new route, not the same one
 * seen better) after so many exchanges: the minimum of 32 exchanges of mean
 * excess T per direction is within T / 4 of the truth.
 */
#define LEVEL_YOUNG	32

/*
 * Risen minimum: the last QUICK_N exchanges all exceed it by SHIFT_TAU times
 * the mean excess of both directions together.  For two exponentials one does
 * so with probability (1 + 2 k) exp(-2 k), 0.04 at k = 2.5; twelve in a row
 * with 2e-17.  A queue has the same effect, but it also scatters: its
 * exchanges do not bunch above their own minimum as the old ones did
 * (median excess below QUICK_SPREAD times the normal mean; it is 0.84 times
 * over a true minimum).  One that does scatter must last for SLOW_N.
 */
#define QUICK_N		12
#define SHIFT_TAU	2.5
#define QUICK_SPREAD	1.5
#define SLOW_N		60

/*
 * A leg's change is told from none when it exceeds this many times its own
 * uncertainty.
 */
#define LEG_SIGMA	4.0

static double leg_doubt(const struct ffe_path *p, int i)
{
	/*
	 * Minimum of n sums of two exponentials of mean T lies sqrt(pi/2n) T
	 * above the truth on average and scatters by half of that; split in
	 * two directions.
	 */
	return p->tau[i] * 0.63 / sqrt(p->n[i]);
}

static void ring_add(struct ffe_path *p, double rtt, double out, double in)
{
	struct ffe_past *slot = &p->ring[p->ring_at];

	slot->rtt = rtt;
	slot->leg[0] = out;
	slot->leg[1] = in;
	p->ring_at = (p->ring_at + 1) % FFE_RING;
	if (p->ring_n < FFE_RING)
		p->ring_n++;
}

static const struct ffe_past *ring_back(const struct ffe_path *p, unsigned int i)
{
	return &p->ring[(p->ring_at + 2 * FFE_RING - 1 - i) % FFE_RING];
}

static void level_forget(struct ffe_path *p)
{
	p->ring_n = 0;
	p->block_n = 0;
	p->block_at = 0;
	p->age = 0;
}

static void level_remember(struct ffe_path *p)
{
	double d = ffe_path_min_rtt(p), near = p->tau[0] + p->tau[1];
	unsigned int i, at = p->past_at;

	/* a route seen before keeps its slot */
	for (i = 0; i < FFE_LEVELS; i++)
		if (p->past[i].used &&
		    fabs(p->past[i].d[0] + p->past[i].d[1] - d) < near)
			at = i;
	p->past[at] = p->level;
	p->past[at].used = true;
	if (at == p->past_at)
		p->past_at = (p->past_at + 1) % FFE_LEVELS;
}

/**
 * ffe_path_start - first exchange of a path
 * @p: path
 * @e: exchange
 */
void ffe_path_start(struct ffe_path *p, const struct ffe_exchange *e)
{
	int i;

	memset(p, 0, sizeof(*p));
	p->floor = sqrt(e->var);
	p->asym_bound = e->rtt / 2;
	for (i = 0; i < 2; i++) {
		p->level.d[i] = e->rtt / 2;
		p->n[i] = 1;
		p->tau[i] = fmax(e->rtt * PRIOR_TAU, p->floor);
		p->tau_n[i] = PRIOR_N;
		p->tail[i] = TAIL_MIN * p->tau[i];
		p->eps[i] = EPS_MIN;
	}
}

/*
 * Divide a change of the minimum RTT over the directions.  leg[] is what each
 * direction's minimum is by the clock now, sigma the clock's doubt.
 *
 * The clock's own story is noisy, and what is booked stays, so the simple
 * explanations come first: one direction changed, or both alike.
 */
static uint32_t level_change(struct ffe_path *p, double rtt, const double leg[2],
			     double sigma, double doubt)
{
	double d = ffe_path_min_rtt(p), change = rtt - d;
	double by[2] = { leg[0] - p->level.d[0], leg[1] - p->level.d[1] };
	struct ffe_level next = { .used = true };
	double tol = LEG_SIGMA * hypot(sigma, doubt);
	uint32_t ev = change > 0 ? FFE_EV_UPSHIFT : FFE_EV_DOWNSHIFT;
	unsigned int i, j;

	level_remember(p);

	/* a route that was here before? */
	for (i = 0; i < FFE_LEVELS; i++) {
		const struct ffe_level *l = &p->past[i];

		if (!l->used || fabs(l->d[0] + l->d[1] - d) < fabs(change) / 2)
			continue;
		if (fabs(l->d[0] + l->d[1] - rtt) > 2 * doubt)
			continue;
		if (fabs(l->d[0] - leg[0]) > tol + doubt ||
		    fabs(l->d[1] - leg[1]) > tol + doubt)
			continue;
		p->level = *l;
		p->n[0] = p->n[1] = LEVEL_YOUNG;
		if (fabs(p->level.d[0] - p->level.d[1]) > tol)
			ev |= FFE_EV_ASYM_HELD;
		level_forget(p);
		return ev;
	}

	if (sigma > fabs(change) / 4 || fabs(by[0] - by[1]) < tol) {
		/* the clock cannot tell, or says: both alike */
		next.d[0] = p->level.d[0] + change / 2;
		next.d[1] = p->level.d[1] + change / 2;
		p->n[0] = p->n[1] = QUICK_N;
	} else {
		ev |= FFE_EV_ASYM_HELD;
		for (j = 0; j < 2; j++)
			if (fabs(by[j]) < tol)
				break;
		if (j < 2) {
			/* the other direction alone */
			next.d[j] = p->level.d[j];
			p->n[!j] = QUICK_N;
		} else {
			double rest = (change - by[0] - by[1]) / 2;

			next.d[1] = leg[1] + rest;
			p->n[0] = p->n[1] = QUICK_N;
			p->asym_bound += tol;
			j = 1;
		}
		next.d[!j] = rtt - next.d[j];
	}

	/* No direction takes no time: the clock must be wrong after all. */
	for (j = 0; j < 2; j++)
		if (next.d[j] < 0) {
			next.d[j] = 0;
			next.d[!j] = rtt;
		}
	p->level = next;
	level_forget(p);
	return ev;
}

/**
 * ffe_path_before - let an exchange lower the minimum, before it is used
 * @p: path
 * @e: exchange
 * @b: belief at the exchange
 *
 * Return: events.
 */
uint32_t ffe_path_before(struct ffe_path *p, const struct ffe_exchange *e,
			 const struct ffe_belief *b)
{
	double fall = ffe_path_min_rtt(p) - e->rtt;
	double doubt[2] = { leg_doubt(p, 0), leg_doubt(p, 1) };
	double limit, share, leg[2];

	if (!(fall > 0))
		return 0;

	/*
	 * Minimum seen better: the part each direction was in doubt by.  A
	 * fall well beyond the doubt is another route, if this one was known.
	 */
	limit = 2 * (p->tau[0] + p->tau[1]) / sqrt(fmin(p->n[0], p->n[1])) +
		6 * sqrt(e->var);
	if (fall < limit || p->age < LEVEL_YOUNG) {
		share = doubt[0] / (doubt[0] + doubt[1]);
		p->level.d[0] -= fall * share;
		p->level.d[1] -= fall * (1 - share);
		return 0;
	}

	leg[0] = e->out - b->x;
	leg[1] = b->x - e->in;
	return level_change(p, e->rtt, leg, sqrt(b->pxx),
			    p->tau[0] + p->tau[1]);
}

/**
 * ffe_path_box - what an exchange says about the offset
 * @p: path
 * @e: exchange
 * @box: result
 */
void ffe_path_box(const struct ffe_path *p, const struct ffe_exchange *e,
		  struct ffe_box *box)
{
	double doubt[2] = { leg_doubt(p, 0), leg_doubt(p, 1) };
	int i;

	box->hi = e->out - p->level.d[0] + doubt[0];
	box->lo = e->in + p->level.d[1] - doubt[1];
	/* e->rtt >= minimum, so this only guards against rounding */
	box->hi = fmax(box->hi, box->lo + 1e-3);
	box->var = e->var + (doubt[0] * doubt[0] + doubt[1] * doubt[1]) / 4;
	for (i = 0; i < 2; i++) {
		box->tau[i] = p->tau[i];
		box->tail[i] = p->tail[i];
		box->eps[i] = p->eps[i];
	}
}

static uint32_t path_rise(struct ffe_path *p, const struct ffe_belief *b)
{
	double d = ffe_path_min_rtt(p), tau = p->tau[0] + p->tau[1];
	double low = INFINITY, leg[2] = { INFINITY, INFINITY };
	double need = SHIFT_TAU * tau + 6 * p->floor;
	unsigned int i, n, below = 0;

	for (n = 0; n < p->ring_n && n < SLOW_N; n++) {
		const struct ffe_past *e = ring_back(p, n);

		if (e->rtt < d + need)
			break;
		low = fmin(low, e->rtt);
		leg[0] = fmin(leg[0], e->leg[0]);
		leg[1] = fmin(leg[1], e->leg[1]);
		if (n + 1 != QUICK_N)
			continue;
		for (i = 0; i < QUICK_N; i++)
			if (ring_back(p, i)->rtt < low + QUICK_SPREAD * tau)
				below++;
		if (below > QUICK_N / 2) {
			n++;
			return level_change(p, low, leg, sqrt(b->pxx), tau);
		}
	}
	if (n < SLOW_N)
		return 0;
	return level_change(p, low, leg, sqrt(b->pxx), tau);
}

/**
 * ffe_path_after - learn from an exchange, after it was used
 * @p: path
 * @e: exchange
 * @fit: what the belief made of it
 * @b: belief with it
 *
 * Return: events.
 */
uint32_t ffe_path_after(struct ffe_path *p, const struct ffe_exchange *e,
			const struct ffe_fit *fit, const struct ffe_belief *b)
{
	double sane = 1 - fit->alien;
	uint32_t ev = 0;
	int i;

	p->floor += (sqrt(e->var) - p->floor) / TAU_N;
	for (i = 0; i < 2; i++) {
		double w = sane - fit->heavy[i];

		if (w > 0) {
			p->tau_n[i] = fmin(p->tau_n[i] + w, TAU_N);
			p->tau[i] += w * (fmax(fit->excess[i], 0) - p->tau[i]) /
				     p->tau_n[i];
			p->tau[i] = fmax(p->tau[i], p->floor);
		}
		if (fit->heavy[i] > 0.5)
			p->tail[i] += (fit->excess_tail[i] - p->tail[i]) / EPS_N;
		p->tail[i] = fmax(p->tail[i], TAIL_MIN * p->tau[i]);
		p->eps[i] += sane * (fit->heavy[i] / fmax(sane, 1e-9) - p->eps[i]) / EPS_N;
		p->eps[i] = fmin(fmax(p->eps[i], EPS_MIN), EPS_MAX);
		p->n[i]++;
	}
	p->age++;
	if (fit->heavy[0] + fit->heavy[1] > 0.5)
		ev |= FFE_EV_CONGESTED;

	ring_add(p, e->rtt, e->out - b->x, b->x - e->in);

	/* hard limits: no packet takes less than no time */
	p->asym_bound = fmin(p->asym_bound, fmax(p->level.d[0], p->level.d[1]));

	return ev | path_rise(p, b);
}
