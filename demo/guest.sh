#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What a guest of the demo runs, as root: its clock daemons in the background,
# then the probe, which talks to the host.
#
#	ffdemo-guest ffclock PORT	modules, and ffclockd on the host's server
#	ffdemo-guest hosttime PORT	the modules alone: the host tells the time
#	ffdemo-guest stock PORT [DIRECTIVE]...	chronyd on the host's server
#
# PORT is the UDP port of the NTP server on the host, 10.0.2.2.

set -u
kind=$1
port=$2
shift 2

fail() {
	echo "ffdemo-guest: $*"
	exit 1
}

start_chronyd() {
	mkdir -p /run/chrony /var/lib/chrony
	{
		echo "server 10.0.2.2 port $port minpoll 0 maxpoll 0 iburst"
		echo "port 0"
		echo "cmdport 0"
		echo "user root"
		echo "rtcsync"
		for directive; do
			echo "$directive"
		done
	} > /tmp/chrony.conf
	chronyd -d -f /tmp/chrony.conf > /tmp/chronyd.log 2>&1 &
}

case "$kind" in
stock)
	start_chronyd "$@"
	;;
ffclock | hosttime)
	modprobe ffclock || fail "the module ffclock does not load"
	modprobe ffclock_vmclock || fail "the module ffclock_vmclock does not load"
	[ -e /dev/ffclock_utc ] || fail "no clock devices after loading the modules"
	if [ "$kind" = ffclock ]; then
		{
			echo "server 10.0.2.2 port $port minpoll 0 maxpoll 0 iburst"
			echo "verbose 2"
			echo "log stamps /tmp/stamps"
		} > /tmp/ffclockd.conf
		ffclockd -d -c /tmp/ffclockd.conf > /tmp/ffclockd.log 2>&1 &
	fi
	;;
*)
	fail "unknown kind '$kind'"
	;;
esac

# The other end of the handshake that finds the guest's TSC on the host's.
hosttime serve realtime > /tmp/hosttime.log 2>&1 &

exec ffdemo-probe
