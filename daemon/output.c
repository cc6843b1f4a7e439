// SPDX-License-Identifier: GPL-2.0-only
/* What several outputs need: see output.h. */
#include "output.h"

/* A stamp may be older than the map; both are minutes apart at most */
static double clock_minus(const struct ffe_map *map, uint64_t counter, int64_t ref_ns)
{
	return (double)(map->time_ns - ref_ns) + map->time_frac_ns +
	       (double)(int64_t)(counter - map->counter) * map->period_ns;
}

void output_compare(const struct ffe_map *map, const struct ffe_stamp *s, double *offset_ns,
		    double *rtt_ns)
{
	double sent = clock_minus(map, s->ta, s->tb), got = clock_minus(map, s->tf, s->te);

	/* sent = ta - tb, got = tf - te */
	*offset_ns = -(sent + got) / 2;
	*rtt_ns = got - sent;
}
