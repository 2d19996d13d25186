#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock Linux child: serial console, VHD over IDE, network card on the NAT switch, power button, kills."""
import os
import random
import sys
import tempfile

from check import expect
from images import BUILD, build_disk
from machine import Machine
from suite import Suite, soak

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
disk = build_disk(os.path.join(directory.name, "disk.img"), os.path.join(BUILD, "image/parent.img"))

CHILD = ('{"version": 1, "name": "NAME", "memory": 134217728, "kernel": {"path": "/boot/vmlinuz"}, '
         '"initrd": {"path": "/boot/child.img"}, "command_line": "console=ttyS0 quiet cryptomgr.notests OPTIONS", '
         '"log": {"path": "/run/NAME.log"}, "processors": PROCESSORS}')
CHILD_SECONDS = 400
KILL_SEED = 20251122


def start(machine, name, processors=1, options=""):
    """Starts a child in the background; returns its worker's process id."""
    child = CHILD.replace("NAME", name).replace("PROCESSORS", str(processors)).replace("OPTIONS", options)
    machine.run(f": > /run/{name}.log; echo '{child}' > /run/{name}.json")
    return machine.run(f"loam-worker -c /run/{name}.json > /run/{name}.events 2>&1 & echo $!").split()[-1]


def wait_until(machine, condition, seconds=CHILD_SECONDS):
    status, _ = machine.try_run(f"n=0; until {condition}; do sleep 1; n=$((n+1)); [ $n -lt {seconds} ] || break; done; "
                                f"{condition}", seconds + 60)
    expect(status == 0, f"never became true: {condition}")


def counters(machine):
    """What the driver holds, by name; all zero without a VM."""
    names = ("partitions", "virtual_processors", "deposited_pages", "pinned_pages")
    values = machine.run(f"cd /sys/class/misc/loam && cat {' '.join(names)}; cd /").split()
    return dict(zip(names, map(int, values), strict=True))


@suite.test
def demo():
    with Machine(disk) as machine:
        machine.wait_for_shell()
        status, output = machine.try_run("demo", 900)
        expect(status == 0 and "demo: passed" in output, output + machine.try_run("cat /run/loam/switch.log")[1])
        expect(output.count("demo: fetched 22 bytes over HTTP: hello from the parent") == 2, output)
        expect("max UDMA/33" in output, output)
        machine.run("rmmod mshv_loam")
        machine.power_off()


@suite.test
def two_children_at_once():
    with Machine(disk, processors=2) as machine:
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


def linux_with_processors(machine, processors):
    """It finds them all, its clock is the TSC, and it switches itself off."""
    name = f"with-{processors}"
    start(machine, name, processors, "off=1")
    wait_until(machine, "! pidof loam-worker", 3 * CHILD_SECONDS)
    log = machine.run(f"cat /run/{name}.log")
    expect(f"child has processors 0-{processors - 1}, its clock is tsc" in log, log)  # or tsc-early, before it is measured
    expect("child is up" in log, log)
    expect("power-off" in machine.run(f"tail -1 /run/{name}.events"), "it did not switch itself off")
    expect("TSC unstable" not in log and "Marking TSC" not in log, log)


def several_processors(host_processors, counts):
    with Machine(disk, processors=host_processors) as machine:
        machine.wait_for_shell()
        for processors in counts:
            linux_with_processors(machine, processors)
        machine.run("rmmod mshv_loam")
        machine.power_off()


@suite.only_in_soak
def linux_with_four_processors():
    several_processors(2, soak((4,), (2, 4)))


@suite.only_in_soak
def linux_with_more_processors_than_the_host():
    several_processors(1, soak((2,), (2, 4)))


@suite.test
def killed_workers_leave_nothing():
    moments = random.Random(KILL_SEED)
    with Machine(disk) as machine:
        machine.wait_for_shell()
        before = counters(machine)
        expect(not any(before.values()), before)
        for kill in range(soak(5, 50, in_bochs=3)):
            worker = start(machine, "victim")
            if kill == 0:
                wait_until(machine, "[ $(cat /sys/class/misc/loam/virtual_processors) = 1 ]")
                expect(all(counters(machine).values()), counters(machine))
            machine.run(f"sleep {moments.uniform(0, 15):.2f}")
            machine.run(f"kill -9 {worker}")
            wait_until(machine, "! pidof loam-worker", 60)
            expect(counters(machine) == before, f"kill {kill} left {counters(machine)}")
        machine.run("rmmod mshv_loam")
        expect("panic" not in machine.log(), machine.log())
        machine.power_off()


sys.exit(suite.run())
