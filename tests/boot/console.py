# SPDX-License-Identifier: GPL-2.0-or-later
"""The shell of a parent on its serial console, and the hypervisor's log, whatever the machine runs in."""
import os
import re
import select
import shutil
import tempfile
import time

from check import Failure, expect

BOOT_SECONDS = 180  # an emulator on a loaded machine; nothing is judged by time but that something hangs
COMMAND_SECONDS = 60


class Console:
    """
    `with` starts the machine and ends it; machine.run(command) runs a command in the parent's shell. An emulator has a
    start(), which sets `process` and the file descriptors `console`, to read, and `input`, and a close() for both.
    """
    PATIENCE = 1  # limits of time are multiplied with it

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="loam-test-")
        self.log_path = os.path.join(self.directory, "loam.log")
        self.output = b""
        self.process = None
        self.console = self.input = -1
        self.serial = 0

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        self.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def ended(self):
        """Whether the machine has switched itself off or, when that is to end it, reset itself."""
        return self.process.poll() is not None

    def last_words(self):
        """What the emulator itself has to say about its end."""
        return ""

    def deadline(self, seconds):
        return time.monotonic() + seconds * self.PATIENCE

    def _read(self, seconds):
        ready, _, _ = select.select([self.console], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.console, 65536)
        except ConnectionResetError:  # the emulator has ended, with something unread
            return False
        self.output += data
        return bool(data)

    def read_all(self):
        """Takes what the console has said so far."""
        while self._read(0):
            pass

    def wait_for(self, pattern, seconds=COMMAND_SECONDS, start=0, silence=False):
        """The match of a regular expression in what the console has said since `start`. `silence`: the limit is for the
        time in which it says nothing."""
        deadline = self.deadline(seconds)
        size = len(self.output)
        while True:
            if silence and len(self.output) > size:
                deadline, size = self.deadline(seconds), len(self.output)
            match = re.compile(pattern.encode(), re.M).search(self.output, start)
            if match:
                return match
            if time.monotonic() > deadline or (not self._read(1) and self.ended()):
                tail = self.output[-3000:].decode(errors="replace")
                raise Failure(f"no {pattern!r} on the console; it ends with:\n{tail}\n--- hypervisor's log:\n"
                              f"{self.log()[-2000:]}{self.last_words()}")

    def wait_for_shell(self, seconds=BOOT_SECONDS, start=0):
        """
        Another shell takes over that reads commands as a script, one after the other. The first one edits lines: it
        turns the terminal to and fro between two modes, and what is typed in that moment may read as an end of file.
        """
        self.wait_for(r"^/ # ", seconds, start)
        start = len(self.output)
        self.send("stty -echo; dmesg -n 1; echo shell=$((6 * 7)); exec sh /dev/console\n")
        self.wait_for(r"shell=42", BOOT_SECONDS, start)
        return self

    def send(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self.input, data):]

    def try_run(self, command, seconds=COMMAND_SECONDS, silence=False):
        """(exit status, output) of a shell command in the parent. `silence`: it may take any time, as long as it is never
        silent for so many seconds."""
        self.serial += 1
        start = len(self.output)
        marker = f"=={self.serial}"
        self.send(f"{command}\necho {marker}'='$?'='\n")
        match = self.wait_for(re.escape(marker) + r"=(\d+)=", seconds, start, silence)
        text = self.output[start:match.start()].decode(errors="replace").replace("\r", "")
        return int(match.group(1)), text.strip()

    def run(self, command, seconds=COMMAND_SECONDS):
        """Output of a command that has to succeed."""
        status, output = self.try_run(command, seconds)
        expect(status == 0, f"'{command}' ended with {status}: {output}")
        return output

    def wait_for_end(self, seconds=COMMAND_SECONDS):
        """Waits until the machine has switched itself off or, where that is to end it, reset itself."""
        deadline = self.deadline(seconds)
        while not self.ended():
            expect(time.monotonic() < deadline, "the machine did not stop")
            self._read(1)
        self.read_all()

    def power_off(self):
        self.send("poweroff -f\n")
        self.wait_for_end()

    def log(self):
        """The hypervisor's log, as it came over the second serial port."""
        try:
            with open(self.log_path, "rb") as stream:
                return stream.read().decode(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, seconds=COMMAND_SECONDS):
        """The first group of a regular expression in the hypervisor's log."""
        deadline = self.deadline(seconds)
        while True:
            match = re.search(pattern, self.log())
            if match:
                return match.group(1)
            expect(time.monotonic() < deadline, f"no {pattern!r} in the hypervisor's log:\n{self.log()}")
            time.sleep(0.2)
