/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the graphics adapter share: names of its registers, and each other's functions. Under the device
 * lock unless something else is said.
 */
#ifndef WORKER_DEVICES_VGA_REGISTERS_H
#define WORKER_DEVICES_VGA_REGISTERS_H

#include "partitions/root/worker/devices/vga.h"

#define MISCELLANEOUS_COLOR  0x01 /* CRT controller at 3D4h, not 3B4h */
#define MISCELLANEOUS_MEMORY 0x02 /* the processor reaches video memory */

#define SEQUENCER_CLOCKING_MODE 1
#define CLOCKING_8_DOTS         0x01
#define CLOCKING_HALF           0x08
#define CLOCKING_SCREEN_OFF     0x20
#define SEQUENCER_MAP_MASK      2
#define SEQUENCER_CHARACTER_MAP 3
#define SEQUENCER_MEMORY_MODE   4
#define MEMORY_MODE_SEQUENTIAL  0x04 /* 0: odd/even */
#define MEMORY_MODE_CHAIN_4     0x08

#define CRTC_HORIZONTAL_DISPLAY_END 0x01
#define CRTC_VERTICAL_TOTAL         0x06
#define CRTC_OVERFLOW               0x07
#define CRTC_PRESET_ROW_SCAN        0x08
#define CRTC_MAXIMUM_SCAN_LINE      0x09
#define MAXIMUM_SCAN_LINE_DOUBLE    0x80
#define CRTC_CURSOR_START           0x0a
#define CURSOR_OFF                  0x20
#define CRTC_CURSOR_END             0x0b
#define CRTC_START_ADDRESS          0x0c
#define CRTC_CURSOR_LOCATION        0x0e
#define CRTC_VERTICAL_RETRACE_END   0x11
#define VERTICAL_RETRACE_PROTECT    0x80
#define CRTC_VERTICAL_DISPLAY_END   0x12
#define CRTC_OFFSET                 0x13
#define CRTC_UNDERLINE_LOCATION     0x14
#define UNDERLINE_DOUBLE_WORD       0x40
#define CRTC_MODE_CONTROL           0x17
#define MODE_CONTROL_MA13           0x01 /* 0: address bit 13 is bit 0 of the row scan counter */
#define MODE_CONTROL_MA14           0x02 /* the same for bits 14 and 1 */
#define MODE_CONTROL_BYTE           0x40
#define CRTC_LINE_COMPARE           0x18

#define GRAPHICS_SET_RESET        0
#define GRAPHICS_ENABLE_SET_RESET 1
#define GRAPHICS_COLOR_COMPARE    2
#define GRAPHICS_DATA_ROTATE      3
#define GRAPHICS_READ_MAP         4
#define GRAPHICS_MODE             5
#define MODE_WRITE                0x03
#define MODE_READ_COMPARE         0x08
#define MODE_ODD_EVEN             0x10
#define MODE_SHIFT_INTERLEAVE     0x20
#define MODE_SHIFT_256            0x40
#define GRAPHICS_MISCELLANEOUS    6
#define MISCELLANEOUS_GRAPHICS    0x01
#define GRAPHICS_COLOR_DONT_CARE  7
#define GRAPHICS_BIT_MASK         8

#define ATTRIBUTE_MODE         0x10
#define MODE_LINE_GRAPHICS     0x04 /* the ninth dot of characters C0h-DFh repeats the eighth */
#define MODE_BLINK             0x08
#define MODE_PANNING_ABOVE     0x20 /* panning ends at the line compare */
#define MODE_PALETTE_54        0x80
#define ATTRIBUTE_PLANE_ENABLE 0x12
#define ATTRIBUTE_PANNING      0x13
#define ATTRIBUTE_COLOR_SELECT 0x14
#define ATTRIBUTE_SCREEN_ON    0x20 /* in the index: palette address source */

/* Dispi ports and registers. The data port is at 1D0h as well, for machines that have no odd words. */
#define DISPI_PORT_INDEX  0x1ce
#define DISPI_PORTS       4
#define DISPI_ID          0x0
#define DISPI_XRES        0x1
#define DISPI_YRES        0x2
#define DISPI_BPP         0x3
#define DISPI_ENABLE      0x4
#define ENABLE_ENABLED    0x0001
#define ENABLE_GETCAPS    0x0002
#define ENABLE_8BIT_DAC   0x0020
#define ENABLE_LFB        0x0040
#define ENABLE_NOCLEARMEM 0x0080
#define DISPI_BANK        0x5
#define DISPI_VIRT_WIDTH  0x6
#define DISPI_VIRT_HEIGHT 0x7
#define DISPI_X_OFFSET    0x8
#define DISPI_Y_OFFSET    0x9
#define DISPI_MEMORY_64K  0xa

/* Of a line of time: 31.5 kHz in all modes of the VGA. */
#define VGA_LINE_NANOSECONDS 31778u

/* ---- vga.c ---- */

/* Ports 3B0h-3DFh. A port that nobody has, or that is switched off, reads FFh. */
uint8_t vga_port_read(struct vga *vga, unsigned port);
void vga_port_write(struct vga *vga, unsigned port, uint8_t value);

/* A ten-bit value of the CRT controller, whose bits 8 and 9 are bits `eighth` and `ninth` of the overflow register. */
unsigned vga_crtc_vertical(const struct vga *vga, unsigned index, unsigned eighth, unsigned ninth);

/* Lines of a frame, and of those the visible ones. */
struct vga_lines {
    unsigned total, visible;
};
struct vga_lines vga_lines(const struct vga *vga);

/* ---- vga_dac.c ---- */

uint8_t vga_dac_read(struct vga_dac *dac, unsigned port);
void vga_dac_write(struct vga_dac *dac, unsigned port, uint8_t value);
void vga_dac_reset(struct vga_dac *dac);
/* 00RRGGBBh */
uint32_t vga_dac_color(const struct vga_dac *dac, uint8_t index);

/* ---- vga_dispi.c ---- */

extern const struct bus_operations vga_dispi_operations, vga_register_operations;

static inline bool vga_dispi_enabled(const struct vga *vga)
{
    return vga->dispi.registers[DISPI_ENABLE] & ENABLE_ENABLED;
}

/* Bytes from one line to the next (of one plane, with four bits a pixel). */
uint32_t vga_dispi_line_bytes(const struct vga *vga);
void vga_dispi_reset(struct vga *vga);

/* ---- vga_memory.c ---- */

extern const struct bus_operations vga_window_operations, vga_memory_operations;

/* The hook of BAR 0. */
void vga_memory_moved(void *device, uint32_t address);

/* After registers changed that say what is at A0000h. */
void vga_window_changed(struct vga *vga);

/* Is the window RAM in the text buffer now? */
bool vga_text_buffered(const struct vga *vga);

#endif
