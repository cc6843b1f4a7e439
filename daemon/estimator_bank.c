// SPDX-License-Identifier: GPL-2.0-only
/*
 * The oscillator: a bank of two-state filters, one for each wander, times two
 * ideas of the path's noise.
 *
 * Offset x and rate y; y does a random walk of intensity q, which is what
 * crystals do over the minutes to hours that matter here.  How much they do
 * it decides over how long to average, and nobody tells, so every hypothesis
 * about q has its own filter and the filters are weighted by how well they
 * predicted the exchanges (interacting multiple models).  Averaging window,
 * holdover growth and error estimate all follow from the weights.
 */
#include <math.h>

#include "estimator_internal.h"

/*
 * How long a wander lasts before another hypothesis may take over [s].  The
 * weight that leaks to the neighbours is dt over this per stamp, so a change
 * (a fan, a load) is noticed after log(4 h / 16 s) = 7 nats of evidence,
 * while a steady oscillator loses a percent of efficiency.
 */
#define BANK_DWELL	(4 * 3600.0)

/*
 * ... but no stamp may leak more than this: at long polls a stamp is not more
 * evidence than at short ones, and 5 nats are the work of a few.
 */
#define BANK_LEAK	0.01

/*
 * White frequency noise of a counter, as the offset's own random walk
 * [ns per square root of a second].  0.3 is 3e-10 at 1 s, a usual crystal;
 * only a path that is better than a nanosecond a second notices it.
 */
#define WHITE_FM	0.3

/* exp() of this is nothing, and adding to it overflows nothing. */
#define LOG_NOTHING	(-700.0)

/* 0.01 ns/s (1e-11) and up in half decades. */
static const double wander_of[FFE_BANK] = {
	0.01, 0.0316227766016838, 0.1, 0.316227766016838, 1, 3.16227766016838,
	10, 31.6227766016838, 100,
};

/* Weights that sum to one again; returns the log of what they summed to. */
static double bank_normalise(struct ffe_bank *bank)
{
	double top = -INFINITY, sum = 0;
	int n, i;

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++)
			top = fmax(top, bank->k[n][i].logw);
	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++)
			sum += exp(bank->k[n][i].logw - top);
	sum = top + log(sum);
	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++)
			bank->k[n][i].logw = fmax(bank->k[n][i].logw - sum,
						  LOG_NOTHING);
	return sum;
}

/**
 * ffe_bank_start - forget everything
 * @bank: filters
 * @pxx: variance of the offset, whose mean is 0 [ns^2]
 * @y: rate [ns/s]
 * @pyy: its variance [ns^2/s^2]
 * @wander: what is known of it, or 0 [ns/s per square root of a second]
 *
 * With no idea of the wander all hypotheses start equal; with one from an
 * earlier run each factor of ten away from it costs 4 nats.
 */
void ffe_bank_start(struct ffe_bank *bank, double pxx, double y, double pyy,
		    double wander)
{
	int n, i;

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++)
			bank->k[n][i] = (struct ffe_kalman){
				.y = y, .pxx = pxx, .pyy = pyy,
				.logw = wander > 0 ?
					-4 * fabs(log10(wander_of[i] / wander)) : 0,
			};
	bank_normalise(bank);
}

/*
 * One filter out of several: the moments of the mixture.
 */
static void kalman_merge(struct ffe_kalman *out,
			 const struct ffe_kalman *const *in, double *w, int n)
{
	double sum = 0;
	int i;

	for (i = 0; i < n; i++)
		sum += w[i];
	*out = (struct ffe_kalman){ .logw = LOG_NOTHING };
	if (!(sum > 0))
		return;
	for (i = 0; i < n; i++) {
		w[i] /= sum;
		out->x += w[i] * in[i]->x;
		out->y += w[i] * in[i]->y;
	}
	for (i = 0; i < n; i++) {
		double dx = in[i]->x - out->x, dy = in[i]->y - out->y;

		out->pxx += w[i] * (in[i]->pxx + dx * dx);
		out->pxy += w[i] * (in[i]->pxy + dx * dy);
		out->pyy += w[i] * (in[i]->pyy + dy * dy);
	}
	out->logw = fmax(log(sum), LOG_NOTHING);
}

/* Let neighbouring hypotheses exchange weight, and with it their states. */
static void bank_mix(struct ffe_bank *bank, double dt)
{
	double leak = fmin(dt / BANK_DWELL, BANK_LEAK) / 3;
	struct ffe_bank old = *bank;
	int n, i;

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++) {
			/* both neighbours, the other noise, itself */
			const struct ffe_kalman *from[4];
			double w[4], stay = 1 - leak;
			int m = 0;

			from[m] = &old.k[!n][i];
			w[m++] = leak * exp(old.k[!n][i].logw);
			if (i > 0) {
				from[m] = &old.k[n][i - 1];
				w[m++] = leak * exp(old.k[n][i - 1].logw);
				stay -= leak;
			}
			if (i < FFE_BANK - 1) {
				from[m] = &old.k[n][i + 1];
				w[m++] = leak * exp(old.k[n][i + 1].logw);
				stay -= leak;
			}
			from[m] = &old.k[n][i];
			w[m++] = stay * exp(old.k[n][i].logw);
			kalman_merge(&bank->k[n][i], from, w, m);
		}
}

/**
 * ffe_bank_predict - move every belief forward in time
 * @bank: filters
 * @dt: elapsed [s], > 0
 *
 * For a rate that walks with q per root second the noise over dt is
 * q^2 dt^3/3 on the offset, q^2 dt^2/2 between both and q^2 dt on the rate.
 */
void ffe_bank_predict(struct ffe_bank *bank, double dt)
{
	int n, i;

	bank_mix(bank, dt);
	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++) {
			struct ffe_kalman *k = &bank->k[n][i];
			double q2 = wander_of[i] * wander_of[i];

			k->x += k->y * dt;
			k->pxx += dt * (2 * k->pxy +
					dt * (k->pyy + q2 * dt / 3)) +
				  WHITE_FM * WHITE_FM * dt;
			k->pxy += dt * (k->pyy + q2 * dt / 2);
			k->pyy += q2 * dt;
		}
}

/*
 * The fit is about the blurred offset; the states follow by regression on it.
 */
static void kalman_regress(struct ffe_kalman *k, double blur,
			   const struct ffe_fit *fit)
{
	double v = k->pxx + blur, gx = k->pxx / v, gy = k->pxy / v;
	double move = fit->mean - k->x, rest = k->pyy - gy * k->pxy;

	k->x += gx * move;
	k->y += gy * move;
	/* P - g g' (v - var), in the form whose terms are all positive */
	k->pxx = k->pxx * (blur / v) + gx * gx * fit->var;
	k->pxy = k->pxy * (blur / v) + gx * gy * fit->var;
	k->pyy = fmax(rest, 0) + gy * gy * fit->var;
	/* rounding must not make the two more than fully correlated */
	k->pyy = fmax(k->pyy, k->pxy * k->pxy / k->pxx * (1 + 1e-9));
}

/**
 * ffe_bank_update - let every belief meet an exchange
 * @bank: filters, predicted to the exchange
 * @box: the exchange
 * @fit: result for the bank as a whole; the delays' part as the edges see it
 *
 * An exchange that met a queue or another route (@box->far) judges the
 * hypotheses only by whether they are possible: such exchanges come in runs
 * and are not independent witnesses, and twenty of them together would rather
 * believe in an oscillator gone wild than in twenty delays.
 */
void ffe_bank_update(struct ffe_bank *bank, const struct ffe_box *box,
		     struct ffe_fit *fit)
{
	struct ffe_fit one[FFE_NOISES][FFE_BANK];
	double edges = 0;
	int n, i, d;

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++) {
			struct ffe_kalman *k = &bank->k[n][i];

			if (n == FFE_EDGES || box->far)
				ffe_box_fit(box, k->x, k->pxx, &one[n][i]);
			else
				ffe_middle_fit(box, k->x, k->pxx, &one[n][i]);
			kalman_regress(k, box->var, &one[n][i]);
			k->logw += box->far ? one[n][i].inside :
					      one[n][i].loglik;
		}
	*fit = (struct ffe_fit){ .loglik = bank_normalise(bank) };

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++)
			fit->mean += exp(bank->k[n][i].logw) * one[n][i].mean;
	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++) {
			double dm = one[n][i].mean - fit->mean;

			fit->var += exp(bank->k[n][i].logw) *
				    (one[n][i].var + dm * dm);
		}
	for (i = 0; i < FFE_BANK; i++)
		edges += exp(bank->k[FFE_EDGES][i].logw);
	for (i = 0; i < FFE_BANK; i++) {
		const struct ffe_fit *o = &one[FFE_EDGES][i];
		double w = exp(bank->k[FFE_EDGES][i].logw) / edges;

		fit->alien += w * o->alien;
		for (d = 0; d < 2; d++) {
			fit->heavy[d] += w * o->heavy[d];
			fit->excess[d] += w * o->excess[d];
			fit->excess_tail[d] += w * o->excess_tail[d];
		}
	}
}

/**
 * ffe_bank_off - can no hypothesis about the oscillator reach a box?
 * @bank: filters, predicted to the exchange
 * @box: the exchange
 *
 * Return: distance of the box from the belief it is nearest to, in that
 * belief's 1 sigma.
 */
double ffe_bank_off(const struct ffe_bank *bank, const struct ffe_box *box)
{
	double least = INFINITY;
	int n, i;

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++) {
			const struct ffe_kalman *k = &bank->k[n][i];
			double off = fmax(box->lo - k->x, k->x - box->hi);

			least = fmin(least, off / sqrt(k->pxx + box->var));
		}
	return fmax(least, 0);
}

/**
 * ffe_bank_shift - the reference map moved
 * @bank: filters
 * @dx: added to every offset [ns]
 */
void ffe_bank_shift(struct ffe_bank *bank, double dx)
{
	int n, i;

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++)
			bank->k[n][i].x += dx;
}

/**
 * ffe_bank_widen - less is known than before
 * @bank: filters
 * @pxx: added to the offset's variance [ns^2]
 * @pyy: added to the rate's variance [ns^2/s^2]
 */
void ffe_bank_widen(struct ffe_bank *bank, double pxx, double pyy)
{
	int n, i;

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++) {
			bank->k[n][i].pxx += pxx;
			bank->k[n][i].pyy += pyy;
		}
}

/**
 * ffe_bank_collapse - the bank as one Gaussian
 * @bank: filters
 * @out: moments of the mixture
 */
void ffe_bank_collapse(const struct ffe_bank *bank, struct ffe_belief *out)
{
	const struct ffe_kalman *in[FFE_NOISES * FFE_BANK];
	double w[FFE_NOISES * FFE_BANK], q2 = 0;
	struct ffe_kalman k;
	int n, i, m = 0;

	for (n = 0; n < FFE_NOISES; n++)
		for (i = 0; i < FFE_BANK; i++) {
			in[m] = &bank->k[n][i];
			w[m] = exp(bank->k[n][i].logw);
			q2 += w[m++] * wander_of[i] * wander_of[i];
		}
	kalman_merge(&k, in, w, m);
	*out = (struct ffe_belief){
		.x = k.x, .y = k.y, .pxx = k.pxx, .pxy = k.pxy, .pyy = k.pyy,
		.q2 = q2,
	};
}

/**
 * ffe_belief_pxx - how the offset's variance grows without stamps
 * @b: belief
 * @dt: time since then [s]
 *
 * Return: variance of the offset @dt later [ns^2].
 */
double ffe_belief_pxx(const struct ffe_belief *b, double dt)
{
	return b->pxx + dt * (2 * b->pxy + dt * (b->pyy + b->q2 * dt / 3)) +
	       WHITE_FM * WHITE_FM * dt;
}
