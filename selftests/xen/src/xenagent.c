// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands for a domU by way of Xenstore, over the raw device: no libraries, and
 * nothing to do while there are none, which counts under emulation.
 *
 *	xenagent serve				in the domU: for ever
 *	xenagent call DOMID SECONDS COMMAND	in dom0: its output and status
 *	xenagent wait DOMID SECONDS		in dom0: until the domU serves
 *
 * data/cmd holds "ID COMMAND", data/out the end of the output, data/rsp "ID CODE".
 * Watches outlive a migration; the nodes do not.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEVICE		"/dev/xen/xenbus"
#define PAYLOAD		4096	/* XENSTORE_PAYLOAD_MAX */
#define OUTPUT		1900	/* a domU's node holds 2048 bytes */

/* xen/include/public/io/xs_wire.h */
enum { XS_READ = 2, XS_WATCH = 4, XS_WRITE = 11, XS_EVENT = 15, XS_ERROR = 16 };

struct message {
	uint32_t	type, id, transaction, len;
};

static int bus;
static bool event;	/* one came while an answer was waited for */

static __attribute__((noreturn)) void fail(const char *what)
{
	fprintf(stderr, "xenagent: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void get(void *to, size_t len)
{
	char *p = to;
	ssize_t n;

	while (len) {
		n = read(bus, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("read " DEVICE);
		p += n;
		len -= (size_t)n;
	}
}

/* One message; its payload ends with a zero in @text[PAYLOAD + 1] */
static uint32_t receive(char *text)
{
	struct message m;

	get(&m, sizeof(m));
	if (m.len > PAYLOAD) {
		errno = EPROTO;
		fail("message");
	}
	get(text, m.len);
	text[m.len] = '\0';
	return m.type;
}

/* Return: whether it was carried out; the answer is in @answer */
static bool request(uint32_t type, const char *a, size_t alen, const char *b, size_t blen,
		    char *answer)
{
	char text[sizeof(struct message) + 2 * PAYLOAD];
	struct message m = { .type = type, .id = 1, .len = (uint32_t)(alen + blen) };
	uint32_t got;

	memcpy(text, &m, sizeof(m));
	memcpy(text + sizeof(m), a, alen);
	memcpy(text + sizeof(m) + alen, b, blen);
	if (write(bus, text, sizeof(m) + alen + blen) < 0)
		fail("write " DEVICE);
	while ((got = receive(answer)) == XS_EVENT)
		event = true;
	return got != XS_ERROR;
}

static bool store_read(const char *path, char *value)
{
	return request(XS_READ, path, strlen(path) + 1, "", 0, value);
}

static bool store_write(const char *path, const char *value)
{
	char answer[PAYLOAD + 1];

	return request(XS_WRITE, path, strlen(path) + 1, value, strlen(value), answer);
}

static void store_watch(const char *path)
{
	char answer[PAYLOAD + 1];

	if (!request(XS_WATCH, path, strlen(path) + 1, "x", 2, answer)) {
		errno = EACCES;
		fail(path);
	}
}

/* Wait for an event, at most @ms ms (-1: for ever).  Return: whether one came */
static bool store_event(int ms)
{
	struct pollfd p = { .fd = bus, .events = POLLIN };
	char text[PAYLOAD + 1];

	if (event) {
		event = false;
		return true;
	}
	if (poll(&p, 1, ms) <= 0)
		return false;
	receive(text);
	return true;
}

static void run(char *command, const char *id)
{
	static char out[65536];
	char code[64], end[OUTPUT + 1];
	size_t len = 0, n;
	FILE *f;
	int rc;

	f = popen(command, "r");
	if (!f)
		fail("popen");
	while ((n = fread(out + len, 1, sizeof(out) - len, f))) {
		len += n;
		if (len > sizeof(out) / 2) {
			memmove(out, out + len - OUTPUT, OUTPUT);
			len = OUTPUT;
		}
	}
	rc = pclose(f);
	n = len > OUTPUT ? OUTPUT : len;
	memcpy(end, out + len - n, n);
	end[n] = '\0';
	snprintf(code, sizeof(code), "%s %d", id, WIFEXITED(rc) ? WEXITSTATUS(rc) : 126);
	store_write("data/out", end);
	store_write("data/rsp", code);
}

static __attribute__((noreturn)) void serve(void)
{
	char value[PAYLOAD + 1], last[32] = "", shell[PAYLOAD + 32], *blank;

	store_watch("data/cmd");
	store_write("data/ready", "1");
	for (;;) {
		store_event(-1);
		if (!store_read("data/cmd", value))
			continue;
		blank = strchr(value, ' ');
		if (!blank || blank - value >= (ssize_t)sizeof(last))
			continue;
		*blank = '\0';
		if (!strcmp(value, last))
			continue;
		strcpy(last, value);
		snprintf(shell, sizeof(shell), "{ %s\n} 2>&1 </dev/null", blank + 1);
		run(shell, last);
	}
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Wait until @path begins with @prefix; its value */
static bool until(const char *path, const char *prefix, int64_t end, char *value)
{
	for (;;) {
		int64_t left = end - now_ms();

		if (store_read(path, value) && !strncmp(value, prefix, strlen(prefix)))
			return true;
		if (left <= 0)
			return false;
		store_event((int)left);
	}
}

static int call(const char *domid, const char *seconds, const char *command)
{
	char path[64], value[PAYLOAD + 1], id[32], out[PAYLOAD + 1];
	int64_t end = now_ms() + atol(seconds) * 1000;

	snprintf(id, sizeof(id), "%ld.%d ", (long)time(NULL), getpid());
	snprintf(path, sizeof(path), "/local/domain/%s/data/rsp", domid);
	store_watch(path);
	snprintf(value, sizeof(value), "%s%s", id, command);
	snprintf(path, sizeof(path), "/local/domain/%s/data/cmd", domid);
	if (!store_write(path, value))
		return 98;
	snprintf(path, sizeof(path), "/local/domain/%s/data/rsp", domid);
	if (!until(path, id, end, value))
		return 99;
	snprintf(path, sizeof(path), "/local/domain/%s/data/out", domid);
	if (!store_read(path, out))
		return 97;
	printf("rc %s\n%s\n", value + strlen(id), out);
	return 0;
}

static int wait_for(const char *domid, const char *seconds)
{
	char path[64], value[PAYLOAD + 1];

	snprintf(path, sizeof(path), "/local/domain/%s/data/ready", domid);
	store_watch(path);
	return !until(path, "1", now_ms() + atol(seconds) * 1000, value);
}

int main(int argc, char **argv)
{
	bus = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (bus < 0)
		fail(DEVICE);
	if (argc == 2 && !strcmp(argv[1], "serve"))
		serve();
	if (argc == 5 && !strcmp(argv[1], "call"))
		return call(argv[2], argv[3], argv[4]);
	if (argc == 4 && !strcmp(argv[1], "wait"))
		return wait_for(argv[2], argv[3]);
	fprintf(stderr, "usage: xenagent serve | call DOMID SECONDS COMMAND | wait DOMID SECONDS\n");
	return 2;
}
