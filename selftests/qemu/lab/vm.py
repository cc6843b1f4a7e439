# SPDX-License-Identifier: GPL-2.0-only
"""A guest: the QEMU process, its two serial ports, QMP, migration.

ttyS0 is the console, written to a file.  ttyS1 is the channel on which the
guest's server takes commands and reports (see the file serve).  Typical use:

    with Guest(kernel, image, workdir, "demo") as guest:
        guest.start()
        guest.serve("hosttime", 60, "hosttime serve")
        print(guest.line(10))
        after = guest.migrate()         # the same machine in another process
        after.send("stop")
        after.finish()

After migrate() the old object is dead and the returned one carries on; the
channel's lines follow the guest.
"""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from . import local, tree
from .tree import LabError

MARK = "@@lab "
# QEMU's vmclock device came with 10.0.
QEMU_MINIMUM = (10, 0)

SHM_SIZE = 4096     # bytes behind ivshmem
POKE_S = 10         # of silence, before the serial port gets an interrupt
SYSRQ_KEYS = "9wtql"    # every level; blocked tasks, all of them, timers, processors
SYSRQ_S = 1         # for each

BASE_APPEND = ("console=ttyS0 loglevel=5 panic=-1 panic_on_warn=1 panic_print=32 "
               "sysrq_always_enabled printk.devkmsg=on log_buf_len=8M random.trust_cpu=on")


class GuestError(LabError):
    """The guest died, fell silent, or said something it must not say."""


class Silence(GuestError):
    """The guest runs, or seems to, and says nothing."""


def qemu_command():
    """argv prefix of a QEMU that has vmclock.

    The host's own if new enough, else the one in the trixie chroot.
    """
    own = shutil.which("qemu-system-x86_64")
    if own:
        m = re.search(r"version (\d+)\.(\d+)", tree.run([own, "--version"], "asking QEMU"))
        if m and (int(m.group(1)), int(m.group(2))) >= QEMU_MINIMUM:
            return [own]
    root = tree.CHROOTS / "trixie"
    argv = tree.chroot_program("usr/bin/qemu-system-x86_64")
    for data in ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"):
        argv += ["-L", str(root / data)]
    return argv


class Lines:
    """A socket's lines, read by a thread; none is lost to a slow caller."""

    def __init__(self, path, deadline):
        self.sock = connect(path, deadline)
        self.queue = queue.Queue()
        self.earlier = collections.deque()  # taken over from another socket
        self.closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = b""
        try:
            while True:
                data = self.sock.recv(65536)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.queue.put(line.rstrip(b"\r").decode(errors="replace"))
        except OSError:
            pass
        if rest:
            self.queue.put(rest.decode(errors="replace"))
        self.queue.put(None)

    def get(self, timeout):
        """The next line; None when the other side has closed; queue.Empty."""
        if self.earlier:
            return self.earlier.popleft()
        if self.closed:
            return None
        line = self.queue.get(timeout=max(timeout, 0.001))
        if line is None:
            self.closed = True
        return line

    def send(self, line):
        try:
            self.sock.sendall(line.encode() + b"\n")
        except OSError as err:
            raise GuestError(f"guest is gone: {err}") from None

    def close(self):
        # close() alone leaves the connection to the thread that reads
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def connect(path, deadline):
    """Connect to a Unix socket that is about to appear."""
    # A socket address holds 107 bytes; a directory's fd makes it short.
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        fd = os.open(os.path.dirname(path), os.O_PATH)
        try:
            sock.connect(f"/proc/self/fd/{fd}/{os.path.basename(path)}")
            return sock
        except OSError:
            sock.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        finally:
            os.close(fd)


class Qmp:
    """QEMU's control socket."""

    def __init__(self, path, deadline):
        self.lines = Lines(path, deadline)
        self.events = []
        self._message(10)
        self.command("qmp_capabilities")

    def _message(self, timeout):
        try:
            line = self.lines.get(timeout)
        except queue.Empty:
            raise GuestError("QEMU does not answer on its control socket") from None
        if line is None:
            raise GuestError("QEMU closed its control socket")
        return json.loads(line)

    def command(self, name, timeout=30, **arguments):
        text = {"execute": name}
        if arguments:
            text["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.lines.send(json.dumps(text))
        while True:
            message = self._message(timeout)
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise GuestError(f"QMP {name}: {message['error']['desc']}")
            else:
                return message["return"]

    def resumed_ns(self):
        """When the last RESUME of those events was, on this machine's CLOCK_REALTIME."""
        stamp = [e["timestamp"] for e in self.events if e["event"] == "RESUME"][-1]
        return stamp["seconds"] * 10**9 + stamp["microseconds"] * 1000


@dataclasses.dataclass
class Migration:
    """What a migration was, in host terms; times are CLOCK_REALTIME ns."""

    began_ns: int
    running_ns: int         # destination seen running
    total_ms: int
    downtime_ms: int
    transferred: int        # bytes


@dataclasses.dataclass
class Config:
    """What a guest is made of; the same on both ends of a migration."""

    smp: int = 2
    memory: int = 512           # MiB
    append: str = "tsc=reliable"
    machine: str = "pc"
    cpu: str = "max"
    accel: str = "tcg,thread=multi"
    vmclock: bool = True
    net: bool = True
    qemu: str = ""              # more QEMU arguments, shell syntax
    hosttime: bool = False      # ivshmem page for hosttime


def timer_state(lapic):
    """A processor's timer in a word or two, of what QEMU tells of its local APIC.

    Linux masks a one-shot timer when it wants none: one that has run out, unmasked and
    with no interrupt pending, was lost.
    """
    line = re.search(r"^LVTT\s.*", lapic, re.M)
    count = re.search(r"initial_count = (\d+) current_count = (\d+)", lapic)
    vector = re.search(r"\(vec (\d+)\)", line[0]) if line else None
    if not (count and vector):
        return "unknown"
    if "masked" in line[0]:
        return "masked"
    if int(count[2]):
        return f"running ({count[2]} of {count[1]})"
    for register, state in (("IRR", "pending"), ("ISR", "in service")):
        has = re.search(rf"^{register}\s(.*)", lapic, re.M)
        if has and vector[1] in re.findall(r"\d+", has[1]):
            return f"run out, interrupt {state}"
    return f"run out (of {count[1]}), interrupt lost"


class Guest:
    """One QEMU process.  workdir gets NAME.console and the other files."""

    begin_s = 30    # until the server begins with a command

    def __init__(self, kernel, image, workdir, name="guest", config=None, **changes):
        self.kernel = kernel
        self.image = pathlib.Path(image)
        self.workdir = pathlib.Path(workdir).resolve()
        self.name = name
        self.config = dataclasses.replace(config or Config(), **changes)
        self.generation = 0
        self.process = None
        self.channel = None
        self.qmp = None
        self.transcript = []    # every line the channel carried
        self.consoles = []      # console logs of all generations
        self.given_up = []      # boots that ended in silence: where the processors were
        self.judged = None      # what the consoles had said before last_words()
        self.succeeded = False
        self.serving = False    # by a command that reads the channel

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()

    def path(self, suffix):
        return self.workdir / f"{self.name}.{self.generation}.{suffix}"

    @property
    def shm(self):
        """The file behind the hosttime page of this process."""
        return self.path("shm")

    def argv(self, incoming=None, shell=False):
        c = self.config
        append = f"{BASE_APPEND} {c.append}"
        if c.accel.startswith("tcg"):
            # The guest reads this machine's TSC, and on a busy one its own attempts to
            # calibrate it have come out 2.7 times wrong.
            append += f" tsc_early_khz={local.tsc_khz()}"
        if not c.net:
            append += " lab.nonet"
        if shell:
            append += " lab.shell"
        argv = qemu_command() + [
            "-name", self.name, "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot",
            # The guest's memory comes first of all objects: in QEMU 10.0, dirty
            # tracking under TCG takes offsets in any block for ones in the first,
            # and a source of a migration aborts when that is a smaller block.
            "-object", f"memory-backend-ram,id=ram,size={c.memory}M",
            "-machine", f"{c.machine},memory-backend=ram",
            "-cpu", c.cpu, "-accel", c.accel,
            "-smp", str(c.smp), "-m", str(c.memory),
            "-kernel", str(self.kernel.vmlinuz), "-initrd", str(self.image),
            "-append", append,
            "-qmp", f"unix:{self.short('qmp')},server=on,wait=off",
        ]
        if shell:
            argv += ["-chardev", "stdio,id=con,mux=on,signal=off", "-mon", "chardev=con"]
        else:
            argv += ["-chardev", f"file,id=con,path={self.path('console')}"]
        argv += ["-serial", "chardev:con",
                 "-chardev", f"socket,id=lab,path={self.short('channel')},server=on,wait=off",
                 "-serial", "chardev:lab"]
        if c.vmclock:
            argv += ["-device", "vmclock"]
        if c.net:
            argv += ["-nic", "user,model=virtio-net-pci"]
        if c.hosttime:
            argv += ["-object", f"memory-backend-file,id=hosttime,mem-path={self.shm},"
                     f"size={SHM_SIZE},share=on",
                     "-device", "ivshmem-plain,memdev=hosttime,master=on"]
        argv += shlex.split(c.qemu)
        if incoming:
            argv += ["-incoming", incoming]
        elif not shell:
            argv += ["-S"]
        return argv

    def short(self, suffix):
        """A socket path relative to workdir: QEMU is started there."""
        return self.path(suffix).name

    def spawn(self, incoming=None):
        self.workdir.mkdir(parents=True, exist_ok=True)
        for suffix in ("qmp", "channel"):
            self.path(suffix).unlink(missing_ok=True)
        if self.config.hosttime:
            self.shm.write_bytes(b"\0" * SHM_SIZE)
        with open(self.path("qemu"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                self.argv(incoming), cwd=self.workdir, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        self.consoles.append(self.path("console"))
        deadline = time.monotonic() + 20
        try:
            self.qmp = Qmp(str(self.path("qmp")), deadline)
            self.channel = Lines(str(self.path("channel")), deadline)
        except (OSError, GuestError) as err:
            self.kill()
            said = self.path("qemu").read_text(errors="replace").strip()
            raise GuestError(f"QEMU did not start: {said or err}") from None

    def start(self, timeout=120):
        """Boot; returns when the guest's server has said hello.

        Rarely (less than once in 400) an emulated boot stops half-way, its processors
        idle as if a timer interrupt had been lost.  Nothing of ours is loaded before the
        hello, so such a boot is given up, aloud, and the machine started once more.
        """
        try:
            self._boot(timeout)
        except Silence as err:
            if not self.config.accel.startswith("tcg"):
                raise
            self.given_up.append(str(err))
            self.last_words(err)
            print(f"# lab: {self.name}: boot given up and begun again: {err}",
                  file=sys.stderr, flush=True)
            self.kill()
            self.consoles.pop()
            self.judged = None
            self.generation += 1
            self._boot(timeout)

    def _boot(self, timeout):
        self.spawn()
        self.qmp.command("cont")
        marker = self.marker("hello", timeout * self.kernel.patience)
        if marker != f"hello {self.kernel.release}":
            raise GuestError(f"guest runs '{marker}', wanted {self.kernel.release}")

    def line(self, timeout):
        """The next line on the channel; GuestError on silence or death.

        Emulated serial ports have kept what a guest had to say until their next
        interrupt came (Xen's dom0).  An empty line makes one, and is no command to the
        server; a program that it serves could take it for its own.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            wait = left if self.serving else min(left, POKE_S)
            try:
                line = self.channel.get(wait)
                break
            except queue.Empty:
                if wait == left:
                    raise Silence("guest is silent or late: nothing in "
                                  f"{max(timeout, 0):.0f} s; {self.where()}") from None
            self.send("")
        if line is None:
            raise GuestError("guest ended without saying success")
        self.transcript.append(line)
        return line

    def where(self):
        """What the processors do; all of it goes to a file beside the console's."""
        if not self.qmp:
            return "nobody to ask where its processors are"
        asked = (["info registers -a"] + [f"info lapic {n}" for n in range(self.config.smp)] +
                 ["info pic", "info irq"])
        try:
            said = [self.qmp.command("human-monitor-command", timeout=5, command_line=a)
                    for a in asked]
        except GuestError as err:
            return f"QEMU does not say where its processors are ({err})"
        self.path("registers").write_text("\n".join(said), encoding="utf-8")
        registers, *lapics = said[:1 + self.config.smp]
        return (f"{registers.count('HLT=1')} of {self.config.smp} processors idle, at " +
                ", ".join(re.findall(r"RIP=(\w+)", registers)) +
                "; timers " + ", ".join(timer_state(l) for l in lapics))

    def last_words(self, err):
        """Ask the kernel of a guest that fell silent what its tasks and timers do.

        If it lives, it tells its console.  That is full of traces: the log that is
        judged ends here.
        """
        if not isinstance(err, Silence):
            return
        self.judged = self.console()
        for key in SYSRQ_KEYS:
            with contextlib.suppress(GuestError):
                self.qmp.command("human-monitor-command", timeout=5,
                                 command_line=f"sendkey alt-sysrq-{key}")
            time.sleep(SYSRQ_S)

    def marker(self, verb, timeout):
        """Skip to the marker line that begins with verb; its text."""
        deadline = time.monotonic() + timeout
        while True:
            line = self.line(deadline - time.monotonic())
            if line.startswith(MARK + verb):
                return line[len(MARK):]

    def send(self, line):
        """One line to the server, or to the program that it now serves."""
        self.channel.send(line)

    def run(self, name, seconds, command):
        """Have the server run a command; read its output with line()."""
        self.serving = False
        self.send(f"run {name} {int(seconds)} {command}")
        self.marker(f"begin {name}", self.begin_s * self.kernel.patience)

    def serve(self, name, seconds, command):
        """As run(), the command's standard input being the channel."""
        self.serving = True
        self.send(f"serve {name} {int(seconds)} {command}")
        self.marker(f"begin {name}", self.begin_s * self.kernel.patience)

    def output(self, seconds, command, name="cmd"):
        """Run a command to its end: (exit code, lines)."""
        seconds *= self.kernel.patience
        self.run(name, seconds, command)
        lines = []
        deadline = time.monotonic() + seconds + 30
        while True:
            line = self.line(deadline - time.monotonic())
            # an output without a newline at its end has the mark behind it
            rest, end, code = line.partition(f"{MARK}end {name} ")
            if rest or not end:
                lines.append(rest)
            if end:
                return int(code.split()[0]), lines

    def finish(self, timeout=60):
        """Have the guest print its log, say success, and power off."""
        self.send("quit")
        self.marker("success", timeout * self.kernel.patience)
        self.succeeded = True
        try:
            self.process.wait(timeout=20 * self.kernel.patience)
        except subprocess.TimeoutExpired:
            raise GuestError("guest said success but did not power off") from None

    def kill(self):
        """End this guest's QEMU, whatever it does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for end in (self.channel, self.qmp and self.qmp.lines):
            if end:
                end.close()
        for suffix in ("qmp", "channel", "migrate"):
            self.path(suffix).unlink(missing_ok=True)

    def console(self):
        """All that the consoles of all generations have said, unasked."""
        if self.judged is not None:
            return self.judged
        return "".join(p.read_text(errors="replace") for p in self.consoles if p.exists())

    # -- migration ---------------------------------------------------------

    def successor(self, **changes):
        """An unstarted Guest like this one, one generation on."""
        other = Guest(self.kernel, self.image, self.workdir, self.name,
                      dataclasses.replace(self.config, **changes))
        other.generation = self.generation + 1
        other.transcript = self.transcript
        other.serving = self.serving
        other.consoles = list(self.consoles)
        return other

    def _wait_migrated(self, timeout):
        deadline = time.monotonic() + timeout
        while True:
            info = self.qmp.command("query-migrate")
            if info.get("status") == "completed":
                return info
            if info.get("status") in ("failed", "cancelled"):
                raise GuestError(f"migration {info['status']}: {info.get('error-desc', '?')}")
            if time.monotonic() > deadline:
                raise GuestError(f"migration still {info.get('status')} after {timeout} s")
            time.sleep(0.01)

    def wait_running(self, timeout=30):
        """"completed" on the source does not mean this side runs yet.

        A guest that slept (S3) before its migration does so after it.
        """
        deadline = time.monotonic() + timeout
        while self.qmp.command("query-status")["status"] not in ("running", "suspended"):
            if time.monotonic() > deadline:
                raise GuestError("migrated guest does not run")
            time.sleep(0.002)

    def resumed_ns(self):
        """When QEMU says that it resumed the guest last, on the host's CLOCK_REALTIME."""
        return self.qmp.resumed_ns()

    def migrate(self, timeout=60, spawned=None, arrived=None, resumed=None,
                **changes):
        """Live migration to a second QEMU; returns (Guest, Migration).

        changes are those of Config that may differ on the destination.
        Each of these is called with the destination, if given: spawned once it
        waits for the guest, arrived once it has it, resumed once it runs it.
        """
        dest = self.successor(**changes)
        incoming = f"unix:{dest.short('migrate')}"
        dest.path("migrate").unlink(missing_ok=True)
        dest.spawn(incoming)
        try:
            if spawned:
                spawned(dest)
            began = time.time_ns()
            self.qmp.command("migrate", uri=incoming)
            info = self._wait_migrated(timeout)
            if arrived:
                arrived(dest)
            dest.wait_running()
            running = time.time_ns()
            if resumed:
                resumed(dest)
        except BaseException:
            dest.kill()
            raise
        self._drain_into(dest)
        self.qmp.command("quit")
        self.process.wait(timeout=20)
        self.kill()
        dest.path("migrate").unlink(missing_ok=True)
        return dest, Migration(began, running, info["total-time"], info["downtime"],
                               info["ram"]["transferred"])

    def _drain_into(self, dest):
        """What the guest said before the hand-over comes first."""
        while True:
            try:
                line = self.channel.get(0.05)
            except queue.Empty:
                break
            if line is None:
                break
            dest.channel.earlier.append(line)

    def hand_over(self, dest):
        """The guest runs there now: end what is left of this process."""
        self._drain_into(dest)
        self.kill()

    def save(self, file, timeout=60):
        """Save the machine's state to file and end this QEMU."""
        self.qmp.command("migrate", uri=f"exec:cat > {shlex.quote(str(file))}")
        self._wait_migrated(timeout)
        self.qmp.command("quit")
        self.process.wait(timeout=20)

    def restore(self, file, timeout=60, spawned=None, **changes):
        """A new QEMU that carries on from a saved state; spawned as in migrate()."""
        dest = self.successor(**changes)
        dest.spawn(f"exec:cat {shlex.quote(str(file))}")
        if spawned:
            spawned(dest)
        dest.wait_running(timeout)
        self.hand_over(dest)
        return dest

    # -- interactive -------------------------------------------------------

    def interactive(self):
        """A shell on the terminal; Ctrl-A x ends it, Ctrl-A c is QEMU's monitor."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        if self.config.hosttime:
            self.shm.write_bytes(b"\0" * SHM_SIZE)
        return subprocess.call(self.argv(shell=True), cwd=self.workdir)


def probe_kvm(kernel, image):
    """Does KVM really work here?  Boot a guest with it; remember the answer.

    An accessible /dev/kvm proves nothing: some clouds offer a variant that
    stock guests hang in.  LAB_ACCEL in the environment overrides.
    """
    forced = os.environ.get("LAB_ACCEL")
    if forced:
        return Config.accel if forced == "tcg" else forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Config.accel
    memo = tree.LAB / "accel"
    if memo.exists():
        return memo.read_text().strip()
    try:
        with Guest(kernel, image, tree.LOGS / "kvm-probe", "probe", accel="kvm") as guest:
            guest.start(timeout=20)
            guest.finish(20)
        accel = "kvm"
    except GuestError:
        accel = Config.accel
    memo.write_text(accel + "\n")
    return accel
