/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard controller with a PS/2 keyboard: ports 60h and 64h, IRQ 1. There is no auxiliary port: its test
 * reports an error, its loopback command answers as a keyboard byte, and bytes for a mouse go nowhere, so
 * that a guest finds out at once.
 */
#ifndef WORKER_DEVICES_I8042_H
#define WORKER_DEVICES_I8042_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/interrupt_line.h"

#define I8042_QUEUE_SIZE 64 /* a power of two */

struct i8042_queue {
    uint8_t bytes[I8042_QUEUE_SIZE];
    unsigned first;
    unsigned count;
};

struct ps2_keyboard {
    struct i8042_queue replies;
    struct i8042_queue keys;
    bool scanning;
    uint8_t scancode_set; /* 1 or 2 */
    uint8_t command;      /* that waits for its parameter, or 0 */
    uint8_t last_sent;    /* for the resend command */
    bool break_prefix;    /* set 1: F0h has been taken, the next code is a release */
};

/* Wires that leave the controller. Called under the device lock. */
struct i8042_outputs {
    void (*a20)(void *context, bool enabled);
    void (*reset)(void *context); /* of the processor */
    void *context;
};

struct i8042 {
    struct i8042_outputs outputs;
    struct interrupt_line line;
    struct ps2_keyboard keyboard;
    struct i8042_queue replies; /* of the controller */

    uint8_t command_byte;
    uint8_t status; /* the bits that are state of their own */
    uint8_t output; /* what port 60h reads */
    bool output_full;
    uint8_t output_port;
    uint8_t command;   /* that waits for its data byte, or 0 */
    bool break_prefix; /* translation has taken F0h */
};

/* Claims the ports. */
bool i8042_initialize(struct i8042 *controller, struct bus *bus, struct interrupt_line line,
                      const struct i8042_outputs *outputs);
void i8042_reset(struct i8042 *controller);

/*
 * The user presses or releases keys: scancodes of set 2, whole ones (with their E0h and F0h). All or nothing:
 * false if the keyboard's buffer has no room, or the guest has switched scanning off.
 */
bool i8042_type(struct i8042 *controller, const uint8_t *scancodes, size_t length);

#endif
