/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The little that the loader needs of the firmware's ACPI tables (ACPI 6.4, 5.2). */
#include "arch/x86_64/boot/loader.h"

struct acpi_header {
    char signature[4];
    UINT32 length;
    UINT8 revision, checksum;
    char oem[6], oem_table[8];
    UINT32 oem_revision, creator, creator_revision;
} __attribute__((packed));

struct acpi_root {
    char signature[8];
    UINT8 checksum;
    char oem[6];
    UINT8 revision;
    UINT32 rsdt;
    UINT32 length;
    UINT64 xsdt;
} __attribute__((packed));

#define FADT_RESET_REGISTER 116 /* generic address: space, width, offset, size, address */
#define FADT_RESET_VALUE 128
#define FADT_FLAGS 112
#define FADT_RESET_SUPPORTED (1u << 10)
#define ADDRESS_SPACE_IO 1

#define MADT_ENTRIES 44
#define MADT_LOCAL_APIC 0
#define MADT_LOCAL_X2APIC 9
#define MADT_ENABLED_OR_CAPABLE 3u

static const struct acpi_root *root_pointer(void)
{
    static EFI_GUID acpi2 = ACPI_20_TABLE_GUID, acpi1 = ACPI_TABLE_GUID;
    void *root = NULL;

    if (EFI_ERROR(LibGetSystemConfigurationTable(&acpi2, &root)) &&
        EFI_ERROR(LibGetSystemConfigurationTable(&acpi1, &root)))
        return NULL;
    return root;
}

static const struct acpi_header *find_table(const char signature[4])
{
    const struct acpi_root *root = root_pointer();
    const struct acpi_header *list;
    BOOLEAN wide;

    if (!root)
        return NULL;
    wide = root->revision >= 2 && root->xsdt != 0;
    list = (const void *)(wide ? root->xsdt : (UINT64)root->rsdt);
    if (!list || list->length < sizeof *list)
        return NULL;
    for (UINT32 at = sizeof *list; at + (wide ? 8 : 4) <= list->length; at += wide ? 8 : 4) {
        const void *entry = (const UINT8 *)list + at;
        UINT64 address = 0;

        CopyMem(&address, (void *)entry, wide ? 8 : 4);
        if (address && CompareMem((void *)address, (void *)signature, 4) == 0)
            return (const void *)address;
    }
    return NULL;
}

unsigned acpi_processors(UINT32 apic_ids[LOAM_MAXIMUM_PROCESSORS])
{
    const struct acpi_header *madt = find_table("APIC");
    const UINT8 *bytes = (const void *)madt;
    unsigned count = 0;

    if (!madt)
        return 0;
    for (UINT32 at = MADT_ENTRIES; at + 2 <= madt->length && bytes[at + 1] >= 2; at += bytes[at + 1]) {
        BOOLEAN wide = bytes[at] == MADT_LOCAL_X2APIC;
        UINT32 flags, id = 0;

        if ((!wide && bytes[at] != MADT_LOCAL_APIC) || at + (wide ? 16 : 8) > madt->length)
            continue;
        CopyMem(&flags, (void *)(bytes + at + (wide ? 8 : 4)), 4);
        CopyMem(&id, (void *)(bytes + at + (wide ? 4 : 3)), wide ? 4 : 1);
        if ((flags & MADT_ENABLED_OR_CAPABLE) && count < LOAM_MAXIMUM_PROCESSORS)
            apic_ids[count++] = id;
    }
    return count;
}

void acpi_reset_register(uint16_t *port, uint8_t *value)
{
    const struct acpi_header *fadt = find_table("FACP");
    const UINT8 *bytes = (const void *)fadt;
    UINT32 flags;
    UINT64 address;

    *port = 0;
    *value = 0;
    if (!fadt || fadt->length <= FADT_RESET_VALUE)
        return;
    CopyMem(&flags, (void *)(bytes + FADT_FLAGS), 4);
    CopyMem(&address, (void *)(bytes + FADT_RESET_REGISTER + 4), 8);
    if ((flags & FADT_RESET_SUPPORTED) && bytes[FADT_RESET_REGISTER] == ADDRESS_SPACE_IO && address <= 0xFFFF) {
        *port = (uint16_t)address;
        *value = bytes[FADT_RESET_VALUE];
    }
}
