// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the NTP server: what it answers, to whom, how often, and that it
 * never sends more than it got.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "ntp_packet.h"
#include "output.h"
#include "pump.h"
#include "server_access.h"

#define NSEC	INT64_C(1000000000)

struct counter {
	int	unused;
};

static struct counter the_counter;
static uint32_t epoch = 1;

/* The counter is CLOCK_REALTIME, and our clock is that plus 100 s */
int counter_mark(struct counter *c, struct counter_mark *m)
{
	struct timespec now;

	(void)c;
	clock_gettime(CLOCK_REALTIME, &now);
	memset(m, 0, sizeof(*m));
	m->realtime_ns = now.tv_sec * NSEC + now.tv_nsec;
	m->value = (uint64_t)m->realtime_ns;
	m->epoch = epoch;
	return 0;
}

static struct loop *loop;
static struct output *out;
static struct output_update update;
static struct config cfg;
static uint16_t port;
static int sock;

static void connect_to(int family)
{
	struct sockaddr_in a4 = {
		.sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_in6 a6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback,
	};

	if (sock >= 0)
		close(sock);
	sock = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_true(sock >= 0);
	assert_int_equal(connect(sock, family == AF_INET ? (struct sockaddr *)&a4 :
				 (struct sockaddr *)&a6, family == AF_INET ? sizeof(a4) :
				 sizeof(a6)), 0);
}

static int set_up(void **state)
{
	(void)state;
	log_setup(LOG_EMERG, false);
	loop = loop_new();
	assert_non_null(loop);
	memset(&cfg, 0, sizeof(cfg));
	cfg.rate_per_s = 1000;
	cfg.rate_burst = 1000;
	cfg.n_serve = 1;
	/* a port that is free */
	for (port = 20000 + (uint16_t)(getpid() % 20000), out = NULL; !out && port < 60000; port++) {
		cfg.serve[0].port = port;
		out = output_server_new(&cfg, &the_counter, loop);
	}
	port--;
	assert_non_null(out);
	sock = -1;
	connect_to(AF_INET);
	memset(&update, 0, sizeof(update));
	update.epoch = 1;
	update.stratum = 2;
	strcpy(update.address, "192.0.2.7");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(sock);
	out->ops->destroy(out);
	loop_free(loop);
	return 0;
}

static void tell(double bound)
{
	struct counter_mark m;

	counter_mark(NULL, &m);
	update.map = (struct ffe_map){
		.counter = m.value, .time_ns = m.realtime_ns + 100 * NSEC, .period_ns = 1,
		.bound_ns = bound, .status = FFE_SYNC,
	};
	out->ops->update(out, &update);
}

static uint8_t got[1500];

/* Ask with @len bytes, the first of which is @first; the length of the answer, -1: none */
static ssize_t ask(uint8_t first, size_t len)
{
	uint8_t q[1500] = { first };
	ssize_t n = -1;
	int i;

	memcpy(q + 40, "\1\2\3\4\5\6\7\10", 8);
	q[2] = 6;
	assert_int_equal(send(sock, q, len, 0), len);
	for (i = 0; i < 10 && n < 0; i++) {
		pump(loop, 5);
		n = recv(sock, got, sizeof(got), 0);
	}
	return n;
}

static uint32_t word(int at)
{
	uint32_t v;

	memcpy(&v, got + at, sizeof(v));
	return ntohl(v);
}

static void test_answer(void **state)
{
	struct ntp_answer a;
	struct timespec now;
	uint64_t cookie;
	int64_t expect;

	(void)state;
	tell(2e6);
	assert_int_equal(ask(0x23, 48), 48);
	clock_gettime(CLOCK_REALTIME, &now);
	expect = (now.tv_sec + 100) * NSEC + now.tv_nsec;
	memcpy(&cookie, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(got[0], 0x24);
	assert_int_equal(got[1], 3);
	assert_memory_equal(got + 24, "\1\2\3\4\5\6\7\10", 8);
	assert_memory_equal(got + 12, "\300\0\2\7", 4);
	/* 2 ms and a little in 2^-16 s, rounded up */
	assert_int_equal(word(4), 0);
	assert_true(word(8) >= 131 && word(8) <= 140);
	/* judged as a client would */
	assert_int_equal(ntp_answer_decode(got, 48, be64toh(cookie), now.tv_sec, &a), NTP_OK);
	assert_true(a.tb <= a.te && expect - a.tb >= 0 && expect - a.te < 2 * NSEC);
	/* in the client's version */
	assert_int_equal(ask(0x0b, 48), 48);
	assert_int_equal(got[0], 0x0c);
	/* longer requests (extension fields) get no longer answers */
	assert_int_equal(ask(0x23, 1400), 48);
}

static void test_unsynchronised(void **state)
{
	(void)state;
	assert_int_equal(ask(0x23, 48), 48);
	assert_int_equal(got[0] >> 6, 3);
	assert_int_equal(got[1], 0);
	tell(1e6);
	assert_int_equal(ask(0x23, 48), 48);
	assert_int_equal(got[0] >> 6, 0);
	/* the counter broke, noticed or not */
	epoch++;
	assert_int_equal(ask(0x23, 48), 48);
	assert_int_equal(got[0] >> 6, 3);
	epoch--;
	out->ops->broke(out, true);
	assert_int_equal(ask(0x23, 48), 48);
	assert_int_equal(got[0] >> 6, 3);
	/* a bound that NTP cannot say, or none */
	tell(17e9);
	ask(0x23, 48);
	assert_int_equal(got[0] >> 6, 3);
	tell(NAN);
	ask(0x23, 48);
	assert_int_equal(got[0] >> 6, 3);
	tell(1e6);
	update.stratum = 15;
	tell(1e6);
	ask(0x23, 48);
	assert_int_equal(got[0] >> 6, 3);
	update.stratum = 2;
}

static void test_leap(void **state)
{
	struct timespec now;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &now);
	update.leap_change = 1;
	update.leap_utc_sec = now.tv_sec + 3600;
	tell(1e6);
	ask(0x23, 48);
	assert_int_equal(got[0] >> 6, 1);
	update.leap_change = -1;
	tell(1e6);
	ask(0x23, 48);
	assert_int_equal(got[0] >> 6, 2);
	update.leap_utc_sec = now.tv_sec + 100000;
	tell(1e6);
	ask(0x23, 48);
	assert_int_equal(got[0] >> 6, 0);
}

/* No answer to anything but a client's request: no mode 6, no mode 7, no scraps */
static void test_silence(void **state)
{
	int mode, version;
	size_t len;

	(void)state;
	tell(1e6);
	for (version = 0; version < 8; version++)
		for (mode = 0; mode < 8; mode++)
			if (mode != 3 || !version || version > 4)
				assert_int_equal(ask((uint8_t)(version << 3 | mode), 48), -1);
	for (len = 0; len < 48; len += 47)
		assert_int_equal(ask(0x23, len), -1);
	assert_int_equal(ask(0x23, 48), 48);
}

static void test_ipv6(void **state)
{
	(void)state;
	tell(1e6);
	connect_to(AF_INET6);
	assert_int_equal(ask(0x23, 48), 48);
	assert_int_equal(got[0], 0x24);
}

static void test_limit(void **state)
{
	int i, answers = 0, kisses = 0;

	(void)state;
	tell(1e6);
	cfg.rate_per_s = 0.01;
	cfg.rate_burst = 10;
	out->ops->reload(out, &cfg);
	for (i = 0; i < 100; i++) {
		uint8_t q[48] = { 0x23 };

		assert_int_equal(send(sock, q, 48, 0), 48);
		pump(loop, 1);
	}
	pump(loop, 20);
	while (recv(sock, got, sizeof(got), 0) == 48) {
		if (got[0] >> 6 == 3 && !got[1] && !memcmp(got + 12, "RATE", 4))
			kisses++;
		else
			answers++;
	}
	assert_int_equal(answers, 10);
	/* one in eight of those over the limit */
	assert_int_equal(kisses, 11);
}

static void test_access(void **state)
{
	struct server_access a;
	static const uint8_t lan[] = { 192, 168, 3, 4 }, other[] = { 192, 169, 3, 4 };
	static const uint8_t loopback[] = { 127, 0, 0, 9 };
	uint8_t six[16] = { 0x20, 1, 0xd, 0xb8, 1 };
	struct config c = { .rate_per_s = 1, .rate_burst = 4 };
	int i;

	(void)state;
	assert_int_equal(server_access_init(&a), 0);
	server_access_set(&a, &c);
	assert_int_equal(server_access_check(&a, loopback, 4, 0), SERVER_ANSWER);
	assert_int_equal(server_access_check(&a, lan, 4, 0), SERVER_DENIED);
	c.access[0] = (struct config_access){ .addr = { 192, 168 }, .len = 4, .bits = 16, .allow = 1 };
	c.access[1] = (struct config_access){ .addr = { 192, 168, 3 }, .len = 4, .bits = 24 };
	c.access[2] = (struct config_access){ .addr = { 192, 168, 3, 4 }, .len = 4, .bits = 31,
					      .allow = 1 };
	c.access[3] = (struct config_access){ .len = 16, .allow = 1 };
	c.n_access = 4;
	server_access_set(&a, &c);
	assert_int_equal(server_access_check(&a, lan, 4, 0), SERVER_ANSWER);
	assert_int_equal(server_access_check(&a, (uint8_t[]){ 192, 168, 3, 5 }, 4, 0), SERVER_ANSWER);
	assert_int_equal(server_access_check(&a, (uint8_t[]){ 192, 168, 3, 6 }, 4, 0), SERVER_DENIED);
	assert_int_equal(server_access_check(&a, (uint8_t[]){ 192, 168, 9, 6 }, 4, 0), SERVER_ANSWER);
	assert_int_equal(server_access_check(&a, other, 4, 0), SERVER_DENIED);
	/* all addresses of a /64 are one client */
	for (i = 0; i < 4; i++) {
		six[15] = (uint8_t)i;
		assert_int_equal(server_access_check(&a, six, 16, 0), SERVER_ANSWER);
	}
	six[15]++;
	assert_int_equal(server_access_check(&a, six, 16, 0), SERVER_LIMITED);
	assert_int_equal(server_access_check(&a, six, 16, NSEC), SERVER_ANSWER);
	assert_int_equal(server_access_check(&a, six, 16, NSEC), SERVER_LIMITED);
	six[7]++;
	assert_int_equal(server_access_check(&a, six, 16, NSEC), SERVER_ANSWER);
	/* a flood of clients does not break anything */
	for (i = 0; i < 100000; i++) {
		memcpy(six, &i, sizeof(i));
		assert_int_equal(server_access_check(&a, six, 16, 2 * NSEC), SERVER_ANSWER);
	}
	server_access_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unsynchronised, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_leap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ipv6, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
		cmocka_unit_test(test_access),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
