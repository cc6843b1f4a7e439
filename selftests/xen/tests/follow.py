# SPDX-License-Identifier: GPL-2.0-only
"""Guests follow Dom0's clock: parameters, permissions, latency, restarts, garbage."""

from xenlab import part

# Values that a privileged user may write there, and what the guest says to them
GARBAGE = (
    ("", "-71 refused: malformed"),
    ("rubbish", "-71 refused: malformed"),
    ("ffclock/2 new=thing", "-93 refused: another version"),
    ("ffclock/1 host=0", "-74 refused: checksum"),
    ("$(printf 'ffclock/1 %01500d' 0)", "-90 refused: too long"),
)

TRIES = 20      # looks at the status of guests, each some 100 ms

NODE = "/local/domain/%d/ffclock/clock"


def update(t, h, names):
    """Set Dom0's clock, and wait until the guests have the record; which of them lack it."""
    h.sh("xenclk set 0 1000 16")
    wanted = t.record(h).seq
    late = list(names)
    for _ in range(TRIES):
        late = [n for n in late if int(t.wait_state(h, n, "0 following")["sequence"]) != wanted]
        if not late:
            break
    return late


def identical(t, h, name):
    """The guest's clock is Dom0's: the same parameters, the same function."""
    # the last update may be older than it is good for: making guests takes minutes
    update(t, h, [name])
    record = t.record(h)
    row, estimate = part.snap(h.guest(name, "xenclk snap"))
    before = part.snap(h.sh("xenclk snap"))[0]
    again = part.snap(h.guest(name, "xenclk snap"))[0]
    t.ok((estimate.utc, estimate.period, estimate.shift, estimate.counter) ==
         (record.utc, record.xen[1], record.xen[2], record.xen[0]),
         f"{name}: parameters are Dom0's, bit for bit")
    difference = row.utc - record.at(row.counter)
    t.ok(abs(difference) < 1000, f"{name}: clock is Dom0's at the same counter value: "
         f"{difference} ns apart")
    # Dom0's reading lies between two of the guest's, on one counter
    t.ok(row.counter < before.counter < again.counter and row.utc < before.utc < again.utc,
         f"{name}: counter and clock are in order with Dom0's")
    t.ok(row.status == 2 and row.bound < 10**9, f"{name}: synchronised, bound {row.bound} ns")


def permissions(t, h, names):
    ids = {name: h.domid(name) for name in names}
    for name, ident in ids.items():
        listed = h.sh(f"xenstore-ls -fp /local/domain/{ident}/ffclock")
        ends = [line.rsplit(" ", 1)[1] for line in listed.splitlines()]
        t.ok(ends and all(e == f"(n0,r{ident})" for e in ends),
             f"{name}: owned by Dom0, readable by domain {ident}, by nobody else: "
             f"{' '.join(ends)}")
        code, text = h.guest_try(name, "xenstore-write ffclock/clock mine")
        t.ok(code != 0, f"{name}: cannot write its record: {text.strip().splitlines()[-1:]}")
        code, _ = h.guest_try(name, "xenstore-write ffclock/more mine")
        t.ok(code != 0, f"{name}: cannot add to it")
        other = next(i for i in ids.values() if i != ident)
        code, text = h.guest_try(name, f"xenstore-read {NODE % other}")
        t.ok(code != 0 and "crc" not in text, f"{name}: cannot read domain {other}'s")
        code, text = h.guest_try(name, "xenstore-read /tool/ffclock/host")
        t.ok(code != 0, f"{name}: cannot read what Dom0 keeps for itself")


def latency(t, h, name):
    count = 20
    h.guest(name, f"(xenclk arrivals {count} >/tmp/arrivals 2>&1 &) ; sleep 1")
    h.sh(f"xenclk set 0 1000 16 {count + 2} 300")
    rows = [line.split() for line in h.guest(name, "cat /tmp/arrivals").splitlines()
            if line.startswith("arrived ")]
    took = [(int(r[3]) - int(r[2])) / 1000 for r in rows]
    t.ok(len(took) == count, f"{name}: every update of Dom0's clock arrives: {len(took)}")
    t.diag(f"update, Dom0's clock set to guest's in use: median {part.median(took):.0f} us, "
           f"{min(took):.0f} to {max(took):.0f} us")


def garbage(t, h, name):
    ident = h.domid(name)
    before = part.snap(h.guest(name, "xenclk snap"))[1]
    good = h.sh(f"xenstore-read {NODE % ident}")
    # a record that is whole, but of this host's past; and one of another host
    for value, wanted in GARBAGE:
        h.sh(f'xenstore-write {NODE % ident} "{value}"')
        said = t.wait_state(h, name, wanted[:3])["state"]
        t.ok(said.startswith(wanted), f"garbage '{value[:20]}': {said}")
    after = part.snap(h.guest(name, "xenclk snap"))[1]
    t.ok(before == after, "garbage changes nothing")
    h.sh(f"xenstore-rm {NODE % ident}")
    said = t.wait_state(h, name, "-2")["state"]
    t.ok("publishes no clock" in said, f"record removed: {said}")
    h.sh("xenclk set 0 1000 16")
    t.wait_state(h, name, "0 following")
    t.ok(True, "the next update puts it right")
    listed = h.sh(f"xenstore-ls -fp /local/domain/{ident}/ffclock | grep clock")
    t.ok(listed.rsplit(" ", 1)[1] == f"(n0,r{ident})", "with the permissions it had")
    # the newline at its end is read as \n, and taken so
    h.sh(f"xenstore-write {NODE % ident} '{good.strip()}'")
    said = t.wait_state(h, name, "-114")["state"]
    t.ok("older" in said, f"an old record played back: {said}")
    h.sh("xenclk set 0 1000 16")
    t.wait_state(h, name, "0 following")


def restarts(t, h, names):
    ran = h.sh("pidof ffclock-xenpublish").strip()
    h.sh(f"kill {ran}; for i in $(seq 60); do [ -d /proc/{ran} ] || break; usleep 500000; done; "
         "sleep 1; if pidof ffclock-xenpublish; then tail -n 5 /tmp/publish.log; exit 1; fi")
    t.ok(True, "publisher ends when told to")
    h.sh("xenclk set 0 1000 16")
    t.publisher(h)
    wanted = t.record(h).seq
    for name in names:
        state = t.wait_state(h, name, "0 following")
        t.ok(int(state["sequence"]) == wanted,
             f"{name}: publisher started anew brings what came in between")
    t.ok(h.sh("pidof ffclock-xenpublish").strip() != ran, "it is another process")
    user = h.sh("ps -o user,args | grep '[f]fclock-xenpublish -dd$' | grep -v until")
    t.ok(user.split()[0] == "nobody", f"it is no longer root: {user.split()[0]}")

    pid = h.sh("cat /run/xenstored.pid").strip()
    command = f"tr '\\0' ' ' < /proc/{pid}/cmdline"
    was = h.sh(command)
    said = h.sh("xenstore-control live-update -t 20 /lab/bin/xenstored", check=False).strip()
    now = h.sh(command, check=False)
    t.diag(f"xenstore-control: {said}; xenstored was {was}, is {now}")
    if "OK" not in said and said:
        t.skip("xenstored updated live", f"xenstore-control says: {said[:100]}")
        return
    # the new program is told where its state is
    t.ok(now != was, "xenstored is updated live: the same process, another command line")
    late = update(t, h, names)
    for name in names:
        t.ok(name not in late, f"{name}: updates arrive after a live update of xenstored")


def ending(t, h):
    """Guests and modules go."""
    code, text = h.guest_try("pv2", "timeout 10 ffclock-xenpublish -u root; echo $?")
    t.ok("xenstored: " in text and text.split()[-1] == "1",
         f"the publisher in a guest ends with an error: {text.strip().splitlines()[:2]}")
    before = h.sh("xenstore-list /local/domain").split()
    h.sh("xl destroy pv2; sleep 1")
    left = h.sh("xenstore-list /local/domain").split()
    t.ok(len(left) == len(before) - 1, f"nothing is left of a guest that is gone: {left}")
    h.guest("pv1", "rmmod ffclock_xen; rmmod ffclock")
    t.ok(True, "the modules unload in a guest")
    h.sh("rmmod ffclock_xen; rmmod ffclock")
    t.ok(True, "and in Dom0, under the publisher")


def run(t):
    h = t.host(dom0="clocksource=xen", memory=1792)
    h.sh("modprobe ffclock; modprobe ffclock_xen")
    said = part.status(h.sh(f"cat {part.SYSFS}/status"))["state"]
    t.ok(said == "clock never synchronised", f"Dom0 without a clock: {said}")
    h.create("pv1", ip="10.9.0.11")
    h.guest("pv1", "modprobe ffclock; modprobe ffclock_xen")
    said = t.wait_state(h, "pv1", "-2")["state"]
    t.ok("publishes no clock" in said, f"guest without a record: {said}")
    row, _ = part.snap(h.guest("pv1", "xenclk snap"))
    t.ok(row.status == 0, "its clock says that it is not synchronised")

    # the guest was there before the publisher
    t.publisher(h)
    h.sh("xenclk set 0 1000 16")
    state = t.wait_state(h, "pv1", "0 following")
    t.ok(state["host"] == t.record(h).host, "pv1: there before the publisher, follows")
    identical(t, h, "pv1")
    latency(t, h, "pv1")
    t.diag("Dom0, ns a read: " + ", ".join(
        f"{k} {v:.0f}" for k, v in part.costs(h.sh("xenclk cost")).items()))
    t.diag("pv1, ns a read: " + ", ".join(
        f"{k} {v:.0f}" for k, v in part.costs(h.guest("pv1", "xenclk cost")).items()))

    names = ["pv1", "pv2", "pv3", "pv4"]
    for name in names[1:]:
        h.create(name)
    for name in names[1:]:
        t.follow(h, name)
    identical(t, h, "pv4")
    permissions(t, h, names[:2])
    garbage(t, h, "pv1")
    restarts(t, h, names)
    ending(t, h)
