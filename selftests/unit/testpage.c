// SPDX-License-Identifier: GPL-2.0-only
/*
 * testpage FILE [OFFSET_SEC [STATUS]]: a page file for tests of programs, on this
 * machine's TSC: UTC = CLOCK_REALTIME + OFFSET_SEC, known to a millisecond or so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib_page.h"

int main(int argc, char **argv)
{
	char full[FFCLOCK_PAGE_SIZE] = { 0 };
	struct ffclock_page page;
	FILE *f;

	if (argc < 2) {
		fprintf(stderr, "usage: testpage FILE [OFFSET_SEC [STATUS]]\n");
		return 2;
	}
	page_fill(&page, page_measure_hz(), 0);
	page_set_realtime(&page, argc > 2 ? atoll(argv[2]) : 0);
	if (argc > 3)
		page.vmclock.clock_status = atoi(argv[3]);
	memcpy(full, &page, sizeof(page));
	f = fopen(argv[1], "w");
	if (!f || fwrite(full, sizeof(full), 1, f) != 1 || fclose(f)) {
		perror(argv[1]);
		return 1;
	}
	return 0;
}
