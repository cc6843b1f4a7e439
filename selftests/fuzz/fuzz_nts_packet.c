// SPDX-License-Identifier: GPL-2.0-only
/*
 * NTS extension fields of answers.
 *
 * The first byte says what the rest is: a datagram as it comes; one whose
 * identifier is made right; or what a server with the right keys seals, so that
 * the fuzzer gets past the authenticator.
 */
#include <stdlib.h>
#include <string.h>

#include "nts_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct nts_keys keys = { .c2s = { 1, 2, 3 }, .s2c = { 4, 5, 6 } };
static const uint8_t uid[NTS_UID_LEN] = { 7, 8, 9 };

static void check(const struct nts_cookie *c, unsigned int n)
{
	unsigned int i;

	if (n > NTS_COOKIES)
		abort();
	for (i = 0; i < n; i++)
		if (!c[i].len || c[i].len % 4 || c[i].len > NTS_COOKIE_MAX)
			abort();
}

static enum nts_verdict open_exactly(const uint8_t *data, size_t size)
{
	struct nts_cookie cookies[NTS_COOKIES];
	uint8_t *copy = malloc(size ? size : 1);
	enum nts_verdict v;
	unsigned int n;

	if (!copy)
		exit(0);
	memcpy(copy, data, size);
	v = nts_answer_open(copy, size, &keys, uid, cookies, &n);
	check(cookies, n);
	if (v != NTS_OK && v != NTS_MALFORMED && n)
		abort();
	if (*nts_verdict_name(v) == '?')
		abort();
	free(copy);
	return v;
}

static uint8_t *put16(uint8_t *p, size_t v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static void with_uid(const uint8_t *data, size_t size)
{
	static uint8_t buf[8192];

	if (size > 4096)
		return;
	memset(buf, 0, NTP_PACKET_LEN);
	put16(put16(buf + NTP_PACKET_LEN, 0x0104), 4 + NTS_UID_LEN);
	memcpy(buf + NTP_PACKET_LEN + 4, uid, NTS_UID_LEN);
	memcpy(buf + NTP_PACKET_LEN + 4 + NTS_UID_LEN, data, size);
	/* without the keys nothing can be right */
	if (open_exactly(buf, NTP_PACKET_LEN + 4 + NTS_UID_LEN + size) == NTS_OK)
		abort();
}

static void sealed(const uint8_t *data, size_t size)
{
	static uint8_t buf[8192];
	uint8_t *p = buf + NTP_PACKET_LEN, *start;
	size_t pad = (4 - size % 4) % 4, len;
	enum nts_verdict v;

	if (size > 1500)
		return;
	memset(buf, 0, sizeof(buf));
	p = put16(put16(p, 0x0104), 4 + NTS_UID_LEN);
	memcpy(p, uid, NTS_UID_LEN);
	p += NTS_UID_LEN;
	start = p;
	len = 4 + 4 + 16 + NTS_SIV_LEN + size + pad;
	p = put16(put16(p, 0x0404), len);
	p = put16(put16(p, 16), NTS_SIV_LEN + size);
	memset(p, 0x55, 16);
	if (nts_siv_seal(keys.s2c, buf, (size_t)(start - buf), p, 16, data, size, p + 16))
		abort();
	len += (size_t)(start - buf);
	v = open_exactly(buf, len);
	if (v != NTS_OK && v != NTS_MALFORMED)
		abort();
	/* one bit of anything before the end of the seal changed: nobody's word */
	buf[(size_t)(start - buf) + 8 + (size ? data[0] % (16 + NTS_SIV_LEN) : 0)] ^= 1;
	v = open_exactly(buf, len);
	if (v == NTS_OK)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 3) {
	case 0:
		if (open_exactly(data + 1, size - 1) == NTS_OK)
			abort();
		break;
	case 1:
		with_uid(data + 1, size - 1);
		break;
	default:
		sealed(data + 1, size - 1);
		break;
	}
	return 0;
}
