#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""VHDX images between Loam's disk engine, QEMU and libvhdi.

usage: vhdx_interop.py VHDX_TOOL [WORDS]

What the engine writes is read by qemu-img, qemu-io, vhdiinfo and libvhdi's Python binding, differencing images by the
latter; what qemu-img and qemu-io write is read by the engine, also with a log that is still to be replayed; both write
the same image in turn. Contents are compared byte for byte. With WORDS only cases with
them in their names are done. Prints a line for each case and "N passed, N failed"; the
exit status is 1 if a case failed or a program is missing.

Debian: qemu-utils libvhdi-utils python3-libvhdi
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
SECTOR = 512
DEBIAN_PYTHON = "/usr/bin/python3"


class Failure(Exception):
    pass


def run(*command, data=None):
    result = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    if result.returncode:
        raise Failure("%s: %s" % (" ".join(command[:4]), (result.stderr or result.stdout).decode(errors="replace").strip()))
    return result.stdout


def expect(what, got, wanted):
    if got != wanted:
        raise Failure("%s is %r, not %r" % (what, got, wanted))


class Tool:
    """The engine, through its test program."""

    def __init__(self, path):
        self.path = path

    def __call__(self, *arguments, data=None):
        return run(self.path, *[str(a) for a in arguments], data=data)

    def info(self, path):
        lines = self("info", path).decode().splitlines()
        return dict(line.partition(" ")[::2] for line in lines)


def qemu_size(path):
    return json.loads(run("qemu-img", "info", "-f", "vhdx", "--output=json", path))["virtual-size"]


def qemu_write(path, content, sector):
    with tempfile.NamedTemporaryFile(dir=".") as pattern:
        pattern.write(content)
        pattern.flush()
        output = run("qemu-io", "-f", "vhdx", "-c",
                     "write -s %s %d %d" % (pattern.name, sector * SECTOR, len(content)), path).decode()
    if "wrote %d/%d" % (len(content), len(content)) not in output:
        raise Failure("qemu-io: " + output.strip())


def qemu_read(path, offset, length):
    """A window of the disk, through QEMU's raw driver above its VHDX driver."""
    options = "driver=raw,offset=%d,size=%d,file.driver=vhdx,file.file.driver=file,file.file.filename=%s"
    run("qemu-img", "convert", "--image-opts", "-O", "raw", options % (offset, length, path), "window")
    with open("window", "rb") as window:
        return window.read()


def vhdi_size(path):
    match = re.search(r"Media size\s*:.*?\(?(\d+) bytes\)?", run("vhdiinfo", path).decode())
    if not match:
        raise Failure("vhdiinfo gives no size")
    return int(match.group(1))


class Vhdi:
    """libvhdi's view of an image and its parents."""

    def __init__(self, *paths):
        import pyvhdi
        self.images = []
        for path in paths:
            image = pyvhdi.file()
            image.open(path)
            self.images.append(image)
        for child, parent in zip(self.images, self.images[1:]):
            child.set_parent(parent)

    def read(self, sector, sectors):
        return self.images[0].read_buffer_at_offset(sectors * SECTOR, sector * SECTOR)

    def close(self):
        for image in self.images:
            image.close()


class Disk:
    """What a disk should hold: written stretches, zeros elsewhere."""

    def __init__(self, size, seed, unit=SECTOR):
        self.size = size
        self.unit = unit // SECTOR
        self.random = random.Random(seed)
        self.writes = []

    def stretches(self, count, limit=None):
        """Stretches to be written: at the start, at the end, over block boundaries, and at random below `limit`."""
        sectors = self.size // SECTOR
        places = [(0, 3), (sectors - 5, 5), (4090, 20), (sectors // 2, 300)]
        top = min(sectors, (limit or self.size) // SECTOR)
        places += [(self.random.randrange(top), self.random.randrange(1, 200)) for _ in range(count)]
        for sector, length in places:
            sector = max(sector, 0) // self.unit * self.unit
            length = min(-(-length // self.unit) * self.unit, sectors - sector)
            content = self.random.randbytes(length * SECTOR)
            self.writes.append((sector, content))
            yield sector, content

    def expected(self, sector, sectors):
        content = bytearray(sectors * SECTOR)
        for start, written in self.writes:
            first = max(sector, start)
            last = min(sector + sectors, start + len(written) // SECTOR)
            if first < last:
                content[(first - sector) * SECTOR:(last - sector) * SECTOR] = \
                    written[(first - start) * SECTOR:(last - start) * SECTOR]
        return bytes(content)

    def windows(self):
        """Around what was written."""
        for start, written in self.writes:
            first = max(0, start - 9) // 8 * 8
            last = min(self.size // SECTOR, (start + len(written) // SECTOR + 16) // 8 * 8)
            yield first, last - first

    def expect_qemu(self, path):
        expect("qemu-img's size", qemu_size(path), self.size)
        for sector, sectors in self.windows():
            if qemu_read(path, sector * SECTOR, sectors * SECTOR) != self.expected(sector, sectors):
                raise Failure("qemu-img reads sector %d differently" % sector)

    def expect_vhdi(self, *paths):
        expect("vhdiinfo's size", vhdi_size(paths[0]), self.size)
        image = Vhdi(*paths)
        try:
            for sector, sectors in self.windows():
                if image.read(sector, sectors) != self.expected(sector, sectors):
                    raise Failure("libvhdi reads sector %d differently" % sector)
        finally:
            image.close()

    def expect_loam(self, tool, path, *parents):
        expect("size", int(tool.info(path)["size"]), self.size)
        for sector, sectors in self.windows():
            if tool("read", path, sector, sectors, *parents) != self.expected(sector, sectors):
                raise Failure("sector %d is read differently" % sector)


SIZES = [("10 MiB", 10 * MIB), ("33 MiB and 3 sectors", 33 * MIB + 3 * SECTOR), ("127 GiB", 127 * GIB)]
LARGE = [("64 TiB", 64 * TIB)]


def written_by_loam(tool, size, kind, block, unit):
    disk = Disk(size, size + block, unit)
    tool("create", "a.vhdx", size, kind, block, unit)
    for sector, content in disk.stretches(10):
        tool("write", "a.vhdx", sector, "end", data=content)
    tool("check", "a.vhdx")
    disk.expect_loam(tool, "a.vhdx")
    disk.expect_vhdi("a.vhdx")
    if unit == SECTOR: # QEMU knows no other
        disk.expect_qemu("a.vhdx")
        run("qemu-img", "check", "-q", "-f", "vhdx", "a.vhdx")


def written_by_qemu(tool, size, kind, block):
    run("qemu-img", "create", "-q", "-f", "vhdx", "-o", "subformat=%s,block_size=%d" % (kind, block), "a.vhdx", str(size))
    disk = Disk(size, size)
    expect("format", tool.info("a.vhdx")["format"], kind)
    for sector, content in disk.stretches(8):
        qemu_write("a.vhdx", content, sector)
    tool("check", "a.vhdx")
    disk.expect_loam(tool, "a.vhdx")


def written_in_turn(tool, kind, creator):
    size = 70 * MIB + 7 * SECTOR
    if creator == "qemu":
        run("qemu-img", "create", "-q", "-f", "vhdx", "-o", "subformat=%s" % kind, "a.vhdx", str(size))
    else:
        tool("create", "a.vhdx", size, kind, MIB, SECTOR)
    disk = Disk(size, creator + kind)
    for number, (sector, content) in enumerate(disk.stretches(20)):
        if number % 2:
            qemu_write("a.vhdx", content, sector)
        else:
            tool("write", "a.vhdx", sector, "die" if number % 4 == 0 else "end", data=content)
    disk.expect_qemu("a.vhdx")
    disk.expect_loam(tool, "a.vhdx")
    tool("check", "a.vhdx")
    disk.expect_vhdi("a.vhdx")


def killed(tool):
    """A process that ends without closing leaves a log, which QEMU replays, and so does the engine."""
    size = 64 * MIB
    disk = Disk(size, "killed")
    tool("create", "a.vhdx", size, "dynamic", MIB, SECTOR)
    for number, (sector, content) in enumerate(disk.stretches(30)):
        tool("write", "a.vhdx", sector, "die", data=content)
        if number % 5 == 0:
            shutil.copy("a.vhdx", "b.vhdx")
            with open("a.vhdx", "rb") as image:
                before = image.read()
            disk.expect_loam(tool, "a.vhdx")
            with open("a.vhdx", "rb") as image:
                if image.read() != before:
                    raise Failure("reading has changed the image")
            run("qemu-img", "check", "-q", "-f", "vhdx", "-r", "all", "b.vhdx")
            disk.expect_qemu("b.vhdx")
            tool("check", "b.vhdx")
            disk.expect_loam(tool, "b.vhdx")


def interrupted(tool, verb, size, new_size, arguments):
    """Work that a kill ends after each change of the file: QEMU replays the log, and has the old or the new disk."""
    disk = Disk(size, verb)
    tool("create", "a.vhdx", size, "dynamic", MIB, SECTOR)
    for sector, content in disk.stretches(4, 16 * MIB):
        tool("write", "a.vhdx", sector, "end", data=content)
    for sector in range(5 * MIB // SECTOR, 9 * MIB // SECTOR, MIB // SECTOR):
        disk.writes.append((sector, bytes(MIB)))
        tool("write", "a.vhdx", sector, "end", data=bytes(MIB))
    sizes, changes = set(), 0
    while True:
        shutil.copy("a.vhdx", "b.vhdx")
        done = tool(verb, "b.vhdx", *arguments, changes)
        shutil.copy("b.vhdx", "c.vhdx")
        run("qemu-img", "check", "-q", "-f", "vhdx", "-r", "all", "b.vhdx")
        sizes.add(qemu_size("b.vhdx"))
        for sector, content in disk.writes[:4]:
            expect("what QEMU reads at %d after %d changes" % (sector, changes),
                   qemu_read("b.vhdx", sector * SECTOR, len(content)),
                   disk.expected(sector, len(content) // SECTOR))
        for copy in "b.vhdx", "c.vhdx": # with and without QEMU's replay
            disk.size = int(tool.info(copy)["size"])
            expect("the size", disk.size in (size, new_size), True)
            disk.expect_loam(tool, copy)
        if done:
            break
        changes += 1 if changes < 40 else 7
    expect("the sizes", sizes, {size, new_size})
    tool("check", "b.vhdx")


def crc32c(data):
    remainder = 0xffffffff
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82f63b78 if remainder & 1 else 0)
    return remainder ^ 0xffffffff


def lose_bat(path):
    """Makes the image one whose last changes of the BAT, which fits into a page, are in the log alone. QEMU 7.2 uses a
    new GUID for each entry, and has no log in use once the entry's contents are in their place."""
    with open(path, "r+b") as image:
        image.seek(192 * KIB)
        regions = image.read(80)
        bat = next(int.from_bytes(regions[at + 16:at + 24], "little") for at in (16, 48)
                   if regions[at:at + 4] == bytes.fromhex("6677c22d"))
        image.seek(bat)
        page = image.read(4 * KIB)
        image.seek(MIB)
        log = image.read(MIB)
        entry = next(log[at:at + 64] for at in range(0, MIB - 4 * KIB, 4 * KIB) if log[at:at + 4] == b"loge"
                     and log[at + 64:at + 68] == b"desc" and log[at + 72:at + 80] == page[:8]
                     and log[at + 4 * KIB + 8:at + 8 * KIB - 4] == page[8:-4])
        image.seek(bat)
        image.write(bytes(4 * KIB))
        for at in (64 * KIB, 128 * KIB):
            image.seek(at)
            header = bytearray(image.read(4 * KIB))
            header[48:64] = entry[32:48]
            header[4:8] = bytes(4)
            header[4:8] = crc32c(header).to_bytes(4, "little")
            image.seek(at)
            image.write(header)


def qemu_killed(tool):
    """QEMU is killed; what it has flushed is there, also if only its log has it."""
    size = 256 * MIB
    run("qemu-img", "create", "-q", "-f", "vhdx", "-o", "block_size=%d" % MIB, "a.vhdx", str(size))
    disk = Disk(size, "qemu killed")
    for round_number in range(4):
        commands = []
        for sector, content in disk.stretches(6):
            name = "pattern%d" % len(commands)
            with open(name, "wb") as pattern:
                pattern.write(content)
            commands += ["-c", "write -s %s %d %d" % (name, sector * SECTOR, len(content))]
        commands += ["-c", "flush", "-c", "sigraise %d" % signal.SIGKILL]
        killed_process = subprocess.run(["qemu-io", "-f", "vhdx"] + commands + ["a.vhdx"], stdout=subprocess.DEVNULL, timeout=60)
        expect("qemu-io's end", killed_process.returncode, -signal.SIGKILL)
        disk.expect_loam(tool, "a.vhdx")
        lose_bat("a.vhdx")
        disk.expect_loam(tool, "a.vhdx") # replayed in memory
        content = disk.random.randbytes(4 * SECTOR)
        disk.writes.append((round_number * 9000, content))
        tool("write", "a.vhdx", round_number * 9000, "end", data=content) # replayed in the file
        tool("check", "a.vhdx")
        disk.expect_qemu("a.vhdx")
        disk.expect_loam(tool, "a.vhdx")


def differencing(tool, unit, block):
    """A chain of three images, written by the engine; libvhdi reads all of it."""
    size = 40 * MIB
    disk = Disk(size, "chain", unit)
    tool("create", "a.vhdx", size, "dynamic", MIB, unit)
    for sector, content in disk.stretches(10):
        tool("write", "a.vhdx", sector, "end", data=content)
    tool("create", "b.vhdx", size, "differencing", block, unit, "a.vhdx")
    for sector, content in disk.stretches(10):
        tool("write", "b.vhdx", sector, "end", "a.vhdx", data=content)
    tool("create", "c.vhdx", size, "differencing", block, unit, "b.vhdx")
    for number, (sector, content) in enumerate(disk.stretches(10)):
        tool("write", "c.vhdx", sector, "die" if number % 2 else "end", "b.vhdx", "a.vhdx", data=content)
    if b"parent b.vhdx\n" not in tool("info", "c.vhdx"):
        raise Failure("the parent is not the one that was named")
    disk.expect_loam(tool, "c.vhdx", "b.vhdx", "a.vhdx")
    last = disk.random.randbytes(unit)
    disk.writes.append((0, last))
    tool("write", "c.vhdx", 0, "end", "b.vhdx", "a.vhdx", data=last) # replays what the last one left
    for path in ("a.vhdx", "b.vhdx", "c.vhdx"):
        tool("check", path)
    import pyvhdi
    image = pyvhdi.file()
    image.open("c.vhdx")
    expect("libvhdi's parent", os.path.basename((image.parent_filename or "").replace("\\", "/")), "b.vhdx")
    image.close()
    disk.expect_vhdi("c.vhdx", "b.vhdx", "a.vhdx")


def converted(tool):
    """qemu-img makes an image of a raw disk, and compares it with what the engine has written."""
    size = 20 * MIB
    disk = Disk(size, "converted")
    with open("source.raw", "wb") as raw:
        raw.truncate(size)
        tool("create", "loam.vhdx", size, "dynamic", 0, 0)
        for sector, content in disk.stretches(20):
            raw.seek(sector * SECTOR)
            raw.write(content)
            tool("write", "loam.vhdx", sector, "end", data=content)
    run("qemu-img", "convert", "-f", "raw", "-O", "vhdx", "source.raw", "qemu.vhdx")
    run("qemu-img", "compare", "-f", "vhdx", "-F", "vhdx", "loam.vhdx", "qemu.vhdx")
    run("qemu-img", "compare", "-f", "raw", "-F", "vhdx", "source.raw", "loam.vhdx")
    tool("check", "qemu.vhdx")
    disk.expect_loam(tool, "qemu.vhdx")


def cases():
    for name, size in SIZES + LARGE:
        yield "loam writes dynamic, %s" % name, written_by_loam, (size, "dynamic", 0, SECTOR)
    for name, size in SIZES[:2]:
        yield "loam writes fixed, %s" % name, written_by_loam, (size, "fixed", 0, SECTOR)
        yield "qemu writes fixed, %s" % name, written_by_qemu, (size, "fixed", 0)
    for name, size in SIZES:
        yield "qemu writes dynamic, %s" % name, written_by_qemu, (size, "dynamic", 0)
    for block in (MIB, 2 * MIB, 256 * MIB):
        yield "loam writes dynamic, 1 GiB, blocks of %d MiB" % (block // MIB), written_by_loam, (GIB, "dynamic", block, SECTOR)
        yield "qemu writes dynamic, 1 GiB, blocks of %d MiB" % (block // MIB), written_by_qemu, (GIB, "dynamic", block)
    yield "loam writes dynamic, 4 KiB sectors", written_by_loam, (100 * MIB + 4096, "dynamic", MIB, 4096)
    for kind in ("fixed", "dynamic"):
        for creator in ("qemu", "loam"):
            yield "both write %s made by %s" % (kind, creator), written_in_turn, (kind, creator)
    yield "a killed writer's image", killed, ()
    yield "a killed QEMU's image", qemu_killed, ()
    yield "resizing, interrupted", interrupted, ("resize", 64 * MIB, 96 * MIB, [96 * MIB])
    yield "resizing, interrupted while the BAT moves", interrupted, ("resize", 128 * GIB, 200 * GIB, [200 * GIB])
    yield "compacting, interrupted", interrupted, ("compact", 64 * MIB, 64 * MIB, [])
    yield "a chain of differencing images", differencing, (SECTOR, 0)
    yield "a chain of differencing images, blocks of 1 MiB", differencing, (SECTOR, MIB)
    yield "a chain of differencing images, 4 KiB sectors", differencing, (4096, MIB)
    yield "converted by qemu-img", converted, ()


def check_programs():
    missing = [name for name in ("qemu-img", "qemu-io", "vhdiinfo") if not shutil.which(name)]
    try:
        import pyvhdi
        del pyvhdi
    except ImportError:
        # The package belongs to Debian's own interpreter.
        if os.path.exists(DEBIAN_PYTHON) and not os.path.samefile(sys.executable, DEBIAN_PYTHON):
            os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON] + sys.argv)
        missing.append("pyvhdi")
    if missing:
        sys.exit("missing: %s (Debian: qemu-utils libvhdi-utils python3-libvhdi)" % ", ".join(missing))


def main():
    check_programs()
    tool = Tool(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else
                                os.path.join(os.environ.get("BUILD", "build"), "unit/helper/vhdx_tool")))
    passed = failed = 0
    for name, function, arguments in cases():
        if not all(word in name for word in sys.argv[2:]):
            continue
        with tempfile.TemporaryDirectory(prefix="loam-interop-") as directory:
            os.chdir(directory)
            try:
                function(tool, *arguments)
                print("ok      %s" % name, flush=True)
                passed += 1
            except Failure as failure:
                print("FAILED  %s: %s" % (name, failure), flush=True)
                failed += 1
            except Exception:
                print("FAILED  %s: %s" % (name, traceback.format_exc()), flush=True)
                failed += 1
            os.chdir("/")
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


sys.exit(main())
