#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=180
#
# What readings cost in this guest, as ratios: the page beside the vDSO, a clock id
# beside a PTP clock's and beside CLOCK_REALTIME by system call.  Figures for the
# record, no verdict on them: under an emulator they say little about hardware.
#
# The PTP clock is the kernel's own if it has one here (ptp_kvm, ptp_vmclock,
# ptp_mock), else ptp_ffclock.

. "$LAB_LIB/tap.sh"

plan 4
modprobe ffclock
for m in ptp_kvm ptp_vmclock ptp_mock ptp_ffclock; do
	modprobe $m 2>/dev/null
	[ ! -e /dev/ptp0 ] || break
done
if [ -e /dev/ptp0 ]; then
	diag "/dev/ptp0 is $(cat /sys/class/ptp/ptp0/clock_name), by $m"
else
	diag "no /dev/ptp0"
fi
echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource
ok "bench runs" sh -c 'ffclock bench > /tmp/bench'
diag "$(cat /tmp/bench)"

ns() {	# beginning of a line's name: its median
	awk -v name="$1" 'index($0, name) == 1 { v = substr($0, 29); split(v, f, " "); print f[1] }' /tmp/bench
}

ratio() {
	awk -v a="$(ns "$1")" -v b="$(ns "$2")" 'BEGIN { if (b > 0) printf "%.3f\n", a / b; else print "-" }'
}
diag "page utc / vDSO: $(ratio 'page utc ' 'vDSO')"
diag "page utc / ordered counter read: $(ratio 'page utc ' 'ordered')"
diag "clock id / forced system call CLOCK_REALTIME: $(ratio 'clock id /dev/ffclock_utc' 'system call')"
diag "clock id / clock id of /dev/ptp0: $(ratio 'clock id /dev/ffclock_utc' 'clock id /dev/ptp0')"
for what in 'page utc ' 'clock id /dev/ffclock_utc' 'system call'; do
	ok "there is a figure for $what" awk -v x="$(ns "$what")" 'BEGIN { exit !(x > 0) }'
done
[ ! -e /dev/ptp0 ] || rmmod $m
rmmod ffclock
finish
