// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=240 own=1
/*
 * The module goes in and out under readers that never stop trying: one of the
 * mapped page, one of a clock id, one of the device's ioctls and poll(), one of
 * sysfs.  Nothing is left behind and memory does not grow.  That nothing is in the
 * kernel's log is the lab's to check.
 *
 *	modcycle [CYCLES]	default 20; modcycle_long.sh has it do 200
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "lib/page.h"

/* The first ones fill caches */
#define WARM_UP		5
/*
 * What a cycle may cost for good: a quarter of the page that each makes.  On top of
 * that the slab allocator's own coming and going, whatever the number of cycles: so
 * 20 of them show what is large, and 200 show a page.
 */
#define GROWTH_BYTES	1024
#define NOISE_BYTES	(256 * 1024)

static atomic_bool stop;
static atomic_ulong reads[4], opened[4];

static void *page_reader(void *arg)
{
	const volatile struct ffclock_page *p;
	struct page_sample s;
	int fd, i;

	(void)arg;
	while (!stop) {
		fd = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			usleep(500);
			continue;
		}
		p = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
		close(fd);	/* the mapping holds the file, and the file the module */
		if (p == MAP_FAILED)
			continue;
		opened[0]++;
		for (i = 0; i < 100; i++)
			reads[0] += page_read(p, true, &s);
		munmap((void *)(uintptr_t)p, FFCLOCK_PAGE_SIZE);
		usleep(rng_below(1000));
	}
	return NULL;
}

static void *clock_reader(void *arg)
{
	static const char * const names[] = {
		FFCLOCK_DEV_UTC, FFCLOCK_DEV_TAI, FFCLOCK_DEV_MONO, FFCLOCK_DEV_DIFF,
	};
	struct timespec ts;
	int fd, i, n = 0;

	(void)arg;
	while (!stop) {
		fd = open(names[n++ % 4], O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			usleep(500);
			continue;
		}
		opened[1]++;
		for (i = 0; i < 20; i++)
			reads[1] += !clock_gettime(CLOCK_OF_FD(fd), &ts);
		close(fd);
		usleep(rng_below(1000));
	}
	return NULL;
}

static void *device_reader(void *arg)
{
	struct ffclock_snapshot snap;
	struct ffclock_page copy;
	struct pollfd p;
	int fd, i;

	(void)arg;
	while (!stop) {
		fd = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			usleep(500);
			continue;
		}
		opened[2]++;
		p = (struct pollfd){ .fd = fd, .events = POLLIN };
		for (i = 0; i < 10; i++)
			reads[2] += !ioctl(fd, FFCLOCK_IOC_SNAPSHOT, &snap) && poll(&p, 1, 0) >= 0 &&
				    pread(fd, &copy, sizeof(copy), 0) == sizeof(copy);
		close(fd);
		usleep(rng_below(1000));
	}
	return NULL;
}

static void *sysfs_reader(void *arg)
{
	static const char * const names[] = {
		"counter/value", "clock/status", "clock/error_bound_ns", "migration/history",
		"migration/sources", "counter/available",
	};
	char path[128], buf[4096];
	int n = 0;

	(void)arg;
	while (!stop) {
		snprintf(path, sizeof(path), FFC_SYSFS "%s", names[n++ % 6]);
		if (read_text(path, buf, sizeof(buf))) {
			reads[3]++;
			opened[3]++;
		}
		usleep(rng_below(300));
	}
	return NULL;
}

static int load(int module)
{
	return syscall(SYS_finit_module, module, "", 0) ? errno : 0;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "ffclock", O_NONBLOCK) ? errno : 0;
}

static uint64_t meminfo(const char *key)
{
	char buf[8192], *at;

	if (!read_text("/proc/meminfo", buf, sizeof(buf)))
		bail("no meminfo");
	at = strstr(buf, key);
	return at ? strtoull(at + strlen(key) + 1, NULL, 10) * 1024 : 0;
}

/* Memory that the kernel cannot give back, after what it can */
static uint64_t kernel_memory(void)
{
	int i;

	for (i = 0; i < 3; i++) {
		sync();
		write_text("/proc/sys/vm/drop_caches", "3");
		sleep_ms(200);
	}
	return meminfo("\nSUnreclaim:") + meminfo("\nVmallocUsed:") + meminfo("\nPercpu:") +
	       meminfo("\nKernelStack:");
}

static int lines_with(const char *path, const char *word)
{
	char line[512];
	FILE *f = fopen(path, "r");
	int n = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		n += strstr(line, word) != NULL;
	fclose(f);
	return n;
}

static int left_behind(void)
{
	static const char * const paths[] = {
		"/sys/kernel/ffclock", "/sys/class/ffclock", "/sys/module/ffclock", FFCLOCK_DEV,
		FFCLOCK_DEV_UTC, FFCLOCK_DEV_MONO, "/sys/class/misc/ffclock",
		"/sys/kernel/tracing/events/ffclock", "/sys/kernel/debug/ffclock",
	};
	static const char * const lists[] = {
		"/proc/modules", "/proc/misc", "/proc/devices", "/proc/vmallocinfo",
		"/proc/slabinfo", "/proc/timer_list", "/proc/kallsyms",
	};
	int n = 0, here;
	unsigned int i;

	for (i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (!access(paths[i], F_OK)) {
			diag("%s is still there", paths[i]);
			n++;
		}
	}
	for (i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		here = lines_with(lists[i], "ffclock");
		if (here)
			diag("%s: %d lines with ffclock", lists[i], here);
		n += here;
	}
	return n;
}

int main(int argc, char **argv)
{
	static void *(* const fns[4])(void *) = {
		page_reader, clock_reader, device_reader, sysfs_reader,
	};
	int cycles = argc > 1 ? atoi(argv[1]) : 20, i, err, module, fd, busy = 0, failed = 0;
	uint64_t before = 0, after;
	pthread_t threads[4];
	struct utsname uts;
	char path[256];
	int64_t growth, limit;
	void *p;

	plan(6);
	rng_seed();
	uname(&uts);
	snprintf(path, sizeof(path), "/lib/modules/%s/ffclock.ko", uts.release);
	module = open(path, O_RDONLY | O_CLOEXEC);
	if (module < 0)
		bail("%s: %s", path, strerror(errno));

	/* a mapping alone keeps it */
	if (load(module))
		bail("cannot load: %s", strerror(errno));
	sleep_ms(300);
	fd = ffc_open();
	p = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	err = unload();
	ok(p != MAP_FAILED && err == EWOULDBLOCK, "not unloaded under a mapped page: %s", strerror(err));
	munmap(p, FFCLOCK_PAGE_SIZE);
	if (unload())
		bail("cannot unload: %s", strerror(errno));

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, fns[i], NULL);
	for (i = 0; i < cycles + WARM_UP; i++) {
		int64_t end = now_ns(CLOCK_MONOTONIC) + 20 * NSEC_PER_SEC;

		if (i == WARM_UP)
			before = kernel_memory();
		err = load(module);
		if (err) {
			diag("cycle %d: load: %s", i, strerror(err));
			failed++;
			break;
		}
		sleep_ms(20 + rng_below(40));
		while ((err = unload()) == EWOULDBLOCK && now_ns(CLOCK_MONOTONIC) < end) {
			busy++;
			usleep(rng_below(300));
		}
		if (err) {
			diag("cycle %d: unload: %s", i, strerror(err));
			failed++;
			break;
		}
		if (i % 20 == 19)
			diag("%d cycles", i + 1);
	}
	after = kernel_memory();
	stop = true;
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ok(!failed, "%d times in and out under 4 readers; %d times refused, being read", cycles, busy);
	for (i = 0; i < 4; i++)
		diag("reader %d: opened %lu times, read %lu", i, opened[i], reads[i]);
	ok(opened[0] && opened[1] && opened[2] && opened[3] && reads[0] && reads[1] && reads[2] &&
	   reads[3], "every reader read");
	growth = after - before;
	limit = NOISE_BYTES + (int64_t)cycles * GROWTH_BYTES;
	ok(growth < limit, "memory grew by %" PRId64 " bytes from %" PRIu64 ", %" PRId64
	   " a cycle (limit %" PRId64 " in all)", growth, before, growth / cycles, limit);
	i = left_behind();
	ok(!i, "leftovers in sysfs, devices, vmalloc, slabs, timers, symbols: %d", i);
	err = load(module);
	sleep_ms(300);
	fd = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);
	ok(!err && fd >= 0 && ffc_counter(fd, NULL), "and it still loads and works");
	close(fd);
	unload();
	return finish();
}
