#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: extras=1
#
# Every module of ours loads on this kernel, and unloads again.  A module whose
# device or hypervisor is missing says ENODEV, which is a skip.

. "$LAB_LIB/tap.sh"

dir=/lib/modules/$(uname -r)
modules=$(cd "$dir" && for f in ffclock*.ko ptp_ffclock*.ko; do
	[ -f "$f" ] && echo "${f%.ko}"
done)
[ -n "$modules" ] || skip_all "no modules of ours in the image"

cycle() {
	modprobe "$1" || return 1
	grep -q "^$1 " /proc/modules || return 1
	rmmod "$1" || return 1
	# modprobe brought these along; ffclock goes last.
	for dep in $modules; do
		[ "$dep" = ffclock ] || ! grep -q "^$dep " /proc/modules || rmmod "$dep" || return 1
	done
	! grep -q "^ffclock " /proc/modules || rmmod ffclock || return 1
	! grep -q ffclock /proc/modules
}

plan $(($(echo "$modules" | wc -l) + 1))
for module in $modules; do
	if ! said=$(modprobe "$module" 2>&1) && echo "$said" | grep -q "No such device"; then
		skip "$module loads and unloads" "no such device here"
		grep -q "^ffclock " /proc/modules && rmmod ffclock
		continue
	fi
	rmmod "$module" 2>/dev/null
	ok "$module loads and unloads" cycle "$module"
done
ok "nothing of ours is left" sh -c '! grep ffclock /proc/modules && ! ls /dev/ffclock* /sys/kernel/ffclock'
finish
