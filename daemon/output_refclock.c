// SPDX-License-Identifier: GPL-2.0-only
/*
 * A reference clock for another daemon, once a second:
 *
 * shm	shared memory 0x4e545030 + unit, as ntpd's driver 28 and chrony's SHM read
 *	it; only root may write units 0 and 1
 * sock	chrony's SOCK socket, which chronyd makes
 *
 * Either way: CLOCK_REALTIME, and what it should be.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "output.h"

#define NSEC		INT64_C(1000000000)
#define SAMPLE_NS	NSEC
#define RETRY_NS	(10 * NSEC)

#define SHM_KEY		0x4e545030	/* "NTP0" */
#define SHM_MODE	1		/* readers compare count before and after */
#define PRECISION	(-24)		/* log2 s, 60 ns */
#define SOCK_MAGIC	0x534f434b	/* "SOCK" */

/* Layout of ntpd's refclock_shm; filled by compilers as by ours */
struct shm_time {
	int		mode;
	int		count;
	time_t		clock_sec;
	int		clock_usec;
	time_t		receive_sec;
	int		receive_usec;
	int		leap;
	int		precision;
	int		nsamples;
	int		valid;
	unsigned int	clock_nsec;
	unsigned int	receive_nsec;
	int		dummy[8];
};

/* chrony's refclock_sock */
struct sock_sample {
	struct timeval	tv;	/* system time of the sample */
	double		offset;	/* true time minus that [s] */
	int		pulse;
	int		leap;
	int		pad;
	int		magic;
};

struct refclock {
	struct output		base;
	struct loop		*loop;
	struct counter		*counter;
	struct output_clock	clock;
	struct loop_timer	timer;
	struct shm_time		*shm;
	char			sock[CONFIG_SOCKET_MAX];
	int			fd;
	int64_t			retry_at;
	bool			told;	/* that the socket is not there */
};

static void write_shm(struct shm_time *t, int64_t utc, int64_t system, int leap)
{
	/* readers may look any time: an odd count, or one that changed, is "not now" */
	t->valid = 0;
	t->count++;
	atomic_thread_fence(memory_order_seq_cst);
	t->clock_sec = utc / NSEC;
	t->clock_usec = (int)(utc % NSEC / 1000);
	t->clock_nsec = (unsigned int)(utc % NSEC);
	t->receive_sec = system / NSEC;
	t->receive_usec = (int)(system % NSEC / 1000);
	t->receive_nsec = (unsigned int)(system % NSEC);
	t->leap = leap;
	t->precision = PRECISION;
	atomic_thread_fence(memory_order_seq_cst);
	t->count++;
	t->valid = 1;
}

static void hang_up(struct refclock *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	r->retry_at = loop_now() + RETRY_NS;
}

/* chronyd makes the socket anew at every start */
static void dial(struct refclock *r)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	r->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(sa.sun_path, r->sock, sizeof(r->sock));
	if (r->fd >= 0 && !connect(r->fd, (struct sockaddr *)&sa, sizeof(sa))) {
		if (r->told)
			log_notice("sock %s: there now", r->sock);
		r->told = false;
		return;
	}
	if (!r->told)
		log_warn("sock %s: %s; trying again every 10 s (chronyd makes it: 'refclock SOCK "
			 "%s')", r->sock, strerror(errno), r->sock);
	r->told = true;
	hang_up(r);
}

static void write_sock(struct refclock *r, int64_t utc, int64_t system, int leap)
{
	struct sock_sample s = {
		.tv = { .tv_sec = system / NSEC, .tv_usec = system % NSEC / 1000 },
		.leap = leap, .magic = SOCK_MAGIC,
	};

	if (r->fd < 0 && loop_now() >= r->retry_at)
		dial(r);
	if (r->fd < 0)
		return;
	/* the rest below a microsecond has to be in neither: offset is of tv */
	s.offset = (double)(utc - system) * 1e-9;
	if (send(r->fd, &s, sizeof(s), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		hang_up(r);
}

static void sample(void *arg)
{
	struct refclock *r = arg;
	struct counter_mark m;
	int64_t utc;
	int leap;

	loop_timer_set(r->loop, &r->timer, SAMPLE_NS);
	if (counter_mark(r->counter, &m) || output_now(&r->clock, &m, &utc, NULL) || utc < 0 ||
	    m.realtime_ns < 0)
		return;
	leap = output_leap(&r->clock, utc);
	if (r->shm)
		write_shm(r->shm, utc, m.realtime_ns, leap);
	if (*r->sock)
		write_sock(r, utc, m.realtime_ns, leap);
}

static int refclock_update(struct output *o, const struct output_update *u)
{
	struct refclock *r = (struct refclock *)o;

	r->clock.u = *u;
	r->clock.have = true;
	return 0;
}

static void refclock_broke(struct output *o, bool migration)
{
	struct refclock *r = (struct refclock *)o;

	(void)migration;
	r->clock.have = false;
	if (r->shm)
		r->shm->valid = 0;
}

static void refclock_destroy(struct output *o)
{
	struct refclock *r = (struct refclock *)o;

	loop_timer_cancel(r->loop, &r->timer);
	if (r->shm) {
		r->shm->valid = 0;
		shmdt(r->shm);
	}
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

static const struct output_ops refclock_ops = {
	.name		= "refclock",
	.update		= refclock_update,
	.broke		= refclock_broke,
	.destroy	= refclock_destroy,
};

static struct shm_time *attach(int unit)
{
	/* units 0 and 1 are root's, so that nobody else makes them up */
	int id = shmget(SHM_KEY + unit, sizeof(struct shm_time), IPC_CREAT | (unit < 2 ? 0600 : 0666));
	void *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	if (p == (void *)-1) {
		log_err("shm %d: %s%s", unit, strerror(errno), errno == EACCES ?
			" (somebody else made it: ipcs -m)" : "");
		return NULL;
	}
	memset(p, 0, sizeof(struct shm_time));
	((struct shm_time *)p)->mode = SHM_MODE;
	return p;
}

struct output *output_refclock_new(const struct config *cfg, struct counter *counter,
				   struct loop *loop)
{
	struct refclock *r = calloc(1, sizeof(*r));

	if (!r) {
		log_err("out of memory");
		return NULL;
	}
	r->base.ops = &refclock_ops;
	r->loop = loop;
	r->counter = counter;
	r->fd = -1;
	r->timer = (struct loop_timer){ .cb = sample, .arg = r };
	memcpy(r->sock, cfg->sock, sizeof(r->sock));
	if (cfg->shm >= 0) {
		r->shm = attach(cfg->shm);
		if (!r->shm) {
			free(r);
			return NULL;
		}
	}
	/* now, while there are the privileges that chronyd's socket may need */
	if (*r->sock)
		dial(r);
	loop_timer_set(loop, &r->timer, SAMPLE_NS);
	return &r->base;
}
