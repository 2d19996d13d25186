/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two Intel 8259A interrupt controllers as the PIIX4 has them (82371AB datasheet, 4.1.3 and 8.7; 8259A
 * datasheet): ports 20h-21h and A0h-A1h, the second cascaded into input 2 of the first, and the edge/level
 * registers at 4D0h-4D1h, which take the place of ICW1's LTIM.
 *
 * An edge stays latched when its line falls before the acknowledge: a virtual processor may be late for
 * longer than the 8254's output is high, and no tick is to be lost for that. A level-triggered request
 * follows its line.
 */
#ifndef WORKER_DEVICES_I8259_H
#define WORKER_DEVICES_I8259_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"

enum i8259_state { I8259_UNINITIALIZED, I8259_ICW2, I8259_ICW3, I8259_ICW4, I8259_READY };

struct i8259_pair;

struct i8259 {
    struct i8259_pair *pair;
    enum i8259_state state; /* the word expected at the odd port */
    uint8_t lines;          /* inputs as they are driven */
    uint8_t edges;          /* latched rising edges of edge-triggered inputs */
    uint8_t level_triggered;
    uint8_t level_selectable; /* inputs that the edge/level register can change */
    uint8_t in_service;
    uint8_t masked;
    uint8_t vector_base;
    uint8_t lowest_priority; /* input that has the lowest priority; the next one has the highest */
    bool icw3_expected;
    bool icw4_expected;
    bool automatic_eoi;
    bool rotate_in_automatic_eoi;
    bool special_mask;
    bool special_fully_nested;
    bool poll;            /* the next read acknowledges */
    bool read_in_service; /* the even port reads ISR instead of IRR */
};

struct i8259_pair {
    struct i8259 chips[2];
    bool output; /* INTR to the processor */
    void (*interrupt_request)(void *context, bool level);
    void *context;
};

/* Claims the ports. interrupt_request is told each change of INTR, under the device lock. */
bool i8259_initialize(struct i8259_pair *pair, struct bus *bus, void (*interrupt_request)(void *, bool),
                      void *context);
void i8259_reset(struct i8259_pair *pair);

/* Drives input `irq`, 0 to 15 without the cascade's 2. */
void i8259_set(struct i8259_pair *pair, unsigned irq, bool level);

/*
 * The processor's acknowledge cycle: returns the vector. With nothing to acknowledge that is the spurious
 * interrupt 7 of the first controller.
 */
uint8_t i8259_acknowledge(struct i8259_pair *pair);

#endif
