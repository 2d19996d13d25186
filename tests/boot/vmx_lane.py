# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests that do not run in Bochs, or only in `make test-vmx-full`, and why. All others run in both lanes."""

QEMU_MODEL = "is about a processor model or a chipset of QEMU"
NO_SECOND_PROCESSOR = "UEFI firmware finds one processor in Bochs; bios_test has the same with more"
NO_MONITOR = "changes or reads the machine from outside, which takes QEMU's monitor"
NO_THREADS = "Bochs has one thread for all processors"
NO_RESET = "a reset with two processors ends the emulation, without Loam too (docs/emulators.md)"
NO_X2APIC = "Linux declines x2APIC without interrupt remapping, which Bochs does not have"

# What Bochs 2.7 cannot do.
IMPOSSIBLE = {
    "address_test.device_memory_above_512_gib": "the device, ivshmem, is QEMU's",
    "address_test.device_memory_above_512_gib_without_1_gib_pages": "the device, ivshmem, is QEMU's",
    "address_test.gaps_between_apic_ids": "processors are plugged by QEMU's command line",
    "backports_test.x2apic_with_one_processor": NO_X2APIC,
    "backports_test.x2apic_with_two_processors": NO_X2APIC,
    "backports_test.apic_id_of_more_than_8_bits": NO_X2APIC,
    "bios_test.tsc_frequency_is_about_what_linux_finds": NO_MONITOR,
    "bios_test.stops_without_kernel_and_reports_mistakes": NO_MONITOR,
    "bios_test.stops_with_what_is_no_kernel": NO_MONITOR,
    "bios_test.stops_with_a_truncated_kernel": NO_MONITOR,
    "bios_test.stops_without_memory_for_the_kernel": NO_MONITOR,
    "bios_test.reboot_by_the_parent": NO_RESET,
    "boot_test.two_processors": NO_SECOND_PROCESSOR,
    "boot_test.four_processors": NO_SECOND_PROCESSOR,
    "boot_test.four_processors_at_once": NO_THREADS,
    "boot_test.i440fx_machine_512_mib": NO_SECOND_PROCESSOR,
    "boot_test.firmware_2m_cpu_max": QEMU_MODEL,
    "boot_test.without_mp_services": NO_SECOND_PROCESSOR,
    "boot_test.reboot_by_the_parent": NO_SECOND_PROCESSOR,
    "crash_test.reboot_with_a_running_vm": NO_RESET,
    "driver_test.on_a_fake_hypervisor": "there is no hypervisor in it that could be of a vendor",
    "driver_test.on_loam_with_two_processors_at_once": NO_THREADS,
    "fault_test.hypervisor_panics": NO_MONITOR,
    "fault_test.machine_check_goes_to_the_parent": NO_MONITOR,
    "host_test.log_sleep_and_exits_with_one_processor": "the machine cannot sleep: Bochs has no S4",
}

# What `make test` has no time for. Measured, in seconds of a processor of the host: a parent's start and end take 30 to 45
# on a BIOS, 60 with two processors, 100 on UEFI; a Linux child that does what the demo does takes 160. The figures below
# are sums of these.
BOOT = "a boot of 45 s"
UEFI_BOOT = "a boot of 100 s"
# Measured on a host with twice the work it has processors for: 15 to 30 s without the boot, GRUB to its graphics 195 s; the
# suite takes ten minutes.
FIRMWARE = "a boot of 45 s, which its suite's tests share, and a child that the firmware starts, 10 to 200 s"
SLOW = {
    "backports_test.newer_kernel": "a boot of 60 s",
    "bios_test.eight_gib_with_memory_above_4g": BOOT,
    "bios_test.hidden_memory_reads_as_zeros": "a boot of 60 s with two processors",
    "bios_test.kernel_with_32_bit_entry": BOOT,
    "bios_test.says_that_there_is_no_initrd": BOOT,
    "bios_test.without_memory_for_the_hypervisor": BOOT,
    "bios_test.without_virtualization": BOOT,
    "disk_test.differencing_disk": "a boot and two Linux children, 400 s",
    "disk_test.parent_at_a_url": "a boot and two Linux children, 400 s",
    "guest_kill_test.guests_keep_what_was_acknowledged": "a boot and five Linux children, 800 s",
    "boot_test.configuration_mistakes_are_reported": UEFI_BOOT,
    "boot_test.eight_gib_with_memory_above_4g": UEFI_BOOT,
    "boot_test.hidden_memory_reads_as_zeros": UEFI_BOOT,
    "boot_test.triple_fault_resets_the_machine": UEFI_BOOT,
    "boot_test.without_nested_paging": UEFI_BOOT,
    "boot_test.without_virtualization": UEFI_BOOT,
    "child_test.linux_with_four_processors": "a boot and two Linux children, 400 s",
    "child_test.linux_with_more_processors_than_the_host": "a boot and two Linux children, 400 s",
    "child_test.two_children_at_once": "a boot and two Linux children, 350 s",
    "crash_test.crash_kernel_with_a_running_vm": "two boots and the dump of a kernel, 400 s and more",
    "crash_test.halt_with_a_running_vm": "a boot of 60 s with two processors",
    "crash_test.hidden_memory_as_the_kernel_reads_it": "a boot, and all memory read, 100 s",
    "crash_test.kexec_with_a_running_vm": "two boots of 60 s",
    "driver_test.refuses_to_load_without_loam": BOOT,
    "driver_test.several_vps_with_four_processors": "a boot of 90 s with four processors",
    **{f"firmware_test.{name}": FIRMWARE for name in (
        "boot_menu", "dos_like_program", "empty_drives", "grub_from_disc", "grub_from_disc_as_floppy", "grub_from_floppy",
        "invaders", "memtest", "nothing_to_start_from")},
    "host_test.exits_with_two_processors": "a boot of 60 s",
    "install_test.debian_from_a_dvd": "an installation of Debian, an hour and more",
    "install_test.debian_with_four_processors": "a boot of Debian, an hour and more",
    "install_test.debian_with_one_processor": "a boot of Debian, an hour and more",
    "install_test.debian_with_two_processors": "a boot of Debian, an hour and more",
    "install_test.small_system_from_a_dvd": "a boot and two Linux children, 500 s",
    "install_test.two_debians_at_once": "two boots of Debian, hours",
    "manage_test.ends_are_explained": "a Linux child started twice and reset, 200 s and more",
    "manage_test.host_says_what_it_is": "a boot of 60 s with two processors",
    "manage_test.life_of_a_virtual_machine": "a Linux child that works, 250 s and more",
    "manage_test.mistakes_change_nothing": "a boot of 60 s with two processors",
    "manage_test.shutdown_of_the_parent_stops_it": "a Linux child, 150 s",
    "media_test.linux_child": "a Linux child that works, 250 s and more",
    "network_boot_test.kernel_by_http": "a boot, and iPXE that waits 25 s of its time, more than 100 s",
    "network_boot_test.scripts_by_http": "a boot, and iPXE that waits 25 s of its time, more than 100 s",
}


def names():
    return [*IMPOSSIBLE, *SLOW]


def reason_to_skip(lane, name):
    """None for a test that runs in this lane."""
    if lane == "svm":
        return None
    if name in IMPOSSIBLE:
        return IMPOSSIBLE[name]
    if lane == "vmx" and name in SLOW:
        return f"{SLOW[name]}: it is in make test-vmx-full"
    return None
