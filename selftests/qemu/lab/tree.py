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
PLAN = LAB / "plan"
DEBUG = LAB / "debug"           # kernels of our own, with debugging options
DEBUG_PLAN = DEBUG / "plan"
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
    # 7.2, and what newer one trixie-backports holds by now.
    KernelLine("7.2", "trixie", r"\d+\.\d+\.\d+\+deb13-amd64", (7, 2)),
)


def version_key(release):
    """Sort key for kernel releases: the numbers in order."""
    return tuple(int(n) for n in re.findall(r"\d+", re.sub(r"\+.*|-amd64$", "", release)))


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of the lab.

    Each line has one that all tests run on.  Others of the line, extras, are
    what a user of the same archive may meet as well: there the modules are
    built and tests with extras=1 run.  A debug kernel is one that selftests/debug
    has built from the line's source, and is only used when it is asked for.
    """

    line: str       # name of its KernelLine
    release: str    # uname -r
    suite: str
    extra: bool = False
    debug: str = ""             # kasan or the like

    @property
    def name(self):
        """Short name for reports and paths: 6.12, or 6.12.95 of an extra, or kasan."""
        if self.debug:
            return self.debug
        parts = 3 if self.extra else 2
        return ".".join(re.match(r"\d+(\.\d+)+", self.release).group(0).split(".")[:parts])

    @property
    def patience(self):
        """How many times as long as a stock kernel it may take for anything."""
        return 6 if self.debug else 1

    @property
    def dir(self):
        return (DEBUG / "kernels" if self.debug else KERNELS) / self.release

    @property
    def vmlinuz(self):
        return self.dir / "vmlinuz"

    @property
    def stock_modules(self):
        return self.dir / "modules"

    @property
    def chroot(self):
        return CHROOTS / self.suite

    @property
    def kdir(self):
        """What modules are built against, as the chroot sees it."""
        return "/srv/out" if self.debug else f"/lib/modules/{self.release}/build"

    @property
    def kdir_binds(self):
        """What has to be mounted in the chroot for that."""
        if not self.debug:
            return []
        return [(DEBUG / "src", "/srv/linux"), (DEBUG / self.debug, "/srv/out")]

    @property
    def build(self):
        """The copy of the tree in which our modules are built for it."""
        return KBUILD / self.name


def read_plan():
    """The kernels that lab-setup has put into the lab; [] before that."""
    if not PLAN.exists():
        return []
    found = []
    for row in PLAN.read_text().splitlines():
        line, release, suite, role = row.split()
        found.append(Kernel(line, release, suite, role == "extra"))
    return found


def write_plan(plan):
    PLAN.write_text("".join(f"{k.line} {k.release} {k.suite} {'extra' if k.extra else 'main'}\n"
                            for k in plan))


def read_debug_plan():
    """The debug kernels that there are."""
    if not DEBUG_PLAN.exists():
        return []
    return [Kernel(line, release, suite, debug=flavour) for line, release, suite, flavour in
            (row.split() for row in DEBUG_PLAN.read_text().splitlines())]


def write_debug_plan(plan):
    DEBUG_PLAN.write_text("".join(f"{k.line} {k.release} {k.suite} {k.debug}\n" for k in plan))


def kernel(name):
    """The kernel called name: a line's, or by the version or uname -r of it."""
    plan = read_plan()
    if not plan:
        raise LabError("there is no lab yet: run scripts/lab-setup")
    for k in plan + read_debug_plan():
        if name in (k.name, k.release) or (name == k.line and not k.extra and not k.debug):
            return k
    raise LabError(f"unknown kernel '{name}': the lab has {', '.join(k.name for k in plan)}")


def kernels(extras=False):
    """All kernels, oldest first; with extras, those too."""
    plan = read_plan()
    if not plan:
        raise LabError("there is no lab yet: run scripts/lab-setup")
    return [k for k in plan if extras or not k.extra]


def chroot_program(path):
    """argv prefix of a program in the trixie chroot.

    It is started through that chroot's dynamic loader: no root, no mounts, and
    all paths and sockets mean the same inside and outside.
    """
    root = CHROOTS / "trixie"
    if not (root / path).exists():
        raise LabError(f"no {path} in the lab: run scripts/lab-setup")
    libs = [root / d for d in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu",
                               "usr/lib/x86_64-linux-gnu/pulseaudio")]
    return [str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path",
            ":".join(str(d) for d in libs), str(root / path)]


def program(name):
    """argv prefix of a host program: the machine's own, or else the lab's.

    chronyd is in the lab's chroot, because installing chrony on a machine with
    another time daemon would remove that one.
    """
    own = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if own:
        return [own]
    for folder in ("usr/sbin", "usr/bin"):
        if (CHROOTS / "trixie" / folder / name).exists():
            return chroot_program(f"{folder}/{name}")
    raise LabError(f"no program {name}: run scripts/install-deps and scripts/lab-setup")


def as_root(argv):
    """argv, prefixed so that it runs as root."""
    argv = [str(a) for a in argv]
    if os.geteuid() == 0:
        return argv
    if not shutil.which("sudo"):
        raise LabError("this step needs root: run as root, or install sudo")
    return ["sudo", "-n", "--"] + argv if not os.isatty(0) else ["sudo", "--"] + argv


def private_mounts(argv):
    """argv that runs as root, and no mount it makes outlives it, not even if killed."""
    return as_root(["unshare", "--mount", "--propagation", "private"] + argv)


def in_chroot(root, command, binds=(), user=True):
    """argv that runs a shell command in the chroot root.

    binds are (host path, path in the chroot).  The command runs as the calling
    user unless user is False.
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
    return private_mounts(["/bin/sh", "-c", "\n".join(script), root, command] + args)


def run(argv, what, **kw):
    """Run argv; on failure raise LabError with the end of its output."""
    argv = [str(a) for a in argv]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **kw)
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-25:])
        raise LabError(f"{what}: {argv[0]} failed ({done.returncode})\n{tail}")
    return done.stdout
