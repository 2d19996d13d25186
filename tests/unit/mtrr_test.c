/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory types by MTRR: fixed and variable ranges, where they meet, and ranges of more than one type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/vmx/mtrr.h"

#define GIB          0x40000000ull
#define MIB          0x100000ull
#define VALID        0x800ull
#define ENABLE       0x800ull
#define FIXED_ENABLE 0x400ull
#define BITS         39u

static struct mtrrs mtrrs;
static struct mtrr_types types;

uint64_t rdmsr(uint32_t msr)
{
    switch (msr) {
    case 0xFE:
        return 0x502; /* two variable ranges, fixed ones, write combining */
    case 0x2FF:
        return 0xC06;
    case 0x200:
        return 0xC0000000;
    case 0x201:
        return ((1ull << BITS) - GIB) | VALID;
    default:
        return msr >= 0x250 && msr <= 0x26F ? 0x0606060606060606 : 0;
    }
}

static enum memory_type type(uint64_t spa, uint64_t size)
{
    mtrr_evaluate(&mtrrs, &types);
    return mtrr_type(&types, spa, size);
}

static int setup(void **state)
{
    (void)state;
    memset(&mtrrs, 0, sizeof mtrrs);
    mtrrs.address_bits = BITS;
    mtrrs.default_type = ENABLE | MEMORY_WRITE_BACK;
    mtrrs.variable_count = 4;
    return 0;
}

static void variable(unsigned number, uint64_t base, uint64_t size, enum memory_type of)
{
    mtrrs.variable[number].base = base | (uint64_t)of;
    mtrrs.variable[number].mask = (((1ull << BITS) - 1) & ~(size - 1)) | VALID;
}

static void test_off(void **state)
{
    (void)state;
    mtrrs.default_type = MEMORY_WRITE_BACK;
    variable(0, 0, GIB, MEMORY_WRITE_BACK);
    assert_int_equal(type(0, 512 * GIB), MEMORY_UNCACHEABLE);
}

static void test_variable(void **state)
{
    (void)state;
    variable(0, 3 * GIB, GIB, MEMORY_UNCACHEABLE);
    assert_int_equal(type(0, 3 * GIB), MEMORY_WRITE_BACK);
    assert_int_equal(type(3 * GIB, GIB), MEMORY_UNCACHEABLE);
    assert_int_equal(type(4 * GIB, 508 * GIB), MEMORY_WRITE_BACK);
    assert_int_equal(type(2 * GIB, 2 * GIB), MEMORY_MIXED);
    assert_int_equal(type(3 * GIB - 4096, 8192), MEMORY_MIXED);
    mtrrs.variable[0].mask &= ~VALID;
    assert_int_equal(type(0, 512 * GIB), MEMORY_WRITE_BACK);
}

/* SDM vol. 3A, 12.11.4.1 */
static void test_overlap(void **state)
{
    (void)state;
    mtrrs.default_type = ENABLE | MEMORY_UNCACHEABLE;
    variable(0, 0, 4 * GIB, MEMORY_WRITE_BACK);
    variable(1, 2 * MIB, 2 * MIB, MEMORY_WRITE_THROUGH);
    variable(2, 3 * GIB, GIB, MEMORY_UNCACHEABLE);
    assert_int_equal(type(0, 2 * MIB), MEMORY_WRITE_BACK);
    assert_int_equal(type(2 * MIB, 2 * MIB), MEMORY_WRITE_THROUGH);
    assert_int_equal(type(3 * GIB, GIB), MEMORY_UNCACHEABLE);
    assert_int_equal(type(4 * GIB, GIB), MEMORY_UNCACHEABLE);
    assert_int_equal(type(0, 4 * MIB), MEMORY_MIXED);
    variable(3, 2 * MIB, 4096, MEMORY_WRITE_COMBINING); /* undefined with the others */
    assert_int_equal(type(2 * MIB, 4096), MEMORY_UNCACHEABLE);
}

/* A mask with a hole: every other MiB of the first 4 MiB. */
static void test_mask_with_a_hole(void **state)
{
    (void)state;
    mtrrs.variable[0].base = MEMORY_WRITE_COMBINING;
    mtrrs.variable[0].mask = (((1ull << BITS) - 1) & ~(4 * MIB - 1)) | MIB | VALID;
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(type(i * MIB, MIB), i < 4 && i % 2 == 0 ? MEMORY_WRITE_COMBINING : MEMORY_WRITE_BACK);
    assert_int_equal(type(256 * GIB, GIB), MEMORY_UNCACHEABLE); /* the work ends */
}

/* Every variable range and every piece of the fixed ones by itself. */
static void test_all_ranges(void **state)
{
    (void)state;
    mtrrs.default_type |= FIXED_ENABLE;
    mtrrs.variable_count = MTRR_VARIABLE_MAXIMUM;
    for (unsigned i = 0; i < MTRR_FIXED; i++)
        mtrrs.fixed[i] = 0x0600060006000600;
    for (unsigned i = 0; i < MTRR_VARIABLE_MAXIMUM; i++)
        variable(i, (2 * i + 1) * GIB, 4096, MEMORY_WRITE_THROUGH);
    for (unsigned i = 0; i < MTRR_VARIABLE_MAXIMUM; i++) {
        assert_int_equal(type((2 * i + 1) * GIB, 4096), MEMORY_WRITE_THROUGH);
        assert_int_equal(type((2 * i + 1) * GIB + 4096, GIB), MEMORY_WRITE_BACK);
    }
    assert_int_equal(types.count, 88 + 2 * MTRR_VARIABLE_MAXIMUM);
    assert_int_equal(type(511 * GIB, GIB), MEMORY_WRITE_BACK);
}

/* Whatever changes lies between the two bounds, which are as near as possible. */
static void test_difference(void **state)
{
    static struct mtrr_types before;
    uint64_t first, end;

    (void)state;
    variable(0, 3 * GIB, GIB, MEMORY_UNCACHEABLE);
    mtrr_evaluate(&mtrrs, &before);
    variable(1, 7 * GIB, GIB, MEMORY_UNCACHEABLE);
    mtrrs.variable[1].mask &= ~VALID; /* means nothing */
    mtrr_evaluate(&mtrrs, &types);
    assert_false(mtrr_difference(&before, &types, &first, &end));
    mtrrs.variable[1].mask |= VALID;
    mtrr_evaluate(&mtrrs, &types);
    assert_true(mtrr_difference(&before, &types, &first, &end));
    assert_true(first == 7 * GIB && end == 8 * GIB);
    assert_true(mtrr_difference(&types, &before, &first, &end));
    assert_true(first == 7 * GIB && end == 8 * GIB);
    variable(1, 3 * GIB + 16 * MIB, 16 * MIB, MEMORY_UNCACHEABLE); /* within one that is already */
    mtrr_evaluate(&mtrrs, &types);
    assert_false(mtrr_difference(&before, &types, &first, &end));
    mtrrs.variable[0].mask = ((1ull << BITS) - GIB / 2) | VALID;
    mtrr_evaluate(&mtrrs, &types);
    assert_true(mtrr_difference(&before, &types, &first, &end));
    assert_true(first == 3 * GIB + GIB / 2 && end == 4 * GIB);
    mtrrs.default_type = 0;
    mtrr_evaluate(&mtrrs, &types);
    assert_true(mtrr_difference(&before, &types, &first, &end));
    assert_true(first == 0 && end == ~0ull);
}

static void test_fixed(void **state)
{
    (void)state;
    mtrr_read(&mtrrs, BITS);
    assert_int_equal(mtrrs.variable_count, 2);
    assert_int_equal(type(0, MIB), MEMORY_WRITE_BACK);
    mtrrs.fixed[2] = 0; /* A0000 to BFFFF */
    assert_int_equal(type(0, 0xA0000), MEMORY_WRITE_BACK);
    assert_int_equal(type(0xA0000, 0x20000), MEMORY_UNCACHEABLE);
    assert_int_equal(type(0xC0000, 0x40000), MEMORY_WRITE_BACK);
    assert_int_equal(type(0, 2 * MIB), MEMORY_MIXED);
    mtrrs.fixed[10] = 0x0505050505050500; /* its first 4 KiB: UC */
    assert_int_equal(type(0xF8000, 0x1000), MEMORY_UNCACHEABLE);
    assert_int_equal(type(0xF9000, 0x7000), MEMORY_WRITE_PROTECTED);
    mtrrs.default_type &= ~FIXED_ENABLE;
    assert_int_equal(type(0, 2 * MIB), MEMORY_WRITE_BACK);
    assert_int_equal(type(3 * GIB, GIB), MEMORY_UNCACHEABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_off, setup),        cmocka_unit_test_setup(test_variable, setup),
        cmocka_unit_test_setup(test_overlap, setup),    cmocka_unit_test_setup(test_mask_with_a_hole, setup),
        cmocka_unit_test_setup(test_fixed, setup),      cmocka_unit_test_setup(test_all_ranges, setup),
        cmocka_unit_test_setup(test_difference, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
