/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Outputs: whoever takes the clock's parameters, the stamps, or both.
 */
#ifndef FFCLOCKD_OUTPUT_H
#define FFCLOCKD_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "counter.h"
#include "estimator.h"
#include "loop.h"
#include "source.h"

struct output;

/**
 * struct output_update - the clock, as it is to be from now on
 * @map: the clock; UTC without a leap second that is still pending
 * @epoch: epoch of its counter
 * @leap_change: pending leap second: +1, -1 or 0
 * @leap_utc_sec: first UTC second after it [s]
 * @tai_offset: TAI - UTC [s], 0: unknown
 * @next_s: when the next update is expected [s], at least 1
 * @address: of the source with most weight, "" if it has none
 * @stratum: its stratum; 0 for what is no server
 * @moved: the clock was set anew, not refined: what is continuous should not
 *	run after it
 */
struct output_update {
	struct ffe_map	map;
	uint32_t	epoch;
	int		leap_change;
	int64_t		leap_utc_sec;
	int		tai_offset;
	uint32_t	next_s;
	char		address[64];
	uint8_t		stratum;
	bool		moved;
};

/**
 * struct output_ops - one sort of output; members it has no use for are NULL
 * @name: for messages
 * @update: new parameters.  Return: 0; -ESTALE: the counter's epoch is another
 *	one by now; another -errno: told the log already
 * @stamp: source number @server made a comparison; @s is what the estimator got
 * @note: something happened that a reader of the log should know
 * @broke: the counter broke: the last update is of a clock that is gone
 * @reload: the configuration is another one; it outlives the output.  Return: 0
 *	or -errno after an error message
 * @destroy: flush and free; NULL: it is part of something that has an owner
 */
struct output_ops {
	const char	*name;
	int		(*update)(struct output *o, const struct output_update *u);
	void		(*stamp)(struct output *o, unsigned int server, const struct ffe_stamp *s);
	void		(*note)(struct output *o, const char *text);
	void		(*broke)(struct output *o, bool migration);
	int		(*reload)(struct output *o, const struct config *cfg);
	void		(*destroy)(struct output *o);
};

/**
 * struct output - the part all sorts have; the first member of theirs
 * @ops: sort
 * @next: of the list the owner keeps
 */
struct output {
	const struct output_ops	*ops;
	struct output		*next;
};

/**
 * struct output_clock - the clock, for outputs that tell the time between updates
 * @have: there is one
 * @u: its last update
 */
struct output_clock {
	bool			have;
	struct output_update	u;
};

/* Destroy all of a list */
void output_destroy_all(struct output *list);

/**
 * output_now() - UTC at a mark
 * @c: clock
 * @m: mark
 * @utc_ns: receives UTC, as POSIX counts it [ns]
 * @bound_ns: receives its error bound [ns], the mark's error not in it; or NULL
 *
 * Return: 0; -EAGAIN: no clock, or the mark is of another epoch
 */
int output_now(const struct output_clock *c, const struct counter_mark *m, int64_t *utc_ns,
	       double *bound_ns);

/* NTP's leap indicator at @utc_ns: announced on the day before, 3 without a clock */
int output_leap(const struct output_clock *c, int64_t utc_ns);

/**
 * output_compare() - what a stamp says about a clock
 * @map: clock
 * @s: stamp, of the same epoch
 * @offset_ns: receives server's time minus the clock, at the exchange's middle [ns]
 * @rtt_ns: receives the round-trip time without the server's part [ns]
 */
void output_compare(const struct ffe_map *map, const struct ffe_stamp *s, double *offset_ns,
		    double *rtt_ns);

/**
 * output_kernel_new() - the kernel module's clock
 * @fd: of /dev/ffclock, remains the caller's
 *
 * Return: the output; NULL when out of memory
 */
struct output *output_kernel_new(int fd);

/**
 * output_log_new() - stamp, map and tracking logs
 * @cfg: names the files and the sources
 * @counter: for the files' headers; must outlive the output
 *
 * With more than one source each has a stamp file of its own, FILE.NAME or, with
 * another port than NTP's, FILE.NAME:PORT, since a replay takes the stamps of one
 * path; of a pool the second is FILE.NAME.2.  Files are appended to.
 *
 * Return: the output, or NULL after an error message
 */
struct output *output_log_new(const struct config *cfg, struct counter *counter);

/**
 * output_system_new() - the system clock, by adjtimex(2)
 * @cfg: how
 * @counter: must outlive it
 * @loop: likewise
 *
 * Return: the output, or NULL after an error message: another daemon has the clock,
 * or the kernel does not let us
 */
struct output *output_system_new(const struct config *cfg, struct counter *counter,
				 struct loop *loop);

/**
 * output_server_new() - an NTP server for others
 * @cfg: where, and for whom
 * @counter: must outlive it
 * @loop: likewise
 *
 * Return: the output, or NULL after an error message
 */
struct output *output_server_new(const struct config *cfg, struct counter *counter,
				 struct loop *loop);

/**
 * output_refclock_new() - a reference clock of another daemon: shared memory, socket
 * @cfg: which
 * @counter: must outlive it
 * @loop: likewise
 *
 * Return: the output, or NULL after an error message
 */
struct output *output_refclock_new(const struct config *cfg, struct counter *counter,
				   struct loop *loop);

#endif /* FFCLOCKD_OUTPUT_H */
