# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=420 qemu="-device vmgenid,guid=auto -global PIIX4_PM.disable_s3=0"
"""A guest that cooperates: it sleeps through its migration.

With suspend to RAM and with suspend to idle.  Nothing of the guest runs with the old
host's time after the move; sleep, marker and VM generation make one disruption.  From
suspend to idle the VM generation's notification comes when the guest wakes, and may
then be another one.
On kernels that have it ptp_vmclock is bound to the page before our module.
"""

import time

import migprobe

BESIDE = "modprobe ptp_vmclock 2>/dev/null || true"


def asleep_s3(guest):
    return guest.qmp.command("query-status")["status"] == "suspended"


def wait(condition, timeout=60):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def beside(t, probe, when):
    """ptp_vmclock has the page too, loaded when; a skip where there is none.

    Its PTP clock comes with a page that tells the time; its device always.
    """
    if probe.sh("grep -q ptp_vmclock /lib/modules/$(uname -r)/modules.dep")[0]:
        t.skip(f"ptp_vmclock, loaded {when} us, works", "this kernel has none (before 6.13)")
        return
    _, said = probe.sh("ls /dev/vmclock0 && head -c 4 /dev/vmclock0; echo")
    t.ok(said == ["/dev/vmclock0", "VCLK"], f"ptp_vmclock, loaded {when} us, works: {said}")


def sleep_and_move(t, probe, how, wake, is_asleep):
    probe.arm()
    before = probe.state()
    # The guest's end of a migration service would do this when the hypervisor
    # announces it (notice "imminent").
    t.send(f"sh (sleep 0.3; echo {how} > /sys/power/state) > /tmp/sleep.log 2>&1 &")
    t.expect("exit 0", 30)
    t.ok(is_asleep(), f"{how}: the guest sleeps")
    t.migrate()
    slept = 2
    time.sleep(slept)
    t.guest.qmp.command(wake)
    probe.resync()
    s = probe.sequence(before["sequence"] + 1, 60)
    r = probe.history()[0]
    t.diag(f"{how}: {r}")
    events = s["sequence"] - before["sequence"]
    told = s["uevents"] + s["uevents_skipped"] - before["uevents"] - before["uevents_skipped"]
    late = how == "freeze" and events == 2 and r["detector"] == "vmgenid"
    t.ok((events == 1 or late) and s["page_sequence"] == s["sequence"] and told == events and
         not s["uevents_wrong"] and s["marker"] == before["marker"] + 1,
         f"{how}, marker and VM generation: {events} disruption{'s' if late else ''}, the last "
         f"noticed by {r['detector']}")
    cancels = s["cancels"] - before["cancels"]
    t.ok(s["status"] == migprobe.UNRELIABLE and migprobe.ntp_is_reset(s) and
         1 <= cancels, f"{how}: unreliable until somebody tells the time, NTP reset, "
         f"{cancels} cancellations for {r['settings']} settings and the kernel's own at resume")


def run(t):
    probe = migprobe.Probe(t, before=BESIDE)
    beside(t, probe, "before")
    t.ok("vmclock" in probe.sources() and "vmgenid" in probe.get("migration/detectors"),
         f"watched: {probe.get('migration/detectors')}")

    sleep_and_move(t, probe, "mem", "system_wakeup",
                   lambda: wait(lambda: asleep_s3(t.guest)))
    # QEMU does not know of suspend to idle: the guest's silence is all there is; the
    # power button wakes it, and is no more than that while it sleeps.
    def silent():
        time.sleep(3)
        return t.guest.qmp.command("query-status")["status"] == "running"
    sleep_and_move(t, probe, "freeze", "system_powerdown", silent)

    probe.sh("rmmod ffclock_vmclock; rmmod ptp_vmclock 2>/dev/null")
    probe.modprobe("ffclock_vmclock")
    probe.sh(BESIDE)
    beside(t, probe, "after")
    before = probe.state()
    t.migrate()
    s = probe.sequence(before["sequence"] + 1, 60)
    t.ok(s["sequence"] == before["sequence"] + 1 and s["uevents"] == before["uevents"] + 1,
         f"a migration with both there again: {s['sequence'] - before['sequence']} disruption, "
         f"noticed by {probe.history()[0]['detector']}")
    t.ok(probe.quit() == 0, "the probe ran through it all")
