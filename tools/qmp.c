// SPDX-License-Identifier: GPL-2.0-only
/* QEMU's control protocol: see qmp.h. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "qmp.h"

/* A QEMU that has nothing else to do answers in a millisecond */
#define PATIENCE_MS	20000
#define USEC		1000000LL

static char last_error[256];

const char *qmp_error(void)
{
	return last_error;
}

const char *json_string(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

int64_t json_int(struct json_object *o, const char *key, int64_t missing)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return missing;
	return json_object_get_int64(v);
}

static int64_t mono_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void deliver(struct qmp *q, struct json_object *m)
{
	struct json_object *stamp, *data = NULL;
	int64_t sec, usec;

	if (!json_object_object_get_ex(m, "timestamp", &stamp) || !q->event)
		return;
	sec = json_int(stamp, "seconds", -1);
	usec = json_int(stamp, "microseconds", -1);
	/* QEMU sends -1 where it could not tell; a year beyond 2286 is nonsense */
	if (sec < 0 || sec > 9999999999LL || usec < 0 || usec >= USEC)
		return;
	json_object_object_get_ex(m, "data", &data);
	q->event(q->arg, json_string(m, "event"), (sec * USEC + usec) * 1000, data);
}

/* The next whole message in the buffer, or NULL; *bad if it is none */
static struct json_object *take(struct qmp *q, bool *bad)
{
	struct json_object *m;
	char *nl = memchr(q->text, '\n', q->len);
	size_t n;

	*bad = false;
	if (!nl) {
		*bad = q->len >= QMP_LINE_MAX;
		return NULL;
	}
	*nl = '\0';
	m = json_tokener_parse(q->text);
	n = (size_t)(nl - q->text) + 1;
	q->len -= n;
	memmove(q->text, nl + 1, q->len);
	*bad = !m || !json_object_is_type(m, json_type_object);
	if (*bad) {
		json_object_put(m);
		return NULL;
	}
	return m;
}

/* Wait at most wait_ms for more.  Return: 1: there is, 0: not, -EPIPE */
static int more(struct qmp *q, int wait_ms)
{
	struct pollfd pfd = { .fd = q->fd, .events = POLLIN };
	ssize_t n;

	if (poll(&pfd, 1, wait_ms) <= 0)
		return 0;
	n = recv(q->fd, q->text + q->len, QMP_LINE_MAX - q->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPIPE;
	q->len += (size_t)n;
	return 1;
}

static int next(struct qmp *q, int64_t until_ms, struct json_object **m)
{
	bool bad;
	int ret;

	for (;;) {
		*m = take(q, &bad);
		if (*m)
			return 0;
		if (bad)
			return -EPROTO;
		ret = (int)(until_ms - mono_ms());
		if (ret <= 0)
			return -ETIMEDOUT;
		ret = more(q, ret);
		if (ret < 0)
			return ret;
	}
}

int qmp_poll(struct qmp *q)
{
	struct json_object *m;
	bool bad;
	int ret;

	do {
		ret = more(q, 0);
		while ((m = take(q, &bad))) {
			deliver(q, m);
			json_object_put(m);
		}
	} while (ret > 0);
	return ret;
}

int qmp_call(struct qmp *q, const char *command, struct json_object *arguments,
	     struct json_object **result)
{
	struct json_object *m = json_object_new_object(), *v;
	int64_t until = mono_ms() + PATIENCE_MS;
	const char *text;
	int ret = 0;

	json_object_object_add(m, "execute", json_object_new_string(command));
	if (arguments)
		json_object_object_add(m, "arguments", arguments);
	text = json_object_to_json_string(m);
	if (send(q->fd, text, strlen(text), MSG_NOSIGNAL) < 0 ||
	    send(q->fd, "\n", 1, MSG_NOSIGNAL) < 0)
		ret = -EPIPE;
	json_object_put(m);
	while (!ret) {
		ret = next(q, until, &m);
		if (ret)
			break;
		if (json_object_object_get_ex(m, "return", &v)) {
			if (result)
				*result = json_object_get(v);
			json_object_put(m);
			return 0;
		}
		if (json_object_object_get_ex(m, "error", &v)) {
			snprintf(last_error, sizeof(last_error), "%s", json_string(v, "desc"));
			ret = -EREMOTEIO;
		} else {
			deliver(q, m);
		}
		json_object_put(m);
	}
	return ret;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

static int connect_tcp(const char *where)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	const char *colon = strrchr(where, ':');
	char host[256];
	int fd = -1;

	if (!colon || (size_t)(colon - where) >= sizeof(host)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(host, where, (size_t)(colon - where));
	host[colon - where] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &list)) {
		errno = EHOSTUNREACH;
		return -1;
	}
	for (a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

int qmp_open(struct qmp *q, const char *where)
{
	bool local = strchr(where, '/') || !strchr(where, ':');
	socklen_t len = sizeof(struct ucred);
	struct json_object *m = NULL;
	struct ucred cred;
	int ret;

	q->where = where;
	q->len = 0;
	q->pid = 0;
	q->text = malloc(QMP_LINE_MAX + 1);
	q->fd = local ? connect_unix(where) : connect_tcp(where);
	if (!q->text || q->fd < 0) {
		fprintf(stderr, "ffclock: %s: %s\n", where, strerror(errno));
		goto fail;
	}
	if (local && !getsockopt(q->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		q->pid = cred.pid;
	ret = next(q, mono_ms() + PATIENCE_MS, &m);
	if (!ret && !json_object_object_get_ex(m, "QMP", NULL))
		ret = -EPROTO;
	json_object_put(m);
	if (!ret)
		ret = qmp_call(q, "qmp_capabilities", NULL, NULL);
	if (!ret)
		return 0;
	fprintf(stderr, "ffclock: %s: %s\n", where, ret == -ETIMEDOUT ?
		"no answer: QMP serves one client at a time; libvirt's socket is libvirt's" :
		"does not speak QMP (-qmp unix:PATH,server=on,wait=off)");
fail:
	qmp_close(q);
	return -1;
}

void qmp_close(struct qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	free(q->text);
	q->fd = -1;
	q->text = NULL;
}
