/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers for Prometheus, by HTTP on the loopback.
 *
 * GET /metrics and nothing else; one answer per connection; requests, clients and
 * their time are bounded.  ffclockd(8) lists the names.
 */
#ifndef FFCLOCKD_METRICS_H
#define FFCLOCKD_METRICS_H

#include <stdint.h>
#include <stdio.h>

#include "loop.h"
#include "output.h"
#include "sync.h"

struct metrics;

/**
 * metrics_new() - listen
 * @port: TCP, on 127.0.0.1 and, if there is IPv6, ::1
 * @loop: loop
 *
 * Return: NULL after an error message
 */
struct metrics *metrics_new(uint16_t port, struct loop *loop);

/* The output that counts for it; part of it, so destroying that does nothing */
struct output *metrics_output(struct metrics *m);

/* Begin to answer.  Return: 0 or -errno */
int metrics_serve(struct metrics *m, struct sync *sync);

void metrics_free(struct metrics *m);

/**
 * metrics_request() - judge what a client sent so far
 * @text: any bytes
 * @len: their number
 *
 * Return: 0: not complete; 200, 400, 404, 405: what to answer
 */
int metrics_request(const char *text, size_t len);

#endif /* FFCLOCKD_METRICS_H */
