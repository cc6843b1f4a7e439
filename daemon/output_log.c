// SPDX-License-Identifier: GPL-2.0-only
/*
 * Logs: stamps and maps, which ffclockd --replay and the traces' scorer read, and
 * tracking, which ffclock plot draws.
 *
 * stamps:	Ta Tb Te Tf	raw reading, s, s, raw reading
 * map:		raw_now T0 C0 rate
 * tracking:	S time source rtt_ns offset_ns		a stamp, against the clock so far
 *		U time bound_ns error_ns rate_ppm status	an update
 *		E time text				something happened
 *
 * Times in tracking are UTC [s since 1970] by the clock itself; an E line's is
 * CLOCK_REALTIME, since the clock may be what is lost.
 */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "ntp_packet.h"
#include "output.h"
#include "replay.h"

#define NSEC	INT64_C(1000000000)

struct output_log {
	struct output	base;
	FILE		*stamps[CONFIG_SOURCES_MAX];
	FILE		*map;
	FILE		*tracking;
	struct counter	*counter;
	bool		have_last;
	struct ffe_map	last;
	struct source_name {
		char	text[CONFIG_HOST_MAX];
	} source[CONFIG_SOURCES_MAX];
};

/* @user: who will have to open it again after a rotation, "" or unknown: we */
static FILE *open_log(const char *path, const char *user)
{
	struct passwd *pw = *user && !geteuid() ? getpwnam(user) : NULL;
	FILE *f = fopen(path, "ae");

	if (!f) {
		log_err("%s: %s", path, strerror(errno));
		return NULL;
	}
	if (pw && fchown(fileno(f), pw->pw_uid, pw->pw_gid))
		log_warn("%s: cannot give it to %s: %s", path, user, strerror(errno));
	/* whole lines, so that somebody can follow the file */
	setvbuf(f, NULL, _IOLBF, 0);
	return f;
}

static void put_time(FILE *f, char what, int64_t ns)
{
	fprintf(f, "%c %" PRId64 ".%09" PRId64 " ", what, ns / NSEC, ns % NSEC);
}

static void track_stamp(struct output_log *l, unsigned int server, const struct ffe_stamp *s)
{
	double offset, rtt;

	if (!l->have_last || s->te < 0)
		return;
	output_compare(&l->last, s, &offset, &rtt);
	put_time(l->tracking, 'S', s->te);
	fprintf(l->tracking, "%s %.1f %.1f\n", l->source[server].text, rtt, offset);
}

static void track_update(struct output_log *l, const struct ffe_map *map)
{
	put_time(l->tracking, 'U', map->time_ns);
	fprintf(l->tracking, "%.1f %.1f %.6f %s\n", map->bound_ns, map->est_error_ns,
		(map->period_ns / counter_period_ns(l->counter) - 1) * 1e6,
		ffe_status_name(map->status));
}

static void log_stamp(struct output *o, unsigned int server, const struct ffe_stamp *s)
{
	struct output_log *l = (struct output_log *)o;
	FILE *f = l->stamps[server];

	if (l->tracking)
		track_stamp(l, server, s);
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
	l->last = u->map;
	l->have_last = u->map.status != FFE_UNSYNC;
	if (l->tracking && l->have_last)
		track_update(l, &u->map);
	return 0;
}

static void log_note(struct output *o, const char *text)
{
	struct output_log *l = (struct output_log *)o;
	struct timespec now;
	unsigned int i;

	if (l->tracking && !clock_gettime(CLOCK_REALTIME, &now)) {
		put_time(l->tracking, 'E', now.tv_sec * NSEC + now.tv_nsec);
		fprintf(l->tracking, "%s\n", text);
	}
	for (i = 0; i < CONFIG_SOURCES_MAX; i++)
		if (l->stamps[i])
			fprintf(l->stamps[i], "# %s\n", text);
	if (l->map)
		fprintf(l->map, "# %s\n", text);
}

static void log_broke(struct output *o, bool migration)
{
	(void)migration;
	((struct output_log *)o)->have_last = false;
}

static void close_files(struct output_log *l)
{
	unsigned int i;

	for (i = 0; i < CONFIG_SOURCES_MAX; i++) {
		if (l->stamps[i])
			fclose(l->stamps[i]);
		l->stamps[i] = NULL;
	}
	if (l->map)
		fclose(l->map);
	if (l->tracking)
		fclose(l->tracking);
	l->map = NULL;
	l->tracking = NULL;
}

static void log_destroy(struct output *o)
{
	close_files((struct output_log *)o);
	free(o);
}

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

/* Return: 0, or -EIO after an error message: those that could be opened are open */
static int open_files(struct output_log *l, const struct config *cfg)
{
	char path[CONFIG_FILE_MAX + CONFIG_HOST_MAX + 24];
	double period = counter_period_ns(l->counter);
	const char *name = counter_name(l->counter);
	unsigned int i;
	int err = 0;

	for (i = 0; i < cfg->n_sources; i++)
		memcpy(l->source[i].text, cfg->sources[i].name, sizeof(l->source[i].text));
	for (i = 0; *cfg->log_stamps && i < cfg->n_sources; i++) {
		stamp_path(cfg, i, path, sizeof(path));
		l->stamps[i] = open_log(path, cfg->user);
		if (!l->stamps[i]) {
			err = -EIO;
			continue;
		}
		fprintf(l->stamps[i], "# ffclockd stamps: source %s, counter %s\n"
			"# period_ns %.9f\n"
			"# Ta[raw] Tb[unix s] Te[unix s] Tf[raw]\n", cfg->sources[i].name, name,
			period);
	}
	if (*cfg->log_map) {
		l->map = open_log(cfg->log_map, cfg->user);
		err = l->map ? err : -EIO;
	}
	if (l->map)
		fprintf(l->map, "# ffclockd map: counter %s\n# period_ns %.9f\n"
			"# raw_now T0[raw] C0[unix s] rate[1e-9 s per count]\n", name, period);
	if (*cfg->log_tracking) {
		l->tracking = open_log(cfg->log_tracking, cfg->user);
		err = l->tracking ? err : -EIO;
	}
	if (l->tracking)
		fprintf(l->tracking, "# ffclockd tracking: counter %s\n# period_ns %.9f\n"
			"# S time source rtt_ns offset_ns; U time bound_ns error_ns rate_ppm status; "
			"E time text\n", name, period);
	return err;
}

/* Also what a rotation of the logs needs: the files are opened by name again */
static int log_reload(struct output *o, const struct config *cfg)
{
	struct output_log *l = (struct output_log *)o;

	close_files(l);
	return open_files(l, cfg);
}

static const struct output_ops log_ops = {
	.name		= "log",
	.update		= log_update,
	.stamp		= log_stamp,
	.note		= log_note,
	.broke		= log_broke,
	.reload		= log_reload,
	.destroy	= log_destroy,
};

struct output *output_log_new(const struct config *cfg, struct counter *counter)
{
	struct output_log *l = calloc(1, sizeof(*l));

	if (!l) {
		log_err("out of memory");
		return NULL;
	}
	l->base.ops = &log_ops;
	l->counter = counter;
	if (!open_files(l, cfg))
		return &l->base;
	log_destroy(&l->base);
	return NULL;
}
