# SPDX-License-Identifier: GPL-2.0-only
# lab: machine=pc,aux-ram-share=on timeout=120
"""VMClock's generation counter: a guest that was restored or cloned, not moved.

Stock QEMU's page has none, so the host puts one there before the module looks.
"""

import migprobe
import vmclockpage


def disruption(t, probe, change, detectors, what):
    probe.arm()
    before = probe.state()
    change()
    s = probe.sequence(before["sequence"] + 1)
    record = probe.history()[0]
    t.diag(f"{what}: {record}")
    t.ok(s["sequence"] == before["sequence"] + 1 and record["detector"] in detectors,
         f"{what}: one event, noticed by {record['detector']}")
    t.ok(s["epoch"] > before["epoch"] and s["status"] == migprobe.UNRELIABLE and
         migprobe.ntp_is_reset(s), f"{what}: another epoch, unreliable, NTP reset")


def run(t):
    page = vmclockpage.Page.of(t.guest)
    page.update(flags=page.flags | vmclockpage.VM_GEN_COUNTER_PRESENT, vm_generation_counter=7)
    probe = migprobe.Probe(t)
    known = probe.get("migration/detectors")
    t.ok("vmgeneration" in known, f"the counter is a detector: {known}")
    disruption(t, probe, lambda: page.update(vm_generation_counter=8), ("vmgeneration",),
               "generation")
    disruption(t, probe, lambda: page.disrupt(vm_generation_counter=9),
               ("vmclock", "vmgeneration"), "marker and generation")
    disruption(t, probe, lambda: page.update(vm_generation_counter=2), ("vmgeneration",),
               "an earlier generation")
    t.ok(probe.quit() == 0, "the probe ran through it all")
