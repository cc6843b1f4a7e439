// SPDX-License-Identifier: GPL-2.0-only
// lab: timeout=180
/*
 * Nobody ever sees the counter or mono step back.
 *
 * Readers on every CPU compare each reading with their own last one and with
 * what every other reader had published before the reading was taken.  They read
 * the page, the ioctls and the clock id; the three share one order, and so do
 * the readers in the kernel if the module ffclock_consumer is there.  Meanwhile
 * the clocksource goes through all ordered pairs of those there are, bypass
 * through all counters on each, and the parameters are replaced at random.
 *
 *	steps [READS [SECONDS]]	total of readings (2e7), least duration (20)
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "lib/page.h"

#define MAX_READERS	16
#define MAX_CS		8
#define CONSUMER	"/sys/kernel/debug/ffclock_consumer/"

struct reader {
	/* what this one has seen; its own cache line */
	_Alignas(64) _Atomic uint64_t counter;
	_Atomic uint64_t mono;
	/* results */
	_Alignas(64) uint64_t reads[2][2];	/* [page, syscall][counter, mono] */
	uint64_t back_counter, back_mono;
	uint64_t worst_counter, worst_mono;
	int cpu;
	pthread_t thread;
};

static struct reader readers[MAX_READERS];
static int nr_readers;
static atomic_bool stop;
static atomic_ullong total;
static const volatile struct ffclock_page *page;
static int fd, mono_fd;

static void saw(struct reader *me, uint64_t counter, const uint64_t *floor)
{
	if (counter < *floor) {
		me->back_counter++;
		if (*floor - counter > me->worst_counter)
			me->worst_counter = *floor - counter;
	}
	atomic_store_explicit(&me->counter, counter, memory_order_release);
}

static void saw_mono(struct reader *me, uint64_t mono, const uint64_t *floor)
{
	if (mono < *floor) {
		me->back_mono++;
		if (*floor - mono > me->worst_mono)
			me->worst_mono = *floor - mono;
	}
	atomic_store_explicit(&me->mono, mono, memory_order_release);
}

/* The latest that any reader has seen so far */
static uint64_t floor_of(size_t offset)
{
	uint64_t v, top = 0;
	int i;

	for (i = 0; i < nr_readers; i++) {
		v = atomic_load_explicit((_Atomic uint64_t *)((char *)&readers[i] + offset),
					 memory_order_acquire);
		if (v > top)
			top = v;
	}
	return top;
}

#define FLOOR(member)	floor_of(offsetof(struct reader, member))

static void read_page(struct reader *me, int n)
{
	struct page_sample s;
	uint64_t floor;
	int i;

	for (i = 0; i < n; i++) {
		floor = FLOOR(counter);
		if (!page_read(page, false, &s))
			return;
		saw(me, s.counter, &floor);
		me->reads[0][0]++;
		floor = FLOOR(mono);
		if (!page_read(page, true, &s))
			return;
		saw_mono(me, time_order(s.mono), &floor);
		me->reads[0][1]++;
	}
}

static void read_syscall(struct reader *me, int n)
{
	struct ffclock_reading r = { .clock = FFCLOCK_MONO };
	struct ffclock_counter c;
	struct timespec ts;
	uint64_t floor;
	int i;

	for (i = 0; i < n; i++) {
		floor = FLOOR(counter);
		if (ioctl(fd, FFCLOCK_IOC_COUNTER, &c))
			bail("COUNTER: %s", strerror(errno));
		saw(me, c.value, &floor);
		floor = FLOOR(mono);
		if (ioctl(fd, FFCLOCK_IOC_READ, &r))
			bail("READ: %s", strerror(errno));
		saw_mono(me, time_order(r.time), &floor);
		me->reads[1][0]++;
		me->reads[1][1]++;
	}
	/* the clock id rounds down to ns: compared with a floor rounded down */
	floor = FLOOR(mono);
	if (clock_gettime(CLOCK_OF_FD(mono_fd), &ts))
		bail("clock_gettime: %s", strerror(errno));
	floor = (floor >> 34) * NSEC_PER_SEC + ffclock_frac_to_ns(floor << 30);
	if ((uint64_t)(ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec) < floor)
		me->back_mono++;
	me->reads[1][1]++;
}

static void *reader(void *arg)
{
	struct reader *me = arg;
	uint64_t before, after;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(me->cpu, &set);
	/* fails while the CPU is offline: then anywhere */
	sched_setaffinity(0, sizeof(set), &set);
	while (!stop) {
		before = me->reads[0][0] + me->reads[0][1] + me->reads[1][0] + me->reads[1][1];
		read_page(me, 2000);
		read_syscall(me, 20);
		after = me->reads[0][0] + me->reads[0][1] + me->reads[1][0] + me->reads[1][1];
		atomic_fetch_add(&total, after - before);
	}
	return NULL;
}

/* Parameters, replaced at random all the time ------------------------------- */

static uint64_t updates, refused;

static void *updater(void *arg)
{
	struct ffclock_estimate e;
	int64_t ns;

	(void)arg;
	while (!stop) {
		e = ffc_good_estimate(fd);
		ns = (int64_t)rng_below(100000000) - 50000000;
		e.time = ffclock_time_add(e.time, ffclock_ns_to_time(ns >> rng_below(30)));
		/* the rate of a clock on this counter that is off by up to 400 ppm */
		e.period += (int64_t)(e.period / 2500) / 1000 * ((int64_t)rng_below(2000) - 1000) / 2;
		e.next_update_sec = 1 + rng_below(4);
		if (!rng_below(10))
			e.flags = FFCLOCK_EST_F_STEP_MONO;
		if (!rng_below(10))
			e.status = rng_below(FFCLOCK_STATUS_UNRELIABLE + 1);
		if (!ioctl(fd, FFCLOCK_IOC_SETEST, &e))
			updates++;
		else if (errno == ESTALE)
			refused++;	/* another epoch since the snapshot */
		else if (errno == EINVAL && e.period)
			refused++;	/* the rate has wandered to 10 % off nominal */
		else
			bail("SETEST: %s", strerror(errno));
		if (rng_below(4))
			usleep(rng_below(2000));
		/* and now and then back to the nominal rate, by a new epoch */
	}
	return NULL;
}

/* Clocksources and bypass ---------------------------------------------------- */

static int switches, bypasses, late;
static int64_t worst_ppb, worst_paired_ppb;

/* The counter advances by its nominal frequency while nothing is switched */
static void dwell(int ms)
{
	struct ffclock_snapshot a, b;
	struct ffclock_time t;
	uint64_t hz;
	int64_t ns, off;

	hz = read_u64(FFC_SYSFS "counter/frequency");
	a = ffc_snapshot(fd);
	sleep_ms(ms);
	b = ffc_snapshot(fd);
	if (a.epoch != b.epoch) {
		late++;
		return;
	}
	t = ffclock_time_from_bits(0);
	t.sec = (b.counter - a.counter) / hz;
	ns = t.sec * NSEC_PER_SEC + (unsigned __int128)((b.counter - a.counter) % hz) * NSEC_PER_SEC / hz;
	off = (ns - (b.raw_ns - a.raw_ns)) * NSEC_PER_SEC / (b.raw_ns - a.raw_ns);
	if (b.flags & FFCLOCK_SNAP_F_PAIRED) {
		/* two readings, between which the host may take the CPU away */
		if (llabs(off) > llabs(worst_paired_ppb))
			worst_paired_ppb = off;
	} else if (llabs(off) > llabs(worst_ppb)) {
		worst_ppb = off;
	}
}

static void bypass(const char *name)
{
	int err = write_text(FFC_SYSFS "counter/bypass", name);

	if (err)
		bail("bypass %s: %s", name, strerror(err));
	bypasses++;
}

/*
 * The scheduler's deadline servers keep their books on another clock than their
 * timers run on; with clocksources that do not agree on a busy host they WARN (seen
 * on 7.2: hrtimer_forward() from dl_task_timer()).
 */
static void deadline_servers(const char *runtime_ns)
{
	char command[160];

	snprintf(command, sizeof(command), "for f in /sys/kernel/debug/sched/*_server/cpu*/runtime; "
		 "do [ ! -e $f ] || echo %s > $f; done", runtime_ns);
	run(command);
}

static void stop_in_kernel(char *results, size_t size)
{
	if (write_text(CONSUMER "run", "stress stop") || !read_text(CONSUMER "run", results, size))
		bail("ffclock_consumer does not stop");
}

int main(int argc, char **argv)
{
	uint64_t wanted = argc > 1 ? strtod(argv[1], NULL) : 20000000;
	int seconds = argc > 2 ? atoi(argv[2]) : 20;
	uint64_t back_counter = 0, back_mono = 0, worst_counter = 0, worst_mono = 0;
	uint64_t reads[2][2] = { { 0 } };
	char cs_text[256], hw_text[256], kernel[4096] = "";
	char *cs[MAX_CS], *hw[MAX_CS], *save, *word;
	int nr_cs, nr_hw = 0, cpus = sysconf(_SC_NPROCESSORS_ONLN), i, j, k, rounds = 0;
	pthread_t updating;
	bool in_kernel;
	int64_t begin, said;

	plan(7);
	rng_seed();
	cs_set("tsc");
	ffc_load();
	deadline_servers("0");
	in_kernel = !run("modprobe ffclock_consumer 2>/dev/null");
	fd = ffc_open();
	page = ffc_map(fd);
	mono_fd = open(FFCLOCK_DEV_MONO, O_RDONLY | O_CLOEXEC);
	nr_cs = cs_available(cs_text, sizeof(cs_text), cs, MAX_CS);
	if (!read_text(FFC_SYSFS "counter/available", hw_text, sizeof(hw_text)))
		bail("no counters");
	for (word = strtok_r(hw_text, " ", &save); word && nr_hw < MAX_CS;
	     word = strtok_r(NULL, " ", &save))
		hw[nr_hw++] = word;

	if (in_kernel && write_text(CONSUMER "run", "stress start"))
		bail("ffclock_consumer does not start its readers");
	nr_readers = 2 * cpus < MAX_READERS ? 2 * cpus : MAX_READERS;
	for (i = 0; i < nr_readers; i++) {
		readers[i].cpu = i % cpus;
		pthread_create(&readers[i].thread, NULL, reader, &readers[i]);
	}
	pthread_create(&updating, NULL, updater, NULL);
	begin = said = now_ns(CLOCK_MONOTONIC_RAW);

	/* all ordered pairs, with and without bypass, at least once */
	do {
		for (i = 0; i < nr_cs; i++) {
			for (j = 0; j < nr_cs; j++) {
				if (i == j)
					continue;
				cs_set(cs[i]);
				dwell(20);
				cs_set(cs[j]);
				dwell(20);
				switches += 2;
			}
			for (k = 0; k < nr_hw; k++) {
				bypass(hw[k]);
				dwell(20);
				cs_set(cs[(i + 1) % nr_cs]);
				dwell(10);
				cs_set(cs[i]);
				switches += 2;
			}
			bypass("none");
		}
		rounds++;
		/* the kernel's readers have had their time: leave the rest to ours */
		if (in_kernel && !kernel[0] &&
		    now_ns(CLOCK_MONOTONIC_RAW) - begin >= seconds * NSEC_PER_SEC)
			stop_in_kernel(kernel, sizeof(kernel));
		if (now_ns(CLOCK_MONOTONIC_RAW) - said > 60 * NSEC_PER_SEC) {
			said = now_ns(CLOCK_MONOTONIC_RAW);
			diag("%llu readings", total);
		}
		/* where most readings are to be had: those of the page */
		cs_set("tsc");
		sleep_ms(2000);
	} while (total < wanted || now_ns(CLOCK_MONOTONIC_RAW) - begin < seconds * NSEC_PER_SEC);

	stop = true;
	pthread_join(updating, NULL);
	for (i = 0; i < nr_readers; i++) {
		struct reader *r = &readers[i];

		pthread_join(r->thread, NULL);
		for (j = 0; j < 4; j++)
			reads[j / 2][j % 2] += r->reads[j / 2][j % 2];
		back_counter += r->back_counter;
		back_mono += r->back_mono;
		if (r->worst_counter > worst_counter)
			worst_counter = r->worst_counter;
		if (r->worst_mono > worst_mono)
			worst_mono = r->worst_mono;
	}
	if (in_kernel) {
		if (!kernel[0])
			stop_in_kernel(kernel, sizeof(kernel));
		for (word = strtok_r(kernel, "\n", &save); word; word = strtok_r(NULL, "\n", &save))
			diag("in the kernel: %s", word);
	}
	diag("%d readers on %d CPUs for %.1f s: page %" PRIu64 " counter and %" PRIu64
	     " mono, system calls %" PRIu64 " and %" PRIu64, nr_readers, cpus,
	     (now_ns(CLOCK_MONOTONIC_RAW) - begin) / 1e9, reads[0][0], reads[0][1], reads[1][0],
	     reads[1][1]);
	diag("%d clocksource switches (%d sources, all ordered pairs %d times), %d bypasses, %"
	     PRIu64 " updates, %" PRIu64 " refused as another epoch's or for their rate", switches,
	     nr_cs, rounds, bypasses, updates, refused);

	ok(total >= wanted && cpus >= 2, "%llu readings on %d CPUs (wanted %" PRIu64 " on 2)",
	   total, cpus, wanted);
	ok(reads[0][0] > 1000 && reads[0][1] > 1000 && reads[1][0] > 1000 && reads[1][1] > 1000 &&
	   updates > 100, "every kind of reader and the updater have run");
	ok(!back_counter, "counter stepped back %" PRIu64 " times (worst %" PRIu64 " counts)",
	   back_counter, worst_counter);
	ok(!back_mono, "mono stepped back %" PRIu64 " times (worst %" PRIu64 " x 2^-34 s)",
	   back_mono, worst_mono);
	ok(llabs(worst_ppb) < 200000, "counter advanced at its nominal rate everywhere: worst %"
	   PRId64 " ppb from CLOCK_MONOTONIC_RAW over 10 ms or more", worst_ppb);
	diag("with bypass, where two readings are paired: worst %" PRId64 " ppb", worst_paired_ppb);
	ok(!late, "no epoch began by itself: %d", late);
	if (in_kernel)
		ok(!run("grep -q '^steps_back 0$' " CONSUMER "run"),
		   "readers in the kernel saw no step back");
	else
		skip("readers in the kernel", "no module ffclock_consumer");

	cs_set("tsc");
	munmap((void *)(uintptr_t)page, 4096);
	close(fd);
	close(mono_fd);
	deadline_servers("50000000");	/* as the kernel has it */
	if (in_kernel && run("rmmod ffclock_consumer"))
		diag("cannot unload ffclock_consumer");
	return finish();
}
