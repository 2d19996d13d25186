/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/pointer.h"

#include <stddef.h>

#define RFB_WHEEL_UP   0x08u
#define RFB_WHEEL_DOWN 0x10u

static unsigned buttons_of(unsigned mask)
{
    return (mask & 1 ? INPUT_BUTTON_LEFT : 0) | (mask & 2 ? INPUT_BUTTON_MIDDLE : 0) |
           (mask & 4 ? INPUT_BUTTON_RIGHT : 0);
}

/* How far to push beyond an edge that has just been reached. */
static int push(int position, int previous, int size)
{
    if (position == previous)
        return 0;
    return position == 0 ? -size : position == size - 1 ? size : 0;
}

static struct pointer_target *last_target(struct pointer *pointer)
{
    return &pointer->targets[(pointer->first + pointer->count - 1) % POINTER_QUEUE];
}

static void add_target(struct pointer *pointer, const struct pointer_target *target)
{
    pointer->targets[(pointer->first + pointer->count++) % POINTER_QUEUE] = *target;
}

/* The guest's pointer goes into the corner, from wherever it is. */
static void begin_anew(struct pointer *pointer, unsigned width, unsigned height)
{
    pointer->width = width;
    pointer->height = height;
    pointer->x = pointer->y = 0;
    pointer->first = pointer->count = 0;
    add_target(pointer,
               &(struct pointer_target){.push_x = -(int)width, .push_y = -(int)height, .buttons = pointer->buttons});
}

void pointer_event(struct pointer *pointer, unsigned width, unsigned height, unsigned x, unsigned y, unsigned mask)
{
    const unsigned pressed = mask & ~pointer->mask;
    struct pointer_target target = {.buttons = buttons_of(mask)}, *last;
    int previous_x, previous_y;

    if (width == 0 || height == 0)
        return;
    if (width != pointer->width || height != pointer->height)
        begin_anew(pointer, width, height);
    pointer->mask = mask;
    last = pointer->count > 0 ? last_target(pointer) : NULL;
    previous_x = last ? last->x : pointer->x;
    previous_y = last ? last->y : pointer->y;
    target.x = (int)(x < width ? x : width - 1);
    target.y = (int)(y < height ? y : height - 1);
    target.push_x = push(target.x, previous_x, (int)width);
    target.push_y = push(target.y, previous_y, (int)height);
    target.wheel = (pressed & RFB_WHEEL_DOWN ? 1 : 0) - (pressed & RFB_WHEEL_UP ? 1 : 0);
    /*
     * Only where the pointer went is left out, and that it was pushed; when there is no room, a whole position is.
     */
    if (last && (pointer->count == POINTER_QUEUE ||
                 (last->buttons == target.buttons && !last->wheel && !target.wheel && !last->push_x && !last->push_y)))
        *last = target;
    else
        add_target(pointer, &target);
}

static int limit(int distance)
{
    return distance > POINTER_STEP ? POINTER_STEP : distance < -POINTER_STEP ? -POINTER_STEP : distance;
}

/* The next part of the way to a position, and then of the push beyond it. */
static int step(int *position, int target, int *beyond)
{
    int distance = limit(target - *position);

    *position += distance;
    if (distance == 0) {
        distance = limit(*beyond);
        *beyond -= distance;
    }
    return distance;
}

void pointer_run(struct pointer *pointer, const struct input_sink *sink, uint64_t now)
{
    struct pointer_target *target = &pointer->targets[pointer->first];
    unsigned buttons;
    bool there;
    int dx, dy;

    if (pointer->count == 0 || now < pointer->due)
        return;
    pointer->due = now + POINTER_INTERVAL;
    dx = step(&pointer->x, target->x, &target->push_x);
    dy = step(&pointer->y, target->y, &target->push_y);
    there = pointer->x == target->x && pointer->y == target->y && !target->push_x && !target->push_y;
    /* Buttons change where they were meant to. */
    buttons = there ? target->buttons : pointer->buttons;
    pointer->buttons = buttons;
    sink->pointer(sink->context, dx, dy, there ? target->wheel : 0, buttons);
    if (there) {
        pointer->first = (pointer->first + 1) % POINTER_QUEUE;
        pointer->count--;
    }
}

uint64_t pointer_due(const struct pointer *pointer)
{
    return pointer->count > 0 ? pointer->due : UINT64_MAX;
}
