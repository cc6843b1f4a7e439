/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ffclock_xen: what its parts share.
 */
#ifndef _FFCLOCK_XEN_H
#define _FFCLOCK_XEN_H

#include <linux/ffclock.h>
#include <linux/ffclock_record.h>
#include <linux/types.h>

/*
 * Where a domain finds its record, relative to its own folder in Xenstore.  The
 * publisher in Dom0 has the same (daemon/xen/publish.c).
 */
#define FFX_DIR		"ffclock"
#define FFX_NODE	"clock"

/**
 * struct ffx_facts - what Xen says about this domain's TSC
 * @dom0: this is the domain that tells the others
 * @pv: paravirtual: RDTSC reads the host's, unless it is emulated
 * @emulated: RDTSC traps to Xen, which makes a value up
 * @reliable: Xen finds the host's TSC safe: one rate, all processors alike
 * @mode: tsc_mode of the domain's configuration: 0 default, 1 always emulate,
 *	2 native
 * @khz: the domain's TSC as Xen states it
 * @incarnation: times this domain was restored or migrated
 */
struct ffx_facts {
	bool	dom0;
	bool	pv;
	bool	emulated;
	bool	reliable;
	u32	mode;
	u32	khz;
	u32	incarnation;
};

void ffx_facts_read(struct ffx_facts *f);
bool ffx_tsc_common(const struct ffx_facts *f);
const char *ffx_tsc_why(const struct ffx_facts *f);
bool ffx_pvclock_stable(void);
bool ffx_line_xen_to_tsc(struct ffclock_record_line *xen, struct ffclock_time *utc,
			 struct ffclock_record_line *tsc);
bool ffx_line_tsc_to_xen(const struct ffclock_record_line *tsc, struct ffclock_time utc,
			 struct ffclock_record_line *xen);

int ffx_guest_init(void);
void ffx_guest_exit(void);
void ffx_guest_ready(void);
ssize_t ffx_guest_status(char *buf);
ssize_t ffx_guest_record(char *buf);

int ffx_dom0_init(void);
void ffx_dom0_exit(void);
void ffx_dom0_ready(void);
ssize_t ffx_dom0_status(char *buf);
ssize_t ffx_dom0_record(char *buf);

int ffx_wallclock_init(void);
void ffx_wallclock_exit(void);

void ffx_record_changed(void);

#endif /* _FFCLOCK_XEN_H */
