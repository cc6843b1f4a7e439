# SPDX-License-Identifier: GPL-2.0-only
"""A guest is saved, and restored on the same host, with a reader running."""

import time

from xenlab import reader


def run(t):
    h = t.host(dom0="clocksource=xen", memory=1536, dom0_memory=896)
    t.dom0(h)
    h.sh("(xenclk set 0 20000 4 100000 2000 >/dev/null 2>&1 &); sleep 1")
    reader.keep_records(h)
    h.create("pv1", ip="10.9.0.11")
    t.follow(h, "pv1")
    h.guest("pv1", "echo notify > /sys/kernel/ffclock/migration/policy")
    offsets = [reader.offset(h, "pv1")]
    reader.start(h, "pv1")
    time.sleep(5)

    h.sh("mkdir -p /save; mount -t tmpfs -o size=400m tmpfs /save; xl save pv1 /save/pv1", 600)
    t.ok("pv1" not in h.sh("xl list"), "saved")
    time.sleep(5)
    h.sh("xl restore -e /save/pv1; rm /save/pv1", 600)
    h.left("pv1")
    t.wait_state(h, "pv1", "0 following")
    t.ok(True, "restored, and following again")
    offsets.append(reader.offset(h, "pv1"))
    time.sleep(5)
    log = reader.finish(t, h, "pv1")
    reader.judge(t, log, [(h.name, offsets[0], reader.records(h)),
                          (h.name, offsets[1], reader.records(h))])
    reader.dmesg_forward(t, h, "pv1")
