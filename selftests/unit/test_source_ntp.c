// SPDX-License-Identifier: GPL-2.0-only
/*
 * The NTP source against servers of every kind, honest ones and liars, on the
 * loopback: real sockets, real kernel timestamps, one real loop.
 *
 * All servers run at once, a thread each, for RUN_S seconds; then each test
 * looks at what became of its server.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "ntp_packet.h"
#include "pump.h"
#include "source.h"

#define NSEC	INT64_C(1000000000)
#define RUN_S	12

enum behaviour {
	HONEST, HONEST6, LOCALHOST, UNKNOWN_NAME, SILENT, CLOSED, DEAF_AT_FIRST, LATE, TWICE,
	WRONG_ORIGIN, WRONG_ORIGIN_FIRST, ECHO_BACK, SHORT, LONG, EMPTY, OLD_VERSION, FLOOD,
	STRATUM_0, STRATUM_16, LEAP_3, NO_STAMP, DISORDER, FUTURE_REF, FAR_ROOT,
	RATE, RATE_LONG, DENY, RSTR, FORGED_DENY, OTHER_KISS, HELD_LONG, BURSTING,
	LOOPING, LOOPING6, OTHER_REFID, RESTARTING, POOL_A, POOL_B,
	N_CASES
};

struct server {
	enum behaviour		what;
	struct config_source	cfg;
	int			fd;		/* -1: nobody there */
	pthread_t		thread;
	bool			running;
	/* what the server saw */
	unsigned int		requests;
	unsigned int		same_port;
	uint16_t		last_port;
	uint64_t		last_cookie;
	unsigned int		same_cookie;
	unsigned int		telling;	/* requests that tell of the client */
	/* what the client made of it */
	struct source		*source;
	unsigned int		stamps;
	unsigned int		missed;
	unsigned int		kernel_tx;
	unsigned int		kernel_rx;
	unsigned int		untrue;
	unsigned int		rejected;
	double			worst_ns;
	struct ffe		*ffe;
	struct source_report	report;
};

static struct server servers[N_CASES];
static struct counter *counter;
static struct loop *loop;
static bool no_ipv6;
static bool no_localhost;

static int64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

static void put64(uint8_t *p, uint64_t v)
{
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static uint64_t to_ntp(int64_t ns)
{
	return (uint64_t)(ns / NSEC + NTP_UNIX_OFFSET) << 32 |
	       (uint64_t)((unsigned __int128)(uint64_t)(ns % NSEC) * (1ULL << 32) / NSEC);
}

/* The servers ------------------------------------------------------------- */

static void answer(struct server *s, const uint8_t *req, const struct sockaddr_storage *to,
		   socklen_t to_len, int64_t tb)
{
	uint8_t p[80] = { 0 };
	size_t len = NTP_PACKET_LEN;
	const char *kiss = NULL;
	int repeat = 1, i;

	p[0] = 4 << 3 | 4;
	p[1] = 1;
	p[3] = (uint8_t)-20;
	memcpy(p + 12, "TEST", 4);
	put64(p + 16, to_ntp(tb - 5 * NSEC));
	memcpy(p + 24, req + 40, 8);
	put64(p + 32, to_ntp(tb));
	put64(p + 40, to_ntp(real_ns()));

	switch (s->what) {
	case SILENT:
		return;
	case DEAF_AT_FIRST:
		if (s->requests < 10)
			return;
		break;
	case LATE:
		usleep(950000);	/* the client waits 7/8 of a second */
		break;
	case TWICE:
		repeat = 2;
		break;
	case WRONG_ORIGIN:
		p[31] ^= 1;
		break;
	case WRONG_ORIGIN_FIRST:
		p[24] ^= 0x80;
		sendto(s->fd, p, len, 0, (const struct sockaddr *)to, to_len);
		p[24] ^= 0x80;
		break;
	case ECHO_BACK:
		memcpy(p, req, NTP_PACKET_LEN);
		break;
	case SHORT:
		len = 47;
		break;
	case LONG:
		len = 68;
		break;
	case EMPTY:
		len = 0;
		break;
	case OLD_VERSION:
		p[0] = 1 << 3 | 4;
		break;
	case FLOOD:
		p[24] ^= 1;
		repeat = 100;
		break;
	case STRATUM_0:
		p[1] = 0;
		memset(p + 12, 0, 4);
		break;
	case STRATUM_16:
		p[1] = 16;
		break;
	case LEAP_3:
		p[0] |= 3 << 6;
		break;
	case NO_STAMP:
		put64(p + 40, 0);
		break;
	case DISORDER:
		put64(p + 40, to_ntp(tb - NSEC / 1000));
		break;
	case FUTURE_REF:
		put64(p + 16, to_ntp(tb + 60 * NSEC));
		break;
	case FAR_ROOT:
		p[8 + 1] = 20;
		break;
	case RATE:
		kiss = "RATE";
		break;
	case RATE_LONG:
		kiss = "RATE";
		p[2] = 7;
		break;
	case DENY:
		kiss = "DENY";
		break;
	case RSTR:
		kiss = "RSTR";
		break;
	case OTHER_KISS:
		kiss = "INIT";
		break;
	case FORGED_DENY:
		p[1] = 0;
		memcpy(p + 12, "DENY", 4);
		p[24] ^= 1;
		sendto(s->fd, p, len, 0, (const struct sockaddr *)to, to_len);
		p[24] ^= 1;
		p[1] = 1;
		break;
	case HELD_LONG:
		put64(p + 40, to_ntp(tb + 2 * NSEC));
		break;
	case LOOPING:
		p[1] = 2;
		memcpy(p + 12, "\x7f\0\0\1", 4);
		break;
	case LOOPING6:
		/* MD5 of ::1 begins with these */
		p[1] = 2;
		memcpy(p + 12, "\xcf\x40\x4d\xc8", 4);
		break;
	case OTHER_REFID:
		p[1] = 2;
		memcpy(p + 12, "\x7f\0\0\2", 4);
		break;
	default:
		break;
	}
	if (kiss) {
		p[0] |= 3 << 6;
		p[1] = 0;
		memcpy(p + 12, kiss, 4);
	}
	for (i = 0; i < repeat; i++)
		sendto(s->fd, p, len, 0, (const struct sockaddr *)to, to_len);
}

static void *serve(void *arg)
{
	struct server *s = arg;

	for (;;) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		uint8_t req[128];
		ssize_t n = recvfrom(s->fd, req, sizeof(req), 0, (struct sockaddr *)&from,
				     &from_len);
		int64_t tb = real_ns();
		uint64_t cookie;
		uint16_t port;
		int i;

		if (n == 4)	/* told to end */
			return NULL;
		if (n != NTP_PACKET_LEN)
			continue;
		port = from.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&from)->sin6_port :
						    ((struct sockaddr_in *)&from)->sin_port;
		cookie = get64(req + 40);
		s->same_port += s->requests && port == s->last_port;
		s->same_cookie += s->requests && cookie == s->last_cookie;
		s->last_port = port;
		s->last_cookie = cookie;
		for (i = 4; i < 40; i++)
			s->telling += !!req[i];
		/* a cookie that is the time would be one second off at most */
		s->telling += llabs((int64_t)(cookie >> 32) - (int64_t)(to_ntp(tb) >> 32)) <= 1;
		s->requests++;
		answer(s, req, &from, from_len, tb);
	}
}

static int open_server(struct server *s, int family)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct sockaddr_storage got;
	socklen_t len = sizeof(got);

	a4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -1;
	if (bind(s->fd, family == AF_INET6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4,
		 family == AF_INET6 ? sizeof(a6) : sizeof(a4)) ||
	    getsockname(s->fd, (struct sockaddr *)&got, &len)) {
		close(s->fd);
		s->fd = -1;
		return -1;
	}
	s->cfg.port = ntohs(family == AF_INET6 ? ((struct sockaddr_in6 *)&got)->sin6_port :
			    ((struct sockaddr_in *)&got)->sin_port);
	return 0;
}

/* The client's side ------------------------------------------------------- */

static void on_stamp(void *arg, const struct source_stamp *st)
{
	struct server *s = arg;
	struct counter_mark m;
	double period = counter_period_ns(counter), ta, tf;

	s->stamps++;
	s->kernel_tx += st->tx_kernel;
	s->kernel_rx += st->rx_kernel;
	if (ffe_process(s->ffe, &st->ffe, NULL) & FFE_EV_REJECTED)
		s->rejected++;
	/*
	 * Server and client share CLOCK_REALTIME: the request left before it
	 * came.  The period is the nominal one, so over the millisecond since,
	 * 500 ppm make 0.5 us.
	 */
	assert_int_equal(counter_mark(counter, &m), 0);
	ta = (double)(m.realtime_ns - st->ffe.tb) - (double)(m.value - st->ffe.ta) * period;
	tf = (double)(m.realtime_ns - st->ffe.te) - (double)(m.value - st->ffe.tf) * period;
	/* ta: minus the way there; tf: the way back */
	if (ta > 1000 || (tf < -1000 && s->what != HELD_LONG))
		s->untrue++;
	if (-ta > s->worst_ns)
		s->worst_ns = -ta;
}

static void on_missed(void *arg)
{
	((struct server *)arg)->missed++;
}

static void on_moved(void *arg)
{
	(void)arg;
}

static void burst(void *arg)
{
	struct server *s = arg;

	s->source->ops->burst(s->source);
	/* and again: one of them is enough */
	s->source->ops->burst(s->source);
}

static void restart(void *arg)
{
	static struct loop_timer again = { .cb = restart };
	struct server *s = arg;

	s->source->ops->restart(s->source);
	/* another break right after the first: asked at once again */
	if (!again.arg) {
		again.arg = s;
		loop_timer_set(loop, &again, NSEC / 2);
	}
}

static bool is_v6(int i)
{
	return i == HONEST6 || i == LOOPING6;
}

static int setup(void **state)
{
	struct loop_timer restarting = { .cb = restart, .arg = &servers[RESTARTING] };
	struct loop_timer bursting = { .cb = burst, .arg = &servers[BURSTING] };
	struct ffe_config fc = { 0 };
	int i;

	(void)state;
	log_setup(getenv("DEBUG") ? LOG_DEBUG : LOG_ERR, false);
	counter = counter_open(CONFIG_COUNTER_AUTO);
	loop = loop_new();
	assert_non_null(counter);
	assert_non_null(loop);
	fc.nominal_period_ns = counter_period_ns(counter);

	for (i = 0; i < N_CASES; i++) {
		struct server *s = &servers[i];
		struct source_sink sink = {
			.stamp = on_stamp, .missed = on_missed, .moved = on_moved, .arg = s,
		};

		s->what = (enum behaviour)i;
		strcpy(s->cfg.name, is_v6(i) ? "::1" : i == LOCALHOST ? "localhost" :
		       i == UNKNOWN_NAME ? "no-such-host.invalid" : "127.0.0.1");
		s->cfg.maxpoll = i == BURSTING || i == RESTARTING ? 5 : 0;
		s->cfg.minpoll = s->cfg.maxpoll;
		if (open_server(s, is_v6(i) ? AF_INET6 : AF_INET)) {
			assert_true(is_v6(i));
			no_ipv6 = true;
			continue;
		}
		if (i == CLOSED) {
			close(s->fd);
			s->fd = -1;
		} else {
			s->running = !pthread_create(&s->thread, NULL, serve, s);
			assert_true(s->running);
		}
		/* two sources of a name that has one server */
		s->cfg.pool = i == POOL_A || i == POOL_B;
		if (i == POOL_B)
			s->cfg.port = servers[POOL_A].cfg.port;
		s->ffe = calloc(1, ffe_size());
		assert_non_null(s->ffe);
		assert_int_equal(ffe_init(s->ffe, &fc), 0);
		s->source = source_ntp_new(&s->cfg, counter, loop, &sink);
		assert_non_null(s->source);
		s->source->ops->start(s->source);
	}
	loop_timer_set(loop, &bursting, NSEC);
	loop_timer_set(loop, &restarting, NSEC);
	pump(loop, RUN_S * 1000);

	for (i = 0; i < N_CASES; i++) {
		struct server *s = &servers[i];

		if (!s->source)
			continue;
		s->source->ops->report(s->source, &s->report);
		s->source->ops->destroy(s->source);
		free(s->ffe);
		if (s->running) {
			struct sockaddr_storage self;
			socklen_t len = sizeof(self);

			getsockname(s->fd, (struct sockaddr *)&self, &len);
			sendto(s->fd, "end", 4, 0, (struct sockaddr *)&self, len);
			pthread_join(s->thread, NULL);
			close(s->fd);
		}
	}
	no_localhost = !servers[LOCALHOST].report.address[0];
	loop_free(loop);
	counter_close(counter);
	return 0;
}

/* The tests --------------------------------------------------------------- */

/* Of RUN_S requests some may be lost to a busy machine, not most of them */
static void check_good(enum behaviour what)
{
	const struct server *s = &servers[what];

	if (s->stamps < RUN_S / 2)
		fail_msg("%u stamps of %u requests", s->stamps, s->requests);
	assert_int_equal(s->untrue, 0);
	assert_int_equal(s->report.good, s->stamps);
	assert_true(s->report.reach & 7);
}

static void check_useless(enum behaviour what)
{
	const struct server *s = &servers[what];

	assert_int_equal(s->stamps, 0);
	assert_true(s->missed >= RUN_S / 2);
	assert_int_equal(s->report.reach, 0);
	if (s->running)
		assert_true(s->requests >= RUN_S / 2);
}

static void test_honest(void **state)
{
	const struct server *s = &servers[HONEST];

	(void)state;
	check_good(HONEST);
	print_message("# %u stamps, longest way there %.1f us, kernel stamps: %u out, %u in\n",
		      s->stamps, s->worst_ns * 1e-3, s->kernel_tx, s->kernel_rx);
	assert_int_equal(s->kernel_tx, s->stamps);
	assert_int_equal(s->kernel_rx, s->stamps);
	assert_int_equal(s->rejected, 0);
	assert_string_equal(s->report.address, "127.0.0.1");
	/* ports are random; two in a row may be the same by chance, most not */
	assert_true(s->same_port <= 1);
	assert_int_equal(s->same_cookie, 0);
	assert_int_equal(s->telling, 0);
}

static void test_honest6(void **state)
{
	(void)state;
	if (no_ipv6)
		skip();
	check_good(HONEST6);
	assert_int_equal(servers[HONEST6].kernel_tx, servers[HONEST6].stamps);
	assert_string_equal(servers[HONEST6].report.address, "::1");
}

static void test_names(void **state)
{
	(void)state;
	/* a name nobody knows harms nobody: the others had their answers meanwhile */
	assert_int_equal(servers[UNKNOWN_NAME].stamps, 0);
	assert_int_equal(servers[UNKNOWN_NAME].report.sent, 0);
	if (no_localhost)
		skip();
	/* the address may be ::1, where nobody listens, then 127.0.0.1 */
	assert_true(servers[LOCALHOST].stamps || servers[LOCALHOST].missed >= 8);
}

static void test_silence(void **state)
{
	const struct server *s = &servers[DEAF_AT_FIRST];

	(void)state;
	check_useless(SILENT);
	check_useless(CLOSED);
	/* after 8 misses the name is looked up anew; the server is found again */
	assert_true(s->missed >= 8);
	assert_true(s->stamps >= 1);
	assert_int_equal(s->untrue, 0);
}

static void test_late(void **state)
{
	(void)state;
	check_useless(LATE);
	assert_int_equal(servers[LATE].report.bad, 0);
}

static void test_twice(void **state)
{
	(void)state;
	check_good(TWICE);
	assert_true(servers[TWICE].stamps <= servers[TWICE].requests);
	assert_int_equal(servers[TWICE].report.bad, 0);
}

static void test_no_answer_to_us(void **state)
{
	static const enum behaviour kinds[] = {
		WRONG_ORIGIN, ECHO_BACK, SHORT, LONG, EMPTY, OLD_VERSION,
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		check_useless(kinds[i]);
		assert_true(servers[kinds[i]].report.bad >= RUN_S / 2);
	}
	/* and the true answer behind a false one is still taken */
	check_good(WRONG_ORIGIN_FIRST);
	check_good(FORGED_DENY);
}

static void test_flood(void **state)
{
	const struct server *s = &servers[FLOOD];

	(void)state;
	check_useless(FLOOD);
	/* the socket is given up after 32 */
	assert_true(s->report.bad <= 32 * s->report.sent);
	assert_true(s->report.bad >= 32);
}

static void test_no_time(void **state)
{
	static const enum behaviour kinds[] = {
		STRATUM_0, STRATUM_16, LEAP_3, NO_STAMP, DISORDER, FUTURE_REF, FAR_ROOT,
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		check_useless(kinds[i]);
}

static void test_kisses(void **state)
{
	(void)state;
	/* RATE: 2 s, 4 s, 8 s ... and at 2^7 s nothing more */
	assert_int_equal(servers[RATE].stamps, 0);
	assert_in_range(servers[RATE].requests, 2, 4);
	assert_true(servers[RATE].report.interval_s >= 4);
	assert_int_equal(servers[RATE_LONG].requests, 1);
	assert_true(servers[RATE_LONG].report.interval_s == 128);
	/* refused: never again, at this address */
	assert_int_equal(servers[DENY].requests, 1);
	assert_int_equal(servers[RSTR].requests, 1);
	/* other codes say no time, not go away */
	check_useless(OTHER_KISS);
}

static void test_held_long(void **state)
{
	(void)state;
	/* the server claims to have kept the request for longer than it was away */
	assert_true(servers[HELD_LONG].stamps > 0);
	assert_int_equal(servers[HELD_LONG].rejected, servers[HELD_LONG].stamps);
}

static void test_burst(void **state)
{
	const struct server *s = &servers[BURSTING];

	(void)state;
	/* one at 0 s; from 1 s on every 2 s; at 32 s intervals there would be one */
	assert_in_range(s->requests, 5, 8);
	assert_int_equal(s->stamps, s->requests);
}

static void test_loop(void **state)
{
	(void)state;
	/* a server that follows this host has nothing to tell it */
	check_useless(LOOPING);
	if (!no_ipv6)
		check_useless(LOOPING6);
	check_good(OTHER_REFID);
	assert_int_equal(servers[OTHER_REFID].report.stratum, 2);
}

static void test_restart(void **state)
{
	const struct server *s = &servers[RESTARTING];

	(void)state;
	/* at 0 s, at 1 s, at 1.5 s and from there on every 2 s, less up to 1/32 */
	assert_in_range(s->requests, 6, 9);
	assert_in_range(s->stamps, s->requests - 2, s->requests);
}

static void test_pool(void **state)
{
	(void)state;
	/* one server has one vote */
	assert_true(!servers[POOL_A].stamps != !servers[POOL_B].stamps);
	assert_int_equal(servers[POOL_A].report.sent + servers[POOL_B].report.sent,
			 servers[POOL_A].requests);
	assert_int_equal(servers[POOL_B].requests, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_honest),
		cmocka_unit_test(test_honest6),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_no_answer_to_us),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_no_time),
		cmocka_unit_test(test_kisses),
		cmocka_unit_test(test_held_long),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_pool),
	};

	return cmocka_run_group_tests_name("source_ntp", tests, setup, NULL);
}
