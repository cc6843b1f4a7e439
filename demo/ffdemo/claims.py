# SPDX-License-Identifier: GPL-2.0-only
"""What must hold.  Each claim belongs to a row of the table."""

import dataclasses

from .track import PHASE_LIMIT_US, STATUS, STA_UNSYNC, UNRELIABLE

# Feed-forward clock by NTP: within this of the host, or within its bound before
# the migration if a busy machine makes for a worse path than that ...
BACK_NS = 1_000_000
# ... so long after it ran again: one exchange at once, a second one 1 s later.
BACK_S = 2.0
# Both clocks of a guest that is told the time, once it is told: the handshake
# and the guest's own readings are some 100 ns each.
TOLD_UTC_NS = 1_000
TOLD_REALTIME_NS = 10_000
# After the host has told: the guest's next tick, and a busy machine's pace.
TOLD_S = 0.020
# CLOCK_REALTIME, once set, runs on at the rate its kernel has found.
WATCH_S = 10.0
# A rate-only clock that stepped by less than this against the counter has not;
# and what the rates of the two may differ by while the sample was taken.
DIFF_STEP_NS = 1_000
DIFF_RATE = 200e-6


@dataclasses.dataclass
class Result:
    """One claim: the guest's kind, the table's row, how it is said, what was seen."""

    kind: str
    row: str
    text: str
    good: bool
    seen: str


def good_status(point):
    return STATUS[point["status"]] in ("initial", "sync", "freerun")


def bounds_honest(track):
    """No sample that claims to be good was off by more than it said."""
    bad = []
    n = 0
    for p in track.points:
        if not good_status(p) or p["bound_ns"] is None:
            continue
        n += 1
        if abs(p.error["utc"]) > p["bound_ns"] + p.truth["utc"]:
            bad.append(p)
    worst = max(bad, key=lambda p: abs(p.error["utc"]) - p["bound_ns"], default=None)
    seen = f"{n} samples" if not bad else (
        f"{len(bad)} of {n} samples beyond their bound; at {worst.t:+.3f} s off by "
        f"{worst.error['utc']} ns, bound {worst['bound_ns']} ns")
    return n > 0 and not bad, seen


def told_at_once(track):
    """From the first read on until there are new parameters, it says so."""
    updates = track.before[-1]["updates"]
    old = [p for p in track.after if p["updates"] <= updates]
    lies = [p for p in old if p["status"] != UNRELIABLE]
    noticed = track.noticed()
    if noticed is None:
        return False, "never noticed"
    return not lies, (f"noticed {noticed.t * 1e3:.1f} ms after the guest ran again; "
                      f"{len(lies)} of {len(old)} reads of old data called good")


def never_back(track, clock):
    previous = None
    for p in track.points:
        if p[clock] is None:
            continue
        if previous is not None and p[clock] < previous:
            return False, f"back by {previous - p[clock]} ns at {p.t:+.3f} s"
        previous = p[clock]
    return previous is not None, f"{len(track.points)} samples"


def rate_only(track):
    """The clock against the counter across the migration: no step."""
    a, b = track.before[-1], track.after[0]
    counted = (b["diff_tsc"] - a["diff_tsc"]) * track.ns_per_tick
    step = (b["diff"] - a["diff"]) - counted
    allowed = DIFF_STEP_NS + a.truth["diff"] + b.truth["diff"] + DIFF_RATE * counted
    return abs(step) <= allowed, f"step of {step:+.0f} ns, of which rates explain " \
                                 f"{allowed:.0f}"


def sequence(track):
    grown = track.after[-1]["sequence"] - track.before[-1]["sequence"]
    return grown == 1, f"+{grown}"


def cancelled(track):
    times = track.after[-1]["cancelled"] - track.before[-1]["cancelled"]
    return times, f"{times} times"


def reset(track):
    """NTP's state was there before, and is gone at the first read."""
    before, first = track.before[-1], track.after[0]
    good = (not before["ntp_status"] & STA_UNSYNC and before["ntp_maxerror"] < PHASE_LIMIT_US and
            first["ntp_status"] & STA_UNSYNC and first["ntp_maxerror"] >= PHASE_LIMIT_US)
    return bool(good), (f"status {before['ntp_status']:#x} to {first['ntp_status']:#x}, "
                        f"maxerror {before['ntp_maxerror']} to {first['ntp_maxerror']} us")


def settles(track, clock, limit_ns, t):
    """All reads from t on, for as long as the table goes, are within limit_ns."""
    late = [p for p in track.after if t <= p.t <= WATCH_S]
    bad = [p for p in late if abs(p.error[clock]) > limit_ns + p.truth[clock]]
    since = track.settled(clock, limit_ns)
    seen = "not at the end" if since is None else f"since {since * 1e3:.1f} ms"
    return len(late) > 0 and not bad, seen


def check_ffclock(track, results):
    """What holds of every guest with ffclock."""
    def add(row, text, outcome):
        results.append(Result(track.machine.kind, row, text, *outcome))

    add("bound", "|error| <= bound", bounds_honest(track))
    add("status", "told by 1st read", told_at_once(track))
    add("mono", "never back", never_back(track, "mono"))
    add("diff", "no step", rate_only(track))
    add("sequence", "+1 exactly", sequence(track))
    times, seen = cancelled(track)
    add("cancelled", "cancelled", (times >= 1, seen))
    add("ntp", "reset by 1st read", reset(track))
    apart = max(abs(p.error["utc"] - p.error["page"]) - (p.truth["utc"] + p.truth["page"]) for p in track.points
                if p.error["page"] is not None and p.error["utc"] is not None and
                good_status(p))
    add("page", "as the clock id", (apart <= TOLD_UTC_NS, f"{max(0, apart):.0f} ns apart"))


def check(tracks):
    results = []
    for track in tracks:
        kind = track.machine.kind
        if kind == "stock":
            continue
        check_ffclock(track, results)
        if kind == "ffclock":
            limit = max(BACK_NS, track.before[-1]["bound_ns"] or 0)
            results.append(Result(kind, "utc", f"< {limit / 1e6:.1f} ms in {BACK_S:.0f} s",
                                  *settles(track, "utc", limit, BACK_S)))
        else:
            told = track.told()
            # What the host does not know, the guest cannot: a busy one's handshakes.
            worst = max((p["bound_ns"] or 0 for p in track.after if p.t <= WATCH_S))
            for clock, limit in (("utc", max(TOLD_UTC_NS, worst)),
                                 ("realtime", TOLD_REALTIME_NS + worst)):
                good, seen = settles(track, clock, limit, told + TOLD_S)
                results.append(Result(kind, clock, f"< {limit / 1000:.1f} us once told", good,
                                      f"{seen}; told at {told * 1e3:.1f} ms"))
    return results
