/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The graphics adapter in a machine whose guest reaches memory as a processor does: what the adapter has mapped
 * directly, everything else access by access on the bus.
 */
#ifndef TESTS_UNIT_VGA_FIXTURE_H
#define TESTS_UNIT_VGA_FIXTURE_H

#include "partitions/root/worker/devices/vga.h"
#include "tests/unit/device_fixture.h"

#define VGA_FRAME_BUFFER 0xe0000000u /* where vga_fixture_decode puts the BARs */
#define VGA_REGISTERS    0xe1000000u
#define VGA_FIXTURE_TEXT 8192 /* bytes for the largest screen of text that the tests have, 80 x 50 */

struct vga_mapping {
    uint64_t gpa, length; /* 0: unused */
    uint8_t *host;
};

struct vga_fixture {
    struct device_fixture device;
    struct pci_bus pci;
    struct vga *vga;
    uint8_t *memory;
    pthread_mutex_t lock;
    struct vga_mapping mappings[4];
    unsigned maps, unmaps;
    unsigned bus_accesses; /* of the guest to memory that was not mapped */
    /* The dirty hook, which is there if set up so. */
    bool dirty_known;
    uint64_t dirty[VGA_PAGES / 64];
    unsigned dirty_pages_asked;
};

void vga_fixture_initialize(struct vga_fixture *fixture, bool with_dirty_hook);
void vga_fixture_free(struct vga_fixture *fixture);

/* Places the BARs and switches decoding on. */
void vga_fixture_decode(struct vga_fixture *fixture);

/* What has mapped a GPA, or NULL. */
struct vga_mapping *vga_fixture_mapping(struct vga_fixture *fixture, uint64_t gpa);

/* The guest's accesses. */
uint8_t guest_read(struct vga_fixture *fixture, uint64_t gpa);
void guest_write(struct vga_fixture *fixture, uint64_t gpa, uint8_t value);
/* Enough accesses for a window that can be RAM to be it. */
void guest_touch(struct vga_fixture *fixture, uint64_t gpa);

/* Registers by index. */
void set_sequencer(struct vga_fixture *fixture, uint8_t index, uint8_t value);
void set_graphics(struct vga_fixture *fixture, uint8_t index, uint8_t value);
void set_crtc(struct vga_fixture *fixture, uint8_t index, uint8_t value);
void set_attribute(struct vga_fixture *fixture, uint8_t index, uint8_t value);
void set_color(struct vga_fixture *fixture, uint8_t index, uint8_t red, uint8_t green, uint8_t blue);
void set_dispi(struct vga_fixture *fixture, uint16_t index, uint16_t value);
uint16_t get_dispi(struct vga_fixture *fixture, uint16_t index);

/* A mode's registers as IBM's BIOS sets them: 3, 4, 6, 0Dh, 12h, 13h. Colours i of the DAC become i, 0, 0. */
void set_mode(struct vga_fixture *fixture, unsigned mode);
void set_dispi_mode(struct vga_fixture *fixture, uint16_t width, uint16_t height, uint16_t bpp);

/* Lets a display look; the pixel of it. */
unsigned look(struct vga_fixture *fixture, struct display *display, struct display_area *areas);
uint32_t pixel(const struct display *display, unsigned x, unsigned y);

/* The screen's text, lines without blanks at their ends. False: it has none. */
bool read_text(struct vga_fixture *fixture, char text[VGA_FIXTURE_TEXT]);

/* What the adapter makes of a colour of set_mode. */
#define RED_OF(index) ((uint32_t)(((index) << 2 & 0xfc) | ((index) >> 4 & 3)) << 16)

#endif
