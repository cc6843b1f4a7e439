// SPDX-License-Identifier: GPL-2.0-only
/* ffclock status, read, convert, wait, migration. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>

#include <linux/ffclock_math.h>

#include "ffclock.h"

const char *iso(const struct ffclock_time *t, char *buf, size_t size)
{
	time_t sec = t->sec;
	struct tm tm;
	size_t n;

	/* a year that no calendar has: a page may hold any */
	if (!gmtime_r(&sec, &tm))
		return plain(t, buf, size);
	n = strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(buf + n, size - n, ".%09u", ffclock_frac_to_ns(t->frac));
	return buf;
}

const char *plain(const struct ffclock_time *t, char *buf, size_t size)
{
	snprintf(buf, size, "%lld.%09u", (long long)t->sec, ffclock_frac_to_ns(t->frac));
	return buf;
}

/* b - a in ns; saturates: a page may hold any time */
static int64_t span_ns(const struct timespec *a, const struct timespec *b)
{
	__int128 ns = ((__int128)b->tv_sec - a->tv_sec) * 1000000000 + (b->tv_nsec - a->tv_nsec);

	return ns > INT64_MAX / 2 ? INT64_MAX / 2 : ns < INT64_MIN / 2 ? INT64_MIN / 2 : (int64_t)ns;
}

/* CLOCK_REALTIME - UTC in ns, read around it; the shorter way of a few */
int64_t realtime_minus_utc(const struct ffclock *h)
{
	int64_t best = 0, width = INT64_MAX;
	int i;

	for (i = 0; i < 8; i++) {
		struct timespec a, r, b;
		int64_t w, mid;

		if (ffclock_gettime(h, FFCLOCK_UTC, &a))
			return 0;
		clock_gettime(CLOCK_REALTIME, &r);
		ffclock_gettime(h, FFCLOCK_UTC, &b);
		w = span_ns(&a, &b);
		mid = span_ns(&a, &r) - w / 2;
		if (w >= 0 && w < width) {
			width = w;
			best = mid;
		}
	}
	return best;
}

int cmd_status(const struct options *o, int argc, char **argv)
{
	struct ffclock_reading r;
	char text[64], bound[32];
	struct ffclock *h;
	int64_t diff;
	int ret, i;

	(void)argc;
	(void)argv;
	h = open_clock(o);
	if (!h)
		return EXIT_FAILED;
	ret = ffclock_read(h, FFCLOCK_UTC, &r);
	if (ret) {
		ffclock_close(h);
		return fail(ret, "reading");
	}
	diff = realtime_minus_utc(h);
	if (o->json) {
		struct json_object *obj = json_object_new_object();
		struct json_object *clocks = json_object_new_object();

		json_object_object_add(obj, "status",
				       json_object_new_string(ffclock_status_name(r.status)));
		json_object_object_add(obj, "epoch", json_object_new_int64(r.epoch));
		json_object_object_add(obj, "counter", json_object_new_uint64(r.counter));
		json_object_object_add(obj, "without_syscall",
				       json_object_new_boolean(ffclock_reads_without_syscall(h)));
		json_object_object_add(obj, "migration_sequence",
				       json_object_new_uint64(ffclock_migration_sequence(h)));
		json_object_object_add(obj, "realtime_minus_utc_ns", json_object_new_int64(diff));
		for (i = 0; i < FFCLOCK_NR; i++) {
			struct json_object *c = json_object_new_object();
			struct ffclock_reading q;

			if (ffclock_read(h, i, &q)) {
				json_object_put(c);
				continue;
			}
			json_object_object_add(c, "time", json_object_new_string(
					       plain(&q.time, text, sizeof(text))));
			json_object_object_add(c, "bound_ns", json_bound(q.bound_ns));
			json_object_object_add(clocks, clock_names[i], c);
		}
		json_object_object_add(obj, "clocks", clocks);
		print_json(obj);
	} else {
		printf("status      %s\n", ffclock_status_name(r.status));
		printf("utc         %s\n", iso(&r.time, text, sizeof(text)));
		printf("bound       %s\n", bound_text(r.bound_ns, bound, sizeof(bound)));
		for (i = FFCLOCK_TAI; i < FFCLOCK_NR; i++) {
			struct ffclock_reading q;

			if (!ffclock_read(h, i, &q))
				printf("%-11s %s\n", clock_names[i],
				       plain(&q.time, text, sizeof(text)));
		}
		printf("REALTIME    %+lld ns from utc\n", (long long)diff);
		printf("counter     %" PRIu64 ", epoch %u, read %s\n", (uint64_t)r.counter, r.epoch,
		       ffclock_reads_without_syscall(h) ? "without a system call" :
		       "through the kernel");
		printf("migrations  %" PRIu64 "\n", ffclock_migration_sequence(h));
	}
	ffclock_close(h);
	return r.status == FFCLOCK_STATUS_SYNCHRONIZED ? EXIT_OK : EXIT_UNSYNC;
}

int parse_u64(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno || end == text || *end || *text == '-' ? -EINVAL : 0;
}

int cmd_read(const struct options *o, int argc, char **argv)
{
	int clock = argc > 1 ? parse_clock(argv[1]) : FFCLOCK_UTC;
	struct ffclock_reading r;
	char text[64], bound[32];
	struct ffclock *h;
	uint64_t counter;
	int ret;

	if (clock < 0 || argc > 3 || (argc > 2 && parse_u64(argv[2], &counter))) {
		fprintf(stderr, "usage: ffclock read [utc|tai|mono|diff] [COUNTER], COUNTER from 0 to 2^64 - 1\n");
		return EXIT_USAGE;
	}
	h = open_clock(o);
	if (!h)
		return EXIT_FAILED;
	ret = argc > 2 ? ffclock_read_at(h, clock, counter, &r) : ffclock_read(h, clock, &r);
	ffclock_close(h);
	if (ret)
		return fail(ret, clock_names[clock]);
	if (o->json) {
		struct json_object *obj = json_object_new_object();

		json_object_object_add(obj, "clock", json_object_new_string(clock_names[clock]));
		json_object_object_add(obj, "time",
				       json_object_new_string(plain(&r.time, text, sizeof(text))));
		json_object_object_add(obj, "counter", json_object_new_uint64(r.counter));
		json_object_object_add(obj, "epoch", json_object_new_int64(r.epoch));
		json_object_object_add(obj, "bound_ns", json_bound(r.bound_ns));
		json_object_object_add(obj, "status",
				       json_object_new_string(ffclock_status_name(r.status)));
		print_json(obj);
	} else {
		printf("%s  +- %s  %s\n", plain(&r.time, text, sizeof(text)),
		       bound_text(r.bound_ns, bound, sizeof(bound)), ffclock_status_name(r.status));
	}
	return r.status == FFCLOCK_STATUS_SYNCHRONIZED ? EXIT_OK : EXIT_UNSYNC;
}

/* -------------------------------------------------------------------------- */

static const char *const stamp_results[] = {
	[FFCLOCK_STAMP_OK] = "ok", [FFCLOCK_STAMP_TOO_OLD] = "too old",
	[FFCLOCK_STAMP_FUTURE] = "in the future", [FFCLOCK_STAMP_GAP] = "stepped over",
	[FFCLOCK_STAMP_AMBIGUOUS] = "ambiguous",
};

static int convert_one(const struct options *o, const struct ffclock *h, const char *text)
{
	struct ffclock_stamp s = { 0 };
	uint64_t ns;
	int ret;

	if (parse_u64(text, &ns) || ns > INT64_MAX) {
		fprintf(stderr, "ffclock: \"%s\" is not a time in ns since 1970, 0 to 2^63 - 1\n", text);
		return EXIT_USAGE;
	}
	s.realtime_ns = (int64_t)ns;
	ret = ffclock_convert(h, &s, 1);
	if (ret)
		return fail(ret, "convert");
	if (o->json) {
		struct json_object *obj = json_object_new_object();

		json_object_object_add(obj, "realtime_ns", json_object_new_int64(s.realtime_ns));
		json_object_object_add(obj, "result",
				       json_object_new_string(stamp_results[s.result % 5]));
		json_object_object_add(obj, "counter", json_object_new_uint64(s.counter));
		json_object_object_add(obj, "epoch", json_object_new_int64(s.epoch));
		print_json(obj);
	} else {
		printf("%lld %llu %u %s\n", (long long)s.realtime_ns, (unsigned long long)s.counter,
		       s.epoch, stamp_results[s.result % 5]);
	}
	return s.result == FFCLOCK_STAMP_OK || s.result == FFCLOCK_STAMP_AMBIGUOUS ?
		EXIT_OK : EXIT_FAILED;
}

int cmd_convert(const struct options *o, int argc, char **argv)
{
	int i, ret, worst = EXIT_OK;
	struct ffclock *h;
	char line[64];

	h = open_clock(o);
	if (!h)
		return EXIT_FAILED;
	for (i = 1; i < argc; i++) {
		ret = convert_one(o, h, argv[i]);
		if (ret > worst)
			worst = ret;
	}
	while (argc == 1 && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		ret = convert_one(o, h, line);
		if (ret > worst)
			worst = ret;
	}
	ffclock_close(h);
	return worst;
}

int cmd_wait(const struct options *o, int argc, char **argv)
{
	bool migration = false, synchronized = false, done = false;
	uint64_t seconds = 0, seq;
	struct timespec start, now;
	struct ffclock *h;
	int i, ret = 0;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--migration")) {
			migration = true;
		} else if (!strcmp(argv[i], "--synchronized")) {
			synchronized = true;
		} else if (parse_u64(argv[i], &seconds) || !seconds || seconds > 2000000) {
			migration = synchronized = true;
			break;
		}
	}
	if (migration && synchronized) {
		fprintf(stderr, "usage: ffclock wait [--migration | --synchronized] [SECONDS], "
			"1 to 2000000\n");
		return EXIT_USAGE;
	}
	h = open_clock(o);
	if (!h)
		return EXIT_FAILED;
	seq = ffclock_migration_sequence(h);
	ffclock_wait(h, 0);		/* what has changed before now does not count */
	clock_gettime(CLOCK_MONOTONIC, &start);
	done = synchronized && ffclock_status(h) == FFCLOCK_STATUS_SYNCHRONIZED;
	while (!done) {
		int timeout = -1;

		if (seconds) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			timeout = (int)seconds * 1000 - (int)((now.tv_sec - start.tv_sec) * 1000 +
				  (now.tv_nsec - start.tv_nsec) / 1000000);
			if (timeout < 0)
				timeout = 0;
		}
		ret = ffclock_wait(h, timeout);
		if (ret <= 0)
			break;
		if (synchronized)
			done = ffclock_status(h) == FFCLOCK_STATUS_SYNCHRONIZED;
		else
			done = !migration || seq != ffclock_migration_sequence(h);
	}
	if (done && !o->json)
		printf("migrations %" PRIu64 "\n", ffclock_migration_sequence(h));
	else if (ret >= 0 && o->json)
		printf("{ \"changed\": %s, \"migration_sequence\": %" PRIu64 " }\n",
		       done ? "true" : "false", ffclock_migration_sequence(h));
	ffclock_close(h);
	if (ret < 0)
		return fail(ret, "wait");
	return done ? EXIT_OK : EXIT_FAILED;
}

int cmd_migration(const struct options *o, int argc, char **argv)
{
	static const char *const policies[] = { "pending", "inject", "ntp-reset", "notify" };
	struct json_object *list = NULL;
	struct ffclock_migration m;
	struct ffclock *h;
	uint64_t seq;
	int i, ret = 0;

	(void)argc;
	(void)argv;
	h = open_clock(o);
	if (!h)
		return EXIT_FAILED;
	seq = ffclock_migration_sequence(h);
	if (o->json)
		list = json_object_new_array();
	else if (!seq)
		printf("no migration, restore or suspend since the module was loaded\n");
	else
		printf("%4s %-12s %-10s %-12s %14s %10s %10s %14s %10s %14s\n", "seq",
		       "noticed by", "action", "time from", "Tout us", "bound", "left ns",
		       "lost us", "freq ppb", "downtime us");
	for (i = 0; i < FFCLOCK_MIG_HISTORY && seq; i++, seq--) {
		char bound[32];

		memset(&m, 0, sizeof(m));
		m.sequence = seq;
		ret = ffclock_migration(h, &m);
		if (ret)
			break;
		if (o->json) {
			struct json_object *obj = json_object_new_object();

			json_object_object_add(obj, "sequence", json_object_new_uint64(m.sequence));
			json_object_object_add(obj, "detector", json_object_new_string(m.detector));
			json_object_object_add(obj, "action",
					       json_object_new_string(policies[m.policy & 3]));
			json_object_object_add(obj, "source", *m.source ?
					       json_object_new_string(m.source) : NULL);
			json_object_object_add(obj, "refused", json_object_new_boolean(
					       !!(m.flags & FFCLOCK_MIG_F_REFUSED)));
			json_object_object_add(obj, "downtime_ns",
					       json_object_new_uint64(m.downtime_ns));
			json_object_object_add(obj, "settings", json_object_new_int64(m.settings));
			json_object_object_add(obj, "tout_ns", m.flags & FFCLOCK_MIG_F_TOUT ?
					       json_object_new_int64(m.tout_ns) : NULL);
			json_object_object_add(obj, "bound_ns", json_bound(m.bound_ns));
			json_object_object_add(obj, "error_left_ns", m.flags & FFCLOCK_MIG_F_SET ?
					       json_object_new_int64(m.error_left_ns) : NULL);
			json_object_object_add(obj, "delay_ns", m.flags & FFCLOCK_MIG_F_SET ?
					       json_object_new_uint64(m.delay_ns) : NULL);
			json_object_object_add(obj, "lost_ns", m.flags & FFCLOCK_MIG_F_LOST ?
					       json_object_new_int64(m.lost_ns) : NULL);
			json_object_object_add(obj, "freq_change_ppb", m.flags & FFCLOCK_MIG_F_FREQ ?
					       json_object_new_int64(m.freq_change_ppb) : NULL);
			json_object_array_add(list, obj);
			continue;
		}
		printf("%4llu %-12.15s %-10s %-12.15s", (unsigned long long)m.sequence, m.detector,
		       m.flags & FFCLOCK_MIG_F_REFUSED ? "refused" : policies[m.policy & 3],
		       *m.source ? m.source : "-");
		if (m.flags & FFCLOCK_MIG_F_TOUT)
			printf(" %14.3f %10s", m.tout_ns / 1e3,
			       bound_text(m.bound_ns, bound, sizeof(bound)));
		else
			printf(" %14s %10s", "-", "-");
		if (m.flags & FFCLOCK_MIG_F_SET)
			printf(" %10lld", (long long)m.error_left_ns);
		else
			printf(" %10s", "-");
		if (m.flags & FFCLOCK_MIG_F_LOST)
			printf(" %14.3f", m.lost_ns / 1e3);
		else
			printf(" %14s", "-");
		if (m.flags & FFCLOCK_MIG_F_FREQ)
			printf(" %10lld", (long long)m.freq_change_ppb);
		else
			printf(" %10s", "-");
		printf(" %14.3f\n", m.downtime_ns / 1e3);
	}
	if (list)
		print_json(list);
	ffclock_close(h);
	return ret && ret != -ENOENT ? fail(ret, "migration") : EXIT_OK;
}
