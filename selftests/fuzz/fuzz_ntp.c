// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer: datagrams that claim to be NTP answers, into the decoder and on into
 * estimators, leap seconds, selection and combination, as ffclockd does it.
 *
 * Input: byte 0: flags (bit 0: put the cookie in, as an honest server does; else
 * it has to be guessed); the rest: datagrams of 48 bytes, the last one of
 * whatever is left.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ensemble.h"
#include "ntp_packet.h"

#define COOKIE	UINT64_C(0xa5c3f00d12345678)
#define SOURCES	3
#define NSEC	INT64_C(1000000000)
#define NOW	INT64_C(1795000000)
#define CHECK(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Three sources, of which the fuzzer writes the answers of all */
static void use(struct ensemble *e, const struct ntp_answer *a, unsigned int n)
{
	uint64_t counter = 1000000000 + (uint64_t)n * 5000000000;
	struct ffe_stamp s = {
		.ta = counter, .tf = counter + 200000,
		.tb = a->tb, .te = a->te,
		.root_delay_ns = a->root_delay_ns > UINT32_MAX ? UINT32_MAX :
				 (uint32_t)a->root_delay_ns,
		.root_disp_ns = a->root_disp_ns > UINT32_MAX ? UINT32_MAX :
				(uint32_t)a->root_disp_ns,
		.precision = a->precision, .leap = a->leap, .stratum = a->stratum,
	};
	struct ens_stamp_result res;
	struct ens_clock c;
	struct ens_look l;
	unsigned int i;

	ens_stamp(e, n % SOURCES, &s, &res);
	CHECK(llabs(res.used.tb - s.tb) <= 64 * NSEC);
	if (n % 16 == 15)
		ens_set_reachable(e, n / 16 % SOURCES, n / 48 % 2);
	if (ens_update(e, s.tf, &c))
		return;
	CHECK(c.map.status != FFE_UNSYNC);
	CHECK(c.map.period_ns > 0.9 && c.map.period_ns < 1.1);
	CHECK(c.map.bound_ns >= 0 && c.map.rate_bound >= 0);
	CHECK(c.map.time_frac_ns >= 0 && c.map.time_frac_ns < 1);
	CHECK(c.leap_change >= -1 && c.leap_change <= 1);
	CHECK(c.leader < SOURCES && c.used <= SOURCES);
	for (i = 0; i < SOURCES; i++) {
		ens_look_at(e, i, s.tf, &l);
		CHECK(l.weight >= 0 && l.weight <= 1);
		CHECK(*ens_state_name(l.state) != '?');
	}
	CHECK(!ens_clock_at(e, s.tf + 1000000000, &c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ens_config ec = { .nominal_period_ns = 1, .max_distance_ns = 3e9 };
	struct ens_source src = { .poll_min_s = 1, .poll_max_s = 1024 };
	struct ensemble *e;
	struct ntp_answer a;
	unsigned int i, n = 0;
	char text[16];
	uint8_t flags;

	if (!size)
		return 0;
	e = ens_new(&ec);
	CHECK(e);
	for (i = 0; i < SOURCES; i++)
		CHECK(ens_add(e, &src) == (int)i);
	flags = *data++;
	size--;
	do {
		size_t len = size > NTP_PACKET_LEN ? NTP_PACKET_LEN : size;
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
			use(e, &a, n++);
		}
		data += len;
		size -= len;
	} while (size);
	ens_free(e);
	return 0;
}
