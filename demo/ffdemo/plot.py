# SPDX-License-Identifier: GPL-2.0-only
"""The comparison's picture: how wrong, how long after; both axes logarithmic."""

import math

from . import svg
from .svg import FAINT, GRID, text

WIDTH, HEIGHT = 1240, 640
LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 92, 24, 150, 62, 56
TIMES = (0.01, 60.0)        # s
ERRORS = (1e1, 1e11)        # ns

# Between two reads no clock is slewed by this factor, unless it is near zero anyway.
STEP = 3.0

# kind, clock, name, colour, width, dash; the order of the legend, row by row
SERIES = (
    ("none", "realtime", "no daemon", "#7f8c8d", 2.0, ""),
    ("stock", "realtime", "chrony, makestep 1 3", "#c0392b", 2.0, ""),
    ("step", "realtime", "chrony, makestep 0.001 -1", "#e67e22", 2.0, ""),
    ("agent", "realtime", "guest agent, guest-set-time", "#8e44ad", 2.0, ""),
    ("ffclock", "utc", "ff utc, by NTP", "#1f4e9c", 2.4, ""),
    ("ffclock", "realtime", "CLOCK_REALTIME beside it", "#1f4e9c", 1.6, "5 4"),
    ("hosttime", "utc", "ff utc, told by the host", "#148f77", 2.4, ""),
    ("hosttime", "realtime", "CLOCK_REALTIME beside it", "#148f77", 1.6, "5 4"),
)
DECADES = {1e1: "10 ns", 1e2: "100 ns", 1e3: "1 us", 1e4: "10 us", 1e5: "100 us", 1e6: "1 ms",
           1e7: "10 ms", 1e8: "100 ms", 1e9: "1 s", 1e10: "10 s", 1e11: "100 s"}


class Panel(svg.Panel):
    """Time and |error| as logarithms."""

    def px(self, t):
        a, b = (math.log10(x) for x in TIMES)
        v = math.log10(min(max(t, TIMES[0]), TIMES[1]))
        return self.x + (v - a) / (b - a) * self.width

    def py(self, ns):
        a, b = (math.log10(x) for x in ERRORS)
        v = math.log10(min(max(ns, ERRORS[0]), ERRORS[1]))
        return self.y + (1 - (v - a) / (b - a)) * self.height

    def grid(self, labels):
        for ns, name in DECADES.items():
            y = self.py(ns)
            self.out(f'<line x1="{self.x}" x2="{self.x + self.width}" y1="{y:.1f}" y2="{y:.1f}" '
                     f'stroke="{GRID}"/>')
            if labels:
                text(self.out, self.x - 8, y + 4, name, 12, "end", FAINT)
        bottom = self.y + self.height
        for t, name in ((0.01, "10 ms"), (0.1, "100 ms"), (1, "1 s"), (10, "10 s"), (60, "60 s")):
            x = self.px(t)
            self.out(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.y}" y2="{bottom + 5}" '
                     f'stroke="{GRID}"/>')
            text(self.out, x, bottom + 19, name, 12, "middle", FAINT)


def legend(out, y):
    column = (WIDTH - LEFT - RIGHT) / 4
    for i, (_, _, name, colour, width, dash) in enumerate(SERIES):
        x, row = LEFT + i % 4 * column, y + i // 4 * 22
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        out(f'<line x1="{x:.1f}" x2="{x + 30:.1f}" y1="{row - 4}" y2="{row - 4}" '
            f'stroke="{colour}" stroke-width="{width}"{dashes}/>')
        text(out, x + 38, row, name, 13)


def thin(points):
    """No more points than the picture can show: 200 a decade of time."""
    kept, last = [], None
    for t, ns in points:
        at = round(math.log10(max(t, 1e-9)) * 200)
        if at == last:
            continue
        # A clock that was set went there at once, not in the time between two reads.
        if kept and not 1 / STEP < (ns + 1) / (kept[-1][1] + 1) < STEP:
            kept.append((t, kept[-1][1]))
        kept.append((t, ns))
        last = at
    return kept


def render(scenarios, kernel):
    """scenarios: [(title, {kind: lines})]"""
    elements = []
    out = elements.append
    out('<?xml version="1.0" encoding="UTF-8"?>')
    out(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="DejaVu Sans, Liberation Sans, Arial, sans-serif">')
    out(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    text(out, LEFT, 36, "How wrong is the time, how long after?", 21, weight="bold")
    text(out, LEFT, 60, f"guests of stock Linux {kernel.release} under QEMU; error against the "
         "host's clock, without its sign, since the guest ran again", 14, colour=FAINT)
    legend(out, 88)
    width = (WIDTH - LEFT - RIGHT - BETWEEN * (len(scenarios) - 1)) / len(scenarios)
    height = HEIGHT - TOP - BOTTOM
    for i, (title, kinds) in enumerate(scenarios):
        panel = Panel(out, LEFT + i * (width + BETWEEN), TOP, width, height, TIMES)
        text(out, panel.x, TOP - 10, title, 15, weight="bold")
        panel.grid(True if i == 0 else False)
        out(f'<g clip-path="url(#clip{panel.number})">')
        for kind, clock, _, colour, stroke, dash in SERIES:
            if kind in kinds:
                panel.line(thin(kinds[kind][clock]), colour, stroke, dash)
        out("</g>")
        panel.frame()
    text(out, LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 14, "time since the guest ran again",
         13, "middle", FAINT)
    out("</svg>")
    return "\n".join(elements) + "\n"
