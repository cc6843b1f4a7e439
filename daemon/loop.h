/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The event loop: file descriptors and timers, one thread.
 *
 * Callbacks may add and remove any descriptor or timer, their own included.
 */
#ifndef FFCLOCKD_LOOP_H
#define FFCLOCKD_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

/**
 * struct loop_fd - a watched descriptor; lives in its owner
 * @fd: descriptor, -1 while not watched
 * @cb: called with the EPOLL* events that are ready
 * @arg: for @cb
 */
struct loop_fd {
	int	fd;
	void	(*cb)(void *arg, uint32_t events);
	void	*arg;
};

/**
 * struct loop_timer - a one-shot timer; lives in its owner
 * @due_ns: when, on loop_now()'s scale [ns]
 * @armed: is in the list
 * @cb: called once when due
 * @arg: for @cb
 * @next: list, earliest first
 */
struct loop_timer {
	int64_t			due_ns;
	bool			armed;
	void			(*cb)(void *arg);
	void			*arg;
	struct loop_timer	*next;
};

/* Return: a loop, or NULL with errno */
struct loop *loop_new(void);
void loop_free(struct loop *loop);

/**
 * loop_add() - watch a descriptor
 * @loop: loop
 * @w: owner's; @w->fd, cb, arg filled in; must not be watched already
 * @events: EPOLLIN and the like; EPOLLERR and EPOLLHUP come anyway
 *
 * Return: 0 or -errno, then @w->fd is -1
 */
int loop_add(struct loop *loop, struct loop_fd *w, uint32_t events);

/* Watch a descriptor that is watched for other events.  Return: 0; -errno: as before */
int loop_change(struct loop *loop, struct loop_fd *w, uint32_t events);

/* Stop watching; the caller closes the descriptor afterwards. No-op if not watched */
void loop_del(struct loop *loop, struct loop_fd *w);

/* CLOCK_BOOTTIME [ns]: what slept through a suspend is due at once */
int64_t loop_now(void);

/* (Re)arm @t to fire @delay_ns from now, at the earliest in the next round */
void loop_timer_set(struct loop *loop, struct loop_timer *t, int64_t delay_ns);
void loop_timer_cancel(struct loop *loop, struct loop_timer *t);

/**
 * loop_run() - dispatch until loop_stop()
 * @loop: loop
 *
 * Return: 0 or -errno of epoll_wait()
 */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif /* FFCLOCKD_LOOP_H */
