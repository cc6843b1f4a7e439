/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stamp sources: whatever compares the raw counter with somebody's time.
 *
 * A source belongs to the loop, works on its own descriptors and timers, and
 * hands every comparison to its sink.  It knows nothing of estimators; the sink
 * tells it how eager to be.
 */
#ifndef FFCLOCKD_SOURCE_H
#define FFCLOCKD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "counter.h"
#include "estimator.h"
#include "loop.h"

struct source;

/**
 * struct source_stamp - one comparison
 * @ffe: for the estimator; times in UTC as the source tells it, leap seconds
 *	not yet removed
 * @epoch: of the counter readings
 * @refid: the server's reference, network byte order
 * @tx_kernel: @ffe.ta is from a kernel timestamp, not from before the system call
 * @rx_kernel: @ffe.tf likewise
 */
struct source_stamp {
	struct ffe_stamp	ffe;
	uint32_t		epoch;
	uint32_t		refid;
	bool			tx_kernel;
	bool			rx_kernel;
};

/**
 * struct source_sink - who takes what a source has to tell
 * @stamp: a comparison was made
 * @moved: the source now is another one (address): its path is unknown
 * @missed: no usable comparison came of the last attempt
 * @broke: the counter is another one now, as the source knows (a new disruption
 *	marker), with a sentence for the log; restarts all sources, the caller too
 * @clock: the clock of all sources at a reading of the counter, for sources
 *	that know a part of the time only (a pulse, but not which second it
 *	begins).  Return: 0, -EAGAIN while there is none, -ESTALE if @epoch is
 *	not the counter's
 * @arg: for all of them
 *
 * Called from the loop.  They may call any operation of the source but destroy.
 */
struct source_sink {
	void	(*stamp)(void *arg, const struct source_stamp *st);
	void	(*moved)(void *arg);
	void	(*missed)(void *arg);
	void	(*broke)(void *arg, const char *why);
	int	(*clock)(void *arg, uint64_t counter, uint32_t epoch, struct ffe_map *map);
	void	*arg;
};

/**
 * struct source_report - for logs and tracking
 * @address: where it is now, "" if unknown
 * @reach: one bit per recent attempt, newest lowest, set when it succeeded
 * @interval_s: present interval between attempts [s]
 * @sent: attempts
 * @good: stamps handed to the sink
 * @bad: datagrams that were no use
 * @stratum: of its last good answer; 0 for sources that are no servers
 * @refid: likewise, network byte order
 * @authenticated: its answers are
 */
struct source_report {
	char		address[64];
	uint8_t		reach;
	double		interval_s;
	uint64_t	sent;
	uint64_t	good;
	uint64_t	bad;
	uint8_t		stratum;
	uint32_t	refid;
	bool		authenticated;
};

/**
 * struct source_ops - one sort of source
 * @kind: for messages
 * @start: begin; does not block
 * @burst: compare several times at once, soon; ignored when it was done lately
 * @restart: the counter broke: a comparison under way is void; compare several
 *	times, the first one now
 * @pace: +1: may ask less often, 0: as it is, -1: should ask as often as allowed
 * @report: see &struct source_report
 * @destroy: stop and free
 */
struct source_ops {
	const char	*kind;
	void		(*start)(struct source *s);
	void		(*burst)(struct source *s);
	void		(*restart)(struct source *s);
	void		(*pace)(struct source *s, int direction);
	void		(*report)(const struct source *s, struct source_report *r);
	void		(*destroy)(struct source *s);
};

/**
 * struct source - the part all sorts have; the first member of theirs
 * @ops: sort
 * @name: as configured
 * @sink: where stamps go
 */
struct source {
	const struct source_ops	*ops;
	const char		*name;
	struct source_sink	sink;
};

/**
 * source_new() - make a source of the sort its configuration names
 * @cfg: must outlive the source
 * @counter: raw counter
 * @loop: loop
 * @sink: copied
 *
 * Return: the source, not started; NULL after an error message
 */
struct source *source_new(const struct config_source *cfg, struct counter *counter,
			  struct loop *loop, const struct source_sink *sink);

/* An NTP server.  Return: as source_new(); NULL only when out of memory */
struct source *source_ntp_new(const struct config_source *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink);

/* A PTP hardware clock.  Return: as source_new(); NULL only when out of memory */
struct source *source_phc_new(const struct config_source *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink);

/* Pulses, one a second.  Return: as source_new(); NULL only when out of memory */
struct source *source_pps_new(const struct config_source *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink);

/* Dom0's record in Xenstore.  Return: as source_new(); NULL only when out of memory */
struct source *source_xenstore_new(const struct config_source *cfg, struct counter *counter,
				   struct loop *loop, const struct source_sink *sink);

/* A VMClock page.  Return: as source_new(); NULL only when out of memory */
struct source *source_vmclock_new(const struct config_source *cfg, struct counter *counter,
				  struct loop *loop, const struct source_sink *sink);

#endif /* FFCLOCKD_SOURCE_H */
