# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's part of selftests/host/s2idle.py: for each line with the name of a
# clocksource on its input, sleep (suspend to idle) until the next line comes, and
# say what the counter and the clocks were before and after.

state=/sys/kernel/ffclock

say() {		# word: everything there is to compare
	set -- "$1" $(cat $state/counter/value $state/counter/epoch $state/migration/sequence) \
		"$(ffclock read mono | cut -d ' ' -f 1)" \
		$(awk '{ print $1 }' /proc/uptime)
	echo "$*"
}

modprobe ffclock
# the port that we are spoken to through wakes us
echo enabled > /sys/class/tty/ttyS1/power/wakeup || echo "no wakeup: $?"
echo ready
while read -r cs; do
	[ -n "$cs" ] || continue	# it only woke us
	[ "$cs" != end ] || break
	echo "$cs" > /sys/devices/system/clocksource/clocksource0/current_clocksource
	usleep 500000
	say before
	if echo freeze > /sys/power/state; then
		usleep 500000
		say after
	else
		echo failed
	fi
done
echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource
rmmod ffclock && echo unloaded
