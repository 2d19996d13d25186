# SPDX-License-Identifier: GPL-2.0-or-later
"""What is expected of a parent, however Loam came beneath it."""
from check import expect
from console import BOOT_SECONDS
from lane import TECHNOLOGY


def check_processors(machine, processors, cycles):
    """All processors are there, and each goes off and comes back so many times."""
    expect(machine.run("grep -c ^processor /proc/cpuinfo") == str(processors), "not all processors came up")
    for _ in range(cycles if processors > 1 else 0):
        for processor in range(1, processors):
            control = f"/sys/devices/system/cpu/cpu{processor}/online"
            machine.run(f"echo 0 > {control} && echo 1 > {control}", 120)
    expect(machine.run("cat /sys/devices/system/cpu/online") == ("0" if processors == 1 else f"0-{processors - 1}"),
           "a processor did not come back")
    expect(machine.run("grep -cw -e svm -e vmx /proc/cpuinfo || true") == "0", "the parent sees AMD-V or VT-x")


def check_log(log, processors, technology=TECHNOLOGY):
    """The hypervisor's log of a parent that did nothing special."""
    expect(f"Loam on {technology}" in log, "the hypervisor did not start")
    for processor in range(processors):
        expect(f"processor {processor} (APIC id" in log, f"processor {processor} was not taken over")
    expect("panic" not in log, log)


def check_hidden(machine, address, pages=1):
    """The hypervisor's memory: /dev/mem refuses RAM; what Linux was told to spare is none to it, so it lets this be
    read."""
    data = machine.run(f"dd if=/dev/mem bs=4096 skip=$(({address} / 4096)) count={pages} 2>/dev/null | md5sum")
    zeros = machine.run(f"dd if=/dev/zero bs=4096 count={pages} 2>/dev/null | md5sum")
    expect(data == zeros, f"the parent can read the hypervisor's memory at {address:#x}")
    status, _ = machine.try_run(f"dd if=/dev/zero of=/dev/mem bs=4096 seek=$(({address} / 4096)) count=1")
    expect(status != 0, f"a write to hidden memory at {address:#x} went through")
    machine.run("true")


def reboot_twice(machine, again):
    """`again`: what the console says at each start."""
    for _ in range(2):
        start = len(machine.output)
        machine.send("reboot -f\n")
        start = machine.wait_for(again, BOOT_SECONDS, start).end()
        machine.wait_for_shell(start=start)
