/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the screen shows at a moment: the registers, made into what drawing needs. A frame is taken under the device
 * lock; the rest works without it, on video memory that guests and devices go on changing. So each line is fetched
 * first, and what is compared and drawn is the copy.
 */
#ifndef WORKER_DEVICES_VGA_FRAME_H
#define WORKER_DEVICES_VGA_FRAME_H

#include "partitions/root/worker/devices/vga_registers.h"

#define VGA_FONT_CHARACTERS 256u
#define VGA_FONT_LINES      32u /* bytes of a character in plane 2 */
#define VGA_FONT_SIZE       (VGA_FONT_CHARACTERS * VGA_FONT_LINES)

enum vga_drawing {
    VGA_DRAW_TEXT,
    VGA_DRAW_PLANES,      /* four bits a dot, one from each plane */
    VGA_DRAW_INTERLEAVED, /* CGA's: two bits a dot from each of two planes */
    VGA_DRAW_256,         /* a byte for two dots, in each plane in turn */
    VGA_DRAW_8,           /* the others: pixel after pixel */
    VGA_DRAW_15,
    VGA_DRAW_16,
    VGA_DRAW_24,
    VGA_DRAW_32,
};

/* What every line depends on. Zeroed before it is filled: it is compared by a digest of its bytes. */
struct vga_look {
    enum vga_drawing drawing;
    bool blank;
    unsigned width, height; /* of the picture, within DISPLAY_MAXIMUM_* */
    uint32_t palette[256];  /* 00RRGGBBh; of text and planes, the first 16 */

    /* The first four kinds. Addresses count what the CRT controller's counter counts. */
    unsigned columns;        /* characters, or eight dots of graphics */
    unsigned character_dots; /* 8 or 9 */
    unsigned dot_width;      /* 1 or 2 of the picture */
    unsigned panning;        /* dots of the picture */
    bool panning_above;      /* below the line compare there is no panning */
    uint32_t start, pitch;
    uint32_t address_mask;
    unsigned address_shift;            /* from the counter to an offset in the planes */
    uint32_t row_scan_13, row_scan_14; /* bits of that offset that are bits 0 and 1 of the row scan; 0: none */
    unsigned line_compare;
    unsigned line_shift; /* 1: every line twice */
    unsigned row_lines;
    unsigned preset_row_scan;

    /* The others, in bytes. */
    uint32_t first_byte, line_bytes;
    bool big_endian;

    /* Text. */
    bool blink, line_graphics;
    unsigned underline; /* row scan */
    uint32_t fonts[2];  /* offsets in plane 2; 0: of characters with attribute bit 3 clear */
    uint64_t font_digest;
};

/* Where a line of the picture comes from. */
struct vga_line {
    uint32_t address; /* of the counter, or a byte's */
    unsigned row_scan;
    bool below; /* the line compare */
};

#define VGA_SOURCE_SIZE (4 * DISPLAY_MAXIMUM_WIDTH)
#define VGA_EXTRA_DOTS  32u /* what panning moves out of the picture */

struct vga_frame {
    struct vga_look look;
    const uint8_t *memory;
    bool text_buffered; /* planes 0 and 1 begin in the text buffer */

    bool cursor;              /* shown at this moment */
    uint32_t cursor_location; /* of the counter */
    unsigned cursor_first, cursor_last;
    bool blinked; /* characters that blink are not shown at this moment */

    uint8_t fonts[2][VGA_FONT_SIZE];

    uint8_t source[VGA_SOURCE_SIZE + 16]; /* of the line that was fetched last */
    size_t source_length;
    uint32_t dots[DISPLAY_MAXIMUM_WIDTH + VGA_EXTRA_DOTS];
};

/* Under the device lock. */
void vga_frame_take(struct vga *vga, struct vga_frame *frame);

/* Fetches the fonts if it is a text frame. */
void vga_frame_fetch_fonts(struct vga_frame *frame);

/* Line `y` of the picture; y < height. */
struct vga_line vga_frame_line(const struct vga_look *look, unsigned y);

/* Copies what the line is made of to `source`. Text: character and attribute in turn; planes: a byte of each in turn.
 */
void vga_frame_fetch(struct vga_frame *frame, const struct vga_line *line);

/* The pixels of the line that was fetched, `width` of them, in the frame's `dots`. */
const uint32_t *vga_draw(struct vga_frame *frame, const struct vga_line *line);

/* Is the cursor in this line? */
bool vga_frame_has_cursor(const struct vga_frame *frame, const struct vga_line *line);

/* Are lines of one address made of the same, whatever the row scan? */
static inline bool vga_frame_rows_are_alike(const struct vga_look *look)
{
    return !look->row_scan_13 && !look->row_scan_14;
}

static inline bool vga_packed(const struct vga_look *look)
{
    return look->drawing >= VGA_DRAW_8;
}

#endif
