// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer: what comes from xenstored through /dev/xen/xenbus.
 *
 * Input: a byte of options, then the stream.  It comes in two pieces, cut where the
 * option says.  An answer must lie within the buffer, and after the other end is closed
 * there must be an end of answers.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xenbus.h"

#define CHECK(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All answers there are: false when the connection is to be given up */
static bool drain(struct xenbus *x)
{
	const char *text;
	size_t len, sum = 0, i;
	int ret;

	while (!(ret = xenbus_answer(x, &text, &len))) {
		CHECK(text >= x->in && len <= XENBUS_PAYLOAD_MAX &&
		      text + len <= x->in + sizeof(x->in));
		for (i = 0; i < len; i++)	/* for ASan */
			sum += (unsigned char)text[i];
		CHECK(sum <= 255 * len);
		sum = 0;
	}
	CHECK(ret < 0 && x->have <= sizeof(x->in));
	return ret == -EAGAIN || ret == -ENOENT || ret == -EACCES || ret == -EINVAL ||
		ret == -ENOMEM || ret == -EREMOTEIO;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xenbus x = { 0 };
	size_t cut, tries;
	char question[64];
	int pair[2];

	if (!size)
		return 0;
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
	x.fd = pair[0];
	CHECK(!xenbus_read(&x, "ffclock/clock"));
	CHECK(read(pair[1], question, sizeof(question)) > XENBUS_HEADER);
	cut = (size - 1) * data[0] / 255;
	CHECK(write(pair[1], data + 1, cut) == (ssize_t)cut);
	if (drain(&x)) {
		CHECK(write(pair[1], data + 1 + cut, size - 1 - cut) == (ssize_t)(size - 1 - cut));
		close(pair[1]);
		pair[1] = -1;
		/* each error that leaves it usable has eaten a message of 16 bytes */
		for (tries = 0; tries <= size / XENBUS_HEADER + 1 && drain(&x); tries++)
			;
		CHECK(tries <= size / XENBUS_HEADER + 1);
	}
	close(pair[0]);
	if (pair[1] >= 0)
		close(pair[1]);
	return 0;
}
