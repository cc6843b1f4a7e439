// SPDX-License-Identifier: GPL-2.0-only
/*
 * ffclock: /sys/kernel/ffclock.  One value per file; see
 * Documentation/ABI/testing/sysfs-kernel-ffclock.
 */
#include <linux/capability.h>
#include <linux/clocksource.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "ffclock_internal.h"

static struct kobject *ffc_kobj;

#define FFC_ATTR_RO(_name)	static struct kobj_attribute _name##_attr = __ATTR_RO(_name)
#define FFC_ATTR_RW(_name)	static struct kobj_attribute _name##_attr = __ATTR_RW(_name)

/* counter/ ----------------------------------------------------------------- */

/* not __ATTR(): "current" is a macro, which that would expand into the name */
static ssize_t counter_name_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	char name[32];

	ffc_counter_name(name, sizeof(name));
	return sysfs_emit(buf, "%s\n", name);
}

static struct kobj_attribute counter_name_attr = {
	.attr	= { .name = "current", .mode = 0444 },
	.show	= counter_name_show,
};

static ssize_t available_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const struct ffc_hw *const *hw;
	ssize_t len = 0;

	for (hw = ffc_hw_list(); *hw; hw++)
		if ((*hw)->usable() && (*hw)->hz())
			len += sysfs_emit_at(buf, len, "%s%s", len ? " " : "", (*hw)->name);
	return len + sysfs_emit_at(buf, len, "\n");
}
FFC_ATTR_RO(available);

static ssize_t value_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", ffclock_counter(NULL));
}
FFC_ATTR_RO(value);

static ssize_t epoch_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	u32 epoch;

	ffclock_counter(&epoch);
	return sysfs_emit(buf, "%u\n", epoch);
}
FFC_ATTR_RO(epoch);

/* nominal, in Hz with three decimals */
static ssize_t frequency_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	unsigned long flags;
	u64 period, mhz;
	u32 shift, rem;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	ffc_counter_nominal(&period, &shift);
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	mhz = div_u64_rem(ffclock_period_to_mhz(period, shift), 1000, &rem);
	return sysfs_emit(buf, "%llu.%03u\n", mhz, rem);
}
FFC_ATTR_RO(frequency);

static ssize_t bypass_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", ffc_counter_bypass());
}

static ssize_t bypass_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
			    size_t count)
{
	char name[16];
	int ret;

	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	if (count >= sizeof(name) || strscpy(name, buf, sizeof(name)) < 0)
		return -EINVAL;
	ret = ffc_counter_set_bypass(strim(name));
	return ret ?: count;
}
FFC_ATTR_RW(bypass);

static struct attribute *counter_attrs[] = {
	&counter_name_attr.attr,
	&available_attr.attr,
	&value_attr.attr,
	&epoch_attr.attr,
	&frequency_attr.attr,
	&bypass_attr.attr,
	NULL
};

static const struct attribute_group counter_group = {
	.name	= "counter",
	.attrs	= counter_attrs,
};

/* clock/ ------------------------------------------------------------------- */

static ssize_t status_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	static const char * const names[] = {
		[FFCLOCK_STATUS_UNKNOWN]	= "unknown",
		[FFCLOCK_STATUS_INITIALIZING]	= "initializing",
		[FFCLOCK_STATUS_SYNCHRONIZED]	= "synchronized",
		[FFCLOCK_STATUS_FREERUNNING]	= "freerunning",
		[FFCLOCK_STATUS_UNRELIABLE]	= "unreliable",
	};
	struct ffclock_reading r;

	ffclock_read(FFCLOCK_UTC, &r);
	return sysfs_emit(buf, "%s\n", names[r.status]);
}
FFC_ATTR_RO(status);

/* seconds per count, as the ratio the kernel works with: period 2^-(64 + shift) */
static ssize_t period_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct ffclock_estimate est;

	ffclock_get_estimate(&est);
	return sysfs_emit(buf, "%llu\n", est.period);
}
FFC_ATTR_RO(period);

static ssize_t period_shift_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct ffclock_estimate est;

	ffclock_get_estimate(&est);
	return sysfs_emit(buf, "%u\n", est.period_shift);
}
FFC_ATTR_RO(period_shift);

static ssize_t error_bound_ns_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct ffclock_reading r;

	ffclock_read(FFCLOCK_UTC, &r);
	if (r.bound_ns == FFCLOCK_BOUND_UNKNOWN)
		return sysfs_emit(buf, "unknown\n");
	return sysfs_emit(buf, "%llu\n", r.bound_ns);
}
FFC_ATTR_RO(error_bound_ns);

static ssize_t tai_offset_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct ffclock_estimate est;

	ffclock_get_estimate(&est);
	return sysfs_emit(buf, "%d\n", est.tai_offset_sec);
}
FFC_ATTR_RO(tai_offset);

static ssize_t updates_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	unsigned long flags;
	u64 updates;

	raw_spin_lock_irqsave(&ffc_lock, flags);
	updates = ffc_event_updates();
	raw_spin_unlock_irqrestore(&ffc_lock, flags);
	return sysfs_emit(buf, "%llu\n", updates);
}
FFC_ATTR_RO(updates);

static struct attribute *clock_attrs[] = {
	&status_attr.attr,
	&period_attr.attr,
	&period_shift_attr.attr,
	&error_bound_ns_attr.attr,
	&tai_offset_attr.attr,
	&updates_attr.attr,
	NULL
};

static const struct attribute_group clock_group = {
	.name	= "clock",
	.attrs	= clock_attrs,
};

/* migration/ --------------------------------------------------------------- */

static ssize_t sequence_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", ffclock_migration_sequence());
}
FFC_ATTR_RO(sequence);

static const char * const policy_names[] = {
	[FFC_POLICY_INJECT]	= "inject",
	[FFC_POLICY_NTP_RESET]	= "ntp-reset",
	[FFC_POLICY_NOTIFY]	= "notify",
};

static ssize_t policy_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", policy_names[READ_ONCE(ffc_tunables.policy)]);
}

static ssize_t policy_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
			    size_t count)
{
	int policy;

	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	policy = sysfs_match_string(policy_names, buf);
	if (policy < 0)
		return policy;
	WRITE_ONCE(ffc_tunables.policy, policy);
	return count;
}
FFC_ATTR_RW(policy);

/* A tunable number: @where becomes it if it is within @min..@max */
static ssize_t tunable_store(const char *buf, size_t count, u64 *where, u64 min, u64 max)
{
	u64 value;
	int ret;

	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	ret = kstrtou64(buf, 10, &value);
	if (ret)
		return ret;
	if (value < min || value > max)
		return -ERANGE;
	WRITE_ONCE(*where, value);
	return count;
}

static ssize_t tolerable_threshold_ns_show(struct kobject *kobj, struct kobj_attribute *attr,
					   char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(ffc_tunables.tolerable_ns));
}

static ssize_t tolerable_threshold_ns_store(struct kobject *kobj, struct kobj_attribute *attr,
					    const char *buf, size_t count)
{
	return tunable_store(buf, count, &ffc_tunables.tolerable_ns, 0, S64_MAX);
}
FFC_ATTR_RW(tolerable_threshold_ns);

static ssize_t max_tout_ns_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(ffc_tunables.max_tout_ns));
}

static ssize_t max_tout_ns_store(struct kobject *kobj, struct kobj_attribute *attr,
				 const char *buf, size_t count)
{
	return tunable_store(buf, count, &ffc_tunables.max_tout_ns, 0, S64_MAX);
}
FFC_ATTR_RW(max_tout_ns);

static ssize_t min_interval_ms_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(ffc_tunables.min_interval_ms));
}

static ssize_t min_interval_ms_store(struct kobject *kobj, struct kobj_attribute *attr,
				     const char *buf, size_t count)
{
	return tunable_store(buf, count, &ffc_tunables.min_interval_ms, 1, 60000);
}
FFC_ATTR_RW(min_interval_ms);

static ssize_t suppressed_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", ffc_detect_suppressed());
}
FFC_ATTR_RO(suppressed);

static ssize_t notice_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	u64 notice = ffc_page_notice();

	if (notice & FFCLOCK_VF_DISRUPTION_IMMINENT)
		return sysfs_emit(buf, "imminent\n");
	return sysfs_emit(buf, "%s\n", notice ? "soon" : "none");
}
FFC_ATTR_RO(notice);

static ssize_t detectors_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return ffc_detect_show(buf);
}
FFC_ATTR_RO(detectors);

static ssize_t sources_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return ffc_source_show(buf);
}
FFC_ATTR_RO(sources);

/* sequence detector policy source flags tout bound left lost freq delay settings downtime */
static ssize_t history_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	static const char * const names[] = {
		[FFCLOCK_MIG_PENDING]	= "pending",
		[FFCLOCK_MIG_INJECT]	= "inject",
		[FFCLOCK_MIG_NTP_RESET]	= "ntp-reset",
		[FFCLOCK_MIG_NOTIFY]	= "notify",
	};
	u64 seq = ffclock_migration_sequence();
	struct ffclock_migration m;
	ssize_t len = 0;
	int i;

	for (i = 0; i < FFCLOCK_MIG_HISTORY && seq; i++, seq--) {
		m.sequence = seq;
		if (ffclock_get_migration(&m))
			break;
		len += sysfs_emit_at(buf, len, "%llu %s %s %s %#x %lld %llu %lld %lld %lld %llu %u %llu\n",
				     m.sequence, m.detector, names[m.policy],
				     *m.source ? m.source : "-", m.flags, m.tout_ns, m.bound_ns,
				     m.error_left_ns, m.lost_ns, m.freq_change_ppb, m.delay_ns,
				     m.settings, m.downtime_ns);
	}
	return len;
}
FFC_ATTR_RO(history);

static struct attribute *migration_attrs[] = {
	&sequence_attr.attr,
	&policy_attr.attr,
	&tolerable_threshold_ns_attr.attr,
	&max_tout_ns_attr.attr,
	&min_interval_ms_attr.attr,
	&suppressed_attr.attr,
	&notice_attr.attr,
	&detectors_attr.attr,
	&sources_attr.attr,
	&history_attr.attr,
	NULL
};

static const struct attribute_group migration_group = {
	.name	= "migration",
	.attrs	= migration_attrs,
};

/* -------------------------------------------------------------------------- */

static ssize_t version_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", THIS_MODULE->version);
}
FFC_ATTR_RO(version);

static struct attribute *top_attrs[] = {
	&version_attr.attr,
	NULL
};

static const struct attribute_group top_group = {
	.attrs	= top_attrs,
};

static const struct attribute_group *ffc_groups[] = {
	&top_group,
	&counter_group,
	&clock_group,
	&migration_group,
	NULL
};

/* The directory goes now, whoever holds the object: its last reference may be put later */
static void ffc_sysfs_del(void)
{
	kobject_del(ffc_kobj);
	kobject_put(ffc_kobj);
}

int ffc_sysfs_init(void)
{
	int ret;

	ffc_kobj = kobject_create_and_add("ffclock", kernel_kobj);
	if (!ffc_kobj)
		return -ENOMEM;
	ret = sysfs_create_groups(ffc_kobj, ffc_groups);
	if (ret)
		ffc_sysfs_del();
	return ret;
}

void ffc_sysfs_exit(void)
{
	sysfs_remove_groups(ffc_kobj, ffc_groups);
	ffc_sysfs_del();
}
