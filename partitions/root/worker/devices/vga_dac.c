/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/vga_registers.h"

#include <string.h>

#define PORT_MASK        0x3c6
#define PORT_READ_INDEX  0x3c7 /* read: state */
#define PORT_WRITE_INDEX 0x3c8
#define PORT_DATA        0x3c9

#define STATE_WRITING 0x00
#define STATE_READING 0x03

static uint8_t component_bits(const struct vga_dac *dac)
{
    return dac->eight_bits ? 0xff : 0x3f;
}

static uint8_t read_data(struct vga_dac *dac)
{
    uint8_t value = dac->colors[dac->read_index][dac->component] & component_bits(dac);

    if (++dac->component == 3) {
        dac->component = 0;
        dac->read_index++;
    }
    return value;
}

/* A colour changes when its third component is there. */
static void write_data(struct vga_dac *dac, uint8_t value)
{
    if (dac->component < 2) {
        dac->written[dac->component++] = value;
        return;
    }
    memcpy(dac->colors[dac->write_index], dac->written, sizeof dac->written);
    dac->colors[dac->write_index][2] = value;
    dac->component = 0;
    dac->write_index++;
}

uint8_t vga_dac_read(struct vga_dac *dac, unsigned port)
{
    switch (port) {
    case PORT_MASK:
        return dac->mask;
    case PORT_READ_INDEX:
        return dac->reading ? STATE_READING : STATE_WRITING;
    case PORT_WRITE_INDEX:
        return dac->write_index;
    default:
        return read_data(dac);
    }
}

void vga_dac_write(struct vga_dac *dac, unsigned port, uint8_t value)
{
    switch (port) {
    case PORT_MASK:
        dac->mask = value;
        break;
    case PORT_READ_INDEX:
    case PORT_WRITE_INDEX:
        dac->reading = port == PORT_READ_INDEX;
        *(dac->reading ? &dac->read_index : &dac->write_index) = value;
        dac->component = 0;
        break;
    default:
        write_data(dac, value);
        break;
    }
}

void vga_dac_reset(struct vga_dac *dac)
{
    memset(dac, 0, sizeof *dac);
    dac->mask = 0xff;
}

uint32_t vga_dac_color(const struct vga_dac *dac, uint8_t index)
{
    const uint8_t *components = dac->colors[index];
    uint32_t color = 0;

    for (unsigned i = 0; i < 3; i++) {
        uint8_t value = components[i];

        if (!dac->eight_bits)
            value = (uint8_t)((value & 0x3f) << 2 | (value & 0x3f) >> 4);
        color = color << 8 | value;
    }
    return color;
}
