# SPDX-License-Identifier: GPL-2.0-only
"""A real chronyd on the host's loopback, serving the host's CLOCK_REALTIME.

It never touches the host's clock (-x), needs no privilege (a port above 1023,
-U), and keeps everything in the demo's directory.
"""

import os
import pwd
import socket
import struct
import subprocess
import time

from lab import local, tree

from .say import DemoError

# Seconds from 1900 (NTP) to 1970 (Unix): 70 years, 17 of them leap years.
NTP_EPOCH = (70 * 365 + 17) * 86400


class Server:
    """chronyd as the guests' time server; a context manager."""

    def __init__(self, workdir):
        self.dir = workdir
        self.port = local.free_port(socket.SOCK_DGRAM)
        self.process = None

    def __enter__(self):
        program = tree.program("chronyd")
        conf = self.dir / "chronyd.conf"
        conf.write_text("\n".join([
            f"port {self.port}",
            "bindaddress 127.0.0.1",
            "allow 127.0.0.1",
            "local stratum 1",
            "cmdport 0",
            "bindcmdaddress /",
            f"pidfile {self.dir / 'chronyd.pid'}",
        ]) + "\n")
        (self.dir / "chronyd.pid").unlink(missing_ok=True)
        log = open(self.dir / "chronyd.log", "w", encoding="utf-8")
        with log:
            self.process = subprocess.Popen(
                program + ["-x", "-U", "-d", "-u", pwd.getpwuid(os.getuid()).pw_name,
                           "-f", str(conf)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def _wait(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self.ask() is not None:
                return
            time.sleep(0.1)
        said = (self.dir / "chronyd.log").read_text(errors="replace").strip()
        raise DemoError(f"chronyd does not serve time on 127.0.0.1 port {self.port}: "
                        f"{said or 'it said nothing'}\n"
                        "Is the package chrony whole (chronyd -v)? Then run the demo again.")

    def ask(self, patience=0.5):
        """One SNTP exchange: (stratum, offset of the server's time [s]), or None."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(patience)
            sock.connect(("127.0.0.1", self.port))
            try:
                sent = time.time()
                sock.send(b"\x23" + b"\0" * 47)     # version 4, client
                answer = sock.recv(512)
                got = time.time()
            except OSError:
                return None
        if len(answer) < 48 or answer[0] >> 6 == 3:     # leap 3: not synchronised
            return None
        seconds, fraction = struct.unpack(">II", answer[40:48])
        return answer[1], seconds - NTP_EPOCH + fraction / 2**32 - (sent + got) / 2

    def stop(self):
        if self.process:
            local.end(self.process, 5)
