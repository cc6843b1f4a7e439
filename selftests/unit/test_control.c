// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of ffclockd's control socket: requests, answers, and clients that
 * misbehave.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control.h"
#include "control_internal.h"
#include "log.h"
#include "pump.h"

#define NSEC	INT64_C(1000000000)

/* The clock that is told about ---------------------------------------------- */

static bool synced = true;
static const struct config_source the_source = { .name = "ntp1.example", .port = 123 };

int sync_look(struct sync *s, struct sync_view *v)
{
	(void)s;
	memset(v, 0, sizeof(*v));
	if (!synced)
		return -EAGAIN;
	v->map = (struct ffe_map){
		.counter = 1000, .time_ns = 1795000000 * NSEC + 5, .period_ns = 0.5,
		.bound_ns = (double)INFINITY, .status = FFE_SYNC,
	};
	v->server = the_source.name;
	v->used = 1;
	v->system_ns = -77;
	return 0;
}

int sync_look_source(struct sync *s, unsigned int i, struct sync_source *v)
{
	(void)s;
	memset(v, 0, sizeof(*v));
	if (i)
		return -ENOENT;
	v->cfg = &the_source;
	v->report.refid = __builtin_bswap32(0x47505300);
	v->look.state = ENS_USED;
	v->look.has_clock = true;
	return 0;
}

const char *ens_state_name(enum ens_state state)
{
	return state == ENS_USED ? "used" : "?";
}


const char *counter_name(const struct counter *c)
{
	(void)c;
	return "test";
}

double counter_period_ns(const struct counter *c)
{
	(void)c;
	return 0.5;
}

/* The daemon ------------------------------------------------------------------ */

static struct loop *loop;
static struct control *control;
static char folder[] = "/tmp/ffclock-test-control-XXXXXX", path[64];
static int reloads, reload_result;

static int on_reload(void *arg, char **said)
{
	(void)arg;
	reloads++;
	*said = strdup("f:3: what \"is\" wrong\n");
	return reload_result;
}

static int set_up(void **state)
{
	(void)state;
	log_setup(LOG_ERR, false);
	loop = loop_new();
	assert_non_null(loop);
	control = control_new(path, loop, true);
	assert_non_null(control);
	assert_int_equal(control_serve(control, NULL, NULL, on_reload, NULL), 0);
	synced = true;
	reloads = 0;
	reload_result = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_free(control);
	loop_free(loop);
	return 0;
}

static int client(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(sa.sun_path, path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static char got[1 << 20];

/* What the daemon answered; -1: it hung up without a word */
static ssize_t receive(int fd)
{
	ssize_t n, have = 0;
	int i;

	for (i = 0; i < 100; i++) {
		n = recv(fd, got + have, sizeof(got) - 1 - (size_t)have, 0);
		if (!n)
			return have ? have : -1;
		if (n > 0)
			have += n;
		if (have && got[have - 1] == '\n')
			break;
		pump(loop, 5);
	}
	got[have] = '\0';
	return have;
}

static struct json_object *ask(int fd, const char *text)
{
	struct json_object *o;

	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
	assert_true(receive(fd) > 0);
	o = json_tokener_parse(got);
	assert_non_null(o);
	return o;
}

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : "(none)";
}

static void test_answers(void **state)
{
	int fd = client();
	struct json_object *o, *list;

	(void)state;
	o = ask(fd, "{\"version\":1,\"command\":\"tracking\"}\n");
	assert_string_equal(text_of(o, "ok"), "true");
	assert_string_equal(text_of(o, "command"), "tracking");
	assert_string_equal(text_of(o, "status"), "sync");
	assert_string_equal(text_of(o, "time"), "1795000000.000000005");
	assert_string_equal(text_of(o, "system_offset_ns"), "-77");
	/* JSON has no infinity */
	assert_non_null(strstr(got, "\"bound_ns\":null"));
	json_object_put(o);
	o = ask(fd, "{\"version\":1,\"command\":\"sources\"}\n");
	assert_true(json_object_object_get_ex(o, "sources", &list));
	assert_int_equal(json_object_array_length(list), 1);
	assert_string_equal(text_of(json_object_array_get_idx(list, 0), "refid"), "47505300");
	json_object_put(o);
	synced = false;
	o = ask(fd, "{\"version\":1,\"command\":\"tracking\"}\n");
	assert_string_equal(text_of(o, "ok"), "true");
	assert_string_equal(text_of(o, "status"), "unsync");
	json_object_put(o);
	close(fd);
}

static void test_stamps(void **state)
{
	struct output *out = control_output(control);
	struct output_update u = { .map = { .counter = 0, .period_ns = 1, .status = FFE_SYNC } };
	struct ffe_stamp s = { .tb = 2000, .te = 2100 };
	struct json_object *o, *list;
	int fd = client(), i;

	(void)state;
	out->ops->update(out, &u);
	for (i = 0; i < 300; i++) {
		s.ta = 1000 + (uint64_t)i;
		s.tf = s.ta + 600;
		out->ops->stamp(out, 0, &s);
	}
	o = ask(fd, "{\"version\":1,\"command\":\"stamps\",\"count\":256}\n");
	assert_true(json_object_object_get_ex(o, "stamps", &list));
	assert_int_equal(json_object_array_length(list), 256);
	assert_string_equal(text_of(json_object_array_get_idx(list, 255), "ta"), "1299");
	assert_string_equal(text_of(json_object_array_get_idx(list, 0), "ta"), "1044");
	/* sent at 1299, answered at 1899 by a server at 2000..2100 */
	assert_string_equal(text_of(json_object_array_get_idx(list, 255), "rtt_ns"), "500.0");
	assert_string_equal(text_of(json_object_array_get_idx(list, 255), "offset_ns"), "451.0");
	json_object_put(o);
	close(fd);
}

static void refuse(int fd, const char *text, const char *why)
{
	struct json_object *o = ask(fd, text);

	assert_string_equal(text_of(o, "ok"), "false");
	if (!strstr(text_of(o, "error"), why))
		fail_msg("%s: %s", text, text_of(o, "error"));
	json_object_put(o);
}

static void test_refusals(void **state)
{
	int fd = client();

	(void)state;
	refuse(fd, "\n", "not JSON");
	refuse(fd, "tracking\n", "not JSON");
	refuse(fd, "{\"version\":1,\"command\":\"tracking\"} x\n", "not JSON");
	refuse(fd, "{\"version\":1,\"command\":\"tracking\"\n", "not JSON");
	refuse(fd, "[[[[[[[[[[]]]]]]]]]]\n", "not JSON");
	refuse(fd, "null\n", "not JSON");
	refuse(fd, "[]\n", "not a JSON object");
	refuse(fd, "{}\n", "version");
	refuse(fd, "{\"version\":\"1\"}\n", "version");
	refuse(fd, "{\"version\":2,\"command\":\"tracking\"}\n", "version 1");
	refuse(fd, "{\"version\":1}\n", "command");
	refuse(fd, "{\"version\":1,\"command\":1}\n", "command");
	refuse(fd, "{\"version\":1,\"command\":\"quit\"}\n", "not one of");
	refuse(fd, "{\"version\":1,\"command\":\"tracking\\u0000\"}\n", "not one of");
	refuse(fd, "{\"version\":1,\"command\":\"stamps\",\"count\":0}\n", "1 to 256");
	refuse(fd, "{\"version\":1,\"command\":\"stamps\",\"count\":257}\n", "1 to 256");
	refuse(fd, "{\"version\":1,\"command\":\"stamps\",\"count\":1.5}\n", "1 to 256");
	close(fd);
}

static void test_pieces(void **state)
{
	const char *two = "{\"version\":1,\"command\":\"sources\"}\n{\"version\":1,\"command\":\"no\"}\n";
	int fd = client();
	size_t i;

	(void)state;
	for (i = 0; i < 33; i++) {
		assert_int_equal(send(fd, two + i, 1, 0), 1);
		pump(loop, 1);
	}
	assert_true(recv(fd, got, sizeof(got), 0) < 0 && errno == EAGAIN);
	assert_int_equal(send(fd, two + 33, strlen(two) - 33, 0), strlen(two) - 33);
	pump(loop, 20);
	assert_true(receive(fd) > 0);
	assert_non_null(strstr(got, "\"sources\":["));
	assert_non_null(strstr(got, "not one of"));
	close(fd);
}

static void test_misbehaviour(void **state)
{
	static char junk[CONTROL_LINE_MAX + 100];
	static const char q[] = "{\"version\":1,\"command\":\"stamps\",\"count\":256}\n";
	int fd = client(), fds[40], i, stuck, open_ones = 0;
	struct json_object *o;

	(void)state;
	/* a line without end */
	memset(junk, 'x', sizeof(junk));
	assert_int_equal(send(fd, junk, sizeof(junk), 0), sizeof(junk));
	pump(loop, 20);
	assert_true(recv(fd, got, sizeof(got), 0) <= 0 && errno != EAGAIN);
	close(fd);

	/* one that asks and never listens: the daemon stops reading from it */
	fd = client();
	for (i = 0, stuck = 0; i < 100000 && stuck < 50; i++, stuck++) {
		if (send(fd, q, sizeof(q) - 1, MSG_NOSIGNAL) < 0) {
			assert_int_equal(errno, EAGAIN);
			pump(loop, 1);
		} else {
			stuck = 0;
		}
	}
	assert_int_equal(stuck, 50);

	/* a crowd: those beyond the limit are turned away, the others served */
	for (i = 0; i < 40; i++) {
		fds[i] = client();
		pump(loop, 1);
	}
	pump(loop, 20);
	for (i = 0; i < 40; i++)
		open_ones += recv(fds[i], got, 1, 0) < 0 && errno == EAGAIN;
	assert_int_equal(open_ones, 15);
	o = ask(fds[0], "{\"version\":1,\"command\":\"tracking\"}\n");
	assert_string_equal(text_of(o, "ok"), "true");
	json_object_put(o);
	for (i = 0; i < 40; i++)
		close(fds[i]);
	close(fd);
	pump(loop, 20);
	/* and when they are gone there is room again */
	fd = client();
	o = ask(fd, "{\"version\":1,\"command\":\"tracking\"}\n");
	json_object_put(o);
	close(fd);
}

static void test_reload(void **state)
{
	struct json_object *o;
	int fd = client();

	(void)state;
	o = ask(fd, "{\"version\":1,\"command\":\"reload\"}\n");
	assert_string_equal(text_of(o, "ok"), "true");
	assert_string_equal(text_of(o, "messages"), "f:3: what \"is\" wrong\n");
	json_object_put(o);
	reload_result = -EINVAL;
	o = ask(fd, "{\"version\":1,\"command\":\"reload\"}\n");
	assert_string_equal(text_of(o, "ok"), "false");
	json_object_put(o);
	assert_int_equal(reloads, 2);
	close(fd);
}

/* Whoever is neither root nor the daemon's user may look, not command */
static void test_stranger(void **state)
{
	static const char look[] = "{\"version\":1,\"command\":\"sources\"}\n";
	static const char command[] = "{\"version\":1,\"command\":\"reload\"}\n";
	int pair[2], status;
	struct stat st;
	pid_t pid;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	if (geteuid())
		skip();	/* needs root to become somebody else */
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(pipe(pair), 0);
	pid = fork();
	if (!pid) {
		struct sockaddr_un sa = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		strcpy(sa.sun_path, path);
		if (setuid(65534) || connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
			_exit(1);
		if (write(fd, look, sizeof(look) - 1) < 0 || read(fd, got, sizeof(got)) <= 0 ||
		    !strstr(got, "\"ok\":true"))
			_exit(2);
		memset(got, 0, 4096);
		if (write(fd, command, sizeof(command) - 1) < 0 || read(fd, got, sizeof(got)) <= 0 ||
		    !strstr(got, "permission denied"))
			_exit(3);
		_exit(0);
	}
	for (status = 0; !waitpid(pid, &status, WNOHANG);)
		pump(loop, 5);
	assert_int_equal(status, 0);
	assert_int_equal(reloads, 0);
}

static void test_socket(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	(void)state;
	/* somebody listens there: not taken away from them */
	log_setup(LOG_EMERG, false);
	assert_null(control_new(path, loop, true));
	control_free(control);
	/* left behind: replaced */
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	control = control_new(path, loop, true);
	assert_non_null(control);
	control_free(control);
	/* a file is not a socket: not touched */
	fd = creat(path, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_null(control_new(path, loop, true));
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	control = control_new(path, loop, true);
	assert_non_null(control);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stamps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_misbehaviour, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reload, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stranger, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_socket, set_up, tear_down),
	};
	int ret;

	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/sock", folder);
	ret = cmocka_run_group_tests_name("control", tests, NULL, NULL);
	unlink(path);
	rmdir(folder);
	return ret;
}
