#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parent's kernel and administrators see of the hypervisor: its log, exits, sleep that is refused."""
import os
import sys
import tempfile

from check import expect
from images import BUILD, build_disk, build_initramfs, driver
from machine import Machine
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
parent = build_initramfs(os.path.join(directory.name, "parent.img"), *Machine.DISK_MODULES, f"module:{driver()}",
                         f"usr/bin/exit_counts={BUILD}/bin/exit_counts")
disk = build_disk(os.path.join(directory.name, "disk.img"), parent)
DISK_MIB = 32


def exits_of_disk_reads(machine):
    """Exits of the parent's processors, by reason, while it reads from its disk."""
    lines = machine.run(f"exit_counts {Machine.DISK} {DISK_MIB}").splitlines()
    return {reason: int(count) for reason, count in (line.split() for line in lines)}


@suite.test
def log_sleep_and_exits_with_one_processor():
    with Machine(disk, extra=("-global", "ICH9-LPC.disable_s3=0", "-global", "ICH9-LPC.disable_s4=0")) as machine:
        machine.wait_for_shell()
        # What the hypervisor said on its serial port, its parent can read.
        said = [line.removeprefix("(loam) ") for line in machine.log().splitlines() if line.startswith("(loam) ")]
        log = machine.run("cat /dev/loam")
        expect(len(said) >= 2 and log.splitlines()[:len(said)] == said, log)
        for state in ("mem", "disk"):
            expect(state in machine.run("cat /sys/power/state").split(), f"the machine does not offer '{state}'")
            machine.run("dmesg -c > /dev/null")
            status, output = machine.try_run(f"echo {state} > /sys/power/state")
            expect(status != 0 and "Operation not permitted" in output, f"'{state}' was not refused: {output}")
            lines = [line for line in machine.run("dmesg").splitlines() if "mshv_loam" in line]
            expect(len(lines) == 1 and "suspend and hibernation are refused" in lines[0], f"{state}: {lines}")
        expect(exits_of_disk_reads(machine) == {"hypercall": 1}, exits_of_disk_reads(machine))
        machine.power_off()


@suite.test
def exits_with_two_processors():
    """The local APIC's registers are trapped, and nothing else."""
    with Machine(disk, processors=2) as machine:
        machine.wait_for_shell()
        exits = exits_of_disk_reads(machine)
        expect(exits.pop("hypercall") <= 4 and exits.pop("apic-access") == exits.pop("nested-fault") and not exits,
               exits_of_disk_reads(machine))
        machine.power_off()


sys.exit(suite.run())
