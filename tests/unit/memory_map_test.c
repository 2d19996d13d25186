/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's memory map, compared with an array that has a type for each byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/boot/multiboot/memory_map.h"

#define BYTES 200u

static struct memory_map map;

static void check_shape(void)
{
    for (unsigned i = 0; i < map.count; i++) {
        const struct memory_region *region = &map.regions[i], *next = region + 1;

        assert_true(region->begin < region->end);
        if (i + 1 < map.count) {
            assert_true(region->end <= next->begin);
            assert_false(region->end == next->begin && region->type == next->type);
        }
    }
}

static uint32_t type_of(uint64_t address)
{
    for (unsigned i = 0; i < map.count; i++)
        if (address >= map.regions[i].begin && address < map.regions[i].end)
            return map.regions[i].type;
    return 0;
}

static void the_last_word_wins(void **state)
{
    uint8_t bytes[BYTES];

    (void)state;
    srand(1);
    for (unsigned round = 0; round < 2000; round++) {
        map.count = 0;
        memset(bytes, 0, sizeof bytes);
        for (unsigned i = 0; i < 20; i++) {
            uint64_t begin = (uint64_t)rand() % BYTES, end = (uint64_t)rand() % BYTES;
            uint32_t type = 1 + (uint32_t)rand() % 4;

            assert_true(memory_map_set(&map, begin, end, type));
            if (begin < end)
                memset(bytes + begin, (int)type, end - begin);
            check_shape();
        }
        for (unsigned i = 0; i < BYTES; i++)
            assert_int_equal(type_of(i), bytes[i]);
    }
}

static void a_full_map_stays_as_it_is(void **state)
{
    struct memory_map before;

    (void)state;
    map.count = 0;
    for (uint64_t i = 0; i < MEMORY_MAP_MAXIMUM; i++)
        assert_true(memory_map_set(&map, i * 10, i * 10 + 5, MEMORY_RAM));
    before = map;
    assert_false(memory_map_set(&map, 12, 13, MEMORY_RESERVED));
    assert_false(memory_map_set(&map, 5000, 5001, MEMORY_RESERVED));
    assert_memory_equal(&map, &before, sizeof map);
    assert_true(memory_map_set(&map, 5, 10, MEMORY_RAM)); /* joins two */
    assert_int_equal(map.count, MEMORY_MAP_MAXIMUM - 1);
    assert_true(memory_map_set(&map, 0, ~0ull, MEMORY_RAM));
    assert_int_equal(map.count, 1);
}

static void pages_are_whole_ones(void **state)
{
    struct memory_range ranges[LOAM_MAXIMUM_RANGES];

    (void)state;
    map.count = 0;
    memory_map_set(&map, 0, 0x9FC00, MEMORY_RAM);
    memory_map_set(&map, 0x9FC00, 0xA0000, MEMORY_RESERVED);
    memory_map_set(&map, 0x100001, 0x101FFF, MEMORY_RAM); /* no whole page */
    memory_map_set(&map, 0x200000, 0x300000, MEMORY_RAM);
    memory_map_set(&map, 0x300000, 0x301000, MEMORY_ACPI);
    memory_map_set(&map, 0x301000, 0x302000, MEMORY_NVS);
    memory_map_set(&map, 0x302000, 0x303000, 5);
    memory_map_set(&map, 0xFFFFFFFFFFFFF001, ~0ull, MEMORY_RAM);
    assert_int_equal(memory_map_pages(&map, ranges), 2);
    assert_int_equal(ranges[0].first_pfn, 0);
    assert_int_equal(ranges[0].count, 0x9F);
    assert_int_equal(ranges[1].first_pfn, 0x200);
    assert_int_equal(ranges[1].count, 0x102);
    assert_int_equal(memory_map_ram(&map), 0x9FC00 + 0x1FFE + 0x100000 + 0xFFE);
}

/* Every answer against all addresses that there are. */
static void finds_what_there_is(void **state)
{
    (void)state;
    srand(2);
    for (unsigned round = 0; round < 5000; round++) {
        uint64_t size = 1 + (uint64_t)rand() % 20, alignment = 1ull << rand() % 5,
                 lowest = 1 + (uint64_t)rand() % BYTES;
        uint64_t limit = (uint64_t)rand() % BYTES, low = 0, high = 0;

        map.count = 0;
        for (unsigned i = 0; i < 8; i++) {
            uint64_t begin = (uint64_t)rand() % BYTES;

            memory_map_set(&map, begin, begin + (uint64_t)rand() % 50, 1 + (uint32_t)rand() % 2);
        }
        for (uint64_t at = (lowest + alignment - 1) & ~(alignment - 1); at + size <= limit; at += alignment) {
            bool fits = true;

            for (uint64_t i = 0; i < size; i++)
                fits &= type_of(at + i) == MEMORY_RAM;
            if (fits && low == 0)
                low = at;
            if (fits)
                high = at;
        }
        assert_int_equal(memory_map_find_lowest(&map, size, alignment, lowest, limit), low);
        assert_int_equal(memory_map_find_highest(&map, size, alignment, lowest, limit), high);
    }
}

static void sizes_beyond_all_memory_fit_nowhere(void **state)
{
    (void)state;
    map.count = 0;
    memory_map_set(&map, 0x1000, ~0ull, MEMORY_RAM);
    assert_int_equal(memory_map_find_lowest(&map, ~0ull, 1, 1, ~0ull), 0);
    assert_int_equal(memory_map_find_highest(&map, ~0ull, 1ull << 63, 1, ~0ull), 0);
    assert_int_equal(memory_map_find_lowest(&map, 1, 1ull << 32, ~0ull - 5, ~0ull), 0);
    assert_int_equal(memory_map_find_lowest(&map, 0x1000, 0x1000, ~0ull - 5, 1ull << 32), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_word_wins),
        cmocka_unit_test(a_full_map_stays_as_it_is),
        cmocka_unit_test(pages_are_whole_ones),
        cmocka_unit_test(finds_what_there_is),
        cmocka_unit_test(sizes_beyond_all_memory_fit_nowhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
