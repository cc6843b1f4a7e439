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
 * maxpoll.  With NTS (nts_client.h) requests and answers carry extension fields,
 * and nothing is believed that is not authenticated.  A burst is BURST_LEN requests close together, after start (iburst)
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

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "log.h"
#include "ntp_packet.h"
#include "nts_client.h"
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
	struct ntp			*next_ntp;	/* of all_ntp */
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
	/* NTS */
	struct nts_client		*nts;		/* NULL: plain NTP */
	struct sockaddr_storage		ke_addr;
	socklen_t			ke_len;
	bool				ke_failed;	/* said so */
	char				ke_host[NTS_HOST_MAX];	/* NTP server it named */
	uint16_t			ke_port;
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
	uint32_t			own_refid;	/* how a server would name us */
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

/* Every NTP source, so that no two of them ask the same server */
static struct ntp *all_ntp;

static void request(void *arg);
static void resolve(void *arg);
static void establish(struct ntp *n);
static void schedule(struct ntp *n);

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

static uint16_t sa_port(const struct sockaddr_storage *sa)
{
	return ntohs(sa->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port :
		     ((const struct sockaddr_in *)sa)->sin_port);
}

static void set_port(struct sockaddr_storage *sa, uint16_t port)
{
	if (sa->ss_family == AF_INET6)
		((struct sockaddr_in6 *)sa)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)sa)->sin_port = htons(port);
}

/* Does another source ask this server already?  Two votes of one would be one too many */
static bool is_taken(const struct ntp *n, const struct sockaddr_storage *sa)
{
	const struct ntp *o;

	for (o = all_ntp; o; o = o->next_ntp) {
		if (o == n)
			continue;
		if (o->addr_len && same_ip(&o->addr, sa) && sa_port(&o->addr) == sa_port(sa))
			return true;
		if (o->ke_len && same_ip(&o->ke_addr, sa) && sa_port(&o->ke_addr) == sa_port(sa))
			return true;
	}
	return false;
}

/*
 * The address to use of those a name has: the present one if it still is one of
 * them and answers, else the next that has not refused us and is nobody else's.
 * Return: its number; -1: all have refused, -2: all others are taken
 */
static int pick_address(const struct ntp *n, const struct resolve_result *r,
			const struct sockaddr_storage *present, bool have)
{
	int pick = -1, why = -1, keep = -1;
	unsigned int i;

	for (i = 0; i < r->n; i++) {
		if (is_denied(n, &r->addr[i]))
			continue;
		if (have && same_ip(&r->addr[i], present)) {
			if (!n->misses)
				return (int)i;
			keep = (int)i;
			continue;
		}
		if (is_taken(n, &r->addr[i])) {
			why = -2;
			continue;
		}
		if (pick < 0)
			pick = (int)i;
	}
	return pick >= 0 ? pick : keep >= 0 ? keep : why;
}

static void set_address(struct ntp *n, const struct sockaddr_storage *sa, socklen_t len)
{
	bool moved = n->addr_len && !same_ip(&n->addr, sa);

	n->addr = *sa;
	n->addr_len = len;
	getnameinfo((struct sockaddr *)&n->addr, n->addr_len, n->address, sizeof(n->address), NULL,
		    0, NI_NUMERICHOST);
	if (strcmp(n->address, n->cfg->name))
		log_info("server %s: address %s", n->cfg->name, n->address);
	if (moved)
		n->base.sink.moved(n->base.sink.arg);
}

static void resolved(void *arg, const struct resolve_result *r)
{
	struct ntp *n = arg;
	int pick;

	n->resolving = NULL;
	if (r->error) {
		if (!n->resolve_delay || log_wants(LOG_INFO))
			log_warn("server %s: cannot resolve the name: %s; trying again",
				 n->cfg->name, r->error == EAI_SYSTEM ? strerror(r->sys_errno) :
				 gai_strerror(r->error));
		retry_resolve(n);
		return;
	}
	if (n->nts)
		pick = pick_address(n, r, &n->ke_addr, n->ke_len);
	else
		pick = pick_address(n, r, &n->addr, n->addr_len);
	if (pick == -1) {
		log_warn("server %s: all of its addresses have refused us; asking again in 1 h",
			 n->cfg->name);
		n->n_denied = 0;
		n->next.cb = resolve;
		loop_timer_set(n->loop, &n->next, DENIED_REST_NS);
		return;
	}
	if (pick < 0) {
		/* a pool gives other addresses another time */
		log_msg(n->resolve_delay ? LOG_DEBUG : n->cfg->pool ? LOG_INFO : LOG_WARNING,
			"server %s: other sources have all of its addresses", n->cfg->name);
		retry_resolve(n);
		return;
	}
	n->resolve_delay = 0;
	n->misses = 0;
	if (!n->nts) {
		if (!n->addr_len || !same_ip(&n->addr, &r->addr[pick]))
			set_address(n, &r->addr[pick], r->len[pick]);
		request(n);
		return;
	}
	n->ke_addr = r->addr[pick];
	n->ke_len = r->len[pick];
	establish(n);
}

static void resolve(void *arg)
{
	struct ntp *n = arg;

	if (n->resolving)
		return;
	n->resolving = resolve_start(n->loop, n->cfg->name,
				     n->nts ? n->cfg->nts_port : n->cfg->port, resolved, n);
	if (!n->resolving) {
		log_warn("server %s: cannot resolve the name: %s", n->cfg->name, strerror(errno));
		retry_resolve(n);
	}
}

/* NTS --------------------------------------------------------------------- */

/* Another attempt later; with what there is until then */
static void not_established(struct ntp *n, const char *why)
{
	log_msg(n->ke_failed ? LOG_INFO : LOG_WARNING, "server %s: no NTS keys: %s", n->cfg->name,
		why);
	n->ke_failed = true;
	n->misses++;	/* another of its addresses next time */
	n->base.sink.missed(n->base.sink.arg);
	schedule(n);
	if (nts_client_usable(n->nts))
		return;
	n->next.cb = resolve;
	loop_timer_set(n->loop, &n->next, nts_client_wait_ns(n->nts));
}

static void ntp_resolved(void *arg, const struct resolve_result *r)
{
	struct ntp *n = arg;
	unsigned int i;

	n->resolving = NULL;
	for (i = 0; !r->error && i < r->n; i++)
		if (!is_denied(n, &r->addr[i]))
			break;
	if (r->error || i == r->n) {
		not_established(n, "the NTP server it names cannot be resolved");
		return;
	}
	set_address(n, &r->addr[i], r->len[i]);
	request(n);
}

static void established(void *arg, const char *error, const char *host, uint16_t port)
{
	struct sockaddr_storage sa;
	struct ntp *n = arg;

	if (error) {
		not_established(n, error);
		return;
	}
	if (n->ke_failed)
		log_notice("server %s: NTS keys at last", n->cfg->name);
	n->ke_failed = false;
	n->ke_port = port ? port : n->cfg->port;
	memcpy(n->ke_host, host, strlen(host) + 1);
	log_info("server %s: NTS keys%s%s", n->cfg->name, *host ? " for " : "", host);
	if (!*host) {
		sa = n->ke_addr;
		set_port(&sa, n->ke_port);
		set_address(n, &sa, n->ke_len);
		request(n);
		return;
	}
	n->resolving = resolve_start(n->loop, n->ke_host, n->ke_port, ntp_resolved, n);
	if (!n->resolving)
		not_established(n, strerror(errno));
}

static void establish(struct ntp *n)
{
	struct counter_mark now;
	struct ffe_map map;
	bool timeless;
	int err;

	timeless = n->cfg->nts_notime &&
		   (!n->base.sink.clock || counter_mark(n->counter, &now) ||
		    n->base.sink.clock(n->base.sink.arg, now.value, now.epoch, &map));
	err = nts_client_establish(n->nts, (const struct sockaddr *)&n->ke_addr, n->ke_len,
				   timeless, established, n);
	if (err)
		not_established(n, strerror(-err));
}

/* Are there keys for the next request?  If not, what to do is under way */
static bool have_keys(struct ntp *n)
{
	if (!n->nts || nts_client_ready(n->nts))
		return true;
	if (n->resolving || nts_client_establishing(n->nts))
		return false;
	if (!nts_client_wait_ns(n->nts)) {
		resolve(n);
		return false;
	}
	if (nts_client_usable(n->nts))
		return true;
	n->next.cb = resolve;
	loop_timer_set(n->loop, &n->next, nts_client_wait_ns(n->nts));
	n->reach <<= 1;
	n->base.sink.missed(n->base.sink.arg);
	return false;
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

/* RFC 5905 section 7.3: an IPv4 address, or the first bytes of an IPv6 address's MD5 */
static uint32_t refid_of(const struct sockaddr_storage *sa)
{
	uint8_t hash[16];
	uint32_t refid = 0;
	const void *ip;
	size_t len;

	ip = sa_ip(sa, &len);
	if (sa->ss_family == AF_INET)
		memcpy(&refid, ip, sizeof(refid));
	else if (gnutls_hash_fast(GNUTLS_DIG_MD5, ip, len, hash) >= 0)
		memcpy(&refid, hash, sizeof(refid));
	return refid;
}

static int open_socket(struct ntp *n)
{
	/*
	 * OPT_TSONLY: the stamp without the packet; OPT_ID: so that it carries
	 * the number of the packet (0: the only one of this socket).
	 */
	int want = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE |
		   SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
		   SOF_TIMESTAMPING_OPT_TSONLY;
	struct sockaddr_storage own = { 0 };
	socklen_t own_len = sizeof(own);
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
	n->own_refid = getsockname(fd, (struct sockaddr *)&own, &own_len) ? 0 : refid_of(&own);
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
	n->count.stratum = a->stratum;
	n->count.refid = a->refid;
	n->base.sink.stamp(n->base.sink.arg, &st);
}

/*
 * Is it the server's own word?  Nothing else is: not even a refusal, and least of
 * all time without authentication.
 */
static bool authentic(struct ntp *n, const uint8_t *buf, size_t len)
{
	enum nts_verdict v = nts_client_open(n->nts, buf, len);

	if (v == NTS_OK)
		return true;
	n->count.bad++;
	log_debug("server %s (%s): datagram of %zu bytes: %s", n->cfg->name, n->address, len,
		  nts_verdict_name(v));
	if (++n->junk >= JUNK_MAX)
		missed(n);
	return false;
}

static void receive(struct ntp *n)
{
	uint8_t buf[NTS_PACKET_MAX + 1];	/* one more shows what is too long */
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
	verdict = ntp_answer_decode(buf, n->nts && len > NTP_PACKET_LEN ? NTP_PACKET_LEN :
				    (size_t)len, n->cookie, after.realtime_ns / NSEC, &a);
	if (n->nts && verdict != NTP_BAD_LENGTH && verdict != NTP_BAD_ORIGIN &&
	    !authentic(n, buf, (size_t)len))
		return;
	if (verdict == NTP_OK && a.stratum > 1 && a.refid == n->own_refid && a.refid)
		verdict = NTP_LOOP;
	if (verdict == NTP_OK && n->nts && !nts_client_timely(n->nts, a.te / NSEC)) {
		log_err("server %s (%s): its certificate is not valid at the time it tells; not "
			"believed", n->cfg->name, n->address);
		missed(n);
		return;
	}
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
	uint8_t buf[NTS_PACKET_MAX];
	int fd, err, len = NTP_PACKET_LEN;
	struct ntp *n = arg;
	int64_t wait;

	/* only when the interval is shorter than the wait: give the old one up */
	if (n->sock.fd >= 0)
		missed(n);
	if (!have_keys(n))
		return;
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
	if (n->nts)
		len = nts_client_seal(n->nts, buf);

	err = len < 0 ? len : counter_mark(n->counter, &n->before);
	if (!err && send(fd, buf, (size_t)len, 0) != len)
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

/* Not while it is looked up who to ask, or how */
static bool can_ask(const struct ntp *n)
{
	return n->addr_len && !n->resolving && (!n->nts || !nts_client_establishing(n->nts));
}

static void ntp_burst(struct source *s)
{
	struct ntp *n = to_ntp(s);
	int64_t now = loop_now();

	n->calm = 0;
	n->poll = n->floor;
	if (n->burst_left > 0 || !can_ask(n) || n->floor > n->cfg->minpoll)
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
	if (n->floor > n->cfg->minpoll || !can_ask(n))
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
	r->authenticated = n->nts;
}

static void ntp_destroy(struct source *s)
{
	struct ntp *n = to_ntp(s), **p;

	for (p = &all_ntp; *p != n; p = &(*p)->next_ntp)
		;
	*p = n->next_ntp;
	end_exchange(n);
	loop_timer_cancel(n->loop, &n->next);
	resolve_cancel(n->resolving);
	nts_client_free(n->nts);
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
	if (cfg->nts) {
		n->nts = nts_client_new(loop, cfg->name, cfg->nts_ca);
		if (!n->nts) {
			free(n);
			return NULL;
		}
	}
	n->next_ntp = all_ntp;
	all_ntp = n;
	n->stamp_fd = open_stamping();
	n->sock.fd = -1;
	n->sock.cb = socket_ready;
	n->sock.arg = n;
	return &n->base;
}
