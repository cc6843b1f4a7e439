/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line of the simulator's programs. */
#ifndef SELFTESTS_SIM_OPTIONS_H
#define SELFTESTS_SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define SEEDS_MAX	2000

/**
 * struct sim_options - what was asked for
 * @seeds: how many, 1 to SEEDS_MAX
 * @first: the first of them
 * @only: name of the one scenario to run; NULL: all
 * @write: file for its stamps, with one seed and one scenario; NULL: none
 * @verbose: print events; 2: every exchange
 * @list: list the scenarios
 */
struct sim_options {
	unsigned int	seeds;
	uint64_t	first;
	const char	*only;
	const char	*write;
	int		verbose;
	bool		list;
};

/**
 * sim_options() - read the command line
 * @argc: of main()
 * @argv: of main()
 * @writes: the program knows -w
 * @o: begins with the defaults of @seeds and @first
 *
 * Exits with 2 after a message when it is wrong.
 */
void sim_options(int argc, char **argv, bool writes, struct sim_options *o);

#endif /* SELFTESTS_SIM_OPTIONS_H */
