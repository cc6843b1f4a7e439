// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's clocks against its host's, to a fraction of a microsecond.
 *
 * Under QEMU a guest's TSC is the host's TSC plus a constant (TCG always; KVM
 * unless it scales).  The constant changes only when the machine is stopped or
 * migrated.  A handshake over a shared page finds it: the host reads its TSC
 * (t0), posts a number, waits for it to come back together with the guest's
 * TSC (g), and reads its own again (t1).  g was read between t0 and t1, so
 *
 *	g - t1 <= constant <= g - t0
 *
 * and the intersection over many rounds is far narrower than a round trip.
 * "Constant" needs a grain of salt under TCG: QEMU never lets the guest's TSC go
 * back, so when two processors read it at once and their reads of the host's
 * TSC pass each other, the constant grows by the nanoseconds between (seen: 40
 * ns in 10 s).  Hence every sample comes with a relation of its own, and rounds
 * that contradict each other by less than a round trip widen the bound.
 * With it, a guest clock read between two reads of the guest's TSC has a place
 * on the host's TSC, and from there on the host's CLOCK_REALTIME.
 *
 * The same program is both ends:
 *
 *	guest:	hosttime serve CLOCK...
 *	host:	hosttime relation PAGE		the constant and its bound
 *		hosttime sample PAGE		guest clocks minus host REALTIME
 *		hosttime stop PAGE		end the guest's end
 *
 * PAGE is the file behind QEMU's ivshmem-plain device; the guest finds the
 * device on its PCI bus.  A CLOCK is realtime, monotonic, monotonic_raw,
 * boottime, tai, or a device that is a dynamic POSIX clock (/dev/ptp0).
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ivshmem.h"
#include "tsc.h"

#define HT_MAGIC	0x656d697474736f68ULL	/* "hosttime" */
#define HT_VERSION	1
#define HT_PAGE_SIZE	4096
#define HT_CLOCKS	8
#define HT_NAME		32

#define NSEC_PER_SEC	1000000000LL

/* Reads of one clock per sample; the one nearest in time to its TSCs counts. */
#define HT_TRIES	5

/*
 * How long the guest's end spins after a request before it naps, in ns.  A nap
 * of 0.2 ms cost a TCG guest a third of a processor; the first round of a
 * handshake waits for the nap's end and does not count.
 */
#define HT_SPIN_NS	(20 * 1000000LL)
#define HT_NAP_NS	5000000

/* How long the host's end waits for an answer, in ns. */
#define HT_PATIENCE_NS	(5 * NSEC_PER_SEC)

enum ht_command {
	HT_PING		= 1,
	HT_SAMPLE	= 2,
	HT_STOP		= 3,
};

/**
 * struct ht_sample - one clock, read between two reads of the guest's TSC
 * @before: guest TSC
 * @after: guest TSC
 * @time: the clock, in ns
 * @error: errno of a failed read, else 0
 */
struct ht_sample {
	uint64_t before;
	uint64_t after;
	int64_t time;
	int64_t error;
};

/**
 * struct ht_page - what both ends share
 *
 * Each side writes to cache lines of its own.  @request is published after
 * @command, @reply after @tsc, @sampled after @samples; each is a release that
 * the other side's acquire load of the same word pairs with.
 */
struct ht_page {
	/* host writes */
	uint64_t request;	/* a number never used before */
	uint64_t command;
	uint64_t pad0[14];

	/* guest writes */
	uint64_t reply;		/* the request it is an answer to */
	uint64_t tsc;		/* guest TSC when the request was seen */
	uint64_t sampled;	/* the request that samples belong to */
	uint64_t pad1[13];

	uint64_t magic;		/* set once the guest's end runs */
	uint64_t version;
	uint64_t clocks;
	uint64_t pad2[13];
	char names[HT_CLOCKS][HT_NAME];
	struct ht_sample samples[HT_CLOCKS];
};

_Static_assert(sizeof(struct ht_page) <= HT_PAGE_SIZE, "the page must hold it");

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* ---- guest's end --------------------------------------------------------- */

static const struct {
	const char *name;
	clockid_t id;
} ht_known[] = {
	{ "realtime",		CLOCK_REALTIME },
	{ "monotonic",		CLOCK_MONOTONIC },
	{ "monotonic_raw",	CLOCK_MONOTONIC_RAW },
	{ "boottime",		CLOCK_BOOTTIME },
	{ "tai",		CLOCK_TAI },
};

/* clock id of an open dynamic POSIX clock: include/linux/posix-timers.h */
static clockid_t fd_to_clockid(int fd)
{
	return (~(unsigned int)fd << 3) | 3;
}

static int clock_by_name(const char *name, clockid_t *id)
{
	int fd;

	for (size_t i = 0; i < sizeof(ht_known) / sizeof(ht_known[0]); i++) {
		if (!strcmp(name, ht_known[i].name)) {
			*id = ht_known[i].id;
			return 0;
		}
	}
	if (name[0] != '/') {
		fprintf(stderr, "hosttime: unknown clock '%s' (see --help)\n", name);
		return -1;
	}
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "hosttime: %s: %s\n", name, strerror(errno));
		return -1;
	}
	*id = fd_to_clockid(fd);
	return 0;
}

static void take_sample(struct ht_sample *out, clockid_t id)
{
	struct ht_sample best = { .after = UINT64_MAX };
	struct timespec ts;

	for (int i = 0; i < HT_TRIES; i++) {
		struct ht_sample s = { 0 };

		s.before = tsc_ordered();
		if (clock_gettime(id, &ts))
			s.error = errno;
		s.after = tsc_ordered();
		s.time = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
		if (s.after - s.before < best.after - best.before)
			best = s;
	}
	*out = best;
}

static int serve(int count, char **names)
{
	clockid_t ids[HT_CLOCKS];
	struct ht_page *page;
	uint64_t request;
	uint64_t last;
	int64_t busy;

	if (count > HT_CLOCKS) {
		fprintf(stderr, "hosttime: at most %d clocks\n", HT_CLOCKS);
		return 1;
	}
	for (int i = 0; i < count; i++)
		if (clock_by_name(names[i], &ids[i]))
			return 1;
	page = ivshmem_map(0, HT_PAGE_SIZE);
	if (!page) {
		fprintf(stderr, "hosttime: no ivshmem device: start the guest with hosttime=1\n");
		return 1;
	}
	for (int i = 0; i < count; i++)
		snprintf(page->names[i], HT_NAME, "%s", names[i]);
	page->clocks = count;
	page->version = HT_VERSION;
	last = load(&page->request);
	store(&page->magic, HT_MAGIC);
	printf("hosttime: serving\n");
	fflush(stdout);

	busy = clock_ns(CLOCK_MONOTONIC);
	for (unsigned int spins = 0;; spins++) {
		request = load(&page->request);
		if (request == last) {
			/* Looking at the clock each time would slow the answer. */
			if (spins % 1024 == 0 && clock_ns(CLOCK_MONOTONIC) - busy > HT_SPIN_NS)
				nanosleep(&(struct timespec){ .tv_nsec = HT_NAP_NS }, NULL);
			continue;
		}
		page->tsc = tsc_ordered();
		store(&page->reply, request);
		last = request;
		if (page->command == HT_STOP)
			break;
		if (page->command == HT_SAMPLE) {
			for (int i = 0; i < count; i++)
				take_sample(&page->samples[i], ids[i]);
			store(&page->sampled, request);
		}
		busy = clock_ns(CLOCK_MONOTONIC);
		spins = 0;
	}
	store(&page->magic, 0);
	printf("hosttime: stopped\n");
	return 0;
}

/* ---- host's end ---------------------------------------------------------- */

/**
 * struct ht_relation - guest TSC = host TSC + constant
 * @low: least possible constant
 * @high: greatest possible constant
 * @rounds: handshakes that this is the intersection of
 * @shortest: host TSC ticks of the shortest of them
 */
struct ht_relation {
	int64_t low;
	int64_t high;
	unsigned int rounds;
	uint64_t shortest;
};

/**
 * struct ht_instant - the host's TSC and CLOCK_REALTIME, read together
 * @tsc: host TSC in the middle of the read
 * @time: CLOCK_REALTIME, ns
 * @width: host TSC ticks between the reads around it
 */
struct ht_instant {
	uint64_t tsc;
	int64_t time;
	uint64_t width;
};

static struct ht_page *map_file(const char *path)
{
	struct stat st;
	void *page;
	int fd;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "hosttime: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) || st.st_size < HT_PAGE_SIZE) {
		fprintf(stderr, "hosttime: %s: not the page of a guest (too small)\n", path);
		close(fd);
		return NULL;
	}
	page = mmap(NULL, HT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (page == MAP_FAILED) {
		fprintf(stderr, "hosttime: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	return page;
}

static int wait_for(const uint64_t *word, uint64_t value)
{
	int64_t give_up = 0;

	for (unsigned int spins = 1; load(word) != value; spins++) {
		if (spins % 4096)
			continue;
		if (!give_up)
			give_up = clock_ns(CLOCK_MONOTONIC) + HT_PATIENCE_NS;
		if (clock_ns(CLOCK_MONOTONIC) < give_up)
			continue;
		fprintf(stderr, "hosttime: the guest does not answer: is 'hosttime serve' "
			"running there, and is this the page of its present QEMU?\n");
		return -1;
	}
	return 0;
}

/* A number that no earlier host's end can have used on this page. */
static uint64_t fresh_request(void)
{
	static uint64_t last;
	uint64_t now = clock_ns(CLOCK_REALTIME);

	last = now > last ? now : last + 1;
	return last;
}

/* One handshake: narrow @rel by it, and leave its number in @request. */
static int handshake(struct ht_page *page, enum ht_command command,
		     struct ht_relation *rel, uint64_t *request)
{
	uint64_t t0;
	uint64_t t1;
	uint64_t g;

	*request = fresh_request();
	page->command = command;
	t0 = tsc_ordered();
	store(&page->request, *request);
	if (wait_for(&page->reply, *request))
		return -1;
	t1 = tsc_ordered();
	g = page->tsc;

	if (!rel->rounds || (int64_t)(g - t1) > rel->low)
		rel->low = g - t1;
	if (!rel->rounds || (int64_t)(g - t0) < rel->high)
		rel->high = g - t0;
	if (!rel->rounds || t1 - t0 < rel->shortest)
		rel->shortest = t1 - t0;
	rel->rounds++;
	return 0;
}

/* Rounds that exclude each other: a constant that moved while it was measured. */
static int settle(struct ht_relation *rel)
{
	int64_t low = rel->low;

	if (rel->low <= rel->high)
		return 0;
	if (rel->low - rel->high > (int64_t)rel->shortest) {
		fprintf(stderr, "hosttime: the relation changed while it was measured "
			"(stopped, migrated, or a scaled TSC)\n");
		return -1;
	}
	rel->low = rel->high;
	rel->high = low;
	return 0;
}

static int relate(struct ht_page *page, unsigned int rounds, struct ht_relation *rel)
{
	uint64_t request;

	if (wait_for(&page->magic, HT_MAGIC))
		return -1;
	if (page->version != HT_VERSION || page->clocks > HT_CLOCKS) {
		fprintf(stderr, "hosttime: the guest's end speaks another version\n");
		return -1;
	}
	/* The guest's end may be napping: the first round only wakes it. */
	*rel = (struct ht_relation){ 0 };
	if (handshake(page, HT_PING, rel, &request))
		return -1;
	*rel = (struct ht_relation){ 0 };
	while (rel->rounds < rounds)
		if (handshake(page, HT_PING, rel, &request))
			return -1;
	return settle(rel);
}

static struct ht_instant host_instant(void)
{
	struct ht_instant best = { .width = UINT64_MAX };

	for (int i = 0; i < 2 * HT_TRIES; i++) {
		uint64_t before = tsc_ordered();
		int64_t now = clock_ns(CLOCK_REALTIME);
		uint64_t after = tsc_ordered();

		if (after - before >= best.width)
			continue;
		best.tsc = before + (after - before) / 2;
		best.time = now;
		best.width = after - before;
	}
	return best;
}

struct ht_options {
	unsigned int rounds;
	unsigned int count;
	double interval;	/* s */
	bool json;
	const char *command;
	char **args;
	int nargs;
};

/* ns of one host TSC tick, over the life of the caller's @from. */
static double tick_ns(struct ht_instant from, struct ht_instant to)
{
	return (double)(to.time - from.time) / (double)(to.tsc - from.tsc);
}

static void print_sample(const struct ht_page *page, unsigned int i, struct ht_relation rel,
			 struct ht_instant a, struct ht_instant b, bool json)
{
	const struct ht_sample *s = &page->samples[i];
	double tick = tick_ns(a, b);
	double bound;
	int64_t host;
	uint64_t tsc;

	if (s->error) {
		printf(json ? "{\"clock\": \"%.*s\", \"errno\": %d}\n" : "%.*s errno %d\n",
		       HT_NAME, page->names[i], (int)s->error);
		return;
	}
	/* The middle of the guest's read, on the host's TSC, then as time. */
	tsc = s->before + (s->after - s->before) / 2 -
	      (uint64_t)(rel.low + (rel.high - rel.low) / 2);
	host = a.time + (int64_t)((double)(int64_t)(tsc - a.tsc) * tick);
	/* Every width counts by its half; interpolation between a and b adds theirs. */
	bound = tick / 2 * ((double)(s->after - s->before) + (double)(rel.high - rel.low) +
			    (double)(a.width > b.width ? a.width : b.width)) + 1;
	if (json)
		printf("{\"clock\": \"%.*s\", \"host_ns\": %" PRId64 ", \"guest_ns\": %" PRId64
		       ", \"difference_ns\": %" PRId64 ", \"bound_ns\": %.0f"
		       ", \"guest_tsc\": %" PRIu64 "}\n",
		       HT_NAME, page->names[i], host, s->time, s->time - host, bound,
		       s->before + (s->after - s->before) / 2);
	else
		printf("%-24.*s %20" PRId64 " ns  +- %.0f ns\n", HT_NAME, page->names[i],
		       s->time - host, bound);
}

static int sample(struct ht_page *page, const struct ht_options *opt)
{
	struct ht_relation rel;
	struct ht_instant a;
	struct ht_instant b;
	uint64_t request;

	for (unsigned int n = 0; n < opt->count; n++) {
		if (n) {
			struct timespec ts = {
				.tv_sec = (time_t)opt->interval,
				.tv_nsec = (long)((opt->interval - (double)(time_t)opt->interval) *
						  NSEC_PER_SEC),
			};

			nanosleep(&ts, NULL);
		}
		if (relate(page, opt->rounds, &rel))
			return 1;
		a = host_instant();
		if (handshake(page, HT_SAMPLE, &rel, &request) ||
		    wait_for(&page->sampled, request) || settle(&rel))
			return 1;
		/*
		 * The rate between a and b is off by their widths (some 20 ns)
		 * over their distance: keep that far apart from 1 % of a tick.
		 */
		do {
			b = host_instant();
		} while (b.time - a.time < 100000);
		for (unsigned int i = 0; i < page->clocks; i++)
			print_sample(page, i, rel, a, b, opt->json);
		fflush(stdout);
	}
	return 0;
}

static int relation(struct ht_page *page, const struct ht_options *opt)
{
	struct ht_instant a = host_instant();
	struct ht_relation rel;
	double tick;

	if (relate(page, opt->rounds, &rel))
		return 1;
	tick = tick_ns(a, host_instant());
	if (opt->json)
		printf("{\"constant\": %" PRId64 ", \"bound_ticks\": %" PRId64
		       ", \"bound_ns\": %.1f, \"shortest_ns\": %.1f, \"rounds\": %u}\n",
		       rel.low + (rel.high - rel.low) / 2, (rel.high - rel.low + 1) / 2,
		       (double)(rel.high - rel.low) / 2 * tick, (double)rel.shortest * tick,
		       rel.rounds);
	else
		printf("guest TSC = host TSC + %" PRId64 " +- %" PRId64 " ticks (%.0f ns); "
		       "shortest of %u round trips %.0f ns\n",
		       rel.low + (rel.high - rel.low) / 2, (rel.high - rel.low + 1) / 2,
		       (double)(rel.high - rel.low) / 2 * tick, rel.rounds,
		       (double)rel.shortest * tick);
	return 0;
}

static int stop(struct ht_page *page)
{
	struct ht_relation rel = { 0 };
	uint64_t request;

	return handshake(page, HT_STOP, &rel, &request) ? 1 : 0;
}

/* ---- command line -------------------------------------------------------- */

static unsigned long number(const char *text, struct argp_state *state)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || value < 1 || value > 100000000)
		argp_error(state, "'%s' is not a number from 1 to 100000000", text);
	return value;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct ht_options *opt = state->input;
	char *end;

	switch (key) {
	case 'r':
		opt->rounds = (unsigned int)number(arg, state);
		return 0;
	case 'n':
		opt->count = (unsigned int)number(arg, state);
		return 0;
	case 'i':
		opt->interval = strtod(arg, &end);
		if (end == arg || *end || !(opt->interval >= 0 && opt->interval < 1e6))
			argp_error(state, "'%s' is not a number of seconds", arg);
		return 0;
	case 'j':
		opt->json = true;
		return 0;
	case ARGP_KEY_ARGS:
		opt->command = state->argv[state->next];
		opt->args = state->argv + state->next + 1;
		opt->nargs = state->argc - state->next - 1;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "rounds", 'r', "N", 0, "handshakes to find the relation by (2000)", 0 },
		{ "count", 'n', "N", 0, "samples to take (1)", 0 },
		{ "interval", 'i', "SECONDS", 0, "between samples (1)", 0 },
		{ "json", 'j', NULL, 0, "one JSON object a line", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "serve CLOCK...\nrelation PAGE\nsample PAGE\nstop PAGE",
		.doc = "A guest's clocks against its host's.\v"
		       "In the guest: serve.  On the host: the others, with the file behind "
		       "the guest's ivshmem device.  A CLOCK is realtime, monotonic, "
		       "monotonic_raw, boottime, tai, or a device such as /dev/ptp0.",
	};
	struct ht_options opt = { .rounds = 2000, .count = 1, .interval = 1.0 };
	struct ht_page *page;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opt))
		return 1;
	if (!strcmp(opt.command, "serve"))
		return serve(opt.nargs, opt.args);
	if (opt.nargs != 1) {
		fprintf(stderr, "hosttime: %s wants the page's file (see --help)\n", opt.command);
		return 1;
	}
	page = map_file(opt.args[0]);
	if (!page)
		return 1;
	if (!strcmp(opt.command, "relation"))
		return relation(page, &opt);
	if (!strcmp(opt.command, "sample"))
		return sample(page, &opt);
	if (!strcmp(opt.command, "stop"))
		return stop(page);
	fprintf(stderr, "hosttime: unknown command '%s' (see --help)\n", opt.command);
	return 1;
}
