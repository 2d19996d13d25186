#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker without a virtual machine, for tests of loamd: it speaks docs/worker-protocol.md and does nothing else.

What it does beside that stands in the virtual machine's command line, as words:
  refuse          it does not start
  silent-end      it ends with status 9 before it runs, without a word
  slow=SECONDS    it is Starting for so long
  short           it runs, and switches itself off at once
  deaf            it does not listen to the power button
  ignore-button   it listens, and does not switch itself off
  miss=PRESSES    it does not notice the first few presses of the power button
  delay=SECONDS   it takes so long to switch itself off
  stubborn        it does not turn off on request
  stuck           it says that it is Off, and does not end
  mute            it answers no requests
  no-space        it is Paused for want of space until it is resumed
  no-answer       it is Paused for want of its disk's source until it is resumed
  output=BYTES    it writes so many bytes to its console
  headless        it has no graphics adapter
  cut             its screenshots end in the middle
  typing          it is still typing what it was asked to
  locked          its guest has locked the trays of the DVD drives
  unreadable      its drives cannot read what is inserted
  forgetful       it ends instead of answering a request to insert something
SIGUSR1 makes its guest eject what is in the first DVD drive.
Its console echoes what is typed in upper case, and begins with a line of what it was given; keys that are sent to it
become a line there. Its screen echoes what viewers send, behind the greeting of VNC.
"""

import argparse
import fcntl
import json
import os
import selectors
import signal
import socket
import stat
import struct
import sys
import time

REPLAY = 65536
PICTURE = (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4000 + b"\0\0\0\0IEND\xaeB`\x82")
POWER_OFF, START_FAILED, TURNED_OFF = 0, 1, 3


class Worker:
    def __init__(self, configuration):
        self.configuration = configuration
        self.words = dict((word.split("=", 1) + [""])[:2] for word in configuration["command_line"].split())
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(fileno=configuration["control"]["fd"])
        self.state = {"state": "Starting", "reason": None, "path": None, "detail": None}
        self.clients = {}  # socket: [input, wants events]
        self.console = None
        self.holder = None
        self.output = b""
        self.off_at = None
        self.presses = 0
        self.started = time.monotonic()
        self.log = configuration["log"]["fd"]
        self.media = {("dvd" if kind == "dvds" else "floppy", number): drive.get("path")
                      for kind in ("dvds", "floppies") for number, drive in enumerate(configuration[kind])}
        self.sources = []
        self.passed = []  # descriptors that have come with a request

    # Start

    def lock_disks(self):
        for disk in self.configuration["disks"]:
            kind = fcntl.LOCK_SH if disk["read_only"] else fcntl.LOCK_EX
            try:
                fcntl.flock(disk["fd"], kind | fcntl.LOCK_NB)
                for parent in (parent for parent in disk.get("parents", []) if "url" not in parent):
                    fcntl.flock(parent["fd"], fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                self.fail(f"{disk['path']}: in use by another process")

    def fail(self, text):
        print(f"loam-worker: {self.configuration['name']}: {text}", file=sys.stderr, flush=True)
        sys.exit(START_FAILED)

    def describe(self):
        """What the descriptors lead to, so that the test sees that they are the right ones."""
        parts = []
        if "kernel" in self.configuration:
            parts.append(f"kernel {os.pread(self.configuration['kernel']['fd'], 8, 0)!r}")
        else:
            parts.append(f"boot {'+'.join(self.configuration['boot'])} menu {self.configuration['boot_menu']} "
                         f"graphics {self.configuration['graphics']} uuid {self.configuration['uuid']}")
        if "initrd" in self.configuration:
            parts.append(f"initrd {os.pread(self.configuration['initrd']['fd'], 8, 0)!r}")
        for disk in self.configuration["disks"]:
            parts.append(f"disk {self.describe_file(disk)}")
            parts += [self.describe_parent(parent) for parent in disk.get("parents", [])]
        for kind in ("dvds", "floppies"):
            for drive in self.configuration[kind]:
                parts.append(f"{kind} {self.describe_file(drive) if drive else 'empty'}")
        other = self.configuration["serial"][1]
        if "fd" in other:
            mode = stat.S_IFMT(os.fstat(other["fd"]).st_mode)
            parts.append(f"com2 {other['kind']} {({stat.S_IFREG: 'file', stat.S_IFIFO: 'fifo'}).get(mode, 'socket')}")
        for nic in self.configuration["nics"]:
            parts.append(f"nic {nic['mac']} {self.greet_switch(nic)}")
        parts.append(f"uid {os.getuid()} gid {os.getgid()} groups {os.getgroups()}")
        return ", ".join(parts)

    @staticmethod
    def describe_file(file):
        access = fcntl.fcntl(file["fd"], fcntl.F_GETFL) & os.O_ACCMODE
        return f"{os.pread(file['fd'], 8, 0)!r} {'rw' if access == os.O_RDWR else 'ro'}"

    def describe_sources(self):
        return [{"disk": number, "path": disk["path"], "url": disk["parents"][-1]["url"], "local": 3 << 20,
                 "size": 8 << 20, "fetched": 5 << 20, "problem": "Connection refused"}
                for number, disk in enumerate(self.configuration["disks"]) if "url" in disk.get("parents", [{}])[-1]]

    def describe_parent(self, parent):
        if "url" not in parent:
            return f"parent {os.path.basename(parent['path'])} {self.describe_file(parent)}"
        return (f"source {parent['url']} raw {parent['raw']} of {parent['size']} {parent['validator']} "
                f"{self.read_source(parent['fd'])}")

    def read_source(self, descriptor):
        """What loam-fetch at the other end of a socket says of its source (fetch/protocol.h), with its first 8 bytes. It
        lives for as long as the socket is open."""
        header, read, source, data = struct.Struct("=IIQQ"), 1, 2, 3
        stream = socket.socket(fileno=os.dup(descriptor))
        stream.settimeout(20)
        self.sources.append(stream)
        size = None
        while True:
            kind, length, _, _ = header.unpack(stream.recv(header.size, socket.MSG_WAITALL))
            body = stream.recv(length, socket.MSG_WAITALL)
            if kind == source:
                size = struct.unpack_from("=Q", body)[0]
                stream.sendall(header.pack(read, 8, 1, 0))
            elif kind == data:
                return f"{size} {body!r}"

    def greet_switch(self, nic):
        """Connects as port_protocol.h says; the connection stays for as long as the worker does."""
        if "switch" not in nic:
            return "unplugged"
        port = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        port.connect(nic["switch"]["path"])
        mac = bytes.fromhex(nic["mac"].replace("-", ""))
        port.send(struct.pack("=II6sH64s", 0x6D616F6C, 2, mac, 0, self.configuration["name"].encode()))
        status = struct.unpack("=IIII", port.recv(16))[2]
        self.ports = getattr(self, "ports", []) + [port]
        return f"status {status}"

    # States

    def enter(self, state, reason=None, path=None, detail=None):
        self.state = {"state": state, "reason": reason, "path": path, "detail": detail}
        line = json.dumps({**self.state, "event": "state"})
        print(line, flush=True)
        self.announce(line)

    def announce(self, line):
        for client, (_, events) in list(self.clients.items()):
            if events:
                self.send(client, line)

    def change_medium(self, place, path):
        if self.media[place] != path:
            self.media[place] = path
            self.announce(json.dumps({"event": "media", "drive": place[0], "number": place[1], "path": path,
                                      "read_only": False}))

    def end(self, status, reason, detail):
        self.enter("Off", reason, None, detail)
        while "stuck" in self.words:
            signal.pause()
        sys.exit(status)

    def write(self, text):
        """To the console, and its log."""
        self.output = (self.output + text)[-REPLAY:]
        os.write(self.log, text)
        if self.console:
            try:
                self.console.sendall(text)
            except OSError:
                pass  # its end is seen when it is read from

    # Requests

    def send(self, client, line):
        try:
            client.sendall(line.encode() + b"\n")
        except OSError:
            self.forget(client)

    @staticmethod
    def send_bytes(client, data):
        try:
            client.sendall(data)
        except OSError:
            pass  # its end is seen when it is read from

    def forget(self, client):
        if client in self.clients:
            del self.clients[client]
            self.selector.unregister(client)
            client.close()

    def answer(self, client, request):
        """A result, or a pair of error code and message."""
        name = request.get("request")
        state = self.state["state"]
        if name == "status":
            holder = {"user": self.holder, "pid": 1} if self.console else None
            return {**self.state, "name": self.configuration["name"], "pid": os.getpid(), "partition_id": 5,
                    "console": holder, "disk_io": "threads", "sources": self.describe_sources()}
        if name == "counters":
            bus = {"reads": 10, "writes": 20, "unclaimed_reads": 3, "unclaimed_writes": 1, "last_unclaimed": 0x80}
            return {"ports": bus, "memory": {**bus, "unclaimed_reads": 0, "unclaimed_writes": 0}, "vps": [],
                    "nics": [{"connected": True, "sent": 1, "received": 2, "dropped": 0}
                             for _ in self.configuration["nics"]]}
        if name == "events":
            self.clients[client][1] = True
            return self.state
        if name == "stop":
            if state not in ("Running", "Stopping"):
                return "wrong-state", f"the virtual machine is {state}"
            if "deaf" in self.words:
                return "wrong-state", "the guest does not listen to the power button (it may still be starting)"
            self.presses += 1
            if "ignore-button" not in self.words and self.presses > int(self.words.get("miss", 0)):
                self.off_at = time.monotonic() + float(self.words.get("delay", 0))
            self.enter("Stopping")
            return {}
        if name == "turn-off":
            if "stubborn" not in self.words:
                self.end(TURNED_OFF, "turned-off", "turned off on request")
            return {}
        if name == "reset":
            self.enter("Starting")
            self.enter("Running")
            return {}
        if name == "pause":
            self.enter("Paused", "requested")
            return {}
        if name == "resume":
            if state != "Paused":
                return "wrong-state", "the virtual machine is not Paused"
            self.enter("Running")
            return {}
        if name == "console":
            if self.console:
                return "busy", f"{self.holder} has the console"
            return {"replay": len(self.output)}
        if name in ("screen", "screenshot", "screen-text", "keys") and "headless" in self.words:
            return "wrong-state", "the virtual machine has no graphics adapter"
        if name == "screen":
            return {}
        if name == "screenshot":
            return {"type": "image/png"}
        if name == "screen-text":
            return {"columns": 80, "rows": 2, "lines": ["GNU GRUB  \u2554\u2557", ""]}
        if name == "keys":
            if "typing" in self.words:
                return "busy", "the keys before these are still being typed"
            if "ctlr-c" in request.get("keys", []):
                return "bad-request", "there is no key \"ctlr\""
            self.write(f"keys {request.get('keys')} text {request.get('text')!r}\r\n".encode())
            return {"waiting": 2 * len(request.get("keys", []))}
        if name == "media":
            return {"drives": [{"drive": kind, "number": number, "path": path, "read_only": False}
                               for (kind, number), path in self.media.items()]}
        if name == "source":
            if len(self.passed) != 1:
                return "bad-request", f"{len(self.passed)} descriptors"
            self.write(f"source {request['disk']} {self.read_source(self.passed[0])}\r\n".encode())
            return {}
        if name in ("insert", "eject"):
            return self.change(name, request)
        return "unknown-request", "there is no such request"

    def change(self, name, request):
        place = request["drive"], request["number"]
        if place not in self.media:
            return "wrong-state", f"there is no {place[0]} drive {place[1]}"
        if name == "eject":
            if "locked" in self.words and place[0] == "dvd" and not request["force"]:
                return "wrong-state", "the guest has locked the tray: it has been asked to eject, or use force"
            self.change_medium(place, None)
            return {}
        if "forgetful" in self.words:
            os._exit(9)
        if self.media[place]:
            return "wrong-state", "there is a medium in the drive: eject it first"
        if "unreadable" in self.words:
            return "wrong-state", f"{request['path']}: the drive cannot read it"
        if len(self.passed) != 1:
            return "bad-request", f"{len(self.passed)} descriptors"
        file = self.describe_file({"fd": self.passed[0]})
        self.write(f"inserted {place[0]} {place[1]} {file} read_only {request['read_only']}\r\n".encode())
        self.change_medium(place, request["path"])
        return {}

    def serve(self, client, line):
        request = json.loads(line)
        if "mute" in self.words and request.get("request") != "events":
            return
        answer = self.answer(client, request)
        if isinstance(answer, tuple):
            self.send(client, json.dumps({"error": {"code": answer[0], "message": answer[1]}}))
            return
        self.send(client, json.dumps({"result": answer}))
        if request.get("request") == "console" and client in self.clients:
            del self.clients[client]
            self.console, self.holder = client, request.get("user", "somebody")
            client.sendall(self.output)
            self.selector.modify(client, selectors.EVENT_READ, self.on_console)
        if request.get("request") == "screen" and client in self.clients:
            del self.clients[client]
            self.send_bytes(client, b"RFB 003.008\n")
            self.selector.modify(client, selectors.EVENT_READ, self.on_viewer)
        if request.get("request") == "screenshot" and client in self.clients:
            self.send_bytes(client, PICTURE[:500000] if "cut" in self.words else PICTURE)
            self.forget(client)

    def on_client(self, client):
        try:
            data, self.passed, _, _ = socket.recv_fds(client, 65536, 4)
        except OSError:
            data, self.passed = b"", []
        if not data:
            self.forget(client)
            return
        self.clients[client][0] += data
        while client in self.clients and b"\n" in self.clients[client][0]:
            line, self.clients[client][0] = self.clients[client][0].split(b"\n", 1)
            self.serve(client, line)
        for descriptor in self.passed:
            os.close(descriptor)

    def on_console(self, client):
        try:
            data = client.recv(4096)
        except OSError:
            data = b""
        if data:
            self.write(data.upper())
            return
        self.selector.unregister(client)
        client.close()
        self.console = None

    def on_viewer(self, client):
        try:
            data = client.recv(4096)
            if data:
                client.sendall(data)
                return
        except OSError:
            pass
        self.selector.unregister(client)
        client.close()

    def on_listener(self, listener):
        client = listener.accept()[0]
        self.clients[client] = [b"", False]
        self.selector.register(client, selectors.EVENT_READ, self.on_client)
        self.send(client, json.dumps({"hello": "loam-worker", "version": 1, "name": self.configuration["name"],
                                      "pid": os.getpid()}))

    # Life

    def begin(self, user):
        if "refuse" in self.words:
            self.fail("needs 1024 MiB of memory, and the host has 7 MiB available")
        if "silent-end" in self.words:
            sys.exit(9)
        self.lock_disks()
        description = self.describe()
        if user:
            uid, gid = user.split(":")
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))
            description += f", then uid {os.getuid()} gid {os.getgid()}"
        self.write(description.encode() + b"\r\n")
        self.write((b"x" * 79 + b"\n") * (int(self.words.get("output", 0)) // 80))
        self.listener.setblocking(True)
        self.selector.register(self.listener, selectors.EVENT_READ, self.on_listener)
        signal.signal(signal.SIGUSR1, lambda *_: self.change_medium(("dvd", 0), None))
        signal.signal(signal.SIGTERM, lambda *_: self.end(TURNED_OFF, "turned-off", "turned off on request"))
        time.sleep(float(self.words.get("slow", 0)))
        self.enter("Running")
        if "short" in self.words:
            self.end(POWER_OFF, "power-off", "the guest switched itself off")
        if "no-space" in self.words:
            self.enter("Paused", "no-space", self.configuration["disks"][0]["path"])
        if "no-answer" in self.words:
            disk = self.configuration["disks"][0]
            self.enter("Paused", "no-answer", disk["path"], f"{disk['parents'][0]['url']}: Connection refused")

    def run(self):
        while True:
            timeout = None if self.off_at is None else max(0, self.off_at - time.monotonic())
            for key, _ in self.selector.select(timeout):
                key.data(key.fileobj)
            if self.off_at is not None and time.monotonic() >= self.off_at:
                self.end(POWER_OFF, "power-off", "the guest switched itself off")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--configuration-fd", type=int, required=True)
    parser.add_argument("--user")
    arguments = parser.parse_args()
    with os.fdopen(arguments.configuration_fd) as stream:
        configuration = json.load(stream)
    assert configuration["version"] == 1
    worker = Worker(configuration)
    worker.begin(arguments.user)
    worker.run()


if __name__ == "__main__":
    main()
