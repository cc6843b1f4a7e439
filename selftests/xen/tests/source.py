# SPDX-License-Identifier: GPL-2.0-only
"""ffclockd in a guest, with Dom0's record in Xenstore as its source; and in Dom0."""

import json
import time

CONF = ("xenstore /dev/xen/xenbus\\ncounter device\\noutput none\\ncontrol /tmp/sock\\n"
        "state none\\n")
START = (f"printf '{CONF}' > /tmp/ffclockd.conf; "
         "(ffclockd -d -c /tmp/ffclockd.conf > /tmp/ffclockd.log 2>&1 < /dev/null &); true")
STOP = "kill $(pidof ffclockd)"


def source(h, name):
    """The source as "ffclock sources" has it; {} while nobody answers."""
    _, text = h.guest_try(name, "ffclock sources --json --socket /tmp/sock")
    try:
        return json.loads(text[text.index("{"):text.rindex("}") + 1])["sources"][0]
    except (ValueError, KeyError, IndexError):
        return {}


def said(t, h, name, text, seconds=60):
    """Wait for words in the daemon's log."""
    deadline = time.monotonic() + seconds
    while h.guest_try(name, f"grep -q '{text}' /tmp/ffclockd.log")[0]:
        if time.monotonic() > deadline:
            t.diag(h.guest_try(name, "tail -n 10 /tmp/ffclockd.log")[1])
            return False
        time.sleep(1)
    return True


def run(t):
    h = t.host(dom0="clocksource=xen", memory=1792)
    t.dom0(h)
    h.create("pv1")
    h.guest("pv1", "modprobe ffclock")
    h.guest("pv1", START)
    t.ok(said(t, h, "pv1", "Dom0 tells no clock"), "without a record: told")
    h.sh("xenclk set 0 1000 16")
    deadline = time.monotonic() + 90
    while (s := source(h, "pv1")).get("state") != "used" and time.monotonic() < deadline:
        time.sleep(1)
    t.ok(s.get("state") == "used" and s.get("refid") == "58454E53",
         f"the record is used: {s.get('good')} stamps, bound {s.get('bound_ns')} ns")
    t.diag(h.guest_try("pv1", "tail -n 6 /tmp/ffclockd.log")[1])

    # the daemon's clock at a counter value, and the record's there
    _, text = h.guest_try("pv1", "ffclock tracking --json --socket /tmp/sock")
    track = json.loads(text[text.index("{"):text.rindex("}") + 1])
    record = t.record(h)
    sec, frac = track["time"].split(".")
    off = int(sec) * 10**9 + int(frac) - record.at(int(track["counter_value"]))
    t.ok(abs(off) <= track["bound_ns"], f"its clock is Dom0's at the same counter value: {off} ns "
         f"apart, bound {track['bound_ns']} ns")

    h.guest("pv1", "modprobe ffclock_xen")
    t.ok(said(t, h, "pv1", "ffclock_xen has the kernel.s clocks follow Dom0"),
         "ffclock_xen follows: ffclockd leaves it to that")
    h.guest("pv1", STOP)

    h.sh(START)
    deadline = time.monotonic() + 30
    while "this is Dom0" not in (log := h.sh("cat /tmp/ffclockd.log", check=False)) and \
            time.monotonic() < deadline:
        time.sleep(1)
    t.ok("this is Dom0" in log, "in Dom0: refused")
    fds = h.sh("ls -l /proc/$(pidof ffclockd)/fd", check=False)
    t.ok("xenbus" not in fds, "and the device is not kept open")
    h.sh(STOP)
