/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A viewer says where its pointer is; a PS/2 mouse only says how far it has moved. So that the guest's pointer
 * follows, it is first pushed into the upper left corner, wherever it was, and from then on moved by the
 * differences. A guest that accelerates its pointer makes it drift: at each edge that the viewer's pointer
 * touches, the guest's is pushed against it too, and so they meet again.
 *
 * Reports are made at the rate of a PS/2 mouse, since a guest that gets two at once may see only their sum, and
 * a push against an edge would be lost in it.
 */
#ifndef WORKER_POINTER_H
#define WORKER_POINTER_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/worker/input.h"

#define POINTER_INTERVAL 10u /* milliseconds between reports */
#define POINTER_STEP     127 /* pixels in each direction of one report */
#define POINTER_QUEUE    16u

/* Where the pointer is to be, with which buttons. */
struct pointer_target {
    int x, y;
    int push_x, push_y; /* beyond the edge */
    int wheel;
    unsigned buttons; /* INPUT_BUTTON_* */
};

/* All zeros at first. */
struct pointer {
    unsigned width, height; /* of the screen; another size begins anew in the corner */
    int x, y;               /* where the guest's pointer is thought to be */
    unsigned mask;          /* RFB's buttons of the last event */
    unsigned buttons;       /* INPUT_BUTTON_*, as the guest has been told */
    struct pointer_target targets[POINTER_QUEUE];
    unsigned first, count;
    uint64_t due; /* of the next report, in milliseconds */
};

/*
 * A viewer's pointer is at (x, y) of a screen of this size, with the buttons of RFC 6143 7.5.5 (bit 0 left, 1
 * middle, 2 right, 3 and 4 the wheel). Positions outside are the nearest inside.
 */
void pointer_event(struct pointer *pointer, unsigned width, unsigned height, unsigned x, unsigned y, unsigned mask);

/* Makes the report that is due. `now` in milliseconds. */
void pointer_run(struct pointer *pointer, const struct input_sink *sink, uint64_t now);

/* When pointer_run() has something to do again; UINT64_MAX: after an event. */
uint64_t pointer_due(const struct pointer *pointer);

#endif
