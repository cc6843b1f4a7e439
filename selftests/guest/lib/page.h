/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading the page in user space, as plainly as it can be written.
 */
#ifndef _GUEST_PAGE_H
#define _GUEST_PAGE_H

#include "ffc.h"

struct page_sample {
	uint64_t counter;		/* cumulative */
	uint32_t epoch;
	struct ffclock_time mono;
};

/*
 * The counter, and FFCLOCK_MONO if asked for, from one section of the page;
 * false if the counter cannot be read in user space now.
 */
static inline bool page_read(const volatile struct ffclock_page *p, bool mono,
			     struct page_sample *s)
{
	const volatile struct ffclock_ext *x = &p->ext;
	struct ffclock_slew slew;
	uint64_t tsc, offset;
	bool readable;
	uint32_t seq;

	do {
		while ((seq = p->vmclock.seq_count) & 1)
			_mm_pause();
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		readable = p->vmclock.counter_id == FFCLOCK_COUNTER_X86_TSC;
		offset = x->counter_offset;
		s->epoch = x->epoch;
		if (mono) {
			slew.c0 = x->mono.c0;
			slew.c1 = x->mono.c1;
			slew.t0.sec = x->mono.t0.sec;
			slew.t0.frac = x->mono.t0.frac;
			slew.t1.sec = x->mono.t1.sec;
			slew.t1.frac = x->mono.t1.frac;
			slew.period_before = x->mono.period_before;
			slew.period_slew = x->mono.period_slew;
			slew.period_after = x->mono.period_after;
			slew.period_shift = x->mono.period_shift;
		}
		_mm_lfence();
		tsc = __rdtsc();
		_mm_lfence();
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (p->vmclock.seq_count != seq);
	if (!readable)
		return false;
	s->counter = tsc + offset;
	if (mono)
		s->mono = ffclock_slew_at(&slew, tsc);
	return true;
}

/* A time as 64 bits that keep its order: 2^-34 s (58 ps), until 2^30 s */
static inline uint64_t time_order(struct ffclock_time t)
{
	return (uint64_t)t.sec << 34 | t.frac >> 30;
}

#endif /* _GUEST_PAGE_H */
