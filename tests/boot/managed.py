# SPDX-License-Identifier: GPL-2.0-or-later
"""Managing virtual machines from the parent's shell."""
import json
import re

from check import expect

CHILD_SECONDS = 400


def show(machine, name):
    return json.loads(machine.run(f"loam vm show {name} --json"))


def wait_until(machine, condition, seconds=CHILD_SECONDS):
    status, _ = machine.try_run(f"n=0; until {condition}; do sleep 1; n=$((n+1)); [ $n -lt {seconds} ] || break; done; "
                                f"{condition}", seconds + 60)
    expect(status == 0, f"never became true: {condition}")


def refuse(machine, command, pattern, status=1):
    got, output = machine.try_run(command)
    expect(got == status, f"'{command}' ended with {got}: {output}")
    expect(output.count("\n") == 0 and re.search(pattern, output), f"'{command}' says {output!r}, not {pattern!r}")


def type_into_console(machine, name, line, answer):
    """Opens the console, waits for its prompt, types a line, waits for the answer, and leaves."""
    start = len(machine.output)
    machine.send(f"loam vm console {name}\n")
    machine.wait_for(rf"\[console of {name}; Ctrl-\] leaves it\]", start=start)
    machine.send("\n")
    machine.wait_for("^child# ", start=start)
    machine.send(f"{line}\n")
    machine.wait_for(answer, CHILD_SECONDS, start)
    machine.send("\x1d")
    machine.wait_for(rf"\[left the console of {name}, which goes on\]", start=start)
    text = machine.output[start:].decode(errors="replace")
    machine.run("echo")
    return text
