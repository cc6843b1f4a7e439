/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ffclock

#if !defined(_FFCLOCK_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _FFCLOCK_TRACE_H

#include <linux/tracepoint.h>
#include <uapi/linux/ffclock.h>

/* new clock parameters; now: the counter when they were applied */
TRACE_EVENT(ffclock_update,
	TP_PROTO(const struct ffclock_estimate *e, u64 now),
	TP_ARGS(e, now),
	TP_STRUCT__entry(
		__field(u64, counter)
		__field(u64, now)
		__field(s64, sec)
		__field(u64, frac)
		__field(u64, period)
		__field(u64, maxerror_ns)
		__field(u8, shift)
		__field(u8, status)
	),
	TP_fast_assign(
		__entry->counter = e->counter;
		__entry->now = now;
		__entry->sec = e->time.sec;
		__entry->frac = e->time.frac;
		__entry->period = e->period;
		__entry->maxerror_ns = e->maxerror_ns;
		__entry->shift = e->period_shift;
		__entry->status = e->status;
	),
	TP_printk("counter=%llu now=%llu sec=%lld frac=%#llx period=%llu shift=%u maxerror_ns=%llu status=%u",
		  __entry->counter, __entry->now, __entry->sec, __entry->frac,
		  __entry->period, __entry->shift, __entry->maxerror_ns, __entry->status)
);

/* the counter began a new epoch at value */
TRACE_EVENT(ffclock_epoch,
	TP_PROTO(u32 epoch, u64 value, const char *counter, const char *why),
	TP_ARGS(epoch, value, counter, why),
	TP_STRUCT__entry(
		__field(u32, epoch)
		__field(u64, value)
		__array(char, counter, 16)
		__array(char, why, 24)
	),
	TP_fast_assign(
		__entry->epoch = epoch;
		__entry->value = value;
		strscpy(__entry->counter, counter, sizeof(__entry->counter));
		strscpy(__entry->why, why, sizeof(__entry->why));
	),
	TP_printk("epoch=%u value=%llu counter=%s why=%s",
		  __entry->epoch, __entry->value, __entry->counter, __entry->why)
);

/*
 * what was done about a disruption; twice if the time became known later.  Fields
 * as in struct ffclock_migration.
 */
TRACE_EVENT(ffclock_migration,
	TP_PROTO(const struct ffclock_migration *m),
	TP_ARGS(m),
	TP_STRUCT__entry(
		__field(u64, sequence)
		__field(u32, flags)
		__field(u32, policy)
		__field(u32, settings)
		__field(s64, tout_ns)
		__field(u64, bound_ns)
		__field(s64, error_left_ns)
		__field(s64, lost_ns)
		__field(u64, downtime_ns)
		__field(u64, delay_ns)
		__array(char, detector, 16)
		__array(char, source, 16)
	),
	TP_fast_assign(
		__entry->sequence = m->sequence;
		__entry->flags = m->flags;
		__entry->policy = m->policy;
		__entry->settings = m->settings;
		__entry->tout_ns = m->tout_ns;
		__entry->bound_ns = m->bound_ns;
		__entry->error_left_ns = m->error_left_ns;
		__entry->lost_ns = m->lost_ns;
		__entry->downtime_ns = m->downtime_ns;
		__entry->delay_ns = m->delay_ns;
		strscpy(__entry->detector, m->detector, sizeof(__entry->detector));
		strscpy(__entry->source, m->source, sizeof(__entry->source));
	),
	TP_printk("sequence=%llu detector=%s policy=%u source=%s flags=%#x settings=%u tout_ns=%lld bound_ns=%llu left_ns=%lld lost_ns=%lld downtime_ns=%llu delay_ns=%llu",
		  __entry->sequence, __entry->detector, __entry->policy, __entry->source,
		  __entry->flags, __entry->settings, __entry->tout_ns, __entry->bound_ns,
		  __entry->error_left_ns, __entry->lost_ns, __entry->downtime_ns,
		  __entry->delay_ns)
);

/* the hypervisor announces a disruption, or takes it back: FFCLOCK_VF_DISRUPTION_* */
TRACE_EVENT(ffclock_notice,
	TP_PROTO(u64 flags),
	TP_ARGS(flags),
	TP_STRUCT__entry(
		__field(u64, flags)
	),
	TP_fast_assign(
		__entry->flags = flags;
	),
	TP_printk("soon=%d imminent=%d", !!(__entry->flags & FFCLOCK_VF_DISRUPTION_SOON),
		  !!(__entry->flags & FFCLOCK_VF_DISRUPTION_IMMINENT))
);

#endif /* _FFCLOCK_TRACE_H */

/* found through the -I of this directory in Kbuild */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE ffclock_trace
#include <trace/define_trace.h>
