/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/vga_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const struct mode {
    unsigned number;
    uint8_t miscellaneous;
    uint8_t sequencer[VGA_SEQUENCER_REGISTERS];
    uint8_t crtc[VGA_CRTC_REGISTERS];
    uint8_t graphics[VGA_GRAPHICS_REGISTERS];
    uint8_t attribute[VGA_ATTRIBUTE_REGISTERS];
} modes[] = {
    {3,
     0x67, {0x03, 0x00, 0x03, 0x00, 0x02},
     {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
      0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00}},
    {4,
     0x63, {0x03, 0x09, 0x03, 0x00, 0x02},
     {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0f, 0x0f, 0xff},
     {0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12,
      0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x03, 0x00, 0x00}},
    {6,
     0x63, {0x03, 0x01, 0x01, 0x00, 0x06},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x00, 0x96, 0xb9, 0xc2, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0d, 0x0f, 0xff},
     {0x00, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17,
      0x17, 0x17, 0x17, 0x17, 0x17, 0x01, 0x00, 0x01, 0x00, 0x00}},
    {0x0d,
     0x63, {0x03, 0x09, 0x0f, 0x00, 0x06},
     {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc0, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xe3, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12,
      0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x0f, 0x00, 0x00}},
    {0x12,
     0xe3, {0x03, 0x01, 0x0f, 0x00, 0x06},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
      0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x01, 0x00, 0x0f, 0x00, 0x00}},
    {0x13,
     0x63, {0x03, 0x01, 0x0f, 0x00, 0x0e},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
      0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x41, 0x00, 0x0f, 0x00, 0x00}},
};

/* ---- The machine ---- */

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void map(void *context, uint64_t gpa, uint64_t length, uint8_t *host)
{
    struct vga_fixture *fixture = context;
    unsigned unused = 4;

    require(gpa % VGA_PAGE_SIZE == 0 && length % VGA_PAGE_SIZE == 0 && length > 0);
    require(host >= fixture->memory && host + length <= fixture->memory + VGA_HOST_SIZE);
    require((uintptr_t)host % VGA_PAGE_SIZE == 0);
    for (unsigned i = 0; i < 4; i++) {
        struct vga_mapping *mapping = &fixture->mappings[i];

        require(gpa >= mapping->gpa + mapping->length || mapping->gpa >= gpa + length);
        if (mapping->length == 0)
            unused = i;
    }
    require(unused < 4);
    fixture->mappings[unused] = (struct vga_mapping){gpa, length, host};
    fixture->maps++;
}

static void unmap(void *context, uint64_t gpa, uint64_t length)
{
    struct vga_fixture *fixture = context;
    struct vga_mapping *mapping = vga_fixture_mapping(fixture, gpa);

    require(mapping && mapping->gpa == gpa && mapping->length == length);
    *mapping = (struct vga_mapping){0};
    fixture->unmaps++;
}

static bool dirty(void *context, uint64_t offset, uint64_t length, uint64_t *bitmap)
{
    struct vga_fixture *fixture = context;
    unsigned first = (unsigned)(offset / VGA_PAGE_SIZE);
    unsigned count = (unsigned)(length / VGA_PAGE_SIZE);

    require(offset % VGA_PAGE_SIZE == 0 && length % VGA_PAGE_SIZE == 0 && first + count <= VGA_PAGES);
    fixture->dirty_pages_asked += count;
    for (unsigned i = 0; i < count; i++) {
        unsigned page = first + i;

        if (fixture->dirty[page / 64] >> (page % 64) & 1)
            bitmap[i / 64] |= 1ull << (i % 64);
        fixture->dirty[page / 64] &= ~(1ull << (page % 64));
    }
    return fixture->dirty_known;
}

static void no_interrupt(void *context, unsigned slot, unsigned pin, bool level)
{
    (void)context;
    (void)slot;
    (void)pin;
    (void)level;
    abort();
}

void vga_fixture_initialize(struct vga_fixture *fixture, bool with_dirty_hook)
{
    struct vga_configuration configuration = {
        .timers = &fixture->device.timers,
        .device_lock = &fixture->lock,
        .map = map,
        .unmap = unmap,
        .dirty = with_dirty_hook ? dirty : NULL,
        .context = fixture,
    };

    memset(fixture, 0, sizeof *fixture);
    fixture_initialize(&fixture->device);
    fixture->memory = mmap(NULL, VGA_HOST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fixture->vga = calloc(1, sizeof *fixture->vga);
    require(fixture->memory != MAP_FAILED && fixture->vga);
    pthread_mutex_init(&fixture->lock, NULL);
    configuration.memory = fixture->memory;
    fixture->dirty_known = true;
    require(pci_bus_initialize(&fixture->pci, &fixture->device.bus, no_interrupt, NULL));
    require(vga_initialize(fixture->vga, &fixture->pci, VGA_SLOT, &configuration));
}

void vga_fixture_free(struct vga_fixture *fixture)
{
    pthread_mutex_destroy(&fixture->lock);
    munmap(fixture->memory, VGA_HOST_SIZE);
    free(fixture->vga);
}

void vga_fixture_decode(struct vga_fixture *fixture)
{
    pci_config_write(&fixture->pci, VGA_SLOT, 0, PCI_BAR_0 + 4 * VGA_BAR_MEMORY, 4, VGA_FRAME_BUFFER);
    pci_config_write(&fixture->pci, VGA_SLOT, 0, PCI_BAR_0 + 4 * VGA_BAR_REGISTERS, 4, VGA_REGISTERS);
    pci_config_write(&fixture->pci, VGA_SLOT, 0, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

/* ---- The guest ---- */

struct vga_mapping *vga_fixture_mapping(struct vga_fixture *fixture, uint64_t gpa)
{
    for (unsigned i = 0; i < 4; i++) {
        struct vga_mapping *mapping = &fixture->mappings[i];

        if (gpa >= mapping->gpa && gpa - mapping->gpa < mapping->length)
            return mapping;
    }
    return NULL;
}

uint8_t guest_read(struct vga_fixture *fixture, uint64_t gpa)
{
    const struct vga_mapping *mapping = vga_fixture_mapping(fixture, gpa);

    if (mapping)
        return mapping->host[gpa - mapping->gpa];
    fixture->bus_accesses++;
    return (uint8_t)bus_read(&fixture->device.bus, BUS_MEMORY, gpa, 1);
}

void guest_write(struct vga_fixture *fixture, uint64_t gpa, uint8_t value)
{
    const struct vga_mapping *mapping = vga_fixture_mapping(fixture, gpa);
    size_t offset;

    if (!mapping) {
        fixture->bus_accesses++;
        bus_write(&fixture->device.bus, BUS_MEMORY, gpa, 1, value);
        return;
    }
    mapping->host[gpa - mapping->gpa] = value;
    offset = (size_t)(mapping->host - fixture->memory) + (gpa - mapping->gpa);
    if (offset < VGA_MEMORY_SIZE)
        fixture->dirty[offset / VGA_PAGE_SIZE / 64] |= 1ull << (offset / VGA_PAGE_SIZE % 64);
}

void guest_touch(struct vga_fixture *fixture, uint64_t gpa)
{
    for (unsigned i = 0; i < VGA_ACCESSES_TO_MAP; i++)
        guest_read(fixture, gpa);
}

/* ---- Registers ---- */

void set_sequencer(struct vga_fixture *fixture, uint8_t index, uint8_t value)
{
    out16(&fixture->device, 0x3c4, (uint16_t)(index | value << 8));
}

void set_graphics(struct vga_fixture *fixture, uint8_t index, uint8_t value)
{
    out16(&fixture->device, 0x3ce, (uint16_t)(index | value << 8));
}

void set_crtc(struct vga_fixture *fixture, uint8_t index, uint8_t value)
{
    out16(&fixture->device, 0x3d4, (uint16_t)(index | value << 8));
}

void set_attribute(struct vga_fixture *fixture, uint8_t index, uint8_t value)
{
    in8(&fixture->device, 0x3da);
    out8(&fixture->device, 0x3c0, index);
    out8(&fixture->device, 0x3c0, value);
    out8(&fixture->device, 0x3c0, 0x20);
    in8(&fixture->device, 0x3da);
}

void set_color(struct vga_fixture *fixture, uint8_t index, uint8_t red, uint8_t green, uint8_t blue)
{
    out8(&fixture->device, 0x3c8, index);
    out8(&fixture->device, 0x3c9, red);
    out8(&fixture->device, 0x3c9, green);
    out8(&fixture->device, 0x3c9, blue);
}

void set_dispi(struct vga_fixture *fixture, uint16_t index, uint16_t value)
{
    out16(&fixture->device, 0x1ce, index);
    out16(&fixture->device, 0x1cf, value);
}

uint16_t get_dispi(struct vga_fixture *fixture, uint16_t index)
{
    out16(&fixture->device, 0x1ce, index);
    return in16(&fixture->device, 0x1cf);
}

void set_mode(struct vga_fixture *fixture, unsigned number)
{
    const struct mode *mode = modes;

    while (mode->number != number)
        require(++mode < modes + sizeof modes / sizeof modes[0]);
    out8(&fixture->device, 0x3c2, mode->miscellaneous);
    for (uint8_t i = 0; i < VGA_SEQUENCER_REGISTERS; i++)
        set_sequencer(fixture, i, mode->sequencer[i]);
    set_crtc(fixture, 0x11, 0);
    for (uint8_t i = 0; i < VGA_CRTC_REGISTERS; i++)
        set_crtc(fixture, i, mode->crtc[i]);
    for (uint8_t i = 0; i < VGA_GRAPHICS_REGISTERS; i++)
        set_graphics(fixture, i, mode->graphics[i]);
    for (uint8_t i = 0; i < VGA_ATTRIBUTE_REGISTERS; i++)
        set_attribute(fixture, i, mode->attribute[i]);
    for (unsigned i = 0; i < 256; i++)
        set_color(fixture, (uint8_t)i, (uint8_t)i, 0, 0);
}

void set_dispi_mode(struct vga_fixture *fixture, uint16_t width, uint16_t height, uint16_t bpp)
{
    set_dispi(fixture, 4, 0);
    set_dispi(fixture, 1, width);
    set_dispi(fixture, 2, height);
    set_dispi(fixture, 3, bpp);
    set_dispi(fixture, 4, 0x41);
    in8(&fixture->device, 0x3da);
    out8(&fixture->device, 0x3c0, 0x20);
}

/* ---- The screen ---- */

unsigned look(struct vga_fixture *fixture, struct display *display, struct display_area *areas)
{
    unsigned count = vga_update(fixture->vga, display, areas);

    require(count <= DISPLAY_AREAS);
    for (unsigned i = 0; i < count; i++) {
        require(areas[i].width > 0 && areas[i].height > 0);
        require(areas[i].x + areas[i].width <= display->width && areas[i].y + areas[i].height <= display->height);
    }
    return count;
}

uint32_t pixel(const struct display *display, unsigned x, unsigned y)
{
    require(x < display->width && y < display->height);
    return display->pixels[y * display->width + x];
}

bool read_text(struct vga_fixture *fixture, char text[VGA_FIXTURE_TEXT])
{
    uint8_t characters[VGA_FIXTURE_TEXT / 2 - 1];
    unsigned columns, rows;

    if (!vga_characters(fixture->vga, &columns, &rows, characters, sizeof characters))
        return false;
    require(columns >= 1);
    for (unsigned row = 0; row < rows; row++) {
        unsigned length = columns;

        while (length > 0 && characters[row * columns + length - 1] == ' ')
            length--;
        memcpy(text, characters + row * columns, length);
        text[length] = '\n';
        text += length + 1;
    }
    *text = 0;
    return true;
}
