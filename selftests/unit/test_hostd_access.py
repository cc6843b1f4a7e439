#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""ffclock-hostd where it may not look, or there is nothing to look at.

A guest is a process with QEMU's name, its page and a real machine of KVM's.  The
daemon is started where debugfs is not mounted, where it may not be entered, as a user
who may not look into QEMU, and with nowhere to put its socket: it has to say what is
wrong and what to do, at once, and to get over it when it can.
"""

import os
import pathlib
import shutil
import subprocess
import sys

TOP = pathlib.Path(os.environ.get("TOP", pathlib.Path(__file__).resolve().parents[2]))
sys.path[:0] = [str(TOP / "selftests" / "qemu")]

import hostd as hostd_module    # noqa: E402 (the path is first)
import vmclockpage              # noqa: E402
from lab import tree            # noqa: E402
from lab.tap import Points      # noqa: E402

DEBUGFS = "/sys/kernel/debug"
NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
             "--bounding-set=-all", "--inh-caps=-all"]

# Mounts are the daemon's alone; what is mounted twice is unmounted twice.
BARE = f"while umount {DEBUGFS} 2>/dev/null; do :; done; "

# KVM_CREATE_VM and KVM_CREATE_VCPU of linux/kvm.h
GUEST = r"""
import ctypes, fcntl, os, struct, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
vm = fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR), 0xae01, 0)
vcpu = fcntl.ioctl(vm, 0xae41, 0)
""" + vmclockpage.MAKE_PAGE + r"""if sys.argv[-1] == "nobody":
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    libc.prctl(4, 1, 0, 0, 0)       # PR_SET_DUMPABLE: let our own user look in
print("ready", flush=True)
sys.stdin.readline()
"""


def no_mounts():
    """Why the daemon can have no mounts of its own, or None."""
    if os.geteuid():
        return "needs root, for mounts"
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                           f"{BARE}mount -t debugfs debugfs {DEBUGFS}"],
                          capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


def no_kvm():
    """Why no machine can be made, or None."""
    try:
        import fcntl
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        os.close(fcntl.ioctl(fd, 0xae01, 0))
        os.close(fd)
    except OSError as err:
        return f"/dev/kvm: {err.strerror}"
    return None


class Guest:
    """A process that is a KVM guest as far as anybody can see."""

    def __init__(self, user="root"):
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-c", GUEST, "-name", user], executable=sys.executable,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def __enter__(self):
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError("the guest did not start")
        return self

    def __exit__(self, *exc):
        self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Daemon(hostd_module.Hostd):
    """ffclock-hostd, its words on standard error, in mounts of its own."""

    def __init__(self, mounts, nobody=False):
        super().__init__("/dev/null", [f"debugfs {DEBUGFS}", "process python3",
                                       f"process {pathlib.Path(sys.executable).name}"])
        self.log = self.dir / "log"
        self.prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                       f'{mounts}exec "$@"', "sh"] + (AS_NOBODY if nobody else [])
        if nobody:
            # the tree may be where that user cannot go
            self.program = pathlib.Path(shutil.copy(self.program, self.dir))
            os.chown(self.dir, NOBODY, NOBODY)
            self.dir.chmod(0o755)

    def found(self, guest):
        """Serve it; its state."""
        vmclockpage.wait_until(lambda: self.ask("rescan") and self.guest(guest.pid), 10)
        self.command(f"watch {guest.pid}")
        return self.guest(guest.pid)

    def problem(self, guest, text, timeout=10):
        """What it says of the guest, once that has the text in it, or at last."""
        vmclockpage.wait_until(lambda: text in (self.guest(guest.pid)["problem"] or ""), timeout)
        return self.guest(guest.pid)["problem"] or ""

    def in_mounts(self, command):
        subprocess.run(["nsenter", f"--target={self.process.pid}", "--mount", "sh", "-c",
                        command], check=True)

    def end(self):
        self.process.terminate()
        return self.process.wait(20)


def no_debugfs(t, program):
    """Not mounted, then mounted."""
    with Guest() as guest, Daemon(BARE) as daemon:
        said = daemon.said()
        t.ok(f"debugfs is not mounted on {DEBUGFS}" in said and "sys-kernel-debug.mount" in said
             and "KVM guests go without time" in said,
             "not mounted: said at the start, with what to do", said)
        daemon.found(guest)
        problem = daemon.problem(guest, "not mounted")
        t.ok("debugfs is not mounted" in problem, "and of the guest, at once", problem)
        page = vmclockpage.Page(vmclockpage.memfd(guest.pid))
        t.ok(page.clock_status != 2 and not daemon.guest(guest.pid)["telling"],
             "the guest is told no time")
        done = subprocess.run([program, "-c", daemon.conf, "--status"], capture_output=True,
                              text=True, check=False)
        t.ok(done.returncode == 0 and "not mounted" in done.stdout,
             "--status says it as well, exit code 0", done.stdout + done.stderr)
        daemon.in_mounts(f"mount -t debugfs debugfs {DEBUGFS}")
        told = vmclockpage.wait_until(lambda: daemon.guest(guest.pid)["telling"], 20)
        t.ok(told and page.clock_status == 2, "mounted: the guest has the time, nobody asked",
             daemon.said())
        guest.kill()
        gone = vmclockpage.wait_until(lambda: daemon.guest(guest.pid) is None)
        t.ok(gone and f"({guest.pid}): ended" in daemon.said(), "killed: said, and forgotten",
             daemon.said())
        t.ok(daemon.end() == 0, "exit code 0 when it is told to end")


def locked_out(t, program):
    """As a user without privileges."""
    mounts = f"{BARE}mount -t debugfs -o mode=700 debugfs {DEBUGFS}; "
    with Guest() as guest, Daemon(mounts, nobody=True) as daemon:
        said = daemon.said()
        t.ok(f"{DEBUGFS}/kvm: Permission denied: run as root or with CAP_DAC_READ_SEARCH" in said,
             "unprivileged: debugfs may not be entered, said at the start", said)
        vmclockpage.wait_until(lambda: daemon.guest(guest.pid), 10)
        # only root and the daemon's own user may give it orders: we are the former
        daemon.found(guest)
        problem = daemon.problem(guest, "CAP_SYS_PTRACE")
        t.ok("Permission denied: run as root or with CAP_SYS_PTRACE" in problem,
             "somebody else's QEMU may not be looked into: said at once", problem)
        t.ok("CAP_SYS_PTRACE" in daemon.said() and daemon.process.poll() is None,
             "in the log too, and it goes on", daemon.said())
        with Guest("nobody") as own:
            daemon.found(own)
            problem = daemon.problem(own, "CAP_DAC_READ_SEARCH")
            t.ok("kvm: Permission denied: run as root or with CAP_DAC_READ_SEARCH" in problem,
                 "its own user's QEMU: page found, debugfs missing", problem)
            t.ok(len(daemon.guest(own.pid)["pages"]) == 1 and
                 not daemon.guest(own.pid)["telling"], "and no time is told")
        t.ok(daemon.end() == 0, "exit code 0 when it is told to end")


def nowhere(t, program):
    """A socket that cannot be made; a daemon that is not there; no clock."""
    with Daemon("") as daemon:
        daemon.end()
        conf = daemon.dir / "other"
        text = daemon.conf.read_text()
        conf.write_text(text.replace(str(daemon.control), str(daemon.dir / "none/control")))
        done = subprocess.run([program, "-c", conf], capture_output=True, text=True, timeout=20,
                              check=False)
        t.ok(done.returncode == 1 and "is its directory there?" in done.stderr,
             "nowhere to put the socket: exit code 1", done.stderr)
        done = subprocess.run([program, "-c", conf, "--status"], capture_output=True, text=True,
                              timeout=20, check=False)
        t.ok(done.returncode == 1 and "the daemon does not run" in done.stderr,
             "--status without a daemon: exit code 1", done.stderr)
        conf.write_text(text.replace("clock system", f"clock {daemon.dir}/none"))
        done = subprocess.run([program, "-c", conf], capture_output=True, text=True, timeout=20,
                              check=False)
        t.ok(done.returncode == 1 and "no clock of this host to pass on" in done.stderr,
             "no clock: exit code 1", done.stderr)
        conf.write_text("scan soon\n")
        done = subprocess.run([program, "-c", conf], capture_output=True, text=True, timeout=20,
                              check=False)
        t.ok(done.returncode == 1 and "other:1" in done.stderr,
             "an error in the configuration: exit code 1, with the line", done.stderr)


def main():
    t = Points()
    program = str(tree.USER / "bin/ffclock-hostd")
    mounts = no_mounts()
    kvm = mounts or no_kvm()
    for what, why, test in (("without debugfs", kvm, no_debugfs),
                            ("without privileges", kvm, locked_out),
                            ("exit codes", mounts, nowhere)):
        if why:
            t.skip(what, why)
        else:
            test(t, program)
    print(f"1..{t.points}")
    return 1 if t.failed else 0


if __name__ == "__main__":
    sys.exit(main())
