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

#endif /* _FFCLOCK_TRACE_H */

/* found through the -I of this directory in Kbuild */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE ffclock_trace
#include <trace/define_trace.h>
