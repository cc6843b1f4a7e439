# SPDX-License-Identifier: GPL-2.0-only
# lab: hosttime=1 timeout=300 programs=chronyd
"""Live migrations of a guest that has nothing but NTP to go by.

The marker tells that it was moved, nobody what time it is: ffclockd asks its server,
a real chronyd on the host's loopback, at once.  The guest's utc is compared with the
host's clock from the resume on.  ffclockd has the system clock as well and brings that
along.

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
# CLOCK_REALTIME is stepped when it is off by more, slewed by 0.5 ms a second otherwise
STEP_S = 0.001
SYSTEM_S = 20

GOOD = ("synchronized", "freerunning", "initializing")


def look(side):
    """(host ns, error, doubt of it, bound or None, status)."""
    bound = json.loads(side.ask("bound", "bound:"))
    side.sample()
    error, doubt = side.errors[-1]
    return time.time_ns(), error, doubt, bound["bound_ns"], bound["status"]


def reachable(side):
    """Least round trip, and what of STEPS_NS exchanges with that can tell [ns]."""
    rtt = json.loads(side.ask("sources", "sources:"))["sources"][0]["min_rtt_ns"] or 0
    return rtt, [max(limit, rtt / 2) for limit in STEPS_NS]


def settle(t, side, resumed, what):
    """Samples until both limits are met, or LOOK_S if that is longer."""
    rtt, limits = reachable(side)
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


def system_settles(t, side, system, what):
    """CLOCK_REALTIME, which lost the downtime, is brought back."""
    limit = reachable(side)[1][0] + STEP_S * 1e9
    system.sample()
    first, _ = system.errors[-1]
    begin = time.monotonic()
    while True:
        error, doubt = system.errors[-1]
        if abs(error) <= limit + doubt:
            break
        if time.monotonic() - begin > SYSTEM_S:
            break
        time.sleep(0.5)
        system.sample()
    t.ok(abs(error) <= limit + doubt, f"{what}: CLOCK_REALTIME is the host's to "
         f"{limit / 1e6:.1f} ms: {first / 1e3:+.1f} us, then {error / 1e3:+.1f} us")


def run(t, migrations=MIGRATIONS):
    with tempfile.TemporaryDirectory(prefix="ffclock-mig-ntp-") as name, \
            ntp_live.Server(pathlib.Path(name), nts=False) as server:
        t.serve(f"sh $LAB_LIB/ntplive.sh ffclockd {server.port} {POLL} '' "
                f"'systemclock yes step {STEP_S}'")
        side = ntp_live.Side(t.guest, "/dev/ffclock_utc")
        system = ntp_live.Side(t.guest, "realtime")
        side.wait_serving()
        deadline = time.monotonic() + PATIENCE_S
        while look(side)[4] not in GOOD and time.monotonic() < deadline:
            time.sleep(0.5)
        t.ok(look(side)[4] in GOOD, "ffclockd has a clock")
        system_settles(t, side, system, "before")
        for i in range(migrations):
            what = f"migration {i + 1}"
            m = t.migrate()
            side.guest = system.guest = t.guest
            system.sample()
            lost = system.errors[-1][0]
            t.diag(f"{what}: {m.total_ms} ms, downtime {m.downtime_ms} ms")
            settle(t, side, t.guest.resumed_ns(), what)
            system_settles(t, side, system, f"{what}, first seen {lost / 1e6:+.1f} ms off")
        side.guest.send("log")
        while (line := side.guest.line(30)) != "log: end":
            t.diag(line)
        side.guest.send("quit")
        t.ok(t.done() == 0, "ends well")
