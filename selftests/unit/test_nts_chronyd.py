#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""ffclockd's NTS against chronyd's NTS server, on the loopback.

Between the two of most cases is a proxy that sees every datagram: that cookies
and identifiers are never used twice, and what becomes of answers that it drops,
repeats, changes or strips.  All cases run at once.
"""

import os
import pathlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(os.environ.get("TOP", pathlib.Path(__file__).resolve().parents[2]))
OUT = pathlib.Path(os.environ.get("O", TOP / "build" / "user"))
sys.path.insert(0, str(TOP / "selftests" / "qemu"))
from lab import local, tree  # noqa: E402  (the path comes first)

RUN_S = 32
points = []


def ok(good, text):
    points.append(good)
    print(f"{'ok' if good else 'not ok'} {len(points)} - {text}", flush=True)


# ---- certificates ---------------------------------------------------------------

def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_ca(folder, name):
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    openssl(folder, "req", "-x509", "-new", "-key", f"{name}.key", "-days", "30", "-subj",
            f"/CN={name}", "-out", f"{name}.pem")


def make_cert(folder, name, names, start="20250101000000Z", end="20400101000000Z"):
    (folder / f"{name}.ext").write_text(
        f"subjectAltName={names}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out",
            f"{name}.csr")
    # 'openssl ca' is what can state both ends of the validity
    db = folder / f"{name}.db"
    db.mkdir()
    (db / "index").write_text("")
    (db / "serial").write_text("01\n")
    (db / "cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={db}/index\nserial={db}/serial\nnew_certs_dir={db}\n"
        "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
    openssl(folder, "ca", "-batch", "-config", f"{db}/cnf", "-cert", "ca.pem", "-keyfile",
            "ca.key", "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext", "-startdate",
            start, "-enddate", end, "-extfile", f"{name}.ext")


# ---- servers ------------------------------------------------------------------------

class Chronyd:
    """chronyd serving this machine's time on one address, with NTS if cert."""

    def __init__(self, folder, name, address, port, ke_port, cert):
        self.argv = tree.program("chronyd")
        self.conf = folder / f"chrony-{name}.conf"
        self.log = folder / f"chrony-{name}.log"
        text = (f"port {port}\ncmdport 0\nbindaddress {address}\nlocal stratum 1\n"
                f"allow 127.0.0.0/8\npidfile {folder}/chrony-{name}.pid\n")
        if cert:
            text += (f"ntsport {ke_port}\nntsserverkey {folder}/{cert}.key\n"
                     f"ntsservercert {folder}/{cert}.pem\n")
        self.conf.write_text(text)
        self.start()

    def start(self):
        user = subprocess.run(["id", "-un"], capture_output=True, text=True,
                              check=True).stdout.strip()
        with open(self.log, "a", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                self.argv + ["-x", "-d", "-U", "-u", user, "-f", str(self.conf)], stdout=out,
                stderr=out, stdin=subprocess.DEVNULL)

    def stop(self):
        local.end(self.process)


class Proxy:
    """UDP and TCP from one address to another, looking at NTS on the way."""

    def __init__(self, port, ke_port, there, change=None):
        self.there = there
        self.port = port
        self.change = change or (lambda n, data: [data])
        self.requests = self.answers = self.reused = 0
        self.sessions = 0
        self.cookies = set()
        self.uids = set()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        self.tcp = socket.create_server(("127.0.0.1", ke_port))
        self.ke_port = ke_port
        threading.Thread(target=self.run_udp, daemon=True).start()
        threading.Thread(target=self.run_tcp, daemon=True).start()

    def look(self, data):
        at = 48
        while at + 4 <= len(data):
            kind, length = struct.unpack(">HH", data[at:at + 4])
            if length < 4:
                return
            seen = {0x0104: self.uids, 0x0204: self.cookies}.get(kind)
            if seen is not None:
                self.reused += data[at:at + length] in seen
                seen.add(data[at:at + length])
            at += length

    def run_udp(self):
        while True:
            data, client = self.udp.recvfrom(4096)
            self.requests += 1
            self.look(data)
            threading.Thread(target=self.exchange, args=(data, client, self.requests),
                             daemon=True).start()

    def exchange(self, data, client, number):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.connect((self.there, self.port))
            try:
                s.send(data)
                answer = s.recv(4096)
            except OSError:
                return
        for one in self.change(number, answer):
            self.answers += 1
            self.udp.sendto(one, client)

    def run_tcp(self):
        while True:
            client, _ = self.tcp.accept()
            self.sessions += 1
            try:
                server = socket.create_connection((self.there, self.ke_port), 2)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(4096):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def tls_server(folder, cert, version):
    """A TLS server that does not speak NTS-KE."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{cert}.pem", folder / f"{cert}.key")
    context.maximum_version = version
    sock = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            client, _ = sock.accept()
            try:
                client.settimeout(5)
                with context.wrap_socket(client, server_side=True) as tls:
                    tls.recv(100)
                    tls.sendall(b"HTTP/1.0 400 what?\r\n\r\n")
            except OSError:
                client.close()

    threading.Thread(target=serve, daemon=True).start()
    return sock.getsockname()[1]


# ---- ffclockd -----------------------------------------------------------------------

class Client:
    """One ffclockd with one source."""

    def __init__(self, folder, name, source):
        self.log = folder / f"{name}.log"
        self.stamps_file = folder / f"{name}.stamps"
        conf = folder / f"{name}.conf"
        conf.write_text(f"{source} minpoll 0 maxpoll 0 iburst\ncounter monotonic_raw\n"
                        # LeakSanitizer needs system calls that the filter refuses
                        f"output none\nsandbox no\nlog stamps {self.stamps_file}\n")
        self.out = open(self.log, "w", encoding="utf-8")
        self.process = subprocess.Popen([OUT / "bin" / "ffclockd", "-c", conf, "-dd"],
                                        stdout=self.out, stderr=self.out,
                                        stdin=subprocess.DEVNULL)

    def text(self):
        return self.log.read_text(errors="replace")

    def stamps(self):
        if not self.stamps_file.exists():
            return 0
        return sum(1 for line in self.stamps_file.read_text().splitlines()
                   if line and line[0] != "#")

    def stop(self):
        code = local.end(self.process, 20)
        self.out.close()
        return code


def flip(number, data):
    """A bit of the header changed, each time another one; every fourth as it is."""
    if number % 4 == 0:
        return [data]
    at = number % 48
    return [data[:at] + bytes([data[at] ^ (1 << number % 8)]) + data[at + 1:]]


def main():
    if not shutil.which("openssl"):
        print("1..0 # SKIP openssl is not installed")
        return 0
    try:
        tree.program("chronyd")
    except tree.LabError as err:
        print(f"1..0 # SKIP {err}")
        return 0
    print("TAP version 13")
    with tempfile.TemporaryDirectory(prefix="ffclock-nts-") as folder:
        servers, clients = [], {}
        try:
            run(pathlib.Path(folder), servers, clients)
        finally:
            for c in clients.values():
                if c.process.poll() is None:
                    c.stop()
            for s in servers:
                s.process.kill()
                s.process.wait()
    print(f"1..{len(points)}")
    return 0 if all(points) else 1


def run(folder, servers, clients):
    make_ca(folder, "ca")
    make_ca(folder, "other")
    make_cert(folder, "good", "DNS:localhost,IP:127.0.0.1")
    make_cert(folder, "name", "DNS:somebody.example")
    make_cert(folder, "old", "DNS:localhost,IP:127.0.0.1", end="20250601000000Z")
    ca = folder / "ca.pem"

    def server(name, address, cert="good"):
        port, ke_port = local.free_port(), local.free_port()
        s = Chronyd(folder, name, address, port, ke_port, cert)
        servers.append(s)
        return s, port, ke_port

    def behind(name, host, address, change=None):
        s, port, ke_port = server(name, address)
        proxy = Proxy(port, ke_port, address, change)
        clients[name] = Client(folder, name, f"server {host} nts ntsport {ke_port} ntsca {ca}")
        return s, proxy

    def direct(name, options, cert="good", ca_file=ca, host="localhost"):
        _, port, ke_port = server(name, "127.0.0.1", cert)
        clients[name] = Client(
            folder, name,
            f"server {host} port {port} nts ntsport {ke_port} ntsca {ca_file} {options}")

    _, plain_port, _ = server("plain", "127.0.0.1", None)
    time.sleep(1)
    _, watched = behind("watched", "localhost", "127.0.0.2")
    restarted, behind_restart = behind("restart", "127.0.0.1", "127.0.0.3")
    # ten requests unanswered: more than there are cookies
    _, dropping = behind("drop", "127.0.0.1", "127.0.0.4",
                         lambda n, d: [] if 6 <= n < 16 else [d])
    _, twice = behind("twice", "127.0.0.1", "127.0.0.5", lambda n, d: [d, d])
    _, flipping = behind("flip", "127.0.0.1", "127.0.0.6", flip)
    _, stripping = behind("strip", "127.0.0.1", "127.0.0.7", lambda n, d: [d[:48]])
    # somebody else says NAK before the server answers
    _, naking = behind("nak", "127.0.0.1", "127.0.0.8", lambda n, d: [
        d[:1] + b"\0" + d[2:12] + b"NTSN" + d[16:48] + d[48:84], d])
    direct("wrongca", "", ca_file=folder / "other.pem")
    direct("wrongname", "", "name")
    direct("expired", "", "old")
    direct("notime", "ntsnotime", "old")
    direct("notimewrong", "ntsnotime", "name")
    for name, version in (("tls13", ssl.TLSVersion.TLSv1_3), ("tls12", ssl.TLSVersion.TLSv1_2)):
        clients[name] = Client(
            folder, name, f"server localhost port {plain_port} nts ntsport "
            f"{tls_server(folder, 'good', version)} ntsca {ca}")
    # the system's authorities do not know ours
    if pathlib.Path("/etc/ssl/certs/ca-certificates.crt").exists():
        _, port, ke_port = server("system", "127.0.0.1")
        clients["system"] = Client(folder, "system",
                                   f"server localhost port {port} nts ntsport {ke_port}")

    time.sleep(RUN_S / 4)
    # its cookies are sealed with a key that ends with it
    stamps_before = clients["restart"].stamps()
    restarted.stop()
    restarted.start()
    time.sleep(RUN_S * 3 / 4)
    codes = {name: c.stop() for name, c in clients.items()}

    def said(name, pattern):
        return re.search(pattern, clients[name].text()) is not None

    def keys(name):
        return len(re.findall(r"NTS keys\n|NTS keys at last", clients[name].text()))

    def never(name, why):
        ok(clients[name].stamps() == 0 and said(name, r"no NTS keys: .*" + why),
           f"{name}: no keys, no time, and it says '{why}'")

    bad = {n: c for n, c in codes.items() if c}
    ok(not bad, f"every ffclockd ends with 0 {bad or ''}")
    for name, c in clients.items():
        found = re.search(r"ERROR: \w+Sanitizer|runtime error:", c.text())
        if found:
            ok(False, f"{name}: a sanitizer's report")
    n = clients["watched"].stamps()
    ok(n >= RUN_S / 3 and said("watched", "first clock"), f"synchronises to chronyd: {n} stamps")
    # a busy machine may be too late for some
    ok(watched.requests * 0.7 <= n <= watched.requests,
       f"its answers are taken: {n} of {watched.requests} requests")
    ok(watched.reused == 0 and len(watched.cookies) == watched.requests,
       "no cookie and no identifier is used twice")
    ok(watched.sessions == 1, f"keys are established once ({watched.sessions})")
    later = clients["restart"].stamps() - stamps_before
    ok(keys("restart") >= 2 and later >= 5 and behind_restart.reused == 0,
       f"a server that lost its keys: NAK, new keys, {later} stamps since")
    ok(dropping.sessions >= 2 and dropping.reused == 0 and clients["drop"].stamps() > 5 and
       keys("drop") >= 2,
       f"answers lost, cookies used up: {dropping.sessions} establishments, no cookie reused")
    ok(clients["twice"].stamps() <= twice.requests and clients["twice"].stamps() > RUN_S / 3,
       f"an answer that comes twice counts once ({clients['twice'].stamps()} of "
       f"{twice.requests})")
    ok(0 < clients["flip"].stamps() <= flipping.requests / 4 + 1 and
       said("flip", "authentication failed|not the answer"),
       f"changed answers are not used: {clients['flip'].stamps()} stamps of "
       f"{flipping.requests} requests, one in four unchanged")
    ok(clients["strip"].stamps() == 0 and stripping.requests > 3,
       "answers without authentication are not used: no way down to plain NTP")
    ok(naking.sessions == 1 and clients["nak"].stamps() > RUN_S / 3,
       "a forged NAK does not throw keys away")
    never("wrongca", "issuer is unknown")
    never("wrongname", "name in the certificate does not match")
    never("expired", "expired")
    ok(clients["notime"].stamps() == 0 and said("notime", "not valid by this machine's clock") and
       said("notime", "not valid at the time it tells"),
       "ntsnotime: an expired certificate passes, a time after its end does not")
    never("notimewrong", "name in the certificate does not match")
    never("tls13", "not an NTS-KE server")
    never("tls12", "TLS handshake")
    if "system" in clients:
        never("system", "issuer is unknown")
    if not all(points):
        for name, c in clients.items():
            print(f"# ---- {name} (exit {codes[name]})")
            for line in c.text().splitlines()[-12:]:
                print(f"# {line}")
    if os.environ.get("V"):
        for name, c in clients.items():
            print(f"# {name}: " + " | ".join(re.findall(r"no NTS keys.*", c.text())))


if __name__ == "__main__":
    sys.exit(main())
