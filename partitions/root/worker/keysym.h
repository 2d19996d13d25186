/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the symbols that viewers send (X11's keysyms, RFC 6143 7.5.4) to the keys of a PC keyboard with the US
 * layout. A viewer's user may have another layout: what counts is the character that he typed, so Shift is
 * changed around a key where the US layout needs it otherwise. Characters that the US layout does not have are
 * not typed at all.
 */
#ifndef WORKER_KEYSYM_H
#define WORKER_KEYSYM_H

#include <stdbool.h>
#include <stdint.h>

#define KEYBOARD_HELD   24 /* keys that one viewer can hold at a time; more are let go of again at once */
#define KEYBOARD_EVENTS 6  /* that one event of a viewer can become */

enum key_shift {
    KEY_SHIFT_ANY, /* the key means the same with Shift, or something that the user wants */
    KEY_SHIFT_UP,  /* only without Shift */
    KEY_SHIFT_DOWN /* only with Shift */
};

/* A key by its name in input.h, and what Shift has to be for it to mean what is wanted. */
struct key_meaning {
    uint16_t key;
    enum key_shift shift;
    bool letter; /* Caps Lock changes it as Shift does */
};

/* A key goes down or up; `key` as in input.h. */
struct key_event {
    uint16_t key;
    bool pressed;
};

/* One viewer's keyboard: what it holds down in the guest. All zeros at first. */
struct keyboard {
    bool shift[2]; /* left, right */
    bool caps;     /* Caps Lock, as far as this viewer has pressed it */
    unsigned held_count;
    struct {
        uint32_t keysym;
        uint16_t key;
    } held[KEYBOARD_HELD];
};

/* False: no key of the US layout. */
bool keysym_meaning(uint32_t keysym, struct key_meaning *meaning);

/* What the guest's keyboard does when a viewer's key goes down or up. Returns how many events. */
unsigned keyboard_event(struct keyboard *keyboard, uint32_t keysym, bool pressed,
                        struct key_event events[KEYBOARD_EVENTS]);

/* The viewer has gone: lets go of one key that it still holds. False: there is none. */
bool keyboard_release(struct keyboard *keyboard, struct key_event *event);

#endif
