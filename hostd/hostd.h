/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's guests, and the clock on the page of each.
 *
 * One thread.  Everything is looked at from a timer: every millisecond for
 * guests in motion (arriving, or changed a moment ago), at the configured times
 * for the others.
 */
#ifndef HOSTD_HOSTD_H
#define HOSTD_HOSTD_H

#include <stdbool.h>
#include <stdint.h>

#include "../daemon/loop.h"
#include "compose.h"
#include "conf.h"
#include "hostclock.h"
#include "kvm.h"
#include "page.h"
#include "process.h"

#define HOSTD_BUCKETS	1024	/* of guests by pid */

/**
 * struct target - a page of a guest's
 * @page: what is on it
 * @fd: QEMU's memory
 * @ivshmem: not the vmclock device's
 * @busy_ns: since when somebody else has been writing it, 0: nobody
 * @told: it has been found, and written
 */
struct target {
	struct page	page;
	int		fd;
	bool		ivshmem;
	bool		told;
	int64_t		busy_ns;
};

/**
 * struct guest - a QEMU process
 * @next: list of all
 * @bucket: list of those with this hash
 * @proc: the process
 * @watch: its pidfd
 * @name: from libvirt or its command line, or its number
 * @uuid: likewise, may be empty
 * @targets: pages
 * @n_targets: of these
 * @vm: KVM's machine; @have_vm
 * @map: its TSC; @have_map
 * @given: the map was given by hand: nothing is read from KVM
 * @incoming: started to receive a migration, and has not run yet
 * @ran: its processors have run
 * @withdrawn: a migration is being prepared; until @withdrawn_until
 * @ignored: by configuration
 * @settle_until: looked at every millisecond until then
 * @next_try: when to look for its pages and its machine again
 * @try_delay: doubles
 * @try_until: when to give up
 * @next_offset: when to look at the first processor
 * @next_map: when to look at all of them
 * @next_complaint: messages about scribbling are held back until then
 * @vcpus: number of virtual processors
 * @writes: pages written
 * @repairs: times that the guest's own writing was undone
 * @moves: times it came with a migration, or a snapshot was loaded
 * @marks: times the hypervisor moved the marker
 * @jumps: times its TSC was changed
 * @telling: the page has the time now
 * @since_ns: CLOCK_REALTIME when @telling changed
 * @ran_ns: CLOCK_REALTIME when it was seen to have run
 * @problem: why not, or empty
 */
struct guest {
	struct guest	*next;
	struct guest	*bucket;
	struct process	proc;
	struct loop_fd	watch;
	char		name[64];
	char		uuid[64];
	struct target	targets[PROCESS_PAGES_MAX];
	int		n_targets;
	struct kvm_vm	vm;
	bool		have_vm;
	struct tsc_map	map;
	bool		have_map;
	bool		given;
	bool		incoming;
	bool		ran;
	bool		withdrawn;
	bool		ignored;
	bool		telling;
	int64_t		since_ns;
	int64_t		ran_ns;
	int64_t		withdrawn_until;
	int64_t		settle_until;
	int64_t		next_try;
	int64_t		try_delay;
	int64_t		try_until;
	int64_t		next_offset;
	int64_t		next_map;
	int64_t		next_complaint;
	unsigned int	vcpus;
	uint64_t	writes;
	uint64_t	repairs;
	uint64_t	moves;
	uint64_t	marks;
	uint64_t	jumps;
	char		problem[320];
};

/**
 * struct hostd_stats - since the start
 * @updates: changes of the host's clock that were passed on
 * @writes: pages written
 * @repairs: pages that a guest had scribbled on
 * @moves: pages that came with a migration
 * @seen: guests ever
 * @ticks: times the timer ran
 * @last_update_ns: how long the last update of all pages took
 * @max_update_ns: the longest
 */
struct hostd_stats {
	uint64_t	updates;
	uint64_t	writes;
	uint64_t	repairs;
	uint64_t	moves;
	uint64_t	seen;
	uint64_t	ticks;
	int64_t		last_update_ns;
	int64_t		max_update_ns;
};

/**
 * struct hostd - everything
 * @conf: configuration
 * @loop: event loop
 * @clock: the host's clock
 * @clock_watch: its descriptor
 * @inotify: of debugfs and libvirt
 * @watch_kvm: inotify's number of kvm's directory, -1: none yet
 * @watch_libvirt: likewise
 * @tick: the timer
 * @scan_timer: looks for guests
 * @guests: list
 * @n_guests: its length
 * @buckets: by pid
 * @boot_id: of this kernel
 * @line: the host's clock as all pages have it; @have_line
 * @clock_error: why there is none
 * @line_ns: when it was made
 * @next_check: when all guests are to be looked at
 * @guarded: guard_count() at the last look
 * @warned_access: said so already
 * @stats: for --status
 */
struct hostd {
	const struct conf	*conf;
	struct loop		*loop;
	struct hostclock	*clock;
	struct loop_fd		clock_watch;
	struct loop_fd		inotify;
	int			watch_kvm;
	int			watch_libvirt;
	struct loop_timer	tick;
	struct loop_timer	scan_timer;
	struct guest		*guests;
	unsigned int		n_guests;
	struct guest		*buckets[HOSTD_BUCKETS];
	uint8_t			boot_id[16];
	struct host_line	line;
	bool			have_line;
	int			clock_error;
	int64_t			line_ns;
	int64_t			next_check;
	unsigned int		guarded;
	bool			warned_access;
	struct hostd_stats	stats;
};

/**
 * hostd_start() - begin to serve
 * @h: zeroed but for conf, loop, clock
 *
 * Return: 0 or -errno
 */
int hostd_start(struct hostd *h);

/* End.  Pages stay as they are, with bounds that grow, for a successor to take over */
void hostd_stop(struct hostd *h);

/* Look for new guests now */
void hostd_scan(struct hostd *h);

/* A guest by name, uuid or pid, or NULL */
struct guest *hostd_find(struct hostd *h, const char *name);

/* For the control socket; all write the page at once */
void guest_watch(struct hostd *h, struct guest *g);
void guest_prepare(struct hostd *h, struct guest *g, int64_t for_ns);
void guest_resume(struct hostd *h, struct guest *g);
void guest_give_map(struct hostd *h, struct guest *g, const struct tsc_map *map);

#endif /* HOSTD_HOSTD_H */
