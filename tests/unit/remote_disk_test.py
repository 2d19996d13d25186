#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""End-to-end test of the verbs of loam about disks whose parent is at a URL, with web servers that count, and qemu-nbd.

Usage: remote_disk_test.py [-v] [CASE...]      after make build/bin/loam build/bin/loam-fetch
                                                  build/unit/helper/disk_tool
"""

import contextlib
import filecmp
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from range_server import RangeServer

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(TOP, "build")))
LOAM = os.path.join(os.environ.get("LOAM_BIN", os.path.join(BUILD, "bin")), "loam")
TOOL = os.path.join(BUILD, "unit/helper/disk_tool")
LIMIT = int(os.environ.get("LIMIT", "60"))  # seconds for anything that should take a moment
MIB = 1 << 20
SIZE = 10 * MIB
DATA = 5 * MIB  # of them are not zeros
CASES = []


class Failure(Exception):
    pass


class Skip(Exception):
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

def environment():
    return {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}


def loam(*words):
    return subprocess.run([LOAM, "disk", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT, text=True, env=environment())


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

def make_images():
    """The same contents in each format."""
    with open("parent.raw", "wb") as file:
        file.write(random.Random(4).randbytes(DATA))
        file.truncate(SIZE)
    for name, form in (("fixed.vhd", "fixed"), ("dynamic.vhd", "dynamic"), ("dynamic.vhdx", "dynamic"),
                       ("fixed.vhdx", "fixed")):
        do("convert", "parent.raw", name, "--format", form)


def read(name):
    with open(name, "rb") as file:
        return file.read()


def verify(child):
    equal(do("compare", child, "parent.raw", "--second-raw"), "equal\n", child)


@contextlib.contextmanager
def served(name):
    with RangeServer(read(name)) as server:
        server.url += "/" + name
        yield server


# Cases ----------------------------------------------------------------------------------------------------------------

@case
def children_of_every_format():
    make_images()
    for parent, child, options in (("fixed.vhd", "a.vhd", []), ("dynamic.vhd", "b.vhd", []),
                                   ("dynamic.vhdx", "c.vhdx", []), ("fixed.vhdx", "d.vhdx", []),
                                   ("parent.raw", "e.vhd", ["--parent-raw"]), ("parent.raw", "f.vhdx", ["--parent-raw"])):
        with served(parent) as server:
            do("create", child, "--parent", server.url, *options)
            check(server.served < 3 * MIB, f"{child}: {server.served} bytes were fetched to make it")
            verify(child)
            do("convert", child, "copy.raw", "--replace")
            check(filecmp.cmp("copy.raw", "parent.raw", False), f"{child}: its copy is another")
            remote = ask("info", child)["remote"]
            equal((remote["url"], remote["raw"], remote["size"], remote["validator"], remote["local"]),
                  (server.url, bool(options), os.path.getsize(parent), server.etag, 0), f"{child}: what it records")
        equal(ask("info", child)["size"], SIZE, f"{child}: size")
        os.unlink(child)


@case
def looking_asks_nobody():
    make_images()
    with served("dynamic.vhd") as server:
        do("create", "child.vhd", "--parent", server.url)
        requests = len(server.requests)
        text = do("info", "child.vhd")
        check(server.url in text and "0 % of the disk" in text, text)
        chain = ask("chain", "child.vhd")
        equal((chain["whole"], [image["parent_url"] for image in chain["images"]]), (True, [server.url]), "chain")
        check(server.url in do("chain", "child.vhd"), "the chain does not show the URL")
        do("check", "child.vhd")
        equal(len(server.requests), requests, "requests")
    # Nor when there is no server.
    do("info", "child.vhd")
    do("chain", "child.vhd")
    do("check", "child.vhd")


@case
def grandchildren():
    make_images()
    with served("dynamic.vhd") as server:
        do("create", "child.vhd", "--parent", server.url)
        do("create", "grandchild.vhd", "--parent", "child.vhd")
        verify("grandchild.vhd")
        equal([image["parent_url"] for image in ask("chain", "grandchild.vhd")["images"]], [None, server.url], "chain")
        do("merge", "grandchild.vhd")
        verify("child.vhd")


@case
def other_parents_are_refused():
    make_images()
    do("create", "differencing.vhd", "--parent", "dynamic.vhd")
    with served("differencing.vhd") as server:
        refuse("differencing disk itself.*loam disk convert", "create", "child.vhd", "--parent", server.url)
    with served("parent.raw") as server:
        refuse("--parent-raw", "create", "child.vhd", "--parent", server.url)
    with served("dynamic.vhdx") as server:
        refuse("ends with .vhdx", "create", "child.vhd", "--parent", server.url)
    with RangeServer(b"x" * 1000) as server:
        refuse("multiple of 512", "create", "child.vhd", "--parent", server.url, "--parent-raw")
        server.misbehave("no-ranges")
        refuse("does not serve parts", "create", "child.vhd", "--parent", server.url, "--parent-raw")
    for url in ("ftp://h/a.vhd", "http://u:p@h/a.vhd", "http:///a.vhd", "http://" + "h" * 3000):
        refuse("URL|password|no host|none of|too long", "create", "child.vhd", "--parent", url)
    refuse("--parent-raw", "create", "child.vhd", "--parent", "parent.raw", "--parent-raw")
    refuse("--parent-raw", "create", "child.vhd", "--size", "1M", "--parent-raw")
    check(not os.path.exists("child.vhd"), "something was left")


@case
def servers_that_do_not_answer():
    make_images()
    with served("dynamic.vhd") as server:
        do("create", "child.vhd", "--parent", server.url)
        server.misbehave("404")
        refuse("no answer within .*no such file", "create", "other.vhd", "--parent", server.url)
        # Passing faults are got over.
        server.misbehave("503", 3)
        verify("child.vhd")
    refuse("no answer within .*connect", "compare", "child.vhd", "parent.raw")


@case
def waiting_can_be_cancelled():
    with RangeServer(b"x" * 512) as server:
        server.misbehave("silence")
        process = subprocess.Popen([LOAM, "disk", "create", "child.vhd", "--parent", server.url, "--parent-raw"],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment())
        while not server.requests:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=LIMIT)
        equal(process.returncode, 128 + signal.SIGINT, text)
        check("cancelled" in text and not os.path.exists("child.vhd"), text)


@case
def what_was_changed_is_refused():
    make_images()
    with served("dynamic.vhd") as server:
        do("create", "child.vhd", "--parent", server.url)
        server.etag = '"second"'
        refuse("is not what it was", "compare", "child.vhd", "parent.raw")
        refuse("is not what it was", "convert", "child.vhd", "copy.raw")
        # It says that it is the same disk.
        do("reconnect", "child.vhd")
        verify("child.vhd")
        do("convert", "parent.raw", "other.vhd")
        server.content, server.etag = read("other.vhd"), '"third"'
        refuse("is not the disk", "reconnect", "child.vhd")
        do("reconnect", "child.vhd", "--force", "--parent", server.url)
        verify("child.vhd")


def servers_may_move_of(kind):
    parent, child = f"dynamic.{kind}", f"child.{kind}"
    with served(parent) as server:
        do("create", child, "--parent", server.url)
    with served(parent) as server:
        server.etag = '"elsewhere"'
        result = ask("reconnect", child, "--parent", server.url, "--dry-run")
        equal((result["parent"], result["moved"], result["other_identity"]), (server.url, True, False), "what would be")
        do("reconnect", child, "--parent", server.url)
        verify(child)
        equal(ask("info", child)["remote"]["validator"], '"elsewhere"', "validator")
    # The file itself will do, and then the URL again.
    do("reconnect", child, "--parent", parent)
    equal(ask("info", child)["remote"], None, "remote parent")
    verify(child)
    with served(parent) as server:
        do("reconnect", child, "--parent", server.url)
        verify(child)


@case
def servers_may_move():
    make_images()
    for kind in ("vhd", "vhdx"):
        servers_may_move_of(kind)


@case
def nothing_is_written_to_a_url():
    make_images()
    with served("dynamic.vhd") as server:
        do("create", "child.vhd", "--parent", server.url)
        refuse("at a URL.*loam disk convert", "merge", "child.vhd")
        do("compact", "child.vhd")
        verify("child.vhd")


@case
def what_is_local_is_counted_and_not_fetched():
    """Some of the child is as in the parent, as if it had been fetched, and some is not."""
    make_images()
    do("create", "child.vhd", "--parent", "dynamic.vhd")
    same, other = read("parent.raw")[:2 * MIB], b"y" * MIB
    subprocess.run([TOOL, "write", "child.vhd", "0"], input=same, check=True, timeout=LIMIT)
    subprocess.run([TOOL, "write", "child.vhd", str(4 * MIB // 512)], input=other, check=True, timeout=LIMIT)
    with served("dynamic.vhd") as server:
        do("reconnect", "child.vhd", "--parent", server.url)
        equal(ask("info", "child.vhd")["remote"]["local"], 3 * MIB, "bytes that are local")
        check("30 % of the disk" in do("info", "child.vhd"), "it is not 30 %")
        served_before = server.served
        do("convert", "child.vhd", "copy.raw")
        content = bytearray(read("parent.raw"))
        content[4 * MIB:5 * MIB] = other
        check(read("copy.raw") == content, "the copy is another")
        # Of the three blocks that the parent has, and a few metadata.
        check(server.served - served_before < (6 - 3) * MIB + MIB // 2, f"{server.served - served_before} bytes were fetched")
        # What is as in the parent is given up.
        do("compact", "child.vhd")
        equal(ask("info", "child.vhd")["allocated_blocks"], 1, "blocks")
        do("convert", "child.vhd", "copy.raw", "--replace")
        check(read("copy.raw") == content, "the copy is another after compacting")
    # Who has no network says so.
    done = subprocess.run([TOOL, "read", "child.vhd", "0", "1"], capture_output=True, text=True, timeout=LIMIT)
    check(done.returncode == 1 and "only loam and loamd can" in done.stderr and done.stderr.count("\n") == 1, done.stderr)


@case
def connections_that_break():
    make_images()
    with served("parent.raw") as server:
        do("create", "child.vhdx", "--parent", server.url, "--parent-raw")
        server.misbehave("cut", 3)
        verify("child.vhdx")


@case
def from_an_nbd_server():
    if not shutil.which("qemu-nbd"):
        raise Skip("there is no qemu-nbd")
    make_images()
    path = os.path.join(os.getcwd(), "socket")
    os.chmod(".", 0o755)  # loam-fetch is another user, where root runs this
    url = f"nbd+unix:///?socket={path}"
    server = subprocess.Popen(["qemu-nbd", "--read-only", "--persistent", "--format=raw", f"--socket={path}",
                               "parent.raw"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not os.path.exists(path):
            check(server.poll() is None, "qemu-nbd does not start")
            time.sleep(0.01)
        os.chmod(path, 0o777)
        do("create", "child.vhd", "--parent", url, "--parent-raw")
        equal(ask("info", "child.vhd")["remote"]["url"], url, "URL")
        verify("child.vhd")
    finally:
        server.kill()
        server.wait()


# Running them ---------------------------------------------------------------------------------------------------------

def run(function, verbose):
    with tempfile.TemporaryDirectory(prefix="loam-remote-") as directory:
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
