// SPDX-License-Identifier: GPL-2.0-only
/* Replay of stamp files through the estimator. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay.h"

/* A day at one stamp a second is 86400; this is a year and 4 GB. */
#define STAMPS_MAX	(UINT64_C(1) << 25)

/**
 * struct source - where the lines come from
 * @f: to read from
 * @pid: of the gzip behind it, or 0
 */
struct source {
	FILE	*f;
	pid_t	pid;
};

static int source_open(struct source *src, const char *path, FILE *err)
{
	unsigned char magic[2] = { 0, 0 };
	int fd, pipefd[2];
	ssize_t got;

	src->pid = 0;
	if (!strcmp(path, "-")) {
		src->f = stdin;
		return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(err, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	got = pread(fd, magic, sizeof(magic), 0);
	if (got != 2 || magic[0] != 0x1f || magic[1] != 0x8b) {
		src->f = fdopen(fd, "r");
		if (src->f)
			return 0;
		goto close_fd;
	}

	if (pipe(pipefd) < 0)
		goto close_fd;
	src->pid = fork();
	if (src->pid < 0)
		goto close_pipe;
	if (!src->pid) {
		if (dup2(fd, 0) < 0 || dup2(pipefd[1], 1) < 0)
			_exit(127);
		close(pipefd[0]);
		close(pipefd[1]);
		execlp("gzip", "gzip", "-dc", (char *)NULL);
		_exit(127);
	}
	close(pipefd[1]);
	close(fd);
	src->f = fdopen(pipefd[0], "r");
	if (src->f)
		return 0;
	fprintf(err, "%s: %s\n", path, strerror(errno));
	close(pipefd[0]);
	waitpid(src->pid, NULL, 0);
	return -1;

close_pipe:
	close(pipefd[0]);
	close(pipefd[1]);
close_fd:
	fprintf(err, "%s: %s\n", path, strerror(errno));
	close(fd);
	return -1;
}

static int source_close(struct source *src, const char *path, FILE *err)
{
	int status = 0, bad = ferror(src->f);

	if (src->f != stdin)
		fclose(src->f);
	if (bad)
		fprintf(err, "%s: read error\n", path);
	if (src->pid && (waitpid(src->pid, &status, 0) < 0 || status)) {
		fprintf(err, "%s: gzip -dc failed; is it complete, and gzip installed?\n",
			path);
		return -1;
	}
	return bad ? -1 : 0;
}

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static const char *parse_count(const char *p, uint64_t *out)
{
	uint64_t v = 0;

	p = skip_space(p);
	if (!isdigit((unsigned char)*p))
		return NULL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, *p - '0', &v))
			return NULL;
	*out = v;
	return p;
}

/* 'seconds[.decimals]' as whole seconds and picoseconds. */
static const char *parse_time(const char *p, int64_t *sec, int64_t *ps)
{
	int64_t scale = INT64_C(100000000000);
	uint64_t v;

	p = parse_count(p, &v);
	if (!p || v > INT64_C(9000000000))
		return NULL;
	*sec = (int64_t)v;
	*ps = 0;
	if (*p != '.')
		return p;
	for (p++; isdigit((unsigned char)*p); p++) {
		*ps += (*p - '0') * scale;
		scale /= 10;
	}
	return p;
}

static const char *parse_line(const char *p, struct replay_file *file,
			      struct replay_stamp *out)
{
	int64_t sec, ps;

	memset(out, 0, sizeof(*out));
	out->stamp.stratum = 1;
	p = parse_count(p, &out->stamp.ta);
	if (!p)
		return "Ta is not a counter reading";
	p = parse_time(p, &sec, &ps);
	if (!p)
		return "Tb is not a time in Unix seconds";
	if (!file->n)
		file->epoch_ns = sec * INT64_C(1000000000);
	out->stamp.tb = sec * INT64_C(1000000000) + ps / 1000;
	p = parse_time(p, &sec, &ps);
	if (!p)
		return "Te is not a time in Unix seconds";
	out->stamp.te = sec * INT64_C(1000000000) + ps / 1000;
	p = parse_count(p, &out->stamp.tf);
	if (!p)
		return "Tf is not a counter reading";
	p = skip_space(p);
	if (!*p || *p == '\n')
		return NULL;

	p = parse_time(p, &sec, &ps);
	if (!p)
		return "trueTa is not a time in Unix seconds";
	sec -= file->epoch_ns / INT64_C(1000000000);
	if (sec < -8000000 || sec > 8000000)
		return "trueTa is more than 90 days from the first stamp";
	out->true_ta_ps = sec * INT64_C(1000000000000) + ps;
	p = parse_time(p, &sec, &ps);
	if (!p)
		return "trueTf is not a time in Unix seconds";
	sec -= file->epoch_ns / INT64_C(1000000000);
	if (sec < -8000000 || sec > 8000000)
		return "trueTf is more than 90 days from the first stamp";
	out->true_tf_ps = sec * INT64_C(1000000000000) + ps;
	out->have_truth = 1;
	p = skip_space(p);
	return *p && *p != '\n' ? "more than six fields" : NULL;
}

int replay_load(const char *path, struct replay_file *out, FILE *err)
{
	unsigned long line = 0;
	struct source src;
	size_t room = 0;
	char buf[512];
	int ret = 0;

	memset(out, 0, sizeof(*out));
	if (source_open(&src, path, err) < 0)
		return -1;

	while (fgets(buf, sizeof(buf), src.f)) {
		const char *p = skip_space(buf), *wrong;

		line++;
		if (!strchr(buf, '\n') && !feof(src.f)) {
			fprintf(err, "%s:%lu: line longer than %zu characters\n",
				path, line, sizeof(buf) - 2);
			ret = -1;
			break;
		}
		if (!*p || *p == '\n' || *p == '#')
			continue;
		if (out->n == room) {
			size_t more = room ? 2 * room : 4096;
			void *mem = more > STAMPS_MAX ? NULL :
				    realloc(out->stamps, more * sizeof(*out->stamps));

			if (!mem) {
				fprintf(err, "%s:%lu: too many stamps; split the file\n",
					path, line);
				ret = -1;
				break;
			}
			out->stamps = mem;
			room = more;
		}
		wrong = parse_line(p, out, &out->stamps[out->n]);
		if (wrong) {
			fprintf(err, "%s:%lu: %s; a line is 'Ta Tb Te Tf [trueTa trueTf]'\n",
				path, line, wrong);
			ret = -1;
			break;
		}
		out->n++;
	}
	if (ret) {
		/* let a gzip that still writes see the end */
		while (fread(buf, 1, sizeof(buf), src.f))
			;
	}
	if (source_close(&src, path, err) < 0)
		ret = -1;
	if (!ret && !out->n) {
		fprintf(err, "%s: no stamps\n", path);
		ret = -1;
	}
	return ret;
}

void replay_free(struct replay_file *file)
{
	free(file->stamps);
	memset(file, 0, sizeof(*file));
}

void replay_map_line(FILE *log, const struct ffe_map *map)
{
	int64_t ps = (int64_t)(map->time_frac_ns * 1000);

	fprintf(log, "%" PRIu64 " %" PRIu64 " %" PRId64 ".%09" PRId64 "%03" PRId64 " %.17g\n",
		map->counter, map->counter, map->time_ns / 1000000000,
		map->time_ns % 1000000000, ps, map->period_ns);
}

int replay_main(const char *path, double period_ns, FILE *maps, FILE *err)
{
	struct ffe_config cfg = { .nominal_period_ns = period_ns };
	struct replay_file file;
	struct ffe_track track;
	struct ffe_map map;
	struct ffe *f = NULL;
	int ret = 1;
	size_t i;

	if (replay_load(path, &file, err) < 0)
		goto out;
	f = malloc(ffe_size());
	if (!f) {
		fprintf(err, "out of memory\n");
		goto out;
	}
	if (ffe_init(f, &cfg) < 0) {
		fprintf(err, "period %g ns: must be within 0.01 and 1e6\n", period_ns);
		goto out;
	}
	for (i = 0; i < file.n; i++) {
		uint32_t ev = ffe_process(f, &file.stamps[i].stamp, &map);
		char text[128];

		if (maps && map.status != FFE_UNSYNC)
			replay_map_line(maps, &map);
		if (ev & ~FFE_EV_CONGESTED)
			fprintf(err, "%" PRIu64 ": %s\n", file.stamps[i].stamp.tf,
				ffe_events_print(ev, text, sizeof(text)));
	}
	ffe_tracking(f, &track);
	fprintf(err, "%zu stamps, %" PRIu64 " rejected, %u restarts, %u upshifts, %u downshifts; status %s, minimum RTT %.3f us, rate %+.4f ppm, wander %.2e, bound %.3f us\n",
		file.n, track.rejected, track.restarts, track.upshifts,
		track.downshifts, ffe_status_name(map.status),
		track.min_rtt_ns / 1e3, track.rate * 1e6, track.wander,
		map.bound_ns / 1e3);
	ret = 0;
out:
	free(f);
	replay_free(&file);
	return ret;
}
