# SPDX-License-Identifier: GPL-2.0-only
"""What a guest's clocks, timers and connection did around one disruption, as figures.

Times are seconds since the guest ran again, errors ns against the host, both None
where they are not known or did not happen.
"""

import dataclasses
import statistics

from . import track as tracking
from .track import STATUS, STA_UNSYNC

# Errors that a clock is to come back within [ns].
LIMITS = (1_000_000, 100_000, 10_000)
# When the table looks at clocks [s].
INSTANTS = (1.0, 10.0, 30.0)
# A clock that came back only that long [s] before the end has not shown it.
SHOWN_S = 1.0
# CLOCK_MONOTONIC's rate is taken over spans of that length [s], and no earlier
# than this after the disruption: the first read may have been interrupted.
RATE_S, RATE_FROM_S = 1.0, 0.1
# TCP: from that long before the guest is stopped on.
TCP_BEFORE_S = 2.0


@dataclasses.dataclass
class Traffic:
    """Notes of ffdemo-traffic: (host s, ...) in its lines' order."""

    echoes: list    # (t, sent t)
    info: list      # (t, segments sent again, RTT us, RTO us, timestamps option)
    lost: str       # why the connection ended, "" if it did not


def traffic(track, text):
    """The notes of one track, in its time; text may cover others as well."""
    echoes, info, lost = [], [], ""
    begin = track.points[0]["realtime_tsc"]
    for line in text.splitlines():
        words = line.split()
        # The last line may be cut off.
        if len(words) < 3 or words[0] not in "eix":
            continue
        tsc = int(words[1])
        if not begin <= tsc < track.end_tsc:
            continue
        t = track.host_s(tsc)
        if words[0] == "e":
            echoes.append((t, track.host_s(int(words[2]))))
        elif words[0] == "i" and len(words) == 6:
            info.append((t, *(int(w) for w in words[2:])))
        elif words[0] == "x":
            lost = " ".join(words[2:])
    return Traffic(echoes, info, lost)


def tcp(t, stopped_s):
    """The connection around the disruption."""
    times = [e[0] for e in t.echoes if e[0] > -stopped_s - TCP_BEFORE_S]
    gaps = [b - a for a, b in zip(times, times[1:])]
    before = [i for i in t.info if i[0] < 0]
    after = [i for i in t.info if i[0] >= 0]
    return {
        "alive": bool(after) and not t.lost and times and times[-1] > 0,
        "lost": t.lost,
        "stall_s": max(gaps, default=None),
        "usual_s": statistics.median(gaps) if gaps else None,
        "answer_s": next((e[0] for e in t.echoes if e[0] >= 0), None),
        "resent": after[-1][1] - before[-1][1] if before and after else None,
        "rtt_us": max((i[2] for i in after), default=None),
        "timestamps": bool(before and before[-1][4] and after and after[-1][4]),
    }


def back(track, clock):
    """{limit: s after which the clock stayed within it, or None}"""
    found = {}
    for limit in LIMITS:
        since = track.settled(clock, limit)
        found[limit] = None if since is None or since > track.after[-1].t - SHOWN_S else since
    return found


def monotonic_rate(track):
    """The CLOCK_MONOTONIC rate [ppm] that was furthest from the host's, after it."""
    points = [p for p in track.after if p.t >= RATE_FROM_S]
    worst, j = 0.0, 0
    for p in points:
        while j < len(points) and points[j].t < p.t + RATE_S:
            j += 1
        if j == len(points):
            break
        q = points[j]
        rate = (q.error["monotonic"] - p.error["monotonic"]) / (q.t - p.t) / 1e3
        if abs(rate) > abs(worst):
            worst = rate
    return worst


def ntp(p):
    return {"synchronised": not p["ntp_status"] & STA_UNSYNC, "status": p["ntp_status"],
            "esterror_us": p["ntp_esterror"], "maxerror_us": p["ntp_maxerror"],
            "frequency_ppm": p["ntp_freq"] / 65536}


def clock(track, name):
    """A UTC clock: before, at the first read, at the instants, and when it was back."""
    if track.after[-1].error[name] is None:
        return None
    return {
        "before_ns": track.before[-1].error[name],
        "first_ns": track.after[0].error[name],
        "at_ns": {t: track.at(t).error[name] if track.after[-1].t >= t else None
                  for t in INSTANTS},
        "back_s": {limit: t for limit, t in back(track, name).items()},
    }


def alarm(track, set_ns, expiry_ns):
    """The absolute timer set for expiry_ns: when it was due, and how late it was [s].

    A timer for a time at which the guest was stopped is on time when it expires as
    soon as the guest runs.
    """
    due = (expiry_ns - track.resume_ns) / 1e9
    if due < -track.downtime_ns / 1e9:
        # It was over before the guest was stopped, and shows nothing.
        return {"due_s": due, "late_s": None}
    if -track.downtime_ns / 1e9 <= due < 0:
        due = 0.0
    # Taken when it was set or before: an earlier timer's count.
    earlier = [p for p in track.points if p.host["realtime"] <= set_ns]
    count = earlier[-1]["fired"] if earlier else 0
    fired = next((p for p in track.points if p["fired"] > count), None)
    return {"due_s": due,
            "late_s": None if fired is None else track.host_s(fired["fired_tsc"]) - due}


def measure(track, text, timer):
    """All figures of a guest's disruption."""
    m = track.machine
    first, last = track.before[-1]["cancelled"], track.after[-1]["cancelled"]
    cancelled = next((p.t for p in track.after if p["cancelled"] > first), None)
    return {
        "kind": m.kind,
        "title": m.title,
        "stopped_s": track.downtime_ns / 1e9,
        "first_read_s": track.after[0].t,
        "watched_s": track.after[-1].t,
        "realtime": clock(track, "realtime"),
        "utc": clock(track, "utc"),
        "utc_status": None if track.after[0]["status"] is None else
                      STATUS[track.after[0]["status"]],
        "sequence": None if track.after[0]["sequence"] is None else
                    track.after[-1]["sequence"] - track.before[-1]["sequence"],
        "monotonic_first_ns": track.after[0].error["monotonic"],
        "monotonic_last_ns": track.after[-1].error["monotonic"],
        "monotonic_ppm": monotonic_rate(track),
        "cancelled": last - first,
        "cancelled_s": cancelled,
        "alarm": alarm(track, *timer),
        "tcp": tcp(traffic(track, text), track.downtime_ns / 1e9),
        "ntp_before": ntp(track.before[-1]),
        "ntp_first": ntp(track.after[0]),
        "ntp_last": ntp(track.after[-1]),
        "told_s": track.told(),
    }


def lines(track):
    """For the picture: {clock: [(t, |error| ns)]}"""
    return {c: [(p.t, abs(p.error[c])) for p in track.after if p.error[c] is not None]
            for c in tracking.ABSOLUTE[:2]}
