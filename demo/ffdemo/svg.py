# SPDX-License-Identifier: GPL-2.0-only
"""The picture: every guest a row; on the left the run, on the right its migration.

Errors go over seven decades and both signs, so their axis is linear up to 100 ns
and logarithmic beyond.
"""

import math
from xml.sax.saxutils import escape

from .track import UNRELIABLE

WIDTH = 1240
TOP, PANEL, GAP, BOTTOM = 170, 236, 78, 52      # heights, px
LEFT, RIGHT, BETWEEN = 92, 24, 40               # widths, px
SHARE = 0.58                                    # of the left panel

OVERVIEW = (-6.0, 20.0)     # s since the guest ran again
CLOSE = (-0.45, 0.45)

LINEAR_NS = 100.0
DECADES = (1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
NAMES = {1e2: "100 ns", 1e3: "1 us", 1e4: "10 us", 1e5: "100 us", 1e6: "1 ms",
         1e7: "10 ms", 1e8: "100 ms", 1e9: "1 s"}

# Line colours that differ in lightness as well, for those who see fewer hues.
SERIES = (
    ("realtime", "CLOCK_REALTIME", "#c0392b", 2.0, ""),
    ("monotonic", "CLOCK_MONOTONIC, what it gained", "#e59866", 1.6, "5 4"),
    ("utc", "ff utc", "#1f4e9c", 2.0, ""),
    ("mono", "ff mono, what it gained", "#5dade2", 1.6, "5 4"),
)
BAND = "#d6e4f5"
DISRUPTED = "#fdebd0"
STOPPED = "#d5d8dc"
INK, FAINT, GRID = "#1b2631", "#5d6d7e", "#e5e8e8"


def squeeze(ns):
    """ns to decades; odd, linear about zero."""
    return math.copysign(math.log10(1 + abs(ns) / LINEAR_NS), ns)


# A reading that is known no better than this, and 1 %, is not drawn.
POOR_NS = 1000.0

REACH = squeeze(2e9)    # a migration of more than 2 s is cut off


class Panel:
    """A rectangle with axes; out() gets SVG elements."""

    count = 0

    def __init__(self, out, x, y, width, height, span):
        self.out = out
        self.x, self.y, self.width, self.height = x, y, width, height
        self.span = span
        Panel.count += 1
        self.number = Panel.count
        out(f'<clipPath id="clip{self.number}"><rect x="{x}" y="{y}" width="{width}" '
            f'height="{height}"/></clipPath>')

    def px(self, t):
        begin, end = self.span
        return self.x + (t - begin) / (end - begin) * self.width

    def py(self, ns):
        v = min(max(squeeze(ns), -REACH), REACH)
        return self.y + self.height / 2 * (1 - v / REACH)

    def box(self, t0, t1, colour):
        x0 = max(self.px(t0), self.x)
        x1 = min(self.px(t1), self.x + self.width)
        if x1 > x0:
            self.out(f'<rect x="{x0:.1f}" y="{self.y}" width="{max(x1 - x0, 1):.1f}" '
                     f'height="{self.height}" fill="{colour}"/>')

    def axes(self, ticks, labels):
        out = self.out
        for decade in DECADES:
            for ns in (decade, -decade):
                y = self.py(ns)
                out(f'<line x1="{self.x}" x2="{self.x + self.width}" y1="{y:.1f}" y2="{y:.1f}" '
                    f'stroke="{GRID}"/>')
                # Every second decade has room for its name.
                if labels and decade in (1e3, 1e5, 1e7, 1e9):
                    sign = "+" if ns > 0 else "\u2212"
                    text(out, self.x - 8, y + 4, sign + NAMES[decade], 12, "end", FAINT)
        y = self.py(0)
        out(f'<line x1="{self.x}" x2="{self.x + self.width}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{FAINT}"/>')
        if labels:
            text(out, self.x - 8, y + 4, "0", 12, "end", FAINT)
        for t, name in ticks:
            x = self.px(t)
            bottom = self.y + self.height
            out(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" '
                f'stroke="{FAINT}"/>')
            text(out, x, bottom + 19, name, 12, "middle", FAINT)

    def frame(self):
        self.out(f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" '
                 f'fill="none" stroke="{FAINT}"/>')

    def line(self, points, colour, width, dash):
        """points: (t, ns), None where the line breaks."""
        path = []
        pen = "M"
        for point in points:
            if point is None:
                pen = "M"
                continue
            path.append(f"{pen}{self.px(point[0]):.1f},{self.py(point[1]):.1f}")
            pen = "L"
        if path:
            dashes = f' stroke-dasharray="{dash}"' if dash else ""
            self.out(f'<path d="{"".join(path)}" fill="none" stroke="{colour}" '
                     f'stroke-width="{width}" stroke-linejoin="round"{dashes}/>')

    def dots(self, points, colour, radius):
        """A dot for each point: where the samples are."""
        for point in points:
            if point is not None:
                self.out(f'<circle cx="{self.px(point[0]):.1f}" cy="{self.py(point[1]):.1f}" '
                         f'r="{radius}" fill="{colour}"/>')

    def band(self, points, colour):
        """points: (t, ns): filled from -ns to +ns, one polygon per run without None."""
        run = []
        for point in list(points) + [None]:
            if point is not None:
                run.append(point)
                continue
            if len(run) > 1:
                outline = [f"{self.px(t):.1f},{self.py(b):.1f}" for t, b in run]
                outline += [f"{self.px(t):.1f},{self.py(-b):.1f}" for t, b in reversed(run)]
                self.out(f'<polygon points="{" ".join(outline)}" fill="{colour}"/>')
            run = []


def text(out, x, y, words, size, anchor="start", colour=INK, weight="normal"):
    out(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{colour}" font-weight="{weight}">{escape(words)}</text>')


def series(track, span, value, clock=None):
    """Points of a span, broken where the guest was stopped or did not read.

    Readings of a clock that something interrupted are left out.
    """
    begin, end = span
    points = []
    previous = None
    for p in track.points:
        if not begin - 1 <= p.t <= end + 1:
            continue
        v = value(p)
        if previous is not None and previous.t < 0 <= p.t:
            points.append(None)
        if v is None:
            points.append(None)
        elif clock is None or p.truth[clock] < POOR_NS + abs(v) / 100:
            points.append((p.t, v))
        previous = p
    return points


def draw(out, track, panel, ticks, labels):
    old = [p for p in track.after if p["status"] == UNRELIABLE]
    if old:
        good = next((p.t for p in track.after if p.t > old[-1].t), panel.span[1])
        panel.box(0, good, DISRUPTED)
    out(f'<g clip-path="url(#clip{panel.number})">')
    panel.band(series(track, panel.span, lambda p: p["bound_ns"]), BAND)
    out("</g>")
    panel.box(-track.downtime_ns / 1e9, 0, STOPPED)
    panel.axes(ticks, labels)
    out(f'<g clip-path="url(#clip{panel.number})">')
    for clock, _, colour, width, dash in SERIES:
        points = series(track, panel.span, lambda p, c=clock: p.error[c], clock)
        panel.line(points, colour, width, dash)
        if panel.span == CLOSE and not dash:
            panel.dots(points, colour, 2.1)
    out("</g>")
    at = track.told()
    if at is not None and panel.span == CLOSE:
        x = panel.px(at)
        out(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{panel.y}" y2="{panel.y + panel.height}" '
            f'stroke="{INK}" stroke-dasharray="2 3"/>')
        text(out, x + 5, panel.y + 15, "host tells the time", 12)
    panel.frame()


def legend(out, y):
    """Two rows of four columns: the lines, the areas."""
    column = (WIDTH - LEFT - RIGHT) / 4
    for i, (_, name, colour, width, dash) in enumerate(SERIES):
        x = LEFT + i * column
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        out(f'<line x1="{x:.1f}" x2="{x + 30:.1f}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" '
            f'stroke-width="{width}"{dashes}/>')
        text(out, x + 38, y, name, 13)
    for i, (colour, name) in enumerate(((STOPPED, "guest stopped"),
                                        (DISRUPTED, "ff utc says: unreliable"),
                                        (BAND, "error bound of ff utc"))):
        x = LEFT + i * column
        out(f'<rect x="{x:.1f}" y="{y + 11}" width="30" height="14" fill="{colour}" '
            f'stroke="{FAINT}" stroke-width="0.5"/>')
        text(out, x + 38, y + 23, name, 13)


def recovery(track, clock):
    """In words: when the clock was right again after the migration."""
    said = []
    for limit, name in ((1e6, "1 ms"), (1e5, "100 us"), (1e4, "10 us"), (1e3, "1 us")):
        since = track.settled(clock, limit)
        # Within it for the last sample only is no recovery.
        if since is None or since > track.after[-1].t - 1:
            break
        when = f"{since * 1e3:.0f} ms" if since < 1 else f"{since:.1f} s"
        if said and said[-1][1] == when:
            said.pop()
        said.append((name, when))
    if not said:
        return f"not within 1 ms in {track.after[-1].t:.0f} s"
    return ", ".join(f"{name} after {when}" for name, when in said)


def render(tracks, kernel):
    height = TOP + len(tracks) * (PANEL + GAP) - GAP + BOTTOM + 16
    lines = []
    out = lines.append
    out('<?xml version="1.0" encoding="UTF-8"?>')
    out(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" '
        'font-family="DejaVu Sans, Liberation Sans, Arial, sans-serif">')
    out(f'<rect width="{WIDTH}" height="{height}" fill="white"/>')
    text(out, LEFT, 36, "Clocks of three guests across a live migration", 21, weight="bold")
    text(out, LEFT, 60, f"stock Linux {kernel.release} under QEMU; clock minus the host's "
         "CLOCK_REALTIME; below zero is behind", 14, colour=FAINT)
    legend(out, 88)

    inner = WIDTH - LEFT - RIGHT - BETWEEN
    wide = round(inner * SHARE)
    overview = [(t, f"{t:+d}" if t else "0") for t in range(-5, 21, 5)]
    close = [(t / 10, f"{t / 10:+.1f}" if t else "0") for t in range(-4, 5, 1)]
    for i, track in enumerate(tracks):
        y = TOP + i * (PANEL + GAP)
        text(out, LEFT, y - 26, f"{track.machine.title}: stopped for "
             f"{track.downtime_ns / 1e6:.0f} ms", 15, weight="bold")
        x = LEFT
        for clock, name, colour, _, dash in SERIES:
            if not dash and track.after[-1].error[clock] is not None:
                said = f"{name} within {recovery(track, clock)}".replace("within not", "not")
                text(out, x, y - 8, said, 13, colour=colour)
                x += (WIDTH - LEFT - RIGHT) / 2
        draw(out, track, Panel(out, LEFT, y, wide, PANEL, OVERVIEW), overview, True)
        draw(out, track, Panel(out, LEFT + wide + BETWEEN, y, inner - wide, PANEL, CLOSE),
             close, False)
    text(out, LEFT + wide / 2, height - 18, "seconds since the guest ran again", 13, "middle",
         FAINT)
    text(out, LEFT + wide + BETWEEN + (inner - wide) / 2, height - 18, "the same, closer", 13,
         "middle", FAINT)
    out("</svg>")
    return "\n".join(lines) + "\n"
