/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/memory_range.h"

static void sort(struct memory_range *ranges, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct memory_range range = ranges[i];
        unsigned at = i;

        for (; at > 0 && ranges[at - 1].first_pfn > range.first_pfn; at--)
            ranges[at] = ranges[at - 1];
        ranges[at] = range;
    }
}

static unsigned join(struct memory_range *ranges, unsigned count)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++) {
        struct memory_range *last = &ranges[kept - (kept > 0)];

        if (ranges[i].count == 0)
            continue;
        if (kept > 0 && ranges[i].first_pfn <= last->first_pfn + last->count) {
            uint64_t end = ranges[i].first_pfn + ranges[i].count;

            if (end > last->first_pfn + last->count)
                last->count = end - last->first_pfn;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

static void drop_smallest(struct memory_range *ranges, unsigned count)
{
    unsigned smallest = 0;

    for (unsigned i = 1; i < count; i++)
        if (ranges[i].count < ranges[smallest].count)
            smallest = i;
    for (unsigned i = smallest; i + 1 < count; i++)
        ranges[i] = ranges[i + 1];
}

unsigned memory_ranges_normalize(struct memory_range *ranges, unsigned count, unsigned maximum)
{
    sort(ranges, count);
    count = join(ranges, count);
    while (count > maximum)
        drop_smallest(ranges, count--);
    return count;
}
