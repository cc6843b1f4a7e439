// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's time on a guest's VMClock page, from outside of QEMU.
 *
 *	vmclockpage PAGE GUEST.shm [NS_PER_TICK]
 *
 * PAGE is the page of an unpatched QEMU: with -machine aux-ram-share=on a memfd
 * among /proc/PID/fd, or the file behind ivshmem-plain.  GUEST.shm is where
 * "hosttime serve" in the guest answers, for under TCG nothing but a handshake
 * tells which guest TSC belongs to which of the host's (KVM: debugfs).
 *
 * Commands on standard input, each answered by one JSON object:
 *
 *	tell [OFFSET_NS [MAXERROR_NS]]	the host's CLOCK_REALTIME + OFFSET_NS;
 *				waits for a guest that does not run yet
 *	moved [OFFSET_NS [MAXERROR_NS]]	the same with a new disruption marker in the same
 *				section, as a hypervisor does
 *	withdraw	a migration is about to come: time UNRELIABLE, SOON, IMMINENT
 *	format		make it a VMClock page that tells no time (ivshmem)
 *
 * tell is quick, since a guest goes without the time for as long as it takes: a
 * hundred handshakes and one section of the page, about a millisecond in all.
 */
#include <stddef.h>

#define main hosttime_main
int hosttime_main(int argc, char **argv);
#include "hosttime.c"
#undef main

#include <math.h>

#include <linux/ffclock.h>

#define TELL_ROUNDS	100	/* handshakes; some of them nobody interrupted */
#define TELL_TRIES	20	/* TCG's TSC creeps more when the machine is busy */
#define TELL_WAIT_NS	(60 * NSEC_PER_SEC)
#define TELL_REPOST_NS	1000000	/* an arriving guest's memory may overwrite a request */
#define TELL_LOOK_NS	20000

/*
 * Two instants this far apart, each within some 20 ns, tell the host's rate to
 * 0.02 ppm.  A process that takes over from another one is given the rate.
 */
#define RATE_SPAN_NS	(2 * NSEC_PER_SEC)
#define RATE_ERROR	1e-7

/* Rounding, and the creep of TCG's TSC between two tellings (hosttime.c) */
#define MARGIN_NS	100

#define FLAGS_OURS	(FFCLOCK_VF_TAI_OFFSET_VALID | FFCLOCK_VF_DISRUPTION_SOON | \
			 FFCLOCK_VF_DISRUPTION_IMMINENT | FFCLOCK_VF_PERIOD_ESTERROR_VALID | \
			 FFCLOCK_VF_PERIOD_MAXERROR_VALID | FFCLOCK_VF_TIME_ESTERROR_VALID | \
			 FFCLOCK_VF_TIME_MAXERROR_VALID)

static struct ffclock_vmclock *vmclock;
static struct ht_page *shm;
static struct ht_instant born;
static double rate;		/* ns per host TSC tick, 0: not known yet */

/* Begin a section: readers wait.  Whoever died in one before us is overtaken. */
static uint32_t section_begin(void)
{
	uint32_t seq = __atomic_load_n(&vmclock->seq_count, __ATOMIC_RELAXED) | 1;

	__atomic_store_n(&vmclock->seq_count, seq, __ATOMIC_RELAXED);
	/* pairs with the reader's barrier after its data: data after odd */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return seq;
}

static void section_end(uint32_t seq)
{
	/* pairs with the reader's barrier before its data: even after data */
	__atomic_store_n(&vmclock->seq_count, seq + 1, __ATOMIC_RELEASE);
}

static int64_t monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Until the guest answers: it may not run yet, nor its memory have arrived */
static int contact(void)
{
	int64_t give_up = monotonic_ns() + TELL_WAIT_NS;
	int64_t repost;
	uint64_t request;

	for (;;) {
		request = fresh_request();
		shm->command = HT_PING;
		store(&shm->request, request);
		repost = monotonic_ns() + TELL_REPOST_NS;
		do {
			if (load(&shm->reply) == request && load(&shm->magic) == HT_MAGIC)
				return 0;
			nanosleep(&(struct timespec){ .tv_nsec = TELL_LOOK_NS }, NULL);
		} while (monotonic_ns() < repost);
		if (monotonic_ns() > give_up)
			return -1;
	}
}

static void learn_rate(void)
{
	struct ht_instant now;

	if (rate > 0)
		return;
	do {
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		now = host_instant();
	} while (now.time - born.time < RATE_SPAN_NS);
	rate = tick_ns(born, now);
}

static int tell(int64_t offset, int64_t maxerror, uint64_t moved)
{
	struct ht_relation rel = { 0 };
	int64_t began = clock_ns(CLOCK_REALTIME), met, width, time;
	struct ht_instant now;
	uint64_t request, period;
	double period_sec;
	uint32_t seq;
	int shift;

	learn_rate();
	if (contact()) {
		printf("{\"error\": \"the guest does not answer\"}\n");
		return -1;
	}
	met = clock_ns(CLOCK_REALTIME);
	for (int tries = 0;; tries++) {
		rel = (struct ht_relation){ 0 };
		for (int i = 0; i < TELL_ROUNDS; i++) {
			if (handshake(shm, HT_PING, &rel, &request)) {
				printf("{\"error\": \"the guest stopped answering\"}\n");
				return -1;
			}
		}
		if (!settle(&rel))
			break;
		if (tries == TELL_TRIES) {
			printf("{\"error\": \"the guest's TSC does not hold still\"}\n");
			return -1;
		}
	}

	now = host_instant();
	/* 2^63 <= period < 2^64 */
	period_sec = rate * 1e-9;
	shift = (int)floor(-log2(period_sec));
	period = (uint64_t)ldexp(period_sec, 64 + shift);
	width = (int64_t)(((double)(rel.high - rel.low) + (double)now.width) / 2 * rate) + 1;
	if (maxerror < 0)
		maxerror = width + MARGIN_NS;
	time = now.time + offset;

	seq = section_begin();
	vmclock->disruption_marker += moved;
	vmclock->counter_id = FFCLOCK_COUNTER_X86_TSC;
	vmclock->time_type = FFCLOCK_VMCLOCK_TIME_UTC;
	vmclock->clock_status = FFCLOCK_STATUS_SYNCHRONIZED;
	vmclock->leap_indicator = FFCLOCK_LEAP_NONE;
	vmclock->counter_period_shift = (uint8_t)shift;
	vmclock->counter_value = now.tsc + (uint64_t)(rel.low + (rel.high - rel.low) / 2);
	vmclock->counter_period_frac_sec = period;
	vmclock->counter_period_maxerror_rate_frac_sec = (uint64_t)((double)period * RATE_ERROR);
	vmclock->time_sec = (uint64_t)(time / NSEC_PER_SEC);
	/* 2^64 / 10^9 = 18446744073 + 0.709551616 */
	vmclock->time_frac_sec = (uint64_t)(((unsigned __int128)(time % NSEC_PER_SEC) << 64) /
					    NSEC_PER_SEC);
	vmclock->time_maxerror_nanosec = (uint64_t)maxerror;
	vmclock->flags = (vmclock->flags & ~FLAGS_OURS) | FFCLOCK_VF_PERIOD_MAXERROR_VALID |
			 FFCLOCK_VF_TIME_MAXERROR_VALID;
	section_end(seq);

	printf("{\"counter\": %" PRIu64 ", \"time_ns\": %" PRId64 ", \"rate\": %.15f"
	       ", \"maxerror_ns\": %" PRId64 ", \"width_ns\": %" PRId64 ", \"began_ns\": %" PRId64
	       ", \"met_ns\": %" PRId64 ", \"written_ns\": %" PRId64 ", \"marker\": %" PRIu64
	       ", \"constant\": %" PRId64 ", \"host_tsc\": %" PRIu64 ", \"host_ns\": %" PRId64 "}\n",
	       (uint64_t)vmclock->counter_value, time, rate, maxerror, width, began, met,
	       clock_ns(CLOCK_REALTIME), (uint64_t)vmclock->disruption_marker,
	       rel.low + (rel.high - rel.low) / 2, now.tsc, now.time);
	return 0;
}

static void withdraw(void)
{
	uint32_t seq = section_begin();

	vmclock->clock_status = FFCLOCK_STATUS_UNRELIABLE;
	vmclock->flags = (vmclock->flags & ~FLAGS_OURS) | FFCLOCK_VF_DISRUPTION_SOON |
			 FFCLOCK_VF_DISRUPTION_IMMINENT;
	section_end(seq);
	printf("{\"written_ns\": %" PRId64 "}\n", clock_ns(CLOCK_REALTIME));
}

static void format(void)
{
	memset(vmclock, 0, sizeof(*vmclock));
	vmclock->size = 4096;
	vmclock->version = FFCLOCK_VMCLOCK_VERSION;
	vmclock->counter_id = FFCLOCK_COUNTER_INVALID;
	vmclock->disruption_marker = 1;
	__atomic_store_n(&vmclock->magic, FFCLOCK_VMCLOCK_MAGIC, __ATOMIC_RELEASE);
	printf("{\"written_ns\": %" PRId64 "}\n", clock_ns(CLOCK_REALTIME));
}

int main(int argc, char **argv)
{
	long long offset, maxerror;
	char line[256];

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: vmclockpage PAGE GUEST.shm [NS_PER_TICK]\n");
		return 1;
	}
	vmclock = (void *)map_file(argv[1]);
	shm = map_file(argv[2]);
	if (!vmclock || !shm)
		return 1;
	if (argc == 4)
		rate = strtod(argv[3], NULL);
	born = host_instant();

	while (fgets(line, sizeof(line), stdin)) {
		offset = 0;
		maxerror = -1;
		if (!strcmp(line, "withdraw\n"))
			withdraw();
		else if (!strcmp(line, "format\n"))
			format();
		else if (vmclock->magic != FFCLOCK_VMCLOCK_MAGIC)
			printf("{\"error\": \"no VMClock structure there yet\"}\n");
		else if (!strcmp(line, "tell\n") ||
			 sscanf(line, "tell %lld %lld", &offset, &maxerror) >= 1)
			tell(offset, maxerror, 0);
		else if (!strcmp(line, "moved\n") ||
			 sscanf(line, "moved %lld %lld", &offset, &maxerror) >= 1)
			tell(offset, maxerror, 1);
		else
			printf("{\"error\": \"unknown command\"}\n");
		fflush(stdout);
	}
	return 0;
}
