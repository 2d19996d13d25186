/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard controller with a PS/2 keyboard and, at its auxiliary port, a PS/2 mouse (IBM PS/2 Hardware Interface
 * Technical Reference, "Keyboard/Auxiliary Device Controller"): ports 60h and 64h, IRQ 1 and IRQ 12.
 */
#ifndef WORKER_DEVICES_I8042_H
#define WORKER_DEVICES_I8042_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/devices/ps2_keyboard.h"
#include "partitions/root/worker/devices/ps2_mouse.h"
#include "partitions/root/worker/devices/ps2_queue.h"

/* Wires that leave the controller. Called under the device lock. */
struct i8042_outputs {
    void (*a20)(void *context, bool enabled);
    void (*reset)(void *context); /* of the processor */
    void *context;
};

struct i8042 {
    struct i8042_outputs outputs;
    struct interrupt_line line;
    struct interrupt_line aux_line;
    struct ps2_keyboard keyboard;
    struct ps2_mouse mouse;
    struct ps2_queue replies;     /* of the controller */
    struct ps2_queue aux_replies; /* the same, as if from the mouse */

    uint8_t command_byte;
    uint8_t status; /* the bits that are state of their own */
    uint8_t output; /* what port 60h reads */
    bool output_full;
    bool output_aux; /* it is the mouse's */
    uint8_t output_port;
    uint8_t command;   /* that waits for its data byte, or 0 */
    bool break_prefix; /* translation has taken F0h */
};

/* Claims the ports. `line` is IRQ 1, `aux_line` IRQ 12. */
bool i8042_initialize(struct i8042 *controller, struct bus *bus, struct interrupt_line line,
                      struct interrupt_line aux_line, const struct i8042_outputs *outputs);
void i8042_reset(struct i8042 *controller);

/*
 * The user presses or releases keys: scancodes of set 2, whole ones (with their E0h and F0h). All or nothing:
 * false if the keyboard's buffer has no room, or the guest has switched scanning off.
 */
bool i8042_type(struct i8042 *controller, const uint8_t *scancodes, size_t length);

/* The user moves the mouse: ps2_mouse_move. Nothing is lost while the guest is slow. */
void i8042_move(struct i8042 *controller, int x, int y, int z, unsigned buttons);

#endif
