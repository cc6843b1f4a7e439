// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock bench: the cost of reading, side by side in one run.
 *
 * Batches of every kind of read take turns, so that what disturbs the machine
 * disturbs all; the median batch counts.  Without a device the page comes from a
 * file that is filled in here, which costs a reader the same.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/ffclock_math.h>

#include "ffclock.h"

#define BATCHES		101	/* odd: a middle one */
#define BATCH		2000	/* reads: some 50 us, well below a tick */
#define MAX_KINDS	12

struct kind {
	const char *name;
	void (*read)(void);
	double ns[BATCHES];
};

static struct ffclock *handle;
static clockid_t clock_id, ptp_id;
static int (*preload_gettime)(clockid_t id, struct timespec *ts);
static volatile uint64_t sink;

static void read_counter(void)
{
	_mm_lfence();
	sink = __rdtsc();
}

static void read_vdso(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	sink = ts.tv_nsec;
}

static void read_syscall(void)
{
	struct timespec ts;

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &ts);
	sink = ts.tv_nsec;
}

static void read_one(enum ffclock_id id)
{
	struct timespec ts;

	if (!ffclock_gettime(handle, id, &ts))
		sink = ts.tv_nsec;
}

static void read_utc(void)
{
	read_one(FFCLOCK_UTC);
}

static void read_tai(void)
{
	read_one(FFCLOCK_TAI);
}

static void read_mono(void)
{
	read_one(FFCLOCK_MONO);
}

static void read_bound(void)
{
	struct ffclock_reading r;

	if (!ffclock_read(handle, FFCLOCK_UTC, &r))
		sink = r.bound_ns;
}

static void read_clock_id(void)
{
	struct timespec ts;

	clock_gettime(clock_id, &ts);
	sink = ts.tv_nsec;
}

static void read_preload(void)
{
	struct timespec ts;

	preload_gettime(CLOCK_REALTIME, &ts);
	sink = ts.tv_nsec;
}

static void read_ptp(void)
{
	struct timespec ts;

	clock_gettime(ptp_id, &ts);
	sink = ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double elapsed_ns(const struct timespec *a, const struct timespec *b)
{
	return (b->tv_sec - a->tv_sec) * 1e9 + (b->tv_nsec - a->tv_nsec);
}

/*
 * What "ffclock run" puts in clock_gettime()'s place, on the same page.  Without
 * a path: on the device's.
 */
static void load_preload(const char *page)
{
	char path[PATH_MAX];
	void *library;

	if (page && setenv("FFCLOCK_PAGE", page, 1))
		return;
	library = find_preload(path, sizeof(path)) ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library)
		*(void **)&preload_gettime = dlsym(library, "clock_gettime");
}

/* A page in an unlinked file, its counter measured against CLOCK_MONOTONIC_RAW */
static struct ffclock *make_page(void)
{
	char path[] = "/tmp/ffclock-bench-XXXXXX";
	struct ffclock_page page = { 0 };
	struct timespec a, b, now;
	char full[FFCLOCK_PAGE_SIZE] = { 0 };
	struct ffclock *h = NULL;
	uint64_t from, to, hz;
	__u32 shift;
	int fd;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	from = __rdtsc();
	usleep(50000);
	clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	to = __rdtsc();
	hz = (uint64_t)((to - from) * 1e9 / elapsed_ns(&a, &b));
	clock_gettime(CLOCK_REALTIME, &now);

	page.vmclock.magic = FFCLOCK_VMCLOCK_MAGIC;
	page.vmclock.size = FFCLOCK_PAGE_SIZE;
	page.vmclock.version = FFCLOCK_VMCLOCK_VERSION;
	page.vmclock.counter_id = FFCLOCK_COUNTER_X86_TSC;
	page.vmclock.flags = FFCLOCK_VF_TAI_OFFSET_VALID | FFCLOCK_VF_PERIOD_MAXERROR_VALID |
			     FFCLOCK_VF_TIME_MAXERROR_VALID;
	page.vmclock.clock_status = FFCLOCK_STATUS_SYNCHRONIZED;
	page.vmclock.tai_offset_sec = -37;
	page.vmclock.counter_value = __rdtsc();
	page.vmclock.counter_period_frac_sec = ffclock_period_from_hz(hz, &shift);
	page.vmclock.counter_period_shift = shift;
	page.vmclock.counter_period_maxerror_rate_frac_sec =
		page.vmclock.counter_period_frac_sec / 2000;
	page.vmclock.time_sec = now.tv_sec;
	page.vmclock.time_frac_sec = ffclock_ns_to_frac(now.tv_nsec);
	page.vmclock.time_maxerror_nanosec = 1000000;
	page.ext.magic = FFCLOCK_EXT_MAGIC;
	page.ext.size = sizeof(page.ext);
	page.ext.version = FFCLOCK_EXT_VERSION;
	page.ext.epoch = 1;
	page.ext.mono = ffclock_slew_line(page.vmclock.counter_value, (struct ffclock_time){ 1, 0 },
					  page.vmclock.counter_period_frac_sec, shift);
	page.ext.diff = page.ext.mono;
	memcpy(full, &page, sizeof(page));

	fd = mkstemp(path);
	if (fd < 0)
		return NULL;
	if (write(fd, full, sizeof(full)) == sizeof(full) && ffclock_open_page(&h, path))
		h = NULL;
	close(fd);
	if (h)
		load_preload(path);
	unlink(path);
	return h;
}

int cmd_bench(const struct options *o, int argc, char **argv)
{
	static struct kind kinds[MAX_KINDS];
	struct json_object *obj = NULL;
	int n = 0, fd, ptp, b, i, k;
	const char *where = "page of " FFCLOCK_DEV;
	double vdso = 0;

	(void)argc;
	(void)argv;
	if (o->page) {
		where = "page file";
		handle = open_clock(o);
		load_preload(o->page);
	} else if (!ffclock_open(&handle)) {
		load_preload(NULL);
	} else {
		where = "page in a file of our own (no " FFCLOCK_DEV ")";
		handle = make_page();
	}
	if (!handle)
		return EXIT_FAILED;

	kinds[n++] = (struct kind){ .name = "ordered counter read", .read = read_counter };
	kinds[n++] = (struct kind){ .name = "vDSO CLOCK_REALTIME", .read = read_vdso };
	kinds[n++] = (struct kind){ .name = "page utc", .read = read_utc };
	kinds[n++] = (struct kind){ .name = "page tai", .read = read_tai };
	kinds[n++] = (struct kind){ .name = "page mono", .read = read_mono };
	kinds[n++] = (struct kind){ .name = "page utc, bound and status", .read = read_bound };
	/* it falls back while the clock is not synchronised: that is not it */
	if (preload_gettime && ffclock_status(handle) == FFCLOCK_STATUS_SYNCHRONIZED)
		kinds[n++] = (struct kind){ .name = "ffclock run: CLOCK_REALTIME",
					    .read = read_preload };
	kinds[n++] = (struct kind){ .name = "system call CLOCK_REALTIME", .read = read_syscall };
	fd = open(FFCLOCK_DEV_UTC, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		clock_id = (~(clockid_t)fd << 3) | 3;
		kinds[n++] = (struct kind){ .name = "clock id " FFCLOCK_DEV_UTC,
					    .read = read_clock_id };
	}
	ptp = open("/dev/ptp0", O_RDONLY | O_CLOEXEC);
	if (ptp >= 0) {
		ptp_id = (~(clockid_t)ptp << 3) | 3;
		kinds[n++] = (struct kind){ .name = "clock id /dev/ptp0", .read = read_ptp };
	}

	for (b = 0; b < BATCHES; b++) {
		for (k = 0; k < n; k++) {
			struct timespec from, to;

			clock_gettime(CLOCK_MONOTONIC_RAW, &from);
			for (i = 0; i < BATCH; i++)
				kinds[k].read();
			clock_gettime(CLOCK_MONOTONIC_RAW, &to);
			kinds[k].ns[b] = elapsed_ns(&from, &to) / BATCH;
		}
	}
	for (k = 0; k < n; k++)
		qsort(kinds[k].ns, BATCHES, sizeof(double), by_value);
	vdso = kinds[1].ns[BATCHES / 2];

	if (o->json)
		obj = json_object_new_object();
	else
		printf("%s, medians of %d interleaved batches of %d\n\n%-28s %9s %9s %8s\n", where,
		       BATCHES, BATCH, "", "ns", "best", "/ vDSO");
	for (k = 0; k < n; k++) {
		double median = kinds[k].ns[BATCHES / 2];

		if (o->json) {
			struct json_object *one = json_object_new_object();

			json_object_object_add(one, "ns", json_object_new_double(median));
			json_object_object_add(one, "best_ns", json_object_new_double(kinds[k].ns[0]));
			json_object_object_add(one, "ratio_to_vdso",
					       json_object_new_double(median / vdso));
			json_object_object_add(obj, kinds[k].name, one);
		} else {
			printf("%-28s %9.1f %9.1f %8.3f\n", kinds[k].name, median, kinds[k].ns[0],
			       median / vdso);
		}
	}
	if (obj)
		print_json(obj);
	if (fd >= 0)
		close(fd);
	if (ptp >= 0)
		close(ptp);
	ffclock_close(handle);
	return EXIT_OK;
}
