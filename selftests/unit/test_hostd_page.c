// SPDX-License-Identifier: GPL-2.0-only
/* A guest's page as ffclock-hostd writes it, and everything others do to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "guard.h"
#include "page.h"

static _Alignas(4096) uint8_t memory[4096];
static struct ffclock_vmclock *v = (struct ffclock_vmclock *)memory;
static const struct page_owner here = { .boot_id = { 1 }, .pid = 100, .start = 5 };
static const struct page_owner there = { .boot_id = { 1 }, .pid = 101, .start = 9 };

static const struct host_line line = {
	.counter = 1000, .time = { 1700000000, 77 }, .period = 1ULL << 63, .shift = 31,
	.period_maxerror = 500, .period_esterror = 50, .maxerror_ns = 900, .esterror_ns = 90,
	.tai_offset_sec = 37, .status = FFCLOCK_STATUS_SYNCHRONIZED,
};

/* What QEMU makes of it when the device is realized */
static void qemu_page(uint64_t marker)
{
	memset(memory, 0, sizeof(memory));
	v->magic = FFCLOCK_VMCLOCK_MAGIC;
	v->size = 4096;
	v->version = 1;
	v->counter_id = FFCLOCK_COUNTER_INVALID;
	v->disruption_marker = marker;
	v->flags = FFCLOCK_VF_VM_GEN_COUNTER_PRESENT;
	v->vm_generation_counter = 3;
}

/* and after a migration */
static void qemu_bump(void)
{
	v->seq_count = (v->seq_count | 1);
	v->disruption_marker++;
	v->seq_count++;
}

static struct page new_page(const struct page_owner *owner)
{
	struct page p = { .map = memory, .owner = *owner };

	return p;
}

static void write_ok(struct page *p)
{
	uint32_t seq = v->seq_count;

	page_write(p, &line, 0);
	assert_true(!(v->seq_count & 1));
	assert_true((int32_t)(v->seq_count - seq) > 0);
	assert_int_equal(page_look(p, false), PAGE_INTACT);
}

static void test_fields(void **state)
{
	struct page p = new_page(&here);

	(void)state;
	qemu_page(1);
	assert_int_equal(page_look(&p, false), PAGE_FRESH);
	write_ok(&p);
	assert_int_equal(v->magic, FFCLOCK_VMCLOCK_MAGIC);
	assert_int_equal(v->size, 4096);
	assert_int_equal(v->version, 1);
	assert_int_equal(v->counter_id, FFCLOCK_COUNTER_X86_TSC);
	assert_int_equal(v->time_type, 0);
	assert_int_equal(v->disruption_marker, 1);
	assert_int_equal(v->clock_status, FFCLOCK_STATUS_SYNCHRONIZED);
	assert_int_equal(v->tai_offset_sec, -37);
	assert_int_equal(v->counter_value, 1000);
	assert_true(v->counter_period_frac_sec == 1ULL << 63);
	assert_int_equal(v->counter_period_shift, 31);
	assert_int_equal(v->time_sec, 1700000000);
	assert_int_equal(v->time_frac_sec, 77);
	assert_int_equal(v->time_maxerror_nanosec, 900);
	/* theirs and ours */
	assert_int_equal(v->vm_generation_counter, 3);
	assert_int_equal(v->flags, FFCLOCK_VF_VM_GEN_COUNTER_PRESENT |
			 FFCLOCK_VF_TAI_OFFSET_VALID | FFCLOCK_VF_TIME_MAXERROR_VALID |
			 FFCLOCK_VF_PERIOD_MAXERROR_VALID | FFCLOCK_VF_TIME_ESTERROR_VALID |
			 FFCLOCK_VF_PERIOD_ESTERROR_VALID);
	/* without time: a driver that is loaded now still learns counter and TAI */
	p.tai_offset_sec = 37;
	page_write(&p, NULL, PAGE_SOON);
	assert_int_equal(v->clock_status, FFCLOCK_STATUS_UNRELIABLE);
	assert_int_equal(v->flags, FFCLOCK_VF_VM_GEN_COUNTER_PRESENT |
			 FFCLOCK_VF_TAI_OFFSET_VALID | FFCLOCK_VF_DISRUPTION_SOON |
			 FFCLOCK_VF_DISRUPTION_IMMINENT);
	assert_int_equal(v->counter_id, FFCLOCK_COUNTER_X86_TSC);
}

static void test_absent(void **state)
{
	struct page p = new_page(&here);

	(void)state;
	memset(memory, 0, sizeof(memory));
	assert_int_equal(page_look(&p, false), PAGE_ABSENT);
	/* ivshmem: ours to make, unless something else is there */
	p.format = true;
	memory[4095] = 1;
	assert_int_equal(page_look(&p, false), PAGE_ABSENT);
	memory[4095] = 0;
	assert_int_equal(page_look(&p, false), PAGE_FRESH);
	write_ok(&p);
	assert_int_equal(v->magic, FFCLOCK_VMCLOCK_MAGIC);
	assert_int_equal(v->size, 4096);
	assert_int_equal(v->disruption_marker, 1);
	/* a size too small for the structure, a version unknown */
	qemu_page(1);
	v->size = 64;
	p = new_page(&here);
	assert_int_equal(page_look(&p, false), PAGE_ABSENT);
	qemu_page(1);
	v->version = 2;
	assert_int_equal(page_look(&p, false), PAGE_ABSENT);
}

/* Killed after any number of the stores of an update: a successor carries on */
static void test_killed(void **state)
{
	uint8_t before[4096], after[4096];
	size_t cut;

	(void)state;
	for (cut = 0; cut <= 4096; cut += 8) {
		struct page p = new_page(&here);
		uint32_t seq;

		qemu_page(7);
		page_look(&p, false);
		page_write(&p, &line, 0);
		memcpy(before, memory, sizeof(before));
		page_write(&p, &line, 0);
		memcpy(after, memory, sizeof(after));
		/* odd sequence, then data up to the cut */
		memcpy(memory, before, sizeof(before));
		memcpy(memory, after, cut);
		v->seq_count = ((struct ffclock_vmclock *)before)->seq_count | 1;
		seq = v->seq_count;

		p = new_page(&here);
		assert_int_equal(page_look(&p, false), PAGE_BUSY);
		assert_int_equal(page_look(&p, true), PAGE_RESUMED);
		write_ok(&p);
		assert_true((int32_t)(v->seq_count - seq) > 0);
		assert_int_equal(v->disruption_marker, 7);
	}
}

/* A page of another process: exactly one more marker, whoever makes it */
static void test_moved(void **state)
{
	struct page a = new_page(&there), b = new_page(&here);
	uint8_t arrived[4096];
	int i;

	(void)state;
	qemu_page(4);
	page_look(&a, false);
	page_write(&a, &line, 0);
	memcpy(arrived, memory, sizeof(arrived));

	/* destination's own first, then the guest's memory comes over it, twice */
	qemu_page(1);
	assert_int_equal(page_look(&b, false), PAGE_FRESH);
	page_write(&b, NULL, 0);
	for (i = 0; i < 2; i++) {
		memcpy(memory, arrived, sizeof(arrived));
		assert_int_equal(page_look(&b, false), PAGE_MOVED);
		page_write(&b, NULL, 0);
		assert_int_equal(v->clock_status, FFCLOCK_STATUS_UNRELIABLE);
		assert_int_equal(v->disruption_marker, 4);
	}
	qemu_bump();
	assert_int_equal(page_look(&b, false), PAGE_MARKED);
	write_ok(&b);
	assert_int_equal(v->disruption_marker, 5);
	write_ok(&b);
	assert_int_equal(v->disruption_marker, 5);

	/* a hypervisor that does not bump: we do, when there is something to tell */
	memcpy(memory, arrived, sizeof(arrived));
	b = new_page(&here);
	assert_int_equal(page_look(&b, false), PAGE_MOVED);
	page_write(&b, NULL, 0);
	assert_int_equal(v->disruption_marker, 4);
	write_ok(&b);
	write_ok(&b);
	assert_int_equal(v->disruption_marker, 5);

	/* bumped before we looked at all */
	memcpy(memory, arrived, sizeof(arrived));
	qemu_bump();
	b = new_page(&here);
	assert_int_equal(page_look(&b, false), PAGE_MOVED);
	write_ok(&b);
	assert_int_equal(v->disruption_marker, 5);

	/* ivshmem: nobody else ever does; once, however often it is overwritten */
	b = new_page(&here);
	b.format = true;
	memset(memory, 0, sizeof(memory));
	assert_int_equal(page_look(&b, false), PAGE_FRESH);
	page_write(&b, NULL, 0);
	for (i = 0; i < 3; i++) {
		memcpy(memory, arrived, sizeof(arrived));
		assert_int_equal(page_look(&b, false), PAGE_MOVED);
		page_write(&b, NULL, 0);
		assert_int_equal(v->disruption_marker, 5);
	}
	write_ok(&b);
	assert_int_equal(v->disruption_marker, 5);
	/* half of it copied: wait for the rest */
	memcpy(memory, arrived, PAGE_RECORD_OFFSET + 32);
	assert_int_equal(page_look(&b, false), PAGE_BUSY);
}

static void test_rolled_back(void **state)
{
	struct page p = new_page(&here);
	uint8_t old[4096];

	(void)state;
	qemu_page(4);
	page_look(&p, false);
	page_write(&p, &line, 0);
	memcpy(old, memory, sizeof(old));
	write_ok(&p);
	memcpy(memory, old, sizeof(old));
	assert_int_equal(page_look(&p, false), PAGE_ROLLED_BACK);
	write_ok(&p);
	assert_int_equal(v->disruption_marker, 5);
}

/* Anything at all on the page: noticed, undone, nothing ever goes back */
static void test_scribble(void **state)
{
	struct page p = new_page(&here);
	uint64_t marker;
	uint32_t seq;
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) :
		(unsigned int)time(NULL);
	int i, j, n;

	(void)state;
	print_message("# seed %u\n", seed);
	srand(seed);
	qemu_page(4);
	page_look(&p, false);
	write_ok(&p);
	for (i = 0; i < 20000; i++) {
		enum page_state s;

		marker = p.marker;
		seq = p.v.seq_count;
		n = 1 + rand() % 16;
		for (j = 0; j < n; j++) {
			int at = rand() % 2 ? rand() % 112 : PAGE_RECORD_OFFSET + rand() % 64;

			memory[at] ^= 1 << rand() % 8;
		}
		s = page_look(&p, true);
		if (s == PAGE_INTACT)
			continue;	/* the same bit twice */
		assert_true(s != PAGE_ABSENT && s != PAGE_FRESH);
		page_write(&p, &line, 0);
		assert_int_equal(page_look(&p, false), PAGE_INTACT);
		assert_true((int64_t)(p.marker - marker) >= 0);
		assert_true((int32_t)(v->seq_count - seq) > 0);
		assert_true(v->disruption_marker == p.marker);
		assert_int_equal(v->magic, FFCLOCK_VMCLOCK_MAGIC);
		assert_int_equal(v->size, 4096);
		assert_int_equal(v->time_sec, 1700000000);
	}
	/* only the hypervisor's fields: not the guest's doing */
	v->vm_generation_counter = 4;
	qemu_bump();
	assert_int_equal(page_look(&p, false), PAGE_MARKED);
	write_ok(&p);
	assert_int_equal(v->vm_generation_counter, 4);
}

static void test_wrap(void **state)
{
	struct page p = new_page(&here);

	(void)state;
	qemu_page(~0ULL);
	v->seq_count = ~0U - 1;
	page_look(&p, false);
	page_write(&p, &line, 0);
	assert_int_equal(v->seq_count, 0);
	page_disrupt(&p);
	page_write(&p, &line, 0);
	assert_int_equal(v->seq_count, 2);
	assert_int_equal(v->disruption_marker, 0);
	assert_int_equal(page_look(&p, false), PAGE_INTACT);
}

/* A reader never gets halves: the two lines written in turn differ in all fields */
static volatile int stop;

static void *writer(void *arg)
{
	struct host_line other = {
		.counter = ~line.counter, .time = { ~line.time.sec & INT64_MAX, ~line.time.frac },
		.period = ~line.period, .shift = 30, .period_maxerror = ~line.period_maxerror,
		.period_esterror = 1, .maxerror_ns = 1, .esterror_ns = 2, .tai_offset_sec = 36,
		.status = FFCLOCK_STATUS_FREERUNNING,
	};
	struct page *p = arg;
	int i;

	for (i = 0; !stop; i++)
		page_write(p, i & 1 ? &other : &line, 0);
	return NULL;
}

static void test_readers(void **state)
{
	struct page p = new_page(&here);
	struct timespec from, now;
	unsigned long good = 0;
	pthread_t thread;

	(void)state;
	qemu_page(1);
	page_look(&p, false);
	page_write(&p, &line, 0);
	stop = 0;
	assert_int_equal(pthread_create(&thread, NULL, writer, &p), 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		struct ffclock_vmclock copy = { 0 };
		uint32_t seq = __atomic_load_n(&v->seq_count, __ATOMIC_ACQUIRE);
		const uint64_t *w = (const uint64_t *)memory;
		size_t i;

		clock_gettime(CLOCK_MONOTONIC, &now);
		if (seq & 1)
			continue;
		for (i = 0; i < sizeof(copy) / 8; i++)
			((uint64_t *)&copy)[i] = __atomic_load_n(&w[i], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&v->seq_count, __ATOMIC_RELAXED) != seq)
			continue;
		good++;
		if (copy.clock_status == FFCLOCK_STATUS_SYNCHRONIZED) {
			assert_true(copy.counter_value == line.counter);
			assert_true(copy.time_maxerror_nanosec == 900);
			assert_int_equal(copy.tai_offset_sec, -37);
			assert_true(copy.time_frac_sec == line.time.frac);
		} else {
			assert_true(copy.counter_value == ~line.counter);
			assert_true(copy.time_maxerror_nanosec == 1);
			assert_int_equal(copy.tai_offset_sec, -36);
			assert_true(copy.time_frac_sec == ~line.time.frac);
		}
	} while (good < 10000 || now.tv_sec < from.tv_sec + 1);
	stop = 1;
	pthread_join(thread, NULL);
	print_message("# %lu consistent reads\n", good);
}

/* QEMU's owner cuts its memory short: no SIGBUS, and the guard has counted */
static void test_guard(void **state)
{
	int fd = memfd_create("page", MFD_CLOEXEC);
	struct page p = new_page(&here);

	(void)state;
	assert_int_equal(guard_setup(), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	p.map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p.map != MAP_FAILED);
	p.format = true;
	assert_int_equal(page_look(&p, false), PAGE_FRESH);
	page_write(&p, &line, 0);
	assert_int_equal(guard_count(), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(page_look(&p, false), PAGE_SCRIBBLED);
	assert_int_equal(guard_count(), 1);
	page_write(&p, &line, 0);
	munmap(p.map, 4096);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_rolled_back),
		cmocka_unit_test(test_scribble),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_readers),
		cmocka_unit_test(test_guard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
