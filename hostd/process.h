/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU processes, and the pages in them.
 *
 * A process is held by a pidfd and by a descriptor of its /proc directory, so
 * nothing here can end up at another process that got the same number.  A page's
 * descriptor is a duplicate of QEMU's own (pidfd_getfd()): no path is opened, so
 * there is no link to be followed and no race to be lost, and what QEMU may not
 * write, we cannot write through it.
 */
#ifndef HOSTD_PROCESS_H
#define HOSTD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "qemu_args.h"

#define PROCESS_PAGES_MAX	4

/**
 * struct process - a QEMU process
 * @pid: its number
 * @pidfd: readable once it has ended
 * @dirfd: /proc/PID
 * @start: its start time in clock ticks since boot
 * @args: its command line
 * @kvm: it has a machine of KVM's; process_pages() finds out
 */
struct process {
	pid_t			pid;
	int			pidfd;
	int			dirfd;
	uint64_t		start;
	struct qemu_args	args;
	bool			kvm;
};

/**
 * struct process_page - a page found in it
 * @fd: duplicate of QEMU's descriptor, open for reading and writing
 * @ivshmem: it is behind ivshmem-plain: nobody else makes a structure on it
 * @dev: of the file
 * @ino: of the file
 */
struct process_page {
	int	fd;
	bool	ivshmem;
	dev_t	dev;
	ino_t	ino;
};

/**
 * process_open() - hold a process, if it is a QEMU
 * @pid: its number
 * @p: receives it
 * @names: more names of programs that are QEMU, NULL-terminated, or NULL
 *
 * Return: 0; -ENOENT: it is none; another -errno: it is one, but cannot be
 * looked into
 */
int process_open(pid_t pid, struct process *p, char *const *names);
void process_close(struct process *p);

/* Whether it has ended */
bool process_dead(const struct process *p);

/**
 * process_pages() - find its clock pages
 * @p: the process
 * @pages: receives them; the caller closes their descriptors
 * @why: receives a reason when there are none
 * @why_len: size of @why
 *
 * A page is the memfd behind the vmclock device with aux-ram-share=on, or the
 * memfd or file of an ivshmem-plain device whose backend is named ffclock...
 * The process must have it mapped, shared and writable, from its beginning.
 *
 * Return: number of pages, or -errno
 */
int process_pages(struct process *p, struct process_page *pages, char *why,
		  size_t why_len);

#endif /* HOSTD_PROCESS_H */
