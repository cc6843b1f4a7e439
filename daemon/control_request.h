/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests on the control socket: one JSON object per line.
 *
 *	{"version": 1, "command": "tracking"}
 *	{"version": 1, "command": "stamps", "count": 20}
 *
 * Pure: text in, structure out.
 */
#ifndef FFCLOCKD_CONTROL_REQUEST_H
#define FFCLOCKD_CONTROL_REQUEST_H

#include <stddef.h>

#define CONTROL_VERSION		1
#define CONTROL_LINE_MAX	1024	/* longest request [bytes]; the longest valid one has 60 */
#define CONTROL_STAMPS_MAX	256	/* that the daemon remembers */

enum control_command {
	CONTROL_TRACKING,
	CONTROL_SOURCES,
	CONTROL_STAMPS,
	CONTROL_RELOAD,
};

/**
 * struct control_request - what is asked
 * @command: see &enum control_command
 * @count: CONTROL_STAMPS: newest ones to tell, 1 to CONTROL_STAMPS_MAX
 */
struct control_request {
	enum control_command	command;
	unsigned int		count;
};

/**
 * control_parse() - read a request
 * @r: receives it
 * @line: without its newline; any bytes
 * @len: their number
 *
 * Unknown members are ignored, so that later versions may add some; another
 * version is refused.
 *
 * Return: NULL, or what is wrong with it, for the answer
 */
const char *control_parse(struct control_request *r, const char *line, size_t len);

/* "tracking" */
const char *control_command_name(enum control_command command);

#endif /* FFCLOCKD_CONTROL_REQUEST_H */
