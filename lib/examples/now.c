// SPDX-License-Identifier: MIT
/* The present time as an interval, and whether to trust it. */
#include <stdio.h>
#include <string.h>

#include <ffclock.h>

int main(int argc, char **argv)
{
	struct ffclock_interval now;
	struct ffclock *h;
	int ret;

	ret = argc > 1 ? ffclock_open_page(&h, argv[1]) : ffclock_open(&h);
	if (ret) {
		fprintf(stderr, "%s: %s\n", argc > 1 ? argv[1] : FFCLOCK_DEV, strerror(-ret));
		return 1;
	}
	ret = ffclock_now(h, &now);
	if (!ret)
		printf("%lld.%09ld .. %lld.%09ld %s\n",
		       (long long)now.earliest.tv_sec, now.earliest.tv_nsec,
		       (long long)now.latest.tv_sec, now.latest.tv_nsec,
		       ffclock_status_name(now.status));
	ffclock_close(h);
	return ret ? 1 : 0;
}
