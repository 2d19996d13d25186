/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 mouse (IBM PS/2 Hardware Interface Technical Reference, "Mouse"), with Microsoft's IntelliMouse (id 3: a wheel)
 * and IntelliMouse Explorer (id 4: two more buttons), which a driver switches on by setting the sample rates 200, 100,
 * 80 and 200, 200, 80. It knows nothing of the controller, which asks it for its next byte whenever there is room for
 * one. Not thread-safe: call under the device lock.
 *
 * Packets are made when they are asked for. What moves meanwhile adds up and goes out in as many packets as it takes,
 * while each press and release of a button is kept apart for PS2_MOUSE_EVENTS of them. So the sample rate, kept for the
 * driver to read, limits nothing, and neither does the resolution scale anything: a user's pointer moves by what the
 * program in front of him says.
 */
#ifndef WORKER_DEVICES_PS2_MOUSE_H
#define WORKER_DEVICES_PS2_MOUSE_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/ps2_queue.h"

/* Buttons. */
#define PS2_MOUSE_LEFT    0x01u
#define PS2_MOUSE_RIGHT   0x02u
#define PS2_MOUSE_MIDDLE  0x04u
#define PS2_MOUSE_FOURTH  0x08u
#define PS2_MOUSE_FIFTH   0x10u
#define PS2_MOUSE_BUTTONS 0x1fu

#define PS2_MOUSE_EVENTS 16

/* Movement that adds up beyond this, either way, is lost, and the overflow bits say so. */
#define PS2_MOUSE_MOVEMENT 32767

#define PS2_MOUSE_LONGEST_PACKET 4

/* Movement with the same buttons held. */
struct ps2_mouse_event {
    int32_t x; /* to the right */
    int32_t y; /* up */
    int32_t z; /* towards the user */
    bool x_overflow;
    bool y_overflow;
    uint8_t buttons;
};

struct ps2_mouse {
    struct ps2_queue replies; /* to commands, or the packet that is being sent */
    /* What has not become packets yet, the oldest first; `pending` says that the first has news. */
    struct ps2_mouse_event events[PS2_MOUSE_EVENTS];
    unsigned event_count; /* at least 1: the last one has the buttons as they are */
    bool pending;

    bool reporting; /* data reporting is enabled */
    bool remote;
    bool wrap;
    bool double_scale;   /* scaling 2:1 */
    uint8_t resolution;  /* 0 to 3: 1, 2, 4 or 8 counts a millimetre */
    uint8_t sample_rate; /* a second */
    uint8_t rates[3];    /* set last, the newest at the end */
    uint8_t id;
    uint8_t command;            /* that waits for its parameter, or 0 */
    bool bad_before;            /* the last byte from the host was no good */
    struct ps2_queue last_said; /* for the resend command */
};

/* As after power-on. */
void ps2_mouse_reset(struct ps2_mouse *mouse);

/* A byte from the host. */
void ps2_mouse_receive(struct ps2_mouse *mouse, uint8_t value);

/* The next byte to the host; false if there is none. */
bool ps2_mouse_send(struct ps2_mouse *mouse, uint8_t *byte);

/* The user moves the mouse (y counts upwards) and its wheel; `buttons` are those held now. */
void ps2_mouse_move(struct ps2_mouse *mouse, int x, int y, int z, unsigned buttons);

#endif
