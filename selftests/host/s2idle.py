# SPDX-License-Identifier: GPL-2.0-only
# lab: own=1 timeout=120
"""Suspend to idle, woken by a byte on the serial port.

Nothing tells syscore here: processors idle, and where cpuidle has a state for it
timekeeping stops with them.  What the kernel then says it slept must be one
disruption, and no sleep none; the counter and mono never go back.
"""

import time

SLEEP = 4.0     # s


def values(t, word):
    match = t.expect(rf"{word} (\d+) (\d+) (\d+) (\d+\.\d+) (\d+\.\d+)", 40)
    counter, epoch, sequence, mono, uptime = match.groups()
    return int(counter), int(epoch), int(sequence), float(mono), float(uptime)


def run(t):
    t.serve('sh "$LAB_LIB/s2idle.sh"')
    t.expect("ready")
    for cs in ("tsc", "hpet", "acpi_pm"):
        t.send(cs)
        before = values(t, "before")
        time.sleep(SLEEP)
        t.send("")
        time.sleep(0.5)
        after = values(t, "after")
        slept = after[4] - before[4]
        t.diag(f"{cs}: mono +{after[3] - before[3]:.3f} s, uptime +{slept:.2f} s, epoch "
               f"{before[1]} to {after[1]}, disruptions {before[2]} to {after[2]}")
        t.ok(slept > SLEEP - 1, f"{cs}: slept until it was woken")
        t.ok(after[0] > before[0], f"{cs}: the counter did not go back")
        t.ok(after[3] > before[3], f"{cs}: mono did not go back")
        told = after[2] - before[2]
        counted = after[3] - before[3] > SLEEP - 1
        t.ok((told == 0 and counted and after[1] == before[1]) or
             (told == 1 and after[1] == before[1] + 1),
             f"{cs}: " + ("counted on, no disruption" if not told else
                          f"{told} disruption, {after[1] - before[1]} new epoch"))
    t.send("end")
    t.expect("unloaded")
    t.ok(t.done() == 0, "the guest's part ends well")
