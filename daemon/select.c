// SPDX-License-Identifier: GPL-2.0-only
/* Intersection of intervals: see select.h. */
#include <math.h>
#include <stddef.h>

#include "select.h"

static bool sane(const struct select_span *s)
{
	return s->lo <= s->hi;	/* false for what is not a number, too */
}

/* Voters that have @at inside; a few sources, so counting is quick enough */
static unsigned int depth(const struct select_span *s, unsigned int n, double at)
{
	unsigned int i, d = 0;

	for (i = 0; i < n; i++)
		d += s[i].vote && sane(&s[i]) && s[i].lo <= at && at <= s[i].hi;
	return d;
}

/* Where the spans over @lo, the start of one of them, first end */
static double common_end(const struct select_span *s, unsigned int n, double lo)
{
	double hi = INFINITY;
	unsigned int i;

	for (i = 0; i < n; i++)
		if (s[i].vote && sane(&s[i]) && s[i].lo <= lo && lo <= s[i].hi)
			hi = fmin(hi, s[i].hi);
	return hi;
}

/* How little speaks for a region: its distance from @at, or the best span's width */
static double badness(const struct select_span *s, unsigned int n, double at, double lo, double hi)
{
	double width = INFINITY;
	unsigned int i;

	if (!isnan(at))
		return fmax(fmax(lo - at, at - hi), 0);
	for (i = 0; i < n; i++)
		if (s[i].vote && sane(&s[i]) && s[i].lo <= lo && lo <= s[i].hi)
			width = fmin(width, s[i].hi - s[i].lo);
	return width;
}

unsigned int select_majority(struct select_span *s, unsigned int n, double at,
			     struct select_region *r)
{
	unsigned int i, j, votes = 0;
	double least = INFINITY;

	*r = (struct select_region){ .lo = NAN, .hi = NAN };
	/* the number of spans over a point only rises where one begins */
	for (i = 0; i < n; i++) {
		unsigned int d;

		s[i].good = false;
		if (!s[i].vote || !sane(&s[i]))
			continue;
		votes++;
		d = depth(s, n, s[i].lo);
		if (d > r->agree)
			r->agree = d;
	}
	if (2 * r->agree <= votes) {
		r->agree = 0;
		return 0;
	}

	for (i = 0; i < n; i++) {
		double lo = s[i].lo, hi, bad;

		if (!s[i].vote || !sane(&s[i]) || depth(s, n, lo) != r->agree)
			continue;
		/* several may begin at one point */
		for (j = 0; j < i; j++)
			if (s[j].vote && s[j].lo == lo)
				break;
		if (j < i)
			continue;
		hi = common_end(s, n, lo);
		bad = badness(s, n, at, lo, hi);
		r->others += !isnan(r->lo);
		if (isnan(r->lo) || bad < least) {
			least = bad;
			r->lo = lo;
			r->hi = hi;
		}
	}
	for (i = 0; i < n; i++)
		s[i].good = sane(&s[i]) && s[i].lo <= r->hi && s[i].hi >= r->lo;
	return r->agree;
}
