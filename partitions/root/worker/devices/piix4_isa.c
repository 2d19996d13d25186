/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/piix4_isa.h"

#include <string.h>

/* Registers (82371AB datasheet, 4.1). */
#define IORT     0x4c
#define XBCS     0x4e
#define SERIRQC  0x64
#define TOM      0x69
#define MSTAT    0x6a
#define MBDMA0   0x76
#define DLC      0x82
#define PDMACFG  0x90
#define DDMABASE 0x92
#define GENCFG   0xb0

#define PIRQ_DISABLED 0x80
#define PIRQ_WRITABLE 0x8f

#define RESET_HARD     0x02
#define RESET_NOW      0x04
#define RESET_WRITABLE 0x06

static const struct pci_identity identity = {
    .vendor = 0x8086,
    .device = 0x7110,
    .revision = 2,
    .class_code = 0x060100,
    .command_writable = 0x0108, /* special cycles, SERR# */
};

static void update_routes(struct piix4_isa *bridge)
{
    for (unsigned i = 0; i < 4; i++) {
        uint8_t route = bridge->pci.config[PIIX4_PIRQ_ROUTE + i];

        if (route == bridge->routes[i])
            continue;
        bridge->routes[i] = route;
        bridge->outputs.pirq_route(bridge->outputs.context, i, route);
    }
}

static void update_rtc(const struct piix4_isa *bridge)
{
    bridge->outputs.rtc_extended(bridge->outputs.context, bridge->pci.config[PIIX4_RTC] & PIIX4_RTC_EXTENDED);
}

static void config_written(void *device, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    update_routes(device);
    update_rtc(device);
}

static void reset(void *device)
{
    struct piix4_isa *bridge = device;

    bridge->reset_control = 0;
    update_routes(bridge);
    update_rtc(bridge);
}

static uint64_t reset_control_read(void *device, uint64_t offset, unsigned size)
{
    const struct piix4_isa *bridge = device;

    (void)offset;
    (void)size;
    return bridge->reset_control;
}

/* Soft or hard, the machine starts anew: both begin at the reset vector with the chipset reset. */
static void reset_control_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_isa *bridge = device;
    bool rising = value & RESET_NOW && !(bridge->reset_control & RESET_NOW);

    (void)offset;
    (void)size;
    bridge->reset_control = value & RESET_WRITABLE;
    if (rising)
        bridge->outputs.reset(bridge->outputs.context);
}

static const struct bus_operations reset_control_operations = {
    .read = reset_control_read, .write = reset_control_write, .widest = 1};

bool piix4_isa_initialize(struct piix4_isa *bridge, struct pci_bus *pci, const struct piix4_isa_outputs *outputs)
{
    struct pci_device *device = &bridge->pci;

    memset(bridge, 0, sizeof *bridge);
    bridge->outputs = *outputs;
    pci_device_initialize(device, &identity, bridge);
    pci_set_word(device, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                 identity.command_writable);
    pci_set_word(device, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK_TO_BACK, 0);
    pci_set_byte(device, PCI_HEADER_TYPE, PCI_HEADER_MULTI_FUNCTION, 0);
    pci_set_byte(device, IORT, 0x4d, 0xff);
    pci_set_word(device, XBCS, 0x0003, 0x07ff);
    for (unsigned i = 0; i < 4; i++)
        pci_set_byte(device, PIIX4_PIRQ_ROUTE + i, PIRQ_DISABLED, PIRQ_WRITABLE);
    pci_set_byte(device, SERIRQC, 0x10, 0xff);
    pci_set_byte(device, TOM, 0x02, 0xfa);
    pci_set_word(device, MSTAT, 0x0000, 0x8080);
    pci_set_word(device, MBDMA0, 0x0404, 0x8787);
    pci_set_byte(device, DLC, 0x00, 0x0f);
    pci_set_word(device, PDMACFG, 0x0000, 0xfcff);
    pci_set_dword(device, DDMABASE, 0, 0xffc0ffc0);
    pci_set_dword(device, GENCFG, 0, 0xffffffff);
    pci_set_byte(device, PIIX4_RTC, PIIX4_RTC_ENABLE, 0x3d);
    memset(bridge->routes, PIRQ_DISABLED, sizeof bridge->routes);
    device->config_written = config_written;
    device->reset = reset;
    pci->reset_control = &reset_control_operations;
    pci->reset_control_device = bridge;
    return pci_bus_add(pci, device, PIIX4_SLOT, PIIX4_ISA_FUNCTION);
}
