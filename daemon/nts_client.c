// SPDX-License-Identifier: GPL-2.0-only
/* NTS for one source: see nts_client.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "log.h"
#include "nts_client.h"

#define NSEC		INT64_C(1000000000)

/*
 * Between establishments: at least this, doubled each time that one fails or
 * its keys bring no answer, up to a day.  A server that is back after an outage
 * is not to meet all of its clients at once, least of all with TLS.
 */
#define WAIT_MIN_NS	(10 * NSEC)
#define WAIT_MAX_NS	(86400 * NSEC)

/* Keys are made anew after a week, so that a withdrawn certificate is noticed */
#define KEYS_AGE_NS	(7 * 86400 * NSEC)

struct nts_client {
	struct loop		*loop;
	const char		*host;
	struct nts_trust	*trust;
	struct nts_ke		*ke;
	void			(*cb)(void *arg, const char *error, const char *host,
				      uint16_t port);
	void			*arg;
	bool			have_keys;
	struct nts_keys		keys;
	struct nts_cookie	cookies[NTS_COOKIES];
	unsigned int		n_cookies;
	uint8_t			uid[NTS_UID_LEN];
	bool			asked;		/* @uid is of an outstanding request */
	bool			nak;		/* it was answered with one */
	int64_t			keys_at;	/* when they were made */
	int64_t			next_at;	/* not before that */
	int64_t			wait;
	bool			untested;	/* certificate's time was not checked */
	bool			ignoring;
	time_t			valid_from;
	time_t			valid_until;
};

struct nts_client *nts_client_new(struct loop *loop, const char *host, const char *ca_file)
{
	struct nts_client *c = calloc(1, sizeof(*c));

	if (!c) {
		log_err("out of memory");
		return NULL;
	}
	c->loop = loop;
	c->host = host;
	c->wait = WAIT_MIN_NS;
	c->trust = nts_trust_get(ca_file);
	if (!c->trust) {
		free(c);
		return NULL;
	}
	return c;
}

static void forget(struct nts_client *c)
{
	gnutls_memset(&c->keys, 0, sizeof(c->keys));
	c->have_keys = false;
	c->n_cookies = 0;
	c->asked = false;
	c->nak = false;
}

void nts_client_free(struct nts_client *c)
{
	if (!c)
		return;
	nts_ke_cancel(c->ke);
	forget(c);
	nts_trust_put(c->trust);
	free(c);
}

bool nts_client_usable(const struct nts_client *c)
{
	return c->have_keys && c->n_cookies;
}

bool nts_client_ready(const struct nts_client *c)
{
	return nts_client_usable(c) && !c->nak && loop_now() - c->keys_at < KEYS_AGE_NS;
}

int64_t nts_client_wait_ns(const struct nts_client *c)
{
	int64_t left = c->next_at - loop_now();

	return left > 0 ? left : 0;
}

/* The next establishment is due later; still later the one after that */
static void back_off(struct nts_client *c)
{
	c->next_at = loop_now() + c->wait;
	c->wait = 2 * c->wait < WAIT_MAX_NS ? 2 * c->wait : WAIT_MAX_NS;
}

static void established(void *arg, const struct nts_ke_result *r)
{
	struct nts_client *c = arg;

	c->ke = NULL;
	if (!r->error) {
		forget(c);
		c->keys = r->keys;
		c->have_keys = true;
		c->n_cookies = r->answer.n_cookies;
		memcpy(c->cookies, r->answer.cookies, sizeof(c->cookies));
		c->keys_at = loop_now();
		c->untested = c->ignoring;
		c->valid_from = r->valid_from;
		c->valid_until = r->valid_until;
		if (r->untimely)
			log_warn("server %s: its certificate is not valid by this machine's clock; "
				 "accepted, since there is no better clock yet", c->host);
	}
	c->cb(c->arg, r->error, r->answer.host, r->answer.port);
}

int nts_client_establish(struct nts_client *c, const struct sockaddr *addr, socklen_t len,
			 bool ignore_time,
			 void (*cb)(void *arg, const char *error, const char *host, uint16_t port),
			 void *arg)
{
	struct nts_ke_params p = {
		.host = c->host, .addr = addr, .addr_len = len, .trust = c->trust,
		.ignore_time = ignore_time, .cb = established, .arg = c,
	};

	c->cb = cb;
	c->arg = arg;
	c->ignoring = ignore_time;
	back_off(c);
	c->ke = nts_ke_start(c->loop, &p);
	return c->ke ? 0 : -errno;
}

bool nts_client_establishing(const struct nts_client *c)
{
	return c->ke;
}

void nts_client_cancel(struct nts_client *c)
{
	nts_ke_cancel(c->ke);
	c->ke = NULL;
}

int nts_client_seal(struct nts_client *c, uint8_t *buf)
{
	struct nts_cookie *cookie;

	if (!nts_client_usable(c))
		return -EAGAIN;
	/* the oldest: servers change the keys of their cookies from time to time */
	cookie = &c->cookies[0];
	c->asked = true;
	int ret = nts_request_seal(buf, &c->keys, cookie, NTS_COOKIES - c->n_cookies, c->uid);

	c->n_cookies--;
	memmove(c->cookies, c->cookies + 1, c->n_cookies * sizeof(c->cookies[0]));
	return ret;
}

enum nts_verdict nts_client_open(struct nts_client *c, const uint8_t *buf, size_t len)
{
	struct nts_cookie fresh[NTS_COOKIES];
	unsigned int n, i;
	enum nts_verdict v;

	if (!c->asked)
		return NTS_WRONG_ID;
	v = nts_answer_open(buf, len, &c->keys, c->uid, fresh, &n);
	if (v == NTS_NAK)
		/* to be believed only if no true answer comes to this request */
		c->nak = true;
	if (v != NTS_OK)
		return v;
	c->asked = false;
	c->nak = false;
	c->wait = WAIT_MIN_NS;
	for (i = 0; i < n && c->n_cookies < NTS_COOKIES; i++)
		c->cookies[c->n_cookies++] = fresh[i];
	return v;
}

bool nts_client_timely(struct nts_client *c, time_t now)
{
	if (!c->untested)
		return true;
	if (now < c->valid_from || now > c->valid_until) {
		forget(c);
		return false;
	}
	c->untested = false;
	return true;
}
