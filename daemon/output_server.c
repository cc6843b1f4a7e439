// SPDX-License-Identifier: GPL-2.0-only
/*
 * An NTP server (RFC 5905) on the clock.
 *
 * It answers client requests (mode 3) of those who are allowed, at most so often,
 * with 48 bytes: never more than was asked with, so it amplifies nothing.  Other
 * modes, control queries among them, get no answer at all.
 *
 * Arrival is the kernel's timestamp, on CLOCK_REALTIME, moved to our clock by a
 * mark taken microseconds later; departure is read right before the answer is
 * sent.  The root dispersion is our whole error bound; the root delay is 0, since
 * half the path's delay is in that bound already.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "log.h"
#include "ntp_packet.h"
#include "output.h"
#include "server_access.h"

#define NSEC		INT64_C(1000000000)

#define SOCKETS_MAX	(2 * CONFIG_SERVE_MAX)
/* Datagrams per turn of the loop: sources have to get theirs in time */
#define TURN_MAX	32
/* A kernel timestamp from longer ago is not taken: something was wrong with it */
#define STAMP_AGE_NS	NSEC
/* log2 of 60 ns, about what reading the counter and CLOCK_REALTIME takes */
#define PRECISION	(-24)
/* One in so many that are over the limit is told so, with kiss code RATE */
#define KOD_EVERY	8

#define MODE_CLIENT	3
#define MODE_SERVER	4

struct server {
	struct output		base;
	struct loop		*loop;
	struct counter		*counter;
	struct output_clock	clock;
	uint32_t		refid;		/* network byte order */
	int64_t			ref_ns;		/* UTC of the last update */
	struct server_access	access;
	struct server_sock {
		struct server	*server;
		struct loop_fd	w;
	} sock[SOCKETS_MAX];
	unsigned int		n_socks;
	uint64_t		refused;	/* not allowed or no request */
	uint64_t		limited;
};

union address {
	struct sockaddr		sa;
	struct sockaddr_in	in;
	struct sockaddr_in6	in6;
};

/* Packets ----------------------------------------------------------------- */

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, sizeof(v));
}

/* NTP's 32.32 fixed point, rounded down to 0.23 ns; era by wrapping */
static void put_time(uint8_t *p, int64_t unix_ns)
{
	int64_t sec = unix_ns / NSEC;

	put32(p, (uint32_t)((uint64_t)sec + NTP_UNIX_OFFSET));
	put32(p + 4, (uint32_t)(((uint64_t)(unix_ns % NSEC) << 32) / NSEC));
}

/* 16.16 s, rounded up; what is too large for it, and no bound at all, saturates */
static uint32_t to_short(double ns)
{
	double v = ceil(ns * 65536e-9);

	return v >= 0 && v < 4294967295.0 ? (uint32_t)v : UINT32_MAX;
}

/* Everything but the stamps; without a clock: leap 3, stratum 0, no reference */
static void put_head(uint8_t *a, const uint8_t *q, int leap, int stratum)
{
	memset(a, 0, NTP_PACKET_LEN);
	/* in the client's version */
	a[0] = (uint8_t)(leap << 6 | (q[0] & 0x38) | MODE_SERVER);
	a[1] = (uint8_t)stratum;
	a[2] = q[2];
	a[3] = (uint8_t)PRECISION;
	memcpy(a + 24, q + 40, 8);	/* origin: the client's transmit stamp */
}

static void build(struct server *s, uint8_t *a, const uint8_t *q, int64_t rx_ns, int64_t tx_ns,
		  double bound)
{
	int leap = output_leap(&s->clock, tx_ns);
	int stratum = s->clock.u.stratum + 1;

	if (leap == 3 || stratum > NTP_STRATUM_MAX || to_short(bound) >= 16 << 16) {
		put_head(a, q, 3, 0);
	} else {
		put_head(a, q, leap, stratum);
		put32(a + 4, 0);
		put32(a + 8, to_short(bound));
		memcpy(a + 12, &s->refid, 4);
		put_time(a + 16, s->ref_ns);
	}
	put_time(a + 32, rx_ns);
	put_time(a + 40, tx_ns);
}

/* Requests ---------------------------------------------------------------- */

/* A client's request?  Anything may be in it, and more may follow the header */
static bool is_request(const uint8_t *q, ssize_t len)
{
	int version = q[0] >> 3 & 7;

	return len >= NTP_PACKET_LEN && (q[0] & 7) == MODE_CLIENT && version >= 1 && version <= 4;
}

static int64_t rx_realtime(struct msghdr *msg)
{
	struct cmsghdr *c;
	struct timespec ts;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(c), sizeof(ts));
		return ts.tv_sec * NSEC + ts.tv_nsec;
	}
	return -1;
}

/* Where it was sent to, so that the answer comes from there */
static size_t reply_from(struct msghdr *msg, char *control, size_t size)
{
	struct msghdr out = { .msg_control = control, .msg_controllen = size };
	struct cmsghdr *c, *o = CMSG_FIRSTHDR(&out);

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			info.ipi_ifindex = 0;	/* routing knows the way back */
			info.ipi_spec_dst = info.ipi_addr;
			o->cmsg_level = IPPROTO_IP;
			o->cmsg_type = IP_PKTINFO;
			o->cmsg_len = CMSG_LEN(sizeof(info));
			memcpy(CMSG_DATA(o), &info, sizeof(info));
			return CMSG_SPACE(sizeof(info));
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			/* a link-local address means something on its link only */
			if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				info.ipi6_ifindex = 0;
			o->cmsg_level = IPPROTO_IPV6;
			o->cmsg_type = IPV6_PKTINFO;
			o->cmsg_len = CMSG_LEN(sizeof(info));
			memcpy(CMSG_DATA(o), &info, sizeof(info));
			return CMSG_SPACE(sizeof(info));
		}
	}
	return 0;
}

static void respond(struct server_sock *k, const uint8_t *q, union address *from,
		    struct msghdr *msg, bool kiss)
{
	char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = { 0 };
	struct server *s = k->server;
	int64_t rx, tx = 0, realtime = rx_realtime(msg);
	struct counter_mark now;
	uint8_t a[NTP_PACKET_LEN];
	struct iovec iov = { .iov_base = a, .iov_len = sizeof(a) };
	struct msghdr out = {
		.msg_name = from, .msg_namelen = msg->msg_namelen, .msg_iov = &iov,
		.msg_iovlen = 1, .msg_control = control,
	};
	double bound = INFINITY;
	int64_t late;

	out.msg_controllen = reply_from(msg, control, sizeof(control));
	if (!out.msg_controllen)
		out.msg_control = NULL;
	if (kiss) {
		put_head(a, q, 3, 0);
		memcpy(a + 12, "RATE", 4);
	} else {
		if (counter_mark(s->counter, &now) || output_now(&s->clock, &now, &tx, &bound)) {
			put_head(a, q, 3, 0);
		} else {
			/* by CLOCK_REALTIME, for the microseconds since it came */
			late = now.realtime_ns - realtime;
			if (realtime < 0 || late < 0 || late > STAMP_AGE_NS)
				late = 0;
			rx = tx - late;
			build(s, a, q, rx, tx, bound + now.err_ns);
		}
	}
	sendmsg(k->w.fd, &out, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_ready(void *arg, uint32_t events)
{
	struct server_sock *k = arg;
	struct server *s = k->server;
	int i;

	(void)events;
	for (i = 0; i < TURN_MAX; i++) {
		char control[256];
		uint8_t q[NTP_PACKET_LEN] = { 0 };
		union address from;
		struct iovec iov = { .iov_base = q, .iov_len = sizeof(q) };
		struct msghdr msg = {
			.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov,
			.msg_iovlen = 1, .msg_control = control,
			.msg_controllen = sizeof(control),
		};
		/* MSG_TRUNC: the length as it was */
		ssize_t n = recvmsg(k->w.fd, &msg, MSG_DONTWAIT | MSG_TRUNC);
		enum server_verdict v;
		const uint8_t *addr;

		if (n < 0)
			return;
		if (msg.msg_namelen < sizeof(from.in) || !is_request(q, n)) {
			s->refused++;
			continue;
		}
		addr = from.sa.sa_family == AF_INET6 ? from.in6.sin6_addr.s6_addr :
		       (const uint8_t *)&from.in.sin_addr;
		v = server_access_check(&s->access, addr, from.sa.sa_family == AF_INET6 ? 16 : 4,
					loop_now());
		if (v == SERVER_DENIED) {
			s->refused++;
			continue;
		}
		if (v == SERVER_LIMITED && ++s->limited % KOD_EVERY)
			continue;
		respond(k, q, &from, &msg, v == SERVER_LIMITED);
	}
}

/* Output ------------------------------------------------------------------ */

/* What others know us by: our server's address, or what sort of clock we have */
static uint32_t refid_of(const struct output_update *u)
{
	struct in6_addr a6;
	struct in_addr a4;
	uint8_t hash[16];
	uint32_t refid;

	if (inet_pton(AF_INET, u->address, &a4) == 1)
		return a4.s_addr;
	if (inet_pton(AF_INET6, u->address, &a6) == 1 &&
	    !gnutls_hash_fast(GNUTLS_DIG_MD5, &a6, sizeof(a6), hash)) {
		memcpy(&refid, hash, sizeof(refid));
		return refid;
	}
	memcpy(&refid, u->stratum ? "NTP" : "PHC", sizeof(refid));
	return refid;
}

static int server_update(struct output *o, const struct output_update *u)
{
	struct server *s = (struct server *)o;

	s->clock.u = *u;
	s->clock.have = true;
	s->refid = refid_of(u);
	s->ref_ns = u->map.time_ns;
	return 0;
}

static void server_broke(struct output *o, bool migration)
{
	(void)migration;
	((struct server *)o)->clock.have = false;
}

static int server_reload(struct output *o, const struct config *cfg)
{
	server_access_set(&((struct server *)o)->access, cfg);
	return 0;
}

static void server_destroy(struct output *o)
{
	struct server *s = (struct server *)o;
	unsigned int i;

	for (i = 0; i < s->n_socks; i++) {
		int fd = s->sock[i].w.fd;

		loop_del(s->loop, &s->sock[i].w);
		close(fd);
	}
	server_access_free(&s->access);
	free(s);
}

static const struct output_ops server_ops = {
	.name		= "server",
	.update		= server_update,
	.broke		= server_broke,
	.reload		= server_reload,
	.destroy	= server_destroy,
};

static int open_socket(struct server *s, const union address *a, socklen_t len)
{
	bool v6 = a->sa.sa_family == AF_INET6;
	struct server_sock *k = &s->sock[s->n_socks];
	int fd, one = 1, err;

	fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) ||
	    setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &one,
		       sizeof(one)) ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
	    bind(fd, &a->sa, len)) {
		err = -errno;
		close(fd);
		return err;
	}
	k->server = s;
	k->w = (struct loop_fd){ .fd = fd, .cb = on_ready, .arg = k };
	err = loop_add(s->loop, &k->w, EPOLLIN);
	if (err) {
		close(fd);
		return err;
	}
	s->n_socks++;
	return 0;
}

static int listen_on(struct server *s, const struct config_serve *v)
{
	union address a4 = { .in = { .sin_family = AF_INET, .sin_port = htons(v->port) } };
	union address a6 = { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(v->port) } };
	int err = 0;

	memcpy(&a4.in.sin_addr, v->addr, 4);
	memcpy(&a6.in6.sin6_addr, v->addr, 16);
	if (v->len != 16)
		err = open_socket(s, &a4, sizeof(a4.in));
	if (!err && v->len != 4)
		err = open_socket(s, &a6, sizeof(a6.in6));
	/* a host without IPv6 is not asked for it by '*' */
	if (err == -EAFNOSUPPORT && !v->len)
		err = 0;
	if (err)
		log_err("serve, port %u: %s%s", v->port, strerror(-err),
			err == -EADDRINUSE ? " (does another NTP server run?)" :
			err == -EACCES ? " (needs root or CAP_NET_BIND_SERVICE)" : "");
	return err;
}

struct output *output_server_new(const struct config *cfg, struct counter *counter,
				 struct loop *loop)
{
	struct server *s = calloc(1, sizeof(*s));
	size_t i;

	if (!s || server_access_init(&s->access)) {
		log_err("out of memory");
		free(s);
		return NULL;
	}
	s->base.ops = &server_ops;
	s->counter = counter;
	s->loop = loop;
	server_access_set(&s->access, cfg);
	for (i = 0; i < cfg->n_serve; i++) {
		if (listen_on(s, &cfg->serve[i])) {
			server_destroy(&s->base);
			return NULL;
		}
	}
	return &s->base;
}
