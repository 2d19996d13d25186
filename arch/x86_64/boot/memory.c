/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/boot/firmware.h"
#include "arch/x86_64/boot/host_map.h"
#include "arch/x86_64/boot/late_launch.h"
#include "arch/x86_64/boot/memory.h"
#include "arch/x86_64/cpu/instructions.h"

#define FOUR_GIB 0x100000000ull
#define LOW_PAGE_LIMIT      0xA0000ull
#define MSR_APIC_BASE 0x1B
#define NESTED_ADDRESS_BITS 48u /* what a four-level nested table translates */

static unsigned address_bits(void)
{
    uint32_t result[4];

    cpuid(0x80000008, 0, result);
    return (result[0] & 0xFF) < NESTED_ADDRESS_BITS ? result[0] & 0xFF : NESTED_ADDRESS_BITS;
}

static bool has_1g_pages(void)
{
    uint32_t result[4];

    cpuid(0x80000001, 0, result);
    return (result[3] >> 26 & 1) != 0;
}

static void fill_low_page(struct boot_information *information, uint64_t five_levels)
{
    const struct image_header *image = (const void *)information->region;
    struct low_page_fields *fields = (void *)(information->low_page + LOW_PAGE_FIELDS);

    memcpy((void *)information->low_page, (const void *)(information->region + image->low_page_template),
           HV_PAGE_SIZE);
    *fields = (struct low_page_fields){
        .root_table = information->root_table,
        .entry = image->entry,
        .stacks = LOAM_STACKS,
        .next_index = 1,
        .processors = information->processors,
        .root_table5 = five_levels,
    };
}

static uint64_t whole_pages(uint64_t size)
{
    return (size + HV_PAGE_SIZE - 1) & ~(uint64_t)(HV_PAGE_SIZE - 1);
}

struct boot_information *memory_reserve(const struct image_header *image, unsigned processors, const char **problem)
{
    static struct memory_range ranges[LOAM_MAXIMUM_RANGES], mapped[LOAM_MAXIMUM_RANGES];
    unsigned count = firmware_memory(ranges, false), mapped_count = firmware_memory(mapped, true);
    uint64_t image_size = image->image_end, size, region, low_page;
    bool large = has_1g_pages();
    struct boot_information *information;

    *problem = "the firmware's memory map has no RAM in it";
    if (count == 0)
        return NULL;
    size = image_size + whole_pages(sizeof *information) +
           (host_map_needed(mapped, mapped_count, processors, large) +
            boot_memory_needed(ranges, count, address_bits()) + processors * LOAM_PROCESSOR_PAGES) *
               HV_PAGE_SIZE;
    *problem =
        "no free memory below 4 GiB for the hypervisor; add memory, or free some in the firmware's setup";
    region = firmware_allocate(size, HV_LARGE_PAGE_SIZE, FOUR_GIB);
    if (region == 0)
        return NULL;
    *problem = "no free page below 640 KiB for starting processors";
    low_page = firmware_allocate(HV_PAGE_SIZE, HV_PAGE_SIZE, LOW_PAGE_LIMIT);
    if (low_page == 0) {
        firmware_free(region, size);
        return NULL;
    }
    memset((void *)region, 0, size);
    memcpy((void *)region, image, image->file_end);

    information = (void *)(region + image_size);
    information->region = region;
    information->region_size = size;
    information->free = whole_pages(region + image_size + sizeof *information);
    information->low_page = low_page;
    information->processors = processors;
    information->range_count = count;
    memcpy(information->ranges, ranges, sizeof ranges);
    information->mapped_count = mapped_count;
    memcpy(information->mapped, mapped, sizeof mapped);
    fill_low_page(information, host_map_build(information, rdmsr(MSR_APIC_BASE) & 0x000FFFFFFFFFF000ull, large));
    return information;
}

void memory_release(const struct boot_information *information)
{
    uint64_t region = information->region, size = information->region_size;

    firmware_free(information->low_page, HV_PAGE_SIZE);
    firmware_free(region, size);
}
