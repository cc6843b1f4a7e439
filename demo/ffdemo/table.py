# SPDX-License-Identifier: GPL-2.0-only
"""The table on the terminal, and the raw data."""

from . import track as tracking

# Instants after the guest ran again [s], and how the columns are called.
INSTANTS = ((None, "before"), (0.0, "1st read"), (0.1, "+0.1 s"), (1.0, "+1 s"),
            (2.0, "+2 s"), (10.0, "+10 s"))
NAME, CELL, CLAIM = 22, 11, 26
WIDTH = NAME + CELL * len(INSTANTS)


def span(ns):
    """A signed span in the unit that suits it."""
    if ns is None:
        return "-"
    for limit, factor, unit in ((1e3, 1, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
        if abs(ns) < limit:
            return f"{ns / factor:+.0f} {unit}" if factor == 1 else f"{ns / factor:+.1f} {unit}"
    return f"{ns / 1e9:+.3f} s"


def ntp_state(p):
    return "unsync" if p["ntp_status"] & tracking.STA_UNSYNC else "sync"


def rows(track):
    """(key, name, cell of a point)"""
    yield "realtime", "CLOCK_REALTIME", lambda p: span(p.error["realtime"])
    if track.machine.kind != "stock":
        yield "utc", "ff utc (clock id)", lambda p: span(p.error["utc"])
        yield "page", "ff utc (page)", lambda p: span(p.error["page"])
        yield "bound", "  its bound", lambda p: (
            "none" if p["bound_ns"] is None else span(p["bound_ns"]).lstrip("+"))
        yield "status", "  its status", lambda p: tracking.STATUS[p["status"]]
    yield "monotonic", "CLOCK_MONOTONIC *", lambda p: span(p.error["monotonic"])
    if track.machine.kind != "stock":
        yield "mono", "ff mono *", lambda p: span(p.error["mono"])
        yield "diff", "ff diff *", lambda p: span(p.error["diff"])
        yield "sequence", "migration sequence", lambda p: str(p["sequence"])
    first = track.before[-1]["cancelled"]
    yield "cancelled", "timerfd cancelled", lambda p: f"{p['cancelled'] - first}x"
    yield "ntp", "kernel NTP", ntp_state
    yield "maxerror", "  its maxerror", lambda p: span(p["ntp_maxerror"] * 1e3).lstrip("+")
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
    lines = [f"{m.title}: stopped for {track.downtime_ns / 1e6:.1f} ms"]
    lines.append(" " * NAME + "".join(f"{name:>{CELL}}" for name, _ in cells) + "  claim")
    for key, name, cell in rows(track):
        line = f"{name:<{NAME}}" + "".join(f"{cell(p):>{CELL}}" for _, p in cells)
        for r in results:
            if r.kind == m.kind and r.row == key:
                line += f"  {'ok' if r.good else 'FAIL'}: {r.text}"
        lines.append(line)
    return lines


def render(tracks, results, kernel):
    lines = [f"Live migration between two QEMU processes, Linux {kernel.release}",
             "Errors against the host's CLOCK_REALTIME (* gained since before; - is behind)",
             ""]
    for track in tracks:
        lines += section(track, results) + [""]
    failed = [r for r in results if not r.good]
    for r in failed:
        lines.append(f"FAIL {r.kind} {r.row}: {r.text}: {r.seen}")
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
        bound = "none" if row["bound_ns"] is None else span(row["bound_ns"]).lstrip("+")
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
            "told_ns": t.machine.teller.page.told_ns if t.machine.teller else None,
            "qemu": vars(t.machine.migration),
            "points": [{"t": p.t, "truth": p.truth, "error": p.error, **p.row}
                       for p in t.points],
        } for t in tracks],
    }
