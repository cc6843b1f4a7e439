/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records of NTS key establishment (RFC 8915, section 4).
 *
 * Pure: bytes in, structure out.  Anything may be in an answer.
 */
#ifndef FFCLOCKD_NTS_RECORD_H
#define FFCLOCKD_NTS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NTS_KE_PORT		4460
#define NTS_KE_ALPN		"ntske/1"
#define NTS_PROTO_NTPV4		0
#define NTS_AEAD_SIV_CMAC_256	15	/* the one that everybody has to have */

/* Request: next protocol (6 bytes), algorithm (6), end (4) */
#define NTS_KE_REQUEST_LEN	16
/* Answer: 8 cookies of 100 bytes and a name fit many times */
#define NTS_KE_ANSWER_MAX	16384

/* Cookies a client keeps (RFC 8915 section 6 advises servers to send 8) */
#define NTS_COOKIES		8
/* Longest cookie: 8 of them, the new ones asked for, must fit into a datagram */
#define NTS_COOKIE_MAX		256

#define NTS_HOST_MAX		254

/**
 * struct nts_cookie - what the server wants back with a request
 * @len: bytes, a multiple of 4, 0 if there is none
 * @data: as it came
 */
struct nts_cookie {
	size_t	len;
	uint8_t	data[NTS_COOKIE_MAX];
};

/**
 * enum nts_ke_verdict - what an answer is good for
 * @NTS_KE_OK: keys may be used
 * @NTS_KE_MORE: no end record yet: read on
 * @NTS_KE_MALFORMED: a record is cut off, of a wrong length or given twice
 * @NTS_KE_CRITICAL: a record that must be understood is not
 * @NTS_KE_ERROR: the server reports an error, see nts_ke_answer.code
 * @NTS_KE_WARNING: the server warns of something unknown, likewise
 * @NTS_KE_NO_PROTOCOL: it does not serve NTPv4 with NTS
 * @NTS_KE_NO_ALGORITHM: it does not take our algorithm
 * @NTS_KE_NO_COOKIE: it gave none that can be used
 */
enum nts_ke_verdict {
	NTS_KE_OK,
	NTS_KE_MORE,
	NTS_KE_MALFORMED,
	NTS_KE_CRITICAL,
	NTS_KE_ERROR,
	NTS_KE_WARNING,
	NTS_KE_NO_PROTOCOL,
	NTS_KE_NO_ALGORITHM,
	NTS_KE_NO_COOKIE,
	NTS_KE_VERDICT_NR,
};

/**
 * struct nts_ke_answer - a server's answer, decoded
 * @host: NTP server to ask, "" for the one the keys came from
 * @port: its UDP port, 0 for NTP's
 * @n_cookies: cookies
 * @cookies: the first NTS_COOKIES of those it gave
 * @code: of an error or a warning, or the type of an unknown record
 */
struct nts_ke_answer {
	char			host[NTS_HOST_MAX];
	uint16_t		port;
	unsigned int		n_cookies;
	struct nts_cookie	cookies[NTS_COOKIES];
	uint16_t		code;
};

/* The request: NTPv4, AES-SIV-CMAC-256, nothing else */
void nts_ke_request_encode(uint8_t buf[NTS_KE_REQUEST_LEN]);

/**
 * nts_ke_answer_decode() - decode what has come so far
 * @buf: bytes of the answer
 * @len: how many
 * @a: filled in; of use with NTS_KE_OK, @a->code with ERROR, WARNING and CRITICAL
 *
 * What comes after the end record is not looked at.
 *
 * Return: see &enum nts_ke_verdict
 */
enum nts_ke_verdict nts_ke_answer_decode(const uint8_t *buf, size_t len, struct nts_ke_answer *a);

/* "no cookie": for messages */
const char *nts_ke_verdict_name(enum nts_ke_verdict v);

#endif /* FFCLOCKD_NTS_RECORD_H */
