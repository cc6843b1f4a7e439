// SPDX-License-Identifier: GPL-2.0-only
/* The event loop: see loop.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define NSEC		1000000000LL
#define EVENTS_AT_ONCE	16

struct loop {
	int			epfd;
	int			timerfd;
	bool			stop;
	struct loop_timer	*timers;
	int64_t			armed_ns;	/* what the timerfd is set to; 0: nothing */
	struct epoll_event	ready[EVENTS_AT_ONCE];
	int			n_ready;
};

int64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = { .events = EPOLLIN };

	if (!loop)
		return NULL;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0)
		goto free_loop;
	/*
	 * A timerfd and not epoll's timeout: milliseconds would make a poll
	 * interval early or late by one, and CLOCK_BOOTTIME counts a suspend.
	 */
	loop->timerfd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timerfd < 0)
		goto close_epoll;
	ev.data.ptr = NULL;	/* the timer is the one without a loop_fd */
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, loop->timerfd, &ev))
		goto close_timer;
	return loop;

close_timer:
	close(loop->timerfd);
close_epoll:
	close(loop->epfd);
free_loop:
	free(loop);
	return NULL;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->timerfd);
	close(loop->epfd);
	free(loop);
}

int loop_add(struct loop *loop, struct loop_fd *w, uint32_t events)
{
	struct epoll_event ev = { .events = events };
	int err;

	ev.data.ptr = w;
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, w->fd, &ev)) {
		err = -errno;
		w->fd = -1;
		return err;
	}
	return 0;
}

int loop_change(struct loop *loop, struct loop_fd *w, uint32_t events)
{
	struct epoll_event ev = { .events = events };

	ev.data.ptr = w;
	return epoll_ctl(loop->epfd, EPOLL_CTL_MOD, w->fd, &ev) ? -errno : 0;
}

void loop_del(struct loop *loop, struct loop_fd *w)
{
	int i;

	if (w->fd < 0)
		return;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
	/* it may still be among the events of the round under way */
	for (i = 0; i < loop->n_ready; i++)
		if (loop->ready[i].data.ptr == w)
			loop->ready[i].events = 0;
}

/* Before the wait, and only if the earliest timer is another one than then */
static void arm(struct loop *loop)
{
	struct itimerspec its = { 0 };
	int64_t due = 0;

	if (loop->timers)
		/* 0 would disarm */
		due = loop->timers->due_ns > 0 ? loop->timers->due_ns : 1;
	if (due == loop->armed_ns)
		return;
	its.it_value.tv_sec = due / NSEC;
	its.it_value.tv_nsec = due % NSEC;
	if (!timerfd_settime(loop->timerfd, TFD_TIMER_ABSTIME, &its, NULL))
		loop->armed_ns = due;
}

static void unlink_timer(struct loop *loop, struct loop_timer *t)
{
	struct loop_timer **p = &loop->timers;

	while (*p && *p != t)
		p = &(*p)->next;
	if (*p)
		*p = t->next;
	t->armed = false;
	t->next = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *t, int64_t delay_ns)
{
	struct loop_timer **p = &loop->timers;

	if (t->armed)
		unlink_timer(loop, t);
	t->due_ns = loop_now() + (delay_ns > 0 ? delay_ns : 0);
	while (*p && (*p)->due_ns <= t->due_ns)
		p = &(*p)->next;
	t->next = *p;
	t->armed = true;
	*p = t;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *t)
{
	if (!t->armed)
		return;
	unlink_timer(loop, t);
}

static void run_timers(struct loop *loop)
{
	int64_t now = loop_now();
	uint64_t expirations;

	/* to make it unreadable again; expired it is not armed any more */
	if (loop->armed_ns && now >= loop->armed_ns &&
	    read(loop->timerfd, &expirations, sizeof(expirations)) > 0)
		loop->armed_ns = 0;
	while (loop->timers && loop->timers->due_ns <= now) {
		struct loop_timer *t = loop->timers;

		unlink_timer(loop, t);
		t->cb(t->arg);
	}
}

int loop_run(struct loop *loop)
{
	int i;

	loop->stop = false;
	while (!loop->stop) {
		arm(loop);
		loop->n_ready = epoll_wait(loop->epfd, loop->ready, EVENTS_AT_ONCE, -1);
		if (loop->n_ready < 0) {
			loop->n_ready = 0;
			if (errno == EINTR)
				continue;
			return -errno;
		}
		/* descriptors first: an answer that is here beats its time-out */
		for (i = 0; i < loop->n_ready; i++) {
			struct loop_fd *w = loop->ready[i].data.ptr;

			if (w && loop->ready[i].events)
				w->cb(w->arg, loop->ready[i].events);
		}
		loop->n_ready = 0;
		run_timers(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}
