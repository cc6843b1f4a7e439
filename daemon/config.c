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
#include "ntp_packet.h"

#define WORDS_MAX	16	/* per line; the longest valid one has 9 */
#define LINE_MAX_LEN	4096
#define ERRORS_MAX	20
#define FILE_SIZE_MAX	(1 << 20)

/* RFC 5905 MAXDIST is 1 s; 3 s is what clients on poor paths settled for */
#define MAX_DISTANCE_DEFAULT_NS	3000000000LL

struct parser {
	struct config	*cfg;
	const char	*name;
	FILE		*err;
	unsigned int	line;
	int		errors;
	unsigned int	seen;	/* bit per entry of keys[] */
	char		*word[WORDS_MAX];
	int		n;
};

static void complain(struct parser *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void complain(struct parser *p, const char *fmt, ...)
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

/* A word from the file, safe to print: bounded, and no control characters */
static const char *show(const char *word)
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

static bool parse_int(struct parser *p, const char *key, const char *word, long lo, long hi,
		      long *out)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(word, &end, 10);
	if (end == word || *end || errno || v < lo || v > hi || isspace((unsigned char)*word)) {
		complain(p, "%s: '%s' is not a whole number from %ld to %ld", key, show(word), lo,
			 hi);
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

static void key_server(struct parser *p)
{
	struct config_server s = {
		.line = p->line, .port = NTP_PORT,
		.minpoll = CONFIG_MINPOLL, .maxpoll = CONFIG_MAXPOLL,
	};
	bool have_min = false, have_max = false;
	int before = p->errors, i;
	long v;

	if (p->n < 2) {
		complain(p, "server: the name or address is missing: server HOST [port N] "
			 "[minpoll N] [maxpoll N] [iburst]");
		return;
	}
	if (!host_ok(p->word[1])) {
		complain(p, "server: '%s' is neither a host name nor an address",
			 show(p->word[1]));
		return;
	}
	strcpy(s.host, p->word[1]);

	for (i = 2; i < p->n; i++) {
		const char *opt = p->word[i];
		const char *arg = i + 1 < p->n ? p->word[i + 1] : NULL;

		if (!strcmp(opt, "iburst")) {
			s.iburst = true;
			continue;
		}
		if (strcmp(opt, "port") && strcmp(opt, "minpoll") && strcmp(opt, "maxpoll")) {
			complain(p, "server: unknown option '%s'; known: port N, minpoll N, "
				 "maxpoll N, iburst", show(opt));
			return;
		}
		if (!arg) {
			complain(p, "server: '%s' needs a number", opt);
			return;
		}
		i++;
		if (!strcmp(opt, "port")) {
			if (parse_int(p, "server: port", arg, 1, 65535, &v))
				s.port = (uint16_t)v;
		} else if (parse_int(p, opt, arg, CONFIG_POLL_LO, CONFIG_POLL_HI, &v)) {
			if (!strcmp(opt, "minpoll")) {
				s.minpoll = (int8_t)v;
				have_min = true;
			} else {
				s.maxpoll = (int8_t)v;
				have_max = true;
			}
		}
	}
	/* one given alone pulls the other's default along */
	if (have_min && !have_max && s.maxpoll < s.minpoll)
		s.maxpoll = s.minpoll;
	if (have_max && !have_min && s.minpoll > s.maxpoll)
		s.minpoll = s.maxpoll;
	if (s.minpoll > s.maxpoll)
		complain(p, "server: minpoll %d is above maxpoll %d", s.minpoll, s.maxpoll);
	for (i = 0; i < (int)p->cfg->n_servers; i++) {
		const struct config_server *o = &p->cfg->servers[i];

		if (!strcasecmp(o->host, s.host) && o->port == s.port)
			complain(p, "server: '%s' port %u is already on line %u", show(s.host),
				 s.port, o->line);
	}
	if (p->errors > before)
		return;
	if (p->cfg->n_servers == CONFIG_SERVERS_MAX) {
		complain(p, "server: more than %d servers", CONFIG_SERVERS_MAX);
		return;
	}
	p->cfg->servers[p->cfg->n_servers++] = s;
}

static bool one_value(struct parser *p, const char *allowed)
{
	if (p->n == 2)
		return true;
	complain(p, "%s: needs exactly one value: %s", p->word[0], allowed);
	return false;
}

static bool choose(struct parser *p, const char *const *names, int n, const char *allowed,
		   int *out)
{
	int i;

	if (!one_value(p, allowed))
		return false;
	for (i = 0; i < n; i++) {
		if (!strcmp(names[i], p->word[1])) {
			*out = i;
			return true;
		}
	}
	complain(p, "%s: '%s' is not one of: %s", p->word[0], show(p->word[1]), allowed);
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
	if (!dst) {
		complain(p, "log: needs 'stamps FILE' or 'map FILE'");
		return;
	}
	if (*dst) {
		complain(p, "log: a file for the %s was given before", p->word[1]);
		return;
	}
	/* a relative name would depend on where the daemon was started */
	if (p->word[2][0] != '/' || strlen(p->word[2]) >= CONFIG_FILE_MAX) {
		complain(p, "log: '%s' is not an absolute path of at most %d characters",
			 show(p->word[2]), CONFIG_FILE_MAX - 1);
		return;
	}
	strcpy(dst, p->word[2]);
}

static void key_user(struct parser *p)
{
	if (!one_value(p, "the name of a user"))
		return;
	if (!*p->word[1] || strlen(p->word[1]) >= CONFIG_USER_MAX) {
		complain(p, "user: '%s' is not a name of 1 to %d characters", show(p->word[1]),
			 CONFIG_USER_MAX - 1);
		return;
	}
	strcpy(p->cfg->user, p->word[1]);
}

static void key_maxdistance(struct parser *p)
{
	static const char allowed[] = "seconds from 0.001 to 16";
	char *end;
	double v;

	if (!one_value(p, allowed))
		return;
	/* no hexadecimal, no nan: strtod() takes more than a person would mean */
	v = strtod(p->word[1], &end);
	if (strspn(p->word[1], "0123456789.") != strlen(p->word[1]) || end == p->word[1] || *end ||
	    !(v >= 0.001 && v <= 16)) {
		complain(p, "maxdistance: '%s' is not %s", show(p->word[1]), allowed);
		return;
	}
	p->cfg->max_distance_ns = (int64_t)(v * 1e9);
}

static void key_verbose(struct parser *p)
{
	static const int levels[] = { LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
	long v;

	if (one_value(p, "0 (problems), 1 (changes), 2 (every update), 3 (everything)") &&
	    parse_int(p, "verbose", p->word[1], 0, 3, &v))
		p->cfg->level = levels[v];
}

static const struct {
	const char	*name;
	void		(*set)(struct parser *p);
	bool		repeats;
} keys[] = {
	{ "server",		key_server,		true },
	{ "counter",		key_counter,		false },
	{ "output",		key_output,		false },
	{ "log",		key_log,		true },
	{ "user",		key_user,		false },
	{ "maxdistance",	key_maxdistance,	false },
	{ "verbose",		key_verbose,		false },
};
#define N_KEYS	(sizeof(keys) / sizeof(keys[0]))

/* Blank-separated words; "..." keeps blanks; # begins a comment. In place. */
static bool split(struct parser *p, char *s)
{
	p->n = 0;
	for (;;) {
		s += strspn(s, " \t\r");
		if (!*s || *s == '#')
			return true;
		if (p->n == WORDS_MAX) {
			complain(p, "more than %d words", WORDS_MAX);
			return false;
		}
		if (*s == '"') {
			char *end = strchr(s + 1, '"');

			if (!end) {
				complain(p, "the closing \" is missing");
				return false;
			}
			if (end[1] && !strchr(" \t\r", end[1])) {
				complain(p, "a blank is missing after the closing \"");
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
		complain(p, "line longer than %zu characters", sizeof(line) - 1);
		return;
	}
	memcpy(line, text, len);
	line[len] = '\0';
	if (memchr(line, '\0', len)) {
		complain(p, "zero byte: not a text file");
		return;
	}
	if (!split(p, line) || !p->n)
		return;

	for (i = 0; i < N_KEYS; i++)
		if (!strcmp(keys[i].name, p->word[0]))
			break;
	if (i == N_KEYS) {
		complain(p, "unknown key '%s'; known: server, counter, output, log, user, "
			 "maxdistance, verbose", show(p->word[0]));
		return;
	}
	if (!keys[i].repeats && p->seen & 1u << i) {
		complain(p, "%s: was set before; give it once", keys[i].name);
		return;
	}
	p->seen |= 1u << i;
	keys[i].set(p);
}

void config_defaults(struct config *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->max_distance_ns = MAX_DISTANCE_DEFAULT_NS;
	cfg->level = LOG_NOTICE;
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
	if (!cfg->n_servers && !p.errors)
		complain(&p, "no server: add a line 'server HOST'");
	if (cfg->output == CONFIG_OUTPUT_KERNEL && cfg->counter > CONFIG_COUNTER_DEVICE)
		complain(&p, "output kernel needs counter device (or auto): the kernel's clock "
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
