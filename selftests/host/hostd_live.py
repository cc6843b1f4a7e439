# SPDX-License-Identifier: GPL-2.0-only
# lab: machine=pc,aux-ram-share=on hosttime=1 timeout=600 kernels=6.12,7.2 qemu="-object memory-backend-file,id=ffclock0,mem-path=clock.0.shm,size=4096,share=on -device ivshmem-plain,memdev=ffclock0,master=on"
"""ffclock-hostd and a guest: found, told, repaired, taken over, migrated.

The guest has the time twice, on the vmclock device's page, whose marker QEMU bumps,
and behind ivshmem, which QEMU knows nothing of.  HOSTD_MIGRATIONS in the environment
is the number of migrations, 3 without it.

The guest has our modules and no agent.  Its /dev/ffclock_utc is compared with the
clock that the daemon passes on.
"""

import os
import time

import hostd as hostd_module
import vmclockpage
from lab import hosttime

MIGRATIONS = int(os.environ.get("HOSTD_MIGRATIONS", "3"))

# A page's line against the system clock it was taken from: the pair (some 30 ns),
# what the system clock is slewed between two updates of 50 ms, the rate's error.
LINE_NS = 1000


def utc(t, count=5):
    """The best known sample of the guest's utc against host truth."""
    rows = hosttime.sample(t.guest, count, 0, 500)
    best = min(rows, key=lambda s: s.bound_ns)
    t.diag(f"utc - host {best.difference_ns} ns +- {best.bound_ns:.0f}")
    return best


def right(sample, slack=0):
    return abs(sample.difference_ns) <= LINE_NS + slack + sample.bound_ns


def told(t, daemon, what, timeout=20):
    """Handshake, hand over, and wait for the guest to be right."""
    rel = daemon.relate(t.guest)
    spare = rel["bound_ns"]
    deadline = time.monotonic() + timeout
    while True:
        s = utc(t, 3)
        if right(s, spare) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    t.ok(right(s, spare), f"{what}: guest's utc is the host's clock")
    return rel


def run(t):
    why = hostd_module.unusable()
    if why:
        t.skip("ffclock-hostd and QEMU", why)
        return
    hostd_module.load(t)
    log = t.guest.path("hostd")
    with hostd_module.Hostd(log) as daemon:
        pid = t.guest.process.pid
        daemon.watch(t.guest)
        g = daemon.wait_guest(pid, lambda g: len(g["pages"]) == 2)
        t.ok(g and {p["kind"] for p in g["pages"]} == {"vmclock", "ivshmem"},
             "guest and its pages are found")
        t.ok(daemon.wait_clock(), "host's clock is usable")
        t.ok(not daemon.guest(pid)["telling"], "without an offset nothing is told")
        t.ok(daemon.wait_said("nobody tells its TSC offset"), "and the log says what to do")
        page = vmclockpage.Page.of(t.guest)
        t.ok(page.clock_status == 4, "page says that it is not to be used")

        t.serve("hosttime serve /dev/ffclock_utc")
        t.expect("hosttime: serving")
        told(t, daemon, "start")
        t.ok(page.flags & vmclockpage.TIME_MAXERROR_VALID and page.time_maxerror_nanosec < 10000,
             f"page's bound: {page.time_maxerror_nanosec} ns")

        # the guest's own memory: anything may be written there
        marker, seq = page.disruption_marker, page.seq_count
        for name, value in (("time_sec", 12345), ("magic", 0), ("counter_period_frac_sec", 0),
                            ("seq_count", 77), ("disruption_marker", 0)):
            repairs = daemon.guest(pid)["repairs"] + daemon.guest(pid)["marks"]
            setattr(page, name, value)
            done = vmclockpage.wait_until(
                lambda r=repairs: daemon.guest(pid)["repairs"] + daemon.guest(pid)["marks"] > r)
            t.ok(done and page.magic == vmclockpage.VCLK and page.time_sec > 1e9,
                 f"scribbled {name}: noticed and repaired")
        t.ok((page.seq_count - seq) & 0xffffffff < 1 << 31, "sequence has not gone back")
        t.ok(page.disruption_marker == marker, "marker has not gone back")
        t.ok("somebody wrote on its vmclock page" in daemon.said(), "the log says so")

        # killed, the last update half done; and by QEMU's own memory a stale record
        daemon.kill()
        seq = page.seq_count
        page.seq_count = seq | 1
        page.time_sec = 1
        daemon.start()
        daemon.watch(t.guest)
        daemon.wait_guest(pid)
        t.ok(vmclockpage.wait_until(lambda: page.seq_count % 2 == 0), "odd sequence is ended")
        t.ok(page.seq_count > seq and page.disruption_marker == marker,
             "by one that is later, marker unchanged")
        t.ok("taken over" in daemon.said(), "page of the predecessor is taken over")
        daemon.wait_clock()
        told(t, daemon, "after a kill")

        for i in range(MIGRATIONS):
            old = vmclockpage.Page.of(t.guest)
            before = old.disruption_marker
            shm = vmclockpage.Page(t.guest.workdir / f"clock.{i}.shm").disruption_marker
            daemon.command(f"prepare {t.guest.process.pid}")
            t.ok(old.clock_status == 4 and old.flags & vmclockpage.SOON,
                 f"migration {i + 1}: prepared, page is without time")
            m = t.migrate(spawned=daemon.watch, qemu=t.guest.config.qemu.replace(
                f"clock.{i}.shm", f"clock.{i + 1}.shm"))
            new = t.guest.process.pid
            g = daemon.wait_guest(new, lambda g: len(g["pages"]) == 2 and g["moves"] > 1)
            t.ok(g is not None, f"migration {i + 1}: arrival is noticed")
            page = vmclockpage.Page.of(t.guest)
            told(t, daemon, f"migration {i + 1} ({m.downtime_ms} ms)")
            t.ok(page.disruption_marker == before + 1,
                 f"migration {i + 1}: marker is one more ({page.disruption_marker})")
            page = vmclockpage.Page(t.guest.workdir / f"clock.{i + 1}.shm")
            t.ok(page.disruption_marker == shm + 1 and page.clock_status == 2,
                 f"migration {i + 1}: and that behind ivshmem ({page.disruption_marker})")
            ended = vmclockpage.wait_until(lambda p=pid: daemon.guest(p) is None)
            t.ok(ended, f"migration {i + 1}: the source is gone")
            pid = new
        hosttime.stop(t.guest)
        t.ok(t.done() == 0, "program that ran through it all ends well")
        stats = daemon.status()["stats"]
        t.diag(f"daemon: {stats}")
        for file in t.guest.workdir.glob("clock.*.shm"):
            file.unlink()
    t.diag("daemon's log:\n" + "\n".join(daemon.log.read_text().splitlines()[-60:]))
