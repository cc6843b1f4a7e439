/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the control socket and what its answers say. */
#ifndef FFCLOCKD_CONTROL_INTERNAL_H
#define FFCLOCKD_CONTROL_INTERNAL_H

#include <json-c/json.h>

#include "control_request.h"
#include "sync.h"

/**
 * struct control_stamp - a comparison that is remembered
 * @source: number
 * @s: it
 * @offset_ns: server's time minus the clock as it was, at the middle [ns]
 * @rtt_ns: round-trip time without the server's part [ns]
 * @compared: the two are valid: there was a clock
 */
struct control_stamp {
	unsigned int		source;
	struct ffe_stamp	s;
	double			offset_ns;
	double			rtt_ns;
	bool			compared;
};

/**
 * struct control_memory - what answers are made of beside struct sync
 * @ring: stamps, @n of them, the next one goes to @at
 * @have: @last is valid
 * @last: update
 * @updates: since start
 * @broke: breaks of the counter since start
 * @migrations: of these, those known to be migrations
 * @start_ns: loop_now() when the daemon began [ns]
 */
struct control_memory {
	struct control_stamp	ring[CONTROL_STAMPS_MAX];
	unsigned int		n;
	unsigned int		at;
	bool			have;
	struct output_update	last;
	uint64_t		updates;
	uint32_t		broke;
	uint32_t		migrations;
	int64_t			start_ns;
};

/* Members of an answer, added to @o */
void control_tracking(struct json_object *o, const struct control_memory *m, struct sync *sync,
		      struct counter *counter);
void control_sources(struct json_object *o, struct sync *sync);
void control_stamps(struct json_object *o, const struct control_memory *m, struct sync *sync,
		    unsigned int count);

#endif /* FFCLOCKD_CONTROL_INTERNAL_H */
