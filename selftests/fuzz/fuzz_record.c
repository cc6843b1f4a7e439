// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer: what a guest finds in Xenstore as Dom0's clock.
 *
 * Input: the record without " crc=..." and newline, which are put behind it if
 * the first byte is even; else the record as it is.  What is accepted must keep
 * every promise that ffclock_record.h makes, and must come back the same when
 * it is written and read again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/ffclock_record.h>

#define CHECK(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct ffclock_record_line *l)
{
	if (!l->valid)
		return;
	CHECK(ffclock_period_valid(l->period, l->shift));
	CHECK(l->esterror <= l->period && l->maxerror <= l->period);
}

static void check(const struct ffclock_record *r)
{
	char text[FFCLOCK_RECORD_MAX];
	struct ffclock_record again;
	int len;

	CHECK(strlen(r->host) == FFCLOCK_RECORD_HOST - 1);
	CHECK(r->status <= FFCLOCK_STATUS_UNRELIABLE);
	CHECK(r->next_update_sec && r->next_update_sec <= FFCLOCK_RECORD_MAX_NEXT);
	CHECK(r->stale_sec <= FFCLOCK_RECORD_MAX_STALE);
	CHECK(r->time.sec >= 0 && r->time.sec <= FFCLOCK_RECORD_MAX_SEC);
	CHECK(r->tai_offset_sec >= 0 && r->tai_offset_sec <= FFCLOCK_RECORD_MAX_TAI);
	CHECK(r->leap_change >= -1 && r->leap_change <= 1);
	CHECK(!r->leap_change == !r->leap_utc_sec);
	CHECK(r->xen.valid || r->tsc.valid);
	check_line(&r->xen);
	check_line(&r->tsc);
	len = ffclock_record_format(text, sizeof(text), r);
	CHECK(len > 0);
	CHECK(!ffclock_record_parse(text, (size_t)len, &again));
	CHECK(!memcmp(&again, r, sizeof(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char tail[16] = "";
	struct ffclock_record r;
	char *text;
	size_t len;
	int ret;

	if (!size)
		return 0;
	len = size - 1;
	if (!(data[0] & 1))
		snprintf(tail, sizeof(tail), " crc=%08x\n",
			 ffclock_record_crc((const char *)data + 1, len));
	/* of exactly its length, so that ASan sees the end */
	text = malloc(len + strlen(tail) ? len + strlen(tail) : 1);
	CHECK(text);
	memcpy(text, data + 1, len);
	memcpy(text + len, tail, strlen(tail));
	ret = ffclock_record_parse(text, len + strlen(tail), &r);
	free(text);
	CHECK(!ret || ret == -EMSGSIZE || ret == -EPROTO || ret == -EPROTONOSUPPORT ||
	      ret == -EBADMSG);
	if (!ret)
		check(&r);
	return 0;
}
