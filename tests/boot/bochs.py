# SPDX-License-Identifier: GPL-2.0-or-later
"""
A machine in Bochs, whose emulated processors have VT-x (and AMD-V, in other models). docs/emulators.md: what it can do.

One tick of its time stamp counter is one instruction, and all time in the machine follows from that.
"""
import os
import re
import shutil
import socket
import subprocess

from check import expect
from console import COMMAND_SECONDS, Console

OVMF = "/usr/share/OVMF"
INSTRUCTIONS_PER_SECOND = 50_000_000  # of the machine's time
START_SECONDS = 60
HOST_MEMORY = 2048  # MiB; of more than that it keeps the rest in a file
CONFIGURATION = """\
config_interface: textconfig
display_library: rfb, options="timeout=0"
plugin_ctrl: unmapped=1, biosdev=1, speaker=0, parallel=0, extfpuirq=1, gameport=0, iodebug=0
cpu: model={cpu}, count={processors}:1:1, ips={ips}, quantum=16, reset_on_triple_fault=1, ignore_bad_msrs=1
memory: guest={memory}, host={host_memory}
{rom}
vgaromimage: file=/usr/share/vgabios/vgabios.bin
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, mode=flat, path=disk.img
{data}
boot: disk
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
com2: enabled=1, mode=file, dev=loam.log
clock: sync=none, time0=1700000000, rtc_sync=0
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=report
debug: action=ignore
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
port_e9_hack: enabled=1
"""  # by that port Loam knows this emulator


class Bochs(Console):
    """It always has a screen, and one chipset. Models of processors are those that `bochs-bin --help cpu` lists."""
    PATIENCE = 6
    USUAL = "corei7_haswell_4770"
    WITHOUT_VIRTUALIZATION = "p4_prescott_celeron_336"
    WITHOUT_NESTED_PAGING = "core2_penryn_t9600"
    FOR_KERNEL_6_12 = USUAL
    UEFI = "2M"
    DISK = "/dev/sda"
    DATA_DISK = "/dev/sdb"
    DISK_MODULES = ("module:ata_piix", "module:sd_mod")
    SHELL_COMES = "one to two minutes"
    FIRMWARE_LOW_PAGES = 1

    def __init__(self, disk, processors=1, memory=1024, firmware="BIOS", reboot=False, cpu=USUAL, machine="pc",
                 screen=True, data_disk=None):
        """What is written on the data disk stays."""
        super().__init__()
        expect(machine == "pc", "Bochs has no other chipset than the i440FX")
        expect(firmware == "BIOS" or processors == 1, "OVMF finds no ACPI tables in Bochs, so there is one processor")
        self.firmware, self.reboot = firmware, reboot
        shutil.copy(disk, os.path.join(self.directory, "disk.img"))
        if firmware == "BIOS":
            rom = "romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot"
        else:
            rom = "romimage: file=firmware.fd, address=0xffe00000"
            self._write("firmware.fd", *(f"{OVMF}/OVMF_{part}.fd" for part in ("VARS", "CODE")))
        # The emulator connects to it, so that no machine takes another's port.
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connection = None
        with open(os.path.join(self.directory, "bochsrc"), "w", encoding="ascii") as stream:
            stream.write(CONFIGURATION.format(
                cpu=cpu, processors=processors, ips=INSTRUCTIONS_PER_SECOND, memory=memory,
                host_memory=min(memory, HOST_MEMORY), rom=rom, port=self.listener.getsockname()[1],
                data=f"ata0-slave: type=disk, mode=flat, path={data_disk}" if data_disk else ""))
        # The package has the debugger, which waits for a command.
        with open(os.path.join(self.directory, "commands"), "w", encoding="ascii") as stream:
            stream.write("c\n")

    def _write(self, name, *sources):
        with open(os.path.join(self.directory, name), "wb") as output:
            for source in sources:
                with open(source, "rb") as stream:
                    shutil.copyfileobj(stream, output)

    def start(self):
        with open(os.path.join(self.directory, "output"), "wb") as output:
            self.process = subprocess.Popen(["bochs-bin", "-q", "-f", "bochsrc", "-rc", "commands"], cwd=self.directory,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        self.listener.settimeout(START_SECONDS)
        try:
            self.connection, _ = self.listener.accept()
        except TimeoutError:
            self.connection = None
        expect(self.connection, f"Bochs did not start{self.last_words()}")
        self.console = self.input = self.connection.fileno()

    def close(self):
        self.listener.close()
        if self.connection:
            self.connection.close()

    def _emulator_says(self, pattern, name="bochs.log"):
        try:
            with open(os.path.join(self.directory, name), encoding="utf-8", errors="replace") as stream:
                return re.findall(pattern, stream.read(), re.M)
        except FileNotFoundError:
            return []

    def ended(self):
        """After a reset it runs on, which its log tells from the one at power-on."""
        return super().ended() or (not self.reboot and len(self._emulator_says(r"bx_pc_system_c::Reset\(")) > 1)

    def last_words(self):
        return "".join(f"\n--- Bochs: {line}" for line in self._emulator_says(r"^\d+p.*$") +
                       self._emulator_says(r"^.*>>PANIC<<.*$", "output"))

    def power_off(self):
        """Without ACPI, which needs what the UEFI firmware does not find here, Linux stops at the end."""
        if self.firmware == "BIOS":
            super().power_off()
            return
        start = len(self.output)
        self.send("poweroff -f\n")
        self.wait_for(r"reboot: (Power down|System halted)", COMMAND_SECONDS, start)
