#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""End-to-end test of loamd and the command loam, with a worker without a virtual machine (fake_worker.py) and the
real switch.

Usage: manager_test.py [-v] [CASE...]      run as root, after make build/bin/{loam,loamd,loam-switch,loam-fetch}
"""

import errno
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

from range_server import RangeServer

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.abspath(os.environ.get("LOAM_BIN", os.path.join(TOP, "build/bin")))
LOAM = os.path.join(BIN, "loam")
LOAMD = os.path.join(BIN, "loamd")
FETCH = os.path.join(TOP, "build/bin/loam-fetch")
SWITCH = os.environ.get("LOAM_SWITCH", os.path.join(TOP, "build/bin/loam-switch"))
WORKER = os.path.join(TOP, "tests/unit/fake_worker.py")
REAL_WORKER = os.path.join(TOP, "build/bin/loam-worker")
PYTHON = "/usr/bin/python3"  # one that every user may run
LIMIT = 30  # seconds for anything that should take a moment

GROUP = 45678
ALICE, BOB, EVE = 40001, 40002, 40003  # ALICE and BOB are in the group
MIB = 1 << 20

CASES = []


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(got, wanted, what="value"):
    check(got == wanted, f"{what}: {got!r} instead of {wanted!r}")


def case(function):
    CASES.append(function)
    return function


def wait_until(condition, what, limit=LIMIT):
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"{what} did not happen within {limit} s")
        time.sleep(0.02)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Result:
    def __init__(self, process):
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr

    def json(self):
        return json.loads(self.out)


class Host:
    """Directories, a loamd, and what its processes leave behind."""

    def __init__(self, **options):
        self.root = tempfile.mkdtemp(prefix="lm-", dir="/tmp")
        os.chmod(self.root, 0o755)
        self.options = {"worker": WORKER, "switch": SWITCH, "fetch": FETCH, "group": str(GROUP), "worker-user": "nobody",
                        "switch-user": "nobody", "fetch-user": "nobody", **options}
        self.process = None
        self.prefix = []  # what loamd is started by
        self.mounts = []
        self.kernel = self.file("vmlinuz", self.kernel_bytes())

    # Files

    @staticmethod
    def kernel_bytes():
        return b"KERNEL  " + b"\0" * (0x202 - 8) + b"HdrS" + b"\0" * 100

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def file(self, name, content, user=0, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chown(path, user, user)
        os.chmod(path, mode)
        return path

    def disk(self, name, user=0, size="8M"):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        done = self.loam("disk", "create", path, "--size", size)
        equal(done.status, 0, done.err)
        os.chown(path, user, user)
        return path

    def iso(self, name, mark=b"CD IMAGE", user=0, volume=20, blocks=20):
        """An image with so many blocks, and a volume descriptor that speaks of `volume`."""
        image = bytearray(mark * (blocks * 2048 // len(mark)))
        image[16 * 2048:16 * 2048 + 2048] = bytes(2048)
        image[16 * 2048:16 * 2048 + 6] = b"\x01CD001"
        struct.pack_into("<I", image, 16 * 2048 + 80, volume)
        struct.pack_into("<H", image, 16 * 2048 + 128, 2048)
        return self.file(name, bytes(image), user)

    # loamd

    def start(self, expect=True):
        self.log = open(self.path("loamd.log"), "ab")
        arguments = [*self.prefix, LOAMD, "--state", self.path("state"), "--run", self.path("run"), "--log",
                     self.path("log")]
        arguments += [f"--{name}={value}" for name, value in self.options.items()]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        if expect:
            wait_until(self.answers, "loamd's first answer")
        return self

    def answers(self):
        check(self.process.poll() is None, f"loamd has ended with {self.process.returncode}: {self.messages()[-2000:]}")
        return self.loam("switch", "list").status == 0

    def messages(self):
        with open(self.path("loamd.log"), errors="replace") as file:
            return file.read()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(LIMIT)

    def restart(self, number=signal.SIGTERM):
        self.stop(number)
        return self.start()

    def processes(self):
        """Numbers of all processes that loamd has records of."""
        found = []
        for kind in ("vm", "switch"):
            directory = self.path("run", kind)
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                if name.endswith(".json"):
                    with open(os.path.join(directory, name)) as file:
                        found.append(json.load(file)["pid"])
        return found

    def worker(self, name):
        with open(self.path("run", "vm", name + ".json")) as file:
            return json.load(file)["pid"]

    def fill(self, name):
        """A small file system on this directory, which is full; returns what makes room on it."""
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", path], check=True)
        self.mounts.append(path)
        return os.path.join(path, "filler")

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for path in self.mounts:
            subprocess.run(["umount", "--lazy", path], check=True)
        shutil.rmtree(self.root, ignore_errors=True)

    # The command

    def loam(self, *arguments, user=0, groups=(), timeout=LIMIT, cwd=None):
        command = [LOAM, arguments[0], arguments[1], "--socket", self.path("run/loamd.sock"), *arguments[2:]]
        rights = {"user": user, "group": user, "extra_groups": list(groups)} if user else {}
        return Result(subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd,
                                     stdin=subprocess.DEVNULL, **rights))

    def do(self, *arguments, **options):
        result = self.loam(*arguments, **options)
        equal(result.status, 0, f"status of loam {' '.join(arguments)} ({result.err.strip()})")
        return result

    def refuse(self, pattern, *arguments, status=1, **options):
        """The command is refused with one line, and nothing has changed."""
        before = self.definitions()
        result = self.loam(*arguments, **options)
        what = f"loam {' '.join(arguments)}"
        equal(result.status, status, f"status of {what} ({result.err.strip()})")
        equal(result.err.count("\n"), 1, f"lines from {what}: {result.err!r}")
        check(re.search(pattern, result.err), f"{what} says {result.err.strip()!r}, not {pattern!r}")
        equal(self.definitions(), before, f"definitions after {what}")
        return result

    def definitions(self):
        found = {}
        for kind in ("vm", "switch"):
            directory = self.path("state", kind)
            for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
                with open(os.path.join(directory, name)) as file:
                    found[kind, name] = file.read()
        return found

    def create(self, name, cmdline="", *arguments, **options):
        return self.do("vm", "create", name, "--kernel", self.kernel, "--memory", "64M", "--cmdline", cmdline,
                       *arguments, **options)

    def show(self, name):
        return self.do("vm", "show", name, "--json").json()

    def state(self, name):
        return self.show(name)["state"]

    def expect_state(self, name, state, limit=LIMIT):
        wait_until(lambda: self.state(name) == state, f"state {state} of {name}", limit)

    # The socket itself

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(LIMIT)
        connection.connect(self.path("run/loamd.sock"))
        return connection

    def raw(self, *lines):
        """Sends lines and returns the answers, without the greeting."""
        with self.connect() as connection, connection.makefile("rb") as stream:
            json.loads(stream.readline())
            answers = []
            for line in lines:
                connection.sendall(line + b"\n")
                answers.append(json.loads(stream.readline()))
            return answers


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, host, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(LOAM, [LOAM, arguments[0], arguments[1], "--socket", host.path("run/loamd.sock"), *arguments[2:]])
        self.seen = b""
        self.cooked = termios.tcgetattr(self.fd)

    def expect(self, pattern, limit=LIMIT):
        end = time.monotonic() + limit
        while not re.search(pattern, self.seen):
            check(time.monotonic() < end, f"{pattern!r} not seen on the terminal, but {self.seen[-400:]!r}")
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    check(re.search(pattern, self.seen), f"ended without {pattern!r}: {self.seen[-400:]!r}")
                self.seen += data
        return self

    def type(self, text):
        os.write(self.fd, text)
        return self

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self, limit=LIMIT):
        """Waits for the end; returns the status."""
        ended = []

        def look():
            if select.select([self.fd], [], [], 0)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                ended.append(os.waitstatus_to_exitcode(status))
            return pid
        wait_until(look, "the end of the command", limit)
        self.after = termios.tcgetattr(self.fd)
        os.close(self.fd)
        return ended[0]


# Definitions --------------------------------------------------------------------------------------------------------

@case
def first_start_makes_a_switch(host):
    shown = host.do("switch", "show", "default", "--json").json()
    equal(shown["state"], "Running")
    equal(shown["type"], "NAT")
    check(re.fullmatch(r"(192\.168|172|10)\..*/24", shown["subnet"]), shown["subnet"])
    equal(shown["allow_host"], False)


@case
def create_list_show_remove(host):
    disk = host.disk("web1.vhd")
    host.do("vm", "create", "web1", "--memory", "256M", "--processors", "2", "--disk", "web1.vhd", "--nic", "default",
            "--kernel", "vmlinuz", "--cmdline", "console=ttyS0 quiet", cwd=host.root)
    vm = host.show("web1")
    equal((vm["memory"], vm["processors"]), (256 * MIB, 2))
    equal(vm["disks"], [{"path": disk, "format": "vhd", "read_only": False, "uid": 0, "source": None}])
    equal(vm["kernel"], {"path": host.kernel, "uid": 0})
    equal(vm["command_line"], "console=ttyS0 quiet")
    check(vm["nics"][0]["mac"].startswith("00-15-5D-"), vm["nics"][0]["mac"])
    equal(vm["state"], "Off")
    listed = host.do("vm", "list").out.splitlines()
    check(re.match(r"NAME\s+STATE\s+CPUS\s+MEMORY", listed[0]), listed[0])
    check(re.match(r"web1\s+Off\s+2\s+256 MiB", listed[1]), listed[1])
    equal(host.do("vm", "list", "--names").out, "web1\n")
    equal([entry["name"] for entry in host.do("vm", "list", "--json").json()["vms"]], ["web1"])
    host.do("vm", "set", "web1", "-p", "8")
    equal(host.show("web1")["processors"], 8)
    check("web1.vhd (vhd, of root)" in host.do("vm", "show", "web1").out, "disk in vm show")
    host.do("vm", "remove", "web1")
    equal(host.do("vm", "list", "--names").out, "")
    check(os.path.exists(disk), "the disk has been removed")


@case
def definitions_survive(host):
    host.create("a", "x", "--nic", "default")
    before = host.show("a")
    host.restart()
    equal(host.show("a"), before)
    host.restart(signal.SIGKILL)
    equal(host.show("a"), before)


@case
def set_changes_what_is_named(host):
    one, two = host.disk("1.vhd"), host.disk("2.vhd")
    host.create("a", "old", "--disk", one, "--nic", "default", "--nic", "default")
    macs = [nic["mac"] for nic in host.show("a")["nics"]]
    check(macs[0] != macs[1], "equal MAC addresses")
    host.do("vm", "set", "a", "--memory", "128M")
    vm = host.show("a")
    equal((vm["memory"], vm["command_line"], vm["disks"][0]["path"]), (128 * MIB, "old", one))
    host.do("vm", "set", "a", "--disk", two + ",read-only", "--nic", "default", "--initrd", host.kernel)
    vm = host.show("a")
    equal([(disk["path"], disk["read_only"]) for disk in vm["disks"]], [(two, True)])
    equal([nic["mac"] for nic in vm["nics"]], macs[:1])
    equal(vm["initrd"]["path"], host.kernel)
    host.do("vm", "set", "a", "--no-disks", "--no-nics", "--no-initrd", "--cmdline", "new")
    vm = host.show("a")
    equal((vm["disks"], vm["nics"], vm["initrd"], vm["command_line"]), ([], [], None, "new"))
    host.do("vm", "start", "a")
    host.refuse("a is Running, and can only be changed when it is Off: stop it", "vm", "set", "a", "--memory", "64M")
    host.refuse("nothing to change", "vm", "set", "a", status=2)


@case
def mistakes_say_what_and_how_to_mend(host):
    host.create("taken", "", "--nic", "default,mac=00-15-5D-01-02-03")
    good = host.disk("good.vhd")
    text = host.file("text.vhd", b"no disk at all\n" * 100)
    damaged = host.disk("damaged.vhd")
    with open(damaged, "r+b") as file:  # both copies of the footer
        size = file.seek(0, 2)
        file.seek(100)
        file.write(b"\xff" * 8)
        file.seek(size - 412)
        file.write(b"\xff" * 8)
    os.makedirs(host.path("directory"))
    os.mkfifo(host.path("fifo"))
    os.symlink(good, host.path("link.vhd"))
    wrong = [
        ("give at least 4 MiB", "--memory", "1M"),
        ("multiple of 1 MiB", "--memory", "5000000"),
        ("at most 1024 GiB", "--memory", "2T"),
        ("1 to 8, not 0", "--processors", "0"),
        ("1 to 8, not 9", "--processors", "9"),
        ("no such file: check the path, or make a disk with loam disk create", "--disk", host.path("none.vhd")),
        ("there is no directory .*/nowhere", "--disk", host.path("nowhere/a.vhd")),
        ("text.vhd: not a VHD.*PATH,raw", "--disk", text),
        ("damaged.vhd: a damaged VHD.*loam disk check", "--disk", damaged),
        ("is a directory", "--disk", host.path("directory")),
        ("fifo: neither a file nor a block device|fifo: .*not a", "--disk", host.path("fifo")),
        ("same file", "--disk", good, "--disk", good),
        ("same file", "--disk", good, "--disk", host.path("link.vhd")),
        ("must have at most 4 entries, not 5", *["--disk", good] * 5),
        ("there is no switch defualt.*loam switch list", "--nic", "defualt"),
        ("is not a MAC address", "--nic", "default,mac=12"),
        ("no network adapter's own", "--nic", "default,mac=01-00-5E-00-00-01"),
        ("switches' own", "--nic", "default,mac=00-15-5D-00-00-00"),
        ("belongs to virtual machine taken", "--nic", "default,mac=00-15-5D-01-02-03"),
        ("no such file: check the path", "--initrd", host.path("none")),
        ("not a Linux kernel", "--kernel", text),
        ("longer than 2047", "--cmdline", "x" * 3000),
    ]
    for pattern, *arguments in wrong:
        if "--kernel" not in arguments:
            arguments += ["--kernel", host.kernel]
        host.refuse(pattern, "vm", "create", "new", *arguments)
    host.refuse("there is a virtual machine taken already: choose another", "vm", "create", "taken", "--kernel",
                host.kernel)
    host.refuse("\"initrd\" needs \"kernel\"", "vm", "create", "new", "--initrd", host.kernel)
    for pattern, *arguments in (
            ("no such file: check the path", "--dvd", host.path("none.iso")),
            ("is a directory", "--dvd", host.root),
            ("is empty", "--floppy", host.file("empty.vfd", b"")),
            ("boot\\[1\\]: must be one of", "--boot", "dvd,cd"),
            ("kind: must be one of", "--com2", "pty:/x"),
            ("no such FIFO: make one with mkfifo", "--com2", "pipe:" + host.path("nofifo")),
            ("there is no directory", "--com2", "file:/nowhere/x"),
            ("is not a UUID", "--uuid", "12")):
        host.refuse(pattern, "vm", "create", "new", *arguments)
    host.refuse("taken starts its kernel directly", "vm", "start", "taken", "--boot-menu")
    for name in ("", "a/b", "../x", ".hidden", "-x" * 0 + "a b", "ä", "x" * 64):
        host.refuse("cannot be a name", "vm", "create", name, "--kernel", host.kernel)
    host.refuse("no virtual machine takne: did you mean taken", "vm", "start", "takne")
    host.refuse("no virtual machine other: loam vm list", "vm", "show", "other")
    for verb in ("start", "stop", "reset", "pause", "resume", "console", "remove", "show"):
        host.refuse("no virtual machine nothing", "vm", verb, "nothing")
    for verb in ("stop", "reset", "pause", "resume"):
        host.refuse("taken is Off", "vm", verb, "taken")
    host.refuse("taken is Off, so it has no console", "vm", "console", "taken")
    host.refuse("taken is Off already", "vm", "stop", "--turn-off", "taken")
    for pattern, *arguments in (
            ("--memory: 'lots' is not a size: write it as 512M", "vm", "create", "new", "--memory", "lots"),
            ("--processors: '-1' is not a whole number from 0 to", "vm", "create", "new", "--processors", "-1"),
            ("--timeout: '3601' is not a whole number from 0 to 3600", "vm", "stop", "taken", "--timeout", "3601"),
            ("--timeout: 'soon' is not", "vm", "wait", "taken", "--timeout", "soon"),
            ("states.*: must be Off, Starting", "vm", "wait", "taken", "--state", "Asleep"),
            ("--format: 'qcow2' is none: use dynamic", "disk", "create", host.path("x"), "--size", "1M", "--format",
             "qcow2"),
            ("--size: '-1' is not a size", "disk", "create", host.path("x"), "--size=-1")):
        host.refuse(pattern, *arguments)
    done = subprocess.run([LOAM.encode(), b"vm", b"create", b"new", b"--socket", host.path("run/loamd.sock").encode(),
                           b"--kernel", host.kernel.encode(), b"--nic", b"\xff"], capture_output=True, timeout=LIMIT)
    equal((done.returncode, b"not UTF-8" in done.stderr), (1, True), "a switch that is not UTF-8")


@case
def usage_has_status_2(host):
    for arguments in (["vm", "start"], ["vm", "start", "a", "b"], ["vm", "list", "x"], ["vm", "strat", "a"],
                      ["nonsense", "x"], ["disk", "create", "x"], ["disk", "convert", "x"],
                      ["switch", "forward", "default"],
                      ["vm", "list", "--nonsense"]):
        equal(host.loam(*arguments).status, 2, f"status of {arguments}")
    check("did you mean 'start'" in host.loam("vm", "strat", "a").err, "no suggestion for a verb")
    check("did you mean 'switch'" in host.loam("swich", "list").err, "no suggestion for a noun")
    for arguments in (["--help"], ["vm", "--help"], ["vm", "create", "--help"], ["disk", "convert", "--help"]):
        done = subprocess.run([LOAM, *arguments], capture_output=True, text=True, timeout=LIMIT)
        equal(done.returncode, 0, f"status of {arguments}")
        check(max(map(len, done.stdout.splitlines())) <= 80, f"{arguments}: a line is too long")
    check("default 512M" in host.do("vm", "create", "--help").out, "defaults in --help")


@case
def unreachable_has_status_3(host):
    host.stop()
    host.refuse("loamd does not run", "vm", "list", status=3)
    done = subprocess.run([LOAMD, "--run", host.path("run"), "--shutdown-vms"], capture_output=True, timeout=LIMIT)
    equal(done.returncode, 3, "status of loamd --shutdown-vms")
    host.start()


# Life cycle -----------------------------------------------------------------------------------------------------------

@case
def life_cycle(host):
    host.create("a")
    host.do("vm", "start", "a")
    vm = host.show("a")
    equal(vm["state"], "Running")
    check(vm["uptime"] < LIMIT and alive(vm["process"]), "uptime and process")
    equal(vm["counters"]["ports"]["unclaimed_reads"], 3)
    equal(vm["disk_io"], "threads")
    check("3 reads and 1 writes that no device claimed, the last at 0x80" in host.do("vm", "show", "a").out, "show")
    host.refuse("a is Running already", "vm", "start", "a")
    host.refuse("can only be removed when it is Off", "vm", "remove", "a")
    host.do("vm", "pause", "a")
    equal((host.state("a"), host.show("a")["reason"]), ("Paused", "requested"))
    host.do("vm", "resume", "a")
    equal(host.state("a"), "Running")
    host.refuse("is not Paused", "vm", "resume", "a")
    host.do("vm", "reset", "a")
    equal(host.state("a"), "Running")
    host.do("vm", "stop", "a")
    vm = host.show("a")
    equal((vm["state"], vm["reason"], vm["uptime"]), ("Off", "power-off", None))
    shown = host.do("vm", "show", "a").out
    check(re.search(r"^State: +Off \(power-off: the guest switched itself off\)$", shown, re.M), shown)
    host.do("vm", "start", "a")
    host.do("vm", "stop", "--turn-off", "a")
    equal((host.state("a"), host.show("a")["reason"]), ("Off", "turned-off"))
    equal(os.listdir(host.path("run/vm")), ["a.output"], "files of a virtual machine that is Off")


@case
def machine_with_firmware(host):
    """Drives, boot order, COM2 and UUID, as they are shown and as the worker gets them."""
    host.do("vm", "create", "pc")
    vm = host.show("pc")
    equal((vm["kernel"], vm["dvds"], vm["floppies"], vm["graphics"], vm["com2"]),
          (None, [{"path": None, "read_only": False, "uid": 0}], [{"path": None, "read_only": False, "uid": 0}], None,
           {"kind": "none"}))
    check(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", vm["uuid"]), vm["uuid"])
    shown = host.do("vm", "show", "pc").out
    for line in (r"^Boot order: +dvd, disk, network, floppy$", r"^IDE 1:0: +DVD drive, empty$",
                 r"^Floppy A: +floppy drive, empty$"):
        check(re.search(line, shown, re.M), shown)
    iso, floppy = host.iso("cd.iso", b"CD IMAGE"), host.file("a.vfd", b"FLOPPY  " * 184320)
    os.mkfifo(host.path("fifo"))
    host.do("vm", "set", "pc", "--dvd", "none", "--dvd", iso, "--floppy", floppy + ",read-only", "--boot", "floppy,disk",
            "--com2", "pipe:" + host.path("fifo"), "--no-graphics", "--cmdline", "")
    host.do("vm", "start", "pc", "--boot-menu")
    with open(host.show("pc")["log"]) as file:
        line = file.readline()
    for part in ("boot floppy+disk menu True graphics False uuid " + vm["uuid"], "dvds empty", "dvds b'CD IMAGE' ro",
                 "floppies b'FLOPPY  ' ro", "com2 pipe fifo"):
        check(part in line, f"{part!r} is not in {line!r}")
    host.do("vm", "stop", "--turn-off", "pc")
    for kind, found in (("socket", "socket"), ("file", "file")):
        host.do("vm", "set", "pc", "--com2", f"{kind}:{host.path('port.' + kind)}")
        for _ in range(2):  # what the first left behind is not in the way
            host.do("vm", "start", "pc")
            with open(host.show("pc")["log"]) as file:
                check(f"com2 {kind} {found}" in file.read(), f"no {kind}")
            host.do("vm", "stop", "--turn-off", "pc")
    host.do("vm", "set", "pc", "--no-dvds", "--no-floppies", "--com2", "none", "--graphics")
    vm = host.show("pc")
    equal((vm["dvds"], vm["floppies"], vm["com2"], vm["graphics"]), ([], [], {"kind": "none"}, True))
    host.restart()
    equal(host.show("pc")["graphics"], True)


# Media that come and go ---------------------------------------------------------------------------------------------

def paths(vm):
    return [drive["path"] for drive in vm["dvds"] + vm["floppies"]]


def media(host, name):
    """The paths in the drives, as the definition has them, shown and kept."""
    drives = paths(host.show(name))
    equal(paths(json.loads(host.definitions()["vm", name + ".json"])), drives, "drives in the file")
    return drives


def expect_media(host, name, *drives):
    """It is shown when it has been kept, so that the file has it then."""
    wait_until(lambda: paths(host.show(name)) == list(drives), f"{drives} in the drives of {name}")
    equal(media(host, name), list(drives))


@case
def media_come_and_go(host):
    one, two, floppy = host.iso("one.iso", b"FIRST CD"), host.iso("two.iso", b"SECONDCD"), \
        host.file("a.vfd", b"FLOPPY  " * 184320)
    host.do("vm", "create", "pc")
    # Off: only the definition changes, and the next start has it.
    host.do("vm", "insert", "pc", "dvd", "one.iso", cwd=host.root)
    host.do("vm", "insert", "pc", "floppy", floppy + ",read-only")
    equal(media(host, "pc"), [one, floppy])
    equal(host.show("pc")["floppies"], [{"path": floppy, "read_only": True, "uid": 0}])
    host.refuse(f"there is a medium in DVD drive 0 of pc, {one}: eject it first", "vm", "insert", "pc", "dvd", two)
    host.do("vm", "eject", "pc", "floppy")
    equal(host.show("pc")["floppies"], [{"path": None, "read_only": False, "uid": 0}])
    host.do("vm", "start", "pc")
    with open(host.show("pc")["log"]) as file:
        check("dvds b'FIRST CD' ro, floppies empty" in file.readline(), "the worker's drives")
    # Running.
    host.refuse("there is a medium in DVD drive 0", "vm", "insert", "pc", "dvd", two)
    host.do("vm", "eject", "pc", "dvd")
    equal(media(host, "pc"), [None, None])
    host.do("vm", "eject", "pc", "dvd")
    host.do("vm", "insert", "pc", "dvd", two)
    shown = host.do("vm", "insert", "pc", "floppy", floppy, "--json").json()
    equal((shown["dvds"][0]["path"], shown["floppies"][0]["path"]), (two, floppy))
    equal(media(host, "pc"), [two, floppy])
    check(re.search(rf"^IDE 1:0: +DVD drive: {two} ", host.do("vm", "show", "pc").out, re.M), "vm show")
    with open(host.show("pc")["log"]) as file:
        seen = file.read()
    for line in ("inserted dvd 0 b'SECONDCD' ro read_only False", "inserted floppy 0 b'FLOPPY  ' rw read_only False"):
        check(line in seen, f"{line!r} is not in {seen!r}")
    host.do("vm", "pause", "pc")
    host.do("vm", "eject", "pc", "floppy")
    host.do("vm", "insert", "pc", "floppy", floppy + ",read-only")
    with open(host.show("pc")["log"]) as file:
        check("inserted floppy 0 b'FLOPPY  ' ro read_only True" in file.read(), "a write-protected floppy disk")
    # The guest's own ejection, also while loamd is away.
    os.kill(host.worker("pc"), signal.SIGUSR1)
    expect_media(host, "pc", None, floppy)
    host.do("vm", "insert", "pc", "dvd", one)
    host.stop(signal.SIGKILL)
    os.kill(host.worker("pc"), signal.SIGUSR1)
    host.start()
    expect_media(host, "pc", None, floppy)
    host.do("vm", "stop", "--turn-off", "pc")
    host.restart()
    equal(media(host, "pc"), [None, floppy])


@case
def media_that_cannot_be_used(host):
    good, cut = host.iso("good.iso"), host.iso("cut.iso", volume=21)
    odd, large = host.file("odd.iso", b"x" * 2049), host.file("large.vfd", b"x" * 2949121)
    empty, secret = host.file("empty", b""), host.iso("secret.iso", user=BOB)
    os.chmod(secret, 0o600)
    host.do("vm", "create", "off")
    host.do("vm", "create", "pc", "--dvd", "none", "--dvd", "none")
    host.do("vm", "start", "pc")
    for file, drive, pattern in ((cut, "dvd", "cut.iso: truncated: the file has 40960 bytes.*copy it again"),
                                 (odd, "dvd", "odd.iso: no whole disc image"), (empty, "dvd", "empty: is empty"),
                                 (empty, "floppy", "empty: is empty"), (host.root, "floppy", "directory"),
                                 (large, "floppy", "large.vfd: with 2949121 bytes too large for.*accepted are"),
                                 (host.path("none"), "dvd", "none: there is no such file")):
        for name in ("off", "pc"):
            host.refuse(pattern, "vm", "insert", name, drive, file)
        host.refuse(pattern, "vm", "create", "new", f"--{drive}", file)
        host.refuse(pattern, "vm", "set", "off", f"--{drive}", file)
    host.refuse("pc has no floppy drive 1: it has 1", "vm", "insert", "pc", "floppy", large, "--drive", "1")
    host.refuse("off has no DVD drive 1: it has 1", "vm", "eject", "off", "dvd", "--drive", "1")
    host.refuse("no virtual machine cp: did you mean pc", "vm", "eject", "cp", "dvd")
    for words in (["pc"], ["pc", "dvd"], ["pc", "disk", good], ["pc", "dvd", good, "more"]):
        equal(host.loam("vm", "insert", *words).status, 2, f"usage of vm insert {words}")
    host.refuse("--drive", "vm", "eject", "pc", "dvd", "--drive", "2")
    for arguments in ({"drive": "disk"}, {"drive": "dvd", "number": -1}, {"drive": "dvd", "path": "relative"},
                      {"drive": "dvd", "path": good, "more": 1}):
        request = {"version": 1, "request": "vm-insert", "arguments": {"name": "pc", "path": good, **arguments}}
        equal(host.raw(json.dumps(request).encode())[0]["error"]["code"], "value", f"code of {arguments}")
    host.do("vm", "insert", "pc", "dvd", good, "--drive", "1")
    equal(media(host, "pc"), [None, good, None])
    # What was good when it was named, and is not any more when the machine starts.
    host.do("vm", "insert", "off", "dvd", good)
    os.truncate(good, 17 * 2048)
    host.refuse("good.iso: truncated", "vm", "start", "off")
    # With the asker's rights, and all of the machine's files open to him: it may start from what he puts in.
    disk, own = host.disk("bobs.vhd", BOB), host.iso("own.iso", user=ALICE)
    os.chmod(disk, 0o600)
    host.refuse("may not read it", "vm", "insert", "pc", "dvd", secret, user=ALICE, groups=[GROUP])
    host.do("vm", "create", "bobs", "--disk", disk, user=BOB, groups=[GROUP])
    host.refuse("bobs.vhd: .* may not", "vm", "insert", "bobs", "dvd", own, user=ALICE, groups=[GROUP])
    host.do("vm", "insert", "bobs", "dvd", secret, user=BOB, groups=[GROUP])
    equal(host.show("bobs")["dvds"], [{"path": secret, "read_only": False, "uid": BOB}])
    host.do("vm", "eject", "bobs", "dvd", user=ALICE, groups=[GROUP])


@case
def media_that_the_worker_refuses(host):
    iso = host.iso("cd.iso")
    host.do("vm", "create", "locked", "--cmdline", "locked", "--dvd", iso)
    host.do("vm", "create", "blind", "--cmdline", "unreadable")
    host.do("vm", "create", "gone", "--cmdline", "forgetful")
    host.do("vm", "create", "slow", "--cmdline", "slow=2")
    for name in ("locked", "blind", "gone"):
        host.do("vm", "start", name)
    host.refuse("the guest has locked the tray: it has been asked to eject", "vm", "eject", "locked", "dvd")
    host.do("vm", "eject", "locked", "dvd", "--force")
    equal(media(host, "locked"), [None, None])
    host.refuse("cd.iso: the drive cannot read it", "vm", "insert", "blind", "dvd", iso)
    host.refuse("gone: its worker does not answer", "vm", "insert", "gone", "dvd", iso)
    host.expect_state("gone", "Off")
    equal(media(host, "gone"), [None, None])
    starting = subprocess.Popen([LOAM, "vm", "start", "slow", "--socket", host.path("run/loamd.sock")])
    wait_until(lambda: host.state("slow") == "Starting" and host.show("slow")["process"], "its worker")
    host.do("vm", "insert", "slow", "dvd", iso)  # answered when there is somebody to do it
    equal(starting.wait(LIMIT), 0)
    equal(media(host, "slow"), [iso, None])


@case
def medium_that_is_in_no_definition_is_ejected(host):
    """loamd ends between the worker's answer and what it would have made of it: here by a definition changed behind its
    back."""
    iso = host.iso("cd.iso")
    host.do("vm", "create", "pc", "--dvd", iso)
    host.do("vm", "start", "pc")
    host.stop(signal.SIGKILL)
    path = host.path("state/vm/pc.json")
    with open(path) as file:
        definition = json.load(file)
    definition["dvds"][0]["path"] = None
    with open(path, "w") as file:
        json.dump(definition, file)
    host.start()
    wait_until(lambda: "is not in its definition, and is ejected" in host.messages(), "the ejection")
    host.do("vm", "insert", "pc", "dvd", iso)
    equal(media(host, "pc"), [iso, None])


@case
def worker_gets_its_files(host):
    initrd = host.file("initrd", b"INITRD  more")
    raw = host.file("raw.img", b"RAWDISK!" + b"\0" * 4088)
    other = host.file("other.img", b"OTHER   " + b"\0" * 4088)
    host.create("a", "", "--initrd", initrd, "--disk", raw + ",raw", "--disk", other + ",read-only,raw", "--nic",
                "default")
    host.do("vm", "start", "a")
    with open(host.show("a")["log"]) as file:
        line = file.readline()
    for part in ("kernel b'KERNEL  '", "initrd b'INITRD  '", "disk b'RAWDISK!' rw", "disk b'OTHER   ' ro", "status 0",
                 "uid 0", "then uid 65534 gid 65534"):
        check(part in line, f"{part!r} is not in {line!r}")
    status = open(f"/proc/{host.worker('a')}/status").read()
    check("NoNewPrivs" in status, "no status of the worker")
    # Standard input, output and error, and what it was given: nothing of loamd's.
    links = [os.readlink(f"/proc/{host.worker('a')}/fd/{fd}") for fd in os.listdir(f"/proc/{host.worker('a')}/fd")]
    check(not any("loamd" in link for link in links), f"the worker has inherited {links}")
    equal(len([link for link in links if link.startswith(host.root) and not link.endswith((".log", ".log.1",
                                                                                           ".output"))]), 4, links)
    log = os.stat(host.show("a")["log"])
    equal((log.st_gid, stat.S_IMODE(log.st_mode)), (GROUP, 0o640), "log's group and mode")


@case
def differencing_disks_come_with_their_parents(host):
    base, middle, child, other = (host.path(f"{name}.vhd") for name in ("base", "middle", "child", "other"))
    host.do("disk", "create", base, "--size", "8M", "--format", "fixed")
    host.do("disk", "create", middle, "--parent", base)
    host.do("disk", "create", child, "--parent", middle)
    host.do("disk", "create", other, "--parent", middle)
    host.create("a", "", "--disk", child)
    host.create("b", "", "--disk", other)
    host.create("c", "", "--disk", base)
    host.do("vm", "start", "a")
    with open(host.show("a")["log"]) as file:
        line = file.readline()
    for part in ("disk b'conectix' rw", "parent middle.vhd b'conectix' ro",
                 "parent base.vhd b'" + "\\x00" * 8 + "' ro"):
        check(part in line, f"{part!r} is not in {line!r}")
    host.do("vm", "start", "b")  # several children read one parent
    host.refuse("base.vhd: in use by virtual machine [ab]: stop it first", "vm", "start", "c")
    host.do("vm", "stop", "a")
    host.do("vm", "stop", "b")

    os.utime(middle, (1, 1))
    host.refuse("child.vhd: its parent .*middle.vhd was changed after it was made; .* loam disk reconnect .*child.vhd",
                "vm", "start", "a")
    host.do("disk", "reconnect", child)
    host.do("vm", "start", "a")
    host.do("vm", "stop", "a")
    os.rename(base, host.path("moved.vhd"))
    host.refuse("child.vhd: its parent .*middle.vhd: its parent base.vhd is not there; .* --parent PARENT .*middle.vhd",
                "vm", "start", "a")
    host.do("disk", "reconnect", middle, "--parent", host.path("moved.vhd"))
    host.do("disk", "reconnect", child)
    host.do("vm", "start", "a")


def fetching(host, name):
    """The number of the loam-fetch of a virtual machine's first disk; None: there is none."""
    try:
        with open(host.path("run", "vm", f"{name}@fetch0.json")) as file:
            return json.load(file)["pid"]
    except FileNotFoundError:
        return None


def log_of(host, name):
    with open(host.show(name)["log"], newline="") as file:
        return file.read()


@case
def parents_at_urls_are_fetched_by_a_process_of_their_own(host):
    child, middle = host.path("child.vhdx"), host.path("middle.vhdx")
    with RangeServer(b"RAWDISK " + bytes(8 * MIB - 8)) as server:
        host.do("disk", "create", middle, "--parent", server.url, "--parent-raw")
        host.do("disk", "create", child, "--parent", middle)
        made = host.create("a", "", "--disk", child)
        check(f"child.vhdx fetches what it lacks from {server.url}" in made.out, f"created with {made.out!r}")
        equal(host.show("a")["disks"][0]["source"], server.url, "source in the definition")
        host.do("vm", "start", "a")
        line = log_of(host, "a").splitlines()[0]
        for part in ("parent middle.vhdx b'vhdxfile' ro",
                     f"source {server.url} raw True of {8 * MIB} \"first\" {8 * MIB} b'RAWDISK '"):
            check(part in line, f"{part!r} is not in {line!r}")
        check(f"fetched from {server.url}" in host.do("vm", "show", "a").out, "the source is not shown")

        # One that is killed is started again, also if loamd was away.
        first = fetching(host, "a")
        check(alive(first), "there is no loam-fetch")
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: f"source 0 {8 * MIB} b'RAWDISK '" in log_of(host, "a"), "another loam-fetch")
        second = fetching(host, "a")
        host.restart()
        host.expect_state("a", "Running")
        equal(fetching(host, "a"), second, "loam-fetch after a restart of loamd")
        host.stop()
        os.kill(second, signal.SIGKILL)
        host.start()
        wait_until(lambda: log_of(host, "a").count(f"source 0 {8 * MIB} b'RAWDISK '") == 2, "a third loam-fetch")
        third = fetching(host, "a")
        host.do("vm", "stop", "a")
        wait_until(lambda: not alive(third), "the end of loam-fetch")
        equal(fetching(host, "a"), None, "record of loam-fetch")


@case
def source_without_answer_is_shown(host):
    disk = host.path("d.vhd")
    with RangeServer(bytes(8 * MIB)) as server:
        host.do("disk", "create", disk, "--parent", server.url, "--parent-raw")
        host.create("a", "no-answer", "--disk", disk)
        host.do("vm", "start", "a")
        host.expect_state("a", "Paused")
        vm = host.show("a")
        problem = f"{server.url}: Connection refused"
        equal((vm["reason"], vm["path"], vm["detail"]), ("no-answer", disk, problem))
        shown = host.do("vm", "show", "a").out
        for text in (f"Paused (no-answer: {problem}, {disk})", "the first 3 MiB of 8 MiB; 5 MiB fetched since the start"):
            check(text in shown, f"{text!r} is not in {shown!r}")
        check("a disk's source does not answer" in host.do("vm", "list").out, "vm list does not say why")


@case
def another_url_than_recorded_is_refused(host):
    disk, other, local = host.path("disk.vhdx"), host.path("other.vhdx"), host.path("local.vhdx")
    with RangeServer(bytes(8 * MIB)) as first, RangeServer(bytes(8 * MIB)) as second:
        host.do("disk", "create", disk, "--parent", first.url, "--parent-raw")
        host.do("disk", "create", other, "--parent", second.url, "--parent-raw")
        host.do("disk", "create", local, "--size", "8M")
        host.create("a", "", "--disk", disk)
        host.do("vm", "start", "a")
        host.do("vm", "stop", "a")
        kept = host.path("kept.vhdx")
        os.rename(disk, kept)
        os.rename(other, disk)
        again = "if that is right, attach it again: loam vm set a --disk"
        host.refuse(f"disk.vhdx: its parent is at {second.url}, and was at {first.url} when it was attached; {again}",
                    "vm", "start", "a")
        host.do("vm", "set", "a", "--memory", "32M")  # is no consent
        host.refuse(again, "vm", "start", "a")
        shutil.copy(local, disk)
        host.refuse(f"disk.vhdx: its parent is a file now, and was at {first.url}", "vm", "start", "a")
        host.create("b", "", "--disk", local)
        os.rename(kept, local)
        host.refuse(f"local.vhdx: its parent is at {first.url}, and was a file when", "vm", "start", "b")
        accepted = host.do("vm", "set", "b", "--disk", local)
        check(f"local.vhdx fetches what it lacks from {first.url}" in accepted.out, f"set with {accepted.out!r}")
        host.do("vm", "start", "b")
        host.do("vm", "stop", "b")


@case
def parents_are_opened_with_the_users_rights(host):
    base, child = host.path("base.vhd"), host.path("child.vhd")
    host.do("disk", "create", base, "--size", "8M")
    host.do("disk", "create", child, "--parent", base)
    for path in (base, child, host.kernel):
        os.chown(path, ALICE, ALICE)
    host.do("vm", "create", "hers", "--kernel", host.kernel, "--disk", child, user=ALICE, groups=(GROUP,))
    os.chown(base, 0, 0)
    os.chmod(base, 0o600)
    host.refuse("child.vhd: its parent .*base.vhd: no permission to read it", "vm", "start", "hers", user=ALICE,
                groups=(GROUP,))
    host.refuse("no permission to read it", "vm", "start", "hers")  # root is no help: the disk is hers
    os.chmod(base, 0o644)
    host.do("vm", "start", "hers", user=ALICE, groups=(GROUP,))


@case
def block_device_is_exclusive(host):
    """A loop device, where the machine has any."""
    image = host.file("image", bytes(MIB))
    made = subprocess.run(["losetup", "--show", "--find", image], capture_output=True, text=True)
    if made.returncode != 0:
        return
    device = made.stdout.strip()
    try:
        host.create("a", "", "--disk", device + ",raw")
        holder = os.open(device, os.O_RDWR | os.O_EXCL)  # as a mounted file system has it
        host.refuse(f"{device}: is a block device that the host uses itself: unmount it", "vm", "start", "a")
        os.close(holder)
        host.do("vm", "start", "a")
        try:
            os.close(os.open(device, os.O_RDWR | os.O_EXCL))
            raise Failure("the device can be mounted while a virtual machine has it")
        except OSError as problem:
            equal(problem.errno, errno.EBUSY)
        host.do("vm", "stop", "a")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@case
def worker_that_does_not_start(host):
    host.create("refusing", "refuse")
    host.refuse("cannot be started: needs 1024 MiB of memory, and the host has 7 MiB", "vm", "start", "refusing")
    vm = host.show("refusing")
    equal((vm["state"], vm["reason"]), ("Off", "start-failed"))
    host.create("silent", "silent-end")
    host.refuse("ended with status 9 and without saying why", "vm", "start", "silent")
    host.do("vm", "set", "silent", "--cmdline", "")
    host.do("vm", "start", "silent")
    equal(host.state("silent"), "Running")


@case
def worker_program_is_missing(host):
    host.options["worker"] = host.path("no-such-program")
    host.restart()
    host.create("a")
    host.refuse("no-such-program cannot be started: No such file", "vm", "start", "a")


@case
def real_worker_refuses_without_hypervisor(host):
    if not os.path.exists(REAL_WORKER) or os.path.exists("/dev/mshv"):
        return
    host.options["worker"] = REAL_WORKER
    host.restart()
    host.create("a", "console=ttyS0", "--disk", host.disk("d.vhd"), "--nic", "default")
    host.refuse("cannot be started: /dev/mshv: cannot be opened", "vm", "start", "a")
    host.do("vm", "set", "a", "--memory", "1T")
    host.refuse("cannot be started: needs 1048576 MiB of memory, and the host has", "vm", "start", "a")


@case
def worker_that_dies(host):
    host.create("a")
    host.do("vm", "start", "a")
    os.kill(host.worker("a"), signal.SIGKILL)
    host.expect_state("a", "Off")
    vm = host.show("a")
    equal((vm["reason"], vm["detail"]), ("killed", "the worker was killed by signal 9 (Killed)"))
    check("killed by signal 9" in host.do("vm", "list").out, "vm list does not say why")
    host.do("vm", "start", "a")
    equal(host.state("a"), "Running")


@case
def short_life(host):
    host.create("a", "short")
    for _ in range(5):
        host.do("vm", "start", "a")
        host.expect_state("a", "Off")
        equal(host.show("a")["reason"], "power-off")


@case
def stop_waits_and_gives_up(host):
    host.create("slow", "delay=1")
    host.do("vm", "start", "slow")
    begin = time.monotonic()
    host.do("vm", "stop", "slow")
    check(time.monotonic() - begin >= 1, "vm stop did not wait")
    host.do("vm", "wait", "slow")
    host.refuse("slow is still Off after 1 s: see loam vm show slow", "vm", "wait", "slow", "--state", "Running",
                "--timeout", "1", status=4)
    host.create("stubborn", "ignore-button")
    host.do("vm", "start", "stubborn")
    host.refuse("stubborn is still Stopping after 1 s: turn it off with loam vm stop --turn-off stubborn", "vm", "stop",
                "stubborn", "--timeout", "1", status=4)
    equal(host.state("stubborn"), "Stopping")
    host.do("vm", "stop", "--turn-off", "stubborn")
    host.create("deaf", "deaf")
    host.do("vm", "start", "deaf")
    host.refuse("deaf: the guest does not listen to the power button", "vm", "stop", "deaf")


@case
def stop_interrupted_leaves_it_stopping(host):
    host.create("a", "ignore-button")
    host.do("vm", "start", "a")
    terminal = Terminal(host, "vm", "stop", "a").expect(b"a is Stopping; Ctrl-C leaves it so")
    terminal.type(b"\x03")
    equal(terminal.end(), -signal.SIGINT)
    equal(host.state("a"), "Stopping")


@case
def stubborn_worker_is_killed(host):
    host.create("a", "stubborn")
    host.do("vm", "start", "a")
    host.do("vm", "stop", "--turn-off", "a")
    killed = ("killed", "turned off, and its worker killed, since it had not ended within 10 s")
    vm = host.show("a")
    equal((vm["reason"], vm["detail"]), killed)
    # The same when it is another loamd's child, and whatever the worker has said.
    host.do("vm", "set", "a", "--cmdline", "stuck")
    host.do("vm", "start", "a")
    host.restart(signal.SIGKILL)
    host.expect_state("a", "Running")
    host.do("vm", "stop", "--turn-off", "a")
    vm = host.show("a")
    equal((vm["reason"], vm["detail"]), killed)


@case
def mute_worker_stops_nobody_else(host):
    host.create("mute", "mute")
    host.create("other")
    host.do("vm", "start", "mute")
    pausing = subprocess.Popen([LOAM, "vm", "pause", "--socket", host.path("run/loamd.sock"), "mute"],
                               stderr=subprocess.PIPE, text=True)
    for _ in range(3):
        host.do("vm", "start", "other")
        host.do("vm", "stop", "other")
    pausing.kill()
    pausing.communicate()


@case
def no_space_is_shown(host):
    disk = host.disk("d.vhd")
    host.create("a", "no-space", "--disk", disk)
    host.do("vm", "start", "a")
    host.expect_state("a", "Paused")
    vm = host.show("a")
    equal((vm["reason"], vm["path"]), ("no-space", disk))
    check(disk in host.do("vm", "show", "a").out, "path in vm show")
    check("no space" in host.do("vm", "list").out, "vm list does not say why")
    host.do("vm", "resume", "a")
    equal(host.state("a"), "Running")


@case
def disk_in_use_names_the_holder(host):
    disk = host.disk("d.vhd")
    host.create("first", "", "--disk", disk)
    host.create("second", "", "--disk", disk)
    host.create("reader", "", "--disk", disk + ",read-only")
    host.do("vm", "start", "first")
    host.refuse("d.vhd: in use by virtual machine first: stop it first", "vm", "start", "second")
    host.refuse("d.vhd: in use by virtual machine first", "vm", "start", "reader")
    host.refuse("d.vhd: in use by virtual machine first", "disk", "check", disk)
    check("by virtual machine first" in host.do("disk", "info", disk).out, "disk info")
    host.do("vm", "stop", "first")
    # What would be changed, or is a parent of that, has to be unused; so it is named too.
    child = host.path("child.vhd")
    host.do("disk", "create", child, "--parent", disk)
    host.do("vm", "start", "reader")
    for words in (["compact", disk], ["resize", disk, "16M"], ["merge", child]):
        host.refuse("d.vhd: in use by virtual machine reader: stop it first", "disk", *words)
    host.do("disk", "chain", child)
    host.do("vm", "stop", "reader")
    with open(disk) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        host.refuse(f"in use by process {os.getpid()}", "vm", "start", "second")
    host.do("vm", "start", "second")


# Restarts of loamd ----------------------------------------------------------------------------------------------------

@case
def restart_takes_over(host):
    for number in (signal.SIGTERM, signal.SIGKILL):
        name = f"vm-{number}"
        host.create(name, "delay=0.2", "--nic", "default")
        host.do("vm", "start", name)
        before, switch = host.show(name), host.do("switch", "show", "default", "--json").json()
        host.restart(number)
        host.expect_state(name, "Running")
        after = host.show(name)
        equal(after["process"], before["process"], "worker")
        wait_until(lambda: host.do("switch", "show", "default", "--json").json()["process"] == switch["process"],
                   "taking over of the switch")
        host.do("vm", "pause", name)
        host.restart(number)
        host.expect_state(name, "Paused")
        host.do("vm", "resume", name)
        host.do("vm", "stop", name)
        equal((host.state(name), host.show(name)["reason"]), ("Off", "power-off"))


@case
def worker_ends_while_loamd_is_away(host):
    host.create("off", "delay=0.5")
    host.create("killed")
    for name in ("off", "killed"):
        host.do("vm", "start", name)
    off, killed = host.worker("off"), host.worker("killed")
    host.raw(b'{"version":1,"request":"vm-stop","arguments":{"name":"off"}}')
    host.stop(signal.SIGKILL)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not alive(off) and not alive(killed), "the workers' ends")
    host.start()
    vm = host.show("off")
    equal((vm["state"], vm["reason"]), ("Off", "power-off"))
    unknown = ("Off", "unknown", "the worker ended without a word, as one does that is killed or crashes: dmesg may "
                                 "say more")

    def end():
        vm = host.show("killed")
        return vm["state"], vm["reason"], vm["detail"]
    equal(end(), unknown)
    # One that was taken over and dies: its status is another process's to see, so only that it has died is known.
    host.do("vm", "start", "killed")
    host.restart(signal.SIGKILL)
    host.expect_state("killed", "Running")
    os.kill(host.worker("killed"), signal.SIGKILL)
    host.expect_state("killed", "Off")
    equal(end(), unknown)


@case
def ends_are_remembered(host):
    """Why a virtual machine is Off is known to the next loamd too."""
    def ends():
        return {vm["name"]: (vm["state"], vm["reason"], vm["detail"])
                for vm in host.do("vm", "list", "--json").json()["vms"]}
    host.create("killed")
    host.create("missing", "", "--initrd", host.file("initrd", b"x"))
    for name in ("killed", "missing"):
        host.do("vm", "start", name)
    os.kill(host.worker("killed"), signal.SIGKILL)
    host.expect_state("killed", "Off")
    host.do("vm", "stop", "missing")
    os.unlink(host.path("initrd"))
    host.refuse("initrd: there is no such file", "vm", "start", "missing")
    before = ends()
    equal(before["killed"], ("Off", "killed", "the worker was killed by signal 9 (Killed)"))
    equal(before["missing"][:2], ("Off", "start-failed"))
    host.restart(signal.SIGKILL)
    equal(ends(), before)
    # And belongs to it alone, not to another of the same name.
    host.do("vm", "remove", "killed")
    host.create("killed")
    host.restart()
    equal(ends()["killed"], ("Off", None, None))


@case
def reused_process_number_is_not_taken_over(host):
    host.create("a")
    host.do("vm", "start", "a")
    record = host.path("run/vm/a.json")
    with open(record) as file:
        content = json.load(file)
    worker = content["pid"]
    host.stop(signal.SIGKILL)
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        content["pid"] = bystander.pid
        with open(record, "w") as file:
            json.dump(content, file)
        host.start()
        equal(host.state("a"), "Off")
        equal(bystander.poll(), None, "the bystander's status")
    finally:
        bystander.kill()
        bystander.wait()
        os.kill(worker, signal.SIGKILL)


@case
def kill_9_at_random_moments(host):
    """Whatever moment loamd is killed at: definitions are whole, and a worker is known or gone."""
    seed = random.randrange(1 << 32)
    generator = random.Random(seed)
    host.create("steady")
    host.do("vm", "start", "steady")
    steady = host.worker("steady")
    for turn in range(25):
        def work():
            for number in range(100):
                name = f"v{turn}-{number}"
                if host.loam("vm", "create", name, "--kernel", host.kernel, "--nic", "default").status:
                    return
                if host.loam("vm", "start", name).status or host.loam("vm", "remove", name).status not in (0, 1):
                    return
                host.loam("vm", "stop", "--turn-off", name)
                host.loam("vm", "remove", name)
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(generator.uniform(0.0, 0.25))
        host.stop(signal.SIGKILL)
        thread.join()
        host.start()
        for name in host.do("vm", "list", "--names").out.split():
            host.show(name)
        for (kind, name), text in host.definitions().items():
            check(name.endswith(".json"), f"seed {seed}, turn {turn}: {name} is left")
            json.loads(text)
        equal(host.worker("steady"), steady, f"seed {seed}, turn {turn}: worker of steady")
        check("cannot be used" not in host.messages(), f"seed {seed}, turn {turn}: a definition is broken")
    # Every worker that lives is one that loamd has.
    mine = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and runs_worker_of(pid, host)]
    known = {host.worker(vm["name"]) for vm in host.do("vm", "list", "--json").json()["vms"] if vm["state"] != "Off"}
    equal(set(mine), known, f"seed {seed}: workers")


def runs_worker_of(pid, host):
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        return any(link.startswith(host.path("log")) for link in links) and alive(pid) and int(pid) != host.process.pid
    except OSError:
        return False


@case
def second_loamd_is_refused(host):
    arguments = [LOAMD, "--state", host.path("state"), "--run", host.path("run"), "--log", host.path("log"),
                 f"--group={GROUP}", "--worker-user=nobody", "--switch-user=nobody"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=LIMIT)
    equal(done.returncode, 1, "status")
    check(f"runs already for {host.path('run')} (process {host.process.pid})" in done.stderr, done.stderr)
    host.do("vm", "list")


@case
def damaged_definition_is_left_alone(host):
    host.create("good")
    host.create("bad")
    host.stop()
    path = host.path("state/vm/bad.json")
    with open(path, "w") as file:
        file.write('{"version": 1, "name": "bad", "memory": 12')
    with open(host.path("state/vm/good.json.new"), "w") as file:
        file.write("half")
    host.start()
    equal(host.do("vm", "list", "--names").out, "good\n")
    check("the definition of bad cannot be used" in host.messages(), "no word about it")
    host.refuse("there is a virtual machine bad already", "vm", "create", "bad", "--kernel", host.kernel)
    check(os.path.exists(path), "it has been removed")
    check(not os.path.exists(host.path("state/vm/good.json.new")), "what a crash had left is still there")


# Rights -------------------------------------------------------------------------------------------------------------

ALICES = {"user": ALICE, "groups": [GROUP]}
BOBS = {"user": BOB, "groups": [GROUP]}


@case
def only_the_group_may_manage(host):
    host.do("vm", "list", **ALICES)
    host.refuse("may not manage virtual machines.*only root and members of the group loam", "vm", "list", user=EVE,
                status=3)
    # Also by way of a socket that somebody has left open to all.
    os.chmod(host.path("run/loamd.sock"), 0o666)
    host.refuse("user 40003 may not manage virtual machines", "vm", "list", user=EVE, status=3)


@case
def files_are_opened_with_the_askers_rights(host):
    disk = host.disk("alice/d.vhd", ALICE)
    os.chmod(disk, 0o600)
    kernel = host.file("alice/kernel", host.kernel_bytes(), ALICE, 0o600)
    secret = host.disk("secret/root.vhd")
    os.chmod(secret, 0o600)
    os.chmod(host.path("secret"), 0o700)
    readable = host.disk("readable.vhd")
    os.chmod(readable, 0o644)
    device = host.path("device")
    os.mknod(device, 0o600 | stat.S_IFBLK, os.makedev(7, 250))

    host.do("vm", "create", "hers", "--kernel", kernel, "--disk", disk, **ALICES)
    equal(host.show("hers")["disks"][0]["uid"], ALICE)
    refused = [
        (BOBS, "alice/d.vhd: user 40002 may not read and write it", ["--kernel", host.kernel, "--disk", disk]),
        (BOBS, "alice/kernel: user 40002 may not read it", ["--kernel", kernel]),
        (ALICES, "user 40001 may not search the directory .*/secret", ["--kernel", host.kernel, "--disk", secret]),
        (ALICES, "readable.vhd: user 40001 may not write it", ["--kernel", host.kernel, "--disk", readable]),
        (ALICES, "device: user 40001 may not read and write it", ["--kernel", host.kernel, "--disk", device + ",raw"]),
    ]
    for who, pattern, arguments in refused:
        host.refuse(pattern, "vm", "create", "new", *arguments, **who)
    host.do("vm", "create", "reads", "--kernel", host.kernel, "--disk", readable + ",read-only", **ALICES)

    # Any member may start and stop it; the files are opened with the rights of whose they are.
    host.do("vm", "start", "hers", **BOBS)
    host.do("vm", "stop", "hers", **BOBS)
    # But not change it so that he gets at its disk.
    host.refuse("alice/kernel: user 40002 may not read it|alice/d.vhd: user 40002 may not", "vm", "set", "hers",
                "--cmdline", "init=/bin/sh", **BOBS)
    host.refuse("alice/d.vhd: user 40002 may not", "vm", "set", "hers", "--kernel", host.kernel, **BOBS)
    # Root may, and the files that he has not named stay hers.
    host.do("vm", "set", "hers", "--memory", "128M", "--kernel", host.kernel)
    vm = host.show("hers")
    equal((vm["disks"][0]["uid"], vm["kernel"]["uid"]), (ALICE, 0))


@case
def rights_are_checked_again_at_each_start(host):
    disk = host.disk("alice/d.vhd", ALICE)
    other = host.disk("other.vhd")
    os.chmod(other, 0o600)
    host.do("vm", "create", "hers", "--kernel", host.kernel, "--disk", disk, **ALICES)
    host.do("vm", "start", "hers", **ALICES)
    host.do("vm", "stop", "hers", **ALICES)
    os.chown(disk, 0, 0)
    os.chmod(disk, 0o644)
    for who in (ALICES, BOBS, {}):
        host.refuse("alice/d.vhd: user 40001 may not write it", "vm", "start", "hers", **who)
    os.unlink(disk)
    host.refuse("alice/d.vhd: there is no such file", "vm", "start", "hers", **ALICES)
    os.symlink(other, disk)
    host.refuse("alice/d.vhd: user 40001 may not read and write it", "vm", "start", "hers", **ALICES)
    host.refuse("alice/d.vhd: user 40001 may not read and write it", "vm", "start", "hers")
    os.unlink(disk)
    os.mkfifo(disk)
    os.chown(disk, ALICE, ALICE)
    host.refuse("alice/d.vhd: neither a file", "vm", "start", "hers", **ALICES)
    equal(host.state("hers"), "Off")


@case
def supplementary_groups_count(host):
    disk = host.disk("d.vhd")
    os.chown(disk, 0, 45999)
    os.chmod(disk, 0o660)
    host.refuse("may not read and write", "vm", "create", "a", "--kernel", host.kernel, "--disk", disk, **ALICES)
    host.do("vm", "create", "a", "--kernel", host.kernel, "--disk", disk, user=ALICE, groups=[GROUP, 45999])
    host.do("vm", "start", "a", user=ALICE, groups=[GROUP, 45999])
    host.do("vm", "stop", "a")
    # Started by another, the account database says which groups she has; it does not know her.
    host.refuse("may not read and write", "vm", "start", "a", **BOBS)


@case
def shutdown_is_roots(host):
    request = b'{"version":1,"request":"host-shutdown"}\n'
    script = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f=s.makefile('rb');"
              "f.readline(); s.sendall(sys.argv[2].encode()); print(f.readline().decode())")
    done = subprocess.run([PYTHON, "-c", script, host.path("run/loamd.sock"), request.decode()], user=ALICE,
                          group=ALICE, extra_groups=[GROUP], capture_output=True, text=True, timeout=LIMIT)
    check("only root may" in done.stdout, done.stdout + done.stderr)


class FakeDirectory(threading.Thread):
    """A directory service that loamd has to ask for accounts: C libraries ask nscd first. It answers that everybody is
    nobody, and notes which processes ask."""

    def __init__(self, host):
        super().__init__(daemon=True)
        os.mkdir(host.path("nscd"))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(host.path("nscd/socket"))
        self.listener.listen()
        self.asked = []
        host.prefix = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /run && mkdir /run/nscd && "
                       "mount --bind \"$0\" /run/nscd && exec \"$@\"", host.path("nscd")]

    def run(self):
        while True:
            connection = self.listener.accept()[0]
            with connection:
                pid = struct.unpack("=3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
                kind = struct.unpack("=3i", connection.recv(12))[1]
                self.asked.append(pid)
                if kind < 2:  # GETPWBYNAME, GETPWBYUID
                    connection.recv(1024)
                    connection.sendall(struct.pack("=9i", 2, 1, 7, 2, 65534, 65534, 1, 2, 2) + b"nobody\0x\0\0/\0/\0")


@case
def directory_services_are_not_waited_for(host):
    host.stop()
    directory = FakeDirectory(host)
    directory.start()
    host.start()
    check(host.process.pid in directory.asked, "loamd has asked for nobody at its start")
    directory.asked.clear()
    os.chmod(host.path("run/loamd.sock"), 0o666)
    host.refuse("user 40003 may not manage virtual machines", "vm", "list", user=EVE, status=3)
    kernel = host.file("kernel", host.kernel_bytes(), ALICE, 0o600)
    host.refuse("kernel: user 40002 may not read it", "vm", "create", "a", "--kernel", kernel, **BOBS)
    host.do("vm", "create", "a", "--kernel", kernel, **ALICES)
    host.do("vm", "start", "a", **BOBS)  # whose process has to ask for her groups
    console = subprocess.Popen([LOAM, "vm", "console", "a", "--socket", host.path("run/loamd.sock")], user=ALICE,
                               group=ALICE, extra_groups=[GROUP], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    equal(wait_until(lambda: host.show("a")["console"], "a holder of the console"),
          f"user {ALICE} (process {console.pid})")
    host.refuse(f"user {ALICE} .process {console.pid}. has it", "vm", "console", "a", **BOBS)
    console.kill()
    console.communicate()
    check(directory.asked and host.process.pid not in directory.asked,
          f"loamd is {host.process.pid}, and {directory.asked} have asked")


# Console --------------------------------------------------------------------------------------------------------------

@case
def console_is_a_terminal(host):
    host.create("a")
    host.do("vm", "start", "a")
    terminal = Terminal(host, "vm", "console", "a").expect(rb"\[console of a; Ctrl-\] leaves it\]")
    terminal.expect(rb"kernel b'KERNEL")  # what was written before is shown again
    wait_until(lambda: not termios.tcgetattr(terminal.fd)[3] & termios.ICANON, "raw mode")
    terminal.type(b"hello \x03\x04").expect(rb"HELLO \x03\x04")  # Ctrl-C and Ctrl-D are the guest's
    terminal.resize(50, 132)
    terminal.type(b"after").expect(rb"AFTER")
    check(re.fullmatch(r"root \(process \d+\)", host.show("a")["console"] or ""), host.show("a")["console"])
    host.refuse(r"the console of a: root \(process %d\) has it" % terminal.pid, "vm", "console", "a")
    terminal.type(b"last\x1dnot sent")
    equal(terminal.end(), 0)
    terminal_settings = [value for value in terminal.after[:4]]
    equal(terminal_settings, terminal.cooked[:4], "terminal settings afterwards")
    check(b"left the console of a, which goes on" in terminal.seen, terminal.seen[-200:])
    equal(host.state("a"), "Running")
    wait_until(lambda: host.show("a")["console"] is None, "the console's end")
    again = Terminal(host, "vm", "console", "a").expect(rb"HELLO")
    again.expect(rb"LAST")
    check(b"NOT SENT" not in again.seen, "what came after Ctrl-] was sent")
    again.type(b"\x1d")
    equal(again.end(), 0)


@case
def console_replays_64_kib(host):
    host.create("a", "output=200000")
    host.do("vm", "start", "a")
    done = Terminal(host, "vm", "console", "a")
    done.expect(rb"(x{79}\r?\n){800}")
    time.sleep(0.2)
    done.type(b"\x1d")
    equal(done.end(), 0)
    shown = done.seen.count(b"x")
    check(64000 <= shown <= 65536, f"{shown} characters instead of the last 64 KiB")


@case
def console_ends_with_the_machine(host):
    host.create("a")
    terminal = Terminal(host, "vm", "start", "--console", "a").expect(rb"kernel b'KERNEL")
    host.do("vm", "stop", "a")
    equal(terminal.end(), 0)
    check(b"the console of a has ended: it is Off, the guest switched itself off" in terminal.seen,
          terminal.seen[-200:])
    equal(terminal.after[:4], terminal.cooked[:4], "terminal settings afterwards")


@case
def console_outlives_loamd(host):
    host.create("a")
    host.do("vm", "start", "a")
    terminal = Terminal(host, "vm", "console", "a").expect(rb"KERNEL")
    host.stop(signal.SIGKILL)
    terminal.type(b"still there").expect(rb"STILL THERE")
    host.start()
    host.refuse(r"the console of a: root \(process %d\) has it" % terminal.pid, "vm", "console", "a")
    equal(host.show("a")["console"], "root (process %d)" % terminal.pid)
    os.kill(terminal.pid, signal.SIGTERM)
    equal(terminal.end(), 128 + signal.SIGTERM)
    equal(terminal.after[:4], terminal.cooked[:4], "terminal settings after SIGTERM")


@case
def console_without_a_terminal(host):
    host.create("a")
    host.do("vm", "start", "a")
    process = subprocess.Popen([LOAM, "vm", "console", "--socket", host.path("run/loamd.sock"), "a"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"typed \x1d by a program")
    process.stdin.close()
    seen = b""
    while b"TYPED \x1d BY A PROGRAM" not in seen:
        check(select.select([process.stdout], [], [], LIMIT)[0], f"only {seen!r}")
        seen += os.read(process.stdout.fileno(), 4096)
    host.do("vm", "stop", "--turn-off", "a")
    equal(process.wait(LIMIT), 0)
    process.stdout.close()
    process.stderr.close()


# Many at once ---------------------------------------------------------------------------------------------------------

@case
def two_clients_at_once(host):
    def race(*arguments):
        processes = [subprocess.Popen([LOAM, *arguments[:2], "--socket", host.path("run/loamd.sock"), *arguments[2:]],
                                      stderr=subprocess.PIPE, text=True) for _ in range(6)]
        return [(process.communicate(timeout=LIMIT)[1], process.returncode) for process in processes]
    for turn in range(5):
        results = race("vm", "create", f"v{turn}", "--kernel", host.kernel)
        equal(sorted(status for _, status in results), [0] + [1] * 5, "statuses of six creates")
        results = race("vm", "start", f"v{turn}")
        check(all(status == 0 or "is Running already" in text for text, status in results), f"six starts: {results}")
        results = race("vm", "remove", f"v{turn}")
        check(all(status == 1 for _, status in results), f"six removes of one that runs: {results}")
        results = race("vm", "stop", "--turn-off", f"v{turn}")
        check(all(status == 0 or "is Off already" in text for text, status in results), f"six turn-offs: {results}")
        results = race("vm", "remove", f"v{turn}")
        equal(sorted(status for _, status in results), [0] + [1] * 5, "statuses of six removes")


@case
def wait_sees_every_state(host):
    host.create("a", "slow=0.5")
    answers = {}

    def wait(state):
        line = json.dumps({"version": 1, "request": "vm-wait",
                           "arguments": {"name": "a", "states": [state], "timeout": LIMIT}}).encode()
        answers[state] = host.raw(line)[0]
    threads = [threading.Thread(target=wait, args=[state]) for state in ("Starting", "Running", "Stopping", "Paused")]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    host.do("vm", "start", "a")
    host.do("vm", "pause", "a")
    host.do("vm", "resume", "a")
    host.do("vm", "stop", "a")
    for thread in threads:
        thread.join()
    equal({state: answer["result"]["state"] for state, answer in answers.items()},
          {state: state for state in ("Starting", "Running", "Stopping", "Paused")})
    begin = time.monotonic()
    host.raw(b'{"version":1,"request":"vm-wait","arguments":{"name":"a","states":["Running"],"timeout":1}}')
    check(0.9 < time.monotonic() - begin < LIMIT, "a wait without end")


@case
def waiting_for_what_is_removed(host):
    host.create("a")
    answers = []
    line = b'{"version":1,"request":"vm-wait","arguments":{"name":"a","states":["Running"],"timeout":60}}'
    thread = threading.Thread(target=lambda: answers.append(host.raw(line)[0]))
    thread.start()
    time.sleep(0.3)
    host.do("vm", "remove", "a")
    thread.join()
    equal(answers[0]["error"]["code"], "not-found")


@case
def hostile_clients(host):
    wrong = [b"nonsense", b"[]", b"{}", b'{"version":2,"request":"vm-list"}', b'{"version":1,"request":"no"}',
             b'{"version":1,"request":5}', b'{"version":1,"request":"vm-list","arguments":[]}',
             b'{"version":1,"request":"vm-list","arguments":{"x":1}}', b'{"version":1,"request":"vm-start"}',
             b'{"version":1,"request":"vm-list","id":{}}', b'{"version":1,"request":"vm-list","more":1}',
             b'{"version":1,"request":"vm-create","arguments":{"name":"a","uid":0}}',
             b'{"version":1,"request":"vm-create","arguments":{"name":"a","kernel":{"path":"/x","uid":0}}}',
             b'{"version":1,"request":"vm-create","arguments":{"name":"a","memory":-1}}',
             b'{"version":1,"request":"vm-create","arguments":{"name":"a","memory":1e9}}',
             b'{"version":1,"request":"vm-create","arguments":{"name":"a","disks":"x"}}',
             b'{"version":1,"request":"vm-create","arguments":{"name":"a","kernel":{"path":"relative"}}}',
             b'{"version":1,"request":"vm-create","arguments":{"name":"a","kernel":{"path":"/a\\u001b[2J"}}}',
             b'{"version":1,"request":"vm-wait","arguments":{"name":"a","states":[7],"timeout":1}}',
             b'{"version":1,"request":"vm-wait","arguments":{"name":"a","states":["Off"],"timeout":99999999}}',
             b'{"a":1,"a":2}', b'"' + b"[" * 60000, b"[" * 60000, b"\xff\xfe\x00\x01"]
    for line in wrong:
        with host.connect() as connection, connection.makefile("rb") as stream:
            stream.readline()
            connection.sendall(line + b"\n")
            answer = json.loads(stream.readline())
            check(set(answer["error"]) == {"code", "message"}, f"{line[:80]}: {answer}")
    # Too long; and much that is never ended.
    with host.connect() as connection, connection.makefile("rb") as stream:
        stream.readline()
        try:
            connection.sendall(b"x" * 100000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        check(b"longer than 65536" in stream.readline(), "no word about the length")
        try:
            equal(stream.readline(), b"", "the connection's end")
        except ConnectionResetError:  # since not all was read that was sent
            pass
    idle = [host.connect() for _ in range(10)]
    for connection in idle:
        connection.sendall(b'{"version":1,')
    # One that asks and never reads, and one that asks and leaves.
    silent = host.connect()
    silent.settimeout(1)
    try:
        while True:
            silent.sendall(b'{"version":1,"request":"switch-list"}\n' * 100)
    except (TimeoutError, BrokenPipeError):
        pass
    for _ in range(50):
        with host.connect() as leaving:
            leaving.sendall(b'{"version":1,"request":"vm-list"}\n' * 10)
    begin = time.monotonic()
    host.do("vm", "list")
    check(time.monotonic() - begin < 5, "loamd is slow")
    for connection in idle + [silent]:
        connection.close()
    # A user's connections are limited, and root gets in all the same.
    script = ("import socket,sys,time\nl=[]\nfor i in range(40):\n s=socket.socket(socket.AF_UNIX);"
              "s.connect(sys.argv[1]); l.append(s)\n"
              "print('there', sum(b'busy' in s.recv(400) for s in l), flush=True)\ntime.sleep(60)")
    crowd = subprocess.Popen([PYTHON, "-c", script, host.path("run/loamd.sock")], user=ALICE, group=ALICE,
                             extra_groups=[GROUP], stdout=subprocess.PIPE, text=True)
    equal(crowd.stdout.readline(), "there 24\n", "refused connections")
    host.refuse("too many connections", "vm", "list", **ALICES)
    host.do("vm", "list")
    host.do("vm", "list", **BOBS)
    crowd.kill()
    crowd.communicate()


@case
def several_requests_on_one_connection(host):
    with host.connect() as connection, connection.makefile("rb") as stream:
        equal(json.loads(stream.readline()), {"hello": "loamd", "version": 1})
        connection.sendall(b"".join(b'{"version":1,"id":%d,"request":"vm-list"}\n' % i for i in range(200)))
        for i in range(200):
            equal(json.loads(stream.readline()), {"id": i, "result": {"vms": []}})


# Switches -------------------------------------------------------------------------------------------------------------

@case
def switches(host):
    host.do("switch", "create", "lab", "--subnet", "10.99.0.0/24", "--allow-host",
            "--boot-file", "http://10.99.0.1/boot.ipxe")
    shown = host.do("switch", "show", "lab", "--json").json()
    equal((shown["subnet"], shown["allow_host"], shown["boot_file"], shown["state"], shown["gateway"]),
          ("10.99.0.0/24", True, "http://10.99.0.1/boot.ipxe", "Running", "10.99.0.1"))
    check(re.search("^Boot file: +http://10.99.0.1/boot.ipxe$", host.do("switch", "show", "lab").out, re.M), "shown")
    host.do("switch", "create", "auto")
    nets = {entry["subnet"] for entry in host.do("switch", "list", "--json").json()["switches"]}
    equal(len(nets), 3, "different networks")
    host.create("a", "", "--nic", "lab")
    host.refuse("has a nic of virtual machine a: change that with loam vm set", "switch", "remove", "lab")
    host.refuse("there is a switch lab already", "switch", "create", "lab")
    host.refuse("10.99.0.0/25 overlaps 10.99.0.0/24 of switch lab", "switch", "create", "x", "--subnet", "10.99.0.0/25")
    host.refuse("did you mean 10.98.0.0/24", "switch", "create", "x", "--subnet", "10.98.0.7/24")
    host.refuse("is not a network", "switch", "create", "x", "--subnet", "ten")
    host.refuse("cannot be a name", "switch", "create", "x/y")
    host.refuse("there is no switch lba: did you mean lab", "switch", "show", "lba")
    check("cannot be made" in host.loam("switch", "create", "x", "--type", "external").err, "type")
    host.do("vm", "remove", "a")
    process = host.do("switch", "show", "lab", "--json").json()["process"]
    host.do("switch", "remove", "lab")
    check(not alive(process), "the switch's process lives")
    equal([name for name in os.listdir(host.path("run/switch")) if name.startswith("lab")], [])
    host.restart()
    equal(host.do("switch", "list", "--names").out, "auto\ndefault\n")


@case
def switch_mistakes_change_nothing(host):
    host.do("switch", "create", "lab", "--subnet", "10.99.0.0/24")

    def wrong(pattern, *arguments, **options):
        host.refuse(pattern, "switch", "create", *arguments, **options)

    def usage(pattern, *arguments):
        before = host.definitions()
        done = host.loam("switch", *arguments)
        equal((done.status, host.definitions()), (2, before), f"status of {arguments}, and what it changed")
        check(re.search(pattern, done.err), f"{arguments}: {done.err!r}, not {pattern!r}")
    for name in ("", ".", "..", ".x", "-", "a/b", "../../x", "a b", "a\n", "ä", "x" * 64):
        wrong("name: .*(cannot be a name: use 1 to 63 letters, digits|control characters)", "--", name)
    for name in ("default", "lab"):
        wrong(f"there is a switch {name} already: choose another name", name)
        wrong(f"there is a switch {name} already: choose another name", name, "--subnet", "10.98.0.0/24")
    for text in ("", "ten", "10.98.0.0", "10.98.0.0/", "10.98.0.0/x", "10.98.0.0/-8", "10.98.0.0/024", "10.98.0/24",
                 "10.98.0.256/24", "10.98.0.0/24 ", "fd00::/64", "10.98.0.0/24/24"):
        wrong(f"subnet: '{re.escape(text)}' is not a network: write it as 192.168.100.0/24", "x", "--subnet", text)
    for text in ("10.98.0.0/0", "10.98.0.0/15", "10.98.0.0/30", "10.98.0.0/33"):
        wrong(f"subnet: the prefix of '{text}' must be from 16 to 29", "x", "--subnet", text)
    wrong("'10.98.7.1/16' is an address, not a network: did you mean 10.98.0.0/16", "x", "--subnet", "10.98.7.1/16")
    for text in ("0.0.0.0/16", "127.0.0.0/24", "169.254.0.0/16", "224.0.0.0/24", "255.255.0.0/16"):
        wrong(f"'{text}' is reserved and cannot be used", "x", "--subnet", text)
    for text in ("10.99.0.0/24", "10.99.0.128/25", "10.99.0.0/16"):
        wrong(f"subnet: {text} overlaps 10.99.0.0/24 of switch lab: choose another", "x", "--subnet", text)
    for text in ("", "a b", "a\tb", "ä", "x" * 128):
        wrong("boot_file: .*(cannot be a boot file: use 1 to 127 printable ASCII|control characters)", "x", "--boot-file", text)
    for kind in ("external", "internal", "nat", ""):
        wrong(f"--type: '{kind}' cannot be made, only NAT", "x", "--type", kind)
    usage("NAME is missing", "create")
    usage("'y' is one too many", "create", "x", "y")
    usage("unrecognized option '--subnte'", "create", "x", "--subnte", "10.98.0.0/24")
    usage("option '--subnet' requires an argument", "create", "x", "--subnet")
    usage("option '--allow-host' doesn't allow an argument", "create", "x", "--allow-host=yes")
    wrong("may not manage virtual machines.*only root and members of the group loam", "x", user=EVE, status=3)
    # A definition that cannot be read keeps its name.
    with open(host.path("state/switch/broken.json"), "w") as file:
        file.write("{")
    host.restart()
    wrong("there is a switch broken already: choose another name", "broken")
    # What the command does not let through.
    for pattern, arguments in (("\"name\" is missing", {}), ("name: must be a string, not a number", {"name": 1}),
                               ("type: must be \"NAT\"", {"name": "x", "type": "external"}),
                               ("allow_host: must be true or false, not a string", {"name": "x", "allow_host": "no"}),
                               ("boot_file: must be a string, not null", {"name": "x", "boot_file": None}),
                               ("subnet: must be a string, not a list", {"name": "x", "subnet": []}),
                               ("unknown key \"gateway\"", {"name": "x", "gateway": "10.98.0.1"})):
        request = {"version": 1, "request": "switch-create", "arguments": arguments}
        error = host.raw(json.dumps(request).encode())[0]["error"]
        equal((error["code"], error["message"]), ("value", pattern), f"answer to {arguments}")
    for name, rule in (("x", "tcp:x:web1:80"), ("99999", "tcp:99999:web1:80"), ("", "tcp::web1:80"),
                       ("-1", "tcp:80:web1:-1")):
        host.refuse(f"port: must be from 1 to 65535, not '{name}'", "switch", "forward", "default", rule)
    # A member of the group may.
    host.do("switch", "create", "x", "--subnet", "10.98.0.0/24", **ALICES)
    equal(host.do("switch", "list", "--names").out, "default\nlab\nx\n")


@case
def switch_that_cannot_start(host):
    host.options["switch"] = "/bin/false"
    host.restart()
    wait_until(lambda: host.do("switch", "list", "--json").json()["switches"], "the list")
    host.refuse("switch x cannot be started", "switch", "create", "x")
    equal(host.do("switch", "list", "--names").out, "default\n")


@case
def vm_waits_for_its_switch(host):
    host.create("a", "", "--nic", "default")
    os.kill(host.do("switch", "show", "default", "--json").json()["process"], signal.SIGSTOP)
    host.stop(signal.SIGKILL)
    for pid in host.processes():
        os.kill(pid, signal.SIGKILL)
    host.options["switch"] = "/bin/false"
    host.start()
    host.refuse("a cannot be started: switch default does not run", "vm", "start", "a")
    host.options["switch"] = SWITCH
    host.restart()
    host.do("vm", "start", "a")


def free_port(family=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, family) as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


@case
def forwards(host):
    host.create("web1", "", "--nic", "default")
    mac = host.show("web1")["nics"][0]["mac"]
    port, other = free_port(), free_port(socket.SOCK_DGRAM)

    def listed():
        shown = host.do("switch", "show", "default", "--json").json()["forwards"]
        return {(entry["protocol"], entry["host_port"]): entry for entry in shown}
    host.do("switch", "forward", "default", f"tcp:{port}:web1:80")
    host.do("switch", "forward", "default", f"udp:127.0.0.1:{other}:web1:53")
    equal(listed()["tcp", port]["vm"], "web1")
    equal(listed()["tcp", port]["mac"], mac)
    equal(listed()["udp", other]["host_address"], "127.0.0.1")
    socket.create_connection(("127.0.0.1", port)).close()
    host.refuse(f"port {port} is forwarded already", "switch", "forward", "default", f"tcp:{port}:web1:81")
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        used = taken.getsockname()[1]
        host.refuse(f"TCP port {used} is in use by .*process {os.getpid()}|TCP port {used} is in use", "switch",
                    "forward", "default", f"tcp:{used}:web1:80")
    for pattern, rule in (("no virtual machine nobody", "tcp:8080:nobody:80"), ("must be written as", "tcp:8080"),
                          ("port: must be from 1 to 65535", "tcp:8080:web1:0"), ("must be from 1", "tcp:x:web1:80"),
                          ("tcp\" or \"udp", "sctp:8080:web1:80"), ("is not an IPv4 address", "tcp:1.2.3:8080:web1:80"),
                          ("no virtual machine on switch default can have it", "tcp:8080:8.8.8.8:80")):
        host.refuse(pattern, "switch", "forward", "default", rule)
    # A port that needs privilege is opened by loamd.
    low = next(number for number in range(1000, 900, -1) if not in_use(number))
    host.do("switch", "forward", "default", f"tcp:127.0.0.1:{low}:web1:80")
    socket.create_connection(("127.0.0.1", low)).close()
    # They come back with the switch, and with loamd.
    process = host.do("switch", "show", "default", "--json").json()["process"]
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: host.do("switch", "show", "default", "--json").json()["process"] not in (None, process),
               "the switch's return")
    for number in (port, low):
        wait_until(lambda: in_use(number), f"return of forward {number}")
    host.restart(signal.SIGKILL)
    equal(sorted(listed()), sorted([("tcp", port), ("tcp", low), ("udp", other)]))
    wait_until(lambda: all(entry["problem"] is None for entry in listed().values()), "open forwards")
    host.do("switch", "forward", "default", "--remove", f"tcp:{port}")
    wait_until(lambda: not in_use(port), "the forward's end")
    host.refuse("is not forwarded", "switch", "forward", "default", "--remove", f"tcp:{port}")
    host.do("vm", "remove", "web1")
    equal(listed(), {}, "forwards after their virtual machine")
    wait_until(lambda: not in_use(low), "the last forward's end")


def in_use(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@case
def forward_whose_port_is_taken(host):
    """At the start of a switch a port that somebody else has keeps nothing else from working, and is tried again."""
    host.create("web1", "", "--nic", "default")
    port = free_port()
    host.do("switch", "forward", "default", f"tcp:{port}:web1:80")
    host.stop()
    for pid in host.processes():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not in_use(port), "the switch's end")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("0.0.0.0", port))
        taken.listen()
        host.start()

        def problem():
            return host.do("switch", "show", "default", "--json").json()["forwards"][0]["problem"]
        check("in use" in wait_until(problem, "the forward's problem"), problem())
        check("not open" in host.do("switch", "show", "default").out, "switch show")
        host.do("vm", "start", "web1")
    wait_until(lambda: problem() is None, "the forward's return")


# The host -------------------------------------------------------------------------------------------------------------

@case
def host_verbs_without_hypervisor(host):
    if os.path.exists("/dev/loam"):
        return
    for verb in ("info", "log", "stats"):
        host.refuse("there is no /dev/loam: this machine does not run on Loam, or the driver is not loaded", "host",
                    verb)


@case
def host_log_is_passed_on(host):
    host.options["host-device"] = host.file("device", b"first line\nsecond \x1b line\n" * 3000, 0, 0o400)
    host.restart()
    equal(host.do("host", "log").out, "first line\nsecond \x1b line\n" * 3000)
    equal(host.do("host", "log", "--json", **ALICES).json()["lines"][:2], ["first line", "second ? line"])
    host.refuse("the hypervisor does not answer", "host", "info")


@case
def shutdown_stops_all(host):
    host.create("good", "delay=0.3")
    host.create("deaf", "deaf")
    host.create("paused")
    host.create("off")
    for name in ("good", "deaf", "paused"):
        host.do("vm", "start", name)
    host.do("vm", "pause", "paused")
    process = subprocess.Popen([LOAMD, "--run", host.path("run"), "--shutdown-vms", "--stop-timeout", "3"])
    wait_until(lambda: host.state("paused") == "Off", "the end of one that was Paused")
    host.refuse("off is not started: the host is being shut down", "vm", "start", "off")
    equal(process.wait(LIMIT), 0)
    reasons = {vm["name"]: (vm["state"], vm["reason"]) for vm in host.do("vm", "list", "--json").json()["vms"]}
    equal(reasons, {"good": ("Off", "power-off"), "deaf": ("Off", "turned-off"), "paused": ("Off", "power-off"),
                    "off": ("Off", None)})
    host.do("vm", "start", "off")


@case
def shutdown_presses_again(host):
    """A guest that is still starting has a kernel that listens, and nothing yet that acts on it."""
    host.create("a", "miss=1")
    host.create("told", "miss=1")
    for name in ("a", "told"):
        host.do("vm", "start", name)
    host.refuse("told is still Stopping after 0 s", "vm", "stop", "told", "--timeout", "0", status=4)
    process = subprocess.Popen([LOAMD, "--run", host.path("run"), "--shutdown-vms", "--stop-timeout", "300"])
    equal(process.wait(LIMIT), 0)
    equal({host.show(name)["reason"] for name in ("a", "told")}, {"power-off"})


# Disks ----------------------------------------------------------------------------------------------------------------

@case
def disk_verbs(host):
    disk = host.path("d.vhd")
    host.do("disk", "create", disk, "--size", "64M")
    info = host.do("disk", "info", disk, "--json").json()
    equal((info["format"], info["size"], info["allocated_blocks"]), ("dynamic", 64 * MIB, 0))
    host.refuse("d.vhd: exists already: choose another name, or give --replace", "disk", "create", disk, "--size", "1M")
    host.do("disk", "create", disk, "--size", "1M", "--format", "fixed", "--replace")
    equal(host.do("disk", "info", disk, "--json").json()["format"], "fixed")
    check("sound" in host.do("disk", "check", disk).out, "disk check")
    equal(host.do("disk", "check", disk, "--json").json(), {"path": disk, "sound": True, "findings": []})
    raw = host.path("d.img")
    host.do("disk", "convert", disk, raw)
    equal(os.path.getsize(raw), MIB)
    host.do("disk", "convert", raw, host.path("again.vhd"))
    equal(host.do("disk", "info", host.path("again.vhd"), "--json").json()["size"], MIB)
    host.refuse("give --format", "disk", "convert", disk, host.path("d.xyz"), status=2)
    host.refuse("multiple of 512", "disk", "create", host.path("x"), "--size", "1000")
    host.refuse("at most 2040 GiB", "disk", "create", host.path("x"), "--size", "3T")
    host.refuse("no permission", "disk", "create", host.path("x"), "--size", "1M", user=EVE)
    host.refuse("no permission|may not|Permission", "disk", "info", host.file("s", b"x", 0, 0o600), user=EVE)
    host.refuse("not a VHD", "disk", "check", host.file("text", b"text" * 500))
    with open(disk, "r+b") as file:
        file.seek(-300, 2)
        file.write(b"\xff" * 8)
    done = host.loam("disk", "check", disk)
    equal(done.status, 1, "status of a damaged disk's check")
    check("error: " in done.out and "damaged, 1 error: loam disk repair --dry-run" in done.out, done.out)
    other = host.path("d.vhdx")
    host.do("disk", "create", other, "--size", "64M")
    check("sound" in host.do("disk", "check", other).out, "disk check of a VHDX")
    with open(other, "r+b") as file:
        file.seek(192 * 1024)  # both copies of the region table
        file.write(bytes(128 * 1024))
    done = host.loam("disk", "check", other)
    equal(done.status, 1, "status of a damaged VHDX's check")
    check("error: " in done.out and "damaged, 1 error: loam disk repair --dry-run" in done.out, done.out)
    equal(sorted(name for name in os.listdir(host.root) if name.endswith(".part")), [], "leftovers")


@case
def disk_progress_on_a_terminal(host):
    terminal = Terminal(host, "disk", "create", host.path("big.vhd"), "--size", "64M", "--format", "fixed")
    equal(terminal.end(), 0)
    check(re.search(rb"creating \[#+-*\] +\d+ %", terminal.seen), terminal.seen)
    quiet = host.do("disk", "create", host.path("quiet.vhd"), "--size", "8M", "--format", "fixed")
    equal((quiet.out, quiet.err), ("", ""), "output without a terminal")


@case
def disk_mistakes(host):
    disk = host.path("x.vhd")
    for pattern, *arguments in (
            ("a size of 0 bytes: it must be a multiple of 512, and not 0", "--size", "0"),
            ("--block-size: only a dynamic disk has blocks", "--size", "1M", "--format", "fixed", "--block-size", "1M"),
            ("--block-size: must be a power of two from 4K up, not 0", "--size", "1M", "--block-size", "0"),
            ("power of two of at least 4096", "--size", "1M", "--block-size", "3M"),
            ("--sparse: is for fixed and raw disks", "--size", "1M", "--sparse")):
        host.refuse(pattern, "disk", "create", disk, *arguments)
    host.do("disk", "create", disk, "--size", "1M")
    host.refuse("x.vhd: is the disk that is to be converted: give the new one another name$", "disk", "convert", disk,
                disk, "--replace")
    made = host.do("disk", "create", host.path("y.vhd"), "--size", "1M", "--json").json()
    equal((made["path"], made["format"], made["size"]), (host.path("y.vhd"), "dynamic", MIB))
    made = host.do("disk", "convert", disk, host.path("y.img"), "--json").json()
    equal((made["path"], made["format"], made["size"]), (host.path("y.img"), "raw", MIB))


@case
def cancelled_disk_work_leaves_nothing(host):
    source = host.path("source.img")
    with open(source, "wb") as file:
        file.truncate(1 << 40)
        for offset in range(0, 1 << 30, 1 << 16):  # so that there is something to do for long
            os.pwrite(file.fileno(), b"x", offset)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = subprocess.Popen([LOAM, "disk", "convert", source, host.path("copy.vhd")], stderr=subprocess.PIPE,
                                   text=True)
        wait_until(lambda: [name for name in os.listdir(host.root) if name.endswith(".part")], "the beginning")
        process.send_signal(number)
        equal((process.communicate(timeout=LIMIT)[1], process.returncode),
              (f"loam: {host.path('copy.vhd')}: cancelled\n", 128 + number), f"end by {number}")
        equal([name for name in os.listdir(host.root) if name.endswith((".part", ".vhd"))], [], "what is left")


# Full file systems ----------------------------------------------------------------------------------------------------

def fill_up(filler):
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            pass


@case
def full_state_directory_loses_nothing(host):
    host.stop()
    filler = host.fill("state")
    host.start()
    wait_until(lambda: host.do("switch", "show", "default", "--json").json()["gateway"], "the default switch")
    gateway = host.do("switch", "show", "default", "--json").json()["gateway"]
    child = re.sub(r"\d+$", "20", gateway)
    port = free_port()
    host.create("a")
    host.do("switch", "forward", "default", f"tcp:{port}:{child}:80")
    fill_up(filler)
    place = f"cannot be kept in {host.path('state')}: No space left on device"
    definitions = host.definitions()
    host.refuse(place, "vm", "create", "b", "--kernel", host.kernel)
    host.refuse(place, "vm", "set", "a", "--memory", "128M")
    host.refuse(place, "switch", "create", "lab")
    host.refuse(place, "switch", "forward", "default", f"tcp:{free_port()}:{child}:80")
    host.refuse(place, "switch", "forward", "default", "--remove", f"tcp:{port}")

    def known():
        forwards = host.do("switch", "show", "default", "--json").json()["forwards"]
        return (host.do("vm", "list", "--names").out, host.show("a")["memory"],
                host.do("switch", "list", "--names").out, [entry["host_port"] for entry in forwards])
    equal(known(), ("a\n", 64 * MIB, "default\n", [port]))
    host.do("vm", "start", "a")
    host.restart(signal.SIGKILL)
    host.expect_state("a", "Running")
    equal((known(), host.definitions()), (("a\n", 64 * MIB, "default\n", [port]), definitions))
    host.do("vm", "stop", "a")
    os.unlink(filler)
    host.do("vm", "set", "a", "--memory", "128M")
    host.do("switch", "forward", "default", "--remove", f"tcp:{port}")


@case
def full_run_directory_is_named(host):
    host.stop()
    for pid in host.processes():
        os.kill(pid, signal.SIGKILL)
    filler = host.fill("run")
    host.start()
    host.create("a")
    fill_up(filler)
    host.refuse(f"a cannot be started: its worker cannot be started and recorded in {host.path('run')}: No space left",
                "vm", "start", "a")
    equal(host.state("a"), "Off")
    os.unlink(filler)
    host.do("vm", "start", "a")


@case
def full_disk_for_a_new_image(host):
    filler = host.fill("small")
    for arguments in (["--format", "fixed"], ["--format", "raw"]):
        host.refuse("small/x: No space left on device", "disk", "create", host.path("small/x"), "--size", "1M",
                    *arguments)
    source = host.file("source.img", b"x" * MIB)
    host.refuse("small/x.vhd: No space left on device", "disk", "convert", source, host.path("small/x.vhd"))
    host.do("disk", "create", host.path("small/kept.vhd"), "--size", "1M")
    with open(host.path("small/kept.vhd"), "rb") as file:
        before = file.read()
    fill_up(filler)
    host.refuse("small/kept.vhd: No space left on device", "disk", "create", host.path("small/kept.vhd"), "--size",
                "2M", "--replace")
    with open(host.path("small/kept.vhd"), "rb") as file:
        equal(file.read() == before, True, "the image that was to be replaced is as it was")
    equal(sorted(os.listdir(host.path("small"))), ["filler", "kept.vhd"])


@case
def output_that_cannot_be_written_is_a_failure(host):
    for arguments in (["vm", "list"], ["switch", "list", "--json"], ["vm", "--help"], ["--help"]):
        socket_option = [] if "--help" in arguments else ["--socket", host.path("run/loamd.sock")]
        with open("/dev/full", "w") as full:
            done = subprocess.run([LOAM, *arguments, *socket_option], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=LIMIT)
        equal((done.returncode, done.stderr),
              (1, "loam: standard output cannot be written: No space left on device\n"), f"{arguments}")


# Screen ---------------------------------------------------------------------------------------------------------------

class Forwarder:
    """loam vm screen, which goes on until it is ended."""

    def __init__(self, host, *arguments):
        self.process = subprocess.Popen([LOAM, "vm", "screen", "--socket", host.path("run/loamd.sock"), "--json",
                                         *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        text = ""
        while not text.endswith("}\n"):
            line = self.process.stdout.readline()
            if not line:
                raise Failure(f"loam vm screen has ended: {self.process.stderr.read()}")
            text += line
        self.place = json.loads(text)["listen"]

    def view(self):
        if "/" in self.place:
            viewer = socket.socket(socket.AF_UNIX)
            viewer.connect(self.place)
        else:
            address, port = self.place.rsplit(":", 1)
            viewer = socket.create_connection((address.strip("[]"), int(port)))
        viewer.settimeout(LIMIT)
        return viewer

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, err


def receive(viewer, length):
    data = b""
    while len(data) < length:
        part = viewer.recv(length - len(data))
        check(part, f"the connection has ended after {data!r}")
        data += part
    return data


@case
def screen_for_viewers(host):
    host.create("a")
    host.refuse("a is Off, so it has no screen: loam vm start a", "vm", "screen", "a")
    host.do("vm", "start", "a")
    forwarder = Forwarder(host, "a")
    check(re.fullmatch(r"127\.0\.0\.1:59\d\d", forwarder.place), forwarder.place)
    other = Forwarder(host, "a")
    check(other.place != forwarder.place, f"both are at {other.place}")
    viewers = [forwarder.view() for _ in range(3)] + [other.view()]
    for viewer in viewers:
        equal(receive(viewer, 12), b"RFB 003.008\n")
    data = random.randbytes(1 << 18)
    threading.Thread(target=viewers[0].sendall, args=[data]).start()
    check(receive(viewers[0], len(data)) == data, "what was sent comes back")
    viewers[1].close()
    viewers[2].sendall(b"x")
    equal(receive(viewers[2], 1), b"x")
    host.restart(signal.SIGKILL)  # what is connected stays so
    viewers[2].sendall(b"y")
    equal(receive(viewers[2], 1), b"y")
    equal(forwarder.end(), (0, ""), "end by Ctrl-C")
    equal(viewers[2].recv(1), b"")
    equal(other.end(signal.SIGTERM), (128 + signal.SIGTERM, ""), "end by SIGTERM")


@case
def screen_at_a_place(host):
    host.create("a")
    host.do("vm", "start", "a")
    path = host.path("screen")
    forwarder = Forwarder(host, "a", "--listen", path)
    equal((forwarder.place, stat.S_IMODE(os.stat(path).st_mode)), (path, 0o600))
    with forwarder.view() as viewer:
        equal(receive(viewer, 12), b"RFB 003.008\n")
    host.refuse("screen: cannot be listened on: Address already in use", "vm", "screen", "a", "--listen", path)
    equal(forwarder.end(), (0, ""))
    check(not os.path.exists(path), "the socket is left behind")
    port = free_port()
    forwarder = Forwarder(host, "a", f"--listen=127.0.0.1:{port}")
    with forwarder.view() as viewer:
        equal(receive(viewer, 12), b"RFB 003.008\n")
        host.do("vm", "stop", "a", "--turn-off")
        equal(viewer.recv(1), b"")
    equal(forwarder.end()[0], 0)
    host.do("vm", "start", "a")
    for place, pattern in (("0.0.0.0:5901", "others could look at the screen at 0.0.0.0:5901"),
                           ("[::]:5901", "others could look at the screen"),
                           ("localhost:5901", "is neither an address with a port"),
                           ("127.0.0.1", "is neither an address with a port"),
                           ("/", "cannot be listened on")):
        host.refuse(pattern, "vm", "screen", "a", "--listen", place)


@case
def screen_text_and_pictures(host):
    host.create("a")
    host.do("vm", "start", "a")
    equal(host.do("vm", "screen", "--text", "a").out, "GNU GRUB  \u2554\u2557\n\n")
    equal(host.do("vm", "screen", "--text", "a", "--json").json()["rows"], 2)
    picture = host.path("shot.png")
    host.do("vm", "screenshot", "a", picture)
    with open(picture, "rb") as file:
        content = file.read()
    check(content.startswith(b"\x89PNG") and len(content) == 8 + 256 * 4000 + 12, f"{len(content)} bytes")
    equal(stat.S_IMODE(os.stat(picture).st_mode), 0o644)
    done = subprocess.run([LOAM, "vm", "screenshot", "--socket", host.path("run/loamd.sock"), "a", "-"],
                          capture_output=True, timeout=LIMIT)
    equal((done.returncode, done.stderr, done.stdout == content), (0, b"", True))
    terminal = Terminal(host, "vm", "screenshot", "a", "-").expect(rb"a picture is not for a terminal")
    equal(terminal.end(), 1)
    host.refuse("no/shot.png: No such file or directory", "vm", "screenshot", "a", host.path("no/shot.png"))
    # One that is not whole leaves what was there.
    host.create("b", "cut")
    host.do("vm", "start", "b")
    host.refuse("shot.png: the picture has not come to its end", "vm", "screenshot", "b", picture)
    with open(picture, "rb") as file:
        equal(file.read() == content, True, "the picture that was there")
    equal([name for name in os.listdir(host.root) if name.startswith("shot.png.")], [], "what is left")


@case
def keys_are_sent(host):
    host.create("a")
    host.refuse("a is Off", "vm", "send-keys", "a", "enter")
    host.do("vm", "start", "a")
    equal(host.do("vm", "send-keys", "a", "ctrl-alt-delete", "enter", "--json").json(), {"waiting": 4})
    host.do("vm", "send-keys", "a", "--text", r"ro\\ot\n\q\e", **BOBS)
    terminal = Terminal(host, "vm", "console", "a")
    terminal.expect(re.escape(rb"keys ['ctrl-alt-delete', 'enter'] text None"))
    terminal.expect(re.escape(rb"text 'ro\\ot\n\\q\x1b'"))
    terminal.type(b"\x1d")
    equal(terminal.end(), 0)
    host.refuse('a: there is no key "ctlr"', "vm", "send-keys", "a", "ctlr-c")
    host.refuse("a: that is too much to type at a time", "vm", "send-keys", "a", "--text", "x" * 5000)
    host.refuse("keys: must have at most 64 entries, not 65", "vm", "send-keys", "a", *["a"] * 65)
    equal(host.loam("vm", "send-keys", "a").status, 2, "status without keys")
    host.create("b", "typing")
    host.do("vm", "start", "b")
    host.refuse("b: the keys before these are still being typed", "vm", "send-keys", "b", "a")
    answer = host.raw(json.dumps({"version": 1, "request": "vm-keys",
                                  "arguments": {"name": "b", "keys": ["a"]}}).encode())
    equal(answer[0]["error"]["code"], "busy")


@case
def machines_without_a_screen_say_so(host):
    host.create("a", "headless")
    host.do("vm", "start", "a")
    for arguments in (["screen", "a"], ["screen", "--text", "a"], ["screenshot", "a", host.path("x.png")],
                      ["send-keys", "a", "enter"]):
        host.refuse("the virtual machine has no graphics adapter", "vm", *arguments)
    for request in ("vm-screen", "vm-screenshot", "vm-screen-text", "vm-keys"):
        answer = host.raw(json.dumps({"version": 1, "request": request, "arguments": {"name": "a"}}).encode())
        equal(answer[0]["error"]["code"], "wrong-state", request)


# Completion -----------------------------------------------------------------------------------------------------------

@case
def completion(host):
    script = os.path.join(TOP, "tools/loam/completion.bash")
    host.create("web1")
    host.create("web2")

    def complete(*words):
        program = (f'PATH={BIN}:$PATH; loam() {{ command loam "$@" --socket {host.path("run/loamd.sock")}; }}; '
                   f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _loam; printf "%s\\n" '
                   f'"${{COMPREPLY[@]}}"')
        done = subprocess.run(["bash", "-c", program, "bash", "loam", *words], capture_output=True, text=True,
                              timeout=LIMIT)
        equal((done.returncode, done.stderr), (0, ""), f"completion of {words}")
        return done.stdout.split()
    equal(complete(""), ["host", "vm", "disk", "switch"])
    equal(complete("vm", "st"), ["start", "stop"])
    equal(complete("vm", "start", "we"), ["web1", "web2"])
    equal(complete("vm", "create", "x", "--ni"), ["--nic"])
    equal(complete("vm", "create", "x", "--nic", "def"), ["default"])
    equal(complete("switch", "show", ""), ["default"])
    equal(complete("vm", "stop", "--t"), ["--timeout", "--turn-off"])
    equal(complete("vm", "wait", "web1", "--state", "R"), ["Running"])
    equal(complete("vm", "create", "x", "--nic", "=", "def"), ["default"])
    equal(complete("vm", "create", "x", "--nic", "="), ["default"])
    equal(complete("vm", "create", "x", "-n", "d"), ["default"])
    # All that --help shows, and the manual page has it too.
    with open(os.path.join(TOP, "docs/man/loam.1")) as file:
        page = file.read()

    def words(pattern, *arguments):
        done = subprocess.run([LOAM, *arguments], capture_output=True, text=True, timeout=LIMIT)
        equal(done.returncode, 0, f"status of {arguments}")
        return re.findall(pattern, done.stdout, re.M)
    verbs = words(r"^  loam (\w+) ([\w-]+) ", "--help")
    check(len(verbs) > 20, verbs)
    for noun, verb in verbs:
        check(verb in complete(noun, ""), f"completion of {noun} has no {verb}")
        check(f".It Cm {noun} {verb}" in page, f"the manual page has no {noun} {verb}")
        options = set(words(r"^ .{0,5} (--[a-z0-9-]+)", noun, verb, "--help"))
        equal(set(complete(noun, verb, "-")), options - {"--usage", "--version"}, f"completion of {noun} {verb} -")
        missing = [option for option in options - {"--usage", "--version"} if f"Fl {option[1:]}" not in page and
                   f", {option[1:]}" not in page]
        equal(missing, [], f"options of {noun} {verb} that the manual page has not")


@case
def help_is_found(host):
    def told(*arguments):
        done = subprocess.run([LOAM, *arguments], capture_output=True, text=True, timeout=LIMIT)
        equal((done.returncode, done.stderr), (0, ""), f"loam {' '.join(arguments)}")
        return done.stdout
    for arguments in (["help"], ["-h"], ["-?"], ["--help"]):
        equal(told(*arguments), told(), f"loam {arguments}")
    for arguments in (["help", "vm"], ["vm", "help"], ["vm", "-h"], ["vm", "--help"]):
        equal(told(*arguments), told("vm", "--help"), f"loam {arguments}")
    for arguments in (["help", "vm", "set"], ["vm", "help", "set"], ["vm", "set", "-h"], ["vm", "set", "-?"]):
        equal(told(*arguments), told("vm", "set", "--help"), f"loam {arguments}")


# --------------------------------------------------------------------------------------------------------------------

def run(function, verbose):
    host = Host()
    try:
        host.start()
        wait_until(lambda: host.do("switch", "list", "--json").json()["switches"][0]["state"] == "Running",
                   "the default switch")
        function(host)
        check(host.process.poll() is None, f"loamd has ended: {host.messages()[-2000:]}")
        status = host.stop()
        check(status == 0 and "Sanitizer" not in host.messages(),
              f"loamd's exit status is {status}: {host.messages()[-4000:]}")
        print(f"ok {function.__name__}", flush=True)
        return True
    except Exception as problem:  # a failed case is reported, and the next one runs
        print(f"FAIL {function.__name__}: {problem}", flush=True)
        if verbose or not isinstance(problem, Failure):
            traceback.print_exc()
            print(host.messages() if os.path.exists(host.path("loamd.log")) else "")
        return False
    finally:
        host.close()


def main():
    words = sys.argv[1:]
    verbose = "-v" in words
    names = [word for word in words if word != "-v"]
    unknown = set(names) - {function.__name__ for function in CASES}
    if unknown:
        sys.exit(f"no such case: {' '.join(sorted(unknown))}")
    if os.geteuid() != 0:
        print("SKIP manager_test: becomes other users, so it must be run as root")
        return
    results = [run(function, verbose) for function in CASES if not names or function.__name__ in names]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
