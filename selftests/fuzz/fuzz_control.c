// SPDX-License-Identifier: GPL-2.0-only
/* Fuzzer: a request on the control socket. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control_request.h"

#define CHECK(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request a, b;
	/* of its exact size: a byte read beyond it is found */
	char *line = malloc(size ? size : 1);
	const char *why;

	CHECK(line);
	memcpy(line, data, size);
	why = control_parse(&a, line, size);
	CHECK(control_parse(&b, line, size) == why);
	if (!why) {
		CHECK(size <= CONTROL_LINE_MAX);
		CHECK(!memcmp(&a, &b, sizeof(a)));
		CHECK(a.command <= CONTROL_RELOAD);
		CHECK(strlen(control_command_name(a.command)) > 0);
		CHECK(a.count >= 1 && a.count <= CONTROL_STAMPS_MAX);
	}
	free(line);
	return 0;
}
