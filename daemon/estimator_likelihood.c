// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one exchange says about the offset.
 *
 * A packet is never faster than its route, so the request's excess delay
 * e0 = hi - z and the answer's e1 = z - lo are both >= 0, where z is the
 * offset (blurred by stamping noise).  Each excess is exponential: short for
 * a packet that found empty queues, long (probability eps) for one that did
 * not.  As a function of z the product of two exponentials is
 *
 *	exp(-(hi - z)/T0) * exp(-(z - lo)/T1)	on [lo, hi], else 0
 *
 * that is a box, tilted when the two directions differ.  A Gaussian belief
 * times a tilted box is a shifted Gaussian kept inside [lo, hi], so all
 * moments are closed forms of the error function.
 *
 * The gain over a Gaussian with a variance that grows with the excess: a
 * request that waited 10 ms in a queue still tells exactly how far the offset
 * may go the other way, so one congested direction costs little; and the
 * edges of many boxes narrow the offset with 1/n, not 1/sqrt(n).
 */
#include <math.h>

#include "estimator_internal.h"

/*
 * Log probability, relative to a normal exchange, of one that says nothing:
 * a route change not yet noticed, a jump, a wrong stamp.  1e-6 is once in
 * 190 days at 16 s; it stands for 5 sigma, so nothing ordinary ends here.
 */
#define ALIEN_LOG	(-13.8)

#define SQRT1_2		0.70710678118654752440
#define SQRT_PI_2	1.25331413731550025121	/* sqrt(pi / 2) */
#define LOG_SQRT_2PI	0.91893853320467274178	/* log(sqrt(2 pi)) */

/*
 * Mills' ratio: upper tail of the standard normal over its density, x >= 0.
 * erfc() is exact to a few ulp and exp(x * x / 2) to x * x ulp up to 8;
 * beyond that the continued fraction needs few terms (20 give 1e-16 at 8).
 */
static double mills(double x)
{
	double f = x;
	int i;

	if (x < 8)
		return erfc(x * SQRT1_2) * exp(x * x / 2) * SQRT_PI_2;

	for (i = 20; i > 0; i--)
		f = x + i / f;
	return 1 / f;
}

/*
 * Density proportional to exp(-slope * u) on [0, width]: what is left of a
 * Gaussian over a short interval or far in its tail.
 */
static void tilted(double slope, double width, double *logz, double *mean,
		   double *var)
{
	double h = slope * width;

	if (fabs(h) < 1e-3) {
		/* series: the closed forms below lose h^2 by cancellation */
		*logz = log(width) - h / 2 + h * h / 24;
		*mean = width * (0.5 - h / 12);
		*var = width * width / 12 * (1 - h * h / 20);
		return;
	}
	if (h > 0) {
		double e = exp(-h), d = -expm1(-h);

		*logz = log(d / slope);
		*mean = 1 / slope - width * e / d;
		*var = 1 / (slope * slope) - width * width * e / (d * d);
	} else {
		tilted(-slope, width, logz, mean, var);
		*logz -= h;
		*mean = width - *mean;
	}
}

/**
 * ffe_truncated - moments of a standard normal variable kept inside [a, b]
 * @a: lower end
 * @b: upper end, >= @a
 * @logz: log of the probability of [a, b]
 * @mean: mean inside
 * @var: variance inside
 */
void ffe_truncated(double a, double b, double *logz, double *mean, double *var)
{
	double ma, mb, e, z;
	bool mirror;

	/* ends that rounding made one */
	b = fmax(b, a + 1e-30 + 1e-12 * fabs(a));
	mirror = a + b < 0;

	if (mirror) {
		double t = -a;

		a = -b;
		b = t;
	}

	/*
	 * Short: the density's curvature over the width w changes the moments
	 * by w^2/24, below 2e-5.  Far: over the 1/a that matters the curvature
	 * is 1/(2 a^2), below 5e-5, while the exact variance would lose a^4
	 * ulp to cancellation.
	 */
	if (b - a < 0.02 || a > 100) {
		double at = b - a < 0.02 ? (a + b) / 2 : a;

		tilted(at, b - a, logz, mean, var);
		/* density at a, or extrapolated to a from the middle */
		*logz -= LOG_SQRT_2PI + at * at / 2 - at * (at - a);
		*mean += a;
	} else if (a >= 0) {
		e = exp(-(b - a) * (b + a) / 2);
		ma = mills(a);
		mb = e > 0 ? mills(b) : 0;
		z = ma - e * mb;
		*logz = log(z) - a * a / 2 - LOG_SQRT_2PI;
		*mean = (1 - e) / z;
		*var = 1 + (a - (e > 0 ? b * e : 0)) / z - *mean * *mean;
	} else {
		/* the interval holds 0: no tail, no cancellation to speak of */
		double pa = exp(-a * a / 2), pb = exp(-b * b / 2);

		z = SQRT_PI_2 * (erf(b * SQRT1_2) + erf(-a * SQRT1_2));
		*logz = log(z) - LOG_SQRT_2PI;
		*mean = (pa - pb) / z;
		*var = 1 + (a * pa - (pb > 0 ? b * pb : 0)) / z - *mean * *mean;
	}

	*var = fmax(*var, 0);
	if (mirror)
		*mean = -*mean;
}

/*
 * Log density of the width r of a box whose excess delays have the means t0
 * and t1: the convolution of two exponentials.
 */
static double log_width(double r, double t0, double t1)
{
	double b = fabs(1 / t0 - 1 / t1), slow = fmax(t0, t1);
	double part = b * r < 1e-9 ? r : -expm1(-b * r) / b;

	return log(part / (t0 * t1)) - r / slow;
}

/**
 * ffe_box_fit - confront a Gaussian belief about the offset with a box
 * @box: the exchange
 * @mean: of the belief [ns]
 * @var: of the belief [ns^2]
 * @fit: result; moments are of the blurred offset, prior variance
 *	@var + box->var
 */
void ffe_box_fit(const struct ffe_box *box, double mean, double var,
		 struct ffe_fit *fit)
{
	double v = var + box->var, s = sqrt(v);
	double lo = box->lo - mean, hi = box->hi - mean;
	double logp[5], m[5], w[5], top, sum = 0, m1 = 0, m2 = 0;
	double logr[4], rtop = -INFINITY, rsum = 0, unused[2];
	int i, j, c;

	/* far off, doubles cannot tell the edges apart; the box has a width */
	hi = fmax(hi, lo + 1e-3 + 1e-12 * fabs(lo));

	/*
	 * Components: bit 0 is the request in a queue, bit 1 the answer.
	 * Component 4 says nothing.  All with the belief's mean taken off.
	 */
	for (c = 0; c < 4; c++) {
		double t0 = c & 1 ? box->tail[0] : box->tau[0];
		double t1 = c & 2 ? box->tail[1] : box->tau[1];
		double p = (c & 1 ? box->eps[0] : 1 - box->eps[0]) *
			   (c & 2 ? box->eps[1] : 1 - box->eps[1]);
		double b = 1 / t0 - 1 / t1, mu = b * v;
		double logz, tm, tv;

		ffe_truncated((lo - mu) / s, (hi - mu) / s, &logz, &tm, &tv);
		logp[c] = log(p / (t0 * t1)) - hi / t0 + lo / t1 +
			  b * mu / 2 + logz;
		logr[c] = log(p) + log_width(hi - lo, t0, t1);
		rtop = fmax(rtop, logr[c]);
		m[c] = mu + s * tm;
		w[c] = v * tv;
	}
	logp[4] = ALIEN_LOG - log(box->tau[0] * box->tau[1]);
	m[4] = 0;
	w[4] = v;

	for (c = 0; c < 4; c++)
		rsum += exp(logr[c] - rtop);
	top = logp[0];
	for (c = 1; c < 5; c++)
		top = fmax(top, logp[c]);
	for (c = 0; c < 5; c++) {
		logp[c] = exp(logp[c] - top);
		sum += logp[c];
	}
	for (c = 0; c < 5; c++) {
		logp[c] /= sum;
		m1 += logp[c] * m[c];
	}
	for (c = 0; c < 5; c++)
		m2 += logp[c] * (w[c] + (m[c] - m1) * (m[c] - m1));

	fit->loglik = top + log(sum) - rtop - log(rsum);
	fit->mean = mean + m1;
	fit->var = m2;
	fit->alien = logp[4];
	ffe_truncated(lo / s, hi / s, &fit->inside, &unused[0],
		      &unused[1]);
	fit->inside = fmax(fit->inside, ALIEN_LOG);
	for (i = 0; i < 2; i++) {
		double pn = 0, pt = 0, en = 0, et = 0;

		for (j = 0; j < 4; j++) {
			double excess = i ? m[j] - lo : hi - m[j];

			if (j & (1 << i)) {
				pt += logp[j];
				et += logp[j] * excess;
			} else {
				pn += logp[j];
				en += logp[j] * excess;
			}
		}
		fit->heavy[i] = pt;
		fit->excess[i] = pn > 0 ? en / pn : 0;
		fit->excess_tail[i] = pt > 0 ? et / pt : 0;
	}
}

/* Part of the middles that lie wider, and how much wider [sigma]. */
#define WIDE_P	0.02
#define WIDE	10.0

/**
 * ffe_middle_fit - confront a Gaussian belief about the offset with a middle
 * @box: the exchange; only its middle, its blur and @box->mid_var matter
 * @mean: of the belief [ns]
 * @var: of the belief [ns^2]
 * @fit: result, as ffe_box_fit() gives it; without what only a box can tell
 *
 * On some paths no packet ever travels unhindered (a busy host at either end,
 * jitter buffers); the edges then are far out and the middle says more.
 */
void ffe_middle_fit(const struct ffe_box *box, double mean, double var,
		    struct ffe_fit *fit)
{
	double v = var + box->var, d = (box->lo + box->hi) / 2 - mean;
	double logp[2], m[2], w[2], top, sum, m1;
	int c;

	for (c = 0; c < 2; c++) {
		double noise = box->mid_var * (c ? WIDE * WIDE : 1);
		double all = v + noise;

		logp[c] = log(c ? WIDE_P : 1 - WIDE_P) - d * d / all / 2 -
			  log(all) / 2 - LOG_SQRT_2PI;
		m[c] = v / all * d;
		w[c] = v / all * noise;
	}
	top = fmax(logp[0], logp[1]);
	sum = exp(logp[0] - top) + exp(logp[1] - top);
	for (c = 0; c < 2; c++)
		logp[c] = exp(logp[c] - top) / sum;
	m1 = logp[0] * m[0] + logp[1] * m[1];

	*fit = (struct ffe_fit){ .loglik = top + log(sum) };
	fit->mean = mean + m1;
	for (c = 0; c < 2; c++)
		fit->var += logp[c] * (w[c] + (m[c] - m1) * (m[c] - m1));
}
