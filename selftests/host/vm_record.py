# SPDX-License-Identifier: GPL-2.0-only
# lab: machine=pc,aux-ram-share=on hosttime=1 timeout=300 kernels=6.12,7.2 qemu="-qmp unix:vm_record.stats.0.qmp,server=on,wait=off"
"""ffclock vm migrate --guest-record: what the guest itself says of its migration.

The guest is reached as a real one is, over its network: a program there prints "ffclock
--json migration" to whoever connects.  What its clocks missed is what the host saw it
stand still.
"""

import threading
import time

import hostd as hostd_module
import hostd_stats
from lab import local
from lab.vm import GuestError

GUEST_PORT = 2222

# Under TCG the guest's TSC stands still from before STOP is said until after RESUME;
# its processors are stopped and started one after the other, which other programs
# that want these processors make longer.
STOP_MS = 20


def forward(guest, port):
    said = guest.qmp.command("human-monitor-command",
                             command_line=f"hostfwd_add tcp:127.0.0.1:{port}-:{GUEST_PORT}")
    if said.strip():
        raise GuestError(f"hostfwd_add: {said.strip()}")


class Successor:
    """Makes ready what runs the guest next: its port, and its TSC's offset."""

    def __init__(self, daemon, where):
        self.daemon = daemon
        self.where = where
        self.thread = None
        self.failed = None

    def spawned(self, dest):
        self.daemon.watch(dest)
        port = local.free_port()
        forward(dest, port)
        self.thread = threading.Thread(target=self.resumed, args=(dest, port))
        self.thread.start()

    def resumed(self, dest, port):
        """When it runs.  Under TCG nobody but a handshake knows what time it is there."""
        try:
            while dest.qmp.command("query-status")["status"] != "running":
                time.sleep(0.002)
            self.where.write_text(str(port))
            self.daemon.relate(dest)
        except (GuestError, OSError) as err:
            self.failed = err


def run(t):
    why = hostd_module.unusable()
    if why:
        t.skip("ffclock-hostd and QEMU", why)
        return
    hostd_module.load(t)
    where = t.guest.path("port")
    port = local.free_port()
    forward(t.guest, port)
    where.write_text(str(port))
    ask = f"exec bash -c 'exec cat </dev/tcp/127.0.0.1/$(cat {where})'"
    with hostd_module.Hostd(t.guest.path("hostd")) as daemon:
        daemon.watch(t.guest)
        daemon.wait_clock()
        t.serve(f"nc -ll -p {GUEST_PORT} -e ffclock --json migration </dev/null >/dev/null 2>&1 & "
                "exec hosttime serve /dev/ffclock_utc")
        t.expect("hosttime: serving")
        for i in (1, 2):
            daemon.relate(t.guest)
            successor = Successor(daemon, where)
            f = hostd_stats.migrate(t, i, successor.spawned,
                                    ["--control", str(daemon.control), "--guest-record", ask])
            successor.thread.join(60)
            t.ok(successor.failed is None and not successor.thread.is_alive(),
                 f"{i}: the destination's TSC offset is found {successor.failed or ''}")
            record = f["guest"]
            t.diag(f"{i}: {hostd_stats.table(f)}")
            t.ok(record is not None and len(record) == 1,
                 f"{i}: the guest's own record has one new entry")
            r = (record or [{}])[0]
            t.ok(r.get("detector") == "vmclock" and r.get("source") == "vmclock" and
                 r.get("action") in ("inject", "ntp-reset"),
                 f"{i}: noticed by {r.get('detector')}, {r.get('action')}, time from "
                 f"{r.get('source')}")
            lost = (r.get("lost_ns") or 0) / 1e6
            t.ok(abs(lost - f["downtime_true"]) <= f["true_bound"] + STOP_MS,
                 f"{i}: the guest's clock lost {lost:.3f} ms; the host saw it down for "
                 f"{f['downtime_true']} ms +- {f['true_bound']}")
        # as people see it
        daemon.relate(t.guest)
        successor = Successor(daemon, where)
        text = hostd_stats.migrate(t, 3, successor.spawned, ["--control", str(daemon.control),
                                                             "--guest-record", ask],
                                   table_only=True)
        successor.thread.join(60)
        t.diag(text)
        t.ok("guest lost" in text and "its own record: " in text, "3: the table has it")
        # a guest that cannot be reached
        daemon.relate(t.guest)
        successor = Successor(daemon, where)
        f = hostd_stats.migrate(t, 4, successor.spawned,
                                ["--control", str(daemon.control), "--guest-record", "exit 1"])
        successor.thread.join(60)
        t.ok("guest" in f and f["guest"] is None and f["downtime_true"] > 0,
             "4: no record to be had: the figures come all the same")
        hostd_stats.hosttime.stop(t.guest)
        t.ok(t.done() == 0, "program that ran through it all ends well")
