#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Order of two events by their intervals; and redo what a migration came into."""
import sys

import ffclock

with ffclock.Clock(*sys.argv[1:2]) as clock:
    while True:
        sequence = clock.migration_sequence
        first = clock.now()
        started, epoch = clock.counter()
        total = sum(range(100000))              # the work
        ended, _ = clock.counter()
        second = clock.now()
        if sequence == clock.migration_sequence:
            break
    ns, bound = clock.diff(started, ended)
    print(f"{total} took {ns} ns, +-{bound}, {clock.status}")
    if first.latest_ns is not None and first.latest_ns < second.earliest_ns:
        print("the second came after the first, for certain")
    else:
        print("which came first cannot be told from UTC")
