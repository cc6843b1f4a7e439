/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the sources of this machine have in common: a device that is opened, asked at
 * intervals, may fail, go away and come again.
 */
#ifndef FFCLOCKD_SOURCE_LOCAL_H
#define FFCLOCKD_SOURCE_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "source.h"

/* At the start and after disruptions: so many readings, so far apart */
#define LOCAL_BURST_LEN		4
#define LOCAL_BURST_GAP_NS	INT64_C(250000000)
/* A device that went away (driver unloaded) may come again */
#define LOCAL_REOPEN_NS		INT64_C(16000000000)

/**
 * struct local - the part all of them have; the first member of theirs
 * @base: see there
 * @cfg: as configured
 * @counter: raw counter
 * @loop: loop
 * @next: fires when the device is to be asked
 * @fd: open device, or -1
 * @poll: present interval [log2 s]
 * @calm: stamps in a row after which less often would have done
 * @burst_left: readings still to come of a burst
 * @silent: errno of what is wrong, as it was said; 0: nothing is
 * @count: for report()
 */
struct local {
	struct source			base;
	const struct config_source	*cfg;
	struct counter			*counter;
	struct loop			*loop;
	struct loop_timer		next;
	int				fd;
	int				poll;
	int				calm;
	int				burst_left;
	int				silent;
	struct source_report		count;
};

/**
 * local_init() - fill in the common part
 * @l: zeroed
 * @ops: sort
 * @cfg: as source_new()
 * @counter: likewise
 * @loop: likewise
 * @sink: likewise
 * @measure: for the timer; its argument is @l
 * @refid: four characters, for report()
 */
void local_init(struct local *l, const struct source_ops *ops, const struct config_source *cfg,
		struct counter *counter, struct loop *loop, const struct source_sink *sink,
		void (*measure)(void *arg), const char refid[4]);

/* Operations of a struct source; destroy closes @fd and frees */
void local_start(struct source *s);
void local_burst(struct source *s);
void local_restart(struct source *s);
void local_pace(struct source *s, int direction);
void local_report(const struct source *s, struct source_report *r);
void local_destroy(struct source *s);

/**
 * local_begin() - an attempt begins
 * @l: source
 *
 * Return: when the next one is to be, from now [ns]
 */
int64_t local_begin(struct local *l);

/**
 * local_failed() - it came to nothing
 * @l: source
 * @err: -errno
 * @advice: what to do about it, or ""
 *
 * Said once until an attempt succeeds, or fails for another reason.
 */
void local_failed(struct local *l, int err, const char *advice);

/* It gave a stamp: hand it on */
void local_stamp(struct local *l, const struct source_stamp *st);

/* The device cannot be opened: say so, and try again later */
void local_absent(struct local *l, int err, const char *advice);

/**
 * local_kernel_follows() - a module has the kernel's clocks follow the same host
 * @l: source
 * @path: its parameter follow; "Y" if it does
 *
 * Return: whether it does, and the counter is the kernel's: other clocks are not its
 */
bool local_kernel_follows(const struct local *l, const char *path);

/**
 * local_invert() - two stamps of CLOCK_REALTIME as the client's end of an exchange
 * @l: source
 * @a: mark from before the first
 * @b: mark from after the second
 * @before: first [ns]
 * @after: second, not before @before [ns]
 * @half_ns: widen the exchange by that much either way: for readings of one
 *	instant, since the estimator wants two [ns]
 * @s: receives ta, tf and client_err_ns
 *
 * Return: 0 or as counter_invert()
 */
int local_invert(struct local *l, const struct counter_mark *a, const struct counter_mark *b,
		 int64_t before, int64_t after, int half_ns, struct ffe_stamp *s);

#endif /* FFCLOCKD_SOURCE_LOCAL_H */
