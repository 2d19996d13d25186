# SPDX-License-Identifier: GPL-2.0-or-later
"""The test bed of switch_test.py: network namespaces, servers, a switch, and what its children do."""

import ctypes
import errno
import hashlib
import json
import os
import pickle
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SWITCH = os.environ.get("LOAM_SWITCH", os.path.join(TOP, "build/bin/loam-switch"))
TAP = os.path.join(TOP, "build/unit/switch-tap")
USER = "nobody"
LIMIT = 60  # seconds for one action in a namespace
WRAPPER = os.environ.get("LOAM_SWITCH_WRAPPER", "").split()  # such as valgrind

SUBNET = "192.168.100.0/24"
GATEWAY = "192.168.100.1"
PARENT = "203.0.113.1"
SERVER = "203.0.113.2"
FAR = "198.51.100.7"  # also the server: any address will do
UNREACHABLE = "198.51.100.200"
MACS = {"c1": "00-15-5D-01-02-03", "c2": "00-15-5D-01-02-04"}

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT, **options).stdout


# Namespaces ---------------------------------------------------------------------------------------------------------

OWNER = os.getpid()


def namespace(role):
    return f"loam-{OWNER}-{role}"


def enter(role):
    with open(f"/run/netns/{namespace(role)}") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def within(role, action, *arguments, limit=LIMIT):
    """Calls a function in a namespace, in a process of its own, and returns what it returns."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(limit)
        try:
            enter(role)
            result = (True, action(*arguments))
        except BaseException as problem:  # also assertions and exits: the parent judges
            result = (False, f"{type(problem).__name__}: {problem}")
        with os.fdopen(writer, "wb") as out:
            pickle.dump(result, out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        data = source.read()
    _, status = os.waitpid(child, 0)
    check(data, f"{action.__name__} in {role} did not finish within {limit} s (status {status})")
    good, value = pickle.loads(data)
    check(good, f"{action.__name__} in {role}: {value}")
    return value


def shell(role, *command, limit=LIMIT):
    def execute():
        result = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        return result.returncode, result.stdout + result.stderr
    return within(role, execute, limit=limit + 5)


# Servers, in the namespace behind the parent --------------------------------------------------------------------------

def pattern(length):
    block = hashlib.sha256(b"loam").digest() * 2048
    return (block * (length // len(block) + 1))[:length]


def exactly(connection, length):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            return data
        data += part
    return data


def serve_echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def serve_http(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    body = b"hello from the server\n"
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def serve_digest(connection):
    """Reads to the end, then answers with length and digest: half-close by the client."""
    digest, length = hashlib.sha256(), 0
    while data := connection.recv(65536):
        digest.update(data)
        length += len(data)
    connection.sendall(f"{length} {digest.hexdigest()}".encode())


def serve_data(connection):
    """Sends as much as the first line says and closes its direction, then reads what the client still has to say."""
    length = int(exactly(connection, 10))
    connection.sendall(pattern(length))
    connection.shutdown(socket.SHUT_WR)
    rest = b""
    while data := connection.recv(4096):
        rest += data
    last_words.append(rest)


last_words = []


def serve_reset(connection):
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def serve_last_words(connection):
    connection.sendall(last_words.pop() if last_words else b"nothing")


def serve_peer(connection):
    connection.sendall(repr(connection.getpeername()).encode())


def serve_watch(connection):
    """Says how a connection ended to whoever asks at port 7008."""
    try:
        while connection.recv(65536):
            pass
        endings.append("closed")
    except OSError as problem:
        endings.append(errno.errorcode[problem.errno])


endings = []


def serve_endings(connection):
    connection.sendall(endings[-1].encode() if endings else b"none")


SERVICES = {7: serve_echo, 80: serve_http, 7001: serve_digest, 7002: serve_data, 7003: serve_reset,
            7004: serve_last_words, 7005: serve_peer, 7007: serve_watch, 7008: serve_endings}


def guarded(service, connection):
    with connection:
        try:
            service(connection)
        except OSError:
            pass


def listen(service, port, address="0.0.0.0"):
    server = socket.create_server((address, port), backlog=256)

    def loop():
        while True:
            connection, _ = server.accept()
            threading.Thread(target=guarded, args=(service, connection), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()


def listen_udp(port, address="0.0.0.0"):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))

    def loop():
        while True:
            data, peer = server.recvfrom(65536)
            if data == b"who":
                data = repr(peer).encode()
            server.sendto(data, peer)
    threading.Thread(target=loop, daemon=True).start()


def resolver(address):
    """A DNS server that answers every question for an address with 192.0.2.99, over UDP and TCP."""
    def answer(query):
        question_end = query.index(b"\0", 12) + 5
        return (query[:2] + b"\x81\x80" + b"\0\1\0\1\0\0\0\0" + query[12:question_end] +
                b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("192.0.2.99"))

    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, 53))

    def loop():
        while True:
            query, peer = udp.recvfrom(4096)
            udp.sendto(answer(query), peer)
    threading.Thread(target=loop, daemon=True).start()

    def over_tcp(connection):
        length, = struct.unpack("!H", exactly(connection, 2))
        reply = answer(exactly(connection, length))
        connection.sendall(struct.pack("!H", len(reply)) + reply)
    listen(over_tcp, 53, address)


def daemon(role, start):
    """Runs servers in a namespace until the test ends."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        enter(role)
        start()
        os.write(writer, b"x")
        signal.pause()
        os._exit(0)
    os.close(writer)
    check(os.read(reader, 1), f"servers in {role} did not start")
    os.close(reader)
    return child


# The test bed -----------------------------------------------------------------------------------------------------------

class Bed:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="loam-switch-")
        os.chmod(self.directory, 0o711)
        self.state = os.path.join(self.directory, "state")
        os.mkdir(self.state)
        shutil.chown(self.state, USER)
        self.socket = os.path.join(self.state, "port")
        self.control = os.path.join(self.state, "control")
        self.resolvers = os.path.join(self.directory, "resolv.conf")
        self.leases = os.path.join(self.state, "leases")
        with open(self.resolvers, "w") as file:
            file.write("nameserver 127.0.0.9\nnameserver 127.0.0.53\n")  # the first does not answer
        self.switch = None
        self.taps = {}
        self.daemons = []
        for role in ("parent", "server", "c1", "c2"):
            run("ip", "netns", "add", namespace(role))
            run("ip", "-n", namespace(role), "link", "set", "lo", "up")
        run("ip", "link", "add", "eth0", "netns", namespace("parent"), "type", "veth", "peer", "name", "eth0", "netns",
            namespace("server"))
        for role, address in (("parent", PARENT), ("server", SERVER)):
            run("ip", "-n", namespace(role), "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", namespace(role), "link", "set", "eth0", "up")
        run("ip", "-n", namespace("server"), "addr", "add", f"{FAR}/32", "dev", "lo")
        run("ip", "-n", namespace("parent"), "route", "add", "default", "via", SERVER)
        run("ip", "-n", namespace("parent"), "route", "add", "unreachable", UNREACHABLE)
        for role in ("c1", "c2"):
            run("ip", "-n", namespace(role), "tuntap", "add", "dev", "eth0", "mode", "tap")
            run("ip", "-n", namespace(role), "link", "set", "dev", "eth0", "address", MACS[role].replace("-", ":"))

        def servers():
            for port, service in SERVICES.items():
                listen(service, port)
            for address in (SERVER, FAR):
                listen_udp(7, address)
        self.daemons.append(daemon("server", servers))

        def parents_own():
            listen(serve_echo, 9000)
            listen_udp(9000)
            resolver("127.0.0.53")
        self.daemons.append(daemon("parent", parents_own))

        def childs_own():
            listen(serve_peer, 8080)
            listen(serve_echo, 7)
            listen_udp(7)
        for role in ("c1", "c2"):
            self.daemons.append(daemon(role, childs_own))

    def start(self, *options):
        command = ["ip", "netns", "exec", namespace("parent"), *WRAPPER, SWITCH, "--socket", self.socket, "--control",
                   self.control, "--subnet", SUBNET, "--leases", self.leases, "--resolvers", self.resolvers, "--user",
                   USER, *options]
        log = open(os.path.join(self.directory, "log"), "a")
        self.switch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.read_line(self.switch, 60)
        check("ready" in line, f"the switch did not start: '{line}', {self.log()}")

    def read_line(self, process, limit):
        ready, _, _ = select.select([process.stdout], [], [], limit)
        return process.stdout.readline().strip() if ready else ""

    def log(self):
        with open(os.path.join(self.directory, "log")) as file:
            return file.read()[-2000:]

    def stop(self, how="shutdown"):
        if not self.switch:
            return
        if how == "shutdown":
            check(self.ask("shutdown")["status"] == "ok", "shutdown refused")
        else:
            self.switch.send_signal(how)
        status = self.switch.wait(LIMIT)
        self.switch.stdout.close()
        self.switch = None
        if how != signal.SIGKILL:
            check(status == 0, f"the switch ended with status {status}: {self.log()}")
        self.unplug()

    def restart(self, *options):
        self.stop()
        self.start(*options)
        self.plug()

    def plug(self, *roles):
        for role in roles or ("c1", "c2"):
            command = ["ip", "netns", "exec", namespace(role), TAP, self.socket, MACS[role], role, "eth0"]
            tap = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self.taps[role] = tap
            check(self.read_line(tap, 10) == "connected", f"{role} could not connect")
            run("ip", "-n", namespace(role), "link", "set", "eth0", "up")
            self.configure(role)

    def unplug(self, *roles):
        for role in roles or list(self.taps):
            tap = self.taps.pop(role, None)
            if tap:
                tap.kill()
                tap.wait()
                tap.stdout.close()

    def configure(self, role):
        """Static addresses, for tests of other things than DHCP."""
        last = {"c1": 2, "c2": 3}[role]
        run("ip", "-n", namespace(role), "addr", "replace", f"192.168.100.{last}/24", "dev", "eth0")
        run("ip", "-n", namespace(role), "route", "replace", "default", "via", GATEWAY)

    def ask(self, request, descriptor=None, **fields):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(LIMIT)
            connection.connect(self.control)
            line = json.dumps({"version": 1, "request": request, **fields}).encode() + b"\n"
            if descriptor is None:
                connection.sendall(line)
            else:
                socket.send_fds(connection, [line], [descriptor])
            return json.loads(connection.makefile().readline())

    def port(self, role):
        return next(port for port in self.ask("show")["ports"] if port["name"] == role)

    def close(self):
        if self.switch:
            self.switch.kill()
            self.switch.wait()
        self.unplug()
        for child in self.daemons:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for role in ("parent", "server", "c1", "c2"):
            subprocess.run(["ip", "netns", "del", namespace(role)], capture_output=True)
        shutil.rmtree(self.directory)


# What children do ---------------------------------------------------------------------------------------------------------

def connect(address, port, limit=10):
    return socket.create_connection((address, port), timeout=limit)


def connect_error(address, port, limit=10):
    try:
        connect(address, port, limit).close()
        return "connected"
    except TimeoutError:
        return "timeout"
    except OSError as problem:
        return errno.errorcode[problem.errno]


def echo(address, port, data=b"hello"):
    with connect(address, port) as connection:
        connection.sendall(data)
        return exactly(connection, len(data))


def ask_tcp(address, port):
    with connect(address, port) as connection:
        return connection.recv(4096).decode()


def udp_exchange(address, port, data=b"hello", limit=5, tries=1):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(limit)
        sender.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: host unreachable is reported too
        sender.connect((address, port))
        for _ in range(tries):
            try:
                sender.send(data)
                return sender.recv(65536)
            except TimeoutError:
                continue
            except OSError as problem:
                return errno.errorcode[problem.errno]
    return "timeout"


def upload(address, length):
    data = pattern(length)
    with connect(address, 7001, 50) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        reply = connection.makefile().read()
    return reply == f"{length} {hashlib.sha256(data).hexdigest()}"


def download(address, length, words=b""):
    """True if everything came; says `words` after the server has closed its direction."""
    with connect(address, 7002, 50) as connection:
        connection.sendall(b"%010d" % length)
        digest, received = hashlib.sha256(), 0
        while data := connection.recv(65536):
            digest.update(data)
            received += len(data)
        connection.sendall(words)
    return received == length and digest.digest() == hashlib.sha256(pattern(length)).digest()


def parallel(address, count):
    connections = [connect(address, 7, 30) for _ in range(count)]
    for number, connection in enumerate(connections):
        connection.sendall(b"%08d" % number * 100)
    good = sum(exactly(connection, 800) == b"%08d" % number * 100 for number, connection in enumerate(connections))
    for connection in connections:
        connection.close()
    return good


def dns_query():
    return b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\4loam\4test\0\0\1\0\1"


def wait_until(condition, limit=10):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
