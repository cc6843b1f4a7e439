// SPDX-License-Identifier: GPL-2.0-only
/*
 * Synchronisation: see sync.h.
 *
 *	sources --stamps--> ensemble --clock--> outputs
 *
 * The ensemble does the thinking; here is what ties it to the loop, the counter
 * and the log.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ensemble.h"
#include "log.h"
#include "source.h"
#include "sync.h"
#include "tai.h"

#define NSEC		1000000000LL

/* TAI - UTC is looked up that often: somebody may tell the kernel, or update the list */
#define TAI_LOOK_S	3600

/* Without stamps: how often the outputs get a fresh bound */
#define REFRESH_MIN_NS	(16 * NSEC)

/* Estimators ask for more stamps with these */
#define EV_BURST	(FFE_EV_FIRST | FFE_EV_SUSPECT | FFE_EV_JUMP | FFE_EV_RESTART)

struct peer {
	struct sync			*sync;
	const struct config_source	*cfg;
	struct source			*source;
	enum ens_state			told;	/* last logged */
};

struct sync {
	struct config		*cfg;		/* own copy, peers point into it */
	struct counter		*counter;
	struct loop		*loop;
	struct output		*outputs;
	struct loop_timer	refresh;
	struct ensemble		*ens;
	uint32_t		epoch;
	struct peer		*peers;		/* room for CONFIG_SOURCES_MAX */
	unsigned int		n_peers;
	bool			moved;		/* not yet told to the outputs */
	bool			have_clock;
	bool			disputed;	/* said that sources disagree */
	unsigned int		leader;
	enum ffe_status		told_status;
	int			tai;
	int64_t			tai_look;	/* when @tai was looked up [TAI_LOOK_S] */
};

_Static_assert(CONFIG_SOURCES_MAX <= ENSEMBLE_MAX, "an estimator for every source");

static void publish(struct sync *s, const struct counter_mark *now);

static void note(struct sync *s, const char *text)
{
	struct output *o;

	for (o = s->outputs; o; o = o->next)
		if (o->ops->note)
			o->ops->note(o, text);
}

/* The counter ------------------------------------------------------------- */

static void start_over(struct sync *s, enum ffe_restart_why why, const char *reason)
{
	struct ffe_restart r = {
		.why = why, .nominal_period_ns = counter_period_ns(s->counter),
	};
	struct counter_mark now;
	struct output *o;
	char text[320];
	unsigned int i;

	log_warn("counter %s broke: %s; synchronising anew", counter_name(s->counter), reason);
	snprintf(text, sizeof(text), "counter broke: %s", reason);
	note(s, text);
	if (!counter_mark(s->counter, &now))
		s->epoch = now.epoch;
	s->moved = true;
	s->have_clock = false;
	s->told_status = FFE_UNSYNC;
	ens_restart(s->ens, &r);
	for (o = s->outputs; o; o = o->next)
		if (o->ops->broke)
			o->ops->broke(o, why == FFE_RESTART_MIGRATION);
	for (i = 0; i < s->n_peers; i++)
		s->peers[i].source->ops->restart(s->peers[i].source);
}

void sync_check_counter(struct sync *s)
{
	struct counter_mark now;
	char why[256] = "";
	unsigned int ev = counter_check(s->counter, why, sizeof(why));

	if (ev) {
		start_over(s, ev & COUNTER_EV_MIGRATION ? FFE_RESTART_MIGRATION : FFE_RESTART_EPOCH,
			   why);
		return;
	}
	/* a break may fall between the check and here: the readings tell */
	if (counter_mark(s->counter, &now) || now.epoch == s->epoch)
		return;
	snprintf(why, sizeof(why), "counter epoch %u follows %u", now.epoch, s->epoch);
	start_over(s, FFE_RESTART_EPOCH, why);
}

/* Messages ---------------------------------------------------------------- */

static void tell_states(struct sync *s, uint64_t counter)
{
	unsigned int i;

	for (i = 0; i < s->n_peers; i++) {
		struct peer *p = &s->peers[i];
		enum ens_state was = p->told;
		struct ens_look l;

		ens_look_at(s->ens, i, counter, &l);
		if (l.state == was)
			continue;
		p->told = l.state;
		switch (l.state) {
		case ENS_FALSE:
			log_warn("source %s is %+.6f s off what the majority says; not used",
				 p->cfg->name, l.offset_ns * 1e-9);
			break;
		case ENS_DISTANT:
			log_warn("source %s: error bound %.3f s is beyond maxdistance",
				 p->cfg->name, l.bound_ns * 1e-9);
			break;
		case ENS_UNDECIDED:
			log_warn("source %s: %+.6f s off, and no majority to tell who is right",
				 p->cfg->name, l.offset_ns * 1e-9);
			break;
		default:
			/* who is a little better than whom changes all day */
			log_msg(was == ENS_FALSE || was == ENS_DISTANT || was == ENS_UNDECIDED ?
				LOG_NOTICE : LOG_INFO, "source %s: %s", p->cfg->name,
				ens_state_name(l.state));
			break;
		}
	}
}

static void tell_clock(struct sync *s, const struct ens_clock *c)
{
	static const char * const what[] = {
		[FFE_UNSYNC]	= "not synchronised",
		[FFE_WARMUP]	= "first clock",
		[FFE_SYNC]	= "synchronised",
		[FFE_SUSPECT]	= "in doubt: the last stamps contradict the clock",
		[FFE_HOLDOVER]	= "no stamps: running on by itself",
	};
	const char *name = s->peers[c->leader].cfg->name;

	if (c->disputed && !s->disputed)
		log_warn("no majority of the sources agrees on the time; going on with those that "
			 "fit the clock");
	else if (!c->disputed && s->disputed)
		log_notice("a majority of the sources agrees on the time again");
	s->disputed = c->disputed;
	if (!s->have_clock || c->leader != s->leader)
		log_msg(s->have_clock ? LOG_INFO : LOG_NOTICE, "clock from %s%s", name,
			c->used > 1 ? " and others" : "");
	s->leader = c->leader;
	s->have_clock = true;
	if (c->map.status == s->told_status)
		return;
	/* doubts that pass by themselves are everyday life on a busy path */
	log_msg(c->map.status == FFE_SUSPECT || s->told_status == FFE_SUSPECT ?
		LOG_INFO : LOG_NOTICE, "%s (%u source%s, first of all %s; bound %.1f us)",
		what[c->map.status], c->used, c->used == 1 ? "" : "s", name,
		c->map.bound_ns * 1e-3);
	s->told_status = c->map.status;
}

/* Outputs ----------------------------------------------------------------- */

static int tai_now(struct sync *s, int64_t utc_sec)
{
	if (utc_sec / TAI_LOOK_S != s->tai_look) {
		s->tai = tai_offset(utc_sec);
		s->tai_look = utc_sec / TAI_LOOK_S;
	}
	return s->tai;
}

/* Shortest interval of those that answer: when the next update is to be expected */
static double next_update_s(struct sync *s)
{
	struct source_report r;
	double shortest = INFINITY, any = 1;
	unsigned int i;

	for (i = 0; i < s->n_peers; i++) {
		s->peers[i].source->ops->report(s->peers[i].source, &r);
		any = r.interval_s;
		if (r.reach)
			shortest = fmin(shortest, r.interval_s);
	}
	return fmax(1, ceil(isfinite(shortest) ? shortest : any));
}

static void publish(struct sync *s, const struct counter_mark *now)
{
	struct output_update u = { .epoch = s->epoch };
	struct source_report r;
	bool stale = false;
	struct ens_clock c;
	struct output *o;
	unsigned int i;

	for (i = 0; i < s->n_peers; i++) {
		s->peers[i].source->ops->report(s->peers[i].source, &r);
		ens_set_reachable(s->ens, i, r.reach);
	}
	if (ens_update(s->ens, now->value, &c)) {
		tell_states(s, now->value);
		/* others may be about to answer; or it is time to go without them */
		if (!s->have_clock)
			loop_timer_set(s->loop, &s->refresh, (int64_t)(ENS_PATIENCE_S * NSEC));
		return;
	}
	tell_states(s, now->value);
	tell_clock(s, &c);
	u.map = c.map;
	u.next_s = (uint32_t)next_update_s(s);
	u.leap_change = c.leap_change;
	u.leap_utc_sec = c.leap_utc_sec;
	u.tai_offset = tai_now(s, u.map.time_ns / NSEC);
	u.moved = s->moved || c.moved;
	s->peers[c.leader].source->ops->report(s->peers[c.leader].source, &r);
	memcpy(u.address, r.address, sizeof(u.address));
	u.stratum = r.stratum;
	for (o = s->outputs; o; o = o->next)
		if (o->ops->update && o->ops->update(o, &u) == -ESTALE)
			stale = true;
	s->moved = false;
	/* twice: one lost exchange is no reason for an update from here */
	loop_timer_set(s->loop, &s->refresh, (int64_t)u.next_s * 2 * NSEC > REFRESH_MIN_NS ?
		       (int64_t)u.next_s * 2 * NSEC : REFRESH_MIN_NS);
	if (stale)
		sync_check_counter(s);
}

static void publish_now(struct sync *s)
{
	struct counter_mark now;

	sync_check_counter(s);
	if (!counter_mark(s->counter, &now) && now.epoch == s->epoch)
		publish(s, &now);
}

static void refresh(void *arg)
{
	struct sync *s = arg;

	loop_timer_set(s->loop, &s->refresh, REFRESH_MIN_NS);
	publish_now(s);
}

/* What sources tell ------------------------------------------------------- */

static void log_stamp(struct peer *p, const struct ens_stamp_result *res)
{
	struct source_report r;
	struct ffe_track t;
	char names[128];

	if (!log_wants(LOG_INFO))
		return;
	p->source->ops->report(p->source, &r);
	ffe_tracking(ens_estimator(p->sync->ens, (unsigned int)(p - p->sync->peers)), &t);
	log_info("%s (%s): offset %+.3f us, rtt %.1f us (min %.1f), bound %.1f us, rate %+.4f ppm, "
		 "poll %g s, %s%s%s", p->cfg->name, r.address, t.last_offset_ns * 1e-3,
		 t.last_rtt_ns * 1e-3, t.min_rtt_ns * 1e-3, res->map.bound_ns * 1e-3, t.rate * 1e6,
		 r.interval_s, ffe_status_name(res->map.status), res->events ? ": " : "",
		 ffe_events_print(res->events, names, sizeof(names)));
	if (res->events & FFE_EV_UPSHIFT)
		log_info("source %s: the path's delay rose%s", p->cfg->name,
			 res->events & FFE_EV_ASYM_HELD ?
			 "; booked as asymmetry, the clock held" : "");
}

static void log_system(struct sync *s)
{
	struct sync_view v;

	if (log_wants(LOG_INFO) && !sync_look(s, &v))
		log_info("system clock %+.3f us from ours, bound %.1f us, %u source%s",
			 (double)v.system_ns * 1e-3, v.map.bound_ns * 1e-3, v.used,
			 v.used == 1 ? "" : "s");
}

static void tell_leap(struct peer *p, uint32_t ev)
{
	struct sync *s = p->sync;
	struct counter_mark now;
	struct ens_clock c;

	if (ev & ENS_EV_LEAP_DONE)
		log_info("source %s has applied the leap second", p->cfg->name);
	if (ev & ENS_EV_LEAP_NOT_DONE)
		log_warn("source %s has not applied the leap second", p->cfg->name);
	if (ev & ENS_EV_LEAP_OVER) {
		log_notice("the leap second is over");
		s->tai_look = 0;	/* look it up again */
	}
	if (!(ev & ENS_EV_LEAP_ANNOUNCED) || counter_mark(s->counter, &now) ||
	    ens_clock_at(s->ens, now.value, &c))
		return;
	if (c.leap_change)
		log_notice("a majority of the sources announces a leap second (%+d s) at the end "
			   "of the month", c.leap_change);
	else
		log_notice("the leap second is no longer announced");
}

static double interval_s(const struct peer *p)
{
	struct source_report r;

	p->source->ops->report(p->source, &r);
	return r.interval_s;
}

static void on_stamp(void *arg, const struct source_stamp *st)
{
	struct peer *p = arg;
	struct sync *s = p->sync;
	unsigned int i = (unsigned int)(p - s->peers);
	struct ens_stamp_result res;
	struct counter_mark now;
	struct ffe_track t;
	struct output *o;

	sync_check_counter(s);
	if (st->epoch != s->epoch)
		return;
	ens_stamp(s->ens, i, &st->ffe, &res);
	for (o = s->outputs; o; o = o->next)
		if (o->ops->stamp)
			o->ops->stamp(o, i, &res.used);
	if (res.leap)
		tell_leap(p, res.leap);
	if (res.events & FFE_EV_REJECTED) {
		ffe_tracking(ens_estimator(s->ens, i), &t);
		log_info("source %s: stamp not used: %s", p->cfg->name, ffe_reject_name(t.reject));
		return;
	}
	log_stamp(p, &res);
	if (res.events & (FFE_EV_JUMP | FFE_EV_RESTART))
		log_warn("source %s: its time and our clock of it disagree for good; taking its "
			 "word for what it is", p->cfg->name);

	if (res.events & EV_BURST)
		p->source->ops->burst(p->source);
	else
		p->source->ops->pace(p->source, ens_pace(s->ens, i, &res, interval_s(p)));

	if (counter_mark(s->counter, &now) || now.epoch != s->epoch)
		return;
	publish(s, &now);
	if (s->have_clock && i == s->leader)
		log_system(s);
}

static void on_moved(void *arg)
{
	struct peer *p = arg;

	ens_source_moved(p->sync->ens, (unsigned int)(p - p->sync->peers));
}

static void on_missed(void *arg)
{
	struct peer *p = arg;

	if (p->sync->have_clock && p == &p->sync->peers[p->sync->leader])
		publish_now(p->sync);
}

static void on_broke(void *arg, const char *why)
{
	struct sync *s = ((struct peer *)arg)->sync;
	uint32_t epoch = s->epoch;

	/* the counter may know by itself: then all is done */
	sync_check_counter(s);
	if (s->epoch != epoch)
		return;
	counter_broke(s->counter);
	start_over(s, FFE_RESTART_MIGRATION, why);
}

static int on_clock(void *arg, uint64_t counter, uint32_t epoch, struct ffe_map *map)
{
	struct peer *p = arg;
	struct ens_clock c;
	int err;

	if (epoch != p->sync->epoch)
		return -ESTALE;
	err = ens_clock_at(p->sync->ens, counter, &c);
	*map = c.map;
	return err;
}

/* Set-up ------------------------------------------------------------------ */

static void free_peers(struct peer *peers, unsigned int n)
{
	unsigned int i;

	for (i = 0; peers && i < n; i++)
		if (peers[i].source)
			peers[i].source->ops->destroy(peers[i].source);
	free(peers);
}

void sync_free(struct sync *s)
{
	if (!s)
		return;
	loop_timer_cancel(s->loop, &s->refresh);
	free_peers(s->peers, s->n_peers);
	ens_free(s->ens);
	free(s->cfg);
	output_destroy_all(s->outputs);
	free(s);
}

static int add_peer(struct sync *s, const struct config_source *cfg, const struct state *state)
{
	struct ens_source es = {
		.poll_min_s = ldexp(1, cfg->minpoll), .poll_max_s = ldexp(1, cfg->maxpoll),
		.prefer = cfg->prefer, .trust = cfg->trust, .noselect = cfg->noselect,
		.numbered = cfg->kind == CONFIG_SOURCE_PPS,
	};
	struct peer *p = &s->peers[s->n_peers++];
	struct source_sink sink = {
		.stamp = on_stamp, .moved = on_moved, .missed = on_missed, .broke = on_broke,
		.clock = on_clock, .arg = p,
	};
	struct ffe_prior prior;
	int err;

	p->sync = s;
	p->cfg = cfg;
	if (state_prior(state, cfg, loop_now(), &prior))
		es.prior = &prior;
	err = ens_add(s->ens, &es);
	if (err == -EINVAL && es.prior) {
		log_notice("source %s: the state's rate is out of range; starting without",
			   cfg->name);
		es.prior = NULL;
		err = ens_add(s->ens, &es);
	}
	if (err < 0) {
		log_err("source %s: the estimator refuses a counter period of %g ns: %s", cfg->name,
			counter_period_ns(s->counter), strerror(-err));
		return err;
	}
	p->source = source_new(cfg, s->counter, s->loop, &sink);
	return p->source ? 0 : -EINVAL;
}

/* Ensemble and sources, not started; into @s when all of them could be made */
static int make_sources(struct sync *s, const struct config *cfg, const struct state *state)
{
	struct ens_config ec = {
		.nominal_period_ns = counter_period_ns(s->counter),
		.max_distance_ns = (double)cfg->max_distance_ns,
		.min_sources = cfg->min_sources,
	};
	struct ensemble *old_ens = s->ens;
	struct peer *old_peers = s->peers;
	unsigned int i, old_n = s->n_peers;
	struct config *own;
	int err = -ENOMEM;

	s->n_peers = 0;
	s->peers = calloc(CONFIG_SOURCES_MAX, sizeof(*s->peers));
	s->ens = ens_new(&ec);
	own = malloc(sizeof(*own));
	if (!s->ens || !s->peers || !own) {
		log_err("cannot set up the estimators: %s", strerror(errno));
		goto fail;
	}
	*own = *cfg;
	for (i = 0; i < cfg->n_sources; i++) {
		err = add_peer(s, &own->sources[i], state);
		if (err)
			goto fail;
	}
	free_peers(old_peers, old_n);
	ens_free(old_ens);
	free(s->cfg);
	s->cfg = own;
	return 0;

fail:
	free_peers(s->peers, s->n_peers);
	ens_free(s->ens);
	free(own);
	s->peers = old_peers;
	s->n_peers = old_n;
	s->ens = old_ens;
	return err;
}

struct sync *sync_new(const struct config *cfg, struct counter *counter, struct loop *loop,
		      struct output *outputs, const struct state *state)
{
	struct sync *s = calloc(1, sizeof(*s));
	struct counter_mark now;
	int err;

	if (!s) {
		log_err("out of memory");
		output_destroy_all(outputs);
		return NULL;
	}
	s->counter = counter;
	s->loop = loop;
	s->outputs = outputs;
	s->refresh.cb = refresh;
	s->refresh.arg = s;
	err = counter_mark(counter, &now);
	if (err) {
		log_err("cannot read the counter: %s", strerror(-err));
		goto fail;
	}
	s->epoch = now.epoch;
	if (make_sources(s, cfg, state))
		goto fail;
	return s;

fail:
	sync_free(s);
	return NULL;
}

/* Lines may have moved within the file: that is no change */
static bool same_sources(const struct config *a, const struct config *b)
{
	struct config_source x, y;
	size_t i;

	if (a->n_sources != b->n_sources || a->min_sources != b->min_sources ||
	    a->max_distance_ns != b->max_distance_ns)
		return false;
	for (i = 0; i < a->n_sources; i++) {
		x = a->sources[i];
		y = b->sources[i];
		x.line = 0;
		y.line = 0;
		if (memcmp(&x, &y, sizeof(x)))
			return false;
	}
	return true;
}

int sync_reload(struct sync *s, const struct config *cfg)
{
	struct state state;
	struct output *o;
	int err = 0;

	if (!same_sources(s->cfg, cfg)) {
		sync_save(s, &state);
		err = make_sources(s, cfg, &state);
		if (err)
			return err;
		s->have_clock = false;
		s->disputed = false;
		s->leader = 0;
		s->told_status = FFE_UNSYNC;
		note(s, "sources changed by a reload");
		sync_start(s);
	}
	for (o = s->outputs; o; o = o->next)
		if (o->ops->reload && o->ops->reload(o, cfg))
			err = -EIO;
	return err;
}

void sync_save(const struct sync *s, struct state *st)
{
	struct ffe_track t;
	unsigned int i;

	if (state_here(st, s->counter) || st->epoch != s->epoch) {
		memset(st, 0, sizeof(*st));
		return;
	}
	for (i = 0; i < s->n_peers; i++) {
		const struct ffe *f = ens_estimator(s->ens, i);
		struct state_source *q = &st->source[st->n++];

		memcpy(q->name, s->peers[i].cfg->name, sizeof(q->name));
		q->port = s->peers[i].cfg->port;
		ffe_tracking(f, &t);
		q->min_rtt_ns = t.min_rtt_ns > 0 ? t.min_rtt_ns : 0;
		q->have_prior = !ffe_save_prior(f, &q->prior);
	}
}

void sync_start(struct sync *s)
{
	unsigned int i;

	for (i = 0; i < s->n_peers; i++)
		s->peers[i].source->ops->start(s->peers[i].source);
}

/* Looking ----------------------------------------------------------------- */

int sync_look(struct sync *s, struct sync_view *v)
{
	struct source_report r;
	struct ffe_track t;
	struct ens_clock c;
	struct ens_look l;
	unsigned int i;

	memset(v, 0, sizeof(*v));
	if (counter_mark(s->counter, &v->mark) || v->mark.epoch != s->epoch ||
	    ens_clock_at(s->ens, v->mark.value, &c))
		return -EAGAIN;
	v->map = c.map;
	s->peers[c.leader].source->ops->report(s->peers[c.leader].source, &r);
	ffe_tracking(ens_estimator(s->ens, c.leader), &v->track);
	v->server = s->peers[c.leader].cfg->name;
	memcpy(v->address, r.address, sizeof(v->address));
	v->used = c.used;
	for (i = 0; i < s->n_peers; i++) {
		ens_look_at(s->ens, i, v->mark.value, &l);
		if (!(l.weight > 0))
			continue;
		ffe_tracking(ens_estimator(s->ens, i), &t);
		v->stamps += t.stamps;
	}
	v->system_ns = v->mark.realtime_ns - v->map.time_ns;
	return 0;
}

int sync_look_source(struct sync *s, unsigned int i, struct sync_source *v)
{
	struct counter_mark now;

	memset(v, 0, sizeof(*v));
	if (i >= s->n_peers)
		return -ENOENT;
	v->cfg = s->peers[i].cfg;
	s->peers[i].source->ops->report(s->peers[i].source, &v->report);
	if (!counter_mark(s->counter, &now) && now.epoch == s->epoch)
		ens_look_at(s->ens, i, now.value, &v->look);
	ffe_tracking(ens_estimator(s->ens, i), &v->track);
	return 0;
}

time_t sync_unix_time(void *sync)
{
	struct sync_view v;

	return sync_look(sync, &v) ? 0 : (time_t)(v.map.time_ns / NSEC);
}

void sync_describe(struct sync *s, char *buf, size_t len)
{
	struct sync_view v;

	if (sync_look(s, &v)) {
		snprintf(buf, len, "waiting for a server");
		return;
	}
	snprintf(buf, len, "%s from %s%s, bound %.1f us, rate %+.3f ppm, system clock %+.1f us",
		 ffe_status_name(v.map.status), v.server, v.used > 1 ? " and others" : "",
		 v.map.bound_ns * 1e-3, v.track.rate * 1e6, (double)v.system_ns * 1e-3);
}
