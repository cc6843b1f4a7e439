# SPDX-License-Identifier: GPL-2.0-only
"""What the command lines of demo/run and demo/compare share."""

import argparse
import sys

from lab import tree

from . import setup
from .say import DemoError


def parser(doc, sync, watch, downtime):
    """Their common options; defaults in seconds, and what the downtime is of."""
    p = argparse.ArgumentParser(description=doc)
    p.add_argument("-k", "--kernel", default="6.12", metavar="NAME",
                   help="6.1, 6.12 or 7.2 (default: %(default)s)")
    p.add_argument("--sync", type=int, default=sync, metavar="SECONDS",
                   help="to synchronise first (default: %(default)s)")
    p.add_argument("--watch", type=int, default=watch, metavar="SECONDS",
                   help="to watch after each disruption (default: %(default)s)")
    p.add_argument("--downtime", type=int, default=300, metavar="MS",
                   help=f"{downtime}, at least (default: %(default)s)")
    p.add_argument("--no-build", action="store_true",
                   help="take packages, lab, modules and programs as they are")
    return p


def check(p, args, sync, watch):
    """Ends with a message when they are shorter than that, or the downtime is out of range."""
    if args.sync < sync or args.watch < watch:
        p.error(f"--sync must be at least {sync} and --watch at least {watch} seconds")
    if not 1 <= args.downtime <= 10000:
        p.error("--downtime must be from 1 to 10000 ms")


def run(name, work, args):
    """work(args), with a lock that no other demo has; the exit status."""
    setup.end_as_by_ctrl_c()
    try:
        with setup.alone():
            if not args.no_build:
                setup.build(args.kernel)
            return work(args)
    except (DemoError, tree.LabError) as err:
        print(f"{name}: {err}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; its guests and chronyd are ended", file=sys.stderr)
        return 130
