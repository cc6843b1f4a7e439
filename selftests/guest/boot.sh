#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: extras=1
#
# The lab itself: is this the machine that the other tests count on?

. "$LAB_LIB/tap.sh"

plan 4
diag "$(uname -a)"
sources=/sys/devices/system/clocksource/clocksource0

available=" $(cat $sources/available_clocksource) "
diag "clocksources:$available"
for cs in tsc hpet acpi_pm; do
	case "$available" in
	*" $cs "*) ;;
	*) missing="$missing $cs" ;;
	esac
done
ok "clocksources tsc, hpet, acpi_pm are available" [ -z "$missing" ]
ok "clocksource is tsc" [ "$(cat $sources/current_clocksource)" = tsc ]
ok "two processors" [ "$(nproc)" = 2 ]
ok "host answers on 10.0.2.2" ping -q -c 1 -W 5 10.0.2.2
finish
