# SPDX-License-Identifier: GPL-2.0-only
"""Host time on a guest's VMClock page, across a migration.

With -machine aux-ram-share=on an unpatched QEMU keeps the page in a memfd that
its user can write (selftests/qemu/vmclockpage.py); QEMU itself fills in the
marker only.

The page migrates with the guest, so for a moment the destination would show the
source's time under a new marker.  Hence the time is withdrawn before a migration
and told anew once the guest runs there.  Under TCG it takes a handshake with the
running guest to know its TSC on the new host; KVM tells that in debugfs.
"""

import vmclockpage


class Teller:
    """Keeps the page of a machine right."""

    def __init__(self, machine):
        self.machine = machine
        self.tellings = []      # (host ns, error that was told [ns]), ascending
        self.process = self._open(machine.guest)

    @staticmethod
    def _open(guest, rate=None):
        return vmclockpage.Teller(vmclockpage.memfd(guest.process.pid), guest.shm, rate)

    def update(self):
        """Tell the time now."""
        self._note(self.process.tell())

    def _note(self, answer):
        self.tellings.append((answer["written_ns"], answer["maxerror_ns"]))

    def spawned(self, _dest):
        """The migration is about to begin."""
        self.process.command("withdraw")

    def arrived(self, dest):
        """The guest is there, and runs in a moment: tell it as soon as it does."""
        rate = self.process.rate
        self.process.close()
        self.process = self._open(dest, rate)
        self.process.begin_tell()

    def resumed(self):
        """The guest runs."""
        self._note(self.process.end())

    def close(self):
        self.process.close()
