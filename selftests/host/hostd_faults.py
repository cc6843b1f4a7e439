# SPDX-License-Identifier: GPL-2.0-only
# lab: machine=pc,aux-ram-share=on hosttime=1 timeout=300 kernels=7.2 qemu="-object memory-backend-file,id=ffclock0,mem-path=ffclock.shm,size=4096,share=on -device ivshmem-plain,memdev=ffclock0,master=on -object memory-backend-file,id=agree,mem-path=agree.shm,size=4096,share=on -device ivshmem-plain,memdev=agree,master=on"
"""ffclock-hostd: pages behind ivshmem, the stock PTP driver, resets, and liars.

Processes that pretend to be QEMU try to get a file written that they may not write,
and to end the daemon by shortening theirs.
"""

import json
import os
import pathlib
import subprocess
import sys

import hostd as hostd_module
import vmclockpage
from lab import hosttime, tree
from lab.vm import Guest

TAI = 37
LINE_NS = 1000
AGREE_NS = 100

# A liar: MODE is what it does with its page.
LIAR = r"""
import ctypes, mmap, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
if sys.argv[-1] == "late":
    # as QEMU does: first the memory behind ivshmem, some time later the device
    early = mmap.mmap(os.open(sys.argv[-2], os.O_RDWR), 4096)
    print("ready", flush=True)
    sys.stdin.readline()
""" + vmclockpage.MAKE_PAGE + r"""if sys.argv[-1] == "readonly":
    # mapped for writing, but the only descriptor left is for reading
    ro = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    os.close(fd)
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[-1] == "cut":
    os.ftruncate(fd, 0)
else:
    print("status", page[34], flush=True)
print("done", flush=True)
sys.stdin.readline()
"""


class Liar:
    """A process with a QEMU's name, command line and page."""

    def __init__(self, mode, *args):
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-c", LIAR, *args, mode], executable=sys.executable,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line()

    def line(self):
        return self.process.stdout.readline().strip()

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()


def best(guest, clock, count=10):
    rows = [s for s in hosttime.sample(guest, count, 0, 300) if s.clock == clock]
    return min(rows, key=lambda s: s.bound_ns)


def late(t, daemon):
    """A guest that is found before QEMU has made all its devices."""
    file = t.guest.path("late")
    file.write_bytes(b"\0" * 4096)
    liar = Liar("late", "-object", f"memory-backend-file,id=ffclock1,mem-path={file},share=on",
                "-device", "ivshmem-plain,memdev=ffclock1", "-machine", "pc,aux-ram-share=on",
                "-device", "vmclock", "-name", str(file))
    pid = liar.process.pid
    try:
        vmclockpage.wait_until(lambda: daemon.ask("rescan") and daemon.guest(pid))
        daemon.command(f"watch {pid}")
        g = daemon.wait_guest(pid)
        t.ok(g and [p["kind"] for p in g["pages"]] == ["ivshmem"],
             "found before it has its vmclock device: one page")
        liar.go()
        g = daemon.wait_guest(pid, lambda g: len(g["pages"]) == 2)
        t.ok(g and {p["kind"] for p in g["pages"]} == {"ivshmem", "vmclock"},
             "the device's page is found when it comes")
    finally:
        liar.close()
        file.unlink()


def liars(t, daemon):
    for mode in ("readonly", "cut"):
        liar = Liar(mode, "-name")
        pid = liar.process.pid
        try:
            vmclockpage.wait_until(lambda: daemon.ask("rescan") and daemon.guest(pid))
            daemon.command(f"watch {pid}")
            daemon.command(f"offset {pid} 0")
            if mode == "readonly":
                vmclockpage.wait_until(lambda: daemon.guest(pid)["problem"], 2)
                t.ok(not daemon.guest(pid)["pages"],
                     "a page whose only descriptor is for reading is refused")
                liar.go()
                t.ok(liar.line() == "status 0", "and nothing is written on it")
                continue
            told = vmclockpage.wait_until(lambda: daemon.guest(pid)["telling"])
            t.ok(told, "whoever looks like QEMU gets the time on a page of its own")
            liar.go()
            liar.line()
            gone = vmclockpage.wait_until(lambda: not daemon.guest(pid)["pages"])
            t.ok(gone and daemon.process.poll() is None,
                 "a page that is cut off is dropped, and the daemon lives")
        finally:
            liar.close()
        t.ok(vmclockpage.wait_until(lambda: daemon.guest(pid) is None), f"{mode}: ended, forgotten")

    late(t, daemon)
    sim = subprocess.Popen([str(tree.USER / "bin/hostd_sim"), "guest", "sealed"])
    try:
        pid = sim.pid
        vmclockpage.wait_until(lambda: daemon.ask("rescan") and daemon.guest(pid))
        daemon.command(f"watch {pid}")
        vmclockpage.wait_until(lambda: daemon.guest(pid)["pages"])
        try:
            os.truncate(vmclockpage.memfd(pid), 0)
            t.ok(False, "a page that takes seals cannot be cut off")
        except PermissionError:
            t.ok(True, "a page that takes seals cannot be cut off")
    finally:
        sim.kill()
        sim.wait()


# Shared by both, behind hosttime's and, in the first guest, the clock's page
AGREE = ("-object memory-backend-file,id=agree,mem-path=agree.shm,size=4096,share=on "
         "-device ivshmem-plain,memdev=agree,master=on")


def batches(t, other):
    """The two ask each other: what is said with certainty about their difference."""
    t.serve("agree answer 2")
    t.expect("agree: answering", 60)
    other.run("ask", 120, "agree ask 1 40")
    rows = []
    while True:
        line = other.line(60)
        if line.startswith("{"):
            rows.append(json.loads(line))
        elif line == "done":
            t.done()
            return [b for b in rows if b["rounds"]]


def second_guest(t, daemon):
    """Another guest on this host: do the two agree?"""
    with Guest(t.kernel, t.guest.image, t.guest.workdir, "second", t.guest.config) as other:
        other.config.qemu = AGREE
        other.start()
        daemon.watch(other)
        other.output(20, "modprobe ffclock && modprobe ffclock_vmclock")
        other.serve("second", 120, "hosttime serve /dev/ffclock_utc")
        while "serving" not in other.line(30):
            pass
        known = 0
        for guest in (t.guest, other):
            known += daemon.relate(guest, 3000)["bound_ns"]
        vmclockpage.wait_until(lambda: daemon.guest(other.process.pid)["telling"])
        hosttime.stop(t.guest)
        t.done()
        hosttime.stop(other)
        other.marker("end second", 60)
        # what TCG's offsets are known to, by a handshake each, is the lab's own
        limit = AGREE_NS + known
        rows = batches(t, other)
        best = min(rows, key=lambda b: b["high_ns"] - b["low_ns"], default=None)
        if t.ok(best is not None, f"two guests compare their clocks: {len(rows)} batches") is False:
            return
        middle, half = ((best["low_ns"] + best["high_ns"]) / 2,
                        abs(best["high_ns"] - best["low_ns"]) / 2)
        t.diag(f"two guests: {middle:+.0f} ns +- {half:.0f} apart, their offsets known to "
               f"{known:.0f} ns in all")
        t.ok(not [b for b in rows if b["low_ns"] > limit or b["high_ns"] < -limit],
             "two guests agree to 100 ns, but for what TCG's offsets are known to")
        pid = other.process.pid
        other.kill()
        t.ok(vmclockpage.wait_until(lambda: daemon.guest(pid) is None),
             "QEMU killed: forgotten, and the daemon goes on")


def run(t):
    why = hostd_module.unusable()
    if why:
        t.skip("ffclock-hostd and QEMU", why)
        return
    with hostd_module.Hostd(t.guest.path("hostd"), [f"system-tai {TAI}",
                                                    "process python3",
                                                    f"process {pathlib.Path(sys.executable).name}"
                                                    ]) as daemon:
        daemon.wait_clock()
        daemon.watch(t.guest)
        pid = t.guest.process.pid
        g = daemon.wait_guest(pid, lambda g: len(g["pages"]) == 2)
        t.ok(g and {p["kind"] for p in g["pages"]} == {"vmclock", "ivshmem"},
             "page of the device and page behind ivshmem are found")
        t.ok(daemon.guest(1) is None and daemon.guest(os.getppid()) is None, "other processes are not taken for guests")
        t.serve("hosttime serve realtime")
        t.expect("hosttime: serving")
        daemon.relate(t.guest)
        hosttime.stop(t.guest)
        t.done()
        shm = vmclockpage.Page(t.guest.workdir / "ffclock.shm")
        acpi = vmclockpage.Page.of(t.guest)
        t.ok(shm.magic == vmclockpage.VCLK and shm.clock_status == 2 and
             vmclockpage.wait_until(lambda: shm.counter_value == acpi.counter_value and
                                    shm.time_frac_sec == acpi.time_frac_sec),
             "both have the same line")

        # the stock driver, after the page was written
        code, lines = t.guest.output(30, "modprobe ptp_vmclock && cd /sys/class/ptp && "
                                     "grep -l vmclock */clock_name")
        t.ok(code == 0, f"stock ptp_vmclock takes the page: {lines}")
        ptp = f"/dev/{lines[0].split('/')[0]}" if code == 0 else "realtime"
        t.guest.output(30, "modprobe ffclock && modprobe ffclock_vmclock")
        sources = t.guest.output(10, "dmesg | grep 'ffclock_vmclock: '")[1]
        t.ok(sum("ivshmem at" in s or "vmclock at" in s for s in sources) == 2,
             "our module takes both")
        t.serve(f"hosttime serve {ptp} /dev/ffclock_utc")
        t.expect("hosttime: serving")
        spare = daemon.relate(t.guest)["bound_ns"]
        for clock, ahead in ((ptp, TAI * 10**9), ("/dev/ffclock_utc", 0)):
            def right(clock=clock, ahead=ahead):
                s = best(t.guest, clock)
                t.diag(f"{clock} - host: {s.difference_ns - ahead:+d} ns +- {s.bound_ns:.0f}")
                return abs(s.difference_ns - ahead) <= LINE_NS + s.bound_ns + spare
            t.ok(vmclockpage.wait_until(right, 20, 0.2), f"{clock} is the host's clock")

        second_guest(t, daemon)
        liars(t, daemon)

        # a reset: the same process, the guest begins anew
        marker = acpi.disruption_marker
        t.guest.qmp.command("set-action", reboot="reset")
        t.guest.qmp.command("system_reset")
        t.ok(t.guest.marker("hello", 120), "guest was reset")
        t.ok(daemon.guest(pid)["telling"] and acpi.clock_status == 2, "its page has the time")
        t.ok(acpi.disruption_marker >= marker, "marker has not gone back")
        t.serve("hosttime serve realtime")
        t.expect("hosttime: serving")
        rel = daemon.relate(t.guest)
        t.ok(rel["bound_ns"] > 0 and vmclockpage.wait_until(lambda: acpi.seq_count % 2 == 0),
             "and it goes on")
        hosttime.stop(t.guest)
        t.done()
        t.guest.qmp.command("set-action", reboot="shutdown")
        said = daemon.said().splitlines()
    t.diag("daemon's log:\n" + "\n".join(said[-40:]))
