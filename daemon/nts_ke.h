/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NTS key establishment (RFC 8915, section 4): a TLS 1.3 session that gives keys
 * and cookies for authenticated NTP.
 */
#ifndef FFCLOCKD_NTS_KE_H
#define FFCLOCKD_NTS_KE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "loop.h"
#include "nts_packet.h"
#include "nts_record.h"

struct nts_trust;
struct nts_ke;

/**
 * nts_trust_get() - certificate authorities to believe
 * @ca_file: PEM file of these, or "" for the system's
 *
 * Loaded once for all that name the same file, at start, while everything can
 * still be read.
 *
 * Return: NULL after an error message
 */
struct nts_trust *nts_trust_get(const char *ca_file);
void nts_trust_put(struct nts_trust *t);

/**
 * nts_set_clock() - the clock that certificates are judged by
 * @now: returns Unix time [s], or 0 for "not known": then the system's counts
 * @arg: for @now
 *
 * Only one, for the whole process; NULL for the system's.
 */
void nts_set_clock(time_t (*now)(void *arg), void *arg);

/**
 * struct nts_ke_result - what became of it
 * @error: NULL when it worked, else what went wrong, a sentence
 * @answer: of the server
 * @keys: of the session
 * @valid_from: the server's certificates (all of the chain) are good from [s] ...
 * @valid_until: ... until [s]
 * @untimely: they were not, by the clock, and that was let pass
 */
struct nts_ke_result {
	const char		*error;
	struct nts_ke_answer	answer;
	struct nts_keys		keys;
	time_t			valid_from;
	time_t			valid_until;
	bool			untimely;
};

/**
 * struct nts_ke_params - one attempt
 * @host: name or address the certificate must be for
 * @addr: where to connect, port included
 * @addr_len: of @addr
 * @trust: see nts_trust_get()
 * @ignore_time: take certificates that are not valid yet or any more; for
 *	hosts that have no idea of the time
 * @cb: called once from the loop, unless cancelled; the result is gone after it
 * @arg: for @cb
 */
struct nts_ke_params {
	const char			*host;
	const struct sockaddr		*addr;
	socklen_t			addr_len;
	struct nts_trust		*trust;
	bool				ignore_time;
	void				(*cb)(void *arg, const struct nts_ke_result *r);
	void				*arg;
};

/* Return: a handle, valid until the callback was called; NULL with errno */
struct nts_ke *nts_ke_start(struct loop *loop, const struct nts_ke_params *params);

/* Forget the attempt */
void nts_ke_cancel(struct nts_ke *ke);

#endif /* FFCLOCKD_NTS_KE_H */
