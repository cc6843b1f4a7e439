// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the answers on the control socket say.
 *
 * Units are in the members' names; times of day are in seconds since 1970 as
 * strings with nine decimals, which a double cannot hold.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "control_internal.h"

#define NSEC	INT64_C(1000000000)

static void add(struct json_object *o, const char *name, struct json_object *v)
{
	json_object_object_add(o, name, v);
}

static void add_string(struct json_object *o, const char *name, const char *v)
{
	add(o, name, v ? json_object_new_string(v) : NULL);
}

/* JSON has neither infinity nor not-a-number: null; digits as many as mean something */
static void add_number(struct json_object *o, const char *name, double v, int decimals)
{
	char text[64];

	if (!isfinite(v)) {
		add(o, name, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%.*f", decimals, v);
	add(o, name, json_object_new_double_s(v, text));
}

static void add_int(struct json_object *o, const char *name, int64_t v)
{
	add(o, name, json_object_new_int64(v));
}

static void add_count(struct json_object *o, const char *name, uint64_t v)
{
	add(o, name, json_object_new_uint64(v));
}

static void add_time(struct json_object *o, const char *name, int64_t ns)
{
	char text[48];

	snprintf(text, sizeof(text), "%" PRId64 ".%09" PRId64, ns / NSEC, ns % NSEC);
	add_string(o, name, ns < 0 ? NULL : text);
}

static void add_refid(struct json_object *o, uint32_t refid)
{
	char text[16];

	/* network byte order: as it is written */
	snprintf(text, sizeof(text), "%08" PRIX32, __builtin_bswap32(refid));
	add_string(o, "refid", text);
}

void control_tracking(struct json_object *o, const struct control_memory *m, struct sync *sync,
		      struct counter *counter)
{
	struct sync_view v;
	struct json_object *c = json_object_new_object();
	bool synced = !sync_look(sync, &v);

	add_string(c, "name", counter_name(counter));
	add_number(c, "nominal_period_ns", counter_period_ns(counter), 12);
	add_count(c, "epoch", v.mark.epoch);
	add_count(c, "breaks", m->broke);
	add_count(c, "migrations", m->migrations);
	add(o, "counter", c);
	add_number(o, "uptime_s", (double)(loop_now() - m->start_ns) * 1e-9, 3);
	add_count(o, "updates", m->updates);
	add_string(o, "status", synced ? ffe_status_name(v.map.status) : "unsync");
	if (!synced)
		return;
	add_string(o, "source", v.server);
	add_string(o, "address", v.address);
	add_count(o, "sources_used", v.used);
	add_count(o, "stamps", v.stamps);
	add_time(o, "time", v.map.time_ns);
	add_count(o, "counter_value", v.map.counter);
	add_number(o, "bound_ns", v.map.bound_ns, 1);
	add_number(o, "error_ns", v.map.est_error_ns, 1);
	add_number(o, "period_ns", v.map.period_ns, 15);
	add_number(o, "rate_ppm", v.track.rate * 1e6, 6);
	add_number(o, "rate_error_ppm", v.map.rate_est * 1e6, 6);
	add_number(o, "rate_bound_ppm", v.map.rate_bound * 1e6, 6);
	add_number(o, "wander_ppb_per_sqrt_s", v.track.wander * 1e9, 6);
	add_number(o, "window_s", v.track.window_s, 1);
	add_number(o, "last_offset_ns", v.track.last_offset_ns, 1);
	add_number(o, "last_rtt_ns", v.track.last_rtt_ns, 1);
	add_number(o, "min_rtt_ns", v.track.min_rtt_ns, 1);
	add_number(o, "asymmetry_ns", v.track.asym_ns, 1);
	/* positive: CLOCK_REALTIME is ahead */
	add_int(o, "system_offset_ns", v.system_ns);
	add_count(o, "system_pairing_ns", v.mark.err_ns);
	if (!m->have)
		return;
	add_int(o, "leap_change", m->last.leap_change);
	if (m->last.leap_change)
		add_int(o, "leap_utc_sec", m->last.leap_utc_sec);
	add(o, "tai_offset_s", m->last.tai_offset ? json_object_new_int(m->last.tai_offset) : NULL);
	add_count(o, "next_update_s", m->last.next_s);
}

static struct json_object *source_object(const struct sync_source *v)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "name", v->cfg->name);
	add_string(o, "address", v->report.address);
	add_string(o, "state", ens_state_name(v->look.state));
	add_number(o, "weight", v->look.weight, 4);
	add_count(o, "stratum", v->report.stratum);
	add_refid(o, v->report.refid);
	add(o, "authenticated", json_object_new_boolean(v->report.authenticated));
	add_count(o, "reach", v->report.reach);
	add_number(o, "interval_s", v->report.interval_s, 3);
	add_count(o, "sent", v->report.sent);
	add_count(o, "good", v->report.good);
	add_count(o, "bad", v->report.bad);
	add_count(o, "used", v->track.stamps);
	add_count(o, "rejected", v->track.rejected);
	add_count(o, "restarts", v->track.restarts);
	add_count(o, "jumps", v->track.jumps);
	add_count(o, "upshifts", v->track.upshifts);
	add_count(o, "downshifts", v->track.downshifts);
	if (v->look.has_clock) {
		add_number(o, "offset_ns", v->look.offset_ns, 1);
		add_number(o, "bound_ns", v->look.bound_ns, 1);
		add_int(o, "leap_vote", v->look.leap_vote);
	}
	if (!v->track.stamps)
		return o;
	add_number(o, "last_offset_ns", v->track.last_offset_ns, 1);
	add_number(o, "last_rtt_ns", v->track.last_rtt_ns, 1);
	add_number(o, "min_rtt_ns", v->track.min_rtt_ns, 1);
	add_number(o, "asymmetry_ns", v->track.asym_ns, 1);
	add_number(o, "rate_ppm", v->track.rate * 1e6, 6);
	add_number(o, "window_s", v->track.window_s, 1);
	return o;
}

void control_sources(struct json_object *o, struct sync *sync)
{
	struct json_object *list = json_object_new_array();
	struct sync_source v;
	unsigned int i;

	for (i = 0; !sync_look_source(sync, i, &v); i++)
		json_object_array_add(list, source_object(&v));
	add(o, "sources", list);
}

void control_stamps(struct json_object *o, const struct control_memory *m, struct sync *sync,
		    unsigned int count)
{
	struct json_object *list = json_object_new_array();
	struct sync_source v;
	unsigned int i;

	if (count > m->n)
		count = m->n;
	/* oldest first */
	for (i = count; i > 0; i--) {
		const struct control_stamp *s =
			&m->ring[(m->at + CONTROL_STAMPS_MAX - i) % CONTROL_STAMPS_MAX];
		struct json_object *e = json_object_new_object();

		add_string(e, "source", sync_look_source(sync, s->source, &v) ? NULL : v.cfg->name);
		add_count(e, "ta", s->s.ta);
		add_time(e, "tb", s->s.tb);
		add_time(e, "te", s->s.te);
		add_count(e, "tf", s->s.tf);
		add_count(e, "stratum", s->s.stratum);
		add_count(e, "leap", s->s.leap);
		add_count(e, "root_delay_ns", s->s.root_delay_ns);
		add_count(e, "root_dispersion_ns", s->s.root_disp_ns);
		add(e, "offset_ns", NULL);
		add(e, "rtt_ns", NULL);
		if (s->compared) {
			add_number(e, "offset_ns", s->offset_ns, 1);
			add_number(e, "rtt_ns", s->rtt_ns, 1);
		}
		json_object_array_add(list, e);
	}
	add(o, "stamps", list);
}
