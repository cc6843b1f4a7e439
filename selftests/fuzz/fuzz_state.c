// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer: a state file.  What is accepted is within its ranges, and is the same
 * after having been written and read again.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "state.h"

#define CHECK(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* state.c asks these about the machine; parsing does not */
int counter_mark(struct counter *c, struct counter_mark *m)
{
	(void)c;
	(void)m;
	return -1;
}

const char *counter_name(const struct counter *c)
{
	(void)c;
	return "";
}

int counter_device_fd(const struct counter *c)
{
	(void)c;
	return -1;
}

int64_t loop_now(void)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_source cfg = { .name = "a", .port = 123 };
	static struct state a, b;
	char text[STATE_SIZE_MAX];
	char *in = malloc(size ? size : 1);
	struct ffe_prior p;
	size_t i;

	CHECK(in);
	memcpy(in, data, size);
	if (!state_parse(&a, in, size)) {
		CHECK(a.n <= CONFIG_SOURCES_MAX);
		for (i = 0; i < a.n; i++)
			CHECK(a.source[i].min_rtt_ns >= 0 && isfinite(a.source[i].min_rtt_ns));
		if (state_prior(&a, &cfg, INT64_MAX / 2, &p))
			CHECK(p.period_ns >= 0.01 && p.period_sigma >= 0 && p.period_sigma <= 1e-4);
		CHECK(!state_parse(&b, text, state_format(&a, text)));
		CHECK(a.n == b.n && a.epoch == b.epoch && a.migrations == b.migrations);
		CHECK(!strcmp(a.boot_id, b.boot_id));
	}
	free(in);
	return 0;
}
