/* SPDX-License-Identifier: GPL-2.0-only */
/* What a QEMU was told on its command line, as far as it concerns its clock page. */
#ifndef HOSTD_QEMU_ARGS_H
#define HOSTD_QEMU_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARGS_NAME_MAX		64
#define ARGS_PATH_MAX		256
#define ARGS_MEMORIES_MAX	16

/* An ivshmem backend is for a clock page if its id or its file is called so */
#define ARGS_MEMORY_PREFIX	"ffclock"

/**
 * struct qemu_memory - a memory backend
 * @id: its id
 * @path: of its file; empty: a memfd
 * @ivshmem: it is behind an ivshmem-plain device
 */
struct qemu_memory {
	char	id[ARGS_NAME_MAX];
	char	path[ARGS_PATH_MAX];
	bool	ivshmem;
};

/**
 * struct qemu_args - a command line
 * @name: of the guest; printable; empty: none
 * @uuid: printable; empty: none
 * @incoming: it was started to receive a migration
 * @vmclock: it has the device
 * @aux_ram_share: and its page is shared
 * @memories: backends of type file or memfd, whether shared or not
 * @n_memories: of these
 */
struct qemu_args {
	char			name[ARGS_NAME_MAX];
	char			uuid[ARGS_NAME_MAX];
	bool			incoming;
	bool			vmclock;
	bool			aux_ram_share;
	struct qemu_memory	memories[ARGS_MEMORIES_MAX];
	unsigned int		n_memories;
};

/**
 * args_are_qemu() - is that QEMU's command line?
 * @text: arguments as /proc/PID/cmdline has them, each ended by a zero byte
 * @len: bytes of @text
 *
 * Its program may be started through a dynamic loader or a wrapper, so the first
 * arguments count as well.
 */
bool args_are_qemu(const char *text, size_t len);

/**
 * args_parse() - read a command line
 * @text: as for args_are_qemu(); anything at all: it is a stranger's
 * @len: bytes of @text
 * @args: receives what was found; what does not fit or makes no sense is left out
 */
void args_parse(const char *text, size_t len, struct qemu_args *args);

/* Whether a backend is for a clock page: ivshmem, and named so */
bool args_memory_wanted(const struct qemu_memory *m);

/* How many pages it is to have, once QEMU has made all its devices */
unsigned int args_pages(const struct qemu_args *args);

#endif /* HOSTD_QEMU_ARGS_H */
