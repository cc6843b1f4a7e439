#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=240 programs=chronyd
#
# Running ffclockd: control socket, reload, state file, sandbox, as an ordinary user.

. "$LAB_LIB/tap.sh"
. "$LAB_LIB/ffclockd.sh"

command -v ffclockd > /dev/null || skip_all "ffclockd is not in the image"
command -v chronyd > /dev/null || skip_all "chronyd is not in the image"
plan 20

dir=/tmp/ffclockd-run
conf=$dir/ffclockd.conf
cs=/sys/devices/system/clocksource/clocksource0/current_clocksource
rm -rf $dir
mkdir -p $dir/var
chown nobody $dir/var
modprobe ffclock

cat > $conf <<END
server 127.0.0.1 port 11123 minpoll 0 maxpoll 0 iburst
counter device
user nobody
control $dir/var/sock
state $dir/var/state
log tracking $dir/var/tracking
END
serve

daemon() {	# start it
	ffclockd -c $conf > $dir/log 2>&1 &
	ffclockd=$!
}

ffc() {
	ffclock "$@" --socket $dir/var/sock
}

has() {		# text, ffclock arguments...
	text=$1
	shift
	ffc "$@" | grep -q "$text"
}

ok "--check takes the configuration" ffclockd --check -c $conf
daemon
ok "tracking says sync within 60 s" until_ok 60 has '"status": "sync"' tracking --json
ffc tracking > $dir/out
diag "$(sed -n 's/^error/&/p; s/^rate/&/p' $dir/out)"
ok "tracking as a table" grep -q '^error bound  *[0-9]' $dir/out
ok "sources: it is used" has '^used  *127.0.0.1' sources
is "stamps gives as many as asked for" "$(ffc stamps 4 | wc -l)" 5
ok "runs with a system call filter" grep -q '^Seccomp:[[:space:]]*2$' /proc/$ffclockd/status
ok "as nobody" grep -q '^Uid:[[:space:]]*65534[[:space:]]65534' /proc/$ffclockd/status

# reload
echo "verbose 9" >> $conf
ffc reload > $dir/out 2>&1; code=$?
is "reload of a bad file fails" $code 1
ok "and names file and line" grep -q "ffclockd.conf:7: verbose: '9'" $dir/out
sed -i 's/verbose 9/verbose 2/' $conf
ok "reload of a good file" ffc reload
ok "it took effect: every update is logged" until_ok 20 grep -q 'offset .* rtt ' $dir/log
echo "server 127.0.0.1 port 11124 minpoll 0 maxpoll 0 noselect" >> $conf
echo "user root" >> $conf
sed -i '/^user nobody/d' $conf
ok "reload with another server says what has to wait" has 'user: takes effect at the next start' reload
is "there are two now" "$(ffc sources | grep -c 127.0.0.1)" 2
ok "synchronised again within 60 s" until_ok 60 has '"status": "sync"' tracking --json
mv $dir/var/tracking $dir/var/tracking.1
kill -HUP $ffclockd
ok "SIGHUP opens logs anew" until_ok 20 grep -q '^U ' $dir/var/tracking

# state
sed -i 's/^user root/user nobody/' $conf
end
ok "a state file is left" grep -q '^source 127.0.0.1 11123 ' $dir/var/state
daemon
ok "the next start takes the rate over" until_ok 20 grep -q 'state .*taken over' $dir/log
until_ok 60 has '"sources_used": 1' tracking --json
diag "soon after: $(ffc tracking | grep ^rate)"
end
was=$(cat $cs)
echo hpet > $cs
sleep 0.5
daemon
ok "on another clocksource it does not" until_ok 20 grep -q 'state .*not used: ' $dir/log
end
echo "$was" > $cs
sleep 0.5
sed -i 's/^boot .*/boot 00000000-0000-0000-0000-000000000000/' $dir/var/state
daemon
ok "after a boot it does not" until_ok 20 grep -q 'not used: the machine was booted since' $dir/log
end
ok "the socket's folder is left clean" test ! -e $dir/var/sock
kill $chronyd
wait
modprobe -r ffclock
finish
