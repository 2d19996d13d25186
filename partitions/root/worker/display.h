/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine shows: pixels that a graphics adapter draws for whoever looks (VNC server, screenshots). The
 * owner of a struct display is the one who looks; nothing is drawn while nobody does.
 */
#ifndef WORKER_DISPLAY_H
#define WORKER_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define DISPLAY_MAXIMUM_WIDTH  4096u
#define DISPLAY_MAXIMUM_HEIGHT 4096u
#define DISPLAY_AREAS          32u

struct display {
    unsigned width, height; /* 0 x 0: nothing has been drawn yet */
    uint32_t *pixels;       /* 00RRGGBBh, rows of `width` without padding; malloc */
};

struct display_area {
    unsigned x, y, width, height;
};

/* Whoever draws. */
struct display_source {
    /*
     * Brings `display` up to date with what the machine shows now and says which areas have changed since the
     * last call with the same display: at most DISPLAY_AREAS, which may overlap. A change of size is one area
     * with everything. Returns how many; 0 also when there is no memory, and then *display is as it was.
     * Takes the device lock itself; from one thread at a time for each display.
     */
    unsigned (*update)(void *context, struct display *display, struct display_area areas[DISPLAY_AREAS]);
    void *context;
};

#endif
