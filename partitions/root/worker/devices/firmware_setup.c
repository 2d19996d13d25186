/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/firmware_setup.h"

#include <stdint.h>

#define PAM0 0x59
#define PAM6 0x5f

#define NO_IRQ 0xff

/* PIRQ A to D go to the IRQs that no ISA device has. */
static const uint8_t pirq_irqs[PIRQS] = {10, 11, 10, 11};
#define LEVEL_IRQS (1u << 9 | 1u << 10 | 1u << 11)
#define SCI_IRQ    9

static const struct {
    uint16_t port;
    uint8_t value;
} port_writes[] = {
    {0x20,  0x11             }, /* 8259As: ICW1 to ICW4, vectors 08h and 70h */
    {0x21,  0x08             },
    {0x21,  0x04             },
    {0x21,  0x01             },
    {0xa0,  0x11             },
    {0xa1,  0x70             },
    {0xa1,  0x02             },
    {0xa1,  0x01             },
    {0x21,  0xff             }, /* all inputs masked */
    {0xa1,  0xff             },
    {0x4d0, LEVEL_IRQS & 0xff},
    {0x4d1, LEVEL_IRQS >> 8  },
    {0xd6,  0xc0             }, /* DMA: channel 4 cascades */
    {0xd4,  0x00             },
    {0x64,  0x60             }, /* keyboard and mouse: both interrupts, system flag, translation */
    {0x60,  0x47             },
};

/* Addresses given out so far. */
struct windows {
    uint64_t next[BUS_SPACE_COUNT];
};

static const uint64_t window_first[BUS_SPACE_COUNT] = {
    [BUS_PORTS] = PLATFORM_PCI_PORTS,
    [BUS_MEMORY] = PLATFORM_PCI_WINDOW,
};
static const uint64_t window_end[BUS_SPACE_COUNT] = {
    [BUS_PORTS] = 0x10000,
    [BUS_MEMORY] = PLATFORM_PCI_WINDOW_END,
};

static void config_write(struct pci_device *device, unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(device->bus, device->slot, device->function, offset, size, value);
}

static bool place_bar(struct pci_device *device, unsigned index, struct windows *windows)
{
    const struct pci_bar *bar = &device->bars[index];
    uint64_t address;

    if (!bar->present)
        return true;
    address = (windows->next[bar->space] + bar->length - 1) & ~(uint64_t)(bar->length - 1);
    if (address + bar->length > window_end[bar->space])
        return false;
    windows->next[bar->space] = address + bar->length;
    config_write(device, PCI_BAR_0 + 4 * index, 4, (uint32_t)address);
    return true;
}

static uint8_t interrupt_line(const struct pci_device *device)
{
    uint8_t pin = device->config[PCI_INTERRUPT_PIN];

    if (device->slot == PIIX4_SLOT && device->function == PIIX4_POWER_FUNCTION)
        return SCI_IRQ;
    return pin ? pirq_irqs[irq_router_pirq(device->slot, pin - 1u)] : NO_IRQ;
}

static bool set_up_device(struct pci_device *device, struct windows *windows)
{
    for (unsigned i = 0; i < PCI_BARS; i++)
        if (!place_bar(device, i, windows))
            return false;
    config_write(device, PCI_INTERRUPT_LINE, 1, interrupt_line(device));
    config_write(device, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return true;
}

static void set_up_chipset(struct platform *platform)
{
    for (unsigned i = 0; i < sizeof port_writes / sizeof port_writes[0]; i++)
        bus_write(platform->bus, BUS_PORTS, port_writes[i].port, 1, port_writes[i].value);
    for (unsigned offset = PAM0; offset <= PAM6; offset++)
        config_write(&platform->host_bridge.pci, offset, 1, 0x33);
    for (unsigned i = 0; i < PIRQS; i++)
        config_write(&platform->isa.pci, PIIX4_PIRQ_ROUTE + i, 1, pirq_irqs[i]);
    config_write(&platform->isa.pci, PIIX4_RTC, 1, PIIX4_RTC_ENABLE | PIIX4_RTC_EXTENDED);
    config_write(&platform->power.pci, PIIX4_PM_BASE, 4, PLATFORM_PM_BASE);
    config_write(&platform->power.pci, PIIX4_PM_MISCELLANEOUS, 1, 1);
}

bool firmware_setup(struct platform *platform)
{
    struct windows windows = {
        .next = {[BUS_PORTS] = window_first[BUS_PORTS], [BUS_MEMORY] = window_first[BUS_MEMORY]}
    };

    set_up_chipset(platform);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
        for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
            struct pci_device *device = platform->pci.devices[slot][i];

            if (device && !set_up_device(device, &windows))
                return false;
        }
    return true;
}
