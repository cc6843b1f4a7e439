// SPDX-License-Identifier: GPL-2.0-only
/* Talking to ffclock-hostd: see ask.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "ask.h"

/* How long the daemon may take: it answers in microseconds, or hangs */
#define PATIENCE_SEC	5

/* a status of 10,000 guests is some 5 MB */
#define ANSWER_MAX	(64 << 20)

int ask_address(const char *path, struct sockaddr_un *sa)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	strcpy(sa->sun_path, path);
	return 0;
}

int ask_hostd(const char *path, const char *line, char **out)
{
	struct timeval patience = { .tv_sec = PATIENCE_SEC };
	struct sockaddr_un sa;
	char *text = NULL, buf[4096];
	size_t size, total = 0;
	int fd, err;
	ssize_t n;
	FILE *f;

	err = ask_address(path, &sa);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 ||
	    send(fd, "\n", 1, MSG_NOSIGNAL) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	f = open_memstream(&text, &size);
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		total += (size_t)n;
		if (total <= ANSWER_MAX)
			fwrite(buf, 1, (size_t)n, f);
	}
	err = n < 0 ? -errno : 0;
	close(fd);
	if (fclose(f) || err || !size) {
		free(text);
		return err ? err : -EPIPE;
	}
	*out = text;
	return 0;
}
