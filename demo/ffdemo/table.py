# SPDX-License-Identifier: GPL-2.0-only
"""The table on the terminal, and the raw data."""

import textwrap
import time

from . import track as tracking

# Instants after the guest ran again [s], and how the columns are called.
INSTANTS = ((None, "before"), (0.0, "1st read"), (0.1, "+0.1 s"), (1.0, "+1 s"),
            (2.0, "+2 s"), (10.0, "+10 s"))
NAME, CELL, WIDTH = 22, 11, 100


def span(ns):
    """A signed span in the unit that suits it."""
    if ns is None:
        return "-"
    for limit, factor, unit in ((1e3, 1, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
        if abs(ns) < limit:
            return f"{ns / factor:+.0f} {unit}" if factor == 1 else f"{ns / factor:+.1f} {unit}"
    return f"{ns / 1e9:+.3f} s"


def instant(t):
    """Seconds since the guest ran again."""
    return f"{t * 1e3:+.0f} ms" if abs(t) < 0.9995 else f"{t:+.2f} s"


def unsigned(ns):
    """One that is never negative."""
    return span(ns).lstrip("+")


def ntp_state(p):
    return "unsync" if p["ntp_status"] & tracking.STA_UNSYNC else "sync"


def rows(track):
    """(key, name, cell of a point)"""
    yield "t", "read at", lambda p: instant(p.t)
    yield "realtime", "CLOCK_REALTIME", lambda p: span(p.error["realtime"])
    if track.machine.kind != "stock":
        yield "utc", "ff utc (clock id)", lambda p: span(p.error["utc"])
        yield "page", "ff utc (page)", lambda p: span(p.error["page"])
        yield "bound", "  its bound", lambda p: (
            "none" if p["bound_ns"] is None else unsigned(p["bound_ns"]))
        yield "status", "  its status", lambda p: tracking.STATUS[p["status"]]
    yield "monotonic", "CLOCK_MONOTONIC *", lambda p: span(p.error["monotonic"])
    if track.machine.kind != "stock":
        yield "mono", "ff mono *", lambda p: span(p.error["mono"])
        yield "diff", "ff diff *", lambda p: span(p.error["diff"])
        yield "sequence", "migration sequence", lambda p: str(p["sequence"])
    first = track.before[-1]["cancelled"]
    yield "cancelled", "timerfd cancelled", lambda p: f"{p['cancelled'] - first}x"
    yield "ntp", "kernel NTP", ntp_state
    yield "maxerror", "  its maxerror", lambda p: unsigned(p["ntp_maxerror"] * 1e3)
    yield "freq", "  its frequency", lambda p: f"{p['ntp_freq'] / 65536:+.1f} ppm"


def columns(track):
    found = []
    for t, name in INSTANTS:
        if t is None:
            found.append((name, track.before[-1]))
        elif t == 0.0:
            found.append((name, track.after[0]))
        else:
            found.append((name, track.at(t)))
    return found


def section(track, results):
    m = track.machine
    cells = columns(track)
    head = f"{m.title}: stopped for {track.downtime_ns / 1e6:.1f} ms"
    if track.told() is not None:
        head += f", told after {track.told() * 1e3:.1f} ms"
    lines = [head]
    lines.append(" " * NAME + "".join(f"{name:>{CELL}}" for name, _ in cells))
    for _, name, cell in rows(track):
        lines.append(f"{name:<{NAME}}" + "".join(f"{cell(p):>{CELL}}" for _, p in cells))
    lines += record(m)
    for r in results:
        if r.kind == m.kind:
            lines += claim(r)
    return lines


def claim(r):
    """A claim and what was seen, as lines."""
    return textwrap.wrap(f"{r.text}: {r.seen}", WIDTH, initial_indent="ok    " if r.good
                         else "FAIL  ", subsequent_indent=" " * 6)


def record(m):
    """What the module itself has written down, as lines."""
    r = m.record
    if r is None:
        return []
    text = f"module's record: {r.sequence} by {r.detector}, {r.policy}"
    if r.source != "-":
        text += f", time from {r.source}"
    if r.flags & r.F_TOUT:
        text += f": REALTIME off by {span(-r.tout_ns)}, known to {unsigned(r.bound_ns)}"
    lines = [text]
    if r.flags & r.F_SET:
        lines.append(f"  set {unsigned(r.delay_ns)} after it was noticed, "
                     f"{span(r.left_ns)} left")
    if r.flags & r.F_LOST:
        lines.append(f"  lost to the counter: {unsigned(r.lost_ns)}")
    return lines


def reading(ns, utc):
    """A clock's value, for people."""
    seconds, rest = divmod(ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) if utc else str(seconds)
    return f"{text}.{rest:09}"


def readings(m):
    """What a program in the guest reads now, by which call, and how far off that is."""
    row = m.live
    truth = m.truths[-1]
    lines = [f"{m.title}: a program there reads",
             f"{'minus host':>{NAME + 34 + 32 + 12}}"]
    for clock, name, how in (
            ("realtime", "CLOCK_REALTIME", "clock_gettime()"),
            ("utc", "ff utc", "clock id of /dev/ffclock_utc"),
            ("page", "ff utc", "page of /dev/ffclock, no call"),
            ("tai", "ff tai", "clock id of /dev/ffclock_tai"),
            ("mono", "ff mono", "clock id of /dev/ffclock_mono"),
            ("diff", "ff diff", "clock id of /dev/ffclock_diff"),
            ("monotonic", "CLOCK_MONOTONIC", "clock_gettime()")):
        if row[clock] is None:
            continue
        utc = clock in tracking.ABSOLUTE + ("tai",)
        line = f"{name:<{NAME}}{how:<34}{reading(row[clock], utc):>32}"
        if utc:
            line += f"{span(row[clock] - truth.host(row[f'{clock}_tsc'], m.rate())[0]):>12}"
        lines.append(line)
    return lines


def render(tracks, results, kernel):
    lines = [f"Live migration between two QEMU processes, Linux {kernel.release}",
             "Errors against the host's CLOCK_REALTIME (* gained since before; - is behind)",
             ""]
    for track in tracks:
        lines += section(track, results) + [""]
    failed = [r for r in results if not r.good]
    lines.append(f"{len(results) - len(failed)} of {len(results)} claims hold")
    return "\n".join(lines)


def live_line(m):
    """Where a machine's clocks are now."""
    row = m.live
    truth = m.truths[-1]
    if not m.best_rate():
        return f"{m.title}: ..."

    def error(clock):
        return span(row[clock] - truth.host(row[f"{clock}_tsc"], m.rate())[0])

    text = f"{m.title}: REALTIME {error('realtime')}"
    if row["utc"] is not None:
        bound = "none" if row["bound_ns"] is None else unsigned(row["bound_ns"])
        text += f", ff utc {error('utc')} ({tracking.STATUS[row['status']]}, bound {bound})"
    return text


def raw(tracks, results, kernel):
    """All that was seen, for other programs."""
    return {
        "kernel": kernel.release,
        "claims": [vars(r) for r in results],
        "guests": [{
            "kind": t.machine.kind,
            "title": t.machine.title,
            "downtime_ns": t.downtime_ns,
            "resume_ns": t.resume_ns,
            "switch_bound_ns": t.switch_bound_ns,
            "told_s": t.told(),
            "record": t.machine.record.line if t.machine.record else None,
            "qemu": vars(t.machine.migration),
            "points": [{"t": p.t, "truth": p.truth, "error": p.error, **p.row}
                       for p in t.points],
        } for t in tracks],
    }
