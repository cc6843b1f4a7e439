// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TCP connection with traffic, for the comparison: what does it do while the
 * guest at one end is migrated?
 *
 *	ffdemo-traffic serve PORT		sends back what it gets
 *	ffdemo-traffic run ADDRESS PORT FILE	a message every 20 ms, and notes on it
 *
 * run writes to FILE a line each for
 *
 *	e TSC SENT_TSC		an answer, and when its message was written
 *	i TSC RETRANS RTT RTO TIMESTAMPS	TCP_INFO, ten times a second: segments
 *			sent again so far; round trip and retransmission time [us];
 *			1 if both ends use the timestamps option
 *	x TSC WHY		the connection is lost
 *
 * serve answers the line "report" on its standard input with "peer ADDRESS RETRANS"
 * for each connection, then "report done"; it ends with its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define NSEC_PER_SEC	1000000000LL
#define SEND_NS		20000000LL
#define INFO_NS		100000000LL
/* Lines wait in memory so long, and are lost if we are killed before */
#define FLUSH_NS	500000000LL
/* The other guest may still boot */
#define CONNECT_NS	(60 * NSEC_PER_SEC)

#define CLIENTS_MAX	16

struct message {
	uint64_t	number;
	uint64_t	tsc;
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "ffdemo-traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool tcp_info(int fd, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len);
}

static void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* serve ---------------------------------------------------------------------- */

struct client {
	struct sockaddr_in	sa;
	unsigned int		retrans;	/* as of the last look */
};

static void report(struct pollfd *fds, struct client *clients)
{
	char address[INET_ADDRSTRLEN];
	struct tcp_info info;

	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (!clients[i].sa.sin_family)
			continue;
		if (fds[2 + i].fd >= 0 && tcp_info(fds[2 + i].fd, &info))
			clients[i].retrans = info.tcpi_total_retrans;
		inet_ntop(AF_INET, &clients[i].sa.sin_addr, address, sizeof(address));
		printf("peer %s %u\n", address, clients[i].retrans);
	}
	printf("report done\n");
	fflush(stdout);
}

static void take_client(int listener, struct pollfd *fds, struct client *clients)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (clients[i].sa.sin_family)
			continue;
		no_delay(fd);
		clients[i].sa = sa;
		fds[2 + i].fd = fd;
		return;
	}
	close(fd);
}

/* Send back what is there; a full send buffer drops it, which the other end sees */
static void answer(struct pollfd *slot)
{
	char buffer[4096];
	ssize_t got = recv(slot->fd, buffer, sizeof(buffer), 0);

	if (got > 0) {
		if (send(slot->fd, buffer, (size_t)got, MSG_NOSIGNAL) == got || errno == EAGAIN)
			return;
	} else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	close(slot->fd);
	slot->fd = -1;
}

static int serve(int port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct client clients[CLIENTS_MAX] = { 0 };
	struct pollfd fds[2 + CLIENTS_MAX];
	char line[64];
	int one = 1;

	for (int i = 0; i < 2 + CLIENTS_MAX; i++)
		fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	fds[0].fd = STDIN_FILENO;
	fds[1].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fds[1].fd < 0 ||
	    setsockopt(fds[1].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fds[1].fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fds[1].fd, CLIENTS_MAX))
		die("cannot listen");
	printf("serving\n");
	fflush(stdout);
	for (;;) {
		if (poll(fds, 2 + CLIENTS_MAX, -1) < 0)
			die("poll");
		if (fds[0].revents) {
			ssize_t got = read(STDIN_FILENO, line, sizeof(line) - 1);

			if (got <= 0)
				return 0;
			line[got] = '\0';
			if (!strncmp(line, "report", 6))
				report(fds, clients);
			else if (!strncmp(line, "quit", 4))
				return 0;
		}
		if (fds[1].revents)
			take_client(fds[1].fd, fds, clients);
		for (int i = 2; i < 2 + CLIENTS_MAX; i++)
			if (fds[i].fd >= 0 && fds[i].revents)
				answer(&fds[i]);
	}
}

/* run ------------------------------------------------------------------------ */

static int reach(const char *address, int port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int64_t give_up = now_ns() + CONNECT_NS;
	int fd;

	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1) {
		errno = EINVAL;
		die(address);
	}
	for (;;) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			die("socket");
		if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
			return fd;
		close(fd);
		if (now_ns() > give_up)
			die(address);
		usleep(200000);
	}
}

static void note_info(FILE *out, int fd)
{
	struct tcp_info info;

	if (tcp_info(fd, &info))
		fprintf(out, "i %" PRIu64 " %u %u %u %d\n", (uint64_t)__rdtsc(),
			info.tcpi_total_retrans, info.tcpi_rtt, info.tcpi_rto,
			!!(info.tcpi_options & TCPI_OPT_TIMESTAMPS));
}

static int run(const char *address, int port, const char *file)
{
	FILE *out = fopen(file, "we");
	int64_t next, info, flush;
	uint64_t number = 0;
	size_t have = 0;
	struct message in;
	int fd;

	if (!out)
		die(file);
	fd = reach(address, port);
	no_delay(fd);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	next = info = flush = now_ns();
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t now = now_ns();
		ssize_t got;

		if (now < next) {
			struct timespec ts = { .tv_nsec = next - now };

			if (ppoll(&pfd, 1, &ts, NULL) < 0)
				die("poll");
		}
		got = recv(fd, (char *)&in + have, sizeof(in) - have, 0);
		if (!got || (got < 0 && errno != EAGAIN)) {
			fprintf(out, "x %" PRIu64 " %s\n", (uint64_t)__rdtsc(),
				got ? strerror(errno) : "closed");
			fclose(out);
			return 1;
		}
		if (got > 0) {
			have += (size_t)got;
			if (have == sizeof(in)) {
				fprintf(out, "e %" PRIu64 " %" PRIu64 "\n", (uint64_t)__rdtsc(),
					in.tsc);
				have = 0;
			}
		}
		now = now_ns();
		if (now >= next) {
			struct message m = { .number = number++, .tsc = __rdtsc() };

			/* no room: the next one will do */
			if (send(fd, &m, sizeof(m), MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
				fprintf(out, "x %" PRIu64 " %s\n", m.tsc, strerror(errno));
				fclose(out);
				return 1;
			}
			next += SEND_NS;
			if (next < now)
				next = now + SEND_NS;
		}
		if (now >= info) {
			note_info(out, fd);
			info = now + INFO_NS;
		}
		if (now >= flush) {
			fflush(out);
			flush = now + FLUSH_NS;
		}
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(atoi(argv[2]));
	if (argc == 5 && !strcmp(argv[1], "run"))
		return run(argv[2], atoi(argv[3]), argv[4]);
	fprintf(stderr, "usage: ffdemo-traffic serve PORT | run ADDRESS PORT FILE\n");
	return 2;
}
