# SPDX-License-Identifier: GPL-2.0-only
"""Debian's Xen, unpacked and never installed: hypervisor, tools, libraries.

From the release whose chroot the lab has, so that the tools find the C library
they were linked with there.
"""

import fcntl
import gzip
import shutil

from lab import debian, tree

XEN = tree.LAB / "xen"
SUITE = "bookworm"
VERSION = "4.17"
PACKAGES = (f"xen-hypervisor-{VERSION}-amd64", f"xen-utils-{VERSION}", "xen-utils-common",
            "xenstore-utils", "libxencall1", "libxendevicemodel1", "libxenevtchn1",
            "libxenforeignmemory1", "libxengnttab1", "libxenhypfs1", f"libxenmisc{VERSION}",
            "libxenstore4", "libxentoolcore1", "libxentoollog1", "libyajl2")
TOOLS = XEN / "usr" / "lib" / f"xen-{VERSION}" / "bin"
HYPERVISOR = XEN / "boot" / "xen"


def setup():
    """Fetch and unpack what is not there yet; quick when all is."""
    tree.LAB.mkdir(parents=True, exist_ok=True)
    with open(tree.LAB / "xen.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = XEN / "packages"
        want = f"{SUITE} {' '.join(PACKAGES)}\n"
        if stamp.exists() and stamp.read_text() == want:
            return
        steps = debian.Steps("xen-setup")
        steps.step("Debian's Xen", unpack)
        stamp.write_text(want)


def download(into):
    """The packages; apt's lists may be older than what the archive has, or be gone."""
    archive = debian.Archive()
    if archive.conf.exists():
        try:
            return archive.download(PACKAGES, into, SUITE)
        except tree.LabError:
            pass
    archive.update()
    return archive.download(PACKAGES, into, SUITE)


def unpack():
    shutil.rmtree(XEN, ignore_errors=True)
    into = tree.LAB / "xen.debs"
    shutil.rmtree(into, ignore_errors=True)
    for deb in download(into):
        tree.run(["dpkg-deb", "-x", deb, XEN], f"unpacking {deb.name}")
    shutil.rmtree(into)
    # QEMU's multiboot loader takes the plain ELF file only.
    packed = XEN / "boot" / f"xen-{VERSION}-amd64.gz"
    HYPERVISOR.write_bytes(gzip.decompress(packed.read_bytes()))
