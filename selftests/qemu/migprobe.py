# SPDX-License-Identifier: GPL-2.0-only
"""The host's end of mig_probe (selftests/guest/lib/mig_probe.c)."""

import json
import time

from lab.vm import MARK, GuestError

# FFCLOCK_STATUS_*, FFCLOCK_MIG_* of include/uapi/linux/ffclock.h
UNKNOWN, INITIALIZING, SYNCHRONIZED, FREERUNNING, UNRELIABLE = range(5)
PENDING, INJECT, NTP_RESET, NOTIFY = range(4)
F_TOUT, F_SET, F_LOST, F_FREQ, F_REFUSED = 1, 2, 4, 8, 16

BOUND_UNKNOWN = (1 << 64) - 1
NTP_LIMIT_US = 16000000     # NTP_PHASE_LIMIT
OLD_FREQ = 25 << 16         # what arm and ntp set: 25 ppm

# Without the module's help nothing sets NTP's state within a test, so a second
# is patience, not precision.
PATIENCE = 10


class Probe:
    """mig_probe, running in t's guest until quit()."""

    def __init__(self, t, modules="ffclock ffclock_vmclock", hosttime=False, before="true",
                 argument=""):
        self.t = t
        load = " && ".join(f"modprobe {m}" for m in modules.split())
        serve = "hosttime serve realtime >/tmp/hosttime.log 2>&1 </dev/null &" if hosttime else ""
        t.serve(f"{{ {before}; }} && {load} && {{ {serve} true; }} && exec mig_probe {argument}")
        t.expect("mig_probe: ready", 90)

    def ask(self, command, timeout=PATIENCE):
        """Send a command; the first line of its answer."""
        self.t.send(command)
        return self.line(timeout)

    def line(self, timeout=PATIENCE):
        line = self.t.line(timeout)
        if line.startswith(("Bail out!", MARK + "end")):
            raise GuestError(f"mig_probe: {line}")
        return line

    def lines(self, command, timeout=PATIENCE):
        """Send a command; the lines before "end"."""
        line = self.ask(command, timeout)
        found = []
        while line != "end":
            found.append(line)
            line = self.line(timeout)
        return found

    def resync(self, timeout=90):
        """Wait for the guest to answer; its serial port loses what comes while it sleeps."""
        deadline = time.monotonic() + timeout
        for n in range(10**6):
            self.t.send(f"ping {n}")
            try:
                while self.line(1) != f"pong {n}":
                    pass
                return
            except GuestError as err:
                if "silent" not in str(err) or time.monotonic() > deadline:
                    raise

    def state(self):
        line = self.ask("state")
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            raise GuestError(f"mig_probe said '{line}'") from None

    def samples(self):
        return [json.loads(line) for line in self.lines("samples", 30)]

    def history(self):
        return [json.loads(line) for line in self.lines("history")]

    def arm(self):
        self._done("arm")

    def arm_ntp(self):
        self._done("ntp")

    def load(self, threads):
        self._done(f"load {threads}")

    def _done(self, command):
        line = self.ask(command)
        if line != "done":
            raise GuestError(f"mig_probe {command}: {line}")

    def set(self, file, text):
        """The errno of writing to /sys/kernel/ffclock/FILE, 0 if it went."""
        return int(self.ask(f"set {file} {text}"))

    def get(self, file):
        return self.lines(f"get {file}")

    def modprobe(self, module):
        """Load it again; debug kernels let its driver stay for seconds after it went."""
        return self.sh(f"while ls -d /sys/bus/*/drivers/{module} > /dev/null 2>&1; "
                       f"do usleep 100000; done; modprobe {module}")

    def sh(self, command, timeout=30):
        """Run a command; (exit code, lines)."""
        line = self.ask(f"sh {command}", timeout)
        found = []
        while not line.startswith("exit "):
            found.append(line)
            line = self.line(timeout)
        return int(line.split()[1]), found

    def sources(self):
        """{name: (errno, text)}"""
        rows = [line.split(None, 3) for line in self.get("migration/sources")]
        return {r[0]: (int(r[2]), r[3]) for r in rows}

    def settle(self, condition, timeout=PATIENCE):
        """Ask for the state until condition(state) holds; the last state."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.state()
            if condition(state) or time.monotonic() > deadline:
                return state
            time.sleep(0.05)

    def sequence(self, wanted, timeout=PATIENCE):
        """Wait for that migration sequence, and for all that follows from it."""
        state = self.settle(lambda s: s["sequence"] >= wanted and s["uevents"] >= wanted, timeout)
        time.sleep(0.2)     # what came twice has come by now
        return self.state()

    def quit(self):
        self.t.send("quit")
        return self.t.done()


def ntp_is_reset(state, slack_us=50000):
    """STA_UNSYNC, errors at the limit: maxerror grows from there by 500 ppm."""
    return (state["unsync"] and state["maxerror"] >= NTP_LIMIT_US - slack_us and
            state["esterror"] >= NTP_LIMIT_US - slack_us)


def check_watchers(t, state, page_late_ns, what=""):
    """The invariants that hold at any time, of both ways of reading.

    page_late_ns: how late a reader of the page may learn that its time is an old
    host's; None: markers were changed that made no event of their own.
    """
    for name in ("page", "ioctl"):
        w = state[name]
        t.diag(f"{name}: {w}")
        t.ok(w["reads"] > 0 and w["mono_back"] == 0, f"{name} reader{what}: mono never steps back")
        t.ok(w["diff_jumps"] == 0, f"{name} reader{what}: diff never jumps")
    if page_late_ns is None:
        return
    if not state["marker_seen"]:
        t.skip(f"ioctl{what}: no old host's time as synchronised", "no /dev/mem in this guest")
        t.skip(f"page{what}: no old host's time as synchronised", "no /dev/mem in this guest")
        return
    t.ok(state["ioctl"]["old_reads"] == 0,
         f"ioctl{what}: no old host's time as synchronised, ever")
    late = state["page"]["old_ns"] if state["page"]["old_reads"] else 0
    t.ok(late < page_late_ns, f"page{what}: no old host's time as synchronised later than "
         f"{page_late_ns / 1e6:.0f} ms: {late / 1e6:.2f} ms")
