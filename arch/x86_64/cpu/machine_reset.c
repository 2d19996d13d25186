/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/machine_reset.h"
#include "kernel/arch.h"

#define RESET_CONTROL_PORT    0xCF9 /* PCI reset control register: full reset */
#define RESET_CONTROL_PREPARE 0x02
#define RESET_CONTROL_RESET   0x06
#define KEYBOARD_COMMAND_PORT 0x64
#define KEYBOARD_PULSE_RESET  0xFE

static uint16_t acpi_port;
static uint8_t acpi_value;

void machine_reset_initialize(const struct boot_information *information)
{
    acpi_port = information->reset_port;
    acpi_value = information->reset_value;
}

static void wait_milliseconds(unsigned milliseconds)
{
    uint64_t end = rdtsc() + arch_tsc_frequency() / 1000 * milliseconds;

    while (rdtsc() < end)
        cpu_pause();
}

void machine_reset(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } HV_PACKED no_idt;

    if (acpi_port != 0) {
        out8(acpi_port, acpi_value);
        wait_milliseconds(50);
    }
    out8(RESET_CONTROL_PORT, RESET_CONTROL_PREPARE);
    out8(RESET_CONTROL_PORT, RESET_CONTROL_RESET);
    wait_milliseconds(50);
    out8(KEYBOARD_COMMAND_PORT, KEYBOARD_PULSE_RESET);
    wait_milliseconds(50);
    /* Last: a triple fault, with GIF = 1 so that nothing holds it back. */
    __asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
    for (;;)
        cpu_halt();
}
