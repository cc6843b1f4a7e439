/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Name resolution beside the loop: getaddrinfo() may block for many seconds.
 */
#ifndef FFCLOCKD_RESOLVE_H
#define FFCLOCKD_RESOLVE_H

#include <stdint.h>
#include <sys/socket.h>

#include "loop.h"

#define RESOLVE_MAX	8

/**
 * struct resolve_result - addresses of a host
 * @error: 0 or EAI_*
 * @sys_errno: with EAI_SYSTEM
 * @n: addresses, at most RESOLVE_MAX
 * @addr: in getaddrinfo()'s order (RFC 6724)
 * @len: of each
 */
struct resolve_result {
	int			error;
	int			sys_errno;
	unsigned int		n;
	struct sockaddr_storage	addr[RESOLVE_MAX];
	socklen_t		len[RESOLVE_MAX];
};

struct resolve;

/**
 * resolve_start() - look a host up
 * @loop: loop the result is delivered on
 * @host: name or address
 * @port: put into the addresses
 * @cb: called once from the loop, unless cancelled; the result is gone after it
 * @arg: for @cb
 *
 * Return: a handle, valid until @cb was called, or NULL with errno
 */
struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port,
			      void (*cb)(void *arg, const struct resolve_result *r), void *arg);

/* Forget the request; its thread ends by itself */
void resolve_cancel(struct resolve *r);

#endif /* FFCLOCKD_RESOLVE_H */
