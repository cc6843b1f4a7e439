/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Synchronisation: stamps of the sources into the ensemble, its clock to the
 * outputs, and what to do when the counter breaks.
 */
#ifndef FFCLOCKD_SYNC_H
#define FFCLOCKD_SYNC_H

#include <time.h>

#include "config.h"
#include "counter.h"
#include "ensemble.h"
#include "estimator.h"
#include "loop.h"
#include "output.h"
#include "source.h"
#include "state.h"

struct sync;

/**
 * struct sync_view - the clock as it is now
 * @map: the clock at @mark, in UTC
 * @mark: the counter and CLOCK_REALTIME just now
 * @server: the source with most weight in it
 * @address: and its address
 * @used: sources that are part of it
 * @stamps: comparisons the estimators of these have used
 * @track: what the estimator of @server knows
 * @system_ns: CLOCK_REALTIME - this clock [ns]; positive: the system is ahead
 */
struct sync_view {
	struct ffe_map		map;
	struct counter_mark	mark;
	const char		*server;
	char			address[64];
	unsigned int		used;
	uint64_t		stamps;
	struct ffe_track	track;
	int64_t			system_ns;
};

/**
 * struct sync_source - one source as it is now
 * @cfg: as configured
 * @report: what the source itself tells
 * @look: what it counts for
 * @track: what its estimator knows
 */
struct sync_source {
	const struct config_source	*cfg;
	struct source_report		report;
	struct ens_look			look;
	struct ffe_track		track;
};

/**
 * sync_new() - set up, not started
 * @cfg: copied
 * @counter: must outlive it
 * @loop: likewise
 * @outputs: list that becomes its own
 * @state: of an earlier run, or NULL; used during the call only
 *
 * Return: NULL after an error message, then @outputs are destroyed
 */
struct sync *sync_new(const struct config *cfg, struct counter *counter, struct loop *loop,
		      struct output *outputs, const struct state *state);
void sync_free(struct sync *s);

/* Start the sources */
void sync_start(struct sync *s);

/**
 * sync_reload() - the configuration is another one
 * @s: synchronisation
 * @cfg: copied; outputs may keep a pointer
 *
 * When sources changed they are all made anew, with the rates known so far; the
 * outputs keep the last clock until there is a new one.
 *
 * Return: 0; -EIO: an output could not follow and told the log; another -errno
 * after an error message: nothing changed
 */
int sync_reload(struct sync *s, const struct config *cfg);

/* What a later run may start from; no sources in it while the counter is broken */
void sync_save(const struct sync *s, struct state *st);

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
 * Return: 0, or -EAGAIN while there is no clock
 */
int sync_look(struct sync *s, struct sync_view *v);

/**
 * sync_look_source() - one source now
 * @s: synchronisation
 * @i: its number, in the order of the configuration
 * @v: filled in
 *
 * Return: 0, or -ENOENT if there are not so many
 */
int sync_look_source(struct sync *s, unsigned int i, struct sync_source *v);

/* Unix time by this clock [s], 0 while there is none; @sync is the struct sync */
time_t sync_unix_time(void *sync);

/* One line for people: "synchronised to ... " */
void sync_describe(struct sync *s, char *buf, size_t len);

#endif /* FFCLOCKD_SYNC_H */
