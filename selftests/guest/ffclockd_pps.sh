#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=400 programs=chronyd
#
# ffclockd and pulses, from the kernel's own PPS core: ffclock_pps (selftests/kmod) stamps
# the beginnings of CLOCK_REALTIME's seconds.  A chronyd that serves the same clock gives
# the seconds their numbers.  Nobody sets CLOCK_REALTIME, so it is the truth, to what
# pairing it with the counter costs.

. "$LAB_LIB/tap.sh"
. "$LAB_LIB/ffclockd.sh"

command -v ffclockd > /dev/null || skip_all "ffclockd is not in the image"
command -v chronyd > /dev/null || skip_all "chronyd is not in the image"
modprobe ffclock_pps || skip_all "ffclock_pps is not in the image"
[ -e /dev/pps0 ] || skip_all "this kernel has no PPS"
plan 16

dir=/tmp/ffclockd-pps
par=/sys/module/ffclock_pps/parameters
rm -rf $dir
mkdir -p $dir
modprobe ffclock

daemon() {	# counter, options of pps
	cat > $dir/conf <<END
server 127.0.0.1 port 11123 minpoll 0 maxpoll 0 iburst
pps /dev/pps0 $2
counter $1
output none
control $dir/sock
state none
END
	ffclockd -c $dir/conf -d -d > $dir/log 2>&1 &
	ffclockd=$!
}

value() {	# name, in standard input: JSON
	sed -n "s/.*\"$1\": *\"\\{0,1\\}\\([^\",]*\\).*/\\1/p" | head -1
}

source_pps() {	# what "ffclock sources" says of the pulses
	ffclock sources --json --socket $dir/sock | sed -n '/"name": "\/dev\/pps0"/,/}/p'
}

pps_is() {	# name, value
	[ "$(source_pps | value "$1")" = "$2" ]
}

followed() {
	until_ok 90 pps_is state used
}

# Ten times: CLOCK_REALTIME is within the bound of the clock
true_clock() {
	n=0
	while [ $n -lt 10 ]; do
		ffclock tracking --json --socket $dir/sock > $dir/tracking
		off=$(value system_offset_ns < $dir/tracking)
		bound=$(value bound_ns < $dir/tracking)
		pair=$(value system_pairing_ns < $dir/tracking)
		echo "$off $bound $pair" | awk 'NF == 3 { if ($1 < 0) $1 = -$1; ok = $1 <= $2 + $3 }
			END { exit !ok }' || { diag "off $off ns, bound $bound"; return 1; }
		n=$((n + 1))
		sleep 0.5
	done
	echo "REALTIME - clock $off ns, bound $bound ns; pulses' bound $(source_pps | value bound_ns) ns" \
		> $dir/figures
}

figures() {	# of the last true_clock
	diag "$(cat $dir/figures 2> /dev/null)"
	rm -f $dir/figures
}

stamps_now() {
	source_pps | value good
}

grows() {	# stamps of pulses
	before=$(stamps_now)
	until_ok 20 sh -c "[ \"\$(ffclock sources --json --socket $dir/sock |
		sed -n '/\"name\": \"\/dev\/pps0\"/,/}/p' |
		sed -n 's/.*\"good\": *\([0-9]*\).*/\1/p')\" -gt $before ]"
}

echo "pps /dev/pps0" > $dir/conf
ok "pulses alone are no source of time" sh -c "! ffclockd --check -c $dir/conf"

daemon device ""
ok "without another source: waits for one" until_ok 20 grep -q 'pps /dev/pps0: waiting for a clock' $dir/log
serve
ok "with one: pulses are used" followed
ok "refid PPS" sh -c "ffclock sources --json --socket $dir/sock | grep -q 50505300"
ok "the clock is true within its bound" true_clock
figures

diag "pulses so far: $(cat /sys/class/pps/pps0/assert)"
echo 1000 > $par/miss
ok "no pulses: said" until_ok 30 grep -q 'pps /dev/pps0: no pulse' $dir/log
ok "and by reachability" until_ok 20 pps_is state unreachable
echo 0 > $par/miss
ok "pulses again" followed
echo 1000 > $par/twice
ok "doubled pulses: said" until_ok 30 grep -q 'more pulses than seconds' $dir/log
echo 0 > $par/twice
ok "single ones: taken" grows
kill $chronyd
wait $chronyd
sleep 12
ok "without the server pulses carry on" grows
ok "and the clock is true" true_clock
figures
serve
end

# a pulse that is on its way has been promised otherwise
echo 300000 > $par/late_ns
sleep 2
daemon device "clear offset 0.1003 prefer"
ok "clear edge, its offset calibrated: true within the bound" eval "followed && true_clock"
figures
end
echo 0 > $par/late_ns
sleep 2
daemon device clear
ok "clear edge without offset: no second begins there" \
	until_ok 60 grep -q 'no second begins with the pulse' $dir/log
end

daemon monotonic_raw ""
ok "counter of user space: true within the bound" eval "followed && true_clock"
figures
end

# Late as interrupts are: never early
echo 100 > $par/scatter_us
sleep 2
daemon device "error 0.0001"
ok "stamps that are late by up to 100 us: true within the bound" eval "followed && true_clock"
figures
end
kill $chronyd
wait
modprobe -r ffclock_pps
modprobe -r ffclock
finish
