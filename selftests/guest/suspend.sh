#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=120 qemu="-global PIIX4_PM.disable_s3=0"
#
# Processors going and coming, and suspend to RAM (S3) on every clocksource: the
# counter and mono never go back, each sleep is one disruption and one epoch, and
# stamps taken after it are found again.

. "$LAB_LIB/tap.sh"

state=/sys/kernel/ffclock
source=/sys/devices/system/clocksource/clocksource0
alarm=/sys/class/rtc/rtc0/wakealarm
sources=$(cat $source/available_clocksource)

grep -q mem /sys/power/state || skip_all "this kernel or machine has no S3"
plan $(($(echo "$sources" | wc -w) * 6 + 3))
modprobe ffclock

mono() {
	ffclock read mono | cut -d' ' -f1
}

# Readers on both processors while one of them goes and comes.  Before any sleep: after
# some resumes stock 6.12 and 7.2 lose the deadline scheduler's account of bandwidth
# (with ffclock not loaded too) and refuse to let a processor go with EBUSY.
cat > /tmp/reader <<'END'
last=0
while [ ! -e /tmp/stop ]; do
	now=$(cat /sys/kernel/ffclock/counter/value)
	[ "$now" -ge "$last" ] || { echo "back from $last to $now" >> /tmp/back; }
	last=$now
done
END
rm -f /tmp/stop /tmp/back
sh /tmp/reader & sh /tmp/reader &
cycles=0
while [ $cycles -lt 10 ]; do
	echo 0 > /sys/devices/system/cpu/cpu1/online || break
	echo 1 > /sys/devices/system/cpu/cpu1/online || break
	cycles=$((cycles + 1))
done
touch /tmp/stop
wait
is "processor 1 went and came ten times" $cycles 10
ok "no reader saw the counter go back" [ ! -e /tmp/back ]

for cs in $sources; do
	echo "$cs" > $source/current_clocksource
	sleep 0.5
	epoch=$(cat $state/counter/epoch)
	sequence=$(cat $state/migration/sequence)
	counter=$(cat $state/counter/value)
	before=$(mono)
	echo 0 > $alarm
	echo +3 > $alarm
	start=$(date +%s)
	ok "$cs: sleeps and wakes" sh -c "echo mem > /sys/power/state"
	after=$(mono)
	later=$(cat $state/counter/value)
	diag "$cs: slept $(($(date +%s) - start)) s, mono $before to $after, counter $counter to $later"
	is "$cs: one epoch more" "$(cat $state/counter/epoch)" $((epoch + 1))
	is "$cs: one disruption more" "$(cat $state/migration/sequence)" $((sequence + 1))
	ok "$cs: the counter did not go back" [ "$later" -gt "$counter" ]
	ok "$cs: mono did not go back" awk "BEGIN { exit !($after > $before) }"
	stamp=$(date +%s)000000000
	sleep 1.1
	ok "$cs: a stamp after it is found" sh -c "ffclock convert $((stamp + 1000000000)) | grep -q ' ok\$'"
done
set -- $(ffclock migration | tail -n 1)
is "the record says who noticed" "$2" suspend
finish
