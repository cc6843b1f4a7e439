/* SPDX-License-Identifier: GPL-2.0-only */
/* Unit tests of what lives in an event loop; after cmocka.h. */
#ifndef SELFTESTS_UNIT_PUMP_H
#define SELFTESTS_UNIT_PUMP_H

#include "loop.h"

static void pump_end(void *arg)
{
	loop_stop(arg);
}

/* Let the loop run for @ms */
static void pump(struct loop *loop, int ms)
{
	struct loop_timer t = { .cb = pump_end, .arg = loop };

	loop_timer_set(loop, &t, ms * INT64_C(1000000));
	assert_int_equal(loop_run(loop), 0);
	loop_timer_cancel(loop, &t);
}

#endif /* SELFTESTS_UNIT_PUMP_H */
