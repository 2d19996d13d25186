/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/guest_memory.h"

#define PAGE 4096

static uint8_t low[2 * PAGE], high[PAGE], beside[PAGE];

static int setup(void **state)
{
    static struct guest_memory memory;

    memset(&memory, 0, sizeof memory);
    memset(low, 0x11, sizeof low);
    memset(high, 0x22, sizeof high);
    memset(beside, 0x33, sizeof beside);
    assert_true(guest_memory_add(&memory, 0x100000000, sizeof high, high));
    assert_true(guest_memory_add(&memory, 0x1000, sizeof low, low));
    assert_true(guest_memory_add(&memory, 0x3000, sizeof beside, beside));
    *state = &memory;
    return 0;
}

static void regions_are_checked(void **state)
{
    struct guest_memory *memory = *state;

    assert_false(guest_memory_add(memory, 0x2000, PAGE, beside));
    assert_false(guest_memory_add(memory, 0, 2 * PAGE, beside));
    assert_false(guest_memory_add(memory, 0, PAGE + 1, beside));
    assert_false(guest_memory_add(memory, 0x3fff, 1, beside));
    assert_false(guest_memory_add(memory, 0, 0, beside));
    assert_false(guest_memory_add(memory, 0, UINT64_MAX, beside));
    assert_false(guest_memory_add(memory, UINT64_MAX - PAGE + 2, PAGE, beside));
    assert_true(guest_memory_add(memory, 0, PAGE, beside));
    for (unsigned i = 4; i < GUEST_MEMORY_MAXIMUM_REGIONS; i++)
        assert_true(guest_memory_add(memory, 0x200000000 + i * PAGE, PAGE, beside));
    assert_false(guest_memory_add(memory, 0x300000000, PAGE, beside));
    for (unsigned i = 1; i < memory->count; i++)
        assert_true(memory->regions[i - 1].gpa < memory->regions[i].gpa);
}

static void bytes_move(void **state)
{
    struct guest_memory *memory = *state;
    uint8_t buffer[4];

    assert_true(guest_memory_write(memory, 0x1ffe, "abcd", 4));
    assert_memory_equal(low + PAGE - 2, "abcd", 4);
    assert_true(guest_memory_read(memory, 0x1ffe, buffer, 4));
    assert_memory_equal(buffer, "abcd", 4);
    assert_true(guest_memory_read(memory, 0x100000ffc, buffer, 4));
    assert_memory_equal(buffer, "\x22\x22\x22\x22", 4);
    assert_true(guest_memory_read(memory, 0x5000, buffer, 0));
}

static void touching_regions_are_one(void **state)
{
    struct guest_memory *memory = *state;
    uint8_t buffer[4];

    assert_true(guest_memory_read(memory, 0x2ffe, buffer, 4));
    assert_memory_equal(buffer, "\x11\x11\x33\x33", 4);
    assert_true(guest_memory_write(memory, 0x2ffe, "wxyz", 4));
    assert_memory_equal(low + 2 * PAGE - 2, "wx", 2);
    assert_memory_equal(beside, "yz", 2);
    /* But not for zero-copy: the host's memory need not touch. */
    assert_null(guest_memory_range(memory, 0x2ffe, 4));
}

static void all_or_nothing(void **state)
{
    struct guest_memory *memory = *state;
    uint8_t buffer[4] = "keep";

    assert_false(guest_memory_read(memory, 0x3ffe, buffer, 4));
    assert_memory_equal(buffer, "keep", 4);
    assert_false(guest_memory_write(memory, 0x3ffe, "abcd", 4));
    assert_int_equal(beside[PAGE - 2], 0x33);
    assert_false(guest_memory_read(memory, 0x4000, buffer, 1));
    assert_false(guest_memory_write(memory, 0xffe, "abcd", 4));
    assert_int_equal(low[0], 0x11);
    assert_false(guest_memory_read(memory, UINT64_MAX, buffer, 4));
    assert_false(guest_memory_read(memory, 0x1000, buffer, SIZE_MAX));
}

static void ranges_are_the_memory_itself(void **state)
{
    struct guest_memory *memory = *state;

    assert_ptr_equal(guest_memory_range(memory, 0x1000, 2 * PAGE), low);
    assert_ptr_equal(guest_memory_range(memory, 0x100000001, PAGE - 1), high + 1);
    assert_null(guest_memory_range(memory, 0x100000001, PAGE));
    assert_null(guest_memory_range(memory, 0xfff, 1));
    assert_null(guest_memory_range(memory, 0x1000, SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(regions_are_checked, setup),
        cmocka_unit_test_setup(bytes_move, setup),
        cmocka_unit_test_setup(touching_regions_are_one, setup),
        cmocka_unit_test_setup(all_or_nothing, setup),
        cmocka_unit_test_setup(ranges_are_the_memory_itself, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
