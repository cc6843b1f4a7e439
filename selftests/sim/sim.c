// SPDX-License-Identifier: GPL-2.0-only
/* Oscillator, path and server of the simulator; see sim.h. */
#include <math.h>
#include <string.h>

#include "sim.h"

/* ---- random numbers: xoshiro256** seeded by splitmix64 ---- */

static uint64_t rotl(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static uint64_t rng_next(struct sim *s)
{
	uint64_t *r = s->rng, out = rotl(r[1] * 5, 7) * 9, t = r[1] << 17;

	r[2] ^= r[0];
	r[3] ^= r[1];
	r[1] ^= r[2];
	r[0] ^= r[3];
	r[2] ^= t;
	r[3] = rotl(r[3], 45);
	return out;
}

/* Uniform in (0, 1). */
static double uniform(struct sim *s)
{
	return ((double)(rng_next(s) >> 11) + 0.5) * 0x1p-53;
}

static double normal(struct sim *s)
{
	double r, a;

	if (s->have_spare) {
		s->have_spare = false;
		return s->spare;
	}
	r = sqrt(-2 * log(uniform(s)));
	a = 2 * M_PI * uniform(s);
	s->spare = r * sin(a);
	s->have_spare = true;
	return r * cos(a);
}

static double exponential(struct sim *s, double mean)
{
	return -mean * log(uniform(s));
}

/* ---- events ---- */

/* Is the event on at time t?  Repeating ones by their last start. */
static bool event_on(const struct sim_event *e, double t)
{
	double from = e->from;

	if (e->every > 0 && t > from)
		from += floor((t - from) / e->every) * e->every;
	return t >= from && t < from + (e->to - e->from);
}

static double event_sum(const struct sim *s, enum sim_kind kind, bool second)
{
	const struct sim_event *e;
	double sum = 0;

	for (e = s->sc->events; e && e->kind; e++)
		if (e->kind == kind && event_on(e, s->t))
			sum += second ? e->b : e->a;
	return sum;
}

/* Time the counter loses by a SIM_LOSE event takes [s]. */
#define LOSE_SPAN	2.0

/* Rate imposed by events at time t [ns/s]. */
static double event_rate(const struct sim *s, double t)
{
	const struct sim_event *e;
	double rate = 0;

	for (e = s->sc->events; e && e->kind; e++) {
		if (e->kind == SIM_RATE && t >= e->from)
			rate += e->a * 1e3;
		if (e->kind == SIM_LOSE && t >= e->from && t < e->from + LOSE_SPAN)
			rate -= e->a / LOSE_SPAN;
	}
	return rate;
}

/* Next instant after t at which event_rate() changes. */
static double event_edge(const struct sim *s, double t)
{
	const struct sim_event *e;
	double edge = INFINITY;

	for (e = s->sc->events; e && e->kind; e++) {
		if (e->kind != SIM_RATE && e->kind != SIM_LOSE)
			continue;
		if (e->from > t)
			edge = fmin(edge, e->from);
		if (e->kind == SIM_LOSE && e->from + LOSE_SPAN > t)
			edge = fmin(edge, e->from + LOSE_SPAN);
	}
	return edge;
}

/* ---- oscillator ---- */

static double temp_phase(const struct sim *s, double t)
{
	const struct sim_scenario *sc = s->sc;

	if (!(sc->temp_s > 0))
		return 0;
	return -sc->temp_ppm * 1e3 * sc->temp_s / (2 * M_PI) *
	       cos(2 * M_PI * t / sc->temp_s);
}

/* One step without an edge of event_rate() inside. */
static void osc_step(struct sim *s, double dt)
{
	const struct sim_scenario *sc = s->sc;
	double q = sc->wander * 1e9, rate = sc->skew_ppm * 1e3 + event_rate(s, s->t);
	double n1 = normal(s), n2 = normal(s);
	int i;

	/* exact joint increments of an integrated random walk */
	s->x += s->y * dt + q * dt * sqrt(dt) * (n1 / 2 + n2 / sqrt(12));
	s->y += q * sqrt(dt) * n1;

	s->x += rate * dt + temp_phase(s, s->t + dt) - temp_phase(s, s->t);

	if (sc->flicker > 0)
		for (i = 0; i < SIM_FLICKER; i++) {
			double keep = exp(-dt / pow(10, i + 1));
			double old = s->ou[i];

			/* equal variance per decade: flicker */
			s->ou[i] = keep * old + sqrt(1 - keep * keep) *
				   sc->flicker * 1e9 * normal(s);
			s->x += dt * (old + s->ou[i]) / 2;
		}
	s->t += dt;
}

static void osc_to(struct sim *s, double t)
{
	while (s->t < t) {
		double edge = event_edge(s, s->t), next = fmin(t, edge);

		/* flicker's fastest component relaxes in 10 s */
		if (s->sc->flicker > 0)
			next = fmin(next, s->t + 4);
		osc_step(s, next - s->t);
		/* no rounding may leave us short of an edge for ever */
		s->t = next;
	}
}

static uint64_t counter(struct sim *s, double blur_ns)
{
	double ns = s->t * 1e9 + s->x + blur_ns, counts = ns / s->sc->period_ns;

	return s->raw0 + (uint64_t)(int64_t)floor(counts);
}

/* ---- path ---- */

static double delay_us(struct sim *s, int dir)
{
	const struct sim_scenario *sc = s->sc;
	enum sim_kind queue = dir ? SIM_QUEUE_BACK : SIM_QUEUE;
	double q = sc->queue_us[dir], d = sc->base_us[dir], mean;

	switch (sc->delay) {
	case SIM_EXP:
		d += exponential(s, q);
		break;
	case SIM_GAMMA2:
		d += exponential(s, q) + exponential(s, q);
		break;
	case SIM_LOGNORMAL:
		d += q * exp(normal(s));
		break;
	case SIM_PARETO:
		d += q * (pow(uniform(s), -1 / 1.5) - 1);
		break;
	case SIM_GAUSS:
		d += fmax(q * (8 + normal(s)), 0);
		break;
	}
	if (sc->spike_p > 0 && uniform(s) < sc->spike_p)
		d += sc->spike_lo_us + uniform(s) * (sc->spike_hi_us - sc->spike_lo_us);
	d += event_sum(s, SIM_ROUTE, dir);
	mean = event_sum(s, queue, true);
	if (mean > 0)
		d += event_sum(s, queue, false) + exponential(s, mean);
	return d;
}

void sim_start(struct sim *s, const struct sim_scenario *sc, uint64_t seed)
{
	uint64_t z = seed;
	int i;

	memset(s, 0, sizeof(*s));
	s->sc = sc;
	for (i = 0; i < 4; i++) {
		uint64_t v = z += UINT64_C(0x9e3779b97f4a7c15);

		v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
		s->rng[i] = v ^ v >> 31;
	}
	/* anything, far from 0 and from wrapping */
	s->raw0 = rng_next(s) >> 8;
	for (i = 0; i < SIM_FLICKER; i++)
		s->ou[i] = sc->flicker * 1e9 * normal(s);
}

/* Whole ns since the Unix epoch of t, with the server's own noise. */
static int64_t server_stamp(struct sim *s)
{
	double ns = s->t * 1e9 + 20 * normal(s) +
		    event_sum(s, SIM_SERVER, false) * 1e3;

	return SIM_EPOCH + (int64_t)floor(ns);
}

/* Wrong stamps: hostile ones, and a request stamped after it left. */
static void stamp_spoil(struct sim *s, struct ffe_stamp *stamp)
{
	double late = event_sum(s, SIM_SHORT, true) * 1e3 / s->sc->period_ns;

	if (uniform(s) < event_sum(s, SIM_SHORT, false))
		stamp->ta += (uint64_t)(late * uniform(s));
	if (uniform(s) < event_sum(s, SIM_GARBAGE, false)) {
		/* half of them plausible in parts */
		if (rng_next(s) & 1)
			stamp->ta = rng_next(s);
		stamp->tb = rng_next(s) & 1 ? (int64_t)rng_next(s) :
			    stamp->tb + (int64_t)(rng_next(s) >> 20);
		stamp->te = rng_next(s) & 1 ? (int64_t)rng_next(s) :
			    stamp->tb + 1000;
		stamp->root_delay_ns = (uint32_t)rng_next(s);
		stamp->precision = (int8_t)rng_next(s);
	}
}

bool sim_next(struct sim *s, struct sim_out *out)
{
	const struct sim_scenario *sc = s->sc;
	const struct sim_event *e;
	double before = s->t;
	bool lost;

	memset(out, 0, sizeof(*out));
	/* the client's timer: a little late, never early */
	osc_to(s, before + sc->poll_s + exponential(s, 1e-4));
	if (s->t > sc->length_h * 3600)
		return false;

	for (e = sc->events; e && e->kind; e++)
		if (e->kind == SIM_TOLD && e->from > before && e->from <= s->t)
			out->told = true;
	lost = event_sum(s, SIM_OUTAGE, false) > 0 ||
	       (sc->loss_p > 0 && uniform(s) < sc->loss_p);

	out->true_ta_s = s->t;
	out->stamp.ta = counter(s, sc->read_ns * normal(s));
	osc_to(s, s->t + delay_us(s, 0) * 1e-6);
	out->stamp.tb = server_stamp(s);
	osc_to(s, s->t + exponential(s, 100e-9));
	out->stamp.te = server_stamp(s);
	osc_to(s, s->t + delay_us(s, 1) * 1e-6);
	if (sc->wake_us > 0)
		osc_to(s, s->t + exponential(s, sc->wake_us) * 1e-6);
	out->true_tf_s = s->t;
	out->stamp.tf = counter(s, sc->read_ns * normal(s));
	out->tf = counter(s, 0);
	out->stamp.stratum = 1;
	out->stamp.precision = -24;
	out->rate = s->y + sc->skew_ppm * 1e3 + event_rate(s, s->t);
	if (sc->temp_s > 0)
		out->rate += sc->temp_ppm * 1e3 * sin(2 * M_PI * s->t / sc->temp_s);
	out->answered = !lost;
	stamp_spoil(s, &out->stamp);
	return true;
}
