// SPDX-License-Identifier: GPL-2.0-only
/* Messages: see log.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

static int max_level = LOG_NOTICE;
static bool to_syslog;
static bool to_journal;

/* systemd names the journal's socket in JOURNAL_STREAM as DEVICE:INODE */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	if (fstat(STDERR_FILENO, &st))
		return false;
	return st.st_dev == dev && st.st_ino == ino;
}

void log_setup(int level, bool use_syslog)
{
	max_level = level;
	to_journal = stderr_is_journal();
	if (use_syslog && !to_syslog)
		openlog(program_invocation_short_name, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	to_syslog = use_syslog;
}

bool log_wants(int priority)
{
	return priority <= max_level;
}

void log_msg(int priority, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!log_wants(priority))
		return;
	va_start(ap, fmt);
	if (to_syslog) {
		vsyslog(priority, fmt, ap);
	} else {
		vsnprintf(line, sizeof(line), fmt, ap);
		if (to_journal)
			fprintf(stderr, "<%d>%s\n", priority, line);
		else
			fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
	}
	va_end(ap);
}
