// SPDX-License-Identifier: GPL-2.0-only
/* Sources of this machine: see source_local.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "source_local.h"
#include "word.h"

#define NSEC		INT64_C(1000000000)
/* Stamps in a row after which less often would have done, before it is less often */
#define CALM_STAMPS	8

static struct local *to_local(struct source *s)
{
	return (struct local *)s;
}

void local_init(struct local *l, const struct source_ops *ops, const struct config_source *cfg,
		struct counter *counter, struct loop *loop, const struct source_sink *sink,
		void (*measure)(void *arg), const char refid[4])
{
	l->base = (struct source){ .ops = ops, .name = cfg->name, .sink = *sink };
	l->cfg = cfg;
	l->counter = counter;
	l->loop = loop;
	l->fd = -1;
	l->poll = cfg->minpoll;
	l->next = (struct loop_timer){ .cb = measure, .arg = l };
	memcpy(&l->count.refid, refid, sizeof(l->count.refid));
}

void local_burst(struct source *s)
{
	struct local *l = to_local(s);

	if (l->burst_left)
		return;
	l->burst_left = LOCAL_BURST_LEN;
	loop_timer_set(l->loop, &l->next, LOCAL_BURST_GAP_NS);
}

void local_restart(struct source *s)
{
	struct local *l = to_local(s);

	l->poll = l->cfg->minpoll;
	l->burst_left = LOCAL_BURST_LEN;
	loop_timer_set(l->loop, &l->next, 0);
}

void local_start(struct source *s)
{
	local_restart(s);
}

void local_pace(struct source *s, int direction)
{
	struct local *l = to_local(s);

	/* as eager at once, less eager after some time of agreement */
	if (direction < 0)
		l->poll = l->cfg->minpoll;
	l->calm = direction > 0 ? l->calm + 1 : 0;
	if (l->calm < CALM_STAMPS)
		return;
	l->calm = 0;
	if (l->poll < l->cfg->maxpoll)
		l->poll++;
}

void local_report(const struct source *s, struct source_report *r)
{
	const struct local *l = (const struct local *)s;

	*r = l->count;
	r->interval_s = (double)(1 << l->poll);
}

void local_destroy(struct source *s)
{
	struct local *l = to_local(s);

	loop_timer_cancel(l->loop, &l->next);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

int64_t local_begin(struct local *l)
{
	l->burst_left -= l->burst_left > 0;
	l->count.sent++;
	l->count.reach = (uint8_t)(l->count.reach << 1);
	return l->burst_left ? LOCAL_BURST_GAP_NS : NSEC << l->poll;
}

static void complain(struct local *l, int err, const char *advice)
{
	log_msg(l->silent == err ? LOG_DEBUG : LOG_WARNING, "%s %s: %s%s", l->base.ops->kind,
		l->cfg->name, strerror(-err), advice);
	l->silent = err;
}

void local_failed(struct local *l, int err, const char *advice)
{
	l->count.bad++;
	complain(l, err, advice);
	l->base.sink.missed(l->base.sink.arg);
}

void local_stamp(struct local *l, const struct source_stamp *st)
{
	l->silent = 0;
	l->count.good++;
	l->count.reach |= 1;
	l->base.sink.stamp(l->base.sink.arg, st);
}

void local_absent(struct local *l, int err, const char *advice)
{
	l->count.reach = (uint8_t)(l->count.reach << 1);
	complain(l, err, *advice ? advice : err == -EACCES || err == -EPERM ?
		 " (give ffclockd's user read access: 61-ffclockd.rules does, through group ffclock)" : "");
	loop_timer_set(l->loop, &l->next, LOCAL_REOPEN_NS);
	l->base.sink.missed(l->base.sink.arg);
}

bool local_kernel_follows(const struct local *l, const char *path)
{
	char word[8];

	return counter_device_fd(l->counter) >= 0 && !read_word(path, word, sizeof(word)) &&
	       !strcmp(word, "Y");
}

int local_invert(struct local *l, const struct counter_mark *a, const struct counter_mark *b,
		 int64_t before, int64_t after, int half_ns, struct ffe_stamp *s)
{
	double period = counter_period_ns(l->counter);
	uint32_t err_a = 0, err_b = 0;
	uint64_t half;
	int err;

	if (a->epoch != b->epoch)
		return -ESTALE;
	err = counter_invert(l->counter, a, b, before, &s->ta, &err_a);
	if (!err)
		err = counter_invert(l->counter, a, b, after, &s->tf, &err_b);
	if (err)
		return err;
	if (half_ns) {
		half = (uint64_t)(half_ns / period) + 1;
		s->ta -= half;
		s->tf += half;
	}
	/* limits of errors, as one sigma: a third */
	s->client_err_ns = (err_a > err_b ? err_a : err_b) / 3;
	return s->tf > s->ta ? 0 : -ERANGE;
}
