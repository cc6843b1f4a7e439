# SPDX-License-Identifier: GPL-2.0-only
"""A guest moves from one host to another: xl migrate, over xenwire in place of ssh."""

import time

from lab.vm import GuestError

PORT = 8002
DOM0 = {"a": "10.9.0.1", "b": "10.9.0.2"}
OTHER = {"a": "b", "b": "a"}


def listen(h):
    """What the other host's xl talks to, and what this host's xl talks through."""
    h.sh("printf '#!/bin/sh\\nexec xl migrate-receive 2>>/tmp/receive.log\\n' > /tmp/receive; "
         f"printf '#!/bin/sh\\nexec xenwire connect {DOM0[OTHER[h.name]]} {PORT}\\n' > /tmp/send; "
         "chmod +x /tmp/receive /tmp/send; "
         f"(xenwire listen {PORT} /tmp/receive >/dev/null 2>&1 </dev/null &)")


def migrate(source, dest, name, seconds=900):
    """xl migrate; how long it took, and what xl complained of."""
    begin = time.monotonic()
    text = source.sh(f"xl migrate -e -s /tmp/send {name} {DOM0[dest.name]} 2>&1", seconds,
                     check=False)
    source.left(name)
    there = dest.sh(f"xl domid {name}", check=False)
    if not there.strip().isdigit():
        received = dest.sh("tail -n 15 /tmp/receive.log", check=False)
        raise GuestError(f"{name} did not arrive on {dest.name}: {text[-900:]} {received}")
    bad = "; ".join(line for line in text.splitlines() if "rror" in line or "fail" in line)
    return (f"{name}: {source.name} to {dest.name} in {time.monotonic() - begin:.0f} s"
            f"{': ' if bad else ''}{bad[-600:]}")
