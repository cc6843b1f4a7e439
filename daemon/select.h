/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which of several sources tell the truth: the intersection of their intervals
 * (Marzullo; RFC 5905, section 11.2.1).
 *
 * Pure.  Every source states an interval that contains true time if it is
 * honest.  The largest set of intervals with a common point, if it is more than
 * half of them, is right as long as fewer than half of the sources lie.
 */
#ifndef FFCLOCKD_SELECT_H
#define FFCLOCKD_SELECT_H

#include <stdbool.h>

/**
 * struct select_span - what a source states
 * @lo: smallest offset from a common reference [ns]
 * @hi: largest offset [ns]; not below @lo
 * @vote: has a say; the others are only judged
 * @good: result: agrees with the majority
 */
struct select_span {
	double	lo;
	double	hi;
	bool	vote;
	bool	good;
};

/**
 * struct select_region - where true time must be
 * @lo: its start [ns]
 * @hi: its end [ns]
 * @agree: voters that have all of it inside
 * @others: more such regions with as many voters over each: one interval reaches
 *	over two that exclude each other
 */
struct select_region {
	double		lo;
	double		hi;
	unsigned int	agree;
	unsigned int	others;
};

/**
 * select_majority() - find those that agree
 * @s: spans; only .good is written
 * @n: how many, any
 * @at: where the time has been so far [ns]; NAN if nobody knows
 * @r: receives the region
 *
 * Where there are several regions the one nearest to @at is taken, or without
 * that the one in the narrowest span.  A span that is not a number takes part in
 * nothing.  Good are those that have a part of the region inside.
 *
 * Return: how many voters agree on the region; 0, and nobody is good, when that
 * is not more than half of them
 */
unsigned int select_majority(struct select_span *s, unsigned int n, double at,
			     struct select_region *r);

#endif /* FFCLOCKD_SELECT_H */
