/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware.h by EFI boot services. */
#include "arch/x86_64/boot/efi/loader.h"
#include "arch/x86_64/boot/firmware.h"
#include "arch/x86_64/boot/memory_range.h"

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

unsigned firmware_memory(struct memory_range ranges[LOAM_MAXIMUM_RANGES], bool with_reserved)
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

            if (is_ram(entry->Type) ||
                (with_reserved && (entry->Type == EfiReservedMemoryType || entry->Type == EfiUnusableMemory)))
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

uint64_t firmware_allocate(uint64_t size, uint64_t alignment, uint64_t limit)
{
    UINTN pages = size >> HV_PAGE_SHIFT, slack = (alignment >> HV_PAGE_SHIFT) - 1, head;
    EFI_PHYSICAL_ADDRESS block = limit - 1;
    uint64_t place;

    if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiReservedMemoryType, pages + slack, &block)))
        return 0;
    place = (block + alignment - 1) & ~(alignment - 1);
    head = (place - block) >> HV_PAGE_SHIFT;
    if (head > 0)
        BS->FreePages(block, head);
    if (slack > head)
        BS->FreePages(place + size, slack - head);
    return place;
}

void firmware_free(uint64_t address, uint64_t size)
{
    BS->FreePages(address, size >> HV_PAGE_SHIFT);
}

const void *firmware_pointer(uint64_t address, uint32_t size)
{
    (void)size;
    return (const void *)address;
}

const void *firmware_acpi_root(void)
{
    static EFI_GUID acpi2 = ACPI_20_TABLE_GUID, acpi1 = ACPI_TABLE_GUID;
    void *root = NULL;

    if (EFI_ERROR(LibGetSystemConfigurationTable(&acpi2, &root)) &&
        EFI_ERROR(LibGetSystemConfigurationTable(&acpi1, &root)))
        return NULL;
    return root;
}

void firmware_stall(unsigned microseconds)
{
    BS->Stall(microseconds);
}
