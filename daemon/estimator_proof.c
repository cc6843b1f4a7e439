// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the exchanges prove about the offset, whatever anybody believes.
 *
 * A request left at ta and had arrived by tb, so the offset at ta is at most
 * out; an answer left at te and arrived at tf, so the offset at tf is at least
 * in.  That takes no minimum, no noise and no model of a queue, only that a
 * packet takes no less than no time.  Two such exchanges also prove something
 * about the rate.  In the plane of offset and rate each exchange is two straight
 * lines, and what can be true lies between them; with the largest rate error to
 * believe, all exchanges together leave a convex polygon.  The longer ago one
 * was, the more the rate may have changed since: its lines are moved out by what
 * the most restless oscillator in the bank does to an offset over that time.
 *
 * The filters' own error estimate rests on how delays scatter, and in the first
 * exchanges that is a guess.  Where it is wrong (a guest on a busy host, whose
 * exchanges take fifty times the minimum) the guess says 3 sigma and the clock
 * is off by ten.  So until the filters have shown that they agree the bound is
 * at least the distance to the polygon's far end.
 */
#include <math.h>
#include <string.h>

#include "estimator_internal.h"

/*
 * How far the rate may wander, 1 sigma: the most restless hypothesis of the
 * bank [ns/s per square root of a second].
 */
#define PROOF_WANDER	100.0

/* As many sigma as the error bound has: see BOUND_SIGMA in estimator.c. */
#define PROOF_SIGMA	3.1

/*
 * Exchanges that disagree: for so many that agree again the bound holds what both
 * sides allowed, and the rate may be off by this much more, in case it was that.
 */
#define PROOF_DOUBT	32
#define PROOF_WIDEN	4
/* ... up to what no counter is off by [ns/s] */
#define PROOF_SKEW_MAX	1e7

/* What the offset may leave a straight line by, over @age seconds [ns]. */
static double proof_slack(double wander, double age)
{
	age = fmax(age, 0);
	return PROOF_SIGMA * wander * age * sqrt(age / 3);
}

/**
 * ffe_proof_start - nothing is proven
 * @p: proof
 * @y: middle of the rates that are possible [ns/s]
 * @skew: how far from it they may be [ns/s]
 */
void ffe_proof_start(struct ffe_proof *p, double y, double skew)
{
	memset(p, 0, sizeof(*p));
	p->y = y;
	p->skew = skew;
	p->on = true;
}

/**
 * ffe_proof_move - the reference map moved
 * @p: proof
 * @dt: to a later reading [s]
 * @dx: by so much [ns]
 */
void ffe_proof_move(struct ffe_proof *p, double dt, double dx)
{
	unsigned int i;

	for (i = 0; i < p->n; i++) {
		p->edge[i].at -= dt;
		p->edge[i].hi -= dx;
		p->edge[i].lo -= dx;
	}
	for (i = 0; i < p->corners; i++)
		p->corner[i].x += p->corner[i].y * dt - dx;
}

/*
 * Keep what of the polygon has sign * (x + y t) <= sign * limit.  A cut that
 * would need more corners than there is room for is left out: the polygon only
 * is larger for it.
 */
static void proof_cut(struct ffe_proof *p, double t, double limit, int sign)
{
	struct ffe_corner out[FFE_CORNERS + 1];
	unsigned int i, n = 0;

	for (i = 0; i < p->corners; i++) {
		const struct ffe_corner *a = &p->corner[i];
		const struct ffe_corner *b = &p->corner[(i + 1) % p->corners];
		/* how far inside */
		double da = sign * (limit - a->x - a->y * t);
		double db = sign * (limit - b->x - b->y * t);

		if (n + 2 > FFE_CORNERS + 1)
			return;
		if (da >= 0)
			out[n++] = *a;
		if ((da < 0) != (db < 0)) {
			double part = da / (da - db);

			out[n++] = (struct ffe_corner){
				.x = a->x + part * (b->x - a->x),
				.y = a->y + part * (b->y - a->y),
			};
		}
	}
	if (n > FFE_CORNERS)
		return;
	memcpy(p->corner, out, n * sizeof(out[0]));
	p->corners = n;
}

static void proof_cut_edge(struct ffe_proof *p, const struct ffe_edge *e)
{
	proof_cut(p, e->at - e->span, e->hi + proof_slack(PROOF_WANDER, e->span - e->at), 1);
	proof_cut(p, e->at, e->lo - proof_slack(PROOF_WANDER, -e->at), -1);
}

/* The polygon of all exchanges kept, at the reference; empty when they disagree. */
static void proof_build(struct ffe_proof *p)
{
	const struct ffe_edge *last = &p->edge[p->n - 1];
	double age = last->span - last->at;
	double most = (fabs(p->y) + p->skew) * age + proof_slack(PROOF_WANDER, age);
	unsigned int i;

	p->corners = 4;
	for (i = 0; i < 4; i++) {
		p->corner[i].y = p->y + (i == 1 || i == 2 ? p->skew : -p->skew);
		p->corner[i].x = i < 2 ? last->lo - most : last->hi + most;
	}
	for (i = p->n; i-- > 0 && p->corners;)
		proof_cut_edge(p, &p->edge[i]);
}

/*
 * Room for one more: of each two neighbours but the newest the wider one goes,
 * so that what is kept gets sparser the longer ago it was.
 */
static void proof_thin(struct ffe_proof *p)
{
	unsigned int i, n = 0;

	for (i = 0; i + 2 < p->n; i += 2) {
		const struct ffe_edge *a = &p->edge[i], *b = &p->edge[i + 1];

		p->edge[n++] = a->hi - a->lo < b->hi - b->lo ? *a : *b;
	}
	for (; i < p->n; i++)
		p->edge[n++] = p->edge[i];
	p->n = n;
}

/**
 * ffe_proof_add - an exchange was used
 * @p: proof; its reference stands at the exchange's tf
 * @e: exchange
 * @y: rate its @e->out was carried with [ns/s]
 * @b: belief
 *
 * Return: false when it cannot be true together with those before it: a stamp
 * was wrong, or the counter jumped by less than the filters notice.  Those
 * before are dropped then, but for a while the bound does not fall below what
 * they allowed.
 */
bool ffe_proof_add(struct ffe_proof *p, const struct ffe_exchange *e, double y,
		   const struct ffe_belief *b)
{
	double blur = PROOF_SIGMA * sqrt(e->var), before;
	bool agrees = true;

	if (!p->on)
		return true;

	before = p->n ? ffe_proof_bound(p, b, 0) : 0;
	if (p->n == FFE_EDGES_KEPT)
		proof_thin(p);
	p->edge[p->n++] = (struct ffe_edge){
		.span = e->span,
		.hi = e->out - y * e->span + blur,
		.lo = e->in - blur,
	};
	proof_build(p);
	if (!p->corners) {
		agrees = false;
		p->least = fmax(p->least, before);
		p->doubt = PROOF_DOUBT;
		p->skew = fmin(PROOF_WIDEN * p->skew, PROOF_SKEW_MAX);
		p->edge[0] = p->edge[p->n - 1];
		p->n = 1;
		proof_build(p);
	} else if (p->doubt && !--p->doubt) {
		p->least = 0;
	}
	return agrees;
}

/**
 * ffe_proof_bound - how far off the clock may be, proven
 * @p: proof
 * @b: belief; the clock is its offset and rate
 * @age: time after the reference [s], >= 0
 *
 * Return: the distance [ns]; 0 when nothing is proven (any more).
 */
double ffe_proof_bound(const struct ffe_proof *p, const struct ffe_belief *b,
		       double age)
{
	double far = 0;
	unsigned int i;

	if (!p->on || !p->corners)
		return 0;

	for (i = 0; i < p->corners; i++)
		far = fmax(far, fabs(p->corner[i].x - b->x +
				     (p->corner[i].y - b->y) * age));
	return fmax(far, p->least) + proof_slack(sqrt(b->q2), age);
}

/**
 * ffe_proof_rate - how far off the clock's rate may be, proven
 * @p: proof
 * @b: belief
 *
 * Return: that [ns/s]; 0 when nothing is proven (any more).
 */
double ffe_proof_rate(const struct ffe_proof *p, const struct ffe_belief *b)
{
	double far = 0;
	unsigned int i;

	if (!p->on)
		return 0;

	for (i = 0; i < p->corners; i++)
		far = fmax(far, fabs(p->corner[i].y - b->y));
	return far;
}
