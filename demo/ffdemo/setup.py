# SPDX-License-Identifier: GPL-2.0-only
"""What the demo and the comparison need before their guests start."""

import fcntl
import os
import pathlib
import signal
import subprocess

from lab import image, tree

from .say import DemoError, say

TOP = pathlib.Path(__file__).resolve().parents[2]
OUT = TOP / "build" / "demo"


def build(kernel_name):
    """Packages, lab, modules, programs: all that the rest needs."""
    make = ["make", "--no-print-directory", "-s", "-C"]
    for what, argv in (
            ("packages", ["scripts/install-deps"]),
            ("lab", ["scripts/lab-setup"]),
            (f"modules for {kernel_name}", ["scripts/build-modules", kernel_name]),
            ("programs", make + [".", "userland"]),
            ("the demo's programs", make + ["demo", f"O={OUT}"])):
        say(f"{what} ...")
        if subprocess.run(argv, cwd=TOP, check=False).returncode:
            raise DemoError(f"{what}: '{' '.join(argv)}' failed; what it said is above")


def make_image(kernel, path, programs=()):
    """The guests' initramfs, with the demo's programs and these of the host's."""
    # Every image has what is in build/user/bin; these are ours.
    os.environ["PATH"] += f":{OUT / 'bin'}"
    if not (tree.USER / "bin" / "ffclockd").exists():
        raise DemoError("no ffclockd in build/user/bin: run make userland")
    modules = image.build(kernel, path, ["ffdemo-probe", "ffdemo-traffic", "ffdemo-guest",
                                         "chronyd", *programs])
    missing = {"ffclock", "ffclock_vmclock"} - set(modules)
    if missing:
        raise DemoError(f"no module {' '.join(sorted(missing))} for {kernel.release}: "
                        f"run scripts/build-modules {kernel.name}")


def alone():
    """Two runs at a time would write the same files; returns what keeps others out."""
    OUT.mkdir(parents=True, exist_ok=True)
    lock = open(OUT / "lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DemoError("another demo or comparison runs in this tree: wait for its end") from None
    return lock


def end_as_by_ctrl_c():
    """A terminal's hang-up and a service manager's stop clean up as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def no_more_ctrl_c():
    """While cleaning up: a second one must not leave half of the guests behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
