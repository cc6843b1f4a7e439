# SPDX-License-Identifier: GPL-2.0-only
# lab: hosttime=1 timeout=300 programs=chronyd kernels=6.12
"""ffclockd beside chronyd, in two identical guests, against host truth.

A chronyd on the host's loopback serves the host's time, with NTS; one guest
follows it with ffclockd and NTS, begun with a clock 25 years slow, the other with
chronyd.  Both guests' clocks are compared with the host's in the same seconds.

What passes or fails is what ffclockd promises: it synchronises, its error is
within its bound, always.  How far either clock is off depends on what else the
machine does; it is printed.
"""

import json
import os
import pathlib
import pwd
import shutil
import statistics
import subprocess
import tempfile
import time

from lab import hosttime, local, tree
from lab.vm import Guest, GuestError

WARM_S = 30     # chronyd's burst and first steps are over by then
MEASURE_S = 45
POLL = 0


def openssl(folder, *args):
    tree.run(["openssl", *args], "making certificates", cwd=folder)


def certificates(folder):
    """An authority, and a server certificate for the host as guests see it."""
    for name in ("ca", "server"):
        openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                f"{name}.key")
    openssl(folder, "req", "-x509", "-new", "-key", "ca.key", "-days", "30", "-subj", "/CN=lab",
            "-out", "ca.pem")
    openssl(folder, "req", "-new", "-key", "server.key", "-subj", "/CN=host", "-out", "server.csr")
    (folder / "ext").write_text("subjectAltName=IP:10.0.2.2\nextendedKeyUsage=serverAuth\n")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "20", "-extfile", "ext", "-out", "server.pem")


class Server:
    """chronyd on the loopback, serving the host's time; a context manager."""

    def __init__(self, folder, nts=True):
        self.port, self.ke_port = local.free_port(), local.free_port()
        self.log = folder / "chronyd.log"
        conf = folder / "chrony.conf"
        lines = [f"port {self.port}", "cmdport 0", "bindaddress 127.0.0.1", "local stratum 1",
                 "allow 127.0.0.1", f"pidfile {folder}/chronyd.pid"]
        if nts:
            lines += [f"ntsport {self.ke_port}", f"ntsserverkey {folder}/server.key",
                      f"ntsservercert {folder}/server.pem"]
        conf.write_text("\n".join(lines) + "\n")
        self.argv = tree.program("chronyd") + [
            "-x", "-d", "-U", "-u", pwd.getpwuid(os.getuid()).pw_name, "-f", str(conf)]
        self.process = None

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(self.argv, stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *exc):
        local.end(self.process)


class Side:
    """A guest with a daemon, and what its clock did."""

    def __init__(self, guest, clock):
        self.guest = guest
        self.clock = clock
        self.errors = []
        self.bounds = []

    def ask(self, command, prefix):
        self.guest.send(command)
        while not (line := self.guest.line(30)).startswith(prefix):
            pass
        return line[len(prefix):].strip()

    def wait_serving(self):
        while "serving" not in self.guest.line(60):
            pass

    def sample(self):
        """The guest's clock minus the host's [ns], and the doubt of that."""
        rows = [s for s in hosttime.sample(self.guest, 1, rounds=500) if s.clock == self.clock]
        best = min(rows, key=lambda s: s.bound_ns)
        self.errors.append((best.difference_ns, best.bound_ns))

    def summary(self):
        off = sorted(abs(e) for e, _ in self.errors)
        p99 = off[min(len(off) - 1, int(0.99 * len(off)))]
        return (f"median {statistics.median(off) / 1e3:.1f} us, p99 {p99 / 1e3:.1f} us, "
                f"largest {off[-1] / 1e3:.1f} us, {len(off)} samples")


def run(t, warm=WARM_S, measure=MEASURE_S, poll=POLL, interval=1.0):
    if not shutil.which("openssl"):
        t.skip("ffclockd beside chronyd", "openssl is not installed")
        return
    with tempfile.TemporaryDirectory(prefix="ffclock-live-") as name:
        folder = pathlib.Path(name)
        certificates(folder)
        with Server(folder) as server, \
                Guest(t.kernel, t.guest.image, t.guest.workdir, f"{t.guest.name}-chronyd",
                      t.guest.config) as other:
            other.start()
            compare(t, other, server, folder, warm, measure, poll, interval)


def compare(t, other, server, folder, warm, measure, poll, interval):
    ours, theirs = Side(t.guest, "/dev/ffclock_utc"), Side(other, "realtime")
    t.serve(f"sh $LAB_LIB/ntplive.sh ffclockd {server.port} {poll} {server.ke_port}")
    other.serve("ntplive", t.timeout, f"sh $LAB_LIB/ntplive.sh chronyd {server.port} {poll}")
    for line in (folder / "ca.pem").read_text().splitlines():
        t.send(line)
    t.send("end-of-ca")
    ours.wait_serving()
    theirs.wait_serving()

    # on a busy machine the rate may take minutes to be called synchronised
    status = None
    deadline = time.monotonic() + 60
    while status not in ("synchronized", "initializing") and time.monotonic() < deadline:
        time.sleep(1)
        status = json.loads(ours.ask("bound", "bound:"))["status"]
    t.ok(status in ("synchronized", "initializing"), f"ffclockd has a clock through NTS ({status})")
    time.sleep(max(warm, 0))
    held = 0
    begin = time.monotonic()
    while time.monotonic() - begin < measure:
        ours.sample()
        bound = json.loads(ours.ask("bound", "bound:"))["bound_ns"]
        theirs.sample()
        error, doubt = ours.errors[-1]
        ours.bounds.append(bound)
        held += abs(error) <= bound + doubt
        time.sleep(interval)
    t.diag(f"ffclockd: {ours.summary()}; bound {statistics.median(ours.bounds) / 1e3:.1f} us")
    t.diag(f"chronyd:  {theirs.summary()}")
    for name, side in (("ffclockd", ours), ("chronyd", theirs)):
        user, system, pages = (int(v) for v in side.ask("cpu", "cpu:").split())
        t.diag(f"{name}: {(user + system) * 10} ms of processor time, {pages * 4} KiB resident")
    t.ok(held == len(ours.errors), f"its bound holds: {held} of {len(ours.errors)} times")
    log = []
    ours.guest.send("log")
    while (line := ours.guest.line(30)) != "log: end":
        log.append(line)
    t.ok(any("not valid by this machine's clock" in line for line in log),
         "a clock 25 years slow did not stop it, ntsnotime did not hide that")
    for line in log[-10:]:
        t.diag(line)
    ours.guest.send("quit")
    theirs.guest.send("quit")
    t.ok(t.done() == 0, "ends well")
    try:
        other.marker("end ntplive", 30)
        other.finish()
    except GuestError as err:
        t.diag(f"chronyd's guest: {err}")
