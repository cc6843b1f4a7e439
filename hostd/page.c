// SPDX-License-Identifier: GPL-2.0-only
/* Guests' VMClock pages: see page.h. */
#include <stdatomic.h>
#include <string.h>

#include "page.h"

/* Flags that are the hypervisor's to set */
#define FLAGS_THEIRS	(FFCLOCK_VF_VM_GEN_COUNTER_PRESENT | FFCLOCK_VF_NOTIFICATION_PRESENT)

_Static_assert(sizeof(struct page_record) == 64, "no padding: it is hashed and compared");
_Static_assert(PAGE_RECORD_OFFSET + sizeof(struct page_record) <= FFCLOCK_PAGE_SIZE, "fits");

/*
 * Serial arithmetic (RFC 1982): b if it is later than a, over a wrap as well.  Half
 * of what could count as later is taken, so that a few steps more are later still.
 */
static uint32_t later32(uint32_t a, uint32_t b)
{
	return b - a < 1U << 30 ? b : a;
}

static uint64_t later64(uint64_t a, uint64_t b)
{
	return b - a < 1ULL << 62 ? b : a;
}

/* FNV-1a, 64 bits: against accidents, not against anybody */
static uint64_t record_hash(const struct page_record *r)
{
	const uint8_t *p = (const uint8_t *)r;
	uint64_t hash = 0xcbf29ce484222325ULL;
	size_t i;

	for (i = 0; i < offsetof(struct page_record, hash); i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

/* The page is shared: every word is loaded once, and stored once */
static void copy_in(void *to, const void *from, size_t bytes)
{
	const uint64_t *f = from;
	uint64_t word;
	size_t i;

	for (i = 0; i < bytes / 8; i++) {
		word = __atomic_load_n(&f[i], __ATOMIC_RELAXED);
		memcpy((char *)to + 8 * i, &word, 8);
	}
}

static void copy_out(void *to, const void *from, size_t from_byte, size_t to_byte)
{
	uint64_t *t = to;
	uint64_t word;
	size_t i;

	for (i = from_byte / 8; i < to_byte / 8; i++) {
		memcpy(&word, (const char *)from + 8 * i, 8);
		__atomic_store_n(&t[i], word, __ATOMIC_RELAXED);
	}
}

static bool vmclock_ok(const struct ffclock_vmclock *v)
{
	return v->magic == FFCLOCK_VMCLOCK_MAGIC && v->version == FFCLOCK_VMCLOCK_VERSION &&
	       v->size >= sizeof(*v);
}

static bool record_there(const struct page_record *r)
{
	return r->magic == PAGE_RECORD_MAGIC && r->version == PAGE_RECORD_VERSION &&
	       r->size == sizeof(*r);
}

static bool record_whole(const struct page_record *r)
{
	return record_there(r) && r->hash == record_hash(r);
}

static bool blank(const void *map)
{
	const uint64_t *w = map;
	size_t i;

	for (i = 0; i < FFCLOCK_PAGE_SIZE / 8; i++)
		if (__atomic_load_n(&w[i], __ATOMIC_RELAXED))
			return false;
	return true;
}

/* Begin a page on which nobody else will make a structure */
static void format(struct page *p)
{
	p->v = (struct ffclock_vmclock){
		.magic = FFCLOCK_VMCLOCK_MAGIC,
		.size = FFCLOCK_PAGE_SIZE,
		.version = FFCLOCK_VMCLOCK_VERSION,
		.counter_id = FFCLOCK_COUNTER_X86_TSC,
		.disruption_marker = 1,
	};
}

const char *page_state_name(enum page_state state)
{
	static const char *const names[] = {
		"intact", "busy", "absent", "fresh", "resumed", "moved", "rolled back", "marked",
		"scribbled",
	};

	return (unsigned int)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

/*
 * The marker of a page from elsewhere.  Nobody but us knows of a page that is
 * behind ivshmem; the vmclock device's is bumped by its hypervisor, once the guest
 * has arrived, unless it is one that does not.
 */
static void take_moved(struct page *p, const struct ffclock_vmclock *v, const struct page_record *r)
{
	uint64_t marker = vmclock_ok(v) ? v->disruption_marker : r->marker;

	if (p->format && marker == r->marker)
		marker++;
	p->marker = later64(p->marker, marker);
	p->arriving = !p->format && p->marker == r->marker;
	p->from = r->marker;
}

static enum page_state first_look(struct page *p, const struct ffclock_vmclock *v,
				  const struct page_record *r)
{
	if (!vmclock_ok(v)) {
		if (!p->format || !blank(p->map))
			return PAGE_ABSENT;
		format(p);
		p->marker = p->v.disruption_marker;
		p->known = true;
		return PAGE_FRESH;
	}
	p->v = *v;
	p->marker = v->disruption_marker;
	p->known = true;
	if (!record_there(r))
		return PAGE_FRESH;
	/* a hash that is wrong is a writer's that was killed: the owner still holds */
	if (memcmp(&r->owner, &p->owner, sizeof(p->owner))) {
		take_moved(p, v, r);
		return PAGE_MOVED;
	}
	p->r = *r;
	if (record_whole(r))
		p->marker = later64(p->marker, r->marker);
	return PAGE_RESUMED;
}

/* Whether all that differs is what a hypervisor changes */
static bool hypervisors_own(const struct ffclock_vmclock *now, const struct ffclock_vmclock *was)
{
	struct ffclock_vmclock v = *now;

	v.seq_count = was->seq_count;
	v.disruption_marker = was->disruption_marker;
	v.vm_generation_counter = was->vm_generation_counter;
	v.flags = (v.flags & ~FLAGS_THEIRS) | (was->flags & FLAGS_THEIRS);
	return !memcmp(&v, was, sizeof(v));
}

enum page_state page_look(struct page *p, bool busy_ok)
{
	struct ffclock_vmclock v;
	struct page_record r;
	enum page_state state;

	copy_in(&v, p->map, sizeof(v));
	copy_in(&r, (char *)p->map + PAGE_RECORD_OFFSET, sizeof(r));
	if (p->known && !memcmp(&v, &p->v, sizeof(v)) && !memcmp(&r, &p->r, sizeof(r)))
		return PAGE_INTACT;
	if (!busy_ok && vmclock_ok(&v) && v.seq_count & 1)
		return PAGE_BUSY;
	if (!p->known)
		return first_look(p, &v, &r);

	/* half of it copied by now, or never more than half */
	if (record_there(&r) && !record_whole(&r) && !busy_ok)
		return PAGE_BUSY;
	if (record_there(&r) && memcmp(&r.owner, &p->owner, sizeof(r.owner))) {
		state = PAGE_MOVED;
		take_moved(p, &v, &r);
	} else if (record_whole(&r) && r.writes < p->r.writes) {
		state = PAGE_ROLLED_BACK;
		p->marker++;
		if (vmclock_ok(&v))
			p->marker = later64(p->marker, v.disruption_marker);
	} else if (!memcmp(&r, &p->r, sizeof(r)) && hypervisors_own(&v, &p->v) &&
		   (v.disruption_marker != p->v.disruption_marker ||
		    v.vm_generation_counter != p->v.vm_generation_counter) &&
		   (int64_t)(v.disruption_marker - p->v.disruption_marker) >= 0) {
		state = PAGE_MARKED;
		p->marker = later64(p->marker, v.disruption_marker);
		p->v.flags = v.flags;
		p->v.vm_generation_counter = v.vm_generation_counter;
	} else {
		state = PAGE_SCRIBBLED;
		/* whoever reads the marker may have seen it: not back from there */
		if (vmclock_ok(&v))
			p->marker = later64(p->marker, v.disruption_marker);
	}
	if (vmclock_ok(&v))
		p->v.seq_count = later32(p->v.seq_count, v.seq_count);
	return state;
}

void page_disrupt(struct page *p)
{
	p->marker++;
}

static void fill(struct page *p, const struct host_line *line, unsigned int flags)
{
	int32_t tai = line ? line->tai_offset_sec : p->tai_offset_sec;
	struct ffclock_vmclock *v = &p->v;

	v->disruption_marker = p->marker;
	v->flags &= FLAGS_THEIRS;
	if (flags & PAGE_SOON)
		v->flags |= FFCLOCK_VF_DISRUPTION_SOON | FFCLOCK_VF_DISRUPTION_IMMINENT;
	/* a driver looks at these once, at the guest's start: right from the first */
	v->counter_id = FFCLOCK_COUNTER_X86_TSC;
	v->time_type = FFCLOCK_VMCLOCK_TIME_UTC;
	v->tai_offset_sec = 0;
	if (tai > 0 && tai <= INT16_MAX) {
		v->tai_offset_sec = (int16_t)-tai;
		v->flags |= FFCLOCK_VF_TAI_OFFSET_VALID;
	}
	if (!line) {
		v->clock_status = FFCLOCK_STATUS_UNRELIABLE;
		v->leap_indicator = FFCLOCK_LEAP_NONE;
		return;
	}
	v->clock_status = line->status;
	v->leap_second_smearing_hint = 0;
	v->leap_indicator = line->leap_indicator;
	v->counter_period_shift = line->shift;
	v->counter_value = line->counter;
	v->counter_period_frac_sec = line->period;
	v->counter_period_esterror_rate_frac_sec = line->period_esterror;
	v->counter_period_maxerror_rate_frac_sec = line->period_maxerror;
	v->time_sec = (uint64_t)line->time.sec;
	v->time_frac_sec = line->time.frac;
	v->time_esterror_nanosec = line->esterror_ns;
	v->time_maxerror_nanosec = line->maxerror_ns;
	if (line->maxerror_ns != FFCLOCK_BOUND_UNKNOWN)
		v->flags |= FFCLOCK_VF_TIME_MAXERROR_VALID | FFCLOCK_VF_PERIOD_MAXERROR_VALID;
	if (line->esterror_ns != FFCLOCK_BOUND_UNKNOWN)
		v->flags |= FFCLOCK_VF_TIME_ESTERROR_VALID | FFCLOCK_VF_PERIOD_ESTERROR_VALID;
}

void page_write(struct page *p, const struct host_line *line, unsigned int flags)
{
	struct ffclock_vmclock *v = p->map;
	uint32_t seq;

	/*
	 * One more than both what is there and what we knew; a predecessor that
	 * was killed in a section left an odd one, which is continued.
	 */
	seq = later32(p->v.seq_count, __atomic_load_n(&v->seq_count, __ATOMIC_RELAXED)) | 1;

	if (line && p->arriving) {
		if (p->marker == p->from)
			p->marker++;
		p->arriving = false;
	}
	fill(p, line, flags);
	if (memcmp(&p->r.owner, &p->owner, sizeof(p->owner)))
		p->r.writes = 0;
	p->r.magic = PAGE_RECORD_MAGIC;
	p->r.version = PAGE_RECORD_VERSION;
	p->r.size = sizeof(p->r);
	p->r.owner = p->owner;
	p->r.writes++;
	p->r.marker = p->marker;
	p->r.hash = record_hash(&p->r);

	__atomic_store_n(&v->seq_count, seq, __ATOMIC_RELAXED);
	/* odd before data; pairs with the reader's barrier after its data */
	atomic_thread_fence(memory_order_release);
	/* magic to time_type, and all behind seq_count, which shares a word */
	__atomic_store_n(&v->magic, p->v.magic, __ATOMIC_RELAXED);
	__atomic_store_n(&v->size, p->v.size, __ATOMIC_RELAXED);
	__atomic_store_n(&v->version, p->v.version, __ATOMIC_RELAXED);
	__atomic_store_n(&v->counter_id, p->v.counter_id, __ATOMIC_RELAXED);
	__atomic_store_n(&v->time_type, p->v.time_type, __ATOMIC_RELAXED);
	copy_out(v, &p->v, offsetof(struct ffclock_vmclock, disruption_marker), sizeof(p->v));
	copy_out((char *)p->map + PAGE_RECORD_OFFSET, &p->r, 0, sizeof(p->r));
	/* data before even; pairs with the reader's barrier before its data */
	__atomic_store_n(&v->seq_count, seq + 1, __ATOMIC_RELEASE);
	p->v.seq_count = seq + 1;
}
