// SPDX-License-Identifier: GPL-2.0-only
/* The configuration file: see conf.h. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "conf.h"

#define WORDS_MAX	8	/* guest NAME offset N bound N: 6 */
#define LINE_LEN_MAX	1024
#define ERRORS_MAX	20
#define FILE_SIZE_MAX	(1 << 20)
#define NSEC		1000000000LL

struct parser {
	struct conf	*c;
	const char	*name;
	FILE		*err;
	unsigned int	line;
	int		errors;
	unsigned int	seen;
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
	fprintf(p->err, "%s:%u: ", p->name, p->line);
	va_start(ap, fmt);
	vfprintf(p->err, fmt, ap);
	va_end(ap);
	fputc('\n', p->err);
}

/* A word from the file, safe to print */
static const char *show(const char *word)
{
	static char buf[68];
	size_t i;

	for (i = 0; word[i] && i < 64; i++)
		buf[i] = isprint((unsigned char)word[i]) ? word[i] : '?';
	strcpy(buf + i, word[i] ? "..." : "");
	return buf;
}

/* Decimal seconds in ns, without the surprises of strtod() */
static bool seconds(struct parser *p, double lo, double hi, int64_t *ns)
{
	const char *w = p->word[1];
	char *end;
	double v;

	v = strtod(w, &end);
	if (strspn(w, "0123456789.") != strlen(w) || end == w || *end || !(v >= lo && v <= hi)) {
		complain(p, "%s: '%s' is not a number of seconds from %g to %g", p->word[0],
			 show(w), lo, hi);
		return false;
	}
	*ns = (int64_t)(v * (double)NSEC + 0.5);
	return true;
}

static void path(struct parser *p, char *to, bool none)
{
	const char *w = p->word[1];

	if (none && !strcmp(w, "none")) {
		to[0] = '\0';
		return;
	}
	if (*w != '/' || strlen(w) >= CONF_PATH_MAX) {
		complain(p, "%s: '%s' is not an absolute path of at most %d characters%s",
			 p->word[0], show(w), CONF_PATH_MAX - 1, none ? ", nor 'none'" : "");
		return;
	}
	strcpy(to, w);
}

static void key_clock(struct parser *p)
{
	const char *w = p->word[1];

	if (!strcmp(w, "auto") || !strcmp(w, "device") || !strcmp(w, "system"))
		strcpy(p->c->clock, w);
	else if (*w == '/' && strlen(w) < CONF_PATH_MAX)
		strcpy(p->c->clock, w);
	else
		complain(p, "clock: '%s' is not auto, device, system, nor the path of a page",
			 show(w));
}

static void key_system_bound(struct parser *p)
{
	int64_t ns;

	if (seconds(p, 1e-9, 1000, &ns))
		p->c->system_bound_ns = (uint64_t)ns;
}

static bool whole(struct parser *p, const char *word, bool negative, uint64_t max, uint64_t *out);

static void key_system_tai(struct parser *p)
{
	uint64_t v;

	if (whole(p, p->word[1], false, 1000, &v))
		p->c->system_tai = (int)v;
}

static void key_check(struct parser *p)
{
	seconds(p, 0.001, 10, &p->c->check_ns);
}

static void key_offsets(struct parser *p)
{
	seconds(p, 0.001, 60, &p->c->offset_ns);
}

static void key_scan(struct parser *p)
{
	seconds(p, 0.05, 3600, &p->c->scan_ns);
}

static void key_update(struct parser *p)
{
	seconds(p, 0.05, 64, &p->c->update_ns);
}

static void key_debugfs(struct parser *p)
{
	path(p, p->c->debugfs, false);
}

static void key_libvirt(struct parser *p)
{
	path(p, p->c->libvirt, true);
}

static void key_control(struct parser *p)
{
	path(p, p->c->control, true);
}

static void key_guests(struct parser *p)
{
	if (!strcmp(p->word[1], "all") || !strcmp(p->word[1], "named"))
		p->c->named = *p->word[1] == 'n';
	else
		complain(p, "guests: '%s' is not all or named", show(p->word[1]));
}

static void key_process(struct parser *p)
{
	struct conf *c = p->c;
	int i;

	for (i = 0; c->names[i]; i++)
		;
	if (i == CONF_NAMES_MAX) {
		complain(p, "process: more than %d names", CONF_NAMES_MAX);
		return;
	}
	if (!*p->word[1] || strlen(p->word[1]) >= CONF_NAME_MAX || strchr(p->word[1], '/')) {
		complain(p, "process: '%s' is not the name of a program", show(p->word[1]));
		return;
	}
	strcpy(c->name_text[i], p->word[1]);
	c->names[i] = c->name_text[i];
}

static void key_verbose(struct parser *p)
{
	static const int levels[] = { LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
	const char *w = p->word[1];

	if (strlen(w) == 1 && *w >= '0' && *w <= '3')
		p->c->level = levels[*w - '0'];
	else
		complain(p, "verbose: '%s' is not 0 (problems), 1 (changes), 2 (more) or 3 "
			 "(everything)", show(w));
}

static bool whole(struct parser *p, const char *word, bool negative, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	if (negative && *word == '-' && isdigit((unsigned char)word[1])) {
		*out = (uint64_t)strtoll(word, &end, 10);
	} else if (isdigit((unsigned char)*word)) {
		*out = strtoull(word, &end, 10);
		if (*out > max)
			errno = ERANGE;
	} else {
		end = (char *)word;
	}
	if (end != word && !*end && !errno)
		return true;
	if (negative)
		complain(p, "%s: '%s' is not a whole number of 64 bits", p->word[0], show(word));
	else
		complain(p, "%s: '%s' is not a whole number up to %llu", p->word[0], show(word),
			 (unsigned long long)max);
	return false;
}

static void key_guest(struct parser *p)
{
	struct conf_guest g = { .bound = 0 };
	uint64_t v;
	size_t i;

	if (!*p->word[1] || strlen(p->word[1]) >= sizeof(g.name)) {
		complain(p, "guest: '%s' is not a name of 1 to %d characters", show(p->word[1]),
			 CONF_NAME_MAX - 1);
		return;
	}
	strcpy(g.name, p->word[1]);
	if (p->n == 3 && !strcmp(p->word[2], "ignore")) {
		g.ignore = true;
	} else if (p->n == 3 && !strcmp(p->word[2], "watch")) {
		g.watch = true;
	} else if ((p->n == 4 || p->n == 6) && !strcmp(p->word[2], "offset") &&
		   (p->n == 4 || !strcmp(p->word[4], "bound"))) {
		if (!whole(p, p->word[3], true, UINT64_MAX, &g.offset))
			return;
		g.have_offset = true;
		if (p->n == 6) {
			if (!whole(p, p->word[5], false, 1000000000, &v))
				return;
			g.bound = (uint32_t)v;
		}
	} else {
		complain(p, "guest: wants 'guest NAME watch', 'guest NAME ignore' or 'guest NAME "
			 "offset COUNTS [bound COUNTS]'");
		return;
	}
	for (i = 0; i < p->c->n_guests; i++) {
		if (!strcmp(p->c->guests[i].name, g.name)) {
			complain(p, "guest: '%s' was given before", show(g.name));
			return;
		}
	}
	if (p->c->n_guests == CONF_GUESTS_MAX) {
		complain(p, "guest: more than %d", CONF_GUESTS_MAX);
		return;
	}
	p->c->guests[p->c->n_guests++] = g;
}

static const struct {
	const char	*name;
	void		(*set)(struct parser *p);
	bool		repeats;
} keys[] = {
	{ "clock",		key_clock,		false },
	{ "system-bound",	key_system_bound,	false },
	{ "system-tai",		key_system_tai,		false },
	{ "check",		key_check,		false },
	{ "offsets",		key_offsets,		false },
	{ "scan",		key_scan,		false },
	{ "update",		key_update,		false },
	{ "debugfs",		key_debugfs,		false },
	{ "libvirt",		key_libvirt,		false },
	{ "control",		key_control,		false },
	{ "process",		key_process,		true },
	{ "guests",		key_guests,		false },
	{ "guest",		key_guest,		true },
	{ "verbose",		key_verbose,		false },
};
#define N_KEYS	(sizeof(keys) / sizeof(keys[0]))

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
			p->word[p->n++] = ++s;
			s += strcspn(s, "\"");
			if (!*s) {
				complain(p, "the closing \" is missing");
				return false;
			}
		} else {
			p->word[p->n++] = s;
			s += strcspn(s, " \t\r");
			if (!*s)
				return true;
		}
		*s++ = '\0';
	}
}

static void parse_line(struct parser *p, const char *text, size_t len)
{
	char line[LINE_LEN_MAX];
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
		complain(p, "unknown key '%s'; known: clock, system-bound, system-tai, check, offsets, scan, "
			 "update, debugfs, libvirt, control, process, guests, guest, verbose",
			 show(p->word[0]));
		return;
	}
	if (!keys[i].repeats && p->seen & 1u << i) {
		complain(p, "%s: was set before; give it once", keys[i].name);
		return;
	}
	p->seen |= 1u << i;
	if (keys[i].set == key_guest ? p->n < 2 : p->n != 2) {
		complain(p, "%s: needs %s value", keys[i].name,
			 keys[i].set == key_guest ? "a" : "exactly one");
		return;
	}
	keys[i].set(p);
}

void conf_defaults(struct conf *c)
{
	memset(c, 0, sizeof(*c));
	strcpy(c->clock, "auto");
	strcpy(c->debugfs, "/sys/kernel/debug");
	strcpy(c->libvirt, "/run/libvirt/qemu");
	strcpy(c->control, "/run/ffclock-hostd/control");
	c->check_ns = NSEC / 20;
	c->offset_ns = NSEC / 10;
	c->scan_ns = NSEC;
	c->update_ns = 16 * NSEC;
	c->level = LOG_NOTICE;
}

int conf_parse(struct conf *c, const char *text, size_t len, const char *name, FILE *err)
{
	struct parser p = { .c = c, .name = name, .err = err };

	conf_defaults(c);
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
	return p.errors;
}

int conf_load(struct conf *c, const char *path_name, FILE *err)
{
	FILE *f = fopen(path_name, "re");
	char *text;
	size_t len;
	int ret;

	if (!f) {
		ret = errno;
		if (ret == ENOENT) {
			conf_defaults(c);
			return -ENOENT;
		}
		fprintf(err, "%s: %s\n", path_name, strerror(ret));
		return 1;
	}
	text = malloc(FILE_SIZE_MAX + 1);
	len = text ? fread(text, 1, FILE_SIZE_MAX + 1, f) : 0;
	if (!text || ferror(f) || len > FILE_SIZE_MAX) {
		fprintf(err, "%s: cannot be read, or is larger than 1 MiB\n", path_name);
		ret = 1;
	} else {
		ret = conf_parse(c, text, len, path_name, err);
	}
	free(text);
	fclose(f);
	return ret;
}
