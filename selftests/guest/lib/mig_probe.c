// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's end of the migration tests: everything that a migration must do to
 * a guest exactly once, and everything that it must never do.
 *
 * Threads that only watch, started at once:
 *
 *	page	reads the page of /dev/ffclock without a system call
 *	ioctl	reads clocks through the kernel
 *		both: mono never steps back, diff never jumps, and no old host's
 *		time is told as SYNCHRONIZED once the hypervisor's marker has changed
 *	timerfd	a TFD_TIMER_CANCEL_ON_SET timer: counts its cancellations
 *	uevent	counts the kernel's FFCLOCK_EVENT= messages
 *	poll	counts what poll() on /dev/ffclock woke up for
 *	sample	keeps (TSC, CLOCK_REALTIME, utc) samples around each migration
 *
 * and commands on standard input, each answered by one line, "done" if it has
 * nothing else to say:
 *
 *	state		all counters, as one JSON object
 *	arm		NTP state that can be lost, and a good estimate
 *	ntp		NTP state only
 *	samples		what was kept since the last marker change, then "end"
 *	history		records of /dev/ffclock, as JSON, then "end"
 *	load N		N threads that dirty memory and read clocks
 *	set FILE TEXT	write TEXT to /sys/kernel/ffclock/FILE; the errno, 0 if it went
 *	get FILE	its text, then "end"
 *	sh COMMAND	run it; its output, then "exit CODE"
 *	ping N		"pong N", for who does not know whether the guest is awake
 *	quit
 *
 * The hypervisor's own page is read through /dev/mem, beside the module: what
 * the module makes of the marker is not what it is measured by.
 */
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "ffc.h"
#include "tsc.h"

#define READER_BATCH		100	/* reads between two naps */
#define READER_NAP_NS		300000	/* leaves processors to the others */

/*
 * Diff may differ from the nominal rate by what an estimate may (10 %), but an
 * armed probe runs at the estimate's: 1000 ppm and 2 us tell a jump from a rate.
 */
#define DIFF_RATE_DIV		1000
#define DIFF_SLACK_NS		2000

#define SAMPLES			16384
#define SAMPLE_NAP_NS		500000
#define LOAD_BYTES		(8 << 20)

/* Samples are kept densely at first, then less and less: (until, every) in ns */
static const struct {
	int64_t until;
	int64_t every;
} sample_plan[] = {
	{   50 * 1000000LL,	0 },
	{  300 * 1000000LL,	10 * 1000000LL },
	{ 3000 * 1000000LL,	100 * 1000000LL },
	{ INT64_MAX,		500 * 1000000LL },
};

/**
 * struct watcher - what a reading thread found; written by that thread only
 * @reads: readings
 * @mono_back: readings of mono that were before an earlier one
 * @diff_jumps: readings of diff that did not follow the counter
 * @old_reads: old host's times told as synchronised after the marker had changed
 * @old_tsc: TSC ticks from the first sight of a new marker to the last of those
 * @odd_max_tsc: longest wait for an even sequence, in TSC ticks
 */
struct watcher {
	uint64_t reads;
	uint64_t mono_back;
	uint64_t diff_jumps;
	uint64_t old_reads;
	uint64_t old_tsc;
	uint64_t odd_max_tsc;
};

/**
 * struct sample - the clocks at one instant
 * @tsc: TSC in the middle
 * @width: TSC ticks from before to after
 * @realtime: CLOCK_REALTIME in ns
 * @utc: utc of /dev/ffclock in ns
 * @bound: its bound in ns
 * @marker: disruption_marker of the hypervisor's page
 * @freq: NTP's frequency of CLOCK_REALTIME, in 2^-16 ppm
 * @status: FFCLOCK_STATUS_*
 */
struct sample {
	uint64_t tsc;
	uint64_t width;
	int64_t realtime;
	int64_t utc;
	uint64_t bound;
	uint64_t marker;
	long freq;
	uint32_t status;
};

static int dev;
static const volatile struct ffclock_page *page;
static const volatile struct ffclock_vmclock *host;	/* NULL: no /dev/mem */
static double tick_ns;

static struct watcher by_page, by_ioctl;
static uint64_t cancels, cancel_tsc, cancel_errors;
static uint64_t uevents_migration, uevents_epoch, uevents_notice, uevents_settled, uevents_wrong;
static uint64_t uevents_skipped;	/* sequences that another uevent told of as well */
static uint64_t uevent_sequence;
static char uevent_notice[16] = "none";
static uint64_t polls, poll_sequences;

static pthread_mutex_t sample_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sample samples[SAMPLES];
static unsigned int nsamples;

static uint64_t host_marker(void)
{
	uint64_t marker = host ? host->disruption_marker : 0;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return marker;
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

/* The hypervisor's page ---------------------------------------------------- */

/* Where the VMClock page is: the ACPI device's range, as /proc/iomem has it */
static uint64_t host_address(void)
{
	uint64_t start = 0, first;
	char line[256];
	FILE *f;

	f = fopen("/proc/iomem", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %" SCNx64 "-", &first) != 1)
			continue;
		if (strstr(line, "AMZNC10C") || strstr(line, "VMCLOCK"))
			start = first;
	}
	if (f)
		fclose(f);
	/* QEMU's VMCLOCK_ADDR, in a kernel that does not list it */
	return start ?: 0xfeffb000;
}

static void host_map(const char *where)
{
	uint64_t address = where ? strtoull(where, NULL, 0) : host_address();
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	const volatile struct ffclock_vmclock *v;

	if (fd < 0) {
		diag("no /dev/mem: %s", strerror(errno));
		return;
	}
	v = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)address);
	close(fd);
	if (v == MAP_FAILED) {
		diag("cannot map %#" PRIx64 " of /dev/mem: %s", address, strerror(errno));
		return;
	}
	if (v->magic == FFCLOCK_VMCLOCK_MAGIC)
		host = v;
	else
		diag("no VMClock structure at %#" PRIx64, address);
}

/* Readers ------------------------------------------------------------------ */

/**
 * struct reading - what both ways of reading give
 * @counter: cumulative counter of mono and diff
 * @mono: FFCLOCK_MONO
 * @diff: FFCLOCK_DIFF
 * @status: of utc
 * @epoch: of utc
 */
struct reading {
	uint64_t counter;
	struct ffclock_time mono;
	struct ffclock_time diff;
	uint32_t status;
	uint32_t epoch;
};

static bool read_page(struct reading *r, struct watcher *w)
{
	struct ffclock_page p;
	uint64_t tsc, begin;
	uint32_t seq;

	begin = __rdtsc();
	do {
		while ((seq = page->vmclock.seq_count) & 1)
			_mm_pause();
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		memcpy(&p, (const void *)page, sizeof(p));
		tsc = tsc_ordered();
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (page->vmclock.seq_count != seq);
	if (tsc - begin > w->odd_max_tsc)
		w->odd_max_tsc = tsc - begin;
	if (p.vmclock.counter_id != FFCLOCK_COUNTER_X86_TSC)
		return false;
	r->counter = tsc + p.ext.counter_offset;
	r->mono = ffclock_slew_at(&p.ext.mono, tsc);
	r->diff = ffclock_slew_at(&p.ext.diff, tsc);
	r->status = p.vmclock.clock_status;
	r->epoch = p.ext.epoch;
	return true;
}

/* One ioctl each; the diff is read at the counter value of mono */
static bool read_ioctl(struct reading *r, struct watcher *w)
{
	struct ffclock_reading utc, mono, diff;

	(void)w;
	utc = ffc_read(dev, FFCLOCK_UTC);
	mono = ffc_read(dev, FFCLOCK_MONO);
	diff = ffc_read(dev, FFCLOCK_DIFF);
	r->counter = diff.counter;
	r->mono = mono.time;
	r->diff = diff.time;
	r->status = utc.status;
	r->epoch = utc.epoch;
	return true;
}

static void watch(struct watcher *w, bool (*get)(struct reading *, struct watcher *))
{
	uint64_t marker, known = host_marker(), changed_tsc = 0;
	uint32_t marked_epoch = 0, old_epoch = 0;
	struct reading r, last = {};
	bool changed = false;
	int64_t by_counter;
	uint64_t off;

	for (;;) {
		marker = host_marker();
		if (marker != known) {
			known = marker;
			changed_tsc = __rdtsc();
			old_epoch = marked_epoch;
			changed = marked_epoch > 0;
		}
		if (!get(&r, w)) {
			nap(READER_NAP_NS);
			continue;
		}
		/* what was read while the marker changed may be of either */
		if (host_marker() == known)
			marked_epoch = r.epoch;
		if (changed && r.epoch != old_epoch)
			changed = false;
		if (changed && r.status == FFCLOCK_STATUS_SYNCHRONIZED) {
			w->old_reads++;
			w->old_tsc = __rdtsc() - changed_tsc;
		}
		if (w->reads) {
			if (ffclock_time_cmp(r.mono, last.mono) < 0)
				w->mono_back++;
			by_counter = (int64_t)((double)(r.counter - last.counter) * tick_ns);
			off = llabs(ffclock_time_to_ns(ffclock_time_sub(r.diff, last.diff)) -
				    by_counter);
			if (off > DIFF_SLACK_NS + (uint64_t)llabs(by_counter) / DIFF_RATE_DIV)
				w->diff_jumps++;
		}
		last = r;
		if (++w->reads % READER_BATCH == 0)
			nap(READER_NAP_NS);
	}
}

static void *page_thread(void *arg)
{
	(void)arg;
	watch(&by_page, read_page);
	return NULL;
}

static void *ioctl_thread(void *arg)
{
	(void)arg;
	watch(&by_ioctl, read_ioctl);
	return NULL;
}

/* Once each ---------------------------------------------------------------- */

static int timer_fd;

static void *timerfd_thread(void *arg)
{
	struct itimerspec far = {};
	uint64_t expired;

	(void)arg;
	for (;;) {
		far.it_value.tv_sec = now_ns(CLOCK_REALTIME) / NSEC_PER_SEC + 86400;
		if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) &&
		    errno != ECANCELED)
			bail("timerfd_settime: %s", strerror(errno));
		if (read(timer_fd, &expired, sizeof(expired)) < 0 && errno == ECANCELED) {
			cancel_tsc = __rdtsc();
			__atomic_fetch_add(&cancels, 1, __ATOMIC_RELEASE);
		} else {
			cancel_errors++;
		}
	}
	return NULL;
}

/* The value of NAME= in a message of NUL-terminated words */
static const char *word_of(const char *msg, size_t len, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = msg; p < msg + len; p += strlen(p) + 1)
		if (!strncmp(p, name, n))
			return p + n;
	return NULL;
}

static void *uevent_thread(void *arg)
{
	int fd = (int)(intptr_t)arg;
	const char *event, *sequence;
	char msg[4096];
	ssize_t len;

	for (;;) {
		len = recv(fd, msg, sizeof(msg) - 1, 0);
		if (len <= 0)
			bail("uevents: %s", len ? strerror(errno) : "end");
		msg[len] = '\0';
		event = word_of(msg, (size_t)len, "FFCLOCK_EVENT=");
		if (!event)
			continue;
		sequence = word_of(msg, (size_t)len, "FFCLOCK_SEQUENCE=");
		if (!sequence || !word_of(msg, (size_t)len, "DEVNAME=ffclock"))
			uevents_wrong++;
		if (!strcmp(event, "notice")) {
			const char *notice = word_of(msg, (size_t)len, "FFCLOCK_NOTICE=");

			snprintf(uevent_notice, sizeof(uevent_notice), "%s", notice ?: "missing");
			uevents_notice++;
		} else if (!strcmp(event, "settled")) {
			uevents_settled++;
		} else if (!strcmp(event, "epoch")) {
			uevents_epoch++;
		} else if (!strcmp(event, "migration")) {
			uint64_t s = sequence ? strtoull(sequence, NULL, 10) : 0;

			/* in order, and each one once unless they come very fast */
			if (s <= uevent_sequence)
				uevents_wrong++;
			else
				uevents_skipped += s - uevent_sequence - 1;
			uevent_sequence = s;
			__atomic_fetch_add(&uevents_migration, 1, __ATOMIC_RELEASE);
		} else {
			uevents_wrong++;
		}
	}
	return NULL;
}

static void *poll_thread(void *arg)
{
	struct pollfd pfd = { .fd = ffc_open(), .events = POLLIN };
	struct ffclock_page p;
	uint64_t last = 0;
	bool first = true;

	(void)arg;
	for (;;) {
		if (pread(pfd.fd, &p, sizeof(p), 0) != sizeof(p))
			bail("read of %s: %s", FFCLOCK_DEV, strerror(errno));
		if (!first)
			poll_sequences += p.ext.migration_sequence - last;
		last = p.ext.migration_sequence;
		first = false;
		if (poll(&pfd, 1, -1) < 0)
			bail("poll: %s", strerror(errno));
		polls++;
	}
	return NULL;
}

/* Samples ------------------------------------------------------------------ */

static void sample_take(struct sample *s)
{
	struct ffclock_reading r;
	uint64_t before, after, utc_tsc;
	struct sample best = { .width = UINT64_MAX };
	struct timex tx = {};

	for (int i = 0; i < 3; i++) {
		struct sample now;

		now.marker = host_marker();
		before = tsc_ordered();
		now.realtime = now_ns(CLOCK_REALTIME);
		after = tsc_ordered();
		/* utc has a counter value of its own: moved to the same instant */
		r = ffc_read(dev, FFCLOCK_UTC);
		utc_tsc = r.counter - page->ext.counter_offset;
		now.tsc = before + (after - before) / 2;
		now.width = after - before;
		now.utc = ffclock_time_to_ns(r.time) -
			  (int64_t)((double)(int64_t)(utc_tsc - now.tsc) * tick_ns);
		now.bound = r.bound_ns;
		now.status = r.status;
		if (now.width < best.width)
			best = now;
	}
	adjtimex(&tx);
	best.freq = tx.freq;
	*s = best;
}

static void *sample_thread(void *arg)
{
	uint64_t known = host_marker(), start = 0, last = 0;
	struct sample s;
	int64_t age;
	size_t i;

	(void)arg;
	for (;;) {
		nap(SAMPLE_NAP_NS);
		sample_take(&s);
		pthread_mutex_lock(&sample_lock);
		if (s.marker != known) {
			known = s.marker;
			start = s.tsc;
			last = 0;
			nsamples = 0;
		}
		age = (int64_t)((double)(s.tsc - start) * tick_ns);
		for (i = 0; age > sample_plan[i].until; i++)
			;
		if (start && nsamples < SAMPLES &&
		    (!last || (double)(s.tsc - last) * tick_ns >= (double)sample_plan[i].every)) {
			samples[nsamples++] = s;
			last = s.tsc;
		}
		pthread_mutex_unlock(&sample_lock);
	}
	return NULL;
}

/* Commands ----------------------------------------------------------------- */

/* NTP state as a daemon that is content leaves it: 25 ppm, errors of 1 ms */
static void arm_ntp(void)
{
	struct timex tx = {
		.modes = ADJ_FREQUENCY | ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR,
		.freq = 25 << 16,
		.status = STA_PLL,
		.maxerror = 1000,
		.esterror = 1000,
	};

	if (adjtimex(&tx) < 0)
		bail("adjtimex: %s", strerror(errno));
}

/* Synchronised; a disruption that waits for that is dealt with before NTP's state */
static void arm(void)
{
	struct pollfd timer = { .fd = timer_fd, .events = POLLIN };
	struct ffclock_migration m = {};
	struct ffclock_estimate e;
	int i;

	for (i = 0; i < 3; i++) {
		e = ffc_good_estimate(dev);
		if (!ioctl(dev, FFCLOCK_IOC_SETEST, &e))
			break;
		if (errno != ESTALE || i == 2)
			bail("SETEST: %s", strerror(errno));
	}
	for (i = 0; i < 500; i++) {
		m.sequence = 0;
		if (ioctl(dev, FFCLOCK_IOC_MIGRATION, &m) || m.policy != FFCLOCK_MIG_PENDING)
			break;
		sleep_ms(10);
	}
	/* timerfd's thread has taken what there was, and counted it */
	for (i = 0; i < 500 && poll(&timer, 1, 0) > 0; i++)
		sleep_ms(10);
	sleep_ms(20);
	arm_ntp();
}

static void tell_watcher(const char *name, const struct watcher *w)
{
	printf(", \"%s\": {\"reads\": %" PRIu64 ", \"mono_back\": %" PRIu64
	       ", \"diff_jumps\": %" PRIu64 ", \"old_reads\": %" PRIu64 ", \"old_ns\": %.0f"
	       ", \"longest_ns\": %.0f}", name, w->reads, w->mono_back, w->diff_jumps,
	       w->old_reads, (double)w->old_tsc * tick_ns, (double)w->odd_max_tsc * tick_ns);
}

static void tell_state(void)
{
	/* events first: what they tell of is in all that is read after them */
	uint64_t cancelled = __atomic_load_n(&cancels, __ATOMIC_ACQUIRE);
	uint64_t settled = __atomic_load_n(&uevents_settled, __ATOMIC_ACQUIRE);
	uint64_t migrated = __atomic_load_n(&uevents_migration, __ATOMIC_ACQUIRE);
	struct ffclock_reading r = ffc_read(dev, FFCLOCK_UTC);
	struct timex tx = {};
	char clocksource[64];

	adjtimex(&tx);
	if (!read_text(CS_SYSFS "current_clocksource", clocksource, sizeof(clocksource)))
		clocksource[0] = '\0';
	printf("{\"sequence\": %" PRIu64 ", \"page_sequence\": %" PRIu64 ", \"epoch\": %u"
	       ", \"status\": %u, \"bound_ns\": %" PRIu64 ", \"marker\": %" PRIu64
	       ", \"marker_seen\": %s, \"clocksource\": \"%s\"",
	       read_u64(FFC_SYSFS "migration/sequence"), (uint64_t)page->ext.migration_sequence, r.epoch,
	       r.status, (uint64_t)r.bound_ns, host_marker(), host ? "true" : "false", clocksource);
	printf(", \"suppressed\": %" PRIu64 ", \"tick_ns\": %.9f, \"tsc\": %" PRIu64
	       ", \"realtime\": %" PRId64 ", \"vmclock_flags\": %" PRIu64,
	       read_u64(FFC_SYSFS "migration/suppressed"), tick_ns, (uint64_t)__rdtsc(),
	       now_ns(CLOCK_REALTIME), (uint64_t)page->vmclock.flags);
	printf(", \"cancels\": %" PRIu64 ", \"cancel_errors\": %" PRIu64 ", \"uevents\": %" PRIu64
	       ", \"uevents_epoch\": %" PRIu64 ", \"uevents_settled\": %" PRIu64
	       ", \"uevents_notice\": %" PRIu64
	       ", \"uevents_wrong\": %" PRIu64 ", \"polls\": %" PRIu64
	       ", \"poll_sequences\": %" PRIu64,
	       cancelled, cancel_errors, migrated, uevents_epoch, settled, uevents_notice,
	       uevents_wrong, polls, poll_sequences);
	printf(", \"notice\": \"%s\", \"uevents_skipped\": %" PRIu64, uevent_notice,
	       uevents_skipped);
	printf(", \"unsync\": %s, \"maxerror\": %ld, \"esterror\": %ld, \"freq\": %ld"
	       ", \"offset\": %ld", tx.status & STA_UNSYNC ? "true" : "false", tx.maxerror,
	       tx.esterror, tx.freq, tx.offset);
	tell_watcher("page", &by_page);
	tell_watcher("ioctl", &by_ioctl);
	printf("}\n");
}

static void tell_samples(void)
{
	pthread_mutex_lock(&sample_lock);
	for (unsigned int i = 0; i < nsamples; i++) {
		const struct sample *s = &samples[i];

		printf("{\"tsc\": %" PRIu64 ", \"width\": %" PRIu64 ", \"realtime\": %" PRId64
		       ", \"utc\": %" PRId64 ", \"bound_ns\": %" PRIu64 ", \"marker\": %" PRIu64
		       ", \"freq\": %ld, \"status\": %u}\n", s->tsc, s->width, s->realtime,
		       s->utc, s->bound, s->marker, s->freq, s->status);
	}
	pthread_mutex_unlock(&sample_lock);
	printf("end\n");
}

static void tell_history(void)
{
	uint64_t last = read_u64(FFC_SYSFS "migration/sequence");

	for (uint64_t s = last; s && s + FFCLOCK_MIG_HISTORY > last; s--) {
		struct ffclock_migration m = { .sequence = s };

		if (ioctl(dev, FFCLOCK_IOC_MIGRATION, &m)) {
			if (errno != ENOENT)
				bail("MIGRATION: %s", strerror(errno));
			continue;
		}
		printf("{\"sequence\": %" PRIu64 ", \"epoch\": %u, \"flags\": %u, \"policy\": %u"
		       ", \"settings\": %u, \"tout_ns\": %" PRId64 ", \"bound_ns\": %" PRIu64
		       ", \"error_left_ns\": %" PRId64 ", \"lost_ns\": %" PRId64
		       ", \"freq_change_ppb\": %" PRId64 ", \"delay_ns\": %" PRIu64
		       ", \"detector\": \"%.16s\", \"source\": \"%.16s\""
		       ", \"downtime_ns\": %" PRIu64 "}\n",
		       (uint64_t)m.sequence, m.epoch, m.flags, m.policy, m.settings, (int64_t)m.tout_ns,
		       (uint64_t)m.bound_ns, (int64_t)m.error_left_ns, (int64_t)m.lost_ns,
		       (int64_t)m.freq_change_ppb, (uint64_t)m.delay_ns, m.detector, m.source,
		       (uint64_t)m.downtime_ns);
	}
	printf("end\n");
}

/* "FILE TEXT": what writing it gave */
static void set_file(char *words)
{
	char *text = strchr(words, ' ');
	char path[512];

	if (!text)
		bail("set: no text");
	*text++ = '\0';
	snprintf(path, sizeof(path), FFC_SYSFS "%s", words);
	printf("%d\n", write_text(path, text));
}

static void get_file(const char *name)
{
	char path[512], text[4097];

	snprintf(path, sizeof(path), FFC_SYSFS "%s", name);
	if (!read_text(path, text, sizeof(text)))
		bail("get %s: %s", path, strerror(errno));
	printf("%s%send\n", text, *text ? "\n" : "");
}

static void *load_thread(void *arg)
{
	volatile char *memory = malloc(LOAD_BYTES);

	(void)arg;
	if (!memory)
		bail("no memory for the load");
	for (unsigned int round = 0;; round++) {
		for (size_t i = 0; i < LOAD_BYTES; i += 4096)
			memory[i] = (char)round;
		for (int i = 0; i < 1000; i++)
			now_ns(i & 1 ? CLOCK_REALTIME : CLOCK_MONOTONIC);
	}
	return NULL;
}

static void start(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, fn, arg);

	if (err)
		bail("pthread_create: %s", strerror(err));
}

static int uevent_open(void)
{
	struct sockaddr_nl all = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&all, sizeof(all)))
		bail("uevent socket: %s", strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	struct ffclock_estimate e;
	char line[256];

	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	dev = ffc_open();
	page = ffc_map(dev);
	e = ffc_estimate(dev);
	tick_ns = (double)e.period / 18446744073.709551616 / (double)(1ULL << e.period_shift);
	host_map(argc > 1 ? argv[1] : NULL);
	uevent_sequence = read_u64(FFC_SYSFS "migration/sequence");

	start(uevent_thread, (void *)(intptr_t)uevent_open());
	timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
	if (timer_fd < 0)
		bail("timerfd_create: %s", strerror(errno));
	start(timerfd_thread, NULL);
	start(poll_thread, NULL);
	start(page_thread, NULL);
	start(ioctl_thread, NULL);
	start(sample_thread, NULL);
	printf("mig_probe: ready\n");
	fflush(stdout);

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!strcmp(line, "state")) {
			tell_state();
		} else if (!strcmp(line, "samples")) {
			tell_samples();
		} else if (!strcmp(line, "history")) {
			tell_history();
		} else if (!strncmp(line, "set ", 4)) {
			set_file(line + 4);
		} else if (!strncmp(line, "get ", 4)) {
			get_file(line + 4);
		} else if (!strncmp(line, "sh ", 3)) {
			int status = run(line + 3);

			printf("exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		} else if (!strcmp(line, "quit")) {
			printf("mig_probe: bye\n");
			fflush(stdout);
			return 0;
		} else if (!strncmp(line, "ping ", 5)) {
			printf("pong %s\n", line + 5);
		} else {
			if (!strcmp(line, "arm"))
				arm();
			else if (!strcmp(line, "ntp"))
				arm_ntp();
			else if (!strncmp(line, "load ", 5))
				for (int n = atoi(line + 5); n > 0; n--)
					start(load_thread, NULL);
			else
				/* what is left of a line after the port has slept */
				printf("unknown command: ");
			printf("done\n");
		}
		fflush(stdout);
	}
	return 1;
}
