/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The graphics adapter under a guest that does anything to its ports, memory and configuration space, while displays
 * look. Checked beside the sanitizers: mappings are whole pages of video memory and never overlap (the fixture), areas
 * are inside the picture, and what a display was told to be new is all that is: it shows what a fresh one shows.
 */
#include <stdlib.h>
#include <string.h>
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/vga_fixture.h"

enum action {
    ACTION_PORT,
    ACTION_READ,
    ACTION_INDEXED,
    ACTION_DISPI,
    ACTION_MODE,
    ACTION_WINDOW,
    ACTION_TOUCH,
    ACTION_FRAME_BUFFER,
    ACTION_REGISTERS,
    ACTION_CONFIGURE,
    ACTION_LOOK,
    ACTION_TEXT,
    ACTION_ADVANCE,
    ACTION_RESET,
    ACTION_COUNT,
};

static struct vga_fixture fixture;
static struct display display;

static void configure(struct fuzz_input *input)
{
    static const uint8_t registers[] = {PCI_COMMAND, PCI_BAR_0, PCI_BAR_0 + 4 * VGA_BAR_REGISTERS};
    uint8_t offset = registers[fuzz_take(input, 1) % sizeof registers];
    uint32_t value = offset == PCI_COMMAND ? fuzz_take(input, 1) : fuzz_take(input, 2) << 16;

    /* The fixture's places are not RAM. */
    if (offset != PCI_COMMAND)
        value |= 0x80000000;
    pci_config_write(&fixture.pci, VGA_SLOT, 0, offset, 4, value);
}

static void write_indexed(struct fuzz_input *input)
{
    static const uint16_t ports[] = {0x3c4, 0x3ce, 0x3d4, 0x3b4, 0x3c0};
    uint16_t port = ports[fuzz_take(input, 1) % 5];
    uint8_t index = (uint8_t)fuzz_take(input, 1);

    if (port == 0x3c0) {
        set_attribute(&fixture, index % 32, (uint8_t)fuzz_take(input, 1));
        return;
    }
    out8(&fixture.device, port, index % 32);
    out8(&fixture.device, port + 1, (uint8_t)fuzz_take(input, 1));
}

/* Large pictures take too long. */
static void write_dispi(struct fuzz_input *input)
{
    uint16_t index = fuzz_take(input, 1) % 16;
    uint16_t value = (uint16_t)fuzz_take(input, 2);

    set_dispi(&fixture, index, index == 1 || index == 2 ? value % 256 : value);
}

static void set_some_mode(struct fuzz_input *input)
{
    static const uint8_t modes[] = {3, 4, 6, 0x0d, 0x12, 0x13};
    static const uint16_t bpps[] = {4, 8, 15, 16, 24, 32};
    uint8_t choice = (uint8_t)fuzz_take(input, 1);

    if (choice & 0x80)
        set_dispi_mode(&fixture, (uint16_t)(64 + 8 * (choice & 7)), 40, bpps[(choice >> 3 & 15) % 6]);
    else
        set_mode(&fixture, modes[choice % sizeof modes]);
}

static void write_window(struct fuzz_input *input)
{
    uint32_t address = VGA_WINDOW + fuzz_take(input, 2) * 2;

    for (unsigned i = fuzz_take(input, 1) % 32; i > 0; i--)
        guest_write(&fixture, address++ % VGA_WINDOW_LENGTH + VGA_WINDOW, (uint8_t)fuzz_take(input, 1));
}

/* In the first of its memory, where mostly the picture is. */
static void write_frame_buffer(struct fuzz_input *input)
{
    uint64_t address = fixture.vga->mapped_memory + fuzz_take(input, 2) * 3;

    if (fixture.vga->mapped_memory)
        guest_write(&fixture, address, (uint8_t)fuzz_take(input, 1));
}

static void access_registers(struct fuzz_input *input)
{
    const struct pci_bar *bar = &fixture.vga->pci.bars[VGA_BAR_REGISTERS];
    uint64_t address = bar->address + fuzz_take(input, 2) % (VGA_REGISTERS_LENGTH - 7);
    unsigned size = 1u << fuzz_take(input, 1) % 4;

    if (!bar->mapped)
        return;
    bus_write(&fixture.device.bus, BUS_MEMORY, address, size, fuzz_take(input, 4));
    bus_read(&fixture.device.bus, BUS_MEMORY, address, size);
}

/* The same picture for everyone. */
static void look_at_it(void)
{
    struct display fresh = {0};
    struct display_area areas[DISPLAY_AREAS];
    uint32_t *before = NULL;
    size_t size = (size_t)display.width * display.height;
    unsigned count;
    struct display was = display;

    if (size) {
        before = malloc(size * sizeof *before);
        memcpy(before, display.pixels, size * sizeof *before);
    }
    count = look(&fixture, &display, areas);
    look(&fixture, &fresh, (struct display_area[DISPLAY_AREAS]){0});
    if (display.width != fresh.width || display.height != fresh.height ||
        memcmp(display.pixels, fresh.pixels, sizeof *fresh.pixels * fresh.width * fresh.height) != 0)
        abort();
    for (size_t i = 0; before && was.width == display.width && was.height == display.height && i < size; i++) {
        bool told = before[i] == display.pixels[i];

        for (unsigned j = 0; !told && j < count; j++)
            told = i % was.width - areas[j].x < areas[j].width && i / was.width - areas[j].y < areas[j].height;
        if (!told)
            abort();
    }
    free(before);
    free(fresh.pixels);
}

static void act(struct fuzz_input *input)
{
    static uint8_t characters[1 << 16];
    unsigned columns, rows;

    switch ((enum action)(fuzz_take(input, 1) % ACTION_COUNT)) {
    case ACTION_PORT:
        bus_write(&fixture.device.bus, BUS_PORTS, 0x3b0 + fuzz_take(input, 1) % 0x30, 1u << fuzz_take(input, 1) % 3,
                  fuzz_take(input, 4));
        break;
    case ACTION_READ:
        bus_read(&fixture.device.bus, BUS_PORTS, 0x3b0 + fuzz_take(input, 1) % 0x30, 1u << fuzz_take(input, 1) % 3);
        break;
    case ACTION_INDEXED:
        write_indexed(input);
        break;
    case ACTION_DISPI:
        write_dispi(input);
        break;
    case ACTION_MODE:
        set_some_mode(input);
        break;
    case ACTION_WINDOW:
        write_window(input);
        break;
    case ACTION_TOUCH:
        guest_touch(&fixture, VGA_WINDOW + (fuzz_take(input, 1) << 9));
        break;
    case ACTION_FRAME_BUFFER:
        write_frame_buffer(input);
        break;
    case ACTION_REGISTERS:
        access_registers(input);
        break;
    case ACTION_CONFIGURE:
        configure(input);
        break;
    case ACTION_LOOK:
        look_at_it();
        break;
    case ACTION_TEXT:
        vga_characters(fixture.vga, &columns, &rows, characters, fuzz_take(input, 2));
        break;
    case ACTION_ADVANCE:
        fixture.device.host_time += (uint64_t)fuzz_take(input, 2) << 12;
        break;
    case ACTION_RESET:
        pci_bus_reset(&fixture.pci);
        vga_fixture_decode(&fixture);
        break;
    case ACTION_COUNT:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};

    memset(&display, 0, sizeof display);
    vga_fixture_initialize(&fixture, size & 1);
    vga_fixture_decode(&fixture);
    while (input.left > 0)
        act(&input);
    free(display.pixels);
    vga_fixture_free(&fixture);
    return 0;
}
