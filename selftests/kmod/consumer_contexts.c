// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading from every kind of context: process, softirq, hard irq, NMI.
 *
 * All readings of all contexts and CPUs share one order: none may be less than
 * what any of them had seen before it began.  Meanwhile another CPU replaces the
 * clock data as fast as it can, and the NMIs go to that CPU too, so that they
 * hit it in the middle of that; where they did is looked up afterwards.
 *
 * The NMIs are real ones: sent through the local APIC with NMI_VECTOR.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>

#include <asm/apic.h>
#include <asm/msr.h>
#include <asm/nmi.h>

#include <linux/ffclock_math.h>

#include "consumer.h"

#define CONSUMER_NMI	"ffclock_consumer"

enum consumer_context {
	CONTEXT_PROCESS,
	CONTEXT_SOFTIRQ,
	CONTEXT_IRQ,
	CONTEXT_REMOTE_IRQ,
	CONTEXT_NMI,
	CONTEXT_REMOTE_NMI,
	CONTEXT_NR,
};

static const char * const context_names[CONTEXT_NR] = {
	"process", "softirq", "irq", "remote_irq", "nmi", "remote_nmi",
};

/**
 * struct consumer_seen - what one context has found
 * @samples: counter and all clocks read
 * @wrong_context: times it was not the context it is meant to be
 * @back: readings less than an earlier one
 * @disagree: readings that another function contradicts
 */
struct consumer_seen {
	atomic64_t samples;
	atomic64_t wrong_context;
	atomic64_t back;
	atomic64_t disagree;
};

static struct consumer_seen seen[CONTEXT_NR];
static atomic64_t top_counter, top_mono;	/* latest that anybody has seen */
static atomic64_t updates;

/* Where NMIs hit, the last so many */
#define CONSUMER_IPS	4096
static unsigned long nmi_ips[CONSUMER_IPS];
static atomic_t nmi_count;
static DEFINE_PER_CPU(atomic_t, nmi_wanted);
static atomic_t nmi_done;
static unsigned int nmi_lost;

static void raise_top(atomic64_t *top, u64 value)
{
	u64 was = atomic64_read(top);

	while (value > was) {
		u64 now = atomic64_cmpxchg(top, was, value);

		if (now == was)
			break;
		was = now;
	}
}

static bool context_right(enum consumer_context context)
{
	switch (context) {
	case CONTEXT_PROCESS:
		return in_task();
	case CONTEXT_SOFTIRQ:
		return in_serving_softirq() && !in_hardirq() && !in_nmi();
	case CONTEXT_IRQ:
		return in_hardirq() && !in_nmi();
	case CONTEXT_REMOTE_IRQ:
		/* a CPU that polls in its idle loop calls by itself, irqs off */
		return (in_hardirq() || (irqs_disabled() && is_idle_task(current))) && !in_nmi();
	default:
		return in_nmi();
	}
}

/* One round of everything that may be called from any context */
static void sample(enum consumer_context context)
{
	struct ffclock_reading mono, r, at;
	struct consumer_seen *s = &seen[context];
	struct ffclock_estimate est;
	struct timespec64 before, after;
	u64 floor, counter;
	u32 epoch;
	int id;

	atomic64_inc(&s->samples);
	if (!context_right(context))
		atomic64_inc(&s->wrong_context);

	floor = atomic64_read(&top_counter);
	counter = ffclock_counter(&epoch);
	if (counter < floor)
		atomic64_inc(&s->back);
	raise_top(&top_counter, counter);

	floor = atomic64_read(&top_mono);
	ffclock_read(FFCLOCK_MONO, &mono);
	if (consumer_order(mono.time) < floor)
		atomic64_inc(&s->back);
	raise_top(&top_mono, consumer_order(mono.time));

	/* the fast reader and the full one: same clock, one after the other */
	ffclock_get_ts64(FFCLOCK_MONO, &before);
	ffclock_read(FFCLOCK_MONO, &mono);
	ffclock_get_ts64(FFCLOCK_MONO, &after);
	if (timespec64_to_ns(&before) > ffclock_time_to_ns(mono.time) ||
	    timespec64_to_ns(&after) < ffclock_time_to_ns(mono.time))
		atomic64_inc(&s->disagree);
	if (ffclock_diff_ns(counter, mono.counter, NULL) < 0)
		atomic64_inc(&s->disagree);

	/* now, at, inverse: one function, if nothing was replaced in between */
	for (id = 0; id < FFCLOCK_NR; id++) {
		u64 sequence = atomic64_read(&updates);

		if (sequence & 1)
			continue;
		smp_rmb();	/* pairs with the updater's: not in an update */
		ffclock_read(id, &r);
		ffclock_read_at(id, r.counter, &at);
		if (ffclock_read_inverse(id, r.time, &mono))
			mono.counter = 0;
		ffclock_get_estimate(&est);
		smp_rmb();	/* pairs with the updater's: nor has one begun */
		if (atomic64_read(&updates) != sequence)
			continue;
		if (ffclock_time_cmp(r.time, at.time) || r.bound_ns != at.bound_ns ||
		    r.status != at.status || mono.counter > r.counter ||
		    r.counter - mono.counter > 1 || est.epoch != r.epoch)
			atomic64_inc(&s->disagree);
	}
}

/* Updates ------------------------------------------------------------------- */

static int update_thread(void *unused)
{
	struct ffclock_estimate est, e;
	struct ffclock_snapshot snap;

	ffclock_get_estimate(&est);
	while (!kthread_should_stop()) {
		e = est;
		ffclock_snapshot(&snap);
		e.counter = snap.counter;
		e.epoch = snap.epoch;
		e.time = ffclock_ns_to_time(snap.realtime_ns + get_random_u32() % 1000000);
		e.period += (s64)div_u64(est.period, 10000) * ((s32)(get_random_u32() % 9) - 4) / 4;
		e.status = FFCLOCK_STATUS_SYNCHRONIZED;
		e.maxerror_ns = 1000;
		e.esterror_ns = 1000;
		e.next_update_sec = 1 + get_random_u32() % 16;
		e.tai_offset_sec = 37;
		atomic64_inc(&updates);
		smp_wmb();	/* pairs with sample()'s: odd while it is going on */
		ffclock_set_estimate(&e);
		smp_wmb();	/* pairs with sample()'s: even when it is over */
		atomic64_inc(&updates);
		if (!(get_random_u32() & 3))
			usleep_range(5, 50);
		else
			cond_resched();
	}
	return 0;
}

/* Contexts ------------------------------------------------------------------ */

static void irq_work_fn(struct irq_work *work)
{
	sample(CONTEXT_IRQ);
}

static struct irq_work irq_work = IRQ_WORK_INIT_HARD(irq_work_fn);

static void softirq_fn(struct tasklet_struct *tasklet)
{
	sample(CONTEXT_SOFTIRQ);
}

static DECLARE_TASKLET(softirq_tasklet, softirq_fn);

static void call_fn(void *unused)
{
	sample(CONTEXT_REMOTE_IRQ);
}

static int nmi_sender;		/* CPU that sends: an NMI there is its own */

static int nmi_fn(unsigned int type, struct pt_regs *regs)
{
	int cpu = smp_processor_id();

	if (!atomic_xchg(per_cpu_ptr(&nmi_wanted, cpu), 0))
		return NMI_DONE;
	nmi_ips[atomic_inc_return(&nmi_count) % CONSUMER_IPS] = regs->ip;
	sample(cpu == nmi_sender ? CONTEXT_NMI : CONTEXT_REMOTE_NMI);
	atomic_inc(&nmi_done);
	return NMI_HANDLED;
}

/* Send one and wait for its end; they do not queue up */
static void nmi_send(int cpu)
{
	int before = atomic_read(&nmi_done);
	u64 give_up;

	preempt_disable();
	atomic_set(per_cpu_ptr(&nmi_wanted, cpu), 1);
	smp_mb__after_atomic();		/* pairs with the NMI, which is an exception */
	apic->send_IPI(cpu, NMI_VECTOR);
	give_up = get_jiffies_64() + HZ;
	while (atomic_read(&nmi_done) == before && time_before64(get_jiffies_64(), give_up))
		cpu_relax();
	preempt_enable();
	nmi_lost += atomic_read(&nmi_done) == before;
}

int consumer_contexts_run(unsigned int rounds)
{
	struct task_struct *updater;
	unsigned int i;
	int cpu, other;

	memset(seen, 0, sizeof(seen));
	atomic64_set(&top_counter, 0);
	atomic64_set(&top_mono, 0);
	atomic64_set(&updates, 0);
	atomic_set(&nmi_count, 0);
	nmi_lost = 0;

	/* whoever wrote the command stays on its CPU from now on */
	cpu = raw_smp_processor_id();
	other = cpumask_any_but(cpu_online_mask, cpu);
	if (other >= nr_cpu_ids)
		return -ENODEV;
	i = set_cpus_allowed_ptr(current, cpumask_of(cpu));
	if (i)
		return i;
	updater = kthread_create(update_thread, NULL, "ffclock_updates");
	if (IS_ERR(updater))
		return PTR_ERR(updater);
	kthread_bind(updater, other);
	i = register_nmi_handler(NMI_LOCAL, nmi_fn, 0, CONSUMER_NMI);
	if (i) {
		kthread_stop(updater);
		return i;
	}
	wake_up_process(updater);
	nmi_sender = cpu;

	for (i = 0; i < rounds; i++) {
		sample(CONTEXT_PROCESS);
		irq_work_queue(&irq_work);
		smp_call_function_single(other, call_fn, NULL, 1);
		nmi_send(cpu);
		nmi_send(other);
		if (i % 16 == 0)
			tasklet_schedule(&softirq_tasklet);
		cond_resched();
	}
	irq_work_sync(&irq_work);
	tasklet_kill(&softirq_tasklet);
	kthread_stop(updater);
	unregister_nmi_handler(NMI_LOCAL, CONSUMER_NMI);
	return 0;
}

void consumer_contexts_show(struct seq_file *m)
{
	int count = atomic_read(&nmi_count), i, in_ours = 0, in_publish = 0;
	char name[128];

	for (i = 0; i < CONTEXT_NR; i++) {
		seq_printf(m, "%s %lld\n", context_names[i], atomic64_read(&seen[i].samples));
		seq_printf(m, "%s_wrong_context %lld\n", context_names[i],
			   atomic64_read(&seen[i].wrong_context));
		seq_printf(m, "%s_back %lld\n", context_names[i], atomic64_read(&seen[i].back));
		seq_printf(m, "%s_disagree %lld\n", context_names[i],
			   atomic64_read(&seen[i].disagree));
	}
	for (i = 0; i < min(count, CONSUMER_IPS); i++) {
		snprintf(name, sizeof(name), "%ps", (void *)nmi_ips[i]);
		if (strstr(name, "[ffclock]"))
			in_ours++;
		if (strstr(name, "publish") || strstr(name, "page_write"))
			in_publish++;
	}
	seq_printf(m, "updates %lld\n", atomic64_read(&updates) / 2);
	seq_printf(m, "nmi_lost %u\n", nmi_lost);
	seq_printf(m, "nmi_in_ffclock %d\n", in_ours);
	seq_printf(m, "nmi_in_publish %d\n", in_publish);
	seq_printf(m, "nmi_looked_up %d\n", min(count, CONSUMER_IPS));
}
