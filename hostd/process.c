// SPDX-License-Identifier: GPL-2.0-only
/* QEMU processes: see process.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/ffclock.h>

#include "maps.h"
#include "process.h"

/* A command line, a maps file: what QEMUs have is far below these */
#define CMDLINE_MAX	(1 << 20)
#define MAPS_MAX	(16 << 20)
#define LINE_LEN_MAX	8192

/* The name QEMU gives the device's memory, as links in /proc show it */
#define VMCLOCK_MEMFD	"/memfd:vmclock_page"
/* and the one of all memory-backend-memfd */
#define BACKEND_MEMFD	"/memfd:memory-backend-memfd"

/* Mappings that may be pages: the device's, and backends of guests' memory */
#define CANDIDATES_MAX	64

struct candidate {
	dev_t	dev;
	ino_t	ino;
	bool	vmclock;
	bool	taken;
};

static int read_whole(int dirfd, const char *name, size_t max, char **text, size_t *len)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	size_t size = 4096, n = 0;
	char *buf, *more;
	ssize_t got;
	int err;

	if (fd < 0)
		return -errno;
	buf = malloc(size + 1);
	if (!buf)
		goto nomem;
	for (;;) {
		got = read(fd, buf + n, size - n);
		if (got < 0) {
			err = -errno;
			free(buf);
			close(fd);
			return err;
		}
		if (!got)
			break;
		n += (size_t)got;
		if (n < size)
			continue;
		if (size >= max)
			break;
		size *= 2;
		more = realloc(buf, size + 1);
		if (!more)
			goto nomem;
		buf = more;
	}
	close(fd);
	buf[n] = '\0';
	*text = buf;
	*len = n;
	return 0;
nomem:
	free(buf);
	close(fd);
	return -ENOMEM;
}

static bool may_be_qemu(const char *comm, char *const *names)
{
	if (!strncmp(comm, "qemu", 4) || !strcmp(comm, "kvm") || !strncmp(comm, "ld-linux", 8))
		return true;
	/* the kernel keeps 15 characters of a name */
	for (; names && *names; names++)
		if (!strncmp(comm, *names, 15))
			return true;
	return false;
}

static bool named(const char *comm, char *const *names)
{
	for (; names && *names; names++)
		if (!strncmp(comm, *names, 15))
			return true;
	return false;
}

int process_open(pid_t pid, struct process *p, char *const *names)
{
	char path[32], comm[32] = "", *text = NULL;
	size_t len;
	ssize_t n;
	int fd, err;

	p->pid = pid;
	p->pidfd = -1;
	p->kvm = false;
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	p->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dirfd < 0)
		return -ENOENT;

	/* most are none: one short file of each */
	fd = openat(p->dirfd, "comm", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, comm, sizeof(comm) - 1);
	if (fd >= 0)
		close(fd);
	err = -ENOENT;
	if (n <= 0)
		goto close;
	comm[strcspn(comm, "\n")] = '\0';
	if (!may_be_qemu(comm, names))
		goto close;
	err = read_whole(p->dirfd, "cmdline", CMDLINE_MAX, &text, &len);
	if (err || !len || (!args_are_qemu(text, len) && !named(comm, names))) {
		err = -ENOENT;
		goto close;
	}
	args_parse(text, len, &p->args);

	p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p->pidfd < 0) {
		err = errno == ESRCH ? -ENOENT : -errno;
		goto close;
	}
	free(text);
	text = NULL;
	/*
	 * The directory is still that of the process it was opened for, or reads
	 * fail with ESRCH.  So that process was alive when its number was turned
	 * into the pidfd, which hence is of the same one.
	 */
	err = read_whole(p->dirfd, "stat", 4096, &text, &len);
	if (err || !stat_parse(text, &p->start)) {
		err = -ENOENT;
		goto close;
	}
	free(text);
	return 0;
close:
	free(text);
	process_close(p);
	return err;
}

void process_close(struct process *p)
{
	if (p->pidfd >= 0)
		close(p->pidfd);
	if (p->dirfd >= 0)
		close(p->dirfd);
	p->pidfd = -1;
	p->dirfd = -1;
}

bool process_dead(const struct process *p)
{
	struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0;
}

static bool starts(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* A path as /proc shows it, and the one that QEMU was given, maybe a relative one */
static bool same_file(const char *path, const char *given)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(path), g = strlen(given), d = sizeof(deleted) - 1;

	if (n > d && !strcmp(path + n - d, deleted))
		n -= d;
	if (n < g || memcmp(path + n - g, given, g))
		return false;
	return *given == '/' ? n == g : n > g && path[n - g - 1] == '/';
}

/* The ivshmem backend of ours that a path stands for, or NULL */
static const struct qemu_memory *wanted(const struct qemu_args *args, const char *path)
{
	unsigned int i;

	for (i = 0; i < args->n_memories; i++) {
		const struct qemu_memory *m = &args->memories[i];

		if (args_memory_wanted(m) &&
		    (*m->path ? same_file(path, m->path) : starts(path, BACKEND_MEMFD)))
			return m;
	}
	return NULL;
}

static bool is_vmclock(const char *path)
{
	return starts(path, VMCLOCK_MEMFD);
}

static int find_candidates(const struct process *p, struct candidate *c)
{
	char *text, *line, *next;
	struct maps_entry e;
	size_t len;
	int n = 0, i, err;

	err = read_whole(p->dirfd, "maps", MAPS_MAX, &text, &len);
	if (err)
		return err;
	for (line = text; line && *line && n < CANDIDATES_MAX; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (strlen(line) > LINE_LEN_MAX || !maps_parse(line, &e))
			continue;
		if (!e.shared_rw || e.offset || !e.inode ||
		    (!is_vmclock(e.path) && !wanted(&p->args, e.path)))
			continue;
		c[n] = (struct candidate){
			.dev = makedev(e.dev_major, e.dev_minor),
			.ino = e.inode,
			.vmclock = is_vmclock(e.path),
		};
		for (i = 0; i < n; i++)
			if (c[i].dev == c[n].dev && c[i].ino == c[n].ino)
				break;
		if (i == n)
			n++;
	}
	free(text);
	return n;
}

/*
 * A duplicate of descriptor number fd of the process, if it is what the mapping
 * is of, and good to be written.
 */
static int get_fd(const struct process *p, int theirs, const struct candidate *c, bool ivshmem)
{
	int fd = (int)syscall(SYS_pidfd_getfd, p->pidfd, theirs, 0);
	struct stat st;
	int flags;

	if (fd < 0)
		return -errno;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || fstat(fd, &st) ||
	    !S_ISREG(st.st_mode) || st.st_dev != c->dev || st.st_ino != c->ino ||
	    st.st_size < FFCLOCK_PAGE_SIZE)
		goto no;
	/* a file of that name is not what QEMU makes for the device */
	if (!ivshmem && (st.st_nlink || fcntl(fd, F_GET_SEALS) < 0))
		goto no;
	/* no harm if it cannot be: see guard.h */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	return fd;
no:
	close(fd);
	return -EBADF;
}

/* Two memfds of the same name cannot be told apart by it: only a lone page is taken */
static bool ambiguous(const struct process *p, int fd)
{
	unsigned int i, memfds = 0;
	struct stat st;

	for (i = 0; i < p->args.n_memories; i++)
		memfds += !*p->args.memories[i].path;
	return memfds > 1 && (fstat(fd, &st) || st.st_size != FFCLOCK_PAGE_SIZE);
}

static const char *missing(const struct qemu_args *args)
{
	if (args->vmclock && !args->aux_ram_share)
		return "its vmclock page is not shared: add aux-ram-share=on to -machine "
			"(QEMU 10.0 or newer)";
	if (args->vmclock)
		return "its vmclock page is not to be found";
	return "it has neither a vmclock device (-device vmclock, -machine "
		"aux-ram-share=on) nor an ivshmem-plain one with a backend named "
		ARGS_MEMORY_PREFIX "...";
}

int process_pages(struct process *p, struct process_page *pages, char *why,
		  size_t why_len)
{
	struct candidate c[CANDIDATES_MAX];
	int n_c, n = 0, i, fd, dfd, last = 0;
	struct dirent *d;
	char path[512];
	ssize_t len;
	DIR *dir;

	n_c = find_candidates(p, c);
	if (n_c < 0) {
		snprintf(why, why_len, "/proc/%d/maps: %s: run as root or with CAP_SYS_PTRACE, and "
			 "no security module in the way",
			 (int)p->pid, strerror(-n_c));
		return n_c;
	}
	dfd = openat(p->dirfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = dfd < 0 ? NULL : fdopendir(dfd);
	if (!dir) {
		last = -errno;
		if (dfd >= 0)
			close(dfd);
		snprintf(why, why_len, "/proc/%d/fd: %s: run as root or with CAP_SYS_PTRACE, and "
			 "no security module in the way",
			 (int)p->pid, strerror(-last));
		return last;
	}
	while ((d = readdir(dir))) {
		bool ivshmem;

		len = readlinkat(dfd, d->d_name, path, sizeof(path) - 1);
		if (len <= 0)
			continue;
		path[len] = '\0';
		if (!strcmp(path, "anon_inode:kvm-vm"))
			p->kvm = true;
		ivshmem = !is_vmclock(path);
		if (ivshmem && !wanted(&p->args, path))
			continue;
		for (i = 0; i < n_c && n < PROCESS_PAGES_MAX; i++) {
			if (c[i].taken || c[i].vmclock == ivshmem)
				continue;
			fd = get_fd(p, atoi(d->d_name), &c[i], ivshmem);
			if (fd == -EBADF)
				continue;
			if (fd < 0) {
				last = fd;
				continue;
			}
			if (ivshmem && starts(path, BACKEND_MEMFD) && ambiguous(p, fd)) {
				close(fd);
				continue;
			}
			c[i].taken = true;
			pages[n++] = (struct process_page){
				.fd = fd, .ivshmem = ivshmem, .dev = c[i].dev, .ino = c[i].ino,
			};
			break;
		}
	}
	closedir(dir);
	if (!n && last)
		snprintf(why, why_len, "pidfd_getfd: %s: needs CAP_SYS_PTRACE%s", strerror(-last),
			 last == -EPERM ? ", and no security module in the way" : "");
	else if (!n)
		snprintf(why, why_len, "%s", missing(&p->args));
	return n ? n : last;
}
