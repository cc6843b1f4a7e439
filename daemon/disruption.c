// SPDX-License-Identifier: GPL-2.0-only
/* Disruptions: see disruption.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "disruption.h"
#include "log.h"

struct disruption {
	struct loop	*loop;
	struct loop_fd	device;
	struct loop_fd	clock;
	int		timerfd;
	void		(*cb)(void *arg);
	void		*arg;
};

/* A timer in the year 2200 that the kernel cancels whenever the clock is set */
static int arm(int fd)
{
	struct itimerspec its = { .it_value.tv_sec = 7258118400 };

	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL);
}

static void clock_set(void *arg, uint32_t events)
{
	struct disruption *d = arg;
	uint64_t n;

	(void)events;
	if (read(d->timerfd, &n, sizeof(n)) < 0 && errno == EAGAIN)
		return;
	/*
	 * Cancelled.  Armed again before the look, so that a step in between is
	 * not lost; that one fails with ECANCELED and is seen by the same look.
	 */
	if (arm(d->timerfd) && errno != ECANCELED)
		log_warn("cannot watch CLOCK_REALTIME being set any more");
	log_info("CLOCK_REALTIME was set");
	d->cb(d->arg);
}

static void device_ready(void *arg, uint32_t events)
{
	struct disruption *d = arg;

	if (events & (EPOLLERR | EPOLLHUP)) {
		log_err("/dev/ffclock reports an error; not watching it any more");
		loop_del(d->loop, &d->device);
	}
	d->cb(d->arg);
}

struct disruption *disruption_watch(struct loop *loop, int device_fd, void (*cb)(void *arg),
				    void *arg)
{
	struct disruption *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return NULL;
	d->loop = loop;
	d->cb = cb;
	d->arg = arg;
	d->device = (struct loop_fd){ .fd = device_fd, .cb = device_ready, .arg = d };
	d->timerfd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (d->timerfd < 0 || (arm(d->timerfd) && errno != ECANCELED)) {
		err = -errno;
		goto fail;
	}
	d->clock = (struct loop_fd){ .fd = d->timerfd, .cb = clock_set, .arg = d };
	err = loop_add(loop, &d->clock, EPOLLIN);
	if (err)
		goto fail;
	if (device_fd >= 0) {
		err = loop_add(loop, &d->device, EPOLLIN);
		if (err)
			goto unwatch;
	}
	return d;

unwatch:
	loop_del(loop, &d->clock);
fail:
	if (d->timerfd >= 0)
		close(d->timerfd);
	free(d);
	errno = -err;
	return NULL;
}

void disruption_free(struct disruption *d)
{
	if (!d)
		return;
	loop_del(d->loop, &d->device);
	loop_del(d->loop, &d->clock);
	close(d->timerfd);
	free(d);
}
