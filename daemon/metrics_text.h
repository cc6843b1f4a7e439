/* SPDX-License-Identifier: GPL-2.0-only */
/* The text of the metrics, in Prometheus' exposition format 0.0.4. */
#ifndef FFCLOCKD_METRICS_TEXT_H
#define FFCLOCKD_METRICS_TEXT_H

#include <stdint.h>
#include <stdio.h>

#include "sync.h"

/**
 * struct metrics_count - what only counts
 * @start_s: CLOCK_REALTIME when the daemon began [s]
 * @updates: of the clock
 * @breaks: of the counter
 * @migrations: of these
 */
struct metrics_count {
	double		start_s;
	uint64_t	updates;
	uint64_t	breaks;
	uint64_t	migrations;
};

void metrics_write(FILE *f, const struct metrics_count *c, struct sync *sync);

#endif /* FFCLOCKD_METRICS_TEXT_H */
