// SPDX-License-Identifier: GPL-2.0-only
/* A guest's own record of its migration: see guestrecord.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guestrecord.h"
#include "qmp.h"

#define NSEC		1000000000LL

/* A guest has to notice, and to get its time from its host: with NTP some seconds */
#define PATIENCE_NS	(10 * NSEC)
#define AGAIN_NS	(NSEC / 5)

/*
 * For one answer.  A connection that was made while the guest was on its way may
 * never hear of it again: there must be time for two more.
 */
#define ANSWER_NS	(PATIENCE_NS / 3)
#define ANSWER_MAX	(1 << 16)

static int64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

static void child(const char *command, int out)
{
	int null = open("/dev/null", O_RDONLY);

	/* a group of its own, to be ended as a whole; not to read what is typed here */
	setpgid(0, 0);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* One answer: an array; NULL: none */
static struct json_object *ask(const char *command)
{
	int64_t until = mono_ns() + ANSWER_NS;
	char *text = malloc(ANSWER_MAX + 1);
	struct json_object *o = NULL;
	size_t len = 0;
	int fds[2];
	pid_t pid;

	if (!text || pipe2(fds, O_CLOEXEC)) {
		free(text);
		return NULL;
	}
	pid = fork();
	if (!pid)
		child(command, fds[1]);
	close(fds[1]);
	while (pid > 0 && len < ANSWER_MAX) {
		struct pollfd pfd = { .fd = fds[0], .events = POLLIN };
		int64_t left = until - mono_ns();
		ssize_t n;

		if (left <= 0 || poll(&pfd, 1, (int)(left / 1000000) + 1) <= 0)
			break;
		n = read(fds[0], text + len, ANSWER_MAX - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fds[0]);
	if (pid > 0) {
		/* it has said all, or too much, or takes too long */
		kill(-pid, SIGKILL);
		waitpid(pid, NULL, 0);
		text[len] = '\0';
		o = json_tokener_parse(text);
	}
	free(text);
	if (o && !json_object_is_type(o, json_type_array)) {
		json_object_put(o);
		o = NULL;
	}
	return o;
}

static void complain(const char *command)
{
	fprintf(stderr, "ffclock: the guest's record is not to be had: \"%s\" printed no array "
		"of \"ffclock --json migration\"\n", command);
}

static int64_t latest(struct json_object *records)
{
	return json_object_array_length(records) ?
		json_int(json_object_array_get_idx(records, 0), "sequence", 0) : 0;
}

struct json_object *guest_record_since(struct json_object *answer, int64_t before)
{
	struct json_object *since = json_object_new_array();
	size_t i;

	for (i = 0; i < json_object_array_length(answer); i++) {
		struct json_object *o = json_object_array_get_idx(answer, i);

		if (json_int(o, "sequence", 0) > before)
			json_object_array_add(since, json_object_get(o));
	}
	return since;
}

bool guest_record_settled(struct json_object *records)
{
	return json_object_array_length(records) &&
	       strcmp(json_string(json_object_array_get_idx(records, 0), "action"), "pending");
}

void guest_record_begin(struct guest_record *r)
{
	struct json_object *o;

	if (!r->command)
		return;
	o = ask(r->command);
	r->known = o;
	if (o)
		r->before = latest(o);
	else
		complain(r->command);
	json_object_put(o);
}

struct json_object *guest_record_end(const struct guest_record *r)
{
	int64_t until = mono_ns() + PATIENCE_NS;
	struct json_object *o, *since = NULL;

	for (;;) {
		o = ask(r->command);
		if (o) {
			json_object_put(since);
			since = guest_record_since(o, r->known ? r->before : 0);
			json_object_put(o);
			if (guest_record_settled(since))
				return since;
		}
		if (mono_ns() > until)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = AGAIN_NS }, NULL);
	}
	if (!since)
		complain(r->command);
	else if (!json_object_array_length(since))
		fprintf(stderr, "ffclock: the guest has noticed no migration (is ffclock_vmclock "
			"loaded there?)\n");
	return since;
}
