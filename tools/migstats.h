/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a live migration took: the figures, from the stamps of two hosts.
 *
 * Two hosts have two clocks.  A plain figure (elapsed, downtime) begins on the
 * source's and ends on the destination's, so it is off by their difference.  The
 * net figure leaves out the hand-over, from "sent" on the source to "received" on
 * the destination, and with it the only place where one host's time is subtracted
 * from the other's: it needs no synchronisation, and is less than the truth by as
 * long as the hand-over took.  The names are those of libvirt's virDomainGetJobStats.
 * With feed-forward clocks on both hosts the truth itself is known, with a bound.
 */
#ifndef TOOLS_MIGSTATS_H
#define TOOLS_MIGSTATS_H

#include <stdbool.h>
#include <stdint.h>

#define MIG_NONE	INT64_MIN	/* a stamp that there is none of */

/**
 * struct mig_clock - a host's CLOCK_REALTIME against true time
 * @known: the others are valid
 * @offset_ns: UTC - CLOCK_REALTIME
 * @bound_ns: bound of the error of @offset_ns
 */
struct mig_clock {
	bool	known;
	int64_t	offset_ns;
	int64_t	bound_ns;
};

/**
 * struct mig_stamps - CLOCK_REALTIME of the host that it happened on [ns]
 * @started: source: the migration began
 * @stopped: source: the guest's processors were stopped
 * @sent: source: it had sent everything
 * @received: destination: it had everything
 * @resumed: destination: the guest's processors ran
 * @seen_sent: when the observer learnt of @sent [ns of a clock of its own]
 * @seen_received: likewise of @received
 * @source: the source's clock
 * @dest: the destination's clock
 * @same_host: both are processes of one kernel
 */
struct mig_stamps {
	int64_t			started;
	int64_t			stopped;
	int64_t			sent;
	int64_t			received;
	int64_t			resumed;
	int64_t			seen_sent;
	int64_t			seen_received;
	struct mig_clock	source;
	struct mig_clock	dest;
	bool			same_host;
};

enum mig_plain {
	MIG_PLAIN_GOOD,
	MIG_PLAIN_UNVERIFIED,	/* nobody knows whether the clocks agree */
	MIG_PLAIN_UNUSABLE,	/* they do not */
};

/**
 * struct mig_figures - the result [ns]; MIG_NONE: not to be had
 * @elapsed: time_elapsed
 * @elapsed_net: time_elapsed_net
 * @downtime: downtime
 * @downtime_net: downtime_net
 * @delta: received - sent: the hand-over and the difference of the clocks
 * @downtime_true: with both clocks known
 * @elapsed_true: likewise
 * @true_bound: bound of the error of either
 * @clock_difference: destination's CLOCK_REALTIME - source's
 * @clock_difference_bound: of that
 * @plain: whether @elapsed and @downtime may be used
 */
struct mig_figures {
	int64_t		elapsed;
	int64_t		elapsed_net;
	int64_t		downtime;
	int64_t		downtime_net;
	int64_t		delta;
	int64_t		downtime_true;
	int64_t		elapsed_true;
	int64_t		true_bound;
	int64_t		clock_difference;
	int64_t		clock_difference_bound;
	enum mig_plain	plain;
};

void mig_compute(const struct mig_stamps *s, struct mig_figures *f);

#endif /* TOOLS_MIGSTATS_H */
