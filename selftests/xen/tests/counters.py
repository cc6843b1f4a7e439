# SPDX-License-Identifier: GPL-2.0-only
"""Xen system time, TSC, HPET and PM timer in Dom0: rate, noise, cost of a read.

Numbers of an emulator: they say how the counters relate, not what hardware costs.
"""

from xenlab import part

# Counts a second: the HPET is told by dom0's log, the PM timer's is ACPI's
PM_HZ = 3579545


def unwrap(values, bits):
    out, turns = [], 0
    for i, v in enumerate(values):
        if i and v < values[i - 1]:
            turns += 1 << bits
        out.append(v + turns)
    return out


def fit(x, y):
    """Least squares y = a + b x; (b, residuals)."""
    n = len(x)
    mx, my = sum(x) / n, sum(y) / n
    sxx = sum((u - mx) ** 2 for u in x)
    b = sum((u - mx) * (v - my) for u, v in zip(x, y)) / sxx
    return b, [v - my - b * (u - mx) for u, v in zip(x, y)]


def spread(residuals):
    """Interquartile range and largest, in the residuals' unit."""
    s = sorted(abs(r) for r in residuals)
    q = sorted(residuals)
    return q[3 * len(q) // 4] - q[len(q) // 4], s[-1]


def run(t):
    h = t.host(dom0="clocksource=xen", memory=1024)
    h.sh("modprobe ffclock")
    platform = h.sh("xl dmesg | grep -i 'platform timer'; cat /sys/devices/system/clocksource/"
                    "clocksource0/available_clocksource")
    t.diag(platform)
    hpet = h.sh("xl dmesg | sed -n 's/.*HPET id: .* base: \\(0x[0-9a-f]*\\).*/\\1/p'").strip()
    pm = h.sh("xl dmesg | sed -n 's/.*PM-Timer IO Port: \\(0x[0-9a-f]*\\).*/\\1/p'").strip()
    t.ok("hpet" not in platform.splitlines()[-1],
         "Linux in Dom0 is not given the HPET as a clocksource: Xen keeps it")
    code, lines = h.output(300, f"xenclk counters 1500 {hpet or 0} {pm or 0} 2>&1")
    if code and hpet:
        t.skip("HPET read from Dom0 through /dev/mem", f"refused: {lines[-1:]}")
        hpet = ""
        code, lines = h.output(300, f"xenclk counters 1500 0 {pm or 0} 2>&1")
    rows = [[int(w) for w in line.split()[1:]] for line in lines if line.startswith("pair ")]
    t.ok(code == 0 and len(rows) == 1500, f"{len(rows)} readings of every counter")
    (t.workdir / "counters.log").write_text("\n".join(lines))

    khz = float(h.sh("dmesg | sed -n 's/.*tsc: Detected \\([0-9.]*\\) MHz.*/\\1/p' | tail -n 1")) * 1e3
    columns = {"Xen system time": (0, 1, 2, 64, 1e9)}
    if hpet:
        columns["HPET"] = (2, 3, 4, 32, 100e6)
    if pm:
        columns["PM timer"] = (4, 5, 6, 24, PM_HZ)
    slopes = {}
    for name, (before, value, after, bits, hz) in columns.items():
        values = unwrap([r[value] for r in rows], bits)
        if len(set(values)) == 1:
            t.skip(f"{name} read from Dom0", f"Xen keeps it to itself: every reading is "
                   f"{rows[0][value]:#x}")
            continue
        # the quarter that was read in the shortest time
        order = sorted(range(len(rows)), key=lambda i: rows[i][after] - rows[i][before])
        best = sorted(order[:len(rows) // 4])
        x = [(rows[i][before] + rows[i][after]) / 2 / khz * 1e6 for i in best]
        y = [values[i] / hz * 1e9 for i in best]
        slope, rest = fit(x, y)
        iqr, worst = spread(rest)
        widest = rows[order[len(best) - 1]]
        width = (widest[after] - widest[before]) / khz * 1e6
        slopes[name] = slope
        t.diag(f"{name} against the TSC: {(slope - 1) * 1e6:+.3f} ppm, residual IQR {iqr:.0f} ns, "
               f"largest {worst:.0f} ns, read within {width:.0f} ns")
        t.ok(abs(slope - 1) < 1e-3 and all(a < b for a, b in zip(values, values[1:])),
             f"{name} runs at its rate, and forwards")
    if "HPET" in slopes:
        seconds = (rows[-1][0] - rows[0][0]) / khz / 1e3
        t.diag("Xen system time against the HPET, its platform timer: "
               f"{(slopes['Xen system time'] / slopes['HPET'] - 1) * 1e9:+.1f} ppb in "
               f"{seconds:.0f} s")
    t.diag("ns a read: " + ", ".join(f"{k} {v:.0f}" for k, v in
                                     part.costs("\n".join(lines)).items()))
