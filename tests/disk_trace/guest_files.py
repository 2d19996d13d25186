# SPDX-License-Identifier: GPL-2.0-or-later
"""What workload.c knew of its files, by the notes that it left on its disk, and whether the disk keeps it."""
import os
import re
import shutil
import subprocess

SECTOR = 512
NOTES = 1024           # sectors that notes are written to, one after the other and again from the first one on
NOTES_ROOM = 1 << 20   # bytes of the disk behind the file system, which begin with the notes

# What e2fsck says when there is nothing to do but to replay the journal, to finish deletions that were under way, and to
# count what is free in all, which Linux does not keep in the superblock (of each group it does: "wrong for group").
HARMLESS = re.compile(
    r"e2fsck 1\.|Pass [1-5]:|\S+: recovering journal|(Clearing|Truncating) orphaned inode|"
    r"Setting free (inodes|blocks) count|Free (inodes|blocks) count wrong \(\d+, counted=\d+\)|Fix\? yes|"
    r"\s*$|\S+: \*+ FILE SYSTEM WAS MODIFIED|\S+: \d+/\d+ files ")


class Failure(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failure(text)


def run(*command):
    """(exit status, output)"""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                            timeout=600)
    return result.returncode, result.stdout.decode(errors="replace")


def parse_notes(sectors):
    """What the guest wrote down there: (kind, (path, offset), piece)"""
    for line in sectors.replace(b"\0", b"").decode().splitlines():
        kind, path, *numbers = line.split()
        if kind != "note":
            offset, *piece = map(int, numbers or ["0"])
            yield kind, (path, offset), tuple(piece) or None


def read_notes(path):
    """The notes on a disk in a file, by their numbers."""
    with open(path, "rb") as stream:
        stream.seek(-NOTES_ROOM, os.SEEK_END)
        sectors = [stream.read(SECTOR) for _ in range(NOTES)]
    notes = {}
    for place, sector in enumerate(sectors):
        if any(sector):
            number = re.match(rb"note (\d+) \d+\n", sector)
            expect(number and int(number.group(1)) % NOTES == place, f"note {place} is torn or in another's place: {sector[:64]}")
            notes[int(number.group(1))] = sector
    return notes


class Files:
    """What the guest knew of its files: pieces by path and offset, as (length, version) or None for no such file."""

    def __init__(self):
        self.pieces = {}
        self.exist = False  # the guest has made its file system

    def take(self, notes):
        for kind, place, piece in notes:
            self.exist = True
            if kind == "changing":
                self.pieces.pop(place, None)
            else:
                self.pieces[place] = piece

    def verify(self, directory, uncertain):
        for (path, offset), piece in self.pieces.items():
            if (path, offset) not in uncertain:
                self._verify_piece(path, os.path.join(directory, path), offset, piece)

    @staticmethod
    def _verify_piece(path, file, offset, piece):
        if piece is None:
            expect(not os.path.exists(file), f"{path} is there, after an fsync of its deletion")
            return
        expect(os.path.exists(file), f"{path} is gone, after an fsync")
        length, version = piece
        wanted = (b"%015d\n" % version * (length // 16 + 1))[:length]
        with open(file, "rb") as stream:
            stream.seek(offset)
            expect(stream.read(length) == wanted,
                   f"{path} has lost {length} bytes of version {version} at {offset}, after an fsync")


def examine_file_system(path, files, uncertain=()):
    """Replays the journal of the file system in a file, in which nothing may be wrong, and looks at the files in it."""
    status, output = run("e2fsck", "-fy", path)
    flaws = [line for line in output.splitlines() if not HARMLESS.match(line)]
    expect(status in (0, 1) and not flaws, f"e2fsck -fy: {status}: {flaws}")
    status, output = run("e2fsck", "-fn", path)
    expect(status == 0, f"e2fsck -fn: {status}: {output}")
    directory = f"{path}.files"
    os.mkdir(directory)
    status, output = run("debugfs", "-R", f"rdump / {directory}", path)
    expect(status == 0, f"debugfs: {output}")
    files.verify(directory, uncertain)
    shutil.rmtree(directory)
