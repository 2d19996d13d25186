#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux child on a differencing disk: it reads its parent, what it has written outlasts its worker, TRIM gives space back,
and merging makes one disk of both."""
import os
import re
import sys
import tempfile

from check import expect
from images import BUILD, build_disk, extend_parent
from machine import Machine
from managed import CHILD_SECONDS, refuse, show, type_into_console, wait_until
from suite import Suite

suite = Suite(__file__)
START = "loam vm start m; until grep -q 'child is up' /var/log/loam/m.log; do sleep 1; done"
SUM = "md5sum /dev/sda | cut -c-32"


def sum_of(machine, disk):
    machine.run(f"loam disk convert {disk} /srv/sum.raw --replace", CHILD_SECONDS)
    return machine.run("md5sum /srv/sum.raw | cut -c-32").strip()


def sum_in_guest(machine, name):
    """`name` is another one each time, since the console shows what was said before."""
    text = type_into_console(machine, "m", f"echo {name} $({SUM})", f"^{name} [0-9a-f]{{32}}")
    return re.findall(f"{name} ([0-9a-f]{{32}})", text)[-1]


def space_of(machine, disk):
    return int(machine.run(f"stat -c %b {disk}"))


@suite.test
def differencing_disk():
    with tempfile.TemporaryDirectory() as directory, \
            Machine(build_disk(os.path.join(directory, "disk.img"), f"{BUILD}/image/parent.img")) as machine:
        machine.wait_for_shell()
        machine.run("head -c 8388608 /dev/urandom > /srv/base.img; loam disk convert /srv/base.img /srv/base.vhd; "
                    "loam disk create /srv/trial.vhd --parent /srv/base.vhd; "
                    "loam vm create m --memory 128M --kernel /boot/vmlinuz --initrd /boot/child.img "
                    "--cmdline 'console=ttyS0 quiet cryptomgr.notests' --disk /srv/trial.vhd")
        base = sum_of(machine, "/srv/base.vhd")
        machine.run(START, CHILD_SECONDS)
        refuse(machine, "loam disk compact /srv/base.vhd", "base.vhd: in use by virtual machine m: stop it first")
        expect(sum_in_guest(machine, "first") == base, "the guest does not read the parent's contents")

        # What the guest was told is on the disk outlasts the worker, and the parent is as it was.
        type_into_console(machine, "m", "cat /bin/busybox /bin/busybox | dd of=/dev/sda bs=64k count=20 iflag=fullblock seek=11 conv=fsync 2> /dev/null; "
                          "echo written $((6 * 7))", "^written 42")
        written = sum_in_guest(machine, "second")
        expect(written != base, "nothing was written")
        machine.run(f"kill -9 {show(machine, 'm')['process']}")
        wait_until(machine, "loam vm list | grep -q 'm .*Off'", 60)
        machine.run("loam disk check /srv/trial.vhd; loam disk chain /srv/trial.vhd")
        expect(sum_of(machine, "/srv/trial.vhd") == written, "the disk has lost what was written")
        expect(sum_of(machine, "/srv/base.vhd") == base, "the parent has changed")

        machine.run("rm /var/log/loam/m.log; " + START, CHILD_SECONDS)
        before = space_of(machine, "/srv/trial.vhd")
        type_into_console(machine, "m", "blkdiscard -o 720896 -l 1310720 /dev/sda && echo trimmed $((6 * 7))", "^trimmed 42")
        expect(space_of(machine, "/srv/trial.vhd") < before - 2000, "TRIM has given no space back")
        trimmed = sum_in_guest(machine, "third")
        machine.run("loam vm stop --turn-off m")

        machine.run("loam disk merge /srv/trial.vhd && test ! -e /srv/trial.vhd && loam disk check /srv/base.vhd")
        expect(sum_of(machine, "/srv/base.vhd") == trimmed, "the merged disk is not what the guest had")
        machine.run("loam vm remove m")
        machine.power_off()


@suite.test
def parent_at_a_url():
    """A guest runs before its disk has arrived; while the server says nothing it stands still, and afterwards it needs none."""
    with tempfile.TemporaryDirectory() as directory:
        parent = extend_parent(os.path.join(directory, "parent.img"), f"program:usr/bin/loam-fetch={BUILD}/bin/loam-fetch")
        with Machine(build_disk(os.path.join(directory, "disk.img"), parent, size=192), memory=1536) as machine:
            machine.wait_for_shell()
            machine.run("ip link set lo up; mkdir /srv/www; head -c 8388608 /dev/urandom > /srv/www/base.raw; "
                        "httpd -p 127.0.0.1:8000 -h /srv/www; "
                        "loam disk create /srv/trial.vhd --parent http://127.0.0.1:8000/base.raw --parent-raw")
            attached = machine.run("loam vm create m --memory 128M --kernel /boot/vmlinuz --initrd /boot/child.img "
                                   "--cmdline 'console=ttyS0 quiet cryptomgr.notests' --disk /srv/trial.vhd")
            expect("http://127.0.0.1:8000/base.raw" in attached, attached)
            base = machine.run("md5sum /srv/www/base.raw | cut -c-32").strip()

            # Its kernel reads the first sectors, of which nothing comes.
            machine.run("killall -STOP httpd; loam vm start m")
            wait_until(machine, "loam vm list | grep -q 'm .*Paused'")
            state = show(machine, "m")
            expect((state["reason"], state["path"]) == ("no-answer", "/srv/trial.vhd") and "127.0.0.1:8000" in state["detail"],
                   state)
            machine.run("killall -CONT httpd")
            wait_until(machine, "loam vm list | grep -q 'm .*Running' && grep -q 'child is up' /var/log/loam/m.log")
            expect(sum_in_guest(machine, "first") == base, "the guest does not read what is at the URL")
            wait_until(machine, "loam disk info /srv/trial.vhd --json | grep -q '\"local\": *8388608'", 60)
            machine.run("loam vm stop --turn-off m; loam disk check /srv/trial.vhd")

            machine.run("killall httpd; rm /srv/www/base.raw /var/log/loam/m.log; " + START, CHILD_SECONDS)
            expect(sum_in_guest(machine, "second") == base, "not all is local")
            machine.run("loam vm stop --turn-off m; loam vm remove m")
            machine.power_off()


sys.exit(suite.run())
