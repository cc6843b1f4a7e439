#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=400 own=1
#
# A 24-bit counter at 16 MHz, whose true 64-bit value is known: is every wrap
# counted, by readers on all CPUs, while it runs by itself, sleeps, is delayed,
# glitches, changes its rate, and is stepped by hand 10^4 wraps on.
#
# A guest of its own: by hand, its clocks advance by hours in seconds.

. "$LAB_LIB/tap.sh"
. "$LAB_LIB/kmod.sh"

plan 23

# Nothing must call a stall what is only a clock moved by hand, and the deadline
# servers of 6.12 on, whose timers run on that clock and their bookkeeping on
# another, are off (seen: a WARN in hrtimer_forward() from dl_task_timer()).
echo 1 > /sys/module/rcupdate/parameters/rcu_cpu_stall_suppress
for f in /sys/module/workqueue/parameters/watchdog_thresh \
	/proc/sys/kernel/hung_task_timeout_secs /proc/sys/kernel/watchdog; do
	[ ! -e "$f" ] || echo 0 > "$f"
done
for f in /sys/kernel/debug/sched/*_server/cpu*/runtime; do
	[ ! -e "$f" ] || echo 0 > "$f"
done

exact() {	# text: no contradiction in the last result, of as many readings as it takes
	diag "$1: $(result readings) readings, $(result wraps) wraps, constant known to $(result interval) counts"
	is "$1: readings that contradict the others" "$(result bad)" 0
}

# A busy host may stop a virtual CPU for longer than a wrap takes (seen: 0.95 of one at
# a load of 7).  Without a timekeeping update no narrow counter can be followed, by
# anybody: wraps are told from late readings by 7/8 of the mask.  Readers who were away
# for 3/4 of it say that this may have been so, and then contradictions prove nothing.
away=$((3 * (1 << 24) / 4))

run() {		# command of ffclock_wraps: again, if there was such a standstill
	for try in 1 2 3 4; do
		wraps "$@"
		[ "$(result bad)" -gt 0 -a "$(result standstill)" -gt $away ] || return
		diag "$*: stood still for $(result standstill) counts, $(result bad) contradictions; try $try"
	done
}

modprobe ffclock
ok "fake clocksource registered" modprobe ffclock_fakecs bits=24 hz=16000000
modprobe ffclock_wraps
epoch=$(ffc counter/epoch)
ok "fake clocksource in use" clocksource ffclock-fake
is "ffclock counts it" "$(ffc counter/current)" ffclock-fake
is "its frequency" "$(freq)" 16000000
is "a new epoch began" "$(ffc counter/epoch)" $((epoch + 1))

# by itself: a wrap is 1.05 s
run watch 12000
exact "readers on all CPUs"
ok "at least 10 wraps" [ "$(result wraps)" -ge 10 ]
is "readings of another epoch" "$(result epochs)" 0
run idle 10000
exact "CPUs asleep in between (NO_HZ)"

# delay: readings are old by the time they are used, and ticks come in between
echo 200000 > $fake/delay_ns
run watch 4000
echo 0 > $fake/delay_ns
exact "each reading delayed by 0.2 ms"
for ppm in 100000 -300000 0; do
	echo $ppm > $fake/rate_ppm
	run watch 2000
	exact "rate off by $ppm ppm"
done

# Readings that come early, as from a torn register.  One that is earlier than the
# last update's must not look like nearly a whole wrap.
run watch 500
lo=$(result lo) hi=$(result hi)
wraps glitch 4000
diag "$(result glitches) readings that were early by up to 0.13 s, half of them the core's"
is "early readings that the counter took for a wrap" "$(result glitch_bad)" 0
exact "between them"
ok "and nothing was lost or added for good" [ "$(result lo)" -le "$hi" -a "$(result hi)" -ge "$lo" ]

# frozen: nothing counts, nothing is lost
echo 1 > $fake/freeze
a=$(ffc counter/value)
b=$(ffc counter/value)
is "frozen, it stands still" "$a" "$b"

# by hand; in parts, to be heard of
begin=$(cut -d ' ' -f 1 /proc/uptime)
total=0 bad=0 inexact=0
for part in 1 2 3 4 5; do
	wraps hand 2000
	diag "part $part: $(result readings) readings, $(result steps) steps of up to half the mask," \
		"$(result wraps) wraps, constant known to $(result interval) counts"
	total=$((total + $(result wraps)))
	bad=$((bad + $(result bad)))
	inexact=$((inexact + $(result inexact)))
done
diag "the guest's clock went from $begin to $(cut -d ' ' -f 1 /proc/uptime) s"
is "by hand: readings that contradict the others" $bad 0
ok "10^4 wraps and more: $total" [ $total -ge 10000 ]
is "steps after which the counter was not exactly the truth" $inexact 0

# the other way to begin on a narrow counter: it is current when we are loaded
echo 0 > $fake/freeze
rmmod ffclock_wraps
rmmod ffclock
modprobe ffclock_wraps
is "loaded while it is in use" "$(ffc counter/current)" ffclock-fake
run watch 3000
exact "then"

ok "nothing is left" unload
finish
