// SPDX-License-Identifier: GPL-2.0-only
/*
 * NTP packets (RFC 5905): see ntp_packet.h.
 *
 *	byte  0		LI (2) VN (3) mode (3)
 *	      1		stratum
 *	      2		poll
 *	      3		precision
 *	      4		root delay, 16.16 s
 *	      8		root dispersion, 16.16 s
 *	     12		reference id
 *	     16		reference stamp, 32.32 s
 *	     24		origin stamp
 *	     32		receive stamp
 *	     40		transmit stamp
 */
#include <stdio.h>
#include <string.h>

#include "ntp_packet.h"

#define MODE_CLIENT	3
#define MODE_SERVER	4

#define OFF_ROOT_DELAY	4
#define OFF_ROOT_DISP	8
#define OFF_REFID	12
#define OFF_REFERENCE	16
#define OFF_ORIGIN	24
#define OFF_RECEIVE	32
#define OFF_TRANSMIT	40

#define NSEC		1000000000LL

/* RFC 5905: MAXDISP, 16 s: a server that far from its reference has no time */
#define MAXDISP_NS	(16 * (uint64_t)NSEC)

/*
 * Receive stamps come from a kernel or a network card, transmit stamps from a
 * daemon that may read another clock, so a few microseconds of disorder are
 * honest.  They lengthen the round trip by as much, which the estimator weighs.
 */
#define ORDER_SLACK_NS	20000

/* Leap smearing servers have been seen to state a reference time up to now */
#define REFTIME_SLACK	(1ULL << 32)	/* 1 s in 2^-32 s */

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static void put64(uint8_t *p, uint64_t v)
{
	int i;

	for (i = 7; i >= 0; i--) {
		p[i] = (uint8_t)v;
		v >>= 8;
	}
}

void ntp_request_encode(uint8_t *buf, uint64_t cookie)
{
	memset(buf, 0, NTP_PACKET_LEN);
	buf[0] = NTP_LEAP_NONE << 6 | NTP_VERSION << 3 | MODE_CLIENT;
	buf[3] = 32;
	put64(buf + OFF_TRANSMIT, cookie);
}

int64_t ntp_stamp_to_unix_ns(uint64_t stamp, int64_t now_sec)
{
	uint64_t frac = stamp & 0xffffffff;
	uint32_t ntp_now;
	int64_t sec;

	if (now_sec < NTP_ERA_PIVOT_MIN)
		now_sec = NTP_ERA_PIVOT_MIN;
	/* 2200: leaves room for 68 years around it in s64 ns (until 2262) */
	if (now_sec > 7258118400LL - (1LL << 31))
		now_sec = 7258118400LL - (1LL << 31);
	ntp_now = (uint32_t)(now_sec + NTP_UNIX_OFFSET);
	/* the difference modulo 2^32, as a signed number, is what is meant */
	sec = now_sec + (int32_t)((uint32_t)(stamp >> 32) - ntp_now);
	/* frac < 2^32: the product is below 2^62 */
	return sec * NSEC + (int64_t)((frac * NSEC + (1ULL << 31)) >> 32);
}

uint64_t ntp_short_to_ns(uint32_t v)
{
	/* v * 10^9 < 2^62 */
	return ((uint64_t)v * NSEC + 0xffff) >> 16;
}

/* Kiss codes are ASCII; anything else in there is not shown to a terminal */
static void kod_copy(char *dst, const uint8_t *refid)
{
	int i;

	for (i = 0; i < 4; i++)
		dst[i] = refid[i] > ' ' && refid[i] < 0x7f ? (char)refid[i] : '?';
	dst[4] = '\0';
}

enum ntp_verdict ntp_answer_decode(const uint8_t *buf, size_t len, uint64_t cookie,
				   int64_t now_sec, struct ntp_answer *a)
{
	uint64_t reference, receive, transmit;

	memset(a, 0, sizeof(*a));
	if (len != NTP_PACKET_LEN)
		return NTP_BAD_LENGTH;
	if ((buf[0] & 7) != MODE_SERVER)
		return NTP_BAD_MODE;
	/* a version 3 server answers version 4 requests with its own number */
	if ((buf[0] >> 3 & 7) != 3 && (buf[0] >> 3 & 7) != 4)
		return NTP_BAD_VERSION;
	if (!cookie || get64(buf + OFF_ORIGIN) != cookie)
		return NTP_BAD_ORIGIN;

	a->leap = buf[0] >> 6;
	a->version = buf[0] >> 3 & 7;
	a->stratum = buf[1];
	a->poll = (int8_t)buf[2];
	a->precision = (int8_t)buf[3];
	a->root_delay_ns = ntp_short_to_ns(get32(buf + OFF_ROOT_DELAY));
	a->root_disp_ns = ntp_short_to_ns(get32(buf + OFF_ROOT_DISP));
	memcpy(&a->refid, buf + OFF_REFID, sizeof(a->refid));
	reference = get64(buf + OFF_REFERENCE);
	receive = get64(buf + OFF_RECEIVE);
	transmit = get64(buf + OFF_TRANSMIT);

	if (!a->stratum) {
		/* stratum 0 with a code is a kiss; without one, no time */
		if (!a->refid)
			return NTP_UNSYNC;
		kod_copy(a->kod, buf + OFF_REFID);
		return NTP_KOD;
	}
	if (a->leap == NTP_LEAP_UNSYNC || a->stratum > NTP_STRATUM_MAX)
		return NTP_UNSYNC;
	if (!receive || !transmit)
		return NTP_BAD_STAMP;

	a->tb = ntp_stamp_to_unix_ns(receive, now_sec);
	a->te = ntp_stamp_to_unix_ns(transmit, now_sec);
	if (a->te < a->tb - ORDER_SLACK_NS)
		return NTP_BAD_ORDER;
	/* as a difference, so that an era in between does not matter */
	if (reference && (int64_t)(reference - transmit) > (int64_t)REFTIME_SLACK)
		return NTP_BAD_REFTIME;
	if (a->root_delay_ns / 2 + a->root_disp_ns >= MAXDISP_NS)
		return NTP_BAD_ROOT;
	return NTP_OK;
}

const char *ntp_verdict_name(enum ntp_verdict v)
{
	static const char * const names[NTP_VERDICT_NR] = {
		[NTP_OK]		= "ok",
		[NTP_KOD]		= "kiss of death",
		[NTP_BAD_LENGTH]	= "not 48 bytes long",
		[NTP_BAD_VERSION]	= "not NTP version 3 or 4",
		[NTP_BAD_MODE]		= "not a server's answer",
		[NTP_BAD_ORIGIN]	= "not the answer to our request",
		[NTP_UNSYNC]		= "server is not synchronised",
		[NTP_BAD_STAMP]		= "stamp missing",
		[NTP_BAD_ORDER]		= "sent before it was received",
		[NTP_BAD_REFTIME]	= "reference time in the future",
		[NTP_BAD_ROOT]		= "root distance of 16 s or more",
		[NTP_LOOP]		= "server is synchronised to this host",
	};

	return (unsigned int)v < NTP_VERDICT_NR ? names[v] : "?";
}

char *ntp_refid_print(uint32_t refid, uint8_t stratum, char *buf)
{
	uint8_t b[4];
	int i;

	memcpy(b, &refid, sizeof(b));
	if (stratum > 1) {
		snprintf(buf, 16, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
		return buf;
	}
	for (i = 0; i < 4 && b[i]; i++)
		buf[i] = b[i] > ' ' && b[i] < 0x7f ? (char)b[i] : '?';
	buf[i] = '\0';
	return buf;
}
