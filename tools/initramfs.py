#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds an initramfs (cpio, newc) from a list of files, without root privileges, always the same bytes.

usage: initramfs.py OUTPUT ENTRY...
  PATH=SOURCE        a file, with SOURCE's permission to execute
  PATH/              a directory
  PATH->TARGET       a symbolic link
  module:NAME        a module of --kernel RELEASE with all that it depends on, under /lib/modules
  program:PATH=SRC   an ELF program with the shared libraries that it needs
"""
import argparse
import gzip
import os
import re
import subprocess
import sys


class Initramfs:
    """Entries by path; parents are made on demand."""

    def __init__(self):
        self.entries = {}

    def directory(self, path):
        path = path.strip("/")
        if path and path not in self.entries:
            self.directory(os.path.dirname(path))
            self.entries[path] = (0o040755, b"")

    def file(self, path, content, executable=False):
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self.entries[path] = (0o100755 if executable else 0o100644, content)

    def link(self, path, target):
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self.entries[path] = (0o120777, target.encode())

    def copy(self, path, source):
        with open(source, "rb") as stream:
            self.file(path, stream.read(), os.access(source, os.X_OK))

    def program(self, path, source):
        self.copy(path, source)
        listing = subprocess.run(["ldd", source], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listing):
            if library.strip("/") not in self.entries:
                self.copy(library, os.path.realpath(library))

    def module(self, name, release):
        """`name` or a path to a .ko; into /lib/modules/order, in the order of loading."""
        if name.endswith(".ko"):
            self._module_file(name)
            return
        listing = subprocess.run(["modprobe", "--set-version", release, "--show-depends", name], check=True,
                                 capture_output=True, text=True).stdout
        for line in listing.splitlines():
            words = line.split()
            if words[0] == "insmod":
                self._module_file(words[1])

    def _module_file(self, source):
        path = "lib/modules/" + os.path.basename(source)
        if path not in self.entries:
            self.copy(path, source)
            order = self.entries.get("lib/modules/order", (0, b""))[1]
            self.file("lib/modules/order", order + os.path.basename(source).encode() + b"\n")

    def archive(self):
        parts = []
        paths = sorted(self.entries) + ["TRAILER!!!"]
        for number, path in enumerate(paths, 1):
            mode, content = self.entries.get(path, (0, b""))
            name = path.encode() + b"\0"
            fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0]
            header = b"070701" + b"".join(b"%08X" % field for field in fields)
            parts.append(header + name + b"\0" * (-(len(header) + len(name)) % 4))
            parts.append(content + b"\0" * (-len(content) % 4))
        return b"".join(parts)

    def write(self, output):
        with open(output, "wb") as stream:
            stream.write(gzip.compress(self.archive(), 6, mtime=0))

    def add(self, entry, release):
        if entry.startswith("module:"):
            self.module(entry[7:], release)
        elif entry.startswith("program:"):
            path, source = entry[8:].split("=", 1)
            self.program(path, source)
        elif "->" in entry:
            self.link(*entry.split("->", 1))
        elif entry.endswith("/"):
            self.directory(entry)
        else:
            path, source = entry.split("=", 1)
            self.copy(path, source)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kernel", help="release of the kernel whose modules are meant")
    parser.add_argument("output")
    parser.add_argument("entries", nargs="*")
    arguments = parser.parse_args()
    initramfs = Initramfs()
    try:
        for entry in arguments.entries:
            initramfs.add(entry, arguments.kernel)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"initramfs.py: {entry}: {error}")
    initramfs.write(arguments.output)


if __name__ == "__main__":
    main()
