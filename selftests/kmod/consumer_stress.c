// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers on every CPU, as fast as they can, while somebody else switches
 * clocksources and replaces parameters: nobody may see a step back.
 */
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "consumer.h"

/* Readings between two looks at whether to stop */
#define STRESS_BATCH	1000

/*
 * Batches between two naps.  When a TSC is found unstable, 7.2 can preempt the worker
 * that tells the scheduler so half-way; the scheduler's clock then stands still, and
 * nobody runs any more but who runs already, unless that one sleeps.
 */
#define STRESS_NAP	16

/**
 * struct stress - one CPU's reader
 * @counter: its latest
 * @mono: its latest, in consumer_order()
 * @reads: of each
 * @back: times one was less than what any reader had seen before
 * @task: the thread
 */
struct stress {
	u64 counter;
	u64 mono;
	u64 reads;
	u64 back;
	struct task_struct *task;
} ____cacheline_aligned;

static DEFINE_PER_CPU(struct stress, stress);

static u64 stress_top(size_t offset)
{
	u64 v, top = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		/* pairs with the readers' releases: their readings came before */
		v = smp_load_acquire((u64 *)((void *)per_cpu_ptr(&stress, cpu) + offset));
		top = max(top, v);
	}
	return top;
}

static int stress_thread(void *data)
{
	struct stress *me = data;
	struct ffclock_reading r;
	u64 top, counter;
	int i, batches = 0;

	while (!kthread_should_stop()) {
		for (i = 0; i < STRESS_BATCH; i++) {
			top = stress_top(offsetof(struct stress, counter));
			counter = ffclock_counter(NULL);
			me->back += counter < top;
			/* pairs with stress_top() */
			smp_store_release(&me->counter, counter);

			top = stress_top(offsetof(struct stress, mono));
			ffclock_read(FFCLOCK_MONO, &r);
			me->back += consumer_order(r.time) < top;
			/* pairs with stress_top() */
			smp_store_release(&me->mono, consumer_order(r.time));
			me->reads++;
		}
		if (++batches % STRESS_NAP)
			cond_resched();
		else
			schedule_timeout_idle(1);
	}
	return 0;
}

int consumer_stress_start(void)
{
	struct task_struct *task;
	struct stress *s;
	int cpu;

	consumer_stress_stop();
	for_each_possible_cpu(cpu)
		memset(per_cpu_ptr(&stress, cpu), 0, sizeof(struct stress));
	for_each_online_cpu(cpu) {
		s = per_cpu_ptr(&stress, cpu);
		task = kthread_create(stress_thread, s, "ffclock_stress/%d", cpu);
		if (IS_ERR(task)) {
			consumer_stress_stop();
			return PTR_ERR(task);
		}
		kthread_bind(task, cpu);
		s->task = task;
		wake_up_process(task);
	}
	return 0;
}

void consumer_stress_stop(void)
{
	struct stress *s;
	int cpu;

	for_each_possible_cpu(cpu) {
		s = per_cpu_ptr(&stress, cpu);
		if (s->task)
			kthread_stop(s->task);
		s->task = NULL;
	}
}

void consumer_stress_show(struct seq_file *m)
{
	u64 reads = 0, back = 0;
	int cpu, threads = 0;

	for_each_possible_cpu(cpu) {
		reads += per_cpu(stress, cpu).reads;
		back += per_cpu(stress, cpu).back;
		threads += per_cpu(stress, cpu).reads != 0;
	}
	seq_printf(m, "threads %d\nreads_counter %llu\nreads_mono %llu\nsteps_back %llu\n",
		   threads, reads, reads, back);
}
