/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The feed-forward estimator of ffclockd: exchanges with a server in, a
 * function of the raw counter out.
 *
 * It is pure: no I/O, no allocation, no clock, no random numbers, no global
 * state.  The same stamps in the same order give the same maps, bit for bit
 * on one machine, so that every run can be replayed from its stamp file.
 *
 * Sign of an offset, everywhere: true time minus the time the map gives, so
 * a positive offset means that the clock is behind.
 * Sign of a rate: positive means that the counter runs slow, that is, one
 * count lasts longer than the nominal period.
 *
 * None of these functions is thread-safe on one struct ffe; distinct objects
 * are independent.
 */
#ifndef FFCLOCKD_ESTIMATOR_H
#define FFCLOCKD_ESTIMATOR_H

#include <stddef.h>
#include <stdint.h>

struct ffe;

/**
 * struct ffe_stamp - one answered exchange with a time server
 * @ta: raw counter when the request left the client
 * @tf: raw counter when the answer arrived; later than @ta, same epoch
 * @tb: server's time at arrival of the request [ns since the Unix epoch]
 * @te: server's time at departure of the answer [ns since the Unix epoch]
 * @root_delay_ns: the server's own distance from its reference [ns]; 0 for
 *	a reference clock
 * @root_disp_ns: the server's own dispersion [ns]
 * @client_err_ns: 1 sigma of the error of @ta and @tf beyond reading the
 *	counter, e.g. of inverting kernel timestamps [ns]; 0 takes
 *	&ffe_config.stamp_noise_ns
 * @precision: the server's precision as in the NTP packet [log2 s];
 *	0 means unknown
 * @leap: the NTP leap indicator; 3 (unsynchronised) is rejected
 * @stratum: of the server; 0 and 16 upwards are rejected
 *
 * The time scale of @tb and @te must be continuous: a leap second is removed
 * by the caller (who knows when one was announced), or else it is taken for
 * what it then looks like, a jump of the clock.
 */
struct ffe_stamp {
	uint64_t	ta;
	uint64_t	tf;
	int64_t		tb;
	int64_t		te;
	uint32_t	root_delay_ns;
	uint32_t	root_disp_ns;
	uint32_t	client_err_ns;
	int8_t		precision;
	uint8_t		leap;
	uint8_t		stratum;
};

/**
 * enum ffe_status - what a map is worth
 * @FFE_UNSYNC: nothing known; the map must not be used
 * @FFE_WARMUP: usable within its bound, which the next stamps will make much
 *	smaller
 * @FFE_SYNC: measured: until the second next stamp the bound stays within twice
 *	what the path's delay alone makes it, or the rate is known to
 *	FFE_RATE_KNOWN; remains until a restart
 * @FFE_SUSPECT: the last stamps contradict the map; the bound covers both
 *	and the next stamps decide (poll fast)
 * @FFE_HOLDOVER: no good stamp for longer than the averaging window; the
 *	bound grows with the wander the oscillator has shown
 */
enum ffe_status {
	FFE_UNSYNC,
	FFE_WARMUP,
	FFE_SYNC,
	FFE_SUSPECT,
	FFE_HOLDOVER,
};

/*
 * 1 sigma of a rate that is measured, not just nominal: 2 us in 4 s.  What an
 * estimator with a worse one has learned of the oscillator is of no use to
 * others.
 */
#define FFE_RATE_KNOWN	5e-7

/*
 * Events: what a call did, as a set of bits.  Those marked (poll) ask for
 * more stamps soon: a short burst resolves the question faster.
 */
#define FFE_EV_REJECTED		(1u << 0)  /* stamp unusable, state untouched (see ffe_track.reject) */
#define FFE_EV_FIRST		(1u << 1)  /* first map since start or restart (poll) */
#define FFE_EV_DOWNSHIFT	(1u << 2)  /* minimum RTT fell by more than its noise */
#define FFE_EV_UPSHIFT		(1u << 3)  /* minimum RTT rose for good: route change */
#define FFE_EV_ASYM_HELD	(1u << 4)  /* ... and it was booked as path asymmetry, the clock held */
#define FFE_EV_SUSPECT		(1u << 5)  /* stamp cannot be reconciled with the map (poll) */
#define FFE_EV_JUMP		(1u << 6)  /* contradiction persisted: clock moved to the stamps (poll) */
#define FFE_EV_RESTART		(1u << 7)  /* rate and wander forgotten too (poll) */
#define FFE_EV_CONGESTED	(1u << 8)  /* stamp's delay far above normal; little weight */
#define FFE_EV_HELD_LONG	(1u << 9)  /* stamp ended a holdover */
#define FFE_EV_OUTLIER		(1u << 10) /* a lone contradicting stamp was discarded afterwards */
#define FFE_EV_SHORT		(1u << 11) /* faster than the path allows; unused until it comes again */
#define FFE_EV_MOVED		(1u << 12) /* a shorter path proves the clock off; it gave way */
#define FFE_EV_DISAGREE		(1u << 13) /* the first exchanges cannot all be true; the bound covers both */

/**
 * struct ffe_map - the clock as a function of the counter
 * @counter: reference reading; for c >= @counter,
 *	clock(c) = @time_ns + @time_frac_ns + (c - @counter) * @period_ns
 * @time_ns: time at @counter, whole part [ns since the Unix epoch, UTC]
 * @time_frac_ns: the rest [ns], in [0, 1)
 * @period_ns: refined estimate [ns per count]
 * @bound_ns: largest error at @counter [ns], including half the minimum RTT
 *	(an asymmetry nobody can see from here) and the server's root distance
 * @est_error_ns: estimated error at @counter, 1 sigma, without the asymmetry
 *	[ns]
 * @rate_bound: growth of the bound per elapsed time [dimensionless]; good for
 *	an hour or two longest polls without a new map, whichever is longer
 * @rate_est: 1 sigma of the rate error at @counter [dimensionless]
 * @status: see &enum ffe_status
 * @events: what the last stamp did, FFE_EV_*
 */
struct ffe_map {
	uint64_t	counter;
	int64_t		time_ns;
	double		time_frac_ns;
	double		period_ns;
	double		bound_ns;
	double		est_error_ns;
	double		rate_bound;
	double		rate_est;
	enum ffe_status	status;
	uint32_t	events;
};

/**
 * struct ffe_prior - what an earlier run on the same oscillator has learned
 * @period_ns: its last period [ns per count]
 * @period_sigma: 1 sigma of its relative error now, ageing included
 * @wander: random-walk rate [per square root of a second]; 0 for unknown
 *
 * Only for the same counter of the same boot on the same host.
 */
struct ffe_prior {
	double		period_ns;
	double		period_sigma;
	double		wander;
};

/**
 * struct ffe_config - fixed facts, given once
 * @nominal_period_ns: nominal length of a count [ns], 0.01 to 1e6
 * @skew_sigma: 1 sigma of the nominal period's relative error; 0 takes 5e-5
 * @skew_max: largest relative error of the nominal period to believe;
 *	0 takes 1e-3, at most 1e-2
 * @stamp_noise_ns: 1 sigma of reading the counter at the wire on either side
 *	[ns]; 0 takes 50
 * @poll_min_s: shortest poll interval the daemon uses [s]; 0 takes 1.  Only
 *	says when silence is holdover.
 * @poll_max_s: longest [s]; 0 takes 1024.  Only says for how long rate_bound
 *	must be good.
 * @prior: from a state file, or NULL
 *
 * Nothing here is to be tuned to a path or an oscillator; everything of that
 * kind is estimated.
 */
struct ffe_config {
	double		nominal_period_ns;
	double		skew_sigma;
	double		skew_max;
	double		stamp_noise_ns;
	double		poll_min_s;
	double		poll_max_s;
	const struct ffe_prior *prior;
};

/**
 * enum ffe_restart_why - why the old oscillator is gone
 * @FFE_RESTART_MIGRATION: VMClock, Xen or KVM said so
 * @FFE_RESTART_EPOCH: the counter's epoch changed (clocksource, suspend)
 * @FFE_RESTART_SERVER: same oscillator, other server or path: keeps the rate
 *	and the offset, forgets the path
 * @FFE_RESTART_USER: somebody asked; forgets everything
 */
enum ffe_restart_why {
	FFE_RESTART_MIGRATION,
	FFE_RESTART_EPOCH,
	FFE_RESTART_SERVER,
	FFE_RESTART_USER,
};

/**
 * struct ffe_restart - a disruption the caller knows of
 * @why: see &enum ffe_restart_why
 * @nominal_period_ns: of the counter from now on [ns]; 0 for unchanged
 * @have_time: the three fields below are valid (the host told the time)
 * @counter: a reading of the new epoch
 * @time_ns: time at @counter [ns since the Unix epoch]
 * @bound_ns: largest error of @time_ns [ns]
 */
struct ffe_restart {
	enum ffe_restart_why	why;
	double			nominal_period_ns;
	int			have_time;
	uint64_t		counter;
	int64_t			time_ns;
	double			bound_ns;
};

/**
 * enum ffe_reject - why a stamp was not used
 */
enum ffe_reject {
	FFE_REJ_NONE,
	FFE_REJ_COUNTER,	/* tf <= ta, or longer ago than RTT limit */
	FFE_REJ_SERVER_ORDER,	/* te before tb by more than its noise */
	FFE_REJ_RTT,		/* RTT not positive, or server slower than the exchange */
	FFE_REJ_RANGE,		/* server time before 1970 or after 2242 */
	FFE_REJ_UNSYNC,		/* leap 3, stratum 0 or above 15 */
	FFE_REJ_BACKWARD,	/* older than the stamp before */
};

/**
 * struct ffe_track - what the estimator knows, for tracking output
 * @stamps: exchanges used since init
 * @rejected: exchanges rejected since init
 * @restarts: restarts, told and detected, since init
 * @jumps: jumps accepted since init
 * @upshifts: of the minimum RTT since init
 * @downshifts: likewise
 * @reject: reason of the last rejection
 * @last_offset_ns: last stamp's midpoint offset from the clock before it was
 *	used, the booked asymmetry removed [ns]
 * @last_rtt_ns: last stamp's round-trip time [ns]
 * @min_rtt_ns: of the present path [ns]
 * @asym_ns: booked asymmetry: what the client-to-server minimum exceeds the
 *	other direction's by, since the clock was first set [ns]
 * @noise_out_ns: mean excess delay, client to server, present estimate [ns]
 * @noise_in_ns: mean excess delay, server to client [ns]
 * @rate: of the counter against nominal (see sign above)
 * @wander: estimated random walk of the rate [per square root of a second]
 * @window_s: averaging window that follows from wander and noise [s]
 * @offset_sigma_ns: 1 sigma of the offset [ns]
 * @rate_sigma: 1 sigma of the rate
 */
struct ffe_track {
	uint64_t	stamps;
	uint64_t	rejected;
	uint32_t	restarts;
	uint32_t	jumps;
	uint32_t	upshifts;
	uint32_t	downshifts;
	enum ffe_reject	reject;
	double		last_offset_ns;
	double		last_rtt_ns;
	double		min_rtt_ns;
	double		asym_ns;
	double		noise_out_ns;
	double		noise_in_ns;
	double		rate;
	double		wander;
	double		window_s;
	double		offset_sigma_ns;
	double		rate_sigma;
};

/**
 * ffe_size - bytes to allocate for one estimator
 *
 * Return: the size; aligned as malloc() aligns.
 */
size_t ffe_size(void);

/**
 * ffe_init - start an estimator that knows nothing but its configuration
 * @f: memory of ffe_size() bytes, any content
 * @cfg: facts; copied
 *
 * Return: 0, or -EINVAL with @f unusable when a value of @cfg is not finite
 * or out of the range its description gives.
 */
int ffe_init(struct ffe *f, const struct ffe_config *cfg);

/**
 * ffe_process - use one exchange
 * @f: estimator
 * @s: exchange, later than the one before; anything may be in it
 * @out: the map to use from @s->tf on; may be NULL
 *
 * @out is filled in any case; before the first good stamp its status is
 * FFE_UNSYNC.  It is causal: no later stamp changes it.
 *
 * Return: FFE_EV_* bits, 0 for a stamp that was used and changed nothing
 * worth telling.
 */
uint32_t ffe_process(struct ffe *f, const struct ffe_stamp *s,
		     struct ffe_map *out);

/**
 * ffe_restart - a disruption is known: the counter is another one now
 * @f: estimator
 * @why: what happened and what is known after it
 *
 * Unless @why->why is FFE_RESTART_SERVER nothing of the old oscillator is
 * kept.  With @why->have_time there is a usable map at once (ffe_map_at()),
 * else the status is FFE_UNSYNC until the next good stamp.  An absurd value
 * in @why is treated as not given.
 */
void ffe_restart(struct ffe *f, const struct ffe_restart *why);

/**
 * ffe_map_at - the present map moved to a later reading
 * @f: estimator
 * @counter: reading, not before the last stamp's tf
 * @out: the map with @counter as reference; the same clock, the bound and the
 *	status as they are by then
 *
 * For holdover: call now and then while no stamp comes in, so that the bound
 * follows the wander (which grows faster than any fixed rate_bound).
 */
void ffe_map_at(const struct ffe *f, uint64_t counter, struct ffe_map *out);

/**
 * ffe_map_read - evaluate a map
 * @map: from ffe_process() or ffe_map_at()
 * @counter: reading of the same epoch
 * @frac_ns: rest below a nanosecond, in [0, 1); may be NULL
 * @bound_ns: error bound at @counter [ns]; may be NULL
 *
 * Return: time at @counter [ns since the Unix epoch]; exact to 1e-3 ns for
 * readings up to an hour away.
 */
int64_t ffe_map_read(const struct ffe_map *map, uint64_t counter,
		     double *frac_ns, double *bound_ns);

/**
 * ffe_tracking - what the estimator knows
 * @f: estimator
 * @out: filled in
 */
void ffe_tracking(const struct ffe *f, struct ffe_track *out);

/**
 * ffe_save_prior - what a later run on the same oscillator may start from
 * @f: estimator
 * @out: filled in; valid when 0 is returned
 *
 * Return: 0, or -EAGAIN while the rate is not measured well (warm-up).
 */
int ffe_save_prior(const struct ffe *f, struct ffe_prior *out);

/**
 * ffe_status_name - for output
 * @status: any value
 *
 * Return: "unsync", "warmup", "sync", "suspect", "holdover" or "?".
 */
const char *ffe_status_name(enum ffe_status status);

/**
 * ffe_events_print - for output: names of events, comma-separated
 * @events: FFE_EV_* bits
 * @buf: receives the text, always terminated when @len > 0
 * @len: its size; 128 always is enough
 *
 * Return: @buf.
 */
char *ffe_events_print(uint32_t events, char *buf, size_t len);

/**
 * ffe_reject_name - for output
 * @reject: any value
 *
 * Return: a short phrase saying what was wrong with the stamp.
 */
const char *ffe_reject_name(enum ffe_reject reject);

#endif /* FFCLOCKD_ESTIMATOR_H */
