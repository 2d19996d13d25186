/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/host_bridge.h"

#include <string.h>

/* Registers (82441FX datasheet, 3.2). */
#define PMCCFG 0x50
#define PAM0   0x59
#define PAM6   0x5f
#define DRB0   0x60
#define FDHC   0x68
#define MTT    0x70
#define CLT    0x71
#define SMRAM  0x72
#define ERRCMD 0x90
#define ERRSTS 0x91

#define PAM_READ  0x1
#define PAM_WRITE 0x2

#define SMRAM_OPEN     0x40
#define SMRAM_CLOSED   0x20
#define SMRAM_LOCK     0x10
#define SMRAM_ENABLE   0x08
#define SMRAM_POWER_ON 0x02 /* A0000h-BFFFFh, the only segment there is */

static const struct pci_identity identity = {
    .vendor = 0x8086,
    .device = 0x1237,
    .revision = 2,
    .class_code = 0x060000,
    .command_writable = 0x0140, /* parity error response, SERR# */
    /* The 82441FX has none; by this one SeaBIOS knows that there is a firmware configuration device. */
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
};

/*
 * Four bits of PAM registers for each segment: PAM0's high half is F0000h-FFFFFh, the halves of PAM1 to PAM6,
 * low half first, are C0000h-EFFFFh in steps of 16 KiB.
 */
static uint8_t segment_bits(const struct host_bridge *bridge, unsigned segment)
{
    unsigned half = segment == HOST_BRIDGE_SEGMENTS - 1 ? 1 : segment + 2;

    return bridge->pci.config[PAM0 + half / 2] >> (half & 1 ? 4 : 0);
}

static void update_segments(struct host_bridge *bridge)
{
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++) {
        struct host_bridge_segment *segment = &bridge->segments[i];
        bool read_ram = segment_bits(bridge, i) & PAM_READ;
        bool write_ram = segment_bits(bridge, i) & PAM_WRITE;

        if (segment->read_ram == read_ram && segment->write_ram == write_ram)
            continue;
        segment->read_ram = read_ram;
        segment->write_ram = write_ram;
        bridge->shadow_changed(bridge->context, segment);
    }
}

static void config_written(void *device, unsigned offset, unsigned size)
{
    struct host_bridge *bridge = device;
    uint8_t smram = bridge->pci.config[SMRAM];

    if (offset <= SMRAM && SMRAM < offset + size && smram & SMRAM_LOCK)
        pci_set_byte(&bridge->pci, SMRAM, smram & ~SMRAM_OPEN, SMRAM_CLOSED);
    update_segments(bridge);
}

static void set_power_on_registers(struct host_bridge *bridge)
{
    struct pci_device *pci = &bridge->pci;

    pci_set_byte(pci, SMRAM, SMRAM_POWER_ON, SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE);
}

static void reset(void *device)
{
    struct host_bridge *bridge = device;

    set_power_on_registers(bridge); /* opens the lock */
    update_segments(bridge);
}

bool host_bridge_initialize(struct host_bridge *bridge, struct pci_bus *pci,
                            void (*shadow_changed)(void *, const struct host_bridge_segment *), void *context)
{
    struct pci_device *device = &bridge->pci;

    memset(bridge, 0, sizeof *bridge);
    bridge->shadow_changed = shadow_changed;
    bridge->context = context;
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++)
        bridge->segments[i] = (struct host_bridge_segment){.gpa = 0xc0000 + i * 0x4000, .length = 0x4000};
    bridge->segments[HOST_BRIDGE_SEGMENTS - 1].length = 0x10000;

    pci_device_initialize(device, &identity, bridge);
    pci_set_word(device, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, identity.command_writable);
    pci_set_word(device, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK_TO_BACK, 0);
    pci_set_byte(device, PCI_LATENCY_TIMER, 0, 0xf8);
    pci_set_word(device, PMCCFG, 0, 0xffff);
    for (unsigned offset = PAM0; offset <= PAM6; offset++)
        pci_set_byte(device, offset, 0, offset == PAM0 ? 0xf0 : 0xff);
    for (unsigned i = 0; i < 8; i++)
        pci_set_byte(device, DRB0 + i, 1, 0xff);
    pci_set_byte(device, FDHC, 0, 0xc0);
    pci_set_byte(device, MTT, 0, 0xf8);
    pci_set_byte(device, CLT, 0x10, 0xff);
    pci_set_byte(device, ERRCMD, 0, 0xff);
    device->write_one_to_clear[ERRSTS] = 0x11;
    set_power_on_registers(bridge);
    device->config_written = config_written;
    device->reset = reset;
    return pci_bus_add(pci, device, 0, 0);
}
