// SPDX-License-Identifier: GPL-2.0-only
/* Fuzzer: a leap-seconds.list.  Input: 8 bytes of date, then the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tai.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t utc;
	char *text;
	int v;

	if (size < sizeof(utc))
		return 0;
	memcpy(&utc, data, sizeof(utc));
	size -= sizeof(utc);
	text = malloc(size ? size : 1);
	if (!text)
		return 0;
	memcpy(text, data + sizeof(utc), size);
	v = tai_parse(text, size, utc);
	if (v < 0 || v > 1000)
		abort();
	free(text);
	return 0;
}
