/* SPDX-License-Identifier: GPL-2.0-only */
/* Unit tests of what reads small files, as in sysfs; after cmocka.h. */
#ifndef SELFTESTS_UNIT_PUT_H
#define SELFTESTS_UNIT_PUT_H

#include <stdio.h>

/* The file @dir/@name, made anew, with this text */
static void put(const char *dir, const char *name, const char *text)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

#endif /* SELFTESTS_UNIT_PUT_H */
