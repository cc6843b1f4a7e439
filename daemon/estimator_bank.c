// SPDX-License-Identifier: GPL-2.0-only
/*
 * The oscillator: a bank of two-state filters, one for each wander.
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
 * (a fan, a load) is noticed after log(16 s / 4 h) = 7 nats of evidence,
 * while a steady oscillator loses a percent of efficiency.
 */
#define BANK_DWELL	(4 * 3600.0)

/*
 * White frequency noise of a counter, as the offset's own random walk
 * [ns per square root of a second].  0.3 is 3e-10 at 1 s, a usual crystal;
 * only a path that is better than a nanosecond a second notices it.
 */
#define WHITE_FM	0.3

static double wander_of(int i)
{
	/* 0.01 ns/s (1e-11) and up in half decades */
	return 0.01 * pow(10, i / 2.0);
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
	double sum = 0;
	int i;

	for (i = 0; i < FFE_BANK; i++) {
		struct ffe_kalman *k = &bank->k[i];

		k->x = 0;
		k->y = y;
		k->pxx = pxx;
		k->pxy = 0;
		k->pyy = pyy;
		k->logw = wander > 0 ? -4 * fabs(log10(wander_of(i) / wander)) : 0;
		sum += exp(k->logw);
	}
	for (i = 0; i < FFE_BANK; i++)
		bank->k[i].logw -= log(sum);
}

/* Let neighbouring hypotheses exchange weight, and with it their states. */
static void bank_mix(struct ffe_bank *bank, double dt)
{
	double p = -expm1(-dt / BANK_DWELL) / 2;
	struct ffe_kalman old[FFE_BANK];
	int i, j;

	for (i = 0; i < FFE_BANK; i++)
		old[i] = bank->k[i];

	for (i = 0; i < FFE_BANK; i++) {
		struct ffe_kalman *k = &bank->k[i];
		double w[3], sum = 0, x = 0, y = 0;

		for (j = -1; j <= 1; j++) {
			int from = i + j;

			w[j + 1] = 0;
			if (from < 0 || from >= FFE_BANK)
				continue;
			w[j + 1] = exp(old[from].logw) * (j ? p : 1 - 2 * p);
			/* the ends keep what has nowhere to go */
			if (!j && (i == 0 || i == FFE_BANK - 1))
				w[j + 1] = exp(old[from].logw) * (1 - p);
			sum += w[j + 1];
		}
		if (!(sum > 0)) {
			k->logw = -700;
			continue;
		}
		for (j = 0; j < 3; j++) {
			if (!(w[j] > 0))
				continue;
			w[j] /= sum;
			x += w[j] * old[i + j - 1].x;
			y += w[j] * old[i + j - 1].y;
		}
		k->x = x;
		k->y = y;
		k->pxx = k->pxy = k->pyy = 0;
		for (j = 0; j < 3; j++) {
			const struct ffe_kalman *o = &old[i + j - 1];

			if (!(w[j] > 0))
				continue;
			k->pxx += w[j] * (o->pxx + (o->x - x) * (o->x - x));
			k->pxy += w[j] * (o->pxy + (o->x - x) * (o->y - y));
			k->pyy += w[j] * (o->pyy + (o->y - y) * (o->y - y));
		}
		k->logw = fmax(log(sum), -700);
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
	int i;

	bank_mix(bank, dt);
	for (i = 0; i < FFE_BANK; i++) {
		struct ffe_kalman *k = &bank->k[i];
		double q = wander_of(i), q2 = q * q;

		k->x += k->y * dt;
		k->pxx += dt * (2 * k->pxy + dt * (k->pyy + q2 * dt / 3)) +
			  WHITE_FM * WHITE_FM * dt;
		k->pxy += dt * (k->pyy + q2 * dt / 2);
		k->pyy += q2 * dt;
	}
}

/**
 * ffe_bank_update - let every belief meet an exchange
 * @bank: filters, predicted to the exchange
 * @box: the exchange
 * @weigh: let it judge the hypotheses, too.  Not for exchanges that met a
 *	queue or another route: those come in runs and are not independent
 *	witnesses, and twenty of them together would rather believe in an
 *	oscillator gone wild than in twenty delays.
 * @fit: result for the bank as a whole
 */
void ffe_bank_update(struct ffe_bank *bank, const struct ffe_box *box,
		     bool weigh, struct ffe_fit *fit)
{
	struct ffe_fit one[FFE_BANK];
	double top = -INFINITY, sum = 0;
	int i, d;

	for (i = 0; i < FFE_BANK; i++) {
		struct ffe_kalman *k = &bank->k[i];
		double v = k->pxx + box->var, gx = k->pxx / v, gy = k->pxy / v;
		double shrink;

		ffe_box_fit(box, k->x, k->pxx, &one[i]);
		/*
		 * The fit is about the blurred offset; the states follow by
		 * regression on it.  shrink is the variance it lost; negative
		 * when two explanations far apart were both left standing.
		 */
		shrink = v - one[i].var;
		gy *= one[i].mean - k->x;
		gx *= one[i].mean - k->x;
		k->x += gx;
		k->y += gy;
		k->pyy -= k->pxy / v * (k->pxy / v) * shrink;
		k->pxy -= k->pxx / v * (k->pxy / v) * shrink;
		k->pxx -= k->pxx / v * (k->pxx / v) * shrink;
		if (weigh)
			k->logw += one[i].loglik;
		top = fmax(top, k->logw);
	}
	for (i = 0; i < FFE_BANK; i++) {
		bank->k[i].logw -= top;
		sum += exp(bank->k[i].logw);
	}

	*fit = (struct ffe_fit){ .loglik = top + log(sum) };
	for (i = 0; i < FFE_BANK; i++) {
		double w;

		bank->k[i].logw = fmax(bank->k[i].logw - log(sum), -700);
		w = exp(bank->k[i].logw);
		fit->mean += w * one[i].mean;
		fit->alien += w * one[i].alien;
		for (d = 0; d < 2; d++) {
			fit->heavy[d] += w * one[i].heavy[d];
			fit->excess[d] += w * one[i].excess[d];
			fit->excess_tail[d] += w * one[i].excess_tail[d];
		}
	}
	for (i = 0; i < FFE_BANK; i++) {
		double dm = one[i].mean - fit->mean;

		fit->var += exp(bank->k[i].logw) * (one[i].var + dm * dm);
	}
}

/**
 * ffe_bank_shift - the reference map moved
 * @bank: filters
 * @dx: added to every offset [ns]
 */
void ffe_bank_shift(struct ffe_bank *bank, double dx)
{
	int i;

	for (i = 0; i < FFE_BANK; i++)
		bank->k[i].x += dx;
}

/**
 * ffe_bank_widen - less is known than before
 * @bank: filters
 * @pxx: added to the offset's variance [ns^2]
 * @pyy: added to the rate's variance [ns^2/s^2]
 */
void ffe_bank_widen(struct ffe_bank *bank, double pxx, double pyy)
{
	int i;

	for (i = 0; i < FFE_BANK; i++) {
		bank->k[i].pxx += pxx;
		bank->k[i].pyy += pyy;
	}
}

/**
 * ffe_bank_collapse - the bank as one Gaussian
 * @bank: filters
 * @out: moments of the mixture
 */
void ffe_bank_collapse(const struct ffe_bank *bank, struct ffe_belief *out)
{
	int i;

	*out = (struct ffe_belief){ 0 };
	for (i = 0; i < FFE_BANK; i++) {
		const struct ffe_kalman *k = &bank->k[i];
		double w = exp(k->logw), q = wander_of(i);

		out->x += w * k->x;
		out->y += w * k->y;
		out->q2 += w * q * q;
	}
	for (i = 0; i < FFE_BANK; i++) {
		const struct ffe_kalman *k = &bank->k[i];
		double w = exp(k->logw), dx = k->x - out->x, dy = k->y - out->y;

		out->pxx += w * (k->pxx + dx * dx);
		out->pxy += w * (k->pxy + dx * dy);
		out->pyy += w * (k->pyy + dy * dy);
	}
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
