// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ffclock-hostd reads: maps and stat, QEMU's command lines, libvirt's status
 * files, KVM's debugfs, its own configuration.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf.h"
#include "kvm.h"
#include "libvirt_xml.h"
#include "maps.h"
#include "put.h"
#include "qemu_args.h"

static void test_maps(void **state)
{
	static const char *const bad[] = {
		"", "x", "7f00-", "7f00-7f00 rw-s 0 00:01 5 /x", "7f01-7f00 rw-s 0 00:01 5 /x",
		"7f00-8f00 rw-s", "7f00-8f00 rw-s 0", "7f00-8f00 rw-s 0 00:01", "-1-2 rw-s 0 0:0 0",
		"7f00-8f00 rw-s 0 00:01 x", "7f00-8f00 rws 0 00:01 5 /x", " 7f00-8f00 rw-s 0 0:1 5",
		"7f00-fffffffffffffffff rw-s 0 00:01 5", "7f00-8f00 rw-s 0 00:01 5x /x",
		"7f00-8f00 rw-s 0 fffffffff:01 5 /x",
	};
	struct maps_entry e;
	size_t i;

	(void)state;
	assert_true(maps_parse("7f12c0000000-7f12c0001000 rw-s 00000000 00:01 1234"
			       "                       /memfd:vmclock_page (deleted)", &e));
	assert_true(e.start == 0x7f12c0000000 && e.end == 0x7f12c0001000);
	assert_true(e.shared_rw && !e.offset && !e.dev_major && e.dev_minor == 1);
	assert_int_equal(e.inode, 1234);
	assert_string_equal(e.path, "/memfd:vmclock_page (deleted)");
	assert_true(maps_parse("55d0-55d1 rw-p 00001000 fd:10 77 /usr/bin/a b", &e));
	assert_true(!e.shared_rw && e.offset == 0x1000 && e.dev_major == 0xfd &&
		    e.dev_minor == 0x10);
	assert_string_equal(e.path, "/usr/bin/a b");
	assert_true(maps_parse("7ff0-7ff1 r--s 00000000 00:00 0", &e));
	assert_true(!e.shared_rw && !e.inode);
	assert_string_equal(e.path, "");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (maps_parse(bad[i], &e))
			fail_msg("taken: %s", bad[i]);
}

static void test_stat(void **state)
{
	uint64_t start;

	(void)state;
	/* a name that looks like fields */
	assert_true(stat_parse("42 (a) R 1 (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 999 "
			       "20 21", &start));
	assert_int_equal(start, 999);
	assert_false(stat_parse("42 (a", &start));
	assert_false(stat_parse("42 (a)", &start));
	assert_false(stat_parse("42 (a) S 1 2 3", &start));
	assert_false(stat_parse("", &start));
}

#define ARGS(...)	static const char text[] = __VA_ARGS__; args_parse(text, sizeof(text), &a)

static void test_args(void **state)
{
	struct qemu_args a;

	(void)state;
	{
		ARGS("/usr/bin/qemu-system-x86_64\0-name\0guest=web,,1,debug-threads=on\0-S\0"
		     "-machine\0pc-q35-10.0,usb=off,aux-ram-share=on\0-uuid\0" "1234-ab\0"
		     "-device\0{\"driver\":\"vmclock\",\"id\":\"x\"}\0"
		     "-object\0{\"qom-type\":\"memory-backend-file\",\"id\":\"shmmem-shmem0\","
		     "\"mem-path\":\"/dev/shm/ffclock-web\",\"size\":4096,\"share\":true}\0"
		     "-device\0{\"driver\":\"ivshmem-plain\",\"id\":\"shmem0\","
		     "\"memdev\":\"shmmem-shmem0\",\"bus\":\"pcie.0\"}\0"
		     "-incoming\0defer");
		assert_true(args_are_qemu(text, sizeof(text)));
		assert_string_equal(a.name, "web,1");
		assert_string_equal(a.uuid, "1234-ab");
		assert_true(a.vmclock && a.aux_ram_share && a.incoming);
		assert_int_equal(a.n_memories, 1);
		assert_true(args_memory_wanted(&a.memories[0]));
		assert_string_equal(a.memories[0].path, "/dev/shm/ffclock-web");
	}
	{
		/* through a loader; the device before its object; a memfd */
		ARGS("/lib64/ld-linux-x86-64.so.2\0--library-path\0/x\0/y/qemu-system-x86_64\0"
		     "--device\0ivshmem-plain,memdev=ffclock0,master=on\0"
		     "--object\0memory-backend-memfd,id=ffclock0,size=4K,share=on\0"
		     "-object\0memory-backend-file,id=ram,mem-path=/huge,size=1G\0"
		     "-name\0plain\0-M\0q35");
		assert_true(args_are_qemu(text, sizeof(text)));
		assert_string_equal(a.name, "plain");
		assert_int_equal(a.n_memories, 2);
		assert_true(args_memory_wanted(&a.memories[0]));
		assert_false(args_memory_wanted(&a.memories[1]));
		assert_string_equal(a.memories[0].path, "");
		assert_false(a.vmclock || a.aux_ram_share || a.incoming);
		/* the device's page counts if it is shared */
		a.vmclock = true;
		a.aux_ram_share = false;
		assert_int_equal(args_pages(&a), 1);
		a.aux_ram_share = true;
		assert_int_equal(args_pages(&a), 2);
	}
	{
		/* ivshmem that is not called ours; a name for a terminal to choke on */
		ARGS("qemu-kvm\0-name\0guest=\033[31mred\n\0-object\0"
		     "memory-backend-file,id=db,mem-path=/dev/shm/db,size=1M\0"
		     "-device\0ivshmem-plain,memdev=db\0-machine\0pc,aux-ram-share=off");
		assert_string_equal(a.name, "?[31mred?");
		assert_int_equal(a.n_memories, 1);
		assert_true(a.memories[0].ivshmem);
		assert_false(args_memory_wanted(&a.memories[0]));
		assert_false(a.aux_ram_share);
	}
	{
		ARGS("bash\0-c\0qemu-system-x86_64 -name x");
		assert_false(args_are_qemu(text, sizeof(text)));
	}
	{
		/* options without values, broken JSON, no end */
		ARGS("qemu-system-x86_64\0-device\0{\"driver\":\0-object\0{}\0-object\0-name");
		assert_true(!a.n_memories && !a.name[0]);
	}
	args_parse("qemu-system-x86_64", 18, &a);	/* no zero byte at all */
	args_parse("", 0, &a);
	assert_false(args_are_qemu("", 0));
}

static void test_libvirt(void **state)
{
	static const char good[] =
		"<!-- WARNING: AUTO-GENERATED -->\n"
		"<domstatus state='running' reason='booted' pid='4711'>\n"
		" <monitor path='/x' type='unix'/><vcpus/>\n"
		" <domain type='kvm' id='1'><name>web &amp; co</name><uuid>aa-bb</uuid>\n"
		"  <metadata><name>no</name></metadata><devices><x><name>nor</name></x></devices>\n"
		" </domain><name>not this</name></domstatus>";
	static const char *const bad[] = {
		"", "<domstatus", "<domstatus pid='1'/>",
		"<domstatus pid='0'><domain><name>a</name></domain></domstatus>",
		"<domstatus pid='-5'><domain><name>a</name></domain></domstatus>",
		"<domstatus pid='99999999999999999999'><domain><name>a</name></domain></domstatus>",
		"<domstatus pid='12x'><domain><name>a</name></domain></domstatus>",
		"<network pid='12'><domain><name>a</name></domain></network>",
		"<domain><name>a</name></domain>",
		"<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>"
		"<domstatus pid='12'><domain><name>&b;</name></domain></domstatus>",
	};
	struct libvirt_guest g;
	size_t i;

	(void)state;
	assert_true(libvirt_parse(good, sizeof(good) - 1, &g));
	assert_int_equal(g.pid, 4711);
	assert_string_equal(g.name, "web & co");
	assert_string_equal(g.uuid, "aa-bb");
	assert_string_equal(g.state, "running");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (libvirt_parse(bad[i], strlen(bad[i]), &g))
			fail_msg("taken: %s", bad[i]);
}

static void make_dir(const char *dir, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void test_kvm(void **state)
{
	char dir[] = "/tmp/hostd-kvm.XXXXXX", why[256], none[64], cmd[64];
	struct tsc_map map;
	struct kvm_vm vm;
	unsigned int vcpus;
	uint64_t offset;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(none, sizeof(none), "%s/none", dir);
	assert_int_equal(kvm_open(none, 7, &vm, why, sizeof(why)), -ENODEV);
	/* an ordinary directory is no debugfs; with a kvm in it, it does for tests */
	assert_int_equal(kvm_reachable(dir, why, sizeof(why)), -ENODEV);
	assert_non_null(strstr(why, "not mounted"));
	assert_int_equal(kvm_reachable(none, why, sizeof(why)), -ENODEV);
	assert_non_null(strstr(why, "debugfs=off"));
	make_dir(dir, "kvm");
	assert_int_equal(kvm_reachable(dir, why, sizeof(why)), 0);
	assert_int_equal(kvm_open(dir, 7, &vm, why, sizeof(why)), -ENOENT);
	make_dir(dir, "77-12");
	make_dir(dir, "7-12");
	assert_int_equal(kvm_open(dir, 7, &vm, why, sizeof(why)), -ENOENT);
	make_dir(dir, "7-12/vcpu0");
	put(dir, "7-12/vcpu0/tsc-offset", "-18446\n");
	assert_int_equal(kvm_open(dir, 7, &vm, why, sizeof(why)), 0);
	assert_int_equal(kvm_offset(&vm, &offset), 0);
	assert_true(offset == (uint64_t)-18446);
	/* no "exits": then it may have run */
	assert_true(kvm_ran(&vm));
	assert_int_equal(kvm_map(&vm, &map, &vcpus), 0);
	assert_true(vcpus == 1 && map.offset == offset && !map.ratio);

	/* a second processor that differs, then agrees */
	make_dir(dir, "7-12/vcpu1");
	put(dir, "7-12/vcpu1/tsc-offset", "-18447\n");
	assert_int_equal(kvm_map(&vm, &map, &vcpus), -EAGAIN);
	put(dir, "7-12/vcpu1/tsc-offset", "-18446\n");
	assert_int_equal(kvm_map(&vm, &map, &vcpus), 0);
	assert_int_equal(vcpus, 2);

	/* scaling: the ratio counts as well, with the kernel's word on its bits */
	put(dir, "7-12/vcpu0/tsc-scaling-ratio", "281474976710656\n");
	put(dir, "7-12/vcpu0/tsc-scaling-ratio-frac-bits", "48\n");
	assert_int_equal(kvm_map(&vm, &map, &vcpus), 0);	/* it is 1 */
	assert_int_equal(map.ratio, 0);
	put(dir, "7-12/vcpu0/tsc-scaling-ratio", "140737488355328\n");
	assert_int_equal(kvm_map(&vm, &map, &vcpus), -EAGAIN);
	put(dir, "7-12/vcpu1/tsc-scaling-ratio", "140737488355328\n");
	put(dir, "7-12/vcpu1/tsc-scaling-ratio-frac-bits", "48\n");
	assert_int_equal(kvm_map(&vm, &map, &vcpus), 0);
	assert_true(map.ratio == 1ULL << 47 && map.frac_bits == 48);
	put(dir, "7-12/vcpu1/tsc-scaling-ratio", "0\n");
	assert_int_equal(kvm_map(&vm, &map, &vcpus), -EINVAL);
	put(dir, "7-12/vcpu1/tsc-scaling-ratio", "lots\n");
	assert_int_equal(kvm_map(&vm, &map, &vcpus), -EINVAL);

	put(dir, "7-12/exits", "0\n");
	kvm_close(&vm);
	assert_int_equal(kvm_open(dir, 7, &vm, why, sizeof(why)), 0);
	assert_false(kvm_ran(&vm));
	put(dir, "7-12/exits", "9\n");
	assert_true(kvm_ran(&vm));
	/* the thread's number is better: it is there before the first exit */
	put(dir, "7-12/vcpu0/pid", "0\n");
	assert_false(kvm_ran(&vm));
	put(dir, "7-12/vcpu0/pid", "4711\n");
	put(dir, "7-12/exits", "0\n");
	assert_true(kvm_ran(&vm));
	kvm_close(&vm);
	make_dir(dir, "7-13");
	assert_int_equal(kvm_open(dir, 7, &vm, why, sizeof(why)), -ENOTUNIQ);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void test_number(void **state)
{
	static const char *const bad[] = { "", "\n", "-", "x", "1x", " 1", "+1", "1 ",
		"99999999999999999999", "-9223372036854775809",
		"0000000000000000000000000000000000001" };
	uint64_t n;
	size_t i;

	(void)state;
	assert_int_equal(kvm_number("18446744073709551615\n", 21, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(kvm_number("-9223372036854775808", 20, &n), 0);
	assert_true(n == 1ULL << 63);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(kvm_number(bad[i], strlen(bad[i]), &n), -EINVAL);
}

static int parse_conf(struct conf *c, const char *text, char **said)
{
	size_t len;
	FILE *f = open_memstream(said, &len);
	int ret = conf_parse(c, text, strlen(text), "f", f);

	fclose(f);
	return ret;
}

static void test_conf(void **state)
{
	static const char *const bad[] = {
		"clock sundial", "clock relative/path", "check 0", "check 11", "check 1e-2",
		"check nan", "scan -1", "update 65", "debugfs none", "libvirt x", "process a/b",
		"guest", "guest a", "guest a offset", "guest a offset x", "guest a offset 1 bound",
		"guest a offset 1 bound -1", "guest a offset 99999999999999999999",
		"guest a ignore\nguest a watch", "verbose 4", "verbose", "clock auto\nclock auto",
		"nonsense 1", "guest \"a", "guests some", "system-bound 0", "system-tai -1", "system-tai 1001", "a b c d e f g h i",
		"guest \"a\"ignore", "system-tai +1", "guest a offset -", "guest a offset +1",
	};
	static struct conf c;
	char *said;
	size_t i;

	(void)state;
	assert_int_equal(parse_conf(&c, "", &said), 0);
	free(said);
	assert_string_equal(c.clock, "auto");
	assert_int_equal(c.check_ns, 50000000);
	assert_int_equal(parse_conf(&c,
		"# a comment\nclock /run/page\nsystem-bound 0.000001\ncheck 0.5\nscan 2\n"
		"libvirt none\nprocess myvmm\nguests named\n"
		"guest \"my guest\" offset -12345 bound 7\nguest b ignore\nguest c watch\n"
		"verbose 3\r\n", &said), 0);
	assert_string_equal(said, "");
	free(said);
	assert_string_equal(c.clock, "/run/page");
	assert_int_equal(c.system_bound_ns, 1000);
	assert_int_equal(c.check_ns, 500000000);
	assert_string_equal(c.libvirt, "");
	assert_string_equal(c.names[0], "myvmm");
	assert_null(c.names[1]);
	assert_true(c.named && c.n_guests == 3);
	assert_string_equal(c.guests[0].name, "my guest");
	assert_true(c.guests[0].have_offset && c.guests[0].offset == (uint64_t)-12345 &&
		    c.guests[0].bound == 7);
	assert_true(c.guests[1].ignore && c.guests[2].watch);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse_conf(&c, bad[i], &said) != 1)
			fail_msg("'%s' is not one error: %s", bad[i], said);
		assert_non_null(strstr(said, "f:"));
		free(said);
	}
	/* what is shipped */
	assert_int_equal(conf_load(&c, FFCLOCK_TOP "/packaging/ffclock-hostd.conf", stderr), 0);
	assert_int_equal(conf_load(&c, "/nonexistent/conf", stderr), -ENOENT);
	assert_string_equal(c.clock, "auto");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_args),
		cmocka_unit_test(test_libvirt),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_kvm),
		cmocka_unit_test(test_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
