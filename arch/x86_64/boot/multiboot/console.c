/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "arch/x86_64/boot/multiboot/console.h"
#include "arch/x86_64/cpu/instructions.h"
#include "drivers/host/uart.h"
#include "kernel/log.h"

/* IBM VGA: text mode 3, 80 columns and 25 lines of a character and its attribute. */
#define CELLS          ((volatile uint16_t *)0xB8000)
#define COLUMNS        80u
#define LINES          25u
#define BLANK          0x0720u
#define ATTRIBUTE      0x0700u
#define CRTC_INDEX     0x3D4
#define CRTC_DATA      0x3D5
#define CURSOR_HIGH    0x0E
#define CURSOR_LOW     0x0F
#define LENGTH_MAXIMUM 256u
#define PREFIX         "Loam: "

static bool has_text;
static unsigned position; /* cells */

static uint8_t crtc_read(uint8_t index)
{
    out8(CRTC_INDEX, index);
    return in8(CRTC_DATA);
}

static void crtc_write(uint8_t index, uint8_t value)
{
    out8(CRTC_INDEX, index);
    out8(CRTC_DATA, value);
}

void console_initialize(bool graphics)
{
    has_text = !graphics;
    if (!has_text)
        return;
    position = (unsigned)crtc_read(CURSOR_HIGH) << 8 | crtc_read(CURSOR_LOW);
    position = (position + COLUMNS - 1) / COLUMNS * COLUMNS;
    if (position > COLUMNS * LINES)
        position = COLUMNS * LINES;
}

void console_serial_port(uint16_t port)
{
    uart_initialize(port);
}

unsigned console_line(void)
{
    return position / COLUMNS < LINES ? position / COLUMNS : LINES - 1;
}

static void scroll(void)
{
    for (unsigned i = 0; i < COLUMNS * LINES; i++)
        CELLS[i] = i < COLUMNS * (LINES - 1) ? CELLS[i + COLUMNS] : BLANK;
    position -= COLUMNS;
}

static void screen_write(const char *text, size_t length)
{
    if (!has_text)
        return;
    for (size_t i = 0; i < length; i++) {
        if (position >= COLUMNS * LINES)
            scroll();
        CELLS[position++] = (uint16_t)(ATTRIBUTE | (uint8_t)text[i]);
    }
    position = (position + COLUMNS - 1) / COLUMNS * COLUMNS;
    crtc_write(CURSOR_HIGH, (uint8_t)(position >> 8));
    crtc_write(CURSOR_LOW, (uint8_t)position);
}

static void say_list(const char *format, va_list arguments)
{
    char text[LENGTH_MAXIMUM] = PREFIX;
    size_t length = sizeof PREFIX - 1;

    length += format_text_list(text + length, sizeof text - length, format, arguments);
    screen_write(text, length);
    uart_write(text, length);
    uart_write("\r\n", 2);
}

void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_list(format, arguments);
    va_end(arguments);
}

void stop(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say_list(format, arguments);
    va_end(arguments);
    say("nothing can be started");
    for (;;)
        cpu_halt();
}
