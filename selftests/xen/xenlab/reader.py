# SPDX-License-Identifier: GPL-2.0-only
"""A reader that runs in a guest all the time, and what is said of its log.

The guest's counter is the raw counter plus a constant for each epoch, so every
reading has a place in Xen system time of the host that the guest was on, and can
be compared with what that host's records say of that instant.
"""

import bisect
import dataclasses
import re
import socket
import threading
import zlib

from lab.vm import GuestError

from . import move, part

LOG = "/tmp/reader.log"
RECORDS = "/tmp/records"


@dataclasses.dataclass(frozen=True)
class Stay:
    """A stretch of the log in which the guest did not move."""

    host: str
    offset: int         # guest's counter - Xen system time
    records: list


def keep_records(h):
    """Have dom0 append every record of its clock to a file."""
    h.sh(f"(xenclk records {RECORDS} >/dev/null 2>&1 </dev/null &)")


def records(h):
    return [part.Record.parse(line) for line in fetch(h, RECORDS).splitlines()
            if line.startswith("ffclock/1")]


def offset(h, name):
    """The guest's counter minus Xen system time, in the present epoch."""
    while True:
        before = part.status(h.guest(name, f"cat {part.SYSFS}/status"))["sequence"]
        text = h.guest(name, f"xenclk snap; cat {part.SYSFS}/record")
        record = part.Record.parse(next(l for l in text.splitlines()
                                        if l.startswith("ffclock/1")))
        estimate = part.snap(text)[1]
        if record.utc == estimate.utc and int(before) <= record.seq:
            return estimate.counter - record.xen[0]


def start(h, name, interval_us=4000, seconds=3600):
    h.guest(name, f"xenclk log {LOG} {interval_us} {seconds} >/dev/null 2>&1 </dev/null &")


def fetch(h, path):
    """A file of dom0, over the network: the serial port takes minutes."""
    got = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        server.settimeout(120)

        def take():
            conn, _ = server.accept()
            with conn:
                while data := conn.recv(65536):
                    got.append(data)

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        h.sh(f"gzip -c {path} | nc 10.0.2.2 {server.getsockname()[1]}")
        thread.join(120)
    return zlib.decompress(b"".join(got), 31).decode(errors="replace")


def guest_file(h, name, path):
    """A file of a guest with a network card, by way of dom0."""
    # The listener's standard input stays open: at its end busybox's nc says good-bye,
    # and the guest's leaves with what it still has.
    h.sh("rm -f /tmp/got*; (sleep 300 | { nc -l -p 9000 > /tmp/got.gz; touch /tmp/got.done; }) "
         ">/dev/null 2>&1 & usleep 500000")
    h.guest(name, f"gzip -c {path} > /tmp/sent.gz; for i in 1 2 3 4 5 6; do "
            f"nc {move.DOM0[h.name]} 9000 < /tmp/sent.gz && break; sleep 1; done")
    h.sh("for i in $(seq 120); do [ -e /tmp/got.done ] && break; usleep 500000; done; "
         "gunzip -f /tmp/got.gz")
    return fetch(h, "/tmp/got")


def finish(t, h, name):
    """End the reader; its log, also left in the test's folder."""
    h.guest(name, "kill $(pidof xenclk)")
    text = guest_file(h, name, LOG)
    (t.workdir / f"{name}.reader.log").write_text(text)
    return text


def parse(text):
    """([Row], [what went back]); the last line may be cut off."""
    rows, back = [], []
    for line in text.splitlines():
        if line.startswith("clk ") and len(line.split()) == 12:
            rows.append(part.Row.parse(line))
        elif line.startswith("back "):
            back.append(line)
    return rows, back


def split(rows, stays):
    """Rows by stay: an epoch that a disruption begins is the next one's."""
    epochs = sorted({r.epoch for r in rows})
    if len(epochs) != len(stays):
        raise GuestError(f"the reader saw epochs {epochs}, expected {len(stays)}")
    return [[r for r in rows if r.epoch == e] for e in epochs]


def error(row, stay):
    """The guest's clock minus that of the host's record nearest to it, in ns."""
    return min((row.utc - r.at(row.counter - stay.offset) for r in stay.records), key=abs)


def against_host(row, stay):
    """The guest's clock minus what Dom0's own clock says at that instant, in ns.

    Other than error(), this has in it the time that an update needs to reach the guest.
    """
    raw = row.counter - stay.offset
    number = bisect.bisect_right(stay.records, raw, key=lambda r: r.xen[0])
    return row.utc - stay.records[max(number - 1, 0)].at(raw)


def judge(t, text, stays):
    """Assert what must hold of a reader's log.  stays: (host, offset, records)."""
    stays = [Stay(*s) for s in stays]
    rows, back = parse(text)
    for line in back[:10]:
        t.diag(line)
    t.ok(not back, "counter, mono, diff, CLOCK_MONOTONIC, RAW and BOOTTIME never go back")
    parts = split(rows, stays)
    for number, (stay, own) in enumerate(zip(stays, parts)):
        good = [r for r in own if r.status == 2]
        worst = max((abs(error(r, stay)) for r in good), default=None)
        t.ok(good and worst < 1000,
             f"stay {number} (host {stay.host}): {len(good)} synchronised readings of "
             f"{len(own)} logged are its host's clock, within {worst} ns")
        behind = sorted(abs(against_host(r, stay)) for r in good)
        if behind:
            t.diag(f"stay {number}: from what Dom0 says at the same instant, updates under way: "
                   f"median {behind[len(behind) // 2]} ns, largest {behind[-1]} ns")
        if not number:
            continue
        old = stays[number - 1]
        first = own[0]
        # the watch may have fired before the reader was thawed
        t.diag(f"stay {number}: status of the first reading: {first.status}")
        claims = [r for r in own if r.status == 2 and abs(error(r, stay)) >= 1000]
        t.ok(not claims, f"stay {number}: from the first reading on, the clock is the new host's "
             "or says that it is not to be used")
        # what the old host's parameters would have said of this instant
        wrong = [r for r in good if old.records[-1].host != stay.records[-1].host and
                 min(abs(r.utc - x.at(r.counter - old.offset)) for x in old.records) < 1000]
        t.ok(not wrong, f"stay {number}: no reading by the old host's parameters")
        last = parts[number - 1][-1]
        ahead = next((r for r in own if r.status == 2), None)
        if ahead:
            t.diag(f"stay {number}: synchronised {(ahead.raw - first.raw) / 1e6:.1f} ms after the "
                   f"first reading; counter saw {(first.counter - last.counter) / 1e6:.1f} ms of "
                   f"a pause of {(ahead.utc - last.utc - (ahead.counter - first.counter)) / 1e6:.0f}"
                   f" ms; CLOCK_REALTIME is off by "
                   f"{(ahead.realtime - ahead.utc) / 1e6:.1f} ms")
    return rows


def dmesg_forward(t, h, name):
    """The stamps of the kernel's log come from sched_clock."""
    stamps = [float(m) for m in re.findall(r"^\[ *(\d+\.\d+)\]",
                                           h.guest(name, "dmesg | tail -n 25"), re.M)]
    steps = [b - a for a, b in zip(stamps, stamps[1:])]
    t.ok(len(steps) > 5 and min(steps) >= 0 and stamps[-1] < 1e6,
         f"{name}: times in dmesg never go back, the last is {stamps[-1]:.1f} s")
