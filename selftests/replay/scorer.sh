#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The replay from file to map log, and two scorers against each other: a
# scenario of the simulator is written as a stamp file, replayed, and its map
# log scored by a few lines of awk and, where the shared traces are, by their
# own scorer.  TAP.

set -u

here=$(cd "$(dirname "$0")" && pwd)
top=${TOP:-$(cd "$here/../.." && pwd)}
out=${O:-$top/build/user}
traces=${FFCLOCK_TRACES:-$top/../shared/traces}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

no=0
failed=0
tap() {		# status, text
	no=$((no + 1))
	if [ "$1" = 0 ]; then
		echo "ok $no - $2"
	else
		echo "not ok $no - $2"
		failed=1
	fi
}

echo "TAP version 13"
for program in "$out/replay/simulator" "$out/bin/ffreplay"; do
	if [ ! -x "$program" ]; then
		echo "Bail out! $program is missing: run 'make userland' first"
		exit 1
	fi
done

"$out/replay/simulator" -o A -n 1 -s 77 -w "$work/a.stamps" >"$work/sim.tap"
tap $? "simulator writes a stamp file"
"$out/bin/ffreplay" -o "$work/a.map" "$work/a.stamps" 2>"$work/log"
tap $? "replay of it"
"$out/bin/ffreplay" -o "$work/b.map" "$work/a.stamps" 2>/dev/null
cmp -s "$work/a.map" "$work/b.map"
tap $? "the same maps a second time"
gzip -c "$work/a.stamps" >"$work/a.stamps.gz"
"$out/bin/ffreplay" -o "$work/b.map" "$work/a.stamps.gz" 2>/dev/null
cmp -s "$work/a.map" "$work/b.map"
tap $? "the same maps from the compressed file"

# Maps and stamps go line by line here: no stamp of this scenario is dropped.
# Seconds are cut to seven digits so that doubles hold them to the nanosecond.
median() {
	paste "$1" "$2" | awk '
		function small(t) { return substr(t, 4) + 0 }
		{ at = small($6) }
		NR == 1 { first = at }
		at - first >= 14400 {
			e = (small($9) - at) * 1e6 + ($4 - $8) * 1e-3 * $10
			print e < 0 ? -e : e
		}' | sort -g | awk '{ v[NR - 1] = $1 }
		END { printf "%.2f\n", v[int(NR / 2)] }'
}
grep -v '^#' "$work/a.stamps" >"$work/a.plain"
awk_says=$(median "$work/a.plain" "$work/a.map")
sim_says=$(sed -n 's/.*A : median \([0-9.]*\) .*/\1/p' "$work/sim.tap")
echo "$awk_says $sim_says" | awk '{ d = $1 - $2; exit !(NF == 2 && d * d < 0.011 * 0.011) }'
tap $? "median from the map log ($awk_says us) is the simulator's ($sim_says us)"

if [ -r "$traces/score.py" ] && command -v python3 >/dev/null; then
	theirs=$(python3 "$traces/score.py" "$work/a.stamps" "$work/a.map" |
		 sed -n 's/.*median|e|=\([0-9.]*\).*/\1/p')
	echo "$theirs $sim_says" | awk '{ d = $1 - $2; exit !(NF == 2 && d * d < 0.011 * 0.011) }'
	tap $? "the traces' scorer says the same ($theirs us)"
else
	no=$((no + 1))
	echo "ok $no - # SKIP no python3, or no score.py in $traces"
fi

# Files that are not what they should be: a message with the line, status 1.
bad() {		# text, what the message has to contain
	"$out/bin/ffreplay" "$work/bad" >/dev/null 2>"$work/err"
	[ $? = 1 ] && grep -q "$2" "$work/err"
	tap $? "$1: $(head -n 1 "$work/err" | sed "s|$work/||")"
}
printf '1 2 3\n' >"$work/bad";				bad "too few fields" "bad:1:"
printf '# c\n1 1.5 1.5 x\n' >"$work/bad";		bad "no number" "bad:2:"
printf '1 1 1 1 1 1 1\n' >"$work/bad";			bad "too many fields" "bad:1:"
printf '99999999999999999999 1 1 1\n' >"$work/bad";	bad "counter above 64 bits" "bad:1:"
printf '1 99999999999 1 1\n' >"$work/bad";		bad "time out of range" "bad:1:"
printf '1 1 1 1 1 99999999\n' >"$work/bad";		bad "truth out of range" "bad:1:"
printf '%0600d 1 1 1\n' 1 >"$work/bad";			bad "line too long" "bad:1:"
: >"$work/bad";						bad "empty" "no stamps"
printf '\037\213junk' >"$work/bad";			bad "broken gzip" "gzip"
rm -f "$work/bad";					bad "missing" "No such file"

echo "1..$no"
exit $failed
