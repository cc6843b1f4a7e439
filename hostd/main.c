// SPDX-License-Identifier: GPL-2.0-only
/* ffclock-hostd: the host's clock on the page of every QEMU guest. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../daemon/log.h"
#include "../daemon/notify.h"
#include "ask.h"
#include "control.h"
#include "hostd.h"

#define CONF_DEFAULT	"/etc/ffclock-hostd.conf"

#ifndef FFCLOCK_VERSION
#define FFCLOCK_VERSION	"0.1.0"
#endif

const char *argp_program_version = "ffclock-hostd " FFCLOCK_VERSION;

enum { KEY_CHECK = 256, KEY_STATUS, KEY_METRICS, KEY_OFFSET, KEY_ASK };

static const struct argp_option options[] = {
	{ "config", 'c', "FILE", 0, "Configuration, not " CONF_DEFAULT, 0 },
	{ "verbose", 'v', NULL, 0, "More messages; repeatable", 0 },
	{ "syslog", 's', NULL, 0, "Messages to syslog", 0 },
	{ "check", KEY_CHECK, NULL, 0, "Check the configuration and end", 0 },
	{ NULL, 0, NULL, 0, "Talk to the daemon that runs:", 1 },
	{ "status", KEY_STATUS, NULL, 0, "Its clock and guests, as JSON", 1 },
	{ "metrics", KEY_METRICS, NULL, 0, "Its figures, for Prometheus", 1 },
	{ "offset", KEY_OFFSET, "GUEST=COUNTS[,BOUND]", 0,
	  "The guest's TSC is the host's plus COUNTS, to within BOUND (TCG)", 1 },
	{ "ask", KEY_ASK, "COMMAND", 0, "Any command of the control socket", 1 },
	{ 0 }
};

struct arguments {
	const char	*config;
	int		verbose;
	bool		syslog;
	bool		check;
	char		ask[512];
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *eq;

	switch (key) {
	case 'c':
		a->config = arg;
		return 0;
	case 'v':
		a->verbose++;
		return 0;
	case 's':
		a->syslog = true;
		return 0;
	case KEY_CHECK:
		a->check = true;
		return 0;
	case KEY_STATUS:
		strcpy(a->ask, "status");
		return 0;
	case KEY_METRICS:
		strcpy(a->ask, "metrics");
		return 0;
	case KEY_OFFSET:
		eq = strrchr(arg, '=');
		if (!eq || eq == arg || strlen(arg) > 400)
			argp_error(state, "--offset wants GUEST=COUNTS[,BOUND]");
		*eq = ' ';
		eq = strchr(eq, ',');
		if (eq)
			*eq = ' ';
		snprintf(a->ask, sizeof(a->ask), "offset %s", arg);
		return 0;
	case KEY_ASK:
		if (strlen(arg) >= sizeof(a->ask))
			argp_error(state, "--ask: too long");
		strcpy(a->ask, arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int ask(const struct conf *conf, const char *line)
{
	char *answer;
	int err;

	err = ask_hostd(conf->control, line, &answer);
	if (err) {
		fprintf(stderr, "ffclock-hostd: %s: %s%s\n", conf->control, strerror(-err),
			err == -ENOENT || err == -ECONNREFUSED ? ": the daemon does not run" : "");
		return 1;
	}
	fputs(answer, stdout);
	err = !strncmp(answer, "{ \"error\"", 9);
	free(answer);
	return err;
}

struct signals {
	struct loop	*loop;
	struct hostd	*h;
	struct loop_fd	fd;
};

static void signalled(void *arg, uint32_t events)
{
	struct signals *s = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->fd.fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		free(control_answer(s->h, "rescan", true));
		return;
	}
	loop_stop(s->loop);
}

struct watchdog {
	struct loop		*loop;
	struct loop_timer	timer;
	int64_t			ns;
};

static void watchdog_due(void *arg)
{
	struct watchdog *w = arg;

	notify_send("WATCHDOG=1");
	loop_timer_set(w->loop, &w->timer, w->ns);
}

static int serve(const struct conf *conf)
{
	struct watchdog dog = { .timer.cb = watchdog_due };
	struct signals sig = { .fd.cb = signalled };
	static struct hostd h;
	struct control *control = NULL;
	struct rlimit files;
	char why[320];
	sigset_t set;
	int ret = 1;

	/* two or three descriptors a guest */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* a millisecond's timer that is 50 us late is a late clock */
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);

	h.conf = conf;
	h.clock = hostclock_open(conf->clock, conf->system_bound_ns, conf->system_tai, why,
				 sizeof(why));
	if (!h.clock) {
		log_err("no clock of this host to pass on: %s", why);
		return 1;
	}
	log_notice("clock: %s", hostclock_name(h.clock));
	h.loop = loop_new();
	if (!h.loop) {
		log_err("event loop: %s", strerror(errno));
		goto close_clock;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sig.loop = h.loop;
	sig.h = &h;
	sig.fd.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	sig.fd.arg = &sig;
	if (sig.fd.fd < 0 || loop_add(h.loop, &sig.fd, EPOLLIN)) {
		log_err("signals: %s", strerror(errno));
		goto free_loop;
	}
	if (conf->control[0]) {
		control = control_open(&h, conf->control);
		if (!control)
			goto free_loop;
	}
	if (hostd_start(&h))
		goto close_control;
	notify_send("READY=1");
	dog.loop = h.loop;
	dog.ns = notify_watchdog_ns();
	dog.timer.arg = &dog;
	if (dog.ns)
		watchdog_due(&dog);
	ret = loop_run(h.loop) ? 1 : 0;
	notify_send("STOPPING=1");
	loop_timer_cancel(h.loop, &dog.timer);
	hostd_stop(&h);
close_control:
	control_close(control);
free_loop:
	loop_free(h.loop);
close_clock:
	hostclock_close(h.clock);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "The host's clock on the VMClock page of every QEMU guest of this machine.",
	};
	struct arguments a = { .config = CONF_DEFAULT };
	static struct conf conf;
	int ret, level;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	ret = conf_load(&conf, a.config, stderr);
	/* without a file the defaults do, unless one was asked for */
	if (ret == -ENOENT && strcmp(a.config, CONF_DEFAULT)) {
		fprintf(stderr, "%s: %s\n", a.config, strerror(ENOENT));
		return 1;
	}
	if (ret > 0)
		return 1;
	if (a.check)
		return 0;
	if (a.ask[0])
		return ask(&conf, a.ask);
	level = conf.level + a.verbose;
	log_setup(level > LOG_DEBUG ? LOG_DEBUG : level, a.syslog);
	return serve(&conf);
}
