#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""End-to-end test of loam-switch.

Everything happens in network namespaces made for the test, so nothing else can be reached:

    children c1, c2 ── TAP, switch-tap ── loam-switch in the parent's namespace ── veth ── servers

Usage: switch_test.py [-v] [CASE...]      run as root, after make build/bin/loam-switch build/unit/switch-tap
"""

import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import urllib.request

from switch_bed import (
    Bed, FAR, GATEWAY, LIMIT, MACS, PARENT, SERVER, SUBNET, SWITCH, UNREACHABLE, USER, ask_tcp, check,
    connect, connect_error, dns_query, download, echo, enter, exactly, namespace, parallel, pattern, resolver,
    run, shell, udp_exchange, upload, wait_until, within)

# Cases --------------------------------------------------------------------------------------------------------------------

def case_dhcp(bed):
    script = os.path.join(bed.directory, "udhcpc")
    with open(script, "w") as file:
        file.write("#!/bin/sh\n[ \"$1\" = bound ] || exit 0\necho \"ip=$ip mask=$mask router=$router dns=$dns lease=$lease\"\n")
    os.chmod(script, 0o755)

    def lease(role):
        run("ip", "-n", namespace(role), "addr", "flush", "dev", "eth0")
        try:
            status, output = shell(role, "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s",
                                   script)
            line = [line for line in output.splitlines() if line.startswith("ip=")]
            check(status == 0 and line, f"no lease: {output}")
            return dict(field.split("=") for field in line[0].split())
        finally:
            bed.configure(role)
    first, second = lease("c1"), lease("c2")
    check(first["mask"] == "24" and first["router"] == GATEWAY and first["dns"] == GATEWAY and first["lease"] == "86400",
          f"unexpected options {first}")
    check(first["ip"] != second["ip"], "two children have the same address")
    bed.restart()
    check(lease("c2")["ip"] == second["ip"], "the second child's address changed with the restart")
    check(lease("c1")["ip"] == first["ip"], "the first child's address changed with the restart")
    check(any(entry["mac"] == MACS["c1"] and entry["address"] == first["ip"] for entry in bed.ask("show")["leases"]),
          "the lease is not shown")


def case_boot_file(bed):
    url = f"http://{GATEWAY}/boot.ipxe"
    script = os.path.join(bed.directory, "udhcpc-boot")
    with open(script, "w") as file:
        file.write("#!/bin/sh\n[ \"$1\" = bound ] || exit 0\necho \"siaddr=$siaddr file=$boot_file option=$bootfile\"\n")
    os.chmod(script, 0o755)
    check(bed.ask("show")["boot_file"] is None, "there is a boot file already")
    bed.restart("--boot-file", url)
    check(bed.ask("show")["boot_file"] == url, "the boot file is not shown")
    run("ip", "-n", namespace("c1"), "addr", "flush", "dev", "eth0")
    status, output = shell("c1", "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-O", "bootfile",
                           "-s", script)
    check(status == 0 and f"siaddr={GATEWAY} file={url} option={url}" in output, f"no boot file: {output}")
    bed.restart()
    result = subprocess.run(["ip", "netns", "exec", namespace("parent"), SWITCH, "--socket", bed.socket + "-2",
                             "--boot-file", "a b"], capture_output=True, text=True, timeout=LIMIT)
    check(result.returncode != 0 and "cannot be a boot file" in result.stderr, result.stderr)


def case_ping_gateway(bed):
    status, output = shell("c1", "busybox", "ping", "-c", "3", "-W", "5", "-i", "0.1", GATEWAY)
    check(status == 0, output)
    status, output = shell("c1", "busybox", "ping", "-c", "1", "-W", "5", "-s", "4000", GATEWAY)
    check(status == 0, f"fragmented: {output}")


def case_ping_outside(bed):
    for address in (SERVER, FAR):
        status, output = shell("c1", "busybox", "ping", "-c", "2", "-W", "5", "-i", "0.1", address)
        check(status == 0, output)
    status, output = shell("c1", "busybox", "ping", "-c", "1", "-W", "3", "-t", "1", FAR)
    check(status != 0, "a ping with a time to live of 1 must not pass the gateway")
    status, output = shell("c1", "busybox", "traceroute", "-I", "-n", "-q", "1", "-w", "3", "-m", "4", FAR)
    check(GATEWAY in output and FAR in output.splitlines()[-1], f"traceroute: {output}")
    status, output = shell("c1", "busybox", "ping", "-c", "1", "-W", "3", UNREACHABLE)
    check(status != 0, "an unreachable address answers pings")


def case_http(bed):
    for address in (SERVER, FAR):
        body = within("c1", lambda url: urllib.request.urlopen(url, timeout=10).read(), f"http://{address}/")
        check(body == b"hello from the server\n", body)


def case_refused(bed):
    begin = time.monotonic()
    check(within("c1", connect_error, SERVER, 4) == "ECONNREFUSED", "a closed port does not look refused")
    check(time.monotonic() - begin < 5, "refusing takes too long")
    # Any ICMP error ends a connection attempt at once; the child's kernel names "host unreachable" so.
    check(within("c1", connect_error, UNREACHABLE, 80) == "EHOSTUNREACH", "an unreachable host does not look so")
    check(within("c1", connect_error, "192.168.100.77", 80, 6) in ("EHOSTUNREACH", "timeout"), "nobody answers there")


def case_udp(bed):
    check(within("c1", udp_exchange, SERVER, 7) == b"hello", "no echo")
    check(within("c1", udp_exchange, FAR, 7, b"x") == b"x", "no echo of another address")
    check(within("c1", udp_exchange, SERVER, 7, b"") == b"", "no echo of an empty datagram")
    check(within("c1", udp_exchange, SERVER, 4) == "ECONNREFUSED", "port unreachable was not passed on")
    check(within("c1", udp_exchange, UNREACHABLE, 4) == "EHOSTUNREACH", "host unreachable was not passed on")


def udp_stream(address, count, size):
    """
    Many datagrams at once, as the switch hands them to the kernel in one piece; all must come back as they were. A kernel
    without a moment to spare may drop one, as on any network: it is sent again. How many came back damaged, and how many
    never did.
    """
    damaged = missing = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sender.settimeout(3)
        sender.connect((address, 7))
        for first in range(0, count, 20):
            sent = {struct.pack("!I", number) * (size // 4) for number in range(first, first + 20)}
            left = set(sent)
            for _ in range(5):
                for data in left:
                    sender.send(data)
                try:
                    while left:
                        data = sender.recv(65536)
                        # What comes late belongs to a round before.
                        damaged += data not in sent and data != data[:4] * (size // 4)
                        left.discard(data)
                except TimeoutError:
                    continue
                break
            missing += len(left)
    return damaged, missing


def case_udp_large(bed):
    # Debian's build of lwIP joins ten fragments at most.
    for size in (1472, 1473, 8000, 65000 if "source" in bed.ask("show")["stack"] else 14000):
        data = pattern(size)
        check(within("c1", udp_exchange, SERVER, 7, data, 3, 3) == data, f"no echo of {size} bytes")
    damaged, missing = within("c1", udp_stream, SERVER, 400, 1472)
    check(damaged == 0 and missing == 0, f"of a stream of datagrams {damaged} were damaged and {missing} lost")


def case_forward_tcp(bed):
    check(bed.ask("forward-add", protocol="tcp", host_port=8081, address="192.168.100.2", port=8080)["status"] == "ok",
          "forward refused")
    seen = within("server", ask_tcp, PARENT, 8081)
    check(SERVER in seen, f"the child sees {seen}, not the client")
    seen = within("parent", ask_tcp, "127.0.0.1", 8081)
    check(GATEWAY in seen, f"the child sees {seen}, not the gateway")
    listed = bed.ask("forward-list")["forwards"]
    check(len(listed) == 1 and listed[0]["host_port"] == 8081 and listed[0]["connections"] == 2, f"list: {listed}")
    again = bed.ask("forward-add", protocol="tcp", host_port=8081, address="192.168.100.3", port=8080)
    check("already forwarded" in again.get("error", ""), again)
    check(bed.ask("forward-remove", protocol="tcp", host_port=8081)["status"] == "ok", "not removed")
    check(within("server", connect_error, PARENT, 8081) == "ECONNREFUSED", "still forwarded")
    check("not forwarded" in bed.ask("forward-remove", protocol="tcp", host_port=8081)["error"], "removed twice")
    # A port that is closed in the child: the connection is accepted by the parent, then reset.
    bed.ask("forward-add", protocol="tcp", host_port=8082, address="192.168.100.2", port=4)

    def connect_and_read():
        try:
            with connect(PARENT, 8082) as connection:
                return connection.recv(1)
        except ConnectionResetError:
            return "reset"
    check(within("server", connect_and_read) == "reset", "a closed port in the child")
    bed.ask("forward-remove", protocol="tcp", host_port=8082)


def case_forward_udp(bed):
    check(bed.ask("forward-add", protocol="udp", host_port=7007, address="192.168.100.2", port=7)["status"] == "ok",
          "forward refused")
    check(within("server", udp_exchange, PARENT, 7007, b"ping", 2, 3) == b"ping", "no answer")
    check(SERVER.encode() in within("server", udp_exchange, PARENT, 7007, b"who"), "the child does not see the client")
    check(GATEWAY.encode() in within("parent", udp_exchange, "127.0.0.1", 7007, b"who", 2, 3), "loopback's client")
    data = pattern(5000)
    check(within("server", udp_exchange, PARENT, 7007, data) == data, "no answer to 5000 bytes")
    check(bed.ask("forward-remove", protocol="udp", host_port=7007)["status"] == "ok", "not removed")


def case_forward_unknown_child(bed):
    """The switch does not know the child's address yet, and asks for it."""
    bed.stop()
    bed.start("--forward", "tcp:8083:192.168.100.2:8080", "--forward", "udp:8083:192.168.100.2:7")
    bed.plug()
    check(SERVER in within("server", ask_tcp, PARENT, 8083), "TCP")
    bed.stop()
    bed.start("--forward", "udp:8083:192.168.100.2:7")
    bed.plug()
    check(within("server", udp_exchange, PARENT, 8083, b"x", 1, 5) == b"x", "UDP")
    bed.restart()


def case_forward_errors(bed):
    taken = bed.ask("forward-add", protocol="tcp", host_port=9000, address="192.168.100.2", port=80)
    check("in use by" in taken.get("error", ""), f"port in use: {taken}")
    privileged = bed.ask("forward-add", protocol="tcp", host_port=81, address="192.168.100.2", port=80)
    check("privilege" in privileged.get("error", ""), f"privileged port: {privileged}")
    outside = bed.ask("forward-add", protocol="tcp", host_port=8084, address="10.1.2.3", port=80)
    check("not in the switch's network" in outside.get("error", ""), f"foreign child: {outside}")
    unknown = bed.ask("dance")
    check("unknown request" in unknown.get("error", ""), unknown)
    bad = bed.ask("forward-add", protocol="tcp", host_port="x", address="192.168.100.2", port=80)
    check(bad["status"] == "error", bad)
    # At the start, as root, the holder's name is known.
    bed.stop()
    result = subprocess.run(["ip", "netns", "exec", namespace("parent"), SWITCH, "--socket", bed.socket, "--subnet",
                             SUBNET, "--user", USER, "--forward", "tcp:9000:192.168.100.2:80"],
                            capture_output=True, text=True, timeout=LIMIT)
    check(result.returncode == 1 and "in use by python3 (process" in result.stderr, f"holder: {result.stderr}")
    bed.start()
    bed.plug()


def case_forward_passed_socket(bed):
    def listener():
        return socket.create_server((PARENT, 80))

    def add(address):
        with listener() as server:
            return bed.ask("forward-add", server.fileno(), protocol="tcp", host_address=address, host_port=80,
                           address="192.168.100.2", port=8080)
    reply = within("parent", add, PARENT)
    check(reply["status"] == "ok", reply)
    check(SERVER in within("server", ask_tcp, PARENT, 80), "no connection by the socket passed")
    bed.ask("forward-remove", protocol="tcp", host_address=PARENT, host_port=80)
    reply = within("parent", add, "127.0.0.1")
    check("not bound to this port" in reply.get("error", ""), reply)


def case_forward_by_mac(bed):
    case_dhcp(bed)
    address = next(entry["address"] for entry in bed.ask("show")["leases"] if entry["mac"] == MACS["c2"])
    run("ip", "-n", namespace("c2"), "addr", "replace", f"{address}/24", "dev", "eth0")
    check(bed.ask("forward-add", protocol="tcp", host_port=8085, mac=MACS["c2"], port=8080)["status"] == "ok", "add")
    check(SERVER in within("server", ask_tcp, PARENT, 8085), "no connection")


def case_dns(bed):
    def over_udp():
        return udp_exchange(GATEWAY, 53, dns_query(), 15)

    def over_tcp():
        with connect(GATEWAY, 53) as connection:
            connection.sendall(struct.pack("!H", len(dns_query())) + dns_query())
            length, = struct.unpack("!H", exactly(connection, 2))
            return exactly(connection, length)
    address = socket.inet_aton("192.0.2.99")
    reply = within("c1", over_udp)
    check(reply[:2] == b"\x12\x34" and reply.endswith(address), f"UDP: {reply}")
    with open(bed.resolvers, "w") as file:
        file.write("# comment\nsearch test\nnameserver 127.0.0.53\n")
    time.sleep(2.5)  # resolv.conf is read again
    check(within("c1", over_tcp).endswith(address), "TCP")
    with open(bed.resolvers, "w") as file:
        file.write("nameserver 127.0.0.9\n")
    time.sleep(2.5)
    begin = time.monotonic()
    reply = within("c1", over_udp)
    check(reply[3] & 15 == 2 and time.monotonic() - begin < 12, "no resolver: the child is not told")
    with open(bed.resolvers, "w") as file:
        file.write("nameserver 127.0.0.53\n")
    time.sleep(2.5)


def case_host_closed(bed):
    for address in (PARENT, GATEWAY):
        check(within("c1", connect_error, address, 9000) == "ECONNREFUSED", f"the parent is open at {address}")
        check(within("c1", udp_exchange, address, 9000, b"x", 2) in ("ECONNREFUSED", "timeout"), f"UDP at {address}")
    run("ip", "-n", namespace("c1"), "route", "add", "127.0.0.1/32", "via", GATEWAY, "dev", "eth0", "table", "77")
    for address in ("127.0.0.53", "0.0.0.1", "169.254.169.254", "240.0.0.1"):
        check(raw_syn_refused(bed, address), f"{address} can be reached")
    # An address that the parent gets later is the parent's too.
    run("ip", "-n", namespace("parent"), "addr", "add", "203.0.113.77/32", "dev", "lo")
    check(within("c1", connect_error, "203.0.113.77", 9000) == "ECONNREFUSED", "a new address of the parent's is open")


def raw_syn_refused(bed, address):
    """A SYN to an address that the child's own kernel would not route; what the switch opened is seen in its counts."""
    before = bed.ask("show")["nat"]["tcp_opened"]

    def send():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0x0800))
            frame = (bytes.fromhex("00155d000000") + bytes.fromhex(MACS["c1"].replace("-", "")) + b"\x08\0" +
                     ip_packet("192.168.100.2", address, 6, struct.pack("!HHIIBBHHH", 40000, 9000, 1, 0, 0x50, 2,
                                                                       65535, 0, 0)))
            raw.send(frame)
    within("c1", send)
    time.sleep(0.3)
    return bed.ask("show")["nat"]["tcp_opened"] == before


def ip_packet(source, destination, protocol, payload, fragment=0):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", total ^ 0xFFFF) + header[12:] + payload


def case_allow_host(bed):
    bed.restart("--allow-host")
    try:
        for address in (PARENT, GATEWAY):
            check(within("c1", echo, address, 9000) == b"hello", f"the parent cannot be reached at {address}")
            check(within("c1", udp_exchange, address, 9000) == b"hello", f"nor by UDP at {address}")
        check(within("c1", connect_error, PARENT, 4) == "ECONNREFUSED", "closed port")
        check(within("c1", udp_exchange, GATEWAY, 4) == "ECONNREFUSED", "closed UDP port")
    finally:
        bed.restart()


def case_spoofed_mac(bed):
    def send():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0x0800))
            for _ in range(5):
                raw.send(bytes.fromhex("ffffffffffff" "00155d010299") + b"\x88\xb5" + b"spoofed" * 10)

    def watch():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as raw:
            raw.bind(("eth0", 0x88B5))
            raw.settimeout(3)
            frames = []
            os.write(go, b"x")
            while True:
                data = raw.recv(2000)
                if b"end" in data:
                    return frames
                frames.append(data)
    before = bed.port("c1")["dropped_spoofed"]
    ready, go = os.pipe()
    results = []
    watcher = threading.Thread(target=lambda: results.append(within("c2", watch)))
    watcher.start()
    os.read(ready, 1)
    within("c1", send)

    def send_end():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0x0800))
            raw.send(bytes.fromhex("ffffffffffff" "00155d010203") + b"\x88\xb5" + b"end" * 20)
    within("c1", send_end)
    watcher.join()
    check(results == [[]], f"spoofed frames arrived: {results}")
    check(bed.port("c1")["dropped_spoofed"] == before + 5, "spoofed frames were not counted")


def case_spoofed_address(bed):
    """The gateway's address in ARP, and another child's leased one as a source."""
    def claim_gateway():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0x0806))
            mac = bytes.fromhex(MACS["c1"].replace("-", ""))
            raw.send(b"\xff" * 6 + mac + b"\x08\x06" + b"\0\1\x08\0\6\4\0\1" + mac + socket.inet_aton(GATEWAY) +
                     b"\0" * 6 + socket.inet_aton("192.168.100.3"))

    def neighbours():
        return run("ip", "neigh", "show")
    within("c2", echo, SERVER, 7)
    before = bed.port("c1")["dropped_spoofed"]
    within("c1", claim_gateway)
    time.sleep(0.3)
    check("00:15:5d:00:00:00" in within("c2", neighbours), "the gateway was taken over")
    check(bed.port("c1")["dropped_spoofed"] == before + 1, "not counted")


def case_children(bed):
    status, output = shell("c1", "busybox", "ping", "-c", "2", "-W", "5", "-i", "0.1", "192.168.100.3")
    check(status == 0, output)
    check(within("c1", echo, "192.168.100.3", 7) == b"hello", "TCP")
    check(within("c2", udp_exchange, "192.168.100.2", 7) == b"hello", "UDP")
    data = pattern(4 << 20)

    def transfer():
        with connect("192.168.100.3", 7) as connection:
            sender = threading.Thread(target=connection.sendall, args=(data,))
            sender.start()
            result = exactly(connection, len(data))
            sender.join()
            return result == data
    check(within("c1", transfer), "4 MiB")


def case_parallel(bed):
    check(within("c1", parallel, SERVER, 64) == 64, "not all of 64 connections worked")
    check(wait_until(lambda: bed.ask("show")["nat"]["tcp_connections"] == 0), "connections are left over")


def case_upload(bed):
    check(within("c1", upload, SERVER, 64 << 20), "64 MiB did not arrive intact")
    check(within("c1", upload, SERVER, 0), "an empty upload")
    check(within("c1", upload, SERVER, 1), "an upload of one byte")


def case_download(bed):
    check(within("c1", download, SERVER, 64 << 20), "64 MiB did not arrive intact")
    check(within("c1", download, SERVER, 1), "a download of one byte")


def case_both_ways(bed):
    data = pattern(16 << 20)

    def transfer():
        with connect(SERVER, 7, 50) as connection:
            sender = threading.Thread(target=connection.sendall, args=(data,))
            sender.start()
            result = exactly(connection, len(data))
            sender.join()
            return result == data
    check(within("c1", transfer), "16 MiB both ways")


def case_slow_reader(bed):
    """A child that reads nothing for a while holds its own connection up and no other."""
    def slow():
        with connect(SERVER, 7002, 30) as connection:
            connection.sendall(b"%010d" % (8 << 20))
            time.sleep(2)
            other = echo(SERVER, 7)
            digest = hashlib.sha256()
            while data := connection.recv(65536):
                digest.update(data)
            return other == b"hello" and digest.digest() == hashlib.sha256(pattern(8 << 20)).digest()
    check(within("c1", slow), "the data was damaged, or the other connection stuck")


def case_half_close(bed):
    check(within("c1", upload, SERVER, 100000), "the child closes first")
    check(within("c1", download, SERVER, 100000, b"last words"), "the server closes first")
    check(wait_until(lambda: within("c1", ask_tcp, SERVER, 7004) in ("last words",), 5),
          "what the child said after the server had closed did not arrive")
    check(wait_until(lambda: bed.ask("show")["nat"]["tcp_connections"] == 0), "connections are left over")


def case_reset(bed):
    def server_resets():
        with connect(SERVER, 7003) as connection:
            connection.sendall(b"xx")
            try:
                return connection.recv(1) or "closed"
            except ConnectionResetError:
                return "reset"

    def child_resets():
        with connect(SERVER, 7007) as connection:
            connection.sendall(b"x")
            time.sleep(0.2)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    check(within("c1", server_resets) == "reset", "the server's reset did not reach the child")
    within("c1", child_resets)
    check(wait_until(lambda: within("server", ask_tcp, SERVER, 7008) == "ECONNRESET", 5),
          "the child's reset did not reach the server")


def case_child_vanishes(bed):
    """The adapter's end of the port closes in the middle of a transfer."""
    def hang():
        with connect(SERVER, 7007) as connection:
            connection.sendall(b"x" * 100000)
            os.write(started, b"x")
            time.sleep(30)
    for _ in range(3):
        reader, started = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            enter("c2")
            hang()
            os._exit(0)
        os.read(reader, 1)
        bed.unplug("c2")
        check(wait_until(lambda: within("server", ask_tcp, SERVER, 7008) == "ECONNRESET", 5),
              "the server was not told")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        check(wait_until(lambda: bed.ask("show")["nat"]["tcp_connections"] == 0), "connections are left over")
        bed.plug("c2")
    check(within("c2", echo, SERVER, 7) == b"hello", "the child that came back has no connection")


def case_switch_killed(bed):
    tap = bed.taps["c1"]
    bed.switch.kill()
    bed.switch.wait()
    bed.switch.stdout.close()
    bed.switch = None
    check(bed.read_line(tap, 5) == "lost", "the adapter did not notice")
    bed.unplug()
    bed.start()  # in place of the dead one's sockets
    bed.plug()
    check(within("c1", echo, SERVER, 7) == b"hello", "no connection after the restart")
    second = subprocess.run(["ip", "netns", "exec", namespace("parent"), SWITCH, "--socket", bed.socket, "--subnet",
                             SUBNET, "--user", USER], capture_output=True, text=True, timeout=LIMIT)
    check(second.returncode == 1 and "already running" in second.stderr, f"a second switch: {second.stderr}")
    check(within("c1", echo, SERVER, 7) == b"hello", "the second switch disturbed the first")


def hello(magic=0x6D616F6C, version=2, mac=bytes.fromhex("00155d0102ff"), name=b"vm"):
    return struct.pack("<II6sH64s", magic, version, mac, 0, name)


def case_bad_hello(bed):
    def status(message):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as port:
            port.settimeout(10)
            port.connect(bed.socket)
            port.send(message)
            reply = port.recv(100)
            if struct.unpack("<IIII", reply)[2] != 0:
                check(port.recv(100) == b"", "the connection stays open")
            return struct.unpack("<IIII", reply)[2]
    check(status(hello()) == 0, "a good hello")
    check(status(hello(magic=1)) == 1, "a wrong magic number")
    check(status(b"hello") == 1, "a short hello")
    check(status(hello() + b"x") == 1, "a long hello")
    check(status(hello(name=b"x" * 64)) == 1, "a name without end")
    check(status(hello(version=1)) == 2, "another version")
    check(status(hello(mac=bytes(6))) == 3, "address zero")
    check(status(hello(mac=bytes.fromhex("01155d010203"))) == 3, "a group address")
    check(status(hello(mac=bytes.fromhex("00155d000000"))) == 3, "the gateway's address")
    check(status(hello(mac=bytes.fromhex("00155d010203"))) == 4, "an address in use")


def case_full(bed):
    """More adapters than ports; they are refused, and the others go on."""
    sockets, refused = [], 0
    for number in range(70):
        port = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        port.settimeout(10)
        port.connect(bed.socket)
        try:
            port.send(hello(mac=bytes.fromhex("00155d03") + struct.pack("!H", number)))
            refused += struct.unpack("<IIII", port.recv(100))[2] == 5
        except (BrokenPipeError, ConnectionResetError):
            refused += 1
        sockets.append(port)
    for port in sockets:
        port.close()
    check(refused == 70 - 62, f"{refused} refused")
    check(within("c1", echo, SERVER, 7) == b"hello", "the others do not go on")


def case_limits(bed):
    bed.restart("--flows", "20")
    try:
        def many():
            held, others = [], 0
            for _ in range(10):
                held.append(connect(SERVER, 7, 5))
            others = connect_error(SERVER, 7, 2)
            for connection in held:
                connection.sendall(b"still")
            return others, sum(exactly(connection, 5) == b"still" for connection in held)
        others, good = within("c1", many)
        check(others == "timeout" and good == 10, f"over the limit: {others}; of the ones within, {good} work")
        check(bed.port("c1")["dropped_limited"] > 0, "not counted")
        check(wait_until(lambda: bed.ask("show")["nat"]["tcp_connections"] == 0), "connections are left over")
        check(within("c1", echo, SERVER, 7) == b"hello", "no connection after the others have ended")

        def many_udp():
            return sum(udp_exchange(SERVER, 7) == b"hello" for _ in range(40))
        check(within("c1", many_udp) == 40, "UDP sessions are not replaced by newer ones")
        nat = bed.ask("show")["nat"]
        check(nat["udp_sessions"] <= 10 and nat["udp_evicted"] >= 30, nat)
    finally:
        bed.restart()
    bed.restart("--rate", "10")
    try:
        check(within("c1", connect_error, SERVER, 7) == "connected", "the first one")

        def burst():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for port in range(10000, 10200):
                    sender.sendto(b"x", (FAR, port))
        within("c1", burst)
        check(wait_until(lambda: bed.port("c1")["dropped_limited"] >= 100, 3), "a burst of new sessions passes")
    finally:
        bed.restart()


def case_unprivileged(bed):
    """The switch has no rights left: user, groups, capabilities, system calls."""
    process = bed.ask("show")["process"]
    with open(f"/proc/{process}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    check(set(status["Uid"].split()) == {"65534"} and set(status["Gid"].split()) == {"65534"}, "user")
    check(status["Groups"].strip() == "", "groups")
    check(all(int(status[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")), "capabilities")
    check(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", "system calls")
    result = subprocess.run([SWITCH, "--socket", bed.socket + "2"], capture_output=True, text=True, timeout=LIMIT)
    check(result.returncode == 1 and "--user" in result.stderr, "it runs as root")


def case_stop_by_signal(bed):
    bed.stop(signal.SIGTERM)
    check(not os.path.exists(bed.socket) and not os.path.exists(bed.control), "sockets are left behind")
    bed.start()
    bed.plug()


CASES = [value for name, value in list(globals().items()) if name.startswith("case_")]


def main():
    verbose = "-v" in sys.argv[1:]
    wanted = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    chosen = [case for case in CASES if not wanted or case.__name__.removeprefix("case_") in wanted]
    if os.geteuid() != 0:
        sys.exit("switch_test.py: needs root, to make network namespaces")
    passed = failed = 0
    bed = Bed()
    try:
        bed.start()
        bed.plug()
        for case in chosen:
            name = case.__name__.removeprefix("case_").replace("_", " ")
            begin = time.monotonic()
            try:
                case(bed)
                passed += 1
                print(f"ok    {name} ({time.monotonic() - begin:.1f} s)", flush=True)
            except Exception as problem:
                failed += 1
                print(f"FAIL  {name}: {problem}", flush=True)
                if verbose:
                    traceback.print_exc()
                    print(bed.log())
                if not bed.switch or bed.switch.poll() is not None:
                    print(f"      the switch has died: {bed.log()}", flush=True)
                bed.unplug()  # a clean start for the others
                if bed.switch:
                    bed.switch.kill()
                    bed.switch.wait()
                bed.start()
                bed.plug()
    finally:
        bed.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
