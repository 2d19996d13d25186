# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual machine's login on its serial console."""
import re

from check import expect
from console import COMMAND_SECONDS
from managed import CHILD_SECONDS, show

PASSWORD = "loam"


class Login:
    """The shell of root, in `loam vm console`, which the parent's shell runs meanwhile."""

    def __init__(self, machine, name, seconds):
        self.machine, self.name, self.serial = machine, name, 0
        start = len(machine.output)
        machine.send(f"loam vm console {name}\n")
        machine.wait_for(rf"\[console of {name}; Ctrl-\] leaves it\]", start=start)
        machine.wait_for(r"login: ", seconds, start)
        self._answer(r"Password: ", "root\n")
        self._answer(r"~ ?# ", f"{PASSWORD}\n")
        # Another shell, which reads commands as a script: it neither edits lines nor repeats them.
        self._answer(r"shell=42", "stty -echo; echo shell=$((6 * 7)); exec sh /dev/ttyS0\n")

    def _answer(self, pattern, text):
        start = len(self.machine.output)
        self.machine.send(text)
        self.machine.wait_for(pattern, CHILD_SECONDS, start)

    def run(self, command, seconds=CHILD_SECONDS):
        """Output of a command that has to succeed."""
        self.serial += 1
        marker = f"=={self.serial}"
        start = len(self.machine.output)
        self.machine.send(f"{command}\necho {marker}'='$?'='\n")
        match = self.machine.wait_for(re.escape(marker) + r"=(\d+)=", seconds, start)
        output = self.machine.output[start:match.start()].decode(errors="replace").replace("\r", "").strip()
        expect(match.group(1) == b"0", f"'{command}' in {self.name} ended with {match.group(1).decode()}: {output}")
        return output

    def power_off(self):
        """It shuts itself down, and is Off then, which ends the console."""
        self._answer(rf"\[the console of {self.name} has ended", "poweroff\n")
        self.machine.run(f"loam vm wait {self.name}", COMMAND_SECONDS)
        vm = show(self.machine, self.name)
        expect((vm["state"], vm["reason"]) == ("Off", "power-off"), f"{self.name} is {vm['state']}: {vm['detail']}")
