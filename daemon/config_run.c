// SPDX-License-Identifier: GPL-2.0-only
/* Keys of the configuration about how the daemon runs: see config.h. */
#include "config_internal.h"

void config_key_control(struct conffile *f)
{
	struct config *cfg = f->to;

	cfg->control_set = conffile_path_or_none(f, cfg->control, sizeof(cfg->control));
}

void config_key_state(struct conffile *f)
{
	struct config *cfg = f->to;

	cfg->state_set = conffile_path_or_none(f, cfg->state, sizeof(cfg->state));
}

void config_key_sandbox(struct conffile *f)
{
	struct config *cfg = f->to;
	int v = conffile_choose(f);

	if (v >= 0)
		cfg->sandbox = v == 0;
}
