// SPDX-License-Identifier: GPL-2.0-only
/* Figures of a live migration: see migstats.h. */
#include <stdlib.h>

#include "migstats.h"

/* Events are stamped in microseconds, cut off: each is up to that early */
#define STAMP_NS	1000

/* A plain figure is given in ms: clocks that agree to that do not spoil it */
#define AGREE_NS	1000000

/*
 * What an observer without both clocks can tell: events reach it within some ms,
 * on a loaded machine more.  Clocks further apart than this are seen to be.
 */
#define SEEN_NS		200000000LL

static int64_t between(int64_t from, int64_t to)
{
	return from == MIG_NONE || to == MIG_NONE ? MIG_NONE : to - from;
}

void mig_compute(const struct mig_stamps *s, struct mig_figures *f)
{
	int64_t seen;

	f->delta = between(s->sent, s->received);
	f->elapsed = between(s->started, s->resumed);
	f->downtime = between(s->stopped, s->resumed);
	f->elapsed_net = f->elapsed == MIG_NONE || f->delta == MIG_NONE ? MIG_NONE :
		f->elapsed - f->delta;
	f->downtime_net = f->downtime == MIG_NONE || f->delta == MIG_NONE ? MIG_NONE :
		f->downtime - f->delta;
	f->elapsed_true = MIG_NONE;
	f->downtime_true = MIG_NONE;
	f->true_bound = MIG_NONE;
	f->clock_difference = MIG_NONE;
	f->clock_difference_bound = MIG_NONE;

	if (s->source.known && s->dest.known) {
		int64_t shift = s->dest.offset_ns - s->source.offset_ns;

		f->true_bound = s->source.bound_ns + s->dest.bound_ns + STAMP_NS;
		if (f->elapsed != MIG_NONE)
			f->elapsed_true = f->elapsed + shift;
		if (f->downtime != MIG_NONE)
			f->downtime_true = f->downtime + shift;
		/* UTC = REALTIME + offset on either */
		f->clock_difference = -shift;
		f->clock_difference_bound = s->source.bound_ns + s->dest.bound_ns;
		f->plain = llabs(f->clock_difference) <= AGREE_NS + f->clock_difference_bound ?
			MIG_PLAIN_GOOD : MIG_PLAIN_UNUSABLE;
		return;
	}
	f->plain = s->same_host ? MIG_PLAIN_GOOD : MIG_PLAIN_UNVERIFIED;
	seen = between(s->seen_sent, s->seen_received);
	if (seen == MIG_NONE || f->delta == MIG_NONE)
		return;
	/* the same two events in the observer's time: without the clocks' difference */
	if (llabs(f->delta - seen) > SEEN_NS) {
		f->clock_difference = f->delta - seen;
		f->clock_difference_bound = SEEN_NS;
		f->plain = MIG_PLAIN_UNUSABLE;
	}
}
