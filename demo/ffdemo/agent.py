# SPDX-License-Identifier: GPL-2.0-only
"""The host's end of qemu-guest-agent: what a manager of guests does with it."""

import json
import queue
import random
import time

from lab import vm

from .say import DemoError

CHANNEL = "org.qemu.guest_agent.0"


def qemu_arguments(path):
    """The virtio-serial port that the agent listens on, its socket at path."""
    return (f"-device virtio-serial-pci -chardev socket,id=agent,path={path},server=on,wait=off "
            f"-device virtserialport,chardev=agent,name={CHANNEL}")


class Agent:
    """A connection to the agent of a guest; sock is the port's socket."""

    def __init__(self, sock):
        self.lines = vm.Lines(str(sock), time.monotonic() + 20)

    def _ask(self, name, patience, **arguments):
        text = {"execute": name}
        if arguments:
            text["arguments"] = arguments
        self.lines.send(json.dumps(text))
        try:
            line = self.lines.get(patience)
        except queue.Empty:
            return None
        if line is None:
            raise DemoError("QEMU closed the guest agent's socket")
        return json.loads(line)

    def sync(self, patience=30):
        """Wait for the agent; answers to what somebody else asked are dropped."""
        deadline = time.monotonic() + patience
        number = random.getrandbits(31)
        while time.monotonic() < deadline:
            answer = self._ask("guest-sync", 1, id=number)
            while answer is not None and answer.get("return") != number:
                try:
                    line = self.lines.get(1)
                except queue.Empty:
                    break
                answer = json.loads(line) if line else None
            if answer is not None and answer.get("return") == number:
                return
        raise DemoError("qemu-ga in the guest does not answer")

    def set_time(self, patience=30):
        """guest-set-time with the host's time now; (began, ended [host ns], error or "")."""
        began = time.time_ns()
        answer = self._ask("guest-set-time", patience, time=began)
        if answer is None:
            raise DemoError("qemu-ga does not answer to guest-set-time")
        return began, time.time_ns(), answer.get("error", {}).get("desc", "")

    def close(self):
        self.lines.close()
