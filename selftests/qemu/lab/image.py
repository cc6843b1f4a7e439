# SPDX-License-Identifier: GPL-2.0-only
"""Initramfs images: busybox, modules, our programs, the tests."""

import os
import pathlib
import re
import shutil
import stat
import subprocess

from . import tree
from .tree import LabError

# Stock modules that every image carries; those a kernel lacks are left out.
# Dependencies come along by themselves.
STOCK = ("virtio_pci", "virtio_net", "virtio_console", "ptp", "ptp_kvm", "ptp_vmclock", "ptp_mock",
         "e1000e", "kvmclock", "vmgenid")
# Of these, init loads what the guest's own plumbing needs, in this order.
PLUMBING = ("virtio_pci", "virtio_net")


class Cpio:
    """A newc archive: no root, no device nodes (devtmpfs makes those)."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.ino = 0
        self.seen = set()

    def _entry(self, name, mode, data=b""):
        name = name.lstrip("/")
        self.ino += 1
        raw = name.encode() + b"\0"
        # newc: magic, then 13 fields of 8 hex digits.
        head = "070701" + "".join(f"{v:08x}" for v in (
            self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0))
        block = head.encode() + raw
        self.file.write(block + b"\0" * (-len(block) % 4))
        self.file.write(data + b"\0" * (-len(data) % 4))
        self.seen.add(name)

    def mkdir(self, name):
        parts = name.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            part = "/".join(parts[:i])
            if part and part not in self.seen:
                self._entry(part, stat.S_IFDIR | 0o755)

    def add(self, name, data, mode=0o644):
        self.mkdir(os.path.dirname(name.strip("/")) or "/")
        self._entry(name, stat.S_IFREG | mode, data)

    def copy(self, name, path):
        path = pathlib.Path(path)
        self.add(name, path.read_bytes(), path.stat().st_mode & 0o777)

    def symlink(self, name, target):
        self.mkdir(os.path.dirname(name.strip("/")) or "/")
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def close(self):
        self._entry("TRAILER!!!", 0)
        self.file.close()


def module_name(path):
    return re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(str(path))).replace("-", "_")


def module_bytes(path):
    """The module, uncompressed: busybox cannot be relied on for .zst."""
    if path.suffix == ".xz":
        return subprocess.run(["xz", "-dc", path], stdout=subprocess.PIPE, check=True).stdout
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-qdc", path], stdout=subprocess.PIPE, check=True).stdout
    return path.read_bytes()


def module_depends(data):
    """Names in the depends= string of .modinfo."""
    m = re.search(rb"\0depends=([^\0]*)\0", data)
    names = m.group(1).decode().split(",") if m else []
    return [n.replace("-", "_") for n in names if n]


def add_modules(cpio, kernel, more=()):
    """Ours, the stock ones and more of those, with the modules.dep that modprobe reads."""
    ours = sorted(kernel.build.rglob("*.ko")) if kernel.build.is_dir() else []
    stock = {module_name(p): p for p in kernel.stock_modules.rglob("*.ko*")}
    for path in ours:
        stock[module_name(path)] = path
    todo = [module_name(p) for p in ours] + [n for n in (*STOCK, *more) if n in stock]
    done = {}
    while todo:
        name = todo.pop()
        if name in done or name not in stock:
            continue    # a dependency that is not a module file is built in
        data = module_bytes(stock[name])
        done[name] = (data, module_depends(data))
        todo += done[name][1]

    def load_order(name, order):
        for dep in done[name][1]:
            if dep in done and dep not in order:
                load_order(dep, order)
                order.append(dep)
        return order

    base = f"lib/modules/{kernel.release}"
    for name in sorted(done):
        cpio.add(f"{base}/{name}.ko", done[name][0])
    # modules.dep is read from the right: what must be loaded first comes last.
    cpio.add(f"{base}/modules.dep", "".join(
        f"{n}.ko:{''.join(f' {d}.ko' for d in reversed(load_order(n, [])))}\n"
        for n in sorted(done)).encode())
    cpio.add(f"{base}/modules.alias", b"")
    cpio.add(f"{base}/modules.symbols", b"")
    return sorted(module_name(p) for p in ours)


def shared_libraries(programs):
    """Absolute host paths of all libraries that these programs load."""
    libs = set()
    env = dict(os.environ, LD_LIBRARY_PATH=str(tree.USER / "lib"), LC_ALL="C")
    for program in programs:
        done = subprocess.run(["ldd", program], capture_output=True, text=True, env=env,
                              check=False)
        if "not found" in done.stdout:
            raise LabError(f"{program} lacks a library:\n{done.stdout}")
        for line in done.stdout.splitlines():
            m = re.search(r"(/\S+) \(0x", line)
            if m:
                libs.add(m.group(1))
    return libs


def place_foreign(cpio, name, argv):
    """A program of the lab's chroot, with its loader and libraries, by a script."""
    loader, _, path, program = argv
    listed = tree.run([loader, "--library-path", path, "--list", program], f"libraries of {name}")
    home = f"lab/foreign/{name}"
    cpio.copy(f"{home}/{name}", program)
    cpio.copy(f"{home}/ld.so", loader)
    for lib in re.findall(r"=> (/\S+) \(0x", listed):
        if f"{home}/{os.path.basename(lib)}" not in cpio.seen:
            cpio.copy(f"{home}/{os.path.basename(lib)}", lib)
    cpio.add(f"lab/bin/{name}", f"#!/bin/sh\nexec /{home}/ld.so --library-path /{home} "
             f"/{home}/{name} \"$@\"\n".encode(), 0o755)


def is_elf(path):
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def busybox():
    path = shutil.which("busybox")
    if not path or b"/ld-linux" in pathlib.Path(path).read_bytes():
        raise LabError("no static busybox: run scripts/install-deps (package busybox-static)")
    return path


def build(kernel, path, programs=(), stock=()):
    """Write the image of a kernel to path; return the names of our modules.

    programs are names of host programs to take along (chronyd, say), stock of
    kernel modules besides STOCK.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    cpio = Cpio(scratch)
    for d in ("proc", "sys", "dev", "tmp", "run", "etc", "root", "var", "mnt"):
        cpio.mkdir(d)
    box = busybox()
    cpio.copy("bin/busybox", box)
    for applet in tree.run([box, "--list"], "listing busybox applets").split():
        if applet != "busybox":
            cpio.symlink(f"bin/{applet}", "busybox")
    cpio.symlink("sbin", "bin")
    cpio.symlink("usr/bin", "../bin")
    cpio.symlink("usr/sbin", "../bin")
    cpio.add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    cpio.add("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    cpio.add("etc/hosts", b"127.0.0.1 localhost\n10.0.2.2 host\n")
    here = pathlib.Path(__file__).parent
    cpio.copy("init", here / "init")
    cpio.copy("lab/serve", here / "serve")
    cpio.add("lab/plumbing", ("\n".join(PLUMBING) + "\n").encode())
    modules = add_modules(cpio, kernel, stock)
    packaging = tree.TOP / "packaging"
    cpio.copy("usr/libexec/ffclock/run-hooks", packaging / "run-hooks")
    for hook in sorted((packaging / "migration.d").iterdir()):
        cpio.copy(f"etc/ffclock/migration.d/{hook.name}", hook)

    elves = []
    placed = set()

    def place(name, source):
        if name in placed or name in cpio.seen:
            return
        placed.add(name)
        cpio.copy(name, source)
        if is_elf(source):
            elves.append(source)

    for sub, dest in (("bin", "lab/bin"), ("guest", "lab/tests")):
        folder = tree.USER / sub
        for f in sorted(folder.iterdir()) if folder.is_dir() else ():
            if f.is_file():
                place(f"{dest}/{f.name}", f)
    for f in sorted(tree.GUEST_TESTS.glob("*.sh")):
        place(f"lab/tests/{f.name}", f)
    for f in sorted((tree.GUEST_TESTS / "lib").glob("*.sh")):
        place(f"lab/lib/{f.name}", f)
    for name in programs:
        # The last word is the program; one of the lab's chroot brings that
        # chroot's libraries, which must not mix with the host's.
        argv = tree.program(name)
        if len(argv) > 1:
            place_foreign(cpio, name, argv)
            continue
        found = argv[-1]
        place(f"lab/bin/{name}", found)
    for lib in sorted(shared_libraries(elves)):
        # The loader must be where the ELF header says; the rest goes to the
        # loader's default path.
        if os.path.basename(lib).startswith("ld-linux"):
            cpio.copy("lib64/" + os.path.basename(lib), lib)
        else:
            cpio.copy("lib/x86_64-linux-gnu/" + os.path.basename(lib), lib)
    cpio.close()
    scratch.rename(path)
    return modules
