// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of NTS without a network: records of key establishment, the cipher,
 * requests and answers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nts_packet.h"
#include "nts_record.h"

static uint8_t msg[NTS_KE_ANSWER_MAX];
static size_t msg_len;

static void begin(void)
{
	msg_len = 0;
}

static void put16(uint16_t v)
{
	msg[msg_len++] = (uint8_t)(v >> 8);
	msg[msg_len++] = (uint8_t)v;
}

static void record(uint16_t type, const void *body, size_t len)
{
	put16(type);
	put16((uint16_t)len);
	memcpy(msg + msg_len, body, len);
	msg_len += len;
}

#define C	0x8000

static void usual(void)
{
	begin();
	record(C | 1, "\0\0", 2);
	record(C | 4, "\0\17", 2);
}

static void finish(void)
{
	static const uint8_t cookie[100] = { 1, 2, 3 };

	record(5, cookie, sizeof(cookie));
	record(C | 0, "", 0);
}

static enum nts_ke_verdict decode(struct nts_ke_answer *a)
{
	return nts_ke_answer_decode(msg, msg_len, a);
}

static void test_request(void **state)
{
	static const uint8_t want[] = {
		0x80, 1, 0, 2, 0, 0,  0x80, 4, 0, 2, 0, 15,  0x80, 0, 0, 0,
	};
	uint8_t buf[NTS_KE_REQUEST_LEN];

	(void)state;
	assert_int_equal(sizeof(want), sizeof(buf));
	nts_ke_request_encode(buf);
	assert_memory_equal(buf, want, sizeof(buf));
}

static void test_answers(void **state)
{
	struct nts_ke_answer a;
	uint8_t cookie[NTS_COOKIE_MAX + 4] = { 0 };
	size_t n;
	int i;

	(void)state;
	usual();
	finish();
	assert_int_equal(decode(&a), NTS_KE_OK);
	assert_int_equal(a.n_cookies, 1);
	assert_int_equal(a.cookies[0].len, 100);
	assert_string_equal(a.host, "");
	assert_int_equal(a.port, 0);
	/* any beginning of it is an answer that goes on */
	for (n = 0; n < msg_len; n++)
		assert_int_equal(nts_ke_answer_decode(msg, n, &a), NTS_KE_MORE);

	usual();
	record(C | 6, "ntp.example.net", 15);
	record(C | 7, "\x12\x34", 2);
	record(77, "whatever", 8);
	for (i = 0; i < 12; i++)
		finish();
	assert_int_equal(decode(&a), NTS_KE_OK);
	assert_string_equal(a.host, "ntp.example.net");
	assert_int_equal(a.port, 0x1234);

	/* more cookies than there is room for, and cookies of no use, are left */
	usual();
	record(5, cookie, 0);
	record(5, cookie, 7);
	record(5, cookie, sizeof(cookie));
	for (i = 0; i < 12; i++)
		record(5, cookie, 16);
	record(C | 0, "", 0);
	assert_int_equal(decode(&a), NTS_KE_OK);
	assert_int_equal(a.n_cookies, NTS_COOKIES);
}

static void expect(enum nts_ke_verdict want)
{
	struct nts_ke_answer a;

	assert_int_equal(decode(&a), want);
	assert_string_not_equal(nts_ke_verdict_name(want), "?");
}

static void test_refusals(void **state)
{
	struct nts_ke_answer a;

	(void)state;
	begin();
	record(C | 0, "", 0);
	expect(NTS_KE_NO_PROTOCOL);
	begin();
	record(C | 1, "\0\0", 2);
	finish();
	expect(NTS_KE_NO_ALGORITHM);
	begin();
	record(C | 1, "", 0);
	finish();
	expect(NTS_KE_NO_PROTOCOL);
	begin();
	record(C | 1, "\0\1", 2);
	expect(NTS_KE_NO_PROTOCOL);
	begin();
	record(C | 1, "\0\0\0\0", 4);
	expect(NTS_KE_NO_PROTOCOL);
	begin();
	record(C | 1, "\0\0", 2);
	record(C | 4, "\0\1", 2);
	expect(NTS_KE_NO_ALGORITHM);
	usual();
	record(C | 0, "", 0);
	expect(NTS_KE_NO_COOKIE);
	usual();
	record(C | 2, "\0\1", 2);
	expect(NTS_KE_ERROR);
	assert_int_equal(decode(&a), NTS_KE_ERROR);
	assert_int_equal(a.code, 1);
	usual();
	record(C | 3, "\0\5", 2);
	expect(NTS_KE_WARNING);
	usual();
	record(C | 77, "x", 1);
	expect(NTS_KE_CRITICAL);
	/* twice, or of a wrong length */
	usual();
	record(C | 1, "\0\0", 2);
	expect(NTS_KE_MALFORMED);
	usual();
	record(C | 4, "\0\17", 2);
	expect(NTS_KE_MALFORMED);
	usual();
	record(C | 7, "\0\0", 2);
	expect(NTS_KE_MALFORMED);
	usual();
	record(C | 7, "\0\1\2", 3);
	expect(NTS_KE_MALFORMED);
	usual();
	record(C | 6, "a", 1);
	record(C | 6, "a", 1);
	expect(NTS_KE_MALFORMED);
	/* hosts that are none */
	usual();
	record(C | 6, "", 0);
	expect(NTS_KE_MALFORMED);
	usual();
	record(C | 6, "a\0b", 3);
	expect(NTS_KE_MALFORMED);
	usual();
	record(C | 6, "-x", 2);
	expect(NTS_KE_MALFORMED);
	usual();
	record(C | 6, "a b", 3);
	expect(NTS_KE_MALFORMED);
	usual();
	record(0, "", 0);
	expect(NTS_KE_MALFORMED);
}

/* Against another implementation (Python's cryptography on OpenSSL), and RFC 5297's key */
static void test_cipher(void **state)
{
	static const uint8_t key[NTS_KEY_LEN] = {
		0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8,
		0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0xf1, 0xf0,
		0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
		0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
	};
	static const uint8_t ad[24] = {
		0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
		0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
		0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
	};
	static const uint8_t nonce[16] = {
		0x09, 0xf9, 0x11, 0x02, 0x9d, 0x74, 0xe3, 0x5b,
		0xd8, 0x41, 0x56, 0xc5, 0x63, 0x56, 0x88, 0xc0,
	};
	static const uint8_t plain[14] = {
		0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
	};
	static const uint8_t want[30] = {
		0xb4, 0x77, 0xa3, 0x6b, 0x0d, 0x0f, 0x78, 0x98, 0x7d, 0x98,
		0x5f, 0x38, 0x87, 0xa7, 0x57, 0x2d, 0x52, 0x35, 0x2f, 0x0e,
		0xd2, 0x61, 0x45, 0x9e, 0x0d, 0xe5, 0x0f, 0x26, 0x82, 0x60,
	};
	static const uint8_t want_empty[16] = {
		0xe0, 0x71, 0xca, 0x32, 0x30, 0xce, 0x82, 0x12,
		0x5d, 0x8e, 0x7a, 0x9c, 0x73, 0x81, 0x1a, 0x9f,
	};
	uint8_t out[64], back[64];
	size_t i;

	(void)state;
	assert_int_equal(nts_siv_seal(key, ad, 24, nonce, 16, plain, 14, out), 0);
	assert_memory_equal(out, want, 30);
	assert_int_equal(nts_siv_open(key, ad, 24, nonce, 16, out, 30, back), 0);
	assert_memory_equal(back, plain, 14);
	for (i = 0; i < 30; i++) {
		out[i] ^= 0x10;
		assert_int_equal(nts_siv_open(key, ad, 24, nonce, 16, out, 30, back), -EBADMSG);
		out[i] ^= 0x10;
	}
	assert_int_equal(nts_siv_open(key, ad, 23, nonce, 16, out, 30, back), -EBADMSG);
	assert_int_equal(nts_siv_open(key, ad, 24, nonce, 15, out, 30, back), -EBADMSG);
	assert_int_equal(nts_siv_open(key, ad, 24, nonce, 16, out, 15, back), -EINVAL);
	assert_int_equal(nts_siv_seal(key, (const uint8_t *)"abc", 3,
				      (const uint8_t *)"1234567890123456", 16, NULL, 0, out), 0);
	assert_memory_equal(out, want_empty, 16);
}

static struct nts_keys keys = { .c2s = { 1, 2, 3 }, .s2c = { 4, 5, 6 } };

/* What a server does with a request: the field at @type, NULL if there is none */
static const uint8_t *field(const uint8_t *buf, size_t len, unsigned int type, unsigned int nth,
			    size_t *body)
{
	size_t at = NTP_PACKET_LEN;

	while (at + 4 <= len) {
		size_t n = (size_t)buf[at + 2] << 8 | buf[at + 3];

		assert_true(n >= 16 && n % 4 == 0 && at + n <= len);
		if ((unsigned int)(buf[at] << 8 | buf[at + 1]) == type && !nth--) {
			*body = n - 4;
			return buf + at + 4;
		}
		at += n;
	}
	assert_int_equal(at, len);
	return NULL;
}

static void test_seal(void **state)
{
	struct nts_cookie cookie = { .len = 100, .data = { 9, 8, 7 } };
	uint8_t buf[NTS_PACKET_MAX], uid[NTS_UID_LEN], uid2[NTS_UID_LEN], plain[16];
	const uint8_t *f;
	unsigned int n;
	size_t body;
	int len;

	(void)state;
	ntp_request_encode(buf, 0x1234);
	len = nts_request_seal(buf, &keys, &cookie, 7, uid);
	assert_true(len > 0 && len <= NTS_PACKET_WHOLE);
	f = field(buf, (size_t)len, 0x0104, 0, &body);
	assert_non_null(f);
	assert_int_equal(body, NTS_UID_LEN);
	assert_memory_equal(f, uid, body);
	f = field(buf, (size_t)len, 0x0204, 0, &body);
	assert_non_null(f);
	assert_int_equal(body, 100);
	assert_memory_equal(f, cookie.data, 100);
	assert_null(field(buf, (size_t)len, 0x0204, 1, &body));
	for (n = 0; field(buf, (size_t)len, 0x0304, n, &body); n++)
		assert_int_equal(body, 100);
	assert_int_equal(n, 7);
	/* the authenticator is the last, and right */
	f = field(buf, (size_t)len, 0x0404, 0, &body);
	assert_non_null(f);
	assert_int_equal(f + body - buf, len);
	assert_int_equal(f[1], 16);
	assert_int_equal(f[3], 16);
	assert_int_equal(nts_siv_open(keys.c2s, buf, (size_t)(f - 4 - buf), f + 4, 16, f + 20, 16,
				      plain), 0);
	/* every request has an identifier of its own */
	assert_true(nts_request_seal(buf, &keys, &cookie, 0, uid2) > 0);
	assert_memory_not_equal(uid, uid2, NTS_UID_LEN);
	/* long cookies: fewer placeholders, still one piece */
	cookie.len = NTS_COOKIE_MAX;
	len = nts_request_seal(buf, &keys, &cookie, 7, uid);
	assert_true(len > 0 && len <= NTS_PACKET_WHOLE);
	assert_non_null(field(buf, (size_t)len, 0x0304, 0, &body));
	assert_null(field(buf, (size_t)len, 0x0304, 6, &body));
	cookie.len = 0;
	assert_int_equal(nts_request_seal(buf, &keys, &cookie, 7, uid), -EINVAL);
	cookie.len = 102;
	assert_int_equal(nts_request_seal(buf, &keys, &cookie, 7, uid), -EINVAL);
}

/* An answer with @n new cookies, in msg */
static void answer(const uint8_t *uid, unsigned int n)
{
	uint8_t plain[NTS_COOKIES * 2 * 20], nonce[16] = { 0x77 };
	size_t len = 0, start;
	unsigned int i;

	for (i = 0; i < n; i++) {
		memcpy(plain + len, "\x02\x04\0\x14", 4);
		memset(plain + len + 4, (int)i + 1, 16);
		len += 20;
	}
	memset(msg, 0, sizeof(msg));
	msg[0] = 0x24;
	msg[1] = 1;
	msg_len = NTP_PACKET_LEN;
	put16(0x0104);
	put16(4 + NTS_UID_LEN);
	memcpy(msg + msg_len, uid, NTS_UID_LEN);
	msg_len += NTS_UID_LEN;
	start = msg_len;
	put16(0x0404);
	put16((uint16_t)(4 + 4 + 16 + 16 + len));
	put16(16);
	put16((uint16_t)(16 + len));
	memcpy(msg + msg_len, nonce, 16);
	msg_len += 16;
	assert_int_equal(nts_siv_seal(keys.s2c, msg, start, nonce, 16, plain, len, msg + msg_len),
			 0);
	msg_len += 16 + len;
}

static void test_open(void **state)
{
	static const uint8_t uid[NTS_UID_LEN] = { 5, 5, 5 }, other[NTS_UID_LEN] = { 6 };
	struct nts_cookie c[NTS_COOKIES];
	unsigned int n, ok = 0;
	size_t i;

	(void)state;
	answer(uid, 3);
	assert_int_equal(nts_answer_open(msg, msg_len, &keys, uid, c, &n), NTS_OK);
	assert_int_equal(n, 3);
	assert_int_equal(c[2].len, 16);
	assert_int_equal(c[2].data[15], 3);
	/* of another request; a bit wrong anywhere; cut off anywhere */
	assert_int_equal(nts_answer_open(msg, msg_len, &keys, other, c, &n), NTS_WRONG_ID);
	for (i = 0; i < msg_len; i++) {
		msg[i] ^= 4;
		assert_int_not_equal(nts_answer_open(msg, msg_len, &keys, uid, c, &n), NTS_OK);
		msg[i] ^= 4;
		ok += nts_answer_open(msg, i, &keys, uid, c, &n) == NTS_OK;
	}
	assert_int_equal(ok, 0);
	/* what follows the authenticator is ignored */
	memcpy(msg + msg_len, "\x02\x04\0\x10" "abcdefghijkl", 16);
	assert_int_equal(nts_answer_open(msg, msg_len + 16, &keys, uid, c, &n), NTS_OK);
	assert_int_equal(n, 3);
	/* none, and more than there is room for */
	answer(uid, 0);
	assert_int_equal(nts_answer_open(msg, msg_len, &keys, uid, c, &n), NTS_OK);
	assert_int_equal(n, 0);
	answer(uid, 12);
	assert_int_equal(nts_answer_open(msg, msg_len, &keys, uid, c, &n), NTS_OK);
	assert_int_equal(n, NTS_COOKIES);

	/* without authenticator: time is nobody's word, a NAK perhaps the server's */
	msg_len = NTP_PACKET_LEN + 4 + NTS_UID_LEN;
	assert_int_equal(nts_answer_open(msg, msg_len, &keys, uid, c, &n), NTS_NO_AUTH);
	msg[1] = 0;
	memcpy(msg + 12, "NTSN", 4);
	assert_int_equal(nts_answer_open(msg, msg_len, &keys, uid, c, &n), NTS_NAK);
	assert_int_equal(nts_answer_open(msg, msg_len, &keys, other, c, &n), NTS_WRONG_ID);
	assert_int_equal(nts_answer_open(msg, NTP_PACKET_LEN, &keys, uid, c, &n), NTS_WRONG_ID);
	for (n = 0; n < NTS_VERDICT_NR; n++)
		assert_string_not_equal(nts_verdict_name((enum nts_verdict)n), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_cipher),
		cmocka_unit_test(test_seal),
		cmocka_unit_test(test_open),
	};

	return cmocka_run_group_tests_name("nts", tests, NULL, NULL);
}
