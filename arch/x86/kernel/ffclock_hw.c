// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: the counters of x86: TSC, HPET, ACPI PM timer, Xen system time.
 *
 * The HPET and the PM timer are read beside the kernel's own drivers, which
 * export no reader: both are free-running registers that tolerate any number of
 * readers.  Nothing is ever written to them.
 */
#include <linux/acpi.h>
#include <linux/clocksource.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/string.h>

#include <asm/hpet.h>
#include <asm/msr.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include <xen/xen.h>

#include <uapi/linux/ffclock.h>

#include "../../../kernel/time/ffclock_hw.h"

/* TSC ---------------------------------------------------------------------- */

static u64 tsc_read(void)
{
	return rdtsc_ordered();
}

static bool tsc_usable(void)
{
	return boot_cpu_has(X86_FEATURE_TSC) && tsc_khz && !check_tsc_unstable();
}

static u64 tsc_hz(void)
{
	return (u64)tsc_khz * 1000;
}

static const struct ffc_hw hw_tsc = {
	.name	= "tsc",
	.id	= FFCLOCK_COUNTER_X86_TSC,
	.mask	= CLOCKSOURCE_MASK(64),
	.read	= tsc_read,
	.usable	= tsc_usable,
	.hz	= tsc_hz,
};

/* HPET --------------------------------------------------------------------- */

static void __iomem *hpet_regs;
static u64 hpet_freq;

/*
 * 32 bits, as the kernel's clocksource: a 64-bit read of the main counter is
 * not atomic on every chipset.
 */
static u64 hpet_reg_read(void)
{
	return readl(hpet_regs + HPET_COUNTER);
}

/* is_hpet_enabled(): present, not disabled on the command line, and counting */
static bool hpet_usable(void)
{
	return hpet_regs && is_hpet_enabled();
}

static u64 hpet_hz(void)
{
	return hpet_freq;
}

static struct ffc_hw hw_hpet = {
	.name	= "hpet",
	.id	= FFCLOCK_COUNTER_INVALID,
	.mask	= CLOCKSOURCE_MASK(32),
	.read	= hpet_reg_read,
	.usable	= hpet_usable,
	.hz	= hpet_hz,
};

/* IA-PC HPET specification 1.0a, 2.3.4: the period is at most 100 ns */
#define HPET_PERIOD_MAX_FS	100000000U
#define FEMTOSEC_PER_SEC	1000000000000000ULL

static void hpet_probe(void)
{
	struct acpi_table_header *header;
	struct acpi_table_hpet *table;
	u32 period;

	if (!is_hpet_enabled())
		return;
	if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_HPET, 0, &header)))
		return;
	table = (struct acpi_table_hpet *)header;
	if (table->address.space_id == ACPI_ADR_SPACE_SYSTEM_MEMORY && table->address.address)
		hpet_regs = ioremap(table->address.address, HPET_MMAP_SIZE);
	acpi_put_table(header);
	if (!hpet_regs)
		return;

	period = readl(hpet_regs + HPET_PERIOD);
	if (!period || period > HPET_PERIOD_MAX_FS) {
		iounmap(hpet_regs);
		hpet_regs = NULL;
		return;
	}
	hpet_freq = div_u64(FEMTOSEC_PER_SEC + period / 2, period);
}

/* ACPI PM timer ------------------------------------------------------------ */

static u32 pm_port;

/*
 * Some chipsets (PIIX4, ICH) now and then return a torn value: take a reading
 * that lies between its neighbours, as the kernel's clocksource does.  Ten
 * tries always suffice for a live timer; the bound is for a dead one.
 */
static u64 pm_read(void)
{
	u32 mask = CLOCKSOURCE_MASK(24);
	u32 a, b, c;
	int i;

	for (i = 0; i < 10; i++) {
		a = inl(pm_port) & mask;
		b = inl(pm_port) & mask;
		c = inl(pm_port) & mask;
		/* in order, or wrapped between two of them */
		if (((b - a) & mask) < mask / 2 && ((c - b) & mask) < mask / 2)
			break;
	}
	return b;
}

static bool pm_usable(void)
{
	return pm_port;
}

static u64 pm_hz(void)
{
	return ACPI_PM_TIMER_FREQUENCY;
}

/* 24 bits even where the FADT says 32: as the kernel's clocksource */
static const struct ffc_hw hw_pm = {
	.name	= "acpi_pm",
	.id	= FFCLOCK_COUNTER_INVALID,
	.mask	= CLOCKSOURCE_MASK(24),
	.read	= pm_read,
	.usable	= pm_usable,
	.hz	= pm_hz,
};

static void pm_probe(void)
{
	struct acpi_table_fadt *fadt = &acpi_gbl_FADT;

	if (fadt->pm_timer_length != 4)
		return;
	if (fadt->xpm_timer_block.space_id == ACPI_ADR_SPACE_SYSTEM_IO &&
	    fadt->xpm_timer_block.address)
		pm_port = fadt->xpm_timer_block.address;
	else
		pm_port = fadt->pm_timer_block;
}

/* Xen system time ----------------------------------------------------------- */

#ifdef CONFIG_XEN
/* the kernel's own, once it was the clocksource */
static struct clocksource *xen_clocksource;

/*
 * The page of pvclock parameters that the vDSO uses, where there is one: Xen
 * calls its TSC stable, so CPU 0's parameters are good on every CPU.
 */
static const struct pvclock_vcpu_time_info *xen_pvti(void)
{
	struct pvclock_vsyscall_time_info *page;

	if (!xen_domain())
		return NULL;
	page = pvclock_get_pvti_cpu0_va();
	return page ? &page->pvti : NULL;
}

/*
 * What the clocksource's read() returns while the TSC is stable, without its
 * bookkeeping.  On another host it may no longer be: the page says so, and the
 * clocksource is asked.
 */
static u64 xen_read(void)
{
	const struct pvclock_vcpu_time_info *pvti = xen_pvti();
	u32 version;
	u64 value;
	u8 flags;

	do {
		version = pvclock_read_begin(pvti);
		value = __pvclock_read_cycles(pvti, rdtsc_ordered());
		flags = pvti->flags;
	} while (pvclock_read_retry(pvti, version));
	if (likely(flags & PVCLOCK_TSC_STABLE_BIT) || !xen_clocksource)
		return value;
	return xen_clocksource->read(xen_clocksource);
}

static bool xen_usable(void)
{
	const struct pvclock_vcpu_time_info *pvti = xen_pvti();

	return pvti && (READ_ONCE(pvti->flags) & PVCLOCK_TSC_STABLE_BIT);
}

static u64 xen_hz(void)
{
	return NSEC_PER_SEC;
}

static const struct ffc_hw hw_xen = {
	.name	= "xen",
	.id	= FFCLOCK_COUNTER_INVALID,
	.mask	= CLOCKSOURCE_MASK(64),
	.read	= xen_read,
	.usable	= xen_usable,
	.hz	= xen_hz,
};

static const struct ffc_hw *xen_of_clocksource(struct clocksource *cs)
{
	if (!xen_domain() || strcmp(cs->name, hw_xen.name) || !xen_usable())
		return NULL;
	xen_clocksource = cs;
	return &hw_xen;
}
#else
static const struct ffc_hw *xen_of_clocksource(struct clocksource *cs)
{
	return NULL;
}
#endif

/* -------------------------------------------------------------------------- */

static const struct ffc_hw *const hw_all[] = {
	&hw_tsc, &hw_hpet, &hw_pm,
#ifdef CONFIG_XEN
	&hw_xen,
#endif
	NULL
};

int ffc_hw_init(void)
{
	hpet_probe();
	pm_probe();
	return 0;
}

void ffc_hw_exit(void)
{
	if (hpet_regs)
		iounmap(hpet_regs);
	hpet_regs = NULL;
}

const struct ffc_hw *const *ffc_hw_list(void)
{
	return hw_all;
}

const struct ffc_hw *ffc_hw_find(const char *name)
{
	const struct ffc_hw *const *hw;

	for (hw = hw_all; *hw; hw++)
		if (!strcmp((*hw)->name, name))
			return *hw;
	return NULL;
}

/*
 * The TSC's clocksource is rdtsc_ordered() and nothing else, under the names
 * tsc-early and tsc, told by the vDSO mode they share.
 *
 * The HPET's shares readings: who finds another CPU reading takes that one's value,
 * which may be older than what an NMI has read by itself in the
 * meantime.  So with that clocksource the counter would step back (seen: every
 * 50th reading in a storm of NMIs, by up to a register's access time).  Reading
 * the register ourselves never does.  The cost: our readers do not share, which
 * matters on a machine of hundreds of CPUs that has no other clocksource.
 *
 * A stable Xen clocksource: see xen_of_clocksource().  The PM timer's reads the
 * port as we do, but with this machine's work-arounds.
 */
const struct ffc_hw *ffc_hw_of_clocksource(struct clocksource *cs)
{
	if (cs->vdso_clock_mode == VDSO_CLOCKMODE_TSC)
		return &hw_tsc;
	if (!strcmp(cs->name, "hpet") && cs->mask == hw_hpet.mask && hpet_usable())
		return &hw_hpet;
	return xen_of_clocksource(cs);
}
