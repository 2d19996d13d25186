/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI bus 0 of a generation 1 machine (PCI Local Bus Specification 2.1): configuration mechanism #1, base
 * address registers, interrupt pins. A device embeds a struct pci_device, describes itself and joins the bus;
 * the bus then serves its configuration space, maps and unmaps its base address registers as the guest
 * programs them, and carries its interrupt pin. Everything runs under the device lock.
 *
 * To make a device:
 *   pci_device_initialize()   identity; command, latency timer and interrupt line become writable as usual
 *   pci_device_add_bar()      for each base address register
 *   pci_set_*()               registers of its own: power-on values and which bits the guest can change
 *   pci_bus_add()             what config[] holds now is what a reset restores
 */
#ifndef WORKER_DEVICES_PCI_H
#define WORKER_DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"

#define PCI_CONFIG_SIZE 256
#define PCI_SLOTS       32
#define PCI_FUNCTIONS   8
#define PCI_BARS        6

/* Offsets in configuration space (PCI 2.1, 6.1). */
#define PCI_VENDOR_ID        0x00
#define PCI_DEVICE_ID        0x02
#define PCI_COMMAND          0x04
#define PCI_STATUS           0x06
#define PCI_REVISION         0x08
#define PCI_CLASS            0x09 /* three bytes: programming interface, sub-class, base class */
#define PCI_CACHE_LINE_SIZE  0x0c
#define PCI_LATENCY_TIMER    0x0d
#define PCI_HEADER_TYPE      0x0e
#define PCI_BAR_0            0x10
#define PCI_SUBSYSTEM_VENDOR 0x2c
#define PCI_SUBSYSTEM        0x2e
#define PCI_INTERRUPT_LINE   0x3c
#define PCI_INTERRUPT_PIN    0x3d

#define PCI_COMMAND_IO     0x0001
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004

#define PCI_STATUS_FAST_BACK_TO_BACK 0x0080
#define PCI_STATUS_DEVSEL_MEDIUM     0x0200

#define PCI_HEADER_MULTI_FUNCTION 0x80

struct pci_bus;

struct pci_bar {
    bool present;
    enum bus_space space;
    uint32_t length; /* bytes, a power of two: ports 4 to 256, memory 16 and more */
    const struct bus_operations *operations;
    const char *name;
    /*
     * Memory that the guest may also see directly (NULL: registers). Called when accesses begin to reach the
     * operations at `address`, and with 0 when they no longer do.
     */
    void (*moved)(void *device, uint32_t address);
    /* The bus's: where it is mapped now. */
    bool mapped;
    uint32_t address;
};

/* Embedded in a device. All fields but config[] are the bus's once the device has been added. */
struct pci_device {
    uint8_t config[PCI_CONFIG_SIZE];   /* what the guest reads; the device may change registers of its own */
    uint8_t writable[PCI_CONFIG_SIZE]; /* bits that a guest's write changes */
    uint8_t write_one_to_clear[PCI_CONFIG_SIZE]; /* bits that a guest clears by writing 1 */
    uint8_t power_on[PCI_CONFIG_SIZE];           /* config[] as it was when the device was added */
    struct pci_bar bars[PCI_BARS];

    /*
     * Optional hooks; `device` is passed to them and to the operations of the base address registers.
     * config_written is called after a guest's write has taken effect, with the registers it touched; reset
     * after the bus has restored config[], unmapped the base address registers and lowered the interrupt pin.
     */
    void *device;
    void (*config_written)(void *device, unsigned offset, unsigned size);
    void (*reset)(void *device);

    struct pci_bus *bus;
    unsigned slot;
    unsigned function;
    bool interrupt; /* level of the pin as driven by the device */
};

struct pci_identity {
    uint16_t vendor;
    uint16_t device;
    uint8_t revision;
    uint32_t class_code; /* 24 bits: base class, sub-class, programming interface */
    uint16_t subsystem_vendor;
    uint16_t subsystem;
    uint8_t interrupt_pin;     /* 0: none, 1 to 4: INTA# to INTD# */
    uint16_t command_writable; /* PCI_COMMAND_* bits that exist in this device */
};

/* Where a pin of a device goes: pin 0 to 3 = INTA# to INTD#. */
typedef void pci_interrupt_function(void *context, unsigned slot, unsigned pin, bool level);

struct pci_bus {
    struct bus *bus;
    struct pci_device *devices[PCI_SLOTS][PCI_FUNCTIONS];
    uint32_t config_address; /* port CF8h */
    pci_interrupt_function *interrupt;
    void *interrupt_context;
    /* Port CF9h, the chipset's reset control, lies inside CF8h-CFBh: byte accesses to it go here if set. */
    const struct bus_operations *reset_control;
    void *reset_control_device;
};

/* Claims ports CF8h-CFFh of `bus`. False if something has claimed them. */
bool pci_bus_initialize(struct pci_bus *pci, struct bus *bus, pci_interrupt_function *interrupt,
                        void *context);

/* Every device back to its state at power-on. */
void pci_bus_reset(struct pci_bus *pci);

/* `device` must be zeroed; `owner` is what hooks and base address register operations get. */
void pci_device_initialize(struct pci_device *device, const struct pci_identity *identity, void *owner);

/* `index` 0 to 5, `length` as in struct pci_bar; misuse is a programming error (asserted). */
void pci_device_add_bar(struct pci_device *device, unsigned index, enum bus_space space, uint32_t length,
                        const struct bus_operations *operations, const char *name);

/*
 * The same for memory, which is prefetchable. Whoever makes it RAM of the guest when `moved` tells where it is takes
 * the accesses away from the operations.
 */
void pci_device_add_memory(struct pci_device *device, unsigned index, uint32_t length,
                           const struct bus_operations *operations, void (*moved)(void *, uint32_t), const char *name);

/*
 * Little-endian registers: the value now (and after reset, if before pci_bus_add) and the bits a guest may
 * change.
 */
void pci_set_byte(struct pci_device *device, unsigned offset, uint8_t value, uint8_t writable);
void pci_set_word(struct pci_device *device, unsigned offset, uint16_t value, uint16_t writable);
void pci_set_dword(struct pci_device *device, unsigned offset, uint32_t value, uint32_t writable);

uint16_t pci_word(const struct pci_device *device, unsigned offset);
uint32_t pci_dword(const struct pci_device *device, unsigned offset);

/*
 * False if slot (0-31) and function (0-7) are taken. The device stays the caller's and must outlive the bus.
 */
bool pci_bus_add(struct pci_bus *pci, struct pci_device *device, unsigned slot, unsigned function);

/*
 * A configuration access as the guest makes it; offset + size <= 256, size 1, 2 or 4. Absent devices read all
 * ones.
 */
uint32_t pci_config_read(struct pci_bus *pci, unsigned slot, unsigned function, unsigned offset,
                         unsigned size);
void pci_config_write(struct pci_bus *pci, unsigned slot, unsigned function, unsigned offset, unsigned size,
                      uint32_t value);

/* Drives the device's interrupt pin (level-triggered, shared: the router ORs all that share a wire). */
void pci_set_interrupt(struct pci_device *device, bool level);

/* May the device read and write guest memory? (command register, bit 2) */
bool pci_bus_master_enabled(const struct pci_device *device);

#endif
