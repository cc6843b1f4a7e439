// SPDX-License-Identifier: GPL-2.0-only
/* A guest's own record, from commands that answer well, badly, late and never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "guestrecord.h"
#include "qmp.h"

#define OLD	"{ \"sequence\": 4, \"action\": \"inject\" }"
#define PENDING	"{ \"sequence\": 5, \"action\": \"pending\", \"lost_ns\": null }"
#define NEW	"{ \"sequence\": 5, \"action\": \"inject\", \"lost_ns\": 81000000 }"

static struct json_object *array(const char *text)
{
	struct json_object *o = json_tokener_parse(text);

	assert_non_null(o);
	return o;
}

static void test_since(void **state)
{
	struct json_object *all = array("[" NEW "," OLD ", 7, {}, null, \"x\"]"), *since;

	(void)state;
	since = guest_record_since(all, 4);
	assert_int_equal(json_object_array_length(since), 1);
	assert_true(guest_record_settled(since));
	json_object_put(since);
	since = guest_record_since(all, 5);
	assert_int_equal(json_object_array_length(since), 0);
	assert_false(guest_record_settled(since));
	json_object_put(since);
	json_object_put(all);
	all = array("[" PENDING "," OLD "]");
	since = guest_record_since(all, 4);
	assert_int_equal(json_object_array_length(since), 1);
	assert_false(guest_record_settled(since));
	json_object_put(since);
	json_object_put(all);
}

static double passed(struct timespec from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - from.tv_sec) + (double)(now.tv_nsec - from.tv_nsec) / 1e9;
}

/* Each time the command runs, the guest is a step further */
static void test_steps(void **state)
{
	char dir[] = "/tmp/guestrecord.XXXXXX", command[1024];
	struct guest_record r = { .command = command };
	struct json_object *o;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof(command),
		 "cd %s; echo >> n; case $(wc -l < n) in 1) echo '[" OLD "]';; 2) exit 1;; "
		 "3) echo '[" OLD "]';; 4) echo '[" PENDING "," OLD "]';; "
		 "*) echo '[" NEW "," OLD "]';; esac", dir);
	guest_record_begin(&r);
	assert_true(r.known && r.before == 4);
	o = guest_record_end(&r);
	assert_non_null(o);
	assert_int_equal(json_object_array_length(o), 1);
	assert_true(json_int(json_object_array_get_idx(o, 0), "lost_ns", 0) == 81000000);
	json_object_put(o);
	snprintf(command, sizeof(command), "test $(wc -l < %s/n) -eq 5 && rm -r %s", dir, dir);
	assert_int_equal(system(command), 0);
}

static void test_bad(void **state)
{
	static const char *const commands[] = {
		"exit 1", "echo '{ \"sequence\": 1 }'", "echo '['", "echo no such host >&2",
		/* what never ends is ended once it has said too much, with all it started */
		"yes", "yes | cat",
	};
	struct timespec begin;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct guest_record r = { .command = commands[i] };

		guest_record_begin(&r);
		assert_false(r.known);
	}
	/* nobody asks */
	guest_record_begin(&(struct guest_record){ .command = NULL });

	/* it reads what is typed here, if it may; then it would not end */
	clock_gettime(CLOCK_MONOTONIC, &begin);
	guest_record_begin(&(struct guest_record){ .command = "cat >/dev/null; echo '[]'" });
	assert_true(passed(begin) < 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests_name("guestrecord", tests, NULL, NULL);
}
