// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffreplay: a stamp file through the estimator, without the daemon.
 *
 * usage: ffreplay [-p PERIOD_NS] [-o MAP_LOG] STAMP_FILE
 *
 * The same as ffclockd --replay; for machines where the daemon is not built.
 */
#include <stdlib.h>
#include <unistd.h>

#include "replay.h"

static int usage(void)
{
	fprintf(stderr, "usage: ffreplay [-p PERIOD_NS] [-o MAP_LOG] STAMP_FILE\n");
	return 2;
}

int main(int argc, char **argv)
{
	const char *log = NULL;
	double period = 1;
	FILE *maps = NULL;
	char *end;
	int o, ret;

	while ((o = getopt(argc, argv, "p:o:")) != -1) {
		switch (o) {
		case 'p':
			period = strtod(optarg, &end);
			if (*end || end == optarg)
				return usage();
			break;
		case 'o':
			log = optarg;
			break;
		default:
			return usage();
		}
	}
	if (optind + 1 != argc)
		return usage();

	if (log) {
		maps = fopen(log, "w");
		if (!maps) {
			perror(log);
			return 1;
		}
	}
	ret = replay_main(argv[optind], period, maps, stderr);
	if (maps && fclose(maps)) {
		perror(log);
		ret = 1;
	}
	return ret;
}
