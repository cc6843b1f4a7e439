// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the Xen lab does with clocks, in dom0 and in its guests.
 *
 *	xenclk set OFFSET_NS BOUND_NS NEXT_S [COUNT INTERVAL_MS]
 *		a stand-in for ffclockd: sets the clock to CLOCK_REALTIME +
 *		OFFSET_NS, COUNT times, at the period it is first set with
 *	xenclk snap
 *		one line of every clock, and the estimate in force
 *	xenclk log FILE INTERVAL_US SECONDS
 *		reads every clock again and again, and writes a line when the epoch
 *		or the status changes, when anything went back, and every 50 ms
 *	xenclk arrivals COUNT
 *		waits for records to arrive and prints, for each, the counter value
 *		at which it was in use; ends after COUNT or 60 s
 *	xenclk records FILE
 *		appends every record of the kernel's, for ever
 *	xenclk offset
 *		what the kernel adds to the raw counter in the present epoch, and that
 *		epoch
 *	xenclk cost
 *		ns a read
 *	xenclk counters COUNT HPET PMPORT
 *		in dom0: reads Xen system time (ffclock's counter), the TSC, the HPET
 *		at physical address HPET and the PM timer at PMPORT (0: not there)
 *		COUNT times in a row, 20 ms apart; also ns a read of each
 *
 * The lines of counters, each of three counters between two reads of the TSC:
 *	pair TSC0 XEN TSC1 HPET TSC2 PM TSC3
 *
 * The lines of snap and log:
 *	clk COUNTER EPOCH STATUS UTC BOUND MONO DIFF REALTIME MONOTONIC RAW BOOTTIME
 * clocks in ns, status as struct ffclock_reading.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/ffclock_record.h>

#define NSEC		INT64_C(1000000000)
#define LINE_NS		(NSEC / 20)

static int dev;

static int64_t now(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "xenclk: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct ffclock_reading reading(enum ffclock_id clock)
{
	struct ffclock_reading r = { .clock = clock };

	if (ioctl(dev, FFCLOCK_IOC_READ, &r))
		fail("FFCLOCK_IOC_READ");
	return r;
}

/* Set ---------------------------------------------------------------------- */

static void set_once(int64_t offset, uint64_t bound, uint32_t next, uint64_t period,
		     uint32_t shift)
{
	struct ffclock_estimate e = { .status = FFCLOCK_STATUS_SYNCHRONIZED };
	struct ffclock_snapshot s;

	if (ioctl(dev, FFCLOCK_IOC_SNAPSHOT, &s))
		fail("FFCLOCK_IOC_SNAPSHOT");
	e.counter = s.counter;
	e.epoch = s.epoch;
	e.time = ffclock_ns_to_time(s.realtime_ns + offset);
	e.period = period;
	e.period_shift = (uint8_t)shift;
	/* 1 and 100 ppm */
	e.period_esterror = period / 1000000;
	e.period_maxerror = period / 10000;
	e.esterror_ns = bound / 2;
	e.maxerror_ns = bound;
	e.tai_offset_sec = 37;
	e.next_update_sec = next;
	if (ioctl(dev, FFCLOCK_IOC_SETEST, &e))
		fail("FFCLOCK_IOC_SETEST");
}

static int set(int argc, char **argv)
{
	struct ffclock_estimate e;
	long count, ms;

	if (argc != 3 && argc != 5)
		return 2;
	count = argc == 5 ? atol(argv[3]) : 1;
	ms = argc == 5 ? atol(argv[4]) : 0;
	if (ioctl(dev, FFCLOCK_IOC_GETEST, &e))
		fail("FFCLOCK_IOC_GETEST");
	while (count--) {
		set_once(atoll(argv[0]), strtoull(argv[1], NULL, 10), (uint32_t)atol(argv[2]),
			 e.period, e.period_shift);
		usleep((useconds_t)ms * 1000);
	}
	return 0;
}

/* Read --------------------------------------------------------------------- */

/**
 * struct row - every clock, in the order they were read
 * @utc: reading of FFCLOCK_UTC, whose counter the rest is stated at
 * @ns: mono, diff, REALTIME, MONOTONIC, RAW, BOOTTIME
 */
struct row {
	struct ffclock_reading	utc;
	int64_t			ns[6];
};

enum { MONO, DIFF, REALTIME, MONOTONIC, RAW, BOOTTIME };

static const char *const names[] = {
	"mono", "diff", "CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW",
	"CLOCK_BOOTTIME",
};

static void read_row(struct row *r)
{
	r->utc = reading(FFCLOCK_UTC);
	r->ns[MONO] = ffclock_time_to_ns(reading(FFCLOCK_MONO).time);
	r->ns[DIFF] = ffclock_time_to_ns(reading(FFCLOCK_DIFF).time);
	r->ns[REALTIME] = now(CLOCK_REALTIME);
	r->ns[MONOTONIC] = now(CLOCK_MONOTONIC);
	r->ns[RAW] = now(CLOCK_MONOTONIC_RAW);
	r->ns[BOOTTIME] = now(CLOCK_BOOTTIME);
}

static void print_row(FILE *f, const struct row *r)
{
	int i;

	fprintf(f, "clk %" PRIu64 " %u %u %" PRId64 " %" PRIu64, (uint64_t)r->utc.counter,
		r->utc.epoch, r->utc.status, (int64_t)ffclock_time_to_ns(r->utc.time),
		(uint64_t)r->utc.bound_ns);
	for (i = 0; i < 6; i++)
		fprintf(f, " %" PRId64, r->ns[i]);
	fprintf(f, "\n");
}

static int snap(void)
{
	struct ffclock_estimate e;
	struct row r;

	read_row(&r);
	print_row(stdout, &r);
	if (ioctl(dev, FFCLOCK_IOC_GETEST, &e))
		fail("FFCLOCK_IOC_GETEST");
	printf("est %" PRIu64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %u %u %" PRIu64 " %u %d\n",
	       (uint64_t)e.counter, (int64_t)e.time.sec, (uint64_t)e.time.frac,
	       (uint64_t)e.period, e.period_shift, e.status, (uint64_t)e.maxerror_ns, e.epoch,
	       e.tai_offset_sec);
	return 0;
}

static int offset(void)
{
	struct ffclock_page page;

	if (pread(dev, &page, sizeof(page), 0) != (ssize_t)sizeof(page))
		fail("page");
	printf("offset %" PRId64 " %u\n", (int64_t)page.ext.counter_offset, page.ext.epoch);
	return 0;
}

static int follow(int argc, char **argv)
{
	struct row was = { 0 }, r;
	uint64_t rows = 0, back = 0;
	int64_t end, written = 0;
	bool say;
	FILE *f;
	int i;

	if (argc != 3)
		return 2;
	f = fopen(argv[0], "w");
	if (!f)
		fail(argv[0]);
	setvbuf(f, NULL, _IOLBF, 0);
	end = now(CLOCK_BOOTTIME) + atol(argv[2]) * NSEC;
	do {
		read_row(&r);
		say = !rows || r.utc.epoch != was.utc.epoch || r.utc.status != was.utc.status ||
		      r.ns[RAW] - written >= LINE_NS;
		for (i = 0; rows && i < 6; i++) {
			/* REALTIME may be set; the others have no excuse */
			if (i == REALTIME || r.ns[i] >= was.ns[i])
				continue;
			fprintf(f, "back %s by %" PRId64 "\n", names[i], was.ns[i] - r.ns[i]);
			back++;
			say = true;
		}
		if (rows && r.utc.counter < was.utc.counter) {
			fprintf(f, "back counter by %" PRIu64 "\n",
				(uint64_t)(was.utc.counter - r.utc.counter));
			back++;
			say = true;
		}
		if (say) {
			/* the last one before the change, too */
			if (rows && r.utc.epoch != was.utc.epoch)
				print_row(f, &was);
			print_row(f, &r);
			written = r.ns[RAW];
		}
		was = r;
		rows++;
		if (atol(argv[1]))
			usleep((useconds_t)atol(argv[1]));
	} while (r.ns[BOOTTIME] < end);
	fprintf(f, "end %" PRIu64 " rows %" PRIu64 " back\n", rows, back);
	fclose(f);
	return back ? 1 : 0;
}

/* Arrivals ------------------------------------------------------------------ */

#define RECORD		"/sys/devices/platform/ffclock_xen/record"
#define PATIENCE_MS	60000

static int arrivals(long count)
{
	char text[FFCLOCK_RECORD_MAX];
	struct pollfd p = { .events = POLLPRI };
	struct ffclock_counter c;
	struct ffclock_record r;
	__u64 last = 0;
	ssize_t len;

	p.fd = open(RECORD, O_RDONLY | O_CLOEXEC);
	if (p.fd < 0)
		fail(RECORD);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (count) {
		len = pread(p.fd, text, sizeof(text), 0);
		/* after it: before, it would be another time than that of this record */
		if (ioctl(dev, FFCLOCK_IOC_COUNTER, &c))
			fail("FFCLOCK_IOC_COUNTER");
		if (len > 0 && !ffclock_record_parse(text, (size_t)len, &r) && r.seq != last) {
			/* the first was there already */
			if (last) {
				printf("arrived %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
				       (uint64_t)r.seq, (uint64_t)r.xen.counter,
				       (uint64_t)c.value);
				count--;
			}
			last = r.seq;
		}
		if (count && poll(&p, 1, PATIENCE_MS) <= 0)
			return 1;
	}
	return 0;
}

static __attribute__((noreturn)) void keep_records(const char *file)
{
	char text[FFCLOCK_RECORD_MAX];
	struct pollfd p = { .events = POLLPRI };
	FILE *f = fopen(file, "a");
	ssize_t len;

	p.fd = open(RECORD, O_RDONLY | O_CLOEXEC);
	if (p.fd < 0 || !f)
		fail(file);
	for (;;) {
		len = pread(p.fd, text, sizeof(text), 0);
		if (len > 0) {
			fwrite(text, 1, (size_t)len, f);
			fflush(f);
		}
		poll(&p, 1, -1);
	}
}

/* Cost --------------------------------------------------------------------- */

#define BATCHES	100	/* the best one has not been interrupted */
#define READS	20	/* in each */

/* A statement's ns, the best batch's mean: what others do on this machine is left out */
#define COST(what, statement) do {							\
	double best_ = 1e18;								\
	for (int b_ = 0; b_ < BATCHES; b_++) {						\
		int64_t begin_ = now(CLOCK_MONOTONIC_RAW);				\
		double ns_;								\
											\
		for (int i_ = 0; i_ < READS; i_++)					\
			statement;							\
		ns_ = (double)(now(CLOCK_MONOTONIC_RAW) - begin_) / READS;		\
		best_ = ns_ < best_ ? ns_ : best_;					\
	}										\
	printf("cost %s %.1f\n", what, best_);						\
} while (0)

static int cost(void)
{
	struct ffclock_counter c;
	struct timespec ts;

	COST("tsc", __rdtsc());
	COST("counter-ioctl", ioctl(dev, FFCLOCK_IOC_COUNTER, &c));
	COST("empty-ioctl", ioctl(dev, 0xffffffff, &c));
	COST("utc-ioctl", reading(FFCLOCK_UTC));
	COST("clock_gettime", clock_gettime(CLOCK_REALTIME, &ts));
	return 0;
}

/* Counters ------------------------------------------------------------------ */

#define HPET_MAIN	0xf0	/* main counter's register */
#define HPET_SIZE	0x400
#define PAUSE_US	20000

static uint64_t xen_now(void)
{
	struct ffclock_counter c;

	if (ioctl(dev, FFCLOCK_IOC_COUNTER, &c))
		fail("FFCLOCK_IOC_COUNTER");
	return c.value;
}

static int counters(int argc, char **argv)
{
	volatile uint32_t *hpet = NULL;
	unsigned long address;
	unsigned short port;
	long count;
	int mem, i;

	if (argc != 3)
		return 2;
	count = atol(argv[0]);
	address = strtoul(argv[1], NULL, 0);
	port = (unsigned short)strtoul(argv[2], NULL, 0);
	if (address) {
		mem = open("/dev/mem", O_RDONLY | O_SYNC | O_CLOEXEC);
		if (mem < 0)
			fail("/dev/mem");
		hpet = mmap(NULL, HPET_SIZE, PROT_READ, MAP_SHARED, mem, (off_t)address);
		if (hpet == MAP_FAILED)
			fail("HPET");
		hpet += HPET_MAIN / 4;
	}
	if (port && iopl(3))
		fail("iopl");

	for (i = 0; i < count; i++) {
		uint64_t t0, x, t1, h, t2, p, t3;

		t0 = __rdtsc();
		x = xen_now();
		t1 = __rdtsc();
		h = hpet ? *hpet : 0;
		t2 = __rdtsc();
		p = port ? inl(port) & 0xffffff : 0;
		t3 = __rdtsc();
		printf("pair %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		       " %" PRIu64 " %" PRIu64 "\n", t0, x, t1, h, t2, p, t3);
		usleep(PAUSE_US);
	}

	if (hpet)
		COST("hpet", (void)*hpet);
	if (port)
		COST("acpi_pm", inl(port));
	return cost();
}

int main(int argc, char **argv)
{
	int ret = 2;

	dev = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC);
	if (dev < 0)
		fail(FFCLOCK_DEV);
	if (argc >= 2 && !strcmp(argv[1], "set"))
		ret = set(argc - 2, argv + 2);
	else if (argc == 2 && !strcmp(argv[1], "snap"))
		ret = snap();
	else if (argc == 2 && !strcmp(argv[1], "offset"))
		ret = offset();
	else if (argc >= 2 && !strcmp(argv[1], "log"))
		ret = follow(argc - 2, argv + 2);
	else if (argc == 3 && !strcmp(argv[1], "records"))
		keep_records(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "arrivals"))
		ret = arrivals(atol(argv[2]));
	else if (argc == 2 && !strcmp(argv[1], "cost"))
		ret = cost();
	else if (argc >= 2 && !strcmp(argv[1], "counters"))
		ret = counters(argc - 2, argv + 2);
	if (ret == 2)
		fprintf(stderr, "usage: xenclk set|snap|offset|log|arrivals|records|cost|counters "
			"...: see xenclk.c\n");
	return ret;
}
