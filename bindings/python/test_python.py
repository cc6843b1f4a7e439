#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The Python module on page files.  Runs as OUT/unit/test_python."""
import errno
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

OUT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(OUT / "python"))
sys.dont_write_bytecode = True

import ffclock  # noqa: E402  (the path comes first)

FLAGS_OFFSET, STATUS_OFFSET = 0x18, 0x22


class Page(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.dir.name, "page")
        self.make()
        self.clock = ffclock.Clock(self.path)

    def tearDown(self):
        self.clock.close()
        self.dir.cleanup()

    def make(self, *args):
        subprocess.run([OUT / "obj/unit/testpage", self.path, *map(str, args)], check=True)

    def poke(self, offset, data):
        with open(self.path, "r+b") as f:
            f.seek(offset)
            f.write(data)

    def test_is_abi3(self):
        self.assertTrue(ffclock.__file__.endswith(".abi3.so"))

    def test_reads(self):
        c = self.clock
        for name, offset in ("utc", 0), ("tai", 37):
            before = time.time_ns()
            t = c.time_ns(name)
            self.assertLess(abs(t - before - offset * 10**9), 5 * 10**9)
        self.assertLess(abs(c.time_ns("mono") - time.monotonic_ns()), 5 * 10**9)
        r = c.read("mono")
        self.assertEqual(r.status, "synchronized")
        self.assertGreaterEqual(r.bound_ns, 10**6)
        self.assertEqual(r.epoch, 3)
        again = c.read("mono", r.counter)
        self.assertEqual((again.time_ns, again.counter), (r.time_ns, r.counter))
        self.assertEqual(c.read(clock="mono", counter=r.counter).time_ns, r.time_ns)
        self.assertGreaterEqual(c.read("mono").counter, r.counter)
        self.assertIsNone(c.read("diff").bound_ns)
        self.assertEqual(c.status, "synchronized")
        self.assertEqual(c.migration_sequence, 5)
        self.assertIs(c.without_syscall, True)

    def test_conversions(self):
        c = self.clock
        now = c.read()
        found = c.find("utc", now.time_ns)
        # now was rounded down to ns: up to a ns of counts earlier
        self.assertLessEqual(found.counter, now.counter)
        self.assertGreater(found.counter, now.counter - 100)
        self.assertGreaterEqual(c.read("utc", found.counter).time_ns, now.time_ns)
        a, epoch = c.counter()
        b, _ = c.counter()
        ns, bound = c.diff(a, b)
        self.assertEqual(epoch, 3)
        self.assertTrue(0 <= ns < 10**9 and bound >= 0)
        self.assertAlmostEqual(c.diff(b, a)[0], -ns, delta=1)

    def test_interval(self):
        i = self.clock.now()
        self.assertLessEqual(i.earliest_ns + 2 * 10**6, i.latest_ns)
        self.assertLess(abs(i.earliest_ns - time.time_ns()), 5 * 10**9)
        earliest, latest, status = i
        self.assertEqual((latest, status), (i.latest_ns, "synchronized"))
        self.poke(FLAGS_OFFSET, struct.pack("<Q", 0))
        self.poke(STATUS_OFFSET, b"\0")
        i = self.clock.now()
        self.assertEqual(tuple(i), (None, None, "unknown"))
        self.assertIsNone(self.clock.read().bound_ns)

    def test_errors(self):
        c = self.clock
        for wrong in (lambda: c.read("gps"), lambda: c.time_ns("x"), lambda: c.find("y", 0)):
            self.assertRaises(ValueError, wrong)
        for wrong in (lambda: c.read(1), lambda: c.read("utc", "x"), lambda: c.diff(1),
                      lambda: c.diff(1.5, 2), lambda: c.find("utc", "1"), lambda: c.wait("x")):
            self.assertRaises(TypeError, wrong)
        for wrong in (lambda: c.read("utc", -1), lambda: c.read("utc", 2**64),
                      lambda: c.diff(-1, 0), lambda: c.find("utc", 2**63)):
            self.assertRaises(OverflowError, wrong)
        for number, wrong in ((errno.ENOENT, lambda: ffclock.Clock("/nonexistent")),
                              (errno.ENODATA, lambda: ffclock.Clock("/dev/../etc/hostname")),
                              (errno.EOPNOTSUPP, lambda: c.wait(0))):
            with self.assertRaises(OSError) as caught:
                wrong()
            self.assertEqual(caught.exception.errno, number)
        self.assertRaises(ValueError, lambda: c.wait(-1))
        self.assertRaises(RuntimeError, lambda: c.__init__(self.path))
        self.poke(0x0a, b"\xff")
        with self.assertRaises(OSError) as caught:
            c.time_ns()
        self.assertEqual(caught.exception.errno, errno.EOPNOTSUPP)

    def test_closed(self):
        with ffclock.Clock(page=str(self.path)) as c:
            c.read()
        for use in (c.read, c.now, c.counter, c.time_ns, lambda: c.status, lambda: c.wait(0),
                    lambda: c.migration_sequence, c.__enter__):
            self.assertRaises(ValueError, use)
        c.close()
        c.__init__(self.path)
        self.assertEqual(c.status, "synchronized")
        del c

    def test_no_leaks(self):
        def use():
            c = ffclock.Clock(self.path)
            for _ in range(100):
                c.read(), c.now(), c.counter(), c.time_ns()
                try:
                    c.read("gps")
                except ValueError:
                    pass

        def maps():
            return pathlib.Path("/proc/self/maps").read_text().count(str(self.path))

        use()
        before, files = maps(), len(os.listdir("/proc/self/fd"))
        blocks = sys.getallocatedblocks()
        for _ in range(50):
            use()
        self.assertEqual((maps(), len(os.listdir("/proc/self/fd"))), (before, files))
        self.assertLess(sys.getallocatedblocks() - blocks, 200)

    def test_threads_and_fork(self):
        bad = []

        def reader():
            last = 0
            for _ in range(20000):
                t = self.clock.time_ns("mono")
                if t < last:
                    bad.append(t)
                last = t

        threads = [threading.Thread(target=reader) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(bad, [])
        pid = os.fork()
        if not pid:
            os._exit(self.clock.status != "synchronized")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)

    def test_example(self):
        env = dict(os.environ, PYTHONPATH=str(OUT / "python"))
        done = subprocess.run([sys.executable, OUT / "python/examples/journal.py", self.path],
                              env=env, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("4999950000 took", done.stdout)


class Tap(unittest.TextTestResult):
    """One line a test, as the other tests write them."""

    def line(self, good, test, more=""):
        print(f"{'' if good else 'not '}ok {self.testsRun} - {test.id().split('.')[-1]}{more}",
              flush=True)

    def addSuccess(self, test):
        self.line(True, test)

    def fault(self, test, err):
        for line in self._exc_info_to_string(err, test).splitlines():
            print("#", line)
        self.line(False, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.fault(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.fault(test, err)


if __name__ == "__main__":
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Page)
    print(f"1..{suite.countTestCases()}", flush=True)
    with open(os.devnull, "w", encoding="utf-8") as quiet:
        result = unittest.TextTestRunner(stream=quiet, resultclass=Tap).run(suite)
    sys.exit(not result.wasSuccessful())
