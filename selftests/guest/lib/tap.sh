# SPDX-License-Identifier: GPL-2.0-only
#
# TAP for shell tests in the guest.
#
#	plan 3				announce; first
#	ok "text" command args...	a point: does the command succeed?
#	is "text" GOT WANTED		a point: are the strings equal?
#	skip "text" "why"		a point not tested
#	skip_all "why"			nothing can be tested here: exits
#	diag "text"			a comment line
#	finish				exit status; last

tap_count=0
tap_failed=0
tap_planned=0

plan() {
	tap_planned=$1
	echo "TAP version 13"
	echo "1..$1"
}

diag() {
	printf '%s\n' "$*" | sed 's/^/# /'
}

# By a process of its own: the shell's own echo to a terminal is lost if a background
# command ends at that moment (SIGCHLD).
tap_say() {
	/bin/echo "$1"
}

tap_point() {	# pass or fail, text
	tap_count=$((tap_count + 1))
	if [ "$1" = pass ]; then
		tap_say "ok $tap_count - $2"
	else
		tap_failed=$((tap_failed + 1))
		tap_say "not ok $tap_count - $2"
	fi
}

ok() {
	tap_text=$1
	shift
	if tap_output=$("$@" 2>&1); then
		tap_point pass "$tap_text"
	else
		diag "failed: $*"
		[ -z "$tap_output" ] || diag "$tap_output"
		tap_point fail "$tap_text"
	fi
}

is() {
	if [ "$2" = "$3" ]; then
		tap_point pass "$1"
	else
		diag "got '$2', wanted '$3'"
		tap_point fail "$1"
	fi
}

skip() {
	tap_count=$((tap_count + 1))
	tap_say "ok $tap_count - $1 # SKIP $2"
}

skip_all() {
	echo "1..0 # SKIP $*"
	exit 77
}

finish() {
	[ $tap_failed -eq 0 ] && [ $tap_count -eq "$tap_planned" ]
	exit $?
}
