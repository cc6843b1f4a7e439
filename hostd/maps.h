/* SPDX-License-Identifier: GPL-2.0-only */
/* Lines of /proc/PID/maps and /proc/PID/stat. */
#ifndef HOSTD_MAPS_H
#define HOSTD_MAPS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct maps_entry - one mapping
 * @start: first address
 * @end: behind the last one
 * @offset: of the mapping in its file
 * @dev_major: of the file's device
 * @dev_minor: likewise
 * @inode: of the file, 0: none
 * @shared_rw: readable, writable, shared
 * @path: the rest of the line: the file's path, or what stands for it; it is
 *	within the line that was parsed
 */
struct maps_entry {
	uint64_t	start;
	uint64_t	end;
	uint64_t	offset;
	uint32_t	dev_major;
	uint32_t	dev_minor;
	uint64_t	inode;
	bool		shared_rw;
	const char	*path;
};

/**
 * maps_parse() - take a line of /proc/PID/maps apart
 * @line: without its newline
 * @e: receives the entry
 *
 * Return: false if it is not such a line
 */
bool maps_parse(const char *line, struct maps_entry *e);

/**
 * stat_parse() - the start time out of /proc/PID/stat
 * @text: of the file, ended by a zero byte
 * @start: receives the time in clock ticks after boot
 *
 * The name in it is the process's to choose: parentheses and blanks included.
 *
 * Return: false if it is not such a file
 */
bool stat_parse(const char *text, uint64_t *start);

#endif /* HOSTD_MAPS_H */
