/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/boot/acpi.h"
#include "arch/x86_64/boot/firmware.h"

#define TABLE(a, b, c, d) ((uint32_t)(d) << 24 | (uint32_t)(c) << 16 | (uint32_t)(b) << 8 | (a))

#define TABLE_LENGTH_MAXIMUM (16u << 20) /* beyond all reason */

struct acpi_header {
    uint32_t signature;
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct acpi_root {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
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

/* The whole table can be read. */
static const struct acpi_header *table_at(uint64_t address)
{
    const struct acpi_header *table = firmware_pointer(address, sizeof *table);

    if (!table || table->length < sizeof *table || table->length > TABLE_LENGTH_MAXIMUM)
        return NULL;
    return firmware_pointer(address, table->length);
}

static const struct acpi_header *find_table(uint32_t signature)
{
    const struct acpi_root *root = firmware_acpi_root();
    const struct acpi_header *list, *table;
    bool wide;

    if (!root)
        return NULL;
    wide = root->revision >= 2 && root->xsdt != 0;
    list = table_at(wide ? root->xsdt : root->rsdt);
    if (!list)
        return NULL;
    for (uint32_t at = sizeof *list; at + (wide ? 8 : 4) <= list->length; at += wide ? 8 : 4) {
        const void *entry = (const uint8_t *)list + at;
        uint64_t address = 0;

        memcpy(&address, entry, wide ? 8 : 4);
        table = table_at(address);
        if (table && table->signature == signature)
            return table;
    }
    return NULL;
}

unsigned acpi_processors(uint32_t apic_ids[LOAM_MAXIMUM_PROCESSORS])
{
    const struct acpi_header *madt = find_table(TABLE('A', 'P', 'I', 'C'));
    const uint8_t *bytes = (const void *)madt;
    unsigned count = 0;

    if (!madt)
        return 0;
    for (uint32_t at = MADT_ENTRIES; at + 2 <= madt->length && bytes[at + 1] >= 2; at += bytes[at + 1]) {
        bool wide = bytes[at] == MADT_LOCAL_X2APIC;
        uint32_t flags, id = 0;

        if ((!wide && bytes[at] != MADT_LOCAL_APIC) || at + (wide ? 16 : 8) > madt->length)
            continue;
        memcpy(&flags, bytes + at + (wide ? 8 : 4), 4);
        memcpy(&id, bytes + at + (wide ? 4 : 3), wide ? 4 : 1);
        if ((flags & MADT_ENABLED_OR_CAPABLE) && count < LOAM_MAXIMUM_PROCESSORS)
            apic_ids[count++] = id;
    }
    return count;
}

void acpi_reset_register(uint16_t *port, uint8_t *value)
{
    const struct acpi_header *fadt = find_table(TABLE('F', 'A', 'C', 'P'));
    const uint8_t *bytes = (const void *)fadt;
    uint32_t flags;
    uint64_t address;

    *port = 0;
    *value = 0;
    if (!fadt || fadt->length <= FADT_RESET_VALUE)
        return;
    memcpy(&flags, bytes + FADT_FLAGS, 4);
    memcpy(&address, bytes + FADT_RESET_REGISTER + 4, 8);
    if ((flags & FADT_RESET_SUPPORTED) && bytes[FADT_RESET_REGISTER] == ADDRESS_SPACE_IO && address <= 0xFFFF) {
        *port = (uint16_t)address;
        *value = bytes[FADT_RESET_VALUE];
    }
}
