// SPDX-License-Identifier: GPL-2.0-only
/* TAI - UTC: see tai.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#include "ntp_packet.h"
#include "tai.h"

#define LIST_PATH	"/usr/share/zoneinfo/leap-seconds.list"
#define LIST_SIZE_MAX	65536	/* it has 5 kB */

/* What the kernel and the UAPI take as TAI offset; it has been 10 to 37 s */
#define TAI_MAX		1000

int tai_parse(const char *text, size_t len, int64_t utc_sec)
{
	int64_t expires = 0, sec;
	int offset = 0, n;
	char line[128];

	while (len) {
		const char *nl = memchr(text, '\n', len);
		size_t whole = nl ? (size_t)(nl - text) : len;
		size_t part = whole < sizeof(line) ? whole : sizeof(line) - 1;
		unsigned long long v;

		memcpy(line, text, part);
		line[part] = '\0';
		/* '#@ EXPIRY', then 'SINCE OFFSET # date'; seconds since 1900 */
		if (sscanf(line, "#@ %11llu", &v) == 1) {
			expires = (int64_t)v - NTP_UNIX_OFFSET;
		} else if (line[0] != '#' && sscanf(line, "%11llu %4d", &v, &n) == 2) {
			sec = (int64_t)v - NTP_UNIX_OFFSET;
			if (n < 0 || n > TAI_MAX)
				return 0;
			if (sec <= utc_sec)
				offset = n;
		}
		whole += nl ? 1 : 0;
		text += whole;
		len -= whole;
	}
	return utc_sec < expires ? offset : 0;
}

int tai_offset(int64_t utc_sec)
{
	struct timex tx = { .modes = 0 };
	char *text;
	int offset = 0;
	size_t n;
	FILE *f;

	if (adjtimex(&tx) >= 0 && tx.tai > 0 && tx.tai <= TAI_MAX)
		return tx.tai;
	f = fopen(LIST_PATH, "re");
	if (!f)
		return 0;
	text = malloc(LIST_SIZE_MAX);
	if (text) {
		n = fread(text, 1, LIST_SIZE_MAX, f);
		offset = tai_parse(text, n, utc_sec);
	}
	free(text);
	fclose(f);
	return offset;
}
