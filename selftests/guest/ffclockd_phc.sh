#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=150 qemu="-device e1000e"
#
# ffclockd reads a PTP hardware clock: that of an Intel network card, as QEMU has it.
# QEMU's runs more than twice too fast, so it is no clock to follow.

. "$LAB_LIB/tap.sh"

command -v ffclockd > /dev/null || skip_all "ffclockd is not in the image"
modprobe e1000e
sleep 1
[ -e /dev/ptp0 ] || skip_all "this QEMU's e1000e has no PTP clock"
plan 4

dir=/tmp/ffclockd-phc
mkdir -p $dir
modprobe ffclock

follow() {	# words after the device
	cat > $dir/conf <<END
phc /dev/ptp0 $*
counter device
control $dir/sock
state none
END
	ffclockd -c $dir/conf -d > $dir/log 2>&1 &
	ffclockd=$!
}

compared() {	# by this method, within 40 s
	end=$(($(date +%s) + 40))
	while [ "$(date +%s)" -lt $end ]; do
		grep -q "phc /dev/ptp0: $1 comparison" $dir/log && return 0
		sleep 0.5
	done
	tail -5 $dir/log
	return 1
}

follow
ok "compares by the extended method" compared extended
diag "$(grep comparison $dir/log)"
sleep 4
ok "sources: a PHC, with stamps" sh -c "ffclock sources --json --socket $dir/sock |
	grep -q '\"refid\": \"50484300\"' && [ \"\$(ffclock stamps 3 --socket $dir/sock | wc -l)\" = 4 ]"
# 1.5 s a second fast is no oscillator
ok "does not call such a clock synchronised" sh -c "! grep -q 'ffclockd: synchronised' $dir/log"
kill $ffclockd
wait $ffclockd
follow basic
ok "compares by the basic method, if told to" compared basic
diag "$(grep comparison $dir/log)"
kill $ffclockd
wait
modprobe -r ffclock
finish
