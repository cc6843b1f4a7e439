// SPDX-License-Identifier: GPL-2.0-only
/* The control socket: see control.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "control_internal.h"
#include "log.h"

#define NSEC		INT64_C(1000000000)

#define CLIENTS_MAX	16
/* A client that neither asks nor takes its answer for so long is gone */
#define IDLE_NS		(30 * NSEC)
#define BACKLOG		16

/**
 * struct client - a connection
 * @control: whose
 * @w: its descriptor, -1: slot free
 * @idle: closes it
 * @in: the request so far, @in_len bytes
 * @out: answer that waits, @out_len bytes of which @out_sent are gone; NULL: none
 * @trusted: may command
 */
struct client {
	struct control		*control;
	struct loop_fd		w;
	struct loop_timer	idle;
	char			in[CONTROL_LINE_MAX + 1];
	size_t			in_len;
	char			*out;
	size_t			out_len;
	size_t			out_sent;
	bool			trusted;
};

struct control {
	struct output		output;		/* first: see from_output(); not to be destroyed */
	struct loop		*loop;
	struct loop_fd		listener;
	char			path[CONFIG_SOCKET_MAX];
	struct client		clients[CLIENTS_MAX];
	struct control_memory	mem;
	struct sync		*sync;
	struct counter		*counter;
	int			(*reload)(void *arg, char **said);
	void			*arg;
};

/* Memory of what happened ------------------------------------------------- */

static struct control *from_output(struct output *o)
{
	return (struct control *)o;
}

static int on_update(struct output *o, const struct output_update *u)
{
	struct control_memory *m = &from_output(o)->mem;

	m->last = *u;
	m->have = true;
	m->updates++;
	return 0;
}

static void on_stamp(struct output *o, unsigned int server, const struct ffe_stamp *s)
{
	struct control_memory *m = &from_output(o)->mem;
	struct control_stamp *e = &m->ring[m->at];

	memset(e, 0, sizeof(*e));
	e->source = server;
	e->s = *s;
	e->compared = m->have;
	if (m->have)
		output_compare(&m->last.map, s, &e->offset_ns, &e->rtt_ns);
	m->at = (m->at + 1) % CONTROL_STAMPS_MAX;
	if (m->n < CONTROL_STAMPS_MAX)
		m->n++;
}

static void on_broke(struct output *o, bool migration)
{
	struct control_memory *m = &from_output(o)->mem;

	m->have = false;
	m->broke++;
	m->migrations += migration;
}

static const struct output_ops memory_ops = {
	.name		= "control",
	.update		= on_update,
	.stamp		= on_stamp,
	.broke		= on_broke,
};

struct output *control_output(struct control *c)
{
	return &c->output;
}

/* Clients ----------------------------------------------------------------- */

static void drop(struct client *cl)
{
	int fd = cl->w.fd;

	if (fd < 0)
		return;
	loop_timer_cancel(cl->control->loop, &cl->idle);
	loop_del(cl->control->loop, &cl->w);
	close(fd);
	free(cl->out);
	cl->out = NULL;
}

static void on_idle(void *arg)
{
	drop(arg);
}

static void answer(struct client *cl, struct json_object *o)
{
	const char *text;

	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
					      JSON_C_TO_STRING_NOSLASHESCAPE);
	cl->out_sent = 0;
	cl->out_len = strlen(text) + 1;
	cl->out = malloc(cl->out_len + 1);
	if (cl->out) {
		memcpy(cl->out, text, cl->out_len);
		cl->out[cl->out_len - 1] = '\n';
	}
	json_object_put(o);
}

static void do_reload(struct client *cl, struct json_object *o, const char **why)
{
	struct control *c = cl->control;
	char *said = NULL;

	if (!cl->trusted) {
		*why = "permission denied: only root and the daemon's own user may reload";
		return;
	}
	if (c->reload(c->arg, &said))
		*why = "the configuration was not (completely) taken; see messages";
	if (said && *said)
		json_object_object_add(o, "messages", json_object_new_string(said));
	free(said);
}

static void serve(struct client *cl, const char *line, size_t len)
{
	struct json_object *o = json_object_new_object();
	struct control *c = cl->control;
	struct control_request r;
	const char *why = control_parse(&r, line, len);

	json_object_object_add(o, "version", json_object_new_int(CONTROL_VERSION));
	if (!why) {
		json_object_object_add(o, "command",
				       json_object_new_string(control_command_name(r.command)));
		switch (r.command) {
		case CONTROL_TRACKING:
			control_tracking(o, &c->mem, c->sync, c->counter);
			break;
		case CONTROL_SOURCES:
			control_sources(o, c->sync);
			break;
		case CONTROL_STAMPS:
			control_stamps(o, &c->mem, c->sync, r.count);
			break;
		case CONTROL_RELOAD:
			do_reload(cl, o, &why);
			break;
		}
	}
	json_object_object_add(o, "ok", json_object_new_boolean(!why));
	if (why)
		json_object_object_add(o, "error", json_object_new_string(why));
	answer(cl, o);
}

/* Send what waits.  Return: whether the client still is there */
static bool flush(struct client *cl)
{
	ssize_t n;

	while (cl->out && cl->out_sent < cl->out_len) {
		n = send(cl->w.fd, cl->out + cl->out_sent, cl->out_len - cl->out_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) {
			drop(cl);
			return false;
		}
		cl->out_sent += (size_t)n;
	}
	free(cl->out);
	cl->out = NULL;
	return true;
}

/* The requests in the buffer, one answer at a time */
static bool serve_buffered(struct client *cl)
{
	while (!cl->out) {
		char *nl = memchr(cl->in, '\n', cl->in_len);
		size_t n;

		if (!nl) {
			if (cl->in_len < sizeof(cl->in))
				return true;
			log_debug("control: a request without end; closed");
			drop(cl);
			return false;
		}
		n = (size_t)(nl - cl->in);
		serve(cl, cl->in, n);
		cl->in_len -= n + 1;
		memmove(cl->in, nl + 1, cl->in_len);
		if (!cl->out) {
			drop(cl);
			return false;
		}
		if (!flush(cl))
			return false;
	}
	return true;
}

static void on_client(void *arg, uint32_t events)
{
	struct client *cl = arg;
	bool waited = cl->out;
	ssize_t n;

	if (!waited && (events & (EPOLLIN | EPOLLHUP))) {
		n = recv(cl->w.fd, cl->in + cl->in_len, sizeof(cl->in) - cl->in_len, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			drop(cl);
			return;
		}
		cl->in_len += (size_t)n;
	} else if (events & (EPOLLERR | EPOLLHUP)) {
		drop(cl);
		return;
	}
	loop_timer_set(cl->control->loop, &cl->idle, IDLE_NS);
	if (!flush(cl) || !serve_buffered(cl))
		return;
	/* with an answer waiting no request is read */
	if (waited != !!cl->out &&
	    loop_change(cl->control->loop, &cl->w, cl->out ? EPOLLOUT : EPOLLIN))
		drop(cl);
}

static void on_connect(void *arg, uint32_t events)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);
	struct control *c = arg;
	struct client *cl = NULL;
	unsigned int i;
	int fd;

	(void)events;
	fd = accept4(c->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	for (i = 0; i < CLIENTS_MAX && !cl; i++)
		if (c->clients[i].w.fd < 0)
			cl = &c->clients[i];
	if (!cl) {
		log_debug("control: more than %d clients; refused", CLIENTS_MAX);
		close(fd);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	cl->control = c;
	cl->trusted = !cred.uid || cred.uid == geteuid();
	cl->in_len = 0;
	cl->out = NULL;
	cl->idle = (struct loop_timer){ .cb = on_idle, .arg = cl };
	cl->w = (struct loop_fd){ .fd = fd, .cb = on_client, .arg = cl };
	if (loop_add(c->loop, &cl->w, EPOLLIN)) {
		close(fd);
		return;
	}
	loop_timer_set(c->loop, &cl->idle, IDLE_NS);
}

/* The socket -------------------------------------------------------------- */

/* Is it a socket that nobody listens on? */
static bool is_dead(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd;
	bool dead;

	if (lstat(sa->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	dead = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) && errno == ECONNREFUSED;
	close(fd);
	return dead;
}

static void make_folder(const char *path)
{
	char folder[CONFIG_SOCKET_MAX], *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = '\0';
		mkdir(folder, 0755);	/* if it fails, bind() says what is wrong */
	}
}

static int bind_socket(int fd, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	memcpy(sa.sun_path, path, strlen(path) + 1);
	make_folder(path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		if (errno != EADDRINUSE)
			return -errno;
		if (!is_dead(&sa))
			return -EADDRINUSE;
		if (unlink(path) || bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
			return -errno;
	}
	/* looking is for everybody; who may command is asked at accept() */
	if (chmod(path, 0666) || listen(fd, BACKLOG))
		return -errno;
	return 0;
}

struct control *control_new(const char *path, struct loop *loop, bool must)
{
	struct control *c = calloc(1, sizeof(*c));
	unsigned int i;
	int err;

	if (!c) {
		log_err("out of memory");
		return NULL;
	}
	c->output.ops = &memory_ops;
	c->loop = loop;
	c->mem.start_ns = loop_now();
	memcpy(c->path, path, strlen(path) + 1);
	for (i = 0; i < CLIENTS_MAX; i++)
		c->clients[i].w.fd = -1;
	c->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = c->listener.fd < 0 ? -errno : bind_socket(c->listener.fd, path);
	if (!err)
		return c;
	log_msg(must ? LOG_ERR : LOG_WARNING, "control %s: %s%s", path, strerror(-err),
		err == -EADDRINUSE ? " (does another ffclockd run?)" : "");
	if (c->listener.fd >= 0)
		close(c->listener.fd);
	free(c);
	return NULL;
}

int control_serve(struct control *c, struct sync *sync, struct counter *counter,
		  int (*reload)(void *arg, char **said), void *arg)
{
	int fd = c->listener.fd, err;

	c->sync = sync;
	c->counter = counter;
	c->reload = reload;
	c->arg = arg;
	c->listener.cb = on_connect;
	c->listener.arg = c;
	err = loop_add(c->loop, &c->listener, EPOLLIN);
	if (err)
		c->listener.fd = fd;
	return err;
}

void control_free(struct control *c)
{
	unsigned int i;
	int fd;

	if (!c)
		return;
	for (i = 0; i < CLIENTS_MAX; i++)
		drop(&c->clients[i]);
	fd = c->listener.fd;
	loop_del(c->loop, &c->listener);
	close(fd);
	/* where the folder is root's this fails: the next start finds it dead */
	unlink(c->path);
	free(c);
}
