/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC's timer: one-shot, periodic, TSC-deadline (SDM vol. 3A 11.5.4). */
#include "kernel/local_apic_private.h"
#include "kernel/arch.h"

/*
 * No timer interrupts more often than this many TSC ticks (some 40 us): a child must not keep its parent
 * busy.
 */
#define TIMER_MINIMUM_PERIOD (1ull << 17)

static bool tsc_deadline_mode(const struct local_apic *apic)
{
    return (apic->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_TIMER_TSC_DEADLINE;
}

/* TSC ticks a count, as a shift. Divide values 0-7 mean 2, 4, 8, ... 128, 1. */
static unsigned count_shift(const struct local_apic *apic)
{
    unsigned divide = (apic->divide & 3) | (apic->divide & 8) >> 1;
    return ((divide + 1) & 7) + ARCH_APIC_TIMER_SHIFT;
}

/* Host TSC at which the timer expires, masked or not. */
static uint64_t timer_expiry(const struct local_apic *apic)
{
    if (!tsc_deadline_mode(apic))
        return apic->timer_deadline;
    uint64_t value = apic->tsc_deadline, offset = apic->tsc_offset;
    if (value == 0)
        return LOCAL_APIC_NO_DEADLINE;
    if ((int64_t)offset >= 0)
        return value >= offset ? value - offset : 0;
    /* The offset is 2^64 - n: value + n, unless that overflows. */
    return value < offset ? value - offset : LOCAL_APIC_NO_DEADLINE;
}

uint64_t local_apic_deadline(const struct local_apic *apic)
{
    return (apic->lvt[LVT_TIMER] & LVT_MASKED) != 0 ? LOCAL_APIC_NO_DEADLINE : timer_expiry(apic);
}

bool local_apic_tick(struct local_apic *apic, uint64_t now)
{
    uint64_t expiry = timer_expiry(apic);
    if (expiry > now)
        return false;
    uint64_t period = (uint64_t)apic->initial_count << count_shift(apic);
    if (tsc_deadline_mode(apic)) {
        apic->tsc_deadline = 0;
    } else if ((apic->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_TIMER_PERIODIC && period != 0) {
        if (period < TIMER_MINIMUM_PERIOD)
            period = TIMER_MINIMUM_PERIOD;
        apic->timer_deadline = expiry + period * ((now - expiry) / period + 1);
    } else {
        apic->timer_deadline = LOCAL_APIC_NO_DEADLINE;
    }
    bool news = false;
    local_apic_signal(apic, LVT_TIMER, &news);
    return news;
}

uint32_t local_apic_timer_count(struct local_apic *apic, uint64_t now)
{
    local_apic_tick(apic, now);
    if (tsc_deadline_mode(apic) || apic->timer_deadline == LOCAL_APIC_NO_DEADLINE)
        return 0;
    unsigned shift = count_shift(apic);
    uint64_t count = (apic->timer_deadline - now + (1ull << shift) - 1) >> shift;
    return count < apic->initial_count ? (uint32_t)count : apic->initial_count;
}

void local_apic_timer_start(struct local_apic *apic, uint64_t now, uint32_t count)
{
    apic->timer_deadline = count == 0 ? LOCAL_APIC_NO_DEADLINE : now + ((uint64_t)count << count_shift(apic));
}

void local_apic_timer_write_lvt(struct local_apic *apic, uint32_t value, uint64_t now)
{
    local_apic_tick(apic, now);
    bool was = tsc_deadline_mode(apic);
    apic->lvt[LVT_TIMER] = value;
    if (was != tsc_deadline_mode(apic)) { /* disarms the timer (SDM 11.5.4.1) */
        apic->initial_count = 0;
        apic->timer_deadline = LOCAL_APIC_NO_DEADLINE;
        apic->tsc_deadline = 0;
    }
}

void local_apic_timer_write_initial(struct local_apic *apic, uint32_t value, uint64_t now)
{
    if (tsc_deadline_mode(apic))
        return;
    local_apic_tick(apic, now);
    apic->initial_count = value;
    local_apic_timer_start(apic, now, value);
}

void local_apic_timer_write_divide(struct local_apic *apic, uint32_t value, uint64_t now)
{
    uint32_t count = local_apic_timer_count(apic, now);
    apic->divide = value;
    local_apic_timer_start(apic, now, count);
}

uint64_t local_apic_tsc_deadline(struct local_apic *apic, uint64_t now)
{
    local_apic_tick(apic, now);
    return apic->tsc_deadline;
}

void local_apic_set_tsc_deadline(struct local_apic *apic, uint64_t value)
{
    if (tsc_deadline_mode(apic))
        apic->tsc_deadline = value;
}

void local_apic_set_time(struct local_apic *apic, uint64_t tsc_offset, uint64_t skipped)
{
    apic->tsc_offset = tsc_offset;
    if (apic->timer_deadline != LOCAL_APIC_NO_DEADLINE)
        apic->timer_deadline += skipped;
}
