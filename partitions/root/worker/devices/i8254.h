/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 8254 timer (8254 datasheet; 82371AB datasheet, 8.6): ports 40h-43h, and the NMI status and control
 * port 61h, which holds the gate and reads the output of channel 2. Channel 0 drives IRQ 0.
 *
 * Counting is computed from virtual time when somebody looks; only channel 0's output has a timer, for its
 * rising edges. Rising edges of a periodic mode come at most every I8254_SHORTEST_PERIOD; faster ones are
 * merged.
 */
#ifndef WORKER_DEVICES_I8254_H
#define WORKER_DEVICES_I8254_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/timer.h"

#define I8254_CHANNELS        3
#define I8254_SHORTEST_PERIOD 100000 /* nanoseconds */

struct i8254_channel {
    uint8_t control; /* access, mode and BCD bits as programmed */
    bool gate;

    uint32_t count_register; /* as written last: 1 to 65536 (10000 in BCD) */
    bool count_written;      /* since the control word */
    bool count_waiting;      /* for the end of a cycle (modes 2, 3) or a trigger (modes 1, 5) to be loaded */
    uint64_t reload;         /* tick of that end of a cycle */
    bool reload_low;         /* mode 3: it begins a low half cycle */

    /* The counting element. Ticks are periods of 1.193182 MHz since power-on. */
    bool counting;        /* loaded, counting or paused by the gate */
    uint32_t period;      /* what it was loaded with */
    uint64_t start;       /* tick at which it was loaded */
    uint32_t lead;        /* mode 3: ticks of the cycle that `start` skips */
    bool paused;          /* by a low gate */
    uint64_t paused_at;   /* elapsed ticks then */
    bool previous_output; /* until `start` */

    bool high_byte_next_write;
    uint8_t low_byte_written;
    bool high_byte_next_read;
    uint8_t latched_bytes; /* still to be read of `latched`, lowest first */
    uint16_t latched;
    bool status_latched;
    uint8_t status;
};

struct i8254 {
    struct i8254_channel channels[I8254_CHANNELS];
    struct timer_queue *timers;
    struct timer timer; /* channel 0's next rising edge */
    struct interrupt_line line;
    uint64_t checked;  /* tick up to which channel 0's edges have been sent */
    uint64_t earliest; /* virtual time at which the next edge of a periodic mode may be sent */
    uint8_t port61;    /* the writable bits 0 to 3 */
};

/* Claims the ports. */
bool i8254_initialize(struct i8254 *pit, struct bus *bus, struct timer_queue *timers,
                      struct interrupt_line line);
void i8254_reset(struct i8254 *pit);

#endif
