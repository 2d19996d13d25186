# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests that do not run in Bochs, or only in `make test-vmx-full`, and why. All others run in both lanes."""

QEMU_MODEL = "is about a processor model or a chipset of QEMU"
NO_SECOND_PROCESSOR = "UEFI firmware finds one processor in Bochs; bios_test has the same with more"
NO_MONITOR = "changes or reads the machine from outside, which takes QEMU's monitor"
NO_THREADS = "Bochs has one thread for all processors"
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
    "boot_test.two_processors": NO_SECOND_PROCESSOR,
    "boot_test.four_processors": NO_SECOND_PROCESSOR,
    "boot_test.four_processors_at_once": NO_THREADS,
    "boot_test.i440fx_machine_512_mib": NO_SECOND_PROCESSOR,
    "boot_test.firmware_2m_cpu_max": QEMU_MODEL,
    "boot_test.without_mp_services": NO_SECOND_PROCESSOR,
    "boot_test.reboot_by_the_parent": NO_SECOND_PROCESSOR,
    "driver_test.on_a_fake_hypervisor": "there is no hypervisor in it that could be of a vendor",
    "driver_test.on_loam_with_two_processors_at_once": NO_THREADS,
    "fault_test.hypervisor_panics": NO_MONITOR,
    "fault_test.machine_check_goes_to_the_parent": NO_MONITOR,
    "host_test.log_sleep_and_exits_with_one_processor": "the machine cannot sleep: Bochs has no S4",
}

# What `make test` has no time for: seconds that it took on an otherwise idle machine.
SLOW = {
}


def reason_to_skip(lane, name):
    """None for a test that runs in this lane."""
    if lane == "svm":
        return None
    if name in IMPOSSIBLE:
        return IMPOSSIBLE[name]
    if lane == "vmx" and name in SLOW:
        return f"takes {SLOW[name]} s: make test-vmx-full"
    return None
