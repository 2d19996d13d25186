# SPDX-License-Identifier: GPL-2.0-or-later
"""What a virtual machine's screen shows, and what is typed at it, from the parent's shell."""
import base64
import itertools
import json
import os
import re
import shlex
import time

from check import Failure, expect
from png import read_png

SCREEN_SECONDS = 120
PIECE = 8  # characters
KEEP = os.environ.get("SCREENSHOTS")  # a folder for all of them, to be looked at
VGA_FIRMWARE = "/usr/share/seabios/vgabios-stdvga.bin"
FIRST_GLYPH = bytes.fromhex("00000000000000000000000000000000" "00007e81a58181bd9981817e00000000")  # of 0 and 1
LINES = 16  # of a character
COLOURS = {bytes.fromhex(colour): name for colour, name in (
    ("000000", "black"), ("0000aa", "blue"), ("00aa00", "green"), ("00aaaa", "cyan"), ("aa0000", "red"),
    ("aa00aa", "magenta"), ("aa5500", "brown"), ("aaaaaa", "light grey"), ("555555", "dark grey"),
    ("5555ff", "light blue"), ("55ff55", "light green"), ("55ffff", "light cyan"), ("ff5555", "light red"),
    ("ff55ff", "light magenta"), ("ffff55", "yellow"), ("ffffff", "white"))}
LINE_GRAPHICS = range(0xC0, 0xE0)  # whose last column is seen twice
CONTROLS = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"


def font():
    """The glyphs of code page 437 that the VGA BIOS loads, by what the screen's text has in their place."""
    with open(VGA_FIRMWARE, "rb") as stream:
        content = stream.read()
    start = content.index(FIRST_GLYPH)
    glyphs = {}
    for code in range(256):
        character = CONTROLS[code] if code < 32 else "⌂" if code == 127 else bytes([code]).decode("cp437")
        lines = content[start + LINES * code:start + LINES * (code + 1)]
        # A ninth column behind the eight.
        glyphs.setdefault(character, [bits << 1 | (bits & 1 if code in LINE_GRAPHICS else 0) for bits in lines])
    return glyphs


class Screen:
    def __init__(self, machine, name):
        self.machine, self.name = machine, name
        self.numbers = itertools.count(1)

    def text(self):
        """Its lines in text mode, without the blanks at their ends."""
        return json.loads(self.machine.run(f"loam vm screen --text {self.name} --json"))["lines"]

    def wait_for(self, text, seconds=SCREEN_SECONDS):
        """The lines once this text, a regular expression of grep -E, is in one of them."""
        shown = f"loam vm screen --text {self.name} 2> /dev/null | grep -qEe {shlex.quote(text)}"
        status, _ = self.machine.try_run(f"end=$(($(date +%s) + {seconds})); until {shown}; do sleep 1; "
                                         f"[ $(date +%s) -lt $end ] || break; done; {shown}", 2 * seconds)
        lines = self.text()
        expect(status == 0, f"the screen never shows {text!r}:\n" + "\n".join(lines))
        return lines

    def wait_while_it_changes(self, text, seconds):
        """Until this text is on it, however long that takes; for no more than so many seconds it may stay as it is."""
        shown, deadline = None, 0
        while True:
            _, now = self.machine.try_run(f"loam vm screen --text {self.name}")
            if text in now:
                return
            if now != shown:
                shown, deadline = now, self.machine.deadline(seconds)
            expect(time.monotonic() < deadline, f"the screen never shows {text!r}:\n{now}")
            time.sleep(1)

    def wait_for_colours(self, wanted, seconds=SCREEN_SECONDS):
        """Until these texts have these (background, foreground): a guest may still be painting."""
        deadline = self.machine.deadline(seconds)
        while True:
            still = self.still()
            found = {text: still.colours(text) for text in wanted}
            if found == wanted:
                return still
            expect(time.monotonic() < deadline, f"{found}, not {wanted}")

    def press(self, *keys):
        self.machine.run(f"loam vm send-keys {self.name} {' '.join(keys)}")

    def type(self, text):
        self.machine.run(f"loam vm send-keys {self.name} --text {shlex.quote(text)}")

    def enter(self, prompt, command):
        """Types a command behind a prompt, a piece at a time: a BIOS keeps 15 keys, and the guest may be slow."""
        for end in range(PIECE, len(command) + PIECE, PIECE):
            self.type(command[end - PIECE:end])
            self.wait_for("^" + re.sub(r"[][.^$*+?(){}|\\]", r"\\\g<0>", (prompt + command[:end]).rstrip()))
        self.press("enter")

    def picture(self):
        content = base64.b64decode(self.machine.run(f"loam vm screenshot {self.name} - | base64"))
        if KEEP:
            with open(os.path.join(KEEP, f"{self.name}-{next(self.numbers)}.png"), "wb") as stream:
                stream.write(content)
        return read_png(content)

    def still(self):
        """Text and picture of one moment, the guest's time standing still for it."""
        self.machine.run(f"loam vm pause {self.name}")
        still = Still(self.text(), self.picture())
        self.machine.run(f"loam vm resume {self.name}")
        return still


class Still:
    """A screen in a text mode of 80 x 25 characters, each drawn as the VGA BIOS has it in one colour on another, but for
    the one beneath the cursor."""

    def __init__(self, lines, picture):
        self.lines, self.picture = lines, picture
        expect(len(lines) == 25 and (picture.width, picture.height) == (720, 400),
               f"{len(lines)} lines, {picture.width} x {picture.height} pixels")
        glyphs = font()
        self.cells = [[self.cell(number, column, glyphs[character]) for column, character in enumerate(line.ljust(80))]
                      for number, line in enumerate(lines)]
        wrong = [(number, column) for number, row in enumerate(self.cells) for column, cell in enumerate(row)
                 if not cell]
        expect(len(wrong) <= 1, f"lines and columns {wrong[:20]} are not drawn as\n" + "\n".join(lines))

    def cell(self, line, column, glyph):
        """(background, foreground), None for one that the character has no pixel of; None: it is not drawn so."""
        colours = [None, None]
        for bits, row in zip(glyph, self.picture.part(9 * column, LINES * line, 9, LINES), strict=True):
            for x in range(9):
                kind, pixel = bits >> (8 - x) & 1, bytes(row[3 * x:3 * (x + 1)])
                if colours[kind] not in (None, pixel):
                    return None
                colours[kind] = pixel
        return tuple(colours) if colours[0] != colours[1] else None

    def find(self, text):
        """(line, column)"""
        for number, line in enumerate(self.lines):
            if text in line:
                return number, line.index(text)
        raise Failure(f"there is no {text!r} on the screen:\n" + "\n".join(self.lines))

    def colours(self, text):
        """Names of background and foreground of a text that is on the screen, "several" if they are not one."""
        number, column = self.find(text)
        cells = list(filter(None, self.cells[number][column:column + len(text)]))
        found = [{cell[kind] for cell in cells} - {None} for kind in (0, 1)]
        return tuple(COLOURS.get(*colours, str(colours)) if len(colours) == 1 else "several" for colours in found)
