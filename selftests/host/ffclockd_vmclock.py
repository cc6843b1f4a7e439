# SPDX-License-Identifier: GPL-2.0-only
# lab: machine=pc,aux-ram-share=on hosttime=1 timeout=300 qemu="-object memory-backend-file,id=vmc,mem-path=vmclock.page,size=4096,share=on -device ivshmem-plain,memdev=vmc,master=on,id=vmcpage"
"""ffclockd follows a VMClock page, without the module that would do it in the kernel.

Where the stock kernel has ptp_vmclock it is /dev/vmclock0, elsewhere the BAR of an
ivshmem device.  The guest's clock is compared with the host's, on both sides of a live
migration; a page that has moved and not been written is not believed; with
ffclock_vmclock, that follows the host in the kernel, ffclockd stands back.
"""

import json
import time

import vmclockpage
from lab import hosttime

NOT_TOLD = "the host has not told the time since the machine was moved"


class Side:
    """The guest, through its shell."""

    def __init__(self, t):
        self.t = t
        t.serve("sh $LAB_LIB/vmclockd.sh")
        self.kind, self.page = t.expect(r"^vmclockd: page (\w+) (\S+)", 60).groups()
        t.diag(f"page: {self.page}")

    def sh(self, command, timeout=30):
        """(exit code, lines); the serial port loses what comes while the guest sleeps."""
        self.t.send(command)
        lines = []
        while not (line := self.t.line(timeout)).startswith("done "):
            lines.append(line)
        return int(line.split()[1]), lines

    def json(self, command):
        _, lines = self.sh(command)     # the code says how good the clock is
        try:
            return json.loads("".join(lines))
        except ValueError:
            return {}

    def read(self):
        return self.json("ffclock -j read utc")

    def source(self):
        found = self.json("ffclock sources --json --socket /tmp/sock")
        return (found.get("sources") or [{}])[0]

    def said(self, text):
        return not self.sh(f"grep -q '{text}' /tmp/log")[0]

    def wait(self, condition, timeout=60):
        met = vmclockpage.wait_until(condition, timeout, 0.5)
        if not met:
            for line in self.sh("tail -n 20 /tmp/log")[1]:
                self.t.diag(line)
        return met

    def right(self, seconds=0):
        """Is the error within the bound, each time?  (all of them, worst, its bound)"""
        worst, worst_bound, held, count = 0, 0, True, 0
        deadline = time.monotonic() + seconds
        while True:
            s = min(hosttime.sample(self.t.guest, 3, 0, 500), key=lambda s: s.bound_ns)
            r = self.read()
            count += 1
            held &= r.get("bound_ns") is not None and \
                abs(s.difference_ns) <= r["bound_ns"] + s.bound_ns
            if abs(s.difference_ns) >= abs(worst):
                worst, worst_bound = s.difference_ns, r.get("bound_ns")
            if time.monotonic() >= deadline:
                break
            time.sleep(1)
        self.t.diag(f"{count} samples: worst error {worst} ns, bound then {worst_bound} ns, "
                    f"sampled to {s.bound_ns:.0f} ns")
        return held

    def usable(self):
        return self.read().get("status") in ("synchronized", "initializing")


def page_path(side, guest):
    return vmclockpage.memfd(guest.process.pid) if side.kind == "device" else \
        guest.workdir / "vmclock.page"


def run(t):
    # an ivshmem page has to be one before the guest looks
    ivshmem = t.guest.workdir / "vmclock.page"
    with vmclockpage.Teller(ivshmem, t.guest.shm) as teller:
        teller.command("format")
    side = Side(t)
    path = page_path(side, t.guest)
    page = vmclockpage.Page(path)
    t.send("begin")
    t.expect("vmclockd: serving")
    teller = vmclockpage.Teller(path, t.guest.shm)

    t.ok(side.wait(lambda: side.said("tells no time that can be used"), 20),
         "a page with a marker only: told")
    teller.tell()
    t.ok(side.wait(side.usable), "a clock from the page")
    t.ok(side.right(10), "error within the bound")
    s = side.source()
    t.ok(s.get("refid") == "564D434C" and s.get("reach", 0) & 1 and s.get("state") == "used",
         f"sources: {s.get('name')}, refid {s.get('refid')}, reach {s.get('reach')}, "
         f"{s.get('state')}, bound {s.get('bound_ns')} ns")

    # the host is off by 10 ms, and says so
    teller.tell(10000000, 15000000)
    t.ok(side.wait(lambda: side.source().get("bound_ns", 0) > 1e7, 20),
         "the host's own bound is in ours")
    told = teller.tell()["maxerror_ns"]
    # a line that was never seen under the old marker passes for the new host's
    t.ok(side.wait(lambda: side.source().get("bound_ns", 1e9) < told + 2e5, 20),
         f"and goes with it, to {told} ns")

    page.disrupt()
    t.ok(side.wait(lambda: side.said("disruption marker is another one"), 20) and
         side.wait(lambda: side.said(NOT_TOLD), 20),
         "a new marker: all begins anew, the old line is not believed")
    teller.tell()
    t.ok(side.wait(lambda: side.source().get("state") == "used") and side.right(),
         "the new line is")

    page.seq_count = page.seq_count | 1
    t.ok(side.wait(lambda: side.said("does not end its update"), 20), "a wedged writer: told")
    teller.tell()
    t.ok(side.wait(lambda: side.source().get("reach", 0) & 1, 20), "and when it goes on, so do we")

    # the other host; nothing in the guest's kernel knows of it
    restarts = side.source()["restarts"]
    side.sh(": > /tmp/log")
    teller.command("withdraw")
    rate, new = teller.rate, None

    def spawned(dest):
        nonlocal new
        new = vmclockpage.Teller(page_path(side, dest), dest.shm, rate)
        new.begin("tell" if side.kind == "device" else "moved")

    m = t.migrate(spawned=spawned)
    new.end()
    teller.close()
    teller = new
    time.sleep(1)
    # what the serial port lost while the guest slept: begin at a clean line
    t.send("")
    t.send("echo back")
    t.expect("^back", 60)
    t.line()
    t.ok(side.wait(lambda: side.source().get("restarts", 0) > restarts) and
         side.wait(lambda: side.source().get("state") == "used"),
         f"live migration, {m.downtime_ms} ms down: begun anew")
    t.ok(side.right(5), "error within the bound on the other host")

    side.sh("modprobe ffclock_vmclock")
    t.ok(side.wait(lambda: side.said("has the kernel.s clocks follow the host already"), 30),
         "ffclock_vmclock follows the host: ffclockd leaves it to that")
    before = side.source()["good"]
    time.sleep(2)
    t.ok(side.source()["good"] == before, "and takes no stamps")
    side.sh("echo N > /sys/module/ffclock_vmclock/parameters/follow")
    t.ok(side.wait(lambda: side.source()["good"] > before, 30), "follow=N: it takes them again")
    # a disruption that the module tells of, and the source too: once
    restarts = side.source()["restarts"]
    teller.moved()
    t.ok(side.wait(lambda: side.source().get("restarts", 0) > restarts) and
         side.wait(lambda: side.source().get("state") == "used") and side.right(),
         f"a disruption that both notice: {side.source()['restarts'] - restarts} restarts")
    for line in side.sh("tail -n 40 /tmp/log | grep -v ': offset\\|system clock'")[1]:
        t.diag(line)
    teller.close()
    t.send("quit")
    t.ok(t.done() == 0, "ends well")
