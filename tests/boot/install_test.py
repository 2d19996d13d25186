#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Systems that SeaBIOS starts from a disk by GRUB, to a login: installed from a DVD by the virtual machine itself, and
Debian as it comes from its mirror, with several processors, a network, and a clean end."""
import base64
import os
import sys
import tempfile
import time

from check import expect
from images import BUILD, build_data_disk, build_disk, driver, extend_parent
from login import Login
from machine import Machine
from managed import CHILD_SECONDS, show, wait_until
from png import read_png
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()

IMAGES = os.path.join(BUILD, "install")
DEBIAN_SECONDS = 1800  # to its login
INSTALLATION_SECONDS = 3600
SUBNET, GATEWAY = "10.77.0.0/24", "10.77.0.1"
PARTITION = 2048 * 512  # where it begins on the disk
GREETING = "hello from the parent"
CELL_WIDTH, CELL_HEIGHT = 8, 16  # pixels of a character on Linux's console in graphics


def path(name):
    return os.path.join(directory.name, name)


def build(*files, modules=()):
    """A disk with the default parent, e2fsck, and with more files and modules."""
    parent = extend_parent(path("parent.img"), "program:sbin/e2fsck=/sbin/e2fsck", *files, *modules, f"module:{driver()}")
    return build_disk(path("disk.img"), parent, size=192)


def install(machine, medium, name, size, memory):
    """An unattended installation, to the reboot from the disk."""
    machine.run(f"loam disk create /srv/{name}.vhd --size {size}")
    machine.run(f"loam vm create {name} --memory {memory} --disk /srv/{name}.vhd --dvd {medium} --nic lab")
    machine.run(f"loam vm start {name}", CHILD_SECONDS)
    log = f"/var/log/loam/{name}.log"
    wait_until(machine, f"grep -qE '^installer: (done|failed)' {log}", INSTALLATION_SECONDS)
    said = machine.run(f"grep -A 20 '^installer: ' {log}")
    expect("installer: done" in said and "installer: failed" not in said, said)
    expect([drive["path"] for drive in show(machine, name)["dvds"]] == [None], "the medium has not been ejected")


def create_switch(machine):
    """A virtual switch named lab, with a page to fetch from the parent."""
    machine.run(f"mkdir -p /srv/www && echo '{GREETING}' > /srv/www/index.html && httpd -p 127.0.0.1:80 -h /srv/www")
    machine.run(f"loam switch create lab --subnet {SUBNET} --allow-host")


def expect_clean(machine, name):
    """The disk's file system has been left in order: e2fsck, which changes nothing, finds nothing to do."""
    machine.run(f"loam disk check /srv/{name}.vhd", CHILD_SECONDS)
    machine.run(f"loam disk convert /srv/{name}.vhd /srv/{name}.raw", CHILD_SECONDS)
    checked = machine.run(f"e2fsck -fn '/srv/{name}.raw?offset={PARTITION}' && rm /srv/{name}.raw", CHILD_SECONDS)
    expect("journal" not in checked, checked)


def wait_for_login_on_screen(machine, name, seconds, host):
    wait_until(machine, f"loam vm screen --text {name} | grep -q '^{host} login:'", seconds)


@suite.test
def small_system_from_a_dvd():
    """Busybox on ext4."""
    with Machine(build(f"srv/small.iso={IMAGES}/small.iso"), memory=1536) as machine:
        machine.wait_for_shell()
        create_switch(machine)
        install(machine, "/srv/small.iso", "small", "128M", "128M")
        wait_for_login_on_screen(machine, "small", CHILD_SECONDS, "small")
        login = Login(machine, "small", CHILD_SECONDS)
        expect("/dev/sda1 / ext4" in login.run("cat /proc/mounts"), "its root is not the disk")
        login.power_off()
        expect_clean(machine, "small")
        machine.power_off()


def debian_parent(*images):
    """A parent with room for Debian's images: /srv is a disk."""
    disk = build(modules=Machine.DISK_MODULES)
    data = build_data_disk(path("data.img"), 4096, *(os.path.join(IMAGES, image) for image in images))
    return Machine(disk, processors=2, memory=3072, data_disk=data)


def start_with_data(machine):
    machine.wait_for_shell()
    machine.run(f"mount -t ext4 {Machine.DATA_DISK} /srv")
    create_switch(machine)


def start_debian(machine, name, processors):
    machine.run(f"loam vm create {name} --memory 512M --processors {processors} --disk /srv/{name}.vhd --nic lab")
    machine.run(f"loam vm start {name}", CHILD_SECONDS)


def check_debian(login, processors):
    """All its units run, it has its processors, the network, and is content with its clock and its disk."""
    expect(login.run("nproc") == str(processors), "it does not have all processors")
    state = login.run("systemctl is-system-running --wait || systemctl --failed", CHILD_SECONDS)
    expect(state == "running", state)
    login.run("n=0; until ip -4 -o address show scope global | grep 10.77.0; do "
              "sleep 1; n=$((n+1)); [ $n -lt 120 ] || break; done")
    login.run(f"ping -c 3 {GATEWAY}")
    expect(login.run(f"busybox wget -q -O - http://{GATEWAY}/") == GREETING, "the page is another")
    # A kernel that is too slow to measure the TSC, in the emulator on a loaded machine, takes another clock.
    bad = login.run("dmesg | grep -E 'unstable|I/O error|exception Emask' | grep -v 'could not calculate TSC khz' || true")
    expect(bad == "", bad)


def check_and_power_off(machine, name, processors):
    login = Login(machine, name, DEBIAN_SECONDS)
    check_debian(login, processors)
    login.power_off()


def debian_from_its_disk(processors):
    with debian_parent("debian.vhd") as machine:
        start_with_data(machine)
        start_debian(machine, "debian", processors)
        wait_for_login_on_screen(machine, "debian", DEBIAN_SECONDS, "debian")
        check_and_power_off(machine, "debian", processors)
        expect_clean(machine, "debian")
        machine.power_off()


@suite.only_in_soak
def debian_with_one_processor():
    debian_from_its_disk(1)


@suite.only_in_soak
def debian_with_two_processors():
    debian_from_its_disk(2)


@suite.only_in_soak
def debian_with_four_processors():
    debian_from_its_disk(4)


@suite.only_in_soak
def two_debians_at_once():
    with debian_parent("debian.vhd") as machine:
        start_with_data(machine)
        machine.run("cp /srv/debian.vhd /srv/other.vhd", CHILD_SECONDS)
        for name in ("debian", "other"):
            start_debian(machine, name, 1)
        for name in ("debian", "other"):
            check_and_power_off(machine, name, 1)
        for name in ("debian", "other"):
            expect_clean(machine, name)
        machine.power_off()


def shows(picture, text):
    """Whether a line begins with this text: its characters look the same or differ where those of the text do."""
    wanted = [text.index(character) for character in text]
    for y in range(0, picture.height - CELL_HEIGHT + 1, CELL_HEIGHT):
        cells = [picture.part(CELL_WIDTH * x, y, CELL_WIDTH, CELL_HEIGHT) for x in range(len(text))]
        if [cells.index(cell) for cell in cells] == wanted:
            return True
    return False


def wait_for_picture(machine, name, text):
    deadline = time.monotonic() + DEBIAN_SECONDS
    while not shows(read_png(base64.b64decode(machine.run(f"loam vm screenshot {name} - | base64"))), text):
        expect(time.monotonic() < deadline, f"the screen never shows {text!r}")
        time.sleep(15)


@suite.only_in_soak
def debian_from_a_dvd():
    """The installed system has a driver for the screen, which leaves text mode."""
    with debian_parent("debian.iso") as machine:
        start_with_data(machine)
        install(machine, "/srv/debian.iso", "debian", "1G", "512M")
        wait_for_picture(machine, "debian", "debian login:")
        check_and_power_off(machine, "debian", 1)
        expect_clean(machine, "debian")
        machine.power_off()


sys.exit(suite.run())
