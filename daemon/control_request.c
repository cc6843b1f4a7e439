// SPDX-License-Identifier: GPL-2.0-only
/* Requests on the control socket: see control_request.h. */
#include <stdbool.h>
#include <string.h>

#include <json-c/json.h>

#include "control_request.h"

#define DEPTH_MAX	4	/* a request is flat; members to ignore may be a little deeper */

static const char *const names[] = {
	[CONTROL_TRACKING]	= "tracking",
	[CONTROL_SOURCES]	= "sources",
	[CONTROL_STAMPS]	= "stamps",
	[CONTROL_RELOAD]	= "reload",
};
#define N_NAMES	(sizeof(names) / sizeof(names[0]))

const char *control_command_name(enum control_command command)
{
	return names[command];
}

static const char *get_count(struct control_request *r, struct json_object *o)
{
	struct json_object *v;
	int64_t n;

	r->count = 20;
	if (!json_object_object_get_ex(o, "count", &v))
		return NULL;
	n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
	if (n < 1 || n > CONTROL_STAMPS_MAX)
		return "count: not a whole number from 1 to 256";
	r->count = (unsigned int)n;
	return NULL;
}

static const char *from_object(struct control_request *r, struct json_object *o)
{
	struct json_object *v;
	const char *name;
	size_t i;

	if (!json_object_is_type(o, json_type_object))
		return "not a JSON object";
	if (!json_object_object_get_ex(o, "version", &v) || !json_object_is_type(v, json_type_int))
		return "version: missing, or not a number";
	if (json_object_get_int64(v) != CONTROL_VERSION)
		return "version: this daemon speaks version 1";
	if (!json_object_object_get_ex(o, "command", &v) ||
	    !json_object_is_type(v, json_type_string))
		return "command: missing, or not a string";
	name = json_object_get_string(v);
	/* a name with a zero byte in it is none of ours */
	for (i = 0; i < N_NAMES; i++)
		if (!strcmp(name, names[i]) &&
		    strlen(names[i]) == (size_t)json_object_get_string_len(v))
			break;
	if (i == N_NAMES)
		return "command: not one of tracking, sources, stamps, reload";
	r->command = (enum control_command)i;
	return get_count(r, o);
}

const char *control_parse(struct control_request *r, const char *line, size_t len)
{
	struct json_tokener *tok;
	const char *why = "not JSON";
	struct json_object *o;

	memset(r, 0, sizeof(*r));
	if (len > CONTROL_LINE_MAX)
		return "longer than 1024 bytes";
	tok = json_tokener_new_ex(DEPTH_MAX);
	if (!tok)
		return "out of memory";
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, line, (int)len);
	if (json_tokener_get_error(tok) == json_tokener_success &&
	    json_tokener_get_parse_end(tok) == len)
		why = from_object(r, o);
	json_object_put(o);
	json_tokener_free(tok);
	return why;
}
