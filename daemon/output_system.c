// SPDX-License-Identifier: GPL-2.0-only
/*
 * The system clock (CLOCK_REALTIME), by adjtimex(2).
 *
 * Feed-forward, too: nothing is tried out.  Marks pair the counter with
 * CLOCK_REALTIME and CLOCK_MONOTONIC_RAW, so both things to be known are measured:
 *
 *	frequency	RAW's period against the counter's true one: what
 *			CLOCK_REALTIME must be given to run at the right rate
 *	offset		UTC by our clock minus CLOCK_REALTIME
 *
 * An offset is taken away by a straight line: a constant addition to the frequency
 * for a span chosen beforehand, corrected once a second by what is left over what
 * remains of the span.
 *
 *	offset |\
 *	       | \____ slope at most slewmax
 *	       |  \
 *	       +---\------> time
 *	           span ends: a new one begins
 *
 * Sign: a positive offset or frequency makes CLOCK_REALTIME go faster.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#include "log.h"
#include "output.h"
#include "system_rivals.h"

#define NSEC		INT64_C(1000000000)
#define TICK_NS		NSEC		/* between corrections */

/* Spans: long enough to be smooth, short enough for an oscillator that wanders */
#define SPAN_MIN_S	2
#define SPAN_MAX_S	16

/* adjtimex: freq in 2^-16 ppm, at most 500 ppm; tick in us per 1/100 s, so 100 ppm each */
#define FREQ_PPM	65536.0
#define FREQ_MAX_PPM	500
#define TICK_NOMINAL	10000
#define TICK_PPM	100

/* The kernel rounds freq to its tick length; what it tells back is what was set */
#define FREQ_SLACK	2

/* Somebody else's changes to forgive: tools for migrations set a frequency once */
#define FOREIGN_MAX	3
#define FOREIGN_NS	(600 * NSEC)

/* RAW's rate is measured over at least this: 20 ns in it are 0.02 ppm */
#define BASE_MIN_NS	(NSEC)

/*
 * A frequency that is handed over goes on for hours, perhaps for ever, and nobody
 * corrects it.  One is good whose largest error is this [ppm]: what a bad crystal
 * wanders in an hour.  Otherwise the one with the smallest: an oscillator that
 * nobody has measured is off by 50 ppm (1 sigma; 3.1 of them are the largest), and
 * how well others have measured what they left is anybody's guess.
 */
#define GOOD_PPM	5
#define UNKNOWN_PPM	155
#define FOUND_PPM	50
#define BOUND_SIGMA	3.1

/* Around a leap second CLOCK_REALTIME and UTC disagree about its name */
#define LEAP_AWAY_NS	(2 * NSEC)

struct output_system {
	struct output		base;
	struct loop		*loop;
	struct counter		*counter;
	struct config_system	cfg;
	struct output_clock	clock;
	struct loop_timer	timer;
	bool			have_first;
	struct counter_mark	first;		/* of this epoch: base line for RAW */
	double			base_ppm;	/* frequency without slew */
	double			good_ppm;	/* the last one to be handed over */
	double			good_err_ppm;	/* its largest error */
	double			slew_ppm;	/* as set now */
	int64_t			span_end;	/* loop_now() [ns] */
	bool			have_set;	/* the two below are what we set */
	long			freq;
	long			tick;
	unsigned int		foreign;
	int64_t			foreign_ns;
	unsigned int		updates;	/* since start or break */
	bool			yielded;	/* to another daemon, for good */
	bool			failed;		/* said that adjtimex fails */
	bool			near;		/* said that it follows */
};

/* adjtimex ---------------------------------------------------------------- */

static bool adjust(struct output_system *s, struct timex *tx)
{
	if (adjtimex(tx) >= 0) {
		s->failed = false;
		return true;
	}
	if (!s->failed)
		log_err("system clock: adjtimex: %s%s", strerror(errno),
			errno == EPERM ? " (needs CAP_SYS_TIME)" : "");
	s->failed = true;
	return false;
}

/* Give CLOCK_REALTIME a frequency: what 500 ppm do not hold goes into the tick */
static void set_frequency(struct output_system *s, double ppm, struct timex *tx)
{
	long tick = TICK_NOMINAL;

	if (fabs(ppm) > FREQ_MAX_PPM) {
		tick += lround(ppm / TICK_PPM);
		ppm -= (double)(tick - TICK_NOMINAL) * TICK_PPM;
	}
	tx->modes |= ADJ_FREQUENCY | ADJ_TICK;
	tx->freq = lround(ppm * FREQ_PPM);
	tx->tick = tick;
	if (!adjust(s, tx))
		return;
	s->freq = tx->freq;
	s->tick = tx->tick;
	s->have_set = true;
}

/* Is the frequency still ours?  If others keep changing it, leave it to them */
static bool still_ours(struct output_system *s)
{
	struct timex tx = { 0 };
	char who[64];

	if (!s->have_set || !adjust(s, &tx))
		return true;
	if (labs(tx.freq - s->freq) <= FREQ_SLACK && tx.tick == s->tick && !tx.offset)
		return true;
	if (loop_now() - s->foreign_ns > FOREIGN_NS)
		s->foreign = 0;
	s->foreign_ns = loop_now();
	s->have_set = false;
	if (++s->foreign < FOREIGN_MAX && !system_rival(who, sizeof(who))) {
		log_warn("system clock: somebody changed its frequency from %.3f to %.3f ppm; "
			 "setting it again", (double)s->freq / FREQ_PPM,
			 (double)tx.freq / FREQ_PPM);
		return true;
	}
	s->yielded = true;
	log_err("system clock: %s adjusts it as well; leaving it alone from now on (stop one of "
		"the two and restart ffclockd)", system_rival(who, sizeof(who)) ? who :
		"another program");
	return false;
}

/* Control ----------------------------------------------------------------- */

/* Is the frequency one to hand over?  @raw_err: of RAW's measured rate */
static void judge_frequency(struct output_system *s, double raw_err)
{
	const struct ffe_map *map = &s->clock.u.map;
	double err = fmax(BOUND_SIGMA * map->rate_est, map->rate_bound) + raw_err;

	/* in doubt, or running on by itself: that is nothing new */
	if (map->status != FFE_SYNC && map->status != FFE_WARMUP)
		return;
	if (!(err * 1e6 <= fmax(GOOD_PPM, s->good_err_ppm)))
		return;
	s->good_ppm = s->base_ppm;
	s->good_err_ppm = err * 1e6;
}

/* No slew any more, and a frequency that can be left alone */
static void hand_over(struct output_system *s)
{
	struct timex tx = { 0 };

	s->slew_ppm = 0;
	set_frequency(s, s->good_ppm, &tx);
}

/* RAW's period over the true one, less 1, in ppm; as it was while there is no base line */
static void measure_base(struct output_system *s, const struct counter_mark *m)
{
	double raw, ppm;

	if (!s->have_first || s->first.epoch != m->epoch) {
		s->first = *m;
		s->have_first = true;
		return;
	}
	if (m->raw_ns - s->first.raw_ns < BASE_MIN_NS)
		return;
	raw = (double)(m->raw_ns - s->first.raw_ns) / (double)(m->value - s->first.value);
	ppm = (s->clock.u.map.period_ns / raw - 1) * 1e6;
	if (fabs(ppm) >= 5000)
		return;
	s->base_ppm = ppm;
	judge_frequency(s, (double)(s->first.err_ns + m->err_ns) /
			(double)(m->raw_ns - s->first.raw_ns));
}

/* Set it.  Return: whether it was */
static bool step(struct output_system *s, int64_t offset, double bound)
{
	struct timex tx = { .modes = ADJ_SETOFFSET | ADJ_NANO };

	tx.time.tv_sec = offset / NSEC;
	tx.time.tv_usec = offset % NSEC;
	/* the kernel wants a fraction that counts upwards */
	if (tx.time.tv_usec < 0) {
		tx.time.tv_sec--;
		tx.time.tv_usec += NSEC;
	}
	if (!adjust(s, &tx))
		return false;
	log_warn("system clock: stepped by %+.9f s (bound %.9f s)", (double)offset * 1e-9,
		 bound * 1e-9);
	return true;
}

static int status_bits(const struct output_system *s, int64_t utc)
{
	int leap = output_leap(&s->clock, utc);
	int bits = leap == 1 ? STA_INS : leap == 2 ? STA_DEL : 0;

	/* in warm-up the bound says how good it is; in doubt likewise */
	return s->clock.u.map.status == FFE_UNSYNC ? bits | STA_UNSYNC : bits;
}

static bool near_leap(const struct output_system *s, int64_t utc)
{
	return s->clock.u.leap_change &&
	       llabs(utc - s->clock.u.leap_utc_sec * NSEC) < LEAP_AWAY_NS;
}

/* Offset of CLOCK_REALTIME now, and what to do about it */
static void control(struct output_system *s)
{
	struct timex tx = { 0 };
	struct counter_mark m;
	int64_t utc, offset, left;
	double bound, span;

	if (counter_mark(s->counter, &m) || output_now(&s->clock, &m, &utc, &bound) ||
	    near_leap(s, utc))
		return;
	measure_base(s, &m);
	offset = utc - m.realtime_ns;
	bound += m.err_ns;
	if (llabs(offset) > (int64_t)(s->cfg.step_s * 1e9) && (double)llabs(offset) > bound &&
	    (s->cfg.step_updates < 0 || s->updates <= (unsigned int)s->cfg.step_updates) &&
	    step(s, offset, bound)) {
		/* what it took is left, and is slewed */
		if (counter_mark(s->counter, &m) || output_now(&s->clock, &m, &utc, NULL))
			return;
		offset = utc - m.realtime_ns;
	}
	left = s->span_end - loop_now();
	if (left < TICK_NS / 2) {
		span = fmin(fmax(s->clock.u.next_s, SPAN_MIN_S), SPAN_MAX_S);
		/* what the slew cannot do in it takes longer, in one line */
		span = fmax(span, fabs((double)offset) * 1e-3 / s->cfg.slew_ppm);
		s->span_end = loop_now() + (int64_t)(span * 1e9);
	} else {
		span = fmax((double)left * 1e-9, 1);
	}
	s->slew_ppm = (double)offset * 1e-3 / span;
	s->slew_ppm = fmax(-s->cfg.slew_ppm, fmin(s->cfg.slew_ppm, s->slew_ppm));

	tx.modes = ADJ_MAXERROR | ADJ_ESTERROR | ADJ_STATUS;
	tx.maxerror = (long)fmin(ceil((bound + (double)llabs(offset)) * 1e-3), 16e6);
	tx.esterror = (long)fmin(ceil((s->clock.u.map.est_error_ns + (double)llabs(offset)) * 1e-3),
				 16e6);
	tx.status = status_bits(s, utc);
	if (s->clock.u.tai_offset) {
		tx.modes |= ADJ_TAI;
		tx.constant = s->clock.u.tai_offset;
	}
	set_frequency(s, s->base_ppm + s->slew_ppm, &tx);
	log_debug("system clock: offset %+" PRId64 " ns, frequency %+.4f ppm, slew %+.4f ppm for "
		  "%.1f s", offset, s->base_ppm, s->slew_ppm, span);
	if (!s->near && (double)llabs(offset) < fmax(bound, 1e4)) {
		s->near = true;
		log_notice("system clock: follows ours (offset %+.3f us, frequency %+.3f ppm)",
			   (double)offset * 1e-3, s->base_ppm);
	}
}

static void on_timer(void *arg)
{
	struct output_system *s = arg;

	if (s->yielded)
		return;
	loop_timer_set(s->loop, &s->timer, TICK_NS);
	if (s->clock.have && still_ours(s))
		control(s);
}

/* Output ------------------------------------------------------------------ */

static int system_update(struct output *o, const struct output_update *u)
{
	struct output_system *s = (struct output_system *)o;

	if (s->yielded)
		return 0;
	s->clock.u = *u;
	s->clock.have = true;
	s->updates++;
	if (still_ours(s))
		control(s);
	if (!s->timer.armed)
		loop_timer_set(s->loop, &s->timer, TICK_NS);
	return 0;
}

/*
 * No slew of the old clock goes on.  After a migration the frequency was another
 * oscillator's: zero is as good as any until this one is known.
 */
static void system_broke(struct output *o, bool migration)
{
	struct output_system *s = (struct output_system *)o;

	s->clock.have = false;
	s->have_first = false;
	s->updates = 0;
	s->span_end = 0;
	s->near = false;
	if (s->yielded)
		return;
	if (migration) {
		s->good_ppm = 0;
		s->good_err_ppm = UNKNOWN_PPM;
	}
	s->base_ppm = s->good_ppm;
	hand_over(s);
	log_notice("system clock: frequency %s%.3f ppm until there is a clock again",
		   migration ? "of the old host dropped: " : "kept at ", s->good_ppm);
}

static int system_reload(struct output *o, const struct config *cfg)
{
	struct output_system *s = (struct output_system *)o;

	s->cfg = cfg->system;
	return 0;
}

/*
 * Whoever comes next gets a clock that keeps pace, without a slew.  Soon after a
 * jump the frequency in force may be off by hundreds of ppm: it is part of a clock
 * whose bound says so, but nothing to be left alone with.
 */
static void system_destroy(struct output *o)
{
	struct output_system *s = (struct output_system *)o;

	loop_timer_cancel(s->loop, &s->timer);
	if (!s->yielded && s->have_set && still_ours(s)) {
		hand_over(s);
		log_notice("system clock: left with frequency %+.3f ppm%s", s->good_ppm,
			   s->good_ppm == s->base_ppm ? "" :
			   ", the last that was known better");
	}
	free(s);
}

static const struct output_ops system_ops = {
	.name		= "system",
	.update		= system_update,
	.broke		= system_broke,
	.reload		= system_reload,
	.destroy	= system_destroy,
};

struct output *output_system_new(const struct config *cfg, struct counter *counter,
				 struct loop *loop)
{
	struct output_system *s = calloc(1, sizeof(*s));
	/* an offset that the kernel's PLL has left would go on: only the PLL takes a new one */
	struct timex tx = { .modes = ADJ_STATUS | ADJ_OFFSET | ADJ_NANO, .status = STA_PLL | STA_UNSYNC };
	struct timex off = { .modes = ADJ_STATUS, .status = STA_UNSYNC };
	char who[64];

	if (!s) {
		log_err("out of memory");
		return NULL;
	}
	s->base.ops = &system_ops;
	s->loop = loop;
	s->counter = counter;
	s->cfg = cfg->system;
	s->timer = (struct loop_timer){ .cb = on_timer, .arg = s };
	if (system_rival(who, sizeof(who))) {
		log_err("system clock: %s runs and adjusts it: stop and disable it, or set "
			"'systemclock no'", who);
		goto fail;
	}
	if (!adjust(s, &tx) || !adjust(s, &off))
		goto fail;
	/* what the last daemon left is the best guess, until there is a better one */
	tx = (struct timex){ 0 };
	if (adjust(s, &tx))
		s->base_ppm = (double)tx.freq / FREQ_PPM +
			      (double)(tx.tick - TICK_NOMINAL) * TICK_PPM;
	s->good_ppm = s->base_ppm;
	s->good_err_ppm = s->good_ppm ? FOUND_PPM : UNKNOWN_PPM;
	s->have_first = !counter_mark(counter, &s->first);
	return &s->base;

fail:
	free(s);
	return NULL;
}
