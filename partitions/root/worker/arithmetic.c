/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/arithmetic.h"

#include "partitions/root/worker/processor_mode.h"

#define STATUS_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static uint64_t sign_bit(unsigned size)
{
    return 1ull << (8 * size - 1);
}

/* Sets the status flags: those that follow from the result, and the three given. */
static void set_flags(uint64_t result, unsigned size, bool carry, bool auxiliary, bool overflow,
                      uint64_t *rflags)
{
    uint64_t flags = *rflags & ~STATUS_FLAGS;

    if (carry)
        flags |= RFLAGS_CF;
    if (!__builtin_parity((unsigned)result & 0xFF))
        flags |= RFLAGS_PF;
    if (auxiliary)
        flags |= RFLAGS_AF;
    if (result == 0)
        flags |= RFLAGS_ZF;
    if (result & sign_bit(size))
        flags |= RFLAGS_SF;
    if (overflow)
        flags |= RFLAGS_OF;
    *rflags = flags;
}

uint64_t arithmetic_add(uint64_t a, uint64_t b, bool carry, unsigned size, uint64_t *rflags)
{
    uint64_t mask = width_mask(8 * size);
    uint64_t result = (a + b + carry) & mask;

    a &= mask;
    b &= mask;
    set_flags(result, size, result < a || (carry && result == a), (a ^ b ^ result) & 0x10,
              (a ^ result) & (b ^ result) & sign_bit(size), rflags);
    return result;
}

uint64_t arithmetic_subtract(uint64_t a, uint64_t b, bool borrow, unsigned size, uint64_t *rflags)
{
    uint64_t mask = width_mask(8 * size);
    uint64_t result = (a - b - borrow) & mask;

    a &= mask;
    b &= mask;
    set_flags(result, size, a < b || (borrow && a == b), (a ^ b ^ result) & 0x10,
              (a ^ b) & (a ^ result) & sign_bit(size), rflags);
    return result;
}

uint64_t arithmetic_logic(uint64_t result, unsigned size, uint64_t *rflags)
{
    result &= width_mask(8 * size);
    set_flags(result, size, false, false, false, rflags);
    return result;
}

bool arithmetic_condition(unsigned condition, uint64_t rflags)
{
    bool carry = rflags & RFLAGS_CF;
    bool zero = rflags & RFLAGS_ZF;
    bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);
    const bool holds[8] = {
        rflags & RFLAGS_OF, carry, zero,         carry || zero, rflags & RFLAGS_SF,
        rflags & RFLAGS_PF, less,  less || zero,
    };

    return holds[(condition >> 1) & 7] != (condition & 1);
}

uint64_t arithmetic_sign_extend(uint64_t value, unsigned size)
{
    unsigned unused = 64 - 8 * size;

    return (uint64_t)((int64_t)(value << unused) >> unused);
}
