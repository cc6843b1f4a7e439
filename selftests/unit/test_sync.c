// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of what ffclockd does with stamps: choosing a server, telling the
 * outputs, starting over when the counter breaks, leap seconds.
 *
 * Sources, counter and loop are the test's own: time stands still until a test
 * moves it.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include <cmocka.h>

#include "counter.h"
#include "log.h"
#include "ntp_packet.h"
#include "output.h"
#include "source.h"
#include "sync.h"

#define NSEC	INT64_C(1000000000)
#define START	(INT64_C(1795000000) * NSEC)

/* The world: continuous true time, and a counter 20 ppm fast of 1 ns ---------- */

static int64_t now;		/* ns */
static int64_t counter_off;
static double counter_rate = 1 + 20e-6;
static uint32_t epoch;
static unsigned int pending_break;
static int leaps;		/* applied by the servers */

struct counter {
	int	unused;
};

static struct counter the_counter;

static uint64_t counter_at(int64_t t)
{
	return (uint64_t)(1000000000000 + counter_off +
			  (int64_t)((double)(t - START) * counter_rate));
}

int counter_mark(struct counter *c, struct counter_mark *m)
{
	(void)c;
	memset(m, 0, sizeof(*m));
	m->value = counter_at(now);
	m->realtime_ns = now - leaps * NSEC + 1000;	/* the system clock is 1 us ahead */
	m->raw_ns = now;
	m->epoch = epoch;
	return 0;
}

unsigned int counter_check(struct counter *c, char *why, size_t why_len)
{
	unsigned int ev = pending_break;

	(void)c;
	pending_break = 0;
	if (ev)
		snprintf(why, why_len, "the test says so");
	return ev;
}

static bool kernel_owns_epochs;

void counter_broke(struct counter *c)
{
	(void)c;
	if (!kernel_owns_epochs)
		epoch++;
}

const char *counter_name(const struct counter *c)
{
	(void)c;
	return "test";
}

double counter_period_ns(const struct counter *c)
{
	(void)c;
	return 1;
}

/* The loop: nothing happens by itself */

static struct loop_timer *refresh_timer;

int counter_device_fd(const struct counter *c)
{
	(void)c;
	return -1;
}

int64_t loop_now(void)
{
	return now;
}

void loop_timer_set(struct loop *loop, struct loop_timer *t, int64_t delay_ns)
{
	(void)loop;
	t->due_ns = now + delay_ns;
	t->armed = true;
	refresh_timer = t;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *t)
{
	(void)loop;
	t->armed = false;
}

int tai_offset(int64_t utc_sec);
int tai_offset(int64_t utc_sec)
{
	(void)utc_sec;
	return 37;
}

/* Sources ----------------------------------------------------------------- */

struct fake {
	struct source	base;
	uint8_t		reach;
	unsigned int	bursts;
	unsigned int	restarts;
	int		paced;
	/* how it answers */
	int64_t		off_ns;
	int64_t		rtt_ns;
	uint32_t	disp_ns;
	uint8_t		leap;
};

static double fake_interval = 16;
static struct fake *fakes[CONFIG_SOURCES_MAX];
static unsigned int n_fakes;

static void fake_start(struct source *s)
{
	(void)s;
}

static void fake_burst(struct source *s)
{
	((struct fake *)s)->bursts++;
}

static void fake_restart(struct source *s)
{
	((struct fake *)s)->restarts++;
}

static void fake_pace(struct source *s, int direction)
{
	((struct fake *)s)->paced = direction;
}

static void fake_report(const struct source *s, struct source_report *r)
{
	const struct fake *f = (const struct fake *)s;

	memset(r, 0, sizeof(*r));
	r->reach = f->reach;
	r->interval_s = fake_interval;
	strcpy(r->address, "192.0.2.1");
}

static void fake_destroy(struct source *s)
{
	free(s);
}

static const struct source_ops fake_ops = {
	.kind = "fake", .start = fake_start, .burst = fake_burst,
	.restart = fake_restart, .pace = fake_pace,
	.report = fake_report, .destroy = fake_destroy,
};

struct source *source_new(const struct config_source *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink)
{
	struct fake *f = calloc(1, sizeof(*f));

	(void)counter;
	(void)loop;
	assert_non_null(f);
	f->base.ops = &fake_ops;
	f->base.name = cfg->name;
	f->base.sink = *sink;
	f->rtt_ns = 100000;
	fakes[n_fakes++] = f;
	return &f->base;
}

static void stamp(struct fake *f)
{
	struct source_stamp st = {
		.ffe = {
			.ta = counter_at(now - f->rtt_ns - 50000),
			.tb = now - f->rtt_ns / 2 - 50000 + f->off_ns - leaps * NSEC,
			.te = now - f->rtt_ns / 2 - 50000 + f->off_ns - leaps * NSEC,
			.tf = counter_at(now - 50000),
			.root_disp_ns = f->disp_ns,
			.precision = -25, .leap = f->leap, .stratum = 1,
		},
		.epoch = epoch,
	};

	f->reach = (uint8_t)(f->reach << 1 | 1);
	f->base.sink.stamp(f->base.sink.arg, &st);
}

static void miss(struct fake *f)
{
	f->reach = (uint8_t)(f->reach << 1);
	f->base.sink.missed(f->base.sink.arg);
}

/* The output -------------------------------------------------------------- */

static struct output_update last;
static unsigned int updates, moves, notes;
static int output_says;

static int out_update(struct output *o, const struct output_update *u)
{
	(void)o;
	last = *u;
	updates++;
	moves += u->moved;
	return output_says;
}

static void out_note(struct output *o, const char *text)
{
	(void)o;
	assert_non_null(text);
	notes++;
}

static void out_destroy(struct output *o)
{
	(void)o;
}

static const struct output_ops out_ops = {
	.name = "test", .update = out_update, .note = out_note, .destroy = out_destroy,
};

static struct output the_output = { .ops = &out_ops };
static struct config cfg;
static struct sync *s;
/* Sources from this one on (number + 1, 0: none) are pulses */
static unsigned int pulses;

/* Options of the next set-up: source number + 1, or 0 */
static unsigned int preferred, trusted, watched, need;
static int64_t distance;

static int end(void **state);

/* Set up with n servers named a, b, c, ... */
static void begin(unsigned int n)
{
	unsigned int i;

	config_defaults(&cfg);
	for (i = 0; i < n; i++) {
		cfg.sources[i].name[0] = (char)('a' + i);
		cfg.sources[i].minpoll = 4;
		cfg.sources[i].maxpoll = 6;
		cfg.sources[i].prefer = i + 1 == preferred;
		cfg.sources[i].trust = i + 1 == trusted;
		cfg.sources[i].noselect = i == watched && watched;
		if (pulses && i + 1 >= pulses)
			cfg.sources[i].kind = CONFIG_SOURCE_PPS;
	}
	cfg.n_sources = n;
	if (need)
		cfg.min_sources = need;
	if (distance)
		cfg.max_distance_ns = distance;
	now = START;
	counter_off = 0;
	counter_rate = 1 + 20e-6;
	epoch = 1;
	leaps = 0;
	pending_break = 0;
	n_fakes = updates = moves = notes = 0;
	output_says = 0;
	memset(&last, 0, sizeof(last));
	s = sync_new(&cfg, &the_counter, NULL, &the_output, NULL);
	assert_non_null(s);
	assert_int_equal(n_fakes, n);
	sync_start(s);
}

static int end(void **state)
{
	(void)state;
	sync_free(s);
	s = NULL;
	preferred = trusted = watched = need = 0;
	distance = 0;
	return 0;
}

/* All servers answer @n times, every 16 s */
static void rounds(int n)
{
	unsigned int i;

	while (n--) {
		now += 16 * NSEC;
		for (i = 0; i < n_fakes; i++) {
			now += NSEC / 100;
			stamp(fakes[i]);
		}
	}
}

/* UTC by the last update, minus the truth */
static int64_t error_ns(void)
{
	return ffe_map_read(&last.map, counter_at(now), NULL, NULL) - (now - leaps * NSEC);
}

static const char *chosen(void)
{
	struct sync_view v;

	return sync_look(s, &v) ? "" : v.server;
}

/* The tests --------------------------------------------------------------- */

static void test_one(void **state)
{
	struct sync_view v;
	char line[256];
	uint64_t was;

	(void)state;
	begin(1);
	assert_int_equal(sync_look(s, &v), -EAGAIN);
	sync_describe(s, line, sizeof(line));
	assert_string_equal(line, "waiting for a server");
	rounds(1);
	assert_int_equal(updates, 1);
	assert_true(last.moved);
	assert_int_equal(fakes[0]->bursts, 1);	/* the estimator wants more */
	assert_true(llabs(error_ns()) <= (int64_t)last.map.bound_ns);
	rounds(60);
	assert_int_equal(updates, 61);
	assert_int_equal(moves, 1);
	assert_int_equal(last.map.status, FFE_SYNC);
	assert_int_equal(last.next_s, 16);
	assert_int_equal(last.epoch, 1);
	assert_int_equal(last.tai_offset, 37);
	assert_int_equal(last.leap_change, 0);
	assert_true(llabs(error_ns()) < 1000);
	/* the window of this path and oscillator is minutes long */
	fake_interval = 1;
	rounds(1);
	assert_int_equal(fakes[0]->paced, 1);
	fake_interval = 1000;
	rounds(1);
	assert_int_equal(fakes[0]->paced, -1);
	fake_interval = 16;
	assert_int_equal(sync_look(s, &v), 0);
	assert_string_equal(v.server, "a");
	assert_true(llabs(v.system_ns - 1000) < 1000);
	assert_true(fabs(v.track.rate + 20e-6) < 1e-7);
	sync_describe(s, line, sizeof(line));
	assert_non_null(strstr(line, "sync from a"));

	/* silence: the outputs hear of the growing bound, from the timer too */
	was = (uint64_t)last.map.bound_ns;
	now += 3600 * NSEC;
	miss(fakes[0]);
	assert_int_equal(updates, 64);
	assert_true(last.map.bound_ns > (double)was);
	now += 3600 * NSEC;
	refresh_timer->cb(refresh_timer->arg);
	assert_int_equal(updates, 65);
	assert_int_equal(last.map.status, FFE_HOLDOVER);
	assert_true(llabs(error_ns()) <= (int64_t)last.map.bound_ns);
}

static enum ens_state state_of(unsigned int i)
{
	struct sync_source v;

	assert_int_equal(sync_look_source(s, i, &v), 0);
	return v.look.state;
}

static void test_liar(void **state)
{
	struct sync_source v;
	unsigned int i;

	(void)state;
	begin(3);
	/* the liar has the shortest path, so the smallest bound, and answers first */
	fakes[1]->off_ns = NSEC / 2;
	fakes[1]->rtt_ns = 20000;
	fakes[2]->rtt_ns = 200000;
	now += NSEC;
	stamp(fakes[1]);
	assert_int_equal(updates, 0);	/* alone it is not believed at once */
	assert_int_equal(refresh_timer->due_ns - now, 4 * NSEC);
	rounds(30);
	assert_int_equal(moves, 1);
	assert_int_equal(state_of(0), ENS_USED);
	assert_int_equal(state_of(1), ENS_FALSE);
	assert_int_equal(state_of(2), ENS_USED);
	assert_int_equal(sync_look_source(s, 1, &v), 0);
	assert_true(llabs((int64_t)v.look.offset_ns - NSEC / 2) < 1000);
	assert_int_equal(sync_look_source(s, 3, &v), -ENOENT);
	assert_string_equal(chosen(), "a");
	assert_true(llabs(error_ns()) < 1000);
	/* the good one goes away: two are left that disagree, and the clock knows whom
	   to believe; the bound covers both */
	for (i = 0; i < 8; i++) {
		now += 16 * NSEC;
		miss(fakes[0]);
		stamp(fakes[1]);
		stamp(fakes[2]);
	}
	assert_string_equal(chosen(), "c");
	assert_int_equal(state_of(0), ENS_UNREACHABLE);
	assert_int_equal(state_of(1), ENS_UNDECIDED);
	assert_int_equal(last.map.status, FFE_SUSPECT);
	assert_true(last.map.bound_ns >= NSEC / 2);
	assert_true(llabs(error_ns()) < 1000);
	/* it comes back, and with it the majority */
	rounds(10);
	assert_int_equal(state_of(1), ENS_FALSE);
	assert_int_equal(last.map.status, FFE_SYNC);
	assert_true(llabs(error_ns()) < 1000);
	assert_int_equal(moves, 1);
}

/* Two that disagree from the start: no clock, unless one of them is trusted */
static void test_two_disagree(void **state)
{
	struct sync_view v;

	(void)state;
	begin(2);
	fakes[1]->off_ns = NSEC / 2;
	rounds(30);
	assert_int_equal(updates, 0);
	assert_int_equal(sync_look(s, &v), -EAGAIN);
	assert_int_equal(state_of(0), ENS_UNDECIDED);
	end(NULL);

	trusted = 1;
	begin(2);
	fakes[1]->off_ns = NSEC / 2;
	rounds(30);
	assert_int_equal(state_of(0), ENS_USED);
	assert_int_equal(state_of(1), ENS_FALSE);
	assert_true(llabs(error_ns()) < 1000);
}

static void test_options(void **state)
{
	int i;

	(void)state;
	preferred = 1;
	begin(3);
	fakes[0]->rtt_ns = 300000;
	rounds(20);
	assert_int_equal(state_of(0), ENS_USED);
	assert_int_equal(state_of(1), ENS_NOT_WANTED);
	/* outvoted it is not preferred any more */
	fakes[0]->off_ns = NSEC / 2;
	rounds(30);
	assert_int_equal(state_of(0), ENS_FALSE);
	assert_int_equal(state_of(1), ENS_USED);
	end(NULL);

	watched = 2;
	begin(3);
	fakes[2]->rtt_ns = 20000;
	rounds(20);
	assert_int_equal(state_of(2), ENS_NOT_WANTED);
	assert_int_equal(state_of(0), ENS_USED);
	end(NULL);

	/* a clock needs two that agree */
	need = 2;
	begin(2);
	for (i = 0; i < 5; i++) {
		now += 16 * NSEC;
		stamp(fakes[0]);
		miss(fakes[1]);
	}
	assert_int_equal(updates, 0);
	rounds(2);
	assert_true(updates > 0);
}

static void test_combine(void **state)
{
	struct sync_source a, b;
	int64_t was;
	int i;

	(void)state;
	begin(2);
	/* one path is 30 us unequal, which nobody can see */
	fakes[1]->off_ns = 15000;
	rounds(200);
	sync_look_source(s, 0, &a);
	sync_look_source(s, 1, &b);
	assert_true(fabs(a.look.weight + b.look.weight - 1) < 1e-9);
	assert_true(fabs(a.look.weight - 0.5) < 0.05);
	assert_true(llabs(error_ns() - 7500) < 1500);
	assert_true(llabs(error_ns()) <= (int64_t)last.map.bound_ns);
	/* one is lost: the clock does not jump, and comes to the other in time */
	was = error_ns();
	for (i = 0; i < 7; i++) {
		now += 16 * NSEC;
		stamp(fakes[0]);
		miss(fakes[1]);
	}
	now += 16 * NSEC;
	miss(fakes[1]);
	assert_int_equal(state_of(1), ENS_USED);	/* one of its last eight came back */
	miss(fakes[1]);
	stamp(fakes[0]);
	assert_int_equal(state_of(1), ENS_UNREACHABLE);
	assert_true(llabs(error_ns() - was) < 500);
	for (i = 0; i < 400; i++) {
		was = error_ns();
		now += 16 * NSEC;
		stamp(fakes[0]);
		assert_true(llabs(error_ns() - was) < 500);
		assert_true(llabs(error_ns()) <= (int64_t)last.map.bound_ns);
	}
	assert_true(llabs(error_ns()) < 500);
	assert_int_equal(moves, 1);
}

static void test_switch(void **state)
{
	int i;

	(void)state;
	begin(2);
	fakes[0]->rtt_ns = 150000;
	rounds(20);
	assert_string_equal(chosen(), "b");
	fakes[1]->disp_ns = 50000000;
	rounds(3);
	assert_string_equal(chosen(), "a");
	assert_int_equal(state_of(1), ENS_AGREES);
	assert_int_equal(moves, 1);	/* refined, not set anew */
	/* one that stops answering is left for one that does */
	fakes[1]->disp_ns = 0;
	for (i = 0; i < 8; i++) {
		now += 16 * NSEC;
		miss(fakes[0]);
		stamp(fakes[1]);
	}
	assert_string_equal(chosen(), "b");
	assert_int_equal(state_of(0), ENS_UNREACHABLE);
	assert_true(llabs(error_ns()) < 1000);
	/* when nobody answers the clock goes on as it was */
	for (i = 0; i < 300; i++) {
		now += 16 * NSEC;
		miss(fakes[0]);
		miss(fakes[1]);
	}
	assert_int_equal(last.map.status, FFE_HOLDOVER);
	assert_true(llabs(error_ns()) <= (int64_t)last.map.bound_ns);
	assert_int_equal(moves, 1);
}

/* A server whose time jumps is left to the others; when all do, they are right */
static void test_jumps(void **state)
{
	(void)state;
	begin(3);
	rounds(40);
	fakes[0]->off_ns = NSEC;
	rounds(10);
	assert_int_equal(state_of(0), ENS_FALSE);
	assert_true(llabs(error_ns()) < 1000);
	fakes[1]->off_ns = NSEC;
	rounds(10);
	assert_int_equal(state_of(2), ENS_FALSE);
	assert_true(llabs(error_ns() - NSEC) < 1000000);
	assert_int_equal(moves, 2);
}

static void test_distance(void **state)
{
	struct sync_view v;

	(void)state;
	begin(1);
	end(NULL);
	distance = 1000000;
	begin(1);
	fakes[0]->disp_ns = 20000000;
	rounds(20);
	assert_int_equal(updates, 0);
	assert_int_equal(sync_look(s, &v), -EAGAIN);
	fakes[0]->disp_ns = 0;
	rounds(1);
	assert_int_equal(updates, 1);
}

static void test_break(void **state)
{
	struct source_stamp old = { .epoch = 1 };
	struct sync_view v;

	(void)state;
	begin(2);
	rounds(40);
	assert_true(llabs(error_ns()) < 1000);
	updates = moves = 0;

	/* a migration: the counter loses 300 ms, the oscillator is another one */
	counter_off -= 300000000;
	counter_rate = 1 - 30e-6;
	epoch = 2;
	pending_break = COUNTER_EV_EPOCH | COUNTER_EV_MIGRATION;
	sync_check_counter(s);
	assert_int_equal(notes, 1);
	assert_int_equal(fakes[0]->restarts, 1);
	assert_int_equal(fakes[1]->restarts, 1);
	assert_int_equal(sync_look(s, &v), -EAGAIN);
	assert_int_equal(updates, 0);

	/* an exchange begun before it is not used */
	old.ffe = (struct ffe_stamp){ .ta = 1, .tf = 100001, .tb = now, .te = now, .stratum = 1 };
	fakes[0]->base.sink.stamp(fakes[0]->base.sink.arg, &old);
	assert_int_equal(updates, 0);

	rounds(1);
	assert_true(moves >= 1);
	assert_int_equal(last.epoch, 2);
	assert_true(llabs(error_ns()) <= (int64_t)last.map.bound_ns);
	rounds(40);
	assert_true(llabs(error_ns()) < 1000);

	/* a break that only the kernel knows of: the output says so */
	output_says = -ESTALE;
	epoch = 3;
	now += 16 * NSEC;
	refresh_timer->cb(refresh_timer->arg);
	assert_int_equal(notes, 2);
	output_says = 0;
	rounds(2);
	assert_int_equal(last.epoch, 3);
	/* and an output that keeps saying so does not hang us */
	output_says = -ESTALE;
	rounds(3);
	assert_int_equal(notes, 2);
}

/* A source that knows of a break (VMClock's marker), before the counter or after it */
static void test_told_break(void **state)
{
	(void)state;
	begin(2);
	rounds(40);
	moves = 0;
	counter_off -= 300000000;
	fakes[0]->base.sink.broke(fakes[0]->base.sink.arg, "the marker says so");
	assert_int_equal(notes, 1);
	assert_int_equal(fakes[0]->restarts, 1);
	assert_int_equal(fakes[1]->restarts, 1);
	rounds(2);
	assert_int_equal(last.epoch, 2);
	assert_true(moves >= 1 && llabs(error_ns()) <= (int64_t)last.map.bound_ns);

	/* the counter has noticed, and nobody has looked yet: once is enough */
	rounds(40);
	epoch = 3;
	pending_break = COUNTER_EV_EPOCH | COUNTER_EV_MIGRATION;
	fakes[1]->base.sink.broke(fakes[1]->base.sink.arg, "the marker says so");
	assert_int_equal(notes, 2);
	assert_int_equal(fakes[0]->restarts, 2);
	assert_int_equal(epoch, 3);

	/* a counter whose epochs are the kernel's: all begins anew in the same one */
	rounds(40);
	kernel_owns_epochs = true;
	fakes[1]->base.sink.broke(fakes[1]->base.sink.arg, "the marker says so");
	kernel_owns_epochs = false;
	assert_int_equal(notes, 3);
	assert_int_equal(fakes[0]->restarts, 3);
	rounds(2);
	assert_true(last.epoch == 3 && llabs(error_ns()) <= (int64_t)last.map.bound_ns);
}

/* Pulses ------------------------------------------------------------------ */

/* What a pulse's source makes of one that is @off_ns late: which second, says the clock */
static bool pulse(struct fake *f, int64_t off_ns)
{
	uint64_t at = counter_at(now);
	struct source_stamp st = {
		.ffe = { .ta = at - 20, .tf = at + 20, .root_disp_ns = 10000,
			 .client_err_ns = 300, .stratum = 1 },
		.epoch = epoch,
	};
	struct ffe_map map;
	int64_t t;

	if (f->base.sink.clock(f->base.sink.arg, at, epoch, &map))
		return false;
	t = ffe_map_read(&map, at, NULL, NULL);
	st.ffe.tb = (t + NSEC / 2) / NSEC * NSEC + (now - START) % NSEC + off_ns;
	st.ffe.te = st.ffe.tb;
	f->reach = (uint8_t)(f->reach << 1 | 1);
	f->base.sink.stamp(f->base.sink.arg, &st);
	return true;
}

/* START is a whole second: servers every 16 s, a pulse each second, for @n times 16 s */
static void pulse_rounds(int n)
{
	unsigned int i;
	int j;

	while (n--) {
		for (j = 0; j < 16; j++) {
			now = START + ((now - START) / NSEC + 1) * NSEC;
			for (i = pulses - 1; i < n_fakes; i++)
				pulse(fakes[i], 0);
		}
		now += NSEC / 10;
		for (i = 0; i < pulses - 1; i++)
			stamp(fakes[i]);
	}
}

static void test_pulses(void **state)
{
	double before;
	int i;

	(void)state;
	pulses = 2;
	begin(2);
	/* nobody can tell which second */
	assert_false(pulse(fakes[1], 0));
	assert_int_equal(updates, 0);
	/* a far server, 3 ms of asymmetry: good for the number; its clock is there at once */
	fakes[0]->rtt_ns = 10000000;
	fakes[0]->off_ns = 3000000;
	now = START + 100000000;
	stamp(fakes[0]);
	assert_int_equal(updates, 1);
	before = last.map.bound_ns;
	pulse_rounds(40);
	assert_true(llabs(error_ns()) < 1000);
	assert_true(last.map.bound_ns < before / 100);
	assert_string_equal(chosen(), "b");
	assert_true(state_of(0) == ENS_AGREES || state_of(0) == ENS_USED);

	/* without the server the pulses carry on */
	for (i = 0; i < 600; i++) {
		now = START + ((now - START) / NSEC + 1) * NSEC;
		assert_true(pulse(fakes[1], 0));
		if (!(i % 16))
			miss(fakes[0]);
	}
	assert_int_equal(state_of(0), ENS_UNREACHABLE);
	assert_int_equal(state_of(1), ENS_USED);
	assert_true(llabs(error_ns()) < 1000 && last.map.status == FFE_SYNC);
	/* a break of the counter: they do not know the number any more */
	pending_break = COUNTER_EV_EPOCH;
	epoch++;
	sync_check_counter(s);
	assert_false(pulse(fakes[1], 0));
	pulses = 0;
}

/* Pulses numbered by a clock are no witness for its seconds */
static void test_pulses_no_vote(void **state)
{
	(void)state;
	pulses = 4;
	begin(4);
	fakes[0]->off_ns = NSEC;	/* the first to answer lies by a whole second */
	now = START + 100000000;
	stamp(fakes[0]);
	now += (int64_t)(ENS_PATIENCE_S + 1) * NSEC;
	stamp(fakes[0]);
	pulse_rounds(20);
	assert_true(llabs(error_ns()) < 1000);
	assert_int_equal(state_of(0), ENS_FALSE);
	assert_int_equal(state_of(3), ENS_USED);
	pulses = 0;
}

/* Through a leap second at the end of this month, @change +1 or -1 */
static void leap(int change, bool applied)
{
	int64_t end_ns, utc_end;
	int i;

	begin(pulses ? 2 : 1);
	/* START is 2026-11-18; begin 2 h before the month's end */
	utc_end = INT64_C(1796083200);
	now = (utc_end - 7200) * NSEC;
	end_ns = change > 0 ? utc_end * NSEC : (utc_end - 1) * NSEC;
	fakes[0]->leap = change > 0 ? NTP_LEAP_ADD : NTP_LEAP_DEL;
	for (i = 0; i < 900; i++) {
		bool before = now + 16 * NSEC < end_ns;
		int64_t utc, want;

		now += 16 * NSEC;
		if (!before) {
			leaps = applied ? change : 0;
			fakes[0]->leap = NTP_LEAP_NONE;
		}
		stamp(fakes[0]);
		/* every 16 s, at a second's beginning of the servers' as of ours */
		if (pulses && i)
			assert_true(pulse(fakes[1], 0));
		if (before) {
			assert_int_equal(last.leap_change, change);
			assert_true(last.leap_utc_sec == utc_end);
		}
		/* as the kernel's readers do it */
		utc = ffe_map_read(&last.map, counter_at(now), NULL, NULL);
		if (last.leap_change && utc >= last.leap_utc_sec * NSEC)
			utc -= last.leap_change * NSEC;
		want = now - leaps * NSEC;
		if (i > 3 && llabs(utc - want) > 100000 && now > end_ns + 32 * NSEC)
			fail_msg("%lld ns off, %lld s after the leap", (long long)(utc - want),
				 (long long)((now - end_ns) / NSEC));
		if (i > 3 && before)
			assert_true(llabs(utc - want) <= 100000);
	}
	assert_int_equal(last.leap_change, 0);
	/* the estimator saw nothing of it */
	assert_int_equal(moves, 1);
	assert_true(llabs(error_ns()) < 1000);
}

static void test_leap_insert(void **state)
{
	(void)state;
	leap(1, true);
}

static void test_leap_delete(void **state)
{
	(void)state;
	leap(-1, true);
}

static void test_leap_false(void **state)
{
	(void)state;
	leap(1, false);
}

/* Pulses have no say on leap seconds, and go through them with all */
static void test_leap_pulses(void **state)
{
	(void)state;
	pulses = 2;
	leap(1, true);
	assert_int_equal(state_of(1), ENS_USED);
	end(NULL);
	leap(-1, true);
	assert_int_equal(state_of(1), ENS_USED);
	end(NULL);
	leap(1, false);
	assert_int_equal(state_of(1), ENS_USED);
	pulses = 0;
}

static void test_moved(void **state)
{
	(void)state;
	begin(1);
	rounds(40);
	/* another address of the server: the clock is kept, the path is new */
	fakes[0]->base.sink.moved(fakes[0]->base.sink.arg);
	fakes[0]->rtt_ns = 5000000;
	rounds(20);
	assert_int_equal(moves, 1);
	assert_true(llabs(error_ns()) < 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_one, end),
		cmocka_unit_test_teardown(test_liar, end),
		cmocka_unit_test_teardown(test_two_disagree, end),
		cmocka_unit_test_teardown(test_options, end),
		cmocka_unit_test_teardown(test_combine, end),
		cmocka_unit_test_teardown(test_switch, end),
		cmocka_unit_test_teardown(test_jumps, end),
		cmocka_unit_test_teardown(test_distance, end),
		cmocka_unit_test_teardown(test_break, end),
		cmocka_unit_test_teardown(test_told_break, end),
		cmocka_unit_test_teardown(test_pulses, end),
		cmocka_unit_test_teardown(test_pulses_no_vote, end),
		cmocka_unit_test_teardown(test_leap_insert, end),
		cmocka_unit_test_teardown(test_leap_delete, end),
		cmocka_unit_test_teardown(test_leap_false, end),
		cmocka_unit_test_teardown(test_leap_pulses, end),
		cmocka_unit_test_teardown(test_moved, end),
	};

	/* what sync says is for people; DEBUG=1 shows it */
	log_setup(getenv("DEBUG") ? LOG_INFO : LOG_EMERG, false);
	return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
