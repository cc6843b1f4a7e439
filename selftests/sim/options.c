// SPDX-License-Identifier: GPL-2.0-only
/* The command line of the simulator's programs: see options.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "options.h"

static bool writes_known;

static void usage(void)
{
	fprintf(stderr, "usage: %s [-n SEEDS] [-s FIRST_SEED] [-o SCENARIO] %s[-v] [-l]\n"
		"at most %d seeds; -l lists the scenarios\n", program_invocation_short_name,
		writes_known ? "[-w STAMP_FILE] " : "", SEEDS_MAX);
	exit(2);
}

static uint64_t number(const char *text, uint64_t lo, uint64_t hi)
{
	uint64_t v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (end == text || *end || errno || v < lo || v > hi)
		usage();
	return v;
}

void sim_options(int argc, char **argv, bool writes, struct sim_options *o)
{
	int c;

	writes_known = writes;
	while ((c = getopt(argc, argv, writes ? "n:s:o:vlw:" : "n:s:o:vl")) != -1) {
		switch (c) {
		case 'n':
			o->seeds = (unsigned int)number(optarg, 1, SEEDS_MAX);
			break;
		case 's':
			o->first = number(optarg, 0, UINT64_MAX);
			break;
		case 'o':
			o->only = optarg;
			break;
		case 'w':
			o->write = optarg;
			break;
		case 'v':
			o->verbose++;
			break;
		case 'l':
			o->list = true;
			break;
		default:
			usage();
		}
	}
	if (optind < argc)
		usage();
	if (o->write && (!o->only || o->seeds != 1)) {
		fprintf(stderr, "%s: -w needs one scenario (-o) and one seed (-n 1)\n",
			program_invocation_short_name);
		exit(2);
	}
}
