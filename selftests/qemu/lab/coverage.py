# SPDX-License-Identifier: GPL-2.0-only
"""Which lines of our modules ran, from what gcov counted in guests."""

import json
import pathlib
import shutil
import tarfile

from . import tree
from .tree import LabError

GCOV = "gcov-12"            # the one of the compiler that build-modules takes
WHERE = "/srv/cov"
# Beginnings of what is ours and not a test
OURS = ("kernel/", "drivers/", "arch/", "include/linux/ffclock")


def counts(kernel, archive, scratch):
    """{file: {line: ran}} of one guest's counts."""
    shutil.rmtree(scratch, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(scratch, filter="data")
    # Made with the modules, in /srv/ffclock: below that the names agree.
    home = scratch / "srv/ffclock"
    data = [p for p in home.rglob("*.gcda") if "selftests" not in p.parts]
    for path in data:
        notes = (kernel.build / path.relative_to(home)).with_suffix(".gcno")
        if not notes.exists():
            raise LabError(f"no {notes}: scripts/build-modules {kernel.name} makes it")
        shutil.copy(notes, path.with_suffix(".gcno"))
    names = " ".join(str(pathlib.Path("srv/ffclock") / p.relative_to(home)) for p in data)
    # It fails, but goes on, where a file was compiled again after the guest ran.
    said = tree.run(tree.in_chroot(
        kernel.chroot, f"cd {WHERE} && {GCOV} --json-format --stdout {names} 2>&1 || true",
        binds=[(scratch, WHERE)]), GCOV) if data else ""
    if "stamp mismatch" in said:
        raise LabError(f"{archive} is of other modules than {kernel.build} has: run the "
                       "tests again")
    ran = {}
    for line in said.splitlines():
        if not line.startswith("{"):
            continue
        for file in json.loads(line)["files"]:
            name = file["file"].removeprefix("/srv/ffclock/")
            if not name.startswith(OURS):
                continue
            lines = ran.setdefault(name, {})
            for entry in file["lines"]:
                number = entry["line_number"]
                lines[number] = lines.get(number, False) or entry["count"] > 0
    return ran


def collect(kernel, archives):
    """The same of several guests together: a line ran that ran in any."""
    total = {}
    scratch = tree.DEBUG / "coverage"
    for archive in archives:
        for name, lines in counts(kernel, archive, scratch).items():
            sums = total.setdefault(name, {})
            for number, ran in lines.items():
                sums[number] = sums.get(number, False) or ran
    shutil.rmtree(scratch, ignore_errors=True)
    return total


def spans(numbers):
    """[3, 4, 5, 9] as "3-5 9"."""
    out = []
    for n in sorted(numbers):
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return " ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in out)


def table(total, missing=False):
    """Lines of text: file, lines that are code, how many ran; with those that did not."""
    rows = []
    for name in sorted(total):
        lines = total[name]
        rows.append((name, len(lines), sum(lines.values()),
                     [n for n, ran in lines.items() if not ran]))
    rows.append(("total", sum(r[1] for r in rows), sum(r[2] for r in rows), []))
    out = [f"{'file':42} {'lines':>6} {'ran':>6} {'%':>6}"]
    for name, lines, ran, lost in rows:
        out.append(f"{name:42} {lines:6} {ran:6} {100 * ran / lines if lines else 0:6.1f}")
        if missing and lost:
            out.append(f"    not {spans(lost)}")
    return out
