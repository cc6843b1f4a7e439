// SPDX-License-Identifier: GPL-2.0-only
/*
 * tracking, sources, stamps, reload: what ffclockd tells on its control socket.
 *
 * The daemon is asked as any program could: a line of JSON out, a line of JSON in
 * (ffclockd(8)).  --json prints what came.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ffclock.h"

#define SOCKET_PATH	"/run/ffclock/ffclockd.sock"
#define PATIENCE_S	10
#define QUIET_PATIENCE_S 1	/* of who shows something else meanwhile */
/* 256 stamps of at most 500 bytes, 16 sources of at most 1000, some room */
#define ANSWER_MAX	(1 << 20)

/* @quiet: no messages, and little patience */
static int connect_daemon(const char *path, bool quiet)
{
	struct timeval patience = { .tv_sec = quiet ? QUIET_PATIENCE_S : PATIENCE_S };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		if (!quiet)
			fprintf(stderr, "ffclock: %s: path too long for a socket\n", path);
		return -1;
	}
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		if (!quiet)
			fprintf(stderr, "ffclock: %s: %s\n", path, strerror(errno));
		if (!quiet && (errno == ENOENT || errno == ECONNREFUSED))
			fprintf(stderr, "Does ffclockd run (systemctl status ffclockd)?  Its "
				"'control' may be another path: --socket FILE.\n");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

/* The answer's line, to be freed; NULL after a message */
static char *exchange(int fd, const char *request, bool quiet)
{
	char *text = malloc(ANSWER_MAX);
	size_t have = 0;
	ssize_t n;

	if (!text || send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		goto fail;
	while (have < ANSWER_MAX) {
		n = recv(fd, text + have, ANSWER_MAX - have, 0);
		if (n < 0)
			goto fail;
		if (!n)
			break;
		have += (size_t)n;
		if (text[have - 1] == '\n') {
			text[have - 1] = '\0';
			return text;
		}
	}
	if (!quiet)
		fprintf(stderr, "ffclock: ffclockd closed the connection without an answer\n");
	free(text);
	return NULL;

fail:
	if (!quiet)
		fprintf(stderr, "ffclock: ffclockd does not answer: %s\n", strerror(errno));
	free(text);
	return NULL;
}

static struct json_object *ask(const struct options *o, const char *command, int count,
			       bool quiet)
{
	struct json_object *answer = NULL;
	char request[128], *text;
	int fd;

	fd = connect_daemon(o->socket ? o->socket : SOCKET_PATH, quiet);
	if (fd < 0)
		return NULL;
	if (count)
		snprintf(request, sizeof(request),
			 "{\"version\": 1, \"command\": \"%s\", \"count\": %d}\n", command, count);
	else
		snprintf(request, sizeof(request), "{\"version\": 1, \"command\": \"%s\"}\n",
			 command);
	text = exchange(fd, request, quiet);
	close(fd);
	if (!text)
		return NULL;
	answer = json_tokener_parse(text);
	if (!json_object_is_type(answer, json_type_object)) {
		if (!quiet)
			fprintf(stderr, "ffclock: ffclockd's answer is not a JSON object\n");
		json_object_put(answer);
		answer = NULL;
	}
	free(text);
	return answer;
}

/* Members; what is missing or null reads as nothing known */
static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, name, &v);
	return v;
}

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *v = member(o, name);

	return v ? json_object_get_string(v) : "-";
}

/* Nanoseconds, as people read them; in one of some buffers */
static const char *span(struct json_object *o, const char *name, bool sign)
{
	static char buf[8][32];
	static unsigned int turn;
	char *b = buf[turn++ % 8];
	struct json_object *v = member(o, name);
	double ns, mag;

	if (!v)
		return "-";
	ns = json_object_get_double(v);
	mag = ns < 0 ? -ns : ns;
	if (mag < 1e5)
		snprintf(b, sizeof(buf[0]), sign ? "%+.0f ns" : "%.0f ns", ns);
	else if (mag < 1e8)
		snprintf(b, sizeof(buf[0]), sign ? "%+.1f us" : "%.1f us", ns * 1e-3);
	else
		snprintf(b, sizeof(buf[0]), sign ? "%+.6f s" : "%.6f s", ns * 1e-9);
	return b;
}

/* Return: the exit code: 0, or that of an answer that says no */
static int check(struct json_object *answer)
{
	struct json_object *ok = member(answer, "ok");

	if (ok && json_object_get_boolean(ok))
		return EXIT_OK;
	fprintf(stderr, "ffclock: ffclockd: %s\n", text_of(answer, "error"));
	return EXIT_FAILED;
}

static int no_arguments(int argc, char **argv)
{
	if (argc == 1)
		return EXIT_OK;
	fprintf(stderr, "ffclock: %s takes no argument \"%s\"\n", argv[0], argv[1]);
	return EXIT_USAGE;
}

static void show_tracking(struct json_object *a)
{
	struct json_object *c = member(a, "counter");

	printf("status        %s\n", text_of(a, "status"));
	printf("counter       %s, epoch %s, %s breaks (%s migrations)\n", text_of(c, "name"),
	       text_of(c, "epoch"), text_of(c, "breaks"), text_of(c, "migrations"));
	printf("up            %s s, %s updates\n", text_of(a, "uptime_s"), text_of(a, "updates"));
	if (!member(a, "source"))
		return;
	printf("source        %s (%s), of %s used, %s stamps\n", text_of(a, "source"),
	       text_of(a, "address"), text_of(a, "sources_used"), text_of(a, "stamps"));
	printf("time          %s\n", text_of(a, "time"));
	printf("error bound   %s; estimated error %s\n", span(a, "bound_ns", false),
	       span(a, "error_ns", false));
	printf("rate          %s ppm, error %s, bound %s\n", text_of(a, "rate_ppm"),
	       text_of(a, "rate_error_ppm"), text_of(a, "rate_bound_ppm"));
	printf("window        %s s, wander %s ppb in 1 s\n", text_of(a, "window_s"),
	       text_of(a, "wander_ppb_per_sqrt_s"));
	printf("last stamp    offset %s, round trip %s (least %s), asymmetry %s\n",
	       span(a, "last_offset_ns", true), span(a, "last_rtt_ns", false),
	       span(a, "min_rtt_ns", false), span(a, "asymmetry_ns", true));
	printf("system clock  %s (positive: ahead)\n", span(a, "system_offset_ns", true));
	printf("TAI - UTC     %s s; leap second: %s\n", text_of(a, "tai_offset_s"),
	       text_of(a, "leap_change"));
}

static void show_sources(struct json_object *a)
{
	struct json_object *list = member(a, "sources");
	size_t i, n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	printf("%-12s %-24s %7s %2s %5s %8s %12s %12s %12s\n", "state", "source", "weight", "st",
	       "reach", "interval", "offset", "bound", "least rtt");
	for (i = 0; i < n; i++) {
		struct json_object *s = json_object_array_get_idx(list, i);

		printf("%-12s %-24s %7s %2s   %03o %6.0f s %12s %12s %12s\n", text_of(s, "state"),
		       text_of(s, "name"), text_of(s, "weight"), text_of(s, "stratum"),
		       (unsigned int)json_object_get_int(member(s, "reach")),
		       json_object_get_double(member(s, "interval_s")), span(s, "offset_ns", true),
		       span(s, "bound_ns", false), span(s, "min_rtt_ns", false));
	}
}

/**
 * daemon_sources() - ffclockd's sources in a line each, for the live view
 * @o: options
 * @f: where to; nothing if the daemon does not answer within a second
 */
void daemon_sources(const struct options *o, FILE *f)
{
	struct json_object *a = ask(o, "sources", 0, true), *list = NULL;
	size_t i, n;

	if (a && member(a, "ok") && json_object_get_boolean(member(a, "ok")))
		list = member(a, "sources");
	n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	for (i = 0; i < n; i++) {
		struct json_object *s = json_object_array_get_idx(list, i);

		fprintf(f, "%-9s %-12s %-24s %12s  rtt %s\n", i ? "" : "sources",
			text_of(s, "state"), text_of(s, "name"), span(s, "offset_ns", true),
			span(s, "min_rtt_ns", false));
	}
	json_object_put(a);
}

static void show_stamps(struct json_object *a)
{
	struct json_object *list = member(a, "stamps");
	size_t i, n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	printf("%-24s %20s %20s %12s %12s\n", "source", "server's time", "counter", "round trip",
	       "offset");
	for (i = 0; i < n; i++) {
		struct json_object *s = json_object_array_get_idx(list, i);

		printf("%-24s %20s %20s %12s %12s\n", text_of(s, "source"), text_of(s, "tb"),
		       text_of(s, "ta"), span(s, "rtt_ns", false), span(s, "offset_ns", true));
	}
}

static int ask_and_show(const struct options *o, const char *command, int count,
			void (*show)(struct json_object *a))
{
	struct json_object *a = ask(o, command, count, false);
	int ret;

	if (!a)
		return EXIT_FAILED;
	ret = check(a);
	if (o->json) {
		print_json(a);
		return ret;
	}
	if (ret == EXIT_OK)
		show(a);
	json_object_put(a);
	return ret;
}

int cmd_tracking(const struct options *o, int argc, char **argv)
{
	int ret = no_arguments(argc, argv);

	return ret ? ret : ask_and_show(o, "tracking", 0, show_tracking);
}

int cmd_sources(const struct options *o, int argc, char **argv)
{
	int ret = no_arguments(argc, argv);

	return ret ? ret : ask_and_show(o, "sources", 0, show_sources);
}

int cmd_stamps(const struct options *o, int argc, char **argv)
{
	char *end = NULL;
	long n = 20;

	if (argc == 2)
		n = strtol(argv[1], &end, 10);
	if (argc > 2 || (end && (*end || end == argv[1])) || n < 1 || n > 256) {
		fprintf(stderr, "ffclock: stamps takes a number from 1 to 256\n");
		return EXIT_USAGE;
	}
	return ask_and_show(o, "stamps", (int)n, show_stamps);
}

static void show_reload(struct json_object *a)
{
	if (member(a, "messages"))
		fputs(text_of(a, "messages"), stdout);
	puts("reloaded");
}

int cmd_reload(const struct options *o, int argc, char **argv)
{
	int ret = no_arguments(argc, argv);
	struct json_object *a;

	if (ret)
		return ret;
	a = ask(o, "reload", 0, false);
	if (!a)
		return EXIT_FAILED;
	ret = check(a);
	if (o->json) {
		print_json(a);
		return ret;
	}
	if (ret == EXIT_OK)
		show_reload(a);
	else if (member(a, "messages"))
		fputs(text_of(a, "messages"), stderr);
	json_object_put(a);
	return ret;
}
