# SPDX-License-Identifier: GPL-2.0-only
"""What is asked of a guest with a debug kernel before it ends.

Leaks: our modules go, and kmemleak looks for memory that they left.  Its report
goes to the kernel's log, which the runner judges.  Coverage: what gcov counted in
our modules, saved beside the guest's logs for lab/coverage.py.
"""

import base64

from .vm import GuestError

MORE_MEMORY = 768       # MiB: KASAN's shadow and quarantine, kmemleak's records
END_SECONDS = 60        # times the kernel's patience
# What watches for standstills is to let these kernels be slow.  And no page tables
# of five levels: the kernel forgets for a moment of its start that it has them, and
# KASAN reports a "wild-memory-access" of its own to an interrupt then.
APPEND = ("watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300 "
          "workqueue.watchdog_thresh=240 no5lvl kcsan.weak_memory=0")


def coverage_file(guest):
    return guest.workdir / f"{guest.name}.gcda.tar.gz"


def has_coverage(kernel):
    """Are our modules built with gcov for it?  The kernel has to help."""
    return kernel.debug == "kasan"


def end(guest):
    """Run debug_end.sh; save what it gives.  GuestError when something is amiss."""
    code, lines = guest.output(END_SECONDS, "sh /lab/lib/debug_end.sh", "debug_end")
    data = [line[5:] for line in lines if line.startswith("gcda ")]
    said = [line for line in lines if not line.startswith("gcda ")]
    # The transcript is for people.
    guest.transcript[:] = [l for l in guest.transcript if not l.startswith("gcda ")]
    if data:
        coverage_file(guest).write_bytes(base64.b64decode("".join(data)))
    if code:
        raise GuestError(f"debug_end.sh: {' / '.join(said[-3:])} (exit code {code})")
