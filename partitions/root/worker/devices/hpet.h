/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * High precision event timers (IA-PC HPET specification 1.0a): a 64-bit counter at 100 MHz with three comparators, at
 * FED00000h. Each comparator can be periodic and 64 bits wide and goes to one of the I/O APIC inputs 20 to 23, which
 * nobody else on the board has. By legacy replacement the first takes the place of the 8254 at IRQ 0 and the second
 * that of the real-time clock at IRQ 8: so the lines of these two go through here. There is no FSB delivery.
 *
 * Counting is computed from virtual time when somebody looks; a comparator has a timer only while it could interrupt.
 * Periodic interrupts come at most every HPET_SHORTEST_PERIOD; faster ones are merged. An edge-triggered comparator
 * leaves its line high until its next match, as the 8254 does, so that the 8259As find the request.
 */
#ifndef WORKER_DEVICES_HPET_H
#define WORKER_DEVICES_HPET_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/timer.h"

#define HPET_BASE            0xfed00000u
#define HPET_LENGTH          0x400
#define HPET_TICK            10 /* nanoseconds */
#define HPET_SHORTEST_PERIOD 100000
#define HPET_COMPARATORS     3

/* What the ACPI table says too: vendor 8086h, legacy replacement, 64 bits, three comparators, revision 1. */
#define HPET_CAPABILITIES 0x8086a201u

#define HPET_FIRST_INPUT 20 /* of the I/O APIC */
#define HPET_INPUTS      4

/* The lines that it drives. */
enum hpet_line { HPET_IRQ0, HPET_IRQ8, HPET_INPUT, HPET_LINES = HPET_INPUT + HPET_INPUTS };

struct hpet;

struct hpet_comparator {
    struct hpet *hpet;
    struct timer timer;     /* the next match that interrupts */
    uint64_t configuration; /* the bits that a guest can write */
    uint64_t value;         /* at which it matches */
    uint64_t period;        /* what is added to the value by each match; 0: nothing */
    uint64_t earliest;      /* virtual time at which the next interrupt of a periodic comparator may be sent */
    bool fired;             /* edge: the line is high since the last match */
};

struct hpet {
    struct timer_queue *timers;
    struct interrupt_line lines[HPET_LINES];
    bool legacy_levels[2]; /* of the 8254 and the real-time clock */

    uint32_t configuration;
    uint32_t status;  /* one bit a level-triggered comparator */
    uint64_t counter; /* while it stands */
    uint64_t offset;  /* while it counts: counter - ticks of virtual time */
    uint64_t checked; /* tick up to which matches have been computed */
    struct hpet_comparator comparators[HPET_COMPARATORS];
};

/* Claims the register block. `lines` are those of enum hpet_line. */
bool hpet_initialize(struct hpet *hpet, struct bus *bus, struct timer_queue *timers,
                     const struct interrupt_line lines[HPET_LINES]);
void hpet_reset(struct hpet *hpet);

/* The line for the device whose place may be taken: HPET_IRQ0 or HPET_IRQ8. */
struct interrupt_line hpet_legacy_line(struct hpet *hpet, enum hpet_line which);

#endif
