#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Records what a Linux guest writes to its disk: every write, discard and flush, in order.

usage: record.py KERNEL INITRAMFS OUTPUT

The output is the log of QEMU's blklogwrites driver (format: Linux, Documentation/admin-guide/device-mapper/
log-writes.rst, with sectors of 512 bytes).
"""
import os
import subprocess
import sys
import tempfile

DISK_SIZE = 64 << 20
SECONDS = 600


def command(kernel, initramfs, disk, log):
    return ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-display", "none", "-nodefaults", "-no-reboot",
            "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 cryptomgr.notests",
            "-drive", "if=none,id=disk,driver=blklogwrites,discard=unmap,file.driver=raw,file.discard=unmap,"
                      f"file.file.driver=file,file.file.filename={disk},"
                      f"log.driver=raw,log.file.driver=file,log.file.filename={log}",
            "-device", "virtio-blk-pci,drive=disk,discard=on,write-zeroes=off", "-serial", "stdio"]


def main():
    kernel, initramfs, output = sys.argv[1:]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(output)) as directory:
        disk, log = (os.path.join(directory, name) for name in ("disk", "log"))
        for path, size in ((disk, DISK_SIZE), (log, 0)):
            with open(path, "wb") as stream:
                stream.truncate(size)
        guest = subprocess.run(command(kernel, initramfs, disk, log), stdin=subprocess.DEVNULL, capture_output=True,
                               text=True, timeout=SECONDS)
        if "recording: complete" not in guest.stdout:
            sys.exit(f"record.py: the guest did not finish\n{guest.stdout}{guest.stderr}")
        os.rename(log, output)


main()
