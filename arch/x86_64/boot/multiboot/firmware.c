/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware.h by what a BIOS leaves behind. */
#include <string.h>

#include "arch/x86_64/boot/firmware.h"
#include "arch/x86_64/boot/multiboot/loader.h"
#include "arch/x86_64/cpu/instructions.h"

/* Intel 8254, channel 2, and the port that gates it and shows its output. */
#define PIT_FREQUENCY  1193182u
#define PIT_CHANNEL2   0x42
#define PIT_COMMAND    0x43
#define PIT_ONE_SHOT   0xB0 /* channel 2, both bytes, mode 0 */
#define SYSTEM_PORT    0x61
#define SYSTEM_GATE    0x01
#define SYSTEM_SPEAKER 0x02
#define SYSTEM_OUTPUT  0x20
#define PIT_POLLS      10000000u /* a broken one ends, too */

/* Where the root pointer is (ACPI 6.4, 5.2.5.1). */
#define EBDA_SEGMENT     ((const uint16_t *)0x40E)
#define EBDA_LOWEST      0x80000u
#define EBDA_SEARCHED    1024u
#define BIOS_AREA        0xE0000u
#define BIOS_AREA_END    0x100000u
#define ACPI_ROOT_SIZE   20u
#define ACPI_ROOT_STRIDE 16u

struct machine_memory machine_memory;
static const void *acpi_root;

unsigned firmware_memory(struct memory_range ranges[LOAM_MAXIMUM_RANGES], bool with_reserved)
{
    (void)with_reserved; /* nobody waits there: the other processors come by a SIPI */
    return memory_map_pages(&machine_memory.map, ranges);
}

uint64_t firmware_allocate(uint64_t size, uint64_t alignment, uint64_t limit)
{
    struct machine_memory *memory = &machine_memory;
    uint64_t place = memory_map_find_highest(&memory->free, size, alignment, HV_PAGE_SIZE, limit);

    if (place == 0 || !memory_map_set(&memory->free, place, place + size, MEMORY_RESERVED))
        return 0;
    if (memory_map_set(&memory->map, place, place + size, MEMORY_RESERVED))
        return place;
    memory_map_set(&memory->free, place, place + size, MEMORY_RAM);
    return 0;
}

void firmware_free(uint64_t address, uint64_t size)
{
    memory_map_set(&machine_memory.map, address, address + size, MEMORY_RAM);
    memory_map_set(&machine_memory.free, address, address + size, MEMORY_RAM);
}

const void *firmware_pointer(uint64_t address, uint32_t size)
{
    return address < FOUR_GIB && size <= FOUR_GIB - address ? (const void *)address : NULL;
}

static uint64_t find_root(uint64_t begin, uint64_t end)
{
    for (uint64_t at = begin; at + ACPI_ROOT_SIZE <= end; at += ACPI_ROOT_STRIDE) {
        const uint8_t *root = (const uint8_t *)at;
        uint8_t sum = 0;

        if (memcmp(root, "RSD PTR ", 8) != 0)
            continue;
        for (unsigned i = 0; i < ACPI_ROOT_SIZE; i++)
            sum = (uint8_t)(sum + root[i]);
        if (sum == 0)
            return at;
    }
    return 0;
}

uint64_t firmware_find_acpi_root(void)
{
    uint64_t ebda = (uint64_t)*EBDA_SEGMENT << 4;
    uint64_t root = ebda >= EBDA_LOWEST ? find_root(ebda, ebda + EBDA_SEARCHED) : 0;

    return root ? root : find_root(BIOS_AREA, BIOS_AREA_END);
}

void firmware_set_acpi_root(const void *root)
{
    acpi_root = root;
}

const void *firmware_acpi_root(void)
{
    return acpi_root ? acpi_root : (const void *)firmware_find_acpi_root();
}

void firmware_stall(unsigned microseconds)
{
    uint32_t count = (uint32_t)((uint64_t)PIT_FREQUENCY * microseconds / 1000000);
    uint8_t before = in8(SYSTEM_PORT);

    out8(SYSTEM_PORT, (uint8_t)((before & ~SYSTEM_SPEAKER) | SYSTEM_GATE));
    out8(PIT_COMMAND, PIT_ONE_SHOT);
    out8(PIT_CHANNEL2, (uint8_t)count);
    out8(PIT_CHANNEL2, (uint8_t)(count >> 8));
    for (unsigned i = 0; i < PIT_POLLS && !(in8(SYSTEM_PORT) & SYSTEM_OUTPUT); i++)
        ;
    out8(SYSTEM_PORT, before);
}

unsigned firmware_processors(void)
{
    return 0;
}

unsigned firmware_launch_processors(struct boot_information *information)
{
    (void)information;
    return 0;
}
