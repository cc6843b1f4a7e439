/* SPDX-License-Identifier: GPL-2.0-only */
/* Between counter.c and the counters themselves. */
#ifndef FFCLOCKD_COUNTER_INTERNAL_H
#define FFCLOCKD_COUNTER_INTERNAL_H

#include "counter.h"

/**
 * struct counter_ops - one sort of counter
 * @name: for the configuration and the log
 * @mark: as counter_mark()
 * @invert: as counter_invert(); the marks are of one epoch
 * @check: as counter_check()
 * @broke: begins a new epoch; NULL where somebody else does
 * @close: frees what its open function allocated
 */
struct counter_ops {
	const char	*name;
	int		(*mark)(struct counter *c, struct counter_mark *m);
	int		(*invert)(struct counter *c, const struct counter_mark *a,
				  const struct counter_mark *b, int64_t realtime_ns,
				  uint64_t *value, uint32_t *err_ns);
	unsigned int	(*check)(struct counter *c, char *why, size_t why_len);
	void		(*broke)(struct counter *c);
	void		(*close)(struct counter *c);
};

/**
 * struct counter - the part all sorts have; the first member of theirs
 * @ops: sort
 * @fd: device or -1
 * @period_ns: nominal, see counter_period_ns()
 */
struct counter {
	const struct counter_ops	*ops;
	int				fd;
	double				period_ns;
};

/* Open functions: NULL and a reason in @why when this host has none */
struct counter *counter_device_open(char *why, size_t why_len);
struct counter *counter_tsc_open(char *why, size_t why_len);
struct counter *counter_raw_open(char *why, size_t why_len);

/**
 * counter_calibrate() - measure the nominal period
 * @c: counter whose mark operation works
 *
 * Takes 20 ms.
 *
 * Return: 0, -ERANGE if the counter stands still or its epoch will not stay,
 * or what the mark operation returned
 */
int counter_calibrate(struct counter *c);

#endif /* FFCLOCKD_COUNTER_INTERNAL_H */
