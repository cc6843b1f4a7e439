/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket: a line in, one JSON object (or, for metrics, text) out.
 *
 *	status			clock, guests, figures
 *	metrics			figures for Prometheus
 *	clock			the host's clock against CLOCK_REALTIME, now
 *	rescan			look for guests, and again at those without page
 *	prepare NAME [SECONDS]	a migration is about to come: page without time
 *	resume NAME		it did not come
 *	watch NAME		serve it, if only named guests are served
 *	offset NAME COUNTS [BOUND]	NAME's TSC is the host's plus COUNTS
 *
 * The first three are for everybody who may connect, the others for root and the
 * daemon's own user.
 */
#ifndef HOSTD_CONTROL_H
#define HOSTD_CONTROL_H

#include "hostd.h"

struct control;

/* Return: the socket, listening, or NULL after an error message */
struct control *control_open(struct hostd *h, const char *path);
void control_close(struct control *c);

/**
 * control_answer() - carry out one command
 * @h: host
 * @line: the command, ended by a zero byte; anything at all
 * @trusted: it may change things
 *
 * Return: the answer, to be freed; NULL when out of memory
 */
char *control_answer(struct hostd *h, const char *line, bool trusted);

#endif /* HOSTD_CONTROL_H */
