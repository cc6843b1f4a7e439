// SPDX-License-Identifier: GPL-2.0-only
/* Numbers for Prometheus: see metrics.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "metrics.h"
#include "metrics_text.h"

#define NSEC		INT64_C(1000000000)

#define CLIENTS_MAX	8
#define REQUEST_MAX	4096	/* of which only the first line matters */
/* From connecting to the last byte; a scrape takes milliseconds */
#define PATIENCE_NS	(5 * NSEC)
#define BACKLOG		8

struct http {
	struct metrics		*metrics;
	struct loop_fd		w;	/* fd -1: slot free */
	struct loop_timer	patience;
	char			in[REQUEST_MAX];
	size_t			in_len;
	char			*out;
	size_t			out_len;
	size_t			out_sent;
};

struct listener {
	struct metrics	*metrics;
	struct loop_fd	w;
};

struct metrics {
	struct output		output;		/* first: see on_update(); not to be destroyed */
	struct loop		*loop;
	struct listener		listener[2];
	struct http		client[CLIENTS_MAX];
	struct metrics_count	count;
	struct sync		*sync;
};

/* Counting ---------------------------------------------------------------- */

static int on_update(struct output *o, const struct output_update *u)
{
	(void)u;
	((struct metrics *)o)->count.updates++;
	return 0;
}

static void on_broke(struct output *o, bool migration)
{
	struct metrics *m = (struct metrics *)o;

	m->count.breaks++;
	m->count.migrations += migration;
}

static const struct output_ops count_ops = {
	.name		= "metrics",
	.update		= on_update,
	.broke		= on_broke,
};

struct output *metrics_output(struct metrics *m)
{
	return &m->output;
}

/* HTTP -------------------------------------------------------------------- */

int metrics_request(const char *text, size_t len)
{
	static const char path[] = "GET /metrics";
	const char *end = memmem(text, len, "\r\n\r\n", 4);
	const char *eol, *sp;

	/* some clients of the command line send bare newlines */
	if (!end)
		end = memmem(text, len, "\n\n", 2);
	if (!end)
		return len >= REQUEST_MAX ? 400 : 0;
	eol = memchr(text, '\n', (size_t)(end - text) + 2);
	sp = memmem(text, (size_t)(eol - text), " HTTP/1.", 8);
	if (!sp || memchr(text, '\0', (size_t)(eol - text)))
		return 400;
	if (sp - text < 4 || memcmp(text, "GET ", 4))
		return 405;
	if ((size_t)(sp - text) < sizeof(path) - 1 || memcmp(text, path, sizeof(path) - 1))
		return 404;
	/* a query is ignored */
	return text[sizeof(path) - 1] == ' ' || text[sizeof(path) - 1] == '?' ? 200 : 404;
}

static const char *reason(int code)
{
	switch (code) {
	case 200:
		return "200 OK";
	case 404:
		return "404 Not Found";
	case 405:
		return "405 Method Not Allowed";
	default:
		return "400 Bad Request";
	}
}

static void drop(struct http *h)
{
	int fd = h->w.fd;

	if (fd < 0)
		return;
	loop_timer_cancel(h->metrics->loop, &h->patience);
	loop_del(h->metrics->loop, &h->w);
	close(fd);
	free(h->out);
	h->out = NULL;
}

static void on_patience(void *arg)
{
	drop(arg);
}

static bool answer(struct http *h, int code)
{
	char *body = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&body, &len);

	if (!f)
		return false;
	if (code == 200)
		metrics_write(f, &h->metrics->count, h->metrics->sync);
	else
		fprintf(f, "%s: here is GET /metrics only\n", reason(code));
	if (fclose(f))
		goto fail;
	f = open_memstream(&h->out, &h->out_len);
	if (!f)
		goto fail;
	fprintf(f, "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		"Content-Length: %zu\r\nConnection: close\r\n\r\n", reason(code), len);
	fwrite(body, 1, len, f);
	free(body);
	return !fclose(f);

fail:
	free(body);
	return false;
}

static void flush(struct http *h)
{
	ssize_t n;

	while (h->out_sent < h->out_len) {
		n = send(h->w.fd, h->out + h->out_sent, h->out_len - h->out_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break;
		h->out_sent += (size_t)n;
	}
	drop(h);
}

static void on_client(void *arg, uint32_t events)
{
	struct http *h = arg;
	ssize_t n;
	int code;

	if (h->out) {
		flush(h);
		return;
	}
	(void)events;
	n = recv(h->w.fd, h->in + h->in_len, sizeof(h->in) - h->in_len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(h);
		return;
	}
	h->in_len += (size_t)n;
	code = metrics_request(h->in, h->in_len);
	if (!code)
		return;
	if (!answer(h, code) || loop_change(h->metrics->loop, &h->w, EPOLLOUT)) {
		drop(h);
		return;
	}
	flush(h);
}

static void on_connect(void *arg, uint32_t events)
{
	struct listener *l = arg;
	struct metrics *m = l->metrics;
	struct http *h = NULL;
	unsigned int i;
	int fd;

	(void)events;
	fd = accept4(l->w.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	for (i = 0; i < CLIENTS_MAX && !h; i++)
		if (m->client[i].w.fd < 0)
			h = &m->client[i];
	if (!h) {
		close(fd);
		return;
	}
	h->metrics = m;
	h->in_len = 0;
	h->out = NULL;
	h->out_len = 0;
	h->out_sent = 0;
	h->patience = (struct loop_timer){ .cb = on_patience, .arg = h };
	h->w = (struct loop_fd){ .fd = fd, .cb = on_client, .arg = h };
	if (loop_add(m->loop, &h->w, EPOLLIN)) {
		close(fd);
		return;
	}
	loop_timer_set(m->loop, &h->patience, PATIENCE_NS);
}

/* Set-up ------------------------------------------------------------------ */

static int listen_on(const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sa->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (!bind(fd, sa, len) && !listen(fd, BACKLOG))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

struct metrics *metrics_new(uint16_t port, struct loop *loop)
{
	struct sockaddr_in a4 = {
		.sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_in6 a6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback,
	};
	struct metrics *m = calloc(1, sizeof(*m));
	struct timespec now;
	unsigned int i;

	if (!m) {
		log_err("out of memory");
		return NULL;
	}
	for (i = 0; i < CLIENTS_MAX; i++)
		m->client[i].w.fd = -1;
	m->output.ops = &count_ops;
	m->loop = loop;
	clock_gettime(CLOCK_REALTIME, &now);
	m->count.start_s = (double)now.tv_sec;
	m->listener[0].w.fd = listen_on((struct sockaddr *)&a4, sizeof(a4));
	if (m->listener[0].w.fd < 0) {
		log_err("metrics, port %u: %s", port, strerror(-m->listener[0].w.fd));
		free(m);
		return NULL;
	}
	m->listener[1].w.fd = listen_on((struct sockaddr *)&a6, sizeof(a6));
	if (m->listener[1].w.fd < 0)
		log_info("metrics: not on ::1: %s", strerror(-m->listener[1].w.fd));
	return m;
}

int metrics_serve(struct metrics *m, struct sync *sync)
{
	unsigned int i;
	int fd, err;

	m->sync = sync;
	for (i = 0; i < 2; i++) {
		struct listener *l = &m->listener[i];

		fd = l->w.fd;
		if (fd < 0)
			continue;
		l->metrics = m;
		l->w = (struct loop_fd){ .fd = fd, .cb = on_connect, .arg = l };
		err = loop_add(m->loop, &l->w, EPOLLIN);
		if (err) {
			l->w.fd = fd;
			return err;
		}
	}
	return 0;
}

void metrics_free(struct metrics *m)
{
	unsigned int i;

	if (!m)
		return;
	for (i = 0; i < CLIENTS_MAX; i++)
		drop(&m->client[i]);
	for (i = 0; i < 2; i++) {
		int fd = m->listener[i].w.fd;

		if (fd < 0)
			continue;
		loop_del(m->loop, &m->listener[i].w);
		close(fd);
	}
	free(m);
}
