// SPDX-License-Identifier: GPL-2.0-only
/* The configuration file: see config.h. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "config.h"
#include "config_internal.h"
#include "ntp_packet.h"
#include "nts_record.h"

#define LINE_MAX_LEN	4096
#define ERRORS_MAX	20
#define FILE_SIZE_MAX	(1 << 20)

/* RFC 5905 MAXDIST is 1 s; 3 s is what clients on poor paths settled for */
#define MAX_DISTANCE_DEFAULT_NS	3000000000LL

void config_complain(struct parser *p, const char *fmt, ...)
{
	va_list ap;

	if (++p->errors > ERRORS_MAX)
		return;
	if (p->line)
		fprintf(p->err, "%s:%u: ", p->name, p->line);
	else
		fprintf(p->err, "%s: ", p->name);
	va_start(ap, fmt);
	vfprintf(p->err, fmt, ap);
	va_end(ap);
	fputc('\n', p->err);
}

const char *config_show(const char *word)
{
	static char buf[4][68];
	static unsigned int turn;
	char *b = buf[turn++ % 4];
	size_t i;

	for (i = 0; word[i] && i < 64; i++)
		b[i] = isprint((unsigned char)word[i]) ? word[i] : '?';
	strcpy(b + i, word[i] ? "..." : "");
	return b;
}

bool config_int(struct parser *p, const char *key, const char *word, long lo, long hi, long *out)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(word, &end, 10);
	if (end == word || *end || errno || v < lo || v > hi || isspace((unsigned char)*word)) {
		config_complain(p, "%s: '%s' is not a whole number from %ld to %ld", key, config_show(word), lo,
			 hi);
		return false;
	}
	*out = v;
	return true;
}

bool config_number(struct parser *p, const char *key, const char *word, double lo, double hi,
		   double *out)
{
	char *end;
	double v = strtod(word, &end);

	/* no hexadecimal, no nan: strtod() takes more than a person would mean */
	if (strspn(word, "0123456789.") != strlen(word) || end == word || *end ||
	    !(v >= lo && v <= hi)) {
		config_complain(p, "%s: '%s' is not a number from %g to %g", key,
				config_show(word), lo, hi);
		return false;
	}
	*out = v;
	return true;
}

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
 * @known: its options, for messages
 * @options: bits of source_options[] that its sort has
 * @have_min: minpoll was given
 * @have_max: maxpoll was given
 * @count: of a pool: sources to make of it
 * @nts_option: an option that only means something with nts, or NULL
 */
struct source_line {
	struct config_source	s;
	const char		*known;
	unsigned int		options;
	bool			have_min;
	bool			have_max;
	long			count;
	const char		*nts_option;
};

static void opt_iburst(struct parser *p, struct source_line *l, const char *arg)
{
	(void)p;
	(void)arg;
	l->s.iburst = true;
}

static void opt_prefer(struct parser *p, struct source_line *l, const char *arg)
{
	(void)p;
	(void)arg;
	l->s.prefer = true;
}

static void opt_trust(struct parser *p, struct source_line *l, const char *arg)
{
	(void)p;
	(void)arg;
	l->s.trust = true;
}

static void opt_noselect(struct parser *p, struct source_line *l, const char *arg)
{
	(void)p;
	(void)arg;
	l->s.noselect = true;
}

static void opt_port(struct parser *p, struct source_line *l, const char *arg)
{
	long v;

	if (config_int(p, "port", arg, 1, 65535, &v))
		l->s.port = (uint16_t)v;
}

static void opt_minpoll(struct parser *p, struct source_line *l, const char *arg)
{
	long v;

	if (!config_int(p, "minpoll", arg, CONFIG_POLL_LO, CONFIG_POLL_HI, &v))
		return;
	l->s.minpoll = (int8_t)v;
	l->have_min = true;
}

static void opt_maxpoll(struct parser *p, struct source_line *l, const char *arg)
{
	long v;

	if (!config_int(p, "maxpoll", arg, CONFIG_POLL_LO, CONFIG_POLL_HI, &v))
		return;
	l->s.maxpoll = (int8_t)v;
	l->have_max = true;
}

static void opt_nts(struct parser *p, struct source_line *l, const char *arg)
{
	(void)p;
	(void)arg;
	l->s.nts = true;
}

static void opt_ntsport(struct parser *p, struct source_line *l, const char *arg)
{
	long v;

	l->nts_option = "ntsport";
	if (config_int(p, "ntsport", arg, 1, 65535, &v))
		l->s.nts_port = (uint16_t)v;
}

static void opt_ntsca(struct parser *p, struct source_line *l, const char *arg)
{
	l->nts_option = "ntsca";
	if (arg[0] != '/' || strlen(arg) >= CONFIG_FILE_MAX) {
		config_complain(p, "ntsca: '%s' is not an absolute path of at most %d characters",
			 config_show(arg), CONFIG_FILE_MAX - 1);
		return;
	}
	strcpy(l->s.nts_ca, arg);
}

static void opt_ntsnotime(struct parser *p, struct source_line *l, const char *arg)
{
	(void)p;
	(void)arg;
	l->nts_option = "ntsnotime";
	l->s.nts_notime = true;
}

static void opt_tai(struct parser *p, struct source_line *l, const char *arg)
{
	(void)p;
	(void)arg;
	l->s.tai = true;
}

static void opt_basic(struct parser *p, struct source_line *l, const char *arg)
{
	(void)p;
	(void)arg;
	l->s.phc_basic = true;
}

static void opt_error(struct parser *p, struct source_line *l, const char *arg)
{
	double v;

	if (config_number(p, "error", arg, 0, 1, &v))
		l->s.error_ns = (uint32_t)(v * 1e9);
}

static void opt_maxsources(struct parser *p, struct source_line *l, const char *arg)
{
	config_int(p, "maxsources", arg, 1, CONFIG_SOURCES_MAX, &l->count);
}

/* What sorts of sources take an option */
#define FOR_NTP		(1u << 0)
#define FOR_POOL	(1u << 1)
#define FOR_PHC		(1u << 2)
#define FOR_ALL		~0u

static const struct {
	const char	*name;
	unsigned int	sorts;
	bool		value;
	void		(*set)(struct parser *p, struct source_line *l, const char *arg);
} source_options[] = {
	{ "port",	FOR_NTP | FOR_POOL,	true,	opt_port },
	{ "minpoll",	FOR_ALL,		true,	opt_minpoll },
	{ "maxpoll",	FOR_ALL,		true,	opt_maxpoll },
	{ "iburst",	FOR_NTP | FOR_POOL,	false,	opt_iburst },
	{ "nts",	FOR_NTP | FOR_POOL,	false,	opt_nts },
	{ "ntsport",	FOR_NTP | FOR_POOL,	true,	opt_ntsport },
	{ "ntsca",	FOR_NTP | FOR_POOL,	true,	opt_ntsca },
	{ "ntsnotime",	FOR_NTP | FOR_POOL,	false,	opt_ntsnotime },
	{ "maxsources",	FOR_POOL,		true,	opt_maxsources },
	{ "tai",	FOR_PHC,		false,	opt_tai },
	{ "basic",	FOR_PHC,		false,	opt_basic },
	{ "error",	FOR_PHC,		true,	opt_error },
	{ "prefer",	FOR_ALL,		false,	opt_prefer },
	{ "trust",	FOR_ALL,		false,	opt_trust },
	{ "noselect",	FOR_ALL,		false,	opt_noselect },
};
#define N_SOURCE_OPTIONS	(sizeof(source_options) / sizeof(source_options[0]))

/* The options of a line from its third word on.  Return: whether all are known */
static bool parse_source_options(struct parser *p, struct source_line *l)
{
	size_t o;
	int i;

	for (i = 2; i < p->n; i++) {
		const char *opt = p->word[i];

		for (o = 0; o < N_SOURCE_OPTIONS; o++)
			if ((source_options[o].sorts & l->options) &&
			    !strcmp(opt, source_options[o].name))
				break;
		if (o == N_SOURCE_OPTIONS) {
			config_complain(p, "%s: unknown option '%s'; known: %s", p->word[0], config_show(opt),
				 l->known);
			return false;
		}
		if (!source_options[o].value) {
			source_options[o].set(p, l, NULL);
			continue;
		}
		if (++i == p->n) {
			config_complain(p, "%s: '%s' needs a value", p->word[0], opt);
			return false;
		}
		source_options[o].set(p, l, p->word[i]);
	}
	return true;
}

/* Put what a line says, once or (a pool) several times, into the configuration */
static void add_source(struct parser *p, struct source_line *l, int before)
{
	struct config_source *s = &l->s;
	int i;

	/* one given alone pulls the other's default along */
	if (l->have_min && !l->have_max && s->maxpoll < s->minpoll)
		s->maxpoll = s->minpoll;
	if (l->have_max && !l->have_min && s->minpoll > s->maxpoll)
		s->minpoll = s->maxpoll;
	if (s->minpoll > s->maxpoll)
		config_complain(p, "%s: minpoll %d is above maxpoll %d", p->word[0], s->minpoll,
			 s->maxpoll);
	for (i = 0; i < (int)p->cfg->n_sources; i++) {
		const struct config_source *o = &p->cfg->sources[i];

		if (o->kind != s->kind || strcasecmp(o->name, s->name) || o->port != s->port)
			continue;
		config_complain(p, "%s: '%s' port %u is already on line %u", p->word[0], config_show(s->name),
			 s->port, o->line);
		break;
	}
	for (i = 0; i < l->count && p->errors == before; i++) {
		if (p->cfg->n_sources == CONFIG_SOURCES_MAX) {
			config_complain(p, "%s: more than %d sources", p->word[0], CONFIG_SOURCES_MAX);
			return;
		}
		p->cfg->sources[p->cfg->n_sources++] = *s;
	}
}

static void key_ntp(struct parser *p, struct source_line *l)
{
	int before = p->errors;

	l->s.kind = CONFIG_SOURCE_NTP;
	l->s.line = p->line;
	l->s.port = NTP_PORT;
	l->s.nts_port = NTS_KE_PORT;
	l->s.minpoll = CONFIG_MINPOLL;
	l->s.maxpoll = CONFIG_MAXPOLL;
	if (p->n < 2) {
		config_complain(p, "%s: the name or address is missing: %s HOST [OPTION...]; options: %s",
			 p->word[0], p->word[0], l->known);
		return;
	}
	if (!host_ok(p->word[1])) {
		config_complain(p, "%s: '%s' is neither a host name nor an address", p->word[0],
			 config_show(p->word[1]));
		return;
	}
	strcpy(l->s.name, p->word[1]);
	if (!parse_source_options(p, l))
		return;
	if (l->nts_option && !l->s.nts)
		config_complain(p, "%s: '%s' without 'nts'", p->word[0], l->nts_option);
	add_source(p, l, before);
}

static void key_server(struct parser *p)
{
	struct source_line l = {
		.options = FOR_NTP, .count = 1,
		.known = "port N, minpoll N, maxpoll N, iburst, nts, ntsport N, ntsca FILE, "
			 "ntsnotime, prefer, trust, noselect",
	};

	key_ntp(p, &l);
}

/* Sources that are devices of this machine: cheap to ask, so asked often */
static void key_phc(struct parser *p)
{
	struct source_line l = {
		.options = FOR_PHC, .count = 1,
		.known = "minpoll N, maxpoll N, tai, basic, error SECONDS, prefer, trust, noselect",
	};
	int before = p->errors;

	l.s.kind = CONFIG_SOURCE_PHC;
	l.s.line = p->line;
	l.s.minpoll = CONFIG_PHC_MINPOLL;
	l.s.maxpoll = CONFIG_PHC_MAXPOLL;
	if (p->n < 2) {
		config_complain(p, "phc: the device is missing: phc DEVICE [OPTION...]; options: %s",
				l.known);
		return;
	}
	if (config_path(p, p->word[1], l.s.name, sizeof(l.s.name)) && parse_source_options(p, &l))
		add_source(p, &l, before);
}

static void key_pool(struct parser *p)
{
	struct source_line l = {
		.options = FOR_POOL, .count = CONFIG_POOL_SOURCES, .s.pool = true,
		.known = "port N, minpoll N, maxpoll N, iburst, nts, ntsport N, ntsca FILE, "
			 "ntsnotime, maxsources N, prefer, trust, noselect",
	};

	key_ntp(p, &l);
}

bool config_one_value(struct parser *p, const char *allowed)
{
	if (p->n == 2)
		return true;
	config_complain(p, "%s: needs exactly one value: %s", p->word[0], allowed);
	return false;
}

bool config_path(struct parser *p, const char *word, char *dst, size_t size)
{
	/* a relative name would depend on where the daemon was started */
	if (word[0] != '/' || strlen(word) >= size) {
		config_complain(p, "%s: '%s' is not an absolute path of at most %zu characters",
				p->word[0], config_show(word), size - 1);
		return false;
	}
	strcpy(dst, word);
	return true;
}

static bool choose(struct parser *p, const char *const *names, int n, const char *allowed,
		   int *out)
{
	int i;

	if (!config_one_value(p, allowed))
		return false;
	for (i = 0; i < n; i++) {
		if (!strcmp(names[i], p->word[1])) {
			*out = i;
			return true;
		}
	}
	config_complain(p, "%s: '%s' is not one of: %s", p->word[0], config_show(p->word[1]), allowed);
	return false;
}

static void key_counter(struct parser *p)
{
	static const char *const names[] = { "auto", "device", "tsc", "monotonic_raw" };
	int v;

	if (choose(p, names, 4, "auto, device, tsc, monotonic_raw", &v))
		p->cfg->counter = (enum config_counter)v;
}

static void key_output(struct parser *p)
{
	static const char *const names[] = { "auto", "kernel", "none" };
	int v;

	if (choose(p, names, 3, "auto, kernel, none", &v))
		p->cfg->output = (enum config_output)v;
}

static void key_log(struct parser *p)
{
	char *dst = NULL;

	if (p->n == 3 && !strcmp(p->word[1], "stamps"))
		dst = p->cfg->log_stamps;
	else if (p->n == 3 && !strcmp(p->word[1], "map"))
		dst = p->cfg->log_map;
	else if (p->n == 3 && !strcmp(p->word[1], "tracking"))
		dst = p->cfg->log_tracking;
	if (!dst) {
		config_complain(p, "log: needs 'stamps FILE', 'map FILE' or 'tracking FILE'");
		return;
	}
	if (*dst) {
		config_complain(p, "log: a file for the %s was given before", p->word[1]);
		return;
	}
	config_path(p, p->word[2], dst, CONFIG_FILE_MAX);
}

static void key_user(struct parser *p)
{
	if (!config_one_value(p, "the name of a user"))
		return;
	if (!*p->word[1] || strlen(p->word[1]) >= CONFIG_USER_MAX) {
		config_complain(p, "user: '%s' is not a name of 1 to %d characters", config_show(p->word[1]),
			 CONFIG_USER_MAX - 1);
		return;
	}
	strcpy(p->cfg->user, p->word[1]);
}

static void key_maxdistance(struct parser *p)
{
	double v;

	if (config_one_value(p, "seconds from 0.001 to 16") &&
	    config_number(p, "maxdistance", p->word[1], 0.001, 16, &v))
		p->cfg->max_distance_ns = (int64_t)(v * 1e9);
}

static void key_verbose(struct parser *p)
{
	static const int levels[] = { LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
	long v;

	if (config_one_value(p, "0 (problems), 1 (changes), 2 (every update), 3 (everything)") &&
	    config_int(p, "verbose", p->word[1], 0, 3, &v))
		p->cfg->level = levels[v];
}

static void key_minsources(struct parser *p)
{
	long v;

	if (config_one_value(p, "a number of sources") &&
	    config_int(p, "minsources", p->word[1], 1, CONFIG_SOURCES_MAX, &v))
		p->cfg->min_sources = (unsigned int)v;
}

static const struct {
	const char	*name;
	void		(*set)(struct parser *p);
	bool		repeats;
} keys[] = {
	{ "server",		key_server,		true },
	{ "pool",		key_pool,		true },
	{ "phc",		key_phc,		true },
	{ "counter",		key_counter,		false },
	{ "output",		key_output,		false },
	{ "log",		key_log,		true },
	{ "user",		key_user,		false },
	{ "maxdistance",	key_maxdistance,	false },
	{ "minsources",		key_minsources,		false },
	{ "verbose",		key_verbose,		false },
	{ "control",		config_key_control,	false },
	{ "state",		config_key_state,	false },
	{ "sandbox",		config_key_sandbox,	false },
	{ "systemclock",	config_key_systemclock,	false },
	{ "serve",		config_key_serve,	true },
	{ "allow",		config_key_allow,	true },
	{ "deny",		config_key_deny,	true },
	{ "ratelimit",		config_key_ratelimit,	false },
	{ "shm",		config_key_shm,		false },
	{ "sock",		config_key_sock,	false },
	{ "metrics",		config_key_metrics,	false },
};
#define N_KEYS	(sizeof(keys) / sizeof(keys[0]))

static void unknown_key(struct parser *p)
{
	char known[N_KEYS * 16] = "";
	size_t i, n = 0;

	for (i = 0; i < N_KEYS; i++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "",
				      keys[i].name);
	config_complain(p, "unknown key '%s'; known: %s", config_show(p->word[0]), known);
}

/* Blank-separated words; "..." keeps blanks; # begins a comment. In place. */
static bool split(struct parser *p, char *s)
{
	p->n = 0;
	for (;;) {
		s += strspn(s, " \t\r");
		if (!*s || *s == '#')
			return true;
		if (p->n == WORDS_MAX) {
			config_complain(p, "more than %d words", WORDS_MAX);
			return false;
		}
		if (*s == '"') {
			char *end = strchr(s + 1, '"');

			if (!end) {
				config_complain(p, "the closing \" is missing");
				return false;
			}
			if (end[1] && !strchr(" \t\r", end[1])) {
				config_complain(p, "a blank is missing after the closing \"");
				return false;
			}
			p->word[p->n++] = s + 1;
			*end = '\0';
			s = end + 1;
			continue;
		}
		p->word[p->n++] = s;
		s += strcspn(s, " \t\r");
		if (!*s)
			return true;
		*s++ = '\0';
	}
}

static void parse_line(struct parser *p, const char *text, size_t len)
{
	char line[LINE_MAX_LEN];
	size_t i;

	if (len >= sizeof(line)) {
		config_complain(p, "line longer than %zu characters", sizeof(line) - 1);
		return;
	}
	memcpy(line, text, len);
	line[len] = '\0';
	if (memchr(line, '\0', len)) {
		config_complain(p, "zero byte: not a text file");
		return;
	}
	if (!split(p, line) || !p->n)
		return;

	for (i = 0; i < N_KEYS; i++)
		if (!strcmp(keys[i].name, p->word[0]))
			break;
	if (i == N_KEYS) {
		unknown_key(p);
		return;
	}
	if (!keys[i].repeats && p->seen & 1u << i) {
		config_complain(p, "%s: was set before; give it once", keys[i].name);
		return;
	}
	p->seen |= 1u << i;
	keys[i].set(p);
}

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

int config_parse(struct config *cfg, const char *text, size_t len, const char *name, FILE *err)
{
	struct parser p = { .cfg = cfg, .name = name, .err = err };

	config_defaults(cfg);
	while (len) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;

		p.line++;
		parse_line(&p, text, n);
		if (p.errors >= ERRORS_MAX) {
			fprintf(err, "%s: too many errors, reading no further\n", name);
			return p.errors;
		}
		n += nl ? 1 : 0;
		text += n;
		len -= n;
	}
	p.line = 0;
	if (!cfg->n_sources && !p.errors)
		config_complain(&p, "no source of time: add a line 'server HOST' or "
				"'phc DEVICE'");
	if (cfg->min_sources > cfg->n_sources && !p.errors)
		config_complain(&p, "minsources %u, but there are only %zu sources", cfg->min_sources,
			 cfg->n_sources);
	if (cfg->output == CONFIG_OUTPUT_KERNEL && cfg->counter > CONFIG_COUNTER_DEVICE)
		config_complain(&p, "output kernel needs counter device (or auto): the kernel's clock "
			 "runs on the kernel's counter");
	return p.errors;
}

int config_load(struct config *cfg, const char *path, FILE *err)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t len;
	int ret;

	if (!f) {
		fprintf(err, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	text = malloc(FILE_SIZE_MAX + 1);
	if (!text) {
		fprintf(err, "%s: out of memory\n", path);
		fclose(f);
		return 1;
	}
	errno = 0;
	len = fread(text, 1, FILE_SIZE_MAX + 1, f);
	if (ferror(f)) {
		fprintf(err, "%s: %s\n", path, strerror(errno));
		ret = 1;
	} else if (len > FILE_SIZE_MAX) {
		fprintf(err, "%s: larger than 1 MiB: not a configuration file\n", path);
		ret = 1;
	} else {
		ret = config_parse(cfg, text, len, path, err);
	}
	free(text);
	fclose(f);
	return ret;
}
