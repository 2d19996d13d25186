#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks whose parent is fetched, with loam-fetch and a web server: what is read is right, and fetched once, also when the
disk's process or loam-fetch is killed, and the server goes and comes back.

Usage: disk_stream_test.py [KILLS]     after make build/bin/{loam,loam-fetch} build/unit/helper/disk_stream
"""
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from range_server import RangeServer

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOAM = os.path.join(TOP, "build/bin/loam")
FETCH = os.path.join(TOP, "build/bin/loam-fetch")
STREAM = os.path.join(TOP, "build/unit/helper/disk_stream")
MIB = 1 << 20
SIZE = 24 * MIB
PIECE = 256 << 10
UNDER_WAY = 8  # pieces that a disk that is killed may have asked for without storing them
UNFLUSHED = 4 * MIB  # that a VHDX loses with its process
METADATA = MIB  # of an image behind a URL, that is read again at each start


def check(condition, text):
    if not condition:
        sys.exit(f"disk_stream_test: {text}")


class Run:
    """A process of the disk and its loam-fetch."""

    def __init__(self, child, url, seed, output):
        ends = socket.socketpair()
        self.fetch = subprocess.Popen([FETCH, "--socket-fd", str(ends[0].fileno()), url], pass_fds=[ends[0].fileno()])
        with open(output, "wb") as file:
            self.disk = subprocess.Popen([STREAM, child, str(ends[1].fileno()), str(seed)], stdout=file,
                                         pass_fds=[ends[1].fileno()])
        for end in ends:
            end.close()

    def end(self):
        """The disk's exit status; loam-fetch ends with it."""
        status = self.disk.wait(timeout=120)
        self.fetch.wait(timeout=30)
        return status


def expect_same(path, content):
    with open(path, "rb") as file:
        got = file.read()
    check(len(got) == len(content), f"the disk has {len(got)} bytes instead of {len(content)}")
    for offset in range(0, len(content), 512):
        check(got[offset:offset + 512] == content[offset:offset + 512], f"sector {offset // 512} is wrong")


def try_shape(directory, kind, kills, chance):
    """`kind`: what is at the URL. The disk's process is killed a few times on the way."""
    content = chance.randbytes(SIZE)
    parent, child, output = (os.path.join(directory, name) for name in ("parent", "child." + kind, "output"))
    with open(parent, "wb") as file:
        file.write(content)
    image = parent
    if kind != "vhd":
        image = os.path.join(directory, "image.vhdx")
        subprocess.run([LOAM, "disk", "convert", "--source-raw", parent, image], check=True)
    with open(image, "rb") as file:
        served = file.read()
    with RangeServer(served) as server:
        subprocess.run([LOAM, "disk", "create", child, "--parent", server.url,
                        *(["--parent-raw"] if image == parent else [])], check=True)
        server.served = 0
        for kill in range(kills):
            run = Run(child, server.url, kill, output)
            time.sleep(chance.uniform(0, 0.25))
            run.disk.kill()
            run.end()
        run = Run(child, server.url, kills, output)
        check(run.end() == 0, "the disk's process has failed")
        expect_same(output, content)
        most = len(served) + (kills + 1) * (UNDER_WAY * PIECE + UNFLUSHED + METADATA)
        check(server.served <= most, f"{server.served} bytes were fetched of {len(served)}, more than {most}")
        checked = subprocess.run([LOAM, "disk", "check", child], capture_output=True, text=True)
        check(checked.returncode == 0, f"the child is damaged: {checked.stdout}{checked.stderr}")
        before = server.served
        run = Run(child, server.url, 1, output)
        check(run.end() == 0, "the disk's process has failed when all was local")
        expect_same(output, content)
        check(server.served - before <= METADATA, f"{server.served - before} bytes were fetched again")


def server_goes_and_comes_back(directory, chance):
    """Nothing is lost, and nothing fails."""
    content = chance.randbytes(SIZE)
    child, output = os.path.join(directory, "patient.vhdx"), os.path.join(directory, "output")
    server = RangeServer(content)
    port = server.port
    subprocess.run([LOAM, "disk", "create", child, "--parent", server.url, "--parent-raw"], check=True)
    run = Run(child, server.url, 3, output)
    while server.served < 2 * MIB:
        time.sleep(0.01)
    server.close()
    time.sleep(0.5)
    check(run.disk.poll() is None, "the disk's process did not wait")
    with RangeServer(content, port):
        check(run.end() == 0, "the disk's process has failed")
    expect_same(output, content)


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    chance = random.Random(1)
    directory = tempfile.mkdtemp(prefix="stream-")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for kind in ("vhd", "vhdx"):
            try_shape(directory, kind, kills, chance)
            print(f"PASS {kind} over a URL, killed {kills} times", flush=True)
        server_goes_and_comes_back(directory, chance)
        print("PASS a server that goes and comes back")
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
