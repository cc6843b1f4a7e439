#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's side of selftests/host/ntp_live.py: a clock daemon that follows the
# host's NTP server, and the program that lets the host see the clocks.
#
#	ntplive ffclockd PORT POLL		modules and ffclockd
#	ntplive ffclockd PORT POLL KE_PORT	the same with NTS, and a clock long past
#	ntplive ffclockd PORT POLL '' LINE	the same without, and a line of configuration
#	ntplive chronyd PORT POLL		chronyd
#
# Then commands on standard input, one a line: bound, sources, cpu, log, quit.

set -u
kind=$1
port=$2
poll=$3

if [ "$kind" = ffclockd ]; then
	modprobe ffclock
	modprobe ffclock_vmclock
	nts=
	if [ -n "${4:-}" ]; then
		# the certificate of the host's authority comes first
		while read -r line && [ "$line" != end-of-ca ]; do
			echo "$line"
		done > /tmp/ca.pem
		# long before it is valid: ntsnotime is for machines like this
		date -s '2001-02-03 04:05:06' > /dev/null
		nts="nts ntsport $4 ntsca /tmp/ca.pem ntsnotime"
	fi
	{
		echo "server 10.0.2.2 port $port minpoll $poll maxpoll $poll iburst $nts"
		echo "control /tmp/ffclockd.sock"
		echo "${5:-}"
	} > /tmp/ffclockd.conf
	ffclockd -d -c /tmp/ffclockd.conf > /tmp/log 2>&1 &
	pid=$!
	clocks="realtime /dev/ffclock_utc"
else
	mkdir -p /run/chrony /var/lib/chrony
	{
		echo "server 10.0.2.2 port $port minpoll $poll maxpoll $poll iburst"
		echo "port 0"
		echo "cmdport 0"
		echo "user root"
		echo "makestep 1 3"
	} > /tmp/chrony.conf
	chronyd -d -f /tmp/chrony.conf > /tmp/log 2>&1 &
	pid=$!
	clocks=realtime
fi
# shellcheck disable=SC2086	# a list of clocks
hosttime serve $clocks > /tmp/hosttime.log 2>&1 &
server=$!
sleep 1
kill -0 "$server" || cat /tmp/hosttime.log
echo "ntplive: serving"

while read -r command; do
	case "$command" in
	bound)
		echo "bound: $(ffclock -j read utc | tr -d '\n')"
		;;
	sources)
		echo "sources: $(ffclock -j -s /tmp/ffclockd.sock sources | tr -d '\n')"
		;;
	cpu)
		# user and system time [1/100 s], resident pages
		echo "cpu: $(cut -d ' ' -f 14,15,24 "/proc/$pid/stat")"
		;;
	log)
		grep -v ': offset\|system clock' /tmp/log | tail -n 60
		echo "log: end"
		;;
	quit)
		kill "$pid" "$server"
		wait "$pid"
		echo "ended: $?"
		exit 0
		;;
	esac
done
