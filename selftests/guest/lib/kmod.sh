# SPDX-License-Identifier: GPL-2.0-only
#
# The test modules, driven through debugfs.
#
#	consumer COMMAND...	run a command of ffclock_consumer; results in $RESULT
#	wraps COMMAND...	the same of ffclock_wraps
#	result KEY		a value of the last results
#	clocksource NAME	choose it; true if it is in use afterwards
#	freq			counter's nominal frequency in Hz, whole

cs_dir=/sys/devices/system/clocksource/clocksource0
ffc=/sys/kernel/ffclock
fake=/sys/kernel/debug/ffclock_fakecs
RESULT=

consumer() {
	echo "$*" > /sys/kernel/debug/ffclock_consumer/run || return 1
	RESULT=$(cat /sys/kernel/debug/ffclock_consumer/run)
}

wraps() {
	echo "$*" > /sys/kernel/debug/ffclock_wraps/run || return 1
	RESULT=$(cat /sys/kernel/debug/ffclock_wraps/run)
}

result() {
	echo "$RESULT" | awk -v key="$1" '$1 == key { print $2; found = 1 } END { exit !found }'
}

clocksource() {
	echo "$1" > $cs_dir/current_clocksource
	[ "$(cat $cs_dir/current_clocksource)" = "$1" ]
}

freq() {
	cut -d . -f 1 $ffc/counter/frequency
}

# the value of $1, a file under /sys/kernel/ffclock
ffc() {
	cat "$ffc/$1"
}

unload() {
	clocksource tsc
	for m in ffclock_wraps ffclock_consumer ffclock_fakecs ffclock; do
		! grep -q "^$m " /proc/modules || rmmod $m || return 1
	done
}
