/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a later run may start from: the oscillator's rate, in a file; and the servers'
 * least round-trip times.
 *
 * It belongs to one boot, one counter, one clocksource, and to the time between
 * two migrations.  Of any other it says nothing and is ignored.
 */
#ifndef FFCLOCKD_STATE_H
#define FFCLOCKD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "counter.h"
#include "estimator.h"

#define STATE_SIZE_MAX	16384	/* of the file [bytes]: 16 sources of at most 500 and a head */

/**
 * struct state_source - one source
 * @name: as configured
 * @port: likewise, 0 for sorts without
 * @have_prior: @prior is valid
 * @prior: as it was when saved
 * @min_rtt_ns: least round-trip time of its path [ns], 0: unknown; for people, it
 *	is not used: see Documentation/timers/ffclock-estimator.rst
 */
struct state_source {
	char			name[CONFIG_HOST_MAX];
	uint16_t		port;
	bool			have_prior;
	struct ffe_prior	prior;
	double			min_rtt_ns;
};

/**
 * struct state - the file
 * @boot_id: of the kernel's boot
 * @counter: name
 * @clocksource: of the kernel
 * @epoch: of the counter
 * @migrations: the module's migration sequence; 0 without the module
 * @boottime_ns: CLOCK_BOOTTIME when it was saved [ns]
 * @n: sources
 * @source: they
 */
struct state {
	char			boot_id[40];
	char			counter[16];
	char			clocksource[32];
	uint32_t		epoch;
	uint64_t		migrations;
	int64_t			boottime_ns;
	size_t			n;
	struct state_source	source[CONFIG_SOURCES_MAX];
};

/**
 * state_here() - fill in what identifies this boot, counter and time
 * @s: receives it; no sources
 * @c: counter
 *
 * Return: 0 or -errno
 */
int state_here(struct state *s, struct counter *c);

/* The file's text into @buf of STATE_SIZE_MAX bytes.  Return: its length */
size_t state_format(const struct state *s, char *buf);

/**
 * state_parse() - read the file's text
 * @s: receives it
 * @text: any bytes
 * @len: how many
 *
 * Return: 0, or -EINVAL for anything that state_format() did not write
 */
int state_parse(struct state *s, const char *text, size_t len);

/**
 * state_differs() - why a state does not hold here and now
 * @s: from the file
 * @here: from state_here()
 *
 * Return: a reason for people, NULL if it holds
 */
const char *state_differs(const struct state *s, const struct state *here);

/**
 * state_prior() - what is known of a source
 * @s: from the file, or NULL
 * @cfg: source
 * @now_ns: CLOCK_BOOTTIME [ns]
 * @prior: receives the rate as uncertain as it has become since
 *
 * All sources measure the same oscillator: one that is new gets the best rate.
 *
 * Return: whether there is a rate
 */
bool state_prior(const struct state *s, const struct config_source *cfg, int64_t now_ns,
		 struct ffe_prior *prior);

/**
 * state_load() - the state of an earlier run, if it holds here and now
 * @s: receives it
 * @path: file
 * @c: counter
 *
 * Says in the log what it found.
 *
 * Return: whether @s is valid
 */
bool state_load(struct state *s, const char *path, struct counter *c);

/**
 * state_save() - write the file: whole, or not at all
 * @s: state
 * @path: file; beside it PATH.new is used
 *
 * Return: 0 or -errno
 */
int state_save(const struct state *s, const char *path);

#endif /* FFCLOCKD_STATE_H */
