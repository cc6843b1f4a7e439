# SPDX-License-Identifier: GPL-2.0-only
"""Samples turned into errors against the host's CLOCK_REALTIME.

Two sorts of clock.  UTC clocks have an error: clock - host.  The others have no
common zero with the host, so theirs is what they gained on the host since the
last sample before the migration: negative is lost.
"""

import dataclasses

ABSOLUTE = ("realtime", "utc", "page")
RELATIVE = ("monotonic", "mono", "diff")

# include/uapi/linux/ffclock.h
STATUS = ("unknown", "initial", "sync", "freerun", "unreliable")
UNRELIABLE = 4
# include/uapi/linux/timex.h
STA_UNSYNC = 0x40
# kernel/time/ntp.c: NTP_PHASE_LIMIT, what it sets maxerror and esterror to [us]
PHASE_LIMIT_US = 16_000_000


@dataclasses.dataclass
class Point:
    """One sample, in host terms."""

    t: float            # s since the guest ran again; negative before
    row: dict           # as the probe sent it
    error: dict         # clock: ns against the host; None: not there
    host: dict          # clock: host ns of that reading
    truth: dict         # clock: bound [ns] of its error, from handshake and reading

    def __getitem__(self, name):
        return self.row[name]


class Track:
    """A guest's points around its migration."""

    def __init__(self, machine, rows):
        self.machine = machine
        for truth in machine.truths:
            truth.prune()
        rate = machine.rate()
        self.ns_per_tick = rate
        before, after = machine.truths
        # The guest's TSC stands still while it does not run.  QEMU tells of
        # the stop some 0.1 ms after it, and of the start that much before:
        # the TSC is between the two that follow, and in their middle here.
        early = after.tsc(after.resumed_ns, rate)
        late = before.tsc(before.stopped_ns, rate)
        self.switch_tsc = (early + late) // 2
        self.switch_bound_ns = abs(late - early) / 2 * rate
        self.resume_ns = after.host(self.switch_tsc, rate)[0]
        self.downtime_ns = self.resume_ns - before.host(self.switch_tsc, rate)[0]

        self.points = [self._point(row, before, after, rate) for row in rows]
        self.before = [p for p in self.points if p.t < 0]
        self.after = [p for p in self.points if p.t >= 0]
        self._settle_relative()

    def _point(self, row, before, after, rate):
        error = {}
        host = {}
        bounds = {}
        for clock in ABSOLUTE + RELATIVE:
            if row[clock] is None:
                error[clock] = None
                continue
            tsc = row[f"{clock}_tsc"]
            truth = after if tsc >= self.switch_tsc else before
            host[clock], bound = truth.host(tsc, rate)
            error[clock] = row[clock] - host[clock]
            bounds[clock] = bound + row[f"{clock}_width"] * rate / 2
        t = (host["realtime"] - self.resume_ns) / 1e9
        if row["realtime_tsc"] < self.switch_tsc:
            t = min(t, -1e-9)
        return Point(t, row, error, host, bounds)

    def _settle_relative(self):
        last = self.before[-1]
        for clock in RELATIVE:
            zero = last.error[clock]
            for p in self.points:
                if p.error[clock] is not None:
                    p.error[clock] -= zero

    def at(self, t):
        """The first point from t on, or the last one of all."""
        return next((p for p in self.points if p.t >= t), self.points[-1])

    def noticed(self):
        """The first point after the migration with a higher sequence, or None."""
        was = self.before[-1]["sequence"]
        if was is None:
            return None
        return next((p for p in self.after if p["sequence"] > was), None)

    def told(self):
        """When the host told the time anew [s]; None where it does not."""
        teller = self.machine.teller
        return (teller.told_ns - self.resume_ns) / 1e9 if teller else None

    def settled(self, clock, limit_ns):
        """s from which on the clock stays within limit_ns, or None.

        A reading that was interrupted is known less well; that is not the clock's
        fault.
        """
        since = None
        for p in self.after:
            if p.error[clock] is None or abs(p.error[clock]) > limit_ns + p.truth[clock]:
                since = None
            elif since is None:
                since = p.t
        return since
