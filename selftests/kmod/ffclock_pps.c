// SPDX-License-Identifier: GPL-2.0-only
/*
 * A PPS source without hardware, for tests of what reads /dev/ppsN: the kernel's own PPS
 * core, pulses at the beginning of CLOCK_REALTIME's seconds.
 *
 * Stock Debian kernels ship no client that does without hardware (pps-ktimer is off).
 *
 * Parameters, all of which may change while it runs:
 *	late_ns		pulses and their stamps are that much after the second's beginning
 *	scatter_us	and late by up to that much more, at random
 *	miss		leave out that many pulses
 *	twice		and that many come with an echo after ECHO_US
 *	width_ms	from the assert to the clear edge
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/pps_kernel.h>
#include <linux/random.h>
#include <linux/timekeeping.h>

#define ECHO_US		200
/* So long at a time, so that the module can be unloaded */
#define NAP_US		20000

static int late_ns;
module_param(late_ns, int, 0644);
static unsigned int scatter_us;
module_param(scatter_us, uint, 0644);
static unsigned int miss;
module_param(miss, uint, 0644);
static unsigned int twice;
module_param(twice, uint, 0644);
static unsigned int width_ms = 100;
module_param(width_ms, uint, 0644);

static struct pps_device *pps;
static struct task_struct *thread;

/* Until CLOCK_REALTIME reads @at [ns], or the thread is to end */
static void wait_until(s64 at)
{
	s64 left;

	while (!kthread_should_stop()) {
		left = at - (s64)ktime_get_real_ns();
		if (left <= 0 || left > 2 * NSEC_PER_SEC)	/* the clock was set */
			return;
		left = min_t(s64, left / NSEC_PER_USEC + 1, NAP_US);
		usleep_range(left, left + 20);
	}
}

static void edge(s64 at, int event)
{
	struct pps_event_time ts = { };

	wait_until(at);
	if (kthread_should_stop())
		return;
	/*
	 * The stamp is what it is said to be, whenever this thread came to run: on a busy
	 * machine that says more of the machine than of who reads it.
	 */
	ts.ts_real = ns_to_timespec64(at);
	pps_event(pps, &ts, event, NULL);
}

static int pulses(void *unused)
{
	while (!kthread_should_stop()) {
		/* not ktime_get_real_seconds(), which is a tick late */
		unsigned int scatter = READ_ONCE(scatter_us);
		s64 at = (div_s64(ktime_get_real_ns(), NSEC_PER_SEC) + 1) * NSEC_PER_SEC;

		if (miss) {
			miss--;
			wait_until(at);
			continue;
		}
		at += late_ns;
		if (scatter)
			at += get_random_u32() % scatter * NSEC_PER_USEC;
		edge(at, PPS_CAPTUREASSERT);
		if (twice) {
			twice--;
			edge(at + ECHO_US * NSEC_PER_USEC, PPS_CAPTUREASSERT);
		}
		edge(at + width_ms * NSEC_PER_MSEC, PPS_CAPTURECLEAR);
	}
	return 0;
}

static int __init ffclock_pps_init(void)
{
	struct pps_source_info info = {
		.name	= "ffclock test",
		.mode	= PPS_CAPTUREBOTH | PPS_CANWAIT | PPS_TSFMT_TSPEC,
		.owner	= THIS_MODULE,
	};

	pps = pps_register_source(&info, PPS_CAPTUREBOTH);
	if (IS_ERR(pps))
		return PTR_ERR(pps);
	thread = kthread_run(pulses, NULL, "ffclock_pps");
	if (IS_ERR(thread)) {
		pps_unregister_source(pps);
		return PTR_ERR(thread);
	}
	return 0;
}

static void __exit ffclock_pps_exit(void)
{
	kthread_stop(thread);
	pps_unregister_source(pps);
}

module_init(ffclock_pps_init);
module_exit(ffclock_pps_exit);
MODULE_DESCRIPTION("Pulses per second without hardware, for tests of ffclockd");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
