#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's side of selftests/host/ffclockd_vmclock.py: ffclockd on a VMClock page, and
# the program that lets the host see the clock.  Says which page ("page device" or
# "page bar"); then commands on standard input, one a line, each answered by its output
# and "done CODE".

set -u
modprobe ffclock
kind=device
page=/dev/vmclock0
modprobe ptp_vmclock 2> /dev/null
if ! [ -e $page ]; then
	# ivshmem behind the one that hosttime has
	kind=bar
	for dir in /sys/bus/pci/devices/*; do
		[ "$(cat "$dir/vendor" "$dir/device" | tr '\n' ' ')" = "0x1af4 0x1110 " ] || continue
		echo 1 > "$dir/enable"
		page=$dir/resource2
	done
fi
cat > /tmp/conf <<END
vmclock $page maxpoll 0
counter device
output kernel
control /tmp/sock
state none
END
echo "vmclockd: page $kind $page"
read -r told	# the page tells the time by now
echo "vmclockd: $told"
ffclockd -d -c /tmp/conf >> /tmp/log 2>&1 &
ffclockd=$!
hosttime serve /dev/ffclock_utc > /tmp/hosttime.log 2>&1 < /dev/null &
sleep 1
echo "vmclockd: serving"

while read -r command; do
	[ "$command" = quit ] && break
	eval "$command"
	echo "done $?"
done
kill $ffclockd
wait $ffclockd
code=$?
killall hosttime
modprobe -r ffclock_vmclock
modprobe -r ffclock
exit $code
