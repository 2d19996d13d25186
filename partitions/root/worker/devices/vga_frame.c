/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/vga_frame.h"

#include <string.h>

/* What is shown, in black, when the registers describe no picture. */
#define NOTHING_WIDTH   640u
#define NOTHING_HEIGHT  400u
#define SMALLEST_WIDTH  160u
#define SMALLEST_HEIGHT 100u

#define CURSOR_FRAMES 8  /* shown and not shown for so many frames each */
#define BLINK_FRAMES  16 /* the same for characters */

#define PLANE_MASK       0xffffu
#define DISPI_PLANE_MASK (VGA_MEMORY_SIZE / 4 - 1)

static unsigned minimum(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static uint32_t crtc_word(const struct vga *vga, unsigned index)
{
    return (uint32_t)vga->crtc[index] << 8 | vga->crtc[index + 1];
}

/* ---- Colours ---- */

static uint32_t attribute_color(const struct vga *vga, unsigned index)
{
    uint8_t select = vga->attribute[ATTRIBUTE_COLOR_SELECT];
    uint8_t color = vga->attribute[index & vga->attribute[ATTRIBUTE_PLANE_ENABLE] & 15];

    if (vga->attribute[ATTRIBUTE_MODE] & MODE_PALETTE_54)
        color = (uint8_t)((color & 0x0f) | (select & 0x03) << 4);
    color |= (uint8_t)((select & 0x0c) << 4);
    return vga_dac_color(&vga->dac, color & vga->dac.mask);
}

static void take_palette(const struct vga *vga, struct vga_look *look)
{
    if (look->drawing == VGA_DRAW_256 || look->drawing == VGA_DRAW_8)
        for (unsigned i = 0; i < 256; i++)
            look->palette[i] = vga_dac_color(&vga->dac, (uint8_t)i & vga->dac.mask);
    else if (!vga_packed(look))
        for (unsigned i = 0; i < 16; i++)
            look->palette[i] = attribute_color(vga, i);
}

/* ---- Dispi modes ---- */

static void take_dispi_planes(const struct vga *vga, struct vga_look *look)
{
    const uint16_t *registers = vga->dispi.registers;

    look->drawing = VGA_DRAW_PLANES;
    look->columns = look->width / 8;
    look->character_dots = 8;
    look->dot_width = 1;
    look->panning = registers[DISPI_X_OFFSET] % 8;
    look->pitch = vga_dispi_line_bytes(vga);
    look->start = registers[DISPI_Y_OFFSET] * look->pitch + registers[DISPI_X_OFFSET] / 8u;
    look->address_mask = DISPI_PLANE_MASK;
    look->line_compare = DISPLAY_MAXIMUM_HEIGHT;
    look->row_lines = 1;
}

static void take_dispi(const struct vga *vga, struct vga_look *look)
{
    static const struct {
        uint16_t bpp;
        enum vga_drawing drawing;
        uint8_t bytes;
    } formats[] = {
        {8,  VGA_DRAW_8,  1},
        {15, VGA_DRAW_15, 2},
        {16, VGA_DRAW_16, 2},
        {24, VGA_DRAW_24, 3},
        {32, VGA_DRAW_32, 4},
    };
    const uint16_t *registers = vga->dispi.registers;

    look->width = registers[DISPI_XRES];
    look->height = registers[DISPI_YRES];
    if (registers[DISPI_BPP] == 4) {
        take_dispi_planes(vga, look);
        return;
    }
    look->big_endian = vga->dispi.big_endian;
    look->line_bytes = vga_dispi_line_bytes(vga);
    for (unsigned i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].bpp == registers[DISPI_BPP]) {
            look->drawing = formats[i].drawing;
            look->first_byte =
                registers[DISPI_Y_OFFSET] * look->line_bytes + (uint32_t)registers[DISPI_X_OFFSET] * formats[i].bytes;
        }
}

/* ---- VGA modes ---- */

static enum vga_drawing vga_drawing(const struct vga *vga)
{
    if (!(vga->graphics[GRAPHICS_MISCELLANEOUS] & MISCELLANEOUS_GRAPHICS))
        return VGA_DRAW_TEXT;
    if (vga->graphics[GRAPHICS_MODE] & MODE_SHIFT_256)
        return VGA_DRAW_256;
    return vga->graphics[GRAPHICS_MODE] & MODE_SHIFT_INTERLEAVE ? VGA_DRAW_INTERLEAVED : VGA_DRAW_PLANES;
}

/*
 * Where the counter leads. The CRT controller's word and double-word modes skip the addresses that chaining leaves
 * empty in the true adapter's planes; here chained memory has no gaps, and so these modes skip only what is left of
 * that.
 */
static void take_addresses(const struct vga *vga, struct vga_look *look)
{
    uint8_t control = vga->crtc[CRTC_MODE_CONTROL];
    uint8_t mode = vga->sequencer[SEQUENCER_MEMORY_MODE];
    unsigned skips = vga->crtc[CRTC_UNDERLINE_LOCATION] & UNDERLINE_DOUBLE_WORD ? 2
                     : control & MODE_CONTROL_BYTE                              ? 0
                                                                                : 1;
    unsigned gaps = mode & MEMORY_MODE_CHAIN_4 ? 2 : mode & MEMORY_MODE_SEQUENTIAL ? 0 : 1;
    unsigned packing = look->drawing == VGA_DRAW_TEXT ? skips : minimum(skips, gaps);

    look->address_mask = PLANE_MASK;
    look->address_shift = skips - packing;
    look->row_scan_13 = control & MODE_CONTROL_MA13 ? 0 : 1u << (13 - packing);
    look->row_scan_14 = control & MODE_CONTROL_MA14 ? 0 : 1u << (14 - packing);
    look->start = crtc_word(vga, CRTC_START_ADDRESS) + (vga->crtc[CRTC_PRESET_ROW_SCAN] >> 5 & 3);
    look->pitch = 2u * vga->crtc[CRTC_OFFSET];
}

static void take_vertical(const struct vga *vga, struct vga_look *look)
{
    uint8_t maximum = vga->crtc[CRTC_MAXIMUM_SCAN_LINE];

    look->height = vga_crtc_vertical(vga, CRTC_VERTICAL_DISPLAY_END, 1, 6) + 1;
    look->line_compare =
        vga->crtc[CRTC_LINE_COMPARE] | (vga->crtc[CRTC_OVERFLOW] >> 4 & 1u) << 8 | (maximum >> 6 & 1u) << 9;
    look->line_shift = maximum & MAXIMUM_SCAN_LINE_DOUBLE ? 1 : 0;
    look->row_lines = (maximum & 0x1fu) + 1;
    look->preset_row_scan = vga->crtc[CRTC_PRESET_ROW_SCAN] & 0x1f;
}

/* Nine dots: 8 is no panning, and 0 to 7 are one to eight dots. */
static unsigned panning(const struct vga *vga, const struct vga_look *look)
{
    unsigned value = vga->attribute[ATTRIBUTE_PANNING];

    if (look->character_dots == 9)
        return value < 8 ? value + 1 : 0;
    return look->drawing == VGA_DRAW_256 ? value & 6 : value & 7;
}

static void take_vga(const struct vga *vga, struct vga_look *look)
{
    uint8_t clocking = vga->sequencer[SEQUENCER_CLOCKING_MODE];

    look->drawing = vga_drawing(vga);
    look->character_dots = look->drawing == VGA_DRAW_TEXT && !(clocking & CLOCKING_8_DOTS) ? 9 : 8;
    look->dot_width = clocking & CLOCKING_HALF ? 2 : 1;
    look->columns = minimum(vga->crtc[CRTC_HORIZONTAL_DISPLAY_END] + 1u,
                            DISPLAY_MAXIMUM_WIDTH / (look->character_dots * look->dot_width));
    look->width = look->columns * look->character_dots * look->dot_width;
    look->panning = panning(vga, look) * look->dot_width;
    look->panning_above = vga->attribute[ATTRIBUTE_MODE] & MODE_PANNING_ABOVE;
    take_vertical(vga, look);
    take_addresses(vga, look);
}

/* ---- Text ---- */

/* Character maps A (bits 5, 3-2) and B (bits 4, 1-0): the first four are 16 KiB apart, the others between them. */
static void take_fonts(const struct vga *vga, struct vga_look *look)
{
    uint8_t map = vga->sequencer[SEQUENCER_CHARACTER_MAP];

    look->fonts[0] = (map & 3u) * 0x4000 + (map >> 4 & 1u) * 0x2000;
    look->fonts[1] = (map >> 2 & 3u) * 0x4000 + (map >> 5 & 1u) * 0x2000;
}

static void take_text(const struct vga *vga, struct vga_frame *frame)
{
    struct vga_look *look = &frame->look;
    uint64_t frames = timer_now(vga->configuration.timers) / ((uint64_t)vga_lines(vga).total * VGA_LINE_NANOSECONDS);

    take_fonts(vga, look);
    look->blink = vga->attribute[ATTRIBUTE_MODE] & MODE_BLINK;
    look->line_graphics = vga->attribute[ATTRIBUTE_MODE] & MODE_LINE_GRAPHICS;
    look->underline = vga->crtc[CRTC_UNDERLINE_LOCATION] & 0x1f;
    frame->blinked = frames / BLINK_FRAMES % 2;
    frame->cursor = !(vga->crtc[CRTC_CURSOR_START] & CURSOR_OFF) && frames / CURSOR_FRAMES % 2 == 0;
    frame->cursor_location = crtc_word(vga, CRTC_CURSOR_LOCATION);
    frame->cursor_first = vga->crtc[CRTC_CURSOR_START] & 0x1f;
    frame->cursor_last = vga->crtc[CRTC_CURSOR_END] & 0x1f;
}

/* ---- Frames ---- */

void vga_frame_take(struct vga *vga, struct vga_frame *frame)
{
    struct vga_look *look = &frame->look;

    memset(look, 0, sizeof *look);
    frame->memory = vga->configuration.memory;
    frame->text_buffered = vga_text_buffered(vga);
    frame->cursor = false;
    if (vga_dispi_enabled(vga))
        take_dispi(vga, look);
    else
        take_vga(vga, look);
    take_palette(vga, look);
    if (look->drawing == VGA_DRAW_TEXT)
        take_text(vga, frame);
    look->blank =
        !(vga->attribute_index & ATTRIBUTE_SCREEN_ON) || vga->sequencer[SEQUENCER_CLOCKING_MODE] & CLOCKING_SCREEN_OFF;
    if (!vga_dispi_enabled(vga) && (look->width < SMALLEST_WIDTH || look->height < SMALLEST_HEIGHT)) {
        look->width = NOTHING_WIDTH;
        look->height = NOTHING_HEIGHT;
        look->blank = true;
    }
}

void vga_frame_fetch_fonts(struct vga_frame *frame)
{
    const struct vga_look *look = &frame->look;

    if (look->drawing != VGA_DRAW_TEXT)
        return;
    for (unsigned font = 0; font < 2; font++)
        for (unsigned i = 0; i < VGA_FONT_SIZE; i++)
            frame->fonts[font][i] = frame->memory[4 * (look->fonts[font] + i) + 2];
}

struct vga_line vga_frame_line(const struct vga_look *look, unsigned y)
{
    bool below = y > look->line_compare;
    unsigned n;

    if (vga_packed(look))
        return (struct vga_line){.address = look->first_byte + y * look->line_bytes};
    n = (below ? y - look->line_compare - 1 : y) >> look->line_shift;
    if (!below)
        n += look->preset_row_scan;
    return (struct vga_line){
        .address = (below ? 0 : look->start) + n / look->row_lines * look->pitch,
        .row_scan = n % look->row_lines,
        .below = below,
    };
}

/* The offset in the planes of what the counter says. */
static uint32_t plane_offset(const struct vga_look *look, const struct vga_line *line, uint32_t counter)
{
    uint32_t offset = counter << look->address_shift;

    if (look->row_scan_13)
        offset = (offset & ~look->row_scan_13) | (line->row_scan & 1 ? look->row_scan_13 : 0);
    if (look->row_scan_14)
        offset = (offset & ~look->row_scan_14) | (line->row_scan & 2 ? look->row_scan_14 : 0);
    return offset & look->address_mask;
}

/* A byte of each plane. Those of planes 0 and 1 may be in the text buffer, in CGA's graphics modes as well. */
static void fetch_planes_at(const struct vga_frame *frame, uint32_t offset, uint8_t bytes[4])
{
    memcpy(bytes, frame->memory + 4 * offset, 4);
    if (frame->text_buffered && offset < VGA_TEXT_SIZE / 2)
        memcpy(bytes, frame->memory + VGA_MEMORY_SIZE + 2 * offset, 2);
}

static void fetch_planes(struct vga_frame *frame, const struct vga_line *line)
{
    unsigned kept = frame->look.drawing == VGA_DRAW_TEXT ? 2 : 4;

    for (unsigned i = 0; i <= frame->look.columns; i++) {
        uint8_t bytes[4];

        fetch_planes_at(frame, plane_offset(&frame->look, line, line->address + i), bytes);
        memcpy(frame->source + kept * i, bytes, kept);
    }
    frame->source_length = kept * (frame->look.columns + 1);
}

void vga_frame_fetch(struct vga_frame *frame, const struct vga_line *line)
{
    static const uint8_t bytes[] = {
        [VGA_DRAW_8] = 1, [VGA_DRAW_15] = 2, [VGA_DRAW_16] = 2, [VGA_DRAW_24] = 3, [VGA_DRAW_32] = 4};

    if (frame->look.blank) {
        frame->source_length = 0;
    } else if (vga_packed(&frame->look)) {
        frame->source_length = (size_t)frame->look.width * bytes[frame->look.drawing];
        memcpy(frame->source, frame->memory + line->address, frame->source_length);
    } else {
        fetch_planes(frame, line);
    }
}

bool vga_frame_has_cursor(const struct vga_frame *frame, const struct vga_line *line)
{
    return frame->cursor && line->row_scan >= frame->cursor_first && line->row_scan <= frame->cursor_last &&
           ((frame->cursor_location - line->address) & PLANE_MASK) <= frame->look.columns;
}
