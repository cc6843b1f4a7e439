# SPDX-License-Identifier: GPL-2.0-only
"""Guest clocks against host truth, through selftests/guest/lib/hosttime.c.

The guest must be made with hosttime=True and run "hosttime serve CLOCK...".
"""

import dataclasses
import json
import subprocess

from . import tree
from .vm import GuestError


@dataclasses.dataclass(frozen=True)
class Sample:
    """One clock at one instant.  Nanoseconds; guest minus host REALTIME."""

    clock: str
    host_ns: int
    guest_ns: int
    difference_ns: int
    bound_ns: float
    guest_tsc: int


def _call(guest, *words, timeout=60):
    program = tree.USER / "bin" / "hosttime"
    if not program.exists():
        raise tree.LabError("no hosttime program: run make userland")
    argv = [str(program), *words[:1], "--json", *words[1:], str(guest.shm)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout,
                              check=False)
    except subprocess.TimeoutExpired:
        raise GuestError(f"hosttime {words[0]}: no end after {timeout} s") from None
    if done.returncode:
        raise GuestError(done.stderr.strip() or f"hosttime {words[0]} failed")
    return [json.loads(line) for line in done.stdout.splitlines()]


def relation(guest, rounds=2000):
    """{"constant", "bound_ticks", "bound_ns", "shortest_ns", "rounds"}"""
    return _call(guest, "relation", f"--rounds={rounds}")[0]


def sample(guest, count=1, interval=0.0, rounds=2000):
    """[Sample], count times all the clocks that the guest serves."""
    rows = _call(guest, "sample", f"--count={count}", f"--interval={interval}",
                 f"--rounds={rounds}", timeout=60 + count * (interval + 1))
    for row in rows:
        if "errno" in row:
            raise GuestError(f"hosttime: guest cannot read {row['clock']}: errno {row['errno']}")
    return [Sample(**row) for row in rows]


def stop(guest):
    """End the guest's serving program."""
    _call(guest, "stop")
