/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/mm/physical.h"
#include "kernel/arch.h"

static const struct boot_information *boot;

void physical_initialize(const struct boot_information *information)
{
    boot = information;
}

bool physical_is_memory(uint64_t spa)
{
    uint64_t pfn = spa >> HV_PAGE_SHIFT;
    unsigned low = 0, high = boot->mapped_count;

    if (spa >= LOAM_DIRECT_MAP_SIZE)
        return false;
    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (boot->mapped[middle].first_pfn <= pfn)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && pfn - boot->mapped[low - 1].first_pfn < boot->mapped[low - 1].count;
}

uint64_t physical_of_image(const void *pointer)
{
    return (uintptr_t)pointer - LOAM_IMAGE_BASE + boot->region;
}

void *physical_pointer(uint64_t spa)
{
    return (void *)(uintptr_t)(LOAM_DIRECT_MAP + spa);
}

uint64_t physical_address(const void *pointer)
{
    return (uintptr_t)pointer - LOAM_DIRECT_MAP;
}
