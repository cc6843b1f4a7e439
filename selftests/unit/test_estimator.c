// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the estimator: its mathematics against brute force, its
 * contract against hostile input.  How good the clock is, is the replays'
 * business.
 */
#include <errno.h>
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "estimator_internal.h"

#define EPOCH	(INT64_C(1767225600) * 1000000000)

/* ---- a generator that prints nothing and repeats itself ---- */

static uint64_t rng_state;

static uint64_t rng(void)
{
	uint64_t v = rng_state += UINT64_C(0x9e3779b97f4a7c15);

	v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
	return v ^ v >> 31;
}

static double uniform(void)
{
	return ((double)(rng() >> 11) + 0.5) * 0x1p-53;
}

/* ---- a simple world: constant skew, exponential delays, no wander ---- */

struct world {
	double		period_ns;
	double		skew;		/* counter fast by this part */
	uint64_t	raw0;
	int64_t		t;		/* true time since EPOCH [ns] */
	double		delay_ns;
	double		queue_ns;
	int64_t		behind;		/* counter's offset [ns] */
};

static uint64_t world_raw(const struct world *w)
{
	return w->raw0 + (uint64_t)(int64_t)floor(((double)w->t * (1 + w->skew) +
						   (double)w->behind) / w->period_ns);
}

static struct ffe_stamp world_stamp(struct world *w)
{
	struct ffe_stamp s = { .stratum = 1, .precision = -24 };

	s.ta = world_raw(w);
	w->t += (int64_t)(w->delay_ns - w->queue_ns * log(uniform()));
	s.tb = s.te = EPOCH + w->t;
	w->t += (int64_t)(w->delay_ns - w->queue_ns * log(uniform()));
	s.tf = world_raw(w);
	return s;
}

static double world_error(const struct world *w, const struct ffe_map *m)
{
	double frac;
	int64_t t = ffe_map_read(m, world_raw(w), &frac, NULL);

	return (double)(t - EPOCH - w->t) + frac;
}

static const struct world lan = {
	.period_ns = 1, .skew = 12.5e-6, .raw0 = 123456789, .delay_ns = 100e3,
	.queue_ns = 20e3,
};

static struct ffe *new_ffe(double period_ns)
{
	struct ffe_config cfg = { .nominal_period_ns = period_ns };
	struct ffe *f = malloc(ffe_size());

	assert_non_null(f);
	/* nothing may depend on what was there */
	memset(f, 0xa5, ffe_size());
	assert_int_equal(ffe_init(f, &cfg), 0);
	return f;
}

/* n good stamps, poll seconds apart; returns the last map. */
static struct ffe_map feed(struct ffe *f, struct world *w, int n, double poll)
{
	struct ffe_map m = { 0 };
	int i;

	for (i = 0; i < n; i++) {
		struct ffe_stamp s;

		w->t += (int64_t)(poll * 1e9);
		s = world_stamp(w);
		ffe_process(f, &s, &m);
	}
	return m;
}

static void map_sane(const struct ffe_map *m)
{
	assert_true(m->time_frac_ns >= 0 && m->time_frac_ns < 1);
	assert_true(isfinite(m->period_ns) && m->period_ns > 0);
	assert_true(m->bound_ns >= 0 && m->est_error_ns >= 0);
	assert_true(m->rate_bound >= 0 && isfinite(m->rate_bound));
	assert_true(isfinite(m->rate_est));
	if (m->status == FFE_UNSYNC)
		return;
	assert_true(isfinite(m->bound_ns) && isfinite(m->est_error_ns));
	assert_true(m->bound_ns >= m->est_error_ns);
}

/* ---- likelihood ---- */

/* Moments of weight(z) on [a, b] by Simpson's rule. */
static void integrate(double (*weight)(double, const void *), const void *arg,
		      double a, double b, double *z0, double *mean, double *var)
{
	const int n = 20000;
	double h = (b - a) / n, m1 = 0, m2 = 0;
	int i;

	*z0 = 0;
	for (i = 0; i <= n; i++) {
		double z = a + i * h, w = (i == 0 || i == n ? 1 : i & 1 ? 4 : 2);

		w *= weight(z, arg) * h / 3;
		*z0 += w;
		m1 += w * (z - a);
		m2 += w * (z - a) * (z - a);
	}
	*mean = a + m1 / *z0;
	*var = m2 / *z0 - m1 / *z0 * m1 / *z0;
}

/* Standard normal density over that at *arg, so that tails do not vanish. */
static double normal_from(double z, const void *arg)
{
	double at = *(const double *)arg;

	return exp(-(z - at) * (z + at) / 2);
}

static void test_truncated(void **state)
{
	static const double edges[] = {
		-300, -60, -20, -8, -7.9, -3, -1, -0.1, 0, 1e-3, 0.01, 0.5, 2, 5,
		7.99, 8.01, 30, 99, 101, 1000,
	};
	static const double widths[] = {
		1e-6, 1e-3, 0.0199, 0.0201, 0.1, 1, 3, 10, 40,
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		for (j = 0; j < sizeof(widths) / sizeof(widths[0]); j++) {
			double a = edges[i], b = a + widths[j], z, m, v, lz, lm, lv;
			/* the density's maximum inside */
			double at = a > 0 ? a : b < 0 ? b : 0;
			/* where it has fallen by e^-60 */
			double lo = fmax(a, at - 60 / fmax(fabs(at), 6));
			double hi = fmin(b, at + 60 / fmax(fabs(at), 6));

			integrate(normal_from, &at, lo, hi, &z, &m, &v);
			ffe_truncated(a, b, &lz, &lm, &lv);
			assert_true(fabs(lz - (log(z) - at * at / 2 -
					       0.91893853320467274178)) <
				    1e-4 + 1e-12 * at * at);
			assert_true(fabs(lm - m) < 1e-4 * (hi - lo));
			assert_true(fabs(lv - v) < 1e-3 * v + 1e-9 * (hi - lo) * (hi - lo));
			assert_true(lm >= a && lm <= b);
		}
}

struct box_arg {
	const struct ffe_box	*box;
	double			mean;
	double			v;
};

static double box_weight(double z, const void *p)
{
	const struct box_arg *a = p;
	double like = 0;
	int c;

	for (c = 0; c < 4; c++) {
		double t0 = c & 1 ? a->box->tail[0] : a->box->tau[0];
		double t1 = c & 2 ? a->box->tail[1] : a->box->tau[1];

		like += (c & 1 ? a->box->eps[0] : 1 - a->box->eps[0]) *
			(c & 2 ? a->box->eps[1] : 1 - a->box->eps[1]) / (t0 * t1) *
			exp(-(a->box->hi - z) / t0 - (z - a->box->lo) / t1);
	}
	return like * exp(-(z - a->mean) * (z - a->mean) / (2 * a->v)) /
	       sqrt(2 * M_PI * a->v);
}

/* The closed form against the product it claims to be the moments of. */
static void test_box(void **state)
{
	int i;

	(void)state;
	rng_state = 1;
	for (i = 0; i < 300; i++) {
		struct ffe_box box = {
			.tau = { 5 + 50 * uniform(), 5 + 50 * uniform() },
			.eps = { 0.02 + 0.5 * uniform(), 0.02 },
			.var = 1 + 20 * uniform(),
		};
		double width = 200 * uniform(), mid = 100 * (uniform() - 0.5);
		double var = pow(10, 4 * uniform()), z, m, v, alien, all;
		struct box_arg arg = { &box, 0, var + box.var };
		struct ffe_fit fit;

		box.tail[0] = 20 * box.tau[0];
		box.tail[1] = 20 * box.tau[1];
		box.lo = mid - width / 2;
		box.hi = mid + width / 2;
		integrate(box_weight, &arg, box.lo, box.hi, &z, &m, &v);
		ffe_box_fit(&box, 0, var, &fit);
		/* the part that says nothing is mixed in with its own moments */
		alien = exp(-13.8) / (box.tau[0] * box.tau[1]);
		all = z + alien;
		assert_true(fabs(fit.alien - alien / all) < 1e-4);
		assert_true(fabs(fit.mean - z / all * m) < 1e-3 * sqrt(arg.v));
		v = z / all * (v + m * m) + alien / all * arg.v -
		    z / all * m * z / all * m;
		assert_true(fabs(fit.var - v) < 2e-3 * v);
		assert_true(fit.heavy[0] >= 0 && fit.heavy[0] <= 1);
		assert_true(fit.excess[0] >= -1e-9 && fit.excess[0] <= width + 1e-9);
	}
}

/* Widths and distances of any size give finite results. */
static void test_box_extremes(void **state)
{
	int i;

	(void)state;
	rng_state = 2;
	for (i = 0; i < 100000; i++) {
		double tau = pow(10, 9 * uniform()), var = pow(10, 24 * uniform());
		struct ffe_box box = {
			.tau = { tau, tau * pow(10, 3 * uniform()) },
			.eps = { 0.9, 0.02 },
			.var = pow(10, 12 * uniform()),
			.mid_var = pow(10, 12 * uniform()),
		};
		struct ffe_fit fit;

		box.tail[0] = 20 * box.tau[0];
		box.tail[1] = 20 * box.tau[1];
		box.lo = (uniform() - 0.5) * pow(10, 18 * uniform());
		box.hi = box.lo + 1e-3 + pow(10, 10 * uniform());
		ffe_box_fit(&box, 0, var, &fit);
		assert_true(isfinite(fit.loglik) && isfinite(fit.mean));
		assert_true(isfinite(fit.var) && fit.var >= 0);
		assert_true(isfinite(fit.excess[0]) && isfinite(fit.excess_tail[1]));
		ffe_middle_fit(&box, 0, var, &fit);
		assert_true(isfinite(fit.loglik) && isfinite(fit.mean));
		assert_true(isfinite(fit.var) && fit.var >= 0);
	}
}

/* ---- bank ---- */

static void test_bank_predict(void **state)
{
	struct ffe_belief b, after;
	struct ffe_bank bank;
	int i;

	(void)state;
	ffe_bank_start(&bank, 100, 5, 9, 0);
	ffe_bank_collapse(&bank, &b);
	assert_true(fabs(b.y - 5) < 1e-12 && fabs(b.pxx - 100) < 1e-9);
	/* in one step or in ten: the same */
	ffe_bank_predict(&bank, 10);
	ffe_bank_collapse(&bank, &after);
	assert_true(fabs(after.x - 50) < 1e-9);
	ffe_bank_start(&bank, 100, 5, 9, 0);
	for (i = 0; i < 10; i++)
		ffe_bank_predict(&bank, 1);
	ffe_bank_collapse(&bank, &b);
	assert_true(fabs(after.pxx / b.pxx - 1) < 2e-3);
	assert_true(fabs(after.pyy / b.pyy - 1) < 2e-3);
	/* the closed form of the collapsed belief */
	assert_true(fabs(ffe_belief_pxx(&b, 0) - b.pxx) < 1e-9);
}

static void test_bank_positive(void **state)
{
	struct ffe_bank bank;
	int i, n, k;

	(void)state;
	rng_state = 3;
	ffe_bank_start(&bank, 1e12, 0, 1e10, 0);
	for (i = 0; i < 20000; i++) {
		struct ffe_box box = {
			.tau = { 2e4, 2e4 }, .tail = { 4e5, 4e5 },
			.eps = { 0.02, 0.02 }, .var = 2500, .mid_var = 2e8,
			.far = (rng() & 15) == 0,
		};
		struct ffe_fit fit;

		box.lo = (uniform() - 0.5) * pow(10, 8 * uniform());
		box.hi = box.lo + 1e6 * uniform();
		ffe_bank_predict(&bank, pow(10, 5 * uniform()));
		ffe_bank_update(&bank, &box, &fit);
		for (n = 0; n < FFE_NOISES; n++)
			for (k = 0; k < FFE_BANK; k++) {
				const struct ffe_kalman *f = &bank.k[n][k];

				assert_true(isfinite(f->x) && isfinite(f->y));
				assert_true(f->pxx > 0 && f->pyy > 0);
				assert_true(f->pxx * f->pyy >=
					    f->pxy * f->pxy * (1 - 1e-6));
				assert_true(isfinite(f->logw) && f->logw <= 1e-9);
			}
	}
}

/* ---- proof ---- */

/* An exchange of a straight line x0 + y t, its reference at tf. */
static struct ffe_exchange line_exchange(double x, double y, double out_ns, double in_ns)
{
	struct ffe_exchange e = {
		.rtt = out_ns + in_ns, .span = (out_ns + in_ns) / 1e9, .var = 2500,
		.in = x - in_ns,
	};

	/* as exchange_of() does: carried to tf at the believed rate, 0 here */
	e.out = x - y * e.span + out_ns;
	return e;
}

/*
 * Random lines met by random exchanges: the truth always is in the polygon, now
 * and later, in any direction of the belief; and the polygon is no larger than
 * each exchange alone makes it.
 */
static void test_proof(void **state)
{
	int i, j;

	(void)state;
	rng_state = 20;
	for (i = 0; i < 2000; i++) {
		double x = 1e9 * (uniform() - 0.5), y = 2e6 * (uniform() - 0.5);
		double scale = pow(10, 3 + 5 * uniform());
		struct ffe_proof p;

		ffe_proof_start(&p, 0, 1e6);
		for (j = 0; j < 100; j++) {
			double dt = pow(10, 3 * uniform() - 1), shift = 1e6 * (uniform() - 0.5);
			struct ffe_belief b = { .q2 = 1 };
			struct ffe_exchange e;
			double age;

			ffe_proof_move(&p, dt, 0);
			x += y * dt;
			/* the reference map may move as well */
			ffe_proof_move(&p, 0, shift);
			x -= shift;
			e = line_exchange(x, y, -scale * log(uniform()), -scale * log(uniform()));
			b.x = x + 10 * scale * (uniform() - 0.5);
			b.y = y + 1e5 * (uniform() - 0.5);
			assert_true(ffe_proof_add(&p, &e, 0, &b));
			for (age = 0; age < 100; age = 2 * age + 1)
				assert_true(fabs(x - b.x + (y - b.y) * age) <=
					    ffe_proof_bound(&p, &b, age) * (1 + 1e-9));
			assert_true(fabs(y - b.y) <= ffe_proof_rate(&p, &b) * (1 + 1e-9));
			assert_true(ffe_proof_bound(&p, &b, 0) <=
				    fmax(fabs(e.in - b.x), fabs(e.out - b.x)) +
				    1.1e6 * e.span + 1000);
		}
		/* a hundred of them know the rate, too */
		assert_true(ffe_proof_rate(&p, &(struct ffe_belief){ .y = y }) < 2e6);
		ffe_proof_start(&p, 0, 1e6);
		assert_true(ffe_proof_bound(&p, &(struct ffe_belief){ .x = x }, 1) == 0);
	}
}

/* Exchanges that exclude each other: said, and the bound holds both. */
static void test_proof_disagree(void **state)
{
	struct ffe_exchange good = line_exchange(0, 0, 1e6, 1e6);
	struct ffe_exchange bad = line_exchange(5e9, 0, 1e6, 1e6);
	struct ffe_belief b = { .x = 5e5 };
	struct ffe_proof p;
	double bound;

	(void)state;
	ffe_proof_start(&p, 0, 1e6);
	assert_true(ffe_proof_add(&p, &good, 0, &b));
	bound = ffe_proof_bound(&p, &b, 0);
	assert_true(bound >= 1.5e6 && bound < 1.6e6);
	ffe_proof_move(&p, 1, 0);
	bound = ffe_proof_bound(&p, &b, 0);
	/* a second at 1000 ppm either way */
	assert_true(bound >= 2.5e6 && bound < 2.6e6);
	assert_false(ffe_proof_add(&p, &bad, 0, &b));
	assert_true(ffe_proof_bound(&p, &b, 0) > 4.9e9);
	/* with the clock there the old one still counts */
	b.x = 5e9;
	assert_true(ffe_proof_bound(&p, &b, 0) >= bound);
	/* nothing is asked of it where the time came from elsewhere */
	p.on = false;
	assert_true(ffe_proof_add(&p, &good, 0, &b));
	assert_true(ffe_proof_bound(&p, &b, 0) == 0 && ffe_proof_rate(&p, &b) == 0);
}

/*
 * Two slow exchanges, one-sided each way, then nothing but slow ones: the clock
 * may be anywhere in what they leave, and the bound says so.
 */
static void test_proof_map(void **state)
{
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	struct ffe_map m;
	int i, way;

	(void)state;
	rng_state = 21;
	for (i = 0; i < 60; i++) {
		struct ffe_stamp s = { .stratum = 1, .precision = -24 };
		/* from 2 to 40 ms in one direction, 0.1 ms in the other */
		int64_t slow = 2000000 + (int64_t)(uniform() * 38e6);

		w.t += 1000000000;
		way = (int)(rng() & 1);
		s.ta = world_raw(&w);
		w.t += way ? slow : 100000;
		s.tb = s.te = EPOCH + w.t;
		w.t += way ? 100000 : slow;
		s.tf = world_raw(&w);
		ffe_process(f, &s, &m);
		assert_true(fabs(world_error(&w, &m)) <= m.bound_ns);
		/* no more than the exchange itself allows */
		if (i == 0)
			assert_true(m.bound_ns < 1.1 * (double)slow);
	}
	free(f);
}

/* ---- contract ---- */

static void test_config(void **state)
{
	struct ffe_prior prior = { .period_ns = 1, .period_sigma = 1e-9 };
	struct ffe_config ok = { .nominal_period_ns = 1 }, c;
	struct ffe *f = malloc(ffe_size());
	size_t i;
	static const double bad[] = { -1, NAN, INFINITY, -INFINITY, 1e300 };

	(void)state;
	assert_non_null(f);
	assert_int_equal(ffe_init(f, &ok), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		c = ok; c.nominal_period_ns = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		c = ok; c.skew_sigma = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		c = ok; c.skew_max = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		c = ok; c.stamp_noise_ns = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		c = ok; c.poll_min_s = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		c = ok; c.poll_max_s = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		c = ok; c.prior = &prior;
		prior.period_ns = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		prior.period_ns = 1;
		prior.period_sigma = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		prior.period_sigma = 1e-9;
		prior.wander = bad[i];
		assert_int_equal(ffe_init(f, &c), -EINVAL);
		prior.wander = 0;
	}
	c = ok; c.nominal_period_ns = 0;
	assert_int_equal(ffe_init(f, &c), -EINVAL);
	c = ok; c.prior = &prior; prior.period_ns = 1.002;
	assert_int_equal(ffe_init(f, &c), -EINVAL);
	free(f);
}

static void test_first(void **state)
{
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	struct ffe_map m;

	(void)state;
	ffe_map_at(f, 5, &m);
	assert_int_equal(m.status, FFE_UNSYNC);
	map_sane(&m);

	rng_state = 4;
	m = feed(f, &w, 1, 1);
	map_sane(&m);
	assert_int_equal(m.status, FFE_WARMUP);
	assert_true(m.events & FFE_EV_FIRST);
	assert_true(fabs(world_error(&w, &m)) < m.bound_ns);
	/* half the RTT and what can be guessed of its noise, no more */
	assert_true(m.bound_ns < 250e3);
	/* a minute later at poll 2: microseconds, and the rate known */
	m = feed(f, &w, 30, 2);
	assert_int_equal(m.status, FFE_SYNC);
	assert_true(fabs(world_error(&w, &m)) < 20e3);
	assert_true(fabs(m.period_ns * (1 + 12.5e-6) - 1) < 1e-6);
	free(f);
}

/* Every reason to reject, each from a stamp that is good otherwise. */
static void test_reject(void **state)
{
	static const struct {
		enum ffe_reject	why;
		int64_t		ta, tf, tb, te;
		uint8_t		leap, stratum;
	} cases[] = {
		{ FFE_REJ_UNSYNC, 0, 0, 0, 0, 3, 1 },
		{ FFE_REJ_UNSYNC, 0, 0, 0, 0, 0, 0 },
		{ FFE_REJ_UNSYNC, 0, 0, 0, 0, 0, 16 },
		{ FFE_REJ_UNSYNC, 0, 0, 0, 0, 0, 255 },
		{ FFE_REJ_RANGE, 0, 0, INT64_MIN / 2, INT64_MIN / 2, 0, 1 },
		{ FFE_REJ_RANGE, 0, 0, INT64_MAX - EPOCH - INT64_C(1000000000000000),
		  INT64_MAX - EPOCH - INT64_C(1000000000000000), 0, 1 },
		{ FFE_REJ_SERVER_ORDER, 0, 0, 2000, 0, 0, 1 },
		{ FFE_REJ_COUNTER, 10000000, 0, 0, 0, 0, 1 },
		{ FFE_REJ_COUNTER, 0, INT64_C(17000000000), 0, 0, 0, 1 },
		{ FFE_REJ_RTT, 0, 0, 0, 10000000, 0, 1 },
		{ FFE_REJ_BACKWARD, -INT64_C(100000000000), -INT64_C(100000000000), 0, 0, 0, 1 },
	};
	struct ffe *f = new_ffe(1);
	struct ffe_map before, m;
	struct world w = lan;
	struct ffe_track t;
	size_t i;

	(void)state;
	rng_state = 5;
	before = feed(f, &w, 50, 1);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ffe_stamp s;

		w.t += 1000000000;
		s = world_stamp(&w);
		s.ta += (uint64_t)cases[i].ta;
		s.tf += (uint64_t)cases[i].tf;
		s.tb += cases[i].tb;
		s.te += cases[i].te;
		s.leap = cases[i].leap;
		s.stratum = cases[i].stratum;
		assert_int_equal(ffe_process(f, &s, &m), FFE_EV_REJECTED);
		ffe_tracking(f, &t);
		assert_int_equal(t.reject, cases[i].why);
		assert_int_equal(t.rejected, i + 1);
		/* the state is untouched */
		assert_int_equal(m.time_ns, before.time_ns);
		assert_true(m.period_ns == before.period_ns);
		assert_true(strlen(ffe_reject_name(t.reject)) > 1);
	}
	/* a server clock of coarse resolution is no liar */
	w.t += 1000000000;
	{
		struct ffe_stamp s = world_stamp(&w);

		s.te = s.tb - 120;
		assert_false(ffe_process(f, &s, &m) & FFE_EV_REJECTED);
	}
	free(f);
}

/*
 * Random bits in every field, a hundred thousand times, with good stamps among
 * them: sane maps, and the clock comes back.
 */
static void test_hostile(void **state)
{
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	struct ffe_map m;
	int i, j;

	(void)state;
	rng_state = 6;
	feclearexcept(FE_ALL_EXCEPT);
	for (i = 0; i < 1000; i++) {
		for (j = 0; j < 100; j++) {
			struct ffe_stamp s;

			w.t += 1000000;
			s = world_stamp(&w);
			/* any subset of the fields, any number of their bits */
			if (rng() & 1)
				s.ta = rng() >> (rng() & 63);
			if (rng() & 1)
				s.tf = s.ta + (rng() >> (rng() & 63));
			if (rng() & 1)
				s.tb = (int64_t)(rng() >> (rng() & 63));
			if (rng() & 1)
				s.te = (int64_t)((uint64_t)s.tb +
						 (rng() >> (rng() & 63)));
			if (rng() & 1)
				s.precision = (int8_t)rng();
			if (rng() & 1)
				s.client_err_ns = (uint32_t)rng();
			if (rng() & 1)
				s.root_disp_ns = (uint32_t)rng();
			s.stratum = 1 + (rng() & 7);
			ffe_process(f, &s, &m);
			map_sane(&m);
			ffe_map_at(f, rng(), &m);
			map_sane(&m);
		}
		if (i % 10)
			continue;
		/*
		 * Their counters may lie far ahead, their round trips far
		 * below the path's: a restart or two, and a block of 64 to
		 * find the minimum wrong.
		 */
		m = feed(f, &w, 400, 1);
		assert_true(fabs(world_error(&w, &m)) < m.bound_ns);
		/* what they made of the path may stay as an asymmetry */
		assert_true(m.bound_ns < 300e3);
	}
	assert_int_equal(fetestexcept(FE_INVALID | FE_DIVBYZERO), 0);
	free(f);
}

static void test_deterministic(void **state)
{
	struct ffe *a = new_ffe(1), *b = new_ffe(1);
	struct world w = lan;
	int i;

	(void)state;
	rng_state = 7;
	for (i = 0; i < 2000; i++) {
		struct ffe_map ma, mb;
		struct ffe_stamp s;

		w.t += 4000000000;
		if (i == 1000)
			w.behind -= 300000000;
		s = world_stamp(&w);
		memset(&ma, 0, sizeof(ma));
		memset(&mb, 1, sizeof(mb));
		assert_int_equal(ffe_process(a, &s, &ma), ffe_process(b, &s, &mb));
		assert_memory_equal(&ma, &mb, sizeof(ma));
	}
	free(a);
	free(b);
}

/* The clock does not care what a count is, nor where the counter starts. */
static void test_units(void **state)
{
	static const double periods[] = { 1, 1 / 2.9, 10, 69.8412698, 279.365 };
	static const uint64_t starts[] = {
		0, 1, UINT64_C(1) << 63, UINT64_MAX - 20000000000, UINT64_MAX - 1000,
	};
	double first = 0;
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		struct ffe *f = new_ffe(periods[i]);
		struct world w = lan;
		struct ffe_map m;
		double e;

		w.period_ns = periods[i];
		w.raw0 = starts[i];
		rng_state = 8;
		m = feed(f, &w, 500, 16);
		e = world_error(&w, &m);
		assert_true(fabs(e) < 5000);
		if (i == 0)
			first = e;
		/* a count's resolution apart, and what it does to the noise */
		assert_true(fabs(e - first) < 3 * periods[i] + 200);
		assert_true(fabs(m.period_ns / periods[i] * (1 + 12.5e-6) - 1) < 1e-8);
		free(f);
	}
}

static void test_map(void **state)
{
	struct ffe_map m = {
		.counter = 1000, .time_ns = EPOCH, .time_frac_ns = 0.25,
		.period_ns = 1.0000125, .bound_ns = 100, .rate_bound = 1e-7,
	}, at;
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	double frac, bound;
	int i;

	(void)state;
	assert_int_equal(ffe_map_read(&m, 1000, &frac, &bound), EPOCH);
	assert_true(frac == 0.25 && bound == 100);
	/* an hour on and an hour back: 3.6e12 counts of 1.0000125 */
	assert_int_equal(ffe_map_read(&m, 1000 + UINT64_C(3600000000000), &frac, &bound),
			 EPOCH + INT64_C(3600045000000));
	assert_true(fabs(frac - 0.25) < 1e-3);
	assert_true(fabs(bound - 100 - 3600045000000 * 1e-7) < 1e-3);
	assert_int_equal(ffe_map_read(&m, 1000 - UINT64_C(3600000000000), &frac, NULL),
			 EPOCH - INT64_C(3600045000000));

	/* a map moved on is the same clock, with a bound that only grows */
	rng_state = 9;
	m = feed(f, &w, 300, 16);
	bound = m.bound_ns;
	for (i = 1; i <= 40; i++) {
		uint64_t c = m.counter + (uint64_t)i * UINT64_C(1000000000000);
		double fa, fb;
		int64_t ta = ffe_map_read(&m, c, &fa, NULL);

		ffe_map_at(f, c, &at);
		map_sane(&at);
		assert_int_equal(at.counter, c);
		assert_true(fabs((double)(at.time_ns - ta) + at.time_frac_ns - fa) < 0.1);
		ffe_map_read(&at, c + 500, &fb, NULL);
		assert_true(at.bound_ns > bound);
		bound = at.bound_ns;
	}
	assert_int_equal(at.status, FFE_HOLDOVER);
	free(f);
}

static void test_jump(void **state)
{
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	struct ffe_stamp s;
	struct ffe_map m;
	uint32_t ev;

	(void)state;
	rng_state = 10;
	m = feed(f, &w, 500, 16);
	assert_true(fabs(world_error(&w, &m)) < 10e3);

	/* one lying stamp is not believed, but said */
	w.t += 16000000000;
	s = world_stamp(&w);
	s.tb += 50000000;
	s.te += 50000000;
	ev = ffe_process(f, &s, &m);
	assert_int_equal(ev, FFE_EV_SUSPECT);
	assert_int_equal(m.status, FFE_SUSPECT);
	assert_true(m.bound_ns > 50e6);
	assert_true(fabs(world_error(&w, &m)) < 20e3);
	w.t += 16000000000;
	s = world_stamp(&w);
	ev = ffe_process(f, &s, &m);
	assert_true(ev & FFE_EV_OUTLIER);
	assert_int_equal(m.status, FFE_SYNC);
	assert_true(m.bound_ns < 200e3);

	/* a counter that lost 300 ms and runs 30 ppm faster: two stamps */
	w.behind -= 300000000 + (int64_t)((double)w.t * 30e-6);
	w.skew += 30e-6;
	m = feed(f, &w, 1, 16);
	assert_int_equal(m.status, FFE_SUSPECT);
	assert_true(fabs(world_error(&w, &m)) < m.bound_ns);
	m = feed(f, &w, 1, 16);
	assert_true(m.events & FFE_EV_JUMP);
	assert_true(m.events & FFE_EV_RESTART);
	assert_true(fabs(world_error(&w, &m)) < 100e3);
	assert_true(fabs(world_error(&w, &m)) < m.bound_ns);
	m = feed(f, &w, 60, 16);
	assert_true(fabs(world_error(&w, &m)) < 10e3);
	free(f);
}

static void test_backward(void **state)
{
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	struct ffe_map m;
	int i;

	(void)state;
	rng_state = 11;
	w.raw0 = UINT64_C(1) << 50;
	feed(f, &w, 100, 1);
	/* the counter starts again and nobody says so */
	w.raw0 = 7;
	for (i = 0; i < 7; i++) {
		m = feed(f, &w, 1, 1);
		assert_int_equal(m.events, FFE_EV_REJECTED);
	}
	m = feed(f, &w, 1, 1);
	assert_true(m.events & FFE_EV_RESTART);
	assert_true(fabs(world_error(&w, &m)) < m.bound_ns);
	m = feed(f, &w, 40, 1);
	assert_true(fabs(world_error(&w, &m)) < 20e3);
	free(f);
}

static void test_restart(void **state)
{
	struct ffe_restart why = { .why = FFE_RESTART_MIGRATION };
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	struct ffe_track t;
	struct ffe_map m;

	(void)state;
	rng_state = 12;
	feed(f, &w, 200, 16);

	/* told, without the time: nothing until the next stamp */
	ffe_restart(f, &why);
	ffe_map_at(f, world_raw(&w), &m);
	assert_int_equal(m.status, FFE_UNSYNC);
	w.behind -= 300000000;
	w.skew = -40e-6;
	m = feed(f, &w, 1, 16);
	assert_true(fabs(world_error(&w, &m)) < m.bound_ns && m.bound_ns < 250e3);
	m = feed(f, &w, 1, 16);
	assert_true(fabs(world_error(&w, &m)) < 100e3);
	assert_true(fabs(m.period_ns * (1 - 40e-6) - 1) < 10e-6);

	/* another counter, and the host told the time to a microsecond */
	w.period_ns = 100;
	why.why = FFE_RESTART_EPOCH;
	why.nominal_period_ns = 100;
	why.have_time = 1;
	why.counter = world_raw(&w);
	why.time_ns = EPOCH + w.t;
	why.bound_ns = 1000;
	ffe_restart(f, &why);
	ffe_map_at(f, world_raw(&w), &m);
	assert_int_equal(m.status, FFE_WARMUP);
	assert_true(fabs(world_error(&w, &m)) < 200);
	assert_true(m.bound_ns >= 1000 && m.bound_ns < 3000);
	/* the path's delay is all in one direction: the host's time shows it */
	w.delay_ns = 20e3;
	m = feed(f, &w, 300, 1);
	ffe_tracking(f, &t);
	assert_true(fabs(world_error(&w, &m)) < 40e3);
	assert_true(m.bound_ns < 60e3);

	/* another server: the clock goes on */
	why.why = FFE_RESTART_SERVER;
	ffe_restart(f, &why);
	ffe_map_at(f, world_raw(&w), &m);
	assert_true(m.status == FFE_SYNC);
	w.delay_ns = 3e6;
	m = feed(f, &w, 20, 16);
	ffe_tracking(f, &t);
	assert_true(t.min_rtt_ns > 6e6);
	assert_true(fabs(world_error(&w, &m)) < 60e3);
	/* what the old server gave is not lost to the new one's long path */
	assert_true(m.bound_ns < 300e3);

	/* absurd values count as not given */
	why.why = FFE_RESTART_USER;
	why.nominal_period_ns = NAN;
	why.bound_ns = -1;
	ffe_restart(f, &why);
	ffe_map_at(f, world_raw(&w), &m);
	assert_int_equal(m.status, FFE_UNSYNC);
	map_sane(&m);
	m = feed(f, &w, 40, 1);
	assert_true(fabs(world_error(&w, &m)) < 1e6);
	free(f);
}

static void test_prior(void **state)
{
	struct ffe_prior prior = { 0 };
	struct ffe_config cfg = { .nominal_period_ns = 1, .prior = &prior };
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	struct ffe_map m;

	(void)state;
	rng_state = 13;
	assert_int_equal(ffe_save_prior(f, &prior), -EAGAIN);
	feed(f, &w, 1, 1);
	assert_int_equal(ffe_save_prior(f, &prior), -EAGAIN);
	feed(f, &w, 1000, 16);
	assert_int_equal(ffe_save_prior(f, &prior), 0);
	assert_true(fabs(prior.period_ns * (1 + 12.5e-6) - 1) < 1e-8);
	assert_true(prior.period_sigma > 0 && prior.period_sigma < 1e-7);

	assert_int_equal(ffe_init(f, &cfg), 0);
	m = feed(f, &w, 1, 1);
	assert_int_equal(m.status, FFE_SYNC);
	assert_true(fabs(m.period_ns * (1 + 12.5e-6) - 1) < 1e-8);
	assert_true(m.rate_bound < 1e-6);
	free(f);
}

/* Ten years without a stamp, and times at the ends of what is allowed. */
static void test_long(void **state)
{
	struct ffe *f = new_ffe(1);
	struct world w = lan;
	struct ffe_map m;

	(void)state;
	rng_state = 14;
	feed(f, &w, 100, 16);
	w.t += INT64_C(10) * 365 * 86400 * 1000000000;
	ffe_map_at(f, world_raw(&w), &m);
	map_sane(&m);
	assert_int_equal(m.status, FFE_HOLDOVER);
	assert_true(fabs(world_error(&w, &m)) < m.bound_ns);
	m = feed(f, &w, 1, 16);
	assert_true(fabs(world_error(&w, &m)) < m.bound_ns);
	m = feed(f, &w, 100, 16);
	assert_true(fabs(world_error(&w, &m)) < 50e3);
	free(f);
}

static void test_text(void **state)
{
	char buf[128], tiny[4];
	int i;

	(void)state;
	assert_string_equal(ffe_events_print(0, buf, sizeof(buf)), "");
	assert_string_equal(ffe_events_print(FFE_EV_JUMP | FFE_EV_RESTART, buf,
					     sizeof(buf)), "jump,restart");
	ffe_events_print(~0u, buf, sizeof(buf));
	assert_non_null(strstr(buf, "moved"));
	ffe_events_print(~0u, tiny, sizeof(tiny));
	assert_true(strlen(tiny) < sizeof(tiny));
	for (i = -1; i < 8; i++) {
		assert_non_null(ffe_status_name((enum ffe_status)i));
		assert_non_null(ffe_reject_name((enum ffe_reject)i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_box),
		cmocka_unit_test(test_box_extremes),
		cmocka_unit_test(test_bank_predict),
		cmocka_unit_test(test_bank_positive),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_proof_disagree),
		cmocka_unit_test(test_proof_map),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_reject),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_jump),
		cmocka_unit_test(test_backward),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_prior),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
