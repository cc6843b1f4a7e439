#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=60
#
# ffclock doctor and watch on a real machine: before the module, and with it.

. "$LAB_LIB/tap.sh"

plan 15
out=/tmp/doctor.$$

ffclock doctor > $out; code=$?
sed 's/^/# /' $out
ok "without the module: 1" [ $code = 1 ]
ok "doctor says what to do" grep -q -- '-> modprobe ffclock$' $out
ok "the kernel is fine" grep -q "^ok .*Linux $(uname -r)" $out
ok "the guest is one" grep -q 'guest of' $out
ok "VMClock is there" grep -q '^ok .*VMClock' $out
ok "so is the TSC as clocksource" grep -q '^ok .*clocksource .*tsc' $out

modprobe ffclock
modprobe ffclock_vmclock
ffclock doctor > $out; code=$?
sed 's/^/# /' $out
ok "not synchronised: still 1" [ $code = 1 ]
ok "the module is found" grep -q '^ok .*module .*ffclock [0-9]' $out
ok "VMClock's module as well" grep -q '^ok .*ffclock_vmclock' $out
ok "the clock is told to be unsynchronised" grep -q '^FAIL .*clock .*unknown' $out
ok "it is json as well" sh -c "ffclock doctor --json | grep -q '\"worst\": \"problem\"'"
# echo tsc in the middle: what watch makes of a change
(sleep 1; echo hpet > /sys/devices/system/clocksource/clocksource0/current_clocksource) &
ffclock watch 3 > $out
sed 's/^/# /' $out | tail -n 12
echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource
ok "watch shows the rate against nominal" grep -q '^rate .* ppm of nominal' $out
ok "and that another epoch began" grep -q 'epoch [0-9]* begins' $out
ok "and who notices migrations" grep -q '^notice .*vmclock' $out
ok "the example of programming.rst loads and goes" sh -c 'modprobe ffclock_example &&
	rmmod ffclock_example'
rm -f $out
modprobe -r ffclock_vmclock ffclock
finish
