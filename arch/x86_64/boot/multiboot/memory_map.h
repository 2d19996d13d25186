/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's memory map, to the byte: what a BIOS reports and what Linux is told (e820). No locks, no
 * allocation. */
#ifndef BOOT_MULTIBOOT_MEMORY_MAP_H
#define BOOT_MULTIBOOT_MEMORY_MAP_H

#include "arch/x86_64/boot/boot_information.h"

/* As many as Linux's boot_params hold. */
#define MEMORY_MAP_MAXIMUM 128u

/* ACPI 6.4, table 15.3. */
enum memory_type {
    MEMORY_RAM = 1,
    MEMORY_RESERVED = 2,
    MEMORY_ACPI = 3,
    MEMORY_NVS = 4,
};

/* Sorted by address; regions neither overlap nor are empty, and neighbours of one type are one. */
struct memory_map {
    unsigned count;
    struct memory_region {
        uint64_t begin, end;
        uint32_t type;
    } regions[MEMORY_MAP_MAXIMUM];
};

/* Makes [begin, end) a region of this type, whatever was there. False: too many regions, nothing has changed.
 */
bool memory_map_set(struct memory_map *map, uint64_t begin, uint64_t end, uint32_t type);

/* The pages of RAM that the operating system may get at, ACPI's tables included: normalized; returns how many
 * runs. */
unsigned memory_map_pages(const struct memory_map *map, struct memory_range ranges[LOAM_MAXIMUM_RANGES]);

/*
 * A place in RAM for `size` bytes (not 0), aligned to a power of two, within [lowest, limit): the highest or
 * the lowest that there is; 0 if there is none.
 */
uint64_t memory_map_find_highest(const struct memory_map *map, uint64_t size, uint64_t alignment,
                                 uint64_t lowest, uint64_t limit);
uint64_t memory_map_find_lowest(const struct memory_map *map, uint64_t size, uint64_t alignment,
                                uint64_t lowest, uint64_t limit);

/* Bytes of RAM. */
uint64_t memory_map_ram(const struct memory_map *map);

#endif
