// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_xen: Dom0's clock as a record for the others.
 *
 * With every new estimate the clock is put into a record (ffclock_record.h), in
 * terms of the counters that other domains have as well.  A program takes it
 * from sysfs to Xenstore, where permissions are its business: the kernel offers
 * no interface for those.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>

#include <xen/xenbus.h>

#include "ffclock_xen.h"

/*
 * Where this host's id is kept, so that it outlives us and this Dom0's programs:
 * Xenstore lives as long as the hypervisor.
 */
#define FFX_HOST_DIR	"/tool/ffclock"
#define FFX_HOST_NODE	"host"

static DEFINE_MUTEX(ffx_mutex);			/* for all that follows */
static char ffx_host[FFCLOCK_RECORD_HOST];	/* empty: not known yet */
static u64 ffx_seq;				/* of the record in ffx_text */
static char ffx_text[FFCLOCK_RECORD_MAX];	/* empty: none */
static ssize_t ffx_len;
static const char *ffx_state = "no estimate yet";

/* This host's id: as it is kept, or a new one */
static int ffx_host_get(char *host)
{
	struct ffclock_record_text t;
	unsigned int len;
	uuid_t uuid;
	char *kept;

	kept = xenbus_read(XBT_NIL, FFX_HOST_DIR, FFX_HOST_NODE, &len);
	if (!IS_ERR(kept)) {
		bool good;

		t.p = kept;
		t.end = kept + len;
		good = ffclock_record_uuid(&t, host) && t.p == t.end;
		kfree(kept);
		if (good)
			return 0;
	}
	uuid_gen(&uuid);
	snprintf(host, FFCLOCK_RECORD_HOST, "%pUb", &uuid);
	return xenbus_write(XBT_NIL, FFX_HOST_DIR, FFX_HOST_NODE, host);
}

/* The clock's lines in the counters that others have too; false: in none */
static bool ffx_lines(const struct ffclock_estimate *e, struct ffclock_record *r)
{
	struct ffclock_record_line line = {
		.valid		= true,
		.shift		= e->period_shift,
		.period		= e->period,
		.esterror	= min(e->period_esterror, e->period),
		.maxerror	= min(e->period_maxerror, e->period),
	};
	struct ffx_facts f;
	u32 epoch;
	u64 offset;

	if (ffclock_counter_over("xen", &offset, &epoch)) {
		line.counter = e->counter - offset;
		r->xen = line;
		return epoch == e->epoch;
	}
	ffx_facts_read(&f);
	if (!ffclock_counter_over("tsc", &offset, &epoch) || epoch != e->epoch)
		return false;
	line.counter = e->counter - offset;
	if (f.pv && !f.emulated)
		r->tsc = line;
	/* to within the ns that is Xen system time's unit */
	if (ffx_line_tsc_to_xen(&line, e->time, &r->xen))
		r->maxerror_ns += r->maxerror_ns < FFCLOCK_RECORD_MAX_ERROR_NS;
	else
		memset(&r->xen, 0, sizeof(r->xen));
	return r->tsc.valid || r->xen.valid;
}

static const char *ffx_compose(void)
{
	struct ffclock_estimate e;
	struct ffclock_record r = {};
	char text[FFCLOCK_RECORD_MAX];
	int len;

	if (!*ffx_host && ffx_host_get(ffx_host)) {
		*ffx_host = '\0';
		return "Xenstore does not keep the host's id";
	}
	ffclock_get_estimate(&e);
	if (e.status == FFCLOCK_STATUS_UNKNOWN)
		return "clock never synchronised";
	/* mono's rate hides a jump of the clock; the numbers do not */
	ffx_seq = max(ffx_seq + 1, (u64)ktime_to_ms(ktime_get_boottime()));
	strscpy(r.host, ffx_host, sizeof(r.host));
	r.seq = ffx_seq;
	r.status = e.status;
	r.next_update_sec = e.next_update_sec ?: 1;
	r.stale_sec = e.stale_sec;
	r.time = e.time;
	r.esterror_ns = e.esterror_ns;
	r.maxerror_ns = e.maxerror_ns;
	r.tai_offset_sec = e.tai_offset_sec;
	r.leap_change = e.leap_change;
	r.leap_utc_sec = e.leap_utc_sec;
	if (!ffx_lines(&e, &r))
		return "counter is neither tsc nor xen: no other domain has it";
	len = ffclock_record_format(text, sizeof(text), &r);
	if (len < 0)
		return "estimate does not fit a record";
	memcpy(ffx_text, text, len);
	ffx_len = len;
	return "ok";
}

static void ffx_work_fn(struct work_struct *work)
{
	mutex_lock(&ffx_mutex);
	ffx_state = ffx_compose();
	mutex_unlock(&ffx_mutex);
	ffx_record_changed();
}

static DECLARE_WORK(ffx_work, ffx_work_fn);

static int ffx_event(struct notifier_block *nb, unsigned long events, void *data)
{
	ffx_work_fn(NULL);	/* process context, and the sooner the better */
	return NOTIFY_OK;
}

static struct notifier_block ffx_nb = {
	.notifier_call = ffx_event,
};

ssize_t ffx_dom0_status(char *buf)
{
	struct ffx_facts f;
	ssize_t len;

	ffx_facts_read(&f);
	mutex_lock(&ffx_mutex);
	len = sysfs_emit(buf, "state: %s\nhost: %s\nsequence: %llu\ntsc: %s\npvclock: %s\n",
			 ffx_state, *ffx_host ? ffx_host : "none", ffx_seq, ffx_tsc_why(&f),
			 ffx_pvclock_stable() ? "stable" : "unstable");
	mutex_unlock(&ffx_mutex);
	return len;
}

ssize_t ffx_dom0_record(char *buf)
{
	ssize_t len;

	mutex_lock(&ffx_mutex);
	len = ffx_len;
	memcpy(buf, ffx_text, len);
	mutex_unlock(&ffx_mutex);
	return len;
}

int ffx_dom0_init(void)
{
	return 0;
}

/* Xenstore answers */
void ffx_dom0_ready(void)
{
	if (!ffclock_register_notifier(&ffx_nb))
		schedule_work(&ffx_work);
}

void ffx_dom0_exit(void)
{
	ffclock_unregister_notifier(&ffx_nb);
	cancel_work_sync(&ffx_work);
}
