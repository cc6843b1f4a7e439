/* SPDX-License-Identifier: GPL-2.0-only */
/* QEMU's control protocol, as far as watching a migration needs it. */
#ifndef TOOLS_QMP_H
#define TOOLS_QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <json-c/json.h>

/* One message; QEMU's longest answers are far below */
#define QMP_LINE_MAX	(1 << 20)

/**
 * struct qmp - a connection
 * @fd: socket
 * @pid: of the QEMU, 0: not a local one
 * @text: received, not yet taken
 * @len: bytes of @text
 * @event: called for each event; its time is QEMU's CLOCK_REALTIME [ns]
 * @arg: for @event
 * @where: for messages
 */
struct qmp {
	int		fd;
	pid_t		pid;
	char		*text;
	size_t		len;
	void		(*event)(void *arg, const char *name, int64_t time_ns,
				 struct json_object *data);
	void		*arg;
	const char	*where;
};

/**
 * qmp_open() - connect and negotiate
 * @q: event and arg filled in
 * @where: path of a Unix socket, or HOST:PORT
 *
 * Return: 0, or -1 after an error message
 */
int qmp_open(struct qmp *q, const char *where);
void qmp_close(struct qmp *q);

/**
 * qmp_call() - a command
 * @q: connection
 * @command: its name
 * @arguments: or NULL; taken over
 * @result: receives what it returned, or NULL if nobody wants it
 *
 * Events that come meanwhile are delivered.
 *
 * Return: 0; -EREMOTEIO: QEMU said no (qmp_error() says why); -EPIPE: it is gone;
 * -ETIMEDOUT; -EPROTO
 */
int qmp_call(struct qmp *q, const char *command, struct json_object *arguments,
	     struct json_object **result);

/* Deliver what has come.  Return: 0 or -EPIPE */
int qmp_poll(struct qmp *q);

/* Reason of the last -EREMOTEIO; static */
const char *qmp_error(void);

/* A string, an integer of an object; "" and missing if it is not there */
const char *json_string(struct json_object *o, const char *key);
int64_t json_int(struct json_object *o, const char *key, int64_t missing);

#endif /* TOOLS_QMP_H */
