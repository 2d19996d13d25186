#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Newer parents and emulators, from the release's backports: a parent with kernel 6.12, and parents in x2APIC mode,
which only newer emulators have. SKIP where the archive has no backports."""
import os
import subprocess
import sys
import tempfile

from check import expect
from images import BUILD, TOP, build_disk, build_initramfs, cloud_kernel, driver, newest
from machine import Machine
from suite import Skip, Suite, soak

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
FOLDER = os.path.join(BUILD, "backports")
NEEDS_BACKPORTS = 2  # exit status of the scripts


def fetch(*command):
    result = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    if result.returncode == NEEDS_BACKPORTS:
        raise Skip(result.stderr.strip())
    expect(result.returncode == 0, result.stdout + result.stderr)


def parent(name, kernel, module):
    programs = [f"usr/bin/{program}={BUILD}/bin/{program}" for program in ("mshv_test", "exit_counts")]
    release = os.path.basename(kernel).removeprefix("vmlinuz-")
    block = [] if "backports" in module else ["module:virtio_pci", "module:virtio_blk"]
    image = build_initramfs(os.path.join(directory.name, f"{name}.img"), *block, f"module:{module}", *programs,
                            release=release)
    return build_disk(os.path.join(directory.name, f"{name}-disk.img"), image, kernel=kernel, size=96)


def run_guests(machine):
    output = machine.run("mshv_test statistics close_partition_first kills", 300)
    expect(output.endswith("3 passed, 0 failed"), output)
    machine.run("rmmod mshv_loam")


def exits_of_disk_reads(machine):
    return dict(line.split() for line in machine.run("exit_counts /dev/vda 32").splitlines())


@suite.test
def newer_kernel():
    fetch("tests/driver/backports", BUILD, "only")
    disk = parent("newer", newest(f"{FOLDER}/unpacked/boot/vmlinuz-*-cloud-amd64"),
                 f"{FOLDER}/module/cloud-amd64/mshv_loam.ko")
    with Machine(disk, processors=2, cpu=Machine.FOR_KERNEL_6_12) as machine:
        machine.wait_for_shell()
        expect(machine.run("nproc") == "2", "the second processor did not come up")
        run_guests(machine)
        machine.power_off()


def x2apic(processors, topology="", extra=()):
    fetch("tests/backports", BUILD, "emulator")
    return Machine(parent("x2apic", cloud_kernel(), driver()), processors=processors, topology=topology,
                   machine="q35,kernel-irqchip=split", cpu="EPYC,+svm,+npt,+x2apic",
                   qemu=f"{FOLDER}/emulator/usr/bin/qemu-system-x86_64",
                   extra=("-device", "intel-iommu,intremap=on,eim=on", *extra))


def processor_off_and_on(machine, times):
    for _ in range(times):
        machine.run("cd /sys/devices/system/cpu/cpu1 && echo 0 > online && echo 1 > online; cd /", 120)
    expect(machine.run("cat /sys/devices/system/cpu/online") == "0-1", "the second processor did not come back")


@suite.test
def x2apic_with_one_processor():
    with x2apic(1) as machine:
        machine.wait_for_shell()
        expect("x2apic enabled" in machine.run("dmesg"), "the parent stays in xAPIC mode")
        exits = exits_of_disk_reads(machine)
        expect(exits == {"hypercall": "1"}, exits)
        run_guests(machine)
        machine.power_off()


@suite.test
def x2apic_with_two_processors():
    with x2apic(2) as machine:
        machine.wait_for_shell()
        expect("x2apic enabled" in machine.run("dmesg"), "the parent stays in xAPIC mode")
        processor_off_and_on(machine, soak(10, 300))
        # Writes of the ICR: IPIs between the two.
        exits = exits_of_disk_reads(machine)
        expect(set(exits) <= {"hypercall", "msr-write"}, exits)
        run_guests(machine)
        machine.power_off()


@suite.test
def apic_id_of_more_than_8_bits():
    with x2apic(1, "maxcpus=288,sockets=96,cores=3,threads=1",
                ("-device", "EPYC-x86_64-cpu,socket-id=90,die-id=0,module-id=0,core-id=1,thread-id=0")) as machine:
        machine.wait_for_shell()
        expect("\napicid\t\t: 361" in machine.run("cat /proc/cpuinfo"), "the second processor did not come up")
        processor_off_and_on(machine, 5)
        run_guests(machine)
        machine.power_off()
        expect("processor 1 (APIC id 361) entered" in machine.log(), machine.log())


sys.exit(suite.run())
