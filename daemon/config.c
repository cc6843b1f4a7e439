// SPDX-License-Identifier: GPL-2.0-only
/* The configuration file: see config.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "config.h"
#include "config_internal.h"
#include "ntp_packet.h"
#include "nts_record.h"

/* RFC 5905 MAXDIST is 1 s; 3 s is what clients on poor paths settled for */
#define MAX_DISTANCE_DEFAULT_NS	3000000000LL

/* Names and addresses as the resolver takes them, %eth0 of link-local ones included */
static bool host_ok(const char *host)
{
	size_t n = strlen(host);

	if (!n || n >= CONFIG_HOST_MAX || *host == '-')
		return false;
	return strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		      ".-_:%") == n;
}

/**
 * struct source_line - a line that names a source, while it is read
 * @s: the source
 * @options: bits of source_options[] that its sort has
 * @have_min: minpoll was given
 * @have_max: maxpoll was given
 * @count: of a pool: sources to make of it
 * @nts_option: an option that only means something with nts, or NULL
 */
struct source_line {
	struct config_source	s;
	unsigned int		options;
	bool			have_min;
	bool			have_max;
	long			count;
	const char		*nts_option;
};

static void opt_port(struct conffile *f, struct source_line *l, const char *arg)
{
	long v;

	if (conffile_int(f, "port", arg, 1, 65535, &v))
		l->s.port = (uint16_t)v;
}

static void opt_minpoll(struct conffile *f, struct source_line *l, const char *arg)
{
	long v;

	if (!conffile_int(f, "minpoll", arg, CONFIG_POLL_LO, CONFIG_POLL_HI, &v))
		return;
	l->s.minpoll = (int8_t)v;
	l->have_min = true;
}

static void opt_maxpoll(struct conffile *f, struct source_line *l, const char *arg)
{
	long v;

	if (!conffile_int(f, "maxpoll", arg, CONFIG_POLL_LO, CONFIG_POLL_HI, &v))
		return;
	l->s.maxpoll = (int8_t)v;
	l->have_max = true;
}

static void opt_ntsport(struct conffile *f, struct source_line *l, const char *arg)
{
	long v;

	l->nts_option = "ntsport";
	if (conffile_int(f, "ntsport", arg, 1, 65535, &v))
		l->s.nts_port = (uint16_t)v;
}

static void opt_ntsca(struct conffile *f, struct source_line *l, const char *arg)
{
	l->nts_option = "ntsca";
	conffile_path(f, "ntsca", arg, l->s.nts_ca, sizeof(l->s.nts_ca));
}

static void opt_ntsnotime(struct conffile *f, struct source_line *l, const char *arg)
{
	(void)f;
	(void)arg;
	l->nts_option = "ntsnotime";
	l->s.nts_notime = true;
}

static void opt_error(struct conffile *f, struct source_line *l, const char *arg)
{
	int64_t ns;

	if (conffile_seconds(f, "error", arg, 0, 1, &ns))
		l->s.error_ns = (uint32_t)ns;
}

/* Signed: what comes late, or early */
static void opt_offset(struct conffile *f, struct source_line *l, const char *arg)
{
	bool early = *arg == '-';
	int64_t ns;

	if (conffile_seconds(f, "offset", arg + early, 0, 0.5, &ns))
		l->s.offset_ns = (int32_t)(early ? -ns : ns);
}

static void opt_maxsources(struct conffile *f, struct source_line *l, const char *arg)
{
	conffile_int(f, "maxsources", arg, 1, CONFIG_SOURCES_MAX, &l->count);
}

/* What sorts of sources take an option */
#define FOR_NTP		(1u << 0)
#define FOR_POOL	(1u << 1)
#define FOR_PHC		(1u << 2)
#define FOR_VMCLOCK	(1u << 3)
#define FOR_PPS		(1u << 4)
#define FOR_XENSTORE	(1u << 5)
#define FOR_ALL		~0u

#define FLAG(member)	NULL, offsetof(struct config_source, member)

/**
 * struct source_option - an option of a line that names a source
 * @name: its word
 * @sorts: FOR_*: where it is known
 * @value: what follows it, for messages; NULL: nothing
 * @set: called with it; NULL: @flag is all there is to do
 * @flag: where in struct config_source to put true
 */
static const struct source_option {
	const char	*name;
	unsigned int	sorts;
	const char	*value;
	void		(*set)(struct conffile *f, struct source_line *l, const char *arg);
	size_t		flag;
} source_options[] = {
	{ "port",	FOR_NTP | FOR_POOL,	"N",		opt_port, 0 },
	{ "minpoll",	FOR_ALL,		"N",		opt_minpoll, 0 },
	{ "maxpoll",	FOR_ALL,		"N",		opt_maxpoll, 0 },
	{ "iburst",	FOR_NTP | FOR_POOL,	NULL,		FLAG(iburst) },
	{ "nts",	FOR_NTP | FOR_POOL,	NULL,		FLAG(nts) },
	{ "ntsport",	FOR_NTP | FOR_POOL,	"N",		opt_ntsport, 0 },
	{ "ntsca",	FOR_NTP | FOR_POOL,	"FILE",		opt_ntsca, 0 },
	{ "ntsnotime",	FOR_NTP | FOR_POOL,	NULL,		opt_ntsnotime, 0 },
	{ "maxsources",	FOR_POOL,		"N",		opt_maxsources, 0 },
	{ "tai",	FOR_PHC,		NULL,		FLAG(tai) },
	{ "basic",	FOR_PHC,		NULL,		FLAG(phc_basic) },
	{ "error",	FOR_PHC | FOR_VMCLOCK | FOR_PPS, "SECONDS", opt_error, 0 },
	{ "trusttsc",	FOR_XENSTORE,		NULL,		FLAG(trust_tsc) },
	{ "clear",	FOR_PPS,		NULL,		FLAG(pps_clear) },
	{ "offset",	FOR_PPS,		"SECONDS",	opt_offset, 0 },
	{ "prefer",	FOR_ALL,		NULL,		FLAG(prefer) },
	{ "trust",	FOR_ALL & ~FOR_PPS,	NULL,		FLAG(trust) },
	{ "noselect",	FOR_ALL,		NULL,		FLAG(noselect) },
};
#define N_SOURCE_OPTIONS	(sizeof(source_options) / sizeof(source_options[0]))

/* All options: "maxsources" has 10 characters, a blank, "SECONDS" has 7, and 2 between */
#define KNOWN_MAX		(N_SOURCE_OPTIONS * 20)

/* The options of a sort, for messages */
static const char *known_options(unsigned int sorts, char known[KNOWN_MAX])
{
	const struct source_option *o;
	size_t n = 0;

	for (o = source_options; o < source_options + N_SOURCE_OPTIONS; o++)
		if (o->sorts & sorts)
			n += (size_t)snprintf(known + n, KNOWN_MAX - n, "%s%s%s%s", n ? ", " : "",
					      o->name, o->value ? " " : "",
					      o->value ? o->value : "");
	return known;
}

static const struct source_option *find_option(const char *name, unsigned int sorts)
{
	const struct source_option *o;

	for (o = source_options; o < source_options + N_SOURCE_OPTIONS; o++)
		if ((o->sorts & sorts) && !strcmp(name, o->name))
			return o;
	return NULL;
}

/* The options of a line from its third word on.  Return: whether all are known */
static bool parse_source_options(struct conffile *f, struct source_line *l)
{
	const struct source_option *o;
	char known[KNOWN_MAX];
	int i;

	for (i = 2; i < f->n; i++) {
		const char *opt = f->word[i];

		o = find_option(opt, l->options);
		if (!o) {
			conffile_complain(f, "%s: unknown option '%s'; known: %s", f->word[0],
					  conffile_show(opt), known_options(l->options, known));
			return false;
		}
		if (o->value && ++i == f->n) {
			conffile_complain(f, "%s: '%s' needs a value", f->word[0], opt);
			return false;
		}
		if (o->set)
			o->set(f, l, o->value ? f->word[i] : NULL);
		else
			*(bool *)((char *)&l->s + o->flag) = true;
	}
	return true;
}

/* Put what a line says, once or (a pool) several times, into the configuration */
static void add_source(struct conffile *f, struct source_line *l, int before)
{
	struct config *cfg = f->to;
	struct config_source *s = &l->s;
	int i;

	/* one given alone pulls the other's default along */
	if (l->have_min && !l->have_max && s->maxpoll < s->minpoll)
		s->maxpoll = s->minpoll;
	if (l->have_max && !l->have_min && s->minpoll > s->maxpoll)
		s->minpoll = s->maxpoll;
	if (s->minpoll > s->maxpoll)
		conffile_complain(f, "%s: minpoll %d is above maxpoll %d", f->word[0], s->minpoll,
				  s->maxpoll);
	for (i = 0; i < (int)cfg->n_sources; i++) {
		const struct config_source *o = &cfg->sources[i];

		if (o->kind != s->kind || strcasecmp(o->name, s->name) || o->port != s->port)
			continue;
		conffile_complain(f, "%s: '%s' port %u is already on line %u", f->word[0],
				  conffile_show(s->name), s->port, o->line);
		break;
	}
	for (i = 0; i < l->count && f->errors == before; i++) {
		if (cfg->n_sources == CONFIG_SOURCES_MAX) {
			conffile_complain(f, "%s: more than %d sources", f->word[0],
					  CONFIG_SOURCES_MAX);
			return;
		}
		cfg->sources[cfg->n_sources++] = *s;
	}
}

static void key_ntp(struct conffile *f, struct source_line *l)
{
	int before = f->errors;
	char known[KNOWN_MAX];

	l->s.kind = CONFIG_SOURCE_NTP;
	l->s.line = f->line;
	l->s.port = NTP_PORT;
	l->s.nts_port = NTS_KE_PORT;
	l->s.minpoll = CONFIG_MINPOLL;
	l->s.maxpoll = CONFIG_MAXPOLL;
	if (f->n < 2) {
		conffile_complain(f, "%s: the name or address is missing: %s HOST [OPTION...]; "
				  "options: %s", f->word[0], f->word[0],
				  known_options(l->options, known));
		return;
	}
	if (!host_ok(f->word[1])) {
		conffile_complain(f, "%s: '%s' is neither a host name nor an address", f->word[0],
				  conffile_show(f->word[1]));
		return;
	}
	strcpy(l->s.name, f->word[1]);
	if (!parse_source_options(f, l))
		return;
	if (l->nts_option && !l->s.nts)
		conffile_complain(f, "%s: '%s' without 'nts'", f->word[0], l->nts_option);
	add_source(f, l, before);
}

static void key_server(struct conffile *f)
{
	struct source_line l = { .options = FOR_NTP, .count = 1 };

	key_ntp(f, &l);
}

/* Sources that are devices of this machine: cheap to ask, so asked often */
static void key_device(struct conffile *f, struct source_line *l)
{
	const char *key = f->word[0];
	int before = f->errors;
	char known[KNOWN_MAX];

	l->count = 1;
	l->s.line = f->line;
	l->s.minpoll = l->options == FOR_PPS ? CONFIG_PPS_POLL : CONFIG_PHC_MINPOLL;
	l->s.maxpoll = l->options == FOR_PPS ? CONFIG_PPS_POLL : CONFIG_PHC_MAXPOLL;
	if (f->n < 2) {
		conffile_complain(f, "%s: the device is missing: %s DEVICE [OPTION...]; "
				  "options: %s", key, key, known_options(l->options, known));
		return;
	}
	if (conffile_path(f, key, f->word[1], l->s.name, sizeof(l->s.name)) &&
	    parse_source_options(f, l))
		add_source(f, l, before);
}

static void key_phc(struct conffile *f)
{
	struct source_line l = { .options = FOR_PHC, .s.kind = CONFIG_SOURCE_PHC };

	key_device(f, &l);
}

static void key_pps(struct conffile *f)
{
	struct source_line l = {
		.options = FOR_PPS, .s.kind = CONFIG_SOURCE_PPS,
		.s.error_ns = CONFIG_PPS_ERROR_NS,
	};

	key_device(f, &l);
}

static void key_xenstore(struct conffile *f)
{
	struct source_line l = { .options = FOR_XENSTORE, .s.kind = CONFIG_SOURCE_XENSTORE };

	key_device(f, &l);
}

static void key_vmclock(struct conffile *f)
{
	struct source_line l = {
		.options = FOR_VMCLOCK, .s.kind = CONFIG_SOURCE_VMCLOCK,
		.s.error_ns = CONFIG_VMCLOCK_ERROR_NS,
	};

	key_device(f, &l);
}

static void key_pool(struct conffile *f)
{
	struct source_line l = {
		.options = FOR_POOL, .count = CONFIG_POOL_SOURCES, .s.pool = true,
	};

	key_ntp(f, &l);
}

static void key_counter(struct conffile *f)
{
	struct config *cfg = f->to;
	int v = conffile_choose(f);

	if (v >= 0)
		cfg->counter = (enum config_counter)v;
}

static void key_output(struct conffile *f)
{
	struct config *cfg = f->to;
	int v = conffile_choose(f);

	if (v >= 0)
		cfg->output = (enum config_output)v;
}

static void key_log(struct conffile *f)
{
	struct config *cfg = f->to;
	char *dst = NULL;

	if (f->n == 3 && !strcmp(f->word[1], "stamps"))
		dst = cfg->log_stamps;
	else if (f->n == 3 && !strcmp(f->word[1], "map"))
		dst = cfg->log_map;
	else if (f->n == 3 && !strcmp(f->word[1], "tracking"))
		dst = cfg->log_tracking;
	if (!dst) {
		conffile_complain(f, "log: needs 'stamps FILE', 'map FILE' or 'tracking FILE'");
		return;
	}
	if (*dst) {
		conffile_complain(f, "log: a file for the %s was given before", f->word[1]);
		return;
	}
	conffile_path(f, "log", f->word[2], dst, CONFIG_FILE_MAX);
}

static void key_user(struct conffile *f)
{
	struct config *cfg = f->to;

	if (!*f->word[1] || strlen(f->word[1]) >= CONFIG_USER_MAX) {
		conffile_complain(f, "user: '%s' is not a name of 1 to %d characters",
				  conffile_show(f->word[1]), CONFIG_USER_MAX - 1);
		return;
	}
	strcpy(cfg->user, f->word[1]);
}

static void key_maxdistance(struct conffile *f)
{
	struct config *cfg = f->to;

	conffile_seconds(f, "maxdistance", f->word[1], 0.001, 16, &cfg->max_distance_ns);
}

static void key_verbose(struct conffile *f)
{
	struct config *cfg = f->to;

	conffile_level(f, &cfg->level);
}

static void key_minsources(struct conffile *f)
{
	struct config *cfg = f->to;
	long v;

	if (conffile_int(f, "minsources", f->word[1], 1, CONFIG_SOURCES_MAX, &v))
		cfg->min_sources = (unsigned int)v;
}

static const struct conffile_key keys[] = {
	{ "server",	NULL,					key_server,	true },
	{ "pool",	NULL,					key_pool,	true },
	{ "phc",	NULL,					key_phc,	true },
	{ "vmclock",	NULL,					key_vmclock,	true },
	{ "pps",	NULL,					key_pps,	true },
	{ "xenstore",	NULL,					key_xenstore,	true },
	/* these two: in the order of their enums */
	{ "counter",	"auto, device, tsc, monotonic_raw",	key_counter,	false },
	{ "output",	"auto, kernel, none",			key_output,	false },
	{ "log",	NULL,					key_log,	true },
	{ "user",	"the name of a user",			key_user,	false },
	{ "maxdistance", "seconds from 0.001 to 16",		key_maxdistance, false },
	{ "minsources",	"a number of sources",			key_minsources,	false },
	{ "verbose",	"0 (problems), 1 (changes), 2 (every update), 3 (everything)",
							key_verbose,	false },
	{ "control",	"an absolute path, or none",		config_key_control, false },
	{ "state",	"an absolute path, or none",		config_key_state, false },
	{ "sandbox",	"yes, no",				config_key_sandbox, false },
	{ "systemclock", NULL,					config_key_systemclock, false },
	{ "serve",	NULL,					config_key_serve, true },
	{ "allow",	"ADDRESS, ADDRESS/BITS, or all",	config_key_allow, true },
	{ "deny",	"ADDRESS, ADDRESS/BITS, or all",	config_key_deny, true },
	{ "ratelimit",	NULL,					config_key_ratelimit, false },
	{ "shm",	"a unit from 0 to 255",			config_key_shm,	false },
	{ "sock",	"an absolute path",			config_key_sock, false },
	{ "metrics",	"a TCP port of the loopback",		config_key_metrics, false },
};
#define N_KEYS	(sizeof(keys) / sizeof(keys[0]))
_Static_assert(N_KEYS <= CONFFILE_KEYS_MAX, "a bit for each key");

void config_defaults(struct config *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->max_distance_ns = MAX_DISTANCE_DEFAULT_NS;
	cfg->min_sources = 1;
	cfg->level = LOG_NOTICE;
	strcpy(cfg->control, CONFIG_CONTROL);
	strcpy(cfg->state, CONFIG_STATE);
	cfg->sandbox = true;
	config_output_defaults(cfg);
}

/* Sources that know the time by themselves */
static size_t telling(const struct config *cfg)
{
	size_t i, n = 0;

	for (i = 0; i < cfg->n_sources; i++)
		n += cfg->sources[i].kind != CONFIG_SOURCE_PPS;
	return n;
}

int config_parse(struct config *cfg, const char *text, size_t len, const char *name, FILE *err)
{
	struct conffile f = { .keys = keys, .n_keys = N_KEYS, .to = cfg, .name = name, .err = err };

	config_defaults(cfg);
	conffile_parse(&f, text, len);
	if (!cfg->n_sources && !f.errors)
		conffile_complain(&f, "no source of time: add a line 'server HOST', 'phc DEVICE' or "
				  "'vmclock DEVICE'");
	if (cfg->n_sources && !telling(cfg) && !f.errors)
		conffile_complain(&f, "pps: pulses do not say which second they begin: add a line "
				  "'server HOST' or another source");
	if (cfg->min_sources > telling(cfg) && !f.errors)
		conffile_complain(&f, "minsources %u, but there are only %zu sources that tell the "
				  "time", cfg->min_sources, telling(cfg));
	if (cfg->output == CONFIG_OUTPUT_KERNEL && cfg->counter > CONFIG_COUNTER_DEVICE)
		conffile_complain(&f, "output kernel needs counter device (or auto): the kernel's "
				  "clock runs on the kernel's counter");
	return f.errors;
}

int config_load(struct config *cfg, const char *path, FILE *err)
{
	char *text;
	size_t len;
	int ret;

	ret = conffile_read(path, &text, &len, err);
	if (ret == -ENOENT)
		fprintf(err, "%s: %s\n", path, strerror(ENOENT));
	if (ret)
		return 1;
	ret = config_parse(cfg, text, len, path, err);
	free(text);
	return ret;
}
