// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock doctor: what this machine has, what it lacks, and what to do for the
 * best time on it.
 *
 * Looks at files only, below --root if given: a machine can be described by a
 * folder, and one that does not boot looked at from outside.  Every finding says
 * what was seen; every one that is not "ok" what to do.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ffclock.h"

/* What is read of a file at most: /proc/cpuinfo's first processor fits easily */
#define FILE_MAX	16384
#define TEXT_MAX	512

enum state { STATE_OK, STATE_NOTE, STATE_WARNING, STATE_PROBLEM };

static const char *const state_names[] = { "ok", "note", "warning", "problem" };
static const char *const state_marks[] = { "ok", "note", "WARN", "FAIL" };
static const char *const state_colours[] = { "32", "36", "33", "31" };

/**
 * struct doctor - what is known so far
 * @root: prefix of all paths, "" for this machine
 * @findings: for --json, or NULL
 * @worst: the worst finding
 * @count: findings of each state
 * @colour: on a terminal
 * @hypervisor: in words, "" on bare metal
 * @release: the kernel's
 * @loaded: ffclock.ko is
 * @tsc: TSC is the clocksource
 */
struct doctor {
	const char *root;
	struct json_object *findings;
	enum state worst;
	unsigned int count[4];
	bool colour;
	char hypervisor[64];
	char release[128];
	bool loaded;
	bool tsc;
};

/* @advice may be NULL for what is fine as it is */
static void __attribute__((format(printf, 5, 6)))
finding(struct doctor *d, const char *check, enum state state, const char *advice,
	const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (state > d->worst)
		d->worst = state;
	d->count[state]++;
	if (d->findings) {
		struct json_object *obj = json_object_new_object();

		json_object_object_add(obj, "check", json_object_new_string(check));
		json_object_object_add(obj, "state", json_object_new_string(state_names[state]));
		json_object_object_add(obj, "text", json_object_new_string(text));
		json_object_object_add(obj, "advice", advice ? json_object_new_string(advice) : NULL);
		json_object_array_add(d->findings, obj);
		return;
	}
	printf("%s%s%s%-4s%s  %-12s %s\n", d->colour ? "\033[" : "",
	       d->colour ? state_colours[state] : "", d->colour ? "m" : "", state_marks[state],
	       d->colour ? "\033[0m" : "", check, text);
	if (advice && state != STATE_OK)
		printf("%20s-> %s\n", "", advice);
}

/* Files --------------------------------------------------------------------- */

static bool full_path(const struct doctor *d, const char *path, char *full, size_t size)
{
	return (size_t)snprintf(full, size, "%s%s", d->root, path) < size;
}

/* Contents, as text that ends; false: it cannot be read */
static bool read_file(const struct doctor *d, const char *path, char *text, size_t size)
{
	char full[PATH_MAX];
	size_t have = 0;
	ssize_t n = -1;
	int fd;

	text[0] = '\0';
	if (!full_path(d, path, full, sizeof(full)))
		return false;
	/* nothing that is not an ordinary file may hold us up */
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return false;
	while (have < size - 1 && (n = read(fd, text + have, size - 1 - have)) > 0)
		have += n;
	close(fd);
	if (n < 0 && !have)
		return false;
	text[have] = '\0';
	/* a file may hold anything; a terminal must not be told all of it */
	for (have = 0; text[have]; have++)
		if (iscntrl((unsigned char)text[have]) && text[have] != '\n' && text[have] != '\t')
			text[have] = '?';
	return true;
}

/* First line, without the blanks around it */
static bool read_line(const struct doctor *d, const char *path, char *line, size_t size)
{
	size_t n;

	if (!read_file(d, path, line, size))
		return false;
	line[strcspn(line, "\n")] = '\0';
	n = strlen(line);
	while (n && isspace((unsigned char)line[n - 1]))
		line[--n] = '\0';
	return true;
}

static bool exists(const struct doctor *d, const char *path, struct stat *st)
{
	char full[PATH_MAX];
	struct stat mine;

	return full_path(d, path, full, sizeof(full)) && !stat(full, st ? st : &mine);
}

/* Is @word one of the words of @text? */
static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);
	const char *at;

	for (at = strstr(text, word); at; at = strstr(at + 1, word))
		if ((at == text || isspace((unsigned char)at[-1])) &&
		    (!at[n] || isspace((unsigned char)at[n])))
			return true;
	return false;
}

/* Call @each for the names in a folder that match; false: there is no folder */
static bool each_name(struct doctor *d, const char *path, const char *pattern,
		      void (*each)(struct doctor *d, const char *name, void *arg), void *arg)
{
	char full[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	if (!full_path(d, path, full, sizeof(full)))
		return false;
	dir = opendir(full);
	if (!dir)
		return false;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && !fnmatch(pattern, e->d_name, 0))
			each(d, e->d_name, arg);
	closedir(dir);
	return true;
}

static void count_name(struct doctor *d, const char *name, void *arg)
{
	(void)d;
	(void)name;
	++*(int *)arg;
}

static int count_names(struct doctor *d, const char *path, const char *pattern)
{
	int n = 0;

	each_name(d, path, pattern, count_name, &n);
	return n;
}

/* The machine ---------------------------------------------------------------- */

static void check_kernel(struct doctor *d)
{
	unsigned int major = 0, minor = 0;

	if (!read_line(d, "/proc/sys/kernel/osrelease", d->release, sizeof(d->release)) ||
	    sscanf(d->release, "%u.%u", &major, &minor) != 2) {
		finding(d, "kernel", STATE_PROBLEM, "mount /proc, or give the right --root",
			"its version cannot be read");
		return;
	}
	if (major < 6 || (major == 6 && minor < 1))
		finding(d, "kernel", STATE_PROBLEM,
			"use Linux 6.1 or newer: the modules need what it exports",
			"Linux %s is too old", d->release);
	else
		finding(d, "kernel", STATE_OK, NULL, "Linux %s", d->release);
}

static void check_hypervisor(struct doctor *d)
{
	char text[FILE_MAX], vendor[128] = "", product[128] = "", sources[256] = "";
	bool virtual;

	read_line(d, "/sys/devices/system/clocksource/clocksource0/available_clocksource",
		  sources, sizeof(sources));

	read_file(d, "/proc/cpuinfo", text, sizeof(text));
	virtual = has_word(text, "hypervisor");
	read_line(d, "/sys/class/dmi/id/sys_vendor", vendor, sizeof(vendor));
	read_line(d, "/sys/class/dmi/id/product_name", product, sizeof(product));
	if (read_line(d, "/sys/hypervisor/type", text, sizeof(text)) && !strcmp(text, "xen"))
		snprintf(d->hypervisor, sizeof(d->hypervisor), "Xen");
	else if (has_word(sources, "kvm-clock") || strstr(product, "KVM"))
		snprintf(d->hypervisor, sizeof(d->hypervisor), "KVM (%.40s)",
			 *vendor ? vendor : "unnamed");
	else if (strstr(vendor, "QEMU"))
		snprintf(d->hypervisor, sizeof(d->hypervisor), "QEMU without KVM");
	else if (strstr(vendor, "VMware"))
		snprintf(d->hypervisor, sizeof(d->hypervisor), "VMware");
	else if (strstr(vendor, "Microsoft") && virtual)
		snprintf(d->hypervisor, sizeof(d->hypervisor), "Hyper-V");
	else if (virtual)
		snprintf(d->hypervisor, sizeof(d->hypervisor), "a hypervisor (%.40s)",
			 *vendor ? vendor : "unnamed");
	if (!virtual && strncmp(d->hypervisor, "Xen", 3))
		d->hypervisor[0] = '\0';
	finding(d, "machine", STATE_OK, NULL, "%s%s", *d->hypervisor ? "guest of " : "bare metal",
		d->hypervisor);
	if (exists(d, "/.dockerenv", NULL) || exists(d, "/run/.containerenv", NULL) ||
	    exists(d, "/run/systemd/container", NULL))
		finding(d, "container", STATE_NOTE,
			"modules and ffclockd belong on the host; pass the clocks in with --device /dev/ffclock",
			"this is a container");
}

static void check_clocksource(struct doctor *d)
{
	char text[FILE_MAX], current[64], available[256] = "", cmdline[4096] = "";
	bool invariant;

	read_file(d, "/proc/cpuinfo", text, sizeof(text));
	invariant = has_word(text, "constant_tsc") && has_word(text, "nonstop_tsc");
	read_line(d, "/proc/cmdline", cmdline, sizeof(cmdline));
	read_line(d, "/sys/devices/system/clocksource/clocksource0/available_clocksource",
		  available, sizeof(available));
	if (!read_line(d, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		       current, sizeof(current))) {
		finding(d, "clocksource", STATE_PROBLEM, "mount /sys, or give the right --root",
			"it cannot be read");
		return;
	}
	d->tsc = !strcmp(current, "tsc");
	if (has_word(cmdline, "notsc") || has_word(cmdline, "tsc=unstable"))
		finding(d, "boot options", STATE_WARNING,
			"take it from the kernel's command line unless the TSC is known to be broken",
			"notsc or tsc=unstable keeps the kernel from the TSC");
	if (!invariant)
		finding(d, "TSC", *d->hypervisor ? STATE_WARNING : STATE_NOTE, *d->hypervisor ?
			"let the guest see it: -cpu host,+invtsc (it then migrates to hosts of the same TSC frequency, or with scaling, only)" :
			"nothing can be done about an old processor; another clocksource serves",
			"not invariant: it may stop or change its rate");
	else
		finding(d, "TSC", STATE_OK, NULL, "invariant%s",
			has_word(text, "tsc_known_freq") ? ", frequency told by the platform" : "");
	if (d->tsc)
		finding(d, "clocksource", STATE_OK, NULL,
			"tsc: programs read the clocks without a system call");
	else if (has_word(available, "tsc"))
		finding(d, "clocksource", STATE_WARNING,
			"echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource; to stay: clocksource=tsc on the kernel's command line",
			"%s: every read is a system call, though the tsc is there", current);
	else if (!strcmp(current, "hpet") || !strcmp(current, "acpi_pm"))
		finding(d, "clocksource", STATE_WARNING,
			"see why the kernel left the TSC: dmesg | grep -i tsc",
			"%s: every read is a system call of a microsecond or more", current);
	else
		finding(d, "clocksource", STATE_NOTE, *d->hypervisor ?
			"give the guest an invariant TSC (-cpu host,+invtsc), for reads without a system call" :
			"see why the kernel left the TSC: dmesg | grep -i tsc",
			"%s: every read is a system call", current);
}

static void add_name(struct doctor *d, const char *name, void *arg)
{
	char path[300], text[64], *list = arg;
	size_t n = strlen(list);

	snprintf(path, sizeof(path), "/sys/class/ptp/%.200s/clock_name", name);
	if (read_line(d, path, text, sizeof(text)) && strcmp(text, "ffclock"))
		snprintf(list + n, TEXT_MAX / 2 - n, "%s%.20s (%.40s)", n ? ", " : "", name, text);
}

static void check_devices(struct doctor *d)
{
	char list[TEXT_MAX / 2] = "", adjtime[256];
	bool vmclock = count_names(d, "/sys/bus/acpi/devices", "AMZNC10C:*") ||
		count_names(d, "/sys/bus/acpi/devices", "VMCLOCK:*") ||
		exists(d, "/dev/vmclock0", NULL);
	bool kvm = !strncmp(d->hypervisor, "KVM", 3), qemu = strstr(d->hypervisor, "QEMU");
	const char *utc;

	if (vmclock)
		finding(d, "VMClock", STATE_OK, NULL, "the hypervisor tells of migrations");
	else if (kvm || qemu)
		finding(d, "VMClock", STATE_WARNING,
			"start the guest with -device vmclock (QEMU 10.0 or newer)",
			"no device: a live migration is noticed late, or not at all");
	each_name(d, "/sys/class/ptp", "ptp*", add_name, list);
	if (*list)
		finding(d, "PTP clocks", STATE_OK, NULL, "%s", list);
	else if (kvm && !vmclock)
		finding(d, "PTP clocks", STATE_NOTE, "modprobe ptp_kvm: the host's clock, if it offers it",
			"none");
	/* third line: UTC or LOCAL */
	if (read_file(d, "/etc/adjtime", adjtime, sizeof(adjtime))) {
		utc = strchr(adjtime, '\n');
		utc = utc ? strchr(utc + 1, '\n') : NULL;
		if (utc && !strncmp(utc + 1, "LOCAL", 5))
			finding(d, "RTC", STATE_WARNING, "timedatectl set-local-rtc 0",
				"it is on local time: of no use after a restore");
	}
}

/* Ours ------------------------------------------------------------------------ */

static bool module_loaded(const struct doctor *d, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	return exists(d, path, NULL);
}

/* Is it in the modules of this kernel? */
static bool module_installed(const struct doctor *d, const char *name)
{
	char path[PATH_MAX], full[PATH_MAX], line[1024], pattern[64];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", d->release);
	if (!full_path(d, path, full, sizeof(full)))
		return false;
	f = fopen(full, "re");
	if (!f)
		return false;
	snprintf(pattern, sizeof(pattern), "%s.ko", name);
	while (!found && fgets(line, sizeof(line), f)) {
		char *base;

		line[strcspn(line, ":")] = '\0';
		base = strrchr(line, '/');
		/* .ko.xz and the like as well */
		found = !strncmp(base ? base + 1 : line, pattern, strlen(pattern));
	}
	fclose(f);
	return found;
}

static void check_helper(struct doctor *d, const char *name, bool wanted, const char *what,
			 const char *advice)
{
	if (module_loaded(d, name))
		finding(d, "module", STATE_OK, NULL, "%s: %s", name, what);
	else if (wanted)
		finding(d, "module", STATE_WARNING, advice, "%s is not loaded: no %s", name, what);
}

static void check_modules(struct doctor *d)
{
	bool kvm = !strncmp(d->hypervisor, "KVM", 3);
	bool vmclock = count_names(d, "/sys/bus/acpi/devices", "AMZNC10C:*") ||
		count_names(d, "/sys/bus/acpi/devices", "VMCLOCK:*");
	char text[128];

	d->loaded = module_loaded(d, "ffclock");
	if (!d->loaded) {
		bool there = module_installed(d, "ffclock");

		finding(d, "module", STATE_PROBLEM, there ? "modprobe ffclock" :
			"install it for this kernel: the package ffclock-dkms, or make modules_install",
			"ffclock is not loaded%s", there ? "" : ", and not there for this kernel");
		if (read_line(d, "/sys/module/module/parameters/sig_enforce", text, sizeof(text)) &&
		    *text == 'Y')
			finding(d, "signatures", STATE_WARNING,
				"enrol a key for dkms (mokutil --import) or sign the modules",
				"this kernel loads signed modules only");
		return;
	}
	if (!read_line(d, "/sys/kernel/ffclock/version", text, sizeof(text)))
		snprintf(text, sizeof(text), "version unknown");
	finding(d, "module", STATE_OK, NULL, "ffclock %s", text);
	check_helper(d, "ffclock_vmclock", vmclock, "notice and time from VMClock",
		     "modprobe ffclock_vmclock");
	check_helper(d, "ffclock_kvm", kvm, "host time after a migration", "modprobe ffclock_kvm");
	check_helper(d, "ffclock_xen", !strcmp(d->hypervisor, "Xen"), "Dom0's clock",
		     "modprobe ffclock_xen");
	check_helper(d, "ffclock_rtc", false, "the RTC's time after a restore", NULL);
	check_helper(d, "ptp_ffclock", false, "the clock as a PTP clock", NULL);
}

static void check_nodes(struct doctor *d)
{
	static const char *const nodes[] = { FFCLOCK_DEV, FFCLOCK_DEV_UTC, FFCLOCK_DEV_TAI,
					     FFCLOCK_DEV_MONO, FFCLOCK_DEV_DIFF };
	const char *missing = NULL, *closed = NULL;
	struct stat st;
	size_t i;

	if (!d->loaded)
		return;
	for (i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		if (!exists(d, nodes[i], &st))
			missing = nodes[i];
		else if ((st.st_mode & 0444) != 0444)
			closed = nodes[i];
	}
	if (missing)
		finding(d, "devices", STATE_PROBLEM, "udevadm trigger, or mount devtmpfs on /dev",
			"%s is not there", missing);
	if (closed)
		finding(d, "devices", STATE_WARNING,
			"install 60-ffclock.rules and run udevadm trigger, or chmod 444 /dev/ffclock*",
			"%s cannot be read by everybody", closed);
	if (!missing && !closed)
		finding(d, "devices", STATE_OK, NULL, FFCLOCK_DEV " and its clocks, for everybody");
}

static void check_migration(struct doctor *d)
{
	char detectors[1024], sources[1024], policy[64], *line;
	bool genid = count_names(d, "/sys/bus/acpi/devices", "QEMUVGID:*") ||
		count_names(d, "/sys/bus/acpi/devices", "VMGENCTR:*") ||
		count_names(d, "/sys/bus/acpi/devices", "AMZN0000:*");
	bool others = false, told = false, any;
	int rating, state;

	if (!d->loaded || !*d->hypervisor)
		return;
	read_file(d, "/sys/kernel/ffclock/migration/detectors", detectors, sizeof(detectors));
	read_file(d, "/sys/kernel/ffclock/migration/sources", sources, sizeof(sources));
	read_line(d, "/sys/kernel/ffclock/migration/policy", policy, sizeof(policy));
	/* these two are there on every machine, whether they ever have news or not */
	for (line = strtok(detectors, "\n"); line; line = strtok(NULL, "\n"))
		if (strncmp(line, "suspend", 7) && (genid || strncmp(line, "vmgenid", 7)))
			others = true;
	any = *sources;
	/* NAME RATING STATE WORDS: 0 is an answer to the latest question */
	for (line = strtok(sources, "\n"); line; line = strtok(NULL, "\n"))
		if (sscanf(line, "%*s %d %d", &rating, &state) == 2 && !state)
			told = true;
	if (!others)
		finding(d, "migration", STATE_WARNING,
			"the guest needs a VMClock or VM generation ID device, or Xen; see ffclock_vmclock",
			"nobody here would notice one");
	else if (!any)
		finding(d, "migration", STATE_WARNING,
			"load ffclock_kvm, ffclock_xen or ffclock_rtc, as the machine has it",
			"noticed, but nobody knows the host's time: CLOCK_REALTIME waits for ffclockd");
	else if (!told)
		finding(d, "migration", STATE_WARNING,
			"cat /sys/kernel/ffclock/migration/sources says why; ffclockd's estimate is what is left",
			"noticed, but none of the sources has told the host's time so far");
	else if (strstr(policy, "[notify]") || !strcmp(policy, "notify"))
		finding(d, "migration", STATE_NOTE,
			"echo inject > /sys/kernel/ffclock/migration/policy to have CLOCK_REALTIME set",
			"noticed and told, nothing is set");
	else
		finding(d, "migration", STATE_OK, NULL, "noticed, and the host's time is asked for");
}

static void check_status(struct doctor *d)
{
	char status[64], bound[64];

	if (!d->loaded)
		return;
	if (!read_line(d, "/sys/kernel/ffclock/clock/status", status, sizeof(status))) {
		finding(d, "clock", STATE_PROBLEM, "mount /sys", "its status cannot be read");
		return;
	}
	read_line(d, "/sys/kernel/ffclock/clock/error_bound_ns", bound, sizeof(bound));
	if (!strcmp(status, "synchronized"))
		finding(d, "clock", STATE_OK, NULL, "synchronized, bound %s ns", bound);
	else
		finding(d, "clock", STATE_PROBLEM,
			"start ffclockd (systemctl enable --now ffclockd) and give it a minute; journalctl -u ffclockd says why not",
			"%s, bound %s%s", status, bound, isdigit((unsigned char)*bound) ? " ns" : "");
}

/* Daemons ---------------------------------------------------------------------- */

static const struct {
	const char *comm;	/* at most 15 characters: as /proc tells it */
	const char *name;
	bool steers;		/* CLOCK_REALTIME */
} daemons[] = {
	{ "ffclockd",		"ffclockd",		false },
	{ "chronyd",		"chronyd",		true },
	{ "ntpd",		"ntpd",			true },
	{ "systemd-timesyn",	"systemd-timesyncd",	true },
	{ "phc2sys",		"phc2sys",		true },
	{ "ptp4l",		"ptp4l",		false },
	{ "VBoxService",	"VBoxService",		true },
	{ "vmtoolsd",		"vmtoolsd",		false },
};

#define N_DAEMONS	(sizeof(daemons) / sizeof(daemons[0]))

static void look_at_process(struct doctor *d, const char *pid, void *arg)
{
	unsigned int *running = arg;
	char path[300], comm[64];
	size_t i;

	snprintf(path, sizeof(path), "/proc/%.200s/comm", pid);
	if (!read_line(d, path, comm, sizeof(comm)))
		return;
	for (i = 0; i < N_DAEMONS; i++)
		if (!strcmp(comm, daemons[i].comm))
			*running |= 1U << i;
}

/* Does ffclockd.conf name a server? -1: there is no file */
static int configured(const struct doctor *d)
{
	char text[FILE_MAX], *line, *save = NULL;

	if (!read_file(d, "/etc/ffclockd.conf", text, sizeof(text)))
		return -1;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (isalpha((unsigned char)*line) &&
		    (!strncmp(line, "server", 6) || !strncmp(line, "pool", 4) ||
		     !strncmp(line, "phc", 3)))
			return 1;
	}
	return 0;
}

static void check_daemons(struct doctor *d)
{
	char names[TEXT_MAX / 2] = "", host[256];
	unsigned int running = 0, steering = 0;
	size_t i, n = 0;
	bool host_time;
	int conf;

	if (!each_name(d, "/proc", "[0-9]*", look_at_process, &running)) {
		finding(d, "daemons", STATE_PROBLEM, "mount /proc", "processes cannot be seen");
		return;
	}
	for (i = 0; i < N_DAEMONS; i++) {
		if (!(running >> i & 1) || !daemons[i].steers)
			continue;
		n += snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "", daemons[i].name);
		steering++;
	}
	host_time = d->loaded && *d->hypervisor &&
		read_line(d, "/sys/kernel/ffclock/clock/status", host, sizeof(host)) &&
		!strcmp(host, "synchronized");
	conf = configured(d);
	if (running & 1)
		finding(d, "ffclockd", STATE_OK, NULL, "runs");
	else if (conf < 0 && !exists(d, "/usr/sbin/ffclockd", NULL))
		finding(d, "ffclockd", host_time ? STATE_NOTE : STATE_PROBLEM,
			"install ffclockd (package ffclockd, or make install)",
			"is not installed%s", host_time ? "; the host keeps the clocks" : "");
	else
		finding(d, "ffclockd", host_time ? STATE_NOTE : STATE_PROBLEM,
			"systemctl enable --now ffclockd", "does not run%s",
			host_time ? "; the host keeps the clocks" : "");
	if (!conf)
		finding(d, "servers", STATE_WARNING,
			"name some in /etc/ffclockd.conf: three or more outvote one that lies",
			"ffclockd has no time source");
	if (steering > 1)
		finding(d, "REALTIME", STATE_WARNING, "keep one, disable the others",
			"steered by several daemons at once: %s", names);
	else if (steering)
		finding(d, "REALTIME", STATE_OK, NULL,
			"steered by %s, which does not touch the feed-forward clocks", names);
	else
		finding(d, "REALTIME", STATE_NOTE,
			"for programs that use it: chrony with refclock PHC /dev/ptp_ffclock (module ptp_ffclock), or ffclock run",
			"steered by nobody");
}

/* ------------------------------------------------------------------------------ */

int cmd_doctor(const struct options *o, int argc, char **argv)
{
	struct doctor d = { .root = "" };

	if (argc == 3 && !strcmp(argv[1], "--root")) {
		d.root = argv[2];
	} else if (argc == 2 && !strncmp(argv[1], "--root=", 7)) {
		d.root = argv[1] + 7;
	} else if (argc > 1) {
		fprintf(stderr, "usage: ffclock doctor [--root FOLDER]\n");
		return EXIT_USAGE;
	}
	if (*d.root && !exists(&d, "/", NULL))
		return fail(-errno, d.root);
	d.colour = isatty(STDOUT_FILENO);
	if (o->json)
		d.findings = json_object_new_array();

	check_kernel(&d);
	check_hypervisor(&d);
	check_clocksource(&d);
	check_devices(&d);
	check_modules(&d);
	check_nodes(&d);
	check_migration(&d);
	check_status(&d);
	check_daemons(&d);

	if (o->json) {
		struct json_object *obj = json_object_new_object();

		json_object_object_add(obj, "worst", json_object_new_string(state_names[d.worst]));
		json_object_object_add(obj, "findings", d.findings);
		print_json(obj);
	} else {
		printf("\n%u fine, %u to know, %u to mend, %u in the way\n", d.count[STATE_OK],
		       d.count[STATE_NOTE], d.count[STATE_WARNING], d.count[STATE_PROBLEM]);
	}
	return d.worst == STATE_PROBLEM ? EXIT_FAILED : EXIT_OK;
}
