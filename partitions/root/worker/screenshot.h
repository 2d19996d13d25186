/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a display shows, as a PNG (ISO/IEC 15948) of 8 bits in each of three colours, which goes to a socket as
 * fast as that takes it. The picture is taken, and compressed, at once: it is of one moment, and what is shown
 * afterwards does not have to wait for who reads it.
 */
#ifndef WORKER_SCREENSHOT_H
#define WORKER_SCREENSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "partitions/root/worker/display.h"

/* At most somewhat more than three bytes a pixel; what a screen usually shows is a tenth of that and less. */
struct screenshot {
    uint8_t *bytes;
    size_t length, size;
    size_t sent;
};

/* 0 or an errno: EAGAIN if there is no picture yet. To be closed in either case. */
int screenshot_take(struct screenshot *screenshot, const struct display *display);

/* Sends what a non-blocking socket takes. 0: all is sent; EAGAIN: there is more; or another errno. */
int screenshot_send(struct screenshot *screenshot, int descriptor);

void screenshot_close(struct screenshot *screenshot);

#endif
