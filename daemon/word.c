// SPDX-License-Identifier: GPL-2.0-only
/* See word.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "word.h"

int read_word(const char *path, char *dst, size_t size)
{
	FILE *f;

	dst[0] = '\0';
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (!fgets(dst, (int)size, f))
		dst[0] = '\0';
	fclose(f);
	dst[strcspn(dst, " \t\n")] = '\0';
	return *dst ? 0 : -EIO;
}
