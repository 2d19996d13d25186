#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of the hypervisor and of the machine."""
import os
import re
import sys
import tempfile
import time

from check import expect
from images import BUILD, build_disk, build_initramfs, cloud_release, driver, newest, symbol_offset
from machine import Machine
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
UNDEFINED_INSTRUCTION = b"\x0f\x0b"
PANIC_SECONDS = 6
# Uncorrected, enabled, with an address; it can be returned from.
MACHINE_CHECK = "0xb400000000000135 0x5 0x12345000 0"


def parent(release, configuration=""):
    image = build_initramfs(os.path.join(directory.name, "parent.img"), f"module:{driver(release)}",
                            f"usr/bin/spinning_guest={BUILD}/bin/spinning_guest", release=release)
    return build_disk(os.path.join(directory.name, "disk.img"), image, configuration, kernel=f"/boot/vmlinuz-{release}")


def start_vm(machine, processor):
    machine.run(f"taskset {1 << processor:x} spinning_guest > /run/guest & "
                "until grep -q 'the guest runs' /run/guest; do sleep 0.1; done")


@suite.test
def hypervisor_panics():
    """A call that meets an undefined instruction in the hypervisor: it says all, stops all, resets the machine."""
    with Machine(parent(cloud_release(), f"panic = {PANIC_SECONDS}\n"), processors=2) as machine:
        machine.wait_for_shell()
        start_vm(machine, 1)
        region = int(machine.wait_log(r"KiB reserved at 0x([0-9a-f]+)"), 16)
        machine.write_physical(region + symbol_offset("hypercall_read_log"), UNDEFINED_INSTRUCTION)
        machine.send("while :; do echo beat; sleep 0.1; done & taskset 1 cat /dev/loam\n")
        machine.wait_log(rf"(the machine will be reset in {PANIC_SECONDS} seconds)")
        time.sleep(1)  # for what is on its way through the emulated serial port
        machine.read_all()
        said = len(machine.output)
        machine.wait_for_end(PANIC_SECONDS + 60)
        expect(len(machine.output) == said, f"the parent ran on: {machine.output[said:]}")
        log = machine.log()
        expect("panic on processor 0: exception 6, error code 0x0, at hypercall_read_log+0x0" in log, log)
        expect(log.count("panic on processor") == 1, log)
        for register in ("rip", "rax", "r15"):
            expect(re.search(rf"^\(loam\)   .*{register} +[0-9a-f]{{16}}", log, re.M), log)
        expect(re.search(r"^\(loam\)   ffffffff8[0-9a-f]+ (hypercall_dispatch|exit_hypercall)\+0x[0-9a-f]+$", log, re.M), log)


@suite.test
def machine_check_goes_to_the_parent():
    """With the generic kernel: the cloud kernel knows no machine checks."""
    release = os.path.basename(newest("/boot/vmlinuz-*[0-9]-amd64")).removeprefix("vmlinuz-")
    with Machine(parent(release), processors=2) as machine:
        machine.wait_for_shell()
        start_vm(machine, 1)
        start = len(machine.output)
        machine.monitor(f"mce 0 4 {MACHINE_CHECK}")
        machine.wait_for(r"mce: \[Hardware Error\]: CPU 0: Machine Check Exception", start=start)
        machine.wait_for(r"Kernel panic - not syncing: Fatal local machine check", start=start)
        machine.wait_for_end()
        expect("panic" not in machine.log(), machine.log())


sys.exit(suite.run())
