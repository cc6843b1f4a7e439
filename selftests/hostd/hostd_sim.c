// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simulated QEMU guests for ffclock-hostd, and what it costs to serve many.
 *
 *	hostd_sim guest NAME		one guest, until it is killed
 *	hostd_sim bench N [VCPUS [SECONDS [HOSTD]]]
 *
 * A guest is a process with QEMU's name, command line and memfd, so that the
 * daemon finds it as it finds a real one; KVM's debugfs is a tree of files.  The
 * bench is the host's clock itself: a page in a file, which it changes now and
 * then.  It is TAP: all guests must be told, be right to the count, and agree.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/ffclock_math.h>

#include "../tap.h"

#define NSEC		1000000000LL
#define GUESTS_MAX	4096
#define PATIENCE_NS	(120 * NSEC)

/* Every other guest is scaled, to 3/4 of the host's rate, as Intel has it */
#define RATIO		(3ULL << 46)
#define FRAC_BITS	48

struct sim {
	pid_t			pid;
	uint64_t		offset;
	int			scaled;
	struct ffclock_vmclock	*page;
};

static struct sim sims[GUESTS_MAX];
static char dir[] = "/tmp/hostd-sim.XXXXXX";

static int64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

static void nap_ms(int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

/* A guest ------------------------------------------------------------------- */

static int guest(int fd)
{
	struct ffclock_vmclock *v;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* for a daemon without CAP_SYS_PTRACE, where Yama asks who may look */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	v = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (v == MAP_FAILED)
		return 1;
	v->magic = FFCLOCK_VMCLOCK_MAGIC;
	v->size = 4096;
	v->version = FFCLOCK_VMCLOCK_VERSION;
	v->counter_id = FFCLOCK_COUNTER_INVALID;
	v->disruption_marker = 1;
	for (;;)
		pause();
}

static int guest_main(const char *name)
{
	int fd = memfd_create("vmclock_page", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)name;
	if (fd < 0 || ftruncate(fd, 4096))
		return 1;
	return guest(fd);
}

/* The program under the name that the daemon looks for */
static void exec_as_qemu(const char *name)
{
	static char first[] = "qemu-system-sim", opt[] = "-name", device[] = "-device",
		vmclock[] = "vmclock", machine[] = "-machine", share[] = "none,aux-ram-share=on";
	char link[128], self[512];
	char *argv[] = { first, opt, (char *)name, device, vmclock, machine, share, NULL };
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		_exit(1);
	self[n] = '\0';
	/* the process's name is that of the link */
	snprintf(link, sizeof(link), "%s/qemu-system-sim", dir);
	if (symlink(self, link) && errno != EEXIST)
		_exit(1);
	execv(link, argv);
	_exit(1);
}

static void file(const char *text, const char *fmt, pid_t pid, int vcpu)
{
	char path[256], name[128];
	FILE *f;

	snprintf(name, sizeof(name), fmt, (int)pid, vcpu);
	snprintf(path, sizeof(path), "%s/kvm/%s", dir, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f)) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

static void make_debugfs(const struct sim *s, int vcpus)
{
	char text[32], path[256];
	int v;

	snprintf(path, sizeof(path), "%s/kvm/%d-9", dir, (int)s->pid);
	mkdir(path, 0700);
	for (v = 0; v < vcpus; v++) {
		snprintf(path, sizeof(path), "%s/kvm/%d-9/vcpu%d", dir, (int)s->pid, v);
		mkdir(path, 0700);
		if (s->scaled) {
			snprintf(text, sizeof(text), "%llu\n", RATIO);
			file(text, "%d-9/vcpu%d/tsc-scaling-ratio", s->pid, v);
			snprintf(text, sizeof(text), "%d\n", FRAC_BITS);
			file(text, "%d-9/vcpu%d/tsc-scaling-ratio-frac-bits", s->pid, v);
		}
		snprintf(text, sizeof(text), "%" PRId64 "\n", (int64_t)s->offset);
		file(text, "%d-9/vcpu%d/tsc-offset", s->pid, v);
	}
}

/* The child's page, once it has made it */
static struct ffclock_vmclock *child_page(pid_t pid)
{
	int64_t until = mono_ns() + PATIENCE_NS;
	char path[64], link[64];
	struct stat st;
	void *page;
	int fd, i;

	while (mono_ns() < until) {
		for (i = 3; i < 10; i++) {
			ssize_t n;

			snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, i);
			n = readlink(path, link, sizeof(link) - 1);
			if (n <= 0)
				continue;
			link[n] = '\0';
			if (strncmp(link, "/memfd:vmclock_page", 19))
				continue;
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd < 0)
				continue;
			page = MAP_FAILED;
			if (!fstat(fd, &st) && st.st_size >= 4096)
				page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			close(fd);
			if (page != MAP_FAILED)
				return page;
		}
		nap_ms(1);
	}
	return NULL;
}

/* The host's clock ---------------------------------------------------------- */

static struct ffclock_page *host;
static uint64_t hz;

static uint64_t measure_hz(void)
{
	int64_t t0 = mono_ns(), t1;
	uint64_t c0 = __rdtsc(), c1;

	nap_ms(100);
	t1 = mono_ns();
	c1 = __rdtsc();
	return (uint64_t)((double)(c1 - c0) * 1e9 / (double)(t1 - t0));
}

static void set_clock(void)
{
	struct ffclock_vmclock *v = &host->vmclock;
	uint32_t shift, seq = v->seq_count | 1;
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	__atomic_store_n(&v->seq_count, seq, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	v->size = 4096;
	v->version = FFCLOCK_VMCLOCK_VERSION;
	v->counter_id = FFCLOCK_COUNTER_X86_TSC;
	v->clock_status = FFCLOCK_STATUS_SYNCHRONIZED;
	v->flags = FFCLOCK_VF_TIME_MAXERROR_VALID | FFCLOCK_VF_PERIOD_MAXERROR_VALID |
		FFCLOCK_VF_TAI_OFFSET_VALID;
	v->tai_offset_sec = -37;
	v->counter_period_frac_sec = ffclock_period_from_hz(hz, &shift);
	v->counter_period_shift = (uint8_t)shift;
	v->counter_value = __rdtsc();
	v->time_sec = (uint64_t)ts.tv_sec;
	v->time_frac_sec = ffclock_ns_to_frac((uint32_t)ts.tv_nsec);
	v->time_maxerror_nanosec = 1000;
	v->magic = FFCLOCK_VMCLOCK_MAGIC;
	__atomic_store_n(&v->seq_count, seq + 1, __ATOMIC_RELEASE);
}

static void make_clock(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/page", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 4096))
		exit(1);
	host = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (host == MAP_FAILED)
		exit(1);
	hz = measure_hz();
	set_clock();
}

/* The bench ----------------------------------------------------------------- */

static int consistent(const struct ffclock_vmclock *v, struct ffclock_vmclock *copy)
{
	const uint64_t *from = (const uint64_t *)v;
	uint64_t *to = (uint64_t *)copy;
	uint32_t seq;
	size_t i;

	seq = __atomic_load_n(&v->seq_count, __ATOMIC_ACQUIRE);
	if (seq & 1)
		return 0;
	for (i = 0; i < sizeof(*copy) / 8; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&v->seq_count, __ATOMIC_RELAXED) == seq;
}

/* utime + stime [ns], and resident memory [KiB] */
static int64_t cpu_ns(pid_t pid, long *kib)
{
	unsigned long long user, sys;
	char path[64], text[1024], *s;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
	s = strrchr(text, ')');
	if (!s || sscanf(s + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			 &sys) != 2)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(text, sizeof(text), f))
		sscanf(text, "VmRSS: %ld", kib);
	if (f)
		fclose(f);
	return (int64_t)(user + sys) * (NSEC / sysconf(_SC_CLK_TCK));
}

static pid_t start_daemon(const char *program)
{
	char conf[64], log[64];
	FILE *f;
	pid_t pid;

	snprintf(conf, sizeof(conf), "%s/conf", dir);
	snprintf(log, sizeof(log), "%s/log", dir);
	f = fopen(conf, "w");
	fprintf(f, "clock %s/page\ndebugfs %s\nlibvirt none\ncontrol %s/control\nscan 0.5\n"
		"guests named\n", dir, dir, dir);
	/* our own only, whatever else runs here */
	for (int i = 0; sims[i].pid; i++)
		if (i < 1024)
			fprintf(f, "guest sim-%d-%d watch\n", (int)getpid(), i);
	fclose(f);
	pid = fork();
	if (!pid) {
		int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, STDERR_FILENO);
		execlp(program, "ffclock-hostd", "-c", conf, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* Until all pages say what the host's present line says; how long it took, or -1 */
static int64_t wait_told(int n, uint64_t sec, int64_t since)
{
	int64_t until = mono_ns() + PATIENCE_NS;
	struct ffclock_vmclock v;
	int i = 0;

	while (i < n) {
		/* guests' anchors are later than the host's, by a second at most here */
		if (consistent(sims[i].page, &v) &&
		    v.clock_status == FFCLOCK_STATUS_SYNCHRONIZED && v.time_sec >= sec) {
			i++;
			continue;
		}
		if (mono_ns() > until)
			return -1;
		if (i == 0)
			_mm_pause();
	}
	return mono_ns() - since;
}

/*
 * Guests' clocks at one value of the host's TSC: off the host's own line, and off
 * each other; 2^-64 s as ns, rounded up.
 */
static void compare(int n, uint64_t *off_host, uint64_t *off_other)
{
	uint64_t c = __rdtsc(), d;
	struct ffclock_time truth, least = { INT64_MAX, 0 }, most = { INT64_MIN, 0 }, t;
	struct ffclock_vmclock *h = &host->vmclock, v;
	int i;

	truth = ffclock_line_at(c, h->counter_value,
				(struct ffclock_time){ (int64_t)h->time_sec, h->time_frac_sec },
				h->counter_period_frac_sec, h->counter_period_shift);
	*off_host = 0;
	for (i = 0; i < n; i++) {
		uint64_t g = c;

		while (!consistent(sims[i].page, &v))
			;
		if (sims[i].scaled)
			g = (uint64_t)((ffclock_u128)c * RATIO >> FRAC_BITS);
		g += sims[i].offset;
		t = ffclock_line_at(g, v.counter_value,
				    (struct ffclock_time){ (int64_t)v.time_sec, v.time_frac_sec },
				    v.counter_period_frac_sec, v.counter_period_shift);
		d = ffclock_time_absdiff_ns(t, truth);
		if (d > *off_host)
			*off_host = d;
		if (ffclock_time_cmp(t, least) < 0)
			least = t;
		if (ffclock_time_cmp(t, most) > 0)
			most = t;
	}
	*off_other = ffclock_time_absdiff_ns(least, most);
}

static void clean(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	if (system(cmd))
		fprintf(stderr, "%s is left behind\n", dir);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int bench(int n, int vcpus, int seconds, const char *program)
{
	int64_t begin, took, cpu0, cpu1, wall, lat[64];
	uint64_t off_host, off_other, worst_host = 0, worst_other = 0;
	int i, rounds = 0, all = 1;
	long kib = 0, kib_empty = 0;
	char name[64], text[160], command[512];
	uint64_t told_before = 0;
	pid_t hostd;

	if (!mkdtemp(dir) || chdir(dir))
		return 1;
	snprintf(text, sizeof(text), "%s/kvm", dir);
	mkdir(text, 0700);
	srand((unsigned int)getpid());
	plan_later();
	diag("%d guests of %d processors", n, vcpus);
	for (i = 0; i < n; i++) {
		sims[i].scaled = i & 1;
		sims[i].offset = (uint64_t)rand() << 33 ^ (uint64_t)rand();
		snprintf(name, sizeof(name), "sim-%d-%d", (int)getpid(), i);
		sims[i].pid = fork();
		if (!sims[i].pid)
			exec_as_qemu(name);
		make_debugfs(&sims[i], vcpus);
	}
	for (i = 0; i < n; i++) {
		sims[i].page = child_page(sims[i].pid);
		if (!sims[i].page) {
			printf("Bail out! guest %d has no page\n", i);
			clean();
			return 1;
		}
	}
	make_clock();
	begin = mono_ns();
	hostd = start_daemon(program);
	took = wait_told(n, host->vmclock.time_sec, begin);
	ok(took >= 0, "all %d guests are found and told", n);
	if (took < 0)
		goto out;
	printf("# found and told in %.3f s from the daemon's start\n", (double)took / 1e9);

	/* let what follows a start settle: two seconds of looks every millisecond */
	nap_ms(2500);
	cpu0 = cpu_ns(hostd, &kib_empty);
	begin = mono_ns();
	nap_ms(seconds * 1000);
	cpu1 = cpu_ns(hostd, &kib);
	wall = mono_ns() - begin;
	printf("# clock unchanged: %.3f %% of a processor; %ld KiB resident, %.2f KiB a guest\n",
	       100.0 * (double)(cpu1 - cpu0) / (double)wall, kib, (double)kib / n);

	/* the clock changes: from its change until the last page has it */
	begin = mono_ns();
	cpu0 = cpu_ns(hostd, &kib);
	for (i = 0; i < 20; i++) {
		int64_t at;

		nap_ms(900 + rand() % 200);
		/* a mark that a page cannot have by chance: the host's second is moved */
		set_clock();
		host->vmclock.seq_count |= 1;
		host->vmclock.time_sec += 100 * (uint64_t)(i + 1);
		told_before = host->vmclock.time_sec;
		at = mono_ns();
		__atomic_store_n(&host->vmclock.seq_count, host->vmclock.seq_count + 1,
				 __ATOMIC_RELEASE);
		took = wait_told(n, told_before, at);
		if (took < 0) {
			all = 0;
			break;
		}
		lat[rounds++] = took;
		compare(n, &off_host, &off_other);
		if (off_host > worst_host)
			worst_host = off_host;
		if (off_other > worst_other)
			worst_other = off_other;
	}
	cpu1 = cpu_ns(hostd, &kib);
	wall = mono_ns() - begin;
	ok(all, "every change of the clock reaches every guest");
	if (rounds) {
		qsort(lat, (size_t)rounds, sizeof(lat[0]), by_value);
		printf("# one change a second: %.3f %% of a processor\n",
		       100.0 * (double)(cpu1 - cpu0) / (double)wall);
		printf("# change to last page: least %.3f, median %.3f, most %.3f ms (%d changes; "
		       "a clock in a file is looked at every 50 ms)\n", (double)lat[0] / 1e6,
		       (double)lat[rounds / 2] / 1e6, (double)lat[rounds - 1] / 1e6, rounds);
	}
	/* a scaled guest's count is 4/3 of the host's: half a ns at 2.7 GHz */
	ok(worst_host <= 10 && worst_other <= 10,
	   "guests are on the host's line to %llu ns, and on each other's to %llu ns",
	   (unsigned long long)worst_host, (unsigned long long)worst_other);
	snprintf(command, sizeof(command), "timeout 5 %s -c %s/conf --metrics | sed -n "
		 "'s/^ffclock_hostd_update_seconds_max/# longest update of all pages [s]:/p'",
		 program, dir);
	if (system(command))
		printf("# no metrics\n");
out:
	if (tap_failed) {
		snprintf(text, sizeof(text), "tail -20 %s/log | sed 's/^/# /'", dir);
		if (system(text))
			printf("# no log\n");
	}
	kill(hostd, SIGTERM);
	waitpid(hostd, &i, 0);
	for (i = 0; i < n; i++) {
		kill(sims[i].pid, SIGKILL);
		waitpid(sims[i].pid, NULL, 0);
	}
	clean();
	return finish();
}

int main(int argc, char **argv)
{
	const char *base = strrchr(argv[0], '/');
	int n, vcpus, seconds;

	base = base ? base + 1 : argv[0];
	if (!strcmp(base, "qemu-system-sim"))
		return guest_main("sim");
	if (argc == 3 && !strcmp(argv[1], "guest")) {
		if (!mkdtemp(dir))
			return 1;
		exec_as_qemu(argv[2]);
	}
	/* as a test: a few, briefly */
	if (argc == 1)
		return bench(20, 2, 1, "ffclock-hostd");
	n = argc > 2 ? atoi(argv[2]) : 0;
	vcpus = argc > 3 ? atoi(argv[3]) : 2;
	seconds = argc > 4 ? atoi(argv[4]) : 10;
	if (strcmp(argv[1], "bench") || n < 1 || n >= GUESTS_MAX || vcpus < 1 || seconds < 1) {
		fprintf(stderr, "usage: hostd_sim guest NAME | bench N [VCPUS [SECONDS [HOSTD]]]\n");
		return 2;
	}
	return bench(n, vcpus, seconds, argc > 5 ? argv[5] : "ffclock-hostd");
}
