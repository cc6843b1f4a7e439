#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=300
#
# The in-kernel interface from process, softirq, hard irq and NMI, on both CPUs,
# while one of them replaces the clock data; its snapshots against the kernel's
# own; what its readings and the timekeeping notifier cost.
#
# The NMIs are sent through the local APIC; some hit a CPU that is in the middle
# of publishing, which is looked up afterwards.

. "$LAB_LIB/tap.sh"
. "$LAB_LIB/kmod.sh"

plan 32

# In a process of its own: it is bound to one CPU by that.
contexts() {
	RESULT=$( (consumer contexts "$1"; echo "$RESULT") )
}

ok "consumer loaded" modprobe ffclock_consumer
clocksource tsc

# Contexts, on each clocksource: reading hpet and acpi_pm takes other paths.
for cs in tsc hpet acpi_pm; do
	clocksource $cs
	rounds=4000
	[ $cs = tsc ] || rounds=500
	contexts $rounds
	wrong=0
	for c in process softirq irq remote_irq nmi remote_nmi; do
		diag "$cs: $c: $(result $c) samples of the counter and all clocks," \
			"$(result ${c}_wrong_context) in another context"
		[ "$(result $c)" -ge 3 ] || wrong=$((wrong + 1))
		wrong=$((wrong + $(result ${c}_wrong_context)))
	done
	is "$cs: every context was reached and was what it is called" $wrong 0
	for c in process softirq irq remote_irq nmi remote_nmi; do
		is "$cs: $c: steps back, contradictions" \
			"$(result ${c}_back) $(result ${c}_disagree)" "0 0"
	done
	diag "$cs: $(result updates) updates meanwhile; $(result nmi_in_ffclock) of $(result nmi_looked_up)" \
		"NMIs hit ffclock, $(result nmi_in_publish) of them its publication; $(result nmi_lost) lost"
	is "$cs: NMIs that did not arrive" "$(result nmi_lost)" 0
	# by chance, so as many tries as it takes; a slow counter leaves it few chances
	if [ $cs = tsc ]; then
		for try in 1 2 3 4 5; do
			[ "$(result nmi_in_ffclock)" = 0 ] || break
			contexts $rounds
		done
		ok "$cs: NMIs did hit ffclock itself ($(result nmi_in_ffclock))" \
			[ "$(result nmi_in_ffclock)" -gt 0 ]
	fi
done

clocksource tsc
consumer snapshot 20000
diag "$(result compared) snapshots between two of the kernel's, $(result skipped) skipped;" \
	"worst: realtime $(result worst_realtime_ns) ns, raw $(result worst_raw_ns) ns;" \
	"$(result inverted) kernel stamps inverted, worst $(result worst_inverse_counts) counts," \
	"$(result worst_inverse_ns) ns"
ok "snapshots compared" [ "$(result compared)" -ge 1000 ]
ok "CLOCK_REALTIME is the kernel's to 2 ns, CLOCK_MONOTONIC_RAW too" \
	[ "$(result worst_realtime_ns)" -le 2 -a "$(result worst_raw_ns)" -le 2 ]
ok "inversion of the kernel's snapshots is exact to 2 ns" \
	[ "$(result inverted)" -ge 1000 -a "$(result failed)" = 0 -a "$(result worst_inverse_ns)" -le 2 ]

consumer cost 2000
ok "cost measured" [ "$(result tsc_khz)" -gt 0 ]
echo "$RESULT" | awk '
	/^[a-z]/ { min[$1] = $2; med[$1] = $3 }
	END {
		for (f in med)
			if (f != "tsc_khz")
				printf "# cost: %-28s min %9.2f median %9.2f TSC counts, %6.1f ns\n", f,
					min[f] / 100, med[f] / 100, med[f] * 10000 / min["tsc_khz"]
		f = "ffclock_get_ts64_utc"; g = "ktime_get_real_ts64"
		printf "# cost: in-kernel utc / ktime_get_real_ts64: min %.2f median %.2f\n",
			min[f] / min[g], med[f] / med[g]
		printf "# cost: ffclock_counter / ordered rdtsc: min %.2f median %.2f\n",
			min["ffclock_counter"] / min["rdtsc"], med["ffclock_counter"] / med["rdtsc"]
	}' | sort
for cs in tsc acpi_pm; do
	clocksource $cs
	consumer tick 500
	echo "$RESULT" | awk -v cs=$cs '
		/^[a-z]/ { min[$1] = $2; med[$1] = $3 }
		END {
			khz = min["tsc_khz"]
			printf "# tick on %s: notifier min %d median %d TSC counts (%.0f ns) above an empty one (%d), longest %d; %.3f %% of a 4 ms tick\n",
				cs, min["with_ffclock"] - min["empty_notifier"],
				med["with_ffclock"] - med["empty_notifier"],
				(med["with_ffclock"] - med["empty_notifier"]) * 1e6 / khz,
				med["empty_notifier"], min["longest"],
				(med["with_ffclock"] - med["empty_notifier"]) / (khz * 4) * 100
		}'
	[ $cs != tsc ] || is "notifier measured" "$(result updates)" 500
done

ok "nothing is left" unload
finish
