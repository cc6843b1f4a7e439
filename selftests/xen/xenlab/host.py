# SPDX-License-Identifier: GPL-2.0-only
"""A Xen host: a QEMU process, its dom0, and the guests it runs.

    with Host(kernel, folder, workdir, "a") as host:
        host.start()
        host.create("pv1", "pv")
        print(host.guest("pv1", "uname -r"))
        host.finish()

folder holds what images.build() made.  dom0 speaks on the second serial port,
guests through dom0 and Xenstore.
"""

import shlex
import time

from lab import tap, vm
from lab.vm import GuestError

from . import packages

# eager-fpu: Xen hands the FPU over lazily by default here, and relies on CR0.TS to
# trap whoever uses it.  Under QEMU's TCG some use goes untrapped: programs of domains
# that share a processor then get each other's registers, compute wrong sums and die.
XEN_APPEND = ("console=com1 com1=115200,8n1 dom0_max_vcpus=1 loglvl=info guest_loglvl=info "
              "noreboot spec-ctrl=eager-fpu")
DOM0_APPEND = ("console=hvc0 loglevel=5 panic=-1 panic_on_warn=1 printk.devkmsg=on "
               "log_buf_len=4M random.trust_cpu=on")
# ramfs: a tmpfs would hold half of the memory at most, and the image not fit
DOMU_APPEND = ("console=hvc0 loglevel=5 panic=-1 panic_on_warn=1 printk.devkmsg=on "
               "random.trust_cpu=on rootfstype=ramfs")
# MiB in which a kernel has been seen to unpack the image; the less, the less to copy
GUEST_MEMORY = {"6.12": 128}


class Host(vm.Guest):
    """One Xen host.  wire: a socket path that joins two hosts; the first listens."""

    begin_s = 180   # dom0 shares its processor with guests

    def __init__(self, kernel, folder, workdir, name, memory=1280, dom0_memory=512, wire=None,
                 listen=False, xen="", dom0="", rtc="", cpu="max", usernet=True, hosttime=False,
                 smp=2):
        super().__init__(kernel, folder / "dom0.cpio", workdir, name,
                         vm.Config(smp=smp, memory=memory, machine="q35", cpu=cpu,
                                   hosttime=hosttime))
        self.folder = folder
        self.dom0_memory = dom0_memory
        self.wire = wire
        self.listen = listen
        self.xen = xen
        self.dom0 = dom0
        self.rtc = rtc
        self.usernet = usernet
        self.domids = {}

    def argv(self, incoming=None, shell=False):
        xen = (f"{XEN_APPEND} dom0_mem={self.dom0_memory}M,max:{self.dom0_memory}M "
               f"{self.xen}")
        dom0 = f"{DOM0_APPEND} lab.role={self.name} {self.dom0}".replace(",", ",,")
        # Names without folders: multiboot modules are separated by commas, a
        # module and its arguments by a blank.
        for name, target in (("xen", packages.HYPERVISOR),
                             ("vmlinux", self.folder / "vmlinux"),
                             ("dom0.cpio", self.folder / "dom0.cpio")):
            link = self.workdir / name
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        argv = vm.qemu_command() + [
            "-name", self.name, "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-machine", self.config.machine, "-cpu", self.config.cpu,
            "-accel", self.config.accel, "-smp", str(self.config.smp),
            "-m", str(self.config.memory),
            "-kernel", "xen", "-append", xen, "-initrd", f"vmlinux {dom0},dom0.cpio",
            "-qmp", f"unix:{self.short('qmp')},server=on,wait=off",
            "-chardev", f"file,id=con,path={self.path('console')}", "-serial", "chardev:con",
            "-chardev", f"socket,id=lab,path={self.short('channel')},server=on,wait=off",
            "-serial", "chardev:lab", "-S",
        ]
        if self.rtc:
            argv += ["-rtc", self.rtc]
        if self.wire:
            argv += ["-netdev", f"stream,id=wire,server={'on' if self.listen else 'off'},"
                     f"addr.type=unix,addr.path={self.wire}",
                     "-device", "virtio-net-pci,netdev=wire,romfile=,"
                     f"mac=52:54:00:00:00:{'0a' if self.listen else '0b'}"]
        if self.usernet:
            argv += ["-netdev", "user,id=user",
                     "-device", "virtio-net-pci,netdev=user,romfile=,mac=52:54:00:00:01:01"]
        if self.config.hosttime:
            argv += ["-object", f"memory-backend-file,id=hosttime,mem-path={self.shm},"
                     f"size={vm.SHM_SIZE},share=on",
                     "-device", "ivshmem-plain,memdev=hosttime,master=on"]
        return argv

    # -- dom0 --------------------------------------------------------------

    def sh(self, command, seconds=180, check=True):
        """Run a shell command in dom0; its output as one text."""
        with open(self.path("commands"), "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {command}\n")
        code, lines = self.output(seconds, command)
        text = "\n".join(lines)
        if check and code:
            raise GuestError(f"dom0 {self.name}: '{command}' ended with {code}: {text[-600:]}")
        return text

    def create(self, name, kind="pv", memory=None, extra="", ip=None, append="", paused=False,
               wait=True):
        """Make a guest and wait until its init answers."""
        memory = memory or GUEST_MEMORY.get(self.kernel.name, 192)
        config = [f'name = "{name}"', f'type = "{kind}"', f"memory = {memory}", "vcpus = 1",
                  'kernel = "/lab/domu/vmlinux.gz"',
                  'ramdisk = "/lab/domu/domu.cpio"',
                  f'cmdline = "{DOMU_APPEND} {f"lab.ip={ip}" if ip else ""} {append}"',
                  'on_crash = "destroy"', 'on_poweroff = "destroy"', 'on_reboot = "destroy"',
                  extra]
        if ip:
            last = int(ip.rsplit(".", 1)[1])
            config.append(f'vif = ["mac=00:16:3e:00:00:{last:02x},script=/lab/bin/vif.sh,'
                          'bridge=xenbr0"]')
        text = "\\n".join(config)
        self.sh(f"printf '%b\\n' {shlex.quote(text)} > /root/{name}.cfg; "
                f"xl create -e -q {'-p ' if paused else ''}/root/{name}.cfg", 300)
        if wait and not paused:
            self.wait_ready(name)

    def domid(self, name):
        return int(self.sh(f"xl domid {name}"))

    def left(self, name):
        """The guest has left this host: should it come back, its id is another."""
        self.domids.pop(name, None)

    def wait_ready(self, name, seconds=300):
        self.sh(f"d=$(xl domid {name}) && xenagent wait $d {seconds} || "
                f"{{ tail -n 20 /var/log/xen/console/guest-{name}.log; exit 1; }}", seconds + 30)

    def guest_try(self, name, command, seconds=180):
        """Run a shell command in a guest: (exit code, text)."""
        with open(self.path("commands"), "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {name}: {command}\n")
        if name not in self.domids:
            self.domids[name] = self.domid(name)
        code, lines = self.output(seconds + 30, f"xenagent call {self.domids[name]} {seconds} "
                                  f"{shlex.quote(command)}")
        if code or not lines:
            raise GuestError(f"guest {name} on {self.name} does not answer '{command}' "
                             f"({code}): {' '.join(lines)[-300:]}")
        return int(lines[0].split()[1]), "\n".join(lines[1:])

    def guest(self, name, command, seconds=180):
        """Run a shell command in a guest that must succeed: its output."""
        code, text = self.guest_try(name, command, seconds)
        if code:
            raise GuestError(f"guest {name}: '{command}' ended with {code}: {text[-600:]}")
        return text

    def guest_console(self, name):
        return self.sh(f"cat /var/log/xen/console/guest-{name}.log")

    def splats(self):
        """Bad lines in dom0's console log and in those of its guests."""
        return [line for _, line in tap.scan(self.console())]
