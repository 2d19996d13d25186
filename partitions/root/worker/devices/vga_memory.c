/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Video memory as the processor reaches it: the window at A0000h with its latches, and BAR 0. */
#include "partitions/root/worker/devices/vga_registers.h"

#include <string.h>

#define PLANE_BYTES 0x10000u /* of a VGA without dispi modes; addresses wrap there */
#define TEXT_CELLS  (VGA_TEXT_SIZE / 2)
#define PLAIN_MASKS 0x0f /* all planes */
#define TEXT_MASKS  0x03

/* The four settings of the miscellaneous register of the graphics controller, bits 3-2. */
static const struct vga_window windows[] = {
    {.gpa = 0xa0000, .length = 0x20000},
    {.gpa = 0xa0000, .length = 0x10000},
    {.gpa = 0xb0000, .length = 0x8000 },
    {.gpa = 0xb8000, .length = 0x8000 },
};

static uint32_t *planes(const struct vga *vga)
{
    return (uint32_t *)vga->configuration.memory;
}

static uint8_t *text(const struct vga *vga)
{
    return vga->configuration.memory + VGA_MEMORY_SIZE;
}

/* ---- The window ---- */

/* A dispi mode in which memory is pixel after pixel. */
static bool packed(const struct vga *vga)
{
    return vga_dispi_enabled(vga) && vga->dispi.registers[DISPI_BPP] != 4;
}

static uint32_t bank(const struct vga *vga)
{
    return vga_dispi_enabled(vga) ? (uint32_t)vga->dispi.registers[DISPI_BANK] << 16 : 0;
}

/* Does the graphics controller pass bytes as they are? Then only where they go matters. */
static bool bytes_pass(const struct vga *vga)
{
    const uint8_t *graphics = vga->graphics;

    return (graphics[GRAPHICS_MODE] & (MODE_WRITE | MODE_READ_COMPARE)) == 0 && graphics[GRAPHICS_DATA_ROTATE] == 0 &&
           graphics[GRAPHICS_ENABLE_SET_RESET] == 0 && graphics[GRAPHICS_BIT_MASK] == 0xff;
}

/* Where what the window shows is in one piece, or NULL. */
static uint8_t *plain_memory(const struct vga *vga, const struct vga_window *window)
{
    uint8_t masks = vga->sequencer[SEQUENCER_MAP_MASK];
    uint8_t mode = vga->sequencer[SEQUENCER_MEMORY_MODE];

    if (!bytes_pass(vga))
        return NULL;
    if (mode & MEMORY_MODE_CHAIN_4)
        return masks == PLAIN_MASKS ? vga->configuration.memory : NULL;
    if (!(mode & MEMORY_MODE_SEQUENTIAL) && masks == TEXT_MASKS && vga->graphics[GRAPHICS_MODE] & MODE_ODD_EVEN &&
        !(vga->graphics[GRAPHICS_READ_MAP] & 2) && window->length == VGA_TEXT_SIZE)
        return text(vga);
    return NULL;
}

static struct vga_window wanted_window(const struct vga *vga)
{
    struct vga_window window = windows[vga->graphics[GRAPHICS_MISCELLANEOUS] >> 2 & 3];

    if (packed(vga)) {
        window = windows[1];
        window.host = vga->configuration.memory + (bank(vga) & (VGA_MEMORY_SIZE - 1));
    } else if (!(vga->miscellaneous & MISCELLANEOUS_MEMORY)) {
        window.length = 0;
    } else if (!vga_dispi_enabled(vga)) {
        window.host = plain_memory(vga, &window);
    }
    return window;
}

bool vga_text_buffered(const struct vga *vga)
{
    return vga->window.mapped && vga->window.host == text(vga);
}

static void fill_text_buffer(struct vga *vga)
{
    uint8_t *bytes = text(vga);

    for (unsigned i = 0; i < TEXT_CELLS; i++) {
        bytes[2 * i] = planes(vga)[i] & 0xff;
        bytes[2 * i + 1] = planes(vga)[i] >> 8 & 0xff;
    }
}

static void empty_text_buffer(struct vga *vga)
{
    const uint8_t *bytes = text(vga);

    for (unsigned i = 0; i < TEXT_CELLS; i++)
        planes(vga)[i] = (planes(vga)[i] & 0xffff0000) | bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8;
    vga->written = true;
}

static void map_window(struct vga *vga)
{
    struct vga_window *window = &vga->window;

    window->mapped = true;
    if (vga_text_buffered(vga))
        fill_text_buffer(vga);
    vga->configuration.map(vga->configuration.context, window->gpa, window->length, window->host);
}

static void unmap_window(struct vga *vga)
{
    struct vga_window *window = &vga->window;

    vga->configuration.unmap(vga->configuration.context, window->gpa, window->length);
    if (vga_text_buffered(vga))
        empty_text_buffer(vga);
    window->mapped = false;
}

void vga_window_changed(struct vga *vga)
{
    struct vga_window wanted = wanted_window(vga);
    const struct vga_window *window = &vga->window;

    if (window->gpa == wanted.gpa && window->length == wanted.length && window->host == wanted.host)
        return;
    if (window->mapped)
        unmap_window(vga);
    vga->window = wanted;
}

/* ---- Accesses one by one ---- */

/* A byte of each plane that `bits` has. */
static uint32_t spread(unsigned bits)
{
    static const uint32_t masks[16] = {
        0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
        0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
    };

    return masks[bits & 15];
}

static uint32_t in_every_plane(uint8_t byte)
{
    return byte * 0x01010101u;
}

/* The bytes of all planes at an address whose lowest `shift` bits choose the plane. */
static uint32_t *plane_bytes(struct vga *vga, uint32_t offset, unsigned shift)
{
    uint32_t size = vga_dispi_enabled(vga) ? VGA_MEMORY_SIZE / 4 : PLANE_BYTES;

    return &planes(vga)[((offset >> shift) + bank(vga)) & (size - 1)];
}

static uint8_t read_planes(struct vga *vga, uint32_t offset)
{
    const uint8_t *graphics = vga->graphics;
    unsigned plane = graphics[GRAPHICS_READ_MAP];
    unsigned shift = 0;
    uint32_t difference;

    if (vga->sequencer[SEQUENCER_MEMORY_MODE] & MEMORY_MODE_CHAIN_4) {
        shift = 2;
        plane = offset & 3;
    } else if (graphics[GRAPHICS_MODE] & MODE_ODD_EVEN) {
        shift = 1;
        plane = (plane & 2) | (offset & 1);
    }
    vga->latch = *plane_bytes(vga, offset, shift);
    if (!(graphics[GRAPHICS_MODE] & MODE_READ_COMPARE))
        return vga->latch >> (8 * plane) & 0xff;
    difference = (vga->latch ^ spread(graphics[GRAPHICS_COLOR_COMPARE])) & spread(graphics[GRAPHICS_COLOR_DONT_CARE]);
    difference |= difference >> 16;
    return ~(difference | difference >> 8) & 0xff;
}

static uint8_t rotate(const struct vga *vga, uint8_t byte)
{
    unsigned count = vga->graphics[GRAPHICS_DATA_ROTATE] & 7;

    return (uint8_t)(byte >> count | byte << (8 - count));
}

static uint32_t combine(const struct vga *vga, uint32_t bytes)
{
    switch (vga->graphics[GRAPHICS_DATA_ROTATE] >> 3) {
    case 1:
        return bytes & vga->latch;
    case 2:
        return bytes | vga->latch;
    case 3:
        return bytes ^ vga->latch;
    default:
        return bytes;
    }
}

/* The bytes that a write puts into the planes, by write mode. */
static uint32_t bytes_to_write(const struct vga *vga, uint8_t byte)
{
    const uint8_t *graphics = vga->graphics;
    uint32_t set_reset = spread(graphics[GRAPHICS_SET_RESET]);
    uint32_t enabled = spread(graphics[GRAPHICS_ENABLE_SET_RESET]);
    uint8_t bits = graphics[GRAPHICS_BIT_MASK];
    uint32_t bytes;

    switch (graphics[GRAPHICS_MODE] & MODE_WRITE) {
    case 0:
        bytes = (in_every_plane(rotate(vga, byte)) & ~enabled) | (set_reset & enabled);
        break;
    case 1:
        return vga->latch;
    case 2:
        bytes = spread(byte);
        break;
    default:
        bytes = set_reset;
        bits &= rotate(vga, byte);
        break;
    }
    return (combine(vga, bytes) & in_every_plane(bits)) | (vga->latch & ~in_every_plane(bits));
}

static void write_planes(struct vga *vga, uint32_t offset, uint8_t byte)
{
    uint8_t mode = vga->sequencer[SEQUENCER_MEMORY_MODE];
    unsigned masks = vga->sequencer[SEQUENCER_MAP_MASK];
    unsigned shift = 0;
    uint32_t *bytes;

    if (mode & MEMORY_MODE_CHAIN_4) {
        shift = 2;
        masks &= 1u << (offset & 3);
    } else if (!(mode & MEMORY_MODE_SEQUENTIAL)) {
        shift = 1;
        masks &= 5u << (offset & 1);
    }
    bytes = plane_bytes(vga, offset, shift);
    *bytes = (*bytes & ~spread(masks)) | (bytes_to_write(vga, byte) & spread(masks));
    vga->written = true;
}

/* Where a plain window's byte is while it is seen access by access; NULL: in the planes. */
static uint8_t *plain_byte(const struct vga *vga, uint32_t offset)
{
    return packed(vga) || vga->window.mapped ? vga->window.host + offset : NULL;
}

static void count_access(struct vga *vga)
{
    if (vga->window.host && !vga->window.mapped && ++vga->window.accesses == VGA_ACCESSES_TO_MAP)
        map_window(vga);
}

/* False: nothing is there. */
static bool in_window(const struct vga *vga, uint64_t *offset)
{
    uint32_t begin = vga->window.gpa - VGA_WINDOW;

    if (*offset < begin || *offset - begin >= vga->window.length)
        return false;
    *offset -= begin;
    return true;
}

static uint64_t window_read(void *device, uint64_t offset, unsigned size)
{
    struct vga *vga = device;
    const uint8_t *byte;
    uint8_t value;

    (void)size;
    if (!in_window(vga, &offset))
        return 0xff;
    byte = plain_byte(vga, (uint32_t)offset);
    value = byte ? *byte : read_planes(vga, (uint32_t)offset);
    count_access(vga);
    return value;
}

static void window_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = device;
    uint8_t *byte;

    (void)size;
    if (!in_window(vga, &offset))
        return;
    byte = plain_byte(vga, (uint32_t)offset);
    if (byte)
        *byte = (uint8_t)value;
    else
        write_planes(vga, (uint32_t)offset, (uint8_t)value);
    vga->written = true;
    count_access(vga);
}

const struct bus_operations vga_window_operations = {.read = window_read, .write = window_write, .widest = 1};

/* ---- BAR 0 ---- */

void vga_memory_moved(void *device, uint32_t address)
{
    struct vga *vga = device;
    const struct vga_configuration *configuration = &vga->configuration;

    if (vga->mapped_memory)
        configuration->unmap(configuration->context, vga->mapped_memory, VGA_MEMORY_SIZE);
    vga->mapped_memory = address;
    if (address)
        configuration->map(configuration->context, address, VGA_MEMORY_SIZE, configuration->memory);
}

static uint64_t memory_read(void *device, uint64_t offset, unsigned size)
{
    const struct vga *vga = device;
    uint64_t value = 0;

    memcpy(&value, vga->configuration.memory + offset, size);
    return value;
}

static void memory_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = device;

    memcpy(vga->configuration.memory + offset, &value, size);
    vga->written = true;
}

const struct bus_operations vga_memory_operations = {.read = memory_read, .write = memory_write};
