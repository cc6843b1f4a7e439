// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stamp and map logs: what ffclockd --replay and the traces' scorer read.
 *
 * stamps:	Ta Tb Te Tf	raw reading, s, s, raw reading
 * map:		raw_now T0 C0 rate
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "ntp_packet.h"
#include "output.h"
#include "replay.h"

#define NSEC	INT64_C(1000000000)

struct output_log {
	struct output	base;
	FILE		*stamps[CONFIG_SOURCES_MAX];
	FILE		*map;
};

static FILE *open_log(const char *path)
{
	FILE *f = fopen(path, "ae");

	if (!f) {
		log_err("%s: %s", path, strerror(errno));
		return NULL;
	}
	/* whole lines, so that somebody can follow the file */
	setvbuf(f, NULL, _IOLBF, 0);
	return f;
}

static void log_stamp(struct output *o, unsigned int server, const struct ffe_stamp *s)
{
	struct output_log *l = (struct output_log *)o;
	FILE *f = l->stamps[server];

	/* the format has no times before 1970, and the estimator takes none */
	if (!f || s->tb < 0 || s->te < 0)
		return;
	fprintf(f, "%" PRIu64 " %" PRId64 ".%09" PRId64 " %" PRId64 ".%09" PRId64 " %" PRIu64 "\n",
		s->ta, s->tb / NSEC, s->tb % NSEC, s->te / NSEC, s->te % NSEC, s->tf);
}

static int log_update(struct output *o, const struct output_update *u)
{
	struct output_log *l = (struct output_log *)o;

	if (l->map && u->map.status != FFE_UNSYNC)
		replay_map_line(l->map, &u->map);
	return 0;
}

static void log_note(struct output *o, const char *text)
{
	struct output_log *l = (struct output_log *)o;
	unsigned int i;

	for (i = 0; i < CONFIG_SOURCES_MAX; i++)
		if (l->stamps[i])
			fprintf(l->stamps[i], "# %s\n", text);
	if (l->map)
		fprintf(l->map, "# %s\n", text);
}

static void log_destroy(struct output *o)
{
	struct output_log *l = (struct output_log *)o;
	unsigned int i;

	for (i = 0; i < CONFIG_SOURCES_MAX; i++)
		if (l->stamps[i])
			fclose(l->stamps[i]);
	if (l->map)
		fclose(l->map);
	free(l);
}

static const struct output_ops log_ops = {
	.name		= "log",
	.update		= log_update,
	.stamp		= log_stamp,
	.note		= log_note,
	.destroy	= log_destroy,
};

/* FILE, or with several sources FILE.NAME, FILE.NAME:PORT, FILE.NAME.2 of a pool */
static void stamp_path(const struct config *cfg, unsigned int i, char *path, size_t len)
{
	const struct config_source *s = &cfg->sources[i];
	char name[CONFIG_HOST_MAX], port[8] = "", slot[12] = "";
	unsigned int j, nth = 1;

	if (cfg->n_sources == 1) {
		snprintf(path, len, "%s", cfg->log_stamps);
		return;
	}
	/* the path of a device is no folder */
	for (j = 0; s->name[j]; j++)
		name[j] = s->name[j] == '/' ? '_' : s->name[j];
	name[j] = '\0';
	if (s->kind == CONFIG_SOURCE_NTP && s->port != NTP_PORT)
		snprintf(port, sizeof(port), ":%u", s->port);
	for (j = 0; j < i; j++)
		nth += cfg->sources[j].line == s->line;
	if (nth > 1)
		snprintf(slot, sizeof(slot), ".%u", nth);
	snprintf(path, len, "%s.%s%s%s", cfg->log_stamps, name, port, slot);
}

struct output *output_log_new(const struct config *cfg, const struct counter *counter)
{
	struct output_log *l = calloc(1, sizeof(*l));
	char path[CONFIG_FILE_MAX + CONFIG_HOST_MAX + 24];
	unsigned int i;

	if (!l) {
		log_err("out of memory");
		return NULL;
	}
	l->base.ops = &log_ops;
	for (i = 0; *cfg->log_stamps && i < cfg->n_sources; i++) {
		stamp_path(cfg, i, path, sizeof(path));
		l->stamps[i] = open_log(path);
		if (!l->stamps[i])
			goto fail;
		fprintf(l->stamps[i], "# ffclockd stamps: source %s, counter %s\n"
			"# period_ns %.9f\n"
			"# Ta[raw] Tb[unix s] Te[unix s] Tf[raw]\n", cfg->sources[i].name,
			counter_name(counter), counter_period_ns(counter));
	}
	if (*cfg->log_map) {
		l->map = open_log(cfg->log_map);
		if (!l->map)
			goto fail;
		fprintf(l->map, "# ffclockd map: counter %s\n# period_ns %.9f\n"
			"# raw_now T0[raw] C0[unix s] rate[1e-9 s per count]\n",
			counter_name(counter), counter_period_ns(counter));
	}
	return &l->base;

fail:
	log_destroy(&l->base);
	return NULL;
}
