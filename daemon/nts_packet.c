// SPDX-License-Identifier: GPL-2.0-only
/*
 * NTS extension fields: see nts_packet.h.
 *
 *	request:  header | identifier | cookie | placeholder... | authenticator
 *	answer:   header | identifier |                  authenticator(cookie...)
 *
 *	field:          type (16) | length with these 4 bytes (16) | body
 *	authenticator:  nonce length (16) | ciphertext length (16) |
 *	                nonce, padded to 4 | ciphertext, padded to 4 | padding
 */
#include <errno.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "nts_packet.h"

#define FIELD_HEADER	4
#define FIELD_MIN	16	/* RFC 7822 */

#define FIELD_UID		0x0104
#define FIELD_COOKIE		0x0204
#define FIELD_PLACEHOLDER	0x0304
#define FIELD_AUTH		0x0404

/* As long as the synthetic IV; servers that want a longer one get padding instead */
#define NONCE_LEN	16

#define ROUND4(n)	(((n) + 3) & ~(size_t)3)

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint8_t *put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

/* The cipher ------------------------------------------------------------------ */

static int siv_init(gnutls_aead_cipher_hd_t *h, const uint8_t *key)
{
	gnutls_datum_t k = { .data = (unsigned char *)key, .size = NTS_KEY_LEN };

	return gnutls_aead_cipher_init(h, GNUTLS_CIPHER_AES_128_SIV, &k) < 0 ? -EINVAL : 0;
}

int nts_siv_seal(const uint8_t key[NTS_KEY_LEN], const uint8_t *ad, size_t ad_len,
		 const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len,
		 uint8_t *out)
{
	size_t out_len = in_len + NTS_SIV_LEN;
	gnutls_aead_cipher_hd_t h;
	int ret;

	if (siv_init(&h, key))
		return -EINVAL;
	ret = gnutls_aead_cipher_encrypt(h, nonce, nonce_len, ad, ad_len, NTS_SIV_LEN, in, in_len,
					 out, &out_len);
	gnutls_aead_cipher_deinit(h);
	return ret < 0 || out_len != in_len + NTS_SIV_LEN ? -EINVAL : 0;
}

int nts_siv_open(const uint8_t key[NTS_KEY_LEN], const uint8_t *ad, size_t ad_len,
		 const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len,
		 uint8_t *out)
{
	gnutls_aead_cipher_hd_t h;
	size_t out_len;
	int ret;

	if (in_len < NTS_SIV_LEN || !nonce_len)
		return -EINVAL;
	out_len = in_len - NTS_SIV_LEN;
	if (siv_init(&h, key))
		return -EINVAL;
	ret = gnutls_aead_cipher_decrypt(h, nonce, nonce_len, ad, ad_len, NTS_SIV_LEN, in, in_len,
					 out, &out_len);
	gnutls_aead_cipher_deinit(h);
	return ret < 0 || out_len != in_len - NTS_SIV_LEN ? -EBADMSG : 0;
}

/* Requests -------------------------------------------------------------------- */

static uint8_t *put_field(uint8_t *p, uint16_t type, const uint8_t *body, size_t len)
{
	p = put16(p, type);
	p = put16(p, FIELD_HEADER + len);
	if (body)
		memcpy(p, body, len);
	else
		memset(p, 0, len);
	return p + len;
}

int nts_request_seal(uint8_t *buf, const struct nts_keys *keys, const struct nts_cookie *cookie,
		     unsigned int wanted, uint8_t uid[NTS_UID_LEN])
{
	const size_t auth = FIELD_HEADER + 4 + NONCE_LEN + NTS_SIV_LEN;
	uint8_t *p = buf + NTP_PACKET_LEN, *nonce;
	int err;

	if (!cookie->len || cookie->len % 4 || cookie->len > NTS_COOKIE_MAX)
		return -EINVAL;
	if (wanted > NTS_COOKIES - 1)
		wanted = NTS_COOKIES - 1;
	if (gnutls_rnd(GNUTLS_RND_RANDOM, uid, NTS_UID_LEN) < 0)
		return -EIO;
	p = put_field(p, FIELD_UID, uid, NTS_UID_LEN);
	p = put_field(p, FIELD_COOKIE, cookie->data, cookie->len);
	/* the answer may be as long as the request, so room for cookies is sent along */
	for (; wanted; wanted--) {
		if ((size_t)(p - buf) + FIELD_HEADER + cookie->len + auth > NTS_PACKET_WHOLE)
			break;
		p = put_field(p, FIELD_PLACEHOLDER, NULL, cookie->len);
	}

	nonce = p + FIELD_HEADER + 4;
	if (gnutls_rnd(GNUTLS_RND_NONCE, nonce, NONCE_LEN) < 0)
		return -EIO;
	err = nts_siv_seal(keys->c2s, buf, (size_t)(p - buf), nonce, NONCE_LEN, NULL, 0,
			   nonce + NONCE_LEN);
	if (err)
		return err;
	p = put16(p, FIELD_AUTH);
	p = put16(p, auth);
	p = put16(p, NONCE_LEN);
	put16(p, NTS_SIV_LEN);
	return (int)((size_t)(nonce - buf) + NONCE_LEN + NTS_SIV_LEN);
}

/* Answers --------------------------------------------------------------------- */

/**
 * struct field - one extension field
 * @type: FIELD_*, or anything
 * @body: after the header
 * @len: of @body
 */
struct field {
	uint16_t	type;
	const uint8_t	*body;
	size_t		len;
};

/* Return: 1 a field, *p is after it; 0 at the end; -1 malformed */
static int next_field(const uint8_t **p, const uint8_t *end, struct field *f)
{
	size_t left = (size_t)(end - *p), len;

	if (!left)
		return 0;
	if (left < FIELD_HEADER)
		return -1;
	f->type = get16(*p);
	len = get16(*p + 2);
	/* sealed fields need not have the length RFC 7822 asks of others */
	if (len < FIELD_HEADER || len % 4 || len > left)
		return -1;
	f->body = *p + FIELD_HEADER;
	f->len = len - FIELD_HEADER;
	*p += len;
	return 1;
}

/* Cookies among opened fields.  Return: whether these are well-formed */
static bool take_cookies(const uint8_t *p, size_t len, struct nts_cookie *cookies,
			 unsigned int *n)
{
	const uint8_t *end = p + len;
	struct field f;
	int got;

	while ((got = next_field(&p, end, &f)) > 0) {
		if (f.type != FIELD_COOKIE || !f.len || f.len > NTS_COOKIE_MAX ||
		    *n == NTS_COOKIES)
			continue;
		cookies[*n].len = f.len;
		memcpy(cookies[*n].data, f.body, f.len);
		(*n)++;
	}
	return !got;
}

static enum nts_verdict open_auth(const uint8_t *buf, size_t ad_len, const struct field *f,
				  const struct nts_keys *keys, struct nts_cookie *cookies,
				  unsigned int *n_cookies)
{
	uint8_t plain[NTS_PACKET_MAX];
	size_t nonce_len, sealed_len;
	const uint8_t *sealed;

	if (f->len < 4)
		return NTS_MALFORMED;
	nonce_len = get16(f->body);
	sealed_len = get16(f->body + 2);
	if (!nonce_len || sealed_len < NTS_SIV_LEN || sealed_len - NTS_SIV_LEN > sizeof(plain) ||
	    ROUND4(nonce_len) + ROUND4(sealed_len) > f->len - 4)
		return NTS_MALFORMED;
	sealed = f->body + 4 + ROUND4(nonce_len);
	if (nts_siv_open(keys->s2c, buf, ad_len, f->body + 4, nonce_len, sealed, sealed_len,
			 plain))
		return NTS_FORGED;
	return take_cookies(plain, sealed_len - NTS_SIV_LEN, cookies, n_cookies) ? NTS_OK :
	       NTS_MALFORMED;
}

/* Kiss code NTSN, header of stratum 0 */
static bool is_nak(const uint8_t *buf)
{
	return !buf[1] && !memcmp(buf + 12, "NTSN", 4);
}

enum nts_verdict nts_answer_open(const uint8_t *buf, size_t len, const struct nts_keys *keys,
				 const uint8_t uid[NTS_UID_LEN], struct nts_cookie *cookies,
				 unsigned int *n_cookies)
{
	const uint8_t *p = buf + NTP_PACKET_LEN, *start;
	bool have_uid = false;
	struct field f;
	int got;

	*n_cookies = 0;
	if (len < NTP_PACKET_LEN || len > NTS_PACKET_MAX || len % 4)
		return NTS_MALFORMED;
	for (start = p; (got = next_field(&p, buf + len, &f)) > 0; start = p) {
		if (f.len + FIELD_HEADER < FIELD_MIN)
			return NTS_MALFORMED;
		if (f.type == FIELD_UID) {
			if (have_uid || f.len != NTS_UID_LEN || memcmp(f.body, uid, NTS_UID_LEN))
				return NTS_WRONG_ID;
			have_uid = true;
		} else if (f.type == FIELD_AUTH) {
			if (!have_uid)
				return NTS_WRONG_ID;
			/* what comes after it is nobody's word */
			return open_auth(buf, (size_t)(start - buf), &f, keys, cookies,
					 n_cookies);
		}
	}
	if (got < 0)
		return NTS_MALFORMED;
	if (!have_uid)
		return NTS_WRONG_ID;
	return is_nak(buf) ? NTS_NAK : NTS_NO_AUTH;
}

const char *nts_verdict_name(enum nts_verdict v)
{
	static const char * const names[NTS_VERDICT_NR] = {
		[NTS_OK]		= "ok",
		[NTS_NAK]		= "server does not know our cookie",
		[NTS_MALFORMED]		= "malformed extension field",
		[NTS_WRONG_ID]		= "not the answer to our request",
		[NTS_NO_AUTH]		= "not authenticated",
		[NTS_FORGED]		= "authentication failed",
	};

	return (unsigned int)v < NTS_VERDICT_NR ? names[v] : "?";
}
