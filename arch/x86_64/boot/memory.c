/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/boot/loader.h"
#include "arch/x86_64/boot/host_map.h"
#include "arch/x86_64/boot/memory_range.h"
#include "arch/x86_64/cpu/instructions.h"

#define FOUR_GIB 0x100000000ull
#define LOW_PAGE_LIMIT 0x9FFFFull
#define MSR_APIC_BASE 0x1B
#define NESTED_ADDRESS_BITS 48u /* what a four-level nested table translates */

static BOOLEAN is_ram(UINT32 type)
{
    switch (type) {
    case EfiLoaderCode:
    case EfiLoaderData:
    case EfiBootServicesCode:
    case EfiBootServicesData:
    case EfiRuntimeServicesCode:
    case EfiRuntimeServicesData:
    case EfiConventionalMemory:
    case EfiACPIReclaimMemory:
    case EfiACPIMemoryNVS:
        return TRUE;
    default:
        return FALSE;
    }
}

static BOOLEAN is_memory(UINT32 type)
{
    return is_ram(type) || type == EfiReservedMemoryType || type == EfiUnusableMemory;
}

/* What the firmware's map has of a kind, normalized; 0 if it has nothing. */
static unsigned memory_ranges(struct memory_range ranges[LOAM_MAXIMUM_RANGES], BOOLEAN (*wanted)(UINT32 type))
{
    UINTN entries, key, descriptor_size;
    UINT32 version;
    EFI_MEMORY_DESCRIPTOR *map = LibMemoryMap(&entries, &key, &descriptor_size, &version);
    struct memory_range *all;
    unsigned count = 0;

    if (!map)
        return 0;
    all = AllocatePool(entries * sizeof *all);
    if (all) {
        for (UINTN i = 0; i < entries; i++) {
            EFI_MEMORY_DESCRIPTOR *entry = (void *)((UINT8 *)map + i * descriptor_size);

            if (wanted(entry->Type))
                all[count++] =
                    (struct memory_range){entry->PhysicalStart >> HV_PAGE_SHIFT, entry->NumberOfPages};
        }
        count = memory_ranges_normalize(all, count, LOAM_MAXIMUM_RANGES);
        CopyMem(ranges, all, count * sizeof *ranges);
        FreePool(all);
    }
    FreePool(map);
    return count;
}

/* Zeroed, 2 MiB aligned, below 4 GiB; 0 if there is none. */
static uint64_t allocate_region(uint64_t size)
{
    UINTN pages = size >> HV_PAGE_SHIFT, slack = HV_PAGES_PER_LARGE_PAGE;
    EFI_PHYSICAL_ADDRESS block = FOUR_GIB - 1;
    uint64_t region, head;

    if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiReservedMemoryType, pages + slack, &block)))
        return 0;
    region = (block + HV_LARGE_PAGE_SIZE - 1) & ~(uint64_t)(HV_LARGE_PAGE_SIZE - 1);
    head = (region - block) >> HV_PAGE_SHIFT;
    if (head > 0)
        BS->FreePages(block, head);
    BS->FreePages(region + size, slack - head);
    SetMem((void *)region, size, 0);
    return region;
}

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

    CopyMem((void *)information->low_page, (void *)(information->region + image->low_page_template), HV_PAGE_SIZE);
    *fields = (struct low_page_fields){
        .root_table = information->root_table,
        .entry = image->entry,
        .stacks = LOAM_STACKS,
        .next_index = 1,
        .processors = information->processors,
        .root_table5 = five_levels,
    };
}

struct boot_information *memory_reserve(unsigned processors, const CHAR16 **problem)
{
    static struct memory_range ranges[LOAM_MAXIMUM_RANGES], mapped[LOAM_MAXIMUM_RANGES];
    uint64_t image_size = loam_image.image_end, file_size = (uint64_t)(loam_image_end - (const uint8_t *)&loam_image);
    bool large = has_1g_pages();
    unsigned count = memory_ranges(ranges, is_ram), mapped_count = memory_ranges(mapped, is_memory);
    EFI_PHYSICAL_ADDRESS low_page = LOW_PAGE_LIMIT;
    struct boot_information *information;
    uint64_t size, region;

    *problem = L"the firmware's memory map has no RAM in it";
    if (count == 0)
        return NULL;
    size = image_size + ((sizeof *information + HV_PAGE_SIZE - 1) & ~(uint64_t)(HV_PAGE_SIZE - 1)) +
           (host_map_needed(mapped, mapped_count, processors, large) + boot_memory_needed(ranges, count, address_bits(), large) +
            processors * LOAM_PROCESSOR_PAGES)
               * HV_PAGE_SIZE;
    size = (size + HV_LARGE_PAGE_SIZE - 1) & ~(uint64_t)(HV_LARGE_PAGE_SIZE - 1);
    *problem = L"no free memory below 4 GiB for the hypervisor; add memory, or free some in the firmware's setup";
    region = allocate_region(size);
    if (region == 0)
        return NULL;
    *problem = L"no free page below 640 KiB for starting processors";
    if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiReservedMemoryType, 1, &low_page))) {
        BS->FreePages(region, size >> HV_PAGE_SHIFT);
        return NULL;
    }
    CopyMem((void *)region, &loam_image, file_size);

    information = (void *)(region + image_size);
    information->region = region;
    information->region_size = size;
    information->free = (region + image_size + sizeof *information + HV_PAGE_SIZE - 1) & ~(uint64_t)(HV_PAGE_SIZE - 1);
    information->low_page = low_page;
    information->processors = processors;
    information->range_count = count;
    CopyMem(information->ranges, ranges, sizeof ranges);
    information->mapped_count = mapped_count;
    CopyMem(information->mapped, mapped, sizeof mapped);
    fill_low_page(information, host_map_build(information, rdmsr(MSR_APIC_BASE) & 0x000FFFFFFFFFF000ull, large));
    return information;
}

void memory_release(struct boot_information *information)
{
    BS->FreePages(information->low_page, 1);
    BS->FreePages(information->region, information->region_size >> HV_PAGE_SHIFT);
}
