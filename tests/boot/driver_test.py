#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The parent's driver: its whole test program, on the fake hypervisor in a kernel of its own and on Loam."""
import os
import re
import subprocess
import sys
import tempfile

from check import expect
from images import BUILD, TOP, build_disk, build_initramfs, driver
from machine import Machine
from suite import Suite, soak

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()


def parent_image():
    output = os.path.join(directory.name, "driver.img")
    if not os.path.exists(output):
        build_initramfs(output, f"module:{driver()}", f"usr/bin/mshv_test={BUILD}/bin/mshv_test")
    return output


SILENCE_SECONDS = 180  # of the program, whose watchdog ends a test that does not get on
SEVERAL_VPS = ("startup_before_and_after_the_first_run startup_again_and_again startup_by_broadcast init_stops "
               "init_of_the_boot_vp unmap_ends_all_access ipis_of_two_vps ipis_of_four_vps ipis_of_eight_vps")


def run_program(processors, tests="", **options):
    """`tests`: those that are named, instead of all."""
    disk = build_disk(os.path.join(directory.name, "disk.img"), parent_image())
    with Machine(disk, processors=processors, **options) as machine:
        machine.wait_for_shell()
        expect("mshv_loam" in machine.run("lsmod"), "the driver did not load")
        amounts = f"KILLS={soak(100, 2000)} IPIS={soak(20000, 1000000, in_bochs=6000)}"
        status, output = machine.try_run(f"{amounts} mshv_test {tests}", SILENCE_SECONDS, silence=True)
        failed = re.findall(r"^FAIL.*$|^  \S+:\d+:.*$", output, re.M)
        expect(status == 0 and re.search(r"^\d+ passed, 0 failed$", output, re.M), "\n".join(failed) or output[-2000:])
        machine.run("rmmod mshv_loam")
        machine.power_off()


@suite.test
def on_a_fake_hypervisor():
    result = subprocess.run(["make", "-s", "driver-test"], cwd=TOP, capture_output=True, text=True)
    expect(result.returncode == 0, result.stdout + result.stderr)


@suite.test
def on_loam_with_one_processor():
    run_program(1)


@suite.test
def on_loam_with_two_processors():
    run_program(2)


@suite.test
def several_vps_with_four_processors():
    run_program(4, SEVERAL_VPS)


@suite.concurrent
def on_loam_with_two_processors_at_once():
    run_program(2, threads="multi")


@suite.test
def refuses_to_load_without_loam():
    """The clear message of part 3, on the same image without the hypervisor."""
    disk = build_disk(os.path.join(directory.name, "bare.img"), parent_image())
    with Machine(disk, cpu=Machine.WITHOUT_VIRTUALIZATION) as machine:
        machine.wait_for_shell()
        expect("mshv_loam" not in machine.run("lsmod"), "the driver loaded without Loam")
        status, output = machine.try_run("insmod /lib/modules/mshv_loam.ko")
        expect(status != 0, output)
        expect(re.search(r"mshv_loam.*Loam", machine.run("dmesg | tail -3")), "no message")
        machine.power_off()


sys.exit(suite.run())
