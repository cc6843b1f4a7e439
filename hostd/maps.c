// SPDX-License-Identifier: GPL-2.0-only
/* /proc/PID/maps and stat: see maps.h. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "maps.h"

/* Fields of /proc/PID/stat after the name: state is the third, starttime the 22nd */
#define STAT_AFTER_NAME		3
#define STAT_START		22

/* A number that ends at end, which is skipped; false if it is none or too large */
static bool number(const char **s, int base, char end, uint64_t *out)
{
	char *e;

	/* strtoull() takes signs and blanks as well */
	if (!isxdigit((unsigned char)**s))
		return false;
	errno = 0;
	*out = strtoull(*s, &e, base);
	if (errno || e == *s || *e != end)
		return false;
	*s = e + 1;
	return true;
}

bool maps_parse(const char *line, struct maps_entry *e)
{
	uint64_t major, minor;
	const char *perms;

	if (!number(&line, 16, '-', &e->start) || !number(&line, 16, ' ', &e->end) ||
	    e->end <= e->start)
		return false;
	perms = line;
	if (strnlen(perms, 5) < 5 || perms[4] != ' ')
		return false;
	e->shared_rw = perms[0] == 'r' && perms[1] == 'w' && perms[3] == 's';
	line += 5;
	if (!number(&line, 16, ' ', &e->offset) || !number(&line, 16, ':', &major) ||
	    !number(&line, 16, ' ', &minor) || major > UINT32_MAX || minor > UINT32_MAX)
		return false;
	e->dev_major = (uint32_t)major;
	e->dev_minor = (uint32_t)minor;
	/* the inode ends with a blank, or with the line where there is no path */
	if (!number(&line, 10, ' ', &e->inode)) {
		if (!number(&line, 10, '\0', &e->inode))
			return false;
		line--;
	}
	e->path = line + strspn(line, " ");
	return true;
}

bool stat_parse(const char *text, uint64_t *start)
{
	const char *s = strrchr(text, ')');
	int field;

	if (!s || s[1] != ' ')
		return false;
	s += 2;
	for (field = STAT_AFTER_NAME; field < STAT_START; field++) {
		s = strchr(s, ' ');
		if (!s)
			return false;
		s++;
	}
	return number(&s, 10, ' ', start);
}
