// SPDX-License-Identifier: GPL-2.0-only
/* Whom the NTP server answers: see server_access.h. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "server_access.h"

/* 2048 sets of 4: 8192 clients within the time that a bucket takes to fill */
#define SETS	2048
#define WAYS	4

/**
 * struct server_bucket - a client
 * @id: its address, folded with the key; 0: free
 * @tokens: answers it may have at @at_ns
 * @at_ns: when it last asked [ns]
 */
struct server_bucket {
	uint64_t	id;
	double		tokens;
	int64_t		at_ns;
};

int server_access_init(struct server_access *a)
{
	memset(a, 0, sizeof(*a));
	a->table = calloc(SETS * WAYS, sizeof(*a->table));
	if (!a->table)
		return -ENOMEM;
	if (getrandom(a->key, sizeof(a->key), GRND_NONBLOCK) != (ssize_t)sizeof(a->key))
		a->key[0] = (uint64_t)(uintptr_t)a->table;	/* better than nothing at boot */
	a->key[1] |= 1;
	return 0;
}

void server_access_free(struct server_access *a)
{
	free(a->table);
	a->table = NULL;
}

void server_access_set(struct server_access *a, const struct config *cfg)
{
	memcpy(a->rule, cfg->access, sizeof(a->rule));
	a->n_rules = cfg->n_access;
	a->per_s = cfg->rate_per_s;
	a->burst = cfg->rate_burst;
}

static bool prefix_matches(const struct config_access *r, const uint8_t *addr, unsigned int len)
{
	unsigned int whole = r->bits / 8, rest = r->bits % 8;

	if (r->len != len || memcmp(r->addr, addr, whole))
		return false;
	return !rest || !((r->addr[whole] ^ addr[whole]) >> (8 - rest));
}

static bool is_loopback(const uint8_t *addr, unsigned int len)
{
	static const uint8_t one[16] = { [15] = 1 };

	return len == 4 ? addr[0] == 127 : !memcmp(addr, one, 16);
}

static bool is_allowed(const struct server_access *a, const uint8_t *addr, unsigned int len)
{
	bool allow = is_loopback(addr, len);
	int best = -1;
	size_t i;

	for (i = 0; i < a->n_rules; i++) {
		if (a->rule[i].bits < best || !prefix_matches(&a->rule[i], addr, len))
			continue;
		best = a->rule[i].bits;
		allow = a->rule[i].allow;
	}
	return allow;
}

/* Murmur's finaliser: every bit of the address and the key counts */
static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 33) * 0xff51afd7ed558ccdULL;
	v = (v ^ v >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return v ^ v >> 33;
}

static struct server_bucket *bucket_of(struct server_access *a, const uint8_t *addr,
				       unsigned int len, int64_t now_ns)
{
	struct server_bucket *set, *oldest;
	uint64_t id = 0;
	int i;

	memcpy(&id, addr, len == 4 ? 4 : 8);
	id = mix(mix(id ^ a->key[0]) * a->key[1] + len);
	id += !id;
	set = &a->table[id % SETS * WAYS];
	oldest = set;
	for (i = 0; i < WAYS; i++) {
		if (set[i].id == id)
			return &set[i];
		if (!set[i].id || (oldest->id && set[i].at_ns < oldest->at_ns))
			oldest = &set[i];
	}
	oldest->id = id;
	oldest->tokens = a->burst;
	oldest->at_ns = now_ns;
	return oldest;
}

enum server_verdict server_access_check(struct server_access *a, const uint8_t *addr,
					unsigned int len, int64_t now_ns)
{
	struct server_bucket *b;

	if (!is_allowed(a, addr, len))
		return SERVER_DENIED;
	b = bucket_of(a, addr, len, now_ns);
	b->tokens += (double)(now_ns - b->at_ns) * 1e-9 * a->per_s;
	b->tokens = fmin(b->tokens, a->burst);
	b->at_ns = now_ns;
	if (b->tokens < 1)
		return SERVER_LIMITED;
	b->tokens -= 1;
	return SERVER_ANSWER;
}
