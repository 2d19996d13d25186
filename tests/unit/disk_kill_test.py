#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that writes to a disk is killed, again and again, while it does what a guest with ext4 was recorded to do.

usage: disk_kill_test.py [SEED [PATTERN]]     PATTERN: part of the name of a kind of image

For every kind of image: disk_replay goes on with the recording (tests/disk_trace), is killed with SIGKILL in a request, or
while it opens or closes the image, and then
  - the check finds no error in the image;
  - each sector holds what the last write that was acknowledged has left there; the request under way has changed a sector
    or not. A kill leaves the host's page cache, so acknowledged means completed. Only the child of a VHDX, whose format
    has no place for it, keeps in memory until the next flush which sectors it has: there, acknowledged means flushed, as
    for a disk with a write cache, and what was written since is there or not;
  - after the replay of its journal, the file system is without a flaw, and the files have what fsync promised.
Where it is killed comes from the seed alone, except for one kill in four, which comes from outside at whatever the process
is doing when a number of requests is complete.

Prints a line for each kind of image and "N passed, N failed". SOAK=1 kills more often.
Debian: e2fsprogs
"""
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "tests/disk_trace"))
from guest_files import (NOTES_ROOM, SECTOR, Failure, Files, examine_file_system, expect, parse_notes,  # noqa: E402
                         run)

BUILD = os.environ.get("BUILD", os.path.join(TOP, "build"))
TOOL = os.path.join(BUILD, "unit/helper/disk_quick_tool")
REPLAY = os.path.join(BUILD, "unit/helper/disk_replay")
TRACE = os.path.join(BUILD, "disk_trace/trace")
SEED = 20251130
KILLS = 2000 if os.environ.get("SOAK") == "1" else 210

CHUNK = 256 << 10
REPORT = 4           # bytes of a number that disk_replay writes
OUTSIDE_LIMIT = 100  # requests that it may get on before a kill from outside
FLUSH, FUA, DISCARD = 1, 2, 4
DISK_SIZE = 64 << 20
# What a kill leaves is the page cache, so nothing has to wait for a real disk.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def tool(*arguments):
    status, output = run(TOOL, *map(str, arguments))
    expect(status == 0, f"disk_tool {arguments[0]}: {output.strip()}")


class Request:
    """Of the recording: sectors that are written or discarded, or none; then perhaps a flush."""

    def __init__(self, sector, sectors, flags, data):
        self.sector, self.sectors, self.flags, self.data = sector, sectors, flags, data

    def content(self, sector):
        """What the sector has afterwards; None: zeros, or what it had."""
        start = (sector - self.sector) * SECTOR
        return None if self.flags & DISCARD else self.data[start:start + SECTOR]


class Trace:
    """The recording, in the format that disk_replay.c tells of."""

    def __init__(self, path):
        with open(path, "rb") as stream:
            self.log = stream.read()
        self.requests, self.ends = [], []
        place = SECTOR
        for _ in range(struct.unpack_from("<QQQ", self.log)[2]):
            sector, sectors, flags = struct.unpack_from("<QQQ", self.log, place)
            place += SECTOR
            length = 0 if flags & DISCARD else sectors * SECTOR
            self.requests.append(Request(sector, sectors, flags, self.log[place:place + length]))
            place += length
            self.ends.append(place)

    def allocations(self, first, block):
        """The requests from `first` on that are the first to write to a block of so many bytes."""
        found, seen = [], set()
        for number, request in enumerate(self.requests[first:] if block else [], first):
            blocks = set()
            if request.data:
                end = (request.sector + request.sectors) * SECTOR
                blocks = set(range(request.sector * SECTOR // block, -(-end // block)))
            if not blocks <= seen:
                found.append(number)
            seen |= blocks
        return found

    def write_beginning(self, path, count):
        with open(path, "wb") as stream:
            stream.write(self.log[:16] + count.to_bytes(8, "little") + self.log[24:self.ends[count - 1]])


def notes_of(request):
    """What the guest wrote down with this request."""
    if request.flags & DISCARD or request.sector * SECTOR < DISK_SIZE - NOTES_ROOM:
        return ()
    return parse_notes(request.data)


class Model:
    """What a disk must hold: after the requests before `kept`, which a kill takes nothing of, and perhaps, each sector for
    itself, after those before `reached`."""

    def __init__(self, requests, needs_flush):
        self.requests, self.needs_flush = requests, needs_flush
        self.kept = self.reached = self.completed = 0
        self.disk = bytearray(DISK_SIZE)
        self.discarded = bytearray(DISK_SIZE // SECTOR)
        self.files = Files()

    def _apply(self, request):
        flag = 1 if request.flags & DISCARD else 0
        self.discarded[request.sector:request.sector + request.sectors] = bytes([flag]) * request.sectors
        if not flag:
            start = request.sector * SECTOR
            self.disk[start:start + len(request.data)] = request.data
        self.files.take(notes_of(request))

    def complete(self, count):
        """So many requests of the recording are complete, and the next may have begun."""
        kept = count
        while self.needs_flush and kept > self.kept and not self.requests[kept - 1].flags & (FLUSH | FUA):
            kept -= 1
        for number in range(self.kept, kept):
            self._apply(self.requests[number])
        self.kept = max(self.kept, kept)
        self.completed = max(self.completed, count)
        self.reached = min(max(self.reached, count + 1), len(self.requests))

    def close(self, count):
        """So many requests are complete, and the disk has been closed."""
        for request in self.requests[self.kept:count]:
            self._apply(request)
        self.kept = self.completed = self.reached = count

    def uncertain_pieces(self):
        """Those of files that have perhaps been changed."""
        return {place for request in self.requests[self.kept:self.reached]
                for kind, place, _ in notes_of(request) if kind == "changing"}

    def verify(self, path):
        with open(path, "rb") as stream:
            for start in range(0, DISK_SIZE, CHUNK):
                found = stream.read(CHUNK)
                if found != self.disk[start:start + CHUNK]:
                    self._verify_sectors(start, found)

    def _verify_sectors(self, start, found):
        for place in range(0, CHUNK, SECTOR):
            content = found[place:place + SECTOR]
            if content != self.disk[start + place:start + place + SECTOR]:
                expect(self._may_hold((start + place) // SECTOR, content),
                       f"sector {(start + place) // SECTOR} has neither what was acknowledged nor what was written since")

    def _may_hold(self, sector, content):
        zeros = content == bytes(SECTOR)
        if zeros and self.discarded[sector]:
            return True
        for request in self.requests[self.kept:self.reached]:
            if request.sector <= sector < request.sector + request.sectors:
                written = request.content(sector)
                if content == written or (written is None and zeros):
                    return True
        return False


class Kind:
    """Of image: how it is made, and whether a kill may take what was not flushed."""

    def __init__(self, name, path, kind, block=0, child=False):
        self.name, self.path, self.kind, self.block, self.child = name, path, kind, block, child
        self.needs_flush = child and path.endswith(".vhdx")

    def make(self, trace):
        """The image and its model. A parent has the first half of the recording."""
        model = Model(trace.requests, self.needs_flush)
        for name in os.listdir("."):
            os.unlink(name)
        if not self.child:
            tool("create", self.path, DISK_SIZE, self.kind, *([self.block] if self.block else []))
            return model
        parent = "parent" + os.path.splitext(self.path)[1]
        half = len(trace.requests) // 2
        trace.write_beginning("half", half)
        tool("create", parent, DISK_SIZE, "dynamic")
        expect(replay(parent, self.kind, "half", 0, Kill(half + 1, 0)) == (half, False), "the parent was not made")
        tool("child", self.path, parent, self.block)
        model.close(half)
        return model


KINDS = [
    Kind("raw", "disk.raw", "raw"),
    Kind("fixed VHD", "disk.vhd", "fixed"),
    Kind("dynamic VHD", "disk.vhd", "dynamic", 512 << 10),
    Kind("dynamic VHD with blocks of 16 KiB", "disk.vhd", "dynamic", 16 << 10),
    Kind("differencing VHD", "disk.vhd", "differencing", 2 << 20, child=True),
    Kind("differencing VHD with blocks of 64 KiB", "disk.vhd", "differencing", 64 << 10, child=True),
    Kind("dynamic VHDX", "disk.vhdx", "dynamic", 1 << 20),
    Kind("differencing VHDX", "disk.vhdx", "differencing", 1 << 20, child=True),
]


class Kill:
    """Where: in a system call, `changes` of them after `stop` requests; or from outside, after `outside` requests."""

    def __init__(self, stop, changes, outside=None):
        self.stop, self.changes, self.outside = stop, changes, outside

    def __str__(self):
        if self.outside is not None:
            return f"after request {self.outside}, at any moment"
        return f"in change {self.changes} of the file after request {self.stop}"

    @classmethod
    def choose(cls, generator, model, turns, step):
        """`turns`: requests of special interest; `step`: how far to go on at most."""
        kind = generator.random()
        after = model.completed + generator.randrange(step)
        if kind < 0.15:
            return cls(model.kept, generator.randrange(8))  # perhaps while it opens the image
        if kind < 0.4:
            return cls(after + OUTSIDE_LIMIT, 0, after)
        next_turn = next((turn for turn in turns if turn >= model.completed), None)
        if kind < 0.6 and next_turn is not None:
            return cls(next_turn + generator.randrange(2), generator.randrange(4))
        return cls(after, generator.randrange(6))


def replay(path, kind, trace, first, kill):
    """(requests that are complete, whether the process was killed); otherwise it has come to the end."""
    reports, output = os.pipe()
    arguments = [REPLAY, path, kind, trace, first, kill.stop, kill.changes]
    process = os.posix_spawn(REPLAY, list(map(str, arguments)), os.environ,
                             file_actions=[(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_CLOSE, reports)])
    os.close(output)
    completed = first
    with os.fdopen(reports, "rb") as stream:
        if kill.outside is None:
            _, status = os.waitpid(process, os.WUNTRACED)
        else:
            while completed < kill.outside and (report := stream.read(REPORT)):
                completed = int.from_bytes(report, sys.byteorder)
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
        if os.WIFSTOPPED(status):
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
        while report := stream.read(REPORT):
            completed = int.from_bytes(report, sys.byteorder)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    expect(killed or status == 0, f"disk_replay ended with {status:#x} after request {completed}")
    return completed, killed


def examine(kind, model, closed=False):
    """Whether there was a file system to be examined, too."""
    if kind.kind != "raw":
        status, output = run(TOOL, "check", kind.path)
        sound = status == 0 or (not closed and "not sound" in output and "error:" not in output)
        expect(sound, f"check: {output.strip()}")
    tool("convert", kind.path, "copy", "raw")
    model.verify("copy")
    if model.files.exist:
        examine_file_system("copy", model.files, model.uncertain_pieces())
    os.unlink("copy")
    return model.files.exist


def kill_often(kind, trace, kills, generator):
    """Goes through the recording about once; returns how often the file system was examined."""
    model = kind.make(trace)
    turns = trace.allocations(model.kept, kind.block)
    step = 2 * (len(trace.requests) - model.kept) // kills + 1
    killed = examined = 0
    while True:
        kill = Kill.choose(generator, model, turns, step) if killed < kills else Kill(len(trace.requests) + 1, 0)
        completed, was_killed = replay(kind.path, kind.kind, TRACE, model.kept, kill)
        try:
            if was_killed:
                killed += 1
                model.complete(completed)
                examined += examine(kind, model)
                continue
            expect(completed == len(trace.requests), f"the replay ended after request {completed}")
            model.close(completed)
            examine(kind, model, closed=True)
        except Failure as failure:
            raise Failure(f"kill {killed}, {kill}, {completed} complete: {failure}") from failure
        if killed == kills:
            return examined
        model = kind.make(trace)


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else SEED
    kinds = [kind for kind in KINDS if len(sys.argv) < 3 or sys.argv[2] in kind.name]
    trace = Trace(TRACE)
    kills = -(-KILLS // len(KINDS))
    passed = failed = 0
    print(f"seed {seed}, {len(trace.requests)} requests", flush=True)
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="loam-kill-", dir=MEMORY) as directory:
            os.chdir(directory)
            try:
                examined = kill_often(kind, trace, kills, random.Random(f"{seed} {kind.name}"))
                print(f"ok      {kind.name}: {kills} kills, {examined} times with e2fsck", flush=True)
                passed += 1
            except (Failure, OSError, subprocess.TimeoutExpired) as failure:
                print(f"FAILED  {kind.name}: {failure}", flush=True)
                failed += 1
            os.chdir("/")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main())
