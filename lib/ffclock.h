/* SPDX-License-Identifier: MIT */
/*
 * libffclock: feed-forward clocks from user space.
 *
 * Reads take no system call while the counter can be read in user space, and
 * fall back to one where it cannot.  A handle may be used by any number of
 * threads at once and after fork().  Functions return 0 or a negative errno
 * unless they say otherwise, and print nothing.
 */
#ifndef FFCLOCK_H
#define FFCLOCK_H

#include <stdint.h>
#include <time.h>

#include <linux/ffclock.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ffclock;

/**
 * struct ffclock_interval - the present time, as far as it is known
 * @earliest: it is not before this (UTC)
 * @latest: nor after this
 * @status: FFCLOCK_STATUS_*
 */
struct ffclock_interval {
	struct timespec earliest;
	struct timespec latest;
	uint32_t status;
};

int ffclock_open(struct ffclock **handle);
int ffclock_open_page(struct ffclock **handle, const char *path);
void ffclock_close(struct ffclock *handle);

int ffclock_gettime(const struct ffclock *h, enum ffclock_id clock, struct timespec *ts);
int ffclock_gettime_synchronized(const struct ffclock *h, enum ffclock_id clock,
				 struct timespec *ts);
int ffclock_read(const struct ffclock *h, enum ffclock_id clock, struct ffclock_reading *r);
int ffclock_read_at(const struct ffclock *h, enum ffclock_id clock, uint64_t counter,
		    struct ffclock_reading *r);
int ffclock_read_inverse(const struct ffclock *h, enum ffclock_id clock,
			 struct ffclock_time time, struct ffclock_reading *r);
int ffclock_now(const struct ffclock *h, struct ffclock_interval *now);
int ffclock_counter(const struct ffclock *h, uint64_t *counter, uint32_t *epoch);
int ffclock_diff(const struct ffclock *h, uint64_t from, uint64_t to, int64_t *ns,
		 uint64_t *bound_ns);
int ffclock_status(const struct ffclock *h);

uint64_t ffclock_migration_sequence(const struct ffclock *h);
int ffclock_migration(const struct ffclock *h, struct ffclock_migration *m);
int ffclock_wait(const struct ffclock *h, int timeout_ms);

int ffclock_snapshot(const struct ffclock *h, struct ffclock_snapshot *snap);
int ffclock_convert(const struct ffclock *h, struct ffclock_stamp *stamps, uint32_t count);
int ffclock_get_estimate(const struct ffclock *h, struct ffclock_estimate *est);
int ffclock_set_estimate(const struct ffclock *h, const struct ffclock_estimate *est);

const char *ffclock_status_name(uint32_t status);
int ffclock_reads_without_syscall(const struct ffclock *h);

#ifdef __cplusplus
}
#endif
#endif /* FFCLOCK_H */
