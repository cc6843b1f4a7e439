// SPDX-License-Identifier: GPL-2.0-only
/*
 * Do two guests of a host have the same time?
 *
 *	one:	agree answer [DEVICE]
 *	other:	agree ask [DEVICE [BATCHES]]
 *
 * DEVICE is the number of the ivshmem device whose memory both share (0).  Who asks
 * reads its TSC (t0), posts a number, waits for it to come back and reads again (t1);
 * who answers reads its own (g) in between.  Each turns its own stamps into UTC by its
 * own feed-forward clock, so
 *
 *	utc(g) - utc(t1) <= answerer's clock - asker's clock <= utc(g) - utc(t0)
 *
 * and the intersection over a batch of rounds is narrower than any round.  A batch is
 * over before the host's line changes much, and while it changes the two guests take
 * the new one a tick apart: so each batch is stated by itself.  Prints one line of JSON
 * a batch, and "done".
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/ffclock.h>
#include <linux/ffclock_math.h>

#include "../../../lib/ffclock.h"
#include "ivshmem.h"
#include "tsc.h"

#define PAGE_SIZE	4096
#define BATCHES		100
#define ROUNDS		300
#define PAUSE_NS	50000000L

/* What a spinning reader waits for the other: it may have to wait for a processor */
#define PATIENCE_NS	(30 * 1000000000LL)

/**
 * struct shared - what both guests see; each line has one writer
 * @request: asker: a number, one more each round; 0: it ends
 * @reply: answerer: the request it has seen
 * @tsc: answerer: its TSC then; published by @reply
 * @sec: answerer: utc of that; published by @converted
 * @frac: likewise, 2^-64 s
 * @epoch: and the counter's epoch
 * @converted: answerer: the request that utc is for; with the top bit: no time
 * @ready: answerer runs: a number that is not in the memory from an earlier run
 */
struct shared {
	uint64_t	request;
	uint64_t	pad0[15];
	uint64_t	reply;
	uint64_t	tsc;
	uint64_t	pad1[14];
	int64_t		sec;
	uint64_t	frac;
	uint64_t	converted;
	uint64_t	pad2[13];
	uint64_t	ready;
};

#define NO_TIME		(1ULL << 63)

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static int64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* The other's word, once it is as wanted; false: nobody is there any more */
static bool wait_for(const uint64_t *word, uint64_t value, uint64_t mask)
{
	int64_t until = 0;

	for (unsigned int spins = 1; (load(word) & mask) != value; spins++) {
		if (spins % 65536)
			continue;
		if (!until)
			until = mono_ns() + PATIENCE_NS;
		if (mono_ns() > until)
			return false;
	}
	return true;
}

/* This guest's feed-forward clock, by its page alone */
struct clock {
	struct ffclock			*h;
	const struct ffclock_page	*page;
};

static int clock_open(struct clock *c)
{
	int fd = open("/dev/ffclock", O_RDONLY | O_CLOEXEC);

	c->page = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (c->page == MAP_FAILED || ffclock_open(&c->h)) {
		fprintf(stderr, "agree: /dev/ffclock cannot be used: is ffclock loaded?\n");
		return -1;
	}
	close(fd);
	return 0;
}

/* UTC when the TSC was that.  false: the clock is not synchronised */
static bool utc(const struct clock *c, uint64_t tsc, struct ffclock_time *t)
{
	struct ffclock_reading r;
	uint64_t offset = __atomic_load_n(&c->page->ext.counter_offset, __ATOMIC_RELAXED);

	if (ffclock_read_at(c->h, FFCLOCK_UTC, tsc + offset, &r) ||
	    r.status != FFCLOCK_STATUS_SYNCHRONIZED)
		return false;
	*t = r.time;
	return true;
}

static double ns_between(struct ffclock_time a, struct ffclock_time b)
{
	struct ffclock_time d = ffclock_time_sub(a, b);

	return (double)d.sec * 1e9 + (double)d.frac / 18446744073.709551616;
}

static int answer(struct shared *s, const struct clock *c)
{
	struct ffclock_time t;
	uint64_t last, request;

	last = load(&s->request);
	store(&s->ready, last + 1);
	printf("agree: answering\n");
	fflush(stdout);
	for (;;) {
		uint64_t tsc;

		do {
			request = load(&s->request);
		} while (request == last);
		if (!request)
			break;
		tsc = tsc_ordered();
		s->tsc = tsc;
		store(&s->reply, request);
		last = request;
		if (utc(c, tsc, &t)) {
			s->sec = t.sec;
			s->frac = t.frac;
			store(&s->converted, request);
		} else {
			store(&s->converted, request | NO_TIME);
		}
	}
	return 0;
}

struct batch {
	double		low;
	double		high;
	double		shortest;
	unsigned int	rounds;
};

static int round_trip(struct shared *s, const struct clock *c, uint64_t request, struct batch *b)
{
	struct ffclock_time theirs, before, after;
	uint64_t t0, t1;

	t0 = tsc_ordered();
	store(&s->request, request);
	if (!wait_for(&s->reply, request, ~0ULL))
		return -1;
	t1 = tsc_ordered();
	if (!wait_for(&s->converted, request, ~NO_TIME))
		return -1;
	if (load(&s->converted) & NO_TIME || !utc(c, t0, &before) || !utc(c, t1, &after))
		return 0;
	theirs = (struct ffclock_time){ s->sec, s->frac };
	if (!b->rounds || ns_between(theirs, after) > b->low)
		b->low = ns_between(theirs, after);
	if (!b->rounds || ns_between(theirs, before) < b->high)
		b->high = ns_between(theirs, before);
	if (!b->rounds || ns_between(after, before) < b->shortest)
		b->shortest = ns_between(after, before);
	b->rounds++;
	return 0;
}

static int ask(struct shared *s, const struct clock *c, unsigned int batches)
{
	uint64_t request = load(&s->request);
	int ret = 0;

	if (!wait_for(&s->ready, request + 1, ~0ULL)) {
		fprintf(stderr, "agree: nobody answers\n");
		return 1;
	}
	while (batches-- && !ret) {
		struct batch b = { .rounds = 0 };

		for (unsigned int i = 0; i < ROUNDS && !ret; i++)
			ret = round_trip(s, c, ++request, &b);
		if (b.rounds)
			printf("{\"low_ns\": %.1f, \"high_ns\": %.1f, \"shortest_ns\": %.1f, "
			       "\"rounds\": %u}\n", b.low, b.high, b.shortest, b.rounds);
		else
			printf("{\"rounds\": 0}\n");
		fflush(stdout);
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
	}
	store(&s->request, 0);
	printf("done\n");
	return ret ? 1 : 0;
}

int main(int argc, char **argv)
{
	unsigned int device = argc > 2 ? (unsigned int)atoi(argv[2]) : 0;
	unsigned int batches = argc > 3 ? (unsigned int)atoi(argv[3]) : BATCHES;
	struct shared *s;
	struct clock c;

	if (argc < 2 || (argv[1][0] != 'a')) {
		fprintf(stderr, "usage: agree answer [DEVICE] | agree ask [DEVICE [BATCHES]]\n");
		return 2;
	}
	s = ivshmem_map(device, PAGE_SIZE);
	if (!s) {
		fprintf(stderr, "agree: no ivshmem device number %u\n", device);
		return 1;
	}
	if (clock_open(&c))
		return 1;
	return argv[1][1] == 'n' ? answer(s, &c) : ask(s, &c, batches);
}
