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

void config_key_systemclock(struct conffile *f)
{
	struct config *cfg = f->to;
	struct config_system *s = &cfg->system;
	long v;
	int i;

	if (f->n < 2 || (strcmp(f->word[1], "yes") && strcmp(f->word[1], "no"))) {
		conffile_complain(f, "systemclock: needs yes or no; with yes also step SECONDS, "
				"steplimit N|always, slew PPM");
		return;
	}
	s->on = !strcmp(f->word[1], "yes");
	for (i = 2; i < f->n; i += 2) {
		const char *opt = f->word[i], *arg = i + 1 < f->n ? f->word[i + 1] : NULL;

		if (!s->on) {
			conffile_complain(f, "systemclock: options belong to yes");
			return;
		}
		if (!arg) {
			conffile_complain(f, "systemclock: '%s' needs a value", conffile_show(opt));
			return;
		}
		if (!strcmp(opt, "step")) {
			conffile_number(f, "step", arg, 0.0001, 1000, &s->step_s);
		} else if (!strcmp(opt, "slew")) {
			conffile_number(f, "slew", arg, 1, 5000, &s->slew_ppm);
		} else if (!strcmp(opt, "steplimit") && !strcmp(arg, "always")) {
			s->step_updates = -1;
		} else if (!strcmp(opt, "steplimit")) {
			if (conffile_int(f, "steplimit", arg, 0, 1000, &v))
				s->step_updates = (int)v;
		} else {
			conffile_complain(f, "systemclock: unknown option '%s'; known: step SECONDS, "
					"steplimit N|always, slew PPM", conffile_show(opt));
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

void config_key_serve(struct conffile *f)
{
	struct config_serve s = { .port = NTP_PORT };
	struct config *cfg = f->to;
	int i = 1;
	long v;

	if (f->n > i && strcmp(f->word[i], "port")) {
		s.len = (uint8_t)address(f->word[i], s.addr);
		if (!s.len && strcmp(f->word[i], "*")) {
			conffile_complain(f, "serve: '%s' is not an address, nor *",
					conffile_show(f->word[i]));
			return;
		}
		i++;
	}
	if (f->n > i) {
		if (f->n != i + 2 || strcmp(f->word[i], "port")) {
			conffile_complain(f, "serve: needs [ADDRESS|*] [port N]");
			return;
		}
		if (!conffile_int(f, "port", f->word[i + 1], 1, 65535, &v))
			return;
		s.port = (uint16_t)v;
	}
	if (cfg->n_serve == CONFIG_SERVE_MAX) {
		conffile_complain(f, "serve: more than %d", CONFIG_SERVE_MAX);
		return;
	}
	cfg->serve[cfg->n_serve++] = s;
}

/* ADDRESS, ADDRESS/BITS or all */
static void access_rule(struct conffile *f, bool allow)
{
	struct config_access a = { .allow = allow };
	struct config *cfg = f->to;
	char word[64], *slash;
	long bits;

	if (cfg->n_access + 2 > CONFIG_ACCESS_MAX) {
		conffile_complain(f, "%s: more than %d lines", f->word[0], CONFIG_ACCESS_MAX / 2);
		return;
	}
	if (!strcmp(f->word[1], "all")) {
		a.len = 4;
		cfg->access[cfg->n_access++] = a;
		a.len = 16;
		cfg->access[cfg->n_access++] = a;
		return;
	}
	if (strlen(f->word[1]) >= sizeof(word))
		goto bad;
	strcpy(word, f->word[1]);
	slash = strchr(word, '/');
	if (slash)
		*slash++ = '\0';
	a.len = (uint8_t)address(word, a.addr);
	if (!a.len)
		goto bad;
	bits = a.len * 8;
	if (slash && !conffile_int(f, f->word[0], slash, 0, a.len * 8, &bits))
		return;
	a.bits = (uint8_t)bits;
	cfg->access[cfg->n_access++] = a;
	return;

bad:
	conffile_complain(f, "%s: '%s' is not ADDRESS, ADDRESS/BITS, or all", f->word[0],
			  conffile_show(f->word[1]));
}

void config_key_allow(struct conffile *f)
{
	access_rule(f, true);
}

void config_key_deny(struct conffile *f)
{
	access_rule(f, false);
}

void config_key_ratelimit(struct conffile *f)
{
	long burst = CONFIG_RATE_BURST;
	struct config *cfg = f->to;
	double rate;

	if (f->n != 2 && f->n != 3) {
		conffile_complain(f, "ratelimit: needs RATE [BURST]: answers per second and client, "
				  "and how many at once");
		return;
	}
	if (!conffile_number(f, "ratelimit", f->word[1], 0.01, 10000, &rate) ||
	    (f->n == 3 && !conffile_int(f, "ratelimit", f->word[2], 1, 10000, &burst)))
		return;
	cfg->rate_per_s = rate;
	cfg->rate_burst = (unsigned int)burst;
}

void config_key_shm(struct conffile *f)
{
	struct config *cfg = f->to;
	long v;

	if (conffile_int(f, "shm", f->word[1], 0, 255, &v))
		cfg->shm = (int)v;
}

void config_key_sock(struct conffile *f)
{
	struct config *cfg = f->to;

	conffile_path(f, "sock", f->word[1], cfg->sock, sizeof(cfg->sock));
}

void config_key_metrics(struct conffile *f)
{
	struct config *cfg = f->to;
	long v;

	if (conffile_int(f, "metrics", f->word[1], 1, 65535, &v))
		cfg->metrics_port = (uint16_t)v;
}
