# SPDX-License-Identifier: GPL-2.0-only
"""The comparison's table: a column for each guest."""

from .measure import INSTANTS, LIMITS
from .table import span, unsigned

NAME, CELL = 22, 13
WIDTH = NAME + 6 * CELL     # 100

HEADS = {"none": "no daemon", "stock": "chrony", "step": "chrony step", "agent": "guest agent",
         "ffclock": "ffclock NTP", "hosttime": "ffclock host"}
KEY = (
    ("no daemon", "nothing sets or disciplines the clock"),
    ("chrony", "chronyd, Debian's makestep 1 3, a poll each second"),
    ("chrony step", "the same with makestep 0.001 -1: steps whenever it is off by 1 ms"),
    ("guest agent", "no NTP; the host calls guest-set-time as soon as the guest runs again"),
    ("ffclock NTP", "ffclock, ffclock_vmclock (the marker), ffclockd, a poll each second"),
    ("ffclock host", "ffclock, ffclock_vmclock, the host's time on the VMClock page; no daemon"),
)


def when(seconds):
    """A time since the guest ran again."""
    if seconds is None:
        return "not yet"
    return f"{seconds * 1e3:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def name_of(ns):
    return {10**6: "1 ms", 10**5: "100 us", 10**4: "10 us"}[ns]


def clock_rows(key, name, status=False):
    def cell(get):
        return lambda f: "-" if f[key] is None else get(f[key])

    yield f"{name}", None
    yield "  before", cell(lambda c: span(c["before_ns"]))
    yield "  1st read", cell(lambda c: span(c["first_ns"]))
    if status:
        yield "    and it says", lambda f: f["utc_status"] or "-"
    for t in INSTANTS:
        yield f"  +{t:.0f} s", cell(lambda c, t=t: span(c["at_ns"][t]))
    for limit in LIMITS:
        yield f"  {name_of(limit)} after", cell(lambda c, n=limit: when(c["back_s"][n]))


def ntp_word(n):
    return "sync" if n["synchronised"] else "unsync"


def alarm(f):
    late = f["alarm"]["late_s"]
    if f["alarm"]["due_s"] < -f["stopped_s"]:
        return "?"
    return "not yet" if late is None else f"{late * 1e3:+.0f} ms" if abs(late) < 1 \
        else f"{late:+.1f} s"


def connection(f):
    t = f["tcp"]
    if t["lost"] or not t["alive"]:
        return "lost"
    return "lives" + ("" if t["timestamps"] else ", no TS")


def resent(f):
    guest, peer = f["tcp"]["resent"], f["tcp"].get("peer_resent")
    return "/".join("?" if n is None else str(n) for n in (guest, peer))


def rows():
    """(name, function of a guest's figures; None: a heading)"""
    yield "stopped for", lambda f: when(f["stopped_s"])
    yield "1st read after", lambda f: when(f["first_read_s"])
    yield from clock_rows("realtime", "CLOCK_REALTIME")
    yield from clock_rows("utc", "ff utc", status=True)
    yield "CLOCK_MONOTONIC", None
    yield "  1st read, gained", lambda f: span(f["monotonic_first_ns"])
    yield "  at the end", lambda f: span(f["monotonic_last_ns"])
    yield "  worst rate", lambda f: f"{f['monotonic_ppm']:+.0f} ppm"
    yield "CANCEL_ON_SET timer", None
    yield "  cancelled", lambda f: f"{f['cancelled']}x"
    yield "  first after", lambda f: "never" if not f["cancelled"] else when(f["cancelled_s"])
    yield "absolute timer late", alarm
    yield "TCP connection", connection
    yield "  no answer for", lambda f: when(f["tcp"]["stall_s"])
    yield "  answer after", lambda f: when(f["tcp"]["answer_s"])
    yield "  resent guest/peer", resent
    yield "kernel's NTP", None
    yield "  before", lambda f: ntp_word(f["ntp_before"])
    yield "  1st read", lambda f: ntp_word(f["ntp_first"])
    yield "    its esterror", lambda f: unsigned(f["ntp_first"]["esterror_us"] * 1e3)
    yield "    its frequency", lambda f: f"{f['ntp_first']['frequency_ppm']:+.1f} ppm"
    yield "  at the end", lambda f: ntp_word(f["ntp_last"])
    yield "    its esterror", lambda f: unsigned(f["ntp_last"]["esterror_us"] * 1e3)
    yield "    its frequency", lambda f: f"{f['ntp_last']['frequency_ppm']:+.1f} ppm"


def table(title, figures):
    """figures: of each guest, in order."""
    out = [title, " " * NAME + "".join(f"{HEADS[f['kind']]:>{CELL}}" for f in figures)]
    for name, cell in rows():
        out.append(f"{name:<{NAME}}" + ("" if cell is None else "".join(
            f"{cell(f):>{CELL}}" for f in figures)))
    return [line.rstrip() for line in out]


def render(scenarios, kernel, load, processors):
    """scenarios: [(title, figures)]"""
    out = [f"Side by side, Linux {kernel.release}; errors against the host's CLOCK_REALTIME, "
           "- is behind",
           "Times: after the guest ran again.  'not yet': not until the end of "
           "the watch.", ""]
    out += [f"{name:<14}{what}" for name, what in KEY] + [""]
    for title, figures in scenarios:
        watched = min(f["watched_s"] for f in figures)
        out += table(f"{title}; watched for {watched:.0f} s or more", figures) + [""]
    out.append(f"The machine's load was {load:.1f} on {processors} processors.")
    return "\n".join(out)
