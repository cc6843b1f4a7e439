// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock frequency: the kernel's NTP frequency against the counter's.
 *
 * A migration leaves CLOCK_REALTIME at the frequency that was right for the old
 * host's oscillator, and no function that a module may call drops it: setting the
 * clock clears the rest of NTP's state only.  This does, for hooks.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "ffclock.h"

#define SCALED_PPM	65536.0		/* a timex frequency is in 2^-16 ppm */

/* Rates that are known worse than this are not applied: the kernel's own limit */
#define APPLY_MAX_PPM	500

/* clock id of an open dynamic POSIX clock: include/linux/posix-timers.h */
static clockid_t clock_of_fd(int fd)
{
	return (~(clockid_t)fd << 3) | 3;
}

/*
 * The counter's period against nominal, in 2^-16 ppm; that is what makes
 * CLOCK_REALTIME keep the pace of utc.  0 while nobody knows it.
 */
static int counter_rate(const struct ffclock *h, long *rate, bool *known)
{
	struct ffclock_estimate e;
	struct timex tx = { 0 };
	int fd, ret;

	ret = ffclock_get_estimate(h, &e);
	if (ret)
		return ret;
	fd = open(FFCLOCK_DEV_UTC, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = clock_adjtime(clock_of_fd(fd), &tx) < 0 ? -errno : 0;
	close(fd);
	*known = (e.status == FFCLOCK_STATUS_SYNCHRONIZED ||
		  e.status == FFCLOCK_STATUS_FREERUNNING) &&
		 e.period_maxerror < e.period / (1000000 / APPLY_MAX_PPM);
	*rate = *known ? tx.freq : 0;
	return ret;
}

int cmd_frequency(const struct options *o, int argc, char **argv)
{
	bool drop = false, apply = false, known = false;
	struct timex now = { 0 }, set = { .modes = ADJ_FREQUENCY };
	struct ffclock *h;
	long rate = 0;
	int i, ret;

	for (i = 1; i < argc; i++) {
		drop |= !strcmp(argv[i], "--drop");
		apply |= !strcmp(argv[i], "--apply");
	}
	if (argc - 1 != drop + apply || drop + apply > 1) {
		fprintf(stderr, "usage: ffclock frequency [--drop | --apply]\n");
		return EXIT_USAGE;
	}
	h = open_clock(o);
	if (!h)
		return EXIT_FAILED;
	ret = counter_rate(h, &rate, &known);
	ffclock_close(h);
	if (ret)
		return fail(ret, "counter's rate");
	if (drop || apply) {
		set.freq = apply ? rate : 0;
		if (adjtimex(&set) < 0) {
			fprintf(stderr, "ffclock: setting the frequency: %s%s\n", strerror(errno),
				errno == EPERM ? " (it takes CAP_SYS_TIME: run it as root)" : "");
			return EXIT_FAILED;
		}
	}
	if (adjtimex(&now) < 0)
		return fail(-errno, "adjtimex");
	if (o->json) {
		struct json_object *obj = json_object_new_object();

		json_object_object_add(obj, "counter_ppm", known ?
				       json_object_new_double((double)rate / SCALED_PPM) : NULL);
		json_object_object_add(obj, "realtime_ppm",
				       json_object_new_double((double)now.freq / SCALED_PPM));
		print_json(obj);
		return EXIT_OK;
	}
	if (known)
		printf("counter     %+.4f ppm from nominal\n", (double)rate / SCALED_PPM);
	else
		printf("counter     unknown: not synchronised\n");
	printf("REALTIME    %+.4f ppm\n", (double)now.freq / SCALED_PPM);
	return EXIT_OK;
}
