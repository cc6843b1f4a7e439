// SPDX-License-Identifier: GPL-2.0-only
/* Configuration files: see conffile.h. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "conffile.h"

/* Three times the longest path (1023 characters), of which a line has one */
#define LINE_MAX_LEN	4096
#define ERRORS_MAX	20
#define FILE_SIZE_MAX	(1 << 20)
#define BLANKS		" \t\r"

/* Count an error.  Return: whether it is to be printed, after what this has printed */
static bool begin_error(struct conffile *f)
{
	if (++f->errors > ERRORS_MAX)
		return false;
	if (f->line)
		fprintf(f->err, "%s:%u: ", f->name, f->line);
	else
		fprintf(f->err, "%s: ", f->name);
	return true;
}

void conffile_complain(struct conffile *f, const char *fmt, ...)
{
	va_list ap;

	if (!begin_error(f))
		return;
	va_start(ap, fmt);
	vfprintf(f->err, fmt, ap);
	va_end(ap);
	fputc('\n', f->err);
}

const char *conffile_show(const char *word)
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

bool conffile_int(struct conffile *f, const char *key, const char *word, long lo, long hi,
		  long *out)
{
	const char *digits = word + (*word == '-');
	char *end;
	long v;

	errno = 0;
	v = strtol(word, &end, 10);
	/* no blank and no + before it: strtol() takes both */
	if (!isdigit((unsigned char)*digits) || *end || errno || v < lo || v > hi) {
		conffile_complain(f, "%s: '%s' is not a whole number from %ld to %ld", key,
				  conffile_show(word), lo, hi);
		return false;
	}
	*out = v;
	return true;
}

/* No hexadecimal, no nan: strtod() takes more than a person would mean */
static bool number(const char *word, double lo, double hi, double *out)
{
	char *end;
	double v = strtod(word, &end);

	if (strspn(word, "0123456789.") != strlen(word) || end == word || *end ||
	    !(v >= lo && v <= hi))
		return false;
	*out = v;
	return true;
}

bool conffile_number(struct conffile *f, const char *key, const char *word, double lo, double hi,
		     double *out)
{
	if (number(word, lo, hi, out))
		return true;
	conffile_complain(f, "%s: '%s' is not a number from %g to %g", key, conffile_show(word),
			  lo, hi);
	return false;
}

bool conffile_seconds(struct conffile *f, const char *key, const char *word, double lo, double hi,
		      int64_t *ns)
{
	double s;

	if (!number(word, lo, hi, &s)) {
		conffile_complain(f, "%s: '%s' is not a number of seconds from %g to %g", key,
				  conffile_show(word), lo, hi);
		return false;
	}
	*ns = (int64_t)(s * 1e9 + 0.5);
	return true;
}

/* A relative name would depend on where the daemon was started */
static bool path(const char *word, char *dst, size_t size)
{
	if (word[0] != '/' || strlen(word) >= size)
		return false;
	strcpy(dst, word);
	return true;
}

bool conffile_path(struct conffile *f, const char *key, const char *word, char *dst, size_t size)
{
	if (path(word, dst, size))
		return true;
	conffile_complain(f, "%s: '%s' is not an absolute path of at most %zu characters", key,
			  conffile_show(word), size - 1);
	return false;
}

bool conffile_path_or_none(struct conffile *f, char *dst, size_t size)
{
	if (!strcmp(f->word[1], "none")) {
		*dst = '\0';
		return false;
	}
	if (path(f->word[1], dst, size))
		return true;
	conffile_complain(f, "%s: '%s' is not an absolute path of at most %zu characters, nor none",
			  f->word[0], conffile_show(f->word[1]), size - 1);
	return false;
}

int conffile_choose(struct conffile *f)
{
	const char *word = f->word[1], *choice = f->key->value;
	size_t len = strlen(word), n;
	int i;

	for (i = 0; ; i++) {
		n = strcspn(choice, ",");
		if (n == len && !memcmp(choice, word, n))
			return i;
		if (!choice[n])
			break;
		choice += n + strlen(", ");
	}
	conffile_complain(f, "%s: '%s' is not one of: %s", f->word[0], conffile_show(word),
			  f->key->value);
	return -1;
}

void conffile_level(struct conffile *f, int *level)
{
	static const int levels[] = { LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
	long v;

	if (conffile_int(f, f->word[0], f->word[1], 0, 3, &v))
		*level = levels[v];
}

static void unknown_key(struct conffile *f)
{
	size_t i;

	if (!begin_error(f))
		return;
	fprintf(f->err, "unknown key '%s'; known: ", conffile_show(f->word[0]));
	for (i = 0; i < f->n_keys; i++)
		fprintf(f->err, "%s%s", i ? ", " : "", f->keys[i].name);
	fputc('\n', f->err);
}

/* The words of a line, in place */
static bool split(struct conffile *f, char *s)
{
	f->n = 0;
	for (;;) {
		s += strspn(s, BLANKS);
		if (!*s || *s == '#')
			return true;
		if (f->n == CONFFILE_WORDS_MAX) {
			conffile_complain(f, "more than %d words", CONFFILE_WORDS_MAX);
			return false;
		}
		if (*s == '"') {
			char *end = strchr(s + 1, '"');

			if (!end) {
				conffile_complain(f, "the closing \" is missing");
				return false;
			}
			if (end[1] && !strchr(BLANKS, end[1])) {
				conffile_complain(f, "a blank is missing after the closing \"");
				return false;
			}
			f->word[f->n++] = s + 1;
			*end = '\0';
			s = end + 1;
			continue;
		}
		f->word[f->n++] = s;
		s += strcspn(s, BLANKS);
		if (!*s)
			return true;
		*s++ = '\0';
	}
}

static void parse_line(struct conffile *f, const char *text, size_t len)
{
	char line[LINE_MAX_LEN];
	size_t i;

	if (len >= sizeof(line)) {
		conffile_complain(f, "line longer than %zu characters", sizeof(line) - 1);
		return;
	}
	memcpy(line, text, len);
	line[len] = '\0';
	if (memchr(line, '\0', len)) {
		conffile_complain(f, "zero byte: not a text file");
		return;
	}
	if (!split(f, line) || !f->n)
		return;

	for (i = 0; i < f->n_keys; i++)
		if (!strcmp(f->keys[i].name, f->word[0]))
			break;
	if (i == f->n_keys) {
		unknown_key(f);
		return;
	}
	f->key = &f->keys[i];
	if (!f->key->repeats && f->seen & 1u << i) {
		conffile_complain(f, "%s: was set before; give it once", f->key->name);
		return;
	}
	f->seen |= 1u << i;
	if (f->key->value && f->n != 2) {
		conffile_complain(f, "%s: needs exactly one value: %s", f->key->name,
				  f->key->value);
		return;
	}
	f->key->set(f);
}

int conffile_parse(struct conffile *f, const char *text, size_t len)
{
	while (len) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;

		f->line++;
		parse_line(f, text, n);
		if (f->errors >= ERRORS_MAX) {
			fprintf(f->err, "%s: too many errors, reading no further\n", f->name);
			break;
		}
		n += nl ? 1 : 0;
		text += n;
		len -= n;
	}
	f->line = 0;
	return f->errors;
}

int conffile_read(const char *path_name, char **text, size_t *len, FILE *err)
{
	FILE *f = fopen(path_name, "re");
	char *got;
	size_t n;

	if (!f) {
		if (errno == ENOENT)
			return -ENOENT;
		fprintf(err, "%s: %s\n", path_name, strerror(errno));
		return 1;
	}
	got = malloc(FILE_SIZE_MAX + 1);
	if (!got) {
		fprintf(err, "%s: out of memory\n", path_name);
		goto close;
	}
	errno = 0;
	n = fread(got, 1, FILE_SIZE_MAX + 1, f);
	if (ferror(f)) {
		fprintf(err, "%s: %s\n", path_name, strerror(errno));
		goto free;
	}
	if (n > FILE_SIZE_MAX) {
		fprintf(err, "%s: larger than 1 MiB: not a configuration file\n", path_name);
		goto free;
	}
	fclose(f);
	*text = got;
	*len = n;
	return 0;

free:
	free(got);
close:
	fclose(f);
	return 1;
}
