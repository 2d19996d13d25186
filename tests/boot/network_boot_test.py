#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines that boot from the network: the firmware starts iPXE, which finds the DEC 21140, gets an address and
the name of a script from the switch by DHCP, and the script and what it names from a server in the parent by HTTP."""
import os
import shutil
import subprocess
import sys
import tempfile

from check import expect
from guest_screen import Screen
from images import build_disk, extend_parent
from machine import Machine
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()

BOOT_SECONDS = 400  # iPXE alone waits for more than 20 s of its time: for the card, DHCP, and an IPv6 router
GATEWAY = "10.77.0.1"
WEB = f"http://{GATEWAY}"
GREETING = "GRUB has come by HTTP"


def path(name):
    return os.path.join(directory.name, name)


def build_grub():
    """A small kernel by Linux's boot protocol: GRUB, which writes on the serial console, and switches off."""
    with open(path("early.cfg"), "w", encoding="ascii") as stream:
        stream.write(f"serial --unit=0 --speed=115200\nterminal_output serial\necho '{GREETING}'\nhalt\n")
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-p", "/none", "-c", path("early.cfg"), "-o", path("core.img"), "serial",
                    "terminal", "echo", "halt"], check=True)
    with open(path("grub.lkrn"), "wb") as output:
        for part in ("/usr/lib/grub/i386-pc/lnxboot.img", path("core.img")):
            with open(part, "rb") as stream:
                shutil.copyfileobj(stream, output)
    return path("grub.lkrn")


def build_parent():
    """A disk with the default parent, and GRUB among what it serves."""
    return build_disk(path("disk.img"), extend_parent(path("parent.img"), f"srv/www/grub.lkrn={build_grub()}"))


def serve(machine, script, *commands):
    """An HTTP server in the parent, these commands in its folder, and a virtual machine that is to load the script."""
    lines = "\n".join(["#!ipxe", *script])
    machine.run("mkdir -p /srv/www")
    machine.run(f"cat > /srv/www/boot.ipxe << 'END'\n{lines}\nEND")
    for command in commands:
        machine.run(f"cd /srv/www && {command}")
    machine.run("httpd -p 127.0.0.1:80 -h /srv/www")
    machine.run(f"loam switch create lab --subnet 10.77.0.0/24 --allow-host --boot-file {WEB}/boot.ipxe")
    machine.run("loam vm create netboot --memory 128M --nic lab --boot network")


@suite.test
def scripts_by_http():
    """The second one is long: it comes in many frames, and each of its lines has to count."""
    with Machine(disk, memory=1536) as machine:
        machine.wait_for_shell()
        serve(machine, ["set sum:int32 0", f"chain --autofree {WEB}/long.ipxe", "echo ${net0/ip} has added up ${sum:int32}",
                        "shell"],
              "{ echo '#!ipxe'; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo inc sum $i; done; } > long.ipxe")
        machine.run("loam vm start netboot")
        shown = Screen(machine, "netboot").wait_for(f"10.77.0.2 has added up {2000 * 2001 // 2}", BOOT_SECONDS)
        expect(any("using ds21140 on" in line for line in shown), "\n".join(shown))
        machine.run("loam vm stop --turn-off netboot")
        machine.power_off()


@suite.test
def kernel_by_http():
    """The firmware's services are whole behind iPXE: GRUB writes, and switches the machine off by its ACPI tables."""
    with Machine(disk, memory=1536) as machine:
        machine.wait_for_shell()
        serve(machine, [f"kernel {WEB}/grub.lkrn", "boot"])
        output = machine.run("loam vm start --console netboot < /dev/null", BOOT_SECONDS * 2)
        expect(GREETING in output, output)
        machine.run("loam vm wait netboot", BOOT_SECONDS)
        machine.power_off()


disk = build_parent()
sys.exit(suite.run())
