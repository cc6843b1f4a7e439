// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state file: see state.h.
 *
 *	ffclockd-state 1
 *	boot BOOT_ID
 *	counter NAME CLOCKSOURCE EPOCH MIGRATIONS
 *	saved BOOTTIME_NS
 *	source NAME PORT MIN_RTT_NS PERIOD_NS PERIOD_SIGMA WANDER
 *	end
 *
 * PERIOD_NS is 0 where the rate was not known.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/ffclock.h>

#include "log.h"
#include "loop.h"
#include "state.h"
#include "word.h"

#define MAGIC		"ffclockd-state 1\n"
#define END		"end\n"
#define BOOT_ID		"/proc/sys/kernel/random/boot_id"
#define CLOCKSOURCE	"/sys/devices/system/clocksource/clocksource0/current_clocksource"

int state_here(struct state *s, struct counter *c)
{
	struct ffclock_migration m = { 0 };
	int fd = counter_device_fd(c);
	struct counter_mark now;
	int err;

	memset(s, 0, sizeof(*s));
	err = read_word(BOOT_ID, s->boot_id, sizeof(s->boot_id));
	if (!err)
		err = read_word(CLOCKSOURCE, s->clocksource, sizeof(s->clocksource));
	if (!err)
		err = counter_mark(c, &now);
	if (err)
		return err;
	snprintf(s->counter, sizeof(s->counter), "%s", counter_name(c));
	s->epoch = now.epoch;
	if (fd >= 0 && !ioctl(fd, FFCLOCK_IOC_MIGRATION, &m))
		s->migrations = m.sequence;
	s->boottime_ns = loop_now();
	return 0;
}

size_t state_format(const struct state *s, char *buf)
{
	size_t n, i;

	n = (size_t)snprintf(buf, STATE_SIZE_MAX, MAGIC "boot %s\ncounter %s %s %" PRIu32 " %"
			     PRIu64 "\nsaved %" PRId64 "\n", s->boot_id, s->counter,
			     s->clocksource, s->epoch, s->migrations, s->boottime_ns);
	for (i = 0; i < s->n; i++) {
		const struct state_source *q = &s->source[i];

		n += (size_t)snprintf(buf + n, STATE_SIZE_MAX - n,
				      "source %s %u %.1f %.17g %.6g %.6g\n", q->name, q->port,
				      q->min_rtt_ns, q->have_prior ? q->prior.period_ns : 0,
				      q->have_prior ? q->prior.period_sigma : 0,
				      q->have_prior ? q->prior.wander : 0);
	}
	n += (size_t)snprintf(buf + n, STATE_SIZE_MAX - n, END);
	return n;
}

static bool in_range(double v, double lo, double hi)
{
	return isfinite(v) && v >= lo && v <= hi;
}

static int parse_source(struct state *s, const char *line)
{
	struct state_source *q = &s->source[s->n];
	double period, sigma, wander;
	char word[CONFIG_HOST_MAX];
	unsigned int port;
	int used = 0;

	_Static_assert(CONFIG_HOST_MAX == 254, "the width below");
	if (s->n == CONFIG_SOURCES_MAX ||
	    sscanf(line, "source %253s %5u %lf %lf %lf %lf%n", word, &port, &q->min_rtt_ns,
		   &period, &sigma, &wander, &used) != 6 || line[used])
		return -EINVAL;
	if (port > 65535 || !in_range(q->min_rtt_ns, 0, 1e12) || !in_range(period, 0, 1e6) ||
	    !in_range(sigma, 0, 1e-2) || !in_range(wander, 0, 1e-3))
		return -EINVAL;
	memcpy(q->name, word, strlen(word) + 1);
	q->port = (uint16_t)port;
	q->have_prior = period >= 0.01;
	q->prior = (struct ffe_prior){
		.period_ns = period, .period_sigma = sigma, .wander = wander,
	};
	s->n++;
	return 0;
}

static int parse_line(struct state *s, unsigned int number, const char *line)
{
	int used = 0, got = 0;

	switch (number) {
	case 0:
		got = sscanf(line, "boot %39s%n", s->boot_id, &used) == 1;
		break;
	case 1:
		got = sscanf(line, "counter %15s %31s %" SCNu32 " %" SCNu64 "%n", s->counter,
			     s->clocksource, &s->epoch, &s->migrations, &used) == 4;
		break;
	case 2:
		got = sscanf(line, "saved %" SCNd64 "%n", &s->boottime_ns, &used) == 1;
		break;
	default:
		return parse_source(s, line);
	}
	return got && !line[used] ? 0 : -EINVAL;
}

int state_parse(struct state *s, const char *text, size_t len)
{
	const char *end = text + len;
	unsigned int number = 0;
	char line[512];

	memset(s, 0, sizeof(*s));
	if (len > STATE_SIZE_MAX || len < sizeof(MAGIC) + sizeof(END) - 2 ||
	    memcmp(text, MAGIC, sizeof(MAGIC) - 1) || memchr(text, '\0', len) ||
	    memcmp(end - (sizeof(END) - 1), END, sizeof(END) - 1))
		return -EINVAL;
	text += sizeof(MAGIC) - 1;
	end -= sizeof(END) - 1;
	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n;

		if (!nl)
			return -EINVAL;
		n = (size_t)(nl - text);
		if (n >= sizeof(line))
			return -EINVAL;
		memcpy(line, text, n);
		line[n] = '\0';
		if (parse_line(s, number++, line))
			return -EINVAL;
		text = nl + 1;
	}
	return number >= 3 ? 0 : -EINVAL;
}

const char *state_differs(const struct state *s, const struct state *here)
{
	if (strcmp(s->boot_id, here->boot_id))
		return "the machine was booted since";
	if (s->migrations != here->migrations)
		return "the machine was migrated since";
	if (strcmp(s->counter, here->counter))
		return "it is of another counter";
	if (strcmp(s->clocksource, here->clocksource))
		return "the clocksource is another one now";
	if (s->epoch != here->epoch)
		return "the counter broke since";
	if (s->boottime_ns > here->boottime_ns)
		return "it is from the future";
	return NULL;
}

bool state_prior(const struct state *s, const struct config_source *cfg, int64_t now_ns,
		 struct ffe_prior *prior)
{
	const struct state_source *own = NULL, *best = NULL, *q;
	double age, sigma;
	size_t i;

	if (!s)
		return false;
	for (i = 0; i < s->n; i++) {
		q = &s->source[i];
		if (!strcmp(q->name, cfg->name) && q->port == cfg->port && !own)
			own = q;
		if (q->have_prior &&
		    (!best || q->prior.period_sigma < best->prior.period_sigma))
			best = q;
	}
	q = own && own->have_prior ? own : best;
	if (!q)
		return false;
	*prior = q->prior;
	age = (double)(now_ns - s->boottime_ns) * 1e-9;
	/* a random walk for that long */
	sigma = hypot(prior->period_sigma, prior->wander * sqrt(fmax(age, 0)));
	prior->period_sigma = fmin(sigma, 1e-4);
	return true;
}

bool state_load(struct state *s, const char *path, struct counter *c)
{
	char text[STATE_SIZE_MAX + 1];
	const char *why = NULL;
	struct state here;
	size_t len;
	FILE *f;
	int err;

	f = fopen(path, "re");
	if (!f) {
		log_info("state %s: %s: starting from nothing", path, strerror(errno));
		return false;
	}
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	err = state_here(&here, c);
	if (err)
		why = strerror(-err);
	else if (state_parse(s, text, len))
		why = "not a state file of this version, or damaged";
	else
		why = state_differs(s, &here);
	if (why) {
		log_notice("state %s: not used: %s", path, why);
		return false;
	}
	log_notice("state %s: rate of %.1f s ago taken over, %zu source%s", path,
		   (double)(here.boottime_ns - s->boottime_ns) * 1e-9, s->n, s->n == 1 ? "" : "s");
	return true;
}

int state_save(const struct state *s, const char *path)
{
	char text[STATE_SIZE_MAX], tmp[CONFIG_FILE_MAX + 8];
	size_t len = state_format(s, text);
	int fd, err = 0;

	errno = 0;
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	/* O_EXCL: never through somebody's link */
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		err = errno ? -errno : -EIO;
	else if (fsync(fd))
		err = -errno;
	close(fd);
	if (!err && rename(tmp, path))
		err = -errno;
	if (err)
		unlink(tmp);
	return err;
}
