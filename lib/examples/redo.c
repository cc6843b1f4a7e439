// SPDX-License-Identifier: MIT
/* Measuring an interval that a live migration must not spoil: redo if one came. */
#include <stdio.h>
#include <string.h>

#include <ffclock.h>

int main(int argc, char **argv)
{
	uint64_t seq, from, to, bound;
	struct ffclock *h;
	int64_t ns;
	int ret;

	ret = argc > 1 ? ffclock_open_page(&h, argv[1]) : ffclock_open(&h);
	if (ret) {
		fprintf(stderr, "%s: %s\n", argc > 1 ? argv[1] : FFCLOCK_DEV, strerror(-ret));
		return 1;
	}
	do {
		seq = ffclock_migration_sequence(h);
		ret = ffclock_counter(h, &from, NULL);
		/* the work to be measured goes here */
		if (!ret)
			ret = ffclock_counter(h, &to, NULL);
		if (!ret)
			ret = ffclock_diff(h, from, to, &ns, &bound);
	} while (!ret && seq != ffclock_migration_sequence(h));
	if (!ret)
		printf("%lld ns, +-%llu\n", (long long)ns, (unsigned long long)bound);
	ffclock_close(h);
	return ret ? 1 : 0;
}
