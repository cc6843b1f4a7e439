// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_xen: a domain follows Dom0's clock.
 *
 * Dom0 writes its clock into our folder of Xenstore (ffclock_record.h); a watch
 * tells of every change, and fires once more after every resume.  A record is
 * used in the counter epoch in which it was asked for, and in no other: after a
 * resume (migration, restore) ffclock.ko is in a new epoch before anything else
 * runs, so that an answer of the old host's Xenstore comes too late, and the new
 * host's Xenstore has nothing of the old one's.  The record's host id is the
 * second line of defence: another host in the same epoch is a resume that went
 * unnoticed, and a disruption.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include <xen/xenbus.h>

#include "ffclock_xen.h"

static bool follow = true;
module_param(follow, bool, 0644);
MODULE_PARM_DESC(follow, "keep the clocks on Dom0's while it tells it (default Y)");

/* Better than Xen's wallclock, which is one of Dom0's settings of its time */
#define FFX_STORE_RATING	450

/*
 * Where Xen does not call its TSC stable, every processor reckons Xen system time
 * from its own TSC with parameters that Xen renews every second against the
 * platform timer.  So two processors differ, and one from itself a second ago,
 * by what the oscillators part in a second: some hundred ns at 0.1 to 1 ppm.
 */
#define FFX_UNSTABLE_NS		1000

/* The epoch may end while a record is read: try again, not for ever */
#define FFX_TRIES		3

/**
 * struct ffx_guest - what became of Dom0's records
 * @host: host id of the latest record that was used; empty: none yet
 * @seq: its number
 * @epoch: the counter epoch it was used in
 * @state: 0: in use; or a negative errno: why the latest record is not
 * @counter: the counter it was used for, or what is missing
 * @accepted: records used
 * @refused: records not used
 * @text: the latest record, as it was read
 *
 * Protected by ffx_mutex.
 */
struct ffx_guest {
	char		host[FFCLOCK_RECORD_HOST];
	u64		seq;
	u32		epoch;
	int		state;
	const char	*counter;
	u64		accepted;
	u64		refused;
	char		text[FFCLOCK_RECORD_MAX + 1];
};

static struct ffx_guest ffx_guest = {
	.state		= -ENODATA,
	.counter	= "none",
};

static DEFINE_MUTEX(ffx_mutex);
static bool ffx_watching;

/* No word, no check(): tells by ffclock_disrupt() only */
static struct ffclock_detector ffx_other_host = {
	.name = "xen-host",
};

/* Read and parse what Dom0 says; ffx_mutex held */
static int ffx_fetch(struct ffclock_record *r)
{
	struct ffx_guest *g = &ffx_guest;
	unsigned int len;
	char *text;
	int ret;

	text = xenbus_read(XBT_NIL, FFX_DIR, FFX_NODE, &len);
	if (IS_ERR(text))
		return PTR_ERR(text);
	/* xenbus_read() ends it with a zero; others within are garbage */
	ret = ffclock_record_parse(text, len, r);
	strscpy(g->text, text, sizeof(g->text));
	kfree(text);
	return ret;
}

/*
 * The record's line in terms of the present counter: utc is at line->counter, a
 * raw reading; offset and epoch are the counter's.
 */
static int ffx_choose(struct ffclock_record *r, struct ffclock_record_line *line, u64 *offset,
		      u32 *epoch, const char **how)
{
	struct ffx_facts f;

	if (ffclock_counter_over("xen", offset, epoch)) {
		if (!r->xen.valid) {
			*how = "Dom0 does not tell Xen system time: use clocksource xen there";
			return -EOPNOTSUPP;
		}
		*line = r->xen;
		*how = "xen";
		if (!ffx_pvclock_stable() && r->maxerror_ns != FFCLOCK_BOUND_UNKNOWN)
			r->maxerror_ns += FFX_UNSTABLE_NS;
		return 0;
	}
	if (!ffclock_counter_over("tsc", offset, epoch)) {
		*how = "counter is neither tsc nor xen";
		return -EOPNOTSUPP;
	}
	ffx_facts_read(&f);
	if (r->tsc.valid && ffx_tsc_common(&f)) {
		*line = r->tsc;
		*how = "tsc";
		return 0;
	}
	if (r->xen.valid && ffx_line_xen_to_tsc(&r->xen, &r->time, line)) {
		*how = "tsc by xen";
		return 0;
	}
	*how = ffx_tsc_common(&f) ? "Dom0 does not tell its TSC: use clocksource tsc there" :
		"the TSC is not Dom0's: use clocksource xen";
	return -EOPNOTSUPP;
}

/* Set our clocks to a record; ffx_mutex held */
static int ffx_use(struct ffclock_record *r, u32 asked_in)
{
	struct ffclock_record_line line;
	struct ffx_guest *g = &ffx_guest;
	struct ffclock_estimate e = {};
	u64 offset;
	u32 epoch;
	int ret;

	ret = ffx_choose(r, &line, &offset, &epoch, &g->counter);
	if (ret)
		return ret;
	if (epoch != asked_in)
		return -ESTALE;
	if (*g->host && strcmp(g->host, r->host) && epoch == g->epoch) {
		pr_warn("ffclock_xen: host %s became %s without a resume\n", g->host, r->host);
		*g->host = '\0';
		ffclock_disrupt(&ffx_other_host);
		return -ESTALE;
	}
	if (!strcmp(g->host, r->host) && epoch == g->epoch) {
		if (r->seq == g->seq)
			return 0;	/* the watch fires when it is set, too */
		if (r->seq < g->seq)
			return -EALREADY;
	}

	e.counter = line.counter + offset;
	e.epoch = epoch;
	e.time = r->time;
	e.period = line.period;
	e.period_shift = line.shift;
	e.period_esterror = line.esterror;
	e.period_maxerror = min(line.maxerror, line.period);
	e.esterror_ns = r->esterror_ns;
	e.maxerror_ns = r->maxerror_ns;
	e.status = r->status;
	e.tai_offset_sec = r->tai_offset_sec;
	e.leap_change = r->leap_change;
	e.leap_utc_sec = r->leap_utc_sec;
	e.leap_indicator = r->leap_change > 0 ? FFCLOCK_LEAP_PRE_POS :
			   r->leap_change < 0 ? FFCLOCK_LEAP_PRE_NEG : FFCLOCK_LEAP_NONE;
	e.next_update_sec = r->next_update_sec;
	e.stale_sec = r->stale_sec;
	ret = ffclock_set_estimate(&e);
	/* within their ranges, but not for this counter at this time */
	if (ret == -EINVAL)
		ret = -ERANGE;
	if (ret)
		return ret;
	strscpy(g->host, r->host, sizeof(g->host));
	g->seq = r->seq;
	g->epoch = epoch;
	g->accepted++;
	return 0;
}

/* Read the record and use it.  Process context, sleeps */
static void ffx_take(void)
{
	struct ffx_guest *g = &ffx_guest;
	struct ffclock_record r;
	int was, ret, i;
	u32 epoch;

	if (!follow)
		return;
	mutex_lock(&ffx_mutex);
	was = g->state;
	for (i = 0; i < FFX_TRIES; i++) {
		ffclock_counter(&epoch);	/* before the question */
		ret = ffx_fetch(&r);
		if (!ret)
			ret = ffx_use(&r, epoch);
		if (ret != -ESTALE)
			break;
	}
	g->state = ret;
	if (ret && ret != -ENOENT)
		g->refused++;
	/* a word when it changes, not with every record */
	if (ret != was && ret == -ENOENT)
		pr_info("ffclock_xen: Dom0 publishes no clock yet\n");
	else if (ret != was && ret)
		pr_warn("ffclock_xen: Dom0's record is not used: error %d%s%s\n", ret,
			ret == -EOPNOTSUPP ? ": " : "", ret == -EOPNOTSUPP ? g->counter : "");
	else if (ret != was)
		pr_info("ffclock_xen: following host %s by counter %s\n", g->host, g->counter);
	mutex_unlock(&ffx_mutex);
	ffx_record_changed();
}

static void ffx_work_fn(struct work_struct *work)
{
	ffx_take();
}

static DECLARE_WORK(ffx_work, ffx_work_fn);

/* From xenbus's thread, which may sleep: the shortest way from Dom0 to here */
static void ffx_changed(struct xenbus_watch *watch, const char *path, const char *token)
{
	ffx_take();
}

static struct xenbus_watch ffx_watch = {
	.node		= FFX_DIR "/" FFX_NODE,
	.callback	= ffx_changed,
};

/* Another counter, or another host: what the record says is to be used anew */
static int ffx_event(struct notifier_block *nb, unsigned long events, void *data)
{
	if (events & FFCLOCK_EVENT_EPOCH)
		queue_work(system_highpri_wq, &ffx_work);
	return NOTIFY_OK;
}

static struct notifier_block ffx_nb = {
	.notifier_call = ffx_event,
};

/* After a disruption ffclock.ko asks all that know the host's time */
static int ffx_store_read(struct ffclock_source *s, struct ffclock_host_time *t)
{
	struct ffclock_record_line line;
	struct ffclock_record r;
	const char *how;
	u64 offset;
	u32 epoch;
	int ret;

	mutex_lock(&ffx_mutex);
	ret = ffx_fetch(&r);
	mutex_unlock(&ffx_mutex);
	if (ret == -ENOENT)
		return -ENODEV;
	if (ret)
		return -EPROTO;
	if (r.status != FFCLOCK_STATUS_SYNCHRONIZED && r.status != FFCLOCK_STATUS_FREERUNNING)
		return -EAGAIN;
	ret = ffx_choose(&r, &line, &offset, &epoch, &how);
	if (ret)
		return ret;
	t->counter = line.counter + offset;
	t->utc = r.time;
	t->bound_ns = r.maxerror_ns;
	t->tai_offset_sec = r.tai_offset_sec;
	t->synchronized = r.status == FFCLOCK_STATUS_SYNCHRONIZED;
	t->period = line.period;
	t->period_shift = line.shift;
	t->period_esterror = line.esterror;
	t->period_maxerror = min(line.maxerror, line.period);
	t->leap_change = r.leap_change;
	t->leap_utc_sec = r.leap_utc_sec;
	return 0;
}

static struct ffclock_source ffx_store = {
	.name	= "xenstore",
	.rating	= FFX_STORE_RATING,
	.read	= ffx_store_read,
	.owner	= THIS_MODULE,
};

/* What became of the latest record, for people */
static const char *ffx_why(const struct ffx_guest *g)
{
	switch (g->state) {
	case 0:
		return "following";
	case -ENODATA:
		return "nothing read yet";
	case -ENOENT:
		return "Dom0 publishes no clock: start ffclock-xenpublish there";
	case -EACCES:
		return "refused: Xenstore does not let us read it";
	case -EMSGSIZE:
		return "refused: too long";
	case -EPROTONOSUPPORT:
		return "refused: another version of the format";
	case -EBADMSG:
		return "refused: checksum";
	case -EPROTO:
		return "refused: malformed or out of range";
	case -EALREADY:
		return "refused: older than the one in use";
	case -ERANGE:
		return "refused: not of this counter, or too old";
	case -EOPNOTSUPP:
		return g->counter;
	case -ESTALE:
		return "disrupted while it was read";
	default:
		return "refused: error";
	}
}

/**
 * ffx_guest_status() - what became of Dom0's records
 * @buf: a page
 *
 * Return: bytes written
 */
ssize_t ffx_guest_status(char *buf)
{
	const struct ffx_guest *g = &ffx_guest;
	struct ffx_facts f;
	ssize_t len;

	ffx_facts_read(&f);
	mutex_lock(&ffx_mutex);
	len = sysfs_emit(buf, "state: %d %s\ncounter: %s\nhost: %s\nsequence: %llu\n"
			 "accepted: %llu\nrefused: %llu\n", g->state,
			 follow ? ffx_why(g) : "parameter follow is off",
			 g->state == -EOPNOTSUPP ? "none" : g->counter, *g->host ? g->host : "none",
			 g->seq, g->accepted, g->refused);
	mutex_unlock(&ffx_mutex);
	len += sysfs_emit_at(buf, len, "tsc: %s\npvclock: %s\nincarnation: %u\n", ffx_tsc_why(&f),
			     ffx_pvclock_stable() ? "stable" : "unstable", f.incarnation);
	return len;
}

/* The latest record as it was read; what is not printable becomes a dot */
ssize_t ffx_guest_record(char *buf)
{
	const struct ffx_guest *g = &ffx_guest;
	ssize_t len = 0;

	mutex_lock(&ffx_mutex);
	for (; g->text[len]; len++)
		buf[len] = (g->text[len] >= ' ' && g->text[len] <= '~') || g->text[len] == '\n' ?
			   g->text[len] : '.';
	mutex_unlock(&ffx_mutex);
	return len;
}

int ffx_guest_init(void)
{
	int ret;

	ret = ffclock_register_detector(&ffx_other_host);
	if (ret)
		return ret;
	ret = ffclock_register_source(&ffx_store);
	if (ret)
		goto detector;
	ret = ffclock_register_notifier(&ffx_nb);
	if (ret)
		goto source;
	return 0;
source:
	ffclock_unregister_source(&ffx_store);
detector:
	ffclock_unregister_detector(&ffx_other_host);
	return ret;
}

/* Xenstore answers */
void ffx_guest_ready(void)
{
	int ret = register_xenbus_watch(&ffx_watch);

	if (ret)
		pr_warn("ffclock_xen: no watch on " FFX_DIR "/" FFX_NODE ": error %d\n", ret);
	ffx_watching = !ret;
}

void ffx_guest_exit(void)
{
	if (ffx_watching)
		unregister_xenbus_watch(&ffx_watch);
	ffclock_unregister_notifier(&ffx_nb);
	cancel_work_sync(&ffx_work);
	ffclock_unregister_source(&ffx_store);
	ffclock_unregister_detector(&ffx_other_host);
}
