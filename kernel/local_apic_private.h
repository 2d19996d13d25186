/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the local APIC share: local_apic.c (registers, priorities, arrival), _timer.c, _state.c. */
#ifndef KERNEL_LOCAL_APIC_PRIVATE_H
#define KERNEL_LOCAL_APIC_PRIVATE_H

#include "kernel/local_apic.h"

#define APIC_VERSION 0x00050014u /* 0x14: integrated; six LVT entries */

#define LVT_VECTOR             0xFFu
#define LVT_MODE_SHIFT         8
#define LVT_MODE               0x700u
#define LVT_POLARITY           0x2000u
#define LVT_TRIGGER            0x8000u
#define LVT_MASKED             0x10000u
#define LVT_TIMER_PERIODIC     0x20000u
#define LVT_TIMER_TSC_DEADLINE 0x40000u
#define LVT_TIMER_MODE         (LVT_TIMER_PERIODIC | LVT_TIMER_TSC_DEADLINE)

/* The logical id in x2APIC mode: cluster and a bit in it (SDM vol. 3A 11.12.10.2). */
static inline uint32_t local_apic_x2apic_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 15);
}

/* The writable bits of a register; TSC-deadline mode exists only if the VP's CPUID says so. */
uint32_t local_apic_writable_bits(const struct local_apic *apic, uint32_t offset);

/* The current-count register; 0 in TSC-deadline mode. */
uint32_t local_apic_timer_count(struct local_apic *apic, uint64_t now);
/* Lets the timer count down from `count`; 0 stops it. */
void local_apic_timer_start(struct local_apic *apic, uint64_t now, uint32_t count);
/* Writes of the timer's registers, of writable bits only. */
void local_apic_timer_write_lvt(struct local_apic *apic, uint32_t value, uint64_t now);
void local_apic_timer_write_initial(struct local_apic *apic, uint32_t value, uint64_t now);
void local_apic_timer_write_divide(struct local_apic *apic, uint32_t value, uint64_t now);

#endif
