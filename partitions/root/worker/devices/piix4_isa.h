/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX4 function 0 (82371AB datasheet, chapter 4): the PCI to ISA bridge, 8086:7110. Routes the PIRQs by
 * registers 60h-63h, enables the real-time clock's extended bank by register CBh, and has the reset control register,
 * port CF9h. The other functions of the chip share its
 * slot.
 */
#ifndef WORKER_DEVICES_PIIX4_ISA_H
#define WORKER_DEVICES_PIIX4_ISA_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/pci.h"

#define PIIX4_SLOT           7
#define PIIX4_ISA_FUNCTION   0
#define PIIX4_IDE_FUNCTION   1
#define PIIX4_POWER_FUNCTION 3

/* Registers that firmware sets. */
#define PIIX4_PIRQ_ROUTE   0x60 /* of PIRQ A; B, C and D follow */
#define PIIX4_RTC          0xcb
#define PIIX4_RTC_ENABLE   0x21 /* its value after a reset: positive decode of the standard bank's ports */
#define PIIX4_RTC_EXTENDED 0x04 /* and of the extended bank's */

struct piix4_isa_outputs {
    void (*pirq_route)(void *context, unsigned pirq, uint8_t route); /* PIRQRC of PIRQ 0 to 3 has changed */
    void (*reset)(void *context);                                    /* of the machine */
    void (*rtc_extended)(void *context, bool enabled); /* ports 72h and 73h have become the extended bank's, or not */
    void *context;
};

struct piix4_isa {
    struct pci_device pci;
    struct piix4_isa_outputs outputs;
    uint8_t routes[4];     /* as last told */
    uint8_t reset_control; /* port CF9h */
};

/* Joins the bus and takes port CF9h; false if its place is taken. Callbacks run under the device lock. */
bool piix4_isa_initialize(struct piix4_isa *bridge, struct pci_bus *pci, const struct piix4_isa_outputs *outputs);

#endif
