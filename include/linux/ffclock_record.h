/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * A clock in one line of text: what a host tells its guests through Xenstore.
 *
 * Pure functions without state, for the kernel and for user space alike.
 *
 *	ffclock/1 host=UUID seq=N status=N next=S stale=S utc=SEC.FRAC est=NS max=NS
 *	tai=S leap=N@SEC xen=C,P,SHIFT,E,M tsc=C,P,SHIFT,E,M crc=HEX
 *
 * in one line, one blank between two words, a newline at the end.
 *
 *   host    the host's id: 8-4-4-4-12 lowercase hexadecimal digits
 *   seq     number of the record; grows on one host
 *   status  FFCLOCK_STATUS_* of the host's clock
 *   next    when the next record is expected [s]
 *   stale   age at which this one is stale [s]; 0: 8 * next
 *   utc     UTC at the counter values below: s since 1970, and 16 hexadecimal
 *           digits of 2^-64 s; without a leap second that is still pending
 *   est     estimated error of utc [ns]
 *   max     bound of that error [ns]; 2^64 - 1: unknown
 *   tai     TAI - UTC [s]; 0: unknown
 *   leap    seconds that a pending leap second inserts (+1, -1; 0: none pending),
 *           and the first UTC second after it (0 if none)
 *   xen     the line in Xen system time, if the host knows it
 *   tsc     the line in the host's own TSC, if the host knows it: at least one
 *   crc     CRC-32 (IEEE 802.3) of all before " crc=", 8 hexadecimal digits
 *
 * A line is C, counter value at utc (decimal); P, seconds per count in units of
 * 2^-(64 + SHIFT) s (hexadecimal); SHIFT; E and M, estimated error and bound of
 * the error of P in the same unit (hexadecimal).
 *
 * Growth: later versions of format 1 may add words KEY=VALUE before crc, which a
 * reader skips; whatever else changes makes it ffclock/2.
 */
#ifndef _LINUX_FFCLOCK_RECORD_H
#define _LINUX_FFCLOCK_RECORD_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <stdio.h>
#include <string.h>
#endif
#include <linux/ffclock_math.h>

/*
 * The longest that ffclock_record_format() writes: 20 digits for each of the 11
 * decimal and 16 for the 8 hexadecimal numbers, 36 for the id, some 100 for the
 * words: below 500.  The rest is for words that are still to come.
 */
#define FFCLOCK_RECORD_MAX		1024
#define FFCLOCK_RECORD_HOST		37	/* an id, and the zero */

#define FFCLOCK_RECORD_MAX_SEC		(1LL << 34)	/* the year 2514 */
#define FFCLOCK_RECORD_MAX_ERROR_NS	1000000000000000000ULL	/* 31 years */
#define FFCLOCK_RECORD_MAX_TAI		1000
#define FFCLOCK_RECORD_MAX_NEXT		131072	/* 2^17 s: NTP's longest interval */
#define FFCLOCK_RECORD_MAX_STALE	31536000 /* a year */

/**
 * struct ffclock_record_line - the clock in terms of one counter
 * @valid: the host knows it
 * @shift: unit of the periods is 2^-(64 + @shift) s
 * @counter: counter value at the record's time
 * @period: seconds per count
 * @esterror: estimated error of @period
 * @maxerror: bound of the error of @period
 */
struct ffclock_record_line {
	bool	valid;
	__u32	shift;
	__u64	counter;
	__u64	period;
	__u64	esterror;
	__u64	maxerror;
};

/**
 * struct ffclock_record - a record, unpacked; fields as described above
 * @host: zero-terminated
 * @seq: number
 * @status: FFCLOCK_STATUS_*
 * @next_update_sec: next
 * @stale_sec: stale
 * @time: utc
 * @esterror_ns: est
 * @maxerror_ns: max
 * @tai_offset_sec: tai
 * @leap_change: leap
 * @leap_utc_sec: leap
 * @xen: line in Xen system time: ns since the hypervisor was started
 * @tsc: line in the host's TSC
 */
struct ffclock_record {
	char				host[FFCLOCK_RECORD_HOST];
	__u64				seq;
	__u32				status;
	__u32				next_update_sec;
	__u32				stale_sec;
	struct ffclock_time		time;
	__u64				esterror_ns;
	__u64				maxerror_ns;
	__s32				tai_offset_sec;
	__s32				leap_change;
	__u64				leap_utc_sec;
	struct ffclock_record_line	xen;
	struct ffclock_record_line	tsc;
};

/* CRC-32, reflected, bit by bit: a record is too short for tables to pay */
static inline __u32 ffclock_record_crc(const char *text, size_t len)
{
	__u32 crc = ~0U;
	int bit;

	while (len--) {
		crc ^= (unsigned char)*text++;
		for (bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0xedb88320U : crc >> 1;
	}
	return ~crc;
}

/* Parsing ------------------------------------------------------------------- */

/**
 * struct ffclock_record_text - what is still to be parsed
 * @p: the next character
 * @end: behind the last one
 */
struct ffclock_record_text {
	const char *p;
	const char *end;
};

/* The very word @s comes next: skip it */
static inline bool ffclock_record_word(struct ffclock_record_text *t, const char *s)
{
	size_t len = strlen(s);

	if ((size_t)(t->end - t->p) < len || memcmp(t->p, s, len))
		return false;
	t->p += len;
	return true;
}

/*
 * A decimal number of at most @max: digits only, no leading zero, no sign.  One
 * number has one spelling.
 */
static inline bool ffclock_record_dec(struct ffclock_record_text *t, __u64 max, __u64 *v)
{
	const char *begin = t->p;
	__u64 n = 0;
	int digit;

	while (t->p < t->end && *t->p >= '0' && *t->p <= '9') {
		digit = *t->p - '0';
		if (n > (~0ULL - digit) / 10)
			return false;
		n = n * 10 + digit;
		t->p++;
	}
	if (t->p == begin || (*begin == '0' && t->p - begin > 1) || n > max)
		return false;
	*v = n;
	return true;
}

/* Exactly @digits lowercase hexadecimal digits, 1..16; 0: 1..16, no leading zero */
static inline bool ffclock_record_hex(struct ffclock_record_text *t, int digits, __u64 *v)
{
	const char *begin = t->p;
	__u64 n = 0;
	int count;

	while (t->p < t->end && t->p - begin < 16 && (!digits || t->p - begin < digits)) {
		char c = *t->p;

		if (c >= '0' && c <= '9')
			n = n << 4 | (__u64)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (__u64)(c - 'a' + 10);
		else
			break;
		t->p++;
	}
	count = t->p - begin;
	if (digits ? count != digits : !count || (*begin == '0' && count > 1))
		return false;
	*v = n;
	return true;
}

/* 8-4-4-4-12 hexadecimal digits */
static inline bool ffclock_record_uuid(struct ffclock_record_text *t, char *host)
{
	static const int group[] = { 8, 4, 4, 4, 12 };
	const char *begin = t->p;
	__u64 v;
	int i;

	for (i = 0; i < 5; i++)
		if ((i && !ffclock_record_word(t, "-")) || !ffclock_record_hex(t, group[i], &v))
			return false;
	memcpy(host, begin, FFCLOCK_RECORD_HOST - 1);
	host[FFCLOCK_RECORD_HOST - 1] = '\0';
	return true;
}

static inline bool ffclock_record_line(struct ffclock_record_text *t,
				       struct ffclock_record_line *l)
{
	__u64 shift;

	if (!ffclock_record_dec(t, ~0ULL, &l->counter) || !ffclock_record_word(t, ",") ||
	    !ffclock_record_hex(t, 0, &l->period) || !ffclock_record_word(t, ",") ||
	    !ffclock_record_dec(t, FFCLOCK_MAX_SHIFT, &shift) || !ffclock_record_word(t, ",") ||
	    !ffclock_record_hex(t, 0, &l->esterror) || !ffclock_record_word(t, ",") ||
	    !ffclock_record_hex(t, 0, &l->maxerror))
		return false;
	l->shift = (__u32)shift;
	if (!ffclock_period_valid(l->period, l->shift) || l->esterror > l->period ||
	    l->maxerror > l->period)
		return false;
	l->valid = true;
	return true;
}

/* An error in ns: at most FFCLOCK_RECORD_MAX_ERROR_NS, or unknown */
static inline bool ffclock_record_error(struct ffclock_record_text *t, __u64 *v)
{
	return ffclock_record_dec(t, ~0ULL, v) &&
	       (*v <= FFCLOCK_RECORD_MAX_ERROR_NS || *v == FFCLOCK_BOUND_UNKNOWN);
}

/* leap=0@0, leap=1@SEC or leap=-1@SEC */
static inline bool ffclock_record_leap(struct ffclock_record_text *t, struct ffclock_record *r)
{
	__u64 sec;

	if (ffclock_record_word(t, "0@0"))
		return true;
	if (ffclock_record_word(t, "-1@"))
		r->leap_change = -1;
	else if (ffclock_record_word(t, "1@"))
		r->leap_change = 1;
	else
		return false;
	if (!ffclock_record_dec(t, FFCLOCK_RECORD_MAX_SEC, &sec) || !sec)
		return false;
	r->leap_utc_sec = sec;
	return true;
}

/* Words that are not known yet, up to the end: KEY=VALUE of printable characters */
static inline bool ffclock_record_unknown(struct ffclock_record_text *t)
{
	while (t->p < t->end) {
		const char *key;

		if (!ffclock_record_word(t, " "))
			return false;
		key = t->p;
		while (t->p < t->end && ((*t->p >= 'a' && *t->p <= 'z') || *t->p == '_'))
			t->p++;
		if (t->p == key || !ffclock_record_word(t, "="))
			return false;
		while (t->p < t->end && *t->p > ' ' && *t->p <= '~')
			t->p++;
	}
	return true;
}

/* What lies between "ffclock/1" and " crc=" */
static inline bool ffclock_record_fields(struct ffclock_record_text *t, struct ffclock_record *r)
{
	__u64 status, next, stale, sec, tai;

	if (!ffclock_record_word(t, " host=") || !ffclock_record_uuid(t, r->host) ||
	    !ffclock_record_word(t, " seq=") || !ffclock_record_dec(t, ~0ULL, &r->seq) ||
	    !ffclock_record_word(t, " status=") ||
	    !ffclock_record_dec(t, FFCLOCK_STATUS_UNRELIABLE, &status) ||
	    !ffclock_record_word(t, " next=") ||
	    !ffclock_record_dec(t, FFCLOCK_RECORD_MAX_NEXT, &next) || !next ||
	    !ffclock_record_word(t, " stale=") ||
	    !ffclock_record_dec(t, FFCLOCK_RECORD_MAX_STALE, &stale) ||
	    !ffclock_record_word(t, " utc=") ||
	    !ffclock_record_dec(t, FFCLOCK_RECORD_MAX_SEC, &sec) ||
	    !ffclock_record_word(t, ".") || !ffclock_record_hex(t, 16, &r->time.frac) ||
	    !ffclock_record_word(t, " est=") || !ffclock_record_error(t, &r->esterror_ns) ||
	    !ffclock_record_word(t, " max=") || !ffclock_record_error(t, &r->maxerror_ns) ||
	    !ffclock_record_word(t, " tai=") ||
	    !ffclock_record_dec(t, FFCLOCK_RECORD_MAX_TAI, &tai) ||
	    !ffclock_record_word(t, " leap=") || !ffclock_record_leap(t, r))
		return false;
	r->status = (__u32)status;
	r->next_update_sec = (__u32)next;
	r->stale_sec = (__u32)stale;
	r->time.sec = (__s64)sec;
	r->tai_offset_sec = (__s32)tai;
	if (ffclock_record_word(t, " xen=") && !ffclock_record_line(t, &r->xen))
		return false;
	if (ffclock_record_word(t, " tsc=") && !ffclock_record_line(t, &r->tsc))
		return false;
	return (r->xen.valid || r->tsc.valid) && ffclock_record_unknown(t);
}

/**
 * ffclock_record_parse() - read a record
 * @text: any bytes
 * @len: how many
 * @r: where it goes; undefined after an error
 *
 * Every number is checked for its range; whether the clock is good is told by
 * status, errors and age, which are the caller's to judge.
 *
 * Context: any.
 * Return: 0; -EMSGSIZE: too long; -EPROTONOSUPPORT: another version; -EBADMSG:
 * the checksum is wrong or missing; -EPROTO: something else is
 */
static inline int ffclock_record_parse(const char *text, size_t len, struct ffclock_record *r)
{
	/* " crc=", 8 digits, newline */
	const size_t tail = 5 + 8 + 1;
	struct ffclock_record_text t;
	__u64 crc;

	memset(r, 0, sizeof(*r));
	if (len > FFCLOCK_RECORD_MAX)
		return -EMSGSIZE;
	t.p = text;
	t.end = text + len;
	if (!ffclock_record_word(&t, "ffclock/"))
		return -EPROTO;
	if (!ffclock_record_word(&t, "1 "))
		return -EPROTONOSUPPORT;
	t.p--;			/* the blank belongs to the next word */
	if ((size_t)(t.end - t.p) < tail)
		return -EBADMSG;
	t.p = t.end - tail;
	if (!ffclock_record_word(&t, " crc=") || !ffclock_record_hex(&t, 8, &crc) ||
	    !ffclock_record_word(&t, "\n") || crc != ffclock_record_crc(text, len - tail))
		return -EBADMSG;
	t.p = text + strlen("ffclock/1");
	t.end = text + len - tail;
	return ffclock_record_fields(&t, r) ? 0 : -EPROTO;
}

/* Writing ------------------------------------------------------------------- */

static inline int ffclock_record_put_line(char *buf, size_t size, const char *name,
					  const struct ffclock_record_line *l)
{
	if (!l->valid)
		return 0;
	return snprintf(buf, size, " %s=%llu,%llx,%u,%llx,%llx", name,
			(unsigned long long)l->counter, (unsigned long long)l->period, l->shift,
			(unsigned long long)l->esterror, (unsigned long long)l->maxerror);
}

/**
 * ffclock_record_format() - write a record
 * @buf: where to; FFCLOCK_RECORD_MAX bytes always suffice
 * @size: bytes there
 * @r: the record, in the ranges that ffclock_record_parse() accepts
 *
 * Context: any.
 * Return: bytes written, without the zero behind them; -EMSGSIZE if they do not
 * fit; -EPROTO if @r is one that ffclock_record_parse() would refuse
 */
static inline int ffclock_record_format(char *buf, size_t size, const struct ffclock_record *r)
{
	struct ffclock_record check;
	size_t len;
	int ret;

	ret = snprintf(buf, size, "ffclock/1 host=%s seq=%llu status=%u next=%u stale=%u",
		       r->host, (unsigned long long)r->seq, r->status, r->next_update_sec,
		       r->stale_sec);
	if (ret < 0 || (size_t)ret >= size)
		return -EMSGSIZE;
	len = (size_t)ret;
	ret = snprintf(buf + len, size - len,
		       " utc=%lld.%016llx est=%llu max=%llu tai=%d leap=%d@%llu",
		       (long long)r->time.sec, (unsigned long long)r->time.frac,
		       (unsigned long long)r->esterror_ns, (unsigned long long)r->maxerror_ns,
		       r->tai_offset_sec, r->leap_change, (unsigned long long)r->leap_utc_sec);
	if (ret < 0 || (size_t)ret >= size - len)
		return -EMSGSIZE;
	len += (size_t)ret;
	ret = ffclock_record_put_line(buf + len, size - len, "xen", &r->xen);
	if (ret < 0 || (size_t)ret >= size - len)
		return -EMSGSIZE;
	len += (size_t)ret;
	ret = ffclock_record_put_line(buf + len, size - len, "tsc", &r->tsc);
	if (ret < 0 || (size_t)ret >= size - len)
		return -EMSGSIZE;
	len += (size_t)ret;
	ret = snprintf(buf + len, size - len, " crc=%08x\n", ffclock_record_crc(buf, len));
	if (ret < 0 || (size_t)ret >= size - len)
		return -EMSGSIZE;
	len += (size_t)ret;
	/* what is written can be read */
	return ffclock_record_parse(buf, len, &check) ? -EPROTO : (int)len;
}

#endif /* _LINUX_FFCLOCK_RECORD_H */
