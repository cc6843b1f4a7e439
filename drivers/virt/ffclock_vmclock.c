// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_vmclock: a VMClock page as detector of disruptions and source of the
 * host's time, and our clocks dependent on it while the host tells the time.
 *
 * uapi-group VMClock specification 1.1.  Stock QEMU fills in the marker only; a
 * host that also fills in the time makes the guest's clock as good as its own.
 */
#include <linux/io.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/ffclock_math.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/time64.h>

#include <asm/barrier.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "ffclock_vmclock.h"

static bool follow = true;
module_param(follow, bool, 0644);
MODULE_PARM_DESC(follow, "keep the clocks on the host's time while it tells it (default Y)");

/*
 * A host that was scheduled away in the middle of an update comes back within
 * milliseconds; one that died there never does.
 */
#define FFV_TRIES		50
#define FFV_TRY_US		100

/* Older parameters than this are a host's that has died */
#define FFV_MAX_AGE_SEC		3600
#define FFV_MAX_AHEAD_SEC	1

/* When the host tells no bound: it has one, but we can only guess */
#define FFV_GUESS_BOUND_NS	NSEC_PER_SEC
#define FFV_GUESS_RATE_DIV	2000		/* 500 ppm */
#define FFV_ESTERROR_FACTOR	4		/* sigmas to call a bound */

/* Parameters are expected at least this often; stale after eight times that */
#define FFV_UPDATE_SEC		64

/* Copy the page, consistent.  Process context. */
static int ffv_copy(const struct ffv_page *p, struct ffclock_vmclock *copy)
{
	const struct ffclock_vmclock *v = p->page;
	u32 seq;
	int i;

	for (i = 0; i < FFV_TRIES; i++) {
		seq = READ_ONCE(v->seq_count);
		if (!(seq & 1)) {
			virt_rmb();	/* pairs with the host's before even */
			memcpy(copy, v, sizeof(*copy));
			virt_rmb();	/* pairs with the host's after odd */
			if (READ_ONCE(v->seq_count) == seq) {
				copy->seq_count = seq;
				return 0;
			}
		}
		usleep_range(FFV_TRY_US, 2 * FFV_TRY_US);
	}
	return -ETIMEDOUT;
}

/* What must hold of any page that we use */
static int ffv_check(const struct ffclock_vmclock *v)
{
	if (v->magic != FFCLOCK_VMCLOCK_MAGIC || v->version != FFCLOCK_VMCLOCK_VERSION ||
	    v->size < sizeof(*v))
		return -EPROTO;
	return 0;
}

/* What must hold of the time fields for them to be used */
static int ffv_check_time(const struct ffclock_vmclock *v)
{
	u64 nominal, period;
	u32 shift;

	if (v->counter_id != FFCLOCK_COUNTER_X86_TSC || !tsc_khz)
		return -EOPNOTSUPP;
	switch (v->clock_status) {
	case FFCLOCK_STATUS_SYNCHRONIZED:
	case FFCLOCK_STATUS_FREERUNNING:
		break;
	default:
		return v->counter_period_frac_sec ? -EAGAIN : -EOPNOTSUPP;
	}
	if (v->time_type > 1)		/* neither UTC nor TAI: smeared, or no time */
		return -EOPNOTSUPP;
	if (v->time_type == 1 && !(v->flags & FFCLOCK_VF_TAI_OFFSET_VALID))
		return -EOPNOTSUPP;
	if (!ffclock_period_valid(v->counter_period_frac_sec, v->counter_period_shift))
		return -EPROTO;
	/* within 10 % of what the TSC is known to run at */
	nominal = ffclock_period_from_hz((u64)tsc_khz * 1000, &shift);
	if (shift) {
		nominal >>= 1;
		shift--;
	}
	period = ffclock_period_rescale(v->counter_period_frac_sec, v->counter_period_shift, shift);
	if (period < nominal - nominal / 10 || period > nominal + nominal / 10)
		return -EPROTO;
	if (v->time_sec > 1ULL << 34)	/* the year 2514 */
		return -ERANGE;
	if ((v->flags & FFCLOCK_VF_TAI_OFFSET_VALID) &&
	    (v->tai_offset_sec > 0 || v->tai_offset_sec < -1000))
		return -ERANGE;
	return 0;
}

/* 00:00:00 UTC of the first day of the next month: when leap seconds happen */
static u64 ffv_end_of_month(s64 utc)
{
	struct tm tm;

	time64_to_tm(utc, 0, &tm);
	if (tm.tm_mon == 11)
		return mktime64(tm.tm_year + 1901, 1, 1, 0, 0, 0);
	return mktime64(tm.tm_year + 1900, tm.tm_mon + 2, 1, 0, 0, 0);
}

/* The bound at counter_value, as far as the host tells one */
static u64 ffv_bound(const struct ffclock_vmclock *v)
{
	if (v->flags & FFCLOCK_VF_TIME_MAXERROR_VALID)
		return v->time_maxerror_nanosec;
	if ((v->flags & FFCLOCK_VF_TIME_ESTERROR_VALID) &&
	    v->time_esterror_nanosec < FFV_GUESS_BOUND_NS)
		return v->time_esterror_nanosec * FFV_ESTERROR_FACTOR;
	return FFV_GUESS_BOUND_NS;
}

/*
 * The page migrates with the guest: until the new host has written it, it shows
 * the old host's line under a new marker.  By the counter that line looks fresh,
 * since the counter has not seen the gap either.  So: a line from before a
 * disruption, to the last bit, is not believed after it.
 */
static int ffv_check_line(struct ffv_page *p, const struct ffclock_vmclock *v)
{
	u64 line[ARRAY_SIZE(p->line)] = {
		v->counter_value, v->counter_period_frac_sec, v->time_sec, v->time_frac_sec,
	};
	int ret = 0;

	mutex_lock(&p->lock);
	if (v->disruption_marker != p->line_marker && !memcmp(line, p->line, sizeof(line))) {
		ret = -ESTALE;
	} else {
		memcpy(p->line, line, sizeof(line));
		p->line_marker = v->disruption_marker;
	}
	mutex_unlock(&p->lock);
	return ret;
}

static int ffv_source_read(struct ffclock_source *s, struct ffclock_host_time *t)
{
	struct ffv_page *p = container_of(s, struct ffv_page, source);
	u64 period, rate, tsc, before, after;
	struct ffclock_vmclock v;
	s64 age, max_counts;
	u32 shift, epoch;
	int ret;

	ret = ffv_copy(p, &v);
	if (!ret)
		ret = ffv_check(&v);
	if (!ret)
		ret = ffv_check_time(&v);
	if (!ret)
		ret = ffv_check_line(p, &v);
	if (ret)
		return ret;

	tsc = rdtsc_ordered();
	age = tsc - v.counter_value;
	max_counts = (s64)tsc_khz * 1000;
	if (age < -max_counts * FFV_MAX_AHEAD_SEC)
		return -ERANGE;
	if (age > max_counts * FFV_MAX_AGE_SEC)
		return -ESTALE;

	period = v.counter_period_frac_sec;
	shift = v.counter_period_shift;
	rate = v.flags & FFCLOCK_VF_PERIOD_MAXERROR_VALID ?
		min(v.counter_period_maxerror_rate_frac_sec, period) : period / FFV_GUESS_RATE_DIV;
	t->utc.sec = v.time_sec;
	t->utc.frac = v.time_frac_sec;
	if (v.time_type == 1)
		t->utc.sec += v.tai_offset_sec;
	if (v.flags & FFCLOCK_VF_TAI_OFFSET_VALID)
		t->tai_offset_sec = -v.tai_offset_sec;
	t->bound_ns = ffv_bound(&v);
	t->synchronized = v.clock_status == FFCLOCK_STATUS_SYNCHRONIZED;
	if (v.leap_indicator == FFCLOCK_LEAP_PRE_POS || v.leap_indicator == FFCLOCK_LEAP_PRE_NEG) {
		t->leap_change = v.leap_indicator == FFCLOCK_LEAP_PRE_POS ? 1 : -1;
		t->leap_utc_sec = ffv_end_of_month(t->utc.sec);
	}

	/* the counter is the TSC: the very line of the host */
	if (ffclock_counter_of_tsc(v.counter_value, &t->counter, &epoch)) {
		t->period = period;
		t->period_shift = shift;
		t->period_maxerror = rate;
		t->period_esterror = v.flags & FFCLOCK_VF_PERIOD_ESTERROR_VALID ?
			min(v.counter_period_esterror_rate_frac_sec, period) : rate;
		return 0;
	}

	/* another one: the time now, without the rate */
	preempt_disable();
	before = ffclock_counter(NULL);
	tsc = rdtsc_ordered();
	after = ffclock_counter(NULL);
	preempt_enable();
	t->counter = before + (after - before) / 2;
	t->utc = ffclock_line_at(tsc, v.counter_value, t->utc, period, shift);
	t->bound_ns = ffclock_bound_grow(t->bound_ns,
					 ffclock_counts_between(tsc, v.counter_value), rate, shift);
	t->bound_ns += abs(ffclock_diff_ns(before, after, NULL));
	return 0;
}

/* New parameters of the host's */
static void ffv_work(struct work_struct *work)
{
	struct ffv_page *p = container_of(work, struct ffv_page, work);
	struct ffclock_vmclock v;

	if (!ffv_copy(p, &v) && !ffv_check(&v))
		ffclock_notice(v.flags);
	/* looked at without following, too: to know the line after a disruption */
	ffclock_source_news(&p->source, follow ? FFV_UPDATE_SEC : 0);
}

static void ffv_irq(struct irq_work *irq)
{
	struct ffv_page *p = container_of(irq, struct ffv_page, irq);

	queue_work(system_highpri_wq, &p->work);
}

/* In the timekeeping notifier: anything new on the page? */
static bool ffv_tick(struct ffclock_detector *d)
{
	struct ffv_page *p = container_of(d, struct ffv_page, marker);
	u32 seq = READ_ONCE(p->page->seq_count);

	if (unlikely(seq != p->seq && !(seq & 1))) {
		p->seq = seq;
		irq_work_queue(&p->irq);
	}
	return false;	/* the marker itself is d->word */
}

/**
 * ffv_page_notified() - the hypervisor says that it has changed the page
 * @p: the page
 *
 * Context: process.
 */
void ffv_page_notified(struct ffv_page *p)
{
	if (READ_ONCE(*p->marker.word) != READ_ONCE(p->marker.seen))
		ffclock_disrupt(&p->marker);
	queue_work(system_highpri_wq, &p->work);
}

/**
 * ffv_page_add() - watch a VMClock page
 * @start: its physical address
 * @size: bytes there
 * @name: for people; at most 15 characters
 * @rating: as a source of the host's time
 *
 * Context: process, sleeps.
 * Return: the page, or ERR_PTR(-ENODEV) if there is no VMClock structure
 */
struct ffv_page *ffv_page_add(phys_addr_t start, resource_size_t size, const char *name,
			      int rating)
{
	struct ffclock_vmclock v;
	struct ffv_page *p;
	void *page;
	int ret;

	if (size < sizeof(v))
		return ERR_PTR(-ENODEV);
	page = memremap(start, sizeof(v), MEMREMAP_WB);
	if (!page)
		return ERR_PTR(-ENOMEM);
	p = kzalloc_obj(*p);
	if (!p) {
		ret = -ENOMEM;
		goto unmap;
	}
	p->page = page;
	/* the constant part must be there; the rest may still be in progress */
	memcpy(&v, page, sizeof(v));
	ret = ffv_check(&v);
	if (ret) {
		ret = -ENODEV;
		goto free;
	}

	mutex_init(&p->lock);
	p->line_marker = v.disruption_marker;
	init_irq_work(&p->irq, ffv_irq);
	INIT_WORK(&p->work, ffv_work);
	p->seq = READ_ONCE(p->page->seq_count) - 2;	/* take it in at once */
	p->marker.name = name;
	p->marker.word = &p->page->disruption_marker;
	p->marker.check = ffv_tick;
	p->generation.name = "vmgeneration";
	p->generation.word = &p->page->vm_generation_counter;
	p->has_generation = v.flags & FFCLOCK_VF_VM_GEN_COUNTER_PRESENT;
	p->source.name = name;
	p->source.rating = rating;
	p->source.read = ffv_source_read;
	p->source.owner = THIS_MODULE;

	ret = ffclock_register_source(&p->source);
	if (ret)
		goto free;
	ret = ffclock_register_detector(&p->marker);
	if (ret)
		goto source;
	if (p->has_generation) {
		ret = ffclock_register_detector(&p->generation);
		if (ret)
			goto marker;
	}
	pr_info("ffclock_vmclock: %s at %pa, marker %llu\n", name, &start,
		READ_ONCE(p->page->disruption_marker));
	return p;
marker:
	ffclock_unregister_detector(&p->marker);
source:
	ffclock_unregister_source(&p->source);
free:
	kfree(p);
unmap:
	memunmap(page);
	return ERR_PTR(ret);
}

/**
 * ffv_page_remove() - no longer watch a page
 * @p: the page
 *
 * Context: process, sleeps.
 */
void ffv_page_remove(struct ffv_page *p)
{
	if (p->has_generation)
		ffclock_unregister_detector(&p->generation);
	ffclock_unregister_detector(&p->marker);
	irq_work_sync(&p->irq);
	cancel_work_sync(&p->work);
	ffclock_unregister_source(&p->source);
	ffclock_notice(0);	/* nobody would take it back */
	memunmap((void *)p->page);
	kfree(p);
}

static int __init ffv_init(void)
{
	int ret = ffv_acpi_init();

	if (ret)
		return ret;
	ret = ffv_pci_init();
	if (ret)
		ffv_acpi_exit();
	return ret;
}

static void __exit ffv_exit(void)
{
	ffv_pci_exit();
	ffv_acpi_exit();
}

module_init(ffv_init);
module_exit(ffv_exit);
MODULE_DESCRIPTION("VMClock pages for ffclock");
MODULE_AUTHOR("the ffclock maintainers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
