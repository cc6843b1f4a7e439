/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replay of stamp files through the estimator: what ffclockd --replay and
 * the replay tests share.
 */
#ifndef FFCLOCKD_REPLAY_H
#define FFCLOCKD_REPLAY_H

#include <stdint.h>
#include <stdio.h>

#include "estimator.h"

/**
 * struct replay_stamp - a line of a stamp file
 * @stamp: what the estimator sees
 * @have_truth: the two fields below are valid
 * @true_ta_ps: true time at @stamp.ta [ps since the first stamp's truth];
 *	for scoring only
 * @true_tf_ps: true time at @stamp.tf, likewise
 */
struct replay_stamp {
	struct ffe_stamp	stamp;
	int			have_truth;
	int64_t			true_ta_ps;
	int64_t			true_tf_ps;
};

/**
 * struct replay_file - a stamp file in memory
 * @stamps: array of @n
 * @n: stamps read
 * @epoch_ns: whole second the truth counts from [ns since the Unix epoch]
 */
struct replay_file {
	struct replay_stamp	*stamps;
	size_t			n;
	int64_t			epoch_ns;
};

/**
 * replay_load - read a stamp file
 * @path: plain text or gzip (told by content; read through gzip(1)), "-" for
 *	standard input
 * @out: filled in; free with replay_free()
 * @err: receives messages saying file, line and what is wrong with it
 *
 * Lines: 'Ta Tb Te Tf [trueTa trueTf]'; Ta and Tf raw readings, the others
 * Unix seconds with up to 12 decimals; '#' starts a comment.
 *
 * Return: 0, or -1 after a message.
 */
int replay_load(const char *path, struct replay_file *out, FILE *err);

/**
 * replay_free - free what replay_load() allocated
 * @file: from replay_load(), also after its failure
 */
void replay_free(struct replay_file *file);

/**
 * replay_map_line - write one line of a map log
 * @log: destination
 * @map: to write, 'raw_now T0 C0 rate'
 *
 * The format is the one of the traces' scorer: from reading raw_now on,
 * clock(T) = C0 + (T - T0) * 1e-9 * rate, so for a counter that does not
 * count nanoseconds the rate is per count and 1e9 times too large there.
 */
void replay_map_line(FILE *log, const struct ffe_map *map);

/**
 * replay_main - ffclockd --replay
 * @path: stamp file
 * @period_ns: nominal period of the file's counter [ns]; 1 in the traces
 * @maps: map log, or NULL
 * @err: messages: events as they come, and a summary at the end with the
 *	score when the file holds the truth
 *
 * Return: exit status: 0, or 1 after a message.
 */
int replay_main(const char *path, double period_ns, FILE *maps, FILE *err);

#endif /* FFCLOCKD_REPLAY_H */
