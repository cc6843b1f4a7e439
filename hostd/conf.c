// SPDX-License-Identifier: GPL-2.0-only
/* The configuration file: see conf.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "../daemon/conffile.h"
#include "conf.h"
#include "kvm.h"

#define NSEC		1000000000LL

static void key_clock(struct conffile *f)
{
	const char *w = f->word[1];
	struct conf *c = f->to;

	if (!strcmp(w, "auto") || !strcmp(w, "device") || !strcmp(w, "system") ||
	    (*w == '/' && strlen(w) < sizeof(c->clock)))
		strcpy(c->clock, w);
	else
		conffile_complain(f, "clock: '%s' is not auto, device, system, nor the path of "
				  "a page", conffile_show(w));
}

static void key_system_bound(struct conffile *f)
{
	struct conf *c = f->to;
	int64_t ns;

	if (conffile_seconds(f, "system-bound", f->word[1], 1e-9, 1000, &ns))
		c->system_bound_ns = (uint64_t)ns;
}

static void key_system_tai(struct conffile *f)
{
	struct conf *c = f->to;
	long v;

	if (conffile_int(f, "system-tai", f->word[1], 0, 1000, &v))
		c->system_tai = (int)v;
}

static void key_check(struct conffile *f)
{
	struct conf *c = f->to;

	conffile_seconds(f, "check", f->word[1], 0.001, 10, &c->check_ns);
}

static void key_offsets(struct conffile *f)
{
	struct conf *c = f->to;

	conffile_seconds(f, "offsets", f->word[1], 0.001, 60, &c->offset_ns);
}

static void key_scan(struct conffile *f)
{
	struct conf *c = f->to;

	conffile_seconds(f, "scan", f->word[1], 0.05, 3600, &c->scan_ns);
}

static void key_update(struct conffile *f)
{
	struct conf *c = f->to;

	conffile_seconds(f, "update", f->word[1], 0.05, 64, &c->update_ns);
}

static void key_debugfs(struct conffile *f)
{
	struct conf *c = f->to;

	conffile_path(f, "debugfs", f->word[1], c->debugfs, sizeof(c->debugfs));
}

static void key_libvirt(struct conffile *f)
{
	struct conf *c = f->to;

	conffile_path_or_none(f, c->libvirt, sizeof(c->libvirt));
}

static void key_control(struct conffile *f)
{
	struct conf *c = f->to;

	conffile_path_or_none(f, c->control, sizeof(c->control));
}

static void key_guests(struct conffile *f)
{
	struct conf *c = f->to;
	int v = conffile_choose(f);

	if (v >= 0)
		c->named = v == 1;
}

static void key_process(struct conffile *f)
{
	const char *w = f->word[1];
	struct conf *c = f->to;
	int i;

	for (i = 0; c->names[i]; i++)
		;
	if (i == CONF_NAMES_MAX) {
		conffile_complain(f, "process: more than %d names", CONF_NAMES_MAX);
		return;
	}
	if (!*w || strlen(w) >= CONF_NAME_MAX || strchr(w, '/')) {
		conffile_complain(f, "process: '%s' is not the name of a program",
				  conffile_show(w));
		return;
	}
	strcpy(c->name_text[i], w);
	c->names[i] = c->name_text[i];
}

static void key_verbose(struct conffile *f)
{
	struct conf *c = f->to;

	conffile_level(f, &c->level);
}

/* A TSC offset: signed, or up to 2^64 - 1, which means the same modulo 2^64 */
static bool offset(struct conffile *f, const char *word, uint64_t *out)
{
	if (!kvm_number(word, strlen(word), out))
		return true;
	conffile_complain(f, "offset: '%s' is not a whole number of 64 bits", conffile_show(word));
	return false;
}

#define GUEST_USAGE	"guest: wants 'guest NAME watch', 'guest NAME ignore' or " \
			"'guest NAME offset COUNTS [bound COUNTS]'"

static void key_guest(struct conffile *f)
{
	struct conf_guest g = { .bound = 0 };
	struct conf *c = f->to;
	long v;
	size_t i;

	if (f->n < 2) {
		conffile_complain(f, GUEST_USAGE);
		return;
	}
	if (!*f->word[1] || strlen(f->word[1]) >= sizeof(g.name)) {
		conffile_complain(f, "guest: '%s' is not a name of 1 to %d characters",
				  conffile_show(f->word[1]), CONF_NAME_MAX - 1);
		return;
	}
	strcpy(g.name, f->word[1]);
	if (f->n == 3 && !strcmp(f->word[2], "ignore")) {
		g.ignore = true;
	} else if (f->n == 3 && !strcmp(f->word[2], "watch")) {
		g.watch = true;
	} else if ((f->n == 4 || f->n == 6) && !strcmp(f->word[2], "offset") &&
		   (f->n == 4 || !strcmp(f->word[4], "bound"))) {
		if (!offset(f, f->word[3], &g.offset))
			return;
		g.have_offset = true;
		if (f->n == 6) {
			if (!conffile_int(f, "bound", f->word[5], 0, 1000000000, &v))
				return;
			g.bound = (uint32_t)v;
		}
	} else {
		conffile_complain(f, GUEST_USAGE);
		return;
	}
	for (i = 0; i < c->n_guests; i++) {
		if (!strcmp(c->guests[i].name, g.name)) {
			conffile_complain(f, "guest: '%s' was given before", conffile_show(g.name));
			return;
		}
	}
	if (c->n_guests == CONF_GUESTS_MAX) {
		conffile_complain(f, "guest: more than %d", CONF_GUESTS_MAX);
		return;
	}
	c->guests[c->n_guests++] = g;
}

static const struct conffile_key keys[] = {
	{ "clock",		"auto, device, system, or the path of a page", key_clock, false },
	{ "system-bound",	"seconds from 1e-9 to 1000",	key_system_bound,	false },
	{ "system-tai",		"seconds from 0 to 1000",	key_system_tai,		false },
	{ "check",		"seconds from 0.001 to 10",	key_check,		false },
	{ "offsets",		"seconds from 0.001 to 60",	key_offsets,		false },
	{ "scan",		"seconds from 0.05 to 3600",	key_scan,		false },
	{ "update",		"seconds from 0.05 to 64",	key_update,		false },
	{ "debugfs",		"an absolute path",		key_debugfs,		false },
	{ "libvirt",		"an absolute path, or none",	key_libvirt,		false },
	{ "control",		"an absolute path, or none",	key_control,		false },
	{ "process",		"the name of a program",	key_process,		true },
	{ "guests",		"all, named",			key_guests,		false },
	{ "guest",		NULL,				key_guest,		true },
	{ "verbose",		"0 (problems), 1 (changes), 2 (more), 3 (everything)",
							key_verbose,		false },
};
#define N_KEYS	(sizeof(keys) / sizeof(keys[0]))
_Static_assert(N_KEYS <= CONFFILE_KEYS_MAX, "a bit for each key");

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
	struct conffile f = { .keys = keys, .n_keys = N_KEYS, .to = c, .name = name, .err = err };

	conf_defaults(c);
	return conffile_parse(&f, text, len);
}

int conf_load(struct conf *c, const char *path, FILE *err)
{
	char *text;
	size_t len;
	int ret;

	ret = conffile_read(path, &text, &len, err);
	if (ret == -ENOENT)
		conf_defaults(c);
	if (ret)
		return ret;
	ret = conf_parse(c, text, len, path, err);
	free(text);
	return ret;
}
