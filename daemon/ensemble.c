// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several sources, one clock: see ensemble.h.
 *
 * Time scales.  A member's estimator runs on a continuous scale of its own
 * (leap.h): its UTC plus the leap seconds it has applied since it began.  The
 * clock of all runs on such a scale too, UTC plus what a majority has applied.
 * Around a leap second members resolve theirs at their first stamp after it,
 * one by one; common() says what a member's time means to all.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "combine.h"
#include "ensemble.h"
#include "select.h"

#define NSEC	1000000000LL

/* A clock worse than this cannot say on which side of a leap second it is */
#define LEAP_CLOCK_NS	(0.4 * NSEC)

/* The leader remains it while it has that part of the best one's weight */
#define LEADER_KEEP	0.5

/* What a member has made of the leap second that is pending for all */
enum resolved {
	RES_OPEN,	/* its time has not come, or no stamp since */
	RES_DONE,	/* applied */
	RES_NOT_DONE,	/* let pass */
	RES_AFTER,	/* nothing: it joined after it */
};

/**
 * struct member - a source
 * @ffe: its estimator
 * @cfg: as given, without prior
 * @vote: what it announces
 * @leap: what it is expected to do, and has done
 * @resolved: see &enum resolved
 * @reachable: answers
 * @jumped: its estimator gave up its clock for another since the last update
 * @in: part of the clock since the last update
 * @state: for people
 * @weight: in the clock
 * @have_old: @old is valid
 * @old: its clock as of the last update, on its scale
 * @now: its clock at the update under way
 */
struct member {
	struct ffe		*ffe;
	struct ens_source	cfg;
	struct leap		vote;
	struct leap		leap;
	enum resolved		resolved;
	bool			reachable;
	bool			jumped;
	bool			in;
	enum ens_state		state;
	double			weight;
	bool			have_old;
	struct ffe_map		old;
	struct ffe_map		now;
};

/**
 * struct ensemble - all
 * @cfg: as given; the period follows restarts
 * @m: members
 * @n: how many
 * @leap: pending for all, and what was applied by all
 * @leap_done: what became of the last one, for members that have not met it
 * @running: @last is a clock
 * @last: of the last update; its map is on the common scale
 * @have_first: @first is valid
 * @first: reading of the first stamp since (re)start
 * @held: the clock runs on by itself
 * @held_map: it, then
 * @cover_ns: while sources disagree, what the bound told must be at least [ns];
 *	not part of @last, which is what they are judged by
 */
struct ensemble {
	struct ens_config	cfg;
	struct member		m[ENSEMBLE_MAX];
	unsigned int		n;
	struct leap		leap;
	bool			leap_done;
	bool			running;
	struct ens_clock	last;
	bool			have_first;
	uint64_t		first;
	bool			held;
	struct ffe_map		held_map;
	double			cover_ns;
};

/* Set-up ------------------------------------------------------------------ */

struct ensemble *ens_new(const struct ens_config *cfg)
{
	struct ensemble *e;

	if (!(cfg->nominal_period_ns > 0) || !(cfg->max_distance_ns > 0)) {
		errno = EINVAL;
		return NULL;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->cfg = *cfg;
	if (!e->cfg.min_sources)
		e->cfg.min_sources = 1;
	return e;
}

void ens_free(struct ensemble *e)
{
	unsigned int i;

	if (!e)
		return;
	for (i = 0; i < e->n; i++)
		free(e->m[i].ffe);
	free(e);
}

int ens_add(struct ensemble *e, const struct ens_source *s)
{
	struct ffe_config fc = {
		.nominal_period_ns = e->cfg.nominal_period_ns,
		.poll_min_s = s->poll_min_s,
		.poll_max_s = s->poll_max_s,
		.prior = s->prior,
	};
	struct member *m = &e->m[e->n];
	int err;

	if (e->n == ENSEMBLE_MAX)
		return -ENOSPC;
	m->ffe = calloc(1, ffe_size());
	if (!m->ffe)
		return -ENOMEM;
	err = ffe_init(m->ffe, &fc);
	if (err) {
		free(m->ffe);
		m->ffe = NULL;
		return err;
	}
	m->cfg = *s;
	m->cfg.prior = NULL;
	m->reachable = true;
	return (int)e->n++;
}

void ens_set_reachable(struct ensemble *e, unsigned int i, bool reachable)
{
	e->m[i].reachable = reachable;
}

void ens_source_moved(struct ensemble *e, unsigned int i)
{
	struct ffe_restart r = { .why = FFE_RESTART_SERVER };

	ffe_restart(e->m[i].ffe, &r);
}

void ens_restart(struct ensemble *e, const struct ffe_restart *why)
{
	unsigned int i;

	if (why->nominal_period_ns > 0)
		e->cfg.nominal_period_ns = why->nominal_period_ns;
	for (i = 0; i < e->n; i++) {
		struct member *m = &e->m[i];

		ffe_restart(m->ffe, why);
		m->have_old = false;
		m->in = false;
		m->state = ENS_NO_CLOCK;
		m->weight = 0;
	}
	e->running = false;
	e->have_first = false;
	e->held = false;
}

/* Time scales ------------------------------------------------------------- */

/* A time of the member's scale on the common one [ns] */
static int64_t common(const struct ensemble *e, const struct member *m, int64_t ns)
{
	int s = e->leap.applied - m->leap.applied;

	if (e->leap.change)
		/* who has not met it is taken to do as told, with all */
		s += m->resolved != RES_OPEN ? e->leap.change : 0;
	else if (m->leap.change)
		s -= e->leap_done ? m->leap.change : 0;
	return ns + s * NSEC;
}

static int64_t to_utc(const struct ensemble *e, int64_t common_ns)
{
	return common_ns - e->leap.applied * NSEC;
}

/* UTC by the clock of all, as if no leap second were pending; a guess without */
static int64_t plain_utc(const struct ensemble *e, uint64_t counter, int64_t guess)
{
	return e->running ? to_utc(e, ffe_map_read(&e->last.map, counter, NULL, NULL)) : guess;
}

/* Leap seconds ------------------------------------------------------------ */

/* Those whose word on leap seconds counts */
static bool has_say(const struct ensemble *e, const struct member *m)
{
	struct ffe_map map;
	unsigned int i;

	if (m->cfg.noselect || m->cfg.numbered || !m->reachable || m->state == ENS_FALSE ||
	    m->state == ENS_UNDECIDED)
		return false;
	ffe_map_at(m->ffe, e->last.map.counter, &map);
	if (map.status == FFE_UNSYNC)
		return false;
	if (m->cfg.trust)
		return true;
	for (i = 0; i < e->n; i++)
		if (e->m[i].cfg.trust && e->m[i].reachable && e->m[i].state > ENS_DISTANT)
			return false;
	return true;
}

static uint32_t count_announcements(struct ensemble *e, int64_t utc_ns)
{
	struct leap next = { 0 };
	unsigned int i, all = 0, plus = 0, minus = 0;

	if (leap_imminent(&e->leap, utc_ns))
		return 0;
	for (i = 0; i < e->n; i++) {
		const struct member *m = &e->m[i];

		if (!has_say(e, m))
			continue;
		all++;
		if (!m->vote.change || leap_imminent(&m->vote, utc_ns))
			continue;
		plus += m->vote.change > 0;
		minus += m->vote.change < 0;
	}
	for (i = 0; i < e->n; i++) {
		const struct leap *v = &e->m[i].vote;

		if ((v->change > 0 && 2 * plus > all) || (v->change < 0 && 2 * minus > all))
			next = *v;
	}
	if (next.change == e->leap.change && (!next.change || next.utc_sec == e->leap.utc_sec))
		return 0;
	leap_await(&e->leap, &next);
	for (i = 0; i < e->n; i++) {
		if (e->m[i].cfg.numbered)
			continue;
		leap_await(&e->m[i].leap, &next);
		e->m[i].resolved = RES_OPEN;
	}
	return ENS_EV_LEAP_ANNOUNCED;
}

static uint32_t count_outcomes(struct ensemble *e)
{
	unsigned int i, all = 0, done = 0, not = 0;

	for (i = 0; i < e->n; i++) {
		const struct member *m = &e->m[i];

		if (!has_say(e, m) || m->resolved == RES_AFTER)
			continue;
		all++;
		done += m->resolved == RES_DONE;
		not += m->resolved == RES_NOT_DONE;
	}
	if (2 * done <= all && 2 * not <= all)
		return 0;
	e->leap_done = 2 * done > all;
	for (i = 0; e->leap_done && i < e->n; i++)
		if (e->m[i].cfg.numbered)
			e->m[i].leap.applied += e->leap.change;
	if (e->leap_done)
		e->leap.applied += e->leap.change;
	e->leap.change = 0;
	e->leap.utc_sec = 0;
	return ENS_EV_LEAP_OVER;
}

/* Times of a stamp onto the member's continuous scale */
static uint32_t remove_leaps(struct ensemble *e, struct member *m, struct ffe_stamp *s)
{
	int64_t predicted = INT64_MIN, tb = s->tb, utc_ns;
	enum leap_outcome outcome;
	struct ffe_map map;
	uint32_t ev = 0;

	/* numbered by the clock of all: on the scale of all, of which it knows nothing itself */
	if (m->cfg.numbered) {
		s->tb += e->leap.applied * NSEC;
		s->te += e->leap.applied * NSEC;
		return 0;
	}
	ffe_map_at(m->ffe, s->tf, &map);
	if (map.status != FFE_UNSYNC && map.bound_ns < LEAP_CLOCK_NS)
		predicted = map.time_ns;
	utc_ns = plain_utc(e, s->tf, s->te);

	/* an announcement is for one month's end */
	if (m->vote.change && s->te >= (m->vote.utc_sec + 60) * NSEC)
		m->vote = (struct leap){ 0 };
	leap_announce(&m->vote, s->leap, s->te);

	if (map.status == FFE_UNSYNC && leap_passed(&e->leap, utc_ns)) {
		/* whatever it did before: its scale begins now */
		m->leap.change = 0;
		m->resolved = RES_AFTER;
	}
	outcome = leap_unfold(&m->leap, tb, predicted, &s->tb);
	/* both stamps of an exchange get the same correction */
	s->te += s->tb - tb;
	if (outcome == LEAP_QUIET)
		return ev;
	ev |= outcome == LEAP_DONE ? ENS_EV_LEAP_DONE : ENS_EV_LEAP_NOT_DONE;
	if (!e->leap.change)
		return ev;	/* the others have met it before */
	m->resolved = outcome == LEAP_DONE ? RES_DONE : RES_NOT_DONE;
	return ev | count_outcomes(e);
}

/* One oscillator: who begins late begins with the rate that the others know */
static void tell_rate(struct ensemble *e, struct member *m)
{
	struct ffe_config fc = {
		.nominal_period_ns = e->cfg.nominal_period_ns,
		.poll_min_s = m->cfg.poll_min_s,
		.poll_max_s = m->cfg.poll_max_s,
	};
	struct ffe_prior prior;
	struct ffe_track t;

	ffe_tracking(m->ffe, &t);
	if (t.stamps || !e->running || ffe_save_prior(e->m[e->last.leader].ffe, &prior))
		return;
	fc.prior = &prior;
	if (ffe_init(m->ffe, &fc)) {
		fc.prior = NULL;
		ffe_init(m->ffe, &fc);	/* took these before */
	}
}

void ens_stamp(struct ensemble *e, unsigned int i, const struct ffe_stamp *s,
	       struct ens_stamp_result *r)
{
	struct member *m = &e->m[i];

	memset(r, 0, sizeof(*r));
	r->used = *s;
	tell_rate(e, m);
	/* hostile times have no calendar; the estimator refuses them by itself */
	if (s->leap != 3 && s->tb >= 0 && s->te >= 0 && s->tb < INT64_MAX - 10 * NSEC &&
	    s->te < INT64_MAX - 10 * NSEC)
		r->leap = remove_leaps(e, m, &r->used);
	r->events = ffe_process(m->ffe, &r->used, &r->map);
	if (!(r->events & FFE_EV_REJECTED))
		/* its first stamp gives it a say */
		r->leap |= count_announcements(e, plain_utc(e, s->tf, s->te));
	if (r->events & (FFE_EV_JUMP | FFE_EV_RESTART))
		m->jumped = true;
	if (!e->have_first && !(r->events & FFE_EV_REJECTED)) {
		e->have_first = true;
		e->first = s->tf;
	}
}

int ens_pace(const struct ensemble *e, unsigned int i, const struct ens_stamp_result *r,
	     double interval_s)
{
	struct ffe_track t;

	ffe_tracking(e->m[i].ffe, &t);
	/* a rate that is not known yet says nothing of the oscillator's wander */
	if (r->map.status != FFE_SYNC || t.rate_sigma > FFE_RATE_KNOWN ||
	    t.window_s < ENS_WINDOW_STAMPS * interval_s)
		return -1;
	return t.window_s >= ENS_WINDOW_STAMPS * 2 * interval_s;
}

/* The update -------------------------------------------------------------- */

static double age_s(const struct ensemble *e, uint64_t from, uint64_t to)
{
	return (double)(int64_t)(to - from) * e->cfg.nominal_period_ns * 1e-9;
}

/* Time of a map at a reading, from a reference [ns] */
static double offset_of(const struct ensemble *e, const struct member *m,
			const struct ffe_map *map, uint64_t counter, int64_t ref)
{
	double frac;
	int64_t t = ffe_map_read(map, counter, &frac, NULL);

	return (double)((m ? common(e, m, t) : t) - ref) + frac;
}

/*
 * Who may take part: has a clock, is within the limit, answers.  When nobody
 * answers those that made the clock go on doing so by themselves.
 */
static unsigned int find_usable(struct ensemble *e, uint64_t counter, bool *usable)
{
	unsigned int i, clocks = 0, wanted = 0, n = 0;
	bool deserted = true;

	for (i = 0; i < e->n; i++) {
		struct member *m = &e->m[i];

		ffe_map_at(m->ffe, counter, &m->now);
		if (m->now.status == FFE_UNSYNC) {
			m->state = ENS_NO_CLOCK;
			m->have_old = false;
			m->in = false;
		} else if (m->now.bound_ns > e->cfg.max_distance_ns) {
			m->state = ENS_DISTANT;
		} else {
			m->state = m->reachable ? ENS_AGREES : ENS_UNREACHABLE;
		}
		wanted += !m->cfg.noselect && !m->cfg.numbered;
		clocks += !m->cfg.noselect && !m->cfg.numbered && m->state != ENS_NO_CLOCK;
		deserted &= m->state != ENS_AGREES || m->cfg.noselect;
	}
	for (i = 0; i < e->n; i++) {
		struct member *m = &e->m[i];

		usable[i] = m->state == ENS_AGREES ||
			    (deserted && m->in && m->state != ENS_NO_CLOCK);
		n += usable[i];
	}
	if (!e->running && 2 * clocks <= wanted &&
	    (!e->have_first || age_s(e, e->first, counter) < ENS_PATIENCE_S))
		return 0;
	return n;
}

/**
 * struct round - one update under way
 * @usable: takes part
 * @span: what each source states
 * @ref: reference of all offsets, common scale [ns]
 * @before: offset of the clock given out so far, NAN if there is none [ns]
 * @before_bound: its bound [ns]
 * @disputed: no majority
 */
struct round {
	bool			usable[ENSEMBLE_MAX];
	struct select_span	span[ENSEMBLE_MAX];
	int64_t			ref;
	double			before;
	double			before_bound;
	bool			disputed;
};

static void gather(struct ensemble *e, uint64_t counter, struct round *r)
{
	bool trusted = false, others = false;
	unsigned int i;

	for (i = 0; i < e->n; i++)
		if (r->usable[i])
			break;
	r->ref = common(e, &e->m[i], e->m[i].now.time_ns);
	r->before = NAN;
	r->before_bound = INFINITY;
	if (e->running) {
		r->before = offset_of(e, NULL, &e->last.map, counter, r->ref);
		ffe_map_read(&e->last.map, counter, NULL, &r->before_bound);
	}
	for (i = 0; i < e->n; i++) {
		trusted |= r->usable[i] && e->m[i].cfg.trust && !e->m[i].cfg.noselect;
		others |= r->usable[i] && !e->m[i].cfg.numbered && !e->m[i].cfg.noselect;
	}
	for (i = 0; i < e->n; i++) {
		const struct member *m = &e->m[i];
		double x;

		if (!r->usable[i]) {
			r->span[i] = (struct select_span){ .lo = NAN, .hi = NAN };
			continue;
		}
		x = offset_of(e, m, &m->now, counter, r->ref);
		r->span[i] = (struct select_span){
			.lo = x - m->now.bound_ns, .hi = x + m->now.bound_ns,
			.vote = !m->cfg.noselect && (!trusted || m->cfg.trust) &&
				(!others || !m->cfg.numbered),
		};
	}
}

/* Judge; returns how many voters agree */
static unsigned int judge(struct ensemble *e, struct round *r)
{
	struct select_region region;
	unsigned int i, agree = select_majority(r->span, e->n, r->before, &region);

	if (!agree) {
		r->disputed = true;
		/*
		 * Nobody here can tell.  What the clock has been so far is one
		 * more witness, if there was one.
		 */
		for (i = 0; i < e->n; i++) {
			struct select_span *s = &r->span[i];

			s->good = s->vote && s->lo <= r->before + r->before_bound &&
				  s->hi >= r->before - r->before_bound;
		}
	}
	/* one that is in doubt itself agrees with two that exclude each other */
	r->disputed |= region.others > 0;
	for (i = 0; i < e->n; i++) {
		struct member *m = &e->m[i];

		/* of one that is silent, silence is the more telling */
		if (r->usable[i] && m->state == ENS_AGREES && !r->span[i].good)
			m->state = r->disputed ? ENS_UNDECIDED : ENS_FALSE;
	}
	return agree;
}

/* Its clock is measured, rate and all, not just begun or running on by itself */
static bool is_settled(const struct member *m)
{
	struct ffe_track t;

	ffe_tracking(m->ffe, &t);
	return m->now.status == FFE_SUSPECT ||
	       (m->now.status == FFE_SYNC && t.rate_sigma <= FFE_RATE_KNOWN);
}

/*
 * The members that make the clock, as combine() wants them.  Those that are just
 * beginning, or have had no stamp for long, wait while others are settled: what
 * their next stamps correct is their own error.
 */
static unsigned int line_up(struct ensemble *e, uint64_t counter, const struct round *r,
			    struct combine_clock *c, unsigned int *who)
{
	bool preferred = false, settled = false;
	unsigned int i, n = 0;

	for (i = 0; i < e->n; i++)
		preferred |= r->span[i].good && e->m[i].cfg.prefer && !e->m[i].cfg.noselect;
	for (i = 0; i < e->n; i++)
		settled |= r->span[i].good && !e->m[i].cfg.noselect && is_settled(&e->m[i]) &&
			   (!preferred || e->m[i].cfg.prefer);
	for (i = 0; i < e->n; i++) {
		struct member *m = &e->m[i];

		if (!r->span[i].good)
			continue;
		if (m->cfg.noselect || (preferred && !m->cfg.prefer)) {
			if (m->state == ENS_AGREES)
				m->state = ENS_NOT_WANTED;
			continue;
		}
		if (settled && !is_settled(m))
			continue;
		c[n] = (struct combine_clock){
			.x = (r->span[i].lo + r->span[i].hi) / 2,
			/* one that changed its mind is as one that comes new */
			.x_old = m->have_old && !m->jumped && m->in ?
				 offset_of(e, m, &m->old, counter, r->ref) : NAN,
			.period = m->now.period_ns,
			/* of sources without delay and noise there is none */
			.bound = fmax(m->now.bound_ns, 1e-3),
			.est = m->now.est_error_ns,
			.rate_bound = m->now.rate_bound,
			.rate_est = fmax(m->now.rate_est, 1e-15),
		};
		who[n++] = i;
	}
	/* alone it says how the clock has moved, whatever it was before */
	if (n == 1 && e->m[who[0]].have_old)
		c[0].x_old = offset_of(e, &e->m[who[0]], &e->m[who[0]].old, counter, r->ref);
	return n;
}

/* No source to go by: on with what there is, the bound growing */
static void hold(struct ensemble *e, uint64_t counter)
{
	struct ffe_map *map = &e->last.map;
	double age, bound;

	if (!e->held) {
		e->held = true;
		e->held_map = *map;
	}
	*map = e->held_map;
	map->time_ns = ffe_map_read(&e->held_map, counter, &map->time_frac_ns, NULL);
	map->counter = counter;
	age = fmax(age_s(e, e->held_map.counter, counter), 0);
	/*
	 * rate_bound is good for an hour; a rate that wanders errs by t^1.5, so
	 * beyond t hours by sqrt(t) more.
	 */
	bound = e->held_map.bound_ns + map->rate_bound * age * 1e9 * (1 + age / 3600);
	map->rate_bound *= 1 + 2 * age / 3600;
	map->est_error_ns = hypot(map->est_error_ns, map->rate_est * age * 1e9);
	map->bound_ns = bound;
	map->status = FFE_HOLDOVER;
	map->events = 0;
	e->last.used = 0;
}

/* What the bound must be to cover what every voter says */
static double cover_all(const struct ensemble *e, const struct round *r, double x)
{
	double cover = 0;
	unsigned int i;

	for (i = 0; i < e->n; i++)
		if (r->span[i].vote)
			cover = fmax(cover, fmax(r->span[i].hi - x, x - r->span[i].lo));
	return cover;
}

static enum ffe_status better(enum ffe_status a, enum ffe_status b)
{
	static const int rank[] = {
		[FFE_UNSYNC] = 0, [FFE_WARMUP] = 1, [FFE_HOLDOVER] = 2, [FFE_SUSPECT] = 3,
		[FFE_SYNC] = 4,
	};

	return rank[a] >= rank[b] ? a : b;
}

static void take_mean(struct ensemble *e, uint64_t counter, const struct round *r,
		      struct combine_clock *c, const unsigned int *who, unsigned int n)
{
	double dt = e->running ? age_s(e, e->last.map.counter, counter) : 0;
	enum ffe_status status = FFE_UNSYNC;
	struct combine_result res;
	unsigned int i, leader = 0, was = 0;
	bool jumped = false;
	struct ffe_map *map;
	double whole;

	combine(c, n, r->before, r->before_bound, dt, &res);
	for (i = 0; i < e->n; i++) {
		e->m[i].in = false;
		e->m[i].weight = 0;
	}
	e->last.used = 0;
	for (i = 0; i < n; i++) {
		struct member *m = &e->m[who[i]];

		if (!(c[i].weight > 0))
			continue;
		m->in = true;
		m->weight = c[i].weight;
		if (m->state == ENS_AGREES)
			m->state = ENS_USED;
		status = better(status, m->now.status);
		jumped |= m->jumped;
		e->last.used++;
		if (c[i].weight > c[leader].weight)
			leader = i;
		if (who[i] == e->last.leader)
			was = i;
	}
	/* a name to call the clock by: no reason to change it all the time */
	if (c[was].weight >= LEADER_KEEP * c[leader].weight)
		leader = was;
	/* one source's jump is the clock's; of several, combine() knows better */
	e->last.moved |= !e->running || res.moved || (jumped && e->last.used == 1);
	e->last.leader = who[leader];
	e->running = true;
	e->held = false;

	map = &e->last.map;
	*map = e->m[who[leader]].now;
	map->counter = counter;
	whole = floor(res.x);
	map->time_ns = r->ref + (int64_t)whole;
	map->time_frac_ns = fmin(res.x - whole, 0x1.fffffffffffffp-1);
	map->period_ns = res.period;
	map->bound_ns = res.bound;
	map->est_error_ns = res.est;
	map->rate_bound = res.rate_bound;
	map->rate_est = res.rate_est;
	map->status = status;
}

/* The clock as it is told: UTC, and the leap second that is pending */
static void tell(const struct ensemble *e, struct ens_clock *out)
{
	*out = e->last;
	out->map.time_ns = to_utc(e, out->map.time_ns);
	if (e->cover_ns > 0) {
		out->map.bound_ns = fmax(out->map.bound_ns, e->cover_ns);
		out->map.status = FFE_SUSPECT;
	}
	out->leap_change = e->leap.change;
	out->leap_utc_sec = e->leap.utc_sec;
}

int ens_update(struct ensemble *e, uint64_t counter, struct ens_clock *out)
{
	struct combine_clock c[ENSEMBLE_MAX];
	unsigned int who[ENSEMBLE_MAX], i, agree, n = 0;
	struct round r = { .disputed = false };

	memset(out, 0, sizeof(*out));
	if (find_usable(e, counter, r.usable)) {
		gather(e, counter, &r);
		agree = judge(e, &r);
		/* to begin with takes a majority; to go on, the clock itself helps */
		if (agree >= e->cfg.min_sources || (!agree && e->running))
			n = line_up(e, counter, &r, c, who);
	}
	e->last.disputed = r.disputed;
	if (n) {
		take_mean(e, counter, &r, c, who, n);
	} else if (e->running) {
		for (i = 0; i < e->n; i++)
			e->m[i].weight = 0;
		hold(e, counter);
	}
	e->cover_ns = 0;
	if (e->running && r.disputed)
		e->cover_ns = cover_all(e, &r, offset_of(e, NULL, &e->last.map, counter, r.ref));
	for (i = 0; i < e->n; i++) {
		struct member *m = &e->m[i];

		m->have_old = m->now.status != FFE_UNSYNC;
		m->old = m->now;
		m->jumped = false;
	}
	if (!e->running)
		return -EAGAIN;
	tell(e, out);
	e->last.moved = false;
	return 0;
}

/* Looking ----------------------------------------------------------------- */

int ens_clock_at(const struct ensemble *e, uint64_t counter, struct ens_clock *out)
{
	struct ffe_map *map = &out->map;
	double bound;

	memset(out, 0, sizeof(*out));
	if (!e->running)
		return -EAGAIN;
	tell(e, out);
	map->time_ns = to_utc(e, ffe_map_read(&e->last.map, counter, &map->time_frac_ns, &bound));
	map->bound_ns = fmax(bound, e->cover_ns);
	map->counter = counter;
	return 0;
}

void ens_look_at(const struct ensemble *e, unsigned int i, uint64_t counter, struct ens_look *l)
{
	const struct member *m = &e->m[i];

	memset(l, 0, sizeof(*l));
	l->state = m->state;
	l->weight = m->weight;
	l->leap_vote = m->vote.change;
	ffe_map_at(m->ffe, counter, &l->map);
	l->bound_ns = l->map.bound_ns;
	if (l->map.status == FFE_UNSYNC)
		return;
	l->has_clock = true;
	if (e->running)
		l->offset_ns = offset_of(e, m, &l->map, counter,
					 ffe_map_read(&e->last.map, counter, NULL, NULL));
	l->map.time_ns = to_utc(e, common(e, m, l->map.time_ns));
}

const struct ffe *ens_estimator(const struct ensemble *e, unsigned int i)
{
	return e->m[i].ffe;
}

const char *ens_state_name(enum ens_state state)
{
	static const char * const names[] = {
		[ENS_NO_CLOCK]		= "no clock",
		[ENS_UNREACHABLE]	= "unreachable",
		[ENS_DISTANT]		= "too distant",
		[ENS_UNDECIDED]		= "undecided",
		[ENS_FALSE]		= "outvoted",
		[ENS_NOT_WANTED]	= "not wanted",
		[ENS_AGREES]		= "agrees",
		[ENS_USED]		= "used",
	};

	return (unsigned int)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}
