#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""VHD images between Loam's disk engine, QEMU and libvhdi.

usage: disk_interop.py DISK_TOOL

What the engine writes is read by qemu-img, qemu-io, vhdiinfo and libvhdi's Python binding; what qemu-img and qemu-io
write is read by the engine; both write the same image in turn. Contents are compared byte for byte. Prints a line for
each case and "N passed, N failed"; the exit status is 1 if a case failed or a program is missing.

Debian: qemu-utils libvhdi-utils python3-libvhdi
"""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
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
    return json.loads(run("qemu-img", "info", "-f", "vpc", "--output=json", path))["virtual-size"]


def qemu_raw(path, raw):
    run("qemu-img", "convert", "-f", "vpc", "-O", "raw", path, raw)


def qemu_write(path, content, sector):
    """Writes with qemu-io; `-s` takes the bytes from a file."""
    with tempfile.NamedTemporaryFile(dir=".") as pattern:
        pattern.write(content)
        pattern.flush()
        output = run("qemu-io", "-f", "vpc", "-c",
                     "write -s %s %d %d" % (pattern.name, sector * SECTOR, len(content)), path).decode()
    if "wrote %d/%d" % (len(content), len(content)) not in output:
        raise Failure("qemu-io: " + output.strip())


def qemu_read(path, offset, length):
    """A window of the disk, through QEMU's raw driver above its VHD driver."""
    options = "driver=raw,offset=%d,size=%d,file.driver=vpc,file.file.driver=file,file.file.filename=%s"
    run("qemu-img", "convert", "--image-opts", "-O", "raw", options % (offset, length, path), "window")
    with open("window", "rb") as window:
        return window.read()


def vhdi_size(path):
    match = re.search(r"Media size\s*:.*?\(?(\d+) bytes\)?", run("vhdiinfo", path).decode())
    if not match:
        raise Failure("vhdiinfo gives no size")
    return int(match.group(1))


def vhdi_read(path, offset, length):
    import pyvhdi
    image = pyvhdi.file()
    image.open(path)
    try:
        return image.read_buffer_at_offset(length, offset)
    finally:
        image.close()


class Disk:
    """What a disk should hold: written stretches, zeros elsewhere."""

    def __init__(self, size, seed):
        self.size = size
        self.random = random.Random(seed)
        self.writes = []

    def stretches(self, count, unit=1):
        """Stretches to be written: at the start, at the end, over block boundaries, and at random; in whole units."""
        sectors = self.size // SECTOR
        places = [(0, 3), (sectors - 5, 5), (4090, 20), (sectors // 2, 300)]
        places += [(self.random.randrange(sectors), self.random.randrange(1, 200)) for _ in range(count)]
        for sector, length in places:
            sector, length = sector // unit * unit, -(-length // unit) * unit
            if sector < 0 or sector >= sectors:
                continue
            content = self.random.randbytes(min(length, sectors - sector) * SECTOR)
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

    def resize(self, size):
        """What is cut off is lost; what is new is zeros."""
        self.size = size
        self.writes = [(sector, content[:size - sector * SECTOR]) for sector, content in self.writes
                       if sector * SECTOR < size]

    def expect_raw(self, path):
        expect("size of " + path, os.path.getsize(path), self.size)
        step = 32768
        with open(path, "rb") as raw:
            for sector in range(0, self.size // SECTOR, step):
                sectors = min(step, self.size // SECTOR - sector)
                if raw.read(sectors * SECTOR) != self.expected(sector, sectors):
                    raise Failure("%s differs within sectors %d to %d" % (path, sector, sector + sectors - 1))

    def windows(self):
        """Stretches to read of a disk that is too large to be read as a whole: around what was written."""
        for start, written in self.writes:
            first = max(0, start - 9)
            last = min(self.size // SECTOR, start + len(written) // SECTOR + 9)
            yield first, last - first


SMALL = [("10 MiB", 10 * MIB), ("100 MiB", 100 * MIB), ("33 MiB and 3 sectors", 33 * MIB + 3 * SECTOR)]
LARGE = [("127 GiB", 127 * GIB), ("130 GiB and a sector", 130 * GIB + SECTOR), ("2040 GiB", 2040 * GIB)]


def written_by_loam(tool, size, kind, block):
    disk = Disk(size, size + block)
    tool("create", "a.vhd", size, kind, *([block] if block else []))
    for sector, content in disk.stretches(12):
        tool("write", "a.vhd", sector, data=content)
    tool("check", "a.vhd")
    expect("qemu-img's size", qemu_size("a.vhd"), size)
    expect("vhdiinfo's size", vhdi_size("a.vhd"), size)
    if size <= GIB:
        qemu_raw("a.vhd", "a.raw")
        disk.expect_raw("a.raw")
        tool("convert", "a.vhd", "b.raw", "raw")
        disk.expect_raw("b.raw")
    for sector, sectors in disk.windows():
        wanted = disk.expected(sector, sectors)
        if vhdi_read("a.vhd", sector * SECTOR, sectors * SECTOR) != wanted:
            raise Failure("libvhdi reads sector %d differently" % sector)
        if qemu_read("a.vhd", sector * SECTOR, sectors * SECTOR) != wanted:
            raise Failure("qemu-img reads sector %d differently" % sector)


def written_by_qemu(tool, size, kind, force_size):
    run("qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=%s,force_size=%s" % (kind, force_size), "a.vhd", str(size))
    virtual = qemu_size("a.vhd")
    if force_size == "on":
        expect("qemu-img's size", virtual, size)
    disk = Disk(virtual, size)
    for sector, content in disk.stretches(8):
        qemu_write("a.vhd", content, sector)
    info = tool.info("a.vhd")
    expect("size", int(info["size"]), virtual)
    expect("format", info["format"], kind)
    tool("check", "a.vhd")
    if virtual <= GIB:
        tool("convert", "a.vhd", "a.raw", "raw")
        disk.expect_raw("a.raw")
    for sector, sectors in disk.windows():
        if tool("read", "a.vhd", sector, sectors) != disk.expected(sector, sectors):
            raise Failure("sector %d is read differently" % sector)


def written_in_turn(tool, kind, creator):
    size = 70 * MIB + 7 * SECTOR
    if creator == "qemu":
        run("qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=%s,force_size=on" % kind, "a.vhd", str(size))
    else:
        tool("create", "a.vhd", size, kind)
    disk = Disk(size, creator + kind)
    for number, (sector, content) in enumerate(disk.stretches(30)):
        if number % 2:
            qemu_write("a.vhd", content, sector)
        else:
            tool("write", "a.vhd", sector, *(["crash"] if number % 4 == 0 else []), data=content)
        tool("check", "a.vhd")
    qemu_raw("a.vhd", "a.raw")
    disk.expect_raw("a.raw")
    tool("convert", "a.vhd", "b.raw", "raw")
    disk.expect_raw("b.raw")


def killed(tool):
    """A process that ends without closing leaves an image that others read and write."""
    size = 64 * MIB
    disk = Disk(size, "killed")
    tool("create", "a.vhd", size, "dynamic", 64 * KIB)
    for sector, content in disk.stretches(30):
        tool("write", "a.vhd", sector, "crash", data=content)
        tool("check", "a.vhd")
    qemu_raw("a.vhd", "a.raw")
    disk.expect_raw("a.raw")
    expect("vhdiinfo's size", vhdi_size("a.vhd"), size)
    for sector, content in disk.stretches(10):
        qemu_write("a.vhd", content, sector)
    tool("convert", "a.vhd", "b.raw", "raw")
    disk.expect_raw("b.raw")


def converted(tool, size, kind):
    """Both programs make an image of the same raw one, and turn the other's back."""
    disk = Disk(size, "converted")
    with open("source.raw", "wb") as raw:
        raw.truncate(size)
        for sector, content in disk.stretches(20):
            raw.seek(sector * SECTOR)
            raw.write(content)
    tool("convert", "source.raw", "loam.vhd", kind)
    run("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=%s,force_size=on" % kind, "source.raw", "qemu.vhd")
    run("qemu-img", "compare", "-f", "vpc", "-F", "vpc", "loam.vhd", "qemu.vhd")
    run("qemu-img", "compare", "-f", "raw", "-F", "vpc", "source.raw", "loam.vhd")
    expect("qemu-img's size", qemu_size("loam.vhd"), size)
    tool("convert", "qemu.vhd", "back.raw", "raw")
    disk.expect_raw("back.raw")
    for other in ("fixed", "dynamic"):
        tool("convert", "qemu.vhd", other + ".vhd", other)
        run("qemu-img", "compare", "-f", "raw", "-F", "vpc", "source.raw", other + ".vhd")
        expect("qemu-img's size", qemu_size(other + ".vhd"), size)


def resized(tool, kind, creator):
    """Each size is what the others take it for, and both write to it."""
    sizes = [33 * MIB + 3 * SECTOR, 70 * MIB, 70 * MIB + 5 * SECTOR, 20 * MIB + SECTOR, 90 * MIB, 90 * MIB - 9 * SECTOR]
    if creator == "qemu":
        run("qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=%s" % kind, "a.vhd", str(sizes[0]))
    else:
        tool("create", "a.vhd", sizes[0], kind)
    disk = Disk(qemu_size("a.vhd"), creator + kind)
    for size in sizes[1:]:
        for number, (sector, content) in enumerate(disk.stretches(6)):
            if number % 2:
                qemu_write("a.vhd", content, sector)
            else:
                tool("write", "a.vhd", sector, data=content)
        tool("resize", "a.vhd", size, "discard")
        disk.resize(size)
        tool("check", "a.vhd")
        expect("qemu-img's size", qemu_size("a.vhd"), size)
        qemu_raw("a.vhd", "a.raw")
        disk.expect_raw("a.raw")
        tool("convert", "a.vhd", "b.raw", "raw")
        disk.expect_raw("b.raw")
        os.unlink("b.raw")
        known = vhdi_size("a.vhd") // SECTOR  # Original Size, which stays as it was
        for sector, sectors in disk.windows():
            sectors = min(sectors, known - sector)
            if sectors > 0 and vhdi_read("a.vhd", sector * SECTOR, sectors * SECTOR) != disk.expected(sector, sectors):
                raise Failure("libvhdi reads sector %d differently" % sector)


def resized_to_the_limit(tool):
    """A table of four million entries behind the last block."""
    tool("create", "a.vhd", 10 * MIB, "dynamic")
    disk = Disk(10 * MIB, "limit")
    for sector, content in disk.stretches(3):
        tool("write", "a.vhd", sector, data=content)
    tool("resize", "a.vhd", 2040 * GIB)
    disk.resize(2040 * GIB)
    for number, (sector, content) in enumerate(disk.stretches(6)):
        if number % 2:
            qemu_write("a.vhd", content, sector)
        else:
            tool("write", "a.vhd", sector, data=content)
    tool("check", "a.vhd")
    expect("qemu-img's size", qemu_size("a.vhd"), 2040 * GIB)
    for sector, sectors in disk.windows():
        wanted = disk.expected(sector, sectors)
        if qemu_read("a.vhd", sector * SECTOR, sectors * SECTOR) != wanted or \
                tool("read", "a.vhd", sector, sectors) != wanted:
            raise Failure("sector %d is read differently" % sector)


def repaired(tool, creator):
    """An image with damaged footers and blocks over each other is the same to all when it is mended."""
    size, block, table = 20 * MIB, 2 * MIB, 1536
    if creator == "qemu":
        run("qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=dynamic,force_size=on", "a.vhd", str(size))
    else:
        tool("create", "a.vhd", size, "dynamic")
    disk = Disk(size, creator)
    for number in range(size // block):
        content = disk.random.randbytes(64 * KIB)
        disk.writes.append((number * block // SECTOR, content))
        qemu_write("a.vhd", content, number * block // SECTOR)
    with open("a.vhd", "r+b") as image:
        image.seek(table)
        entries = [int.from_bytes(image.read(4), "big") for _ in range(size // block)]
        entries[3], entries[7] = entries[1], 2
        image.seek(table)
        image.write(b"".join(entry.to_bytes(4, "big") for entry in entries))
        image.seek(40)
        image.write(b"\xee")
    findings = tool("repair", "a.vhd").decode()
    for text in ("the copy of the footer at the start is damaged", "blocks 1 and 3 lie over each other",
                 "block 7 lies at byte 1024, over the header"):
        if text not in findings:
            raise Failure("not found: " + text)
    disk.writes[3] = (3 * block // SECTOR, disk.writes[1][1])
    del disk.writes[7]
    tool("check", "a.vhd")
    expect("vhdiinfo's size", vhdi_size("a.vhd"), size)
    qemu_raw("a.vhd", "a.raw")
    disk.expect_raw("a.raw")
    for sector, content in disk.stretches(10):
        qemu_write("a.vhd", content, sector)
    tool("check", "a.vhd")
    tool("convert", "a.vhd", "b.raw", "raw")
    disk.expect_raw("b.raw")
    for sector, sectors in disk.windows():
        if vhdi_read("a.vhd", sector * SECTOR, sectors * SECTOR) != disk.expected(sector, sectors):
            raise Failure("libvhdi reads sector %d differently" % sector)


def reconnected(tool):
    """libvhdi reads a child, of whose header and locators nothing is in its usual place, and finds the parent's name.

    It reads a byte of a bitmap as if all its bits were alike, so eight sectors are written at a time.
    """
    import pyvhdi
    size = 20 * MIB
    disk = Disk(size, "reconnected")
    tool("create", "base.vhd", size, "dynamic")
    for sector, content in disk.stretches(10):
        tool("write", "base.vhd", sector, data=content)
    tool("child", "child.vhd", "base.vhd")
    for name in ("first name.vhd", "second/name.vhd", "third name, which is longer.vhd"):
        for _ in range(5):
            sector, content = disk.random.randrange(size // SECTOR // 8 - 8) * 8, disk.random.randbytes(64 * SECTOR)
            disk.writes.append((sector, content))
            tool("write", "child.vhd", sector, data=content)
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        os.rename("base.vhd", name)
        tool("reconnect", "child.vhd", name)
        if os.path.basename(name) not in run("vhdiinfo", "child.vhd").decode():
            raise Failure("vhdiinfo does not show the parent's name")
        child, parent = pyvhdi.file(), pyvhdi.file()
        child.open("child.vhd")
        parent.open(name)
        child.set_parent(parent)
        for sector, sectors in disk.windows():
            wanted = disk.expected(sector, sectors)
            if child.read_buffer_at_offset(sectors * SECTOR, sector * SECTOR) != wanted:
                raise Failure("libvhdi reads sector %d differently" % sector)
            if tool("read", "child.vhd", sector, sectors) != wanted:
                raise Failure("sector %d is read differently" % sector)
        child.close()
        parent.close()
        os.rename(name, "base.vhd")
        tool("reconnect", "child.vhd", "base.vhd")


def vhdi_open_chain(paths):
    """The child's image and all that have to stay open with it."""
    import pyvhdi
    images = []
    for path in reversed(paths):
        image = pyvhdi.file()
        image.open(path)
        if images:
            image.set_parent(images[0])
        images.insert(0, image)
    return images


def vhdi_expect_chain(disk, paths):
    """Read so that no read crosses a block of any image, across which libvhdi does not read on in the parent."""
    images = vhdi_open_chain(paths)
    try:
        step = 4 * KIB
        for offset in range(0, disk.size, step):
            length = min(step, disk.size - offset)
            if images[0].read_buffer_at_offset(length, offset) != disk.expected(offset // SECTOR, length // SECTOR):
                raise Failure("libvhdi reads %s differently from byte %d on" % (paths[0], offset))
    finally:
        for image in images:
            image.close()


def chain_of_loam(tool, kind, blocks):
    """
    Differencing images as libvhdi reads them; qemu-img takes them for dynamic ones. Of a byte of a bitmap that is not all
    ones or zeros libvhdi takes what is behind the last one for set too, so what is written to children is in whole bytes.
    """
    disk = Disk(24 * MIB, kind + str(blocks))
    paths = []
    for name in ("a.vhd", "b.vhd", "c.vhd"):
        if paths:
            tool("child", name, paths[0], *blocks[len(paths) - 1:len(paths)])
        else:
            tool("create", name, disk.size, kind)
        paths.insert(0, name)
        for sector, content in disk.stretches(8, 8):
            tool("write", name, sector, data=content)
    information = run("vhdiinfo", "c.vhd").decode()
    for pattern in (r"Disk type\s*:\s*Differential", r"Parent filename\s*:\s*\S*b\.vhd"):
        if not re.search(pattern, information):
            raise Failure("vhdiinfo does not say %s: %s" % (pattern, information))
    vhdi_expect_chain(disk, paths)
    tool("convert", "c.vhd", "c.raw", "raw")
    disk.expect_raw("c.raw")

    tool("compact", "c.vhd")
    vhdi_expect_chain(disk, paths)
    tool("merge", "c.vhd")
    vhdi_expect_chain(disk, paths[1:])
    tool("merge", "b.vhd")
    tool("check", "a.vhd")
    qemu_raw("a.vhd", "a.raw")
    disk.expect_raw("a.raw")


def compacted(tool, creator, block):
    """An image with stretches of zeros, made by either program, after it has been compacted."""
    disk = Disk(33 * MIB + SECTOR, creator + str(block))
    if creator == "qemu":
        run("qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=dynamic,force_size=on", "a.vhd", str(disk.size))
    else:
        tool("create", "a.vhd", disk.size, "dynamic", block)
    write = (lambda sector, content: qemu_write("a.vhd", content, sector)) if creator == "qemu" else \
        (lambda sector, content: tool("write", "a.vhd", sector, data=content))
    for sector, content in disk.stretches(40):
        write(sector, content)
    for first in (2 * MIB, 13 * MIB):
        write(first // SECTOR, bytes(7 * MIB))
        disk.writes.append((first // SECTOR, bytes(7 * MIB)))
    before = os.path.getsize("a.vhd")
    tool("compact", "a.vhd")
    tool("check", "a.vhd")
    if os.path.getsize("a.vhd") >= before:
        raise Failure("it is no smaller")
    qemu_raw("a.vhd", "a.raw")
    disk.expect_raw("a.raw")
    vhdi_expect_chain(disk, ["a.vhd"])
    for sector, content in disk.stretches(6):
        qemu_write("a.vhd", content, sector)
    tool("convert", "a.vhd", "b.raw", "raw")
    disk.expect_raw("b.raw")


def cases():
    for kind in ("fixed", "dynamic"):
        for name, size in SMALL + LARGE:
            yield "loam writes %s, %s" % (kind, name), written_by_loam, (size, kind, 0)
    for block in (4 * KIB, 64 * KIB, 512 * KIB, 4 * MIB, 16 * MIB):
        yield "loam writes dynamic, 33 MiB, blocks of %d KiB" % (block // KIB), written_by_loam, \
            (33 * MIB + SECTOR, "dynamic", block)
    for kind in ("fixed", "dynamic"):
        for force_size in ("on", "off"):
            for name, size in SMALL + LARGE:
                yield "qemu writes %s, %s, force_size=%s" % (kind, name, force_size), written_by_qemu, \
                    (size, kind, force_size)
        for creator in ("qemu", "loam"):
            yield "both write %s made by %s" % (kind, creator), written_in_turn, (kind, creator)
        for name, size in SMALL:
            yield "both convert to %s, %s" % (kind, name), converted, (size, kind)
    for kind in ("fixed", "dynamic"):
        for creator in ("qemu", "loam"):
            yield "%s made by %s is resized" % (kind, creator), resized, (kind, creator)
    yield "resized to 2040 GiB", resized_to_the_limit, ()
    for creator in ("qemu", "loam"):
        yield "dynamic made by %s is repaired" % creator, repaired, (creator,)
    yield "a child is reconnected", reconnected, ()
    yield "a killed writer's image", killed, ()
    for kind in ("fixed", "dynamic"):
        for blocks in ((), (4 * KIB, 64 * KIB), (512 * KIB, 4 * KIB), (64 * KIB, 4 * MIB)):
            yield "a chain on a %s image, blocks %s" % (kind, blocks), chain_of_loam, (kind, blocks)
    for creator, block in (("qemu", 0), ("loam", 4 * KIB), ("loam", 64 * KIB), ("loam", 2 * MIB)):
        yield "compacting what %s made, blocks of %d" % (creator, block), compacted, (creator, block)


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
                                os.path.join(os.environ.get("BUILD", "build"), "unit/helper/disk_tool")))
    passed = failed = 0
    for name, function, arguments in cases():
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
