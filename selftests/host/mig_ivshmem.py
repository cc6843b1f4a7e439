# SPDX-License-Identifier: GPL-2.0-only
# lab: vmclock=0 hosttime=1 timeout=420 qemu="-object memory-backend-file,id=vmc,mem-path=vmclock.page,size=4096,share=on -device ivshmem-plain,memdev=vmc,master=on,id=vmcpage"
"""A VMClock page behind ivshmem-plain, for hypervisors without the device.

The host writes marker and time in one section, as a hypervisor does.  Then the page
is unplugged under the guest's hands.
"""

import time

import migprobe
import vmclockpage


def run(t):
    path = t.guest.workdir / "vmclock.page"
    teller = vmclockpage.Teller(path, t.guest.shm)
    teller.command("format")
    probe = migprobe.Probe(t, hosttime=True)
    t.ok("ivshmem" in probe.sources() and "ivshmem" in probe.get("migration/detectors"),
         f"watched: {probe.sources()}")
    teller.tell()
    s = probe.settle(lambda s: s["status"] == migprobe.SYNCHRONIZED, 30)
    t.ok(s["status"] == migprobe.SYNCHRONIZED, "followed")

    probe.arm_ntp()
    before = probe.state()
    teller.command("withdraw")
    new = None

    def spawned(dest):
        nonlocal new
        new = vmclockpage.Teller(path, dest.shm, teller.rate)
        new.begin("moved")

    t.migrate(spawned=spawned)
    told = new.end()
    teller.close()
    s = probe.sequence(before["sequence"] + 1, 60)
    r = probe.history()[0]
    off = s["realtime"] - vmclockpage.host_time_ns(told, s["tsc"])
    t.ok(s["sequence"] == before["sequence"] + 1 and s["status"] == migprobe.SYNCHRONIZED and
         r["detector"] == "ivshmem" and r["source"] == "ivshmem" and
         r["policy"] == migprobe.INJECT and migprobe.ntp_is_reset(s) and
         1 <= s["cancels"] - before["cancels"] <= r["settings"] and
         abs(r["error_left_ns"]) < 10**7 and abs(off) < 10**8,
         f"migrated: one event with the time: {r}")

    # 20 s: the guest's ACPI has to answer, on a machine that may be busy
    t.guest.qmp.command("device_del", id="vmcpage")
    deadline = time.monotonic() + 20
    while "ivshmem" in probe.sources() and time.monotonic() < deadline:
        time.sleep(0.2)
    before = probe.state()
    time.sleep(0.5)
    s = probe.state()
    t.ok("ivshmem" not in probe.sources() and
         "ivshmem" not in probe.get("migration/detectors") and
         s["sequence"] == before["sequence"] and s["ioctl"]["reads"] > before["ioctl"]["reads"],
         f"unplugged: neither source nor detector is left, no event, reads go on: "
         f"{probe.sources()}")
    migprobe.check_watchers(t, probe.state(), None)
    new.close()
    t.ok(probe.quit() == 0, "the probe ran through it all")
