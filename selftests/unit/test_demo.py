#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The sums of the demo and the comparison, on guests whose every clock is known.

A made-up guest has a TSC, a migration and clocks with errors of our choice; what
the demo finds out from its samples must be those.  Then one thing at a time goes
wrong, and the claim about it must fail: no claim is there for show.
"""

import os
import pathlib
import random
import re
import sys
import types
import xml.dom.minidom

TOP = pathlib.Path(os.environ.get("TOP", pathlib.Path(__file__).resolve().parents[2]))
sys.path[:0] = [str(TOP / "selftests" / "qemu"), str(TOP / "demo")]

from ffdemo import claims, machine, measure, plot, sidebyside  # noqa: E402 (the path is first)
from ffdemo import svg, table, track    # noqa: E402
from lab.tap import Points      # noqa: E402

TICKS = 2.6                 # per ns
START = 1_800_000_000_000_000_000
STOPPED = 12_000_000_000    # ns after START
DOWN = 300_000_000
SECONDS = 32
TOLD = 30_000_000           # ns after the guest ran again
SYNC, UNRELIABLE = 2, 4


def guest_tsc(ns):
    """The guest's TSC ns after START; it stands still while the guest is stopped."""
    ran = ns if ns < STOPPED else max(STOPPED, ns - DOWN)
    return 1_000_000 + round(ran * TICKS)


def make(kind, noise=random.Random(1)):
    """A machine of that kind, and the rows its probe would have sent."""
    m = machine.Machine(None, kind, f"guest {kind}")
    before, after = m.truths[0], machine.Truth()
    m.truths.append(after)
    for ns in range(0, SECONDS * 10**9, 10**9):
        if STOPPED <= ns <= STOPPED + DOWN:
            continue
        truth = before if ns < STOPPED else after
        # an interrupted handshake now and then
        bound = 2e5 if noise.random() < 0.05 else 80.0
        truth.points.append((guest_tsc(ns), START + ns, bound))
    before.stopped_ns = START + STOPPED + 50_000
    after.resumed_ns = START + STOPPED + DOWN - 50_000
    m.migration = types.SimpleNamespace(total_ms=800)
    rows = []
    back = STOPPED + DOWN
    right = back + (TOLD + 10_000_000 if kind == "hosttime" else 200_000_000)
    for ns in list(range(0, STOPPED, 20_000_000)) + list(range(back + 7_000_000,
                                                               SECONDS * 10**9, 20_000_000)):
        migrated = ns > back
        good = not migrated or ns > right
        left = 0 if good and kind == "hosttime" else DOWN
        row = {"why": "t", "status": SYNC if good else UNRELIABLE, "epoch": 1 + migrated,
               "bound_ns": None if not good else 300 if kind == "hosttime" else 250_000,
               "sequence": int(migrated), "updates": 5 if not migrated else 6 if good else 5,
               "ntp_status": 0x40 if migrated else 1, "ntp_state": 0, "ntp_freq": 0,
               "ntp_offset": 0, "ntp_maxerror": 16_000_000 if migrated else 1000,
               "ntp_esterror": 100, "cancelled": int(migrated), "fired": 0, "fired_tsc": 0}
        host = START + ns
        values = {"realtime": host + 2000 - migrated * left,
                  "monotonic": host - START - migrated * DOWN,
                  "utc": host + 50 - (0 if good else DOWN), "tai": host,
                  "mono": host - START - migrated * DOWN, "diff": host - START - migrated * DOWN}
        values["page"] = values["utc"]
        for clock, value in values.items():
            row[clock] = value
            row[f"{clock}_tsc"] = guest_tsc(ns)
            row[f"{clock}_width"] = 200
        rows.append(row)
    if kind == "ffclock":
        # an exchange a second, 200 us there and back, the server's part 10 us of that
        m.stamps = "# Ta Tb Te Tf\n" + "".join(
            f"{guest_tsc(ns)} {(START + ns + 95000) // 10**9}."
            f"{(START + ns + 95000) % 10**9:09} {(START + ns + 105000) // 10**9}."
            f"{(START + ns + 105000) % 10**9:09} {guest_tsc(ns + 200000)}\n"
            for ns in range(back + 50_000_000, SECONDS * 10**9, 10**9))
    if kind == "hosttime":
        m.teller = types.SimpleNamespace(tellings=[(START + 10**9, 180)] + [
            (START + back + TOLD + i * 10**9, 180) for i in range(15)])
        m.record = machine.Record("1 vmclock inject vmclock 0x3 300000000 160 -3100 0 0 20000 1")
    if kind == "stock":
        for row in rows:
            for name in ("utc", "tai", "mono", "diff", "page", "status", "epoch", "bound_ns",
                         "sequence", "updates"):
                row[name] = None
    return m, rows


def of(rows, t):
    """The rows from t [s] after the migration on."""
    ns = STOPPED + DOWN + t * 1e9
    return [r for r in rows if r["monotonic"] is not None and r["realtime_tsc"] >= guest_tsc(ns)]


def shift(rows, t, clock, ns):
    for row in of(rows, t):
        row[clock] += ns


def put(rows, t, name, value):
    for row in of(rows, t):
        row[name] = value


# What goes wrong: guest, what is done to its rows or to it, the row of the claim.
FAULTS = (
    ("ffclock", "utc beyond its bound", lambda m, r: (
        shift(r, 5, "utc", 400_000), shift(r, 5, "page", 400_000)), {"bound", "utc"}),
    ("ffclock", "old data called good", lambda m, r: (
        put(r[:r.index(of(r, 0.1)[0])], 0, "status", SYNC),), {"status"}),
    ("ffclock", "never noticed", lambda m, r: put(r, 0, "sequence", 0), {"status", "sequence"}),
    ("ffclock", "noticed twice", lambda m, r: put(r, 3, "sequence", 2), {"sequence"}),
    ("ffclock", "mono steps back", lambda m, r: shift(r, 4, "mono", -40_000_000), {"mono"}),
    ("ffclock", "diff steps", lambda m, r: shift(r, 0, "diff", 100_000), {"diff"}),
    ("ffclock", "timer not cancelled", lambda m, r: put(r, 0, "cancelled", 0), {"cancelled"}),
    ("ffclock", "NTP not reset", lambda m, r: put(r, 0, "ntp_status", 1), {"ntp"}),
    ("ffclock", "NTP errors not reset", lambda m, r: put(r, 0, "ntp_maxerror", 1500), {"ntp"}),
    ("ffclock", "page is another clock", lambda m, r: shift(r, 5, "page", 5000), {"page"}),
    ("ffclock", "2 ms off after 3 s", lambda m, r: (
        put(r, 0, "bound_ns", 10**7), shift(r, 3, "utc", 2_000_000),
        shift(r, 3, "page", 2_000_000)), {"utc"}),
    ("ffclock", "no exchange after the migration", lambda m, r: setattr(m, "stamps", ""),
     {"utc"}),
    ("ffclock", "never good again", lambda m, r: put(r, 0, "status", UNRELIABLE),
     {"bound"}),
    ("hosttime", "utc 2 us off", lambda m, r: (
        put(r, 0, "bound_ns", 10**4), shift(r, 1, "utc", 2000), shift(r, 1, "page", 2000)),
     {"utc"}),
    ("hosttime", "late by a quarter second", lambda m, r: (
        put(r[:r.index(of(r, 0.3)[0])], 0, "status", UNRELIABLE),
        put(r[:r.index(of(r, 0.3)[0])], 0, "updates", 5),
        shift(r[:r.index(of(r, 0.3)[0])], 0.045, "utc", -DOWN)), {"utc"}),
    ("hosttime", "CLOCK_REALTIME set wrong", lambda m, r: shift(r, 0, "realtime", 50_000),
     {"realtime"}),
    ("hosttime", "CLOCK_REALTIME not set", lambda m, r: shift(r, 0.04, "realtime", -DOWN),
     {"realtime"}),
)


def failed_rows(tracks):
    return {(r.kind, r.row) for r in claims.check(tracks) if not r.good}


def test_sums(tap, tracks):
    for t in tracks:
        tap.ok(abs(t.downtime_ns - DOWN) < 2 * t.switch_bound_ns + 1000 and
               t.switch_bound_ns < 60_000, f"{t.machine.kind}: downtime found",
               f"{t.downtime_ns} +- {t.switch_bound_ns}")
        late = [p for p in t.points if p.t > 1]
        tap.ok(all(abs(p.error["realtime"] - 2000 + (DOWN if t.machine.kind != "hosttime"
                                                     else 0)) < 10 for p in late),
               f"{t.machine.kind}: error of CLOCK_REALTIME found")
        tap.ok(all(abs(p.error["monotonic"] + DOWN) < 10 for p in late),
               f"{t.machine.kind}: what CLOCK_MONOTONIC lost found")
    ntp = tracks[1]
    rtts = [e.rtt_ns for e in ntp.exchanges]
    tap.ok(rtts and all(abs(r - 190_000) < 10 for r in rtts), "round trips found",
           f"{rtts[:3]}")
    tap.ok(abs(ntp.exchanges[0].t - 0.0502) < 0.001, "time of an exchange found")
    tap.ok(abs(ntp.knowable(0.5) - (95_000 + 0.4498 * 100_000)) < 100,
           "what an exchange tells ages", f"{ntp.knowable(0.5)}")
    tap.ok(ntp.knowable(0.01) is None, "nothing is known before the first exchange")
    tap.ok(abs(ntp.pause(0, 2) - 0.020) < 0.001, "pause between samples found")


def test_faults(tap):
    for kind, what, break_it, rows_of_claims in FAULTS:
        m, rows = make(kind)
        break_it(m, rows)
        failed = {row for _, row in failed_rows([track.Track(m, rows)])}
        tap.ok(failed == rows_of_claims, f"{kind}: {what}: fails {', '.join(sorted(failed))}",
               f"wanted {sorted(rows_of_claims)}")


def test_noise(tap):
    """What a busy machine does is no fault of the clock's."""
    m, rows = make("ffclock")
    # every exchange took 40 ms, and the clock is off by a half of the half of that
    m.stamps = re.sub(r"\d+$", lambda x: str(int(x.group()) + round(39.8e6 * TICKS)), m.stamps,
                      flags=re.M)
    put(rows, 0.25, "bound_ns", 25_000_000)
    shift(rows, 0.25, "utc", 10_000_000)
    shift(rows, 0.25, "page", 10_000_000)
    tap.ok(not failed_rows([track.Track(m, rows)]), "slow exchanges excuse what they explain")
    shift(rows, 0.25, "utc", 12_000_000)
    shift(rows, 0.25, "page", 12_000_000)
    tap.ok(failed_rows([track.Track(m, rows)]) == {("ffclock", "utc")}, "and nothing more")

    m, rows = make("hosttime")
    silent = slice(len(rows) - len(of(rows, 0.02)), len(rows) - len(of(rows, 0.4)))
    del rows[silent]
    tap.ok(not failed_rows([track.Track(m, rows)]), "a guest that did not run could not be right")

    m, rows = make("hosttime")
    m.teller.tellings = [(ns, 50_000) for ns, _ in m.teller.tellings]
    put(rows, 0.045, "bound_ns", 60_000)
    shift(rows, 1, "utc", 40_000)
    shift(rows, 1, "page", 40_000)
    tap.ok(not failed_rows([track.Track(m, rows)]), "what the host did not know excuses the guest")


def test_output(tap, tracks):
    kernel = types.SimpleNamespace(release="6.12.0-test")
    for m in (t.machine for t in tracks):
        m.live = m.live or make(m.kind)[1][-1]
    results = claims.check(tracks)
    text = table.render(tracks, results, kernel) + "\n".join(
        line for t in tracks[1:] for line in table.readings(t.machine))
    wide = [line for line in text.splitlines() if len(line) > table.WIDTH]
    tap.ok(table.WIDTH <= 100 and not wide, "table is no wider than 100 columns",
           "\n".join(wide))
    tap.ok(f"{len(results)} of {len(results)} claims hold" in text, "table counts the claims")
    tap.ok("FAIL" in table.render(tracks, [claims.Result("ffclock", "utc", "a", False, "b")],
                                  kernel), "table shows a failed claim")
    picture = xml.dom.minidom.parseString(svg.render(tracks, kernel))
    tap.ok(len(picture.getElementsByTagName("clipPath")) == 2 * len(tracks),
           "picture is well-formed, two panels a guest")
    points = [float(y) for path in picture.getElementsByTagName("path")
              for y in re.findall(r",(-?[\d.]+)", path.getAttribute("d"))]
    height = float(picture.documentElement.getAttribute("height"))
    tap.ok(points and all(0 <= y <= height for y in points), "picture has its lines inside")
    raw = table.raw(tracks, results, kernel)
    tap.ok(len(raw["guests"][1]["points"]) == len(tracks[1].points), "raw data has every sample")


def test_measure(tap):
    """The comparison's figures."""
    m, rows = make("stock")
    back = STOPPED + DOWN
    # its clock comes back at 8 % of the rate, from 1 s on
    for row in of(rows, 1):
        gain = min(DOWN, 0.08 * ((row["realtime_tsc"] - guest_tsc(back)) / TICKS - 1e9))
        row["realtime"] += round(gain)
        row["monotonic"] += round(gain)
    # an echo every 20 ms, none for 100 ms after the guest runs again; one sent again
    notes = [f"e {guest_tsc(ns)} {guest_tsc(ns - 1_000_000)}" for ns in
             list(range(10**9, STOPPED, 20_000_000)) +
             list(range(back + 100_000_000, 20 * 10**9, 20_000_000))]
    notes += [f"i {guest_tsc(ns)} {3 + (ns > back)} 800 204000 1" for ns in
              range(10**9, 20 * 10**9, 100_000_000)]
    # set before, for half a second after; its clock is behind by the downtime
    fired = back + 500_000_000 + DOWN
    for row in of(rows, 0.5 + DOWN / 1e9):
        row["fired"], row["fired_tsc"] = 1, guest_tsc(fired)
    t = track.Track(m, rows)
    f = measure.measure(t, "\n".join(notes) + "\ne 12", (START + 10**9, START + back + 500_000_000))
    tap.ok(abs(f["alarm"]["late_s"] - DOWN / 1e9) < 1e-3, "absolute timer: as late as the clock",
           f["alarm"])
    tap.ok(abs(f["monotonic_ppm"] - 80_000) < 100, "CLOCK_MONOTONIC's worst rate found",
           f["monotonic_ppm"])
    tap.ok(abs(f["realtime"]["back_s"][1_000_000] - (1 + (DOWN - 1.0e6) / 0.08e9)) < 0.1,
           "when CLOCK_REALTIME was back found", f["realtime"]["back_s"])
    tap.ok(f["utc"] is None and f["sequence"] is None, "what is not there has no figure")
    tcp = f["tcp"]
    # from the last echo before the stop to the first one after it
    tap.ok(tcp["alive"] and abs(tcp["stall_s"] - (DOWN / 1e9 + 0.1 + 0.02)) < 0.001,
           "TCP: stall found", tcp)
    tap.ok(tcp["resent"] == 1 and tcp["timestamps"] and abs(tcp["answer_s"] - 0.1) < 0.001,
           "TCP: segments sent again, first answer", tcp)
    lost = measure.traffic(t, "\n".join(notes + [f"x {guest_tsc(back + 10**9)} Broken pipe"]))
    tap.ok(not measure.tcp(lost, t.downtime_ns / 1e9)["alive"], "TCP: a lost connection is lost")

    m, rows = make("stock")
    for row in of(rows, 0.010):
        row["fired"], row["fired_tsc"] = 1, guest_tsc(back + 8_000_000)
    t = track.Track(m, rows)
    late = measure.alarm(t, START + 10**9, START + STOPPED + 10**8)["late_s"]
    tap.ok(abs(late - 0.008) < 1e-4, "a timer due while stopped is on time at the first tick", late)
    never = measure.alarm(t, START + 25 * 10**9, START + 26 * 10**9)["late_s"]
    tap.ok(never is None, "an earlier timer is not taken for a later one", never)

    figures, lines = [], {}
    for kind, name in (("stock", "none"), ("stock", "stock"), ("stock", "step"),
                       ("stock", "agent"), ("ffclock", "ffclock"), ("hosttime", "hosttime")):
        m, rows = make(kind)
        m.kind = name
        t = track.Track(m, rows)
        figures.append(measure.measure(t, "\n".join(notes), (START + 10**9, START + back)))
        figures[-1]["tcp"]["peer_resent"] = 2
        lines[name] = measure.lines(t)
    kernel = types.SimpleNamespace(release="6.12.0-test")
    text = sidebyside.render([("one", figures), ("two", figures)], kernel, 1.0, 2)
    tap.ok(max(map(len, text.splitlines())) <= 100, "comparison is no wider than 100 columns")
    tap.ok(re.search(r"^  no answer for( +420 ms){6}$", text, re.M),
           "comparison says what was measured", text)
    picture = xml.dom.minidom.parseString(plot.render([("one", lines), ("two", lines)], kernel))
    tap.ok(len(picture.getElementsByTagName("path")) >= 2 * len(plot.SERIES),
           "comparison's picture has all lines")


def main():
    tap = Points()
    made = [make(kind) for kind in ("stock", "ffclock", "hosttime")]
    tracks = [track.Track(*x) for x in made]
    test_sums(tap, tracks)
    failed = [r for r in claims.check(tracks) if not r.good]
    tap.ok(not failed, "all claims hold of good clocks",
           "\n".join(f"{r.kind} {r.row}: {r.text}: {r.seen}" for r in failed))
    test_faults(tap)
    test_noise(tap)
    test_output(tap, tracks)
    test_measure(tap)
    print(f"1..{tap.points}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
