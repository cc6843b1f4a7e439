// SPDX-License-Identifier: GPL-2.0-only
/* libvirt's status files: see libvirt_xml.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <expat.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt_xml.h"

/* <domstatus><domain><name>: what is deeper, a device's or a snapshot's, is skipped */
#define DEPTH_STATUS	1
#define DEPTH_DOMAIN	2
#define DEPTH_FIELD	3

struct reader {
	struct libvirt_guest	*g;
	XML_Parser		parser;
	int			depth;
	bool			status;
	bool			domain;
	char			*into;
	size_t			used;
};

static void keep(char *to, const char *from)
{
	size_t i;

	for (i = 0; from[i] && i < LIBVIRT_NAME_MAX - 1; i++)
		to[i] = isprint((unsigned char)from[i]) ? from[i] : '?';
	to[i] = '\0';
}

static void start(void *arg, const XML_Char *name, const XML_Char **attr)
{
	struct reader *r = arg;
	char *end;

	r->depth++;
	r->into = NULL;
	if (r->depth == DEPTH_STATUS && !strcmp(name, "domstatus")) {
		r->status = true;
		for (; *attr; attr += 2) {
			if (!strcmp(attr[0], "state"))
				keep(r->g->state, attr[1]);
			if (strcmp(attr[0], "pid"))
				continue;
			errno = 0;
			r->g->pid = strtoll(attr[1], &end, 10);
			/* the kernel's limit on pids: PID_MAX_LIMIT, 2^22 */
			if (errno || *end || end == attr[1] || r->g->pid < 1 ||
			    r->g->pid > 1 << 22)
				r->g->pid = 0;
		}
	}
	if (r->depth == DEPTH_DOMAIN)
		r->domain = r->status && !strcmp(name, "domain");
	if (r->depth != DEPTH_FIELD || !r->domain)
		return;
	if (!strcmp(name, "name"))
		r->into = r->g->name;
	else if (!strcmp(name, "uuid"))
		r->into = r->g->uuid;
	if (r->into) {
		r->used = 0;
		r->into[0] = '\0';
	}
}

static void end(void *arg, const XML_Char *name)
{
	struct reader *r = arg;

	(void)name;
	r->depth--;
	r->into = NULL;
}

static void text(void *arg, const XML_Char *s, int len)
{
	struct reader *r = arg;
	int i;

	if (!r->into)
		return;
	for (i = 0; i < len && r->used < LIBVIRT_NAME_MAX - 1; i++)
		r->into[r->used++] = isprint((unsigned char)s[i]) ? s[i] : '?';
	r->into[r->used] = '\0';
}

/* These files declare no entities; whoever does wants to make us expand them */
static void entity(void *arg, const XML_Char *name, int is_parameter, const XML_Char *value,
		   int len, const XML_Char *base, const XML_Char *system_id,
		   const XML_Char *public_id, const XML_Char *notation)
{
	struct reader *r = arg;

	(void)name;
	(void)is_parameter;
	(void)value;
	(void)len;
	(void)base;
	(void)system_id;
	(void)public_id;
	(void)notation;
	XML_StopParser(r->parser, XML_FALSE);
}

bool libvirt_parse(const char *xml, size_t len, struct libvirt_guest *g)
{
	struct reader r = { .g = g };
	bool good;

	memset(g, 0, sizeof(*g));
	if (len > LIBVIRT_FILE_MAX)
		return false;
	r.parser = XML_ParserCreate(NULL);
	if (!r.parser)
		return false;
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, start, end);
	XML_SetCharacterDataHandler(r.parser, text);
	XML_SetEntityDeclHandler(r.parser, entity);
	good = XML_Parse(r.parser, xml, (int)len, 1) == XML_STATUS_OK;
	XML_ParserFree(r.parser);
	return good && g->pid && g->name[0];
}

int libvirt_each(const char *dir, void (*cb)(void *arg, const struct libvirt_guest *g), void *arg)
{
	struct libvirt_guest g;
	char *buf = NULL;
	struct dirent *d;
	int n = 0, fd;
	ssize_t got;
	size_t len;
	DIR *dp;

	dp = opendir(dir);
	if (!dp)
		return -errno;
	while ((d = readdir(dp))) {
		len = strlen(d->d_name);
		if (len < 5 || strcmp(d->d_name + len - 4, ".xml"))
			continue;
		fd = openat(dirfd(dp), d->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!buf)
			buf = malloc(LIBVIRT_FILE_MAX);
		/* libvirt replaces these files by rename(): a read is all of one */
		for (len = 0, got = 1; buf && got > 0 && len < LIBVIRT_FILE_MAX; len += (size_t)got) {
			got = read(fd, buf + len, LIBVIRT_FILE_MAX - len);
			if (got <= 0)
				break;
		}
		close(fd);
		if (!buf || got < 0 || !libvirt_parse(buf, len, &g))
			continue;
		cb(arg, &g);
		n++;
	}
	free(buf);
	closedir(dp);
	return n;
}
