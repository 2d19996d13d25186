/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that Loam takes once, at boot: a range from which zeroed pages are handed out until it is sealed. */
#ifndef KERNEL_BOOT_MEMORY_H
#define KERNEL_BOOT_MEMORY_H

#include "hv/types.h"

/* A run of 4 KiB pages of physical memory. Lists of them are sorted by address; runs neither overlap nor touch. */
struct memory_range {
    uint64_t first_pfn;
    uint64_t count;
};

/*
 * Most pages that frame_initialize and parent_map_initialize will allocate for these ranges of RAM. The
 * loader reserves them before the hypervisor runs, hence a file of its own without dependences.
 * `address_bits` is the physical address width; above 48 counts as 48.
 */
uint64_t boot_memory_needed(const struct memory_range *ram, unsigned count, unsigned address_bits);

/* The range to hand out from. */
void boot_memory_initialize(uint64_t spa, uint64_t pages);

/* SPA of `pages` contiguous zeroed pages. Panics when the range is used up or sealed: boot_memory_needed was wrong. */
uint64_t boot_allocate(unsigned pages);

/* Pages handed out so far. */
uint64_t boot_memory_used(void);

/* No allocation from here on. Returns how many pages were handed out. */
uint64_t boot_memory_seal(void);

#endif
