// SPDX-License-Identifier: GPL-2.0-only
/* Giving up what the daemon does not need: see privs.h. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "log.h"
#include "privs.h"

static int set_caps(bool set_time)
{
	static const cap_value_t keep[] = { CAP_SYS_TIME };
	cap_flag_value_t have = CAP_CLEAR;
	cap_t now = cap_get_proc();
	cap_t caps = cap_init();
	int ret = -1;

	if (!now || !caps)
		goto out;
	if (cap_get_flag(now, CAP_SYS_TIME, CAP_PERMITTED, &have))
		goto out;
	if (set_time && have == CAP_SET &&
	    (cap_set_flag(caps, CAP_PERMITTED, 1, keep, CAP_SET) ||
	     cap_set_flag(caps, CAP_EFFECTIVE, 1, keep, CAP_SET)))
		goto out;
	ret = cap_set_proc(caps);
out:
	if (now)
		cap_free(now);
	if (caps)
		cap_free(caps);
	return ret;
}

static int become(const char *user)
{
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (!pw) {
		log_err("user %s: %s", user, errno ? strerror(errno) :
			"no such user (adduser --system --no-create-home NAME)");
		return -1;
	}
	/* capabilities would go with the user id */
	if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL) ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid)) {
		log_err("cannot become user %s: %s", user, strerror(errno));
		return -1;
	}
	return 0;
}

int privs_drop(const char *user, bool set_time)
{
	int cap;

	/* the bounding set first: that needs CAP_SETPCAP, so only root can */
	if (!geteuid())
		for (cap = 0; cap <= CAP_LAST_CAP; cap++)
			if (cap != CAP_SYS_TIME || !set_time)
				prctl(PR_CAPBSET_DROP, cap);
	if (*user && !geteuid() && become(user))
		return -1;
	if (set_caps(set_time)) {
		log_err("cannot drop capabilities: %s", strerror(errno));
		return -1;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		log_err("cannot set no_new_privs: %s", strerror(errno));
		return -1;
	}
	return 0;
}
