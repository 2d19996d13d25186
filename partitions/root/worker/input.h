/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where what a user does at keyboard and mouse goes. */
#ifndef WORKER_INPUT_H
#define WORKER_INPUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Keys are named by what a PC keyboard sends in scan code set 1, the code of a press: 01h Esc to 58h F12, and
 * with INPUT_KEY_EXTENDED those behind E0h (E048h cursor up). Two keys that send sequences have names of their
 * own.
 */
#define INPUT_KEY_EXTENDED     0xE000u
#define INPUT_KEY_PRINT_SCREEN 0xE037u
#define INPUT_KEY_PAUSE        0xE11Du

#define INPUT_BUTTON_LEFT   0x1u
#define INPUT_BUTTON_RIGHT  0x2u
#define INPUT_BUTTON_MIDDLE 0x4u

/* All take the device lock themselves. */
struct input_sink {
    /* False: the guest does not listen, or its buffer is full; try again later. */
    bool (*key)(void *context, uint16_t key, bool pressed);
    /*
     * Moves the pointer by dx (to the right) and dy (down), turns the wheel by `wheel` (towards the user), and sets
     * which buttons are held.
     */
    void (*pointer)(void *context, int dx, int dy, int wheel, unsigned buttons);
    void *context;
};

struct i8042;

/* The PS/2 keyboard and mouse as a sink. Both outlive it. Buttons 8h and 10h are the mouse's fourth and fifth. */
struct input {
    pthread_mutex_t *device_lock;
    struct i8042 *controller;
};

/* Keys that no keyboard has are ignored. */
struct input_sink input_sink(struct input *input);

#endif
