/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the multiboot loader says: on the screen in text mode, and on a serial port. */
#ifndef BOOT_MULTIBOOT_CONSOLE_H
#define BOOT_MULTIBOOT_CONSOLE_H

#include "hv/types.h"

/* Continues below what is on the screen, unless it shows graphics. */
void console_initialize(bool graphics);

/* What is said from here on is said there too; 0: nowhere. */
void console_serial_port(uint16_t port);

/* Prints "Loam: ..." and a newline; the formats of format_text. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and then that nothing can be started; stops the processor. */
void stop(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The screen's line that the next message would be in. */
unsigned console_line(void);

#endif
