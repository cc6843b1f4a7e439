// SPDX-License-Identifier: GPL-2.0-only
/* Guests and their pages: see hostd.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../daemon/log.h"
#include "guard.h"
#include "hostd.h"
#include "libvirt_xml.h"

#define NSEC		1000000000LL
#define MSEC		1000000LL

/* Guests in motion are looked at this often: a guest's tick is 1 to 10 ms */
#define FAST_NS		MSEC

/* How long a guest counts as in motion after anything happened to it */
#define SETTLE_NS	(2 * NSEC)

/*
 * All processors' offsets and ratios are compared this often; a guest in motion's
 * more so.  That one processor's TSC is set and not the first one's is a guest's
 * own doing, and rare.
 */
#define MAP_NS		(4 * NSEC)
#define MAP_FAST_NS	(100 * MSEC)

/* Guests whose pages are looked for in one go: 1 to 5 ms each */
#define LOOK_FOR_MAX	32

/*
 * A QEMU makes its page and its processors some 100 ms after it was started; on
 * a busy host it may take seconds.  Looks for them double from the first figure
 * to the second, and end after the third.
 */
#define TRY_NS		(20 * MSEC)
#define TRY_MAX_NS	NSEC
#define TRY_END_NS	(60 * NSEC)

/*
 * An update that somebody else has begun: QEMU's takes a microsecond.  Whoever
 * takes longer than a scheduler's delay was killed in it.
 */
#define BUSY_NS		(20 * MSEC)

/* The host's own page is allowed more: until its line would have been renewed */
#define BUSY_MAX_NS	(64 * NSEC)

/* At most one message about a guest's scribbling in that time */
#define COMPLAIN_NS	(60 * NSEC)

/* A burst of inotify events is one scan */
#define GATHER_NS	(5 * MSEC)

/* Near a leap second all pages are written this often */
#define LEAP_NEAR_SEC	2
#define LEAP_UPDATE_NS	(50 * MSEC)

static int64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

/* What other programs stamp their messages with */
static int64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

/* Writing ------------------------------------------------------------------- */

static void set_problem(struct guest *g, const char *text)
{
	if (!strcmp(g->problem, text))
		return;
	snprintf(g->problem, sizeof(g->problem), "%s", text);
	if (*text && !g->ignored)
		log_notice("guest %s (%d): %s", g->name, (int)g->proc.pid, text);
}

/*
 * Whether the offset is the one that an arriving guest runs with.  QEMU sets it when it
 * makes the machine, when it resets it, and when the guest has come: only a processor
 * that has run tells the last of these from the others.
 */
static bool arrived(const struct guest *g)
{
	return !g->incoming || g->given || g->ran;
}

static void guest_write(struct hostd *h, struct guest *g)
{
	bool tell = h->have_line && g->have_map && !g->withdrawn && arrived(g);
	struct host_line line;
	int i;

	if (tell && compose_line(&h->line, &g->map, &line)) {
		set_problem(g, "its TSC's ratio and the host's rate do not go together");
		tell = false;
	}
	for (i = 0; i < g->n_targets; i++) {
		struct target *t = &g->targets[i];

		if (!t->page.known || t->busy_ns)
			continue;
		t->page.tai_offset_sec = h->have_line ? h->line.tai_offset_sec : 0;
		page_write(&t->page, tell ? &line : NULL, g->withdrawn ? PAGE_SOON : 0);
		t->told = true;
		g->writes++;
		h->stats.writes++;
	}
	if (g->telling != tell && g->n_targets) {
		g->telling = tell;
		g->since_ns = real_ns();
		log_info("guest %s (%d): %s", g->name, (int)g->proc.pid,
			 tell ? "has the time" : "is without time");
	}
	if (tell && g->n_targets)
		set_problem(g, "");
}

static void settle(struct guest *g, int64_t now)
{
	g->settle_until = now + SETTLE_NS;
}

/* Looking ------------------------------------------------------------------- */

static void found(struct hostd *h, struct guest *g, struct target *t, enum page_state state,
		  int64_t now)
{
	const char *kind = t->ivshmem ? "ivshmem" : "vmclock";

	switch (state) {
	case PAGE_FRESH:
	case PAGE_RESUMED:
		log_notice("guest %s (%d): %s page %s, marker %llu", g->name, (int)g->proc.pid,
			   kind, state == PAGE_FRESH ? "found" : "taken over",
			   (unsigned long long)t->page.marker);
		break;
	case PAGE_MOVED:
	case PAGE_ROLLED_BACK:
		g->moves++;
		h->stats.moves++;
		log_notice("guest %s (%d): %s page came with %s, marker %llu", g->name,
			   (int)g->proc.pid, kind,
			   state == PAGE_MOVED ? "a migration" : "a snapshot",
			   (unsigned long long)t->page.marker);
		settle(g, now);
		g->next_offset = 0;
		g->next_map = 0;
		break;
	case PAGE_MARKED:
		g->marks++;
		log_notice("guest %s (%d): the hypervisor moved the marker to %llu", g->name,
			   (int)g->proc.pid, (unsigned long long)t->page.marker);
		settle(g, now);
		g->next_offset = 0;
		g->next_map = 0;
		break;
	case PAGE_SCRIBBLED:
		g->repairs++;
		h->stats.repairs++;
		/* an arriving guest's memory passes through states like this */
		if (g->incoming || now < g->next_complaint)
			break;
		g->next_complaint = now + COMPLAIN_NS;
		log_warn("guest %s (%d): somebody wrote on its %s page; repaired (%llu times so "
			 "far)", g->name, (int)g->proc.pid, kind,
			 (unsigned long long)g->repairs);
		break;
	default:
		break;
	}
}

/* Return: the page has to be written */
static bool look_target(struct hostd *h, struct guest *g, struct target *t, int64_t now)
{
	bool late = t->busy_ns && now - t->busy_ns > BUSY_NS;
	enum page_state state = page_look(&t->page, late);

	if (state == PAGE_BUSY) {
		if (!t->busy_ns)
			t->busy_ns = now;
		settle(g, now);
		return false;
	}
	t->busy_ns = 0;
	if (state == PAGE_INTACT)
		return false;
	if (state == PAGE_ABSENT) {
		if (t->ivshmem)
			set_problem(g, "its ivshmem page holds something that is neither empty "
				    "nor a VMClock structure");
		return false;
	}
	found(h, g, t, state, now);
	return true;
}

/* KVM's word about the TSC.  Return: it is another one, or no longer to be had */
static bool look_offsets(struct hostd *h, struct guest *g, int64_t now)
{
	struct tsc_map map;
	uint64_t offset;
	bool all;
	int ret;

	if (!g->have_vm || g->given)
		return false;
	if (!g->ran && kvm_ran(&g->vm)) {
		g->ran = true;
		g->ran_ns = real_ns();
		if (g->incoming) {
			settle(g, now);
			log_info("guest %s (%d): runs", g->name, (int)g->proc.pid);
			g->next_map = 0;
		}
	}
	if (now < g->next_offset && now < g->next_map)
		return false;
	all = !g->have_map || now >= g->next_map;
	g->next_offset = now + (g->settle_until > now ? FAST_NS : h->conf->offset_ns);
	ret = kvm_offset(&g->vm, &offset);
	if (!ret && g->have_map && offset == g->map.offset && !all)
		return false;
	if (!ret)
		ret = kvm_map(&g->vm, &map, &g->vcpus);
	g->next_map = now + (g->settle_until > now ? MAP_FAST_NS : MAP_NS);
	if (ret) {
		bool had = g->have_map;

		g->have_map = false;
		g->next_map = 0;
		/* processors are set one after the other: soon they agree */
		if (ret == -EAGAIN && (had || now > g->settle_until)) {
			if (!had)
				set_problem(g, "its processors' TSC offsets differ: no common "
					    "counter, no time");
			else
				settle(g, now);
		} else if (ret != -EAGAIN) {
			char text[128];

			/* most likely it is about to end: its machine goes before it */
			if (ret != -ENOENT) {
				snprintf(text, sizeof(text), "KVM no longer tells its TSC offset: "
					 "%s", strerror(-ret));
				set_problem(g, text);
			}
			kvm_close(&g->vm);
			g->have_vm = false;
			g->next_try = now + TRY_MAX_NS;
		}
		return had;
	}
	if (g->have_map && tsc_map_equal(&map, &g->map))
		return g->incoming && g->ran && !g->telling;
	/*
	 * A counter that jumps under a guest that has been running is a disruption.
	 * While it starts or arrives its offset is only being set.
	 */
	if (g->have_map && g->ran && !g->incoming && now > g->settle_until) {
		int i;

		g->jumps++;
		log_notice("guest %s (%d): its TSC was changed", g->name, (int)g->proc.pid);
		for (i = 0; i < g->n_targets; i++)
			page_disrupt(&g->targets[i].page);
	}
	settle(g, now);
	g->map = map;
	g->have_map = true;
	return true;
}

static bool have_page(const struct guest *g, const struct process_page *p)
{
	struct stat st;
	int i;

	for (i = 0; i < g->n_targets; i++)
		if (!fstat(g->targets[i].fd, &st) && st.st_dev == p->dev && st.st_ino == p->ino)
			return true;
	return false;
}

/* Take those that are not known yet */
static void look_for_pages(struct hostd *h, struct guest *g, char *why, size_t why_len)
{
	struct process_page pages[PROCESS_PAGES_MAX];
	int n, i;

	n = process_pages(&g->proc, pages, why, why_len);
	/* waiting does not help: say it now */
	if (n == -EACCES || n == -EPERM)
		set_problem(g, why);
	for (i = 0; i < n; i++) {
		struct target *t = &g->targets[g->n_targets];

		if (have_page(g, &pages[i]) || g->n_targets == PROCESS_PAGES_MAX) {
			close(pages[i].fd);
			continue;
		}
		memset(t, 0, sizeof(*t));
		t->page.map = mmap(NULL, FFCLOCK_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				   pages[i].fd, 0);
		if (t->page.map == MAP_FAILED) {
			snprintf(why, why_len, "its page cannot be mapped: %s%s", strerror(errno),
				 errno == EINVAL ? " (huge pages?)" : "");
			close(pages[i].fd);
			continue;
		}
		t->fd = pages[i].fd;
		t->ivshmem = pages[i].ivshmem;
		t->page.format = t->ivshmem;
		memcpy(t->page.owner.boot_id, h->boot_id, sizeof(h->boot_id));
		t->page.owner.pid = (uint64_t)g->proc.pid;
		t->page.owner.start = g->proc.start;
		g->n_targets++;
	}
}

/* Page and machine of a guest that has just been started may be still to come */
static void look_for(struct hostd *h, struct guest *g, int64_t now)
{
	char why[256] = "", why_kvm[256] = "";
	bool done = true;
	int ret;

	g->try_delay = g->try_delay < TRY_MAX_NS ? 2 * g->try_delay : TRY_MAX_NS;
	g->next_try = now + g->try_delay;
	/* QEMU makes backends of memory before it makes devices: pages come one by one */
	if (!g->n_targets || (unsigned int)g->n_targets < args_pages(&g->proc.args)) {
		look_for_pages(h, g, why, sizeof(why));
		if (g->n_targets)
			settle(g, now);
		done = (unsigned int)g->n_targets >= args_pages(&g->proc.args) && g->n_targets;
	}
	if (!g->have_vm && !g->given) {
		char dir[CONF_PATH_MAX + 8];

		snprintf(dir, sizeof(dir), "%s/kvm", h->conf->debugfs);
		ret = kvm_open(dir, g->proc.pid, &g->vm, why_kvm, sizeof(why_kvm));
		if (!ret) {
			g->have_vm = true;
			g->next_offset = 0;
			g->next_map = 0;
			settle(g, now);
		} else if (g->proc.kvm) {
			done = false;
			if (ret == -ENODEV)
				kvm_reachable(h->conf->debugfs, why_kvm, sizeof(why_kvm));
			if (ret != -ENOENT)
				set_problem(g, why_kvm);
		}
	}
	if (done) {
		g->next_try = INT64_MAX;
		if (!g->have_vm && !g->given)
			set_problem(g, "not a KVM guest (TCG?): nobody tells its TSC offset; give "
				    "it by hand: ffclock-hostd --offset");
		return;
	}
	if (now < g->try_until)
		return;
	g->next_try = INT64_MAX;	/* until somebody asks for a scan of everything */
	if (!*why && !*why_kvm)
		snprintf(why, sizeof(why), "%d of the %u pages that its command line names are "
			 "there", g->n_targets, args_pages(&g->proc.args));
	set_problem(g, *why ? why : why_kvm);
}

/* KVM's directory has come: who waited for it in vain may ask again */
static void look_for_again(struct hostd *h)
{
	int64_t now = mono_ns();
	struct guest *g;

	for (g = h->guests; g; g = g->next) {
		if (g->have_vm || g->given)
			continue;
		g->next_try = 0;
		g->try_until = now + TRY_END_NS;
	}
	h->next_check = 0;
	loop_timer_set(h->loop, &h->tick, 0);
}

/* Everything about a guest that is due.  h->line is current. */
static void guest_check(struct hostd *h, struct guest *g, int64_t now, bool write)
{
	int i;

	if (g->ignored)
		return;
	write |= look_offsets(h, g, now);
	for (i = 0; i < g->n_targets; i++)
		write |= look_target(h, g, &g->targets[i], now);
	if (g->withdrawn && now > g->withdrawn_until) {
		log_notice("guest %s (%d): it was prepared for a migration that did not come",
			   g->name, (int)g->proc.pid);
		g->withdrawn = false;
		write = true;
	}
	if (write)
		guest_write(h, g);
	/* it runs, and what it runs with has been settled */
	if (g->incoming && g->ran && now > g->settle_until)
		g->incoming = false;
}

static bool in_motion(const struct guest *g, int64_t now)
{
	if (g->ignored)
		return false;
	return g->settle_until > now || (g->incoming && !g->ran && g->have_vm) ||
		(g->incoming && !g->have_vm && g->n_targets && !g->telling &&
		 now < g->try_until);
}

/* The clock ----------------------------------------------------------------- */

static bool leap_near(const struct hostd *h)
{
	int64_t left = (int64_t)h->line.leap_utc_sec - h->line.time.sec;

	return h->have_line && ((h->line.leap_change && left < 64 && left > -LEAP_NEAR_SEC) ||
				h->line.leap_indicator == FFCLOCK_LEAP_POS);
}

/*
 * Take the host's clock in.  Return: every page has to be written.  The line is
 * given at one counter value for all, so that guests' clocks are the same line.
 */
static bool clock_read(struct hostd *h, int64_t now)
{
	bool had = h->have_line;
	struct host_line line;
	int ret;

	ret = hostclock_read(h->clock, &line);
	/* its writer was scheduled away; one that died there is told by the age */
	if (ret == -EBUSY && now - h->line_ns < BUSY_MAX_NS)
		return false;
	h->line_ns = now;
	if (ret) {
		if (ret != h->clock_error)
			log_warn("%s: %s: guests are without time", hostclock_name(h->clock),
				 ret == -EAGAIN ? "not synchronised" :
				 ret == -EBUSY ? "its writer has died in the middle of an update" :
				 ret == -EOPNOTSUPP ? "its counter is no longer the TSC" :
				 strerror(-ret));
		h->clock_error = ret;
		h->have_line = false;
		return had;
	}
	if (h->clock_error)
		log_notice("%s: synchronised", hostclock_name(h->clock));
	h->clock_error = 0;
	h->line = line_move(&line, hostclock_tsc());
	h->have_line = true;
	return true;
}

/* The timer ----------------------------------------------------------------- */

/* A mapping that has lost its file has become an empty page of our own */
static void check_files(struct hostd *h)
{
	struct guest *g;
	struct stat st;
	int i;

	if (guard_count() == h->guarded)
		return;
	h->guarded = guard_count();
	for (g = h->guests; g; g = g->next) {
		for (i = 0; i < g->n_targets; i++) {
			struct target *t = &g->targets[i];

			if (!fstat(t->fd, &st) && st.st_size >= FFCLOCK_PAGE_SIZE)
				continue;
			set_problem(g, "its page was cut off: QEMU, or whoever runs it, has "
				    "shortened the file");
			munmap(t->page.map, FFCLOCK_PAGE_SIZE);
			close(t->fd);
			*t = g->targets[--g->n_targets];
			g->telling = false;
			i--;
		}
	}
}

static void tick(void *arg)
{
	struct hostd *h = arg;
	int64_t now = mono_ns(), due = h->conf->update_ns, begin, took;
	bool all, changed = false, moving = false;
	struct guest *g;
	int looks = 0;

	if (!h->line_ns)
		h->line_ns = now;

	h->stats.ticks++;
	all = now >= h->next_check;
	if (leap_near(h))
		due = LEAP_UPDATE_NS;
	/* a page is looked at every time: that is one load */
	if (((all || hostclock_cheap(h->clock)) && hostclock_changed(h->clock)) ||
	    now - h->line_ns >= due)
		changed = clock_read(h, now);
	begin = mono_ns();
	for (g = h->guests; g; g = g->next) {
		if (all || changed || in_motion(g, now))
			guest_check(h, g, now, changed);
		moving |= in_motion(g, now);
	}
	if (changed) {
		took = mono_ns() - begin;
		h->stats.updates++;
		h->stats.last_update_ns = took;
		if (took > h->stats.max_update_ns)
			h->stats.max_update_ns = took;
	}
	/* new guests wait for those that are known, not the other way round */
	for (g = h->guests; all && g && looks < LOOK_FOR_MAX; g = g->next) {
		if (g->ignored || now < g->next_try)
			continue;
		look_for(h, g, now);
		guest_check(h, g, now, false);
		looks++;
	}
	moving |= looks;
	if (all)
		h->next_check = now + (looks == LOOK_FOR_MAX ? 0 : h->conf->check_ns);
	check_files(h);
	loop_timer_set(h->loop, &h->tick, moving ? FAST_NS : h->next_check - mono_ns());
}

static void clock_ready(void *arg, uint32_t events)
{
	struct hostd *h = arg;

	if (events & (EPOLLERR | EPOLLHUP)) {
		log_err("%s reports an error: looking at it every %g s instead",
			hostclock_name(h->clock), (double)h->conf->check_ns * 1e-9);
		loop_del(h->loop, &h->clock_watch);
	}
	/*
	 * Read it whatever its sequence says: the device stays readable until it is
	 * read, and may have changed right after its last read.
	 */
	h->line_ns = mono_ns() - h->conf->update_ns;
	h->next_check = 0;
	tick(h);
}

/* Guests come and go -------------------------------------------------------- */

static struct guest **bucket(struct hostd *h, pid_t pid)
{
	return &h->buckets[(unsigned int)pid % HOSTD_BUCKETS];
}

static struct guest *by_pid(struct hostd *h, pid_t pid)
{
	struct guest *g;

	for (g = *bucket(h, pid); g; g = g->bucket)
		if (g->proc.pid == pid)
			return g;
	return NULL;
}

struct guest *hostd_find(struct hostd *h, const char *name)
{
	struct guest *g;

	for (g = h->guests; g; g = g->next)
		if (!strcmp(g->name, name) || (*g->uuid && !strcmp(g->uuid, name)))
			return g;
	if (*name && strspn(name, "0123456789") == strlen(name) && strlen(name) < 9)
		return by_pid(h, atoi(name));
	return NULL;
}

static void guest_remove(struct hostd *h, struct guest *g)
{
	struct guest **p;
	int i;

	for (p = &h->guests; *p != g; p = &(*p)->next)
		;
	*p = g->next;
	for (p = bucket(h, g->proc.pid); *p != g; p = &(*p)->bucket)
		;
	*p = g->bucket;
	h->n_guests--;
	loop_del(h->loop, &g->watch);
	for (i = 0; i < g->n_targets; i++) {
		munmap(g->targets[i].page.map, FFCLOCK_PAGE_SIZE);
		close(g->targets[i].fd);
	}
	if (g->have_vm)
		kvm_close(&g->vm);
	process_close(&g->proc);
	free(g);
}

static void guest_ended(void *arg, uint32_t events);

/* A guest's loop_fd leads to both */
struct ended {
	struct hostd	*h;
	struct guest	*g;
};

static void guest_ended(void *arg, uint32_t events)
{
	struct ended *e = arg;

	(void)events;
	log_msg(e->g->ignored ? LOG_DEBUG : LOG_NOTICE, "guest %s (%d): ended", e->g->name,
		(int)e->g->proc.pid);
	guest_remove(e->h, e->g);
	free(e);
}

/* What the configuration says about a guest by this name */
static void configure(struct hostd *h, struct guest *g)
{
	const struct conf_guest *c = NULL;
	size_t i;

	for (i = 0; i < h->conf->n_guests && !c; i++)
		if (!strcmp(h->conf->guests[i].name, g->name) ||
		    !strcmp(h->conf->guests[i].name, g->uuid))
			c = &h->conf->guests[i];
	if (!c) {
		g->ignored = h->conf->named;
		return;
	}
	g->ignored = c->ignore;
	if (!c->have_offset)
		return;
	g->map = (struct tsc_map){ .offset = c->offset, .bound_counts = c->bound };
	g->have_map = true;
	g->given = true;
}

static void guest_add(struct hostd *h, const struct process *proc)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct ended *e = malloc(sizeof(*e));
	int64_t now = mono_ns();

	if (!g || !e) {
		free(g);
		free(e);
		log_err("out of memory");
		return;
	}
	*e = (struct ended){ h, g };
	g->proc = *proc;
	g->vm = (struct kvm_vm){ -1 };
	if (*proc->args.name)
		snprintf(g->name, sizeof(g->name), "%s", proc->args.name);
	else
		snprintf(g->name, sizeof(g->name), "%d", (int)proc->pid);
	snprintf(g->uuid, sizeof(g->uuid), "%s", proc->args.uuid);
	g->incoming = proc->args.incoming;
	g->try_delay = TRY_NS / 2;
	g->try_until = now + TRY_END_NS;
	g->watch = (struct loop_fd){ .fd = proc->pidfd, .cb = guest_ended, .arg = e };
	if (loop_add(h->loop, &g->watch, EPOLLIN)) {
		log_err("guest %s: cannot be watched: %s", g->name, strerror(errno));
		free(g);
		free(e);
		return;
	}
	configure(h, g);
	g->next = h->guests;
	h->guests = g;
	g->bucket = *bucket(h, proc->pid);
	*bucket(h, proc->pid) = g;
	h->n_guests++;
	h->stats.seen++;
	log_msg(g->ignored ? LOG_DEBUG : LOG_NOTICE, "guest %s (%d): %s%s%s", g->name,
		(int)proc->pid, g->ignored ? "ignored" : "watched",
		g->incoming ? ", arriving" : "", g->given ? ", offset given" : "");
}

static void libvirt_seen(void *arg, const struct libvirt_guest *l)
{
	struct hostd *h = arg;
	struct guest *g = by_pid(h, (pid_t)l->pid);

	/* libvirt's name is the one that people know */
	if (!g || (!strcmp(g->name, l->name) && !strcmp(g->uuid, l->uuid)))
		return;
	snprintf(g->name, sizeof(g->name), "%s", l->name);
	snprintf(g->uuid, sizeof(g->uuid), "%s", l->uuid);
	configure(h, g);
}

static void watch_dirs(struct hostd *h)
{
	char dir[CONF_PATH_MAX + 8];

	if (h->inotify.fd < 0)
		return;
	/* both may come later: with the first KVM guest, with libvirt's start */
	if (h->watch_kvm < 0) {
		snprintf(dir, sizeof(dir), "%s/kvm", h->conf->debugfs);
		h->watch_kvm = inotify_add_watch(h->inotify.fd, dir, IN_CREATE | IN_ONLYDIR);
		if (h->watch_kvm >= 0)
			look_for_again(h);
	}
	if (h->watch_libvirt < 0 && h->conf->libvirt[0])
		h->watch_libvirt = inotify_add_watch(h->inotify.fd, h->conf->libvirt,
						     IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
}

void hostd_scan(struct hostd *h)
{
	struct process proc;
	struct dirent *d;
	bool added = false;
	DIR *dir;
	int ret;

	watch_dirs(h);
	dir = opendir("/proc");
	if (!dir) {
		log_err("/proc: %s", strerror(errno));
		return;
	}
	while ((d = readdir(dir))) {
		pid_t pid;

		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		pid = atoi(d->d_name);
		if (by_pid(h, pid))
			continue;
		ret = process_open(pid, &proc, h->conf->names);
		if (ret == -ENOENT)
			continue;
		if (ret) {
			if (!h->warned_access)
				log_warn("process %d: %s: run as root or with CAP_SYS_PTRACE",
					 (int)pid, strerror(-ret));
			h->warned_access = true;
			continue;
		}
		guest_add(h, &proc);
		added = true;
	}
	closedir(dir);
	if (h->conf->libvirt[0] && (added || h->watch_libvirt < 0))
		libvirt_each(h->conf->libvirt, libvirt_seen, h);
	if (added) {
		h->next_check = 0;
		loop_timer_set(h->loop, &h->tick, 0);
	}
}

static void scan_due(void *arg)
{
	struct hostd *h = arg;

	hostd_scan(h);
	loop_timer_set(h->loop, &h->scan_timer, h->conf->scan_ns);
}

static void dirs_changed(void *arg, uint32_t events)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct hostd *h = arg;
	const struct inotify_event *e;
	bool libvirt = false;
	ssize_t n, at;

	(void)events;
	while ((n = read(h->inotify.fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const struct inotify_event *)(buf + at);
			if (e->mask & IN_IGNORED && e->wd == h->watch_kvm)
				h->watch_kvm = -1;
			if (e->mask & IN_IGNORED && e->wd == h->watch_libvirt)
				h->watch_libvirt = -1;
			libvirt |= e->wd == h->watch_libvirt;
		}
	}
	if (libvirt)
		libvirt_each(h->conf->libvirt, libvirt_seen, h);
	loop_timer_set(h->loop, &h->scan_timer, GATHER_NS);
}

/* Commands ------------------------------------------------------------------ */

void guest_watch(struct hostd *h, struct guest *g)
{
	g->ignored = false;
	g->next_try = 0;
	settle(g, mono_ns());
	loop_timer_set(h->loop, &h->tick, 0);
}

void guest_prepare(struct hostd *h, struct guest *g, int64_t for_ns)
{
	g->withdrawn = true;
	g->withdrawn_until = mono_ns() + for_ns;
	guest_write(h, g);
}

void guest_resume(struct hostd *h, struct guest *g)
{
	g->withdrawn = false;
	guest_write(h, g);
}

void guest_give_map(struct hostd *h, struct guest *g, const struct tsc_map *map)
{
	bool other = g->have_map && !tsc_map_equal(&g->map, map) && g->telling;
	int64_t now = mono_ns();
	int i;

	/* a correction within the bounds is no disruption */
	if (other && g->given && ffclock_counts_between(g->map.offset, map->offset) <=
	    (uint64_t)g->map.bound_counts + map->bound_counts)
		other = false;
	g->map = *map;
	g->have_map = true;
	g->given = true;
	g->ran = true;
	/* first see what is there: a migration may have just brought it */
	for (i = 0; i < g->n_targets; i++)
		look_target(h, g, &g->targets[i], now);
	if (other) {
		g->jumps++;
		for (i = 0; i < g->n_targets; i++)
			page_disrupt(&g->targets[i].page);
	}
	settle(g, now);
	guest_write(h, g);
	loop_timer_set(h->loop, &h->tick, 0);
}

/* Begin and end ------------------------------------------------------------- */

static int read_boot_id(uint8_t id[16])
{
	char text[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	unsigned int byte;
	const char *s;
	int i = 0;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	for (s = text; i < 16 && *s; i++) {
		s += *s == '-';
		if (sscanf(s, "%2x", &byte) != 1)
			return -EINVAL;
		id[i] = (uint8_t)byte;
		s += 2;
	}
	return i == 16 ? 0 : -EINVAL;
}

int hostd_start(struct hostd *h)
{
	char why[320];
	int ret;

	ret = read_boot_id(h->boot_id);
	if (ret) {
		log_err("/proc/sys/kernel/random/boot_id: %s", strerror(-ret));
		return ret;
	}
	ret = guard_setup();
	if (ret)
		return ret;
	h->guarded = guard_count();
	h->watch_kvm = -1;
	h->watch_libvirt = -1;
	h->inotify = (struct loop_fd){
		.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .cb = dirs_changed, .arg = h,
	};
	if (h->inotify.fd < 0 || loop_add(h->loop, &h->inotify, EPOLLIN))
		log_warn("inotify: %s: new guests are looked for every %g s only",
			 strerror(errno), (double)h->conf->scan_ns * 1e-9);
	h->clock_watch = (struct loop_fd){
		.fd = hostclock_fd(h->clock), .cb = clock_ready, .arg = h,
	};
	if (h->clock_watch.fd >= 0)
		loop_add(h->loop, &h->clock_watch, EPOLLIN);
	ret = kvm_reachable(h->conf->debugfs, why, sizeof(why));
	if (ret && ret != -ENOENT)
		log_warn("%s: KVM guests go without time", why);
	h->tick.cb = tick;
	h->tick.arg = h;
	h->scan_timer.cb = scan_due;
	h->scan_timer.arg = h;
	scan_due(h);
	tick(h);
	return 0;
}

void hostd_stop(struct hostd *h)
{
	while (h->guests) {
		struct guest *g = h->guests;
		struct ended *e = g->watch.arg;

		guest_remove(h, g);
		free(e);
	}
	loop_timer_cancel(h->loop, &h->tick);
	loop_timer_cancel(h->loop, &h->scan_timer);
	loop_del(h->loop, &h->clock_watch);
	if (h->inotify.fd >= 0) {
		int fd = h->inotify.fd;

		loop_del(h->loop, &h->inotify);
		close(fd);
	}
}
