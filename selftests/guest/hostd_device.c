// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock-hostd on a host with the module: /dev/ffclock to a guest's page.
 *
 * This guest is the host; its guest is a simulated one (hostd_sim) whose TSC is the
 * host's.  A change of the module's clock wakes the daemon: no look at times.
 */
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/ffc.h"

#define CHANGES		20
#define PATIENCE_MS	20000

static pid_t start(const char *command)
{
	pid_t pid = fork();

	if (!pid) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static int64_t cpu_ns(pid_t pid)
{
	unsigned long long user = 0, sys = 0;
	char path[64], text[1024], *s;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_text(path, text, sizeof(text)))
		return -1;
	s = strrchr(text, ')');
	if (!s || sscanf(s + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			 &sys) != 2)
		return -1;
	return (int64_t)(user + sys) * (NSEC_PER_SEC / sysconf(_SC_CLK_TCK));
}

/* The simulated guest's page, once it has made it */
static volatile struct ffclock_vmclock *guest_page(pid_t pid)
{
	char path[64], link[64];
	void *page;
	int tries, i, fd;
	ssize_t n;

	for (tries = 0; tries < PATIENCE_MS / 10; tries++) {
		for (i = 3; i < 8; i++) {
			snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, i);
			n = readlink(path, link, sizeof(link) - 1);
			if (n <= 0 || strncmp(link, "/memfd:vmclock_page", 19))
				continue;
			fd = open(path, O_RDWR | O_CLOEXEC);
			page = fd < 0 ? MAP_FAILED :
				mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
			if (page != MAP_FAILED &&
			    ((struct ffclock_vmclock *)page)->magic == FFCLOCK_VMCLOCK_MAGIC)
				return page;
		}
		sleep_ms(10);
	}
	bail("the simulated guest has no page");
	return NULL;
}

/* Wait for the page to say sec or later; ns it took, or -1 */
static int64_t wait_for(volatile struct ffclock_vmclock *v, uint64_t sec)
{
	int64_t begin = now_ns(CLOCK_MONOTONIC_RAW), now;

	do {
		if (!(v->seq_count & 1) && v->clock_status == FFCLOCK_STATUS_SYNCHRONIZED &&
		    v->time_sec >= sec)
			return now_ns(CLOCK_MONOTONIC_RAW) - begin;
		sched_yield();
		now = now_ns(CLOCK_MONOTONIC_RAW);
	} while (now - begin < PATIENCE_MS * 1000000LL);
	return -1;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

int main(void)
{
	volatile struct ffclock_vmclock *v;
	int64_t took[CHANGES], cpu, all = 0, off;
	struct ffclock_estimate est;
	struct ffclock_reading r;
	struct ffclock_time t;
	pid_t sim, hostd;
	int fd, i;
	FILE *f;

	plan(6);
	ffc_load();
	fd = ffc_open();
	est = ffc_good_estimate(fd);
	if (ioctl(fd, FFCLOCK_IOC_SETEST, &est))
		bail("SETEST");

	f = fopen("/tmp/hostd.conf", "w");
	if (!f)
		bail("/tmp/hostd.conf");
	fprintf(f, "clock device\nguests named\nguest sim offset 0\nlibvirt none\n"
		"control /tmp/hostd.control\nscan 1\ncheck 5\n");
	fclose(f);
	sim = start("exec hostd_sim guest sim");
	v = guest_page(sim);
	hostd = start("exec ffclock-hostd -c /tmp/hostd.conf 2>/tmp/hostd.log");
	ok(wait_for(v, 1) >= 0, "guest is found and told");

	/* both at one counter value: the module's line and the guest's */
	r = ffc_read(fd, FFCLOCK_UTC);
	t = ffclock_line_at(r.counter, v->counter_value,
			    (struct ffclock_time){ (int64_t)v->time_sec, v->time_frac_sec },
			    v->counter_period_frac_sec, v->counter_period_shift);
	off = (int64_t)ffclock_time_absdiff_ns(t, r.time);
	ok(off <= 1, "guest's clock is the module's, to %lld ns", (long long)off);
	ok(v->time_maxerror_nanosec >= est.maxerror_ns, "its bound is no better than the module's");

	for (i = 0; i < CHANGES; i++) {
		sleep_ms(50);
		est = ffc_good_estimate(fd);
		est.time.sec += 1000 * (i + 1);
		if (ioctl(fd, FFCLOCK_IOC_SETEST, &est))
			bail("SETEST");
		took[i] = wait_for(v, (uint64_t)est.time.sec);
		all += took[i] < 0;
	}
	ok(!all, "every change reaches the guest");
	qsort(took, CHANGES, sizeof(took[0]), by_value);
	diag("from SETEST to the guest's page: median %lld us, most %lld us",
	     (long long)took[CHANGES / 2] / 1000, (long long)took[CHANGES - 1] / 1000);
	/* looks are 5 s apart here: less means that the device woke the daemon */
	ok(took[CHANGES / 2] < 2 * NSEC_PER_SEC, "woken by the device");

	sleep_ms(2500);
	cpu = cpu_ns(hostd);
	sleep_ms(2000);
	cpu = cpu_ns(hostd) - cpu;
	ok(cpu >= 0 && cpu < NSEC_PER_SEC, "daemon sleeps when nothing changes: %lld ms of 2 s",
	   (long long)cpu / 1000000);
	run("sed 's/^/# /' /tmp/hostd.log");
	kill(hostd, SIGTERM);
	kill(sim, SIGKILL);
	waitpid(hostd, NULL, 0);
	waitpid(sim, NULL, 0);
	close(fd);
	ffc_unload();
	return finish();
}
