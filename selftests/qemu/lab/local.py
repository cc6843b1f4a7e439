# SPDX-License-Identifier: GPL-2.0-only
"""This machine's programs, ports and counter, beside the guests'."""

import ctypes
import functools
import mmap
import socket
import subprocess
import time

# rdtsc; shl $32, %rdx; or %rdx, %rax; ret
READ_TSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")


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


@functools.cache
def tsc_khz():
    """The frequency of this machine's TSC.

    Each end is the narrowest of many brackets, some us wide even on a busy machine:
    a part in 10^5 of the 0.3 s between the two.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(READ_TSC)
    code = ctypes.c_char.from_buffer(page)
    read_tsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(code))

    def both():
        def bracket():
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            tsc = read_tsc()
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            return after - before, tsc, before
        return min(bracket() for _ in range(200))[1:]

    tsc, ns = both()
    time.sleep(0.3)
    later, later_ns = both()
    return round((later - tsc) * 1e6 / (later_ns - ns))
