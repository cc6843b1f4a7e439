// SPDX-License-Identifier: GPL-2.0-only
/* Dom0's record in Xenstore: see store.h. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "../log.h"
#include "store.h"

#define DOMAINS		"/local/domain"
/* The same as in drivers/xen/ffclock_xen.h */
#define DIR		"ffclock"
#define NODE		"clock"

#define PATH_MAX_LEN	64
/* Domain ids from here on are reserved (DOMID_FIRST_RESERVED) */
#define DOMID_LIMIT	0x7ff0U
#define RECORD_MAX	1024
/* Others' transactions are short: a conflict ends after a few tries or never */
#define TRIES		20

/**
 * struct domain - a domain that is served
 * @id: its id
 * @have: it has the present record
 * @err: errno of the latest failure that was told, 0: none
 * @next: list
 */
struct domain {
	unsigned int	id;
	bool		have;
	int		err;
	struct domain	*next;
};

/**
 * struct store - the connection
 * @xs: libxenstore's
 * @domains: those that are served
 * @record: the present one
 * @len: its length, 0: none yet
 */
struct store {
	struct xs_handle	*xs;
	struct domain		*domains;
	char			record[RECORD_MAX];
	size_t			len;
};

/* Is xenstored still there?  Any answer will do. */
static bool alive(struct store *s)
{
	unsigned int n;
	char **list = xs_directory(s->xs, XBT_NULL, DOMAINS, &n);

	free(list);
	return list || errno == ENOENT;
}

/* Owner Dom0, nobody else has access (first entry), but that domain may read */
static void permissions(struct xs_permissions p[2], unsigned int id)
{
	p[0].id = 0;
	p[0].perms = XS_PERM_NONE;
	p[1].id = id;
	p[1].perms = XS_PERM_READ;
}

static bool exact(struct store *s, xs_transaction_t t, const char *path, unsigned int id)
{
	struct xs_permissions want[2], *have;
	unsigned int n;
	bool same;

	have = xs_get_permissions(s->xs, t, path, &n);
	if (!have)
		return false;
	permissions(want, id);
	same = n == 2 && have[0].id == want[0].id && have[0].perms == want[0].perms &&
	       have[1].id == want[1].id && have[1].perms == want[1].perms;
	free(have);
	return same;
}

/* A node of this domain's with these permissions and no others */
static bool set_exact(struct store *s, xs_transaction_t t, const char *path, unsigned int id)
{
	struct xs_permissions p[2];

	permissions(p, id);
	return xs_set_permissions(s->xs, t, path, p, 2);
}

/* All within transaction @t.  Return: 0 or -errno */
static int place_in(struct store *s, xs_transaction_t t, unsigned int id)
{
	char home[PATH_MAX_LEN], dir[PATH_MAX_LEN], node[PATH_MAX_LEN];
	void *there;

	snprintf(home, sizeof(home), DOMAINS "/%u", id);
	snprintf(dir, sizeof(dir), DOMAINS "/%u/" DIR, id);
	snprintf(node, sizeof(node), DOMAINS "/%u/" DIR "/" NODE, id);
	if (!exact(s, t, node, id) || !exact(s, t, dir, id)) {
		unsigned int n;

		/* writing would make the folder of a domain that is gone */
		there = xs_get_permissions(s->xs, t, home, &n);
		if (!there)
			return -errno;
		free(there);
		if (!xs_mkdir(s->xs, t, dir) || !set_exact(s, t, dir, id) ||
		    !xs_write(s->xs, t, node, "", 0) || !set_exact(s, t, node, id))
			return -errno;
	}
	return xs_write(s->xs, t, node, s->record, (unsigned int)s->len) ? 0 : -errno;
}

/* Return: 0 or -errno */
static int place(struct store *s, unsigned int id)
{
	int i, err = -EAGAIN;

	for (i = 0; i < TRIES && err == -EAGAIN; i++) {
		xs_transaction_t t = xs_transaction_start(s->xs);

		if (t == XBT_NULL)
			return -errno;
		err = place_in(s, t, id);
		if (!xs_transaction_end(s->xs, t, err != 0) && !err)
			err = -errno;
	}
	return err;
}

static const char *advice(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return ": this must run in Dom0, as root";
	case ENOSPC:
	case EDQUOT:
	case E2BIG:
		return ": a quota of xenstored (xenstored --help: --quota)";
	default:
		return "";
	}
}

/* Return: 0, -ENOTCONN, or the errno that kept the record from this domain */
static int serve(struct store *s, struct domain *d)
{
	int err = place(s, d->id);

	d->have = !err;
	if (!err) {
		if (d->err)
			log_notice("domain %u: has the clock now", d->id);
		d->err = 0;
		return 0;
	}
	if (!alive(s))
		return -ENOTCONN;
	/* gone while we looked: its release is on the way */
	if (err != -ENOENT && d->err != -err) {
		log_err("domain %u: cannot write the clock: %s%s", d->id, strerror(-err),
			advice(-err));
		d->err = -err;
	}
	return err;
}

static int serve_all(struct store *s, bool all)
{
	struct domain *d;
	int left = 0;

	if (!s->len)
		return 0;
	for (d = s->domains; d; d = d->next) {
		if (d->have && !all)
			continue;
		d->have = false;
		if (serve(s, d) == -ENOTCONN)
			return -ENOTCONN;
		left += !d->have;
	}
	return left;
}

static bool known(const struct store *s, unsigned int id)
{
	const struct domain *d;

	for (d = s->domains; d; d = d->next)
		if (d->id == id)
			return true;
	return false;
}

static void forget_gone(struct store *s)
{
	struct domain **p = &s->domains, *d;

	while (*p) {
		d = *p;
		if (xs_is_domain_introduced(s->xs, d->id)) {
			p = &d->next;
			continue;
		}
		*p = d->next;
		log_info("domain %u: gone", d->id);
		free(d);
	}
}

/* Which domains are there?  Return: 0 or -ENOTCONN */
static int scan(struct store *s)
{
	unsigned int n, i;
	struct domain *d;
	char **list;

	list = xs_directory(s->xs, XBT_NULL, DOMAINS, &n);
	if (!list)
		return alive(s) ? 0 : -ENOTCONN;
	forget_gone(s);
	for (i = 0; i < n; i++) {
		char *end;
		unsigned long id = strtoul(list[i], &end, 10);

		/* 0 is ourselves.  Permissions need a domain that xenstored knows. */
		if (*end || !id || id >= DOMID_LIMIT || known(s, (unsigned int)id) ||
		    !xs_is_domain_introduced(s->xs, (unsigned int)id))
			continue;
		d = calloc(1, sizeof(*d));
		if (!d)
			break;
		d->id = (unsigned int)id;
		d->next = s->domains;
		s->domains = d;
		log_info("domain %u: new", d->id);
	}
	free(list);
	return 0;
}

struct store *store_open(void)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return NULL;
	s->xs = xs_open(0);
	if (!s->xs)
		goto fail;
	if (!xs_watch(s->xs, "@introduceDomain", "in") ||
	    !xs_watch(s->xs, "@releaseDomain", "out"))
		goto fail;
	if (scan(s)) {
		errno = ENOTCONN;
		goto fail;
	}
	return s;

fail:
	err = errno;
	store_close(s);
	errno = err;
	return NULL;
}

void store_close(struct store *s)
{
	struct domain *d;

	if (!s)
		return;
	if (s->xs)
		xs_close(s->xs);
	while ((d = s->domains)) {
		s->domains = d->next;
		free(d);
	}
	free(s);
}

int store_fd(const struct store *s)
{
	return xs_fileno(s->xs);
}

int store_event(struct store *s)
{
	char **event;
	int err;

	errno = 0;
	while ((event = xs_check_watch(s->xs)))
		free(event);
	if (errno && errno != EAGAIN && !alive(s))
		return -ENOTCONN;
	err = scan(s);
	if (err)
		return err;
	err = serve_all(s, false);
	return err < 0 ? err : 0;
}

int store_publish(struct store *s, const char *text, size_t len)
{
	int err;

	if (!len || len > sizeof(s->record))
		return -EINVAL;
	memcpy(s->record, text, len);
	s->len = len;
	err = serve_all(s, true);
	return err < 0 ? err : 0;
}

int store_retry(struct store *s)
{
	return serve_all(s, false);
}

unsigned int store_served(const struct store *s)
{
	const struct domain *d;
	unsigned int n = 0;

	for (d = s->domains; d; d = d->next)
		n += d->have;
	return n;
}
