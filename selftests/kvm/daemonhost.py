# SPDX-License-Identifier: GPL-2.0-only
"""A nested KVM host with ffclock-hostd."""

import time

from nested import GuestError, Host

CONF = """clock system
system-bound 0.0000001
system-tai 37
libvirt none
scan 0.2
update 1
process ld.so
verbose 3
control /tmp/control
"""


class DaemonHost(Host):
    """A host with ffclock-hostd."""

    def start(self):
        super().start()
        self.sh("ffclock-hostd -c /etc/hostd.conf >/tmp/hostd.log 2>&1 </dev/null &")

    def hostd(self, command):
        return self.json(f"timeout 20 ffclock-hostd -c /etc/hostd.conf --ask '{command}'")[0]

    def wait_clock(self):
        """The daemon's clock, once it runs and has one."""
        deadline = time.monotonic() + 60
        while True:
            try:
                clock = self.hostd("clock")
                if clock["usable"]:
                    return clock
            except GuestError:
                pass
            if time.monotonic() > deadline:
                raise GuestError(f"{self.name}: no clock")
            time.sleep(0.2)
