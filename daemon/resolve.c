// SPDX-License-Identifier: GPL-2.0-only
/*
 * Name resolution beside the loop: see resolve.h.
 *
 * One detached thread per request.  It owns a job; the loop's side owns the
 * handle.  The thread writes the job's address into a pipe, whose other end the
 * handle watches; if the handle was cancelled the write fails and the thread
 * frees the job itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "config.h"
#include "resolve.h"

struct job {
	struct resolve_result	result;
	char			host[CONFIG_HOST_MAX];
	char			port[8];
	int			write_fd;
};

struct resolve {
	struct loop	*loop;
	struct loop_fd	watch;
	int		read_fd;
	void		(*cb)(void *arg, const struct resolve_result *r);
	void		*arg;
};

static void *worker(void *arg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_protocol = IPPROTO_UDP };
	struct addrinfo *list = NULL, *ai;
	struct job *job = arg;
	struct resolve_result *r = &job->result;
	int fd = job->write_fd;

	r->error = getaddrinfo(job->host, job->port, &hints, &list);
	r->sys_errno = r->error == EAI_SYSTEM ? errno : 0;
	if (!r->error) {
		for (ai = list; ai && r->n < RESOLVE_MAX; ai = ai->ai_next) {
			if (ai->ai_addrlen > sizeof(r->addr[0]))
				continue;
			memcpy(&r->addr[r->n], ai->ai_addr, ai->ai_addrlen);
			r->len[r->n++] = ai->ai_addrlen;
		}
		freeaddrinfo(list);
		if (!r->n)
			r->error = EAI_NODATA;
	}
	/* a pointer is below PIPE_BUF: written whole or not at all */
	if (write(fd, &job, sizeof(job)) != (ssize_t)sizeof(job))
		free(job);
	close(fd);
	return NULL;
}

static void free_handle(struct resolve *r)
{
	loop_del(r->loop, &r->watch);
	close(r->read_fd);
	free(r);
}

static void ready(void *arg, uint32_t events)
{
	struct resolve_result lost = { .error = EAI_AGAIN };
	struct resolve *r = arg;
	struct job *job = NULL;

	(void)events;
	if (read(r->read_fd, &job, sizeof(job)) != (ssize_t)sizeof(job))
		job = NULL;
	void (*cb)(void *, const struct resolve_result *) = r->cb;
	void *cb_arg = r->arg;

	free_handle(r);
	cb(cb_arg, job ? &job->result : &lost);
	free(job);
}

struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port,
			      void (*cb)(void *arg, const struct resolve_result *r), void *arg)
{
	struct resolve *r = calloc(1, sizeof(*r));
	struct job *job = calloc(1, sizeof(*job));
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int fds[2], err;

	if (!r || !job || pipe2(fds, O_CLOEXEC)) {
		err = errno;
		goto free_both;
	}
	job->write_fd = fds[1];
	snprintf(job->host, sizeof(job->host), "%s", host);
	snprintf(job->port, sizeof(job->port), "%u", port);
	r->loop = loop;
	r->read_fd = fds[0];
	r->cb = cb;
	r->arg = arg;
	r->watch.fd = fds[0];
	r->watch.cb = ready;
	r->watch.arg = r;
	err = -loop_add(loop, &r->watch, EPOLLIN);
	if (err)
		goto close_pipe;

	/* signals, SIGPIPE of a cancelled request included, are not the thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, worker, job);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		goto unwatch;
	return r;

unwatch:
	loop_del(loop, &r->watch);
close_pipe:
	close(fds[0]);
	close(fds[1]);
free_both:
	free(job);
	free(r);
	errno = err;
	return NULL;
}

void resolve_cancel(struct resolve *r)
{
	struct job *job;

	if (!r)
		return;
	/* it may have been delivered already */
	fcntl(r->read_fd, F_SETFL, O_NONBLOCK);
	if (read(r->read_fd, &job, sizeof(job)) == (ssize_t)sizeof(job))
		free(job);
	free_handle(r);
}
