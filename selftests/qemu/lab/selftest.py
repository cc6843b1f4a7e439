# SPDX-License-Identifier: GPL-2.0-only
"""Does the lab notice?  Faults on purpose, each of which must be reported.

A harness that cannot fail proves nothing about what it runs.
"""

import io
import os
import re
import time

from . import runner, tap, tree, vm
from .tap import FAIL, PASS, SKIP

GOOD = "echo 1..1; echo ok 1 - fine"
# Shell commands for the guest; the verdicts and the text that must come out.
# None of these ends the guest, so they share one.
SHARED = (
    ("good", GOOD, {PASS: 1}, ""),
    ("not_ok", "echo 1..1; echo not ok 1 - bad", {FAIL: 1}, "bad"),
    ("no_plan", "echo ok 1 - fine", {PASS: 1, FAIL: 1}, "no TAP plan"),
    ("no_output", "true", {FAIL: 1}, "no TAP plan"),
    ("too_few", "echo 1..2; echo ok 1 - fine", {PASS: 1, FAIL: 1}, "planned 2 points, gave 1"),
    ("too_many", "echo 1..1; echo ok 1; echo ok 2", {PASS: 2, FAIL: 1},
     "planned 1 points, gave 2"),
    ("gap", "echo 1..2; echo ok 1; echo ok 3", {PASS: 2, FAIL: 2}, "point 2 missing"),
    ("exit_code", f"{GOOD}; exit 3", {PASS: 1, FAIL: 1}, "exit code 3"),
    ("bail_out", "echo 1..2; echo ok 1; echo Bail out! tired", {PASS: 1, FAIL: 1}, "tired"),
    ("signal", f"{GOOD}; kill -SEGV $$", {PASS: 1, FAIL: 1}, "exit code 139"),
    ("time_out", f"{GOOD}; sleep 100", {PASS: 1, FAIL: 1}, "time-out"),
    ("skip_point", "echo 1..1; echo 'ok 1 - that # SKIP no device'", {SKIP: 1}, "no device"),
    ("skip_all", "echo '1..0 # SKIP no device'; exit 77", {SKIP: 1}, "no device"),
    ("silent_skip", "exit 77", {FAIL: 1}, "without a reason"),
    ("silent_plan", "echo 1..0; exit 77", {FAIL: 1}, "without a reason"),
    ("silent_point", "echo 1..1; echo 'ok 1 - that # SKIP'", {FAIL: 1}, "without a reason"),
)
# Each of these ends or spoils its guest.
ALONE = (
    ("panic", "echo c > /proc/sysrq-trigger; sleep 9", {FAIL: 2}, "without saying success"),
    ("power_off", f"{GOOD}; poweroff -f; sleep 9", {PASS: 1, FAIL: 1}, "without saying success"),
    ("splat", f"echo 'WARNING: CPU: 0 PID: 1 at x.c:1' > /dev/kmsg; {GOOD}",
     {PASS: 1, FAIL: 1}, "kernel log is not clean"),
)
ORPHANED = 40       # commands that leave orphans
LOG_LINES = (
    ("[    1.0] WARNING: CPU: 1 PID: 77 at kernel/time/x.c:10 f+0x1/0x2", True),
    ("[    1.0] BUG: unable to handle page fault for address: 0", True),
    ("[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU", True),
    ("[    1.0] INFO: task insmod:77 blocked for more than 120 seconds.", True),
    ("[    1.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s!", True),
    ("[    1.0] Oops: 0000 [#1] PREEMPT SMP", True),
    ("[    1.0] BUG: scheduling while atomic: x/1/0x2", True),
    ("[    1.0] BUG: KASAN: slab-use-after-free in x+0x1/0x2 [ffclock]", True),
    ("[    1.0] UBSAN: shift-out-of-bounds in x.c:1:2", True),
    ("[    1.0] BUG: KCSAN: data-race in x / y", True),
    ("[    1.0] kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", True),
    ("[    1.0] [ BUG: Invalid wait context ]", True),
    ("[    1.0] WARNING: suspicious RCU usage", True),
    ("[    1.0] kmemleak: Automatic memory scanning thread started", False),
    ("[    1.0] ffclock: loading out-of-tree module taints kernel.", False),
    ("[    1.0] lab: begin BUG_named_test", False),
    ("[    1.0] clocksource: tsc: mask: 0xffffffffffffffff", False),
)


def check_scan(out):
    for line, bad in LOG_LINES:
        found = bool(tap.scan(line))
        out.append(tap.Point(PASS if found == bad else FAIL,
                             f"{'reports' if bad else 'lets pass'}: {line[10:60]}"))
    log = "lab: begin a\nlab: end a\nlab: begin b\nBUG: x\nlab: end b\n"
    out.append(tap.Point(PASS if tap.scan(log) == [("b", "BUG: x")] else FAIL,
                         "names the test that a bad line belongs to"))
    trace = "[ 1.0] Call Trace:\n[ 1.0]  <TASK>\n[ 1.0]  ? lockdep_on+0x1/0x2\n"
    log = f"[ 1.0] x: vmalloc error: size 9, failed\n{trace}[ 1.0] BUG: x\n[ 1.0]  </TASK>\n"
    out.append(tap.Point(PASS if tap.scan(log) == [("", "[ 1.0] BUG: x")] else FAIL,
                         "lets pass: a failed allocation's trace, and nothing else in it"))
    out.append(tap.Point(PASS if len(tap.scan(log + trace)) == 2 + 1 else FAIL,
                         "reports: the next trace"))


def freeze(t):
    """A guest that stands still: the next line never comes."""
    t.ok(True, "before")
    t.guest.qmp.command("stop")
    t.line(2)


class Sleeper(vm.Guest):
    """A guest that says no hello in as many boots as sleeps tells."""

    sleeps = 0

    def spawn(self, incoming=None):
        self.config.append = "tsc=reliable" + (" rdinit=/bin/cat" if self.sleeps else "")
        self.sleeps = max(0, self.sleeps - 1)
        super().spawn(incoming)


def check_boots(out, lab, kernel):
    """A silent boot is begun again once, and told of."""
    for sleeps, seconds, wanted in ((1, 20, True), (2, 2, False)):
        with Sleeper(kernel, lab.images[kernel], lab.dir / kernel.name, f"sleeper-{sleeps}",
                     net=False) as guest:
            guest.sleeps = sleeps
            console = guest.path("console")
            try:
                guest.start(seconds)
                guest.finish()
                up = True
            except vm.Silence:
                up = False
        good = up == wanted and len(guest.given_up) == 1 and len(guest.consoles) == 1
        out.append(tap.Point(PASS if good else FAIL,
                             f"{sleeps} silent boots: {'the next one' if wanted else 'failure'}",
                             detail=[f"# up: {up}", *(f"# {w}" for w in guest.given_up)]))
        if wanted:      # the other boot had no keyboard yet
            told = "Show Blocked State" in console.read_text(errors="replace")
            out.append(tap.Point(PASS if told else FAIL,
                                 "a silent boot: its kernel told what its tasks do"))


def check_orphans(out, lab, kernel):
    """What commands leave behind dies while the guest's server reads and writes."""
    done = 0
    with vm.Guest(kernel, lab.images[kernel], lab.dir / kernel.name, "orphans",
                  net=False) as guest:
        guest.start()
        try:
            while done < ORPHANED:
                code, lines = guest.output(10, "for i in $(seq 60); do sleep 99 & done; echo done")
                if code or lines != ["done"]:
                    break
                done += 1
        except vm.GuestError:
            pass
    out.append(tap.Point(PASS if done == ORPHANED else FAIL,
                         f"no line is lost when orphans die: {done} of {ORPHANED} commands"))


def check_timers(out):
    """Which timer interrupts are lost."""
    lapic = "LVTTHMR\t 0x00010000 edge masked Fixed (vec 0)\n" \
        "LVTT\t 0x000000ec edge {} one-shot Fixed (vec 236)\n" \
        "Timer\t DCR=0x3 initial_count = {} current_count = {}\nISR\t {}\nIRR\t {}\n"
    for how, word in ((("", 9, 3, "(none)", "(none)"), "running (3 of 9)"),
                      (("masked", 0, 0, "(none)", "(none)"), "masked"),
                      (("", 9, 0, "(none)", "49 236"), "run out, interrupt pending"),
                      (("", 9, 0, "236", "(none)"), "run out, interrupt in service"),
                      (("", 9, 0, "(none)", "49"), "run out (of 9), interrupt lost")):
        got = vm.timer_state(lapic.format(*how))
        out.append(tap.Point(PASS if got == word else FAIL, f"a timer: {word}",
                             detail=[f"# got {got}"]))


def verdicts(points):
    tally = {}
    for p in points:
        tally[p.verdict] = tally.get(p.verdict, 0) + 1
    return tally


def compare(out, name, points, wanted, text):
    """One point: did the fault come out as it must?"""
    # The guest's own good end is not the fault's.
    mine = [p for p in points if not p.text.endswith("kernel log clean")]
    said = " / ".join(f"{p.text} {p.reason}" for p in mine)
    good = verdicts(mine) == wanted and text in said
    out.append(tap.Point(PASS if good else FAIL, f"notices {name}", detail=[] if good else [
        f"# wanted {wanted} and '{text}'", f"# got {verdicts(mine)}: {said}"]))


def run(report, kernel):
    """Give the faults to a lab and look at what it reports."""
    begin = time.monotonic()
    out = []
    check_scan(out)

    def test(name, command, seconds="60", **kw):
        return runner.Test(name, None, {"timeout": seconds}, command=command, **kw)

    listener = tap.Listener()
    lab = runner.Lab(listener)
    shared = [test(n, c, "2" if n == "time_out" else "60") for n, c, _, _ in SHARED]
    alone = [test(n, c) for n, c, _, _ in ALONE]
    for t in alone:
        t.options["own"] = "1"
    # One that kills its guest, and one that must get a new guest after it.
    shared.append(test("killer", "poweroff -f; sleep 9"))
    shared.append(test("survivor", GOOD))
    alone.append(test("freeze", "", host=freeze))
    lab.prepare([kernel], [])
    check_boots(out, lab, kernel)
    check_orphans(out, lab, kernel)
    check_timers(out)
    lab.run([kernel], shared + alone)

    for name, _, wanted, text in SHARED + ALONE:
        compare(out, name, listener.got.get(name, []), wanted, text)
    compare(out, "a killed guest", listener.got.get("killer", []), {FAIL: 1},
            "without saying success")
    compare(out, "nothing wrong in the test after it", listener.got.get("survivor", []),
            {PASS: 1}, "")
    compare(out, "freeze", listener.got.get("freeze", []), {PASS: 1, FAIL: 1}, "silent")

    empty = tap.Report(io.StringIO())
    out.append(tap.Point(PASS if empty.summary() else FAIL, "running nothing is failure"))
    last = empty.out.getvalue().splitlines()[-1]
    good = re.fullmatch(r"\d+ passed, \d+ failed, \d+ skipped", last)
    out.append(tap.Point(PASS if good else FAIL, "last line is the totals"))
    report.test(kernel.name, "lab_selftest", out, time.monotonic() - begin,
                os.path.relpath(lab.dir / kernel.name, tree.TOP))
