# SPDX-License-Identifier: GPL-2.0-only
"""What must hold.  Each claim belongs to a row of the table.

Three guests on a busy machine wait for a processor, and an NTP exchange among
them takes as long as that takes.  So where a limit is the machine's as much as
the clock's, the claim goes by what was measured: the round trips of NTP, the
longest pause between two of the guest's samples, the host's own uncertainty.  A
clock that is worse than these allow fails.
"""

import dataclasses

from .table import unsigned
from .track import PHASE_LIMIT_US, STATUS, STA_UNSYNC, UNRELIABLE

# Feed-forward clock by NTP: within this of the host so long [s] after it ran again
# (one exchange at once, then one a second), or as well as a typical exchange since
# then can tell (Track.knowable).
BACK = ((2.0, 1_000_000), (10.0, 100_000))
# Both clocks of a guest that is told the time, once it is told: the handshake
# and the guest's own readings are some 100 ns each.
TOLD_UTC_NS = 1_000
TOLD_REALTIME_NS = 10_000
# After the host has told: the guest's next tick, and setting CLOCK_REALTIME.
TOLD_S = 0.020
# When the pause is looked for that a busy machine made then, and what is worth a word.
PAUSE_S = 0.5
PAUSE_TOLD_S = 0.1
# CLOCK_REALTIME, once set, runs on at the rate that its kernel has found.
# Before the migration that is seen from here on [s], to some 0.1 ppm.
DRIFT_FROM_S = -8.0
DRIFT_ERROR = 0.2e-6
# As far as the table goes.
WATCH_S = 10.0
# A rate-only clock that stepped by less than this against the counter has not;
# and what the rates of the two may differ by while the sample was taken.
DIFF_STEP_NS = 1_000
# What ffclockd's rate may be off by while it has few exchanges, all of them bad.
CLOCK_RATE = 500e-6
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
    used = [p for p in track.quiet() if good_status(p) and p["bound_ns"] is not None]
    bad = [p for p in used if abs(p.error["utc"]) > p["bound_ns"] + p.truth["utc"]]
    worst = max(bad, key=lambda p: abs(p.error["utc"]) - p["bound_ns"], default=None)
    seen = f"{len(used)} reads" if not bad else (
        f"{len(bad)} of {len(used)} reads beyond; at {worst.t:+.3f} s off by "
        f"{worst.error['utc']} ns, bound {worst['bound_ns']} ns")
    after = any(p.t >= 0 for p in used)
    return bool(after and not bad), seen if after else f"{seen}, none after the migration"


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
    return previous is not None, f"{len(track.points)} reads"


def rate_only(track):
    """The clock against the counter across the migration: no step."""
    a, b = track.before[-1], track.after[0]
    counted = (b["diff_tsc"] - a["diff_tsc"]) * track.ns_per_tick
    step = (b["diff"] - a["diff"]) - counted
    allowed = DIFF_STEP_NS + a.truth["diff"] + b.truth["diff"] + DIFF_RATE * counted
    return abs(step) <= allowed, f"step of {step:+.0f} ns, of which rates explain " \
                                 f"{allowed:.0f}"


def same_page(track):
    """The page, read without a system call, and the clock id are one clock."""
    used = [p for p in track.quiet() if p.error["page"] is not None and
            p.error["utc"] is not None and good_status(p)]
    # Between the two reads a busy host may let the guest wait, and the clock drift.
    apart = max((abs(p.error["utc"] - p.error["page"]) - p.truth["utc"] - p.truth["page"] -
                 CLOCK_RATE * abs(p.host["utc"] - p.host["page"]) for p in used), default=None)
    if apart is None:
        return False, "never read"
    return apart <= TOLD_UTC_NS, f"{max(0, apart):.0f} ns apart at most, {len(used)} reads"


def sequence(track):
    grown = track.after[-1]["sequence"] - track.before[-1]["sequence"]
    return grown == 1, f"+{grown}"


def cancelled(track):
    times = track.after[-1]["cancelled"] - track.before[-1]["cancelled"]
    return times >= 1, f"{times} times"


def reset(track):
    """NTP's state was there before, and is gone at the second read.

    A thread of the kernel's does it, which the first read may come before.
    """
    before, then = track.before[-1], track.after[min(1, len(track.after) - 1)]
    good = (not before["ntp_status"] & STA_UNSYNC and before["ntp_maxerror"] < PHASE_LIMIT_US and
            then["ntp_status"] & STA_UNSYNC and then["ntp_maxerror"] >= PHASE_LIMIT_US)
    return bool(good), (f"status {before['ntp_status']:#x} to {then['ntp_status']:#x}, "
                        f"maxerror {before['ntp_maxerror']} to {then['ntp_maxerror']} us")


def settles(track, clock, limit, t):
    """All reads from t on, for as long as the table goes, are within limit(p) [ns]."""
    end = max(WATCH_S, t + PAUSE_S)
    late = [p for p in track.after if t <= p.t <= end] or [track.at(t)]
    bad = [p for p in late if abs(p.error[clock]) > limit(p) + p.truth[clock]]
    worst = max((abs(p.error[clock]) for p in late))
    seen = f"{unsigned(worst)} at most in {len(late)} reads"
    if bad:
        seen += (f", too far in {len(bad)} of them: at {bad[-1].t:+.3f} s "
                 f"{bad[-1].error[clock]:+} ns")
    return not bad, seen


def check_ffclock(track, add):
    """What holds of every guest with ffclock."""
    add("status", "the 1st read says unreliable, and so do all until new parameters",
        told_at_once(track))
    add("bound", "|error| <= bound, whenever it is not called unreliable", bounds_honest(track))
    add("page", "ff utc by the page as by the clock id", same_page(track))
    add("mono", "ff mono never goes back", never_back(track, "mono"))
    add("diff", "ff diff, read across the migration, does not step", rate_only(track))
    add("sequence", "migration sequence one higher, exactly", sequence(track))
    add("cancelled", "the timer TFD_TIMER_CANCEL_ON_SET was cancelled", cancelled(track))
    add("ntp", "the kernel's NTP is reset by the 2nd read", reset(track))


def check_ntp(track, add):
    """By NTP alone: back as soon as the path allows."""
    # From an answer's arrival to the clock: a daemon that waits for a processor.
    lag = TOLD_S + track.pause(0, WATCH_S)
    for wanted_s, wanted in BACK:
        t = wanted_s + lag
        text = f"ff utc < {unsigned(wanted)} in {wanted_s:.0f} s"
        if lag > PAUSE_TOLD_S:
            text += f" and a pause of {lag:.1f} s"
        known = track.knowable(t)
        if known is None:
            add("utc", text, (False, "no NTP exchange by then"))
            continue
        if known > wanted:
            text += ", or as good as a typical exchange since"

        def limit(p, wanted=wanted):
            # None: the first answer has come, but not yet to a daemon that waits.
            known = track.knowable(p.t - lag)
            return float("inf") if known is None else max(wanted, known)

        good, seen = settles(track, "utc", limit, t)
        add("utc", text, (good, f"{seen}; an exchange knew {unsigned(known)} then"))


def check_told(track, add):
    """Told the time by the host: right at the next tick."""
    told = track.told()
    pause = track.pause(told, told + PAUSE_S)
    t = told + TOLD_S + pause
    within = f"{t * 1e3:.0f} ms after it ran again"
    # What the host does not know, the guest cannot: a busy one's handshakes.
    worst = max(track.told_error(p.t) for p in track.after if t <= p.t <= WATCH_S)
    text = f"ff utc < {unsigned(TOLD_UTC_NS)}" + (
        ", or as good as the host was" if worst > TOLD_UTC_NS else "")
    good, seen = settles(track, "utc", lambda p: max(TOLD_UTC_NS, track.told_error(p.t)), t)
    add("utc", f"{text}, {within}",
        (good, f"{seen}; the host knew it to {unsigned(worst)}, told at {told * 1e3:.1f} ms, "
         f"longest pause then {pause * 1e3:.1f} ms"))
    # Whoever sets a clock can be interrupted; the module then says what it left.
    left = abs(track.machine.record.left_ns) if track.machine.record else 0
    base = max(TOLD_REALTIME_NS, left) + track.told_error(told + 1e-6)
    drift = track.drift("realtime", DRIFT_FROM_S) + DRIFT_ERROR
    text = f"CLOCK_REALTIME < {unsigned(base)}" + (
        " (what the module left)" if left > TOLD_REALTIME_NS else "")
    add("realtime", f"{text}, {within}, and {drift * 1e6:.1f} ppm from then on",
        settles(track, "realtime",
                lambda p: base + drift * max(0.0, p.t - told) * 1e9, t))


def check(tracks):
    results = []
    for track in tracks:
        kind = track.machine.kind
        if kind == "stock":
            continue

        def add(row, text, outcome, kind=kind):
            results.append(Result(kind, row, text, *outcome))

        check_ffclock(track, add)
        if kind == "ffclock":
            check_ntp(track, add)
        else:
            check_told(track, add)
    return results
