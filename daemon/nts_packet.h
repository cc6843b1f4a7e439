/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NTS extension fields of NTP packets (RFC 8915, section 5): seal a request,
 * check and open an answer.
 *
 * No I/O and no clock; random bytes come from GnuTLS.  Anything may be in an
 * answer.
 */
#ifndef FFCLOCKD_NTS_PACKET_H
#define FFCLOCKD_NTS_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ntp_packet.h"
#include "nts_record.h"

#define NTS_KEY_LEN	32	/* AEAD_AES_SIV_CMAC_256: two AES-128 keys */
#define NTS_UID_LEN	32	/* least that RFC 8915 section 5.3 allows */

/* Header, identifier, cookie and placeholders, authenticator (40), with room */
#define NTS_PACKET_MAX	(NTP_PACKET_LEN + 4 + NTS_UID_LEN + NTS_COOKIES * (4 + NTS_COOKIE_MAX) + 64)

/*
 * Longest request that still fits an Ethernet frame without being cut into
 * pieces: 1280 bytes, the least IPv6 guarantees, less IPv6 and UDP headers.
 */
#define NTS_PACKET_WHOLE	(1280 - 40 - 8)

/**
 * struct nts_keys - what key establishment gave
 * @c2s: seals requests
 * @s2c: opens answers
 */
struct nts_keys {
	uint8_t	c2s[NTS_KEY_LEN];
	uint8_t	s2c[NTS_KEY_LEN];
};

/**
 * enum nts_verdict - what an answer is good for
 * @NTS_OK: it is the server's answer to this request, untouched
 * @NTS_NAK: it may be the server saying that it does not know the cookie;
 *	anybody who saw the request may have sent it
 * @NTS_MALFORMED: fields are cut off or of a wrong length
 * @NTS_WRONG_ID: not the identifier of this request: not an answer to it
 * @NTS_NO_AUTH: no authenticator
 * @NTS_FORGED: the authenticator does not fit
 *
 * Whatever is not NTS_OK may come from anybody: keep waiting.
 */
enum nts_verdict {
	NTS_OK,
	NTS_NAK,
	NTS_MALFORMED,
	NTS_WRONG_ID,
	NTS_NO_AUTH,
	NTS_FORGED,
	NTS_VERDICT_NR,
};

/**
 * nts_request_seal() - add the fields of NTS to a request
 * @buf: NTS_PACKET_MAX bytes, the first NTP_PACKET_LEN of them the request
 * @keys: of the session
 * @cookie: one that was never used before
 * @wanted: new cookies, beside the one that replaces @cookie, 0 to 7; fewer are
 *	asked for when the packet would get too long
 * @uid: receives the request's identifier
 *
 * Return: length of the packet, or -errno
 */
int nts_request_seal(uint8_t *buf, const struct nts_keys *keys, const struct nts_cookie *cookie,
		     unsigned int wanted, uint8_t uid[NTS_UID_LEN]);

/**
 * nts_answer_open() - check an answer and take the new cookies out of it
 * @buf: datagram
 * @len: its length, any
 * @keys: of the session
 * @uid: of the outstanding request
 * @cookies: receives new cookies; room for NTS_COOKIES
 * @n_cookies: receives how many
 *
 * The header of an answer is true only with NTS_OK.
 *
 * Return: see &enum nts_verdict
 */
enum nts_verdict nts_answer_open(const uint8_t *buf, size_t len, const struct nts_keys *keys,
				 const uint8_t uid[NTS_UID_LEN], struct nts_cookie *cookies,
				 unsigned int *n_cookies);

/**
 * nts_siv_seal(), nts_siv_open() - AEAD_AES_SIV_CMAC_256 (RFC 5297)
 * @key: 32 bytes
 * @ad: authenticated, not encrypted
 * @ad_len: its length
 * @nonce: unique, or not; not empty
 * @nonce_len: its length
 * @in: plaintext, or synthetic IV and ciphertext
 * @in_len: its length; nts_siv_open(): at least 16
 * @out: receives @in_len + 16 bytes, or @in_len - 16
 *
 * Return: 0; -EBADMSG if it does not fit; -EINVAL
 */
int nts_siv_seal(const uint8_t key[NTS_KEY_LEN], const uint8_t *ad, size_t ad_len,
		 const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len,
		 uint8_t *out);
int nts_siv_open(const uint8_t key[NTS_KEY_LEN], const uint8_t *ad, size_t ad_len,
		 const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len,
		 uint8_t *out);
#define NTS_SIV_LEN	16

/* "forged": for messages */
const char *nts_verdict_name(enum nts_verdict v);

#endif /* FFCLOCKD_NTS_PACKET_H */
