/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/pci.h"

#include <assert.h>
#include <string.h>

#define CONFIG_ADDRESS_PORT 0xcf8
#define CONFIG_DATA_PORT    0xcfc
/* PCI 2.1, 3.2.2.3.2: bits 30-24 and 1-0 are reserved and read as zero. */
#define CONFIG_ADDRESS_ENABLE 0x80000000u
#define CONFIG_ADDRESS_BITS   0x80fffffcu

#define BAR_SPACE_PORTS  0x1u
#define BAR_PREFETCHABLE 0x8u
#define BAR_FLAGS(bar)  ((bar)->space == BUS_PORTS ? 0x3u : 0xfu)

void pci_set_byte(struct pci_device *device, unsigned offset, uint8_t value, uint8_t writable)
{
    device->config[offset] = value;
    device->writable[offset] = writable;
}

void pci_set_word(struct pci_device *device, unsigned offset, uint16_t value, uint16_t writable)
{
    pci_set_byte(device, offset, value & 0xff, writable & 0xff);
    pci_set_byte(device, offset + 1, value >> 8, writable >> 8);
}

void pci_set_dword(struct pci_device *device, unsigned offset, uint32_t value, uint32_t writable)
{
    pci_set_word(device, offset, value & 0xffff, writable & 0xffff);
    pci_set_word(device, offset + 2, value >> 16, writable >> 16);
}

uint16_t pci_word(const struct pci_device *device, unsigned offset)
{
    return (uint16_t)(device->config[offset] | device->config[offset + 1] << 8);
}

uint32_t pci_dword(const struct pci_device *device, unsigned offset)
{
    return pci_word(device, offset) | (uint32_t)pci_word(device, offset + 2) << 16;
}

void pci_device_initialize(struct pci_device *device, const struct pci_identity *identity, void *owner)
{
    device->device = owner;
    pci_set_word(device, PCI_VENDOR_ID, identity->vendor, 0);
    pci_set_word(device, PCI_DEVICE_ID, identity->device, 0);
    pci_set_word(device, PCI_COMMAND, 0, identity->command_writable);
    pci_set_byte(device, PCI_REVISION, identity->revision, 0);
    pci_set_byte(device, PCI_CLASS, identity->class_code & 0xff, 0);
    pci_set_word(device, PCI_CLASS + 1, identity->class_code >> 8 & 0xffff, 0);
    pci_set_byte(device, PCI_LATENCY_TIMER, 0, identity->command_writable & PCI_COMMAND_MASTER ? 0xf8 : 0);
    pci_set_word(device, PCI_SUBSYSTEM_VENDOR, identity->subsystem_vendor, 0);
    pci_set_word(device, PCI_SUBSYSTEM, identity->subsystem, 0);
    if (identity->interrupt_pin) {
        pci_set_byte(device, PCI_INTERRUPT_LINE, 0, 0xff);
        pci_set_byte(device, PCI_INTERRUPT_PIN, identity->interrupt_pin, 0);
    }
}

void pci_device_add_bar(struct pci_device *device, unsigned index, enum bus_space space, uint32_t length,
                        const struct bus_operations *operations, const char *name)
{
    uint32_t smallest = space == BUS_PORTS ? 4 : 16;

    assert(index < PCI_BARS && length >= smallest && (length & (length - 1)) == 0);
    assert(space == BUS_MEMORY || length <= 256);
    device->bars[index] = (struct pci_bar){
        .present = true, .space = space, .length = length, .operations = operations, .name = name};
    pci_set_dword(device, PCI_BAR_0 + 4 * index, space == BUS_PORTS ? BAR_SPACE_PORTS : 0, ~(length - 1));
}

void pci_device_add_memory(struct pci_device *device, unsigned index, uint32_t length,
                           const struct bus_operations *operations, void (*moved)(void *, uint32_t), const char *name)
{
    pci_device_add_bar(device, index, BUS_MEMORY, length, operations, name);
    device->bars[index].moved = moved;
    device->config[PCI_BAR_0 + 4 * index] |= BAR_PREFETCHABLE;
}

/*
 * Where the guest wants a base address register to be, or 0 for nowhere. Zero is what a reset leaves; a
 * register of all ones is being sized.
 */
static uint32_t wanted_address(const struct pci_device *device, unsigned index)
{
    const struct pci_bar *bar = &device->bars[index];
    uint16_t enable = bar->space == BUS_PORTS ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    uint32_t address = pci_dword(device, PCI_BAR_0 + 4 * index) & ~BAR_FLAGS(bar);

    if (!bar->present || !(pci_word(device, PCI_COMMAND) & enable) || address == ~(bar->length - 1))
        return 0;
    if (bar->space == BUS_PORTS && address > 0x10000 - bar->length)
        return 0;
    return address;
}

static void unmap_moved_bars(struct pci_device *device)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *bar = &device->bars[i];

        if (bar->mapped && bar->address != wanted_address(device, i)) {
            bus_remove(device->bus->bus, bar->space, bar->address, device->device);
            bar->mapped = false;
            if (bar->moved)
                bar->moved(device->device, 0);
        }
    }
}

static void map_bars(struct pci_device *device)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *bar = &device->bars[i];
        uint32_t address = wanted_address(device, i);

        if (bar->mapped || address == 0)
            continue;
        bar->mapped = bus_add(device->bus->bus, bar->space, address, bar->length, bar->operations,
                              device->device, bar->name);
        bar->address = address;
        if (bar->mapped && bar->moved)
            bar->moved(device->device, address);
    }
}

static void for_each_device(struct pci_bus *pci, void (*function)(struct pci_device *))
{
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
        for (unsigned i = 0; i < PCI_FUNCTIONS; i++)
            if (pci->devices[slot][i])
                function(pci->devices[slot][i]);
}

/*
 * After `device` changed where it wants to be. Every device gets another try to map: what this one leaves may
 * be what another was programmed to.
 */
static void update_mappings(struct pci_device *device)
{
    unmap_moved_bars(device);
    for_each_device(device->bus, map_bars);
}

static uint32_t all_ones(unsigned size)
{
    return UINT32_MAX >> (32 - 8 * size);
}

uint32_t pci_config_read(struct pci_bus *pci, unsigned slot, unsigned function, unsigned offset,
                         unsigned size)
{
    const struct pci_device *device = pci->devices[slot][function];
    uint32_t value = 0;

    if (!device)
        return all_ones(size);
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)device->config[offset + i] << (8 * i);
    return value;
}

void pci_config_write(struct pci_bus *pci, unsigned slot, unsigned function, unsigned offset, unsigned size,
                      uint32_t value)
{
    struct pci_device *device = pci->devices[slot][function];

    if (!device)
        return;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = value >> (8 * i) & 0xff;
        uint8_t writable = device->writable[offset + i];
        uint8_t cleared = device->write_one_to_clear[offset + i] & byte;

        device->config[offset + i] =
            ((device->config[offset + i] & ~writable) | (byte & writable)) & ~cleared;
    }
    update_mappings(device);
    if (device->config_written)
        device->config_written(device->device, offset, size);
}

static uint64_t address_read(void *context, uint64_t offset, unsigned size)
{
    struct pci_bus *pci = context;

    if (offset == 0 && size == 4)
        return pci->config_address;
    if (offset == 1 && size == 1 && pci->reset_control)
        return pci->reset_control->read(pci->reset_control_device, 0, 1);
    return UINT64_MAX;
}

static void address_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_bus *pci = context;

    if (offset == 0 && size == 4)
        pci->config_address = (uint32_t)value & CONFIG_ADDRESS_BITS;
    else if (offset == 1 && size == 1 && pci->reset_control)
        pci->reset_control->write(pci->reset_control_device, 0, 1, value);
}

/* Does CONFIG_ADDRESS select something on bus 0? There is no other bus. */
static bool config_selected(const struct pci_bus *pci)
{
    return (pci->config_address & CONFIG_ADDRESS_ENABLE) && (pci->config_address >> 16 & 0xff) == 0;
}

static uint64_t data_read(void *context, uint64_t offset, unsigned size)
{
    struct pci_bus *pci = context;
    uint32_t address = pci->config_address;

    if (!config_selected(pci))
        return UINT64_MAX;
    return pci_config_read(pci, address >> 11 & 31, address >> 8 & 7, (address & 0xfc) + (unsigned)offset,
                           size);
}

static void data_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_bus *pci = context;
    uint32_t address = pci->config_address;

    if (config_selected(pci))
        pci_config_write(pci, address >> 11 & 31, address >> 8 & 7, (address & 0xfc) + (unsigned)offset, size,
                         (uint32_t)value);
}

static const struct bus_operations address_operations = {.read = address_read, .write = address_write};
static const struct bus_operations data_operations = {.read = data_read, .write = data_write};

bool pci_bus_initialize(struct pci_bus *pci, struct bus *bus, pci_interrupt_function *interrupt,
                        void *context)
{
    memset(pci, 0, sizeof *pci);
    pci->bus = bus;
    pci->interrupt = interrupt;
    pci->interrupt_context = context;
    return bus_add(bus, BUS_PORTS, CONFIG_ADDRESS_PORT, 4, &address_operations, pci,
                   "PCI configuration address") &&
           bus_add(bus, BUS_PORTS, CONFIG_DATA_PORT, 4, &data_operations, pci, "PCI configuration data");
}

bool pci_bus_add(struct pci_bus *pci, struct pci_device *device, unsigned slot, unsigned function)
{
    assert(slot < PCI_SLOTS && function < PCI_FUNCTIONS);
    if (pci->devices[slot][function])
        return false;
    device->bus = pci;
    device->slot = slot;
    device->function = function;
    memcpy(device->power_on, device->config, sizeof device->power_on);
    pci->devices[slot][function] = device;
    return true;
}

static void reset_device(struct pci_device *device)
{
    memcpy(device->config, device->power_on, sizeof device->config);
    unmap_moved_bars(device);
    pci_set_interrupt(device, false);
    if (device->reset)
        device->reset(device->device);
}

void pci_bus_reset(struct pci_bus *pci)
{
    pci->config_address = 0;
    for_each_device(pci, reset_device);
}

/* The functions of one slot share its pins: a pin is asserted as long as one of them asserts it. */
static bool slot_pin_level(const struct pci_bus *pci, unsigned slot, uint8_t pin)
{
    for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
        const struct pci_device *device = pci->devices[slot][i];

        if (device && device->interrupt && device->config[PCI_INTERRUPT_PIN] == pin)
            return true;
    }
    return false;
}

void pci_set_interrupt(struct pci_device *device, bool level)
{
    struct pci_bus *pci = device->bus;
    uint8_t pin = device->config[PCI_INTERRUPT_PIN];

    if (pin == 0 || device->interrupt == level)
        return;
    device->interrupt = level;
    pci->interrupt(pci->interrupt_context, device->slot, pin - 1u, slot_pin_level(pci, device->slot, pin));
}

bool pci_bus_master_enabled(const struct pci_device *device)
{
    return pci_word(device, PCI_COMMAND) & PCI_COMMAND_MASTER;
}
