#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""End-to-end test of the verbs of loam about disks, with real files, and with kills in the middle of their work.

Usage: disk_command_test.py [-v] [CASE...]      after make build/bin/loam build/unit/helper/disk_tool
"""

import fcntl
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(TOP, "build")))
LOAM = os.path.join(os.environ.get("LOAM_BIN", os.path.join(BUILD, "bin")), "loam")
TOOL = os.path.join(BUILD, "unit/helper/disk_tool")
KILLS = 200 if os.environ.get("SOAK") == "1" else 8  # of each verb
LIMIT = 120  # seconds for anything that should take a moment
KIB, MIB, SECTOR = 1 << 10, 1 << 20, 512
SIZE = 40 * MIB + 3 * SECTOR

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


# The command ----------------------------------------------------------------------------------------------------------

def loam(*words):
    return subprocess.run([LOAM, "disk", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT, text=True)


def do(*words):
    done = loam(*words)
    equal((done.returncode, done.stderr), (0, ""), f"loam disk {' '.join(map(str, words))}")
    return done.stdout


def ask(*words):
    return json.loads(do(*words, "--json"))


def refuse(pattern, *words, status=1):
    done = loam(*words)
    what = f"loam disk {' '.join(map(str, words))}"
    equal(done.returncode, status, f"{what}: {done.stderr}")
    check(re.search(pattern, done.stderr), f"{what}: {done.stderr!r} does not match {pattern!r}")
    check(done.stderr.startswith("loam: ") and done.stderr.count("\n") == 1, f"{what}: {done.stderr!r} is no line")


# Disks ----------------------------------------------------------------------------------------------------------------

class Content:
    """What a disk should hold, and the writing of it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.bytes = bytearray(SIZE)

    def stretches(self, count, largest):
        for _ in range(count):
            sectors = self.random.randrange(1, largest)
            first = self.random.randrange(SIZE // SECTOR - sectors)
            data = bytes(sectors * SECTOR) if self.random.random() < 0.2 else self.random.randbytes(sectors * SECTOR)
            self.bytes[first * SECTOR:first * SECTOR + len(data)] = data
            yield first, data

    def write(self, path, count=10, largest=3000):
        for first, data in self.stretches(count, largest):
            subprocess.run([TOOL, "write", path, str(first)], input=data, check=True, timeout=LIMIT)

    def raw(self, path):
        with open(path, "wb") as file:
            file.write(self.bytes)

    def expect(self, path):
        """By a way that does not go through `loam disk compare`, and by that."""
        do("convert", path, "expected.raw", "--format", "raw", "--replace")
        with open("expected.raw", "rb") as file:
            check(file.read() == self.bytes, f"{path} does not hold what it should")
        do("compare", path, "expected.raw", "--strict")
        os.unlink("expected.raw")


def sound(path):
    done = loam("check", path, "--json")
    equal(done.returncode, 0, f"check of {path}: {done.stdout}{done.stderr}")


def chain(content, block_sizes=("2M", "64K", "512K"), ending="vhd"):
    """a.vhd, its child b.vhd and that one's child c.vhd, each written to."""
    a, b, c = (f"{name}.{ending}" for name in "abc")
    do("create", a, "--size", SIZE, "--block-size", block_sizes[0])
    content.write(a)
    do("create", b, "--parent", a, "--block-size", block_sizes[1])
    content.write(b)
    do("create", c, "--parent", b, "--block-size", block_sizes[2])
    content.write(c)


def vhdx_chain(content):
    chain(content, ("2M", "1M", "4M"), "vhdx")


def save(name, *paths):
    """Copies of files with all that a chain looks at, put in their places again by restore."""
    os.makedirs(name, exist_ok=True)
    for path in paths:
        shutil.copy2(path, os.path.join(name, path))


def restore(name):
    for path in os.listdir(name):
        shutil.copy2(os.path.join(name, path), path)


# Cases ----------------------------------------------------------------------------------------------------------------

@case
def create_children():
    do("create", "a.vhd", "--size", "10M")
    info = ask("create", "b.vhd", "--parent", "a.vhd")
    equal((info["format"], info["size"], info["parent_name"], info["parent_problem"]),
          ("differencing", 10 * MIB, "a.vhd", None))
    equal(info["parent_identifier"], ask("info", "a.vhd")["identifier"], "the parent's identifier")
    equal(info["parent"], os.path.realpath("a.vhd"), "where the parent is")
    check("Parent:         a.vhd, which is /" in do("info", "b.vhd"), "the parent in info")
    refuse("b.vhd: exists already", "create", "b.vhd", "--parent", "a.vhd")
    refuse("--size: a differencing disk has its parent's size", "create", "c.vhd", "--parent", "a.vhd", "--size", "1M")
    refuse("--format: is not for a differencing disk", "create", "c.vhd", "--parent", "a.vhd", "--format", "fixed")
    refuse("none.vhd: No such file", "create", "c.vhd", "--parent", "none.vhd")
    do("create", "r.raw", "--size", "1M", "--format", "raw")
    refuse("r.raw: not a VHD", "create", "c.vhd", "--parent", "r.raw")


@case
def wrong_arguments():
    for words in (["chain"], ["compare", "a"], ["merge"], ["compact"], ["reconnect"], ["resize", "a"], ["chain", "a", "b"],
                  ["merge", "a", "b"], ["compact", "a", "--nonsense"]):
        equal(loam(*words).returncode, 2, f"status of {words}")
    for verb in ("chain", "compare", "merge", "compact", "resize", "reconnect", "create", "repair"):
        check(f"loam disk {verb} [OPTION...]" in do(verb, "--help"), f"help of {verb}")
    for words in (["chain", "none"], ["compare", "none", "none"], ["merge", "none"], ["compact", "none"],
                  ["reconnect", "none"], ["resize", "none", "1M"], ["repair", "none"]):
        refuse("none: No such file", *words)
    refuse("SIZE: 'x' is not a size", "resize", "none", "x")


@case
def chains():
    content = Content("chains")
    chain(content)
    whole = ask("chain", "c.vhd")
    equal((whole["whole"], [os.path.basename(image["path"]) for image in whole["images"]]),
          (True, ["c.vhd", "b.vhd", "a.vhd"]))
    check(all(0 < image["present"] <= SIZE for image in whole["images"]), "what is in the images")
    check(re.search(r"^c\.vhd +differencing +40\.0 MiB", do("chain", "c.vhd"), re.M), "the table")
    equal(ask("chain", "a.vhd")["whole"], True)

    os.mkdir("elsewhere")
    os.rename("b.vhd", "elsewhere/b.vhd")
    done = loam("chain", "c.vhd", "--json")
    equal((done.returncode, json.loads(done.stdout)["whole"]), (1, False))
    problem = json.loads(done.stdout)["images"][0]["problem"]
    check("its parent b.vhd is not there" in problem and "loam disk reconnect --parent PARENT c.vhd" in problem, problem)
    check(problem in loam("chain", "c.vhd").stdout, "the problem below the table")
    for words in (["merge", "c.vhd"], ["compact", "c.vhd"], ["convert", "c.vhd", "x.raw"], ["compare", "c.vhd", "a.vhd"]):
        refuse("its parent b.vhd is not there", *words)
    equal(loam("check", "c.vhd").returncode, 1, "check of a broken chain")
    do("reconnect", "c.vhd", "--parent", "elsewhere/b.vhd", "--dry-run")
    equal(loam("chain", "c.vhd").returncode, 1, "a dry run's chain")
    do("reconnect", "--parent", "elsewhere/b.vhd", "c.vhd")
    do("reconnect", "elsewhere/b.vhd", "--parent", "a.vhd")
    content.expect("c.vhd")
    sound("c.vhd")

    os.utime("a.vhd", (10 ** 9, 10 ** 9))
    refuse("a.vhd was changed after it was made.*loam disk reconnect", "convert", "c.vhd", "x.raw")
    do("reconnect", "elsewhere/b.vhd")
    content.expect("c.vhd")


@case
def chains_of_vhdx():
    content = Content("chains of VHDX")
    vhdx_chain(content)
    os.mkdir("elsewhere")
    os.rename("b.vhdx", "elsewhere/b.vhdx")
    refuse("its parent b.vhdx is not there.*loam disk reconnect --parent PARENT c.vhdx", "convert", "c.vhdx", "x.raw")
    do("reconnect", "c.vhdx", "--parent", "elsewhere/b.vhdx", "--dry-run")
    equal(loam("chain", "c.vhdx").returncode, 1, "a dry run's chain")
    equal(ask("reconnect", "--parent", "elsewhere/b.vhdx", "c.vhdx")["moved"], True)
    do("reconnect", "elsewhere/b.vhdx", "--parent", "a.vhdx")
    content.expect("c.vhdx")
    sound("c.vhdx")
    shutil.copy("a.vhdx", "new.vhdx")
    Content("something else").write("new.vhdx", 1)
    refuse("new.vhdx is not the disk that it was made from.*--force", "reconnect", "elsewhere/b.vhdx", "--parent",
           "new.vhdx")
    equal(ask("reconnect", "elsewhere/b.vhdx", "--parent", "new.vhdx", "--force")["other_identity"], True)
    equal(loam("chain", "c.vhdx").returncode, 0)


@case
def comparing():
    content = Content("comparing")
    do("create", "a.vhd", "--size", SIZE)
    content.write("a.vhd")
    content.raw("a.raw")
    check(do("compare", "a.vhd", "a.raw") == "equal\n", "equal disks")
    equal(ask("compare", "a.vhd", "a.raw"),
          {"equal": True, "different_sectors": 0, "first_difference": None, "sizes": [SIZE, SIZE]})
    content.bytes[5000] ^= 1
    content.bytes[-1] ^= 1
    content.raw("a.raw")
    done = loam("compare", "a.vhd", "a.raw")
    equal((done.returncode, done.stdout), (1, "2 sectors differ, from byte 5000 on\n"))
    with open("a.raw", "ab") as file:
        file.write(bytes(SECTOR))
    refuse(f"a.vhd: has {SIZE} bytes, and a.raw {SIZE + SECTOR}", "compare", "a.vhd", "a.raw", "--strict")
    equal(loam("compare", "a.vhd", "a.vhd", "--first-raw").returncode, 1)


@case
def merging():
    content = Content("merging")
    chain(content)
    before = {path: os.stat(path) for path in ("a.vhd", "b.vhd", "c.vhd")}
    plan = ask("merge", "c.vhd", "--into", "a.vhd", "--dry-run")
    equal((plan["images"], plan["dry_run"]), (2, True))
    check("would write" in do("merge", "c.vhd", "--dry-run"), "a dry run")
    for path, status in before.items():
        now = os.stat(path)
        equal((now.st_size, now.st_mtime_ns), (status.st_size, status.st_mtime_ns), f"{path} after a dry run")
    refuse("not merged, as 1 other is based on these images.*c.vhd.*--force", "merge", "b.vhd")
    done = ask("merge", "c.vhd", "--into", "a.vhd")
    equal({**done, "dry_run": True}, plan, "what was done and what was planned")
    equal(sorted(os.listdir(".")), ["a.vhd"])
    sound("a.vhd")
    content.expect("a.vhd")


@case
def merging_and_keeping():
    content = Content("keeping")
    chain(content)
    do("merge", "c.vhd", "--keep")
    content.expect("c.vhd")
    content.expect("b.vhd")
    sound("c.vhd")
    check("loam vm set NAME --disk" in do("merge", "c.vhd"), "what a virtual machine gets")
    equal(sorted(os.listdir(".")), ["a.vhd", "b.vhd"])
    content.expect("b.vhd")


@case
def merging_vhdx():
    content = Content("merging VHDX")
    vhdx_chain(content)
    plan = ask("merge", "c.vhdx", "--into", "a.vhdx", "--dry-run")
    content.expect("c.vhdx")
    refuse("not merged, as 1 other is based on these images.*c.vhdx.*--force", "merge", "b.vhdx")
    do("merge", "c.vhdx", "--keep")
    content.expect("c.vhdx")
    content.expect("b.vhdx")
    sound("c.vhdx")
    done = ask("merge", "c.vhdx", "--into", "a.vhdx")
    equal({**done, "written": 0, "space": 0, "dry_run": True}, {**plan, "written": 0, "space": 0})
    equal(sorted(os.listdir(".")), ["a.vhdx"])
    sound("a.vhdx")
    content.expect("a.vhdx")
    check_with_qemu("a.vhdx")


@case
def compacting():
    content = Content("compacting")
    do("create", "a.vhd", "--size", SIZE, "--block-size", "64K")
    content.write("a.vhd", 30)
    empty = bytes(20 * MIB)
    subprocess.run([TOOL, "write", "a.vhd", "8192"], input=empty, check=True, timeout=LIMIT)
    content.bytes[4 * MIB:24 * MIB] = empty
    do("create", "b.vhd", "--parent", "a.vhd")
    before, plan = os.stat("a.vhd"), ask("compact", "a.vhd", "--dry-run")
    equal((os.stat("a.vhd").st_size, os.stat("a.vhd").st_mtime_ns), (before.st_size, before.st_mtime_ns))
    check(plan["gained"] > 10 * MIB, f"{plan['gained']} bytes would be gained")
    done = ask("compact", "a.vhd")
    equal({**done, "dry_run": True}, plan, "what was done and what was planned")
    equal(os.stat("a.vhd").st_size, before.st_size - done["gained"], "size")
    sound("a.vhd")
    content.expect("a.vhd")
    content.expect("b.vhd")  # the parent's time is as it was
    check("gave back 0 bytes" in do("compact", "a.vhd"), "nothing more to gain")
    content.raw("a.raw")
    do("compact", "a.raw", "--raw")
    content.expect("a.raw")
    check(os.stat("a.raw").st_blocks * 512 < SIZE - 16 * MIB, "holes of a raw image")
    do("create", "f.vhd", "--size", "1M", "--format", "fixed")
    refuse("f.vhd: a fixed disk, which has its full size on purpose.*loam disk convert", "compact", "f.vhd")


@case
def compacting_vhdx():
    content = Content("compacting a VHDX")
    do("create", "a.vhdx", "--size", SIZE, "--block-size", "1M")
    content.write("a.vhdx", 30)
    empty = bytes(20 * MIB)
    subprocess.run([TOOL, "write", "a.vhdx", "8192"], input=empty, check=True, timeout=LIMIT)
    content.bytes[4 * MIB:24 * MIB] = empty
    do("create", "b.vhdx", "--parent", "a.vhdx")
    plan = ask("compact", "a.vhdx", "--dry-run")
    check(plan["gained"] > 10 * MIB, f"{plan['gained']} bytes would be gained")
    equal({**ask("compact", "a.vhdx"), "dry_run": True}, plan, "what was done and what was planned")
    sound("a.vhdx")
    check_with_qemu("a.vhdx")
    content.expect("a.vhdx")
    content.expect("b.vhdx")  # which knows its parent
    check("gave back 0 bytes" in do("compact", "a.vhdx"), "nothing more to gain")
    do("create", "f.vhdx", "--size", "1M", "--format", "fixed")
    refuse("f.vhdx: a fixed disk, which has its full size on purpose.*loam disk convert", "compact", "f.vhdx")


@case
def repairing():
    content = Content("repairing")
    do("create", "a.vhd", "--size", SIZE)
    content.write("a.vhd")
    check("a.vhd: sound" in do("repair", "a.vhd", "--dry-run"), "a sound disk")
    with open("a.vhd", "r+b") as file:
        file.seek(70)
        file.write(b"!")  # the copy of the footer
        file.seek(-100, os.SEEK_END)
        file.truncate(file.tell())  # and half of the footer
    with open("a.vhd", "rb") as file:
        damaged = file.read()
    plan = json.loads(loam("repair", "a.vhd", "--dry-run", "--json").stdout)
    with open("a.vhd", "rb") as file:
        check(file.read() == damaged, "a dry run has changed something")
    check(plan["findings"] and not plan["changed"], f"findings: {plan}")
    done = loam("repair", "a.vhd", "--json")
    answer = json.loads(done.stdout)
    equal((done.returncode, answer["changed"], answer["sound"]), (0, True, True), done.stdout)
    content.expect("a.vhd")
    sound("a.vhd")
    do("repair", "a.vhd", "--undo", answer["backup"])
    with open("a.vhd", "rb") as file:
        check(file.read() == damaged, "undone, it is not what it was")
    refuse("--undo: has no other options", "repair", "a.vhd", "--undo", "x", "--dry-run")


@case
def repairing_vhdx():
    content = Content("repairing a VHDX")
    do("create", "a.vhdx", "--size", SIZE, "--block-size", "1M")
    content.write("a.vhdx")
    check("a.vhdx: sound" in do("repair", "a.vhdx", "--dry-run"), "a sound disk")
    with open("a.vhdx", "r+b") as file:
        file.seek(64 * KIB + 20)
        file.write(b"!!!!")  # a header
        file.seek(192 * KIB)
        file.write(b"!")  # a region table
        file.seek(3 * MIB + 1)
        byte = file.read(1)[0]
        file.seek(3 * MIB + 1)
        file.write(bytes([byte | 1]))  # a reserved bit of the first block's entry
    with open("a.vhdx", "rb") as file:
        damaged = file.read()
    check("loam disk repair --dry-run a.vhdx" in loam("check", "a.vhdx").stdout, "what check says")
    answer = json.loads(do("repair", "a.vhdx", "--json"))
    equal((answer["changed"], answer["sound"], len(answer["findings"])), (True, True, 3), answer)
    content.expect("a.vhdx")
    sound("a.vhdx")
    check_with_qemu("a.vhdx")
    do("repair", "a.vhdx", "--undo", answer["backup"])
    with open("a.vhdx", "r+b") as file:
        check(file.read() == damaged, "undone, it is not what it was")
        file.seek(3 * MIB)
        file.write(b"\xff" * 8)
    done = loam("repair", "a.vhdx")
    equal(done.returncode, 1, done.stdout)
    check("loam disk repair --drop-damaged a.vhdx" in done.stdout, done.stdout)
    do("repair", "--drop-damaged", "--no-backup", "a.vhdx")
    sound("a.vhdx")
    check_with_qemu("a.vhdx")


@case
def resizing():
    content = Content("resizing")
    do("create", "a.vhd", "--size", SIZE)
    content.write("a.vhd")
    content.write("a.vhd", 1, 2)
    do("resize", "a.vhd", "80M", "--dry-run")
    equal(ask("info", "a.vhd")["size"], SIZE)
    equal(ask("resize", "a.vhd", "80M")["old_size"], SIZE)
    equal(ask("info", "a.vhd")["size"], 80 * MIB)
    do("resize", "a.vhd", SIZE)
    content.expect("a.vhd")
    sound("a.vhd")
    refuse("loam disk resize --discard-data", "resize", "a.vhd", "512")


def check_with_qemu(path):
    if shutil.which("qemu-img"):
        subprocess.run(["qemu-img", "check", "-q", "-f", "vhdx", path], check=True, timeout=LIMIT)
        do("convert", path, "with-qemu.raw", "--format", "raw", "--replace")
        subprocess.run(["qemu-img", "compare", "-q", "-f", "vhdx", "-F", "raw", path, "with-qemu.raw"], check=True,
                       timeout=LIMIT)
        os.unlink("with-qemu.raw")


@case
def resizing_vhdx():
    for form in "dynamic", "fixed":
        content = Content("resizing a VHDX")
        do("create", "a.vhdx", "--size", SIZE, "--format", form, "--replace")
        content.write("a.vhdx")
        content.write("a.vhdx", 1, 2)
        do("resize", "a.vhdx", "80M", "--dry-run")
        equal(ask("info", "a.vhdx")["size"], SIZE)
        equal(ask("resize", "a.vhdx", "80M")["old_size"], SIZE)
        equal(ask("info", "a.vhdx")["size"], 80 * MIB)
        sound("a.vhdx")
        check_with_qemu("a.vhdx")
        do("resize", "a.vhdx", SIZE)
        content.expect("a.vhdx")
        sound("a.vhdx")
        check_with_qemu("a.vhdx")
        refuse("loam disk resize --discard-data", "resize", "a.vhdx", "512")
    do("create", "large.vhdx", "--size", "100G", "--block-size", "1M")
    Content("a large VHDX").write("large.vhdx", 2)
    do("resize", "large.vhdx", "200G")  # its BAT moves
    sound("large.vhdx")
    if shutil.which("qemu-img"):
        subprocess.run(["qemu-img", "check", "-q", "-f", "vhdx", "large.vhdx"], check=True, timeout=LIMIT)


@case
def in_use():
    chain(Content("in use"))
    with open("b.vhd") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        for words in (["merge", "c.vhd"], ["compact", "b.vhd"], ["reconnect", "b.vhd"]):
            refuse(rf"b.vhd: in use by process {os.getpid()}", *words)
        do("compare", "c.vhd", "c.vhd")
        fcntl.flock(file, fcntl.LOCK_EX)
        refuse(rf"b.vhd: in use by process {os.getpid()}", "compare", "c.vhd", "c.vhd")
        equal(json.loads(loam("chain", "c.vhd", "--json").stdout)["images"][1]["in_use"], True)
    vhdx_chain(Content("VHDX in use"))
    with open("b.vhdx") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        for words in (["merge", "c.vhdx"], ["compact", "b.vhdx"], ["reconnect", "b.vhdx"], ["resize", "b.vhdx", "1G"],
                      ["repair", "b.vhdx"]):
            refuse(rf"b.vhdx: in use by process {os.getpid()}", *words)


@case
def progress_on_a_terminal():
    content = Content("progress")
    chain(content)
    for words in (["compare", "c.vhd", "b.vhd"], ["compact", "c.vhd"], ["merge", "c.vhd"]):
        leader, follower = pty.openpty()
        with subprocess.Popen([LOAM, "disk", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=follower) as process:
            os.close(follower)
            shown = b""
            try:
                while piece := os.read(leader, 4096):
                    shown += piece
            except OSError:  # the terminal is closed
                pass
            process.wait(LIMIT)
        os.close(leader)
        check(re.search(rb"(comparing|compacting|merging) \[#*-*\] +\d+ %", shown), f"{words}: {shown[-200:]}")


# Interruptions --------------------------------------------------------------------------------------------------------

def interrupt(words, delay, number):
    """Sends the signal after so long; the exit status."""
    with subprocess.Popen([LOAM, "disk", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            return process.wait(LIMIT)


def measure(*words):
    begin = time.monotonic()
    do(*words)
    return time.monotonic() - begin


def interruptions(words, saved, verify, repeat=None):
    """Interrupts the command at random moments of its work, most by kill -9; `verify` is told whether it was done."""
    generator = random.Random(" ".join(words))
    whole = measure(*words)
    interrupted = 0
    for turn in range(KILLS):
        restore(saved)
        number = signal.SIGINT if turn % 4 == 3 else signal.SIGKILL
        status = interrupt(words, whole * generator.random(), number)
        # Before its handler is there, Ctrl-C ends it at once.
        check(status in (0, -number, 128 + number), f"exit status {status}")
        interrupted += status != 0
        verify(status == 0)
        if repeat and status != 0:
            repeat()
    print(f"   {' '.join(words)}: {interrupted} of {KILLS} interrupted, {whole:.2f} s", flush=True)


def interrupt_merges(content, a, b, c):
    content.write(b, 0)
    save("saved", a, b, c)

    def verify(done):
        if done or not os.path.exists(c):
            sound(a)
            content.expect(a)
        else:
            sound(c)
            content.expect(c)

    def repeat():
        if os.path.exists(c):
            do("merge", c, "--into", a)
        content.expect(a)

    interruptions(["merge", c, "--into", a], "saved", verify, repeat)


@case
def interrupted_merges():
    content = Content("interrupted merges")
    chain(content, ("64K", "64K", "64K"))
    interrupt_merges(content, "a.vhd", "b.vhd", "c.vhd")


@case
def interrupted_merges_of_vhdx():
    content = Content("interrupted merges of VHDX")
    chain(content, ("1M", "1M", "1M"), "vhdx")
    interrupt_merges(content, "a.vhdx", "b.vhdx", "c.vhdx")


def interrupt_compactions(content, path):
    subprocess.run([TOOL, "write", path, "8192"], input=bytes(20 * MIB), check=True, timeout=LIMIT)
    content.bytes[4 * MIB:24 * MIB] = bytes(20 * MIB)
    save("saved", path)

    def verify(_):
        sound(path)
        content.expect(path)

    def repeat():
        do("compact", path)
        verify(True)

    interruptions(["compact", path], "saved", verify, repeat)


@case
def interrupted_compactions():
    content = Content("interrupted compactions")
    do("create", "a.vhd", "--size", SIZE, "--block-size", "64K")
    content.write("a.vhd", 30)
    interrupt_compactions(content, "a.vhd")


@case
def interrupted_compactions_of_vhdx():
    content = Content("interrupted compactions of VHDX")
    do("create", "a.vhdx", "--size", SIZE, "--block-size", "1M")
    content.write("a.vhdx", 30)
    interrupt_compactions(content, "a.vhdx")


@case
def interrupted_conversions():
    content = Content("interrupted conversions")
    chain(content)
    save("saved", "c.vhd")

    def verify(done):
        if os.path.exists("d.vhd"):
            sound("d.vhd")
            content.expect("d.vhd")
            os.unlink("d.vhd")
        else:
            check(not done, "it is done, and there is nothing")
        content.expect("c.vhd")
        for name in os.listdir("."):
            if name.startswith(".loam-"):
                os.unlink(name)

    do("convert", "c.vhd", "d.vhd")
    os.unlink("d.vhd")
    interruptions(["convert", "c.vhd", "d.vhd", "--replace"], "saved", verify)


def interrupt_reconnections(content, b, c, elsewhere):
    save("saved", c)
    os.rename(b, elsewhere)

    def verify(done):
        whole = loam("chain", c).returncode == 0
        check(whole or not done, "it is done, and the parent is not found")
        if not whole:
            os.rename(elsewhere, b)
        sound(c)
        content.expect(c)
        if not whole:
            os.rename(b, elsewhere)

    interruptions(["reconnect", c, "--parent", elsewhere], "saved", verify)


@case
def interrupted_reconnections():
    content = Content("interrupted reconnections")
    chain(content)
    interrupt_reconnections(content, "b.vhd", "c.vhd", "elsewhere.vhd")


@case
def interrupted_reconnections_of_vhdx():
    content = Content("interrupted reconnections of VHDX")
    vhdx_chain(content)
    interrupt_reconnections(content, "b.vhdx", "c.vhdx", "elsewhere.vhdx")


# The process that does the work ---------------------------------------------------------------------------------------

class Stuck:
    """A command whose standard error is a terminal that is stopped: it goes no further than to the first thing that it
    says or shows, and its worker waits for that."""

    def __init__(self, *words):
        self.leader, self.follower = pty.openpty()
        termios.tcflow(self.follower, termios.TCOOFF)
        self.broker = subprocess.Popen([LOAM, "disk", *map(str, words)], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=self.follower)
        self.worker = until(self.find_worker, "a confined process")

    def find_worker(self):
        with open(f"/proc/{self.broker.pid}/task/{self.broker.pid}/children") as file:
            children = file.read().split()
        return int(children[0]) if children and status_of(children[0]).get("Seccomp") == "2" else None

    def end(self):
        """Lets it go on; the exit status and what was said."""
        said = b""
        termios.tcflow(self.follower, termios.TCOON)
        os.close(self.follower)
        try:
            while piece := os.read(self.leader, 4096):
                said += piece
        except OSError:  # the terminal is closed
            pass
        os.close(self.leader)
        return self.broker.wait(LIMIT), said.decode(errors="replace")


def until(condition, what):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.01)
    raise Failure(f"waited in vain for {what}")


def status_of(process):
    try:
        with open(f"/proc/{process}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return {}


def is_gone(process):
    return status_of(process).get("State", "Z")[0] in "ZX"


def begun():
    return [name for name in os.listdir(".") if name.startswith(".loam-")]


def stuck_conversion(*words):
    """When the new file is there under its first name."""
    with open("source.raw", "wb") as file:
        file.write(b"x" * (4 * MIB))
    stuck = Stuck("convert", "source.raw", "new.vhd", *words)
    until(begun, "a new file")
    return stuck


@case
def confined():
    stuck = stuck_conversion()
    status = status_of(stuck.worker)
    equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        equal(int(status[name], 16), 0, name)
    if os.getuid() == 0:
        equal((status["Uid"], status["Gid"], status["Groups"].strip()), ("\t".join(["65534"] * 4),) * 2 + ("",))
        links = {os.readlink(f"/proc/{stuck.worker}/fd/{name}") for name in os.listdir(f"/proc/{stuck.worker}/fd")}
        others = {link for link in links if not link.startswith("socket:")} - {"/dev/null"}
        equal((len(links), others), (4, {os.path.realpath("source.raw"), os.path.realpath(begun()[0])}), "what is open")
    code, said = stuck.end()
    equal(code, 0, said)
    do("compare", "source.raw", "new.vhd")


@case
def killed_worker():
    for replaced in (False, True):
        if replaced:
            do("create", "new.vhd", "--size", "1M")
        stuck = stuck_conversion(*["--replace"] * replaced)
        os.kill(stuck.worker, signal.SIGKILL)
        code, said = stuck.end()
        equal(code, 1, said)
        check(re.search(r"loam: the process that worked on source.raw was killed by signal 9 \(a damaged or malicious "
                        r"image\?\)", said), said)
        equal(sorted(os.listdir(".")), ["new.vhd"] * replaced + ["source.raw"])
        with open("source.raw", "rb") as file:
            check(file.read() == b"x" * (4 * MIB), "the source has changed")
    equal(ask("info", "new.vhd")["size"], MIB, "what was not replaced")


@case
def killed_broker():
    do("create", "new.vhd", "--size", "1M")
    stuck = stuck_conversion("--replace")
    stuck.broker.kill()
    equal(stuck.end()[0], -signal.SIGKILL)
    until(lambda: is_gone(stuck.worker), "the end of the process without a broker")
    equal(ask("info", "new.vhd")["size"], MIB, "what was not replaced")
    do("compare", "source.raw", "source.raw")


@case
def cancelled():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        stuck = stuck_conversion()
        stuck.broker.send_signal(number)
        code, said = stuck.end()
        equal(code, 128 + number, said)
        check("new.vhd: cancelled" in said, said)
        equal(os.listdir("."), ["source.raw"])

    stuck = stuck_conversion()  # one that does not listen

    def insist():
        stuck.broker.send_signal(signal.SIGINT)
        return is_gone(stuck.worker)

    until(insist, "the end of a process that does not listen")
    equal(stuck.end()[0], 128 + signal.SIGINT)
    equal(os.listdir("."), ["source.raw"])

    stuck = Stuck("check", "none")  # has nothing to clean up
    stuck.broker.send_signal(signal.SIGINT)
    equal(stuck.end()[0], -signal.SIGINT)


@case
def terminal():
    """Nothing but text reaches it; a pipe gets what there is."""
    name = "a\x1b[2J\x7fb\x9b.vhd"
    refuse(re.escape(name) + ": No such file", "info", name)
    code, said = Stuck("info", name).end()
    equal(code, 1, said)
    check("loam: a?[2J?b" in said and "\x1b" not in said and "\x9b" not in said, repr(said))


@case
def closed_streams():
    """No image takes the place of one, and is printed into."""
    do("create", "a.vhd", "--size", "10M")
    with open("a.vhd", "rb") as file:
        before = file.read()
    for streams, statuses in (("<&-", (0, 0, 1)), (">&-", (1, 1, 1)), ("2>&-", (0, 0, 1)), ("<&- >&- 2>&-", (1, 1, 1))):
        for words, status in zip(("info a.vhd", "compact a.vhd", "info none"), statuses):
            done = subprocess.run(["sh", "-c", f'exec "$0" disk {words} {streams}', LOAM], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LIMIT)
            equal(done.returncode, status, f"{words} {streams}")
            with open("a.vhd", "rb") as file:
                check(file.read() == before, f"{words} {streams} has changed the image")


# Running them ---------------------------------------------------------------------------------------------------------

def run(function, verbose):
    with tempfile.TemporaryDirectory(prefix="loam-disk-") as directory:
        os.chdir(directory)
        try:
            function()
            print(f"ok {function.__name__}", flush=True)
            return True
        except Exception as problem:  # a failed case is reported, and the next one runs
            print(f"FAIL {function.__name__}: {problem}", flush=True)
            if verbose or not isinstance(problem, Failure):
                traceback.print_exc()
            return False
        finally:
            os.chdir("/")


def main():
    words = sys.argv[1:]
    names = [word for word in words if word != "-v"]
    unknown = set(names) - {function.__name__ for function in CASES}
    if unknown:
        sys.exit(f"no such case: {' '.join(sorted(unknown))}")
    os.environ["TZ"] = "UTC"
    results = [run(function, "-v" in words) for function in CASES if not names or function.__name__ in names]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
