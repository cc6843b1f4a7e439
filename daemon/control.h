/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket: a Unix stream socket that answers JSON requests, a line
 * each (control_request.h), with a line each.
 *
 * Every local user may ask; only root and the daemon's own user may command
 * (reload).  Clients are bounded in number, in what they may send, in what waits
 * for them, and in time.
 */
#ifndef FFCLOCKD_CONTROL_H
#define FFCLOCKD_CONTROL_H

#include "config.h"
#include "counter.h"
#include "loop.h"
#include "output.h"
#include "sync.h"

struct control;

/**
 * control_new() - make the socket
 * @path: where; a socket that nobody listens on any more is replaced, its folder
 *	is made if the one above it is there
 * @loop: loop
 *
 * Return: NULL after a message: a warning, or an error if @must
 */
struct control *control_new(const char *path, struct loop *loop, bool must);

/* The output that remembers stamps for it; part of it, so destroying that does nothing */
struct output *control_output(struct control *c);

/**
 * control_serve() - begin to answer
 * @c: control
 * @sync: what to tell about
 * @counter: likewise
 * @reload: carries out a reload.  Return: 0, or -errno; *said receives the messages
 *	about it, to be freed, or NULL
 * @arg: for @reload
 *
 * Return: 0 or -errno
 */
int control_serve(struct control *c, struct sync *sync, struct counter *counter,
		  int (*reload)(void *arg, char **said), void *arg);

void control_free(struct control *c);

#endif /* FFCLOCKD_CONTROL_H */
