// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer: a configuration file.  What is accepted is within the documented
 * ranges; what is refused is refused with a message; either way, twice the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define CHECK(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(struct config *cfg, const char *text, size_t size, char **said, size_t *len)
{
	FILE *err = open_memstream(said, len);
	int ret;

	CHECK(err);
	ret = config_parse(cfg, text, size, "f", err);
	fclose(err);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config a, b;
	char *text = malloc(size ? size : 1), *said, *again;
	size_t len, len2, i;
	int ret;

	CHECK(text);
	memcpy(text, data, size);
	ret = parse(&a, text, size, &said, &len);
	CHECK(parse(&b, text, size, &again, &len2) == ret);
	CHECK(len == len2 && !memcmp(said, again, len));
	CHECK(!memcmp(&a, &b, sizeof(a)));
	CHECK(!ret == !len);
	/* messages are lines of text: they may end up on a terminal */
	for (i = 0; i < len; i++)
		CHECK(said[i] == '\n' || (said[i] >= ' ' && said[i] < 0x7f));
	if (!ret) {
		CHECK(a.n_sources >= 1 && a.n_sources <= CONFIG_SOURCES_MAX);
		CHECK(a.min_sources >= 1 && a.min_sources <= a.n_sources);
		for (i = 0; i < a.n_sources; i++) {
			CHECK(memchr(a.sources[i].name, '\0', CONFIG_HOST_MAX));
			CHECK(a.sources[i].minpoll >= CONFIG_POLL_LO);
			CHECK(a.sources[i].minpoll <= a.sources[i].maxpoll);
			CHECK(a.sources[i].maxpoll <= CONFIG_POLL_HI);
		}
		CHECK(a.n_serve <= CONFIG_SERVE_MAX && a.n_access <= CONFIG_ACCESS_MAX);
		for (i = 0; i < a.n_serve; i++)
			CHECK(a.serve[i].port && (!a.serve[i].len || a.serve[i].len == 4 ||
						  a.serve[i].len == 16));
		for (i = 0; i < a.n_access; i++)
			CHECK(a.access[i].bits <= a.access[i].len * 8);
		CHECK(a.system.slew_ppm >= 1 && a.system.slew_ppm <= 5000);
		CHECK(a.rate_per_s > 0 && a.rate_burst >= 1);
		CHECK(a.shm >= -1 && a.shm <= 255);
		CHECK(!a.control[0] || a.control[0] == '/');
		CHECK(!a.state[0] || a.state[0] == '/');
		CHECK(!a.log_tracking[0] || a.log_tracking[0] == '/');
		CHECK(a.max_distance_ns >= 1000000 && a.max_distance_ns <= 16000000000);
		CHECK(!a.log_map[0] || a.log_map[0] == '/');
	}
	free(text);
	free(said);
	free(again);
	return 0;
}
