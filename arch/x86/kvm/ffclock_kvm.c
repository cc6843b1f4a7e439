// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_kvm: the host's time on KVM guests without VMClock.
 *
 * Two sources.  The clock-pairing hypercall returns the host's CLOCK_REALTIME and
 * this guest's TSC at one instant; the host offers it only while its own
 * clocksource is the TSC.  The KVM wallclock is the host's boot time as of when
 * the guest asks, to which kvm-clock's system time is added.
 *
 * One detector: the host sets PVCLOCK_GUEST_STOPPED on the kvm-clock page when it
 * lets a paused guest go on, and writes another line of kvm-clock over the TSC.
 */
#include <linux/delay.h>
#include <linux/ffclock.h>
#include <linux/ffclock_math.h>
#include <linux/io.h>
#include <linux/kvm_para.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include <asm/kvm_para.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>
#include <asm/x86_init.h>

/*
 * Neither source tells how good the host's own clock is.  A host that keeps
 * time with NTP on a local network is well within a millisecond.
 */
static unsigned int host_error_us = 1000;
module_param(host_error_us, uint, 0644);
MODULE_PARM_DESC(host_error_us, "bound to assume of the host's own clock, in us (default 1000)");

#define FFK_PAIRING_RATING	400
#define FFK_WALLCLOCK_RATING	200

/*
 * The wallclock's boot time follows the host's steps, not its slews, since it
 * was last asked for: what 500 ppm make of the time that takes, generously.
 */
#define FFK_WALLCLOCK_NS	(50 * NSEC_PER_MSEC)

/*
 * The flag is the soft-lockup watchdog's too, which must find it after a pause
 * in order not to cry; it runs every few seconds.  So we clear it only later.
 */
#define FFK_CLEAR_DELAY		(60 * HZ)

static u64 ffk_host_error_ns(void)
{
	return (u64)READ_ONCE(host_error_us) * NSEC_PER_USEC;
}

/* Clock pairing ------------------------------------------------------------ */

static struct kvm_clock_pairing *ffk_pair;	/* one call at a time: sources are serialised */

static int ffk_pairing_call(void)
{
	long ret;

	memset(ffk_pair, 0, sizeof(*ffk_pair));
	ret = kvm_hypercall2(KVM_HC_CLOCK_PAIRING, virt_to_phys(ffk_pair),
			     KVM_CLOCK_PAIRING_WALLCLOCK);
	switch (ret) {
	case 0:
		return 0;
	case -KVM_ENOSYS:
	case -KVM_EOPNOTSUPP:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static int ffk_pairing_read(struct ffclock_source *s, struct ffclock_host_time *t)
{
	u64 tsc, before, after, period, bound = NSEC_PER_USEC;
	u32 shift, epoch;
	int ret;

	ret = ffk_pairing_call();
	if (ret)
		return ret;
	/* s64 and s64 from the host: copied by the check of what they may be */
	if (ffk_pair->sec <= 0 || ffk_pair->sec > 1LL << 34 || ffk_pair->nsec < 0 ||
	    ffk_pair->nsec >= NSEC_PER_SEC)
		return -ERANGE;

	t->utc.sec = ffk_pair->sec;
	t->utc.frac = ffclock_ns_to_frac(ffk_pair->nsec);
	tsc = ffk_pair->tsc;
	if (!ffclock_counter_of_tsc(tsc, &t->counter, &epoch)) {
		/* kvm-clock or another: carry over to it by reading both */
		period = ffclock_period_from_hz((u64)tsc_khz * 1000, &shift);
		preempt_disable();
		before = ffclock_counter(NULL);
		t->utc = ffclock_line_at(rdtsc_ordered(), tsc, t->utc, period, shift);
		after = ffclock_counter(NULL);
		preempt_enable();
		t->counter = before + (after - before) / 2;
		bound += abs(ffclock_diff_ns(before, after, NULL));
	}
	t->bound_ns = bound + ffk_host_error_ns();
	return 0;
}

static struct ffclock_source ffk_pairing = {
	.name	= "kvm-pairing",
	.rating	= FFK_PAIRING_RATING,
	.read	= ffk_pairing_read,
	.owner	= THIS_MODULE,
};

/* Wallclock ---------------------------------------------------------------- */

static int ffk_wallclock_read(struct ffclock_source *s, struct ffclock_host_time *t)
{
	struct timespec64 now;
	u64 before, after;

	before = ffclock_counter(NULL);
	x86_platform.get_wallclock(&now);
	after = ffclock_counter(NULL);
	if (now.tv_sec <= 0 || now.tv_sec > 1LL << 34)
		return -ERANGE;
	t->counter = before + (after - before) / 2;
	t->utc.sec = now.tv_sec;
	t->utc.frac = ffclock_ns_to_frac(now.tv_nsec);
	t->bound_ns = FFK_WALLCLOCK_NS + ffk_host_error_ns() +
		      abs(ffclock_diff_ns(before, after, NULL));
	return 0;
}

static struct ffclock_source ffk_wallclock = {
	.name	= "kvm-wallclock",
	.rating	= FFK_WALLCLOCK_RATING,
	.read	= ffk_wallclock_read,
	.owner	= THIS_MODULE,
};

/* Paused ------------------------------------------------------------------- */

/*
 * Kernels up to 6.1 at least take the flag away with the first reading of kvm-clock,
 * which is their sched_clock(), before anybody else can see it.  What the host cannot
 * avoid is that kvm-clock and the TSC lose different times: the one goes on from
 * where it was, the other has run, or has been set as well as the host could.  A host
 * whose clocks are as they should be writes lines that meet to microseconds.
 */
#define FFK_JUMP_NS	NSEC_PER_MSEC

/* Bits that a TSC reading may be shifted by: the host means 0.1 MHz to 100 GHz */
#define FFK_MAX_SHIFT	31

static struct pvclock_vsyscall_time_info *ffk_pvti;	/* CPU 0's */
static bool ffk_was_stopped;				/* last seen; in the notifier */
static struct pvclock_vcpu_time_info ffk_line;		/* likewise */

static void ffk_clear_fn(struct work_struct *work)
{
	/* the host writes this byte only while the CPU is not running */
	WRITE_ONCE(ffk_pvti->pvti.flags,
		   READ_ONCE(ffk_pvti->pvti.flags) & ~PVCLOCK_GUEST_STOPPED);
}

static DECLARE_DELAYED_WORK(ffk_clear, ffk_clear_fn);

/* A copy of the line, if the host is not writing and it is one */
static bool ffk_line_get(struct pvclock_vcpu_time_info *line)
{
	u32 version = pvclock_read_begin(&ffk_pvti->pvti);

	*line = ffk_pvti->pvti;
	if (pvclock_read_retry(&ffk_pvti->pvti, version))
		return false;
	line->version = version;
	return abs(line->tsc_shift) <= FFK_MAX_SHIFT;
}

/* The host has written another line, and it does not go on from the one before */
static bool ffk_line_jumped(void)
{
	struct pvclock_vcpu_time_info line;
	bool first = !ffk_line.version;
	s64 jump;
	u64 tsc;

	if (likely(READ_ONCE(ffk_pvti->pvti.version) == ffk_line.version) ||
	    !ffk_line_get(&line))
		return false;
	tsc = rdtsc_ordered();
	jump = __pvclock_read_cycles(&line, tsc) - __pvclock_read_cycles(&ffk_line, tsc);
	ffk_line = line;
	return !first && (jump > (s64)FFK_JUMP_NS || jump < -(s64)FFK_JUMP_NS);
}

/* A detector's check(): either has come since the last timekeeping update */
static bool ffk_stopped(struct ffclock_detector *d)
{
	bool stopped = READ_ONCE(ffk_pvti->pvti.flags) & PVCLOCK_GUEST_STOPPED;
	bool came = stopped && !ffk_was_stopped;

	ffk_was_stopped = stopped;
	return ffk_line_jumped() || came;
}

static struct ffclock_detector ffk_paused = {
	.name	= "kvm-paused",
	.check	= ffk_stopped,
};

/* The notifier cannot start work; our event, told in process context, can */
static int ffk_event(struct notifier_block *nb, unsigned long events, void *data)
{
	if ((events & FFCLOCK_EVENT_DISRUPTION) &&
	    (READ_ONCE(ffk_pvti->pvti.flags) & PVCLOCK_GUEST_STOPPED))
		mod_delayed_work_on(0, system_wq, &ffk_clear, FFK_CLEAR_DELAY);
	return NOTIFY_OK;
}

static struct notifier_block ffk_nb = {
	.notifier_call = ffk_event,
};

/* -------------------------------------------------------------------------- */

static bool ffk_have_pairing;
static bool ffk_have_kvmclock;

static int __init ffk_init(void)
{
	int ret;

	if (!kvm_para_available())
		return -ENODEV;

	/* a page of its own: the hypercall takes one physical address */
	ffk_pair = (void *)get_zeroed_page(GFP_KERNEL);
	if (!ffk_pair)
		return -ENOMEM;
	ret = ffk_pairing_call();
	if (!ret)
		ret = ffclock_register_source(&ffk_pairing);
	ffk_have_pairing = !ret;

	ffk_pvti = pvclock_get_pvti_cpu0_va();
	if (ffk_pvti) {		/* kvm-clock is in use, and so its wallclock */
		ffk_have_kvmclock = true;
		ffk_was_stopped = READ_ONCE(ffk_pvti->pvti.flags) & PVCLOCK_GUEST_STOPPED;
		ffk_line_get(&ffk_line);
		ffclock_register_source(&ffk_wallclock);
		ffclock_register_notifier(&ffk_nb);
		ffclock_register_detector(&ffk_paused);
	}
	if (!ffk_have_pairing && !ffk_have_kvmclock) {
		free_page((unsigned long)ffk_pair);
		return -ENODEV;
	}
	pr_info("ffclock_kvm: clock pairing %s, kvm-clock %s\n",
		ffk_have_pairing ? "yes" : "no", ffk_have_kvmclock ? "yes" : "no");
	return 0;
}

static void __exit ffk_exit(void)
{
	if (ffk_have_kvmclock) {
		ffclock_unregister_detector(&ffk_paused);
		ffclock_unregister_notifier(&ffk_nb);
		cancel_delayed_work_sync(&ffk_clear);
		ffclock_unregister_source(&ffk_wallclock);
	}
	if (ffk_have_pairing)
		ffclock_unregister_source(&ffk_pairing);
	free_page((unsigned long)ffk_pair);
}

module_init(ffk_init);
module_exit(ffk_exit);
MODULE_DESCRIPTION("Host time on KVM guests for ffclock");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
