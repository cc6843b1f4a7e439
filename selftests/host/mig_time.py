# SPDX-License-Identifier: GPL-2.0-only
# lab: machine=pc,aux-ram-share=on hosttime=1 timeout=300
"""Live migrations and a restore with the host's time on the VMClock page.

A host program writes the host's time there, as a service beside an unpatched QEMU
can: before the migration it withdraws it, after it it meets the guest, which under
TCG takes a handshake, and writes the new host's line.  Then the guest's clocks
are what the page says, at the next timekeeping update.
"""

import time

import migprobe
import vmclockpage

MIGRATIONS = 3
GAP = 5

# What the issue asks for; a sample adds what it does not know itself.
UTC_NS = 1000
REALTIME_NS = 10000
# From resume to both right, without the host's own time for the page.
SOON_NS = 20e6

# The probe looks every 0.5 ms and then some.  What two looks are further apart
# than this the guest did not run: other guests had the machine's processors.
HELD_NS = 2e6

# The rate: the page's is right to 0.1 ppm (RATE_ERROR in vmclockpage.c), the
# kernel's own rounding of it 0.2 ppm.
RATE_OFF = 0.3e-6

# udev's and systemd's part: runs the hooks that ffclock ships, which give
# CLOCK_REALTIME the new frequency.
HOOKS = "uevent sh $LAB_LIB/hooks.sh >/tmp/hooks.log 2>&1 & true"

# On a machine with more to do than it can a hook takes seconds to be run.
HOOK_PATIENCE = 30

LOOKS = (("+10 ms", 10e6), ("+1 s", 1e9), ("+10 s", 10e9))


class Row:
    """A sample of the probe's against what the page says, which is host truth."""

    def __init__(self, told, sample):
        self.host = vmclockpage.host_time_ns(told, sample["tsc"])
        self.width = sample["width"] * told["rate"] / 2 + 1
        self.utc = sample["utc"] - vmclockpage.page_time_ns(told, sample["tsc"])
        self.realtime = sample["realtime"] - self.host
        self.synced = sample["status"] == migprobe.SYNCHRONIZED
        self.bound = sample["bound_ns"]
        self.freq = sample["freq"] / 65536e6    # s/s

    def utc_right(self):
        return self.synced and abs(self.utc) <= UTC_NS + self.width

    def realtime_right(self, drift=0):
        return abs(self.realtime) <= REALTIME_NS + self.width + drift

    def right(self, drift=0):
        return self.utc_right() and self.realtime_right(drift)

    def text(self):
        return (f"utc - page {self.utc:+.0f} ns, REALTIME - host {self.realtime:+.0f} ns "
                f"(+- {self.width:.0f}){'' if self.synced else ', not synchronised'}")


def drifts(rows):
    """[(row, what CLOCK_REALTIME drifts until then)], by NTP's frequency until then.

    The module cannot change that frequency; the last row has the right one.
    """
    found = []
    drift = 0
    for i, row in enumerate(rows):
        if i:
            age = row.host - rows[i - 1].host
            drift += age * (abs(rows[i - 1].freq - rows[-1].freq) + RATE_OFF)
        found.append((row, drift))
    return found


def look(t, probe, told, resumed, what):
    """The samples since the marker changed, as rows; prints the ones of interest."""
    rows = [Row(told, s) for s in probe.samples()]
    right = next((r for r in rows if r.right()), None)
    written = told["written_ns"]
    held = late = 0
    t.diag(f"{what}: met the guest {(told['met_ns'] - resumed) / 1e6:.2f} ms after resume, page "
           f"written after {(written - resumed) / 1e6:.2f} ms, bound {told['maxerror_ns']} ns")
    if right:
        seen = [resumed] + [r.host for r in rows if resumed < r.host <= right.host]
        gaps = [b - max(a, written) for a, b in zip(seen, seen[1:]) if b > written]
        held = sum(g - HELD_NS for g in gaps if g > HELD_NS)
        late = right.host - written - held
        t.diag(f"{what}: both clocks right {(right.host - resumed) / 1e6:.2f} ms after resume, "
               f"{(right.host - written) / 1e6:.2f} ms after the page, {held / 1e6:.2f} ms of "
               f"which the guest did not run: {right.text()}")
    for name, after in LOOKS:
        row = next((r for r in rows if r.host - resumed >= after), None)
        if row:
            t.diag(f"{what}: {name}: {row.text()}")
    return rows, right, late


def check(t, probe, before, rows, right, what):
    """What must hold of each disruption, however busy the machine is."""
    t.ok(right is not None, f"{what}: both clocks are right in the end")
    lies = [r for r in rows if r.synced and not r.utc_right()]
    t.ok(not lies, f"{what}: utc is within 1 us of the page whenever it says synchronised"
         f"{': not at ' + str(len(lies)) + ' of ' + str(len(rows)) if lies else ''}")
    late = drifts([r for r in rows if right and r.host >= right.host])
    off = [r for r, drift in late if not r.right(drift)]
    if late:
        first, (last, drift) = late[0][0], late[-1]
        changed = next((r for r, _ in late if r.freq == last.freq), last)
        t.diag(f"{what}: right frequency {last.freq * 1e6:+.3f} ppm {(changed.host - first.host) / 1e6:.0f} "
               f"ms later; until then it was {first.freq * 1e6:+.3f}, which accounts for "
               f"{drift:.0f} ns; REALTIME off by {max(abs(r.realtime) for r, _ in late)} ns at most")
    t.ok(late and not off, f"{what}: and so they stay, but for the old frequency until the hook "
         f"drops it: {len(late) - len(off)} of {len(late)} samples"
         f"{'; ' + off[0].text() if off else ''}")
    s = probe.sequence(before["sequence"] + 1)
    record = probe.history()[0]
    t.diag(f"{what}: {record}")
    t.ok(s["sequence"] == before["sequence"] + 1 and record["source"] in ("vmclock", "estimate")
         and record["policy"] == migprobe.INJECT and
         record["flags"] & (migprobe.F_TOUT | migprobe.F_SET | migprobe.F_REFUSED) ==
         migprobe.F_TOUT | migprobe.F_SET, f"{what}: one event, recorded with the host's time")
    t.ok(migprobe.ntp_is_reset(s) and s["freq"] != migprobe.OLD_FREQ,
         f"{what}: NTP state reset, the old frequency gone: {s['freq'] / 65536:+.3f} ppm")
    t.ok(s["uevents_settled"] == before["uevents_settled"] + 1, f"{what}: told as settled once")
    cancels = s["cancels"] - before["cancels"]
    t.ok(1 <= cancels <= record["settings"] and not s["cancel_errors"],
         f"{what}: timerfd cancelled {cancels} times for {record['settings']} settings")


def move(t, teller, kind):
    """Migrate or restore; (the new teller, its answer, when the guest resumed)."""
    teller.command("withdraw")
    rate = teller.rate
    new = None

    def spawned(dest):
        nonlocal new
        new = vmclockpage.Teller(vmclockpage.memfd(dest.process.pid), dest.shm, rate)
        new.begin_tell()

    if kind == "migrate":
        t.migrate(spawned=spawned)
    else:
        state = t.guest.path("state")
        t.guest.save(state)
        time.sleep(GAP)
        t.guest = t.guest.restore(state, spawned=spawned)
        state.unlink()
    teller.close()
    return new, new.end(), t.guest.resumed_ns()


def run(t, migrations=MIGRATIONS):
    probe = migprobe.Probe(t, hosttime=True, before=HOOKS)
    teller = vmclockpage.Teller(vmclockpage.memfd(t.guest.process.pid), t.guest.shm)

    # A first disruption brings CLOCK_REALTIME onto the host's, as a guest that has
    # a source of time is always.
    before = probe.state()
    teller.tell()
    s = probe.settle(lambda s: s["status"] == migprobe.SYNCHRONIZED)
    t.ok(s["status"] == migprobe.SYNCHRONIZED, "the clocks follow a page that begins to tell the "
         f"time; sources: {probe.sources()}")
    resumed = time.time_ns()
    told = teller.moved()
    probe.sequence(before["sequence"] + 1)
    time.sleep(1)
    rows, right, late = look(t, probe, told, resumed, "before")
    t.ok(right, "before: both clocks are right on the old host")
    soon = [late]
    for i in range(migrations + 1):
        what = f"migration {i + 1}" if i < migrations else f"restore after {GAP} s"
        probe.arm_ntp()
        before = probe.state()
        teller, told, resumed = move(t, teller, "migrate" if i < migrations else "restore")
        time.sleep(10.5 if i == 0 else 1.5)
        probe.settle(lambda s: s["freq"] != migprobe.OLD_FREQ, HOOK_PATIENCE)
        time.sleep(0.6)     # for a last sample at the new frequency
        rows, right, late = look(t, probe, told, resumed, what)
        check(t, probe, before, rows, right, what)
        soon.append(late)
    soon.sort()
    t.ok(soon[len(soon) // 2] <= SOON_NS, "both right within 20 ms of the page, in which the "
         f"guest runs, at the median: {', '.join(f'{v / 1e6:.2f}' for v in soon)} ms")
    t.diag(f"hooks: {probe.sh('cat /tmp/hooks.log')[1][-4:]}")
    migprobe.check_watchers(t, probe.state(), 40e6)
    teller.close()
    t.ok(probe.quit() == 0, "the probe ran through it all")
