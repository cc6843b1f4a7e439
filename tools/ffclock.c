// SPDX-License-Identifier: GPL-2.0-only
/* ffclock: look at and use the feed-forward clocks from the command line. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ffclock.h"

const char *argp_program_version = "ffclock 0.1.0";

const char *const clock_names[FFCLOCK_NR] = { "utc", "tai", "mono", "diff" };

static const struct command {
	const char *name;
	int (*run)(const struct options *o, int argc, char **argv);
	const char *help;
} commands[] = {
	{ "status",	cmd_status,	"state of counter and clocks" },
	{ "read",	cmd_read,	"[utc|tai|mono|diff] [COUNTER]: read a clock, now or at COUNTER" },
	{ "watch",	cmd_watch,	"[SECONDS]: live view of clocks, bound and events" },
	{ "convert",	cmd_convert,	"NS...: CLOCK_REALTIME stamps (or stdin) to counter values" },
	{ "wait",	cmd_wait,	"[--migration | --synchronized] [SECONDS]: until it is so" },
	{ "migration",	cmd_migration,	"history of disruptions" },
	{ "frequency",	cmd_frequency,	"[--drop | --apply]: CLOCK_REALTIME's, from NTP" },
	{ "run",	cmd_run,	"[--] PROGRAM...: with CLOCK_REALTIME from the page" },
	{ "tracking",	cmd_tracking,	"what ffclockd knows of the clock" },
	{ "sources",	cmd_sources,	"ffclockd's sources and what they count for" },
	{ "stamps",	cmd_stamps,	"[N]: its last exchanges" },
	{ "reload",	cmd_reload,	"make it read its configuration again" },
	{ "vm",		cmd_vm,		"list | migrate | watch | stats: guests of this host" },
	{ "doctor",	cmd_doctor,	"[--root FOLDER]: what to do for the best time here" },
	{ "plot",	cmd_plot,	"LOG [SVG]: draw ffclockd's tracking log" },
	{ "bench",	cmd_bench,	"cost of reading, side by side" },
};

static const struct argp_option argp_options[] = {
	{ "json", 'j', 0, 0, "Print JSON", 0 },
	{ "page", 'p', "FILE", 0, "Read a VMClock page from FILE, not " FFCLOCK_DEV, 0 },
	{ "socket", 's', "FILE", 0, "Control socket of ffclockd", 0 },
	{ 0 }
};

struct arguments {
	struct options o;
	int first;		/* index of the subcommand in argv */
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'j':
		a->o.json = true;
		return 0;
	case 'p':
		a->o.page = arg;
		return 0;
	case 's':
		a->o.socket = arg;
		return 0;
	case ARGP_KEY_ARG:
		a->first = state->next - 1;
		state->next = state->argc;	/* the rest is the subcommand's */
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static char *help_filter(int key, const char *text, void *input)
{
	char *help = NULL;
	size_t size, i;
	FILE *f;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	f = open_memstream(&help, &size);
	if (!f)
		return (char *)text;
	fputs("Commands:\n", f);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].help);
	fclose(f);
	return help;
}

struct ffclock *open_clock(const struct options *o)
{
	struct ffclock *h = NULL;
	int ret;

	ret = o->page ? ffclock_open_page(&h, o->page) : ffclock_open(&h);
	if (!ret)
		return h;
	fprintf(stderr, "ffclock: %s: %s\n", o->page ? o->page : FFCLOCK_DEV, strerror(-ret));
	if (ret == -ENOENT && !o->page)
		fprintf(stderr, "The module is not loaded: try \"modprobe ffclock\" as root, or\n"
			"see README.rst on how to install it; --page FILE reads a page file.\n");
	else if (ret == -EPROTO || ret == -ENODATA)
		fprintf(stderr, "There is no VMClock page of a version that this program knows.\n");
	return NULL;
}

/* Report a negative errno; for return from a subcommand */
int fail(int err, const char *what)
{
	fprintf(stderr, "ffclock: %s: %s\n", what, strerror(-err));
	if (err == -EOPNOTSUPP)
		fprintf(stderr, "That needs " FFCLOCK_DEV ", not just a page file.\n");
	return EXIT_FAILED;
}

void print_json(struct json_object *obj)
{
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(obj);
}

int parse_clock(const char *name)
{
	int i;

	for (i = 0; i < FFCLOCK_NR; i++)
		if (!strcmp(name, clock_names[i]))
			return i;
	return -1;
}

const char *bound_text(uint64_t bound_ns, char *buf, size_t size)
{
	if (bound_ns == FFCLOCK_BOUND_UNKNOWN)
		snprintf(buf, size, "unknown");
	else if (bound_ns < 100000)
		snprintf(buf, size, "%llu ns", (unsigned long long)bound_ns);
	else if (bound_ns < 100000000)
		snprintf(buf, size, "%.1f us", bound_ns / 1e3);
	else
		snprintf(buf, size, "%.3f s", bound_ns / 1e9);
	return buf;
}

struct json_object *json_bound(uint64_t bound_ns)
{
	return bound_ns == FFCLOCK_BOUND_UNKNOWN ? NULL : json_object_new_uint64(bound_ns);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse_opt,
		.args_doc = "COMMAND [ARGUMENT...]",
		.doc = "Feed-forward clocks on a raw counter.\v ",
		.help_filter = help_filter,
	};
	struct arguments a = { .first = 0 };
	size_t i;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
	/* --json, --page and --socket are understood behind the command, too, but not behind
	 * the name of a program, whose they may be
	 */
	for (i = a.first + 1; i < (size_t)argc && strcmp(argv[i], "--") &&
	     !(argv[i][0] != '-' && !strcmp(argv[a.first], "run"));) {
		int used = 0;

		if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "-j")) {
			a.o.json = true;
			used = 1;
		} else if (!strcmp(argv[i], "--page") && i + 1 < (size_t)argc) {
			a.o.page = argv[i + 1];
			used = 2;
		} else if (!strcmp(argv[i], "--socket") && i + 1 < (size_t)argc) {
			a.o.socket = argv[i + 1];
			used = 2;
		}
		if (!used) {
			i++;
			continue;
		}
		memmove(&argv[i], &argv[i + used], (argc - i - used + 1) * sizeof(*argv));
		argc -= used;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[a.first], commands[i].name))
			return commands[i].run(&a.o, argc - a.first, argv + a.first);
	fprintf(stderr, "ffclock: no command \"%s\"; \"ffclock --help\" lists them\n",
		argv[a.first]);
	return EXIT_USAGE;
}
