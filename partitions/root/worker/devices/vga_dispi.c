/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dispi registers (Bochs's "VBE display interface", version B0C5h), by ports 1CEh-1D1h and in BAR 2. */
#include "partitions/root/worker/devices/vga_registers.h"

#include <string.h>

#define VERSION_FIRST         0xb0c0
#define VERSION               0xb0c5
#define MAXIMUM_BPP           32
#define DEFAULT_BPP           8
#define SMALLEST              8 /* pixels, and what widths are multiples of */
#define MAXIMUM_VIRTUAL_WIDTH 8192u

/* BAR 2. */
#define REGISTERS_PORTS      0x400 /* VGA ports 3C0h-3DFh */
#define REGISTERS_DISPI      0x500
#define REGISTERS_EXTENSION  0x600 /* how many bytes of registers there are from here on */
#define REGISTERS_ENDIANNESS 0x604
#define EXTENSION_LENGTH     8
#define FIRST_PORT           0x3c0
#define PORTS_LENGTH         0x20
#define BIG_ENDIAN_PIXELS    0xbebebebeu
#define LITTLE_ENDIAN_PIXELS 0x1e1e1e1eu

/*
 * EDID 1.4 (VESA Enhanced EDID Standard) of a monitor that likes 1024 x 768 best. The last byte, which makes the sum of
 * all zero, is computed.
 */
static const uint8_t edid[127] = {
    0x00,
    0xff,
    0xff,
    0xff,
    0xff,
    0xff,
    0xff,
    0x00, /* header */
    0x31,
    0xed,
    0x01,
    0x00,
    0x00,
    0x00,
    0x00,
    0x00,
    0x00,
    0x24, /* manufacturer LOM, product 1, 2026 */
    0x01,
    0x04,
    0xa5,
    0x00,
    0x00,
    0x78,
    0x02, /* 1.4, digital, 8 bits a colour, no size, gamma 2.2 */
    0xee,
    0x91,
    0xa3,
    0x54,
    0x4c,
    0x99,
    0x26,
    0x0f,
    0x50,
    0x54, /* sRGB */
    0x21,
    0x08,
    0x00, /* 640 x 480, 800 x 600, 1024 x 768 at 60 Hz */
    0x81,
    0x80,
    0xa9,
    0x40,
    0xd1,
    0x00,
    0xd1,
    0xc0, /* 1280 x 1024, 1600 x 1200, 1920 x 1200, 1920 x 1080 */
    0x01,
    0x01,
    0x01,
    0x01,
    0x01,
    0x01,
    0x01,
    0x01,
    /* 1024 x 768: 65 MHz, 320 + 38 blank, sync pulses 136 and 6 long after 24 and 3. */
    0x64,
    0x19,
    0x00,
    0x40,
    0x41,
    0x00,
    0x26,
    0x30,
    0x18,
    0x88,
    0x36,
    0x00,
    0x00,
    0x00,
    0x00,
    0x00,
    0x00,
    0x18,
    /* Name. */
    0x00,
    0x00,
    0x00,
    0xfc,
    0x00,
    'L',
    'o',
    'a',
    'm',
    '\n',
    ' ',
    ' ',
    ' ',
    ' ',
    ' ',
    ' ',
    ' ',
    ' ',
    /* Limits: 50-125 Hz, 30-160 kHz, 400 MHz. */
    0x00,
    0x00,
    0x00,
    0xfd,
    0x00,
    50,
    125,
    30,
    160,
    40,
    0x01,
    '\n',
    ' ',
    ' ',
    ' ',
    ' ',
    ' ',
    ' ',
};

static uint8_t edid_read(unsigned offset)
{
    uint8_t sum = 0;

    if (offset < sizeof edid)
        return edid[offset];
    if (offset > sizeof edid)
        return 0;
    for (unsigned i = 0; i < sizeof edid; i++)
        sum += edid[i];
    return (uint8_t)-sum;
}

/* ---- Modes ---- */

static uint32_t line_bytes(const uint16_t *registers, uint32_t width)
{
    uint32_t bits = registers[DISPI_BPP] == 15 ? 16 : registers[DISPI_BPP];

    return bits == 4 ? width / 8 : width * bits / 8;
}

uint32_t vga_dispi_line_bytes(const struct vga *vga)
{
    return line_bytes(vga->dispi.registers, vga->dispi.registers[DISPI_VIRT_WIDTH]);
}

/* What a plane has, or all of them together. */
static uint32_t memory_size(const uint16_t *registers)
{
    return registers[DISPI_BPP] == 4 ? VGA_MEMORY_SIZE / 4 : VGA_MEMORY_SIZE;
}

static uint16_t bounded(uint32_t value, uint32_t low, uint32_t high)
{
    return (uint16_t)(value < low ? low : value > high ? high : value);
}

static uint16_t known_bpp(uint16_t bpp)
{
    return bpp == 4 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32 ? bpp : DEFAULT_BPP;
}

/* Makes a mode that exists, and fits into memory, of what the guest has written. */
static void settle(uint16_t *registers)
{
    uint32_t lines;

    registers[DISPI_BPP] = known_bpp(registers[DISPI_BPP]);
    registers[DISPI_XRES] = bounded(registers[DISPI_XRES] & ~(SMALLEST - 1u), SMALLEST, DISPLAY_MAXIMUM_WIDTH);
    registers[DISPI_VIRT_WIDTH] =
        bounded(registers[DISPI_VIRT_WIDTH] & ~(SMALLEST - 1u), registers[DISPI_XRES], MAXIMUM_VIRTUAL_WIDTH);
    lines = memory_size(registers) / line_bytes(registers, registers[DISPI_VIRT_WIDTH]);
    registers[DISPI_VIRT_HEIGHT] = bounded(lines, 1, UINT16_MAX);
    registers[DISPI_YRES] =
        bounded(registers[DISPI_YRES], 1, lines < DISPLAY_MAXIMUM_HEIGHT ? lines : DISPLAY_MAXIMUM_HEIGHT);
    registers[DISPI_X_OFFSET] =
        bounded(registers[DISPI_X_OFFSET], 0, (uint32_t)registers[DISPI_VIRT_WIDTH] - registers[DISPI_XRES]);
    registers[DISPI_Y_OFFSET] =
        bounded(registers[DISPI_Y_OFFSET], 0, (uint32_t)registers[DISPI_VIRT_HEIGHT] - registers[DISPI_YRES]);
}

static void clear(struct vga *vga)
{
    uint32_t length = vga_dispi_line_bytes(vga) * vga->dispi.registers[DISPI_YRES];

    memset(vga->configuration.memory, 0, vga->dispi.registers[DISPI_BPP] == 4 ? 4 * length : length);
    vga->written = true;
}

static void enable_write(struct vga *vga, uint16_t value)
{
    uint16_t *registers = vga->dispi.registers;
    bool enabled = vga_dispi_enabled(vga);

    registers[DISPI_ENABLE] =
        value & (ENABLE_ENABLED | ENABLE_GETCAPS | ENABLE_8BIT_DAC | ENABLE_LFB | ENABLE_NOCLEARMEM);
    vga->dac.eight_bits = value & ENABLE_8BIT_DAC;
    if (vga_dispi_enabled(vga) && !enabled) {
        registers[DISPI_VIRT_WIDTH] = 0; /* as wide as the picture */
        registers[DISPI_X_OFFSET] = 0;
        registers[DISPI_Y_OFFSET] = 0;
        settle(registers);
    }
    if (vga_dispi_enabled(vga) != enabled)
        registers[DISPI_BANK] = 0;
    vga_window_changed(vga);
    if (vga_dispi_enabled(vga) && !enabled && !(value & ENABLE_NOCLEARMEM))
        clear(vga);
}

static uint16_t dispi_read(const struct vga *vga, unsigned index)
{
    static const uint16_t capabilities[] = {
        [DISPI_XRES] = DISPLAY_MAXIMUM_WIDTH, [DISPI_YRES] = DISPLAY_MAXIMUM_HEIGHT, [DISPI_BPP] = MAXIMUM_BPP};
    const uint16_t *registers = vga->dispi.registers;

    if (index >= VGA_DISPI_REGISTERS)
        return 0;
    if (registers[DISPI_ENABLE] & ENABLE_GETCAPS && index >= DISPI_XRES && index <= DISPI_BPP)
        return capabilities[index];
    return index == DISPI_MEMORY_64K ? VGA_MEMORY_SIZE >> 16 : registers[index];
}

static void dispi_write(struct vga *vga, unsigned index, uint16_t value)
{
    uint16_t *registers = vga->dispi.registers;

    switch (index) {
    case DISPI_ID:
        if (value >= VERSION_FIRST && value <= VERSION)
            registers[index] = value;
        break;
    case DISPI_XRES:
    case DISPI_YRES:
    case DISPI_BPP:
    case DISPI_VIRT_WIDTH:
    case DISPI_X_OFFSET:
    case DISPI_Y_OFFSET:
        registers[index] = value;
        if (vga_dispi_enabled(vga))
            settle(registers);
        vga_window_changed(vga);
        break;
    case DISPI_ENABLE:
        enable_write(vga, value);
        break;
    case DISPI_BANK:
        registers[index] = value & ((memory_size(registers) >> 16) - 1);
        vga_window_changed(vga);
        break;
    }
}

void vga_dispi_reset(struct vga *vga)
{
    memset(&vga->dispi, 0, sizeof vga->dispi);
    vga->dispi.registers[DISPI_ID] = VERSION;
}

/* ---- Ports ---- */

static uint64_t port_read(void *device, uint64_t offset, unsigned size)
{
    const struct vga *vga = device;

    if (size != 2)
        return UINT64_MAX;
    return offset == 0 ? vga->dispi.index : dispi_read(vga, vga->dispi.index);
}

static void port_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = device;

    if (size != 2)
        return;
    if (offset == 0)
        vga->dispi.index = (uint16_t)value;
    else
        dispi_write(vga, vga->dispi.index, (uint16_t)value);
}

const struct bus_operations vga_dispi_operations = {.read = port_read, .write = port_write};

/* ---- BAR 2 ---- */

static uint8_t register_byte(struct vga *vga, unsigned offset)
{
    if (offset >= REGISTERS_PORTS && offset < REGISTERS_PORTS + PORTS_LENGTH)
        return vga_port_read(vga, FIRST_PORT + offset - REGISTERS_PORTS);
    return edid_read(offset);
}

static uint64_t register_read(void *device, uint64_t offset, unsigned size)
{
    struct vga *vga = device;
    uint64_t value = 0;

    if (offset == REGISTERS_EXTENSION && size == 4)
        return EXTENSION_LENGTH;
    if (offset == REGISTERS_ENDIANNESS && size == 4)
        return vga->dispi.big_endian ? BIG_ENDIAN_PIXELS : LITTLE_ENDIAN_PIXELS;
    if (offset >= REGISTERS_DISPI)
        return size == 2 && offset % 2 == 0 ? dispi_read(vga, (unsigned)(offset - REGISTERS_DISPI) / 2) : 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)register_byte(vga, (unsigned)offset + i) << (8 * i);
    return value;
}

static void register_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = device;

    if (offset == REGISTERS_ENDIANNESS && size == 4) {
        if (value == BIG_ENDIAN_PIXELS || value == LITTLE_ENDIAN_PIXELS)
            vga->dispi.big_endian = value == BIG_ENDIAN_PIXELS;
        return;
    }
    if (offset >= REGISTERS_DISPI && size == 2 && offset % 2 == 0)
        dispi_write(vga, (unsigned)(offset - REGISTERS_DISPI) / 2, (uint16_t)value);
    for (unsigned i = 0; i < size; i++)
        if (offset + i >= REGISTERS_PORTS && offset + i < REGISTERS_PORTS + PORTS_LENGTH)
            vga_port_write(vga, FIRST_PORT + (unsigned)offset + i - REGISTERS_PORTS, (uint8_t)(value >> (8 * i)));
}

const struct bus_operations vga_register_operations = {.read = register_read, .write = register_write, .widest = 4};
