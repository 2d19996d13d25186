/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/vmx/mtrr.h"

#define CAPABILITY_COUNT     0xFFull
#define CAPABILITY_FIXED     (1ull << 8)
#define DEFAULT_ENABLE       (1ull << 11)
#define DEFAULT_FIXED_ENABLE (1ull << 10)
#define TYPE_MASK            0xFFull
#define MASK_VALID           (1ull << 11)
#define ADDRESS_LOW          0xFFFull
#define ONE_MIB              0x100000ull

/* Fixed ranges: one byte of the register for each piece. */
static const struct {
    uint32_t msr, base, piece;
} fixed_ranges[MTRR_FIXED] = {
    {MSR_MTRR_FIX64K,          0x00000, 0x10000},
    {MSR_MTRR_FIX16K_80000,    0x80000, 0x4000 },
    {MSR_MTRR_FIX16K_A0000,    0xA0000, 0x4000 },
    {MSR_MTRR_FIX4K_C0000,     0xC0000, 0x1000 },
    {MSR_MTRR_FIX4K_C0000 + 1, 0xC8000, 0x1000 },
    {MSR_MTRR_FIX4K_C0000 + 2, 0xD0000, 0x1000 },
    {MSR_MTRR_FIX4K_C0000 + 3, 0xD8000, 0x1000 },
    {MSR_MTRR_FIX4K_C0000 + 4, 0xE0000, 0x1000 },
    {MSR_MTRR_FIX4K_C0000 + 5, 0xE8000, 0x1000 },
    {MSR_MTRR_FIX4K_C0000 + 6, 0xF0000, 0x1000 },
    {MSR_MTRR_FIX4K_F8000,     0xF8000, 0x1000 },
};

void mtrr_read(struct mtrrs *mtrrs, unsigned address_bits)
{
    uint64_t capability = rdmsr(MSR_MTRR_CAP);

    mtrrs->address_bits = address_bits;
    mtrrs->default_type = rdmsr(MSR_MTRR_DEF_TYPE);
    if (!(capability & CAPABILITY_FIXED))
        mtrrs->default_type &= ~DEFAULT_FIXED_ENABLE;
    for (unsigned i = 0; i < MTRR_FIXED; i++)
        mtrrs->fixed[i] = capability & CAPABILITY_FIXED ? rdmsr(fixed_ranges[i].msr) : 0;
    mtrrs->variable_count = capability & CAPABILITY_COUNT;
    if (mtrrs->variable_count > MTRR_VARIABLE_MAXIMUM)
        mtrrs->variable_count = MTRR_VARIABLE_MAXIMUM;
    for (unsigned i = 0; i < mtrrs->variable_count; i++) {
        mtrrs->variable[i].base = rdmsr(MSR_MTRR_PHYS_BASE0 + 2 * i);
        mtrrs->variable[i].mask = rdmsr(MSR_MTRR_PHYS_BASE0 + 2 * i + 1);
    }
}

static enum memory_type fixed_type(const struct mtrrs *mtrrs, uint64_t spa, uint64_t *end)
{
    unsigned i = MTRR_FIXED - 1;
    uint64_t piece;

    while (fixed_ranges[i].base > spa)
        i--;
    piece = (spa - fixed_ranges[i].base) / fixed_ranges[i].piece;
    *end = fixed_ranges[i].base + (piece + 1) * fixed_ranges[i].piece;
    return mtrrs->fixed[i] >> piece * 8 & TYPE_MASK;
}

/* Where two ranges meet, UC wins, then WT over WB; other pairs are undefined (12.11.4.1), and UC is safe. */
static enum memory_type combine(enum memory_type one, enum memory_type other)
{
    if (one == other)
        return one;
    if ((one == MEMORY_WRITE_THROUGH && other == MEMORY_WRITE_BACK) ||
        (one == MEMORY_WRITE_BACK && other == MEMORY_WRITE_THROUGH))
        return MEMORY_WRITE_THROUGH;
    return MEMORY_UNCACHEABLE;
}

static enum memory_type variable_type(const struct mtrrs *mtrrs, uint64_t spa, uint64_t *end)
{
    uint64_t addresses = (1ull << mtrrs->address_bits) - 1;
    enum memory_type type = MEMORY_MIXED;

    for (unsigned i = 0; i < mtrrs->variable_count; i++) {
        uint64_t mask = mtrrs->variable[i].mask & addresses & ~ADDRESS_LOW, base = mtrrs->variable[i].base & mask;
        uint64_t piece = mask & -mask; /* what matches is the same in each aligned piece of so many bytes */
        bool matches = (spa & mask) == base, whole = mask + piece == addresses + 1;

        if (!(mtrrs->variable[i].mask & MASK_VALID) || mask == 0)
            continue;
        /* With a mask of leading ones there is one such range, and none before or after. */
        if (matches || !whole)
            *end = *end < (spa | (piece - 1)) + 1 ? *end : (spa | (piece - 1)) + 1;
        else if (spa < base && base < *end)
            *end = base;
        if (matches)
            type = type == MEMORY_MIXED ? (mtrrs->variable[i].base & TYPE_MASK)
                                        : combine(type, mtrrs->variable[i].base & TYPE_MASK);
    }
    return type == MEMORY_MIXED ? (enum memory_type)(mtrrs->default_type & TYPE_MASK) : type;
}

bool mtrr_enabled(const struct mtrrs *mtrrs)
{
    return (mtrrs->default_type & DEFAULT_ENABLE) != 0;
}

/* The type at `spa`, which ends not before *end. */
static enum memory_type type_at(const struct mtrrs *mtrrs, uint64_t spa, uint64_t *end)
{
    *end = ~0ull;
    if (!mtrr_enabled(mtrrs))
        return MEMORY_UNCACHEABLE;
    if (spa < ONE_MIB && (mtrrs->default_type & DEFAULT_FIXED_ENABLE))
        return fixed_type(mtrrs, spa, end);
    return variable_type(mtrrs, spa, end);
}

void mtrr_evaluate(const struct mtrrs *mtrrs, struct mtrr_types *types)
{
    uint64_t spa = 0, end;

    types->count = 0;
    for (unsigned steps = 1; spa >> mtrrs->address_bits == 0; steps++, spa = end) {
        enum memory_type type = type_at(mtrrs, spa, &end);

        if (steps == MTRR_RANGES) {
            type = MEMORY_UNCACHEABLE;
            end = ~0ull;
        }
        if (types->count == 0 || types->ranges[types->count - 1].type != type)
            types->ranges[types->count++].type = type;
        types->ranges[types->count - 1].end = end;
    }
    types->ranges[types->count - 1].end = ~0ull;
}

/* Number of the range that `spa` lies in. */
static unsigned range_at(const struct mtrr_types *types, uint64_t spa)
{
    unsigned low = 0, high = types->count - 1;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (spa < types->ranges[middle].end)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

enum memory_type mtrr_type(const struct mtrr_types *types, uint64_t spa, uint64_t size)
{
    unsigned range = range_at(types, spa);

    return spa + size <= types->ranges[range].end ? types->ranges[range].type : MEMORY_MIXED;
}

bool mtrr_difference(const struct mtrr_types *one, const struct mtrr_types *other, uint64_t *first, uint64_t *end)
{
    unsigned i = 0, left = one->count, other_left = other->count;

    for (*first = 0; i < one->count && i < other->count && one->ranges[i].type == other->ranges[i].type; i++) {
        *first = one->ranges[i].end < other->ranges[i].end ? one->ranges[i].end : other->ranges[i].end;
        if (one->ranges[i].end != other->ranges[i].end)
            break;
    }
    *end = ~0ull;
    while (left > 0 && other_left > 0 && one->ranges[--left].type == other->ranges[--other_left].type) {
        uint64_t begin = left > 0 ? one->ranges[left - 1].end : 0;
        uint64_t other_begin = other_left > 0 ? other->ranges[other_left - 1].end : 0;

        *end = begin > other_begin ? begin : other_begin;
        if (begin != other_begin)
            break;
    }
    return *first < *end;
}
