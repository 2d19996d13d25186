#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""End-to-end test of loam-fetch: the test is the disk on one side, and web and NBD servers on the other.

Usage: fetch_test.py [-v] [CASE...]      after make build/bin/loam-fetch
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import traceback

from range_server import RangeServer

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(TOP, "build")))
FETCH = os.path.join(os.environ.get("LOAM_BIN", os.path.join(BUILD, "bin")), "loam-fetch")
LIMIT = int(os.environ.get("LIMIT", "60"))  # seconds for anything that should take a moment
READ, SOURCE, DATA, STATUS, REFUSED = 1, 2, 3, 4, 5
HEADER = struct.Struct("=IIQQ")
TEXT_SIZE, LARGEST, AT_A_TIME = 512, 1 << 20, 16
CONTENT = random.Random(1).randbytes((5 << 20) + 1000)
CHANGED = "is not what it was"

CASES = []


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(got, wanted, what="value"):
    check(got == wanted, f"{what}: {str(got)[:200]!r} instead of {str(wanted)[:200]!r}")


def case(function):
    CASES.append(function)
    return function


# The disk -------------------------------------------------------------------------------------------------------------

class Disk:
    """A loam-fetch, and our end of its socket."""

    def __init__(self, url, *options, prefix=()):
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(LIMIT)
        environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        self.process = subprocess.Popen([*prefix, FETCH, "--socket-fd", str(theirs.fileno()), *options, url],
                                        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=environment)
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        try:
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure("it has not ended with its socket") from None
        finally:
            self.process.stderr.close()

    def receive(self, length):
        data = bytearray()
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            check(piece, "loam-fetch has closed its socket")
            data += piece
        return bytes(data)

    def message(self):
        kind, length, tag, offset = HEADER.unpack(self.receive(HEADER.size))
        check(kind in (SOURCE, DATA, STATUS, REFUSED), f"a message of kind {kind}")
        check(length <= (LARGEST if kind == DATA else TEXT_SIZE + 8), f"a message of {length} bytes")
        return kind, self.receive(length), tag, offset

    def expect(self, wanted):
        """The next message of that kind but for statuses, which are collected."""
        statuses = []
        while True:
            kind, body, tag, offset = self.message()
            if kind == wanted:
                self.statuses = statuses
                return body, tag, offset
            check(kind == STATUS, f"message {kind} with {body[:100]!r} instead of {wanted}")
            statuses.append(body.decode("ascii"))

    def source(self):
        body = self.expect(SOURCE)[0]
        equal(len(body), 8 + TEXT_SIZE, "size of a source")
        return struct.unpack("=Q", body[:8])[0], body[8:].split(b"\0")[0].decode("ascii")

    def status(self, text):
        """Waits for a status with that text."""
        while True:
            kind, body, _, _ = self.message()
            check(kind == STATUS, f"message {kind} instead of a status with {text}")
            if text in body.decode("ascii") and (text or not body):
                return

    def refused(self, text):
        reason = self.expect(REFUSED)[0].decode("ascii")
        check(text in reason, f"refused because of {reason!r}, not {text!r}")
        equal(self.socket.recv(1), b"", "what comes after the last message")

    def ask(self, tag, offset, length):
        self.socket.sendall(HEADER.pack(READ, length, tag, offset))

    def read(self, offset, length):
        self.ask(7, offset, length)
        data, tag, at = self.expect(DATA)
        equal((tag, at), (7, offset), "whose data it is")
        return data

    def verify(self, offset, length):
        check(self.read(offset, length) == CONTENT[offset:offset + length], f"other data at {offset}")

    def failed(self, pattern):
        """It ends because of us."""
        equal(self.process.wait(LIMIT), 1, "exit status")
        text = self.process.stderr.read().decode()
        check(pattern in text and text.count("\n") == 1, f"{text!r} instead of {pattern}")


# Web servers ----------------------------------------------------------------------------------------------------------

@case
def reads_come_as_asked_for():
    with RangeServer(CONTENT) as server, Disk(server.url) as disk:
        equal(disk.source(), (len(CONTENT), server.etag), "source")
        for offset, length in ((0, 1), (0, LARGEST), (len(CONTENT) - 1, 1), (len(CONTENT) - LARGEST, LARGEST), (12345, 77)):
            disk.verify(offset, length)
        equal(server.served, 2 + 1 + LARGEST + 1 + LARGEST + 77, "bytes that were served")


@case
def many_reads_go_on_at_a_time():
    random_reads = random.Random(2)
    with RangeServer(CONTENT) as server, Disk(server.url) as disk:
        disk.source()
        wanted, tag = {}, 0
        for _ in range(200):
            while len(wanted) < AT_A_TIME:
                tag, length = tag + 1, random_reads.randrange(1, 200000)
                wanted[tag] = (random_reads.randrange(0, len(CONTENT) - length), length)
                disk.ask(tag, *wanted[tag])
            data, answered, offset = disk.expect(DATA)
            at, length = wanted.pop(answered)
            equal(offset, at, "offset")
            check(data == CONTENT[at:at + length], f"other data at {at}")


@case
def what_has_come_is_told_at_once():
    """Not when something else happens, or at the next look at the clock, twice a second."""
    with RangeServer(CONTENT) as server, Disk(server.url) as disk:
        disk.source()
        begin = time.monotonic()
        for _ in range(60):
            disk.verify(0, LARGEST)
        check(time.monotonic() - begin < 15, f"60 reads took {time.monotonic() - begin:.0f} s")


@case
def connections_are_kept():
    with RangeServer(CONTENT) as server, Disk(server.url) as disk:
        disk.source()
        for offset in range(0, 1000000, 10000):
            disk.verify(offset, 10000)
        equal(len(server.connections), 1, "connections")


@case
def a_version_is_known_by_what_the_server_says():
    for etag, modified, validator in (('"a"', "b", '"a"'), ('W/"a"', "b", "b"), (None, "b", "b"), ('W/"a"', None, ""),
                                      (None, None, ""), ('"\xe4"', "b", "b"), ('"' + "a" * 511 + '"', "b", "b"),
                                      ('"' + "a" * 509 + '"', "b", '"' + "a" * 509 + '"')):
        with RangeServer(CONTENT) as server:
            server.etag, server.modified = etag, modified
            with Disk(server.url) as disk:
                equal(disk.source(), (len(CONTENT), validator), "source")
                disk.verify(0, 10)
            with Disk(server.url, "--size", str(len(CONTENT)), "--validator", validator) as disk:
                disk.source()
            with Disk(server.url, "--validator", "x" + validator[1:]) as disk:
                disk.refused(CHANGED)


@case
def another_size_is_refused():
    with RangeServer(CONTENT) as server:
        with Disk(server.url, "--size", str(len(CONTENT) + 1)) as disk:
            disk.refused(CHANGED)
        server.content = b""
        with Disk(server.url) as disk:
            disk.refused("empty")


@case
def servers_without_parts_are_refused():
    for how in ("no-ranges", "without-range-header", "shifted", "unknown-total", "huge-total", "compressed"):
        with RangeServer(CONTENT) as server:
            server.misbehave(how)
            with Disk(server.url) as disk:
                disk.refused("does not serve parts of files")
            check(server.served < 1 << 20 or how == "no-ranges", f"{how}: {server.served} bytes were taken")


@case
def what_changes_is_noticed():
    def new_tag(server):
        server.etag = '"second"'

    def no_tag(server):
        server.misbehave("without-tag")

    def longer(server):
        server.content = CONTENT + b"x"

    def shorter(server):
        server.content = CONTENT[:100]

    for change in (new_tag, no_tag, longer, shorter):
        with RangeServer(CONTENT) as server, Disk(server.url) as disk:
            disk.source()
            disk.verify(0, 1000)
            change(server)
            disk.ask(1, 2000, 1000)
            disk.refused(CHANGED)


@case
def faults_are_told_and_got_over():
    for how, reason in (("500", "500"), ("503", "not available"), ("403", "allow"), ("404", "no such file"),
                        ("cut", "transfer closed"), ("no-ranges", "all of the file"), ("shifted", "other bytes"),
                        ("shorter-part", "other bytes"), ("compressed", "other bytes"), ("too-long", "more bytes"),
                        ("huge-length", ""), ("negative-length", ""), ("garbage", ""), ("endless-headers", ""),
                        ("redirect-for-ever", "redirects"), ("without-range-header", "other bytes")):
        with RangeServer(CONTENT) as server, Disk(server.url) as disk:
            disk.source()
            server.misbehave(how, 8 if how == "redirect-for-ever" else 2)
            disk.verify(1000, 100000)
            # What is wrong with a length alone may do no harm.
            if how not in ("negative-length", "huge-length"):
                check(disk.statuses and reason in disk.statuses[0], f"{how}: statuses {disk.statuses}")
                equal(disk.statuses[-1], "", f"{how}: the last status")
            disk.verify(2000, 100)


@case
def faults_at_the_start_are_got_over():
    for how in ("500", "404", "cut", "garbage"):
        with RangeServer(CONTENT) as server:
            server.misbehave(how, 3)
            with Disk(server.url) as disk:
                disk.source()
                check(disk.statuses, f"{how}: no status")
                disk.verify(0, 1000)


@case
def silence_is_told_and_got_over():
    with contextlib.ExitStack() as stack:
        disks = []
        for how in ("silence", "stall"):
            server = stack.enter_context(RangeServer(CONTENT))
            disk = stack.enter_context(Disk(server.url))
            disk.source()
            server.misbehave(how, 1)
            disk.ask(1, 0, 1000)
            disks.append(disk)
        for disk in disks:
            disk.status("does not answer")
            disk.status("")  # another try
            equal(disk.expect(DATA)[0], CONTENT[:1000], "data")


@case
def one_silent_read_does_not_stop_others():
    with RangeServer(CONTENT) as server, Disk(server.url) as disk:
        disk.source()
        server.misbehave("silence", 1)
        disk.ask(1, 0, 1000)
        while len(server.requests) < 2:
            time.sleep(0.01)
        disk.verify(5000, 1000)


@case
def a_server_may_come_up_late_and_go_away():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Disk(f"http://127.0.0.1:{port}/disk") as disk:
        disk.status("connect")
        with RangeServer(CONTENT, port):
            equal(disk.source()[0], len(CONTENT), "size")
            disk.verify(0, 1000)
        disk.ask(1, 1000, 1000)
        disk.status("connect")
        with RangeServer(CONTENT, port):
            disk.status("")
            equal(disk.expect(DATA)[0], CONTENT[1000:2000], "data")


@case
def names_are_looked_up():
    with RangeServer(CONTENT) as server, Disk(server.url.replace("127.0.0.1", "localhost")) as disk:
        disk.source()
        disk.verify(0, 1000)


@case
def names_that_are_none_are_told():
    with Disk("http://no-such-host.invalid/disk") as disk:
        disk.status("resolve host")


@case
def redirections_are_followed_within_bounds():
    with RangeServer(CONTENT) as server, RangeServer(CONTENT) as other:
        server.location = other.url
        server.misbehave("redirect")
        with Disk(server.url) as disk:
            disk.source()
            disk.verify(100, 1000)
        check(other.served >= 1000, "nothing was fetched from where it leads")
    for location in ("file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/", "dict://127.0.0.1/"):
        with RangeServer(CONTENT) as server:
            server.location = location
            server.misbehave("redirect")
            with Disk(server.url) as disk:
                disk.refused("nothing is fetched from")


@case
def urls_are_checked():
    for url in ("ftp://h/a", "file:///etc/passwd", "http://u:p@h/a", "http://", "disk.vhd"):
        done = subprocess.run([FETCH, "--socket-fd", "0", url], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=LIMIT)
        equal(done.returncode, 2, f"exit status with {url}")
        check(url in done.stderr, done.stderr)


def make_certificate():
    if not shutil.which("openssl"):
        raise Skip("there is no openssl to make a certificate with")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "certificate",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True,
                   capture_output=True, timeout=LIMIT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("certificate", "key")
    return context


@case
def certificates_are_checked():
    with RangeServer(CONTENT, context=make_certificate()) as server, Disk(server.url) as disk:
        disk.status("SSL")
        equal(server.requests, [], "requests that were sent to a server that nobody vouches for")


@case
def secure_connections():
    """With our certificate in the place of this host's authorities, for loam-fetch alone."""
    context, authorities = make_certificate(), "/etc/ssl/certs/ca-certificates.crt"
    prefix = ["unshare", "--mount", "sh", "-c", f'mount --bind certificate {authorities} && exec "$0" "$@"']
    if os.geteuid() != 0 or subprocess.run([*prefix, "true"], capture_output=True, timeout=LIMIT).returncode != 0:
        raise Skip("only root can put other authorities into the place of this host's")
    os.chmod(".", 0o755)
    with RangeServer(CONTENT, context=context) as server, \
            Disk(server.url, "--user", "nobody", prefix=prefix) as disk:
        disk.source()
        for _ in range(5):
            disk.verify(12345, 300000)
        server.misbehave("redirect")
        with RangeServer(CONTENT) as plain:
            server.location = plain.url
            disk.ask(1, 0, 1000)
            disk.refused("nothing is fetched from")
            equal(plain.requests, [], "requests without protection")


# The disk's side ------------------------------------------------------------------------------------------------------

@case
def what_no_disk_says_ends_it():
    size = len(CONTENT)
    for kind, length, offset in ((0, 1, 0), (DATA, 1, 0), (REFUSED, 0, 0), (1 << 31, 1, 0), (READ, 0, 0),
                                 (READ, LARGEST + 1, 0), (READ, 0xFFFFFFFF, 0), (READ, 1, size), (READ, 2, size - 1),
                                 (READ, 1, 1 << 63), (READ, 1, (1 << 64) - 1)):
        with RangeServer(CONTENT) as server, Disk(server.url) as disk:
            disk.source()
            disk.socket.sendall(HEADER.pack(kind, length, 0, offset))
            disk.failed("the disk ")
            equal(len(server.requests), 1, "requests")


@case
def too_many_reads_end_it():
    with RangeServer(CONTENT) as server, Disk(server.url) as disk:
        disk.source()
        server.misbehave("silence")
        for tag in range(AT_A_TIME + 1):
            disk.ask(tag, 0, 1)
        disk.failed("at a time")


@case
def reads_before_the_source_end_it():
    with RangeServer(CONTENT) as server:
        server.misbehave("silence")
        with Disk(server.url) as disk:
            disk.ask(1, 0, 1)
            disk.failed("before it knows")


@case
def messages_may_come_in_pieces():
    with RangeServer(CONTENT) as server, Disk(server.url) as disk:
        disk.source()
        for byte in HEADER.pack(READ, 100, 9, 50):
            disk.socket.sendall(bytes([byte]))
        equal(disk.expect(DATA), (CONTENT[50:150], 9, 50), "data")


@case
def it_ends_with_its_socket():
    for how in ("well", "silence", "stall", "500"):
        with RangeServer(CONTENT) as server, Disk(server.url) as disk:
            disk.source()
            server.misbehave(how)
            for tag in range(AT_A_TIME):
                disk.ask(tag, 0, LARGEST)
            while len(server.requests) < 2:
                time.sleep(0.01)
            disk.socket.close()
            equal(disk.process.wait(LIMIT), 0, "exit status")


@case
def a_disk_that_does_not_take_its_data_does_no_harm():
    with RangeServer(CONTENT) as server, Disk(server.url) as disk:
        disk.source()
        for tag in range(AT_A_TIME):
            disk.ask(tag, 0, LARGEST)
        while server.served < AT_A_TIME * LARGEST:
            time.sleep(0.01)
        tags = {disk.expect(DATA)[1] for _ in range(AT_A_TIME)}
        equal(tags, set(range(AT_A_TIME)), "tags")


@case
def rights_are_given_up():
    if os.geteuid() != 0:
        raise Skip("only root can give up being root")
    with RangeServer(CONTENT) as server, Disk(server.url, "--user", "65534:65533") as disk:
        disk.source()
        with open(f"/proc/{disk.process.pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        equal((status["Uid"].split(), status["Gid"].split()), (["65534"] * 4, ["65533"] * 4), "user and group")
        equal(status["Groups"].strip(), "", "groups")
        equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), "sandbox")
        disk.verify(0, 1000)


# NBD ------------------------------------------------------------------------------------------------------------------

class NbdServer:
    """qemu-nbd with CONTENT, rounded to sectors, on a Unix socket in this directory."""

    def __init__(self, *options):
        with open("content", "wb") as file:
            file.write(CONTENT + bytes(-len(CONTENT) % 512))
        self.path = os.path.join(os.getcwd(), "socket")
        self.url = f"nbd+unix:///?socket={self.path}"
        self.options = options
        self.start()

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.process = subprocess.Popen(["qemu-nbd", "--read-only", "--persistent", "--shared=4", "--format=raw",
                                         f"--socket={self.path}", *self.options, "content"], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + LIMIT
        while not os.path.exists(self.path):
            check(time.monotonic() < end and self.process.poll() is None, "qemu-nbd does not start")
            time.sleep(0.01)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def nbd_case(function):
    def run():
        if not shutil.which("qemu-nbd"):
            raise Skip("there is no qemu-nbd")
        function()
    run.__name__ = function.__name__
    return case(run)


@nbd_case
def nbd_reads_come_as_asked_for():
    random_reads = random.Random(3)
    with NbdServer() as server, Disk(server.url) as disk:
        equal(disk.source(), (len(CONTENT) + -len(CONTENT) % 512, ""), "source")
        for offset, length in ((0, 1), (0, LARGEST), (len(CONTENT) - LARGEST, LARGEST), (12345, 77)):
            disk.verify(offset, length)
        wanted, tag = {}, 0
        for _ in range(200):
            while len(wanted) < AT_A_TIME:
                tag, length = tag + 1, random_reads.randrange(1, 200000)
                wanted[tag] = (random_reads.randrange(0, len(CONTENT) - length), length)
                disk.ask(tag, *wanted[tag])
            data, answered, _ = disk.expect(DATA)
            at, length = wanted.pop(answered)
            check(data == CONTENT[at:at + length], f"other data at {at}")


@nbd_case
def nbd_by_tcp():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Disk(f"nbd://127.0.0.1:{port}/disk") as disk:
        disk.status("refused")
        with open("content", "wb") as file:
            file.write(CONTENT + bytes(-len(CONTENT) % 512))
        server = subprocess.Popen(["qemu-nbd", "--read-only", "--persistent", "--format=raw", "--bind=127.0.0.1",
                                   f"--port={port}", "--export-name=disk", "content"], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            disk.source()
            disk.verify(777, 100000)
        finally:
            server.kill()
            server.wait()


@nbd_case
def nbd_servers_may_be_killed_and_stopped():
    with NbdServer() as server, Disk(server.url) as disk:
        disk.source()
        disk.verify(0, 1000)
        server.stop()
        disk.ask(1, 1000, 1000)
        disk.status("onnect")
        server.start()
        equal(disk.expect(DATA)[0], CONTENT[1000:2000], "data after a kill")
        server.signal(signal.SIGSTOP)
        disk.ask(2, 2000, 1000)
        disk.status("does not answer")
        server.signal(signal.SIGCONT)
        equal(disk.expect(DATA)[0], CONTENT[2000:3000], "data after a stop")


@nbd_case
def nbd_exports_of_another_size_are_refused():
    with NbdServer() as server:
        with Disk(server.url, "--size", "512") as disk:
            disk.refused(CHANGED)
        with Disk(server.url, "--validator", '"etag"') as disk:
            disk.refused(CHANGED)
        with Disk(server.url) as disk:
            disk.source()
            disk.verify(0, 1000)
            server.stop()
            with open("content", "ab") as file:
                file.write(bytes(512))
            server.start()
            disk.ask(1, 0, 1000)
            disk.refused(CHANGED)


@case
def nbd_servers_may_want_whole_blocks():
    """nbdkit is told to refuse what is no whole block, or too long."""
    if not shutil.which("nbdkit"):
        raise Skip("there is no nbdkit")
    block, path = 4096, os.path.join(os.getcwd(), "socket")
    with open("content", "wb") as file:
        file.write(CONTENT + bytes(-len(CONTENT) % block))
    server = subprocess.Popen(["nbdkit", "--foreground", "--exit-with-parent", "--readonly", f"--unix={path}",
                               "--filter=blocksize-policy", "file", "content", f"blocksize-minimum={block}",
                               f"blocksize-preferred={block}", "blocksize-maximum=65536",
                               "blocksize-error-policy=error"], stdin=subprocess.DEVNULL)
    try:
        with Disk(f"nbd+unix:///?socket={path}") as disk:
            equal(disk.source()[0], len(CONTENT) + -len(CONTENT) % block, "size")
            for offset, length in ((0, 1), (4095, 2), (4096, 4096), (1, LARGEST), (len(CONTENT) - LARGEST, LARGEST),
                                   (len(CONTENT) - 1, 1)):
                disk.verify(offset, length)
                equal(disk.statuses, [], "statuses")
    finally:
        server.kill()
        server.wait()


@nbd_case
def nbd_exports_that_are_not_there_are_told():
    with NbdServer("--export-name=other") as server, Disk(server.url) as disk:
        disk.expect(STATUS)


# Running them ---------------------------------------------------------------------------------------------------------

def run(function, verbose):
    with tempfile.TemporaryDirectory(prefix="loam-fetch-") as directory:
        os.chdir(directory)
        begin = time.monotonic()
        try:
            function()
            print(f"PASS {function.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Skip as reason:
            print(f"SKIP {function.__name__}: {reason}", flush=True)
        except Exception as problem:  # a failed case is reported, and the next one runs
            print(f"FAIL {function.__name__}: {problem}", flush=True)
            if verbose or not isinstance(problem, Failure):
                traceback.print_exc(file=sys.stdout)
            return False
        finally:
            os.chdir("/")
    return True


def main():
    words = sys.argv[1:]
    names = [word for word in words if word != "-v"]
    unknown = set(names) - {function.__name__ for function in CASES}
    if unknown:
        sys.exit(f"no such case: {' '.join(sorted(unknown))}")
    results = [run(function, "-v" in words) for function in CASES if not names or function.__name__ in names]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
