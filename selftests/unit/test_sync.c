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
	int		paced;
	/* how it answers */
	int64_t		off_ns;
	int64_t		rtt_ns;
	uint32_t	disp_ns;
	uint8_t		leap;
};

static struct fake *fakes[CONFIG_SERVERS_MAX];
static unsigned int n_fakes;

static void fake_start(struct source *s)
{
	(void)s;
}

static void fake_burst(struct source *s)
{
	((struct fake *)s)->bursts++;
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
	r->interval_s = 16;
	strcpy(r->address, "192.0.2.1");
}

static void fake_destroy(struct source *s)
{
	free(s);
}

static const struct source_ops fake_ops = {
	.kind = "fake", .start = fake_start, .burst = fake_burst, .pace = fake_pace,
	.report = fake_report, .destroy = fake_destroy,
};

struct source *source_ntp_new(const struct config_server *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink)
{
	struct fake *f = calloc(1, sizeof(*f));

	(void)counter;
	(void)loop;
	assert_non_null(f);
	f->base.ops = &fake_ops;
	f->base.name = cfg->host;
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

/* Set up with n servers named a, b, c, ... */
static void begin(unsigned int n)
{
	unsigned int i;

	config_defaults(&cfg);
	for (i = 0; i < n; i++) {
		cfg.servers[i].host[0] = (char)('a' + i);
		cfg.servers[i].minpoll = 4;
		cfg.servers[i].maxpoll = 6;
	}
	cfg.n_servers = n;
	now = START;
	counter_off = 0;
	counter_rate = 1 + 20e-6;
	epoch = 1;
	leaps = 0;
	pending_break = 0;
	n_fakes = updates = moves = notes = 0;
	output_says = 0;
	memset(&last, 0, sizeof(last));
	s = sync_new(&cfg, &the_counter, NULL, &the_output);
	assert_non_null(s);
	assert_int_equal(n_fakes, n);
	sync_start(s);
}

static int end(void **state)
{
	(void)state;
	sync_free(s);
	s = NULL;
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
	assert_int_equal(fakes[0]->paced, 1);
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
	assert_int_equal(updates, 62);
	assert_true(last.map.bound_ns > (double)was);
	now += 3600 * NSEC;
	refresh_timer->cb(refresh_timer->arg);
	assert_int_equal(updates, 63);
	assert_int_equal(last.map.status, FFE_HOLDOVER);
	assert_true(llabs(error_ns()) <= (int64_t)last.map.bound_ns);
}

static void test_liar(void **state)
{
	unsigned int i;

	(void)state;
	begin(3);
	/* the liar has the shortest path, so the smallest bound */
	fakes[1]->off_ns = NSEC / 2;
	fakes[1]->rtt_ns = 20000;
	fakes[2]->rtt_ns = 200000;
	rounds(30);
	assert_string_equal(chosen(), "a");
	assert_true(llabs(error_ns()) < 1000);
	/* the good one goes away: the other good one, not the liar */
	for (i = 0; i < 8; i++) {
		now += 16 * NSEC;
		miss(fakes[0]);
		stamp(fakes[1]);
		stamp(fakes[2]);
	}
	/* two are left that disagree: nobody can tell; the chosen one stays or not, */
	/* but what is told is a clock of one of them */
	assert_true(!strcmp(chosen(), "b") || !strcmp(chosen(), "c"));
	/* it comes back, and with it the majority */
	fakes[0]->reach = 0;
	rounds(10);
	assert_true(!strcmp(chosen(), "a") || !strcmp(chosen(), "c"));
	assert_true(llabs(error_ns()) < 1000);
}

static void test_switch(void **state)
{
	int i;

	(void)state;
	begin(2);
	fakes[0]->rtt_ns = 110000;
	rounds(20);
	/* 10 % better is no reason to change; the first to answer was a */
	assert_string_equal(chosen(), "a");
	fakes[0]->disp_ns = 50000000;
	rounds(3);
	assert_string_equal(chosen(), "b");
	assert_int_equal(moves, 1);	/* refined, not set anew */
	/* one that stops answering is left for one that does */
	fakes[0]->disp_ns = 0;
	for (i = 0; i < 8; i++) {
		now += 16 * NSEC;
		stamp(fakes[0]);
		miss(fakes[1]);
	}
	assert_string_equal(chosen(), "a");
	assert_true(llabs(error_ns()) < 1000);
}

static void test_distance(void **state)
{
	struct sync_view v;

	(void)state;
	begin(1);
	cfg.max_distance_ns = 1000000;
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
	unsigned int bursts;

	(void)state;
	begin(2);
	rounds(40);
	assert_true(llabs(error_ns()) < 1000);
	bursts = fakes[0]->bursts;
	updates = moves = 0;

	/* a migration: the counter loses 300 ms, the oscillator is another one */
	counter_off -= 300000000;
	counter_rate = 1 - 30e-6;
	epoch = 2;
	pending_break = COUNTER_EV_EPOCH | COUNTER_EV_MIGRATION;
	sync_check_counter(s);
	assert_int_equal(notes, 1);
	assert_int_equal(fakes[0]->bursts, bursts + 1);
	assert_true(fakes[1]->bursts > 0);
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

/* Through a leap second at the end of this month, @change +1 or -1 */
static void leap(int change, bool applied)
{
	int64_t end_ns, utc_end;
	int i;

	begin(1);
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
		cmocka_unit_test_teardown(test_switch, end),
		cmocka_unit_test_teardown(test_distance, end),
		cmocka_unit_test_teardown(test_break, end),
		cmocka_unit_test_teardown(test_leap_insert, end),
		cmocka_unit_test_teardown(test_leap_delete, end),
		cmocka_unit_test_teardown(test_leap_false, end),
		cmocka_unit_test_teardown(test_moved, end),
	};

	/* what sync says is for people; DEBUG=1 shows it */
	log_setup(getenv("DEBUG") ? LOG_INFO : LOG_EMERG, false);
	return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
