# SPDX-License-Identifier: GPL-2.0-only
# lab: machine=pc,aux-ram-share=on hosttime=1 timeout=300 kernels=6.12 qemu="-qmp unix:hostd_stats.stats.0.qmp,server=on,wait=off"
"""ffclock vm migrate: the figures of live migrations, beside QEMU's own.

The last migration's destination is another host: a QEMU and an ffclock-hostd whose
CLOCK_REALTIME is 3 s ahead (selftests/hostd/clockshift.c, in LD_PRELOAD, since that
clock has no namespaces).  What its feed-forward clock is, is the truth: the page
of a simulated guest whose TSC is the host's.  Its plain figures are to be called
unusable, its net ones right.
"""

import json
import os
import pathlib
import signal
import subprocess

import hostd as hostd_module
import vmclockpage
from lab import hosttime, tree
from lab.vm import GuestError

MIGRATIONS = 3
SHIFT_S = 3

# QEMU rounds its figures to ms, and measures its downtime on the source from the
# stop of the processors to the end of the state it sends.
QEMU_MS = 2

# The system clock as the daemon's source: 500 ppm for the second that a line lasts, on
# either end, and what it is declared good to; a busy machine is late by some more.
TRUE_MS = 5


class Sim:
    """A simulated guest whose TSC is the host's: its page is the host's clock."""

    def __init__(self, daemon):
        self.process = subprocess.Popen([str(tree.USER / "bin/hostd_sim"), "guest", "truth"])
        daemon.command(f"watch {self.process.pid}") if self.find(daemon) else None
        daemon.command(f"offset {self.process.pid} 0")
        path = vmclockpage.memfd(self.process.pid)
        page = vmclockpage.Page(path)
        if not vmclockpage.wait_until(lambda: page.clock_status == 2):
            raise GuestError("simulated guest is not told the time")
        self.path = path

    def find(self, daemon):
        """It takes a moment until the process is what it is going to be."""
        def known():
            daemon.ask("rescan")
            return daemon.guest(self.process.pid)
        return vmclockpage.wait_until(known)

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def migrate(t, number, spawned, extra, shift=None, table_only=False):
    """One migration by the command: its figures; table_only: as people see them."""
    # of the test's own name: several share the directory
    qmp = f"{t.guest.name}.stats.{number}.qmp"
    dest = t.guest.successor(qemu=f"-qmp unix:{qmp},server=on,wait=off")
    if shift:
        argv = dest.argv
        dest.argv = lambda incoming=None, shell=False: ["env", *shift, *argv(incoming, shell)]
    uri = f"unix:{dest.short('migrate')}"
    dest.path("migrate").unlink(missing_ok=True)
    dest.spawn(uri)
    try:
        spawned(dest)
        work = pathlib.Path(os.path.relpath(t.guest.workdir))
        command = [str(tree.USER / "bin/ffclock"), *([] if table_only else ["--json"]),
                   "vm", "migrate",
                   "--source", str(work / f"{t.guest.name}.stats.{number - 1}.qmp"),
                   "--dest", str(work / qmp), "--uri", uri, *extra]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise GuestError(f"ffclock vm migrate: {done.stderr.strip()}")
        if done.stderr:
            t.diag(done.stderr)
        figures = done.stdout if table_only else json.loads(done.stdout)
        dest.wait_running()
    except BaseException:
        dest.kill()
        raise
    t.guest._drain_into(dest)
    t.guest.qmp.command("quit")
    t.guest.process.wait(timeout=20)
    t.guest.kill()
    t.guest = dest
    return figures


def table(f):
    return ", ".join(f"{k} {v}" for k, v in f.items() if k not in ("stopped_ns", "resumed_ns"))


def run(t):
    why = hostd_module.unusable()
    if why:
        t.skip("ffclock-hostd and QEMU", why)
        return
    log = t.guest.path("hostd")
    stats = t.guest.path("stats")
    with hostd_module.Hostd(log) as daemon:
        daemon.watch(t.guest)
        daemon.wait_clock()
        t.serve("hosttime serve realtime")
        t.expect("hosttime: serving")
        for i in range(1, MIGRATIONS + 1):
            daemon.relate(t.guest)
            f = migrate(t, i, daemon.watch, ["--control", str(daemon.control), "--log",
                                             str(stats)])
            t.diag(f"{i}: {table(f)}")
            q = f["qemu"]
            # the source may come to its end after the guest ran again: by -delta
            late = QEMU_MS + max(0, -f["delta"])
            t.ok(f["plain"] == "good", f"{i}: one host, one clock: plain figures are good")
            t.ok(0 < f["downtime"] < f["time_elapsed"], f"{i}: downtime {f['downtime']} ms of "
                 f"{f['time_elapsed']} ms")
            t.ok(abs(f["downtime_true"] - f["downtime"]) <= f["true_bound"],
                 f"{i}: plain downtime is the true one, to {f['true_bound']} ms")
            t.ok(f["downtime_net"] <= f["downtime_true"] + f["true_bound"] or f["delta"] < 0,
                 f"{i}: net downtime {f['downtime_net']} ms is no more than the truth")
            t.ok(f["true_bound"] < TRUE_MS, f"{i}: truth is known to {f['true_bound']} ms")
            t.ok(q["downtime"] <= f["downtime"] + late,
                 f"{i}: QEMU's own downtime, {q['downtime']} ms, is not longer")
            t.ok(q["total_time"] <= f["time_elapsed"] + late,
                 f"{i}: nor its total time, {q['total_time']} ms")

        # a host whose wall clock is 3 s ahead, with and without feed-forward clocks
        shift = [f"LD_PRELOAD={tree.USER / 'lib/clockshift.so'}",
                 f"CLOCKSHIFT_NS={SHIFT_S * 10**9}"]
        sim = Sim(daemon)
        other = hostd_module.Hostd(t.guest.path("hostd-b"), clock=str(sim.path))
        other.environment = dict(v.split("=", 1) for v in shift)
        try:
            with other:
                other.wait_clock()
                daemon.relate(t.guest)
                f = migrate(t, MIGRATIONS + 1, other.watch,
                            ["--source-control", str(daemon.control), "--dest-control",
                             str(other.control), "--log", str(stats)], shift)
                t.diag(f"3 s ahead: {table(f)}")
                t.ok(f["plain"] == "unusable", "3 s apart: plain figures are called unusable")
                t.ok(abs(f["clock_difference"] - SHIFT_S * 1000) <=
                     f["clock_difference_bound"] + 0.1,
                     f"the difference is known: {f['clock_difference']} ms")
                t.ok(f["downtime"] > SHIFT_S * 1000, f"plain downtime is {f['downtime']} ms")
                t.ok(0 < f["downtime_true"] < 2000, f"true downtime is {f['downtime_true']} "
                     f"ms +- {f['true_bound']}")
                t.ok(abs(f["downtime_net"] - (f["downtime_true"] - (f["delta"] -
                                                                    f["clock_difference"])))
                     <= f["true_bound"] + 0.1, f"net downtime is {f['downtime_net']} ms: the "
                     "truth without the hand-over")
        finally:
            sim.close()

        # back, without any clock: only what the observer saw tells
        daemon.watch(t.guest)
        f = migrate(t, MIGRATIONS + 2, daemon.watch, ["--no-prepare"])
        t.diag(f"3 s behind, unknown: {table(f)}")
        t.ok(f["plain"] == "unusable", "without clocks: plain figures are unusable all the same")
        t.ok(f["downtime"] < 0 < f["downtime_net"], f"plain downtime is {f['downtime']} ms, net "
             f"{f['downtime_net']} ms")
        t.ok(f["downtime_true"] is None, "and no truth is claimed")
        done = subprocess.run([str(tree.USER / "bin/ffclock"), "vm", "stats", str(stats)],
                              capture_output=True, text=True, check=False)
        t.diag(done.stdout)
        t.ok(done.returncode == 0 and f"{MIGRATIONS + 1} migrations; plain figures of 1" in
             done.stdout, "vm stats sums them up and leaves the unusable one out")
        # while no guest of the daemon's is asked for any more
        t.ok(hosttime.relation(t.guest)["bound_ns"] > 0, "guest has come through")
        hosttime.stop(t.guest)
        t.ok(t.done() == 0, "program that ran through it all ends well")
