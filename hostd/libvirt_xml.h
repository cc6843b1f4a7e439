/* SPDX-License-Identifier: GPL-2.0-only */
/* libvirt's runtime state of a guest: /run/libvirt/qemu/NAME.xml. */
#ifndef HOSTD_LIBVIRT_XML_H
#define HOSTD_LIBVIRT_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIBVIRT_NAME_MAX	64
#define LIBVIRT_FILE_MAX	(4 << 20)

/**
 * struct libvirt_guest - what a status file says
 * @pid: of its QEMU, 0: none
 * @name: printable
 * @uuid: printable
 * @state: running, paused, ...
 */
struct libvirt_guest {
	int64_t	pid;
	char	name[LIBVIRT_NAME_MAX];
	char	uuid[LIBVIRT_NAME_MAX];
	char	state[LIBVIRT_NAME_MAX];
};

/**
 * libvirt_parse() - read a status file
 * @text: its content
 * @len: bytes of @text
 * @g: receives what it says
 *
 * Return: true if it is a whole document of that kind with a pid and a name
 */
bool libvirt_parse(const char *text, size_t len, struct libvirt_guest *g);

/**
 * libvirt_each() - read all status files of a directory
 * @dir: the directory
 * @cb: called for each good one
 * @arg: for @cb
 *
 * Return: number of good ones, or -errno of the directory
 */
int libvirt_each(const char *dir, void (*cb)(void *arg, const struct libvirt_guest *g), void *arg);

#endif /* HOSTD_LIBVIRT_XML_H */
