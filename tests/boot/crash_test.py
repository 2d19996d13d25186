#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A parent's kernel ends while a VM runs: it crashes into a crash kernel, goes on by kexec, reboots, or halts.
Memory that is hidden from the parent, as kernels and dumps read it."""
import os
import re
import sys
import tempfile

from check import expect
from console import BOOT_SECONDS
from images import BUILD, COMMAND_LINE, build_disk, build_initramfs, cloud_kernel, cloud_release, driver
from lane import TECHNOLOGY
from machine import Machine
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()


def programs(*names):
    return [f"usr/bin/{name}={BUILD}/bin/{name}" for name in names]


def build():
    """A parent with two systems to go on with: one for crashes, which does not load the driver by itself, and one."""
    crash = build_initramfs(os.path.join(directory.name, "crash.img"), *programs("mshv_test", "read_core"),
                            f"root/mshv_loam.ko={driver()}", "program:usr/bin/makedumpfile=/usr/bin/makedumpfile")
    again = build_initramfs(os.path.join(directory.name, "again.img"), *programs("mshv_test"), f"module:{driver()}")
    parent = build_initramfs(os.path.join(directory.name, "parent.img"), f"module:{driver()}",
                             *programs("kexec", "mshv_test", "read_core", "spinning_guest"),
                             f"root/hidden_page_test.ko={BUILD}/hidden_page/{cloud_release()}/hidden_page_test.ko",
                             f"boot/vmlinuz={cloud_kernel()}", f"boot/crash.img={crash}", f"boot/again.img={again}")
    return build_disk(os.path.join(directory.name, "disk.img"), parent, cmdline="crashkernel=192M", size=96)


disk = build()


def start_vm(machine):
    machine.run("spinning_guest > /run/guest & until grep -q 'the guest runs' /run/guest; do sleep 0.1; done")


def hide_page(machine):
    """Lends the hypervisor a page, with all checks of the test module; returns its address."""
    machine.run("insmod /root/hidden_page_test.ko || { dmesg | tail -3; false; }")
    return machine.run("cat /sys/module/hidden_page_test/parameters/page")


def expect_hidden(machine, core, page):
    """The lent page reads as zeros there, and its neighbour, with the same pattern written to it, as what it is."""
    address = int(page)
    found = machine.run(f"read_core {core} {address}")
    expect(found == "zeros", f"a deposited page can be read in {core}: {found}")
    found = machine.run(f"read_core {core} {address - 4096}")
    expect(found == "data", f"the page before cannot be read in {core}: {found}")


def run_guests(machine):
    output = machine.run("mshv_test statistics close_partition_first")
    expect(output.endswith("2 passed, 0 failed"), output)


def expect_removed(machine, partitions):
    """The driver, just loaded, found what an earlier kernel had left, and works."""
    removed = re.search(r"removed (\d+) child partitions, got (\d+) pages back", machine.run("dmesg"))
    expect((removed and int(removed.group(1))) == partitions, f"not {partitions} partitions removed: {removed}")
    run_guests(machine)


@suite.test
def hidden_memory_as_the_kernel_reads_it():
    with Machine(disk, memory=640) as machine:
        machine.wait_for_shell()
        page = hide_page(machine)
        expect_hidden(machine, "/proc/kcore", page)
        start_vm(machine)
        read = int(machine.run("read_core /proc/kcore", 300))
        expect(read > 550, f"only {read} MiB of 640 could be read")
        machine.run("kill $(pidof spinning_guest); until rmmod mshv_loam; do sleep 0.1; done")
        machine.run("rmmod hidden_page_test")
        expect("the page came back" in machine.run("dmesg | tail -3"), machine.run("dmesg | tail -3"))
        expect("panic" not in machine.log(), machine.log())
        machine.power_off()


@suite.repeated(in_soak=30)
def crash_kernel_with_a_running_vm():
    with Machine(disk, processors=2, memory=640) as machine:
        machine.wait_for_shell()
        page = hide_page(machine)
        start_vm(machine)
        machine.run(f"kexec crash /boot/vmlinuz /boot/crash.img '{COMMAND_LINE} nr_cpus=1 reset_devices'")
        start = len(machine.output)
        machine.send("echo c > /proc/sysrq-trigger\n")
        machine.wait_for_shell(start=machine.wait_for(r"Linux version", BOOT_SECONDS, start).end())
        expect_hidden(machine, "/proc/vmcore", page)
        expect(int(machine.run("read_core /proc/vmcore", 300)) > 350, "the old kernel's memory cannot be read")
        machine.run("makedumpfile -c -d 31 /proc/vmcore /dump > /dev/null", 300)
        expect("sysrq triggered crash" in machine.run("makedumpfile --dump-dmesg /dump /log > /dev/null; cat /log"),
               "the dump is not of the crash")
        machine.run("insmod /root/mshv_loam.ko")
        expect_removed(machine, 1)
        machine.power_off()


def end_with_a_running_vm(machine, command, last_words):
    """What the parent ends by withdraws everything first. Returns where in the output the last words end."""
    machine.wait_for_shell()
    start_vm(machine)
    machine.run("dmesg -n 7")
    start = len(machine.output)
    machine.send(f"{command}\n")
    machine.wait_for(r"mshv_loam: removed 1 child partitions", BOOT_SECONDS, start)
    return machine.wait_for(last_words, BOOT_SECONDS, start).end()


@suite.repeated(in_soak=30)
def kexec_with_a_running_vm():
    """The reboot notifier ends the VM and withdraws everything before the next kernel starts."""
    with Machine(disk, processors=2) as machine:
        command = f"kexec now /boot/vmlinuz /boot/again.img '{COMMAND_LINE}'"
        machine.wait_for_shell(start=end_with_a_running_vm(machine, command, r"Linux version"))
        expect(machine.run("nproc") == "2", "the second processor did not come back")
        expect("child partitions" not in machine.run("dmesg"), "the old kernel left a partition")
        run_guests(machine)
        machine.power_off()


@suite.repeated(in_soak=10)
def reboot_with_a_running_vm():
    with Machine(disk, processors=2, reboot=True) as machine:
        machine.wait_for_shell(start=end_with_a_running_vm(machine, "reboot -f", r"Linux version"))
        run_guests(machine)
        expect(machine.log().count(f"Loam on {TECHNOLOGY}") == 2 and "panic" not in machine.log(), machine.log())
        machine.power_off()


@suite.repeated(in_soak=10)
def halt_with_a_running_vm():
    with Machine(disk, processors=2) as machine:
        end_with_a_running_vm(machine, "halt -f", r"reboot: System halted")
        expect("panic" not in machine.log(), machine.log())


sys.exit(suite.run())
