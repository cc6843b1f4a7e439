// SPDX-License-Identifier: GPL-2.0-only
/* Keys of the configuration about outputs: see config.h. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "ntp_packet.h"

void config_output_defaults(struct config *cfg)
{
	cfg->system.step_s = CONFIG_STEP_S;
	cfg->system.step_updates = CONFIG_STEP_UPDATES;
	cfg->system.slew_ppm = CONFIG_SLEW_PPM;
	cfg->rate_per_s = CONFIG_RATE_PER_S;
	cfg->rate_burst = CONFIG_RATE_BURST;
	cfg->shm = -1;
}

void config_key_systemclock(struct parser *p)
{
	struct config_system *s = &p->cfg->system;
	long v;
	int i;

	if (p->n < 2 || (strcmp(p->word[1], "yes") && strcmp(p->word[1], "no"))) {
		config_complain(p, "systemclock: needs yes or no; with yes also step SECONDS, "
				"steplimit N|always, slew PPM");
		return;
	}
	s->on = !strcmp(p->word[1], "yes");
	for (i = 2; i < p->n; i += 2) {
		const char *opt = p->word[i], *arg = i + 1 < p->n ? p->word[i + 1] : NULL;

		if (!s->on) {
			config_complain(p, "systemclock: options belong to yes");
			return;
		}
		if (!arg) {
			config_complain(p, "systemclock: '%s' needs a value", config_show(opt));
			return;
		}
		if (!strcmp(opt, "step")) {
			config_number(p, "step", arg, 0.0001, 1000, &s->step_s);
		} else if (!strcmp(opt, "slew")) {
			config_number(p, "slew", arg, 1, 5000, &s->slew_ppm);
		} else if (!strcmp(opt, "steplimit") && !strcmp(arg, "always")) {
			s->step_updates = -1;
		} else if (!strcmp(opt, "steplimit")) {
			if (config_int(p, "steplimit", arg, 0, 1000, &v))
				s->step_updates = (int)v;
		} else {
			config_complain(p, "systemclock: unknown option '%s'; known: step SECONDS, "
					"steplimit N|always, slew PPM", config_show(opt));
			return;
		}
	}
}

/* An address of either family.  Return: its length in bytes, 0: it is none */
static unsigned int address(const char *word, uint8_t addr[16])
{
	if (inet_pton(AF_INET, word, addr) == 1)
		return 4;
	if (inet_pton(AF_INET6, word, addr) == 1)
		return 16;
	return 0;
}

void config_key_serve(struct parser *p)
{
	struct config_serve s = { .port = NTP_PORT };
	int i = 1;
	long v;

	if (p->n > i && strcmp(p->word[i], "port")) {
		s.len = (uint8_t)address(p->word[i], s.addr);
		if (!s.len && strcmp(p->word[i], "*")) {
			config_complain(p, "serve: '%s' is not an address, nor *",
					config_show(p->word[i]));
			return;
		}
		i++;
	}
	if (p->n > i) {
		if (p->n != i + 2 || strcmp(p->word[i], "port")) {
			config_complain(p, "serve: needs [ADDRESS|*] [port N]");
			return;
		}
		if (!config_int(p, "port", p->word[i + 1], 1, 65535, &v))
			return;
		s.port = (uint16_t)v;
	}
	if (p->cfg->n_serve == CONFIG_SERVE_MAX) {
		config_complain(p, "serve: more than %d", CONFIG_SERVE_MAX);
		return;
	}
	p->cfg->serve[p->cfg->n_serve++] = s;
}

/* ADDRESS, ADDRESS/BITS or all */
static void access_rule(struct parser *p, bool allow)
{
	struct config_access a = { .allow = allow };
	struct config *cfg = p->cfg;
	char word[64], *slash;
	long bits;

	if (!config_one_value(p, "ADDRESS, ADDRESS/BITS, or all"))
		return;
	if (cfg->n_access + 2 > CONFIG_ACCESS_MAX) {
		config_complain(p, "%s: more than %d lines", p->word[0], CONFIG_ACCESS_MAX / 2);
		return;
	}
	if (!strcmp(p->word[1], "all")) {
		a.len = 4;
		cfg->access[cfg->n_access++] = a;
		a.len = 16;
		cfg->access[cfg->n_access++] = a;
		return;
	}
	if (strlen(p->word[1]) >= sizeof(word))
		goto bad;
	strcpy(word, p->word[1]);
	slash = strchr(word, '/');
	if (slash)
		*slash++ = '\0';
	a.len = (uint8_t)address(word, a.addr);
	if (!a.len)
		goto bad;
	bits = a.len * 8;
	if (slash && !config_int(p, p->word[0], slash, 0, a.len * 8, &bits))
		return;
	a.bits = (uint8_t)bits;
	cfg->access[cfg->n_access++] = a;
	return;

bad:
	config_complain(p, "%s: '%s' is not ADDRESS, ADDRESS/BITS, or all", p->word[0],
			config_show(p->word[1]));
}

void config_key_allow(struct parser *p)
{
	access_rule(p, true);
}

void config_key_deny(struct parser *p)
{
	access_rule(p, false);
}

void config_key_ratelimit(struct parser *p)
{
	long burst = CONFIG_RATE_BURST;
	double rate;

	if (p->n != 2 && p->n != 3) {
		config_complain(p, "ratelimit: needs RATE [BURST]: answers per second and client, "
				"and how many at once");
		return;
	}
	if (!config_number(p, "ratelimit", p->word[1], 0.01, 10000, &rate) ||
	    (p->n == 3 && !config_int(p, "ratelimit", p->word[2], 1, 10000, &burst)))
		return;
	p->cfg->rate_per_s = rate;
	p->cfg->rate_burst = (unsigned int)burst;
}

void config_key_shm(struct parser *p)
{
	long v;

	if (config_one_value(p, "a unit from 0 to 255") &&
	    config_int(p, "shm", p->word[1], 0, 255, &v))
		p->cfg->shm = (int)v;
}

void config_key_sock(struct parser *p)
{
	if (config_one_value(p, "an absolute path"))
		config_path(p, p->word[1], p->cfg->sock, sizeof(p->cfg->sock));
}

void config_key_metrics(struct parser *p)
{
	long v;

	if (config_one_value(p, "a TCP port of the loopback") &&
	    config_int(p, "metrics", p->word[1], 1, 65535, &v))
		p->cfg->metrics_port = (uint16_t)v;
}
