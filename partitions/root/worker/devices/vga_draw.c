/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fetched line, to pixels. */
#include "partitions/root/worker/devices/vga_frame.h"

#include <string.h>

#define ATTRIBUTE_BLINKS    0x80
#define ATTRIBUTE_FONT      0x08
#define ATTRIBUTE_UNDERLINE 0x01 /* of bits 2-0 */
#define LINE_GRAPHICS_FIRST 0xc0
#define LINE_GRAPHICS_LAST  0xdf

static uint32_t *put(const struct vga_frame *frame, uint32_t *dots, uint32_t color)
{
    *dots++ = color;
    if (frame->look.dot_width == 2)
        *dots++ = color;
    return dots;
}

/* ---- Text ---- */

/* The dots of a character in this line, the leftmost in bit 8. */
static unsigned character_bits(const struct vga_frame *frame, const struct vga_line *line, const uint8_t *cell)
{
    const struct vga_look *look = &frame->look;
    uint8_t attribute = cell[1];
    unsigned bits =
        (unsigned)frame->fonts[attribute & ATTRIBUTE_FONT ? 1 : 0][cell[0] * VGA_FONT_LINES + line->row_scan] << 1;

    if (look->line_graphics && cell[0] >= LINE_GRAPHICS_FIRST && cell[0] <= LINE_GRAPHICS_LAST)
        bits |= bits >> 1 & 1;
    if ((attribute & 7) == ATTRIBUTE_UNDERLINE && line->row_scan == look->underline)
        bits = 0x1ff;
    if (look->blink && attribute & ATTRIBUTE_BLINKS && frame->blinked)
        bits = 0;
    return bits;
}

static void draw_text(struct vga_frame *frame, const struct vga_line *line)
{
    const struct vga_look *look = &frame->look;
    bool has_cursor = vga_frame_has_cursor(frame, line);
    uint32_t cursor_column = (frame->cursor_location - line->address) & 0xffff;
    uint32_t *dots = frame->dots;

    for (unsigned i = 0; i <= look->columns; i++) {
        const uint8_t *cell = frame->source + 2 * i;
        uint32_t foreground = look->palette[cell[1] & 15];
        uint32_t background = look->palette[cell[1] >> 4 & (look->blink ? 7 : 15)];
        unsigned bits = has_cursor && i == cursor_column ? 0x1ff : character_bits(frame, line, cell);

        for (unsigned dot = 0; dot < look->character_dots; dot++)
            dots = put(frame, dots, bits & 0x100u >> dot ? foreground : background);
    }
}

/* ---- Planes ---- */

static void draw_planes(struct vga_frame *frame, const struct vga_line *line)
{
    uint32_t *dots = frame->dots;

    (void)line;
    for (unsigned i = 0; i <= frame->look.columns; i++) {
        const uint8_t *bytes = frame->source + 4 * i;

        for (unsigned bit = 8; bit-- > 0;) {
            unsigned color = (bytes[0] >> bit & 1u) | (bytes[1] >> bit & 1u) << 1 | (bytes[2] >> bit & 1u) << 2 |
                             (bytes[3] >> bit & 1u) << 3;

            dots = put(frame, dots, frame->look.palette[color]);
        }
    }
}

/* Planes 0 and 1 have the low two bits of four dots each, planes 2 and 3 the high ones. */
static void draw_interleaved(struct vga_frame *frame, const struct vga_line *line)
{
    uint32_t *dots = frame->dots;

    (void)line;
    for (unsigned i = 0; i <= frame->look.columns; i++) {
        const uint8_t *bytes = frame->source + 4 * i;

        for (unsigned dot = 0; dot < 8; dot++) {
            unsigned shift = 6 - 2 * (dot % 4);
            unsigned color = (bytes[dot / 4] >> shift & 3u) | (bytes[2 + dot / 4] >> shift & 3u) << 2;

            dots = put(frame, dots, frame->look.palette[color]);
        }
    }
}

static void draw_256(struct vga_frame *frame, const struct vga_line *line)
{
    uint32_t *dots = frame->dots;

    (void)line;
    for (unsigned i = 0; i < 4 * (frame->look.columns + 1); i++) {
        dots = put(frame, dots, frame->look.palette[frame->source[i]]);
        dots = put(frame, dots, frame->look.palette[frame->source[i]]);
    }
}

/* ---- Pixel after pixel ---- */

static void draw_8(struct vga_frame *frame, const struct vga_line *line)
{
    (void)line;
    for (unsigned i = 0; i < frame->look.width; i++)
        frame->dots[i] = frame->look.palette[frame->source[i]];
}

static uint16_t pixel_16(const struct vga_frame *frame, unsigned i)
{
    uint16_t pixel = (uint16_t)(frame->source[2 * i] | frame->source[2 * i + 1] << 8);

    return frame->look.big_endian ? __builtin_bswap16(pixel) : pixel;
}

/* A colour of five bits or six in eight: its high bits once more below. */
static uint32_t widen(uint32_t value, unsigned bits)
{
    return value << (8 - bits) | value >> (2 * bits - 8);
}

static void draw_15(struct vga_frame *frame, const struct vga_line *line)
{
    (void)line;
    for (unsigned i = 0; i < frame->look.width; i++) {
        uint16_t pixel = pixel_16(frame, i);

        frame->dots[i] = widen(pixel >> 10 & 31, 5) << 16 | widen(pixel >> 5 & 31, 5) << 8 | widen(pixel & 31, 5);
    }
}

static void draw_16(struct vga_frame *frame, const struct vga_line *line)
{
    (void)line;
    for (unsigned i = 0; i < frame->look.width; i++) {
        uint16_t pixel = pixel_16(frame, i);

        frame->dots[i] = widen(pixel >> 11, 5) << 16 | widen(pixel >> 5 & 63, 6) << 8 | widen(pixel & 31, 5);
    }
}

static void draw_24(struct vga_frame *frame, const struct vga_line *line)
{
    (void)line;
    for (unsigned i = 0; i < frame->look.width; i++) {
        const uint8_t *bytes = frame->source + 3 * i;

        frame->dots[i] = (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
    }
}

static void draw_32(struct vga_frame *frame, const struct vga_line *line)
{
    (void)line;
    memcpy(frame->dots, frame->source, frame->source_length);
    for (unsigned i = 0; i < frame->look.width; i++)
        frame->dots[i] = (frame->look.big_endian ? __builtin_bswap32(frame->dots[i]) : frame->dots[i]) & 0xffffff;
}

const uint32_t *vga_draw(struct vga_frame *frame, const struct vga_line *line)
{
    static void (*const functions[])(struct vga_frame *, const struct vga_line *) = {
        [VGA_DRAW_TEXT] = draw_text, [VGA_DRAW_PLANES] = draw_planes, [VGA_DRAW_INTERLEAVED] = draw_interleaved,
        [VGA_DRAW_256] = draw_256,   [VGA_DRAW_8] = draw_8,           [VGA_DRAW_15] = draw_15,
        [VGA_DRAW_16] = draw_16,     [VGA_DRAW_24] = draw_24,         [VGA_DRAW_32] = draw_32,
    };
    const struct vga_look *look = &frame->look;

    if (look->blank) {
        memset(frame->dots, 0, look->width * sizeof frame->dots[0]);
        return frame->dots;
    }
    functions[look->drawing](frame, line);
    return frame->dots + (line->below && look->panning_above ? 0 : look->panning);
}
