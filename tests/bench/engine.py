# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk engine beside QEMU's block layer: the same requests to the same images in memory, one at a time, in turn. What
counts is the ratio of the two; seconds are the host's."""
import os
import re
import shutil
import subprocess
import tempfile

from images import BUILD

ENGINE = os.path.join(BUILD, "bench/disk")
MIB = 1 << 20
GIB = 1 << 30
ROUNDS = 3
STRIDE = 400031744  # from request to request of "random" ones, a multiple of 4096 that is no divisor of the disk's size

# Name, read or write, bytes a request, bytes from one to the next, requests.
PATTERNS = (("random 4 KiB reads", "read", 4096, STRIDE, 100000),
            ("random 4 KiB writes", "write", 4096, STRIDE, 100000),
            ("1 MiB reads in a row", "read", MIB, MIB, 2000),
            ("1 MiB writes in a row", "write", MIB, MIB, 2000))
ALLOCATIONS = (("writes of 4 KiB to new blocks", 64 * GIB, 4096, 2 * MIB, 20000),
               ("writes of 64 KiB that fill new blocks", 2 * GIB, 65536, 65536, 32768))


def run(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=600).stdout


def ours(*arguments):
    return float(run(ENGINE, *map(str, arguments)) or 0)


def theirs(path, form, what, size, step, count):
    output = run("qemu-img", "bench", "-f", "vpc" if form == "vhd" else "raw", "-d", "1", "-c", str(count), "-s", str(size),
                 "-S", str(step), *(["-w"] if what == "write" else []), path)
    return float(re.search(r"in ([0-9.]+) sec", output).group(1))


def timed(*arguments):
    """Of a command, by the kernel's account of it and its children: seconds until it ends."""
    begin = os.times().elapsed
    run(*arguments)
    return os.times().elapsed - begin


def best(*measures):
    """The least of each of the measures, which are taken in turn."""
    rounds = [[measure() for measure in measures] for _ in range(ROUNDS)]
    return [min(column) for column in zip(*rounds)]


class Engine:
    def __init__(self, bench, directory):
        self.bench = bench
        self.directory = directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def ratio(self, name, our_seconds, their_seconds, budget=1.0):
        self.bench.add(name, their_seconds / our_seconds, "times QEMU's", budget, most=False,
                       note=f"{our_seconds:.3f} s and {their_seconds:.3f} s")

    def requests(self):
        for form, kind in (("vhd", "dynamic"), ("vhd", "fixed"), ("raw", "raw")):
            path = self.path(kind)
            ours("create", path, GIB, kind)
            ours("write", path, form, MIB, MIB, 1024)
            for name, what, size, step, count in PATTERNS:
                self.ratio(f"{kind}, {name}", *best(lambda: ours(what, path, form, size, step, count),
                                                    lambda: theirs(path, form, what, size, step, count)))
            os.unlink(path)

    def allocation(self):
        def fresh(size, measure):
            path = self.path("new")
            if os.path.exists(path):
                os.unlink(path)
            ours("create", path, size, "dynamic")
            return measure(path)
        for name, disk, size, step, count in ALLOCATIONS:
            self.ratio(f"dynamic, {name}", *best(
                lambda: fresh(disk, lambda path: ours("write", path, "vhd", size, step, count)),
                lambda: fresh(disk, lambda path: theirs(path, "vhd", "write", size, step, count))), 2.0)
        os.unlink(self.path("new"))

    def chain(self):
        """QEMU does not know the parent of a VHD, so the measure is the same disk in one image."""
        single, child = self.path("single"), self.path("single")
        ours("create", single, GIB, "dynamic")
        ours("write", single, "vhd", MIB, MIB, 1024)
        for number in range(10):
            parent, child = child, self.path(f"child{number}")
            ours("child", child, parent)
            ours("write", child, "vhd", 4096, 7340032 + number * 4096, 3000)
        for name, what, size, step, count in PATTERNS:
            if what == "read":
                one, ten = best(lambda: ours(what, single, "vhd", size, step, count),
                                lambda: ours(what, child, "vhd", size, step, count))
                # A long read has as many pieces as the children were written in, which cost what pieces cost.
                self.bench.add(f"ten children, {name}", ten / one, "times one's", 1.5 if size == 4096 else None,
                               note=f"{ten:.3f} s")

    def opening(self):
        path = self.path("large")
        ours("create", path, 2040 * GIB, "dynamic")
        for name, blocks in (("empty", 0), ("half full", 500000)):
            if blocks:
                ours("write", path, "vhd", 512, 2 * MIB, blocks)
            seconds, = best(lambda: ours("open", path, "vhd", 5))
            self.bench.add(f"opening a dynamic VHD of 2040 GiB, {name}", seconds * 1000, "ms", 20)
        os.unlink(path)

    def converting(self):
        source, to = self.path("source"), self.path("converted")
        ours("create", source, GIB, "dynamic")
        ours("write", source, "vhd", MIB, MIB, 1024)
        for name, form, subformat in (("dynamic to raw", "raw", None), ("dynamic to dynamic", "dynamic", "dynamic")):
            their = ["qemu-img", "convert", "-f", "vpc", "-O", "vpc" if subformat else "raw", source, to]
            self.ratio(f"convert {name}", *best(
                lambda: timed(f"{BUILD}/bin/loam", "disk", "convert", "--replace", "--format", form, source, to),
                lambda: timed(*their)))
        os.unlink(source)
        os.unlink(to)

    def merging(self):
        """QEMU has no children of VHDs, so its own is a qcow2 over the same VHD, with the same data."""
        base, parent = self.path("base"), self.path("parent.vhd")
        ours("create", base, GIB, "dynamic")
        ours("write", base, "vhd", MIB, MIB, 1024)

        def merge(child, make, *command):
            for path in (parent, child):
                if os.path.exists(path):
                    os.unlink(path)
            shutil.copyfile(base, parent)
            make(child)
            return timed(*command, child)

        def our_child(path):
            ours("child", path, parent)
            ours("write", path, "vhd", MIB, 2 * MIB, 500)

        def their_child(path):
            run("qemu-img", "create", "-q", "-f", "qcow2", "-b", parent, "-F", "vpc", path)
            run("qemu-img", "bench", "-q", "-f", "qcow2", "-w", "-d", "1", "-c", "500", "-s", str(MIB), "-S", str(2 * MIB), path)
        self.ratio("merge 500 MiB into the parent", *best(
            lambda: merge(self.path("child.vhd"), our_child, f"{BUILD}/bin/loam", "disk", "merge"),
            lambda: merge(self.path("child.qcow2"), their_child, "qemu-img", "commit", "-q")))
        os.unlink(base)
        os.unlink(parent)


def engine(bench):
    directory = tempfile.mkdtemp(prefix="loam-engine-", dir="/dev/shm")
    try:
        measured = Engine(bench, directory)
        for part in (measured.requests, measured.allocation, measured.opening, measured.converting, measured.merging,
                     measured.chain):
            part()
    finally:
        shutil.rmtree(directory)
