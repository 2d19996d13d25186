# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads pictures as loam-worker writes them: PNG (ISO 15948) of 8 bits for each of red, green and blue."""
import struct
import zlib

from check import expect

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BYTES = 3  # of a pixel


class Picture:
    """`rows` of bytes, three for each pixel."""

    def __init__(self, width, height, rows):
        self.width, self.height, self.rows = width, height, rows

    def pixel(self, x, y):
        return self.rows[y][BYTES * x:BYTES * (x + 1)]

    def part(self, x, y, width, height):
        return [row[BYTES * x:BYTES * (x + width)] for row in self.rows[y:y + height]]

    def colours(self):
        """How many pixels have which colour."""
        count = {}
        for row in self.rows:
            for x in range(0, len(row), BYTES):
                colour = bytes(row[x:x + BYTES])
                count[colour] = count.get(colour, 0) + 1
        return count


def chunks(content):
    expect(content[:8] == SIGNATURE, f"no PNG: {content[:40]}")
    place = len(SIGNATURE)
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        data = content[place + 8:place + 8 + length]
        checksum, = struct.unpack_from(">I", content, place + 8 + length)
        expect(checksum == zlib.crc32(kind + data), f"the PNG's chunk {kind} is damaged")
        yield kind, data
        place += 12 + length


def paeth(left, above, corner):
    estimate = left + above - corner
    distances = abs(estimate - left), abs(estimate - above), abs(estimate - corner)
    return (left, above, corner)[distances.index(min(distances))]


def unfilter(kind, line, above):
    """A line's bytes from their differences to what is predicted from their neighbours."""
    row = bytearray(line)
    predict = (None, lambda left, up, corner: left, lambda left, up, corner: up,
               lambda left, up, corner: (left + up) // 2, paeth)[kind]
    for x in range(len(row) if predict else 0):
        left, corner = (row[x - BYTES], above[x - BYTES]) if x >= BYTES else (0, 0)
        row[x] = row[x] + predict(left, above[x], corner) & 0xFF
    return row


def read_png(content):
    parts = list(chunks(content))
    expect(parts[0][0] == b"IHDR" and parts[-1][0] == b"IEND", f"the PNG has {[kind for kind, _ in parts]}")
    width, height, *form = struct.unpack(">IIBBBBB", parts[0][1])
    expect(form == [8, 2, 0, 0, 0], f"the PNG is of another form, {form}")
    data = zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT"))
    size = 1 + BYTES * width
    expect(len(data) == size * height, f"the PNG has {len(data)} bytes of {width} x {height} pixels")
    rows, above = [], bytes(BYTES * width)
    for line in range(0, len(data), size):
        above = unfilter(data[line], data[line + 1:line + size], above)
        rows.append(above)
    return Picture(width, height, rows)
