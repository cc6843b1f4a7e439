/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's VMClock page, written from outside of the hypervisor.
 *
 * Three may write to it: we, the hypervisor (which bumps the marker after a
 * migration, and overwrites all of it while a guest's memory arrives), and the
 * guest, to which it is memory like any other.  So a copy of what we wrote is
 * kept, the page is compared with it again and again, and what differs is told
 * apart by a record of our own on the page:
 *
 *	0x000	struct ffclock_vmclock
 *	0x800	struct page_record: for which QEMU process it was written
 *
 * A record of another process means that the page came with a migration.
 * Neither the sequence nor the marker ever goes back, in serial arithmetic.
 */
#ifndef HOSTD_PAGE_H
#define HOSTD_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/ffclock.h>

#include "compose.h"

#define PAGE_RECORD_OFFSET	0x800
#define PAGE_RECORD_MAGIC	0x44484646	/* "FFHD" */
#define PAGE_RECORD_VERSION	1

/**
 * struct page_owner - a QEMU process, unlike any other at any time on any host
 * @boot_id: of the kernel it runs under
 * @pid: as that kernel's initial namespace knows it
 * @start: its start time in clock ticks since boot
 */
struct page_owner {
	uint8_t		boot_id[16];
	uint64_t	pid;
	uint64_t	start;
};

/**
 * struct page_record - who wrote the page, for whom
 * @magic: PAGE_RECORD_MAGIC
 * @version: PAGE_RECORD_VERSION
 * @size: of this structure
 * @owner: the QEMU process; written only when a page is taken over
 * @writes: number of times that the page was written for that process
 * @marker: disruption_marker at the last of these
 * @hash: of everything before it
 */
struct page_record {
	uint32_t		magic;
	uint16_t		version;
	uint16_t		size;
	struct page_owner	owner;
	uint64_t		writes;
	uint64_t		marker;
	uint64_t		hash;
};

/**
 * enum page_state - what a look at the page found
 * @PAGE_INTACT: as we left it
 * @PAGE_BUSY: somebody else is in the middle of an update; look again soon
 * @PAGE_ABSENT: no VMClock structure, and it is not for us to make one
 * @PAGE_FRESH: not written by us before
 * @PAGE_RESUMED: written by a predecessor of ours for this very process
 * @PAGE_MOVED: written for another process: a migration brought it
 * @PAGE_ROLLED_BACK: an earlier state of it: a snapshot was loaded
 * @PAGE_MARKED: the hypervisor has moved the marker, and nothing else
 * @PAGE_SCRIBBLED: something is on it that neither of us wrote
 */
enum page_state {
	PAGE_INTACT,
	PAGE_BUSY,
	PAGE_ABSENT,
	PAGE_FRESH,
	PAGE_RESUMED,
	PAGE_MOVED,
	PAGE_ROLLED_BACK,
	PAGE_MARKED,
	PAGE_SCRIBBLED,
};

const char *page_state_name(enum page_state state);

/**
 * struct page - one guest's page
 * @map: where it is mapped; at least FFCLOCK_PAGE_SIZE bytes
 * @owner: the QEMU process it belongs to
 * @format: there is nobody else to make a VMClock structure (ivshmem)
 * @known: @v and @r are valid
 * @v: what it should hold
 * @r: and our record
 * @marker: what the marker has to be at the next write
 * @from: the marker that it came with, while @arriving
 * @arriving: it came with a migration, and the hypervisor has not moved the marker
 *	yet.  It does when it has all of the guest; so we do only if it has not by
 *	the time that there is something to tell
 * @tai_offset_sec: TAI - UTC [s] for a page without time, 0: unknown.  A driver
 *	may look at that once, when it is loaded
 */
struct page {
	void			*map;
	struct page_owner	owner;
	bool			format;
	bool			known;
	struct ffclock_vmclock	v;
	struct page_record	r;
	uint64_t		marker;
	uint64_t		from;
	bool			arriving;
	int32_t			tai_offset_sec;
};

/**
 * page_look() - what has become of the page
 * @p: the page; what was found is taken in, so that the next page_write() is
 *	right: whoever gets another answer than PAGE_INTACT, PAGE_BUSY or
 *	PAGE_ABSENT has to write
 * @busy_ok: an unfinished update is an abandoned one: do not answer PAGE_BUSY
 *
 * Return: enum page_state
 */
enum page_state page_look(struct page *p, bool busy_ok);

/* The guest's counter was disrupted: a new marker with the next write */
void page_disrupt(struct page *p);

/* flags for page_write() */
#define PAGE_SOON	(1u << 0)	/* a disruption is about to come */

/**
 * page_write() - one section with the time, or without
 * @p: the page; page_look() has found it
 * @line: over the guest's TSC; NULL: no time to be had, the guest must not use
 *	what it has
 * @flags: PAGE_*
 */
void page_write(struct page *p, const struct host_line *line, unsigned int flags);

#endif /* HOSTD_PAGE_H */
