#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Systems that virtual machines start by their firmware from floppy disks and discs, what they show on the screen and
do with keys, and what happens with media that nothing can be started from."""
import contextlib
import os
import re
import struct
import sys
import tempfile

from check import expect
from guest_screen import PIECE, Screen
from images import BUILD, build_disk, extend_parent
from managed import refuse, show, wait_until
from media import BLOCK, FLOPPY, INVADERS, MEMTEST_DISC, RESCUE_DISC, RESCUE_FLOPPY, Media, installer, volume
from png import Picture
from shared_machine import SharedMachine
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()

INSTALLER_SECONDS = 900  # in which the screen stays as it is
LOOKS = 30  # at a screen, a second apart
DOS_CHECKS = 21
SECTOR = 512
BOOT_RECORD = 17 * BLOCK  # of a disc; it says where the boot catalog is (El Torito, 2.0)
OFFSET_CATALOG = 0x47
OFFSET_IMAGE = 0x28  # in the boot catalog: the first block of what is booted
BEYOND = 1 << 20  # blocks that no disc here has
TEXT = "black", "light grey"
GRAPHICS = 800, 600
PROMPT = "grub> "
WAITING = "^grub>$"  # for a command
LINE = 16  # of its font, pixels
SKY = "0080ff"
BORDER = 800 * 600 - 780 * 580  # pixels around GRUB's window


def path(name):
    return os.path.join(directory.name, name)


def damaged(disc):
    """What its boot catalog names is not on the disc."""
    with open(disc, "rb") as stream:
        content = bytearray(stream.read())
    catalog, = struct.unpack_from("<I", content, BOOT_RECORD + OFFSET_CATALOG)
    struct.pack_into("<I", content, catalog * BLOCK + OFFSET_IMAGE, BEYOND)
    return bytes(content)


def fill(media):
    """With what boots, what has no system, and what is no medium."""
    media.copy("rescue.vfd", RESCUE_FLOPPY, FLOPPY)
    media.floppy_disc("rescue-floppy.iso", media.path("rescue.vfd"))
    media.copy("rescue.iso", RESCUE_DISC)
    media.copy("memtest.iso", MEMTEST_DISC)
    media.grub_disc("invaders.iso", "multiboot /invaders.exec\nboot\n", ["multiboot"], {"invaders.exec": INVADERS})
    media.copy("dos.vfd", f"{BUILD}/guest/dos_like.img")
    media.write("dos.raw", (bytes(SECTOR) + b"disk").ljust(1 << 20, b"\0"))

    media.write("data.iso", volume(b"some CD ", 100))
    media.write("damaged.iso", damaged(media.path("invaders.iso")))
    media.write("odd.vfd", b"no system here\n" * 90_001)
    media.write("blank.raw", bytes(1 << 20))

    media.write("large.vfd", bytes((2880 << 10) + 1))
    media.write("nothing.vfd", b"")
    media.write("cut.iso", volume(b"cut CD  ", 100)[:-BLOCK])
    media.write("odd.iso", volume(b"odd CD  ", 100)[:-1])


def parent_with(media, size, memory=1024):
    files = extend_parent(path(f"{size}.cpio"), *media.in_parent())
    return SharedMachine(build_disk(path(f"{size}.img"), files, size=size), memory=memory)


media = Media()
fill(media)
parent = parent_with(media, 96)


@contextlib.contextmanager
def guest(machine, name, drives, start="", memory="64M"):
    """A running virtual machine's screen."""
    machine.run(f"loam vm create {name} --memory {memory} {drives}")
    machine.run(f"loam vm start {name} {start}")
    yield Screen(machine, name)
    expect(show(machine, name)["state"] == "Running", machine.run(f"loam vm show {name}"))
    machine.run(f"loam vm stop --turn-off {name}; loam vm remove {name}")


def use_grub(screen, devices):
    """The menu of GRUB's rescue media, whose last entry changes its colours, and what it answers at its prompt."""
    screen.wait_for("Change the colors")
    screen.press("end")
    screen.wait_for(r"\*Change the colors")
    screen.wait_for_colours({"GNU GRUB": TEXT, "Microsoft Windows": TEXT, "*Change the colors": TEXT[::-1]})
    screen.press("enter")
    screen.wait_for(r"\*GNU/Linux")
    screen.wait_for_colours({"Microsoft Windows": ("brown", "light green"), "*GNU/Linux": ("blue", "red")})
    screen.press("c")
    screen.wait_for(WAITING)
    screen.enter(PROMPT, "echo $grub_cpu-$grub_platform; ls")
    lines = screen.wait_for(WAITING)
    expect("i386-pc" in lines and devices in lines, "\n".join(lines))
    screen.wait_for_colours({"i386-pc": TEXT})


@suite.test
@parent.shared
def grub_from_floppy(machine):
    with guest(machine, "floppy", "--floppy /srv/rescue.vfd") as screen:
        use_grub(screen, "(fd0) (fd0,msdos1)")


@suite.test
@parent.shared
def grub_from_disc_as_floppy(machine):
    """The disc's floppy disk is the first one, and the drive's the second."""
    with guest(machine, "emulation", "--dvd /srv/rescue-floppy.iso") as screen:
        use_grub(screen, "(fd0) (fd0,msdos1) (fd1)")


@suite.test
@parent.shared
def grub_from_disc(machine):
    """To its prompt, and then in graphics by the VGA BIOS's VESA modes."""
    with guest(machine, "disc", "--dvd /srv/rescue.iso") as screen:
        use_grub(screen, "(cd) (cd,msdos1) (fd0)")
        for command in ("loadfont unicode", "insmod all_video", "set gfxmode={}x{}".format(*GRAPHICS)):
            screen.enter(PROMPT, command)
            screen.wait_for(WAITING)
        screen.enter(PROMPT, "terminal_output gfxterm")
        wait_until(machine, "! loam vm screen --text disc > /dev/null 2>&1", 60)
        refuse(machine, "loam vm screen --text disc", "the screen is not in a text mode: take a screenshot")
        for command in (f"background_color '#{SKY}'", "clear", "echo Loam; echo Loam"):
            for piece in range(0, len(command), PIECE):
                screen.type(command[piece:piece + PIECE])
                machine.run("sleep 1")
            screen.press("enter")
            machine.run("sleep 1")
        for _ in range(LOOKS):
            machine.run("sleep 1")
            picture = screen.picture()
            if says_it_twice(picture):
                break
        else:
            expect(False, f"{picture.width} x {picture.height} pixels: {picture.colours()}")


def says_it_twice(picture):
    """The sky around GRUB's window, and in that two lines that show the same."""
    if (picture.width, picture.height) != GRAPHICS or picture.colours().get(bytes.fromhex(SKY)) != BORDER:
        return False
    has_text = [len(Picture(picture.width, 1, [row]).colours()) == 3 for row in picture.rows]  # sky, window and text
    return any(any(has_text[y:y + LINE]) and picture.rows[y:y + LINE] == picture.rows[y + LINE:y + 2 * LINE]
               for y in range(picture.height - 2 * LINE))


@suite.test
@parent.shared
def memtest(machine):
    """It comes as a floppy disk on a disc, knows the memory, and finds nothing wrong with it."""
    with guest(machine, "memtest", "--dvd /srv/memtest.iso", memory="40M") as screen:
        screen.wait_for("to start testing")
        screen.press("enter")
        screen.wait_for("Test #[4-9].*")
        still = screen.still()
        expect(re.search(r"^Memory  : +40MB ", still.lines[5]), still.lines[5])
        expect(re.search(r"Pass: +0 +Errors: 0$", still.lines[8]), still.lines[8])
        expect(still.colours("Memtest86") == ("light grey", "black"), still.colours("Memtest86"))
        expect(still.colours("Errors: 0") == ("blue", "light grey"), still.colours("Errors: 0"))


def paused(screen):
    """The game's screen, which stands still, and where the ship is."""
    screen.press("p")
    screen.wait_for("PRESS 'P'")
    still = screen.still()
    return still, still.find("/ \\")


@suite.test
@parent.shared
def invaders(machine):
    """GRUB starts them by Multiboot; they come by the timer, and the ship goes where keys say."""
    with guest(machine, "invaders", "--dvd /srv/invaders.iso") as screen:
        screen.wait_for(r"-\*-.*-\*-.*-\*-")
        still, place = paused(screen)
        expect(still.colours("-*-") == ("black", "cyan"), still.colours("-*-"))
        expect(still.colours("/ \\") == ("black", "magenta"), still.colours("/ \\"))
        for _ in range(LOOKS):
            screen.press("p")
            wait_until(machine, "! loam vm screen --text invaders | grep -q PRESS", 60)
            screen.press(*["left"] * 40)
            later, moved = paused(screen)
            if moved[1] < place[1]:
                break
        expect(moved[0] == place[0] and moved[1] < place[1], f"the ship was at {place} and is at {moved}")
        expect(later.lines[:8] != still.lines[:8], "the invaders stand still")


@suite.test
@parent.shared
def dos_like_program(machine):
    """tests/guest/dos_like.asm, from a floppy disk, with a hard disk."""
    with guest(machine, "dos", "--floppy /srv/dos.vfd --disk /srv/dos.raw,raw --boot floppy") as screen:
        screen.wait_for("^dos-like: [0-9]+ passed")
        log = machine.run("cat /var/log/loam/dos.log")
        expect(f"dos-like: {DOS_CHECKS} passed, 0 failed" in log, log)
        last = f"dos-like: {DOS_CHECKS} passed, 0 failed"
        expect(screen.still().colours(last) == TEXT, "the colours of its last line")
    # What it has written to its disks.
    rest = machine.run(f"tail -c {SECTOR} /srv/dos.vfd | tr -d '\\247' | wc -c")
    expect(rest == "0", f"{rest} bytes in the last sector of the floppy disk are not the program's")
    expect(machine.run(f"tail -c +{2 * SECTOR + 1} /srv/dos.raw | head -c 4") == "well", "the third sector of the disk")


@suite.test
@parent.shared
def nothing_to_start_from(machine):
    """The firmware says of each medium that it has no system, and starts what is put in then."""
    with guest(machine, "nothing", "--floppy /srv/odd.vfd --disk /srv/blank.raw,raw --dvd /srv/data.iso "
               "--dvd /srv/damaged.iso") as screen:
        screen.wait_for("^No bootable device")
        still = screen.still()
        said = [line for line in still.lines if line.startswith("Boot")]
        expect(said == ["Booting from DVD/CD...", "Boot failed: Could not read from CDROM (code 0004)",
                        "Booting from DVD/CD...", "Boot failed: Could not read from CDROM (code 000c)",
                        "Booting from Hard Disk...", "Boot failed: not a bootable disk",
                        "Booting from Floppy...", "Boot failed: not a bootable disk"], "\n".join(still.lines))
        expect(still.colours("No bootable device.") == TEXT, still.colours("No bootable device."))
        machine.run("loam vm eject nothing floppy; loam vm insert nothing floppy /srv/rescue.vfd")
        screen.press("ctrl-alt-delete")
        screen.wait_for("Microsoft Windows")


@suite.test
@parent.shared
def empty_drives(machine):
    with guest(machine, "empty", "") as screen:
        screen.wait_for("^No bootable device")
        said = [line for line in screen.still().lines if line.startswith("Boot")]
        expect(said == ["Booting from DVD/CD...", "Boot failed: Could not read from CDROM (code 0003)",
                        "Booting from Floppy...", "Boot failed: could not read the boot disk",
                        "Booting from Hard Disk...", "Boot failed: could not read the boot disk"], "\n".join(said))
        for kind, image, wrong in (
                ("dvd", "/srv/cut.iso", "truncated: the file has 202752 bytes, and the file system in it 204800"),
                ("dvd", "/srv/odd.iso", "its size of 204799 bytes is not a multiple of 2048"),
                ("floppy", "/srv/large.vfd", "with 2949121 bytes too large for an image of a floppy disk"),
                ("floppy", "/srv/nothing.vfd", "is empty")):
            refuse(machine, f"loam vm insert empty {kind} {image}", f"{image}: .*{wrong}")
            refuse(machine, f"loam vm create refused --{kind} {image}", f"{image}: .*{wrong}")


@suite.test
@parent.shared
def boot_menu(machine):
    """A key chooses what does not come first."""
    with guest(machine, "choice", "--floppy /srv/rescue.vfd --dvd /srv/invaders.iso", "--boot-menu") as screen:
        screen.wait_for("^Press ESC for boot menu")
        screen.press("esc")
        screen.wait_for(r"^2\. Floppy \[drive A\]")
        still = screen.still()
        expect("1. DVD/CD [ata1-0: Loam Virtual DVD-ROM ATAPI-6 DVD/CD] (LOAM)" in still.lines, "\n".join(still.lines))
        expect(still.colours("Select boot device:") == TEXT, still.colours("Select boot device:"))
        screen.press("2")
        screen.wait_for("Microsoft Windows")


def install(architecture):
    """GRUB starts the installer from a disc; it comes to its first question, which is looked at."""
    discs = Media()
    kernel, initrd = installer(architecture)
    discs.grub_disc("installer.iso", "linux /linux vga=normal fb=false nomodeset\ninitrd /initrd.gz\nboot\n", ["linux"],
                    {"linux": kernel, "initrd.gz": initrd})
    parent.leave()
    host = parent_with(discs, 160, memory=2560)
    host.shared(first_question)()
    host.leave()


def first_question(machine):
    with guest(machine, "installer", "--dvd /srv/installer.iso", memory="1G") as screen:
        screen.wait_while_it_changes("<Go Back>", INSTALLER_SECONDS)
        still = screen.wait_for_colours({"Select a language": ("light grey", "red"), "English": ("red", "light grey"),
                                         "No localization": ("light grey", "black")})
        expect("Choose the language to be used for the installation process." in " ".join(still.lines), still.lines)


@suite.only_in_soak
def debian_installer_amd64():
    install("amd64")


@suite.only_in_soak
def debian_installer_i386():
    install("i386")


status = suite.run()
parent.leave()
sys.exit(status)
