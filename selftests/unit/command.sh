#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The ffclock command without a kernel module: page files, wrong usage, --json,
# doctor on made-up machines, completion, man pages.  Runs as OUT/unit/test_command.

out=$(cd "$(dirname "$0")/.." && pwd)
top=${TOP:-$(cd "$out/../.." && pwd)}
ffclock=$out/bin/ffclock
testpage=$out/obj/unit/testpage
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
page=$dir/page
points=0
failed=0

# ok TEXT COMMAND...: a point that is good if the command is
ok()
{
	text=$1
	shift
	points=$((points + 1))
	if "$@" > "$dir/said" 2>&1; then
		echo "ok $points - $text"
	else
		echo "not ok $points - $text"
		sed 's/^/# /' "$dir/said"
		failed=1
	fi
}

# code N COMMAND...: exits with N; output stays in $dir/out and $dir/err
code()
{
	want=$1
	shift
	"$@" > "$dir/out" 2> "$dir/err"
	got=$?
	[ $got = "$want" ] || { echo "exit code $got, not $want"; cat "$dir/out" "$dir/err"; return 1; }
}

# json CODE EXPRESSION COMMAND...: exit code, and what Python makes of the output j
json()
{
	want=$1 expression=$2
	shift 2
	code "$want" "$@" && python3 -c '
import json, sys
j = json.load(open(sys.argv[1]))
if not eval("(" + sys.argv[2] + ")"):
    print(json.dumps(j, indent=1))
    sys.exit(1)' "$dir/out" "$expression"
}

# says TEXT: the last command's messages have it
says()
{
	grep -q -- "$1" "$dir/err" "$dir/out" || { cat "$dir/out" "$dir/err"; return 1; }
}

"$testpage" "$page"

ok "status of a synchronised page: 0" code 0 "$ffclock" --page "$page" status
ok "it says so" says '^status  *synchronized'
ok "status --json" json 0 'j["status"] == "synchronized" and set(j["clocks"]) ==
	{"utc", "tai", "mono", "diff"} and abs(j["realtime_minus_utc_ns"]) < 5e9 and
	j["without_syscall"] is True and j["migration_sequence"] == 5' \
	"$ffclock" status --json --page "$page"
ok "read --json" json 0 'j["clock"] == "tai" and j["epoch"] == 3 and j["bound_ns"] >= 10**6' \
	"$ffclock" --json --page "$page" read tai
counter=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["counter"])' "$dir/out")
ok "read at a counter value" json 0 "j['counter'] == $counter" \
	"$ffclock" --json --page "$page" read mono "$counter"
ok "watch for a second" code 0 "$ffclock" --page "$page" watch 1
ok "it shows the clocks and the rate" says '^rate .*Hz'
ok "watch --json: an object a line" code 0 "$ffclock" --page "$page" --json watch 1
ok "they are" python3 -c 'import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
sys.exit(not (len(lines) >= 2 and lines[0]["status"] == "synchronized"
         and lines[1]["counter"] > lines[0]["counter"] and lines[0]["rate_hz"] > 1e6))' "$dir/out"
# a daemon that tells of two sources, and one that says nothing
python3 -c '
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
while True:
    c = s.accept()[0]
    asked = json.loads(c.makefile().readline())
    if not os.path.exists(sys.argv[1] + ".mute") and asked["command"] == "sources":
        c.sendall(json.dumps({"ok": True, "sources": [
            {"state": "used", "name": "ntp.example", "offset_ns": -1234, "min_rtt_ns": 250000},
            {"state": "falseticker", "name": "liar.example", "offset_ns": 5e9}]}).encode() + b"\n")
    c.close()
' "$dir/socket" &
daemon=$!
trap 'kill $daemon; rm -rf "$dir"' EXIT
while [ ! -S "$dir/socket" ]; do sleep 0.1; done
ok "watch with a daemon" code 0 "$ffclock" --page "$page" --socket "$dir/socket" watch 1
ok "it shows the sources" says '^sources  *used  *ntp.example  *-1234 ns  rtt 250.0 us'
ok "all of them" says 'falseticker  *liar.example'
: > "$dir/socket.mute"
ok "watch with a daemon that does not answer" code 0 "$ffclock" --page "$page" \
	--socket "$dir/socket" watch 1
ok "nothing is made up" sh -c "! grep ^sources '$dir/out'"

ok "bench of a page file" json 0 'all(j[k]["ns"] > 0 for k in ("ordered counter read",
	"vDSO CLOCK_REALTIME", "page utc", "page mono", "ffclock run: CLOCK_REALTIME"))' \
	"$ffclock" --page "$page" --json bench
ok "bench without a page" json 0 '"page utc" in j and j["vDSO CLOCK_REALTIME"]["ratio_to_vdso"] == 1' \
	"$ffclock" bench --json

"$testpage" "$page" 0 0
ok "status of an unsynchronised page: 3" code 3 "$ffclock" --page "$page" status
ok "read of it: 3" json 3 'j["status"] == "unknown"' "$ffclock" --page "$page" read --json

# a year that no calendar has: what is on a page is not ours to trust
printf '\377\377\377\377\377\377\377\177' | dd of="$page" bs=1 seek=72 conv=notrunc 2> /dev/null
ok "status at the end of time" code 3 "$ffclock" --page "$page" status
ok "watch at the end of time" code 0 "$ffclock" --page "$page" watch 1

for wrong in '' 'nonsense' 'read gps' 'read utc x' 'read utc -1' 'read utc 1 2' 'watch 0' \
	'watch x' 'watch 86401' 'watch 1 2' 'wait x' 'wait 0' 'run' 'run --' 'doctor x' \
	'doctor --root' '--nonsense' 'read utc 18446744073709551616'; do
	# shellcheck disable=SC2086	# words
	ok "usage: '$wrong' is 2" code 2 "$ffclock" $wrong
	ok "and says something" test -s "$dir/err"
done
ok "convert of nonsense: 2" sh -c "! \"$ffclock\" --page \"$page\" convert nonsense 2> /dev/null"
ok "no such page: 1" code 1 "$ffclock" --page "$dir/none" status
ok "and why" says 'No such file'
: > "$dir/empty"
ok "empty page: 1" code 1 "$ffclock" --page "$dir/empty" read
ok "and why" says 'no VMClock page'
for needs in migration 'convert 1000' 'frequency' 'wait 1'; do
	# shellcheck disable=SC2086	# words
	ok "$needs needs the kernel" sh -c '! "$@" > /dev/null 2> "$0"' "$dir/err" \
		"$ffclock" --page "$page" $needs
done
ok "--help names every command" code 0 "$ffclock" --help
for command in status read watch convert wait migration frequency run doctor bench; do
	ok "$command is in --help" says "^ *$command "
	ok "$command is in ffclock(1)" grep -qE "^\.(B|BR) $command( |\$)" \
		"$top/Documentation/man/ffclock.1"
	ok "$command is completed" bash -c ". '$top/tools/ffclock.bash'
		COMP_WORDS=(ffclock ${command%?}) COMP_CWORD=1; _ffclock
		[[ \" \${COMPREPLY[*]} \" = *' $command '* ]]"
done
ok "--version" code 0 "$ffclock" --version

# doctor: machines made of files
root=$dir/root
mkdir -p "$root/proc/sys/kernel" "$root/proc/7" "$root/sys/devices/system/clocksource/clocksource0" \
	"$root/sys/class/dmi/id" "$root/sys/class/ptp/ptp0" "$root/sys/bus/acpi/devices" \
	"$root/etc" "$root/dev" "$root/lib/modules/6.12.1"
echo 6.12.1 > "$root/proc/sys/kernel/osrelease"
echo chronyd > "$root/proc/7/comm"
echo 'flags	: fpu constant_tsc nonstop_tsc hypervisor tsc_known_freq' > "$root/proc/cpuinfo"
echo QEMU > "$root/sys/class/dmi/id/sys_vendor"
echo 'KVM virtual PTP' > "$root/sys/class/ptp/ptp0/clock_name"
source=$root/sys/devices/system/clocksource/clocksource0
echo kvm-clock > "$source/current_clocksource"
echo 'kvm-clock tsc acpi_pm' > "$source/available_clocksource"

# finding CHECK STATE: an expression for json()
finding()
{
	echo "any(f['check'] == '$1' and f['state'] == '$2' and (f['advice'] or '$2' == 'ok') for f in j['findings'])"
}

doctor()
{
	want=$1
	shift
	json "$want" "$*" "$ffclock" --json doctor --root "$root"
}

ok "doctor: no module is a problem" doctor 1 "$(finding module problem)"
ok "a guest without VMClock is warned" doctor 1 "$(finding VMClock warning)"
ok "kvm-clock though there is tsc is warned" doctor 1 "$(finding clocksource warning)"
ok "the PTP clock of KVM is found" doctor 1 "$(finding 'PTP clocks' ok)"
ok "no ffclockd is a problem" doctor 1 "$(finding ffclockd problem)"
ok "one daemon steers REALTIME" doctor 1 "$(finding REALTIME ok)"
mkdir -p "$root/proc/8" "$root/proc/not-a-process"
echo systemd-timesyn > "$root/proc/8/comm"
ok "two are warned of" doctor 1 "$(finding REALTIME warning)"
rm -r "$root/proc/8"
echo 'extra/ffclock.ko.xz:' > "$root/lib/modules/6.12.1/modules.dep"
code 1 "$ffclock" doctor --root "$root"
ok "a module that is there is to be loaded" says 'modprobe ffclock$'
echo 5.10.0 > "$root/proc/sys/kernel/osrelease"
ok "an old kernel is a problem" doctor 1 "$(finding kernel problem)"
echo 6.12.1 > "$root/proc/sys/kernel/osrelease"
printf '0 0 0\n0\nLOCAL\n' > "$root/etc/adjtime"
ok "an RTC on local time is warned" doctor 1 "$(finding RTC warning)"
echo notsc > "$root/proc/cmdline"
ok "notsc is warned" doctor 1 "$(finding 'boot options' warning)"
echo 'flags : fpu' > "$root/proc/cpuinfo"
ok "bare metal with an old TSC: to know" doctor 1 "$(finding TSC note)"

# and one on which all is well
echo 'flags : constant_tsc nonstop_tsc hypervisor' > "$root/proc/cpuinfo"
rm "$root/etc/adjtime" "$root/proc/cmdline"
echo tsc > "$source/current_clocksource"
mkdir -p "$root/sys/bus/acpi/devices/AMZNC10C:00" "$root/sys/kernel/ffclock/clock" \
	"$root/sys/kernel/ffclock/migration" "$root/proc/9"
for module in ffclock ffclock_vmclock ffclock_kvm; do
	mkdir -p "$root/sys/module/$module"
done
echo 0.1.0 > "$root/sys/kernel/ffclock/version"
echo synchronized > "$root/sys/kernel/ffclock/clock/status"
echo 1234 > "$root/sys/kernel/ffclock/clock/error_bound_ns"
printf 'vmgenid\nvmclock\n' > "$root/sys/kernel/ffclock/migration/detectors"
echo 'kvm 400 0 told' > "$root/sys/kernel/ffclock/migration/sources"
echo inject > "$root/sys/kernel/ffclock/migration/policy"
echo ffclockd > "$root/proc/9/comm"
echo 'pool pool.example iburst' > "$root/etc/ffclockd.conf"
for node in ffclock ffclock_utc ffclock_tai ffclock_mono ffclock_diff; do
	: > "$root/dev/$node"
	chmod 444 "$root/dev/$node"
done
ok "all well: 0, and nothing worse than ok" doctor 0 'j["worst"] == "ok"'
code 0 "$ffclock" doctor --root "$root"
ok "and the last line counts" says 'fine, 0 to know, 0 to mend, 0 in the way'
chmod 400 "$root/dev/ffclock_mono"
ok "a clock that not all may read is warned" doctor 0 "$(finding devices warning)"
rm "$root/dev/ffclock_mono"
ok "a missing one is a problem" doctor 1 "$(finding devices problem)"
: > "$root/dev/ffclock_mono"
chmod 444 "$root/dev/ffclock_mono"
echo vmgenid > "$root/sys/kernel/ffclock/migration/detectors"
ok "a guest in which nobody would notice is warned" doctor 0 "$(finding migration warning)"
printf 'vmgenid\nvmclock\n' > "$root/sys/kernel/ffclock/migration/detectors"
echo 'vmclock 500 -95 refused: does not tell the time' > "$root/sys/kernel/ffclock/migration/sources"
ok "a guest that nobody told the time is warned" doctor 0 "$(finding migration warning)"
: > "$root/sys/kernel/ffclock/migration/sources"
ok "so is one without sources" doctor 0 "$(finding migration warning)"
echo freerunning > "$root/sys/kernel/ffclock/clock/status"
ok "a clock that is not synchronised is a problem" doctor 1 "$(finding clock problem)"
echo '# server a' > "$root/etc/ffclockd.conf"
ok "no servers are warned" doctor 1 "$(finding servers warning)"
: > "$root/.dockerenv"
ok "a container is told" doctor 1 "$(finding container note)"
# files that want to hold up, flood or colour the reader
rm "$root/proc/cpuinfo"
mkfifo "$root/proc/cpuinfo"
head -c 100000 /dev/urandom > "$root/etc/ffclockd.conf"
printf '\033[31mQEMU\n' > "$root/sys/class/dmi/id/sys_vendor"
ok "hostile files do no harm" code 1 timeout 20 "$ffclock" doctor --root "$root"
ok "and reach no terminal" sh -c "! grep -q \"\$(printf '\\033')\" '$dir/out'"
ok "an empty root: problems, no crash" sh -c "mkdir '$dir/nothing' && ! '$ffclock' doctor --root '$dir/nothing'"
ok "no root: 1" code 1 "$ffclock" doctor --root "$dir/none"
ok "doctor here" sh -c "'$ffclock' doctor; [ \$? -le 1 ]"

# the examples of Documentation/programming.rst, of C++ and Python
"$testpage" "$page"
export LD_LIBRARY_PATH="$out/lib"
ok "example interval" code 0 "$out/doc/bin/interval" "$page"
ok "a moment passes" says ' has passed$'
ok "example page" code 0 "$out/doc/bin/page" "$page"
ok "it is the page's time" python3 -c 'import sys, time
said = open(sys.argv[1]).read().split(",")
sys.exit(not (abs(float(said[0]) - time.time()) < 5 and said[1] == " status 2\n"))' "$dir/out"
ok "example lease" code 0 "$out/doc/bin/lease" "$page"
ok "it is held" says '^held, synchronized'
ok "example deadline" code 0 "$out/examples/deadline" "$page"
ok "a second later it has passed" says '^1000 ms later: passed'
ok "example clockid says what is missing" sh -c "[ -e /dev/ffclock_utc ] ||
	! '$out/doc/bin/clockid' 2> '$dir/err'"
if [ -e "$out/python/ffclock.abi3.so" ]; then
	ok "example window.py" code 0 env PYTHONPATH="$out/python" python3 "$out/doc/window.py" "$page"
	ok "it measures" says '^the sum took [0-9]* ns'
fi

if command -v man > /dev/null; then
	for file in "$top"/Documentation/man/*.[1-8]; do
		ok "$(basename "$file") is well formed" sh -c \
			"! LC_ALL=C.UTF-8 MANROFFSEQ= man --warnings -E UTF-8 -l -Tutf8 -Z '$file' 2>&1 > /dev/null | grep ."
	done
else
	points=$((points + 1))
	echo "ok $points - man pages are well formed # SKIP no man"
fi
echo "1..$points"
exit $failed
