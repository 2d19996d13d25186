# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine in QEMU, whose emulated processors have AMD-V."""
import os
import shutil
import socket
import subprocess

from check import expect
from console import COMMAND_SECONDS, Console

OVMF = "/usr/share/OVMF"


class Qemu(Console):
    USUAL = "EPYC,+svm,+npt"
    WITHOUT_VIRTUALIZATION = "EPYC,-svm"
    WITHOUT_NESTED_PAGING = "EPYC,+svm,-npt"
    # That kernel uses CMPXCHG16B everywhere, behind which this emulator leaves garbage in RFLAGS.
    FOR_KERNEL_6_12 = "EPYC,+svm,+npt,-cx16"
    UEFI = "4M"
    DISK = "/dev/vda"  # with UEFI
    DATA_DISK = "/dev/vdb"
    DISK_MODULES = ("module:virtio_pci", "module:virtio_blk")
    SHELL_COMES = "some seconds"
    FIRMWARE_LOW_PAGES = 0  # whole ones that a BIOS keeps for itself below 640 KiB

    def __init__(self, disk, processors=1, memory=1024, firmware=UEFI, reboot=False, cpu=USUAL, machine="q35", extra=(),
                 topology="", screen=False, qemu="qemu-system-x86_64", threads="single", data_disk=None):
        """What is written on the data disk stays."""
        super().__init__()
        interface = "ide-hd"
        flash = []
        if firmware != "BIOS":
            interface = "virtio-blk-pci"
            suffix = "_4M" if firmware == "4M" else ""
            variables = os.path.join(self.directory, "vars.fd")
            shutil.copy(f"{OVMF}/OVMF_VARS{suffix}.fd", variables)
            flash = ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF}/OVMF_CODE{suffix}.fd",
                     "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        self.command = [
            qemu, "-machine", machine, "-m", str(memory), "-smp",
            f"{processors},{topology}" if topology else str(processors), "-accel", f"tcg,thread={threads}", "-cpu",
            cpu, "-display", "none", "-nodefaults", *([] if reboot else ["-no-reboot"]), "-nic", "none",
            *flash,
            "-drive", f"if=none,id=disk,format=raw,file={disk},snapshot=on",
            "-device", f"{interface},drive=disk,bootindex=0", *(["-device", "VGA"] if screen else []),
            *(["-drive", f"if=none,id=data,format=raw,file={data_disk}", "-device", "virtio-blk-pci,drive=data"]
              if data_disk else []),
            "-monitor", f"unix:{self.directory}/monitor,server=on,wait=off",
            "-serial", "stdio", "-serial", f"file:{self.log_path}", *extra]

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.console, self.input = self.process.stdout.fileno(), self.process.stdin.fileno()

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.stdout.close()

    def _connect(self, name):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(COMMAND_SECONDS)
        connection.connect(os.path.join(self.directory, name))
        return connection

    def monitor(self, command):
        """A command to the emulator's monitor."""
        with self._connect("monitor") as connection:
            for text in ("", f"{command}\n"):
                connection.sendall(text.encode())
                answer = b""
                while not answer.endswith(b"(qemu) "):
                    data = connection.recv(4096)
                    expect(data, f"the emulator is gone after '{command}'")
                    answer += data

    def write_physical(self, address, data):
        """Changes memory from outside, past all that runs in the machine: by the emulator's debugger."""
        self.monitor(f"gdbserver unix:{self.directory}/debugger,server=on,wait=off")
        with self._connect("debugger") as connection:
            for packet in ("Qqemu.PhyMemMode:1", f"M{address:x},{len(data):x}:{data.hex()}", "D"):
                connection.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
                answer = b""
                while b"$OK#" not in answer:  # before it comes that the machine has stopped
                    data = connection.recv(4096)
                    expect(data and b"$E" not in answer, f"the debugger answers {packet} with {answer}")
                    answer += data
                connection.sendall(b"+")

    def read_physical(self, address, size):
        """Memory, from outside: hidden pages, too."""
        path = os.path.join(self.directory, "memory")
        self.monitor(f'pmemsave {address:#x} {size} "{path}"')
        with open(path, "rb") as stream:
            return stream.read()
