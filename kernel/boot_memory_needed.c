/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/boot_memory.h"
#include "kernel/frame.h"
#include "kernel/parent_map.h"

/* 1 GiB regions that hold RAM: each gets a page directory of its own. */
static uint64_t ram_regions(const struct memory_range *ram, unsigned count)
{
    uint64_t regions = 0, next = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t first = ram[i].first_pfn >> PARENT_MAP_REGION_PFN_SHIFT;
        uint64_t last = (ram[i].first_pfn + ram[i].count - 1) >> PARENT_MAP_REGION_PFN_SHIFT;

        if (first < next)
            first = next;
        if (last >= first) {
            regions += last - first + 1;
            next = last + 1;
        }
    }
    return regions;
}

uint64_t boot_memory_needed(const struct memory_range *ram, unsigned count, unsigned address_bits)
{
    uint64_t pages = 0;

    for (unsigned i = 0; i < count; i++)
        pages += ram[i].count;
    pages = (pages * sizeof(struct frame) + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;
    pages += 1 + parent_map_pointer_tables(address_bits);
    return pages + ram_regions(ram, count) + PARENT_MAP_EXTRA_TABLES + PARENT_MAP_POOL_PAGES;
}
