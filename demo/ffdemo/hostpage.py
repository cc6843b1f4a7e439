# SPDX-License-Identifier: GPL-2.0-only
"""Host time on a guest's VMClock page, from outside of an unpatched QEMU.

With -machine aux-ram-share=on QEMU keeps the page in a memfd, which a process
that may look into /proc/PID/fd can map and write.  QEMU itself fills in the
marker only.

The page migrates with the guest, so for a moment the destination would show the
source's time under a new marker.  Hence the time is withdrawn before a migration
and told anew once the guest runs there.  That takes a moment under TCG, which
keeps the guest's TSC offset to itself: the handshake finds it as soon as the
guest runs.  KVM tells it in debugfs.
"""

import math
import mmap
import os
import pathlib
import time

from lab import hosttime

from .machine import ROUNDS
from .say import DemoError

MEMFD = "/memfd:vmclock_page"

# Places in struct ffclock_vmclock (include/uapi/linux/ffclock.h), in units of
# the field: 32-bit words, 64-bit words, 16-bit words, bytes.
MAGIC, SEQ_COUNT = 0, 3                             # u32
FLAGS = 3                                           # u64
TAI_OFFSET = 18                                     # s16 at byte 36
COUNTER_ID, TIME_TYPE = 10, 11                      # u8
CLOCK_STATUS, LEAP_INDICATOR, PERIOD_SHIFT = 34, 38, 39
COUNTER_VALUE, PERIOD, PERIOD_ESTERROR, PERIOD_MAXERROR = 5, 6, 7, 8    # u64
TIME_SEC, TIME_FRAC, TIME_ESTERROR, TIME_MAXERROR = 9, 10, 11, 12

VCLK = 0x4b4c4356
TSC = 1
UTC = 0
SYNCHRONIZED = 2
UNRELIABLE = 4
F_DISRUPTION_SOON = 1 << 1
F_PERIOD_MAXERROR = 1 << 4
F_TIME_MAXERROR = 1 << 6
# Those that are ours to set; the rest is QEMU's.
F_OURS = F_DISRUPTION_SOON | F_PERIOD_MAXERROR | F_TIME_MAXERROR | 1 << 0 | 1 << 3 | 1 << 5

# What the line may be off between two tellings on top of the handshake's bound:
# rounding, and the creep of TCG's TSC (40 ns in 10 s).
MARGIN_NS = 100
# Handshakes to choose from, one a second.
RECENT = 5
# What the host's own clock may be slewed on top of the rate's error.
SLEW = 5e-8


class HostPage:
    """The VMClock page of one QEMU process."""

    def __init__(self, guest):
        self.guest = guest
        self.told_ns = None         # host ns of the first telling
        fd = self._open(guest.process.pid)
        try:
            self.map = mmap.mmap(fd, mmap.PAGESIZE)
        finally:
            os.close(fd)
        whole = memoryview(self.map)
        # Item assignment to these is one store of the item's size.
        self.u8, self.s16 = whole, whole.cast("h")
        self.u32, self.u64 = whole.cast("I"), whole.cast("Q")

    @staticmethod
    def _open(pid):
        folder = pathlib.Path(f"/proc/{pid}/fd")
        try:
            for link in folder.iterdir():
                if os.readlink(link).startswith(MEMFD):
                    return os.open(link, os.O_RDWR | os.O_CLOEXEC)
        except OSError as err:
            raise DemoError(f"cannot look into {folder}: {err}; run the demo as the user "
                            "that QEMU runs as, or as root") from None
        raise DemoError("this QEMU has no page to write to: it wants -device vmclock and "
                        "-machine aux-ram-share=on (QEMU 10.0 or newer)")

    def _write(self, fill):
        if self.u32[MAGIC] != VCLK:
            raise DemoError("QEMU has not set up the VMClock page yet")
        seq = self.u32[SEQ_COUNT]
        # x86 keeps stores in order; a reader that sees the odd number waits.
        self.u32[SEQ_COUNT] = seq | 1
        fill()
        self.u32[SEQ_COUNT] = (seq | 1) + 1 & 0xffffffff

    def tell(self, counter, host_ns, bound_ns, ns_per_tick, rate_error):
        """The host's CLOCK_REALTIME was host_ns at that value of the guest's TSC."""
        period_s = ns_per_tick * 1e-9
        shift = min(63, math.floor(-math.log2(period_s)))
        period = int(math.ldexp(period_s, 64 + shift))
        seconds, rest = divmod(host_ns, 1_000_000_000)

        def fill():
            self.u8[COUNTER_ID] = TSC
            self.u8[TIME_TYPE] = UTC
            self.u8[CLOCK_STATUS] = SYNCHRONIZED
            self.u8[LEAP_INDICATOR] = 0
            self.u8[PERIOD_SHIFT] = shift
            self.u64[COUNTER_VALUE] = counter
            self.u64[PERIOD] = period
            self.u64[PERIOD_MAXERROR] = max(1, int(period * (rate_error + SLEW)))
            self.u64[TIME_SEC] = seconds
            self.u64[TIME_FRAC] = (rest << 64) // 1_000_000_000
            self.u64[TIME_MAXERROR] = math.ceil(bound_ns) + MARGIN_NS
            self.u64[FLAGS] = self.u64[FLAGS] & ~F_OURS | F_PERIOD_MAXERROR | F_TIME_MAXERROR

        self._write(fill)
        if self.told_ns is None:
            self.told_ns = time.time_ns()

    def withdraw(self):
        """A migration is about to come: what is told so far holds no longer after it."""
        def fill():
            self.u8[CLOCK_STATUS] = UNRELIABLE
            self.u64[FLAGS] = self.u64[FLAGS] & ~F_OURS | F_DISRUPTION_SOON

        self._write(fill)


class Teller:
    """Keeps the page of a machine right, across a migration."""

    def __init__(self, machine):
        self.machine = machine
        self.page = HostPage(machine.guest)

    def update(self):
        """Tell the time by the machine's handshakes, once the rate is known."""
        rate = self.machine.best_rate()
        if not rate:
            return
        # Of the newest handshakes, the one that is known best by now.
        newest = self.machine.truths[-1].points[-RECENT:]
        now = newest[-1][1]
        best = min(newest, key=lambda p: p[2] + (now - p[1]) * (rate[1] + SLEW))
        self.page.tell(*best, *rate)

    def spawned(self, _dest):
        """The migration is about to begin."""
        self.page.withdraw()

    def resumed(self, dest):
        """The guest runs again, in another process."""
        self.page = HostPage(dest)
        best = hosttime.sample(dest, 1, 0, ROUNDS)[0]
        self.page.tell(best.guest_tsc, best.host_ns, best.bound_ns,
                       *self.machine.best_rate())
