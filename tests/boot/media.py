# SPDX-License-Identifier: GPL-2.0-or-later
"""Floppies, discs and disks that virtual machines boot from, or should not, made from what packages have."""
import os
import shutil
import struct
import subprocess
import tempfile

from images import newest

BLOCK = 2048
FLOPPY = 1440 << 10
RESCUE_FLOPPY = "/usr/lib/grub-rescue/grub-rescue-floppy.img"
RESCUE_DISC = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
MEMTEST_DISC = "/usr/lib/memtest86+/memtest86+x64.iso"
INVADERS = "/boot/invaders.exec"


def installer(architecture):
    """The kernel and the first files of Debian's installer, in text mode."""
    return [newest(f"/usr/lib/debian-installer/images/*/{architecture}/text/debian-installer/{architecture}/{name}")
            for name in ("linux", "initrd.gz")]


class Media:
    """A folder with images."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as stream:
            stream.write(content)

    def copy(self, name, source, size=None):
        """Cut or filled with zeros to a size, if one is given."""
        shutil.copyfile(source, self.path(name))
        if size is not None:
            os.truncate(self.path(name), size)

    def in_parent(self):
        """Entries of tools/initramfs.py that put them all into a parent's /srv."""
        return [f"srv/{name}={self.path(name)}" for name in sorted(os.listdir(self.directory.name))]

    def disc(self, name, files, *boot):
        """An ISO 9660 image with these files, by their names in it, and mkisofs's options about booting."""
        with tempfile.TemporaryDirectory() as tree:
            for inside, source in files.items():
                shutil.copyfile(source, os.path.join(tree, inside))
            subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-V", "LOAM", "-o", self.path(name), *boot, tree], check=True,
                           stderr=subprocess.DEVNULL)

    def floppy_disc(self, name, floppy):
        """Its firmware's first drive is this floppy disk: El Torito's emulation."""
        self.disc(name, {"floppy.img": floppy}, "-b", "floppy.img", "-c", "boot.cat")

    def grub_disc(self, name, commands, modules, files):
        """GRUB, which does these commands with these files."""
        with tempfile.TemporaryDirectory() as directory:
            script, image = (os.path.join(directory, part) for part in ("script", "grub.img"))
            with open(script, "w", encoding="ascii") as stream:
                stream.write(commands)
            subprocess.run(["grub-mkimage", "-O", "i386-pc-eltorito", "-p", "/", "-c", script, "-o", image, "biosdisk",
                            "iso9660", *modules], check=True)
            self.disc(name, {"grub.img": image, **files}, "-b", "grub.img", "-c", "boot.cat", "-no-emul-boot",
                      "-boot-load-size", "4", "-boot-info-table")


def volume(mark, blocks):
    """A disc of data whose blocks differ, with a volume descriptor that speaks of all of them; nothing on it boots."""
    image = bytearray(b"".join(b"%s%08d" % (mark, block) * (BLOCK // 16) for block in range(blocks)))
    descriptor = bytearray(BLOCK)
    descriptor[:6] = b"\x01CD001"
    struct.pack_into("<I", descriptor, 80, blocks)
    struct.pack_into("<H", descriptor, 128, BLOCK)
    image[16 * BLOCK:17 * BLOCK] = descriptor
    return bytes(image)
