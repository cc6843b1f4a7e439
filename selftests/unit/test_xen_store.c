// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ffclock-xenpublish does with Xenstore: daemon/xen/store.c, against a
 * xenstored of our own that fails on demand.  Dom0 is above xenstored's quotas,
 * so real Xen never shows these errors.
 */
#include <stdio.h>

#if !__has_include(<xenstore.h>)
int main(void)
{
	printf("1..0 # SKIP no xenstore.h (apt-get install libxen-dev)\n");
	return 77;
}
#else

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>
#include <xenstore.h>

#include "../../daemon/log.h"
#include "../../daemon/xen/store.h"

#define NODES	32
#define DOMAINS	8

/* One node of the fake tree */
struct node {
	char			path[64];
	char			value[64];
	struct xs_permissions	perms[4];
	unsigned int		n;
};

/**
 * struct fake - xenstored as the test wants it
 * @nodes: the tree; a transaction works on @work, a copy
 * @introduced: by domain id
 * @conflicts: transactions that end with EAGAIN before one succeeds
 * @write_error: errno of every write of a value, 0: none
 * @dead: xenstored is gone
 * @left: a domain that disappears when the next transaction begins, 0: none
 * @logged: messages of LOG_ERR or worse
 */
static struct fake {
	struct node	nodes[NODES], work[NODES];
	bool		introduced[DOMAINS];
	int		conflicts;
	int		write_error;
	bool		dead;
	unsigned int	left;
	int		transactions;
	int		logged;
} f;

static struct node *tree(xs_transaction_t t)
{
	return t == XBT_NULL ? f.nodes : f.work;
}

static struct node *find(struct node *nodes, const char *path)
{
	int i;

	for (i = 0; i < NODES; i++)
		if (!strcmp(nodes[i].path, path))
			return &nodes[i];
	return NULL;
}

static void remove_below(struct node *nodes, const char *path)
{
	int i;

	for (i = 0; i < NODES; i++)
		if (!strncmp(nodes[i].path, path, strlen(path)))
			memset(&nodes[i], 0, sizeof(nodes[i]));
}

/* As xenstored does: with the folders above it, and their permissions */
static struct node *make(struct node *nodes, const char *path)
{
	struct node *n = find(nodes, path), *parent;
	char above[64], *slash;

	if (n)
		return n;
	snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	assert_non_null(slash);
	*slash = '\0';
	parent = *above ? make(nodes, above) : NULL;
	n = find(nodes, "");
	assert_non_null(n);
	snprintf(n->path, sizeof(n->path), "%s", path);
	n->n = parent ? parent->n : 1;
	if (parent)
		memcpy(n->perms, parent->perms, sizeof(n->perms));
	return n;
}

static void home(unsigned int id, bool introduced)
{
	char path[64];
	struct node *n;

	snprintf(path, sizeof(path), "/local/domain/%u", id);
	n = make(f.nodes, path);
	n->n = 2;
	n->perms[0] = (struct xs_permissions){ .id = 0, .perms = XS_PERM_NONE };
	n->perms[1] = (struct xs_permissions){ .id = id, .perms = XS_PERM_READ };
	f.introduced[id] = introduced;
}

static void gone(unsigned int id)
{
	char path[64];

	snprintf(path, sizeof(path), "/local/domain/%u", id);
	remove_below(f.nodes, path);
	f.introduced[id] = false;
}

/* libxenstore ---------------------------------------------------------------- */

static struct xs_handle { int x; } handle;

struct xs_handle *xs_open(unsigned long flags)
{
	(void)flags;
	if (f.dead)
		errno = ECONNREFUSED;
	return f.dead ? NULL : &handle;
}

void xs_close(struct xs_handle *h)
{
	(void)h;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	(void)h;
	(void)token;
	return *path == '@';
}

int xs_fileno(struct xs_handle *h)
{
	(void)h;
	return -1;
}

char **xs_check_watch(struct xs_handle *h)
{
	(void)h;
	errno = EAGAIN;
	return NULL;
}

static bool alive(void)
{
	if (f.dead)
		errno = EIO;
	return !f.dead;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	char **list = calloc(1, NODES * (sizeof(char *) + 16)), *text = (char *)(list + NODES);
	int i;

	(void)h;
	(void)t;
	*num = 0;
	assert_string_equal(path, "/local/domain");
	for (i = 0; i < NODES; i++) {
		const char *name = f.nodes[i].path + strlen("/local/domain/");

		if (strncmp(f.nodes[i].path, "/local/domain/", 14) || strchr(name, '/'))
			continue;
		list[*num] = text;
		text += sprintf(text, "%s", name) + 1;
		++*num;
	}
	if (alive())
		return list;
	free(list);
	return NULL;
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
	(void)h;
	return !f.dead && domid < DOMAINS && f.introduced[domid];
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	(void)h;
	if (!alive())
		return XBT_NULL;
	f.transactions++;
	if (f.left)
		gone(f.left);
	memcpy(f.work, f.nodes, sizeof(f.work));
	return 7;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	(void)h;
	assert_int_equal(t, 7);
	if (!alive())
		return false;
	if (abort)
		return true;
	if (f.conflicts) {
		f.conflicts--;
		errno = EAGAIN;
		return false;
	}
	memcpy(f.nodes, f.work, sizeof(f.nodes));
	return true;
}

struct xs_permissions *xs_get_permissions(struct xs_handle *h, xs_transaction_t t,
					  const char *path, unsigned int *num)
{
	struct node *n = find(tree(t), path);
	struct xs_permissions *p;

	(void)h;
	if (!alive())
		return NULL;
	if (!n) {
		errno = ENOENT;
		return NULL;
	}
	p = calloc(4, sizeof(*p));
	memcpy(p, n->perms, sizeof(n->perms));
	*num = n->n;
	return p;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
			struct xs_permissions *perms, unsigned int num)
{
	struct node *n = find(tree(t), path);

	(void)h;
	assert_non_null(n);
	assert_true(num <= 4);
	memcpy(n->perms, perms, num * sizeof(*perms));
	n->n = num;
	return alive();
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	(void)h;
	make(tree(t), path);
	return alive();
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
	      unsigned int len)
{
	struct node *n;

	(void)h;
	if (!alive())
		return false;
	if (f.write_error) {
		errno = f.write_error;
		return false;
	}
	n = make(tree(t), path);
	assert_true(len < sizeof(n->value));
	memcpy(n->value, data, len);
	n->value[len] = '\0';
	return true;
}

/* Counts instead of printing */
void log_msg(int priority, const char *fmt, ...)
{
	(void)fmt;
	f.logged += priority <= LOG_ERR;
}

/* Tests ------------------------------------------------------------------------ */

static bool has(unsigned int id, const char *value)
{
	char path[64];
	struct node *n;
	int level;

	for (level = 0; level < 2; level++) {
		snprintf(path, sizeof(path), "/local/domain/%u/ffclock%s", id,
			 level ? "/clock" : "");
		n = find(f.nodes, path);
		if (!n)
			return false;
		/* never anything but these */
		assert_int_equal(n->n, 2);
		assert_int_equal(n->perms[0].id, 0);
		assert_int_equal(n->perms[0].perms, XS_PERM_NONE);
		assert_int_equal(n->perms[1].id, id);
		assert_int_equal(n->perms[1].perms, XS_PERM_READ);
	}
	return !strcmp(n->value, value);
}

static struct store *opened(void)
{
	struct store *s = store_open();

	assert_non_null(s);
	return s;
}

static int setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	make(f.nodes, "/local/domain");
	home(0, true);
	home(1, true);
	home(2, true);
	return 0;
}

static void test_everybody(void **state)
{
	struct store *s = opened();

	(void)state;
	assert_int_equal(store_publish(s, "one", 3), 0);
	assert_true(has(1, "one") && has(2, "one") && !has(0, "one"));
	assert_int_equal(store_served(s), 2);
	assert_int_equal(store_publish(s, "two", 3), 0);
	assert_true(has(1, "two") && has(2, "two"));
	store_close(s);
}

/* A domain is served when xenstored knows it, not before */
static void test_comes_and_goes(void **state)
{
	struct store *s = opened();

	(void)state;
	assert_int_equal(store_publish(s, "one", 3), 0);
	home(3, false);
	assert_int_equal(store_event(s), 0);
	assert_false(has(3, "one"));
	home(3, true);
	assert_int_equal(store_event(s), 0);
	assert_true(has(3, "one"));
	gone(2);
	assert_int_equal(store_event(s), 0);
	assert_int_equal(store_served(s), 2);
	/* another domain with the id of one that is gone */
	home(2, true);
	assert_int_equal(store_event(s), 0);
	assert_true(has(2, "one"));
	store_close(s);
}

/* Nothing is left of a domain that goes while it is served */
static void test_goes_meanwhile(void **state)
{
	struct store *s = opened();

	(void)state;
	assert_int_equal(store_publish(s, "one", 3), 0);
	f.left = 2;
	assert_int_equal(store_publish(s, "two", 3), 0);
	assert_true(has(1, "two"));
	assert_null(find(f.nodes, "/local/domain/2"));
	assert_null(find(f.nodes, "/local/domain/2/ffclock"));
	assert_int_equal(f.logged, 0);
	store_close(s);
}

static void test_wrong_permissions(void **state)
{
	struct store *s = opened();
	struct node *n;

	(void)state;
	/* somebody made the node, for everybody to write */
	n = make(f.nodes, "/local/domain/1/ffclock/clock");
	n->n = 1;
	n->perms[0] = (struct xs_permissions){ .id = 1, .perms = XS_PERM_READ | XS_PERM_WRITE };
	assert_int_equal(store_publish(s, "one", 3), 0);
	assert_true(has(1, "one"));
	store_close(s);
}

static void test_conflicts(void **state)
{
	struct store *s = opened();

	(void)state;
	f.conflicts = 5;
	assert_int_equal(store_publish(s, "one", 3), 0);
	assert_true(has(1, "one") && has(2, "one"));
	assert_int_equal(f.transactions, 7);
	/* one that never ends is given up, said, and tried again later */
	f.conflicts = 1000000;
	assert_int_equal(store_publish(s, "two", 3), 0);
	assert_int_equal(store_served(s), 0);
	assert_int_equal(f.logged, 2);
	assert_true(has(1, "one"));
	f.conflicts = 0;
	assert_int_equal(store_retry(s), 0);
	assert_true(has(1, "two") && has(2, "two"));
	store_close(s);
}

static void test_errors(void **state)
{
	static const int errors[] = { ENOSPC, E2BIG, EACCES, EINVAL };
	struct store *s = opened();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		f.logged = 0;
		f.write_error = errors[i];
		assert_int_equal(store_publish(s, "bad", 3), 0);
		assert_int_equal(store_retry(s), 2);
		assert_int_equal(store_retry(s), 2);
		/* once for each domain */
		assert_int_equal(f.logged, 2);
		f.write_error = 0;
		assert_int_equal(store_retry(s), 0);
		assert_true(has(1, "bad") && has(2, "bad"));
		assert_int_equal(store_publish(s, "good", 4), 0);
	}
	store_close(s);
}

static void test_dead(void **state)
{
	struct store *s = opened();

	(void)state;
	assert_int_equal(store_publish(s, "one", 3), 0);
	f.dead = true;
	assert_int_equal(store_publish(s, "two", 3), -ENOTCONN);
	assert_int_equal(store_event(s), -ENOTCONN);
	assert_int_equal(store_retry(s), -ENOTCONN);
	store_close(s);
	assert_null(store_open());
}

static void test_size(void **state)
{
	struct store *s = opened();
	char big[2048] = "";

	(void)state;
	assert_int_equal(store_publish(s, big, sizeof(big)), -EINVAL);
	assert_int_equal(store_publish(s, big, 0), -EINVAL);
	assert_int_equal(store_retry(s), 0);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_everybody, setup),
		cmocka_unit_test_setup(test_comes_and_goes, setup),
		cmocka_unit_test_setup(test_goes_meanwhile, setup),
		cmocka_unit_test_setup(test_wrong_permissions, setup),
		cmocka_unit_test_setup(test_conflicts, setup),
		cmocka_unit_test_setup(test_errors, setup),
		cmocka_unit_test_setup(test_dead, setup),
		cmocka_unit_test_setup(test_size, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
