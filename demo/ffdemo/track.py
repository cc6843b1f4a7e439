# SPDX-License-Identifier: GPL-2.0-only
"""Samples turned into errors against the host's CLOCK_REALTIME.

Two sorts of clock.  UTC clocks have an error: clock - host.  The others have no
common zero with the host, so theirs is what they gained on the host since the
last sample before the migration: negative is lost.
"""

import dataclasses
import statistics

ABSOLUTE = ("realtime", "utc", "page")
RELATIVE = ("monotonic", "mono", "diff")

# include/uapi/linux/ffclock.h
STATUS = ("unknown", "initial", "sync", "freerun", "unreliable")
UNRELIABLE = 4
# include/uapi/linux/timex.h
STA_UNSYNC = 0x40
# What an oscillator and its kernel's calibration may be off by
OSCILLATOR = 100e-6
# selftests/guest/lib/vmclockpage.c: RATE_ERROR
TOLD_RATE = 1e-7
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


@dataclasses.dataclass(frozen=True)
class Exchange:
    """One of the NTP client's: when its answer came, and how long that took."""

    t: float            # s since the guest ran again
    rtt_ns: float       # round trip, without the server's own time


def parse_stamps(text):
    """Lines "Ta Tb Te Tf" of ffclockd's log as (Ta, Tf, Te - Tb [ns])."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) != 4 or line.startswith("#"):
            continue
        tb, te = (int(s) * 1_000_000_000 + int(ns) for s, ns in
                  (w.split(".") for w in words[1:3]))
        found.append((int(words[0]), int(words[3]), te - tb))
    return found


def switch(truths, i, rate):
    """The TSC at which a guest went from generation i to i + 1, and its error [ticks].

    The guest's TSC stands still while it does not run.  QEMU tells of the stop some
    0.1 ms after it, and of the start that much before: the TSC is between the two
    that follow, and in their middle here.
    """
    before, after = truths[i:i + 2]
    early = after.tsc(after.resumed_ns, rate)
    late = before.tsc(before.stopped_ns, rate)
    return (early + late) // 2, abs(late - early) / 2


class Track:
    """A guest's points around a migration: from generation first to the next."""

    def __init__(self, machine, rows, first=0):
        self.machine = machine
        for truth in machine.truths:
            truth.prune()
        rate = machine.rate()
        self.ns_per_tick = rate
        truths = machine.truths
        self.truths = before, after = truths[first:first + 2]
        self.switch_tsc, error = switch(truths, first, rate)
        self.switch_bound_ns = error * rate
        self.resume_ns = after.host(self.switch_tsc, rate)[0]
        self.downtime_ns = self.resume_ns - before.host(self.switch_tsc, rate)[0]

        # Other migrations are other tracks'.
        begin = switch(truths, first - 1, rate)[0] if first else 0
        self.end_tsc = switch(truths, first + 1, rate)[0] if first + 2 < len(truths) else 1 << 64
        self.points = [self._point(row, rate) for row in rows
                       if begin <= row["realtime_tsc"] < self.end_tsc]
        self.before = [p for p in self.points if p.t < 0]
        self.after = [p for p in self.points if p.t >= 0]
        self._settle_relative()
        self.exchanges = [
            Exchange(self.host_s(tf),
                     (tf - ta) * rate - there)
            for ta, tf, there in parse_stamps(machine.stamps) if begin <= ta and tf < self.end_tsc]

    def host_s(self, tsc):
        """When that was, in seconds since the guest ran again."""
        return (self._truth(tsc).host(tsc, self.ns_per_tick)[0] - self.resume_ns) / 1e9

    def _truth(self, tsc):
        before, after = self.truths
        return after if tsc >= self.switch_tsc else before

    def _point(self, row, rate):
        error = {}
        host = {}
        bounds = {}
        for clock in ABSOLUTE + RELATIVE:
            if row[clock] is None:
                error[clock] = None
                continue
            tsc = row[f"{clock}_tsc"]
            host[clock], bound = self._truth(tsc).host(tsc, rate)
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
        if not self.machine.teller:
            return None
        first = next((ns for ns, _ in self.machine.teller.tellings if ns >= self.resume_ns), None)
        return None if first is None else (first - self.resume_ns) / 1e9

    def quiet(self):
        """Points during which no parameters were replaced.

        All that a sample holds is then from the same parameters.
        """
        return [p for q, p in zip(self.points, self.points[1:])
                if p["updates"] == q["updates"] and (q.t < 0) == (p.t < 0)]

    def pause(self, begin, end):
        """The longest that the guest did not sample within a span [s].

        What a guest sleeps for between two samples is in it, and what a busy host
        did not let it run for.
        """
        times = [p.t for p in self.after if begin <= p.t <= end]
        edges = [begin] + times + [end]
        return max(b - a for a, b in zip(edges, edges[1:]))

    def knowable(self, t):
        """What a plain NTP client is off by at t [ns] at most, or None.

        It takes the exchanges since the guest ran again as they come: half the round
        trip of a typical one, and what its oscillator did since the last.
        """
        since = [e for e in self.exchanges if 0 <= e.t <= t]
        if not since:
            return None
        return (statistics.median(e.rtt_ns for e in since) / 2 +
                OSCILLATOR * (t - since[-1].t) * 1e9)

    def told_error(self, t):
        """The error [ns] of the line that the host had told last before t [s]."""
        at = self.resume_ns + t * 1e9
        # The guest may not have seen the last one yet.
        used = [x for x in self.machine.teller.tellings if self.resume_ns <= x[0] <= at][-2:]
        return max((error + TOLD_RATE * (at - ns) for ns, error in used), default=0.0)

    def drift(self, clock, begin):
        """|rate of the clock against the host| from begin on to the migration."""
        used = [p for p in self.before if p.t >= begin and p.error[clock] is not None]
        if len(used) < 2:
            return 0.0
        a, b = used[0], used[-1]
        return abs(b.error[clock] - a.error[clock]) / max(1.0, (b.t - a.t) * 1e9)

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
