# SPDX-License-Identifier: GPL-2.0-only
"""Two KVM hosts inside of QEMU, and a guest that moves between them.

QEMU's TCG emulates AMD's SVM with nested paging, so stock Debian with kvm-amd and QEMU
is a host (L1) that needs no hardware, and a stock kernel under its KVM a guest (L2).
The second host's wall clock is 3 s ahead.
"""

import concurrent.futures
import json
import os
import pathlib
import queue
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "qemu"))

from lab import image, local, runner, tree, vm  # noqa: E402
from lab.tap import Points  # noqa: E402
from lab.vm import GuestError  # noqa: E402

AHEAD_S = 3
# Two processors on both levels at once have hung; the host needs them for handshakes.
HOST_SMP, HOST_MEMORY, GUEST_MEMORY = 2, 1792, 256
CHANNEL, QMP, MIGRATE = 7000, 7001, 4444
SECOND_CHANNEL, SECOND_QMP = 7010, 7011     # of a second guest on the same host
HOST_CPU = "max,la57=off,+invtsc,x-force-features=on"

# Where two levels of emulation are ten times slower than one
BOOT_S = 900


class TcpLines(vm.Lines):
    """The channel of a guest inside, through its host's port."""

    def __init__(self, port, deadline):
        while True:
            self.sock = socket.create_connection(("127.0.0.1", port), 5)
            # the user network accepts at once, and hangs up if nobody listens inside
            self.sock.settimeout(0.5)
            try:
                if self.sock.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                break
            except OSError:
                pass
            self.sock.close()
            if time.monotonic() > deadline:
                raise GuestError(f"nobody listens behind port {port}")
            time.sleep(0.1)
        self.sock.settimeout(None)
        self.queue = queue.Queue()
        self.earlier = vm.collections.deque()
        self.closed = False
        threading.Thread(target=self._read, daemon=True).start()


class TcpQmp(vm.Qmp):
    """The control socket of a QEMU inside; it takes one client at a time."""

    def __init__(self, port, deadline):
        self.lines = TcpLines(port, deadline)
        self.events = []
        self._message(10)
        self.command("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lines.close()


def serve_shell(guest):
    """From now on sh() works; what it starts in the background stays."""
    # not a shell of its own: that would be an interactive one
    guest.serve("shell", 3000, "while read -r line; do eval \"$line\"; done 2>&1")


def sh(guest, command, timeout):
    """Run one line in that shell: (exit code, output's lines)."""
    guest.send(f"{command}\necho @@rc $?")
    lines = []
    deadline = time.monotonic() + timeout
    while True:
        line = guest.line(deadline - time.monotonic())
        if line.startswith("@@rc "):
            return int(line.split()[1]), lines
        lines.append(line)


def firmware(path, guest_kernel, guest_image, files):
    """What a host needs besides its image, appended to it."""
    cpio = image.Cpio(path)
    share = tree.CHROOTS / "trixie/usr/share"
    for name in ("qemu/kvmvapic.bin", "qemu/linuxboot.bin", "qemu/linuxboot_dma.bin",
                 "seabios/bios-256k.bin"):
        cpio.copy(f"usr/share/{name}", share / name)
    cpio.copy("l2/vmlinuz", guest_kernel.vmlinuz)
    cpio.copy("l2/image", guest_image)
    for name, content in files.items():
        cpio.add(name, content)
    cpio.close()


class Host:
    """A first-level guest that is a KVM host."""

    def __init__(self, kernel, path, workdir, name, number, link):
        self.name = name
        self.number = number
        self.channel_port, self.qmp_port = local.free_port(), local.free_port()
        self.second_port = local.free_port()
        ahead = ""
        if number == 2:
            at = time.gmtime(time.time() + AHEAD_S)
            ahead = f" -rtc base={time.strftime('%Y-%m-%dT%H:%M:%S', at)}"
        side = "server=on" if number == 1 else "server=off,reconnect-ms=500"
        qemu = (f"-nic user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{self.channel_port}-"
                f":{CHANNEL},hostfwd=tcp:127.0.0.1:{self.qmp_port}-:{QMP},"
                f"hostfwd=tcp:127.0.0.1:{self.second_port}-:{SECOND_CHANNEL} "
                f"-netdev stream,id=link,{side},addr.type=unix,addr.path={link} "
                f"-device virtio-net-pci,netdev=link,mac=52:54:00:00:00:0{number}{ahead}")
        self.guest = vm.Guest(kernel, path, workdir, name, smp=HOST_SMP, memory=HOST_MEMORY,
                              cpu=HOST_CPU, vmclock=False, net=False, qemu=qemu,
                              append="tsc=reliable clocksource=tsc mitigations=off nokaslr")
        self.inside = None

    def start(self):
        self.guest.start(timeout=BOOT_S)
        serve_shell(self.guest)
        for module in ("virtio_pci", "virtio_net", "kvm_amd"):
            self.sh(f"modprobe {module}")
        self.sh("n=0; until [ -d /sys/class/net/eth1 ] || [ $n = 50 ]; do usleep 100000; "
                "n=$((n+1)); done; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; "
                f"ip addr add 10.9.9.{self.number}/24 dev eth1; ip link set eth1 up; "
                "ls -l /dev/kvm; mount | grep -q debugfs || mount -t debugfs d "
                "/sys/kernel/debug")

    def sh(self, command, timeout=180):
        """Run in the host's shell: its output's lines."""
        return sh(self.guest, command, timeout)[1]

    def json(self, command, timeout=180):
        lines = [json.loads(li) for li in self.sh(command, timeout) if li.startswith("{")]
        if not lines:
            raise GuestError(f"{self.name}: {command}: no answer")
        return lines

    def run_guest(self, khz, machine="pc", cpu="", append="", devices="", incoming=False,
                  name="l2"):
        """A guest on this host; the strings are more of QEMU's arguments.

        One of another name is a second one beside it: its channel, or None.
        """
        second = name != "l2"
        channel, qmp = (SECOND_CHANNEL, SECOND_QMP) if second else (CHANNEL, QMP)
        # The same frequency on both, or KVM refuses the state of the other
        argv = ("qemu-system-x86_64 -L /usr/share/qemu -L /usr/share/seabios "
                f"-name {name} "
                "-nodefaults -no-user-config -display none -no-reboot "
                f"-object memory-backend-ram,id=ram,size={GUEST_MEMORY}M "
                f"-machine {machine},memory-backend=ram -accel kvm "
                f"-cpu host,+invtsc{cpu},tsc-frequency={khz}000 -smp 1 -m {GUEST_MEMORY} "
                "-kernel /l2/vmlinuz -initrd /l2/image "
                f"-append '{vm.BASE_APPEND} {append} lab.nonet mitigations=off nokaslr' "
                f"{devices} "
                "-object memory-backend-file,id=ht,mem-path=/dev/shm/ht,size=4096,share=on "
                "-device ivshmem-plain,memdev=ht,master=on "
                f"-chardev file,id=con,path=/tmp/{name}.console -serial chardev:con "
                f"-chardev socket,id=lab,host=0.0.0.0,port={channel},server=on,wait=off "
                "-serial chardev:lab "
                f"-qmp tcp:0.0.0.0:{qmp},server=on,wait=off")
        if incoming:
            argv += f" -incoming tcp:10.9.9.{self.number}:{MIGRATE}"
        # a second guest shares the first one's memory
        clear = "" if second else "dd if=/dev/zero of=/dev/shm/ht bs=4096 count=1 2>/dev/null; "
        self.sh(f"{clear}{argv} >/tmp/{name}.qemu 2>&1 </dev/null &")
        if second:
            return TcpLines(self.second_port, time.monotonic() + 60)
        self.inside = TcpLines(self.channel_port, time.monotonic() + 60)
        return None

    def qmp(self):
        return TcpQmp(self.qmp_port, time.monotonic() + 20)

    def end_guest(self):
        self.sh("killall -q -9 qemu-system-x86_64 ld.so; sleep 0.5")

    def sample(self, count=5):
        """Guest's clocks against this host's: the best of each."""
        rows = self.json(f"hosttime sample --json --count={count} --interval=0.1 --rounds=200 "
                         "/dev/shm/ht", 300)
        best = {}
        for row in rows:
            if "errno" in row:
                best.setdefault(row["clock"], row)
            elif row["clock"] not in best or row["bound_ns"] < best[row["clock"]].get(
                    "bound_ns", 1e18):
                best[row["clock"]] = row
        return best


class Test(Points):
    """Points, as TAP; the two hosts; a guest, and its way from one to the other."""

    def __init__(self, host_kernel, guest_kernel, host_files=None, host_class=Host):
        super().__init__()
        self.host_kernel = tree.kernel(host_kernel)
        self.guest_kernel = tree.kernel(guest_kernel)
        self.host_files = host_files or {}
        self.host_class = host_class
        self.workdir = runner.run_directory() / "kvm"
        self.workdir.mkdir()
        self.hosts = []
        self.path = self.workdir / "l1.cpio"
        self.guest_args = {}
        self.khz = 0

    def images(self):
        small = self.workdir / "l2.cpio"
        image.build(self.guest_kernel, small, stock=["ptp_kvm"])
        image.build(self.host_kernel, self.path, ["qemu-system-x86_64"], ["kvm_amd", "ccp"])
        more = self.workdir / "more.cpio"
        firmware(more, self.guest_kernel, small, self.host_files)
        with open(self.path, "ab") as whole:
            whole.write(b"\0" * (-whole.tell() % 4) + more.read_bytes())
        more.unlink()

    def start_hosts(self, names="AB"):
        self.images()
        link = f"/tmp/kvm-link.{os.getpid()}"
        self.hosts = [self.host_class(self.host_kernel, self.path, self.workdir, n, i, link)
                      for i, n in enumerate(names, 1)]
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for job in [pool.submit(h.start) for h in self.hosts]:
                job.result()
        pathlib.Path(link).unlink(missing_ok=True)
        said = self.hosts[0].sh("dmesg | sed -n 's/.*tsc: Detected \\([0-9.]*\\) MHz.*/\\1/p'")
        self.khz = int(float(said[0]) * 1000)
        self.diag(f"{len(names)} hosts after {time.monotonic() - begin:.0f} s, TSC {self.khz} kHz")

    def start_guest(self, host, **args):
        """Boot a guest; args are run_guest()'s, also for wherever it moves."""
        self.guest_args = args
        begin = time.monotonic()
        channel = host.run_guest(self.khz, **args)
        guest = vm.Guest(self.guest_kernel, self.path, self.workdir, "L2")
        guest.channel = channel or host.inside
        try:
            guest.marker("hello", BOOT_S)
        except GuestError:
            self.diag("\n".join(host.sh("tail -5 /tmp/l2.qemu /tmp/l2.console")))
            raise
        self.diag(f"guest after {time.monotonic() - begin:.0f} s")
        return guest

    def migrate(self, what, here, there, guest):
        """One live migration, by ffclock vm migrate: its figures."""
        there.run_guest(self.khz, incoming=True, **self.guest_args)
        done = subprocess.run(
            [str(tree.USER / "bin/ffclock"), "--json", "vm", "migrate", "--source",
             f"127.0.0.1:{here.qmp_port}", "--dest", f"127.0.0.1:{there.qmp_port}", "--uri",
             f"tcp:10.9.9.{there.number}:{MIGRATE}"],
            capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise GuestError(f"{what}: {done.stderr.strip()}")
        figures = json.loads(done.stdout)
        self.diag(f"{what}: " + ", ".join(f"{k} {v}" for k, v in figures.items()))
        guest.channel = there.inside
        return figures

    def main(self, run, names="AB"):
        """Everything around run(self): the exit code."""
        print("TAP version 13")
        try:
            self.start_hosts(names)
            run(self)
        except GuestError as err:
            self.diag(err)
            self.ok(False, "came to its end")
            for host in self.hosts:
                try:
                    self.diag("\n".join(host.sh("tail -n 20 /tmp/*.qemu /tmp/*.console "
                                                "/tmp/*.log", 10)))
                except (GuestError, AttributeError, OSError):
                    pass
        finally:
            for host in self.hosts:
                host.guest.kill()
            for file in self.workdir.glob("*.cpio"):
                file.unlink()
        print(f"1..{self.points}")
        return 1 if self.failed else 0
