/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX4 function 3 (82371AB datasheet, chapter 7; ACPI 2.0, 4.7): power management, 8086:7113. Sixty-four
 * ports at PMBASE with the PM1 registers, the 24-bit PM timer and general purpose event 0, whose status
 * bits stay clear: nothing on the board raises such an event. The SMI command ports are B2h-B3h; ACPI
 * commands take effect at once since there is no system management mode (for the same reason register 5Bh
 * tells firmware that SMIs are set up already). Raises the SCI, IRQ 9.
 */
#ifndef WORKER_DEVICES_PIIX4_PM_H
#define WORKER_DEVICES_PIIX4_PM_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/timer.h"
#include "partitions/root/worker/devices/pci.h"

/* Configuration registers that firmware sets. */
#define PIIX4_PM_BASE          0x40
#define PIIX4_PM_MISCELLANEOUS 0x80 /* bit 0: decode the ports at PMBASE */

/* Offsets from PMBASE. */
#define PIIX4_PM1_STATUS  0x00
#define PIIX4_PM1_ENABLE  0x02
#define PIIX4_PM1_CONTROL 0x04
#define PIIX4_PM_TIMER    0x08
#define PIIX4_GPE_STATUS  0x0c
#define PIIX4_GPE_ENABLE  0x0e
#define PIIX4_PM_LENGTH   0x40

#define PIIX4_SMI_COMMAND_PORT 0xb2
/* Values for the SMI command port. */
#define PIIX4_ACPI_ENABLE  0xf1
#define PIIX4_ACPI_DISABLE 0xf0

/* SLP_TYP that turns the machine off. */
#define PIIX4_SLEEP_TYPE_OFF 0

struct piix4_pm {
    struct pci_device pci;
    struct timer_queue *timers;
    struct timer timer; /* the PM timer's next interrupt */
    struct interrupt_line sci;
    void (*power_off)(void *context);
    void *context;

    uint16_t mapped_base; /* where the ports are mapped, 0: nowhere */
    uint16_t status;      /* PM1 */
    uint16_t enable;
    uint16_t control;
    uint64_t timer_checked; /* ticks of the PM timer up to which its status bit is computed */
    uint16_t general_status;
    uint16_t general_enable;
    uint8_t other[PIIX4_PM_LENGTH - 0x10]; /* registers from 10h on, which hold what is written */
    uint8_t smi_command;
    uint8_t smi_status;
};

/*
 * Joins the bus and claims ports B2h-B3h; false if a place is taken. power_off is called under the device
 * lock when the guest enters S5.
 */
bool piix4_pm_initialize(struct piix4_pm *pm, struct pci_bus *pci, struct timer_queue *timers,
                         struct interrupt_line sci, void (*power_off)(void *), void *context);

/* The real-time clock's alarm has asserted its interrupt. */
void piix4_pm_rtc_alarm(struct piix4_pm *pm);

/* A short press. Returns whether the guest has asked for that event: if not, nobody will react. */
bool piix4_pm_press_power_button(struct piix4_pm *pm);

#endif
