// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Xenstore source against a xenstored that the test plays at the other end of a
 * socket: Xen's wire protocol byte by byte, answers that are late, cut, wrong or missing,
 * records that are garbage or another host's.  No Xen is in it: see Documentation/xen.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static int fake_open(const char *path, int flags);
#define open(path, flags)	fake_open(path, flags)
#include "../../daemon/source_xenstore.c"
#undef open
#include "../../daemon/xenbus.c"

#include "counter_internal.h"

#define BUS	"/dev/xen/xenbus"
#define HOST_A	"0123abcd-4567-89ef-0123-456789abcdef"
#define HOST_B	"fedcba98-4567-89ef-0123-456789abcdef"

static struct {
	struct counter		*counter;
	struct counter_ops	ops;
	struct loop		*loop;
	struct source		*source;
	struct config_source	cfg;
	struct loop_fd		peer;
	int			ends[2];
	bool			no_bus;
	/* how xenstored answers */
	const char		*domid;
	const char		*error;
	char			record[FFCLOCK_RECORD_MAX];
	size_t			len;
	bool			deaf;
	bool			piecemeal;
	bool			stray;
	/* what came of it */
	unsigned int		asked, stamps, missed, broke;
	double			worst;
	struct source_stamp	last;
} w;

static int fake_open(const char *path, int flags)
{
	if (strcmp(path, BUS))
		return openat(AT_FDCWD, path, flags);
	if (w.no_bus) {
		errno = ENOENT;
		return -1;
	}
	return fcntl(w.ends[0], F_DUPFD_CLOEXEC, 0);
}

/* xenstored --------------------------------------------------------------------------- */

static void put_bytes(const void *p, size_t len)
{
	const char *c = p;
	size_t n;

	for (; len; c += n, len -= n) {
		n = w.piecemeal && len > 3 ? 3 : len;
		assert_int_equal(write(w.ends[1], c, n), n);
	}
}

static void message(uint32_t type, uint32_t request, const char *text, size_t len)
{
	struct header h = { .type = type, .request = request, .len = (uint32_t)len };

	put_bytes(&h, sizeof(h));
	put_bytes(text, len);
}

static void on_request(void *arg, uint32_t events)
{
	char in[512];
	ssize_t n = read(w.ends[1], in, sizeof(in));
	struct header h;
	const char *path = in + sizeof(h);

	(void)arg;
	(void)events;
	if (n <= 0) {
		loop_del(w.loop, &w.peer);
		return;
	}
	memcpy(&h, in, sizeof(h));
	/* one whole question at a time, as the kernel's end wants it */
	assert_true(n == (ssize_t)(sizeof(h) + h.len) && h.type == XS_READ && !h.transaction);
	assert_int_equal(path[h.len - 1], 0);
	w.asked++;
	if (w.deaf)
		return;
	if (w.stray)
		message(XS_READ, h.request - 1, "0", 1);
	if (!strcmp(path, DOMAIN)) {
		message(XS_READ, h.request, w.domid, strlen(w.domid));
		return;
	}
	assert_string_equal(path, NODE);
	if (w.error)
		message(XS_ERROR, h.request, w.error, strlen(w.error) + 1);
	else
		message(XS_READ, h.request, w.record, w.len);
}

/* CLOCK_REALTIME as a record; the counter is in ns */
static struct ffclock_record true_record(void)
{
	struct ffclock_record r = {
		.host = HOST_A, .seq = 1, .status = FFCLOCK_STATUS_SYNCHRONIZED,
		.next_update_sec = 16, .esterror_ns = 500, .maxerror_ns = 5000,
		.tai_offset_sec = 37,
	};
	struct counter_mark m;

	assert_int_equal(counter_mark(w.counter, &m), 0);
	r.time = ffclock_ns_to_time(m.realtime_ns);
	r.tsc.valid = true;
	r.tsc.counter = m.value;
	r.tsc.period = ffclock_period_from_hz(1000000000, &r.tsc.shift);
	r.tsc.maxerror = r.tsc.period / 1000;	/* REALTIME is slewed by 500 ppm at most */
	return r;
}

static void tell(const struct ffclock_record *r)
{
	int n = ffclock_record_format(w.record, sizeof(w.record), r);

	assert_true(n > 0);
	w.len = (size_t)n;
}

/* The source -------------------------------------------------------------------------- */

static void on_stamp(void *arg, const struct source_stamp *st)
{
	struct counter_mark now;
	double off;

	(void)arg;
	assert_int_equal(counter_mark(w.counter, &now), 0);
	off = (double)(now.realtime_ns - st->ffe.tb) -
	      (double)(int64_t)(now.value - st->ffe.ta / 2 - st->ffe.tf / 2);
	w.worst = fmax(w.worst, fabs(off) / (st->ffe.root_disp_ns + now.err_ns + HALF_NS));
	w.last = *st;
	w.stamps++;
}

static void on_missed(void *arg)
{
	(void)arg;
	w.missed++;
}

static void on_broke(void *arg, const char *why)
{
	(void)arg;
	assert_non_null(strstr(why, "another host"));
	w.broke++;
	w.source->ops->restart(w.source);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void run_ms(int ms)
{
	struct loop_timer t = { .cb = stop, .arg = w.loop };

	loop_timer_set(w.loop, &t, ms * INT64_C(1000000));
	assert_int_equal(loop_run(w.loop), 0);
}

static void begin(const char *domid)
{
	static const struct source_sink sink = {
		.stamp = on_stamp, .missed = on_missed, .broke = on_broke,
	};
	struct ffclock_record r;
	char why[256];

	memset(&w, 0, sizeof(w));
	w.domid = domid;
	log_setup(LOG_EMERG, false);
	w.counter = counter_raw_open(why, sizeof(why));
	w.loop = loop_new();
	assert_true(w.counter && w.loop);
	/* it counts ns; here it is the TSC of a machine of 1 GHz */
	w.ops = *w.counter->ops;
	w.ops.name = "tsc";
	w.counter->ops = &w.ops;
	r = true_record();
	tell(&r);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w.ends), 0);
	w.peer = (struct loop_fd){ .fd = w.ends[1], .cb = on_request };
	assert_int_equal(loop_add(w.loop, &w.peer, EPOLLIN), 0);
	w.cfg = (struct config_source){ .kind = CONFIG_SOURCE_XENSTORE, .trust_tsc = true };
	strcpy(w.cfg.name, BUS);
	w.source = source_xenstore_new(&w.cfg, w.counter, w.loop, &sink);
	assert_non_null(w.source);
	w.source->ops->start(w.source);
}

static void end(void)
{
	w.source->ops->destroy(w.source);
	loop_del(w.loop, &w.peer);
	close(w.ends[0]);
	close(w.ends[1]);
	loop_free(w.loop);
	counter_close(w.counter);
}

static struct xen *source(void)
{
	return (struct xen *)w.source;
}

static void test_life(void **state)
{
	struct ffclock_record r;
	struct source_report rep;

	(void)state;
	begin("5");
	run_ms(1500);
	w.source->ops->report(w.source, &rep);
	print_message("# %u stamps, worst error %.2f of the bound\n", w.stamps, w.worst);
	assert_true(w.stamps >= 3 && w.worst <= 1 && rep.reach & 1 && !w.missed);
	assert_memory_equal(&rep.refid, "XENS", 4);
	/* answers in pieces, and one to a question that was given up before each */
	w.piecemeal = true;
	w.stray = true;
	w.stamps = 0;
	run_ms(2500);
	assert_true(w.stamps >= 2 && w.worst <= 1);
	w.piecemeal = false;
	w.stray = false;
	/* no record, and one again */
	w.error = "ENOENT";
	w.missed = 0;
	run_ms(1500);
	assert_true(w.missed);
	w.error = NULL;
	w.stamps = 0;
	run_ms(1500);
	assert_true(w.stamps);
	/* another host without a word from the kernel */
	r = true_record();
	strcpy(r.host, HOST_B);
	tell(&r);
	run_ms(2500);
	assert_int_equal(w.broke, 1);
	assert_string_equal(source()->host, HOST_B);
	/* silence */
	w.deaf = true;
	w.missed = 0;
	run_ms(7500);
	assert_true(w.missed && source()->local.fd >= 0);
	w.deaf = false;
	w.stamps = 0;
	run_ms(6500);
	assert_true(w.stamps);
	/* the other end is gone */
	loop_del(w.loop, &w.peer);
	shutdown(w.ends[1], SHUT_RDWR);
	run_ms(1500);
	assert_int_equal(source()->local.fd, -1);
	end();
}

static void test_dom0(void **state)
{
	(void)state;
	begin("0");
	run_ms(1000);
	assert_true(!w.stamps && w.missed && w.asked == 1);
	/* it does not keep what rules all guests */
	assert_int_equal(source()->local.fd, -1);
	end();
	begin("5");
	w.source->ops->destroy(w.source);
	w.no_bus = true;
	w.source = source_xenstore_new(&w.cfg, w.counter, w.loop, &(struct source_sink){
		.stamp = on_stamp, .missed = on_missed });
	w.source->ops->start(w.source);
	run_ms(200);
	assert_true(w.missed == 1 && !w.asked);
	end();
}

/* Over the module's counter: which line, its offset, and when to leave it to ffclock_xen */
static void test_device(void **state)
{
	char current[] = "/tmp/ffclock-current-XXXXXX", follow[] = "/tmp/ffclock-follow-XXXXXX";
	char device[] = "/tmp/ffclock-device-XXXXXX";
	int cur = mkstemp(current), fol = mkstemp(follow), dev = mkstemp(device);
	struct ffclock_page page = { .ext = { .epoch = 1, .counter_offset = 12345678 } };
	const struct ffclock_record_line *line;
	struct ffclock_record r;
	uint64_t offset;

	(void)state;
	begin("5");
	current_path = current;
	follow_path = follow;
	assert_int_equal(write(dev, &page, sizeof(page)), sizeof(page));
	assert_int_equal(write(cur, "xen\n", 4), 4);
	w.counter->fd = dev;
	r = true_record();
	assert_int_equal(choose_line(source(), &r, 1, &line, &offset), -EOPNOTSUPP);
	r.xen = r.tsc;
	assert_int_equal(choose_line(source(), &r, 1, &line, &offset), 0);
	assert_true(line == &r.xen && offset == 12345678);
	assert_int_equal(choose_line(source(), &r, 2, &line, &offset), -ESTALE);
	assert_int_equal(pwrite(cur, "tsc\n", 4, 0), 4);
	assert_int_equal(choose_line(source(), &r, 1, &line, &offset), 0);
	assert_true(line == &r.tsc);
	w.cfg.trust_tsc = false;
	assert_int_equal(choose_line(source(), &r, 1, &line, &offset), -EOPNOTSUPP);
	assert_int_equal(pwrite(cur, "hpet", 4, 0), 4);
	assert_int_equal(choose_line(source(), &r, 1, &line, &offset), -EOPNOTSUPP);

	assert_false(local_kernel_follows(&source()->local, follow_path));
	assert_int_equal(pwrite(fol, "Y\n", 2, 0), 2);
	assert_true(local_kernel_follows(&source()->local, follow_path));
	run_ms(500);
	assert_true(!w.stamps && w.missed);
	/* a counter of user space that is not the TSC has no line */
	w.counter->fd = -1;
	assert_false(local_kernel_follows(&source()->local, follow_path));
	w.ops.name = "monotonic_raw";
	assert_int_equal(choose_line(source(), &r, 1, &line, &offset), -EOPNOTSUPP);
	end();
	close(cur);
	close(fol);
	close(dev);
	unlink(current);
	unlink(follow);
	unlink(device);
}

static void test_record(void **state)
{
	const int64_t at = INT64_C(1795256983), leap = INT64_C(1796083200);
	struct ffclock_record r = {
		.status = FFCLOCK_STATUS_FREERUNNING, .time = { .sec = at }, .esterror_ns = 100,
		.maxerror_ns = 1000,
		.xen = { .valid = true, .counter = 1000 },
	};
	struct ffe_stamp s = { 0 };

	(void)state;
	r.xen.period = ffclock_period_from_hz(1000000000, &r.xen.shift);
	r.xen.maxerror = r.xen.period / 1000000;
	assert_int_equal(record_time(&r, &r.xen, 1000 + 10 * UINT64_C(1000000000), 1, &s), 0);
	assert_true(llabs(s.tb - (at + 10) * NSEC) <= 1 && s.te == s.tb);
	/* 1 us, 1 ppm of 10 s, and between processors */
	assert_in_range(s.root_disp_ns, 1000 + 9999 + XEN_CPU_NS, 1000 + 10002 + XEN_CPU_NS);
	assert_int_equal(s.client_err_ns, 100);
	assert_int_equal(record_time(&r, &r.xen, 1000, 1.2, &s), -ERANGE);
	assert_int_equal(record_time(&r, &r.xen, (uint64_t)-2000000000, 1, &s), -ERANGE);
	assert_int_equal(record_time(&r, &r.xen, 3601 * UINT64_C(1000000000), 1, &s), -ESTALE);
	r.status = FFCLOCK_STATUS_UNRELIABLE;
	assert_int_equal(record_time(&r, &r.xen, 1000, 1, &s), -EAGAIN);
	r.status = FFCLOCK_STATUS_SYNCHRONIZED;
	r.maxerror_ns = FFCLOCK_BOUND_UNKNOWN;
	assert_int_equal(record_time(&r, &r.xen, 1000, 1, &s), -EDOM);
	r.maxerror_ns = UINT64_C(5000000000);
	assert_int_equal(record_time(&r, &r.xen, 1000, 1, &s), -EDOM);
	r.maxerror_ns = 1000;
	/* a leap second, before and after */
	r.time.sec = leap - 10;
	r.leap_change = 1;
	r.leap_utc_sec = (uint64_t)leap;
	s = (struct ffe_stamp){ 0 };
	assert_int_equal(record_time(&r, &r.xen, 1000, 1, &s), 0);
	assert_int_equal(s.leap, 1);
	s = (struct ffe_stamp){ 0 };
	assert_int_equal(record_time(&r, &r.xen, 1000 + 12 * UINT64_C(1000000000), 1, &s), 0);
	assert_true(!s.leap && llabs(s.tb - (leap + 1) * NSEC) <= 1);
}

/* The protocol by itself: what is no message, and any bytes at all */
static void test_wire(void **state)
{
	unsigned int seed = (unsigned int)time(NULL), i, n;
	const char *text = NULL;
	struct xenbus x = { 0 };
	char noise[64];
	size_t len = 0;
	int ends[2], err;

	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	w.ends[1] = ends[1];
	x.fd = ends[0];
	assert_int_equal(xenbus_read(&x, "a"), 0);
	assert_int_equal(read(ends[1], noise, sizeof(noise)), XENBUS_HEADER + 2);
	assert_int_equal(xenbus_answer(&x, &text, &len), -EAGAIN);
	message(XS_READ, 1, "", 0);
	assert_int_equal(xenbus_answer(&x, &text, &len), 0);
	assert_int_equal(len, 0);
	message(XS_ERROR, 1, "EACCES", 7);
	assert_int_equal(xenbus_answer(&x, &text, &len), -EACCES);
	message(XS_ERROR, 1, "EWHAT", 6);
	assert_int_equal(xenbus_answer(&x, &text, &len), -EREMOTEIO);
	message(XS_ERROR, 1, "ENOENT", 6);	/* without its zero */
	assert_int_equal(xenbus_answer(&x, &text, &len), -EREMOTEIO);
	message(15, 0, "watch", 5);
	assert_int_equal(xenbus_answer(&x, &text, &len), -EAGAIN);
	message(3, 1, "", 0);
	assert_int_equal(xenbus_answer(&x, &text, &len), -EPROTO);
	put_bytes(&(struct header){ .type = XS_READ, .request = 1, .len = XENBUS_PAYLOAD_MAX + 1 },
		  sizeof(struct header));
	assert_int_equal(xenbus_answer(&x, &text, &len), -EPROTO);
	memset(noise, 'a', sizeof(noise));
	assert_int_equal(xenbus_read(&x, "ffclock/clock"), 0);

	print_message("# seed %u\n", seed);
	srandom(seed);
	for (i = 0; i < 20000; i++) {
		char bytes[4 * XENBUS_HEADER];

		for (n = 0; n < sizeof(bytes); n++)
			bytes[n] = (char)(random() % 3 ? 0 : random());
		x.have = 0;
		put_bytes(bytes, 1 + (size_t)random() % sizeof(bytes));
		while (!(err = xenbus_answer(&x, &text, &len)))
			assert_true(len <= XENBUS_PAYLOAD_MAX);
		assert_int_not_equal(err, -EINTR);
		while (read(ends[0], noise, sizeof(noise)) > 0)
			;
	}
	while (read(ends[1], noise, sizeof(noise)) > 0)
		;
	close(ends[1]);
	x.have = 0;
	assert_int_equal(xenbus_answer(&x, &text, &len), -ENODATA);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_dom0),
		cmocka_unit_test(test_device),
	};

	return cmocka_run_group_tests_name("source_xenstore", tests, NULL, NULL);
}
