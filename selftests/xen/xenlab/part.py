# SPDX-License-Identifier: GPL-2.0-only
"""What the run(t) of a Xen test gets: hosts, and TAP points to give."""

import dataclasses
import re
import time

from lab import tap
from lab.vm import GuestError

from . import host

SYSFS = "/sys/devices/platform/ffclock_xen"


@dataclasses.dataclass(frozen=True)
class Record:
    """A record as the kernel makes it, unpacked."""

    text: str
    host: str
    seq: int
    utc: tuple          # s, 2^-64 s
    xen: tuple          # counter, period, shift; or None
    tsc: tuple

    @classmethod
    def parse(cls, text):
        words = dict(w.split("=", 1) for w in text.split()[1:])
        sec, frac = words["utc"].split(".")

        def line(name):
            if name not in words:
                return None
            counter, period, shift = words[name].split(",")[:3]
            return int(counter), int(period, 16), int(shift)

        return cls(text.strip(), words["host"], int(words["seq"]), (int(sec), int(frac, 16)),
                   line("xen"), line("tsc"))

    def at(self, counter, which="xen"):
        """UTC in ns at a raw counter value, exact but for the last rounding."""
        c0, period, shift = getattr(self, which)
        ticks = (self.utc[0] << 64) + self.utc[1] + (((counter - c0) * period) >> shift)
        return (ticks * 10**9) >> 64


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of xenclk snap or log."""

    counter: int
    epoch: int
    status: int
    utc: int
    bound: int
    mono: int
    diff: int
    realtime: int
    monotonic: int
    raw: int
    boottime: int

    @classmethod
    def parse(cls, line):
        return cls(*(int(w) for w in line.split()[1:]))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The line "est" of xenclk snap."""

    counter: int
    utc: tuple
    period: int
    shift: int
    status: int
    maxerror: int
    epoch: int
    tai: int

    @classmethod
    def parse(cls, line):
        w = [int(x) for x in line.split()[1:]]
        return cls(w[0], (w[1], w[2]), *w[3:])


def snap(text):
    """(Row, Estimate) from the output of xenclk snap."""
    rows = text.splitlines()
    return (Row.parse(next(l for l in rows if l.startswith("clk "))),
            Estimate.parse(next(l for l in rows if l.startswith("est "))))


def status(text):
    """{name: value} of ffclock_xen's status file."""
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


class Part:
    """One test's run."""

    def __init__(self, name, kernel, folder, workdir):
        self.name = name
        self.kernel = kernel
        self.folder = folder
        self.workdir = workdir
        self.points = []
        self.detail = []
        self.hosts = []

    def host(self, name="a", **kw):
        """A Xen host, booted."""
        h = host.Host(self.kernel, self.folder, self.workdir / name, name, **kw)
        self.hosts.append(h)
        begin = time.monotonic()
        h.start(300)
        self.diag(f"host {name}: up in {time.monotonic() - begin:.0f} s")
        return h

    def dom0(self, h, options=""):
        """Our modules in dom0, and the publisher."""
        h.sh(f"modprobe ffclock; modprobe ffclock_xen {options}")
        self.publisher(h)

    def publisher(self, h):
        """As its service does: started anew when it ends with an error."""
        h.sh("(until ffclock-xenpublish -dd; do usleep 500000; done) >>/tmp/publish.log 2>&1 "
             "</dev/null & usleep 500000")

    def follow(self, h, name, seconds=120, options=""):
        """Our modules in a guest; returns once it follows Dom0."""
        h.guest(name, f"modprobe ffclock; modprobe ffclock_xen {options}")
        return self.wait_state(h, name, "0 following", seconds)

    def wait_state(self, h, name, wanted, seconds=120):
        """The guest's status once its state begins so."""
        deadline = time.monotonic() + seconds
        while True:
            found = status(h.guest(name, f"cat {SYSFS}/status"))
            if found["state"].startswith(wanted):
                return found
            if time.monotonic() > deadline:
                raise GuestError(f"{name}: state is '{found['state']}', not '{wanted}'")

    def record(self, h):
        """Dom0's record."""
        return Record.parse(h.sh(f"cat {SYSFS}/record"))

    def ok(self, good, text):
        print(f"# [{self.name}] {'ok' if good else 'NOT OK'}: {text}", flush=True)
        self.points.append(tap.Point(tap.PASS if good else tap.FAIL, text, detail=self.detail))
        self.detail = []
        return good

    def skip(self, text, why):
        self.points.append(tap.Point(tap.SKIP, text, why, self.detail))
        self.detail = []

    def diag(self, text):
        for line in text.splitlines():
            print(f"# [{self.name}] {line}", flush=True)
            self.detail.append(f"# {line}")

    def close(self):
        """End the hosts; their logs, and those of their guests, must be clean."""
        for h in self.hosts:
            try:
                if h.process and h.process.poll() is None:
                    logs = h.sh("cat /var/log/xen/console/guest-*.log 2>/dev/null", check=False)
                    (h.workdir / "guests.log").write_text(logs)
                    self.no_splat(f"guests of {h.name}", logs)
                    h.finish()
                    self.no_splat(f"host {h.name}", h.console())
            except GuestError as err:
                self.ok(False, f"host {h.name} ends well: {err}")
            finally:
                h.kill()
        self.hosts = []

    def no_splat(self, what, log):
        bad = [line for _, line in tap.scan(log)]
        for line in bad[:20]:
            self.diag(line)
        self.ok(not bad, f"{what}: nothing bad in the kernel logs")


def median(values):
    return sorted(values)[len(values) // 2]


def costs(text):
    """{what: ns} of xenclk cost."""
    return {m.group(1): float(m.group(2)) for m in re.finditer(r"cost (\S+) (\S+)", text)}
