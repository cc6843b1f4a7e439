# SPDX-License-Identifier: GPL-2.0-only
#
# What tests of ffclockd share; $dir is theirs, its log is $dir/log.
#
#	serve				a chronyd, port 11123, that serves CLOCK_REALTIME: $chronyd
#	end				end the ffclockd that $ffclockd is
#	until_ok SECONDS COMMAND...	wait for the command to succeed

serve() {
	cat > $dir/chrony.conf <<END
port 11123
local stratum 1
allow 127.0.0.1
cmdport 0
pidfile $dir/chronyd.pid
END
	mkdir -p /var/lib/chrony /run/chrony
	chronyd -x -d -f $dir/chrony.conf -u root > $dir/chronyd.log 2>&1 &
	chronyd=$!
}

end() {
	kill $ffclockd
	wait $ffclockd
}

until_ok() {
	left=$(($1 * 4))
	shift
	while [ $left -gt 0 ]; do
		"$@" > /dev/null 2>&1 && return 0
		sleep 0.25
		left=$((left - 1))
	done
	diag "$(grep -v ': offset\|system clock' $dir/log | tail -8)"
	return 1
}
