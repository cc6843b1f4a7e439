// SPDX-License-Identifier: GPL-2.0-only
/*
 * The scenarios.  A to F are the models of the shared stamp traces (other
 * seeds), so the best of chrony 4.3 (also with maxdelaydevratio 2), ntpsec
 * 1.2.2 and RADclock on the same models are their limits: "others".  The
 * rest goes beyond them; their limits are what a clock should do there, and
 * say so.
 */
#include "scenarios.h"

#define HOUR	3600.0

/* The oscillator of the traces, unless a scenario says otherwise. */
#define OSC	.period_ns = 1, .skew_ppm = 12.5, .wander = 1e-9
/* Paths of the traces. */
#define LAN	.base_us = { 100, 100 }, .queue_us = { 20, 20 }
#define WAN	.base_us = { 10000, 10000 }, .queue_us = { 1000, 1000 }, \
		.spike_p = 0.02, .spike_lo_us = 10000, .spike_hi_us = 50000
#define MID	.base_us = { 5000, 5000 }, .queue_us = { 200, 200 }

static const struct sim_event b_events[] = {
	{ SIM_QUEUE, 3 * HOUR, 3 * HOUR + 600, 10000, 10000, 3 * HOUR },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event c_events[] = {
	{ SIM_ROUTE, 8 * HOUR, 16 * HOUR, 5000, 0, 0 },
	{ SIM_ROUTE, 20 * HOUR, 20 * HOUR + 1200, 5000, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event d_events[] = {
	{ SIM_LOSE, 6 * HOUR, 0, 300e6, 0, 0 },
	{ SIM_RATE, 6 * HOUR, 0, 30, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event told_events[] = {
	{ SIM_LOSE, 6 * HOUR, 0, 300e6, 0, 0 },
	{ SIM_RATE, 6 * HOUR, 0, 30, 0, 0 },
	/* after the counter has settled, before the next request */
	{ SIM_TOLD, 6 * HOUR + 3, 0, 0, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event e_events[] = {
	{ SIM_OUTAGE, 8 * HOUR, 12 * HOUR, 1, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event fout_events[] = {
	{ SIM_OUTAGE, 28 * HOUR, 32 * HOUR, 1, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event symmetric_events[] = {
	{ SIM_ROUTE, 8 * HOUR, 16 * HOUR, 2000, 2000, 0 },
	{ SIM_ROUTE, 20 * HOUR, 20 * HOUR + 1200, 2000, 2000, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event unequal_events[] = {
	{ SIM_ROUTE, 8 * HOUR, 16 * HOUR, 3000, 1000, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event start_events[] = {
	/* five minutes, then the better route for good */
	{ SIM_ROUTE, 0, 300, 5000, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event slow_first_events[] = {
	{ SIM_ROUTE, 0, 17, 1500e3, 200e3, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event step_shift_events[] = {
	{ SIM_LOSE, 6 * HOUR, 0, 300e6, 0, 0 },
	{ SIM_RATE, 6 * HOUR, 0, 30, 0, 0 },
	{ SIM_ROUTE, 6 * HOUR, 24 * HOUR, 200, 200, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event small_step_events[] = {
	/* fits between the path's minimum delays: could be a route, is not */
	{ SIM_LOSE, 6 * HOUR, 0, 3e6, 0, 0 },
	{ SIM_RATE, 6 * HOUR, 0, -8, 0, 0 },
	{ SIM_ROUTE, 6 * HOUR, 24 * HOUR, 1000, 1000, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event rate_events[] = {
	{ SIM_RATE, 6 * HOUR, 0, 1, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event back_queue_events[] = {
	{ SIM_QUEUE_BACK, 3 * HOUR, 5 * HOUR, 5000, 5000, 6 * HOUR },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event lie_events[] = {
	/* a server that is wrong for two minutes, then right again */
	{ SIM_SERVER, 6 * HOUR, 6 * HOUR + 120, 50000, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event swap_events[] = {
	/* another route: faster there, slower back, 2 ms more in all */
	{ SIM_ROUTE, 8 * HOUR, 16 * HOUR, -3000, 5000, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event down_events[] = {
	/* a route never seen before, 3 ms faster there and 1 ms back */
	{ SIM_ROUTE, 8 * HOUR, 24 * HOUR, -3000, -1000, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event better_events[] = {
	/* from 20 ms of round trip to 200 us */
	{ SIM_ROUTE, 8 * HOUR, 24 * HOUR, -9700, -10100, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event flap_events[] = {
	{ SIM_ROUTE, 4 * HOUR, 4 * HOUR + 400, 2000, 0, 1000 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event both_queue_events[] = {
	{ SIM_QUEUE, 6 * HOUR, 9 * HOUR, 3000, 3000, 12 * HOUR },
	{ SIM_QUEUE_BACK, 6 * HOUR, 9 * HOUR, 2000, 2000, 12 * HOUR },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event busy_jump_events[] = {
	{ SIM_QUEUE, 5.8 * HOUR, 6.2 * HOUR, 1000, 1000, 0 },
	{ SIM_LOSE, 6 * HOUR, 0, 300e6, 0, 0 },
	{ SIM_RATE, 6 * HOUR, 0, 30, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event often_events[] = {
	{ SIM_LOSE, 2 * HOUR, 0, 80e6, 0, 0 },
	{ SIM_RATE, 2 * HOUR, 0, 30, 0, 0 },
	{ SIM_LOSE, 2.5 * HOUR, 0, -200e6, 0, 0 },
	{ SIM_RATE, 2.5 * HOUR, 0, -60, 0, 0 },
	{ SIM_LOSE, 4 * HOUR, 0, 900e6, 0, 0 },
	{ SIM_RATE, 4 * HOUR, 0, 100, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event creep_events[] = {
	{ SIM_ROUTE, 6 * HOUR, 24 * HOUR, 20, 20, 0 },
	{ SIM_ROUTE, 12 * HOUR, 24 * HOUR, 20, 20, 0 },
	{ SIM_ROUTE, 18 * HOUR, 24 * HOUR, -45, -45, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event tiny_events[] = {
	{ SIM_LOSE, 6 * HOUR, 0, 60e3, 0, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event spoil_events[] = {
	{ SIM_GARBAGE, 0, 24 * HOUR, 0.02, 0, 0 },
	{ SIM_SHORT, 0, 24 * HOUR, 0.01, 150, 0 },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

static const struct sim_event loss_events[] = {
	{ SIM_OUTAGE, 6 * HOUR, 6 * HOUR + 1800, 1, 0, 2 * HOUR },
	{ SIM_END, 0, 0, 0, 0, 0 },
};

#define OTHERS	"best of the others on the same model"
#define SHOULD	"requirement"

const struct sim_case sim_cases[] = {
{
	.sc = { "A", "LAN", 24, 16, OSC, LAN },
	.win = { { "", 4 * HOUR, 0, 2.32, 9.3, 60, 0, false } },
	.sources = OTHERS,
}, {
	.sc = { "A64", "LAN, poll 64", 24, 64, OSC, LAN },
	.win = { { "", 4 * HOUR, 0, 5.41, 27, 100, 0, false } },
	.sources = OTHERS,
}, {
	.sc = { "Aq", "LAN, quiet oscillator", 24, 16, .period_ns = 1,
		.skew_ppm = 12.5, .wander = 1e-10, LAN },
	.win = { { "", 4 * HOUR, 0, 1.23, 5.5, 40, 0, false } },
	.sources = OTHERS,
}, {
	.sc = { "B", "WAN, spikes, congestion one way", 24, 16, OSC, WAN,
		.events = b_events },
	.win = { { "", 4 * HOUR, 0, 30.1, 148, 1000, 0, false } },
	.sources = OTHERS,
}, {
	.sc = { "B64", "WAN, spikes, congestion one way, poll 64", 24, 64, OSC,
		WAN, .events = b_events },
	.win = { { "", 4 * HOUR, 0, 71.5, 316, 1500, 0, false } },
	.sources = OTHERS,
}, {
	.sc = { "C", "route to the server 5 ms longer for 8 h", 24, 16, OSC, MID,
		.events = c_events },
	.win = {
		{ "before", 4 * HOUR, 8 * HOUR, 9.4, 38, 300, 0, false },
		{ "during", 8 * HOUR, 16 * HOUR, 1905, 2570, 300, 0, false },
		{ "after", 16 * HOUR, 0, 9.4, 38, 300, 0, false },
	},
	.sources = OTHERS "; after as before",
}, {
	.sc = { "C64", "the same, poll 64", 24, 64, OSC, MID, .events = c_events },
	.win = {
		{ "during", 8 * HOUR, 16 * HOUR, 2178, 2611, 600, 0, false },
		{ "after", 16 * HOUR, 0, 50, 200, 600, 0, false },
	},
	.sources = OTHERS "; after: " SHOULD,
}, {
	.sc = { "D", "migration: counter loses 300 ms, 30 ppm faster", 12, 16,
		OSC, LAN, .events = d_events },
	.win = { { "", 8 * HOUR, 0, 2.39, 9.0, 60, 0, false } },
	.recover_at = 6 * HOUR, .recover_us = 100, .recover_s = 50,
	.sources = OTHERS "; recovery: " SHOULD,
}, {
	.sc = { "Dtold", "the same, and VMClock said so", 12, 16, OSC, LAN,
		.events = told_events },
	.win = { { "", 8 * HOUR, 0, 2.39, 9.0, 60, 0, false } },
	.recover_at = 6 * HOUR, .recover_us = 100, .recover_s = 34,
	.sources = OTHERS "; recovery: " SHOULD,
}, {
	.sc = { "E", "no answers for 4 h", 16, 16, OSC, LAN, .events = e_events },
	.win = {
		{ "outage", 8 * HOUR, 12 * HOUR, 110, 664, 0, 2500, true },
		{ "after", 12.5 * HOUR, 0, 2.32, 9.3, 60, 0, false },
	},
	.sources = SHOULD " (others: 219), after as A",
}, {
	.sc = { "F", "LAN, 1 ppm over the day", 48, 16, OSC, LAN,
		.temp_ppm = 1, .temp_s = 24 * HOUR },
	.win = { { "", 4 * HOUR, 0, 2.90, 12, 60, 0, false } },
	.sources = OTHERS,
}, {
	.sc = { "F64", "LAN, 1 ppm over the day, poll 64", 48, 64, OSC, LAN,
		.temp_ppm = 1, .temp_s = 24 * HOUR },
	.win = { { "", 4 * HOUR, 0, 6.53, 29, 120, 0, false } },
	.sources = OTHERS,
}, {
	.sc = { "Fout", "LAN, 1 ppm over the day, outage on the way down", 36, 16,
		OSC, LAN, .temp_ppm = 1, .temp_s = 24 * HOUR,
		.events = fout_events },
	/* a clock that knew the rate would be 7 ms off by then */
	.win = { { "outage", 28 * HOUR, 32 * HOUR, 300, 1200, 0, 25000, true } },
	.sources = SHOULD,
}, {
	.sc = { "symmetric", "both directions 2 ms longer for 8 h", 24, 16, OSC,
		MID, .events = symmetric_events },
	.win = {
		{ "during", 8 * HOUR, 16 * HOUR, 12, 100, 400, 0, false },
		{ "after", 16 * HOUR, 0, 12, 100, 400, 0, false },
	},
	.sources = SHOULD,
}, {
	.sc = { "unequal", "3 ms longer there, 1 ms back, for 8 h", 24, 16, OSC,
		MID, .events = unequal_events },
	.win = {
		/* the clock's say on how the change divides goes into it */
		{ "during", 8 * HOUR, 16 * HOUR, 40, 150, 400, 300, false },
		{ "after", 16 * HOUR, 0, 12, 60, 400, 0, false },
	},
	.sources = SHOULD,
}, {
	.sc = { "start", "starts on a route 5 ms longer for 5 min", 12, 16, OSC,
		MID, .events = start_events },
	.win = { { "", 4 * HOUR, 0, 9.4, 38, 300, 0, false } },
	.sources = SHOULD ": as if it had not been",
}, {
	.sc = { "slowfirst", "first exchange waits for 1.7 s", 12, 16, OSC, LAN,
		.events = slow_first_events },
	.win = { { "", 600, 0, 2.32, 9.3, 100, 0, false } },
	.sources = SHOULD ": as A after ten minutes",
}, {
	.sc = { "step+shift", "D, and the path 400 us longer from then on", 12,
		16, OSC, LAN, .events = step_shift_events },
	/* half the new minimum RTT is 200 us more than half the run's */
	.win = { { "", 8 * HOUR, 0, 2.39, 9.0, 60, 200, false } },
	.recover_at = 6 * HOUR, .recover_us = 100, .recover_s = 67,
	.sources = SHOULD,
}, {
	.sc = { "smallstep", "3 ms lost, 8 ppm, and 2 ms more RTT, on 10 ms", 12,
		16, OSC, MID, .events = small_step_events },
	/* half the new minimum RTT is 1 ms more */
	.win = { { "", 8 * HOUR, 0, 12, 60, 300, 1000, false } },
	/* a route with the same offset has to be ruled out first */
	.recover_at = 6 * HOUR, .recover_us = 300, .recover_s = 300,
	.sources = SHOULD,
}, {
	.sc = { "ratestep", "oscillator 1 ppm faster at once", 12, 16, OSC, LAN,
		.events = rate_events },
	.win = { { "", 8 * HOUR, 0, 2.5, 10, 60, 0, false } },
	.recover_at = 6 * HOUR, .recover_us = 15, .recover_s = 200,
	.recover_to = 6 * HOUR + 900,
	.sources = SHOULD,
}, {
	.sc = { "aircon", "0.3 ppm with a period of 20 min", 24, 16, OSC, LAN,
		.temp_ppm = 0.3, .temp_s = 1200 },
	.win = { { "", 4 * HOUR, 0, 6, 25, 100, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "flicker", "flicker floor 2e-9, little wander", 24, 16,
		.period_ns = 1, .skew_ppm = -40, .wander = 1e-10, .flicker = 2e-9,
		LAN },
	.win = { { "", 4 * HOUR, 0, 3, 12, 60, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "restless", "wander 1e-8", 24, 16, .period_ns = 1,
		.skew_ppm = 80, .wander = 1e-8, LAN },
	.win = { { "", 4 * HOUR, 0, 6, 25, 150, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "loss", "30 % loss, half an hour's outage every two", 24, 16, OSC,
		LAN, .loss_p = 0.3, .events = loss_events },
	.win = { { "", 4 * HOUR, 0, 15, 80, 300, 20, false } },
	.sources = SHOULD,
}, {
	.sc = { "backqueue", "answers queue for 2 h of every 6", 24, 64, OSC, MID,
		.events = back_queue_events },
	.win = { { "", 4 * HOUR, 0, 40, 200, 1500, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "lie", "server 50 ms wrong for 2 min", 12, 16, OSC, LAN,
		.events = lie_events },
	.win = { { "after", 6 * HOUR + 400, 0, 2.5, 10, 100, 0, false } },
	/* 8 of 2700 stamps lie, and nobody else says so */
	.cover = 0.995,
	.sources = SHOULD " (one server only: it is followed, and left again)",
}, {
	.sc = { "swap", "route 3 ms faster there, 5 ms slower back, for 8 h", 24,
		16, OSC, MID, .events = swap_events },
	.win = {
		{ "during", 8 * HOUR, 16 * HOUR, 40, 150, 400, 1500, false },
		{ "after", 16 * HOUR, 0, 12, 60, 400, 1500, false },
	},
	.sources = SHOULD,
}, {
	.sc = { "down", "new route, 3 ms faster there, 1 ms back", 24, 16, OSC,
		MID, .events = down_events },
	/* decided on one exchange, whose own delay is part of the verdict */
	.win = { { "", 8 * HOUR, 0, 400, 600, 1500, 2000, false } },
	.sources = SHOULD,
}, {
	.sc = { "better", "a route a hundred times shorter, 200 us less even", 24, 16,
		OSC, .base_us = { 9800, 10200 }, .queue_us = { 20, 20 },
		.events = better_events },
	/* 200 us off before, as half the difference of the directions */
	.win = {
		{ "before", 4 * HOUR, 8 * HOUR, 202, 210, 250, 9100, false },
		{ "after", 8.1 * HOUR, 0, 2.5, 10, 60, 0, false },
	},
	.sources = SHOULD ": the better path ends the old asymmetry",
}, {
	.sc = { "flap", "2 ms longer to the server for 400 of every 1000 s", 24,
		16, OSC, MID, .events = flap_events },
	.win = { { "", 5 * HOUR, 0, 12, 60, 400, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "busy", "queues in both directions for 3 h of every 12", 24, 16,
		OSC, MID, .events = both_queue_events },
	.win = { { "", 4 * HOUR, 0, 30, 900, 3000, 100, false } },
	.sources = SHOULD,
}, {
	.sc = { "busyjump", "D amid congestion", 12, 16, OSC, LAN,
		.events = busy_jump_events },
	.win = { { "", 8 * HOUR, 0, 2.39, 9.0, 60, 0, false } },
	.recover_at = 6 * HOUR, .recover_us = 1000, .recover_s = 100,
	.sources = SHOULD,
}, {
	.sc = { "often", "three migrations in two hours", 12, 16, OSC, LAN,
		.events = often_events },
	.win = { { "", 6 * HOUR, 0, 2.39, 9.0, 60, 0, false } },
	.recover_at = 4 * HOUR, .recover_us = 100, .recover_s = 50,
	.sources = SHOULD,
}, {
	.sc = { "tiny", "60 us lost, nothing else", 12, 16, OSC, LAN,
		.events = tiny_events },
	.win = { { "", 6.5 * HOUR, 0, 2.5, 10, 60, 0, false } },
	.recover_at = 6 * HOUR, .recover_us = 15, .recover_s = 200,
	.recover_to = 6 * HOUR + 900,
	.sources = SHOULD,
}, {
	.sc = { "creep", "path 40, 80 us longer, then 90 shorter", 24, 16, OSC,
		LAN, .events = creep_events },
	.win = { { "", 4 * HOUR, 0, 2.32, 12, 60, 42, false } },
	.sources = SHOULD ": as A",
}, {
	.sc = { "D1024", "D at poll 1024", 48, 1024, OSC, LAN,
		.events = d_events },
	.win = { { "", 24 * HOUR, 0, 35, 150, 600, 3, false } },
	.recover_at = 6 * HOUR, .recover_us = 1000, .recover_s = 4100,
	.sources = SHOULD,
}, {
	.sc = { "spoiled", "2 % garbage, 1 % stamped up to 150 us late", 24, 16,
		OSC, LAN, .events = spoil_events },
	.win = { { "", 4 * HOUR, 0, 2.5, 12, 100, 1, false } },
	/* of 200 seeds, 3 took a run of late stamps for a shorter path */
	.bad_ok = 0.03, .cover = 0.99,
	.sources = SHOULD,
}, {
	.sc = { "lognormal", "long-tailed queueing", 24, 16, OSC,
		.base_us = { 2000, 2000 }, .queue_us = { 100, 100 },
		.delay = SIM_LOGNORMAL },
	.win = { { "", 4 * HOUR, 0, 12, 60, 500, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "pareto", "queueing without variance", 24, 16, OSC,
		.base_us = { 2000, 2000 }, .queue_us = { 100, 100 },
		.delay = SIM_PARETO },
	.win = { { "", 4 * HOUR, 0, 8, 40, 500, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "gamma", "two queues each way: minimum hardly ever seen", 24, 16,
		OSC, .base_us = { 100, 100 }, .queue_us = { 20, 20 },
		.delay = SIM_GAMMA2 },
	.win = { { "", 4 * HOUR, 0, 4, 20, 100, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "jitter", "Gaussian jitter around a mean", 24, 16, OSC,
		.base_us = { 50, 50 }, .queue_us = { 10, 10 },
		.delay = SIM_GAUSS },
	/* the path's minimum, as far as it comes twice, is 12 us more */
	.win = { { "", 4 * HOUR, 0, 3, 12, 60, 6, false } },
	.sources = SHOULD,
}, {
	.sc = { "acpi_pm", "3.58 MHz counter, stamps 300 ns", 24, 16,
		.period_ns = 279.365, .skew_ppm = -35, .wander = 1e-9, LAN,
		.read_ns = 300 },
	.win = { { "", 4 * HOUR, 0, 2.5, 10, 60, 0, false } },
	.sources = SHOULD ": as A",
}, {
	.sc = { "oneway", "all of the delay in one direction", 24, 16, OSC,
		.base_us = { 198, 2 }, .queue_us = { 20, 20 } },
	/* nobody can see that; the bound has to hold it */
	.win = { { "", 4 * HOUR, 0, 99.5, 106, 130, 0, false } },
	.sources = SHOULD ": half of 196 us off, and covered",
}, {
	.sc = { "tsc", "2.9 GHz counter, late wake-ups, poll 1", 6, 1,
		.period_ns = 1 / 2.9, .skew_ppm = 3, .wander = 1e-9, LAN,
		.read_ns = 20, .wake_us = 5 },
	/* the wake-ups' asymmetry cannot be told from the path's */
	.win = { { "", 1 * HOUR, 0, 3, 6, 30, 0, false } },
	.sources = SHOULD,
}, {
	.sc = { "sparse", "poll 1024", 96, 1024, OSC, LAN },
	/* and 3 us here, from 84 exchanges a day */
	.win = { { "", 12 * HOUR, 0, 35, 150, 600, 3, false } },
	.sources = SHOULD,
}, {
	.sc = { "skewed", "nominal period 400 ppm wrong", 12, 64, .period_ns = 1,
		.skew_ppm = -400, .wander = 1e-9, MID },
	/* 450 exchanges find the minimum RTT to 5 us, as C64's 1350 to 3 */
	.win = { { "", 4 * HOUR, 0, 25, 100, 400, 10, false } },
	.sources = SHOULD,
},
};

const unsigned int sim_case_count = sizeof(sim_cases) / sizeof(sim_cases[0]);
