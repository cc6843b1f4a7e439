// SPDX-License-Identifier: GPL-2.0-only
/* QEMU's command line: see qemu_args.h. */
#include <ctype.h>
#include <json-c/json.h>
#include <string.h>

#include "qemu_args.h"

/* ld.so --library-path DIR qemu-system-x86_64 ...: that many to look at */
#define PROGRAM_ARGS	8
/* qom-type, id, ... of an object: two levels in all that we read */
#define JSON_DEPTH	8
#define OPTION_MAX	4096

/* One option's value, key=value,... or JSON, whichever it is */
struct option {
	char			text[OPTION_MAX];
	struct json_object	*json;
};

/* A name that may go into logs and onto terminals */
static void keep(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; from[i] && i < size - 1; i++)
		to[i] = isgraph((unsigned char)from[i]) || from[i] == ' ' ? from[i] : '?';
	to[i] = '\0';
}

static bool option_set(struct option *o, const char *value)
{
	struct json_tokener *tok;

	o->json = NULL;
	if (strlen(value) >= sizeof(o->text))
		return false;
	strcpy(o->text, value);
	if (*value != '{')
		return true;
	tok = json_tokener_new_ex(JSON_DEPTH);
	if (!tok)
		return false;
	o->json = json_tokener_parse_ex(tok, value, (int)strlen(value));
	if (json_tokener_get_error(tok) != json_tokener_success ||
	    !json_object_is_type(o->json, json_type_object)) {
		json_object_put(o->json);
		o->json = NULL;
		json_tokener_free(tok);
		return false;
	}
	json_tokener_free(tok);
	return true;
}

static void option_done(struct option *o)
{
	json_object_put(o->json);
	o->json = NULL;
}

/* Take the next key=value off *rest; ",," in it is a comma of the value */
static bool next_pair(const char **rest, char *pair, size_t size)
{
	const char *s = *rest;
	size_t n = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s == ',') {
			if (s[1] != ',')
				break;
			s++;
		}
		if (n < size - 1)
			pair[n++] = *s;
	}
	pair[n] = '\0';
	*rest = *s ? s + 1 : s;
	return true;
}

/*
 * The value of a key.  first: what the value without a key, which may only come
 * first, is the value of (-device's driver).
 */
static bool option_get(const struct option *o, const char *key, const char *first, char *to,
		       size_t size)
{
	const char *rest = o->text;
	char pair[ARGS_PATH_MAX];
	bool at_first = true;
	size_t n = strlen(key);

	to[0] = '\0';
	if (o->json) {
		struct json_object *v;

		if (!json_object_object_get_ex(o->json, key, &v) || !json_object_get_string(v))
			return false;
		keep(to, size, json_object_get_string(v));
		return true;
	}
	for (; next_pair(&rest, pair, sizeof(pair)); at_first = false) {
		if (!strncmp(pair, key, n) && pair[n] == '=') {
			keep(to, size, pair + n + 1);
			return true;
		}
		if (at_first && first && !strcmp(first, key) && !strchr(pair, '=')) {
			keep(to, size, pair);
			return true;
		}
	}
	return false;
}

static const char *json_type_key(const struct option *o, const char *plain)
{
	return o->json && !strcmp(plain, "type") ? "qom-type" : plain;
}

static void take_object(struct qemu_args *args, const struct option *o)
{
	const char *key = json_type_key(o, "type");
	struct qemu_memory *m;
	char type[ARGS_NAME_MAX];

	if (!option_get(o, key, key, type, sizeof(type)) ||
	    (strcmp(type, "memory-backend-file") && strcmp(type, "memory-backend-memfd")))
		return;
	if (args->n_memories == ARGS_MEMORIES_MAX)
		return;
	m = &args->memories[args->n_memories];
	memset(m, 0, sizeof(*m));
	if (!option_get(o, "id", NULL, m->id, sizeof(m->id)))
		return;
	if (!strcmp(type, "memory-backend-file") &&
	    !option_get(o, "mem-path", NULL, m->path, sizeof(m->path)))
		return;
	args->n_memories++;
}

static void take_device(struct qemu_args *args, const struct option *o)
{
	char driver[ARGS_NAME_MAX], id[ARGS_NAME_MAX];
	unsigned int i;

	if (!option_get(o, "driver", "driver", driver, sizeof(driver)))
		return;
	if (!strcmp(driver, "vmclock"))
		args->vmclock = true;
	if (strcmp(driver, "ivshmem-plain") || !option_get(o, "memdev", NULL, id, sizeof(id)))
		return;
	for (i = 0; i < args->n_memories; i++)
		if (!strcmp(args->memories[i].id, id))
			args->memories[i].ivshmem = true;
}

static bool is(const char *option, const char *name)
{
	if (*option != '-')
		return false;
	option += option[1] == '-' ? 2 : 1;
	return !strcmp(option, name);
}

static void take(struct qemu_args *args, const char *option, const char *value, bool devices)
{
	struct option o;
	char text[8];

	if (!option_set(&o, value))
		return;
	if (devices) {
		if (is(option, "device"))
			take_device(args, &o);
	} else if (is(option, "object")) {
		take_object(args, &o);
	} else if (is(option, "name")) {
		option_get(&o, "guest", "guest", args->name, sizeof(args->name));
	} else if (is(option, "uuid")) {
		keep(args->uuid, sizeof(args->uuid), value);
	} else if (is(option, "incoming")) {
		args->incoming = true;
	} else if (is(option, "machine") || is(option, "M")) {
		if (option_get(&o, "aux-ram-share", NULL, text, sizeof(text)))
			args->aux_ram_share = !strcmp(text, "on") || !strcmp(text, "true");
	}
	option_done(&o);
}

/* The next argument at or after at, as a string; false behind the last whole one */
static bool next_arg(const char *text, size_t len, size_t *at, const char **arg)
{
	const char *end;

	if (*at >= len)
		return false;
	end = memchr(text + *at, '\0', len - *at);
	if (!end)
		return false;
	*arg = text + *at;
	*at = (size_t)(end - text) + 1;
	return true;
}

bool args_are_qemu(const char *text, size_t len)
{
	const char *arg, *base;
	size_t at = 0;
	int i;

	for (i = 0; i < PROGRAM_ARGS && next_arg(text, len, &at, &arg); i++) {
		base = strrchr(arg, '/');
		base = base ? base + 1 : arg;
		/* a shell's -c "qemu-system-x86_64 ..." is none */
		if (strchr(base, ' '))
			continue;
		if (!strncmp(base, "qemu-system-", 12) || !strcmp(base, "qemu-kvm") ||
		    (!i && !strcmp(base, "kvm")))
			return true;
	}
	return false;
}

void args_parse(const char *text, size_t len, struct qemu_args *args)
{
	const char *arg, *option;
	size_t at;
	int pass;

	memset(args, 0, sizeof(*args));
	/* devices name objects, which may come after them */
	for (pass = 0; pass < 2; pass++) {
		option = NULL;
		at = 0;
		while (next_arg(text, len, &at, &arg)) {
			if (option)
				take(args, option, arg, pass);
			/* a value may begin with '-' only if it is one of these */
			option = *arg == '-' ? arg : NULL;
		}
	}
}

bool args_memory_wanted(const struct qemu_memory *m)
{
	const char *base = strrchr(m->path, '/');

	base = base ? base + 1 : m->path;
	return m->ivshmem && (!strncmp(m->id, ARGS_MEMORY_PREFIX, strlen(ARGS_MEMORY_PREFIX)) ||
			      !strncmp(base, ARGS_MEMORY_PREFIX, strlen(ARGS_MEMORY_PREFIX)));
}

unsigned int args_pages(const struct qemu_args *args)
{
	unsigned int i, n = args->vmclock && args->aux_ram_share;

	for (i = 0; i < args->n_memories; i++)
		n += args_memory_wanted(&args->memories[i]);
	return n;
}
