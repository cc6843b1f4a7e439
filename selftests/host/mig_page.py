# SPDX-License-Identifier: GPL-2.0-only
# lab: machine=pc,aux-ram-share=on hosttime=1 timeout=300
"""Policies, limits, announcements and hostile pages, in one boot.

The host writes what it likes on the VMClock page of a running guest.  Whatever
that is: the work is bounded, sysfs says what is wrong, readers go on, mono does not
step back, and the next good page makes all well again.
"""

import random
import time

import migprobe
import vmclockpage

EAGAIN, ENODEV, EDOM, ERANGE, EILSEQ, EPROTO, EOPNOTSUPP, ETIMEDOUT, ESTALE = (
    -11, -19, -33, -34, -84, -71, -95, -110, -116)

SEC = 10**9

# The guest reads its TSC and then CLOCK_REALTIME, and other threads in between: what
# is set here is off by seconds.
SLACK_NS = SEC // 5


class Host:
    """The host's end: what it does to the page, and what the guest made of it."""

    def __init__(self, t):
        self.t = t
        self.probe = migprobe.Probe(t, hosttime=True)
        self.teller = vmclockpage.Teller(vmclockpage.memfd(t.guest.process.pid), t.guest.shm)
        self.page = vmclockpage.Page.of(t.guest)
        self.before = None

    def remember(self):
        self.probe.arm_ntp()
        self.before = self.probe.state()

    def moved(self, offset_ns=0, maxerror_ns=-1):
        """A disruption with the host's time + offset; (state after, record)."""
        self.remember()
        self.teller.moved(offset_ns, maxerror_ns)
        return self.after()

    def disrupt(self, **fields):
        """A disruption with these fields; (state after, record)."""
        self.remember()
        self.page.disrupt(**fields)
        return self.after()

    def after(self):
        state = self.probe.sequence(self.before["sequence"] + 1)
        return state, self.probe.history()[0]

    def offset(self, state):
        """The guest's CLOCK_REALTIME against the host's, in s, to SLACK_NS."""
        return (state["realtime"] - vmclockpage.host_time_ns(self.teller.told, state["tsc"])) / SEC

    def cancels(self, state):
        return state["cancels"] - self.before["cancels"]

    def uevents(self, state):
        """Sequences that uevents have told of."""
        return (state["uevents"] + state["uevents_skipped"] - self.before["uevents"] -
                self.before["uevents_skipped"])

    def well(self, offset_ns=0):
        """Tell the time; wait for the clocks to follow."""
        self.teller.tell(offset_ns)
        return self.probe.settle(lambda s: s["status"] == migprobe.SYNCHRONIZED)

    def refused(self, timeout=10):
        """Wait for the page's state as a source to be an error."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.probe.sources()["vmclock"]
            if state[0] or time.monotonic() > deadline:
                return state
            time.sleep(0.05)


def near(seconds, wanted):
    return abs(seconds - wanted) * SEC < SLACK_NS


def policies(t, h):
    s, r = h.moved()
    t.ok(s["status"] == migprobe.SYNCHRONIZED and near(h.offset(s), 0),
         f"the host tells marker and time at once: {r}")

    s, r = h.moved(5 * SEC)
    t.ok(r["policy"] == migprobe.INJECT and near(h.offset(s), 5) and near(r["tout_ns"] / SEC, 5)
         and abs(r["error_left_ns"]) < SLACK_NS and migprobe.ntp_is_reset(s) and
         1 <= h.cancels(s) <= r["settings"],
         f"inject: CLOCK_REALTIME {h.offset(s):+.3f} s, tout {r['tout_ns']} ns, left "
         f"{r['error_left_ns']} ns, set after {r['delay_ns'] / 1e6:.2f} ms, NTP reset, "
         f"{h.cancels(s)} cancellations")

    h.probe.set("migration/policy", "ntp-reset")
    s, r = h.moved(-5 * SEC)
    t.ok(r["policy"] == migprobe.NTP_RESET and near(h.offset(s), 5) and
         near(r["tout_ns"] / SEC, -10) and migprobe.ntp_is_reset(s) and
         1 <= h.cancels(s) <= r["settings"],
         f"ntp-reset: CLOCK_REALTIME stays {h.offset(s):+.3f} s, tout {r['tout_ns']} ns is only "
         f"told, NTP reset, {h.cancels(s)} cancellations")

    h.probe.set("migration/policy", "notify")
    s, r = h.moved()
    t.ok(r["policy"] == migprobe.NOTIFY and near(h.offset(s), 5) and not s["unsync"] and
         h.cancels(s) == 0 == r["settings"] and near(r["tout_ns"] / SEC, -5) and
         s["status"] == migprobe.SYNCHRONIZED,
         f"notify: CLOCK_REALTIME stays {h.offset(s):+.3f} s, NTP and timers are left alone, "
         "our clocks follow the host")
    h.probe.set("migration/policy", "inject")
    h.moved()

    h.probe.set("migration/tolerable_threshold_ns", str(SEC))
    s, r = h.moved(SEC // 2)
    t.ok(r["policy"] == migprobe.NTP_RESET and near(h.offset(s), 0) and migprobe.ntp_is_reset(s),
         f"tolerable_threshold_ns 1 s: tout {r['tout_ns']} ns is tolerated, NTP reset")
    s, r = h.moved(2 * SEC)
    t.ok(r["policy"] == migprobe.INJECT and near(h.offset(s), 2),
         f"tolerable_threshold_ns 1 s: tout {r['tout_ns']} ns is injected")
    h.probe.set("migration/tolerable_threshold_ns", "0")

    s, r = h.moved(2 * SEC, SEC // 4)
    t.ok(r["policy"] == migprobe.NTP_RESET and migprobe.ntp_is_reset(s) and
         abs(r["tout_ns"]) <= r["bound_ns"] == SEC // 4, "compensated already, as far as the "
         f"host knows (tout {r['tout_ns']} ns, bound {r['bound_ns']} ns): NTP reset only")

    h.probe.set("migration/max_tout_ns", str(SEC))
    s, r = h.moved(60 * SEC)
    state = h.refused()
    t.ok(r["flags"] & migprobe.F_REFUSED and r["policy"] == migprobe.NOTIFY and
         near(h.offset(s), 2) and s["status"] == migprobe.UNRELIABLE and state[0] == ERANGE,
         f"max_tout_ns 1 s: tout {r['tout_ns']} ns is refused, nothing follows it: {state}")
    h.probe.set("migration/max_tout_ns", str(315576000 * SEC))
    s, r = h.moved()
    t.ok(r["policy"] == migprobe.INJECT and near(h.offset(s), 0) and
         s["status"] == migprobe.SYNCHRONIZED, "max_tout_ns as it was: back on the host's time")


def announced(t, h):
    flags = h.page.flags
    trace = "/sys/kernel/tracing/events/ffclock"
    h.probe.sh(f"echo 1 > {trace}/enable; echo > /sys/kernel/tracing/trace")
    for word, flag in (("soon", vmclockpage.SOON), ("imminent", vmclockpage.IMMINENT), ("none", 0)):
        before = h.probe.state()
        h.page.update(flags=flags | flag)
        s = h.probe.settle(lambda s: s["uevents_notice"] > before["uevents_notice"] and
                           s["polls"] > before["polls"])
        said = h.probe.get("migration/notice")
        t.ok(s["uevents_notice"] == before["uevents_notice"] + 1 and said == [word] and
             s["notice"] == word and s["polls"] > before["polls"] and
             s["vmclock_flags"] & 6 == flag and s["sequence"] == before["sequence"] and
             s["status"] == migprobe.SYNCHRONIZED,
             f"announced: {word}: sysfs {said}, uevent {s['notice']}, poll, page; no disruption")
    h.moved()
    _, lines = h.probe.sh("cat /sys/kernel/tracing/trace")
    h.probe.sh(f"echo 0 > {trace}/enable")
    notices = [l.split("ffclock_notice: ")[1] for l in lines if "ffclock_notice: " in l]
    acts = [l.split("ffclock_migration: ")[1] for l in lines if "ffclock_migration: " in l]
    epochs = [l.split("ffclock_epoch: ")[1] for l in lines if "ffclock_epoch: " in l]
    t.ok(notices == ["soon=1 imminent=0", "soon=0 imminent=1", "soon=0 imminent=0"],
         f"tracepoint ffclock_notice: {notices}")
    act = dict(f.split("=") for f in acts[-1].split()) if acts else {}
    # what the page's bound, wide on a busy machine, covers is not set
    covered = acts and abs(int(act["tout_ns"])) <= int(act["bound_ns"])
    t.ok(len(epochs) == 1 and "why=vmclock" in epochs[0] and acts and
         act["detector"] == act["source"] == "vmclock" and
         int(act["policy"]) == (migprobe.NTP_RESET if covered else migprobe.INJECT),
         f"tracepoints ffclock_epoch, ffclock_migration: {acts[-1:]}")


def absurd(t, h):
    """Pages that say what cannot be, one by one; each is refused for the right reason."""
    good = h.page
    cases = (
        ("size 0", EPROTO, {"size": 0}),
        ("size of less than the structure", EPROTO, {"size": 104}),
        ("another magic", EPROTO, {"magic": 0}),
        ("version 2", EPROTO, {"version": 2}),
        ("counter_id invalid", EOPNOTSUPP, {"counter_id": 0xff}),
        ("counter_id of ARM", EOPNOTSUPP, {"counter_id": 0}),
        ("time_type 7", EOPNOTSUPP, {"time_type": 7}),
        ("TAI without its offset", EOPNOTSUPP, {"time_type": 1}),
        ("clock_status unreliable", EAGAIN, {"clock_status": 4}),
        ("clock_status 200", EAGAIN, {"clock_status": 200}),
        ("period 0", EPROTO, {"counter_period_frac_sec": 0}),
        ("period twice too long", EPROTO, {"counter_period_shift": good.counter_period_shift - 1}),
        ("period_shift 255", EPROTO, {"counter_period_shift": 255}),
        ("time 0", ERANGE, {"time_sec": 0}),
        ("the year 2550", ERANGE, {"time_sec": 18302659200}),
        ("time_sec 2^64 - 1", ERANGE, {"time_sec": (1 << 64) - 1}),
        ("a hundred years on", ERANGE, {"time_sec": good.time_sec + 3155760000}),
        ("counter_value in the future", ERANGE, {"counter_value": good.counter_value + (1 << 50)}),
        ("counter_value long ago", ESTALE, {"counter_value":
                                           (good.counter_value - (1 << 62)) & (1 << 64) - 1}),
        ("error bound of a day", EDOM, {"time_maxerror_nanosec": 86400 * SEC}),
        ("tai_offset of the wrong sign", ERANGE, {"flags": good.flags | 1, "tai_offset_sec": 37}),
    )
    clean = good.copy()
    wrong = []
    for what, errno, fields in cases:
        before = h.probe.state()
        good.update(**fields)
        state = h.refused()
        after = h.probe.state()
        if state[0] != errno or after["sequence"] != before["sequence"] or \
                not near(h.offset(after), 0):
            wrong.append((what, state))
        t.diag(f"{what}: {state[1]}")
        good.restore(clean)
        h.well()
    t.ok(not wrong, f"{len(cases)} absurd pages while it is followed: refused, CLOCK_REALTIME "
         f"and what was told before stand{': ' + str(wrong) if wrong else ''}")

    wrong = []
    for what, errno, fields in cases:
        s, r = h.disrupt(**fields)
        state = h.probe.sources()["vmclock"]
        # some of these lines were seen under the marker before
        if state[0] not in (errno, ESTALE) or s["status"] != migprobe.UNRELIABLE or not near(h.offset(s), 0) or \
                r["policy"] not in (migprobe.PENDING, migprobe.NOTIFY):
            wrong.append((what, state, s["status"], r))
        good.restore(clean)
        h.well()
    t.ok(not wrong, f"{len(cases)} absurd pages with a disruption: refused, unreliable until the "
         f"next good page{': ' + str(wrong) if wrong else ''}")


def stuck(t, h):
    """A sequence that stays odd, a marker that changes with every look."""
    h.remember()
    reads = h.before["ioctl"]["reads"]
    h.page.seq_count = h.page.seq_count | 1
    h.page.disruption_marker = h.page.disruption_marker + 1
    s, r = h.after()
    time.sleep(1)
    began = time.monotonic()
    s = h.probe.state()
    t.ok(s["status"] == migprobe.UNRELIABLE and h.probe.sources()["vmclock"][0] == ETIMEDOUT and
         s["ioctl"]["reads"] > reads and r["policy"] == migprobe.PENDING,
         f"seq_count stuck odd: noticed, {h.probe.sources()['vmclock'][1]}; "
         f"{s['ioctl']['reads'] - reads} reads meanwhile; state told in "
         f"{(time.monotonic() - began) * 1e3:.0f} ms")
    s = h.well()
    t.ok(s["status"] == migprobe.SYNCHRONIZED, "seq_count even again: all is well")

    for interval in (100, 1000):
        h.probe.set("migration/min_interval_ms", str(interval))
        h.remember()
        began = time.monotonic()
        marker = h.page.disruption_marker
        while time.monotonic() < began + 2:
            marker += 1
            h.page.disruption_marker = marker
            time.sleep(0.001)
        took = time.monotonic() - began
        s = h.probe.settle(lambda s: s["marker"] == marker)
        unreliable = s["status"] == migprobe.UNRELIABLE
        time.sleep(interval / 1000 + 0.3)
        s = h.probe.settle(lambda s: h.uevents(s) == s["sequence"] - h.before["sequence"])
        events = s["sequence"] - h.before["sequence"]
        limit = (took + interval / 1000 + 0.3) * 1000 / interval + 2
        t.ok(2 <= events <= limit and unreliable and s["suppressed"] > h.before["suppressed"] and
             h.uevents(s) == events and not s["uevents_wrong"] and
             h.cancels(s) <= 3 * events,
             f"marker flapping for {took:.1f} s, min_interval_ms {interval}: {events} events (at "
             f"most {limit:.0f}), held back {s['suppressed'] - h.before['suppressed']} times, "
             f"unreliable, {h.cancels(s)} cancellations")
        s = h.well()
        t.ok(s["status"] == migprobe.SYNCHRONIZED, "the marker keeps still: all is well")
    h.probe.set("migration/min_interval_ms", "100")


def noise(t, h, seconds=5):
    """Random bytes at random places, as fast as they can be written."""
    seed = random.getrandbits(32)
    rand = random.Random(seed)
    clean = h.page.copy()
    h.remember()
    began = time.monotonic()
    writes = 0
    while time.monotonic() < began + seconds:
        for _ in range(50):
            h.page.views["B"][rand.randrange(vmclockpage.LENGTH)] = rand.randrange(256)
            writes += 1
        if rand.randrange(4) == 0:
            h.page.seq_count = (h.page.seq_count + 2) & 0xfffffffe
        time.sleep(0.002)
    h.page.restore(clean)
    time.sleep(0.3)
    s = h.probe.settle(lambda s: h.uevents(s) == s["sequence"] - h.before["sequence"])
    events = s["sequence"] - h.before["sequence"]
    limit = (time.monotonic() - began) * 10 + 2
    t.ok(events <= limit and h.uevents(s) == events and not s["uevents_wrong"] and
         s["ioctl"]["reads"] > h.before["ioctl"]["reads"] and near(h.offset(s), 0),
         f"{writes} random bytes in {seconds} s (seed {seed}): {events} events (at most {limit:.0f}), "
         f"{s['ioctl']['reads'] - h.before['ioctl']['reads']} reads, CLOCK_REALTIME "
         f"{h.offset(s):+.3f} s")
    t.ok(h.well()["status"] == migprobe.SYNCHRONIZED, "and then all is well")


def rtc(t, h):
    """A host that tells no time, and the RTC as the last resort."""
    # Not with NTP "synchronised": then the kernel sets the RTC to CLOCK_REALTIME.
    h.probe.sh("modprobe ffclock_rtc; date -s @$(($(date +%s) + 10))")
    h.before = h.probe.state()
    ahead = h.offset(h.before) * SEC
    h.teller.command("withdraw")
    h.page.disrupt()
    s = h.probe.settle(lambda s: s["uevents_settled"] > h.before["uevents_settled"], 20)
    r = h.probe.history()[0]
    state = h.probe.sources()
    off = h.offset(s) * SEC
    t.ok(r["source"] == "rtc" and r["policy"] == migprobe.INJECT and state["rtc"][0] == 0 and
         state["vmclock"][0] == EAGAIN and abs(off) < r["bound_ns"] + SLACK_NS and
         ahead > 5 * SEC and abs(r["tout_ns"] + ahead) < r["bound_ns"] + SLACK_NS and
         r["bound_ns"] < 1.5 * SEC and s["status"] == migprobe.FREERUNNING,
         f"ffclock_rtc: asked {r['delay_ns'] / 1e9:.2f} s for the time; bound {r['bound_ns'] / 1e6:.1f}"
         f" ms, CLOCK_REALTIME {ahead / 1e6:+.1f} ms, then {off / 1e6:+.1f} ms; "
         f"our clocks are freerunning; {state}")
    t.ok(h.probe.sh("rmmod ffclock_rtc")[0] == 0, "ffclock_rtc can go")


def gone(t, h):
    """The page goes while it is watched, and comes again."""
    h.page.update(flags=h.page.flags | vmclockpage.SOON)
    h.probe.settle(lambda s: s["notice"] == "soon")
    code, said = h.probe.sh("rmmod ffclock_vmclock")
    t.ok(code == 0 and "vmclock" not in h.probe.sources() and
         "vmclock" not in h.probe.get("migration/detectors") and
         h.probe.get("migration/notice") == ["none"],
         f"the page goes: no source, no detector, no announcement of it is left {said}")
    before = h.probe.state()
    h.page.disrupt()
    time.sleep(0.5)
    s = h.probe.state()
    t.ok(s["sequence"] == before["sequence"], "nobody looks at it any more")
    code, _ = h.probe.modprobe("ffclock_vmclock")
    h.well()
    s, r = h.moved()
    t.ok(code == 0 and s["status"] == migprobe.SYNCHRONIZED and r["source"] == "vmclock",
         "the page comes again: a disruption is noticed and the time is known")
    h.probe.sh("echo N > /sys/module/ffclock_vmclock/parameters/follow")
    s, r = h.disrupt()
    pending = r["policy"] == migprobe.PENDING and h.refused()[0] == ESTALE
    h.teller.tell()
    s = h.probe.settle(lambda s: s["uevents_settled"] > h.before["uevents_settled"])
    r = h.probe.history()[0]
    t.ok(pending and r["source"] == "vmclock" and r["policy"] in (migprobe.INJECT,
                                                                  migprobe.NTP_RESET),
         "follow=N: the old line under a new marker is stale, a new one is asked for the time")
    h.probe.sh("echo Y > /sys/module/ffclock_vmclock/parameters/follow")


def run(t):
    h = Host(t)
    s = h.well()
    t.ok(s["status"] == migprobe.SYNCHRONIZED, "the clocks follow a page that tells the time")
    rtc(t, h)
    h.well()
    policies(t, h)
    announced(t, h)
    absurd(t, h)
    migprobe.check_watchers(t, h.probe.state(), 40e6, ", pages that can be told apart")
    # From here on markers change without an event of their own.
    stuck(t, h)
    noise(t, h)
    gone(t, h)
    migprobe.check_watchers(t, h.probe.state(), None, ", all pages")
    h.teller.close()
    t.ok(h.probe.quit() == 0, "the probe ran through it all")
