// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wire that xl migrates over.
 *
 *	xenwire connect ADDRESS PORT		stdin and stdout to a connection
 *	xenwire listen PORT COMMAND...		runs COMMAND on each connection
 *
 * What ssh would do, without the ciphers, which under QEMU's emulation cost
 * minutes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[1 << 18];

static __attribute__((noreturn)) void fail(const char *what)
{
	fprintf(stderr, "xenwire: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int tcp(const char *address, const char *port, struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0)
		fail("socket");
	memset(a, 0, sizeof(*a));
	a->sin_family = AF_INET;
	a->sin_port = htons((uint16_t)atoi(port));
	if (!inet_aton(address, &a->sin_addr))
		fail(address);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

/* Move what is there.  Return: whether there may be more */
static bool pump(int from, int to)
{
	ssize_t n = read(from, buffer, sizeof(buffer)), done, m;

	if (n < 0)
		fail("read");
	for (done = 0; done < n; done += m) {
		m = write(to, buffer + done, (size_t)(n - done));
		if (m <= 0)
			fail("write");
	}
	return n > 0;
}

static int relay(const char *address, const char *port)
{
	struct sockaddr_in a;
	int fd = tcp(address, port, &a);
	struct pollfd p[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		fail("connect");
	for (;;) {
		if (poll(p, 2, -1) < 0)
			fail("poll");
		if (p[1].revents && !pump(fd, STDOUT_FILENO))
			return 0;
		if (p[0].revents && !pump(STDIN_FILENO, fd)) {
			shutdown(fd, SHUT_WR);
			p[0].fd = -1;
		}
	}
}

static __attribute__((noreturn)) void serve(const char *port, char **command)
{
	struct sockaddr_in a;
	int fd = tcp("0.0.0.0", port, &a), c;

	signal(SIGCHLD, SIG_IGN);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4))
		fail("listen");
	for (;;) {
		c = accept(fd, NULL, NULL);
		if (c < 0)
			fail("accept");
		if (!fork()) {
			signal(SIGCHLD, SIG_DFL);
			dup2(c, STDIN_FILENO);
			dup2(c, STDOUT_FILENO);
			close(c);
			close(fd);
			execvp(command[0], command);
			fail(command[0]);
		}
		close(c);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "connect"))
		return relay(argv[2], argv[3]);
	if (argc >= 4 && !strcmp(argv[1], "listen"))
		serve(argv[2], argv + 3);
	fprintf(stderr, "usage: xenwire connect ADDRESS PORT | listen PORT COMMAND...\n");
	return 2;
}
