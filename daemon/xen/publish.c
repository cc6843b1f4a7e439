// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock-xenpublish: takes Dom0's clock from ffclock_xen.ko to Xenstore.
 *
 * A program of its own, not a part of ffclockd: ffclockd talks to the network,
 * and who may write Dom0's Xenstore rules every guest.  This one listens to
 * nobody but the kernel and xenstored; it opens both, gives up root, and cannot
 * connect again: when xenstored is gone it ends, and its service starts it anew.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <linux/ffclock_record.h>

#include "../log.h"
#include "../notify.h"
#include "store.h"

#define RECORD		"/sys/devices/platform/ffclock_xen/record"
#define USER		"nobody"

/* While something is missing: the module, a record, a domain's node */
#define RETRY_MS	2000

struct options {
	const char	*record;
	const char	*user;
	int		debug;
	bool		once;
};

static const struct argp_option option_list[] = {
	{ "record", 'r', "FILE", 0, "The kernel's record (default " RECORD ")", 0 },
	{ "user", 'u', "USER", 0, "Whom to become (default " USER ")", 0 },
	{ "once", '1', NULL, 0, "Publish once and exit", 0 },
	{ "debug", 'd', NULL, 0, "Say more; twice: everything", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'r':
		o->record = arg;
		break;
	case 'u':
		o->user = arg;
		break;
	case '1':
		o->once = true;
		break;
	case 'd':
		o->debug++;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options	= option_list,
	.parser		= parse_option,
	.doc		= "Publish Dom0's feed-forward clock to the other Xen domains.",
};

static int become(const char *user)
{
	struct passwd *pw;

	if (geteuid())
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (!pw) {
		log_err("user %s: %s", user, errno ? strerror(errno) : "no such user (option -u)");
		return -1;
	}
	/* without KEEPCAPS all capabilities go with the user id */
	if (setgroups(0, NULL) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		log_err("cannot become user %s: %s", user, strerror(errno));
		return -1;
	}
	return 0;
}

/**
 * struct publisher - what the loop works on
 * @path: of the kernel's record
 * @fd: open there, or -1
 * @store: connection
 * @said: errno of the missing record that was told
 */
struct publisher {
	const char	*path;
	int		fd;
	struct store	*store;
	int		said;
};

static void say_missing(struct publisher *p, int err, const char *what)
{
	if (p->said != err)
		log_warn("%s: %s", p->path, what);
	p->said = err;
}

/*
 * Read the record, and pass it on if it is one.  Return: 0; -EAGAIN: there is
 * none; -ENOTCONN
 */
static int pass_on(struct publisher *p)
{
	char text[FFCLOCK_RECORD_MAX + 1];
	struct ffclock_record r;
	ssize_t len;
	int err;

	if (p->fd < 0)
		p->fd = open(p->path, O_RDONLY | O_CLOEXEC);
	len = p->fd < 0 ? -1 : pread(p->fd, text, sizeof(text), 0);
	if (len < 0) {
		say_missing(p, errno, errno == ENOENT ? "not there (modprobe ffclock_xen)" :
			    strerror(errno));
		if (p->fd >= 0)
			close(p->fd);
		p->fd = -1;
		return -EAGAIN;
	}
	if (!len) {
		say_missing(p, ENODATA, "no record yet (is Dom0's clock synchronised?)");
		return -EAGAIN;
	}
	err = ffclock_record_parse(text, (size_t)len, &r);
	if (err) {
		say_missing(p, -err, "not a record that this program understands");
		return -EAGAIN;
	}
	p->said = 0;
	err = store_publish(p->store, text, (size_t)len);
	if (!err)
		log_debug("record %llu to %u domains", (unsigned long long)r.seq,
			  store_served(p->store));
	return err;
}

/* Return: exit status */
static int loop(struct publisher *p, int signals)
{
	bool missing, first = true;
	int left;

	for (;;) {
		int got = pass_on(p), err;
		struct pollfd fds[] = {
			{ .fd = signals, .events = POLLIN },
			{ .fd = store_fd(p->store), .events = POLLIN },
			{ .fd = p->fd, .events = POLLPRI },
		};

		if (got == -ENOTCONN)
			goto gone;
		missing = got == -EAGAIN;
		if (first)
			notify_send("READY=1");
		first = false;
		for (;;) {
			left = store_retry(p->store);
			if (left == -ENOTCONN)
				goto gone;
			if (poll(fds, 3, missing || left ? RETRY_MS : -1) < 0) {
				if (errno == EINTR)
					continue;
				log_err("poll: %s", strerror(errno));
				return 1;
			}
			if (fds[0].revents)
				return 0;
			if (fds[1].revents) {
				err = store_event(p->store);
				if (err)
					goto gone;
			}
			if (fds[2].revents || missing)
				break;
		}
	}
gone:
	log_err("xenstored is gone: ending, to be started anew");
	return 1;
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
	struct options o = { .record = RECORD, .user = USER };
	struct publisher p = { .fd = -1 };
	int signals, ret = 1;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	log_setup(o.debug > 1 ? LOG_DEBUG : o.debug ? LOG_INFO : LOG_NOTICE, false);
	p.path = o.record;
	/* before libxenstore starts its thread, which is to have them blocked too */
	signals = signals_open();
	if (signals < 0) {
		log_err("signals: %s", strerror(errno));
		return 1;
	}
	p.store = store_open();
	if (!p.store) {
		log_err("xenstored: %s%s", strerror(errno),
			errno == EACCES ? " (start this as root, in Dom0)" : "");
		goto out;
	}
	if (become(o.user))
		goto out;
	if (o.once)
		ret = pass_on(&p) ? 1 : 0;
	else
		ret = loop(&p, signals);
out:
	if (p.fd >= 0)
		close(p.fd);
	store_close(p.store);
	close(signals);
	return ret;
}
