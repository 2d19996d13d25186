/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board of a generation 1 machine: its devices, wired to each other. The worker adds the devices that
 * carry data (IDE controller, network adapter), which find their bus and their interrupt lines here.
 *
 * - Slot 0: host bridge.
 * - Slot 7: PIIX4, with function 0 ISA bridge, 1 IDE, 3 power management.
 * - IRQs: 0 timer, 1 keyboard, 3 COM2, 4 COM1, 8 real-time clock, 9 SCI, 12 mouse, 14 and 15 IDE.
 * - HPET: I/O APIC inputs 20 to 23; or IRQs 0 and 8, which reach timer and real-time clock through it.
 * - PCI interrupt pins: irq_router.h.
 */
#ifndef WORKER_DEVICES_PLATFORM_H
#define WORKER_DEVICES_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/timer.h"
#include "partitions/root/worker/devices/host_bridge.h"
#include "partitions/root/worker/devices/hpet.h"
#include "partitions/root/worker/devices/i8042.h"
#include "partitions/root/worker/devices/i8237.h"
#include "partitions/root/worker/devices/i8254.h"
#include "partitions/root/worker/devices/i8259.h"
#include "partitions/root/worker/devices/ioapic.h"
#include "partitions/root/worker/devices/irq_router.h"
#include "partitions/root/worker/devices/mc146818.h"
#include "partitions/root/worker/devices/pci.h"
#include "partitions/root/worker/devices/piix4_isa.h"
#include "partitions/root/worker/devices/piix4_pm.h"
#include "partitions/root/worker/devices/system_ports.h"
#include "partitions/root/worker/devices/uart16550.h"

/*
 * Guest physical addresses: RAM is [0, A0000h), [C0000h, low end) and [4 GiB, ...); the low end is at most
 * PLATFORM_PCI_WINDOW. From there to the I/O APIC, PCI base address registers.
 */
#define PLATFORM_PCI_WINDOW     0xe0000000u
#define PLATFORM_PCI_WINDOW_END 0xfec00000u

/* What firmware sets, here and in the ACPI tables. */
#define PLATFORM_PM_BASE   0x600
#define PLATFORM_PCI_PORTS 0xc000 /* base address registers for ports, from here on */

#define PLATFORM_COM_PORTS 2

/* What leaves the board. All are called under the device lock; none may call back into the board. */
struct platform_outputs {
    void (*interrupt_request)(void *context, bool level); /* INTR: see i8259_acknowledge */
    void (*deliver)(void *context, const struct ioapic_message *message);
    void (*shadow_changed)(void *context, const struct host_bridge_segment *segment);
    void (*a20)(void *context, bool enabled);
    void (*reset)(void *context); /* of the machine: port CF9h, port 92h or the keyboard controller */
    void (*power_off)(void *context);
    void *context;
};

struct platform {
    struct platform_outputs outputs;
    struct bus *bus;
    struct timer_queue *timers;
    struct irq_router router;
    struct i8259_pair pic;
    struct ioapic ioapic;
    struct hpet hpet;
    struct i8237 dma;
    struct i8254 pit;
    struct mc146818 rtc;
    struct i8042 keyboard;
    struct system_ports system_ports;
    struct uart16550 com[PLATFORM_COM_PORTS];
    struct pci_bus pci;
    struct host_bridge host_bridge;
    struct piix4_isa isa;
    struct piix4_pm power;
    bool a20; /* address line 20 is there */
};

struct platform_configuration {
    uint64_t unix_time;       /* nanoseconds since 1970 at virtual time zero */
    uint64_t memory_below_4g; /* bytes */
    uint64_t memory_above_4g;
    const struct guest_memory *memory; /* for DMA; the caller's, as long as the board lives */
    struct uart16550_backend com[PLATFORM_COM_PORTS];
};

/* Builds the board on `bus` (initialised, empty). False if the bus has no room for it. */
bool platform_initialize(struct platform *platform, struct bus *bus, struct timer_queue *timers,
                         const struct platform_configuration *configuration, const struct platform_outputs *outputs);

/* Every device on the board and on the PCI bus back to its state at power-on. */
void platform_reset(struct platform *platform);

#endif
