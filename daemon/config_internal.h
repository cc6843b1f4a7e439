/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the parser of the configuration and its keys. */
#ifndef FFCLOCKD_CONFIG_INTERNAL_H
#define FFCLOCKD_CONFIG_INTERNAL_H

#include "config.h"

#define WORDS_MAX	32	/* per line; the longest valid one has 20 */

/**
 * struct parser - a file while it is read
 * @cfg: what it says so far
 * @name: of the file, for messages
 * @err: where they go
 * @line: present line, 0 after the last
 * @errors: found
 * @seen: bit per key
 * @word: of the present line; the first is the key
 * @n: how many
 */
struct parser {
	struct config	*cfg;
	const char	*name;
	FILE		*err;
	unsigned int	line;
	int		errors;
	unsigned int	seen;
	char		*word[WORDS_MAX];
	int		n;
};

/* One error: what is wrong, what is allowed */
void config_complain(struct parser *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A word from the file, safe to print: bounded, and no control characters */
const char *config_show(const char *word);

/* The whole of @word is a number from @lo to @hi, else an error about @key */
bool config_int(struct parser *p, const char *key, const char *word, long lo, long hi, long *out);

/* The same with a point: digits only, no sign, no exponent */
bool config_number(struct parser *p, const char *key, const char *word, double lo, double hi,
		   double *out);

/* The line has exactly one word after its key, else an error */
bool config_one_value(struct parser *p, const char *allowed);

/* An absolute path of less than @size characters into @dst, else an error */
bool config_path(struct parser *p, const char *word, char *dst, size_t size);

/* Keys about running (config_run.c) */
void config_key_control(struct parser *p);
void config_key_state(struct parser *p);
void config_key_sandbox(struct parser *p);

/* Keys about outputs (config_output.c), and the settings without them */
void config_output_defaults(struct config *cfg);
void config_key_systemclock(struct parser *p);
void config_key_serve(struct parser *p);
void config_key_allow(struct parser *p);
void config_key_deny(struct parser *p);
void config_key_ratelimit(struct parser *p);
void config_key_shm(struct parser *p);
void config_key_sock(struct parser *p);
void config_key_metrics(struct parser *p);

#endif /* FFCLOCKD_CONFIG_INTERNAL_H */
