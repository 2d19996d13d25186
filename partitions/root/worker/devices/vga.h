/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Graphics adapter 1234:1111, as SeaBIOS's vgabios-stdvga.bin and bochs-drm expect it: a VGA (IBM PS/2 Hardware
 * Interface Technical Reference, "Video Subsystem") with 16 MiB of video memory and Bochs's dispi registers for modes
 * beyond it. BAR 0 is the video memory, BAR 2 has EDID, VGA ports and dispi registers (QEMU's docs/specs,
 * "standard-vga"). The VGA's ports and A0000h-BFFFFh are always decoded.
 *
 * vga.c holds ports and registers, vga_dac.c the colours, vga_dispi.c the dispi registers and BAR 2, vga_memory.c
 * the window at A0000h, vga_frame.c makes of the registers what is to be drawn, vga_draw.c draws a line of it,
 * vga_update.c finds out what has changed, vga_text.c reads the screen's text.
 *
 * Video memory holds a plane in every fourth byte: byte 4n + p is offset n of plane p. A chained address is the offset
 * in all of it: so 256-colour memory is plain memory. Text is not, because odd and even bytes go to two of four planes;
 * while a guest uses the window at B0000h or B8000h in the usual way, its bytes are in a buffer of their own, which
 * is RAM of the guest, and go to the planes when the registers say something else (a font is loaded, the mode
 * changes).
 *
 * A mapping costs as much as some tens of accesses. So the window becomes RAM only after VGA_ACCESSES_TO_MAP accesses
 * in which the registers stayed what they were.
 */
#ifndef WORKER_DEVICES_VGA_H
#define WORKER_DEVICES_VGA_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/display.h"
#include "partitions/root/worker/timer.h"
#include "partitions/root/worker/devices/pci.h"

#define VGA_SLOT            2
#define VGA_MEMORY_SIZE     (16u << 20)
#define VGA_TEXT_SIZE       (32u << 10) /* the buffer of the text window, behind the video memory */
#define VGA_HOST_SIZE       (VGA_MEMORY_SIZE + VGA_TEXT_SIZE)
#define VGA_PAGE_SIZE       4096u
#define VGA_PAGES           (VGA_MEMORY_SIZE / VGA_PAGE_SIZE)
#define VGA_ACCESSES_TO_MAP 64u

#define VGA_BAR_MEMORY       0
#define VGA_BAR_REGISTERS    2
#define VGA_REGISTERS_LENGTH 4096u

#define VGA_WINDOW        0xa0000u
#define VGA_WINDOW_LENGTH 0x20000u

#define VGA_SEQUENCER_REGISTERS 5
#define VGA_CRTC_REGISTERS      25
#define VGA_GRAPHICS_REGISTERS  9
#define VGA_ATTRIBUTE_REGISTERS 21

/* Colours: 256 of three bytes, red first; six bits each, or eight if the dispi registers say so. */
struct vga_dac {
    uint8_t colors[256][3];
    uint8_t mask;
    uint8_t read_index, write_index;
    uint8_t component; /* of the colour that is being read or written, 0 to 2 */
    uint8_t written[2];
    bool reading; /* the last index was written to port 3C7h */
    bool eight_bits;
};

#define VGA_DISPI_REGISTERS 11

struct vga_dispi {
    uint16_t index;
    uint16_t registers[VGA_DISPI_REGISTERS];
    bool big_endian; /* pixels of 15, 16 and 32 bits */
};

#define VGA_PORT_RANGES 5

/* One range of the VGA's ports, as the bus knows it. */
struct vga_ports {
    struct vga *vga;
    uint16_t first;
};

/* What the guest reaches at A0000h-BFFFFh. */
struct vga_window {
    uint32_t gpa;
    uint32_t length; /* 0: nothing */
    uint8_t *host;   /* could be RAM, and is if `mapped`; NULL: has to be seen access by access */
    bool mapped;
    unsigned accesses; /* since it became what it is */
};

/* What is known of a display: what its lines were drawn from. */
#define VGA_WATCHERS 4
struct vga_watcher {
    const struct display *display; /* NULL: free; only compared */
    bool busy;                     /* a thread draws with it */
    bool valid;                    /* of the rest */
    uint64_t used;                 /* generation of the newest update, for replacement */
    uint64_t look;                 /* digest of everything that all lines depend on */
    uint64_t lines[DISPLAY_MAXIMUM_HEIGHT];
};

struct vga_configuration {
    uint8_t *memory; /* VGA_HOST_SIZE bytes, page-aligned; the caller's, as long as the machine exists */
    struct timer_queue *timers;
    pthread_mutex_t *device_lock;
    /*
     * `length` bytes at `host`, a part of `memory`, are RAM of the guest at `gpa` from now on, and until unmap is
     * called with the same range. All page-aligned. Called under the device lock.
     */
    void (*map)(void *context, uint64_t gpa, uint64_t length, uint8_t *host);
    void (*unmap)(void *context, uint64_t gpa, uint64_t length);
    /*
     * Optional: sets bit i of `bitmap` if the guest may have written page i of [offset, offset + length) of `memory`,
     * wherever it is mapped, since it was asked for that page last; clears the others. False: it cannot say. Called
     * under the device lock.
     */
    bool (*dirty)(void *context, uint64_t offset, uint64_t length, uint64_t *bitmap);
    void *context;
};

/* Everything is under the device lock but what a busy watcher knows. */
struct vga {
    struct pci_device pci;
    struct vga_configuration configuration;
    uint32_t mapped_memory; /* where BAR 0 is, 0: nowhere */

    struct vga_ports ports[VGA_PORT_RANGES];
    uint8_t miscellaneous;
    uint8_t feature;
    uint8_t sequencer_index, sequencer[VGA_SEQUENCER_REGISTERS];
    uint8_t crtc_index, crtc[VGA_CRTC_REGISTERS];
    uint8_t graphics_index, graphics[VGA_GRAPHICS_REGISTERS];
    uint8_t attribute_index, attribute[VGA_ATTRIBUTE_REGISTERS];
    bool attribute_data; /* flip-flop: the next write to port 3C0h is data */
    struct vga_dac dac;
    struct vga_dispi dispi;

    struct vga_window window;
    uint32_t latch; /* a byte of each plane, plane 0 lowest */

    uint64_t generation;              /* counts updates of displays */
    uint64_t page_written[VGA_PAGES]; /* generation that found the page written */
    bool written;                     /* by the adapter itself, which no hook sees */
    struct vga_watcher watchers[VGA_WATCHERS];
};

/* `vga` must be zeroed. Joins the bus; false if a place is taken there. */
bool vga_initialize(struct vga *vga, struct pci_bus *pci, unsigned slot, const struct vga_configuration *configuration);

/* For struct display_source; `context` is the struct vga. Takes the device lock for a moment. */
unsigned vga_update(void *context, struct display *display, struct display_area areas[DISPLAY_AREAS]);

/*
 * The screen's text, in code page 437, as rows of *columns characters. False if it is not in a text mode, or `size` is
 * too small. Takes the device lock for a moment.
 */
bool vga_characters(struct vga *vga, unsigned *columns, unsigned *rows, uint8_t *characters, size_t size);

#endif
