// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=600 group=debug own=1
/*
 * Every allocation and every copy to or from user space fails once, one after the
 * other: while our modules are loaded and unloaded, their devices opened, mapped,
 * read and asked, their sysfs files read and written.
 *
 * The kernel's fail-nth does that (CONFIG_FAULT_INJECTION): the n-th thing of this
 * task that may fail does, for every n up to as many as the call has.  A call that
 * was hit fails with ENOMEM or EFAULT or copes, changes nothing if it fails, leaves
 * nothing, and works when it is made again.  What is lost meanwhile, kmemleak finds
 * in the end; what is used after it was freed, KASAN.
 *
 * When a module is loaded only what its own start needs fails: the loader is not ours,
 * and some of what it calls answers with a WARN (event_define_fields()).  There are
 * hundreds of points still, and where kobjects are released late each takes seconds:
 * FAULT_POINTS= of them (default 12), chosen at random, are hit.  SEED= repeats the
 * choice.
 */
#include <glob.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>

#include "lib/ffc.h"

/* More than any call here has */
#define NTH_MAX		1000000

static int fail_fd;
static unsigned int load_points;

/* Arm: the n-th fails, 0 none.  Repeated, for the copy of this may be what fails. */
static void arm(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n), tries;

	for (tries = 0; tries < 100; tries++)
		if (pwrite(fail_fd, text, len, 0) == len)
			return;
	bail("cannot arm fail-nth: %s", strerror(errno));
}

/* How many are left; 0: it has failed.  The reading may be what fails, at the last. */
static unsigned int disarm(void)
{
	unsigned int left = 1;
	char text[16] = "";

	if (pread(fail_fd, text, sizeof(text) - 1, 0) > 0)
		left = strtoul(text, NULL, 10);
	arm(0);
	return left;
}

/**
 * struct op - a call to be hit
 * @name: for reports
 * @call: makes it: 0 or errno
 * @after: puts things back when the call did its work, and looks at what it did;
 *	false if that is wrong.  May be NULL.
 * @unchanged: what must hold when the call has failed; may be NULL
 */
struct op {
	const char *name;
	int (*call)(void);
	bool (*after)(void);
	bool (*unchanged)(void);
};

static bool good_errno(int err)
{
	return err == ENOMEM || err == EFAULT;
}

/* The call hit at @n: true when nothing is wrong with what came of that */
static bool hit_at(const struct op *op, unsigned int n, unsigned int *failed, unsigned int *coped)
{
	bool hit;
	int err;

	arm(n);
	err = op->call();
	hit = !disarm();
	if (hit && err)
		(*failed)++;
	if (hit && !err)
		(*coped)++;
	if (err && !hit) {
		diag("%s: %s, without being hit", op->name, strerror(err));
		return false;
	}
	if (err && !good_errno(err)) {
		diag("%s: %s when hit at %u", op->name, strerror(err), n);
		return false;
	}
	if (err && op->unchanged && !op->unchanged()) {
		diag("%s: failed with %s when hit at %u, and left something", op->name,
		     strerror(err), n);
		return false;
	}
	if (!err && op->after && !op->after()) {
		diag("%s: not right after it was hit at %u", op->name, n);
		return false;
	}
	return true;
}

/* The call hit at all its points, or at @most of them */
static void hit_all(const struct op *op, unsigned int most)
{
	unsigned int n, points, hits = 0, failed = 0, coped = 0, bad = 0;
	int err;

	arm(NTH_MAX);
	err = op->call();
	points = NTH_MAX - disarm();
	if (err || (op->after && !op->after())) {
		ok(false, "%s: works when nothing fails: %s", op->name, strerror(err));
		return;
	}
	if (!points) {
		ok(true, "%s: nothing in it can fail", op->name);
		return;
	}
	for (n = 1; n <= points && bad < 5; n++) {
		/* as many of those left as are still wanted */
		if (most < points && rng_below(points - n + 1) >= most - hits)
			continue;
		hits++;
		bad += !hit_at(op, n, &failed, &coped);
	}
	err = op->call();
	bad += err || (op->after && !op->after());
	ok(!bad && failed + coped, "%s: hit at %u of %u points, failed %u times, coped %u; works again",
	   op->name, hits, points, failed, coped);
}

#define ALL	NTH_MAX

/* What may fail ---------------------------------------------------------------- */

static void set_debug(const char *folder, const char *file, const char *text)
{
	char path[128];
	int err;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", folder, file);
	err = write_text(path, text);
	if (err)
		bail("%s: %s", path, strerror(err));
}

static const char * const faults[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

#define NR_FAULTS	(sizeof(faults) / sizeof(*faults))

/* From now on only what @function calls may fail, or all: NULL */
static void only_in(const char *function)
{
	char line[256], name[128], from[32] = "0", to[32] = "0xffffffffffffffff";
	uint64_t at, start = 0, end = UINT64_MAX;
	unsigned int i;
	FILE *f;

	if (function) {
		f = fopen("/proc/kallsyms", "r");
		if (!f)
			bail("/proc/kallsyms: %s", strerror(errno));
		/* in the order of addresses, up to the first module */
		while (end == UINT64_MAX && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "%" SCNx64 " %*c %127s", &at, name) != 2)
				continue;
			if (start && at > start)
				end = at;
			else if (!strcmp(name, function))
				start = at;
		}
		fclose(f);
		if (!start || end == UINT64_MAX)
			bail("no %s() in /proc/kallsyms", function);
		snprintf(from, sizeof(from), "%#" PRIx64, start);
		snprintf(to, sizeof(to), "%#" PRIx64, end);
	}
	for (i = 0; i < NR_FAULTS; i++) {
		set_debug(faults[i], "require-start", from);
		set_debug(faults[i], "require-end", to);
	}
}

/* Modules ------------------------------------------------------------------- */

static const char *module;	/* the one in question */
static int module_fd;

static int delete_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? errno : 0;
}

static bool loaded(const char *name)
{
	char line[256], want[64];
	bool found = false;
	FILE *f = fopen("/proc/modules", "r");

	if (!f)
		bail("no /proc/modules");
	snprintf(want, sizeof(want), "%s ", name);
	while (fgets(line, sizeof(line), f))
		found |= !strncmp(line, want, strlen(want));
	fclose(f);
	return found;
}

static int do_load(void)
{
	return syscall(SYS_finit_module, module_fd, "", 0) ? errno : 0;
}

static int do_unload(void)
{
	return delete_module(module);
}

/* Where kobjects are released late, a driver stays for seconds after its module went */
static bool driver_gone(void)
{
	char path[128];
	glob_t found = {};
	int i;

	snprintf(path, sizeof(path), "/sys/bus/*/drivers/%s", module);
	for (i = 0; i < 100 && !glob(path, 0, NULL, &found); i++) {
		globfree(&found);
		sleep_ms(100);
	}
	return i < 100;
}

/* Nothing of the module is there */
static bool absent(void)
{
	static const char * const of_ffclock[] = {
		"/sys/kernel/ffclock", "/sys/class/ffclock", "/sys/class/misc/ffclock",
		"/sys/kernel/tracing/events/ffclock", FFCLOCK_DEV, FFCLOCK_DEV_UTC,
		FFCLOCK_DEV_TAI, FFCLOCK_DEV_MONO, FFCLOCK_DEV_DIFF,
	};
	char path[128];
	unsigned int i;

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	if (loaded(module) || !access(path, F_OK) || !driver_gone()) {
		diag("%s or its driver is there", path);
		return false;
	}
	for (i = 0; !strcmp(module, "ffclock") && i < sizeof(of_ffclock) / sizeof(char *); i++) {
		if (!access(of_ffclock[i], F_OK)) {
			diag("%s is there", of_ffclock[i]);
			return false;
		}
	}
	return true;
}

static bool loaded_and_goes(void)
{
	bool good = loaded(module);

	if (!strcmp(module, "ffclock")) {
		int fd = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);

		/* uevents may be lost, and with them the node: not the module's doing */
		if (fd >= 0) {
			good &= ffc_counter(fd, NULL) != 0;
			close(fd);
		}
	}
	return !delete_module(module) && good && absent();
}

static bool still_loaded(void)
{
	return loaded(module);
}

static bool gone_and_back(void)
{
	return absent() && !do_load();
}

static void hit_module(const char *name)
{
	const struct op load = {
		.call = do_load, .after = loaded_and_goes, .unchanged = absent,
	}, unload = {
		.call = do_unload, .after = gone_and_back, .unchanged = still_loaded,
	};
	char path[256], text[128];
	struct utsname uts;
	struct op op;
	int err;

	uname(&uts);
	snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", uts.release, name);
	module = name;
	module_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (module_fd < 0) {
		skip(name, "not built for this kernel");
		skip(name, "not built for this kernel");
		return;
	}
	err = do_load();
	if (err == ENODEV) {
		skip(name, "its device or hypervisor is not there");
		skip(name, "its device or hypervisor is not there");
		close(module_fd);
		return;
	}
	if (err || delete_module(name) || !absent())
		bail("%s does not load and unload: %s", name, strerror(err ? err : errno));
	op = load;
	op.name = text;
	snprintf(text, sizeof(text), "load %s", name);
	only_in("do_init_module");
	hit_all(&op, load_points);
	only_in(NULL);
	if (do_load())
		bail("%s does not load after all", name);
	op = unload;
	op.name = text;
	snprintf(text, sizeof(text), "unload %s", name);
	hit_all(&op, load_points);
	delete_module(name);
	close(module_fd);
}

/* Calls --------------------------------------------------------------------- */

static int dev_fd, clock_fd, opened = -1;
static void *mapped = MAP_FAILED;
static struct ffclock_estimate est_before;

static int errno_of(long ret)
{
	return ret < 0 ? errno : 0;
}

static int do_open(void)
{
	opened = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);
	return errno_of(opened);
}

static int do_open_clock(void)
{
	opened = open(FFCLOCK_DEV_MONO, O_RDONLY | O_CLOEXEC);
	return errno_of(opened);
}

static bool close_it(void)
{
	return !close(opened);
}

static int do_map(void)
{
	mapped = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_POPULATE, dev_fd, 0);
	return mapped == MAP_FAILED ? errno : 0;
}

static bool unmap_it(void)
{
	const struct ffclock_page *p = mapped;

	return p->vmclock.magic == FFCLOCK_VMCLOCK_MAGIC && !munmap(mapped, FFCLOCK_PAGE_SIZE);
}

static int do_counter(void)
{
	struct ffclock_counter c;

	return errno_of(ioctl(dev_fd, FFCLOCK_IOC_COUNTER, &c));
}

static int do_snapshot(void)
{
	struct ffclock_snapshot s;

	return errno_of(ioctl(dev_fd, FFCLOCK_IOC_SNAPSHOT, &s));
}

static int do_getest(void)
{
	struct ffclock_estimate e;

	return errno_of(ioctl(dev_fd, FFCLOCK_IOC_GETEST, &e));
}

static struct ffclock_estimate est_new;

static int do_setest(void)
{
	return errno_of(ioctl(dev_fd, FFCLOCK_IOC_SETEST, &est_new));
}

static bool est_same(void)
{
	struct ffclock_estimate now = ffc_estimate(dev_fd);

	return !memcmp(&now, &est_before, sizeof(now));
}

static bool est_taken(void)
{
	est_before = ffc_estimate(dev_fd);
	return est_before.counter == est_new.counter;
}

static int do_read(void)
{
	struct ffclock_reading r = { .clock = FFCLOCK_MONO };

	return errno_of(ioctl(dev_fd, FFCLOCK_IOC_READ, &r));
}

static int do_convert(void)
{
	struct ffclock_stamp stamps[3] = {
		{ .realtime_ns = now_ns(CLOCK_REALTIME) }, { .realtime_ns = 1 }, {},
	};
	struct ffclock_convert c = { .count = 3, .stamps = (uintptr_t)stamps };

	return errno_of(ioctl(dev_fd, FFCLOCK_IOC_CONVERT, &c));
}

static int do_pread(void)
{
	struct ffclock_page copy;

	return errno_of(pread(dev_fd, &copy, sizeof(copy), 0));
}

static int do_poll(void)
{
	struct pollfd p = { .fd = dev_fd, .events = POLLIN };

	return errno_of(poll(&p, 1, 0));
}

static int do_gettime(void)
{
	struct timespec ts;

	return errno_of(clock_gettime(CLOCK_OF_FD(clock_fd), &ts));
}

static int do_adjtime(void)
{
	struct timex tx = {};

	return errno_of(clock_adjtime(CLOCK_OF_FD(clock_fd), &tx));
}

/* sysfs: every file is read; those that can be are written with what they hold */
static char sysfs_file[512];
static char sysfs_text[4096];

static int do_sysfs_read(void)
{
	char text[4096];
	int fd = open(sysfs_file, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno;
	if (read(fd, text, sizeof(text)) < 0)
		err = errno;
	close(fd);
	return err;
}

static int do_sysfs_write(void)
{
	return write_text(sysfs_file, sysfs_text);
}

static void hit_sysfs(const char *path, const struct stat *st)
{
	const char *name = path + strlen(FFC_SYSFS);
	char text[600];
	struct op op = { .name = text };

	snprintf(sysfs_file, sizeof(sysfs_file), "%s", path);
	if (st->st_mode & 0444) {
		op.call = do_sysfs_read;
		snprintf(text, sizeof(text), "read %s", name);
		hit_all(&op, ALL);
	}
	if (!(st->st_mode & 0222))
		return;
	if (!(st->st_mode & 0444) || !read_text(path, sysfs_text, sizeof(sysfs_text))) {
		/* the one that is only written: migration/notify */
		strcpy(sysfs_text, "1");
	}
	op.call = do_sysfs_write;
	snprintf(text, sizeof(text), "write '%s' to %s", sysfs_text, name);
	hit_all(&op, ALL);
}

static const struct op calls[] = {
	{ "open the device",	do_open,	close_it,	NULL },
	{ "open a clock",	do_open_clock,	close_it,	NULL },
	{ "mmap",		do_map,		unmap_it,	NULL },
	{ "ioctl COUNTER",	do_counter,	NULL,		NULL },
	{ "ioctl SNAPSHOT",	do_snapshot,	NULL,		NULL },
	{ "ioctl GETEST",	do_getest,	NULL,		NULL },
	{ "ioctl SETEST",	do_setest,	est_taken,	est_same },
	{ "ioctl READ",		do_read,	NULL,		NULL },
	{ "ioctl CONVERT",	do_convert,	NULL,		NULL },
	{ "read",		do_pread,	NULL,		NULL },
	{ "poll",		do_poll,	NULL,		NULL },
	{ "clock_gettime",	do_gettime,	NULL,		NULL },
	{ "clock_adjtime",	do_adjtime,	NULL,		NULL },
};

int main(void)
{
	static const char * const modules[] = {
		"ffclock_vmclock", "ffclock_rtc", "ptp_ffclock", "ffclock_kvm", "ffclock_xen",
	};
	unsigned int i;

	plan_later();
	fail_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_fd < 0)
		skip_all("this kernel has no fault injection");
	rng_seed();
	load_points = getenv("FAULT_POINTS") ? atoi(getenv("FAULT_POINTS")) : 12;
	/* everything may fail that can, and quietly: its trace is no fault of ours */
	for (i = 0; i < NR_FAULTS; i++) {
		set_debug(faults[i], "verbose", "0");
		set_debug(faults[i], "stacktrace-depth", "32");
	}
	set_debug("failslab", "ignore-gfp-wait", "N");
	set_debug("fail_page_alloc", "ignore-gfp-wait", "N");
	set_debug("fail_page_alloc", "ignore-gfp-highmem", "N");
	set_debug("fail_page_alloc", "min-order", "0");

	hit_module("ffclock");
	ffc_load();
	run("modprobe ptp");
	for (i = 0; i < sizeof(modules) / sizeof(*modules); i++)
		hit_module(modules[i]);

	dev_fd = ffc_open();
	clock_fd = open(FFCLOCK_DEV_UTC, O_RDONLY | O_CLOEXEC);
	if (clock_fd < 0)
		bail("%s: %s", FFCLOCK_DEV_UTC, strerror(errno));
	est_new = ffc_good_estimate(dev_fd);
	est_before = ffc_estimate(dev_fd);
	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		hit_all(&calls[i], ALL);
	close(clock_fd);
	close(dev_fd);
	ffc_each_sysfs(hit_sysfs);
	return finish();
}
