#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock Linux child: serial console, VHD over IDE, network card on the NAT switch, power button, kills."""
import os
import re
import sys
import tempfile

from machine import BUILD, Machine, build_esp, expect
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
esp = build_esp(os.path.join(directory.name, "esp.img"), os.path.join(BUILD, "image/parent.img"))

CHILD = ('{"version": 1, "name": "NAME", "memory": 134217728, "kernel": {"path": "/boot/vmlinuz"}, '
         '"initrd": {"path": "/boot/child.img"}, "command_line": "console=ttyS0 quiet", '
         '"log": {"path": "/run/NAME.log"}}')
CHILD_SECONDS = 400


def start(machine, name):
    """Starts a child in the background; returns its worker's process id."""
    machine.run(f": > /run/{name}.log; echo '{CHILD.replace('NAME', name)}' > /run/{name}.json")
    return machine.run(f"loam-worker -c /run/{name}.json > /run/{name}.events 2>&1 & echo $!").split()[-1]


def wait_until(machine, condition, seconds=CHILD_SECONDS):
    status, _ = machine.try_run(f"n=0; until {condition}; do sleep 1; n=$((n+1)); [ $n -lt {seconds} ] || break; done; "
                                f"{condition}", seconds + 60)
    expect(status == 0, f"never became true: {condition}")


def counters(machine):
    return machine.run("cat /sys/kernel/debug/mshv_loam/* 2>/dev/null || true")


@suite.test
def demo():
    with Machine(esp) as machine:
        machine.wait_for_shell()
        status, output = machine.try_run("demo", 900)
        expect(status == 0 and "demo: passed" in output, output + machine.try_run("cat /run/loam/switch.log")[1])
        expect(output.count("demo: fetched 22 bytes over HTTP: hello from the parent") == 2, output)
        expect("max UDMA/33" in output, output)
        machine.run("rmmod mshv_loam")
        machine.power_off()


@suite.test
def two_children_at_once():
    with Machine(esp) as machine:
        machine.wait_for_shell()
        workers = [start(machine, name) for name in ("one", "two")]
        for name in ("one", "two"):
            wait_until(machine, f"grep -q 'child is up' /run/{name}.log")
        for worker in workers:
            machine.run(f"kill {worker}")
        wait_until(machine, "! pidof loam-worker", 60)
        for name in ("one", "two"):
            expect("turn" in machine.run(f"cat /run/{name}.events"), f"{name} was not turned off")
        machine.run("rmmod mshv_loam")
        machine.power_off()


@suite.test
def killed_workers_leave_nothing():
    with Machine(esp) as machine:
        machine.wait_for_shell()
        for seconds in (0, 1, 3, 7, 15):
            worker = start(machine, "victim")
            machine.run(f"sleep {seconds}; kill -9 {worker}")
            wait_until(machine, "! pidof loam-worker", 60)
        # Nothing uses the driver any more, and what is left after it is gone is what was there before.
        machine.run("rmmod mshv_loam")
        expect(re.search(r"^mshv_loam", machine.run("lsmod"), re.M) is None, "the driver is still there")
        machine.power_off()


sys.exit(suite.run())
