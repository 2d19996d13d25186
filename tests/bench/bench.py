#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures what Loam costs and prints it as a table, and as JSON into build/bench.json.

usage: bench.py [GROUP...]     GROUP: sizes exits parent child boot firmware disk pio net engine (all by default)

Everything runs in an emulated machine that counts instructions: one tick of the TSC is one virtual nanosecond is one
executed instruction, of all levels together. So the figures are path lengths and repeat well; the world switch itself
counts as one instruction, and caches do not count at all. Seconds and throughput are virtual as well.
That is QEMU, with AMD-V. Exits are measured on VT-x too, in Bochs, where a tick is an instruction as well.

Exits with 1 if something could not be measured; a budget that is missed is shown as MISSED and is no error."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/boot"))
from bochs import Bochs  # noqa: E402
from check import Failure, expect  # noqa: E402
from engine import engine  # noqa: E402
from images import BUILD, build_disk, build_initramfs, cloud_kernel, driver, newest  # noqa: E402
from qemu import Qemu  # noqa: E402

MIB = 1 << 20
PARENT_MEMORY = 2048  # MiB
CHILD_MEMORY = 128
VIDEO_MEMORY = 16384  # KiB
LOOPS = 200           # as in exits.asm
COUNTING = ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01T00:00:00,clock=vm", "-seed", "1"]
BOOT_SECONDS = 900    # of the real world; an instruction at a time is slow
IDLE_SECONDS = 10
ROMS = ("/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/vgabios-stdvga.bin")

# Order of enum loam_hypervisor_counter and enum loam_exit_reason as far as they are used here.
COUNTERS = ("logical_processors", "partitions", "image", "reserved", "tables", "deposited_pages")


class Bench:
    """Figures: name -> (value, unit, budget, +1 if the value must not be above it, -1 if not below)."""

    def __init__(self, directory):
        self.directory = directory
        self.figures = {}
        self.errors = []

    def add(self, name, value, unit, budget=None, most=True, note=""):
        met = None if budget is None else value <= budget if most else value >= budget
        self.figures[name] = {"value": round(value, 3), "unit": unit, "budget": budget, "at_most": most, "met": met,
                              "note": note}
        verdict = {None: "", True: "met", False: "MISSED"}[met]
        bound = "" if budget is None else f"{'≤' if most else '≥'} {budget:,}"
        digits = 0 if unit in ("instructions", "lines", "pages") else 1 if value >= 10 else 3
        print(f"{name:<56} {value:>10,.{digits}f} {unit:<13} {bound:>10} {verdict:<7} {note}", flush=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    # --- machines ---

    def parent(self, *entries, vendor="AMD-V"):
        """A parent on Loam that counts instructions, with driver, worker and these files."""
        image = build_initramfs(
            self.path("parent.img"), f"module:{driver()}", f"program:usr/bin/loam-worker={BUILD}/bin/loam-worker",
            f"program:usr/bin/loam-switch={BUILD}/bin/loam-switch", f"usr/bin/tick={BUILD}/bench/tick",
            f"usr/bin/counters={BUILD}/bench/counters", f"usr/bin/stream={BUILD}/bench/stream",
            f"etc/passwd={TOP}/partitions/root/image/passwd", f"etc/group={TOP}/partitions/root/image/group", *entries)
        disk = build_disk(self.path("disk.img"), image, cmdline="quiet", size=128)
        return Bochs(disk) if vendor == "VT-x" else Qemu(disk, memory=PARENT_MEMORY, extra=COUNTING)

    def configuration(self, name, **settings):
        """`entry` of tools/initramfs.py for a worker's configuration."""
        path = self.path(f"{name}.json")
        with open(path, "w", encoding="ascii") as stream:
            values = {"version": 1, "name": name, "memory": CHILD_MEMORY * MIB, "processors": 1,
                      "kernel": {"path": "/kernel"}, "command_line": "", "log": {"path": "/run/child.log"}, **settings}
            json.dump({key: value for key, value in values.items() if value is not None}, stream)
        return f"{name}.json={path}"

    # --- groups ---

    def sizes(self):
        for vendor, name in ("svm", "AMD-V"), ("vmx", "VT-x"):
            image = os.path.getsize(f"{BUILD}/hypervisor/{vendor}/loam.bin")
            self.add(f"image of the hypervisor for {name}", image / 1024, "KiB", 256)
            lines, code = count_lines(hypervisor_sources(vendor))
            self.add(f"lines of the hypervisor for {name}", lines, "lines")
            self.add(f"lines of it for {name} but comments and blanks", code, "lines")
        self.add("loam.efi", os.path.getsize(f"{BUILD}/loam.efi") / 1024, "KiB")
        self.add("loam.mb2", os.path.getsize(f"{BUILD}/loam.mb2") / 1024, "KiB")
        image = hypervisor_sources("svm") | hypervisor_sources("vmx")
        loaders = {os.path.relpath(path, TOP) for suffix in ("c", "h", "asm")
                   for path in glob.glob(f"{TOP}/arch/x86_64/boot/**/*.{suffix}", recursive=True)} - image
        lines, code = count_lines(image)
        self.add("lines of both together", lines, "lines")
        self.add("lines of both together but comments and blanks", code, "lines", 15000)
        self.add("lines of its loaders", count_lines(loaders)[0], "lines", note="EFI and multiboot2")

    def exits(self):
        """The budgets are AMD-V's. VT-x has more to read: each field of a VMCS takes an instruction."""
        budgets = {
            "cpuid_0": ("CPUID", 350, "KVM 3,058"),
            "cpuid_1": ("CPUID of a leaf with live bits", 350, ""),
            "hypercall": ("hypercall with an unknown code", 350, "KVM 3,318"),
            "read_msr": ("RDMSR IA32_APIC_BASE", None, "KVM 3,133"),
            "read_local_apic": ("local APIC read (MMIO)", 600, "KVM 4,030"),
            "write_unclaimed_port": ("port write to the worker, which drops it", 1750, "KVM raw 3,497"),
            "write_port": ("port write to the worker's UART", None, "QEMU 5,458"),
            "read_port": ("port read from the worker's UART", None, "QEMU 5,487"),
            "write_memory": ("MMIO write to the worker's IOAPIC", 3000, "KVM raw 5,766, QEMU 7,661"),
            "read_memory": ("MMIO read from the worker's IOAPIC", None, "KVM raw 6,182"),
        }
        for vendor in ("AMD-V", "VT-x"):
            with self.parent(f"kernel={BUILD}/bench/exits.bin", self.configuration("exits", memory=16 * MIB),
                             vendor=vendor) as machine:
                machine.wait_for_shell(BOOT_SECONDS)
                log = run_child(machine, "exits")
            ticks = {name: (int(two) - int(one)) / LOOPS
                     for name, one, two in re.findall(r"^(\w+) (\d+) (\d+)", log, re.M)}
            expect(set(budgets) <= set(ticks), f"the guest did not say all: {log}")
            for name, (title, budget, note) in budgets.items():
                self.add(f"{vendor}: {title}", ticks[name], "instructions", budget if vendor == "AMD-V" else None,
                         note=note)

    def parent_exits(self):
        with self.parent("module:virtio_pci", "module:virtio_blk") as machine:
            machine.wait_for_shell(BOOT_SECONDS)
            counters, before = read_counters(machine)
            machine.run(f"sleep {IDLE_SECONDS}", BOOT_SECONDS)
            _, idle = read_counters(machine)
            machine.run("dd if=/dev/vda of=/dev/null bs=1M count=32 iflag=direct", BOOT_SECONDS)
            _, busy = read_counters(machine)
        self.add("exits of the idle parent", (sum(idle) - sum(before)) / IDLE_SECONDS, "/s", note="xAPIC; HZ=250")
        self.add("exits of the parent for its own disk I/O", (sum(busy) - sum(idle)) / 32, "/MiB", note="xAPIC writes")
        self.add("memory of the hypervisor, one processor", (counters["reserved"] - counters["tables"]) / 1024, "KiB",
                 2048 + 32)
        self.add("tables and frame ownership", 100 * counters["tables"] / (PARENT_MEMORY * MIB), "% of RAM", 0.3)

    def child(self):
        """A Linux child at its shell: memory of its worker, and what the hypervisor took for it."""
        idle = "while :; do sleep 1000; done"
        script = self.path("idle")
        with open(script, "w", encoding="ascii") as stream:
            stream.write(f"#!/bin/busybox sh\necho up > /dev/console\n/bin/busybox sleep 100000\n{idle}\n")
        os.chmod(script, 0o755)
        initrd = self.path("idle.img")
        subprocess.run([f"{TOP}/tools/initramfs.py", initrd, f"init={script}", "program:bin/busybox=/bin/busybox",
                        "dev/"], check=True)
        plain = self.configuration("idle", initrd={"path": "/initrd"}, command_line="console=ttyS0 quiet")
        screen = self.configuration("screen", initrd={"path": "/initrd"}, graphics=True,
                                    command_line="console=tty0 console=ttyS0")
        roms = [f"{path[1:]}={path}" for path in ROMS]
        with self.parent(f"kernel={cloud_kernel()}", f"initrd={initrd}", plain, screen, *roms) as machine:
            machine.wait_for_shell(BOOT_SECONDS)
            before, _ = read_counters(machine)
            private, resident = idle_worker_memory(machine, "idle")
            after, _ = read_counters(machine)
            machine.run("kill $(pidof loam-worker); while pidof loam-worker > /dev/null; do sleep 1; done")
            private_with_screen, resident_with_screen = idle_worker_memory(machine, "screen")
        self.add("memory of a worker (Private_Dirty) beside the guest's", private / 1024, "MiB", 5)
        self.add("the same with a screen, in text mode, nobody looks", private_with_screen / 1024, "MiB", 5)
        self.add("resident set of a worker beside the guest's", resident / 1024, "MiB", note="QEMU 40 to 52")
        self.add("the same with a screen", resident_with_screen / 1024, "MiB")
        self.add("pages deposited for a child of 128 MiB", after["deposited_pages"] - before["deposited_pages"], "pages")

    def boot(self):
        """From the worker's start to the end of a child whose first process switches it off, and the same without Loam."""
        initrd = self.path("tick.img")
        subprocess.run([f"{TOP}/tools/initramfs.py", initrd, f"init={BUILD}/bench/tick", "dev/"], check=True)
        kernel, line = cloud_kernel(), "console=ttyS0 quiet"
        native = native_boot(kernel, initrd, line)
        settings = self.configuration("tick", initrd={"path": "/initrd"}, command_line=line)
        with self.parent(f"kernel={kernel}", f"initrd={initrd}", settings) as machine:
            machine.wait_for_shell(BOOT_SECONDS)
            machine.run(": > /run/child.log")
            ticks = machine.run("tick; loam-worker -c /tick.json > /dev/null; tick", BOOT_SECONDS).split()
            log = machine.run("cat /run/child.log")
        expect(re.search(r"^\d{6,}", log, re.M), f"the child did not come up: {log}")
        seconds = (int(ticks[-1]) - int(ticks[0])) / 1e9
        self.add("boot of Linux without Loam (-machine pc)", native, "s")
        self.add("boot of a Linux child, start and end included", seconds, "s", round(native * 1.04 + 0.06, 3),
                 note="KVM+QEMU pc 1.62")

    def firmware(self):
        """From power-on to the boot sector: the guest's TSC then, of a machine with a screen and one without."""
        image = {"path": "/boot.img"}
        machines = {"floppy": {"floppies": [image], "boot": ["floppy"]},
                    "disk": {"disks": [{**image, "format": "raw"}], "boot": ["disk"]},
                    "serial": {"disks": [{**image, "format": "raw"}], "boot": ["disk"], "graphics": False}}
        roms = [f"{path[1:]}={path}" for path in ROMS]
        settings = [self.configuration(name, kernel=None, command_line=None, **machine)
                    for name, machine in machines.items()]
        with self.parent(f"boot.img={BUILD}/bench/boot_sector.img", *roms, *settings) as machine:
            machine.wait_for_shell(BOOT_SECONDS)
            for name, title in (("floppy", "from a floppy disk"), ("disk", "from a disk"),
                                ("serial", "from a disk, without a screen")):
                ticks = re.search(r"^boot (\d+)", run_child(machine, name), re.M)
                expect(ticks, f"the boot sector of {name} said nothing")
                self.add(f"SeaBIOS to the boot sector {title}", int(ticks.group(1)) / 1e9, "s", 0.25)

    def linux_child(self, mode, *entries, options="", **settings):
        """Configuration and files for a child with the generic kernel and modules that runs tests/bench/child."""
        kernel = newest("/boot/vmlinuz-*[0-9]-amd64")
        release = os.path.basename(kernel).removeprefix("vmlinuz-")
        initrd = self.path(f"{mode}.img")
        subprocess.run([f"{TOP}/tools/initramfs.py", "--kernel", release, initrd, f"init={TOP}/tests/bench/child",
                        "program:bin/busybox=/bin/busybox", f"dhcp={TOP}/partitions/child/demo/dhcp",
                        f"usr/bin/stream={BUILD}/bench/stream", f"usr/bin/tick={BUILD}/bench/tick",
                        "module:ata_piix", "module:sd_mod", "module:tulip"], check=True)
        return [f"kernel={kernel}", f"initrd={initrd}", *entries,
                self.configuration(mode, initrd={"path": "/initrd"},
                                   command_line=f"console=ttyS0 quiet bench={mode} {options}", **settings)]

    def disk(self):
        vhd = self.path("disk.vhd")
        subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=dynamic,force_size=on", vhd, "64M"],
                       check=True)
        with self.parent(*self.linux_child("disk", f"disk.vhd={vhd}", disks=[{"path": "/run/disk.vhd"}])) as machine:
            machine.wait_for_shell(BOOT_SECONDS)
            machine.run("cp /disk.vhd /run/disk.vhd")
            log, exits = count_exits(machine, "disk", "read64k", "read4k", "write64k")
        seconds = timed_seconds(log, (*exits, "read1m", "write1m"))
        self.add("IDE and dynamic VHD, 64 KiB direct reads", 32 / seconds["read64k"], "MiB/s", 300, False, "QEMU 202")
        self.add("IDE and dynamic VHD, 64 KiB direct writes", 32 / seconds["write64k"], "MiB/s", note="QEMU 192")
        self.add("IDE and dynamic VHD, 1 MiB direct reads across blocks", 30 / seconds["read1m"], "MiB/s")
        self.add("IDE and dynamic VHD, 1 MiB direct writes across blocks", 30 / seconds["write1m"], "MiB/s")
        self.add("IDE and dynamic VHD, a 4 KiB direct read", seconds["read4k"] * 1e6 / 2048, "µs", 200, note="QEMU 264")
        for phase, command, count in (("read64k", "read of 64 KiB", 512), ("write64k", "write of 64 KiB", 512),
                                      ("read4k", "read of 4 KiB", 2048)):
            self.add_exits("IDE by DMA", exits[phase], count, command)

    def pio(self):
        """The driver moves a sector by one REP INSW or OUTSW."""
        with self.parent(*self.linux_child("pio", options="libata.dma=0",
                                           disks=[{"path": "/run/disk", "format": "raw"}])) as machine:
            machine.wait_for_shell(BOOT_SECONDS)
            machine.run("dd if=/dev/zero of=/run/disk bs=1M count=16 2> /dev/null")
            log, exits = count_exits(machine, "pio", "read64k", "write64k")
        seconds = timed_seconds(log, exits)
        for phase, name in ("read64k", "read"), ("write64k", "write"):
            self.add(f"IDE by PIO, 64 KiB direct {name}s", 4 / seconds[phase], "MiB/s")
            self.add_exits("IDE by PIO", exits[phase], 64, f"{name} of 64 KiB")
            self.add_exits("IDE by PIO", exits[phase], 4 * 2048, f"sector of {name}s")

    def add_exits(self, title, exits, count, what):
        self.add(f"{title}, port accesses a {what}", exits["io-port"] / count, "exits")
        self.add(f"{title}, all exits a {what}", sum(exits.values()) / count, "exits")

    def net(self):
        nics = [{"mac": "00:15:5d:00:00:01", "switch": {"path": "/run/switch.sock"}}]
        with self.parent(*self.linux_child("net", nics=nics)) as machine:
            machine.wait_for_shell(BOOT_SECONDS)
            machine.send("loam-switch --allow-host --user=nobody --socket=/run/switch.sock > /run/switch.log 2>&1 &\n")
            machine.run("until [ -S /run/switch.sock ]; do sleep 1; done")
            machine.send("stream receive tcp 5001 > /run/tcp & stream receive udp 5002 > /run/udp &\n")
            log, exits = count_exits(machine, "net", "tcp", "udp")
            tcp, udp = (machine.run(f"cat /run/{name}").split() for name in ("tcp", "udp"))
        expect(len(tcp) == 2 and len(udp) == 2, f"nothing arrived: {log}")
        note = f"{100 - int(udp[0]) * 100 / (16 * MIB):.0f} % lost"
        self.add("tulip and NAT, TCP to the parent", int(tcp[0]) * 8 / float(tcp[1]) / 1e6, "Mbit/s", 200, False,
                 "QEMU's e1000 over tap 273")
        self.add("tulip and NAT, UDP to the parent", int(udp[0]) * 8 / float(udp[1]) / 1e6, "Mbit/s", 400, False, note)
        for phase in "tcp", "udp":
            self.add_exits(f"tulip and NAT, {phase.upper()}", exits[phase], 16, "MiB")


def run_child(machine, name):
    """Runs the child until it is off; what it said on its console."""
    return run_worker(machine, f"loam-worker -c /{name}.json")[0]


def run_worker(machine, command):
    """A command that ends with the worker's status; what the child said on its console, and the command's output."""
    machine.run(": > /run/child.log")
    status, output = machine.try_run(command, BOOT_SECONDS)
    log = machine.run("cat /run/child.log")
    expect(status == 0, f"the worker ended with {status}: {output}\n{log}")
    return log, output


def count_exits(machine, name, *phases):
    """As run_child, for a child that says how far it is (`mark` of tests/bench/child); its exits in each phase, by reason."""
    marks = ("begin", *phases)
    log, output = run_worker(
        machine, f"loam-worker -c /{name}.json > /dev/null & for mark in {' '.join(marks)}; do "
        "until grep -q \"bench at $mark\" /run/child.log; do kill -0 $! || break; sleep 1; done; "
        "echo \"$mark $(counters $! | grep ^child)\"; done; wait $!")
    counts = {mark: list(map(int, numbers.split())) for mark, numbers in re.findall(r"^(\w+) child (.+)", output, re.M)}
    expect(set(marks) == set(counts), f"no counters: {output}\n{log}")
    return log, {phase: {reason: after - before for reason, before, after in zip(
        exit_reasons(), counts[earlier], counts[phase])} for earlier, phase in zip(marks, phases)}


def exit_reasons():
    with open(f"{TOP}/include/hv/loam.h", encoding="ascii") as stream:
        listing = stream.read().split("#define LOAM_EXIT_REASONS(X)", 1)[1].split("enum", 1)[0]
    return re.findall(r"X\(\w+, \"([\w-]+)\"\)", listing)


def timed_seconds(log, names):
    """What `timed` of tests/bench/child has said of these."""
    seconds = {name: int(ticks) / 1e9 for name, ticks in re.findall(r"^bench (\w+) (\d+)", log, re.M)}
    expect(set(names) <= set(seconds), f"the child did not say all: {log}")
    return seconds


def read_counters(machine):
    lines = dict(line.split(" ", 1) for line in machine.run("counters").splitlines())
    return dict(zip(COUNTERS, map(int, lines["hypervisor"].split()))), [int(word) for word in lines["vp0"].split()]


def idle_worker_memory(machine, name):
    """Starts a child and leaves it running; what worker_memory says when it has come up."""
    machine.run(": > /run/child.log")
    machine.send(f"loam-worker -c /{name}.json > /dev/null &\n")
    machine.run("until grep -q '^up' /run/child.log; do sleep 1; done; sleep 2", BOOT_SECONDS)
    return worker_memory(machine.run("cat /proc/$(pidof loam-worker)/smaps", BOOT_SECONDS))


def worker_memory(maps):
    """
    (Private_Dirty, Rss) in KiB without the guest's memory and video memory, the mappings that are so large.
    What a file is read from counts for the second only: here all files are in memory, where pages are always dirty.
    """
    private = resident = 0
    for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", maps, flags=re.M)[1:]:
        values = {key: int(value) for key, value in re.findall(r"^(\w+): +(\d+) kB", mapping, re.M)}
        if values["Size"] < VIDEO_MEMORY:
            private += values["Private_Dirty"] if "w" in mapping.split()[1] else 0
            resident += values["Rss"]
    return private, resident


def hypervisor_sources(vendor):
    """What an image is made of: by the compiler's lists of what it read, and the assembler's objects."""
    built = f"{BUILD}/hypervisor/{vendor}"
    sources = {os.path.relpath(path, built).removesuffix(".o") for path in glob.glob(f"{built}/**/*.asm.o", recursive=True)}
    for path in glob.glob(f"{built}/**/*.d", recursive=True):
        with open(path, encoding="utf-8") as stream:
            sources.update(re.findall(r"(?:kernel|arch|drivers)/\S+\.[ch]\b", stream.read().split(":", 1)[1]))
    return sources


def count_lines(paths):
    """(All, those of code) of files named from the top."""
    lines = code = 0
    for path in paths:
        with open(f"{TOP}/{path}", encoding="utf-8") as stream:
            text = stream.read()
        lines += text.count("\n")
        code += lines_of_code(text, path.rsplit(".", 1)[1])
    return lines, code


def lines_of_code(text, suffix):
    """Lines with something other than comments on them. No string of the sources looks like the start of a comment."""
    comment = r";[^\n]*" if suffix == "asm" else r"/\*.*?\*/|//[^\n]*"
    return sum(1 for line in re.sub(comment, "", text, flags=re.S).split("\n") if line.strip())


def native_boot(kernel, initrd, line):
    """Seconds from power-on to the first process, on a PC without Loam."""
    output = subprocess.run(
        ["qemu-system-x86_64", "-machine", "pc", "-m", str(CHILD_MEMORY), "-accel", "tcg,thread=single", "-cpu",
         "EPYC,-svm", "-display", "none", "-nodefaults", "-no-reboot", "-nic", "none", "-serial", "stdio", *COUNTING,
         "-kernel", kernel, "-initrd", initrd, "-append", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, timeout=BOOT_SECONDS, check=True).stdout.decode(errors="replace")
    ticks = re.search(r"(\d{6,})\r?$", output, re.M)
    expect(ticks, f"the native kernel did not come up: {output}")
    return int(ticks.group(1)) / 1e9


GROUPS = {"sizes": Bench.sizes, "exits": Bench.exits, "parent": Bench.parent_exits, "child": Bench.child,
          "boot": Bench.boot, "firmware": Bench.firmware, "disk": Bench.disk, "pio": Bench.pio,
          "net": Bench.net, "engine": engine}


def main():
    chosen = sys.argv[1:] or list(GROUPS)
    unknown = set(chosen) - set(GROUPS)
    if unknown:
        sys.exit(f"bench.py: no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    with tempfile.TemporaryDirectory(prefix="loam-bench-") as directory:
        bench = Bench(directory)
        for name in chosen:
            try:
                GROUPS[name](bench)
            except (Failure, subprocess.SubprocessError, OSError) as error:
                bench.errors.append(f"{name}: {error}")
                print(f"{name}: {error}", file=sys.stderr, flush=True)
    missed = [name for name, figure in bench.figures.items() if figure["met"] is False]
    with open(os.path.join(BUILD, "bench.json"), "w", encoding="utf-8") as stream:
        json.dump({"figures": bench.figures, "errors": bench.errors}, stream, indent=2, ensure_ascii=False)
    print(f"{len(missed)} of {sum(1 for f in bench.figures.values() if f['budget'] is not None)} budgets missed"
          + "".join(f"\n  {name}" for name in missed))
    return 1 if bench.errors else 0


sys.exit(main())
