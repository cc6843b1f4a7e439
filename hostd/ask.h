/* SPDX-License-Identifier: GPL-2.0-only */
/* The other end of ffclock-hostd's control socket: control.h has the commands. */
#ifndef HOSTD_ASK_H
#define HOSTD_ASK_H

#include <sys/un.h>

#define ASK_SOCKET	"/run/ffclock-hostd/control"

/**
 * ask_hostd() - send a command, fetch the answer
 * @path: of the socket
 * @line: the command
 * @out: receives the answer, to be freed
 *
 * Return: 0 or -errno; -ENOENT, -ECONNREFUSED: it does not run
 */
int ask_hostd(const char *path, const char *line, char **out);

/* A Unix socket's address.  Return: 0 or -ENAMETOOLONG */
int ask_address(const char *path, struct sockaddr_un *sa);

#endif /* HOSTD_ASK_H */
