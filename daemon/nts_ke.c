// SPDX-License-Identifier: GPL-2.0-only
/*
 * NTS key establishment: see nts_ke.h.
 *
 *	connect -> handshake -> request -> answer up to the end record -> keys
 *
 * Never blocks: each step runs until the socket or GnuTLS says "again".
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "log.h"
#include "nts_ke.h"

#define NSEC		INT64_C(1000000000)

/* All of it: connection, four flights, verification */
#define PATIENCE_NS	(15 * NSEC)

/* TLS 1.3 and what goes with it; nothing older (RFC 8915 section 3) */
#define PRIORITY	"NORMAL:-VERS-ALL:+VERS-TLS1.3"

/* RFC 8915 section 5.1 */
#define EXPORTER	"EXPORTER-network-time-security"

/* A chain longer than that is somebody's joke */
#define CHAIN_MAX	16

struct nts_trust {
	struct nts_trust			*next;
	unsigned int				users;
	char					*ca_file;
	gnutls_certificate_credentials_t	cred;
};

struct nts_ke {
	struct loop			*loop;
	struct nts_trust		*trust;
	void				(*cb)(void *arg, const struct nts_ke_result *r);
	void				*arg;
	char				*host;
	bool				ignore_time;
	struct loop_fd			sock;
	uint32_t			events;
	struct loop_timer		timeout;
	gnutls_session_t		tls;
	enum { CONNECTING, SHAKING, SENDING, READING } step;
	uint8_t				request[NTS_KE_REQUEST_LEN];
	size_t				sent;
	uint8_t				buf[NTS_KE_ANSWER_MAX];
	size_t				len;
	char				error[320];
	struct nts_ke_result		result;
};

static struct nts_trust *all_trust;

/* Trust ------------------------------------------------------------------- */

struct nts_trust *nts_trust_get(const char *ca_file)
{
	struct nts_trust *t;
	int n;

	for (t = all_trust; t; t = t->next) {
		if (!strcmp(t->ca_file, ca_file)) {
			t->users++;
			return t;
		}
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		goto nomem;
	t->ca_file = strdup(ca_file);
	if (!t->ca_file || gnutls_certificate_allocate_credentials(&t->cred) < 0)
		goto nomem;
	if (*ca_file)
		n = gnutls_certificate_set_x509_trust_file(t->cred, ca_file, GNUTLS_X509_FMT_PEM);
	else
		n = gnutls_certificate_set_x509_system_trust(t->cred);
	if (n < 0) {
		log_err("NTS: cannot load %s: %s", *ca_file ? ca_file :
			"the system's certificate authorities", gnutls_strerror(n));
		goto fail;
	}
	if (!n) {
		log_err("NTS: %s holds no certificate authority%s", *ca_file ? ca_file :
			"the system's trust store", *ca_file ? "" : " (install ca-certificates)");
		goto fail;
	}
	t->users = 1;
	t->next = all_trust;
	all_trust = t;
	return t;

nomem:
	log_err("out of memory");
fail:
	if (t) {
		if (t->cred)
			gnutls_certificate_free_credentials(t->cred);
		free(t->ca_file);
	}
	free(t);
	return NULL;
}

void nts_trust_put(struct nts_trust *t)
{
	struct nts_trust **p;

	if (!t || --t->users)
		return;
	for (p = &all_trust; *p != t; p = &(*p)->next)
		;
	*p = t->next;
	gnutls_certificate_free_credentials(t->cred);
	free(t->ca_file);
	free(t);
}

/* Time of certificates -------------------------------------------------------- */

static time_t (*clock_now)(void *arg);
static void *clock_arg;

static time_t tls_time(time_t *out)
{
	time_t t = clock_now ? clock_now(clock_arg) : 0;

	if (!t) {
		struct timespec ts;

		/* not time(): GnuTLS calls this in its place */
		clock_gettime(CLOCK_REALTIME, &ts);
		t = ts.tv_sec;
	}
	if (out)
		*out = t;
	return t;
}

void nts_set_clock(time_t (*now)(void *arg), void *arg)
{
	clock_now = now;
	clock_arg = arg;
	gnutls_global_set_time_function(tls_time);
}

/* The span in which all certificates of the server's chain are valid */
static int chain_span(struct nts_ke *ke)
{
	unsigned int n = 0, i;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(ke->tls, &n);
	time_t from = 0, until = INT64_MAX;

	if (!chain || !n || n > CHAIN_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		gnutls_x509_crt_t crt;
		time_t a, b;

		if (gnutls_x509_crt_init(&crt) < 0)
			return -ENOMEM;
		if (gnutls_x509_crt_import(crt, &chain[i], GNUTLS_X509_FMT_DER) < 0) {
			gnutls_x509_crt_deinit(crt);
			return -EINVAL;
		}
		a = gnutls_x509_crt_get_activation_time(crt);
		b = gnutls_x509_crt_get_expiration_time(crt);
		gnutls_x509_crt_deinit(crt);
		if (a == (time_t)-1 || b == (time_t)-1)
			return -EINVAL;
		from = a > from ? a : from;
		until = b < until ? b : until;
	}
	ke->result.valid_from = from;
	ke->result.valid_until = until;
	return 0;
}

/*
 * What is wrong with a certificate's time alone.  UNUSED and the like are never
 * let pass, and INSECURE_ALGORITHM is not a matter of time.
 */
#define TIMELY_FLAGS	(GNUTLS_CERT_NOT_ACTIVATED | GNUTLS_CERT_EXPIRED)

/* GnuTLS asks for this in the handshake, before any application data */
static int verify(gnutls_session_t tls)
{
	struct nts_ke *ke = gnutls_session_get_ptr(tls);
	gnutls_typed_vdata_st what[] = {
		{ .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)ke->host },
		{ .type = GNUTLS_DT_KEY_PURPOSE_OID,
		  .data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER },
	};
	gnutls_datum_t text = { 0 };
	unsigned int status = 0;

	if (chain_span(ke)) {
		snprintf(ke->error, sizeof(ke->error), "its certificate cannot be read");
		return -1;
	}
	if (gnutls_certificate_verify_peers(tls, what, 2, &status) < 0) {
		snprintf(ke->error, sizeof(ke->error), "its certificate cannot be verified");
		return -1;
	}
	if (!status)
		return 0;
	if (ke->ignore_time && (status & TIMELY_FLAGS) &&
	    !(status & ~(unsigned int)(TIMELY_FLAGS | GNUTLS_CERT_INVALID))) {
		ke->result.untimely = true;
		return 0;
	}
	if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) >= 0)
		snprintf(ke->error, sizeof(ke->error), "%s", text.data);
	else
		snprintf(ke->error, sizeof(ke->error), "its certificate is not good");
	gnutls_free(text.data);
	return -1;
}

/* The session ------------------------------------------------------------- */

static void ke_free(struct nts_ke *ke)
{
	int fd = ke->sock.fd;

	loop_timer_cancel(ke->loop, &ke->timeout);
	if (fd >= 0) {
		loop_del(ke->loop, &ke->sock);
		close(fd);
	}
	if (ke->tls)
		gnutls_deinit(ke->tls);
	nts_trust_put(ke->trust);
	free(ke->host);
	gnutls_memset(&ke->result, 0, sizeof(ke->result));
	free(ke);
}

static void done(struct nts_ke *ke)
{
	void (*cb)(void *, const struct nts_ke_result *) = ke->cb;
	struct nts_ke_result r = ke->result;
	char error[sizeof(ke->error)];

	memcpy(error, ke->error, sizeof(error));
	r.error = *error ? error : NULL;
	void *arg = ke->arg;

	ke_free(ke);
	cb(arg, &r);
	gnutls_memset(&r, 0, sizeof(r));
}

static void failed(struct nts_ke *ke, const char *what)
{
	/* what verification found out says more */
	if (!*ke->error)
		snprintf(ke->error, sizeof(ke->error), "%s", what);
	done(ke);
}

static void timed_out(void *arg)
{
	failed(arg, "no answer in time");
}

static void on_ready(void *arg, uint32_t events);

/* Return: 0 or -errno */
static int want(struct nts_ke *ke, uint32_t events)
{
	int fd = ke->sock.fd, err;

	if (ke->events == events)
		return 0;
	loop_del(ke->loop, &ke->sock);
	ke->sock.fd = fd;
	err = loop_add(ke->loop, &ke->sock, events);
	if (err) {
		close(fd);
		return err;
	}
	ke->events = events;
	return 0;
}

static int export_key(struct nts_ke *ke, uint8_t direction, uint8_t key[NTS_KEY_LEN])
{
	const uint8_t context[] = {
		0, NTS_PROTO_NTPV4, 0, NTS_AEAD_SIV_CMAC_256, direction,
	};

	return gnutls_prf_rfc5705(ke->tls, strlen(EXPORTER), EXPORTER, sizeof(context),
				  (const char *)context, NTS_KEY_LEN, (char *)key);
}

static void finish(struct nts_ke *ke)
{
	if (export_key(ke, 0, ke->result.keys.c2s) < 0 ||
	    export_key(ke, 1, ke->result.keys.s2c) < 0) {
		failed(ke, "cannot derive keys");
		return;
	}
	/* politeness; nobody waits for the answer */
	gnutls_bye(ke->tls, GNUTLS_SHUT_WR);
	done(ke);
}

/* Return: > 0 go on at once, 0 wait for the socket, < 0 ended (ke is gone) */
static int again(struct nts_ke *ke, long ret, const char *what)
{
	char text[320];

	if (ret == GNUTLS_E_INTERRUPTED)
		return 1;
	if (ret == GNUTLS_E_AGAIN) {
		if (!want(ke, gnutls_record_get_direction(ke->tls) ? EPOLLOUT : EPOLLIN))
			return 0;
		failed(ke, "event loop");
		return -1;
	}
	if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED)
		snprintf(text, sizeof(text), "%s: server says: %s", what,
			 gnutls_alert_get_name(gnutls_alert_get(ke->tls)) ?: "unknown alert");
	else
		snprintf(text, sizeof(text), "%s: %s", what, gnutls_strerror((int)ret));
	failed(ke, text);
	return -1;
}

static int step_connect(struct nts_ke *ke)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(ke->sock.fd, SOL_SOCKET, SO_ERROR, &err, &len) || err) {
		failed(ke, strerror(err ? err : errno));
		return -1;
	}
	ke->step = SHAKING;
	return 1;
}

static int step_shake(struct nts_ke *ke)
{
	gnutls_datum_t alpn = { 0 };
	int ret = gnutls_handshake(ke->tls);

	if (ret < 0 && !gnutls_error_is_fatal(ret) && ret != GNUTLS_E_AGAIN)
		return 1;	/* warning alerts and the like */
	if (ret < 0)
		return again(ke, ret, "TLS handshake");
	if (gnutls_protocol_get_version(ke->tls) != GNUTLS_TLS1_3 ||
	    gnutls_alpn_get_selected_protocol(ke->tls, &alpn) < 0 ||
	    alpn.size != strlen(NTS_KE_ALPN) || memcmp(alpn.data, NTS_KE_ALPN, alpn.size)) {
		failed(ke, "not an NTS-KE server (no protocol " NTS_KE_ALPN ")");
		return -1;
	}
	ke->step = SENDING;
	return 1;
}

static int step_send(struct nts_ke *ke)
{
	ssize_t n = gnutls_record_send(ke->tls, ke->request + ke->sent,
				       sizeof(ke->request) - ke->sent);

	if (n < 0)
		return again(ke, n, "sending the request");
	ke->sent += (size_t)n;
	if (ke->sent == sizeof(ke->request))
		ke->step = READING;
	return 1;
}

static int step_read(struct nts_ke *ke)
{
	enum nts_ke_verdict v;
	char text[96];
	ssize_t n;

	if (ke->len == sizeof(ke->buf)) {
		failed(ke, "answer too long");
		return -1;
	}
	n = gnutls_record_recv(ke->tls, ke->buf + ke->len, sizeof(ke->buf) - ke->len);
	if (n < 0 && !gnutls_error_is_fatal((int)n) && n != GNUTLS_E_AGAIN)
		return 1;
	if (n < 0)
		return again(ke, n, "reading the answer");
	ke->len += (size_t)n;
	v = nts_ke_answer_decode(ke->buf, ke->len, &ke->result.answer);
	if (v == NTS_KE_MORE && n)
		return 1;
	if (v == NTS_KE_OK) {
		finish(ke);
		return -1;
	}
	snprintf(text, sizeof(text), v == NTS_KE_ERROR || v == NTS_KE_WARNING ||
		 v == NTS_KE_CRITICAL ? "%s %u" : "%s", nts_ke_verdict_name(v),
		 ke->result.answer.code);
	failed(ke, text);
	return -1;
}

static void on_ready(void *arg, uint32_t events)
{
	struct nts_ke *ke = arg;
	int go = 1;

	(void)events;
	while (go > 0) {
		switch (ke->step) {
		case CONNECTING:
			go = step_connect(ke);
			break;
		case SHAKING:
			go = step_shake(ke);
			break;
		case SENDING:
			go = step_send(ke);
			break;
		case READING:
			go = step_read(ke);
			break;
		}
	}
}

static bool is_address(const char *host)
{
	struct in6_addr a;

	return inet_pton(AF_INET, host, &a) == 1 || strchr(host, ':');
}

static int set_up_tls(struct nts_ke *ke)
{
	gnutls_datum_t alpn = {
		.data = (unsigned char *)NTS_KE_ALPN, .size = sizeof(NTS_KE_ALPN) - 1,
	};

	if (gnutls_init(&ke->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
		return -ENOMEM;
	gnutls_session_set_ptr(ke->tls, ke);
	/* RFC 6066: no addresses there */
	if (!is_address(ke->host) &&
	    gnutls_server_name_set(ke->tls, GNUTLS_NAME_DNS, ke->host, strlen(ke->host)) < 0)
		return -EINVAL;
	if (gnutls_priority_set_direct(ke->tls, PRIORITY, NULL) < 0 ||
	    gnutls_alpn_set_protocols(ke->tls, &alpn, 1, GNUTLS_ALPN_MANDATORY) < 0 ||
	    gnutls_credentials_set(ke->tls, GNUTLS_CRD_CERTIFICATE, ke->trust->cred) < 0)
		return -EINVAL;
	gnutls_session_set_verify_function(ke->tls, verify);
	gnutls_transport_set_int(ke->tls, ke->sock.fd);
	return 0;
}

struct nts_ke *nts_ke_start(struct loop *loop, const struct nts_ke_params *params)
{
	struct nts_ke *ke = calloc(1, sizeof(*ke));
	int err, fd;

	if (!ke) {
		errno = ENOMEM;
		return NULL;
	}
	ke->loop = loop;
	ke->trust = params->trust;
	ke->trust->users++;
	ke->cb = params->cb;
	ke->arg = params->arg;
	ke->ignore_time = params->ignore_time;
	ke->sock.fd = -1;
	ke->sock.cb = on_ready;
	ke->sock.arg = ke;
	ke->timeout.cb = timed_out;
	ke->timeout.arg = ke;
	nts_ke_request_encode(ke->request);
	ke->host = strdup(params->host);
	if (!ke->host) {
		err = -ENOMEM;
		goto fail;
	}
	fd = socket(params->addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err = -errno;
		goto fail;
	}
	if (connect(fd, params->addr, params->addr_len) && errno != EINPROGRESS) {
		err = -errno;
		close(fd);
		goto fail;
	}
	ke->sock.fd = fd;
	err = loop_add(loop, &ke->sock, EPOLLOUT);
	if (err) {
		close(fd);
		goto fail;
	}
	ke->events = EPOLLOUT;
	err = set_up_tls(ke);
	if (err)
		goto fail;
	loop_timer_set(loop, &ke->timeout, PATIENCE_NS);
	return ke;

fail:
	ke_free(ke);
	errno = -err;
	return NULL;
}

void nts_ke_cancel(struct nts_ke *ke)
{
	if (ke)
		ke_free(ke);
}
