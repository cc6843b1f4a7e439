// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock_xen: which counters a domain has in common with Dom0.
 *
 * Xen system time: nanoseconds since the hypervisor was started, the same for
 * all domains of a host, extrapolated from the TSC by pvclock parameters.
 *
 * The TSC: the host's own in a PV domain unless Xen emulates it; in PVH and HVM
 * domains it has an offset and perhaps a scale that the domain cannot see.
 *
 * Where Xen calls its TSC stable, its pvclock parameters never change but at a
 * resume, so that either counter can be reckoned from the other.
 */
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/module.h>

#include <asm/processor.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>
#include <asm/xen/cpuid.h>
#include <asm/xen/hypervisor.h>

#include <xen/xen.h>

#include "ffclock_xen.h"

static bool trust_tsc;
module_param(trust_tsc, bool, 0644);
MODULE_PARM_DESC(trust_tsc, "a native TSC is the host's, reliable or not (default N)");

/* Time leaf, subleaf 0: EAX */
#define FFX_TSC_EMULATED	BIT(0)
#define FFX_TSC_RELIABLE	BIT(1)

/**
 * ffx_facts_read() - what Xen says about this domain's TSC
 * @f: filled in
 *
 * Changes with a migration: a TSC that was native may be emulated there.
 *
 * Context: any.
 */
void ffx_facts_read(struct ffx_facts *f)
{
	u32 base = xen_cpuid_base();
	u32 eax, ebx, ecx, edx;

	memset(f, 0, sizeof(*f));
	f->dom0 = xen_initial_domain();
	f->pv = xen_pv_domain();
	f->emulated = true;		/* as long as nobody says otherwise */
	/* EAX of the first leaf is the highest one there is */
	if (!base || cpuid_eax(base) < base + 3)
		return;
	cpuid_count(base + 3, 0, &eax, &ebx, &ecx, &edx);
	f->emulated = eax & FFX_TSC_EMULATED;
	f->reliable = eax & FFX_TSC_RELIABLE;
	f->mode = ebx;
	f->khz = ecx;
	f->incarnation = edx;
}

/**
 * ffx_tsc_common() - is this domain's TSC the host's, the one that Dom0 reads?
 * @f: the facts
 */
bool ffx_tsc_common(const struct ffx_facts *f)
{
	return f->pv && !f->emulated && (f->reliable || trust_tsc);
}

/* Why it is not, for people */
const char *ffx_tsc_why(const struct ffx_facts *f)
{
	if (!f->pv)
		return "offset: not a PV domain";
	if (f->emulated)
		return "emulated";
	if (f->reliable)
		return "common";
	return trust_tsc ? "common, on trust" : "unreliable";
}

static const struct pvclock_vcpu_time_info *ffx_pvti(void)
{
	struct pvclock_vsyscall_time_info *page = pvclock_get_pvti_cpu0_va();

	return page ? &page->pvti : NULL;
}

/**
 * ffx_pvclock_stable() - do Xen system time and this TSC run in lockstep?
 */
bool ffx_pvclock_stable(void)
{
	const struct pvclock_vcpu_time_info *pvti = ffx_pvti();

	return pvti && (READ_ONCE(pvti->flags) & PVCLOCK_TSC_STABLE_BIT);
}

/* Both counters by one reading of the TSC, and the parameters between them */
static bool ffx_pair(u64 *tsc, u64 *xen, struct pvclock_vcpu_time_info *copy)
{
	const struct pvclock_vcpu_time_info *pvti = ffx_pvti();
	u32 version;

	if (!pvti)
		return false;
	do {
		version = pvclock_read_begin(pvti);
		*copy = *pvti;
		*tsc = rdtsc_ordered();
	} while (pvclock_read_retry(pvti, version));
	if (!(copy->flags & PVCLOCK_TSC_STABLE_BIT))
		return false;
	/* as Xen makes them; anything else would overflow below */
	if (!(copy->tsc_to_system_mul >> 31) || abs(copy->tsc_shift) > 31)
		return false;
	*xen = __pvclock_read_cycles(copy, *tsc);
	return true;
}

/* *shift += by, if that leaves it in 0..63 */
static bool ffx_shift(u32 *shift, int by)
{
	int now = (int)*shift + by;

	if (now < 0 || now > FFCLOCK_MAX_SHIFT)
		return false;
	*shift = now;
	return true;
}

/**
 * ffx_line_xen_to_tsc() - a line in Xen system time, in this domain's TSC
 * @xen: the line at @utc
 * @utc: in: the time; out: the time at @tsc's counter value, which is now
 * @tsc: filled in
 *
 * Xen system time = S + ((TSC - T) << shift) * mul / 2^32, so a count of the TSC
 * is worth 2^shift * mul / 2^32 of it.  mul has its top bit set, so a period
 * loses at most one of its 64 bits.
 *
 * Context: any.
 * Return: whether that is possible
 */
bool ffx_line_xen_to_tsc(struct ffclock_record_line *xen, struct ffclock_time *utc,
			 struct ffclock_record_line *tsc)
{
	struct pvclock_vcpu_time_info p;
	u64 tsc_now, xen_now, mul;
	ffclock_u128 period;

	if (!ffx_pair(&tsc_now, &xen_now, &p))
		return false;
	mul = p.tsc_to_system_mul;
	*tsc = *xen;
	tsc->counter = tsc_now;
	period = (ffclock_u128)xen->period * mul >> 32;
	tsc->period = period;
	tsc->esterror = ((ffclock_u128)xen->esterror * mul >> 32) + 1;
	/* + 2: the products are rounded down, that of the period as well */
	tsc->maxerror = ((ffclock_u128)xen->maxerror * mul >> 32) + 2;
	if (!ffx_shift(&tsc->shift, -p.tsc_shift))
		return false;
	*utc = ffclock_line_at(xen_now, xen->counter, *utc, xen->period, xen->shift);
	return ffclock_period_valid(tsc->period, tsc->shift);
}

/* v * 2^31 / mul, for a v below 2^63: as mul >= 2^31, that is at most v */
static u64 ffx_divide(u64 v, u32 mul)
{
	return ffclock_udiv128(v >> 33, v << 31, mul, NULL);
}

/**
 * ffx_line_tsc_to_xen() - a line in this domain's TSC, in Xen system time
 * @tsc: the line at @utc
 * @utc: the time
 * @xen: filled in, for the same time
 *
 * Context: any.
 * Return: whether that is possible
 */
bool ffx_line_tsc_to_xen(const struct ffclock_record_line *tsc, struct ffclock_time utc,
			 struct ffclock_record_line *xen)
{
	struct ffclock_time now, ago;
	struct pvclock_vcpu_time_info p;
	u64 tsc_now, xen_now, counts;
	u32 mul;

	if (!ffx_pair(&tsc_now, &xen_now, &p))
		return false;
	mul = p.tsc_to_system_mul;
	*xen = *tsc;
	/* period * 2^32 / mul = (period / 2) * 2^31 / mul * 4: two bits of shift */
	xen->period = ffx_divide(tsc->period >> 1, mul);
	xen->esterror = ffx_divide(tsc->esterror >> 1, mul) + 1;
	xen->maxerror = ffx_divide(tsc->maxerror >> 1, mul) + 2;
	if (!ffx_shift(&xen->shift, p.tsc_shift - 2))
		return false;
	if (!ffclock_period_valid(xen->period, xen->shift))
		return false;

	now = ffclock_line_at(tsc_now, tsc->counter, utc, tsc->period, tsc->shift);
	ago = ffclock_time_sub(now, utc);
	if (!ffclock_unscale(ago, xen->period, xen->shift, false, &counts))
		return false;
	xen->counter = xen_now - counts;
	return true;
}
