// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers of NTS key establishment.  The answer arrives in pieces, as TLS hands
 * them out: a longer beginning must never be judged differently, except that
 * "more" becomes something.
 */
#include <stdlib.h>
#include <string.h>

#include "nts_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct nts_ke_answer *a)
{
	unsigned int i;

	if (a->n_cookies > NTS_COOKIES || strlen(a->host) >= NTS_HOST_MAX)
		abort();
	for (i = 0; i < a->n_cookies; i++)
		if (!a->cookies[i].len || a->cookies[i].len % 4 ||
		    a->cookies[i].len > NTS_COOKIE_MAX)
			abort();
	if (*a->host == '-' || strpbrk(a->host, " \t\n/%\\\"'$;&|<>"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum nts_ke_verdict v, last;
	struct nts_ke_answer a;
	size_t n, step;
	uint8_t *copy;

	if (size > NTS_KE_ANSWER_MAX)
		return 0;
	/* exactly as long as the data, so that one byte further is seen */
	copy = malloc(size ? size : 1);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	last = nts_ke_answer_decode(copy, size, &a);
	check(&a);
	if (last == NTS_KE_OK && !a.n_cookies)
		abort();
	if (*nts_ke_verdict_name(last) == '?')
		abort();
	free(copy);

	step = size / 16 + 1;
	for (n = 0; n < size; n += step) {
		copy = malloc(n ? n : 1);
		if (!copy)
			return 0;
		memcpy(copy, data, n);
		v = nts_ke_answer_decode(copy, n, &a);
		check(&a);
		free(copy);
		if (v != NTS_KE_MORE && v != last)
			abort();
	}
	return 0;
}
