/* SPDX-License-Identifier: GPL-2.0-only */
/* The configuration file of ffclock-hostd: ffclock-hostd.conf(5). */
#ifndef HOSTD_CONF_H
#define HOSTD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONF_PATH_MAX		256
#define CONF_NAME_MAX		64
#define CONF_NAMES_MAX		8
#define CONF_GUESTS_MAX		1024

/**
 * struct conf_guest - a line "guest"
 * @name: its name or uuid
 * @ignore: leave it alone
 * @watch: serve it, though others are not
 * @have_offset: its TSC is the host's plus @offset (TCG: nobody tells)
 * @offset: counts, modulo 2^64
 * @bound: what @offset may be off [counts]
 */
struct conf_guest {
	char		name[CONF_NAME_MAX];
	bool		ignore;
	bool		watch;
	bool		have_offset;
	uint64_t	offset;
	uint32_t	bound;
};

/**
 * struct conf - all of it
 * @clock: auto, device, system, or a path
 * @debugfs: KVM's directory in it is @debugfs/kvm
 * @libvirt: directory of status files; empty: none
 * @control: path of the control socket; empty: none
 * @names: more program names that are QEMU; NULL-terminated
 * @system_bound_ns: see hostclock_open()
 * @system_tai: TAI - UTC [s] where the kernel does not know it; 0: not known
 * @check_ns: between looks at pages
 * @offset_ns: between looks at the first processor's TSC offset
 * @scan_ns: between looks for new guests
 * @update_ns: pages are written at least this often
 * @named: serve only guests that are named
 * @level: least important message, of syslog.h
 * @guests: lines "guest"
 * @n_guests: of these
 */
struct conf {
	char			clock[CONF_PATH_MAX];
	char			debugfs[CONF_PATH_MAX];
	char			libvirt[CONF_PATH_MAX];
	char			control[CONF_PATH_MAX];
	char			*names[CONF_NAMES_MAX + 1];
	char			name_text[CONF_NAMES_MAX][CONF_NAME_MAX];
	uint64_t		system_bound_ns;
	int			system_tai;
	int64_t			check_ns;
	int64_t			offset_ns;
	int64_t			scan_ns;
	int64_t			update_ns;
	bool			named;
	int			level;
	struct conf_guest	guests[CONF_GUESTS_MAX];
	size_t			n_guests;
};

void conf_defaults(struct conf *c);

/**
 * conf_parse() - defaults, then a text
 * @c: receives it; must not be moved afterwards
 * @text: the file's content
 * @len: bytes of @text
 * @name: of the file, for messages
 * @err: where messages go, one line each
 *
 * Return: number of errors
 */
int conf_parse(struct conf *c, const char *text, size_t len, const char *name, FILE *err);

/* The same from a file.  Return: number of errors; -ENOENT if there is no such file */
int conf_load(struct conf *c, const char *path, FILE *err);

#endif /* HOSTD_CONF_H */
