// SPDX-License-Identifier: GPL-2.0-only
/*
 * The estimator's flow: check a stamp, make small numbers of it, let path and
 * oscillator meet it, deal with contradictions, give out the map.
 *
 * The reference map runs at exactly the nominal period from (ref, time) and
 * the filters hold its offset and rate, so that doubles only ever carry small
 * differences.  At every stamp the reference moves there.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "estimator_internal.h"

#define NS_PER_S	1e9

/* Defaults of struct ffe_config, and its ranges. */
#define SKEW_SIGMA	5e-5
#define SKEW_MAX	1e-3
#define SKEW_LIMIT	1e-2
#define STAMP_NOISE	50.0
#define POLL_MAX	1024.0

/*
 * Longest exchange to believe [s].  NTP's own limit is 16 s of root distance;
 * a packet that travelled longer says nothing a clock could use.
 */
#define RTT_LIMIT	16.0

/* 2^63 ns end in 2262; stay far enough off that a year's sums cannot pass. */
#define TIME_LIMIT	(INT64_C(8600000000) * 1000000000)

/*
 * te before tb [ns]: coarse server clocks step back within their own
 * resolution.  1 us is more than any stamp of a live server loses.
 */
#define ORDER_SLACK	1000

/* A server's resolution as far as it is believed: 16 ms to 1 ns [log2 s]. */
#define PRECISION_WORST	(-6)
#define PRECISION_BEST	(-30)

/*
 * The error bound is this many sigma beyond the asymmetry.  The worst case is
 * a path whose delay is all in one direction: then the asymmetry part is used
 * up on one side, and 99.9 % of a Gaussian lie below 3.09 sigma.
 */
#define BOUND_SIGMA	3.1

/*
 * A stamp contradicts the clock when its box lies so many sigma off, for the
 * most restless oscillator in the bank: less than that is left to the bank.  A
 * Gaussian does that once in 3.5 million; the edges are hard, so less.
 */
#define SUSPECT_SIGMA	5.0

/*
 * Two contradicting stamps in a row that agree with each other win; if they
 * never agree, so many in a row win anyway: nothing may lock us out.
 *
 * Stamps that another route could explain wait for the path to decide, which
 * takes it 20 (QUICK_N) unless they scatter; half as many again, and they are
 * booked as a route all the same.
 */
#define JUMP_AGREE	2
#define JUMP_ANYWAY	8
#define ROUTE_ANYWAY	30

#define LEVEL_EVENTS	(FFE_EV_UPSHIFT | FFE_EV_DOWNSHIFT)

/*
 * Stamps after a start or restart before the clock may tell how the path
 * divides: as many as the path itself needs to be believed.
 */
#define CLOCK_YOUNG	32

/* Time ahead for which rate_bound is good, at least [s]. */
#define RATE_HORIZON	3600.0

/*
 * The clock is called synchronised when more exchanges can no longer make much of
 * it: when what is not the path's unseen asymmetry, and what the rate's error adds
 * until the second next exchange, is at most once more the same.  That takes
 * SETTLED_STAMPS at least, one more than the three that a new route is believed
 * after.  A rate as good as FFE_RATE_KNOWN does as well, so that a short path is
 * not asked for more than an oscillator can give between two long polls.
 */
#define SETTLED_BOUND	2.0
#define SETTLED_STAMPS	4

/*
 * The bound is at least what the exchanges prove, until the rate is known and so
 * many of them in a row have proven no more than so many times what the filters
 * believe.  On a quiet path that is nearly at once: both are half the round trip,
 * the proof is longer by what one exchange waits.  Where packets wait for many
 * times the path's own delay a few exchanges agree by chance (8 in a row leave
 * 0.2 % of the samples uncovered in simulation, 32 0.08 % where the rate is known from
 * an earlier run, 96 none).
 */
#define PROOF_STAMPS	96
#define PROOF_AGREES	2.0
#define PROOF_SHORTER	0.9

/* A rate known from an earlier run may be off by so many of its own sigma. */
#define PRIOR_SIGMA	5.0

/**
 * struct ffe - the estimator
 * @cfg: as given, defaults filled in; its prior is not kept
 * @running: there is a reference map
 * @have_path: @path holds at least one exchange
 * @ref: reference reading
 * @time_ns: the reference map's time there [ns since the Unix epoch]
 * @frac_ns: the rest, [0, 1)
 * @bank: oscillator
 * @path: path to the server
 * @belief: the bank collapsed, at @ref
 * @wander: memory of the rate
 * @proof: what the first exchanges prove
 * @settled: the clock may be called synchronised
 * @root: the server's own distance [ns]
 * @suspects: contradicting stamps in a row
 * @suspect: the last of them
 * @suspect_offset: its offset from the clock it contradicted [ns]
 * @suspect_half: its half width [ns]
 * @excursion: what the bound must grow by to cover the contradiction [ns]
 * @backward: stamps in a row that were older than @ref
 * @start_bound: bound of the time a restart came with [ns]
 * @meas_var: average variance of an exchange's statement [ns^2]
 * @interval: average time between stamps [s]
 * @used: stamps used since the clock started
 * @events: of the last stamp
 * @track: for output
 */
struct ffe {
	struct ffe_config	cfg;
	bool			running;
	bool			have_path;
	uint64_t		ref;
	int64_t			time_ns;
	double			frac_ns;
	struct ffe_bank		bank;
	struct ffe_path		path;
	struct ffe_belief	belief;
	struct ffe_wander	wander;
	struct ffe_proof	proof;
	bool			settled;
	double			root;
	unsigned int		suspects;
	struct ffe_stamp	suspect;
	double			suspect_offset;
	double			suspect_half;
	double			excursion;
	unsigned int		backward;
	double			start_bound;
	double			meas_var;
	double			interval;
	uint64_t		used;
	uint32_t		events;
	struct ffe_track	track;
};

size_t ffe_size(void)
{
	return sizeof(struct ffe);
}

static bool in_range(double v, double lo, double hi)
{
	return isfinite(v) && v >= lo && v <= hi;
}

int ffe_init(struct ffe *f, const struct ffe_config *cfg)
{
	const struct ffe_prior *prior = cfg->prior;
	struct ffe_config c = *cfg;

	if (!in_range(c.nominal_period_ns, 0.01, 1e6))
		return -EINVAL;
	if (!c.skew_sigma)
		c.skew_sigma = SKEW_SIGMA;
	if (!c.skew_max)
		c.skew_max = SKEW_MAX;
	if (!c.stamp_noise_ns)
		c.stamp_noise_ns = STAMP_NOISE;
	if (!c.poll_min_s)
		c.poll_min_s = 1;
	if (!c.poll_max_s)
		c.poll_max_s = POLL_MAX;
	if (!in_range(c.skew_sigma, 1e-12, SKEW_LIMIT) ||
	    !in_range(c.skew_max, 1e-12, SKEW_LIMIT) ||
	    !in_range(c.stamp_noise_ns, 0.1, 1e6) ||
	    !in_range(c.poll_min_s, 1e-3, 1e6) ||
	    !in_range(c.poll_max_s, c.poll_min_s, 1e6))
		return -EINVAL;
	if (prior && (!in_range(prior->period_ns,
				c.nominal_period_ns * (1 - c.skew_max),
				c.nominal_period_ns * (1 + c.skew_max)) ||
		      !in_range(prior->period_sigma, 0, SKEW_LIMIT) ||
		      !in_range(prior->wander, 0, 1e-3)))
		return -EINVAL;

	memset(f, 0, sizeof(*f));
	f->cfg = c;
	f->cfg.prior = NULL;
	if (prior) {
		double y = (prior->period_ns / c.nominal_period_ns - 1) * NS_PER_S;
		/* never more certain than the wander of a second */
		double sigma = fmax(prior->period_sigma * NS_PER_S, 1);

		ffe_bank_start(&f->bank, 1, y, sigma * sigma,
			       prior->wander * NS_PER_S);
		ffe_proof_start(&f->proof, y, PRIOR_SIGMA * sigma);
	} else {
		double sigma = c.skew_sigma * NS_PER_S;

		ffe_bank_start(&f->bank, 1, 0, sigma * sigma, 0);
		ffe_proof_start(&f->proof, 0, c.skew_max * NS_PER_S);
	}
	ffe_bank_collapse(&f->bank, &f->belief);
	return 0;
}

/* Counts from the reference to @counter as nominal ns; exact below 2^53. */
static double since_ref(const struct ffe *f, uint64_t counter)
{
	return (double)(int64_t)(counter - f->ref) * f->cfg.nominal_period_ns;
}

/* Time plus whole ns, as far as there are numbers for it. */
static int64_t time_add(int64_t time_ns, double whole)
{
	int64_t sum;

	/* 2^63 as a double is the first value that does not fit */
	if (whole >= 0x1p63)
		return INT64_MAX;
	if (whole < -0x1p63)
		return INT64_MIN;
	if (__builtin_add_overflow(time_ns, (int64_t)whole, &sum))
		return whole > 0 ? INT64_MAX : INT64_MIN;
	return sum;
}

/* Difference of two times [ns]; exact when they are within 104 days. */
static double time_diff(int64_t a, int64_t b)
{
	int64_t d;

	if (__builtin_sub_overflow(a, b, &d))
		return (double)a - (double)b;
	return (double)d;
}

/* Whole ns and the rest, which is in [0, 1) even after rounding. */
static double time_split(double ns, double *whole)
{
	double frac;

	*whole = floor(ns);
	frac = ns - *whole;
	if (frac < 1)
		return frac;
	*whole += 1;
	return 0;
}

/* Move the reference by whole and fractional ns. */
static void ref_advance(struct ffe *f, double ns)
{
	double whole, more;

	f->frac_ns = time_split(f->frac_ns + time_split(ns, &whole), &more);
	f->time_ns = time_add(f->time_ns, whole + more);
}

static void ref_to(struct ffe *f, uint64_t counter)
{
	ref_advance(f, since_ref(f, counter));
	f->ref = counter;
}

/* Is the stamp possible at all?  Everything here is safe for any bits. */
static enum ffe_reject stamp_check(const struct ffe *f,
				   const struct ffe_stamp *s)
{
	double period = f->cfg.nominal_period_ns, spent, server;

	if (s->leap == 3 || s->stratum == 0 || s->stratum > 15)
		return FFE_REJ_UNSYNC;
	if (s->tb < 0 || s->te < 0 || s->tb > TIME_LIMIT || s->te > TIME_LIMIT)
		return FFE_REJ_RANGE;
	if (s->te - s->tb < -ORDER_SLACK)
		return FFE_REJ_SERVER_ORDER;
	if ((int64_t)(s->tf - s->ta) <= 0)
		return FFE_REJ_COUNTER;
	spent = (double)(s->tf - s->ta) * period;
	server = (double)(s->te - s->tb);
	if (spent > RTT_LIMIT * NS_PER_S)
		return FFE_REJ_COUNTER;
	if (spent * (1 + f->cfg.skew_max) <= server)
		return FFE_REJ_RTT;
	if (f->running && (int64_t)(s->ta - f->ref) < 0)
		return FFE_REJ_BACKWARD;
	return FFE_REJ_NONE;
}

/* Small numbers; the reference map must be near. */
static void exchange_of(const struct ffe *f, const struct ffe_stamp *s,
			struct ffe_exchange *e)
{
	double noise = s->client_err_ns ? s->client_err_ns : f->cfg.stamp_noise_ns;
	double at_a = since_ref(f, s->ta), at_f = since_ref(f, s->tf);
	double span = at_f - at_a, y = f->belief.y / NS_PER_S;
	double skew = sqrt(f->belief.pyy) / NS_PER_S;

	/* a reading is late by up to its resolution, uniformly */
	if (s->precision) {
		int log2_s = s->precision;

		log2_s = log2_s > PRECISION_WORST ? PRECISION_WORST : log2_s;
		log2_s = log2_s < PRECISION_BEST ? PRECISION_BEST : log2_s;
		noise = hypot(noise, 0.29 * ldexp(NS_PER_S, log2_s));
	}
	/* a count is the least a stamp is uncertain by, uniformly */
	noise = hypot(noise, f->cfg.nominal_period_ns * 0.29);

	e->dt = at_f / NS_PER_S;
	e->span = span / NS_PER_S;
	e->rtt = span * (1 + y) - (double)(s->te - s->tb);
	/* the offset at ta is the one at tf less the drift between */
	e->out = time_diff(s->tb, f->time_ns) - f->frac_ns - at_a + y * span;
	e->in = time_diff(s->te, f->time_ns) - f->frac_ns - at_f;
	e->var = noise * noise + skew * span * skew * span;
	if (!(e->rtt > 1))
		e->rtt = 1;
}

/* First stamp: the reference map is what its midpoint says. */
static void clock_start(struct ffe *f, const struct ffe_stamp *s)
{
	struct ffe_exchange e;

	f->ref = s->tf;
	f->time_ns = s->te;
	f->frac_ns = 0;
	exchange_of(f, s, &e);
	ref_advance(f, (e.out + e.in) / 2);
	f->running = true;
	f->suspects = 0;
	f->excursion = 0;
}

/*
 * The clock is wherever the next stamp says; what follows a restart.  A rate
 * that jumped unannounced may be anything, else it is near nominal.
 */
static void clock_forget(struct ffe *f, bool told)
{
	double sigma = told ? f->cfg.skew_sigma : f->cfg.skew_max / 2;

	sigma *= NS_PER_S;
	ffe_bank_start(&f->bank, 1, 0, sigma * sigma, 0);
	ffe_bank_collapse(&f->bank, &f->belief);
	ffe_wander_reset(&f->wander);
	ffe_proof_start(&f->proof, 0, f->cfg.skew_max * NS_PER_S);
	f->running = false;
	f->settled = false;
	f->suspects = 0;
	f->excursion = 0;
	f->used = 0;
}

/* What the path may know of the clock. */
static struct ffe_clock clock_view(const struct ffe *f)
{
	struct ffe_clock c = { f->belief.x, sqrt(f->belief.pxx) };

	if (f->used < CLOCK_YOUNG)
		c.sigma = INFINITY;
	return c;
}

/* Move reference and belief to a later reading. */
static double clock_advance(struct ffe *f, uint64_t counter)
{
	double dt = since_ref(f, counter) / NS_PER_S;

	ref_to(f, counter);
	ffe_proof_move(&f->proof, dt, 0);
	ffe_bank_predict(&f->bank, dt);
	ffe_bank_collapse(&f->bank, &f->belief);
	return dt;
}

/* The offset is not what it was thought to be, the rate still is. */
static void clock_release(struct ffe *f, double sigma)
{
	ffe_bank_widen(&f->bank, sigma * sigma, 0);
	ffe_bank_collapse(&f->bank, &f->belief);
	f->path.asym_held = INFINITY;
	/* too young to judge a route by */
	f->used = 0;
}

/*
 * Has the minimum risen?  And what that means for the clock.  With @book the
 * last ROUTE_ANYWAY exchanges make a route whatever the path thinks of them.
 */
static uint32_t path_after(struct ffe *f, const struct ffe_exchange *e,
			   const struct ffe_clock *c, bool book)
{
	double min_rtt = ffe_path_min_rtt(&f->path);
	uint32_t ev = ffe_path_after(&f->path, e, c);

	if (book && !(ev & LEVEL_EVENTS))
		ev |= ffe_path_book(&f->path, ROUTE_ANYWAY, c);
	if (ev & FFE_EV_MOVED)
		clock_release(f, fmax(min_rtt, ffe_path_min_rtt(&f->path)) / 2);
	return ev;
}

/* Is the rate measured, not just nominal? */
static bool rate_known(const struct ffe *f)
{
	return sqrt(f->belief.pyy) <= FFE_RATE_KNOWN * NS_PER_S;
}

/* What the filters make of the offset's error, @age after the reference [ns]. */
static double bound_believed(const struct ffe *f, double age)
{
	return (f->have_path ? ffe_path_asym(&f->path) : f->start_bound) +
	       BOUND_SIGMA * sqrt(ffe_wander_hold(&f->wander, &f->belief, age));
}

/*
 * Another exchange has met the proof: can the filters be believed without it?  Not
 * while the path still turns out to be much shorter than they took it for.
 */
static void proof_judge(struct ffe *f, double min_rtt)
{
	double proven = ffe_proof_bound(&f->proof, &f->belief, 0);

	if (rate_known(f) && ffe_path_min_rtt(&f->path) > PROOF_SHORTER * min_rtt &&
	    proven < PROOF_AGREES * bound_believed(f, 0))
		f->proof.agreed++;
	else
		f->proof.agreed = 0;
	if (f->proof.agreed >= PROOF_STAMPS)
		f->proof.on = false;
}

/* How long the clock may have to do without an exchange, in normal operation [s]. */
static double step_next(const struct ffe *f)
{
	return fmax(f->interval, f->cfg.poll_min_s);
}

/* The error bound, @age after the reference [ns]. */
static double bound_of(const struct ffe *f, double age)
{
	return fmax(bound_believed(f, age) + f->excursion,
		    ffe_proof_bound(&f->proof, &f->belief, age)) + f->root;
}

/* ... and how fast it grows from then on, as a straight line [ns/s]. */
static double rate_bound_of(const struct ffe *f, double age)
{
	double horizon = fmax(RATE_HORIZON, 2 * f->cfg.poll_max_s);
	double later = bound_believed(f, age + horizon);

	return fmax((later - bound_believed(f, age)) / horizon,
		    ffe_proof_rate(&f->proof, &f->belief));
}

/* Does the bound hold until the second next exchange what it promises? */
static bool is_settled(const struct ffe *f)
{
	double least = f->have_path ? ffe_path_asym(&f->path) : f->start_bound;

	if (rate_known(f))
		return true;
	return f->used >= SETTLED_STAMPS &&
	       bound_of(f, 0) + rate_bound_of(f, 0) * 2 * step_next(f) <=
	       SETTLED_BOUND * (least + f->root);
}

/* Use an exchange the reference stands at. */
static uint32_t stamp_use(struct ffe *f, const struct ffe_stamp *s)
{
	struct ffe_belief before;
	struct ffe_exchange e;
	struct ffe_clock c;
	struct ffe_box box;
	struct ffe_fit fit;
	uint32_t ev = 0;
	double min_rtt, off, y;

	if (!f->running) {
		/* anything between no and twice the delay: a flat belief */
		clock_start(f, s);
		exchange_of(f, s, &e);
		ffe_bank_widen(&f->bank, e.rtt * e.rtt, 0);
		ffe_bank_collapse(&f->bank, &f->belief);
		ev |= FFE_EV_FIRST;
	}
	exchange_of(f, s, &e);
	y = f->belief.y;
	c = clock_view(f);
	if (!f->have_path) {
		ffe_path_start(&f->path, &e, &c, f->start_bound);
		f->have_path = true;
	}

	min_rtt = ffe_path_min_rtt(&f->path);
	ev |= ffe_path_before(&f->path, &e, &c);
	if (ev & FFE_EV_MOVED)
		/* by as much as half of what the path's delay was */
		clock_release(f, min_rtt / 2);
	ffe_path_box(&f->path, &e, &box);
	f->track.last_offset_ns = (box.lo + box.hi) / 2 - f->belief.x;
	f->track.last_rtt_ns = e.rtt;
	before = f->belief;
	ffe_bank_update(&f->bank, &box, &fit);
	ffe_bank_collapse(&f->bank, &f->belief);
	if (fit.heavy[0] + fit.heavy[1] > 0.5)
		ev |= FFE_EV_CONGESTED;

	f->used++;
	c = clock_view(f);
	/* no exchange takes less than no time, whatever was booked */
	off = fmax(e.in - c.x, c.x - e.out);
	f->excursion = off > SUSPECT_SIGMA * sqrt(e.var) ? off + e.rtt : 0;
	ffe_path_learn(&f->path, &e, &box, &fit, &before);
	ev |= path_after(f, &e, &c, false);

	/* half the sum of two excess delays that differ: what one exchange says */
	f->meas_var = (f->path.level.tau[0] * f->path.level.tau[0] +
		       f->path.level.tau[1] * f->path.level.tau[1]) / 4 + e.var;
	f->root = s->root_delay_ns / 2.0 + s->root_disp_ns;

	if (!ffe_proof_add(&f->proof, &e, y, &f->belief))
		ev |= FFE_EV_DISAGREE;
	proof_judge(f, min_rtt);
	f->settled |= is_settled(f);

	/* keep the filters' offsets small: the belief becomes the reference */
	ref_advance(f, f->belief.x);
	ffe_bank_shift(&f->bank, -f->belief.x);
	ffe_proof_move(&f->proof, 0, f->belief.x);
	f->belief.x = 0;
	return ev;
}

/**
 * struct doubt - how an exchange contradicts the clock
 * @off: distance of its box from the clock [ns]; 0 when there is none
 * @offset: middle of the box from the clock [ns]
 * @half: half its width and blur [ns]
 * @route: another route could explain it
 */
struct doubt {
	double	off;
	double	offset;
	double	half;
	bool	route;
};

static void contradiction(const struct ffe *f, const struct ffe_exchange *e,
			  struct doubt *d)
{
	struct ffe_clock c = clock_view(f);
	struct ffe_path path = f->path;
	double low, high, faster;
	struct ffe_box box;
	uint32_t ev;

	ev = ffe_path_before(&path, e, &c);
	ffe_path_box(&path, e, &box);
	low = box.lo - f->belief.x;
	high = f->belief.x - box.hi;
	d->offset = (box.lo + box.hi) / 2 - f->belief.x;
	d->half = (box.hi - box.lo) / 2 + sqrt(box.var);
	d->off = fmax(low, high);
	/*
	 * A positive distance means that the answer was too fast, a negative
	 * one the request.  By a route, at most all of its delay is saved,
	 * and the other direction is slower for it.
	 */
	faster = low > high ? path.level.d[1] : path.level.d[0];
	d->route = isfinite(c.sigma) && ffe_path_far(&path, e) &&
		   d->off < faster;
	/* a path that is better than the clock has brought its witnesses */
	if (((ev & FFE_EV_MOVED) && c.x > e->in && c.x < e->out) || !(ffe_bank_off(&f->bank, &box) > SUSPECT_SIGMA))
		d->off = 0;
}

/* The clock moves to the stamps, the last of which is @s. */
static uint32_t clock_jump(struct ffe *f, const struct ffe_stamp *s, bool agree)
{
	struct ffe_stamp first = f->suspect;
	struct ffe_exchange a, b;
	uint32_t ev;

	exchange_of(f, &first, &a);
	exchange_of(f, s, &b);
	/* a migration may change the path too; a young one may be a mistake */
	if (f->used < CLOCK_YOUNG || !ffe_path_rejoin(&f->path, agree ? fmin(a.rtt, b.rtt) : b.rtt))
		f->have_path = false;

	clock_forget(f, false);
	if (agree) {
		stamp_use(f, &first);
		clock_advance(f, s->tf);
	}
	ev = stamp_use(f, s);
	f->track.jumps++;
	f->track.restarts++;
	return ev | FFE_EV_JUMP | FFE_EV_RESTART;
}

/*
 * A stamp that the clock cannot be reconciled with.  Alone it may be a wrong
 * stamp; a second one that says the same is a jump of the counter, of the
 * oscillator's rate or of the server, and all three mean: start again from
 * these two.
 *
 * Unless a new route explains it, one direction faster and the other slower.
 * Then the clock holds until the path has seen enough to book that, but only
 * while the offset stands still: a changed oscillator makes it run.
 */
static uint32_t suspect_take(struct ffe *f, const struct ffe_stamp *s,
			     const struct ffe_exchange *e, const struct doubt *d)
{
	double dt = (double)(int64_t)(s->tf - f->suspect.tf) *
		    f->cfg.nominal_period_ns / NS_PER_S;
	double slack = d->half + f->suspect_half;
	struct ffe_clock c = clock_view(f);
	uint32_t ev = FFE_EV_SUSPECT;
	bool agree;

	agree = f->suspects && fabs(d->offset - f->suspect_offset) <
			       slack + f->cfg.skew_max * dt * NS_PER_S;
	f->suspects++;

	if (d->route && !ffe_path_drifts(&f->path, f->suspects - 1, c.sigma)) {
		ev |= path_after(f, e, &c, f->suspects >= ROUTE_ANYWAY);
		if (ev & LEVEL_EVENTS)
			f->suspects = 0;
	} else if ((agree && f->suspects >= JUMP_AGREE) ||
		   f->suspects >= JUMP_ANYWAY) {
		return ev | clock_jump(f, s, agree);
	}

	f->suspect = *s;
	f->suspect_offset = d->offset;
	f->suspect_half = d->half;
	/* both may be true until this is decided */
	f->excursion = f->suspects ? d->off + 2 * d->half : 0;
	/* and the new one all that its exchange allows, while noise is a guess */
	if (f->suspects && f->proof.on)
		f->excursion = fmax(f->excursion, fmax(e->out - c.x, c.x - e->in));
	return ev;
}

static double held_window(const struct ffe *f)
{
	/*
	 * Where the noise averaged over T equals the wander over T: the
	 * steady state of the two-state filter.
	 */
	double q2 = fmax(f->belief.q2, 1e-6), step = fmax(f->interval, 1e-3);

	return sqrt(2 * sqrt(f->meas_var * step / q2));
}

/* Time without stamps after which the clock is in holdover [s]. */
static double held_after(const struct ffe *f)
{
	return fmax(held_window(f), 4 * step_next(f));
}

static uint32_t stamp_take(struct ffe *f, const struct ffe_stamp *s)
{
	struct ffe_exchange e;
	struct ffe_clock c;
	uint32_t ev = 0;
	struct doubt d;
	double dt;

	if (!f->running)
		return stamp_use(f, s);

	dt = clock_advance(f, s->tf);
	if (f->interval > 0 && dt > held_after(f))
		ev |= FFE_EV_HELD_LONG;
	f->interval += (dt - f->interval) / (f->interval > 0 ? 16 : 1);
	f->wander.now += dt;

	exchange_of(f, s, &e);
	c = clock_view(f);
	if (!f->have_path) {
		ffe_path_start(&f->path, &e, &c, f->start_bound);
		f->have_path = true;
	}
	if (ffe_path_short(&f->path, &e, &c)) {
		f->proof.agreed = 0;
		return ev | FFE_EV_SHORT;
	}
	contradiction(f, &e, &d);
	if (d.off > 0 && ffe_path_withdraw(&f->path, &e, &c)) {
		ev |= FFE_EV_DOWNSHIFT;
		contradiction(f, &e, &d);
	}
	if (d.off > 0) {
		f->proof.agreed = 0;
		return ev | suspect_take(f, s, &e, &d);
	}

	if (f->suspects) {
		ev |= FFE_EV_OUTLIER;
		f->suspects = 0;
		f->excursion = 0;
	}
	ev |= stamp_use(f, s);
	if (f->used >= CLOCK_YOUNG)
		ffe_wander_note(&f->wander, &f->belief);
	return ev;
}

/* Fill in a map whose reference is the present one. */
static void map_fill(const struct ffe *f, uint64_t counter, struct ffe_map *m)
{
	const struct ffe_belief *b = &f->belief;
	double ns, age, whole;

	memset(m, 0, sizeof(*m));
	m->counter = counter;
	m->period_ns = f->cfg.nominal_period_ns * (1 + b->y / NS_PER_S);
	m->events = f->events;
	if (!f->running) {
		m->bound_ns = m->est_error_ns = INFINITY;
		m->rate_bound = f->cfg.skew_max;
		m->rate_est = f->cfg.skew_sigma;
		m->status = FFE_UNSYNC;
		return;
	}

	ns = since_ref(f, counter);
	age = fmax(ns / NS_PER_S, 0);
	ns += f->frac_ns + b->x + b->y * ns / NS_PER_S;
	m->time_frac_ns = time_split(ns, &whole);
	m->time_ns = time_add(f->time_ns, whole);

	m->est_error_ns = sqrt(ffe_wander_hold(&f->wander, b, age));
	m->bound_ns = bound_of(f, age);
	m->rate_bound = rate_bound_of(f, age) / NS_PER_S;
	m->rate_est = sqrt(b->pyy + b->q2 * age) / NS_PER_S;

	if (f->suspects)
		m->status = FFE_SUSPECT;
	else if (!f->settled)
		m->status = FFE_WARMUP;
	else if (age > held_after(f))
		m->status = FFE_HOLDOVER;
	else
		m->status = FFE_SYNC;
}

uint32_t ffe_process(struct ffe *f, const struct ffe_stamp *s,
		     struct ffe_map *out)
{
	enum ffe_reject why = stamp_check(f, s);

	f->events = 0;
	if (why == FFE_REJ_BACKWARD && ++f->backward >= JUMP_ANYWAY) {
		/* the counter began again and nobody said so */
		clock_forget(f, false);
		f->have_path = false;
		f->events |= FFE_EV_RESTART;
		f->track.restarts++;
		why = FFE_REJ_NONE;
	}
	if (why) {
		f->track.rejected++;
		f->track.reject = why;
		f->events |= FFE_EV_REJECTED;
		if (out)
			map_fill(f, f->running ? f->ref : s->tf, out);
		return f->events;
	}
	f->backward = 0;
	f->track.stamps++;
	f->events |= stamp_take(f, s);
	if (f->events & FFE_EV_UPSHIFT)
		f->track.upshifts++;
	if (f->events & FFE_EV_DOWNSHIFT)
		f->track.downshifts++;
	if (out)
		map_fill(f, s->tf, out);
	return f->events;
}

void ffe_restart(struct ffe *f, const struct ffe_restart *why)
{
	double sigma;

	f->events = FFE_EV_RESTART;
	f->track.restarts++;
	if (why->why == FFE_RESTART_SERVER) {
		if (f->have_path)
			f->start_bound = ffe_path_asym(&f->path);
		f->have_path = false;
		f->suspects = 0;
		f->excursion = 0;
		/* that was the old server's word; @start_bound carries it on */
		if (f->proof.on)
			ffe_proof_start(&f->proof, f->proof.y, f->proof.skew);
		return;
	}
	if (in_range(why->nominal_period_ns, 0.01, 1e6))
		f->cfg.nominal_period_ns = why->nominal_period_ns;
	clock_forget(f, true);
	f->have_path = false;
	f->backward = 0;
	if (!why->have_time || why->time_ns < 0 || why->time_ns > TIME_LIMIT ||
	    !in_range(why->bound_ns, 0, 1e18))
		return;

	f->ref = why->counter;
	f->time_ns = why->time_ns;
	f->frac_ns = 0;
	f->running = true;
	f->start_bound = why->bound_ns;
	sigma = why->bound_ns / BOUND_SIGMA;
	ffe_bank_widen(&f->bank, sigma * sigma, 0);
	ffe_bank_collapse(&f->bank, &f->belief);
	/* the host's clock is as good a judge of the path as an old one */
	f->used = CLOCK_YOUNG;
	/* and better than what an exchange proves */
	f->proof.on = false;
}

void ffe_map_at(const struct ffe *f, uint64_t counter, struct ffe_map *out)
{
	map_fill(f, counter, out);
}

int64_t ffe_map_read(const struct ffe_map *map, uint64_t counter,
		     double *frac_ns, double *bound_ns)
{
	double ns = (double)(int64_t)(counter - map->counter) * map->period_ns;
	double whole, frac = time_split(ns + map->time_frac_ns, &whole);

	if (frac_ns)
		*frac_ns = frac;
	if (bound_ns)
		*bound_ns = map->bound_ns + map->rate_bound * fabs(ns);
	return time_add(map->time_ns, whole);
}

void ffe_tracking(const struct ffe *f, struct ffe_track *out)
{
	*out = f->track;
	out->min_rtt_ns = f->have_path ? ffe_path_min_rtt(&f->path) : 0;
	out->asym_ns = f->path.level.d[0] - f->path.level.d[1];
	out->noise_out_ns = f->path.level.tau[0];
	out->noise_in_ns = f->path.level.tau[1];
	out->rate = f->belief.y / NS_PER_S;
	out->wander = sqrt(f->belief.q2) / NS_PER_S;
	out->window_s = held_window(f);
	out->offset_sigma_ns = sqrt(f->belief.pxx);
	out->rate_sigma = sqrt(f->belief.pyy) / NS_PER_S;
}

int ffe_save_prior(const struct ffe *f, struct ffe_prior *out)
{
	if (!f->running || !rate_known(f))
		return -EAGAIN;

	out->period_ns = f->cfg.nominal_period_ns * (1 + f->belief.y / NS_PER_S);
	/* a restart takes minutes; an hour's wander covers it */
	out->period_sigma = sqrt(f->belief.pyy + f->belief.q2 * 3600) / NS_PER_S;
	out->wander = sqrt(f->belief.q2) / NS_PER_S;
	return 0;
}
