# SPDX-License-Identifier: GPL-2.0-only
"""From tests to guests to results."""

import concurrent.futures
import dataclasses
import importlib.util
import os
import pathlib
import re
import shlex
import shutil
import sys
import time
import traceback

from . import debug, image, tap, tree, vm
from .tree import LabError
from .vm import GuestError, MARK

# Longer forms of a host part import the short one.
sys.path.append(str(tree.HOST_TESTS))

DEFAULT_TIMEOUT = 120   # s, for one test
KEPT_RUNS = 20          # directories of logs
# Values of group=; "all" are those of make check, the others run when asked for.
CHECK_GROUPS = ("fast", "slow")
OTHER_GROUPS = ("migration", "long", "debug")
GROUPS = CHECK_GROUPS + OTHER_GROUPS + ("all",)
# Keys of a "lab:" line that make a test need a guest of its own.
OWN_GUEST = ("smp", "memory", "append", "machine", "cpu", "vmclock", "net", "qemu", "hosttime")


@dataclasses.dataclass
class Test:
    """One test: a program for the guest, or a host part that drives one."""

    name: str
    source: pathlib.Path
    options: dict
    host: object = False   # True: run() in source; or that function itself
    command: str = ""   # of a guest test without a file; source is then unused

    @property
    def timeout(self):
        return int(self.options.get("timeout", DEFAULT_TIMEOUT))

    @property
    def group(self):
        return self.options.get("group", "fast")

    def in_group(self, wanted):
        return self.group == wanted or wanted == "all" and self.group in CHECK_GROUPS

    @property
    def programs(self):
        return [p for p in self.options.get("programs", "").split(",") if p]

    def runs_on(self, kernel):
        if kernel.debug and "nodebug" in self.options:
            return False
        if not kernel.debug and self.group == "debug":
            return False
        if kernel.extra and self.options.get("extras") != "1":
            return False
        wanted = self.options.get("kernels")
        return not wanted or kernel.line in wanted.split(",")

    def why_not(self, kernel):
        """Why runs_on() says no."""
        if kernel.debug and "nodebug" in self.options:
            return self.options["nodebug"]
        if not kernel.debug and self.group == "debug":
            return "for debug kernels"
        return f"kernels={self.options['kernels']}"

    def config(self, accel):
        """The guest it wants."""
        o = self.options
        config = vm.Config(accel=o.get("accel", accel))
        for key in ("smp", "memory"):
            if key in o:
                setattr(config, key, int(o[key]))
        for key in ("append", "machine", "cpu", "qemu"):
            if key in o:
                setattr(config, key, o[key])
        for key in ("vmclock", "net", "hosttime"):
            if key in o:
                setattr(config, key, o[key] not in ("0", "no", "off"))
        return config


def parse_options(path):
    """The "lab:" line of a test's first 40 lines, as a dictionary."""
    known = set(OWN_GUEST) | {"timeout", "kernels", "group", "programs", "accel", "own",
                              "extras", "nodebug"}
    with open(path, encoding="utf-8") as f:
        head = [next(f, "") for _ in range(40)]
    options = {}
    for line in head:
        m = re.match(r"\s*(?:#|//|/?\*)+\s*lab:\s*(.*?)\s*(?:\*/)?\s*$", line)
        if not m:
            continue
        for word in shlex.split(m.group(1)):
            key, eq, value = word.partition("=")
            if not eq or key not in known:
                raise LabError(f"{path.name}: '{word}' in its lab: line is not one of "
                               f"{', '.join(sorted(known))}, each with =value")
            options[key] = value
    if options.get("group", "fast") not in CHECK_GROUPS + OTHER_GROUPS:
        raise LabError(f"{path.name}: group= in its lab: line is not one of "
                       f"{', '.join(CHECK_GROUPS + OTHER_GROUPS)}")
    for key in ("timeout", "smp", "memory"):
        if key in options and not options[key].isdigit():
            raise LabError(f"{path.name}: {key}= in its lab: line wants a number")
    return options


def discover():
    """All tests of the tree, by name."""
    tests = {}

    def add(test):
        if test.name in tests:
            raise LabError(f"two tests are called {test.name}: {tests[test.name].source} "
                           f"and {test.source}")
        tests[test.name] = test

    for path in sorted(tree.GUEST_TESTS.glob("*.sh")) + sorted(tree.GUEST_TESTS.glob("*.c")):
        add(Test(path.stem, path, parse_options(path)))
    for path in sorted(tree.HOST_TESTS.glob("*.py")):
        add(Test(path.stem, path, parse_options(path), host=True))
    return tests


class HostPart:
    """What the run(t) of a host test gets: a guest, and TAP points to give."""

    def __init__(self, guest, test, stream):
        self.guest = guest
        self.kernel = guest.kernel
        self.test = test
        self.timeout = test.timeout * guest.kernel.patience
        self.stream = stream
        self.points = 0

    def _feed(self, line):
        self.guest.transcript.append(line)
        self.stream.feed(line)

    def diag(self, text):
        for line in str(text).splitlines():
            self._feed(f"# {line}")

    def ok(self, condition, text):
        self.points += 1
        self._feed(f"{'ok' if condition else 'not ok'} {self.points} - {text}")
        return bool(condition)

    def skip(self, text, why):
        self.points += 1
        self._feed(f"ok {self.points} - {text} # SKIP {why}")

    def serve(self, command, name=None):
        """Begin a program in the guest, its input and output the channel."""
        self.guest.serve(name or self.test.name, self.timeout, command)

    def send(self, line):
        self.guest.send(line)

    def line(self, timeout=30):
        return self.guest.line(timeout * self.kernel.patience)

    def expect(self, pattern, timeout=30):
        """The match of the next line that matches; others become diagnostics."""
        deadline = time.monotonic() + timeout * self.kernel.patience
        while True:
            line = self.guest.line(deadline - time.monotonic())
            m = re.search(pattern, line)
            if m:
                return m
            self.stream.feed(f"# {line}")
            if line.startswith(MARK + "end "):
                raise GuestError(f"program ended before '{pattern}': {line}")

    def done(self, timeout=30):
        """Wait for the served program's end; its exit code."""
        deadline = time.monotonic() + timeout * self.kernel.patience
        while True:
            line = self.guest.line(deadline - time.monotonic())
            if line.startswith(MARK + "end "):
                return int(line.split()[3])
            self.stream.feed(f"# {line}")

    def migrate(self, **changes):
        """Live-migrate the guest; returns the Migration."""
        self.guest, migration = self.guest.migrate(**changes)
        return migration


def run_directory():
    """A new directory for this run's logs; the oldest ones go."""
    tree.LOGS.mkdir(parents=True, exist_ok=True)
    old = sorted(tree.LOGS.glob("run-*"), key=lambda p: p.stat().st_mtime)
    for path in old[:-KEPT_RUNS]:
        pid = path.name.rpartition("-")[2]
        if not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(path, ignore_errors=True)
    path = tree.LOGS / f"run-{time.strftime('%H%M%S')}-{os.getpid()}"
    path.mkdir()
    return path


class Lab:
    """Runs tests on kernels and reports."""

    def __init__(self, report, verbose=False, keep=False):
        self.report = report
        self.verbose = verbose
        self.keep = keep
        self.accel = vm.Config.accel
        self.images = {}
        self.dir = run_directory()

    def prepare(self, kernels, tests):
        """Build the images, choose the accelerator."""
        programs = sorted({p for t in tests for p in t.programs})
        for kernel in kernels:
            path = self.dir / kernel.name / "image.cpio"
            modules = image.build(kernel, path, programs)
            self.images[kernel] = path
            self.report.say(f"[{kernel.name}] image: {kernel.release}, "
                            f"{path.stat().st_size >> 20} MB, our modules: "
                            f"{' '.join(modules) or 'none'}")
        self.accel = vm.probe_kvm(kernels[0], self.images[kernels[0]])
        self.report.say(f"accelerator: {self.accel}")

    def batches(self, kernels, tests):
        """[(kernel, [tests that share a guest])]: shared ones first."""
        out = []
        for kernel in kernels:
            mine = [t for t in tests if t.runs_on(kernel)]
            shared = [t for t in mine if not t.host and "own" not in t.options
                      and not any(k in t.options for k in OWN_GUEST)]
            if shared:
                out.append((kernel, shared))
            out += [(kernel, [t]) for t in mine if t not in shared]
        return out

    def run(self, kernels, tests, jobs=2, more=()):
        """Run everything; at most jobs guests at a time; more batches first."""
        for kernel in kernels:
            for test in tests:
                if not test.runs_on(kernel) and not kernel.extra:
                    self.report.say(f"[{kernel.name}] {test.name}: not for this kernel "
                                    f"({test.why_not(kernel)})")
        batches = list(more) + self.batches(kernels, tests)
        try:
            self._run(batches, jobs)
        finally:
            if not self.keep:
                for path in self.images.values():
                    path.unlink(missing_ok=True)

    def _run(self, batches, jobs):
        with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
            for job in [pool.submit(self.batch, k, ts) for k, ts in batches]:
                job.result()

    def batch(self, kernel, tests):
        """Tests that share a guest; a new guest after each that killed it."""
        tests = list(tests)
        part = 0
        while tests:
            name = tests[0].name if len(tests) == 1 else "shared"
            if part:
                name += f"-{part}"
            part += 1
            done = self.one_guest(kernel, tests, name)
            tests = tests[done:]

    def one_guest(self, kernel, tests, name):
        """Run tests in one guest until the end or its death; how many ran."""
        workdir = self.dir / kernel.name
        config = tests[0].config(self.accel)
        if kernel.debug:
            config.memory += debug.MORE_MEMORY
            config.append += f" {debug.APPEND}"
        guest = vm.Guest(kernel, self.images[kernel], workdir, name, config)
        begin = time.monotonic()
        results = []        # (test, points, seconds)
        death = None
        try:
            try:
                guest.start()
            except GuestError as err:
                death = f"boot: {err}"
                guest.last_words(err)
                results.append((tests[0], [tap.Point(tap.FAIL, death)],
                                time.monotonic() - begin))
            for why in guest.given_up:
                self.report.note(f"[{kernel.name}] {name}: booted again: {why}")
            for test in tests if not death else ():
                t0 = time.monotonic()
                stream = tap.Stream()
                try:
                    if test.host:
                        guest, code = self.host_test(guest, test, stream)
                    else:
                        code = self.guest_test(guest, test, stream)
                    points = stream.finish(code)
                except GuestError as err:
                    death = str(err)
                    guest.last_words(err)
                    points = stream.finish(None, death)
                results.append((test, points, time.monotonic() - t0))
                if death:
                    break
                # The last one waits for the guest's end, to be told with it.
                if test is not tests[-1]:
                    self.tell(kernel, guest, *results.pop())
            if not death:
                try:
                    if kernel.debug:
                        debug.end(guest)
                    guest.finish()
                except GuestError as err:
                    death = f"guest's end: {err}"
                    guest.last_words(err)
                    results[-1][1].append(tap.Point(tap.FAIL, death))
        finally:
            if death:
                time.sleep(0.5)     # let a panic finish printing
            guest.kill()
            self.transcript(guest).write_text("\n".join(guest.transcript) + "\n")
        self.judge_log(kernel, guest, results)
        for row in results:
            self.tell(kernel, guest, *row)
        if not self.keep:
            for file in workdir.glob(f"{name}.*.shm"):
                file.unlink()
        return tests.index(results[-1][0]) + 1

    @staticmethod
    def transcript(guest):
        return guest.workdir / f"{guest.name}.channel.log"

    def tell(self, kernel, guest, test, points, seconds):
        log = guest.consoles[-1] if guest.consoles else None
        if log:
            log = f"{os.path.relpath(self.transcript(guest), tree.TOP)}, " \
                  f"{os.path.relpath(log, tree.TOP)}"
        self.report.test(kernel.name, test.name, points, seconds, log)

    def judge_log(self, kernel, guest, results):
        """One more point for the guest's last test: a clean kernel log."""
        bad = tap.scan(guest.console())
        test, points, _ = results[-1]
        if not bad and guest.succeeded:
            points.append(tap.Point(tap.PASS, f"guest {guest.name}: success said, "
                                    "kernel log clean"))
        elif bad:
            culprits = sorted({t for t, _ in bad if t})
            during = f" during {', '.join(culprits)}" if culprits else ""
            points.append(tap.Point(tap.FAIL, f"guest {guest.name}: kernel log is not clean"
                                    f"{during}", detail=[f"# {line}" for _, line in bad[:20]]))

    def program(self, test):
        """The command that runs a guest test."""
        if test.command:
            return test.command
        if test.source.suffix == ".sh":
            return f"sh /lab/tests/{test.source.name}"
        return f"/lab/tests/{test.name}"

    def guest_test(self, guest, test, stream):
        timeout = test.timeout * guest.kernel.patience
        guest.run(test.name, timeout, self.program(test))
        # Guest time may stand still for a while: the host allows some more.
        deadline = time.monotonic() + timeout * 1.25 + 20
        while True:
            line = guest.line(deadline - time.monotonic())
            if line.startswith(f"{MARK}end {test.name} "):
                return int(line.split()[3])
            if self.verbose:
                self.report.say(f"[{guest.kernel.name}] {line}")
            stream.feed(line)

    def host_test(self, guest, test, stream):
        """Run the host part; (guest it ended with, exit code)."""
        part = HostPart(guest, test, stream)
        try:
            if callable(test.host):
                test.host(part)
            else:
                spec = importlib.util.spec_from_file_location(f"host_{test.name}", test.source)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                module.run(part)
        except GuestError:
            raise
        except LabError as err:
            stream.feed(f"Bail out! {err}")
        except Exception:       # a broken test is a failed test, with its trace
            part.diag(traceback.format_exc())
            part.ok(False, "host part ran to its end")
        finally:
            stream.feed(f"1..{part.points}")
            guest.__dict__.update(part.guest.__dict__)
        return guest, 0
