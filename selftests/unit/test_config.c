// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of ffclockd's configuration parser: what it takes, and that every
 * refusal names the line and what would be right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"

static struct config cfg;
static char said[16384];

static int parse_n(const char *text, size_t len)
{
	FILE *err = fmemopen(said, sizeof(said), "w");
	int ret;

	assert_non_null(err);
	memset(said, 0, sizeof(said));
	ret = config_parse(&cfg, text, len, "f", err);
	fclose(err);
	return ret;
}

static int parse(const char *text)
{
	return parse_n(text, strlen(text));
}

/* The text is refused once, and the message has all of this in it */
static void refuse(const char *text, const char *part1, const char *part2)
{
	if (parse(text) != 1)
		fail_msg("'%s' gave: %s", text, said);
	if (!strstr(said, part1) || !strstr(said, part2))
		fail_msg("'%s' gave: %s, without '%s' and '%s'", text, said, part1, part2);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse("server a"), 0);
	assert_int_equal(cfg.n_sources, 1);
	assert_string_equal(cfg.sources[0].name, "a");
	assert_int_equal(cfg.sources[0].port, 123);
	assert_int_equal(cfg.sources[0].minpoll, 6);
	assert_int_equal(cfg.sources[0].maxpoll, 10);
	assert_false(cfg.sources[0].iburst);
	assert_int_equal(cfg.counter, CONFIG_COUNTER_AUTO);
	assert_int_equal(cfg.output, CONFIG_OUTPUT_AUTO);
	assert_string_equal(cfg.log_stamps, "");
	assert_string_equal(cfg.user, "");
	assert_int_equal(cfg.level, LOG_NOTICE);
	assert_true(cfg.max_distance_ns == 3000000000);
	assert_string_equal(said, "");
	assert_string_equal(cfg.control, "/run/ffclock/ffclockd.sock");
	assert_false(cfg.control_set);
	assert_string_equal(cfg.state, "/var/lib/ffclock/ffclockd.state");
	assert_false(cfg.state_set);
	assert_true(cfg.sandbox);
	assert_false(cfg.system.on);
	assert_true(cfg.system.step_s == 0.1);
	assert_int_equal(cfg.system.step_updates, 3);
	assert_true(cfg.system.slew_ppm == 500);
	assert_int_equal(cfg.n_serve, 0);
	assert_int_equal(cfg.n_access, 0);
	assert_true(cfg.rate_per_s == 2);
	assert_int_equal(cfg.rate_burst, 16);
	assert_int_equal(cfg.shm, -1);
	assert_string_equal(cfg.sock, "");
	assert_int_equal(cfg.metrics_port, 0);
}

static void test_everything(void **state)
{
	(void)state;
	assert_int_equal(parse("# a comment\r\n"
			       "\n"
			       "  server fe80::1%eth0\tport 11123 minpoll 0 maxpoll 17 iburst # why\n"
			       "server 192.0.2.1 maxpoll 3\n"
			       "server x-y.example.net minpoll 12\n"
			       "server 192.0.2.1 port 124\n"
			       "counter device\n"
			       "output kernel\n"
			       "log stamps \"/var/log/a b#c\"\n"
			       "log map /m#n\n"
			       "user _ffclockd\n"
			       "maxdistance 0.25\n"
			       "control /run/c\n"
			       "state none\n"
			       "sandbox no\n"
			       "log tracking /t\n"
			       "systemclock yes step 0.5 steplimit always slew 1000\n"
			       "serve\n"
			       "serve 192.0.2.9 port 124\n"
			       "serve ::1\n"
			       "allow all\n"
			       "deny 10.0.0.0/8\n"
			       "allow 2001:db8::/32\n"
			       "ratelimit 0.5 3\n"
			       "shm 2\n"
			       "sock /run/s\n"
			       "metrics 9123\n"
			       "verbose 3"), 0);
	assert_int_equal(cfg.n_sources, 4);
	assert_string_equal(cfg.sources[0].name, "fe80::1%eth0");
	assert_int_equal(cfg.sources[0].port, 11123);
	assert_int_equal(cfg.sources[0].line, 3);
	assert_int_equal(cfg.sources[0].minpoll, 0);
	assert_int_equal(cfg.sources[0].maxpoll, 17);
	assert_true(cfg.sources[0].iburst);
	/* one given alone pulls the other along */
	assert_int_equal(cfg.sources[1].minpoll, 3);
	assert_int_equal(cfg.sources[1].maxpoll, 3);
	assert_int_equal(cfg.sources[2].minpoll, 12);
	assert_int_equal(cfg.sources[2].maxpoll, 12);
	assert_int_equal(cfg.counter, CONFIG_COUNTER_DEVICE);
	assert_int_equal(cfg.output, CONFIG_OUTPUT_KERNEL);
	assert_string_equal(cfg.log_stamps, "/var/log/a b#c");
	assert_string_equal(cfg.log_map, "/m#n");
	assert_string_equal(cfg.user, "_ffclockd");
	assert_true(cfg.max_distance_ns == 250000000);
	assert_string_equal(cfg.control, "/run/c");
	assert_true(cfg.control_set);
	assert_string_equal(cfg.state, "");
	assert_false(cfg.state_set);
	assert_false(cfg.sandbox);
	assert_string_equal(cfg.log_tracking, "/t");
	assert_true(cfg.system.on);
	assert_true(cfg.system.step_s == 0.5);
	assert_int_equal(cfg.system.step_updates, -1);
	assert_true(cfg.system.slew_ppm == 1000);
	assert_int_equal(cfg.n_serve, 3);
	assert_int_equal(cfg.serve[0].len, 0);
	assert_int_equal(cfg.serve[0].port, 123);
	assert_int_equal(cfg.serve[1].len, 4);
	assert_memory_equal(cfg.serve[1].addr, "\300\0\2\11", 4);
	assert_int_equal(cfg.serve[1].port, 124);
	assert_int_equal(cfg.serve[2].len, 16);
	assert_int_equal(cfg.n_access, 4);
	assert_true(cfg.access[0].allow && cfg.access[0].len == 4 && !cfg.access[0].bits);
	assert_true(cfg.access[1].allow && cfg.access[1].len == 16 && !cfg.access[1].bits);
	assert_true(!cfg.access[2].allow && cfg.access[2].bits == 8);
	assert_true(cfg.access[3].allow && cfg.access[3].bits == 32);
	assert_true(cfg.rate_per_s == 0.5);
	assert_int_equal(cfg.rate_burst, 3);
	assert_int_equal(cfg.shm, 2);
	assert_string_equal(cfg.sock, "/run/s");
	assert_int_equal(cfg.metrics_port, 9123);
	assert_int_equal(cfg.level, LOG_DEBUG);
}

static void test_refusals(void **state)
{
	(void)state;
	refuse("", "f: ", "server HOST");
	refuse("# only\n", "f: ", "server HOST");
	refuse("\n\nserv a\n", "f:3: ", "unknown key 'serv'; known: server");
	refuse("server", "f:1: ", "missing");
	refuse("server a;b", "f:1: ", "neither a host name nor an address");
	refuse("server -v", "f:1: ", "neither");
	refuse("server \"\"", "f:1: ", "neither");
	refuse("server a port", "f:1: ", "needs a value");
	refuse("server a port 0", "f:1: ", "from 1 to 65535");
	refuse("server a port 65536", "f:1: ", "from 1 to 65535");
	refuse("server a port +12", "'+12'", "from 1 to 65535");
	refuse("server a port 12x", "'12x'", "from 1 to 65535");
	refuse("server a port 99999999999999999999", "f:1: ", "from 1 to 65535");
	refuse("server a minpoll -1", "minpoll", "from 0 to 17");
	refuse("server a maxpoll 18", "maxpoll", "from 0 to 17");
	refuse("server a minpoll 8 maxpoll 7", "minpoll 8", "above maxpoll 7");
	refuse("server a best", "unknown option 'best'", "iburst");
	refuse("server a\nserver b\nserver A", "f:3: ", "already on line 1");
	refuse("server a\ncounter hpet", "f:2: ", "auto, device, tsc, monotonic_raw");
	refuse("server a\ncounter", "f:2: ", "exactly one value");
	refuse("server a\ncounter tsc tsc", "f:2: ", "exactly one value");
	refuse("server a\ncounter tsc\ncounter tsc", "f:3: ", "set before");
	refuse("server a\noutput file", "f:2: ", "auto, kernel, none");
	refuse("server a\ncounter tsc\noutput kernel", "output kernel", "counter device");
	refuse("server a\nlog", "f:2: ", "stamps FILE");
	refuse("server a\nlog stamps", "f:2: ", "stamps FILE");
	refuse("server a\nlog stamps x", "f:2: ", "absolute path");
	refuse("server a\nlog map /a\nlog map /b", "f:3: ", "given before");
	refuse("server a\nuser", "f:2: ", "name of a user");
	refuse("server a\nuser aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "f:2: ", "1 to 32");
	refuse("server a\nmaxdistance 0", "f:2: ", "0.001 to 16");
	refuse("server a\nmaxdistance 17", "f:2: ", "0.001 to 16");
	refuse("server a\nmaxdistance nan", "f:2: ", "0.001 to 16");
	refuse("server a\nmaxdistance 0x1", "f:2: ", "0.001 to 16");
	refuse("server a\nmaxdistance 1.2.3", "f:2: ", "0.001 to 16");
	refuse("server a\nmaxdistance .", "f:2: ", "0.001 to 16");
	assert_int_equal(parse("phc /dev/ptp0\nphc /dev/ptp1 tai basic error 1e-6"), 1);
	assert_int_equal(parse("phc /dev/ptp0\nphc /dev/ptp1 tai basic error 0.000001 prefer"), 0);
	assert_int_equal(cfg.sources[0].kind, CONFIG_SOURCE_PHC);
	assert_int_equal(cfg.sources[0].minpoll, 0);
	assert_int_equal(cfg.sources[0].maxpoll, 4);
	assert_false(cfg.sources[0].tai || cfg.sources[0].phc_basic || cfg.sources[0].error_ns);
	assert_true(cfg.sources[1].tai && cfg.sources[1].phc_basic && cfg.sources[1].prefer);
	assert_int_equal(cfg.sources[1].error_ns, 1000);
	assert_int_equal(parse("vmclock /dev/vmclock0\nvmclock /v error 0.25 maxpoll 6 trust"), 0);
	assert_int_equal(cfg.sources[0].kind, CONFIG_SOURCE_VMCLOCK);
	assert_int_equal(cfg.sources[0].error_ns, CONFIG_VMCLOCK_ERROR_NS);
	assert_int_equal(cfg.sources[0].maxpoll, 4);
	assert_true(cfg.sources[1].error_ns == 250000000 && cfg.sources[1].trust);
	assert_int_equal(cfg.sources[1].maxpoll, 6);
	assert_int_equal(parse("server a\npps /dev/pps0\npps /dev/pps1 clear offset 0.1 error 0.001"
			       " prefer\npps /dev/pps2 offset -0.0000015 maxpoll 4"), 0);
	assert_int_equal(cfg.sources[1].kind, CONFIG_SOURCE_PPS);
	assert_true(!cfg.sources[1].pps_clear && !cfg.sources[1].offset_ns);
	assert_int_equal(cfg.sources[1].error_ns, CONFIG_PPS_ERROR_NS);
	assert_true(!cfg.sources[1].minpoll && !cfg.sources[1].maxpoll);
	assert_true(cfg.sources[2].pps_clear && cfg.sources[2].prefer);
	assert_int_equal(cfg.sources[2].offset_ns, 100000000);
	assert_int_equal(cfg.sources[3].offset_ns, -1500);
	assert_int_equal(cfg.sources[3].maxpoll, 4);
	refuse("pps /dev/pps0", "which second", "server HOST");
	refuse("server a\npps /dev/pps0\nminsources 2", "minsources 2", "only 1 sources");
	refuse("server a\npps", "f:2: pps: the device is missing", "offset SECONDS");
	refuse("server a\npps pps0", "f:2: ", "absolute path");
	refuse("server a\npps /p offset 0.51", "offset", "from 0 to 0.5");
	refuse("server a\npps /p offset --0.1", "offset", "from 0 to 0.5");
	refuse("server a\npps /p offset -", "offset", "from 0 to 0.5");
	refuse("server a\npps /p trust", "unknown option 'trust'", "clear");
	assert_int_equal(parse("xenstore /dev/xen/xenbus\nxenstore /x trusttsc minpoll 2"), 0);
	assert_int_equal(cfg.sources[0].kind, CONFIG_SOURCE_XENSTORE);
	assert_true(!cfg.sources[0].trust_tsc && cfg.sources[1].trust_tsc);
	assert_int_equal(cfg.sources[1].minpoll, 2);
	refuse("xenstore", "f:1: xenstore: the device is missing", "trusttsc");
	refuse("xenstore /x error 0.1", "unknown option 'error'", "trusttsc");
	refuse("vmclock", "f:1: vmclock: the device is missing", "error SECONDS");
	refuse("vmclock vmclock0", "f:1: ", "absolute path");
	refuse("vmclock /dev/vmclock0 tai", "f:1: ", "unknown option 'tai'");
	refuse("phc", "f:1: ", "device is missing");
	refuse("phc ptp0", "f:1: ", "absolute path");
	refuse("phc /dev/ptp0 port 5", "unknown option 'port'", "tai, basic");
	refuse("server a tai", "unknown option 'tai'; known: port N, minpoll N, maxpoll N, iburst, "
	       "nts, ntsport N, ntsca FILE, ntsnotime, prefer, trust, noselect\n", "f:1: ");
	refuse("pool a tai", "ntsnotime, maxsources N, prefer", "f:1: ");
	refuse("phc /a nts", "known: minpoll N, maxpoll N, tai, basic, error SECONDS, prefer, trust, "
	       "noselect\n", "f:1: ");
	refuse("server a\nx 1", "unknown key 'x'; known: server, pool, phc, vmclock, pps, xenstore, ",
	       "ratelimit, shm, sock, metrics\n");
	refuse("phc /dev/ptp0 error 2", "error", "from 0 to 1");
	refuse("phc /dev/ptp0\nphc /dev/ptp0", "f:2: ", "already on line 1");
	refuse("server a\nsystemclock", "f:2: ", "yes or no");
	refuse("server a\nsystemclock maybe", "f:2: ", "yes or no");
	refuse("server a\nsystemclock no slew 5", "f:2: ", "belong to yes");
	refuse("server a\nsystemclock yes slew", "f:2: ", "needs a value");
	refuse("server a\nsystemclock yes slew 5001", "slew", "from 1 to 5000");
	refuse("server a\nsystemclock yes step 0", "step", "from 0.0001 to 1000");
	refuse("server a\nsystemclock yes steplimit -1", "steplimit", "from 0 to 1000");
	refuse("server a\nsystemclock yes jump 1", "unknown option 'jump'", "slew PPM");
	refuse("server a\nserve x", "f:2: ", "not an address");
	refuse("server a\nserve 1.2.3.4 port", "f:2: ", "[ADDRESS|*] [port N]");
	refuse("server a\nserve port 0", "f:2: ", "from 1 to 65535");
	refuse("server a\nserve\nserve\nserve\nserve\nserve\nserve\nserve\nserve\nserve",
	       "f:10: ", "more than 8");
	refuse("server a\nallow", "f:2: ", "exactly one value");
	refuse("server a\nallow x", "f:2: ", "ADDRESS/BITS");
	refuse("server a\ndeny 1.2.3.4/33", "f:2: ", "from 0 to 32");
	refuse("server a\ndeny ::/129", "f:2: ", "from 0 to 128");
	refuse("server a\nratelimit", "f:2: ", "RATE [BURST]");
	refuse("server a\nratelimit 0", "f:2: ", "from 0.01 to 10000");
	refuse("server a\nratelimit 1 0", "f:2: ", "from 1 to 10000");
	refuse("server a\nshm 256", "f:2: ", "from 0 to 255");
	refuse("server a\nsock s", "f:2: ", "absolute path");
	refuse("server a\nmetrics 0", "f:2: ", "from 1 to 65535");
	refuse("server a\ncontrol", "f:2: ", "exactly one value");
	refuse("server a\ncontrol x", "f:2: ", "absolute path");
	refuse("server a\ncontrol /2345678901234567890123456789012345678901234567890123456789012345678"
	       "90123456789012345678901234567890123456789", "f:2: ", "at most 107");
	refuse("server a\nstate x", "f:2: ", "at most 1023 characters, nor none");
	refuse("server a\nstate /x\nstate /y", "f:3: ", "set before");
	refuse("server a\nsandbox maybe", "f:2: ", "yes, no");
	refuse("server a\nlog tracking x", "f:2: ", "absolute path");
	refuse("server a\nverbose 4", "f:2: ", "0 to 3");
	refuse("server a\nlog map \"/a", "f:2: ", "closing");
	refuse("server a\nlog map \"/a\"b", "f:2: ", "blank");
	refuse("server a\n1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33", "f:2: ", "32 words");
}

static void test_limits(void **state)
{
	char text[8192];
	size_t n = 0;
	int i;

	(void)state;
	for (i = 0; i < 17; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "server s%d\n", i);
	assert_int_equal(parse(text), 1);
	assert_non_null(strstr(said, "f:17: server: more than 16 sources"));

	/* a host of 253 characters is one, of 254 is not */
	memset(text, 0, sizeof(text));
	strcpy(text, "server ");
	memset(text + 7, 'a', 253);
	assert_int_equal(parse(text), 0);
	memset(text + 7, 'a', 254);
	assert_int_equal(parse(text), 1);

	memset(text, 'x', 5000);
	assert_int_equal(parse_n(text, 5000), 1);
	assert_non_null(strstr(said, "longer than 4095"));
	assert_int_equal(parse_n("server a\0b\n", 11), 1);
	assert_non_null(strstr(said, "f:1: zero byte"));

	/* many errors end in a remark, not in a flood */
	n = 0;
	for (i = 0; i < 100; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "bad%d\n", i);
	assert_true(parse(text) >= 20);
	assert_non_null(strstr(said, "f:20: "));
	assert_null(strstr(said, "f:21: "));
	assert_non_null(strstr(said, "too many errors"));

	/* what is not printable is not printed */
	assert_int_equal(parse("server a\n\033[2J\x80\n"), 1);
	assert_null(strchr(said, '\033'));
	assert_null(strchr(said, '\x80'));
}

static void test_file(void **state)
{
	char name[] = "/tmp/ffclock-test-config-XXXXXX";
	FILE *err = fmemopen(said, sizeof(said), "w");
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	assert_non_null(err);
	dprintf(fd, "server a\nverbose 9\n");
	memset(said, 0, sizeof(said));
	assert_int_equal(config_load(&cfg, name, err), 1);
	assert_int_equal(config_load(&cfg, "/nonexistent/x", err), 1);
	assert_int_equal(config_load(&cfg, "/", err), 1);
	fclose(err);
	assert_non_null(strstr(said, ":2: verbose"));
	assert_non_null(strstr(said, "/nonexistent/x: No such file"));
	assert_non_null(strstr(said, "/: Is a directory"));
	unlink(name);
	close(fd);
}

/* The file that is installed is valid, as delivered and with everything on */
static void test_shipped(void **state)
{
	static char text[65536], on[65536];
	const char *top = getenv("TOP");
	char path[4096], *p = text, *q = on;
	FILE *f;
	size_t n;

	(void)state;
	snprintf(path, sizeof(path), "%s/packaging/ffclockd.conf", top ? top : FFCLOCK_TOP);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	if (parse(text))
		fail_msg("%s", said);
	assert_int_equal(cfg.n_sources, 4);
	/* '#key' is a setting that is off, '# text' is text */
	while (*p) {
		if (*p == '#' && (p == text || p[-1] == '\n') && p[1] >= 'a' && p[1] <= 'z')
			p++;
		*q++ = *p++;
	}
	*q = '\0';
	if (parse(on))
		fail_msg("%s", said);
	assert_string_equal(cfg.log_map, "/var/log/ffclock/map.log");
	assert_int_equal(cfg.level, LOG_NOTICE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
