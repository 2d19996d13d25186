#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers are killed while their guests, Linux with ext4, write to disks of every kind.

What a guest knows of its files it writes behind its file system (tests/disk_trace/workload.c), and says on its console
which of these notes are written. After each kill, on a copy that leaves the parent by its second disk:
  - the disk's check finds no error;
  - every note is there that the guest has said is written, and none is torn;
  - after the replay of its journal e2fsck finds nothing, and the files have what fsync promised.
Then the guest goes on with the same disk. A kill leaves the page cache, so a note counts when its write has completed;
only the child of a VHDX keeps in memory until the next flush what it has, and its guest flushes each note."""
import os
import random
import re
import subprocess
import sys
import tempfile

from check import expect
from images import BUILD, TOP, build_disk, driver, extend_parent
from machine import Machine
from managed import CHILD_SECONDS, show, wait_until
from suite import Suite, soak

sys.path.append(os.path.join(TOP, "tests/disk_trace"))
from guest_files import NOTES, NOTES_ROOM, Files, examine_file_system, parse_notes, read_notes  # noqa: E402

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
SEED = 20261130
DISK_SIZE = 32 << 20
MOST_NOTES = 60     # before a kill
LONGEST_PAUSE = 0.5  # seconds between the last of them and the kill


class Kind:
    """Of disk: how it is made of /srv/base.vhd."""

    def __init__(self, name, path, command, notes="announce", option=""):
        self.name, self.path, self.command, self.notes, self.option = name, path, command, notes, option


KINDS = [
    Kind("raw", "/srv/raw.img", "convert /srv/base.vhd /srv/raw.img --format raw", option=",raw"),
    Kind("vhd", "/srv/dynamic.vhd", "convert /srv/base.vhd /srv/dynamic.vhd"),
    Kind("child-vhd", "/srv/child.vhd", "create /srv/child.vhd --parent /srv/base.vhd"),
    Kind("vhdx", "/srv/dynamic.vhdx", "convert /srv/base.vhd /srv/dynamic.vhdx"),
    Kind("child-vhdx", "/srv/child.vhdx", "create /srv/child.vhdx --parent /srv/base.vhdx", notes="flush"),
]


def build_file_system(path):
    """Its notes are empty."""
    with open(path, "wb") as stream:
        stream.truncate(DISK_SIZE)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-J", "size=4", "-N", "1024", path, f"{(DISK_SIZE - NOTES_ROOM) >> 10}k"],
                   check=True)


def create(machine, kind):
    machine.run(f"loam disk {kind.command}", CHILD_SECONDS)
    machine.run(f"loam vm create {kind.name} --memory 128M --kernel /boot/vmlinuz --initrd /boot/killed-guest.img "
                f"--cmdline 'console=ttyS0 quiet cryptomgr.notests notes={kind.notes}' --disk {kind.path}{kind.option}")


def wait_for_notes(machine, log, notes):
    condition = f"grep -q 'guest: cannot' {log} || [ $(grep -c ^noted {log}) -ge {notes} ]"
    status, _ = machine.try_run(f"n=0; until {condition}; do sleep 0.2; n=$((n+1)); [ $n -lt {CHILD_SECONDS} ] || break; done; "
                                f"{condition}", 3 * CHILD_SECONDS)
    said = machine.run(f"tail -30 {log}")
    expect(status == 0 and "guest: cannot" not in said, f"it does not write {notes} notes: {said}")


def kill_at_work(machine, kind, notes, pause):
    """When it has written so many notes. Returns the number of the last one that it has said is written."""
    log = f"/var/log/loam/{kind.name}.log"
    machine.run(f"rm -f {log}; loam vm start {kind.name}", CHILD_SECONDS)
    wait_for_notes(machine, log, notes)
    machine.run(f"sleep {pause:.2f}")
    machine.run(f"kill -9 {show(machine, kind.name)['process']}")
    wait_until(machine, f"loam vm list | grep -q '^{kind.name} .*Off'", 60)
    numbers = re.findall(r"^noted (\d+)\r?$", machine.run(f"cat {log}"), re.M)
    return int(numbers[-1]) if numbers else -1


def examine(machine, kind, data, noted):
    machine.run(f"loam disk check {kind.path} || [ {kind.name} = raw ]", CHILD_SECONDS)
    machine.run(f"loam disk convert {kind.path} /srv/copy.raw --replace --format raw"
                f"{' --source-raw' if kind.option else ''} && cat /srv/copy.raw > {Machine.DATA_DISK} && rm /srv/copy.raw && sync",
                CHILD_SECONDS)
    notes = read_notes(data)
    last = max(notes, default=-1)
    expect(last >= noted, f"note {noted} was written, and the last on the disk is {last}")
    expect(sorted(notes) == list(range(max(0, last + 1 - NOTES), last + 1)), f"notes are missing: there are {sorted(notes)}")
    files = Files()
    for number in sorted(notes):
        files.take(parse_notes(notes[number]))
    examine_file_system(data, files)


def kill_often(machine, data, kills):
    moments = random.Random(SEED)
    noted = dict.fromkeys((kind.name for kind in KINDS), -1)
    for kill in range(kills):
        kind = KINDS[kill % len(KINDS)]
        if kill < len(KINDS):
            create(machine, kind)
        notes, pause = moments.randrange(MOST_NOTES), moments.uniform(0, LONGEST_PAUSE)
        try:
            noted[kind.name] = max(noted[kind.name], kill_at_work(machine, kind, notes, pause))
            examine(machine, kind, data, noted[kind.name])
        except Exception as failure:
            raise AssertionError(f"kill {kill}, of {kind.name} after {notes} notes and {pause:.2f} s: {failure}") from failure


@suite.test
def guests_keep_what_was_acknowledged():
    data = os.path.join(directory.name, "data.img")
    build_file_system(data)
    parent = extend_parent(os.path.join(directory.name, "parent.img"), f"boot/killed-guest.img={BUILD}/image/killed-guest.img",
                           *Machine.DISK_MODULES, f"module:{driver()}")
    with Machine(build_disk(os.path.join(directory.name, "disk.img"), parent), data_disk=data) as machine:
        machine.wait_for_shell()
        machine.run(f"loam disk convert {Machine.DATA_DISK} /srv/base.vhd --source-raw; "
                    "loam disk convert /srv/base.vhd /srv/base.vhdx", CHILD_SECONDS)
        kill_often(machine, data, soak(5, 200))
        machine.power_off()


sys.exit(suite.run())
