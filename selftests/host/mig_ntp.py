# SPDX-License-Identifier: GPL-2.0-only
# lab: hosttime=1 timeout=300 programs=chronyd
"""Live migrations of a guest that has nothing but NTP to go by.

The marker tells that it was moved, nobody what time it is: ffclockd asks its server,
a real chronyd on the host's loopback, at once.  The guest's utc is compared with the
host's clock from the resume on.

What an exchange tells is good to half its round trip, which under emulation may
take milliseconds: hence the limits.  How long it took is printed.
"""

import json
import pathlib
import tempfile
import time

import ntp_live

MIGRATIONS = 2
POLL = 0                # 2^0 s, also without a migration
LOOK_S = 12             # after each resume
PATIENCE_S = 60         # the machine may have other work

# Wanted within 2 and 10 s [ns], if round trips are shorter than twice that
STEPS_NS = (1e6, 100e3)
GOOD = ("synchronized", "freerunning", "initializing")


def look(side):
    """(host ns, error, doubt of it, bound or None, status)."""
    bound = json.loads(side.ask("bound", "bound:"))
    side.sample()
    error, doubt = side.errors[-1]
    return time.time_ns(), error, doubt, bound["bound_ns"], bound["status"]


def settle(t, side, resumed, what):
    """Samples until both limits are met, or LOOK_S if that is longer."""
    rtt = json.loads(side.ask("sources", "sources:"))["sources"][0]["min_rtt_ns"] or 0
    limits = [max(limit, rtt / 2) for limit in STEPS_NS]
    reached = {}
    lies = samples = 0
    told = None
    begin = time.monotonic()
    while True:
        now, error, doubt, bound, status = look(side)
        after = (now - resumed) / 1e9
        samples += 1
        if status in GOOD and bound is not None:
            told = told or after
            lies += abs(error) > bound + doubt
            for limit in limits:
                if abs(error) <= limit + doubt:
                    reached.setdefault(limit, after)
        passed = time.monotonic() - begin
        if passed > PATIENCE_S or passed > LOOK_S and len(reached) == len(set(limits)):
            break
        time.sleep(0.1)
    t.diag(f"{what}: round trip {rtt / 1e3:.0f} us at least; a time again "
           f"{told or 0:.2f} s after resume, " +
           ", ".join(f"within {limit / 1e3:.0f} us after {reached.get(limit, 0):.2f} s"
                     for limit in limits) +
           f"; at the end {error / 1e3:+.1f} us, bound {(bound or 0) / 1e3:.1f} us, {status}")
    t.ok(len(reached) == len(set(limits)),
         f"{what}: utc within 1 ms, then 100 us, or half a round trip")
    t.ok(told and not lies, f"{what}: its bound holds whenever there is one: {samples - lies} of "
         f"{samples}")


def run(t, migrations=MIGRATIONS):
    with tempfile.TemporaryDirectory(prefix="ffclock-mig-ntp-") as name, \
            ntp_live.Server(pathlib.Path(name), nts=False) as server:
        t.serve(f"sh $LAB_LIB/ntplive.sh ffclockd {server.port} {POLL}")
        side = ntp_live.Side(t.guest, "/dev/ffclock_utc")
        side.wait_serving()
        deadline = time.monotonic() + PATIENCE_S
        while look(side)[4] not in GOOD and time.monotonic() < deadline:
            time.sleep(0.5)
        t.ok(look(side)[4] in GOOD, "ffclockd has a clock")
        for i in range(migrations):
            what = f"migration {i + 1}"
            m = t.migrate()
            side.guest = t.guest
            t.diag(f"{what}: {m.total_ms} ms, downtime {m.downtime_ms} ms")
            settle(t, side, t.guest.resumed_ns(), what)
        side.guest.send("log")
        while (line := side.guest.line(30)) != "log: end":
            t.diag(line)
        side.guest.send("quit")
        t.ok(t.done() == 0, "ends well")
