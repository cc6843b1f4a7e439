/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whom the NTP server answers, and how often.
 *
 * Pure: no clock and no sockets; the memory is taken at the beginning.
 */
#ifndef FFCLOCKD_SERVER_ACCESS_H
#define FFCLOCKD_SERVER_ACCESS_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

enum server_verdict {
	SERVER_ANSWER,
	SERVER_DENIED,
	SERVER_LIMITED,
};

struct server_bucket;

/**
 * struct server_access - rules and what clients have used up
 * @rule: as configured
 * @n_rules: how many
 * @per_s: answers a client gets in the long run [1/s]
 * @burst: at once
 * @table: clients seen lately
 * @key: random, so that nobody can choose addresses that push others out
 */
struct server_access {
	struct config_access	rule[CONFIG_ACCESS_MAX];
	size_t			n_rules;
	double			per_s;
	double			burst;
	struct server_bucket	*table;
	uint64_t		key[2];
};

/* Return: 0 or -ENOMEM */
int server_access_init(struct server_access *a);
void server_access_free(struct server_access *a);

/* Take rules and limits from a configuration; clients keep what they have used up */
void server_access_set(struct server_access *a, const struct config *cfg);

/**
 * server_access_check() - may this client have an answer now?
 * @a: rules
 * @addr: network byte order
 * @len: 4 or 16 bytes of it
 * @now_ns: any clock that does not go back [ns]
 *
 * Without a rule for it only the loopback is answered.  An IPv6 client is its /64:
 * it has all addresses of it.
 */
enum server_verdict server_access_check(struct server_access *a, const uint8_t *addr,
					unsigned int len, int64_t now_ns);

#endif /* FFCLOCKD_SERVER_ACCESS_H */
