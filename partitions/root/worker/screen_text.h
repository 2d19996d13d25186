/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a screen in text mode shows, for programs and for people without a viewer. */
#ifndef WORKER_SCREEN_TEXT_H
#define WORKER_SCREEN_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define SCREEN_TEXT_COLUMNS 160u
#define SCREEN_TEXT_ROWS    100u

struct screen_text {
    unsigned columns, rows;                                     /* at most as above */
    uint8_t characters[SCREEN_TEXT_ROWS * SCREEN_TEXT_COLUMNS]; /* rows of `columns`, in code page 437 */
};

/* Whoever has it. */
struct screen_text_source {
    /* False: the screen is not in a text mode. Takes the device lock itself; any thread. */
    bool (*read)(void *context, struct screen_text *text);
    void *context;
};

/* {"columns", "rows", "lines"}: the lines in UTF-8, without blanks at their ends. NULL: no memory. */
json_t *screen_text_json(const struct screen_text *text);

#endif
