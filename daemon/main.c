// SPDX-License-Identifier: GPL-2.0-only
/* ffclockd: options, start, stop. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "config.h"
#include "control.h"
#include "counter.h"
#include "disruption.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "notify.h"
#include "nts_ke.h"
#include "output.h"
#include "privs.h"
#include "query.h"
#include "replay.h"
#include "sandbox.h"
#include "state.h"
#include "sync.h"

#define NSEC		INT64_C(1000000000)
#define STATUS_NS	(10 * NSEC)	/* STATUS= line of the service manager */
#define STATE_NS	(600 * NSEC)	/* state file: what a crash may lose */

#ifndef FFCLOCK_VERSION
#define FFCLOCK_VERSION	"0.1"
#endif

const char *argp_program_version = "ffclockd " FFCLOCK_VERSION;

enum {
	OPT_CHECK = 0x100,
	OPT_REPLAY,
	OPT_MAP,
	OPT_PERIOD,
};

struct options {
	const char	*config;
	const char	*replay;
	const char	*map;
	double		period_ns;
	int		debug;
	bool		syslog;
	bool		check;
	bool		query;
	char		**servers;
	int		n_servers;
};

static const struct argp_option option_list[] = {
	{ "config", 'c', "FILE", 0, "Configuration (default " CONFIG_PATH ")", 0 },
	{ "debug", 'd', NULL, 0, "Say more, on standard error: every update; twice: everything", 0 },
	{ "syslog", 's', NULL, 0, "Messages to syslog instead of standard error", 0 },
	{ "check", OPT_CHECK, NULL, 0, "Check the configuration and exit", 1 },
	{ "query", 'Q', NULL, 0, "Ask the servers once, print the system clock's offset and its "
	  "bound, and exit", 1 },
	{ "replay", OPT_REPLAY, "STAMPS", 0, "Run the estimator over a stamp file and exit", 1 },
	{ "map", OPT_MAP, "FILE", 0, "With --replay: write the clock's parameters there", 1 },
	{ "period", OPT_PERIOD, "NS", 0, "With --replay: nominal period of the file's counter "
	  "(default: as the file's header says, else 1)", 1 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;

	switch (key) {
	case 'c':
		o->config = arg;
		break;
	case 'd':
		o->debug++;
		break;
	case 's':
		o->syslog = true;
		break;
	case OPT_CHECK:
		o->check = true;
		break;
	case 'Q':
		o->query = true;
		break;
	case OPT_REPLAY:
		o->replay = arg;
		break;
	case OPT_MAP:
		o->map = arg;
		break;
	case OPT_PERIOD:
		o->period_ns = strtod(arg, &end);
		if (end == arg || *end || !(o->period_ns >= 0.01 && o->period_ns <= 1e6))
			argp_error(state, "--period: '%s' is not a number of ns from 0.01 to 1e6",
				   arg);
		break;
	case ARGP_KEY_ARGS:
		o->servers = state->argv + state->next;
		o->n_servers = state->argc - state->next;
		break;
	case ARGP_KEY_END:
		if (o->n_servers && !o->query)
			argp_error(state, "servers are arguments of -Q only; else they are in the "
				   "configuration");
		if (o->check + o->query + !!o->replay > 1)
			argp_error(state, "give only one of --check, -Q, --replay");
		if ((o->map || o->period_ns > 0) && !o->replay)
			argp_error(state, "--map and --period belong to --replay");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options	= option_list,
	.parser		= parse_option,
	.args_doc	= "\n-Q [SERVER...]\n--check\n--replay STAMPS",
	.doc		= "Synchronise the feed-forward clock to NTP servers.",
};

/* Other modes ------------------------------------------------------------- */

/* The period a stamp file's own header states, 0 if none */
static double header_period(const char *path)
{
	char line[256];
	double v = 0;
	FILE *f;
	int i;

	if (!strcmp(path, "-"))
		return 0;
	f = fopen(path, "re");
	if (!f)
		return 0;	/* the replay says so */
	for (i = 0; i < 4 && fgets(line, sizeof(line), f) && line[0] == '#'; i++)
		if (sscanf(line, "# period_ns %lf", &v) == 1)
			break;
	fclose(f);
	return v >= 0.01 && v <= 1e6 ? v : 0;
}

static int run_replay(const struct options *o)
{
	double period = o->period_ns > 0 ? o->period_ns : header_period(o->replay);
	FILE *map = NULL;
	int ret;

	if (o->map) {
		map = fopen(o->map, "we");
		if (!map) {
			log_err("%s: %s", o->map, strerror(errno));
			return 1;
		}
	}
	ret = replay_main(o->replay, period > 0 ? period : 1, map, stderr);
	if (map && fclose(map)) {
		log_err("%s: %s", o->map, strerror(errno));
		ret = 1;
	}
	return ret;
}

/* Servers of the command line, written as a configuration: the same checks */
static int query_config(const struct options *o, struct config *cfg)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int i, ret;

	if (!f) {
		log_err("out of memory");
		return -1;
	}
	for (i = 0; i < o->n_servers; i++)
		fprintf(f, "server %s\n", o->servers[i]);
	if (fclose(f)) {
		free(text);
		return -1;
	}
	ret = config_parse(cfg, text, len, "command line", stderr);
	free(text);
	return ret;
}

/* The daemon -------------------------------------------------------------- */

/**
 * struct daemon - what main ties together
 * @cfg: the configuration that is in force
 * @spare: room for the next one
 * @path: of the file
 * @options: of the command line
 * @state_failed: said that the state file cannot be written
 */
struct daemon {
	struct loop		*loop;
	struct sync		*sync;
	struct counter		*counter;
	struct control		*control;
	struct metrics		*metrics;
	struct config		*cfg;
	struct config		*spare;
	const struct options	*options;
	struct loop_fd		signals;
	struct loop_timer	watchdog;
	struct loop_timer	status;
	struct loop_timer	save;
	int64_t			watchdog_ns;
	bool			state_failed;
};

static void set_level(const struct daemon *d)
{
	int level = d->cfg->level;

	/* the command line adds to what the file asks for */
	if (d->options->debug)
		level = d->options->debug > 1 ? LOG_DEBUG : LOG_INFO;
	log_setup(level, d->options->syslog);
}

/* What a running daemon cannot change: opened before privileges were dropped */
static void tell_fixed(const struct config *a, const struct config *b, FILE *said)
{
	if (a->counter != b->counter)
		fputs("counter: takes effect at the next start\n", said);
	if (a->output != b->output)
		fputs("output: takes effect at the next start\n", said);
	if (strcmp(a->user, b->user))
		fputs("user: takes effect at the next start\n", said);
	if (strcmp(a->control, b->control))
		fputs("control: takes effect at the next start\n", said);
	if (a->system.on != b->system.on)
		fputs("systemclock: takes effect at the next start\n", said);
	if (a->n_serve != b->n_serve || memcmp(a->serve, b->serve, sizeof(a->serve)))
		fputs("serve: takes effect at the next start\n", said);
	if (a->shm != b->shm || strcmp(a->sock, b->sock))
		fputs("shm, sock: take effect at the next start\n", said);
	if (a->metrics_port != b->metrics_port)
		fputs("metrics: takes effect at the next start\n", said);
	if (a->sandbox != b->sandbox)
		fputs("sandbox: takes effect at the next start\n", said);
	if ((!*a->log_stamps && !*a->log_map && !*a->log_tracking) &&
	    (*b->log_stamps || *b->log_map || *b->log_tracking))
		fputs("log: takes effect at the next start, since there was none\n", said);
}

/* Each line of @text is a message */
static void log_lines(int priority, char *text)
{
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_msg(priority, "reload: %s", line);
}

static int reload(void *arg, char **said)
{
	struct daemon *d = arg;
	struct config *old = d->cfg;
	char *copy = NULL;
	size_t len = 0;
	FILE *f;
	int err;

	*said = NULL;
	f = open_memstream(said, &len);
	if (!f)
		return -ENOMEM;
	notify_send("RELOADING=1");
	err = config_load(d->spare, d->options->config, f) ? -EINVAL : 0;
	if (!err) {
		tell_fixed(old, d->spare, f);
		err = sync_reload(d->sync, d->spare);
		if (err && err != -EIO)
			fprintf(f, "the sources cannot be set up; see the daemon's log\n");
		else if (err)
			fprintf(f, "a log cannot be opened; see the daemon's log\n");
	}
	fclose(f);
	copy = *said ? strdup(*said) : NULL;
	if (copy)
		log_lines(err ? LOG_ERR : LOG_NOTICE, copy);
	free(copy);
	if (!err || err == -EIO) {
		d->cfg = d->spare;
		d->spare = old;
		set_level(d);
		log_notice("configuration read again: %zu source%s", d->cfg->n_sources,
			   d->cfg->n_sources == 1 ? "" : "s");
	} else {
		log_err("the configuration was not taken; the one before stays in force");
	}
	notify_send("READY=1");
	return err;
}

static void save_state(struct daemon *d)
{
	static struct state state;
	int err;

	if (!*d->cfg->state)
		return;
	sync_save(d->sync, &state);
	if (!state.n)
		return;
	err = state_save(&state, d->cfg->state);
	if (err && !d->state_failed)
		log_msg(d->cfg->state_set ? LOG_WARNING : LOG_INFO, "state %s: %s", d->cfg->state,
			strerror(-err));
	d->state_failed = err;
}

static void on_save(void *arg)
{
	struct daemon *d = arg;

	save_state(d);
	loop_timer_set(d->loop, &d->save, STATE_NS);
}

static void on_signal(void *arg, uint32_t events)
{
	struct signalfd_siginfo si;
	struct daemon *d = arg;
	char *said;

	(void)events;
	if (read(d->signals.fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP) {
		reload(d, &said);
		free(said);
		return;
	}
	log_notice("%s: ending", strsignal((int)si.ssi_signo));
	loop_stop(d->loop);
}

static void on_watchdog(void *arg)
{
	struct daemon *d = arg;

	notify_send("WATCHDOG=1");
	loop_timer_set(d->loop, &d->watchdog, d->watchdog_ns);
}

static void on_status(void *arg)
{
	struct daemon *d = arg;
	char line[256] = "STATUS=";

	sync_describe(d->sync, line + strlen(line), sizeof(line) - strlen(line));
	notify_send(line);
	loop_timer_set(d->loop, &d->status, STATUS_NS);
}

static void on_disruption(void *arg)
{
	sync_check_counter(arg);
}

/* Put @o at the head of the list.  Return: whether there is one */
static bool add_output(struct output **list, struct output *o)
{
	if (!o)
		return false;
	o->next = *list;
	*list = o;
	return true;
}

/*
 * Those that tell others come last in the list's order of making, so first in it:
 * the kernel's clock and the system clock are up to date when they are told.
 * Return: whether all that the configuration asks for is there
 */
static bool make_outputs(struct daemon *d, struct output **list, bool *kernel)
{
	const struct config *cfg = d->cfg;
	int fd = counter_device_fd(d->counter);

	*list = NULL;
	*kernel = cfg->output != CONFIG_OUTPUT_NONE && fd >= 0;
	if (cfg->output == CONFIG_OUTPUT_KERNEL && fd < 0) {
		log_err("output kernel: the counter is %s, not the kernel module's (modprobe "
			"ffclock)", counter_name(d->counter));
		return false;
	}
	if ((*cfg->log_stamps || *cfg->log_map || *cfg->log_tracking) &&
	    !add_output(list, output_log_new(cfg, d->counter)))
		goto fail;
	if (cfg->n_serve && !add_output(list, output_server_new(cfg, d->counter, d->loop)))
		goto fail;
	if ((cfg->shm >= 0 || *cfg->sock) &&
	    !add_output(list, output_refclock_new(cfg, d->counter, d->loop)))
		goto fail;
	if (cfg->system.on && !add_output(list, output_system_new(cfg, d->counter, d->loop)))
		goto fail;
	if (*kernel && !add_output(list, output_kernel_new(fd)))
		goto fail;
	if (!*kernel)
		log_info("no output to the kernel: only following the servers");
	return true;

fail:
	output_destroy_all(*list);
	*list = NULL;
	return false;
}

static int watch_signals(struct daemon *d)
{
	sigset_t set;
	int err;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	d->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (d->signals.fd < 0)
		return -errno;
	d->signals.cb = on_signal;
	d->signals.arg = d;
	err = loop_add(d->loop, &d->signals, EPOLLIN);
	return err;
}

/* Everything that needs privileges is open; what follows does without */
static int confine(const struct config *cfg, bool kernel)
{
	if (privs_drop(cfg->user, kernel))
		return -1;
	if (cfg->sandbox)
		sandbox_enter();
	return 0;
}

static void start_timers(struct daemon *d)
{
	d->watchdog = (struct loop_timer){ .cb = on_watchdog, .arg = d };
	d->watchdog_ns = notify_watchdog_ns();
	if (d->watchdog_ns)
		loop_timer_set(d->loop, &d->watchdog, d->watchdog_ns);
	d->status = (struct loop_timer){ .cb = on_status, .arg = d };
	loop_timer_set(d->loop, &d->status, NSEC);
	d->save = (struct loop_timer){ .cb = on_save, .arg = d };
	loop_timer_set(d->loop, &d->save, STATE_NS);
}

static int run(struct daemon *d)
{
	struct config *cfg = d->cfg;
	struct disruption *disruption = NULL;
	static struct state state;
	struct output *outputs;
	bool kernel, warm;
	int err, ret = 1;

	d->counter = counter_open(cfg->counter);
	if (!d->counter)
		return 1;
	d->loop = loop_new();
	if (!d->loop) {
		log_err("event loop: %s", strerror(errno));
		goto close_counter;
	}
	if (*cfg->control) {
		d->control = control_new(cfg->control, d->loop, cfg->control_set);
		if (!d->control && cfg->control_set)
			goto free_loop;
	}
	if (cfg->metrics_port) {
		d->metrics = metrics_new(cfg->metrics_port, d->loop);
		if (!d->metrics)
			goto free_control;
	}
	if (!make_outputs(d, &outputs, &kernel))
		goto free_control;
	if (d->control)
		add_output(&outputs, control_output(d->control));
	if (d->metrics)
		add_output(&outputs, metrics_output(d->metrics));
	warm = *cfg->state && state_load(&state, cfg->state, d->counter);
	d->sync = sync_new(cfg, d->counter, d->loop, outputs, warm ? &state : NULL);
	if (!d->sync) {
		log_err("cannot set up the sources");
		goto free_control;
	}
	nts_set_clock(sync_unix_time, d->sync);
	err = watch_signals(d);
	if (err) {
		log_err("signals: %s", strerror(-err));
		goto free_sync;
	}
	disruption = disruption_watch(d->loop, counter_device_fd(d->counter), on_disruption,
				      d->sync);
	if (!disruption) {
		log_err("cannot watch for disruptions: %s", strerror(errno));
		goto free_sync;
	}
	err = d->control ? control_serve(d->control, d->sync, d->counter, reload, d) : 0;
	if (err) {
		log_err("control %s: %s", cfg->control, strerror(-err));
		goto free_disruption;
	}
	err = d->metrics ? metrics_serve(d->metrics, d->sync) : 0;
	if (err) {
		log_err("metrics: %s", strerror(-err));
		goto free_disruption;
	}
	if (confine(cfg, kernel || cfg->system.on))
		goto free_disruption;
	start_timers(d);

	log_notice("version " FFCLOCK_VERSION ", counter %s, %zu source%s, output %s",
		   counter_name(d->counter), cfg->n_sources, cfg->n_sources == 1 ? "" : "s",
		   kernel && cfg->system.on ? "kernel and system clock" : kernel ? "kernel" :
		   cfg->system.on ? "system clock" : "none");
	sync_start(d->sync);
	notify_send("READY=1");
	err = loop_run(d->loop);
	if (err)
		log_err("event loop: %s", strerror(-err));
	else
		ret = 0;
	notify_send("STOPPING=1");
	save_state(d);

free_disruption:
	disruption_free(disruption);
free_sync:
	nts_set_clock(NULL, NULL);
	sync_free(d->sync);
free_control:
	metrics_free(d->metrics);
	control_free(d->control);
free_loop:
	if (d->signals.fd >= 0)
		close(d->signals.fd);
	loop_free(d->loop);
close_counter:
	counter_close(d->counter);
	return ret;
}

int main(int argc, char **argv)
{
	struct options o = { .config = CONFIG_PATH };
	static struct config cfg, spare;
	struct daemon d = {
		.cfg = &cfg, .spare = &spare, .options = &o, .signals.fd = -1,
	};
	int bad;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	log_setup(o.debug > 1 ? LOG_DEBUG : o.debug ? LOG_INFO : LOG_NOTICE, o.syslog);
	if (o.replay)
		return run_replay(&o);

	if (o.query && o.n_servers)
		bad = query_config(&o, &cfg);
	else
		bad = config_load(&cfg, o.config, stderr);
	if (bad)
		return 1;
	if (o.check) {
		printf("%s: ok\n", o.config);
		return 0;
	}
	set_level(&d);
	if (o.query) {
		if (!o.debug)
			log_setup(LOG_WARNING, o.syslog);
		return query_main(&cfg);
	}
	return run(&d);
}
