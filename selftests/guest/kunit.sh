#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=120 group=debug
#
# The KUnit tests: what the kernel computes of the unit tests' cases.  Their results
# are points here.

. "$LAB_LIB/tap.sh"

[ -e "/lib/modules/$(uname -r)/kunit.ko" ] || skip_all "this kernel has no KUnit"
results=/sys/kernel/debug/kunit/ffclock/results

modprobe kunit
plan 4
if ! modprobe ffclock_kunit; then
	diag "cannot load ffclock_kunit"
	exit 1
fi
diag "$(cat $results)"
for case in math_digest_test slew_digest_test record_good_test record_wrong_test; do
	ok "$case" grep -Eq "^ *ok [0-9]+ $case" $results
done
rmmod ffclock_kunit
finish
