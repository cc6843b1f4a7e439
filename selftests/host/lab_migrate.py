# SPDX-License-Identifier: GPL-2.0-only
# lab: hosttime=1 timeout=120
"""The lab itself: host truth, live migration, save and restore."""

import time

from lab import hosttime

CLOCKS = "realtime monotonic monotonic_raw"


def realtime(t, count=5):
    """The best known sample of the guest's CLOCK_REALTIME."""
    rows = [s for s in hosttime.sample(t.guest, count) if s.clock == "realtime"]
    best = min(rows, key=lambda s: s.bound_ns)
    t.diag(f"REALTIME - host: {best.difference_ns} ns +- {best.bound_ns:.0f}")
    return best


def run(t):
    t.serve(f"hosttime serve {CLOCKS}")
    t.expect("hosttime: serving")

    before = hosttime.relation(t.guest)
    t.diag(f"relation: {before}")
    t.ok(before["bound_ns"] < 500, "guest's TSC is known to 500 ns")
    again = hosttime.relation(t.guest)
    t.diag(f"relation: {again}")
    ns = before["bound_ns"] / before["bound_ticks"]
    t.ok(abs(again["constant"] - before["constant"]) * ns < 1000,
         "relation holds still, to 1 us")

    a = realtime(t)
    t.ok(a.bound_ns < 1000, "a clock's difference from host time is known to 1 us")
    time.sleep(2)
    b = realtime(t)
    # The guest's kernel calibrated its TSC on its own: some hundred ppm at most.
    t.ok(abs(b.difference_ns - a.difference_ns) < 0.001 * (b.host_ns - a.host_ns),
         "guest's time runs at the host's rate, to 1000 ppm")

    migration = t.migrate()
    t.diag(f"migration: {migration.total_ms} ms, downtime {migration.downtime_ms} ms, "
           f"{migration.transferred >> 20} MiB")
    after = hosttime.relation(t.guest)
    t.diag(f"relation: {after}")
    c = realtime(t)
    lost = b.difference_ns - c.difference_ns
    t.ok(after["constant"] != before["constant"], "migration changes the TSC relation")
    t.ok(0 < lost < 5e9, f"REALTIME lost the downtime: {lost / 1e6:.1f} ms")

    state = t.guest.path("state")
    t.guest.save(state)
    time.sleep(3)
    t.guest = t.guest.restore(state)
    state.unlink()
    d = realtime(t)
    lost = c.difference_ns - d.difference_ns
    t.ok(3e9 < lost < 20e9, f"restore loses the gap: {lost / 1e9:.3f} s")

    hosttime.stop(t.guest)
    t.ok(t.done() == 0, "program that ran through it all ends well")
