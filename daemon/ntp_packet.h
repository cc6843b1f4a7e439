/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NTP packets (RFC 5905): encode a request, decode and judge an answer.
 *
 * Pure: no I/O, no clock, no state.  Anything may be in an answer.
 */
#ifndef FFCLOCKD_NTP_PACKET_H
#define FFCLOCKD_NTP_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define NTP_PACKET_LEN	48	/* header without extensions or MAC */
#define NTP_PORT	123
#define NTP_VERSION	4

/* RFC 5905 figure 9: leap indicator */
#define NTP_LEAP_NONE	0
#define NTP_LEAP_ADD	1	/* last minute of the month has 61 s */
#define NTP_LEAP_DEL	2	/* ... 59 s */
#define NTP_LEAP_UNSYNC	3

#define NTP_STRATUM_MAX	15	/* 16 and above: unsynchronised */

/* Seconds from the NTP era 0 (1900) to the Unix epoch: 70 years, 17 leap days */
#define NTP_UNIX_OFFSET	2208988800LL

/*
 * 2026-01-01 00:00:00 UTC.  Written after this, so no honest server tells an
 * earlier time; a client whose own clock starts in 1970 still picks the right
 * NTP era by it.
 */
#define NTP_ERA_PIVOT_MIN	1767225600LL

/**
 * enum ntp_verdict - what an answer is good for
 * @NTP_OK: use it
 * @NTP_KOD: kiss of death, see ntp_answer.kod; nothing else in it is valid
 * @NTP_BAD_LENGTH: not NTP_PACKET_LEN bytes: no extension was asked for
 * @NTP_BAD_VERSION: not version 3 or 4
 * @NTP_BAD_MODE: not a server's answer
 * @NTP_BAD_ORIGIN: not the answer to this request: forged, late or repeated
 * @NTP_UNSYNC: the server says it has no time (leap 3, stratum 0 or over 15)
 * @NTP_BAD_STAMP: receive or transmit stamp is zero
 * @NTP_BAD_ORDER: transmitted before it was received
 * @NTP_BAD_REFTIME: synchronised in its own future
 * @NTP_BAD_ROOT: root distance of 16 s or more
 * @NTP_LOOP: the server follows this host; for the caller to find out
 *
 * Up to and including NTP_BAD_ORIGIN anybody may have sent it: keep waiting.
 */
enum ntp_verdict {
	NTP_OK,
	NTP_KOD,
	NTP_BAD_LENGTH,
	NTP_BAD_VERSION,
	NTP_BAD_MODE,
	NTP_BAD_ORIGIN,
	NTP_UNSYNC,
	NTP_BAD_STAMP,
	NTP_BAD_ORDER,
	NTP_BAD_REFTIME,
	NTP_BAD_ROOT,
	NTP_LOOP,
	NTP_VERDICT_NR,
};

/**
 * struct ntp_answer - a server's answer, decoded
 * @tb: arrival of the request at the server [ns since the Unix epoch, UTC]
 * @te: departure of the answer, likewise
 * @root_delay_ns: round trip between the server and its reference [ns]
 * @root_disp_ns: the server's dispersion [ns]
 * @refid: as it came, network byte order: IPv4 address, hash or four letters
 * @kod: kiss code, four printable characters and a zero; "" if none
 * @leap: NTP_LEAP_*
 * @version: 3 or 4
 * @stratum: as it came
 * @poll: log2 s, as it came; with KoD RATE the interval the server wants
 * @precision: log2 s, as it came
 */
struct ntp_answer {
	int64_t		tb;
	int64_t		te;
	uint64_t	root_delay_ns;
	uint64_t	root_disp_ns;
	uint32_t	refid;
	char		kod[5];
	uint8_t		leap;
	uint8_t		version;
	uint8_t		stratum;
	int8_t		poll;
	int8_t		precision;
};

/**
 * ntp_request_encode() - a client request that tells nothing about the client
 * @buf: NTP_PACKET_LEN bytes
 * @cookie: random and nonzero; goes into the transmit stamp, the server sends
 *	it back as origin stamp
 *
 * Stamps, stratum and reference are left out and the precision is the constant
 * 32, so that neither the client's clock nor the sort of client shows.
 */
void ntp_request_encode(uint8_t *buf, uint64_t cookie);

/**
 * ntp_answer_decode() - decode and judge a datagram
 * @buf: datagram
 * @len: its length in bytes, any
 * @cookie: of the outstanding request
 * @now_sec: the present Unix time within 68 years [s]; picks the NTP era.
 *	Values before NTP_ERA_PIVOT_MIN are taken as that
 * @a: receives the fields; all zero for verdicts up to NTP_BAD_ORIGIN other
 *	than NTP_OK and NTP_KOD
 *
 * Return: what it is good for
 */
enum ntp_verdict ntp_answer_decode(const uint8_t *buf, size_t len, uint64_t cookie,
				   int64_t now_sec, struct ntp_answer *a);

/**
 * ntp_stamp_to_unix_ns() - an NTP timestamp as Unix time
 * @stamp: 32.32 seconds in an unknown era
 * @now_sec: Unix time [s]; the result lies within 2^31 s of it
 *
 * Return: ns since the Unix epoch, rounded to nearest
 */
int64_t ntp_stamp_to_unix_ns(uint64_t stamp, int64_t now_sec);

/**
 * ntp_short_to_ns() - 16.16 seconds in ns
 * @v: root delay or dispersion field
 *
 * Return: ns, rounded up; at most 65536e9
 */
uint64_t ntp_short_to_ns(uint32_t v);

/* "ok", "wrong origin (...)": for messages */
const char *ntp_verdict_name(enum ntp_verdict v);

/**
 * ntp_refid_print() - the reference id as text
 * @refid: network byte order
 * @stratum: 1: four letters; else dotted quad
 * @buf: 16 bytes
 *
 * Return: @buf
 */
char *ntp_refid_print(uint32_t refid, uint8_t stratum, char *buf);

#endif /* FFCLOCKD_NTP_PACKET_H */
