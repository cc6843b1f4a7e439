# SPDX-License-Identifier: GPL-2.0-only
"""Two guests migrate between two hosts whose clocks and uptimes differ, and back.

Both read their clocks all the time.  pv1 has its system clock to itself, and a TCP
connection that is to keep flowing; pv2 has a chronyd of its own, as one would
without ffclock.  Host b was started later, so its Xen system time is smaller: what
made sched_clock run back in guests of 2018.
"""

import json
import sys
import time

from lab import tree

from xenlab import move, reader

sys.path.append(str(tree.TOP / "demo"))
from ffdemo import ntp  # noqa: E402  (the path comes first)

# pv2's own time daemon, and that of the hosts; the lab's chronyd has the time
CHRONY = "server 10.9.0.1 iburst minpoll 0 maxpoll 2\\nmakestep 0.1 3\\n"
HOST_CHRONY = "server 10.0.2.2 port %d iburst minpoll 0 maxpoll 3\\nmakestep 0.001 5\\nallow all\\n"
COMMON = "pidfile /run/chronyd.pid\\ncmdport 0\\n"
START = "printf '%b' '{}' > /tmp/chrony.conf; chronyd -u root -f /tmp/chrony.conf"


def prepare(t, h, server):
    h.sh(START.format(HOST_CHRONY % server.port + COMMON))
    t.dom0(h)
    reader.keep_records(h)
    move.listen(h)


def flow_start(t, h):
    """Numbers to the guest and back, two a second, until told to stop."""
    sysctl = "cat /proc/sys/net/ipv4/tcp_timestamps"
    here, there = h.sh(sysctl), h.guest("pv1", sysctl)
    t.ok(here.strip() == there.strip() == "1", "TCP timestamps are on at both ends")
    h.guest("pv1", "(nc -ll -p 7007 -e cat </dev/null >/dev/null 2>&1 &)")
    h.sh("(i=0; while [ ! -e /tmp/flow.stop ]; do echo $i; i=$((i+1)); usleep 500000; done | "
         "nc 10.9.0.11 7007 > /tmp/flow.back 2>/dev/null &) ; sleep 2")
    return flow_count(h)


def flow_count(h):
    return int(h.sh("wc -l < /tmp/flow.back"))


def moved(t, source, dest, names, offsets):
    for name in names:
        t.diag(move.migrate(source, dest, name))
        t.wait_state(dest, name, "0 following")
        t.ok(True, f"{name}: from {source.name} to {dest.name}, follows the new host")
        t.diag(f"{name}: " + dest.guest(name, "head -n 1 /sys/kernel/ffclock/migration/history"))
        offsets[name].append((dest.name, reader.offset(dest, name)))


def run(t):
    t.workdir.mkdir(parents=True, exist_ok=True)
    with ntp.Server(t.workdir) as server:
        run_served(t, server)


def run_served(t, server):
    kw = {"dom0": "clocksource=xen", "wire": "../wire", "memory": 1536}
    a = t.host("a", listen=True, **kw)
    b = t.host("b", **kw)
    for h in (a, b):
        prepare(t, h, server)
    # time for chronyd to step; then the clocks are set, and set again
    time.sleep(15)
    for h in (a, b):
        h.sh("(xenclk set 0 20000 4 100000 2000 >/dev/null 2>&1 </dev/null &); sleep 1")
    ups = [int(h.sh("xenclk snap").split()[1]) for h in (a, b)]
    t.ok(ups[0] - ups[1] > 5e9, f"host b's Xen system time is {(ups[0] - ups[1]) / 1e9:.0f} s "
         "smaller")
    names = ["pv1", "pv2"]
    for i, name in enumerate(names):
        a.create(name, ip=f"10.9.0.{11 + i}")
        t.follow(a, name)
        # the system clock stays as stock kernels leave it
        a.guest(name, "echo notify > /sys/kernel/ffclock/migration/policy")
    a.guest("pv2", START.format(CHRONY + COMMON) + "; sleep 1; pidof chronyd")
    count = flow_start(t, a)
    t.ok(count > 0, f"pv1: the TCP connection flows ({count} lines came back)")
    offsets = {n: [("a", reader.offset(a, n))] for n in names}
    for name in names:
        reader.start(a, name)
    time.sleep(20)

    moved(t, a, b, names, offsets)
    before = flow_count(a)
    time.sleep(30)
    after = flow_count(a)
    t.ok(after > before, f"pv1: it flows on from host b ({after - before} lines in 30 s)")
    for name in names:
        reader.dmesg_forward(t, b, name)
    moved(t, b, a, names, offsets)
    before = flow_count(a)
    time.sleep(20)
    after = flow_count(a)
    t.ok(after > before, f"pv1: and from host a again ({after - before} lines in 20 s)")
    a.sh("touch /tmp/flow.stop; sleep 2")
    lines = reader.fetch(a, "/tmp/flow.back").split()
    t.ok(lines == [str(i) for i in range(len(lines))],
         f"pv1: all {len(lines)} lines in order, none lost")

    logs = {name: reader.finish(t, a, name) for name in names}
    # after the readers' end: every reading has its record
    kept = {h.name: reader.records(h) for h in (a, b)}
    (t.workdir / "stays.json").write_text(json.dumps(
        {"offsets": offsets, "records": {k: [r.text for r in v] for k, v in kept.items()}}))
    t.ok(kept["a"][0].host != kept["b"][0].host, "the hosts have different ids")
    for name in names:
        reader.dmesg_forward(t, a, name)
        t.diag(f"{name}:")
        reader.judge(t, logs[name], [(host, off, kept[host]) for host, off in offsets[name]])
