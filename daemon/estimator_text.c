// SPDX-License-Identifier: GPL-2.0-only
/* Names of the estimator's states and events, for logs and output. */
#include <stdio.h>

#include "estimator.h"

const char *ffe_status_name(enum ffe_status status)
{
	switch (status) {
	case FFE_UNSYNC:	return "unsync";
	case FFE_WARMUP:	return "warmup";
	case FFE_SYNC:		return "sync";
	case FFE_SUSPECT:	return "suspect";
	case FFE_HOLDOVER:	return "holdover";
	}
	return "?";
}

const char *ffe_reject_name(enum ffe_reject reject)
{
	switch (reject) {
	case FFE_REJ_NONE:		return "none";
	case FFE_REJ_COUNTER:		return "answer before request, or later than 16 s";
	case FFE_REJ_SERVER_ORDER:	return "server sent before it received";
	case FFE_REJ_RTT:		return "server held the packet longer than the exchange took";
	case FFE_REJ_RANGE:		return "server time out of range";
	case FFE_REJ_UNSYNC:		return "server not synchronised";
	case FFE_REJ_BACKWARD:		return "older than the exchange before";
	}
	return "?";
}

char *ffe_events_print(uint32_t events, char *buf, size_t len)
{
	static const char *const names[] = {
		"rejected", "first", "downshift", "upshift", "asym-held",
		"suspect", "jump", "restart", "congested", "holdover-end",
		"outlier", "short", "moved", "disagree",
	};
	size_t at = 0;
	unsigned int i;

	if (!len)
		return buf;

	buf[0] = '\0';
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int n;

		if (!(events & (1u << i)))
			continue;
		n = snprintf(buf + at, len - at, "%s%s", at ? "," : "", names[i]);
		if (n < 0 || (size_t)n >= len - at)
			break;
		at += (size_t)n;
	}
	return buf;
}
