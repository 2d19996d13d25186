/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where interrupt wires go on the board.
 *
 * - ISA IRQ n (0-15): 8259A input n, and I/O APIC input n; but IRQ 0 goes to I/O APIC input 2, as on every PC
 *   (the MADT says so).
 * - PCI slot s, pin p (0 = INTA#): PIRQ (s - 1 + p) mod 4, as SeaBIOS takes for granted.
 * - PIRQ A-D (0-3): always I/O APIC inputs 16-19, and the ISA IRQ that PIIX4's PIRQRC registers name, if they
 *   route it.
 * - I/O APIC inputs 20-23: no 8259A sees them.
 *
 * So a guest that uses the 8259As sees PCI interrupts on the ISA IRQ in the device's interrupt line register
 * (or, by ACPI, the link device). One that uses the I/O APIC sees them on inputs 16-19 if it reads the ACPI
 * tables, and on the ISA IRQ's input if it reads the MP table, which SeaBIOS builds by the interrupt line
 * registers. Wires with several sources are asserted as long as one source asserts them.
 */
#ifndef WORKER_DEVICES_IRQ_ROUTER_H
#define WORKER_DEVICES_IRQ_ROUTER_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/devices/i8259.h"
#include "partitions/root/worker/devices/ioapic.h"

#define ISA_IRQS 16
#define PIRQS    4

#define IRQ_ROUTER_FIRST_PIRQ_INPUT 16 /* of the I/O APIC */

/* PIRQRC register (82371AB datasheet, 4.1.11). */
#define PIRQ_ROUTE_DISABLED 0x80

struct irq_router {
    struct i8259_pair *pic;
    struct ioapic *ioapic;
    bool isa[ISA_IRQS];
    uint32_t pirq_slots[PIRQS]; /* one bit for each slot that asserts the wire */
    uint8_t routes[PIRQS];      /* PIRQRC */
};

void irq_router_initialize(struct irq_router *router, struct i8259_pair *pic, struct ioapic *ioapic);

/* Lowers every wire and unroutes the PIRQs. Controllers are to be reset first. */
void irq_router_reset(struct irq_router *router);

/* The wire for the one device that drives ISA IRQ `irq` (0 to 15, not 2: the cascade has no wire). */
struct interrupt_line irq_router_isa_line(struct irq_router *router, unsigned irq);

/* The PIRQ to which a pin of a slot goes. */
static inline unsigned irq_router_pirq(unsigned slot, unsigned pin)
{
    return (slot + PIRQS - 1 + pin) % PIRQS;
}

/* The wire for the one device that drives I/O APIC input `input` (20 to 23). */
struct interrupt_line irq_router_input_line(struct irq_router *router, unsigned input);

/* For struct pci_bus: `context` is the router. */
void irq_router_set_pci(void *context, unsigned slot, unsigned pin, bool level);

/* PIRQRC of PIRQ `pirq` (0 to 3) has been written. */
void irq_router_set_route(struct irq_router *router, unsigned pirq, uint8_t route);

#endif
