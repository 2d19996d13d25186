#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines without UEFI: GRUB loads loam.mb2 from a disk, and stock Linux is the parent."""
import os
import re
import struct
import sys
import tempfile

from check import expect
from console import BOOT_SECONDS
from images import BUILD, build_disk, cloud_kernel, symbol_offset
from lane import TECHNOLOGY
from machine import Machine
from parent import check_hidden, check_log, check_processors, reboot_twice
from suite import Suite, soak

BARE = os.path.join(BUILD, "image/bare.img")
HEADER_EXTENDED_FLAGS = 0x236  # Linux: Documentation/arch/x86/boot.rst
HEADER_INIT_SIZE = 0x260
EXTENDED_FLAG_64_BIT = 1
MIB = 1 << 20
SCREEN = 0xB8000, 80 * 25 * 2  # text, each character with its attribute

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(directory.name, name)


disk = build_disk(path("disk.img"), BARE)


def bios(image, **options):
    """With a screen, which the loader writes on."""
    return Machine(image, firmware="BIOS", screen=True, **options)


def screen(machine):
    """The text on it, lines of 80 characters without newlines."""
    return machine.read_physical(*SCREEN)[::2].decode("ascii", "replace")


def changed_kernel(name, change):
    """A file with the kernel's bytes after `change` of them."""
    with open(cloud_kernel(), "rb") as stream:
        content = bytearray(stream.read())
    content = change(content) or content
    with open(path(name), "wb") as stream:
        stream.write(content)
    return path(name)


def boot(cycles=soak(20, 500, in_bochs=5), technology=TECHNOLOGY, **options):
    """As in boot_test; the other processors come when Linux starts them."""
    processors = options.get("processors", 1)
    with bios(disk, **options) as machine:
        machine.wait_for_shell()
        check_processors(machine, processors, cycles)
        machine.power_off()
        log = machine.log()
    expect(f"Loam: running on 1 of {processors} processors" in log, log)
    expect(log.count("entered at its first SIPI") == processors - 1, log)
    check_log(log, processors, technology)


@suite.test
def one_processor():
    boot(machine="pc", memory=512)


@suite.test
def two_processors():
    boot(machine="pc", processors=2)


@suite.only_on_bochs
def amd_v_of_another_emulator():
    """A second opinion on what AMD-V does: a model of Bochs with it."""
    boot(technology="AMD-V", cpu="trinity_apu")


@suite.test
def four_processors():
    boot(processors=4, cycles=5)


@suite.test
def eight_gib_with_memory_above_4g():
    boot(memory=8192)


def reserved(machine):
    """The ranges, as (first, last), that Linux was told to spare."""
    found = re.findall(r"BIOS-e820: \[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\] reserved", machine.run("dmesg"))
    return [(int(first, 16), int(last, 16)) for first, last in found]


def low_pages(machine):
    """Whole pages among them that lie below 640 KiB, below the firmware's own: where Loam starts processors."""
    pages = sorted(page for first, last in reserved(machine) if last < 640 << 10
                   for page in range(-(-first // 4096) * 4096, last - 4094, 4096))
    return pages[:len(pages) - Machine.FIRMWARE_LOW_PAGES]


@suite.test
def hidden_memory_reads_as_zeros():
    with bios(disk, processors=2) as machine:
        machine.wait_for_shell()
        size, region = re.search(r"(\d+) KiB reserved at 0x([0-9a-f]+)", machine.log()).groups()
        region = int(region, 16)
        expect((region, region + int(size) * 1024 - 1) in reserved(machine), f"{region:#x}: {reserved(machine)}")
        expect(len(low_pages(machine)) == 1, reserved(machine))
        check_hidden(machine, region, 16)
        check_hidden(machine, low_pages(machine)[0])
        machine.power_off()


@suite.test
def tsc_frequency_is_about_what_linux_finds():
    """boot_information.tsc_frequency, behind the image and read from outside; to a factor, for neither is exact."""
    with bios(disk) as machine:
        machine.wait_for_shell()
        region = int(machine.wait_log(r"KiB reserved at 0x([0-9a-f]+)"), 16)
        frequency = struct.unpack("<Q", machine.read_physical(region + symbol_offset("image_end") + 40, 8))[0]
        found = float(re.search(r"tsc: Detected ([0-9.]+) MHz", machine.run("dmesg")).group(1)) * 1e6
        expect(found / 1.5 < frequency < found * 1.5, f"{frequency} Hz, and Linux finds {found}")
        machine.power_off()


@suite.test
def reboot_by_the_parent():
    with bios(disk, processors=2, reboot=True) as machine:
        machine.wait_for_shell()
        reboot_twice(machine, r"Linux version")
        machine.power_off()
        expect(machine.log().count("entered at its first SIPI") == 3, machine.log())


@suite.test
def kernel_with_32_bit_entry():
    def change(content):
        content[HEADER_EXTENDED_FLAGS] &= ~EXTENDED_FLAG_64_BIT

    image = build_disk(path("32.img"), BARE, kernel=changed_kernel("vmlinuz-32", change))
    with bios(image) as machine:
        machine.wait_for_shell()
        machine.power_off()
        expect("Loam: running on" in machine.log() and "panic" not in machine.log(), machine.log())


def starts_without_loam(image, reason, **options):
    """Linux gets everything."""
    with bios(image, **options) as machine:
        machine.wait_for(r"Linux version", BOOT_SECONDS)
        expect(re.search(rf"^Loam: .*{reason}.*; starting without the hypervisor$", machine.log(), re.M), machine.log())
        if options.get("memory", 1024) >= 512:
            machine.wait_for_shell()
            expect(low_pages(machine) == [], "memory is kept for a hypervisor that is not there")
            machine.power_off()


@suite.test
def without_virtualization():
    starts_without_loam(disk, TECHNOLOGY, cpu=Machine.WITHOUT_VIRTUALIZATION)


@suite.test
def without_memory_for_the_hypervisor():
    """Both modules fill what is below 16 MiB; behind the kernel, less than the hypervisor needs is left."""
    def change(content):
        content[HEADER_INIT_SIZE:HEADER_INIT_SIZE + 4] = struct.pack("<I", 111 * MIB)

    image = build_disk(path("full.img"), BARE, kernel=changed_kernel("vmlinuz-large", change),
                       cmdline="earlyprintk=serial")
    starts_without_loam(image, "no free memory below 4 GiB", memory=130)


def stops(name, *said, settings="", modules=None, kernel=None, memory=1024):
    """The machine stops with these messages, on the screen and on the serial port."""
    image = build_disk(path(name), BARE, settings=settings, kernel=kernel, modules=modules)
    with bios(image, memory=memory) as machine:
        machine.wait_log("(nothing can be started)", BOOT_SECONDS)
        expect("(loam)" not in machine.log(), machine.log())
        shown = screen(machine)
        for text in said:
            expect(f"Loam: {text}" in machine.log(), machine.log())
            expect(f"Loam: {text}" in shown, shown)


@suite.test
def stops_without_kernel_and_reports_mistakes():
    known = "unknown key; known are log, serial and panic"
    stops("wrong.img", f"word 2 of the command line: {known}", "word 3 of the command line: panic must be a number",
          "word 4 of the command line: there is no '='", f"word 5 of the command line: {known}",
          "no kernel: name one by 'module2'", settings="colour=blue panic=soon verbose next=/x", modules="")


@suite.test
def stops_with_what_is_no_kernel():
    stops("none.img", "the first module is a gzip file, not a Linux kernel (bzImage)",
          modules="module2 --nounzip /initrd.img\n")


@suite.test
def stops_with_a_truncated_kernel():
    half = os.path.getsize(cloud_kernel()) // 2
    stops("half.img", f"the first module is cut off: {half} of ",
          kernel=changed_kernel("vmlinuz-half", lambda content: content[:half]))


@suite.test
def stops_without_memory_for_the_kernel():
    with open(cloud_kernel(), "rb") as stream:
        stream.seek(HEADER_INIT_SIZE)
        needed = -(-struct.unpack("<I", stream.read(4))[0] // MIB)
    stops("small.img", f"the kernel needs {needed} MiB of free memory in one piece, from 16 MiB on", memory=needed)


@suite.test
def says_that_there_is_no_initrd():
    image = build_disk(path("no-initrd.img"), BARE, modules="module2 /vmlinuz console=ttyS0,115200 panic=1\n")
    with bios(image) as machine:
        machine.wait_for(r"Unable to mount root", BOOT_SECONDS)
        expect("Loam: no initrd: a second 'module2' would name one" in machine.log(), machine.log())
        machine.wait_for_end()


sys.exit(suite.run())
