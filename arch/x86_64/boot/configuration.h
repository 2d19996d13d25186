/* SPDX-License-Identifier: GPL-2.0-or-later */
/* \EFI\loam\loam.conf: lines "key = value", '#' begins a comment; or the words of a multiboot command line. */
#ifndef BOOT_CONFIGURATION_H
#define BOOT_CONFIGURATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIGURATION_TEXT 512
#define CONFIGURATION_PATH "\\EFI\\loam\\loam.conf"

struct configuration {
    char next[CONFIGURATION_TEXT];    /* image to start as the parent; empty: search the ESP */
    char cmdline[CONFIGURATION_TEXT]; /* its load options */
    char initrd[CONFIGURATION_TEXT];  /* offered by the LoadFile2 protocol; empty: none */
    uint32_t log_level;               /* 0 quiet, 1 normal, 2 verbose */
    uint16_t serial_port;             /* I/O port of a 16550, 0: none */
    uint32_t panic_seconds;           /* until the reset after a panic; 0: never */
    bool mp_services;                 /* hand over the other processors through EFI MP Services */
};

void configuration_defaults(struct configuration *configuration);

/*
 * Reads `size` bytes of text. Each mistake (unknown key, bad value, line without '=') is reported with its line number,
 * counted from 1, and a text without a newline; the default stays.
 */
void configuration_parse(struct configuration *configuration, const char *text, size_t size,
                         void (*report)(void *context, unsigned line, const char *problem), void *context);

/*
 * The same from a command line: words "key=value" with blanks between; log, serial and panic are known. Words are
 * counted from 1; without `report`, nobody is told of mistakes.
 */
void configuration_parse_words(struct configuration *configuration, const char *text, size_t size,
                               void (*report)(void *context, unsigned word, const char *problem), void *context);

#endif
