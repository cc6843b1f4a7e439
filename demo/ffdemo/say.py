# SPDX-License-Identifier: GPL-2.0-only
"""Progress on the terminal: a line per step, with the time since the start."""

import sys
import time

BEGAN = time.monotonic()


class DemoError(Exception):
    """Something the user can act on; the text says what to do next."""


def elapsed():
    return time.monotonic() - BEGAN


def say(text):
    print(f"demo: [{elapsed():5.1f} s] {text}", flush=True)


def warn(text):
    print(f"demo: [{elapsed():5.1f} s] {text}", file=sys.stderr, flush=True)
