# SPDX-License-Identifier: GPL-2.0-only
"""A guest of the demo: its samples, and its place on the host's time.

Samples carry the guest's TSC.  A handshake (lab.hosttime) tells now and then
which TSC value of the guest was which CLOCK_REALTIME of the host, to some 0.1
us; between two of these a straight line does, since both count with the host's
TSC.  A migration begins another such relation: a *generation*.
"""

import bisect
import csv
import queue
import re
import shlex
import socket
import statistics
import time

from lab import hosttime
from lab.vm import GuestError

from . import table
from .say import DemoError, say, warn

# What a kernel says when it was interrupted while it calibrated the local APIC's
# timer.  It corrects that by the PM timer, but by one that did not count (0 ms) to a
# timer that is wrong by any factor.
CALIBRATED = re.compile(r"APIC calibration not consistent with PM-Timer: (-?\d+)ms instead")
CALIBRATED_MS = (50, 200)
BOOTS = 4
# 6 s on an idle machine; 100 s were seen at a load of 35 on 2 processors.
BOOT_S = 300
# Host and guest are related that often [s].
RELATE_EVERY = 1.0
# Handshakes for one relation.  Some hundred find a round that nobody interrupted.
ROUNDS = 500
# Relations closer than this tell no rate: their bounds, 100 ns, over it are 0.1 ppm.
RATE_SPAN_NS = 1_000_000_000


class Truth:
    """Guest TSC to the host's CLOCK_REALTIME, for one QEMU process."""

    def __init__(self):
        self.points = []        # (guest TSC, host ns, bound ns), ascending
        self.stopped_ns = None  # host ns when this process stopped running the guest
        self.resumed_ns = None  # host ns when it began to

    def add(self, sample):
        self.points.append((sample.guest_tsc, sample.host_ns, sample.bound_ns))

    def rate(self):
        """(ns per tick over all its life, relative error of that), or None: too short."""
        if len(self.points) < 2:
            return None
        (t0, h0, b0), (t1, h1, b1) = self.points[0], self.points[-1]
        if h1 - h0 < RATE_SPAN_NS:
            return None
        return (h1 - h0) / (t1 - t0), (b0 + b1) / (h1 - h0)

    def prune(self):
        """Drop handshakes that were interrupted, where better ones are near."""
        bounds = [bound for _, _, bound in self.points]
        good = 3 * statistics.median(bounds)
        kept = []
        for i, point in enumerate(self.points):
            near = self.points[max(0, i - 3):i + 4]
            if point[2] <= good or all(p[2] > good for p in near):
                kept.append(point)
        self.points = kept

    def host(self, tsc, rate):
        """The host's CLOCK_REALTIME [ns] at a TSC value, and the bound of that."""
        points = self.points
        i = bisect.bisect(points, (tsc,))
        if 0 < i < len(points):
            (t0, h0, b0), (t1, h1, b1) = points[i - 1], points[i]
            return h0 + round((tsc - t0) * ((h1 - h0) / (t1 - t0))), max(b0, b1)
        t0, h0, b0 = points[0] if i == 0 else points[-1]
        return h0 + round((tsc - t0) * rate), b0

    def tsc(self, host_ns, rate):
        """The guest's TSC at an instant of the host (outside of the points)."""
        t0, h0, _ = self.points[0] if host_ns < self.points[0][1] else self.points[-1]
        return t0 + round((host_ns - h0) / rate)


class Machine:
    """A lab guest that runs ffdemo-guest."""

    def __init__(self, guest, kind, title, extra=lambda generation: ""):
        self.guest = guest
        self.extra = extra          # more QEMU arguments of a generation
        self.kind = kind
        self.title = title
        self.truths = [Truth()]
        self.columns = None
        self.live = None            # newest sample seen, as a row
        self.migration = None
        self.record = None          # the module's own, once the guest is at its end
        self.stamps = ""            # ffclockd's log of exchanges, likewise
        self.saved = None           # guest that is in a file now
        self.teller = None          # hostpage.Teller, on a guest that is told the time
        self.answers = queue.Queue()

    def begin(self, arguments, seconds):
        """Boot, and have ffdemo-guest run."""
        for _ in range(BOOTS):
            self.guest.start(BOOT_S)
            said = CALIBRATED.search(self.guest.console())
            if not said or CALIBRATED_MS[0] <= int(said.group(1)) <= CALIBRATED_MS[1]:
                break
            warn(f"{self.title}: the kernel could not calibrate its timer on this busy "
                 "machine; booting it again")
            self.guest.kill()
        else:
            raise DemoError(f"guest '{self.title}': no boot of {BOOTS} with a usable timer: this "
                            "machine is too busy; run it again when there is less to do")
        self.guest.serve("demo", seconds, f"ffdemo-guest {arguments}")
        deadline = time.monotonic() + 60
        while not self.columns:
            self.hear(self.guest.line(deadline - time.monotonic()))
        self.relate(5)

    def hear(self, line):
        """One line that the probe, or the script before it, said."""
        if line.startswith("columns "):
            self.columns = line.split(" ", 1)[1].split(",")
        elif line.startswith("live "):
            self.live = self.row(line.split(" ", 1)[1].split(","))
        elif line.startswith(("ffdemo-", "@@lab end", "unknown command")):
            raise DemoError(f"guest '{self.title}': {line}\n"
                            f"Its console is {self.guest.path('console')}.")
        elif line.endswith(" done") or " failed: " in line:
            self.answers.put(line)

    def row(self, values):
        """A sample as a dictionary; None for what could not be read."""
        if len(values) != len(self.columns):
            raise DemoError(f"guest '{self.title}' sent a sample of {len(values)} values, "
                            f"not {len(self.columns)}: build/demo is stale; remove it")
        return {name: value if name == "why" else None if value == "-" else int(value)
                for name, value in zip(self.columns, values)}

    def drain(self):
        """Take what the guest has said meanwhile; never waits."""
        while True:
            try:
                line = self.guest.channel.get(0)
            except queue.Empty:
                return
            if line is None:
                raise DemoError(f"guest '{self.title}' ended: see {self.guest.path('console')}")
            self.hear(line)

    def command(self, text, patience=30):
        """Have the probe do something."""
        self.guest.send(text)
        deadline = time.monotonic() + patience
        while self.answers.empty():
            if time.monotonic() > deadline:
                raise DemoError(f"guest '{self.title}' does not answer to '{text}'")
            self.hear(self.guest.line(deadline - time.monotonic()))
        said = self.answers.get()
        if " failed: " in said:
            raise DemoError(f"guest '{self.title}': {said}")

    def relate(self, count=1):
        """Where is the guest's TSC on the host's time, now?  The best of count."""
        samples = hosttime.sample(self.guest, count, 0, ROUNDS)
        self.truths[-1].add(min(samples, key=lambda s: s.bound_ns))
        if self.teller:
            self.teller.update()

    def migrate(self, downtime_s):
        """Live migration to a new QEMU process.

        The guest is small and would be stopped for some 20 to 100 ms, as it
        happens.  So that all guests compare, the destination does not run it
        before it was stopped for downtime_s.
        """
        old = self.guest
        teller = self.teller
        old.qmp.events.clear()

        def arrived(dest):
            stopped = event_ns(old.qmp.events, "STOP") / 1e9
            if teller:
                teller.arrived(dest)
            time.sleep(max(0.0, stopped + downtime_s - time.time()))
            dest.qmp.command("cont")

        try:
            self.guest, self.migration = old.migrate(
                qemu=f"{self.extra(old.generation + 1)} -S", arrived=arrived,
                spawned=teller and teller.spawned)
            if teller:
                teller.resumed()
        except GuestError as err:
            raise DemoError(f"guest '{self.title}': {err}\nSee {old.path('qemu')}.") from None
        self._migrated(old)

    def _migrated(self, old):
        """It runs in another process now."""
        self.truths[-1].stopped_ns = event_ns(old.qmp.events, "STOP")
        self.truths.append(Truth())
        self.truths[-1].resumed_ns = event_ns(self.guest.qmp.events, "RESUME")
        self.relate()

    def save(self):
        """Stop it, its state in a file; returns when that was [s]."""
        self.guest.qmp.events.clear()
        if self.teller:
            self.teller.spawned(None)
        try:
            self.guest.save(self.guest.path("state"))
        except GuestError as err:
            raise DemoError(f"guest '{self.title}' cannot be saved: {err}\n"
                            f"See {self.guest.path('qemu')}.") from None
        return event_ns(self.guest.qmp.events, "STOP") / 1e9

    def load(self, patience=60):
        """A new QEMU with what is in the file; resume() lets it run."""
        old = self.guest
        state = old.path("state")
        self.saved = old
        self.guest = old.successor(qemu=f"{self.extra(old.generation + 1)} -S")
        try:
            self.guest.spawn(f"exec:cat {shlex.quote(str(state))}")
            deadline = time.monotonic() + patience
            while self.guest.qmp.command("query-status")["status"] == "inmigrate":
                if time.monotonic() > deadline:
                    raise GuestError(f"state not read in {patience} s")
                time.sleep(0.01)
        except GuestError as err:
            raise DemoError(f"guest '{self.title}': {err}\n"
                            f"See {self.guest.path('qemu')}.") from None
        finally:
            state.unlink(missing_ok=True)
        old.hand_over(self.guest)

    def resume(self, at):
        """Carry on at that time [s]; settle() follows when there is time for it."""
        if self.teller:
            self.teller.arrived(self.guest)
        time.sleep(max(0.0, at - time.time()))
        try:
            self.guest.qmp.command("cont")
            self.guest.wait_running()
            if self.teller:
                self.teller.resumed()
        except GuestError as err:
            raise DemoError(f"guest '{self.title}': {err}\n"
                            f"See {self.guest.path('qemu')}.") from None

    def settle(self):
        """After resume(): where it is now on the host's time."""
        self._migrated(self.saved)
        self.saved = None

    def rate(self):
        """ns per TSC tick: the host's TSC, so the same for all generations."""
        best = self.best_rate()
        if not best:
            raise DemoError("the run was too short to know the TSC's rate")
        return best[0]

    def best_rate(self):
        """(ns per TSC tick, its relative error) as well as known, or None."""
        return min((r for r in (t.rate() for t in self.truths) if r), key=lambda r: r[1],
                   default=None)

    def deliver(self, command, what, patience=60):
        """What is too long for the serial line: the answer to a command with a {port}."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.bind(("127.0.0.1", 0))
            server.listen(1)
            server.settimeout(patience)
            self.guest.send(command.format(port=server.getsockname()[1]))
            try:
                conn, _ = server.accept()
                conn.settimeout(patience)
                with conn, conn.makefile("r", encoding="ascii", errors="replace",
                                         newline="\n") as stream:
                    return stream.read()
            except OSError as err:
                raise DemoError(f"guest '{self.title}' does not deliver its {what}: {err}") \
                    from None

    def collect(self):
        """All samples the probe has kept, as rows."""
        lines = self.deliver("send {port}", "samples").splitlines()
        if not lines or lines[-1] != f"end {len(lines) - 2}":
            raise DemoError(f"guest '{self.title}' delivered {len(lines)} lines and no proper "
                            "end: the connection broke; run the demo again")
        return [self.row(values) for values in csv.reader(lines[1:-1])]

    def kill(self):
        """End its processes, whatever they do."""
        if self.teller:
            self.teller.close()
        self.guest.kill()

    def quit(self):
        """End the probe; what it and the daemons left behind can be read then."""
        self.command("quit")
        self.guest.marker("end demo", 20)
        lines = self.file("/sys/kernel/ffclock/migration/history").splitlines()
        self.record = Record(lines[0]) if lines else None
        self.stamps = self.file("/tmp/stamps")

    def file(self, path, patience=20):
        """A file of the guest's, as text, "" without; the probe must have ended."""
        code, lines = self.guest.output(patience, f"cat {path}", "file")
        return "\n".join(lines) if code == 0 else ""


class Record:
    """A line of migration/history: what the module says that it did."""

    # include/uapi/linux/ffclock.h: FFCLOCK_MIG_F_*
    F_TOUT, F_SET, F_LOST, F_FREQ, F_REFUSED = (1 << i for i in range(5))

    def __init__(self, line):
        words = line.split()
        # Newer modules may add to the end.
        if len(words) < 11:
            raise DemoError(f"unexpected line in migration/history: '{line}'")
        self.line = line
        self.sequence = int(words[0])
        self.detector, self.policy, self.source = words[1:4]
        self.flags = int(words[4], 0)
        (self.tout_ns, self.bound_ns, self.left_ns, self.lost_ns, self.freq_ppb,
         self.delay_ns) = (int(w) for w in words[5:11])


def wait(running, seconds, progress_every):
    """Let the guests run, relating their TSCs to the host's time; running() says which do."""
    end = time.monotonic() + seconds
    progress = time.monotonic() + progress_every
    while time.monotonic() < end:
        began = time.monotonic()
        for m in running():
            m.drain()
            m.relate()
        if time.monotonic() > progress:
            progress += progress_every
            for m in running():
                if m.live:
                    say(table.live_line(m))
        time.sleep(max(0.0, min(began + RELATE_EVERY, end) - time.monotonic()))


def event_ns(events, name):
    """CLOCK_REALTIME [ns] of QMP's latest event of a name."""
    for event in reversed(events):
        if event["event"] == name:
            stamp = event["timestamp"]
            return stamp["seconds"] * 1_000_000_000 + stamp["microseconds"] * 1000
    raise DemoError(f"QEMU sent no {name} event around the migration")
