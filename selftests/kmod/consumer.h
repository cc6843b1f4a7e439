/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ffclock_consumer: a module that uses ffclock's in-kernel interface.
 */
#ifndef _FFCLOCK_CONSUMER_H
#define _FFCLOCK_CONSUMER_H

#include <linux/ffclock.h>
#include <linux/seq_file.h>
#include <linux/types.h>

/*
 * Commands.  Each has a function that runs it, in process context with a mutex
 * held, and one that shows its results as "key value" lines.
 */
int consumer_contexts_run(unsigned int rounds);
void consumer_contexts_show(struct seq_file *m);

int consumer_cost_run(unsigned int batches);
void consumer_cost_show(struct seq_file *m);

int consumer_tick_run(unsigned int ticks);
void consumer_tick_show(struct seq_file *m);

int consumer_snapshot_run(unsigned int rounds);
void consumer_snapshot_show(struct seq_file *m);

int consumer_source_run(unsigned int refusals);
void consumer_source_show(struct seq_file *m);

int consumer_stress_start(void);
void consumer_stress_stop(void);
void consumer_stress_show(struct seq_file *m);

/* A time as 64 bits that keep its order: 2^-34 s (58 ps), until 2^30 s */
static inline u64 consumer_order(struct ffclock_time t)
{
	return (u64)t.sec << 34 | t.frac >> 30;
}

#endif /* _FFCLOCK_CONSUMER_H */
