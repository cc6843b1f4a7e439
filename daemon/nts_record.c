// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of NTS key establishment: see nts_record.h.
 *
 *	 0                   1                   2                   3
 *	|C|       type (15)             |        body length (16)       |
 *	|  body ...
 */
#include <string.h>

#include "nts_record.h"

#define CRITICAL	0x8000
#define HEADER_LEN	4

enum {
	REC_END		= 0,
	REC_PROTOCOL	= 1,
	REC_ERROR	= 2,
	REC_WARNING	= 3,
	REC_ALGORITHM	= 4,
	REC_COOKIE	= 5,
	REC_SERVER	= 6,
	REC_PORT	= 7,
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

void nts_ke_request_encode(uint8_t buf[NTS_KE_REQUEST_LEN])
{
	uint8_t *p = buf;

	p = put16(p, CRITICAL | REC_PROTOCOL);
	p = put16(p, 2);
	p = put16(p, NTS_PROTO_NTPV4);
	p = put16(p, CRITICAL | REC_ALGORITHM);
	p = put16(p, 2);
	p = put16(p, NTS_AEAD_SIV_CMAC_256);
	p = put16(p, CRITICAL | REC_END);
	put16(p, 0);
}

/* A name or an address as a resolver takes them; nothing else gets to one */
static bool host_ok(const uint8_t *body, size_t len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-:";
	size_t i;

	if (!len || len >= NTS_HOST_MAX || body[0] == '-')
		return false;
	for (i = 0; i < len; i++)
		if (!body[i] || !strchr(allowed, body[i]))
			return false;
	return true;
}

/* What only may come once, and has come */
struct seen {
	bool	protocol;
	bool	algorithm;
	bool	server;
	bool	port;
};

static enum nts_ke_verdict take(uint16_t type, bool critical, const uint8_t *body, size_t len,
				struct nts_ke_answer *a, struct seen *seen)
{
	switch (type) {
	case REC_PROTOCOL:
		if (seen->protocol || len % 2)
			return NTS_KE_MALFORMED;
		seen->protocol = true;
		/* an empty list says: none of yours */
		return len == 2 && get16(body) == NTS_PROTO_NTPV4 ? NTS_KE_OK :
		       NTS_KE_NO_PROTOCOL;
	case REC_ALGORITHM:
		if (seen->algorithm || len % 2)
			return NTS_KE_MALFORMED;
		seen->algorithm = true;
		return len == 2 && get16(body) == NTS_AEAD_SIV_CMAC_256 ? NTS_KE_OK :
		       NTS_KE_NO_ALGORITHM;
	case REC_ERROR:
	case REC_WARNING:
		if (len != 2)
			return NTS_KE_MALFORMED;
		a->code = get16(body);
		return type == REC_ERROR ? NTS_KE_ERROR : NTS_KE_WARNING;
	case REC_COOKIE:
		/* a field's body is a multiple of 4 bytes, and so is what goes into it */
		if (!len || len % 4 || len > NTS_COOKIE_MAX || a->n_cookies == NTS_COOKIES)
			return NTS_KE_OK;
		a->cookies[a->n_cookies].len = len;
		memcpy(a->cookies[a->n_cookies].data, body, len);
		a->n_cookies++;
		return NTS_KE_OK;
	case REC_SERVER:
		if (seen->server || !host_ok(body, len))
			return NTS_KE_MALFORMED;
		seen->server = true;
		memcpy(a->host, body, len);
		a->host[len] = '\0';
		return NTS_KE_OK;
	case REC_PORT:
		if (seen->port || len != 2 || !get16(body))
			return NTS_KE_MALFORMED;
		seen->port = true;
		a->port = get16(body);
		return NTS_KE_OK;
	default:
		if (!critical)
			return NTS_KE_OK;
		a->code = type;
		return NTS_KE_CRITICAL;
	}
}

enum nts_ke_verdict nts_ke_answer_decode(const uint8_t *buf, size_t len, struct nts_ke_answer *a)
{
	struct seen seen = { false };

	memset(a, 0, sizeof(*a));
	while (len >= HEADER_LEN) {
		uint16_t type = get16(buf) & ~CRITICAL;
		bool critical = get16(buf) & CRITICAL;
		size_t body = get16(buf + 2);
		enum nts_ke_verdict v;

		if (body > len - HEADER_LEN)
			return NTS_KE_MORE;
		if (type == REC_END) {
			if (body || !critical)
				return NTS_KE_MALFORMED;
			if (!seen.protocol)
				return NTS_KE_NO_PROTOCOL;
			if (!seen.algorithm)
				return NTS_KE_NO_ALGORITHM;
			return a->n_cookies ? NTS_KE_OK : NTS_KE_NO_COOKIE;
		}
		v = take(type, critical, buf + HEADER_LEN, body, a, &seen);
		if (v != NTS_KE_OK)
			return v;
		buf += HEADER_LEN + body;
		len -= HEADER_LEN + body;
	}
	return NTS_KE_MORE;
}

const char *nts_ke_verdict_name(enum nts_ke_verdict v)
{
	static const char * const names[NTS_KE_VERDICT_NR] = {
		[NTS_KE_OK]		= "ok",
		[NTS_KE_MORE]		= "answer is cut off",
		[NTS_KE_MALFORMED]	= "malformed record",
		[NTS_KE_CRITICAL]	= "unknown critical record",
		[NTS_KE_ERROR]		= "server reports an error",
		[NTS_KE_WARNING]	= "server gives a warning",
		[NTS_KE_NO_PROTOCOL]	= "server does not do NTPv4 with NTS",
		[NTS_KE_NO_ALGORITHM]	= "server does not do AES-SIV-CMAC-256",
		[NTS_KE_NO_COOKIE]	= "no usable cookie",
	};

	return (unsigned int)v < NTS_KE_VERDICT_NR ? names[v] : "?";
}
