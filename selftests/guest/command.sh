#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=60
#
# The ffclock command and, through it, libffclock on a real page.

. "$LAB_LIB/tap.sh"

plan 14
modprobe ffclock
out=/tmp/command.$$

# "status" and "read" exit with 3 as long as nobody has synchronised the clocks
ffclock status > $out; code=$?
ok "status of unsynchronised clocks exits with 3" [ $code = 3 ]
ok "status says unknown" grep -q '^status  *unknown' $out
ok "bound says unknown" grep -q '^bound  *unknown' $out
ok "reads take no system call on tsc" grep -q 'read without a system call' $out

ffclock status --json > $out
ok "status --json has the four clocks" \
	[ "$(grep -cE '"(utc|tai|mono|diff)":' $out)" = 4 ]

a=$(ffclock read mono | cut -d' ' -f1)
b=$(ffclock read mono | cut -d' ' -f1)
diag "mono $a, then $b"
ok "mono goes on" awk "BEGIN { exit !($b > $a) }"
ffclock read bogus > /dev/null 2> $out; code=$?
ok "no such clock: usage, exit 2" [ $code = 2 ]
ok "and it says which there are" grep -q 'utc|tai|mono|diff' $out

# this second's REALTIME is within the ring, the epoch's beginning is not
stamp=$(($(date +%s) * 1000000000))
sleep 1.1
ok "convert finds a stamp of a second ago or says that it was before load" \
	sh -c "ffclock convert $stamp | grep -qE ' (ok|too old)\$'"
ok "convert says too old" sh -c "ffclock convert 1000 | grep -q 'too old'"

ffclock wait 1; code=$?
ok "wait without a change times out with 1" [ $code = 1 ]
(sleep 0.5; echo hpet > /sys/devices/system/clocksource/clocksource0/current_clocksource) &
ok "wait ends with a clocksource switch" ffclock wait 10
ffclock status > $out
ok "reads then go through the kernel" grep -q 'read through the kernel' $out
echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource
ok "bench runs" sh -c "ffclock bench | sed 's/^/# /' | grep 'clock id /dev/ffclock_utc'"
finish
