# SPDX-License-Identifier: GPL-2.0-only
"""ffclock-hostd beside the lab's guests.

The clock it passes on is the system clock of this machine, declared good
to BOUND_NS: guests are compared with that very clock, so truth is exact.  Under
TCG nobody tells a guest's TSC offset; the handshake of lab.hosttime finds it and
Hostd.relate() hands it over.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from lab import hosttime, local, tree
from lab.vm import GuestError

import vmclockpage

MACHINE = vmclockpage.MACHINE

# What the configuration calls the system clock's error.  It is the truth here; not
# zero, since a page's reader may take that for unknown.
BOUND_NS = 100

# Handshakes for one relation: a guest goes without time meanwhile.
ROUNDS = 300


YAMA = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")


def unusable():
    """Why the daemon cannot look into this user's QEMUs, or None."""
    if os.geteuid() and YAMA.exists() and YAMA.read_text().strip() != "0":
        return "not root, and kernel.yama.ptrace_scope forbids pidfd_getfd()"
    return None


class Control:
    """A daemon by its control socket; said() is its log."""

    control = None

    def said(self):
        raise NotImplementedError

    def ask(self, command, timeout=10):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(str(self.control))
            sock.sendall(command.encode() + b"\n")
            with sock.makefile("r", encoding="utf-8") as answer:
                text = answer.read()
        return text

    def command(self, command):
        answer = json.loads(self.ask(command))
        if "error" in answer:
            raise GuestError(f"ffclock-hostd: {command}: {answer['error']}")
        return answer

    def status(self):
        return json.loads(self.ask("status"))

    def guest(self, pid):
        """What the daemon knows about a process, or None."""
        return next((g for g in self.status()["guests"] if g["pid"] == pid), None)

    def wait_guest(self, pid, condition=lambda g: g["pages"], timeout=30):
        """Until a guest is known and meets the condition; its state, or None."""
        def met():
            g = self.guest(pid)
            return g if g and condition(g) else None
        return vmclockpage.wait_until(met, timeout)

    def wait_clock(self, timeout=10):
        return vmclockpage.wait_until(lambda: self.status()["clock"]["usable"], timeout)

    def wait_said(self, text, timeout=20):
        return vmclockpage.wait_until(lambda: text in self.said(), timeout)


def load(t):
    """The modules that follow a page, in a guest."""
    for module in ("ffclock", "ffclock_vmclock"):
        code, lines = t.guest.output(20, f"modprobe {module}")
        t.ok(code == 0, f"modprobe {module} {' '.join(lines)}")


class Hostd(Control):
    """The daemon, with a configuration of its own."""

    def __init__(self, log, lines=(), clock="system"):
        # A socket's path holds 107 characters, fewer than the lab's paths have.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hostd."))
        self.control = self.dir / "control"
        self.log = pathlib.Path(log)
        self.conf = self.dir / "conf"
        self.conf.write_text("\n".join([
            f"clock {clock}", f"system-bound {BOUND_NS / 1e9:.9f}", f"control {self.control}",
            "libvirt none", "scan 0.2", "guests named", "update 2", "verbose 3", *lines]) + "\n")
        self.process = None
        self.environment = {}
        self.prefix = []    # of the command: setpriv, unshare
        self.program = tree.USER / "bin" / "ffclock-hostd"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        if not self.program.exists():
            raise tree.LabError("no ffclock-hostd: run make userland")
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([*self.prefix, str(self.program), "-c",
                                             str(self.conf)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=dict(os.environ, **self.environment))
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.status()
            except OSError as err:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise GuestError(f"ffclock-hostd did not start: {err}; {self.said()}") \
                        from None
                time.sleep(0.02)

    def said(self):
        return self.log.read_text(errors="replace").strip()

    def kill(self):
        """As the kernel would: no chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process:
            local.end(self.process)

    def watch(self, guest):
        """Serve this one; the machine may have others that are not ours to touch."""
        self.command(f"watch {guest.process.pid}")

    def relate(self, guest, rounds=ROUNDS):
        """Find the guest's TSC offset and hand it over; hosttime's relation."""
        rel = hosttime.relation(guest, rounds)
        self.command(f"offset {guest.process.pid} {rel['constant']} {rel['bound_ticks'] + 1}")
        return rel
