/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 keyboard (IBM PS/2 Hardware Interface Technical Reference, "Keyboard"), with scancode sets 1 and 2. It knows
 * nothing of the controller, which asks it for its next byte whenever there is room for one. Not thread-safe: call
 * under the device lock.
 */
#ifndef WORKER_DEVICES_PS2_KEYBOARD_H
#define WORKER_DEVICES_PS2_KEYBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/devices/ps2_queue.h"

/* Bits of `leds`. */
#define PS2_KEYBOARD_SCROLL_LOCK 0x1
#define PS2_KEYBOARD_NUM_LOCK    0x2
#define PS2_KEYBOARD_CAPS_LOCK   0x4

struct ps2_keyboard {
    struct ps2_queue replies;
    struct ps2_queue keys;
    bool scanning;
    uint8_t scancode_set; /* 1 or 2 */
    uint8_t command;      /* that waits for its parameter, or 0 */
    uint8_t last_sent;    /* for the resend command */
    bool break_prefix;    /* set 1: F0h has been taken, the next code is a release */
    uint8_t leds;         /* as the guest has set them */
};

/* As after power-on. */
void ps2_keyboard_reset(struct ps2_keyboard *keyboard);

/* A byte from the host. */
void ps2_keyboard_receive(struct ps2_keyboard *keyboard, uint8_t value);

/* The next byte to the host; false if there is none. */
bool ps2_keyboard_send(struct ps2_keyboard *keyboard, uint8_t *byte);

/* Keys, as i8042_type has them. */
bool ps2_keyboard_type(struct ps2_keyboard *keyboard, const uint8_t *scancodes, size_t length);

/*
 * One byte of set 2 to set 1, as the controller of every PC translates; false if it is the release prefix, which
 * becomes bit 7 of the next byte. `break_prefix` is the caller's memory of it.
 */
bool ps2_translate(uint8_t *byte, bool *break_prefix);

/* The set 2 code that is translated to `set_1` (1 to 7Fh), of a key's press. */
uint8_t ps2_untranslate(uint8_t set_1);

#endif
