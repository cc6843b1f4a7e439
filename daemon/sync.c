// SPDX-License-Identifier: GPL-2.0-only
/*
 * Synchronisation: see sync.h.
 *
 *	source --stamp--> leap --continuous time--> estimator --map--+
 *	source --stamp--> leap --continuous time--> estimator --map--+-> choose -> outputs
 *
 * Each server has an estimator of its own, on a continuous time scale of its
 * own (leap.h).  One server is chosen: its clock is what the outputs get.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leap.h"
#include "log.h"
#include "ntp_packet.h"
#include "source.h"
#include "sync.h"
#include "tai.h"

#define NSEC		1000000000LL

/* Another server must be this much better to replace the chosen one */
#define SWITCH_GAIN	0.7

/* Without stamps: how often the outputs get a fresh bound */
#define REFRESH_MIN_NS	(16 * NSEC)

/* Estimators ask for more stamps with these */
#define EV_BURST	(FFE_EV_FIRST | FFE_EV_SUSPECT | FFE_EV_JUMP | FFE_EV_RESTART)

struct peer {
	struct sync	*sync;
	struct source	*source;
	struct ffe	*ffe;
	struct leap	leap;
	bool		usable;
	bool		far;	/* said that it is beyond maxdistance */
};

struct sync {
	const struct config	*cfg;
	struct counter		*counter;
	struct loop		*loop;
	struct output		*outputs;
	struct loop_timer	refresh;
	uint32_t		epoch;
	struct peer		peers[CONFIG_SERVERS_MAX];
	unsigned int		n_peers;
	struct peer		*chosen;
	bool			moved;		/* not yet told to the outputs */
	bool			disagreed;	/* said that servers disagree */
	enum ffe_status		told_status;
	int			tai;
	int64_t			tai_day;	/* UTC day of @tai */
};

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
	char text[320];
	unsigned int i;

	log_warn("counter %s broke: %s; synchronising anew", counter_name(s->counter), reason);
	snprintf(text, sizeof(text), "counter broke: %s", reason);
	note(s, text);
	if (!counter_mark(s->counter, &now))
		s->epoch = now.epoch;
	s->moved = true;
	s->told_status = FFE_UNSYNC;
	for (i = 0; i < s->n_peers; i++) {
		ffe_restart(s->peers[i].ffe, &r);
		s->peers[i].usable = false;
		s->peers[i].source->ops->burst(s->peers[i].source);
	}
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

/* Choosing ---------------------------------------------------------------- */

/* The peer's clock at a counter value, in UTC */
static void peer_map(const struct peer *p, uint64_t at, struct ffe_map *map)
{
	ffe_map_at(p->ffe, at, map);
	map->time_ns -= p->leap.applied * NSEC;
}

static bool overlap(const struct ffe_map *a, const struct ffe_map *b)
{
	return fabs((double)(a->time_ns - b->time_ns)) <= a->bound_ns + b->bound_ns;
}

/*
 * Of the servers that answer and have a clock, those that more than half agree
 * with (their time and bound overlap); of these the one with the smallest bound.
 * If there is no such majority all are kept: then nobody here can tell.
 */
static void choose(struct sync *s, const struct counter_mark *now)
{
	struct ffe_map map[CONFIG_SERVERS_MAX];
	unsigned int agree[CONFIG_SERVERS_MAX] = { 0 };
	unsigned int i, j, n = 0;
	bool majority = false;
	struct peer *best = NULL;
	double best_bound = 0;

	for (i = 0; i < s->n_peers; i++) {
		struct peer *p = &s->peers[i];
		struct source_report r;

		peer_map(p, now->value, &map[i]);
		p->source->ops->report(p->source, &r);
		p->usable = map[i].status != FFE_UNSYNC && r.reach &&
			    map[i].bound_ns <= (double)s->cfg->max_distance_ns;
		n += p->usable;
		if (map[i].status != FFE_UNSYNC && r.reach && !p->usable && !p->far)
			log_warn("server %s: error bound %.3f s is beyond maxdistance",
				 p->source->name, map[i].bound_ns * 1e-9);
		p->far = map[i].status != FFE_UNSYNC && r.reach && !p->usable;
	}
	for (i = 0; i < s->n_peers; i++) {
		for (j = 0; j < s->n_peers; j++)
			if (s->peers[i].usable && s->peers[j].usable && overlap(&map[i], &map[j]))
				agree[i]++;
		majority |= 2 * agree[i] > n;
	}
	if (n && !majority && !s->disagreed)
		log_warn("no majority of the %u servers agrees on the time", n);
	s->disagreed = n && !majority;

	for (i = 0; i < s->n_peers; i++) {
		struct peer *p = &s->peers[i];
		double bound = map[i].bound_ns;

		if (!p->usable || (majority && 2 * agree[i] <= n))
			continue;
		if (p == s->chosen)
			bound *= SWITCH_GAIN;
		if (!best || bound < best_bound) {
			best = p;
			best_bound = bound;
		}
	}
	/* with no usable server the chosen one's clock runs on by itself */
	if (!best || best == s->chosen)
		return;
	if (s->n_peers > 1 || !s->chosen)
		log_notice("clock from server %s%s%s", best->source->name,
			   s->chosen ? ", no longer " : "",
			   s->chosen ? s->chosen->source->name : "");
	s->chosen = best;
}

/* Outputs ----------------------------------------------------------------- */

static int tai_now(struct sync *s, int64_t utc_sec)
{
	if (utc_sec / 86400 != s->tai_day || !s->tai) {
		s->tai = tai_offset(utc_sec);
		s->tai_day = utc_sec / 86400;
	}
	return s->tai;
}

static void tell_status(struct sync *s, const struct ffe_map *map)
{
	static const char * const what[] = {
		[FFE_UNSYNC]	= "not synchronised",
		[FFE_WARMUP]	= "first clock",
		[FFE_SYNC]	= "synchronised",
		[FFE_SUSPECT]	= "in doubt: the last stamps contradict the clock",
		[FFE_HOLDOVER]	= "no stamps: running on by itself",
	};

	if (map->status == s->told_status)
		return;
	/* doubts that pass by themselves are everyday life on a busy path */
	log_msg(map->status == FFE_SUSPECT || s->told_status == FFE_SUSPECT ?
		LOG_INFO : LOG_NOTICE, "%s (server %s, bound %.1f us)", what[map->status],
		s->chosen->source->name, map->bound_ns * 1e-3);
	s->told_status = map->status;
}

static void publish(struct sync *s, const struct counter_mark *now)
{
	struct output_update u = { .epoch = s->epoch };
	struct source_report r;
	struct output *o;
	bool stale = false;

	choose(s, now);
	if (!s->chosen)
		return;
	peer_map(s->chosen, now->value, &u.map);
	if (u.map.status == FFE_UNSYNC)
		return;
	s->chosen->source->ops->report(s->chosen->source, &r);
	u.next_s = (uint32_t)fmax(1, ceil(r.interval_s));
	u.leap_change = s->chosen->leap.change;
	u.leap_utc_sec = s->chosen->leap.utc_sec;
	u.tai_offset = tai_now(s, u.map.time_ns / NSEC);
	u.moved = s->moved;
	tell_status(s, &u.map);
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

static void log_peer(struct peer *p, const struct ffe_map *map, uint32_t events)
{
	struct source_report r;
	struct ffe_track t;
	char names[128];

	if (!log_wants(LOG_INFO))
		return;
	ffe_tracking(p->ffe, &t);
	p->source->ops->report(p->source, &r);
	log_info("server %s: offset %+.3f us, rtt %.3f us (least %.3f), rate %+.4f ppm, "
		 "error %.3f us, bound %.3f us, %s, interval %.0f s%s%s", p->source->name,
		 t.last_offset_ns * 1e-3, t.last_rtt_ns * 1e-3, t.min_rtt_ns * 1e-3, t.rate * 1e6,
		 map->est_error_ns * 1e-3, map->bound_ns * 1e-3, ffe_status_name(map->status),
		 r.interval_s, events ? ": " : "",
		 events ? ffe_events_print(events, names, sizeof(names)) : "");
}

static void log_system(struct sync *s)
{
	struct sync_view v;

	if (log_wants(LOG_INFO) && !sync_look(s, &v))
		log_info("system clock %+.3f us from ours", (double)v.system_ns * 1e-3);
}

/* Times of a stamp onto the peer's continuous scale */
static void remove_leaps(struct peer *p, struct ffe_stamp *f)
{
	int64_t predicted = INT64_MIN, tb;
	struct ffe_map map;

	ffe_map_at(p->ffe, f->tf, &map);
	if (map.status != FFE_UNSYNC && map.bound_ns < 0.4 * NSEC)
		predicted = map.time_ns;
	if (leap_announce(&p->leap, f->leap, f->te) && p->leap.change)
		log_notice("server %s announces a leap second (%+d s) at the end of the month",
			   p->source->name, p->leap.change);
	tb = f->tb;
	switch (leap_unfold(&p->leap, tb, predicted, &f->tb)) {
	case LEAP_DONE:
		log_notice("server %s has applied the leap second", p->source->name);
		p->sync->tai = 0;	/* look it up again */
		break;
	case LEAP_NOT_DONE:
		log_warn("server %s announced a leap second and did not apply it",
			 p->source->name);
		break;
	default:
		break;
	}
	/* both stamps of an exchange get the same correction */
	f->te += f->tb - tb;
}

static void on_stamp(void *arg, const struct source_stamp *st)
{
	struct peer *p = arg;
	struct sync *s = p->sync;
	struct ffe_stamp f = st->ffe;
	struct counter_mark now;
	struct ffe_track t;
	struct output *o;
	struct ffe_map map;
	uint32_t ev;

	sync_check_counter(s);
	if (st->epoch != s->epoch)
		return;
	remove_leaps(p, &f);
	for (o = s->outputs; o; o = o->next)
		if (o->ops->stamp)
			o->ops->stamp(o, (unsigned int)(p - s->peers), &f);

	ev = ffe_process(p->ffe, &f, &map);
	if (ev & FFE_EV_REJECTED) {
		ffe_tracking(p->ffe, &t);
		log_info("server %s: stamp not used: %s", p->source->name,
			 ffe_reject_name(t.reject));
		return;
	}
	log_peer(p, &map, ev);
	if (ev & FFE_EV_UPSHIFT)
		log_info("server %s: the path's delay rose%s", p->source->name,
			 ev & FFE_EV_ASYM_HELD ? "; booked as asymmetry, the clock held" : "");
	if (ev & (FFE_EV_JUMP | FFE_EV_RESTART)) {
		log_warn("server %s: %s", p->source->name, ev & FFE_EV_RESTART ?
			 "the counter's rate is another one now; starting over" :
			 "its time and our clock disagree for good; following it");
		if (p == s->chosen)
			s->moved = true;
	}
	if (ev & FFE_EV_FIRST && (!s->chosen || p == s->chosen))
		s->moved = true;

	if (ev & EV_BURST)
		p->source->ops->burst(p->source);
	else
		p->source->ops->pace(p->source, map.status == FFE_SYNC ? 1 : -1);

	if (counter_mark(s->counter, &now) || now.epoch != s->epoch)
		return;
	/* a stamp of another server may still make it the better one */
	publish(s, &now);
	if (p == s->chosen)
		log_system(s);
}

static void on_moved(void *arg)
{
	struct ffe_restart r = { .why = FFE_RESTART_SERVER };
	struct peer *p = arg;

	ffe_restart(p->ffe, &r);
}

static void on_missed(void *arg)
{
	struct peer *p = arg;

	if (p == p->sync->chosen)
		publish_now(p->sync);
}

/* Set-up ------------------------------------------------------------------ */

void sync_free(struct sync *s)
{
	struct output *o, *next;
	unsigned int i;

	if (!s)
		return;
	loop_timer_cancel(s->loop, &s->refresh);
	for (i = 0; i < s->n_peers; i++) {
		if (s->peers[i].source)
			s->peers[i].source->ops->destroy(s->peers[i].source);
		free(s->peers[i].ffe);
	}
	for (o = s->outputs; o; o = next) {
		next = o->next;
		o->ops->destroy(o);
	}
	free(s);
}

static int add_peer(struct sync *s, const struct config_server *cfg)
{
	struct ffe_config fc = {
		.nominal_period_ns = counter_period_ns(s->counter),
		.poll_min_s = ldexp(1, cfg->minpoll),
		.poll_max_s = ldexp(1, cfg->maxpoll),
	};
	struct peer *p = &s->peers[s->n_peers++];
	struct source_sink sink = {
		.stamp = on_stamp, .moved = on_moved, .missed = on_missed, .arg = p,
	};

	p->sync = s;
	p->ffe = calloc(1, ffe_size());
	if (!p->ffe)
		return -ENOMEM;
	if (ffe_init(p->ffe, &fc)) {
		log_err("server %s: the estimator refuses a counter period of %g ns", cfg->host,
			fc.nominal_period_ns);
		return -EINVAL;
	}
	p->source = source_ntp_new(cfg, s->counter, s->loop, &sink);
	return p->source ? 0 : -ENOMEM;
}

struct sync *sync_new(const struct config *cfg, struct counter *counter, struct loop *loop,
		      struct output *outputs)
{
	struct sync *s = calloc(1, sizeof(*s));
	struct counter_mark now;
	struct output *next;
	unsigned int i;

	if (!s) {
		for (; outputs; outputs = next) {
			next = outputs->next;
			outputs->ops->destroy(outputs);
		}
		return NULL;
	}
	s->cfg = cfg;
	s->counter = counter;
	s->loop = loop;
	s->outputs = outputs;
	s->refresh.cb = refresh;
	s->refresh.arg = s;
	if (counter_mark(counter, &now))
		goto fail;
	s->epoch = now.epoch;
	for (i = 0; i < cfg->n_servers; i++)
		if (add_peer(s, &cfg->servers[i]))
			goto fail;
	return s;

fail:
	sync_free(s);
	return NULL;
}

void sync_start(struct sync *s)
{
	unsigned int i;

	for (i = 0; i < s->n_peers; i++)
		s->peers[i].source->ops->start(s->peers[i].source);
}

int sync_look(struct sync *s, struct sync_view *v)
{
	struct source_report r;

	memset(v, 0, sizeof(*v));
	if (!s->chosen || counter_mark(s->counter, &v->mark) || v->mark.epoch != s->epoch)
		return -EAGAIN;
	peer_map(s->chosen, v->mark.value, &v->map);
	if (v->map.status == FFE_UNSYNC)
		return -EAGAIN;
	s->chosen->source->ops->report(s->chosen->source, &r);
	ffe_tracking(s->chosen->ffe, &v->track);
	v->server = s->chosen->source->name;
	memcpy(v->address, r.address, sizeof(v->address));
	v->stamps = v->track.stamps;
	v->system_ns = v->mark.realtime_ns - v->map.time_ns;
	return 0;
}

void sync_describe(struct sync *s, char *buf, size_t len)
{
	struct sync_view v;

	if (sync_look(s, &v)) {
		snprintf(buf, len, "waiting for a server");
		return;
	}
	snprintf(buf, len, "%s from %s, bound %.1f us, rate %+.3f ppm, system clock %+.1f us",
		 ffe_status_name(v.map.status), v.server, v.map.bound_ns * 1e-3,
		 v.track.rate * 1e6, (double)v.system_ns * 1e-3);
}
