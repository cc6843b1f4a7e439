# SPDX-License-Identifier: GPL-2.0-only
"""TAP streams, the kernel log scan, and the report they end in."""

import dataclasses
import io
import re
import sys
import threading
import time

SKIP_CODE = 77      # exit status of a test program that skips as a whole

PASS, FAIL, SKIP = "passed", "failed", "skipped"

# What must not be in a kernel log.
SPLAT = re.compile(
    r"\bWARNING\b|\bBUG\b|\bOops\b|Call Trace|Kernel panic|lockdep|LOCKUP|soft lockup"
    r"|RCU.*(?:stall|detected)|rcu:.*(?:stall|detected)|suspicious RCU"
    r"|blocked for more than|hung task|possible (?:circular|recursive|irq lock)"
    r"|scheduling while atomic|sleeping function called|general protection"
    r"|[Uu]nable to handle|refcount_t:|KASAN|UBSAN|KCSAN|kmemleak|stack guard|Bad page"
    r"|list_(?:add|del) corruption|divide error|invalid opcode|double fault"
    # debug kernels
    r"|unreferenced object|ODEBUG|DEBUG_LOCKS|Invalid wait context|inconsistent lock state"
    r"|non-static key")
# Except these, each with its reason.
HARMLESS = re.compile(
    # CPU mitigations announce themselves on the first boot.
    r"Spectre V2 : |MDS CPU bug|TAA CPU bug|MMIO Stale Data CPU bug|L1TF CPU bug"
    # Debugging options announce themselves.
    r"|RCU lockdep checking is enabled|RCU CPU stall warnings timeout set"
    r"|kmemleak: (?:Kernel memory leak detector initialized|Automatic memory scanning thread)"
    # What it says when the test "faults" took its memory away; it goes on all the same.
    r"|kmemleak: Cannot allocate a scan area"
    # The markers that serve writes around every test.
    r"|\blab: (?:begin|end) ")
# An allocation that was made to fail is told with the way that led to it.  Who wanted
# the memory copes, or its test fails.
FAILED_VMALLOC = re.compile(r"vmalloc error: size \d+, ")
TRACE_LINE = re.compile(r"Call Trace:|\] +(?:\? )?[\w.]+\+0x")
TRACE_END = "</TASK>"


def scan(log):
    """[(test name or "", line)] for every bad line of a kernel log.

    The test is the one whose markers surround the line.
    """
    bad = []
    test = ""
    excused = False     # inside of such a trace
    for line in log.splitlines():
        m = re.search(r"\blab: (begin|end) (\S+)", line)
        if m:
            test = m.group(2) if m.group(1) == "begin" else ""
        if FAILED_VMALLOC.search(line):
            excused = True
        elif TRACE_END in line:
            excused = False
        if excused and TRACE_LINE.search(line):
            continue
        if SPLAT.search(line) and not HARMLESS.search(line):
            bad.append((test, line.strip()))
    return bad


@dataclasses.dataclass
class Point:
    """One result."""

    verdict: str
    text: str
    reason: str = ""                # of a skip
    detail: list = dataclasses.field(default_factory=list)   # "# ..." lines


class Stream:
    """One test's TAP, line by line; then finish() with its exit code.

    A test passes that announced a plan, gave exactly the points it announced,
    none of them "not ok", and exited with 0.  Anything else yields a failed
    point that says what was wrong.
    """

    POINT = re.compile(r"(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*)")
    PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*SKIP\b\s*(.*))?", re.I)

    def __init__(self):
        self.points = []
        self.plan = None
        self.skip_all = None
        self.bailed = None
        self.detail = []
        self.last = []

    def feed(self, line):
        self.last = (self.last + [line])[-10:]
        m = self.PLAN.fullmatch(line.strip())
        if m:
            self.plan = int(m.group(1))
            if self.plan == 0:
                self.skip_all = m.group(2) or ""
            return None
        if line.startswith("Bail out!"):
            self.bailed = line[9:].strip() or "no reason given"
            return None
        m = self.POINT.match(line)
        if not m:
            if line.startswith("#"):
                self.detail.append(line)
            return None
        text, _, directive = m.group(3).partition(" # ")
        if m.group(3).startswith("# "):
            text, directive = "", m.group(3)[2:]
        verdict = FAIL if m.group(1) else PASS
        reason = ""
        word = directive.split(" ", 1)
        if verdict == PASS and word[0].upper() == "SKIP":
            reason = word[1].strip() if len(word) > 1 else ""
            verdict = SKIP if reason else FAIL
            text += "" if reason else " (skipped without a reason)"
        elif directive and word[0].upper() not in ("SKIP", "TODO"):
            text = m.group(3)
        number = int(m.group(2)) if m.group(2) else len(self.points) + 1
        if number != len(self.points) + 1:
            self.points.append(Point(FAIL, f"point {len(self.points) + 1} missing: got {number}"))
        point = Point(verdict, text.strip() or f"point {number}", reason, self.detail)
        self.detail = []
        self.points.append(point)
        return point

    def finish(self, code, why=""):
        """The points, completed by what only the end can tell.

        code is the exit code; None when there is none and why says why.
        """
        extra = []
        if self.bailed is not None:
            extra.append(Point(FAIL, f"bailed out: {self.bailed}"))
        if code is None:
            extra.append(Point(FAIL, why, detail=[f"# last: {l}" for l in self.last]))
        elif code == SKIP_CODE or self.skip_all is not None:
            if not self.points:
                reason = self.skip_all
                if reason is None:
                    said = [d.lstrip("# ") for d in self.detail] or self.last[-1:]
                    reason = re.sub(r"^SKIP:?\s*", "", (said or [""])[-1])
                extra.append(Point(SKIP, "all", reason) if reason.strip() else
                             Point(FAIL, "all (skipped without a reason)"))
        else:
            if code != 0 and not any(p.verdict == FAIL for p in self.points + extra):
                how = f"exit code {code}"
                if code in (124, 137, 143):
                    how += " (killed: time-out?)"
                extra.append(Point(FAIL, how, detail=[f"# last: {l}" for l in self.last]))
            if self.plan is None:
                extra.append(Point(FAIL, "no TAP plan (1..N)",
                                   detail=[f"# last: {l}" for l in self.last]))
            elif self.bailed is None and self.plan != len(self.points):
                extra.append(Point(FAIL, f"planned {self.plan} points, gave {len(self.points)}",
                                   detail=[f"# last: {l}" for l in self.last]))
        self.points += extra
        return self.points


class Points:
    """Points as they come, of a test that is a program and not one of the runner's."""

    def __init__(self):
        self.points = self.failed = 0

    def ok(self, good, text, detail=""):
        """A point; detail is for one that fails."""
        self.points += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.points} - {text}", flush=True)
        if not good:
            self.diag(detail)
        return good

    def skip(self, text, why):
        self.points += 1
        print(f"ok {self.points} - {text} # SKIP {why}", flush=True)

    def diag(self, text):
        for line in str(text).splitlines():
            print(f"# {line}", flush=True)


class Report:
    """All results of one run, as TAP on out, with a summary at the end."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.count = {PASS: 0, FAIL: 0, SKIP: 0}
        self.failures = []      # (text, log)
        self.skips = []
        self.notes = []
        self.number = 0
        self.begin = time.monotonic()
        self.lock = threading.Lock()
        self._print("TAP version 13")

    def _print(self, line):
        print(line, file=self.out, flush=True)

    def say(self, text):
        with self.lock:
            self._print(f"# {text}")

    def note(self, text):
        """What whoever reads the end of the report should know too."""
        with self.lock:
            self.notes.append(text)

    def test(self, where, name, points, seconds, log=None):
        """All points of one finished test, then its progress line."""
        with self.lock:
            tally = {PASS: 0, FAIL: 0, SKIP: 0}
            for p in points:
                self.number += 1
                self.count[p.verdict] += 1
                tally[p.verdict] += 1
                text = f"[{where}] {name}: {p.text}".replace("#", "\\#")
                word = "not ok" if p.verdict == FAIL else "ok"
                tail = f" # SKIP {p.reason}" if p.verdict == SKIP else ""
                self._print(f"{word} {self.number} - {text}{tail}")
                if p.verdict == FAIL:
                    for line in p.detail[-40:]:
                        self._print(line if line.startswith("#") else f"# {line}")
                    self.failures.append((f"[{where}] {name}: {p.text}", log))
                elif p.verdict == SKIP:
                    self.skips.append((f"[{where}] {name}: {p.text}", p.reason))
            self._print(f"# [{where}] {name}: {counts(tally)} in {seconds:.1f} s "
                        f"(total {time.monotonic() - self.begin:.0f} s)")

    def summary(self):
        """Print the end of the report; the exit code of the run."""
        with self.lock:
            self._print(f"1..{self.number}")
            for text in self.notes:
                self._print(f"# note: {text}")
            for text, reason in self.skips:
                self._print(f"# skipped: {text}: {reason}")
            for text, log in self.failures:
                self._print(f"# failed: {text}" + (f" (log: {log})" if log else ""))
            if not self.number:
                self._print("# nothing was run: that counts as failure")
            self._print(counts(self.count))
        return 1 if self.count[FAIL] or not self.number else 0


class Listener(Report):
    """A report that keeps the points, by test, instead of giving them out."""

    def __init__(self):
        super().__init__(io.StringIO())
        self.got = {}

    def test(self, where, name, points, seconds, log=None):
        self.got.setdefault(name, []).extend(points)


def counts(tally):
    return f"{tally[PASS]} passed, {tally[FAIL]} failed, {tally[SKIP]} skipped"
