// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer: a datagram that claims to be an NTP answer, into the decoder and on
 * into leap second handling and the estimator, as ffclockd passes it on.
 *
 * Input: byte 0: flags (bit 0: put the cookie in, as an honest server does; else
 * it has to be guessed); the rest: datagrams of 48 bytes, the last one of
 * whatever is left.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "estimator.h"
#include "leap.h"
#include "ntp_packet.h"

#define COOKIE	UINT64_C(0xa5c3f00d12345678)
#define NSEC	INT64_C(1000000000)
#define NOW	INT64_C(1795000000)
#define CHECK(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct ffe *f, struct leap *l, const struct ntp_answer *a, uint64_t *counter)
{
	struct ffe_stamp s = {
		.ta = *counter, .tf = *counter + 200000,
		.tb = a->tb, .te = a->te,
		.root_delay_ns = a->root_delay_ns > UINT32_MAX ? UINT32_MAX :
				 (uint32_t)a->root_delay_ns,
		.root_disp_ns = a->root_disp_ns > UINT32_MAX ? UINT32_MAX :
				(uint32_t)a->root_disp_ns,
		.precision = a->precision, .leap = a->leap, .stratum = a->stratum,
	};
	int64_t predicted = INT64_MIN, tb;
	struct ffe_map map;

	ffe_map_at(f, s.tf, &map);
	if (map.status != FFE_UNSYNC && map.bound_ns < 4e8)
		predicted = map.time_ns;
	leap_announce(l, s.leap, s.te);
	tb = s.tb;
	leap_unfold(l, tb, predicted, &s.tb);
	CHECK(llabs(s.tb - tb) <= 64 * NSEC);
	s.te += s.tb - tb;
	ffe_process(f, &s, &map);
	if (map.status != FFE_UNSYNC) {
		CHECK(map.period_ns > 0.9 && map.period_ns < 1.1);
		CHECK(map.bound_ns >= 0);
		CHECK(map.time_frac_ns >= 0 && map.time_frac_ns < 1);
	}
	*counter += 16000000000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ffe *f;
	struct ffe_config fc = { .nominal_period_ns = 1 };
	struct leap leap = { 0 };
	uint64_t counter = 1000000000;
	struct ntp_answer a;
	char text[16];
	uint8_t flags;

	if (!f)
		f = malloc(ffe_size());
	CHECK(f && !ffe_init(f, &fc));
	if (!size)
		return 0;
	flags = *data++;
	size--;
	do {
		size_t len = size > NTP_PACKET_LEN ? NTP_PACKET_LEN : size, i;
		/* of exactly its length, so that ASan sees the end */
		uint8_t *p = malloc(len ? len : 1);
		enum ntp_verdict v;

		CHECK(p);
		memcpy(p, data, len);
		if (flags & 1 && len >= 32)
			for (i = 0; i < 8; i++)
				p[24 + i] = (uint8_t)(COOKIE >> (56 - 8 * i));
		v = ntp_answer_decode(p, len, COOKIE, NOW, &a);
		free(p);
		CHECK(ntp_verdict_name(v)[0] != '?');
		CHECK(len == NTP_PACKET_LEN || v == NTP_BAD_LENGTH);
		CHECK(strlen(a.kod) == (v == NTP_KOD ? 4 : 0));
		ntp_refid_print(a.refid, a.stratum, text);
		CHECK(strlen(text) < sizeof(text));
		if (v == NTP_OK) {
			CHECK(a.stratum >= 1 && a.stratum <= NTP_STRATUM_MAX);
			CHECK(a.leap != NTP_LEAP_UNSYNC);
			use(f, &leap, &a, &counter);
		}
		data += len;
		size -= len;
	} while (size);
	return 0;
}
