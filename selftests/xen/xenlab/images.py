# SPDX-License-Identifier: GPL-2.0-only
"""Initramfs images of dom0 and domU: the lab's image with an addition each.

An initramfs may be several cpio archives in a row, of which the last has the
last word: so the addition brings its own init.
"""

import lzma
import pathlib
import re
import shutil
import struct
import subprocess

from lab import image, tree
from lab.tree import LabError

from . import packages

HERE = pathlib.Path(__file__).resolve().parents[1]
STOCK = ("xen_evtchn", "xen_gntdev", "xen_gntalloc", "xen_privcmd", "xenfs", "xen_netback",
         "xen_netfront", "xen_blkfront", "bridge", "stp", "llc", "virtio_pci", "virtio_net")
# What is started by hand or by libxl, with its libraries, in dom0.
TOOLS = ("xl", "xenstored", "xenconsoled", "xen-init-dom0", "libxl-save-helper",
         "xenstore-control", "xen-diag", "xenctx")
# Loaded by name when libxenstore cancels its thread: without it the publisher aborts at
# its end, and is started anew.
LIBGCC = pathlib.Path("/lib/x86_64-linux-gnu/libgcc_s.so.1")
# libxl looks for its helper where it was configured to.
LIBEXEC = f"usr/lib/xen-{packages.VERSION}/bin"


def vmlinux(kernel, path):
    """Unpack the ELF file from a bzImage: quicker than having it unpack itself.

    Linux boot protocol: byte 0x1f1 is the number of setup sectors, words 0x248
    and 0x24c say where the compressed payload is, whose last word is its size.
    """
    data = kernel.vmlinuz.read_bytes()
    setup = (data[0x1f1] or 4) + 1
    offset, length = struct.unpack_from("<II", data, 0x248)
    payload = data[setup * 512 + offset:][:length - 4]
    if payload[:6] == b"\xfd7zXZ\0":
        elf = lzma.decompress(payload)
    elif payload[:4] == b"\x28\xb5\x2f\xfd":
        elf = subprocess.run(["zstd", "-qdc"], input=payload, stdout=subprocess.PIPE,
                             check=True).stdout
    else:
        raise LabError(f"{kernel.release}: compressed in a way the lab does not know")
    path.write_bytes(elf)


def libraries(root, program):
    """(loader, [libraries]) of a program by the libraries of the lab's chroot."""
    chroot = tree.CHROOTS / packages.SUITE
    arch = "x86_64-linux-gnu"
    loader = chroot / "lib64" / "ld-linux-x86-64.so.2"
    path = ":".join(str(d) for d in (root / "usr/lib" / arch, chroot / "usr/lib" / arch,
                                     chroot / "lib" / arch))
    listed = tree.run([loader, "--library-path", path, "--list", program],
                      f"libraries of {program.name}")
    if "not found" in listed:
        raise LabError(f"{program.name} lacks a library:\n{listed}")
    found = [pathlib.Path(p) for p in re.findall(r"=> (/\S+) \(0x", listed)]
    # Loaded by name when a thread is cancelled: without it xl aborts at its end.
    return loader, found + [chroot / "lib" / arch / "libgcc_s.so.1"]


def add_tools(cpio):
    """Xen's programs in lab/bin, run with the loader and libraries they belong to."""
    home = "lab/xen"
    programs = [packages.TOOLS / name for name in TOOLS]
    programs += sorted(p for p in (packages.XEN / "usr/bin").glob("xenstore*")
                       if p.is_file() and not p.is_symlink())
    for program in programs:
        if not image.is_elf(program):
            continue
        loader, libs = libraries(packages.XEN, program)
        cpio.copy(f"{home}/{program.name}", program)
        for lib in (loader, *libs):
            if f"{home}/{lib.name}" not in cpio.seen:
                cpio.copy(f"{home}/{lib.name}", lib.resolve())
        script = (f"#!/bin/sh\nexec /{home}/{loader.name} --library-path /{home} "
                  f"/{home}/{program.name} \"$@\"\n").encode()
        cpio.add(f"lab/bin/{program.name}", script, 0o755)
        cpio.add(f"{LIBEXEC}/{program.name}", script, 0o755)


def addition(path, init, scripts=(), tools=False, files=()):
    """A cpio archive: init, our programs and scripts, Xen's tools, files (name, path)."""
    cpio = image.Cpio(path)
    cpio.copy("init", HERE / init)
    for program in sorted((tree.USER / "xen").iterdir()):
        cpio.copy(f"lab/bin/{program.name}", program)
    for script in scripts:
        cpio.copy(f"lab/bin/{script.name}", script)
    if tools:
        add_tools(cpio)
        cpio.copy("etc/xen/xl.conf", packages.XEN / "etc/xen/xl.conf")
    else:
        for name in ("xenstore-read", "xenstore-write", "xenstore-ls", "xenstore-list"):
            add_store_tool(cpio, name)
    for name, source in files:
        cpio.copy(name, source)
    cpio.close()


def add_store_tool(cpio, name):
    """One of xenstore-utils, for a domU."""
    program = packages.XEN / "usr/bin" / name
    loader, libs = libraries(packages.XEN, program.resolve())
    home = "lab/xen"
    for file in (program.resolve(), loader, *libs):
        if f"{home}/{file.name}" not in cpio.seen:
            cpio.copy(f"{home}/{file.name}", file.resolve())
    cpio.add(f"lab/bin/{name}", (f"#!/bin/sh\nexec /{home}/{loader.name} --library-path /{home} "
                                 f"--argv0 {name} /{home}/{program.resolve().name} \"$@\"\n")
             .encode(), 0o755)


def concatenate(path, parts):
    with open(path, "wb") as out:
        for part in parts:
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out)
            out.write(b"\0" * (-out.tell() % 512))


def build(kernel, folder, programs=("chronyd",)):
    """vmlinux, domu.cpio and dom0.cpio of a kernel into folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vmlinux(kernel, folder / "vmlinux")
    base = folder / "base.cpio"
    image.build(kernel, base, programs, STOCK)
    scripts = sorted((HERE / "guest").glob("*.sh"))
    libgcc = ((str(LIBGCC)[1:], LIBGCC.resolve()),)
    addition(folder / "domu.add", "domu-init", scripts, files=libgcc)
    concatenate(folder / "domu.cpio", (base, folder / "domu.add"))
    # Level 1: the time this takes here against the time xl needs to unpack it.
    (folder / "vmlinux.gz").write_bytes(subprocess.run(
        ["gzip", "-1c", folder / "vmlinux"], stdout=subprocess.PIPE, check=True).stdout)
    addition(folder / "dom0.add", "dom0-init", sorted((HERE / "dom0").glob("*.sh")), True,
             (("lab/domu/vmlinux.gz", folder / "vmlinux.gz"),
              ("lab/domu/domu.cpio", folder / "domu.cpio"), *libgcc))
    concatenate(folder / "dom0.cpio", (base, folder / "dom0.add"))
    for name in ("base.cpio", "domu.add", "dom0.add"):
        (folder / name).unlink()
