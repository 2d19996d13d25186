/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O APIC (82093AA datasheet) with 24 inputs and, as its version 20h says, an EOI register.
 *
 * An input's level here means asserted or not; the polarity bit is kept for the guest and changes nothing,
 * because the ACPI tables describe each input as it is wired.
 */
#ifndef WORKER_DEVICES_IOAPIC_H
#define WORKER_DEVICES_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"

#define IOAPIC_BASE   0xfec00000u
#define IOAPIC_INPUTS 24

enum ioapic_delivery_mode {
    IOAPIC_FIXED = 0,
    IOAPIC_LOWEST_PRIORITY = 1,
    IOAPIC_SMI = 2,
    IOAPIC_NMI = 4,
    IOAPIC_INIT = 5,
    IOAPIC_EXTINT = 7,
};

/* An interrupt on its way to local APICs. */
struct ioapic_message {
    uint8_t vector;
    enum ioapic_delivery_mode delivery_mode;
    bool logical; /* destination mode */
    uint8_t destination;
    bool level; /* level-triggered: the local APIC's EOI of the vector must come back by ioapic_eoi */
};

struct ioapic {
    uint32_t id;
    uint8_t selected; /* register index */
    uint64_t entries[IOAPIC_INPUTS];
    uint32_t lines; /* one bit an input */
    void (*deliver)(void *context, const struct ioapic_message *message);
    void *context;
};

/*
 * Claims the register page. `deliver` is called under the device lock; it must not call back into the I/O
 * APIC.
 */
bool ioapic_initialize(struct ioapic *ioapic, struct bus *bus,
                       void (*deliver)(void *, const struct ioapic_message *), void *context);
void ioapic_reset(struct ioapic *ioapic);

/* Drives input `pin`, 0 to 23. */
void ioapic_set(struct ioapic *ioapic, unsigned pin, bool level);

/*
 * A local APIC has ended a level-triggered interrupt: inputs of that vector that are still asserted send
 * again.
 */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

#endif
