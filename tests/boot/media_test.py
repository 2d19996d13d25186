#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Media that come and go while a Linux child runs: a DVD that it ejects itself, one that it holds, floppy disks."""
import hashlib
import os
import sys
import tempfile

from check import expect
from images import BUILD, build_disk, extend_parent
from machine import Machine
from managed import CHILD_SECONDS, refuse, show, type_into_console, wait_until
from media import BLOCK, FLOPPY, Media, volume
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(directory.name, name)


def build():
    """The default parent, and with it in /srv the media and in /boot a child with drives."""
    media = Media()
    discs = {"one.iso": volume(b"first CD", 600), "two.iso": volume(b"secondCD", 900)}
    for name, content in {**discs, "cut.iso": volume(b"cut   CD", 600)[:-BLOCK], "a.vfd": b"floppy A" * (FLOPPY // 8),
                          "b.vfd": b"floppy B" * (FLOPPY // 8)}.items():
        media.write(name, content)
    parent = extend_parent(path("parent.img"), f"boot/media.img={BUILD}/image/media.img", *media.in_parent())
    return ({name: hashlib.md5(content).hexdigest() for name, content in discs.items()},
            build_disk(path("disk.img"), parent, size=160))


def drives(machine):
    vm = show(machine, "m")
    return [drive["path"] for drive in vm["dvds"] + vm["floppies"]]


def expect_drives(machine, *paths):
    expect(drives(machine) == list(paths), f"{drives(machine)} in the drives, not {paths}")


@suite.test
def linux_child():
    sums, disk = build()
    with Machine(disk) as machine:
        machine.wait_for_shell()
        machine.run("loam vm create m --memory 128M --kernel /boot/vmlinuz --initrd /boot/media.img "
                    "--cmdline 'console=ttyS0 quiet cryptomgr.notests' --dvd /srv/one.iso --floppy /srv/a.vfd")
        refuse(machine, "loam vm create n --kernel /boot/vmlinuz --dvd /srv/cut.iso", "cut.iso: truncated")
        machine.run("loam vm start m", CHILD_SECONDS)
        wait_until(machine, "grep -q 'child is up' /var/log/loam/m.log")

        # The guest's own ejection, and another disc.
        type_into_console(machine, "m", "md5sum /dev/sr0", f"^{sums['one.iso']}  /dev/sr0")
        refuse(machine, "loam vm insert m dvd /srv/two.iso", "there is a medium in DVD drive 0 of m, /srv/one.iso: eject")
        type_into_console(machine, "m", "eject /dev/sr0 && echo ejected $((6 * 7))", "^ejected 42")
        wait_until(machine, "loam vm show m | grep -q 'DVD drive, empty'", 60)
        expect_drives(machine, None, "/srv/a.vfd")
        refuse(machine, "loam vm insert m dvd /srv/cut.iso", "cut.iso: truncated")
        machine.run("loam vm insert m dvd /srv/two.iso")
        type_into_console(machine, "m", "md5sum /dev/sr0", f"^{sums['two.iso']}  /dev/sr0")

        # A disc that the guest holds.
        type_into_console(machine, "m", "exec 3< /dev/sr0; echo held $((6 * 7))", "^held 42")
        refuse(machine, "loam vm eject m dvd", "the guest has locked the tray: it has been asked to eject")
        expect_drives(machine, "/srv/two.iso", "/srv/a.vfd")
        machine.run("loam vm eject m dvd --force")
        expect_drives(machine, None, "/srv/a.vfd")

        # A floppy disk is read and written, and its image has the bytes when it has been ejected.
        type_into_console(machine, "m", "head -c 16 /dev/fd0; echo; yes written | dd of=/dev/fd0 bs=512 seek=4 count=64 "
                          "iflag=fullblock && sync && echo stored $((6 * 7))", "^floppy Afloppy A(?s:.*)^stored 42")
        machine.run("loam vm eject m floppy")
        machine.run("yes written | head -c 32768 > /tmp/written; dd if=/srv/a.vfd bs=512 skip=4 count=64 2> /dev/null | "
                    "cmp - /tmp/written; dd if=/srv/a.vfd bs=512 skip=68 count=1 2> /dev/null | grep -q 'floppy A'")
        refuse(machine, "loam vm insert m floppy /srv/one.iso,read-only --drive 1", "m has no floppy drive 1: it has 1")
        machine.run("loam vm insert m floppy /srv/b.vfd,read-only")
        type_into_console(machine, "m", "head -c 16 /dev/fd0; echo; echo x 2> /dev/null > /dev/fd0 || "
                          "echo protected $((6 * 7))", "^floppy Bfloppy B(?s:.*)^protected 42")
        machine.run("loam vm stop --turn-off m")
        expect_drives(machine, None, "/srv/b.vfd")
        machine.run("grep -q 'floppy B' /srv/b.vfd; loam vm remove m")
        machine.power_off()


sys.exit(suite.run())
