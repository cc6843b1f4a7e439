#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What a guest of the demo or the comparison runs, as root: its clock daemons in
# the background, then the probe, which talks to the host.
#
#	ffdemo-guest ffclock PORT	modules, and ffclockd on the host's server
#	ffdemo-guest hosttime PORT	the modules alone: the host tells the time
#	ffdemo-guest stock PORT [DIRECTIVE]...	chronyd on the host's server
#	ffdemo-guest none PORT		no daemon
#	ffdemo-guest agent PORT		qemu-guest-agent
#	ffdemo-guest peer PORT		the other end of the others' TCP connections
#
# PORT is the UDP port of the NTP server on the host, 10.0.2.2.  After it there may
# be lan=ADDRESS, for guests with a second network card, and, except for the peer,
# a TCP connection with traffic to $PEER.

set -u
PEER=10.9.0.1
PEER_PORT=7777
# MAC addresses of the second network cards begin with this.
LAN_MAC=52:54:00:77

kind=$1
port=$2
shift 2
lan=
case "${1-}" in
lan=*)
	lan=${1#lan=}
	shift
	;;
esac

fail() {
	echo "ffdemo-guest: $*"
	exit 1
}

start_lan() {
	for card in /sys/class/net/*; do
		case "$(cat "$card/address")" in
		"$LAN_MAC":*)
			ip addr add "$1/24" dev "${card##*/}"
			ip link set "${card##*/}" up
			return
			;;
		esac
	done
	fail "no network card with a MAC address of $LAN_MAC:*"
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

start_agent() {
	modprobe virtio_console 2> /dev/null	# built in on newer kernels
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		for name in /sys/class/virtio-ports/*/name; do
			[ "$(cat "$name" 2> /dev/null)" = org.qemu.guest_agent.0 ] || continue
			device=${name%/name}
			qemu-ga -m virtio-serial -p "/dev/${device##*/}" -t /tmp \
				> /tmp/agent.log 2>&1 &
			return
		done
		usleep 200000
	done
	fail "no virtio-serial port for the guest agent"
}

[ -z "$lan" ] || start_lan "$lan"

case "$kind" in
peer)
	exec ffdemo-traffic serve "$PEER_PORT"
	;;
none)
	;;
agent)
	start_agent
	;;
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
[ -z "$lan" ] || ffdemo-traffic run "$PEER" "$PEER_PORT" /tmp/traffic 2> /tmp/traffic.log &

exec ffdemo-probe
