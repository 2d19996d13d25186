/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the loaders' common code asks of the firmware beneath which Loam is to go. Each loader has its own;
 * all run on the boot processor, in an identity map.
 */
#ifndef BOOT_FIRMWARE_H
#define BOOT_FIRMWARE_H

#include "arch/x86_64/boot/boot_information.h"

/*
 * RAM, whatever it is used for; or also what the firmware keeps for itself, where its processors may wait.
 * Normalized; returns how many ranges, 0 if the firmware has none to tell of.
 */
unsigned firmware_memory(struct memory_range ranges[LOAM_MAXIMUM_RANGES], bool with_reserved);

/*
 * Memory that nobody else uses and that the operating system will be told to spare: `size` and `alignment` (a
 * power of two) in whole pages, all below `limit`; 0 if there is none.
 */
uint64_t firmware_allocate(uint64_t size, uint64_t alignment, uint64_t limit);
void firmware_free(uint64_t address, uint64_t size);

/* `size` bytes at an address that the firmware's tables name; NULL: address 0, or they cannot all be read here. */
const void *firmware_pointer(uint64_t address, uint32_t size);

/* The ACPI root pointer (RSDP); NULL: there is none. */
const void *firmware_acpi_root(void);

/* Waits, at most 20000 microseconds. */
void firmware_stall(unsigned microseconds);

/* How many processors the firmware knows and can hand over; 0: it hands over none. */
unsigned firmware_processors(void);

/* Runs enter_loam on each other processor that the firmware hands over; returns how many are under Loam now. */
unsigned firmware_launch_processors(struct boot_information *information);

#endif
