// SPDX-License-Identifier: GPL-2.0-only
/*
 * An NTP server as a stamp source.
 *
 * One exchange:
 *
 *	mark a    send()                              recvmsg()    mark b
 *	  |----tx stamp (error queue) . . . . . rx stamp (cmsg)------|
 *	            = ta                         = tf
 *
 * Every exchange has a socket of its own, so its port is random (RFC 9109) and
 * what comes late or is forged for another port never gets here.  Without a
 * kernel stamp the mark on that side serves: the round trip is then longer, not
 * wrong.
 *
 * Pace: 2^poll s between requests, poll between the server's minpoll and
 * maxpoll.  A burst is BURST_LEN requests close together, after start (iburst)
 * and after disruptions.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>

#include "log.h"
#include "ntp_packet.h"
#include "resolve.h"
#include "source.h"

#define NSEC		1000000000LL

/*
 * Eight within a bucket is what chrony's and ntpd's rate limits let pass, and
 * 2 s apart is ntpd's shortest distance.  Servers with minpoll 0 are our own
 * to ask every second.
 */
#define BURST_LEN	8
#define BURST_GAP_NS	(2 * NSEC)
/* A disruption every minute is nothing to answer with a burst each */
#define BURST_REST_NS	(60 * NSEC)

/* Longest round trip worth waiting for; less when the next request is due */
#define ANSWER_WAIT_NS	(3 * NSEC)

/* Datagrams that are no answer, per exchange, before the socket is given up */
#define JUNK_MAX	32

/* A name that does not resolve: again after 2 s, 4 s, ... up to this */
#define RESOLVE_RETRY_MAX	(1024 * NSEC)
/* Unanswered requests in a row before the name is looked up again */
#define MISSES_TO_RESOLVE	8
/* A server that does not want us (DENY, RSTR) is left alone that long */
#define DENIED_REST_NS		(3600 * NSEC)
#define DENIED_MAX		8

struct ntp {
	struct source			base;
	const struct config_source	*cfg;
	struct counter			*counter;
	struct loop			*loop;
	int				stamp_fd;	/* keeps stamping switched on */
	/* addresses */
	struct resolve			*resolving;
	struct sockaddr_storage		addr;
	socklen_t			addr_len;
	char				address[64];
	struct sockaddr_storage		denied[DENIED_MAX];
	unsigned int			n_denied;
	int64_t				resolve_delay;
	/* schedule */
	struct loop_timer		next;
	struct loop_timer		timeout;
	int				poll;
	int				floor;	/* minpoll, or more after KoD RATE */
	int				calm;	/* requests in favour of a longer poll */
	int				burst_left;
	int64_t				burst_at;
	bool				had_burst;
	/* the exchange under way */
	struct loop_fd			sock;
	uint64_t			cookie;
	struct counter_mark		before;
	bool				have_tx;
	int64_t				tx_ns;
	int				junk;
	/* record */
	uint8_t				reach;
	unsigned int			misses;
	bool				silent;	/* said that it does not answer */
	int				last_errno;
	enum ntp_verdict		last_verdict;
	bool				warned_tx;
	struct source_report		count;
};

static void request(void *arg);
static void resolve(void *arg);

static struct ntp *to_ntp(struct source *s)
{
	return (struct ntp *)s;
}

/* Addresses --------------------------------------------------------------- */

static const void *sa_ip(const struct sockaddr_storage *sa, size_t *len)
{
	if (sa->ss_family == AF_INET6) {
		*len = sizeof(struct in6_addr);
		return &((const struct sockaddr_in6 *)sa)->sin6_addr;
	}
	*len = sizeof(struct in_addr);
	return &((const struct sockaddr_in *)sa)->sin_addr;
}

static bool same_ip(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const void *pa, *pb;
	size_t na, nb;

	pa = sa_ip(a, &na);
	pb = sa_ip(b, &nb);
	return a->ss_family == b->ss_family && na == nb && !memcmp(pa, pb, na);
}

static bool is_denied(const struct ntp *n, const struct sockaddr_storage *sa)
{
	unsigned int i;

	for (i = 0; i < n->n_denied; i++)
		if (same_ip(&n->denied[i], sa))
			return true;
	return false;
}

static void retry_resolve(struct ntp *n)
{
	if (!n->resolve_delay)
		n->resolve_delay = 2 * NSEC;
	n->next.cb = resolve;
	loop_timer_set(n->loop, &n->next, n->resolve_delay);
	if (n->resolve_delay < RESOLVE_RETRY_MAX)
		n->resolve_delay *= 2;
}

static void resolved(void *arg, const struct resolve_result *r)
{
	struct ntp *n = arg;
	unsigned int i, pick, usable = 0;
	bool moved;

	n->resolving = NULL;
	if (r->error) {
		if (!n->resolve_delay || log_wants(LOG_INFO))
			log_warn("server %s: cannot resolve the name: %s; trying again",
				 n->cfg->name, r->error == EAI_SYSTEM ? strerror(r->sys_errno) :
				 gai_strerror(r->error));
		retry_resolve(n);
		return;
	}
	/* the present address if it still is one of them and answers, else the next */
	pick = r->n;
	for (i = 0; i < r->n; i++) {
		if (is_denied(n, &r->addr[i]))
			continue;
		usable++;
		if (n->addr_len && same_ip(&r->addr[i], &n->addr)) {
			if (!n->misses)
				pick = i;
			continue;
		}
		if (pick == r->n)
			pick = i;
	}
	if (!usable) {
		log_warn("server %s: all of its addresses have refused us; asking again in 1 h",
			 n->cfg->name);
		n->n_denied = 0;
		n->next.cb = resolve;
		loop_timer_set(n->loop, &n->next, DENIED_REST_NS);
		return;
	}
	n->resolve_delay = 0;
	n->misses = 0;
	if (pick < r->n) {
		moved = n->addr_len && !same_ip(&n->addr, &r->addr[pick]);
		n->addr = r->addr[pick];
		n->addr_len = r->len[pick];
		getnameinfo((struct sockaddr *)&n->addr, n->addr_len, n->address,
			    sizeof(n->address), NULL, 0, NI_NUMERICHOST);
		if (strcmp(n->address, n->cfg->name))
			log_info("server %s: address %s", n->cfg->name, n->address);
		if (moved)
			n->base.sink.moved(n->base.sink.arg);
	}
	request(n);
}

static void resolve(void *arg)
{
	struct ntp *n = arg;

	if (n->resolving)
		return;
	n->resolving = resolve_start(n->loop, n->cfg->name, n->cfg->port, resolved, n);
	if (!n->resolving) {
		log_warn("server %s: cannot resolve the name: %s", n->cfg->name, strerror(errno));
		retry_resolve(n);
	}
}

/* Schedule ---------------------------------------------------------------- */

static int64_t poll_ns(const struct ntp *n)
{
	return NSEC << n->poll;
}

static int64_t interval_ns(const struct ntp *n)
{
	if (n->burst_left > 0)
		return poll_ns(n) < BURST_GAP_NS ? poll_ns(n) : BURST_GAP_NS;
	return poll_ns(n);
}

/* Up to 1/32 of the interval earlier, so that clients do not fall into step */
static void schedule(struct ntp *n)
{
	int64_t interval = interval_ns(n);
	uint16_t r = 0;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != (ssize_t)sizeof(r))
		r = 0;
	n->next.cb = request;
	loop_timer_set(n->loop, &n->next, interval - (interval >> 21) * r);
}

static void end_exchange(struct ntp *n)
{
	int fd = n->sock.fd;

	loop_timer_cancel(n->loop, &n->timeout);
	if (fd < 0)
		return;
	loop_del(n->loop, &n->sock);
	close(fd);
	n->cookie = 0;
}

static void missed(struct ntp *n)
{
	end_exchange(n);
	n->calm = 0;
	n->misses++;
	if (n->misses >= MISSES_TO_RESOLVE && !n->silent) {
		n->silent = true;
		log_warn("server %s (%s): no usable answer to the last %d requests%s%s",
			 n->cfg->name, n->address, MISSES_TO_RESOLVE,
			 n->last_verdict ? ": " : n->last_errno ? ": " : "",
			 n->last_verdict ? ntp_verdict_name(n->last_verdict) :
			 n->last_errno ? strerror(n->last_errno) : "");
	}
	/* no faster than before: a dead server is not to be hammered */
	n->base.sink.missed(n->base.sink.arg);
	if (n->misses % MISSES_TO_RESOLVE == 0) {
		n->burst_left = 0;
		n->next.cb = resolve;
	}
}

static void timed_out(void *arg)
{
	struct ntp *n = arg;

	log_debug("server %s: no answer", n->cfg->name);
	missed(n);
}

/* Kernel timestamps ------------------------------------------------------- */

/*
 * The kernel stamps incoming packets only while some socket wants it, and
 * switches that on from a work item, too late for the first answer.  One socket
 * that stays open spares every exchange the race and the kernel the switching.
 */
static int open_stamping(void)
{
	int want = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &want, sizeof(want));
	return fd;
}

static int open_socket(const struct ntp *n)
{
	/*
	 * OPT_TSONLY: the stamp without the packet; OPT_ID: so that it carries
	 * the number of the packet (0: the only one of this socket).
	 */
	int want = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE |
		   SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
		   SOF_TIMESTAMPING_OPT_TSONLY;
	int fd = socket(n->addr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			IPPROTO_UDP);

	if (fd < 0)
		return -errno;
	/* without stamps the marks have to do; the first exchange says so */
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &want, sizeof(want)))
		log_debug("server %s: SO_TIMESTAMPING: %s", n->cfg->name, strerror(errno));
	if (connect(fd, (const struct sockaddr *)&n->addr, n->addr_len)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static bool find_stamp(struct msghdr *msg, int64_t *ns, const struct sock_extended_err **ee)
{
	bool found = false;
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_TIMESTAMPING &&
		    cm->cmsg_len >= CMSG_LEN(sizeof(struct scm_timestamping))) {
			struct scm_timestamping ts;

			memcpy(&ts, CMSG_DATA(cm), sizeof(ts));
			/* [0] is the software stamp, 0 if there is none */
			if (!ts.ts[0].tv_sec)
				continue;
			*ns = ts.ts[0].tv_sec * NSEC + ts.ts[0].tv_nsec;
			found = true;
		} else if (ee && ((cm->cmsg_level == SOL_IP && cm->cmsg_type == IP_RECVERR) ||
				  (cm->cmsg_level == SOL_IPV6 && cm->cmsg_type == IPV6_RECVERR))) {
			*ee = (const struct sock_extended_err *)CMSG_DATA(cm);
		}
	}
	return found;
}

/* Take the transmit stamp, and anything else, off the error queue */
static void read_error_queue(struct ntp *n)
{
	int i;

	/* one stamp is expected; ICMP errors may add a few */
	for (i = 0; i < 8; i++) {
		union {
			char		buf[512];
			struct cmsghdr	align;
		} control;
		const struct sock_extended_err *ee = NULL;
		struct msghdr msg = {
			.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
		};
		int64_t ns;

		if (recvmsg(n->sock.fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
		if (!find_stamp(&msg, &ns, &ee) || !ee)
			continue;
		if (ee->ee_origin != SO_EE_ORIGIN_TIMESTAMPING || ee->ee_info != SCM_TSTAMP_SND)
			continue;
		if (ee->ee_data || n->have_tx)
			continue;
		n->have_tx = true;
		n->tx_ns = ns;
	}
}

/* The exchange ------------------------------------------------------------ */

static void kiss(struct ntp *n, const struct ntp_answer *a)
{
	int want;

	end_exchange(n);
	n->calm = 0;
	n->burst_left = 0;
	if (!strcmp(a->kod, "DENY") || !strcmp(a->kod, "RSTR")) {
		log_warn("server %s (%s) refuses to serve us (%s); trying its other addresses",
			 n->cfg->name, n->address, a->kod);
		if (n->n_denied < DENIED_MAX)
			n->denied[n->n_denied++] = n->addr;
		n->misses++;
		n->next.cb = resolve;
		loop_timer_set(n->loop, &n->next, 0);
	} else if (!strcmp(a->kod, "RATE")) {
		/* at least twice the interval, or what it names (RFC 5905 7.4) */
		want = n->poll + 1;
		if (a->poll > want && a->poll <= CONFIG_POLL_HI)
			want = a->poll;
		if (want > CONFIG_POLL_HI)
			want = CONFIG_POLL_HI;
		n->floor = want;
		n->poll = want;
		log_warn("server %s (%s) asks for fewer requests; interval now %lld s",
			 n->cfg->name, n->address, (long long)(poll_ns(n) / NSEC));
		schedule(n);
	} else {
		/* other codes (INIT, STEP, ...) only say: no time now */
		log_info("server %s (%s): kiss code %s", n->cfg->name, n->address, a->kod);
	}
	n->base.sink.missed(n->base.sink.arg);
}

static void good(struct ntp *n, const struct ntp_answer *a, const int64_t *rx_ns,
		 const struct counter_mark *after)
{
	struct source_stamp st = { 0 };
	uint32_t err_tx = 0, err_rx = 0;
	int err;

	st.ffe.tb = a->tb;
	st.ffe.te = a->te;
	st.ffe.root_delay_ns = a->root_delay_ns > UINT32_MAX ? UINT32_MAX :
			       (uint32_t)a->root_delay_ns;
	st.ffe.root_disp_ns = a->root_disp_ns > UINT32_MAX ? UINT32_MAX :
			      (uint32_t)a->root_disp_ns;
	st.ffe.precision = a->precision;
	st.ffe.leap = a->leap;
	st.ffe.stratum = a->stratum;
	st.refid = a->refid;
	st.epoch = after->epoch;

	if (n->before.epoch != after->epoch) {
		log_info("server %s: the counter broke during the exchange", n->cfg->name);
		missed(n);
		return;
	}
	st.ffe.ta = n->before.value;
	st.ffe.tf = after->value;
	if (n->have_tx) {
		err = counter_invert(n->counter, &n->before, after, n->tx_ns, &st.ffe.ta, &err_tx);
		st.tx_kernel = !err;
		if (err == -ESTALE) {
			missed(n);
			return;
		}
	}
	if (rx_ns) {
		err = counter_invert(n->counter, &n->before, after, *rx_ns, &st.ffe.tf, &err_rx);
		st.rx_kernel = !err;
		if (err)
			log_debug("server %s: receive stamp %lld ns after the request's mark, "
				  "%lld ns before the answer's: %s", n->cfg->name,
				  (long long)(*rx_ns - n->before.realtime_ns),
				  (long long)(after->realtime_ns - *rx_ns), strerror(-err));
		if (err == -ESTALE) {
			missed(n);
			return;
		}
	}
	if ((!st.tx_kernel || !st.rx_kernel) && !n->warned_tx) {
		log_notice("server %s: no kernel timestamps for %s; stamps include the system call",
			   n->cfg->name, st.tx_kernel ? "answers" : st.rx_kernel ? "requests" :
			   "requests and answers");
		n->warned_tx = true;
	}
	/* limits of errors, as one sigma: a third */
	st.ffe.client_err_ns = (err_tx > err_rx ? err_tx : err_rx) / 3;

	end_exchange(n);
	n->reach |= 1;
	if (n->silent)
		log_notice("server %s (%s) answers again", n->cfg->name, n->address);
	n->silent = false;
	n->misses = 0;
	n->last_errno = 0;
	n->last_verdict = NTP_OK;
	n->count.good++;
	n->base.sink.stamp(n->base.sink.arg, &st);
}

static void receive(struct ntp *n)
{
	uint8_t buf[NTP_PACKET_LEN + 1];	/* one more shows what is too long */
	union {
		char		buf[512];
		struct cmsghdr	align;
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct counter_mark after;
	enum ntp_verdict verdict;
	struct ntp_answer a;
	int64_t rx_ns;
	bool have_rx;
	ssize_t len;

	len = recvmsg(n->sock.fd, &msg, MSG_DONTWAIT);
	if (len < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		/* what ICMP said: nothing will come on this socket */
		n->last_errno = errno;
		n->last_verdict = NTP_OK;
		log_debug("server %s: %s", n->cfg->name, strerror(errno));
		missed(n);
		return;
	}
	if (counter_mark(n->counter, &after)) {
		missed(n);
		return;
	}
	have_rx = find_stamp(&msg, &rx_ns, NULL);
	verdict = ntp_answer_decode(buf, (size_t)len, n->cookie, after.realtime_ns / NSEC, &a);
	if (verdict != NTP_OK) {
		n->count.bad++;
		n->last_verdict = verdict;
		log_debug("server %s (%s): datagram of %zd bytes: %s", n->cfg->name, n->address,
			  len, ntp_verdict_name(verdict));
	}
	switch (verdict) {
	case NTP_OK:
		if (!n->have_tx)
			read_error_queue(n);
		good(n, &a, have_rx ? &rx_ns : NULL, &after);
		break;
	case NTP_KOD:
		kiss(n, &a);
		break;
	case NTP_BAD_LENGTH:
	case NTP_BAD_VERSION:
	case NTP_BAD_MODE:
	case NTP_BAD_ORIGIN:
		/* anybody can send these: the true answer may still come */
		if (++n->junk >= JUNK_MAX)
			missed(n);
		break;
	default:
		missed(n);
		break;
	}
}

static void socket_ready(void *arg, uint32_t events)
{
	struct ntp *n = arg;

	if (events & EPOLLERR)
		read_error_queue(n);
	/* an error other than a stamp is what recvmsg() returns next */
	receive(n);
}

static void request(void *arg)
{
	uint8_t buf[NTP_PACKET_LEN];
	struct ntp *n = arg;
	int64_t wait;
	int fd, err;

	/* only when the interval is shorter than the wait: give the old one up */
	if (n->sock.fd >= 0)
		missed(n);
	if (n->burst_left > 0)
		n->burst_left--;
	schedule(n);
	n->count.sent++;
	n->reach <<= 1;

	fd = open_socket(n);
	if (fd < 0) {
		n->last_errno = -fd;
		missed(n);
		return;
	}
	n->sock.fd = fd;
	err = loop_add(n->loop, &n->sock, EPOLLIN);
	if (err) {
		close(fd);
		n->last_errno = -err;
		missed(n);
		return;
	}
	n->have_tx = false;
	n->junk = 0;
	do {
		if (getrandom(&n->cookie, sizeof(n->cookie), 0) != (ssize_t)sizeof(n->cookie))
			n->cookie = 0;
	} while (!n->cookie);
	ntp_request_encode(buf, n->cookie);

	err = counter_mark(n->counter, &n->before);
	if (!err && send(fd, buf, sizeof(buf), 0) != (ssize_t)sizeof(buf))
		err = -errno;
	if (err) {
		n->last_errno = -err;
		missed(n);
		return;
	}
	wait = interval_ns(n) * 7 / 8;
	loop_timer_set(n->loop, &n->timeout, wait < ANSWER_WAIT_NS ? wait : ANSWER_WAIT_NS);
}

/* Operations -------------------------------------------------------------- */

static void ntp_start(struct source *s)
{
	struct ntp *n = to_ntp(s);

	n->burst_left = n->cfg->iburst ? BURST_LEN : 0;
	if (n->burst_left) {
		n->burst_at = loop_now();
		n->had_burst = true;
	}
	resolve(n);
}

static void ntp_burst(struct source *s)
{
	struct ntp *n = to_ntp(s);
	int64_t now = loop_now();

	n->calm = 0;
	n->poll = n->floor;
	if (n->burst_left > 0 || !n->addr_len || n->resolving || n->floor > n->cfg->minpoll)
		return;
	if (n->had_burst && now - n->burst_at < BURST_REST_NS) {
		if (n->sock.fd < 0)
			schedule(n);
		return;
	}
	n->burst_at = now;
	n->had_burst = true;
	n->burst_left = BURST_LEN;
	/* not while an answer is awaited: that one is part of the burst */
	n->next.cb = request;
	loop_timer_set(n->loop, &n->next, n->sock.fd < 0 ? 0 : BURST_GAP_NS);
}

/* What is under way began on another counter; nothing it brings can be used */
static void ntp_restart(struct source *s)
{
	struct ntp *n = to_ntp(s);

	n->calm = 0;
	n->poll = n->floor;
	if (n->floor > n->cfg->minpoll || !n->addr_len || n->resolving)
		return;
	end_exchange(n);
	n->burst_at = loop_now();
	n->had_burst = true;
	n->burst_left = BURST_LEN;
	n->next.cb = request;
	loop_timer_set(n->loop, &n->next, 0);
}

/*
 * Eight quiet requests at one interval before the next longer one: a change of
 * the oscillator shows by then, and the way from 16 s to 1024 s takes hours.
 */
static void ntp_pace(struct source *s, int direction)
{
	struct ntp *n = to_ntp(s);

	if (direction < 0) {
		n->calm = 0;
		if (n->poll > n->floor)
			n->poll--;
		return;
	}
	if (!direction || n->burst_left > 0 || n->poll >= n->cfg->maxpoll || ++n->calm < 8)
		return;
	n->calm = 0;
	n->poll++;
}

static void ntp_report(const struct source *s, struct source_report *r)
{
	const struct ntp *n = (const struct ntp *)s;

	*r = n->count;
	memcpy(r->address, n->address, sizeof(r->address));
	r->reach = n->reach;
	r->interval_s = (double)interval_ns(n) * 1e-9;
}

static void ntp_destroy(struct source *s)
{
	struct ntp *n = to_ntp(s);

	end_exchange(n);
	loop_timer_cancel(n->loop, &n->next);
	resolve_cancel(n->resolving);
	if (n->stamp_fd >= 0)
		close(n->stamp_fd);
	free(n);
}

static const struct source_ops ntp_ops = {
	.kind		= "ntp",
	.start		= ntp_start,
	.burst		= ntp_burst,
	.restart	= ntp_restart,
	.pace		= ntp_pace,
	.report		= ntp_report,
	.destroy	= ntp_destroy,
};

struct source *source_ntp_new(const struct config_source *cfg, struct counter *counter,
			      struct loop *loop, const struct source_sink *sink)
{
	struct ntp *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->base.ops = &ntp_ops;
	n->base.name = cfg->name;
	n->base.sink = *sink;
	n->cfg = cfg;
	n->counter = counter;
	n->loop = loop;
	n->poll = cfg->minpoll;
	n->floor = cfg->minpoll;
	n->next.cb = request;
	n->next.arg = n;
	n->timeout.cb = timed_out;
	n->timeout.arg = n;
	n->stamp_fd = open_stamping();
	n->sock.fd = -1;
	n->sock.cb = socket_ready;
	n->sock.arg = n;
	return &n->base;
}
