/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The NTS side of one NTP source: when to establish keys, cookies used once each,
 * requests sealed, answers opened.
 */
#ifndef FFCLOCKD_NTS_CLIENT_H
#define FFCLOCKD_NTS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "loop.h"
#include "nts_ke.h"
#include "nts_packet.h"

struct nts_client;

/**
 * nts_client_new() - for one source
 * @loop: loop
 * @host: name the server's certificate must be for; must outlive it
 * @ca_file: see nts_trust_get()
 *
 * Return: NULL after an error message
 */
struct nts_client *nts_client_new(struct loop *loop, const char *host, const char *ca_file);
void nts_client_free(struct nts_client *c);

/**
 * nts_client_ready() - can a request be sealed?
 * @c: client
 *
 * Return: false without cookies, after the server said that it does not know
 * them, and when the keys are old
 */
bool nts_client_ready(const struct nts_client *c);

/* Are there keys and a cookie at all, old or not? */
bool nts_client_usable(const struct nts_client *c);

/* How long to wait before the next establishment, 0: not at all [ns] */
int64_t nts_client_wait_ns(const struct nts_client *c);

/**
 * nts_client_establish() - get keys and cookies
 * @c: client; nothing of this sort may be under way
 * @addr: of the NTS-KE server, port included
 * @len: of @addr
 * @ignore_time: see &nts_ke_params.ignore_time
 * @cb: called once from the loop unless cancelled: @error is NULL or a sentence;
 *	@host is the NTP server to ask, "" for the one at @addr; @port its port or 0
 * @arg: for @cb
 *
 * Return: 0 or -errno, then @cb will not be called
 */
int nts_client_establish(struct nts_client *c, const struct sockaddr *addr, socklen_t len,
			 bool ignore_time,
			 void (*cb)(void *arg, const char *error, const char *host, uint16_t port),
			 void *arg);
bool nts_client_establishing(const struct nts_client *c);
void nts_client_cancel(struct nts_client *c);

/**
 * nts_client_seal() - make an NTS request of a plain one
 * @c: client that is usable
 * @buf: NTS_PACKET_MAX bytes, begins with the request
 *
 * Takes a cookie out of the jar.
 *
 * Return: length, or -errno
 */
int nts_client_seal(struct nts_client *c, uint8_t *buf);

/**
 * nts_client_open() - check an answer
 * @c: client
 * @buf: datagram
 * @len: its length
 *
 * New cookies go into the jar.
 *
 * Return: see &enum nts_verdict
 */
enum nts_verdict nts_client_open(struct nts_client *c, const uint8_t *buf, size_t len);

/**
 * nts_client_timely() - the server has told the time
 * @c: client
 * @now: that time [s]
 *
 * Where the certificate's time could not be checked because this host had none,
 * it is checked now (RFC 8915 section 8.5): whoever stole the keys of an old
 * certificate can tell no time after its end.
 *
 * Return: false if the certificate is not good at that time; then the keys are
 * thrown away
 */
bool nts_client_timely(struct nts_client *c, time_t now);

#endif /* FFCLOCKD_NTS_CLIENT_H */
