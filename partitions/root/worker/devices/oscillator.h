/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's 14.31818 MHz crystal (315/22 MHz exactly), from which the 8254 (divided by 12) and the ACPI PM
 * timer (divided by 4) count.
 */
#ifndef WORKER_DEVICES_OSCILLATOR_H
#define WORKER_DEVICES_OSCILLATOR_H

#include <stdint.h>

/* Whole ticks of the crystal divided by `divisor` in `time` nanoseconds. */
static inline uint64_t oscillator_ticks(uint64_t time, unsigned divisor)
{
    return (uint64_t)((unsigned __int128)time * 315 / (22000u * divisor));
}

/* The first nanosecond at which `ticks` ticks have passed. */
static inline uint64_t oscillator_time(uint64_t ticks, unsigned divisor)
{
    return (uint64_t)(((unsigned __int128)ticks * (22000u * divisor) + 314) / 315);
}

#endif
