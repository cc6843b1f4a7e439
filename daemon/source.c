// SPDX-License-Identifier: GPL-2.0-only
/* The sorts of sources: see source.h. */
#include <stddef.h>

#include "log.h"
#include "source.h"

typedef struct source *(*source_maker)(const struct config_source *cfg, struct counter *counter,
				       struct loop *loop, const struct source_sink *sink);

static const source_maker makers[] = {
	[CONFIG_SOURCE_NTP]	= source_ntp_new,
	[CONFIG_SOURCE_PHC]	= source_phc_new,
	[CONFIG_SOURCE_VMCLOCK]	= source_vmclock_new,
	[CONFIG_SOURCE_PPS]	= source_pps_new,
	[CONFIG_SOURCE_XENSTORE] = source_xenstore_new,
};

struct source *source_new(const struct config_source *cfg, struct counter *counter,
			  struct loop *loop, const struct source_sink *sink)
{
	struct source *s = makers[cfg->kind](cfg, counter, loop, sink);

	if (!s)
		log_err("cannot set up source %s", cfg->name);
	return s;
}
