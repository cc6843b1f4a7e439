// SPDX-License-Identifier: GPL-2.0-only
/*
 * The demo's end in a guest: what every clock reads, several times a second.
 *
 * A sample is one reading of every clock, each between two readings of the TSC,
 * so that the host can place it on its own time afterwards, and beside it what
 * the kernel says about them: status and error bound, migration sequence, NTP
 * state, how often a TFD_TIMER_CANCEL_ON_SET timer was cancelled.  Samples are
 * kept in memory, because sending them while they are taken would load the
 * machine that is measured; "send" delivers them.
 *
 *	ffdemo-probe [MILLISECONDS]
 *
 * Commands on standard input, one a line:
 *
 *	every MS	take a sample that often, 1..1000
 *	timer NS	an absolute CLOCK_REALTIME timer for that time [ns]
 *	clock NS TSC NS_PER_TICK	set CLOCK_REALTIME so that it was NS at that TSC
 *	set		set CLOCK_REALTIME from the feed-forward clock, once, and
 *			NTP's state as an NTP client does that has just done so
 *	send PORT	all samples to TCP port PORT of the host
 *	file PORT NAME	the same with a file
 *	quit
 *
 * On standard output: "live" and the newest sample, once a second; an answer to
 * every command: its name and "done", or "failed" and why.
 *
 * Runs on a guest without ffclock as well; what is not there reads "-".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <linux/ffclock.h>

#include "../selftests/guest/lib/tsc.h"

#define NSEC_PER_SEC	1000000000LL
#define NSEC_PER_MSEC	1000000LL

/* The host, as QEMU's user network shows it */
#define HOST		"10.0.2.2"

/* Readings of one clock per sample; the one between the nearest TSCs counts */
#define TRIES		3
/* A sample during which the sequence moved mixes before and after: again */
#define RETRIES		10
/* A page reader that the writer keeps from a consistent copy gives up */
#define PAGE_TRIES	1000

/* CLOCK_REALTIME is set again until it is that near, but not for ever */
#define SET_GOOD_NS	20000
#define SET_TRIES	5

/* An hour of samples every 20 ms; some 80 MB */
#define SAMPLES_MAX	180000

enum probe_clock {
	PROBE_REALTIME,
	PROBE_MONOTONIC,
	PROBE_UTC,
	PROBE_TAI,
	PROBE_MONO,
	PROBE_DIFF,
	PROBE_PAGE,		/* UTC from the mapped page, no system call */
	PROBE_NR,
};

static const char *const clock_names[PROBE_NR] = {
	"realtime", "monotonic", "utc", "tai", "mono", "diff", "page",
};

static const char *const clock_devices[PROBE_NR] = {
	[PROBE_UTC]	= FFCLOCK_DEV_UTC,
	[PROBE_TAI]	= FFCLOCK_DEV_TAI,
	[PROBE_MONO]	= FFCLOCK_DEV_MONO,
	[PROBE_DIFF]	= FFCLOCK_DEV_DIFF,
};

/**
 * struct reading - one clock
 * @ns: its time [ns]
 * @tsc: TSC in the middle of the reading
 * @width: TSC ticks from before to after
 * @valid: could be read
 */
struct reading {
	int64_t		ns;
	uint64_t	tsc;
	uint64_t	width;
	bool		valid;
};

/**
 * struct sample - all clocks, and what is said about them
 * @why: 't' by time, 'e' the page's poll woke us, 'c' a timer was cancelled
 * @clock: readings
 * @status: FFCLOCK_STATUS_* of utc, staleness taken into account
 * @epoch: counter epoch
 * @bound_ns: error bound of utc
 * @sequence: migration sequence
 * @updates: times the parameters were replaced
 * @ntp_status: STA_* of the kernel's NTP
 * @ntp_state: TIME_* of the same
 * @ntp_freq: its frequency [2^-16 ppm]
 * @ntp_offset: its offset that is still being corrected [us or ns, by STA_NANO]
 * @ntp_maxerror: [us]
 * @ntp_esterror: [us]
 * @cancelled: times the timer was cancelled so far
 * @fired: timers of command "timer" that expired so far
 * @fired_tsc: TSC when the last of these did
 */
struct sample {
	char		why;
	struct reading	clock[PROBE_NR];
	uint32_t	status;
	uint32_t	epoch;
	uint64_t	bound_ns;
	uint64_t	sequence;
	uint64_t	updates;
	int		ntp_status;
	int		ntp_state;
	long		ntp_freq;
	long		ntp_offset;
	long		ntp_maxerror;
	long		ntp_esterror;
	unsigned int	cancelled;
	unsigned int	fired;
	uint64_t	fired_tsc;
};

/**
 * struct probe - all there is
 * @id: clock ids of the dynamic clocks and the system's own
 * @has: that clock exists here
 * @dev: /dev/ffclock, -1 without
 * @page: its page, NULL without
 * @timer: timerfd that is cancelled when CLOCK_REALTIME is set
 * @cancelled: times that happened
 * @alarm: timerfd of command "timer"
 * @fired: times it expired
 * @fired_tsc: TSC when it last did
 * @samples: kept, @n of them
 * @period_ns: time between samples
 */
struct probe {
	clockid_t			id[PROBE_NR];
	bool				has[PROBE_NR];
	int				dev;
	const struct ffclock_page	*page;
	int				timer;
	unsigned int			cancelled;
	int				alarm;
	unsigned int			fired;
	uint64_t			fired_tsc;
	struct sample			*samples;
	size_t				n;
	int64_t				period_ns;
};

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("ffdemo-probe: ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Reading ------------------------------------------------------------------ */

/* UTC as a reader of any VMClock page reckons it [ns]; false: no time there */
static bool page_utc(const struct ffclock_page *page, int64_t *ns)
{
	const volatile struct ffclock_vmclock *v = &page->vmclock;
	unsigned __int128 frac;
	uint64_t counts, period;
	uint32_t seq, shift;
	int64_t sec;

	for (int i = 0; i < PAGE_TRIES; i++) {
		seq = __atomic_load_n(&v->seq_count, __ATOMIC_ACQUIRE);
		if (seq & 1)
			continue;
		counts = tsc_ordered() - v->counter_value;
		period = v->counter_period_frac_sec;
		shift = v->counter_period_shift;
		frac = v->time_frac_sec;
		sec = (int64_t)v->time_sec;
		if (v->counter_id != FFCLOCK_COUNTER_X86_TSC || !period || shift > 63)
			return false;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (v->seq_count != seq)
			continue;
		/* 2^-64 s; counts * period < 2^128 whatever they are */
		frac += (unsigned __int128)counts * period >> shift;
		sec += (int64_t)(frac >> 64);
		*ns = sec * NSEC_PER_SEC +
		      (int64_t)(((unsigned __int128)(uint64_t)frac * NSEC_PER_SEC) >> 64);
		return true;
	}
	return false;
}

static void read_clock(struct probe *p, enum probe_clock c, struct reading *out)
{
	struct reading best = { .width = UINT64_MAX };
	struct timespec ts;

	for (int i = 0; i < TRIES && p->has[c]; i++) {
		struct reading r = { .valid = true };
		uint64_t before;

		before = tsc_ordered();
		if (c == PROBE_PAGE) {
			r.valid = page_utc(p->page, &r.ns);
		} else if (clock_gettime(p->id[c], &ts)) {
			r.valid = false;
		} else {
			r.ns = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
		}
		r.width = tsc_ordered() - before;
		r.tsc = before + r.width / 2;
		if (r.valid && r.width < best.width)
			best = r;
	}
	*out = best;
}

static uint64_t sequence(const struct probe *p)
{
	return p->page ? __atomic_load_n(&p->page->ext.migration_sequence, __ATOMIC_ACQUIRE) : 0;
}

/* The timer that CLOCK_REALTIME's being set cancels; far away, or it expires */
static void arm(struct probe *p)
{
	struct itimerspec its = { 0 };

	clock_gettime(CLOCK_REALTIME, &its.it_value);
	its.it_value.tv_sec += 1000000;
	if (timerfd_settime(p->timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL))
		die("timerfd_settime: %s", strerror(errno));
}

/* Was it cancelled?  Then count it and set it again. */
static bool look_at_timer(struct probe *p)
{
	uint64_t expired;

	if (read(p->timer, &expired, sizeof(expired)) >= 0 || errno != ECANCELED)
		return false;
	p->cancelled++;
	arm(p);
	return true;
}

/* The absolute timer: an ordinary one, which nothing cancels */
static int set_alarm(struct probe *p, int64_t ns)
{
	struct itimerspec its = {
		.it_value = { .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC },
	};

	return timerfd_settime(p->alarm, TFD_TIMER_ABSTIME, &its, NULL) ? -errno : 0;
}

static void look_at_alarm(struct probe *p)
{
	uint64_t expired;

	if (read(p->alarm, &expired, sizeof(expired)) != sizeof(expired))
		return;
	p->fired_tsc = tsc_ordered();
	p->fired += (unsigned int)expired;
}

static void take(struct probe *p, struct sample *s, char why)
{
	struct timex tx;
	uint64_t before;

	for (int i = 0; i < RETRIES; i++) {
		memset(s, 0, sizeof(*s));
		s->why = why;
		before = sequence(p);
		for (int c = 0; c < PROBE_NR; c++)
			read_clock(p, (enum probe_clock)c, &s->clock[c]);
		if (p->dev >= 0) {
			struct ffclock_reading r = { .clock = FFCLOCK_UTC };

			if (ioctl(p->dev, FFCLOCK_IOC_READ, &r))
				die("FFCLOCK_IOC_READ: %s", strerror(errno));
			s->status = r.status;
			s->bound_ns = r.bound_ns;
			s->epoch = r.epoch;
			s->updates = __atomic_load_n(&p->page->ext.updates, __ATOMIC_RELAXED);
		}
		s->sequence = sequence(p);
		memset(&tx, 0, sizeof(tx));
		s->ntp_state = adjtimex(&tx);
		s->ntp_status = tx.status;
		s->ntp_freq = tx.freq;
		s->ntp_offset = tx.offset;
		s->ntp_maxerror = tx.maxerror;
		s->ntp_esterror = tx.esterror;
		s->cancelled = p->cancelled;
		s->fired = p->fired;
		s->fired_tsc = p->fired_tsc;
		if (s->sequence == before)
			return;
	}
}

/* Writing ------------------------------------------------------------------ */

static void write_header(FILE *f)
{
	fprintf(f, "why");
	for (int c = 0; c < PROBE_NR; c++)
		fprintf(f, ",%s,%s_tsc,%s_width", clock_names[c], clock_names[c], clock_names[c]);
	fprintf(f, ",status,epoch,bound_ns,sequence,updates,ntp_status,ntp_state,ntp_freq,"
		"ntp_offset,ntp_maxerror,ntp_esterror,cancelled,fired,fired_tsc\n");
}

static void write_sample(const struct probe *p, FILE *f, const struct sample *s)
{
	fputc(s->why, f);
	for (int c = 0; c < PROBE_NR; c++) {
		const struct reading *r = &s->clock[c];

		if (r->valid)
			fprintf(f, ",%" PRId64 ",%" PRIu64 ",%" PRIu64, r->ns, r->tsc, r->width);
		else
			fprintf(f, ",-,-,-");
	}
	if (p->dev < 0)
		fprintf(f, ",-,-,-,-,-");
	else if (s->bound_ns == FFCLOCK_BOUND_UNKNOWN)
		fprintf(f, ",%u,%u,-,%" PRIu64 ",%" PRIu64, s->status, s->epoch, s->sequence,
			s->updates);
	else
		fprintf(f, ",%u,%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64, s->status, s->epoch,
			s->bound_ns, s->sequence, s->updates);
	fprintf(f, ",%d,%d,%ld,%ld,%ld,%ld,%u,%u,%" PRIu64 "\n", s->ntp_status, s->ntp_state,
		s->ntp_freq, s->ntp_offset, s->ntp_maxerror, s->ntp_esterror, s->cancelled,
		s->fired, s->fired_tsc);
}

/* A stream to the host; its error if there is none */
static int open_stream(int port, FILE **out)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd, ret;

	inet_pton(AF_INET, HOST, &sa.sin_addr);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		ret = -errno;
		close(fd);
		return ret;
	}
	*out = fdopen(fd, "w");
	if (!*out) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

static int send_file(int port, const char *name)
{
	char buffer[4096];
	FILE *in, *out;
	size_t got;
	int ret;

	in = fopen(name, "re");
	if (!in)
		return -errno;
	ret = open_stream(port, &out);
	if (ret) {
		fclose(in);
		return ret;
	}
	while ((got = fread(buffer, 1, sizeof(buffer), in)) > 0)
		fwrite(buffer, 1, got, out);
	ret = ferror(in) || ferror(out) ? -EIO : 0;
	fclose(in);
	if (fclose(out))
		ret = ret ? ret : -errno;
	return ret;
}

static int send_samples(const struct probe *p, int port)
{
	FILE *f;
	int ret;

	ret = open_stream(port, &f);
	if (ret)
		return ret;
	write_header(f);
	for (size_t i = 0; i < p->n; i++)
		write_sample(p, f, &p->samples[i]);
	fprintf(f, "end %zu\n", p->n);
	ret = ferror(f) ? -EIO : 0;
	if (fclose(f))
		ret = ret ? ret : -errno;
	return ret;
}

/* Commands ----------------------------------------------------------------- */

static int set_realtime(struct probe *p)
{
	struct timex tx = {
		.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR,
		.status = STA_PLL,
		.maxerror = 1000,
		.esterror = 100,
	};
	struct reading utc, real;
	int64_t ns, late = 0;
	struct timespec ts;

	if (!p->has[PROBE_UTC])
		return -ENODEV;
	for (int i = 0; i < SET_TRIES; i++) {
		if (clock_gettime(p->id[PROBE_UTC], &ts))
			return -errno;
		ns = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec + late;
		ts.tv_sec = ns / NSEC_PER_SEC;
		ts.tv_nsec = ns % NSEC_PER_SEC;
		if (clock_settime(CLOCK_REALTIME, &ts))
			return -errno;
		/* that took a while, as it will the next time */
		read_clock(p, PROBE_REALTIME, &real);
		read_clock(p, PROBE_UTC, &utc);
		if (!real.valid || !utc.valid)
			return -EIO;
		late += utc.ns - real.ns;
		if (llabs(utc.ns - real.ns) < SET_GOOD_NS)
			break;
	}
	return adjtimex(&tx) < 0 ? -errno : 0;
}

/* CLOCK_REALTIME was ns at that TSC, which counts so many ns a tick */
static int set_clock(int64_t ns, uint64_t tsc, double tick)
{
	struct timespec ts;

	ns += (int64_t)((double)(int64_t)(tsc_ordered() - tsc) * tick);
	ts.tv_sec = ns / NSEC_PER_SEC;
	ts.tv_nsec = ns % NSEC_PER_SEC;
	return clock_settime(CLOCK_REALTIME, &ts) ? -errno : 0;
}

static void answer(const char *command, int ret)
{
	if (ret)
		printf("%s failed: %s\n", command, strerror(-ret));
	else
		printf("%s done\n", command);
	fflush(stdout);
}

/* One command; false: that was the last one */
static bool obey(struct probe *p, char *line)
{
	char name[128] = "";
	uint64_t tsc = 0;
	int64_t ns = 0;
	double tick = 0;
	int value = 0;

	line[strcspn(line, "\r\n")] = '\0';
	if (!strcmp(line, "quit")) {
		answer("quit", 0);
		return false;
	}
	if (sscanf(line, "every %d", &value) == 1) {
		if (value >= 1 && value <= 1000)
			p->period_ns = value * NSEC_PER_MSEC;
		answer("every", value >= 1 && value <= 1000 ? 0 : -ERANGE);
	} else if (sscanf(line, "send %d", &value) == 1) {
		answer("send", value > 0 && value < 65536 ? send_samples(p, value) : -ERANGE);
	} else if (sscanf(line, "file %d %127s", &value, name) == 2) {
		answer("file", value > 0 && value < 65536 ? send_file(value, name) : -ERANGE);
	} else if (sscanf(line, "timer %" SCNd64, &ns) == 1) {
		answer("timer", set_alarm(p, ns));
	} else if (sscanf(line, "clock %" SCNd64 " %" SCNu64 " %lf", &ns, &tsc, &tick) == 3) {
		answer("clock", set_clock(ns, tsc, tick));
	} else if (!strcmp(line, "set")) {
		answer("set", set_realtime(p));
	} else if (*line) {
		printf("unknown command\n");
		fflush(stdout);
	}
	return true;
}

/* -------------------------------------------------------------------------- */

static void open_ffclock(struct probe *p)
{
	int fd;

	p->dev = open(FFCLOCK_DEV, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (p->dev < 0)
		return;
	p->page = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ, MAP_SHARED, p->dev, 0);
	if (p->page == MAP_FAILED)
		die("mmap of %s: %s", FFCLOCK_DEV, strerror(errno));
	p->has[PROBE_PAGE] = true;
	for (int c = 0; c < PROBE_NR; c++) {
		if (!clock_devices[c])
			continue;
		fd = open(clock_devices[c], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die("%s: %s", clock_devices[c], strerror(errno));
		/* include/linux/posix-timers.h: clock id of a dynamic POSIX clock */
		p->id[c] = (clockid_t)(~(unsigned int)fd << 3 | 3);
		p->has[c] = true;
	}
}

/* The page has changed since the last look: take that as seen */
static void drain(struct probe *p)
{
	char head[8];

	if (pread(p->dev, head, sizeof(head), 0) < 0)
		die("read of %s: %s", FFCLOCK_DEV, strerror(errno));
}

int main(int argc, char **argv)
{
	struct probe p = { .dev = -1, .period_ns = 20 * NSEC_PER_MSEC };
	int64_t next, live = 0;
	size_t filled = 0;
	char input[256];

	if (argc > 1)
		p.period_ns = atoi(argv[1]) * NSEC_PER_MSEC;
	if (argc > 2 || p.period_ns < NSEC_PER_MSEC || p.period_ns > NSEC_PER_SEC)
		die("usage: ffdemo-probe [MILLISECONDS from 1 to 1000]");

	p.id[PROBE_REALTIME] = CLOCK_REALTIME;
	p.id[PROBE_MONOTONIC] = CLOCK_MONOTONIC;
	p.has[PROBE_REALTIME] = true;
	p.has[PROBE_MONOTONIC] = true;
	open_ffclock(&p);
	p.timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	p.alarm = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	p.samples = calloc(SAMPLES_MAX, sizeof(*p.samples));
	if (p.timer < 0 || p.alarm < 0 || !p.samples)
		die("%s", strerror(errno));
	arm(&p);
	printf("columns ");
	write_header(stdout);
	fflush(stdout);

	next = now_ns();
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = STDIN_FILENO, .events = POLLIN },
			{ .fd = p.timer, .events = POLLIN },
			{ .fd = p.dev, .events = POLLIN },
			{ .fd = p.alarm, .events = POLLIN },
		};
		int64_t wait = next - now_ns();
		char why = 't';

		if (wait > 0) {
			struct timespec ts = { .tv_nsec = wait % NSEC_PER_SEC,
					       .tv_sec = wait / NSEC_PER_SEC };

			if (ppoll(fds, 4, &ts, NULL) < 0)
				die("poll: %s", strerror(errno));
			if (fds[2].revents & POLLIN) {
				drain(&p);
				why = 'e';
			}
		}
		if (look_at_timer(&p))
			why = 'c';
		look_at_alarm(&p);
		if (fds[0].revents) {
			ssize_t got = read(STDIN_FILENO, input + filled,
					   sizeof(input) - 1 - filled);
			char *nl;

			if (got <= 0)
				die("the host has closed the channel");
			filled += (size_t)got;
			input[filled] = '\0';
			while ((nl = strchr(input, '\n'))) {
				*nl = '\0';
				if (!obey(&p, input))
					return 0;
				filled -= (size_t)(nl + 1 - input);
				memmove(input, nl + 1, filled + 1);
			}
			if (filled == sizeof(input) - 1)
				filled = 0;
		}
		if (why == 't' && now_ns() < next)
			continue;
		if (p.n == SAMPLES_MAX)
			die("an hour of samples is enough");
		take(&p, &p.samples[p.n], why);
		if (why == 't') {
			next += p.period_ns;
			if (next < now_ns())
				next = now_ns() + p.period_ns;
		}
		if (now_ns() - live > NSEC_PER_SEC) {
			live = now_ns();
			printf("live ");
			write_sample(&p, stdout, &p.samples[p.n]);
			fflush(stdout);
		}
		p.n++;
	}
}
