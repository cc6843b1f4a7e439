// SPDX-License-Identifier: GPL-2.0-only
/* The control socket: see control.h. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../daemon/log.h"
#include "ask.h"
#include "control.h"

#define NSEC		1000000000LL
#define LINE_LEN_MAX	512
#define WORDS_MAX	4
#define CLIENTS_MAX	32

/* How long a page stays without time for a migration that does not begin */
#define PREPARE_SEC	300
#define PREPARE_MAX_SEC	86400

/* What a client may take to ask, and to fetch its answer */
#define PATIENCE_SEC	5

/* Attempts at reading clock and TSC together */
#define PAIR_TRIES	10

struct control {
	struct hostd	*h;
	struct loop_fd	listener;
	char		path[CONF_PATH_MAX];
	unsigned int	clients;
};

struct client {
	struct control		*c;
	struct loop_fd		watch;
	struct loop_timer	timeout;
	bool			trusted;
	char			line[LINE_LEN_MAX];
	size_t			len;
	char			*answer;
	size_t			at;
};

/* Answers ------------------------------------------------------------------- */

static const char *status_name(unsigned int status)
{
	static const char *const names[] = {
		"unknown", "initializing", "synchronized", "freerunning", "unreliable",
	};

	return status < sizeof(names) / sizeof(names[0]) ? names[status] : "?";
}

static void add(struct json_object *o, const char *key, struct json_object *v)
{
	json_object_object_add(o, key, v);
}

static struct json_object *bound(uint64_t ns)
{
	return ns == FFCLOCK_BOUND_UNKNOWN ? NULL : json_object_new_uint64(ns);
}

static struct json_object *clock_json(const struct hostd *h)
{
	struct json_object *o = json_object_new_object();
	const struct host_line *l = &h->line;

	add(o, "source", json_object_new_string(hostclock_name(h->clock)));
	add(o, "usable", json_object_new_boolean(h->have_line));
	if (!h->have_line) {
		add(o, "problem", json_object_new_string(h->clock_error == -EAGAIN ?
			"not synchronised" : strerror(-h->clock_error)));
		return o;
	}
	add(o, "status", json_object_new_string(status_name(l->status)));
	add(o, "tai_offset_sec", l->tai_offset_sec ?
	    json_object_new_int(l->tai_offset_sec) : NULL);
	add(o, "frequency_hz", json_object_new_double(
		(double)ffclock_period_to_mhz(l->period, l->shift) / 1000));
	return o;
}

/*
 * The host's clock against CLOCK_REALTIME: what turns the time stamps of this
 * host's programs (QMP's events) into UTC with a bound.
 */
static struct json_object *clock_now_json(const struct hostd *h)
{
	struct json_object *o = clock_json(h);
	uint64_t width = ~0ULL, tsc = 0;
	struct host_line at;
	struct timespec ts;
	int64_t real = 0;
	int i;

	if (!h->have_line)
		return o;
	for (i = 0; i < PAIR_TRIES; i++) {
		uint64_t a = hostclock_tsc(), b;

		clock_gettime(CLOCK_REALTIME, &ts);
		b = hostclock_tsc();
		if (b - a >= width)
			continue;
		width = b - a;
		tsc = a + width / 2;
		real = ts.tv_sec * NSEC + ts.tv_nsec;
	}
	at = line_move(&h->line, tsc);
	add(o, "realtime_ns", json_object_new_int64(real));
	add(o, "utc_ns", json_object_new_int64(ffclock_time_to_ns(at.time)));
	if (at.maxerror_ns != FFCLOCK_BOUND_UNKNOWN)
		at.maxerror_ns += (uint64_t)ffclock_time_to_ns(
			ffclock_scale(width, at.period, at.shift)) + 2;
	add(o, "bound_ns", bound(at.maxerror_ns));
	return o;
}

static struct json_object *guest_json(const struct guest *g)
{
	struct json_object *o = json_object_new_object(), *pages = json_object_new_array();
	int i;

	add(o, "name", json_object_new_string(g->name));
	add(o, "uuid", *g->uuid ? json_object_new_string(g->uuid) : NULL);
	add(o, "pid", json_object_new_int((int)g->proc.pid));
	add(o, "kvm", json_object_new_boolean(g->proc.kvm));
	add(o, "telling", json_object_new_boolean(g->telling));
	add(o, "since_ns", json_object_new_int64(g->since_ns));
	add(o, "ran_ns", json_object_new_int64(g->ran_ns));
	add(o, "arriving", json_object_new_boolean(g->incoming));
	add(o, "ignored", json_object_new_boolean(g->ignored));
	add(o, "prepared", json_object_new_boolean(g->withdrawn));
	add(o, "vcpus", json_object_new_int64(g->vcpus));
	add(o, "problem", *g->problem && !g->telling ?
	    json_object_new_string(g->problem) : NULL);
	if (g->have_map) {
		add(o, "tsc_offset", json_object_new_int64((int64_t)g->map.offset));
		add(o, "tsc_ratio", json_object_new_double(g->map.ratio ?
			(double)g->map.ratio / (double)(1ULL << g->map.frac_bits) : 1.0));
		add(o, "offset_given", json_object_new_boolean(g->given));
	}
	for (i = 0; i < g->n_targets; i++) {
		const struct page *p = &g->targets[i].page;
		struct json_object *t = json_object_new_object();

		add(t, "kind", json_object_new_string(g->targets[i].ivshmem ? "ivshmem" :
						      "vmclock"));
		add(t, "marker", json_object_new_uint64(p->marker));
		add(t, "seq", json_object_new_uint64(p->v.seq_count));
		add(t, "status", json_object_new_string(status_name(p->v.clock_status)));
		json_object_array_add(pages, t);
	}
	add(o, "pages", pages);
	add(o, "writes", json_object_new_uint64(g->writes));
	add(o, "repairs", json_object_new_uint64(g->repairs));
	add(o, "moves", json_object_new_uint64(g->moves));
	add(o, "marks", json_object_new_uint64(g->marks));
	add(o, "jumps", json_object_new_uint64(g->jumps));
	return o;
}

static struct json_object *status_json(const struct hostd *h)
{
	struct json_object *o = json_object_new_object(), *guests = json_object_new_array();
	struct json_object *s = json_object_new_object();
	const struct guest *g;

	for (g = h->guests; g; g = g->next)
		json_object_array_add(guests, guest_json(g));
	add(s, "updates", json_object_new_uint64(h->stats.updates));
	add(s, "writes", json_object_new_uint64(h->stats.writes));
	add(s, "repairs", json_object_new_uint64(h->stats.repairs));
	add(s, "moves", json_object_new_uint64(h->stats.moves));
	add(s, "guests_seen", json_object_new_uint64(h->stats.seen));
	add(s, "last_update_ns", json_object_new_int64(h->stats.last_update_ns));
	add(s, "max_update_ns", json_object_new_int64(h->stats.max_update_ns));
	add(o, "clock", clock_json(h));
	add(o, "guests", guests);
	add(o, "stats", s);
	return o;
}

static char *metrics(const struct hostd *h)
{
	unsigned int telling = 0;
	const struct guest *g;
	char *text = NULL;
	size_t size;
	FILE *f;

	for (g = h->guests; g; g = g->next)
		telling += g->telling;
	f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	fprintf(f,
		"# TYPE ffclock_hostd_clock_usable gauge\n"
		"ffclock_hostd_clock_usable %d\n"
		"# TYPE ffclock_hostd_guests gauge\n"
		"ffclock_hostd_guests{state=\"told\"} %u\n"
		"ffclock_hostd_guests{state=\"untold\"} %u\n"
		"# TYPE ffclock_hostd_updates_total counter\n"
		"ffclock_hostd_updates_total %llu\n"
		"# TYPE ffclock_hostd_page_writes_total counter\n"
		"ffclock_hostd_page_writes_total %llu\n"
		"# TYPE ffclock_hostd_page_repairs_total counter\n"
		"ffclock_hostd_page_repairs_total %llu\n"
		"# TYPE ffclock_hostd_arrivals_total counter\n"
		"ffclock_hostd_arrivals_total %llu\n"
		"# TYPE ffclock_hostd_update_seconds_max gauge\n"
		"ffclock_hostd_update_seconds_max %.9f\n",
		h->have_line, telling, h->n_guests - telling,
		(unsigned long long)h->stats.updates, (unsigned long long)h->stats.writes,
		(unsigned long long)h->stats.repairs, (unsigned long long)h->stats.moves,
		(double)h->stats.max_update_ns * 1e-9);
	fclose(f);
	return text;
}

static char *finish(struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE);
	char *out = NULL;

	if (!text || asprintf(&out, "%s\n", text) < 0)
		out = NULL;
	json_object_put(o);
	return out;
}

static char *say(const char *key, const char *text)
{
	struct json_object *o = json_object_new_object();

	add(o, key, json_object_new_string(text));
	return finish(o);
}

/* Commands ------------------------------------------------------------------ */

static bool number(const char *word, bool negative, uint64_t *out)
{
	return (negative || *word != '-') && !kvm_number(word, strlen(word), out);
}

static char *with_guest(struct hostd *h, char **word, int n)
{
	struct guest *g = hostd_find(h, word[1]);
	struct tsc_map map = { 0 };
	uint64_t v = PREPARE_SEC;

	if (!g) {
		/* it may have been started a moment ago */
		hostd_scan(h);
		g = hostd_find(h, word[1]);
	}
	if (!g)
		return say("error", "no such guest: see status");
	if (!strcmp(word[0], "watch")) {
		guest_watch(h, g);
		return say("ok", "watched");
	}
	if (!strcmp(word[0], "resume")) {
		guest_resume(h, g);
		return say("ok", "resumed");
	}
	if (!strcmp(word[0], "prepare")) {
		if (n > 2 && (!number(word[2], false, &v) || !v || v > PREPARE_MAX_SEC))
			return say("error", "prepare: seconds from 1 to 86400");
		guest_prepare(h, g, (int64_t)v * NSEC);
		return say("ok", "prepared");
	}
	v = 0;
	if (n < 3 || !number(word[2], true, &map.offset) ||
	    (n > 3 && (!number(word[3], false, &v) || v > NSEC)))
		return say("error", "offset: NAME COUNTS [BOUND], whole numbers");
	map.bound_counts = (uint32_t)v;
	guest_give_map(h, g, &map);
	return say("ok", "offset taken");
}

char *control_answer(struct hostd *h, const char *line, bool trusted)
{
	char buf[LINE_LEN_MAX], *word[WORDS_MAX], *s;
	struct guest *g;
	int n = 0;

	if (strlen(line) >= sizeof(buf))
		return say("error", "command too long");
	strcpy(buf, line);
	for (s = strtok(buf, " \t\r\n"); s && n < WORDS_MAX; s = strtok(NULL, " \t\r\n"))
		word[n++] = s;
	if (!n)
		return say("error", "no command");
	if (!strcmp(word[0], "status"))
		return finish(status_json(h));
	if (!strcmp(word[0], "metrics"))
		return metrics(h);
	if (!strcmp(word[0], "clock"))
		return finish(clock_now_json(h));
	if (strcmp(word[0], "rescan") && strcmp(word[0], "prepare") && strcmp(word[0], "resume") &&
	    strcmp(word[0], "offset") && strcmp(word[0], "watch"))
		return say("error", "unknown command; known: status, metrics, clock, rescan, "
			   "prepare, resume, watch, offset");
	if (!trusted)
		return say("error", "only root and the daemon's user may do that");
	if (!strcmp(word[0], "rescan")) {
		for (g = h->guests; g; g = g->next)
			g->next_try = 0;
		hostd_scan(h);
		return say("ok", "scanned");
	}
	if (n < 2)
		return say("error", "name of a guest missing");
	return with_guest(h, word, n);
}

/* The socket ---------------------------------------------------------------- */

static void client_free(struct client *cl)
{
	int fd = cl->watch.fd;

	loop_del(cl->c->h->loop, &cl->watch);
	loop_timer_cancel(cl->c->h->loop, &cl->timeout);
	close(fd);
	cl->c->clients--;
	free(cl->answer);
	free(cl);
}

static void client_late(void *arg)
{
	client_free(arg);
}

static void client_write(struct client *cl)
{
	size_t left = strlen(cl->answer + cl->at);
	ssize_t n;

	while (left) {
		n = send(cl->watch.fd, cl->answer + cl->at, left, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break;
		cl->at += (size_t)n;
		left -= (size_t)n;
	}
	client_free(cl);
}

static void client_ready(void *arg, uint32_t events)
{
	struct client *cl = arg;
	ssize_t n;

	(void)events;
	if (cl->answer) {
		client_write(cl);
		return;
	}
	n = recv(cl->watch.fd, cl->line + cl->len, sizeof(cl->line) - 1 - cl->len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		cl->len += (size_t)n;
	cl->line[cl->len] = '\0';
	if (n > 0 && !memchr(cl->line, '\n', cl->len) && cl->len < sizeof(cl->line) - 1)
		return;
	cl->answer = cl->len ? control_answer(cl->c->h, cl->line, cl->trusted) : NULL;
	if (!cl->answer) {
		client_free(cl);
		return;
	}
	if (loop_change(cl->c->h->loop, &cl->watch, EPOLLOUT))
		client_free(cl);
}

static void connected(void *arg, uint32_t events)
{
	struct control *c = arg;
	struct client *cl;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd;

	(void)events;
	fd = accept4(c->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	cl = c->clients < CLIENTS_MAX ? calloc(1, sizeof(*cl)) : NULL;
	if (!cl || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
		free(cl);
		close(fd);
		return;
	}
	cl->c = c;
	cl->trusted = !cred.uid || cred.uid == geteuid();
	cl->watch = (struct loop_fd){ .fd = fd, .cb = client_ready, .arg = cl };
	cl->timeout.cb = client_late;
	cl->timeout.arg = cl;
	if (loop_add(c->h->loop, &cl->watch, EPOLLIN)) {
		close(fd);
		free(cl);
		return;
	}
	c->clients++;
	loop_timer_set(c->h->loop, &cl->timeout, PATIENCE_SEC * NSEC);
}

struct control *control_open(struct hostd *h, const char *path)
{
	struct control *c = calloc(1, sizeof(*c));
	struct sockaddr_un sa;
	int err, fd;

	if (!c) {
		log_err("out of memory");
		return NULL;
	}
	c->h = h;
	snprintf(c->path, sizeof(c->path), "%s", path);
	err = ask_address(path, &sa);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (err || fd < 0)
		goto fail;
	/* a daemon that listens there already must not be robbed of it */
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		log_err("%s: another ffclock-hostd is running", path);
		close(fd);
		free(c);
		return NULL;
	}
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || chmod(path, 0666) ||
	    listen(fd, 8)) {
		err = -errno;
		goto fail;
	}
	c->listener = (struct loop_fd){ .fd = fd, .cb = connected, .arg = c };
	err = loop_add(h->loop, &c->listener, EPOLLIN);
	if (!err)
		return c;
fail:
	if (!err)
		err = -errno;
	log_err("%s: %s (is its directory there?)", path, strerror(-err));
	if (fd >= 0)
		close(fd);
	free(c);
	return NULL;
}

void control_close(struct control *c)
{
	int fd;

	if (!c)
		return;
	fd = c->listener.fd;
	loop_del(c->h->loop, &c->listener);
	close(fd);
	unlink(c->path);
	free(c);
}
