// SPDX-License-Identifier: GPL-2.0-only
/* Other programs that discipline the system clock: see system_rivals.h. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "system_rivals.h"

#define CAP_SYS_TIME_BIT	25

/* As the kernel tells them: 15 characters */
static const char *const names[] = {
	"chronyd", "ntpd", "systemd-timesyn", "openntpd", "ntp-daemon", "phc2sys", "clockbound",
};

/* Words of a command line, -1: not there */
static int find_word(const char *cmdline, size_t len, const char *word)
{
	size_t at = 0;
	int i;

	for (i = 0; at < len; i++) {
		size_t n = strnlen(cmdline + at, len - at);

		if (i && n == strlen(word) && !memcmp(cmdline + at, word, n))
			return (int)at;
		at += n + 1;
	}
	return -1;
}

/* Told to leave the system clock alone? */
static bool is_harmless(const char *name, const char *cmdline, size_t len)
{
	int at;

	if (!strcmp(name, "chronyd"))
		return find_word(cmdline, len, "-x") >= 0;
	if (strcmp(name, "phc2sys"))
		return false;
	at = find_word(cmdline, len, "-c");
	if (at < 0 || (size_t)at + 3 >= len)
		return false;
	return strncmp(cmdline + at + 3, "CLOCK_REALTIME", len - (size_t)at - 3) != 0;
}

const char *rival_check(const char *status, const char *cmdline, size_t cmdline_len)
{
	const char *caps = strstr(status, "\nCapEff:");
	char name[32] = "";
	size_t i;

	if (sscanf(status, "Name:\t%31[^\n]", name) != 1 || !caps ||
	    !(strtoull(caps + 8, NULL, 16) >> CAP_SYS_TIME_BIT & 1))
		return NULL;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]) && !is_harmless(name, cmdline, cmdline_len))
			return names[i];
	return NULL;
}

static size_t slurp(const char *pid, const char *file, char *buf, size_t size)
{
	char path[300];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, file);
	f = fopen(path, "re");
	if (f) {
		n = fread(buf, 1, size - 1, f);
		fclose(f);
	}
	buf[n] = '\0';
	return n;
}

/* weak: the unit test of the system clock brings its own */
__attribute__((weak)) bool system_rival(char *who, size_t len)
{
	char status[4096], cmdline[4096];
	const char *name = NULL;
	struct dirent *e;
	DIR *d = opendir("/proc");

	if (!d)
		return false;
	while (!name && (e = readdir(d))) {
		size_t n;

		if (e->d_name[0] < '1' || e->d_name[0] > '9' || atol(e->d_name) == getpid())
			continue;
		/* it may be gone by now: then both are empty */
		slurp(e->d_name, "status", status, sizeof(status));
		n = slurp(e->d_name, "cmdline", cmdline, sizeof(cmdline));
		name = rival_check(status, cmdline, n);
		if (name)
			snprintf(who, len, "%s (process %.12s)", name, e->d_name);
	}
	closedir(d);
	return name;
}
