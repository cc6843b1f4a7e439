// SPDX-License-Identifier: GPL-2.0-only
/* What several outputs need: see output.h. */
#include <errno.h>
#include <stddef.h>

#include "output.h"

#define NSEC		INT64_C(1000000000)
#define DAY_NS		(86400 * NSEC)

void output_destroy_all(struct output *list)
{
	struct output *next;

	for (; list; list = next) {
		next = list->next;
		if (list->ops->destroy)
			list->ops->destroy(list);
	}
}

int output_now(const struct output_clock *c, const struct counter_mark *m, int64_t *utc_ns,
	       double *bound_ns)
{
	int64_t t;

	if (!c->have || c->u.epoch != m->epoch || c->u.map.status == FFE_UNSYNC)
		return -EAGAIN;
	t = ffe_map_read(&c->u.map, m->value, NULL, bound_ns);
	if (c->u.leap_change && t >= c->u.leap_utc_sec * NSEC)
		t -= c->u.leap_change * NSEC;
	*utc_ns = t;
	return 0;
}

int output_leap(const struct output_clock *c, int64_t utc_ns)
{
	int64_t left;

	if (!c->have || c->u.map.status == FFE_UNSYNC)
		return 3;
	left = c->u.leap_utc_sec * NSEC - utc_ns;
	if (!c->u.leap_change || left <= 0 || left > DAY_NS)
		return 0;
	return c->u.leap_change > 0 ? 1 : 2;
}

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
