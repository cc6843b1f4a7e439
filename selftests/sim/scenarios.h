/* SPDX-License-Identifier: GPL-2.0-only */
/* What the simulator runs, and what is asked of the clock in each. */
#ifndef SELFTESTS_SCENARIOS_H
#define SELFTESTS_SCENARIOS_H

#include "sim.h"

#define SIM_WINDOWS	4

/**
 * struct sim_window - a part of a run that is scored
 * @label: appended to the scenario's name; NULL ends the list
 * @from: [s]
 * @to: [s]; 0 for the end
 * @median_us: limit for the median over seeds of the median error [us]
 * @p99_us: limit for the median over seeds of the 99th percentile [us]
 * @worst_us: limit for every seed's largest error [us]; 0 for none
 * @bound_slack_us: allowed beyond 5 x median error + half the minimum RTT for
 *	the median bound [us]: what the scenario makes the bound honestly hold
 * @oracle: score against a clock that knew the rate exactly when answers
 *	ceased, only where there are no answers
 */
struct sim_window {
	const char	*label;
	double		from;
	double		to;
	double		median_us;
	double		p99_us;
	double		worst_us;
	double		bound_slack_us;
	bool		oracle;
};

/**
 * struct sim_case - a scenario and its tests
 * @sc: scenario
 * @win: windows
 * @recover_at: event to recover from [s]; 0 for none
 * @recover_us: error to get below for good [us]
 * @recover_s: limit for the median over seeds of the time it takes [s]
 * @recover_to: end of the time looked at [s]; 0 for the end
 * @cover: part of all samples the bound has to cover; 0 for 0.999
 * @bad_ok: part of the seeds that may fail; one may as soon as it is not 0
 * @sources: where the limits come from
 */
struct sim_case {
	struct sim_scenario	sc;
	struct sim_window	win[SIM_WINDOWS];
	double			recover_at;
	double			recover_us;
	double			recover_s;
	double			recover_to;
	double			cover;
	double			bad_ok;
	const char		*sources;
};

extern const struct sim_case sim_cases[];
extern const unsigned int sim_case_count;

#endif /* SELFTESTS_SCENARIOS_H */
