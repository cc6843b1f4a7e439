/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading from Xenstore through /dev/xen/xenbus: Xen's wire protocol (xs_wire.h), as
 * much of it as one reader needs.
 *
 * Not libxenstore: it waits for answers and starts a thread, and a package that every
 * machine installs would depend on Xen's.  The protocol is Xen's public interface.
 */
#ifndef FFCLOCKD_XENBUS_H
#define FFCLOCKD_XENBUS_H

#include <stddef.h>
#include <stdint.h>

#define XENBUS_PAYLOAD_MAX	4096	/* XENSTORE_PAYLOAD_MAX */
#define XENBUS_HEADER		16	/* type, request, transaction, length: 32 bits each */

/**
 * struct xenbus - a connection
 * @fd: the device, non-blocking; the owner's
 * @request: number of the latest request
 * @in: what has come in so far of a message
 * @have: bytes of it
 */
struct xenbus {
	int		fd;
	uint32_t	request;
	char		in[XENBUS_HEADER + XENBUS_PAYLOAD_MAX];
	size_t		have;
};

/**
 * xenbus_read() - ask for a node
 * @x: connection
 * @path: node, relative to the domain's own folder
 *
 * Answers to earlier questions are void.
 *
 * Return: 0 or -errno
 */
int xenbus_read(struct xenbus *x, const char *path);

/**
 * xenbus_answer() - look for the answer
 * @x: connection
 * @text: receives where the node's content is, within @x, until the next call
 * @len: receives its length; it does not end in a zero
 *
 * Does not block.
 *
 * Return: 0; -EAGAIN: not all of it has come; -EPROTO: what comes is no message of the
 * protocol, or none that answers a question: give the connection up; -ENOENT, -EACCES,
 * -EINVAL, -ENOMEM, else -EREMOTEIO: what xenstored says; -ENODATA: the other end is closed; -errno
 */
int xenbus_answer(struct xenbus *x, const char **text, size_t *len);

#endif /* FFCLOCKD_XENBUS_H */
