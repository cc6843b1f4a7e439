/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration files of ffclockd and ffclock-hostd: one key and its values per
 * line, separated by blanks; "..." keeps blanks, # begins a comment where a word
 * could begin.  Each of the two has a table of keys (config.c, hostd's conf.c).
 *
 * Every refusal is one line, 'NAME:LINE: what is wrong, what is allowed', without
 * control characters.  Pure but for conffile_read(); no locks, one thread.
 */
#ifndef FFCLOCK_CONFFILE_H
#define FFCLOCK_CONFFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFFILE_WORDS_MAX	32	/* per line; the longest valid one has 20 */
#define CONFFILE_KEYS_MAX	32	/* bits of conffile.seen */

struct conffile;

/**
 * struct conffile_key - a key
 * @name: first word of the line
 * @value: one value belongs to it: which, for messages and conffile_choose();
 *	NULL: @set counts them itself
 * @set: called with each line that has this key
 * @repeats: may be given more than once
 */
struct conffile_key {
	const char	*name;
	const char	*value;
	void		(*set)(struct conffile *f);
	bool		repeats;
};

/**
 * struct conffile - a file while it is read
 * @keys: what it can say
 * @n_keys: of these, at most CONFFILE_KEYS_MAX
 * @to: where the keys' functions put what it says
 * @name: of the file, for messages
 * @err: where they go
 * @line: present line, 0 before the first and after the last
 * @errors: found
 * @seen: bit per key
 * @key: of the present line
 * @word: of the present line; the first is the key's name
 * @n: how many
 *
 * The caller fills @keys, @n_keys, @to, @name and @err; the rest begins as zero.
 */
struct conffile {
	const struct conffile_key	*keys;
	size_t				n_keys;
	void				*to;
	const char			*name;
	FILE				*err;
	unsigned int			line;
	int				errors;
	uint32_t			seen;
	const struct conffile_key	*key;
	char				*word[CONFFILE_WORDS_MAX];
	int				n;
};

/**
 * conffile_parse() - call the keys' functions, line by line
 * @f: the file
 * @text: its content; any bytes
 * @len: bytes of @text
 *
 * After 20 errors it is read no further, and none after these is printed.
 *
 * Return: number of errors
 */
int conffile_parse(struct conffile *f, const char *text, size_t len);

/**
 * conffile_read() - the text of a file
 * @path: file of at most 1 MiB
 * @text: receives it; the caller frees it
 * @len: receives its length
 * @err: receives a line that says why not
 *
 * Return: 0; -ENOENT: there is no such file, and nothing was printed; 1: another
 * error, which was
 */
int conffile_read(const char *path, char **text, size_t *len, FILE *err);

/* One error: what is wrong, what is allowed */
void conffile_complain(struct conffile *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * A word from the file, safe to print: bounded, and no control characters.  Good
 * until the fourth call after.
 */
const char *conffile_show(const char *word);

/* The whole of @word is a number from @lo to @hi, else an error about @key */
bool conffile_int(struct conffile *f, const char *key, const char *word, long lo, long hi,
		  long *out);

/* The same with a point: digits only, no sign, no exponent */
bool conffile_number(struct conffile *f, const char *key, const char *word, double lo, double hi,
		     double *out);

/* The same, seconds, to the nearest nanosecond */
bool conffile_seconds(struct conffile *f, const char *key, const char *word, double lo, double hi,
		      int64_t *ns);

/* An absolute path of less than @size characters into @dst, else an error about @key */
bool conffile_path(struct conffile *f, const char *key, const char *word, char *dst, size_t size);

/*
 * The line's value is such a path, or "none", which makes @dst empty.  Return:
 * whether it is a path.
 */
bool conffile_path_or_none(struct conffile *f, char *dst, size_t size);

/*
 * The line's value is one of the words in its key's @value, "a, b, c", else an
 * error.  Return: which one, from 0; -1: none
 */
int conffile_choose(struct conffile *f);

/* The line's value is 0 to 3: how much is logged, as a priority of syslog.h */
void conffile_level(struct conffile *f, int *level);

#endif /* FFCLOCK_CONFFILE_H */
