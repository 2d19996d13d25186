#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers that few machines have: device memory far up, processors with gaps between their APIC ids."""
import os
import re
import sys
import tempfile

from check import expect
from images import BUILD, build_disk
from machine import Machine
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
disk = build_disk(os.path.join(directory.name, "disk.img"), os.path.join(BUILD, "image/bare.img"))
# The firmware gives 64-bit BARs an aperture of this size, aligned to it: at 512 GiB, as the emulator has 40 bits.
APERTURE_MIB = 512 << 10


def high_device_memory(cpu):
    """Memory of a PCI device: what the parent writes there arrives at the device, and is read back."""
    shared = os.path.join(directory.name, "shared")
    with Machine(disk, cpu=cpu, extra=(
            "-fw_cfg", f"name=opt/ovmf/X-PciMmio64Mb,string={APERTURE_MIB}",
            "-object", f"memory-backend-file,id=memory,size=1M,share=on,mem-path={shared}",
            "-device", "ivshmem-plain,memdev=memory")) as machine:
        machine.wait_for_shell()
        resources = machine.run("cat $(dirname $(grep -l 0x1110 /sys/bus/pci/devices/*/device))/resource").splitlines()
        address = int(resources[2].split()[0], 16)
        expect(address >= 512 << 30, f"the firmware placed the device's memory at {address:#x}")
        machine.run(f"devmem {address:#x} 32 0x6d616f4c")
        expect(machine.run(f"devmem {address:#x} 32") == "0x6D616F4C", "what was written is not read back")
        with open(shared, "rb") as stream:
            expect(stream.read(4) == b"Loam", "what was written did not arrive")
        machine.power_off()
        expect("beyond physical memory" not in machine.log() and "panic" not in machine.log(), machine.log())


@suite.test
def device_memory_above_512_gib():
    high_device_memory("EPYC,+svm,+npt")


@suite.test
def device_memory_above_512_gib_without_1_gib_pages():
    high_device_memory("EPYC,+svm,+npt,-pdpe1gb")


@suite.test
def gaps_between_apic_ids():
    """Two of 126 possible processors: sockets of three cores, of which four ids each are taken."""
    with Machine(disk, topology="maxcpus=126,sockets=42,cores=3,threads=1", extra=(
            "-device", "EPYC-x86_64-cpu,socket-id=40,die-id=0,core-id=1,thread-id=0")) as machine:
        machine.wait_for_shell()
        ids = re.findall(r"^apicid\s*: (\d+)$", machine.run("cat /proc/cpuinfo"), re.M)
        expect(ids == ["0", "161"], f"APIC ids {ids}")
        for _ in range(5):
            machine.run("cd /sys/devices/system/cpu/cpu1 && echo 0 > online && echo 1 > online; cd /", 120)
        expect(machine.run("cat /sys/devices/system/cpu/online") == "0-1", "the second processor did not come back")
        machine.power_off()
        expect("processor 1 (APIC id 161) entered" in machine.log(), machine.log())


sys.exit(suite.run())
