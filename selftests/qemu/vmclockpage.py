# SPDX-License-Identifier: GPL-2.0-only
"""A guest's VMClock page, seen and written from the host.

Page is the page itself, field by field, for hosts that behave and for hosts that
do not.  Teller keeps the host's time on it, with the program vmclockpage
(selftests/guest/lib/vmclockpage.c), which is quick enough for a migration.
"""

import contextlib
import json
import mmap
import os
import pathlib
import select
import subprocess
import time

from lab import tree
from lab.vm import GuestError

MEMFD = "/memfd:vmclock_page"
DEVICES_S = 10      # at most, until a process has made it
VCLK = 0x4b4c4356

# What a test's "lab:" line wants for a page that this module can write.
MACHINE = "pc,aux-ram-share=on"

# For a process that poses as a QEMU: makes such a page and maps it; needs ctypes, os,
# struct, and libc with mmap()'s result a pointer.
MAKE_PAGE = """
fd = os.memfd_create("vmclock_page", 0)
os.ftruncate(fd, 4096)
at = libc.mmap(None, ctypes.c_size_t(4096), 3, 1, fd, ctypes.c_long(0))
page = memoryview((ctypes.c_char * 4096).from_address(at)).cast("B")
page[:12] = struct.pack("<IIHBB", 0x4b4c4356, 4096, 1, 255, 0)
page[16] = 1
"""

# struct ffclock_vmclock: name, (memoryview format, index in units of the field)
FIELDS = {
    "magic": ("I", 0), "size": ("I", 1), "version": ("H", 4), "counter_id": ("B", 10),
    "time_type": ("B", 11), "seq_count": ("I", 3), "disruption_marker": ("Q", 2),
    "flags": ("Q", 3), "clock_status": ("B", 34), "leap_second_smearing_hint": ("B", 35),
    "tai_offset_sec": ("h", 18), "leap_indicator": ("B", 38), "counter_period_shift": ("B", 39),
    "counter_value": ("Q", 5), "counter_period_frac_sec": ("Q", 6),
    "counter_period_esterror_rate_frac_sec": ("Q", 7),
    "counter_period_maxerror_rate_frac_sec": ("Q", 8), "time_sec": ("Q", 9),
    "time_frac_sec": ("Q", 10), "time_esterror_nanosec": ("Q", 11),
    "time_maxerror_nanosec": ("Q", 12), "vm_generation_counter": ("Q", 13),
}
LENGTH = 112

SOON, IMMINENT = 1 << 1, 1 << 2
TIME_MAXERROR_VALID = 1 << 6
VM_GEN_COUNTER_PRESENT = 1 << 8


def memfd(pid, proc=pathlib.Path("/proc")):
    """Path of the memfd that a QEMU keeps its VMClock page in; proc: of its namespace.

    One that was just started may not have it yet.
    """
    folder = proc / f"{pid}/fd"

    def found():
        for link in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(link).startswith(MEMFD):
                    return link
        return None

    try:
        link = wait_until(found, DEVICES_S)
    except PermissionError as err:
        raise GuestError(f"cannot look into {folder}: {err}; run as QEMU's user") from None
    if link:
        return link
    raise GuestError("this QEMU has no VMClock page to write to: it wants QEMU 10.0, -device "
                     f"vmclock and -machine {MACHINE}")


class Page:
    """The page behind a path; attributes are its fields.

    Each assignment to one is a single store of the field's size.
    """

    def __init__(self, path):
        with open(path, "r+b", buffering=0) as f:
            whole = memoryview(mmap.mmap(f.fileno(), mmap.PAGESIZE))
        self.__dict__["views"] = {c: whole.cast(c) if c != "B" else whole for c in "BHhIQ"}

    @classmethod
    def of(cls, guest):
        return cls(memfd(guest.process.pid))

    def __getattr__(self, name):
        try:
            kind, index = FIELDS[name]
        except KeyError:
            raise AttributeError(name) from None
        return self.views[kind][index]

    def __setattr__(self, name, value):
        kind, index = FIELDS[name]
        self.views[kind][index] = value

    @contextlib.contextmanager
    def section(self):
        """The protocol: odd, whatever is written in the with block, even.

        x86 keeps stores in order, and the interpreter's come one by one.
        """
        seq = self.seq_count | 1
        self.seq_count = seq
        yield self
        self.seq_count = (seq + 1) & 0xffffffff

    def update(self, **fields):
        """One section that writes these fields."""
        with self.section():
            for name, value in fields.items():
                setattr(self, name, value)

    def disrupt(self, **fields):
        """What a migration does to the page, and these fields in the same section."""
        self.update(disruption_marker=(self.disruption_marker + 1) & (1 << 64) - 1, **fields)

    def copy(self):
        """All of the structure, to put back with restore()."""
        return bytes(self.views["B"][:LENGTH])

    def restore(self, saved):
        """The fields of a copy(), but never an earlier sequence or marker."""
        with self.section():
            self.views["B"][0:12] = saved[0:12]         # up to seq_count
            self.views["B"][24:LENGTH] = saved[24:LENGTH]   # from flags on


class Teller:
    """The host's time on one page; a process of its own."""

    def __init__(self, path, shm, rate=None):
        program = tree.USER / "bin" / "vmclockpage"
        if not program.exists():
            raise tree.LabError("no vmclockpage program: run make userland")
        argv = [str(program), str(path), str(shm)] + ([f"{rate:.15f}"] if rate else [])
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.rate = rate
        self.told = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def begin(self, command):
        """Send a command; end() has its answer."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def end(self, timeout=70):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise GuestError("vmclockpage does not answer")
        answer = json.loads(line)
        if "error" in answer:
            raise GuestError(f"vmclockpage: {answer['error']}")
        if "rate" in answer:
            self.rate = answer["rate"]
            self.told = answer
        return answer

    def command(self, text):
        self.begin(text)
        return self.end()

    def tell(self, offset_ns=0, maxerror_ns=-1):
        return self.command(f"tell {offset_ns} {maxerror_ns}")

    def moved(self, offset_ns=0, maxerror_ns=-1):
        return self.command(f"moved {offset_ns} {maxerror_ns}")

    def begin_tell(self, offset_ns=0, maxerror_ns=-1):
        self.begin(f"tell {offset_ns} {maxerror_ns}")

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def page_time_ns(told, tsc):
    """What a page says at a TSC value, by what tell() put there, in ns."""
    # a double has not the digits of the sum
    return told["time_ns"] + round((tsc - told["counter"]) * told["rate"])


def host_time_ns(told, tsc):
    """The host's CLOCK_REALTIME at a guest TSC value, by that handshake."""
    return told["host_ns"] + round((tsc - told["constant"] - told["host_tsc"]) * told["rate"])


def wait_until(condition, timeout=10, step=0.02):
    """Poll a condition; its last value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(step)
