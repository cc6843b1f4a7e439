# SPDX-License-Identifier: GPL-2.0-only
"""Make the lab from Debian packages.

The mirror is the one this machine's own apt uses, whatever that is; apt's
transport settings (proxies, date checks) are carried over as well.  Kernels
are only unpacked, never installed: they run in QEMU.  Headers, compilers and
QEMU live in one minimal chroot per Debian release.
"""

import concurrent.futures
import fcntl
import os
import re
import shutil
import subprocess
import threading
import time

from . import tree
from .tree import LabError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The suites that the lab's packages come from.
KERNEL_SUITES = ("bookworm", "bookworm-security", "bookworm-backports",
                 "trixie", "trixie-backports")
CHROOT_SUITES = {
    "bookworm": ("bookworm", "bookworm-security", "bookworm-backports"),
    "trixie": ("trixie", "trixie-security", "trixie-backports"),
}
CHROOT_PACKAGES = {
    # from flex on: what a kernel is built with (selftests/debug)
    "bookworm": ["make", "gcc", "libelf1", "sparse",
                 "flex", "bison", "bc", "libelf-dev", "libssl-dev"],
    "trixie": ["make", "gcc", "libelf1t64", "sparse",
               "qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios",
               "chrony", "linuxptp", "qemu-guest-agent"],
}
# Raised when what is in a chroot changes, so that old ones are made anew.
CHROOT_FORMAT = "2"


class Steps:
    """Progress: a line per step with the time it took."""

    def __init__(self, who="lab-setup"):
        self.who = who
        self.begin = time.monotonic()
        self.lock = threading.Lock()

    def say(self, text):
        with self.lock:
            print(f"{self.who}: [{time.monotonic() - self.begin:5.1f} s] {text}", flush=True)

    def step(self, text, func, *args):
        self.say(f"{text} ...")
        t0 = time.monotonic()
        result = func(*args)
        self.say(f"{text}: done in {time.monotonic() - t0:.1f} s")
        return result


def mirrors():
    """(main, security) archive addresses, from this machine's apt."""
    out = tree.run(["apt-get", "indextargets", "--format",
                    "$(RELEASE)|$(REPO_URI)|$(ORIGIN)", "Created-By: Packages"],
                   "reading apt's sources")
    main = security = None
    for line in out.splitlines():
        release, uri, origin = (line.split("|") + ["", ""])[:3]
        # Before the first apt-get update apt does not know the origin.
        if origin not in ("Debian", "", "$(ORIGIN)"):
            continue
        if release.endswith("-security"):
            security = security or uri
        elif re.fullmatch(r"(bookworm|trixie|forky|sid|stable|testing|unstable)(-\w+)*",
                          release):
            main = main or uri
    if not main:
        raise LabError("apt knows no Debian archive: the lab takes its kernels from the "
                       "mirror in /etc/apt/sources.list.d; add Debian's there")
    main = main.rstrip("/")
    if not security:
        security = re.sub(r"/debian$", "/debian-security", main)
    return main, security.rstrip("/")


def source_lines(suites):
    main, security = mirrors()
    lines = []
    for suite in suites:
        uri = security if suite.endswith("-security") else main
        lines.append(f"deb [signed-by={KEYRING}] {uri} {suite} main")
    return lines


def apt_options():
    """The machine's transport options, in apt.conf syntax."""
    out = tree.run(["apt-config", "dump"], "reading apt's options")
    keep = re.compile(r"Acquire::(?:(?:http|https|ftp)\b.*|Check-\S+|Retries|ForceIPv\d"
                      r"|Allow\S+) \"[^\"]+\";")
    return [l for l in out.splitlines() if keep.fullmatch(l)]


class Archive:
    """A private apt world with an empty dpkg status: looks up and downloads."""

    def __init__(self):
        self.dir = tree.LAB / "apt"
        self.conf = self.dir / "apt.conf"

    def update(self):
        d = self.dir
        for sub in ("state/lists/partial", "cache/archives/partial"):
            (d / sub).mkdir(parents=True, exist_ok=True)
        (d / "status").write_text("")
        (d / "sources.list").write_text("\n".join(source_lines(KERNEL_SUITES)) + "\n")
        self.conf.write_text("\n".join([
            f'Dir::State "{d}/state";',
            f'Dir::State::status "{d}/status";',
            f'Dir::Cache "{d}/cache";',
            f'Dir::Etc::sourcelist "{d}/sources.list";',
            'Dir::Etc::sourceparts "/dev/null";',
            'Dir::Etc::preferences "/dev/null";',
            'Dir::Etc::preferencesparts "/dev/null";',
            'APT::Architecture "amd64";',
            'APT::Architectures "amd64";',
            f'APT::Sandbox::User "{"root" if os.geteuid() == 0 else ""}";',
            'Acquire::Languages "none";',
        ] + apt_options()) + "\n")
        self._run("apt-get", "-qq", "update")

    def _run(self, *argv, **kw):
        env = dict(os.environ, APT_CONFIG=str(self.conf), LC_ALL="C")
        return tree.run(argv, "apt", env=env, **kw)

    def names(self, prefix):
        return self._run("apt-cache", "pkgnames", prefix).split()

    def releases(self, line):
        """{release: [packages]} of a line's kernels that can be booted.

        The packages hold vmlinuz and the modules.  Signed images come some
        days after the rest of a version; QEMU takes unsigned ones as well.
        """
        names = set(self.names("linux-"))
        found = {}
        for name in names:
            m = re.fullmatch("linux-headers-(" + line.pattern + ")", name)
            if not m or tree.version_key(m.group(1))[:2] < line.minimum:
                continue
            r = m.group(1)
            for packages in ([f"linux-image-{r}"],
                             [f"linux-binary-{r}", f"linux-modules-{r}"],
                             [f"linux-binary-unsigned-{r}", f"linux-modules-{r}"]):
                # linux-image-7.2... is there but only depends on the others.
                if names.issuperset(packages) and not (
                        len(packages) == 1 and f"linux-modules-{r}" in names):
                    found[r] = packages
                    break
        return found

    def recommended(self, line):
        """The release that Debian's metapackage installs, or None."""
        text = self._run("apt-cache", "show", "linux-headers-amd64")
        found = re.findall(r"^Depends:.*\blinux-headers-(" + line.pattern + ")", text, re.M)
        return max(found, key=tree.version_key, default=None)

    def choose(self, line):
        """[(Kernel, packages)]: the line's own, then its extras.

        Its own is the newest signed one of the series that the line is named
        for, as long as the archive has that: a newer series is to be tested
        beside it, not instead.  Extras are what the metapackage installs and
        the newest, signed or not.
        """
        releases = self.releases(line)
        signed = {r for r, p in releases.items() if "unsigned" not in p[0]}
        if not signed:
            raise LabError(f"the archive has no kernel for line {line.name}")
        series = {r for r in signed if r.startswith(line.name + ".")}
        main = max(series or signed, key=tree.version_key)
        extras = {self.recommended(line), max(releases, key=tree.version_key)}
        extras = sorted((extras & set(releases)) - {main}, key=tree.version_key)
        return [(tree.Kernel(line.name, r, line.suite, r != main), releases[r])
                for r in [main] + extras]

    def download(self, packages, into, suite=None):
        """The debs, by package name, of one suite or the newest; not fetched twice."""
        into.mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "-qq", "download",
                  *(f"{p}/{suite}" if suite else p for p in packages), cwd=into)
        debs = []
        for package in packages:
            found = sorted(into.glob(f"{package}_*.deb"), key=lambda p: p.stat().st_mtime)
            if not found:
                raise LabError(f"apt downloaded no {package}")
            debs.append(found[-1])
        return debs


def unpack_kernel(archive, kernel, packages):
    """Put vmlinuz and the modules of a release into the lab."""
    dest = kernel.dir
    release = kernel.release
    if (dest / "release").exists():
        return
    shutil.rmtree(dest, ignore_errors=True)
    scratch = dest.with_name(dest.name + ".new")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "x").mkdir(parents=True)
    for deb in archive.download(packages, tree.DEBS):
        tree.run(["dpkg-deb", "-x", deb, scratch / "x"], f"unpacking {deb.name}")
        deb.unlink()
    images = [p for p in (scratch / "x").rglob("vmlinuz*") if p.is_file()]
    modules = [p for p in (scratch / "x").rglob(f"lib/modules/{release}/kernel")]
    if len(images) != 1 or len(modules) != 1:
        raise LabError(f"kernel {release}: unexpected package layout "
                       f"(images {images}, modules {modules})")
    shutil.move(images[0], scratch / "vmlinuz")
    shutil.move(modules[0], scratch / "modules")
    shutil.rmtree(scratch / "x")
    (scratch / "release").write_text(release + "\n")
    scratch.rename(dest)


def chroot_stamp(suite, headers):
    """What a chroot is made of, to see whether it must be made anew."""
    return " ".join([CHROOT_FORMAT] + CHROOT_PACKAGES[suite] + sorted(headers))


def chroot_fits(suite, headers):
    """Is the chroot made of all that is wanted?  More does no harm.

    So a lab that several work trees share is not made anew by each in turn.
    """
    stamp = tree.CHROOTS / f"{suite}.packages"
    if not stamp.exists() or not (tree.CHROOTS / suite).is_dir():
        return False
    want, have = chroot_stamp(suite, headers).split(), stamp.read_text().split()
    return have[:1] == want[:1] and set(want) <= set(have)


def add_packages(suite, headers):
    """Install what the chroot's list of packages has gained since it was made.

    Not headers: other ones mean other kernels, and a chroot without the old ones.
    """
    stamp = tree.CHROOTS / f"{suite}.packages"
    if chroot_fits(suite, headers) or not stamp.exists():
        return
    have = stamp.read_text().split()
    missing = set(chroot_stamp(suite, headers).split()) - set(have)
    if have[:1] != [CHROOT_FORMAT] or not missing <= set(CHROOT_PACKAGES[suite]):
        return
    root = tree.CHROOTS / suite
    resolv = root / "etc/resolv.conf"
    tree.run(tree.as_root(["cp", "--remove-destination", "/etc/resolv.conf", resolv]),
             "name servers")
    tree.run(tree.in_chroot(root, "export DEBIAN_FRONTEND=noninteractive LC_ALL=C; "
                            "apt-get -qq update && apt-get -qq --yes --no-install-recommends "
                            f"install {' '.join(sorted(missing))}", user=False),
             f"installing {' '.join(sorted(missing))} in the {suite} chroot")
    stamp.write_text(" ".join(have + sorted(missing)) + "\n")


def bootstrap(suite, root, packages, what, options=()):
    """Make a Debian of a release with these packages in root, by mmdebstrap."""
    argv = ["mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(packages)}",
            "--aptopt=APT::Install-Recommends \"false\"", *options]
    argv += [f"--aptopt={o}" for o in apt_options()]
    argv += [suite, root, *source_lines(CHROOT_SUITES[suite])]
    tree.run(tree.private_mounts(argv), what, env=dict(os.environ, LC_ALL="C"))


def make_chroot(suite, headers):
    """A minimal chroot of a Debian release with these headers packages."""
    root = tree.CHROOTS / suite
    packages = CHROOT_PACKAGES[suite] + headers
    want = chroot_stamp(suite, headers)
    stamp = tree.CHROOTS / f"{suite}.packages"
    if chroot_fits(suite, headers):
        return
    tree.CHROOTS.mkdir(parents=True, exist_ok=True)
    scratch = tree.CHROOTS / f"{suite}.new"

    def remove(path):
        if path.exists():
            tree.run(tree.as_root(["rm", "-rf", "--one-file-system", path]),
                     "removing old chroot")

    remove(scratch)
    bootstrap(suite, scratch, packages, f"making the {suite} chroot", (
        # Newer headers packages depend on their image.  It does not boot here: no
        # initramfs (a third of the time), no modules (a third of the space).
        "--essential-hook=chroot \"$1\" dpkg-divert --quiet --local --rename --add "
        "/usr/sbin/update-initramfs && ln -s /bin/true \"$1/usr/sbin/update-initramfs\"",
        "--dpkgopt=path-exclude=/lib/modules/*/kernel/*",
        "--dpkgopt=path-exclude=/usr/lib/modules/*/kernel/*",
        "--dpkgopt=path-exclude=/boot/*"))
    # Guests may be running out of the old one: it goes after the swap.
    old = tree.CHROOTS / f"{suite}.old"
    remove(old)
    stamp.unlink(missing_ok=True)
    if root.exists():
        tree.run(tree.as_root(["mv", root, old]), "putting the old chroot aside")
    tree.run(tree.as_root(["mv", scratch, root]), "putting the chroot in place")
    stamp.write_text(want + "\n")
    remove(old)


def setup(refresh=False):
    """Make or complete the lab.  With refresh, look for newer kernels."""
    tree.LAB.mkdir(parents=True, exist_ok=True)
    with open(tree.LAB / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        setup_locked(refresh)


def setup_locked(refresh):
    steps = Steps()
    archive = Archive()
    if not refresh:
        for suite, headers in planned_headers().items():
            add_packages(suite, headers)
    if not refresh and complete():
        steps.say("complete (scripts/lab-setup --refresh looks for newer kernels)")
        return
    steps.step("package lists", archive.update)
    plan = {}
    for line in tree.LINES:
        for kernel, packages in archive.choose(line):
            plan[kernel] = packages
            steps.say(f"kernel line {line.name}: {kernel.release}"
                      f"{' (extra)' if kernel.extra else ''}")
    headers = {}
    for kernel in plan:
        headers.setdefault(kernel.suite, []).append(f"linux-headers-{kernel.release}")

    # The chroots are bound by unpacking, the kernels by the network: together.
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(steps.step, f"chroot {suite} ({', '.join(headers[suite])})",
                            make_chroot, suite, headers[suite]) for suite in headers]
        jobs.append(pool.submit(lambda: [
            steps.step(f"kernel {kernel.release}", unpack_kernel, archive, kernel, packages)
            for kernel, packages in plan.items()]))
        for job in jobs:
            job.result()
    for old in tree.KERNELS.iterdir():
        if old.name not in {kernel.release for kernel in plan}:
            shutil.rmtree(old)
    tree.write_plan(plan)
    usage = subprocess.run(tree.as_root(["du", "-sh", tree.LAB]), capture_output=True,
                           text=True, check=False).stdout.split()
    steps.say(f"ready, {usage[0] if usage else '?'} in build/lab")


def planned_headers():
    """{suite: headers packages} of the plan of the last setup."""
    headers = {}
    for kernel in tree.read_plan():
        headers.setdefault(kernel.suite, []).append(f"linux-headers-{kernel.release}")
    return headers


def complete():
    """Is everything there that the plan of the last setup named?"""
    plan = tree.read_plan()
    return (bool(plan) and all((k.dir / "release").exists() for k in plan) and
            all(chroot_fits(*of) for of in planned_headers().items()))
