/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/hpet.h"

#include <assert.h>
#include <string.h>

/* Registers, of 64 bits (2.3.1). */
#define GENERAL_CAPABILITIES  0x000
#define GENERAL_CONFIGURATION 0x010
#define GENERAL_STATUS        0x020
#define MAIN_COUNTER          0x0f0
#define COMPARATORS           0x100
#define COMPARATOR_LENGTH     0x20
#define CONFIGURATION         0x00
#define VALUE                 0x08

#define FEMTOSECONDS_A_TICK (HPET_TICK * 1000000ull)

#define GENERAL_ENABLE   0x1
#define GENERAL_LEGACY   0x2
#define GENERAL_WRITABLE 0x3

/* A comparator's configuration (2.3.8). */
#define LEVEL            0x0002ull
#define ENABLE           0x0004ull
#define PERIODIC         0x0008ull
#define PERIODIC_CAPABLE 0x0010ull
#define SIZE_64          0x0020ull
#define SET_VALUE        0x0040ull
#define MODE_32          0x0100ull
#define ROUTE            0x3e00ull
#define ROUTE_OF(c)      ((c) >> 9 & 31)
#define WRITABLE         (LEVEL | ENABLE | PERIODIC | SET_VALUE | MODE_32 | ROUTE)
#define FIXED            (PERIODIC_CAPABLE | SIZE_64)
#define ROUTE_CAPABLE    (((1ull << HPET_INPUTS) - 1) << HPET_FIRST_INPUT)
#define NO_LINE          HPET_LINES

static uint64_t tick_now(const struct hpet *hpet)
{
    return timer_now(hpet->timers) / HPET_TICK;
}

static bool enabled(const struct hpet *hpet)
{
    return hpet->configuration & GENERAL_ENABLE;
}

static uint64_t counter_at(const struct hpet *hpet, uint64_t tick)
{
    return enabled(hpet) ? tick + hpet->offset : hpet->counter;
}

static unsigned index_of(const struct hpet_comparator *comparator)
{
    return (unsigned)(comparator - comparator->hpet->comparators);
}

/* ---- Lines ---- */

static bool legacy(const struct hpet *hpet)
{
    return hpet->configuration & GENERAL_LEGACY;
}

/* Where a comparator's interrupt goes, or NO_LINE. */
static unsigned line_of(const struct hpet_comparator *comparator)
{
    unsigned route = ROUTE_OF(comparator->configuration);

    if (legacy(comparator->hpet) && index_of(comparator) < HPET_INPUT)
        return HPET_IRQ0 + index_of(comparator);
    return route >= HPET_FIRST_INPUT && route < HPET_FIRST_INPUT + HPET_INPUTS ? HPET_INPUT + route - HPET_FIRST_INPUT
                                                                               : NO_LINE;
}

static bool asserted(const struct hpet_comparator *comparator)
{
    if (!enabled(comparator->hpet) || !(comparator->configuration & ENABLE))
        return false;
    if (comparator->configuration & LEVEL)
        return comparator->hpet->status & 1u << index_of(comparator);
    return comparator->fired;
}

static void update_line(struct hpet *hpet, unsigned line)
{
    bool level = line < HPET_INPUT && !legacy(hpet) && hpet->legacy_levels[line];

    for (unsigned i = 0; i < HPET_COMPARATORS; i++)
        level |= line_of(&hpet->comparators[i]) == line && asserted(&hpet->comparators[i]);
    interrupt_line_set(&hpet->lines[line], level);
}

static void update_lines(struct hpet *hpet)
{
    for (unsigned line = 0; line < HPET_LINES; line++)
        update_line(hpet, line);
}

static void legacy_set(void *controller, unsigned line, bool level)
{
    struct hpet *hpet = controller;

    hpet->legacy_levels[line] = level;
    if (!legacy(hpet))
        update_line(hpet, line);
}

struct interrupt_line hpet_legacy_line(struct hpet *hpet, enum hpet_line which)
{
    assert(which == HPET_IRQ0 || which == HPET_IRQ8);
    return (struct interrupt_line){.set = legacy_set, .controller = hpet, .pin = which};
}

/* ---- Matches ---- */

static uint64_t mask_of(const struct hpet_comparator *comparator)
{
    return comparator->configuration & MODE_32 ? UINT32_MAX : UINT64_MAX;
}

static bool advances(const struct hpet_comparator *comparator)
{
    return comparator->configuration & PERIODIC && comparator->period;
}

/* The tick of the first match after `tick`; TIMER_NEVER: none. */
static uint64_t match_after(const struct hpet_comparator *comparator, uint64_t tick)
{
    uint64_t mask = mask_of(comparator);
    uint64_t distance = (comparator->value - counter_at(comparator->hpet, tick)) & mask;

    if (distance == 0) /* a whole turn of the counter */
        distance = mask == UINT64_MAX ? UINT64_MAX : mask + 1;
    return distance < UINT64_MAX - tick ? tick + distance : TIMER_NEVER;
}

static void matched(struct hpet_comparator *comparator)
{
    struct hpet *hpet = comparator->hpet;
    unsigned line = line_of(comparator);

    if (comparator->configuration & LEVEL) {
        hpet->status |= 1u << index_of(comparator);
        return;
    }
    comparator->fired = comparator->configuration & ENABLE;
    if (!comparator->fired || line == NO_LINE)
        return;
    interrupt_line_set(&hpet->lines[line], false);
    interrupt_line_set(&hpet->lines[line], true);
    comparator->earliest = timer_now(hpet->timers) + HPET_SHORTEST_PERIOD;
}

/* Several matches since the last look count as one. */
static void look(struct hpet_comparator *comparator, uint64_t tick)
{
    uint64_t match = match_after(comparator, comparator->hpet->checked);

    if (match > tick)
        return;
    if (advances(comparator)) {
        uint64_t periods = (tick - match) / comparator->period + 1;

        comparator->value = (comparator->value + periods * comparator->period) & mask_of(comparator);
    }
    matched(comparator);
}

/* Could a match change the line? */
static bool waited_for(const struct hpet_comparator *comparator)
{
    const struct hpet *hpet = comparator->hpet;

    return enabled(hpet) && comparator->configuration & ENABLE && line_of(comparator) != NO_LINE &&
           !(comparator->configuration & LEVEL && hpet->status & 1u << index_of(comparator));
}

static void arm(struct hpet_comparator *comparator, uint64_t tick)
{
    uint64_t match = waited_for(comparator) ? match_after(comparator, tick) : TIMER_NEVER;
    uint64_t deadline = match <= (TIMER_NEVER - 1) / HPET_TICK ? match * HPET_TICK : TIMER_NEVER;

    if (advances(comparator) && deadline < comparator->earliest)
        deadline = comparator->earliest;
    timer_arm(&comparator->timer, deadline);
}

/* Brings matches, lines and timers up to date. */
static void update(struct hpet *hpet)
{
    uint64_t tick = tick_now(hpet);

    for (unsigned i = 0; enabled(hpet) && i < HPET_COMPARATORS; i++)
        look(&hpet->comparators[i], tick);
    hpet->checked = tick;
    update_lines(hpet);
    for (unsigned i = 0; i < HPET_COMPARATORS; i++)
        arm(&hpet->comparators[i], tick);
}

static void timer_expired(void *device, uint64_t now)
{
    struct hpet_comparator *comparator = device;

    (void)now;
    update(comparator->hpet);
}

/* ---- Registers ---- */

static uint64_t read_comparator(const struct hpet_comparator *comparator, unsigned offset)
{
    switch (offset) {
    case CONFIGURATION:
        return ROUTE_CAPABLE << 32 | FIXED | (comparator->configuration & ~SET_VALUE);
    case VALUE:
        return comparator->value;
    default: /* FSB delivery */
        return 0;
    }
}

static struct hpet_comparator *comparator_at(struct hpet *hpet, unsigned offset)
{
    unsigned index = (offset - COMPARATORS) / COMPARATOR_LENGTH;

    return offset >= COMPARATORS && index < HPET_COMPARATORS ? &hpet->comparators[index] : NULL;
}

static uint64_t read_register(struct hpet *hpet, unsigned offset)
{
    const struct hpet_comparator *comparator = comparator_at(hpet, offset);

    switch (offset) {
    case GENERAL_CAPABILITIES:
        return FEMTOSECONDS_A_TICK << 32 | HPET_CAPABILITIES;
    case GENERAL_CONFIGURATION:
        return hpet->configuration;
    case GENERAL_STATUS:
        return hpet->status;
    case MAIN_COUNTER:
        return counter_at(hpet, tick_now(hpet));
    default:
        return comparator ? read_comparator(comparator, offset % COMPARATOR_LENGTH) : 0;
    }
}

/* No line that is high by an edge moves with what is written: at another input it would be a new one. */
static void write_general_configuration(struct hpet *hpet, uint64_t value)
{
    uint64_t counter = counter_at(hpet, hpet->checked);

    hpet->configuration = value & GENERAL_WRITABLE;
    hpet->counter = counter;
    hpet->offset = counter - hpet->checked;
    for (unsigned i = 0; i < HPET_COMPARATORS; i++)
        hpet->comparators[i].fired = false;
}

/* A route that the comparator cannot take leaves it as it is: so a guest sees that. */
static void write_configuration(struct hpet_comparator *comparator, uint64_t value)
{
    if (!(ROUTE_CAPABLE >> ROUTE_OF(value) & 1))
        value = (value & ~ROUTE) | (comparator->configuration & ROUTE);
    comparator->configuration = value & WRITABLE;
    comparator->value &= mask_of(comparator);
    comparator->period &= mask_of(comparator);
    comparator->fired = false;
    if (!(value & LEVEL))
        comparator->hpet->status &= ~(1u << index_of(comparator));
}

/* In periodic mode the period is written, and the value only with it after SET_VALUE (2.3.9.2.2). */
static void write_value(struct hpet_comparator *comparator, uint64_t value, uint64_t bits)
{
    uint64_t mask = mask_of(comparator);
    bool periodic = comparator->configuration & PERIODIC;

    if (!periodic || comparator->configuration & SET_VALUE)
        comparator->value = ((comparator->value & ~bits) | value) & mask;
    if (periodic)
        comparator->period = ((comparator->period & ~bits) | value) & mask;
    comparator->configuration &= ~SET_VALUE;
}

static void write_comparator(struct hpet_comparator *comparator, unsigned offset, uint64_t value, uint64_t bits)
{
    if (offset == CONFIGURATION)
        write_configuration(comparator, (comparator->configuration & ~bits) | value);
    else if (offset == VALUE)
        write_value(comparator, value, bits);
}

/* The bits that are written, in place. */
static void write_register(struct hpet *hpet, unsigned offset, uint64_t value, uint64_t bits)
{
    struct hpet_comparator *comparator = comparator_at(hpet, offset);

    switch (offset) {
    case GENERAL_CONFIGURATION:
        write_general_configuration(hpet, (hpet->configuration & ~bits) | value);
        break;
    case GENERAL_STATUS:
        hpet->status &= (uint32_t)~value;
        break;
    case MAIN_COUNTER: /* only while it stands */
        if (!enabled(hpet))
            hpet->counter = (hpet->counter & ~bits) | value;
        break;
    default:
        if (comparator)
            write_comparator(comparator, offset % COMPARATOR_LENGTH, value, bits);
        break;
    }
}

/* An access that is not inside one register does nothing. */
static bool inside(uint64_t offset, unsigned size)
{
    return offset % 8 + size <= 8;
}

static uint64_t hpet_read(void *device, uint64_t offset, unsigned size)
{
    struct hpet *hpet = device;

    if (!inside(offset, size))
        return UINT64_MAX;
    if (offset < MAIN_COUNTER || offset >= COMPARATORS) /* the counter is what is read all the time */
        update(hpet);
    return read_register(hpet, (unsigned)offset & ~7u) >> (8 * (offset % 8));
}

static void hpet_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct hpet *hpet = device;
    unsigned shift = 8 * (unsigned)(offset % 8);
    uint64_t bits = size == 8 ? UINT64_MAX : ((1ull << 8 * size) - 1) << shift;

    if (!inside(offset, size))
        return;
    update(hpet);
    write_register(hpet, (unsigned)offset & ~7u, value << shift & bits, bits);
    update(hpet);
}

static const struct bus_operations operations = {.read = hpet_read, .write = hpet_write};

bool hpet_initialize(struct hpet *hpet, struct bus *bus, struct timer_queue *timers,
                     const struct interrupt_line lines[HPET_LINES])
{
    memset(hpet, 0, sizeof *hpet);
    hpet->timers = timers;
    memcpy(hpet->lines, lines, sizeof hpet->lines);
    for (unsigned i = 0; i < HPET_COMPARATORS; i++) {
        hpet->comparators[i].hpet = hpet;
        timer_initialize(&hpet->comparators[i].timer, timers, timer_expired, &hpet->comparators[i]);
    }
    hpet_reset(hpet);
    return bus_add(bus, BUS_MEMORY, HPET_BASE, HPET_LENGTH, &operations, hpet, "high precision event timers");
}

void hpet_reset(struct hpet *hpet)
{
    hpet->configuration = 0;
    hpet->status = 0;
    hpet->counter = 0;
    for (unsigned i = 0; i < HPET_COMPARATORS; i++) {
        struct hpet_comparator *comparator = &hpet->comparators[i];

        comparator->configuration = 0;
        comparator->value = UINT64_MAX;
        comparator->period = 0;
        comparator->earliest = 0;
        comparator->fired = false;
    }
    update(hpet);
}
