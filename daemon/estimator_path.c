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

/*
 * ... unless the last TAU_FAST_N of them say something else by a factor of
 * TAU_FAST: of ten exponentials the mean does that once in 10^4.
 */
#define TAU_FAST_N	10.0
#define TAU_FAST	4.0

/*
 * Exchanges the probability of meeting a queue is averaged over (queues last
 * for minutes), and its limits: never sure either way.
 */
#define EPS_N		20.0
#define EPS_MIN		0.02
#define EPS_MAX		0.9

/* A queue's mean excess delay is at least so many times the normal one. */
#define TAIL_MIN	20.0

/*
 * Risen minimum: the last QUICK_N exchanges all exceed it by SHIFT_TAU times
 * the mean excess of both directions together.  For two exponentials one does
 * so with probability (1 + 2 k) exp(-2 k), 0.04 at k = 2.5; twenty in a row
 * with 1e-28.  A queue has the same effect, but it also scatters: its
 * exchanges do not bunch above their own minimum as the old ones did (more
 * than half within QUICK_SPREAD times the normal mean; 0.8 of them are over
 * a true minimum).  One that does scatter must last for SLOW_N.  Waiting
 * costs little: the other direction goes on to hold the clock.
 */
#define QUICK_N		20
#define SHIFT_TAU	2.5
#define QUICK_SPREAD	1.2
#define SLOW_N		60

/* A level this young is withdrawn when it leads to a contradiction. */
#define WITHDRAW_AGE	(2 * SLOW_N)

/*
 * A request stamped after it left makes a round trip too short, and a minimum
 * that is wrong spoils everything after it.  So a path shorter than ever must
 * come SHORT_RUN times in a row, or FFE_SHORTS times within SHORT_SPAN
 * exchanges (a gain of about the noise, which few exchanges show).  With one
 * bad stamp in a hundred that is an accident of once in months at 16 s.
 */
#define SHORT_RUN	3
#define SHORT_SPAN	64

/*
 * The second smallest of a block of n = 64 exchanges (the smallest may be a
 * bad stamp) exceeds the path's minimum by x with probability (1 + h) exp(-h),
 * h = n x^2 / 2 T^2: 3e-7 at x = 0.75 T.  So a block that does has found a
 * path that grew by less than queues would, or a minimum that was a bad
 * stamp's.
 */
#define BLOCK_RISE	0.75

/*
 * The same when the noise itself is in doubt, as it is when a wrong minimum
 * has swollen it: most of the block lies nearer to its second smallest than
 * that lies to the path's minimum, by this factor.  Over the true minimum the
 * median is seven times as far as the second smallest.
 */
#define BLOCK_APART	1.5

/* How near to the minimum a block must come to vouch for it, as part of it. */
#define SEEN_AGAIN	0.2

/*
 * A direction's change is told from none when it exceeds this many times its
 * own uncertainty.
 */
#define LEG_SIGMA	3.0

/*
 * A clock can tell how a change divides when its 1 sigma is below this part
 * of the change.
 */
#define CLOCK_TELLS	0.25

/* Half a path's delay against the clock's own asymmetry bound. */
#define BETTER_PATH	0.33

/*
 * Mean excess of the minimum, of one direction's share: the minimum of n sums
 * of two exponentials of mean T lies sqrt(pi / 2 n) T above the truth on
 * average and scatters by half of that; half of it per direction.
 */
static double leg_doubt(const struct ffe_path *p, int i)
{
	return p->level.tau[i] * 0.63 / sqrt(p->level.n[i]);
}

static double path_tau(const struct ffe_path *p)
{
	return p->level.tau[0] + p->level.tau[1];
}

/* Excess round-trip time that is no longer normal. */
static double path_need(const struct ffe_path *p)
{
	return SHIFT_TAU * path_tau(p) + 6 * p->floor;
}

/* An exchange as the clock sees it. */
static struct ffe_past past_of(const struct ffe_exchange *e,
			       const struct ffe_clock *c)
{
	return (struct ffe_past){
		.rtt = e->rtt, .leg = { e->out - c->x, c->x - e->in },
	};
}

/* The noise is only guessed from now on. */
static void tau_guess(struct ffe_path *p, int i, double tau)
{
	p->level.tau[i] = tau;
	p->tau_fast[i] = tau;
	p->tau_n[i] = PRIOR_N;
	p->tail[i] = TAIL_MIN * tau;
	p->eps[i] = EPS_MIN;
}

static void ring_add(struct ffe_path *p, const struct ffe_exchange *e,
		     const struct ffe_clock *c)
{
	p->ring[p->ring_at] = past_of(e, c);
	p->ring_at = (p->ring_at + 1) % FFE_RING;
	if (p->ring_n < FFE_RING)
		p->ring_n++;
}

static const struct ffe_past *ring_back(const struct ffe_path *p, unsigned int i)
{
	return &p->ring[(p->ring_at + 2 * FFE_RING - 1 - i) % FFE_RING];
}

static void level_begin(struct ffe_path *p)
{
	int i;

	for (i = 0; i < FFE_SHORTS; i++)
		p->shorts[i].rtt = INFINITY;
	p->short_run = 0;
	p->ring_n = 0;
	p->block_n = 0;
	p->block_at = 0;
	p->block_fill = 0;
	p->age = 0;
}

static void level_remember(struct ffe_path *p)
{
	unsigned int i, at = p->past_at;

	/* not what a few odd stamps made up */
	if (p->age < FFE_RING)
		return;

	/* a route seen before keeps its slot */
	for (i = 0; i < FFE_LEVELS; i++) {
		const struct ffe_level *l = &p->past[i];

		if (l->used &&
		    fabs(l->d[0] - p->level.d[0]) < fmin(l->tau[0], p->level.tau[0]) &&
		    fabs(l->d[1] - p->level.d[1]) < fmin(l->tau[1], p->level.tau[1]))
			at = i;
	}
	p->past[at] = p->level;
	p->past[at].used = true;
	if (at == p->past_at)
		p->past_at = (p->past_at + 1) % FFE_LEVELS;
}

/**
 * ffe_path_start - first exchange of a path
 * @p: path
 * @e: exchange
 * @c: the clock
 * @asym: what unseen asymmetry can make of the clock [ns]; any when @c cannot
 *	tell
 *
 * A clock that is known well already (another server, the host's time) shows
 * how the new path divides; else halves.
 */
void ffe_path_start(struct ffe_path *p, const struct ffe_exchange *e,
		    const struct ffe_clock *c, double asym)
{
	double leg[2] = { e->out - c->x, c->x - e->in };
	int i;

	memset(p, 0, sizeof(*p));
	level_begin(p);
	p->floor = sqrt(e->var);
	if (c->sigma < CLOCK_TELLS * e->rtt && leg[0] > 0 && leg[1] > 0) {
		p->asym_held = asym + LEG_SIGMA * c->sigma;
	} else {
		leg[0] = leg[1] = e->rtt / 2;
		p->asym_held = INFINITY;
	}
	for (i = 0; i < 2; i++) {
		p->level.d[i] = leg[i];
		p->level.n[i] = 1;
		tau_guess(p, i, fmax(e->rtt * PRIOR_TAU, p->floor));
	}
	/* half the difference of two excess delays */
	p->mid_var = (p->level.tau[0] * p->level.tau[0] +
		      p->level.tau[1] * p->level.tau[1]) / 4;
}

/**
 * ffe_path_asym - what the unseen asymmetry can make of the clock
 * @p: path
 *
 * No packet takes less than no time, so the clock cannot be off by more than
 * the longer direction's delay.  That is known up to the doubt of the minimum,
 * half of which is taken off once there are so many exchanges that the doubt
 * itself is sure (its scatter is half of it).  A clock held since a better
 * route is as good as it was there.
 *
 * Return: that [ns].
 */
double ffe_path_asym(const struct ffe_path *p)
{
	double limit = 0, sure;
	int i;

	for (i = 0; i < 2; i++) {
		sure = p->level.n[i] < TAU_N ? 0 : leg_doubt(p, i) / 2;
		limit = fmax(limit, p->level.d[i] - sure);
	}
	return fmin(p->asym_held, limit);
}

/*
 * The route among the former ones that has this minimum RTT, seen n times, and
 * these delays by the clock; NULL if none.
 */
static const struct ffe_level *level_find(const struct ffe_path *p, double rtt,
					  const double leg[2], double sigma,
					  double n)
{
	const struct ffe_level *best = NULL;
	double close = INFINITY, d = ffe_path_min_rtt(p);
	unsigned int i, j;

	for (i = 0; i < FFE_LEVELS; i++) {
		const struct ffe_level *l = &p->past[i];
		double was = l->d[0] + l->d[1], tau = l->tau[0] + l->tau[1];
		/* one sum of two exponentials: below 4 T' in 0.997 of cases */
		double above = 4 * tau / sqrt(n), off = rtt - was;

		if (!l->used || fabs(off) > fabs(was - d) / 2)
			continue;
		if (off > above || off < -tau / 2)
			continue;
		for (j = 0; j < 2; j++)
			if (fabs(leg[j] - l->d[j]) > above + LEG_SIGMA * sigma)
				break;
		if (j < 2 || fabs(off) > close)
			continue;
		close = fabs(off);
		best = l;
	}
	return best;
}

/* Begin again from the middle, the directions' noise being one as well. */
static void level_halve(struct ffe_path *p, double rtt, double n)
{
	double tau = fmin(p->level.tau[0], p->level.tau[1]);
	int i;

	for (i = 0; i < 2; i++) {
		p->level.d[i] = rtt / 2;
		p->level.n[i] = n;
		tau_guess(p, i, tau);
	}
}

/*
 * The minimum RTT is another one, seen n times.  leg[] is what each
 * direction's minimum is by the clock.
 *
 * The clock's own story is noisy, and what is booked stays, so the simple
 * explanations come first: a route that was here before, both directions
 * alike, one direction alone.
 */
static uint32_t level_change(struct ffe_path *p, double rtt, const double leg[2],
			     double n, double sigma)
{
	double change = rtt - ffe_path_min_rtt(p);
	uint32_t ev = change > 0 ? FFE_EV_UPSHIFT : FFE_EV_DOWNSHIFT;
	double by[2], doubt, tol, share;
	const struct ffe_level *back;
	struct ffe_level next;
	int j;

	level_remember(p);
	level_begin(p);

	back = isfinite(sigma) ? level_find(p, rtt, leg, sigma, n) : NULL;
	if (back) {
		p->level = *back;
				return ev | FFE_EV_ASYM_HELD;
	}

	/*
	 * A path so much shorter is a better witness than the memory of the
	 * old one: what halves of it can be wrong by is well below what the
	 * clock can be wrong by already.
	 */
	if (rtt / 2 < ffe_path_asym(p) * BETTER_PATH) {
		level_halve(p, rtt, n);
		return ev | FFE_EV_MOVED;
	}

	next = p->level;
	doubt = hypot(p->level.tau[0], p->level.tau[1]) / sqrt(n);
	tol = LEG_SIGMA * hypot(sigma, doubt);
	for (j = 0; j < 2; j++)
		by[j] = leg[j] - p->level.d[j];

	if (sigma > CLOCK_TELLS * fabs(change) || fabs(by[0] - by[1]) < tol) {
		/* the clock cannot tell, or says: both alike */
		next.d[0] += change / 2;
		next.d[1] += change / 2;
		next.n[0] = next.n[1] = n;
	} else {
		ev |= FFE_EV_ASYM_HELD;
		if (fabs(by[0]) < tol || fabs(by[1]) < tol) {
			/* one direction alone */
			j = fabs(by[0]) < fabs(by[1]);
			next.n[j] = n;
		} else {
			/* as the clock says; half the misfit to each */
			share = (change - by[0] - by[1]) / 2;
			next.d[1] += by[1] + share;
			next.n[0] = next.n[1] = n;
			p->asym_held += tol;
			j = 0;
		}
		next.d[j] = rtt - next.d[!j];
	}

	/* No direction takes less than no time: the clock must give way. */
	if (next.d[0] < -tol || next.d[1] < -tol) {
		level_halve(p, rtt, n);
		return (ev & ~FFE_EV_ASYM_HELD) | FFE_EV_MOVED;
	}
	for (j = 0; j < 2; j++)
		if (next.d[j] < 0) {
			next.d[j] = 0;
			next.d[!j] = rtt;
		}
	p->level = next;
	return ev;
}

/*
 * The request's share in the doubt about the minimum: variance is noise
 * squared over exchanges.  Noise only counts where it clearly differs (a queue
 * in one direction): measured noise varies by chance, and what that divides
 * unequally would stay as an asymmetry.
 */
static double level_share(const struct ffe_level *l)
{
	double ratio = l->tau[0] / l->tau[1], odds = l->n[1] / l->n[0];

	if (ratio > 2 || ratio < 0.5)
		odds *= ratio * ratio;
	return odds / (1 + odds);
}

/* A fall of the minimum that is more than seeing it better. */
static double path_fall(const struct ffe_path *p, const struct ffe_exchange *e)
{
	double n = fmin(p->level.n[0], p->level.n[1]);

	return 2 * path_tau(p) / sqrt(n) + 6 * sqrt(e->var);
}

/**
 * ffe_path_short - is this exchange faster than the path allows?
 * @p: path
 * @e: exchange
 * @c: the clock at the exchange
 *
 * Call before anything else, for every exchange.
 *
 * Return: true when it must not be used; should it come again it will be.
 */
bool ffe_path_short(struct ffe_path *p, const struct ffe_exchange *e,
		    const struct ffe_clock *c)
{
	struct ffe_past now = past_of(e, c);
	unsigned int i, n = 0;

	p->seq++;
	if (ffe_path_min_rtt(p) - e->rtt < path_fall(p, e) ||
	    p->age < SHORT_RUN) {
		p->short_run = 0;
		return false;
	}
	/* the clock itself is in question: that is not for the path to say */
	if (now.leg[0] < -e->rtt || now.leg[1] < -e->rtt)
		return false;
	if (isfinite(c->sigma) && level_find(p, e->rtt, now.leg, c->sigma, 1))
		return false;

	p->shorts[p->short_at] = now;
	p->short_seq[p->short_at] = p->seq;
	p->short_at = (p->short_at + 1) % FFE_SHORTS;
	p->short_run++;
	for (i = 0; i < FFE_SHORTS; i++)
		if (isfinite(p->shorts[i].rtt) &&
		    p->seq - p->short_seq[i] < SHORT_SPAN)
			n++;
	return p->short_run < SHORT_RUN && n < FFE_SHORTS;
}

/**
 * ffe_path_before - let an exchange lower the minimum, before it is used
 * @p: path
 * @e: exchange
 * @c: the clock at the exchange
 *
 * Return: events.
 */
uint32_t ffe_path_before(struct ffe_path *p, const struct ffe_exchange *e,
			 const struct ffe_clock *c)
{
	double fall = ffe_path_min_rtt(p) - e->rtt, share;
	struct ffe_past low = past_of(e, c);
	unsigned int i, n = 1, back;

	if (!(fall > 0))
		return 0;

	/*
	 * Minimum seen better: each direction's part goes with the variance
	 * of its minimum, so a direction whose change is fresh takes nearly
	 * all of it.
	 *
	 * A fall well beyond the doubt is another route, if the clock is old
	 * enough to say how it divides.
	 */
	if (fall < path_fall(p, e) || !isfinite(c->sigma)) {
		share = level_share(&p->level);
		p->level.d[0] -= fall * share;
		p->level.d[1] -= fall * (1 - share);
		/*
		 * No direction takes less than no time: what the noise of the
		 * first exchanges said of the clock was a queue in one
		 * direction, and the clock must give way.
		 */
		if (p->level.d[0] < 0 || p->level.d[1] < 0) {
			for (i = 0; i < 2; i++) {
				p->level.d[i] = e->rtt / 2;
				p->level.n[i] = 1;
				tau_guess(p, i, fmax(e->rtt * PRIOR_TAU, p->floor));
			}
			return FFE_EV_MOVED;
		}
		/* a first exchange may have waited for seconds: guess again */
		if (fall > e->rtt)
			for (i = 0; i < 2; i++)
				tau_guess(p, i, fmax(e->rtt * PRIOR_TAU, p->floor));
		return 0;
	}

	/* this one is the newest of them, unless it is a known route's */
	for (back = 0; back < FFE_SHORTS; back++) {
		const struct ffe_past *s;

		i = (p->short_at + 2 * FFE_SHORTS - 1 - back) % FFE_SHORTS;
		s = &p->shorts[i];
		if (!isfinite(s->rtt) || p->seq - p->short_seq[i] >= SHORT_SPAN)
			break;
		if (p->short_run >= SHORT_RUN && back >= p->short_run)
			break;
		n++;
		low.rtt = fmin(low.rtt, s->rtt);
		low.leg[0] = fmin(low.leg[0], s->leg[0]);
		low.leg[1] = fmin(low.leg[1], s->leg[1]);
	}
	return level_change(p, low.rtt, low.leg, n, c->sigma);
}

/**
 * ffe_path_far - is this exchange's round trip longer than noise makes it?
 * @p: path
 * @e: exchange
 *
 * Return: true when it met a queue or took another route.
 */
bool ffe_path_far(const struct ffe_path *p, const struct ffe_exchange *e)
{
	return e->rtt > ffe_path_min_rtt(p) + path_need(p);
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
	double both = fmin(doubt[0], doubt[1]);
	int i;

	/*
	 * The minima lie above the truth by their doubt, on average.  What
	 * one direction is in doubt more than the other moves its edge out
	 * instead of blurring both: the sound edge must stay sharp.
	 */
	box->hi = e->out - p->level.d[0] + 2 * doubt[0] - both;
	box->lo = e->in + p->level.d[1] - 2 * doubt[1] + both;
	/* e->rtt >= minimum, so this only guards against rounding */
	box->hi = fmax(box->hi, box->lo + 1e-3);
	box->var = e->var + both * both / 2;
	for (i = 0; i < 2; i++) {
		box->tau[i] = p->level.tau[i];
		box->tail[i] = p->tail[i];
		box->eps[i] = p->eps[i];
	}
	box->mid_var = p->mid_var;
	box->far = ffe_path_far(p, e);
}

/* Delays that scatter much more than before are the route's new normal. */
static void level_scatter(struct ffe_path *p, const double leg[2], unsigned int n)
{
	unsigned int i;
	int j;

	for (j = 0; j < 2; j++) {
		double mean = 0;

		for (i = 0; i < n; i++)
			mean += (ring_back(p, i)->leg[j] - leg[j]) / n;
		if (mean < 3 * p->level.tau[j])
			continue;
		tau_guess(p, j, mean);
	}
}

/**
 * ffe_path_book - the last exchanges are another route's
 * @p: path
 * @n: of them, at least 1, at most FFE_RING and as many as there were
 * @c: the clock
 *
 * Return: events.
 */
uint32_t ffe_path_book(struct ffe_path *p, unsigned int n,
		       const struct ffe_clock *c)
{
	double low = INFINITY, leg[2] = { INFINITY, INFINITY };
	unsigned int i;
	uint32_t ev;

	for (i = 0; i < n; i++) {
		const struct ffe_past *e = ring_back(p, i);

		low = fmin(low, e->rtt);
		leg[0] = fmin(leg[0], e->leg[0]);
		leg[1] = fmin(leg[1], e->leg[1]);
	}
	/* level_change() empties the ring but leaves what is in it */
	ev = level_change(p, low, leg, n, c->sigma);
	level_scatter(p, leg, n);
	return ev;
}

static uint32_t path_rise(struct ffe_path *p, const struct ffe_clock *c)
{
	double d = ffe_path_min_rtt(p), tau = path_tau(p), need = path_need(p);
	unsigned int i, n, near = 0;
	double low = INFINITY;

	for (n = 0; n < p->ring_n && n < SLOW_N; n++) {
		double rtt = ring_back(p, n)->rtt;

		if (rtt < d + need)
			return 0;
		low = fmin(low, rtt);
		if (n + 1 != QUICK_N)
			continue;
		for (i = 0; i < QUICK_N; i++)
			if (ring_back(p, i)->rtt < low + QUICK_SPREAD * tau)
				near++;
		if (near > QUICK_N / 2)
			return ffe_path_book(p, QUICK_N, c);
	}
	return n < SLOW_N ? 0 : ffe_path_book(p, SLOW_N, c);
}

/* Keep the two smallest values, the smaller one first. */
static void two_smallest(double v[2], double next)
{
	if (next < v[0]) {
		v[1] = v[0];
		v[0] = next;
	} else if (next < v[1]) {
		v[1] = next;
	}
}

/*
 * Watch the minimum block by block: a rise too small for path_rise(), and
 * minima older than FFE_BLOCKS blocks, which are forgotten.
 */
static uint32_t path_age(struct ffe_path *p, const struct ffe_clock *c)
{
	double v[3][2] = { { INFINITY, INFINITY }, { INFINITY, INFINITY },
			   { INFINITY, INFINITY } };
	double low = INFINITY, leg[2], rise, spread;
	unsigned int i, near = 0;
	uint32_t ev;

	if (++p->block_fill < FFE_RING)
		return 0;
	p->block_fill = 0;
	for (i = 0; i < FFE_RING; i++) {
		const struct ffe_past *e = ring_back(p, i);

		two_smallest(v[0], e->leg[0]);
		two_smallest(v[1], e->leg[1]);
		two_smallest(v[2], e->rtt);
	}
	leg[0] = v[0][1];
	leg[1] = v[1][1];
	rise = v[2][1] - ffe_path_min_rtt(p);
	spread = rise / BLOCK_APART;
	for (i = 0; i < FFE_RING; i++)
		near += ring_back(p, i)->rtt < v[2][1] + spread;
	if (rise > 6 * p->floor && near > FFE_RING / 2) {
		/* the noise was measured from a minimum that is not theirs */
		ev = level_change(p, v[2][1], leg, FFE_RING, c->sigma);
		for (i = 0; i < 2; i++)
			if (p->level.tau[i] > spread)
				tau_guess(p, (int)i, spread);
		return ev;
	}
	if (rise > BLOCK_RISE * path_tau(p) / 2 + 6 * p->floor)
		return level_change(p, v[2][1], leg, FFE_RING, c->sigma);

	/* the minimum has been seen again: the route is what it seemed */
	if (rise < SEEN_AGAIN * ffe_path_min_rtt(p))
		p->asym_held = ffe_path_asym(p);
	p->block[p->block_at] = v[2][0];
	p->block_at = (p->block_at + 1) % FFE_BLOCKS;
	if (p->block_n < FFE_BLOCKS) {
		p->block_n++;
		return 0;
	}
	low = INFINITY;
	for (i = 0; i < FFE_BLOCKS; i++)
		low = fmin(low, p->block[i]);
	rise = low - ffe_path_min_rtt(p);
	if (rise > 0) {
		p->level.d[0] += rise / 2;
		p->level.d[1] += rise / 2;
	}
	return 0;
}

/**
 * ffe_path_learn - learn the noise from an exchange, after it was used
 * @p: path
 * @e: exchange
 * @box: what it said
 * @fit: what the belief made of it
 * @before: the belief before it
 */
void ffe_path_learn(struct ffe_path *p, const struct ffe_exchange *e,
		    const struct ffe_box *box, const struct ffe_fit *fit,
		    const struct ffe_belief *before)
{
	double sane = 1 - fit->alien;
	int i;

	/* one exchange with a wild error may not set it for the next ones */
	p->floor = fmin(sqrt(e->var), 2 * p->floor);
	for (i = 0; i < 2; i++) {
		double w = sane - fit->heavy[i], *tau = &p->level.tau[i];

		if (w > 0) {
			p->tau_n[i] = fmin(p->tau_n[i] + w, TAU_N);
			*tau += w * (fmax(fit->excess[i], 0) - *tau) / p->tau_n[i];
			p->tau_fast[i] += w * (fmax(fit->excess[i], 0) - p->tau_fast[i]) /
					  fmin(p->tau_n[i], TAU_FAST_N);
			if (p->tau_fast[i] > TAU_FAST * *tau ||
			    p->tau_fast[i] < *tau / TAU_FAST) {
				*tau = p->tau_fast[i];
				p->tau_n[i] = fmin(p->tau_n[i], TAU_FAST_N);
			}
			*tau = fmax(*tau, p->floor);
		}
		if (fit->heavy[i] > 0.5)
			p->tail[i] += (fit->excess_tail[i] - p->tail[i]) / EPS_N;
		p->tail[i] = fmax(p->tail[i], TAIL_MIN * *tau);
		p->eps[i] += (fit->heavy[i] - sane * p->eps[i]) / EPS_N;
		p->eps[i] = fmin(fmax(p->eps[i], EPS_MIN), EPS_MAX);
		p->level.n[i]++;
	}
	if (!box->far) {
		double off = (box->lo + box->hi) / 2 - before->x;

		off = off * off - before->pxx - box->var;
		/* one of them may not triple it, nor may their noise undo it */
		off = fmin(fmax(off, 0), 9 * p->mid_var);
		p->mid_var += (off - p->mid_var) / fmin(p->age + 2.0, TAU_N);
		p->mid_var = fmax(p->mid_var, e->var);
	}
	p->age++;
}

/**
 * ffe_path_after - has the minimum risen?
 * @p: path
 * @e: exchange
 * @c: the clock with it
 *
 * Return: events.
 */
uint32_t ffe_path_after(struct ffe_path *p, const struct ffe_exchange *e,
			const struct ffe_clock *c)
{
	uint32_t ev;

	ring_add(p, e, c);
	ev = path_rise(p, c);
	if (!ev)
		ev = path_age(p, c);
	return ev;
}

/**
 * ffe_path_rejoin - the clock starts anew; which route is this?
 * @p: path; changed only when true is returned
 * @rtt: smallest round-trip time of the new clock's first exchanges [ns]
 *
 * The booked asymmetry of a route known before holds for the new clock, too,
 * as long as the route can be told by its round-trip time.
 *
 * Return: false when no known route fits: the path must start anew as well.
 */
bool ffe_path_rejoin(struct ffe_path *p, double rtt)
{
	const struct ffe_level *best = NULL;
	double close = INFINITY;
	unsigned int i;

	for (i = 0; i <= FFE_LEVELS; i++) {
		const struct ffe_level *l = i ? &p->past[i - 1] : &p->level;
		double tau = l->tau[0] + l->tau[1];
		double above = rtt - l->d[0] - l->d[1];

		if ((i && !l->used) || above < -tau / 4 ||
		    above > SHIFT_TAU * tau + 6 * p->floor || above > close)
			continue;
		/* the present route unless another one is clearly nearer */
		close = i ? above : above - tau;
		best = l;
	}
	if (!best)
		return false;
	if (best != &p->level) {
		p->level = *best;
		level_begin(p);
	}
	return true;
}

/**
 * ffe_path_drifts - does the offset run away over the last exchanges?
 * @p: path
 * @n: of them, at most FFE_RING
 * @sigma: what the clock's own doubt grew to meanwhile [ns]
 *
 * A route changes once; an oscillator that changed makes one direction seem
 * ever slower and the other ever faster.
 *
 * Return: true when it does.
 */
bool ffe_path_drifts(const struct ffe_path *p, unsigned int n, double sigma)
{
	double low[2][2] = { { INFINITY, INFINITY }, { INFINITY, INFINITY } };
	double by[2], tol[2];
	unsigned int i, half;
	int j;

	n = n < p->ring_n ? n : p->ring_n;
	half = n / 2;
	if (half < 3)
		return false;
	for (i = 0; i < 2 * half; i++)
		for (j = 0; j < 2; j++)
			low[i < half][j] = fmin(low[i < half][j],
						ring_back(p, i)->leg[j]);
	for (j = 0; j < 2; j++) {
		by[j] = low[1][j] - low[0][j];
		tol[j] = LEG_SIGMA * hypot(sigma, p->level.tau[j] / sqrt(half));
	}
	return (by[0] > tol[0] && by[1] < -tol[1]) ||
	       (by[0] < -tol[0] && by[1] > tol[1]);
}

/**
 * ffe_path_withdraw - was a young level a mistake?
 * @p: path; changed only when true is returned
 * @e: an exchange that contradicts the clock
 * @c: the clock
 *
 * Return: true when an older, lower level explains the exchange; it is in
 * force again.
 */
bool ffe_path_withdraw(struct ffe_path *p, const struct ffe_exchange *e,
		       const struct ffe_clock *c)
{
	double leg[2] = { e->out - c->x, c->x - e->in };
	double tol = LEG_SIGMA * c->sigma + 3 * sqrt(e->var);
	unsigned int i;

	if (p->age >= WITHDRAW_AGE || !isfinite(c->sigma))
		return false;

	for (i = 0; i < FFE_LEVELS; i++) {
		const struct ffe_level *l = &p->past[i];

		if (!l->used || l->d[0] + l->d[1] >= ffe_path_min_rtt(p))
			continue;
		if (leg[0] < l->d[0] - tol || leg[1] < l->d[1] - tol)
			continue;
		p->level = *l;
				level_begin(p);
		return true;
	}
	return false;
}
