// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer: everything that ffclock-hostd reads and others write.  The first byte
 * chooses a parser; what it accepts has to be within its documented ranges.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compose.h"
#include "conf.h"
#include "hostclock.h"
#include "kvm.h"
#include "libvirt_xml.h"
#include "maps.h"
#include "page.h"
#include "qemu_args.h"

#define CHECK(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void printable(const char *s)
{
	for (; *s; s++)
		CHECK(*s >= ' ' && *s < 0x7f);
}

static void fuzz_args(const char *text, size_t size)
{
	struct qemu_args a;
	unsigned int i;

	args_are_qemu(text, size);
	args_parse(text, size, &a);
	printable(a.name);
	printable(a.uuid);
	CHECK(a.n_memories <= ARGS_MEMORIES_MAX);
	for (i = 0; i < a.n_memories; i++) {
		printable(a.memories[i].id);
		printable(a.memories[i].path);
		args_memory_wanted(&a.memories[i]);
	}
}

static void fuzz_conf(const char *text, size_t size)
{
	static struct conf c;
	char *said;
	size_t len;
	FILE *err = open_memstream(&said, &len);
	int ret;

	CHECK(err);
	ret = conf_parse(&c, text, size, "f", err);
	fclose(err);
	CHECK(!ret == !len);
	for (len = 0; said[len]; len++)
		CHECK(said[len] == '\n' || (said[len] >= ' ' && said[len] < 0x7f));
	free(said);
	if (ret)
		return;
	CHECK(c.check_ns >= 1000000 && c.check_ns <= 10000000000);
	CHECK(c.scan_ns >= 50000000 && c.update_ns <= 64000000000);
	CHECK(c.n_guests <= CONF_GUESTS_MAX);
}

/* A page that anybody has written: a line that computes, or a refusal */
static void fuzz_line(const uint8_t *data, size_t size)
{
	static struct ffclock_page page;
	struct host_line line, guest;
	struct tsc_map map = { 0 };

	memset(&page, 0, sizeof(page));
	memcpy(&page, data, size < sizeof(page) ? size : sizeof(page));
	page.vmclock.magic = FFCLOCK_VMCLOCK_MAGIC;
	page.vmclock.version = FFCLOCK_VMCLOCK_VERSION;
	page.vmclock.counter_id = FFCLOCK_COUNTER_X86_TSC;
	if (page_to_line(&page, 1234567, &line))
		return;
	CHECK(ffclock_period_valid(line.period, line.shift));
	line = line_move(&line, line.counter + (1ULL << 40));
	map.offset = page.ext.counter_offset;
	map.ratio = page.ext.updates;
	map.frac_bits = page.ext.epoch & 63;
	map.bound_counts = page.ext.flags;
	if (!compose_line(&line, &map, &guest)) {
		CHECK(ffclock_period_valid(guest.period, guest.shift));
		CHECK(guest.maxerror_ns >= line.maxerror_ns);
	}
}

/* What a guest does to its own page is undone */
static void fuzz_page(const uint8_t *data, size_t size)
{
	static _Alignas(4096) uint8_t memory[4096];
	struct host_line line = { .period = 1ULL << 63, .shift = 31, .time = { 1700000000, 0 },
		.status = FFCLOCK_STATUS_SYNCHRONIZED };
	struct page p = { .map = memory, .owner = { .pid = 7 }, .format = true };
	struct ffclock_vmclock *v = (struct ffclock_vmclock *)memory;
	uint64_t marker;
	uint32_t seq;

	memset(memory, 0, sizeof(memory));
	CHECK(page_look(&p, false) == PAGE_FRESH);
	page_write(&p, &line, 0);
	while (size > 2) {
		size_t at = (data[0] | (size_t)data[1] << 8) & 4095, n = size - 2;

		if (n > 64)
			n = 64;
		if (n > sizeof(memory) - at)
			n = sizeof(memory) - at;
		memcpy(memory + at, data + 2, n);
		data += 2 + n;
		size -= 2 + n;
		marker = p.marker;
		seq = p.v.seq_count;
		page_look(&p, true);
		page_write(&p, &line, 0);
		CHECK((int64_t)(v->disruption_marker - marker) >= 0);
		CHECK((int32_t)(v->seq_count - seq) > 0 && !(v->seq_count & 1));
		CHECK(v->magic == FFCLOCK_VMCLOCK_MAGIC && v->time_sec == 1700000000);
		CHECK(page_look(&p, false) == PAGE_INTACT);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct libvirt_guest g;
	struct maps_entry e;
	uint64_t number;
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	CHECK(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 7) {
	case 0:
		fuzz_args(text, size - 1);
		break;
	case 1:
		fuzz_conf(text, size - 1);
		break;
	case 2:
		if (maps_parse(text, &e))
			CHECK(e.end > e.start && e.path >= text && e.path < text + size);
		stat_parse(text, &number);
		break;
	case 3:
		if (libvirt_parse(text, size - 1, &g))
			CHECK(g.pid >= 1 && g.pid <= 1 << 22 && g.name[0]);
		printable(g.name);
		printable(g.uuid);
		printable(g.state);
		break;
	case 4:
		kvm_number(text, size - 1, &number);
		break;
	case 5:
		fuzz_line(data + 1, size - 1);
		break;
	default:
		fuzz_page(data + 1, size - 1);
		break;
	}
	free(text);
	return 0;
}
