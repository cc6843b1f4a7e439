// SPDX-License-Identifier: GPL-2.0-only
/* Keys of the configuration about how the daemon runs: see config.h. */
#include <string.h>

#include "config_internal.h"

/* A path, or "none" */
static bool path_or_none(struct parser *p, char *dst, size_t size)
{
	if (!config_one_value(p, "an absolute path, or none"))
		return false;
	if (!strcmp(p->word[1], "none")) {
		*dst = '\0';
		return false;
	}
	return config_path(p, p->word[1], dst, size);
}

void config_key_control(struct parser *p)
{
	p->cfg->control_set = path_or_none(p, p->cfg->control, sizeof(p->cfg->control));
}

void config_key_state(struct parser *p)
{
	p->cfg->state_set = path_or_none(p, p->cfg->state, sizeof(p->cfg->state));
}

void config_key_sandbox(struct parser *p)
{
	if (!config_one_value(p, "yes, no"))
		return;
	if (!strcmp(p->word[1], "yes"))
		p->cfg->sandbox = true;
	else if (!strcmp(p->word[1], "no"))
		p->cfg->sandbox = false;
	else
		config_complain(p, "sandbox: '%s' is not one of: yes, no",
				config_show(p->word[1]));
}
