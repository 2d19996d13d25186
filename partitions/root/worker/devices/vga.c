/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/vga_registers.h"

#include <string.h>

#define PORTS_MONOCHROME 0x3b0
#define PORTS_COLOR      0x3d0

#define PORT_CRTC_INDEX      0x3d4
#define PORT_CRTC_DATA       0x3d5
#define PORT_STATUS_1        0x3da /* written: feature control */
#define PORT_ATTRIBUTE       0x3c0
#define PORT_ATTRIBUTE_READ  0x3c1
#define PORT_MISCELLANEOUS   0x3c2 /* read: input status 0 */
#define PORT_ENABLE          0x3c3
#define PORT_SEQUENCER_INDEX 0x3c4
#define PORT_SEQUENCER_DATA  0x3c5
#define PORT_DAC_FIRST       0x3c6
#define PORT_DAC_LAST        0x3c9
#define PORT_FEATURE_READ    0x3ca
#define PORT_MISC_READ       0x3cc
#define PORT_GRAPHICS_INDEX  0x3ce
#define PORT_GRAPHICS_DATA   0x3cf

#define STATUS_0_SENSE            0x10 /* a monitor is connected */
#define STATUS_1_NOT_DISPLAYING   0x01
#define STATUS_1_VERTICAL_RETRACE 0x08

/* 640 of 800 dots of a line are visible. */
#define LINE_VISIBLE_NANOSECONDS (VGA_LINE_NANOSECONDS * 4 / 5)

#define REVISION 2 /* BAR 2 has the registers at 600h */

/* The subsystem is the one by which bochs-drm knows an adapter that needs no detection. */
static const struct pci_identity identity = {
    .vendor = 0x1234,
    .device = 0x1111,
    .revision = REVISION,
    .class_code = 0x030000,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .command_writable = PCI_COMMAND_IO | PCI_COMMAND_MEMORY,
};

/* Bits that exist. */
static const uint8_t sequencer_bits[VGA_SEQUENCER_REGISTERS] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t graphics_bits[VGA_GRAPHICS_REGISTERS] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
static const uint8_t attribute_bits[VGA_ATTRIBUTE_REGISTERS] = {
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, /* palette */
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};

/* ---- CRT controller ---- */

static uint8_t crtc_read(const struct vga *vga)
{
    return vga->crtc_index < VGA_CRTC_REGISTERS ? vga->crtc[vga->crtc_index] : 0;
}

/* Protected, registers 0 to 7 stay what they are, but for bit 8 of the line compare. */
static void crtc_write(struct vga *vga, uint8_t value)
{
    uint8_t index = vga->crtc_index;
    uint8_t writable = 0xff;

    if (index >= VGA_CRTC_REGISTERS)
        return;
    if (index <= CRTC_OVERFLOW && vga->crtc[CRTC_VERTICAL_RETRACE_END] & VERTICAL_RETRACE_PROTECT)
        writable = index == CRTC_OVERFLOW ? 0x10 : 0;
    vga->crtc[index] = (uint8_t)((vga->crtc[index] & ~writable) | (value & writable));
}

unsigned vga_crtc_vertical(const struct vga *vga, unsigned index, unsigned eighth, unsigned ninth)
{
    unsigned overflow = vga->crtc[CRTC_OVERFLOW];

    return vga->crtc[index] | (overflow >> eighth & 1) << 8 | (overflow >> ninth & 1) << 9;
}

struct vga_lines vga_lines(const struct vga *vga)
{
    struct vga_lines lines = {
        .total = vga_crtc_vertical(vga, CRTC_VERTICAL_TOTAL, 0, 5) + 2,
        .visible = vga_crtc_vertical(vga, CRTC_VERTICAL_DISPLAY_END, 1, 6) + 1,
    };

    if (vga_dispi_enabled(vga) || lines.total < 100 || lines.visible >= lines.total)
        return (struct vga_lines){449, 400};
    return lines;
}

/*
 * The whole vertical blanking counts as the retrace: it is the part of a frame that a guest waits for, and the true
 * retrace, 64 us long, could pass between two reads.
 */
static uint8_t status_1_read(struct vga *vga)
{
    struct vga_lines lines = vga_lines(vga);
    uint64_t now = timer_now(vga->configuration.timers);

    vga->attribute_data = false;
    if (now / VGA_LINE_NANOSECONDS % lines.total >= lines.visible)
        return STATUS_1_NOT_DISPLAYING | STATUS_1_VERTICAL_RETRACE;
    return now % VGA_LINE_NANOSECONDS >= LINE_VISIBLE_NANOSECONDS ? STATUS_1_NOT_DISPLAYING : 0;
}

/* ---- The other controllers ---- */

static uint8_t attribute_read(const struct vga *vga)
{
    unsigned index = vga->attribute_index & 0x1f;

    return index < VGA_ATTRIBUTE_REGISTERS ? vga->attribute[index] : 0;
}

static void attribute_write(struct vga *vga, uint8_t value)
{
    unsigned index = vga->attribute_index & 0x1f;

    if (!vga->attribute_data)
        vga->attribute_index = value & 0x3f;
    else if (index < VGA_ATTRIBUTE_REGISTERS)
        vga->attribute[index] = value & attribute_bits[index];
    vga->attribute_data = !vga->attribute_data;
}

static void sequencer_write(struct vga *vga, uint8_t value)
{
    if (vga->sequencer_index < VGA_SEQUENCER_REGISTERS)
        vga->sequencer[vga->sequencer_index] = value & sequencer_bits[vga->sequencer_index];
    vga_window_changed(vga);
}

static void graphics_write(struct vga *vga, uint8_t value)
{
    if (vga->graphics_index < VGA_GRAPHICS_REGISTERS)
        vga->graphics[vga->graphics_index] = value & graphics_bits[vga->graphics_index];
    vga_window_changed(vga);
}

/* ---- Ports ---- */

/* The CRT controller's ports are in one of two places. False: this is the other one. */
static bool crtc_place(const struct vga *vga, unsigned *port)
{
    bool color = vga->miscellaneous & MISCELLANEOUS_COLOR;

    if (*port >= PORTS_COLOR)
        return color;
    if (*port >= PORT_ATTRIBUTE)
        return true;
    *port += PORTS_COLOR - PORTS_MONOCHROME;
    return !color;
}

uint8_t vga_port_read(struct vga *vga, unsigned port)
{
    if (!crtc_place(vga, &port))
        return 0xff;
    if (port >= PORT_DAC_FIRST && port <= PORT_DAC_LAST)
        return vga_dac_read(&vga->dac, port);
    switch (port) {
    case PORT_ATTRIBUTE:
        return vga->attribute_index;
    case PORT_ATTRIBUTE_READ:
        return attribute_read(vga);
    case PORT_MISCELLANEOUS:
        return STATUS_0_SENSE;
    case PORT_ENABLE:
        return 1;
    case PORT_SEQUENCER_INDEX:
        return vga->sequencer_index;
    case PORT_SEQUENCER_DATA:
        return vga->sequencer_index < VGA_SEQUENCER_REGISTERS ? vga->sequencer[vga->sequencer_index] : 0;
    case PORT_FEATURE_READ:
        return vga->feature;
    case PORT_MISC_READ:
        return vga->miscellaneous;
    case PORT_GRAPHICS_INDEX:
        return vga->graphics_index;
    case PORT_GRAPHICS_DATA:
        return vga->graphics_index < VGA_GRAPHICS_REGISTERS ? vga->graphics[vga->graphics_index] : 0;
    case PORT_CRTC_INDEX:
        return vga->crtc_index;
    case PORT_CRTC_DATA:
        return crtc_read(vga);
    case PORT_STATUS_1:
        return status_1_read(vga);
    default:
        return 0xff;
    }
}

void vga_port_write(struct vga *vga, unsigned port, uint8_t value)
{
    if (!crtc_place(vga, &port))
        return;
    if (port >= PORT_DAC_FIRST && port <= PORT_DAC_LAST) {
        vga_dac_write(&vga->dac, port, value);
        return;
    }
    switch (port) {
    case PORT_ATTRIBUTE:
        attribute_write(vga, value);
        break;
    case PORT_MISCELLANEOUS:
        vga->miscellaneous = value;
        vga_window_changed(vga);
        break;
    case PORT_SEQUENCER_INDEX:
        vga->sequencer_index = value;
        break;
    case PORT_SEQUENCER_DATA:
        sequencer_write(vga, value);
        break;
    case PORT_GRAPHICS_INDEX:
        vga->graphics_index = value;
        break;
    case PORT_GRAPHICS_DATA:
        graphics_write(vga, value);
        break;
    case PORT_CRTC_INDEX:
        vga->crtc_index = value;
        break;
    case PORT_CRTC_DATA:
        crtc_write(vga, value);
        break;
    case PORT_STATUS_1:
        vga->feature = value;
        break;
    }
}

/* Not all from 3B0h on: 3BCh is a parallel port's. */
static const struct {
    uint16_t first, length;
    const char *name;
} port_ranges[VGA_PORT_RANGES] = {
    {0x3b4, 2,  "VGA CRT controller"},
    {0x3ba, 1,  "VGA status"        },
    {0x3c0, 16, "VGA"               },
    {0x3d4, 2,  "VGA CRT controller"},
    {0x3da, 1,  "VGA status"        },
};

static uint64_t port_read(void *device, uint64_t offset, unsigned size)
{
    const struct vga_ports *ports = device;

    (void)size;
    return vga_port_read(ports->vga, ports->first + (unsigned)offset);
}

static void port_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct vga_ports *ports = device;

    (void)size;
    vga_port_write(ports->vga, ports->first + (unsigned)offset, (uint8_t)value);
}

static const struct bus_operations port_operations = {.read = port_read, .write = port_write, .widest = 1};

static bool add_ports(struct vga *vga, struct bus *bus)
{
    for (unsigned i = 0; i < VGA_PORT_RANGES; i++) {
        vga->ports[i] = (struct vga_ports){vga, port_ranges[i].first};
        if (!bus_add(bus, BUS_PORTS, port_ranges[i].first, port_ranges[i].length, &port_operations, &vga->ports[i],
                     port_ranges[i].name))
            return false;
    }
    return bus_add(bus, BUS_PORTS, DISPI_PORT_INDEX, DISPI_PORTS, &vga_dispi_operations, vga, "VGA dispi");
}

static void reset(void *device)
{
    struct vga *vga = device;

    vga->miscellaneous = 0;
    vga->feature = 0;
    vga->sequencer_index = 0;
    memset(vga->sequencer, 0, sizeof vga->sequencer);
    vga->crtc_index = 0;
    memset(vga->crtc, 0, sizeof vga->crtc);
    vga->graphics_index = 0;
    memset(vga->graphics, 0, sizeof vga->graphics);
    vga->attribute_index = 0;
    memset(vga->attribute, 0, sizeof vga->attribute);
    vga->attribute_data = false;
    vga->latch = 0;
    vga_dac_reset(&vga->dac);
    vga_dispi_reset(vga);
    vga_window_changed(vga);
}

bool vga_initialize(struct vga *vga, struct pci_bus *pci, unsigned slot, const struct vga_configuration *configuration)
{
    vga->configuration = *configuration;
    pci_device_initialize(&vga->pci, &identity, vga);
    pci_device_add_memory(&vga->pci, VGA_BAR_MEMORY, VGA_MEMORY_SIZE, &vga_memory_operations, vga_memory_moved,
                          "VGA frame buffer");
    pci_device_add_bar(&vga->pci, VGA_BAR_REGISTERS, BUS_MEMORY, VGA_REGISTERS_LENGTH, &vga_register_operations,
                       "VGA registers");
    vga->pci.reset = reset;
    reset(vga);
    return add_ports(vga, pci->bus) &&
           bus_add(pci->bus, BUS_MEMORY, VGA_WINDOW, VGA_WINDOW_LENGTH, &vga_window_operations, vga, "VGA window") &&
           pci_bus_add(pci, &vga->pci, slot, 0);
}
