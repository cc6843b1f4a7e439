# SPDX-License-Identifier: GPL-2.0-only
"""Where things are in the tree, and which kernels the lab knows."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = TOP / "build"
LAB = BUILD / "lab"
CHROOTS = LAB / "chroot"
KERNELS = LAB / "kernels"
DEBS = LAB / "debs"
LOGS = LAB / "logs"
KBUILD = BUILD / "k"
USER = BUILD / "user"
GUEST_TESTS = TOP / "selftests" / "guest"
HOST_TESTS = TOP / "selftests" / "host"


class LabError(Exception):
    """Something the user can act on; the text says what to do next."""


@dataclasses.dataclass(frozen=True)
class KernelLine:
    """One line of kernels under test and where Debian keeps it.

    pattern matches the release in the name of its headers package; of several
    matches the highest version is taken.
    """

    name: str       # how it is called on command lines
    suite: str      # Debian release whose userland and compiler build for it
    pattern: str
    minimum: tuple  # lowest version that counts


LINES = (
    KernelLine("6.1", "bookworm", r"6\.1\.\d+-\d+-amd64", (6, 1)),
    KernelLine("6.12", "bookworm", r"6\.12\.\d+\+(?:bpo|deb12)-amd64", (6, 12)),
    # 7.2 or whatever newer one trixie-backports holds by now.
    KernelLine("7.2", "trixie", r"\d+\.\d+\.\d+\+deb13-amd64", (7, 2)),
)


def version_key(release):
    """Sort key for kernel releases: the numbers in order."""
    return tuple(int(n) for n in re.findall(r"\d+", release.split("-amd64")[0]))


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel that lab-setup has unpacked."""

    line: KernelLine
    release: str    # uname -r

    @property
    def name(self):
        """Short name for reports: the version that really runs (7.3, say)."""
        return re.match(r"\d+\.\d+", self.release).group(0)

    @property
    def dir(self):
        return KERNELS / self.line.name

    @property
    def vmlinuz(self):
        return self.dir / "vmlinuz"

    @property
    def stock_modules(self):
        return self.dir / "modules"

    @property
    def chroot(self):
        return CHROOTS / self.line.suite

    @property
    def build(self):
        """The copy of the tree in which our modules are built for it."""
        return KBUILD / self.line.name


def kernel(name):
    """The installed kernel called name (line name, or version of its release)."""
    for line in LINES:
        stamp = KERNELS / line.name / "release"
        if not stamp.exists():
            continue
        found = Kernel(line, stamp.read_text().strip())
        if name in (line.name, found.name, found.release):
            return found
    known = ", ".join(line.name for line in LINES)
    if name in (line.name for line in LINES):
        raise LabError(f"kernel {name} is not in the lab: run scripts/lab-setup")
    raise LabError(f"unknown kernel '{name}': the lab knows {known}")


def kernels():
    """All kernels, oldest first."""
    return [kernel(line.name) for line in LINES]


def as_root(argv):
    """argv, prefixed so that it runs as root."""
    argv = [str(a) for a in argv]
    if os.geteuid() == 0:
        return argv
    if not shutil.which("sudo"):
        raise LabError("this step needs root: run as root, or install sudo")
    return ["sudo", "-n", "--"] + argv if not os.isatty(0) else ["sudo", "--"] + argv


def in_chroot(root, command, binds=(), user=True):
    """argv that runs a shell command in the chroot root.

    Mounts are made in a private mount namespace, so none of them outlives the
    command.  binds are (host path, path in the chroot).  The command runs as
    the calling user unless user is False.
    """
    script = ["set -e"]
    for fs in ("proc", "dev"):
        script.append(f'mount --rbind /{fs} "$0/{fs}"')
    args = []
    for i, (src, dst) in enumerate(binds):
        script.append(f'mkdir -p "$0{dst}"')
        script.append(f'mount --bind "${i + 2}" "$0{dst}"')
        args.append(str(src))
    ids = f"--userspec={os.getuid()}:{os.getgid()} " if user else ""
    script.append(f'exec chroot {ids}"$0" /bin/sh -c "$1"')
    return as_root(["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c",
                    "\n".join(script), root, command] + args)


def run(argv, what, **kw):
    """Run argv; on failure raise LabError with the end of its output."""
    argv = [str(a) for a in argv]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **kw)
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-25:])
        raise LabError(f"{what}: {argv[0]} failed ({done.returncode})\n{tail}")
    return done.stdout
