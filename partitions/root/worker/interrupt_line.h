/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A wire: a device drives it, an interrupt controller listens. */
#ifndef WORKER_INTERRUPT_LINE_H
#define WORKER_INTERRUPT_LINE_H

#include <stdbool.h>

struct interrupt_line {
    void (*set)(void *controller, unsigned pin, bool level); /* called under the device lock, on every call of ours */
    void *controller;
    unsigned pin;
};

static inline void interrupt_line_set(const struct interrupt_line *line, bool level)
{
    if (line->set)
        line->set(line->controller, line->pin, level);
}

#endif
