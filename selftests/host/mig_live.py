# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=240 qemu="-device vmgenid,guid=auto"
"""Live migrations and a restore, marker only: everything exactly once.

Stock QEMU tells that it has migrated a guest, and no time.  Five migrations under
load, then a snapshot restored after a gap.  Two tell of each: VMClock's marker, and
the VM generation id, which the kernel reports after an interrupt.
"""

import time

import migprobe

MIGRATIONS = 5
GAP = 5

# A page reader notices at the next timekeeping update: 4 ms at HZ=250, if the
# host runs both vCPUs.  On a machine with as many busy threads as this test's,
# a vCPU waits for its turn some times that.
PAGE_LATE_NS = 40e6


def once(t, probe, before, what):
    """One disruption was followed by exactly one of everything."""
    wanted = before["sequence"] + 1
    s = probe.sequence(wanted)
    settings = probe.history()[0]["settings"]
    cancels = s["cancels"] - before["cancels"]
    t.diag(f"{what}: {settings} settings, {cancels} cancellations; {s}")
    good = {
        "sequence": s["sequence"] == wanted == s["page_sequence"],
        "marker": not s["marker_seen"] or s["marker"] == before["marker"] + 1,
        "epoch": s["epoch"] > before["epoch"],
        # Once, unless the vCPU was taken away while CLOCK_REALTIME was set: each
        # correction is another setting; two together may be one cancellation.
        "timerfd": 1 <= cancels <= settings and not s["cancel_errors"],
        "uevent": s["uevents"] == before["uevents"] + 1 and
                  not s["uevents_wrong"] and not s["uevents_skipped"],
        "poll": s["poll_sequences"] == before["poll_sequences"] + 1,
        "status": s["status"] == migprobe.UNRELIABLE and
                  s["bound_ns"] == migprobe.BOUND_UNKNOWN,
        "ntp": migprobe.ntp_is_reset(s),
        "suppressed": s["suppressed"] == 0,
        "clocksource": s["clocksource"] == "tsc",
    }
    bad = [k for k, v in good.items() if not v]
    t.ok(not bad, f"{what}: event, epoch, timerfd, uevent, poll once each; "
         f"unreliable; NTP reset{': not ' + ', '.join(bad) if bad else ''}")
    return cancels


def run(t, migrations=MIGRATIONS, gap=GAP):
    probe = migprobe.Probe(t)
    start = probe.state()
    t.ok(start["marker_seen"], "the hypervisor's page can be read beside the module")
    probe.load(1)
    cancels = []

    for i in range(migrations):
        probe.arm()
        before = probe.state()
        t.ok(before["status"] == migprobe.SYNCHRONIZED and not before["unsync"],
             f"migration {i + 1}: synchronised before it")
        m = t.migrate()
        t.diag(f"migration {i + 1}: {m.total_ms} ms, downtime {m.downtime_ms} ms")
        cancels.append(once(t, probe, before, f"migration {i + 1}"))

    probe.arm()
    before = probe.state()
    state = t.guest.path("state")
    t.guest.save(state)
    time.sleep(gap)
    t.guest = t.guest.restore(state)
    state.unlink()
    cancels.append(once(t, probe, before, f"restore after {gap} s"))
    t.ok(cancels.count(1) >= 0.8 * len(cancels),
         f"timerfd cancelled exactly once: {cancels.count(1)} of {len(cancels)}")

    history = probe.history()
    t.diag(f"history: {history}")
    count = migrations + 1
    wanted = list(range(count, max(0, count - 16), -1))
    t.ok([r["sequence"] for r in history] == wanted,
         f"history: the last {len(wanted)}, each once, latest first")
    t.ok(history[0]["policy"] == migprobe.PENDING and history[0]["source"] == "",
         "history: the latest waits for a source of time")
    t.ok(all(r["policy"] == migprobe.NTP_RESET and r["source"] == "estimate"
             for r in history[1:]), "history: the others got theirs from the probe's estimate")
    t.ok(all(r["detector"] == "vmclock" for r in history), "history: noticed by vmclock")
    t.ok(len({r["epoch"] for r in history}) == len(history), "history: an epoch each")
    t.ok(probe.sources().get("vmclock", (0, ""))[0] != 0,
         f"sources: vmclock is refused: {probe.sources()}")

    migprobe.check_watchers(t, probe.state(), PAGE_LATE_NS)
    # It ran on TCG's TSC with nothing to correct it by: what is behind stays so.
    t.ok(probe.quit() == 0, "the probe ran through it all")
