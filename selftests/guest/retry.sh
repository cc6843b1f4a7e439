#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=120
#
# A source of the host's time that refuses at first: it is asked again, ever more
# seldom, until the disruption is settled.

. "$LAB_LIB/tap.sh"
. "$LAB_LIB/kmod.sh"

plan 7

ok "consumer loaded" modprobe ffclock_consumer
clocksource tsc

# A refusal is one question; an answer is two.  Refused at once, after 1 and 3 s
consumer source 3
diag "asked $(result asked) times, settled $(result settled) after $(result waited_ms) ms," \
	"Tout $(result tout_ns) ns"
is "settled once it answers" "$(result settled)" 1
ok "asked at least for each refusal and the answer" [ "$(result asked)" -ge 5 ]
ok "and not in a loop: it waited" [ "$(result waited_ms)" -ge 5000 ]
ok "Tout is what the source said" [ "$(result tout_ns)" -gt 2900000000 ]
is "the record names it" "$(ffc migration/history | awk 'NR == 1 { print $2, $4 }')" \
	"consumer consumer"

ok "nothing is left" unload
finish
