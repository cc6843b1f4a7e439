/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The raw counter, and how kernel timestamps become readings of it.
 *
 * With the kernel module the counter is the module's, and the module itself
 * inverts CLOCK_REALTIME stamps.  On other hosts user space reads one: the TSC
 * where it is invariant, or CLOCK_MONOTONIC_RAW.  There, stamps are inverted
 * between two marks, pairs of the counter and CLOCK_REALTIME taken right before
 * and right after the exchange.
 *
 * An epoch is a stretch in which the counter ran on one oscillator without a
 * break.  Readings of different epochs have nothing to do with each other.
 */
#ifndef FFCLOCKD_COUNTER_H
#define FFCLOCKD_COUNTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

struct counter;

/**
 * struct counter_mark - the counter and CLOCK_REALTIME at one instant
 * @value: counter
 * @realtime_ns: CLOCK_REALTIME [ns]
 * @raw_ns: CLOCK_MONOTONIC_RAW [ns]
 * @step_ns: CLOCK_REALTIME - CLOCK_MONOTONIC [ns]: changes only in a step
 * @err_ns: largest error of the pairing of @value and @realtime_ns [ns]
 * @epoch: the counter's
 */
struct counter_mark {
	uint64_t	value;
	int64_t		realtime_ns;
	int64_t		raw_ns;
	int64_t		step_ns;
	uint32_t	err_ns;
	uint32_t	epoch;
};

/* What counter_check() found; bits */
#define COUNTER_EV_EPOCH	(1u << 0)	/* another oscillator, or a break */
#define COUNTER_EV_MIGRATION	(1u << 1)	/* ... because of a live migration */

/**
 * counter_open() - choose and open a counter
 * @want: what the configuration asks for
 *
 * Says in the log which one it is and why.
 *
 * Return: the counter, or NULL after an error message
 */
struct counter *counter_open(enum config_counter want);
void counter_close(struct counter *c);

/* "device", "tsc", "monotonic_raw" */
const char *counter_name(const struct counter *c);

/* The descriptor of /dev/ffclock, or -1 for the counters of user space */
int counter_device_fd(const struct counter *c);

/* Nominal period as measured against CLOCK_MONOTONIC_RAW in this epoch [ns per count] */
double counter_period_ns(const struct counter *c);

/**
 * counter_mark() - read the counter and CLOCK_REALTIME together
 * @c: counter
 * @m: receives the pair; of several attempts, the one read fastest
 *
 * Return: 0 or -errno (the device only)
 */
int counter_mark(struct counter *c, struct counter_mark *m);

/**
 * counter_invert() - the counter when CLOCK_REALTIME read a time
 * @c: counter
 * @a: mark from before the stamp was taken
 * @b: mark from after it
 * @realtime_ns: the stamp
 * @value: receives the counter, within the values of @a and @b
 * @err_ns: receives the largest error of @value [ns]
 *
 * Return: 0; -ESTALE if the epoch changed between the marks; -ERANGE if the
 * stamp is not from between them or CLOCK_REALTIME was stepped meanwhile
 */
int counter_invert(struct counter *c, const struct counter_mark *a, const struct counter_mark *b,
		   int64_t realtime_ns, uint64_t *value, uint32_t *err_ns);

/**
 * counter_check() - look for a break of the counter
 * @c: counter
 * @why: receives a sentence for the log when the result is not 0
 * @why_len: size of @why
 *
 * To be called when the device or the kernel's clocks report a change and
 * before each exchange.  After a break the nominal period is measured again.
 *
 * Return: COUNTER_EV_* bits
 */
unsigned int counter_check(struct counter *c, char *why, size_t why_len);

/**
 * counter_broke() - somebody else knows that the counter is another one now
 * @c: counter
 *
 * A counter of user space begins a new epoch; the device's are the kernel's to begin.
 * The nominal period is measured again.
 */
void counter_broke(struct counter *c);

#endif /* FFCLOCKD_COUNTER_H */
