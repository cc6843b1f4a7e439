# SPDX-License-Identifier: GPL-2.0-only
"""This machine's programs and ports, beside the guests'."""

import socket
import subprocess


def free_port(kind=socket.SOCK_STREAM):
    """A port of the loopback that nobody uses now; SOCK_DGRAM: of UDP."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def end(process, patience=10):
    """Have a child end; one that does not is killed.  Its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
