/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of RAM, compared with a set of pages kept the simple way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/boot/memory_range.h"

#define PAGES  256u
#define RANGES 24u

static void mark(uint8_t pages[PAGES], const struct memory_range *ranges, unsigned count)
{
    memset(pages, 0, PAGES);
    for (unsigned i = 0; i < count; i++)
        memset(pages + ranges[i].first_pfn, 1, ranges[i].count);
}

static void keeps_what_there_is(void **state)
{
    struct memory_range ranges[RANGES];
    uint8_t before[PAGES], after[PAGES];

    (void)state;
    srand(1);
    for (unsigned round = 0; round < 5000; round++) {
        unsigned count = (unsigned)rand() % (RANGES + 1), kept;

        for (unsigned i = 0; i < count; i++) {
            ranges[i].first_pfn = (uint64_t)rand() % PAGES;
            ranges[i].count = (uint64_t)rand() % 12;
            if (ranges[i].first_pfn + ranges[i].count > PAGES)
                ranges[i].count = PAGES - ranges[i].first_pfn;
        }
        mark(before, ranges, count);
        kept = memory_ranges_normalize(ranges, count, RANGES);
        mark(after, ranges, kept);
        assert_memory_equal(before, after, PAGES);
        for (unsigned i = 0; i < kept; i++) {
            assert_int_not_equal(ranges[i].count, 0);
            if (i > 0) /* sorted, and neither overlapping nor touching */
                assert_true(ranges[i - 1].first_pfn + ranges[i - 1].count < ranges[i].first_pfn);
        }
    }
}

static void drops_the_smallest_when_there_are_too_many(void **state)
{
    struct memory_range ranges[] = {
        {100, 50},
        {300, 1 },
        {10,  5 },
        {200, 20},
        {400, 2 },
    };

    (void)state;
    assert_int_equal(memory_ranges_normalize(ranges, 5, 3), 3);
    assert_int_equal(ranges[0].first_pfn, 10);
    assert_int_equal(ranges[1].first_pfn, 100);
    assert_int_equal(ranges[2].first_pfn, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_there_is),
        cmocka_unit_test(drops_the_smallest_when_there_are_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
