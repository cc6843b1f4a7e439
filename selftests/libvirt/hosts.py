# SPDX-License-Identifier: GPL-2.0-only
"""Hosts with a libvirtd of their own, on one machine and without its privileges touched.

A host is a tree of Debian 13 with libvirt and QEMU, in namespaces of its own: mounts,
host name, System V IPC, processes.  It has a /run, a /dev/shm, an /etc/libvirt and a
/var/lib/libvirt of its own; hosts share one directory, /mig, for the sockets of
migrations.  When the driver goes, so does the host, with all that runs there.
"""

import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "qemu"))

from lab import debian, tree  # noqa: E402

HOME = tree.BUILD / "libvirt"
ROOT = HOME / "root"
SHARED = HOME / "shared"
SUITE = "trixie"
# libjson-c5 and libexpat1: ffclock-hostd's
PACKAGES = ("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "seabios",
            "apparmor", "libjson-c5", "libexpat1")

# What a host has of its own, with what is there already
OWN = ("etc/libvirt", "var/lib/libvirt", "var/log/libvirt", "var/cache/libvirt")

SETUP = r"""
set -e
root=$1 name=$2 shared=$3 bin=$4 python=$5 init=$6; shift 6
hostname "$name"
mount --make-rprivate /
# libvirt gives QEMU mounts of its own: for that its root must be a mount
mount --bind "$root" "$root"
for dir in "$@"; do
    mount -t tmpfs -o mode=755 own "$root/mnt"
    cp -a "$root/$dir/." "$root/mnt/"
    mount --move "$root/mnt" "$root/$dir"
done
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t debugfs debugfs "$root/sys/kernel/debug" || true
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir -p "$root/mig" "$root/lab" "$root/run/libvirt" "$root/run/ffclock-hostd" "$shared/$name"
mount --bind "$shared" "$root/mig"
mount --bind "$shared/$name" "$root/run/libvirt"
mount --bind "$bin" "$root/lab"
exec "$python" -c "$init" "$root"
"""

# The host's first process: reaps orphans (QEMU's are), starts what it reads, ends with
# its driver.
INIT = r"""
import os, signal, subprocess, sys
# not chroot(): in QEMU's mounts, which are a copy of ours, paths would begin above it
subprocess.run(["pivot_root", sys.argv[1], sys.argv[1] + "/mnt"], check=True)
os.chdir("/")
os.environ["PATH"] = "/lab:/usr/sbin:/usr/bin:/sbin:/bin"
subprocess.run(["umount", "--lazy", "/mnt"], check=True)
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, reap)
print("ready", flush=True)
for line in sys.stdin:
    if not os.fork():
        os.execv("/bin/sh", ["sh", "-c", line])
"""


def make_root():
    """A Debian with libvirt, unless it is there."""
    stamp = HOME / "packages"
    wanted = f"{SUITE} {' '.join(PACKAGES)}\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    HOME.mkdir(parents=True, exist_ok=True)
    remove_root()
    debian.bootstrap(SUITE, ROOT, PACKAGES, "making a Debian 13 with libvirt")
    stamp.write_text(wanted)


def remove_root():
    (HOME / "packages").unlink(missing_ok=True)
    tree.run(tree.as_root(["rm", "-rf", "--one-file-system", ROOT]), "removing the old root")


class CommandFailed(Exception):
    """A command on a host; the text ends with its output."""


class Host:
    """One host: namespaces, a libvirtd."""

    def __init__(self, name, number, logs):
        self.name = name
        self.number = number
        self.log = logs / f"{name}.log"
        self.process = None
        self.pid = None

    def start(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
                 "--propagation", "private", "sh", "-c", SETUP, "setup", str(ROOT), self.name,
                 str(SHARED), str(tree.USER / "bin"), sys.executable, INIT, *OWN],
                stdin=subprocess.PIPE, stdout=log, stderr=log)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.wait(lambda: "ready" in self.log.read_text() and children.read_text(), "namespaces")
        self.pid = int(children.read_text().split()[0])

    def wait(self, condition, what, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            try:
                if condition():
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise CommandFailed(f"{self.name}: no {what}: "
                                    f"{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def path(self, path):
        """A path of this host's, as this machine sees it."""
        return pathlib.Path(f"/proc/{self.pid}/root{path}")

    def argv(self, command):
        return ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--pid",
                f"--root=/proc/{self.pid}/root", f"--wd=/proc/{self.pid}/root", "env", "-i", "LC_ALL=C",
                "PATH=/lab:/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", command]

    def sh(self, command, check=True, timeout=180):
        """Run a command there: its output."""
        done = subprocess.run(self.argv(command), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=timeout, check=False)
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"$ {command}\n{done.stdout}")
        if check and done.returncode:
            raise CommandFailed(f"{self.name}: {command}: exit code {done.returncode}\n"
                                f"{done.stdout}")
        return done.stdout

    def background(self, command, log):
        """A process that the host's init is the parent of."""
        self.process.stdin.write(
            f"{command} >/mig/{self.name}.{log} 2>&1 </dev/null\n".encode())
        self.process.stdin.flush()

    def said(self, log):
        file = SHARED / f"{self.name}.{log}"
        return file.read_text(errors="replace") if file.exists() else ""

    def write(self, path, text, mode=0o644):
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def libvirt(self):
        """Debian's configuration but for what a chroot without systemd cannot have."""
        with open(self.path("/etc/libvirt/libvirtd.conf"), "a", encoding="utf-8") as conf:
            conf.write(f'\nhost_uuid = "00000000-0000-4000-8000-00000000000{self.number}"\n'
                       'auth_unix_rw = "none"\n')
        # no cgroups of its own, no AppArmor in this machine's kernel, no virtlogd
        with open(self.path("/etc/libvirt/qemu.conf"), "a", encoding="utf-8") as conf:
            conf.write('\ncgroup_controllers = []\nsecurity_driver = "none"\n'
                       'stdio_handler = "file"\n')
        self.background("exec libvirtd --timeout 0", "libvirtd")
        self.wait(lambda: "hostname" in self.sh("virsh -q uri && virsh hostname && echo hostname",
                                                check=False), "libvirtd")

    def end(self):
        if self.process:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def prepare_shared():
    shutil.rmtree(SHARED, ignore_errors=True)
    SHARED.mkdir(parents=True)
    SHARED.chmod(0o1777)
