// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the metrics: the text against the exposition format, the names
 * against ffclockd(8), HTTP requests of all kinds.
 */
#include <arpa/inet.h>
#include <ctype.h>
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
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "metrics.h"
#include "metrics_text.h"
#include "pump.h"

static bool synced = true;
static const struct config_source source = { .name = "a\"b\\c\nd" };

int sync_look(struct sync *s, struct sync_view *v)
{
	(void)s;
	memset(v, 0, sizeof(*v));
	v->map.bound_ns = (double)INFINITY;
	v->map.status = FFE_SYNC;
	return synced ? 0 : -EAGAIN;
}

int sync_look_source(struct sync *s, unsigned int i, struct sync_source *v)
{
	(void)s;
	memset(v, 0, sizeof(*v));
	v->cfg = &source;
	v->report.reach = 0x0f;
	v->report.good = 12345678901;
	return i < 2 ? 0 : -ENOENT;
}

/* Names: letters, digits, _; first no digit.  Return: what follows */
static const char *name(const char *p)
{
	assert_true(isalpha((unsigned char)*p) || *p == '_');
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	return p;
}

/* A line of values: NAME[{LABEL="VALUE",...}] NUMBER */
static void check_value(const char *line, const char *family)
{
	const char *p = name(line);
	char *end;

	assert_int_equal(p - line, strlen(family));
	assert_memory_equal(line, family, strlen(family));
	if (*p == '{') {
		do {
			p = name(p + 1);
			assert_int_equal(*p++, '=');
			assert_int_equal(*p++, '"');
			for (; *p != '"'; p++) {
				assert_int_not_equal(*p, '\0');
				if (*p == '\\') {
					p++;
					assert_non_null(strchr("\\\"n", *p));
				}
			}
			p++;
		} while (*p == ',');
		assert_int_equal(*p++, '}');
	}
	assert_int_equal(*p++, ' ');
	if (strcmp(p, "NaN") && strcmp(p, "+Inf") && strcmp(p, "-Inf")) {
		strtod(p, &end);
		assert_true(end > p && !*end);
	}
}

static char *page;

static bool documented(const char *family)
{
	char short_name[128];

	/* the page lists them without the prefix, a hyphen as \- */
	snprintf(short_name, sizeof(short_name), "\n.B %s\n", family + strlen("ffclockd_"));
	return strstr(page, short_name);
}

static void check_text(char *text)
{
	char family[128] = "", type[128] = "", kind[16], *line, *rest = text;
	int families = 0;

	assert_int_equal(text[strlen(text) - 1], '\n');
	while ((line = strsep(&rest, "\n")) && *line) {
		if (sscanf(line, "# HELP %127s", family) == 1) {
			assert_non_null(strchr(line + 7, ' '));
			assert_memory_equal(family, "ffclockd_", 9);
			if (!documented(family))
				fail_msg("ffclockd(8) does not list %s", family);
			families++;
			continue;
		}
		if (sscanf(line, "# TYPE %127s %15s", type, kind) == 2) {
			assert_string_equal(type, family);
			assert_true(!strcmp(kind, "gauge") || !strcmp(kind, "counter"));
			/* a convention that checkers insist on */
			assert_int_equal(!strcmp(kind, "counter"),
					 strlen(type) > 6 && !strcmp(type + strlen(type) - 6, "_total"));
			continue;
		}
		check_value(line, family);
	}
	assert_true(families > 15);
}

static void test_text(void **state)
{
	struct metrics_count c = { .start_s = 1795000000, .updates = 7 };
	char *text;
	size_t len;
	FILE *f;

	(void)state;
	for (synced = false;; synced = true) {
		f = open_memstream(&text, &len);
		metrics_write(f, &c, NULL);
		fclose(f);
		assert_non_null(strstr(text, "ffclockd_start_time_seconds 1795000000\n"));
		assert_non_null(strstr(text, "ffclockd_source_stamps_total{source=\"a\\\"b\\\\c\\nd\","
				       "number=\"1\"} 12345678901\n"));
		assert_non_null(strstr(text, "ffclockd_source_reach{source=\"a\\\"b\\\\c\\nd\","
				       "number=\"0\"} 0.5\n"));
		assert_int_equal(!strstr(text, "ffclockd_bound_seconds +Inf\n"), !synced);
		check_text(text);
		free(text);
		if (synced)
			return;
	}
}

/* The dashboard asks for nothing that there is not */
static void test_dashboard(void **state)
{
	const char *top = getenv("TOP"), *p;
	char path[4096], family[128];
	char *text = NULL;
	size_t len = 0;
	int found = 0;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/packaging/grafana-ffclockd.json", top ? top : FFCLOCK_TOP);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(getdelim(&text, &len, '\0', f) > 0);
	fclose(f);
	for (p = text; (p = strstr(p, "ffclockd_")); p++, found++) {
		assert_int_equal(sscanf(p, "%127[a-z_]", family), 1);
		if (!documented(family))
			fail_msg("ffclockd(8) does not list %s", family);
	}
	assert_true(found > 10);
	free(text);
}

static int judge(const char *text)
{
	return metrics_request(text, strlen(text));
}

static void test_requests(void **state)
{
	static char junk[5000];

	(void)state;
	assert_int_equal(judge("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	assert_int_equal(judge("GET /metrics HTTP/1.0\n\n"), 200);
	assert_int_equal(judge("GET /metrics?x=1 HTTP/1.1\r\n\r\n"), 200);
	assert_int_equal(judge("GET /metrics HTTP/1.1\r\nHost: x\r\n"), 0);
	assert_int_equal(judge(""), 0);
	assert_int_equal(judge("GET / HTTP/1.1\r\n\r\n"), 404);
	assert_int_equal(judge("GET /metricsx HTTP/1.1\r\n\r\n"), 404);
	assert_int_equal(judge("GET  HTTP/1.1\r\n\r\n"), 404);
	assert_int_equal(judge("POST /metrics HTTP/1.1\r\n\r\n"), 405);
	assert_int_equal(judge("\r\n\r\n"), 400);
	assert_int_equal(judge("GET /metrics\r\n\r\n"), 400);
	assert_int_equal(metrics_request("GET /me\0rics HTTP/1.1\r\n\r\n", 25), 400);
	memset(junk, 'x', sizeof(junk));
	assert_int_equal(metrics_request(junk, 4000), 0);
	assert_int_equal(metrics_request(junk, 4096), 400);
}

static int client(uint16_t port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void test_http(void **state)
{
	static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static char got[65536];
	struct loop *loop = loop_new();
	struct metrics *m = NULL;
	int fd, fds[20], i, closed = 0;
	size_t length = 0, have = 0;
	uint16_t port;
	char *body;
	ssize_t n;

	(void)state;
	log_setup(LOG_EMERG, false);
	for (port = 20000 + (uint16_t)(getpid() % 20000); !m && port < 60000; port++)
		m = metrics_new(port, loop);
	port--;
	assert_non_null(m);
	assert_int_equal(metrics_serve(m, NULL), 0);

	fd = client(port);
	/* in pieces */
	assert_int_equal(write(fd, ask, 10), 10);
	pump(loop, 10);
	assert_int_equal(write(fd, ask + 10, sizeof(ask) - 11), sizeof(ask) - 11);
	pump(loop, 50);
	while ((n = recv(fd, got + have, sizeof(got) - 1 - have, MSG_DONTWAIT)) > 0)
		have += (size_t)n;
	assert_int_equal(n, 0);		/* closed by the server */
	assert_memory_equal(got, "HTTP/1.1 200 OK\r\n", 17);
	body = strstr(got, "\r\n\r\n") + 4;
	assert_int_equal(sscanf(strstr(got, "Content-Length: "), "Content-Length: %zu", &length), 1);
	assert_int_equal(strlen(body), length);
	check_text(body);
	close(fd);

	/* a crowd that says nothing: the rest is turned away */
	for (i = 0; i < 20; i++) {
		fds[i] = client(port);
		pump(loop, 2);
	}
	pump(loop, 20);
	for (i = 0; i < 20; i++)
		closed += recv(fds[i], got, 1, MSG_DONTWAIT) == 0;
	assert_int_equal(closed, 12);
	/* and those that were let in lose patience's race */
	pump(loop, 5500);
	for (i = 0; i < 20; i++) {
		assert_int_equal(recv(fds[i], got, 1, MSG_DONTWAIT), 0);
		close(fds[i]);
	}
	metrics_free(m);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_dashboard),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_http),
	};
	const char *top = getenv("TOP");
	char path[4096];
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/Documentation/man/ffclockd.8", top ? top : FFCLOCK_TOP);
	f = fopen(path, "r");
	if (!f || getdelim(&page, &len, '\0', f) < 0) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		return 1;
	}
	fclose(f);
	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
