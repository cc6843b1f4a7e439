// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: what is done about a disruption.
 *
 * Gleixner's scheme of March 2022.  The detection (ffclock_detect.c) has counted
 * the sequence on and made the clocks say so.  Here, in process context: ask the
 * host for the time, inject what CLOCK_REALTIME is behind by, which also clears
 * NTP's state and cancels TFD_TIMER_CANCEL_ON_SET timers, and keep a record.
 *
 * CLOCK_REALTIME is set with do_settimeofday64(), the one exported function that
 * does all of that.  It is absolute, so some time passes between reckoning what
 * to set and the setting: what is left is measured, and corrected once if the
 * caller was preempted in between.
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include "ffclock_internal.h"
#include "ffclock_trace.h"

/* Asking a source twice, this is what its own two answers may differ by on top
 * of their bounds: a counter rate off by 1000 ppm over the time in between.
 */
#define FFC_SOURCE_RATE_DIV	1000

/* A host that does not know its time to a minute is no help with ours */
#define FFC_SOURCE_BOUND_NS	(60ULL * NSEC_PER_SEC)

/*
 * What CLOCK_REALTIME may be off after it was set without setting it again.
 * Being preempted costs milliseconds, not being so a microsecond; and each
 * setting wakes every TFD_TIMER_CANCEL_ON_SET timer.
 */
#define FFC_INJECT_GOOD_NS	10000
#define FFC_INJECT_TRIES	3

/*
 * The same when nobody knows the time: it is off by the time the machine stood
 * still, milliseconds at least, so that only being preempted is worth another.
 */
#define FFC_TIMELESS_GOOD_NS	1000000

/*
 * When all sources have refused, they are asked again after that, twice that, and so
 * on, for as long as the disruption waits for the time.
 */
#define FFC_RETRY_MIN_SEC	1
#define FFC_RETRY_MAX_SEC	64

/* When a source that was asked once is to be doubted */
#define FFC_ONCE_UPDATE_SEC	64

/* Serialises sources, policy and the action; sleeps */
static DEFINE_MUTEX(ffc_mig_mutex);

static LIST_HEAD(ffc_sources);			/* best first; ffc_mig_mutex */

struct ffc_tunables ffc_tunables = {
	.policy		= FFC_POLICY_INJECT,
	.tolerable_ns	= 0,
	/* ten years: a snapshot may be old, a host's clock that far off is broken */
	.max_tout_ns	= 315576000ULL * NSEC_PER_SEC,
	.min_interval_ms = 100,
};

/**
 * struct ffc_record - a disruption in the history
 * @m: what user space sees
 * @old: the clock data before it, for what the disruption changed
 * @old_good: they were synchronised
 *
 * Protected by ffc_lock.
 */
struct ffc_record {
	struct ffclock_migration	m;
	struct ffclock_estimate		old;
	bool				old_good;
};

static struct ffc_record ffc_history[FFCLOCK_MIG_HISTORY];

static struct ffc_record *ffc_record_at(u64 sequence)
{
	struct ffc_record *r = &ffc_history[sequence % FFCLOCK_MIG_HISTORY];

	lockdep_assert_held(&ffc_lock);
	return sequence && r->m.sequence == sequence ? r : NULL;
}

/**
 * ffc_migration_begin() - a disruption was noticed
 * @detector: by whom
 * @counter: the counter then
 * @old: the clock data as they were
 * @epoch: the epoch that begins
 *
 * Context: ffc_lock held, sequence counted on.
 */
void ffc_migration_begin(const char *detector, u64 counter, const struct ffclock_estimate *old,
			 u32 epoch)
{
	u64 sequence = ffclock_migration_sequence();
	struct ffc_record *r = &ffc_history[sequence % FFCLOCK_MIG_HISTORY];

	lockdep_assert_held(&ffc_lock);
	memset(r, 0, sizeof(*r));
	r->m.sequence = sequence;
	r->m.counter = counter;
	r->m.epoch = epoch;
	r->m.bound_ns = FFCLOCK_BOUND_UNKNOWN;
	r->m.downtime_ns = ffc_detect_gap_ns(counter);
	strscpy(r->m.detector, detector, sizeof(r->m.detector));
	r->old = *old;
	r->old_good = old->status == FFCLOCK_STATUS_SYNCHRONIZED ||
		      old->status == FFCLOCK_STATUS_FREERUNNING;
}

/**
 * ffclock_get_migration() - what a disruption was and what was done about it
 * @m: sequence is which one, 0 for the latest; filled in
 *
 * Context: any but NMI and the timekeeping notifier.
 * Return: 0, or -ENOENT if there was none of that sequence, or too long ago
 */
int ffclock_get_migration(struct ffclock_migration *m)
{
	const struct ffc_record *r;
	unsigned long flags;
	int ret = -ENOENT;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	r = ffc_record_at(m->sequence ?: ffclock_migration_sequence());
	if (r) {
		*m = r->m;
		ret = 0;
	}
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	return ret;
}
EXPORT_SYMBOL_GPL(ffclock_get_migration);

/* Enter into the record what became known, if it is still there */
static void ffc_record_update(const struct ffclock_migration *m)
{
	struct ffc_record *r;
	unsigned long flags;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	r = ffc_record_at(m->sequence);
	if (r)
		r->m = *m;
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
}

/* Sources ------------------------------------------------------------------ */

/* What an errno of a source's means, for people */
static const char *ffc_source_why(int state)
{
	static const struct {
		int state;
		const char *why;
	} table[] = {
		{ 0,		"ok" },
		{ -ENODATA,	"not asked yet" },
		{ -EOPNOTSUPP,	"refused: does not tell the time" },
		{ -EAGAIN,	"refused: not synchronised" },
		{ -ETIMEDOUT,	"refused: update in progress for too long" },
		{ -ESTALE,	"refused: stale" },
		{ -ERANGE,	"refused: time out of range or beyond max_tout_ns" },
		{ -EDOM,	"refused: error bound over 60 s or unknown" },
		{ -EILSEQ,	"refused: contradicts itself" },
		{ -EPROTO,	"refused: malformed" },
		{ -ENODEV,	"refused: gone" },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].state == state)
			return table[i].why;
	return "refused: error";
}

/**
 * ffc_source_show() - the sources and what became of them, one a line
 * @buf: a page
 *
 * Return: bytes written
 */
ssize_t ffc_source_show(char *buf)
{
	struct ffclock_source *s;
	ssize_t len = 0;

	mutex_lock(&ffc_mig_mutex);
	list_for_each_entry(s, &ffc_sources, node) {
		int state = READ_ONCE(s->state);

		len += sysfs_emit_at(buf, len, "%s %d %d %s\n", s->name, s->rating, state,
				     ffc_source_why(state));
	}
	mutex_unlock(&ffc_mig_mutex);
	return len;
}

/**
 * ffclock_register_source() - a source of the host's time
 * @s: filled in; stays until unregistered
 *
 * Context: process, sleeps.
 * Return: 0
 */
int ffclock_register_source(struct ffclock_source *s)
{
	struct ffclock_source *other;

	mutex_lock(&ffc_mig_mutex);
	s->state = -ENODATA;
	list_for_each_entry(other, &ffc_sources, node)
		if (other->rating < s->rating)
			break;
	list_add_tail(&s->node, &other->node);
	mutex_unlock(&ffc_mig_mutex);
	/* a disruption may be waiting for it */
	ffc_event_raise(FFC_EVENT_SOURCE);
	return 0;
}
EXPORT_SYMBOL_GPL(ffclock_register_source);

/**
 * ffclock_unregister_source() - no longer ask @s
 * @s: as registered; may go away when this returns
 *
 * Context: process, sleeps.
 */
void ffclock_unregister_source(struct ffclock_source *s)
{
	mutex_lock(&ffc_mig_mutex);
	list_del(&s->node);
	mutex_unlock(&ffc_mig_mutex);
}
EXPORT_SYMBOL_GPL(ffclock_unregister_source);

/* The host's time at another counter value, by its rate or the nominal one */
static struct ffclock_time ffc_host_at(const struct ffclock_host_time *t, u64 counter)
{
	u64 period = t->period;
	u32 shift = t->period_shift;
	unsigned long flags;

	if (!period) {
		raw_spin_lock_irqsave(&ffc_lock, flags);
		ffc_counter_nominal(&period, &shift);
		raw_spin_unlock_irqrestore(&ffc_lock, flags);
	}
	return ffclock_line_at(counter, t->counter, t->utc, period, shift);
}

/*
 * A host that moves a clock that was set before by more than max_tout is not
 * believed.  Before the first setting anything may be right.
 */
static bool ffc_host_believable(const struct ffclock_host_time *t)
{
	struct ffclock_estimate e;
	struct ffclock_time own;

	ffclock_get_estimate(&e);
	if (e.status == FFCLOCK_STATUS_UNKNOWN)
		return true;
	own = ffclock_line_at(t->counter, e.counter, e.time, e.period, e.period_shift);
	return ffclock_time_absdiff_ns(own, t->utc) <= READ_ONCE(ffc_tunables.max_tout_ns);
}

/* A source's answer, if it is within any range and of one epoch */
static int ffc_source_read(struct ffclock_source *s, struct ffclock_host_time *t)
{
	u32 before, after;
	int ret;

	memset(t, 0, sizeof(*t));
	ffclock_counter(&before);
	ret = s->read(s, t);
	if (ret)
		return ret;
	ffclock_counter(&after);
	if (before != after)
		return -ESTALE;
	t->epoch = after;
	if (t->utc.sec <= 0 || t->utc.sec > FFC_MAX_SEC)
		return -ERANGE;
	if (t->bound_ns > FFC_SOURCE_BOUND_NS)
		return -EDOM;
	return 0;
}

/* Ask a source, twice: two answers that contradict each other are none */
static int ffc_source_ask(struct ffclock_source *s, struct ffclock_host_time *t)
{
	struct ffclock_host_time again;
	struct ffclock_time expect;
	u64 apart, allowed;
	s64 gap;
	int ret;

	ret = ffc_source_read(s, t);
	if (!ret)
		ret = ffc_source_read(s, &again);
	if (ret)
		return ret;
	if (again.epoch != t->epoch)
		return -ESTALE;

	expect = ffc_host_at(t, again.counter);
	apart = ffclock_time_absdiff_ns(expect, again.utc);
	gap = ffclock_time_to_ns(ffclock_time_sub(again.utc, t->utc));
	allowed = t->bound_ns + again.bound_ns + div_u64(abs(gap), FFC_SOURCE_RATE_DIV);
	if (apart > allowed)
		return -EILSEQ;
	*t = again;
	return 0;
}

/* The best source that answers; ffc_mig_mutex held */
static struct ffclock_source *ffc_source_best(struct ffclock_host_time *t)
{
	struct ffclock_source *s;

	list_for_each_entry(s, &ffc_sources, node) {
		int state = ffc_source_ask(s, t);

		/* the epoch may have changed meanwhile */
		if (state == -ESTALE)
			state = ffc_source_ask(s, t);
		WRITE_ONCE(s->state, state);
		if (!state)
			return s;
	}
	return NULL;
}

/* Action ------------------------------------------------------------------- */

/* CLOCK_REALTIME against the host's time now, in ns: negative is behind */
static s64 ffc_realtime_error(const struct ffclock_host_time *t)
{
	struct ffclock_snapshot snap;

	ffclock_snapshot(&snap);
	return snap.realtime_ns - ffclock_time_to_ns(ffc_host_at(t, snap.counter));
}

/*
 * Set CLOCK_REALTIME to @t, to within @good_ns.  Clears NTP's state and cancels
 * TFD_TIMER_CANCEL_ON_SET timers, however small the step; once for each of
 * m->settings, which are counted here.
 */
static int ffc_realtime_set(const struct ffclock_host_time *t, struct ffclock_migration *m,
			    u64 good_ns, s64 *left)
{
	struct timespec64 ts;
	int tries, ret;

	for (tries = 0; tries < FFC_INJECT_TRIES; tries++) {
		struct ffclock_time now = ffc_host_at(t, ffclock_counter(NULL));

		ts.tv_sec = now.sec;
		ts.tv_nsec = ffclock_frac_to_ns(now.frac);
		ret = do_settimeofday64(&ts);
		if (ret)
			return ret;
		m->settings++;
		*left = ffc_realtime_error(t);
		if ((u64)abs(*left) <= good_ns)
			break;
	}
	return 0;
}

/* CLOCK_REALTIME as it is, to set it to what it shows: NTP's state is all that goes */
static void ffc_own_time(struct ffclock_host_time *t)
{
	struct ffclock_snapshot snap;

	ffclock_snapshot(&snap);
	memset(t, 0, sizeof(*t));
	t->counter = snap.counter;
	t->utc = ffclock_ns_to_time(snap.realtime_ns);
}

/* Carry the policy out, with the host's time; fills the record in */
static void ffc_act(const struct ffclock_host_time *host, struct ffclock_migration *m)
{
	/* what |Tout| may be without anything being done about it */
	u64 good = max(READ_ONCE(ffc_tunables.tolerable_ns), host->bound_ns);
	struct ffclock_host_time own;
	u64 noticed = m->counter;
	int ret;

	m->tout_ns = -ffc_realtime_error(host);
	m->bound_ns = host->bound_ns;
	m->flags |= FFCLOCK_MIG_F_TOUT;
	if ((u64)abs(m->tout_ns) > READ_ONCE(ffc_tunables.max_tout_ns)) {
		m->flags |= FFCLOCK_MIG_F_REFUSED;
		m->policy = FFCLOCK_MIG_NOTIFY;
		return;
	}

	switch (READ_ONCE(ffc_tunables.policy)) {
	case FFC_POLICY_NOTIFY:
		m->policy = FFCLOCK_MIG_NOTIFY;
		return;
	case FFC_POLICY_NTP_RESET:
		m->policy = FFCLOCK_MIG_NTP_RESET;
		break;
	case FFC_POLICY_INJECT:
		/* compensated already, by the host or within what is tolerable */
		if ((u64)abs(m->tout_ns) <= good)
			m->policy = FFCLOCK_MIG_NTP_RESET;
		else
			m->policy = FFCLOCK_MIG_INJECT;
		break;
	}

	if (m->policy == FFCLOCK_MIG_NTP_RESET) {
		ffc_own_time(&own);
		ret = ffc_realtime_set(&own, m, max_t(u64, good, FFC_INJECT_GOOD_NS),
				       &m->error_left_ns);
		m->error_left_ns -= m->tout_ns;	/* against the host, as always */
	} else {
		ret = ffc_realtime_set(host, m, FFC_INJECT_GOOD_NS, &m->error_left_ns);
	}
	if (ret)
		return;
	m->delay_ns = ffclock_diff_ns(noticed, ffclock_counter(NULL), NULL);
	m->flags |= FFCLOCK_MIG_F_SET;
}

/*
 * Nobody knows the time.  The oscillator has changed all the same, so what NTP
 * learned of the old one goes, and who waits for the clock to be set is told.
 * With the inject policy the rest waits for an estimate.
 */
static void ffc_act_timeless(struct ffclock_migration *m)
{
	enum ffc_policy policy = READ_ONCE(ffc_tunables.policy);
	struct ffclock_host_time own;
	s64 left;

	if (policy != FFC_POLICY_NOTIFY) {
		ffc_own_time(&own);
		ffc_realtime_set(&own, m, FFC_TIMELESS_GOOD_NS, &left);
	}
	if (policy == FFC_POLICY_NTP_RESET)
		m->policy = FFCLOCK_MIG_NTP_RESET;
	else if (policy == FFC_POLICY_NOTIFY)
		m->policy = FFCLOCK_MIG_NOTIFY;
	ffc_record_update(m);
	trace_ffclock_migration(m);
}

/*
 * Take the host's time as our clocks' estimate; it will be given again within
 * @next_update_sec.  A dependent clock: synchronised as far as the host is, if it
 * tells its rate; in holdover at the nominal rate otherwise.
 */
static int ffc_follow_host(const struct ffclock_host_time *t, u32 next_update_sec)
{
	struct ffclock_estimate was, e = {
		.counter = t->counter,
		.epoch = t->epoch,
		.time = t->utc,
		.period = t->period,
		.period_shift = t->period_shift,
		.period_esterror = t->period_esterror,
		.period_maxerror = t->period_maxerror,
		.esterror_ns = t->bound_ns,
		.maxerror_ns = t->bound_ns,
		.leap_change = t->leap_change,
		.leap_utc_sec = t->leap_utc_sec,
		.next_update_sec = next_update_sec,
		.status = FFCLOCK_STATUS_FREERUNNING,
	};
	unsigned long flags;

	ffclock_get_estimate(&was);
	e.tai_offset_sec = t->tai_offset_sec ?: was.tai_offset_sec;
	if (t->period) {
		if (t->synchronized)
			e.status = FFCLOCK_STATUS_SYNCHRONIZED;
	} else {
		u32 shift;

		raw_spin_lock_irqsave(&ffc_lock, flags);
		ffc_counter_nominal(&e.period, &shift);
		raw_spin_unlock_irqrestore(&ffc_lock, flags);
		e.period_shift = shift;
		e.period_esterror = e.period / FFC_NOMINAL_ERROR_DIV;
		e.period_maxerror = e.period / FFC_NOMINAL_ERROR_DIV;
	}
	return ffclock_set_estimate(&e);
}

/**
 * ffclock_source_news() - a source tells the time, or tells another one
 * @s: registered
 * @follow_sec: keep our clocks on it; when it will tell again, 1..131072 s.
 *	0: only a disruption that waits for the time makes use of it
 *
 * Its state in sysfs is what comes of it.
 *
 * Context: process, sleeps.
 * Return: 0, or the negative errno for which @s is not used
 */
int ffclock_source_news(struct ffclock_source *s, u32 follow_sec)
{
	struct ffclock_host_time t;
	int i, ret;

	/* twice: the epoch may have changed since @s was read */
	for (i = 0; i < 2; i++) {
		ret = ffc_source_read(s, &t);
		if (!ret && !ffc_host_believable(&t))
			ret = -ERANGE;
		if (!ret && follow_sec)
			ret = ffc_follow_host(&t, follow_sec);
		if (ret != -ESTALE)
			break;
	}
	WRITE_ONCE(s->state, ret);
	if (!ret && !follow_sec)
		ffc_event_raise(FFC_EVENT_SOURCE);
	return ret;
}
EXPORT_SYMBOL_GPL(ffclock_source_news);

/* The clock as estimated by the daemon is a source too, once it is good again */
static bool ffc_own_estimate(struct ffclock_host_time *t)
{
	struct ffclock_estimate e;

	ffclock_get_estimate(&e);
	if (e.status != FFCLOCK_STATUS_SYNCHRONIZED || e.maxerror_ns > NSEC_PER_SEC)
		return false;
	memset(t, 0, sizeof(*t));
	t->counter = e.counter;
	t->utc = e.time;
	t->bound_ns = e.maxerror_ns;
	t->tai_offset_sec = e.tai_offset_sec;
	t->synchronized = true;
	t->period = e.period;
	t->period_shift = e.period_shift;
	return true;
}

/* parts per 10^9 that frequency @is differs from @was by, from their periods */
static s64 ffc_ppb(u64 was, u32 was_shift, u64 is, u32 is_shift)
{
	u64 a, b, diff;
	u32 shift;

	/* two bits to spare, so that neither saturates within a factor of two */
	shift = min(was_shift, is_shift);
	shift = shift > 2 ? shift - 2 : 0;
	a = ffclock_period_rescale(was, was_shift, shift);
	b = ffclock_period_rescale(is, is_shift, shift);
	diff = a > b ? a - b : b - a;
	if (!b || ffclock_mulhi(diff, NSEC_PER_SEC) >= b)
		return 0;
	diff = ffclock_udiv128(ffclock_mulhi(diff, NSEC_PER_SEC), diff * NSEC_PER_SEC, b, NULL);
	return a > b ? (s64)diff : -(s64)diff;
}

/* How far our own clock had fallen behind, and how its rate has changed */
static void ffc_measure(struct ffclock_migration *m, const struct ffclock_host_time *host,
			const struct ffc_record *r)
{
	struct ffclock_time old;

	if (!r->old_good)
		return;
	if (!(m->flags & FFCLOCK_MIG_F_LOST)) {
		old = ffclock_line_at(host->counter, r->old.counter, r->old.time, r->old.period,
				      r->old.period_shift);
		m->lost_ns = ffclock_time_to_ns(ffclock_time_sub(host->utc, old));
		if (m->lost_ns > 0)
			m->downtime_ns += m->lost_ns;
		m->flags |= FFCLOCK_MIG_F_LOST;
	}
	if (host->period) {
		m->freq_change_ppb = ffc_ppb(r->old.period, r->old.period_shift, host->period,
					     host->period_shift);
		m->flags |= FFCLOCK_MIG_F_FREQ;
	}
}

static void ffc_retry_fn(struct work_struct *work)
{
	ffc_event_raise(FFC_EVENT_SOURCE);
}

static DECLARE_DELAYED_WORK(ffc_retry, ffc_retry_fn);
static unsigned int ffc_retry_sec;	/* ffc_mig_mutex */

/* Somebody who was asked may know later; with a daemon's estimate alone, it will tell */
static void ffc_retry_later(bool first)
{
	if (list_empty(&ffc_sources))
		return;
	ffc_retry_sec = first ? FFC_RETRY_MIN_SEC : min(2 * ffc_retry_sec, FFC_RETRY_MAX_SEC);
	mod_delayed_work(system_wq, &ffc_retry, ffc_retry_sec * HZ);
}

/* After the last disruption and the last source */
void ffc_migration_exit(void)
{
	cancel_delayed_work_sync(&ffc_retry);
}

/**
 * ffc_migration_work() - do what is to be done about the latest disruption
 * @events: what has happened: a disruption, or new parameters that may help
 *
 * Context: work item, sleeps.
 */
void ffc_migration_work(unsigned int events)
{
	struct ffclock_host_time host, own;
	struct ffclock_source *source;
	struct ffc_record record;
	struct ffclock_migration *m = &record.m;
	const struct ffc_record *r;
	unsigned long flags;

	mutex_lock(&ffc_mig_mutex);
	raw_spin_lock_irqsave(&ffc_lock, flags);
	r = ffc_record_at(ffclock_migration_sequence());
	if (r)
		record = *r;
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	if (!r)
		goto unlock;

	if (m->policy == FFCLOCK_MIG_PENDING) {
		source = ffc_source_best(&host);
		/* what follows a better source may have been quicker than we */
		if (source && ffc_own_estimate(&own) && own.bound_ns < host.bound_ns) {
			strscpy(m->source, "estimate", sizeof(m->source));
			host = own;
		} else if (source) {
			strscpy(m->source, source->name, sizeof(m->source));
			if (ffc_host_believable(&host))
				ffc_follow_host(&host, FFC_ONCE_UPDATE_SEC);
			else
				WRITE_ONCE(source->state, -ERANGE);
		} else if (ffc_own_estimate(&host)) {
			strscpy(m->source, "estimate", sizeof(m->source));
		} else {
			if (events & FFCLOCK_EVENT_DISRUPTION)
				ffc_act_timeless(m);
			if (m->policy == FFCLOCK_MIG_PENDING)
				ffc_retry_later(events & FFCLOCK_EVENT_DISRUPTION);
			goto unlock;
		}
		/* disrupted again while asking: that event's work is queued */
		if (m->sequence != ffclock_migration_sequence())
			goto unlock;
		ffc_act(&host, m);
		ffc_measure(m, &host, &record);
		ffc_record_update(m);
		trace_ffclock_migration(m);
		ffc_event_raise(FFCLOCK_EVENT_SETTLED);
	} else if (!(m->flags & FFCLOCK_MIG_F_FREQ) && ffc_own_estimate(&host)) {
		ffc_measure(m, &host, &record);
		ffc_record_update(m);
	}
unlock:
	mutex_unlock(&ffc_mig_mutex);
}
