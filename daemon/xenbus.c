// SPDX-License-Identifier: GPL-2.0-only
/* Xenstore's wire protocol: see xenbus.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "xenbus.h"

/* enum xsd_sockmsg_type */
#define XS_READ		2
#define XS_ERROR	16

struct header {
	uint32_t	type;
	uint32_t	request;
	uint32_t	transaction;
	uint32_t	len;
};
_Static_assert(sizeof(struct header) == XENBUS_HEADER, "as on the wire, host byte order");

int xenbus_read(struct xenbus *x, const char *path)
{
	char out[XENBUS_HEADER + 256];
	size_t len = strlen(path) + 1;
	struct header h = { .type = XS_READ, .request = ++x->request, .len = (uint32_t)len };
	ssize_t n;

	if (len > sizeof(out) - sizeof(h))
		return -ENAMETOOLONG;
	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), path, len);
	/* at once: the kernel takes it when it is whole */
	n = write(x->fd, out, sizeof(h) + len);
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof(h) + len ? 0 : -EIO;
}

/* Errors travel as their names */
static int error_of(const char *name, size_t len)
{
	static const struct {
		const char	*name;
		int		err;
	} errors[] = {
		{ "ENOENT", ENOENT }, { "EACCES", EACCES }, { "EINVAL", EINVAL },
		{ "ENOMEM", ENOMEM },
	};
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (len == strlen(errors[i].name) + 1 && !memcmp(name, errors[i].name, len))
			return -errors[i].err;
	return -EREMOTEIO;
}

int xenbus_answer(struct xenbus *x, const char **text, size_t *len)
{
	struct header h;
	size_t want;
	ssize_t n;

	for (;;) {
		want = XENBUS_HEADER;
		if (x->have >= XENBUS_HEADER) {
			memcpy(&h, x->in, sizeof(h));
			if (h.len > XENBUS_PAYLOAD_MAX)
				return -EPROTO;
			want += h.len;
		}
		if (x->have < want) {
			n = read(x->fd, x->in + x->have, want - x->have);
			if (n < 0)
				return errno == EINTR ? -EAGAIN : -errno;
			if (!n)
				return -ENODATA;
			x->have += (size_t)n;
			continue;
		}
		x->have = 0;
		/* of an earlier question, which was given up */
		if (h.request != x->request)
			continue;
		*text = x->in + XENBUS_HEADER;
		*len = h.len;
		if (h.type == XS_ERROR)
			return error_of(*text, *len);
		return h.type == XS_READ ? 0 : -EPROTO;
	}
}
