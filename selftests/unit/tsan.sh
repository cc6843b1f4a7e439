#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# test_lib's readers and writers under ThreadSanitizer.  It needs its memory
# where it expects it, which some kernels' randomisation does not grant (32 bits
# of it): switched off for this process where that is allowed.

program=$(dirname "$0")/../obj/unit/test_lib_tsan
export TSAN_OPTIONS="halt_on_error=1 exitcode=66" FFCLOCK_CASES=10000
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if setarch -R true 2> /dev/null; then
	setarch -R "$program" > "$log" 2>&1
else
	"$program" > "$log" 2>&1
fi
code=$?
if grep -q 'ThreadSanitizer: unexpected memory mapping' "$log"; then
	echo "1..0 # SKIP ThreadSanitizer does not run with this kernel's address space layout"
	exit 0
fi
cat "$log"
exit $code
