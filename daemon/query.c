// SPDX-License-Identifier: GPL-2.0-only
/* ffclockd -Q: see query.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "nts_ke.h"
#include "query.h"
#include "sync.h"

#define NSEC		INT64_C(1000000000)

/* Exchanges that are enough, and how long to wait for them */
#define ENOUGH		4
#define PATIENCE_NS	(10 * NSEC)
#define LOOK_NS		(NSEC / 10)

struct query {
	struct loop		*loop;
	struct sync		*sync;
	struct loop_timer	look;
	int64_t			until;
	struct sync_view	view;
	bool			found;
};

static void look(void *arg)
{
	struct query *q = arg;

	q->found = !sync_look(q->sync, &q->view);
	if ((q->found && q->view.stamps >= ENOUGH) || loop_now() >= q->until) {
		loop_stop(q->loop);
		return;
	}
	loop_timer_set(q->loop, &q->look, LOOK_NS);
}

int query_main(struct config *cfg)
{
	struct query q = { .until = loop_now() + PATIENCE_NS };
	struct counter *counter;
	int ret = 1;
	size_t i;

	for (i = 0; i < cfg->n_sources; i++)
		cfg->sources[i].iburst = true;
	counter = counter_open(cfg->counter);
	if (!counter)
		return 1;
	q.loop = loop_new();
	if (!q.loop) {
		log_err("event loop: %s", strerror(errno));
		goto close_counter;
	}
	q.sync = sync_new(cfg, counter, q.loop, NULL, NULL);
	if (!q.sync) {
		log_err("out of memory");
		goto free_loop;
	}
	nts_set_clock(sync_unix_time, q.sync);
	q.look.cb = look;
	q.look.arg = &q;
	loop_timer_set(q.loop, &q.look, LOOK_NS);
	sync_start(q.sync);
	loop_run(q.loop);
	if (q.found) {
		/* the bound is at the reading of the system clock, pairing included */
		printf("system clock %+.9f s from UTC (positive: ahead), bound %.9f s, server %s "
		       "(%s), %llu exchanges\n", (double)q.view.system_ns * 1e-9,
		       (q.view.map.bound_ns + q.view.mark.err_ns) * 1e-9, q.view.server,
		       q.view.address, (unsigned long long)q.view.stamps);
		ret = 0;
	} else {
		log_err("no usable answer from any server within %d s; -d says why",
			(int)(PATIENCE_NS / NSEC));
	}
	nts_set_clock(NULL, NULL);
	sync_free(q.sync);
free_loop:
	loop_free(q.loop);
close_counter:
	counter_close(counter);
	return ret;
}
