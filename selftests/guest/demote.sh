#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=180 own=1
#
# The kernel takes its clocksource away: the watchdog finds a fake one too fast, and
# then the TSC is marked unstable.  The counter goes on over the next one in a new
# epoch, no reader on any CPU sees a step back, the clocks say that they hold over,
# and user space falls back from the page to the clock id.
#
# A guest of its own: its TSC does not come back.

. "$LAB_LIB/tap.sh"
. "$LAB_LIB/kmod.sh"

plan 18

utc() {		# is it CLOCK_REALTIME's, to 2 s?  TAI - UTC is not known here
	ffclock read tai | awk -v now="$(date +%s)" '{ d = $1 - now; print (d > -2 && d < 2) }'
}

gone() {	# NAME SECONDS: until it is not the current clocksource any more
	n=0
	while [ "$(cat $cs_dir/current_clocksource)" = "$1" ]; do
		n=$((n + 1))
		[ $n -le $(($2 * 4)) ] || return 1
		usleep 250000
	done
	diag "$1 was given up after $((n * 250)) ms for $(cat $cs_dir/current_clocksource)"
}

modprobe ffclock_consumer
clocksource tsc

# by the watchdog: ten per cent too fast
ok "fake clocksource, to be watched" modprobe ffclock_fakecs bits=32 hz=20000000 verify=1
ok "in use" clocksource ffclock-fake
sleep 2
is "counted" "$(ffc counter/current)" ffclock-fake
epoch=$(ffc counter/epoch)
before=$(ffc counter/value)
consumer stress start
echo 100000 > $fake/rate_ppm
ok "the watchdog gives it up" gone ffclock-fake 60
diag "${tap_output#\# }"
sleep 1
consumer stress stop
now=$(cat $cs_dir/current_clocksource)
is "the counter follows" "$(ffc counter/current)" "$now"
is "in the next epoch" "$(ffc counter/epoch)" $((epoch + 1))
ok "from its value on" [ "$(ffc counter/value)" -gt "$before" ]
diag "$(result reads_counter) readings of the counter and as many of mono on $(result threads) CPUs meanwhile"
is "steps back that anybody saw" "$(result steps_back)" 0

# the TSC
ok "tsc in use" clocksource tsc
usleep 500000
epoch=$(ffc counter/epoch)
before=$(ffc counter/value)
mono=$(ffclock read mono | cut -d ' ' -f 1)
consumer stress start
consumer unstable
ok "tsc is given up" gone tsc 30
diag "${tap_output#\# }"
sleep 1
consumer stress stop
now=$(cat $cs_dir/current_clocksource)
is "the counter follows it to $now" "$(ffc counter/current)" "$now"
is "in the next epoch" "$(ffc counter/epoch)" $((epoch + 1))
ok "from its value on" [ "$(ffc counter/value)" -gt "$before" ]
diag "$(result reads_counter) readings of the counter and as many of mono on $(result threads) CPUs meanwhile"
is "steps back that anybody saw" "$(result steps_back)" 0
ok "mono went on" awk "BEGIN { exit !($(ffclock read mono | cut -d ' ' -f 1) > $mono) }"
is "utc is where CLOCK_REALTIME is" "$(utc)" 1
ok "tsc is not offered any more" sh -c '! grep -qw tsc /sys/kernel/ffclock/counter/available'
ok "nothing is left" sh -c 'rmmod ffclock_consumer && rmmod ffclock_fakecs && rmmod ffclock'
finish
