/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's own record of its migration, by whatever command reaches the guest.
 *
 * The command prints what "ffclock --json migration" prints there: an array of
 * objects with a "sequence", the latest first.  Only the guest numbers its
 * disruptions, so the latest number before a migration tells which are new after it.
 */
#ifndef TOOLS_GUESTRECORD_H
#define TOOLS_GUESTRECORD_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

/**
 * struct guest_record - how to ask, and where the guest was
 * @command: for the shell; NULL: nobody asks
 * @before: its latest sequence when it was asked first
 * @known: that is known
 */
struct guest_record {
	const char	*command;
	int64_t		before;
	bool		known;
};

/* Ask before the migration.  Says on standard error if there is no answer */
void guest_record_begin(struct guest_record *r);

/**
 * guest_record_end() - ask after the migration
 * @r: as guest_record_begin() left it
 *
 * Asks again until the guest has noticed and settled its time, for 10 s at most.
 *
 * Return: array of what is new, the latest first, maybe empty; all there is if it
 * could not be asked before.  The caller's to put.  NULL after a message: no answer.
 */
struct json_object *guest_record_end(const struct guest_record *r);

/* Which of two answers' records are new.  For guest_record_end(), and its test */
struct json_object *guest_record_since(struct json_object *answer, int64_t before);

/* Whether the latest of these waits for nothing any more */
bool guest_record_settled(struct json_object *records);

#endif /* TOOLS_GUESTRECORD_H */
