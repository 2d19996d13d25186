#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""loamd and the command loam in a parent on Loam: the life of a virtual machine, mistakes, deaths, a full disk, and the
parent's own shutdown. What needs no hypervisor is in tests/unit/manager_test.py."""
import json
import os
import re
import sys
import tempfile

from check import expect
from console import BOOT_SECONDS
from images import BUILD, build_disk
from managed import CHILD_SECONDS, refuse, show, type_into_console, wait_until
from shared_machine import SharedMachine
from suite import Suite

suite = Suite(__file__)
directory = tempfile.TemporaryDirectory()
disk = build_disk(os.path.join(directory.name, "disk.img"), os.path.join(BUILD, "image/parent.img"))
parent = SharedMachine(disk, processors=2)

CREATE = ("loam vm create {} --memory 128M --kernel /boot/vmlinuz --initrd /boot/child.img "
          "--cmdline 'console=ttyS0 quiet cryptomgr.notests'")


def expect_state(machine, name, state, reason=None):
    vm = show(machine, name)
    expect((vm["state"], vm["reason"]) == (state, reason), f"{name} is {vm['state']} ({vm['reason']}, {vm['detail']})")
    return vm


def wait_for_state(machine, name, state, seconds=CHILD_SECONDS):
    machine.run(f"loam vm wait {name} --state {state} --timeout {seconds}", seconds + 60)


def everything(machine):
    """What a mistake must not change."""
    return machine.run("cd /var/lib/loam; md5sum vm/* switch/* 2> /dev/null; cd /; ls /srv; loam vm list --names; "
                       "loam switch list --names")


@suite.test
@parent.shared
def host_says_what_it_is(machine):
    information = json.loads(machine.run("loam host info --json"))
    expect(information["logical_processors"] == 2 and information["hypervisor"] == "Loam", information)
    expect(information["counters"]["partitions"] == 1, information)
    expect(re.search("^Hypervisor: +Loam", machine.run("loam host info"), re.M), "host info for people")
    expect("processor 1 (APIC id" in machine.run("loam host log"), "the hypervisor's log")
    statistics = json.loads(machine.run("loam host stats --json"))
    expect(len(statistics["parent"]) == 2 and statistics["parent"][0]["hypercall"] > 0, statistics)
    expect("hypercall" in machine.run("loam host stats"), "host stats for people")
    shown = json.loads(machine.run("loam switch show default --json"))
    expect((shown["type"], shown["state"], shown["allow_host"]) == ("NAT", "Running", False), shown)


@suite.test
@parent.shared
def mistakes_change_nothing(machine):
    machine.run("cd /srv; loam disk create good.vhd --size 8M; cp good.vhd bad.vhd; cd /")
    machine.run("spoil() { yes BAD | head -c 4 | dd of=/srv/bad.vhd bs=1 seek=$1 conv=notrunc 2> /dev/null; }; "
                "spoil 100; spoil $(($(stat -c %s /srv/bad.vhd) - 412)); "
                "yes no disk | head -c 10000 > /srv/text.vhd")
    machine.run(CREATE.format("taken"))
    before = everything(machine)
    new = CREATE.format("new")
    for command, pattern in (
            (f"{new} --disk /srv/none.vhd", "/srv/none.vhd: there is no such file: .*loam disk create"),
            (f"{new} --disk /srv/text.vhd", "/srv/text.vhd: not a VHD.*PATH,raw"),
            (f"{new} --disk /srv/bad.vhd", "/srv/bad.vhd: a damaged VHD.*loam disk check"),
            (CREATE.format("taken"), "there is a virtual machine taken already: choose another name"),
            (f"{new} --nic defualt", "there is no switch defualt: loam switch list"),
            (f"{new} --memory 1M", "memory: .*too little: give at least 4 MiB"),
            (f"{new} --memory 9T", "memory: .*too much"),
            (f"{new} --processors 1000", "processors: a virtual machine can have 1 to 8, not 1000"),
            (f"{new} --kernel /srv/text.vhd", "/srv/text.vhd: is not a Linux kernel"),
            (CREATE.format("a/b"), "\"a/b\" cannot be a name: use 1 to 63"),
            ("loam vm start tkaen", "no virtual machine tkaen: did you mean taken"),
            ("loam vm stop taken", "taken is Off"),
            ("loam vm console taken", "taken is Off, so it has no console: loam vm start --console taken"),
            ("loam disk create /srv/good.vhd --size 8M", "good.vhd: exists already.*--replace"),
            ("loam disk create /srv/x.vhd --size 9T", "at most 2040 GiB"),
            ("loam disk info /srv/text.vhd", "text.vhd: not a VHD"),
            ("loam switch create default", "there is a switch default already"),
            ("loam switch create x --subnet 300.0.0.0/8", "300.0.0.0/8"),
            ("loam switch forward default tcp:0:taken:80", "port: must be from 1 to 65535")):
        refuse(machine, command, pattern)
    expect(everything(machine) == before, "something has changed")
    # What only the hypervisor or the host's memory can refuse.
    machine.run("loam vm set taken --memory 900G")
    refuse(machine, "loam vm start taken", "taken cannot be started: needs 921600 MiB of memory")
    expect_state(machine, "taken", "Off", "start-failed")
    machine.run("loam vm remove taken; rm /srv/*.vhd")


@suite.test
@parent.shared
def life_of_a_virtual_machine(machine):
    machine.run("mkdir /srv/small; mount -t tmpfs -o size=3m small /srv/small; "
                "loam disk create /srv/small/web1.vhd --size 64M")
    machine.run(CREATE.format("web1") + " --disk /srv/small/web1.vhd --nic default")
    expect(re.search(r"^web1 +Off +1 +128 MiB", machine.run("loam vm list"), re.M), "vm list")
    machine.run("loam vm start web1", CHILD_SECONDS)
    refuse(machine, "loam vm start web1", "web1 is Running already")
    refuse(machine, "loam vm remove web1", "web1 is Running, and can only be removed when it is Off")
    wait_until(machine, "grep -q 'child is up' /var/log/loam/web1.log")
    seen = type_into_console(machine, "web1", "echo $((6 * 7)) turns", "^42 turns")
    expect("child is up" in seen, "what was written before the console was opened is not shown")

    # Who has the console, and that it comes free again.
    holder = machine.run("sleep 1000 | loam vm console web1 > /tmp/console & echo $!").split()[-1]
    wait_until(machine, "loam vm show web1 | grep -q 'has it'", 60)
    refuse(machine, "loam vm console web1", rf"the console of web1: root \(process {holder}\) has it")
    machine.run(f"kill {holder}; killall sleep")
    wait_until(machine, "! loam vm show web1 | grep -q 'has it'", 60)

    vm = expect_state(machine, "web1", "Running")
    expect(vm["counters"]["ports"]["writes"] > 0 and vm["partition_id"], vm)
    expect(vm["disk_io"] == "io_uring", vm)
    expect(vm["log"] == "/var/log/loam/web1.log", vm["log"])
    statistics = json.loads(machine.run("loam host stats --json"))
    expect(statistics["vms"][0]["name"] == "web1" and statistics["vms"][0]["vps"][0]["io-port"] > 0, statistics["vms"])

    machine.run("loam vm pause web1")
    expect_state(machine, "web1", "Paused", "requested")
    exits = json.loads(machine.run("loam host stats --json"))["vms"][0]["vps"][0]["total"]
    machine.run("sleep 1")
    expect(json.loads(machine.run("loam host stats --json"))["vms"][0]["vps"][0]["total"] == exits, "it is not Paused")
    refuse(machine, "loam vm stop web1", "Paused")
    machine.run("loam vm resume web1")
    expect_state(machine, "web1", "Running")

    # The manager may go, also without a word, and takes over what runs when it comes back.
    machine.run("kill -9 $(pidof loamd)")
    refuse(machine, "loam vm list", "loamd does not run", 3)
    machine.run("loamd 2>> /var/log/loamd.log &")
    wait_until(machine, "loam vm list > /dev/null 2>&1", 60)
    wait_for_state(machine, "web1", "Running")
    expect(show(machine, "web1")["process"] == vm["process"], "another worker")
    ports = json.loads(machine.run("loam switch show default --json"))["ports"]
    expect(ports[0]["name"] == "web1", "the switch's port")

    # A full disk of the host's: it waits, says so, and goes on by itself.
    type_into_console(machine, "web1", "dd if=/dev/zero of=/dev/sda bs=1M count=16 && sync && echo written $((6 * 7))",
                      "dd if=")
    wait_for_state(machine, "web1", "Paused")
    vm = expect_state(machine, "web1", "Paused", "no-space")
    expect(vm["path"] == "/srv/small/web1.vhd", vm["path"])
    expect("no-space" in machine.run("loam vm show web1") and "no space on the host" in machine.run("loam vm list"),
           "vm show and vm list do not say so")
    machine.run("loam vm resume web1")  # too early: it is Paused again
    wait_for_state(machine, "web1", "Paused")
    machine.run("mount -o remount,size=64m /srv/small")
    wait_for_state(machine, "web1", "Running")
    wait_until(machine, "grep -q 'written 42' /var/log/loam/web1.log")

    machine.run(f"loam vm stop web1 --timeout {CHILD_SECONDS}", CHILD_SECONDS + 60)
    expect_state(machine, "web1", "Off", "power-off")
    expect("sound" in machine.run("loam disk check /srv/small/web1.vhd"), "the disk afterwards")
    machine.run("loam vm remove web1")
    expect("web1.vhd" in machine.run("ls /srv/small"), "the disk has been removed")
    machine.run("umount /srv/small")


@suite.test
@parent.shared
def ends_are_explained(machine):
    machine.run(CREATE.format("victim"))
    machine.run("loam vm start victim", CHILD_SECONDS)
    first = show(machine, "victim")
    machine.run("loam vm reset victim")
    wait_for_state(machine, "victim", "Running")
    expect(show(machine, "victim")["process"] == first["process"], "a reset is not an end")
    machine.run(f"kill -9 {first['process']}")
    wait_for_state(machine, "victim", "Off", 60)
    vm = expect_state(machine, "victim", "Off", "killed")
    expect(vm["detail"] == "the worker was killed by signal 9 (Killed)", vm["detail"])
    expect("killed by signal 9" in machine.run("loam vm list"), "vm list does not say why")
    # Nothing is left of it, so it can start again.
    expect(json.loads(machine.run("loam host info --json"))["counters"]["partitions"] == 1, "its partition is left")
    machine.run("loam vm start victim", CHILD_SECONDS)
    refuse(machine, "loam vm stop victim", "victim: the guest does not listen to the power button")
    machine.run("loam vm stop --turn-off victim")
    expect_state(machine, "victim", "Off", "turned-off")
    machine.run("loam vm remove victim; rmmod mshv_loam")
    refuse(machine, "loam host info", "there is no /dev/loam: .*driver is not loaded")
    machine.run("insmod /lib/modules/mshv_loam.ko")


@suite.test
@parent.shared
def shutdown_of_the_parent_stops_it(machine):
    machine.run(CREATE.format("last"))
    machine.run("loam vm start last", CHILD_SECONDS)
    wait_until(machine, "grep -q 'child is up' /var/log/loam/last.log")
    # The kernel's log comes out in order and whole before the power goes, other than what programs write.
    machine.run("echo on > /proc/sys/kernel/printk_devkmsg; dmesg -n 8; killall loamd; "
                "while pidof loamd; do sleep 0.1; done; loamd 2> /dev/kmsg &")
    wait_until(machine, "loam vm list > /dev/null 2>&1", 60)
    wait_for_state(machine, "last", "Running")
    start = len(machine.output)
    machine.send("poweroff\n")
    machine.wait_for_end(BOOT_SECONDS)
    machine.wait_for(r"loamd: last: Off \(power-off: the guest switched itself off\)(?s:.*)reboot: Power down", 0,
                     start)
    parent.leave()


status = suite.run()
parent.leave()
sys.exit(status)
