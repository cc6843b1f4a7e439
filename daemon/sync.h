/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Synchronisation: stamps of the sources into their estimators, the best clock
 * of these to the outputs, and what to do when the counter breaks.
 */
#ifndef FFCLOCKD_SYNC_H
#define FFCLOCKD_SYNC_H

#include "config.h"
#include "counter.h"
#include "estimator.h"
#include "loop.h"
#include "output.h"

struct sync;

/**
 * struct sync_view - the clock as it is now
 * @map: the chosen server's clock at @mark, in UTC
 * @mark: the counter and CLOCK_REALTIME just now
 * @server: its name
 * @address: and address
 * @stamps: exchanges its estimator has used
 * @track: what the estimator knows
 * @system_ns: CLOCK_REALTIME - this clock [ns]; positive: the system is ahead
 */
struct sync_view {
	struct ffe_map		map;
	struct counter_mark	mark;
	const char		*server;
	char			address[64];
	uint64_t		stamps;
	struct ffe_track	track;
	int64_t			system_ns;
};

/**
 * sync_new() - set up, not started
 * @cfg: must outlive it
 * @counter: likewise
 * @loop: likewise
 * @outputs: list that becomes its own
 *
 * Return: NULL when out of memory, then @outputs are destroyed
 */
struct sync *sync_new(const struct config *cfg, struct counter *counter, struct loop *loop,
		      struct output *outputs);
void sync_free(struct sync *s);

/* Start the sources */
void sync_start(struct sync *s);

/**
 * sync_check_counter() - the kernel reports that something changed
 * @s: synchronisation
 *
 * Looks whether the counter broke, and starts over if so.
 */
void sync_check_counter(struct sync *s);

/**
 * sync_look() - the clock now
 * @s: synchronisation
 * @v: filled in
 *
 * Return: 0, or -EAGAIN while no server has given a usable clock
 */
int sync_look(struct sync *s, struct sync_view *v);

/* One line for people: "synchronised to ... " */
void sync_describe(struct sync *s, char *buf, size_t len);

#endif /* FFCLOCKD_SYNC_H */
