/* SPDX-License-Identifier: GPL-2.0-only */
/* A page in a file that tests can write, with sensible content to begin with. */
#ifndef LIB_PAGE_H
#define LIB_PAGE_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/ffclock_math.h>

/**
 * struct page_file - a page file
 * @path: its name
 * @page: its content, writable
 */
struct page_file {
	char path[64];
	struct ffclock_page *page;
};

/* A synchronised page of a counter of @hz, at the TSC as it is now and @sec UTC */
static inline void page_fill(struct ffclock_page *p, uint64_t hz, int64_t sec)
{
	struct ffclock_vmclock *v = &p->vmclock;
	__u32 shift;

	memset(p, 0, sizeof(*p));
	v->magic = FFCLOCK_VMCLOCK_MAGIC;
	v->size = FFCLOCK_PAGE_SIZE;
	v->version = FFCLOCK_VMCLOCK_VERSION;
	v->counter_id = FFCLOCK_COUNTER_X86_TSC;
	v->disruption_marker = 7;
	v->flags = FFCLOCK_VF_TAI_OFFSET_VALID | FFCLOCK_VF_PERIOD_MAXERROR_VALID |
		   FFCLOCK_VF_TIME_MAXERROR_VALID;
	v->clock_status = FFCLOCK_STATUS_SYNCHRONIZED;
	v->tai_offset_sec = -37;
	v->counter_value = __rdtsc();
	v->counter_period_frac_sec = ffclock_period_from_hz(hz, &shift);
	v->counter_period_shift = shift;
	v->counter_period_maxerror_rate_frac_sec = v->counter_period_frac_sec / 1000000;
	v->time_sec = sec;
	v->time_frac_sec = 1ULL << 62;
	v->time_maxerror_nanosec = 1000;
	p->ext.magic = FFCLOCK_EXT_MAGIC;
	p->ext.size = sizeof(p->ext);
	p->ext.version = FFCLOCK_EXT_VERSION;
	p->ext.epoch = 3;
	p->ext.flags = FFCLOCK_EXT_F_SYNCED_ONCE;
	p->ext.counter_offset = 1000000;
	p->ext.migration_sequence = 5;
	p->ext.tai_offset_sec = 37;
	p->ext.mono = ffclock_slew_line(v->counter_value, (struct ffclock_time){ 100, 0 },
					v->counter_period_frac_sec, shift);
	p->ext.diff = p->ext.mono;
	p->ext.diff.t0.sec = p->ext.diff.t1.sec = 50;
}

/* The TSC's frequency by CLOCK_MONOTONIC_RAW, to some 10 ppm; takes 50 ms */
static inline uint64_t page_measure_hz(void)
{
	struct timespec a, b;
	uint64_t from, to;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	from = __rdtsc();
	usleep(50000);
	clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	to = __rdtsc();
	return (uint64_t)((double)(to - from) * 1e9 / ((double)(b.tv_sec - a.tv_sec) * 1e9 +
						       (double)(b.tv_nsec - a.tv_nsec)));
}

/* UTC and mono: CLOCK_REALTIME and CLOCK_MONOTONIC as they are, UTC moved by @offset s */
static inline void page_set_realtime(struct ffclock_page *p, int64_t offset)
{
	struct timespec now, mono;

	clock_gettime(CLOCK_REALTIME, &now);
	p->vmclock.counter_value = __rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &mono);
	p->vmclock.time_sec = now.tv_sec + offset;
	p->vmclock.time_frac_sec = ffclock_ns_to_frac(now.tv_nsec);
	p->vmclock.time_maxerror_nanosec = 1000000;
	p->ext.mono = ffclock_slew_line(p->vmclock.counter_value,
					(struct ffclock_time){ mono.tv_sec,
							       ffclock_ns_to_frac(mono.tv_nsec) },
					p->vmclock.counter_period_frac_sec,
					p->vmclock.counter_period_shift);
	p->ext.diff = p->ext.mono;
}

/* Return: 0, or -1 and a message */
static inline int page_file_make(struct page_file *f)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(f->path, sizeof(f->path), "%.40s/ffclock-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(f->path);
	if (fd < 0 || ftruncate(fd, FFCLOCK_PAGE_SIZE)) {
		perror(f->path);
		return -1;
	}
	f->page = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (f->page == MAP_FAILED) {
		perror("mmap");
		return -1;
	}
	page_fill(f->page, 2600000000, 1800000000);
	return 0;
}

static inline void page_file_remove(struct page_file *f)
{
	munmap(f->page, FFCLOCK_PAGE_SIZE);
	unlink(f->path);
}

#endif /* LIB_PAGE_H */
