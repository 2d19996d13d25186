/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real-time clock and CMOS memory as PIIX4 has them (MC146818 datasheet; 82371AB datasheet, 8.9): ports 70h-73h, IRQ 8,
 * two banks of 128 bytes, and an alarm with a day of the month in register D. The second bank is at ports 72h and 73h
 * once the chipset has enabled it; before, these are ports 70h and 71h again. The clock runs with virtual time from the
 * real time given at power-on; what the guest sets stays until the machine is created anew. Nothing ticks while nobody
 * waits for an interrupt: flags are computed when they are read.
 *
 * Register B's daylight savings bit is kept and changes nothing: the dates that the datasheets give are those of a law
 * long repealed, so that systems leave it clear and know themselves what time it is.
 */
#ifndef WORKER_DEVICES_MC146818_H
#define WORKER_DEVICES_MC146818_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/timer.h"

#define MC146818_BANK_SIZE   128
#define MC146818_MEMORY_SIZE (2 * MC146818_BANK_SIZE)

struct mc146818 {
    struct timer_queue *timers;
    struct timer timer; /* next event that interrupts */
    struct interrupt_line line;
    void (*alarm)(void *context); /* may be NULL */
    void *context;
    uint8_t index;
    uint8_t extended_index;
    bool extended;                        /* the second bank has ports of its own */
    bool alarm_asserted;                  /* the line is high, and the alarm is a reason */
    uint8_t memory[MC146818_MEMORY_SIZE]; /* date and time are valid here only while the clock stands */

    /*
     * The divider chain: seconds end when virtual time + phase is a multiple of a second. The clock shows
     * base + (virtual time + phase) / 1 s, in seconds of the calendar (mc146818.c).
     */
    uint64_t phase; /* nanoseconds, less than a second */
    int64_t base;
    unsigned weekday_shift; /* days by which the guest's day of the week differs from the calendar's */

    uint64_t checked_second; /* of the divider chain, up to which the update and alarm flags are computed */
    uint64_t checked_period; /* the same for the periodic flag, in periods */
};

/* Claims the ports. `unix_time`: real time in nanoseconds since 1970, at virtual time zero. */
bool mc146818_initialize(struct mc146818 *rtc, struct bus *bus, struct timer_queue *timers, struct interrupt_line line,
                         uint64_t unix_time);

/* `alarm` is called under the device lock when the alarm asserts the interrupt. */
void mc146818_on_alarm(struct mc146818 *rtc, void (*alarm)(void *), void *context);

/* Whether ports 72h and 73h are the second bank's. */
void mc146818_set_extended(struct mc146818 *rtc, bool extended);

/* Interrupts off, as the RESET# pin does; clock and memory go on, as they do on a battery. */
void mc146818_reset(struct mc146818 *rtc);

/* Kinds of floppy drives, as CMOS memory numbers them. */
enum mc146818_floppy {
    MC146818_NO_FLOPPY = 0,
    MC146818_FLOPPY_360K = 1,
    MC146818_FLOPPY_1200K = 2,
    MC146818_FLOPPY_720K = 3,
    MC146818_FLOPPY_1440K = 4,
    MC146818_FLOPPY_2880K = 5,
};

#define MC146818_FLOPPY_DRIVES 2
#define MC146818_DISKS         4 /* two IDE channels of two drives */

struct mc146818_start {
    unsigned processors; /* 1 to 255 */
    enum mc146818_floppy floppies[MC146818_FLOPPY_DRIVES];
    uint64_t disks[MC146818_DISKS]; /* sectors of the hard disk there; 0: none */
};

/*
 * What firmware reads before it starts a system: drives (10h, 12h, 14h, 19h-1Ah, 39h), number of processors (5Fh),
 * and nothing that a system before asked for (shutdown code 0Fh, boot order 38h and 3Dh, which fw_cfg gives). For
 * each start: a guest may have written there.
 */
void mc146818_set_start(struct mc146818 *rtc, const struct mc146818_start *start);

/* Memory as the firmware of a PC records it (15h-18h, 30h-31h, 34h-35h, 5Bh-5Dh and the checksum); bytes. */
void mc146818_set_memory_size(struct mc146818 *rtc, uint64_t below_4g, uint64_t above_4g);

#endif
