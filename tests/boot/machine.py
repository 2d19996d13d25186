# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine in QEMU that boots Loam, and the shell of its parent on the serial console."""
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(TOP, "build"))
OVMF = "/usr/share/OVMF"
BOOT_SECONDS = 180  # an emulator on a loaded machine; nothing is judged by time but that something hangs
COMMAND_SECONDS = 60
IMAGE_BASE = 0xFFFFFFFF80000000  # of the hypervisor


class Failure(Exception):
    """What a test says when it does not find what it expects."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def newest(pattern):
    import glob
    found = sorted(glob.glob(pattern))
    if not found:
        raise Failure(f"nothing matches {pattern}: run 'make packages'")
    return found[-1]


def cloud_kernel():
    return newest("/boot/vmlinuz-*-cloud-amd64")


def cloud_release():
    return os.path.basename(cloud_kernel()).removeprefix("vmlinuz-")


def driver(release=None):
    release = release or cloud_release()
    return os.path.join(BUILD, f"driver/{release}/mshv_loam.ko")


def build_initramfs(output, *entries, release=None):
    """A parent with busybox, the default image's init, and these entries of tools/initramfs.py."""
    subprocess.run([os.path.join(TOP, "tools/initramfs.py"), "--kernel", release or cloud_release(), output,
                    f"init={TOP}/partitions/root/image/init", "program:bin/busybox=/bin/busybox", *entries], check=True)
    return output


def build_esp(output, initramfs, configuration="", kernel=None, loam=None, cmdline="", extra=(), size=64):
    """An EFI system partition with loam.efi as its loader and a Linux parent."""
    kernel = kernel or cloud_kernel()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "loam.conf")
        with open(path, "w", encoding="ascii") as stream:
            stream.write("next = /vmlinuz\ninitrd = /initrd.img\n"
                         f"cmdline = console=ttyS0 no_timer_check panic=1 {cmdline}\nserial = com2\n{configuration}")
        loam = loam or os.path.join(BUILD, "loam.efi")
        subprocess.run([os.path.join(TOP, "tools/esp"), output, str(size), f"EFI/BOOT/BOOTX64.EFI={loam}",
                        f"EFI/loam/loam.conf={path}", f"vmlinuz={kernel}", f"initrd.img={initramfs}", *extra],
                       check=True)
    return output


def build_grub_disk(output, initramfs, settings="", kernel=None, cmdline="", modules=None, size=64):
    """A disk that a BIOS boots: GRUB starts loam.mb2 with these settings, and a Linux parent."""
    kernel = kernel or cloud_kernel()
    modules = modules if modules is not None else (
        f"module2 /vmlinuz console=ttyS0 no_timer_check panic=1 {cmdline}\nmodule2 /initrd.img\n")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "grub.cfg")
        with open(path, "w", encoding="ascii") as stream:
            stream.write("serial --unit=0 --speed=115200\nterminal_output console serial\n"
                         f"multiboot2 /boot/loam.mb2 serial=com2 {settings}\n{modules}boot\n")
        subprocess.run([os.path.join(TOP, "tools/grub-disk"), output, str(size), f"boot/grub/grub.cfg={path}",
                        f"boot/loam.mb2={BUILD}/loam.mb2", f"vmlinuz={kernel}", f"initrd.img={initramfs}"], check=True)
    return output


def symbol_offset(name, vendor="svm"):
    """Where a function or another symbol is in the hypervisor's image."""
    listing = subprocess.run(["nm", os.path.join(BUILD, f"hypervisor/{vendor}/loam.elf")], check=True, capture_output=True,
                             text=True).stdout
    return int(re.search(rf"^(\w+) \w {name}$", listing, re.M).group(1), 16) - IMAGE_BASE


class Machine:
    """`with Machine(esp) as machine:` starts it; machine.run(command) runs a command in the parent's shell."""

    def __init__(self, esp, processors=1, memory=1024, machine="q35", cpu="EPYC,+svm,+npt", firmware="4M", extra=(),
                 topology="", reboot=False, qemu="qemu-system-x86_64", threads="single"):
        self.directory = tempfile.mkdtemp(prefix="loam-test-")
        disk = "ide-hd"
        flash = []
        if firmware != "BIOS":
            disk = "virtio-blk-pci"
            code = f"{OVMF}/OVMF_CODE{'_4M' if firmware == '4M' else ''}.fd"
            variables = os.path.join(self.directory, "vars.fd")
            shutil.copy(f"{OVMF}/OVMF_VARS{'_4M' if firmware == '4M' else ''}.fd", variables)
            flash = ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
                     "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        self.log_path = os.path.join(self.directory, "loam.log")
        self.command = [
            qemu, "-machine", machine, "-m", str(memory), "-smp",
            f"{processors},{topology}" if topology else str(processors), "-accel", f"tcg,thread={threads}", "-cpu",
            cpu, "-display", "none", "-nodefaults", *([] if reboot else ["-no-reboot"]), "-nic", "none",
            *flash,
            "-drive", f"if=none,id=esp,format=raw,file={esp},snapshot=on",
            "-device", f"{disk},drive=esp,bootindex=0",
            "-monitor", f"unix:{self.directory}/monitor,server=on,wait=off",
            "-serial", "stdio", "-serial", f"file:{self.log_path}", *extra]
        self.output = b""
        self.process = None
        self.serial = 0

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        os.set_blocking(self.process.stdout.fileno(), False)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _read(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return False
        data = os.read(self.process.stdout.fileno(), 65536)
        self.output += data
        return bool(data)

    def read_all(self):
        """Takes what the console has said so far."""
        while self._read(0):
            pass

    def wait_for(self, pattern, seconds=COMMAND_SECONDS, start=0):
        """The match of a regular expression in what the console has said since `start`."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.compile(pattern.encode(), re.M).search(self.output, start)
            if match:
                return match
            if time.monotonic() > deadline or (not self._read(1) and self.process.poll() is not None):
                tail = self.output[-3000:].decode(errors="replace")
                raise Failure(f"no {pattern!r} on the console; it ends with:\n{tail}\n--- hypervisor's log:\n"
                              f"{self.log()[-2000:]}")

    def wait_for_shell(self, seconds=BOOT_SECONDS, start=0):
        """
        Another shell takes over that reads commands as a script, one after the other. The first one edits lines: it turns
        the terminal to and fro between two modes, and what is typed in that moment may read as an end of file.
        """
        self.wait_for(r"^/ # ", seconds, start)
        start = len(self.output)
        self.send("stty -echo; dmesg -n 1; echo shell=$((6 * 7)); exec sh /dev/console\n")
        self.wait_for(r"shell=42", BOOT_SECONDS, start)
        return self

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def try_run(self, command, seconds=COMMAND_SECONDS):
        """(exit status, output) of a shell command in the parent."""
        self.serial += 1
        start = len(self.output)
        marker = f"=={self.serial}"
        self.send(f"{command}\necho {marker}'='$?'='\n")
        match = self.wait_for(re.escape(marker) + r"=(\d+)=", seconds, start)
        text = self.output[start:match.start()].decode(errors="replace").replace("\r", "")
        return int(match.group(1)), text.strip()

    def run(self, command, seconds=COMMAND_SECONDS):
        """Output of a command that has to succeed."""
        status, output = self.try_run(command, seconds)
        expect(status == 0, f"'{command}' ended with {status}: {output}")
        return output

    def wait_for_end(self, seconds=COMMAND_SECONDS):
        """Waits until the machine has switched itself off (or, with -no-reboot, reset itself)."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            expect(time.monotonic() < deadline, "the machine did not stop")
            self._read(1)
        self.read_all()

    def power_off(self):
        self.send("poweroff -f\n")
        self.wait_for_end()

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

    def log(self):
        """The hypervisor's log, as it came over the second serial port."""
        try:
            with open(self.log_path, "rb") as stream:
                return stream.read().decode(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, seconds=COMMAND_SECONDS):
        """The first group of a regular expression in the hypervisor's log."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.log())
            if match:
                return match.group(1)
            expect(time.monotonic() < deadline, f"no {pattern!r} in the hypervisor's log:\n{self.log()}")
            time.sleep(0.2)
