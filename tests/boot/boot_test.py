#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock Linux as the parent, from UEFI: boots, its processors go off and come back, it powers off and reboots."""
import os
import sys
import tempfile

from check import expect
from images import BUILD, build_disk
from lane import NESTED_PAGING, TECHNOLOGY
from machine import Machine
from parent import check_hidden, check_log, check_processors, reboot_twice
from suite import Suite, soak

BARE = os.path.join(BUILD, "image/bare.img")
suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
disk = build_disk(os.path.join(directory.name, "disk.img"), BARE)


def uefi(image, **options):
    return Machine(image, **{"firmware": Machine.UEFI, **options})


def boot(cycles=soak(20, 500), **options):
    """Boots, checks that all processors are there, takes each off and on again, and powers off."""
    processors = options.get("processors", 1)
    with uefi(disk, **options) as machine:
        machine.wait_for_shell()
        check_processors(machine, processors, cycles)
        machine.power_off()
        log = machine.log()
    check_log(log, processors)
    return log


@suite.test
def one_processor():
    boot()


@suite.test
def two_processors():
    boot(processors=2)


@suite.test
def four_processors():
    boot(processors=4, cycles=5)


@suite.concurrent
def four_processors_at_once():
    boot(processors=4, cycles=5, threads="multi")


@suite.test
def i440fx_machine_512_mib():
    boot(machine="pc", memory=512, processors=2, cycles=1)


@suite.test
def firmware_2m_cpu_max():
    boot(cpu="max", firmware="2M", processors=2, cycles=1)


@suite.test
def eight_gib_with_memory_above_4g():
    boot(memory=8192)


@suite.test
def without_mp_services():
    bare = build_disk(os.path.join(directory.name, "no-mp.img"), BARE, "mp-services = no\n")
    with uefi(bare, processors=2) as machine:
        machine.wait_for_shell()
        expect(machine.run("grep -c ^processor /proc/cpuinfo") == "2", "the second processor did not come up")
        machine.run("echo 0 > /sys/devices/system/cpu/cpu1/online && echo 1 > /sys/devices/system/cpu/cpu1/online")
        machine.power_off()
        expect("entered at its first SIPI" in machine.log(), machine.log())


@suite.test
def without_virtualization():
    with uefi(disk, cpu=Machine.WITHOUT_VIRTUALIZATION) as machine:
        machine.wait_for(rf"Loam: .*{TECHNOLOGY}.*starting without the hypervisor", 120)
        machine.wait_for_shell()
        machine.power_off()


@suite.test
def without_nested_paging():
    with uefi(disk, cpu=Machine.WITHOUT_NESTED_PAGING) as machine:
        machine.wait_for(rf"Loam: .*{NESTED_PAGING}.*starting without the hypervisor", 120)
        machine.wait_for_shell()
        machine.power_off()


@suite.test
def configuration_mistakes_are_reported():
    wrong = build_disk(os.path.join(directory.name, "wrong.img"), BARE, "colour = blue\npanic = soon\n")
    with uefi(wrong) as machine:
        machine.wait_for(r"loam\.conf line 5: unknown key", 120)
        machine.wait_for(r"loam\.conf line 6: panic must be", 120)
        machine.wait_for_shell()
        machine.power_off()


@suite.test
def hidden_memory_reads_as_zeros():
    with uefi(disk) as machine:
        machine.wait_for_shell()
        region = int(machine.wait_log(r"KiB reserved at 0x([0-9a-f]+)"), 16)
        check_hidden(machine, region, 16)
        expect("writes to hidden memory" in machine.log(), machine.log())
        machine.power_off()


@suite.test
def reboot_by_the_parent():
    with uefi(disk, processors=2, reboot=True) as machine:
        machine.wait_for_shell()
        reboot_twice(machine, r"Loam: starting")
        machine.power_off()
        expect(machine.log().count(f"Loam on {TECHNOLOGY}") == 3, machine.log())


@suite.test
def triple_fault_resets_the_machine():
    fatal = build_disk(os.path.join(directory.name, "triple.img"), BARE, cmdline="reboot=triple")
    with uefi(fatal) as machine:
        machine.wait_for_shell()
        machine.send("reboot -f\n")
        machine.wait_for_end(120)
        expect("triple fault" in machine.log(), machine.log())


sys.exit(suite.run())
