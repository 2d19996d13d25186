# SPDX-License-Identifier: GPL-2.0-or-later
"""What machines boot: disks with Loam, a Linux parent and its first files, made from what has been built."""
import glob
import os
import re
import shutil
import subprocess
import tempfile

from check import Failure
from lane import VENDOR

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(TOP, "build"))
IMAGE_BASE = 0xFFFFFFFF80000000  # of the hypervisor
# The speed is for Bochs, whose serial port takes its time (9600 baud without it); no self-tests of the cryptography.
COMMAND_LINE = "console=ttyS0,115200 no_timer_check panic=1 cryptomgr.notests"


def newest(pattern):
    found = sorted(glob.glob(pattern))
    if not found:
        raise Failure(f"nothing matches {pattern}: run 'make packages'")
    return found[-1]


def cloud_kernel():
    return newest("/boot/vmlinuz-*-cloud-amd64")


def cloud_release():
    return os.path.basename(cloud_kernel()).removeprefix("vmlinuz-")


def driver(release=None):
    release = release or cloud_release()
    return os.path.join(BUILD, f"driver/{release}/mshv_loam.ko")


def build_initramfs(output, *entries, release=None):
    """A parent with busybox, the default image's init, and these entries of tools/initramfs.py."""
    subprocess.run([os.path.join(TOP, "tools/initramfs.py"), "--kernel", release or cloud_release(), output,
                    f"init={TOP}/partitions/root/image/init", "program:bin/busybox=/bin/busybox", *entries], check=True)
    return output


def extend_parent(output, *entries):
    """The first files of the default parent with these besides; Linux takes one archive after the other."""
    more = f"{output}.more"
    subprocess.run([os.path.join(TOP, "tools/initramfs.py"), "--kernel", cloud_release(), more, *entries], check=True)
    with open(output, "wb") as whole:
        for part in (os.path.join(BUILD, "image/parent.img"), more):
            with open(part, "rb") as stream:
                shutil.copyfileobj(stream, whole)
    return output


def build_disk(output, initramfs, configuration="", settings="", kernel=None, cmdline="", modules=None, size=64):
    """
    A disk that starts Loam and a Linux parent on either firmware. UEFI: loam.efi, with these lines in loam.conf. BIOS:
    GRUB with loam.mb2, these settings behind it, and these `modules`, lines of grub.cfg, instead of the parent.
    """
    command_line = f"{COMMAND_LINE} {cmdline}"
    if modules is None:
        modules = f"module2 /vmlinuz {command_line}\nmodule2 /initrd.img\n"
    files = {
        "EFI/loam/loam.conf": f"next = /vmlinuz\ninitrd = /initrd.img\ncmdline = {command_line}\nserial = com2\n"
                              f"{configuration}",
        "boot/grub/grub.cfg": "serial --unit=0 --speed=115200\nterminal_output console serial\n"
                              f"multiboot2 /boot/loam.mb2 serial=com2 {settings}\n{modules}boot\n"}
    with tempfile.TemporaryDirectory() as directory:
        entries = []
        for path, content in files.items():
            source = os.path.join(directory, os.path.basename(path))
            with open(source, "w", encoding="ascii") as stream:
                stream.write(content)
            entries.append(f"{path}={source}")
        subprocess.run([os.path.join(TOP, "tools/grub-disk"), output, str(size), *entries,
                        f"EFI/BOOT/BOOTX64.EFI={BUILD}/loam.efi", f"boot/loam.mb2={BUILD}/loam.mb2",
                        f"vmlinuz={kernel or cloud_kernel()}", f"initrd.img={initramfs}"], check=True)
    return output


def build_data_disk(output, mebibytes, *sources):
    """An ext4 file system with these files, for a parent's second disk."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(output)) as directory:
        for source in sources:
            subprocess.run(["cp", "--sparse=always", source, directory], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", directory, output, f"{mebibytes}M"], check=True)
    return output


def symbol_offset(name):
    """Where a function or another symbol is in the hypervisor's image."""
    listing = subprocess.run(["nm", os.path.join(BUILD, f"hypervisor/{VENDOR}/loam.elf")], check=True,
                             capture_output=True, text=True).stdout
    return int(re.search(rf"^(\w+) \w {name}$", listing, re.M).group(1), 16) - IMAGE_BASE
